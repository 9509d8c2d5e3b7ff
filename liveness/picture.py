"""What the picture says about light, detail and noise, and all the signs of a take together.

Each sign is a pure function of the frames and of where the face is in them, with no verdict in it; ``None`` says that it could
not be measured. Cuts and repeats are in :mod:`liveness.take`, what a screen or paper leaves behind in :mod:`liveness.screen`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from liveness.capture import Frame, MediaFacts, RgbImage
from liveness.evidence import FaceTrack, PictureSigns
from liveness.screen import border, flicker, moire
from liveness.take import Grey, face_blocks, longest_frozen_ms, loop_ms, repeated, small, worst_cut

_T = TypeVar("_T")

_LOOKED_AT = 12  # frames, for what hardly changes over a take
_DETAIL_WIDTH_PX = 96  # faces are compared at this width
_NOISE_BLOCK_PX = 16
_STILL_SHARE = 0.25  # of the blocks of a picture are taken for still: those that change least


def picture_signs(frames: Sequence[Frame], track: FaceTrack, facts: MediaFacts) -> PictureSigns:
    """All signs of a take. ``track`` has one sighting for each of ``frames``; ``facts`` says how large the source was."""
    greys = _Greys(frames)
    times = [frame.at_ms for frame in frames]
    take = small(greys, track)
    blocks = face_blocks(take, track)
    return PictureSigns(
        brightness=brightness(greys, track),
        sharpness=sharpness(greys, track),
        worst_cut=worst_cut(take, track, times),
        repeated=None if blocks is None else repeated(blocks),
        longest_frozen_ms=None if blocks is None else longest_frozen_ms(blocks, times),
        loop_ms=None if blocks is None else loop_ms(blocks, times),
        noise=noise(greys, shrunk=min(facts.width, facts.height) / min(track.width, track.height)),
        moire=moire(greys, track),
        border=border(greys, track),
        flicker=flicker(take),
    )


class _Greys(Sequence[Grey]):
    """Luma of each frame, made when it is looked at: all at once they would take a third of the frames' own memory."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, place: int) -> Grey: ...
    @overload
    def __getitem__(self, place: slice) -> _Greys: ...
    def __getitem__(self, place: int | slice) -> Grey | _Greys:
        return _Greys(self._frames[place]) if isinstance(place, slice) else luma(self._frames[place].image)


def luma(image: RgbImage) -> Grey:
    """``(H, W) uint8`` luma of a picture (ITU-R BT.601)."""
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY), np.uint8)


def brightness(greys: Sequence[Grey], track: FaceTrack) -> float | None:
    """Median luma of the face, 0..255, over the take."""
    medians = [float(np.median(face)) for face in _faces(greys, track)]
    return float(np.median(medians)) if medians else None


def sharpness(greys: Sequence[Grey], track: FaceTrack) -> float | None:
    """Detail of the face at a width of 96 pixels: median over frames of the Laplacian's standard deviation over the luma's.

    The variance of the Laplacian as a measure of focus (Pech-Pacheco et al. 2000), made independent of size, light and
    contrast. A little blur first keeps a sensor's noise from passing for detail.
    """
    readings = []
    for face in _faces(greys, track):
        scale = _DETAIL_WIDTH_PX / face.shape[1]
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        even = cv2.GaussianBlur(
            cv2.resize(face.astype(np.float32), None, fx=scale, fy=scale, interpolation=method), (3, 3), 0.8
        )
        readings.append(float(cv2.Laplacian(even, cv2.CV_32F).std()) / max(float(even.std()), 1.0))
    return float(np.median(readings)) if readings else None


def noise(greys: Sequence[Grey], *, shrunk: float = 1.0) -> float | None:
    """Temporal noise of what stands still, standard deviation in grey levels; ``None`` for a take of under three frames.

    shrunk : source pixels to one of these, along a side. Noise averages out by as much, and is given as the source had it.

    In the second difference over time, ``(a - 2 b + c) / sqrt(6)``, even movement cancels and noise keeps its size. Encoders
    copy still blocks and with that their noise, so of the quarter of blocks that move least the noisiest tenth counts: what the
    encoder could not save itself. A renderer's picture has nothing there to save.
    """
    if len(greys) < 3:
        return None
    readings = []
    for middle in _spread(range(1, len(greys) - 1), _LOOKED_AT):
        before, now, after = (greys[middle + i].astype(np.float32) for i in (-1, 0, 1))
        moved = np.abs(_block_means(after - before))
        second = (before - 2 * now + after) / np.sqrt(6)
        spread = np.sqrt(np.maximum(_block_means(second**2) - _block_means(second) ** 2, 0))
        still = moved <= np.quantile(moved, _STILL_SHARE)
        readings.append(float(np.quantile(spread[still], 0.9)))
    return float(np.median(readings)) * max(shrunk, 1.0)


def _block_means(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    size = (max(1, picture.shape[1] // _NOISE_BLOCK_PX), max(1, picture.shape[0] // _NOISE_BLOCK_PX))
    part = picture[: size[1] * _NOISE_BLOCK_PX, : size[0] * _NOISE_BLOCK_PX]
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.float32)


def _faces(greys: Sequence[Grey], track: FaceTrack) -> Iterator[Grey]:
    """The face cut out of some frames that show one, evenly spread over the take."""
    seen = [(place, s.faces[0]) for place, s in enumerate(track.sightings) if s.faces]
    for place, face in _spread(seen, _LOOKED_AT):
        grey = greys[place]
        left, top = max(0, int(face.box.x)), max(0, int(face.box.y))
        part = grey[top : int(face.box.y + face.box.height), left : int(face.box.x + face.box.width)]
        if min(part.shape) >= 8:
            yield part


def _spread(values: Sequence[_T], most: int) -> list[_T]:
    """At most ``most`` of the values, evenly spread."""
    return (
        [values[(2 * i + 1) * len(values) // (2 * most)] for i in range(most)] if len(values) > most else list(values)
    )
