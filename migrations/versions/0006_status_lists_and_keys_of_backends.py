"""status lists and keys of backends

The previous release must still work on this schema: it writes none of these tables. Consents that it grants get their entry
when a token is asked for, and what it revokes is taken over by the sweep.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KEEP = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mien_service') THEN
        REVOKE UPDATE, DELETE ON status_changes FROM mien_service;
    END IF;
END;
$$
"""


def upgrade() -> None:
    op.create_table(
        "status_lists",
        sa.Column("list_id", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("list_id", name=op.f("pk_status_lists")),
    )
    op.create_table(
        "status_entries",
        sa.Column("list_id", sa.Text(), nullable=False),
        sa.Column("idx", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("consent_id", sa.Text(), nullable=True),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("list_id", "idx", name=op.f("pk_status_entries")),
        sa.UniqueConstraint("consent_id", name=op.f("uq_status_entries_consent_id")),
        sa.ForeignKeyConstraint(
            ["list_id"], ["status_lists.list_id"], name=op.f("fk_status_entries_list_id_status_lists")
        ),
        sa.ForeignKeyConstraint(
            ["consent_id"], ["consents.consent_id"], name=op.f("fk_status_entries_consent_id_consents")
        ),
    )
    op.create_index("ix_status_entries_list_id_state", "status_entries", ["list_id", "state"])
    op.create_table(
        "status_changes",
        sa.Column("list_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("idx", sa.Integer(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("list_id", "number", name=op.f("pk_status_changes")),
        sa.ForeignKeyConstraint(
            ["list_id"], ["status_lists.list_id"], name=op.f("fk_status_changes_list_id_status_lists")
        ),
    )
    op.create_index("ix_status_changes_list_id_at", "status_changes", ["list_id", "at"])
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON status_changes FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON status_changes "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(KEEP)
    op.create_table(
        "backend_keys",
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("jkt", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("backend", name=op.f("pk_backend_keys")),
    )
    op.create_table(
        "seen_proofs",
        sa.Column("replay_id", sa.Text(), nullable=False),
        sa.Column("forget_after", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("replay_id", name=op.f("pk_seen_proofs")),
    )
    op.create_index("ix_seen_proofs_forget_after", "seen_proofs", ["forget_after"])


def downgrade() -> None:
    op.drop_table("seen_proofs")
    op.drop_table("backend_keys")
    op.drop_table("status_changes")
    op.drop_table("status_entries")
    op.drop_table("status_lists")
