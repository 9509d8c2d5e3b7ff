"""Recordings made or remade with an editor: spliced, frozen, sped up, encoded again.

All of these reach the service as files or through a virtual camera: no camera looks at them again, so what noise they have
is that of the recordings they come from, and their pictures come to the tick.
"""

from __future__ import annotations

import random
import tempfile
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lab.attacks import SPED_UP
from lab.camera import Sensor
from lab.footage import Footage, Studio, live, recorded
from lab.person import Performance, StepDone, perform
from lab.room import in_a_room
from lab.voice import at_tempo
from likeness.encode import encode
from liveness.capture import Audio, RgbImage
from liveness.challenge import Direction, Nod, SayDigits, Step, Turn
from liveness.evidence import Word

_SESSIONS = 3  # recordings of the person that the library was cut from
_LEAD_MS, _TAIL_MS = 150, 170  # kept around each word and motion
_SETTLED_MS = 950
_FADE_MS = 100  # of the picture, for who fades
_SOUND_FADE_MS = 20
_FREEZE_MS = (600, 1000)
_LOOP_FRAMES = (4, 7)
_CROP = 0.03  # of each side
_EDITED_CRF = 27
_LESS_LIGHT = (0.93, 1.06)  # one session against another
_MOVED = 0.02  # of the picture's width: the phone stood elsewhere


# --- spliced ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """From a recording of the library, ``start_ms <= t < end_ms``."""

    session: int
    start_ms: int
    end_ms: int

    @property
    def long_ms(self) -> int:
        return self.end_ms - self.start_ms


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Session:
    """One earlier recording in which the person said all digits, turned both ways and nodded."""

    footage: Footage
    sound: Audio = field(repr=False)

    @classmethod
    def of(cls, studio: Studio, number: int) -> _Session:
        chance = studio.chance(f"session {number}")
        shuffled = "".join(chance.sample("0123456789", 10))
        steps: tuple[Step, ...] = (
            SayDigits(digits=shuffled),
            Turn(direction=Direction.LEFT),
            Turn(direction=Direction.RIGHT),
            Nod(times=2),
        )
        performance = perform(steps, studio.spoken, chance, turn_deg=studio.turn_deg)
        moved = [chance.uniform(-_MOVED, _MOVED) * studio.size[0] for _ in range(2)]
        light = chance.uniform(*_LESS_LIGHT)
        hiss_db = chance.uniform(-62, -50)

        def picture(at_ms: float) -> RgbImage:
            seen = studio.person.seen(performance.pose_at(at_ms))
            to = np.array([[1, 0, moved[0]], [0, 1, moved[1]]])
            elsewhere = cv2.warpAffine(seen, to, studio.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            return np.asarray(cv2.convertScaleAbs(elsewhere, alpha=light), np.uint8)

        sound = in_a_room(
            performance.voice,
            performance.rate_hz,
            studio.noise(f"session {number}"),
            hiss_db=hiss_db,
            echo=chance.uniform(0.08, 0.2),
        )
        footage = Footage(duration_ms=performance.duration_ms, picture=picture, sound=sound, performance=performance)
        sensor = Sensor.of(studio.size, f"session {number} {studio.seed}", sigma=chance.uniform(1.6, 2.6))
        return cls(footage=recorded(footage, sensor, studio.fps), sound=sound)


def spliced(studio: Studio, steps: tuple[Step, ...], *, faded: bool) -> Footage:
    """The steps put together from clips of single digits, turns and nods. ``faded``: joins are dissolved, not hard."""
    sessions = [_Session.of(studio, number) for number in range(_SESSIONS)]
    cuts, words, done = _cut_list(steps, [session.footage.performance for session in sessions], studio.chance("cuts"))
    ends = list(accumulate(cut.long_ms for cut in cuts))
    starts = [0, *ends[:-1]]

    def picture(at_ms: float) -> RgbImage:
        number = min(bisect_right(ends, at_ms), len(cuts) - 1)
        cut, into_ms = cuts[number], at_ms - starts[number]
        now = sessions[cut.session].footage.picture(cut.start_ms + into_ms)
        left_ms = cut.long_ms - into_ms
        if not faded or left_ms >= _FADE_MS or number + 1 == len(cuts):
            return now
        following = cuts[number + 1]
        early = sessions[following.session].footage.picture(max(following.start_ms - left_ms, 0))
        share = 1 - left_ms / _FADE_MS
        return np.asarray(cv2.addWeighted(now, 1 - share, early, share, 0), np.uint8)

    rate_hz = sessions[0].sound.rate_hz
    parts = [
        sessions[cut.session].sound.samples[cut.start_ms * rate_hz // 1000 : cut.end_ms * rate_hz // 1000]
        for cut in cuts
    ]
    performance = replace(
        sessions[0].footage.performance, duration_ms=ends[-1], words=words, turns=(), nods=(), steps=done
    )
    return Footage(
        duration_ms=ends[-1],
        picture=picture,
        sound=Audio(samples=_joined(parts, rate_hz * _SOUND_FADE_MS // 1000 if faded else 0), rate_hz=rate_hz),
        performance=performance,
        recorded_fps=studio.fps,
    )


def _cut_list(
    steps: tuple[Step, ...], library: Sequence[Performance], chance: random.Random
) -> tuple[list[Cut], tuple[Word, ...], tuple[StepDone, ...]]:
    """What to take from where, and what is then said and done at which time of the whole."""
    cuts = [Cut(session=0, start_ms=0, end_ms=min(_SETTLED_MS, library[0].words[0].start_ms - 50))]
    now_ms = cuts[0].end_ms
    words: list[Word] = []
    done: list[StepDone] = []
    for step in steps:
        cue_ms = now_ms
        for wanted in _clips_of(step):
            session = chance.randrange(len(library))
            start_ms, end_ms = _place(wanted, library[session])
            cut = Cut(session=session, start_ms=max(start_ms - _LEAD_MS, 0), end_ms=end_ms + _TAIL_MS)
            cuts.append(cut)
            if isinstance(wanted, str) and not isinstance(wanted, Direction):
                words.append(Word(text=wanted, start_ms=now_ms + _LEAD_MS, end_ms=now_ms + cut.long_ms - _TAIL_MS))
            now_ms += cut.long_ms
        done.append(StepDone(step=step, cue_ms=cue_ms, start_ms=cue_ms + _LEAD_MS, end_ms=now_ms - _TAIL_MS))
    last = library[0].duration_ms
    cuts.append(Cut(session=0, start_ms=last - 500, end_ms=last))
    return cuts, tuple(words), tuple(done)


def _clips_of(step: Step) -> list[str | Direction | None]:
    """Digits, directions, ``None`` for a nod."""
    if isinstance(step, SayDigits):
        return list(step.digits)
    if isinstance(step, Turn):
        return [step.direction]
    return [None] * step.times


def _place(wanted: str | Direction | None, performance: Performance) -> tuple[int, int]:
    if wanted is None:
        return performance.nods[0].start_ms, performance.nods[0].end_ms
    if isinstance(wanted, Direction):
        turn = next(turn for turn in performance.turns if turn.direction is wanted)
        return turn.start_ms, turn.end_ms
    word = next(word for word in performance.words if word.text == wanted)
    return word.start_ms, word.end_ms


def _joined(parts: Sequence[NDArray[np.float32]], fade: int) -> NDArray[np.float32]:
    """One after the other; with ``fade`` samples at each join where the one goes down as the other comes up."""
    whole = np.concatenate(parts)
    if fade:
        ramp = np.linspace(0, 1, fade, dtype=np.float32)
        at = 0
        for part, after in pairwise(parts):
            at += len(part)
            if len(after) >= fade:
                tail = part[-fade:][::-1]  # what would have followed, as far as anybody can hear
                whole[at : at + fade] = after[:fade] * ramp + tail * (1 - ramp)
    return np.asarray(whole, np.float32)


# --- frozen ----------------------------------------------------------------------------------------------------------


def frozen(studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """A stream that stands still in one place and repeats a few pictures in another, while the sound goes on."""
    take = recorded(live(studio, steps), Sensor.of(studio.size, f"first {studio.seed}"), studio.fps)
    holds = frozen_parts(take.performance, studio.fps, studio.chance("frozen"))

    def picture(at_ms: float) -> RgbImage:
        number = int(at_ms * studio.fps / 1000 + 1e-6)
        return take.picture(1000 * shown_number(number, holds) / studio.fps + 1e-3)

    return replace(take, picture=picture)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Pictures ``first <= number < end`` show the ``period`` pictures from ``first`` on again and again."""

    first: int
    end: int
    period: int


def shown_number(number: int, holds: Sequence[Hold]) -> int:
    """Which picture is shown in place of this one."""
    for hold in holds:
        if hold.first <= number < hold.end:
            there = (number - hold.first) % max(2 * hold.period - 2, 1)  # there and back: no jump where it begins again
            return hold.first + (there if there < hold.period else 2 * hold.period - 2 - there)
    return number


def frozen_parts(performance: Performance, fps: float, chance: random.Random) -> tuple[Hold, ...]:
    """One freeze into a step or near the end, and one loop over a word (or, with no words, in the first second) that leaves the
    freeze as it is."""
    end_ms = performance.duration_ms - 50
    freeze_ms = chance.randint(*_FREEZE_MS)
    from_ms = chance.choice([done.start_ms for done in performance.steps[1:]] or [end_ms]) - freeze_ms + 80
    from_ms = max(from_ms, 0)
    spots = [(from_ms, freeze_ms, 1)]
    loop_ms = chance.randint(*_FREEZE_MS)
    places = [word.start_ms + 60 for word in performance.words] or [100]
    free = [at_ms for at_ms in places if at_ms + loop_ms < from_ms or at_ms > from_ms + freeze_ms]
    if free:
        spots.append((chance.choice(free), loop_ms, chance.randint(*_LOOP_FRAMES)))
    return tuple(
        Hold(first=int(start * fps / 1000), end=int(min(start + long, end_ms) * fps / 1000), period=period)
        for start, long, period in sorted(spots)
    )


# --- sped up, encoded again ------------------------------------------------------------------------------------------


def time_compressed(studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """A take done slowly, sped up by half, its sound shortened without a change of pitch."""
    slow_words = {
        digit: replace(sound, samples=at_tempo(sound.samples, 1 / 1.3, sound.rate_hz))
        for digit, sound in studio.spoken.items()
    }
    slow = live(replace(studio, spoken=slow_words), steps, tempo=1 / SPED_UP)
    take = recorded(slow, Sensor.of(studio.size, f"first {studio.seed}"), studio.fps)
    sound = slow.sound
    quick = None if sound is None else replace(sound, samples=at_tempo(sound.samples, SPED_UP, sound.rate_hz))
    return replace(
        take,
        duration_ms=int(take.duration_ms / SPED_UP),
        picture=lambda at_ms: take.picture(at_ms * SPED_UP),
        sound=quick,
        performance=sped_up(take.performance, SPED_UP),
    )


def sped_up(performance: Performance, factor: float) -> Performance:
    """The same performance on the shorter clock: words and steps at their new times."""

    def now(at_ms: int) -> int:
        return round(at_ms / factor)

    return replace(
        performance,
        duration_ms=int(performance.duration_ms / factor),
        words=tuple(replace(w, start_ms=now(w.start_ms), end_ms=now(w.end_ms)) for w in performance.words),
        turns=tuple(
            replace(
                t, start_ms=now(t.start_ms), reached_ms=now(t.reached_ms), left_ms=now(t.left_ms), end_ms=now(t.end_ms)
            )
            for t in performance.turns
        ),
        steps=tuple(
            replace(s, cue_ms=now(s.cue_ms), start_ms=now(s.start_ms), end_ms=now(s.end_ms)) for s in performance.steps
        ),
    )


def reencoded(studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """A genuine take of an earlier day, opened in an editor, cropped, brought to size again and written once more.

    It is really encoded and decoded in between: what that leaves in the pictures is the codec's own.
    """
    take = recorded(live(studio, steps), Sensor.of(studio.size, f"first {studio.seed}"), studio.fps)
    total = int(take.duration_ms * studio.fps / 1000)
    with tempfile.TemporaryDirectory(prefix="mien-editor-") as folder:
        file = Path(folder) / "first.mp4"
        encode(
            (take.picture(1000 * number / studio.fps + 1e-3) for number in range(total)),
            None,
            width=studio.size[0],
            height=studio.size[1],
            fps=studio.fps,
            out=file,
            crf=_EDITED_CRF,
            fast=True,
        )
        pictures = _cropped(file, studio.size)
    return replace(take, picture=lambda at_ms: pictures[min(int(at_ms * studio.fps / 1000 + 1e-6), len(pictures) - 1)])


def _cropped(file: Path, size: tuple[int, int]) -> list[RgbImage]:
    width, height = size
    x, y = round(width * _CROP), round(height * _CROP)
    film = cv2.VideoCapture(str(file))
    pictures = []
    while True:
        there, image = film.read()
        if not there:
            break
        inside = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)[y : height - y, x : width - x]
        pictures.append(np.asarray(cv2.resize(inside, size, interpolation=cv2.INTER_LINEAR), np.uint8))
    film.release()
    return pictures
