"""Which turns a head really made, from its yaw over time.

Pure: a face track in, turns out. Angles are relative to the person's own frontal baseline and positive to the person's own
left, whatever way the camera mirrors.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from liveness.challenge import Direction
from liveness.evidence import Face, FaceTrack
from liveness.policy import LivenessPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The person looking at the camera: median angles (degrees, own left positive) over ``start_ms <= t < end_ms``."""

    start_ms: int
    end_ms: int
    yaw_deg: float
    pitch_deg: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformedTurn:
    """One excursion to a side that reached the asked angle and was held.

    start_ms : left the frontal zone. reached_ms : first at the asked angle. end_ms : back in the frontal zone, or ``None``
    when the recording ends before. held_ms : longest time at or beyond the asked angle.
    """

    direction: Direction
    start_ms: int
    reached_ms: int
    end_ms: int | None
    peak_deg: float
    held_ms: int


def own_yaw(face: Face, *, mirrored: bool) -> float:
    """Yaw in degrees, positive to the person's own left."""
    return -face.yaw_deg if mirrored else face.yaw_deg


def yaw_over_time(track: FaceTrack, *, mirrored: bool) -> list[tuple[int, float]]:
    """(ms, degrees to the own left) of the largest face of each frame that shows one."""
    return [(s.at_ms, own_yaw(s.faces[0], mirrored=mirrored)) for s in track.sightings if s.faces]


def baseline(track: FaceTrack, *, policy: LivenessPolicy, mirrored: bool) -> Baseline | None:
    """The first stretch in which the person looks at the camera for long enough, or ``None``."""
    if not track.sightings:
        return None
    first_ms = track.sightings[0].at_ms
    stretch: list[tuple[int, float, float]] = []
    for sighting in track.sightings:
        if sighting.at_ms - first_ms > policy.baseline_within.value + policy.baseline_hold.value:
            return None
        face = sighting.faces[0] if sighting.faces else None
        if (
            face is None
            or abs(face.yaw_deg) > policy.baseline_yaw.value
            or abs(face.pitch_deg) > policy.baseline_pitch.value
        ):
            stretch = []
            continue
        stretch.append((sighting.at_ms, own_yaw(face, mirrored=mirrored), face.pitch_deg))
        if stretch[-1][0] - stretch[0][0] >= policy.baseline_hold.value:
            return Baseline(
                start_ms=stretch[0][0],
                end_ms=stretch[-1][0],
                yaw_deg=median(yaw for _, yaw, _ in stretch),
                pitch_deg=median(pitch for _, _, pitch in stretch),
            )
    return None


def performed_turns(
    yaw: list[tuple[int, float]], *, zero_deg: float, policy: LivenessPolicy
) -> tuple[PerformedTurn, ...]:
    """All turns in order. ``yaw`` as :func:`yaw_over_time` gives it, ``zero_deg`` the baseline's yaw."""
    relative = [(at_ms, degrees - zero_deg) for at_ms, degrees in yaw]
    turns = (_turn(stretch, end_ms, policy) for stretch, end_ms in _excursions(relative, policy.turn_return.value))
    return tuple(turn for turn in turns if turn is not None)


def _excursions(relative: list[tuple[int, float]], zone_deg: float) -> list[tuple[list[tuple[int, float]], int | None]]:
    """Maximal stretches outside the frontal zone on one side, each with the time at which it ended."""
    found: list[tuple[list[tuple[int, float]], int | None]] = []
    stretch: list[tuple[int, float]] = []
    for at_ms, degrees in relative:
        outside = abs(degrees) > zone_deg
        if stretch and not (outside and degrees * stretch[-1][1] > 0):
            found.append((stretch, at_ms))
            stretch = []
        if outside:
            stretch.append((at_ms, degrees))
    if stretch:
        found.append((stretch, None))
    return found


def _turn(stretch: list[tuple[int, float]], end_ms: int | None, policy: LivenessPolicy) -> PerformedTurn | None:
    reached = [(at_ms, degrees) for at_ms, degrees in stretch if abs(degrees) >= policy.turn_yaw.value]
    if not reached:
        return None
    held_ms = longest_run_ms(
        [(at_ms, abs(degrees) >= policy.turn_yaw.value) for at_ms, degrees in stretch], until_ms=end_ms
    )
    if held_ms < policy.turn_hold.value:
        return None
    return PerformedTurn(
        direction=Direction.LEFT if stretch[0][1] > 0 else Direction.RIGHT,
        start_ms=stretch[0][0],
        reached_ms=reached[0][0],
        end_ms=end_ms,
        peak_deg=max(abs(degrees) for _, degrees in stretch),
        held_ms=held_ms,
    )


def longest_run_ms(marks: list[tuple[int, bool]], *, until_ms: int | None = None) -> int:
    """Longest time over which neighbouring marks are true, from the first true one to the first that is not."""
    ends = [*marks, (until_ms if until_ms is not None else marks[-1][0], False)] if marks else []
    longest, since = 0, None
    for (at_ms, true), (next_ms, _) in pairwise(ends):
        if not true:
            since = None
            continue
        since = at_ms if since is None else since
        longest = max(longest, next_ms - since)
    return longest
