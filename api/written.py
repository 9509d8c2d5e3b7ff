"""Holds what the database keeps of consents, statements and questions against the log; :mod:`consent.written` has the rules."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from heapq import merge
from typing import Any

from api.books import SETTLED_WITHIN, attempt_of, outcome_of
from api.ledger import verify_stored
from api.storage import Store
from api.tables import AttemptRow, OutcomeRow
from consent.attempts import ATTEMPT_KIND, OUTCOME_KIND, attempt_bytes, outcome_bytes
from consent.check import CHECK_KIND
from consent.errors import LedgerBroken, RecordInvalid
from consent.keys import KeySet
from consent.ledger import VerifiedLog
from consent.look_alikes import Choice
from consent.record import event_from_bytes
from consent.written import VerifiedWritten, Written, check_flaw, choice_flaw, event_flaw, verify_written

_UNREADABLE = "it cannot be read"
_OF_AN_ATTEMPT = ("attempt_id", "at", "caller", "backend", "stage", "purpose", "job_sha256", "claimed")
_OF_AN_OUTCOME = ("attempt_id", "at", "decision", "reasons", "permit_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedBooks:
    """The log, and what was written down under it."""

    log: VerifiedLog
    written: VerifiedWritten


def verify_books(store: Store, keys: KeySet) -> VerifiedBooks:
    """Verify the log, and that every record, statement, question and answer is still what its entry commits to.

    Raises:
        LedgerBroken: at the first entry that is wrong, in the log or in what it stands for.
    """
    try:
        log = verify_stored(store, keys)
    except LedgerBroken as error:
        _verify_written(store, keys, error.index)  # is one before it wrong?
        raise
    written = _verify_written(store, keys, log.size)
    without = store.written_without_entry()
    if without is not None:
        raise LedgerBroken(without, "missing; something was written down for it")
    if store.has_unlogged(seconds=SETTLED_WITHIN.total_seconds()):
        raise LedgerBroken(log.size, "missing; a question to the gate or its answer has no entry")
    return VerifiedBooks(log=log, written=written)


def written_json(found: VerifiedWritten) -> dict[str, Any]:
    return {"records": found.checked, "records_unlinkable": found.unlinkable, "records_lost_in_restore": found.lost}


def _verify_written(store: Store, keys: KeySet, below: int) -> VerifiedWritten:
    with ExitStack() as stack:
        entries = stack.enter_context(closing(store.entries_below(below)))
        kinds = (
            _events(store, keys, below),
            _statements(store, keys, below),
            _attempts(store, below),
            _outcomes(store, below),
        )
        written = [stack.enter_context(closing(each)) for each in kinds]
        return verify_written(entries, merge(*written, key=lambda one: one.index))


def _events(store: Store, keys: KeySet, below: int) -> Generator[Written, None, None]:
    for row in store.written_events(below):
        flaw = event_flaw(
            consent_id=row.consent_id,
            number=row.number,
            place=row.place,
            at=row.at,
            body=row.body,
            record=row.record,
            keys=keys,
        )
        yield Written(
            index=row.ledger_index,
            kind="" if flaw is not None else event_from_bytes(row.body).kind,
            content=row.body if row.known else None,
            salt=row.salt or None,
            flaw=flaw,
        )


def _statements(store: Store, keys: KeySet, below: int) -> Generator[Written, None, None]:
    for row in store.written_statements(below):
        flaw = None
        if row.kind == CHECK_KIND:
            flaw = check_flaw(
                session_id=row.session_id,
                subject_id=row.subject_id,
                body=row.body,
                record=row.record or "",
                keys=keys,
            )
        elif row.kind in tuple(Choice):
            flaw = choice_flaw(
                subject_id=row.subject_id, kind=row.kind, body=row.body, record=row.record or "", keys=keys
            )
        else:
            try:
                event = event_from_bytes(row.body)
                if event.kind != row.kind or row.record is not None:
                    flaw = "it is filed as something else"
            except RecordInvalid as error:
                flaw = str(error)
        yield Written(index=row.ledger_index, kind=row.kind, content=row.body, salt=row.salt, flaw=flaw)


def _attempts(store: Store, below: int) -> Generator[Written, None, None]:
    for row in store.written_attempts(below):
        said = {name: getattr(row, name) for name in _OF_AN_ATTEMPT}
        make = partial(lambda said: attempt_bytes(attempt_of(AttemptRow(**said))), said)
        yield _answered(row.attempt_index, ATTEMPT_KIND, row.salt, row.attempt_id, make)


def _outcomes(store: Store, below: int) -> Generator[Written, None, None]:
    for row in store.written_outcomes(below):
        said = {name: getattr(row, name) for name in _OF_AN_OUTCOME}
        make = partial(lambda said: outcome_bytes(outcome_of(OutcomeRow(**said))), said)
        yield _answered(row.outcome_index, OUTCOME_KIND, row.salt, row.attempt_id, make)


def _answered(index: int, kind: str, salt: bytes | None, there: str | None, make: Callable[[], bytes]) -> Written:
    if there is None:
        return Written(index=index, kind=kind, content=None, salt=salt)
    try:
        return Written(index=index, kind=kind, content=make(), salt=salt)
    except (ValueError, TypeError, KeyError, AttributeError):  # a row that the service never writes
        return Written(index=index, kind=kind, content=b"", salt=salt, flaw=_UNREADABLE)
