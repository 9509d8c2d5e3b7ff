"""what vendors delete or keep: jobs that they were made to forget, and demands that they do not meet

The previous release must still work on this schema: every new column may stay empty. It blocks a vendor for a demand that this
release knows to be one which the vendor does not meet, once that is 48 hours old.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, columns in _NEW.items():
        for column in columns:
            op.add_column(table, sa.Column(column, sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for table, columns in _NEW.items():
        for column in reversed(columns):
            op.drop_column(table, column)


_NEW = {"remote_jobs": ("forgotten_at", "forget_after"), "purges": ("retained_at", "retained_until")}
