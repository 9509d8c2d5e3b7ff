"""A person in numbers in front of a camera, with knobs: what the models would say of somebody who does this or that.

The rules of ``liveness`` are tested on these people without any model. ``Person().evidence(challenge)`` does as asked; each
knob makes one thing go wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import zip_longest

import numpy as np

from liveness.capture import MediaFacts
from liveness.challenge import Challenge, Direction, Nod, Reveal, SayDigits, Step, Turn, asked, of_steps, read_steps
from liveness.digits import Language
from liveness.evidence import (
    Box,
    Evidence,
    Face,
    FaceTrack,
    Fingerprint,
    LiveTiming,
    Look,
    Parallax,
    PhaseTemplate,
    PictureSigns,
    ShownCue,
    Sighting,
    SoundSigns,
    SpoofScore,
    Transcript,
    VoiceMatch,
    Word,
)
from liveness.policy import STRICT, Path
from liveness.template import FaceTemplate, template

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FRAME_MS = 66
DIGIT_MS, PAUSE_MS, TURN_MS, NOD_MS = 400, 300, 1600, 700
START_MS = 1000


def challenge(digits: str = "480215", turns: str = "left,right,left") -> Challenge:
    return asked(digits, turns, language=Language.ENGLISH, policy=STRICT, now=NOW)


def steps_challenge(steps: str, *, path: Path = Path.STANDARD, reveal: Reveal = Reveal.AT_ONCE) -> Challenge:
    """As ``480,left,215,right``."""
    return of_steps(read_steps(steps), language=Language.ENGLISH, policy=STRICT, now=NOW, path=path, reveal=reveal)


_SHAPE = np.random.default_rng(7).uniform(-1, 1, (478, 3))
_LIFE = np.random.default_rng(8).normal(0, 1, (478, 3))


def face(
    yaw_deg: float = 0.0,
    *,
    pitch_deg: float = 0.0,
    mouth: float = 0.0,
    width: float = 200.0,
    x: float = 220.0,
    life: float = 0.0,
    blink: float = 0.0,
) -> Face:
    """``life``: how far the parts of the face have moved against each other, of its width."""
    landmarks = (_SHAPE * width / 2 + _LIFE * life * width + (x + width / 2, 230.0, 0.0)).astype(np.float32)
    return Face(
        box=Box(x=x, y=100.0, width=width, height=width * 1.3),
        landmarks=landmarks,
        yaw_deg=yaw_deg,
        pitch_deg=pitch_deg,
        roll_deg=0.0,
        jaw_open=mouth * 0.5,
        lip_gap=mouth * 0.5,
        blink_left=blink,
        blink_right=blink,
        points=np.array(
            [
                [x + 0.3 * width, 200],
                [x + 0.7 * width, 200],
                [x + 0.5 * width, 240],
                [x + 0.35 * width, 280],
                [x + 0.65 * width, 280],
            ],
            np.float32,
        ),
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


PICTURE = PictureSigns(
    brightness=128.0,
    sharpness=1e6,
    worst_cut=0.0,
    repeated=0.0,
    longest_frozen_ms=0,
    loop_ms=0,
    noise=2.0,
    moire=0.0,
    border=0.0,
    flicker=0.0,
)
SOUND = SoundSigns(start_ms=0, hop_ms=10, loudness_dbfs=(-60.0,) * 100, floor_jump_db=1.0, digital_silence=0.0)
REACTION_MS = 600
FITS = VoiceMatch(lag_ms=40, fit=0.6, fit_elsewhere=0.2)


@dataclass(kw_only=True)
class Person:
    """Defaults do what is asked. ``says``, ``turns`` and ``nods`` replace what is asked; the rest are knobs.

    ``reaction_ms``: from a cue to the begin of its step, of a live session. ``picture``, ``sound``: what differs there.
    """

    says: str | None = None
    turns: tuple[Direction, ...] | None = None
    nods: tuple[int, ...] | None = None
    turn_deg: float = 32.0
    turn_hold_ms: int = 700
    nod_deg: float = 16.0
    returns_between: bool = True
    resting_yaw_deg: float = 1.5
    mirrored: bool = False
    mouth: float = 0.5
    mouth_in_pauses: float = 0.01
    chews: bool = False
    heard: bool = True
    accepted: bool = True
    second_opinion: str | None = None
    sound_dbfs: float | None = -18.0
    lost_from_ms: int | None = None
    lost_for_ms: int = 0
    second_face_for_ms: int = 0
    second_face_missed: bool = False
    width: float = 200.0
    face_x: float = 220.0
    life: float = 0.02
    blinks: bool = False
    depth: float = 0.04
    sheet: float = 0.04
    person_at: Callable[[str], int] = field(default=lambda phase: 1)
    live_probability: float | None = 0.95
    turns_first: bool = False
    apart: float | None = 0.02
    reaction_ms: int = REACTION_MS
    clock_ratio: float = 1.0
    earlier_distance: float | None = None
    voice_match: VoiceMatch | None = FITS
    picture: dict[str, object] = field(default_factory=dict)
    sound: dict[str, object] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)

    def evidence(self, asked_for: Challenge) -> Evidence:
        steps = self._performed(asked_for)
        words: list[Word] = []
        moves: list[tuple[int, Step]] = []
        begins: list[int] = []
        now_ms = START_MS
        for step in steps:
            begins.append(now_ms)
            match step:
                case SayDigits():
                    for digit in step.digits:
                        words.append(Word(text=digit, start_ms=now_ms, end_ms=now_ms + DIGIT_MS))
                        now_ms += DIGIT_MS + PAUSE_MS
                    now_ms += 400
                case Turn():
                    moves.append((now_ms, step))
                    now_ms += TURN_MS
                case Nod():
                    moves.append((now_ms, step))
                    now_ms += step.times * NOD_MS + 600
        end_ms = now_ms + 1000
        sightings = tuple(
            Sighting(at_ms=at_ms, faces=self._faces(at_ms, tuple(words), moves)) for at_ms in range(0, end_ms, FRAME_MS)
        )
        turns = sum(isinstance(step, Turn) for step in steps)
        phases = ["start", *(f"digits_{i + 1}" for i in range(sum(isinstance(step, SayDigits) for step in steps)))]
        phases += [f"nods_{i + 1}" for i in range(sum(isinstance(step, Nod) for step in steps))]
        phases += [
            f"{kind}" for i in range(turns) for kind in (f"turn_{i + 1}_out", f"turn_{i + 1}_back", f"return_{i + 1}")
        ]
        says = "".join(word.text for word in words)
        return Evidence(
            facts=facts(duration_ms=end_ms, audio_duration_ms=end_ms, **self.facts),
            mirrored=self.mirrored,
            sound_level_dbfs=self.sound_dbfs,
            track=FaceTrack(sightings=sightings, width=640, height=480),
            transcript=self._transcript(says, tuple(words)) if self.heard else None,
            second_opinion=None if self.second_opinion is None else self._transcript(self.second_opinion, ()),
            recognisers=1 if self.second_opinion is None else 2,
            templates=tuple(
                PhaseTemplate(at_ms=i * 1000, phase=phase, template=vector(self.person_at(phase), seed=i))
                for i, phase in enumerate(phases)
            ),
            spoof=()
            if self.live_probability is None
            else tuple(SpoofScore(at_ms=i * 500, live_probability=self.live_probability) for i in range(8)),
            parallax=tuple(
                Parallax(turn=i, yaw_change_deg=15.0, residual=self.depth, sheet=self.sheet, points=60)
                for i in range(turns)
            ),
            looks=tuple(Look(at_ms=i * 1000, faces=1, apart=self.apart) for i in range(8)),
            picture=replace(PICTURE, **self.picture),  # type: ignore[arg-type]
            sound=None if self.sound_dbfs is None else replace(SOUND, **self.sound),  # type: ignore[arg-type]
            voice_match=self.voice_match if self.heard and self.sound_dbfs is not None else None,
            fingerprint=Fingerprint(words=(1, 2, 3)),
            earlier_distance=self.earlier_distance,
            timing=LiveTiming(
                cues=tuple(ShownCue(step=i, at_ms=at - self.reaction_ms) for i, at in enumerate(begins)),
                clock_ratio=self.clock_ratio,
            )
            if asked_for.reveal is Reveal.CUE_BY_CUE
            else None,
        )

    def _performed(self, asked_for: Challenge) -> tuple[Step, ...]:
        """The asked steps with what this person does in their place."""
        if self.says is None and self.turns is None and self.nods is None and not self.turns_first:
            return asked_for.steps
        said: list[Step] = [step for step in asked_for.steps if isinstance(step, SayDigits)]
        if self.says is not None:
            said = [SayDigits(digits=self.says)]
        turned: list[Step] = [step for step in asked_for.steps if isinstance(step, Turn)]
        if self.turns is not None:
            turned = [Turn(direction=direction) for direction in self.turns]
        nodded: list[Step] = [step for step in asked_for.steps if isinstance(step, Nod)]
        if self.nods is not None:
            nodded = [Nod(times=times) for times in self.nods]
            return tuple(s for pair in zip_longest(nodded, turned) for s in pair if s is not None)
        return (*turned, *said) if self.turns_first else (*said, *turned)

    def _transcript(self, digits: str, words: tuple[Word, ...]) -> Transcript:
        return Transcript(
            digits=digits,
            words=words,
            engine="test",
            model_version="1",
            language=Language.ENGLISH,
            accepted=self.accepted,
        )

    def _faces(self, at_ms: int, words: tuple[Word, ...], moves: list[tuple[int, Step]]) -> tuple[Face, ...]:
        if self.lost_from_ms is not None and self.lost_from_ms <= at_ms < self.lost_from_ms + self.lost_for_ms:
            return ()
        own_left, down = self.resting_yaw_deg, 0.0
        for since, step in moves:
            if isinstance(step, Turn):
                own_left += self._turn(at_ms - since, step.direction)
            elif isinstance(step, Nod) and 0 <= at_ms - since < step.times * NOD_MS:
                down += self.nod_deg * abs(math.sin((at_ms - since) / NOD_MS * math.pi))
        speaking = any(word.start_ms <= at_ms < word.end_ms for word in words)
        swing = abs(math.sin(at_ms / DIGIT_MS * math.pi))
        seen = face(
            -own_left if self.mirrored else own_left,
            pitch_deg=down,
            mouth=self.mouth * swing
            if speaking
            else self.mouth_in_pauses * (at_ms // FRAME_MS % 2 if self.chews else 1),
            width=self.width,
            x=self.face_x,
            life=self.life * math.sin(at_ms / 900),
            blink=0.9 if self.blinks and 2000 <= at_ms < 2200 else 0.05,
        )
        missed = self.second_face_missed and at_ms // FRAME_MS % 2
        if 3000 <= at_ms < 3000 + self.second_face_for_ms and not missed:
            return (seen, face(width=90.0))
        return (seen,)

    def _turn(self, since_ms: int, direction: Direction) -> float:
        if not 0 <= since_ms < TURN_MS:
            return 0.0
        side = 1 if direction is Direction.LEFT else -1
        ramp_ms = 300
        if not self.returns_between:
            return side * self.turn_deg
        shape = min(since_ms / ramp_ms, 1.0, max(0.0, (2 * ramp_ms + self.turn_hold_ms - since_ms) / ramp_ms))
        return side * self.turn_deg * shape
