"""Work that says what it waits for, so that the same lines run in a thread of their own or on the event loop.

A step is a generator's pause: a descriptor, until there is something to read from it; or :data:`AT_LENGTH`, before what may
take its time and must not hold up whoever else is on the loop.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Generator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Steps = Generator[int | None, None, T]

AT_LENGTH = None
"""What follows looks things up one by one, calls somebody, or computes for more than some milliseconds."""


def finish(steps: Steps[T]) -> T:
    """All steps, or all that are left, in this thread."""
    while True:
        try:
            awaited = next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
        if awaited is not AT_LENGTH:
            readable = select.poll()
            readable.register(awaited, select.POLLIN)
            readable.poll()


@dataclass(frozen=True, slots=True)
class Threads:
    """For what takes its time. ``first``: work that begins with it. ``later``: work that holds something already, so that it
    never waits for a thread of who waits for what it holds."""

    first: Executor
    later: Executor

    @classmethod
    def of(cls, number: int, name: str) -> Threads:
        return cls(*(ThreadPoolExecutor(number, thread_name_prefix=f"{name}-{part}") for part in ("first", "later")))


async def follow(steps: Steps[T], threads: Threads) -> T:
    """All steps on the loop, up to the first that takes its time: that and what follows it in one of these threads."""
    loop, executor = asyncio.get_running_loop(), threads.first
    try:
        while (awaited := next(steps)) is not AT_LENGTH:
            await _readable(loop, awaited)
            executor = threads.later
    except StopIteration as end:
        value: T = end.value
        return value
    except BaseException:
        steps.close()  # nobody goes on with them
        raise
    return await loop.run_in_executor(executor, finish, steps)


async def _readable(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    there: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _tell, there)
    try:
        await there
    finally:
        loop.remove_reader(descriptor)


def _tell(there: asyncio.Future[None]) -> None:
    if not there.done():
        there.set_result(None)


__all__ = ["AT_LENGTH", "Steps", "Threads", "finish", "follow"]
