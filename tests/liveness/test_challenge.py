"""A challenge cannot be guessed, and is drawn fairly."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from liveness.challenge import (
    Challenge,
    Direction,
    Nod,
    Reveal,
    SayDigits,
    Turn,
    asked,
    draw_digits,
    draw_turns,
    issue,
    read_steps,
    written,
)
from liveness.digits import SPOKEN, Language, digit_of
from liveness.policy import STRICT, Path

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_digits_never_repeat_next_to_each_other_and_all_occur_everywhere() -> None:
    chance = random.Random(5)
    drawn = [draw_digits(6, chance) for _ in range(3000)]
    assert all(one != other for digits in drawn for one, other in pairwise(digits))
    for place in range(6):
        counts = Counter(digits[place] for digits in drawn)
        assert set(counts) == set("0123456789")
        assert min(counts.values()) > 200  # 300 expected; six standard deviations are 99


def test_turns_always_show_both_sides_and_every_such_order_is_drawn() -> None:
    chance = random.Random(6)
    drawn = Counter(draw_turns(3, chance) for _ in range(1200))
    assert len(drawn) == 6
    assert all(len(set(order)) == 2 for order in drawn)
    assert min(drawn.values()) > 120


def test_a_challenge_lives_as_long_as_the_policy_says() -> None:
    drawn = issue(STRICT, challenge_id="c", nonce="0" * 32, language=Language.CHINESE, chance=random.Random(1), now=NOW)
    assert drawn.expires_at - drawn.issued_at == timedelta(seconds=120)
    assert len(drawn.digits) == 6
    assert len(drawn.turns) == 3


@pytest.mark.parametrize(
    ("digits", "turns"), [("", "left"), ("12a", "left"), ("1" * 13, "left"), ("12", "up"), ("12", "l")]
)
def test_a_malformed_challenge_is_refused(digits: str, turns: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        asked(digits, turns, language=Language.ENGLISH, policy=STRICT, now=NOW)


def test_given_turns_are_read_in_order() -> None:
    given = asked("12", "left, right,right", language=Language.ENGLISH, policy=STRICT, now=NOW)
    assert given.turns == (Direction.LEFT, Direction.RIGHT, Direction.RIGHT)


@pytest.mark.parametrize("language", list(Language))
def test_each_language_has_words_for_all_ten_digits_and_no_word_says_two(language: Language) -> None:
    table = SPOKEN[language]
    assert set(table) == set("0123456789")
    words = [word for spoken in table.values() for word in spoken]
    assert len(words) == len(set(words))
    assert all(digit_of(word, language) == digit for digit, spoken in table.items() for word in spoken)
    assert digit_of("hello", language) is None


def drawn(chance: random.Random, path: Path = Path.STANDARD, **wishes: object) -> Challenge:
    return issue(
        STRICT,
        challenge_id="c",
        nonce="0" * 32,
        language=Language.ENGLISH,
        chance=chance,
        now=NOW,
        path=path,
        **wishes,  # type: ignore[arg-type]
    )


def test_cue_by_cue_digit_groups_and_turns_are_drawn_in_every_order_that_can_be_told_apart() -> None:
    chance = random.Random(7)
    orders = Counter(
        tuple(type(step).__name__[0] for step in drawn(chance, reveal=Reveal.CUE_BY_CUE).steps) for _ in range(1200)
    )
    assert len(orders) == 6  # two groups into four gaps
    assert min(orders.values()) > 120  # 200 expected
    assert all("SS" not in "".join(order) for order in orders)


def test_groups_together_are_six_digits_without_neighbours_alike() -> None:
    chance = random.Random(8)
    for _ in range(300):
        asked_for = drawn(chance, interleaved=True)
        groups = [step.digits for step in asked_for.steps if isinstance(step, SayDigits)]
        assert [len(group) for group in groups] == [3, 3]
        assert all(one != other for one, other in pairwise(asked_for.digits))


def test_small_turns_cost_two_more_digits() -> None:
    asked_for = drawn(random.Random(9), Path.SMALL_TURNS)
    assert len(asked_for.digits) == 8
    assert asked_for.limits(STRICT).turn_yaw.value == 15
    assert drawn(random.Random(9)).limits(STRICT).turn_yaw.value == 25


def test_without_speech_nothing_is_to_be_said_and_nods_stand_apart() -> None:
    chance = random.Random(10)
    counts = Counter[int]()
    for _ in range(300):
        asked_for = drawn(chance, Path.NO_SPEECH)
        assert asked_for.digits == ""
        assert len(asked_for.turns) == 4
        assert not any(isinstance(one, Nod) and isinstance(other, Nod) for one, other in pairwise(asked_for.steps))
        counts.update(asked_for.nods)
    assert set(counts) == {1, 2, 3, 4}


def test_more_time_is_twice_the_time() -> None:
    asked_for = drawn(random.Random(11), extra_time=True)
    assert asked_for.expires_at - asked_for.issued_at == timedelta(seconds=240)


def test_steps_are_written_as_they_are_read() -> None:
    steps = (SayDigits(digits="480"), Turn(direction=Direction.LEFT), Nod(times=2), SayDigits(digits="2"))
    assert written(steps) == "480,left,nod2,2"
    assert read_steps(written(steps)) == steps


@pytest.mark.parametrize("text", ["", "up", "480,", "nod0", "nod10", "1" * 13, ",".join(["left"] * 25)])
def test_steps_that_nobody_can_do_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="steps"):
        read_steps(text)
