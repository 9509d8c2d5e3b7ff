"""Edited recordings have what editing leaves."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lab.attacks import Scene
from lab.cuts import Hold, frozen_parts, shown_number
from lab.footage import Actor, Footage
from lab.scenes import footage_of
from tests.lab.studio import FPS, RATE_HZ, STEPS, actor, studio


@pytest.fixture(scope="module")
def person(weights: Path) -> Actor:
    return actor(weights)


def pictures(footage: Footage) -> list[np.ndarray[tuple[int, int, int], np.dtype[np.int16]]]:
    count = int(footage.duration_ms * FPS / 1000)
    return [footage.picture(1000 * number / FPS).astype(np.int16) for number in range(count)]


def changes(footage: Footage) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Mean difference of each picture from the one before, grey levels, over the upper quarter: no face is there."""
    return np.array([np.abs(b[:100] - a[:100]).mean() for a, b in pairwise(pictures(footage))])


def test_a_hold_repeats_there_and_back() -> None:
    loop, freeze = Hold(first=10, end=20, period=4), Hold(first=30, end=35, period=1)
    assert [shown_number(n, (loop, freeze)) for n in range(9, 21)] == [9, 10, 11, 12, 13, 12, 11, 10, 11, 12, 13, 20]
    assert [shown_number(n, (loop, freeze)) for n in range(29, 36)] == [29, 30, 30, 30, 30, 30, 35]


@pytest.mark.weights
@pytest.mark.parametrize("seed", range(3))
def test_a_frozen_stream_repeats_pictures_to_the_last_bit_and_a_live_one_never(seed: int, person: Actor) -> None:
    frozen = footage_of(Scene.FROZEN, studio(person, seed), STEPS)
    holds = frozen_parts(frozen.performance, FPS, studio(person, seed).chance("frozen"))
    freeze = next(hold for hold in holds if hold.period == 1)
    assert (freeze.end - freeze.first) / FPS >= 0.5
    same = [np.array_equal(a, b) for a, b in pairwise(pictures(frozen))]
    assert sum(same) >= freeze.end - freeze.first - 1
    rendered = footage_of(Scene.RENDERED, studio(person, seed), STEPS)
    assert not any(np.array_equal(a, b) for a, b in pairwise(pictures(rendered)))


@pytest.mark.weights
@pytest.mark.parametrize("seed", range(3))
def test_a_splice_jumps_at_its_joins_and_a_dissolved_one_less(seed: int, person: Actor) -> None:
    hard = changes(footage_of(Scene.SPLICED, studio(person, seed), STEPS))
    soft = changes(footage_of(Scene.DISSOLVED, studio(person, seed), STEPS))
    usual = float(np.median(hard))
    assert (hard > 1.5 * usual).sum() >= 2  # other sessions have other light and another place
    assert soft.max() < hard.max()


@pytest.mark.weights
def test_a_splice_says_the_digits_of_the_challenge_from_a_library_of_others(person: Actor) -> None:
    footage = footage_of(Scene.SPLICED, studio(person, 1), STEPS)
    assert "".join(word.text for word in footage.performance.words) == "482"
    assert footage.sound is not None
    assert len(footage.sound.samples) == pytest.approx(footage.duration_ms * RATE_HZ / 1000, abs=0.02 * RATE_HZ)
    for word in footage.performance.words:
        part = footage.sound.samples[word.start_ms * RATE_HZ // 1000 : word.end_ms * RATE_HZ // 1000]
        assert np.abs(part).max() > 0.2


@pytest.mark.weights
def test_a_sped_up_take_moves_faster_on_a_clock_without_jitter(person: Actor) -> None:
    usual = footage_of(Scene.LIVE, studio(person, 1), STEPS)
    quick = footage_of(Scene.TIME_COMPRESSED, studio(person, 1), STEPS)
    assert usual.recorded_fps is None
    assert quick.recorded_fps == FPS
    assert quick.sound is not None
    assert quick.sound.duration_ms == pytest.approx(quick.duration_ms, abs=60)
    shown = [quick.picture(1000 * number / FPS) for number in range(24)]
    skipped = [not np.array_equal(a, b) for a, b in pairwise(shown)]
    assert all(skipped)  # each picture is another one of the slow recording, some of which are left out


@pytest.mark.weights
def test_an_editor_leaves_less_detail(person: Actor) -> None:
    def detail(footage: Footage) -> float:
        image = footage.picture(500)[:100].astype(np.float32)
        return float(np.abs(np.diff(image, axis=1)).mean())

    first = detail(footage_of(Scene.RENDERED, studio(person, 1), STEPS))
    assert detail(footage_of(Scene.REENCODED, studio(person, 1), STEPS)) < 0.8 * first
