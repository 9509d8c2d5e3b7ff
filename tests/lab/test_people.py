"""The simulated people are as many as they say."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from lab.errors import LabError
from lab.footage import Actor
from lab.people import PEOPLE, person_named
from lab.portrait import portrait_of
from lab.simulate import faces_of
from likeness.mesh import Pose
from liveness.policy import SIMULATED
from liveness.template import FaceTemplate, similarity
from liveness.weights import card, open_weights

SIZE = (240, 426)

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def actors(weights: Path) -> dict[str, Actor]:
    landmarks, finder = faces_of(weights)
    return {
        name: Actor.of(portrait_of(person, landmarks=landmarks, finder=finder, size=SIZE), landmarks)
        for name, person in PEOPLE.items()
    }


@pytest.fixture(scope="module")
def looks(actors: dict[str, Actor], weights: Path) -> dict[str, list[FaceTemplate]]:
    """Each person at rest, speaking, and turned a little to either side."""
    from liveness.embed_insightface import ArcFaceEmbedder

    model = card("face_embedder")
    embedder = ArcFaceEmbedder(open_weights(model, weights) / model.only_file.path, model.sha256)
    landmarks, _ = faces_of(weights)
    poses = (Pose(), Pose(yaw_deg=2, jaw_open=0.3), Pose(yaw_deg=10), Pose(yaw_deg=-10))
    found: dict[str, list[FaceTemplate]] = {}
    for name, actor in actors.items():
        pictures = [actor.seen(pose) for pose in poses]
        found[name] = [embedder.embed(picture, landmarks.find(picture)[0].points) for picture in pictures]
    return found


def test_there_are_ten_and_no_two_are_one_to_the_embedder(looks: dict[str, list[FaceTemplate]]) -> None:
    assert len(looks) >= 10
    alike = {(a, b): similarity(looks[a][0], looks[b][0]) for a, b in combinations(looks, 2)}
    assert max(alike.values()) < SIMULATED.same_person.value, max(alike, key=lambda pair: alike[pair])


def test_everybody_stays_one_person_while_speaking_and_turning(looks: dict[str, list[FaceTemplate]]) -> None:
    for name, (rest, *others) in looks.items():
        assert min(similarity(rest, other) for other in others) > 0.5, name


def test_everybody_rests_facing_the_camera_at_a_phones_distance(actors: dict[str, Actor]) -> None:
    for name, actor in actors.items():
        face = actor.frontal.face
        assert abs(face.yaw_deg) < 6, name
        assert abs(face.pitch_deg) < 16, name
        assert 0.25 < face.box.width / SIZE[0] < 0.55, name


def test_a_portrait_is_the_same_each_time(actors: dict[str, Actor], weights: Path) -> None:
    landmarks, finder = faces_of(weights)
    again = portrait_of(PEOPLE["p02"], landmarks=landmarks, finder=finder, size=SIZE)
    assert np.array_equal(again.image, actors["p02"].portrait.image)


def test_who_is_not_there_is_said_so() -> None:
    with pytest.raises(LabError, match="p00"):
        person_named("p99")
