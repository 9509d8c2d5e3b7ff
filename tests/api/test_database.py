"""Migrations up, down and up again, the embedded PostgreSQL, and the service's own keys at rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from alembic import command
from sqlalchemy import create_engine, text
from sqlalchemy.exc import TimeoutError
from sqlalchemy.pool import NullPool

import api.database
from api.auth import create_api_key
from api.database import (
    LINES,
    Database,
    DatabaseUnavailable,
    SchemaOutdated,
    alembic_config,
    downgrade,
    open_database,
    require_schema,
    upgrade,
)
from api.files import FolderFiles
from api.keys import KeysInvalid, Unsealable, open_keys, seal, unseal
from api.media import Erased, Sealed, Vault
from api.service import Service
from api.settings import SETTINGS, Settings, SettingsInvalid, read_settings
from api.storage import Store
from api.tables import APPEND_ONLY
from tests.api.conftest import fresh_database, owner_of, postgres_folder

NOW = datetime(2027, 1, 1, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pg_folder() -> Iterator[Path]:
    with postgres_folder() as folder:
        yield folder


@pytest.mark.service
def test_migrations_go_up_and_down_and_up_without_drift(server: str) -> None:
    with fresh_database(server) as url:
        engine = create_engine(url)
        upgrade(url)
        command.check(alembic_config(url))
        with engine.connect() as connection:
            up = set(connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")))
        assert {*APPEND_ONLY, "procrastinate_jobs", "liveness_sessions"} <= up
        downgrade(url)
        with engine.connect() as connection:
            left = set(connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")))
            made = connection.scalar(
                text(
                    "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = 'public'"
                )
            )
            kinds = connection.scalar(
                text(
                    "SELECT count(*) FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace "
                    "WHERE nspname = 'public' AND typtype IN ('e', 'c') AND typname NOT LIKE 'alembic%'"
                )
            )
        assert (left, made, kinds) == ({"alembic_version"}, 0, 0)
        upgrade(url)
        command.check(alembic_config(url))
        with engine.connect() as connection:
            again = set(connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")))
        assert again == up
        engine.dispose()


@pytest.mark.service
def test_migrating_twice_at_once_is_migrating_once(server: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with fresh_database(server) as url, ThreadPoolExecutor(3) as pool:
        code = "import sys; from api.database import upgrade; upgrade(sys.argv[1])"
        run = [sys.executable, "-c", code, url]
        done = list(pool.map(lambda _: subprocess.run(run, cwd=ROOT, capture_output=True, text=True), range(3)))
        assert [each.returncode for each in done] == [0, 0, 0], done[0].stderr


@pytest.mark.service
def test_the_embedded_server_ends_with_its_last_user_even_after_a_crash(pg_folder: Path) -> None:
    settings = Settings(var=pg_folder / "var")
    with open_database(settings) as first:
        pid_file = settings.var / "postgres" / "postmaster.pid"
        users = settings.var / "postgres" / ".handle_pids.json"
        users.write_text(json.dumps([*json.loads(users.read_text()), 4_000_000]))  # a user that was killed
        with first.engine.connect() as connection:
            assert connection.scalar(text("SELECT current_database()")) == "mien"
        assert pid_file.exists()
    assert not pid_file.exists()


@pytest.mark.service
def test_a_key_can_be_made_before_anything_else_ran(pg_folder: Path) -> None:
    secret = create_api_key(Settings(var=pg_folder / "var"), role="app", name="first")
    assert secret.startswith("mien_app_")


def line_of(database: Database, statement: str = "SELECT pg_backend_pid()") -> int:
    with database.line() as line:
        found = line._raw.execute(statement.encode()).fetchone()
        assert found is not None
        return int(found[0])


@pytest.mark.service
def test_a_connection_of_the_gate_is_kept_until_it_is_broken_or_closed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = line_of(database)
    assert line_of(database) == first
    with database.line() as line:  # left in the middle of something
        line._raw.execute(b"BEGIN")
        line._raw.execute(b"SELECT pg_advisory_xact_lock(7)")
    assert line_of(database) == first
    assert line_of(database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0

    monkeypatch.setattr(api.database, "_REST_S", -1.0)  # everything has rested
    with owner_of(database).begin() as owner:
        owner.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": first})
    second = line_of(database)
    assert second != first
    assert line_of(database) == second
    with pytest.raises(psycopg.OperationalError), database.line() as line:  # broken in the middle
        line._raw.execute(b"SELECT pg_terminate_backend(pg_backend_pid())")
    assert line_of(database) not in (first, second)
    database.engine.dispose()
    assert line_of(database) != second


@pytest.mark.service
def test_who_finds_no_free_connection_waits_for_one_and_not_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.database, "_LINE_WITHIN_S", 0.05)
    with ExitStack() as taken:
        for _ in range(LINES):
            taken.enter_context(database.line())
        with pytest.raises(TimeoutError), database.line():
            pass
    assert len({line_of(database) for _ in range(3)}) == 1


def test_a_database_that_does_not_answer_is_said_in_one_line() -> None:
    settings = Settings(database_url="postgresql+psycopg://u:hunter2@127.0.0.1:1/db")
    with pytest.raises(DatabaseUnavailable) as caught, open_database(settings):
        pass
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


# --- the service's own keys ------------------------------------------------------------------------------------------


def test_keys_are_made_once_for_their_owner_only(tmp_path: Path) -> None:
    settings = Settings(keys=tmp_path / "deep" / "keys.json")
    first, second = open_keys(settings, now=NOW), open_keys(settings, now=NOW)
    assert first.active.kid == second.active.kid
    assert first.masters == second.masters
    assert first.blinding == second.blinding
    assert settings.keys.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in settings.keys.parent.iterdir()] == ["keys.json"]
    assert "PRIVATE" not in repr(first)


def test_a_key_file_that_others_may_read_stops_the_start(tmp_path: Path) -> None:
    settings = Settings(keys=tmp_path / "keys.json")
    open_keys(settings, now=NOW)
    os.chmod(settings.keys, 0o644)
    with pytest.raises(KeysInvalid, match="chmod 600"):
        open_keys(settings, now=NOW)


@pytest.mark.parametrize("content", ["", "{}", "null", '{"version": 1}', "\x00\xff"])
def test_a_damaged_key_file_stops_the_start_and_is_never_overwritten(tmp_path: Path, content: str) -> None:
    settings = Settings(keys=tmp_path / "keys.json")
    settings.keys.write_text(content, encoding="latin-1")
    settings.keys.chmod(0o600)
    with pytest.raises(KeysInvalid) as caught:
        open_keys(settings, now=NOW)
    assert "\n" not in str(caught.value)
    assert settings.keys.read_text(encoding="latin-1") == content


def test_keys_may_come_from_the_environment(tmp_path: Path) -> None:
    made = open_keys(Settings(keys=tmp_path / "keys.json"), now=NOW)
    given = Settings(keys=tmp_path / "none.json", keys_json=(tmp_path / "keys.json").read_text())
    assert open_keys(given, now=NOW).active.kid == made.active.kid
    assert not (tmp_path / "none.json").exists()


def test_what_is_sealed_opens_only_as_what_it_is() -> None:
    key = b"k" * 32
    closed = seal(key, b"a face", about="portrait|1")
    assert unseal(key, closed, about="portrait|1") == b"a face"
    for attack in ((key, closed, "portrait|2"), (b"x" * 32, closed, "portrait|1"), (key, closed[:-1], "portrait|1")):
        with pytest.raises(Unsealable):
            unseal(attack[0], attack[1], about=attack[2])
    for place in range(len(closed)):
        flipped = bytearray(closed)
        flipped[place] ^= 1
        with pytest.raises(Unsealable):
            unseal(key, bytes(flipped), about="portrait|1")


def folder_of(service: Service) -> Path:
    """Where sealed files lie."""
    assert isinstance(service.vault.files, FolderFiles)
    return service.vault.files.folder


@contextmanager
def rolled_back(service: Service) -> Iterator[Store]:
    """A transaction that fails at its end."""

    class Fault(Exception):
        pass

    with suppress(Fault), service.database.transaction() as store:
        yield store
        raise Fault


@pytest.mark.service
def test_a_file_put_in_anothers_place_does_not_open(service: Service) -> None:
    vault: Vault = service.vault
    now = service.now()
    with service.database.transaction() as store:
        key = vault.new_key(store, owner="cns_1", now=now)
        one, other = (
            vault.put(store, bytes([n]) * 100_000, kind=Sealed.CAPTURE, data_key_id=key, now=now) for n in (1, 2)
        )
    files = {path.name: path for path in folder_of(service).glob("*/*")}
    assert bytes([1]) * 100 not in files[one].read_bytes()
    files[one].write_bytes(files[other].read_bytes())
    with service.database.transaction() as store, pytest.raises(Unsealable):
        vault.get(store, one, owner="cns_1")


@pytest.mark.service
def test_a_transaction_that_fails_erases_nothing(service: Service) -> None:
    vault, now = service.vault, service.now()
    with service.database.transaction() as store:
        key = vault.new_key(store, owner="cns_1", now=now)
        sealed_id = vault.put(store, b"x" * 100_000, kind=Sealed.CLIP, data_key_id=key, now=now)
    with rolled_back(service) as store:
        vault.destroy_key(store, key, now=now)
    with service.database.transaction() as store:
        assert vault.get(store, sealed_id, owner="cns_1") == b"x" * 100_000
        vault.destroy_key(store, key, now=now)
    with service.database.transaction() as store, pytest.raises(Erased):
        vault.get(store, sealed_id, owner="cns_1")


@pytest.mark.service
def test_files_of_transactions_that_never_came_through_are_swept(service: Service) -> None:
    vault, now = service.vault, service.now()
    with service.database.transaction() as store:
        key = vault.new_key(store, owner="cns_1", now=now)
        kept = vault.put(store, b"x" * 100_000, kind=Sealed.CLIP, data_key_id=key, now=now)
    with rolled_back(service) as store:
        vault.put(store, b"y" * 100_000, kind=Sealed.CLIP, data_key_id=key, now=now)
    files = list(folder_of(service).glob("*/*"))
    assert len(files) == 2
    for path in files:
        os.utime(path, (0, 0))
    with service.database.transaction() as store:
        assert vault.sweep_orphans(store, now=now) == 1
    assert [path.name for path in folder_of(service).glob("*/*")] == [kept]


# --- settings --------------------------------------------------------------------------------------------------------


def test_settings_have_sound_defaults() -> None:
    settings = read_settings({})
    assert settings == Settings()
    assert (settings.host, settings.policy, settings.minimum_assurance) == ("127.0.0.1", "strict", "web")


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({"MIEN_POLCY": "strict"}, "MIEN_POLCY"),
        ({"MIEN_POLICY": "lenient"}, "MIEN_POLICY"),
        ({"MIEN_PORT": "0"}, "MIEN_PORT"),
        ({"MIEN_PORT": "http"}, "MIEN_PORT"),
        ({"MIEN_MINIMUM_ASSURANCE": "none"}, "MIEN_MINIMUM_ASSURANCE"),
        ({"MIEN_DATABASE_URL": "mysql://u:hunter2@h/db"}, "MIEN_DATABASE_URL"),
        ({"MIEN_ACCEPT_NONCOMMERCIAL": "maybe"}, "MIEN_ACCEPT_NONCOMMERCIAL"),
    ],
)
def test_a_wrong_setting_stops_the_start_by_name(environment: dict[str, str], names: str) -> None:
    with pytest.raises(SettingsInvalid, match=names) as caught:
        read_settings(environment)
    assert "hunter2" not in str(caught.value)


def test_settings_keep_secrets_out_of_their_repr() -> None:
    shown = repr(read_settings({"MIEN_DATABASE_URL": "postgresql://u:hunter2@h/db", "MIEN_KEYS_JSON": "hunter3"}))
    assert "hunter" not in shown


def test_every_setting_is_described() -> None:
    assert all(setting.help for setting in SETTINGS)
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)


@pytest.mark.service
def test_who_does_not_migrate_works_on_its_own_schema_and_on_the_next_one(server: str) -> None:
    with fresh_database(server) as url:
        database = Database(url, create_engine(url, poolclass=NullPool), url)
        with pytest.raises(SchemaOutdated, match="at migration none"):
            require_schema(database)
        upgrade(url, target="0014")
        with pytest.raises(SchemaOutdated, match=r"at migration 0014, .* is needed; run: mien migrate"):
            require_schema(database)
        upgrade(url)
        require_schema(database)
        with database.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = 'of a release to come'"))
        require_schema(database)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MIEN_")}
        with database.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '0014'"))
        ended = subprocess.run(
            [sys.executable, "-m", "api.cli", "worker", "--no-migrate", "--queues", "deliver"],
            cwd=ROOT, env=environment | {"MIEN_DATABASE_URL": url}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (ended.returncode, ended.stderr.split(":")[1].strip()) == (3, "schema_outdated"), ended.stderr


def test_the_key_file_is_made_once_without_a_database(tmp_path: Path) -> None:
    keys = tmp_path / "deep" / "keys.json"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIEN_")}
    made = []
    for _ in range(2):
        ended = subprocess.run(
            [sys.executable, "-m", "api.cli", "keys", "init"],
            cwd=tmp_path, env=environment | {"MIEN_KEYS": str(keys), "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert json.loads(ended.stdout) == {"keys": str(keys)}
        made.append(keys.read_bytes())
    assert made[0] == made[1]
    assert keys.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["deep"]
