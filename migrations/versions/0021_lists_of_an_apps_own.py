"""an app lists its own consents and clips

The previous release must still work on this schema: two indexes, nothing else.
"""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_consents_app_key_id", "consents", ["app_key_id", "granted_at"])
    op.create_index("ix_clips_app_key_id", "clips", ["app_key_id", "created_at"])


def downgrade() -> None:
    op.drop_index("ix_clips_app_key_id", table_name="clips")
    op.drop_index("ix_consents_app_key_id", table_name="consents")
