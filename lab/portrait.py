"""Whose face the simulated person wears: a portrait, set into the picture a phone would take.

The default is NASA's public-domain portrait that scikit-image ships, read from the installed package. Other people, for
attacks that change the person, are read from the group photograph that the insightface package ships. Neither is copied.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np

from lab.errors import PortraitUnusable
from liveness.capture import RgbImage
from liveness.decode import decode_picture
from liveness.errors import MediaError
from liveness.evidence import Face, FaceFinder, FaceLandmarks

_FACE_WIDTH = 0.45  # of the picture's width: an arm's length from the camera
_FACE_WIDTH_OF_HEIGHT = 0.4  # and no more than this of its height, for a phone held sideways
_FACE_HIGH = 0.44  # of the picture's height: where the middle of the face is
_LEAST_FACE_PX = 48  # below, there are fewer pixels than landmarks
_MOST_TURNED_DEG = 15.0  # a portrait that looks aside has no other side to show
_MOST_OTHERS = 3
_OTHERS = "data/images/t1.jpg"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Portrait:
    """A picture of the wanted size with one person in it, and that person's face."""

    image: RgbImage = field(repr=False)
    face: Face = field(repr=False)


def default_picture() -> RgbImage:
    """NASA's portrait of an astronaut, ``(512, 512, 3) uint8 RGB``."""
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut(), np.uint8)  # type: ignore[no-untyped-call, unused-ignore]


def picture_at(path: Path) -> RgbImage:
    """The picture in a file.

    Raises:
        PortraitUnusable: when there is none that can be read.
    """
    try:
        return decode_picture(path.read_bytes())
    except OSError as error:
        raise PortraitUnusable(f"portrait {path.name} cannot be opened ({type(error).__name__})") from error
    except MediaError as error:
        raise PortraitUnusable(f"portrait {path.name} cannot be read: {error}", code=error.code) from error


def composed(picture: RgbImage, *, landmarks: FaceLandmarks, finder: FaceFinder, size: tuple[int, int]) -> Portrait:
    """The largest face of ``picture`` as a phone of ``size`` (width, height) would frame it.

    Raises:
        PortraitUnusable: when there is no face, or it is too small or turned too far.
    """
    found = [face.face for face in finder.find_every(picture) if face.face is not None]
    if not found:
        raise PortraitUnusable("the portrait shows no face")
    return _framed(picture, found[0], landmarks, size)


def other_person(
    *, landmarks: FaceLandmarks, finder: FaceFinder, size: tuple[int, int], chance: random.Random
) -> Portrait:
    """Somebody else, drawn from the most frontal faces of the group photograph."""
    crowd = decode_picture(files("insightface").joinpath(_OTHERS).read_bytes())
    faces = [found.face for found in finder.find_every(crowd) if found.face is not None]
    usable = []
    for face in sorted(faces, key=lambda face: abs(face.yaw_deg))[:_MOST_OTHERS]:
        try:
            usable.append(_framed(crowd, face, landmarks, size))
        except PortraitUnusable:
            continue
    if not usable:
        raise PortraitUnusable("the group photograph shows no usable face")
    return chance.choice(usable)


def _framed(picture: RgbImage, face: Face, landmarks: FaceLandmarks, size: tuple[int, int]) -> Portrait:
    if face.box.width < _LEAST_FACE_PX:
        raise PortraitUnusable(f"the portrait's face is {face.box.width:.0f} px wide, {_LEAST_FACE_PX} wanted")
    if abs(face.yaw_deg) > _MOST_TURNED_DEG:
        raise PortraitUnusable(
            f"the portrait looks {abs(face.yaw_deg):.0f} degrees aside, {_MOST_TURNED_DEG:.0f} at most"
        )
    image = _set_into(picture, face, size)
    again = landmarks.find(image)
    if not again:
        raise PortraitUnusable("the portrait's face is not found again once it is framed")
    return Portrait(image=image, face=again[0])


def _set_into(picture: RgbImage, face: Face, size: tuple[int, int]) -> RgbImage:
    """Scale and move ``picture`` so that the face is where a phone has it; what is missing becomes a soft background."""
    width, height = size
    scale = min(_FACE_WIDTH * width, _FACE_WIDTH_OF_HEIGHT * height) / face.box.width
    middle = (face.box.x + face.box.width / 2, face.box.y + face.box.height / 2)
    to_frame = np.array(
        [[scale, 0, 0.5 * width - scale * middle[0]], [0, scale, _FACE_HIGH * height - scale * middle[1]]]
    )
    how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    inside = cv2.warpAffine(picture, to_frame, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    covered = cv2.warpAffine(np.full(picture.shape[:2], 255, np.uint8), to_frame, size, flags=cv2.INTER_NEAREST)
    if covered.all():
        return np.ascontiguousarray(inside, np.uint8)
    soft = cv2.GaussianBlur(inside, (0, 0), 0.05 * width)
    weight = cv2.GaussianBlur(cv2.erode(covered, np.ones((9, 9), np.uint8)), (0, 0), 3.0)[..., None] / np.float32(255)
    mixed = inside * weight + soft * (1 - weight)
    return np.ascontiguousarray(np.clip(mixed + 0.5, 0, 255), np.uint8)
