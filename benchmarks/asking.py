"""Asks over HTTP at a steady rate, whether or not the last answers have come.

``python -m benchmarks.asking PORT RATE SECONDS LINES`` reads requests from standard input, each a length (8 hex digits) and
that many bytes of HTTP, and sends them in turn over LINES kept connections; writes one JSON object: for each, how many
seconds after it was due its answer was there, and what is counted of the answers. A question that finds no free line waits,
and its waiting counts. ``RATE`` 0: as fast as it goes. It imports nothing that is slow, since it runs on the cores of what it
measures.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import sys
import time


class Line(asyncio.Protocol):
    """One kept connection: a request at a time."""

    def __init__(self) -> None:
        self._got = bytearray()
        self._wanted = -1
        self._answered: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream, for the types
        self._transport = transport
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._wanted < 0:
            head, found, _ = self._got.partition(b"\r\n\r\n")
            if not found:
                return
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            self._wanted = len(head) + 4 + int(length.partition(b":")[2])
        if len(self._got) >= self._wanted and self._answered is not None:
            answer, self._got, self._wanted = bytes(self._got), bytearray(), -1
            self._answered.set_result(answer)

    async def ask(self, request: bytes) -> bytes:
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered


async def ask_all(port: int, rate: float, seconds: float, lines: int, requests: list[bytes]) -> dict[str, object]:
    """Seconds from due to answered, in the order of asking; and how many answers were permits, refusals, or neither."""
    loop = asyncio.get_running_loop()
    free: asyncio.LifoQueue[Line] = asyncio.LifoQueue()
    for _ in range(lines):
        free.put_nowait((await loop.create_connection(Line, "127.0.0.1", port))[1])
    took: list[float] = []
    counts = {"yes": 0, "no": 0, "failed": 0}

    async def one(line: Line, due: float, request: bytes) -> None:
        try:
            answer = await line.ask(request)
        except ConnectionError:
            counts["failed"] += 1
            return
        took.append(time.perf_counter() - due)
        good = answer.startswith(b"HTTP/1.1 200")
        counts["failed" if not good else "no" if b'"decision":false' in answer else "yes"] += 1
        free.put_nowait(line)

    running: set[asyncio.Task[None]] = set()
    begun, number = time.perf_counter(), 0
    while True:
        due = begun + number / rate if rate else time.perf_counter()
        if due - begun >= seconds:
            break
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        line = await free.get()
        if not line.is_open:  # it rested for longer than the server keeps one
            line = (await loop.create_connection(Line, "127.0.0.1", port))[1]
        task = asyncio.create_task(one(line, due if rate else time.perf_counter(), requests[number % len(requests)]))
        running.add(task)
        task.add_done_callback(running.discard)
        number += 1
    await asyncio.gather(*running)
    return {"took": took, "span": time.perf_counter() - begun, **counts}


def _punctual() -> asyncio.AbstractEventLoop:
    """A loop that wakes when a question is due: the usual one, which rounds up to whole milliseconds, would be late by half of
    one each time, and the lateness would count as the gate's."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def main(port: str, rate: str, seconds: str, lines: str) -> None:
    """Read the requests, ask, and tell."""
    given = sys.stdin.buffer
    requests = []
    while length := given.read(8):
        requests.append(given.read(int(length, 16)))
    with asyncio.Runner(loop_factory=_punctual) as runner:
        found = runner.run(ask_all(int(port), float(rate), float(seconds), int(lines), requests))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
