"""Paper moves as paper does: measured in the pixels, as an examiner would."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lab.attacks import Scene
from lab.footage import Actor, Footage
from lab.scenes import footage_of
from liveness.capture import RgbImage
from tests.lab.studio import SIZE, STEPS, actor, studio

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def person(weights: Path) -> Actor:
    return actor(weights)


def turned(scene: Scene, person: Actor, seed: int) -> tuple[RgbImage, RgbImage, Footage]:
    """The picture before the first turn and in the middle of its way out, and the footage they are of."""
    footage = footage_of(scene, studio(person, seed), STEPS)
    turn = footage.performance.turns[0]
    return footage.picture(turn.start_ms), footage.picture((turn.start_ms + turn.reached_ms) / 2), footage


def off_plane(one: RgbImage, other: RgbImage, person: Actor) -> tuple[float, float]:
    """How far points of the face are from moving as a plane, median pixels, and how far they moved at all."""
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (one, other)]
    box = person.portrait.face.box
    mask = np.zeros(grey[0].shape, np.uint8)
    mask[int(box.y) : int(box.y + 0.6 * box.height), int(box.x) : int(box.x + box.width)] = 255
    start = cv2.goodFeaturesToTrack(grey[0], 80, 0.01, 4, mask=mask)
    end, found, _ = cv2.calcOpticalFlowPyrLK(grey[0], grey[1], start, np.empty(0), winSize=(15, 15), maxLevel=4)
    ok = found.ravel() == 1
    start, end = start[ok], end[ok]
    plane, _ = cv2.findHomography(start, end, cv2.LMEDS)
    off = np.linalg.norm(cv2.perspectiveTransform(start, plane) - end, axis=2)
    return float(np.median(off)), float(np.median(np.linalg.norm(end - start, axis=2)))


@pytest.mark.parametrize("seed", range(3))
def test_a_flat_print_moves_by_a_homography_and_a_head_does_not(seed: int, person: Actor) -> None:
    flat, moved = off_plane(*turned(Scene.FLAT_PRINT, person, seed)[:2], person)
    head, _ = off_plane(*turned(Scene.LIVE, person, seed)[:2], person)
    assert moved > 1.5
    assert flat < 0.5  # what optical flow itself is off by
    assert head > 3 * flat


@pytest.mark.parametrize("scene", [Scene.FLAT_PRINT, Scene.BENT_PRINT])
def test_the_expression_on_paper_never_changes(scene: Scene, person: Actor) -> None:
    """Loudest in a word or silent: the mouth's surroundings are the same pixels, moved with the sheet."""
    footage = footage_of(scene, studio(person, 2), STEPS)
    word = footage.performance.words[1]
    one, other = footage.picture(word.start_ms), footage.picture((word.start_ms + word.end_ms) / 2)
    live = footage_of(Scene.LIVE, studio(person, 2), STEPS)
    box = person.portrait.face.box
    mouth = (slice(int(box.y + 0.6 * box.height), int(box.y + box.height)), slice(int(box.x), int(box.x + box.width)))

    def changed(a: RgbImage, b: RgbImage) -> float:
        shift, _ = cv2.phaseCorrelate(*(cv2.cvtColor(i[mouth], cv2.COLOR_RGB2GRAY).astype(np.float32) for i in (a, b)))
        back = cv2.warpAffine(
            b[mouth],
            np.array([[1, 0, -shift[0]], [0, 1, -shift[1]]]),
            a[mouth].shape[1::-1],
            borderMode=cv2.BORDER_REPLICATE,
        )
        return float(np.percentile(np.abs(a[mouth].astype(int) - back.astype(int)), 97))

    spoken = changed(live.picture(word.start_ms), live.picture((word.start_ms + word.end_ms) / 2))
    assert changed(one, other) < 0.5 * spoken


def test_a_bent_print_is_not_a_plane_and_stays_upright(person: Actor) -> None:
    residuals = []
    for seed in range(4):
        one, other, _ = turned(Scene.BENT_PRINT, person, seed)
        residuals.append(off_plane(one, other, person)[0])
    flat = [off_plane(*turned(Scene.FLAT_PRINT, person, seed)[:2], person)[0] for seed in range(4)]
    assert max(residuals) > 2 * max(flat)  # the tightly bent ones; a nearly flat one is nearly a plane


def test_lips_move_in_the_hole_of_a_cut_out_print_and_nothing_else_does(person: Actor) -> None:
    whole = studio(person, 3)
    cut, flat = footage_of(Scene.CUTOUT_MOUTH, whole, STEPS), footage_of(Scene.FLAT_PRINT, whole, STEPS)
    words = cut.performance.words
    lips = person.portrait.face.landmarks[[61, 291, 0, 17], :2]
    inside = np.zeros((SIZE[1], SIZE[0]), bool)
    low, high = lips.min(axis=0) - 12, lips.max(axis=0) + 12
    inside[int(low[1]) : int(high[1]), int(low[0]) : int(high[0])] = True
    seen = []
    for at_ms in (words[0].start_ms - 200, (words[0].start_ms + words[0].end_ms) / 2):
        differs = np.abs(cut.picture(at_ms).astype(int) - flat.picture(at_ms)).max(axis=2)
        assert differs[~inside].max() == 0
        seen.append(cut.picture(at_ms)[inside].astype(int))
    assert np.percentile(np.abs(seen[0] - seen[1]), 90) > 10


def test_a_still_picture_is_the_same_at_all_times(person: Actor) -> None:
    still = footage_of(Scene.STILL, studio(person), STEPS)
    assert all(np.array_equal(still.picture(at_ms), still.picture(0)) for at_ms in (400, 2000, 4100))


@pytest.mark.parametrize("scene", [Scene.FLAT_PRINT, Scene.BENT_PRINT, Scene.CUTOUT_MOUTH])
def test_a_seed_is_a_sheet(scene: Scene, person: Actor) -> None:
    one, same, other = (footage_of(scene, studio(person, seed), STEPS).picture(1500) for seed in (4, 4, 5))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
