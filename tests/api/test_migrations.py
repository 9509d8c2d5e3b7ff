"""What the first release wrote survives every migration, up, down and up again, and the service goes on with it.

``first_release.json`` has the rows that release 0.1.0 wrote under a story: Alice consented, narrowed, and was used once; Bob
revoked; Carol consented. Its service had made-up keys, which are here. Nobody is depicted: people are colours.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from fastapi.testclient import TestClient
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from api.app import create_app, open_service
from api.database import Database, alembic_config, as_service, downgrade, new_engine, upgrade
from api.engines import FaceEngines
from api.ledger import catch_up
from api.service import Service, wall_clock
from api.settings import Settings
from api.sweeping import sweep
from api.tables import Base
from api.written import verify_books
from consent.errors import ReceiptInvalid
from consent.keys import SigningKey
from consent.ledger import verify_receipt
from consent.record import read_record
from likeness.provenance import new_authority
from tests.api.conftest import Clock, World, fresh_database
from tests.api.test_consents import revoke

pytestmark = pytest.mark.service

FIRST: dict[str, Any] = json.loads((Path(__file__).parent / "first_release.json").read_text(encoding="utf-8"))
SAID = FIRST["said"]
ROWS: dict[str, list[dict[str, Any]]] = {  # what others refer to comes first
    table.name: FIRST["tables"][table.name] for table in Base.metadata.sorted_tables if table.name in FIRST["tables"]
}
VERSIONS = Path(__file__).parents[2] / "migrations" / "versions"
REVISIONS = sorted(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*.py"))
_LATER_COLUMNS = {"challenges": {"path", "extra_time", "reveal", "client_signs", "attestation", "live_log"},
                  "liveness_sessions": {"device"}}  # fmt: skip
_LATER_TABLES = {"device_keys", "fingerprints"}


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """The first release's database, with what it wrote."""
    with fresh_database(server) as url:
        upgrade(url, target="0001")
        with owner(url) as engine, engine.begin() as connection:
            for table, rows in ROWS.items():
                for row in rows if table not in _LATER_TABLES else []:
                    insert(connection, table, row)
        yield url


@contextmanager
def closing_engine(engine: Engine) -> Iterator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def owner(url: str) -> Iterator[Engine]:
    with closing_engine(create_engine(url, poolclass=NullPool)) as engine:
        yield engine


def insert(connection: Connection, table: str, row: dict[str, Any]) -> None:
    """Only the columns that the row has, as a release does that knows no others."""
    there = set(
        connection.scalars(
            text(
                "SELECT column_name FROM information_schema.columns WHERE table_name = :t AND table_schema = 'public'"
            ),
            {"t": table},
        )
    )
    columns = ", ".join(sorted(set(row) & there))
    statement = f"INSERT INTO {table} ({columns}) SELECT {columns} FROM json_populate_record(NULL::{table}, :row)"  # noqa: S608
    connection.execute(text(statement), {"row": json.dumps(row)})


def lost(url: str) -> list[str]:
    """Every value of the first release that is not there any more."""
    found = []
    with owner(url) as engine, engine.connect() as connection:
        for table, rows in ROWS.items():
            if table in _LATER_TABLES:
                continue
            there = [dict(row) for row in connection.scalars(text(f"SELECT row_to_json(t) FROM {table} t"))]  # noqa: S608
            for row in rows:
                wanted = {name: value for name, value in row.items() if name not in _LATER_COLUMNS.get(table, ())}
                if not any(all(one.get(name) == value for name, value in wanted.items()) for one in there):
                    found.append(f"{table}: {wanted}")
    return found


def revision_of(url: str) -> str | None:
    with owner(url) as engine, engine.connect() as connection:
        return connection.scalar(text("SELECT version_num FROM alembic_version"))


@pytest.fixture
def first_keys(tmp_path: Path) -> Path:
    """The key file of that service, in the form that it had; the certificates are of today."""
    path = tmp_path / "first-keys.json"
    content = {
        "version": 1,
        "signing": [SigningKey.from_seed(b"1" * 32).to_pem()],
        "master": base64.b64encode(b"2" * 32).decode(),
        "authority": asdict(new_authority(wall_clock())),
    }
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    return path


Opened = Callable[[str], Any]


@pytest.fixture
def opened(first_keys: Path, tmp_path: Path, faces: FaceEngines, clock: Clock) -> Opened:
    """A context of this release's service on a database, an hour after the story; its callers have the keys of then."""

    @contextmanager
    def open_world(url: str) -> Iterator[World]:
        settings = Settings(
            database_url=as_service(url), var=tmp_path / "var", weights=tmp_path / "weights", keys=first_keys
        )
        database = Database(as_service(url), new_engine(as_service(url)), url)
        with (
            closing_engine(database.engine),
            open_service(settings, faces=faces, now=clock, database=database) as service,
            TestClient(create_app(service)) as client,
        ):
            yield World(client, service, clock, dict(SAID["keys"]))

    clock.move(1800)
    return open_world


def narrow(world: World, consent: dict[str, Any]) -> Any:
    path = f"/v1/consents/{consent['consent_id']}/narrow"
    return world.call("POST", path, consent["manage_token"], json={"audience": ["studio"]})


def holds(service: Service) -> tuple[int, bytes]:
    """Size and root of the log, once it was verified with all that was written down under it."""
    catch_up(service)
    with service.database.transaction() as store:
        found = verify_books(store, service.keys.public)
    assert found.written.checked + found.written.unlinkable == found.log.size
    return found.log.size, found.log.root


def test_there_are_migrations_for_all_of_these() -> None:
    assert [
        script.revision for script in reversed(list(ScriptDirectory.from_config(alembic_config("")).walk_revisions()))
    ] == REVISIONS


def test_what_the_first_release_kept_goes_on(url: str, opened: Opened) -> None:
    upgrade(url)
    command.check(alembic_config(url))
    assert lost(url) == []
    with opened(url) as world:
        sweep(world.service)
        assert holds(world.service)[0] == 5
        for name, state in (("alice", "given"), ("bob", "withdrawn"), ("carol", "given")):
            consent = SAID[name]
            path = f"/v1/consents/{consent['consent_id']}"
            shown = world.call("GET", path, consent["manage_token"])
            assert shown.status_code == 200, shown.text
            assert (shown.json()["state"], SAID["shown"][name]["state"]) == (state, state)
            assert shown.json()["record"] == SAID["shown"][name]["record"]
            assert read_record(shown.json()["record"], world.service.keys.public).consent_id == consent["consent_id"]
            with pytest.raises(ReceiptInvalid) as outdated:
                verify_receipt(json.dumps(consent["receipt"]), world.service.keys.public)
            assert outdated.value.code == "receipt_outdated"
            assert verify_receipt(json.dumps(shown.json()["receipt"]), world.service.keys.public).entry.index < 5
        alice, bobs = SAID["alice"], SAID["bobs_photo"]
        token = world.token(alice)
        assert world.ask(tokens=[token], media=[SAID["photo"]])["decision"] is True
        assert world.ask(tokens=[token], media=[bobs])["decision"] is False
        body = {"audience": "studio", "purpose": "digital_double", "ttl_s": 600}
        assert (
            world.call("POST", f"/v1/consents/{SAID['bob']['consent_id']}/tokens", "app", json=body).status_code >= 400
        )
        books = world.call("GET", "/v1/audit/balance?recount=true", "auditor").json()
        assert (books["attempts"], books["permits"], books["refusals"], books["holds"]) == (5, 2, 3, True)
        found = world.call("GET", f"/v1/audit/search?consent={alice['consent_id']}&kind=attempt", "auditor").json()
        assert len(found["results"]) == 4, "questions of before are found by consent too"
        output = world.call("GET", f"/v1/audit/search?output_sha256={'cd' * 32}&kind=attempt", "auditor").json()
        assert len(output["results"]) == 1
        assert revoke(world, alice).status_code == 200
        assert world.ask(tokens=[token], media=[SAID["photo"]])["decision"] is False
        assert holds(world.service)[0] == 12


def test_what_was_there_before_is_found_by_the_same_terms_as_what_came_after(url: str) -> None:
    """The migration writes them all at once, a trigger for each question: they must say the same."""
    upgrade(url)
    by_trigger = (
        "SELECT t.term, a.at, a.attempt_id FROM attempts a, LATERAL terms_of_attempt(a) t UNION "
        "SELECT 'state:' || o.kind, a.at, a.attempt_id FROM attempts a JOIN outcomes o USING (attempt_id)"
    )
    with owner(url) as engine, engine.connect() as connection:
        wanted = set(connection.execute(text(by_trigger)))
        found = set(connection.execute(text("SELECT term, at, attempt_id FROM attempt_terms")))
    assert {term.partition(":")[0] for term, _, _ in wanted} == {"backend", "consent", "subject", "state"}
    assert wanted <= found
    assert {term.partition(":")[0] for term, _, _ in found - wanted} <= {"reason", "output"}


def test_down_to_the_first_release_and_up_again_loses_nothing_of_it(url: str, opened: Opened) -> None:
    upgrade(url)
    with opened(url) as world:
        assert narrow(world, SAID["carol"]).status_code == 200
        before = holds(world.service)
    downgrade(url, target="0001")
    assert lost(url) == []
    upgrade(url)
    command.check(alembic_config(url))
    with opened(url) as world:
        assert holds(world.service) == before
        assert narrow(world, SAID["carol"]).json()["code"] == "not_narrower", "it is already"


def test_no_revision_loses_a_value_up_down_and_up(url: str) -> None:
    for before, revision in pairwise(REVISIONS):
        upgrade(url, target=revision)
        assert lost(url) == [], f"{revision} up"
        downgrade(url, target=before)
        assert lost(url) == [], f"{revision} down"
        upgrade(url, target=revision)
        assert lost(url) == [], f"{revision} up again"
    command.check(alembic_config(url))


def test_what_waits_to_be_counted_is_counted_when_the_schema_goes_back(server: str) -> None:
    """The release before knows no waiting: its triggers had counted it."""
    row = (
        "INSERT INTO attempts VALUES ('att_1', '2027-03-01', 'apk_1', 'studio', 'evaluation', 'cameo', 'ab', "
        '\'{"consents": ["cns_1"]}\')'
    )
    answer = (
        "INSERT INTO outcomes (attempt_id, at, decision, reasons) "
        "VALUES ('att_1', '2027-03-01', false, '[{\"code\": \"no_token\"}]')"
    )
    counts = "SELECT kind, reason, count FROM gate_counts ORDER BY 1, 2"
    terms = "SELECT term FROM attempt_terms ORDER BY 1"
    with fresh_database(server) as url:
        upgrade(url)
        with owner(url) as engine:
            with engine.begin() as connection:
                connection.execute(text(row))
                connection.execute(text(answer))
                connection.execute(text("INSERT INTO attempt_entries (attempt_id, at) VALUES ('att_1', '2027-03-01')"))
            downgrade(url, target="0014")
            with engine.connect() as connection:
                assert [tuple(one) for one in connection.execute(text(counts))] == [
                    ("attempt", "", 1),
                    ("refusal", "", 1),
                    ("refusal", "no_token", 1),
                ]
                found = list(connection.scalars(text(terms)))
            assert found == ["backend:studio", "consent:cns_1", "reason:no_token", "state:refusal"]


# --- while the release before still runs -----------------------------------------------------------------------------


def test_rows_as_the_release_before_writes_them_go_into_the_new_schema(server: str, opened: Opened) -> None:
    """Column by column, as the service's role, into a schema that knows more; triggers and keys stay on."""
    with fresh_database(server) as url:
        upgrade(url)
        with closing_engine(new_engine(as_service(url))) as engine, engine.begin() as connection:
            for table, rows in ROWS.items():
                for row in rows:
                    insert(connection, table, row)
        assert lost(url) == []
        with opened(url) as world:
            sweep(world.service)
            assert holds(world.service)[0] == 5
            books = world.call("GET", "/v1/audit/balance?recount=true", "auditor").json()
            assert (books["attempts"], books["permits"], books["refusals"], books["holds"]) == (3, 1, 2, True)


# --- online ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "before", "revision"),
    [("ledger_entries", "0004", "0005"), ("consents", "0006", "0007"), ("outcomes", "0009", "0010")],
)
def test_a_migration_that_does_not_get_its_lock_gives_up_whole_and_can_be_run_again(
    url: str, table: str, before: str, revision: str
) -> None:
    """Somebody reads the table for long. Whoever waits for its lock makes everybody after wait: it gives up instead."""
    upgrade(url, target=before)
    with owner(url) as engine, engine.connect() as reading:
        reading.execute(text(f"SELECT count(*) FROM {table}"))  # noqa: S608
        with pytest.raises(DBAPIError, match="lock timeout"):
            upgrade(url, target=revision)
        assert revision_of(url) == before
        assert lost(url) == []
    upgrade(url)
    assert revision_of(url) == REVISIONS[-1]
    command.check(alembic_config(url))
    assert lost(url) == []


def test_a_migration_that_failed_keeps_no_lock(url: str) -> None:
    with owner(url) as engine:
        with engine.connect() as other:
            other.execute(text("SELECT count(*) FROM ledger_entries"))
            with pytest.raises(DBAPIError):
                upgrade(url)
        with engine.connect() as connection:
            held = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE datname = current_database()"
            assert connection.scalar(text(f"{held} AND locktype = 'advisory'")) == 0
    upgrade(url)
