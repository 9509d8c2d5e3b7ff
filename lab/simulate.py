"""Recordings of a simulated person doing what a challenge asks, and of attacks on it.

How a take is made:

    (1) what is made: the challenge's steps, or what the attack makes of them
    (2) who: a portrait and a voice, and somebody else's where the attack wants one
    (3) footage: what is to be seen and heard over time, from the voice's digits and the seed
    (4) the camera's pictures of it, with its noise and its unsteady clock; a recording's go to the file as they are
    (5) the file, which says in its comment that it was simulated
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from lab.attacks import Take, attacked
from lab.camera import NOISE_SIGMA, Sensor, steady_times, unsteady_times
from lab.errors import LabError, VoiceMissing
from lab.footage import Actor, Footage, Studio
from lab.people import PEOPLE, Person, person_named
from lab.person import TURN_DEG, Performance
from lab.portrait import composed, default_picture, other_person, picture_at, portrait_of
from lab.scenes import WITH_OTHERS, footage_of
from lab.voice import Voice
from lab.voice_piper import LANGUAGES, spoken_digits
from likeness.encode import Codec, encode
from liveness.capture import Audio, RgbImage
from liveness.challenge import Direction, SayDigits, Step, Turn
from liveness.checks import SIMULATOR_MARK
from liveness.digits import Language
from liveness.evidence import FaceFinder, FaceLandmarks
from liveness.weights import card, open_weights, read_cards

FPS = 30
SIZE = (720, 1280)  # width, height: a phone held upright

_AHEAD = 6  # pictures rendered before they are asked for
_OTHER_VOICE = Voice(pitch=1.22, formants=1.08)  # of whoever prompts or dubs a person of no name


def simulate(
    out: Path,
    *,
    digits: str = "",
    turns: tuple[Direction, ...] = (),
    steps: tuple[Step, ...] | None = None,
    language: Language = Language.ENGLISH,
    portrait: Path | None = None,
    person: str | None = None,
    attack: str | None = None,
    seed: int = 1,
    weights: Path,
    codec: Codec = "h264",
    size: tuple[int, int] = SIZE,
    fps: float = FPS,
    turn_deg: tuple[float, float] = TURN_DEG,
    fast: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Performance:
    """Write the recording to ``out`` (.mp4, .mov; .webm with codec ``vp9``) and return what was really performed.

    steps : the challenge, in its order; ``None``: ``digits`` and then ``turns``.
    attack : a name of :data:`lab.attacks.ATTACKS`, or ``None`` for the person doing as asked.
    person : a name of :data:`lab.people.PEOPLE`, face and voice. portrait : in its place a picture with a frontal face, or
        a film of one. Neither: the default portrait, in the voice as it is.
    weights : folder of the models. size : width and height of the pictures. fps : pictures a second, on average.
    turn_deg : how far turns go, least and most. fast : spend less time on encoding, for many takes.
    progress : called with the share that is done, 0..1.

    The same arguments give the same pictures and sound, and with ``fast`` the same bytes; else what the encoder's threads
    make of them may differ by a few grey levels.

    Raises:
        LabError: no such attack or person, no voice for the language, no usable face in the portrait.
        WeightsError: a model is missing or altered.
        EncodeError: the file could not be written.
    """
    if language not in LANGUAGES:
        known = ", ".join(LANGUAGES)
        raise VoiceMissing(f"no voice says digits in {language.value}; simulated people speak: {known}")
    if not out.parent.is_dir():
        raise LabError(f"the folder of {out.name} does not exist", code="out_folder_missing")
    # (1)
    if steps is None:
        steps = (SayDigits(digits=digits), *(Turn(direction=direction) for direction in turns))
    take = Take(steps=steps)
    if attack is not None:
        take = attacked(take, attack, random.Random(f"take {seed}"))
    # (2)
    who = None if person is None or portrait is not None else person_named(person)
    studio = _studio(
        take, who, portrait, language=language, seed=seed, weights=weights, size=size, fps=fps, turn_deg=turn_deg
    )
    # (3)
    footage = footage_of(take.scene, studio, take.steps)
    # (4) (5)
    times = _times(footage, fps, studio.chance("clock"))
    sensor = None
    if footage.recorded_fps is None:
        sensor = Sensor.of(size, f"{seed}", sigma=NOISE_SIGMA if who is None else who.noise)
    encode(
        _pictures(footage, sensor, times),
        footage.sound if take.sound else None,
        width=size[0],
        height=size[1],
        fps=fps,
        times_ms=times,
        out=out,
        codec=codec,
        fast=fast,
        metadata=_says(take),
        unsigned=not take.marked,
        progress=None if progress is None else lambda done: progress(done / len(times)),
    )
    return footage.performance


def _says(take: Take) -> dict[str, str]:
    said = [SIMULATOR_MARK] if take.marked else []
    if take.editor is not None:
        said.append(take.editor)
    return {"comment": "; ".join(said)} if said else {}


# --- who -------------------------------------------------------------------------------------------------------------


def _studio(
    take: Take,
    who: Person | None,
    portrait: Path | None,
    *,
    language: Language,
    seed: int,
    weights: Path,
    size: tuple[int, int],
    fps: float,
    turn_deg: tuple[float, float],
) -> Studio:
    chance = random.Random(f"other {seed}")
    if who is not None:
        actor = _actor_of(who, size, weights)
    else:
        landmarks, finder = faces_of(weights)
        picture = default_picture() if portrait is None else picture_at(portrait, landmarks)
        actor = Actor.of(composed(picture, landmarks=landmarks, finder=finder, size=size), landmarks)
    other, other_voice = actor, _OTHER_VOICE
    if take.scene in WITH_OTHERS:
        if who is not None:
            somebody = chance.choice([other for other in PEOPLE.values() if other.base != who.base])
            other, other_voice = _actor_of(somebody, size, weights), somebody.voice
        else:
            landmarks, finder = faces_of(weights)
            somebody_else = other_person(landmarks=landmarks, finder=finder, size=size, chance=chance)
            other = Actor.of(somebody_else, landmarks)
    return Studio(
        person=actor,
        spoken=_spoken(Voice() if who is None else who.voice, language, weights),
        other=other,
        other_spoken=_spoken(other_voice, language, weights),
        seed=seed,
        fps=fps,
        turn_deg=turn_deg,
    )


@lru_cache(maxsize=2)
def faces_of(weights: Path) -> tuple[FaceLandmarks, FaceFinder]:
    """What finds faces in portraits; opened once in a process."""
    from liveness.detect_onnx import RfbDetector
    from liveness.faces_mediapipe import MediapipeFaces
    from liveness.find import EveryFace

    marks, detector = card("face_landmarker"), card("face_detector")
    landmarks = MediapipeFaces(open_weights(marks, weights) / marks.only_file.path)
    boxes = RfbDetector(open_weights(detector, weights) / detector.only_file.path, detector.sha256)
    return landmarks, EveryFace(boxes, landmarks)


def _actor_of(who: Person, size: tuple[int, int], weights: Path) -> Actor:
    """Kept for the life of this process: a corpus has many takes of each."""
    name = next(name for name, person in PEOPLE.items() if person is who)
    return _actor_named(name, size, weights)


@lru_cache(maxsize=64)
def _actor_named(name: str, size: tuple[int, int], weights: Path) -> Actor:
    landmarks, finder = faces_of(weights)
    return Actor.of(portrait_of(PEOPLE[name], landmarks=landmarks, finder=finder, size=size), landmarks)


@lru_cache(maxsize=64)
def _spoken(voice: Voice, language: Language, weights: Path) -> dict[str, Audio]:
    said = spoken_digits(open_weights(card("voice_en", read_cards("likeness")), weights), language)
    return {digit: voice.says(sound) for digit, sound in said.items()}


# --- pictures --------------------------------------------------------------------------------------------------------


def _times(footage: Footage, fps: float, chance: random.Random) -> tuple[float, ...]:
    if footage.recorded_fps is None:
        return unsteady_times(footage.duration_ms, fps, chance)
    return steady_times(footage.duration_ms, footage.recorded_fps)


def _pictures(footage: Footage, sensor: Sensor | None, times: Sequence[float]) -> Iterator[RgbImage]:
    """The pictures in order, made on two threads a few ahead of the encoder."""

    def picture(number: int) -> RgbImage:
        image = footage.picture(times[number])
        return image if sensor is None else sensor.sees(image, number, times[number])

    waiting: deque[Future[RgbImage]] = deque()
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="render") as pool:
        try:
            for number in range(len(times)):
                waiting.append(pool.submit(picture, number))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
