"""Finished clips looked at with the real models: the public-domain portrait that scikit-image ships, and the group picture that
InsightFace ships."""

from __future__ import annotations

from pathlib import Path

import cv2
import insightface
import numpy as np
import pytest
from skimage import data

from api.engines import Bounded, FaceEngines
from api.outputs import look
from consent.gate import Permit
from consent.output import Marked, OutputCode, check_output
from likeness.encode import encode
from likeness.label import labelled
from liveness.capture import RgbImage
from liveness.detect_onnx import RfbDetector
from liveness.digits import Language
from liveness.embed_insightface import ArcFaceEmbedder
from liveness.faces_mediapipe import MediapipeFaces
from liveness.find import EveryFace
from liveness.template import FaceTemplate
from tests.consent.given import SAME_PERSON
from tests.consent.test_output import permit

pytestmark = pytest.mark.weights

WIDTH, HEIGHT, FPS, PICTURES = 640, 512, 8, 9


@pytest.fixture(scope="module")
def engines(weights: Path) -> FaceEngines:
    faces = MediapipeFaces(weights / "face_landmarker" / "face_landmarker.task")
    return FaceEngines(
        finder=EveryFace(RfbDetector(weights / "face_detector" / "fr_detect.onnx", "0" * 64), faces),
        embedder=ArcFaceEmbedder(weights / "face_embedder" / "fr_feature.onnx", "87aacdfe57510db2"),
        languages=frozenset({Language.ENGLISH}),
        bound=Bounded(1),
    )


@pytest.fixture(scope="module")
def her() -> RgbImage:
    return np.ascontiguousarray(data.astronaut()[:HEIGHT])


@pytest.fixture(scope="module")
def somebody(engines: FaceEngines) -> RgbImage:
    """One person of the group, cut out and enlarged."""
    group = cv2.imread(str(Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"))
    picture = np.ascontiguousarray(group[..., ::-1])
    box = engines.finder.find_every(picture)[0].box
    side = int(2 * max(box.width, box.height))
    left = max(0, int(box.x + box.width / 2 - side / 2))
    top = max(0, int(box.y + box.height / 2 - side / 2))
    return np.asarray(cv2.resize(picture[top : top + side, left : left + side], (256, 256)), np.uint8)


@pytest.fixture(scope="module")
def template(engines: FaceEngines, her: RgbImage) -> FaceTemplate:
    (found,) = engines.finder.find_every(her)
    assert found.face is not None
    return engines.embedder.embed(her, found.face.points)


def scene(*parts: tuple[RgbImage, int, int]) -> list[RgbImage]:
    """A second in which each part, at its place, moves a little."""
    pictures = []
    for number in range(PICTURES):
        picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        for part, left, top in parts:
            shifted = left + number
            height, width = min(part.shape[0], HEIGHT - top), min(part.shape[1], WIDTH - shifted)
            picture[top : top + height, shifted : shifted + width] = part[:height, :width]
        pictures.append(picture)
    return pictures


def why(engines: FaceEngines, pictures: list[RgbImage], template: FaceTemplate, out: Path) -> set[OutputCode]:
    given: Permit = permit(1)
    encode(
        labelled(iter(pictures), width=WIDTH, height=HEIGHT, fps=FPS),
        None,
        width=WIDTH,
        height=HEIGHT,
        fps=FPS,
        out=out,
    )
    seen = look(out.read_bytes(), engines)
    assert seen.pictures >= 4
    assert seen.labelled is True
    reasons = check_output(given, seen, {"cns_1": (template,)}, same_person=SAME_PERSON)
    assert OutputCode.MANIFEST_MISSING in {reason.code for reason in reasons}
    assert seen.manifest is not Marked.OURS
    return {reason.code for reason in reasons} - {OutputCode.MANIFEST_MISSING}


def test_her_own_clip_passes_and_others_do_not(
    engines: FaceEngines, her: RgbImage, somebody: RgbImage, template: FaceTemplate, tmp_path: Path
) -> None:
    own = scene((her, 0, 0))
    other = scene((somebody, 150, 100))
    both = scene((her[:, :380], 0, 0), (somebody[:, :240], 385, 200))
    nobody = scene()
    found = {
        name: why(engines, pictures, template, tmp_path / f"{name}.mp4")
        for name, pictures in {
            "own": own,
            "other": other,
            "both": both,
            "nobody": nobody,
            "swapped": own[:4] + other[4:],
        }.items()
    }
    assert found["own"] == set()
    assert found["other"] == {OutputCode.OTHER_FACE, OutputCode.PERSON_MISSING}
    assert OutputCode.OTHER_FACE in found["both"]
    assert found["nobody"] == {OutputCode.PERSON_MISSING}
    assert OutputCode.OTHER_FACE in found["swapped"]
