"""Tells waiting requests that a clip has moved: one event a waiting request, rung by the process's notices.

A notice may be lost; whoever waits therefore also looks again every few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict

CHANNEL = "mien_clip"


class ClipEvents:
    """Wakes those who wait for a clip."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self.closing = False
        self._loop = asyncio.get_running_loop()

    def close_soon(self) -> None:
        """The same, from another thread."""
        self._loop.call_soon_threadsafe(self.close)

    def close(self) -> None:
        """Everyone who waits wakes up and finds that the service is going."""
        self.closing = True
        self.ring(None)

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

    def ring(self, clip_id: str | None) -> None:
        """Wake those who wait for that clip; ``None``: everybody, for any may have moved."""
        for waited in list(self._waiting) if clip_id is None else [clip_id]:
            for event in self._waiting.get(waited, ()):
                event.set()
