"""What the gate writes and reads at a question, in two trips to the database.

The question, and when it is on the disk all that it is decided by; the answer.
Each trip is one text of statements that the connection has prepared. Through the mapper the same takes some thirty trips, and
most of the time of an answer. Statements of one text see what was committed before each of them began, as those of several
texts do: so what is read after a turn was waited for is what stands when the turn comes, and nothing is read for a question
before the question is committed.

The texts go to the database past the driver's cursors, which take longer over three of them than the database does. So what
stands in them is quoted here, by the database's own library (:func:`_literal`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, LiteralString, cast

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import Escaping, ExecStatus, TransactionStatus, abc
from sqlalchemy import Connection, Engine, PoolProxiedConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.steps import AT_LENGTH, Steps
from api.storage import Store
from api.storage_gate import SETTLED_WITHIN, SealedThing
from consent.attempts import Attempt
from consent.gate import Permit
from consent.status_list import Status

_ASK = """
PREPARE gate_ask (text, timestamptz, text, text, text, text, text, jsonb, bytea, bool) AS
WITH asked AS (
    INSERT INTO attempts (attempt_id, at, caller, backend, stage, purpose, job_sha256, claimed)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8
     WHERE NOT $10 OR EXISTS (SELECT FROM api_keys WHERE key_id = $3 AND revoked_at IS NULL)
    RETURNING attempt_id
)
INSERT INTO attempt_entries (attempt_id, at, salt) SELECT attempt_id, $2, $9 FROM asked
"""
# one after the other, in the order given
_TURNS = """
PREPARE gate_turns (text[]) AS
SELECT pg_advisory_xact_lock_shared(hashtextextended(u.id, 0)) FROM unnest($1) WITH ORDINALITY AS u (id, place)
 ORDER BY u.place
"""
_HOLD = """
PREPARE gate_hold (text[], text, text, date, timestamptz, float8, text) AS
SELECT b.written, b.jkt, b.blocked, b.stands_still, c.consent_id, c.subject_id, c.salt,
       ARRAY(SELECT e.body FROM consent_events e WHERE e.consent_id = c.consent_id ORDER BY e.number),
       l.state, coalesce(m.count, 0),
       s.sealed_id, s.kind, s.content, s.in_file, s.size, s.data_key_id, s.erased_at IS NOT NULL,
       k.owner, k.wrapped, k.wrapped_by
  FROM (SELECT EXISTS (SELECT FROM attempts WHERE attempt_id = $7) AS written,
               (SELECT jkt FROM backend_keys WHERE backend = $2) AS jkt,
               EXISTS (SELECT FROM purges WHERE backend = $2 AND due_at <= $5
                          AND confirmed_at IS NULL AND retained_at IS NULL AND excused_at IS NULL) AS blocked,
               coalesce((SELECT at FROM gate_waiting ORDER BY number LIMIT 1)
                        < clock_timestamp() - make_interval(secs => $6), false) AS stands_still) AS b
  LEFT JOIN consents c ON c.consent_id = ANY($1)
  LEFT JOIN status_entries l ON l.consent_id = c.consent_id
  LEFT JOIN mismatches m ON m.subject_id = c.subject_id AND m.asker = $3 AND m.day = $4
  LEFT JOIN sealed s ON s.sealed_id = c.templates_id
  LEFT JOIN data_keys k ON k.data_key_id = s.data_key_id
"""
_REFUSE = """
PREPARE gate_refuse (text, timestamptz, jsonb) AS
INSERT INTO outcomes (attempt_id, at, decision, reasons) VALUES ($1, $2, false, $3)
"""
_PERMIT = """
PREPARE gate_permit (text, text, timestamptz, text, text, text, timestamptz, timestamptz, text, text[], int[]) AS
WITH answered AS (
    INSERT INTO outcomes (attempt_id, at, decision, reasons, permit_id) VALUES ($1, $3, true, '[]', $2)
), given AS (
    INSERT INTO permits (permit_id, attempt_id, backend, purpose, job_sha256, issued_at, expires_at, jkt)
    VALUES ($2, $1, $4, $5, $6, $7, $8, $9)
)
INSERT INTO permit_consents (permit_id, consent_id, event_number)
SELECT $2, u.consent_id, u.number FROM unnest($10, $11) AS u (consent_id, number)
"""
_PREPARED = "gate statements"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldConsent:
    """What storage holds of a consent for the gate. ``tried``: wrong faces that who asks tried on this person today."""

    consent_id: str
    subject_id: str
    salt: bytes = field(repr=False)
    events: tuple[bytes, ...] = field(repr=False)
    status: Status | None
    tried: int
    templates: SealedThing | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """All that is read for a question. ``jkt``: of the key that the backend registered. ``stands_still``: questions wait longer
    than they may to be put into the log."""

    jkt: str | None
    blocked: bool
    stands_still: bool
    consents: Mapping[str, HeldConsent]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a question is decided by. ``asker``: under which name its wrong faces are counted; ``day``: on which day."""

    consent_ids: Collection[str]
    backend: str
    asker: str
    day: date
    now: datetime


class Line:
    """One connection, for one question. In this order: :meth:`ask`; :meth:`hold`; :meth:`permit` or :meth:`refuse`."""

    def __init__(self, engine: Engine, connection: PoolProxiedConnection) -> None:
        self._engine, self._connection = engine, connection
        self._raw = cast("psycopg.Connection[Any]", connection.driver_connection)
        self._session: Session | None = None
        self._store: Store | None = None
        self._held: Held | psycopg.Error | None = None

    def ask(self, asked: Attempt, *, salt: bytes, wanted: Wanted, by_key: bool = False) -> Steps[bool]:
        """Write a question down, and then read what it is decided by, which :meth:`hold` gives. When this returns, the
        question is on the disk. ``by_key``: only if its caller's key was not withdrawn; else it is not written, and false.

        1. the question, committed
        2. the turns of its consents
        3. everything else, as it stands then; and whether the question is there

        Raises: psycopg.Error when it is not written.
        """
        question = self._text(
            "EXECUTE gate_ask",
            asked.attempt_id, asked.at, asked.caller, asked.backend, asked.stage, str(asked.purpose), asked.job_sha256,
            json.dumps(asked.claimed), salt, by_key,
        )  # fmt: skip
        consent_ids = sorted(set(wanted.consent_ids))
        turns = self._text("EXECUTE gate_turns", consent_ids)
        read = self._text(
            "EXECUTE gate_hold",
            consent_ids, wanted.backend, wanted.asker, wanted.day, wanted.now, SETTLED_WITHIN.total_seconds(),
            asked.attempt_id,
        )  # fmt: skip
        self._prepare(_ASK)
        try:
            self._prepare(_TURNS, _HOLD)
        except psycopg.Error as error:  # the question is one all the same
            self._held = error
            return (yield from self._sent(question)).command_tuples == 1
        try:
            found = yield from self._sent(f"BEGIN; {question}; COMMIT; BEGIN; {turns}; {read}")
        except psycopg.Error as error:
            yield AT_LENGTH
            if not self._is_written(asked.attempt_id):
                raise
            self._held = error
            return True
        rows = self._rows(found)
        self._held = Held(
            jkt=rows[0][1],
            blocked=rows[0][2],
            stands_still=rows[0][3],
            consents={row[4]: _held_consent(row[4:]) for row in rows if row[4] is not None},
        )
        return bool(rows[0][0])

    def hold(self) -> Held:
        """What the gate decides by. These consents are held in shared turn until the answer: nobody changes them, and who waits
        to change one is not passed by who comes later.

        Raises: psycopg.Error when it could not be read.
        """
        if not isinstance(self._held, Held):
            raise self._held or psycopg.ProgrammingError("nothing was asked")
        return self._held

    @property
    def store(self) -> Store:
        """The transaction of :meth:`hold`, for whatever else a question needs."""
        if self._store is None:
            self._session = Session(Connection(self._engine, self._connection), expire_on_commit=False)
            self._store = Store(self._session)
        return self._store

    def refuse(self, attempt_id: str, reasons: Sequence[Mapping[str, object]], *, at: datetime) -> Steps[None]:
        """Write the answer no, and commit. Raises: psycopg.errors.UniqueViolation when there is an answer already."""
        self._prepare(_REFUSE)
        yield from self._answer(self._text("EXECUTE gate_refuse", attempt_id, at, json.dumps(reasons)))

    def permit(self, attempt_id: str, permit: Permit, seen: Mapping[str, int], *, at: datetime) -> Steps[None]:
        """Write the answer yes, and the permit; and commit. ``seen``: the last event of each consent when it was decided.

        Raises: psycopg.errors.UniqueViolation when there is an answer already.
        """
        consents = [consent_id for consent_id, _ in permit.consents]
        self._prepare(_PERMIT)
        yield from self._answer(
            self._text(
                "EXECUTE gate_permit",
                attempt_id, permit.permit_id, at, permit.backend, str(permit.purpose), permit.job_sha256,
                permit.issued_at, permit.expires_at, permit.jkt, consents, [seen[each] for each in consents],
            )
        )  # fmt: skip

    def close(self) -> None:
        """What was not committed is undone: by us, or by the database when the connection broke."""
        with suppress(psycopg.Error, SQLAlchemyError):
            self._forget()
            if self._raw.pgconn.transaction_status != TransactionStatus.IDLE:
                self._raw.rollback()

    def _answer(self, statement: str) -> Steps[None]:
        following: Sequence[Callable[[], object]] = ()
        if self._session is not None and self._store is not None:
            self._session.flush()
            following = self._store.following
        yield from self._sent(f"{statement}; COMMIT")
        for follow in following:
            follow()

    def _is_written(self, attempt_id: str) -> bool:
        """Of a question whose trip failed: whether it had been committed before. Where nobody can tell, it was not."""
        with suppress(psycopg.Error):
            self._raw.rollback()
            there = self._raw.execute("SELECT EXISTS (SELECT FROM attempts WHERE attempt_id = %s)", [attempt_id])
            return there.fetchone() == (True,)
        return False

    def _prepare(self, *statements: LiteralString) -> None:
        """Each by itself and when it is needed: an answer can be written while a table that it does not touch is locked."""
        there: set[str] = self._connection.info.setdefault(_PREPARED, set())
        for statement in statements:
            if statement not in there:
                self._raw.execute(statement)
                there.add(statement)

    def _text(self, statement: LiteralString, *values: object) -> str:
        escaping = Escaping(self._raw.pgconn)
        return f"{statement} ({', '.join([_literal(value, escaping) for value in values])})"

    def _sent(self, text: str) -> Steps[abc.PGresult]:
        """The last result of these statements. Raises: psycopg.Error, of the first that failed."""
        pgconn = self._raw.pgconn
        pgconn.send_query(text.encode("utf-8"))
        last: abc.PGresult | None = None
        while True:
            while pgconn.is_busy():
                yield pgconn.socket
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                break
            last = result
        if last is None:
            raise psycopg.OperationalError("the database gave no answer")
        if last.status not in _DONE:  # what comes after it was not begun
            raise error_from_result(last)
        return last

    def _rows(self, result: abc.PGresult) -> list[tuple[Any, ...]]:
        reading = Transformer(self._raw)
        reading.set_pgresult(result)
        return reading.load_rows(0, result.ntuples, tuple)

    def _forget(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = self._store = None


def is_prepared(connection: PoolProxiedConnection) -> bool:
    """Whether a question that ends in a permit needs nothing more on it."""
    there: set[str] = connection.info.get(_PREPARED, set())
    return there >= _FOR_A_PERMIT


_FOR_A_PERMIT = {_ASK, _TURNS, _HOLD, _PERMIT}
_DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


def _literal(value: object, escaping: abc.Escaping) -> str:
    """A value as it stands in SQL.

    Raises: psycopg.DataError for text that the database cannot hold.
    """
    match value:
        case str():
            if "\0" in value:  # where the library takes the text to end
                raise psycopg.DataError("text with a NUL")
            try:
                return bytes(escaping.escape_literal(value.encode("utf-8"))).decode("utf-8")
            except UnicodeEncodeError as error:
                raise psycopg.DataError("text that is no Unicode") from error
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case bytes():
            return f"E'\\\\x{value.hex()}'"
        case date():
            return f"'{value.isoformat()}'"
        case []:
            return "'{}'"
        case list():
            return f"ARRAY[{', '.join([_literal(each, escaping) for each in value])}]"
        case _:
            raise psycopg.DataError(f"a {type(value).__name__} in SQL")


def _held_consent(row: Sequence[Any]) -> HeldConsent:
    consent_id, subject_id, salt, events, state, tried, *sealed = row
    return HeldConsent(
        consent_id=consent_id,
        subject_id=subject_id,
        salt=salt,
        events=tuple(events),
        status=None if state is None else Status(state),
        tried=tried,
        templates=None if sealed[0] is None else SealedThing(*sealed),
    )


__all__ = ["Held", "HeldConsent", "Line", "Wanted", "is_prepared"]
