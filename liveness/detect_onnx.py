"""Where faces are, with an RFB-320 detector on ONNX Runtime: 320x240 RGB, ``(x - 127) / 128``, boxes as corners in 0..1."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from liveness.capture import RgbImage
from liveness.errors import EngineError
from liveness.evidence import Box
from liveness.model_onnx import open_model

_WIDTH, _HEIGHT = 320, 240  # px
_CONFIDENCE = 0.65  # of the class face; the value the model was published with
_OVERLAP = 0.4  # intersection over union above which two boxes are one face; same source


class RfbDetector:
    """``FaceDetector``. Sees faces of about 1/20 of the picture's width and more, frontal to half profile."""

    def __init__(self, model_file: Path, sha256: str) -> None:
        """Raises: EngineError when the model file does not load."""
        self._session = open_model(model_file, "face detector")
        self.model_version = f"rfb320 {sha256[:12]}"

    def boxes(self, image: RgbImage) -> tuple[Box, ...]:
        """Boxes in pixels of ``image``, most confident first.

        Raises:
            EngineError: when the model fails.
        """
        import cv2

        height, width = image.shape[:2]
        small = cv2.resize(np.ascontiguousarray(image), (_WIDTH, _HEIGHT))
        pixels = ((small.astype(np.float32) - 127.0) / 128.0).transpose(2, 0, 1)[None]
        try:
            scores, corners = self._session.run(["scores", "boxes"], {"input": pixels})
        except Exception as error:  # the library raises several unrelated types
            raise EngineError("face detector failed") from error
        sure = scores[0, :, 1] > _CONFIDENCE
        found = corners[0][sure] * np.array([width, height, width, height], np.float32)
        sizes = np.concatenate([found[:, :2], found[:, 2:] - found[:, :2]], axis=1)
        kept = cv2.dnn.NMSBoxes(sizes.tolist(), scores[0, sure, 1].tolist(), _CONFIDENCE, _OVERLAP)
        return tuple(
            Box(x=float(x), y=float(y), width=float(w), height=float(h)) for x, y, w, h in sizes[np.asarray(kept, int)]
        )
