"""Every liveness check: a pure function of evidence, challenge and policy that gives one ``CheckResult``.

``CHECKS`` lists them. To add one: write the function, list it, put its limits in ``policy.py`` and its code in
``reasons.py``, and test it with a simulated person it lets through and one it stops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import assert_never

import numpy as np

from liveness.capture import Audio
from liveness.challenge import Challenge, Direction, Nod, Reveal, SayDigits, Turn
from liveness.evidence import Evidence, Face, FaceTrack
from liveness.lips import opened_with_words, resting_share, word_motion
from liveness.micromotion import blinked, micromotion
from liveness.nods import NodGroup, performed_nods, pitch_over_time
from liveness.policy import Limit, LivenessPolicy
from liveness.reasons import Reason
from liveness.template import similarity
from liveness.transcripts import Agreement, agree, first_missing
from liveness.turns import PerformedTurn, baseline, longest_run_ms, performed_turns, yaw_over_time
from liveness.verdict import CheckResult

SIMULATOR_MARK = "mien-simulated"
"""What the simulator writes into the container of everything it makes."""

_WORD_MARGIN_MS = 120  # word times of recognisers are this far off; half of the shortest pause we ask for


@dataclass(frozen=True, slots=True)
class Check:
    """A check, the name it has in verdicts, and for which challenges it is needed."""

    name: str
    judge: Callable[[str, Evidence, Challenge, LivenessPolicy], CheckResult]
    applies: Callable[[Challenge], bool]


def run_checks(evidence: Evidence, challenge: Challenge, policy: LivenessPolicy) -> tuple[CheckResult, ...]:
    """All checks that this challenge needs, in the order of ``CHECKS``, under ``policy`` as it holds for the challenge."""
    own = challenge.limits(policy)
    return tuple(check.judge(check.name, evidence, challenge, own) for check in CHECKS if check.applies(challenge))


def required(challenge: Challenge) -> tuple[str, ...]:
    """Names of the checks that a verdict on this challenge needs."""
    return tuple(check.name for check in CHECKS if check.applies(challenge))


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


def not_edited(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """The container names no editor, screen recorder or virtual camera. Who strips the name is not stopped here."""
    app = evidence.facts.writing_app.lower()
    marks = [mark for mark in EDITORS if mark in app]
    if (
        policy.simulated_captures or SIMULATOR_MARK in app
    ):  # it writes with the library of many converters, and is named above
        marks = [mark for mark in marks if mark != "lavf"]
    if marks:
        return CheckResult.failed(name, Reason.EDITED_RECORDING, len(marks), 0, "editor marks")
    return CheckResult.passed(name, 0, 0, "editor marks")


EDITORS = (
    *(
        "lavf",
        "handbrake",
        "adobe",
        "premiere",
        "after effects",
        "davinci",
        "final cut",
        "imovie",
        "capcut",
        "kinemaster",
    ),
    *("shotcut", "kdenlive", "openshot", "vegas", "camtasia", "videoleap", "inshot", "filmora", "vlc"),
    *("obs-", "obs studio", "xsplit", "manycam", "vmix", "snap camera", "deepfacelive"),
)
"""What programs that change recordings write into them, in lower case. Phones and browsers record with their own writers."""


def new_capture(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """No copy of a recording that was handed in before, however it was encoded, cut or scaled again."""
    limit = policy.same_take
    if evidence.fingerprint is None:
        return CheckResult.unjudged(name, unit=limit.unit)
    distance = 1.0 if evidence.earlier_distance is None else round(evidence.earlier_distance, 4)
    if distance <= limit.value:
        return CheckResult.failed(name, Reason.CAPTURE_REUSED, distance, limit.value, limit.unit)
    return CheckResult.passed(name, distance, limit.value, limit.unit)


def light(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """The face is neither lost in the dark nor washed out."""
    dark, bright = policy.darkest, policy.brightest
    if evidence.picture is None or evidence.picture.brightness is None:
        return CheckResult.unjudged(name, _no_face(evidence), unit=dark.unit)
    level = round(evidence.picture.brightness, 1)
    if level < dark.value:
        return CheckResult.failed(name, Reason.TOO_DARK, level, dark.value, dark.unit)
    if level > bright.value:
        return CheckResult.failed(name, Reason.TOO_BRIGHT, level, bright.value, bright.unit)
    return CheckResult.passed(name, level, dark.value, dark.unit)


def focus(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """The face has detail."""
    limit = policy.blurred
    if evidence.picture is None or evidence.picture.sharpness is None:
        return CheckResult.unjudged(name, _no_face(evidence), unit=limit.unit)
    value = round(evidence.picture.sharpness, 4)
    if value < limit.value:
        return CheckResult.failed(name, Reason.BLURRED, value, limit.value, limit.unit)
    return CheckResult.passed(name, value, limit.value, limit.unit)


def no_cuts(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """One take: no picture jumps from its neighbour as only a cut does."""
    jump = None if evidence.picture is None else evidence.picture.worst_cut
    return _at_most(name, jump, policy.worst_cut, Reason.CUT_IN_RECORDING, Reason.NOT_MEASURED)


def not_frozen(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """The picture does not stand still, nor show a stretch again."""
    limit, seen = policy.frozen, evidence.picture
    if seen is None or seen.longest_frozen_ms is None or seen.loop_ms is None:
        return CheckResult.unjudged(name, unit=limit.unit)
    longest = max(seen.longest_frozen_ms, seen.loop_ms)
    if longest > limit.value:
        return CheckResult.failed(name, Reason.PICTURE_FROZEN, longest, limit.value, limit.unit)
    return CheckResult.passed(name, longest, limit.value, limit.unit)


def not_repeated(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """Most pictures differ from the one before."""
    limit = policy.repeated_frames
    share = None if evidence.picture is None else evidence.picture.repeated
    return _at_most(name, share, limit, Reason.PICTURE_FROZEN, Reason.NOT_MEASURED)


def camera_noise(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """A sensor's noise, or a recorder's uneven pace: a renderer that feeds a recorder has neither."""
    limit = policy.camera_noise
    if evidence.picture is None or evidence.picture.noise is None:
        return CheckResult.unjudged(name, unit=limit.unit)
    noise = round(evidence.picture.noise, 3)
    intervals = evidence.facts.frame_intervals_ms
    even = len(intervals) > 1 and max(intervals) - min(intervals) <= 1  # 33 and 34 are one interval, rounded
    if noise < limit.value and even:
        return CheckResult.failed(name, Reason.NO_CAMERA_NOISE, noise, limit.value, limit.unit)
    return CheckResult.passed(name, noise, limit.value, limit.unit)


def one_room(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """The words were said in one room, in one go: the floor between them does not change its colour."""
    if evidence.sound is None:
        code = Reason.NOT_MEASURED if evidence.facts.audio_codec else Reason.NO_SOUND
        return CheckResult.unjudged(name, code, unit=policy.floor_jump.unit)
    jump = evidence.sound.floor_jump_db or 0.0  # no floor to be heard has no jump: noise suppression leaves none
    return _at_most(name, jump, policy.floor_jump, Reason.SOUND_JOINED, Reason.NOT_MEASURED)


def room_heard(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """A microphone hears something at some time between the words too."""
    share = None if evidence.sound is None else evidence.sound.digital_silence
    missing = Reason.NOT_MEASURED if evidence.facts.audio_codec else Reason.NO_SOUND
    return _at_most(name, share, policy.digital_silence, Reason.SOUND_JOINED, missing)


def _at_most(name: str, value: float | None, limit: Limit, code: Reason, missing: Reason) -> CheckResult:
    """What passes up to its limit; ``missing`` says why there is no value."""
    if value is None:
        return CheckResult.unjudged(name, missing, unit=limit.unit)
    shown = round(value, 4)
    if shown > limit.value:
        return CheckResult.failed(name, code, shown, limit.value, limit.unit)
    return CheckResult.passed(name, shown, limit.value, limit.unit)


def real_time(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """The recording arrived as fast as it was made: what was prepared, or made slower and sped up, does not."""
    limit = policy.clock_drift
    if evidence.timing is None:
        return CheckResult.unjudged(name, unit=limit.unit)
    drift = round(abs(evidence.timing.clock_ratio - 1), 3)
    if drift > limit.value:
        return CheckResult.failed(name, Reason.NOT_IN_REAL_TIME, drift, limit.value, limit.unit)
    return CheckResult.passed(name, drift, limit.value, limit.unit)


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
    """Nobody else is in the picture. A frame between two that show somebody shows them too: landmarkers that take turns with
    the frames do not find a small face alike."""
    limit = policy.max_second_face
    if evidence.track is None:
        return CheckResult.unjudged(name)
    others = [len(s.faces) > 1 for s in evidence.track.sightings]
    between = [a and b for a, b in zip([False, *others], [*others[1:], False], strict=False)]
    held = [seen or missed for seen, missed in zip(others, between, strict=True)]
    together = longest_run_ms([(s.at_ms, h) for s, h in zip(evidence.track.sightings, held, strict=True)])
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
    if width > policy.max_face_width.value:
        return CheckResult.failed(name, Reason.FACE_TOO_NEAR, width, policy.max_face_width.value, limit.unit)
    return CheckResult.passed(name, width, limit.value, limit.unit)


def whole_face(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """All of the face is in the picture: half a face is half a check."""
    limit = policy.cut_off
    if evidence.track is None:
        return CheckResult.unjudged(name, unit=limit.unit)
    track = evidence.track
    seen = [s for s in track.sightings if s.faces]
    if not seen:
        return CheckResult.unjudged(name, Reason.NO_FACE, unit=limit.unit)
    cut = sum(_outside(s.faces[0], track) > _OUTSIDE for s in seen)
    share = round(cut / len(seen), 3)
    if share > limit.value:
        return CheckResult.failed(name, Reason.FACE_CUT_OFF, share, limit.value, limit.unit)
    return CheckResult.passed(name, share, limit.value, limit.unit)


_OUTSIDE = 0.15  # of the face's box; InsightFace's addon rejects from 0.3 of the aligned crop


def _outside(face: Face, track: FaceTrack) -> float:
    box = face.box
    inside_x = max(0.0, min(box.x + box.width, track.width) - max(box.x, 0.0))
    inside_y = max(0.0, min(box.y + box.height, track.height) - max(box.y, 0.0))
    return 1 - inside_x * inside_y / max(box.width * box.height, 1e-9)


def nobody_else(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """No other face in frames looked at one by one, with a detector besides: half a face at the edge has no landmarks."""
    limit = policy.looks_with_others
    if not evidence.looks:
        return CheckResult.unjudged(name, _no_face(evidence), unit=limit.unit)
    return _at_most(
        name, sum(look.faces > 1 for look in evidence.looks), limit, Reason.SECOND_FACE, Reason.NOT_MEASURED
    )


def tracking_holds(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """Single frames show the face where tracking has it: a tracker may glide from one face to another."""
    limit = policy.tracked_apart
    if not evidence.looks:
        return CheckResult.unjudged(name, _no_face(evidence), unit=limit.unit)
    found = [look.apart for look in evidence.looks if look.apart is not None]
    if len(found) < len(evidence.looks) / 2:
        return CheckResult.unjudged(name, Reason.FACE_LOST, unit=limit.unit)
    worst = round(max(found), 3)
    if worst > limit.value:
        return CheckResult.failed(name, Reason.PERSON_CHANGED, worst, limit.value, limit.unit)
    return CheckResult.passed(name, worst, limit.value, limit.unit)


def natural_motion(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """The face moves by itself, beyond what moving a picture gives: a blink, or small motion of its parts."""
    limit = policy.natural_motion
    if evidence.track is None:
        return CheckResult.unjudged(name, unit=limit.unit)
    moved = micromotion(evidence.track, policy=policy)
    if moved is None:
        return CheckResult.unjudged(name, _no_face(evidence), unit=limit.unit)
    value = round(moved, 4)
    if value < limit.value and not blinked(evidence.track):
        return CheckResult.failed(name, Reason.NO_NATURAL_MOTION, value, limit.value, limit.unit)
    return CheckResult.passed(name, value, limit.value, limit.unit)


def _no_face(evidence: Evidence) -> Reason:
    seen = evidence.track is not None and any(s.faces for s in evidence.track.sightings)
    return Reason.NOT_MEASURED if seen or evidence.track is None else Reason.NO_FACE


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
    """The digits of the challenge were heard, all, in order, and nothing else; by both recognisers where there are two."""
    wanted, unit = challenge.digits, "digits right"
    heard, second = evidence.transcript, evidence.second_opinion
    if heard is None:
        code = Reason.NOT_MEASURED if evidence.facts.audio_codec else Reason.NO_SOUND
        return CheckResult.unjudged(name, code, unit=unit)
    if evidence.recognisers > 1 and second is None:
        return CheckResult.unjudged(name, unit=unit)
    right = sum(one == other for one, other in zip(heard.digits, wanted, strict=False))
    agreement = agree(heard, second, wanted)
    if agreement.accepted:
        return CheckResult.passed(name, right, len(wanted), unit)
    if agreement is Agreement.DISAGREE:
        return CheckResult.failed(name, Reason.DIGITS_UNCLEAR, right, len(wanted), unit)
    if heard.accepted and len(heard.digits) == len(wanted):
        return CheckResult.failed(name, Reason.WRONG_DIGITS, right, len(wanted), unit)
    missing = first_missing(heard.digits, wanted) if heard.accepted and heard.digits else None
    code = Reason.DIGITS_NOT_HEARD if missing is None else Reason.DIGIT_MISSED
    return CheckResult.failed(name, code, right, len(wanted), unit, place=missing)


def mouth_moves(name: str, evidence: Evidence, challenge: Challenge, policy: LivenessPolicy) -> CheckResult:
    """The mouth moves while each digit is heard. A voice over a still picture fails."""
    limit = policy.mouth_moving_digits
    if evidence.track is None or evidence.transcript is None:
        return CheckResult.unjudged(name, Reason.NOT_MEASURED if evidence.facts.audio_codec else Reason.NO_SOUND)
    words = evidence.transcript.words
    if not words:
        return CheckResult.unjudged(name, Reason.DIGITS_NOT_HEARD)
    ranges = word_motion(evidence.track, words)
    moving = sum(r is not None and r >= policy.mouth_range.value for r in ranges)
    share = round(moving / max(len(words), len(challenge.digits)), 3)
    if share < limit.value:
        return CheckResult.failed(name, Reason.MOUTH_NOT_MOVING, share, limit.value, limit.unit)
    return CheckResult.passed(name, share, limit.value, limit.unit)


def mouth_rests(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """The mouth is stiller between the digits than in them. Somebody who says something else meanwhile does not rest."""
    limit = policy.mouth_rests
    if evidence.track is None or evidence.transcript is None:
        return CheckResult.unjudged(name, Reason.NOT_MEASURED if evidence.facts.audio_codec else Reason.NO_SOUND)
    words = evidence.transcript.words
    if not words:
        return CheckResult.unjudged(name, Reason.DIGITS_NOT_HEARD)
    share = resting_share(evidence.track, words)
    if share is None:
        return CheckResult.unjudged(name, unit=limit.unit)
    share = round(share, 3)
    if share < limit.value:
        return CheckResult.failed(name, Reason.MOUTH_OUT_OF_STEP, share, limit.value, limit.unit)
    return CheckResult.passed(name, share, limit.value, limit.unit)


def mouth_with_words(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """The mouth is open when words are heard and less so when none are."""
    limit = policy.opened_with_words
    if evidence.track is None or evidence.transcript is None:
        return CheckResult.unjudged(name, _missing(evidence), unit=limit.unit)
    if not evidence.transcript.words:
        return CheckResult.unjudged(name, Reason.DIGITS_NOT_HEARD, unit=limit.unit)
    found = opened_with_words(evidence.track, evidence.transcript.words)
    if found is None:
        return CheckResult.unjudged(name, unit=limit.unit)
    value = round(found, 3)
    if value < limit.value:
        return CheckResult.failed(name, Reason.MOUTH_OUT_OF_STEP, value, limit.value, limit.unit)
    return CheckResult.passed(name, value, limit.value, limit.unit)


def voice_fits(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """The mouth fits the voice better at the time at which it was recorded than earlier or later: one take of both."""
    limit = policy.voice_lead
    if evidence.voice_match is None:
        heard = evidence.transcript is not None and bool(evidence.transcript.words)
        code = (
            Reason.NOT_MEASURED
            if heard
            else _missing(evidence)
            if evidence.transcript is None
            else Reason.DIGITS_NOT_HEARD
        )
        return CheckResult.unjudged(name, code, unit=limit.unit)
    lead = round(evidence.voice_match.lead, 3)
    if lead < limit.value:
        return CheckResult.failed(name, Reason.MOUTH_OUT_OF_STEP, lead, limit.value, limit.unit)
    return CheckResult.passed(name, lead, limit.value, limit.unit)


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


def nods_made(evidence: Evidence, policy: LivenessPolicy) -> tuple[NodGroup, ...] | None:
    """The groups of nods the person made, or ``None`` where they cannot be measured."""
    if evidence.track is None:
        return None
    front = baseline(evidence.track, policy=policy, mirrored=evidence.mirrored)
    if front is None:
        return None
    return performed_nods(
        pitch_over_time(evidence.track, front, mirrored=evidence.mirrored, policy=policy), policy=policy
    )


def nods_as_asked(name: str, evidence: Evidence, challenge: Challenge, policy: LivenessPolicy) -> CheckResult:
    """Exactly as many nods in each group as asked for."""
    unit = "groups of nods right"
    made = nods_made(evidence, policy)
    if made is None or not challenge.nods:
        return CheckResult.unjudged(name, Reason.NOT_FRONTAL if evidence.track else Reason.NOT_MEASURED, unit=unit)
    counts = tuple(group.times for group in made)
    right = sum(one == other for one, other in zip(counts, challenge.nods, strict=False))
    if counts == challenge.nods:
        return CheckResult.passed(name, right, len(challenge.nods), unit)
    place = next(
        (i + 1 for i, (one, other) in enumerate(zip(counts, challenge.nods, strict=False)) if one != other), right + 1
    )
    return CheckResult.failed(name, Reason.NODS_NOT_AS_ASKED, right, len(challenge.nods), unit, place=place)


def depth(name: str, evidence: Evidence, challenge: Challenge, policy: LivenessPolicy) -> CheckResult:
    """What turned is no flat sheet: its picture does not change as a plane's does. On pixels, the flattest turn decides."""
    read = [(each.residual, each.turn) for each in evidence.parallax]
    return _in_relief(name, read, evidence, challenge, policy, policy.parallax)


def bend(name: str, evidence: Evidence, challenge: Challenge, policy: LivenessPolicy) -> CheckResult:
    """What turned is no sheet bent one way either."""
    read = [(each.sheet, each.turn) for each in evidence.parallax]
    return _in_relief(name, read, evidence, challenge, policy, policy.sheet)


def _in_relief(
    name: str,
    read: list[tuple[float, int]],
    evidence: Evidence,
    challenge: Challenge,
    policy: LivenessPolicy,
    limit: Limit,
) -> CheckResult:
    if not read or len(read) < len(challenge.turns):
        made = turns_made(evidence, policy)
        missing = made is None or len(made) < len(challenge.turns)
        return CheckResult.unjudged(name, Reason.TURN_MISSING if missing else Reason.NOT_MEASURED, unit=limit.unit)
    least, turn = min(read)
    least = round(least, 4)
    if least < limit.value:
        return CheckResult.failed(name, Reason.NO_DEPTH, least, limit.value, limit.unit, place=turn + 1)
    return CheckResult.passed(name, least, limit.value, limit.unit)


def steps_in_order(name: str, evidence: Evidence, challenge: Challenge, policy: LivenessPolicy) -> CheckResult:
    """Digits, nods and turns in the order of the challenge's steps."""
    unit = "steps in order"
    spans = step_spans(evidence, challenge, policy)
    if isinstance(spans, Reason):
        return CheckResult.unjudged(name, spans, unit=unit)
    in_order = 1 + sum(earlier[1] <= later[0] + _WORD_MARGIN_MS for earlier, later in pairwise(spans))
    if in_order < len(spans):
        return CheckResult.failed(name, Reason.WRONG_ORDER, in_order, len(spans), unit)
    return CheckResult.passed(name, in_order, len(spans), unit)


def step_spans(
    evidence: Evidence, challenge: Challenge, policy: LivenessPolicy
) -> tuple[tuple[int, int], ...] | Reason:
    """From when to when (ms) each step of the challenge was done, in the challenge's order; or why that is not known.

    A turn spans from leaving the front to the end of its hold: what follows may begin on the way back.
    """
    turns, nods = turns_made(evidence, policy), nods_made(evidence, policy)
    words = () if evidence.transcript is None else evidence.transcript.words
    if turns is None or nods is None or (challenge.digits and evidence.transcript is None):
        return _missing(evidence)
    if len(words) != len(challenge.digits) and challenge.digits:
        return Reason.DIGITS_NOT_HEARD
    if len(turns) != len(challenge.turns):
        return Reason.TURN_MISSING if len(turns) < len(challenge.turns) else Reason.EXTRA_TURN
    if challenge.nods and len(nods) != len(challenge.nods):
        return Reason.NODS_NOT_AS_ASKED
    spans: list[tuple[int, int]] = []
    word_at = turn_at = nod_at = 0
    for step in challenge.steps:
        match step:
            case SayDigits():
                group = words[word_at : word_at + len(step.digits)]
                spans.append((group[0].start_ms, group[-1].end_ms))
                word_at += len(step.digits)
            case Turn():
                turn = turns[turn_at]
                spans.append((turn.start_ms, turn.reached_ms + turn.held_ms))
                turn_at += 1
            case Nod():
                spans.append((nods[nod_at].start_ms, nods[nod_at].end_ms))
                nod_at += 1
            case _:
                assert_never(step)
    return tuple(spans)


def response_times(name: str, evidence: Evidence, challenge: Challenge, policy: LivenessPolicy) -> CheckResult:
    """Each step was begun after its cue was shown, as soon as a person does and no sooner."""
    early, late = policy.earliest_response, policy.latest_response
    if evidence.timing is None:
        return CheckResult.unjudged(name, unit=early.unit)
    shown = {cue.step: cue.at_ms for cue in evidence.timing.cues}
    spans = step_spans(evidence, challenge, policy)
    if isinstance(spans, Reason):
        return CheckResult.unjudged(name, spans, unit=early.unit)
    if set(shown) != set(range(len(challenge.steps))):
        return CheckResult.unjudged(name, unit=early.unit)
    waits = [start - shown[number] for number, (start, _) in enumerate(spans)]
    soonest, latest = min(waits), max(waits)
    if soonest < early.value:
        place = waits.index(soonest) + 1
        return CheckResult.failed(name, Reason.ANSWERED_TOO_EARLY, soonest, early.value, early.unit, place=place)
    if latest > late.value:
        place = waits.index(latest) + 1
        return CheckResult.failed(name, Reason.ANSWERED_TOO_LATE, latest, late.value, late.unit, place=place)
    return CheckResult.passed(name, soonest, early.value, early.unit)


def _missing(evidence: Evidence) -> Reason:
    if evidence.transcript is None:
        return Reason.NOT_MEASURED if evidence.facts.audio_codec else Reason.NO_SOUND
    return Reason.NOT_FRONTAL if evidence.track else Reason.NOT_MEASURED


# --- the person ------------------------------------------------------------------------------------------------------


def phases_of(challenge: Challenge) -> tuple[str, ...]:
    """The moments at which the person must be the same and faces the camera: start, each group of digits or nods, each turn's
    return."""
    groups = [f"digits_{i + 1}" for i in range(sum(isinstance(step, SayDigits) for step in challenge.steps))]
    nods = [f"nods_{i + 1}" for i in range(len(challenge.nods))]
    returns = [f"return_{i + 1}" for i in range(len(challenge.turns))]
    return ("start", *groups, *nods, *returns)


def turned_phases_of(challenge: Challenge) -> tuple[tuple[str, str], ...]:
    """For each turn, the way out and the way back: at least one of them must show the same person, aside."""
    return tuple((f"turn_{i + 1}_out", f"turn_{i + 1}_back") for i in range(len(challenge.turns)))


def same_person(name: str, evidence: Evidence, challenge: Challenge, policy: LivenessPolicy) -> CheckResult:
    """One and the same person in every phase that faces the camera: the least similarity to the start decides."""
    limit = policy.same_person
    wanted = phases_of(challenge)
    facing = [taken for taken in evidence.templates if taken.phase in wanted]
    start = next((taken.template for taken in facing if taken.phase == "start"), None)
    if start is None:
        return CheckResult.unjudged(
            name, Reason.NOT_FRONTAL if evidence.track else Reason.NOT_MEASURED, unit=limit.unit
        )
    least = round(min(similarity(start, taken.template) for taken in facing), 3)
    if least < limit.value:
        return CheckResult.failed(name, Reason.PERSON_CHANGED, least, limit.value, limit.unit)
    if not set(wanted) <= {taken.phase for taken in facing}:
        return CheckResult.unjudged(name, _why_a_phase_is_missing(evidence, challenge, policy), unit=limit.unit)
    return CheckResult.passed(name, least, limit.value, limit.unit)


def same_person_turned(name: str, evidence: Evidence, challenge: Challenge, policy: LivenessPolicy) -> CheckResult:
    """The same person on the way into and out of every turn, where a cut would hide best. Faces aside are less alike."""
    limit = policy.same_person_turned
    by_phase = {taken.phase: taken.template for taken in evidence.templates}
    start = by_phase.get("start")
    if start is None:
        return CheckResult.unjudged(
            name, Reason.NOT_FRONTAL if evidence.track else Reason.NOT_MEASURED, unit=limit.unit
        )
    aside = [taken.template for taken in evidence.templates if taken.phase.startswith("turn_")]
    least = round(min((similarity(start, taken) for taken in aside), default=1.0), 3)
    if least < limit.value:
        return CheckResult.failed(name, Reason.PERSON_CHANGED, least, limit.value, limit.unit)
    if not all(out in by_phase or back in by_phase for out, back in turned_phases_of(challenge)):
        return CheckResult.unjudged(name, _why_a_phase_is_missing(evidence, challenge, policy), unit=limit.unit)
    return CheckResult.passed(name, least, limit.value, limit.unit)


def _why_a_phase_is_missing(evidence: Evidence, challenge: Challenge, policy: LivenessPolicy) -> Reason:
    """A phase that did not happen has no template; the person is told what was missing, not that we did not measure."""
    made = turns_made(evidence, policy)
    if made is None or len(made) < len(challenge.turns):
        return Reason.TURN_MISSING
    if not challenge.digits:
        return Reason.NOT_MEASURED
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
    score = round(_live_probability(evidence), 3)
    if score < limit.value:
        return CheckResult.failed(name, Reason.ATTACK_SUSPECTED, score, limit.value, limit.unit)
    return CheckResult.passed(name, score, limit.value, limit.unit)


def no_moire(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """No pattern of a screen's pixels on the sensor's. Sharp screens out of focus have none: one weak vote."""
    found = None if evidence.picture is None else evidence.picture.moire
    return _at_most(name, found, policy.moire, Reason.SCREEN_SEEN, _no_face(evidence))


def no_border(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """No straight frame moves with the face: neither a print's edge nor a tablet's."""
    found = None if evidence.picture is None else evidence.picture.border
    return _at_most(name, found, policy.border, Reason.SCREEN_SEEN, _no_face(evidence))


def no_flicker(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """No bands of a screen's refresh roll over the picture, beyond those of mains light."""
    found = None if evidence.picture is None else evidence.picture.flicker
    return _at_most(name, found, policy.flicker, Reason.SCREEN_SEEN, _no_face(evidence))


def few_attack_signs(name: str, evidence: Evidence, _: Challenge, policy: LivenessPolicy) -> CheckResult:
    """Weak signs of a print or screen, one vote each: alone any of them is found on real takes, together they are not."""
    limit, seen = policy.weak_signs, evidence.picture
    if seen is None or seen.moire is None or seen.border is None or seen.flicker is None or not evidence.spoof:
        return CheckResult.unjudged(name, _no_face(evidence), unit=limit.unit)
    votes = (
        _live_probability(evidence) < policy.weak_attack_score.value,
        seen.moire > policy.weak_moire.value,
        seen.border > policy.weak_border.value,
        seen.flicker > policy.weak_flicker.value,
    )
    return _at_most(name, sum(votes), limit, Reason.ATTACK_SUSPECTED, Reason.NOT_MEASURED)


def _live_probability(evidence: Evidence) -> float:
    return float(np.median([score.live_probability for score in evidence.spoof]))


def _always(_: Challenge) -> bool:
    return True


def _spoken(challenge: Challenge) -> bool:
    """Something is said: every challenge that has digits, and one that asks for nothing at all (which nothing passes)."""
    return bool(challenge.digits) or not challenge.nods


def _nodded(challenge: Challenge) -> bool:
    return bool(challenge.nods)


def _cued(challenge: Challenge) -> bool:
    return challenge.reveal is Reveal.CUE_BY_CUE


CHECKS: tuple[Check, ...] = tuple(
    Check(function.__name__, function, applies)
    for function, applies in (
        (frame_rate, _always),
        (resolution, _always),
        (continuity, _always),
        (tracks_together, _spoken),
        (not_simulated, _always),
        (not_edited, _always),
        (new_capture, _always),
        (no_cuts, _always),
        (not_frozen, _always),
        (not_repeated, _always),
        (camera_noise, _always),
        (real_time, _cued),
        (sound_level, _spoken),
        (one_room, _spoken),
        (room_heard, _spoken),
        (one_face, _always),
        (no_second_face, _always),
        (face_size, _always),
        (whole_face, _always),
        (light, _always),
        (focus, _always),
        (starts_frontal, _always),
        (nobody_else, _always),
        (tracking_holds, _always),
        (natural_motion, _always),
        (digits_said, _spoken),
        (mouth_moves, _spoken),
        (mouth_rests, _spoken),
        (mouth_with_words, _spoken),
        (voice_fits, _spoken),
        (nods_as_asked, _nodded),
        (turns_as_asked, _always),
        (depth, _always),
        (bend, _always),
        (steps_in_order, _always),
        (response_times, _cued),
        (same_person, _always),
        (same_person_turned, _always),
        (attack_score, _always),
        (no_moire, _always),
        (no_border, _always),
        (no_flicker, _always),
        (few_attack_signs, _always),
    )
)
"""Every check, and for which challenges a verdict needs it."""
