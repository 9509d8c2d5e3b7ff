"""The worker: takes jobs off the queue, one judgement and one clip at a time, and finishes what a killed worker left.

A worker says every two seconds that it is there. Jobs of one that went silent are put back, at start and every few seconds;
what such a job had written decides whether anything is left to do (see :mod:`api.judging` and :mod:`api.rendering`). On
SIGINT or SIGTERM no new job is taken, running ones get a moment, and what is still running then is left to the next worker.

Recordings are examined in a process of their own (see :mod:`api.judge_process`); here no byte that somebody handed in is
decoded for judging.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import procrastinate
from procrastinate import JobContext, RetryStrategy

from api.app import open_service
from api.database import Database, open_database, upgrade
from api.engines import Bounded, open_face_engines
from api.judge_process import JudgeProcess
from api.judging import Examiner, Judges, judge_challenge
from api.notices import CONSENT_CHANNEL, Notices
from api.queue import MOST_TRIES, Task, worker_app
from api.rendering import Renderers, open_renderers, render_clip
from api.service import Service, log_to_stderr
from api.settings import Settings
from api.sweeping import sweep
from api.webhooks import deliver

log = logging.getLogger("mien.worker")

_GRACE_S = 4.0  # for running jobs, when asked to stop
_AT_ONCE = {Task.DELIVER: 8}  # a receiver that hangs holds a place for 15 s; judging and making clips take a core each


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What jobs are done with."""

    service: Service
    judges: Judges
    renderers: Renderers


def open_workshop(service: Service, examiner: Examiner) -> Workshop:
    """Raises: WeightsError."""
    return Workshop(
        service=service,
        judges=Judges(examiner=examiner, bound=Bounded(1)),
        renderers=open_renderers(service.settings, service.faces),
    )


def run(settings: Settings, *, migrate: bool = True) -> int:
    """Work until told to stop; gives the exit code.

    Raises: DatabaseUnavailable, KeysInvalid, WeightsError, EngineError.
    """
    log_to_stderr()
    with ExitStack() as opened:
        judge = opened.enter_context(JudgeProcess(settings))  # its models load meanwhile
        database = opened.enter_context(open_database(settings))
        if migrate:
            upgrade(database.owner_url)
        faces = open_face_engines(settings, when_needed=True)
        service = opened.enter_context(open_service(settings, faces=faces, database=database))
        judge.wait_until_ready()
        work(database, open_workshop(service, judge), say_ready=lambda: log.info("ready"), close=opened.close)
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How often a worker says that it is there, and after which silence another takes over its jobs; seconds."""

    heartbeat_s: float = 2.0
    silent_s: float = 10.0  # five missed heartbeats
    recover_every_s: float = 3.0
    sweep_every_s: float = 20.0


def work(
    database: Database,
    workshop: Workshop,
    *,
    rhythm: Rhythm = Rhythm(),
    say_ready: Callable[[], None] = lambda: None,
    close: Callable[[], None] = lambda: None,
) -> None:
    """Take jobs until SIGINT or SIGTERM. ``close`` is called before a process with a job under way is left."""
    app = worker_app(database.conninfo)
    _register(app, workshop)
    asyncio.run(_work(app, database, workshop, rhythm, say_ready, close))


def _register(app: procrastinate.App, workshop: Workshop) -> None:
    retry = RetryStrategy(max_attempts=MOST_TRIES, wait=1)

    def judge(context: JobContext, challenge_id: str) -> None:
        judge_challenge(workshop.service, workshop.judges, challenge_id, tried=context.job.attempts)

    def render(context: JobContext, clip_id: str) -> None:
        render_clip(workshop.service, workshop.renderers, clip_id, tried=context.job.attempts)

    def send(delivery_id: str, tried: int) -> None:
        deliver(workshop.service, delivery_id, tried=tried)

    app.task(name=Task.JUDGE.value, queue=Task.JUDGE.value, pass_context=True, retry=retry)(judge)
    app.task(name=Task.RENDER.value, queue=Task.RENDER.value, pass_context=True, retry=retry)(render)
    # tries of a message are counted in its row; these are for what fails on our side
    app.task(name=Task.DELIVER.value, queue=Task.DELIVER.value, retry=RetryStrategy(max_attempts=10, wait=30))(send)


async def _work(
    app: procrastinate.App,
    database: Database,
    workshop: Workshop,
    rhythm: Rhythm,
    say_ready: Callable[[], None],
    close: Callable[[], None],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    notices = Notices()
    notices.hear(CONSENT_CHANNEL, workshop.renderers.interruptions.consent_changed)
    async with app.open_async(), notices.listening(database.conninfo):
        # one lane each: a person waiting for a verdict does not wait for a clip
        lanes = [asyncio.create_task(_lane(app, task, rhythm), name=f"lane {task}") for task in Task]
        chores = [
            asyncio.create_task(_every(rhythm.recover_every_s, lambda: _recover(app, rhythm)), name="recover"),
            asyncio.create_task(
                _every(rhythm.sweep_every_s, lambda: asyncio.to_thread(sweep, workshop.service)), name="sweep"
            ),
        ]
        say_ready()
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([stopping, *lanes], return_when=asyncio.FIRST_COMPLETED)
        failed = not stop.is_set()
        for task in (*chores, *lanes, stopping):
            task.cancel()
        _, running = await asyncio.wait(lanes, timeout=_GRACE_S)
        if running or failed:
            # A job in a thread cannot be broken off. Its worker's heartbeat ends with this process, so another takes it.
            log.info("stopping with a job under way; the next worker finishes it")
            close()
            _leave(1 if failed else 0)
    log.info("stopped")


def _leave(status: int) -> None:
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(status)


async def _lane(app: procrastinate.App, task: Task, rhythm: Rhythm) -> None:
    await app.run_worker_async(
        queues=[task.value],
        name=task.value,
        concurrency=_AT_ONCE.get(task, 1),
        install_signal_handlers=False,
        fetch_job_polling_interval=2.0,
        update_heartbeat_interval=rhythm.heartbeat_s,
        stalled_worker_timeout=rhythm.silent_s,
        delete_jobs="successful",
    )


async def _recover(app: procrastinate.App, rhythm: Rhythm) -> None:
    """Put back the jobs of workers that went silent."""
    manager = app.job_manager
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=rhythm.silent_s):
        log.info("job %s of a worker that went silent is taken up again", job.id)
        with contextlib.suppress(procrastinate.exceptions.ConnectorException):  # another worker was quicker
            await manager.retry_job(job)
    await manager.prune_stalled_workers(rhythm.silent_s)


async def _every(seconds: float, chore: Callable[[], object]) -> None:
    """A chore that fails is tried again; it must not take the worker down."""
    while True:
        try:
            done = chore()
            if asyncio.iscoroutine(done):
                await done
        except Exception as error:
            log.warning("a chore failed: %s", type(error).__name__)
        await asyncio.sleep(seconds)


def stop_with_parent() -> None:
    """End when the process that started us goes: it holds the other end of our standard input."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> None:
    """The worker as a child of ``mien serve``, which has migrated already."""
    from api.settings import read_settings

    stop_with_parent()
    try:
        status = run(read_settings(os.environ), migrate=False)
    except Exception as error:  # one line, as the command line does
        code = getattr(error, "code", "internal_error")
        sys.stderr.write(f"mien worker: {code}: {error}\n")
        status = 3
    sys.exit(status)


if __name__ == "__main__":
    main()
