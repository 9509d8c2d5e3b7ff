"""Audit search: ``python -m benchmarks.audit_search EVENTS``. The 95th percentile of each kind of search.

Over that many events, as many attempts with their outcomes and search terms, and a fiftieth as many consents. A search is as
an auditor's: records, attempts and events in one list, its first page and a page deep inside. Who searches also asks who was
on the page, since people are told who looked.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from api.audit_search import SearchKind, search
from api.service import Service
from api.storage_audit import Sought
from benchmarks.report import fresh_service, p95, report, timed
from lab.bench import Figure

_EVENTS = 1_000_000
_ROUNDS = 40
_PAGE = 50
_START = datetime(2027, 1, 1, tzinfo=UTC)
_NOW = datetime(2028, 6, 1, tzinfo=UTC)
_CONSENTS = """
INSERT INTO consents (consent_id, subject_id, app_key_id, session_id, challenge_id, salt, data_key_id, granted_at, expires_at,
                      revoked_at)
SELECT 'cns_' || md5(n::text), 'sub_' || md5((n % :subjects)::text), 'apk_1', 'ses_' || md5(n::text), 'chl_1', '', 'dky_1',
       timestamptz '2027-01-01' + n * interval '20 seconds', timestamptz '2029-01-01',
       CASE WHEN n % 10 = 0 THEN timestamptz '2028-01-01' END
  FROM generate_series(0, :consents - 1) AS n
"""
_CONSENT_EVENTS = """
INSERT INTO consent_events (consent_id, number, body, record, ledger_index, at)
SELECT consent_id, 0, convert_to('{"event_state": "given"}', 'UTF8'), 'e.y.J', row_number() OVER (), granted_at FROM consents
UNION ALL
SELECT consent_id, 1, convert_to('{"event_state": "withdrawn"}', 'UTF8'), 'e.y.J', -row_number() OVER (), revoked_at
  FROM consents WHERE revoked_at IS NOT NULL
"""
_AUDIT_EVENTS = """
INSERT INTO audit_events (event_id, at, action, actor_role, actor_id, subject_id, consent_id, backend, object_id, shown, more)
SELECT 'evt_' || md5(n::text), timestamptz '2027-01-01' + n * interval '1 second',
       (ARRAY['audit:consent:read', 'audit:search:run', 'audit:evidence:exported'])[1 + n % 3], 'auditor', 'apk_' || n % 7,
       'sub_' || md5((n % :subjects)::text), 'cns_' || md5((n % :consents)::text), NULL, 'obj_' || n, '[]', '{}'
  FROM generate_series(1, :events) AS n
"""
_ATTEMPTS = """
INSERT INTO attempts (attempt_id, at, caller, backend, stage, purpose, job_sha256, claimed)
SELECT 'att_' || md5(n::text), timestamptz '2027-01-01' + n * interval '1 second', 'apk_1', 'b' || n % 20, 'evaluation',
       'cameo', md5(n::text), jsonb_build_object('consents', jsonb_build_array('cns_' || md5((n % :consents)::text)))
  FROM generate_series(1, :events) AS n
"""
_OUTCOMES = """
INSERT INTO outcomes (attempt_id, at, decision, reasons, permit_id)
SELECT attempt_id, at, n % 3 = 0,
       CASE WHEN n % 3 = 0 THEN '[]'::jsonb WHEN n % 1000 = 1 THEN '[{"code": "gate_error"}]'
            WHEN n % 5000 = 2 THEN '[{"code": "scope_words"}]' ELSE '[{"code": "unknown_face"}]' END,
       CASE WHEN n % 3 = 0 THEN 'prm_' || md5(n::text) END
  FROM (SELECT attempt_id, at, extract(epoch FROM at - timestamptz '2027-01-01')::bigint AS n FROM attempts) AS a
"""
_PERMITS = """
INSERT INTO permits (permit_id, attempt_id, backend, purpose, job_sha256, issued_at, expires_at, redeemed_at, checked_at)
SELECT o.permit_id, a.attempt_id, a.backend, a.purpose, a.job_sha256, a.at, a.at, a.at, a.at
  FROM outcomes o JOIN attempts a USING (attempt_id) WHERE o.decision
"""
_PERMIT_CONSENTS = """
INSERT INTO permit_consents (permit_id, consent_id, event_number)
SELECT p.permit_id, a.claimed->'consents'->>0, 0 FROM permits p JOIN attempts a USING (attempt_id)
"""
_OUTPUTS = """
UPDATE permits SET output_sha256 = encode(sha256(permit_id::bytea), 'hex') WHERE issued_at < timestamptz '2027-01-02'
"""
_ONE_OUTPUT = "SELECT output_sha256 FROM permits WHERE output_sha256 IS NOT NULL LIMIT 1"


def main() -> None:
    report(__doc__, measure, count=_EVENTS, noun="audit events, and as many attempts")


def measure(count: int) -> list[Figure]:
    """The 95th percentile of each search."""
    with fresh_service() as service:
        owner = create_engine(service.database.owner_url, poolclass=NullPool)
        with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            seconds, output = timed(lambda: _fill(connection, count))
        figures = [Figure(what=f"(making {count:,} events and as many attempts)", value=seconds, unit="s")]
        figures += _searches(service, count, output)
    return figures


def _fill(connection: Connection, count: int) -> str:
    """Rows without the live checks that they would refer to. Counts and terms are made as the migration makes them of what is
    there: triggers, a row at a time, would take an hour."""
    values = {"events": count, "consents": max(1, count // 50), "subjects": max(1, count // 100)}
    counted = import_module("migrations.versions.0010_audit_events_and_the_books_of_the_gate").WHAT_IS_THERE
    rows = (_CONSENTS, _CONSENT_EVENTS, _AUDIT_EVENTS, _ATTEMPTS, _OUTCOMES, _PERMITS, _PERMIT_CONSENTS, _OUTPUTS)
    for statement in ("SET session_replication_role = replica", *rows, *counted, "VACUUM ANALYZE"):
        wanted = {name: value for name, value in values.items() if f":{name}" in statement}
        connection.execute(text(statement), wanted)
    return str(connection.scalar(text(_ONE_OUTPUT)))


def _searches(service: Service, count: int, output: str) -> list[Figure]:
    subject, consent = "sub_c4ca4238a0b923820dcc509a6f75849b", "cns_c4ca4238a0b923820dcc509a6f75849b"
    middle = _START + timedelta(seconds=count // 2)
    searches = {
        "everything": Sought(),
        "a day in the middle": Sought(since=middle, until=middle + timedelta(days=1)),
        "a person": Sought(subject_id=subject),
        "a consent": Sought(consent_id=consent),
        "a backend": Sought(backend="b7"),
        "a common reason": Sought(reason="unknown_face"),
        "a rare reason": Sought(reason="scope_words"),
        "a rare reason at a backend": Sought(reason="scope_words", backend="b7"),
        "a reason of nobody": Sought(reason="replay"),
        "a common state": Sought(state="refusal"),
        "state of attempts: error": Sought(state="error"),
        "state of records: withdrawn": Sought(state="withdrawn"),
        "state of records: expired": Sought(state="expired"),
        "a person's refusals at a backend": Sought(subject_id=subject, backend="b7", reason="unknown_face"),
        "a backend's permits": Sought(backend="b7", state="permit"),
        "records that a backend used": Sought(backend="b19"),
        "an output's hash": Sought(output_sha256=output),
        "an output that is none": Sought(output_sha256="0" * 64),
        "an actor": Sought(actor_id="apk_3"),
        "an action": Sought(action="audit:evidence:exported"),
        "an action of an actor": Sought(action="audit:evidence:exported", actor_id="apk_3"),
        "an authority": Sought(authority="self"),
    }
    return [_measured(service, name, sought) for name, sought in searches.items()]


def _measured(service: Service, name: str, sought: Sought) -> Figure:
    """First pages, and the pages after them, each as often."""
    took: list[float] = []
    for _ in range(_ROUNDS):
        cursor: str | None = None
        for _ in range(2):
            seconds, cursor = timed(lambda at=cursor: _page(service, sought, at))  # type: ignore[misc]
            took.append(1000 * seconds)
            if cursor is None:
                break
    return Figure(what=f"search: {name} (p95)", value=p95(took), unit="ms", goal="<= 300")


def _page(service: Service, sought: Sought, cursor: str | None) -> str | None:
    with service.database.transaction() as store:
        page = search(store, sought, list(SearchKind), now=_NOW, cursor=cursor, most=_PAGE)
        page.subjects(store)
    return page.next


if __name__ == "__main__":
    main()
