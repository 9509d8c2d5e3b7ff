"""What each attack changes about the take."""

from __future__ import annotations

import random

import pytest

from lab.attacks import ATTACKS, Take, attacked
from lab.errors import UnknownAttack
from liveness.challenge import Direction, SayDigits, Step, Turn

STEPS: tuple[Step, ...] = (
    SayDigits(digits="480215"),
    Turn(direction=Direction.LEFT),
    Turn(direction=Direction.RIGHT),
    Turn(direction=Direction.LEFT),
)
HONEST = Take(steps=STEPS)


def take(name: str, seed: int = 1) -> Take:
    return attacked(HONEST, name, random.Random(seed))


def digits(of: Take) -> str:
    return "".join(step.digits for step in of.steps if isinstance(step, SayDigits))


def turns(of: Take) -> list[Direction]:
    return [step.direction for step in of.steps if isinstance(step, Turn)]


def test_no_attack_is_the_honest_take() -> None:
    assert all(take(name) != HONEST for name in ATTACKS)


@pytest.mark.parametrize("seed", range(8))
def test_a_replay_has_other_digits_and_other_turns_of_the_same_number(seed: int) -> None:
    replay = take("replay", seed)
    assert digits(replay) != "480215"
    assert len(digits(replay)) == 6
    assert turns(replay) != turns(HONEST)
    assert len(turns(replay)) == 3


@pytest.mark.parametrize("seed", range(8))
def test_wrong_digits_changes_the_digits_only(seed: int) -> None:
    wrong = take("wrong_digits", seed)
    assert digits(wrong) != "480215"
    assert turns(wrong) == turns(HONEST)


def test_the_other_attacks_change_one_thing_each() -> None:
    assert take("photo") == Take(steps=STEPS, still=True)
    assert take("swap") == Take(steps=STEPS, other_after_digits=True)
    assert take("silent") == Take(steps=STEPS, sound=False)
    assert (digits(take("no_turns")), turns(take("no_turns"))) == ("480215", [])


@pytest.mark.parametrize("name", list(ATTACKS))
def test_an_attack_is_the_same_for_the_same_seed(name: str) -> None:
    assert take(name, 5) == take(name, 5)


def test_an_unknown_attack_names_those_there_are() -> None:
    with pytest.raises(UnknownAttack, match="photo, wrong_digits, no_turns, replay, swap, silent"):
        take("deepfake")
