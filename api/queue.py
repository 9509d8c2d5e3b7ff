"""The queue: jobs on the same PostgreSQL, deferred inside the transaction that writes the row they serve.

Each kind of job has a queue of its own, so that workers can be told which kinds they take. Within a queue the highest priority
goes first, then the oldest. See :func:`clip_priority` for how apps share.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import procrastinate
from procrastinate import PsycopgConnector, SyncPsycopgConnector

from api.storage import Store

MOST_TRIES = 3
"""Of one job, also when a try ended because the worker was killed: a job that kills workers must come to an end. A worker that
is told to stop gives its jobs back, which is no try."""

OLD_RENDER_QUEUE = "render"
"""Where the release before put every clip that is made here; its jobs are still taken."""

_JUDGE_FIRST = 10
_MOST_WAITING = 10_000
_LOW = -2 * _MOST_WAITING


class Task(StrEnum):
    """What the worker does. Each takes one id and may run twice: only the first run's result is kept."""

    JUDGE = "judge"
    RENDER = "render"
    REMOTE = "remote"
    DELIVER = "deliver"
    SWEEP = "sweep"
    LOOK_UP = "look_up"


class JobKind(StrEnum):
    """What there is a queue of, by its name."""

    JUDGE = "judge"
    PORTRAIT = "portrait"
    STORY = "story"
    CAMEO = "cameo"
    REMOTE = "remote"
    DELIVER = "deliver"
    HOUSEKEEPING = "housekeeping"


MADE_HERE = (JobKind.PORTRAIT, JobKind.STORY, JobKind.CAMEO)
"""Clips that take a core and memory of this machine."""


def clip_priority(waiting: int, *, low: bool) -> int:
    """Of a clip whose app has ``waiting`` other clips in the queue.

    An app's second clip waits behind everybody's first, its tenth behind everybody's ninth: whoever orders a thousand at once
    delays mostly itself. ``low`` is behind everything that is not.
    """
    return (_LOW if low else 0) - min(waiting, _MOST_WAITING)


class Queue:
    """For the process that defers. Holds no connection of its own."""

    def __init__(self) -> None:
        self._app = procrastinate.App(connector=SyncPsycopgConnector())

    def judge(self, store: Store, challenge_id: str) -> None:
        """First of all: a person is waiting in front of a camera."""
        self._defer(store, Task.JUDGE, JobKind.JUDGE, priority=_JUDGE_FIRST, challenge_id=challenge_id)

    def make(self, store: Store, clip_id: str, kind: str, *, priority: int = 0) -> None:
        """A clip of that kind. One that a vendor makes has a queue of its own: it waits long and costs nothing here."""
        job_kind = JobKind(kind)
        task = Task.REMOTE if job_kind is JobKind.REMOTE else Task.RENDER
        self._defer(store, task, job_kind, priority=priority, clip_id=clip_id)

    def deliver(self, store: Store, delivery_id: str, *, tried: int, at: datetime | None) -> None:
        """``at``: not before; ``None``: now."""
        self._defer(store, Task.DELIVER, JobKind.DELIVER, at=at, delivery_id=delivery_id, tried=tried)

    def look_up(self, store: Store, attempt_id: str) -> None:
        """Faces of a refused question, for people who want to be told of look-alikes. In no hurry: beside the messages."""
        self._defer(store, Task.LOOK_UP, JobKind.DELIVER, attempt_id=attempt_id)

    def _defer(
        self,
        store: Store,
        task: Task,
        kind: JobKind,
        *,
        priority: int = 0,
        at: datetime | None = None,
        **arguments: str | int,
    ) -> None:
        job = self._app.configure_task(
            task, allow_unknown=True, queue=kind.value, priority=priority, connection=store.connection, schedule_at=at
        )
        job.defer(**arguments)


def worker_app(conninfo: str) -> procrastinate.App:
    """For the worker: the same queue, with a pool of its own."""
    return procrastinate.App(connector=PsycopgConnector(conninfo=conninfo, min_size=2, max_size=6))


def house_app(app: procrastinate.App) -> procrastinate.App:
    """Beside a worker's, on the same pool: for what is done by the clock. Every lane of an app sees to its clock, so this has
    a single lane."""
    return procrastinate.App(connector=app.connector)


async def take_over(app: procrastinate.App, silent_s: float) -> list[int]:
    """Put back the jobs of workers that were silent for so long; gives their ids. Which worker does it does not matter: it is
    one statement, so a job that another put back, and that runs again, is not put back twice."""
    rows = await app.connector.execute_query_all_async(_PUT_BACK, silent_s=silent_s, job_ids=[], tries=1)
    await app.job_manager.prune_stalled_workers(silent_s)
    return [int(row["id"]) for row in rows]


async def still_here(app: procrastinate.App, job_ids: list[int]) -> None:
    """Say so for who works on these. Procrastinate says it only until it is told to stop; jobs may take longer than that."""
    if job_ids:
        await app.connector.execute_query_async(_STILL_HERE, job_ids=job_ids)


async def give_back(app: procrastinate.App, job_ids: list[int]) -> None:
    """Jobs of our own that were begun and are not finished: for somebody else, at once. It does not count as a try."""
    if job_ids:
        await app.connector.execute_query_async(_PUT_BACK, silent_s=None, job_ids=job_ids, tries=0)


_PUT_BACK = """
WITH left_behind AS (
    SELECT id, queueing_lock FROM procrastinate_jobs AS job
    WHERE status = 'doing' AND (id = ANY(%(job_ids)s) OR %(silent_s)s::float8 IS NOT NULL AND NOT EXISTS (
        SELECT FROM procrastinate_workers AS worker
        WHERE worker.id = job.worker_id AND worker.last_heartbeat >= now() - make_interval(secs => %(silent_s)s::float8)
    ))
    FOR UPDATE
), needless AS (
    DELETE FROM procrastinate_jobs WHERE id IN (
        SELECT left_behind.id FROM left_behind JOIN procrastinate_jobs AS waiting USING (queueing_lock)
        WHERE waiting.status = 'todo'
    )
    RETURNING id
)
UPDATE procrastinate_jobs SET status = 'todo', attempts = attempts + %(tries)s, worker_id = NULL
WHERE id IN (SELECT id FROM left_behind) AND id NOT IN (SELECT id FROM needless)
RETURNING id
"""
"""Of a kind of which only one may wait, such as keeping house, and of which one waits already, what was left behind is let go:
put back it would be the second, which the database refuses, and with it all the others; left, it would keep out the one that
waits."""

_STILL_HERE = """
UPDATE procrastinate_workers SET last_heartbeat = now()
WHERE id IN (SELECT worker_id FROM procrastinate_jobs WHERE id = ANY(%(job_ids)s) AND status = 'doing')
"""
