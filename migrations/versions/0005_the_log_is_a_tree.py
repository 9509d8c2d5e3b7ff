"""the log is a tree

Subtrees, checkpoints and cosignatures beside the entries, and a role for the service that cannot change what is append-only.
The entries stay as they are: the service puts those that are not in the tree yet into it at its next append or sweep, also
the ones that the previous release goes on to append. That release still works on this schema: it writes ``previous`` and
``entry_hash``, which may now be empty. Going back computes them for the entries that have none.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NEW = ("log_nodes", "log_checkpoints", "log_cosignatures")

# Whoever may not create roles (a managed database) has the role made beforehand, or goes on with the triggers alone.
MAKE_ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mien_service') THEN
        CREATE ROLE mien_service NOLOGIN;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN RAISE NOTICE 'role mien_service is missing and may not be created here';
    WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of this server was quicker
END;
$$
"""
GRANT = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mien_service') THEN
        GRANT USAGE ON SCHEMA public TO mien_service;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO mien_service;
        GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO mien_service;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO mien_service;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO mien_service;
        REVOKE UPDATE, DELETE ON consent_events, ledger_entries, attempts, outcomes FROM mien_service;
        REVOKE UPDATE, DELETE ON log_nodes, log_checkpoints, log_cosignatures FROM mien_service;
        REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM mien_service;
    END IF;
END;
$$
"""
UNGRANT = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mien_service') THEN
        ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM mien_service;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON SEQUENCES FROM mien_service;
        REVOKE ALL ON ALL TABLES IN SCHEMA public FROM mien_service;
        REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM mien_service;
        REVOKE ALL ON SCHEMA public FROM mien_service;
    END IF;
END;
$$
"""


def upgrade() -> None:
    op.alter_column("ledger_entries", "previous", nullable=True)
    op.alter_column("ledger_entries", "entry_hash", nullable=True)
    op.create_table(
        "log_nodes",
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("node_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "node_index", name=op.f("pk_log_nodes")),
    )
    op.create_table(
        "log_checkpoints",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_log_checkpoints")),
    )
    op.create_table(
        "log_cosignatures",
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("witness", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("stated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["size"], ["log_checkpoints.size"], name=op.f("fk_log_cosignatures_size")),
        sa.PrimaryKeyConstraint("size", "witness", name=op.f("pk_log_cosignatures")),
    )
    for table in NEW:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    op.execute(MAKE_ROLE)
    op.execute(GRANT)


def downgrade() -> None:
    op.execute(UNGRANT)  # the role stays: other databases of the server may use it
    for table in reversed(NEW):
        op.drop_table(table)
    op.execute("ALTER TABLE ledger_entries DISABLE TRIGGER append_only")
    _chain()
    op.execute("ALTER TABLE ledger_entries ENABLE TRIGGER append_only")
    op.alter_column("ledger_entries", "previous", nullable=False)
    op.alter_column("ledger_entries", "entry_hash", nullable=False)


def _chain() -> None:
    """The hash chain of the first release, from the first entry that is not in it."""
    bind = op.get_bind()
    last = bind.execute(
        sa.text(
            "SELECT entry_hash FROM ledger_entries WHERE entry_index < coalesce((SELECT min(entry_index) "
            "FROM ledger_entries WHERE entry_hash IS NULL), 0) ORDER BY entry_index DESC LIMIT 1"
        )
    ).scalar()
    rows = bind.execute(
        sa.text(
            "SELECT entry_index, at, kind, digest FROM ledger_entries WHERE entry_index >= "
            "(SELECT min(entry_index) FROM ledger_entries WHERE entry_hash IS NULL) ORDER BY entry_index"
        )
    ).all()
    previous = last or "0" * 64
    for index, at, kind, digest in rows:
        when = at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
        entry = {"at": when, "digest": digest, "index": index, "kind": kind, "ledger": "mien-ledger-1"}
        content = json.dumps(entry | {"previous": previous}, sort_keys=True, separators=(",", ":"))
        found = hashlib.sha256(content.encode()).hexdigest()
        bind.execute(
            sa.text("UPDATE ledger_entries SET previous = :previous, entry_hash = :found WHERE entry_index = :index"),
            {"previous": previous, "found": found, "index": index},
        )
        previous = found
