"""Faces on their side or on their head, with the real models: the public-domain portrait that scikit-image ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage import data

from api.engines import Bounded, FaceEngines
from api.faces import faces_from_all_sides
from liveness.detect_onnx import RfbDetector
from liveness.digits import Language
from liveness.embed_insightface import ArcFaceEmbedder
from liveness.faces_mediapipe import MediapipeFaces
from liveness.find import EveryFace
from liveness.policy import STRICT
from liveness.template import similarity

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def engines(weights: Path) -> FaceEngines:
    faces = MediapipeFaces(weights / "face_landmarker" / "face_landmarker.task")
    return FaceEngines(
        finder=EveryFace(RfbDetector(weights / "face_detector" / "fr_detect.onnx", "0" * 64), faces),
        embedder=ArcFaceEmbedder(weights / "face_embedder" / "fr_feature.onnx", "87aacdfe57510db2"),
        languages=frozenset({Language.ENGLISH}),
        bound=Bounded(1),
    )


def test_a_small_face_is_found_once_however_the_picture_is_turned(engines: FaceEngines) -> None:
    picture = np.full((720, 900, 3), 110, np.uint8)
    picture[104:616, 200:712] = data.astronaut()
    place = np.zeros(picture.shape[:2], np.uint8)
    place[104 + 60 : 104 + 170, 200 + 180 : 200 + 270] = 1  # where her face is
    ((_, own),) = faces_from_all_sides(np.ascontiguousarray(data.astronaut()), engines)
    assert own is not None
    hers = []
    for quarters in range(4):
        ((found, template),) = faces_from_all_sides(np.ascontiguousarray(np.rot90(picture, quarters)), engines)
        box, where = found.box, np.rot90(place, quarters)
        inside = where[max(0, int(box.y)) : int(box.y + box.height), max(0, int(box.x)) : int(box.x + box.width)]
        assert inside.sum() > 0.6 * place.sum(), "the box is where she is in the picture as it came"
        hers.append(template is not None and similarity(own, template) > STRICT.same_person.value)
    assert hers[0]
    assert sum(hers) >= 3, "on her head she may be measured as somebody else, which is a no; never as nobody"
