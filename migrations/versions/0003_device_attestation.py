"""what a device's maker said of a recording, and the keys it certified"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("challenges", sa.Column("attestation", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.create_table(
        "device_keys",
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.subject_id"], name=op.f("fk_device_keys_subject_id")),
        sa.PrimaryKeyConstraint("subject_id", "provider", "key_id", name=op.f("pk_device_keys")),
    )


def downgrade() -> None:
    op.drop_table("device_keys")
    op.drop_column("challenges", "attestation")
