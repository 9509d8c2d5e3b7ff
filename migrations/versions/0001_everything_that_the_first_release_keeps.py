"""everything that the first release keeps

Besides the tables of ``api/tables.py``: the queue's schema as the pinned Procrastinate writes it, and triggers that refuse
UPDATE, DELETE and TRUNCATE on the tables that are only ever appended to.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from procrastinate.schema import SchemaManager
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("consent_events", "ledger_entries", "attempts", "outcomes")

REFUSE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END;
$$
"""

QUEUE_TABLES = ("procrastinate_periodic_defers", "procrastinate_events", "procrastinate_jobs", "procrastinate_workers")
QUEUE_TYPES = ("procrastinate_job_to_defer_v1", "procrastinate_job_event_type", "procrastinate_job_status")
DROP_QUEUE_FUNCTIONS = """
DO $$
DECLARE name regprocedure;
BEGIN
    FOR name IN SELECT oid FROM pg_proc WHERE proname LIKE 'procrastinate\\_%' LOOP
        EXECUTE 'DROP FUNCTION ' || name || ' CASCADE';
    END LOOP;
END;
$$
"""


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_api_keys_secret_sha256")),
    )
    op.create_table(
        "attempts",
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("job_sha256", sa.Text(), nullable=False),
        sa.Column("claimed", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_attempts")),
    )
    op.create_index("ix_attempts_at", "attempts", ["at"], unique=False)
    op.create_index("ix_attempts_backend_at", "attempts", ["backend", "at"], unique=False)
    op.create_table(
        "data_keys",
        sa.Column("data_key_id", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("destroyed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("data_key_id", name=op.f("pk_data_keys")),
    )
    op.create_table(
        "idempotency",
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("sealed_answer", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_idempotency")),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"], unique=False)
    op.create_table(
        "ledger_entries",
        sa.Column("entry_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("entry_hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entry_index", name=op.f("pk_ledger_entries")),
        sa.UniqueConstraint("entry_hash", name=op.f("uq_ledger_entries_entry_hash")),
    )
    op.create_table(
        "seen_captures",
        sa.Column("capture_sha256", sa.Text(), nullable=False),
        sa.Column("challenge_id", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("capture_sha256", name=op.f("pk_seen_captures")),
    )
    op.create_table(
        "outcomes",
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decision", sa.Boolean(), nullable=False),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("permit_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.attempt_id"], name=op.f("fk_outcomes_attempt_id")),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_outcomes")),
        sa.UniqueConstraint("permit_id", name=op.f("uq_outcomes_permit_id")),
    )
    op.create_table(
        "permits",
        sa.Column("permit_id", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("job_sha256", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("redeemed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("output_sha256", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.attempt_id"], name=op.f("fk_permits_attempt_id")),
        sa.PrimaryKeyConstraint("permit_id", name=op.f("pk_permits")),
        sa.UniqueConstraint("attempt_id", name=op.f("uq_permits_attempt_id")),
    )
    op.create_table(
        "sealed",
        sa.Column("sealed_id", sa.Text(), nullable=False),
        sa.Column("data_key_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("in_file", sa.Boolean(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erase_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["data_key_id"], ["data_keys.data_key_id"], name=op.f("fk_sealed_data_key_id")),
        sa.PrimaryKeyConstraint("sealed_id", name=op.f("pk_sealed")),
    )
    op.create_index("ix_sealed_data_key_id", "sealed", ["data_key_id"], unique=False)
    op.create_index("ix_sealed_erase_after", "sealed", ["erase_after"], unique=False)
    op.create_table(
        "subjects",
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("app_key_id", sa.Text(), nullable=False),
        sa.Column("reference", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["app_key_id"], ["api_keys.key_id"], name=op.f("fk_subjects_app_key_id")),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_subjects")),
        sa.UniqueConstraint("app_key_id", "reference", name=op.f("uq_subjects_app_key_id_reference")),
    )
    op.create_table(
        "clips",
        sa.Column("clip_id", sa.Text(), nullable=False),
        sa.Column("app_key_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("job_sha256", sa.Text(), nullable=False),
        sa.Column("data_key_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("permit_id", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("content_id", sa.Text(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["app_key_id"], ["api_keys.key_id"], name=op.f("fk_clips_app_key_id")),
        sa.ForeignKeyConstraint(["content_id"], ["sealed.sealed_id"], name=op.f("fk_clips_content_id")),
        sa.ForeignKeyConstraint(["data_key_id"], ["data_keys.data_key_id"], name=op.f("fk_clips_data_key_id")),
        sa.ForeignKeyConstraint(["order_id"], ["sealed.sealed_id"], name=op.f("fk_clips_order_id")),
        sa.PrimaryKeyConstraint("clip_id", name=op.f("pk_clips")),
    )
    op.create_index("ix_clips_state", "clips", ["state"], unique=False)
    op.create_table(
        "liveness_sessions",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("app_key_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("challenge_id", sa.Text(), nullable=True),
        sa.Column("data_key_id", sa.Text(), nullable=False),
        sa.Column("templates_id", sa.Text(), nullable=True),
        sa.Column("portrait_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["app_key_id"], ["api_keys.key_id"], name=op.f("fk_liveness_sessions_app_key_id")),
        sa.ForeignKeyConstraint(
            ["data_key_id"], ["data_keys.data_key_id"], name=op.f("fk_liveness_sessions_data_key_id")
        ),
        sa.ForeignKeyConstraint(["portrait_id"], ["sealed.sealed_id"], name=op.f("fk_liveness_sessions_portrait_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.subject_id"], name=op.f("fk_liveness_sessions_subject_id")),
        sa.ForeignKeyConstraint(["templates_id"], ["sealed.sealed_id"], name=op.f("fk_liveness_sessions_templates_id")),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_liveness_sessions")),
    )
    op.create_index("ix_liveness_sessions_state_expires_at", "liveness_sessions", ["state", "expires_at"], unique=False)
    op.create_table(
        "media",
        sa.Column("media_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("faces", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("data_key_id", sa.Text(), nullable=False),
        sa.Column("content_id", sa.Text(), nullable=False),
        sa.Column("templates_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["content_id"], ["sealed.sealed_id"], name=op.f("fk_media_content_id")),
        sa.ForeignKeyConstraint(["data_key_id"], ["data_keys.data_key_id"], name=op.f("fk_media_data_key_id")),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.key_id"], name=op.f("fk_media_key_id")),
        sa.ForeignKeyConstraint(["templates_id"], ["sealed.sealed_id"], name=op.f("fk_media_templates_id")),
        sa.PrimaryKeyConstraint("media_id", name=op.f("pk_media")),
    )
    op.create_table(
        "challenges",
        sa.Column("challenge_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("steps", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("spent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("capture_sha256", sa.Text(), nullable=True),
        sa.Column("capture_id", sa.Text(), nullable=True),
        sa.Column("mirrored", sa.Boolean(), nullable=True),
        sa.Column("reused", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["capture_id"], ["sealed.sealed_id"], name=op.f("fk_challenges_capture_id")),
        sa.ForeignKeyConstraint(
            ["session_id"], ["liveness_sessions.session_id"], name=op.f("fk_challenges_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("challenge_id", name=op.f("pk_challenges")),
    )
    op.create_index("ix_challenges_session_id", "challenges", ["session_id"], unique=False)
    op.create_table(
        "consents",
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("app_key_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("challenge_id", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("data_key_id", sa.Text(), nullable=False),
        sa.Column("templates_id", sa.Text(), nullable=True),
        sa.Column("portrait_id", sa.Text(), nullable=True),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["app_key_id"], ["api_keys.key_id"], name=op.f("fk_consents_app_key_id")),
        sa.ForeignKeyConstraint(["challenge_id"], ["challenges.challenge_id"], name=op.f("fk_consents_challenge_id")),
        sa.ForeignKeyConstraint(["data_key_id"], ["data_keys.data_key_id"], name=op.f("fk_consents_data_key_id")),
        sa.ForeignKeyConstraint(["portrait_id"], ["sealed.sealed_id"], name=op.f("fk_consents_portrait_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.subject_id"], name=op.f("fk_consents_subject_id")),
        sa.ForeignKeyConstraint(["templates_id"], ["sealed.sealed_id"], name=op.f("fk_consents_templates_id")),
        sa.PrimaryKeyConstraint("consent_id", name=op.f("pk_consents")),
        sa.UniqueConstraint("session_id", name=op.f("uq_consents_session_id")),
    )
    op.create_index("ix_consents_subject_id", "consents", ["subject_id"], unique=False)
    op.create_table(
        "verdicts",
        sa.Column("challenge_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("assurance", sa.Text(), nullable=True),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["challenge_id"], ["challenges.challenge_id"], name=op.f("fk_verdicts_challenge_id")),
        sa.PrimaryKeyConstraint("challenge_id", name=op.f("pk_verdicts")),
    )
    op.create_table(
        "clip_consents",
        sa.Column("clip_id", sa.Text(), nullable=False),
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.clip_id"], name=op.f("fk_clip_consents_clip_id")),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.consent_id"], name=op.f("fk_clip_consents_consent_id")),
        sa.PrimaryKeyConstraint("clip_id", "consent_id", name=op.f("pk_clip_consents")),
    )
    op.create_index("ix_clip_consents_consent_id", "clip_consents", ["consent_id"], unique=False)
    op.create_table(
        "consent_events",
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("ledger_index", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.consent_id"], name=op.f("fk_consent_events_consent_id")),
        sa.PrimaryKeyConstraint("consent_id", "number", name=op.f("pk_consent_events")),
        sa.UniqueConstraint("ledger_index", name=op.f("uq_consent_events_ledger_index")),
    )
    op.create_table(
        "permit_consents",
        sa.Column("permit_id", sa.Text(), nullable=False),
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.consent_id"], name=op.f("fk_permit_consents_consent_id")),
        sa.ForeignKeyConstraint(["permit_id"], ["permits.permit_id"], name=op.f("fk_permit_consents_permit_id")),
        sa.PrimaryKeyConstraint("permit_id", "consent_id", name=op.f("pk_permit_consents")),
    )
    op.create_index("ix_permit_consents_consent_id", "permit_consents", ["consent_id"], unique=False)
    op.create_table(
        "person_tokens",
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("consent_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["consent_id"], ["consents.consent_id"], name=op.f("fk_person_tokens_consent_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["liveness_sessions.session_id"],
            name=op.f("fk_person_tokens_session_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("secret_sha256", name=op.f("pk_person_tokens")),
    )
    op.create_index("ix_person_tokens_expires_at", "person_tokens", ["expires_at"], unique=False)
    op.execute(REFUSE)
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    op.get_bind().exec_driver_sql(SchemaManager.get_schema().replace("%", "%%"))


def downgrade() -> None:
    for table in QUEUE_TABLES:
        op.execute(f"DROP TABLE {table} CASCADE")
    op.execute(DROP_QUEUE_FUNCTIONS)
    for kind in QUEUE_TYPES:
        op.execute(f"DROP TYPE {kind} CASCADE")
    op.drop_index("ix_person_tokens_expires_at", table_name="person_tokens")
    op.drop_table("person_tokens")
    op.drop_index("ix_permit_consents_consent_id", table_name="permit_consents")
    op.drop_table("permit_consents")
    op.drop_table("consent_events")
    op.drop_index("ix_clip_consents_consent_id", table_name="clip_consents")
    op.drop_table("clip_consents")
    op.drop_table("verdicts")
    op.drop_index("ix_consents_subject_id", table_name="consents")
    op.drop_table("consents")
    op.drop_index("ix_challenges_session_id", table_name="challenges")
    op.drop_table("challenges")
    op.drop_table("media")
    op.drop_index("ix_liveness_sessions_state_expires_at", table_name="liveness_sessions")
    op.drop_table("liveness_sessions")
    op.drop_index("ix_clips_state", table_name="clips")
    op.drop_table("clips")
    op.drop_table("subjects")
    op.drop_index("ix_sealed_erase_after", table_name="sealed")
    op.drop_index("ix_sealed_data_key_id", table_name="sealed")
    op.drop_table("sealed")
    op.drop_table("permits")
    op.drop_table("outcomes")
    op.drop_table("seen_captures")
    op.drop_table("ledger_entries")
    op.drop_index("ix_idempotency_created_at", table_name="idempotency")
    op.drop_table("idempotency")
    op.drop_table("data_keys")
    op.drop_index("ix_attempts_backend_at", table_name="attempts")
    op.drop_index("ix_attempts_at", table_name="attempts")
    op.drop_table("attempts")
    op.drop_table("api_keys")
    op.execute("DROP FUNCTION refuse_change")
