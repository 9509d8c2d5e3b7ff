"""Photographs in pictures of another shape: no face is cut, nothing is left empty."""

from __future__ import annotations

import numpy as np
import pytest

from likeness.framing import framed
from liveness.evidence import Box

RATIOS = [(1280, 720), (720, 1280), (1080, 1080)]


def photograph(width: int, height: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    x, y = np.meshgrid(np.linspace(30, 220, width), np.linspace(30, 220, height))
    return np.stack([x, y, (x + y) / 2], axis=-1).astype(np.uint8)


def where(box: Box, placed: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> tuple[float, float, float, float]:
    low = placed @ [box.x, box.y, 1]
    high = placed @ [box.x + box.width, box.y + box.height, 1]
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


@pytest.mark.parametrize("size", RATIOS)
@pytest.mark.parametrize("shape", [(640, 480), (480, 640), (200, 900), (1920, 400)])
@pytest.mark.parametrize("at", [(0.05, 0.05), (0.5, 0.5), (0.9, 0.85)])
def test_a_face_anywhere_is_whole_in_any_ratio(
    size: tuple[int, int], shape: tuple[int, int], at: tuple[float, float]
) -> None:
    side = min(shape) * 0.25
    box = Box(x=at[0] * (shape[0] - side), y=at[1] * (shape[1] - side), width=side, height=side)
    laid = framed(photograph(*shape), [box], size, margin=0.05)
    assert laid.image.shape == (size[1], size[0], 3)
    left, top, right, bottom = where(box, laid.placed)
    assert left >= -1
    assert top >= -1
    assert right <= size[0] + 1
    assert bottom <= size[1] + 1


@pytest.mark.parametrize("size", RATIOS)
def test_people_at_both_ends_of_a_wide_photograph_are_all_shown(size: tuple[int, int]) -> None:
    boxes = [Box(x=x, y=150, width=120, height=150) for x in (20, 500, 1050)]
    laid = framed(photograph(1200, 500), boxes, size)
    for box in boxes:
        left, _, right, _ = where(box, laid.placed)
        assert left >= -1
        assert right <= size[0] + 1
    assert laid.image.min() > 10, "what the photograph does not reach is filled with its own colours"


@pytest.mark.parametrize("size", RATIOS)
def test_without_faces_the_middle_fills_the_picture(size: tuple[int, int]) -> None:
    shape = (900, 600)
    laid = framed(photograph(*shape), [], size)
    corners = np.linalg.inv(np.vstack([laid.placed, [0, 0, 1]])) @ np.array([[0, size[0]], [0, size[1]], [1, 1]])
    assert corners.min() >= -1
    assert corners[0].max() <= shape[0] + 1
    assert corners[1].max() <= shape[1] + 1
    middle = laid.placed @ [shape[0] / 2, shape[1] / 2, 1]
    np.testing.assert_allclose(middle, np.array(size) / 2, atol=2)


def test_pixels_are_where_it_says() -> None:
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[140:161, 190:211] = 255
    laid = framed(picture, [Box(x=150, y=100, width=100, height=100)], (640, 360))
    y, x = np.nonzero(laid.image[..., 0] > 128)
    np.testing.assert_allclose((x.mean(), y.mean()), laid.placed @ [200, 150, 1], atol=2)


def test_what_lies_beyond_is_brought_along_and_nothing_shifts() -> None:
    picture = photograph(900, 400)
    box = Box(x=420, y=150, width=60, height=70)
    alone, wider = framed(picture, [box], (320, 240)), framed(picture, [box], (320, 240), beyond=60)
    assert wider.image.shape == (360, 440, 3)
    np.testing.assert_allclose(wider.placed[:, 2] - alone.placed[:, 2], 60, atol=0.6)
    np.testing.assert_allclose(wider.image[66:294, 66:374].astype(int), alone.image[6:234, 6:314], atol=3)
    beside = wider.placed @ [150, 200, 1]
    assert 0 < beside[0] < 60, "left of the crop"
    np.testing.assert_allclose(wider.image[round(beside[1]), round(beside[0])], picture[200, 150], atol=4)


def test_a_long_panorama_is_not_enlarged_as_a_whole() -> None:
    laid = framed(np.full((20, 30_000, 3), 99, np.uint8), [], (270, 480))
    assert laid.image.shape == (480, 270, 3)
    assert (laid.image == 99).all()
