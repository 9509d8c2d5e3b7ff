"""The whole schema on one page.

Three kinds of tables. Append-only ones (:data:`APPEND_ONLY`) refuse UPDATE, DELETE and TRUNCATE in the database itself, by
triggers and by what :data:`SERVICE_ROLE` is allowed: see the migrations. Ones that hold people's data name
the data key that opens it: destroying the key erases the data, in backups too. The rest is state.

Times are ``timestamptz``. Ids are ``<prefix>_<32 hex digits>``. The queue's own tables belong to Procrastinate.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import BIT, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

APPEND_ONLY = (
    "consent_events",
    "ledger_entries",
    "log_nodes",
    "log_checkpoints",
    "log_cosignatures",
    "attempts",
    "outcomes",
    "status_changes",
    "withdrawal_events",
    "audit_events",
    "authority_events",
)
SERVICE_ROLE = "mien_service"
"""The database role that the service works as: it owns nothing and cannot change or delete what is append-only."""


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own way of configuring
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[str]: JSONB,
        list[dict[str, Any]]: JSONB,
        bytes: LargeBinary,
        str: Text,
    }


# --- who may call ----------------------------------------------------------------------------------------------------


class ApiKeyRow(Base):
    """A key of the operator's server, a backend, an auditor or an admin. Only the hash of it is kept."""

    __tablename__ = "api_keys"
    key_id: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    name: Mapped[str]
    secret_sha256: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class PersonTokenRow(Base):
    """What a phone holds: a client token for one session, or a manage token for one consent. Only the hash is kept."""

    __tablename__ = "person_tokens"
    __table_args__ = (Index("ix_person_tokens_expires_at", "expires_at"),)
    secret_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    session_id: Mapped[str | None] = mapped_column(ForeignKey("liveness_sessions.session_id", ondelete="CASCADE"))
    consent_id: Mapped[str | None] = mapped_column(ForeignKey("consents.consent_id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class IdempotencyRow(Base):
    """A write and its answer, sealed under the master key ``sealed_by``: answers may carry tokens."""

    __tablename__ = "idempotency"
    __table_args__ = (Index("ix_idempotency_created_at", "created_at"),)
    caller: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_sha256: Mapped[bytes]
    status: Mapped[int | None]
    sealed_answer: Mapped[bytes | None]
    sealed_by: Mapped[str | None]
    created_at: Mapped[datetime]


# --- people's data at rest -------------------------------------------------------------------------------------------


class DataKeyRow(Base):
    """An AES-256 key of one owner, wrapped by a master key. ``wrapped`` is ``NULL`` once destroyed, and with it all it opened.

    ``owner``: the session, consent, media or clip whose key it is, bound into the wrapping. ``wrapped_by``: the id of the
    master key. Both are ``NULL`` on what the first release wrote.
    """

    __tablename__ = "data_keys"
    __table_args__ = (Index("ix_data_keys_wrapped_by", "wrapped_by", postgresql_where=text("wrapped IS NOT NULL")),)
    data_key_id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str | None]
    wrapped: Mapped[bytes | None]
    wrapped_by: Mapped[str | None]
    created_at: Mapped[datetime]
    destroyed_at: Mapped[datetime | None]


class SealedRow(Base):
    """One sealed thing: a recording, templates, a portrait, handed-in media, a clip. Large ones lie in a file."""

    __tablename__ = "sealed"
    __table_args__ = (Index("ix_sealed_erase_after", "erase_after"), Index("ix_sealed_data_key_id", "data_key_id"))
    sealed_id: Mapped[str] = mapped_column(primary_key=True)
    data_key_id: Mapped[str] = mapped_column(ForeignKey("data_keys.data_key_id"))
    kind: Mapped[str]
    content: Mapped[bytes | None]
    in_file: Mapped[bool]
    size: Mapped[int] = mapped_column(BigInteger)
    made_at: Mapped[datetime]
    erase_after: Mapped[datetime | None]
    erased_at: Mapped[datetime | None]


class ShredRow(Base):
    """A data key destroyed, or a consent taken back in part or whole, on its way to the shred list outside this database.

    Written with what it tells of, in one transaction; gone once it is in the list. See :mod:`api.shreds`.
    """

    __tablename__ = "shreds"
    number: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str]
    shredded_id: Mapped[str]
    at: Mapped[datetime]


class SubjectRow(Base):
    """A person as one app knows them. ``reference`` is an HMAC of the app's own name for them."""

    __tablename__ = "subjects"
    __table_args__ = (UniqueConstraint("app_key_id", "reference"),)
    subject_id: Mapped[str] = mapped_column(primary_key=True)
    app_key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.key_id"))
    reference: Mapped[bytes]
    created_at: Mapped[datetime]


# --- live checks -----------------------------------------------------------------------------------------------------


class SessionRow(Base):
    __tablename__ = "liveness_sessions"
    __table_args__ = (
        Index("ix_liveness_sessions_state_expires_at", "state", "expires_at"),
        Index("ix_liveness_sessions_subject_id", "subject_id"),
        Index("ix_liveness_sessions_device", "device"),
    )
    session_id: Mapped[str] = mapped_column(primary_key=True)
    app_key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.key_id"))
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.subject_id"))
    language: Mapped[str]
    purpose: Mapped[str]
    policy: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[int]
    challenge_id: Mapped[str | None]
    data_key_id: Mapped[str] = mapped_column(ForeignKey("data_keys.data_key_id"))
    device: Mapped[bytes | None]
    templates_id: Mapped[str | None] = mapped_column(ForeignKey("sealed.sealed_id"))
    portrait_id: Mapped[str | None] = mapped_column(ForeignKey("sealed.sealed_id"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ChallengeRow(Base):
    __tablename__ = "challenges"
    __table_args__ = (Index("ix_challenges_session_id", "session_id"),)
    challenge_id: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("liveness_sessions.session_id", ondelete="CASCADE"))
    nonce: Mapped[str]
    language: Mapped[str]
    steps: Mapped[list[dict[str, Any]]]
    policy: Mapped[str]
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    spent_at: Mapped[datetime | None]
    capture_sha256: Mapped[str | None]
    capture_id: Mapped[str | None] = mapped_column(ForeignKey("sealed.sealed_id"))
    mirrored: Mapped[bool | None]
    reused: Mapped[bool]
    path: Mapped[str] = mapped_column(server_default="standard")
    extra_time: Mapped[bool] = mapped_column(server_default=false())
    reveal: Mapped[str] = mapped_column(server_default="at_once")
    client_signs: Mapped[dict[str, Any] | None]
    attestation: Mapped[dict[str, Any] | None]
    live_log: Mapped[dict[str, Any] | None]  # of a live session: cues sent and chunks arrived, on our own clock


class SeenCaptureRow(Base):
    """Hash of every recording ever handed in: the same bytes are never taken twice."""

    __tablename__ = "seen_captures"
    capture_sha256: Mapped[str] = mapped_column(primary_key=True)
    challenge_id: Mapped[str]
    seen_at: Mapped[datetime]


class DeviceKeyRow(Base):
    """A key in a person's device that its maker certified. ``counter`` only rises; see ``liveness.attestation.KnownKey``."""

    __tablename__ = "device_keys"
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.subject_id"), primary_key=True)
    provider: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[bytes] = mapped_column(primary_key=True)
    public_key: Mapped[bytes]
    counter: Mapped[int] = mapped_column(BigInteger)
    environment: Mapped[str]
    registered_at: Mapped[datetime]
    used_at: Mapped[datetime]


class FingerprintRow(Base):
    """Perceptual hash of a take, to know a copy of it again. Of the subject's own takes only, and not for ever."""

    __tablename__ = "fingerprints"
    __table_args__ = (Index("ix_fingerprints_subject_id_seen_at", "subject_id", "seen_at"),)
    challenge_id: Mapped[str] = mapped_column(primary_key=True)
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.subject_id"))
    fingerprint: Mapped[bytes]
    seen_at: Mapped[datetime]


class VerdictRow(Base):
    """The one verdict on a challenge. ``detail`` has values and limits and is for auditors."""

    __tablename__ = "verdicts"
    challenge_id: Mapped[str] = mapped_column(ForeignKey("challenges.challenge_id"), primary_key=True)
    session_id: Mapped[str]
    live: Mapped[bool]
    assurance: Mapped[str | None]
    reasons: Mapped[list[str]]
    detail: Mapped[dict[str, Any]]
    judged_at: Mapped[datetime]


# --- consent ---------------------------------------------------------------------------------------------------------


class ConsentRow(Base):
    """Where a consent stands. What was agreed is in ``consent_events``."""

    __tablename__ = "consents"
    __table_args__ = (
        Index("ix_consents_subject_id", "subject_id"),
        Index("ix_consents_app_key_id", "app_key_id", "granted_at"),
        Index("ix_consents_destroy_by", "destroy_by"),
        Index("ix_consents_ends", "expires_at", postgresql_where=text("revoked_at IS NULL AND expired_at IS NULL")),
    )
    consent_id: Mapped[str] = mapped_column(primary_key=True)
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.subject_id"))
    app_key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.key_id"))
    session_id: Mapped[str] = mapped_column(unique=True)
    challenge_id: Mapped[str] = mapped_column(ForeignKey("challenges.challenge_id"))
    salt: Mapped[bytes]
    data_key_id: Mapped[str] = mapped_column(ForeignKey("data_keys.data_key_id"))
    templates_id: Mapped[str | None] = mapped_column(ForeignKey("sealed.sealed_id"))
    portrait_id: Mapped[str | None] = mapped_column(ForeignKey("sealed.sealed_id"))
    granted_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    suspended_at: Mapped[datetime | None]
    destroy_by: Mapped[datetime | None]  # picture and templates; empty in rows of the first release: at its expiry
    expired_at: Mapped[datetime | None]  # when the end of its term was carried out; whether it is over, the time says


class ConsentEventRow(Base):
    """What happened to a consent, in order, as canonical bytes. Append-only."""

    __tablename__ = "consent_events"
    consent_id: Mapped[str] = mapped_column(ForeignKey("consents.consent_id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    body: Mapped[bytes]
    record: Mapped[str]
    ledger_index: Mapped[int] = mapped_column(BigInteger, unique=True)
    at: Mapped[datetime]


class StatementRow(Base):
    """What a person said in a session besides granting: yes to the check, no or not now to the double.

    Not append-only: the salt goes when the person is erased. What was said is committed to in the log.
    """

    __tablename__ = "statements"
    __table_args__ = (Index("ix_statements_subject_id", "subject_id"),)
    session_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.subject_id"))
    kind: Mapped[str]
    body: Mapped[bytes]
    record: Mapped[str | None]
    salt: Mapped[bytes | None]
    ledger_index: Mapped[int] = mapped_column(BigInteger, unique=True)
    at: Mapped[datetime]


class ApprovalRow(Base):
    """A single use that a person is asked about. ``details_id``: what they are shown, sealed with the consent's key.

    permit_id : the permit that was redeemed on it; an approval is used once.
    """

    __tablename__ = "approvals"
    __table_args__ = (
        Index("ix_approvals_consent_id_job_sha256", "consent_id", "job_sha256"),
        Index("ix_approvals_permit_id", "permit_id"),
    )
    approval_id: Mapped[str] = mapped_column(primary_key=True)
    consent_id: Mapped[str] = mapped_column(ForeignKey("consents.consent_id"))
    backend: Mapped[str]
    purpose: Mapped[str]
    job_sha256: Mapped[str]
    state: Mapped[str]
    attempt_id: Mapped[str] = mapped_column(ForeignKey("attempts.attempt_id"))
    details_id: Mapped[str] = mapped_column(ForeignKey("sealed.sealed_id"))
    requested_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    permit_id: Mapped[str | None]


class LedgerRow(Base):
    """An entry of the log, from which its leaf in the tree is made. Append-only. ``previous`` and ``entry_hash`` were the
    hash chain that came before the tree; the first release still reads them."""

    __tablename__ = "ledger_entries"
    index: Mapped[int] = mapped_column("entry_index", BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    kind: Mapped[str]
    digest: Mapped[str]
    previous: Mapped[str | None]
    entry_hash: Mapped[str | None] = mapped_column(unique=True)


class LogNodeRow(Base):
    """A complete subtree of the log's Merkle tree (``consent.merkle.Node``); level 0 are the leaves. Append-only."""

    __tablename__ = "log_nodes"
    level: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    index: Mapped[int] = mapped_column("node_index", BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[bytes]


class LogCheckpointRow(Base):
    """A checkpoint that was signed. One for each size, ever: no second tree of that size can be signed. Append-only."""

    __tablename__ = "log_checkpoints"
    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    root: Mapped[bytes]
    note: Mapped[str]
    at: Mapped[datetime]


class LogCosignatureRow(Base):
    """A witness's signature on a checkpoint; the first one that it handed in. Append-only."""

    __tablename__ = "log_cosignatures"
    size: Mapped[int] = mapped_column(ForeignKey("log_checkpoints.size"), primary_key=True)
    witness: Mapped[str] = mapped_column(primary_key=True)
    line: Mapped[str]
    stated_at: Mapped[datetime]
    at: Mapped[datetime]


# --- the gate --------------------------------------------------------------------------------------------------------


class AttemptRow(Base):
    """Someone asked to use a likeness. Written and committed before anything is decided. Append-only."""

    __tablename__ = "attempts"
    __table_args__ = (
        Index("ix_attempts_at", "at"),
        Index("ix_attempts_backend_at", "backend", "at"),
        Index("ix_attempts_at_attempt_id", "at", "attempt_id"),
    )
    attempt_id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    caller: Mapped[str]
    backend: Mapped[str]
    stage: Mapped[str]
    purpose: Mapped[str]
    job_sha256: Mapped[str]
    claimed: Mapped[dict[str, Any]]


class OutcomeRow(Base):
    """What the gate said to an attempt: exactly one of permit, refusal or error. Append-only."""

    __tablename__ = "outcomes"
    __table_args__ = (
        UniqueConstraint("attempt_id", "permit_id"),
        CheckConstraint("decision = (permit_id IS NOT NULL)", name="ck_outcomes_permit"),
        CheckConstraint("decision = (jsonb_array_length(reasons) = 0)", name="ck_outcomes_reasons"),
    )
    attempt_id: Mapped[str] = mapped_column(ForeignKey("attempts.attempt_id"), primary_key=True)
    at: Mapped[datetime]
    decision: Mapped[bool]
    reasons: Mapped[list[dict[str, Any]]]
    permit_id: Mapped[str | None] = mapped_column(unique=True)
    kind: Mapped[str] = mapped_column(
        Computed(
            "CASE WHEN decision THEN 'permit'::text"
            """ WHEN reasons @> '[{"code": "gate_error"}]'::jsonb THEN 'error'::text"""
            " ELSE 'refusal'::text END",
            persisted=True,
        )
    )


class PermitRow(Base):
    """A permit. The database takes none without the outcome that gave it."""

    __tablename__ = "permits"
    __table_args__ = (
        ForeignKeyConstraint(["attempt_id", "permit_id"], ["outcomes.attempt_id", "outcomes.permit_id"]),
        Index("ix_permits_issued_at", "issued_at", postgresql_where=text("checked_at IS NULL")),
        Index("ix_permits_backend_permit_id", "backend", "permit_id"),
    )
    permit_id: Mapped[str] = mapped_column(primary_key=True)
    attempt_id: Mapped[str] = mapped_column(ForeignKey("attempts.attempt_id"), unique=True)
    backend: Mapped[str]
    purpose: Mapped[str]
    job_sha256: Mapped[str]
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    redeemed_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    output_sha256: Mapped[str | None]
    checked_at: Mapped[datetime | None]  # when it was held against the records as they stood
    jkt: Mapped[str | None]  # the key that it can be used with


class PermitConsentRow(Base):
    """Whose consents a permit stands on. ``event_number``: of the last event that the gate saw."""

    __tablename__ = "permit_consents"
    __table_args__ = (Index("ix_permit_consents_consent_id", "consent_id"),)
    permit_id: Mapped[str] = mapped_column(ForeignKey("permits.permit_id"), primary_key=True)
    consent_id: Mapped[str] = mapped_column(ForeignKey("consents.consent_id"), primary_key=True)
    event_number: Mapped[int | None]


# --- media and clips -------------------------------------------------------------------------------------------------


class MediaRow(Base):
    __tablename__ = "media"
    media_id: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.key_id"))
    kind: Mapped[str]
    sha256: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    faces: Mapped[list[dict[str, Any]]]
    data_key_id: Mapped[str] = mapped_column(ForeignKey("data_keys.data_key_id"))
    content_id: Mapped[str] = mapped_column(ForeignKey("sealed.sealed_id"))
    templates_id: Mapped[str] = mapped_column(ForeignKey("sealed.sealed_id"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ClipRow(Base):
    __tablename__ = "clips"
    __table_args__ = (Index("ix_clips_state", "state"), Index("ix_clips_app_key_id", "app_key_id", "created_at"))
    clip_id: Mapped[str] = mapped_column(primary_key=True)
    app_key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.key_id"))
    kind: Mapped[str]
    backend: Mapped[str]
    purpose: Mapped[str]
    state: Mapped[str]
    progress: Mapped[float]
    job_sha256: Mapped[str]
    data_key_id: Mapped[str] = mapped_column(ForeignKey("data_keys.data_key_id"))
    order_id: Mapped[str] = mapped_column(ForeignKey("sealed.sealed_id"))
    run_id: Mapped[str | None]
    permit_id: Mapped[str | None]
    code: Mapped[str | None]
    reasons: Mapped[list[dict[str, Any]]]
    content_id: Mapped[str | None] = mapped_column(ForeignKey("sealed.sealed_id"))
    sha256: Mapped[str | None]
    duration_ms: Mapped[int | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime | None]


class RemoteJobRow(Base):
    """A clip that a vendor was ordered to make. ``job_key``: ours, written before the order; ``handle``: theirs, after it.

    state : ordering, ordered, refused, outcome_unknown (nobody can say whether the vendor has it).
    forgotten_at : when the vendor said that it deleted what it had of it. forget_after : not asked again before.
    """

    __tablename__ = "remote_jobs"
    clip_id: Mapped[str] = mapped_column(ForeignKey("clips.clip_id"), primary_key=True)
    backend: Mapped[str]
    model: Mapped[str]
    job_key: Mapped[str] = mapped_column(unique=True)
    callback_secret: Mapped[str]  # part of the address that the vendor may ring at; it opens nothing
    state: Mapped[str]
    handle: Mapped[dict[str, Any] | None]
    ordered_at: Mapped[datetime]
    forgotten_at: Mapped[datetime | None]
    forget_after: Mapped[datetime | None]


class ClipConsentRow(Base):
    """Whose likeness a clip shows."""

    __tablename__ = "clip_consents"
    __table_args__ = (Index("ix_clip_consents_consent_id", "consent_id"),)
    clip_id: Mapped[str] = mapped_column(ForeignKey("clips.clip_id"), primary_key=True)
    consent_id: Mapped[str] = mapped_column(ForeignKey("consents.consent_id"), primary_key=True)


# --- status lists and keys of backends -------------------------------------------------------------------------------


class StatusListRow(Base):
    """A list of states that anyone may read. ``version`` counts its changes; ``used`` its entries, decoys included."""

    __tablename__ = "status_lists"
    list_id: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int]
    used: Mapped[int]
    version: Mapped[int] = mapped_column(BigInteger)
    made_at: Mapped[datetime]


class StatusEntryRow(Base):
    """The state of a consent as its tokens' holders see it. Without a consent: a decoy."""

    __tablename__ = "status_entries"
    __table_args__ = (Index("ix_status_entries_list_id_state", "list_id", "state"),)
    list_id: Mapped[str] = mapped_column(ForeignKey("status_lists.list_id"), primary_key=True)
    idx: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    consent_id: Mapped[str | None] = mapped_column(ForeignKey("consents.consent_id"), unique=True)
    state: Mapped[int] = mapped_column(SmallInteger)


class StatusChangeRow(Base):
    """What an entry became, and when: the list as it stood at any time. Append-only."""

    __tablename__ = "status_changes"
    __table_args__ = (Index("ix_status_changes_list_id_at", "list_id", "at"),)
    list_id: Mapped[str] = mapped_column(ForeignKey("status_lists.list_id"), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    idx: Mapped[int]
    state: Mapped[int] = mapped_column(SmallInteger)
    at: Mapped[datetime]


class BackendKeyRow(Base):
    """The key that a backend must prove to hold, by its thumbprint (RFC 7638)."""

    __tablename__ = "backend_keys"
    backend: Mapped[str] = mapped_column(primary_key=True)
    jkt: Mapped[str]
    registered_at: Mapped[datetime]


class SeenProofRow(Base):
    """A proof of a key that was used, until it would be too old to be used again."""

    __tablename__ = "seen_proofs"
    __table_args__ = (Index("ix_seen_proofs_forget_after", "forget_after"),)
    replay_id: Mapped[str] = mapped_column(primary_key=True)
    forget_after: Mapped[datetime]


# --- withdrawal that reaches everywhere ------------------------------------------------------------------------------


class WebhookRow(Base):
    """Where a backend or an app wants to hear of changes. Its signing secrets lie sealed under a key of their own."""

    __tablename__ = "webhooks"
    webhook_id: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.key_id"), unique=True)
    url: Mapped[str]
    events: Mapped[list[str]]
    data_key_id: Mapped[str] = mapped_column(ForeignKey("data_keys.data_key_id"))
    secrets_id: Mapped[str] = mapped_column(ForeignKey("sealed.sealed_id"))
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    disabled_code: Mapped[str | None]


class DeliveryRow(Base):
    """One message to one webhook, until it arrived or was given up. ``tries`` counts requests since it was last queued."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_webhook_id_created_at", "webhook_id", "created_at"),
        Index("ix_webhook_deliveries_dead_at", "dead_at"),
    )
    delivery_id: Mapped[str] = mapped_column(primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.webhook_id", ondelete="CASCADE"))
    event: Mapped[str]
    body: Mapped[bytes]
    created_at: Mapped[datetime]
    tries: Mapped[int]
    last_code: Mapped[str | None]
    next_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    dead_at: Mapped[datetime | None]


class PurgeRow(Base):
    """A backend that worked under a consent must delete what it holds of it, and say so by ``due_at``."""

    __tablename__ = "purges"
    __table_args__ = (
        Index("ix_purges_consent_id", "consent_id"),
        Index("ix_purges_backend_due_at", "backend", "due_at"),
        Index("uq_purges_open", "consent_id", "backend", unique=True, postgresql_where=text("confirmed_at IS NULL")),
    )
    purge_id: Mapped[str] = mapped_column(primary_key=True)
    consent_id: Mapped[str] = mapped_column(ForeignKey("consents.consent_id"))
    backend: Mapped[str]
    reason: Mapped[str]
    required_at: Mapped[datetime]
    target_at: Mapped[datetime]
    due_at: Mapped[datetime]
    blocked_at: Mapped[datetime | None]
    excused_at: Mapped[datetime | None]
    confirmed_at: Mapped[datetime | None]
    receipt: Mapped[str | None]
    retained_at: Mapped[datetime | None]
    retained_until: Mapped[datetime | None]


class WithdrawalEventRow(Base):
    """What was done to carry a withdrawal out, step by step: by whom, and why. Append-only."""

    __tablename__ = "withdrawal_events"
    __table_args__ = (
        Index("ix_withdrawal_events_at", "at"),
        Index("ix_withdrawal_events_consent_id_at", "consent_id", "at"),
        Index("ix_withdrawal_events_backend_at", "backend", "at"),
    )
    event_id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    kind: Mapped[str]
    actor: Mapped[str]
    consent_id: Mapped[str | None]
    backend: Mapped[str | None]
    about: Mapped[str | None]
    reason: Mapped[str | None]


# --- audit -----------------------------------------------------------------------------------------------------------


class GateCountRow(Base):
    """How many attempts and outcomes of a day and backend, but for those that wait to be counted: the view ``gate_figures``
    has both.

    kind : ``attempt`` or an outcome. reason : empty for the whole; else how many of them had this reason.
    """

    __tablename__ = "gate_counts"
    day: Mapped[date] = mapped_column(primary_key=True)
    backend: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)


class AttemptTermRow(Base):
    """What attempts are found by, such as ``consent:cns_...`` or ``reason:no_token``; written when they are counted."""

    __tablename__ = "attempt_terms"
    term: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    attempt_id: Mapped[str] = mapped_column(primary_key=True)


class GateWaitingRow(Base):
    """An attempt or an outcome (``what``) that is to be counted and, if it has a salt, put into the log; in the order in which
    they were written. Triggers note them, whoever writes. See :mod:`api.books`."""

    __tablename__ = "gate_waiting"
    number: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    attempt_id: Mapped[str]
    what: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class AttemptEntryRow(Base):
    """Where an attempt and its outcome stand in the log. Without ``salt`` the entries say nothing about anyone.

    Without a number they are on their way into it: see :class:`GateWaitingRow`.
    """

    __tablename__ = "attempt_entries"
    __table_args__ = (Index("ix_attempt_entries_open", "at", postgresql_where=text("outcome_index IS NULL")),)
    attempt_id: Mapped[str] = mapped_column(ForeignKey("attempts.attempt_id"), primary_key=True)
    at: Mapped[datetime]
    salt: Mapped[bytes | None]
    attempt_index: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    outcome_index: Mapped[int | None] = mapped_column(BigInteger, unique=True)


class AuditEventRow(Base):
    """Who did what, for auditors and for the people it was about. Append-only; ids only, nothing about a person.

    shown : pseudonyms of everyone whose data was shown, when there are several or none is ``subject_id``.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("ix_audit_events_at_event_id", "at", "event_id"),
        *(
            Index(f"ix_audit_events_{name}_at", name, "at", "event_id")
            for name in ("action", "actor_id", "subject_id", "consent_id", "backend", "object_id", "reason")
        ),
        Index("ix_audit_events_shown", "shown", postgresql_using="gin", postgresql_ops={"shown": "jsonb_path_ops"}),
    )
    event_id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    action: Mapped[str]
    actor_role: Mapped[str]
    actor_id: Mapped[str | None]
    subject_id: Mapped[str | None]
    consent_id: Mapped[str | None]
    backend: Mapped[str | None]
    object_id: Mapped[str | None]
    reason: Mapped[str | None]
    shown: Mapped[list[str]]
    more: Mapped[dict[str, Any]]


class OpeningRow(Base):
    """Leave to look at one piece of biometric media: asked for by one admin, given by another, for a short time."""

    __tablename__ = "openings"
    __table_args__ = (CheckConstraint("approved_by <> requested_by", name="ck_openings_two_people"),)
    opening_id: Mapped[str] = mapped_column(primary_key=True)
    object_id: Mapped[str]
    subjects: Mapped[list[str]]
    requested_by: Mapped[str] = mapped_column(ForeignKey("api_keys.key_id"))
    requested_at: Mapped[datetime]
    reason: Mapped[str]
    ticket: Mapped[str]
    approved_by: Mapped[str | None] = mapped_column(ForeignKey("api_keys.key_id"))
    approved_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    views: Mapped[int]
    held_until: Mapped[datetime | None]  # a legal hold: until then the people it is about are not told


class AuditViewRow(Base):
    """A search that somebody saved under a name."""

    __tablename__ = "audit_views"
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.key_id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    query: Mapped[dict[str, Any]]
    saved_at: Mapped[datetime]


# --- who speaks for somebody else ------------------------------------------------------------------------------------


class AuthorityCaseRow(Base):
    """Where a claim to speak for somebody stands. All of it, with who is related to whom, is sealed in ``body_id``;
    papers, photographs and templates lie under a key of their own, which goes when the claim is over."""

    __tablename__ = "authority_cases"
    __table_args__ = (
        Index("ix_authority_cases_subject_id", "subject_id"),
        Index("ix_authority_cases_stage_window_to", "stage", "window_to"),
    )
    case_id: Mapped[str] = mapped_column(primary_key=True)
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.subject_id"))
    app_key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.key_id"))
    kind: Mapped[str]
    subject_state: Mapped[str]
    jurisdiction: Mapped[str]
    stage: Mapped[str]
    data_key_id: Mapped[str] = mapped_column(ForeignKey("data_keys.data_key_id"))
    body_id: Mapped[str] = mapped_column(ForeignKey("sealed.sealed_id"))
    files_key_id: Mapped[str] = mapped_column(ForeignKey("data_keys.data_key_id"))
    opened_at: Mapped[datetime]
    window_to: Mapped[datetime | None]
    valid_to: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class AuthorityFileRow(Base):
    """A paper, a photograph, or the face of somebody who signed (``session_id``: one live check is one signature)."""

    __tablename__ = "authority_files"
    __table_args__ = (Index("ix_authority_files_case_id", "case_id"),)
    file_id: Mapped[str] = mapped_column(primary_key=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("authority_cases.case_id"))
    kind: Mapped[str]
    party_id: Mapped[str | None]
    session_id: Mapped[str | None] = mapped_column(unique=True)
    content_id: Mapped[str | None] = mapped_column(ForeignKey("sealed.sealed_id"))
    templates_id: Mapped[str | None] = mapped_column(ForeignKey("sealed.sealed_id"))
    added_at: Mapped[datetime]


class AuthorityEventRow(Base):
    """What happened to a claim, who did it, and the digest of the claim after it. Append-only."""

    __tablename__ = "authority_events"
    case_id: Mapped[str] = mapped_column(ForeignKey("authority_cases.case_id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    step: Mapped[str]
    stage: Mapped[str]
    actor: Mapped[str]
    case_sha256: Mapped[str]


class DirectiveRow(Base):
    """What a person said shall hold when they cannot be asked. The latest counts."""

    __tablename__ = "directives"
    __table_args__ = (Index("ix_directives_subject_id_at", "subject_id", "at"),)
    directive_id: Mapped[str] = mapped_column(primary_key=True)
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.subject_id"))
    session_id: Mapped[str] = mapped_column(unique=True)
    at: Mapped[datetime]
    body: Mapped[bytes]


# --- what permits release and what came of them ----------------------------------------------------------------------


class OutputRow(Base):
    """What a finished clip was found to be. ``reasons``: why it must not leave; empty when ``passed``."""

    __tablename__ = "outputs"
    permit_id: Mapped[str] = mapped_column(ForeignKey("permits.permit_id"), primary_key=True)
    output_sha256: Mapped[str]
    passed: Mapped[bool]
    reasons: Mapped[list[dict[str, Any]]]
    checked_at: Mapped[datetime]


class HandleRow(Base):
    """A backend's own name for something that it made under a permit, hashed. What carries the name carries those people."""

    __tablename__ = "handles"
    backend: Mapped[str] = mapped_column(primary_key=True)
    handle_sha256: Mapped[str] = mapped_column(primary_key=True)
    permit_id: Mapped[str] = mapped_column(ForeignKey("permits.permit_id"))
    registered_at: Mapped[datetime]


class MismatchRow(Base):
    """How many faces that were not this person's somebody tried against them on a day (UTC)."""

    __tablename__ = "mismatches"
    __table_args__ = (Index("ix_mismatches_day", "day"),)
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.subject_id"), primary_key=True)
    asker: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    count: Mapped[int]


# --- look-alike alerts -----------------------------------------------------------------------------------------------


class LookAlikeChoiceRow(Base):
    """A person who wants to be told of faces like theirs. Gone when they take it back, or the consent ends.

    Their code for the search lies apart and goes with this row: see :mod:`api.look_alike_index`. ``number``: of the statement
    that said yes, among those of the consent's session.
    """

    __tablename__ = "look_alike_choices"
    __table_args__ = (Index("ix_look_alike_choices_subject_id", "subject_id"),)
    consent_id: Mapped[str] = mapped_column(ForeignKey("consents.consent_id"), primary_key=True)
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.subject_id"))
    number: Mapped[int]
    given_at: Mapped[datetime]


class LookAlikeLookupRow(Base):
    """Faces of a refused question that are to be looked up, sealed under a key of their own; once done, only that they were.

    ``asker`` : as in ``mismatches``. Kept for a day, to count.
    """

    __tablename__ = "look_alike_lookups"
    __table_args__ = (Index("ix_look_alike_lookups_asker_at", "asker", "at"), Index("ix_look_alike_lookups_at", "at"))
    attempt_id: Mapped[str] = mapped_column(ForeignKey("attempts.attempt_id"), primary_key=True)
    asker: Mapped[str]
    data_key_id: Mapped[str] = mapped_column(ForeignKey("data_keys.data_key_id"))
    faces_id: Mapped[str] = mapped_column(ForeignKey("sealed.sealed_id"))
    at: Mapped[datetime]
    done_at: Mapped[datetime | None]


class LookAlikeAlertRow(Base):
    """A person is told, from ``tell_at`` on, that a refused question had a face like theirs. Theirs alone to see."""

    __tablename__ = "look_alike_alerts"
    __table_args__ = (
        UniqueConstraint("consent_id", "attempt_id"),
        Index("ix_look_alike_alerts_subject_id_tell_at", "subject_id", "tell_at"),
        Index("ix_look_alike_alerts_untold", "tell_at", postgresql_where=text("told_at IS NULL")),
    )
    alert_id: Mapped[str] = mapped_column(primary_key=True)
    consent_id: Mapped[str] = mapped_column(ForeignKey("consents.consent_id"))
    subject_id: Mapped[str] = mapped_column(ForeignKey("subjects.subject_id"))
    attempt_id: Mapped[str] = mapped_column(ForeignKey("attempts.attempt_id"))
    found_at: Mapped[datetime]
    tell_at: Mapped[datetime]
    told_at: Mapped[datetime | None]


# --- clips that are found again --------------------------------------------------------------------------------------


class ReleasedClipRow(Base):
    """A clip that left, whoever made it. Stays when the clip is destroyed, so that copies of it still lead to its consents.

    ``watermark_read``: whether the number could be read from the file that left; flat pictures carry none.
    """

    __tablename__ = "released_clips"
    __table_args__ = (Index("ix_released_clips_file_sha256", "file_sha256"),)
    release_id: Mapped[str] = mapped_column(primary_key=True)
    permit_id: Mapped[str] = mapped_column(ForeignKey("permits.permit_id"), unique=True)
    permit_sha256: Mapped[str] = mapped_column(unique=True)
    clip_id: Mapped[str | None] = mapped_column(ForeignKey("clips.clip_id"))
    backend: Mapped[str]
    file_sha256: Mapped[str]
    watermark: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    watermark_read: Mapped[bool]
    label: Mapped[str]
    released_at: Mapped[datetime]


class ClipHashRow(Base):
    """What a picture of a released clip looks like, see :mod:`likeness.picture_hash`. Deleted with a person who is shown."""

    __tablename__ = "clip_hashes"
    release_id: Mapped[str] = mapped_column(ForeignKey("released_clips.release_id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    bits: Mapped[str] = mapped_column(BIT(144))


# --- people and media at vendors -------------------------------------------------------------------------------------


class RemotePartRow(Base):
    """One of several jobs at a vendor that become one clip. Fields as of :class:`RemoteJobRow`.

    content_id : what was made, until the clip is finished: no part is paid for twice. kind : ``picture`` or ``video``.
    """

    __tablename__ = "remote_parts"
    clip_id: Mapped[str] = mapped_column(ForeignKey("clips.clip_id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    job_key: Mapped[str] = mapped_column(unique=True)
    state: Mapped[str]
    handle: Mapped[dict[str, Any] | None]
    content_id: Mapped[str | None] = mapped_column(ForeignKey("sealed.sealed_id"))
    ordered_at: Mapped[datetime]


class HandoverRow(Base):
    """An address where a vendor may fetch one medium for a while. ``secret_sha256``: of the last part of the address.

    sealed_id, owner : where the bytes lie; sha256 : what they are. consents : of whom they show or let hear.
    """

    __tablename__ = "handovers"
    __table_args__ = (Index("ix_handovers_job_id", "job_id"), Index("ix_handovers_expires_at", "expires_at"))
    secret_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    job_id: Mapped[str]  # a clip, or a person at a vendor
    backend: Mapped[str]
    purpose: Mapped[str]
    consents: Mapped[list[str]]
    sealed_id: Mapped[str] = mapped_column(ForeignKey("sealed.sealed_id"))
    owner: Mapped[str]
    sha256: Mapped[str]
    media_type: Mapped[str]
    expires_at: Mapped[datetime]


class VendorPersonRow(Base):
    """A person whom a vendor verified for itself, under one consent. Names at the vendor are sealed under a key of this row's
    own, so that they outlive the consent until the vendor has deleted what they name.

    state : invited, verified, kept, ready, refused, forgotten. picture_sha256 : of the picture that the asset is.
    """

    __tablename__ = "vendor_people"
    __table_args__ = (
        UniqueConstraint("consent_id", "backend"),
        Index("ix_vendor_people_held", "consent_id", postgresql_where=text("forgotten_at IS NULL")),
    )
    person_id: Mapped[str] = mapped_column(primary_key=True)
    consent_id: Mapped[str] = mapped_column(ForeignKey("consents.consent_id"))
    backend: Mapped[str]
    state: Mapped[str]
    data_key_id: Mapped[str] = mapped_column(ForeignKey("data_keys.data_key_id"))
    token_id: Mapped[str | None] = mapped_column(ForeignKey("sealed.sealed_id"))
    group_id: Mapped[str | None] = mapped_column(ForeignKey("sealed.sealed_id"))
    asset_id: Mapped[str | None] = mapped_column(ForeignKey("sealed.sealed_id"))
    picture_sha256: Mapped[str | None]
    invited_at: Mapped[datetime]
    tried: Mapped[int]  # how often its deletion at the vendor was tried
    try_after: Mapped[datetime | None]
    forgotten_at: Mapped[datetime | None]


# --- who is at a browser ---------------------------------------------------------------------------------------------


class PasskeyRow(Base):
    """A passkey of a person, or of somebody who works here.

    A person's stands for the consent that it was made with (``consent_id``), a worker's for an API key (``key_id``).
    ``consents``: those of the person's own whose enrolled face was seen to be the same, when both could still be compared.
    """

    __tablename__ = "passkeys"
    __table_args__ = (Index("ix_passkeys_subject_id", "subject_id"), Index("ix_passkeys_key_id", "key_id"))
    passkey_id: Mapped[str] = mapped_column(primary_key=True)
    credential_id: Mapped[bytes] = mapped_column(unique=True)
    key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.key_id"))
    consent_id: Mapped[str | None] = mapped_column(ForeignKey("consents.consent_id", ondelete="CASCADE"))
    subject_id: Mapped[str | None] = mapped_column(ForeignKey("subjects.subject_id"))
    consents: Mapped[list[str]]
    user_handle: Mapped[bytes]
    public_key: Mapped[bytes]
    sign_count: Mapped[int] = mapped_column(BigInteger)
    transports: Mapped[list[str]]
    synced: Mapped[bool]
    name: Mapped[str]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]


class PasskeyChallengeRow(Base):
    """What a passkey is to sign next, for one browser: ``secret_sha256`` is of its cookie. Taken once, and gone."""

    __tablename__ = "passkey_challenges"
    __table_args__ = (Index("ix_passkey_challenges_expires_at", "expires_at"),)
    secret_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    challenge: Mapped[bytes]
    owner: Mapped[str | None]  # consent or API key that one is made for; empty: somebody signs in
    user_handle: Mapped[bytes | None]
    expires_at: Mapped[datetime]


class BrowserSessionRow(Base):
    """Somebody signed in at a browser. Only the hash of its cookie is kept, and of the browser what kind it is.

    began : passkey, token, live_check, key or start_code. began_with : the live check, which signs in once. weak : with an API
    key or a start code, so not proven by a passkey. last_seen_at : to the minute.
    """

    __tablename__ = "browser_sessions"
    __table_args__ = (
        Index("ix_browser_sessions_expires_at", "expires_at"),
        Index("ix_browser_sessions_subject_id", "subject_id"),
        Index("ix_browser_sessions_key_id", "key_id"),
    )
    session_id: Mapped[str] = mapped_column(primary_key=True)
    secret_sha256: Mapped[bytes] = mapped_column(unique=True)
    kind: Mapped[str]
    began: Mapped[str]
    began_with: Mapped[str | None] = mapped_column(unique=True)
    passkey_id: Mapped[str | None]
    key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.key_id"))
    consent_id: Mapped[str | None] = mapped_column(ForeignKey("consents.consent_id", ondelete="CASCADE"))
    subject_id: Mapped[str | None] = mapped_column(ForeignKey("subjects.subject_id"))
    consents: Mapped[list[str]]
    weak: Mapped[bool]
    browser: Mapped[str]
    system: Mapped[str]
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class StartCodeRow(Base):
    """A code that signs the first browser in, once: printed in the terminal where the service was started."""

    __tablename__ = "start_codes"
    code_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.key_id"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
