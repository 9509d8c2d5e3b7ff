"""clips that are found again: what was released under which permit, its watermark, and what its pictures look like

The previous release must still work on this schema: everything here is new, and nothing old points at it. Clips that it
releases are not in the registry.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "released_clips",
        sa.Column("release_id", sa.Text(), nullable=False),
        sa.Column("permit_id", sa.Text(), nullable=False),
        sa.Column("permit_sha256", sa.Text(), nullable=False),
        sa.Column("clip_id", sa.Text(), nullable=True),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("file_sha256", sa.Text(), nullable=False),
        sa.Column("watermark", sa.BigInteger(), nullable=True),
        sa.Column("watermark_read", sa.Boolean(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["permit_id"], ["permits.permit_id"], name=op.f("fk_released_clips_permit_id")),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.clip_id"], name=op.f("fk_released_clips_clip_id")),
        sa.PrimaryKeyConstraint("release_id", name=op.f("pk_released_clips")),
        sa.UniqueConstraint("permit_id", name=op.f("uq_released_clips_permit_id")),
        sa.UniqueConstraint("permit_sha256", name=op.f("uq_released_clips_permit_sha256")),
        sa.UniqueConstraint("watermark", name=op.f("uq_released_clips_watermark")),
    )
    op.create_index("ix_released_clips_file_sha256", "released_clips", ["file_sha256"], unique=False)
    op.create_table(
        "clip_hashes",
        sa.Column("release_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bits", postgresql.BIT(144), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["released_clips.release_id"], name=op.f("fk_clip_hashes_release_id")),
        sa.PrimaryKeyConstraint("release_id", "number", name=op.f("pk_clip_hashes")),
    )


def downgrade() -> None:
    op.drop_table("clip_hashes")
    op.drop_table("released_clips")
