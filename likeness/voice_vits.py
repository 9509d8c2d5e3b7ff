"""English speech with a Piper voice (VITS, arXiv:2106.06103) on ONNX Runtime alone.

Piper itself and the eSpeak it needs are GPL, so the service does not use them: words become sounds in
:mod:`likeness.pronunciation`, and the voice's graph is run here. Two things are done to the graph in memory (the file on disk
stays what its card says):

- how long each sound lasts, which the model decides inside, becomes an output: mouth and words then keep exact time;
- its two sources of chance become inputs, so that the same text and seed always give the same sound.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likeness.errors import RenderError, VoiceUnavailable
from likeness.pronunciation import EnglishPronunciation
from likeness.reading import Said, read
from likeness.voice import Phone, SpokenText
from liveness.capture import Audio
from liveness.digits import Language
from liveness.evidence import Word

MODEL = "en_US-joe-medium.onnx"
SETTINGS = "en_US-joe-medium.onnx.json"

_HOP = 256  # samples a step of the duration predictor stands for: the product of the vocoder's upsampling rates
_CHANNELS = 192  # of the acoustic noise; Piper's medium quality
_MOST_STEPS = 60 * 22_050 // _HOP  # one sentence: a minute of sound
_MOST_SYMBOLS = 2_000  # one sentence; what is longer is split at a comma or between words
_LONG_WORDS = 40  # a sentence of more words is split, so that one breath stays within bounds
_PAUSE_MS = 220  # between sentences
_FADE = 128  # samples that an end of a sentence takes to fall silent
_MS_A_SOUND = 73  # measured: this voice, 20 sentences; single sentences differ by up to a quarter
_START, _END, _PAD = "^", "$", "_"
_STRESSES = {"ˈ": True, "ˌ": False}
_LENGTH_MARKS = "ːˑ"
_LOUDEST = 0.85


@dataclass(frozen=True, slots=True)
class _Symbol:
    """One symbol of the voice's alphabet in a sentence. word: index into the sentence, ``None`` between words."""

    text: str
    word: int | None
    stressed: bool = False


class VitsVoice:
    """``SpeechSynthesiser`` for English. One session a process; calls may come from several threads."""

    languages: tuple[Language, ...] = (Language.ENGLISH,)

    def __init__(self, folder: Path, words: Path, *, voice_version: str, seed: int = 0, threads: int = 2) -> None:
        """``folder``: the voice card's files; ``words``: those of the card of English words.

        Raises:
            VoiceUnavailable: when either does not load.
        """
        self.voice_version = voice_version
        self._seed = seed
        self._pronunciation = EnglishPronunciation(words)
        try:
            settings = json.loads((folder / SETTINGS).read_text("utf-8"))
            self._ids: dict[str, int] = {symbol: ids[0] for symbol, ids in settings["phoneme_id_map"].items()}
            self._rate = int(settings["audio"]["sample_rate"])
            scales = settings["inference"]
            self._scales = np.array([scales["noise_scale"], scales["length_scale"], scales["noise_w"]], np.float32)
            self._session = _open(folder / MODEL, threads)
        except Exception as error:  # onnx and onnxruntime raise several unrelated types
            raise VoiceUnavailable(f"voice does not load ({type(error).__name__})") from error

    def say(self, text: str, *, language: Language) -> SpokenText:
        """See :class:`likeness.voice.SpeechSynthesiser`."""
        sentences = self._sentences(text, language)
        pause = np.zeros(self._rate * _PAUSE_MS // 1000, np.float32)
        pieces: list[NDArray[np.float32]] = []
        words: list[Word] = []
        phones: list[Phone] = []
        at = 0
        for number, sentence in enumerate(sentences):
            if number:
                phones.append(Phone(symbol="", start_ms=self._ms(at), end_ms=self._ms(at + len(pause))))
                pieces.append(pause)
                at += len(pause)
            symbols = self._symbols(sentence)
            sound, steps = self._run(symbols, number)
            edges = at + np.concatenate([[0], np.cumsum(steps)]) * _HOP
            words += self._words(sentence, symbols, edges)
            phones += self._phones(symbols, edges)
            pieces.append(sound)
            at += len(sound)
        samples = np.concatenate(pieces)
        samples *= _LOUDEST / max(float(np.abs(samples).max()), 1e-3)
        return SpokenText(audio=Audio(samples=samples, rate_hz=self._rate), words=tuple(words), phones=tuple(phones))

    def estimate_ms(self, text: str, *, language: Language) -> int:
        """See :class:`likeness.voice.SpeechSynthesiser`; within a quarter on single sentences."""
        sentences = self._sentences(text, language)
        sounds = sum(1 for s in sentences for symbol in self._symbols(s) if symbol.text not in "ˈˌː ")
        return sounds * _MS_A_SOUND + (len(sentences) - 1) * _PAUSE_MS

    def _sentences(self, text: str, language: Language) -> list[tuple[Said, ...]]:
        if language not in self.languages:
            raise VoiceUnavailable(f"no voice for {language}; this one speaks {', '.join(self.languages)}")
        sentences = [part for sentence in read(text) for part in _split(sentence)]
        if not sentences:
            raise RenderError("the script has no words that can be said", code="script_unspeakable")
        return sentences

    def _symbols(self, sentence: tuple[Said, ...]) -> list[_Symbol]:
        """The sentence in the voice's alphabet. Unknown symbols are left out."""
        sounds = iter(self._pronunciation.sounds([word for said in sentence for word in said.spoken]))
        made: list[_Symbol] = []
        for index, said in enumerate(sentence):
            for place in range(len(said.spoken)):
                if made:
                    made.append(_Symbol(" ", index if place else None))
                stressed = False
                for letter in next(sounds):
                    stressed = _STRESSES.get(letter, stressed)
                    made.append(_Symbol(letter, index, stressed))
                    if letter in "aɑæɐəɚɛeɜiɪoɔuʊʌᵻ" and len(made) > 1 and made[-2].text not in _STRESSES:
                        stressed = False  # stress is of one syllable: it ends with the vowel (or the second of two)
            if said.mark:
                made.append(_Symbol(said.mark, None))
        return [symbol for symbol in made if symbol.text in self._ids]

    def _run(self, symbols: list[_Symbol], number: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Sound of one sentence and, for each symbol and for the start and end around them, its steps of `_HOP` samples."""
        if len(symbols) > _MOST_SYMBOLS:
            raise RenderError(f"a sentence has {len(symbols)} sounds, at most {_MOST_SYMBOLS}", code="script_too_long")
        ids = [self._ids[_START]]
        for symbol in symbols:
            ids += [self._ids[_PAD], self._ids[symbol.text]]
        ids += [self._ids[_PAD], self._ids[_END]]
        chance = np.random.default_rng((self._seed, number, len(ids)))
        given = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": self._scales,
            "chance_of_length": chance.standard_normal((1, 2, len(ids)), np.float32),
            "chance_of_sound": chance.standard_normal((1, _CHANNELS, _MOST_STEPS), np.float32),
        }
        try:
            sound, steps = self._session.run(None, given)
        except Exception as error:  # onnxruntime raises several unrelated types
            raise RenderError("the voice failed", code="voice_failed") from error
        samples = np.asarray(sound, np.float32).reshape(-1)
        if not np.isfinite(samples).all():
            raise RenderError("the voice gave no finite sound", code="voice_failed")
        fade = min(_FADE, len(samples))
        samples[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        each = np.asarray(steps).reshape(-1).astype(np.int64)
        # each symbol with the pad before it; the start mark alone, the end mark with its pad
        paired = np.concatenate([each[:1], each[1:].reshape(-1, 2).sum(axis=1)])
        return samples, paired

    def _words(self, sentence: tuple[Said, ...], symbols: list[_Symbol], edges: NDArray[np.int64]) -> list[Word]:
        made = []
        for index, said in enumerate(sentence):
            own = [place for place, symbol in enumerate(symbols, start=1) if symbol.word == index]
            if own:
                start, end = int(edges[own[0]]), int(edges[own[-1] + 1])
                made.append(Word(text=said.written, start_ms=self._ms(start), end_ms=self._ms(end)))
        return made

    def _phones(self, symbols: list[_Symbol], edges: NDArray[np.int64]) -> list[Phone]:
        """Sounds with their times. A mark of length belongs to the sound before, a mark of stress to the one after;
        a space between words is no pause: its time goes to the sound before."""
        made = [Phone(symbol="", start_ms=self._ms(int(edges[0])), end_ms=self._ms(int(edges[1])))]
        for place, symbol in enumerate(symbols, start=1):
            start, end = made[-1].end_ms, self._ms(int(edges[place + 1]))
            if symbol.text in _LENGTH_MARKS or symbol.text == " ":
                last = made.pop()
                made.append(Phone(symbol=last.symbol, start_ms=last.start_ms, end_ms=end, stressed=last.stressed))
            elif symbol.text not in _STRESSES:  # the time of a stress mark goes to the sound after it
                spoken = symbol.text if symbol.text.isalpha() else ""
                made.append(Phone(symbol=spoken, start_ms=start, end_ms=end, stressed=symbol.stressed))
        made.append(Phone(symbol="", start_ms=made[-1].end_ms, end_ms=self._ms(int(edges[-1]))))
        return made

    def _ms(self, sample: int) -> int:
        return round(1000 * sample / self._rate)


def _split(sentence: tuple[Said, ...]) -> list[tuple[Said, ...]]:
    """A long sentence in parts of at most `_LONG_WORDS`, broken after a comma where there is one."""
    parts: list[tuple[Said, ...]] = []
    rest = sentence
    while sum(len(said.spoken) for said in rest) > _LONG_WORDS and len(rest) > 1:
        count, most = 0, 1
        for most, said in enumerate(rest):  # noqa: B007 - most is read after the loop
            count += len(said.spoken)
            if count > _LONG_WORDS:
                break
        most = max(most, 1)
        commas = [place + 1 for place, said in enumerate(rest[:most]) if said.mark]
        cut = commas[-1] if commas and commas[-1] > most // 3 else most
        parts.append(rest[:cut])
        rest = rest[cut:]
    return [*parts, rest]


def _open(model_file: Path, threads: int) -> Any:
    """The voice as a session whose outputs are sound and lengths, and whose chance is an input (module docstring)."""
    import onnx
    import onnxruntime

    model = onnx.load(str(model_file))
    graph = model.graph
    lengths = [node.output[0] for node in graph.node if node.op_type == "Ceil"]
    random = [node for node in graph.node if node.op_type == "RandomNormalLike"]
    if len(lengths) != 1 or len(random) != 2 or random[0].name != "/dp/RandomNormalLike":
        raise ValueError("not the graph of a Piper voice")
    for node, name in zip(random, ("chance_of_length", "chance_of_sound"), strict=True):
        like, drawn = node.input[0], node.output[0]
        place = list(graph.node).index(node)
        graph.node.remove(node)
        floats, sizes = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
        graph.input.append(onnx.helper.make_tensor_value_info(name, floats, [1, None, None]))
        zeros, three = (onnx.helper.make_tensor(f"{name}_{what}", sizes, [3], value) for what, value in
                        (("from", [0, 0, 0]), ("axes", [0, 1, 2])))  # fmt: skip
        graph.initializer.extend([zeros, three])
        graph.node.insert(place, onnx.helper.make_node("Shape", [like], [f"{name}_shape"]))
        graph.node.insert(
            place + 1, onnx.helper.make_node("Slice", [name, zeros.name, f"{name}_shape", three.name], [drawn])
        )
    graph.output.append(onnx.ValueInfoProto(name=lengths[0]))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
