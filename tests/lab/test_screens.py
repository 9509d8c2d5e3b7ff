"""What a screen adds to a picture."""

from __future__ import annotations

import random

import numpy as np

from lab.screens import Screen

SIZE = (240, 320)


def screens() -> list[Screen]:
    return [Screen.of(SIZE, random.Random(seed)) for seed in range(12)]


def grey() -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    return np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)


def test_a_coarse_grid_beats_with_the_sensor_and_a_fine_one_is_not_seen() -> None:
    """An even grey comes back with a pattern, unless the screen has many more pixels than the sensor."""
    contrast = [float((s.mask.astype(float) / 128).std()) for s in screens()]
    assert any(c == 0 for c in contrast)
    assert max(contrast) > 0.03


def test_the_pattern_moves_when_the_hand_does() -> None:
    screen = max(screens(), key=lambda s: float(s.mask.std()))
    still, again = (screen.shows(grey(), (0.0, 0.0), 0.0, 500) for _ in range(2))
    moved = screen.shows(grey(), (screen.pitch / 2, 0.0), 0.0, 500)
    middle = (slice(80, 240), slice(60, 180))
    assert np.array_equal(still, again)
    assert np.abs(still[middle].astype(int) - moved[middle]).mean() > 0.5


def test_black_is_lifted_and_white_is_lowered() -> None:
    for screen in screens():
        assert screen.tone[0, 0].min() >= 5
        assert screen.tone[0, 255, 1] <= 247


def test_a_small_screen_shows_its_edge() -> None:
    small = next(s for s in screens() if s.width_shown < 0.93)
    white = np.full_like(grey(), 255)
    seen = small.shows(white, (0.0, 0.0), 0.0, 0).astype(int)
    row = seen[SIZE[1] // 2].sum(axis=1)
    assert row[:40].min() < 150 < row[120]  # a dark bezel between the room and the picture


def test_a_band_wanders_over_the_picture() -> None:
    screen = screens()[0]
    one, other = (screen.shows(grey(), (0.0, 0.0), 0.0, at_ms).astype(int) for at_ms in (0, 400))
    rows = (one - other)[:, 60:180].mean(axis=(1, 2))
    assert rows.max() > 0.3 > -0.3 > rows.min()
