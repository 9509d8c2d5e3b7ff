"""Recordings of simulated people, judged by the real models. Small and short: half the size, four digits, two turns."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lab.attacks import ATTACKS
from lab.errors import LabError, PortraitUnusable, VoiceMissing
from lab.person import Performance
from lab.portrait import composed, default_picture
from lab.simulate import in_a_room, simulate
from liveness.capture import Capture
from liveness.challenge import Challenge, asked
from liveness.checks import SIMULATOR_MARK, level_dbfs, mouth_opening
from liveness.decode import decode
from liveness.digits import Language
from liveness.evidence import FaceTrack
from liveness.examine import Engines, Examination, examine
from liveness.policy import SIMULATED, STRICT, LivenessPolicy
from liveness.reasons import Reason
from liveness.turns import yaw_over_time
from liveness.verdict import Live, NotLive
from liveness.voice_silero import SileroVoice
from liveness.weights import card, open_weights

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DIGITS, TURNS = "4821", "left,right"
SIZE = (360, 640)

REFUSED_FOR = {
    "photo": Reason.MOUTH_NOT_MOVING,
    "wrong_digits": Reason.WRONG_DIGITS,
    "no_turns": Reason.TURN_MISSING,
    "replay": Reason.WRONG_TURN,
    "swap": Reason.PERSON_CHANGED,
    "silent": Reason.NO_SOUND,
}


def challenge() -> Challenge:
    return asked(DIGITS, TURNS, language=Language.ENGLISH, policy=SIMULATED, now=NOW)


def film(out: Path, weights: Path, attack: str | None = None, seed: int = 1, digits: str = DIGITS) -> Performance:
    return simulate(
        out,
        digits=digits,
        turns=challenge().turns if digits == DIGITS else (),
        language=Language.ENGLISH,
        portrait=None,
        attack=attack,
        seed=seed,
        weights=weights,
        size=SIZE,
    )


def read(out: Path) -> Capture:
    return decode(out.read_bytes(), policy=SIMULATED)


@pytest.fixture(scope="module")
def engines(weights: Path) -> Engines:
    from liveness.embed_insightface import ArcFaceEmbedder
    from liveness.faces_mediapipe import MediapipeFaces
    from liveness.speech_whisper import WhisperDigits
    from liveness.spoof_onnx import SpoofOnnx

    def file(card_id: str) -> Path:
        model = card(card_id)
        return open_weights(model, weights) / model.only_file.path

    whisper = card("whisper_tiny_en")
    return Engines(
        tracker=MediapipeFaces(file("face_landmarker")),
        embedder=ArcFaceEmbedder(file("face_embedder"), card("face_embedder").sha256),
        spoof=SpoofOnnx(file("spoof"), card("spoof").sha256),
        recognisers={
            Language.ENGLISH: WhisperDigits(
                open_weights(whisper, weights), voice=SileroVoice(), model_version=whisper.model_version
            )
        },
    )


def judged(capture: Capture, engines: Engines, policy: LivenessPolicy = SIMULATED) -> Examination:
    return examine(capture, challenge(), policy=policy, engines=engines, mirrored=False, now=NOW)


@pytest.fixture(scope="module")
def honest(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Capture, Performance]:
    out = tmp_path_factory.mktemp("honest") / "take.mp4"
    performance = film(out, weights)
    return read(out), performance


@pytest.fixture(scope="module")
def examined(honest: tuple[Capture, Performance], engines: Engines) -> Examination:
    return judged(honest[0], engines)


def track_of(examination: Examination) -> FaceTrack:
    assert examination.evidence.track is not None
    return examination.evidence.track


@pytest.mark.weights
def test_a_person_who_does_as_asked_is_live_and_worth_no_more_than_simulated(examined: Examination) -> None:
    assert isinstance(examined.verdict, Live), [r.code for r in examined.verdict.results if r.code]
    assert examined.verdict.assurance is SIMULATED.assurance


@pytest.mark.weights
def test_the_file_says_what_made_it_and_strict_refuses_it(
    honest: tuple[Capture, Performance], engines: Engines
) -> None:
    facts = honest[0].facts
    assert SIMULATOR_MARK in facts.writing_app
    assert (facts.width, facts.height) == SIZE
    assert facts.source_fps == pytest.approx(30, abs=0.2)
    verdict = judged(honest[0], engines, STRICT).verdict
    assert isinstance(verdict, NotLive)
    assert verdict.reasons == (Reason.SIMULATED_CAPTURE,)


@pytest.mark.weights
def test_the_tracker_sees_each_turn_as_performed(honest: tuple[Capture, Performance], examined: Examination) -> None:
    yaw = yaw_over_time(track_of(examined), mirrored=False)
    for turn, side in zip(honest[1].turns, (1, -1), strict=True):
        held = [side * degrees for at_ms, degrees in yaw if turn.reached_ms <= at_ms < turn.left_ms]
        assert len(held) >= 6
        assert float(np.median(held)) == pytest.approx(turn.yaw_deg, abs=5)


@pytest.mark.weights
def test_the_mouth_moves_in_words_and_rests_between(honest: tuple[Capture, Performance], examined: Examination) -> None:
    seen = [(s.at_ms, mouth_opening(s.faces[0])) for s in track_of(examined).sightings if s.faces]
    words = honest[1].words
    in_words = [max(m for at_ms, m in seen if w.start_ms <= at_ms < w.end_ms) for w in words]
    between = [
        min(m for at_ms, m in seen if before.end_ms <= at_ms <= after.start_ms) for before, after in pairwise(words)
    ]
    assert min(in_words) > max(between) + SIMULATED.mouth_range.value


@pytest.mark.weights
@pytest.mark.parametrize("attack", list(ATTACKS))
def test_each_attack_is_refused_for_what_it_is(attack: str, weights: Path, engines: Engines, tmp_path: Path) -> None:
    out = tmp_path / "take.mp4"
    film(out, weights, attack)
    examination = judged(read(out), engines)
    verdict = examination.verdict
    assert isinstance(verdict, NotLive)
    assert REFUSED_FOR[attack] in verdict.reasons
    if attack == "photo":
        yaw = [degrees for _, degrees in yaw_over_time(track_of(examination), mirrored=False)]
        assert max(yaw) - min(yaw) < SIMULATED.baseline_yaw.value


@pytest.mark.weights
def test_the_same_seed_gives_the_same_take_and_another_one_another(weights: Path, tmp_path: Path) -> None:
    takes = []
    for number, seed in enumerate((7, 7, 8)):
        out = tmp_path / f"{number}.mp4"
        film(out, weights, seed=seed, digits="3")
        takes.append(read(out))
    one, same, other = takes
    assert len(one.frames) == len(same.frames)
    assert apart(one, same) < 0.5  # grey levels: x264 itself does not write the same bytes twice
    assert apart(one, other) > 4 * apart(one, same)


def apart(one: Capture, other: Capture) -> float:
    """Mean difference of two takes' first pictures, grey levels."""
    pairs = zip(one.frames[:8], other.frames[:8], strict=True)
    return float(np.mean([np.abs(a.image.astype(int) - b.image.astype(int)).mean() for a, b in pairs]))


def test_a_language_without_a_voice_is_said_so_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(VoiceMissing, match="speak: en"):
        simulate(
            tmp_path / "take.mp4",
            digits=DIGITS,
            turns=(),
            language=Language.KOREAN,
            portrait=None,
            attack=None,
            seed=1,
            weights=tmp_path,
        )


@pytest.mark.weights
@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_a_portrait_that_shows_nobody_is_refused(content: bytes | None, weights: Path, tmp_path: Path) -> None:
    picture = tmp_path / "portrait.png"
    if content is None:
        import cv2

        cv2.imwrite(str(picture), np.full((300, 300, 3), 127, np.uint8))
    else:
        picture.write_bytes(content)
    with pytest.raises(PortraitUnusable) as caught:
        simulate(
            tmp_path / "take.mp4",
            digits=DIGITS,
            turns=(),
            language=Language.ENGLISH,
            portrait=picture,
            attack=None,
            seed=1,
            weights=weights,
        )
    assert isinstance(caught.value, LabError)
    assert not (tmp_path / "take.mp4").exists()


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"take\.mp4") as caught:
        film(tmp_path / "nowhere" / "take.mp4", tmp_path)
    assert caught.value.code == "out_folder_missing"


@pytest.mark.weights
@pytest.mark.parametrize("size", [(720, 1280), (1280, 720)])
def test_the_face_is_where_a_phone_has_it_held_either_way(size: tuple[int, int], weights: Path) -> None:
    from liveness.detect_onnx import RfbDetector
    from liveness.faces_mediapipe import MediapipeFaces
    from liveness.find import EveryFace

    model = card("face_detector")
    marks = MediapipeFaces(open_weights(card("face_landmarker"), weights) / card("face_landmarker").only_file.path)
    finder = EveryFace(RfbDetector(open_weights(model, weights) / model.only_file.path, model.sha256), marks)
    portrait = composed(default_picture(), landmarks=marks, finder=finder, size=size)
    box = portrait.face.box
    assert portrait.image.shape == (size[1], size[0], 3)
    assert SIMULATED.min_face_width.value < box.width / size[0] < 0.5
    assert 0.05 * size[1] < box.y < box.y + box.height < 0.8 * size[1]


def test_the_room_is_never_silent_and_never_clips() -> None:
    voice = np.zeros(32_000, np.float32)
    voice[8_000:16_000] = 0.9 * np.sin(np.arange(8_000) * 0.3)
    heard = in_a_room(voice, 16_000, np.random.default_rng(1))
    assert -25 < level_dbfs(heard) < -5
    assert np.abs(heard.samples).max() < 1
    assert float(np.abs(heard.samples[:4_000]).mean()) > 1e-4
