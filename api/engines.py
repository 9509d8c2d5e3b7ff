"""Names to adapters: one ``match`` a Protocol, with the import inside, so that only what is used is loaded.

Every file is checked against its card before a model is made of it, every model is made once a process and warmed up, and
:class:`Bounded` lets so many jobs use them at once. A request never builds a model; nothing here downloads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from api.settings import Settings
from liveness.digits import Language
from liveness.errors import WeightsError
from liveness.evidence import FaceEmbedder, FaceFinder, SpeechRecogniser, SpoofScorer
from liveness.examine import Engines
from liveness.segments import VoiceDetector
from liveness.weights import ModelCard, Role, card, licences, open_weights, read_cards

if TYPE_CHECKING:
    from likeness.generate import Generator
    from likeness.voice import SpeechSynthesiser

WHISPER, VOSK = "whisper", "vosk"
GENERATORS = ("portrait",)
"""Local backends, by the name that consents and tokens give them."""


class Bounded:
    """So many at a time; the others wait their turn."""

    def __init__(self, at_once: int) -> None:
        self._places = threading.BoundedSemaphore(at_once)

    @contextmanager
    def place(self) -> Iterator[None]:
        with self._places:
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceEngines:
    """What the API process needs: every face of handed-in media, and which languages can be heard by the worker."""

    finder: FaceFinder
    embedder: FaceEmbedder
    languages: frozenset[Language]
    bound: Bounded


def all_cards(settings: Settings) -> tuple[ModelCard, ...]:
    """Every card of ours and of the operator's own file."""
    return read_cards("liveness", "likeness", own=settings.model_cards)


def open_face_engines(settings: Settings) -> FaceEngines:
    """Raises: WeightsError, EngineError."""
    finder, embedder = open_faces(settings)
    languages = frozenset(language for language in Language if _recogniser_card(settings, language) is not None)
    return FaceEngines(finder=finder, embedder=embedder, languages=languages, bound=Bounded(2))


def open_faces(settings: Settings) -> tuple[FaceFinder, FaceEmbedder]:
    """Finder and embedder of single pictures. Raises: WeightsError, EngineError."""
    from liveness.detect_onnx import RfbDetector
    from liveness.faces_mediapipe import MediapipeFaces
    from liveness.find import EveryFace

    detector_file, detector_card = _only_file(settings, "face_detector")
    landmarks_file, _ = _only_file(settings, "face_landmarker")
    finder = EveryFace(RfbDetector(detector_file, detector_card.sha256), MediapipeFaces(landmarks_file))
    return finder, open_embedder(settings)


def open_embedder(settings: Settings, name: str = "face_embedder") -> FaceEmbedder:
    """Raises: WeightsError, EngineError."""
    file, its_card = _only_file(settings, name)
    match its_card.role:
        case Role.FACE_EMBEDDING:
            from liveness.embed_insightface import ArcFaceEmbedder

            embedder = ArcFaceEmbedder(file, its_card.sha256, mean=its_card.input.mean, std=its_card.input.std)
        case _:
            raise WeightsError(f"{name} is no face embedder", code="weights_unknown")
    grid = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]], np.float32)
    embedder.embed(np.full((112, 112, 3), 127, np.uint8), grid)
    return embedder


def open_liveness(settings: Settings, *, languages: Sequence[Language] = tuple(Language)) -> Engines:
    """Everything that judges a recording, for those of ``languages`` whose recogniser is installed.

    Raises: WeightsError, EngineError.
    """
    from liveness.faces_mediapipe import MediapipeFaces

    landmarks_file, _ = _only_file(settings, "face_landmarker")
    recognisers = {}
    for language in languages:
        if _recogniser_card(settings, language) is not None:
            recognisers[language] = open_recogniser(settings, language=language)
    return Engines(
        tracker=MediapipeFaces(landmarks_file),
        embedder=open_embedder(settings),
        spoof=open_spoof(settings),
        recognisers=recognisers,
    )


def open_spoof(settings: Settings) -> SpoofScorer:
    """Raises: WeightsError, EngineError."""
    from liveness.spoof_onnx import SpoofOnnx

    file, its_card = _only_file(settings, "spoof")
    return SpoofOnnx(file, its_card.sha256)


def open_recogniser(settings: Settings, *, language: Language, engine: str | None = None) -> SpeechRecogniser:
    """The recogniser of a language: Vosk where its weights are there, else Whisper for English; or the one named.

    Raises: WeightsError, EngineError.
    """
    its_card = _recogniser_card(settings, language, engine)
    if its_card is None:
        named = f" with {engine}" if engine else ""
        raise WeightsError(
            f"no weights to recognise {language.value}{named}; run: mien weights fetch", code="weights_missing"
        )
    folder = _folder(settings, its_card)
    match its_card.id.partition("_")[0]:
        case "vosk":
            from liveness.speech_vosk import VoskDigits

            return VoskDigits(
                folder, voice=open_voice_detector(), language=language, model_version=its_card.model_version
            )
        case "whisper":
            from liveness.speech_whisper import WhisperDigits

            return WhisperDigits(folder, voice=open_voice_detector(), model_version=its_card.model_version)
        case other:
            raise WeightsError(f"no recogniser takes the weights {other}", code="weights_unknown")


def open_generators(settings: Settings, faces: FaceEngines) -> dict[str, Generator]:
    """Every local generator. Raises: WeightsError, EngineError, LikenessError."""
    return {name: open_generator(settings, name, faces) for name in GENERATORS}


def open_generator(settings: Settings, name: str, faces: FaceEngines) -> Generator:
    """Raises: WeightsError, EngineError, LikenessError."""
    match name:
        case "portrait":
            from likeness.generate_portrait import PortraitGenerator

            return PortraitGenerator(faces.finder, open_voice(settings))
        case _:
            raise WeightsError(f"there is no local backend {name}", code="weights_unknown")


def open_voice_detector() -> VoiceDetector:
    """What tells a voice from a knock; its weights are a file of the faster-whisper distribution. Raises: EngineError."""
    from liveness.voice_silero import SileroVoice

    return SileroVoice()


def open_voice(settings: Settings) -> SpeechSynthesiser | None:
    """The voice that says scripts; ``None`` when it is not installed (clips are then made from sound only).

    Raises: WeightsError, LikenessError.
    """
    installed = {each.id: each for each in all_cards(settings) if (settings.weights / each.id).is_dir()}
    if not {"voice_en", "words_en"} <= set(installed):
        return None
    from likeness.voice_vits import VitsVoice

    voice, words = installed["voice_en"], installed["words_en"]
    return VitsVoice(_folder(settings, voice), _folder(settings, words), voice_version=voice.model_version)


def _recogniser_card(settings: Settings, language: Language, engine: str | None = None) -> ModelCard | None:
    """The installed speech card of that language, Vosk before Whisper."""
    for prefix in (VOSK, WHISPER):
        for each in all_cards(settings):
            speaks = each.role is Role.SPEECH and each.language == language
            wanted = each.id.startswith(prefix) and engine in (None, prefix)
            if speaks and wanted and (settings.weights / each.id).is_dir():
                return each
    return None


def licence_line(settings: Settings) -> str:
    """Which licences the installed models run under."""
    return licences(each for each in all_cards(settings) if (settings.weights / each.id).is_dir())


def _only_file(settings: Settings, name: str) -> tuple[Path, ModelCard]:
    its_card = card(name, all_cards(settings))
    return _folder(settings, its_card) / its_card.only_file.path, its_card


def _folder(settings: Settings, its_card: ModelCard) -> Path:
    return open_weights(its_card, settings.weights, accept_noncommercial=settings.accept_noncommercial)
