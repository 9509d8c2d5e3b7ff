"""What every speech recogniser must do, whatever model it holds. Add a new one to ``RECOGNISERS``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from liveness.capture import Audio
from liveness.digits import Language
from liveness.errors import EngineError
from liveness.evidence import SpeechRecogniser
from liveness.speech_vosk import VoskDigits
from liveness.speech_whisper import WhisperDigits
from liveness.voice_silero import SileroVoice

pytestmark = pytest.mark.weights

RATE_HZ = 16_000
SECONDS = 6

RECOGNISERS: dict[str, Callable[[Path], SpeechRecogniser]] = {
    "whisper": lambda weights: WhisperDigits(weights / "whisper_tiny_en", voice=SileroVoice(), model_version="tiny.en"),
    "vosk": lambda weights: VoskDigits(
        weights / "vosk_ko", voice=SileroVoice(), language=Language.KOREAN, model_version="small-ko"
    ),
}


@pytest.fixture(scope="module", params=list(RECOGNISERS))
def recogniser(request: pytest.FixtureRequest, weights: Path) -> SpeechRecogniser:
    return RECOGNISERS[request.param](weights)


def _noise(seed: int, level: float) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, level, RATE_HZ * SECONDS).astype(np.float32)


def _bursts(carrier: NDArray[np.float32]) -> NDArray[np.float32]:
    """``carrier`` let through six times for 0.35 s, as six digits would sound to a loudness meter."""
    gate = np.zeros(RATE_HZ * SECONDS, dtype=np.float32)
    for place in range(6):
        begin = RATE_HZ // 2 + place * 14_000
        gate[begin : begin + 5_600] = np.hanning(5_600)
    return carrier * gate + _noise(9, 1e-3)


def _tone(hertz: float) -> NDArray[np.float32]:
    at = np.arange(RATE_HZ * SECONDS) / RATE_HZ
    return np.asarray(sum(0.2 / k * np.sin(2 * np.pi * hertz * k * at) for k in (1, 2, 3)), dtype=np.float32)


def _melody() -> NDArray[np.float32]:
    notes = np.random.default_rng(3).integers(0, 24, 15)
    at = np.arange(int(0.4 * RATE_HZ)) / RATE_HZ
    return np.concatenate(
        [
            sum((0.1 / k) * np.sin(2 * np.pi * 220 * 2 ** (note / 12) * k * at) for k in (1, 2, 3, 4)) * np.exp(-4 * at)
            for note in notes
        ]
    ).astype(np.float32)


NOT_SPEECH: dict[str, Callable[[], NDArray[np.float32]]] = {
    "nothing at all": lambda: np.zeros(0, dtype=np.float32),
    "silence": lambda: np.zeros(RATE_HZ * SECONDS, dtype=np.float32),
    "faint noise": lambda: _noise(1, 1e-3),
    "loud noise": lambda: _noise(2, 0.1),
    "hum": lambda: _tone(50.0) + _noise(4, 1e-3),
    "six bursts of noise": lambda: _bursts(_noise(5, 0.2)),
    "six beeps": lambda: _bursts(_tone(440.0)),
    "a melody": _melody,
}


@pytest.mark.parametrize("expecting", [6, None])
@pytest.mark.parametrize("sound", NOT_SPEECH)
def test_what_is_no_speech_is_not_accepted(recogniser: SpeechRecogniser, sound: str, expecting: int | None) -> None:
    audio = Audio(samples=NOT_SPEECH[sound](), rate_hz=RATE_HZ)
    heard = recogniser.transcribe(audio, language=recogniser.languages[0], expecting=expecting)
    assert not heard.accepted


def test_a_transcript_says_who_heard_it(recogniser: SpeechRecogniser) -> None:
    language = recogniser.languages[0]
    heard = recogniser.transcribe(Audio(samples=_noise(1, 1e-3), rate_hz=RATE_HZ), language=language, expecting=6)
    assert (heard.engine, heard.model_version, heard.language) == (
        recogniser.engine,
        recogniser.model_version,
        language,
    )


def test_a_language_it_does_not_know_is_refused(recogniser: SpeechRecogniser) -> None:
    audio = Audio(samples=_noise(1, 1e-3), rate_hz=RATE_HZ)
    with pytest.raises(EngineError):
        recogniser.transcribe(audio, language=Language.CHINESE, expecting=6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(recogniser: SpeechRecogniser, value: float) -> None:
    samples = _noise(1, 1e-3)
    samples[100] = value
    with pytest.raises(EngineError):
        recogniser.transcribe(
            Audio(samples=samples, rate_hz=RATE_HZ), language=recogniser.languages[0], expecting=6
        )  # fmt: skip


@pytest.mark.parametrize("name", RECOGNISERS)
def test_an_empty_folder_is_one_clear_error(name: str, tmp_path: Path) -> None:
    folders = {"whisper": tmp_path / "whisper_tiny_en", "vosk": tmp_path / "vosk_ko"}
    folders[name].mkdir()
    with pytest.raises(EngineError) as caught:
        RECOGNISERS[name](tmp_path)
    assert caught.value.code == "engine_unsuitable"
    assert "\n" not in str(caught.value)
