"""who is at a browser: passkeys, what they are to sign, sessions, and the code that signs the first browser in

The previous release must still work on this schema: everything here is new, and nothing old points at it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "passkeys",
        sa.Column("passkey_id", sa.Text(), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("consent_id", sa.Text(), nullable=True),
        sa.Column("subject_id", sa.Text(), nullable=True),
        sa.Column("consents", postgresql.JSONB(), nullable=False),
        sa.Column("user_handle", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("transports", postgresql.JSONB(), nullable=False),
        sa.Column("synced", sa.Boolean(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.key_id"], name=op.f("fk_passkeys_key_id")),
        sa.ForeignKeyConstraint(
            ["consent_id"], ["consents.consent_id"], name=op.f("fk_passkeys_consent_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.subject_id"], name=op.f("fk_passkeys_subject_id")),
        sa.PrimaryKeyConstraint("passkey_id", name=op.f("pk_passkeys")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_passkeys_credential_id")),
    )
    op.create_index("ix_passkeys_subject_id", "passkeys", ["subject_id"], unique=False)
    op.create_index("ix_passkeys_key_id", "passkeys", ["key_id"], unique=False)
    op.create_table(
        "passkey_challenges",
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("challenge", sa.LargeBinary(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("user_handle", sa.LargeBinary(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("secret_sha256", name=op.f("pk_passkey_challenges")),
    )
    op.create_index("ix_passkey_challenges_expires_at", "passkey_challenges", ["expires_at"], unique=False)
    op.create_table(
        "browser_sessions",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("began", sa.Text(), nullable=False),
        sa.Column("began_with", sa.Text(), nullable=True),
        sa.Column("passkey_id", sa.Text(), nullable=True),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("consent_id", sa.Text(), nullable=True),
        sa.Column("subject_id", sa.Text(), nullable=True),
        sa.Column("consents", postgresql.JSONB(), nullable=False),
        sa.Column("weak", sa.Boolean(), nullable=False),
        sa.Column("browser", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.key_id"], name=op.f("fk_browser_sessions_key_id")),
        sa.ForeignKeyConstraint(
            ["consent_id"], ["consents.consent_id"], name=op.f("fk_browser_sessions_consent_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.subject_id"], name=op.f("fk_browser_sessions_subject_id")),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_browser_sessions")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_browser_sessions_secret_sha256")),
        sa.UniqueConstraint("began_with", name=op.f("uq_browser_sessions_began_with")),
    )
    op.create_index("ix_browser_sessions_expires_at", "browser_sessions", ["expires_at"], unique=False)
    op.create_index("ix_browser_sessions_subject_id", "browser_sessions", ["subject_id"], unique=False)
    op.create_index("ix_browser_sessions_key_id", "browser_sessions", ["key_id"], unique=False)
    op.create_table(
        "start_codes",
        sa.Column("code_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.key_id"], name=op.f("fk_start_codes_key_id")),
        sa.PrimaryKeyConstraint("code_sha256", name=op.f("pk_start_codes")),
    )


def downgrade() -> None:
    op.drop_table("start_codes")
    op.drop_table("browser_sessions")
    op.drop_table("passkey_challenges")
    op.drop_table("passkeys")
