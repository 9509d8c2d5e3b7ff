"""Tells waiting requests that a clip has moved: one LISTEN connection a process, one event a waiting request.

A notice may be lost when that connection breaks; whoever waits therefore also looks again every few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

CHANNEL = "mien_clip"
_RECONNECT_S = 1.0


class ClipEvents:
    """Wakes those who wait for a clip."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self.closing = False
        self._loop = asyncio.get_running_loop()

    @classmethod
    @asynccontextmanager
    async def listening(cls, conninfo: str) -> AsyncIterator[ClipEvents]:
        """Open while the application runs."""
        events = cls()
        task = asyncio.create_task(events._listen(conninfo))
        try:
            yield events
        finally:
            events.close()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def close_soon(self) -> None:
        """The same, from another thread."""
        self._loop.call_soon_threadsafe(self.close)

    def close(self) -> None:
        """Everyone who waits wakes up and finds that the service is going."""
        self.closing = True
        for clip_id in list(self._waiting):
            self._ring(clip_id)

    async def wait(self, clip_id: str, seconds: float) -> None:
        """Until the clip moves, or that time is over."""
        if self.closing:
            return
        event = asyncio.Event()
        self._waiting[clip_id].add(event)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)
        finally:
            self._waiting[clip_id].discard(event)
            if not self._waiting[clip_id]:
                del self._waiting[clip_id]

    def _ring(self, clip_id: str) -> None:
        for event in self._waiting.get(clip_id, ()):
            event.set()

    async def _listen(self, conninfo: str) -> None:
        while not self.closing:
            with contextlib.suppress(psycopg.OperationalError):
                async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    async for notice in connection.notifies():
                        self._ring(notice.payload)
            await asyncio.sleep(_RECONNECT_S)
