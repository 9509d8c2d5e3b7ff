"""The face models, on the public-domain portrait that scikit-image ships and the group picture that InsightFace ships."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import insightface
import numpy as np
import pytest
from skimage import data

from liveness.capture import Capture, Frame, RgbImage
from liveness.detect_onnx import RfbDetector
from liveness.embed_insightface import ArcFaceEmbedder
from liveness.errors import ContractMismatch, EngineError
from liveness.faces_mediapipe import MediapipeFaces
from liveness.find import EveryFace
from liveness.policy import STRICT
from liveness.spoof_onnx import SpoofOnnx
from liveness.template import similarity, template
from tests.people import facts

pytestmark = pytest.mark.weights

_YAW_MARGIN_DEG = 3.0


@pytest.fixture(scope="module")
def faces(weights: Path) -> MediapipeFaces:
    return MediapipeFaces(weights / "face_landmarker" / "face_landmarker.task")


@pytest.fixture(scope="module")
def finder(weights: Path, faces: MediapipeFaces) -> EveryFace:
    return EveryFace(RfbDetector(weights / "face_detector" / "fr_detect.onnx", "0" * 64), faces)


@pytest.fixture(scope="module")
def embedder(weights: Path) -> ArcFaceEmbedder:
    return ArcFaceEmbedder(weights / "face_embedder" / "fr_feature.onnx", "87aacdfe57510db2")


@pytest.fixture(scope="module")
def portrait() -> RgbImage:
    return np.ascontiguousarray(data.astronaut())


@pytest.fixture(scope="module")
def group() -> RgbImage:
    picture = cv2.imread(str(Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"))
    return np.ascontiguousarray(picture[..., ::-1])


def test_a_frontal_portrait_reads_frontal(faces: MediapipeFaces, portrait: RgbImage) -> None:
    (face,) = faces.find(portrait)
    assert abs(face.yaw_deg) < _YAW_MARGIN_DEG
    assert 80 < face.box.width < 110
    assert face.points.shape == (5, 2)
    assert face.points[0, 0] < face.points[1, 0], "the subject's right eye is nearer the left edge"


def test_mirroring_turns_yaw_around(finder: EveryFace, group: RgbImage) -> None:
    straight = sorted(one.face.yaw_deg for one in finder.find_every(group) if one.face)
    mirrored = sorted(-one.face.yaw_deg for one in finder.find_every(np.ascontiguousarray(group[:, ::-1])) if one.face)
    assert len(straight) == len(mirrored) == 6
    assert max(straight) - min(straight) > 5, "the picture shows heads turned differently"
    assert np.allclose(straight, mirrored, atol=5)


def test_a_view_with_odd_strides_reads_the_same_as_its_copy(faces: MediapipeFaces, portrait: RgbImage) -> None:
    """MediaPipe reads strided arrays as garbage without a word; ours must not."""
    view = np.repeat(portrait, 2, axis=1)[:, ::2]
    assert not view.flags.c_contiguous
    (from_view,), (from_copy,) = faces.find(view), faces.find(portrait)
    assert np.allclose(from_view.landmarks, from_copy.landmarks)


def test_wrong_pixels_are_an_error_and_no_empty_answer(faces: MediapipeFaces) -> None:
    with pytest.raises(EngineError):
        faces.find(np.zeros((64, 64), np.uint8))


def test_each_capture_is_tracked_from_scratch(faces: MediapipeFaces, portrait: RgbImage) -> None:
    """Times may start over: VIDEO mode refuses times that go back, so state must not leak between captures."""
    blank = np.zeros_like(portrait)

    def capture(*pictures: RgbImage) -> Capture:
        frames = tuple(Frame(at_ms=66 * i, image=picture) for i, picture in enumerate(pictures))
        return Capture(sha256="", frames=frames, audio=None, facts=facts())

    first = faces.track(capture(portrait, portrait, portrait))
    second = faces.track(capture(blank, blank))
    assert [len(s.faces) for s in first.sightings] == [1, 1, 1]
    assert [len(s.faces) for s in second.sightings] == [0, 0]


def test_every_face_of_a_group_is_found(finder: EveryFace, group: RgbImage) -> None:
    found = finder.find_every(group)
    assert len(found) == 6
    assert all(one.face is not None for one in found)


@pytest.mark.parametrize("zoom", [0.5, 0.35])
def test_small_faces_are_found_too(finder: EveryFace, group: RgbImage, zoom: float) -> None:
    small = np.asarray(cv2.resize(group, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA), np.uint8)
    room = np.full((1440, 2560, 3), 128, np.uint8)
    room[700 : 700 + small.shape[0], 900 : 900 + small.shape[1]] = small
    assert len(finder.find_every(room)) >= 5


def test_no_face_is_found_where_there_is_none(finder: EveryFace) -> None:
    assert finder.find_every(np.asarray(data.coffee(), np.uint8)) == ()


def others(group: RgbImage, finder: EveryFace) -> Iterator[tuple[RgbImage, np.ndarray]]:
    for one in finder.find_every(group):
        assert one.face is not None
        yield group, one.face.points


def test_different_people_do_not_match_and_one_person_does(
    finder: EveryFace, embedder: ArcFaceEmbedder, group: RgbImage, portrait: RgbImage
) -> None:
    templates = [embedder.embed(image, points) for image, points in others(group, finder)]
    limit = STRICT.same_person.value
    assert all(similarity(a, b) < limit for i, a in enumerate(templates) for b in templates[:i])
    (face,) = finder.find_every(portrait)
    assert face.face is not None
    original = embedder.embed(portrait, face.face.points)
    dimmed = np.asarray(portrait * 0.6, np.uint8)
    assert similarity(original, embedder.embed(dimmed, face.face.points)) > 0.8
    assert all(similarity(original, one) < limit for one in templates)


def test_templates_are_unit_vectors_of_their_contract(
    embedder: ArcFaceEmbedder, portrait: RgbImage, finder: EveryFace
) -> None:
    (face,) = finder.find_every(portrait)
    assert face.face is not None
    made = embedder.embed(portrait, face.face.points)
    assert made.vector.shape == (512,)
    assert np.linalg.norm(made.vector) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ContractMismatch):
        similarity(made, template(made.vector, contract_id="another"))


@pytest.mark.parametrize("broken", [np.zeros(512), np.full(512, np.nan), np.array([])])
def test_a_vector_that_is_none_is_refused(broken: np.ndarray) -> None:
    with pytest.raises(EngineError):
        template(broken.astype(np.float32), contract_id="test")


def test_the_attack_score_calls_the_portrait_live(weights: Path, faces: MediapipeFaces, portrait: RgbImage) -> None:
    scorer = SpoofOnnx(weights / "spoof" / "fr_liveness.onnx", "0" * 64)
    (face,) = faces.find(portrait)
    assert scorer.score(portrait, face.box) > STRICT.attack_score.value


@pytest.mark.parametrize("adapter", [RfbDetector, SpoofOnnx, ArcFaceEmbedder])
def test_a_damaged_model_file_is_one_clear_error(tmp_path: Path, adapter: type) -> None:
    damaged = tmp_path / "model.onnx"
    damaged.write_bytes(b"not a model")
    with pytest.raises(EngineError, match="does not load"):
        adapter(damaged, "0" * 64)
