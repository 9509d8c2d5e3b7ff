"""Every liveness check: a pure function of evidence, challenge and policy that gives one ``CheckResult``.

``CHECKS`` lists them. To add one: write the function, list it, put its limits in ``policy.py`` and its code in
``reasons.py``, and test it with a simulated person it lets through and one it stops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from liveness.capture import Audio
from liveness.challenge import Challenge, Direction, SayDigits
from liveness.evidence import Evidence, Face, FaceTrack, Transcript
from liveness.policy import LivenessPolicy
from liveness.reasons import Reason
from liveness.template import similarity
from liveness.turns import PerformedTurn, baseline, longest_run_ms, performed_turns, yaw_over_time
from liveness.verdict import CheckResult

SIMULATOR_MARK = "mien-simulated"
"""What the simulator writes into the container of everything it makes."""

_WORD_MARGIN_MS = 120  # word times of recognisers are this far off; half of the shortest pause we ask for


@dataclass(frozen=True, slots=True)
class Check:
    """A check and the name it has in verdicts."""

    name: str
    judge: Callable[[str, Evidence, Challenge, LivenessPolicy], CheckResult]


def run_checks(evidence: Evidence, challenge: Challenge, policy: LivenessPolicy) -> tuple[CheckResult, ...]:
    """All checks, in the order of ``CHECKS``."""
    return tuple(check.judge(check.name, evidence, challenge, policy) for check in CHECKS)


# --- the recording ---------------------------------------------------------------------------------------------------


def frame_rate(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """Enough pictures a second that nothing short can hide."""
    fps, limit = evidence.facts.source_fps, policy.min_fps
    if fps < limit.value:
        return CheckResult.failed(name, Reason.LOW_FRAME_RATE, round(fps, 2), limit.value, limit.unit)
    return CheckResult.passed(name, round(fps, 2), limit.value, limit.unit)


def resolution(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """Enough pixels to tell one person from another."""
    side, limit = min(evidence.facts.width, evidence.facts.height), policy.min_short_side
    if side < limit.value:
        return CheckResult.failed(name, Reason.LOW_RESOLUTION, side, limit.value, limit.unit)
    return CheckResult.passed(name, side, limit.value, limit.unit)


def continuity(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """One take: no hole between neighbouring pictures."""
    gap, limit = evidence.facts.longest_gap_ms, policy.max_frame_gap
    if gap > limit.value:
        return CheckResult.failed(name, Reason.CUT_IN_RECORDING, gap, limit.value, limit.unit)
    return CheckResult.passed(name, gap, limit.value, limit.unit)


def tracks_together(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """Sound and picture start and end together, as one device records them."""
    facts, limit = evidence.facts, policy.max_track_difference
    if facts.audio_start_ms is None or facts.audio_duration_ms is None:
        return CheckResult.failed(name, Reason.NO_SOUND, None, limit.value, limit.unit)
    start = abs(facts.audio_start_ms - facts.video_start_ms)
    picture_end = facts.video_start_ms + facts.duration_ms
    sound_end = facts.audio_start_ms + facts.audio_duration_ms
    apart = max(start, abs(picture_end - sound_end))
    if apart > limit.value:
        return CheckResult.failed(name, Reason.SOUND_PICTURE_MISMATCH, apart, limit.value, limit.unit)
    return CheckResult.passed(name, apart, limit.value, limit.unit)


def not_simulated(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """What our own simulator made is refused unless the policy is for simulated captures.

    It says nothing of other simulators: who strips the mark is not stopped here.
    """
    marked = float(SIMULATOR_MARK in evidence.facts.writing_app)
    if marked and not policy.simulated_captures:
        return CheckResult.failed(name, Reason.SIMULATED_CAPTURE, marked, 0, "simulator mark")
    return CheckResult.passed(name, marked, float(policy.simulated_captures), "simulator mark")


def sound_level(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """Someone can be heard."""
    limit = policy.min_sound_level
    if evidence.sound_level_dbfs is None:
        return CheckResult.failed(name, Reason.NO_SOUND, None, limit.value, limit.unit)
    if evidence.sound_level_dbfs < limit.value:
        code = Reason.SOUND_TOO_QUIET if evidence.sound_level_dbfs > _SILENCE_DBFS else Reason.NO_SOUND
        return CheckResult.failed(name, code, round(evidence.sound_level_dbfs, 1), limit.value, limit.unit)
    return CheckResult.passed(name, round(evidence.sound_level_dbfs, 1), limit.value, limit.unit)


_SILENCE_DBFS = -75.0  # below the noise floor of phone microphones: the track carries nothing
_LEVEL_WINDOW_MS = 20


def level_dbfs(audio: Audio) -> float:
    """Root mean square level that the loudest 5 % of 20 ms windows reach, dB relative to full scale."""
    window = audio.rate_hz * _LEVEL_WINDOW_MS // 1000
    count = len(audio.samples) // window
    if count == 0:
        return -200.0
    power = np.square(audio.samples[: count * window], dtype=np.float64).reshape(count, window).mean(axis=1)
    return float(10 * np.log10(max(float(np.percentile(power, 95)), 1e-20)))


# --- the face --------------------------------------------------------------------------------------------------------


def one_face(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """A face is there the whole time."""
    limit = policy.max_face_gap
    if evidence.track is None:
        return CheckResult.unjudged(name)
    marks = [(s.at_ms, not s.faces) for s in evidence.track.sightings]
    if all(missing for _, missing in marks):
        return CheckResult.failed(name, Reason.NO_FACE, None, limit.value, limit.unit)
    gap = longest_run_ms(marks)
    if gap > limit.value:
        return CheckResult.failed(name, Reason.FACE_LOST, gap, limit.value, limit.unit)
    return CheckResult.passed(name, gap, limit.value, limit.unit)


def no_second_face(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """Nobody else is in the picture."""
    limit = policy.max_second_face
    if evidence.track is None:
        return CheckResult.unjudged(name)
    together = longest_run_ms([(s.at_ms, len(s.faces) > 1) for s in evidence.track.sightings])
    if together > limit.value:
        return CheckResult.failed(name, Reason.SECOND_FACE, together, limit.value, limit.unit)
    return CheckResult.passed(name, together, limit.value, limit.unit)


def face_size(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """Close enough to the camera."""
    limit = policy.min_face_width
    if evidence.track is None:
        return CheckResult.unjudged(name)
    widths = [s.faces[0].box.width / evidence.track.width for s in evidence.track.sightings if s.faces]
    if not widths:
        return CheckResult.unjudged(name, Reason.NO_FACE)
    width = round(float(np.median(widths)), 3)
    if width < limit.value:
        return CheckResult.failed(name, Reason.FACE_TOO_SMALL, width, limit.value, limit.unit)
    return CheckResult.passed(name, width, limit.value, limit.unit)


def starts_frontal(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """Looks at the camera first: everything else is measured from there."""
    limit = policy.baseline_yaw
    if evidence.track is None:
        return CheckResult.unjudged(name)
    front = baseline(evidence.track, policy=policy, mirrored=evidence.mirrored)
    if front is None:
        code = Reason.NOT_FRONTAL if any(s.faces for s in evidence.track.sightings) else Reason.NO_FACE
        return CheckResult.failed(name, code, None, limit.value, limit.unit)
    return CheckResult.passed(name, round(abs(front.yaw_deg), 1), limit.value, limit.unit)


# --- the digits ------------------------------------------------------------------------------------------------------


def digits_said(name: str, evidence: Evidence, challenge: Challenge, _: LivenessPolicy) -> CheckResult:
    """The digits of the challenge were heard, all of them, in order, and nothing else."""
    wanted = challenge.digits
    heard = evidence.transcript
    if heard is None:
        code = Reason.NOT_MEASURED if evidence.facts.audio_codec else Reason.NO_SOUND
        return CheckResult.unjudged(name, code, unit="digits right")
    right = sum(one == other for one, other in zip(heard.digits, wanted, strict=False))
    if said(heard, wanted):
        return CheckResult.passed(name, right, len(wanted), "digits right")
    clear = heard.accepted and len(heard.digits) == len(wanted)
    code = Reason.WRONG_DIGITS if clear else Reason.DIGITS_NOT_HEARD
    return CheckResult.failed(name, code, right, len(wanted), "digits right")


def said(heard: Transcript, wanted: str) -> bool:
    """What counts as having said it: the recogniser vouches for it, and it is exactly that."""
    return heard.accepted and bool(wanted) and heard.digits == wanted


def mouth_moves(name: str, evidence: Evidence, challenge: Challenge, policy: LivenessPolicy) -> CheckResult:
    """The mouth moves while each digit is heard. A voice over a still picture fails."""
    limit = policy.mouth_moving_digits
    if evidence.track is None or evidence.transcript is None:
        return CheckResult.unjudged(name, Reason.NOT_MEASURED if evidence.facts.audio_codec else Reason.NO_SOUND)
    words = evidence.transcript.words
    if not words:
        return CheckResult.unjudged(name, Reason.DIGITS_NOT_HEARD)
    ranges = [mouth_range(evidence.track, w.start_ms - _WORD_MARGIN_MS, w.end_ms + _WORD_MARGIN_MS) for w in words]
    moving = sum(r is not None and r >= policy.mouth_range.value for r in ranges)
    share = round(moving / max(len(words), len(challenge.digits)), 3)
    if share < limit.value:
        return CheckResult.failed(name, Reason.MOUTH_NOT_MOVING, share, limit.value, limit.unit)
    return CheckResult.passed(name, share, limit.value, limit.unit)


def mouth_range(track: FaceTrack, start_ms: int, end_ms: int) -> float | None:
    """Range of jaw opening plus lip gap between two times, or ``None`` where fewer than three frames show a face."""
    openings = [mouth_opening(s.faces[0]) for s in track.sightings if s.faces and start_ms <= s.at_ms < end_ms]
    return max(openings) - min(openings) if len(openings) >= 3 else None


def mouth_opening(face: Face) -> float:
    """Jaw opening (0..1) plus lip gap (of the eye distance): either alone misses some digits."""
    return face.jaw_open + face.lip_gap


# --- the turns -------------------------------------------------------------------------------------------------------


def turns_made(evidence: Evidence, policy: LivenessPolicy) -> tuple[PerformedTurn, ...] | None:
    """The turns the person made, or ``None`` where they cannot be measured."""
    if evidence.track is None:
        return None
    front = baseline(evidence.track, policy=policy, mirrored=evidence.mirrored)
    if front is None:
        return None
    yaw = yaw_over_time(evidence.track, mirrored=evidence.mirrored)
    return performed_turns(yaw, zero_deg=front.yaw_deg, policy=policy)


def turns_as_asked(name: str, evidence: Evidence, challenge: Challenge, policy: LivenessPolicy) -> CheckResult:
    """Exactly the turns asked for, each far enough, held, and back in between."""
    limit = policy.turn_yaw
    made = turns_made(evidence, policy)
    if made is None or not challenge.turns:
        return CheckResult.unjudged(
            name, Reason.NOT_FRONTAL if evidence.track else Reason.NOT_MEASURED, unit=limit.unit
        )
    directions = tuple(turn.direction for turn in made)
    least = round(min((turn.peak_deg for turn in made), default=0.0), 1)
    if directions == challenge.turns:
        return CheckResult.passed(name, least, limit.value, limit.unit)
    return CheckResult.failed(name, _turn_code(directions, challenge.turns), least, limit.value, limit.unit)


def _turn_code(made: tuple[Direction, ...], asked: tuple[Direction, ...]) -> Reason:
    if made[: len(asked)] == asked:
        return Reason.EXTRA_TURN
    if made == asked[: len(made)]:
        return Reason.TURN_MISSING
    return Reason.WRONG_TURN


def steps_in_order(name: str, evidence: Evidence, challenge: Challenge, policy: LivenessPolicy) -> CheckResult:
    """Digits and turns in the order of the challenge's steps."""
    unit = "steps in order"
    made = turns_made(evidence, policy)
    if made is None or evidence.transcript is None:
        return CheckResult.unjudged(name, _missing(evidence), unit=unit)
    words = evidence.transcript.words
    if len(words) != len(challenge.digits):
        return CheckResult.unjudged(name, Reason.DIGITS_NOT_HEARD, unit=unit)
    if len(made) != len(challenge.turns):
        code = Reason.TURN_MISSING if len(made) < len(challenge.turns) else Reason.EXTRA_TURN
        return CheckResult.unjudged(name, code, unit=unit)
    spans, word_at, turn_at = [], 0, 0
    for step in challenge.steps:
        if isinstance(step, SayDigits):
            group = words[word_at : word_at + len(step.digits)]
            spans.append((group[0].start_ms, group[-1].end_ms))
            word_at += len(step.digits)
        else:
            spans.append((made[turn_at].reached_ms, made[turn_at].reached_ms + made[turn_at].held_ms))
            turn_at += 1
    in_order = 1 + sum(earlier[1] <= later[0] + _WORD_MARGIN_MS for earlier, later in pairwise(spans))
    if in_order < len(spans):
        return CheckResult.failed(name, Reason.WRONG_ORDER, in_order, len(spans), unit)
    return CheckResult.passed(name, in_order, len(spans), unit)


def _missing(evidence: Evidence) -> Reason:
    if evidence.transcript is None:
        return Reason.NOT_MEASURED if evidence.facts.audio_codec else Reason.NO_SOUND
    return Reason.NOT_FRONTAL if evidence.track else Reason.NOT_MEASURED


# --- the person ------------------------------------------------------------------------------------------------------


def phases_of(challenge: Challenge) -> tuple[str, ...]:
    """The moments at which the person must be the same: start, each group of digits, each turn's return."""
    groups = [f"digits_{i + 1}" for i in range(sum(isinstance(step, SayDigits) for step in challenge.steps))]
    returns = [f"return_{i + 1}" for i in range(len(challenge.turns))]
    return ("start", *groups, *returns)


def same_person(name: str, evidence: Evidence, challenge: Challenge, policy: LivenessPolicy) -> CheckResult:
    """One and the same person in every phase: the least similarity to the start decides."""
    limit = policy.same_person
    by_phase = {taken.phase: taken.template for taken in evidence.templates}
    start = by_phase.get("start")
    if start is None:
        return CheckResult.unjudged(
            name, Reason.NOT_FRONTAL if evidence.track else Reason.NOT_MEASURED, unit=limit.unit
        )
    least = round(min((similarity(start, taken.template) for taken in evidence.templates), default=1.0), 3)
    if least < limit.value:
        return CheckResult.failed(name, Reason.PERSON_CHANGED, least, limit.value, limit.unit)
    if not set(phases_of(challenge)) <= set(by_phase):
        return CheckResult.unjudged(name, _why_a_phase_is_missing(evidence, challenge, policy), unit=limit.unit)
    return CheckResult.passed(name, least, limit.value, limit.unit)


def _why_a_phase_is_missing(evidence: Evidence, challenge: Challenge, policy: LivenessPolicy) -> Reason:
    """A phase that did not happen has no template; the person is told what was missing, not that we did not measure."""
    made = turns_made(evidence, policy)
    if made is None or len(made) < len(challenge.turns):
        return Reason.TURN_MISSING
    if evidence.transcript is None:
        return _missing(evidence)
    return Reason.NOT_MEASURED if evidence.transcript.words else Reason.DIGITS_NOT_HEARD


def attack_score(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """The passive model does not see a print or a screen. One vote: weak alone."""
    limit = policy.attack_score
    if not evidence.spoof:
        code = (
            Reason.NOT_MEASURED if evidence.track and any(s.faces for s in evidence.track.sightings) else Reason.NO_FACE
        )
        return CheckResult.unjudged(name, code, unit=limit.unit)
    score = round(float(np.median([s.live_probability for s in evidence.spoof])), 3)
    if score < limit.value:
        return CheckResult.failed(name, Reason.ATTACK_SUSPECTED, score, limit.value, limit.unit)
    return CheckResult.passed(name, score, limit.value, limit.unit)


CHECKS: tuple[Check, ...] = tuple(
    Check(function.__name__, function)
    for function in (
        frame_rate,
        resolution,
        continuity,
        tracks_together,
        not_simulated,
        sound_level,
        one_face,
        no_second_face,
        face_size,
        starts_frontal,
        digits_said,
        mouth_moves,
        turns_as_asked,
        steps_in_order,
        same_person,
        attack_score,
    )
)
"""Every check that a verdict needs."""
