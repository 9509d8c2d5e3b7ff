"""The worker: takes jobs off the queue, so many of each kind at a time, finishes what a killed worker left, and settles the
gate's books.

How many, and how much memory clips may take together, is in :mod:`api.capacity`. Any number of workers on any number of
machines share the queue; each may be told to take only some kinds.

A worker says every two seconds that it is there. Jobs of one that went silent are put back, at start and every few seconds;
what such a job had written decides whether anything is left to do (see :mod:`api.judging` and :mod:`api.rendering`). On
SIGINT or SIGTERM no new job is taken, running ones get a moment, and what is still running then is given back to the queue.

Recordings are examined in processes of their own (see :mod:`api.judge_process`); here no byte that somebody handed in is
decoded for judging. Threads that make clips are nicer to the machine than those that serve people who wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import procrastinate
from procrastinate import JobContext, RetryStrategy

from api.app import open_service
from api.books import settling
from api.capacity import Capacity, Lane, Room, capacity_of, this_machine
from api.database import Database, bring_up, open_database, require_schema
from api.engines import Bounded, open_face_engines
from api.examiner import Examiner
from api.judge_process import JudgePool
from api.judging import Judges, judge_challenge
from api.look_alike_lookups import look_up
from api.notices import CONSENT_CHANNEL, Notices
from api.queue import MOST_TRIES, JobKind, Task, give_back, house_app, still_here, take_over, worker_app
from api.remote_clips import CHANNEL as REMOTE_CHANNEL
from api.rendering import Renderers, open_renderers, render_clip
from api.service import Service, log_to_stderr
from api.settings import Settings, SettingsInvalid
from api.sweeping import sweep
from api.vendor_people import forget_due
from api.vendor_purges import forget_at_vendors
from api.webhooks import deliver

log = logging.getLogger("mien.worker")

_NICER = 5  # of threads that make clips, on Linux: a judge beside them gets three times their share of a core
_CHORES = 4  # threads for what is no job


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What jobs are done with. ``judges``: ``None`` in a worker that judges nothing."""

    service: Service
    judges: Judges | None
    renderers: Renderers


def open_workshop(service: Service, examiner: Examiner | None, capacity: Capacity) -> Workshop:
    """Raises: WeightsError."""
    places = capacity.at_once(JobKind.JUDGE)
    return Workshop(
        service=service,
        judges=None if examiner is None else Judges(examiner=examiner, bound=Bounded(places)),
        renderers=open_renderers(
            service.settings,
            service.faces,
            at_once=max(1, capacity.clips_at_once),
            remote_at_once=max(1, capacity.at_once(JobKind.REMOTE)),
            room=Room(capacity.memory),
        ),
    )


def capacity_here(settings: Settings) -> Capacity:
    """What a worker with these settings takes on this machine. Raises: SettingsInvalid."""
    named = (*settings.worker_queues, *(kind for kind, _ in settings.worker_concurrency))
    unknown = [kind for kind in named if kind not in set(JobKind)]
    if unknown:
        raise SettingsInvalid(f"there are no jobs of the kind {unknown[0]} (there are: {', '.join(JobKind)})")
    idle = [kind for kind, _ in settings.worker_concurrency if kind not in (settings.worker_queues or named)]
    if idle:
        raise SettingsInvalid(f"there are places for {idle[0]}, but this worker takes no such jobs")
    return capacity_of(
        this_machine(),
        kinds=[JobKind(kind) for kind in settings.worker_queues],
        at_once={JobKind(kind): places for kind, places in settings.worker_concurrency},
        memory_mb=settings.worker_memory_mb,
    )


def run(settings: Settings, *, migrate: bool = True) -> int:
    """Work until told to stop; gives the exit code. Without ``migrate`` the schema must be there.

    Raises: DatabaseUnavailable, KeysInvalid, WeightsError, EngineError, SettingsInvalid.
    """
    log_to_stderr()
    capacity = capacity_here(settings)
    judging = capacity.at_once(JobKind.JUDGE)
    with ExitStack() as opened:
        judge = opened.enter_context(JudgePool(settings, judging)) if judging else None  # its models load meanwhile
        database = opened.enter_context(open_database(settings))
        if migrate:
            bring_up(settings, database.owner_url)
        else:
            require_schema(database)
        faces = open_face_engines(settings, when_needed=True)
        service = opened.enter_context(open_service(settings, faces=faces, database=database))
        if judge is not None:
            judge.wait_until_ready()
        work(
            database,
            open_workshop(service, judge, capacity),
            capacity=capacity,
            rhythm=Rhythm(grace_s=settings.worker_grace_s),
            say_ready=partial(_say_ready, capacity),
            close=opened.close,
        )
    return 0


def _say_ready(capacity: Capacity) -> None:
    lanes = ", ".join(f"{lane.name} {lane.at_once}" for lane in capacity.lanes)
    log.info("ready: %s; %d MB for clips", lanes, capacity.memory // 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How often a worker says that it is there, and after which silence another takes over its jobs; seconds.

    grace_s : what running jobs get when the worker is told to stop. sweep_every_s : a part of a minute.
    """

    heartbeat_s: float = 2.0
    silent_s: float = 10.0  # five missed heartbeats
    recover_every_s: float = 3.0
    sweep_every_s: int = 20
    grace_s: float = 4.0


def work(
    database: Database,
    workshop: Workshop,
    *,
    capacity: Capacity,
    rhythm: Rhythm = Rhythm(),
    say_ready: Callable[[], None] = lambda: None,
    close: Callable[[], None] = lambda: None,
) -> None:
    """Take jobs until SIGINT or SIGTERM. ``close`` is called before a process with a job under way is left."""
    with settling(workshop.service):
        asyncio.run(_work(_Hands(database, workshop, capacity, rhythm), say_ready, close))


class _Hands:
    """The jobs that this worker has under way, each in a thread of its lane."""

    def __init__(self, database: Database, workshop: Workshop, capacity: Capacity, rhythm: Rhythm) -> None:
        self.database, self.workshop, self.rhythm = database, workshop, rhythm
        self.lanes = capacity.lanes
        self.app = worker_app(database.conninfo)
        self.house = house_app(self.app)
        self.under_way: set[int] = set()
        self._threads = {queue: pool for lane in self.lanes for pool in [_threads(lane)] for queue in lane.queues}
        self._learn_tasks()

    def _learn_tasks(self) -> None:
        service, judges, renderers = self.workshop.service, self.workshop.judges, self.workshop.renderers
        retry = RetryStrategy(max_attempts=MOST_TRIES, wait=1)

        async def judge(context: JobContext, challenge_id: str) -> None:
            assert judges is not None  # noqa: S101 - no lane without judges takes such jobs
            tried = context.job.attempts
            await self._do(context, lambda: judge_challenge(service, judges, challenge_id, tried=tried))

        async def make(context: JobContext, clip_id: str) -> None:
            tried = context.job.attempts
            await self._do(context, lambda: render_clip(service, renderers, clip_id, tried=tried))

        async def send(context: JobContext, delivery_id: str, tried: int) -> None:
            await self._do(context, lambda: deliver(service, delivery_id, tried=tried))

        async def look(context: JobContext, attempt_id: str) -> None:
            await self._do(context, lambda: look_up(service, attempt_id))

        async def keep_house(context: JobContext, timestamp: int) -> None:
            await self._do(context, lambda: _swept(service))

        self.app.task(name=Task.JUDGE.value, pass_context=True, retry=retry)(judge)
        self.app.task(name=Task.RENDER.value, pass_context=True, retry=retry)(make)
        self.app.task(name=Task.REMOTE.value, pass_context=True, retry=retry)(make)
        self.app.task(name=Task.LOOK_UP.value, pass_context=True, retry=retry)(look)
        # tries of a message are counted in its row; these are for what fails on our side
        self.app.task(name=Task.DELIVER.value, pass_context=True, retry=RetryStrategy(max_attempts=10, wait=30))(send)
        # of all workers one at a time, and never two of them waiting
        sweeping = self.house.task(
            name=Task.SWEEP.value,
            queue=JobKind.HOUSEKEEPING.value,
            lock=Task.SWEEP.value,
            queueing_lock=Task.SWEEP.value,
            pass_context=True,
        )(keep_house)
        self.house.periodic(cron=f"* * * * * */{self.rhythm.sweep_every_s}")(sweeping)

    async def _do(self, context: JobContext, job: Callable[[], object]) -> None:
        number = context.job.id or 0
        self.under_way.add(number)
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads[context.job.queue], job)
        finally:
            self.under_way.discard(number)

    async def lane(self, lane: Lane) -> None:
        app = self.house if JobKind.HOUSEKEEPING.value in lane.queues else self.app
        await app.run_worker_async(
            queues=list(lane.queues),
            name=lane.name,
            concurrency=lane.at_once,
            install_signal_handlers=False,
            fetch_job_polling_interval=2.0,
            update_heartbeat_interval=self.rhythm.heartbeat_s,
            stalled_worker_timeout=self.rhythm.silent_s,
            delete_jobs="successful",
        )

    async def recover(self) -> None:
        for job_id in await take_over(self.app, self.rhythm.silent_s):
            log.info("job %s of a worker that went silent is taken up again", job_id)

    async def forget(self) -> None:
        """Vendors delete people whose consent ended, and what they received for clips."""
        service, remotes = self.workshop.service, self.workshop.renderers.remotes
        await asyncio.to_thread(forget_due, service, remotes)
        await asyncio.to_thread(forget_at_vendors, service, remotes)

    async def still_here(self) -> None:
        await still_here(self.app, sorted(self.under_way))

    async def let_go(self) -> None:
        """Give back what is under way: its thread cannot be broken off, but ends with the process."""
        with contextlib.suppress(procrastinate.exceptions.ConnectorException, TimeoutError):  # else it is taken over
            await asyncio.wait_for(give_back(self.app, sorted(self.under_way)), 3)


def _threads(lane: Lane) -> ThreadPoolExecutor:
    """A thread for every place: no clip that waits for a vendor keeps anybody else waiting."""
    nicer = _be_nicer if lane.makes_clips else None
    return ThreadPoolExecutor(lane.at_once, thread_name_prefix=lane.name, initializer=nicer)


def _be_nicer() -> None:
    """This thread, and those it starts, on Linux, where niceness is a thread's."""
    if sys.platform == "linux":
        own = threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, own, min(19, os.getpriority(os.PRIO_PROCESS, own) + _NICER))


def _swept(service: Service) -> None:
    """A round that fails is followed by the next; nothing is kept of it."""
    try:
        sweep(service)
    except Exception as error:
        log.warning("a chore failed: %s", type(error).__name__)


async def _work(hands: _Hands, say_ready: Callable[[], None], close: Callable[[], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_CHORES, thread_name_prefix="chore"))
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    notices, renderers = Notices(), hands.workshop.renderers
    notices.hear(CONSENT_CHANNEL, renderers.interruptions.consent_changed)
    notices.hear(REMOTE_CHANNEL, renderers.remotes.bells.ring)
    async with hands.app.open_async(), notices.listening(hands.database.conninfo):
        lanes = [asyncio.create_task(hands.lane(lane), name=f"lane {lane.name}") for lane in hands.lanes]
        chores = [
            asyncio.create_task(_every(hands.rhythm.recover_every_s, hands.recover), name="recover"),
            asyncio.create_task(_every(hands.rhythm.sweep_every_s, hands.forget), name="forget"),
        ]
        say_ready()
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([stopping, *lanes], return_when=asyncio.FIRST_COMPLETED)
        failed = not stop.is_set()
        for task in (*chores, *lanes, stopping):
            task.cancel()
        beating = asyncio.create_task(_every(hands.rhythm.heartbeat_s, hands.still_here), name="still here")
        _, running = await asyncio.wait(lanes, timeout=hands.rhythm.grace_s)
        beating.cancel()
        if running or failed:
            log.info("stopping with %d jobs under way; others finish them", len(hands.under_way))
            await hands.let_go()
            close()
            _leave(1 if failed else 0)
    log.info("stopped")


def _leave(status: int) -> None:
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(status)


async def _every(seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
    """A chore that fails is tried again; it must not take the worker down."""
    while True:
        try:
            await chore()
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
