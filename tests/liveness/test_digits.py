"""Every digit can be said in every language, and no word says two."""

from __future__ import annotations

import pytest

from liveness.digits import SPOKEN, Language, digit_of


@pytest.mark.parametrize("language", Language)
def test_each_of_the_ten_digits_has_a_word(language: Language) -> None:
    assert list(SPOKEN[language]) == list("0123456789")
    assert all(SPOKEN[language].values())


@pytest.mark.parametrize("language", Language)
def test_a_word_says_one_digit_only(language: Language) -> None:
    words = [word for several in SPOKEN[language].values() for word in several]
    assert len(words) == len(set(words))


@pytest.mark.parametrize("language", Language)
def test_every_word_is_read_back_as_its_digit(language: Language) -> None:
    for digit, words in SPOKEN[language].items():
        assert [digit_of(word, language) for word in words] == [digit] * len(words)


def test_how_people_and_models_write_a_word_does_not_matter() -> None:
    assert digit_of(" Seven ", Language.ENGLISH) == "7"
    assert digit_of("幺", Language.CHINESE) == "1"
    assert digit_of("공", Language.KOREAN) == "0"


@pytest.mark.parametrize("word", ["", "ten", "to", "for", "[unk]", "nineteen", "7 8"])
def test_what_is_no_digit_says_none(word: str) -> None:
    assert digit_of(word, Language.ENGLISH) is None


def test_a_word_of_another_language_says_none() -> None:
    assert digit_of("seven", Language.KOREAN) is None
    assert digit_of("칠", Language.CHINESE) is None
