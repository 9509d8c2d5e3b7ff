"""Measures mouth and voice on recorded sentences: does the mouth move in a digit, and is a foreign voice told from the own?

For any folder with ``grid_*.mpg``: sentences of the GRID corpus (Cooke et al. 2006), one person each, whose file name spells
them: verb, colour, preposition, letter, digit (``z`` is zero), adverb. Every picture is paired with every other file's voice; a
pairing is what a recording with a voice laid over it would be. Nothing here sets a limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lab.rates import Rate
from liveness.capture import Audio
from liveness.decode import decode
from liveness.digits import Language
from liveness.errors import LivenessError
from liveness.evidence import FaceTrack, Word
from liveness.examine import Engines
from liveness.lips import voice_match, word_motion
from liveness.policy import LivenessPolicy
from liveness.segments import bursts
from liveness.speech_whisper import WhisperDigits

_WORDS: Final = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},
    {"z": "zero", "1": "one", "2": "two", "3": "three", "4": "four"}
    | {"5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine"},
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
_DIGIT: Final = 4  # its place among the six words
_SENTENCE_LEAD: Final = 0.0
"""A sentence of 3 s has a fifth of a take's moments, too few for the limit of a whole take: at the right time mouth and
voice must merely fit better than at any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LipFigures:
    """What was measured, and what could not be (``notes``)."""

    rates: tuple[Rate, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Take:
    """One recorded sentence. digit : when its digit is said; ``None`` where it cannot be placed."""

    name: str
    track: FaceTrack
    audio: Audio
    spoken: tuple[Word, ...] = field(repr=False)
    digit: Word | None = field(repr=False)


def measure_lips(folder: Path, engines: Engines, policy: LivenessPolicy) -> LipFigures:
    """The three error rates: digits without mouth motion, voices of others let through, own voices refused.

    Files that do not decode, without sound, face or voice are left out and named in the notes. A pairing that cannot be
    judged counts as refused: what was not measured does not pass.

    Raises:
        EngineError: when a model failed.
    """
    notes: list[str] = []
    takes = [take for file in sorted(folder.glob("grid_*.mpg")) if (take := _take(file, engines, policy, notes))]
    digits = [(take.track, take.digit) for take in takes if take.digit is not None]
    still = sum(not _moves(track, digit, policy) for track, digit in digits)
    leads = {(one.name, other.name): _lead(one.track, other.audio, other.spoken) for one in takes for other in takes}
    own = [lead for (picture, voice), lead in leads.items() if picture == voice]
    foreign = [lead for (picture, voice), lead in leads.items() if picture != voice]
    rates = (
        Rate(measure="digit said, mouth not seen moving", what="genuine", errors=still, tries=len(digits)),
        Rate(measure="own voice refused", what="genuine", errors=sum(not _passes(x) for x in own), tries=len(own)),
        Rate(
            measure="voice of another sentence let through",
            what="attack",
            errors=sum(_passes(x) for x in foreign),
            tries=len(foreign),
        ),
    )
    if judged := [lead for lead in own if lead is not None]:
        limits = f"limit for one sentence {_SENTENCE_LEAD:g}, for a whole take {policy.voice_lead.value:g}"
        notes.append(f"lead of the own voice: {min(judged):.3f} to {max(judged):.3f}, {limits}")
    if judged := [lead for lead in foreign if lead is not None]:
        notes.append(f"lead of another's voice: {min(judged):.3f} to {max(judged):.3f}")
    return LipFigures(rates=rates, notes=tuple(notes))


def sentence(name: str) -> str | None:
    """The sentence that a file name like ``grid_bbaf2n`` spells, or ``None`` when it spells none."""
    letters = name.rsplit("_", 1)[-1].lower()
    if len(letters) != len(_WORDS) or any(letter not in words for letter, words in zip(letters, _WORDS, strict=True)):
        return None
    return " ".join(words[letter] for letter, words in zip(letters, _WORDS, strict=True))


def _take(file: Path, engines: Engines, policy: LivenessPolicy, notes: list[str]) -> _Take | None:
    try:
        capture = decode(file.read_bytes(), policy=policy)
    except LivenessError as error:
        notes.append(f"{file.name}: {error.code}")
        return None
    if capture.audio is None:
        notes.append(f"{file.name}: no sound")
        return None
    track = engines.tracker.track(capture)
    start_ms = capture.audio.start_ms
    spoken = tuple(
        Word(text="", start_ms=start_ms + burst.start_ms, end_ms=start_ms + burst.end_ms)
        for burst in bursts(capture.audio.samples, capture.audio.rate_hz)
    )
    if not spoken or not any(s.faces for s in track.sightings):
        notes.append(f"{file.name}: no face or no voice")
        return None
    digit = _digit(file.stem, capture.audio, engines)
    if digit is None:
        notes.append(f"{file.name}: its digit cannot be placed")
    return _Take(name=file.stem, track=track, audio=capture.audio, spoken=spoken, digit=digit)


def _digit(name: str, audio: Audio, engines: Engines) -> Word | None:
    """When the digit is said that the file name tells, placed by the recogniser that can be told the sentence."""
    text = sentence(name)
    placing = [each for each in engines.recognisers.get(Language.ENGLISH, ()) if isinstance(each, WhisperDigits)]
    return placing[0].place(audio, text)[_DIGIT] if text is not None and placing else None


def _moves(track: FaceTrack, word: Word, policy: LivenessPolicy) -> bool:
    (motion,) = word_motion(track, [word])
    return motion is not None and motion >= policy.mouth_range.value


def _lead(track: FaceTrack, audio: Audio, spoken: tuple[Word, ...]) -> float | None:
    found = voice_match(track, audio, spoken)
    return None if found is None else found.lead


def _passes(lead: float | None) -> bool:
    return lead is not None and lead >= _SENTENCE_LEAD
