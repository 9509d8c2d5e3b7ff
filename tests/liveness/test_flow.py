"""A head in the round leaves more than a sheet of paper does, flat or bent, whatever the landmark net says of either."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from liveness.capture import Frame
from liveness.challenge import Direction
from liveness.evidence import Parallax
from liveness.flow import follow, from_flat, parallax
from liveness.turns import Baseline, PerformedTurn
from tests.liveness import pictured
from tests.liveness.pictured import FRAME_MS, Surface, bent, flat, head, turned

# what the tracker reports: there, held, and back
YAW = [*[0.0] * 6, 4.0, 8.0, 12.0, 16.0, 20.0, 24.0, 27.0, 27.0, 24.0, 18.0, 12.0, 6.0, 1.0, *[0.0] * 5]
FRONT = Baseline(start_ms=0, end_ms=5 * FRAME_MS, yaw_deg=0.0, pitch_deg=0.0)
TURN = PerformedTurn(
    direction=Direction.LEFT,
    start_ms=8 * FRAME_MS,
    reached_ms=11 * FRAME_MS,
    end_ms=17 * FRAME_MS,
    peak_deg=27.0,
    held_ms=300,
)


@cache
def filmed(depth: Surface, seed: int, *, sigma: float = 1.5) -> dict[int, Frame]:
    sheet = pictured.texture(seed)
    seen = {yaw: turned(sheet, depth, yaw) for yaw in set(YAW)}
    greys = [pictured.noisy(seen[yaw], 1000 * seed + i, sigma) for i, yaw in enumerate(YAW)]
    return {frame.at_ms: frame for frame in pictured.frames(greys)}


def measured(frames: dict[int, Frame], yaw: list[float] = YAW, *, mirrored: bool = False) -> tuple[Parallax, ...]:
    seen = pictured.track([pictured.face(yaw_deg=-degrees if mirrored else degrees) for degrees in yaw])
    return parallax(frames, seen, FRONT, [TURN], mirrored=mirrored)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_head_leaves_more_than_any_sheet(seed: int) -> None:
    (solid,), (paper,), (curled,) = (measured(filmed(depth, seed)) for depth in (head, flat, bent))
    assert paper.residual < 0.006 < 0.02 < solid.residual
    assert max(paper.sheet, curled.sheet) < 0.012 < 0.025 < solid.sheet
    # a homography alone takes curled paper for something solid: that is what the second figure is for
    assert curled.residual > paper.residual


def test_the_reading_is_taken_well_into_the_turn_and_says_where() -> None:
    (reading,) = measured(filmed(head, 1))
    assert reading.turn == 0
    assert 16 <= reading.yaw_change_deg <= 24
    assert reading.points >= 24


def test_the_same_pictures_give_the_same_values_bit_for_bit() -> None:
    frames = filmed(head, 1)
    assert measured(frames) == measured(frames)


def test_a_mirrored_client_measures_the_same() -> None:
    frames = filmed(head, 1)
    assert measured(frames, mirrored=True) == measured(frames)


def test_a_turn_that_could_not_be_followed_is_not_measured() -> None:
    plain = pictured.frames([np.full((pictured.HEIGHT, pictured.WIDTH), 120.0) for _ in YAW])
    assert measured({frame.at_ms: frame for frame in plain}) == ()
    assert measured({}) == ()


def test_a_turn_too_quick_for_the_camera_is_not_measured() -> None:
    assert measured(filmed(head, 1), [0.0 if degrees < 27 else 60.0 for degrees in YAW]) == ()


def test_without_a_frontal_frame_near_the_turn_it_is_not_measured() -> None:
    assert measured(filmed(head, 1), [14.0 + degrees for degrees in YAW]) == ()


def test_points_of_eyes_mouth_and_background_are_not_followed() -> None:
    frames = filmed(flat, 1)
    found = follow([frames[0].image, frames[FRAME_MS].image], [pictured.face(), pictured.face()])
    away = (found.before - np.array(pictured.MIDDLE)) / pictured.FACE_WIDTH
    assert len(found.before) > 40
    assert (np.hypot(away[:, 0] / 0.5, away[:, 1] / 0.65) < 1).all()
    eyes = np.abs(np.abs(away[:, 0]) - 0.22) + np.abs(away[:, 1] + 0.195)
    assert eyes.min() > 0.03


def test_a_few_points_that_slip_do_not_bend_the_plane() -> None:
    frames = filmed(flat, 1)
    followed = follow([frames[0].image, frames[9 * FRAME_MS].image], [pictured.face(), pictured.face(yaw_deg=16)])
    honest = float(np.median(from_flat(followed)))
    followed.after[:4] += 25.0
    assert float(np.median(from_flat(followed))) < honest + 0.1
