"""The phone that films: the noise and flicker of its sensor, and its unsteady clock."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from liveness.capture import RgbImage

NOISE_SIGMA = 2.0
"""Grey levels: a phone indoors."""

_FLICKER = 0.008  # of brightness: mains light against the shutter
_FLICKER_HZ = 3.3  # what is left of 100 or 120 Hz after sampling
_SHEET_MARGIN = 128  # px
_JITTER = 0.03  # of the interval between pictures, standard deviation: a phone's capture times differ by 1 ms or so
_MOST_JITTER = 0.12
_LATE_SHARE = 0.004  # of intervals: the phone was busy and a picture comes late
_LATE_BY = (0.2, 0.4)  # of the interval


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sensor:
    """Noise and flicker of a camera. One larger sheet of noise serves every picture, each at another place."""

    sheet: NDArray[np.int16] = field(repr=False)
    seed: str
    phase: float

    @classmethod
    def of(cls, size: tuple[int, int], seed: str, *, sigma: float = NOISE_SIGMA) -> Sensor:
        """``size``: width and height of the pictures. ``sigma``: of the brightness noise, grey levels."""
        width, height = size[0] + _SHEET_MARGIN, size[1] + _SHEET_MARGIN
        chance = np.random.default_rng(list(f"sensor {seed}".encode()))
        fine = chance.normal(0, sigma, (height, width, 1)).astype(np.float32)
        colour = chance.normal(0, 0.6 * sigma, (height // 2, width // 2, 3)).astype(np.float32)
        spread = cv2.resize(colour, (width, height), interpolation=cv2.INTER_LINEAR)
        return cls(sheet=np.rint(fine + spread).astype(np.int16), seed=seed, phase=float(chance.uniform(0, 6.28)))

    def sees(self, image: RgbImage, number: int, at_ms: float) -> RgbImage:
        """``image`` as the picture of this number, taken at this time."""
        chance = random.Random(f"sensor {self.seed} {number}")
        x, y = chance.randrange(_SHEET_MARGIN), chance.randrange(_SHEET_MARGIN)
        flicker = _FLICKER * math.sin(2 * math.pi * at_ms / 1000 * _FLICKER_HZ + self.phase)
        lit = cv2.convertScaleAbs(image, alpha=1 + flicker + chance.gauss(0, 0.002))
        noise = self.sheet[y : y + image.shape[0], x : x + image.shape[1]]
        return np.ascontiguousarray(cv2.add(lit, noise, dtype=cv2.CV_8U), np.uint8)


def unsteady_times(duration_ms: int, fps: float, chance: random.Random) -> tuple[float, ...]:
    """When a phone takes its pictures, milliseconds from the first: ``fps`` on average, each a little early or late."""
    interval = 1000 / fps
    times = [0.0]
    for number in range(1, int(duration_ms / interval)):
        off = min(max(chance.gauss(0, _JITTER), -_MOST_JITTER), _MOST_JITTER)
        if chance.random() < _LATE_SHARE:
            off = chance.uniform(*_LATE_BY)
        times.append(round(interval * (number + off), 2))
    return tuple(times)


def steady_times(duration_ms: int, fps: float) -> tuple[float, ...]:
    """When an editor or a program shows its pictures: every 1/fps to the tick."""
    return tuple(1000 * number / fps for number in range(int(duration_ms * fps / 1000)))
