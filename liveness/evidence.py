"""What models may tell us about a capture, and the Protocols that tell it.

Everything here is a value in pixels, degrees or milliseconds. No verdict is made here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from liveness.capture import Audio, Capture, MediaFacts, RgbImage
from liveness.digits import Language
from liveness.template import FaceTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Axis-aligned box in pixels of the picture it was found in, ``x, y`` at its top left."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Face:
    """One face in one picture.

    landmarks : ``(478, 3) float32``: x, y in pixels, z in pixels of the same scale (smaller is nearer).
    yaw_deg : positive when the nose points to the right edge of the picture: in an unmirrored picture the person's own
        left. pitch_deg : positive looks down. roll_deg : positive is counter-clockwise in the picture.
    jaw_open, blink_left, blink_right : blendshapes, 0..1, sides are the subject's.
    lip_gap : inner lip distance over the distance between the eyes.
    points : ``(5, 2) float32`` pixels: right eye, left eye (subject's; in an unmirrored picture the first is the one
        nearer the left edge), nose tip, mouth corner on the first eye's side, the other corner. The order ArcFace
        alignment wants.
    """

    box: Box
    landmarks: NDArray[np.float32] = field(repr=False)
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    jaw_open: float
    lip_gap: float
    blink_left: float
    blink_right: float
    points: NDArray[np.float32] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundFace:
    """A face somewhere in a picture. ``face`` is ``None`` when a face is there but could not be measured (too small, too
    dark, turned away): who asks about every face must not take that for nobody."""

    box: Box
    face: Face | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """The faces seen in the frame at ``at_ms``, largest first; empty when none."""

    at_ms: int
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceTrack:
    """One sighting for each frame of a capture, in order. ``width`` and ``height`` are those of the judged frames, px."""

    sightings: tuple[Sighting, ...]
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A recognised word with its time on the capture's clock (``Frame.at_ms``). ``text`` is a digit, or what was heard."""

    text: str = field(repr=False)
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What a recogniser heard.

    digits : the digits in order, 0-9 only.
    words : one a digit, in order, with times; words that are no digit are left out of both.
    accepted : the recogniser's own guards hold (there was speech, and it was digits rather than noise or other words).
        What was not accepted did not pass, whatever ``digits`` says.
    """

    digits: str = field(repr=False)
    words: tuple[Word, ...]
    engine: str
    model_version: str
    language: Language
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTemplate:
    """A template taken at one moment. ``phase``: ``start``, ``digits``, ``return_1`` ..., ``end``."""

    at_ms: int
    phase: str
    template: FaceTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoofScore:
    """Probability of the class *live* that a passive model gives one frame, 0..1."""

    at_ms: int
    live_probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that the checks may look at. ``None`` or empty means it was not measured, and so cannot pass.

    mirrored : the client says its pictures are mirrored; left and right are swapped accordingly.
    sound_level_dbfs : level of the loudest windows (``checks.level_dbfs``); ``None`` without sound.
    """

    facts: MediaFacts
    mirrored: bool
    sound_level_dbfs: float | None
    track: FaceTrack | None
    transcript: Transcript | None
    templates: tuple[PhaseTemplate, ...]
    spoof: tuple[SpoofScore, ...]


class FaceTracker(Protocol):
    """Finds the faces of a capture frame by frame, with its tracking state kept inside that one call."""

    model_version: str

    def track(self, capture: Capture) -> FaceTrack: ...


class FaceDetector(Protocol):
    """Finds where faces are, without measuring them."""

    model_version: str

    def boxes(self, image: RgbImage) -> tuple[Box, ...]: ...


class FaceLandmarks(Protocol):
    """Measures the faces it finds in a single picture, largest first. Misses small ones: see ``FaceFinder``."""

    model_version: str

    def find(self, image: RgbImage) -> tuple[Face, ...]: ...


class FaceFinder(Protocol):
    """Finds every face in a single picture, small and turned ones too, largest first."""

    model_version: str

    def find_every(self, image: RgbImage) -> tuple[FoundFace, ...]: ...


class FaceEmbedder(Protocol):
    """Makes a template of a face from its picture and five points (see ``Face.points``)."""

    contract_id: str
    model_version: str

    def embed(self, image: RgbImage, points: NDArray[np.float32]) -> FaceTemplate: ...


class SpeechRecogniser(Protocol):
    """Hears digits. ``expecting`` is how many digits to expect, never which: a recogniser that knows the answer hears it."""

    engine: str
    model_version: str
    languages: tuple[Language, ...]

    def transcribe(self, audio: Audio, *, language: Language, expecting: int | None) -> Transcript: ...


class SpoofScorer(Protocol):
    """Passive presentation-attack score of one face in one picture."""

    model_version: str

    def score(self, image: RgbImage, box: Box) -> float: ...
