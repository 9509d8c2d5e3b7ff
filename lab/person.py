"""What a simulated person does in front of the camera, as values over time.

Pure: steps, sounds and a seeded source of chance in, a :class:`Performance` out, which answers for each millisecond how the
head is held. Heads turn as arms reach, along the path of least jerk (Flash and Hogan 1985); a reaction comes before each
turn; a head is never quite still; the mouth follows the voice's loudness inside words and rests between them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from likeness.mesh import Pose
from liveness.capture import Audio
from liveness.challenge import Direction, SayDigits, Step, Turn
from liveness.evidence import Word

# All milliseconds unless said otherwise; pairs are the least and the most that is drawn.
_SETTLE = (850, 1050)  # looks at the camera first
_PAUSE = (330, 470)  # between digits
_BEFORE_WORDS = (280, 420)  # reads them first
_REACTION = (330, 520)  # reads what comes next, then moves
_TURNING = (480, 640)
_HELD = (560, 720)
_RETURNING = (480, 620)
_AFTER_TURN = (150, 280)
_END = (450, 600)
_NODDING = (230, 280)  # down, and as long up again
_BETWEEN_NODS = (40, 90)
_NOD_DEG = (14.0, 17.0)

TURN_DEG = (31.5, 34.5)
"""How far a person asked for 25 degrees turns; least and most."""
SMALL_TURN_DEG = (19.5, 21.5)
"""The same for 15 degrees."""

_BLINK_EVERY = (2200, 4800)
_BLINK_CLOSING, _BLINK_OPENING = 70, 130

_ENVELOPE_MS = 10
_MOUTH_LEAD = 40  # the mouth opens before it is heard
_MOST_OPEN = 0.4  # of ``Pose.jaw_open``: clear speech, not a yawn
_REST_CLOSED = 0.9  # of ``Pose.lips_closed``: lips together, not pressed

# Rounded (negative) or spread lips of each English digit: the middle of its vowel.
_LIP_SHAPE = {
    "0": -0.4, "1": -0.35, "2": -0.7, "3": 0.45, "4": -0.55, "5": 0.2, "6": 0.35, "7": 0.2, "8": 0.4, "9": 0.2,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnMade:
    """A turn as it is performed, from leaving the front to being back; held while ``reached_ms <= t < left_ms``."""

    direction: Direction
    start_ms: int
    reached_ms: int
    left_ms: int
    end_ms: int
    yaw_deg: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NodMade:
    """One nod: the chin is lowest at ``lowest_ms``, half way."""

    start_ms: int
    lowest_ms: int
    end_ms: int
    pitch_deg: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """When a step of the challenge was really done.

    cue_ms : when it can have been shown: the step before is over. The person reacts after it.
    start_ms, end_ms : first sound or motion of the step, and the last.
    """

    step: Step
    cue_ms: int
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sway:
    """A slow wander: a sum of sines, ``(amplitude, period in ms, phase in radians)`` each."""

    waves: tuple[tuple[float, float, float], ...]

    def at(self, at_ms: float) -> float:
        return sum(size * math.sin(2 * math.pi * at_ms / period + phase) for size, period, phase in self.waves)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Performance:
    """A person doing something for ``duration_ms``.

    words : what is said and when. turns, nods : in order. steps : when each step was done, in order.
    voice : ``(n,) float32`` at ``rate_hz``, the words at their times and silence between; no room yet.
    openness : ``(n,) float32`` 0..1 a step of 10 ms: how loud the voice is, smoothed, 0 outside words.
    blinks : when each begins. sways : by the name of the field of ``Pose`` they move.
    """

    duration_ms: int
    words: tuple[Word, ...]
    turns: tuple[TurnMade, ...]
    nods: tuple[NodMade, ...]
    steps: tuple[StepDone, ...]
    voice: NDArray[np.float32] = field(repr=False)
    rate_hz: int
    openness: NDArray[np.float32] = field(repr=False)
    blinks: tuple[int, ...]
    sways: Mapping[str, Sway] = field(repr=False)

    def pose_at(self, at_ms: float) -> Pose:
        """How the head is held, relative to the portrait."""
        yaw = turned_deg(self.turns, at_ms)
        opened = self._openness_at(at_ms + _MOUTH_LEAD)
        return Pose(
            yaw_deg=yaw + self.sways["yaw_deg"].at(at_ms),
            pitch_deg=abs(yaw) * 0.05 + nodded_deg(self.nods, at_ms) + self.sways["pitch_deg"].at(at_ms),
            roll_deg=-yaw * 0.04 + self.sways["roll_deg"].at(at_ms),
            shift_x=yaw * 0.0008 + self.sways["shift_x"].at(at_ms),
            shift_y=self.sways["shift_y"].at(at_ms),
            scale=1 + self.sways["scale"].at(at_ms),
            jaw_open=_MOST_OPEN * opened,
            lips_closed=_REST_CLOSED * (1 - min(1.0, 2.5 * opened)),
            mouth_wide=self._lip_shape_at(at_ms + _MOUTH_LEAD) * min(1.0, 2 * opened),
            blink=self._blink_at(at_ms),
        )

    def _openness_at(self, at_ms: float) -> float:
        steps = np.arange(len(self.openness)) * _ENVELOPE_MS
        return float(np.interp(at_ms, steps, self.openness, left=0.0, right=0.0))

    def _lip_shape_at(self, at_ms: float) -> float:
        saying = (word.text for word in self.words if word.start_ms - 60 <= at_ms < word.end_ms + 60)
        return _LIP_SHAPE.get(next(saying, ""), 0.0)

    def _blink_at(self, at_ms: float) -> float:
        for start_ms in self.blinks:
            since = at_ms - start_ms
            if 0 <= since < _BLINK_CLOSING:
                return eased(since / _BLINK_CLOSING)
            if _BLINK_CLOSING <= since < _BLINK_CLOSING + _BLINK_OPENING:
                return eased(1 - (since - _BLINK_CLOSING) / _BLINK_OPENING)
        return 0.0


def perform(
    steps: tuple[Step, ...],
    spoken: Mapping[str, Audio],
    chance: random.Random,
    *,
    turn_deg: tuple[float, float] = TURN_DEG,
    tempo: float = 1.0,
) -> Performance:
    """Do the steps in their order. ``spoken``: the sound of each digit, all at one rate.

    turn_deg : how far turns go, least and most. tempo : of everything but the words' own sound; 0.5 takes twice as long.

    The same arguments and seed of ``chance`` give the same performance.
    """
    rate_hz = next(iter(spoken.values())).rate_hz
    pace = chance.uniform(0.97, 1.04)  # this take's voice: a little slower and lower, or faster and higher

    def drawn(least_and_most: tuple[int, int]) -> int:
        return round(_draw(chance, least_and_most) / tempo)

    cue_ms = now_ms = drawn(_SETTLE)
    words: list[Word] = []
    sounds: list[tuple[int, NDArray[np.float32]]] = []
    turns: list[TurnMade] = []
    nods: list[NodMade] = []
    done: list[StepDone] = []
    for step in steps:
        if isinstance(step, SayDigits):
            start_ms = end_ms = now_ms = now_ms + drawn(_BEFORE_WORDS)
            for digit in step.digits:
                sound = _at_pace(spoken[digit].samples, pace) * np.float32(chance.uniform(0.9, 1.1))
                end_ms = now_ms + round(1000 * len(sound) / rate_hz)
                words.append(Word(text=digit, start_ms=now_ms, end_ms=end_ms))
                sounds.append((now_ms, sound))
                now_ms = end_ms + drawn(_PAUSE)
        elif isinstance(step, Turn):
            made = _turn(step.direction, now_ms + drawn(_REACTION), chance, turn_deg, tempo)
            turns.append(made)
            start_ms, end_ms = made.start_ms, made.end_ms
            now_ms = end_ms + drawn(_AFTER_TURN)
        else:
            start_ms = end_ms = now_ms + drawn(_REACTION)
            for _ in range(step.times):
                half_ms = drawn(_NODDING)
                nods.append(_nod(end_ms, half_ms, chance))
                end_ms += 2 * half_ms + drawn(_BETWEEN_NODS)
            now_ms = end_ms + drawn(_AFTER_TURN)
        done.append(StepDone(step=step, cue_ms=cue_ms, start_ms=start_ms, end_ms=end_ms))
        cue_ms = end_ms
    duration_ms = now_ms + drawn(_END)
    voice = np.zeros(duration_ms * rate_hz // 1000, np.float32)
    for start_ms, sound in sounds:
        start = start_ms * rate_hz // 1000
        voice[start : start + len(sound)] += sound[: len(voice) - start]
    return Performance(
        duration_ms=duration_ms,
        words=tuple(words),
        turns=tuple(turns),
        nods=tuple(nods),
        steps=tuple(done),
        voice=voice,
        rate_hz=rate_hz,
        openness=openness(voice, rate_hz, tuple(words)),
        blinks=_blinks(duration_ms, chance),
        sways=_sways(chance),
    )


def turned_deg(turns: tuple[TurnMade, ...], at_ms: float) -> float:
    """How far the turns have brought the nose to the picture's right edge: the person's own left, unmirrored; degrees."""
    for turn in turns:
        if turn.start_ms <= at_ms < turn.end_ms:
            side = 1 if turn.direction is Direction.LEFT else -1
            there = least_jerk((at_ms - turn.start_ms) / (turn.reached_ms - turn.start_ms))
            back = least_jerk((at_ms - turn.left_ms) / (turn.end_ms - turn.left_ms))
            return side * turn.yaw_deg * (there - back)
    return 0.0


def nodded_deg(nods: tuple[NodMade, ...], at_ms: float) -> float:
    """How far nods have brought the chin down; degrees."""
    for nod in nods:
        if nod.start_ms <= at_ms < nod.end_ms:
            down = least_jerk((at_ms - nod.start_ms) / (nod.lowest_ms - nod.start_ms))
            up = least_jerk((at_ms - nod.lowest_ms) / (nod.end_ms - nod.lowest_ms))
            return nod.pitch_deg * (down - up)
    return 0.0


def least_jerk(share: float) -> float:
    """Position along a reach of least jerk, 0..1, after ``share`` of its time."""
    held = min(max(share, 0.0), 1.0)
    return held**3 * (10 - 15 * held + 6 * held**2)


def eased(share: float) -> float:
    held = min(max(share, 0.0), 1.0)
    return held * held * (3 - 2 * held)


def openness(voice: NDArray[np.float32], rate_hz: int, words: tuple[Word, ...]) -> NDArray[np.float32]:
    """How loud the voice is inside words, ``(n,)`` 0..1 a step of 10 ms, smoothed over some 60 ms; 0 outside words."""
    hop = rate_hz * _ENVELOPE_MS // 1000
    count = len(voice) // hop
    level = np.sqrt(np.square(voice[: count * hop]).reshape(count, hop).mean(axis=1))
    inside = np.zeros(count, np.float32)
    for word in words:
        start, end = word.start_ms // _ENVELOPE_MS, -(-word.end_ms // _ENVELOPE_MS)
        loudest = float(level[start:end].max(initial=0.0))
        if loudest > 0:  # each word opens the mouth about as far: six is not shouted where five is
            inside[start:end] = np.sqrt(level[start:end] / loudest)
    window = np.hanning(13)[1:-1]
    return np.asarray(np.convolve(inside, window / window.sum(), mode="same"), np.float32)


def _turn(
    direction: Direction, start_ms: int, chance: random.Random, turn_deg: tuple[float, float], tempo: float
) -> TurnMade:
    reached_ms = start_ms + round(_draw(chance, _TURNING) / tempo)
    left_ms = reached_ms + round(_draw(chance, _HELD) / tempo)
    return TurnMade(
        direction=direction,
        start_ms=start_ms,
        reached_ms=reached_ms,
        left_ms=left_ms,
        end_ms=left_ms + round(_draw(chance, _RETURNING) / tempo),
        yaw_deg=chance.uniform(*turn_deg),
    )


def _nod(start_ms: int, half_ms: int, chance: random.Random) -> NodMade:
    return NodMade(
        start_ms=start_ms,
        lowest_ms=start_ms + half_ms,
        end_ms=start_ms + 2 * half_ms,
        pitch_deg=chance.uniform(*_NOD_DEG),
    )


def _blinks(duration_ms: int, chance: random.Random) -> tuple[int, ...]:
    found = []
    at_ms = _draw(chance, (1200, 2400))
    while at_ms + _BLINK_CLOSING + _BLINK_OPENING < duration_ms:
        found.append(at_ms)
        at_ms += _draw(chance, _BLINK_EVERY)
    return tuple(found)


def _sways(chance: random.Random) -> dict[str, Sway]:
    """Small motion of a person who holds still: degrees, and shares of the face's width (breath lifts the head)."""

    def wander(size: float) -> Sway:
        periods = ((3100, 1.0), (1700, 0.5), (830, 0.2))
        return Sway(
            waves=tuple(
                (size * share, period * chance.uniform(0.85, 1.15), chance.uniform(0, 2 * math.pi))
                for period, share in periods
            )
        )

    breath = (0.006, chance.uniform(3400, 4400), chance.uniform(0, 2 * math.pi))
    return {
        "yaw_deg": wander(0.9),
        "pitch_deg": wander(0.7),
        "roll_deg": wander(0.6),
        "shift_x": wander(0.006),
        "shift_y": Sway(waves=(*wander(0.003).waves, breath)),
        "scale": wander(0.004),
    }


def _at_pace(samples: NDArray[np.float32], pace: float) -> NDArray[np.float32]:
    """The sound ``pace`` times as fast (and as high)."""
    at = np.arange(0, len(samples) - 1, pace)
    return np.asarray(np.interp(at, np.arange(len(samples)), samples), np.float32)


def _draw(chance: random.Random, least_and_most: tuple[int, int]) -> int:
    return chance.randint(*least_and_most)
