"""jobs that vendors' generators were ordered to do: our key before the order, the vendor's handle after it

The previous release must still work on this schema: the table is new and nothing old points at it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "remote_jobs",
        sa.Column("clip_id", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("job_key", sa.Text(), nullable=False),
        sa.Column("callback_secret", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("handle", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.clip_id"], name=op.f("fk_remote_jobs_clip_id")),
        sa.PrimaryKeyConstraint("clip_id", name=op.f("pk_remote_jobs")),
        sa.UniqueConstraint("job_key", name=op.f("uq_remote_jobs_job_key")),
    )


def downgrade() -> None:
    op.drop_table("remote_jobs")
