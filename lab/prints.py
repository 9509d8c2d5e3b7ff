"""Photographs of a person on paper, held before the camera in place of the person.

The attacker has one good frontal picture, a printer and scissors, plays the digits from a loudspeaker (or speaks them
through a cut-out mouth) and turns the paper for the turns. Paper is moved in space as paper moves: a flat sheet by the
homography of its plane, a bent one as a cylinder. Nothing else of the picture changes, whatever the sheet shows.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from lab.footage import Actor, Footage, Studio
from lab.person import Performance
from lab.room import in_a_room, through_a_speaker
from likeness.mesh import Pose
from liveness.capture import RgbImage
from liveness.challenge import Step

Doubles = NDArray[np.float64]

_CAMERA = 6.0  # face widths: a sheet at arm's length
_TURN_DEG = (42.0, 50.0)  # how far paper is turned in depth for a turn: beyond, the face is hardly found
_BENT_TURN_DEG = (28.0, 40.0)
_FOLLOWED = 0.85  # of the way a turned cylinder takes the face aside
_BEND = (0.6, 2.0)  # radius of the cylinder, face widths
_INK = (0.86, 24.0)  # contrast and black of ink on paper
_PAPER = 236  # grey level of the white margin
_MARGIN = 0.03  # of the sheet's width
_SHEET = (0.92, 1.22)  # the sheet's width, of the picture's: below 1 its edges are seen all the time
_LIPS = (
    61,
    146,
    91,
    181,
    84,
    17,
    314,
    405,
    321,
    375,
    291,
    409,
    270,
    269,
    267,
    0,
    37,
    39,
    40,
    185,
)  # fmt: skip - outer lips, once around
_HOLE = 1.28  # of the lips' outline
_LIPS_CONTRAST = 0.9
_BEHIND = 0.10  # face widths: how far behind the sheet the live lips are
_SWAY = 3.0  # times what a person holding still does


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sheet:
    """A printed picture. ``image`` is the paper with its margin; ``centre`` the face's middle in it; pixels."""

    image: RgbImage = field(repr=False)
    centre: tuple[float, float]
    face_width: float

    @classmethod
    def of(cls, actor: Actor, chance: random.Random) -> Sheet:
        image = actor.frontal.image
        contrast, black = _INK
        inked = np.clip(cv2.GaussianBlur(image, (0, 0), 0.6) * contrast + black, 0, 255).astype(np.uint8)
        width = image.shape[1]
        most = chance.uniform(*_SHEET)
        if most < 1:  # a smaller sheet: part of the picture is cut away, so that its edge is in view
            cut = int(width * (1 - most) / 2)
            inked = np.ascontiguousarray(inked[cut:-cut, cut:-cut])
        else:
            cut = 0
        margin = int(width * _MARGIN)
        framed = cv2.copyMakeBorder(inked, *(margin,) * 4, cv2.BORDER_CONSTANT, value=(_PAPER,) * 3)
        box = actor.frontal.face.box
        centre = (box.x + box.width / 2 - cut + margin, box.y + box.height / 2 - cut + margin)
        return cls(image=np.ascontiguousarray(framed, np.uint8), centre=centre, face_width=actor.mesh.face_width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """How a sheet is held at one time: degrees, and the way of its face's middle in the picture, pixels."""

    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    shift: tuple[float, float]
    scale: float

    def homography(self, sheet: Sheet, to: tuple[float, float]) -> Doubles:
        """``(3, 3)``: from pixels of the sheet to pixels of the picture, where its face's middle rests at ``to``."""
        rotation = rotated(self.yaw_deg, self.pitch_deg, self.roll_deg)
        away = _CAMERA * sheet.face_width
        flat = np.array([[1, 0, -sheet.centre[0]], [0, 1, -sheet.centre[1]], [0, 0, 1.0]])
        turned = np.column_stack([rotation[:, 0], rotation[:, 1], [0, 0, away]])
        seen = np.array([[away * self.scale, 0, 0], [0, away * self.scale, 0], [0, 0, 1.0]])
        placed = np.array([[1, 0, to[0] + self.shift[0]], [0, 1, to[1] + self.shift[1]], [0, 0, 1.0]])
        return np.asarray(placed @ seen @ turned @ flat)


def rotated(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Doubles:
    """Rotation of columns (x right, y down, z away); signs as in :class:`likeness.mesh.Pose`."""
    yaw, pitch, roll = np.radians([-yaw_deg, pitch_deg, -roll_deg])
    about_y = [[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]]
    about_x = [[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]]
    about_z = [[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]]
    return np.asarray(np.array(about_y) @ np.array(about_x) @ np.array(about_z))


def held_at(performance: Performance, at_ms: float, *, turn_deg: float, face_width: float) -> Held:
    """How a hand holds a sheet while the performance asks for turns and nods: ``turn_deg`` in depth for each turn."""
    pose = performance.pose_at(at_ms)
    most = max((turn.yaw_deg for turn in performance.turns), default=1.0)
    sways = performance.sways
    turned = pose.yaw_deg - sways["yaw_deg"].at(at_ms)
    return Held(
        yaw_deg=turned * turn_deg / most + _SWAY * sways["yaw_deg"].at(at_ms),
        pitch_deg=2 * (pose.pitch_deg - sways["pitch_deg"].at(at_ms)) + _SWAY * sways["pitch_deg"].at(at_ms),
        roll_deg=_SWAY * sways["roll_deg"].at(at_ms),
        shift=(
            _SWAY * sways["shift_x"].at(at_ms) * face_width,
            _SWAY * sways["shift_y"].at(at_ms) * face_width,
        ),
        scale=1 + _SWAY * sways["scale"].at(at_ms),
    )


def backdrop(size: tuple[int, int], chance: random.Random) -> RgbImage:
    """A room out of focus: what is seen beside a sheet. ``size``: width and height."""
    width, height = size
    noise = np.random.default_rng(chance.getrandbits(32))
    wall = noise.uniform(95, 190) * np.array([1.0, noise.uniform(0.92, 1.0), noise.uniform(0.82, 1.0)])
    room = np.full((64, 36, 3), wall, np.float32)
    for _ in range(7):
        x, y, across, down = (int(noise.integers(0, most)) for most in (36, 64, 18, 30))
        room[y : y + down + 4, x : x + across + 3] = noise.uniform(30, 220, 3)
    soft = cv2.GaussianBlur(room, (0, 0), 2.0)
    large = cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(np.clip(large, 0, 255), np.uint8)


def flat_print(studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """A flat sheet, waved, and turned in depth for the turns; the digits come from a loudspeaker."""
    sheet = Sheet.of(studio.person, studio.chance("sheet"))
    behind = backdrop(studio.size, studio.chance("backdrop"))
    middle = _middle(studio.person)
    turn_deg = studio.chance("turned").uniform(*_TURN_DEG)

    def show(performance: Performance, at_ms: float) -> RgbImage:
        held = held_at(performance, at_ms, turn_deg=turn_deg, face_width=sheet.face_width)
        return laid(sheet.image, held.homography(sheet, middle), behind, held)

    return _played(studio, steps, show)


def bent_print(studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """A sheet bent round like a face and turned about the cylinder's axis; the digits come from a loudspeaker."""
    sheet = Sheet.of(studio.person, studio.chance("sheet"))
    behind = backdrop(studio.size, studio.chance("backdrop"))
    chance = studio.chance("bent")
    radius = chance.uniform(*_BEND) * sheet.face_width
    turn_deg = chance.uniform(*_BENT_TURN_DEG)
    middle = _middle(studio.person)

    def show(performance: Performance, at_ms: float) -> RgbImage:
        held = held_at(performance, at_ms, turn_deg=turn_deg, face_width=sheet.face_width)
        # about the axis the face goes aside; the hand brings most of that back
        aside = _FOLLOWED * radius * math.sin(math.radians(held.yaw_deg))
        held = replace(held, shift=(held.shift[0] - aside, held.shift[1]))
        return bent(sheet, radius, held, middle, behind)

    return _played(studio, steps, show)


def cutout_mouth(studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """A flat sheet with a hole for the mouth, and in it the living lips of somebody who says the digits."""
    sheet = Sheet.of(studio.person, studio.chance("sheet"))
    behind = backdrop(studio.size, studio.chance("backdrop"))
    middle, other = _middle(studio.person), studio.other
    turn_deg = studio.chance("turned").uniform(*_TURN_DEG)
    landmarks = studio.person.frontal.face.landmarks[list(_LIPS), :2].astype(np.float64)
    offset = np.array(sheet.centre) - np.array(middle)
    hole = (landmarks - landmarks.mean(axis=0)) * _HOLE + landmarks.mean(axis=0) + offset
    others = other.frontal.face.landmarks[list(_LIPS), :2].astype(np.float64)
    # the attacker comes as near as needed, tilts the head like the print, and is lit and made up like it
    onto = _similarity(others[[0, 10]], landmarks[[0, 10]], larger=0.96)
    tones = _tones(other, others), _tones(studio.person, landmarks)
    mask = np.zeros(sheet.image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(hole * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)

    def show(performance: Performance, at_ms: float) -> RgbImage:
        held = held_at(performance, at_ms, turn_deg=turn_deg, face_width=sheet.face_width)
        placed = held.homography(sheet, middle)
        picture = laid(sheet.image, placed, behind, held)
        pose = performance.pose_at(at_ms)
        lips = other.seen(
            replace(Pose(), jaw_open=pose.jaw_open, lips_closed=pose.lips_closed, mouth_wide=pose.mouth_wide)
        )
        at = cv2.perspectiveTransform(hole.mean(axis=0)[None, None], placed)[0, 0]
        # the lips are behind the sheet: a turn of the sheet moves the hole across them
        aside = _BEHIND * sheet.face_width * math.tan(math.radians(min(max(held.yaw_deg, -60.0), 60.0)))
        roll = math.radians(-held.roll_deg)
        spin = held.scale * np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
        to = np.column_stack([spin @ onto, [at[0] - aside, at[1]]])
        to[:, 2] -= to[:, :2] @ others.mean(axis=0)
        size = (picture.shape[1], picture.shape[0])
        live_lips = cv2.warpAffine(lips, to, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        live_lips = np.clip((live_lips - tones[0]) * _LIPS_CONTRAST + tones[1], 0, 255)
        opening = cv2.warpPerspective(mask, placed, size, flags=cv2.INTER_LINEAR)
        return _through(picture, np.asarray(live_lips, np.uint8), np.asarray(opening, np.uint8))

    performance = studio.performed(steps)
    return Footage(
        duration_ms=performance.duration_ms,
        picture=lambda at_ms: show(performance, at_ms),
        sound=studio.sound_of(performance),
        performance=performance,
    )


def _similarity(ends: Doubles, to: Doubles, *, larger: float) -> Doubles:
    """``(2, 2)``: turns and scales the line between the two ``ends`` onto that ``to``, ``larger`` times as long."""
    one, other = complex(*(ends[1] - ends[0])), complex(*(to[1] - to[0]))
    turn = larger * other / one
    return np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])


def _tones(actor: Actor, lips: Doubles) -> NDArray[np.float32]:
    """Mean colour around the lips, ``(3,)``."""
    low, high = np.maximum(lips.min(axis=0), 0).astype(int), lips.max(axis=0).astype(int) + 1
    return np.asarray(actor.frontal.image[low[1] : high[1], low[0] : high[0]].mean(axis=(0, 1)), np.float32)


def photo(studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """A still picture in an unsteady hand, never turned in depth, and a voice that plays."""
    image = studio.person.frontal.image
    performance = studio.performed(steps)
    return Footage(
        duration_ms=performance.duration_ms,
        picture=lambda at_ms: waved(image, at_ms, performance),
        sound=studio.sound_of(performance),
        performance=performance,
    )


def still(studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """A still picture that does not move at all before a camera that does not either, and a voice that plays."""
    image = studio.person.frontal.image
    return _played(studio, steps, lambda *_: image)


def waved(image: RgbImage, at_ms: float, performance: Performance) -> RgbImage:
    """A still picture in an unsteady hand: moved, tilted and brought nearer in its own plane, never turned in depth."""
    height, width = image.shape[:2]
    sways = performance.sways
    angle = 3.0 * sways["roll_deg"].at(at_ms)
    scale = 1.04 + 3 * sways["scale"].at(at_ms)  # a little larger than the frame: its edge is not seen
    moved = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    moved[0, 2] += 0.010 * width * sways["yaw_deg"].at(at_ms)
    moved[1, 2] += 0.010 * width * sways["pitch_deg"].at(at_ms)
    return np.ascontiguousarray(
        cv2.warpAffine(image, moved, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def laid(image: RgbImage, placed: Doubles, behind: RgbImage, held: Held) -> RgbImage:
    """``image`` moved by the homography ``placed`` over ``behind``, and lit as paper turned away from a window is."""
    size = (behind.shape[1], behind.shape[0])
    lit = cv2.convertScaleAbs(image, alpha=_light(held))
    picture = behind.copy()
    cv2.warpPerspective(lit, placed, size, picture, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT)
    return picture


def bent(sheet: Sheet, radius: float, held: Held, middle: tuple[float, float], behind: RgbImage) -> RgbImage:
    """The sheet bent to a cylinder of ``radius`` pixels with an upright axis, turned about that axis."""
    height, width = behind.shape[:2]
    away = _CAMERA * sheet.face_width
    slope = (np.arange(width) - middle[0] - held.shift[0]) / (away * held.scale)  # x over z of each column's ray
    # nearest point of the ray with x² + (z - away - radius)² = radius², the sheet's middle being at z = away
    axis = away + radius
    half = axis / (1 + slope**2)
    under = half**2 - (axis**2 - radius**2) / (1 + slope**2)
    meets = under >= 0
    depth = half - np.sqrt(np.maximum(under, 0))
    angle = np.arctan2(slope * depth, axis - depth) - math.radians(held.yaw_deg)
    from_x = sheet.centre[0] + radius * angle
    from_x[~meets] = -1e6
    rows = (np.arange(height) - middle[1] - held.shift[1]) / (away * held.scale)
    from_y = sheet.centre[1] + rows[:, None] * depth[None, :]
    map_x = np.broadcast_to(from_x.astype(np.float32), (height, width))
    lit = cv2.convertScaleAbs(sheet.image, alpha=_light(held))
    picture = behind.copy()
    return np.asarray(
        cv2.remap(
            lit,
            np.ascontiguousarray(map_x),
            from_y.astype(np.float32),
            cv2.INTER_LINEAR,
            picture,
            borderMode=cv2.BORDER_TRANSPARENT,
        ),
        np.uint8,
    )


def _through(picture: RgbImage, inside: RgbImage, opening: NDArray[np.uint8]) -> RgbImage:
    """``inside`` seen through ``opening`` (0..255) of ``picture``, with the shadow of the paper's edge on it."""
    x, y, across, down = cv2.boundingRect(opening)
    if across == 0 or down == 0:
        return picture
    part = (slice(y, y + down), slice(x, x + across))
    open_here = opening[part].astype(np.float32)[..., None] / np.float32(255)
    shade = cv2.GaussianBlur(opening[part], (0, 0), max(across * 0.04, 1.0)).astype(np.float32)[..., None] / 255
    seen = inside[part] * (0.45 + 0.5 * shade)
    picture[part] = np.clip(picture[part] * (1 - open_here) + seen * open_here + 0.5, 0, 255).astype(np.uint8)
    return picture


def _played(studio: Studio, steps: tuple[Step, ...], show: Callable[[Performance, float], RgbImage]) -> Footage:
    performance = studio.performed(steps)
    voice = through_a_speaker(performance.voice, performance.rate_hz)
    return Footage(
        duration_ms=performance.duration_ms,
        picture=lambda at_ms: show(performance, at_ms),
        sound=in_a_room(voice, performance.rate_hz, studio.noise("room")),
        performance=performance,
    )


def _light(held: Held) -> float:
    return 0.72 + 0.28 * math.cos(math.radians(held.yaw_deg))


def _middle(actor: Actor) -> tuple[float, float]:
    box = actor.frontal.face.box
    return box.x + box.width / 2, box.y + box.height / 2
