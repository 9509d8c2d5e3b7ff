"""At which moments of a take the person is looked at again. Pure: a face track in, frames to look at out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from liveness.challenge import Challenge, SayDigits
from liveness.evidence import Face, FaceTrack, Sighting, Transcript, Word
from liveness.lips import mouth_opening
from liveness.nods import NodGroup
from liveness.policy import LivenessPolicy
from liveness.turns import Baseline, PerformedTurn, own_yaw

_RETURN_WINDOW_MS = 700  # after a turn's end: where the person is looked at again
_GROUP_MOMENTS = 3  # in each group of digits or nods
_TRIES = 3  # frames near a moment that may be looked at when no face is found in the first
_SPOOF_FRAMES = 8
_ASIDE_DEG = 16.0  # from the baseline: beside the camera, and the face still whole
_ASIDE_WITHIN_DEG = (10.0, 24.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """``phase`` : as in ``checks.phases_of`` and ``checks.turned_phases_of``. candidates : the best frame first."""

    phase: str
    candidates: tuple[Sighting, ...]


def moments(
    track: FaceTrack,
    front: Baseline,
    turns: Sequence[PerformedTurn],
    nods: Sequence[NodGroup],
    transcript: Transcript | None,
    challenge: Challenge,
    *,
    policy: LivenessPolicy,
    mirrored: bool,
) -> tuple[Moment, ...]:
    """At the start, in each group of digits or nods and after each turn, facing the camera; and on the way out and back of each
    turn. ``policy`` : as it holds for the challenge. A moment that did not come has none here."""
    seen = [s for s in track.sightings if s.faces]
    facing = [s for s in seen if _from_front(s.faces[0], front, mirrored=mirrored) <= policy.turn_return.value]
    found = [*_spread("start", facing, front.start_ms, front.end_ms + 1, 1)]
    for number, (start_ms, end_ms) in enumerate(_digit_spans(transcript, challenge), start=1):
        found += _spread(f"digits_{number}", facing, start_ms, end_ms, _GROUP_MOMENTS)
    for number, group in enumerate(nods, start=1):
        found += _spread(f"nods_{number}", facing, group.start_ms, group.end_ms + 1, _GROUP_MOMENTS)
    for number, turn in enumerate(turns, start=1):
        found += _aside(number, turn, seen, front, mirrored=mirrored)
        if turn.end_ms is not None:
            found += _spread(f"return_{number}", facing, turn.end_ms, turn.end_ms + _RETURN_WINDOW_MS, 1)
    return tuple(found)


def spoof_sightings(track: FaceTrack, policy: LivenessPolicy) -> tuple[Sighting, ...]:
    """Frames for the attack score, evenly over all that face the camera."""
    facing = [s for s in track.sightings if s.faces and abs(s.faces[0].yaw_deg) <= policy.baseline_yaw.value]
    return tuple(facing[place] for place in _evenly(len(facing), _SPOOF_FRAMES))


def best_portraits(sightings: Iterable[Sighting], most: int) -> tuple[Sighting, ...]:
    """Those that would make the best portraits, best first: one face, facing the camera, mouth closed, eyes open."""
    alone = (s for s in sightings if len(s.faces) == 1)
    return tuple(sorted(alone, key=lambda s: (_portrait_cost(s.faces[0]), s.at_ms))[:most])


def _portrait_cost(face: Face) -> float:
    # degrees off the camera, with an open mouth or closed eyes weighing as much as 50 or 30 degrees
    off = abs(face.yaw_deg) + abs(face.roll_deg) / 2 + abs(face.pitch_deg) / 2
    return off + 50 * mouth_opening(face) + 30 * max(face.blink_left, face.blink_right)


def _from_front(face: Face, front: Baseline, *, mirrored: bool) -> float:
    """Degrees of yaw from the baseline, either way."""
    return abs(own_yaw(face, mirrored=mirrored) - front.yaw_deg)


def _digit_spans(transcript: Transcript | None, challenge: Challenge) -> Iterator[tuple[int, int]]:
    words: Sequence[Word] = () if transcript is None else transcript.words
    at = 0
    for step in challenge.steps:
        if isinstance(step, SayDigits):
            group = words[at : at + len(step.digits)]
            at += len(step.digits)
            if group:
                yield group[0].start_ms, group[-1].end_ms


def _spread(phase: str, sightings: Sequence[Sighting], start_ms: int, end_ms: int, most: int) -> Iterator[Moment]:
    """At most ``most`` moments within ``start_ms <= t < end_ms``, evenly spread, none sharing a frame with another."""
    within = [s for s in sightings if start_ms <= s.at_ms < end_ms]
    count = min(most, len(within))
    for part in range(count):
        low, high = part * len(within) // count, (part + 1) * len(within) // count
        middle = (low + high) // 2
        nearest = sorted(range(low, high), key=lambda place: (abs(place - middle), place))
        yield Moment(phase=phase, candidates=tuple(within[place] for place in nearest[:_TRIES]))


def _aside(
    number: int, turn: PerformedTurn, seen: Sequence[Sighting], front: Baseline, *, mirrored: bool
) -> Iterator[Moment]:
    """On the way out and on the way back, about :data:`_ASIDE_DEG` from the baseline."""
    during = [s for s in seen if turn.start_ms <= s.at_ms and (turn.end_ms is None or s.at_ms < turn.end_ms)]
    if not during:
        return
    angle = {s.at_ms: _from_front(s.faces[0], front, mirrored=mirrored) for s in during}
    peak_ms = max(during, key=lambda s: angle[s.at_ms]).at_ms
    ways = {"out": [s for s in during if s.at_ms <= peak_ms], "back": [s for s in during if s.at_ms > peak_ms]}
    low, high = _ASIDE_WITHIN_DEG
    for way, passed in ways.items():
        usable = [s for s in passed if low <= angle[s.at_ms] <= high]
        nearest = sorted(usable, key=lambda s: (abs(angle[s.at_ms] - _ASIDE_DEG), s.at_ms))[:_TRIES]
        if nearest:
            yield Moment(phase=f"turn_{number}_{way}", candidates=tuple(nearest))


def _evenly(count: int, most: int) -> range | list[int]:
    return range(count) if count <= most else [(2 * i + 1) * count // (2 * most) for i in range(most)]
