"""Work that runs ahead of whoever uses it: a thread works off an iterable while its items are used."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from queue import Full, Queue
from typing import TypeVar

T = TypeVar("T")

_WAKE_S = 0.05  # how often a waiting thread looks whether it is still wanted


class _Ended:
    """Last in the queue: nothing more comes, or why."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


@contextmanager
def ahead(items: Iterable[T], *, depth: int) -> Iterator[Iterator[T]]:
    """The same items in the same order, made in a thread of its own, at most ``depth`` of them before they are asked for.

    What ``items`` raises is raised to the reader, after the items before it. When the reader leaves early the thread ends
    with the item it is at; after the ``with`` it is gone.
    """
    queue: Queue[T | _Ended] = Queue(maxsize=depth)
    unwanted = threading.Event()

    def put(item: T | _Ended) -> None:
        while not unwanted.is_set():
            try:
                queue.put(item, timeout=_WAKE_S)
            except Full:
                continue
            return

    def work() -> None:
        try:
            for item in items:
                put(item)
                if unwanted.is_set():
                    return
        except BaseException as error:  # whatever it is, it belongs to the reader
            put(_Ended(error))
        else:
            put(_Ended(None))

    def read() -> Iterator[T]:
        while True:
            item = queue.get()
            if isinstance(item, _Ended):
                if item.error is not None:
                    raise item.error
                return
            yield item

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        yield read()
    finally:
        unwanted.set()
        thread.join()
