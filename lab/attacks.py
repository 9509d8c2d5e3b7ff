"""Attacks on a challenge, by name: what is filmed in place of the person doing as asked.

An attack is a change of the :class:`Take`. To add one: a function here, its row in ``ATTACKS``, and the reason code it must be
refused for in its test.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from lab.errors import UnknownAttack
from liveness.challenge import Direction, SayDigits, Step, Turn, draw_digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """What is filmed.

    steps : what is performed, in order. still : a still picture is held up and waved a little, with the voice playing.
    other_after_digits : from the end of the digits on it is somebody else's face. sound : the recording has a sound track.
    """

    steps: tuple[Step, ...]
    still: bool = False
    other_after_digits: bool = False
    sound: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """``change`` makes the take of the attack from the honest one; chance is seeded."""

    summary: str
    change: Callable[[Take, random.Random], Take]


def attacked(take: Take, name: str, chance: random.Random) -> Take:
    """The take of the attack of that name.

    Raises:
        UnknownAttack: naming those there are.
    """
    attack = ATTACKS.get(name)
    if attack is None:
        raise UnknownAttack(f"unknown attack {name[:40]!r}; known: {', '.join(ATTACKS)}")
    return attack.change(take, chance)


def _photo(take: Take, _: random.Random) -> Take:
    return replace(take, still=True)


def _wrong_digits(take: Take, chance: random.Random) -> Take:
    return replace(take, steps=tuple(_other_digits(step, chance) for step in take.steps))


def _no_turns(take: Take, _: random.Random) -> Take:
    return replace(take, steps=tuple(step for step in take.steps if not isinstance(step, Turn)))


def _replay(take: Take, chance: random.Random) -> Take:
    turns = [step.direction for step in take.steps if isinstance(step, Turn)]
    others = iter(_other_turns(turns, chance))
    return replace(
        take,
        steps=tuple(
            Turn(direction=next(others)) if isinstance(step, Turn) else _other_digits(step, chance)
            for step in take.steps
        ),
    )


def _swap(take: Take, _: random.Random) -> Take:
    return replace(take, other_after_digits=True)


def _silent(take: Take, _: random.Random) -> Take:
    return replace(take, sound=False)


def _other_digits(step: Step, chance: random.Random) -> Step:
    if not isinstance(step, SayDigits):
        return step
    while (digits := draw_digits(len(step.digits), chance)) == step.digits:
        pass
    return SayDigits(digits=digits)


def _other_turns(turns: list[Direction], chance: random.Random) -> list[Direction]:
    if not turns:
        return []
    while (drawn := [chance.choice(tuple(Direction)) for _ in turns]) == turns:
        pass
    return drawn


ATTACKS: Mapping[str, Attack] = {
    "photo": Attack(summary="a still picture, waved a little, while the voice says the digits", change=_photo),
    "wrong_digits": Attack(summary="the person says other digits", change=_wrong_digits),
    "no_turns": Attack(summary="the person says the digits and never turns", change=_no_turns),
    "replay": Attack(summary="a recording made for another challenge: other digits, other turns", change=_replay),
    "swap": Attack(summary="somebody else after the digits", change=_swap),
    "silent": Attack(summary="the person does as asked in a recording without a sound track", change=_silent),
}
"""Every attack, by the name that ``mien simulate --attack`` takes."""
