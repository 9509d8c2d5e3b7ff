"""The runner: a recording in, evidence from the models, checks, verdict out.

    (1) decode and follow the face, frame by frame; hear the digits beside it
    (2) find the frontal baseline, the turns and the nods that were made
    (3) look at the person anew at every moment that matters, and take a template; score frontal frames for presentation
        attacks; beside it, measure what the pixels say
    (4) run every check
    (5) judge

What runs beside something else shares nothing with it, so the same recording gives the same verdict however threads take
turns. Nothing that a client says about its own recording is used, but whether its pictures are mirrored.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import numpy as np

from liveness.ahead import ahead
from liveness.attestation import Attestation, vouched
from liveness.capture import Audio, Capture, Frame, RgbImage
from liveness.challenge import Challenge
from liveness.checks import level_dbfs, required, run_checks
from liveness.decode import Picture, open_recording
from liveness.digits import Language
from liveness.evidence import (
    Box,
    Evidence,
    Face,
    FaceDetector,
    FaceEmbedder,
    FaceLandmarks,
    FaceTrack,
    FaceTracker,
    Fingerprint,
    LiveTiming,
    Look,
    Parallax,
    PhaseTemplate,
    PictureSigns,
    Sighting,
    SoundSigns,
    SpeechRecogniser,
    SpoofScore,
    SpoofScorer,
    Transcript,
    VoiceMatch,
)
from liveness.fingerprint import distance, fingerprint
from liveness.flow import eye_distance, parallax
from liveness.lips import voice_match
from liveness.moments import Moment, best_portraits, moments, spoof_sightings
from liveness.nods import performed_nods, pitch_over_time
from liveness.picture import picture_signs
from liveness.policy import LivenessPolicy
from liveness.sound import sound_signs
from liveness.transcripts import better
from liveness.turns import Baseline, PerformedTurn, baseline, performed_turns, yaw_over_time
from liveness.verdict import Live, NotLive, Verdict, judge

_DECODED_AHEAD = 6  # frames; in full size 1.4 MB each for 720p, 12 MB for 4K
_PORTRAITS = 5
_OTHER_WIDTH, _OTHER_SHARE = (
    0.35,
    0.3,
)  # of the own face: smaller is a picture on the wall; overlapping is the own face again
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """The models of one process.

    tracker, landmarks : frames that follow each other, and single ones. detector : of another make, for who has no landmarks.
    recognisers : for each language that can be heard one or two of different make; the first one's word times are used.
    """

    tracker: FaceTracker
    landmarks: FaceLandmarks
    detector: FaceDetector
    embedder: FaceEmbedder
    spoof: SpoofScorer
    recognisers: Mapping[Language, tuple[SpeechRecogniser, ...]]

    def versions(self, language: Language) -> dict[str, str]:
        """Role to model version, as verdicts record it."""
        versions = {
            "face_landmarks": self.tracker.model_version,
            "face_embedding": self.embedder.model_version,
            "attack_score": self.spoof.model_version,
        }
        for role, recogniser in zip(("speech", "second_speech"), self.recognisers.get(language, ()), strict=False):
            versions[role] = f"{recogniser.engine} {recogniser.model_version}"
        return versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """A verdict with what it stands on. ``timing_ms``: stage to milliseconds; stages run side by side.

    portraits : of a live person, the pictures in full size that would make the best portraits, best first; none when only a
    capture was examined.
    """

    verdict: Verdict
    challenge: Challenge
    evidence: Evidence = field(repr=False)
    timing_ms: dict[str, int]
    portraits: tuple[RgbImage, ...] = field(default=(), repr=False)

    @property
    def live(self) -> bool:
        return isinstance(self.verdict, Live)


def examine_recording(
    data: bytes,
    challenge: Challenge,
    *,
    policy: LivenessPolicy,
    engines: Engines,
    mirrored: bool,
    now: datetime,
    earlier: Sequence[Fingerprint] = (),
    timing: LiveTiming | None = None,
    attestation: Attestation | None = None,
) -> Examination:
    """Judge untrusted bytes against one challenge; decoding, following the face and hearing run side by side.

    policy : before ``Challenge.limits``. earlier : fingerprints of captures that were handed in before.

    Raises:
        MediaError: when the bytes are no recording that is taken.
        EngineError: when a model failed. The capture was then not judged at all.
    """
    spent = _Spent()
    with (
        spent.on("total"),
        open_recording(data, policy=challenge.limits(policy)) as recording,
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="hearing") as pool,
    ):
        hearing = pool.submit(_hear, recording.audio, challenge, engines, spent)
        seen: list[tuple[Sighting, Frame]] = []
        best: dict[int, Picture] = {}
        with ahead(spent.each("decode", recording.pictures()), depth=_DECODED_AHEAD) as pictures:
            for sighting, picture in _followed(engines.tracker, pictures, spent):
                seen.append((sighting, picture.frame))
                best[sighting.at_ms] = picture
                kept = best_portraits((s for s, _ in seen if s.at_ms in best), _PORTRAITS)
                best = {s.at_ms: best[s.at_ms] for s in kept}
        capture = recording.capture(tuple(frame for _, frame in seen))
        found = _examined(
            capture,
            _track(capture, [sighting for sighting, _ in seen]),
            hearing,
            challenge,
            policy=policy,
            engines=engines,
            mirrored=mirrored,
            now=now,
            earlier=earlier,
            timing=timing,
            attestation=attestation,
            spent=spent,
        )
        portraits = tuple(picture.full_size() for picture in best.values()) if isinstance(found[0], Live) else ()
    return Examination(
        verdict=found[0], challenge=challenge, evidence=found[1], timing_ms=spent.milliseconds(), portraits=portraits
    )


def examine(
    capture: Capture,
    challenge: Challenge,
    *,
    policy: LivenessPolicy,
    engines: Engines,
    mirrored: bool,
    now: datetime,
    earlier: Sequence[Fingerprint] = (),
    timing: LiveTiming | None = None,
    attestation: Attestation | None = None,
) -> Examination:
    """As :func:`examine_recording`, for a recording that is decoded already; the same evidence and verdict.

    Raises:
        EngineError: when a model failed. The capture was then not judged at all.
    """
    spent = _Spent()
    with spent.on("total"), ThreadPoolExecutor(max_workers=1, thread_name_prefix="hearing") as pool:
        hearing = pool.submit(_hear, capture.audio, challenge, engines, spent)
        with spent.on("track"):
            track = engines.tracker.track(capture)
        verdict, evidence = _examined(
            capture,
            track,
            hearing,
            challenge,
            policy=policy,
            engines=engines,
            mirrored=mirrored,
            now=now,
            earlier=earlier,
            timing=timing,
            attestation=attestation,
            spent=spent,
        )
    return Examination(verdict=verdict, challenge=challenge, evidence=evidence, timing_ms=spent.milliseconds())


def verdict_json(verdict: Verdict, timing_ms: Mapping[str, int] | None = None) -> dict[str, object]:
    """The verdict as auditors and the command line see it, with values and limits."""
    return {
        "live": isinstance(verdict, Live),
        "assurance": verdict.assurance.value if isinstance(verdict, Live) else None,
        "policy": verdict.policy,
        "path": verdict.path.value,
        "extra_time": verdict.extra_time,
        "reveal": verdict.reveal.value,
        "reasons": [reason.value for reason in verdict.reasons] if isinstance(verdict, NotLive) else [],
        "checks": [
            {
                "name": result.name,
                "outcome": result.outcome.value,
                "value": result.value,
                "limit": result.limit,
                "unit": result.unit,
                "code": None if result.code is None else result.code.value,
                "place": result.place,
            }
            for result in verdict.results
        ],
        "timing_ms": dict(timing_ms or {}),
        "models": verdict.models,
        "challenge_id": verdict.challenge_id,
        "capture_sha256": verdict.capture_sha256,
        "judged_at": verdict.judged_at.isoformat(),
    }


# --- what the stages do ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """All that the sound gave. transcript : the one whose word times are used. second : of the other recogniser, if there is
    one."""

    level_dbfs: float | None = None
    transcript: Transcript | None = None
    second: Transcript | None = None
    signs: SoundSigns | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pixels:
    """All that was measured without a model."""

    parallax: tuple[Parallax, ...]
    signs: PictureSigns | None
    fingerprint: Fingerprint | None


def _examined(
    capture: Capture,
    track: FaceTrack,
    hearing: Future[_Heard],
    challenge: Challenge,
    *,
    policy: LivenessPolicy,
    engines: Engines,
    mirrored: bool,
    now: datetime,
    earlier: Sequence[Fingerprint],
    timing: LiveTiming | None,
    attestation: Attestation | None,
    spent: _Spent,
) -> tuple[Verdict, Evidence]:
    """Steps 2 to 5."""
    own = challenge.limits(policy)
    frames = {frame.at_ms: frame for frame in capture.frames}
    # (2)
    front = baseline(track, policy=own, mirrored=mirrored)
    turns: tuple[PerformedTurn, ...] = ()
    if front is not None:
        turns = performed_turns(yaw_over_time(track, mirrored=mirrored), zero_deg=front.yaw_deg, policy=own)
    # (3)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="pixels") as pool:
        measuring = pool.submit(_measure, capture, frames, track, front, turns, mirrored, spent)
        with spent.on("attack_score"):
            spoof = _spoof_scores(track, frames, own, engines.spoof)
        heard = hearing.result()
        with spent.on("look_again"):
            wanted = _moments(track, front, turns, heard, challenge, own, mirrored)
            looks, templates = _look_again(wanted, frames, engines)
        pixels = measuring.result()
    evidence = Evidence(
        facts=capture.facts,
        mirrored=mirrored,
        sound_level_dbfs=heard.level_dbfs,
        track=track,
        transcript=heard.transcript,
        templates=templates,
        spoof=spoof,
        second_opinion=heard.second,
        recognisers=len(engines.recognisers.get(challenge.language, ())),
        parallax=pixels.parallax,
        looks=looks,
        picture=pixels.signs,
        sound=heard.signs,
        fingerprint=pixels.fingerprint,
        voice_match=_voice_match(track, capture.audio, heard.transcript),
        earlier_distance=_nearest(pixels.fingerprint, earlier),
        timing=timing,
    )
    # (4)
    with spent.on("checks"):
        results = run_checks(evidence, challenge, policy)
    # (5)
    verdict = judge(
        results,
        required=required(challenge),
        challenge=challenge,
        capture_sha256=capture.sha256,
        policy=policy,
        models=engines.versions(challenge.language),
        now=now,
        attested=vouched(attestation),
    )
    return verdict, evidence


def _followed(tracker: FaceTracker, pictures: Iterable[Picture], spent: _Spent) -> Iterator[tuple[Sighting, Picture]]:
    """Each picture with what the tracker saw in it; the tracker may ask for pictures ahead of what it gives."""
    given: deque[Picture] = deque()

    def frames() -> Iterator[Frame]:
        for picture in pictures:
            given.append(picture)
            yield picture.frame

    for sighting in spent.each("track", tracker.follow(frames())):
        yield sighting, given.popleft()


def _track(capture: Capture, sightings: Sequence[Sighting]) -> FaceTrack:
    first = capture.frames[0]
    return FaceTrack(sightings=tuple(sightings), width=first.width, height=first.height)


def _hear(audio: Audio | None, challenge: Challenge, engines: Engines, spent: _Spent) -> _Heard:
    if audio is None:
        return _Heard()
    recognisers = engines.recognisers.get(challenge.language, ()) if challenge.digits else ()
    with spent.on("speech"):
        opinions = tuple(
            each.transcribe(audio, language=challenge.language, expecting=len(challenge.digits)) for each in recognisers
        )
    first, second = (*opinions, None, None)[:2]
    used = None if first is None else better(first, second, challenge.digits)
    with spent.on("sound"):
        signs = sound_signs(audio, () if used is None else used.words)
    return _Heard(
        level_dbfs=level_dbfs(audio), transcript=used, second=first if used is second else second, signs=signs
    )


def _voice_match(track: FaceTrack, audio: Audio | None, heard: Transcript | None) -> VoiceMatch | None:
    return None if audio is None or heard is None else voice_match(track, audio, heard.words)


def _measure(
    capture: Capture,
    frames: Mapping[int, Frame],
    track: FaceTrack,
    front: Baseline | None,
    turns: Sequence[PerformedTurn],
    mirrored: bool,
    spent: _Spent,
) -> _Pixels:
    depth: tuple[Parallax, ...] = ()
    if front is not None:
        with spent.on("parallax"):
            depth = parallax(frames, track, front, turns, mirrored=mirrored)
    with spent.on("picture"):
        signs = picture_signs(capture.frames, track, capture.facts)
    with spent.on("fingerprint"):
        mark = fingerprint(track)
    # an empty one is like nothing, and must not pass for new
    return _Pixels(parallax=depth, signs=signs, fingerprint=mark if mark.words else None)


def _nearest(own: Fingerprint | None, earlier: Sequence[Fingerprint]) -> float | None:
    return min((distance(own, other) for other in earlier), default=None) if own is not None else None


def _moments(
    track: FaceTrack,
    front: Baseline | None,
    turns: Sequence[PerformedTurn],
    heard: _Heard,
    challenge: Challenge,
    own: LivenessPolicy,
    mirrored: bool,
) -> tuple[Moment, ...]:
    if front is None:
        return ()
    pitch = pitch_over_time(track, front, mirrored=mirrored, policy=own)
    nods = performed_nods(pitch, policy=own) if challenge.nods else ()
    return moments(track, front, turns, nods, heard.transcript, challenge, policy=own, mirrored=mirrored)


def _look_again(
    wanted: Sequence[Moment], frames: Mapping[int, Frame], engines: Engines
) -> tuple[tuple[Look, ...], tuple[PhaseTemplate, ...]]:
    """Each moment's frame by itself: who follows a face from frame to frame may glide over a swap. Templates are made of the
    face found anew."""
    looks: dict[int, Look] = {}
    templates = []
    for moment in wanted:
        for sighting in moment.candidates:
            image = frames[sighting.at_ms].image
            found = engines.landmarks.find(image)
            looks[sighting.at_ms] = Look(
                at_ms=sighting.at_ms,
                faces=max(len(found), 1 + _others(engines.detector.boxes(image), sighting.faces[0].box)),
                apart=_apart(found[0], sighting.faces[0]) if found else None,
            )
            if found:
                made = engines.embedder.embed(image, found[0].points)
                templates.append(PhaseTemplate(at_ms=sighting.at_ms, phase=moment.phase, template=made))
                break
    return tuple(looks[at_ms] for at_ms in sorted(looks)), tuple(templates)


def _others(boxes: Sequence[Box], own: Box) -> int:
    """How many boxes are of somebody else: beside the own face, and not much smaller."""
    return sum(box.width >= _OTHER_WIDTH * own.width and _shared(box, own) < _OTHER_SHARE for box in boxes)


def _shared(box: Box, own: Box) -> float:
    """Share of ``box`` that lies in ``own``."""
    x = min(box.x + box.width, own.x + own.width) - max(box.x, own.x)
    y = min(box.y + box.height, own.y + own.height) - max(box.y, own.y)
    return max(x, 0.0) * max(y, 0.0) / max(box.width * box.height, 1e-9)


def _apart(found: Face, tracked: Face) -> float:
    """Distance between the middles of the eyes, over the distance between the eyes."""
    between = found.points[:2].mean(axis=0) - tracked.points[:2].mean(axis=0)
    return float(np.hypot(*between)) / eye_distance(found)


def _spoof_scores(
    track: FaceTrack, frames: Mapping[int, Frame], own: LivenessPolicy, scorer: SpoofScorer
) -> tuple[SpoofScore, ...]:
    return tuple(
        SpoofScore(at_ms=s.at_ms, live_probability=scorer.score(frames[s.at_ms].image, s.faces[0].box))
        for s in spoof_sightings(track, own)
    )


class _Spent:
    """Seconds spent in each stage. A stage is entered by one thread at a time; different stages by different threads."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - start

    def each(self, stage: str, items: Iterable[_T]) -> Iterator[_T]:
        """The items, and how long they took to make."""
        iterator = iter(items)
        while True:
            with self.on(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def milliseconds(self) -> dict[str, int]:
        return {stage: round(1000 * seconds) for stage, seconds in self._seconds.items()}
