"""approvals, suspension and the consent to a check

The previous release must still work on this schema: new columns may be empty, new tables are not its own.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("consents", sa.Column("suspended_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("consents", sa.Column("destroy_by", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_consents_destroy_by", "consents", ["destroy_by"], unique=False)
    op.add_column("permit_consents", sa.Column("event_number", sa.Integer(), nullable=True))
    op.create_table(
        "approvals",
        sa.Column("approval_id", sa.Text(), nullable=False),
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("job_sha256", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("details_id", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("permit_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.consent_id"], name=op.f("fk_approvals_consent_id")),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.attempt_id"], name=op.f("fk_approvals_attempt_id")),
        sa.ForeignKeyConstraint(["details_id"], ["sealed.sealed_id"], name=op.f("fk_approvals_details_id")),
        sa.PrimaryKeyConstraint("approval_id", name=op.f("pk_approvals")),
    )
    op.create_index("ix_approvals_consent_id_job_sha256", "approvals", ["consent_id", "job_sha256"], unique=False)
    op.create_index("ix_approvals_permit_id", "approvals", ["permit_id"], unique=False)
    op.create_table(
        "statements",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.Text(), nullable=True),
        sa.Column("salt", sa.LargeBinary(), nullable=True),
        sa.Column("ledger_index", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.subject_id"], name=op.f("fk_statements_subject_id")),
        sa.PrimaryKeyConstraint("session_id", "number", name=op.f("pk_statements")),
        sa.UniqueConstraint("ledger_index", name=op.f("uq_statements_ledger_index")),
    )
    op.create_index("ix_statements_subject_id", "statements", ["subject_id"], unique=False)


def downgrade() -> None:
    op.drop_table("statements")
    op.drop_table("approvals")
    op.drop_column("permit_consents", "event_number")
    op.drop_index("ix_consents_destroy_by", table_name="consents")
    op.drop_column("consents", "destroy_by")
    op.drop_column("consents", "suspended_at")
