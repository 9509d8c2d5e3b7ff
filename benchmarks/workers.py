"""How much more is done by two worker processes on one database than by one. ``python -m benchmarks.workers 60 --json OUT``

Clips are a second of one colour, so that what is measured is the queue, the gate, the marks and the database, not drawing; on a
machine with two cores two workers share them with PostgreSQL. The ratio is what to look at.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fastapi.testclient import TestClient
from sqlalchemy import text

from api.app import create_app
from api.auth import Role
from api.capacity import capacity_of, this_machine
from api.service import Service
from benchmarks.report import report
from lab.bench import Figure
from tests.api.conftest import World
from tests.api.processes import own_service, running
from tests.api.test_clips import ordered
from tests.api.test_worker import WallClock

_GIVE_UP_S = 600.0


def main() -> None:
    report(__doc__, measure, count=60, noun="clips for each number of workers")


def measure(count: int) -> Sequence[Figure]:
    """Clips a second with one worker and with two, and their ratio."""
    with own_service() as (service, _), TestClient(create_app(service)) as client:
        world = World(client, service, WallClock(), {Role.APP.value: ""})
        world.keys[Role.APP.value] = world.key(Role.APP, "bench")
        one, two = (_rate(world, workers, count) for workers in (1, 2))
    return [
        Figure(what="clips of one colour, 1 worker", value=one, unit="/s"),
        Figure(what="clips of one colour, 2 workers", value=two, unit="/s"),
        Figure(what="2 workers do more than 1", value=two / one, unit="x"),
    ]


def _rate(world: World, workers: int, count: int) -> float:
    lanes = len(capacity_of(this_machine()).lanes)
    token = world.token(world.consent(world.shown_live(subject_ref=f"user-{workers}")), "portrait")
    with tempfile.TemporaryDirectory() as logs, running(world.service, Path(logs), apis=0, workers=workers):
        _until(
            lambda: (
                _count(
                    world.service,
                    "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - interval '2 s'",
                )
                >= lanes * workers
            )
        )
        warm = [ordered(world, [token]) for _ in range(2 * workers)]
        _until(lambda: _done(world.service, warm) == len(warm))
        clips = [ordered(world, [token]) for _ in range(count)]
        # the first may be done before the last is ordered: only what is done from here on counts
        began, before = time.perf_counter(), _done(world.service, clips)
        _until(lambda: _done(world.service, clips) == count)
        return (count - before) / (time.perf_counter() - began)


def _until(what: Callable[[], bool]) -> None:
    ends = time.monotonic() + _GIVE_UP_S
    while not what():
        if time.monotonic() > ends:
            raise TimeoutError("the workers do not come to an end")
        time.sleep(0.02)


def _done(service: Service, clips: list[str]) -> int:
    return _count(service, "SELECT count(*) FROM clips WHERE state = 'done' AND clip_id = ANY(:clips)", clips=clips)


def _count(service: Service, query: str, **values: object) -> int:
    with service.database.engine.connect() as connection:
        return int(connection.scalar(text(query), values) or 0)


if __name__ == "__main__":
    main()
