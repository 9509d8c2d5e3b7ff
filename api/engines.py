"""Names to adapters: one ``match`` a Protocol, with the import inside, so that only what is used is loaded.

Every file is checked against its card before a model is made of it, every model is made once a process and warmed up, and
:class:`Bounded` lets so many jobs use them at once. A request never builds a model; nothing here downloads.

Two kinds are made when first needed instead, their files checked at the start like the others: recognisers in the process
that judges (a language's model takes up to 0.5 GB, and few services hear all languages all the time; :class:`Shelf`), and what
clips are made with in a worker (0.5 GB that a worker without orders need not hold).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from api.settings import Settings
from likeness.backends import cards
from likeness.errors import RemoteError
from liveness.capture import Audio
from liveness.digits import Language
from liveness.errors import WeightsError
from liveness.evidence import FaceEmbedder, FaceFinder, Listener, SpeechRecogniser, SpoofScorer, Transcript
from liveness.examine import Engines
from liveness.guide import FaceStreams
from liveness.segments import VoiceDetector
from liveness.weights import ModelCard, Role, card, licences, open_weights, read_cards

if TYPE_CHECKING:
    from likeness.generate import Generator
    from likeness.in_process import Maker
    from likeness.remote import Account, RemoteBackend
    from likeness.voice import SpeechSynthesiser

WHISPER, VOSK = "whisper", "vosk"
GENERATORS = ("portrait", "story", "cameo")
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
    """What the API process needs: every face of handed-in media, and which languages can be heard by the worker.

    streams, listen : what guides a person through a live session; without the first there are none, without the second bursts
    of sound are counted.
    """

    finder: FaceFinder
    embedder: FaceEmbedder
    languages: frozenset[Language]
    bound: Bounded
    streams: FaceStreams | None = None
    listen: Callable[[Language], Listener] | None = None


def all_cards(settings: Settings) -> tuple[ModelCard, ...]:
    """Every card of ours and of the operator's own file."""
    return read_cards("liveness", "likeness", own=settings.model_cards)


def open_face_engines(settings: Settings, *, when_needed: bool = False) -> FaceEngines:
    """``when_needed``: files are checked now and models made at the first use, for a worker that may never make a clip.

    Raises: WeightsError, EngineError.
    """
    if when_needed:
        for name in ("face_detector", "face_landmarker", "face_embedder"):
            _only_file(settings, name)
        faces = cache(lambda: open_faces(settings))
        finder = cast("FaceFinder", WhenNeeded(lambda: faces()[0]))
        embedder = cast("FaceEmbedder", WhenNeeded(lambda: faces()[1]))
    else:
        finder, embedder = open_faces(settings)
    languages = frozenset(language for language in Language if _recogniser_card(settings, language) is not None)
    return FaceEngines(
        finder=finder, embedder=embedder, languages=languages, bound=Bounded(2), streams=open_streams(settings)
    )


def open_streams(settings: Settings) -> FaceStreams:
    """Landmarks of recordings that are still being made. Raises: WeightsError."""
    from liveness.faces_mediapipe import MediapipeStreams

    file, _ = _only_file(settings, "face_landmarker")
    return MediapipeStreams(file)


class WhenNeeded:
    """Stands in the place of a model until it is first used; from then on everything goes to the model, made once."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: object | None = None

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._make()
        return getattr(self._made, name)


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
    return open_examining(settings, languages=languages)[0]


def open_examining(
    settings: Settings, *, languages: Sequence[Language] = tuple(Language)
) -> tuple[Engines, FaceFinder]:
    """As :func:`open_liveness`, and a finder for portraits that shares its models.

    Raises: WeightsError, EngineError.
    """
    from liveness.detect_onnx import RfbDetector
    from liveness.faces_mediapipe import MediapipeFaces
    from liveness.find import EveryFace

    landmarks_file, _ = _only_file(settings, "face_landmarker")
    detector_file, detector_card = _only_file(settings, "face_detector")
    faces = MediapipeFaces(landmarks_file)
    detector = RfbDetector(detector_file, detector_card.sha256)
    shelf = Shelf(SPEECH_ROOM)
    heard = {language: _recogniser_cards(settings, language) for language in languages}
    engines = Engines(
        tracker=faces,
        landmarks=faces,
        detector=detector,
        embedder=open_embedder(settings),
        spoof=open_spoof(settings),
        recognisers={
            language: tuple(_on_demand(settings, language, its_card, shelf) for its_card in cards)
            for language, cards in heard.items()
            if cards
        },
    )
    return engines, EveryFace(detector, faces)


SPEECH_ROOM = 300_000_000
"""Bytes of model files that recognisers may have loaded at once: any one language, not English beside Korean. In memory a
model takes one to two times its files."""


class Shelf:
    """Models loaded when first needed. Before one more passes ``room`` bytes of model files, those that were used the longest
    ago are let go; the one needed is always loaded."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._loaded: dict[str, tuple[int, SpeechRecogniser]] = {}  # the one used last is last

    def take(self, name: str, size: int, load: Callable[[], SpeechRecogniser]) -> SpeechRecogniser:
        """The model of that name. Who holds on to it keeps it in memory."""
        with self._lock:
            found = self._loaded.pop(name, None)
            if found is None:
                while self._loaded and size + sum(each for each, _ in self._loaded.values()) > self._room:
                    self._loaded.pop(next(iter(self._loaded)))
                found = size, load()
            self._loaded[name] = found
            return found[1]

    def loaded(self) -> tuple[str, ...]:
        """Names, the one used last last."""
        with self._lock:
            return tuple(self._loaded)


@dataclass(slots=True, kw_only=True, eq=False)
class OnDemand:
    """``SpeechRecogniser`` that is loaded when something is to be heard."""

    engine: str
    model_version: str
    languages: tuple[Language, ...]
    size: int
    load: Callable[[], SpeechRecogniser] = field(repr=False)
    shelf: Shelf = field(repr=False)

    def transcribe(self, audio: Audio, *, language: Language, expecting: int | None) -> Transcript:
        """Raises: WeightsError, EngineError."""
        recogniser = self.shelf.take(self.model_version, self.size, self.load)
        return recogniser.transcribe(audio, language=language, expecting=expecting)


def _on_demand(settings: Settings, language: Language, its_card: ModelCard, shelf: Shelf) -> OnDemand:
    _folder(settings, its_card)  # what is missing or altered is said now
    engine = its_card.id.partition("_")[0]
    return OnDemand(
        engine=engine,
        model_version=its_card.model_version,
        languages=(language,),
        size=its_card.bytes,
        load=partial(open_recogniser, settings, language=language, engine=engine),
        shelf=shelf,
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

            # one thread: a second one spins while it waits, on the core that follows the face meanwhile
            return WhisperDigits(
                folder, voice=open_voice_detector(), model_version=its_card.model_version, cpu_threads=1
            )
        case other:
            raise WeightsError(f"no recogniser takes the weights {other}", code="weights_unknown")


def generators_when_needed(settings: Settings, faces: FaceEngines) -> dict[str, Generator]:
    """Every local generator, its files checked now and its models made for its first clip. Raises: WeightsError."""
    for its_card in (*(_voice_cards(settings) or ()), *_font_cards(settings)):
        _folder(settings, its_card)
    return {name: cast("Generator", WhenNeeded(partial(open_generator, settings, name, faces))) for name in GENERATORS}


def open_generator(settings: Settings, name: str, faces: FaceEngines) -> Generator:
    """Raises: WeightsError, EngineError, LikenessError."""
    match name:
        case "portrait":
            from likeness.generate_portrait import PortraitGenerator

            return PortraitGenerator(faces.finder, open_voice(settings), faces.embedder)
        case "story":
            from likeness.generate_story import StoryGenerator

            return StoryGenerator(faces.finder, faces.embedder, fonts=(*settings.caption_fonts, *_fonts(settings)))
        case "cameo":
            from likeness.generate_cameo import CameoGenerator
            from liveness.faces_mediapipe import MediapipeFaces

            file, _ = _only_file(settings, "face_landmarker")
            return CameoGenerator(faces.finder, MediapipeFaces(file))
        case _:
            raise WeightsError(f"there is no local backend {name}", code="weights_unknown")


def _fonts(settings: Settings) -> tuple[Path, ...]:
    """The installed fonts for captions, checked against their cards; the operator's own go first. Raises: WeightsError."""
    return tuple(_folder(settings, each) / each.only_file.path for each in _font_cards(settings))


def _font_cards(settings: Settings) -> tuple[ModelCard, ...]:
    found = (each for each in all_cards(settings) if each.role is Role.FONT)
    return tuple(each for each in found if (settings.weights / each.id).is_dir())


def open_voice_detector() -> VoiceDetector:
    """What tells a voice from a knock; its weights are a file of the faster-whisper distribution. Raises: EngineError."""
    from liveness.voice_silero import SileroVoice

    return SileroVoice()


def open_voice(settings: Settings) -> SpeechSynthesiser | None:
    """The voice that says scripts; ``None`` when it is not installed (clips are then made from sound only).

    Raises: WeightsError, LikenessError.
    """
    cards = _voice_cards(settings)
    if cards is None:
        return None
    from likeness.voice_vits import VitsVoice

    voice, words = cards
    return VitsVoice(_folder(settings, voice), _folder(settings, words), voice_version=voice.model_version)


def _voice_cards(settings: Settings) -> tuple[ModelCard, ModelCard] | None:
    """The installed voice and its dictionary."""
    installed = {each.id: each for each in all_cards(settings) if (settings.weights / each.id).is_dir()}
    if not {"voice_en", "words_en"} <= set(installed):
        return None
    return installed["voice_en"], installed["words_en"]


def _recogniser_card(settings: Settings, language: Language, engine: str | None = None) -> ModelCard | None:
    """The installed speech card of that language, Vosk before Whisper; or that of the engine named."""
    cards = _recogniser_cards(settings, language)
    return next((each for each in cards if engine in (None, each.id.partition("_")[0])), None)


def _recogniser_cards(settings: Settings, language: Language) -> tuple[ModelCard, ...]:
    """The installed speech cards of that language, one of each engine, Vosk before Whisper."""
    found: dict[str, ModelCard] = {}
    for each in all_cards(settings):
        speaks = each.role is Role.SPEECH and each.language == language
        if speaks and (settings.weights / each.id).is_dir():
            found.setdefault(each.id.partition("_")[0], each)
    return tuple(found[engine] for engine in (VOSK, WHISPER) if engine in found)


def licence_line(settings: Settings) -> str:
    """Which licences the installed models run under."""
    return licences(each for each in all_cards(settings) if (settings.weights / each.id).is_dir())


def _only_file(settings: Settings, name: str) -> tuple[Path, ModelCard]:
    its_card = card(name, all_cards(settings))
    return _folder(settings, its_card) / its_card.only_file.path, its_card


def _folder(settings: Settings, its_card: ModelCard) -> Path:
    return open_weights(its_card, settings.weights, accept_noncommercial=settings.accept_noncommercial)


def maker_class(name: str) -> type[Maker]:
    """What makes the clips of a backend on this machine. Its libraries are not imported yet."""
    match name:
        case "diffusers":
            from likeness.make_diffusers import Diffusers

            return Diffusers
        case "liveportrait":
            from likeness.make_liveportrait import LivePortrait

            return LivePortrait
        case _:
            raise WeightsError(f"there is no local backend {name}", code="weights_unknown")


def open_remote(name: str, account: Account) -> RemoteBackend:
    """The adapter that a card names. Raises: RemoteError."""
    found = cards().get(name)
    if found is None:
        raise RemoteError(f"there is no backend {name}", code="backend_unknown")
    match found.adapter:
        case "seedance":
            from likeness.remote_seedance import Backend as Seedance

            return Seedance(found, account)
        case "fal":
            from likeness.remote_fal import Backend as Fal

            return Fal(found, account)
        case "comfyui":
            from likeness.remote_comfyui import Backend as Comfyui

            return Comfyui(found, account)
        case "jimeng":
            from likeness.remote_jimeng import Backend as Jimeng

            return Jimeng(found, account)
        case "kling":
            from likeness.remote_kling import Backend as Kling

            return Kling(found, account)
        case "kling_legacy":
            from likeness.remote_kling_legacy import Backend as KlingLegacy

            return KlingLegacy(found, account)
        case "luma":
            from likeness.remote_luma import Backend as Luma

            return Luma(found, account)
        case "luma_legacy":
            from likeness.remote_luma_legacy import Backend as LumaLegacy

            return LumaLegacy(found, account)
        case "replicate":
            from likeness.remote_replicate import Backend as Replicate

            return Replicate(found, account)
        case "runway":
            from likeness.remote_runway import Backend as Runway

            return Runway(found, account)
        case "vidu":
            from likeness.remote_vidu import Backend as Vidu

            return Vidu(found, account)
        case "higgsfield":
            from likeness.remote_higgsfield import Backend as Higgsfield

            return Higgsfield(found, account)
        case "omni":
            from likeness.remote_omni import Backend as Omni

            return Omni(found, account)
        case "pixverse":
            from likeness.remote_pixverse import Backend as Pixverse

            return Pixverse(found, account)
        case "tencent":
            from likeness.remote_tencent import Backend as Tencent

            return Tencent(found, account)
        case "tencent_vod":
            from likeness.remote_tencent_vod import Backend as TencentVod

            return TencentVod(found, account)
        case "veo":
            from likeness.remote_veo import Backend as Veo

            return Veo(found, account)
        case "wan":
            from likeness.remote_wan import Backend as Wan

            return Wan(found, account)
        case _:
            from likeness.remote_none import Backend as Nothing

            return Nothing(found, account)
