"""paths, devices and what a client says of its camera

The previous release must still work on this schema: every new column has a default or may be empty.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("liveness_sessions", sa.Column("device", sa.LargeBinary(), nullable=True))
    op.create_index("ix_liveness_sessions_subject_id", "liveness_sessions", ["subject_id"])
    op.create_index("ix_liveness_sessions_device", "liveness_sessions", ["device"])
    op.add_column("challenges", sa.Column("path", sa.Text(), server_default="standard", nullable=False))
    op.add_column("challenges", sa.Column("extra_time", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("challenges", sa.Column("reveal", sa.Text(), server_default="at_once", nullable=False))
    op.add_column("challenges", sa.Column("client_signs", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.create_table(
        "fingerprints",
        sa.Column("challenge_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("challenge_id", name=op.f("pk_fingerprints")),
        sa.ForeignKeyConstraint(
            ["subject_id"], ["subjects.subject_id"], name=op.f("fk_fingerprints_subject_id_subjects")
        ),
    )
    op.create_index("ix_fingerprints_subject_id_seen_at", "fingerprints", ["subject_id", "seen_at"])


def downgrade() -> None:
    op.drop_table("fingerprints")
    op.drop_column("challenges", "client_signs")
    op.drop_column("challenges", "reveal")
    op.drop_column("challenges", "extra_time")
    op.drop_column("challenges", "path")
    op.drop_index("ix_liveness_sessions_device", "liveness_sessions")
    op.drop_index("ix_liveness_sessions_subject_id", "liveness_sessions")
    op.drop_column("liveness_sessions", "device")
