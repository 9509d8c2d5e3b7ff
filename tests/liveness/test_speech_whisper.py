"""Digits read out by a synthetic voice are heard as they were said; other speech and other counts are not accepted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from liveness.capture import Audio
from liveness.digits import SPOKEN, Language
from liveness.errors import EngineError
from liveness.evidence import Transcript
from liveness.speech_whisper import WhisperDigits, _Hypothesis, _likeliest
from liveness.voice_silero import SileroVoice

RATE_HZ = 16_000


class Reader:
    """A voice without chance in it: the same text always sounds the same."""

    def __init__(self, model_file: Path) -> None:
        piper = pytest.importorskip("piper", reason="the simulator's voice is not installed")
        self._voice = piper.PiperVoice.load(str(model_file))
        self._even = piper.SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0)
        self._said: dict[str, NDArray[np.float32]] = {}

    def say(self, text: str) -> NDArray[np.float32]:
        """16 kHz, without the silence at both ends."""
        if text not in self._said:
            chunks = list(self._voice.synthesize(text, syn_config=self._even))
            samples = np.concatenate([chunk.audio_float_array for chunk in chunks])
            at = np.arange(0, len(samples), chunks[0].sample_rate / RATE_HZ)
            even = np.interp(at, np.arange(len(samples)), samples).astype(np.float32)
            loud = np.flatnonzero(np.abs(even) > 0.02 * np.abs(even).max())
            self._said[text] = even[loud[0] : loud[-1] + 1]
        return self._said[text]

    def read(self, digits: str, *, pause_ms: int = 300, loud: float = 1.0) -> tuple[Audio, list[tuple[int, int]]]:
        """The digits one by one over faint noise, and when each begins and ends, ms."""
        pause = np.zeros(RATE_HZ * pause_ms // 1000, dtype=np.float32)
        parts, spans, at = [pause], [], len(pause)
        for digit in digits:
            word = self.say(SPOKEN[Language.ENGLISH][digit][0])
            spans.append((at * 1000 // RATE_HZ, (at + len(word)) * 1000 // RATE_HZ))
            parts += [word, pause]
            at += len(word) + len(pause)
        return sounding(np.concatenate(parts) * np.float32(loud)), spans


def sounding(samples: NDArray[np.float32], *, start_ms: int = 0) -> Audio:
    noise = np.random.default_rng(1).normal(0, 3e-4, len(samples)).astype(np.float32)
    return Audio(samples=samples + noise, rate_hz=RATE_HZ, start_ms=start_ms)


@pytest.fixture(scope="module")
def reader(weights: Path) -> Reader:
    return Reader(weights / "voice_en" / "en_US-joe-medium.onnx")


@pytest.fixture(scope="module")
def whisper(weights: Path) -> WhisperDigits:
    return WhisperDigits(weights / "whisper_tiny_en", voice=SileroVoice(), model_version="tiny.en")


def hear(whisper: WhisperDigits, audio: Audio, expecting: int | None = 6) -> Transcript:
    return whisper.transcribe(audio, language=Language.ENGLISH, expecting=expecting)


@pytest.mark.weights
@pytest.mark.parametrize("digits", ["480215", "936174", "052839", "717606", "394851", "820469"])
def test_digits_are_heard_with_their_times(whisper: WhisperDigits, reader: Reader, digits: str) -> None:
    audio, spans = reader.read(digits)
    heard = hear(whisper, audio)
    assert heard.accepted
    assert heard.digits == digits
    assert "".join(word.text for word in heard.words) == digits
    for word, (start, end) in zip(heard.words, spans, strict=True):
        # faint consonants at the edges of a word lie below the noise
        assert word.start_ms == pytest.approx(start, abs=150)
        assert word.end_ms == pytest.approx(end, abs=150)


@pytest.mark.weights
def test_a_digit_said_otherwise_is_heard_otherwise(whisper: WhisperDigits, reader: Reader) -> None:
    for place, other in enumerate("591836"):
        spoken = "480215"[:place] + other + "480215"[place + 1 :]
        heard = hear(whisper, reader.read(spoken)[0])
        assert heard.digits == spoken
        assert heard.digits != "480215"


@pytest.mark.weights
@pytest.mark.parametrize(("pause_ms", "loud"), [(250, 1.0), (900, 1.0), (300, 0.05)])
def test_slow_quick_and_quiet_readers_are_heard(
    whisper: WhisperDigits, reader: Reader, pause_ms: int, loud: float
) -> None:
    heard = hear(whisper, reader.read("602937", pause_ms=pause_ms, loud=loud)[0])
    assert heard.accepted
    assert heard.digits == "602937"


@pytest.mark.weights
def test_a_voice_that_begins_with_the_recording_is_heard(whisper: WhisperDigits, reader: Reader) -> None:
    audio, spans = reader.read("528630")
    at_once = Audio(samples=audio.samples[spans[0][0] * RATE_HZ // 1000 :], rate_hz=RATE_HZ)
    heard = hear(whisper, at_once)
    assert heard.accepted
    assert heard.digits == "528630"


@pytest.mark.weights
def test_times_are_on_the_clock_of_the_capture(whisper: WhisperDigits, reader: Reader) -> None:
    audio, _ = reader.read("480215")
    later = Audio(samples=audio.samples, rate_hz=RATE_HZ, start_ms=1234)
    plain, shifted = hear(whisper, audio), hear(whisper, later)
    assert [(word.start_ms + 1234, word.end_ms + 1234) for word in plain.words] == [
        (word.start_ms, word.end_ms) for word in shifted.words
    ]


@pytest.mark.weights
@pytest.mark.parametrize("digits", ["48021", "4802159", "48021593"])
def test_another_number_of_digits_is_not_accepted_as_six(whisper: WhisperDigits, reader: Reader, digits: str) -> None:
    heard = hear(whisper, reader.read(digits)[0], expecting=6)
    assert not heard.accepted
    assert heard.digits == digits


@pytest.mark.weights
def test_one_digit_is_not_accepted_as_six(whisper: WhisperDigits, reader: Reader) -> None:
    assert not hear(whisper, reader.read("4")[0], expecting=6).accepted


@pytest.mark.weights
def test_without_a_number_to_expect_all_digits_are_heard(whisper: WhisperDigits, reader: Reader) -> None:
    heard = hear(whisper, reader.read("48021593")[0], expecting=None)
    assert heard.accepted
    assert heard.digits == "48021593"


@pytest.mark.weights
def test_digits_run_together_are_still_heard_in_order(whisper: WhisperDigits, reader: Reader) -> None:
    words = [reader.say(word) for word in ("four", "eight", "zero", "two", "one", "five")]
    edge = np.zeros(6_400, dtype=np.float32)
    gap = np.zeros(800, dtype=np.float32)
    heard = hear(whisper, sounding(np.concatenate([edge, *(part for word in words for part in (word, gap)), edge])))
    assert heard.accepted
    assert heard.digits == "480215"
    starts = [word.start_ms for word in heard.words]
    assert starts == sorted(starts)


@pytest.mark.weights
def test_knocks_after_the_digits_do_not_count(whisper: WhisperDigits, reader: Reader) -> None:
    audio, _ = reader.read("394851")
    chance = np.random.default_rng(2)
    knocks = np.zeros(32_000, dtype=np.float32)
    for begin in (4_000, 14_000, 24_000):
        knocks[begin : begin + 3_000] = chance.normal(0, 0.1, 3_000) * np.hanning(3_000)
    heard = hear(whisper, Audio(samples=np.concatenate([audio.samples, knocks]), rate_hz=RATE_HZ))
    assert heard.accepted
    assert heard.digits == "394851"


@pytest.mark.weights
@pytest.mark.parametrize("expecting", [6, None])
@pytest.mark.parametrize(
    "sentence",
    [
        "The weather was lovely yesterday and we went for a walk.",
        "The train to London leaves at half past eight.",
        "One day I will visit Japan.",
        "Bin blue at F two now.",
        "Apple. Orange. Banana. Cherry. Lemon. Melon.",
        "I agree that my face may be shown.",
    ],
)
def test_other_speech_is_not_accepted(
    whisper: WhisperDigits, reader: Reader, sentence: str, expecting: int | None
) -> None:
    edge = np.zeros(6_400, dtype=np.float32)
    audio = sounding(np.concatenate([edge, reader.say(sentence), edge]))
    assert not hear(whisper, audio, expecting).accepted


@pytest.mark.weights
def test_the_same_sound_gives_the_same_transcript_in_any_thread(whisper: WhisperDigits, reader: Reader) -> None:
    audio, _ = reader.read("717606")
    alone = hear(whisper, audio)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: hear(whisper, audio), range(3))) == [alone] * 3


@pytest.mark.weights
def test_more_sound_than_the_model_takes_is_not_accepted(whisper: WhisperDigits, reader: Reader) -> None:
    heard = hear(whisper, reader.read("480215" * 10)[0], expecting=None)
    assert not heard.accepted


@pytest.mark.weights
def test_the_words_of_a_known_sentence_are_placed_where_they_are_said(whisper: WhisperDigits, reader: Reader) -> None:
    audio, spans = reader.read("4802", pause_ms=500)
    moved = Audio(samples=audio.samples, rate_hz=RATE_HZ, start_ms=-70)
    placed = whisper.place(moved, "four eight zero two")
    assert [word.text for word in placed] == ["four", "eight", "zero", "two"]
    for word, (start, end) in zip(placed, spans, strict=True):
        # ends are soft; most of each word must lie in its place
        inside = min(word.end_ms + 70, end) - max(word.start_ms + 70, start)
        assert inside >= 0.5 * (end - start)


@pytest.mark.weights
def test_sound_at_another_rate_is_refused(whisper: WhisperDigits) -> None:
    with pytest.raises(EngineError, match="8000 Hz, wanted 16000"):
        hear(whisper, Audio(samples=np.zeros(8_000, dtype=np.float32), rate_hz=8_000))
    with pytest.raises(EngineError, match="cannot be placed"):
        whisper.place(Audio(samples=np.zeros(8_000, dtype=np.float32), rate_hz=8_000), "four")


def test_nothing_heard_shows_in_a_repr() -> None:
    words = Transcript(
        digits="480215", words=(), engine="whisper", model_version="m", language=Language.ENGLISH, accepted=True
    )
    assert "480215" not in repr(words)


def test_two_hearings_outvote_what_one_made_up() -> None:
    first = [_Hypothesis(digits="123423", score=-1.0), _Hypothesis(digits="651234", score=-1.4)]
    second = [_Hypothesis(digits="651234", score=-0.2), _Hypothesis(digits="651235", score=-3.0)]
    assert _likeliest((first, second)) == "651234"


def test_a_string_only_one_hearing_found_can_win_when_it_is_sure() -> None:
    first = [_Hypothesis(digits="12", score=-0.1), _Hypothesis(digits="13", score=-9.0)]
    second = [_Hypothesis(digits="13", score=-0.9), _Hypothesis(digits="14", score=-1.0)]
    assert _likeliest((first, second)) == "12"
