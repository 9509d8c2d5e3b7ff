"""Pictures of a textured sheet, a textured head and a room, made by numbers, with the face where it is known to be."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from liveness.capture import Frame, RgbImage
from liveness.evidence import Box, Face, FaceTrack, Sighting

WIDTH, HEIGHT = 360, 480
MIDDLE = (WIDTH / 2, HEIGHT / 2)
FACE_WIDTH = 160.0
FRAME_MS = 67
_FOCAL = 700.0
_AWAY = 700.0

Doubles = NDArray[np.float64]
Surface = Callable[[Doubles, Doubles], Doubles]


def texture(seed: int, size: tuple[int, int] = (HEIGHT, WIDTH), spread: float = 45.0) -> Doubles:
    """Smooth grey blotches of several sizes around 128."""
    chance = np.random.default_rng(seed)
    sheet = np.zeros(size)
    for grain in (2.0, 4.0, 9.0):
        blotches = cv2.GaussianBlur(chance.normal(size=size), (0, 0), grain)
        sheet += blotches / blotches.std()
    return 128 + spread * sheet / sheet.std()


def rgb(grey: Doubles) -> RgbImage:
    return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def noisy(grey: Doubles, seed: int, sigma: float = 2.0) -> Doubles:
    return grey + np.random.default_rng(seed).normal(0, sigma, grey.shape)


def face(x: float = MIDDLE[0], y: float = MIDDLE[1], *, yaw_deg: float = 0.0, width: float = FACE_WIDTH) -> Face:
    """An upright face around ``x, y`` with landmarks on an oval; eyes, brows and mouth where they belong."""
    height = 1.3 * width
    angles = np.linspace(0, 2 * np.pi, 468, endpoint=False)
    points = np.zeros((478, 3), np.float32)
    points[:468, 0] = x + width / 2 * np.cos(angles)
    points[:468, 1] = y + height / 2 * np.sin(angles)
    for side, indices in ((-1, (33, 133, 159, 145, 226, 244)), (1, (263, 362, 386, 374, 446, 464))):
        points[list(indices), 0] = x + side * 0.22 * width + np.array([-8, 8, 0, 0, -9, 9]) * width / 160
        points[list(indices), 1] = y - 0.15 * height + np.array([0, 0, -4, 4, 0, 0]) * width / 160
    for side, indices in ((-1, (70, 63, 105, 66, 107)), (1, (300, 293, 334, 296, 336))):
        points[list(indices), 0] = x + side * np.linspace(0.3, 0.12, 5) * width
        points[list(indices), 1] = y - 0.25 * height
    mouth = [61, 291, 0, 17, 40, 270, 91, 321, 57, 287]
    points[mouth, 0] = x + np.array([-0.16, 0.16, 0, 0, -0.1, 0.1, -0.1, 0.1, -0.17, 0.17]) * width
    points[mouth, 1] = y + 0.28 * height + np.array([0, 0, -6, 8, -5, -5, 6, 6, 0, 0]) * width / 160
    for index, (dx, dy) in {50: (-0.27, 0.1), 280: (0.27, 0.1), 205: (-0.22, 0.16), 425: (0.22, 0.16)}.items():
        points[index, :2] = x + dx * width, y + dy * height
    points[151, :2], points[10, :2] = (x, y - 0.36 * height), (x, y - 0.42 * height)
    return Face(
        box=Box(x=x - width / 2, y=y - height / 2, width=width, height=height),
        landmarks=points,
        yaw_deg=yaw_deg,
        pitch_deg=0.0,
        roll_deg=0.0,
        jaw_open=0.0,
        lip_gap=0.0,
        blink_left=0.0,
        blink_right=0.0,
        points=np.array(
            [
                [x - 0.22 * width, y - 0.15 * height],
                [x + 0.22 * width, y - 0.15 * height],
                [x, y],
                [x - 0.16 * width, y + 0.28 * height],
                [x + 0.16 * width, y + 0.28 * height],
            ],
            np.float32,
        ),
    )


def track(faces: list[Face | None], times: list[int] | None = None) -> FaceTrack:
    at = times or [FRAME_MS * i for i in range(len(faces))]
    seen = tuple(Sighting(at_ms=ms, faces=() if f is None else (f,)) for ms, f in zip(at, faces, strict=True))
    return FaceTrack(sightings=seen, width=WIDTH, height=HEIGHT)


def frames(greys: list[Doubles]) -> list[Frame]:
    return [Frame(at_ms=FRAME_MS * i, image=rgb(grey)) for i, grey in enumerate(greys)]


def turned(sheet: Doubles, depth: Surface, yaw_deg: float) -> Doubles:
    """A textured surface ``z = depth(x, y)`` (nearer is less) turned about its upright axis, seen through a lens.

    ``sheet`` gives the grey of each point as seen from the front.
    """
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    x, y = columns - MIDDLE[0], rows - MIDDLE[1]
    z = depth(x, y)
    turn = math.radians(yaw_deg)
    across = x * math.cos(turn) + z * math.sin(turn)
    away = _AWAY - x * math.sin(turn) + z * math.cos(turn)
    to_x = _FOCAL * across / away + MIDDLE[0]
    to_y = _FOCAL * y / away + MIDDLE[1]
    # backward map by fixed point: where each picture point came from
    from_x, from_y = columns.copy(), rows.copy()
    for _ in range(14):
        at = [
            cv2.remap(m.astype(np.float32), from_x.astype(np.float32), from_y.astype(np.float32), cv2.INTER_LINEAR)
            for m in (to_x, to_y)
        ]
        from_x += 0.7 * (columns - at[0])
        from_y += 0.7 * (rows - at[1])
    return np.asarray(
        cv2.remap(sheet.astype(np.float32), from_x.astype(np.float32), from_y.astype(np.float32), cv2.INTER_LINEAR),
        np.float64,
    )


def flat(x: Doubles, y: Doubles) -> Doubles:
    return np.zeros_like(x)


def bent(x: Doubles, y: Doubles) -> Doubles:
    """Paper around an upright cylinder of 1.2 face widths."""
    radius = 1.2 * FACE_WIDTH
    return radius - np.sqrt(np.maximum(radius**2 - x**2, (0.3 * radius) ** 2))


def head(x: Doubles, y: Doubles) -> Doubles:
    """A bowl with a nose."""
    bowl = 0.3 * FACE_WIDTH * ((x / (0.6 * FACE_WIDTH)) ** 2 + (y / (0.9 * FACE_WIDTH)) ** 2)
    nose = 0.3 * FACE_WIDTH * np.exp(-((x / 26) ** 2) - (((y - 8) / 42) ** 2))
    return np.minimum(bowl, 0.5 * FACE_WIDTH) - nose
