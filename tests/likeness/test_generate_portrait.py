"""The local generator on real models: a person who talks, seen by the same eyes that judge recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from likeness import motion
from likeness.cost import cost_of, said_s
from likeness.double import Double
from likeness.errors import RenderError, VoiceUnavailable
from likeness.generate import Clip, Kind, RenderRequest, Speech
from likeness.generate_portrait import PortraitGenerator, lay_out
from likeness.soundtrack import Sound
from likeness.voice import Phone, SpokenText
from likeness.voice_vits import VitsVoice
from liveness.capture import Audio, RgbImage
from liveness.digits import Language
from liveness.embed_insightface import ArcFaceEmbedder
from liveness.evidence import Box, Face, FoundFace
from liveness.faces_mediapipe import MediapipeFaces
from liveness.lips import mouth_opening
from liveness.template import similarity
from tests.people import face, vector

SCRIPT = "Hello, my mother bought a big apple. Papa saw it."
LEAD_IN_MS = 600


def double(portrait: RgbImage) -> Double:
    return Double(subject_id="sub", consent_id="con", portrait=portrait, template=vector(1))


def request(*, script: str | None = SCRIPT, sound: Audio | None = None, **more: object) -> RenderRequest:
    speech = Speech(script=script, sound=sound)
    return RenderRequest(**{"content": speech, "width": 640, "height": 360, "max_seconds": 20.0} | more)  # type: ignore[arg-type]


def tone(seconds: float) -> Audio:
    """Three syllables of a voice-like sound."""
    time_s = np.arange(round(16_000 * seconds)) / 16_000
    syllables = np.sin(2 * np.pi * 1.5 / seconds * time_s) ** 2
    return Audio(
        samples=(0.4 * syllables * np.sign(np.sin(2 * np.pi * 180 * time_s))).astype(np.float32), rate_hz=16_000
    )


class Faces:
    """``FaceFinder`` that answers what it is told."""

    model_version = "told"

    def __init__(self, *faces: Face | None) -> None:
        self._faces = faces

    def find_every(self, image: RgbImage) -> tuple[FoundFace, ...]:
        return tuple(FoundFace(box=Box(x=0, y=0, width=9, height=9), face=each) for each in self._faces)


# --- without models --------------------------------------------------------------------------------------------------


def phones(*sounds: tuple[str, int]) -> tuple[Phone, ...]:
    made, at = [], 0
    for symbol, length in sounds:
        made.append(Phone(symbol=symbol, start_ms=at, end_ms=at + length, stressed=symbol in "ɑæ" and symbol != ""))
        at += length
    return tuple(made)


def mouth_at(mouth: motion.Mouth, at_ms: int) -> tuple[float, float, float]:
    return tuple(motion.sample(curve, at_ms) for curve in (mouth.jaw, mouth.wide, mouth.closed))  # type: ignore[return-value]


def test_lips_meet_for_b_m_p_and_in_pauses_and_part_for_vowels() -> None:
    said = phones(("", 200), ("ɑ", 200), ("m", 80), ("ɑ", 200), ("", 400), ("u", 200), ("i", 200), ("", 200))
    mouth = motion.mouth_from_phones(said, tone(1.68), lead_in_ms=500, total_ms=2700)
    jaw_a, _, closed_a = mouth_at(mouth, 500 + 300 - motion.LEAD_MS)
    jaw_m, _, closed_m = mouth_at(mouth, 500 + 440 - motion.LEAD_MS)
    jaw_pause, _, closed_pause = mouth_at(mouth, 500 + 880)
    assert jaw_a > 0.25
    assert closed_a < 0.1
    assert jaw_m < 0.05
    assert closed_m > 0.7
    assert jaw_pause < 0.03
    assert closed_pause > 0.95
    _, wide_u, _ = mouth_at(mouth, 500 + 1180 - motion.LEAD_MS)
    _, wide_i, _ = mouth_at(mouth, 500 + 1380 - motion.LEAD_MS)
    assert wide_u < -0.4
    assert wide_i > 0.2


@pytest.mark.parametrize("seed", range(12))
def test_heads_stay_within_bounds_and_move_smoothly(seed: int) -> None:
    head = motion.head(range(700, 20_000, 500), speaking=[(600, 20_000)], total_ms=20_600, seed=seed)
    for curve, most in ((head.yaw_deg, 8), (head.pitch_deg, 4), (head.roll_deg, 3)):
        assert np.abs(curve).max() <= most
        assert np.abs(curve).max() > 0.2 * most, "a still head is a photograph"
        per_frame = np.abs(np.diff(curve[::4]))  # 40 ms
        assert per_frame.max() < 1.5, "no jump"
        assert np.abs(np.diff(curve[::4], 2)).max() < 0.6, "no jitter"
    assert head.yaw_deg[0] == pytest.approx(0, abs=0.01)


def test_people_blink_every_few_seconds() -> None:
    for seed in range(8):
        blink = motion.head([], speaking=[(0, 60_000)], total_ms=60_000, seed=seed).blink
        shut = np.flatnonzero((blink[1:] > 0.9) & (blink[:-1] <= 0.9))
        assert 10 <= len(shut) <= 35
        assert (blink > 0.5).mean() < 0.12, "eyes are open most of the time"


def test_silence_moves_no_mouth() -> None:
    nothing = Audio(samples=np.zeros(16_000, np.float32), rate_hz=16_000)
    mouth = motion.mouth_from_sound(nothing, lead_in_ms=600, total_ms=2200)
    assert mouth.jaw.max() < 0.02
    assert mouth.closed.min() > 0.95
    assert motion.stresses_of_sound(nothing, 600) == ()


def test_one_measurable_face_is_wanted_in_the_portrait() -> None:
    portrait = np.full((480, 640, 3), 120, np.uint8)
    for found in ((), (None,), (face(), face()), (face(width=10.0),)):
        with pytest.raises(RenderError) as unfit:
            PortraitGenerator(Faces(*found)).render([double(portrait)], request(script=None, sound=tone(1)))
        assert unfit.value.code == "portrait_unfit"


def test_without_a_voice_only_sound_is_taken() -> None:
    portrait = np.full((480, 640, 3), 120, np.uint8)
    with pytest.raises(VoiceUnavailable):
        PortraitGenerator(Faces(face())).render([double(portrait)], request())


def test_sound_that_is_too_long_is_refused_with_its_seconds() -> None:
    portrait = np.full((480, 640, 3), 120, np.uint8)
    with pytest.raises(RenderError, match=r"9\.2 s, at most 5\.0 s") as long:
        PortraitGenerator(Faces(face())).render(
            [double(portrait)], request(script=None, sound=tone(8), max_seconds=5.0)
        )
    assert long.value.code == "sound_too_long"


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (1080, 1080)])
@pytest.mark.parametrize("portrait_size", [(640, 480), (480, 640), (200, 900), (1920, 1080)])
def test_the_face_is_whole_and_in_the_middle_of_any_frame(
    size: tuple[int, int], portrait_size: tuple[int, int]
) -> None:
    width, height = portrait_size
    portrait = np.full((height, width, 3), 120, np.uint8)
    side = min(width, height) * 0.4
    shown = Face(
        box=Box(x=width * 0.5 - side / 2, y=height * 0.4 - side / 2, width=side, height=side * 1.2),
        landmarks=np.zeros((478, 3), np.float32), yaw_deg=0, pitch_deg=0, roll_deg=0, jaw_open=0, lip_gap=0,
        blink_left=0, blink_right=0, points=np.zeros((5, 2), np.float32),
    )  # fmt: skip
    stage, staged = lay_out(portrait, shown, width=size[0], height=size[1])
    box = staged.box
    assert stage.shape[1] >= size[0]
    assert stage.shape[0] >= size[1]
    assert box.x > 0
    assert box.x + box.width < stage.shape[1]
    assert box.y > 0
    assert box.y + box.height < stage.shape[0]
    assert abs(box.x + box.width / 2 - stage.shape[1] / 2) < 0.2 * size[0]
    assert 0.2 * min(size) < box.height < 0.75 * min(size)


# --- with the real models --------------------------------------------------------------------------------------------


class EveryLandmarkedFace:
    """``FaceFinder`` from the landmarker alone."""

    def __init__(self, faces: MediapipeFaces) -> None:
        self._faces, self.model_version = faces, faces.model_version

    def find_every(self, image: RgbImage) -> tuple[FoundFace, ...]:
        return tuple(FoundFace(box=each.box, face=each) for each in self._faces.find(image))


@dataclass
class Studio:
    """A rendered clip, and what the models see in it."""

    faces: MediapipeFaces
    voice: VitsVoice
    portrait: RgbImage
    embedder: ArcFaceEmbedder

    @property
    def generator(self) -> PortraitGenerator:
        return PortraitGenerator(EveryLandmarkedFace(self.faces), self.voice)

    @cached_property
    def spoken(self) -> SpokenText:
        return self.voice.say(SCRIPT, language=Language.ENGLISH)

    @cached_property
    def clip(self) -> tuple[Clip, list[RgbImage]]:
        clip = self.generator.render([double(self.portrait)], request())
        return clip, list(clip.frames)

    @cached_property
    def seen(self) -> list[Face]:
        return self.look(self.clip[1])

    def look(self, frames: Sequence[RgbImage]) -> list[Face]:
        found = [self.faces.find(frame) for frame in frames]
        assert all(len(each) == 1 for each in found), "one face in every picture"
        return [each[0] for each in found]


@pytest.fixture(scope="module")
def studio(weights: Path) -> Studio:
    data = pytest.importorskip("skimage.data")
    return Studio(
        faces=MediapipeFaces(weights / "face_landmarker" / "face_landmarker.task"),
        voice=VitsVoice(weights / "voice_en", weights / "words_en", voice_version="joe"),
        portrait=np.ascontiguousarray(data.astronaut()),  # NASA, public domain
        embedder=ArcFaceEmbedder(weights / "face_embedder" / "fr_feature.onnx", "87aacdfe57510db2af90"),
    )


@pytest.mark.weights
def test_the_clip_is_as_long_as_its_words_and_a_breath(studio: Studio) -> None:
    clip, frames = studio.clip
    assert len(frames) == clip.frame_count
    assert clip.duration_ms == pytest.approx(studio.spoken.audio.duration_ms + 2 * LEAD_IN_MS, abs=45)
    assert clip.audio.duration_ms == pytest.approx(clip.duration_ms, abs=2)
    start = clip.audio.rate_hz * LEAD_IN_MS // 1000
    heard = clip.audio.mono() if isinstance(clip.audio, Sound) else clip.audio
    assert not heard.samples[: start - 100].any()
    assert np.abs(heard.samples[-start + 2500 :]).max() < 1e-3
    assert all(frame.shape == (360, 640, 3) and frame.dtype == np.uint8 for frame in frames)


@pytest.mark.weights
def test_how_long_it_will_be_is_told_about_right_before_anything_is_said(studio: Studio) -> None:
    assert said_s([SCRIPT]) == pytest.approx(studio.clip[0].duration_ms / 1000, rel=0.3)
    assert said_s([SCRIPT, SCRIPT]) > 1.6 * said_s([SCRIPT])
    one, two = (
        cost_of(Kind.PORTRAIT, film_s=5.0, size=size, people=people)
        for size, people in (((640, 360), 1), ((1280, 720), 2))
    )
    assert two.work_s > 2 * one.work_s
    assert two.memory_bytes > one.memory_bytes


@pytest.mark.weights
def test_the_mouth_says_the_words(studio: Studio) -> None:
    """Open in vowels, shut at b, m, p and in the silence around the words; measured 2026-11: 0.41, 0.05, 0.03."""
    fps, sounds = studio.clip[0].fps, studio.spoken.phones

    def openings(symbols: str, margin_ms: int) -> list[float]:
        return [
            mouth_opening(seen)
            for number, seen in enumerate(studio.seen)
            for sound in sounds
            if sound.symbol and sound.symbol in symbols
            and sound.start_ms + margin_ms <= number * 1000 / fps - LEAD_IN_MS + motion.LEAD_MS < sound.end_ms - margin_ms
        ]  # fmt: skip

    outside = [
        mouth_opening(seen)
        for number, seen in enumerate(studio.seen)
        if not -150 < number * 1000 / fps - LEAD_IN_MS < studio.spoken.audio.duration_ms + 150
    ]
    vowels, lips = float(np.median(openings("ɑaæɔʌ", 25))), float(np.median(openings("bmp", 15)))
    assert vowels > 0.2
    assert lips < 0.5 * vowels
    assert float(np.median(outside)) < 0.12
    assert float(np.median(outside)) < 0.3 * vowels


@pytest.mark.weights
def test_it_is_still_the_same_person(studio: Studio) -> None:
    """Median measured 2026-11: 0.96."""
    own = studio.embedder.embed(studio.portrait, studio.faces.find(studio.portrait)[0].points)
    frames = studio.clip[1]
    alike = [
        similarity(own, studio.embedder.embed(frames[number], studio.seen[number].points))
        for number in range(0, len(frames), 6)
    ]
    assert float(np.median(alike)) >= 0.6
    assert min(alike) >= 0.38, "never taken for somebody else"


@pytest.mark.weights
def test_the_head_moves_without_jumps_and_the_eyes_blink(studio: Studio) -> None:
    yaw = np.array([seen.yaw_deg for seen in studio.seen])
    nose = np.array([seen.points[2] for seen in studio.seen])
    assert np.ptp(yaw) > 2
    assert np.abs(yaw).max() < 14
    assert np.abs(np.diff(nose, axis=0)).max() < 0.012 * 640, "no jump between two pictures"
    blinks = np.array([max(seen.blink_left, seen.blink_right) for seen in studio.seen])
    assert blinks.max() > 0.35
    assert np.median(blinks) < 0.2


@pytest.mark.weights
def test_same_seed_same_clip_other_seed_other_movement(studio: Studio) -> None:
    few = {"width": 320, "height": 240}
    one, again, other = (
        list(studio.generator.render([double(studio.portrait)], request(script="Hello.", **few, seed=seed)).frames)
        for seed in (3, 3, 4)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.weights
def test_sound_alone_moves_the_mouth_with_it(studio: Studio) -> None:
    clip = studio.generator.render([double(studio.portrait)], request(script=None, sound=studio.spoken.audio))
    open_by = np.array([mouth_opening(seen) for seen in studio.look(list(clip.frames))])
    at_ms = np.arange(len(open_by)) * 1000 / clip.fps - LEAD_IN_MS
    speaking = (at_ms > 100) & (at_ms < studio.spoken.audio.duration_ms - 200)
    silent = (at_ms < -150) | (at_ms > studio.spoken.audio.duration_ms + 150)
    assert np.median(open_by[silent]) < 0.12
    assert np.percentile(open_by[speaking], 75) > 0.2


@pytest.mark.weights
def test_a_script_that_is_too_long_is_refused_with_its_seconds_before_anything_is_drawn(studio: Studio) -> None:
    for script in (SCRIPT, SCRIPT * 2000):
        with pytest.raises(RenderError, match=r"makes a clip of \d+\.\d s, at most 2\.0 s") as long:
            studio.generator.render([double(studio.portrait)], request(script=script, max_seconds=2.0))
        assert long.value.code == "script_too_long"
