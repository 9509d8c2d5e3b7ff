"""How long searches take over many events. ``python -m tests.api.audit_search_bench EVENTS``; tests are never timed.

Prints the 95th percentile of each kind of search, in ms, over events, attempts and their terms on the embedded PostgreSQL.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

from sqlalchemy import text

from api.audit_search import SearchKind, search
from api.database import Database, embedded_server, new_engine, upgrade
from api.storage_audit import Sought
from tests.api.conftest import fresh_database, postgres_folder

_ROUNDS = 40
_EVENTS = """
INSERT INTO audit_events (event_id, at, action, actor_role, actor_id, subject_id, consent_id, object_id, shown, more)
SELECT 'evt_' || md5(n::text), timestamptz '2027-01-01' + n * interval '1 second', 'audit:consent:read', 'auditor', 'apk_1',
       'sub_' || md5((n % 5000)::text), 'cns_' || md5((n % 9000)::text), 'obj_' || n, '[]', '{}'
  FROM generate_series(1, :n) AS n
"""
_ATTEMPTS = """
INSERT INTO attempts (attempt_id, at, caller, backend, stage, purpose, job_sha256, claimed)
SELECT 'att_' || md5(n::text), timestamptz '2027-01-01' + n * interval '1 second', 'apk_1', 'b' || n % 20, 'evaluation',
       'cameo', md5(n::text), jsonb_build_object('consents', jsonb_build_array('cns_' || md5((n % 9000)::text)))
  FROM generate_series(1, :n) AS n
"""
_OUTCOMES = """
INSERT INTO outcomes (attempt_id, at, decision, reasons)
SELECT attempt_id, at, false, '[{"code": "unknown_face"}]' FROM attempts
"""


def main(events: int) -> None:
    now = datetime(2028, 1, 1, tzinfo=UTC)
    searches = {
        "everything": Sought(),
        "subject": Sought(subject_id="sub_c4ca4238a0b923820dcc509a6f75849b"),
        "consent": Sought(consent_id="cns_c4ca4238a0b923820dcc509a6f75849b"),
        "backend": Sought(backend="b7"),
        "common reason": Sought(reason="unknown_face", backend="b7"),
        "reason of nobody": Sought(reason="replay"),
    }
    with postgres_folder() as folder, embedded_server(folder / "data") as server, fresh_database(server) as url:
        upgrade(url)
        database = Database(url, new_engine(url))
        with database.engine.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            for statement in (_EVENTS, _ATTEMPTS, _OUTCOMES):
                connection.execute(text(statement), {"n": events} if ":n" in statement else {})
        for name, sought in searches.items():
            took = []
            for _ in range(_ROUNDS):
                began = time.perf_counter()
                with database.transaction() as store:
                    search(store, sought, list(SearchKind), now=now, cursor=None, most=50)
                took.append(1000 * (time.perf_counter() - began))
            sys.stdout.write(f"{name:20} p95 {sorted(took)[int(0.95 * _ROUNDS)]:8.1f} ms\n")
        database.engine.dispose()


if __name__ == "__main__":
    main(int(sys.argv[1]))
