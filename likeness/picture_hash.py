"""What a released clip looks like, in bits: finds it again when everything written beside and into its pictures is gone.

Context: a clip is encoded again, scaled, cropped, made brighter, mirrored, cut shorter; one picture of it is
photographed off a screen. Two clips of one portrait look alike all the same, so this names candidates, and the
watermark tells which.

Outcome: the signs of the 143 lowest frequencies but the mean (discrete cosine transform of the picture at 64 by 64,
against their median), in the manner of pHash (Zauner 2010). A crop moves them, so a released picture is kept as nine
views of it, as it would be cropped; what is asked about is hashed as it is. Pictures that hardly differ are kept
once, so a talking head is a few dozen hashes and a film many.

Measured on 28 photographs (JPEG quality 30 after each change): within 8 bits of the right view after scaling and for
crops that are among the views, within 26 for most others; the nearest two different photographs, over all views, are
50 apart. :data:`ALIKE` is between: by chance alone, two hashes are as near in fewer than one of 10^13 cases.

A hash is no face template: people cannot be compared by it, only pictures. It still says something of a picture, so
it is erased with the person.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from liveness.capture import RgbImage
from liveness.picture import luma

BITS = 144
"""A hash is a whole number of 0 .. 2^144 - 1; 143 of the bits mean something."""
ALIKE = 28
"""Bits; two hashes that differ in no more show the same picture."""

_SIDE = 64
_LOWEST = 12
_SAME_SHOT = 8  # bits: not worth keeping twice
_LEAST_RELIEF = 2.0  # grey levels: flat pictures look like each other
_VIEWS = (  # shares cut off left, top, right, bottom
    (0.0, 0.0, 0.0, 0.0),
    (0.025, 0.025, 0.025, 0.025),
    (0.05, 0.05, 0.05, 0.05),
    (0.075, 0.075, 0.075, 0.075),
    (0.1, 0.1, 0.1, 0.1),
    (0.1, 0.1, 0.0, 0.0),
    (0.0, 0.1, 0.1, 0.0),
    (0.1, 0.0, 0.0, 0.1),
    (0.0, 0.0, 0.1, 0.1),
)


def picture_hash(image: RgbImage) -> int | None:
    """The hash of one picture; ``None`` for one with nothing in it."""
    return _hash(luma(image))


def views(image: RgbImage) -> tuple[int, ...]:
    """The hashes that a released picture is kept under: of the whole, and of what crops would leave. Empty when flat."""
    grey = luma(image)
    height, width = grey.shape
    if _hash(grey) is None:
        return ()
    found = []
    for left, top, right, bottom in _VIEWS:
        part = grey[int(height * top) : int(height * (1 - bottom)), int(width * left) : int(width * (1 - right))]
        found.append(_hash(part))
    return tuple(each for each in found if each is not None)


def shots(pictures: Iterable[RgbImage], most: int) -> list[RgbImage]:
    """Those of the pictures that differ from every one before, at most so many; flat ones left out."""
    kept: list[tuple[int, RgbImage]] = []
    for image in pictures:
        own = picture_hash(image)
        if own is not None and all(distance(own, other) > _SAME_SHOT for other, _ in kept):
            kept.append((own, image))
            if len(kept) == most:
                break
    return [image for _, image in kept]


def asked(pictures: Sequence[RgbImage], most: int) -> tuple[int, ...]:
    """The hashes to look for: of the pictures that differ, as they are and mirrored."""
    found = []
    for image in shots(pictures, most):
        for way in (image, np.ascontiguousarray(image[:, ::-1])):
            own = picture_hash(way)
            if own is not None:
                found.append(own)
    return tuple(found)


def distance(one: int, other: int) -> int:
    """In how many bits they differ."""
    return (one ^ other).bit_count()


def _hash(grey: NDArray[np.uint8]) -> int | None:
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    if float(small.std()) < _LEAST_RELIEF:
        return None
    lowest = cv2.dct(small)[:_LOWEST, :_LOWEST].ravel()[1:]
    signs = lowest > np.median(lowest)
    return int("".join("1" if sign else "0" for sign in signs), 2)
