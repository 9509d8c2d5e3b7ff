"""A small studio for tests of footage: the default portrait, and digits that are tones, each of its own length."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lab.footage import Actor, Studio
from lab.portrait import composed, default_picture
from liveness.capture import Audio
from liveness.challenge import Direction, SayDigits, Step, Turn

RATE_HZ = 16_000
SIZE = (240, 426)
FPS = 20
LEFT, RIGHT = Turn(direction=Direction.LEFT), Turn(direction=Direction.RIGHT)
STEPS: tuple[Step, ...] = (SayDigits(digits="482"), LEFT, RIGHT)


def tones(hz: float = 500.0) -> dict[str, Audio]:
    """Each digit a swelling tone of its own length."""
    sounds = {}
    for number in range(10):
        at = np.arange(RATE_HZ * (300 + 20 * number) // 1000)
        tone = 0.4 * np.sin(np.pi * at / len(at)) * np.sin(2 * np.pi * hz * at / RATE_HZ)
        sounds[str(number)] = Audio(samples=tone.astype(np.float32), rate_hz=RATE_HZ)
    return sounds


def actor(weights: Path, size: tuple[int, int] = SIZE) -> Actor:
    from lab.simulate import faces_of

    landmarks, finder = faces_of(weights)
    return Actor.of(composed(default_picture(), landmarks=landmarks, finder=finder, size=size), landmarks)


def studio(person: Actor, seed: int = 1, other: Actor | None = None) -> Studio:
    return Studio(
        person=person,
        spoken=tones(),
        other=person if other is None else other,
        other_spoken=tones(900.0),
        seed=seed,
        fps=FPS,
    )
