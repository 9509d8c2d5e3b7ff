"""Tells work that is under way that a consent behind it changed, so that it looks again at once instead of a little later."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager


class Watch:
    """One piece of work and the consents it stands on."""

    def __init__(self, consents: Collection[str]) -> None:
        self.consents = frozenset(consents)
        self._changed = threading.Event()

    def ring(self) -> None:
        self._changed.set()

    def take(self) -> bool:
        """Whether something may have changed since this was last asked."""
        changed = self._changed.is_set()
        self._changed.clear()
        return changed


class Interruptions:
    """All work under way in this process. Rung from the loop's thread, watched from the threads that work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()

    @contextmanager
    def watching(self, consents: Collection[str]) -> Iterator[Watch]:
        """While the work runs."""
        watch = Watch(consents)
        with self._lock:
            self._watches.add(watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._watches.discard(watch)

    def consent_changed(self, consent_id: str | None) -> None:
        """``None``: any may have."""
        with self._lock:
            for watch in self._watches:
                if consent_id is None or consent_id in watch.consents:
                    watch.ring()
