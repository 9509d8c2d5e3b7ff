"""The audit half of :class:`api.storage.Store`: the books of the gate, searches, and what belongs to one person.

Pages go backwards in time and are cut by (time, id), not by number: rows that are added meanwhile shift nothing. Ids are
lower-case hex behind a prefix of three letters, so every collation and Python order them alike.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, case, delete, func, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session, aliased

from api.tables import (
    ApiKeyRow,
    AttemptEntryRow,
    AttemptRow,
    AttemptTermRow,
    AuditEventRow,
    AuditViewRow,
    AuthorityCaseRow,
    BackendKeyRow,
    ChallengeRow,
    ClipConsentRow,
    ClipRow,
    ConsentEventRow,
    ConsentRow,
    DataKeyRow,
    DeviceKeyRow,
    FingerprintRow,
    IdempotencyRow,
    OpeningRow,
    OutcomeRow,
    PermitConsentRow,
    PermitRow,
    PersonTokenRow,
    SessionRow,
    StatementRow,
    StatusChangeRow,
    StatusListRow,
    VerdictRow,
)
from consent.attempts import OutcomeKind
from consent.record import ConsentState

_ENDED_STATES = ("withdrawn", "terminated", "invalidated")
_FOR_THEMSELVES = "self"

# one statement, so that all of it is seen at one moment
_BOOKS = text("""
WITH open_entries AS (
    SELECT e.attempt_id, e.at, a.backend FROM attempt_entries e JOIN attempts a USING (attempt_id)
     WHERE e.outcome_index IS NULL AND NOT EXISTS (SELECT FROM outcomes o WHERE o.attempt_id = e.attempt_id)
), days AS (
    SELECT c.day, c.backend FROM gate_figures c WHERE c.reason = '' GROUP BY c.day, c.backend
    HAVING sum(CASE WHEN c.kind = 'attempt' THEN c.count ELSE -c.count END) <>
           (SELECT count(*) FROM open_entries e WHERE e.backend = c.backend AND (e.at AT TIME ZONE 'UTC')::date = c.day)
), waiting AS (
    SELECT attempt_id, at FROM open_entries
    UNION
    SELECT a.attempt_id, a.at FROM days d JOIN attempts a ON a.backend = d.backend
       AND a.at >= d.day::timestamp AT TIME ZONE 'UTC' AND a.at < (d.day + 1)::timestamp AT TIME ZONE 'UTC'
     WHERE NOT EXISTS (SELECT FROM outcomes o WHERE o.attempt_id = a.attempt_id)
)
SELECT (SELECT coalesce(sum(count), 0) FROM gate_figures WHERE reason = '' AND kind = 'attempt'),
       (SELECT coalesce(sum(count), 0) FROM gate_figures WHERE reason = '' AND kind = 'permit'),
       (SELECT coalesce(sum(count), 0) FROM gate_figures WHERE reason = '' AND kind = 'refusal'),
       (SELECT coalesce(sum(count), 0) FROM gate_figures WHERE reason = '' AND kind = 'error'),
       (SELECT count(*) FROM waiting),
       (SELECT count(*) FROM waiting WHERE at < :before),
       ARRAY(SELECT attempt_id FROM waiting WHERE at < :before ORDER BY at LIMIT :most)
""")
_RECOUNT = text("""
SELECT (SELECT count(*) FROM attempts), count(*) FILTER (WHERE kind = 'permit'),
       count(*) FILTER (WHERE kind = 'refusal'), count(*) FILTER (WHERE kind = 'error') FROM outcomes
""")
# one that waits to be put into the log is not missing yet, unless it has waited too long
_NOT_LOGGED = text(
    """
SELECT EXISTS (SELECT FROM attempt_entries e WHERE e.salt IS NOT NULL AND e.attempt_index IS NULL AND NOT EXISTS
                 (SELECT FROM gate_waiting w WHERE w.attempt_id = e.attempt_id AND w.what = 'attempt' AND w.at >= :since))
    OR EXISTS (SELECT FROM attempt_entries e JOIN outcomes o USING (attempt_id)
                WHERE e.salt IS NOT NULL AND e.outcome_index IS NULL AND NOT EXISTS
                 (SELECT FROM gate_waiting w WHERE w.attempt_id = e.attempt_id AND w.what = 'outcome' AND w.at >= :since))
""".replace(":since", "clock_timestamp() - make_interval(secs => :seconds)")
)
_WITHOUT_ENTRY = text("""
SELECT min(w.i) FROM (
    SELECT ledger_index AS i FROM consent_events UNION ALL SELECT ledger_index FROM statements
    UNION ALL SELECT attempt_index FROM attempt_entries WHERE attempt_index IS NOT NULL
    UNION ALL SELECT outcome_index FROM attempt_entries WHERE outcome_index IS NOT NULL
) AS w WHERE NOT EXISTS (SELECT FROM ledger_entries e WHERE e.entry_index = w.i)
""")


_QUEUES = text("""
SELECT queue_name, count(*) FILTER (WHERE status = 'todo' AND coalesce(scheduled_at, now()) <= now()),
       count(*) FILTER (WHERE status = 'todo' AND scheduled_at > now()), count(*) FILTER (WHERE status = 'doing'),
       count(*) FILTER (WHERE status = 'failed')
  FROM procrastinate_jobs WHERE status IN ('todo', 'doing', 'failed') GROUP BY 1 ORDER BY 1
""")
_WORKERS = text("SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => 60)")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """Jobs of one kind: that could begin now, that are for later, that run, and that were given up."""

    name: str
    waiting: int
    later: int
    running: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusListState:
    """A status list. changed_at: when an entry of it last became something else."""

    list_id: str
    version: int
    used: int
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The gate's books at one moment. waiting : attempts without an outcome; overdue : those that should have one.

    overdue_ids : some of them, the oldest first.
    """

    attempts: int
    permits: int
    refusals: int
    errors: int
    waiting: int
    overdue: int
    overdue_ids: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """attempts = permits + refusals + errors, but for those being answered right now."""
        answered = self.permits + self.refusals + self.errors
        return self.attempts == answered + self.waiting and self.overdue == 0


Place = tuple[datetime, str]
"""Where a page begins: everything shown after it is older, or as old with a smaller id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """What is looked for; ``None`` for anything. Times are half-open: ``since <= at < until``."""

    subject_id: str | None = None
    consent_id: str | None = None
    backend: str | None = None
    reason: str | None = None
    output_sha256: str | None = None
    state: str | None = None
    authority: str | None = None
    action: str | None = None
    actor_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def _authority_of(consent_id: Any) -> Any:
    """As whom a consent was given, by the event that gave it; those of schema 1 do not say, and are the person's own."""
    body = func.convert_from(ConsentEventRow.body, "UTF8").cast(JSONB)
    basis = select(func.coalesce(body["authority_party"]["type"].astext, _FOR_THEMSELVES))
    return basis.where(ConsentEventRow.consent_id == consent_id, ConsentEventRow.number == 0).scalar_subquery()


class AuditStore:
    """Mixed into the store."""

    _session: Session

    # --- the books of the gate ---------------------------------------------------------------------------------------

    def books(self, *, before: datetime, most: int = 200) -> Books:
        """From the running counts; an attempt from before ``before`` without an outcome is overdue."""
        *numbers, ids = self._session.execute(_BOOKS, {"before": before, "most": most}).one()
        attempts, permits, refusals, errors, waiting, overdue = (int(number) for number in numbers)
        return Books(
            attempts=attempts, permits=permits, refusals=refusals, errors=errors, waiting=waiting, overdue=overdue,
            overdue_ids=tuple(ids),
        )  # fmt: skip

    def recount(self) -> tuple[int, int, int, int]:
        """Attempts, permits, refusals and errors, row by row: slow, and what the running counts must equal."""
        attempts, permits, refusals, errors = self._session.execute(_RECOUNT).one()
        return int(attempts), int(permits), int(refusals), int(errors)

    def gate_reasons(self) -> list[tuple[str, str, int]]:
        """(kind, reason, how many): of refusals and errors, since the beginning."""
        found = text("SELECT kind, reason, sum(count) FROM gate_figures WHERE reason <> '' GROUP BY 1, 2 ORDER BY 1, 2")
        return [(str(kind), str(reason), int(n)) for kind, reason, n in self._session.execute(found)]

    def unchecked_permits(self, most: int) -> list[PermitRow]:
        found = select(PermitRow).where(PermitRow.checked_at.is_(None)).order_by(PermitRow.issued_at).limit(most)
        return list(self._session.scalars(found.with_for_update(skip_locked=True)))

    def count_unchecked_permits(self) -> int:
        return self._session.scalar(select(func.count()).where(PermitRow.checked_at.is_(None))) or 0

    def consents_of_permit(self, permit_id: str) -> list[str]:
        found = select(PermitConsentRow.consent_id).where(PermitConsentRow.permit_id == permit_id)
        return list(self._session.scalars(found.order_by(PermitConsentRow.consent_id)))

    def event_count(self, action: str) -> int:
        found = select(func.count()).select_from(AuditEventRow).where(AuditEventRow.action == action)
        return self._session.scalar(found) or 0

    def attempt_entry(self, attempt_id: str) -> AttemptEntryRow | None:
        return self._session.get(AttemptEntryRow, attempt_id)

    # --- what was written down, in the order of the log --------------------------------------------------------------

    def written_events(self, below: int) -> Generator[Any, None, None]:
        """Consent events with the salt of their consent (``known``: whether it is there), up to entry ``below``."""
        event = ConsentEventRow
        before = func.row_number().over(partition_by=event.consent_id, order_by=event.ledger_index) - 1
        found = select(
            event.ledger_index, event.consent_id, event.number, before.label("place"), readable(event.at).label("at"),
            event.body, event.record, ConsentRow.salt, ConsentRow.consent_id.is_not(None).label("known"),
        ).join(ConsentRow, ConsentRow.consent_id == event.consent_id, isouter=True)  # fmt: skip
        return self._in_order(found.where(event.ledger_index.between(0, below - 1)).order_by(event.ledger_index))

    def written_statements(self, below: int) -> Generator[Any, None, None]:
        row = StatementRow
        found = select(row.ledger_index, row.session_id, row.subject_id, row.kind, row.body, row.record, row.salt)
        return self._in_order(found.where(row.ledger_index.between(0, below - 1)).order_by(row.ledger_index))

    def written_attempts(self, below: int) -> Generator[Any, None, None]:
        """``attempt_id`` is ``None`` where the attempt is gone."""
        entry, row = AttemptEntryRow, AttemptRow
        found = select(
            entry.attempt_index, entry.salt, row.attempt_id, readable(row.at).label("at"), row.caller, row.backend,
            row.stage, row.purpose, row.job_sha256, row.claimed,
        ).join(row, row.attempt_id == entry.attempt_id, isouter=True)  # fmt: skip
        return self._in_order(found.where(entry.attempt_index.between(0, below - 1)).order_by(entry.attempt_index))

    def written_outcomes(self, below: int) -> Generator[Any, None, None]:
        """``attempt_id`` is ``None`` where the outcome is gone."""
        entry, row = AttemptEntryRow, OutcomeRow
        found = select(
            entry.outcome_index, entry.salt, row.attempt_id, readable(row.at).label("at"), row.decision, row.reasons,
            row.permit_id,
        ).join(row, row.attempt_id == entry.attempt_id, isouter=True)  # fmt: skip
        return self._in_order(found.where(entry.outcome_index.between(0, below - 1)).order_by(entry.outcome_index))

    def written_without_entry(self) -> int | None:
        """The lowest index that something was written down for and that the log has not. One statement, so one moment."""
        found: int | None = self._session.scalar(_WITHOUT_ENTRY)
        return found

    def has_unlogged(self, *, seconds: float) -> bool:
        """Whether a question or an answer has a salt and no entry, and does not wait for one, or for longer than that."""
        return bool(self._session.scalar(_NOT_LOGGED, {"seconds": seconds}))

    def _in_order(self, found: Select[*tuple[Any, ...]]) -> Generator[Any, None, None]:
        with self._session.execute(found.execution_options(yield_per=2048)) as rows:
            yield from rows

    # --- how things stand --------------------------------------------------------------------------------------------

    def queue_states(self) -> list[QueueState]:
        return [
            QueueState(name=str(name), waiting=int(now), later=int(later), running=int(doing), failed=int(failed))
            for name, now, later, doing, failed in self._session.execute(_QUEUES)
        ]

    def workers_alive(self) -> int:
        """Workers that were heard of within a minute."""
        return self._session.scalar(_WORKERS) or 0

    def status_list_states(self) -> list[StatusListState]:
        """Of every list, the newest first."""
        changed = select(func.max(StatusChangeRow.at)).where(StatusChangeRow.list_id == StatusListRow.list_id)
        found = select(StatusListRow, changed.scalar_subquery()).order_by(StatusListRow.made_at.desc())
        return [
            StatusListState(list_id=row.list_id, version=row.version, used=row.used, changed_at=at or row.made_at)
            for row, at in self._session.execute(found)
        ]

    def claims(self, *, stage: str | None, after: Place | None, most: int) -> list[AuthorityCaseRow]:
        """Claims to speak for somebody, latest first."""
        found = select(AuthorityCaseRow)
        if stage is not None:
            found = found.where(AuthorityCaseRow.stage == stage)
        found = _page(found, AuthorityCaseRow.opened_at, AuthorityCaseRow.case_id, Sought(), after, most)
        return list(self._session.scalars(found))

    def count_claims(self, stages: Sequence[str]) -> int:
        found = select(func.count()).select_from(AuthorityCaseRow).where(AuthorityCaseRow.stage.in_(stages))
        return self._session.scalar(found) or 0

    def count_openings_waiting(self, *, now: datetime) -> int:
        """Asked for within a day, and approved by nobody yet."""
        found = select(func.count()).select_from(OpeningRow)
        waiting = OpeningRow.approved_at.is_(None), OpeningRow.requested_at > now - timedelta(hours=24)
        return self._session.scalar(found.where(*waiting)) or 0

    def api_keys(self) -> list[ApiKeyRow]:
        """Of everyone, oldest first; revoked ones among them."""
        return list(self._session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.created_at, ApiKeyRow.key_id)))

    def backend_keys(self) -> list[BackendKeyRow]:
        return list(self._session.scalars(select(BackendKeyRow).order_by(BackendKeyRow.backend)))

    # --- searches ----------------------------------------------------------------------------------------------------

    def search_attempts(
        self, sought: Sought, *, after: Place | None, most: int
    ) -> list[tuple[AttemptRow, OutcomeRow | None]]:
        """Latest first. Walks the terms of what is rarest, and looks the other terms up."""
        if sought.authority is not None or sought.action is not None or sought.actor_id is not None:
            return []
        wanted = (
            ("output", sought.output_sha256),
            ("consent", sought.consent_id),
            ("subject", sought.subject_id),
            ("reason", sought.reason),
            ("backend", sought.backend),
            ("state", sought.state),
        )
        terms = [f"{name}:{value}" for name, value in wanted if value is not None]
        found = select(AttemptRow, OutcomeRow).join(
            OutcomeRow, OutcomeRow.attempt_id == AttemptRow.attempt_id, isouter=True
        )
        if terms:
            page = _page(
                select(AttemptTermRow.at, AttemptTermRow.attempt_id).where(AttemptTermRow.term == terms[0]),
                AttemptTermRow.at, AttemptTermRow.attempt_id, sought, after, most,
            )  # fmt: skip
            for term in terms[1:]:
                other = aliased(AttemptTermRow)
                page = page.where(
                    select(other.term)
                    .where(
                        other.term == term,
                        other.at == AttemptTermRow.at,
                        other.attempt_id == AttemptTermRow.attempt_id,
                    )
                    .exists()
                )
            at_most = page.subquery()
            found = found.join(at_most, at_most.c.attempt_id == AttemptRow.attempt_id)
            found = found.order_by(AttemptRow.at.desc(), AttemptRow.attempt_id.desc())
        else:
            found = _page(found, AttemptRow.at, AttemptRow.attempt_id, sought, after, most)
        return [(attempt, outcome) for attempt, outcome in self._session.execute(found)]

    def search_events(self, sought: Sought, *, after: Place | None, most: int) -> list[AuditEventRow]:
        """Latest first."""
        if sought.state is not None or sought.authority is not None:
            return []
        found = select(AuditEventRow)
        for column, value in (
            (AuditEventRow.subject_id, sought.subject_id),
            (AuditEventRow.consent_id, sought.consent_id),
            (AuditEventRow.backend, sought.backend),
            (AuditEventRow.reason, sought.reason),
            (AuditEventRow.object_id, sought.output_sha256),
            (AuditEventRow.action, sought.action),
            (AuditEventRow.actor_id, sought.actor_id),
        ):
            if value is not None:
                found = found.where(column == value)
        found = _page(found, AuditEventRow.at, AuditEventRow.event_id, sought, after, most)
        return list(self._session.scalars(found))

    def search_records(
        self, sought: Sought, *, now: datetime, after: Place | None, most: int
    ) -> list[tuple[ConsentRow, str]]:
        """Consents with the state each is in, latest first."""
        if sought.reason is not None or sought.action is not None or sought.actor_id is not None:
            return []
        if sought.state in tuple(OutcomeKind):
            return []
        last = (
            select(func.convert_from(ConsentEventRow.body, "UTF8").cast(JSONB)["event_state"].astext)
            .where(ConsentEventRow.consent_id == ConsentRow.consent_id)
            .order_by(ConsentEventRow.number.desc())
            .limit(1)
            .correlate(ConsentRow)
            .scalar_subquery()
        )
        state = case((last.in_(("given", "renewed")) & (ConsentRow.expires_at <= now), "expired"), else_=last)
        found = select(ConsentRow, state)
        if sought.subject_id is not None:
            found = found.where(ConsentRow.subject_id == sought.subject_id)
        if sought.consent_id is not None:
            found = found.where(ConsentRow.consent_id == sought.consent_id)
        if sought.backend is not None or sought.output_sha256 is not None:
            under = (
                select(PermitConsentRow.permit_id)
                .join(PermitRow, PermitRow.permit_id == PermitConsentRow.permit_id)
                .where(PermitConsentRow.consent_id == ConsentRow.consent_id)
            )
            if sought.backend is not None:
                under = under.where(PermitRow.backend == sought.backend)
            if sought.output_sha256 is not None:
                under = under.where(PermitRow.output_sha256 == sought.output_sha256)
            found = found.where(under.exists())
        if sought.authority is not None:
            found = found.where(_authority_of(ConsentRow.consent_id) == sought.authority)
            if sought.authority != _FOR_THEMSELVES:  # few have a claim about them: the records of others are not read
                claimed = select(AuthorityCaseRow.subject_id).where(AuthorityCaseRow.kind == sought.authority)
                found = found.where(ConsentRow.subject_id.in_(claimed))
        if sought.state is not None:
            ended = sought.state in _ENDED_STATES
            found = found.where(ConsentRow.revoked_at.is_not(None) if ended else ConsentRow.revoked_at.is_(None))
            if sought.state == ConsentState.EXPIRED:  # what needs no event to be read narrows it down first
                found = found.where(ConsentRow.expires_at <= now)
            elif sought.state in (ConsentState.GIVEN, ConsentState.RENEWED):
                found = found.where(ConsentRow.expires_at > now)
            found = found.where(state == sought.state)
        found = _page(found, ConsentRow.granted_at, ConsentRow.consent_id, sought, after, most)
        return [(row, str(shown)) for row, shown in self._session.execute(found)]

    def subjects_of_attempts(self, attempt_ids: Sequence[str]) -> set[str]:
        """Whose consents were presented in these."""
        if not attempt_ids:
            return set()
        claimed = func.jsonb_array_elements_text(AttemptRow.claimed["consents"]).table_valued("value")
        found = (
            select(ConsentRow.subject_id)
            .distinct()
            .select_from(AttemptRow)
            .join(claimed, text("true"))
            .join(ConsentRow, ConsentRow.consent_id == claimed.c.value)
            .where(AttemptRow.attempt_id.in_(attempt_ids))
        )
        return set(self._session.scalars(found))

    def permits_of_attempts(self, attempt_ids: Sequence[str]) -> dict[str, PermitRow]:
        if not attempt_ids:
            return {}
        found = self._session.scalars(select(PermitRow).where(PermitRow.attempt_id.in_(attempt_ids)))
        return {permit.attempt_id: permit for permit in found}

    def attempts_about(self, consent_id: str) -> int:
        """How many questions presented this consent."""
        found = select(func.count()).select_from(AttemptTermRow).where(AttemptTermRow.term == f"consent:{consent_id}")
        return self._session.scalar(found) or 0

    # --- saved searches ----------------------------------------------------------------------------------------------

    def views(self, key_id: str) -> list[AuditViewRow]:
        found = select(AuditViewRow).where(AuditViewRow.key_id == key_id).order_by(AuditViewRow.name)
        return list(self._session.scalars(found))

    def save_view(self, key_id: str, name: str, query: dict[str, Any], *, now: datetime) -> None:
        values = {"query": query, "saved_at": now}
        saved = insert(AuditViewRow).values(key_id=key_id, name=name, **values)
        self._session.execute(saved.on_conflict_do_update(index_elements=["key_id", "name"], set_=values))

    def forget_view(self, key_id: str, name: str) -> bool:
        gone = delete(AuditViewRow).where(AuditViewRow.key_id == key_id, AuditViewRow.name == name)
        return self._session.execute(gone.returning(AuditViewRow.name)).first() is not None

    # --- openings ----------------------------------------------------------------------------------------------------

    def openings(self, *, before: Place | None, most: int) -> list[OpeningRow]:
        """Latest first."""
        found = _page(select(OpeningRow), OpeningRow.requested_at, OpeningRow.opening_id, Sought(), before, most)
        return list(self._session.scalars(found))

    # --- one person --------------------------------------------------------------------------------------------------

    def consents_of_subject(self, subject_id: str) -> list[ConsentRow]:
        found = select(ConsentRow).where(ConsentRow.subject_id == subject_id).order_by(ConsentRow.consent_id)
        return list(self._session.scalars(found))

    def sessions_of_subject(self, subject_id: str) -> list[SessionRow]:
        found = select(SessionRow).where(SessionRow.subject_id == subject_id).order_by(SessionRow.created_at)
        return list(self._session.scalars(found))

    def challenges_of_subject(self, subject_id: str) -> list[ChallengeRow]:
        found = select(ChallengeRow).join(SessionRow, SessionRow.session_id == ChallengeRow.session_id)
        return list(
            self._session.scalars(found.where(SessionRow.subject_id == subject_id).order_by(ChallengeRow.issued_at))
        )

    def last_capture(self, session_id: str) -> str | None:
        """The sealed recording that was handed in last."""
        found = select(ChallengeRow.capture_id).where(
            ChallengeRow.session_id == session_id, ChallengeRow.capture_id.is_not(None)
        )
        return self._session.scalar(found.order_by(ChallengeRow.spent_at.desc()).limit(1))

    def uses_of_subject(
        self, subject_id: str, *, consent_id: str | None = None, after: Place | None, most: int
    ) -> list[tuple[PermitRow, str]]:
        """Redeemed permits with the consent each stands on, latest first; ``consent_id``: on that one only."""
        found = (
            select(PermitRow, PermitConsentRow.consent_id)
            .join(PermitConsentRow, PermitConsentRow.permit_id == PermitRow.permit_id)
            .join(ConsentRow, ConsentRow.consent_id == PermitConsentRow.consent_id)
            .where(ConsentRow.subject_id == subject_id, PermitRow.redeemed_at.is_not(None))
        )
        if consent_id is not None:
            found = found.where(ConsentRow.consent_id == consent_id)
        found = _page(found, PermitRow.issued_at, PermitRow.permit_id, Sought(), after, most)
        return [(permit, consent_id) for permit, consent_id in self._session.execute(found)]

    def clips_of_subject(self, subject_id: str) -> list[ClipRow]:
        found = (
            select(ClipRow)
            .distinct()
            .join(ClipConsentRow, ClipConsentRow.clip_id == ClipRow.clip_id)
            .join(ConsentRow, ConsentRow.consent_id == ClipConsentRow.consent_id)
            .where(ConsentRow.subject_id == subject_id)
        )
        return sorted(self._session.scalars(found), key=lambda clip: (clip.created_at, clip.clip_id), reverse=True)

    def clips_by_permit(self, permit_ids: Sequence[str]) -> dict[str, ClipRow]:
        found = self._session.scalars(select(ClipRow).where(ClipRow.permit_id.in_(permit_ids)))
        return {clip.permit_id: clip for clip in found if clip.permit_id is not None}

    def subjects_of_clip(self, clip_id: str) -> set[str]:
        found = (
            select(ConsentRow.subject_id)
            .join(ClipConsentRow, ClipConsentRow.consent_id == ConsentRow.consent_id)
            .where(ClipConsentRow.clip_id == clip_id)
        )
        return set(self._session.scalars(found))

    def looks_at_subject(
        self, subject_id: str, areas: Sequence[str], *, now: datetime, after: Place | None, most: int
    ) -> list[AuditEventRow]:
        """What others did with this person's data, latest first; not what a legal hold still keeps back."""
        held = (
            select(OpeningRow.opening_id)
            .where(OpeningRow.opening_id == AuditEventRow.object_id, OpeningRow.held_until > now)
            .exists()
        )
        found = select(AuditEventRow).where(
            or_(AuditEventRow.subject_id == subject_id, AuditEventRow.shown.contains([subject_id])),
            or_(*(AuditEventRow.action.startswith(f"{area}:", autoescape=True) for area in areas)),
            ~held,
        )
        found = _page(found, AuditEventRow.at, AuditEventRow.event_id, Sought(), after, most)
        return list(self._session.scalars(found))

    def live_keys(self, data_key_ids: Sequence[str]) -> list[str]:
        """Those of these data keys that still open something."""
        found = select(DataKeyRow.data_key_id).where(
            DataKeyRow.data_key_id.in_(data_key_ids), DataKeyRow.wrapped.is_not(None)
        )
        return list(self._session.scalars(found))

    def forget_subject(self, subject_id: str) -> dict[str, int]:
        """Delete what may be deleted of a person besides keys and consents; gives how many of each."""
        run = self._session.execute
        sessions = select(SessionRow.session_id).where(SessionRow.subject_id == subject_id)
        consents = select(ConsentRow.consent_id).where(ConsentRow.subject_id == subject_id)
        asked = select(AttemptTermRow.attempt_id).where(AttemptTermRow.term == f"subject:{subject_id}")
        secrets = select(PersonTokenRow.secret_sha256).where(
            or_(PersonTokenRow.session_id.in_(sessions), PersonTokenRow.consent_id.in_(consents))
        )
        callers = [f"tok_{secret[:16].hex()}" for secret in self._session.scalars(secrets)]
        answers = run(delete(IdempotencyRow).where(IdempotencyRow.caller.in_(callers)).returning(IdempotencyRow.key))
        gone = {
            "kept_answers": len(answers.all()),
            "fingerprints": len(
                run(
                    delete(FingerprintRow)
                    .where(FingerprintRow.subject_id == subject_id)
                    .returning(FingerprintRow.challenge_id)
                ).all()
            ),
            "device_keys": len(
                run(
                    delete(DeviceKeyRow).where(DeviceKeyRow.subject_id == subject_id).returning(DeviceKeyRow.provider)
                ).all()
            ),
            "live_check_details": len(
                run(
                    update(VerdictRow)
                    .where(VerdictRow.session_id.in_(sessions))
                    .values(detail={"erased": True})
                    .returning(VerdictRow.challenge_id)
                ).all()
            ),
            "log_salts": len(
                run(
                    update(AttemptEntryRow)
                    .where(AttemptEntryRow.attempt_id.in_(asked), AttemptEntryRow.salt.is_not(None))
                    .values(salt=None)
                    .returning(AttemptEntryRow.attempt_id)
                ).all()
            ),
            "tokens": len(
                run(
                    delete(PersonTokenRow)
                    .where(or_(PersonTokenRow.session_id.in_(sessions), PersonTokenRow.consent_id.in_(consents)))
                    .returning(PersonTokenRow.created_at)
                ).all()
            ),
        }
        run(
            update(ChallengeRow)
            .where(ChallengeRow.session_id.in_(sessions))
            .values(client_signs=None, attestation=None, live_log=None)
        )
        run(update(SessionRow).where(SessionRow.subject_id == subject_id).values(device=None))
        return gone


def readable(at: Any) -> Any:
    """A time, or ``NULL`` for one that Python has not (infinity, before year 1): only who writes SQL by hand puts it there."""
    return case((at.between(text("'0001-01-02'"), text("'9999-12-30'")), at))


NO_TIME = datetime.min  # noqa: DTZ901 - without a zone, so that it cannot be written as an instant
"""Stands for a time that is none."""


def _page(
    found: Select[*tuple[Any, ...]], at: Any, key: Any, sought: Sought, after: Place | None, most: int
) -> Select[*tuple[Any, ...]]:
    """Latest first, from where the last page ended."""
    if sought.since is not None:
        found = found.where(at >= sought.since)
    if sought.until is not None:
        found = found.where(at < sought.until)
    if after is not None:
        found = found.where(tuple_(at, key) < tuple_(*after))
    return found.order_by(at.desc(), key.desc()).limit(most)


__all__ = ["NO_TIME", "AuditStore", "Books", "Place", "Sought", "readable"]
