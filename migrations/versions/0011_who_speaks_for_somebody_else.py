"""who speaks for somebody else: claims, their papers, what happened to them, and what people said in their lifetime

The previous release must still work on this schema: everything here is new, and nothing old points at it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

KEEP = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mien_service') THEN
        REVOKE UPDATE, DELETE ON authority_events FROM mien_service;
    END IF;
END;
$$
"""


def upgrade() -> None:
    op.create_table(
        "authority_cases",
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("app_key_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_state", sa.Text(), nullable=False),
        sa.Column("jurisdiction", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("data_key_id", sa.Text(), nullable=False),
        sa.Column("body_id", sa.Text(), nullable=False),
        sa.Column("files_key_id", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("window_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.subject_id"], name=op.f("fk_authority_cases_subject_id")),
        sa.ForeignKeyConstraint(["app_key_id"], ["api_keys.key_id"], name=op.f("fk_authority_cases_app_key_id")),
        sa.ForeignKeyConstraint(
            ["data_key_id"], ["data_keys.data_key_id"], name=op.f("fk_authority_cases_data_key_id")
        ),
        sa.ForeignKeyConstraint(["body_id"], ["sealed.sealed_id"], name=op.f("fk_authority_cases_body_id")),
        sa.ForeignKeyConstraint(
            ["files_key_id"], ["data_keys.data_key_id"], name=op.f("fk_authority_cases_files_key_id")
        ),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_authority_cases")),
    )
    op.create_index("ix_authority_cases_subject_id", "authority_cases", ["subject_id"], unique=False)
    op.create_index("ix_authority_cases_stage_window_to", "authority_cases", ["stage", "window_to"], unique=False)
    op.create_table(
        "authority_files",
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("party_id", sa.Text(), nullable=True),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("content_id", sa.Text(), nullable=True),
        sa.Column("templates_id", sa.Text(), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["authority_cases.case_id"], name=op.f("fk_authority_files_case_id")),
        sa.ForeignKeyConstraint(["content_id"], ["sealed.sealed_id"], name=op.f("fk_authority_files_content_id")),
        sa.ForeignKeyConstraint(["templates_id"], ["sealed.sealed_id"], name=op.f("fk_authority_files_templates_id")),
        sa.PrimaryKeyConstraint("file_id", name=op.f("pk_authority_files")),
        sa.UniqueConstraint("session_id", name=op.f("uq_authority_files_session_id")),
    )
    op.create_index("ix_authority_files_case_id", "authority_files", ["case_id"], unique=False)
    op.create_table(
        "authority_events",
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("case_sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["authority_cases.case_id"], name=op.f("fk_authority_events_case_id")),
        sa.PrimaryKeyConstraint("case_id", "number", name=op.f("pk_authority_events")),
    )
    op.execute(  # of the statement, not of each row: it is refused also where it would change nothing
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON authority_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(KEEP)
    op.create_table(
        "directives",
        sa.Column("directive_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.subject_id"], name=op.f("fk_directives_subject_id")),
        sa.PrimaryKeyConstraint("directive_id", name=op.f("pk_directives")),
        sa.UniqueConstraint("session_id", name=op.f("uq_directives_session_id")),
    )
    op.create_index("ix_directives_subject_id_at", "directives", ["subject_id", "at"], unique=False)


def downgrade() -> None:
    op.drop_table("directives")
    op.drop_table("authority_events")
    op.drop_table("authority_files")
    op.drop_table("authority_cases")
