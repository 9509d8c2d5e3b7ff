"""The queue: jobs on the same PostgreSQL, deferred inside the transaction that writes the row they serve."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector

from api.storage import Store

MOST_TRIES = 3
"""Of one job, also when a try ended because the worker was killed: a job that kills workers must come to an end."""


class Task(StrEnum):
    """What the worker does. Each takes one id and may run twice: only the first run's result is kept."""

    JUDGE = "judge"
    RENDER = "render"
    DELIVER = "deliver"


class Queue:
    """For the process that defers. Holds no connection of its own."""

    def __init__(self) -> None:
        self._app = App(connector=SyncPsycopgConnector())

    def judge(self, store: Store, challenge_id: str) -> None:
        self._defer(store, Task.JUDGE, challenge_id=challenge_id)

    def render(self, store: Store, clip_id: str) -> None:
        self._defer(store, Task.RENDER, clip_id=clip_id)

    def deliver(self, store: Store, delivery_id: str, *, tried: int, at: datetime | None) -> None:
        """``at``: not before; ``None``: now."""
        self._defer(store, Task.DELIVER, at=at, delivery_id=delivery_id, tried=tried)

    def _defer(self, store: Store, task: Task, *, at: datetime | None = None, **arguments: str | int) -> None:
        # judging first: a person is waiting in front of a camera
        priority = 10 if task is Task.JUDGE else 0
        job = self._app.configure_task(
            task, allow_unknown=True, queue=task.value, priority=priority, connection=store.connection, schedule_at=at
        )
        job.defer(**arguments)


def worker_app(conninfo: str) -> App:
    """For the worker: the same queue, with a pool of its own."""
    return App(connector=PsycopgConnector(conninfo=conninfo, min_size=2, max_size=6))
