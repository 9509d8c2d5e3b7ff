"""Is what came out what was permitted? The faces of a finished clip are held against the people of its permit, and its marks
against the obligations.

A pure function of what was seen: :func:`check_output` gives every reason why a clip must not leave, and an empty tuple
when there is none. What was not looked at did not pass: no picture, no answer about a label or a manifest, is a reason.

A face is somebody's of the permit when its template is as similar as one person's are (``same_person``). One that cannot be
measured, because it is turned away or small, may be anybody; it passes only where the same face was recognised right before or
after, at nearly the same place (:data:`FOLLOWED`), and where nobody unknown was seen there in between.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from consent.gate import Permit
from liveness.errors import ContractMismatch
from liveness.evidence import Box
from liveness.template import FaceTemplate, similarity

FOLLOWED = 0.3  # intersection over union of two boxes; design: a head that moves by half its width between two looks keeps 0.33
FOLLOWED_FOR = timedelta(milliseconds=600)  # design: between two looks, with room for a clip's uneven times
LOOK_EVERY_MS = 250
"""How often a clip is looked at. Design: an inserted face that is shown long enough to be recognised is there for 250 ms."""
LENGTH_TOLERANCE_S = 0.5  # design: a container's duration is rounded up to its last picture or sound


class OutputCode(StrEnum):
    """Why a clip is withheld.

    output_unchecked  its bytes were not handed in, so nothing of it was seen.
    output_other      what was handed in is not what the hash is of.
    output_unreadable it cannot be read, or shows no moving picture.
    other_face        somebody is in it who is not of the permit.
    face_unjudged     a face is in it that could not be compared with anybody.
    person_missing    somebody of the permit is not in it.
    too_long          it is longer than the permit allows.
    label_missing     it does not carry the visible label throughout.
    manifest_missing  it carries no manifest.
    manifest_untrusted its manifest does not hold, or is signed by somebody who is not trusted here.
    manifest_other    its manifest is about another permit.
    """

    OUTPUT_UNCHECKED = "output_unchecked"
    OUTPUT_OTHER = "output_other"
    OUTPUT_UNREADABLE = "output_unreadable"
    OTHER_FACE = "other_face"
    FACE_UNJUDGED = "face_unjudged"
    PERSON_MISSING = "person_missing"
    TOO_LONG = "too_long"
    LABEL_MISSING = "label_missing"
    MANIFEST_MISSING = "manifest_missing"
    MANIFEST_UNTRUSTED = "manifest_untrusted"
    MANIFEST_OTHER = "manifest_other"


class Marked(StrEnum):
    """What a clip's manifest says of its permit."""

    OURS = "ours"
    OTHER = "other"
    UNTRUSTED = "untrusted"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaceShown:
    """A face in a finished clip. ``template=None``: it is there and could not be measured. box : pixels."""

    at_ms: int
    box: Box
    template: FaceTemplate | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutputSeen:
    """What was seen of a finished clip.

    pictures : how many were looked at. faces : every face in each of them.
    labelled : whether each of them carries the visible label; ``None`` when that was not looked at. manifest : likewise.
    """

    duration_ms: int
    pictures: int
    faces: tuple[FaceShown, ...] = field(repr=False)
    labelled: bool | None
    manifest: Marked | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputReason:
    """One reason; a face by its moment and box, a missing person by their consent."""

    code: OutputCode
    at_ms: int | None = None
    box: Box | None = None
    consent_id: str | None = None


def check_output(
    permit: Permit,
    seen: OutputSeen | None,
    templates: Mapping[str, Sequence[FaceTemplate]],
    *,
    same_person: float,
    shows: frozenset[str] | None = None,
    raw: bool = False,
) -> tuple[OutputReason, ...]:
    """Every reason why this clip must not leave; empty when there is none.

    templates : of each consent of the permit. shows : the consents whose faces were promised; ``None``: all of the permit.
    (A permit for a voice promises no face, and a face in its clip is somebody else's.) raw : the clip gets its label and its
    manifest after this, and is asked for neither.

    1. It was looked at.
    2. Each face is one of the permit's people's, or is followed from one.
    3. Each of the promised people is in it.
    4. It is no longer than allowed, carries the label, and a manifest of ours about this permit, where that is obliged.
    """
    if seen is None:  # 1
        return (OutputReason(code=OutputCode.OUTPUT_UNCHECKED),)
    if seen.pictures < 1 or not math.isfinite(same_person) or not 0 < same_person <= 1:
        return (OutputReason(code=OutputCode.OUTPUT_UNREADABLE),)
    owners = [_owner(face, templates, same_person) for face in seen.faces]  # 2
    reasons = [
        OutputReason(code=OutputCode.OTHER_FACE, at_ms=face.at_ms, box=face.box)
        for face, owner in zip(seen.faces, owners, strict=True)
        if owner is _NOBODY
    ]
    reasons += [
        OutputReason(code=OutputCode.FACE_UNJUDGED, at_ms=face.at_ms, box=face.box)
        for face, owner in zip(seen.faces, owners, strict=True)
        if owner is None and not _followed(face, seen.faces, owners)
    ]
    promised = {consent_id for consent_id, _ in permit.consents} if shows is None else shows
    reasons += [  # 3
        OutputReason(code=OutputCode.PERSON_MISSING, consent_id=consent_id)
        for consent_id in sorted(promised - {owner for owner in owners if owner is not None})
    ]
    return (*reasons, *_length(permit, seen), *(() if raw else _marks(permit, seen)))


_NOBODY = ""


def _length(permit: Permit, seen: OutputSeen) -> list[OutputReason]:
    """Of step 4."""
    allowed = 0 < seen.duration_ms <= (permit.obligations.max_seconds + LENGTH_TOLERANCE_S) * 1000
    return [] if allowed else [OutputReason(code=OutputCode.TOO_LONG)]


def _marks(permit: Permit, seen: OutputSeen) -> list[OutputReason]:
    """Of step 4."""
    reasons = []
    if permit.obligations.visible_label and seen.labelled is not True:
        reasons.append(OutputReason(code=OutputCode.LABEL_MISSING))
    if permit.obligations.manifest and seen.manifest is not Marked.OURS:
        code = {
            Marked.OTHER: OutputCode.MANIFEST_OTHER,
            Marked.UNTRUSTED: OutputCode.MANIFEST_UNTRUSTED,
        }.get(seen.manifest or Marked.MISSING, OutputCode.MANIFEST_MISSING)
        reasons.append(OutputReason(code=code))
    return reasons


def _owner(face: FaceShown, templates: Mapping[str, Sequence[FaceTemplate]], same_person: float) -> str | None:
    """The consent of whom this face is; :data:`_NOBODY` for somebody else; ``None`` when it cannot be told."""
    if face.template is None:
        return None
    best, whose = -math.inf, _NOBODY
    for consent_id, theirs in templates.items():
        for template in theirs:
            try:
                cosine = similarity(face.template, template)
            except ContractMismatch:
                return None
            if not math.isfinite(cosine):
                return None
            if cosine > best:
                best, whose = cosine, consent_id
    return whose if best >= same_person else _NOBODY


def _followed(face: FaceShown, faces: Sequence[FaceShown], owners: Sequence[str | None]) -> bool:
    """Whether a face that cannot be told is the one that was recognised there a moment before or after."""
    near = [
        owner
        for other, owner in zip(faces, owners, strict=True)
        if other is not face
        and 0 < abs(other.at_ms - face.at_ms) <= FOLLOWED_FOR.total_seconds() * 1000
        and _overlap(other.box, face.box) >= FOLLOWED
        and owner is not None
    ]
    return bool(near) and _NOBODY not in near and len(set(near)) == 1


def _overlap(one: Box, other: Box) -> float:
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    if across <= 0 or down <= 0:
        return 0.0
    shared = across * down
    return shared / (one.width * one.height + other.width * other.height - shared)
