"""Steps: the same lines in a thread and on the event loop, where nobody waits for who takes their time."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from api.steps import AT_LENGTH, Steps, Threads, finish, follow

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    ends = os.pipe()
    yield ends
    for each in ends:
        os.close(each)


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads.of(1, "test")
    yield made
    made.first.shutdown()
    made.later.shutdown()


def read(pipe: Pipe, where: list[str], *, at_length: bool = False, broken: bool = False) -> Steps[bytes]:
    where.append(threading.current_thread().name)
    try:
        yield pipe[0]
        content = os.read(pipe[0], 100)
        where.append(threading.current_thread().name)
        if at_length:
            yield AT_LENGTH
        where.append(threading.current_thread().name)
        if broken:
            raise LookupError("as it was made to")
        return content
    finally:
        where.append("over")


async def fed(pipe: Pipe, steps: Steps[bytes], threads: Threads) -> bytes:
    followed = asyncio.create_task(follow(steps, threads))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not followed.done(), "there is nothing to read yet"
    os.write(pipe[1], b"there")  # by the loop, which is free meanwhile
    return await followed


def test_on_the_loop_and_in_a_thread_the_same_comes_out(pipe: Pipe, threads: Threads) -> None:
    where: list[str] = []
    own = threading.current_thread().name
    assert asyncio.run(fed(pipe, read(pipe, where), threads)) == b"there"
    assert where == [own, own, own, "over"]
    threading.Timer(0.05, os.write, (pipe[1], b"there")).start()
    assert finish(read(pipe, [], at_length=True)) == b"there"


def test_what_takes_its_time_goes_on_in_a_thread_of_its_own(pipe: Pipe, threads: Threads) -> None:
    where: list[str] = []
    assert asyncio.run(fed(pipe, read(pipe, where, at_length=True), threads)) == b"there"
    assert where[1] == threading.current_thread().name
    assert where[2].startswith("test-later")


@pytest.mark.parametrize("at_length", [False, True])
def test_what_fails_fails_for_who_asked(pipe: Pipe, threads: Threads, at_length: bool) -> None:
    where: list[str] = []
    with pytest.raises(LookupError):
        asyncio.run(fed(pipe, read(pipe, where, at_length=at_length, broken=True), threads))
    assert where[-1] == "over"


def test_steps_that_nobody_waits_for_any_more_are_put_in_order(pipe: Pipe, threads: Threads) -> None:
    where: list[str] = []

    async def given_up() -> None:
        followed = asyncio.create_task(follow(read(pipe, where), threads))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        followed.cancel()
        await followed

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(given_up())
    assert where == [threading.current_thread().name, "over"]


def test_who_holds_something_finds_a_thread_while_others_wait_for_it(threads: Threads) -> None:
    free = threading.Event()

    def waits() -> Steps[bool]:
        yield AT_LENGTH
        return free.wait(30)

    def holds() -> Steps[bool]:
        yield reader
        yield AT_LENGTH
        free.set()
        return True

    reader, writer = os.pipe()
    os.write(writer, b"x")

    async def both() -> list[bool]:
        first = asyncio.create_task(follow(waits(), threads))
        await asyncio.sleep(0)
        return await asyncio.gather(first, follow(holds(), threads))

    assert asyncio.run(both()) == [True, True]
    os.close(reader)
    os.close(writer)
