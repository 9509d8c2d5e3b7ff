"""masters, owners and the shred list

The previous release must still work on this schema: new columns may be empty, and the new table fills only from this release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("data_keys", sa.Column("owner", sa.Text(), nullable=True))
    op.add_column("data_keys", sa.Column("wrapped_by", sa.Text(), nullable=True))
    op.add_column("idempotency", sa.Column("sealed_by", sa.Text(), nullable=True))
    op.create_index(
        "ix_data_keys_wrapped_by", "data_keys", ["wrapped_by"], postgresql_where=sa.text("wrapped IS NOT NULL")
    )
    op.create_table(
        "shreds",
        sa.Column("number", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("shredded_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_shreds")),
    )


def downgrade() -> None:
    op.drop_table("shreds")
    op.drop_index("ix_data_keys_wrapped_by", table_name="data_keys")
    op.drop_column("idempotency", "sealed_by")
    op.drop_column("data_keys", "wrapped_by")
    op.drop_column("data_keys", "owner")
