"""How solid a turning head is, from the pixels alone.

Points on the skin are followed while the head turns. On a flat sheet all of them move as one homography says, whatever way the
sheet is held (Hartley and Zisserman, *Multiple View Geometry*, 13.1); a nose before two cheeks does not. What is left
after the best homography, over the distance between the eyes, is the parallax.

A sheet of paper bent strongly has such a parallax too, but paper bends one way only: along some direction it stays straight. So
the points are also compared with the best bent sheet, with that direction free. What a nose does is left over from both.

The landmark net says where the face is and how far it has turned, never where a point went: it sees a head in a photograph
too, and would put its own depth into the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from liveness.capture import Frame, RgbImage
from liveness.evidence import Face, FaceTrack, Parallax, Sighting
from liveness.turns import Baseline, PerformedTurn, own_yaw

Points = NDArray[np.float32]
"""``(n, 2) float32``: x, y in pixels of the frame."""

_LEAST_CHANGE_DEG, _MOST_CHANGE_DEG = 10.0, 28.0
_WANTED_CHANGE_DEG = 20.0  # wide enough to tell a head from a sheet, and every path's turn gets there
_FRONT_WITHIN_DEG = 10.0  # the frontal frame of a turn: as near to the baseline as there is, and no further off
_FRONT_WITHIN_MS = 1_500
_LEAST_POINTS = 24  # a homography has eight unknowns: three equations for each
_ENOUGH_POINTS = 60
_MOST_POINTS = 200
_MOST_STEPS = 10  # a slow turn is followed in longer strides
_BACK_AND_FORTH_PX = 0.7  # followed there and back, a point must arrive where it began
_SPACING_PX = 4.0
_WINDOW = (21, 21)
_LEVELS = 3
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.02)
_REWEIGHTINGS = 6
_BENDS = 8  # directions in which a sheet may stay straight, over half a circle
_BEND_DEGREE = 3  # of the polynomial across that direction
_WORKED_EYE_DISTANCE_PX = 80.0  # every face is followed at this size

# Landmark indices of the canonical face mesh: rims of the eyes with the brows, and of the lips.
_RIGHT_EYE = [33, 133, 159, 145, 70, 63, 105, 66, 107, 226, 244]
_LEFT_EYE = [263, 362, 386, 374, 300, 293, 334, 296, 336, 446, 464]
_MOUTH = [61, 291, 0, 17, 40, 270, 91, 321, 57, 287]
_MESH = 468  # what follows are the irises


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Followed:
    """Points of one frame found again in another. ``before``, ``after``: :data:`Points`, in the same order."""

    before: Points = field(repr=False)
    after: Points = field(repr=False)


def parallax(
    frames: Mapping[int, Frame],
    track: FaceTrack,
    front: Baseline,
    turns: Sequence[PerformedTurn],
    *,
    mirrored: bool,
) -> tuple[Parallax, ...]:
    """One reading for each turn that could be measured, in order; a turn without one was not measured.

    frames : by ``at_ms``. Each turn is followed from its nearest frontal frame outward; where few points last, also from the
    frontal frame after it backward in time, and the way with more points counts. The reading is taken where the yaw has
    changed by 20 degrees or as near to that as the turn has a frame.
    """
    seen = [s for s in track.sightings if s.faces and s.at_ms in frames]
    found = []
    for number, turn in enumerate(turns):
        reading = _reading(number, _way_out(seen, turn, front, mirrored=mirrored), frames, mirrored=mirrored)
        if reading is None or reading.points < _ENOUGH_POINTS:
            other = _reading(number, _way_back(seen, turn, front, mirrored=mirrored), frames, mirrored=mirrored)
            reading = max((r for r in (reading, other) if r is not None), key=lambda r: r.points, default=None)
        if reading is not None:
            found.append(reading)
    return tuple(found)


def _way_out(seen: Sequence[Sighting], turn: PerformedTurn, front: Baseline, *, mirrored: bool) -> list[Sighting]:
    """Sightings from a frontal one to where the turn is wide enough, in the order in which they are followed."""
    before = [s for s in seen if turn.start_ms - _FRONT_WITHIN_MS <= s.at_ms < turn.start_ms]
    within = [s for s in seen if turn.start_ms <= s.at_ms <= turn.reached_ms]
    return _from_front(before, within, front, mirrored=mirrored)


def _way_back(seen: Sequence[Sighting], turn: PerformedTurn, front: Baseline, *, mirrored: bool) -> list[Sighting]:
    """The same for the way back to the camera, later sightings first; empty when the person did not come back."""
    if turn.end_ms is None:
        return []
    after = [s for s in seen if turn.end_ms <= s.at_ms <= turn.end_ms + _FRONT_WITHIN_MS]
    within = [s for s in seen if turn.reached_ms <= s.at_ms < turn.end_ms]
    return _from_front(after[::-1], within[::-1], front, mirrored=mirrored)


def _from_front(
    frontal: Sequence[Sighting], turning: Sequence[Sighting], front: Baseline, *, mirrored: bool
) -> list[Sighting]:
    """``frontal`` from its last sighting that is as near to the baseline as any, then ``turning``."""
    off = [abs(own_yaw(s.faces[0], mirrored=mirrored) - front.yaw_deg) for s in frontal]
    if not off or min(off) > _FRONT_WITHIN_DEG:
        return []
    # within two degrees of the nearest: the later, the shorter the way and the surer the following
    start = max(i for i, degrees in enumerate(off) if degrees <= min(off) + 2)
    return [*frontal[start:], *turning]


def _reading(number: int, way: Sequence[Sighting], frames: Mapping[int, Frame], *, mirrored: bool) -> Parallax | None:
    if len(way) < 2:
        return None
    yaw = [own_yaw(s.faces[0], mirrored=mirrored) for s in way]
    change = [abs(degrees - yaw[0]) for degrees in yaw]
    wide = [i for i, degrees in enumerate(change) if _LEAST_CHANGE_DEG <= degrees <= _MOST_CHANGE_DEG]
    if not wide:
        return None
    end = min(wide, key=lambda i: abs(change[i] - _WANTED_CHANGE_DEG))
    stride = -(-end // _MOST_STEPS)
    steps = [*way[:end:stride], way[end]]
    followed = follow([frames[s.at_ms].image for s in steps], [s.faces[0] for s in steps])
    if len(followed.before) < _LEAST_POINTS:
        return None
    return Parallax(
        turn=number,
        yaw_change_deg=change[end],
        residual=float(np.median(from_flat(followed))) / eye_distance(way[0].faces[0]),
        sheet=float(np.percentile(from_bent(followed), 75)) / eye_distance(way[0].faces[0]),
        points=len(followed.before),
    )


def eye_distance(face: Face) -> float:
    """Distance between the eyes in the picture, pixels."""
    return max(float(np.linalg.norm(face.points[1] - face.points[0])), 1.0)


def follow(images: Sequence[RgbImage], faces: Sequence[Face]) -> Followed:
    """Skin of the first picture found again in the last, through all between.

    Pyramidal Lucas-Kanade (Bouguet 2001) from picture to picture; a step counts only when following it backward returns
    (Kalal et al. 2010). Then the whole way is followed at once from where the steps led, so that their errors do not add up.
    """
    corner, crop = _window(images, faces)
    scale = _WORKED_EYE_DISTANCE_PX / eye_distance(faces[0])
    grey = [_grey(image[crop], scale) for image in images]
    start: NDArray[np.float32] | None = cv2.goodFeaturesToTrack(  # type: ignore[assignment]  # its types forget None
        grey[0],
        _MOST_POINTS,
        0.005,
        _SPACING_PX,
        mask=_skin(faces[0], corner, scale, grey[0].shape),
        blockSize=5,
    )
    if start is None:
        return Followed(before=np.zeros((0, 2), np.float32), after=np.zeros((0, 2), np.float32))
    first = np.ascontiguousarray(start.reshape(-1, 2), np.float32)
    now, kept = first, np.ones(len(first), np.bool_)
    for one, other in pairwise(grey):
        now, good = _step(one, other, now, None)
        kept &= good
    if len(grey) > 2:
        now, good = _step(grey[0], grey[-1], first, now)
        kept &= good
    kept &= _inside(_skin(faces[-1], corner, scale, grey[0].shape), now)
    return Followed(before=first[kept] / scale + corner, after=now[kept] / scale + corner)


def from_flat(followed: Followed) -> NDArray[np.float64]:
    """How far each point came to lie from where the best homography puts it, ``(n,)`` pixels.

    Least squares, reweighted (Tukey's biweight) so that a few points that slipped do not bend it; no chance is involved.
    """
    weights = np.ones(len(followed.before))
    apart = np.zeros(len(followed.before))
    for _ in range(_REWEIGHTINGS):
        apart = np.linalg.norm(
            _projected(homography(followed.before, followed.after, weights), followed.before) - followed.after, axis=1
        )
        weights = _biweight(apart)
    return apart


def from_bent(followed: Followed) -> NDArray[np.float64]:
    """How far each point came to lie from where the best bent sheet puts it, ``(n,)`` pixels.

    A ruled sheet seen from afar: with ``u`` across and ``v`` along the direction in which it stays straight, both coordinates
    of the moved point are a cubic in ``u`` plus ``v`` times a line in ``u``. Of eight directions the one that fits best.
    """
    points = (_homogeneous(followed.before) @ _normalising(followed.before).T)[:, :2]
    fits = []
    for angle in np.arange(_BENDS) * np.pi / _BENDS:
        across = points @ np.array([np.cos(angle), np.sin(angle)])
        along = points @ np.array([-np.sin(angle), np.cos(angle)])
        powers = [across**power for power in range(_BEND_DEGREE + 1)]
        fits.append(_left_over(np.stack([*powers, along, along * across], axis=1), followed.after))
    return min(fits, key=lambda apart: float(np.median(apart)))


def _left_over(columns: NDArray[np.float64], wanted: Points) -> NDArray[np.float64]:
    """Distances that the best robust linear fit of ``columns`` to ``wanted`` leaves."""
    weights = np.ones(len(wanted))
    apart = np.zeros(len(wanted))
    for _ in range(_REWEIGHTINGS):
        root = np.sqrt(weights)[:, None]
        found = np.linalg.lstsq(columns * root, wanted * root, rcond=None)[0]
        apart = np.linalg.norm(columns @ found - wanted, axis=1)
        weights = _biweight(apart)
    return apart


def _biweight(apart: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tukey's weights at 4.685 times the robust spread; full weight for all when there is hardly any."""
    reach = 4.685 * 1.4826 * max(float(np.median(apart)), 0.02)
    weights: NDArray[np.float64] = np.clip(1 - (apart / reach) ** 2, 0, None) ** 2
    return weights


def homography(before: Points, after: Points, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ``(3, 3)`` homography from ``before`` to ``after`` with the least weighted algebraic error.

    Normalised direct linear transform (Hartley 1997).
    """
    one, other = _normalising(before), _normalising(after)
    x, y = _homogeneous(before) @ one.T, _homogeneous(after) @ other.T
    zero = np.zeros_like(x)
    rows = np.concatenate(
        [
            np.hstack([x, zero, -y[:, :1] * x]) * weights[:, None],
            np.hstack([zero, x, -y[:, 1:2] * x]) * weights[:, None],
        ]
    )
    basis = np.linalg.svd(rows, full_matrices=False)[2]
    found: NDArray[np.float64] = np.linalg.inv(other) @ basis[-1].reshape(3, 3) @ one
    return found


def _homogeneous(points: Points) -> NDArray[np.float64]:
    return np.hstack([points.astype(np.float64), np.ones((len(points), 1))])


def _normalising(points: Points) -> NDArray[np.float64]:
    middle = points.mean(axis=0)
    size = np.sqrt(2) / max(float(np.linalg.norm(points - middle, axis=1).mean()), 1e-6)
    return np.array([[size, 0, -size * middle[0]], [0, size, -size * middle[1]], [0, 0, 1]], np.float64)


def _projected(found: NDArray[np.float64], points: Points) -> NDArray[np.float64]:
    moved = _homogeneous(points) @ found.T
    depth = np.where(np.abs(moved[:, 2:]) < 1e-9, 1e-9, moved[:, 2:])
    projected: NDArray[np.float64] = moved[:, :2] / depth
    return projected


def _step(
    one: NDArray[np.uint8], other: NDArray[np.uint8], points: Points, guess: Points | None
) -> tuple[Points, NDArray[np.bool_]]:
    """Where ``points`` of ``one`` are in ``other``, and which of them come back when followed backward."""
    there, seen = _followed_once(one, other, points, points if guess is None else guess)
    back, seen_back = _followed_once(other, one, there, there if guess is None else points)
    returns = np.linalg.norm(back - points, axis=1) <= _BACK_AND_FORTH_PX
    return there, seen & seen_back & returns


def _followed_once(
    one: NDArray[np.uint8], other: NDArray[np.uint8], points: Points, guess: Points
) -> tuple[Points, NDArray[np.bool_]]:
    there, seen, _ = cv2.calcOpticalFlowPyrLK(
        one,
        other,
        points,
        guess.copy(),  # the guess is written over
        winSize=_WINDOW,
        maxLevel=_LEVELS,
        criteria=_STOP,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    return np.asarray(there, np.float32), np.asarray(seen).ravel() > 0


def _window(images: Sequence[RgbImage], faces: Sequence[Face]) -> tuple[Points, tuple[slice, slice]]:
    """The part of the pictures that holds the face throughout: its corner, and the slices that cut it out."""
    height, width = images[0].shape[:2]
    margin = 0.15 * faces[0].box.width
    left = max(0, int(min(f.box.x for f in faces) - margin))
    top = max(0, int(min(f.box.y for f in faces) - margin))
    right = min(width, int(max(f.box.x + f.box.width for f in faces) + margin))
    bottom = min(height, int(max(f.box.y + f.box.height for f in faces) + margin))
    right, bottom = max(right, left + 32), max(bottom, top + 32)
    return np.array([left, top], np.float32), (slice(top, bottom), slice(left, right))


def _grey(image: RgbImage, scale: float) -> NDArray[np.uint8]:
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=method), np.uint8)


def _skin(face: Face, corner: Points, scale: float, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """255 on the face but for eyes, brows and mouth, which move by themselves; 0 elsewhere."""
    points = (face.landmarks[:, :2] - corner) * scale
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(points[:_MESH]).astype(np.int32)), 255)
    # what is behind the outline moves otherwise: a cut-out print must not look solid for it
    rim = max(3, round(0.06 * face.box.width * scale))
    mask = np.asarray(cv2.erode(mask, np.ones((rim, rim), np.uint8)), np.uint8)
    for hole in (_RIGHT_EYE, _LEFT_EYE, _MOUTH):
        cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(points[hole]).astype(np.int32)), 0)
    return mask


def _inside(mask: NDArray[np.uint8], points: Points) -> NDArray[np.bool_]:
    at = np.rint(points).astype(int)
    within = (at[:, 0] >= 0) & (at[:, 1] >= 0) & (at[:, 0] < mask.shape[1]) & (at[:, 1] < mask.shape[0])
    x, y = np.clip(at[:, 0], 0, mask.shape[1] - 1), np.clip(at[:, 1], 0, mask.shape[0] - 1)
    inside: NDArray[np.bool_] = within & (mask[y, x] > 0)
    return inside
