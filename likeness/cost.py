"""What a clip will take, before it is begun: time, work and memory, from what was measured (``python -m lab.films``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from likeness.generate import Kind

# Of one core, with marking and writing the file; 720p24, 2026-11 (docs/films.md).
_WORK_S = {Kind.STORY: 0.05, Kind.PORTRAIT: 0.06, Kind.CAMEO: 0.06}  # a million pixels of film
_ANOTHER_S = 0.01  # the same, for each person after the first in a portrait
_BEGIN_S = {Kind.STORY: 1.0, Kind.PORTRAIT: 1.5, Kind.CAMEO: 1.5}  # a photograph; a portrait; a cameo's portrait
_MODELS_BYTES = 700_000_000  # a worker with its models
_PHOTOGRAPH_BYTES = 120_000_000  # the largest that is read: 40 million pixels
_CANVASES = 10  # pictures of the film's size in memory at once

_MS_A_LETTER = 68  # the voice at hand, 20 sentences of English: 73 ms a sound, and nearly as many letters as sounds
_MS_A_MARK = 220  # between sentences
_SILENCE_S = 1.2  # before and after what is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """film_s : seconds of film. work_s : seconds of one core. memory_bytes : at most."""

    film_s: float
    work_s: float
    memory_bytes: int


def cost_of(
    kind: Kind, *, film_s: float, size: tuple[int, int], pictures: int = 1, people: int = 1, fps: int = 24
) -> Cost:
    """Of a film of ``size`` (width, height), from ``pictures`` photographs, or portraits, of ``people``. A cameo's own film is
    held in memory."""
    pixels = size[0] * size[1]
    each = _WORK_S[kind] + (_ANOTHER_S * (people - 1) if kind is Kind.PORTRAIT else 0.0)
    begun = _BEGIN_S[kind] * (pictures if kind is Kind.STORY else 1)
    film_bytes = round(3 * pixels * fps * film_s) if kind is Kind.CAMEO else 0
    return Cost(
        film_s=film_s,
        work_s=begun + each * film_s * fps * pixels / 1e6,
        memory_bytes=_MODELS_BYTES + _PHOTOGRAPH_BYTES * pictures + 3 * pixels * _CANVASES + film_bytes,
    )


def said_s(texts: Sequence[str], *, between_s: float = 0.32) -> float:
    """About how long a film is in which these are said one after the other: within a quarter for English sentences."""
    letters = sum(sum(letter.isalnum() for letter in text) for text in texts)
    ends = sum(sum(letter in ".?!;:" for letter in text.rstrip(" .?!")) for text in texts)
    return _SILENCE_S + (letters * _MS_A_LETTER + ends * _MS_A_MARK) / 1000 + between_s * max(len(texts) - 1, 0)
