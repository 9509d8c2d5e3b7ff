"""A copy is known again however it was changed; another take of the same person is not taken for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liveness.evidence import FaceTrack, Fingerprint, Sighting
from liveness.fingerprint import distance, fingerprint, from_bytes, to_bytes
from liveness.policy import STRICT
from tests.liveness import pictured

SECONDS = 14.0


def performed(seed: int, turns: str = "LRL", *, noise: int = 0) -> np.ndarray:
    """``(4, n)`` yaw, pitch, roll and mouth at 100 readings a second: digits, then turns, at a person's own pace."""
    chance = np.random.default_rng(seed)
    at = np.arange(0, SECONDS, 0.01)
    moves = np.zeros((4, len(at)))
    for row, size in ((0, 1.5), (1, 2.0), (2, 1.5)):
        for hertz in (0.2, 0.45, 0.8):
            moves[row] += size / 2 * np.sin(2 * np.pi * (hertz * chance.uniform(0.8, 1.2) * at + chance.uniform()))
    start = chance.uniform(0.4, 1.0)
    for _ in range(6):
        moves[3] += chance.uniform(0.2, 0.5) * np.exp(-(((at - start) / chance.uniform(0.08, 0.15)) ** 2))
        start += chance.uniform(0.5, 0.9)
    for side in turns:
        out, back = start + chance.uniform(0.3, 0.6), start + chance.uniform(1.1, 1.6)
        shape = 1 / (1 + np.exp(-(at - out) / 0.07)) - 1 / (1 + np.exp(-(at - back) / 0.07))
        moves[0] += (1 if side == "L" else -1) * chance.uniform(27, 36) * shape
        start = back + chance.uniform(0.3, 0.7)
    return moves


def tracked(moves: np.ndarray, *, fps: float = 15, pace: float = 1.0, noise: int = 0, scale: float = 1.0) -> FaceTrack:
    """What a tracker says of a recording of it, shown ``pace`` times as fast, with a landmark net's noise."""
    chance = np.random.default_rng(noise)
    sightings = []
    for number in range(int(SECONDS / pace * fps)):
        at_ms = round(1000 * number / fps)
        yaw, pitch, roll, mouth = (float(row[min(int(at_ms * pace / 10), len(row) - 1)]) for row in moves)
        jitter = chance.normal(0, [0.4, 0.4, 0.2, 0.008])
        seen = replace(
            pictured.face(yaw_deg=yaw + jitter[0], width=160 * scale),
            pitch_deg=pitch + jitter[1],
            roll_deg=roll + jitter[2],
            jaw_open=max(mouth + jitter[3], 0) / 2,
            lip_gap=max(mouth + jitter[3], 0) / 2,
        )
        sightings.append(Sighting(at_ms=at_ms, faces=(seen,)))
    return FaceTrack(sightings=tuple(sightings), width=360, height=480)


@pytest.fixture(scope="module")
def original() -> Fingerprint:
    return fingerprint(tracked(performed(1)))


@pytest.mark.parametrize("pace", [0.8, 0.9, 1.0, 1.1, 1.25])
@pytest.mark.parametrize("fps", [12.0, 15.0])
def test_a_copy_is_known_again_at_another_pace_rate_and_size(original: Fingerprint, pace: float, fps: float) -> None:
    copy = fingerprint(tracked(performed(1), fps=fps, pace=pace, noise=5, scale=0.7))
    assert distance(original, copy) < STRICT.same_take.value


def test_a_mirrored_copy_and_a_trimmed_one_are_known_again(original: Fingerprint) -> None:
    mirrored = performed(1) * np.array([[-1], [1], [-1], [1]])
    assert distance(original, fingerprint(tracked(mirrored, noise=6))) < STRICT.same_take.value
    whole = tracked(performed(1), noise=7)
    trimmed = replace(whole, sightings=whole.sightings[23:])
    assert distance(original, fingerprint(trimmed)) < STRICT.same_take.value


@pytest.mark.parametrize("seed", range(2, 14))
@pytest.mark.parametrize("turns", ["LRL", "RLR", "LLR"])
def test_another_take_is_another_even_for_the_same_turns(original: Fingerprint, seed: int, turns: str) -> None:
    assert distance(original, fingerprint(tracked(performed(seed, turns), noise=seed))) > STRICT.same_take.value + 0.05


def test_it_is_the_same_either_way_round_and_nothing_from_itself(original: Fingerprint) -> None:
    other = fingerprint(tracked(performed(3)))
    assert distance(original, other) == pytest.approx(distance(other, original), abs=0.1)
    assert distance(original, original) < 0.01


def test_it_is_small_and_survives_storage(original: Fingerprint) -> None:
    assert len(to_bytes(original)) <= 512
    assert from_bytes(to_bytes(original)) == original
    assert "words" not in repr(original)


def test_what_shows_nobody_or_hardly_anything_is_like_nothing(original: Fingerprint) -> None:
    nobody = fingerprint(pictured.track([None] * 60))
    short = fingerprint(replace(tracked(performed(1)), sightings=tracked(performed(1)).sightings[:30]))
    assert nobody.words == short.words == ()
    assert distance(nobody, nobody) == distance(short, original) == distance(original, nobody) == 1.0
    assert distance(original, Fingerprint(words=(1, 2, 3))) == 1.0


def test_two_stills_are_not_called_copies_for_their_stillness() -> None:
    still = np.zeros((4, int(SECONDS * 100)))
    assert distance(fingerprint(tracked(still, noise=1)), fingerprint(tracked(still, noise=2))) > 0.5
