"""The Korean model is what we need; a model that is not is told apart; and the words arrive as digits with times.

There is no Korean speech here to hear, so what the model makes of real Korean is not tested. How its answers are read is tested
with a stand-in for the library, in Chinese.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from liveness.capture import Audio
from liveness.digits import SPOKEN, Language
from liveness.errors import EngineError
from liveness.speech_vosk import LOOKAHEAD_FILES, VoskDigits, VoskListener
from liveness.voice_silero import SileroVoice

RATE_HZ = 16_000


class StandInVosk:
    """The part of the library that we call: a model that knows ``vocabulary`` and hears ``results``, each an utterance."""

    def __init__(self, vocabulary: set[str], results: list[list[tuple[str, float, float]]]) -> None:
        self.vocabulary = vocabulary
        self.results = results
        self.grammars: list[str] = []
        self.fed: list[bytes] = []
        self.broken: BaseException | None = None

    def module(self) -> SimpleNamespace:
        return SimpleNamespace(SetLogLevel=lambda level: None, Model=self._model, KaldiRecognizer=self._recogniser)

    def _model(self, *, model_path: str) -> SimpleNamespace:
        if self.broken is not None:
            raise self.broken
        return SimpleNamespace(vosk_model_find_word=lambda word: 7 if word in self.vocabulary else -1)

    def _recogniser(self, model: object, rate_hz: float, grammar: str) -> SimpleNamespace:
        if self.broken is not None:
            raise self.broken
        self.grammars.append(grammar)
        *earlier, last = [json.dumps(self._utterance(words), ensure_ascii=False) for words in self.results]

        def accept(pcm: bytes) -> int:
            self.fed.append(pcm)
            return 1 if earlier else 0

        return SimpleNamespace(
            SetWords=lambda wanted: None,
            AcceptWaveform=accept,
            Result=lambda: earlier[0],
            FinalResult=lambda: last,
        )

    @staticmethod
    def _utterance(words: list[tuple[str, float, float]]) -> dict[str, object]:
        heard = [{"word": word, "start": start, "end": end, "conf": 1.0} for word, start, end in words]
        return {"text": " ".join(word for word, _, _ in words)} | ({"result": heard} if heard else {})


CHINESE = {word for words in SPOKEN[Language.CHINESE].values() for word in words}
SAID = [("四", 0.3, 0.6), ("八", 1.0, 1.3), ("零", 1.7, 2.0), ("二", 2.4, 2.7), ("幺", 3.1, 3.4), ("五", 3.8, 4.1)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in LOOKAHEAD_FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def opened(
    stand_in: StandInVosk, folder: Path, monkeypatch: pytest.MonkeyPatch, language: Language = Language.CHINESE
) -> VoskDigits:
    monkeypatch.setitem(sys.modules, "vosk", stand_in.module())
    # the tones of these tests are nobody's voice
    monkeypatch.setattr("liveness.voice_silero.SileroVoice.voiced", lambda detector, samples, found: found)
    return VoskDigits(folder, voice=SileroVoice(), language=language, model_version="stand-in")


def sounding(words: list[tuple[str, float, float]]) -> NDArray[np.float32]:
    """A tone wherever a word is, over faint noise."""
    samples = np.random.default_rng(0).normal(0, 1e-3, 5 * RATE_HZ).astype(np.float32)
    for _, start, end in words:
        at = np.arange(round(start * RATE_HZ), round(end * RATE_HZ))
        samples[at] += np.float32(0.1) * np.sin(2 * np.pi * 300 * at / RATE_HZ).astype(np.float32)
    return samples


def audio_of(words: list[tuple[str, float, float]], *, start_ms: int = 0) -> Audio:
    return Audio(samples=sounding(words), rate_hz=RATE_HZ, start_ms=start_ms)


def test_chinese_words_become_digits_on_the_clock_of_the_capture(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vosk = opened(StandInVosk(CHINESE | {"[unk]"}, [SAID]), folder, monkeypatch)
    heard = vosk.transcribe(audio_of(SAID, start_ms=-40), language=Language.CHINESE, expecting=6)
    assert heard.accepted
    assert heard.digits == "480215"
    assert (heard.words[0].start_ms, heard.words[0].end_ms) == (260, 560)
    assert heard.words[-1].end_ms == 4060


def test_a_slow_reader_whose_clip_ends_in_two_utterances_is_heard_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vosk = opened(StandInVosk(CHINESE | {"[unk]"}, [SAID[:3], SAID[3:]]), folder, monkeypatch)
    assert vosk.transcribe(audio_of(SAID), language=Language.CHINESE, expecting=6).digits == "480215"


def test_the_word_list_holds_the_known_words_in_plain_characters(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = StandInVosk((CHINESE - {"〇"}) | {"[unk]"}, [SAID])
    opened(stand_in, folder, monkeypatch).transcribe(audio_of(SAID), language=Language.CHINESE, expecting=6)
    (grammar,) = stand_in.grammars
    # the library does not read escapes such as \u4e94, and drops such words
    assert "\\u" not in grammar
    assert set(json.loads(grammar)) == (CHINESE - {"〇"}) | {"[unk]"}


def test_a_quiet_voice_is_brought_up_before_it_is_heard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = StandInVosk(CHINESE | {"[unk]"}, [SAID])
    quiet = Audio(samples=sounding(SAID) * np.float32(0.02), rate_hz=RATE_HZ)
    opened(stand_in, folder, monkeypatch).transcribe(quiet, language=Language.CHINESE, expecting=6)
    fed = np.frombuffer(stand_in.fed[0], dtype="<i2")
    assert len(fed) == len(quiet.samples)
    assert np.abs(fed).max() > 3000


@pytest.mark.parametrize("expecting", [5, 7])
def test_another_number_of_digits_is_not_accepted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, expecting: int
) -> None:
    vosk = opened(StandInVosk(CHINESE | {"[unk]"}, [SAID]), folder, monkeypatch)
    heard = vosk.transcribe(audio_of(SAID), language=Language.CHINESE, expecting=expecting)
    assert not heard.accepted
    assert heard.digits == "480215"


def test_one_short_other_sound_is_forgiven_and_other_words_are_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cough = [("[unk]", 4.2, 4.4)]
    talk = [("[unk]", 4.2, 4.9)]
    heard = opened(StandInVosk(CHINESE | {"[unk]"}, [SAID + cough]), folder, monkeypatch).transcribe(
        audio_of(SAID + cough), language=Language.CHINESE, expecting=6
    )
    assert heard.accepted
    assert heard.digits == "480215"
    assert len(heard.words) == 6
    heard = opened(StandInVosk(CHINESE | {"[unk]"}, [SAID + talk]), folder, monkeypatch).transcribe(
        audio_of(SAID + talk), language=Language.CHINESE, expecting=6
    )
    assert not heard.accepted


def test_a_model_without_unknown_words_is_believed_only_one_digit_a_burst(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vosk = opened(StandInVosk(CHINESE, [SAID]), folder, monkeypatch)
    assert vosk.transcribe(audio_of(SAID), language=Language.CHINESE, expecting=6).accepted
    # running speech: the same words pressed out of one long sound
    assert not vosk.transcribe(audio_of([("", 0.3, 4.1)]), language=Language.CHINESE, expecting=6).accepted
    # a sound more, of which nothing was made
    assert not vosk.transcribe(audio_of([*SAID, ("", 4.4, 4.8)]), language=Language.CHINESE, expecting=6).accepted


def test_silence_does_not_reach_the_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = StandInVosk(CHINESE | {"[unk]"}, [SAID])
    heard = opened(stand_in, folder, monkeypatch).transcribe(audio_of([]), language=Language.CHINESE, expecting=6)
    assert not heard.accepted
    assert heard.digits == ""
    assert stand_in.fed == []


def test_a_model_that_lacks_a_digit_is_refused_and_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match="7 \\(七\\)") as caught:
        opened(StandInVosk(CHINESE - {"七"}, [SAID]), folder, monkeypatch)
    assert caught.value.code == "engine_unsuitable"


@pytest.mark.parametrize("absent", LOOKAHEAD_FILES)
def test_a_model_that_would_ignore_the_word_list_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    (folder / absent).unlink()
    with pytest.raises(EngineError, match=absent) as caught:
        opened(StandInVosk(CHINESE, [SAID]), folder, monkeypatch)
    assert caught.value.code == "engine_unsuitable"


@pytest.mark.parametrize("failure", [SystemExit(1), Exception("Failed to create a model")])
def test_a_library_that_ends_the_process_is_held(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    stand_in = StandInVosk(CHINESE | {"[unk]"}, [SAID])
    vosk = opened(stand_in, folder, monkeypatch)
    stand_in.broken = failure
    with pytest.raises(EngineError):
        vosk.transcribe(audio_of(SAID), language=Language.CHINESE, expecting=6)
    with pytest.raises(EngineError):
        opened(stand_in, folder, monkeypatch)


class StandInPartials:
    """A recogniser under way: ``says`` is (whether an utterance ended, its text) for each piece fed."""

    def __init__(self, *says: tuple[bool, str]) -> None:
        self._says = iter(says)
        self._text = ""

    def AcceptWaveform(self, pcm: bytes) -> int:
        ended, self._text = next(self._says)
        return int(ended)

    def Result(self) -> str:
        return json.dumps({"text": self._text})

    def PartialResult(self) -> str:
        return json.dumps({"partial": self._text})


def test_a_listener_counts_digits_of_ended_utterances_and_of_the_one_under_way() -> None:
    recogniser = StandInPartials((False, "四"), (False, "四 八"), (True, "四 八 [unk]"), (False, ""), (False, "零"))
    listener = VoskListener(recogniser, language=Language.CHINESE, bursts_too=False)
    assert [listener.feed(np.zeros(1600, np.float32)) for _ in range(5)] == [1, 2, 2, 2, 3]


def test_a_listener_without_unknown_words_counts_no_more_than_it_heard_sounds() -> None:
    listener = VoskListener(StandInPartials((False, "四 八 零")), language=Language.CHINESE, bursts_too=True)
    assert listener.feed(sounding(SAID[:2])) == 2


def test_a_listener_whose_library_fails_says_so() -> None:
    listener = VoskListener(StandInPartials(), language=Language.CHINESE, bursts_too=False)
    with pytest.raises(EngineError):
        listener.feed(np.zeros(1600, np.float32))


def test_nobody_listens_for_another_language(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vosk = opened(StandInVosk(CHINESE | {"[unk]"}, [SAID]), folder, monkeypatch)
    with pytest.raises(EngineError) as caught:
        vosk.listen(Language.KOREAN)
    assert caught.value.code == "engine_unsuitable"


@pytest.fixture(scope="module")
def korean(weights: Path) -> VoskDigits:
    return VoskDigits(weights / "vosk_ko", voice=SileroVoice(), language=Language.KOREAN, model_version="small-ko")


@pytest.mark.weights
def test_the_korean_model_takes_our_words(korean: VoskDigits, capfd: pytest.CaptureFixture[str]) -> None:
    at = np.arange(3 * RATE_HZ)
    swept = (0.2 * np.sin(2 * np.pi * (200 + at / 100) * at / RATE_HZ)).astype(np.float32)
    swept[at % 16_000 < 8_000] = 0.0
    korean.transcribe(Audio(samples=swept, rate_hz=RATE_HZ), language=Language.KOREAN, expecting=6)
    # the library warns on stderr about each word of the list that it does not know
    assert capfd.readouterr().err == ""
    assert korean._grammar == json.dumps([w for ws in SPOKEN[Language.KOREAN].values() for w in ws], ensure_ascii=False)


@pytest.mark.weights
def test_the_korean_model_is_refused_for_chinese(weights: Path) -> None:
    with pytest.raises(EngineError, match="does not know the 'zh' word for 0") as caught:
        VoskDigits(weights / "vosk_ko", voice=SileroVoice(), language=Language.CHINESE, model_version="small-ko")
    assert caught.value.code == "engine_unsuitable"


@pytest.mark.weights
def test_a_korean_listener_counts_nothing_in_noise(korean: VoskDigits) -> None:
    listener = korean.listen(Language.KOREAN)
    noise = np.random.default_rng(0).normal(0, 0.01, 3 * RATE_HZ).astype(np.float32)
    assert {listener.feed(piece) for piece in np.split(noise, 30)} == {0}
    # and leaves the model to others
    assert korean.transcribe(audio_of([]), language=Language.KOREAN, expecting=6).digits == ""
