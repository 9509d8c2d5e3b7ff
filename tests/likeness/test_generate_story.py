"""The story generator on real models: photographs that become each other, seen by the same eyes that judge recordings."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from likeness.double import Double
from likeness.errors import RenderError
from likeness.generate import Clip, RenderRequest, Shot, Story
from likeness.generate_story import StoryGenerator
from likeness.mesh import PortraitMesh, Pose
from liveness.capture import Audio, RgbImage
from liveness.embed_insightface import ArcFaceEmbedder
from liveness.evidence import Box, FoundFace
from liveness.faces_mediapipe import MediapipeFaces
from liveness.template import FaceTemplate, similarity
from tests.likeness.test_generate_portrait import EveryLandmarkedFace
from tests.people import vector

SIZE = (320, 240)


class Nobody:
    """``FaceFinder`` that finds none."""

    model_version = "nobody"

    def find_every(self, image: RgbImage) -> tuple[FoundFace, ...]:
        return ()


class OneTemplate:
    """``FaceEmbedder`` that says the same of everyone."""

    contract_id, model_version = "one", "one"

    def embed(self, image: RgbImage, points: object) -> FaceTemplate:
        return vector(1)


def double(portrait: RgbImage, template: FaceTemplate | None = None, number: int = 1) -> Double:
    return Double(
        subject_id=f"sub-{number}", consent_id=f"con-{number}", portrait=portrait, template=template or vector(1)
    )


def request(story: Story, **more: object) -> RenderRequest:
    shape = {"width": SIZE[0], "height": SIZE[1], "fps": 10, "max_seconds": 30.0}
    return RenderRequest(**{"content": story} | shape | more)  # type: ignore[arg-type]


def landscape(seed: int) -> RgbImage:
    """Hills under a sky, of a shape of their own."""
    chance = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(400), np.arange(300))
    hills = 150 + 40 * np.sin(x / chance.uniform(30, 70) + chance.uniform(0, 6))
    ground, sky = chance.integers(30, 110, 3), chance.integers(140, 230, 3)
    return np.ascontiguousarray(np.where((y > hills)[..., None], ground, sky + (y // 8)[..., None]), np.uint8)


def story(*photographs: RgbImage, seconds: float = 2.0, caption: str = "", **sound: Audio) -> Story:
    shots = (Shot(seconds=seconds, caption=caption),) * (len(photographs) - 1)
    return Story(photographs=photographs, shots=shots, **sound)


def tone(seconds: float) -> Audio:
    time_s = np.arange(round(16_000 * seconds)) / 16_000
    return Audio(samples=(0.3 * np.sin(2 * np.pi * 300 * time_s)).astype(np.float32), rate_hz=16_000)


# --- without models --------------------------------------------------------------------------------------------------


def made(wanted: RenderRequest) -> tuple[Clip, list[RgbImage]]:
    clip = StoryGenerator(Nobody(), OneTemplate()).render([double(landscape(0))], wanted)
    return clip, list(clip.frames)


class Somebody:
    """``FaceFinder`` that finds one who cannot be measured."""

    model_version = "somebody"

    def find_every(self, image: RgbImage) -> tuple[FoundFace, ...]:
        return (FoundFace(box=Box(x=0, y=0, width=90, height=90), face=None),)


def test_a_story_of_nobody_is_made_and_one_with_a_face_that_was_overlooked_is_not() -> None:
    wanted = request(story(landscape(1), landscape(2), seconds=0.5))
    assert len(list(StoryGenerator(Nobody(), OneTemplate()).render([], wanted).frames)) == 5
    with pytest.raises(RenderError) as overlooked:
        StoryGenerator(Somebody(), OneTemplate()).render([], wanted)
    assert overlooked.value.code == "nobody_permitted"


def test_photographs_without_faces_dissolve_into_each_other() -> None:
    pictures = [landscape(seed) for seed in (1, 2, 3)]
    clip, frames = made(request(story(*pictures)))
    assert len(frames) == clip.frame_count == 40
    mean = np.array([frame.mean(axis=(0, 1)) for frame in frames])
    steps = np.abs(np.diff(mean, axis=0)).max(axis=1)
    assert steps.max() < 0.25 * np.abs(mean[0] - mean[20]).max() + 1, "no cut"
    assert np.abs(mean[20] - mean[21]).max() < 1, "each photograph stands alone for a moment"


def test_the_last_picture_of_a_shot_is_the_first_of_the_next() -> None:
    """Asked for together, the second shot begins where the first alone would end."""
    one, two, three = (landscape(seed) for seed in (1, 2, 3))
    _, both = made(request(story(one, two, three)))
    _, first = made(request(story(one, two)))
    for joint in (first[-1], both[20]):
        step = np.abs(joint.astype(float) - both[19]).mean()
        assert step < 2, "hardly more than the camera moves in one picture"


def test_the_camera_is_never_still_and_never_jumps() -> None:
    _, frames = made(request(story(landscape(1), landscape(1), landscape(1))))
    moved = np.array([np.abs(b.astype(float) - a).mean() for a, b in itertools.pairwise(frames)])
    assert (moved > 0).mean() > 0.9
    assert moved.max() < 6 * np.median(moved) + 1


def test_the_same_seed_makes_the_same_film_and_another_does_not() -> None:
    pictures = story(landscape(1), landscape(2), seconds=0.5)
    one, again, other = (made(request(pictures, seed=seed))[1] for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_what_is_too_long_is_refused_with_its_seconds() -> None:
    with pytest.raises(RenderError, match=r"4\.0 s, at most 3\.0 s") as long:
        made(request(story(landscape(1), landscape(2), landscape(3)), max_seconds=3.0))
    assert long.value.code == "story_too_long"
    with pytest.raises(RenderError, match=r"2\.5 s, the shots 2\.0 s") as speech:
        made(request(story(landscape(1), landscape(2), speech=tone(2.5))))
    assert speech.value.code == "sound_too_long"


def test_sound_is_as_long_as_the_pictures() -> None:
    clip, _ = made(request(story(landscape(1), landscape(2), speech=tone(1), music=tone(0.7))))
    assert clip.audio.duration_ms == clip.duration_ms == 2000
    assert np.abs(clip.audio.samples).max() > 0.2


def test_a_caption_is_there_in_the_middle_of_its_shot_and_below_it_later() -> None:
    plain = made(request(story(landscape(1), landscape(1), landscape(1), seconds=3.0)))[1]
    said = made(request(story(landscape(1), landscape(1), landscape(1), seconds=3.0, caption="We drove north.")))[1]

    def rows(number: int) -> np.ndarray[tuple[int], np.dtype[np.int_]]:
        return np.nonzero((plain[number] != said[number]).any(axis=(1, 2)))[0]

    assert not len(rows(0))
    assert rows(15).max() < 0.8 * SIZE[1], "above the label that opens the film"
    assert rows(45).min() > 0.8 * SIZE[1]


def test_words_that_cannot_be_written_are_refused_before_anything_is_drawn() -> None:
    with pytest.raises(RenderError) as unwritable:
        StoryGenerator(Nobody(), OneTemplate()).render(
            [double(landscape(0))], request(story(landscape(1), landscape(2), caption="春天"))
        )
    assert unwritable.value.code == "caption_unwritable"


# --- with the real models --------------------------------------------------------------------------------------------


@dataclass
class Studio:
    faces: MediapipeFaces
    embedder: ArcFaceEmbedder
    portrait: RgbImage

    @property
    def generator(self) -> StoryGenerator:
        return StoryGenerator(EveryLandmarkedFace(self.faces), self.embedder)

    def posed(self, pose: Pose) -> RgbImage:
        return PortraitMesh(self.portrait, self.faces.find(self.portrait)[0]).render(pose)

    @cached_property
    def other_day(self) -> RgbImage:
        """Another photograph of the same person: head turned, elsewhere in the picture, nearer."""
        moved = self.posed(Pose(yaw_deg=12, roll_deg=7, jaw_open=0.2, shift_x=0.25))
        return np.ascontiguousarray(moved[:400, 60:500])

    @cached_property
    def film(self) -> list[RgbImage]:
        clip = self.generator.render(
            [double(self.portrait)], request(story(self.portrait, self.other_day), fps=12, width=640, height=360)
        )
        return list(clip.frames)

    def template(self, image: RgbImage) -> FaceTemplate:
        return self.embedder.embed(image, self.faces.find(image)[0].points)


@pytest.fixture(scope="module")
def studio(weights: Path) -> Studio:
    data = pytest.importorskip("skimage.data")
    return Studio(
        faces=MediapipeFaces(weights / "face_landmarker" / "face_landmarker.task"),
        embedder=ArcFaceEmbedder(weights / "face_embedder" / "fr_feature.onnx", "87aacdfe57510db2af90"),
        portrait=np.ascontiguousarray(data.astronaut()),  # NASA, public domain
    )


@pytest.mark.weights
def test_it_is_the_same_person_all_the_way(studio: Studio) -> None:
    own = studio.template(studio.portrait)
    alike = [similarity(own, studio.template(frame)) for frame in studio.film]
    assert float(np.median(alike)) >= 0.6
    assert min(alike) >= 0.5, "also half way, where two photographs lie on each other"


@pytest.mark.weights
def test_there_is_one_face_on_the_way_and_it_glides(studio: Studio) -> None:
    found = [studio.faces.find(frame) for frame in studio.film]
    assert {len(each) for each in found} == {1}, "two faces that fade past each other would be two"
    eyes = np.array([each[0].points[:2].mean(axis=0) for each in found])
    steps = np.linalg.norm(np.diff(eyes, axis=0), axis=1)
    assert steps.max() < 0.03 * 640, "no jump"
    bends = np.linalg.norm(np.diff(eyes, 2, axis=0), axis=1)
    assert np.median(bends) < 0.005 * 640, "no flicker"


@pytest.mark.weights
@pytest.mark.parametrize("size", [(360, 640), (480, 480)])
def test_the_face_is_whole_in_upright_and_square_films(studio: Studio, size: tuple[int, int]) -> None:
    wanted = request(story(studio.portrait, studio.other_day, seconds=1.0), width=size[0], height=size[1], fps=10)
    frames: Sequence[RgbImage] = list(studio.generator.render([double(studio.portrait)], wanted).frames)
    for frame in frames[::3]:
        (face,) = studio.faces.find(frame)
        assert face.box.x > 0
        assert face.box.y > 0
        assert face.box.x + face.box.width < size[0]
        assert face.box.y + face.box.height < size[1]


@pytest.mark.weights
def test_each_person_becomes_themselves_also_when_they_change_places(studio: Studio) -> None:
    """Two people side by side, then the other way round: at both ends each is there, and nobody is folded half way."""
    one = studio.portrait[20:320, 100:350]
    other = np.ascontiguousarray(_somebody_else(studio))
    left, right = np.hstack([one, other]), np.hstack([other, one])
    doubles = [double(one, studio.template(one), 1), double(other, studio.template(other), 2)]
    frames = list(
        studio.generator.render(
            doubles,
            request(story(np.ascontiguousarray(left), np.ascontiguousarray(right), seconds=1.5), width=640, height=360),
        ).frames
    )
    templates = [each.template for each in doubles]
    for frame in (frames[0], frames[-1]):
        found = [studio.embedder.embed(frame, face.points) for face in studio.faces.find(frame)]
        for template in templates:
            assert max(similarity(seen, template) for seen in found) > 0.5
    seen_half_way = studio.faces.find(frames[len(frames) // 2])
    assert seen_half_way, "at least the larger face is whole on the way"


def _somebody_else(studio: Studio) -> RgbImage:
    """A face from the group photograph that the insightface package carries, as large as the portrait's."""
    from importlib.resources import files

    import cv2

    from liveness.decode import decode_picture

    crowd = decode_picture(files("insightface").joinpath("data/images/t1.jpg").read_bytes())
    return np.asarray(cv2.resize(crowd[189:509, 387:653], (250, 300), interpolation=cv2.INTER_CUBIC), np.uint8)
