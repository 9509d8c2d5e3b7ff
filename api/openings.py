"""Opening biometric media: one admin asks with a reason, another gives leave, and only the first may look, for a few minutes.

The people it is about see every step in their list, with the reason. Nothing hides that; a legal hold, an event of its own
by another admin than the one who asked, puts it off for a time that ends by itself. Templates are never opened.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from api.audit_events import AuditAction, note
from api.auth import KeyHolder
from api.errors import Problem
from api.media import Erased
from api.service import Service
from api.storage import Store, new_id
from api.tables import ClipRow, ConsentRow, MediaRow, OpeningRow, SessionRow
from consent.canonical import write_instant

ASKED_FOR = timedelta(hours=24)  # leave that nobody gave by then is not wanted any more
LONGEST_HOLD = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What an object id stands for: the sealed thing, and the people in it as far as we know."""

    sealed_id: str | None
    subjects: list[str] = field(default_factory=list)


def find(store: Store, object_id: str) -> Found | None:
    """``cns_``: the portrait of a consent. ``ses_``: the last recording of a live check. ``clp_``: a clip. ``med_``: media
    that was handed in, of whose people nothing is known: faces are never looked up."""
    match object_id[:4]:
        case "cns_":
            consent = store.get(ConsentRow, object_id)
            return None if consent is None else Found(sealed_id=consent.portrait_id, subjects=[consent.subject_id])
        case "ses_":
            session = store.get(SessionRow, object_id)
            if session is None:
                return None
            return Found(sealed_id=store.last_capture(object_id), subjects=[session.subject_id])
        case "clp_":
            clip = store.get(ClipRow, object_id)
            if clip is None:
                return None
            return Found(sealed_id=clip.content_id, subjects=sorted(store.subjects_of_clip(object_id)))
        case "med_":
            media = store.get(MediaRow, object_id)
            return None if media is None else Found(sealed_id=media.content_id)
        case _:
            return None


def request(service: Service, store: Store, by: KeyHolder, *, object_id: str, reason: str, ticket: str) -> OpeningRow:
    """Ask for leave."""
    now = service.now()
    found = find(store, object_id)
    if found is None:
        raise Problem("not_found")
    row = OpeningRow(
        opening_id=new_id("opn"),
        object_id=object_id,
        subjects=found.subjects,
        requested_by=by.key_id,
        requested_at=now,
        reason=reason,
        ticket=ticket,
        views=0,
    )
    store.add(row)
    _told(store, AuditAction.OPENING_REQUESTED, row, by, now=now, reason=reason)
    return row


def approve(service: Service, store: Store, by: KeyHolder, opening_id: str) -> OpeningRow:
    """Give leave, from now on and for a short time. Giving it twice changes nothing."""
    now = service.now()
    row = _locked(store, opening_id)
    if by.key_id == row.requested_by:
        raise Problem("second_person_needed")
    if row.approved_at is not None:
        return row
    if now >= row.requested_at + ASKED_FOR:
        raise Problem("opening_ended")
    row.approved_by, row.approved_at = by.key_id, now
    row.ends_at = now + timedelta(minutes=service.settings.opening_minutes)
    _told(store, AuditAction.OPENING_APPROVED, row, by, now=now, reason=row.reason)
    return row


def view(service: Service, by: KeyHolder, opening_id: str) -> bytes:
    """The content, for who asked, while the leave lasts. That they looked is in the books before they see anything."""
    now = service.now()
    with service.database.transaction() as store:
        row = _locked(store, opening_id)
        if by.key_id != row.requested_by:
            raise Problem("not_found")
        if row.approved_at is None or row.ends_at is None:
            raise Problem("opening_not_approved")
        if not row.approved_at <= now < row.ends_at:
            raise Problem("opening_ended")
        found = find(store, row.object_id)
        try:
            content = service.vault.get(store, None if found is None else found.sealed_id, owner=row.object_id)
        except Erased:
            raise Problem("media_erased") from None
        row.views += 1
        _told(store, AuditAction.OPENING_VIEWED, row, by, now=now, reason=row.reason)
    return content


def hold(
    service: Service, store: Store, by: KeyHolder, opening_id: str, *, until: datetime, reason: str, ticket: str
) -> OpeningRow:
    """Put off telling the people it is about, by law. Not by the one who asked; not for longer than :data:`LONGEST_HOLD`
    after it was asked for."""
    now = service.now()
    row = _locked(store, opening_id)
    if by.key_id == row.requested_by:
        raise Problem("second_person_needed")
    if not now < until <= row.requested_at + LONGEST_HOLD:
        raise Problem("request_invalid", f"a hold ends within {LONGEST_HOLD.days} days of the request")
    row.held_until = until
    more = {"ticket": ticket, "until": write_instant(until)}
    _told(store, AuditAction.OPENING_HELD, row, by, now=now, reason=reason, more=more)
    return row


def release(service: Service, store: Store, by: KeyHolder, opening_id: str) -> OpeningRow:
    """End a legal hold before its time."""
    now = service.now()
    row = _locked(store, opening_id)
    if row.held_until is not None and row.held_until > now:
        row.held_until = now
        _told(store, AuditAction.OPENING_RELEASED, row, by, now=now, reason=row.reason)
    return row


def opening_json(row: OpeningRow, *, now: datetime) -> dict[str, Any]:
    """As admins see it."""
    if row.approved_at is None or row.ends_at is None:
        state = "requested" if now < row.requested_at + ASKED_FOR else "ended"
    else:
        state = "open" if now < row.ends_at else "ended"
    return {
        "opening_id": row.opening_id,
        "object": row.object_id,
        "state": state,
        "reason": row.reason,
        "ticket": row.ticket,
        "requested_by": row.requested_by,
        "requested_at": write_instant(row.requested_at),
        "approved_by": row.approved_by,
        "approved_at": _written(row.approved_at),
        "ends_at": _written(row.ends_at),
        "views": row.views,
        "held_until": _written(row.held_until),
    }


def _written(at: datetime | None) -> str | None:
    return None if at is None else write_instant(at)


def _locked(store: Store, opening_id: str) -> OpeningRow:
    row = store.get(OpeningRow, opening_id, lock=True)
    if row is None:
        raise Problem("not_found")
    return row


def _told(
    store: Store,
    action: AuditAction,
    row: OpeningRow,
    by: KeyHolder,
    *,
    now: datetime,
    reason: str,
    more: dict[str, Any] | None = None,
) -> None:
    consent = row.object_id if row.object_id.startswith("cns_") else None
    note(
        store,
        action,
        by=by,
        now=now,
        subject_id=row.subjects[0] if len(row.subjects) == 1 else None,
        consent_id=consent,
        object_id=row.opening_id,
        reason=reason,
        shown=row.subjects,
        more={"object": row.object_id, "ticket": row.ticket} | (more or {}),
    )
