"""One person's face laid over another's in a picture: where it goes, how it is lit, what stands before it, where it ends.

where      The head's place and turn are the film's, and so are the lips that meet and part; the form of the face is the
           double's own, a little less at the outline. Expressions come along as changes from the film's resting face.
light      What is smooth in the film's face (shadows, the colour of the lamp) is put onto the double's in place of its
           own; what is fine stays the double's.
in front   A hand or a microphone is what differs from how this face looks in the rest of the film; it stays in front.
hair       Nobody's fringe is laid over the other's forehead, and the film's stays where it is.
border     Inside the outline, softly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from likeness.mesh import LIDS, LIP_ROWS_LOWER, LIP_ROWS_UPPER, OVAL, PortraitMesh
from liveness.capture import RgbImage

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

# What of a face keeps its form whatever it does: forehead, bridge and sides of the nose, corners of the eyes, temples, ears.
_RIGID = (
    10, 67, 109, 338, 297, 103, 332, 54, 284, 21, 251, 127, 356, 162, 389, 234, 454, 168, 6, 197, 195, 5, 4, 1, 33, 133, 362,
    263, 98, 327, 50, 280, 151, 9, 8,
)  # fmt: skip
_INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
_OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
_EYES = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
)
_LID_MIDDLES = ((159, 145), (386, 374))
_EYES_OPEN, _EYES_SHUT = 0.85, 0.40  # of how far they usually are open
_SKIN = (50, 280, 101, 330, 205, 425, 5, 195, 151)  # cheeks, nose, between the brows
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
# Pixels of the flat form above the brows' landmarks that are not looked at: the film's brows are no fringe, and move; the
# portrait's fringe may reach down to them.
_FILM_BROWS, _PORTRAIT_BROWS = 7, 2
_LAB_WEIGHTS = np.array([0.45, 1.0, 1.0], np.float32)  # shadows are no hair
_HAIR_FROM, _HAIR_FULL = 11.0, 20.0  # distance from the skin's colour so weighted (OpenCV's 8-bit L*a*b*)

# Measured: the form of the face carries more of who it is than its light. With the film's outline and lips the similarity
# to the double was 0.51 where it is 0.62 with these.
_OUTLINE_OWN = 0.8
_OWN_FULL = 0.13  # of the face's width, from the outline inwards
_LIPS_OWN_FULL = 0.03  # the same from the inner lips outwards
_MOUTH_MOST = 1.3  # times wider or narrower than the film's
_INWARD = 0.03  # of the face's width: how far inside the outline the border's middle lies
_SOFT = 0.025  # of the face's width: standard deviation of the border's softness
_LIGHT_SMOOTH = 0.20  # of the face's width: finer than this is the double's own
_LIGHT_MOST = 2.2  # times brighter or darker
_LIGHT_HELD = 0.65  # of a picture's light comes from those before it
_LIGHT_SIDE = 24  # cells of what is held, over the face
_FLAT_SIDE = 96  # pixels of the face rolled out, in which what stands before it is looked for
_FLAT_GRID = 2
_IN_FRONT = 3.0  # times what is usual at that place
_IN_FRONT_LEAST = 14.0  # grey levels
_ALIKE = 3.0  # standard deviations from its colours
_IN_FRONT_AREA = 0.03  # of the face: less is an expression or a highlight


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Worn:
    """Where a double's face is in one picture of the film.

    landmarks : ``(468, 3)`` pixels. film : those of the film's own face. fit : ``(3, 4)`` from the portrait to the film's head.
    mouth : ``(2, 3)`` from the film's own mouth to where the double's is.
    """

    landmarks: Doubles = field(repr=False)
    film: Doubles = field(repr=False)
    fit: Doubles
    mouth: Doubles


def fits(shape: Doubles, faces: Sequence[Doubles]) -> list[Doubles]:
    """For each of ``faces`` (``(468, 3)`` pixels), the ``(3, 4)`` similarity that brings ``shape`` nearest (Umeyama 1991)."""
    made = []
    index = list(_RIGID)
    for face in faces:
        here, there = shape[index], face[index]
        middle, middle_to = here.mean(axis=0), there.mean(axis=0)
        rest, rest_to = here - middle, there - middle_to
        left, stretch, right = np.linalg.svd(rest_to.T @ rest)
        sign = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
        scale = float((stretch * sign).sum() / np.square(rest).sum())
        spin = scale * (left * sign) @ right
        made.append(np.column_stack([spin, middle_to - spin @ middle]))
    return made


def worn_in(mesh: PortraitMesh, faces: Sequence[Doubles]) -> list[Worn]:
    """How the face of ``mesh`` is worn in each of a film's ``faces`` (``(468, 3)`` pixels each), which are in order."""
    shape = mesh.landmarks
    placed = fits(shape, faces)
    spins = [np.linalg.inv(fit[:, :3]) for fit in placed]
    unposed = np.stack([(face - fit[:, 3]) @ back.T for face, fit, back in zip(faces, placed, spins, strict=True)])
    changes = unposed - np.median(unposed, axis=0)
    changes[:, [number for lids in LIDS for row in lids for number in row]] = 0
    shut = _shut(unposed)
    own = _own_share(shape)[:, None]
    made = []
    for face, fit, change, closing in zip(faces, placed, changes, shut, strict=True):
        wanted = (shape + change + mesh.shut_eyes(float(closing))) @ fit[:, :3].T + fit[:, 3]
        landmarks = face + own * (wanted - face)
        mouth = _mouth(face, wanted)
        for rows in (
            LIP_ROWS_UPPER,
            LIP_ROWS_LOWER,
        ):  # where the double's are, as thick as those, as far apart as the film's
            inner = list(rows[-1])
            opened = face[inner] @ mouth[:, :3].T + mouth[:, 3]
            for row in rows:
                landmarks[list(row)] = opened + (wanted[list(row)] - wanted[inner])
        made.append(Worn(landmarks=landmarks, film=face, fit=fit, mouth=mouth[:2, [0, 1, 3]]))
    return made


def _shut(unposed: Doubles) -> Doubles:
    """How far the film's eyes are shut in each picture, ``(n,)`` 0..1, by how far they mostly are open. A landmarker does not
    see lids meet: shut eyes still measure a third of open ones."""
    opened = np.mean([np.linalg.norm(unposed[:, a] - unposed[:, b], axis=1) for a, b in _LID_MIDDLES], axis=0)
    usual = max(float(np.percentile(opened, 60)), 1e-6)
    return np.asarray(_ease((_EYES_OPEN - opened / usual) / (_EYES_OPEN - _EYES_SHUT)))


def _mouth(film: Doubles, wanted: Doubles) -> Doubles:
    """``(3, 4)``: takes the film's mouth to where the double's is, and to its width."""
    corners = [_INNER_LIPS[0], _INNER_LIPS[10]]
    wide, wide_wanted = (float(np.linalg.norm(np.diff(each[corners], axis=0))) for each in (film, wanted))
    scale = min(max(wide_wanted / max(wide, 1.0), 1 / _MOUTH_MOST), _MOUTH_MOST)
    middle, middle_wanted = (each[list(_INNER_LIPS)].mean(axis=0) for each in (film, wanted))
    return np.column_stack([scale * np.eye(3), middle_wanted - scale * middle])


def _own_share(shape: Doubles) -> Doubles:
    """How much each landmark keeps of the double's own form: ``(468,)``, most at the outline, 0 at the inner lips, else 1."""
    width = float(np.ptp(shape[list(OVAL), 0]))
    flat = shape[:, :2].astype(np.float32)

    def inside(outline: Sequence[int]) -> Doubles:
        ring = np.ascontiguousarray(flat[list(outline)])
        return np.array([cv2.pointPolygonTest(ring, (float(x), float(y)), True) for x, y in flat]) / width

    from_edge = _OUTLINE_OWN + (1 - _OUTLINE_OWN) * _ease(inside(OVAL) / _OWN_FULL)
    return np.asarray(from_edge * _ease(-inside(_INNER_LIPS) / _LIPS_OWN_FULL))


class Overlay:
    """Lays one double's face over a film's, picture after picture in order: light is held from one to the next."""

    def __init__(self, mesh: PortraitMesh, usual: UsualLook) -> None:
        self._mesh, self._usual = mesh, usual
        self._light: Floats | None = None

    def lay_on(self, image: RgbImage, worn: Worn) -> None:
        """Change ``image`` in place, within the face's outline."""
        width = float(np.ptp(worn.film[list(OVAL), 0]))
        outline = worn.landmarks[list(OVAL), :2]
        low = np.maximum(np.floor(outline.min(axis=0)) - 2, 0).astype(int)
        high = np.minimum(np.ceil(outline.max(axis=0)) + 2, (image.shape[1], image.shape[0])).astype(int)
        if (high - low < 8).any():
            return
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        patch = image[low[1] : high[1], low[0] : high[0]]
        step = max(1, round(width / 130))
        face = self._mesh.worn(worn.landmarks, worn.fit, corner=(int(low[0]), int(low[1])), size=size, step=step)
        inside = _filled(size, outline - low)
        free = self._usual.free(image, worn, (int(low[0]), int(low[1])), size)
        both = (
            inside * free * _filled(size, worn.film[list(OVAL), :2] - low)
        )  # skin in either, not the film's neck or hair
        lit = self._lit(face, patch, both, width)
        edge = max(_SOFT * width, 0.8)
        core = cv2.erode(inside, _disc(_INWARD * width))
        share = cv2.GaussianBlur(core, (0, 0), edge) * inside * free
        lips = _filled(size, worn.landmarks[list(_INNER_LIPS), :2] - low)
        if lips.any():  # what is seen in the mouth is the film's
            to = worn.mouth + np.column_stack([np.zeros((2, 2)), worn.mouth[:, :2] @ low - low])
            inside_mouth = cv2.warpAffine(patch, to, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            parted = cv2.GaussianBlur(lips, (0, 0), max(0.006 * width, 0.5))[..., None]
            lit += (inside_mouth.astype(np.float32) - lit) * parted
        patch[:] = np.clip(patch + (lit - patch) * share[..., None] + 0.5, 0, 255).astype(np.uint8)

    def _lit(self, face: RgbImage, film: RgbImage, where: Floats, width: float) -> Floats:
        """``face`` in the light of ``film``: the quotient of what is smooth in both, over the face and over time."""
        small = max(1, round(width / 48))
        size = (max(face.shape[1] // small, 4), max(face.shape[0] // small, 4))
        here, there, seen = (
            cv2.resize(np.asarray(each, np.float32), size, interpolation=cv2.INTER_AREA) for each in (face, film, where)
        )
        sigma = _LIGHT_SMOOTH * width / small
        weight = cv2.GaussianBlur(seen, (0, 0), sigma)[..., None] + np.float32(1e-3)
        smooth = [cv2.GaussianBlur(each * seen[..., None], (0, 0), sigma) / weight for each in (here, there)]
        quotient = np.clip((smooth[1] + 6) / (smooth[0] + 6), 1 / _LIGHT_MOST, _LIGHT_MOST)
        cells = cv2.resize(quotient, (_LIGHT_SIDE, _LIGHT_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        held = cells if self._light is None else cells + np.float32(_LIGHT_HELD) * (self._light - cells)
        self._light = np.asarray(held, np.float32)
        full = cv2.resize(self._light, (face.shape[1], face.shape[0]), interpolation=cv2.INTER_LINEAR)
        return np.asarray(face * full, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UsualLook:
    """How the film's face looks in most of the film, rolled out flat, so that what stands before it can be told.

    colour, spread : ``(96, 96, 3) float32``, ``spread`` grey levels either way. triangles : of landmarks. flat : ``(468, 2)``
    where landmarks are in it. judged : ``(96, 96) float32`` 1 where skin is; eyes and mouth move by themselves. bare : the
    same size, how little hair there is in the film's face and in the one to be laid over it, 0..1.
    """

    colour: Floats = field(repr=False)
    spread: Floats = field(repr=False)
    triangles: NDArray[np.int32] = field(repr=False)
    flat: Doubles = field(repr=False)
    judged: Floats = field(repr=False)
    bare: Floats = field(repr=False)

    @classmethod
    def of(cls, portrait: RgbImage, shape: Doubles, pictures: Sequence[tuple[RgbImage, Doubles]]) -> UsualLook:
        """From pictures spread over the film, each with its face's landmarks; ``shape``, the portrait's, is the flat form."""
        from scipy.spatial import Delaunay  # type: ignore[import-untyped, unused-ignore]

        low, high = shape[:, :2].min(axis=0), shape[:, :2].max(axis=0)
        flat = (shape[:, :2] - low) / (high - low) * (_FLAT_SIDE - 9) + 4
        triangles = Delaunay(flat).simplices.astype(np.int32)
        seen = np.stack([_rolled_out(image, face, flat, triangles) for image, face in pictures]).astype(np.float32)
        usual = np.median(seen, axis=0)
        seen *= np.median(usual / np.maximum(seen, 1), axis=(1, 2), keepdims=True)  # the lamp may change
        spread = np.median(np.abs(seen - usual), axis=0) * 1.5
        side = (_FLAT_SIDE, _FLAT_SIDE)
        judged = np.asarray(cv2.erode(_filled(side, flat[list(OVAL)]), _disc(1)), np.float32)
        for part in (_OUTER_LIPS, *_EYES):
            judged = judged * (1 - np.asarray(cv2.dilate(_filled(side, flat[list(part)]), _disc(3)), np.float32))
        return cls(
            colour=usual.astype(np.float32),
            spread=cv2.GaussianBlur(spread, (0, 0), 2.0).astype(np.float32),
            triangles=triangles,
            flat=flat,
            judged=judged,
            bare=_bare(_rolled_out(portrait, shape, flat, triangles), flat, _PORTRAIT_BROWS)
            * _bare(usual.astype(np.uint8), flat, _FILM_BROWS),
        )

    def free(self, image: RgbImage, worn: Worn, corner: tuple[int, int], size: tuple[int, int]) -> Floats:
        """Where the face is to be seen: 0 under hair and whatever stands before it .. 1, over the part of ``image`` from
        ``corner`` on."""
        places = _places(worn.film[:, :2] - corner, self.flat, self.triangles, size, 4)
        full = cv2.resize(places, (places.shape[1] * 4, places.shape[0] * 4), interpolation=cv2.INTER_LINEAR)
        at = np.ascontiguousarray(full[: size[1], : size[0]])

        def laid(mask: Floats, beyond: float) -> Floats:
            return np.asarray(
                cv2.remap(  # type: ignore[call-overload, unused-ignore]
                    mask, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=beyond
                ),
                np.float32,
            )

        inside = cv2.GaussianBlur(_filled(size, worn.film[list(OVAL), :2] - corner), (0, 0), 2.0)
        bare = 1 + (laid(self.bare, 1.0) - 1) * inside  # beyond the film's own face there is nothing to say
        seen = _rolled_out(image, worn.film, self.flat, self.triangles).astype(np.float32)
        hidden = self._in_front(seen)
        if hidden is None:
            return np.asarray(bare, np.float32)
        patch = image[corner[1] : corner[1] + size[1], corner[0] : corner[0] + size[0]]
        return np.asarray(bare * (1 - _whole(patch, laid(hidden, 0.0) * inside, seen, hidden, self.judged)), np.float32)

    def _in_front(self, seen: Floats) -> Floats | None:
        """Where something else stands before the rolled-out face ``seen``, 0..1; ``None``: nothing does."""
        judged = self.judged > 0.5
        gain = np.median(self.colour[judged] / np.maximum(seen[judged], 1), axis=0)
        off = np.abs(seen * gain - self.colour) / (self.spread + _IN_FRONT_LEAST / _IN_FRONT)
        strange = (cv2.GaussianBlur(off.max(axis=2), (0, 0), 1.0) > _IN_FRONT) & judged
        whole = cv2.morphologyEx(strange.astype(np.uint8), cv2.MORPH_CLOSE, _disc(3))
        _, labels, stats, _ = cv2.connectedComponentsWithStats(whole)
        large = stats[:, cv2.CC_STAT_AREA] > _IN_FRONT_AREA * judged.sum()
        large[0] = False
        return large[labels].astype(np.float32) if large.any() else None


def _whole(patch: RgbImage, mask: Floats, seen: Floats, hidden: Floats, judged: Floats) -> Floats:
    """What stands before the face, whole: also over eyes, mouth and border, where it is known by its colours.

    mask : where it was found in ``patch``. seen, hidden, judged : the rolled-out face, and where in it that is.
    """
    lab = cv2.cvtColor(patch, cv2.COLOR_RGB2LAB).astype(np.float32)
    rolled = cv2.cvtColor(seen.astype(np.uint8), cv2.COLOR_RGB2LAB).astype(np.float32)
    its, skin = rolled[cv2.erode(hidden, _disc(1)) > 0.5], rolled[(judged > 0.5) & (hidden < 0.5)]
    if len(its) < 8 or len(skin) < 8:
        return mask
    distances = [
        np.linalg.norm((lab - np.median(each, axis=0)) / (each.std(axis=0) + 6), axis=2) for each in (its, skin)
    ]
    alike = (distances[0] < distances[1]) & (distances[0] < _ALIKE)
    near = cv2.dilate(mask, _disc(0.18 * patch.shape[1])) > 0.5
    known = np.maximum((alike & near).astype(np.float32), (mask > 0.5) & (distances[0] < 2 * distances[1]))
    closed = cv2.morphologyEx(known.astype(np.uint8), cv2.MORPH_CLOSE, _disc(2))
    grown = cv2.dilate(closed.astype(np.float32), _disc(1))
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), max(0.006 * patch.shape[1], 0.6)), np.float32)


def _bare(rolled: RgbImage, flat: Doubles, brows: int) -> Floats:
    """How much of a rolled-out face is skin and not a fringe, 0..1; looked for above the brows only.

    Skin is what looks like nose and cheeks. Up from the brows, what lies above hair is hair.
    """
    lab = cv2.cvtColor(rolled, cv2.COLOR_RGB2LAB).astype(np.float32)
    places = np.round(flat[list(_SKIN)]).astype(int)
    skin = np.median([lab[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).mean(axis=0) for x, y in places], axis=0)
    off = np.linalg.norm((lab - skin) * _LAB_WEIGHTS, axis=2)
    like = 1 - _ease((cv2.GaussianBlur(off, (0, 0), 1.5) - _HAIR_FROM) / (_HAIR_FULL - _HAIR_FROM))
    brow = max(int(flat[list(_BROWS), 1].min()) - brows, 1)
    like[brow:] = 1
    like = np.minimum.accumulate(like[::-1], axis=0)[::-1]
    return np.asarray(cv2.GaussianBlur(cv2.erode(like, _disc(3)), (0, 0), 2.0), np.float32)


def _rolled_out(image: RgbImage, face: Doubles, flat: Doubles, triangles: NDArray[np.int32]) -> RgbImage:
    """The face of ``image`` in the flat form, ``(96, 96, 3) uint8``."""
    places = _places(flat, face[:, :2], triangles, (_FLAT_SIDE, _FLAT_SIDE), _FLAT_GRID)
    full = cv2.resize(places, (_FLAT_SIDE, _FLAT_SIDE), interpolation=cv2.INTER_LINEAR)
    part = cv2.remap(  # type: ignore[call-overload, unused-ignore]
        image, full, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(part, np.uint8)


def _places(now: Doubles, before: Doubles, triangles: NDArray[np.int32], size: tuple[int, int], step: int) -> Floats:
    """For each cell of ``step`` pixels, where its middle was before: ``(rows, columns, 2) float32``; far outside for none.

    now, before : ``(n, 2)`` pixels of the vertices.
    """
    columns, rows = -(-size[0] // step), -(-size[1] // step)
    offset = step / 2 - 0.5
    corners = (now[triangles] - offset) / step
    numbers = np.zeros((rows, columns), np.int32)
    for number, corner in enumerate(np.round(corners * 16).astype(np.int32), start=1):
        cv2.fillConvexPoly(numbers, corner, number, lineType=8, shift=4)
    edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=-1)
    area = np.linalg.det(edges)
    edges[np.abs(area) < 1e-3] = np.eye(2)
    moved = np.stack(
        [before[triangles[:, 1]] - before[triangles[:, 0]], before[triangles[:, 2]] - before[triangles[:, 0]]], axis=-1
    )
    moved[np.abs(area) < 1e-3] = 0
    linear = moved @ np.linalg.inv(edges)
    constant = before[triangles[:, 0]] - np.einsum("tij,tj->ti", linear, corners[:, 0])
    linear = np.concatenate([np.zeros((1, 2, 2)), linear])
    constant = np.concatenate([np.full((1, 2), -1e4), constant])
    at = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).astype(np.float64)
    return np.asarray(np.einsum("rcij,rcj->rci", linear[numbers], at) + constant[numbers], np.float32)


def _filled(size: tuple[int, int], outline: Doubles) -> Floats:
    """1 inside ``outline``, 0 outside, over ``size`` (width, height)."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    return np.asarray(mask, np.float32) / np.float32(255)


def _disc(radius: float) -> NDArray[np.uint8]:
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def _ease(amount: Doubles) -> Doubles:
    held = np.clip(amount, 0.0, 1.0)
    return np.asarray(held * held * (3 - 2 * held))
