"""How a face moves by itself, beyond what moving a picture of it can give.

A picture that is carried, tilted or turned moves all of its points by one homography; a living face also blinks, breathes and
shifts its brows, cheeks and lips against each other, and its nose against its ears. So: bring every frame's landmarks onto the
first by the best homography, and see how far each point still wanders.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from liveness.evidence import Face, FaceTrack
from liveness.policy import LivenessPolicy

_EVERY_MS = 200  # five looks a second: slow motion counts, landmark noise of neighbouring frames does not add up
_LEAST_FRAMES = 8
_BLINK_SHUT, _BLINK_OPEN = 0.5, 0.25  # blendshape 0..1
_STEP = 6  # every sixth of the 478 landmarks is enough for a homography


def blinked(track: FaceTrack) -> bool:
    """Both eyes closed and opened again at some time, while facing the camera more or less."""
    shut = [
        min(s.faces[0].blink_left, s.faces[0].blink_right)
        for s in track.sightings
        if s.faces and abs(s.faces[0].yaw_deg) < 20
    ]
    closed = [i for i, value in enumerate(shut) if value >= _BLINK_SHUT]
    return bool(closed) and min(shut[: closed[0]], default=1.0) < _BLINK_OPEN and min(shut[closed[-1] :]) < _BLINK_OPEN


def micromotion(track: FaceTrack, *, policy: LivenessPolicy) -> float | None:
    """Median over the landmarks of how far each wanders (standard deviation over time, of the eye distance) once the best
    homography has brought every frame onto the first; ``None`` with too few frames that face the camera."""
    chosen: list[Face] = []
    last_ms = -_EVERY_MS
    for sighting in track.sightings:
        if sighting.faces and sighting.at_ms - last_ms >= _EVERY_MS:
            face = sighting.faces[0]
            if abs(face.yaw_deg) <= policy.baseline_yaw.value and abs(face.pitch_deg) <= policy.baseline_pitch.value:
                chosen.append(face)
                last_ms = sighting.at_ms
    if len(chosen) < _LEAST_FRAMES:
        return None
    first = _points(chosen[0])
    eyes = float(np.linalg.norm(chosen[0].points[0] - chosen[0].points[1]))
    if eyes < 1:
        return None
    moved = np.stack([_onto(first, _points(face)) - first for face in chosen[1:]]) / eyes
    wander = np.sqrt(moved.var(axis=0).sum(axis=1))
    return float(np.median(wander))


def _points(face: Face) -> NDArray[np.float64]:
    return np.asarray(face.landmarks[::_STEP, :2], np.float64)


def _onto(first: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """``points`` brought onto ``first`` by the homography of least squares (linear form, coordinates centred and scaled)."""
    middle, scale = first.mean(axis=0), float(first.std()) or 1.0
    wanted, given = (first - middle) / scale, (points - middle) / scale
    x, y, u, v = given[:, 0], given[:, 1], wanted[:, 0], wanted[:, 1]
    one, none = np.ones_like(x), np.zeros_like(x)
    rows = np.concatenate(
        (
            np.stack((x, y, one, none, none, none, -u * x, -u * y), axis=1),
            np.stack((none, none, none, x, y, one, -v * x, -v * y), axis=1),
        )
    )
    a, b, c, d, e, f, g, h = np.linalg.lstsq(rows, np.concatenate((u, v)), rcond=None)[0]
    down = g * x + h * y + 1
    moved = np.stack(((a * x + b * y + c) / down, (d * x + e * y + f) / down), axis=1)
    return np.asarray(moved * scale + middle, np.float64)
