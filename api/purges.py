"""Demands on backends to delete what an ended consent had let them keep, and what follows when they do not.

Whom it is asked of: every backend that redeemed a permit under the consent and has not confirmed since. That one is overdue
follows from the clock at the moment the gate is asked (see :mod:`consent.purge`); the sweep only writes it down.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from api.service import Service
from api.storage import Store, new_id
from api.tables import ConsentRow, PurgeRow
from api.webhooks import Event, publish
from api.withdrawals import Step, note
from consent.canonical import write_instant
from consent.purge import Purge, PurgeReason, PurgeState, confirm, demand, sign_purge_receipt

_MOST_PERMITS_TOLD = 200  # in one message; the rest is at GET /v1/purges/{id}


def purge_of(row: PurgeRow) -> Purge:
    """The row as the rules know it."""
    return Purge(
        purge_id=row.purge_id,
        consent_id=row.consent_id,
        backend=row.backend,
        reason=PurgeReason(row.reason),
        required_at=row.required_at,
        target_at=row.target_at,
        due_at=row.due_at,
        excused_at=row.excused_at,
        confirmed_at=row.confirmed_at,
        retained_at=row.retained_at,
        retained_until=row.retained_until,
    )


def require(store: Store, consent_id: str, backends: Iterable[str], reason: PurgeReason, *, now: datetime) -> None:
    """Ask these backends to delete; one that is being asked already keeps its deadline."""
    for backend in backends:
        if store.open_purge(consent_id, backend) is not None:
            continue
        asked = demand(purge_id=new_id("prg"), consent_id=consent_id, backend=backend, reason=reason, now=now)
        row = PurgeRow(
            purge_id=asked.purge_id,
            consent_id=consent_id,
            backend=backend,
            reason=reason,
            required_at=asked.required_at,
            target_at=asked.target_at,
            due_at=asked.due_at,
        )
        store.add(row)
        note(store, Step.PURGE_REQUIRED, now=now, consent_id=consent_id, backend=backend, about=row.purge_id)
        _tell_backend(store, row, now=now)


def confirm_purge(
    service: Service,
    store: Store,
    row: PurgeRow,
    *,
    assets_deleted: int,
    deleted_at: datetime,
    backend_signature: str | None,
    actor: str,
    now: datetime,
) -> str:
    """The signed receipt for what the backend states; the first one again when it had confirmed already.

    ``row`` is locked. Raises: PurgeInvalid.
    """
    if row.receipt is not None:
        return row.receipt
    asked = purge_of(row)
    stated = confirm(
        asked, assets_deleted=assets_deleted, deleted_at=deleted_at, backend_signature=backend_signature, now=now
    )
    was_overdue = asked.state_at(now) is PurgeState.OVERDUE
    row.confirmed_at, row.receipt = now, sign_purge_receipt(stated, service.keys.active)
    about = {"consent_id": row.consent_id, "backend": row.backend, "about": row.purge_id, "actor": actor}
    note(store, Step.PURGE_CONFIRMED, now=now, **about)
    if was_overdue and not store.backend_blocked(row.backend, now=now):
        note(store, Step.BACKEND_UNBLOCKED, now=now, reason="confirmed", **about)
    consent = store.get(ConsentRow, row.consent_id)
    if consent is not None:
        publish(
            store,
            Event.PURGE_CONFIRMED,
            {
                "purge_id": row.purge_id,
                "consent_id": row.consent_id,
                "backend": row.backend,
                "assets_deleted": assets_deleted,
                "receipt": row.receipt,
            },
            to=[consent.app_key_id],
            now=now,
        )
    return row.receipt


def write_retained_down(store: Store, row: PurgeRow, *, until: datetime | None, now: datetime) -> None:
    """Note that a vendor does not delete what it has. ``until``: when it will have, by its own documents. ``row`` is locked."""
    row.retained_at, row.retained_until = now, until
    note(store, Step.PURGE_RETAINED, now=now, consent_id=row.consent_id, backend=row.backend, about=row.purge_id)


def write_overdue_down(store: Store, row: PurgeRow, *, now: datetime) -> None:
    """Note that a backend is now refused, and remind it. ``row`` is locked."""
    if row.blocked_at is not None or purge_of(row).state_at(now) is not PurgeState.OVERDUE:
        return
    row.blocked_at = now
    note(store, Step.BACKEND_BLOCKED, now=now, consent_id=row.consent_id, backend=row.backend, about=row.purge_id)
    _tell_backend(store, row, now=now)


def excuse(store: Store, backend: str, *, actor: str, reason: str, now: datetime) -> int:
    """Lift a backend's block, for a reason; gives how many overdue demands that were. They still have to be confirmed."""
    overdue = [row for row in store.overdue_purges(now, backend=backend, lock=True) if row.excused_at is None]
    for row in overdue:
        row.excused_at = now
        note(
            store,
            Step.BACKEND_UNBLOCKED,
            now=now,
            actor=actor,
            consent_id=row.consent_id,
            backend=backend,
            about=row.purge_id,
            reason=reason,
        )
    return len(overdue)


def purge_to_json(row: PurgeRow, *, now: datetime) -> dict[str, Any]:
    """A demand with its countdown, for the backend, the app and the person."""
    asked = purge_of(row)
    return {
        "purge_id": row.purge_id,
        "consent_id": row.consent_id,
        "backend": row.backend,
        "reason": row.reason,
        "state": asked.state_at(now).value,
        "required_at": row.required_at,
        "target_at": row.target_at,
        "due_at": row.due_at,
        "seconds_left": 0 if row.confirmed_at or row.retained_at else max(0, int((row.due_at - now).total_seconds())),
        "confirmed_at": row.confirmed_at,
        "retained_until": row.retained_until,
        "receipt": row.receipt,
    }


def _tell_backend(store: Store, row: PurgeRow, *, now: datetime) -> None:
    permits = store.permits_under(row.consent_id, row.backend)
    publish(
        store,
        Event.PURGE_REQUIRED,
        {
            "purge_id": row.purge_id,
            "consent_id": row.consent_id,
            "backend": row.backend,
            "reason": row.reason,
            "state": purge_of(row).state_at(now).value,
            "required_at": write_instant(row.required_at),
            "target_at": write_instant(row.target_at),
            "due_at": write_instant(row.due_at),
            "permits": permits[:_MOST_PERMITS_TOLD],
            "permits_count": len(permits),
        },
        to=store.keys_of_backend(row.backend),
        now=now,
    )
