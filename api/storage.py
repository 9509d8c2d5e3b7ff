"""Rows to values and back. A :class:`Store` is one transaction; nothing else holds a database session.

The queue's jobs are deferred on the same connection, so that a job exists exactly when the row it serves does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar, assert_never, cast

import psycopg
from sqlalchemy import Table, and_, case, delete, func, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import Session

from api.storage_accounts import AccountStore
from api.storage_audit import NO_TIME, AuditStore, readable
from api.storage_gate import GateStore
from api.storage_lists import ListStore
from api.storage_look_alikes import LookAlikeStore
from api.storage_vendors import VendorStore
from api.tables import (
    ApiKeyRow,
    ApprovalRow,
    AttemptRow,
    AuthorityCaseRow,
    AuthorityEventRow,
    AuthorityFileRow,
    BackendKeyRow,
    Base,
    ChallengeRow,
    ClipConsentRow,
    ClipHashRow,
    ClipRow,
    ConsentEventRow,
    ConsentRow,
    DataKeyRow,
    DeliveryRow,
    DirectiveRow,
    FingerprintRow,
    IdempotencyRow,
    LedgerRow,
    LogCheckpointRow,
    LogCosignatureRow,
    LogNodeRow,
    MediaRow,
    OutcomeRow,
    PermitConsentRow,
    PermitRow,
    PersonTokenRow,
    PurgeRow,
    ReleasedClipRow,
    RemoteJobRow,
    SealedRow,
    SeenCaptureRow,
    SeenProofRow,
    SessionRow,
    ShredRow,
    StatementRow,
    StatusChangeRow,
    StatusEntryRow,
    StatusListRow,
    SubjectRow,
    VerdictRow,
    WebhookRow,
)
from consent.errors import LedgerBroken
from consent.ledger import LedgerEntry
from consent.merkle import Edge, Node, edge_nodes
from consent.status_list import LIST_SIZE, MOST_USED, Draw, Status, companions, first_decoys, free_index
from liveness.attestation import attestation_of, vouched
from liveness.challenge import Challenge, Direction, Nod, Reveal, SayDigits, Step, Turn
from liveness.digits import Language
from liveness.policy import POLICIES, LivenessPolicy, Path
from liveness.reasons import Reason
from liveness.verdict import CheckResult, Live, Outcome, judge

_Row = TypeVar("_Row", bound=Base)

_LEDGER_LOCK = 0x6C65646765  # "ledge"
_COSIGNATURES_LOOKED_AT = 200
_ENTRIES = cast("Table", LedgerRow.__table__)
_NODES = cast("Table", LogNodeRow.__table__)
_LOG_HEAD = text("""
WITH tree AS (SELECT coalesce(max(node_index) + 1, 0) AS size FROM log_nodes WHERE level = 0)
SELECT tree.size,
       ARRAY(SELECT n.hash FROM generate_series(0, 62) AS l JOIN log_nodes n
             ON n.level = l AND n.node_index = (tree.size >> l) - 1 WHERE (tree.size >> l) & 1 = 1 ORDER BY l DESC),
       last.entry_index, last.at, last.kind, last.digest
  FROM tree LEFT JOIN LATERAL
       (SELECT entry_index, at, kind, digest FROM ledger_entries ORDER BY entry_index DESC LIMIT 1) AS last ON true
""")
_ADD_TO_LOG = text("""
WITH entries AS (
    INSERT INTO ledger_entries (entry_index, at, kind, digest)
    SELECT * FROM unnest(CAST(:indexes AS bigint[]), CAST(:times AS timestamptz[]), CAST(:kinds AS text[]),
                         CAST(:digests AS text[]))
), noted AS (
    INSERT INTO shreds (kind, shredded_id, at)
    SELECT :shred_kind, shred, at FROM unnest(CAST(:shreds AS text[]), CAST(:times AS timestamptz[])) AS s (shred, at)
)
INSERT INTO log_nodes (level, node_index, hash)
SELECT * FROM unnest(CAST(:levels AS smallint[]), CAST(:numbers AS bigint[]), CAST(:hashes AS bytea[]))
""")
_STRAY_NODE = text("""
SELECT min(CASE WHEN level BETWEEN 0 AND 62 AND node_index >= 0 THEN node_index << level ELSE 0 END) FROM log_nodes
 WHERE CASE WHEN level BETWEEN 0 AND 62 AND node_index >= 0
            THEN node_index >= (SELECT coalesce(max(node_index) + 1, 0) FROM log_nodes WHERE level = 0) >> level
            ELSE true END
""")
SECRET_BYTES = 16


def new_id(prefix: str) -> str:
    """A fresh id, 128 bit of chance."""
    return f"{prefix}_{secrets.token_hex(SECRET_BYTES)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """The last entry, and the edge of the tree; an entry may be there that is not in the tree yet."""

    last: LedgerEntry | None
    edge: Edge


class Store(AuditStore, GateStore, VendorStore, LookAlikeStore, ListStore, AccountStore):
    """One transaction's view of the database. What auditors and the rights of people need is in its base."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.following: list[Callable[[], object]] = []

    # --- rows --------------------------------------------------------------------------------------------------------

    def add(self, *rows: Base) -> None:
        self._session.add_all(rows)
        self._session.flush()

    def get(self, kind: type[_Row], key: object, *, lock: bool = False) -> _Row | None:
        """The row of that key; ``lock``: nobody else changes it until this transaction ends."""
        if lock and kind is ConsentRow:
            self._take_turn(str(key))
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

    def backend_names(self) -> list[str]:
        """Of backends that may ask."""
        held = select(ApiKeyRow.name).where(ApiKeyRow.role == "backend", ApiKeyRow.revoked_at.is_(None)).distinct()
        return list(self._session.scalars(held))

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

    def kept_files_made(self, before: datetime) -> list[str]:
        """Ids of what lies in files and was made before then."""
        kept = select(SealedRow.sealed_id).where(
            SealedRow.in_file, SealedRow.erased_at.is_(None), SealedRow.made_at < before
        )
        return list(self._session.scalars(kept))

    def keys_living(self, data_key_ids: Sequence[str]) -> list[str]:
        """Those of them that were not destroyed."""
        living = select(DataKeyRow.data_key_id).where(
            DataKeyRow.data_key_id.in_(data_key_ids), DataKeyRow.wrapped.is_not(None)
        )
        return list(self._session.scalars(living))

    def consents_standing(self) -> list[str]:
        """Those that were not revoked, also expired ones."""
        return list(self._session.scalars(select(ConsentRow.consent_id).where(ConsentRow.revoked_at.is_(None))))

    def clips_in_hand(self) -> list[tuple[str, str]]:
        """Id and kind."""
        found = select(ClipRow.clip_id, ClipRow.kind).where(ClipRow.state.in_(("queued", "running")))
        return [(clip_id, kind) for clip_id, kind in self._session.execute(found)]

    def challenges_in_hand(self) -> list[str]:
        """Waiting for the judge."""
        waiting = select(SessionRow.challenge_id).where(
            SessionRow.state == "judging", SessionRow.challenge_id.is_not(None)
        )
        return [challenge_id for challenge_id in self._session.scalars(waiting) if challenge_id is not None]

    def shred(self, kind: str, shredded_id: str, *, at: datetime) -> None:
        """Note for the shred list what is destroyed or taken back in this transaction."""
        self._session.add(ShredRow(kind=kind, shredded_id=shredded_id, at=at))

    def shreds_waiting(self, most: int) -> list[ShredRow]:
        """Not yet in the list, and not in the hands of another process."""
        waiting = select(ShredRow).order_by(ShredRow.number).limit(most).with_for_update(skip_locked=True)
        return list(self._session.scalars(waiting))

    def forget_shreds(self, numbers: Sequence[int]) -> None:
        self._session.execute(delete(ShredRow).where(ShredRow.number.in_(numbers)))

    def wrapped_by_others(self, master: str, *, most: int) -> list[DataKeyRow]:
        """Data keys under another master key than this, and not in the hands of another process."""
        by = DataKeyRow.wrapped_by
        found = select(DataKeyRow).where(DataKeyRow.wrapped.is_not(None), or_(by < master, by > master, by.is_(None)))
        return list(self._session.scalars(found.limit(most).with_for_update(skip_locked=True)))

    def answers_sealed_by_others(self, master: str, *, most: int) -> list[IdempotencyRow]:
        found = select(IdempotencyRow).where(
            IdempotencyRow.sealed_answer.is_not(None), IdempotencyRow.sealed_by.is_distinct_from(master)
        )
        return list(self._session.scalars(found.limit(most).with_for_update(skip_locked=True)))

    def under_masters(self) -> dict[str | None, int]:
        """How many data keys and stored answers each master key wraps; ``None``: rows of the first release."""
        by_keys = select(DataKeyRow.wrapped_by.label("by")).where(DataKeyRow.wrapped.is_not(None))
        by_answers = select(IdempotencyRow.sealed_by.label("by")).where(IdempotencyRow.sealed_answer.is_not(None))
        both = by_keys.union_all(by_answers).subquery()
        counted = self._session.execute(select(both.c.by, func.count().label("number")).group_by(both.c.by))
        return {row.by: row.number for row in counted}

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

    # --- consent -----------------------------------------------------------------------------------------------------

    def consent_of_session(self, session_id: str) -> ConsentRow | None:
        return self._session.scalar(select(ConsentRow).where(ConsentRow.session_id == session_id))

    def consent_shared(self, consent_id: str) -> ConsentRow | None:
        """The consent, which nobody changes until this transaction ends; others may read it at the same time."""
        self._take_turn(consent_id, shared=True)
        found = select(ConsentRow).where(ConsentRow.consent_id == consent_id).with_for_update(read=True)
        return self._session.scalar(found)

    def consents_shared(self, consent_ids: Iterable[str]) -> dict[str, ConsentRow]:
        """Those that there are, by id; as :meth:`consent_shared`."""
        found = {consent_id: self.consent_shared(consent_id) for consent_id in sorted(set(consent_ids))}
        return {consent_id: row for consent_id, row in found.items() if row is not None}

    def lock_consents(self, consent_ids: Iterable[str]) -> None:
        """Nobody else reads or changes any of them under a lock until this transaction ends.

        Always in the same order, and before anything else that follows from a consent (clips, permits, the log), or two
        transactions wait for each other.
        """
        for consent_id in sorted(set(consent_ids)):
            self.get(ConsentRow, consent_id, lock=True)

    def _take_turn(self, consent_id: str, *, shared: bool = False) -> None:
        """Queue for the consent. The lock on its row alone lets those who read pass those who want to change it: whoever kept
        asking the gate would put off a withdrawal for as long as they liked. Advisory locks are given in order."""
        take = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
        self._session.execute(select(take(func.hashtextextended(consent_id, 0))))

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

    def statements(self, session_id: str) -> list[StatementRow]:
        found = select(StatementRow).where(StatementRow.session_id == session_id).order_by(StatementRow.number)
        return list(self._session.scalars(found))

    def forget_statement_salts(self, subject_id: str) -> None:
        """Nothing then links the entries of a person's statements to them."""
        self._session.execute(update(StatementRow).where(StatementRow.subject_id == subject_id).values(salt=None))

    def consents_due(self, now: datetime, most: int = 200) -> list[str]:
        """Consents whose picture and templates must be gone by now and are not."""
        due = (
            select(ConsentRow.consent_id)
            .join(DataKeyRow, DataKeyRow.data_key_id == ConsentRow.data_key_id)
            .where(
                or_(ConsentRow.destroy_by <= now, and_(ConsentRow.destroy_by.is_(None), ConsentRow.expires_at <= now)),
                DataKeyRow.destroyed_at.is_(None),
            )
            .limit(most)
        )
        return list(self._session.scalars(due))

    def approval(
        self,
        consent_id: str,
        *,
        backend: str,
        purpose: str,
        job_sha256: str,
        now: datetime,
        own_permit: str | None = None,
    ) -> ApprovalRow | None:
        """The question to this person about this job that still counts and was not used, unless for ``own_permit``. Of
        several that were asked at once, a no comes first, then a yes."""
        found = (
            select(ApprovalRow)
            .where(
                ApprovalRow.consent_id == consent_id,
                ApprovalRow.job_sha256 == job_sha256,
                ApprovalRow.backend == backend,
                ApprovalRow.purpose == purpose,
                ApprovalRow.expires_at > now,
                or_(ApprovalRow.permit_id.is_(None), ApprovalRow.permit_id == own_permit),
            )
            .order_by(
                case({"refused": 0, "approved": 1}, value=ApprovalRow.state, else_=2), ApprovalRow.requested_at.desc()
            )
            .limit(1)
        )
        return self._session.scalar(found)

    def approvals(self, consent_id: str, most: int = 100) -> list[ApprovalRow]:
        """Latest first."""
        found = select(ApprovalRow).where(ApprovalRow.consent_id == consent_id)
        return list(self._session.scalars(found.order_by(ApprovalRow.requested_at.desc()).limit(most)))

    def approvals_waiting(self, consent_id: str, *, now: datetime) -> int:
        waiting = (
            select(func.count())
            .select_from(ApprovalRow)
            .where(ApprovalRow.consent_id == consent_id, ApprovalRow.state == "requested", ApprovalRow.expires_at > now)
        )
        return self._session.scalar(waiting) or 0

    def use_approval(self, approval_id: str, permit_id: str) -> bool:
        """Spend an approval on a permit; false when it was spent on another or is none."""
        spent = (
            update(ApprovalRow)
            .where(
                ApprovalRow.approval_id == approval_id,
                ApprovalRow.state == "approved",
                ApprovalRow.permit_id.is_(None),
            )
            .values(permit_id=permit_id)
        )
        return self._changed(spent) == 1

    # --- the log -----------------------------------------------------------------------------------------------------

    def lock_ledger(self) -> None:
        """Nobody else appends or signs until this transaction ends."""
        self._session.execute(select(func.pg_advisory_xact_lock(_LEDGER_LOCK)))

    def try_lock_ledger(self) -> bool:
        """As :meth:`lock_ledger`, if nobody else has it."""
        return bool(self._session.scalar(select(func.pg_try_advisory_xact_lock(_LEDGER_LOCK))))

    def last_entry(self) -> LedgerEntry | None:
        last = self._session.scalar(select(func.max(LedgerRow.index)))
        return None if last is None else self.entries(last, 1)[0]

    def log_head(self) -> LogHead:
        """Where the log goes on; one query. Call it with the log locked.

        Raises:
            LedgerBroken: when a subtree on the edge is not there.
        """
        size, hashes, *last = self._session.execute(_LOG_HEAD).one()
        if len(hashes) != size.bit_count():
            self.nodes(edge_nodes(size))
        index, at, kind, digest = last
        return LogHead(
            last=None if index is None else LedgerEntry(index=index, at=at, kind=kind, digest=digest),
            edge=Edge(size, tuple(hashes)),
        )

    def add_to_log(
        self,
        entries: Sequence[LedgerEntry],
        nodes: Sequence[tuple[Node, bytes]],
        *,
        shreds: Sequence[str],
        shred_kind: str,
    ) -> None:
        """Entries, the subtrees that they complete, and what is noted of them for the shred list; one statement, since the
        log is locked meanwhile."""
        values = {
            "indexes": [entry.index for entry in entries],
            "times": [entry.at for entry in entries],
            "kinds": [entry.kind for entry in entries],
            "digests": [entry.digest for entry in entries],
            "shreds": list(shreds),
            "shred_kind": str(shred_kind),
            "levels": [node.level for node, _ in nodes],
            "numbers": [node.number for node, _ in nodes],
            "hashes": [content for _, content in nodes],
        }
        self._session.execute(_ADD_TO_LOG, values)

    def entries(self, first: int, most: int) -> list[LedgerEntry]:
        return list(self._entries(first, first + most, at_once=most))

    def every_entry(self) -> Generator[LedgerEntry, None, None]:
        """From the first one on, a few thousand in memory at a time."""
        return self._entries(0, None, at_once=4096)

    def entries_below(self, stop: int) -> Generator[LedgerEntry, None, None]:
        """The first ``stop`` entries, a few thousand in memory at a time."""
        return self._entries(0, stop, at_once=4096)

    def _entries(self, first: int, stop: int | None, *, at_once: int) -> Generator[LedgerEntry, None, None]:
        columns = _ENTRIES.c
        found = select(columns.entry_index, readable(columns.at), columns.kind, columns.digest)
        found = found.where(columns.entry_index >= first).order_by(columns.entry_index)
        if stop is not None:
            found = found.where(columns.entry_index < stop)
        with self._session.execute(found.execution_options(yield_per=at_once)) as rows:
            for index, at, kind, digest in rows:
                yield LedgerEntry(index=index, at=at or NO_TIME, kind=kind, digest=digest)

    def tree_size(self) -> int:
        """How many entries are in the tree."""
        last = self._session.scalar(select(func.max(LogNodeRow.index)).where(LogNodeRow.level == 0))
        return 0 if last is None else last + 1

    def add_nodes(self, nodes: Sequence[tuple[Node, bytes]]) -> None:
        rows = [{"level": node.level, "node_index": node.number, "hash": content} for node, content in nodes]
        self._session.execute(_NODES.insert(), rows)

    def nodes(self, wanted: Sequence[Node]) -> list[bytes]:
        """A :data:`consent.merkle.Reader`: one query, whatever the number.

        Raises:
            LedgerBroken: when one is not there.
        """
        place = tuple_(LogNodeRow.level, LogNodeRow.index)
        rows = self._session.execute(
            select(LogNodeRow.level, LogNodeRow.index, LogNodeRow.hash).where(
                place.in_([tuple(node) for node in wanted])
            )
        )
        found = {Node(level, index): content for level, index, content in rows}
        for node in wanted:
            if node not in found:
                raise LedgerBroken(node.first_leaf, f"node {node.number} of level {node.level} is missing")
        return [found[node] for node in wanted]

    def node_range(self, level: int, start: int, stop: int) -> dict[int, bytes]:
        """A :data:`consent.ledger.StoredNodes`."""
        rows = self._session.execute(
            select(LogNodeRow.index, LogNodeRow.hash)
            .where(LogNodeRow.level == level, LogNodeRow.index >= start, LogNodeRow.index < stop)
            .order_by(LogNodeRow.index)
        )
        return {number: content for number, content in rows}  # noqa: C416 - dict() of a result takes it for a mapping

    def last_checkpoint(self) -> LogCheckpointRow | None:
        return self._session.scalar(select(LogCheckpointRow).order_by(LogCheckpointRow.size.desc()).limit(1))

    def checkpoint_before(self, size: int) -> LogCheckpointRow | None:
        """The latest checkpoint of fewer entries than ``size``."""
        found = select(LogCheckpointRow).where(LogCheckpointRow.size < size)
        return self._session.scalar(found.order_by(LogCheckpointRow.size.desc()).limit(1))

    def stray_node(self) -> int | None:
        """The first entry under a stored subtree that is not complete yet: there should be none."""
        found: int | None = self._session.scalar(_STRAY_NODE)
        return found

    def checkpoints(self) -> Generator[tuple[int, bytes, str], None, None]:
        """Size, root and note, by size, a few thousand in memory at a time."""
        found = select(LogCheckpointRow.size, LogCheckpointRow.root, LogCheckpointRow.note)
        found = found.order_by(LogCheckpointRow.size).execution_options(yield_per=4096)
        with self._session.execute(found) as rows:
            yield from ((size, root, note) for size, root, note in rows)

    def every_cosignature(self) -> Generator[tuple[int, str, str, str], None, None]:
        """Size of the checkpoint, its note, witness and line, by size, a few thousand in memory at a time."""
        kept = LogCosignatureRow
        found = select(kept.size, LogCheckpointRow.note, kept.witness, kept.line)
        found = found.join(LogCheckpointRow, LogCheckpointRow.size == kept.size, isouter=True)
        with self._session.execute(found.order_by(kept.size).execution_options(yield_per=4096)) as rows:
            for size, note, witness, line in rows:
                yield size, note or "", witness, line

    def add_cosignature(self, row: LogCosignatureRow) -> bool:
        """Keep it; false when this witness has cosigned that checkpoint before."""
        values = {column.key: getattr(row, column.key) for column in LogCosignatureRow.__table__.columns}
        return self._changed(insert(LogCosignatureRow).values(**values).on_conflict_do_nothing()) == 1

    def cosignatures(self, size: int) -> list[LogCosignatureRow]:
        found = select(LogCosignatureRow).where(LogCosignatureRow.size == size).order_by(LogCosignatureRow.at)
        return list(self._session.scalars(found))

    def best_cosigned(self, index: int) -> LogCheckpointRow | None:
        """Of the checkpoints that have this entry and were cosigned lately, that which most witnesses cosigned."""
        lately = select(LogCosignatureRow.size).where(LogCosignatureRow.size > index)
        lately = lately.order_by(LogCosignatureRow.size.desc()).limit(_COSIGNATURES_LOOKED_AT)
        sizes = lately.subquery()
        best = select(sizes.c.size).group_by(sizes.c.size).order_by(func.count().desc(), sizes.c.size.desc()).limit(1)
        return self._session.scalar(select(LogCheckpointRow).where(LogCheckpointRow.size == best.scalar_subquery()))

    # --- the gate ----------------------------------------------------------------------------------------------------

    def redeem(self, permit_id: str, *, now: datetime) -> bool:
        """Spend a permit; false when it was spent before."""
        spent = (
            update(PermitRow)
            .where(PermitRow.permit_id == permit_id, PermitRow.redeemed_at.is_(None))
            .values(redeemed_at=now)
        )
        return self._changed(spent) == 1

    def spend_permits(self, *, now: datetime) -> None:
        """Every one that is not spent, and every yes to a single use that none was spent on."""
        self._session.execute(update(PermitRow).where(PermitRow.redeemed_at.is_(None)).values(redeemed_at=now))
        unused = update(ApprovalRow).where(ApprovalRow.permit_id.is_(None), ApprovalRow.state == "approved")
        self._session.execute(unused.values(expires_at=now))

    def permit_issued_at(self, permit_id: str) -> datetime | None:
        return self._session.scalar(select(PermitRow.issued_at).where(PermitRow.permit_id == permit_id))

    def give_back(self, permit_id: str | None) -> None:
        """A permit under which nothing was made does not count as a use, nor does the approval it stood on."""
        unused = select(PermitRow.permit_id).where(PermitRow.permit_id == permit_id, PermitRow.completed_at.is_(None))
        self._session.execute(update(ApprovalRow).where(ApprovalRow.permit_id.in_(unused)).values(permit_id=None))
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

    def clips_of_consent(self, consent_id: str, *, state: str | None = None) -> list[str]:
        """In one order, so that two that lock clips of two people do not wait for each other."""
        found = select(ClipConsentRow.clip_id).where(ClipConsentRow.consent_id == consent_id)
        if state is not None:
            found = found.join(ClipRow, ClipRow.clip_id == ClipConsentRow.clip_id).where(ClipRow.state == state)
        return list(self._session.scalars(found.order_by(ClipConsentRow.clip_id)))

    def clips_waiting(self, app_key_id: str) -> int:
        """How many of that app's clips nobody has begun."""
        waiting = select(func.count()).where(ClipRow.state == "queued", ClipRow.app_key_id == app_key_id)
        return self._session.scalar(waiting) or 0

    def clips_overdue(self, now: datetime, *, unsaid: datetime, most: int = 500) -> list[str]:
        """Clips in hand whose deadline has passed; for those of the release before, which say none, that were ordered before
        ``unsaid``."""
        late = or_(ClipRow.deadline_at <= now, and_(ClipRow.deadline_at.is_(None), ClipRow.created_at <= unsaid))
        found = select(ClipRow.clip_id).where(ClipRow.state.in_(("queued", "running")), late)
        return list(self._session.scalars(found.order_by(ClipRow.clip_id).limit(most)))

    def start_run(self, clip_id: str, run_id: str) -> bool:
        """This run now makes the clip; one that was killed before will not be able to finish."""
        taken = (
            update(ClipRow)
            .where(ClipRow.clip_id == clip_id, ClipRow.state.in_(("queued", "running")))
            .values(state="running", run_id=run_id)  # what was told of its progress stands
        )
        return self._changed(taken) == 1

    def set_progress(self, clip_id: str, run_id: str, progress: float) -> bool:
        """False when the run was overtaken, cancelled or withdrawn."""
        moved = (
            update(ClipRow)
            .where(ClipRow.clip_id == clip_id, ClipRow.run_id == run_id, ClipRow.state == "running")
            .values(progress=func.greatest(ClipRow.progress, progress))  # another run began again from nothing
        )
        return self._changed(moved) == 1

    # --- status lists and keys of backends ---------------------------------------------------------------------------

    def give_status(self, consent_id: str, *, now: datetime, draw: Draw = secrets.randbelow) -> tuple[str, int]:
        """List and index of a consent; a free place, drawn at random, when it has none yet."""
        entry = self._status_entry(consent_id)
        if entry is None:
            listed = self._list_with_room(now=now, draw=draw)
            entry = self._new_entry(listed, consent_id=consent_id, now=now, draw=draw)
        return entry.list_id, entry.idx

    def set_status(self, consent_id: str, state: Status, *, now: datetime, draw: Draw = secrets.randbelow) -> bool:
        """Change what the list says of a consent, and a few decoys with it; call it in the transaction of the event, with the
        consent locked. False when nothing changed: it says so already, it was revoked for good, or it has no entry (no token of
        it names a list)."""
        entry = self._status_entry(consent_id)
        if entry is None:
            return False
        listed = self.get(StatusListRow, entry.list_id, lock=True)
        self._session.refresh(entry)
        before = Status(entry.state)
        if listed is None or state is before or before is Status.REVOKED:
            return False
        moving = [entry]
        if before is Status.VALID:
            with_it = range(companions(draw=draw))
            moving += [self._new_entry(listed, consent_id=None, now=now, draw=draw) for _ in with_it]
        else:
            alike = self._decoys(listed, before)
            moving += [alike.pop(draw(len(alike))) for _ in range(min(companions(draw=draw), len(alike)))]
        self._move(listed, [(one, state) for one in moving], now=now)
        return True

    def retire_status(self, consent_id: str, *, now: datetime, draw: Draw = secrets.randbelow) -> None:
        """Give the consent another place, and let the one that its tokens name say revoked: they tell more than is true now,
        and whoever checks them offline sees nothing but their place. Call it as :meth:`set_status`."""
        before = self.status_of(consent_id)
        if before is None or not self.set_status(consent_id, Status.REVOKED, now=now, draw=draw):
            return  # in no list, or over for good
        entry = self._status_entry(consent_id)
        if entry is not None:
            entry.consent_id = None
            self._session.flush()
        self.give_status(consent_id, now=now, draw=draw)
        self.set_status(consent_id, before, now=now, draw=draw)

    def status_of(self, consent_id: str) -> Status | None:
        """What the list says of a consent; ``None`` when it is in none."""
        state = self._session.scalar(select(StatusEntryRow.state).where(StatusEntryRow.consent_id == consent_id))
        return None if state is None else Status(state)

    def status_place(self, consent_id: str) -> tuple[str, int] | None:
        """List and index of a consent; ``None`` when it is in none."""
        entry = self._status_entry(consent_id)
        return None if entry is None else (entry.list_id, entry.idx)

    def statuses(self, list_id: str, *, at: datetime | None = None) -> dict[int, int]:
        """Every entry that is not valid: now, or as the list stood ``at`` a time."""
        if at is None:
            now = select(StatusEntryRow.idx, StatusEntryRow.state).where(
                StatusEntryRow.list_id == list_id, StatusEntryRow.state > Status.VALID
            )
            return {row.idx: row.state for row in self._session.execute(now)}
        then = (
            select(StatusChangeRow.idx, StatusChangeRow.state)
            .where(StatusChangeRow.list_id == list_id, StatusChangeRow.at <= at)
            .ext(distinct_on(StatusChangeRow.idx))
            .order_by(StatusChangeRow.idx, StatusChangeRow.number.desc())
        )
        return {row.idx: row.state for row in self._session.execute(then) if row.state != Status.VALID}

    def status_unchanged(self, list_id: str, at: datetime) -> tuple[datetime, datetime | None]:
        """Since when, and until when, a list stood as it did ``at`` that time; ``None``: it still does."""
        times = select(func.max(StatusChangeRow.at)).where(StatusChangeRow.list_id == list_id, StatusChangeRow.at <= at)
        later = select(func.min(StatusChangeRow.at)).where(StatusChangeRow.list_id == list_id, StatusChangeRow.at > at)
        since = self._session.scalar(times)
        return at if since is None else since, self._session.scalar(later)

    def revoke_places(self, places: Iterable[tuple[str, int]], *, now: datetime) -> None:
        """Those of these places (list and index) that nothing stands in: tokens may name them, and nobody knows any more
        whose. Places in lists that are not there are as good as revoked: no list is no yes."""
        by_list: dict[str, set[int]] = {}
        for list_id, index in places:
            by_list.setdefault(list_id, set()).add(index)
        for list_id, indexes in sorted(by_list.items()):
            listed = self.get(StatusListRow, list_id, lock=True)
            if listed is None:
                continue
            taken = set(self._session.scalars(select(StatusEntryRow.idx).where(StatusEntryRow.list_id == list_id)))
            lost = [StatusEntryRow(list_id=list_id, idx=index, state=Status.VALID) for index in sorted(indexes - taken)]
            listed.used += len(lost)
            self._session.add_all(lost)
            self._move(listed, [(entry, Status.REVOKED) for entry in lost], now=now)

    def statuses_behind(self, most: int = 200) -> list[str]:
        """Revoked consents that their list does not say so of: revoked by an older release."""
        behind = (
            select(StatusEntryRow.consent_id)
            .join(ConsentRow, ConsentRow.consent_id == StatusEntryRow.consent_id)
            .where(ConsentRow.revoked_at.is_not(None), StatusEntryRow.state != Status.REVOKED)
            .limit(most)
        )
        return [consent_id for consent_id in self._session.scalars(behind) if consent_id is not None]

    def _status_entry(self, consent_id: str) -> StatusEntryRow | None:
        return self._session.scalar(select(StatusEntryRow).where(StatusEntryRow.consent_id == consent_id))

    def _list_with_room(self, *, now: datetime, draw: Draw) -> StatusListRow:
        newest = select(StatusListRow).where(StatusListRow.used < MOST_USED).order_by(StatusListRow.made_at.desc())
        found = self._session.scalar(newest.limit(1).with_for_update())
        if found is not None:
            return found
        made = StatusListRow(list_id=new_id("stl"), size=LIST_SIZE, used=0, version=0, made_at=now)
        self.add(made)
        decoys = first_decoys(size=made.size, draw=draw)
        entries = [(StatusEntryRow(list_id=made.list_id, idx=index, state=0), state) for index, state in decoys.items()]
        made.used = len(entries)
        self._session.add_all(entry for entry, _ in entries)
        self._move(made, entries, now=now)
        return made

    def _new_entry(self, listed: StatusListRow, *, consent_id: str | None, now: datetime, draw: Draw) -> StatusEntryRow:
        def taken(index: int) -> bool:
            return self.get(StatusEntryRow, (listed.list_id, index)) is not None

        index = free_index(size=listed.size, taken=taken, draw=draw)
        entry = StatusEntryRow(list_id=listed.list_id, idx=index, consent_id=consent_id, state=Status.VALID)
        listed.used += 1
        self.add(entry)
        self.shred("status", f"{listed.list_id}/{index}", at=now)  # see api.shreds.Shredded.STATUS
        return entry

    def _decoys(self, listed: StatusListRow, state: Status) -> list[StatusEntryRow]:
        found = select(StatusEntryRow).where(
            StatusEntryRow.list_id == listed.list_id,
            StatusEntryRow.state == state,
            StatusEntryRow.consent_id.is_(None),
        )
        return list(self._session.scalars(found))

    def _move(self, listed: StatusListRow, moving: Sequence[tuple[StatusEntryRow, Status]], *, now: datetime) -> None:
        for entry, state in moving:
            entry.state = state
            listed.version += 1
            change = StatusChangeRow(list_id=listed.list_id, number=listed.version, idx=entry.idx, state=state, at=now)
            self._session.add(change)
        self._session.flush()

    def backend_jkt(self, backend: str) -> str | None:
        """Thumbprint of the key that a backend registered."""
        row = self.get(BackendKeyRow, backend)
        return None if row is None else row.jkt

    def register_backend(self, backend: str, jkt: str, *, instead_of: str | None, now: datetime) -> bool:
        """This is its key from now on, if until now it was that one (``None``: none); false when it was another."""
        if jkt == instead_of:
            return True
        if instead_of is None:
            first = insert(BackendKeyRow).values(backend=backend, jkt=jkt, registered_at=now)
            return self._changed(first.on_conflict_do_nothing()) == 1
        changed = update(BackendKeyRow).where(BackendKeyRow.backend == backend, BackendKeyRow.jkt == instead_of)
        return self._changed(changed.values(jkt=jkt, registered_at=now)) == 1

    def see_proof(self, replay_id: str, *, forget_after: datetime) -> bool:
        """Note that a proof was used; false when it was before."""
        seen = insert(SeenProofRow).values(replay_id=replay_id, forget_after=forget_after)
        return self._changed(seen.on_conflict_do_nothing()) == 1

    def forget_proofs(self, now: datetime) -> None:
        self._session.execute(delete(SeenProofRow).where(SeenProofRow.forget_after < now))

    # --- withdrawal --------------------------------------------------------------------------------------------------

    def remove(self, row: Base) -> None:
        self._session.delete(row)
        self._session.flush()

    def webhook_of(self, key_id: str) -> WebhookRow | None:
        """Locked."""
        return self._session.scalar(select(WebhookRow).where(WebhookRow.key_id == key_id).with_for_update())

    def webhooks_hearing(self, key_ids: Collection[str], event: str) -> list[WebhookRow]:
        found = select(WebhookRow).where(
            WebhookRow.key_id.in_(key_ids), WebhookRow.disabled_at.is_(None), WebhookRow.events.contains([event])
        )
        return list(self._session.scalars(found.order_by(WebhookRow.webhook_id)))

    def deliveries(self, *, webhook_id: str | None = None, dead: bool = False, most: int) -> list[DeliveryRow]:
        """Latest first."""
        found = select(DeliveryRow)
        if webhook_id is not None:
            found = found.where(DeliveryRow.webhook_id == webhook_id)
        if dead:
            found = found.where(DeliveryRow.dead_at.is_not(None))
        latest = found.order_by(DeliveryRow.created_at.desc(), DeliveryRow.delivery_id).limit(most)
        return list(self._session.scalars(latest))

    def deliveries_waiting(self) -> list[DeliveryRow]:
        """Neither arrived nor given up."""
        found = select(DeliveryRow).where(DeliveryRow.delivered_at.is_(None), DeliveryRow.dead_at.is_(None))
        return list(self._session.scalars(found))

    def forget_deliveries(self, before: datetime) -> None:
        ended = (DeliveryRow.delivered_at < before) | (DeliveryRow.dead_at < before)
        self._session.execute(delete(DeliveryRow).where(ended))

    def keys_of_backend(self, name: str) -> list[str]:
        found = select(ApiKeyRow.key_id).where(
            ApiKeyRow.name == name, ApiKeyRow.role == "backend", ApiKeyRow.revoked_at.is_(None)
        )
        return list(self._session.scalars(found))

    def _redeemed_under(self, consent_id: str) -> Any:
        """Permits that backends outside spent under this consent; our own generators are told by the stage they ask at."""
        return (
            select(PermitRow.backend, PermitRow.permit_id, PermitRow.redeemed_at)
            .join(PermitConsentRow, PermitConsentRow.permit_id == PermitRow.permit_id)
            .join(AttemptRow, AttemptRow.attempt_id == PermitRow.attempt_id)
            .where(
                PermitConsentRow.consent_id == consent_id,
                PermitRow.redeemed_at.is_not(None),
                AttemptRow.stage == "evaluation",
            )
        )

    def backends_that_used(self, consent_id: str) -> list[str]:
        """Backends that spent a permit under this consent, ever."""
        used = self._redeemed_under(consent_id).subquery()
        return list(self._session.scalars(select(used.c.backend).distinct().order_by(used.c.backend)))

    def backends_that_hold(self, consent_id: str) -> list[str]:
        """Backends that spent a permit under this consent after they last confirmed that they deleted everything, and vendors
        that have its pictures."""
        used = self._redeemed_under(consent_id).subquery()
        last_confirmed = (
            select(func.max(PurgeRow.confirmed_at))
            .where(PurgeRow.consent_id == consent_id, PurgeRow.backend == used.c.backend)
            .scalar_subquery()
        )
        held = select(used.c.backend).where(last_confirmed.is_(None) | (used.c.redeemed_at > last_confirmed))
        at_vendors = select(RemoteJobRow.backend).where(
            RemoteJobRow.clip_id.in_(select(ClipConsentRow.clip_id).where(ClipConsentRow.consent_id == consent_id)),
            RemoteJobRow.state != "refused",
            RemoteJobRow.forgotten_at.is_(None),
        )
        return sorted({*self._session.scalars(held.distinct()), *self._session.scalars(at_vendors.distinct())})

    def vendor_jobs(self, consent_id: str, backend: str) -> list[RemoteJobRow]:
        """What this vendor was ordered to make of this person, and did not refuse."""
        found = (
            select(RemoteJobRow)
            .join(ClipConsentRow, ClipConsentRow.clip_id == RemoteJobRow.clip_id)
            .where(
                ClipConsentRow.consent_id == consent_id,
                RemoteJobRow.backend == backend,
                RemoteJobRow.state != "refused",
            )
        )
        return list(self._session.scalars(found.order_by(RemoteJobRow.ordered_at)))

    def vendor_purges(self, vendors: Collection[str], most: int = 100) -> list[PurgeRow]:
        """Demands on vendors that nothing came of yet, the oldest first."""
        found = select(PurgeRow).where(
            PurgeRow.backend.in_(vendors), PurgeRow.confirmed_at.is_(None), PurgeRow.retained_at.is_(None)
        )
        return list(self._session.scalars(found.order_by(PurgeRow.required_at).limit(most)))

    def permits_under(self, consent_id: str, backend: str) -> list[str]:
        """Latest first."""
        used = self._redeemed_under(consent_id).where(PermitRow.backend == backend).subquery()
        return list(self._session.scalars(select(used.c.permit_id).order_by(used.c.redeemed_at.desc())))

    def open_purge(self, consent_id: str, backend: str) -> PurgeRow | None:
        found = select(PurgeRow).where(
            PurgeRow.consent_id == consent_id, PurgeRow.backend == backend, PurgeRow.confirmed_at.is_(None)
        )
        return self._session.scalar(found)

    def purges(
        self, *, consent_id: str | None = None, backend: str | None = None, confirmed: bool | None = None, most: int
    ) -> list[PurgeRow]:
        """The nearest deadline first."""
        found = select(PurgeRow)
        if consent_id is not None:
            found = found.where(PurgeRow.consent_id == consent_id)
        if backend is not None:
            found = found.where(PurgeRow.backend == backend)
        if confirmed is not None:
            found = found.where(PurgeRow.confirmed_at.is_not(None) if confirmed else PurgeRow.confirmed_at.is_(None))
        return list(self._session.scalars(found.order_by(PurgeRow.due_at, PurgeRow.purge_id).limit(most)))

    def overdue_purges(
        self,
        now: datetime,
        *,
        backend: str | None = None,
        noted: bool | None = None,
        lock: bool = False,
        most: int = 500,
    ) -> list[PurgeRow]:
        """Not confirmed in time. ``noted``: whether that was written down already."""
        found = select(PurgeRow).where(
            PurgeRow.confirmed_at.is_(None), PurgeRow.retained_at.is_(None), PurgeRow.due_at <= now
        )
        if backend is not None:
            found = found.where(PurgeRow.backend == backend)
        if noted is not None:
            found = found.where(PurgeRow.blocked_at.is_not(None) if noted else PurgeRow.blocked_at.is_(None))
        found = found.order_by(PurgeRow.purge_id).limit(most)
        return list(self._session.scalars(found.with_for_update() if lock else found))

    def backend_blocked(self, backend: str, *, now: datetime) -> bool:
        """It did not confirm in time that it deleted, and nobody excused it."""
        overdue = (
            select(PurgeRow.purge_id)
            .where(
                PurgeRow.backend == backend,
                PurgeRow.due_at <= now,
                PurgeRow.confirmed_at.is_(None),
                PurgeRow.retained_at.is_(None),
                PurgeRow.excused_at.is_(None),
            )
            .limit(1)
        )
        return self._session.scalar(overdue) is not None

    def consents_over(self, now: datetime, most: int = 200) -> list[str]:
        """Consents whose term ran out and where nothing was done about it yet."""
        over = (
            select(ConsentRow.consent_id)
            .where(ConsentRow.expires_at <= now, ConsentRow.revoked_at.is_(None), ConsentRow.expired_at.is_(None))
            .order_by(ConsentRow.expires_at)
            .limit(most)
        )
        return list(self._session.scalars(over))

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

    def authorities_running(self) -> list[str]:
        """Claims that are not over."""
        found = select(AuthorityCaseRow.case_id).where(AuthorityCaseRow.ended_at.is_(None))
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

    # --- clips that are found again ----------------------------------------------------------------------------------

    def release_of_permit(self, permit_sha256: str) -> ReleasedClipRow | None:
        return self._session.scalar(select(ReleasedClipRow).where(ReleasedClipRow.permit_sha256 == permit_sha256))

    def release_of_watermark(self, number: int) -> ReleasedClipRow | None:
        return self._session.scalar(select(ReleasedClipRow).where(ReleasedClipRow.watermark == number))

    def releases_of_file(self, sha256: str, most: int = 10) -> list[ReleasedClipRow]:
        return list(
            self._session.scalars(select(ReleasedClipRow).where(ReleasedClipRow.file_sha256 == sha256).limit(most))
        )

    def add_clip_hashes(self, release_id: str, hashes: Sequence[int]) -> None:
        self.add(*(ClipHashRow(release_id=release_id, number=n, bits=f"{bits:0144b}") for n, bits in enumerate(hashes)))

    def has_clip_hashes(self, release_id: str) -> bool:
        found = select(ClipHashRow.release_id).where(ClipHashRow.release_id == release_id).limit(1)
        return self._session.scalar(found) is not None

    def releases_alike(
        self, hashes: Sequence[int], *, within: int, among: Collection[str] = (), most: int = 10
    ) -> list[ReleasedClipRow]:
        """Released clips with a picture that differs in at most ``within`` bits from one of ``hashes``, the nearest first.

        Every hash that is kept is looked at, or those of the releases ``among``, if any are named.
        """
        if not hashes:
            return []
        near = self._session.execute(
            text(
                "SELECT kept.release_id FROM clip_hashes AS kept, "
                "unnest(CAST(CAST(:hashes AS text[]) AS bit(144)[])) AS wanted(bits) "
                "WHERE bit_count(kept.bits # wanted.bits) <= :within AND (:anywhere OR kept.release_id = ANY(:among)) "
                "GROUP BY 1 ORDER BY min(bit_count(kept.bits # wanted.bits)), 1 LIMIT :most"
            ),
            {"hashes": [f"{bits:0144b}" for bits in hashes], "within": within, "most": most}
            | {"anywhere": not among, "among": list(among)},
        ).scalars()
        found = (self.get(ReleasedClipRow, release_id) for release_id in near)
        return [row for row in found if row is not None]

    def consents_of_release(self, release: ReleasedClipRow) -> list[ConsentRow]:
        return list(
            self._session.scalars(
                select(ConsentRow)
                .join(PermitConsentRow, PermitConsentRow.consent_id == ConsentRow.consent_id)
                .where(PermitConsentRow.permit_id == release.permit_id)
            )
        )

    def forget_clip_hashes(self, subject_id: str) -> int:
        """Those of every released clip that shows this person, whoever else it shows."""
        shown = (
            select(ReleasedClipRow.release_id)
            .join(PermitConsentRow, PermitConsentRow.permit_id == ReleasedClipRow.permit_id)
            .join(ConsentRow, ConsentRow.consent_id == PermitConsentRow.consent_id)
            .where(ConsentRow.subject_id == subject_id)
        )
        return self._changed(delete(ClipHashRow).where(ClipHashRow.release_id.in_(shown)))

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
        outcomes = run(
            text("SELECT kind, sum(count) FROM gate_figures WHERE reason = '' AND kind <> 'attempt' GROUP BY kind")
        )
        refusals = run(text("SELECT reason, sum(count) FROM gate_figures WHERE reason <> '' GROUP BY reason"))
        clips = run(select(ClipRow.state, func.count()).group_by(ClipRow.state))
        queue = run(
            text("SELECT task_name, queue_name, status::text, count(*) FROM procrastinate_jobs GROUP BY 1, 2, 3")
        )
        consents = run(select(ConsentRow.revoked_at.is_not(None), func.count()).group_by(text("1")))
        deliveries = run(
            text(
                "SELECT CASE WHEN delivered_at IS NOT NULL THEN 'delivered' WHEN dead_at IS NOT NULL THEN 'dead' "
                "ELSE 'waiting' END, count(*) FROM webhook_deliveries GROUP BY 1"
            )
        )
        purges = run(
            text(
                "SELECT CASE WHEN confirmed_at IS NOT NULL THEN 'confirmed' WHEN retained_at IS NOT NULL THEN 'retained' "
                "WHEN excused_at IS NOT NULL THEN 'excused' "
                "WHEN blocked_at IS NOT NULL THEN 'overdue' ELSE 'required' END, count(*) FROM purges GROUP BY 1"
            )
        )
        return {
            "webhook_deliveries": [((state,), n) for state, n in deliveries],
            "purges": [((state,), n) for state, n in purges],
            "sessions": [((state,), n) for state, n in sessions],
            "verdicts": [(("live" if live else "not_live", assurance or ""), n) for live, assurance, n in verdicts],
            "verdict_reasons": [((code,), n) for code, n in reasons],
            "decisions": [((kind,), n) for kind, n in outcomes],
            "refusals": [((code,), n) for code, n in refusals],
            "clips": [((state,), n) for state, n in clips],
            "jobs": [((task, kind, status), n) for task, kind, status, n in queue],
            "consents": [(("revoked" if revoked else "granted",), n) for revoked, n in consents],
            "look_alikes": self.look_alike_counts(),
        }

    def _changed(self, statement: Any) -> int:
        # the count of an INSERT is thrown away unless it is asked for
        return int(self._session.execute(statement.execution_options(preserve_rowcount=True)).rowcount)  # type: ignore[attr-defined]


# --- rows as values --------------------------------------------------------------------------------------------------


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


def checks_of(verdict: VerdictRow) -> list[CheckResult]:
    """The checks of a stored verdict; none once its detail was erased."""
    return [_check_result(check) for check in verdict.detail.get("checks", [])]


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


__all__ = ["Store", "challenge_of", "checks_of", "live_of", "new_id", "policy_of", "steps_to_json"]
