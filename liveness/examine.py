"""The runner: a capture in, evidence from the models, checks, verdict out.

    (1) track the face and hear the digits, side by side
    (2) find the frontal baseline and the turns that were made
    (3) take a template in every phase
    (4) score frontal frames for presentation attacks
    (5) run every check
    (6) judge

Nothing that a client says about its own recording is used, but whether its pictures are mirrored.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from liveness.capture import Capture, Frame
from liveness.challenge import Challenge, SayDigits
from liveness.checks import CHECKS, level_dbfs, mouth_opening, run_checks
from liveness.digits import Language
from liveness.evidence import (
    Evidence,
    FaceEmbedder,
    FaceTrack,
    FaceTracker,
    PhaseTemplate,
    Sighting,
    SpeechRecogniser,
    SpoofScore,
    SpoofScorer,
    Transcript,
    Word,
)
from liveness.policy import LivenessPolicy
from liveness.turns import Baseline, PerformedTurn, baseline, own_yaw, performed_turns, yaw_over_time
from liveness.verdict import Live, NotLive, Verdict, judge

_SPOOF_FRAMES = 8
_RETURN_WINDOW_MS = 700  # after a turn's end: where the person is looked at again
_DIGIT_MOMENTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """The models of one process. ``recognisers``: one for each language that can be heard."""

    tracker: FaceTracker
    embedder: FaceEmbedder
    spoof: SpoofScorer
    recognisers: Mapping[Language, SpeechRecogniser]

    def versions(self, language: Language) -> dict[str, str]:
        """Role to model version, as verdicts record it."""
        versions = {
            "face_landmarks": self.tracker.model_version,
            "face_embedding": self.embedder.model_version,
            "attack_score": self.spoof.model_version,
        }
        recogniser = self.recognisers.get(language)
        if recogniser is not None:
            versions["speech"] = f"{recogniser.engine} {recogniser.model_version}"
        return versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """A verdict with what it stands on. ``timing_ms``: stage to milliseconds."""

    verdict: Verdict
    challenge: Challenge
    evidence: Evidence = field(repr=False)
    timing_ms: dict[str, int]

    @property
    def live(self) -> bool:
        return isinstance(self.verdict, Live)


def examine(
    capture: Capture,
    challenge: Challenge,
    *,
    policy: LivenessPolicy,
    engines: Engines,
    mirrored: bool,
    now: datetime,
) -> Examination:
    """Judge one capture against one challenge.

    Raises:
        EngineError: when a model failed. The capture was then not judged at all.
    """
    timing: dict[str, int] = {}
    # (1)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="speech") as pool:
        hearing = pool.submit(_hear, capture, challenge, engines, timing)
        with _timed(timing, "track"):
            track = engines.tracker.track(capture)
        transcript = hearing.result()
    # (2)
    front = baseline(track, policy=policy, mirrored=mirrored)
    turns: tuple[PerformedTurn, ...] = ()
    if front is not None:
        yaw = yaw_over_time(track, mirrored=mirrored)
        turns = performed_turns(yaw, zero_deg=front.yaw_deg, policy=policy)
    frames = {frame.at_ms: frame for frame in capture.frames}
    # (3)
    with _timed(timing, "embed"):
        templates = _templates(track, frames, front, turns, transcript, challenge, policy, mirrored, engines.embedder)
    # (4)
    with _timed(timing, "attack_score"):
        spoof = _spoof_scores(track, frames, policy, engines.spoof)
    evidence = Evidence(
        facts=capture.facts,
        mirrored=mirrored,
        sound_level_dbfs=None if capture.audio is None else level_dbfs(capture.audio),
        track=track,
        transcript=transcript,
        templates=templates,
        spoof=spoof,
    )
    # (5)
    with _timed(timing, "checks"):
        results = run_checks(evidence, challenge, policy)
    # (6)
    verdict = judge(
        results,
        required=[check.name for check in CHECKS],
        challenge=challenge,
        capture_sha256=capture.sha256,
        policy=policy,
        models=engines.versions(challenge.language),
        now=now,
    )
    return Examination(verdict=verdict, challenge=challenge, evidence=evidence, timing_ms=timing)


def verdict_json(verdict: Verdict, timing_ms: Mapping[str, int] | None = None) -> dict[str, object]:
    """The verdict as auditors and the command line see it, with values and limits."""
    return {
        "live": isinstance(verdict, Live),
        "assurance": verdict.assurance.value if isinstance(verdict, Live) else None,
        "policy": verdict.policy,
        "reasons": [reason.value for reason in verdict.reasons] if isinstance(verdict, NotLive) else [],
        "checks": [
            {
                "name": result.name,
                "outcome": result.outcome.value,
                "value": result.value,
                "limit": result.limit,
                "unit": result.unit,
                "code": None if result.code is None else result.code.value,
            }
            for result in verdict.results
        ],
        "timing_ms": dict(timing_ms or {}),
        "models": verdict.models,
        "challenge_id": verdict.challenge_id,
        "capture_sha256": verdict.capture_sha256,
        "judged_at": verdict.judged_at.isoformat(),
    }


def portrait_moments(examination: Examination, most: int = 5) -> tuple[int, ...]:
    """Times (ms) of the frames that would make the best portraits: facing the camera, mouth closed, eyes open; best first.

    Empty unless the verdict is live.
    """
    track = examination.evidence.track
    if not isinstance(examination.verdict, Live) or track is None:
        return ()
    seen = [s for s in track.sightings if len(s.faces) == 1]
    return tuple(s.at_ms for s in sorted(seen, key=_portrait_cost)[:most])


def _portrait_cost(sighting: Sighting) -> float:
    face = sighting.faces[0]
    # degrees off the camera, with an open mouth or closed eyes weighing as much as 50 or 30 degrees
    off = abs(face.yaw_deg) + abs(face.roll_deg) / 2 + abs(face.pitch_deg) / 2
    return off + 50 * mouth_opening(face) + 30 * max(face.blink_left, face.blink_right)


def _hear(capture: Capture, challenge: Challenge, engines: Engines, timing: dict[str, int]) -> Transcript | None:
    recogniser = engines.recognisers.get(challenge.language)
    if capture.audio is None or recogniser is None:
        return None
    with _timed(timing, "speech"):
        return recogniser.transcribe(capture.audio, language=challenge.language, expecting=len(challenge.digits))


def _templates(
    track: FaceTrack,
    frames: Mapping[int, Frame],
    front: Baseline | None,
    turns: tuple[PerformedTurn, ...],
    transcript: Transcript | None,
    challenge: Challenge,
    policy: LivenessPolicy,
    mirrored: bool,
    embedder: FaceEmbedder,
) -> tuple[PhaseTemplate, ...]:
    """Templates at the start, in each group of digits, and after each turn, all while looking at the camera."""
    if front is None:
        return ()
    facing = [
        s
        for s in track.sightings
        if s.faces and abs(own_yaw(s.faces[0], mirrored=mirrored) - front.yaw_deg) <= policy.turn_return.value
    ]
    moments: list[tuple[str, Sighting]] = []
    moments += [("start", s) for s in _spread(facing, front.start_ms, front.end_ms + 1, 1)]
    for number, (start_ms, end_ms) in enumerate(_digit_spans(transcript, challenge), start=1):
        moments += [(f"digits_{number}", s) for s in _spread(facing, start_ms, end_ms, _DIGIT_MOMENTS)]
    for number, turn in enumerate(turns, start=1):
        if turn.end_ms is not None:
            after = _spread(facing, turn.end_ms, turn.end_ms + _RETURN_WINDOW_MS, 1)
            moments += [(f"return_{number}", s) for s in after]
    return tuple(_phase_template(phase, s, frames[s.at_ms], embedder) for phase, s in moments)


def _phase_template(phase: str, sighting: Sighting, frame: Frame, embedder: FaceEmbedder) -> PhaseTemplate:
    made = embedder.embed(frame.image, sighting.faces[0].points)
    return PhaseTemplate(at_ms=sighting.at_ms, phase=phase, template=made)


def _digit_spans(transcript: Transcript | None, challenge: Challenge) -> Iterator[tuple[int, int]]:
    words: Sequence[Word] = () if transcript is None else transcript.words
    at = 0
    for step in challenge.steps:
        if isinstance(step, SayDigits):
            group = words[at : at + len(step.digits)]
            at += len(step.digits)
            if group:
                yield group[0].start_ms, group[-1].end_ms


def _spread(sightings: Sequence[Sighting], start_ms: int, end_ms: int, most: int) -> list[Sighting]:
    """At most ``most`` sightings within ``start_ms <= t < end_ms``, evenly spread."""
    within = [s for s in sightings if start_ms <= s.at_ms < end_ms]
    if len(within) <= most:
        return within
    return [within[(2 * i + 1) * len(within) // (2 * most)] for i in range(most)]


def _spoof_scores(
    track: FaceTrack, frames: Mapping[int, Frame], policy: LivenessPolicy, scorer: SpoofScorer
) -> tuple[SpoofScore, ...]:
    facing = [s for s in track.sightings if s.faces and abs(s.faces[0].yaw_deg) <= policy.baseline_yaw.value]
    if not facing:
        return ()
    chosen = _spread(facing, facing[0].at_ms, facing[-1].at_ms + 1, _SPOOF_FRAMES)
    return tuple(
        SpoofScore(at_ms=s.at_ms, live_probability=scorer.score(frames[s.at_ms].image, s.faces[0].box)) for s in chosen
    )


@contextmanager
def _timed(timing: dict[str, int], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        timing[stage] = round(1000 * (time.perf_counter() - start))
