"""the gate writes questions and answers down, and they are counted and put into the log in batches

The previous release must still work on this schema. It puts its own questions into the log itself, as before; counting is what
triggers did for it, who now note what is to be counted. Its sums are those of a moment ago.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

NOTE = """
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO gate_waiting (attempt_id, what) VALUES (NEW.attempt_id, '{what}');
    RETURN NULL;
END;
$$
"""
FIGURES = """
CREATE VIEW gate_figures AS
SELECT day, backend, kind, reason, count FROM gate_counts
UNION ALL
SELECT (a.at AT TIME ZONE 'UTC')::date, a.backend, 'attempt', '', 1
  FROM gate_waiting w JOIN attempts a USING (attempt_id) WHERE w.what = 'attempt'
UNION ALL
SELECT (a.at AT TIME ZONE 'UTC')::date, a.backend, o.kind, r.reason, 1
  FROM gate_waiting w JOIN attempts a USING (attempt_id) JOIN outcomes o USING (attempt_id),
       LATERAL (SELECT '' AS reason UNION SELECT e->>'code' FROM jsonb_array_elements(o.reasons) AS e) AS r
 WHERE w.what = 'outcome'
"""
# as migration 0010 has them
BOOK_ATTEMPT = """
CREATE OR REPLACE FUNCTION book_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO gate_counts AS c (day, backend, kind, reason, count)
    VALUES ((NEW.at AT TIME ZONE 'UTC')::date, NEW.backend, 'attempt', '', 1)
    ON CONFLICT (day, backend, kind, reason) DO UPDATE SET count = c.count + 1;
    INSERT INTO attempt_terms (term, at, attempt_id) SELECT t.term, NEW.at, NEW.attempt_id FROM terms_of_attempt(NEW) t;
    RETURN NULL;
END;
$$
"""
BOOK_OUTCOME = """
CREATE OR REPLACE FUNCTION book_outcome() RETURNS trigger LANGUAGE plpgsql AS $$
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
COUNT_WHAT_WAITS = (
    "INSERT INTO attempt_terms (term, at, attempt_id) SELECT t.term, a.at, a.attempt_id "
    "FROM gate_waiting w JOIN attempts a USING (attempt_id), LATERAL terms_of_attempt(a) t WHERE w.what = 'attempt'",
    "INSERT INTO attempt_terms (term, at, attempt_id) SELECT t.term, a.at, a.attempt_id "
    "FROM gate_waiting w JOIN attempts a USING (attempt_id) JOIN outcomes o USING (attempt_id), LATERAL "
    "(SELECT 'state:' || o.kind AS term UNION SELECT 'reason:' || (e->>'code') FROM jsonb_array_elements(o.reasons) AS e) t "
    "WHERE w.what = 'outcome'",
    "CREATE TEMPORARY TABLE summed ON COMMIT DROP AS "
    "SELECT day, backend, kind, reason, sum(count) AS count FROM gate_figures GROUP BY 1, 2, 3, 4",
    "DROP VIEW gate_figures",
    "DELETE FROM gate_counts",
    "INSERT INTO gate_counts (day, backend, kind, reason, count) SELECT day, backend, kind, reason, count FROM summed",
    "DROP TABLE gate_waiting",
    # without an entry in the log, as questions of before there were entries
    "DELETE FROM attempt_entries WHERE attempt_index IS NULL",
)


def upgrade() -> None:
    op.create_table(
        "gate_waiting",
        sa.Column("number", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_gate_waiting")),
    )
    op.alter_column("attempt_entries", "attempt_index", nullable=True)
    op.execute(FIGURES)
    op.execute(NOTE.format(function="book_attempt", what="attempt"))
    op.execute(NOTE.format(function="book_outcome", what="outcome"))


def downgrade() -> None:
    op.execute("SET LOCAL statement_timeout = 0")
    op.execute(BOOK_ATTEMPT)
    op.execute(BOOK_OUTCOME)
    for statement in COUNT_WHAT_WAITS:
        op.execute(statement)
    op.alter_column("attempt_entries", "attempt_index", nullable=False)
