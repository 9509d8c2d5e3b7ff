"""The whole schema on one page.

Three kinds of tables. Append-only ones (``consent_events``, ``ledger_entries``, ``attempts``, ``outcomes``,
``authority_events``) refuse UPDATE, DELETE and TRUNCATE in the database itself: see :data:`APPEND_ONLY` and the migrations.
Ones that hold people's data name the data key that opens it: destroying the key erases the data, in backups too. The rest
is state.

Times are ``timestamptz``. Ids are ``<prefix>_<32 hex digits>``. The queue's own tables belong to Procrastinate.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, LargeBinary, MetaData, Text, UniqueConstraint, false
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

APPEND_ONLY = ("consent_events", "ledger_entries", "attempts", "outcomes", "authority_events")


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
    """A write and its answer, sealed under the master key: answers may carry tokens."""

    __tablename__ = "idempotency"
    __table_args__ = (Index("ix_idempotency_created_at", "created_at"),)
    caller: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_sha256: Mapped[bytes]
    status: Mapped[int | None]
    sealed_answer: Mapped[bytes | None]
    created_at: Mapped[datetime]


# --- people's data at rest -------------------------------------------------------------------------------------------


class DataKeyRow(Base):
    """An AES-256 key wrapped by the master key. ``wrapped`` is ``NULL`` once destroyed, and with it all it opened."""

    __tablename__ = "data_keys"
    data_key_id: Mapped[str] = mapped_column(primary_key=True)
    wrapped: Mapped[bytes | None]
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
    __table_args__ = (Index("ix_consents_subject_id", "subject_id"),)
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


class ConsentEventRow(Base):
    """What happened to a consent, in order, as canonical bytes. Append-only."""

    __tablename__ = "consent_events"
    consent_id: Mapped[str] = mapped_column(ForeignKey("consents.consent_id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    body: Mapped[bytes]
    record: Mapped[str]
    ledger_index: Mapped[int] = mapped_column(BigInteger, unique=True)
    at: Mapped[datetime]


class LedgerRow(Base):
    """The hash chain. Append-only."""

    __tablename__ = "ledger_entries"
    index: Mapped[int] = mapped_column("entry_index", BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    kind: Mapped[str]
    digest: Mapped[str]
    previous: Mapped[str]
    entry_hash: Mapped[str] = mapped_column(unique=True)


# --- the gate --------------------------------------------------------------------------------------------------------


class AttemptRow(Base):
    """Someone asked to use a likeness. Written and committed before anything is decided. Append-only."""

    __tablename__ = "attempts"
    __table_args__ = (Index("ix_attempts_at", "at"), Index("ix_attempts_backend_at", "backend", "at"))
    attempt_id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    caller: Mapped[str]
    backend: Mapped[str]
    stage: Mapped[str]
    purpose: Mapped[str]
    job_sha256: Mapped[str]
    claimed: Mapped[dict[str, Any]]


class OutcomeRow(Base):
    """What the gate said to an attempt: exactly one. Append-only."""

    __tablename__ = "outcomes"
    attempt_id: Mapped[str] = mapped_column(ForeignKey("attempts.attempt_id"), primary_key=True)
    at: Mapped[datetime]
    decision: Mapped[bool]
    reasons: Mapped[list[dict[str, Any]]]
    permit_id: Mapped[str | None] = mapped_column(unique=True)


class PermitRow(Base):
    __tablename__ = "permits"
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


class PermitConsentRow(Base):
    """Whose consents a permit stands on."""

    __tablename__ = "permit_consents"
    __table_args__ = (Index("ix_permit_consents_consent_id", "consent_id"),)
    permit_id: Mapped[str] = mapped_column(ForeignKey("permits.permit_id"), primary_key=True)
    consent_id: Mapped[str] = mapped_column(ForeignKey("consents.consent_id"), primary_key=True)


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
    __table_args__ = (Index("ix_clips_state", "state"),)
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


class ClipConsentRow(Base):
    """Whose likeness a clip shows."""

    __tablename__ = "clip_consents"
    __table_args__ = (Index("ix_clip_consents_consent_id", "consent_id"),)
    clip_id: Mapped[str] = mapped_column(ForeignKey("clips.clip_id"), primary_key=True)
    consent_id: Mapped[str] = mapped_column(ForeignKey("consents.consent_id"), primary_key=True)


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
