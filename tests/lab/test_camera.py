"""What a phone's camera adds."""

from __future__ import annotations

import random

import numpy as np
import pytest

from lab.camera import Sensor, steady_times, unsteady_times


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fps", [20, 30])
def test_a_phones_clock_is_right_on_average_and_never_to_the_tick(seed: int, fps: int) -> None:
    times = unsteady_times(12_000, fps, random.Random(seed))
    steps = np.diff(times)
    assert times[0] == 0
    assert steps.min() > 0.4 * 1000 / fps
    assert steps.max() < 2 * 1000 / fps
    assert steps.mean() == pytest.approx(1000 / fps, rel=0.01)
    assert np.std(steps) > 0.5
    assert len(set(np.round(steps, 1))) > 10


def test_a_programs_clock_is_to_the_tick() -> None:
    assert np.ptp(np.diff(steady_times(5_000, 25))) < 1e-9


def test_noise_is_as_strong_as_said_and_of_each_picture_its_own() -> None:
    sensor = Sensor.of((120, 160), "one", sigma=2.5)
    grey = np.full((160, 120, 3), 128, np.uint8)
    first, again, second = sensor.sees(grey, 0, 0), sensor.sees(grey, 0, 0), sensor.sees(grey, 1, 33.3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert float(first.astype(float)[..., 1].std()) == pytest.approx(2.8, abs=0.5)
    apart = np.corrcoef(first[..., 1].ravel().astype(float), second[..., 1].ravel().astype(float))[0, 1]
    assert abs(apart) < 0.05
    assert not np.array_equal(Sensor.of((120, 160), "two", sigma=2.5).sees(grey, 0, 0), first)
