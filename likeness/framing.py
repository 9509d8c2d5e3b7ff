"""How a photograph of any shape fills a picture of another: cropped around its faces, and where they do not fit into the crop,
shown whole before its own colours out of focus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from liveness.capture import RgbImage
from liveness.evidence import Box

Affine = NDArray[np.float64]
"""``(2, 3)``: takes ``(x, y, 1)`` to ``(x, y)``, pixels."""

_ROOM_ABOVE, _ROOM_BESIDE, _ROOM_BELOW = 0.55, 0.25, 0.30  # of a face's box, kept with it: hair, ears, chin
_FACES_DOWN = 0.42  # of the crop's height: where the middle of the faces goes if there is room
_FEATHER = 0.10  # of the photograph's shorter side, where it ends within the picture
_FEATHER_UNSEEN = 0.02  # of the picture's shorter side, where it ends at the edge or beyond
_BACKDROP_LIGHT = 0.80
_SHARPEN_FROM = 1.3  # times enlarged


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Framed:
    """A photograph laid out. ``image``: ``(H, W, 3) uint8 RGB`` of the wanted size. ``placed``: from pixels of the photograph
    to pixels of ``image``."""

    image: RgbImage = field(repr=False)
    placed: Affine


def framed(
    photograph: RgbImage, faces: Sequence[Box], size: tuple[int, int], *, margin: float = 0.0, beyond: int = 0
) -> Framed:
    """``photograph`` in a picture of ``size`` (width, height), with every one of ``faces`` (boxes in the photograph) in it,
    ``margin`` (of the size, on each side) away from the edge where that can be.

    The largest crop of that shape is taken, around the faces, or the middle where there are none. Where the faces are
    further apart than any crop reaches, the photograph is shown smaller, with all of them.

    beyond : pixels on each side that the result is larger than ``size``, with what the photograph has there, or its own
        colours: a picture that is moved brings something along.
    """
    width, height = photograph.shape[1], photograph.shape[0]
    fills = max(size[0] / width, size[1] / height)
    low, high = _kept(faces, width, height)
    across, down = high - low
    inner = np.array(size) * (1 - 2 * margin)
    scale = min(fills, inner[0] / max(across, 1.0), inner[1] / max(down, 1.0))
    whole = np.array([width, height]) * scale
    middle = (low + high) / 2 * scale
    wanted = np.array(size) * ((0.5, _FACES_DOWN) if faces else (0.5, 0.5)) - middle
    # faces first: what is kept stays inside, then no gap that could be filled
    least, most = np.array(size) * (1 - margin) - high * scale, np.array(size) * margin - low * scale
    corner = np.clip(wanted, np.minimum(least, most), np.maximum(least, most))
    left, top = (place(float(corner[axis]), round(float(whole[axis])), size[axis]) for axis in (0, 1))
    # where it ends in sight it passes over softly; at the edge and beyond, a little is enough
    gaps = (left > 1, left + whole[0] < size[0] - 1, top > 1, top + whole[1] < size[1] - 1)
    soft = [_FEATHER * float(whole.min()) if gap else _FEATHER_UNSEEN * min(size) for gap in gaps]
    shown, left, top, placed = _enlarged(photograph, scale, (left + beyond, top + beyond), _wider(size, beyond))
    to = (max(left, 0), max(top, 0), *np.minimum((left + shown.shape[1], top + shown.shape[0]), _wider(size, beyond)))
    seen = shown[to[1] - top : to[3] - top, to[0] - left : to[2] - left]
    if to == (0, 0, *_wider(size, beyond)):
        return Framed(image=np.ascontiguousarray(seen, np.uint8), placed=placed)
    image = backdrop(photograph, _wider(size, beyond))
    share = soft_edges(to, _wider(size, beyond), (soft[0], soft[1]), (soft[2], soft[3]))[..., None]
    under = image[to[1] : to[3], to[0] : to[2]]
    under[:] = np.clip(under + (seen.astype(np.float32) - under) * share + 0.5, 0, 255).astype(np.uint8)
    return Framed(image=image, placed=placed)


def _enlarged(
    photograph: RgbImage, scale: float, corner: tuple[int, int], size: tuple[int, int]
) -> tuple[RgbImage, int, int, Affine]:
    """What is seen of the photograph, ``scale`` times as large with its corner at ``corner``, in a picture of ``size``: its
    pixels, where they begin, and how the photograph is placed. The rest of a long panorama is not enlarged for nothing."""
    cuts = [
        (max(math.floor(-begin / scale) - 1, 0), min(math.ceil((side - begin) / scale) + 1, all_of_it))
        for begin, side, all_of_it in zip(corner, size, photograph.shape[1::-1], strict=True)
    ]
    (x, x_end), (y, y_end) = cuts
    cut = photograph[y:y_end, x:x_end]
    wide, high = max(round((x_end - x) * scale), 2), max(round((y_end - y) * scale), 2)
    enlarged = cv2.resize(cut, (wide, high), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if scale > _SHARPEN_FROM:  # enlarging softens; a little of it is taken back
        soft = cv2.GaussianBlur(enlarged, (0, 0), 0.5 * scale)
        enlarged = cv2.addWeighted(enlarged, 1.3, soft, -0.3, 0)
    left, top = round(corner[0] + x * scale), round(corner[1] + y * scale)
    across, down = wide / (x_end - x), high / (y_end - y)
    placed = np.array([[across, 0.0, left - x * across], [0.0, down, top - y * down]])
    return np.asarray(enlarged, np.uint8), left, top, placed


def _wider(size: tuple[int, int], beyond: int) -> tuple[int, int]:
    return size[0] + 2 * beyond, size[1] + 2 * beyond


def _kept(faces: Sequence[Box], width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Upper left and lower right of what must be seen: all faces with some room, or the middle point."""
    if not faces:
        middle = np.array([width / 2, height / 2])
        return middle, middle
    low = np.min([(b.x - _ROOM_BESIDE * b.width, b.y - _ROOM_ABOVE * b.height) for b in faces], axis=0)
    high = np.max([(b.x + (1 + _ROOM_BESIDE) * b.width, b.y + (1 + _ROOM_BELOW) * b.height) for b in faces], axis=0)
    return np.clip(low, 0, (width, height)), np.clip(high, 0, (width, height))


def place(wanted: float, size: int, stage: int) -> int:
    """Where the portrait begins: as wanted, but without a gap where it is large enough, and without a cut where not."""
    spare = stage - size
    return round(min(max(wanted, min(spare, 0)), max(spare, 0)))


def backdrop(portrait: RgbImage, size: tuple[int, int]) -> RgbImage:
    """The portrait's own colours, far out of focus and darker towards the corners."""
    scale = max(size[0] / portrait.shape[1], size[1] / portrait.shape[0])
    width, height = min(round(size[0] / scale), portrait.shape[1]), min(round(size[1] / scale), portrait.shape[0])
    left, top = (portrait.shape[1] - width) // 2, (portrait.shape[0] - height) // 2
    tiny = cv2.resize(portrait[top : top + height, left : left + width], (64, 64), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.GaussianBlur(tiny, (0, 0), 4.5), size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    x, y = np.linspace(-1, 1, size[0], dtype=np.float32), np.linspace(-1, 1, size[1], dtype=np.float32)
    light = _BACKDROP_LIGHT * (1 - 0.22 * (x[None, :] ** 2 + y[:, None] ** 2))
    grain = np.random.default_rng(0).normal(0, 0.8, (size[1], size[0], 1)).astype(np.float32)  # else smooth areas band
    return np.asarray(np.clip(soft * light[..., None] + grain + 0.5, 0, 255), np.uint8)


def soft_edges(
    to: tuple[int, int, int, int],
    stage: tuple[int, int],
    beside: tuple[float, float],
    above_below: tuple[float, float],
) -> NDArray[np.float32]:
    """How much of a picture is seen over its visible part ``to`` (left, top, right, bottom): 1 inside, fading where it ends
    within the stage, over so many pixels left and right, above and below."""
    across = _soft_line(to[0], to[2], stage[0], beside)
    down = _soft_line(to[1], to[3], stage[1], above_below)
    return np.asarray(down[:, None] * across[None, :], np.float32)


def _soft_line(start: int, end: int, stage: int, feather: tuple[float, float]) -> NDArray[np.float32]:
    at = np.arange(end - start, dtype=np.float32)
    share = np.ones(end - start, np.float32)
    for inside, distance, soft in ((start > 0, at, feather[0]), (end < stage, at[::-1], feather[1])):
        if inside:
            held = np.clip(distance / max(soft, 1.0), 0, 1)
            share *= held * held * (3 - 2 * held)
    return share
