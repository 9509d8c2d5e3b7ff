"""Many tasks side by side, in processes of their own: a task that hangs or takes its process down costs that task only.

Processes are spawned, not forked: model libraries do not survive a fork. Each builds what it needs once (``start``), then
takes one task after the other.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from lab.errors import LabError

Task = TypeVar("Task")
Answer = TypeVar("Answer")

CRASHED, HUNG, FAILED = "crashed", "hung", "failed"
_START_S = 180  # models load in seconds; a loaded machine needs longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A task without an answer. ``code``: ``crashed`` (its process ended), ``hung`` (over its time) or ``failed`` (it raised).

    detail : the kind of error, or the process's exit code; never what the error said, which may name a person.
    """

    code: str
    detail: str


@dataclass(slots=True, kw_only=True)
class _Worker(Generic[Task]):
    process: Any
    pipe: Connection
    ready: bool = False
    number: int | None = None
    deadline: float = field(default=0.0)


def in_processes(
    tasks: Sequence[Task],
    start: Callable[[], Callable[[Task], Answer]],
    *,
    jobs: int,
    patience_s: float,
) -> Iterator[tuple[int, Answer | Lost]]:
    """Number and answer of each task, in the order in which they are done.

    start : called once in each process, gives what does a task; it, tasks and answers must be picklable.
    patience_s : a task that takes longer is ended with its process.

    Raises:
        LabError: when a process cannot start (code ``process_failed``).
    """
    context = multiprocessing.get_context("spawn")
    waiting = list(range(len(tasks)))[::-1]
    workers: list[_Worker[Task]] = []

    def hire() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, start), daemon=True)
        process.start()
        theirs.close()
        workers.append(_Worker(process=process, pipe=ours, deadline=time.monotonic() + _START_S))

    def give(worker: _Worker[Task]) -> None:
        if not waiting:
            _dismiss(worker)
            workers.remove(worker)
            return
        worker.number = waiting.pop()
        worker.deadline = time.monotonic() + patience_s
        with contextlib.suppress(OSError):  # it died meanwhile: its pipe says so at the next look
            worker.pipe.send(tasks[worker.number])

    try:
        for _ in range(max(1, min(jobs, len(tasks)))):
            hire()
        while workers and (waiting or any(worker.number is not None for worker in workers)):
            soonest = min(worker.deadline for worker in workers)
            ready = wait([worker.pipe for worker in workers], timeout=max(0.0, soonest - time.monotonic()))
            for worker in list(workers):
                late = time.monotonic() >= worker.deadline
                if worker.pipe not in ready and not late:
                    continue
                said = _heard(worker) if worker.pipe in ready else None
                if said is not None and said[0] == "ready":
                    worker.ready = True
                    give(worker)
                elif said is not None and worker.number is not None:
                    number, worker.number = worker.number, None
                    yield number, said[1]
                    give(worker)
                else:
                    lost, unanswered = _ended(worker, late=worker.pipe not in ready), worker.number
                    workers.remove(worker)
                    if unanswered is None or not worker.ready:
                        raise LabError(f"a process could not start ({lost.detail})", code="process_failed")
                    if waiting:
                        hire()
                    yield unanswered, lost
    finally:
        for worker in workers:
            _dismiss(worker)


def _heard(worker: _Worker[Task]) -> tuple[str, Any] | None:
    try:
        said: tuple[str, Any] = worker.pipe.recv()
    except (EOFError, OSError):
        return None
    return said


def _ended(worker: _Worker[Task], *, late: bool) -> Lost:
    if late:
        worker.process.kill()
    worker.process.join()
    worker.pipe.close()
    return Lost(code=HUNG if late else CRASHED, detail="over time" if late else f"exit {worker.process.exitcode}")


def _dismiss(worker: _Worker[Task]) -> None:
    worker.pipe.close()
    worker.process.kill()  # it holds nothing that must be written
    worker.process.join()


def _serve(pipe: Connection, start: Callable[[], Callable[[Any], Any]]) -> None:
    """The process: ready, then an answer for each task, until nobody asks any more."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many processes as cores: threads of each only wait for another
    work = start()
    pipe.send(("ready", None))
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        try:
            answer = work(task)
        except Exception as error:  # one bad recording must not end a run of hours
            answer = Lost(code=FAILED, detail=type(error).__name__)
        pipe.send(("answer", answer))
