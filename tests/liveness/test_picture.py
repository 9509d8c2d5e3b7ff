"""Light, focus and noise of a take, and all signs together."""

from __future__ import annotations

from dataclasses import fields

import cv2
import numpy as np
import pytest

from liveness.picture import brightness, luma, noise, picture_signs, sharpness
from liveness.take import Grey
from tests.liveness import pictured
from tests.liveness.pictured import Doubles
from tests.people import facts

COUNT = 30
TRACK = pictured.track([pictured.face() for _ in range(COUNT)])
NOBODY = pictured.track([None] * COUNT)


def take(picture: Doubles, sigma: float = 2.0) -> list[Grey]:
    return [np.clip(np.rint(pictured.noisy(picture, i, sigma)), 0, 255).astype(np.uint8) for i in range(COUNT)]


def test_light_is_that_of_the_face_and_not_of_the_room() -> None:
    room = np.full((pictured.HEIGHT, pictured.WIDTH), 230.0)
    middle = pictured.face().box
    room[int(middle.y) : int(middle.y + middle.height), int(middle.x) : int(middle.x + middle.width)] = 60.0
    assert brightness(take(room), TRACK) == pytest.approx(60, abs=1)
    assert brightness(take(room), NOBODY) is None


def test_detail_falls_with_blur_but_not_with_contrast_light_or_noise() -> None:
    sharp = pictured.texture(1)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 5)
    clear = sharpness(take(sharp), TRACK)
    assert clear is not None
    assert sharpness(take(90 + 0.6 * (sharp - 128)), TRACK) == pytest.approx(clear, rel=0.15)
    assert sharpness(take(sharp, 4.0), TRACK) == pytest.approx(clear, rel=0.15)
    assert (sharpness(take(blurred), TRACK) or 0) < 0.6 * clear
    assert sharpness(take(sharp), NOBODY) is None


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
def test_a_sensors_noise_is_measured_and_a_renderer_has_none(sigma: float) -> None:
    room = pictured.texture(2)
    assert noise(take(room, sigma)) == pytest.approx(sigma, rel=0.2)
    assert noise(take(room, sigma), shrunk=1.5) == pytest.approx(1.5 * sigma, rel=0.2)
    rendered = take(np.rint(room), 0.0)
    assert noise(rendered) == 0.0
    assert noise(rendered[:2]) is None


def test_what_moves_is_not_taken_for_noise() -> None:
    room = pictured.texture(3, (pictured.HEIGHT, 800))
    passing = [np.rint(room[:, 3 * i : 3 * i + 200]) for i in range(COUNT)]
    still = pictured.texture(4)[:, :160]
    greys = [np.clip(np.rint(np.hstack([still, part])), 0, 255).astype(np.uint8) for part in passing]
    assert noise(greys) == 0.0


def test_all_signs_of_a_take_are_measured_and_the_same_each_time() -> None:
    chance = np.random.default_rng(5)
    sheet = pictured.texture(5)
    moves = [
        np.array([[1, 0, x], [0, 1, y]], np.float64) for x, y in np.cumsum(chance.normal(0, 1, (COUNT, 2)), axis=0)
    ]
    greys = [pictured.noisy(cv2.warpAffine(sheet, move, sheet.shape[::-1]), i) for i, move in enumerate(moves)]
    frames = pictured.frames(greys)
    signs = picture_signs(frames, TRACK, facts(width=720, height=960))
    assert [field.name for field in fields(signs) if getattr(signs, field.name) is None] == []
    assert picture_signs(frames, TRACK, facts(width=720, height=960)) == signs


def test_a_take_that_shows_nobody_leaves_out_what_needs_a_face() -> None:
    frames = pictured.frames([pictured.noisy(pictured.texture(6), i) for i in range(COUNT)])
    signs = picture_signs(frames, NOBODY, facts())
    unmeasured = {field.name for field in fields(signs) if getattr(signs, field.name) is None}
    assert unmeasured == {
        *("brightness", "sharpness", "worst_cut", "repeated"),
        *("longest_frozen_ms", "loop_ms", "moire", "border"),
    }


def test_luma_weighs_colours_as_video_does() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[..., 1] = 200
    assert int(luma(picture)[0, 0]) == pytest.approx(0.587 * 200, abs=1)
