"""A recording of a simulated person doing a challenge, or of an attack on it, as a phone would have made it.

(1) what is filmed: the steps asked for, changed by the attack
(2) who: a portrait set into the phone's picture, and somebody else's where the attack wants one
(3) what they do, over time, from the voice's digits and the seed
(4) each picture: the portrait in its pose, then flicker and noise of a sensor
(5) the sound: the voice in a room
(6) the file, which says in its comment that it was simulated
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lab.attacks import Take, attacked
from lab.errors import LabError, VoiceMissing
from lab.person import Performance, perform
from lab.portrait import Portrait, composed, default_picture, other_person, picture_at
from lab.voice_piper import LANGUAGES, spoken_digits
from likeness.encode import Codec, encode
from likeness.mesh import PortraitMesh, Pose
from liveness.capture import Audio, RgbImage
from liveness.challenge import Direction, SayDigits, Turn
from liveness.checks import SIMULATOR_MARK
from liveness.digits import Language
from liveness.weights import card, open_weights, read_cards

FPS = 30
SIZE = (720, 1280)  # width, height: a phone held upright

_NOISE_SIGMA = 2.0  # grey levels: a phone indoors
_FLICKER = 0.008  # of brightness: mains light against the shutter
_ROOM_LEVEL = 10 ** (-58 / 20)  # of full scale: a quiet room
_VOICE_PEAK = 0.5  # of full scale
_ECHO = 0.12  # of the voice: how much of it comes back from the walls
_ECHO_S = 0.25
_FRONTAL_PITCH_DEG = 10.0  # phones are held low: a portrait within is left as it is
_AHEAD = 6  # pictures rendered before they are asked for


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Actor:
    """A portrait that can move. ``yaw_deg``, ``pitch_deg``: how it looks aside; taken back, so that rest is frontal."""

    mesh: PortraitMesh
    yaw_deg: float
    pitch_deg: float

    @classmethod
    def of(cls, portrait: Portrait) -> _Actor:
        pitch = portrait.face.pitch_deg
        beyond = pitch - min(max(pitch, -_FRONTAL_PITCH_DEG), _FRONTAL_PITCH_DEG)
        return cls(mesh=PortraitMesh(portrait.image, portrait.face), yaw_deg=portrait.face.yaw_deg, pitch_deg=beyond)

    def seen(self, pose: Pose) -> RgbImage:
        held = replace(pose, yaw_deg=pose.yaw_deg - self.yaw_deg, pitch_deg=pose.pitch_deg - self.pitch_deg)
        return self.mesh.render(held)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cast:
    """Who is seen: the person, and who takes over at ``other_from_ms`` (``None``: nobody does)."""

    person: _Actor
    other: _Actor | None
    other_from_ms: int

    def at(self, at_ms: float) -> _Actor:
        return self.other if self.other is not None and at_ms >= self.other_from_ms else self.person


def simulate(
    out: Path,
    *,
    digits: str,
    turns: tuple[Direction, ...],
    language: Language,
    portrait: Path | None,
    attack: str | None,
    seed: int,
    weights: Path,
    codec: Codec = "h264",
    size: tuple[int, int] = SIZE,
    progress: Callable[[float], None] | None = None,
) -> Performance:
    """Write the recording to ``out`` (.mp4, .mov; .webm with codec ``vp9``) and return what was really performed.

    digits, turns : the challenge. attack : a name of :data:`lab.attacks.ATTACKS`, or ``None`` for the person doing as asked.
    portrait : a picture with a frontal face; ``None`` for the default. weights : folder of the models.
    size : width and height of the pictures. progress : called with the share that is done, 0..1.

    The same arguments give the same pictures and sound; what the encoder makes of them may differ by a few grey levels.

    Raises:
        LabError: no such attack, no voice for the language, no usable face in the portrait.
        WeightsError: a model is missing or altered.
        EncodeError: the file could not be written.
    """
    if language not in LANGUAGES:
        known = ", ".join(LANGUAGES)
        raise VoiceMissing(f"no voice says digits in {language.value}; simulated people speak: {known}")
    if not out.parent.is_dir():
        raise LabError(f"the folder of {out.name} does not exist", code="out_folder_missing")
    # (1)
    take = Take(steps=(SayDigits(digits=digits), *(Turn(direction=direction) for direction in turns)))
    if attack is not None:
        take = attacked(take, attack, random.Random(f"take {seed}"))
    # (2)
    person, other = _people(portrait, take, seed=seed, weights=weights, size=size)
    # (3)
    spoken = spoken_digits(open_weights(card("voice_en", read_cards("likeness")), weights), language)
    performance = perform(take.steps, spoken, random.Random(f"performance {seed}"))
    said_ms = max((word.end_ms for word in performance.words), default=0)
    cast = _Cast(
        person=_Actor.of(person),
        other=None if other is None else _Actor.of(other),
        other_from_ms=said_ms + 200,
    )
    # (4) (5) (6)
    total = performance.duration_ms * FPS // 1000
    encode(
        _pictures(cast, performance, take, seed=seed, total=total),
        in_a_room(performance.voice, performance.rate_hz, np.random.default_rng(seed)) if take.sound else None,
        width=size[0],
        height=size[1],
        fps=FPS,
        out=out,
        codec=codec,
        metadata={"comment": SIMULATOR_MARK},
        progress=None if progress is None else lambda done: progress(done / total),
    )
    return performance


def _people(
    portrait: Path | None, take: Take, *, seed: int, weights: Path, size: tuple[int, int]
) -> tuple[Portrait, Portrait | None]:
    from liveness.detect_onnx import RfbDetector
    from liveness.faces_mediapipe import MediapipeFaces
    from liveness.find import EveryFace

    marks, detector = card("face_landmarker"), card("face_detector")
    landmarks = MediapipeFaces(open_weights(marks, weights) / marks.only_file.path)
    finder = EveryFace(
        RfbDetector(open_weights(detector, weights) / detector.only_file.path, detector.sha256), landmarks
    )
    picture = default_picture() if portrait is None else picture_at(portrait)
    person = composed(picture, landmarks=landmarks, finder=finder, size=size)
    if not take.other_after_digits:
        return person, None
    return person, other_person(landmarks=landmarks, finder=finder, size=size, chance=random.Random(f"other {seed}"))


# --- pictures --------------------------------------------------------------------------------------------------------


def _pictures(cast: _Cast, performance: Performance, take: Take, *, seed: int, total: int) -> Iterator[RgbImage]:
    """The pictures in order, rendered on two threads a few ahead of the encoder."""
    still = cast.person.mesh.image
    sensor = _Sensor.of(still.shape[1], still.shape[0], seed)

    def picture(number: int) -> RgbImage:
        at_ms = 1000 * number / FPS
        if take.still:
            return sensor.sees(waved(still, at_ms, performance), number)
        return sensor.sees(cast.at(at_ms).seen(performance.pose_at(at_ms)), number)

    waiting: deque[Future[RgbImage]] = deque()
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="render") as pool:
        try:
            for number in range(total):
                waiting.append(pool.submit(picture, number))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def waved(image: RgbImage, at_ms: float, performance: Performance) -> RgbImage:
    """A still picture in an unsteady hand: moved, tilted and brought nearer in its own plane, never turned in depth."""
    height, width = image.shape[:2]
    sways = performance.sways
    angle = 3.0 * sways["roll_deg"].at(at_ms)
    scale = 1.04 + 3 * sways["scale"].at(at_ms)  # a little larger than the frame: its edge is not seen
    moved = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    moved[0, 2] += 0.010 * width * sways["yaw_deg"].at(at_ms)
    moved[1, 2] += 0.010 * width * sways["pitch_deg"].at(at_ms)
    return np.ascontiguousarray(
        cv2.warpAffine(image, moved, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sensor:
    """Noise and flicker of a camera. One larger sheet of noise serves every picture, each at another place."""

    sheet: NDArray[np.int16] = field(repr=False)
    margin: int
    seed: int
    phase: float

    @classmethod
    def of(cls, width: int, height: int, seed: int) -> _Sensor:
        margin = 128
        chance = np.random.default_rng([seed, 1])
        fine = chance.normal(0, _NOISE_SIGMA, (height + margin, width + margin, 1)).astype(np.float32)
        colour = chance.normal(0, 0.6 * _NOISE_SIGMA, ((height + margin) // 2, (width + margin) // 2, 3))
        spread = cv2.resize(
            colour.astype(np.float32), (width + margin, height + margin), interpolation=cv2.INTER_LINEAR
        )
        return cls(
            sheet=np.rint(fine + spread).astype(np.int16),
            margin=margin,
            seed=seed,
            phase=float(chance.uniform(0, 6.28)),
        )

    def sees(self, image: RgbImage, number: int) -> RgbImage:
        chance = random.Random(f"sensor {self.seed} {number}")
        x, y = chance.randrange(self.margin), chance.randrange(self.margin)
        light = 1 + _FLICKER * math.sin(2 * math.pi * number / FPS * 3.3 + self.phase) + chance.gauss(0, 0.002)
        lit = cv2.convertScaleAbs(image, alpha=light)
        noise = self.sheet[y : y + image.shape[0], x : x + image.shape[1]]
        return np.ascontiguousarray(cv2.add(lit, noise, dtype=cv2.CV_8U), np.uint8)


# --- sound -----------------------------------------------------------------------------------------------------------


def in_a_room(voice: NDArray[np.float32], rate_hz: int, chance: np.random.Generator) -> Audio:
    """The voice as a phone hears it: at a speaking level, with some of it back from the walls, over a room's hiss."""
    loudest = float(np.abs(voice).max(initial=0.0))
    level = voice * np.float32(_VOICE_PEAK / loudest) if loudest > 0 else voice
    length = int(_ECHO_S * rate_hz)
    tail = chance.normal(0, 1, length) * np.exp(-6.9 * np.arange(length) / length)
    tail[: rate_hz * 8 // 1000] = 0  # the nearest wall is over a metre away
    tail *= _ECHO / np.linalg.norm(tail)
    size = 1 << (len(level) + length - 1).bit_length()
    echo = np.fft.irfft(np.fft.rfft(level, size) * np.fft.rfft(tail, size), size)[: len(level)]
    hiss = np.convolve(chance.normal(0, 1, len(level) + 15), np.hanning(18)[1:-1], mode="valid")[: len(level)]
    hiss *= _ROOM_LEVEL / max(float(hiss.std()), 1e-9)
    return Audio(samples=np.clip(level + echo + hiss, -1, 1).astype(np.float32), rate_hz=rate_hz)
