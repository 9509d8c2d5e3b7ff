"""A grid in the skin, the edge of a print and rolling bands are found; a room, its door and a sensor's noise are not."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from liveness.evidence import Face, FaceTrack
from liveness.screen import border, flicker, moire
from liveness.take import Grey, small
from tests.liveness import pictured
from tests.liveness.pictured import HEIGHT, MIDDLE, WIDTH, Doubles

COUNT = 40


def greys_of(pictures: list[Doubles], sigma: float = 2.0) -> list[Grey]:
    return [
        np.clip(np.rint(pictured.noisy(picture, i, sigma)), 0, 255).astype(np.uint8)
        for i, picture in enumerate(pictures)
    ]


def flicker_of(pictures: list[Doubles]) -> float | None:
    return flicker(small(greys_of(pictures), still_track(len(pictures))))


def still_track(count: int = COUNT) -> FaceTrack:
    return pictured.track([pictured.face() for _ in range(count)])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_grid_over_the_skin_stands_out_of_its_spectrum(seed: int) -> None:
    skin = pictured.texture(seed, spread=15)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    grid = 6 * np.cos(2 * np.pi * (0.21 * columns + 0.06 * rows))
    plain = moire(greys_of([skin] * 12), still_track(12))
    screened = moire(greys_of([skin + grid] * 12), still_track(12))
    assert plain is not None
    assert screened is not None
    assert plain < 1.9 < 2.3 < screened


def test_blinds_behind_the_person_are_no_grid_in_the_skin() -> None:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    inside = np.hypot((columns - MIDDLE[0]) / 80, (rows - MIDDLE[1]) / 104) < 1
    picture = np.where(inside, pictured.texture(4, spread=15), 128 + 40 * np.sign(np.sin(0.9 * rows)))
    value = moire(greys_of([picture] * 12), still_track(12))
    assert value is not None
    assert value < 2.0


def test_a_face_too_small_for_a_spectrum_is_not_measured() -> None:
    far = pictured.track([pictured.face(width=50) for _ in range(12)])
    assert moire(greys_of([pictured.texture(1)] * 12), far) is None


def placed(of: Face, move: Doubles) -> Face:
    """The same face seen after the affine ``move`` of the picture."""
    landmarks = of.landmarks.copy()
    landmarks[:, :2] = of.landmarks[:, :2] @ move[:, :2].T + move[:, 2]
    points = (of.points @ move[:, :2].T + move[:, 2]).astype(np.float32)
    low, high = landmarks[:468, :2].min(axis=0), landmarks[:468, :2].max(axis=0)
    fresh = pictured.face(*((low + high) / 2), width=float(high[0] - low[0]))
    return type(of)(
        box=fresh.box,
        landmarks=landmarks,
        points=points,
        yaw_deg=0.0,
        pitch_deg=0.0,
        roll_deg=0.0,
        jaw_open=0.0,
        lip_gap=0.0,
        blink_left=0.0,
        blink_right=0.0,
    )


def swung(number: int) -> Doubles:
    """A picture held in the hand: moved, tilted and foreshortened."""
    swing = math.sin(number / 4)
    tilt = math.radians(7 * swing)
    scale = np.diag([1 - 0.25 * abs(swing), 1.0])
    turn = np.array([[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]]) @ scale
    middle = np.array(MIDDLE)
    return np.column_stack([turn, middle - turn @ middle + [14 * swing, 5 * math.cos(number / 5)]])


def edged(*, sheet_moves: bool) -> tuple[list[Grey], FaceTrack]:
    """A face within four straight edges, before a room. Either all of it moves as a print does, or the face alone."""
    room = pictured.texture(9, spread=8) - 60
    sheet = pictured.texture(8, spread=8) + 60
    edges = np.zeros((HEIGHT, WIDTH))
    edges[70:430, 55:305] = 1
    oval = np.zeros((HEIGHT, WIDTH))
    cv2.ellipse(oval, (int(MIDDLE[0]), int(MIDDLE[1])), (80, 104), 0, 0, 360, 1.0, -1)
    skin = pictured.texture(7, spread=25)
    pictures, faces = [], []
    for number in range(COUNT):
        move = swung(number)

        def moved(layer: Doubles, move: Doubles = move) -> Doubles:
            return np.asarray(cv2.warpAffine(layer, move, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR), np.float64)

        card = moved(edges) if sheet_moves else edges
        picture = card * sheet + (1 - card) * room
        pictures.append(moved(oval) * moved(skin) + (1 - moved(oval)) * picture)
        faces.append(placed(pictured.face(), move))
    return greys_of(pictures), pictured.track(list(faces))


def test_edges_that_come_along_with_the_face_are_a_sheet_and_a_door_behind_it_is_none() -> None:
    print_, door = border(*edged(sheet_moves=True)), border(*edged(sheet_moves=False))
    assert print_ is not None
    assert door is not None
    assert print_ > 0.15
    assert door < 0.02


def test_without_edges_there_is_no_border_and_without_a_face_none_is_measured() -> None:
    greys = greys_of([pictured.texture(3)] * 12)
    assert border(greys, still_track(12)) == 0.0
    assert border(greys, pictured.track([None] * 12)) is None


def test_bands_that_roll_are_measured_in_percent_and_even_light_is_none() -> None:
    room = pictured.texture(5, spread=20)
    rows = np.arange(HEIGHT)[:, None] / HEIGHT
    bands = [room * (1 + 0.02 * np.sin(2 * np.pi * (2 * rows + 0.23 * i))) for i in range(60)]
    pulsing = [room * (1 + 0.02 * math.sin(1.4 * i)) for i in range(60)]
    rolling, even = flicker_of(bands), flicker_of(pulsing)
    assert rolling == pytest.approx(2.0, abs=0.5)
    assert even is not None
    assert even < 0.3
    assert flicker_of(bands[:10]) is None
