"""What a person says in a session besides granting: yes to being checked, and no, or not now, to a double."""

from __future__ import annotations

import secrets
from datetime import datetime
from enum import StrEnum
from typing import Literal

from api.consents import append_entry, controller_of
from api.errors import Problem
from api.service import Service
from api.storage import Store, new_id
from api.tables import SessionRow, StatementRow
from consent.check import CHECK_KIND, CheckConsent, agree_to_check, check_bytes, check_from_bytes, sign_check
from consent.ledger import SALT_BYTES, LedgerEntry
from consent.record import (
    BeforeConsent,
    Deferred,
    Kind,
    Refused,
    Requested,
    ask,
    defer,
    event_bytes,
    event_from_bytes,
    refuse,
)
from consent.terms import Purpose, Terms


class Said(StrEnum):
    """Kinds of statements; also the kinds of their entries in the log."""

    CHECK_GIVEN = CHECK_KIND
    REQUESTED = Kind.REQUESTED.value
    DEFERRED = Kind.DEFERRED.value
    REFUSED = Kind.REFUSED.value


Answer = Literal["given", "refused", "deferred"]
"""What a person said to a double."""


def said(store: Store, session_id: str) -> set[str]:
    """The kinds of all statements in this session."""
    return {row.kind for row in store.statements(session_id)}


def must_be_unused(store: Store, session_id: str) -> None:
    """One live check, one consent at most, and none after a no.

    Raises: Problem, codes ``consent_exists``, ``consent_refused``.
    """
    if store.consent_of_session(session_id) is not None:
        raise Problem("consent_exists")
    if Said.REFUSED in said(store, session_id):
        raise Problem("consent_refused")


def answer_of(store: Store, session_id: str) -> Answer | None:
    """What the person answered to a double in this session; ``None``: nothing yet."""
    if store.consent_of_session(session_id) is not None:
        return "given"
    heard = said(store, session_id)
    if Said.REFUSED in heard:
        return "refused"
    return "deferred" if Said.DEFERRED in heard else None


def check_of(store: Store, session_id: str) -> CheckConsent | None:
    """The person's yes to the check of this session."""
    row = check_row(store, session_id)
    return None if row is None else check_from_bytes(row.body)


def check_row(store: Store, session_id: str) -> StatementRow | None:
    return next((row for row in store.statements(session_id) if row.kind == Said.CHECK_GIVEN), None)


def give_check(service: Service, store: Store, session: SessionRow, terms: Terms, *, now: datetime) -> StatementRow:
    """Record the person's yes to being checked, once a session. Call it with the session locked.

    Raises: ConsentInvalid, codes ``terms_unknown``, ``terms_outdated``.
    """
    given = check_row(store, session.session_id)
    if given is not None:
        return given
    consent = agree_to_check(
        session_id=session.session_id,
        subject_id=session.subject_id,
        controller=controller_of(service.settings),
        terms=terms,
        now=now,
    )
    record = sign_check(consent, service.keys.active)
    return _write(store, session, CHECK_KIND, check_bytes(consent), record=record, now=now)


def answer_double(service: Service, store: Store, session: SessionRow, *, final: bool, now: datetime) -> StatementRow:
    """Record that the person said no to a double, or not now. Call it with the session locked.

    Raises: ConsentInvalid, code ``consent_refused`` when they said no already.
    """
    asked = _asked(store, session.session_id)
    if not asked or isinstance(asked[-1], Deferred):
        asked.append(
            ask(
                consent_id=asked[0].consent_id if asked else new_id("cns"),
                subject_id=session.subject_id,
                controller=controller_of(service.settings),
                purposes=[Purpose(session.purpose)],
                now=now,
                after=asked,
            )
        )
        _write(store, session, asked[-1].kind, event_bytes(asked[-1]), now=now)
    event = refuse(asked, now=now) if final else defer(asked, now=now)
    return _write(store, session, event.kind, event_bytes(event), now=now)


def _asked(store: Store, session_id: str) -> list[BeforeConsent]:
    rows = [row for row in store.statements(session_id) if row.kind in (Said.REQUESTED, Said.DEFERRED, Said.REFUSED)]
    events = [event_from_bytes(row.body) for row in rows]
    return [event for event in events if isinstance(event, Requested | Deferred | Refused)]


def _write(
    store: Store, session: SessionRow, kind: str, body: bytes, *, record: str | None = None, now: datetime
) -> StatementRow:
    return write_statement(store, session.session_id, session.subject_id, kind, body, record=record, now=now)


def write_statement(
    store: Store, session_id: str, subject_id: str, kind: str, body: bytes, *, record: str | None, now: datetime
) -> StatementRow:
    """Write down what a person said, and into the log. Two at once in one session cannot both be the next: lock what it is
    about first."""
    salt = secrets.token_bytes(SALT_BYTES)
    entry: LedgerEntry = append_entry(store, kind=kind, body=body, salt=salt, now=now)
    row = StatementRow(
        session_id=session_id,
        number=len(store.statements(session_id)),
        subject_id=subject_id,
        kind=kind,
        body=body,
        record=record,
        salt=salt,
        ledger_index=entry.index,
        at=now,
    )
    store.add(row)
    return row
