"""How English text is read aloud: figures, money, times and abbreviations become words.

    "Dr. Ho paid $3.50 at 7:45." -> doctor ho paid three dollars and fifty cents at seven forty five .

Pure text in, words out; what a word sounds like is :mod:`likeness.pronunciation`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (10**3, "thousand"), (100, "hundred"))
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yuan", "yuan", "", ""),
}
_SYMBOLS = {"&": "and", "+": "plus", "=": "equals", "@": "at", "%": "percent", "#": "number", "°": "degrees"}
_ABBREVIATIONS = {
    "mr": "mister", "mrs": "missus", "ms": "miz", "dr": "doctor", "prof": "professor", "st": "saint", "jr": "junior",
    "sr": "senior", "vs": "versus", "etc": "et cetera", "e.g": "for example", "i.e": "that is", "a.m": "a^ m",
    "p.m": "p m", "approx": "approximately", "dept": "department", "inc": "incorporated", "ltd": "limited",
    "co": "company", "corp": "corporation", "gen": "general", "sgt": "sergeant", "capt": "captain", "lt": "lieutenant",
    "rev": "reverend", "jan": "january", "feb": "february", "aug": "august", "sept": "september", "oct": "october",
    "nov": "november", "dec": "december", "u.s": "u s", "u.k": "u k",
}  # fmt: skip
_NOT_WITHOUT_DOT = {"co", "gen", "rev", "st", "dec", "jan", "inc", "lt"}
"""Abbreviations that are words or names of their own when no dot follows."""
_BEFORE_A_NAME = {"mr", "mrs", "ms", "dr", "prof", "st", "gen", "sgt", "capt", "lt", "rev", "vs", "e.g", "i.e"}
"""Abbreviations whose dot never ends a sentence."""
_UNITS = {
    "km": "kilometers", "kg": "kilograms", "cm": "centimeters", "mm": "millimeters", "ml": "milliliters", "mb": "megabytes",
    "gb": "gigabytes", "ms": "milliseconds", "kb": "kilobytes", "mph": "miles per hour", "hz": "hertz", "ft": "feet",
    "lb": "pounds", "am": "a^ m", "pm": "p m",
}  # fmt: skip
_YEARS = range(1100, 2100)
_SPELLED_OUT_FROM = 10  # as many figures without commas are a telephone or card number, not a quantity

_TOKEN = re.compile(
    r"""(?P<money>[$€£¥]\s?\d[\d,]*(?:\.\d+)?(?:\s(?:thousand|million|billion|trillion)\b)?)
    |(?P<time>\b\d{1,2}:\d{2}\b)
    |(?P<ordinal>\b\d[\d,]*(?:st|nd|rd|th)\b)
    |(?P<number>(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?=[^\d]|$))
    |(?P<short>\b(?:[A-Za-z]\.){2,})
    |(?P<word>[A-Za-z]+(?:['.][A-Za-z]+)*)
    |(?P<mark>[.,;:!?]+)
    |(?P<dash>\s[-–—]+\s|—|–)
    |(?P<symbol>[&+=@%#°])
    |(?P<digits>\d+)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One word or figure of the text and the words it is read as.

    written : as it stands in the text. spoken : lower-case words, letters and apostrophes only; ``^`` after one asks to
        name its letters if it is no word. mark : the punctuation after it, one of ``. , ; : ! ?``, or empty.
    """

    written: str
    spoken: tuple[str, ...]
    mark: str = ""


def read(text: str) -> tuple[tuple[Said, ...], ...]:
    """Sentences of a text, each the sequence of what is said. Characters that are not read (emoji, other scripts) are
    passed over; a text of nothing else gives no sentence."""
    sentences: list[tuple[Said, ...]] = []
    current: list[Said] = []
    for line in _plain(text).splitlines():
        for written, spoken, mark in _tokens(line):
            if mark and current:
                current[-1] = Said(written=current[-1].written, spoken=current[-1].spoken, mark=mark)
            if spoken:
                current.append(Said(written=written, spoken=spoken))
            if mark in {".", "!", "?"} and current:
                sentences.append(tuple(current))
                current = []
        if current:  # a line break ends a sentence that has no full stop
            sentences.append((*current[:-1], Said(written=current[-1].written, spoken=current[-1].spoken, mark=".")))
            current = []
    return tuple(sentences)


def cardinal(value: int) -> str:
    """``1234`` -> ``one thousand two hundred thirty four``."""
    if value < 0:
        return f"minus {cardinal(-value)}"
    if value < 20:
        return _ONES[value]
    if value < 100:
        return _TENS[value // 10] + (f" {_ONES[value % 10]}" if value % 10 else "")
    if value >= 10**15:
        return " ".join(_ONES[int(digit)] for digit in str(value))
    for scale, name in _SCALES:
        if value >= scale:
            rest = value % scale
            return f"{cardinal(value // scale)} {name}" + (f" {cardinal(rest)}" if rest else "")
    raise AssertionError(value)


def ordinal(value: int) -> str:
    """``21`` -> ``twenty first``."""
    *start, last = cardinal(value).split()
    made = f"{last[:-1]}ieth" if last.endswith("y") else _ORDINALS.get(last, f"{last}th")
    return " ".join([*start, made])


def year(value: int) -> str:
    """``1998`` -> ``nineteen ninety eight``; ``2006`` -> ``two thousand six``."""
    century, rest = divmod(value, 100)
    if 2000 <= value < 2010 or value % 1000 == 0:
        return cardinal(value)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def _plain(text: str) -> str:
    """Typographic quotes and accented letters to plain ones; a dash between figures reads *to*."""
    text = text.replace("’", "'").replace("‘", "'").replace("…", ".")
    text = re.sub(r"(?<=\d)\s?[-–]\s?(?=\d)", " to ", text)
    kept = unicodedata.normalize("NFD", text)
    return "".join(letter for letter in kept if unicodedata.category(letter) != "Mn")


def _tokens(line: str) -> list[tuple[str, tuple[str, ...], str]]:
    found = list(_TOKEN.finditer(line))
    made: list[tuple[str, tuple[str, ...], str]] = []
    for place, match in enumerate(found):
        kind, written = str(match.lastgroup), match.group()
        following = found[place + 1] if place + 1 < len(found) else None
        adjoining = following if following is not None and following.start() == match.end() else None
        dot = adjoining is not None and adjoining.lastgroup == "mark" and adjoining.group().startswith(".")
        after_number = place > 0 and found[place - 1].lastgroup in {"number", "time"}
        match kind:
            case "mark":
                made.append(("", (), _mark(written, made, line, match.end())))
            case "dash":
                made.append(("", (), ","))
            case "symbol":
                made.append((written, (_SYMBOLS[written],), ""))
            case "money":
                made.append((written, tuple(_money(written).split()), ""))
            case "time":
                made.append((written, tuple(_time(written).split()), ""))
            case "ordinal":
                made.append((written, tuple(ordinal(int(re.sub(r"\D", "", written))).split()), ""))
            case "number" | "digits":
                made.append((written, tuple(_number(written, following).split()), ""))
            case _:
                made.append((written, _word(written, dot=dot, after_number=after_number), ""))
    return made


def _mark(written: str, made: list[tuple[str, tuple[str, ...], str]], line: str, end: int) -> str:
    strongest = next((mark for mark in "?!." if mark in written), written[0])
    if strongest == "." and made:
        last = made[-1][0].lower().rstrip(".")
        more = line[end:].strip()
        initial = len(last) == 1 and last != "i"
        if more and (initial or last in _BEFORE_A_NAME or (last in _ABBREVIATIONS and not more[0].isupper())):
            return ""
    return strongest


def _word(written: str, *, dot: bool, after_number: bool) -> tuple[str, ...]:
    plain = written.rstrip(".").lower()
    if after_number and plain in _UNITS and written not in {"AM", "PM"}:
        return tuple(_UNITS[plain].split())
    if plain in _ABBREVIATIONS and (dot or "." in written or plain not in _NOT_WITHOUT_DOT):
        return tuple(_ABBREVIATIONS[plain].split())
    if written.endswith(".") or re.fullmatch(r"(?:[A-Za-z]\.)+[A-Za-z]", written):
        return tuple(f"{letter}^" for letter in plain.replace(".", ""))
    if "." in plain:  # an address: example.org
        return tuple(plain.replace(".", " dot ").split())
    if len(written) > 1 and written.isupper() and (len(written) <= 3 or not set(plain) & set("aeiouy")):
        return (f"{plain}^",)  # perhaps spelled out: the lexicon knows whether it is a word
    return (plain,)


def _number(written: str, following: re.Match[str] | None) -> str:
    plain = written.replace(",", "")
    if "." in plain:
        whole, part = plain.split(".", 1)
        return f"{cardinal(int(whole or 0))} point {' '.join(_ONES[int(digit)] for digit in part)}"
    digits = plain.lstrip("-")
    if "," not in written and (len(digits) >= _SPELLED_OUT_FROM or (len(digits) > 1 and digits[0] == "0")):
        return " ".join(_ONES[int(digit)] for digit in digits)
    counted = following is not None and following.group().lower() in {"percent", "%", *_UNITS}
    if len(plain) == 4 and "," not in written and int(plain) in _YEARS and not counted:
        return year(int(plain))
    return cardinal(int(plain))


def _money(written: str) -> str:
    one, many, small_one, small_many = _CURRENCIES[written[0]]
    amount, _, scale = written[1:].strip().partition(" ")
    whole, _, part = amount.replace(",", "").partition(".")
    if scale or (part and (len(part) != 2 or not small_one)):
        return f"{_number(amount, None) if part else cardinal(int(whole))} {scale} {many}"
    said = f"{cardinal(int(whole))} {one if int(whole) == 1 else many}"
    if int(part or 0) == 0:
        return said
    cents = f"{cardinal(int(part))} {small_one if int(part) == 1 else small_many}"
    return cents if int(whole) == 0 else f"{said} and {cents}"


def _time(written: str) -> str:
    hour, minute = (int(part) for part in written.split(":"))
    if minute == 0:
        return cardinal(hour)
    return f"{cardinal(hour)} {'oh ' if minute < 10 else ''}{cardinal(minute)}"
