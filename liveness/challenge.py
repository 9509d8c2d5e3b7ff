"""What a person is asked to do, drawn fresh each time.

``issue`` draws from a cryptographic source that the caller hands in (``secrets.SystemRandom()`` in the service, a seeded
``random.Random`` in tests), so that the rule itself stays a plain function.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import assert_never

from liveness.digits import Language
from liveness.policy import LivenessPolicy, Path


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Nod:
    """Nod this many times: chin down and up again."""

    times: int


Step = SayDigits | Turn | Nod


class Reveal(StrEnum):
    """When the person learns what to do: all of it before the recording, or each step when its turn comes."""

    AT_ONCE = "at_once"
    CUE_BY_CUE = "cue_by_cue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """Steps in the order in which they must be done, valid while ``issued_at <= now < expires_at``.

    nonce : 32 hex digits, unique to this challenge. path, extra_time : what the person chose before it was drawn.
    """

    challenge_id: str
    nonce: str
    language: Language
    steps: tuple[Step, ...]
    issued_at: datetime
    expires_at: datetime
    policy: str
    path: Path = Path.STANDARD
    extra_time: bool = False
    reveal: Reveal = Reveal.AT_ONCE

    def limits(self, policy: LivenessPolicy) -> LivenessPolicy:
        """``policy`` as it holds for this challenge."""
        return policy.on(self.path, extra_time=self.extra_time)

    @property
    def nods(self) -> tuple[int, ...]:
        return tuple(step.times for step in self.steps if isinstance(step, Nod))

    @property
    def digits(self) -> str:
        return "".join(step.digits for step in self.steps if isinstance(step, SayDigits))

    @property
    def turns(self) -> tuple[Direction, ...]:
        return tuple(step.direction for step in self.steps if isinstance(step, Turn))


def issue(
    policy: LivenessPolicy,
    *,
    challenge_id: str,
    nonce: str,
    language: Language,
    chance: random.Random,
    now: datetime,
    path: Path = Path.STANDARD,
    extra_time: bool = False,
    reveal: Reveal = Reveal.AT_ONCE,
    interleaved: bool = False,
) -> Challenge:
    """Draw a challenge: digits without adjacent repeats (recognisers collapse them), turns that show both sides, nods where
    nothing is said.

    ``interleaved`` draws the order of digit groups, nods and turns too; else all that is said comes first, then the turns. What
    is revealed cue by cue, and what has nods, is always interleaved. ``policy`` : before :meth:`LivenessPolicy.on`.
    """
    own = policy.on(path, extra_time=extra_time)
    turns: list[Step] = [Turn(direction=d) for d in draw_turns(int(own.turns.value), chance)]
    digits = draw_digits(int(own.digits.value), chance)
    nods: list[Step] = [Nod(times=chance.randint(1, int(own.most_nods.value))) for _ in range(int(own.nods.value))]
    if interleaved or reveal is Reveal.CUE_BY_CUE or nods:
        said: list[Step] = [SayDigits(digits=group) for group in _groups(digits, int(own.digit_groups.value))]
        steps = _interleaved(said or nods, turns, chance)
    else:
        steps = (SayDigits(digits=digits), *turns)
    return Challenge(
        challenge_id=challenge_id,
        nonce=nonce,
        language=language,
        steps=steps,
        issued_at=now,
        expires_at=now + timedelta(seconds=own.challenge_life.value),
        policy=f"{policy.name}@{policy.version}",
        path=path,
        extra_time=extra_time,
        reveal=reveal,
    )


def _groups(digits: str, count: int) -> list[str]:
    """``digits`` in ``count`` groups of about one size; none for no digits."""
    if not digits:
        return []
    edges = [round(i * len(digits) / count) for i in range(count + 1)]
    return [digits[start:end] for start, end in pairwise(edges)]


def _interleaved(one: list[Step], other: list[Step], chance: random.Random) -> tuple[Step, ...]:
    """Both lists in one, each in its own order; uniform over all ways in which no two of ``one`` are neighbours (neighbouring
    groups could not be told apart afterwards)."""
    gaps = sorted(chance.sample(range(len(other) + 1), len(one)))
    steps: list[Step] = []
    for place in range(len(other) + 1):
        steps += [one[i] for i, gap in enumerate(gaps) if gap == place]
        steps += other[place : place + 1]
    return tuple(steps)


def draw_digits(count: int, chance: random.Random) -> str:
    """Uniform over all strings of ``count`` digits in which no digit follows itself."""
    if count == 0:
        return ""
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
    digits: str,
    turns: str,
    *,
    language: Language,
    policy: LivenessPolicy,
    now: datetime,
    challenge_id: str = "given",
    path: Path = Path.STANDARD,
    extra_time: bool = False,
) -> Challenge:
    """A challenge with given content, for judging a recording outside a session: the digits, then the turns. ``turns`` as
    ``left,right,left``.

    Raises:
        ValueError: when digits are not 1 to 12 of 0-9 or a turn is neither ``left`` nor ``right``.
    """
    if not re.fullmatch(r"[0-9]{1,12}", digits):
        raise ValueError(f"digits must be 1 to 12 of 0-9, got {len(digits)} characters")
    sides = [side.strip() for side in turns.split(",") if side.strip()]
    unknown = [side for side in sides if side not in tuple(Direction)]
    if unknown or len(sides) > 12:
        raise ValueError("turns must be a list like left,right,left of at most 12")
    return of_steps(
        (SayDigits(digits=digits), *(Turn(direction=Direction(side)) for side in sides)),
        language=language,
        policy=policy,
        now=now,
        challenge_id=challenge_id,
        path=path,
        extra_time=extra_time,
    )


def of_steps(
    steps: Sequence[Step],
    *,
    language: Language,
    policy: LivenessPolicy,
    now: datetime,
    challenge_id: str = "given",
    path: Path = Path.STANDARD,
    extra_time: bool = False,
    reveal: Reveal = Reveal.AT_ONCE,
) -> Challenge:
    """A challenge of given steps, for judging a recording outside a session."""
    own = policy.on(path, extra_time=extra_time)
    return Challenge(
        challenge_id=challenge_id,
        nonce="0" * 32,
        language=language,
        steps=tuple(steps),
        issued_at=now,
        expires_at=now + timedelta(seconds=own.challenge_life.value),
        policy=f"{policy.name}@{policy.version}",
        path=path,
        extra_time=extra_time,
        reveal=reveal,
    )


def read_steps(text: str) -> tuple[Step, ...]:
    """Steps as the command line writes them: ``480,left,215,nod2,right``.

    Raises:
        ValueError: for a step that is neither digits, a side nor ``nodN``.
    """
    steps: list[Step] = []
    for word in (word.strip() for word in text.split(",")):
        if word in tuple(Direction):
            steps.append(Turn(direction=Direction(word)))
        elif re.fullmatch(r"[0-9]{1,12}", word):
            steps.append(SayDigits(digits=word))
        elif re.fullmatch(r"nod[1-9]", word):
            steps.append(Nod(times=int(word[3:])))
        else:
            raise ValueError("steps must be a list like 480,left,215,nod2,right")
    if len(steps) > 24:
        raise ValueError("at most 24 steps")
    return tuple(steps)


def written(steps: Sequence[Step]) -> str:
    """Steps as :func:`read_steps` reads them."""
    words = []
    for step in steps:
        match step:
            case SayDigits():
                words.append(step.digits)
            case Turn():
                words.append(step.direction.value)
            case Nod():
                words.append(f"nod{step.times}")
            case _:
                assert_never(step)
    return ",".join(words)
