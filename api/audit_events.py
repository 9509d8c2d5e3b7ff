"""Who did what: every event's name on one page, and the one way to write one down.

An event is written in the transaction of what it tells of, so neither exists without the other; one that tells of a look is
committed before anything is shown. Events hold ids and pseudonyms. The areas in :data:`SHOWN_TO_PEOPLE` are also for the
person they are about.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.auth import Caller, KeyHolder
from api.storage import Store, new_id
from api.tables import AuditEventRow
from consent.canonical import write_instant


class AuditAction(StrEnum):
    """Names of all events, as ``source:subject:action``."""

    # auditors and admins look
    SESSION_READ = "audit:session:read"
    CONSENT_READ = "audit:consent:read"
    CONSENTS_LISTED = "audit:consents:listed"
    ATTEMPTS_LISTED = "audit:attempts:listed"
    SEARCHED = "audit:search:run"
    TIMELINE_READ = "audit:timeline:read"
    EVIDENCE_EXPORTED = "audit:evidence:exported"
    LOG_VERIFIED = "audit:log:verified"
    BALANCE_RECOUNTED = "audit:balance:recounted"
    # two admins open biometric media
    OPENING_REQUESTED = "opening:media:requested"
    OPENING_APPROVED = "opening:media:approved"
    OPENING_VIEWED = "opening:media:viewed"
    OPENING_HELD = "opening:notice:held"
    OPENING_RELEASED = "opening:notice:released"
    # the gate's books
    ATTEMPT_CLOSED = "gate:attempt:closed"
    FAIL_OPEN = "gate:permit:fail_open"
    # a person uses their rights
    DATA_EXPORTED = "subject:data:exported"
    DATA_DELETED = "subject:data:deleted"


SHOWN_TO_PEOPLE = ("audit", "opening")
"""First parts of the names of events in which somebody looked at people's data."""

_SERVICE = "service"
_SUBJECT = "subject"


def note(
    store: Store,
    action: AuditAction,
    *,
    by: Caller | None,
    now: datetime,
    subject_id: str | None = None,
    consent_id: str | None = None,
    backend: str | None = None,
    object_id: str | None = None,
    reason: str | None = None,
    shown: Iterable[str] = (),
    more: dict[str, Any] | None = None,
) -> str:
    """Write an event down; gives its id. ``by``: ``None`` for the service itself.

    shown : pseudonyms of everyone whose data is shown. more : whole numbers, codes and ids; nothing about people.
    """
    holder = by if isinstance(by, KeyHolder) else None
    event = AuditEventRow(
        event_id=new_id("evt"),
        at=now,
        action=action.value,
        actor_role=holder.role.value if holder is not None else _SERVICE if by is None else _SUBJECT,
        actor_id=None if by is None else by.id,
        subject_id=subject_id,
        consent_id=consent_id,
        backend=backend,
        object_id=object_id,
        reason=reason,
        shown=sorted(set(shown)),
        more=more or {},
    )
    store.add(event)
    return event.event_id


def event_json(event: AuditEventRow) -> dict[str, Any]:
    """An event as auditors see it."""
    return {
        "event_id": event.event_id,
        "at": write_instant(event.at),
        "action": event.action,
        "actor": {"role": event.actor_role, "id": event.actor_id},
        "subject_id": event.subject_id,
        "consent_id": event.consent_id,
        "backend": event.backend,
        "object_id": event.object_id,
        "reason": event.reason,
        "subjects_shown": len(event.shown),
        "more": event.more,
    }
