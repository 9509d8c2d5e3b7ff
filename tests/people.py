"""A person in numbers in front of a camera, with knobs: what the models would say of somebody who does this or that.

The rules of ``liveness`` are tested on these people without any model. ``Person().evidence(challenge)`` does as asked; each
knob makes one thing go wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from liveness.capture import MediaFacts
from liveness.challenge import Challenge, Direction, asked
from liveness.digits import Language
from liveness.evidence import Box, Evidence, Face, FaceTrack, PhaseTemplate, Sighting, SpoofScore, Transcript, Word
from liveness.policy import STRICT
from liveness.template import FaceTemplate, template

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FRAME_MS = 66
DIGIT_MS, PAUSE_MS, TURN_MS = 400, 300, 1600
START_MS = 1000


def challenge(digits: str = "480215", turns: str = "left,right,left") -> Challenge:
    return asked(digits, turns, language=Language.ENGLISH, policy=STRICT, now=NOW)


def face(yaw_deg: float = 0.0, *, pitch_deg: float = 0.0, mouth: float = 0.0, width: float = 200.0) -> Face:
    return Face(
        box=Box(x=220.0, y=100.0, width=width, height=width * 1.3),
        landmarks=np.zeros((478, 3), np.float32),
        yaw_deg=yaw_deg,
        pitch_deg=pitch_deg,
        roll_deg=0.0,
        jaw_open=mouth * 0.5,
        lip_gap=mouth * 0.5,
        blink_left=0.0,
        blink_right=0.0,
        points=np.zeros((5, 2), np.float32),
    )


def vector(person: int, *, noise: float = 0.1, seed: int = 0) -> FaceTemplate:
    """A template of person number ``person``; the same person's templates are alike, others' are not."""
    middle = np.random.default_rng(1000 + person).normal(size=512)
    away = np.random.default_rng(seed).normal(size=512) * noise
    return template((middle + away).astype(np.float32), contract_id="test")


def facts(**changes: object) -> MediaFacts:
    values: dict[str, object] = {
        "container": "mp4",
        "video_codec": "h264",
        "audio_codec": "aac",
        "width": 720,
        "height": 1280,
        "duration_ms": 12_000,
        "audio_duration_ms": 12_000,
        "source_frames": 360,
        "source_fps": 30.0,
        "longest_gap_ms": 40,
        "frame_intervals_ms": (33, 34, 40),
        "video_start_ms": 0,
        "audio_start_ms": 0,
        "writing_app": "phone",
    }
    return MediaFacts(**(values | changes))  # type: ignore[arg-type]


@dataclass(kw_only=True)
class Person:
    """Defaults do what is asked. ``says`` and ``turns`` replace what is asked; the rest are knobs."""

    says: str | None = None
    turns: tuple[Direction, ...] | None = None
    turn_deg: float = 32.0
    turn_hold_ms: int = 700
    returns_between: bool = True
    resting_yaw_deg: float = 1.5
    mirrored: bool = False
    mouth: float = 0.5
    heard: bool = True
    accepted: bool = True
    sound_dbfs: float | None = -18.0
    lost_from_ms: int | None = None
    lost_for_ms: int = 0
    second_face_for_ms: int = 0
    width: float = 200.0
    person_at: Callable[[str], int] = field(default=lambda phase: 1)
    live_probability: float | None = 0.95
    turns_first: bool = False
    facts: dict[str, object] = field(default_factory=dict)

    def evidence(self, asked_for: Challenge) -> Evidence:
        says = asked_for.digits if self.says is None else self.says
        turns = asked_for.turns if self.turns is None else self.turns
        speech_ms = len(says) * (DIGIT_MS + PAUSE_MS)
        speech_at = START_MS + (len(turns) * TURN_MS if self.turns_first else 0)
        turns_at = START_MS if self.turns_first else START_MS + speech_ms + 400
        words = tuple(
            Word(
                text=digit,
                start_ms=speech_at + i * (DIGIT_MS + PAUSE_MS),
                end_ms=speech_at + i * (DIGIT_MS + PAUSE_MS) + DIGIT_MS,
            )
            for i, digit in enumerate(says)
        )
        end_ms = START_MS + speech_ms + 400 + len(turns) * TURN_MS + 1000
        sightings = tuple(
            Sighting(at_ms=at_ms, faces=self._faces(at_ms, words, turns, turns_at))
            for at_ms in range(0, end_ms, FRAME_MS)
        )
        phases = ["start", "digits_1", *(f"return_{i + 1}" for i in range(len(turns)))]
        return Evidence(
            facts=facts(duration_ms=end_ms, audio_duration_ms=end_ms, **self.facts),
            mirrored=self.mirrored,
            sound_level_dbfs=self.sound_dbfs,
            track=FaceTrack(sightings=sightings, width=640, height=480),
            transcript=Transcript(
                digits=says,
                words=words,
                engine="test",
                model_version="1",
                language=Language.ENGLISH,
                accepted=self.accepted,
            )
            if self.heard
            else None,
            templates=tuple(
                PhaseTemplate(at_ms=i * 1000, phase=phase, template=vector(self.person_at(phase), seed=i))
                for i, phase in enumerate(phases)
            ),
            spoof=()
            if self.live_probability is None
            else tuple(SpoofScore(at_ms=i * 500, live_probability=self.live_probability) for i in range(8)),
        )

    def _faces(
        self, at_ms: int, words: tuple[Word, ...], turns: tuple[Direction, ...], turns_at: int
    ) -> tuple[Face, ...]:
        if self.lost_from_ms is not None and self.lost_from_ms <= at_ms < self.lost_from_ms + self.lost_for_ms:
            return ()
        own_left = self.resting_yaw_deg + self._turn(at_ms - turns_at, turns)
        speaking = any(word.start_ms <= at_ms < word.end_ms for word in words)
        swing = abs(math.sin(at_ms / DIGIT_MS * math.pi))
        seen = face(
            -own_left if self.mirrored else own_left,
            mouth=self.mouth * swing if speaking else 0.01,
            width=self.width,
        )
        if 3000 <= at_ms < 3000 + self.second_face_for_ms:
            return (seen, face(width=90.0))
        return (seen,)

    def _turn(self, since_ms: int, turns: tuple[Direction, ...]) -> float:
        number = since_ms // TURN_MS
        if since_ms < 0 or number >= len(turns):
            return 0.0
        side = 1 if turns[number] is Direction.LEFT else -1
        into_ms = since_ms % TURN_MS
        ramp_ms = 300
        if not self.returns_between:
            return side * self.turn_deg
        shape = min(into_ms / ramp_ms, 1.0, max(0.0, (2 * ramp_ms + self.turn_hold_ms - into_ms) / ramp_ms))
        return side * self.turn_deg * shape
