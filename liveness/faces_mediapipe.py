"""Face landmarks with MediaPipe's FaceLandmarker (Tasks API 1.x).

Pitfalls met and closed here: arrays that are not C-contiguous are read as garbage without an error; a closed landmarker
answers *no face*; VIDEO mode keeps state, so each capture gets instances of its own; one instance serves one thread.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveness.capture import Capture, Frame, RgbImage
from liveness.errors import EngineError
from liveness.evidence import Box, Face, FaceTrack, Sighting

_MODEL_VERSION = "face_landmarker float16/1"
_MOST_TRACKED = 2  # a second person must be seen, a third changes nothing
_MOST_FOUND = 16
_SIDE_BY_SIDE = 2  # design: one a core of the smallest machine; each holds a model of its own

# Landmark indices of the canonical face mesh.
# Sides are the subject's own. Eyes by their lids, not by the iris: alignment must not follow the gaze.
_EYE_RIGHT, _EYE_LEFT = [33, 133, 159, 145], [263, 362, 386, 374]
_NOSE_TIP = 4
_MOUTH_RIGHT, _MOUTH_LEFT = 61, 291
_LIP_UPPER, _LIP_LOWER = 13, 14  # inner lips, middle


class MediapipeFaces:
    """``FaceTracker`` for captures (VIDEO mode) and ``FaceLandmarks`` for single pictures (IMAGE mode)."""

    model_version = _MODEL_VERSION

    def __init__(self, model_file: Path) -> None:
        """Raises: EngineError when the model file does not load."""
        self._model = model_file.read_bytes()
        self._still: Any = None
        self._lock = threading.Lock()
        self.find(np.zeros((64, 64, 3), np.uint8))  # a model that does not load is known now, not at the first person

    def track(self, capture: Capture) -> FaceTrack:
        """One sighting for each frame; at most two faces in each.

        Raises:
            EngineError: when MediaPipe fails.
        """
        if not capture.frames:
            raise EngineError("capture has no frames")
        first = capture.frames[0]
        return FaceTrack(sightings=tuple(self.follow(capture.frames)), width=first.width, height=first.height)

    def follow(self, frames: Iterable[Frame]) -> Iterator[Sighting]:
        """The sighting of each frame, in order; one more frame is asked for than sightings were given.

        Two instances take turns with the frames, so that two cores work. Each sees every second frame; which one is fixed, so
        the same recording gives the same sightings.

        Raises:
            EngineError: when MediaPipe fails.
        """
        waiting: deque[Future[Sighting]] = deque()
        with ExitStack() as opened, ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="landmarks") as pool:
            landmarkers = [
                opened.enter_context(closing(_open(self._model, "VIDEO", _MOST_TRACKED))) for _ in range(_SIDE_BY_SIDE)
            ]
            for number, frame in enumerate(frames):
                # the frame that this instance had before has been given: it is idle
                waiting.append(pool.submit(_sighting, landmarkers[number % _SIDE_BY_SIDE], frame))
                if len(waiting) == _SIDE_BY_SIDE:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def find(self, image: RgbImage) -> tuple[Face, ...]:
        """Faces of one picture, largest first.

        Raises:
            EngineError: when MediaPipe fails.
        """
        with self._lock:
            if self._still is None:
                self._still = _open(self._model, "IMAGE", _MOST_FOUND)
                _close_before_exit(self._still)
            return _faces(_ask(self._still, image, None), image)


class MediapipeStreams:
    """``FaceStreams``."""

    def __init__(self, model_file: Path) -> None:
        self._model = model_file.read_bytes()

    def stream(self) -> MediapipeStream:
        """To be closed by who asked for it. Raises: EngineError when MediaPipe fails."""
        return MediapipeStream(_open(self._model, "VIDEO", _MOST_TRACKED))


class MediapipeStream:
    """``FaceStream``: an instance of its own (VIDEO mode), so that nothing of one person is left for the next. One thread."""

    def __init__(self, landmarker: Any) -> None:
        self._landmarker = landmarker
        self._last_ms = -1

    def look(self, image: RgbImage, at_ms: int) -> tuple[Face, ...]:
        """Faces of the next picture, largest first. Raises: EngineError when MediaPipe fails or it is closed."""
        if self._landmarker is None:
            raise EngineError("the landmarker is closed")
        self._last_ms = max(at_ms, self._last_ms + 1)  # it takes rising times only
        return _faces(_ask(self._landmarker, image, self._last_ms), image)

    def close(self) -> None:
        landmarker, self._landmarker = self._landmarker, None
        if landmarker is not None:
            landmarker.close()


def _open(model: bytes, mode: str, most: int) -> Any:
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions, RunningMode

    options = FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=model),
        running_mode=RunningMode[mode],
        num_faces=most,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    try:
        return FaceLandmarker.create_from_options(options)
    except Exception as error:  # the library raises several unrelated types
        raise EngineError("face landmarker does not load") from error


def _sighting(landmarker: Any, frame: Frame) -> Sighting:
    return Sighting(at_ms=frame.at_ms, faces=_faces(_ask(landmarker, frame.image, frame.at_ms), frame.image))


def _ask(landmarker: Any, image: RgbImage, at_ms: int | None) -> Any:
    import mediapipe

    pixels = np.ascontiguousarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise EngineError(f"expected (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")
    picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
    try:
        return landmarker.detect(picture) if at_ms is None else landmarker.detect_for_video(picture, at_ms)
    except Exception as error:  # the library raises several unrelated types
        raise EngineError("face landmarker failed") from error


def _close_before_exit(landmarker: Any) -> None:
    """Close while threads can still be started.

    The library closes through a thread pool; at the usual time of clean-up (``atexit``, ``__del__``) pools are shut down
    already and it prints a traceback. Only threading's own hook is early enough, and it has no public name.
    """
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(landmarker.close)


def _faces(result: Any, image: RgbImage) -> tuple[Face, ...]:
    height, width = image.shape[:2]
    faces = [
        _face(landmarks, shapes, matrix, width, height)
        for landmarks, shapes, matrix in zip(
            result.face_landmarks, result.face_blendshapes, result.facial_transformation_matrixes, strict=True
        )
    ]
    return tuple(sorted(faces, key=lambda face: -face.box.width * face.box.height))


def _face(landmarks: Any, shapes: Any, matrix: NDArray[np.float64], width: int, height: int) -> Face:
    points = np.array([(p.x * width, p.y * height, p.z * width) for p in landmarks], dtype=np.float32)
    scores = {shape.category_name: float(shape.score) for shape in shapes}
    yaw, pitch, roll = _angles(np.asarray(matrix))
    right_eye, left_eye = points[_EYE_RIGHT].mean(axis=0), points[_EYE_LEFT].mean(axis=0)
    # In 3D: at large yaw the projected eye distance shrinks while the lips do not.
    eye_distance = max(float(np.linalg.norm(left_eye - right_eye)), 1.0)
    low, high = points[:468, :2].min(axis=0), points[:468, :2].max(axis=0)
    return Face(
        box=Box(x=float(low[0]), y=float(low[1]), width=float(high[0] - low[0]), height=float(high[1] - low[1])),
        landmarks=points,
        yaw_deg=yaw,
        pitch_deg=pitch,
        roll_deg=roll,
        jaw_open=scores["jawOpen"],
        lip_gap=float(np.linalg.norm(points[_LIP_UPPER] - points[_LIP_LOWER])) / eye_distance,
        blink_left=scores["eyeBlinkLeft"],
        blink_right=scores["eyeBlinkRight"],
        points=np.stack([right_eye, left_eye, points[_NOSE_TIP], points[_MOUTH_RIGHT], points[_MOUTH_LEFT]])[:, :2],
    )


def _angles(matrix: NDArray[np.float64]) -> tuple[float, float, float]:
    """Yaw, pitch, roll in degrees from the 4x4 face transform, signs as :class:`liveness.evidence.Face` says."""
    rotation = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    yaw = math.degrees(math.atan2(rotation[0, 2], rotation[2, 2]))
    pitch = math.degrees(math.asin(float(np.clip(-rotation[1, 2], -1, 1))))
    roll = math.degrees(math.atan2(rotation[1, 0], rotation[1, 1]))
    return yaw, pitch, roll
