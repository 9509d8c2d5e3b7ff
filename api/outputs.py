"""Finished clips, handed in by backends or made by a worker: looked at, held against their permit, and withheld when they
are not what was permitted.

What was found is kept with the permit, and a withheld clip is an event that every person of the permit sees.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from api.audit_events import AuditAction, note
from api.auth import KeyHolder
from api.clip_registry import Looks, look_at_others
from api.engines import FaceEngines
from api.errors import Problem
from api.faces import faces_in
from api.marks import looks_of, put_marks, workplace
from api.media import Erased, Unsealable, templates_from_bytes
from api.service import Service
from api.storage import Store
from api.tables import ConsentRow, MediaRow, OutputRow
from consent.gate import Permit
from consent.output import (
    LOOK_EVERY_MS,
    FaceShown,
    Marked,
    OutputCode,
    OutputReason,
    OutputSeen,
    check_output,
)
from consent.terms import Purpose
from likeness.errors import LikenessError, ProvenanceError
from likeness.label_check import carries_label
from likeness.provenance import ManifestState, consent_assertion, verify_clip
from likeness.vendor_clip import clip_of
from liveness.decode import open_recording, sample_pictures
from liveness.errors import LivenessError, MediaError
from liveness.policy import STRICT, Limit, LivenessPolicy
from liveness.template import FaceTemplate

OUTPUT_KIND: Literal["output"] = "output"
"""Kind of media that are finished clips. They are kept unseen until their permit is completed, and never an input."""

OUTPUT_MAX_BYTES = 100_000_000  # design: a minute of 1080p at 12 Mbit/s is 90 MB
_LONGEST_MS = 600_000  # consents allow no longer clip
_MOST_FACES = 4096
_MOST_PICTURES = 90  # to find a clip again by; 250 MB at 720p

LOOKED_AT: LivenessPolicy = replace(
    STRICT,
    max_bytes=Limit(OUTPUT_MAX_BYTES, "bytes", "design: see OUTPUT_MAX_BYTES"),
    max_duration=Limit(_LONGEST_MS, "ms", "design: the longest clip that a consent can allow"),
    min_duration=Limit(0, "ms", "design: a clip may be as short as one likes"),
    analysis_fps=Limit(1000 / LOOK_EVERY_MS, "fps", "design: see consent.output.LOOK_EVERY_MS"),
    analysis_short_side=Limit(720, "px", "design: faces in the background count too"),
)
"""How a finished clip is read."""
OWN_LOOKED_AT: LivenessPolicy = replace(
    LOOKED_AT,
    analysis_fps=Limit(2, "fps", "design: seldom enough to cost little, often enough to follow a face (FOLLOWED_FOR)"),
)
"""How a clip of a generator on this machine is read: its pictures show nobody but who was put into them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Why a clip must not leave, whatever its consents say; empty when nothing is wrong with it. ``looks``: what it is found
    again by, if it was handed in and nothing is wrong."""

    reasons: list[OutputReason]
    looks: Looks | None = None


def check(
    service: Service, permit: Permit, who: KeyHolder, *, media_id: str | None, sha256: str, raw: bool = False
) -> Checked:
    """Look at the clip that was handed in, or up what was found of it before. ``raw``: it gets its marks after this."""
    if media_id is None:
        return Checked(reasons=_found_before(service, permit, sha256))
    with service.database.transaction() as store:
        content = _handed_in(service, store, who, media_id)
        templates = {consent_id: _templates(service, store, consent_id) for consent_id, _ in permit.consents}
    if hashlib.sha256(content).hexdigest() != sha256:
        return Checked(reasons=[OutputReason(code=OutputCode.OUTPUT_OTHER)])
    shows = frozenset[str]() if permit.purpose is Purpose.VOICE else None
    with service.faces.bound.place():
        try:
            seen = replace(look(content, service.faces), manifest=_marked(service, permit, content))
            same = STRICT.same_person.value
            reasons = check_output(permit, seen, templates, same_person=same, shows=shows, raw=raw)
            return Checked(reasons=list(reasons), looks=None if reasons else _looks(content, seen.duration_ms))
        except LivenessError:
            return Checked(reasons=[OutputReason(code=OutputCode.OUTPUT_UNREADABLE)])


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedOutput:
    """A backend's clip with our marks on it. ``watermark``: the number in its pictures."""

    content: bytes = field(repr=False)
    sha256: str
    watermark: int | None
    looks: Looks


def with_marks(service: Service, permit: Permit, who: KeyHolder, *, media_id: str, made_by: str) -> MarkedOutput:
    """Label, number and manifest on a clip that was checked. made_by : ``name@version`` of what made it, for the manifest.

    Raises: Problem ``media_unreadable``: it is longer than a minute, breaks off, or cannot be written.
    """
    with service.database.transaction() as store:
        content = _handed_in(service, store, who, media_id)
    with service.faces.bound.place(), workplace(service.settings) as folder:
        try:
            clip = clip_of(content, generator=made_by, sound=True)
            marked = put_marks(service, permit, clip, Path(folder) / "output.mp4")
        except LikenessError as error:
            raise Problem("media_unreadable", f"the clip cannot be marked: {error.code}") from None
        return MarkedOutput(
            content=marked.path.read_bytes(),
            sha256=marked.sha256,
            watermark=marked.manifest.watermark,
            looks=looks_of(service, marked),
        )


def _handed_in(service: Service, store: Store, who: KeyHolder, media_id: str) -> bytes:
    row = store.get(MediaRow, media_id)
    if row is None or row.key_id != who.key_id or row.kind != OUTPUT_KIND:
        raise Problem("not_found", "no clip of yours was handed in under that id")
    try:
        return service.vault.get(store, row.content_id, owner=media_id)
    except (Erased, Unsealable):
        raise Problem("media_expired") from None


def check_made(
    service: Service,
    engines: FaceEngines,
    permit: Permit,
    content: bytes,
    *,
    shows: frozenset[str] | None,
    policy: LivenessPolicy = LOOKED_AT,
) -> list[OutputReason]:
    """The same for a clip that a worker made, or had made by a vendor, and marked. ``shows``: the consents whose faces were
    promised; ``None``: all of the permit.

    Raises:
        MediaError, EngineError: it could not be looked at.
    """
    with service.database.transaction() as store:
        templates = {consent_id: _templates(service, store, consent_id) for consent_id, _ in permit.consents}
    with engines.bound.place():
        seen = replace(look(content, engines, policy=policy), manifest=_marked(service, permit, content))
    return list(check_output(permit, seen, templates, same_person=STRICT.same_person.value, shows=shows))


def _looks(content: bytes, duration_ms: int) -> Looks:
    """Raises: MediaError."""
    every_ms = max(1000, -(-duration_ms // _MOST_PICTURES))
    return look_at_others([frame.image for frame in sample_pictures(content, every_ms, policy=LOOKED_AT)])


def _found_before(service: Service, permit: Permit, sha256: str) -> list[OutputReason]:
    """Of a clip that comes by its hash alone: what was found when it was handed in, if it was. A clip that was withheld
    stays so whatever the setting."""
    with service.database.transaction() as store:
        row = store.get(OutputRow, permit.permit_id)
    if row is not None and row.output_sha256 == sha256:
        return [
            OutputReason(code=OutputCode(each["code"]), at_ms=each.get("at_ms"), consent_id=each.get("consent_id"))
            for each in row.reasons
        ]
    required = service.settings.output_check == "required"
    return [OutputReason(code=OutputCode.OUTPUT_UNCHECKED)] if required else []


def look(content: bytes, engines: FaceEngines, *, policy: LivenessPolicy = LOOKED_AT) -> OutputSeen:
    """Every face in a finished clip, and whether each picture carries the visible label; the manifest is not looked at.

    Raises:
        MediaError: it is no clip that can be read. EngineError: a model failed.
    """
    shown: list[FaceShown] = []
    pictures, labelled = 0, True
    with open_recording(content, policy=policy) as recording:
        for picture in recording.pictures():
            pictures += 1
            labelled = labelled and carries_label(picture.full_size())
            for found, template in faces_in(picture.frame.image, engines):
                shown.append(FaceShown(at_ms=picture.frame.at_ms, box=found.box, template=template))
            if len(shown) > _MOST_FACES:
                raise MediaError(f"more than {_MOST_FACES} faces")
        facts = recording.capture(()).facts
    return OutputSeen(
        duration_ms=facts.duration_ms,
        pictures=pictures,
        faces=tuple(shown),
        labelled=labelled if pictures else None,
        manifest=None,
    )


def keep(
    service: Service,
    store: Store,
    permit: Permit,
    who: KeyHolder,
    reasons: list[OutputReason],
    *,
    sha256: str,
    handed_in: bool,
    handles: tuple[str, ...],
) -> list[dict[str, Any]]:
    """Write down what was found, and whose likeness these handles carry; gives the reasons as callers see them.

    A clip that is withheld is an event for everyone of its permit, and carries nobody into later jobs.

    Raises:
        Problem: ``handle_taken``, when a handle stands for another permit.
    """
    now, shown = service.now(), [reason_to_json(reason) for reason in reasons]
    if not reasons and store.add_handles(
        permit.backend, [handle_sha256(permit.backend, each) for each in handles], permit.permit_id, now=now
    ):
        raise Problem("handle_taken")
    if handed_in:  # of what nobody looked at now, nothing new was found
        write_down(store, permit, reasons, by=who, sha256=sha256, now=now)
    return shown


def write_down(
    store: Store, permit: Permit, reasons: list[OutputReason], *, by: KeyHolder | None, sha256: str, now: datetime
) -> list[dict[str, Any]]:
    """What was found of a clip, and for everyone of its permit an event where it is withheld, once. ``by``: ``None`` for a
    worker. Gives the reasons as callers see them."""
    shown = [reason_to_json(reason) for reason in reasons]
    before = store.get(OutputRow, permit.permit_id)
    if before is not None and (before.output_sha256, before.reasons) == (sha256, shown):
        return shown
    store.set_output(
        OutputRow(permit_id=permit.permit_id, output_sha256=sha256, passed=not reasons, reasons=shown, checked_at=now)
    )
    if reasons:
        for _, subject_id in permit.consents:
            note(
                store,
                AuditAction.OUTPUT_WITHHELD,
                by=by,
                now=now,
                subject_id=subject_id,
                backend=permit.backend,
                object_id=permit.permit_id,
                reason=reasons[0].code.value,
                more={"codes": sorted({reason.code.value for reason in reasons}), "output_sha256": sha256},
            )
    return shown


def handle_sha256(backend: str, handle: str) -> str:
    """What a handle is kept as: a backend's names may say something about people."""
    return hashlib.sha256(f"{backend}\0{handle.strip()}".encode()).hexdigest()


def reason_to_json(reason: OutputReason) -> dict[str, Any]:
    """As backends see it: code, moment and box; a missing person by the consent that they showed; never a score."""
    shown: dict[str, Any] = {"code": reason.code.value}
    if reason.at_ms is not None:
        shown["at_ms"] = reason.at_ms
    if reason.box is not None:
        box = reason.box
        shown["box"] = {
            "x": round(box.x, 1),
            "y": round(box.y, 1),
            "width": round(box.width, 1),
            "height": round(box.height, 1),
        }
    if reason.consent_id is not None:
        shown["consent_id"] = reason.consent_id
    return shown


def _marked(service: Service, permit: Permit, content: bytes) -> Marked:
    """What the clip's manifest says of its permit, under our own anchor."""
    with tempfile.TemporaryDirectory(prefix="mien-output-") as folder:
        path = Path(folder) / "output.mp4"
        path.write_bytes(content)
        try:
            manifest = verify_clip(path, anchor_pem=service.keys.authority.ca_cert_pem)
        except ProvenanceError:
            return Marked.MISSING
    if manifest.state is ManifestState.NONE:
        return Marked.MISSING
    if manifest.state is not ManifestState.TRUSTED:
        return Marked.UNTRUSTED
    if manifest.consent is None:
        return Marked.OTHER
    told = replace(manifest.consent, status="", log="")  # where to ask about it says nothing about the permit
    return Marked.OURS if told == consent_assertion(permit) else Marked.OTHER


def _templates(service: Service, store: Store, consent_id: str) -> tuple[FaceTemplate, ...]:
    row = store.get(ConsentRow, consent_id)
    if row is None:
        return ()
    try:
        content = service.vault.get(store, row.templates_id, owner=consent_id)
    except Erased:
        return ()
    return tuple(template for template in templates_from_bytes(content) if template is not None)


__all__ = ["OUTPUT_KIND", "OUTPUT_MAX_BYTES", "Checked", "check", "check_made", "handle_sha256", "keep", "look",
           "reason_to_json", "with_marks", "write_down"]  # fmt: skip
