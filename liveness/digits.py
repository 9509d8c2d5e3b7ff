"""The spoken digits of each language: how they are written, and what a recogniser may hear for them."""

from __future__ import annotations

from enum import StrEnum


class Language(StrEnum):
    """Languages a challenge can be spoken in (BCP 47)."""

    ENGLISH = "en"
    CHINESE = "zh"
    KOREAN = "ko"


SPOKEN: dict[Language, dict[str, tuple[str, ...]]] = {
    Language.ENGLISH: {
        "0": ("zero", "oh"), "1": ("one",), "2": ("two",), "3": ("three",), "4": ("four",),
        "5": ("five",), "6": ("six",), "7": ("seven",), "8": ("eight",), "9": ("nine",),
    },
    # 幺 is how 1 is read in numbers said digit by digit; 两 is 2 before a measure word and is said by mistake at times
    Language.CHINESE: {
        "0": ("零", "〇"), "1": ("一", "幺"), "2": ("二", "两"), "3": ("三",), "4": ("四",),
        "5": ("五",), "6": ("六",), "7": ("七",), "8": ("八",), "9": ("九",),
    },
    Language.KOREAN: {
        "0": ("영", "공"), "1": ("일",), "2": ("이",), "3": ("삼",), "4": ("사",),
        "5": ("오",), "6": ("육",), "7": ("칠",), "8": ("팔",), "9": ("구",),
    },
}  # fmt: skip
"""For each language, digit to the words that say it; the first is how it is prompted."""


def digit_of(word: str, language: Language) -> str | None:
    """The digit a recognised word says, or ``None`` when it says none."""
    return _DIGIT_OF[language].get(word.strip().lower())


_DIGIT_OF = {
    language: {word: digit for digit, words in table.items() for word in words} for language, table in SPOKEN.items()
}
