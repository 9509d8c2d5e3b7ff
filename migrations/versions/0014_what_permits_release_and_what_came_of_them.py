"""what permits release and what came of them: the key of a permit, checked outputs, handles, and a budget of mismatches

The previous release must still work on this schema: one new column may stay empty, everything else is new.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("permits", sa.Column("jkt", sa.Text(), nullable=True))
    op.create_table(
        "outputs",
        sa.Column("permit_id", sa.Text(), nullable=False),
        sa.Column("output_sha256", sa.Text(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["permit_id"], ["permits.permit_id"], name=op.f("fk_outputs_permit_id")),
        sa.PrimaryKeyConstraint("permit_id", name=op.f("pk_outputs")),
    )
    op.create_table(
        "handles",
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("handle_sha256", sa.Text(), nullable=False),
        sa.Column("permit_id", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["permit_id"], ["permits.permit_id"], name=op.f("fk_handles_permit_id")),
        sa.PrimaryKeyConstraint("backend", "handle_sha256", name=op.f("pk_handles")),
    )
    op.create_table(
        "mismatches",
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("asker", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.subject_id"], name=op.f("fk_mismatches_subject_id")),
        sa.PrimaryKeyConstraint("subject_id", "asker", "day", name=op.f("pk_mismatches")),
    )
    op.create_index("ix_mismatches_day", "mismatches", ["day"], unique=False)


def downgrade() -> None:
    op.drop_table("mismatches")
    op.drop_table("handles")
    op.drop_table("outputs")
    op.drop_column("permits", "jkt")
