"""What a screen or a sheet of paper leaves in a picture of it: a grid in the skin, an edge that comes along, bands that roll.

Weak signs, each for itself: a fine screen out of focus shows no grid, a sheet may fill the picture. None of them proves a
person; each can only speak against one.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from liveness.evidence import Face, FaceTrack
from liveness.take import Grey, Small, halved

Lines = NDArray[np.float64]
"""``(n, 4)``: x and y of either end, pixels of the frame."""

_LOOKED_AT = 12  # frames

# Landmark indices of the canonical face mesh: cheeks, their outer sides, and the forehead.
_SKIN = (50, 280, 205, 425, 151, 10)
_PATCH_PX = 64
_LEAST_PATCH_PX = 32
_RINGS = ((0.19, 0.31), (0.31, 0.47), (0.47, 0.66), (0.66, 0.84), (0.84, 0.97))  # of the highest frequency

_LINE_WIDTH_PX = 160  # lines are looked for in pictures at least this wide
_LINE_LENGTH = 0.4  # of the face's height, at least
_LINE_REACH = 2.0  # face widths around the face
_LINE_TILT_DEG = 25.0  # off the face's upright or level
_MATCH = 0.06  # face widths: a line is where it was expected
_MATCH_DEG = 4.0
_TELLING = 0.12  # face widths between where a line would be if it moved with the face and if it stood still
_SAME_SHAPE = [33, 133, 263, 362, 1, 61, 291, 199, 10, 152, 234, 454]

_BANDS = 64  # rows a picture is reduced to
_STRIPS = 16
_QUIET_STRIPS = 4
_MOST_WAVES = 8  # bands in the height of a picture


def moire(greys: Sequence[Grey], track: FaceTrack) -> float | None:
    """How far a periodic pattern stands out of the skin's spectrum: log10 of peak over median power, median over frames.

    Skin has no period; the grid of a screen beats against the sensor's (Patel et al. 2015). Power is compared within rings of
    like frequency, for pictures have less of it the finer it is, and on cheeks and forehead alone, for blinds and shirts have
    periods too. ``None`` when no face is large enough for patches of 32 pixels.
    """
    readings = []
    for grey, face in _looked_at(greys, track):
        side = min(_PATCH_PX, int(face.box.width * 0.45) // 2 * 2)
        if side < _LEAST_PATCH_PX:
            continue
        corners = [np.rint(face.landmarks[i, :2] - side / 2).astype(int) for i in _SKIN]
        patches = [grey[max(0, y) : y + side, max(0, x) : x + side] for x, y in corners]
        peaks = [_peak(patch) for patch in patches if patch.shape == (side, side)]
        if peaks:
            readings.append(float(np.median(peaks)))
    return float(np.median(readings)) if readings else None


def _peak(patch: Grey) -> float:
    side = patch.shape[0]
    plain = patch.astype(np.float32)
    fine = plain - cv2.GaussianBlur(plain, (0, 0), side / 21)
    window = np.hanning(side)
    power = np.abs(np.fft.fft2(fine * window[:, None] * window)) ** 2
    frequency = 2 * np.abs(np.fft.fftfreq(side))
    radius = np.hypot(frequency[:, None], frequency)
    rings = (power[(radius >= inner) & (radius < outer)] for inner, outer in _RINGS)
    return max(float(np.log10(max(ring.max(), 1e-9) / max(float(np.median(ring)), 1e-9))) for ring in rings)


def border(greys: Sequence[Grey], track: FaceTrack) -> float | None:
    """Share of straight edges around the face that move as the face does and not as the room does, 0..1.

    Between two frames the face moves by the affine map of its landmarks. An edge for which that map and standing still
    foretell different places counts for a sheet's when it is found where the map puts it and nothing is left where it was. A
    door behind a person stays; the edge of a print comes along. 0 when there is no edge to tell by, ``None`` without a face in
    at least three frames.
    """
    seen = [(face, _lines(grey, face)) for grey, face in _looked_at(greys, track)]
    if len(seen) < 3:
        return None
    along = told = 0
    for one in range(len(seen)):
        for other in range(len(seen)):
            if one != other:
                came, telling = _came_along(*seen[one], *seen[other])
                along, told = along + came, told + telling
    # a handful of chance meetings of hair and clothes is no frame
    return along / told if told >= 2 * len(seen) else 0.0


def _lines(grey: Grey, face: Face) -> Lines:
    """Straight edges near the face that stand upright or level with it."""
    small = grey
    while small.shape[1] >= 2 * _LINE_WIDTH_PX:
        small = halved(small)
    scale = small.shape[1] / grey.shape[1]
    found: NDArray[np.float32] | None = cv2.createLineSegmentDetector().detect(small)[0]  # type: ignore[assignment]
    if found is None:
        return np.zeros((0, 4))
    lines = found.reshape(-1, 4).astype(np.float64) / scale
    box = face.box
    middle = np.array([box.x + box.width / 2, box.y + box.height / 2])
    centre = (lines[:, :2] + lines[:, 2:]) / 2
    long = np.hypot(*(lines[:, 2:] - lines[:, :2]).T) >= _LINE_LENGTH * box.height
    away = np.abs(centre - middle)
    near = (away <= _LINE_REACH * np.array([box.width, box.height])).all(axis=1)
    outside = (away > 0.5 * np.array([box.width, box.height])).any(axis=1)
    eyes = face.points[1] - face.points[0]
    tilt = (_direction(lines) - np.degrees(np.arctan2(eyes[1], eyes[0])) + 45) % 90 - 45
    return np.asarray(lines[long & near & outside & (np.abs(tilt) <= _LINE_TILT_DEG)])


def _came_along(one: Face, lines: Lines, other: Face, others: Lines) -> tuple[int, int]:
    """How many of ``lines`` moved with the face, of how many that can tell."""
    if not len(lines):
        return 0, 0
    points = np.hstack([one.landmarks[_SAME_SHAPE, :2].astype(np.float64), np.ones((len(_SAME_SHAPE), 1))])
    move = np.linalg.lstsq(points, other.landmarks[_SAME_SHAPE, :2].astype(np.float64), rcond=None)[0]
    ends = np.hstack([lines.reshape(-1, 2), np.ones((2 * len(lines), 1))]) @ move
    moved = ends.reshape(-1, 4)
    telling = np.abs(_off(moved, lines)).max(axis=1) > _TELLING * one.box.width
    reach = _MATCH * one.box.width
    came = _found(moved, others, reach) & ~_found(lines, others, reach)
    return int(np.count_nonzero(telling & came)), int(np.count_nonzero(telling))


def _found(lines: Lines, among: Lines, reach: float) -> NDArray[np.bool_]:
    """Which of ``lines`` has one of ``among`` lying along it."""
    found = np.zeros(len(lines), np.bool_)
    for candidate in among:
        turned = (_direction(lines) - _direction(candidate[None]) + 90) % 180 - 90
        middle = (candidate[:2] + candidate[2:]) / 2
        span = np.hypot(*(lines[:, 2:] - lines[:, :2]).T)
        beside = np.hypot(*(middle - (lines[:, :2] + lines[:, 2:]) / 2).T) <= span
        near = np.abs(_off(lines, np.tile(middle, 2)[None])).max(axis=1) <= reach
        found |= near & beside & (np.abs(turned) <= _MATCH_DEG)
    return found


def _off(lines: Lines, points: Lines) -> NDArray[np.float64]:
    """``(n, 2)`` distances of the two ends of ``points`` from the straight line through each of ``lines``."""
    way = lines[:, 2:] - lines[:, :2]
    across = np.stack([-way[:, 1], way[:, 0]], axis=1) / np.maximum(np.hypot(*way.T), 1e-6)[:, None]
    ends = (points.reshape(-1, 2, 2) - lines[:, None, :2]) * across[:, None]
    return np.asarray(ends.sum(axis=2))


def _direction(lines: Lines) -> NDArray[np.float64]:
    return np.asarray(np.degrees(np.arctan2(lines[:, 3] - lines[:, 1], lines[:, 2] - lines[:, 0])))


def flicker(take: Small) -> float | None:
    """Strength of bright bands that roll steadily over the picture, percent of the light; ``None`` for under 24 frames.

    A screen's refresh and a sensor's rows drift past each other, and so may mains light: a sign, and no more. Light of the rows
    over time is taken where least happens, beside the person; of one to eight bands in the height the one that keeps its pace
    best.
    """
    if len(take.quarter) < 24:
        return None
    strips = _quiet_strips(take)
    rows = np.median(strips, axis=2)
    rows -= rows.mean(axis=1, keepdims=True)
    waves = np.fft.fft(rows, axis=1)[:, 1 : _MOST_WAVES + 1] / _BANDS
    window = np.hanning(len(rows))[:, None]
    strength = np.abs(np.fft.fft((waves - waves.mean(axis=0)) * window, axis=0)) / window.sum()
    slow = max(3, len(rows) // 20)  # what changes in a second or more is the scene
    steady = strength[slow:-slow]
    best = int((steady.max(axis=0) / np.maximum(np.median(steady, axis=0), 1e-9)).argmax())
    return float(200 * steady[:, best].max())


def _quiet_strips(take: Small) -> NDArray[np.float64]:
    """``(n, 64, 4)``: relative light of rows over time, in the four upright strips in which least moves."""
    quarter = (each.astype(np.float32) for each in take.quarter)
    light = np.stack([cv2.resize(picture, (_STRIPS, _BANDS), interpolation=cv2.INTER_AREA) for picture in quarter])
    relative = np.log1p(light.astype(np.float64))
    relative -= np.median(relative, axis=0)
    restless = relative.std(axis=0).mean(axis=0)
    chosen = np.sort(np.argsort(restless, kind="stable")[:_QUIET_STRIPS])
    return np.asarray(relative[:, :, chosen])


def _looked_at(greys: Sequence[Grey], track: FaceTrack) -> list[tuple[Grey, Face]]:
    """At most twelve frames that show a face, evenly spread over the take, with it."""
    seen = [(place, s.faces[0]) for place, s in enumerate(track.sightings) if s.faces]
    most = _LOOKED_AT
    chosen = [seen[(2 * i + 1) * len(seen) // (2 * most)] for i in range(most)] if len(seen) > most else seen
    return [(greys[place], face) for place, face in chosen]
