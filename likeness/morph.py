"""How one picture becomes another: both moved until what belongs together lies on each other, while one fades into the other.

Most of the way between two faces is the camera's: a similarity (shift, scale, turn) that moves the whole picture, so that
hair and shoulders come along. What is left, the difference between two expressions and two heads, is a smooth field that fades
away from the faces. No pixel is invented; each comes from one of the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from likeness.framing import Affine
from liveness.capture import RgbImage

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

_MOST_SCALE = 1.7  # times: beyond, what is left is the field's
_MOST_TURN = math.radians(14)
_GRID = 20  # px between the places where the field is solved
_MAP = 8  # px between the places of a frame's map; between them it is straight
_AT = (0.0, 0.25, 0.5, 0.75, 1.0)  # how far along the field is solved; between them it is straight
_SMOOTH = 1.0  # px²: landmarks are no more exact than this
_STILL_FROM = 1.9  # of the features' reach: the field is nothing from here on


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Morph:
    """The way between two pictures of one size.

    scale, turn, centre_from, centre_to : of the similarity that takes the first picture to the second; radians, pixels.
    fields : ``(5, rows, columns, 2) float32`` the rest of the way where it is at ``_AT``, pixels; ``None`` when there is none.
    """

    size: tuple[int, int]
    scale: float
    turn: float
    centre_from: Doubles
    centre_to: Doubles
    fields: Floats | None = field(repr=False)

    def seen(self, first: RgbImage, second: RgbImage, *, along: float, share: float, camera: Affine,
             size: tuple[int, int]) -> RgbImage:  # fmt: skip
        """The picture ``along`` the way (0..1) through ``camera``, of ``size`` (width, height).

        share : of the second picture's colours, 0..1. camera : from pixels of the way to pixels of the result.
        """
        there = _full(self.similarity(along))
        back = np.asarray(np.linalg.inv(_full(camera)), np.float64)
        parts = []
        for image, weight, own, way in (
            (first, 1 - share, there, -along),
            (second, share, there @ np.linalg.inv(_full(self.similarity(1.0))), 1 - along),
        ):
            if weight <= 0:
                continue
            source = np.asarray(np.linalg.inv(own), np.float64)
            if self.fields is None or way == 0:
                to = (source @ back)[:2]
                part = cv2.warpAffine(
                    image, to, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT_101
                )
            else:
                part = self._warped(image, source, back, along, way, size)
            parts.append(np.asarray(part, np.uint8))
        if len(parts) == 1:
            return np.ascontiguousarray(parts[0])
        return np.ascontiguousarray(cv2.addWeighted(parts[0], 1 - share, parts[1], share, 0), np.uint8)

    def similarity(self, along: float) -> Affine:
        """From the first picture to where it is ``along`` the way."""
        scale, turn = self.scale**along, self.turn * along
        spin = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        centre = self.centre_from + along * (self.centre_to - self.centre_from)
        return np.column_stack([spin, centre - spin @ self.centre_from])

    def _warped(
        self, image: RgbImage, source: Doubles, back: Doubles, along: float, way: float, size: tuple[int, int]
    ) -> RgbImage:
        """``image`` by the field. The map is made for cells of ``_MAP`` pixels, one more around, and enlarged."""
        columns, rows = -(-size[0] // _MAP) + 2, -(-size[1] // _MAP) + 2
        x = (np.arange(columns) - 0.5) * _MAP - 0.5
        y = (np.arange(rows) - 0.5) * _MAP - 0.5
        at = np.stack(np.meshgrid(x, y), axis=-1) @ back[:2, :2].T + back[:2, 2]
        on_grid = (at / _GRID).astype(np.float32)
        left = cv2.remap(  # type: ignore[call-overload, unused-ignore]
            self._field(along), on_grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        coarse = ((at + way * left) @ source[:2, :2].T + source[:2, 2]).astype(np.float32)
        full = cv2.resize(coarse, (columns * _MAP, rows * _MAP), interpolation=cv2.INTER_LINEAR)
        places = np.ascontiguousarray(full[_MAP : _MAP + size[1], _MAP : _MAP + size[0]])
        moved = cv2.remap(  # type: ignore[call-overload, unused-ignore]
            image, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        return np.asarray(moved, np.uint8)

    def _field(self, along: float) -> Floats:
        assert self.fields is not None  # noqa: S101 - asked for only where there is one
        place = along * (len(_AT) - 1)
        low = min(int(place), len(_AT) - 2)
        return np.asarray(self.fields[low] + np.float32(place - low) * (self.fields[low + 1] - self.fields[low]))


def dissolve(size: tuple[int, int]) -> Morph:
    """The way between two pictures that have nothing in common: neither moves."""
    middle = np.array(size, np.float64) / 2
    return Morph(size=size, scale=1.0, turn=0.0, centre_from=middle, centre_to=middle, fields=None)


def morph(first: Doubles, second: Doubles, size: tuple[int, int]) -> Morph:
    """The way that brings the points ``first`` of one picture to ``second`` of the other, both ``(n, 2)`` pixels, n > 2."""
    centre_from, centre_to = first.mean(axis=0), second.mean(axis=0)
    scale, turn = _similarity(first - centre_from, second - centre_to)
    way = Morph(size=size, scale=scale, turn=turn, centre_from=centre_from, centre_to=centre_to, fields=None)
    rest = second - (first @ way.similarity(1.0)[:, :2].T + way.similarity(1.0)[:, 2])
    fields = np.stack([_field_at(way, first, rest, along) for along in _AT])
    return Morph(size=size, scale=scale, turn=turn, centre_from=centre_from, centre_to=centre_to, fields=fields)


def _similarity(first: Doubles, second: Doubles) -> tuple[float, float]:
    """Scale and turn (radians) that bring ``first`` nearest ``second``, both about their middle; within limits.

    As complex numbers, the least squares answer is one quotient.
    """
    a, b = first[:, 0] + 1j * first[:, 1], second[:, 0] + 1j * second[:, 1]
    best = complex(np.vdot(a, b) / max(float(np.vdot(a, a).real), 1e-9))
    scale = min(max(abs(best), 1 / _MOST_SCALE), _MOST_SCALE)
    turn = min(max(math.atan2(best.imag, best.real), -_MOST_TURN), _MOST_TURN)
    return scale, turn


def _field_at(way: Morph, first: Doubles, rest: Doubles, along: float) -> Floats:
    """What is left to go at each place of the way, ``(rows, columns, 2) float32`` pixels, when it is ``along`` it.

    ``rest`` is in the second picture's pixels; here it is as large as things are ``along`` the way.
    """
    from scipy.interpolate import RBFInterpolator  # type: ignore[import-untyped, unused-ignore]

    now, end = way.similarity(along), way.similarity(1.0)
    shrink = now[:, :2] @ np.linalg.inv(end[:, :2])
    left = rest @ shrink.T
    at = first @ now[:, :2].T + now[:, 2] + along * left
    middle = (at.min(axis=0) + at.max(axis=0)) / 2
    reach = _STILL_FROM * np.maximum(np.ptp(at, axis=0) / 2, 8.0)
    angles = np.linspace(0, 2 * math.pi, 32, endpoint=False)
    still = middle + np.column_stack([np.cos(angles), np.sin(angles)]) * reach
    anchors = np.concatenate([still, middle + 1.35 * (still - middle)])
    columns, rows = -(-way.size[0] // _GRID) + 1, -(-way.size[1] // _GRID) + 1
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2) * float(_GRID)
    values = np.concatenate([left, np.zeros_like(anchors)])
    solved = RBFInterpolator(np.concatenate([at, anchors]), values, kernel="linear", smoothing=_SMOOTH)(grid)
    away = np.linalg.norm((grid - middle) / reach, axis=1)
    held = np.clip((1.35 - away) / 0.35, 0, 1)
    faded = solved * (held * held * (3 - 2 * held))[:, None]
    return np.asarray(faded.reshape(rows, columns, 2), np.float32)


def _full(affine: Affine) -> Doubles:
    return np.vstack([affine, [0.0, 0.0, 1.0]])
