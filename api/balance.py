"""Holds the gate's books against what they must be: attempts = permits + refusals + errors, and no permit without a right.

Counts run along in the database. :func:`watch` runs in the worker: it closes what a crash left open, and looks at every
permit once more, from the outside: was it given in the books, and did the records, as they stood in the log right before,
allow it? A permit that fails this was given by a gate that failed open.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.audit_events import AuditAction, note
from api.books import SETTLED_WITHIN, outcome_of, settle_all
from api.service import Service
from api.storage import Store
from api.storage_audit import Books
from api.tables import AttemptRow, MediaRow, OutcomeRow, PermitRow
from consent.attempts import FailOpen, permit_faults, was_about_nobody
from consent.errors import ConsentError
from consent.gate import GateCode
from consent.record import ConsentRecord, event_from_bytes, fold

log = logging.getLogger("mien.gate")

ANSWERED_WITHIN = timedelta(seconds=60)  # longer than any statement may take: whoever asked has gone or been told no
CLOCKS_APART = timedelta(
    seconds=30
)  # for permits of before there were log entries: only what was surely earlier counts
_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The books, what the permits were found to be, and whether both are as they must be.

    waits_s : how long the oldest of what is to go into the log has waited, in seconds.
    """

    books: Books
    fail_open: int
    unchecked: int
    waits_s: float

    @property
    def holds(self) -> bool:
        return self.books.holds and self.fail_open == 0 and self.settled

    @property
    def settled(self) -> bool:
        """Nothing waits too long to be put into the log."""
        return self.waits_s <= SETTLED_WITHIN.total_seconds()


def balance(store: Store, *, now: datetime) -> Balance:
    """Where the books stand now."""
    return Balance(
        books=store.books(before=now - ANSWERED_WITHIN),
        fail_open=store.event_count(AuditAction.FAIL_OPEN),
        unchecked=store.count_unchecked_permits(),
        waits_s=store.waits_s(),
    )


def watch(service: Service) -> int:
    """One round of closing and checking; gives how many faults were found."""
    return close_abandoned(service) + check_permits(service)


def close_abandoned(service: Service) -> int:
    """End attempts that were left without an outcome as errors; gives how many. Never changes an outcome."""
    now = service.now()
    with service.database.transaction() as store:
        overdue = store.books(before=now - ANSWERED_WITHIN, most=_AT_ONCE).overdue_ids
    closed = 0
    for attempt_id in overdue:
        with service.database.transaction() as store:
            reasons = [{"code": GateCode.GATE_ERROR.value}]
            row = OutcomeRow(attempt_id=attempt_id, at=now, decision=False, reasons=reasons, permit_id=None)
            if not store.add_outcome(row):  # it was answered in this moment
                continue
            note(store, AuditAction.ATTEMPT_CLOSED, by=None, now=now, object_id=attempt_id, reason="abandoned")
            closed += 1
    if closed:
        log.error("%d attempts had been left without an outcome and were closed as errors", closed)
    return closed


def check_permits(service: Service) -> int:
    """Look at permits that nobody looked at since they were given; gives how many have a fault."""
    now, faulty = service.now(), 0
    settle_all(service)  # what held is read from the order of the log
    while True:
        with service.database.transaction() as store:
            permits = store.unchecked_permits(_AT_ONCE)
            for permit in permits:
                faults = _faults(store, permit)
                permit.checked_at = now
                if not faults:
                    continue
                faulty += 1
                log.error("permit %s should not exist: %s", permit.permit_id, ", ".join(faults))
                note(
                    store,
                    AuditAction.FAIL_OPEN,
                    by=None,
                    now=now,
                    backend=permit.backend,
                    object_id=permit.permit_id,
                    reason=faults[0].value,
                    more={"faults": [fault.value for fault in faults]},
                )
        if len(permits) < _AT_ONCE:
            return faulty


def _faults(store: Store, permit: PermitRow) -> tuple[FailOpen, ...]:
    row = store.get(OutcomeRow, permit.attempt_id)
    attempt = store.get(AttemptRow, permit.attempt_id)
    entry = store.attempt_entry(permit.attempt_id)
    index = None if entry is None else entry.outcome_index
    return permit_faults(
        permit_id=permit.permit_id,
        backend=permit.backend,
        purpose=permit.purpose,
        asked_at=permit.issued_at if attempt is None else attempt.at,
        outcome=None if row is None else outcome_of(row),
        records=[
            _record_before(store, consent_id, index, permit.issued_at - CLOCKS_APART)
            for consent_id in store.consents_of_permit(permit.permit_id)
        ],
        nobody=attempt is not None and was_about_nobody(attempt.claimed) and not _has_faces(store, attempt),
    )


def _has_faces(store: Store, attempt: AttemptRow) -> bool:
    """Whether a picture that this was about has a face, as far as it is still there."""
    return any(
        row is not None and row.faces for row in (store.get(MediaRow, each) for each in attempt.claimed["media"])
    )


def _record_before(store: Store, consent_id: str, index: int | None, at: datetime) -> ConsentRecord | None:
    """The record from the events that stood in the log before entry ``index``; without one, from those before ``at`` and
    the grant. The order of the log is the order in which transactions came through; clocks of two machines are not."""
    events = [
        row
        for row in store.consent_events(consent_id)
        if (row.ledger_index < index if index is not None else row.number == 0 or row.at < at)
    ]
    try:
        return fold([event_from_bytes(row.body) for row in events])
    except ConsentError:
        return None
