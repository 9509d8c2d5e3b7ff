"""Where a benchmark works and how it tells: a database of its own, a table with the goal beside each figure, JSON."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from api.app import open_service
from api.database import migrate, open_database
from api.engines import Bounded, FaceEngines, WhenNeeded
from api.service import Service
from api.settings import Settings
from lab.bench import Figure, table, write_json
from liveness.errors import EngineError
from liveness.evidence import FaceEmbedder, FaceFinder

T = TypeVar("T")


def report(
    about: str | None,
    measure: Callable[..., Sequence[Figure]],
    *,
    count: int,
    noun: str,
    options: argparse.ArgumentParser | None = None,
) -> None:
    """Run ``measure`` with the count from the command line, and with what ``options`` take by name; print its figures, and
    write them with ``--json``."""
    parser = argparse.ArgumentParser(description=about, parents=[] if options is None else [options])
    parser.add_argument("count", nargs="?", type=int, default=count, help=f"{noun} (default {count})")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = vars(parser.parse_args())
    json, count = given.pop("json"), given.pop("count")
    figures = measure(count, **given)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    if json is not None:
        write_json(figures, machine, json)
    sys.stdout.write(table(figures, machine) + "\n")


@contextmanager
def fresh_service(*, postgres: Mapping[str, str] | None = None) -> Iterator[Service]:
    """A service without models, with new keys, on an embedded PostgreSQL as it is installed: what commits is on the disk.

    ``postgres``: settings of the server that differ, such as ``shared_buffers``.
    """

    def none() -> object:
        raise EngineError("benchmarks open no model")

    faces = FaceEngines(
        finder=cast("FaceFinder", WhenNeeded(none)),
        embedder=cast("FaceEmbedder", WhenNeeded(none)),
        languages=frozenset(),
        bound=Bounded(1),
    )
    with tempfile.TemporaryDirectory(prefix="mien-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # run as root, PostgreSQL is another user
        settings = Settings(var=Path(folder) / "var", keys=Path(folder) / "keys.json")
        if postgres:
            with open_database(settings) as database:
                _configure(database.owner_url, postgres)  # it stops after this, and starts with them
        migrate(settings)
        with open_service(settings, faces=faces) as service:
            yield service


def _configure(owner_url: str, postgres: Mapping[str, str]) -> None:
    engine = create_engine(owner_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name, value in postgres.items():
            connection.execute(text(f"ALTER SYSTEM SET {name} = '{value}'"))
    engine.dispose()


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds, and what came of it."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def p95(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]
