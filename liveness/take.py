"""Whether a picture track is one take that runs on: no cut, no standing still, no coming round again.

Everything is measured on block means, which average out a sensor's noise and an encoder's, with each frame's own light taken
out, so that a camera that adapts is not taken for an editor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from liveness.evidence import Face, FaceTrack

Grey = NDArray[np.uint8]
"""``(H, W) uint8``: luma of one frame."""

_BLOCKS_A_FACE = 10  # blocks along the width of a face
_BACKGROUND_BLOCKS = 64  # blocks along the width of a picture
_LEAST_BACKGROUND = 60  # blocks
_LEAST_FRAMES = 8
_FACE_FLOOR_GREY, _BACKGROUND_FLOOR_GREY = 2.0, 1.0  # steps below these are noise: a blink, a key frame of an encoder
_REPEATED_GREY = 0.25  # what an encoder changes in a picture that stands still
_STILL_GREY = 0.5  # with a sensor's noise in it too; people breathe
_AGAIN_GREY = 0.7
_MOVED_GREY = 3.0  # a stretch in which less happens proves nothing by coming again
_LOOP_LAG_MS = 600
_LOOP_LEAST_MS = 300


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks:
    """A part of every frame as block means without the frame's own light.

    means : ``(n, blocks) float32``: grey levels; each row has mean 0 and the take's usual spread.
    """

    means: NDArray[np.float32] = field(repr=False)

    def steps(self) -> NDArray[np.float64]:
        """``(n - 1,)`` root mean square difference of neighbouring frames, grey levels."""
        squares: NDArray[np.float64] = np.mean(np.diff(self.means, axis=0).astype(np.float64) ** 2, axis=1)
        return np.sqrt(squares)

    def between(self) -> NDArray[np.float32]:
        """``(n, n)`` differences of every frame from every other, grey levels."""
        return np.sqrt(np.maximum(self._squares(), 0))

    def from_path(self) -> NDArray[np.float32]:
        """``(n - 1, n)``: how far frame ``j`` is from anything between frames ``i`` and ``i + 1``.

        A stretch shown again is rarely sampled at the same instants; on the straight way between two samples it is found all
        the same.
        """
        inner = self.means @ self.means.T / self.means.shape[1]
        squares = self._squares()
        length = np.maximum(np.diagonal(squares, 1), 1e-6)[:, None]
        along = inner[1:] - inner[:-1] - (np.diagonal(inner, 1) - np.diagonal(inner)[:-1])[:, None]
        share = np.clip(along / length, 0, 1)
        path: NDArray[np.float32] = np.sqrt(np.maximum(squares[:-1] - 2 * share * along + share**2 * length, 0))
        return path

    def _squares(self) -> NDArray[np.float32]:
        inner = self.means @ self.means.T / self.means.shape[1]
        size = np.diagonal(inner)
        squares: NDArray[np.float32] = size[:, None] + size[None] - 2 * inner
        return squares


def halved(grey: Grey) -> Grey:
    """A picture of half the size, every pixel the mean of four: many times quicker than other sizes."""
    height, width = grey.shape[0] // 2, grey.shape[1] // 2
    return np.asarray(
        cv2.resize(grey[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA), np.uint8
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Small:
    """Every frame made small, in one pass: a take in full size need not be held twice.

    quarter : each picture at a quarter of its width. face : at half its width, where the face is for most of the take; ``None``
    without a face. size : height and width of the frames.
    """

    quarter: tuple[Grey, ...] = field(repr=False)
    face: tuple[Grey, ...] | None = field(repr=False)
    size: tuple[int, int]


def small(greys: Iterable[Grey], track: FaceTrack) -> Small:
    """``greys`` : one for each sighting of the track."""
    faces = [s.faces[0] for s in track.sightings if s.faces]
    size = (track.height, track.width)
    top, bottom, left, right = _area(faces, size) if faces else (0, 0, 0, 0)
    quarter, face = [], []
    for grey in greys:
        quarter.append(halved(halved(grey)))
        if faces:
            face.append(halved(grey[top:bottom, left:right]))
    return Small(quarter=tuple(quarter), face=tuple(face) if faces else None, size=size)


def face_blocks(take: Small, track: FaceTrack, *, share: float = 1.0) -> Blocks | None:
    """Where the face is for most of the take, ten blocks to its width; ``None`` when there is no face or hardly a take.

    share : how much of its height, from the top; 0.6 leaves out the mouth.
    """
    faces = [s.faces[0] for s in track.sightings if s.faces]
    if len(take.quarter) < _LEAST_FRAMES or take.face is None:
        return None
    top, bottom, left, right = _area(faces, take.size)
    bottom = top + max(4, round(share * (bottom - top)))
    blocks_a_px = _BLOCKS_A_FACE / float(np.median([face.box.width for face in faces]))
    size = (max(4, round(blocks_a_px * (right - left))), max(4, round(blocks_a_px * (bottom - top))))
    part = (half[: (bottom - top) // 2].astype(np.float32) for half in take.face)
    return _evened(np.stack([cv2.resize(p, size, interpolation=cv2.INTER_AREA).ravel() for p in part]))


def background_blocks(take: Small, track: FaceTrack) -> Blocks | None:
    """The picture without the column in which the person is, 64 blocks wide; ``None`` when the person fills the picture."""
    if len(take.quarter) < _LEAST_FRAMES:
        return None
    height, width = take.size
    size = (_BACKGROUND_BLOCKS, max(1, round(_BACKGROUND_BLOCKS * height / width)))
    outside = np.ones((size[1], size[0]), np.bool_)
    for sighting in track.sightings:
        for face in sighting.faces:
            margin = 0.35 * face.box.width
            left = max(0, int((face.box.x - margin) * size[0] / width))
            right = max(0, int((face.box.x + face.box.width + margin) * size[0] / width) + 1)
            outside[max(0, int((face.box.y - 1.3 * margin) * size[1] / height)) :, left:right] = False
    if np.count_nonzero(outside) < _LEAST_BACKGROUND:
        return None
    reduced = (cv2.resize(each.astype(np.float32), size, interpolation=cv2.INTER_AREA) for each in take.quarter)
    return _evened(np.stack([cv2.GaussianBlur(picture, (3, 3), 0.8)[outside] for picture in reduced]))


def _evened(means: NDArray[np.float32]) -> Blocks:
    """Block means with every frame's own brightness and contrast taken out."""
    centred = means - means.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    return Blocks(means=(centred / np.maximum(spread, 1e-3) * np.median(spread)).astype(np.float32))


def _area(faces: Sequence[Face], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of where the face is for eight tenths of the take."""
    boxes = np.array([(f.box.x, f.box.y, f.box.x + f.box.width, f.box.y + f.box.height) for f in faces])
    margin = 0.1 * float(np.median(boxes[:, 2] - boxes[:, 0]))
    left, top = np.percentile(boxes[:, :2], 10, axis=0) - margin
    right, bottom = np.percentile(boxes[:, 2:], 90, axis=0) + margin
    rows = np.clip([top, max(bottom, top + 8)], 0, shape[0]).astype(int)
    columns = np.clip([left, max(right, left + 8)], 0, shape[1]).astype(int)
    return int(rows[0]), int(rows[1]), int(columns[0]), int(columns[1])


def worst_cut(take: Small, track: FaceTrack, times: Sequence[int]) -> float | None:
    """Largest jump of the picture over the steps next to it; about 1 for what moves, however quickly; ``None`` without a face.

    A step is the root mean square difference of neighbouring frames, per usual interval. Movement has steps of its size before
    or after it; a cut stands alone. The jump is ``step / (largest of the two steps before and after + floor)``, of the face
    without the mouth (lips part in one frame) or twice that of the background, which a person does not move.
    """
    face = face_blocks(take, track, share=0.6)
    if face is None:
        return None
    background = background_blocks(take, track)
    of_face = _lone_step(face, times, _FACE_FLOOR_GREY)
    of_background = 0.0 if background is None else 2 * _lone_step(background, times, _BACKGROUND_FLOOR_GREY)
    return max(of_face, of_background)


def _lone_step(blocks: Blocks, times: Sequence[int], floor: float) -> float:
    interval = np.diff(np.asarray(times, np.float64))
    usual = float(np.median(interval))
    # after a dropped frame twice the way was gone
    steps = blocks.steps() * np.minimum(1, usual / np.maximum(interval, 1))
    beside = np.full((4, len(steps)), 0.0)
    for row, away in enumerate((1, 2)):
        beside[row, away:] = steps[:-away]
        beside[row + 2, :-away] = steps[away:]
    return float((steps / (beside.max(axis=0) + floor)).max())


def repeated(blocks: Blocks) -> float:
    """Share of frames that show their neighbour again, up to what coding changes."""
    return float(np.mean(blocks.steps() <= _REPEATED_GREY))


def longest_frozen_ms(blocks: Blocks, times: Sequence[int]) -> int:
    """Longest time, ms, over which every frame is still the first one, up to coding and a sensor's noise.

    Compared with the first and not with the neighbour: who lives moves on, however slowly.
    """
    still = blocks.between() <= _STILL_GREY
    longest = 0
    for first, row in enumerate(still):
        ends = np.flatnonzero(~row[first:])
        last = len(times) - 1 if not len(ends) else first + int(ends[0]) - 1
        longest = max(longest, times[last] - times[first])
    return longest


def loop_ms(blocks: Blocks, times: Sequence[int]) -> int:
    """Length, ms, of the longest stretch with movement in it that was shown before in this take, forward or backward; or 0."""
    at = np.asarray(times)
    path = blocks.from_path()
    again = (path <= _AGAIN_GREY) & (np.abs(at[:-1, None] - at[None]) >= _LOOP_LAG_MS)
    # a match one frame off is a match: clocks of thinned recordings wander that much
    again[1:] |= again[:-1].copy()
    between = blocks.between()
    return max(_longest_diagonal(again, at, between), _longest_diagonal(again[:, ::-1], at, between))


def _longest_diagonal(again: NDArray[np.bool_], at: NDArray[np.int_], between: NDArray[np.float32]) -> int:
    longest = 0
    rows, columns = again.shape
    for offset in range(-rows + 1, columns):
        marks = np.diagonal(again, offset)
        if np.count_nonzero(marks) < 3:
            continue
        first = max(0, -offset)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], marks.astype(np.int8), [0]])))
        for start, end in zip(edges[::2] + first, edges[1::2] + first - 1, strict=True):
            length = int(at[end] - at[start])
            if length > max(longest, _LOOP_LEAST_MS) and between[start : end + 1, start : end + 1].max() >= _MOVED_GREY:
                longest = length
    return longest
