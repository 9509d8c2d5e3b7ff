"""Passive presentation-attack score on ONNX Runtime: 128x128 BGR 0..255, crop of 2.7 times the face box, three classes,
class 0 live. Of the colour orders tried on a labelled pair of photographs (live, screen), only BGR tells them apart.

Weak alone (it is fooled by renders and errs on low resolution): one vote among the checks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from liveness.capture import RgbImage
from liveness.errors import EngineError
from liveness.evidence import Box
from liveness.model_onnx import open_model

_SIDE = 128  # px
_CROP_SCALE = 2.7  # times the face box, as the model was trained


class SpoofOnnx:
    """``SpoofScorer``."""

    def __init__(self, model_file: Path, sha256: str) -> None:
        """Raises: EngineError when the model file does not load."""
        self._session = open_model(model_file, "attack scorer")
        self._input = self._session.get_inputs()[0].name
        self.model_version = f"spoof {sha256[:12]}"

    def score(self, image: RgbImage, box: Box) -> float:
        """Probability of the class *live*, 0..1, for the face in ``box``.

        Raises:
            EngineError: when the model fails.
        """
        crop = np.ascontiguousarray(_crop(image, box)[..., ::-1].astype(np.float32).transpose(2, 0, 1)[None])
        try:
            logits = np.asarray(self._session.run(None, {self._input: crop})[0], np.float64).reshape(-1)
        except Exception as error:  # the library raises several unrelated types
            raise EngineError("attack scorer failed") from error
        weights = np.exp(logits - logits.max())
        return float(weights[0] / weights.sum())


def _crop(image: RgbImage, box: Box) -> RgbImage:
    """Square around the face, as much larger as the picture allows without leaving it."""
    import cv2

    height, width = image.shape[:2]
    scale = min((height - 1) / box.height, (width - 1) / box.width, _CROP_SCALE)
    crop_width, crop_height = box.width * scale, box.height * scale
    left = min(max(box.x + box.width / 2 - crop_width / 2, 0), width - 1 - crop_width)
    top = min(max(box.y + box.height / 2 - crop_height / 2, 0), height - 1 - crop_height)
    cut = image[int(top) : int(top + crop_height) + 1, int(left) : int(left + crop_width) + 1]
    return np.asarray(cv2.resize(np.ascontiguousarray(cut), (_SIDE, _SIDE)), np.uint8)
