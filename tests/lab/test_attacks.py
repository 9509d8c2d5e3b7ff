"""What each attack changes about the take."""

from __future__ import annotations

import random

import pytest

from lab.attacks import ATTACKS, Scene, Take, attacked
from lab.errors import UnknownAttack
from liveness.challenge import Direction, Nod, SayDigits, Step, Turn

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
    assert take("photo") == Take(steps=STEPS, scene=Scene.PHOTO)
    assert take("swap") == Take(steps=STEPS, scene=Scene.SWAP)
    assert take("silent") == Take(steps=STEPS, sound=False)
    assert (digits(take("no_turns")), turns(take("no_turns"))) == ("480215", [])


def test_no_attack_is_given_away_by_its_file_but_the_one_that_an_editor_signs() -> None:
    """All carry the simulator's mark as genuine takes do; the injection is judged as if nobody had marked it."""
    assert [name for name in ATTACKS if not take(name).marked] == ["render_injection"]
    assert [name for name in ATTACKS if take(name).editor is not None] == ["reencoded"]


def test_attackers_who_can_do_as_asked_do() -> None:
    """Whoever has the challenge before them says the right digits and turns the right way: only the footage is false."""
    otherwise = {"wrong_digits", "no_turns", "replay", "earlier_recording"}
    assert {name for name in ATTACKS if take(name).steps != STEPS} == otherwise
    assert turns(take("earlier_recording")) == turns(HONEST)


@pytest.mark.parametrize("seed", range(8))
def test_where_nods_stand_for_digits_another_number_is_nodded(seed: int) -> None:
    nods = Take(steps=(Nod(times=2), Turn(direction=Direction.LEFT), Nod(times=1)))
    wrong = attacked(nods, "wrong_digits", random.Random(seed)).steps
    assert [step.times for step in wrong if isinstance(step, Nod)] not in ([2, 1], [2], [1])
    assert all(isinstance(step, Turn) or step.times >= 1 for step in wrong if not isinstance(step, SayDigits))


def test_every_attack_says_what_it_is_in_a_line() -> None:
    assert len(ATTACKS) >= 20
    assert all(20 < len(attack.summary) < 110 and "\n" not in attack.summary for attack in ATTACKS.values())


@pytest.mark.parametrize("name", list(ATTACKS))
def test_an_attack_is_the_same_for_the_same_seed(name: str) -> None:
    assert take(name, 5) == take(name, 5)


def test_an_unknown_attack_names_those_there_are() -> None:
    with pytest.raises(UnknownAttack, match="photo, wrong_digits, no_turns, replay, swap, silent"):
        take("deepfake")
