"""Footage: what is to be seen and heard over time, before a camera has taken it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from lab.camera import Sensor
from lab.person import TURN_DEG, Performance, perform
from lab.portrait import Portrait
from lab.room import in_a_room
from likeness.mesh import CELLS_ACROSS_FACE, PortraitMesh, Pose
from liveness.capture import Audio, RgbImage
from liveness.challenge import Step
from liveness.evidence import FaceLandmarks

_SMALL_WIDTH, _CELLS_SMALL = 400, 80  # pixels, cells: in small pictures finer cells show no more and cost time
_FRONTAL_PITCH_DEG = 10.0  # phones are held low: a portrait within is left as it is


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Footage:
    """Pictures for any time and the sound beside them.

    picture : what is seen at a time in milliseconds; the same time gives the same picture, from any thread.
    performance : what is really done in it.
    recorded_fps : ``None`` for what a camera looks at now, whose noise and clock come on top. Otherwise the footage is a
        recording or made by a program: its pictures go to the file as they are, this many a second, to the tick.
    """

    duration_ms: int
    picture: Callable[[float], RgbImage] = field(repr=False)
    sound: Audio | None
    performance: Performance
    recorded_fps: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Actor:
    """A portrait that can move.

    yaw_deg, pitch_deg : how it looks aside; taken back, so that rest is frontal. frontal : the person at rest, as a good
    photograph would show them.
    """

    portrait: Portrait
    frontal: Portrait
    mesh: PortraitMesh
    yaw_deg: float
    pitch_deg: float

    @classmethod
    def of(cls, portrait: Portrait, landmarks: FaceLandmarks | None = None) -> Actor:
        pitch = portrait.face.pitch_deg
        beyond = pitch - min(max(pitch, -_FRONTAL_PITCH_DEG), _FRONTAL_PITCH_DEG)
        small = portrait.image.shape[1] <= _SMALL_WIDTH
        cells = _CELLS_SMALL if small else CELLS_ACROSS_FACE
        mesh = PortraitMesh(portrait.image, portrait.face, cells=cells)
        actor = cls(portrait=portrait, frontal=portrait, mesh=mesh, yaw_deg=portrait.face.yaw_deg, pitch_deg=beyond)
        if landmarks is None:
            return actor
        rest = actor.seen(Pose())
        again = landmarks.find(rest)
        return replace(actor, frontal=Portrait(image=rest, face=again[0])) if again else actor

    def seen(self, pose: Pose) -> RgbImage:
        held = replace(pose, yaw_deg=pose.yaw_deg - self.yaw_deg, pitch_deg=pose.pitch_deg - self.pitch_deg)
        return self.mesh.render(held)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Studio:
    """What a take is made with.

    other, other_spoken : somebody else and that voice's digits; the person's own where the take needs nobody else.
    turn_deg : how far people turn, least and most. All chance hangs on ``seed``.
    """

    person: Actor
    spoken: Mapping[str, Audio] = field(repr=False)
    other: Actor
    other_spoken: Mapping[str, Audio] = field(repr=False)
    seed: int
    fps: float
    turn_deg: tuple[float, float] = TURN_DEG

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures."""
        return self.person.mesh.width, self.person.mesh.height

    def chance(self, what: str) -> random.Random:
        return random.Random(f"{what} {self.seed}")

    def noise(self, what: str) -> np.random.Generator:
        return np.random.default_rng(list(f"{what} {self.seed}".encode()))

    def performed(self, steps: tuple[Step, ...], what: str = "performance", *, tempo: float = 1.0) -> Performance:
        return perform(steps, self.spoken, self.chance(what), turn_deg=self.turn_deg, tempo=tempo)

    def sound_of(self, performance: Performance, what: str = "room") -> Audio:
        return in_a_room(performance.voice, performance.rate_hz, self.noise(what))


def live(studio: Studio, steps: tuple[Step, ...], what: str = "performance", *, tempo: float = 1.0) -> Footage:
    """The person in front of the camera doing the steps. ``what`` names the take: another name, another take."""
    performance = studio.performed(steps, what, tempo=tempo)
    return Footage(
        duration_ms=performance.duration_ms,
        picture=lambda at_ms: studio.person.seen(performance.pose_at(at_ms)),
        sound=studio.sound_of(performance, f"room {what}"),
        performance=performance,
    )


def recorded(footage: Footage, sensor: Sensor, fps: float) -> Footage:
    """``footage`` as a camera recorded it earlier: pictures at ``fps``, each with its noise, held until the next one."""

    def picture(at_ms: float) -> RgbImage:
        number = int(at_ms * fps / 1000 + 1e-6)
        shown_ms = 1000 * number / fps
        return sensor.sees(footage.picture(min(shown_ms, footage.duration_ms - 1)), number, shown_ms)

    return replace(footage, picture=picture, recorded_fps=fps)
