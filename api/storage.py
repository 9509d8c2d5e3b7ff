"""Rows to values and back. A :class:`Store` is one transaction; nothing else holds a database session.

The queue's jobs are deferred on the same connection, so that a job exists exactly when the row it serves does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar, assert_never, cast

import psycopg
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from api.tables import (
    ApiKeyRow,
    AttemptRow,
    AuthorityCaseRow,
    AuthorityEventRow,
    AuthorityFileRow,
    Base,
    ChallengeRow,
    ClipConsentRow,
    ClipRow,
    ConsentEventRow,
    ConsentRow,
    DataKeyRow,
    DirectiveRow,
    FingerprintRow,
    IdempotencyRow,
    LedgerRow,
    MediaRow,
    OutcomeRow,
    PermitConsentRow,
    PermitRow,
    PersonTokenRow,
    SealedRow,
    SeenCaptureRow,
    SessionRow,
    SubjectRow,
    VerdictRow,
)
from consent.ledger import LedgerEntry
from liveness.attestation import attestation_of, vouched
from liveness.challenge import Challenge, Direction, Nod, Reveal, SayDigits, Step, Turn
from liveness.digits import Language
from liveness.policy import POLICIES, LivenessPolicy, Path
from liveness.reasons import Reason
from liveness.verdict import CheckResult, Live, Outcome, judge

_Row = TypeVar("_Row", bound=Base)

_LEDGER_LOCK = 0x6C65646765  # "ledge"
SECRET_BYTES = 16


def new_id(prefix: str) -> str:
    """A fresh id, 128 bit of chance."""
    return f"{prefix}_{secrets.token_hex(SECRET_BYTES)}"


class Store:
    """One transaction's view of the database."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.following: list[Callable[[], object]] = []

    # --- rows --------------------------------------------------------------------------------------------------------

    def add(self, *rows: Base) -> None:
        self._session.add_all(rows)
        self._session.flush()

    def get(self, kind: type[_Row], key: object, *, lock: bool = False) -> _Row | None:
        """The row of that key; ``lock``: nobody else changes it until this transaction ends."""
        return self._session.get(kind, key, with_for_update=lock or None, populate_existing=lock)

    def after_commit(self, follow: Callable[[], object]) -> None:
        """Do that once the transaction is in, and not if it is not."""
        self.following.append(follow)

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The driver's connection of this transaction, for the queue."""
        raw = self._session.connection().connection.driver_connection
        return cast("psycopg.Connection[Any]", raw)

    def notify(self, channel: str, payload: str) -> None:
        """Tell listeners; they hear it after the commit."""
        self._session.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload})

    def alive(self) -> bool:
        return bool(self._session.scalar(text("SELECT 1")) == 1)

    def workers_heard(self, *, seconds: float) -> int:
        """Workers that said within that time that they are there."""
        heard = text(
            "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => :seconds)"
        )
        return self._session.scalar(heard, {"seconds": seconds}) or 0

    # --- who may call ------------------------------------------------------------------------------------------------

    def api_key(self, secret_sha256: bytes) -> ApiKeyRow | None:
        return self._session.scalar(select(ApiKeyRow).where(ApiKeyRow.secret_sha256 == secret_sha256))

    def has_api_keys(self) -> bool:
        return self._session.scalar(select(func.count()).select_from(ApiKeyRow)) != 0

    # --- idempotency -------------------------------------------------------------------------------------------------

    def reserve(self, caller: str, key: str, request_sha256: bytes, *, now: datetime) -> bool:
        """Take the key for this request; false when it is taken already."""
        taken = insert(IdempotencyRow).values(caller=caller, key=key, request_sha256=request_sha256, created_at=now)
        return self._changed(taken.on_conflict_do_nothing()) == 1

    def release(self, caller: str, key: str) -> None:
        self._session.execute(delete(IdempotencyRow).where(IdempotencyRow.caller == caller, IdempotencyRow.key == key))

    def forget_before(self, answers_before: datetime, *, tokens_before: datetime) -> None:
        """Kept answers, and tokens of people that ended."""
        self._session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < answers_before))
        self._session.execute(delete(PersonTokenRow).where(PersonTokenRow.expires_at < tokens_before))

    # --- people ------------------------------------------------------------------------------------------------------

    def subject(self, app_key_id: str, reference: bytes, *, now: datetime) -> SubjectRow:
        """The person whom this app calls so; made at the first time."""
        made = insert(SubjectRow).values(
            subject_id=new_id("sub"), app_key_id=app_key_id, reference=reference, created_at=now
        )
        self._session.execute(made.on_conflict_do_nothing())
        return self._session.scalars(
            select(SubjectRow).where(SubjectRow.app_key_id == app_key_id, SubjectRow.reference == reference)
        ).one()

    def extend_person_tokens(self, session_id: str, until: datetime) -> None:
        self._session.execute(
            update(PersonTokenRow).where(PersonTokenRow.session_id == session_id).values(expires_at=until)
        )

    # --- things at rest ----------------------------------------------------------------------------------------------

    def sealed_under(self, data_key_id: str) -> list[str]:
        return list(self._session.scalars(select(SealedRow.sealed_id).where(SealedRow.data_key_id == data_key_id)))

    def sealed_due(self, now: datetime, most: int = 500) -> list[str]:
        due = select(SealedRow.sealed_id).where(SealedRow.erase_after <= now, SealedRow.erased_at.is_(None)).limit(most)
        return list(self._session.scalars(due))

    def kept_in_files(self, sealed_ids: Sequence[str]) -> set[str]:
        kept = select(SealedRow.sealed_id).where(
            SealedRow.sealed_id.in_(sealed_ids), SealedRow.in_file, SealedRow.erased_at.is_(None)
        )
        return set(self._session.scalars(kept))

    # --- live checks -------------------------------------------------------------------------------------------------

    def see_capture(self, capture_sha256: str, challenge_id: str, *, now: datetime) -> bool:
        """Note the bytes' hash; false when they were seen before."""
        seen = insert(SeenCaptureRow).values(capture_sha256=capture_sha256, challenge_id=challenge_id, seen_at=now)
        return self._changed(seen.on_conflict_do_nothing()) == 1

    def failures(
        self, subject_id: str, device: bytes | None, *, since: datetime
    ) -> tuple[list[datetime], list[datetime]]:
        """When attempts of this person, and when attempts on this device, failed; not those that our side let down."""
        failed = (
            select(VerdictRow.judged_at)
            .join(SessionRow, SessionRow.session_id == VerdictRow.session_id)
            .where(
                VerdictRow.live.is_(False),
                VerdictRow.judged_at >= since,
                VerdictRow.detail["media_code"].astext.is_distinct_from("engine_failed"),
            )
        )
        own = list(self._session.scalars(failed.where(SessionRow.subject_id == subject_id)))
        there = [] if device is None else list(self._session.scalars(failed.where(SessionRow.device == device)))
        return own, there

    def fingerprints(self, subject_id: str, *, but: str, since: datetime, most: int = 50) -> list[bytes]:
        """Of this person's takes since then, the latest first, without that of challenge ``but``."""
        found = (
            select(FingerprintRow.fingerprint)
            .where(
                FingerprintRow.subject_id == subject_id,
                FingerprintRow.challenge_id != but,
                FingerprintRow.seen_at >= since,
            )
            .order_by(FingerprintRow.seen_at.desc())
            .limit(most)
        )
        return list(self._session.scalars(found))

    def forget_fingerprints(self, before: datetime) -> None:
        self._session.execute(delete(FingerprintRow).where(FingerprintRow.seen_at < before))

    def add_verdict(self, row: VerdictRow) -> bool:
        """Write the one verdict of a challenge; false when there is one already."""
        values = {column.key: getattr(row, column.key) for column in VerdictRow.__table__.columns}
        return self._changed(insert(VerdictRow).values(**values).on_conflict_do_nothing()) == 1

    def sessions_over(self, now: datetime, most: int = 200) -> list[str]:
        """Sessions whose time is over and whose data is still there."""
        over = (
            select(SessionRow.session_id)
            .join(DataKeyRow, DataKeyRow.data_key_id == SessionRow.data_key_id)
            .where(SessionRow.expires_at <= now, SessionRow.state != "judging", DataKeyRow.destroyed_at.is_(None))
            .limit(most)
        )
        return list(self._session.scalars(over))

    def verdicts_of(self, session_id: str) -> list[VerdictRow]:
        found = select(VerdictRow).where(VerdictRow.session_id == session_id).order_by(VerdictRow.judged_at)
        return list(self._session.scalars(found))

    # --- consent and ledger ------------------------------------------------------------------------------------------

    def consent_of_session(self, session_id: str) -> ConsentRow | None:
        return self._session.scalar(select(ConsentRow).where(ConsentRow.session_id == session_id))

    def consent_shared(self, consent_id: str) -> ConsentRow | None:
        """The consent, which nobody changes until this transaction ends; others may read it at the same time."""
        found = select(ConsentRow).where(ConsentRow.consent_id == consent_id).with_for_update(read=True)
        return self._session.scalar(found)

    def consent_events(self, consent_id: str) -> list[ConsentEventRow]:
        found = select(ConsentEventRow).where(ConsentEventRow.consent_id == consent_id).order_by(ConsentEventRow.number)
        return list(self._session.scalars(found))

    def consents(self, *, subject_id: str | None, before: datetime | None, most: int) -> list[ConsentRow]:
        """Latest first."""
        found = select(ConsentRow)
        if subject_id is not None:
            found = found.where(ConsentRow.subject_id == subject_id)
        if before is not None:
            found = found.where(ConsentRow.granted_at < before)
        return list(self._session.scalars(found.order_by(ConsentRow.granted_at.desc()).limit(most)))

    def lock_ledger(self) -> LedgerEntry | None:
        """Nobody else appends until this transaction ends; gives the last entry."""
        self._session.execute(select(func.pg_advisory_xact_lock(_LEDGER_LOCK)))
        return self.last_entry()

    def last_entry(self) -> LedgerEntry | None:
        row = self._session.scalar(select(LedgerRow).order_by(LedgerRow.index.desc()).limit(1))
        return None if row is None else entry_of(row)

    def append(self, entry: LedgerEntry) -> None:
        self.add(
            LedgerRow(
                index=entry.index,
                at=entry.at,
                kind=entry.kind,
                digest=entry.digest,
                previous=entry.previous,
                entry_hash=entry.entry_hash,
            )
        )

    def entries(self, first: int, most: int | None) -> list[LedgerEntry]:
        found = select(LedgerRow).where(LedgerRow.index >= first).order_by(LedgerRow.index)
        return [entry_of(row) for row in self._session.scalars(found if most is None else found.limit(most))]

    # --- the gate ----------------------------------------------------------------------------------------------------

    def redeem(self, permit_id: str, *, now: datetime) -> bool:
        """Spend a permit; false when it was spent before."""
        spent = (
            update(PermitRow)
            .where(PermitRow.permit_id == permit_id, PermitRow.redeemed_at.is_(None))
            .values(redeemed_at=now)
        )
        return self._changed(spent) == 1

    def permit_issued_at(self, permit_id: str) -> datetime | None:
        return self._session.scalar(select(PermitRow.issued_at).where(PermitRow.permit_id == permit_id))

    def give_back(self, permit_id: str | None) -> None:
        """A permit under which nothing was made does not count as a use."""
        self._session.execute(
            update(PermitRow)
            .where(PermitRow.permit_id == permit_id, PermitRow.completed_at.is_(None))
            .values(redeemed_at=None)
        )

    def uses_of(self, consent_id: str, *, but: str | None = None) -> int:
        """How many redeemed permits stand on this consent, not counting the permit ``but``."""
        used = (
            select(func.count())
            .select_from(PermitConsentRow)
            .join(PermitRow, PermitRow.permit_id == PermitConsentRow.permit_id)
            .where(PermitConsentRow.consent_id == consent_id, PermitRow.redeemed_at.is_not(None))
        )
        if but is not None:
            used = used.where(PermitRow.permit_id != but)
        return self._session.scalar(used) or 0

    def attempts(
        self,
        *,
        backend: str | None,
        decision: bool | None,
        consent_id: str | None,
        before: datetime | None,
        most: int,
    ) -> list[tuple[AttemptRow, OutcomeRow | None]]:
        """Latest first."""
        found = select(AttemptRow, OutcomeRow).join(
            OutcomeRow, OutcomeRow.attempt_id == AttemptRow.attempt_id, isouter=True
        )
        if backend is not None:
            found = found.where(AttemptRow.backend == backend)
        if decision is not None:
            found = found.where(OutcomeRow.decision.is_(decision))
        if consent_id is not None:
            found = found.where(AttemptRow.claimed["consents"].contains([consent_id]))
        if before is not None:
            found = found.where(AttemptRow.at < before)
        rows = self._session.execute(found.order_by(AttemptRow.at.desc()).limit(most))
        return [(attempt, outcome) for attempt, outcome in rows]

    def open_attempts(self, before: datetime) -> int:
        """Attempts without an outcome, older than ``before``: each is a fault."""
        found = (
            select(func.count())
            .select_from(AttemptRow)
            .join(OutcomeRow, OutcomeRow.attempt_id == AttemptRow.attempt_id, isouter=True)
            .where(OutcomeRow.attempt_id.is_(None), AttemptRow.at < before)
        )
        return self._session.scalar(found) or 0

    # --- media and clips ---------------------------------------------------------------------------------------------

    def media_over(self, now: datetime, most: int = 200) -> list[MediaRow]:
        found = (
            select(MediaRow)
            .join(SealedRow, SealedRow.sealed_id == MediaRow.content_id)
            .where(MediaRow.expires_at <= now, SealedRow.erased_at.is_(None))
            .limit(most)
        )
        return list(self._session.scalars(found))

    def consents_of_clip(self, clip_id: str) -> list[str]:
        return list(self._session.scalars(select(ClipConsentRow.consent_id).where(ClipConsentRow.clip_id == clip_id)))

    def clips_of_consent(self, consent_id: str) -> list[str]:
        return list(
            self._session.scalars(select(ClipConsentRow.clip_id).where(ClipConsentRow.consent_id == consent_id))
        )

    def start_run(self, clip_id: str, run_id: str) -> bool:
        """This run now makes the clip; one that was killed before will not be able to finish."""
        taken = (
            update(ClipRow)
            .where(ClipRow.clip_id == clip_id, ClipRow.state.in_(("queued", "running")))
            .values(state="running", run_id=run_id, progress=0.0)
        )
        return self._changed(taken) == 1

    def set_progress(self, clip_id: str, run_id: str, progress: float) -> bool:
        """False when the run was overtaken, cancelled or withdrawn."""
        moved = (
            update(ClipRow)
            .where(ClipRow.clip_id == clip_id, ClipRow.run_id == run_id, ClipRow.state == "running")
            .values(progress=progress)
        )
        return self._changed(moved) == 1

    # --- who speaks for somebody else --------------------------------------------------------------------------------

    def authority_files(self, case_id: str, kind: str) -> list[AuthorityFileRow]:
        found = select(AuthorityFileRow).where(AuthorityFileRow.case_id == case_id, AuthorityFileRow.kind == kind)
        return list(self._session.scalars(found.order_by(AuthorityFileRow.added_at, AuthorityFileRow.file_id)))

    def signed_with(self, session_id: str) -> bool:
        """Whether a live check was used for a signature already."""
        found = select(func.count()).select_from(AuthorityFileRow).where(AuthorityFileRow.session_id == session_id)
        return self._session.scalar(found) != 0

    def authority_events(self, case_id: str) -> list[AuthorityEventRow]:
        found = select(AuthorityEventRow).where(AuthorityEventRow.case_id == case_id)
        return list(self._session.scalars(found.order_by(AuthorityEventRow.number)))

    def authorities_of(self, subject_id: str) -> list[str]:
        """Claims about this person that are not over."""
        found = select(AuthorityCaseRow.case_id).where(
            AuthorityCaseRow.subject_id == subject_id, AuthorityCaseRow.ended_at.is_(None)
        )
        return list(self._session.scalars(found.order_by(AuthorityCaseRow.case_id)))

    def authorities_due(self, now: datetime, *, undecided_since: datetime, most: int = 200) -> list[str]:
        """Claims that time moves on: a window or an authority is over, or nobody decided."""
        running = AuthorityCaseRow.ended_at.is_(None)
        window = (AuthorityCaseRow.stage == "objection_window") & (AuthorityCaseRow.window_to <= now)
        over = AuthorityCaseRow.valid_to <= now
        undecided = AuthorityCaseRow.window_to.is_(None) & AuthorityCaseRow.valid_to.is_(None)
        old = undecided & (AuthorityCaseRow.opened_at <= undecided_since)
        found = select(AuthorityCaseRow.case_id).where(running, window | over | old).limit(most)
        return list(self._session.scalars(found))

    def seen_live_at(self, subject_id: str) -> datetime | None:
        """When this person last passed a live check."""
        seen = (
            select(func.max(VerdictRow.judged_at))
            .join(SessionRow, SessionRow.session_id == VerdictRow.session_id)
            .where(SessionRow.subject_id == subject_id, VerdictRow.live.is_(True))
        )
        return self._session.scalar(seen)

    def directive(self, subject_id: str) -> DirectiveRow | None:
        """The one that counts."""
        found = select(DirectiveRow).where(DirectiveRow.subject_id == subject_id)
        return self._session.scalar(found.order_by(DirectiveRow.at.desc(), DirectiveRow.directive_id.desc()).limit(1))

    def directive_of_session(self, session_id: str) -> DirectiveRow | None:
        return self._session.scalar(select(DirectiveRow).where(DirectiveRow.session_id == session_id))

    # --- figures -----------------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, list[tuple[tuple[str, ...], int]]]:
        """Counts for the metrics page: name to (labels, count)."""
        run = self._session.execute
        sessions = run(select(SessionRow.state, func.count()).group_by(SessionRow.state))
        verdicts = run(
            select(VerdictRow.live, VerdictRow.assurance, func.count()).group_by(VerdictRow.live, VerdictRow.assurance)
        )
        reasons = run(
            text("SELECT code, count(*) FROM verdicts, jsonb_array_elements_text(reasons) AS code GROUP BY code")
        )
        outcomes = run(select(OutcomeRow.decision, func.count()).group_by(OutcomeRow.decision))
        refusals = run(
            text("SELECT r->>'code', count(*) FROM outcomes, jsonb_array_elements(reasons) AS r GROUP BY r->>'code'")
        )
        clips = run(select(ClipRow.state, func.count()).group_by(ClipRow.state))
        queue = run(text("SELECT task_name, status::text, count(*) FROM procrastinate_jobs GROUP BY 1, 2"))
        consents = run(select(ConsentRow.revoked_at.is_not(None), func.count()).group_by(text("1")))
        return {
            "sessions": [((state,), n) for state, n in sessions],
            "verdicts": [(("live" if live else "not_live", assurance or ""), n) for live, assurance, n in verdicts],
            "verdict_reasons": [((code,), n) for code, n in reasons],
            "decisions": [(("permit" if decision else "refusal",), n) for decision, n in outcomes],
            "refusals": [((code,), n) for code, n in refusals],
            "clips": [((state,), n) for state, n in clips],
            "jobs": [((task, status), n) for task, status, n in queue],
            "consents": [(("revoked" if revoked else "granted",), n) for revoked, n in consents],
        }

    def _changed(self, statement: Any) -> int:
        # the count of an INSERT is thrown away unless it is asked for
        return int(self._session.execute(statement.execution_options(preserve_rowcount=True)).rowcount)  # type: ignore[attr-defined]


# --- rows as values --------------------------------------------------------------------------------------------------


def entry_of(row: LedgerRow) -> LedgerEntry:
    return LedgerEntry(
        index=row.index,
        at=row.at,
        kind=row.kind,
        digest=row.digest,
        previous=row.previous,
        entry_hash=row.entry_hash,
    )


def policy_of(stated: str) -> LivenessPolicy:
    """The policy that a row names as ``name@version``, with the version it was judged under."""
    name, _, version = stated.partition("@")
    return replace(POLICIES[name], version=version)


def challenge_of(row: ChallengeRow) -> Challenge:
    return Challenge(
        challenge_id=row.challenge_id,
        nonce=row.nonce,
        language=Language(row.language),
        steps=tuple(_step(step) for step in row.steps),
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        policy=row.policy,
        path=Path(row.path),
        extra_time=row.extra_time,
        reveal=Reveal(row.reveal),
    )


def steps_to_json(steps: Iterable[Step]) -> list[dict[str, Any]]:
    return [_step_json(step) for step in steps]


def _step_json(step: Step) -> dict[str, Any]:
    match step:
        case SayDigits():
            return {"say": step.digits}
        case Turn():
            return {"turn": step.direction.value}
        case Nod():
            return {"nod": step.times}
        case _:
            assert_never(step)


def _step(stored: dict[str, Any]) -> Step:
    if "say" in stored:
        return SayDigits(digits=stored["say"])
    if "nod" in stored:
        return Nod(times=stored["nod"])
    return Turn(direction=Direction(stored["turn"]))


def live_of(verdict: VerdictRow, challenge: Challenge) -> Live:
    """The ``Live`` that a stored verdict is, by judging its stored check results again.

    Raises:
        ValueError: when they do not give a ``Live``.
    """
    detail = verdict.detail
    results = [_check_result(check) for check in detail["checks"]]
    again = judge(
        results,
        required=[result.name for result in results],
        challenge=challenge,
        capture_sha256=detail["capture_sha256"],
        policy=policy_of(detail["policy"]),
        models=dict(detail["models"]),
        now=verdict.judged_at,
        attested=detail.get("attestation") is not None and vouched(attestation_of(detail["attestation"])),
    )
    if not isinstance(again, Live) or not verdict.live or again.assurance != verdict.assurance:
        raise ValueError("the stored verdict does not hold")
    return again


def _check_result(stored: dict[str, Any]) -> CheckResult:
    return CheckResult(
        name=stored["name"],
        outcome=Outcome(stored["outcome"]),
        value=stored["value"],
        limit=stored["limit"],
        unit=stored["unit"],
        code=None if stored["code"] is None else Reason(stored["code"]),
        place=stored.get("place"),
    )


__all__ = ["Store", "challenge_of", "entry_of", "live_of", "new_id", "policy_of", "steps_to_json"]
