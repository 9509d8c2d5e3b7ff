"""Takes in which the person is not alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lab.attacks import Scene
from lab.footage import Actor, Footage
from lab.portrait import Portrait
from lab.scenes import footage_of
from liveness.capture import Audio, RgbImage
from liveness.challenge import SayDigits
from tests.lab.studio import RATE_HZ, STEPS, actor, studio

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def person(weights: Path) -> Actor:
    return actor(weights)


@pytest.fixture(scope="module")
def other(person: Actor) -> Actor:
    """The same face under green light: somebody that a test of colours can tell."""

    def green(portrait: Portrait) -> Portrait:
        return Portrait(image=(portrait.image * np.array([0.3, 1.0, 0.3])).astype(np.uint8), face=portrait.face)

    return Actor.of(green(person.portrait))


def footage(scene: Scene, person: Actor, other: Actor, seed: int = 1) -> Footage:
    return footage_of(scene, studio(person, seed, other), STEPS)


def is_other(image: RgbImage) -> bool:
    red, green, _ = image.reshape(-1, 3).mean(axis=0)
    return bool(green > 1.8 * red)


def test_a_swap_lasts_from_the_digits_to_the_end(person: Actor, other: Actor) -> None:
    film = footage(Scene.SWAP, person, other)
    said_ms = film.performance.words[-1].end_ms
    assert not any(is_other(film.picture(at_ms)) for at_ms in range(0, said_ms, 400))
    assert all(is_other(film.picture(at_ms)) for at_ms in range(said_ms + 250, film.duration_ms, 400))


@pytest.mark.parametrize("seed", range(3))
def test_a_swap_in_a_turn_lasts_for_that_turn_only(seed: int, person: Actor, other: Actor) -> None:
    film = footage(Scene.SWAP_IN_TURN, person, other, seed)
    seen = [(at_ms, is_other(film.picture(at_ms))) for at_ms in range(0, film.duration_ms, 100)]
    swapped = [at_ms for at_ms, there in seen if there]
    assert sum(a[1] != b[1] for a, b in pairwise(seen)) == 2
    assert any(turn.start_ms <= swapped[0] and swapped[-1] < turn.end_ms for turn in film.performance.turns)


@pytest.mark.parametrize("seed", range(3))
def test_a_second_face_comes_and_goes_and_leaves_the_first_in_view(seed: int, person: Actor, other: Actor) -> None:
    film = footage(Scene.SECOND_FACE, person, other, seed)
    alone = footage_of(Scene.LIVE, studio(person, seed, other), STEPS)
    covered = [
        (at_ms, float((np.abs(film.picture(at_ms).astype(int) - alone.picture(at_ms)).max(axis=2) > 8).mean()))
        for at_ms in range(0, film.duration_ms, 150)
    ]
    there = [at_ms for at_ms, share in covered if share > 0]
    assert 900 <= there[-1] - there[0] <= 2800
    assert 0.01 < max(share for _, share in covered) < 0.3
    assert covered[0][1] == covered[-1][1] == 0


def test_a_prompter_is_heard_before_each_digit_while_the_mouth_is_shut(person: Actor, other: Actor) -> None:
    film = footage(Scene.PROMPTED, person, other)
    performance = film.performance
    assert "".join(word.text for word in performance.words) == "482"
    for word in performance.words:
        prompt = performance.voice[(word.start_ms - 350) * RATE_HZ // 1000 : (word.start_ms - 150) * RATE_HZ // 1000]
        own = performance.voice[word.start_ms * RATE_HZ // 1000 : word.end_ms * RATE_HZ // 1000]
        assert 0.05 < np.abs(prompt).max() < 0.5 * np.abs(own).max()
        assert performance.pose_at(word.start_ms - 250).jaw_open < 0.02
        middle_ms = (word.start_ms + word.end_ms) / 2
        assert performance.pose_at(middle_ms).jaw_open > 0.2


def test_a_voice_over_says_the_right_digits_while_the_mouth_says_others(person: Actor, other: Actor) -> None:
    film = footage(Scene.VOICE_OVER, person, other)
    performance = film.performance
    assert "".join(word.text for word in performance.words) == "482"
    assert performance.steps[0].step == SayDigits(digits="482")
    assert film.sound is not None
    seen = np.array([performance.pose_at(at_ms).jaw_open for at_ms in range(0, film.duration_ms, 10)])
    heard = np.zeros(len(seen), bool)
    for word in performance.words:
        heard[word.start_ms // 10 : word.end_ms // 10] = True
        assert loud(film.sound, word.start_ms, word.end_ms) > 0.1
    assert (seen[heard] > 0.05).mean() < 0.9  # the mouth does not follow: it is shut in words
    assert (seen[~heard] > 0.05).mean() > 0.03  # and moves between them


def loud(sound: Audio, start_ms: int, end_ms: int) -> float:
    return float(np.abs(sound.samples[start_ms * RATE_HZ // 1000 : end_ms * RATE_HZ // 1000]).max())


def test_nobody_else_is_needed_for_a_live_take(person: Actor, other: Actor) -> None:
    with_other, without = studio(person, 1, other), replace(studio(person, 1, other), other=person)
    one, same = (footage_of(Scene.LIVE, s, STEPS).picture(1000) for s in (with_other, without))
    assert np.array_equal(one, same)
