"""Every face in a picture.

Landmarks alone miss small faces, a detector alone measures nothing. So: landmarks on the whole picture; a detector on the
whole picture and on overlapping tiles; and for each face that only the detector saw, landmarks once more on an enlarged
cut around it. What still has no landmarks is reported as a face that could not be measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from liveness.capture import RgbImage
from liveness.evidence import Box, Face, FaceDetector, FaceLandmarks, FoundFace

_TILE_MIN_PX = 480  # pictures whose short side is below are looked at whole only
_SAME_FACE = 0.3  # intersection over the smaller box; a face box in a face box is one face
_CUT_SCALE = 2.2  # times the detected box
_CONFIRM_SCALES = (2.0, 3.0)  # times the detected box
_CUT_SIDE = 448  # px; the landmarker's own detector wants a face of a third of the picture
_LEAST_FACE_PX = 12  # below this a box is texture rather than anybody


class EveryFace:
    """``FaceFinder`` from a detector and a landmarker."""

    def __init__(self, detector: FaceDetector, landmarks: FaceLandmarks) -> None:
        self._detector, self._landmarks = detector, landmarks
        self.model_version = f"{detector.model_version}, {landmarks.model_version}"

    def find_every(self, image: RgbImage) -> tuple[FoundFace, ...]:
        """Largest first; boxes in pixels of ``image``.

        Raises:
            EngineError: when a model fails.
        """
        found = [FoundFace(box=face.box, face=face) for face in self._landmarks.find(image)]
        for box in self._detected(image):
            if min(box.width, box.height) < _LEAST_FACE_PX or any(_same(box, known.box) for known in found):
                continue
            closer = self._look_closer(image, box)
            if closer is None:
                if self._confirmed(image, box):
                    found.append(FoundFace(box=box, face=None))
            elif not any(_same(closer.box, known.box) for known in found):
                found.append(FoundFace(box=closer.box, face=closer))
        return tuple(sorted(found, key=lambda face: -face.box.width * face.box.height))

    def _detected(self, image: RgbImage) -> Iterator[Box]:
        yield from self._detector.boxes(image)
        for left, top, right, bottom in _tiles(*image.shape[:2]):
            for box in self._detector.boxes(image[top:bottom, left:right]):
                yield replace(box, x=box.x + left, y=box.y + top)

    def _look_closer(self, image: RgbImage, box: Box) -> Face | None:
        enlarged, zoom, left, top = _cut(image, box, _CUT_SCALE)
        faces = [_moved(face, zoom, left, top) for face in self._landmarks.find(enlarged)]
        return next((face for face in faces if _same(face.box, box)), None)

    def _confirmed(self, image: RgbImage, box: Box) -> bool:
        """The detector sees it again with other surroundings; what was only the cut edge of a tile is not seen again."""
        for scale in _CONFIRM_SCALES:
            enlarged, zoom, left, top = _cut(image, box, scale)
            again = (
                Box(x=b.x * zoom + left, y=b.y * zoom + top, width=b.width * zoom, height=b.height * zoom)
                for b in self._detector.boxes(enlarged)
            )
            if not any(_same(b, box) for b in again):
                return False
        return True


def _cut(image: RgbImage, box: Box, scale: float) -> tuple[RgbImage, float, int, int]:
    """A square around the box, enlarged to a fixed side; its zoom (source px a cut px) and its left and top in ``image``."""
    import cv2

    side = max(int(max(box.width, box.height) * scale), 2)
    left, top = int(box.x + box.width / 2 - side / 2), int(box.y + box.height / 2 - side / 2)
    cut = np.zeros((side, side, 3), np.uint8)
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    cut[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    enlarged = np.asarray(cv2.resize(cut, (_CUT_SIDE, _CUT_SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)
    return enlarged, side / _CUT_SIDE, left, top


def _moved(face: Face, zoom: float, left: int, top: int) -> Face:
    """The face in the coordinates of the picture that the cut was taken from."""
    offset = np.array([left, top, 0], np.float32)
    box = Box(
        x=face.box.x * zoom + left,
        y=face.box.y * zoom + top,
        width=face.box.width * zoom,
        height=face.box.height * zoom,
    )
    scale = np.float32(zoom)
    return replace(face, box=box, landmarks=face.landmarks * scale + offset, points=face.points * scale + offset[:2])


def _tiles(height: int, width: int) -> Iterator[tuple[int, int, int, int]]:
    """Left, top, right, bottom of half-overlapping tiles: halves, and thirds for large pictures."""
    short = min(height, width)
    for parts in (2, 3):
        if short < _TILE_MIN_PX * (parts - 1):
            return
        tile_width, tile_height = 2 * width // (parts + 1), 2 * height // (parts + 1)
        for row in range(parts):
            for column in range(parts):
                left, top = column * tile_width // 2, row * tile_height // 2
                yield left, top, min(left + tile_width, width), min(top + tile_height, height)


def _same(one: Box, other: Box) -> bool:
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    if across <= 0 or down <= 0:
        return False
    return across * down / min(one.width * one.height, other.width * other.height) > _SAME_FACE
