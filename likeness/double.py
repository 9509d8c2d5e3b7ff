"""A double: the one picture of a person that clips of them are made from, and proof that it shows them.

The picture comes from the live capture itself (:func:`enrol`), or from a photograph that was handed in and shows the same
person as that capture (:func:`double_from_photograph`). Either way it is compared with *every* template of the live check:
a portrait that resembles one phase and not another is nobody's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from liveness.capture import RgbImage
from liveness.errors import ContractMismatch
from liveness.evidence import Face
from liveness.lips import mouth_opening
from liveness.policy import Limit
from liveness.template import FaceTemplate, similarity


class EnrolmentReason(StrEnum):
    """Why a picture was not taken as a portrait. Stable codes.

    no_candidate    there is no picture to choose from.
    no_template     there is no live template to compare with, so nobody can be recognised.
    no_face         no face was found, or none that could be measured.
    several_faces   more than one face is in the picture.
    too_small       the face is too few pixels wide.
    not_frontal     the head is turned, nodded or tilted too far.
    mouth_open      the mouth is open: its inside could not be shown closed.
    eyes_closed     an eye is closed.
    blurred         the face is out of focus or smeared by motion.
    unlike_models   the picture's template was made by another model than the live ones.
    another_person  the face is not the person of the live check.
    """

    NO_CANDIDATE = "no_candidate"
    NO_TEMPLATE = "no_template"
    NO_FACE = "no_face"
    SEVERAL_FACES = "several_faces"
    TOO_SMALL = "too_small"
    NOT_FRONTAL = "not_frontal"
    MOUTH_OPEN = "mouth_open"
    EYES_CLOSED = "eyes_closed"
    BLURRED = "blurred"
    UNLIKE_MODELS = "unlike_models"
    ANOTHER_PERSON = "another_person"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortraitPolicy:
    """What a portrait must be for a clip of it to look like the person."""

    face_width: Limit
    yaw: Limit
    pitch: Limit
    roll: Limit
    mouth: Limit
    blink: Limit
    sharpness: Limit


PORTRAIT = PortraitPolicy(
    face_width=Limit(
        90, "px", "design: near the 112 px that embeddings are cut at; below, 720p clips are visibly soft"
    ),
    yaw=Limit(12, "deg either way", "design: clips turn 8 further, and the mesh looks natural to about 12 to 20"),
    pitch=Limit(18, "deg either way", "design: phones are held low"),
    roll=Limit(18, "deg either way", "design"),
    mouth=Limit(0.30, "mouth opening", "design: a smile may show teeth, a spoken vowel may not"),
    blink=Limit(0.55, "blendshape", "design: squinting passes, a blink does not"),
    sharpness=Limit(0.004, "of the grey range", "measured: 0.015 to 0.038 in photographs, 0.001 blurred by 1/40 face"),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Still:
    """A candidate: a full-size picture, every face in it (``None`` for one that could not be measured) and the template
    of its only face."""

    image: RgbImage = field(repr=False)
    faces: tuple[Face | None, ...] = field(repr=False)
    template: FaceTemplate | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Double:
    """Who is shown, under which consent, and the picture to show them from.

    portrait : ``(H, W, 3) uint8 RGB`` with one face. template : of that face, or of the person's live check.
    """

    subject_id: str
    consent_id: str
    portrait: RgbImage = field(repr=False)
    template: FaceTemplate = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotEnrolled:
    """No portrait among the candidates. ``reasons`` in order, each once, never empty."""

    reasons: tuple[EnrolmentReason, ...]

    def __post_init__(self) -> None:
        if not self.reasons:
            raise ValueError("not enrolled for no reason")


def enrol(
    stills: Sequence[Still],
    *,
    subject_id: str,
    consent_id: str,
    live_templates: Sequence[FaceTemplate],
    same_person: float,
    policy: PortraitPolicy = PORTRAIT,
) -> Double | NotEnrolled:
    """The best of the stills as a double; or why none of them will do.

    Best: the most frontal, sharp one with the mouth shut and the eyes open, among those that pass every limit and show the
    person of every live template (cosine >= ``same_person``).
    """
    if not stills:
        return NotEnrolled(reasons=(EnrolmentReason.NO_CANDIDATE,))
    reasons: list[EnrolmentReason] = []
    usable: list[tuple[float, Still, FaceTemplate]] = []
    for still in stills:
        against = [*unfit(still, policy), *_unlike(still.template, live_templates, same_person)]
        reasons += against
        face = still.faces[0] if still.faces else None
        if not against and face is not None and still.template is not None:
            usable.append((_merit(still.image, face), still, still.template))
    if not usable:
        return NotEnrolled(reasons=tuple(dict.fromkeys(reasons)))
    _, best, template = max(usable, key=lambda candidate: candidate[0])
    return Double(subject_id=subject_id, consent_id=consent_id, portrait=best.image, template=template)


def double_from_photograph(
    photograph: Still,
    *,
    subject_id: str,
    consent_id: str,
    live_templates: Sequence[FaceTemplate],
    same_person: float,
) -> Double | NotEnrolled:
    """A photograph that someone handed in, as a double of the person whose live templates it matches.

    How good the photograph is, is the operator's choice: only one measured face, and whose it is, are asked for.
    """
    against = [*_one_face(photograph), *_unlike(photograph.template, live_templates, same_person)]
    if against or photograph.template is None:
        return NotEnrolled(reasons=tuple(dict.fromkeys(against)))
    return Double(subject_id=subject_id, consent_id=consent_id, portrait=photograph.image, template=photograph.template)


def unfit(still: Still, policy: PortraitPolicy) -> tuple[EnrolmentReason, ...]:
    """What speaks against a picture as a portrait, whoever it shows."""
    reasons = list(_one_face(still))
    face = still.faces[0] if len(still.faces) == 1 else None
    if face is None:
        return tuple(reasons)
    turned = (
        abs(face.yaw_deg) > policy.yaw.value
        or abs(face.pitch_deg) > policy.pitch.value
        or abs(face.roll_deg) > policy.roll.value
    )
    found = (
        (face.box.width < policy.face_width.value, EnrolmentReason.TOO_SMALL),
        (turned, EnrolmentReason.NOT_FRONTAL),
        (mouth_opening(face) > policy.mouth.value, EnrolmentReason.MOUTH_OPEN),
        (max(face.blink_left, face.blink_right) > policy.blink.value, EnrolmentReason.EYES_CLOSED),
        (sharpness(still.image, face) < policy.sharpness.value, EnrolmentReason.BLURRED),
    )
    return (*reasons, *(reason for wrong, reason in found if wrong))


def sharpness(image: RgbImage, face: Face) -> float:
    """Fine detail of a face, as a share of the grey range: standard deviation of the discrete Laplacian over the middle of
    the face box, which is first reduced to about 112 px so that large pictures do not count as soft. 0 without a face."""
    box = face.box
    left, right = int(max(box.x, 0)), int(min(box.x + box.width, image.shape[1]))
    top, bottom = int(max(box.y, 0)), int(min(box.y + box.height, image.shape[0]))
    step = max(1, int((right - left) / 112))
    grey = image[top:bottom, left:right].astype(np.float32).mean(axis=2) / 255
    rows, columns = grey.shape[0] // step, grey.shape[1] // step
    if rows < 3 or columns < 3:
        return 0.0
    small = grey[: rows * step, : columns * step].reshape(rows, step, columns, step).mean(axis=(1, 3))
    around = small[:-2, 1:-1] + small[2:, 1:-1] + small[1:-1, :-2] + small[1:-1, 2:]
    return float(np.std(around / 4 - small[1:-1, 1:-1]))


def _one_face(still: Still) -> tuple[EnrolmentReason, ...]:
    if len(still.faces) > 1:
        return (EnrolmentReason.SEVERAL_FACES,)
    if not still.faces or still.faces[0] is None:
        return (EnrolmentReason.NO_FACE,)
    return ()


def _unlike(
    template: FaceTemplate | None, live_templates: Sequence[FaceTemplate], same_person: float
) -> tuple[EnrolmentReason, ...]:
    if not live_templates:
        return (EnrolmentReason.NO_TEMPLATE,)
    if template is None:
        return (EnrolmentReason.NO_FACE,)
    try:
        alike = all(similarity(template, live) >= same_person for live in live_templates)
    except ContractMismatch:
        return (EnrolmentReason.UNLIKE_MODELS,)
    return () if alike else (EnrolmentReason.ANOTHER_PERSON,)


def _merit(image: RgbImage, face: Face) -> float:
    """Higher is the better portrait. One is worth about 30 degrees of turn, or sharp against soft."""
    off = abs(face.yaw_deg) + (abs(face.pitch_deg) + abs(face.roll_deg)) / 2
    soft = max(0.0, 1 - sharpness(image, face) / 0.03)
    return -(off / 30 + 2 * mouth_opening(face) + max(face.blink_left, face.blink_right) + soft)
