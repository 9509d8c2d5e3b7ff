"""What models may tell us about a capture, and the Protocols that tell it.

Everything here is a value in pixels, degrees or milliseconds. No verdict is made here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from liveness.capture import Audio, Capture, Frame, MediaFacts, RgbImage
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
    """A template taken at one moment, from a face found anew in that single picture. ``phase``: see ``checks.phases_of``."""

    at_ms: int
    phase: str
    template: FaceTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoofScore:
    """Probability of the class *live* that a passive model gives one frame, 0..1."""

    at_ms: int
    live_probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallax:
    """How far a turn's picture is from a flat sheet's, measured on pixels, without the landmark net's idea of a face.

    turn : which performed turn, from 0. yaw_change_deg : between the two ends of what was followed.
    residual : median distance, over the distance between the eyes, that the followed points keep from the best homography:
    0 for a plane. sheet : upper quartile of the distance from the best sheet bent one way; 0 for paper, flat or bent.
    points : how many were followed to the end.
    """

    turn: int
    yaw_change_deg: float
    residual: float
    sheet: float
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One frame looked at on its own (no tracking), to tell a glide over a swap from one and the same face.

    faces : how many faces were found in it, by landmarks and by a detector of another make. apart : distance of its eyes'
    middle from the tracked face's, over the distance between the eyes; ``None`` when either shows no face.
    """

    at_ms: int
    faces: int
    apart: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSigns:
    """What the pixels say about the camera and what stood in front of it. ``None``: could not be measured.

    brightness : median luma of the face, 0..255, over the take.
    sharpness : median over frames of the face's detail, see ``picture.sharpness``.
    worst_cut : largest jump between neighbouring frames over what is usual in this take, ``take.worst_cut``.
    repeated : share of frames that repeat their neighbour, exactly or up to coding noise. longest_frozen_ms : longest run of
    these.
    loop_ms : length of the longest stretch that was shown before in this take, or 0.
    noise : temporal noise of still parts, grey levels (a sensor has some; a renderer has none).
    moire : strength of periodic patterns of a screen in the face's surroundings, ``screen.moire``.
    border : how much a frame-like rectangle moves with the face, 0..1. flicker : strength of rolling bands of a refresh.
    """

    brightness: float | None
    sharpness: float | None
    worst_cut: float | None
    repeated: float | None
    longest_frozen_ms: int | None
    loop_ms: int | None
    noise: float | None
    moire: float | None
    border: float | None
    flicker: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundSigns:
    """What the sound says about the room it was recorded in. ``None``: could not be measured.

    hop_ms, loudness_dbfs : energy over time (``segments.loudness``), a reading every ``hop_ms`` from ``start_ms`` on.
    floor_jump_db : largest step of the noise floor from one side of a word to the other.
    digital_silence : share of the take that is exactly silent: no microphone is.
    """

    start_ms: int
    hop_ms: int
    loudness_dbfs: tuple[float, ...] = field(repr=False)
    floor_jump_db: float | None
    digital_silence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceMatch:
    """How well the mouth in the picture fits the voice, see ``lips.voice_match``.

    lag_ms : how late the sound is where they fit best. fit : the best correlation, -1..1, at a lag that recorders have;
    fit_elsewhere : the best at any other. A voice of another take fits elsewhere as well or better.
    """

    lag_ms: int
    fit: float
    fit_elsewhere: float

    @property
    def lead(self) -> float:
        """How much better the mouth fits the voice at the right time than at any wrong one."""
        return self.fit - self.fit_elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """A perceptual hash of a take: alike for copies of one recording (re-encoded, re-timed, cropped), unlike for two takes of
    one person in one room. Holds neither a face nor a voice. ``words``: see ``fingerprint``."""

    words: tuple[int, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCue:
    """When a cue of a live session could first be seen, on the capture's clock. ``step``: index into the challenge's steps."""

    step: int
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTiming:
    """What the server's clock says about a live session; nothing of it comes from the client.

    clock_ratio : the recording's own seconds per second in which it arrived; 1 for what is recorded as it is sent.
    """

    cues: tuple[ShownCue, ...]
    clock_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that the checks may look at. ``None`` or empty means it was not measured, and so cannot pass.

    mirrored : the client says its pictures are mirrored; left and right are swapped accordingly.
    sound_level_dbfs : level of the loudest windows (``checks.level_dbfs``); ``None`` without sound.
    transcript : of the first recogniser; word times are its. second_opinion : of another, where there are two.
    earlier_distance : of the fingerprint to the nearest earlier capture's; ``None`` when there is none to compare with.
    timing : of a live session; ``None`` when the recording was handed in whole.
    """

    facts: MediaFacts
    mirrored: bool
    sound_level_dbfs: float | None
    track: FaceTrack | None
    transcript: Transcript | None
    templates: tuple[PhaseTemplate, ...]
    spoof: tuple[SpoofScore, ...]
    second_opinion: Transcript | None = None
    recognisers: int = 1
    parallax: tuple[Parallax, ...] = ()
    looks: tuple[Look, ...] = ()
    picture: PictureSigns | None = None
    sound: SoundSigns | None = None
    voice_match: VoiceMatch | None = None
    fingerprint: Fingerprint | None = None
    earlier_distance: float | None = None
    timing: LiveTiming | None = None


class FaceTracker(Protocol):
    """Finds the faces of a capture frame by frame, with its tracking state kept inside that one call."""

    model_version: str

    def track(self, capture: Capture) -> FaceTrack: ...

    def follow(self, frames: Iterable[Frame]) -> Iterator[Sighting]:
        """As ``track``, frame by frame: one is asked for, one sighting given."""
        ...


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


class Listener(Protocol):
    """Counts spoken digits while they come in, to guide a person through a live session. Decides nothing.

    One listener hears one session; not for several threads at once.
    """

    def feed(self, samples: NDArray[np.float32]) -> int:
        """The next samples (``(n,) float32``, 16 kHz) in; out, how many digits seem to have been said since the start.

        Provisional: the number may fall again, when what was taken for a digit turns out to be noise.
        Raises EngineError when the model fails.
        """
        ...


class SpoofScorer(Protocol):
    """Passive presentation-attack score of one face in one picture."""

    model_version: str

    def score(self, image: RgbImage, box: Box) -> float: ...
