"""Spoken digits with a Vosk (Kaldi) model that takes a word list at run time.

The recogniser is given the digit words of one language and ``[unk]`` for everything else, so it hears digits or nothing. What
has to hold for that is checked when the model is opened, because the library only warns, or falls back to its whole
vocabulary, or ends the process:

- the model has lookahead graphs (``graph/HCLr.fst`` and ``graph/Gr.fst``); others ignore the word list without a word;
- it knows at least one word for each of the ten digits; unknown words are dropped from the list with a warning;
- whether it knows ``[unk]``. Where it does not (the small Korean model), noise and other words are pressed into digits. Then a
  transcript is accepted only if each burst of voice holds exactly one digit, which running speech, music and noise do not.
  That guard was tried on English speech, noise and music, not on Korean sentences: no recorded Korean was at hand.

A word's ``conf`` is near 1.0 for wrong words too, and is not used. Repeated neighbours ("two two") may be heard as one.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from liveness.capture import Audio
from liveness.digits import SPOKEN, Language, digit_of
from liveness.errors import EngineError
from liveness.evidence import Transcript, Word
from liveness.segments import Burst, BurstListener, VoiceDetector, at_loudness, bursts

UNKNOWN: Final = "[unk]"

RATE_HZ: Final = 16_000
"""Sampling rate that the models take."""

LOOKAHEAD_FILES: Final = ("graph/HCLr.fst", "graph/Gr.fst")
"""What a model must have to take a word list at run time."""

QUIET: Final = -3
"""Log level at which the library keeps still; at -1 it still prints a warning for each unknown word, in every call."""

MOST_UNKNOWN: Final = 0.25
"""Other words may last this share of what the digits last, in all (a cough, "um"), else it was not digits that was said."""

OVERLAP: Final = 0.5
"""A word lies in a burst when this share of the shorter of the two is common to both."""


class VoskDigits:
    """`SpeechRecogniser` of one language on a Vosk model. Safe to use from several threads; they take turns."""

    engine = "vosk"

    def __init__(self, folder: Path, *, voice: VoiceDetector, language: Language, model_version: str) -> None:
        """folder : an unpacked model (``am/``, ``conf/``, ``graph/`` ...). voice : asked first; other sound is not heard.

        Raises EngineError (code ``engine_unsuitable``) when the model cannot hear the digits of ``language`` by word list.
        """
        self.languages: tuple[Language, ...] = (language,)
        self.model_version = model_version
        self._language = language
        self._lock = threading.Lock()
        self._voice = voice
        missing = [name for name in LOOKAHEAD_FILES if not (folder / name).is_file()]
        if missing:
            raise EngineError(
                f"the Vosk model in {folder} takes no word list: {', '.join(missing)} missing, a model with lookahead "
                "graphs (a 'small' or 'lgraph' one) is wanted",
                code="engine_unsuitable",
            )
        import vosk

        self._vosk: Any = vosk
        vosk.SetLogLevel(QUIET)
        try:
            self._model: Any = vosk.Model(model_path=str(folder))
        except (Exception, SystemExit) as error:
            raise EngineError(f"Vosk cannot open the model in {folder}", code="engine_unsuitable") from error
        known = {
            digit: [word for word in words if self._knows(word)] for digit, words in SPOKEN[language].items()
        }  # fmt: skip
        silent = [f"{digit} ({'/'.join(SPOKEN[language][digit])})" for digit, words in known.items() if not words]
        if silent:
            raise EngineError(
                f"the Vosk model in {folder} does not know the '{language}' word for {', '.join(silent)}",
                code="engine_unsuitable",
            )
        self._knows_unknown = self._knows(UNKNOWN)
        listed = [word for words in known.values() for word in words] + [UNKNOWN] * self._knows_unknown
        # not as \uXXXX: the library does not read escapes, and would drop every word as unknown
        self._grammar = json.dumps(listed, ensure_ascii=False)

    def _knows(self, word: str) -> bool:
        return int(self._model.vosk_model_find_word(word)) >= 0

    def transcribe(self, audio: Audio, *, language: Language, expecting: int | None) -> Transcript:
        """Hear the digits in ``audio`` (16 kHz mono). ``expecting`` is used as a guard only.

        Raises EngineError for another language than the model's, another rate, samples that are no numbers, or a failure
        of the library.
        """
        if language is not self._language:
            raise EngineError(f"this Vosk model hears '{self._language}', not '{language}'", code="engine_unsuitable")
        if audio.rate_hz != RATE_HZ:
            raise EngineError(f"sound at {audio.rate_hz} Hz, wanted {RATE_HZ} Hz")
        if not np.isfinite(audio.samples).all():
            raise EngineError("the sound holds samples that are no numbers")
        with self._lock:
            found = self._voice.voiced(audio.samples, bursts(audio.samples, audio.rate_hz))
            heard = self._words(audio, found) if found else []
        words = tuple(
            Word(text=digit, start_ms=audio.start_ms + start, end_ms=audio.start_ms + end)
            for text, start, end in heard
            if (digit := digit_of(text, language)) is not None
        )
        others = [(start, end) for text, start, end in heard if digit_of(text, language) is None]
        spoken_ms = sum(word.end_ms - word.start_ms for word in words)
        return Transcript(
            digits="".join(word.text for word in words),
            words=words,
            engine=self.engine,
            model_version=self.model_version,
            language=language,
            accepted=bool(words)
            and expecting in (None, len(words))
            and sum(end - start for start, end in others) <= MOST_UNKNOWN * spoken_ms
            and (self._knows_unknown or _one_each(heard, found)),
        )

    def listen(self, language: Language) -> VoskListener:
        """A listener to one live session, independent of others and of :meth:`transcribe`.

        Raises EngineError for another language than the model's, or a failure of the library.
        """
        if language is not self._language:
            raise EngineError(f"this Vosk model hears '{self._language}', not '{language}'", code="engine_unsuitable")
        try:
            recogniser = self._vosk.KaldiRecognizer(self._model, float(RATE_HZ), self._grammar)
        except (Exception, SystemExit) as error:
            raise EngineError("Vosk cannot listen") from error
        return VoskListener(recogniser, language=language, bursts_too=not self._knows_unknown)

    def _words(self, audio: Audio, found: tuple[Burst, ...]) -> list[tuple[str, int, int]]:
        """Every word the library hears: text, start and end in ms from the first sample."""
        pcm = (at_loudness(audio.samples, found) * 32767).astype("<i2").tobytes()
        results: list[str] = []
        try:
            recogniser = self._vosk.KaldiRecognizer(self._model, float(audio.rate_hz), self._grammar)
            recogniser.SetWords(True)
            # the whole clip at once: in small pieces, pauses end the utterance and cut slow readers apart
            if recogniser.AcceptWaveform(pcm):
                results.append(recogniser.Result())
            results.append(recogniser.FinalResult())
        except (Exception, SystemExit) as error:
            raise EngineError("Vosk failed on this sound") from error
        return [
            (str(word["word"]), round(1000 * float(word["start"])), round(1000 * float(word["end"])))
            for result in results
            for word in json.loads(result).get("result", ())
        ]


class VoskListener:
    """`Listener` on a Vosk model: digits of finished utterances and of the one under way.

    Partial results are provisional and differ from final ones; they guide and decide nothing. A model without ``[unk]``
    presses noise into digits, so there no more are counted than there are bursts of sound.
    """

    def __init__(self, recogniser: Any, *, language: Language, bursts_too: bool) -> None:
        """recogniser : of the library, fed with nothing yet. bursts_too : count no more digits than bursts."""
        self._recogniser = recogniser
        self._language = language
        self._bursts = BurstListener(RATE_HZ) if bursts_too else None
        self._finished = 0

    def feed(self, samples: NDArray[np.float32]) -> int:
        """The next samples (``(n,) float32``, 16 kHz) in, how many digits so far out.

        Raises EngineError when the library fails.
        """
        heard = np.clip(np.nan_to_num(np.asarray(samples, dtype=np.float32)), -1.0, 1.0)
        count = self._finished
        if len(heard):
            try:
                if self._recogniser.AcceptWaveform((heard * 32767).astype("<i2").tobytes()):
                    self._finished += self._digits(json.loads(self._recogniser.Result()).get("text", ""))
                    count = self._finished
                else:
                    partial = json.loads(self._recogniser.PartialResult()).get("partial", "")
                    count = self._finished + self._digits(partial)
            except (Exception, SystemExit) as error:
                raise EngineError("Vosk failed on this sound") from error
        return count if self._bursts is None else min(count, self._bursts.feed(heard))

    def _digits(self, text: str) -> int:
        return sum(digit_of(word, self._language) is not None for word in text.split())


def _one_each(heard: list[tuple[str, int, int]], found: tuple[Burst, ...]) -> bool:
    """Whether each burst holds exactly one word, and each word lies in a burst."""
    return len(heard) == len(found) and all(
        min(end, burst.end_ms) - max(start, burst.start_ms) >= OVERLAP * min(end - start, burst.end_ms - burst.start_ms)
        for (_, start, end), burst in zip(heard, found, strict=True)
    )
