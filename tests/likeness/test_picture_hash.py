"""Pictures are found again after what platforms and people do to them, and others are not taken for them."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from likeness.picture_hash import ALIKE, BITS, asked, distance, picture_hash, shots, views
from liveness.capture import RgbImage


def picture(seed: int) -> RgbImage:
    chance = np.random.default_rng(seed)
    image = cv2.resize(chance.integers(0, 255, (9, 16, 3)).astype(np.uint8), (640, 360), interpolation=cv2.INTER_CUBIC)
    for _ in range(6):
        x, y = (int(v) for v in chance.integers(40, 320, 2))
        colour = tuple(int(c) for c in chance.integers(0, 255, 3))
        cv2.ellipse(image, (2 * x, y), (30 + x // 4, 20 + y // 5), 0, 0, 360, colour, -1)
    return np.asarray(image, np.uint8)


def jpeg(image: RgbImage) -> RgbImage:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def nearest(kept: RgbImage, found: RgbImage) -> int:
    return min(distance(view, other) for view in views(kept) for other in asked([found], 1))


def crop(share: float) -> Callable[[RgbImage], RgbImage]:
    return lambda image: image[int(360 * share) : int(360 * (1 - share)), int(640 * share) : int(640 * (1 - share))]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda image: image, id="encoded"),
        pytest.param(lambda image: cv2.resize(image, (320, 180), interpolation=cv2.INTER_AREA), id="scaled"),
        pytest.param(lambda image: image[:, ::-1], id="mirrored"),
        pytest.param(lambda image: np.clip(image * 1.2 + 12.0, 0, 255).astype(np.uint8), id="brighter"),
        pytest.param(crop(0.05), id="cropped by 5 %"),
        pytest.param(crop(0.1), id="cropped by 10 %"),
        pytest.param(lambda image: image[:324, 64:], id="cropped at a corner"),
    ],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_changed_picture_is_found_again(seed: int, change: Callable[[RgbImage], RgbImage]) -> None:
    assert nearest(picture(seed), jpeg(np.ascontiguousarray(change(picture(seed))))) <= ALIKE


def test_other_pictures_are_not_taken_for_it() -> None:
    kept = picture(1)
    assert min(nearest(kept, picture(seed)) for seed in range(2, 40)) > ALIKE


@pytest.mark.parametrize("value", [0, 127, 255])
def test_flat_pictures_have_no_hash(value: int) -> None:
    flat = np.full((360, 640, 3), value, np.uint8)
    assert picture_hash(flat) is None
    assert views(flat) == ()
    assert asked([flat], 4) == ()


def test_a_hash_has_its_bits() -> None:
    assert all(0 <= view < 1 << BITS for view in views(picture(5)))
    assert len(views(picture(5))) == 9


def test_a_shot_is_kept_once() -> None:
    still = [picture(1)] * 5
    assert len(shots([*still, picture(2), *still], 10)) == 2
    assert len(shots([picture(seed) for seed in range(10)], 4)) == 4
