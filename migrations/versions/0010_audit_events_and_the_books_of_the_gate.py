"""audit events, and the books of the gate: counted, searchable, in the log

The previous release must still work on this schema: what it does not write is made by the database. ``kind`` of an outcome is
generated; counts and search terms are written by triggers; a permit it gives has had its outcome written before. Attempts it
writes have no entry in the log.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

KIND = (
    "CASE WHEN decision THEN 'permit'::text"
    """ WHEN reasons @> '[{"code": "gate_error"}]'::jsonb THEN 'error'::text"""
    " ELSE 'refusal'::text END"
)
EVENTS_BY = ("action", "actor_id", "subject_id", "consent_id", "backend", "object_id", "reason")

# rows are taken in one order everywhere, so that two transactions never wait for each other
BOOK_ATTEMPT = """
CREATE FUNCTION book_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO gate_counts AS c (day, backend, kind, reason, count)
    VALUES ((NEW.at AT TIME ZONE 'UTC')::date, NEW.backend, 'attempt', '', 1)
    ON CONFLICT (day, backend, kind, reason) DO UPDATE SET count = c.count + 1;
    INSERT INTO attempt_terms (term, at, attempt_id) SELECT t.term, NEW.at, NEW.attempt_id FROM terms_of_attempt(NEW) t;
    RETURN NULL;
END;
$$
"""
TERMS_OF_ATTEMPT = """
CREATE FUNCTION terms_of_attempt(one attempts) RETURNS TABLE (term text) LANGUAGE sql STABLE AS $$
    SELECT 'backend:' || one.backend
    UNION SELECT 'consent:' || claimed.id FROM jsonb_array_elements_text(one.claimed->'consents') AS claimed(id)
    UNION SELECT 'subject:' || c.subject_id FROM consents c
          WHERE c.consent_id IN (SELECT jsonb_array_elements_text(one.claimed->'consents'))
$$
"""
BOOK_OUTCOME = """
CREATE FUNCTION book_outcome() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE asked attempts%ROWTYPE;
BEGIN
    SELECT * INTO asked FROM attempts WHERE attempt_id = NEW.attempt_id;
    INSERT INTO gate_counts AS c (day, backend, kind, reason, count)
    SELECT (asked.at AT TIME ZONE 'UTC')::date, asked.backend, NEW.kind, r.reason, 1
      FROM (SELECT '' AS reason UNION SELECT e->>'code' FROM jsonb_array_elements(NEW.reasons) AS e) AS r
     ORDER BY r.reason
    ON CONFLICT (day, backend, kind, reason) DO UPDATE SET count = c.count + 1;
    INSERT INTO attempt_terms (term, at, attempt_id)
    SELECT 'state:' || NEW.kind, asked.at, NEW.attempt_id
    UNION SELECT 'reason:' || (e->>'code'), asked.at, NEW.attempt_id FROM jsonb_array_elements(NEW.reasons) AS e;
    RETURN NULL;
END;
$$
"""
BOOK_OUTPUT = """
CREATE FUNCTION book_output() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO attempt_terms (term, at, attempt_id)
    SELECT 'output:' || NEW.output_sha256, a.at, a.attempt_id FROM attempts a WHERE a.attempt_id = NEW.attempt_id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END;
$$
"""
WHAT_IS_THERE = (
    "INSERT INTO gate_counts (day, backend, kind, reason, count) "
    "SELECT (at AT TIME ZONE 'UTC')::date, backend, 'attempt', '', count(*) FROM attempts GROUP BY 1, 2",
    "INSERT INTO gate_counts (day, backend, kind, reason, count) "
    "SELECT (a.at AT TIME ZONE 'UTC')::date, a.backend, o.kind, r.reason, count(*) FROM attempts a "
    "JOIN outcomes o USING (attempt_id), LATERAL "
    "(SELECT '' AS reason UNION SELECT e->>'code' FROM jsonb_array_elements(o.reasons) AS e) AS r GROUP BY 1, 2, 3, 4",
    # what terms_of_attempt says of each row, said of all at once: a call for each takes ten times as long
    "INSERT INTO attempt_terms (term, at, attempt_id) "
    "SELECT 'backend:' || backend AS term, at, attempt_id FROM attempts "
    "UNION SELECT 'consent:' || claimed.id, a.at, a.attempt_id FROM attempts a, "
    "LATERAL jsonb_array_elements_text(a.claimed->'consents') AS claimed(id) "
    "UNION SELECT 'subject:' || c.subject_id, a.at, a.attempt_id FROM attempts a, "
    "LATERAL jsonb_array_elements_text(a.claimed->'consents') AS claimed(id) "
    "JOIN consents c ON c.consent_id = claimed.id ORDER BY term, at, attempt_id",
    "INSERT INTO attempt_terms (term, at, attempt_id) "
    "SELECT 'state:' || o.kind, a.at, a.attempt_id FROM attempts a JOIN outcomes o USING (attempt_id) "
    "UNION SELECT 'reason:' || (e->>'code'), a.at, a.attempt_id FROM attempts a JOIN outcomes o USING (attempt_id), "
    "LATERAL jsonb_array_elements(o.reasons) AS e",
    "INSERT INTO attempt_terms (term, at, attempt_id) "
    "SELECT 'output:' || p.output_sha256, a.at, a.attempt_id FROM permits p JOIN attempts a USING (attempt_id) "
    "WHERE p.output_sha256 IS NOT NULL",
)

KEEP = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mien_service') THEN
        REVOKE UPDATE, DELETE ON audit_events FROM mien_service;
    END IF;
END;
$$
"""


def upgrade() -> None:
    # counting what is there takes longer than any other statement may: two minutes or so for a million questions
    op.execute("SET LOCAL statement_timeout = 0")
    op.add_column("outcomes", sa.Column("kind", sa.Text(), sa.Computed(KIND, persisted=True), nullable=False))
    op.create_unique_constraint(op.f("uq_outcomes_attempt_id_permit_id"), "outcomes", ["attempt_id", "permit_id"])
    op.create_check_constraint("ck_outcomes_permit", "outcomes", "decision = (permit_id IS NOT NULL)")
    op.create_check_constraint("ck_outcomes_reasons", "outcomes", "decision = (jsonb_array_length(reasons) = 0)")
    op.add_column("permits", sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True))
    op.create_foreign_key(
        op.f("fk_permits_attempt_id_permit_id"),
        "permits",
        "outcomes",
        ["attempt_id", "permit_id"],
        ["attempt_id", "permit_id"],
    )
    op.create_index("ix_permits_issued_at", "permits", ["issued_at"], postgresql_where=sa.text("checked_at IS NULL"))
    op.create_index("ix_permits_backend_permit_id", "permits", ["backend", "permit_id"])
    op.create_index("ix_attempts_at_attempt_id", "attempts", ["at", "attempt_id"])
    op.create_table(
        "gate_counts",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "backend", "kind", "reason", name=op.f("pk_gate_counts")),
    )
    op.create_table(
        "attempt_terms",
        sa.Column("term", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("term", "at", "attempt_id", name=op.f("pk_attempt_terms")),
    )
    op.create_table(
        "attempt_entries",
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=True),
        sa.Column("attempt_index", sa.BigInteger(), nullable=False),
        sa.Column("outcome_index", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.attempt_id"], name=op.f("fk_attempt_entries_attempt_id")),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_attempt_entries")),
        sa.UniqueConstraint("attempt_index", name=op.f("uq_attempt_entries_attempt_index")),
        sa.UniqueConstraint("outcome_index", name=op.f("uq_attempt_entries_outcome_index")),
    )
    op.create_index(
        "ix_attempt_entries_open", "attempt_entries", ["at"], postgresql_where=sa.text("outcome_index IS NULL")
    )
    op.create_table(
        "audit_events",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor_role", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=True),
        sa.Column("subject_id", sa.Text(), nullable=True),
        sa.Column("consent_id", sa.Text(), nullable=True),
        sa.Column("backend", sa.Text(), nullable=True),
        sa.Column("object_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("shown", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("more", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_audit_events")),
    )
    op.create_index("ix_audit_events_at_event_id", "audit_events", ["at", "event_id"])
    for name in EVENTS_BY:
        op.create_index(f"ix_audit_events_{name}_at", "audit_events", [name, "at", "event_id"])
    op.create_index(
        "ix_audit_events_shown",
        "audit_events",
        ["shown"],
        postgresql_using="gin",
        postgresql_ops={"shown": "jsonb_path_ops"},
    )
    op.create_table(
        "openings",
        sa.Column("opening_id", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("subjects", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ticket", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("views", sa.Integer(), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("approved_by <> requested_by", name="ck_openings_two_people"),
        sa.ForeignKeyConstraint(["requested_by"], ["api_keys.key_id"], name=op.f("fk_openings_requested_by")),
        sa.ForeignKeyConstraint(["approved_by"], ["api_keys.key_id"], name=op.f("fk_openings_approved_by")),
        sa.PrimaryKeyConstraint("opening_id", name=op.f("pk_openings")),
    )
    op.create_table(
        "audit_views",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("query", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.key_id"], name=op.f("fk_audit_views_key_id")),
        sa.PrimaryKeyConstraint("key_id", "name", name=op.f("pk_audit_views")),
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_events FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON audit_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(KEEP)
    for function in (TERMS_OF_ATTEMPT, BOOK_ATTEMPT, BOOK_OUTCOME, BOOK_OUTPUT):
        op.execute(function)
    for statement in WHAT_IS_THERE:
        op.execute(statement)
    op.execute("CREATE TRIGGER book AFTER INSERT ON attempts FOR EACH ROW EXECUTE FUNCTION book_attempt()")
    op.execute("CREATE TRIGGER book AFTER INSERT ON outcomes FOR EACH ROW EXECUTE FUNCTION book_outcome()")
    op.execute(
        "CREATE TRIGGER book_output AFTER UPDATE OF output_sha256 ON permits FOR EACH ROW "
        "WHEN (NEW.output_sha256 IS NOT NULL) EXECUTE FUNCTION book_output()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER book_output ON permits")
    op.execute("DROP TRIGGER book ON outcomes")
    op.execute("DROP TRIGGER book ON attempts")
    for function in ("book_output()", "book_outcome()", "book_attempt()", "terms_of_attempt(attempts)"):
        op.execute(f"DROP FUNCTION {function}")
    for table in ("audit_views", "openings", "audit_events", "attempt_entries", "attempt_terms", "gate_counts"):
        op.drop_table(table)
    op.drop_index("ix_attempts_at_attempt_id", table_name="attempts")
    op.drop_index("ix_permits_backend_permit_id", table_name="permits")
    op.drop_index("ix_permits_issued_at", table_name="permits")
    op.drop_constraint(op.f("fk_permits_attempt_id_permit_id"), "permits", type_="foreignkey")
    op.drop_column("permits", "checked_at")
    op.drop_constraint("ck_outcomes_reasons", "outcomes", type_="check")
    op.drop_constraint("ck_outcomes_permit", "outcomes", type_="check")
    op.drop_constraint(op.f("uq_outcomes_attempt_id_permit_id"), "outcomes", type_="unique")
    op.drop_column("outcomes", "kind")
