"""webhooks, purges, and a notice of every consent event

A trigger tells listeners of each consent event, whoever wrote it. The previous release must still work on this schema: the
new column may be empty, and nothing that it writes changes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

KEEP = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mien_service') THEN
        REVOKE UPDATE, DELETE ON withdrawal_events FROM mien_service;
    END IF;
END;
$$
"""
TELL = """
CREATE FUNCTION tell_of_consent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('mien_consent', NEW.consent_id);
    RETURN NULL;
END;
$$
"""


def upgrade() -> None:
    op.add_column("consents", sa.Column("expired_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_consents_ends",
        "consents",
        ["expires_at"],
        postgresql_where=sa.text("revoked_at IS NULL AND expired_at IS NULL"),
    )
    op.create_table(
        "webhooks",
        sa.Column("webhook_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("data_key_id", sa.Text(), nullable=False),
        sa.Column("secrets_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_code", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.key_id"], name=op.f("fk_webhooks_key_id")),
        sa.ForeignKeyConstraint(["data_key_id"], ["data_keys.data_key_id"], name=op.f("fk_webhooks_data_key_id")),
        sa.ForeignKeyConstraint(["secrets_id"], ["sealed.sealed_id"], name=op.f("fk_webhooks_secrets_id")),
        sa.PrimaryKeyConstraint("webhook_id", name=op.f("pk_webhooks")),
        sa.UniqueConstraint("key_id", name=op.f("uq_webhooks_key_id")),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("webhook_id", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("last_code", sa.Text(), nullable=True),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dead_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.webhook_id"], name=op.f("fk_webhook_deliveries_webhook_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index("ix_webhook_deliveries_webhook_id_created_at", "webhook_deliveries", ["webhook_id", "created_at"])
    op.create_index("ix_webhook_deliveries_dead_at", "webhook_deliveries", ["dead_at"])
    op.create_table(
        "purges",
        sa.Column("purge_id", sa.Text(), nullable=False),
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("required_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("target_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("blocked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("excused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.consent_id"], name=op.f("fk_purges_consent_id")),
        sa.PrimaryKeyConstraint("purge_id", name=op.f("pk_purges")),
    )
    op.create_index("ix_purges_consent_id", "purges", ["consent_id"])
    op.create_index("ix_purges_backend_due_at", "purges", ["backend", "due_at"])
    op.create_index(
        "uq_purges_open",
        "purges",
        ["consent_id", "backend"],
        unique=True,
        postgresql_where=sa.text("confirmed_at IS NULL"),
    )
    op.create_table(
        "withdrawal_events",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("consent_id", sa.Text(), nullable=True),
        sa.Column("backend", sa.Text(), nullable=True),
        sa.Column("about", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_withdrawal_events")),
    )
    for columns in (["at"], ["consent_id", "at"], ["backend", "at"]):
        op.create_index(f"ix_withdrawal_events_{'_'.join(columns)}", "withdrawal_events", columns)
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON withdrawal_events "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON withdrawal_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(KEEP)
    op.execute(TELL)
    op.execute(
        "CREATE TRIGGER tell_of_consent AFTER INSERT ON consent_events FOR EACH ROW EXECUTE FUNCTION tell_of_consent()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER tell_of_consent ON consent_events")
    op.execute("DROP FUNCTION tell_of_consent")
    for table in ("withdrawal_events", "purges", "webhook_deliveries", "webhooks"):
        op.drop_table(table)
    op.drop_index("ix_consents_ends", table_name="consents")
    op.drop_column("consents", "expired_at")
