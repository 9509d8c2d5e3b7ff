"""Hears from PostgreSQL that something changed: one LISTEN connection a process, on its event loop.

A notice makes things happen sooner and nothing more. It may be lost with its connection, come late or twice; so whoever
must be right reads the row, and after every (re)connection each listener is told that anything may have changed (``None``).
A trigger sends ``mien_consent`` with the consent's id for every consent event, so no code path can forget to.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg

log = logging.getLogger("mien.notices")

CONSENT_CHANNEL = "mien_consent"
APPLICATION_NAME = "mien notices"
"""Of the connection, as ``pg_stat_activity`` shows it."""

_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 10.0

Hears = Callable[[str | None], None]


class Notices:
    """``is_listening``: whether the connection stands, as far as is known."""

    def __init__(self) -> None:
        self._hearing: defaultdict[str, list[Hears]] = defaultdict(list)
        self.is_listening = False

    def hear(self, channel: str, hears: Hears) -> None:
        """From now on call that, on the loop's thread, with each payload; it must be quick. Before :meth:`listening`."""
        self._hearing[channel].append(hears)

    @asynccontextmanager
    async def listening(self, conninfo: str) -> AsyncIterator[None]:
        """Listen while the block runs."""
        task = asyncio.create_task(self._listen(conninfo), name="notices")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _listen(self, conninfo: str) -> None:
        wait = _FIRST_WAIT_S
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    conninfo, autocommit=True, connect_timeout=5, application_name=APPLICATION_NAME
                ) as connection:
                    for channel in self._hearing:
                        await connection.execute(f'LISTEN "{channel}"')
                    self.is_listening, wait = True, _FIRST_WAIT_S
                    for channel in self._hearing:
                        self._tell(channel, None)
                    async for notice in connection.notifies():
                        self._tell(notice.channel, notice.payload)
            except psycopg.Error as error:
                log.warning("notices are not heard for now: %s", type(error).__name__)
            finally:
                self.is_listening = False
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_S)

    def _tell(self, channel: str, payload: str | None) -> None:
        for hears in self._hearing[channel]:
            try:
                hears(payload)
            except Exception as error:  # one that fails must not make the others deaf
                log.error("a listener of %s failed: %s", channel, type(error).__name__)
