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
    RECORD_VERIFIED = "audit:record:verified"
    CLAIMS_LISTED = "audit:claims:listed"
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
    BUDGET_SPENT = "gate:budget:spent"
    # look-alike alerts
    LOOKED_UP = "look_alike:lookup:run"
    LOOK_ALIKE_TOLD = "look_alike:person:told"
    # what permits release, and what came of it
    REFERENCE_RELEASED = "reference:portrait:released"
    OUTPUT_WITHHELD = "output:clip:withheld"
    # a person uses their rights
    DATA_EXPORTED = "subject:data:exported"
    DATA_DELETED = "subject:data:deleted"
    LOOK_ALIKES_AGREED = "subject:look_alikes:agreed"
    LOOK_ALIKES_WITHDRAWN = "subject:look_alikes:withdrawn"
    # who is at a browser
    SIGNED_IN = "account:session:began"
    SIGNED_OUT = "account:session:ended"
    PASSKEY_MADE = "account:passkey:made"
    PASSKEY_REMOVED = "account:passkey:removed"
    PASSKEY_COPIED = "account:passkey:copied"


SHOWN_TO_PEOPLE = ("audit", "opening", "reference", "output", "gate:budget", "look_alike:person", "account")
"""First parts of the names of events that the people they are about are shown: somebody looked at their data, was given
a picture of them, made something that was withheld, or tried faces on them; or signed in as them."""

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
