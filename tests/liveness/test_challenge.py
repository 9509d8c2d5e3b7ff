"""A challenge cannot be guessed, and is drawn fairly."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from liveness.challenge import Direction, asked, draw_digits, draw_turns, issue
from liveness.digits import SPOKEN, Language, digit_of
from liveness.policy import STRICT

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
