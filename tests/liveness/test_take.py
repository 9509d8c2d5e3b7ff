"""A cut, a picture that stands still and a stretch shown again are found; quick movement, light and noise are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from liveness.evidence import FaceTrack
from liveness.take import Blocks, Grey, face_blocks, longest_frozen_ms, loop_ms, repeated, small, worst_cut
from tests.liveness import pictured
from tests.liveness.pictured import FRAME_MS, HEIGHT, MIDDLE, WIDTH, Doubles

COUNT = 90
TIMES = [FRAME_MS * i for i in range(COUNT)]


def swaying(seed: int, *, size: float = 5.0) -> Doubles:
    """Where the face is, pixels off the middle: sways that do not come round within the take."""
    chance = np.random.default_rng(seed)
    at = np.arange(COUNT) * FRAME_MS / 1000
    path = np.zeros((COUNT, 2))
    for hertz in (0.11, 0.23, 0.41, 0.9):
        path += size / 4 * np.sin(2 * np.pi * (hertz * at[:, None] + chance.uniform(size=2)))
    return path


def filmed(
    path: Doubles, *, seed: int = 1, sigma: float = 2.0, room: int = 50, light: Doubles | None = None
) -> list[Grey]:
    """A textured face that moves before a room, under ``light``, with a sensor's noise."""
    back, skin = pictured.texture(room, spread=20), pictured.texture(seed, spread=40)
    oval = np.zeros((HEIGHT, WIDTH))
    cv2.ellipse(oval, (int(MIDDLE[0]), int(MIDDLE[1])), (80, 104), 0, 0, 360, 1.0, -1)
    greys = []
    for i, (x, y) in enumerate(path):
        move = np.array([[1, 0, x], [0, 1, y]], np.float64)
        where = cv2.warpAffine(oval, move, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        seen = where * cv2.warpAffine(skin, move, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR) + (1 - where) * back
        seen = seen * (1.0 if light is None else light[i])
        greys.append(np.clip(np.rint(pictured.noisy(seen, 7919 * seed + i, sigma)), 0, 255).astype(np.uint8))
    return greys


def seen_at(path: Doubles) -> FaceTrack:
    return pictured.track([pictured.face(MIDDLE[0] + x, MIDDLE[1] + y) for x, y in path])


def blocks_of(greys: list[Grey], track: FaceTrack) -> Blocks | None:
    return face_blocks(small(greys, track), track)


def cut_of(greys: list[Grey], path: Doubles) -> float:
    track = seen_at(path)
    value = worst_cut(small(greys, track), track, TIMES)
    assert value is not None
    return value


@pytest.mark.parametrize("seed", [1, 2])
def test_a_cut_between_two_takes_in_one_room_stands_out(seed: int) -> None:
    one, other = swaying(seed), swaying(seed + 10) + np.array([6.0, 3.0])
    path = np.concatenate([one[:40], other[40:]])
    assert cut_of(filmed(path, seed=seed), path) > 3 > 2 > cut_of(filmed(one, seed=seed), one)


def test_a_camera_put_elsewhere_stands_out_with_the_face_in_its_place() -> None:
    path = swaying(3)
    greys = filmed(path, seed=3)[:50] + filmed(path, seed=3, room=51)[50:]
    assert cut_of(greys, path) > 3


def test_a_quick_turn_and_a_dropped_frame_are_no_cut() -> None:
    path = swaying(4)
    quick = 45 * np.clip((np.arange(COUNT) - 40) / 5, 0, 1) ** 2 * (3 - 2 * np.clip((np.arange(COUNT) - 40) / 5, 0, 1))
    path[:, 0] += quick
    greys = filmed(path, seed=4)
    assert cut_of(greys, path) < 2
    kept = [i for i in range(COUNT) if i != 43]
    track = seen_at(path[kept])
    value = worst_cut(small([greys[i] for i in kept], track), track, [TIMES[i] for i in kept])
    assert value is not None
    assert value < 2


def test_a_camera_that_adapts_to_the_light_is_no_cut() -> None:
    path = swaying(5)
    light = np.where(np.arange(COUNT) < 45, 1.0, 0.82)
    assert cut_of(filmed(path, seed=5, light=light), path) < 2


def test_a_living_take_neither_repeats_nor_freezes_nor_loops() -> None:
    path = swaying(6)
    blocks = blocks_of(filmed(path, seed=6), seen_at(path))
    assert blocks is not None
    assert repeated(blocks) < 0.05
    assert longest_frozen_ms(blocks, TIMES) < 400
    assert loop_ms(blocks, TIMES) < 500  # sways as even as these nearly meet themselves


def test_a_picture_that_stands_still_is_measured_as_long_as_it_does_noise_or_not() -> None:
    path = swaying(7)
    path[30:60] = path[30]
    blocks = blocks_of(filmed(path, seed=7), seen_at(path))
    assert blocks is not None
    assert longest_frozen_ms(blocks, TIMES) == pytest.approx(TIMES[59] - TIMES[30], abs=200)


def test_frames_shown_twice_are_counted() -> None:
    path = swaying(8)
    greys = filmed(path, seed=8)
    doubled = [greys[i // 2 * 2] for i in range(COUNT)]
    blocks = blocks_of(doubled, seen_at(path))
    assert blocks is not None
    assert repeated(blocks) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("shifted", [0.0, 0.5])
def test_a_stretch_shown_again_is_found_forward_and_backward_and_between_its_samples(
    backward: bool, shifted: float
) -> None:
    path = swaying(9, size=14)
    again = np.arange(20) if not backward else np.arange(20)[::-1]
    for axis in (0, 1):
        path[60:80, axis] = np.interp(10 + again + shifted, np.arange(COUNT), path[:, axis].copy())
    blocks = blocks_of(filmed(path, seed=9, sigma=1.0), seen_at(path))
    assert blocks is not None
    assert loop_ms(blocks, TIMES) >= 800


def test_without_a_face_or_a_take_nothing_is_measured() -> None:
    path = swaying(1)
    greys = filmed(path[:20])
    nobody = pictured.track([None] * 20)
    assert blocks_of(greys, nobody) is None
    assert worst_cut(small(greys, nobody), nobody, TIMES[:20]) is None
    assert blocks_of(greys[:3], seen_at(path[:3])) is None
