"""Whose face the simulated person wears: a portrait, set into the picture a phone would take.

The default is NASA's public-domain portrait that scikit-image ships, read from the installed package. Other people, for
attacks that change the person, are read from the group photograph that the insightface package ships. Neither is copied.

The simulated people of :mod:`lab.people` are mixed from these faces: the form of one, the colours of another.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lab.errors import PortraitUnusable
from lab.people import Person
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
_FILMS = frozenset({".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".mpg", ".mpeg"})
_LOOKED_AT = 40  # pictures of a film, spread over it
_MESH = 468  # landmarks; the irises after them move
_OVAL = (
    10,
    338,
    297,
    332,
    284,
    251,
    389,
    356,
    454,
    323,
    361,
    288,
    397,
    365,
    379,
    378,
    400,
    377,
    152,
    148,
    176,
    149,
    150,
    136,
    172,
    58,
    132,
    93,
    234,
    127,
    162,
    21,
    54,
    103,
    67,
    109,
)  # fmt: skip - the face's outline, once around
_MAP_STEP = 4  # px: maps are solved this coarsely and enlarged
_SMOOTH = 0.5  # px² of the spline: landmarks are no more exact than this
_MOST_TURNED_ORIGINAL_DEG = 22.0

ORIGINALS = ("astronaut", (520, 349), (112, 336), (797, 422), (1183, 345))
"""The faces that people are mixed from: the default picture's, and those nearest these places of the group photograph."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Portrait:
    """A picture of the wanted size with one person in it, and that person's face."""

    image: RgbImage = field(repr=False)
    face: Face = field(repr=False)


def default_picture() -> RgbImage:
    """NASA's portrait of an astronaut, ``(512, 512, 3) uint8 RGB``."""
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut(), np.uint8)  # type: ignore[no-untyped-call, unused-ignore]


def picture_at(path: Path, landmarks: FaceLandmarks) -> RgbImage:
    """The picture in a file; of a film the one that looks most straight at the camera.

    Raises:
        PortraitUnusable: when there is none that can be read, or nobody in the film.
    """
    if path.suffix.lower() in _FILMS and path.is_file():
        return _most_frontal(path, landmarks)
    try:
        return decode_picture(path.read_bytes())
    except OSError as error:
        raise PortraitUnusable(f"portrait {path.name} cannot be opened ({type(error).__name__})") from error
    except MediaError as error:
        raise PortraitUnusable(f"portrait {path.name} cannot be read: {error}", code=error.code) from error


def _most_frontal(path: Path, landmarks: FaceLandmarks) -> RgbImage:
    film = cv2.VideoCapture(str(path))
    every = max(int(film.get(cv2.CAP_PROP_FRAME_COUNT)) // _LOOKED_AT, 1)
    best, least = None, float("inf")
    number = 0
    while film.grab():
        if number % every == 0:
            there, image = film.retrieve()
            picture = np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8) if there else None
            faces = () if picture is None else landmarks.find(picture)
            if faces:  # a shut mouth is worth some degrees: it can be opened, an open one hardly shut
                off = abs(faces[0].yaw_deg) + 0.5 * abs(faces[0].pitch_deg) + 30 * faces[0].lip_gap
                if off < least:
                    best, least = picture, off
        number += 1
    film.release()
    if best is None:
        raise PortraitUnusable(f"portrait {path.name} shows no face")
    return best


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


def _framed(
    picture: RgbImage,
    face: Face,
    landmarks: FaceLandmarks,
    size: tuple[int, int],
    *,
    most_turned_deg: float = _MOST_TURNED_DEG,
    face_width: float = _FACE_WIDTH,
) -> Portrait:
    if face.box.width < _LEAST_FACE_PX:
        raise PortraitUnusable(f"the portrait's face is {face.box.width:.0f} px wide, {_LEAST_FACE_PX} wanted")
    if abs(face.yaw_deg) > most_turned_deg:
        raise PortraitUnusable(
            f"the portrait looks {abs(face.yaw_deg):.0f} degrees aside, {most_turned_deg:.0f} at most"
        )
    image = _set_into(picture, face, size, face_width)
    again = landmarks.find(image)
    if not again:
        raise PortraitUnusable("the portrait's face is not found again once it is framed")
    return Portrait(image=image, face=again[0])


def _set_into(picture: RgbImage, face: Face, size: tuple[int, int], face_width: float) -> RgbImage:
    """Scale and move ``picture`` so that the face is where a phone has it; what is missing becomes a soft background."""
    width, height = size
    scale = min(face_width * width, _FACE_WIDTH_OF_HEIGHT * height) / face.box.width
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


# --- people mixed from others ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Original:
    picture: RgbImage = field(repr=False)
    face: Face = field(repr=False)

    @property
    def points(self) -> Doubles:
        """``(468, 3)`` pixels of ``picture``."""
        return np.asarray(self.face.landmarks[:_MESH], np.float64)


def portrait_of(person: Person, *, landmarks: FaceLandmarks, finder: FaceFinder, size: tuple[int, int]) -> Portrait:
    """The portrait of a simulated person, as a phone of ``size`` (width, height) would frame it.

    Raises:
        PortraitUnusable: when an original face is not found, or the mixed one is no face.
    """
    originals = _originals(finder)
    base = originals[person.base]
    picture, face = base.picture, base.face
    framed = _framed(
        picture,
        face,
        landmarks,
        size,
        most_turned_deg=_MOST_TURNED_ORIGINAL_DEG,
        face_width=person.face_width,
    )
    own = _Original(picture=framed.image, face=framed.face)
    shape = _mixed_shape(own, originals, person)
    image = _moved_to(own, shape)
    image = _with_texture(image, shape, originals, person)
    if person.mirrored:
        image = np.ascontiguousarray(image[:, ::-1])
    image = _lit(image, person)
    again = landmarks.find(image)
    if not again:
        raise PortraitUnusable("the mixed face is not found")
    return Portrait(image=image, face=again[0])


def _originals(finder: FaceFinder) -> tuple[_Original, ...]:
    crowd = decode_picture(files("insightface").joinpath(_OTHERS).read_bytes())
    there = [found.face for found in finder.find_every(crowd) if found.face is not None]
    default = default_picture()
    chosen = []
    for place in ORIGINALS:
        if isinstance(place, str):
            faces, picture = [found.face for found in finder.find_every(default) if found.face is not None], default
        else:
            x, y = place
            faces = sorted(
                there, key=lambda f: abs(f.box.x + f.box.width / 2 - x) + abs(f.box.y + f.box.height / 2 - y)
            )
            picture = crowd
        if not faces:
            raise PortraitUnusable("an original face is not found")
        chosen.append(_Original(picture=picture, face=faces[0]))
    return tuple(chosen)


def _mixed_shape(own: _Original, originals: tuple[_Original, ...], person: Person) -> Doubles:
    """Where the mixed face's landmarks are in the picture of ``own``, ``(468, 2)``."""
    rest = 1 - sum(share for number, share in person.shape.items() if number != person.base)
    mixed = rest * own.points
    for number, share in person.shape.items():
        if number != person.base:
            mixed += share * _aligned(originals[number].points, own.points)
    return np.asarray(mixed[:, :2])


def _aligned(points: Doubles, to: Doubles) -> Doubles:
    """``points`` moved, turned in space and scaled to lie on ``to`` as near as they can (Umeyama 1991)."""
    middle, middle_to = points.mean(axis=0), to.mean(axis=0)
    rest, rest_to = points - middle, to - middle_to
    left, stretch, right = np.linalg.svd(rest_to.T @ rest)
    sign = np.diag([1, 1, np.sign(np.linalg.det(left @ right))])
    scale = float((stretch * np.diag(sign)).sum() / np.square(rest).sum())
    return np.asarray(scale * rest @ (left @ sign @ right).T + middle_to)


def _moved_to(own: _Original, shape: Doubles) -> RgbImage:
    """The picture of ``own`` with its face in the form of ``shape``; away from the face nothing moves."""
    height, width = own.picture.shape[:2]
    middle, reach = shape.mean(axis=0), 0.95 * max(np.ptp(shape[:, 0]), np.ptp(shape[:, 1]))
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    still = middle + reach * np.column_stack([np.cos(angles), np.sin(angles)])
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    anchors = np.concatenate([still, 1.6 * (still - middle) + middle, corners])
    places = _spline(np.concatenate([shape, anchors]), np.concatenate([own.points[:, :2], anchors]), (width, height))
    return _sampled(own.picture, places)


def _with_texture(image: RgbImage, shape: Doubles, originals: tuple[_Original, ...], person: Person) -> RgbImage:
    """The face of ``image``, whose landmarks are at ``shape``, in mixed colours; its own at the edge."""
    height, width = image.shape[:2]
    oval = shape[list(_OVAL)]
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round((oval - oval.mean(axis=0)) * 0.94 + oval.mean(axis=0)).astype(np.int32)], 255)
    inside = mask > 0
    soft = cv2.GaussianBlur(cv2.erode(mask, np.ones((5, 5), np.uint8)), (0, 0), 0.03 * float(np.ptp(shape[:, 0])))
    weight = soft.astype(np.float32)[..., None] / np.float32(255)
    rest = 1 - sum(share for number, share in person.texture.items() if number != person.base)
    own = image.astype(np.float32)
    mixed = rest * own
    for number, share in person.texture.items():
        if number == person.base:
            continue
        other = originals[number]
        places = _spline(shape, other.points[:, :2], (width, height))
        seen = np.asarray(_sampled(other.picture, places), np.float32)
        for band in range(3):
            there, here = seen[..., band][inside], own[..., band][inside]
            seen[..., band] = (seen[..., band] - there.mean()) * (here.std() / max(there.std(), 1.0)) + here.mean()
        mixed += share * seen
    return np.ascontiguousarray(np.clip(own + (mixed - own) * weight + 0.5, 0, 255), np.uint8)


def _sampled(picture: RgbImage, places: NDArray[np.float32]) -> RgbImage:
    # cv2's own types know no None here
    moved = cv2.remap(  # type: ignore[call-overload, unused-ignore]
        picture, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, np.uint8)


def _spline(at: Doubles, value: Doubles, size: tuple[int, int]) -> NDArray[np.float32]:
    """The smooth map that has ``value`` at ``at`` (both ``(n, 2)``), over a picture of ``size``: ``(H, W, 2)``."""
    from scipy.interpolate import RBFInterpolator  # type: ignore[import-untyped, unused-ignore]

    width, height = size
    columns, rows = -(-width // _MAP_STEP) + 1, -(-height // _MAP_STEP) + 1
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2) * float(_MAP_STEP)
    moved = RBFInterpolator(at, value - at, kernel="linear", smoothing=_SMOOTH)(grid) + grid
    coarse = moved.reshape(rows, columns, 2).astype(np.float32)
    full = cv2.resize(coarse, (columns * _MAP_STEP, rows * _MAP_STEP), interpolation=cv2.INTER_LINEAR)
    # the middle of a cell of the enlarged map is half a step off the grid point it came from
    shift = np.array([[1, 0, -_MAP_STEP / 2 + 0.5], [0, 1, -_MAP_STEP / 2 + 0.5]])
    return np.ascontiguousarray(
        cv2.warpAffine(full, shift, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def _lit(image: RgbImage, person: Person) -> RgbImage:
    left, right = person.light
    across = np.linspace(left, right, image.shape[1], dtype=np.float32)[None, :, None]
    tint = np.array([person.warmth, 1.0, 1 / person.warmth], np.float32)
    return np.ascontiguousarray(np.clip(image * across * tint + 0.5, 0, 255), np.uint8)
