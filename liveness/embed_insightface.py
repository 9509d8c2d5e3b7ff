"""Face templates with InsightFace's ArcFace class on ONNX Runtime.

The card says what kind of model the file is and how its input is scaled; nothing is guessed from shapes or names.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from liveness.capture import RgbImage
from liveness.errors import EngineError
from liveness.model_onnx import open_model
from liveness.template import FaceTemplate, template


class ArcFaceEmbedder:
    """``FaceEmbedder``: five-point alignment to 112x112, RGB, ``(x - mean) / std``."""

    def __init__(self, model_file: Path, sha256: str, *, mean: float = 127.0, std: float = 128.0) -> None:
        """Raises: EngineError when the model file does not load."""
        session = open_model(model_file, "face embedder")
        with contextlib.redirect_stdout(io.StringIO()):  # the library prints
            from insightface.model_zoo.arcface_onnx import ArcFaceONNX

            try:
                self._model = ArcFaceONNX(model_file=str(model_file), session=session)
            except Exception as error:  # the library raises several unrelated types
                raise EngineError("face embedder does not load") from error
        self._model.input_mean, self._model.input_std = mean, std
        self.contract_id = f"arcface-{sha256[:12]}-112-rgb-5pt"
        self.model_version = f"arcface {sha256[:12]}"

    def embed(self, image: RgbImage, points: NDArray[np.float32]) -> FaceTemplate:
        """Template of the face whose five points are given.

        Raises:
            EngineError: when the model fails or answers with no finite vector.
        """
        try:
            vector = self._model.get_feat(_aligned(image, points))
        except Exception as error:  # the libraries raise several unrelated types
            raise EngineError("face embedder failed") from error
        return template(vector, contract_id=self.contract_id)


def _aligned(image: RgbImage, points: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``(112, 112, 3) uint8 BGR``: the similarity transform that brings the five points to where the model expects them.

    What ``face_align.norm_crop`` does, without the scikit-image call that its next release drops.
    """
    import cv2
    from insightface.utils.face_align import arcface_dst
    from skimage.transform import SimilarityTransform

    transform = SimilarityTransform.from_estimate(np.asarray(points, np.float32), arcface_dst)
    if not transform:
        raise EngineError("face points are degenerate", code="embedding_invalid")
    bgr = np.ascontiguousarray(image[..., ::-1])
    return np.asarray(cv2.warpAffine(bgr, transform.params[:2], (112, 112), borderValue=0.0), np.uint8)
