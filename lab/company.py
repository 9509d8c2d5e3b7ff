"""Takes in which the person is not alone: somebody else takes over, looks in, prompts, or lends a voice."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from lab.footage import Footage, Studio, live
from lab.person import Performance, eased, openness
from lab.room import in_a_room, through_a_speaker
from likeness.mesh import Pose
from liveness.capture import RgbImage
from liveness.challenge import SayDigits, Step, draw_digits
from liveness.evidence import Word

_LOOKS_IN_MS = (1400, 2600)
_COMES_MS = 350
_PROMPT_LEVEL = 0.25  # of the subject's voice: said softly from a metre away
_PROMPT_GAP_MS = 120


def swap(studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """The person first; from the end of the first step on, somebody else."""
    take = live(studio, steps)
    from_ms = take.performance.steps[0].end_ms + 200 if take.performance.steps else 0
    return replace(take, picture=lambda at_ms: _who(studio, take.performance, at_ms, at_ms >= from_ms))


def swap_in_turn(studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """Somebody else while a turn or nod is made, and the person again as soon as it is over."""
    take = live(studio, steps)
    moves = [d for d in take.performance.steps if not isinstance(d.step, SayDigits)] or list(take.performance.steps)
    made = studio.chance("swap").choice(moves)
    inside = (made.start_ms, made.end_ms)
    return replace(take, picture=lambda at_ms: _who(studio, take.performance, at_ms, inside[0] <= at_ms < inside[1]))


def looked_in_on(studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """A second face comes into the picture's edge for some seconds, and goes."""
    take = live(studio, steps)
    chance = studio.chance("looks in")
    long_ms = chance.randint(*_LOOKS_IN_MS)
    start_ms = chance.randint(800, max(take.duration_ms - long_ms, 801))
    right = chance.random() < 0.5
    cut = _head(studio)
    width, height = studio.size
    scale = chance.uniform(0.5, 0.65) * studio.person.mesh.face_width / studio.other.mesh.face_width
    high = chance.uniform(0.1, 0.3) * height

    def picture(at_ms: float) -> RgbImage:
        image = take.picture(at_ms)
        into = at_ms - start_ms
        if not 0 <= into < long_ms:
            return image
        come = eased(min(into, long_ms - into) / _COMES_MS)
        across = cut.shape[1] * scale
        x = width - across * come * 0.9 if right else across * (come * 0.9 - 1)
        to = np.array([[scale, 0, x], [0, scale, high + 0.01 * height * np.sin(at_ms / 300)]])
        head = cv2.warpAffine(cut, to, studio.size, flags=cv2.INTER_AREA)
        weight = head[..., 3:].astype(np.float32) / 255
        return np.ascontiguousarray(np.clip(image * (1 - weight) + head[..., :3] * weight + 0.5, 0, 255), np.uint8)

    return replace(take, picture=picture)


def prompted(studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """Another voice says each digit softly, and the person repeats it."""
    rate_hz = next(iter(studio.spoken.values())).rate_hz
    prompts = {
        digit: np.concatenate(
            [
                _PROMPT_LEVEL * studio.other_spoken[digit].samples,
                np.zeros(rate_hz * _PROMPT_GAP_MS // 1000, np.float32),
            ]
        ).astype(np.float32)
        for digit in studio.spoken
    }
    both = {
        digit: replace(sound, samples=np.concatenate([prompts[digit], sound.samples]))
        for digit, sound in studio.spoken.items()
    }
    performance = replace(studio, spoken=both).performed(steps)
    words = []
    own = performance.voice.copy()  # without the prompts: the mouth moves in what the person says
    for word in performance.words:
        share = len(prompts[word.text]) / len(both[word.text].samples)
        start_ms = word.start_ms + round(share * (word.end_ms - word.start_ms))
        own[word.start_ms * rate_hz // 1000 : start_ms * rate_hz // 1000] = 0
        words.append(replace(word, start_ms=start_ms))
    performance = replace(performance, words=tuple(words), openness=openness(own, rate_hz, tuple(words)))
    return Footage(
        duration_ms=performance.duration_ms,
        picture=lambda at_ms: studio.person.seen(performance.pose_at(at_ms)),
        sound=studio.sound_of(performance),
        performance=performance,
    )


def voice_over(studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """The person talks about something else and turns as asked, while another voice says the right digits in time."""
    chance = studio.chance("something else")
    spoken_instead = tuple(
        SayDigits(digits=draw_digits(len(step.digits), chance)) if isinstance(step, SayDigits) else step
        for step in steps
    )
    take = live(studio, spoken_instead)
    seen = take.performance
    voice, words = _dubbed(steps, seen, studio)
    return replace(
        take,
        sound=in_a_room(voice, seen.rate_hz, studio.noise("room")),
        performance=replace(
            seen,
            words=words,
            steps=tuple(replace(done, step=step) for done, step in zip(seen.steps, steps, strict=True)),
        ),
        picture=lambda at_ms: studio.person.seen(seen.pose_at(at_ms)),
    )


def _dubbed(steps: tuple[Step, ...], seen: Performance, studio: Studio) -> tuple[NDArray[np.float32], tuple[Word, ...]]:
    """The digits in the other voice, at times of its own within each digits step of ``seen``."""
    chance = studio.chance("dubbing")
    rate_hz = seen.rate_hz
    voice = np.zeros(len(seen.voice), np.float32)
    words = []
    for step, done in zip(steps, seen.steps, strict=True):
        if not isinstance(step, SayDigits):
            continue
        sounds = [through_a_speaker(studio.other_spoken[digit].samples, rate_hz) for digit in step.digits]
        long_ms = [1000 * len(sound) // rate_hz for sound in sounds]
        room_ms = done.end_ms + 250 - done.start_ms - sum(long_ms)
        shares = [chance.uniform(0.5, 1.5) for _ in sounds]
        at_ms = float(done.start_ms + chance.randint(-150, 250))
        for digit, sound, long, share in zip(step.digits, sounds, long_ms, shares, strict=True):
            start = int(at_ms * rate_hz / 1000)
            voice[start : start + len(sound)] += sound[: max(len(voice) - start, 0)]
            words.append(Word(text=digit, start_ms=int(at_ms), end_ms=int(at_ms) + long))
            at_ms += long + max(room_ms * share / sum(shares), 120.0)
    return voice, tuple(words)


def _who(studio: Studio, performance: Performance, at_ms: float, other: bool) -> RgbImage:
    return (studio.other if other else studio.person).seen(performance.pose_at(at_ms))


def _head(studio: Studio) -> NDArray[np.uint8]:
    """Somebody else's head cut out, ``(h, w, 4)``: colours and a soft oval of how much of it is there."""
    other = studio.other
    image = other.seen(Pose())
    box = other.frontal.face.box
    left, top = int(max(box.x - 0.25 * box.width, 0)), int(max(box.y - 0.45 * box.height, 0))
    right, bottom = int(box.x + 1.25 * box.width), int(box.y + 1.15 * box.height)
    cut = image[top:bottom, left:right]
    oval = np.zeros(cut.shape[:2], np.uint8)
    middle = (cut.shape[1] // 2, cut.shape[0] // 2)
    cv2.ellipse(oval, middle, (int(middle[0] * 0.92), int(middle[1] * 0.94)), 0, 0, 360, 255, -1, cv2.LINE_AA)
    soft = cv2.GaussianBlur(oval, (0, 0), cut.shape[1] * 0.02)
    return np.ascontiguousarray(np.dstack([cut, soft]), np.uint8)
