"""What makes a take itself: how its head and mouth moved over time. It tells a copy of a recording from another take of one
person in one room.

Context: copies are encoded again, scaled, cropped, made brighter, sped up a little, mirrored. Pictures hashed as a whole are
alike for any two takes of one person on one chair, and keep something of the face. Movement is neither: nobody turns, sways and
speaks twice with the same pauses, and neither light nor frame nor size is in it.

Outcome: yaw, pitch, roll and the opening of the mouth at five readings a second, rounded to a byte each; of at most 25 seconds,
512 bytes. Two fingerprints are compared as movement (the change from reading to reading), over every lag that leaves most of
the shorter one and every pace from 0.75 to 1.33, as they are and mirrored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from liveness.evidence import FaceTrack, Fingerprint
from liveness.lips import mouth_opening

Series = NDArray[np.float64]
"""``(4, n)``: yaw, pitch, roll and mouth, a reading every 200 ms, in steps of a byte (see ``_STEP``)."""

_EVERY_MS = 200
_MOST_READINGS = 128  # 25.6 s
_LEAST_READINGS = 15  # 3 s: less has too few movements to be like nothing else
_STEP = np.array([[1.0], [0.7], [0.4], [0.012]])  # degrees, and jawOpen + lip gap: about a landmark's noise
_MIDDLE = np.array([[128], [128], [128], [0]])
_CHANNELS = len(_STEP)
_STILL = 0.8  # steps, root mean square: a channel that changes less does not move
_PACES = tuple(1.03**power for power in range(-10, 11))
_NEARER = (0.985, 1.0, 1.015)  # paces tried again around the best
_WORTH_A_CLOSER_LOOK = 0.3  # likeness
_LEAST_OVERLAP = 0.7  # of the shorter take


def fingerprint(track: FaceTrack) -> Fingerprint:
    """The fingerprint of a take. ``words`` are bytes: yaw, pitch, roll and mouth of the first reading, then of the next.

    Empty when less than three seconds show a face: see :func:`distance`.
    """
    seen = [(s.at_ms, s.faces[0]) for s in track.sightings if s.faces]
    if not seen:
        return Fingerprint(words=())
    at = np.array([at_ms for at_ms, _ in seen], np.float64)
    values = np.array([(f.yaw_deg, f.pitch_deg, f.roll_deg, mouth_opening(f)) for _, f in seen]).T
    count = min(int((at[-1] - at[0]) // _EVERY_MS), _MOST_READINGS)
    if count < _LEAST_READINGS:
        return Fingerprint(words=())
    # the mean of each 200 ms: a single frame's landmark noise is no movement
    edges = at[0] + _EVERY_MS * np.arange(count + 1)
    readings = np.stack([_means(at, channel, edges) for channel in values])
    words = np.clip(np.rint(readings / _STEP) + _MIDDLE, 0, 255).astype(int)
    return Fingerprint(words=tuple(int(word) for word in words.T.ravel()))


def distance(one: Fingerprint, other: Fingerprint) -> float:
    """How unlike two takes are: 0 for the same movement, 1 for unrelated ones or where there is nothing to compare.

    One less the largest correlation of the two movements, the mean of those channels in which either moves.
    """
    first, second = _series(one), _series(other)
    if first is None or second is None:
        return 1.0
    if first.shape[1] < second.shape[1]:
        first, second = second, first
    still = np.diff(second, axis=1)
    best, pace = max((_likeness(_at_pace(first, pace), still), pace) for pace in _PACES)
    if best > _WORTH_A_CLOSER_LOOK:
        best = max(_likeness(_at_pace(first, pace * near, later), still) for near in _NEARER for later in (0.0, 0.5))
    return float(np.clip(1 - best, 0, 1))


def to_bytes(of: Fingerprint) -> bytes:
    """At most 512 bytes."""
    return bytes(of.words)


def from_bytes(data: bytes) -> Fingerprint:
    """The fingerprint that :func:`to_bytes` wrote."""
    return Fingerprint(words=tuple(data))


def _means(at: NDArray[np.float64], channel: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the straight line through the readings over each interval: nothing is lost when frames come unevenly."""
    fine = np.linspace(edges[0], edges[-1], 4 * (len(edges) - 1) + 1)
    line = np.interp(fine, at, channel)
    return np.asarray(((line[:-1] + line[1:]) / 2).reshape(-1, 4).mean(axis=1))


def _series(of: Fingerprint) -> Series | None:
    if len(of.words) < _CHANNELS * _LEAST_READINGS or len(of.words) % _CHANNELS:
        return None
    return np.asarray(np.array(of.words, np.float64).reshape(-1, _CHANNELS).T - _MIDDLE)


def _at_pace(series: Series, pace: float, later: float = 0.0) -> Series:
    """Movement of a take shown ``pace`` times as fast and first read ``later`` readings later."""
    at = np.arange(int((series.shape[1] - 1 - later) / pace) + 1) * pace + later
    read = [np.interp(at, np.arange(series.shape[1]), channel) for channel in series]
    return np.diff(np.stack(read), axis=1)


def _likeness(one: Series, other: Series) -> float:
    """Largest mean correlation of two movements over all lags, as they are or mirrored."""
    long, short = one.shape[1], other.shape[1]
    lags = np.arange(-short + 1, long)
    overlap = np.minimum(lags + short, long) - np.maximum(lags, 0)
    allowed = overlap >= max(_LEAST_OVERLAP * min(long, short), _LEAST_READINGS - 1)
    if not allowed.any():
        return 0.0
    start, end = np.maximum(lags, 0), np.minimum(lags + short, long)
    correlations, moving = [], []
    for mine, theirs in zip(one, other, strict=True):
        product = np.correlate(mine, theirs, mode="full")
        energy = _between(mine, start, end)
        energy_there = _between(theirs, start - lags, end - lags)
        floor = _STILL**2 * overlap
        correlations.append(product / np.sqrt(np.maximum(energy, floor) * np.maximum(energy_there, floor)))
        moving.append(np.maximum(energy, energy_there) > floor)
    weight = np.asarray(moving, np.float64)
    yaw, pitch, roll, mouth = np.asarray(correlations) * weight
    # two channels at least: a head that turns once is like any other that does
    channels = np.maximum(weight.sum(axis=0), 2)
    either = (np.abs(yaw + roll) + pitch + mouth) / channels
    return float(either[allowed].max())


def _between(series: NDArray[np.float64], start: NDArray[np.int_], end: NDArray[np.int_]) -> NDArray[np.float64]:
    """Sum of squares of ``series[start:end]`` for each pair."""
    total = np.concatenate([[0.0], np.cumsum(series**2)])
    return np.asarray(total[end] - total[start])
