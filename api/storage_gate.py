"""What the gate keeps besides its books: handles that backends registered, and how many wrong faces were tried on whom; and how
its books are counted and put into the log, many rows at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, LiteralString

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from api.tables import HandleRow, MismatchRow, OutcomeRow, OutputRow, PermitConsentRow
from consent.attempts import Attempt

SETTLED_WITHIN = timedelta(seconds=60)
"""Longer than that nothing waits to be put into the log: the worker's sweep would have found it, too."""

_ADD_OUTCOME = """
INSERT INTO outcomes (attempt_id, at, decision, reasons, permit_id) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (attempt_id) DO NOTHING
"""
_NO_LAST = 2**63 - 1
_TAKE_WAITING = """
WITH taken AS (
    DELETE FROM gate_waiting WHERE number IN (SELECT number FROM gate_waiting WHERE number <= %s ORDER BY number LIMIT %s)
    RETURNING number, attempt_id, what = 'attempt' AS asked
)
SELECT t.attempt_id, t.asked, e.salt,
       CASE WHEN t.asked THEN e.attempt_index ELSE e.outcome_index END IS NOT NULL,
       a.attempt_id IS NOT NULL AND a.at BETWEEN '0001-01-02' AND '9999-12-30',
       CASE WHEN a.at BETWEEN '0001-01-02' AND '9999-12-30' THEN a.at END,
       a.caller, a.backend, a.stage, a.purpose, a.job_sha256, a.claimed,
       o.attempt_id IS NOT NULL AND o.at BETWEEN '0001-01-02' AND '9999-12-30',
       CASE WHEN o.at BETWEEN '0001-01-02' AND '9999-12-30' THEN o.at END, o.decision, o.reasons, o.permit_id
  FROM taken t
  LEFT JOIN attempt_entries e ON e.attempt_id = t.attempt_id
  LEFT JOIN attempts a ON a.attempt_id = t.attempt_id AND t.asked
  LEFT JOIN outcomes o ON o.attempt_id = t.attempt_id AND NOT t.asked
 ORDER BY t.number
"""
# rows are taken in one order everywhere, so that nobody waits in a ring
_COUNT_ATTEMPTS = """
INSERT INTO gate_counts AS c (day, backend, kind, reason, count)
SELECT (a.at AT TIME ZONE 'UTC')::date, a.backend, 'attempt', '', count(*) FROM attempts a
 WHERE a.attempt_id = ANY(%s) GROUP BY 1, 2 ORDER BY 1, 2
ON CONFLICT (day, backend, kind, reason) DO UPDATE SET count = c.count + EXCLUDED.count
"""
_COUNT_OUTCOMES = """
INSERT INTO gate_counts AS c (day, backend, kind, reason, count)
SELECT (a.at AT TIME ZONE 'UTC')::date, a.backend, o.kind, r.reason, count(*)
  FROM attempts a JOIN outcomes o USING (attempt_id),
       LATERAL (SELECT '' AS reason UNION SELECT e->>'code' FROM jsonb_array_elements(o.reasons) AS e) AS r
 WHERE a.attempt_id = ANY(%s) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
ON CONFLICT (day, backend, kind, reason) DO UPDATE SET count = c.count + EXCLUDED.count
"""
_TERMS_OF_ATTEMPTS = """
INSERT INTO attempt_terms (term, at, attempt_id)
SELECT t.term, a.at, a.attempt_id FROM attempts a, LATERAL terms_of_attempt(a) t WHERE a.attempt_id = ANY(%s)
ON CONFLICT DO NOTHING
"""
_TERMS_OF_OUTCOMES = """
INSERT INTO attempt_terms (term, at, attempt_id)
SELECT t.term, a.at, a.attempt_id FROM attempts a JOIN outcomes o USING (attempt_id), LATERAL
       (SELECT 'state:' || o.kind AS term UNION SELECT 'reason:' || (e->>'code') FROM jsonb_array_elements(o.reasons) AS e) t
 WHERE a.attempt_id = ANY(%s)
ON CONFLICT DO NOTHING
"""
_SET_INDEXES = """
UPDATE attempt_entries e
   SET attempt_index = coalesce(u.asked, e.attempt_index), outcome_index = coalesce(u.answered, e.outcome_index)
  FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS u (id, asked, answered) WHERE e.attempt_id = u.id
"""


@dataclass(frozen=True, slots=True)
class SealedThing:
    """Something at rest as it lies in the database, with its wrapped key; see :class:`api.media.Vault`."""

    sealed_id: str
    kind: str
    content: bytes | None = field(repr=False)
    in_file: bool
    size: int
    data_key_id: str
    erased: bool
    owner: str | None
    wrapped: bytes | None = field(repr=False)
    wrapped_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer as its row has it."""

    attempt_id: str
    at: datetime
    decision: bool
    reasons: list[dict[str, Any]]
    permit_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Waiting:
    """What waits to be counted and put into the log: a question (``asked``) or an answer. ``logged``: it is in the log."""

    attempt_id: str
    asked: bool
    salt: bytes | None = field(repr=False)
    logged: bool
    row: Attempt | Answered | None


class GateStore:
    """The part of a :class:`api.storage.Store` for these tables."""

    _session: Session

    @property
    def connection(self) -> psycopg.Connection[Any]:
        raise NotImplementedError

    def _run(self, statement: LiteralString, values: Sequence[object] | Mapping[str, object]) -> psycopg.Cursor[Any]:
        return self.connection.execute(statement, values, prepare=True, binary=True)

    # --- counted and put into the log --------------------------------------------------------------------------------

    def add_outcome(self, row: OutcomeRow) -> bool:
        """Write an answer that is no permit, unless there is one already: false then."""
        values = (row.attempt_id, row.at, row.decision, Jsonb(row.reasons), row.permit_id)
        return self._run(_ADD_OUTCOME, values).rowcount == 1

    def plan_by_index(self) -> None:
        """Plan what follows in this transaction by index, also over tables that are empty now and full when it runs again."""
        self._run("SET LOCAL enable_seqscan = off", ())

    def is_waiting(self) -> bool:
        found = self._run("SELECT EXISTS (SELECT FROM gate_waiting)", ()).fetchone()
        return found is not None and bool(found[0])

    def waits_s(self) -> float:
        """How long the oldest of what waits has waited, by the database's own clock; 0 when nothing does."""
        oldest = "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(at)), 0)::float8 FROM gate_waiting"
        found = self._run(oldest, ()).fetchone()
        return 0.0 if found is None else max(0.0, float(found[0]))

    def last_waiting(self) -> int:
        """The number of what was written down last of all that waits; 0 when nothing does."""
        found = self._run("SELECT coalesce(max(number), 0) FROM gate_waiting", ()).fetchone()
        return 0 if found is None else int(found[0])

    def take_waiting(self, most: int, *, last: int | None = None) -> list[Waiting]:
        """What was written down first, in order, up to number ``last``; it waits no longer when this transaction is through."""
        self._session.flush()
        taken = []
        for attempt_id, asked, salt, logged, is_asked, at, *rest in self._run(
            _TAKE_WAITING, [_NO_LAST if last is None else last, most]
        ):
            caller, backend, stage, purpose, job_sha256, claimed, is_answered, answered_at, *said = rest
            row: Attempt | Answered | None = None
            if is_asked:
                row = Attempt(
                    attempt_id=attempt_id, at=at, caller=caller, backend=backend, stage=stage, purpose=purpose,
                    job_sha256=job_sha256, claimed=claimed,
                )  # fmt: skip
            elif is_answered:
                decision, reasons, permit_id = said
                row = Answered(
                    attempt_id=attempt_id, at=answered_at, decision=decision, reasons=reasons, permit_id=permit_id
                )
            taken.append(Waiting(attempt_id=attempt_id, asked=asked, salt=salt, logged=logged, row=row))
        return taken

    def count_waiting(self, waiting: Sequence[Waiting]) -> None:
        """Count them, and write down what they are found by."""
        asked = [one.attempt_id for one in waiting if one.asked]
        answered = [one.attempt_id for one in waiting if not one.asked]
        for ids, statements in (
            (asked, (_COUNT_ATTEMPTS, _TERMS_OF_ATTEMPTS)),
            (answered, (_COUNT_OUTCOMES, _TERMS_OF_OUTCOMES)),
        ):
            if ids:
                for statement in statements:
                    self._run(statement, [ids])

    def set_indexes(self, logged: Sequence[tuple[Waiting, int]]) -> None:
        """Note where in the log they stand."""
        asked = {one.attempt_id: index for one, index in logged if one.asked}
        answered = {one.attempt_id: index for one, index in logged if not one.asked}
        ids = sorted({*asked, *answered})
        if ids:
            self._run(_SET_INDEXES, [ids, [asked.get(each) for each in ids], [answered.get(each) for each in ids]])

    # --- besides -----------------------------------------------------------------------------------------------------

    def handle_consents(self, backend: str, handles: Collection[str]) -> dict[str, tuple[str, ...]]:
        """By hashed handle of this backend: the consents of whom it carries. Those that are not known are left out."""
        if not handles:
            return {}
        found = (
            select(HandleRow.handle_sha256, PermitConsentRow.consent_id)
            .join(PermitConsentRow, PermitConsentRow.permit_id == HandleRow.permit_id)
            .where(HandleRow.backend == backend, HandleRow.handle_sha256.in_(handles))
            .order_by(HandleRow.handle_sha256, PermitConsentRow.consent_id)
        )
        carried: dict[str, tuple[str, ...]] = {}
        for handle, consent_id in self._session.execute(found):
            carried[handle] = (*carried.get(handle, ()), consent_id)
        return carried

    def add_handles(self, backend: str, handles: Iterable[str], permit_id: str, *, now: datetime) -> set[str]:
        """Register these for a permit; gives those that stand for another permit already, and stay there."""
        rows = [
            {"backend": backend, "handle_sha256": each, "permit_id": permit_id, "registered_at": now}
            for each in sorted(set(handles))
        ]
        if not rows:
            return set()
        self._session.execute(insert(HandleRow).values(rows).on_conflict_do_nothing())
        kept = select(HandleRow.handle_sha256).where(
            HandleRow.backend == backend,
            HandleRow.handle_sha256.in_([row["handle_sha256"] for row in rows]),
            HandleRow.permit_id != permit_id,
        )
        return set(self._session.scalars(kept))

    def consents_of_permit(self, permit_id: str) -> list[str]:
        found = select(PermitConsentRow.consent_id).where(PermitConsentRow.permit_id == permit_id)
        return list(self._session.scalars(found.order_by(PermitConsentRow.consent_id)))

    def set_output(self, row: OutputRow) -> None:
        """What a clip was found to be, in place of what was found before."""
        values = {
            "permit_id": row.permit_id,
            "output_sha256": row.output_sha256,
            "passed": row.passed,
            "reasons": row.reasons,
            "checked_at": row.checked_at,
        }
        first = insert(OutputRow).values(values)
        self._session.execute(first.on_conflict_do_update(index_elements=["permit_id"], set_=values))

    def mismatches(self, subject_ids: Collection[str], asker: str, *, day: date) -> dict[str, int]:
        """How many wrong faces this asker tried on each of these people on that day; those without any are left out."""
        found = select(MismatchRow.subject_id, MismatchRow.count).where(
            MismatchRow.subject_id.in_(subject_ids), MismatchRow.asker == asker, MismatchRow.day == day
        )
        return {str(subject_id): int(count) for subject_id, count in self._session.execute(found)}

    def add_mismatches(self, counts: Mapping[str, int], asker: str, *, day: date) -> dict[str, int]:
        """Count more of them; gives the new sums. Rows are taken in one order, so that two questions do not wait in a ring."""
        sums: dict[str, int] = {}
        for subject_id in sorted(counts):
            more = insert(MismatchRow).values(subject_id=subject_id, asker=asker, day=day, count=counts[subject_id])
            summed = more.on_conflict_do_update(
                index_elements=["subject_id", "asker", "day"], set_={"count": MismatchRow.count + more.excluded.count}
            )
            sums[subject_id] = self._session.execute(summed.returning(MismatchRow.count)).scalar_one()
        return sums

    def forget_mismatches(self, before: date) -> None:
        self._session.execute(delete(MismatchRow).where(MismatchRow.day < before))


__all__ = ["SETTLED_WITHIN", "Answered", "GateStore", "SealedThing", "Waiting"]
