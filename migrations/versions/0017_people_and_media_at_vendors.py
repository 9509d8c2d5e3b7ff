"""people and media at vendors: who was verified there, addresses that vendors fetch from, clips that are made in parts

The previous release must still work on this schema: the tables are new and nothing old points at them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "remote_parts",
        sa.Column("clip_id", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("job_key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("handle", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("content_id", sa.Text(), nullable=True),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.clip_id"], name=op.f("fk_remote_parts_clip_id")),
        sa.ForeignKeyConstraint(["content_id"], ["sealed.sealed_id"], name=op.f("fk_remote_parts_content_id")),
        sa.PrimaryKeyConstraint("clip_id", "place", name=op.f("pk_remote_parts")),
        sa.UniqueConstraint("job_key", name=op.f("uq_remote_parts_job_key")),
    )
    op.create_table(
        "handovers",
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("consents", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("sealed_id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["sealed_id"], ["sealed.sealed_id"], name=op.f("fk_handovers_sealed_id")),
        sa.PrimaryKeyConstraint("secret_sha256", name=op.f("pk_handovers")),
    )
    op.create_index("ix_handovers_job_id", "handovers", ["job_id"], unique=False)
    op.create_index("ix_handovers_expires_at", "handovers", ["expires_at"], unique=False)
    op.create_table(
        "vendor_people",
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("data_key_id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=True),
        sa.Column("group_id", sa.Text(), nullable=True),
        sa.Column("asset_id", sa.Text(), nullable=True),
        sa.Column("picture_sha256", sa.Text(), nullable=True),
        sa.Column("invited_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tried", sa.Integer(), nullable=False),
        sa.Column("try_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.consent_id"], name=op.f("fk_vendor_people_consent_id")),
        sa.ForeignKeyConstraint(["data_key_id"], ["data_keys.data_key_id"], name=op.f("fk_vendor_people_data_key_id")),
        sa.ForeignKeyConstraint(["token_id"], ["sealed.sealed_id"], name=op.f("fk_vendor_people_token_id")),
        sa.ForeignKeyConstraint(["group_id"], ["sealed.sealed_id"], name=op.f("fk_vendor_people_group_id")),
        sa.ForeignKeyConstraint(["asset_id"], ["sealed.sealed_id"], name=op.f("fk_vendor_people_asset_id")),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_vendor_people")),
        sa.UniqueConstraint("consent_id", "backend", name=op.f("uq_vendor_people_consent_id_backend")),
    )
    op.create_index(
        "ix_vendor_people_held",
        "vendor_people",
        ["consent_id"],
        unique=False,
        postgresql_where=sa.text("forgotten_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("vendor_people")
    op.drop_table("handovers")
    op.drop_table("remote_parts")
