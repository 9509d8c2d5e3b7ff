"""What a person is asked to do, drawn fresh each time.

``issue`` draws from a cryptographic source that the caller hands in (``secrets.SystemRandom()`` in the service, a seeded
``random.Random`` in tests), so that the rule itself stays a plain function.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from liveness.digits import Language
from liveness.policy import LivenessPolicy


class Direction(StrEnum):
    """Sides are the person's own: ``left`` is the person's left, whatever a mirrored preview shows."""

    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, slots=True, kw_only=True)
class SayDigits:
    """Read these digits aloud, one by one."""

    digits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Turn the head to this side, hold, and come back."""

    direction: Direction


Step = SayDigits | Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """Steps in the order in which they must be done, valid while ``issued_at <= now < expires_at``.

    nonce : 32 hex digits, unique to this challenge.
    """

    challenge_id: str
    nonce: str
    language: Language
    steps: tuple[Step, ...]
    issued_at: datetime
    expires_at: datetime
    policy: str

    @property
    def digits(self) -> str:
        return "".join(step.digits for step in self.steps if isinstance(step, SayDigits))

    @property
    def turns(self) -> tuple[Direction, ...]:
        return tuple(step.direction for step in self.steps if isinstance(step, Turn))


def issue(
    policy: LivenessPolicy, *, challenge_id: str, nonce: str, language: Language, chance: random.Random, now: datetime
) -> Challenge:
    """Draw a challenge: digits without adjacent repeats (recognisers collapse them), then turns that show both sides."""
    digits = draw_digits(int(policy.digits.value), chance)
    turns = draw_turns(int(policy.turns.value), chance)
    return Challenge(
        challenge_id=challenge_id,
        nonce=nonce,
        language=language,
        steps=(SayDigits(digits=digits), *(Turn(direction=d) for d in turns)),
        issued_at=now,
        expires_at=now + timedelta(seconds=policy.challenge_life.value),
        policy=f"{policy.name}@{policy.version}",
    )


def draw_digits(count: int, chance: random.Random) -> str:
    """Uniform over all strings of ``count`` digits in which no digit follows itself."""
    drawn = [chance.randrange(10)]
    while len(drawn) < count:
        following = chance.randrange(9)
        drawn.append(following if following < drawn[-1] else following + 1)
    return "".join(map(str, drawn))


def draw_turns(count: int, chance: random.Random) -> tuple[Direction, ...]:
    """Uniform over all orders of ``count`` turns (two or more) in which both sides occur."""
    while True:
        drawn = tuple(chance.choice((Direction.LEFT, Direction.RIGHT)) for _ in range(count))
        if len(set(drawn)) == 2:
            return drawn


def asked(
    digits: str, turns: str, *, language: Language, policy: LivenessPolicy, now: datetime, challenge_id: str = "given"
) -> Challenge:
    """A challenge with given content, for judging a recording outside a session. ``turns`` as ``left,right,left``.

    Raises:
        ValueError: when digits are not 1 to 12 of 0-9 or a turn is neither ``left`` nor ``right``.
    """
    if not re.fullmatch(r"[0-9]{1,12}", digits):
        raise ValueError(f"digits must be 1 to 12 of 0-9, got {len(digits)} characters")
    sides = [side.strip() for side in turns.split(",") if side.strip()]
    unknown = [side for side in sides if side not in tuple(Direction)]
    if unknown or len(sides) > 12:
        raise ValueError("turns must be a list like left,right,left of at most 12")
    return Challenge(
        challenge_id=challenge_id,
        nonce="0" * 32,
        language=language,
        steps=(SayDigits(digits=digits), *(Turn(direction=Direction(side)) for side in sides)),
        issued_at=now,
        expires_at=now + timedelta(seconds=policy.challenge_life.value),
        policy=f"{policy.name}@{policy.version}",
    )
