"""Spoken English digits with a Whisper model (tiny.en) through CTranslate2.

Whisper was made for running speech. Of digits read one by one it drops the first, counts on ("1 2 3 4") or loops; and forced
to write digits it writes some for anything. What is done about it, each step measured (seeded strings of six recorded
digits, three speakers, also slowed, sped up, narrow-band, quiet, echoing and noisy; right of 224):

1. Only the ten single-digit tokens may be written, and exactly as many as there are digits: 206. Each burst of voice is
   taken for a digit. Nothing is ever put into the prompt: a digit in a prompt is heard in plain noise.
2. The bursts are also set apart by even pauses and heard once more, second half first (4 5 6 1 2 3). Each digit is so heard
   at another place between other neighbours, and what was made up does not repeat. The hypotheses of both hearings are
   scored together: 219. Other orders, more orders, other speeds and both spellings ("4", "four") gave no more than that.
3. The winner is read back to the unrestricted model, which must find it likely (:data:`LEAST_READ_BACK`). That turns down
   ordinary sentences, which plain comparison with a free transcript does not always: "One day ..." begins with a digit.

Bursts that are nobody's voice (a knock, rustle) are left out first. With more bursts than digits expected, every burst is taken
for a digit, and the transcript is too long; with fewer, see :meth:`WhisperDigits._hear_run`.

Decoding is a beam search without sampling: the same samples give the same transcript.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from liveness.capture import Audio
from liveness.digits import SPOKEN, Language
from liveness.errors import EngineError
from liveness.evidence import Transcript, Word
from liveness.segments import Burst, VoiceDetector, bursts

RATE_HZ: Final = 16_000
"""Sampling rate that Whisper's features are defined for."""

FRAME: Final = 160
"""Samples in one feature frame (10 ms)."""

SHORTEST_WINDOW: Final = 1_500
LONGEST_WINDOW: Final = 3_000
"""Feature frames that the encoder is given, padded with silence. Whisper was trained on 3,000 (30 s). 1,500 hears digit
strings as well (149 against 151 of 160) in a third of the time; the bare length of the sound stumbles on echo."""

BEAM: Final = 8
"""Hypotheses kept while decoding; all are scored as candidates."""

UNSEEN: Final = 1.0
"""A candidate that one hearing did not come up with counts there as its worst one, less this much log-probability. 0.3, 1
and 3 gave the same answers."""

MOST_DIGITS: Final = 24
"""More digits than this are not decoded: four times a challenge."""

LONGEST_SOUND: Final = (LONGEST_WINDOW - 50) * FRAME
"""Samples that fit the window with half a second to spare."""

AROUND_MS: Final = 120
PAUSE_MS: Final = 200
EDGE_MS: Final = 300
"""A burst that is set apart keeps so much of the recording on either side (less where the next one is near), is followed by
so much silence, and the whole recording is trimmed to so much before the first and after the last burst."""

LEAST_READ_BACK: Final = -0.7
"""Mean natural log-probability of a token that the unrestricted model must give the digits, in the spelling it likes best.
Measured: right strings of six -0.26 in the middle, 1 in 100 below -0.58, the least -0.76 (330); lists of other words and
letters -0.75 and less, sentences -1.1 and less."""

MOST_NO_SPEECH: Final = 0.8
"""Probability of *no speech* above which nothing counts. Measured: six digits 0.05 to 0.74 (330), music and clicks 0.92 and
more, bursts of noise 0.8; tones 0.70 to 0.78, which are not read back as digits."""

SHORTEST_WORD_MS: Final = 60
LONGEST_WORD_MS: Final = 1_500
"""A spoken digit lasts this long; recorded ones last 140 to 870 ms, by the burst finder 70 at least."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Encoded:
    """Sound as the encoder left it. output : the library's array; frames : how many feature frames went in."""

    output: Any = field(repr=False)
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hypothesis:
    """One string of digits and its log-probability among digits."""

    digits: str = field(repr=False)
    score: float


class WhisperDigits:
    """`SpeechRecogniser` for English on a Whisper model. Safe to use from several threads; they take turns."""

    engine = "whisper"
    languages: tuple[Language, ...] = (Language.ENGLISH,)

    def __init__(self, folder: Path, *, voice: VoiceDetector, model_version: str, cpu_threads: int = 2) -> None:
        """folder : ``model.bin``, ``config.json``, ``tokenizer.json``, ``vocabulary.txt`` of an English Whisper model.
        voice : asked first; other sound is not heard.

        Raises EngineError (code ``engine_unsuitable``) when they cannot be read, or a digit is not a single token.
        """
        import ctranslate2
        from faster_whisper.feature_extractor import FeatureExtractor
        from tokenizers import Tokenizer

        self.model_version = model_version
        self._lock = threading.Lock()
        self._to_array: Any = ctranslate2.StorageView.from_array
        self._features: Any = FeatureExtractor()
        self._voice = voice
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._model: Any = ctranslate2.models.Whisper(
                str(folder), device="cpu", compute_type="int8", intra_threads=cpu_threads
            )
        except Exception as error:
            raise EngineError(f"no Whisper model can be opened in {folder}", code="engine_unsuitable") from error
        if self._model.is_multilingual:
            raise EngineError(f"the Whisper model in {folder} is not an English one", code="engine_unsuitable")
        digit_tokens = [self._tokens(f" {digit}") for digit in "0123456789"]
        if any(len(tokens) != 1 for tokens in digit_tokens):
            raise EngineError("the Whisper tokenizer does not write a digit as one token", code="engine_unsuitable")
        self._digit_of = {tokens[0]: str(digit) for digit, tokens in enumerate(digit_tokens)}
        self._start = [self._token("<|startoftranscript|>"), self._token("<|notimestamps|>")]
        entries = (folder / "vocabulary.txt").read_text(encoding="utf-8").count("\n") + 1
        self._all_but_digits = [token for token in range(entries) if token not in self._digit_of]

    def _tokens(self, text: str) -> list[int]:
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return tokens

    def _token(self, name: str) -> int:
        token: int | None = self._tokenizer.token_to_id(name)
        if token is None:
            raise EngineError(f"the Whisper tokenizer has no {name}", code="engine_unsuitable")
        return token

    def transcribe(self, audio: Audio, *, language: Language, expecting: int | None) -> Transcript:
        """Hear the digits in ``audio`` (16 kHz mono).

        expecting : how many digits; ``None`` takes as many as there are bursts of sound. Accepted are only transcripts of
            that many, with speech in them, that the unrestricted model agrees to be digits.

        Raises EngineError for another language, another rate, samples that are no numbers, or a failure of the library.
        """
        if language not in self.languages:
            raise EngineError(f"this Whisper model hears 'en', not '{language}'", code="engine_unsuitable")
        if audio.rate_hz != RATE_HZ:
            raise EngineError(f"sound at {audio.rate_hz} Hz, wanted {RATE_HZ} Hz")
        if not np.isfinite(audio.samples).all():
            raise EngineError("the sound holds samples that are no numbers")
        found = bursts(audio.samples, audio.rate_hz)
        words: tuple[Word, ...] = ()
        sure = False
        if found:
            with self._lock:
                try:
                    found = self._voice.voiced(audio.samples, found)
                    if found:
                        words, sure = self._hear(audio.samples, found, expecting)
                except (RuntimeError, ValueError) as error:
                    raise EngineError("Whisper failed on this sound") from error
        shift = audio.start_ms
        return Transcript(
            digits="".join(word.text for word in words),
            words=tuple(
                Word(text=word.text, start_ms=word.start_ms + shift, end_ms=word.end_ms + shift) for word in words
            ),
            engine=self.engine,
            model_version=self.model_version,
            language=Language.ENGLISH,
            accepted=sure
            and expecting in (None, len(words))
            and all(SHORTEST_WORD_MS <= word.end_ms - word.start_ms <= LONGEST_WORD_MS for word in words),
        )

    def place(self, audio: Audio, text: str) -> tuple[Word, ...]:
        """When each word of ``text`` is said in ``audio`` (16 kHz mono), for measuring on sentences that are known. Of at most
        29 s; ends are soft by 100 to 200 ms. No verdict may rest on it: it places what was never said as well.

        Raises EngineError for another rate, longer sound or a failure of the library.
        """
        if audio.rate_hz != RATE_HZ or not 0 < len(audio.samples) <= LONGEST_SOUND:
            raise EngineError(f"sound of {len(audio.samples)} samples at {audio.rate_hz} Hz cannot be placed")
        words = text.split()
        pieces = [self._tokens(f" {word}") for word in words]
        with self._lock:
            try:
                encoded = self._encode(audio.samples)
                (aligned,) = self._model.align(
                    encoded.output, self._start, [list(chain.from_iterable(pieces))], encoded.frames
                )
            except (RuntimeError, ValueError) as error:
                raise EngineError("Whisper failed on this sound") from error
        found = []
        first = 0
        for word, tokens in zip(words, pieces, strict=True):
            # the encoder's steps are two frames of 10 ms
            steps = [step for token, step in aligned.alignments if first <= token < first + len(tokens)]
            first += len(tokens)
            start_ms, end_ms = 20 * min(steps), 20 * (max(steps) + 1)
            found.append(Word(text=word, start_ms=audio.start_ms + start_ms, end_ms=audio.start_ms + end_ms))
        return tuple(found)

    def _hear(
        self, samples: NDArray[np.float32], found: tuple[Burst, ...], expecting: int | None
    ) -> tuple[tuple[Word, ...], bool]:
        """The words, in ms from the first sample, and whether the model itself takes them for spoken digits."""
        begin_ms, recorded = _trim(samples, found)
        if expecting is not None and len(found) < expecting <= MOST_DIGITS and len(recorded) <= LONGEST_SOUND:
            return self._hear_run(recorded, begin_ms, found, expecting)
        pieces = _pieces(samples, found)
        if len(found) <= MOST_DIGITS and len(_joined(pieces)) <= LONGEST_SOUND:
            return self._hear_apart(recorded, pieces, found)
        return (), False

    def _hear_apart(
        self, recorded: NDArray[np.float32], pieces: list[NDArray[np.float32]], found: tuple[Burst, ...]
    ) -> tuple[tuple[Word, ...], bool]:
        """One digit a burst, heard twice (step 2 above)."""
        count = len(pieces)
        encoded = self._encode(recorded if len(recorded) <= LONGEST_SOUND else _joined(pieces))
        first, no_speech = self._digits(encoded, count)
        half = count // 2
        turned, _ = self._digits(self._encode(_joined(pieces[half:] + pieces[:half])), count)
        back = count - half
        second = [_Hypothesis(digits=guess.digits[back:] + guess.digits[:back], score=guess.score) for guess in turned]
        digits = _likeliest((first, second))
        words = tuple(
            Word(text=digit, start_ms=burst.start_ms, end_ms=burst.end_ms)
            for digit, burst in zip(digits, found, strict=True)
        )
        return words, no_speech <= MOST_NO_SPEECH and self._read_back(encoded, digits) >= LEAST_READ_BACK

    def _hear_run(
        self, recorded: NDArray[np.float32], begin_ms: int, found: tuple[Burst, ...], expecting: int
    ) -> tuple[tuple[Word, ...], bool]:
        """More digits than bursts: some ran together, or fewer were said than asked.

        The likeliest string of each number that there may be is read back; the number expected holds only if none reads
        better, else a digit was made up.
        """
        encoded = self._encode(recorded)
        guesses, no_speech = self._digits(encoded, expecting)
        digits, likely = guesses[0].digits, self._read_back(encoded, guesses[0].digits)
        for fewer in sorted({expecting - 1, len(found)}):
            guess = self._digits(encoded, fewer)[0][0].digits
            if (better := self._read_back(encoded, guess)) > likely:
                digits, likely = guess, better
        words = self._timed(encoded, digits, begin_ms, found)
        return words, no_speech <= MOST_NO_SPEECH and likely >= LEAST_READ_BACK

    def _encode(self, samples: NDArray[np.float32]) -> _Encoded:
        """Features of at most 30 s, padded with silence to the window, through the encoder."""
        features = np.asarray(self._features(samples), dtype=np.float32)
        # even, with a second of room at the end; the extractor adds silence of its own, which is cut off here
        frames = min(LONGEST_WINDOW, max(SHORTEST_WINDOW, (len(samples) // FRAME + 100) // 2 * 2))
        window = np.zeros((1, features.shape[0], frames), dtype=np.float32)
        kept = min(frames, features.shape[1])
        window[0, :, :kept] = features[:, :kept]
        return _Encoded(output=self._model.encode(self._to_array(window)), frames=frames)

    def _digits(self, encoded: _Encoded, count: int) -> tuple[list[_Hypothesis], float]:
        """The likeliest strings of ``count`` digits, best first, and the probability of no speech."""
        (result,) = self._model.generate(
            encoded.output,
            [self._start],
            beam_size=BEAM,
            num_hypotheses=BEAM,
            # the library decodes half of this many tokens
            max_length=2 * count,
            suppress_tokens=self._all_but_digits,
            suppress_blank=False,
            length_penalty=0,
            return_scores=True,
            return_no_speech_prob=True,
        )
        hypotheses = [
            _Hypothesis(digits="".join(self._digit_of.get(token, "") for token in tokens), score=float(score))
            for tokens, score in zip(result.sequences_ids, result.scores, strict=True)
        ]
        return hypotheses, float(result.no_speech_prob)

    def _read_back(self, encoded: _Encoded, digits: str) -> float:
        """Mean log-probability of a token of ``digits`` under the unrestricted model, in the likeliest of four spellings."""
        names = [SPOKEN[Language.ENGLISH][digit][0] for digit in digits]
        spellings = (" ".join(digits), ", ".join(digits), " ".join(names), ", ".join(names))
        return max(self._log_probability(encoded, f" {spelling}") for spelling in spellings)

    def _log_probability(self, encoded: _Encoded, text: str) -> float:
        (aligned,) = self._model.align(encoded.output, self._start, [self._tokens(text)], encoded.frames)
        return float(np.log(np.maximum(aligned.text_token_probs, 1e-9)).mean())

    def _timed(self, encoded: _Encoded, digits: str, begin_ms: int, found: tuple[Burst, ...]) -> tuple[Word, ...]:
        """Each digit where the model looks while it writes it, cut to the burst that holds most of that."""
        tokens = self._tokens(" " + " ".join(digits))
        (aligned,) = self._model.align(encoded.output, self._start, [tokens], encoded.frames)
        words = []
        for place, digit in enumerate(digits):
            # the encoder's steps are two frames of 10 ms
            steps = [step for text, step in aligned.alignments if text == place]
            start, end = begin_ms + 20 * min(steps), begin_ms + 20 * (max(steps) + 1)
            cuts = [(max(start, burst.start_ms), min(end, burst.end_ms)) for burst in found]
            start_in, end_in = max(cuts, key=lambda cut: cut[1] - cut[0])
            if end_in > start_in:
                start, end = start_in, end_in
            words.append(Word(text=digit, start_ms=start, end_ms=end))
        return tuple(words)


def _likeliest(hearings: Sequence[Sequence[_Hypothesis]]) -> str:
    """The string with the greatest sum of log-probabilities over all hearings."""
    tables = [{guess.digits: guess.score for guess in hearing} for hearing in hearings]
    unseen = [min(table.values()) - UNSEEN for table in tables]
    candidates = sorted({digits for table in tables for digits in table})
    return max(
        candidates,
        key=lambda digits: sum(table.get(digits, worst) for table, worst in zip(tables, unseen, strict=True)),
    )


def _trim(samples: NDArray[np.float32], found: tuple[Burst, ...]) -> tuple[int, NDArray[np.float32]]:
    """The samples from just before the first to just after the last burst, and when they begin, ms."""
    begin_ms = max(0, found[0].start_ms - EDGE_MS)
    per_ms = RATE_HZ // 1000
    return begin_ms, samples[begin_ms * per_ms : (found[-1].end_ms + EDGE_MS) * per_ms]


def _pieces(samples: NDArray[np.float32], found: tuple[Burst, ...]) -> list[NDArray[np.float32]]:
    """Each burst with :data:`AROUND_MS` on either side, at most half-way to its neighbours."""
    edges = [0, *((one.end_ms + two.start_ms) // 2 for one, two in pairwise(found))]
    edges.append(len(samples) * 1000 // RATE_HZ)
    per_ms = RATE_HZ // 1000
    return [
        samples[max(burst.start_ms - AROUND_MS, low) * per_ms : min(burst.end_ms + AROUND_MS, high) * per_ms]
        for burst, low, high in zip(found, edges, edges[1:], strict=False)
    ]


def _joined(pieces: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The pieces with a pause before, between and after."""
    pause = np.zeros(PAUSE_MS * RATE_HZ // 1000, dtype=np.float32)
    return np.concatenate([pause, *(part for piece in pieces for part in (piece, pause)), pause])
