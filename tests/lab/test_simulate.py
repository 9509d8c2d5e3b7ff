"""Recordings of simulated people, judged by the real models. Small and short: half the size, four digits, two turns."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lab.attacks import ATTACKS
from lab.errors import LabError, PortraitUnusable, VoiceMissing
from lab.person import SMALL_TURN_DEG, Performance
from lab.portrait import composed, default_picture
from lab.room import in_a_room
from lab.simulate import faces_of, simulate
from liveness.capture import Capture
from liveness.challenge import Challenge, Direction, Nod, SayDigits, Step, Turn, asked
from liveness.checks import SIMULATOR_MARK, level_dbfs
from liveness.decode import decode
from liveness.digits import Language
from liveness.evidence import FaceTrack
from liveness.examine import Engines, Examination, examine
from liveness.lips import mouth_opening
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
    "flat_print": Reason.TURN_MISSING,
    "bent_print": Reason.MOUTH_NOT_MOVING,
    "cutout_mouth": Reason.TURN_MISSING,
    "still_with_voice": Reason.MOUTH_NOT_MOVING,
    "earlier_recording": Reason.WRONG_DIGITS,
    "swap_in_turn": Reason.PERSON_CHANGED,
    "second_person": Reason.SECOND_FACE,
    "prompted": Reason.DIGITS_NOT_HEARD,
}
"""Why each attack is refused; those that are not here are measured in the report, and this file only films them."""


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
        fast=attack is not None,
    )


def read(out: Path) -> Capture:
    return decode(out.read_bytes(), policy=SIMULATED)


@pytest.fixture(scope="module")
def engines(weights: Path) -> Engines:
    from liveness.detect_onnx import RfbDetector
    from liveness.embed_insightface import ArcFaceEmbedder
    from liveness.faces_mediapipe import MediapipeFaces
    from liveness.speech_whisper import WhisperDigits
    from liveness.spoof_onnx import SpoofOnnx

    def file(card_id: str) -> Path:
        model = card(card_id)
        return open_weights(model, weights) / model.only_file.path

    whisper = card("whisper_tiny_en")
    faces = MediapipeFaces(file("face_landmarker"))
    return Engines(
        tracker=faces,
        landmarks=faces,
        detector=RfbDetector(file("face_detector"), card("face_detector").sha256),
        embedder=ArcFaceEmbedder(file("face_embedder"), card("face_embedder").sha256),
        spoof=SpoofOnnx(file("spoof"), card("spoof").sha256),
        recognisers={
            Language.ENGLISH: (
                WhisperDigits(open_weights(whisper, weights), voice=SileroVoice(), model_version=whisper.model_version),
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
    # the file also names the library that wrote it, as editors' files do
    assert {Reason.SIMULATED_CAPTURE} <= set(verdict.reasons) <= {Reason.SIMULATED_CAPTURE, Reason.EDITED_RECORDING}


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
@pytest.mark.parametrize("attack", list(REFUSED_FOR))
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
        simulate(out, digits="3", seed=seed, weights=weights, size=SIZE, fast=True)
        takes.append(read(out))
    one, same, other = takes
    assert one.sha256 == same.sha256
    assert apart(one, other) > 1  # grey levels


def apart(one: Capture, other: Capture) -> float:
    """Mean difference of two takes' first pictures, grey levels."""
    pairs = zip(one.frames[:8], other.frames[:8], strict=True)
    return float(np.mean([np.abs(a.image.astype(int) - b.image.astype(int)).mean() for a, b in pairs]))


@pytest.mark.weights
@pytest.mark.parametrize("attack", [name for name in ATTACKS if name not in REFUSED_FOR])
def test_every_other_attack_is_filmed_too(attack: str, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "take.mp4"
    steps: tuple[Step, ...] = (SayDigits(digits="48"), Turn(direction=Direction.LEFT))
    simulate(out, steps=steps, attack=attack, weights=weights, size=SIZE, fps=15, fast=True)
    capture = read(out)
    assert 4_000 < capture.facts.duration_ms < 8_000
    assert capture.facts.longest_gap_ms <= SIMULATED.max_frame_gap.value
    assert capture.audio is not None
    assert level_dbfs(capture.audio) > SIMULATED.min_sound_level.value


@pytest.mark.weights
def test_a_take_has_the_unsteady_clock_of_a_phone_and_an_injected_one_has_not(weights: Path, tmp_path: Path) -> None:
    intervals = {}
    for attack in (None, "render_injection"):
        out = tmp_path / f"{attack}.mp4"
        film(out, weights, attack, digits="3")
        facts = read(out).facts
        intervals[attack] = facts.frame_intervals_ms
        assert (SIMULATOR_MARK in facts.writing_app) == (attack is None)
    assert len(set(intervals[None])) >= 4
    assert len(set(intervals["render_injection"])) <= 2  # 33 and 34: whole milliseconds


@pytest.mark.weights
def test_steps_are_done_in_the_order_of_the_challenge_by_the_person_named(
    weights: Path, engines: Engines, tmp_path: Path
) -> None:
    out = tmp_path / "take.mp4"
    steps: tuple[Step, ...] = (
        SayDigits(digits="48"),
        Turn(direction=Direction.RIGHT),
        Nod(times=2),
        SayDigits(digits="21"),
    )
    performance = simulate(
        out,
        steps=steps,
        person="p01",
        seed=2,
        weights=weights,
        size=SIZE,
        fps=20,
        turn_deg=SMALL_TURN_DEG,
        fast=True,
    )
    assert tuple(done.step for done in performance.steps) == steps
    capture = read(out)
    assert capture.facts.source_fps == pytest.approx(20, abs=0.3)
    seen = {s.at_ms: s.faces[0] for s in engines.tracker.track(capture).sightings if s.faces}
    front = [face for at_ms, face in seen.items() if at_ms < performance.steps[0].start_ms]
    yaw = float(np.median([face.yaw_deg for face in front]))
    pitch = float(np.median([face.pitch_deg for face in front]))
    turn = performance.turns[0]
    held = [face.yaw_deg - yaw for at_ms, face in seen.items() if turn.reached_ms <= at_ms < turn.left_ms]
    assert float(np.median(held)) == pytest.approx(-turn.yaw_deg, abs=5)
    for nod in performance.nods:
        low = [face.pitch_deg - pitch for at_ms, face in seen.items() if abs(at_ms - nod.lowest_ms) < 60]
        assert max(low) > 8
    assert capture.audio is not None
    recogniser = engines.recognisers[Language.ENGLISH][0]
    assert recogniser.transcribe(capture.audio, language=Language.ENGLISH, expecting=4).digits == "4821"


@pytest.mark.weights
def test_a_film_serves_as_a_portrait_by_its_most_frontal_picture(weights: Path, tmp_path: Path) -> None:
    film(tmp_path / "first.mp4", weights, digits="3")
    out = tmp_path / "second.mp4"
    simulate(out, digits="3", portrait=tmp_path / "first.mp4", weights=weights, size=SIZE, fast=True)
    landmarks, _ = faces_of(weights)
    face = landmarks.find(read(out).frames[5].image)[0]
    assert abs(face.yaw_deg) < 6


def test_an_unknown_person_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="p00") as caught:
        simulate(tmp_path / "take.mp4", digits="3", person="nobody", weights=tmp_path)
    assert caught.value.code == "unknown_person"


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
