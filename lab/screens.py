"""A recording shown on a phone, tablet or monitor and filmed off it.

What a screen adds, each by seed: the beat of its pixel grid with the sensor's (moire), its own contrast, black and white, a
slow bright band where refresh and shutter drift apart, a reflection that stays where it is, at times its edge.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from lab.camera import Sensor
from lab.footage import Footage, Studio, live, recorded
from lab.prints import backdrop, held_at
from lab.room import in_a_room, through_a_speaker
from liveness.capture import RgbImage
from liveness.challenge import Step

_PITCH = (0.95, 1.75)  # sensor pixels a screen pixel: a tablet, a laptop, a monitor
_FINE_SCREENS = 0.4  # of all: a phone's screen of over twice the sensor's pixels, whose grid no lens resolves
_PHASES = 16  # of the grid against the sensor, each way: the hand moves it by fractions of a pixel
_SPARE = 48  # px: the grid is drawn so much larger than the picture, and cut where its phase is the wanted one
_FINE = 3  # samples a sensor pixel, each way, to draw the grid
_LINE = 0.16  # of a screen pixel: the dark line between rows
_OPTICS_PX = 0.45  # blur of lens and focus
_STRENGTH = (0.12, 0.45)  # of the contrast: a pixel of video is made of several of the sensor
_GAMMA = (1.05, 1.3)
_BLACK = (6.0, 26.0)  # grey levels: a screen's black with the room's light on it
_WHITE = (205.0, 246.0)
_BAND = (0.006, 0.03)  # of brightness
_GLARE = (0.0, 60.0)  # grey levels at its brightest
_SHOWN = (0.80, 1.18)  # of the picture's width: the screen's width; below 1 its edge is in view
_CONTENT_FPS = 30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Screen:
    """A screen before a camera, of fixed size in the picture. Safe to share between threads."""

    size: tuple[int, int]
    mask: NDArray[np.uint8] = field(repr=False)
    cuts: tuple[int, ...] = field(repr=False)
    tone: NDArray[np.uint8] = field(repr=False)
    glare: RgbImage = field(repr=False)
    behind: RgbImage = field(repr=False)
    width_shown: float
    pitch: float
    band: float
    band_hz: float

    @classmethod
    def of(cls, size: tuple[int, int], chance: random.Random) -> Screen:
        fine = chance.random() < _FINE_SCREENS
        pitch, strength = chance.uniform(*_PITCH), chance.uniform(*_STRENGTH)
        tilt = math.radians(chance.uniform(-2.0, 2.0))
        large = (size[0] + _SPARE, size[1] + _SPARE)
        places = np.arange(_SPARE) / pitch % 1
        cuts = [int(np.argmin(np.abs((places - phase / _PHASES + 0.5) % 1 - 0.5))) for phase in range(_PHASES)]
        return cls(
            size=size,
            mask=_unseen(large) if fine else _grid(large, pitch, tilt, strength),
            cuts=tuple(cuts),
            tone=_tone(chance),
            glare=_glare(size, chance),
            behind=backdrop(size, chance),
            width_shown=chance.uniform(*_SHOWN),
            pitch=pitch,
            band=chance.uniform(*_BAND),
            band_hz=chance.uniform(0.3, 1.5),
        )

    def shows(self, content: RgbImage, shift: tuple[float, float], roll_deg: float, at_ms: float) -> RgbImage:
        """``content`` on the screen, which is ``shift`` pixels from its place and tilted, as the camera has it."""
        width, height = self.size
        to = cv2.getRotationMatrix2D((width / 2, height / 2), roll_deg, self.width_shown)
        to[:, 2] += np.asarray(shift)
        lit = cv2.LUT(content, self.tone)
        bezel = cv2.copyMakeBorder(lit, *(max(width // 60, 3),) * 4, cv2.BORDER_CONSTANT, value=(14, 14, 16))
        to[:, 2] -= to[:, :2] @ np.full(2, max(width // 60, 3))
        on_screen = cv2.warpAffine(bezel, to, self.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        x, y = (self.cuts[math.floor((-s / self.pitch) % 1 * _PHASES) % _PHASES] for s in shift)
        seen = cv2.multiply(on_screen, self.mask[y : y + height, x : x + width], scale=1 / 128)
        rows = np.arange(height)[:, None] / height
        wave = 1 + self.band * np.sin(2 * np.pi * (rows * 1.3 - self.band_hz * at_ms / 1000))
        rolled = np.repeat(128 * wave + 0.5, 3 * width, axis=1).reshape(height, width, 3).astype(np.uint8)
        seen = cv2.multiply(seen, rolled, scale=1 / 128)
        seen = cv2.add(seen, self.glare)
        if self.width_shown < 1:
            inside = cv2.warpAffine(np.full(bezel.shape[:2], 255, np.uint8), to, self.size, flags=cv2.INTER_NEAREST)
            picture = self.behind.copy()
            cv2.copyTo(seen, inside, picture)
            return picture
        return np.ascontiguousarray(seen, np.uint8)


def screen_replay(studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """A genuine take with the right digits and turns, shown on a screen and filmed: the worst case."""
    take = recorded(live(studio, steps), Sensor.of(studio.size, f"first {studio.seed}"), _CONTENT_FPS)
    screen = Screen.of(studio.size, studio.chance("screen"))
    face_width = studio.person.mesh.face_width
    hand = studio.performed(steps, "hand")  # another person's sway: whoever holds the camera

    def picture(at_ms: float) -> RgbImage:
        held = held_at(hand, at_ms, turn_deg=0, face_width=face_width)
        return screen.shows(take.picture(at_ms), held.shift, 0.3 * held.roll_deg, at_ms)

    performance = take.performance
    played = through_a_speaker(performance.voice, performance.rate_hz)
    return Footage(
        duration_ms=take.duration_ms,
        picture=picture,
        sound=in_a_room(played, performance.rate_hz, studio.noise("second room"), echo=0.2),
        performance=performance,
    )


def _grid(size: tuple[int, int], pitch: float, tilt: float, strength: float) -> NDArray[np.uint8]:
    """How much of each colour gets through to each sensor pixel, ``(H, W, 3) uint8`` with 128 for the mean.

    Drawn finer than the sensor, blurred by the lens, and summed over each sensor pixel: the beat comes out by itself.
    """
    width, height = size
    x = (np.arange(width * _FINE, dtype=np.float32) + 0.5) / _FINE
    y = (np.arange(height * _FINE, dtype=np.float32) + 0.5) / _FINE
    bands = []
    blur = _OPTICS_PX * _FINE
    for stripe in range(3):
        part = np.empty((height, width), np.float32)
        for top in range(0, height, 64):  # in strips: the fine grid of a whole picture is large
            rows = y[top * _FINE : (top + 64) * _FINE][:, None]
            across = (x[None, :] * math.cos(tilt) + rows * math.sin(tilt)) / pitch
            down = (rows * math.cos(tilt) - x[None, :] * math.sin(tilt)) / pitch
            lit = (np.floor((across % 1) * 3) == stripe) & (down % 1 > _LINE)
            soft = cv2.GaussianBlur(lit.astype(np.float32), (0, 0), blur)
            count = min(64, height - top)
            part[top : top + count] = cv2.resize(soft, (width, count), interpolation=cv2.INTER_AREA)
        bands.append(1 + strength * (part / part.mean() - 1))
    return np.clip(np.stack(bands, axis=2) * 128 + 0.5, 0, 255).astype(np.uint8)


def _unseen(size: tuple[int, int]) -> NDArray[np.uint8]:
    """The mask of a grid too fine to be seen."""
    return np.full((size[1], size[0], 3), 128, np.uint8)


def _tone(chance: random.Random) -> NDArray[np.uint8]:
    """``(1, 256, 3)``: what the camera makes of each level the screen shows, bluish as screens are."""
    level = np.linspace(0, 1, 256) ** chance.uniform(*_GAMMA)
    black, white = chance.uniform(*_BLACK), chance.uniform(*_WHITE)
    tints = (chance.uniform(0.90, 1.0), 1.0, chance.uniform(1.0, 1.06))
    curves = [np.clip(black + level * (white - black) * tint, 0, 255) for tint in tints]
    return np.stack(curves, axis=1)[None].astype(np.uint8)


def _glare(size: tuple[int, int], chance: random.Random) -> RgbImage:
    width, height = size
    spot = np.zeros((height, width), np.float32)
    at = (int(width * chance.uniform(0.1, 0.9)), int(height * chance.uniform(0.1, 0.9)))
    axes = (int(width * chance.uniform(0.06, 0.2)), int(height * chance.uniform(0.03, 0.1)))
    cv2.ellipse(spot, at, axes, chance.uniform(0, 180), 0, 360, 1.0, -1)
    soft = cv2.GaussianBlur(spot, (0, 0), width * 0.05)[..., None] * chance.uniform(*_GLARE)
    return np.clip(np.repeat(soft, 3, axis=2), 0, 255).astype(np.uint8)
