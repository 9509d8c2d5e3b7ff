"""The examination as a whole, on real models: one recording, one answer, however it is read and whoever reads it."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from api.engines import open_examining
from api.examiner import HandedIn
from api.judge_process import JudgeProcess
from api.settings import Settings
from likeness.mesh import PortraitMesh, Pose
from liveness import model_onnx
from liveness.capture import Capture, Frame, RgbImage
from liveness.challenge import Challenge, asked
from liveness.decode import decode
from liveness.digits import Language
from liveness.errors import EngineError, MediaError
from liveness.evidence import Face, FaceTrack, Sighting
from liveness.examine import Engines, Examination, examine, examine_recording, verdict_json
from liveness.policy import SIMULATED, STRICT
from liveness.verdict import Outcome, Verdict
from tests.people import NOW

pytestmark = pytest.mark.weights

FPS = 20
SIZE = (360, 480)


def challenge() -> Challenge:
    return asked("48", "left", language=Language.ENGLISH, policy=SIMULATED, now=NOW)


@pytest.fixture(scope="module")
def settings(weights: Path) -> Settings:
    return Settings(weights=weights)


@pytest.fixture(scope="module")
def engines(settings: Settings) -> Engines:
    return open_examining(settings, languages=(Language.ENGLISH,))[0]


@pytest.fixture(scope="module")
def take(engines: Engines) -> bytes:
    """A portrait that looks ahead, turns to its left, comes back, and hums in bursts: 6 s, h264 and aac."""
    import cv2
    from skimage.data import astronaut

    picture = np.ascontiguousarray(
        cv2.resize(astronaut()[:300, 110:335], SIZE, interpolation=cv2.INTER_CUBIC), np.uint8
    )
    (face,) = engines.landmarks.find(picture)
    mesh = PortraitMesh(picture, face)
    noise = np.random.default_rng(5)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        sound = out.add_stream("aac", rate=16_000)
        sound.layout = "mono"
        for number in range(6 * FPS):
            turn = 30 * min(1.0, max(0.0, 2 - abs(number / FPS - 3.75) * 1.6))
            shown = mesh.render(Pose(yaw_deg=turn, jaw_open=0.3 * (number % 10 < 4)))
            grainy = np.clip(shown + noise.normal(0, 2, shown.shape), 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(grainy, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        times = np.arange(6 * 16_000) / 16_000
        hum = np.sin(2 * math.pi * 150 * times) + 0.5 * np.sin(2 * math.pi * 700 * times)
        loud = (0.2 * hum * (times % 1 < 0.4) + noise.normal(0, 0.003, len(times))).astype(np.float32)
        for start in range(0, len(loud), 1024):
            chunk = av.AudioFrame.from_ndarray(loud[None, start : start + 1024], format="flt", layout="mono")
            chunk.sample_rate, chunk.pts, chunk.time_base = 16_000, start, Fraction(1, 16_000)
            out.mux(sound.encode(chunk))
        out.mux(sound.encode(None))
    return file.getvalue()


def recorded(take: bytes, engines: Engines) -> Examination:
    return examine_recording(take, challenge(), policy=SIMULATED, engines=engines, mirrored=False, now=NOW)


@pytest.fixture(scope="module")
def examined(take: bytes, engines: Engines) -> Examination:
    return recorded(take, engines)


def answer(verdict: Verdict) -> str:
    """What auditors read, without the times."""
    found = verdict_json(verdict)
    return json.dumps({key: value for key, value in found.items() if key not in ("timing_ms", "judged_at")})


def numbers(examination: Examination) -> list[object]:
    """Everything measured, in full precision."""
    evidence = examination.evidence
    assert evidence.track is not None
    return [
        *[(s.at_ms, [face_numbers(face) for face in s.faces]) for s in evidence.track.sightings],
        *[(taken.phase, taken.at_ms, taken.template.vector.tobytes()) for taken in evidence.templates],
        *[repr(part) for part in (evidence.spoof, evidence.looks, evidence.parallax, evidence.picture)],
        *[repr(part) for part in (evidence.sound_level_dbfs, evidence.facts, evidence.facts.frame_intervals_ms)],
        evidence.sound and (repr(evidence.sound), evidence.sound.loudness_dbfs),
        evidence.fingerprint and evidence.fingerprint.words,
        evidence.transcript and (evidence.transcript.digits, [(w.text, w.start_ms) for w in evidence.transcript.words]),
    ]


def face_numbers(face: Face) -> tuple[object, ...]:
    return face.landmarks.tobytes(), face.yaw_deg, face.pitch_deg, face.jaw_open, face.lip_gap, face.blink_left


def test_the_examination_measures_everything(examined: Examination) -> None:
    """Otherwise the tests below compare nothings."""
    evidence = examined.evidence
    assert evidence.track is not None
    assert all(len(sighting.faces) == 1 for sighting in evidence.track.sightings)
    assert {"start", "return_1"} <= {taken.phase for taken in evidence.templates}
    assert {"turn_1_out", "turn_1_back"} & {taken.phase for taken in evidence.templates}
    assert len(evidence.looks) >= len(evidence.templates)
    assert all(look.apart is not None and look.apart < 0.35 for look in evidence.looks)
    assert evidence.spoof
    assert evidence.parallax
    assert evidence.sound is not None
    assert evidence.transcript is not None
    measured = {result.name for result in examined.verdict.results if result.value is not None}
    assert len(measured) >= 12


def test_reading_as_it_decodes_gives_what_reading_it_whole_gives(
    take: bytes, engines: Engines, examined: Examination
) -> None:
    whole = examine(
        decode(take, policy=SIMULATED), challenge(), policy=SIMULATED, engines=engines, mirrored=False, now=NOW
    )
    assert numbers(whole) == numbers(examined)
    assert answer(whole.verdict) == answer(examined.verdict)


def test_the_same_recording_gives_the_same_answer(take: bytes, engines: Engines, examined: Examination) -> None:
    again = recorded(take, engines)
    assert numbers(again) == numbers(examined)
    assert answer(again.verdict) == answer(examined.verdict)


def test_threads_change_nothing(
    take: bytes, settings: Settings, examined: Examination, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    usual = cv2.getNumThreads()
    monkeypatch.setattr(model_onnx, "_THREADS", 1)
    cv2.setNumThreads(1)
    try:
        alone, _ = open_examining(settings, languages=(Language.ENGLISH,))
        found = recorded(take, alone)
    finally:
        cv2.setNumThreads(usual)
    assert numbers(found) == numbers(examined)
    assert answer(found.verdict) == answer(examined.verdict)


def test_another_process_gives_the_same_answer(take: bytes, settings: Settings, examined: Examination) -> None:
    with JudgeProcess(settings) as judge:
        found = judge.examine(HandedIn(data=take, challenge=challenge(), policy=SIMULATED, mirrored=False, now=NOW))
    assert answer(found.verdict) == answer(examined.verdict)


def test_a_policy_for_more_time_reaches_the_decoder(take: bytes, engines: Engines) -> None:
    """Who asked for twice the time may record twice as long."""
    short = replace(SIMULATED, max_duration=replace(SIMULATED.max_duration, value=4_000))

    def attempt(extra_time: bool) -> None:
        patient = replace(challenge(), extra_time=extra_time)
        examine_recording(take, patient, policy=short, engines=engines, mirrored=False, now=NOW)

    with pytest.raises(MediaError):
        attempt(extra_time=False)
    attempt(extra_time=True)


class Blind:
    """Sees nobody, and fails at the frame it is told to."""

    model_version = "blind"

    def __init__(self, fails_at: int | None = None) -> None:
        self._fails_at = fails_at

    def follow(self, frames: Iterable[Frame]) -> Iterator[Sighting]:
        for number, frame in enumerate(frames):
            if number == self._fails_at:
                raise EngineError("made to fail")
            yield Sighting(at_ms=frame.at_ms, faces=())

    def track(self, capture: Capture) -> FaceTrack:
        first = capture.frames[0]
        return FaceTrack(sightings=tuple(self.follow(capture.frames)), width=first.width, height=first.height)

    def find(self, image: RgbImage) -> tuple[Face, ...]:
        return ()


def test_nobody_in_the_picture_is_an_answer(take: bytes, engines: Engines) -> None:
    blind = replace(engines, tracker=Blind(), landmarks=Blind(), recognisers={})
    found = examine_recording(take, challenge(), policy=STRICT, engines=blind, mirrored=False, now=NOW)
    assert not found.live
    assert found.portraits == ()
    assert not found.evidence.templates
    assert Outcome.CANNOT_JUDGE in {result.outcome for result in found.verdict.results}


@pytest.mark.parametrize("fails_at", [0, 1, 40])
def test_a_model_that_fails_in_the_middle_is_no_verdict(take: bytes, engines: Engines, fails_at: int) -> None:
    failing = replace(engines, tracker=Blind(fails_at), recognisers={})
    with pytest.raises(EngineError, match="made to fail"):
        recorded(take, failing)


@pytest.mark.parametrize("kept", [0.5, 0.97])
def test_a_recording_that_breaks_off_is_a_media_error(take: bytes, engines: Engines, kept: float) -> None:
    with pytest.raises(MediaError):
        recorded(take[: int(kept * len(take))], engines)
