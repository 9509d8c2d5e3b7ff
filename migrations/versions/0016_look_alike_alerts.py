"""look-alike alerts: who wants to be told, what is to be looked up, and who is told

The previous release must still work on this schema: everything here is new, and nothing old points at it. The codes that are
searched need the extension ``vector``, which not every server has; their table is made apart (``api.look_alike_index``), only
where the operator switched the feature on, and refers to ``look_alike_choices``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "look_alike_choices",
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.consent_id"], name=op.f("fk_look_alike_choices_consent_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.subject_id"], name=op.f("fk_look_alike_choices_subject_id")),
        sa.PrimaryKeyConstraint("consent_id", name=op.f("pk_look_alike_choices")),
    )
    op.create_index("ix_look_alike_choices_subject_id", "look_alike_choices", ["subject_id"])
    op.create_table(
        "look_alike_lookups",
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("asker", sa.Text(), nullable=False),
        sa.Column("data_key_id", sa.Text(), nullable=False),
        sa.Column("faces_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.attempt_id"], name=op.f("fk_look_alike_lookups_attempt_id")),
        sa.ForeignKeyConstraint(
            ["data_key_id"], ["data_keys.data_key_id"], name=op.f("fk_look_alike_lookups_data_key_id")
        ),
        sa.ForeignKeyConstraint(["faces_id"], ["sealed.sealed_id"], name=op.f("fk_look_alike_lookups_faces_id")),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_look_alike_lookups")),
    )
    op.create_index("ix_look_alike_lookups_asker_at", "look_alike_lookups", ["asker", "at"])
    op.create_index("ix_look_alike_lookups_at", "look_alike_lookups", ["at"])
    op.create_table(
        "look_alike_alerts",
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tell_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["consent_id"], ["consents.consent_id"], name=op.f("fk_look_alike_alerts_consent_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.subject_id"], name=op.f("fk_look_alike_alerts_subject_id")),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.attempt_id"], name=op.f("fk_look_alike_alerts_attempt_id")),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_look_alike_alerts")),
        sa.UniqueConstraint("consent_id", "attempt_id", name=op.f("uq_look_alike_alerts_consent_id_attempt_id")),
    )
    op.create_index("ix_look_alike_alerts_subject_id_tell_at", "look_alike_alerts", ["subject_id", "tell_at"])
    op.create_index(
        "ix_look_alike_alerts_untold", "look_alike_alerts", ["tell_at"], postgresql_where=sa.text("told_at IS NULL")
    )


def downgrade() -> None:
    op.execute("DROP TABLE IF EXISTS mien_look_alikes.people")
    op.drop_table("look_alike_alerts")
    op.drop_table("look_alike_lookups")
    op.drop_table("look_alike_choices")
