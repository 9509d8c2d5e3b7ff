"""Where a benchmark works and how it tells: a database of its own, a table with the goal beside each figure, JSON."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

from api.app import open_service
from api.database import migrate
from api.engines import Bounded, FaceEngines, WhenNeeded
from api.service import Service
from api.settings import Settings
from lab.bench import Figure, table, write_json
from liveness.errors import EngineError
from liveness.evidence import FaceEmbedder, FaceFinder

T = TypeVar("T")


def report(about: str | None, measure: Callable[[int], Sequence[Figure]], *, count: int, noun: str) -> None:
    """Run ``measure`` with the count from the command line; print its figures, and write them with ``--json``."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("count", nargs="?", type=int, default=count, help=f"{noun} (default {count})")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    figures = measure(options.count)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    if options.json is not None:
        write_json(figures, machine, options.json)
    sys.stdout.write(table(figures, machine) + "\n")


@contextmanager
def fresh_service() -> Iterator[Service]:
    """A service without models, with new keys, on an embedded PostgreSQL as it is installed: what commits is on the disk."""

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
        migrate(settings)
        with open_service(settings, faces=faces) as service:
            yield service


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds, and what came of it."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def p95(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]
