"""A portrait that can turn its head, open its mouth and blink: the picture warped over the face's own landmark mesh.

No model makes a pixel here. The 478 landmarks of the portrait, with their depth, are turned in space; the triangles between
them carry the picture along. Rings of points around the face take the motion over to hair, ears and neck and let it fade,
so that the picture stays still towards its edge. The mesh moves what is there and shows nothing that is not, so it is good
for small angles (12 degrees look natural) and bears up to about 35.

How a frame is made:

    (1) expression: jaw, lips and lids move their landmarks in the portrait's own plane
    (2) head: all points turn about the middle of the head, rings with less and less weight
    (3) every triangle is painted, far ones first, as its number into a coarse map; near parts so hide far ones
    (4) each cell asks its triangle where in the portrait it came from; the map is enlarged and the portrait sampled
    (5) the mouth's inside is laid in: teeth stay with the skull, below them it is dark
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from liveness.capture import RgbImage
from liveness.evidence import Face

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Landmark indices of MediaPipe's face mesh; "right" and "left" are the subject's.
MESH = 468  # the last ten are irises, which move with the eye's inside
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
_EAR_RIGHT, _EAR_LEFT = 234, 454
# Lips from the subject's right corner to the left one; the corners belong to both.
_INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
_INNER_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
LIP_ROWS_UPPER = (
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
    (76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306),
    (62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292),
    _INNER_UPPER,
)
LIP_ROWS_LOWER = (
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
    (76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306),
    (62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292),
    _INNER_LOWER,
)
# From corner to corner without the corners: upper lid, lower lid, the fold above the upper lid, the skin under the brow.
LIDS = (
    (
        (246, 161, 160, 159, 158, 157, 173), (7, 163, 144, 145, 153, 154, 155), (247, 30, 29, 27, 28, 56, 190),
        (113, 225, 224, 223, 222, 221, 189), (33, 133),
    ),
    (
        (466, 388, 387, 386, 385, 384, 398), (249, 390, 373, 374, 380, 381, 382), (467, 260, 259, 257, 258, 286, 414),
        (342, 445, 444, 443, 442, 441, 413), (263, 362),
    ),
)  # fmt: skip

_FOLD_FOLLOWS = np.array([0.6, 0.9, 1.0, 1.0, 0.95, 0.7, 0.25])[:, None]  # less and less towards the corners
_SKIN_FOLLOWS = np.array([0.4, 0.8, 1.0, 1.0, 1.0, 0.8, 0.4])[:, None]

# Rings around the face: distance (of the oval's radius), depth kept (of the oval's own), how far they follow the head.
_RINGS = ((1.12, 0.80, 1.0), (1.28, 0.45, 0.95), (1.50, 0.10, 0.75), (1.90, 0.0, 0.38))
_STILL_LEAST = 1.15  # beside somebody else, of the oval's radius
_STILL_FROM = (1.9, 2.7)  # of the oval's radius: nothing moves from here on, nearer where the picture ends sooner
_NECK_FOLLOWS = (0.92, 0.62, 0.34, 0.12)  # the rings again, straight below the chin
_NECK_DROPS = (0.80, 0.45, 0.15, 0.0)  # and how far they go down with the chin

# The sides of the head are seen edge-on and drawn out wide by a turn. Their landmarks lie just off the skin at times, so they
# are brought inwards a little: then it is skin that is drawn out, and not hair and background.
_SIDE_FROM = 0.8  # of half the face's width
_SIDE_INWARD = 0.04  # of the face's width

_INSIDE_BEHIND = 0.05  # of the face's width: lids and lips lie over the inside of eyes and mouth

_TURN_GAIN = 1.16  # measured: the landmarker reads so much less than the mesh was turned
_CAMERA = 6.0  # distance of the camera, in face widths: a phone at arm's length
_JAW_DROP = 0.24  # of the face's width: how far the chin goes at ``jaw_open`` 1
CELLS_ACROSS_FACE = 150  # cells of the coarse map over the face's width; more costs time and shows no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """What the head does, as a change from the portrait: ``Pose()`` is the portrait itself.

    yaw_deg : positive brings the nose towards the right edge of the picture. pitch_deg : positive looks down.
    roll_deg : positive is counter-clockwise in the picture. All as in :class:`liveness.evidence.Face`; within 40 degrees.
    shift_x, shift_y : the head's way right and down, in face widths. scale : of the head, 1 as it is.
    jaw_open : 0 as in the portrait .. 1 wide open. lips_closed : 0 as in the portrait .. 1 inner lips meet.
    mouth_wide : -1 rounded .. 1 drawn wide. blink : 0 as in the portrait .. 1 shut.
    """

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    scale: float = 1.0
    jaw_open: float = 0.0
    lips_closed: float = 0.0
    mouth_wide: float = 0.0
    blink: float = 0.0


class PortraitMesh:
    """One person's portrait, ready to be shown in any pose. Safe to share between threads: rendering changes nothing."""

    def __init__(
        self, image: RgbImage, face: Face, *, cells: int = CELLS_ACROSS_FACE, beside: Sequence[Face] = ()
    ) -> None:
        """
        image : the portrait, ``(H, W, 3) uint8 RGB``. A frontal one with the mouth shut gives the best clips.
        face : its landmarks (478 points), in pixels of ``image``. cells : of the coarse map, over the face's width.
        beside : other faces in ``image``: nothing of theirs moves along.

        Raises:
            ValueError: when ``image`` is no RGB picture or the landmarks are not 478 finite points.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"expected (H, W, 3) uint8, got {image.shape} {image.dtype}")
        points = np.asarray(face.landmarks, np.float64)
        if points.shape != (478, 3) or not np.isfinite(points).all():
            raise ValueError(f"expected 478 finite landmarks, got {points.shape}")
        self.image = np.ascontiguousarray(image)
        self.width, self.height = image.shape[1], image.shape[0]
        self._face = points[:MESH].copy()
        ears = self._face[[_EAR_RIGHT, _EAR_LEFT]]
        self.face_width = max(float(np.linalg.norm(ears[1] - ears[0])), 8.0)  # pixels, ear to ear
        self._centre = ears.mean(axis=0)
        self._others = [_middle_and_radius(np.asarray(other.landmarks, np.float64)) for other in beside]
        self._build(face, cells)

    # --- once for each portrait --------------------------------------------------------------------------------------

    def _build(self, face: Face, cells: int) -> None:
        self._upright = _rotation(-face.yaw_deg, 0.0, -face.roll_deg)
        aside = (self._face - self._centre) @ self._upright[0] / (0.5 * self.face_width)
        inward = _ease((np.abs(aside) - _SIDE_FROM) / (1 - _SIDE_FROM)) * np.sign(aside)
        self._face -= np.outer(inward * (_SIDE_INWARD * self.face_width), self._upright[0] * (1, 1, 0))
        self._mouth = _Mouth.of(self._face, self._centre, self.face_width, self._upright)
        ring_points, ring_follows = self._rings()
        eyes = np.concatenate([_lid_outline(lids) for lids in LIDS])
        # The eyes' inside gets points of its own, so that a lid closes over the eye and does not squash it.
        self._eye_from = eyes
        self._points = np.concatenate([self._face, ring_points, self._face[eyes]])
        chin = self._mouth.drop[list(OVAL)]
        self._ring_drops = np.concatenate([*(chin * share for share in _NECK_DROPS), chin * 0])
        self._follows = np.concatenate([np.ones(MESH), ring_follows, np.ones(len(eyes))])[:, None]
        self._triangles, self._layers = self._triangulate(len(ring_points))
        self._behind = np.where(self._layers == 1, _INSIDE_BEHIND * self.face_width, 0.0)
        self._step = max(1, round(self.face_width / cells))
        outer = self._points[MESH : MESH + len(ring_points), :2]
        low = np.floor(np.maximum(outer.min(axis=0), 0)).astype(int)
        high = np.ceil(np.minimum(outer.max(axis=0) + 1, (self.width, self.height))).astype(int)
        self._region = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))  # left, top, right, bottom: what may move
        self._light = self._skin_light()

    def _rings(self) -> tuple[Doubles, Doubles]:
        """Points around the face with their depth, ``(n, 3)``, and how far each follows the head, ``(n,)``."""
        oval = self._face[list(OVAL)]
        middle = (oval[:, :2].min(axis=0) + oval[:, :2].max(axis=0)) / 2
        away = oval[:, :2] - middle
        depth = oval[:, 2] - self._centre[2]
        radius = np.linalg.norm(away, axis=1)
        to_edge = self._distance_to_edge(middle, away / radius[:, None])
        still = np.clip(to_edge, radius * _STILL_FROM[0], radius * _STILL_FROM[1])
        to_others = self._distance_to_others(middle, away / radius[:, None], float(radius.mean()))
        still = np.minimum(still, np.maximum(to_others, radius * _STILL_LEAST))
        below = np.clip((self._upright[:2, :2] @ (away / radius[:, None]).T)[1], 0, 1) ** 2
        points, follows = [], []
        for (far, keep, follow), neck in zip(_RINGS, _NECK_FOLLOWS, strict=True):
            share = (far - 1) / (_RINGS[-1][0] - 1) * 0.8  # of the way from the oval to where nothing moves
            at = np.minimum(radius * far, radius + (still - radius) * share)
            points.append(np.column_stack([middle + away * (at / radius)[:, None], self._centre[2] + depth * keep]))
            follows.append(follow + (neck - follow) * below)
        points.append(np.column_stack([middle + away * (still / radius)[:, None], np.full(len(oval), self._centre[2])]))
        follows.append(np.zeros(len(oval)))
        return np.concatenate(points), np.concatenate(follows)

    def _distance_to_edge(self, start: Doubles, direction: Doubles) -> Doubles:
        """How far it is from ``start`` to the picture's edge along each direction, pixels."""
        with np.errstate(divide="ignore"):
            right_left = np.where(direction[:, 0] > 0, self.width - 1 - start[0], -start[0]) / direction[:, 0]
            down_up = np.where(direction[:, 1] > 0, self.height - 1 - start[1], -start[1]) / direction[:, 1]
        return np.asarray(np.maximum(np.minimum(np.abs(right_left), np.abs(down_up)), 1.0))

    def _distance_to_others(self, start: Doubles, direction: Doubles, radius: float) -> Doubles:
        """How far it is from ``start`` along each direction to where the nearest of the other faces begins to be nearer, each
        by its size: pixels, infinite where there is none."""
        found = np.full(len(direction), np.inf)
        for middle, its_radius in self._others:
            way = middle - start
            towards = direction @ way
            border = radius / (radius + its_radius) * float(way @ way)
            with np.errstate(divide="ignore"):
                found = np.where(towards > 0, np.minimum(found, border / np.maximum(towards, 1e-9)), found)
        return np.asarray(found)

    def _triangulate(self, rings: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Triangles ``(t, 3)`` and the layer of each: 0 surroundings, 1 inside of eyes and mouth, 2 face.

        Delaunay of the face rolled out flat from a cylinder, with eyes and mouth held open: in the plane of the picture,
        a closed mouth's lips are so near each other that triangles would tie one to the other.
        """
        from scipy.spatial import Delaunay  # type: ignore[import-untyped, unused-ignore]

        opened = self._face + self._mouth.moves(0.6, 0.0, 0.0) + self.shut_eyes(-0.15)
        flat = (opened - self._centre) @ self._upright.T
        back = 0.25 * self.face_width
        rolled = np.column_stack([np.arctan2(flat[:, 0], back - flat[:, 2]) * self.face_width * 0.5, flat[:, 1]])
        oval = rolled[list(OVAL)]
        middle = (oval.min(axis=0) + oval.max(axis=0)) / 2
        around = [middle + (oval - middle) * far for far in (*(ring[0] for ring in _RINGS), 2.6)]
        triangles = Delaunay(np.concatenate([rolled, *around])).simplices.astype(np.int32)
        layers = np.where((triangles >= MESH).any(axis=1), 0, 2).astype(np.int32)
        own = {int(landmark): MESH + rings + i for i, landmark in enumerate(self._eye_from)}
        for outline in (set(_lid_outline(lids).tolist()) for lids in LIDS):
            for number in np.nonzero(np.isin(triangles, list(outline)).all(axis=1))[0]:
                triangles[number] = [own[int(corner)] for corner in triangles[number]]
                layers[number] = 1
        layers[np.isin(triangles, [*_INNER_UPPER, *_INNER_LOWER]).all(axis=1)] = 1
        return triangles, layers

    def _skin_light(self) -> float:
        """How bright the face is, 0..1: what is painted into the mouth is lit like it."""
        cheeks = np.round(self._face[[50, 280, 101, 330, 205, 425], :2]).astype(int)
        x, y = np.clip(cheeks[:, 0], 0, self.width - 1), np.clip(cheeks[:, 1], 0, self.height - 1)
        return float(np.clip(self.image[y, x].mean() / 190.0, 0.25, 1.1))

    # --- for each frame ----------------------------------------------------------------------------------------------

    def render(self, pose: Pose, *, size: tuple[int, int] | None = None, over: RgbImage | None = None) -> RgbImage:
        """The portrait in ``pose``; ``(H, W, 3) uint8 RGB`` of the portrait's own size, or of ``size`` (width, height).

        over : the picture with others in it already posed; it is changed in place, and this face is taken from it.
        """
        image = self.image.copy() if over is None else over
        if pose != Pose():
            expression = self._face + self._mouth.moves(pose.jaw_open, pose.lips_closed, pose.mouth_wide)
            expression += self.shut_eyes(pose.blink)
            points = self._points.copy()
            points[:MESH, :2] = expression[:, :2]
            points[:MESH, 2] += expression[:, 2] - self._face[:, 2]
            points[MESH : MESH + len(self._ring_drops)] += self._ring_drops * pose.jaw_open
            turned = self._turn(points, pose)
            self._warp(image, turned, self.image if over is None else over)
            rigid = self._turn(self._points, pose)
            self._fill_mouth(image, turned, rigid, pose)
        if size is None or size == (self.width, self.height):
            return image
        how = cv2.INTER_AREA if size[0] < self.width else cv2.INTER_CUBIC
        return np.ascontiguousarray(cv2.resize(image, size, interpolation=how), np.uint8)

    def shut_eyes(self, amount: float) -> Doubles:
        """How far each landmark moves when the eyes shut by ``amount``; ``(468, 3)`` pixels."""
        moves = np.zeros((MESH, 3))
        if amount:
            # The fold comes along, so that it is skin that stretches and not the dark row of lashes.
            for upper, lower, fold, skin, _ in LIDS:
                way = (self._face[list(lower)] - self._face[list(upper)]) * amount
                moves[list(upper)] = way
                moves[list(lower)] = way * -0.3
                moves[list(fold)] = way * 1.2 * _FOLD_FOLLOWS
                moves[list(skin)] = way * 0.5 * _SKIN_FOLLOWS
        return moves

    def _turn(self, points: Doubles, pose: Pose) -> Doubles:
        """Where ``points`` (those of ``self._points``, moved or not) are in ``pose``; ``(n, 3)`` pixels."""
        rotation = _rotation(pose.yaw_deg * _TURN_GAIN, pose.pitch_deg, pose.roll_deg)
        rest = points - self._centre
        turned = rest @ rotation.T
        camera = _CAMERA * self.face_width
        nearer = (camera + rest[:, 2:]) / np.maximum(camera + turned[:, 2:], 1.0)
        turned[:, :2] *= nearer * pose.scale
        turned[:, 0] += pose.shift_x * self.face_width
        turned[:, 1] += pose.shift_y * self.face_width
        return np.asarray(points + self._follows * (turned - rest))

    def worn(
        self, landmarks: Doubles, fit: Doubles, *, corner: tuple[int, int], size: tuple[int, int], step: int
    ) -> RgbImage:
        """The portrait laid over a face in another picture: the part of that picture from ``corner`` on, of ``size`` (width,
        height). Only what lies within the face's oval is meant to be used.

        landmarks : ``(468, 3)`` where the face's landmarks are there, pixels. fit : ``(3, 4)`` takes points of the portrait to
        where the head is there; the insides of the eyes go by it, so that lids close over them. step : pixels of a map's cell.
        """
        turned = self._points @ fit[:, :3].T + fit[:, 3]
        turned[:MESH] = landmarks
        return self._painted(self.image, turned, corner, size, step)

    @property
    def landmarks(self) -> Doubles:
        """``(468, 3)`` pixels of the portrait, as triangles use them."""
        return self._face.copy()

    def _warp(self, image: RgbImage, turned: Doubles, portrait: RgbImage) -> None:
        """Paint the moved region of ``image`` from ``portrait``, for vertices now at ``turned``."""
        left, top, right, bottom = self._region
        size = (right - left, bottom - top)
        image[top:bottom, left:right] = self._painted(portrait, turned, (left, top), size, self._step)

    def _painted(
        self, portrait: RgbImage, turned: Doubles, corner: tuple[int, int], size: tuple[int, int], step: int
    ) -> RgbImage:
        """What is seen from ``corner`` on, of ``size`` (width, height), for vertices at ``turned``."""
        width, height = size
        columns, rows = -(-width // step), -(-height // step)
        source = self._cells(turned, corner, (columns, rows), step)
        whole = (columns * step, rows * step)
        full = cv2.resize(source, whole, interpolation=cv2.INTER_LINEAR)[:height, :width]
        # Where one part hides another, places in between belong to neither: no blending of the map there, but of colours.
        jumps = _edges(source, step)
        edges = cv2.resize(jumps, whole, interpolation=cv2.INTER_NEAREST)[:height, :width]
        cv2.copyTo(cv2.resize(source, whole, interpolation=cv2.INTER_NEAREST)[:height, :width], edges, full)
        # cv2's own types know no None here; an empty array in its place makes it loop for ever
        moved = cv2.remap(  # type: ignore[call-overload, unused-ignore]
            portrait, full, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        x, y, across, down = (side * step for side in cv2.boundingRect(jumps))
        if across:
            part = moved[y : y + down, x : x + across]
            cv2.copyTo(cv2.blur(part, (2 * step + 1, 2 * step + 1)), edges[y : y + down, x : x + across], part)
        return np.asarray(moved, np.uint8)

    def _cells(self, turned: Doubles, corner: tuple[int, int], cells: tuple[int, int], step: int) -> Floats:
        """For each cell, where its middle comes from in the portrait: ``(rows, columns, 2) float32``, x and y pixels."""
        offset = np.array(corner) - 0.5 + step / 2
        at = (turned[:, :2] - offset) / step
        corners = at[self._triangles]  # (t, 3, 2) in cells
        back = _affine_back(corners, self._points[self._triangles][:, :, :2])
        depth = turned[self._triangles, 2].mean(axis=1) + self._behind
        order = np.lexsort((-depth, np.where(_is_thin(corners), -1, self._layers > 0)))
        numbers = np.zeros((cells[1], cells[0]), np.int32)
        fixed = np.round(corners * 16).astype(np.int32)
        for number in order.tolist():
            cv2.fillConvexPoly(numbers, fixed[number], number + 1, lineType=8, shift=4)
        still = np.array([[[step, 0], [0, step], offset]])
        table = np.concatenate([still, back]).astype(np.float32)
        places = np.take(table[:, 2], numbers, axis=0)
        for axis, cells_along in ((0, np.arange(cells[0])[None, :, None]), (1, np.arange(cells[1])[:, None, None])):
            slope = np.take(table[:, axis], numbers, axis=0)
            slope *= cells_along.astype(np.float32)
            places += slope
        return np.asarray(places, np.float32)

    def _fill_mouth(self, image: RgbImage, turned: Doubles, rigid: Doubles, pose: Pose) -> None:
        """Lay the inside of the mouth between the lips: teeth as the portrait has them, dark where the jaw went down."""
        if pose.jaw_open <= 0 and pose.lips_closed <= 0:
            return
        lips = turned[[*_INNER_UPPER, *_INNER_LOWER[-2:0:-1]], :2]
        margin = self.face_width * 0.04 + 2
        low = np.floor(np.maximum(lips.min(axis=0) - margin, 0)).astype(int)
        high = np.ceil(np.minimum(lips.max(axis=0) + margin, (self.width, self.height))).astype(int)
        if (high - low < 2).any():
            return
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        soft = self.face_width * 0.008
        teeth_outline = rigid[[*_INNER_UPPER, *_INNER_LOWER[-2:0:-1]], :2] - low
        inside = self._mouth_colours(size, turned[:, :2] - low, pose)
        teeth = self._teeth(size, rigid, low)
        seen = _soft_mask(size, teeth_outline, soft)[..., None]
        inside += (teeth - inside) * seen
        gap = _soft_mask(size, lips - low, soft * 0.8)[..., None]
        patch = image[low[1] : high[1], low[0] : high[0]]
        patch[:] = np.clip(patch + (inside - patch) * gap + 0.5, 0, 255).astype(np.uint8)

    def _mouth_colours(self, size: tuple[int, int], at: Doubles, pose: Pose) -> Floats:
        """Dark inside with a hint of tongue below and, for a portrait without visible teeth, of teeth above."""
        upper, lower = at[list(_INNER_UPPER)], at[list(_INNER_LOWER)]
        open_px = float(np.linalg.norm(lower[5] - upper[5]))
        inside = np.empty((size[1], size[0], 3), np.float32)
        inside[:] = np.array([46, 20, 18], np.float32) * self._light
        middle, across = (upper[5] + lower[5]) / 2, upper[-1] - upper[0]
        half = max(float(np.linalg.norm(across)) / 2, 1.0)
        tilt = math.degrees(math.atan2(across[1], across[0]))
        down = lower[5] - upper[5]
        tongue = _soft_ellipse(size, middle + down * 0.42, (half * 0.55, max(open_px * 0.28, 1.0)), tilt, half * 0.12)
        inside += (np.array([134, 62, 60], np.float32) * self._light - inside) * (0.75 * tongue[..., None])
        if not self._mouth.shows_teeth:
            rise = float(np.clip(open_px / (0.09 * self.face_width) - 0.25, 0, 1))
            if rise > 0:
                high = min(0.042 * self.face_width, open_px * 0.34)
                edge = (
                    upper[1:-1] + down / max(open_px, 1e-6) * high * np.sin(np.linspace(0.35, np.pi - 0.35, 9))[:, None]
                )
                row = _soft_mask(size, np.concatenate([upper[1:-1], edge[::-1]]), self.face_width * 0.009)
                inside += (np.array([196, 186, 174], np.float32) * self._light - inside) * (0.7 * rise * row[..., None])
        return inside

    def _teeth(self, size: tuple[int, int], rigid: Doubles, low: NDArray[np.int_]) -> Floats:
        """What the portrait shows between the lips, moved with the skull: one affine map, it is a small flat patch."""
        outline = [*_INNER_UPPER, *_INNER_LOWER[-2:0:-1]]
        now = np.column_stack([rigid[outline, :2] - low, np.ones(len(outline))])
        back, *_ = np.linalg.lstsq(now, self._points[outline, :2], rcond=None)
        return np.asarray(
            cv2.warpAffine(
                self.image,
                np.ascontiguousarray(back.T),
                size,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REFLECT_101,
            ),
            np.float32,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Mouth:
    """How lips, chin and cheeks follow jaw and lips. All ``(468, 3)`` pixels: the way of each landmark at amount 1."""

    drop: Doubles
    close: Doubles
    widen: Doubles
    shows_teeth: bool

    @classmethod
    def of(cls, face: Doubles, centre: Doubles, width: float, upright: Doubles) -> _Mouth:
        flat = (face - centre) @ upright.T  # the face's own axes: right, down, away
        upper, lower = flat[list(_INNER_UPPER)], flat[list(_INNER_LOWER)]
        left, right = upper[0], upper[-1]
        middle_x, half = (left[0] + right[0]) / 2, max((right[0] - left[0]) / 2, 1.0)
        off = (flat[:, 0] - middle_x) / half  # -1 and 1 at the corners of the mouth
        line = np.interp(flat[:, 0], upper[:, 0], (upper[:, 1] + lower[:, 1]) / 2)
        below = flat[:, 1] - line

        spread = width * (0.10 + 0.10 * np.clip(np.abs(off) - 1, 0, 2))
        drop = _ease(below / spread) * np.clip(1.25 - 0.25 * np.abs(off), 0, 1)
        for row in LIP_ROWS_LOWER:
            drop[list(row)] = 0.22 + 0.78 * np.power(np.clip(1 - off[list(row)] ** 2, 0, 1), 0.6)
        for row in LIP_ROWS_UPPER:
            drop[list(row)] = 0.22 * np.abs(np.clip(off[list(row)], -1, 1)) ** 5 - 0.03
        down = np.column_stack([-0.10 * off * half / width * drop, drop, 0.25 * drop]) * (_JAW_DROP * width)

        close = np.zeros_like(flat)
        gap = np.clip(lower[:, 1] - upper[:, 1], 0, None)
        for rows, share in ((LIP_ROWS_UPPER, 0.42), (LIP_ROWS_LOWER, -0.58)):
            for row, follow in zip(rows, (0.35, 0.55, 0.8, 1.0), strict=True):
                close[list(row), 1] = gap * share * follow
        lips = np.unique([i for row in (*LIP_ROWS_UPPER, *LIP_ROWS_LOWER) for i in row])
        others = np.setdiff1d(np.arange(MESH), lips)
        fade = np.exp(-((np.abs(below[others]) / (0.13 * width)) ** 2) - np.clip(np.abs(off[others]), 0, 9) ** 2)
        side = np.where(below[others] < 0, 0.42 * 0.35, -0.58 * 0.35)
        close[others, 1] = float(gap[5]) * side * fade

        near = np.exp(-((below / (0.22 * width)) ** 2)) * np.exp(-(np.clip(np.abs(off) - 1, 0, 9) ** 2) * 1.4)
        pull = np.clip(off, -1.6, 1.6) * half * 0.16 * near
        widen = np.column_stack([pull, -0.10 * np.abs(pull), -np.sign(off) * pull * 0.0])
        return cls(
            drop=down @ upright,
            close=close @ upright,
            widen=widen @ upright,
            shows_teeth=bool(gap[5] > 0.025 * width),
        )

    def moves(self, jaw_open: float, lips_closed: float, mouth_wide: float) -> Doubles:
        return jaw_open * self.drop + lips_closed * self.close + mouth_wide * self.widen


def _middle_and_radius(landmarks: Doubles) -> tuple[Doubles, float]:
    oval = landmarks[list(OVAL), :2]
    middle = (oval.min(axis=0) + oval.max(axis=0)) / 2
    return middle, float(np.linalg.norm(oval - middle, axis=1).mean())


def _lid_outline(lids: tuple[tuple[int, ...], ...]) -> NDArray[np.int_]:
    upper, lower, *_, corners = lids
    return np.array([corners[0], *upper, corners[1], *reversed(lower)])


def _ease(amount: Doubles) -> Doubles:
    """Smoothly from 0 to 1 (Hermite)."""
    held = np.clip(amount, 0.0, 1.0)
    return np.asarray(held * held * (3 - 2 * held))


def _rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Doubles:
    """Rotation of columns (x right, y down, z away), signs as in :class:`Pose`: roll, then pitch, then yaw."""
    yaw, pitch, roll = (math.radians(angle) for angle in (yaw_deg, pitch_deg, roll_deg))
    about_y = np.array([[math.cos(yaw), 0, -math.sin(yaw)], [0, 1, 0], [math.sin(yaw), 0, math.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]])
    about_z = np.array([[math.cos(roll), math.sin(roll), 0], [-math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    return np.asarray(about_y @ about_x @ about_z)


def _edges(source: Floats, step: int) -> NDArray[np.uint8]:
    """255 for cells beside which the map jumps, else 0; ``(rows, columns) uint8``."""
    jump = np.zeros(source.shape[:2], np.uint8)
    most = np.float32(3.5 * step)
    across = cv2.absdiff(source[:, 1:], source[:, :-1]) > most
    down = cv2.absdiff(source[1:], source[:-1]) > most
    jump[:, 1:] |= (across[..., 0] | across[..., 1]).view(np.uint8)
    jump[1:] |= (down[..., 0] | down[..., 1]).view(np.uint8)
    return np.asarray(cv2.dilate(jump * np.uint8(255), np.ones((3, 3), np.uint8)), np.uint8)


def _is_thin(corners: Doubles) -> NDArray[np.bool_]:
    """Which triangles ``(t, 3, 2)`` are thinner than a third of a cell: others cover them, and they would smear."""
    sides = np.roll(corners, -1, axis=1) - corners
    doubled = np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0])
    return np.asarray(doubled < 0.35 * np.linalg.norm(sides, axis=2).max(axis=1))


def _affine_back(now: Doubles, before: Doubles) -> Doubles:
    """Affine maps ``(t, 3, 2)`` that take each triangle's place ``now`` to its place ``before`` (both ``(t, 3, 2)``)."""
    first, one, two = now[:, 0], now[:, 1] - now[:, 0], now[:, 2] - now[:, 0]
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    area = np.where(np.abs(area) < 1e-3, np.inf, area)  # seen edge-on: its first corner's colour
    to_one = np.stack([two[:, 1], -two[:, 0]], axis=1) / area[:, None]
    to_two = np.stack([-one[:, 1], one[:, 0]], axis=1) / area[:, None]
    a, b = before[:, 1] - before[:, 0], before[:, 2] - before[:, 0]
    linear = to_one[:, :, None] * a[:, None, :] + to_two[:, :, None] * b[:, None, :]  # (t, now x/y, before x/y)
    constant = before[:, 0] - np.einsum("ti,tij->tj", first, linear)
    return np.concatenate([linear, constant[:, None, :]], axis=1)


def _soft_mask(size: tuple[int, int], outline: Doubles, soft_px: float) -> Floats:
    """1 inside ``outline``, 0 outside, over ``size`` (width, height), with an edge about ``soft_px`` wide."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(soft_px, 0.4)), np.float32) / np.float32(255)


def _soft_ellipse(
    size: tuple[int, int], middle: Doubles, radii: tuple[float, float], tilt_deg: float, soft_px: float
) -> Floats:
    mask = np.zeros((size[1], size[0]), np.uint8)
    at = (round(float(middle[0]) * 16), round(float(middle[1]) * 16))
    axes = (round(radii[0] * 16), round(radii[1] * 16))
    cv2.ellipse(mask, at, axes, tilt_deg, 0, 360, 255, -1, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(soft_px, 0.4)), np.float32) / np.float32(255)
