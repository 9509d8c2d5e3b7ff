"""The people whose codes are nearest to a face: all of them compared, in the memory of the process that looks.

A graph over a million codes misses one face in thirty, and takes longer than comparing all of them does: the heads of a million
codes are 64 MB, and a core counts their differing bits in about ten milliseconds. So each process that looks up holds a copy of
them, as long as it fits into ``MIEN_LOOK_ALIKES_MEMORY_MB``, and a lookup goes in three steps:

1. what was added since is read into the copy
2. the few hundred nearest by the heads of their codes
3. of these the nearest by their whole codes, read from the table: who took their yes back is not there any more

The copy is biometric data. It is never written anywhere and goes when the process closes; a thread takes out within half a
minute who is gone from the table, and puts in whatever it should miss. Where it cannot, and after an hour in any case, all of
it is dropped, and read anew for the next lookup.

People who do not fit are searched in the database (:meth:`api.look_alike_index.LookAlikeIndex.nearest`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from api.look_alike_index import HEAD_BITS, LookAlikeIndex, Numbers, fitting

if TYPE_CHECKING:
    from api.storage import Store

log = logging.getLogger("mien.look_alikes")

LOOKED_AFTER_S = 30.0
KEPT_S = 3600.0
_AT_ONCE = 65_536
"""People a part: what is counted at once (half a megabyte) stays in a core's cache; measured, 16,384 take a fifth longer."""
_FARTHEST = 200
"""Differing bits of 512. A face at cosine 0.60 differs in 151 +- 10 (angle / pi), a stranger's in 256 +- 20; below
are one stranger in 400."""
_READ_WHOLE = 300
"""Of these the nearest, more than are nearer than any face of at least 0.60: of a million strangers 200 are within 185."""


class Way(StrEnum):
    """Where the codes are searched: in memory, in the database by its graph, or there by reading all of them."""

    MEMORY = "memory"
    GRAPH = "graph"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the people.

    numbers : ``(n,) int64``, rising.
    heads : ``(8, n) uint64``, of each code its first 512 bits.
    """

    numbers: Numbers
    heads: NDArray[np.uint64] = field(repr=False)

    def __len__(self) -> int:
        return len(self.numbers)

    def holds(self, numbers: Numbers) -> NDArray[np.bool_]:
        return _among(numbers, self.numbers)

    def only(self, kept: NDArray[np.bool_]) -> Part:
        return self if kept.all() else Part(self.numbers[kept], np.ascontiguousarray(self.heads[:, kept]))


Parts = tuple[Part, ...]


# --- the copy, as values ---------------------------------------------------------------------------------------------


def with_more(parts: Parts, more: Part) -> Parts:
    """With these people too; who is there already is not put in twice."""
    new = np.ones(len(more), np.bool_)
    for part in parts:
        new &= ~part.holds(more.numbers)
    more = more.only(new)
    if not len(more):
        return parts
    if parts and len(parts[-1]) + len(more) <= _AT_ONCE:
        numbers = np.concatenate([parts[-1].numbers, more.numbers])
        rising = np.argsort(numbers)
        heads = np.concatenate([parts[-1].heads, more.heads], axis=1)
        return (*parts[:-1], Part(numbers[rising], np.ascontiguousarray(heads[:, rising])))
    cut = [slice(first, first + _AT_ONCE) for first in range(0, len(more), _AT_ONCE)]
    return (*parts, *(Part(more.numbers[each], np.ascontiguousarray(more.heads[:, each])) for each in cut))


def without(parts: Parts, gone: Numbers) -> Parts:
    """Without these people. ``gone`` rises."""
    left = (part.only(~_among(part.numbers, gone)) for part in parts)
    return tuple(part for part in left if len(part))


def numbers_in(parts: Parts) -> Numbers:
    """Of all of them, rising."""
    return np.sort(np.concatenate([np.empty(0, np.int64), *(part.numbers for part in parts)]))


def _among(numbers: Numbers, rising: Numbers) -> NDArray[np.bool_]:
    """Which of these are in a list that rises."""
    if not len(rising):
        return np.zeros(len(numbers), np.bool_)
    places = np.minimum(np.searchsorted(rising, numbers), len(rising) - 1)
    found: NDArray[np.bool_] = rising[places] == numbers
    return found


def head_of(code: str) -> NDArray[np.uint64]:
    """``(8,) uint64``, in the order in which the database sends them."""
    return np.packbits(np.frombuffer(code[:HEAD_BITS].encode(), np.uint8) - ord("0")).view(np.uint64)


def nearest_in(parts: Parts, head: NDArray[np.uint64], most: int = _READ_WHOLE) -> list[int]:
    """Numbers of the people whose heads are nearest to this one, in no order."""
    room = max((len(part) for part in parts), default=0)
    differing, counted, total = np.empty(room, np.uint64), np.empty(room, np.uint8), np.empty(room, np.uint16)
    numbers, bits = [], []
    for part in parts:
        d, c, t = differing[: len(part)], counted[: len(part)], total[: len(part)]
        t.fill(0)
        for column, word in zip(part.heads, head, strict=True):
            np.bitwise_xor(column, word, out=d)
            np.bitwise_count(d, out=c)
            np.add(t, c, out=t)
        near = np.flatnonzero(t <= _FARTHEST)
        numbers.append(part.numbers[near])
        bits.append(t[near])
    if not numbers:
        return []
    near, far = np.concatenate(numbers), np.concatenate(bits)
    return [int(each) for each in (near if len(near) <= most else near[np.argpartition(far, most)[:most]])]


# --- the copy, kept true ---------------------------------------------------------------------------------------------


class LookAlikeSearch:
    """The nearest of those who want to be told, in one process. ``transaction``: a new one of the database, for the thread."""

    def __init__(self, memory_mb: int, transaction: Callable[[], AbstractContextManager[Store]]) -> None:
        self._room, self._transaction = fitting(memory_mb), transaction
        self._lock = threading.Lock()  # around all that follows, never while waiting for a connection
        self._parts: Parts | None = None  # None: nothing was read, or they are too many
        self._mark, self._until = "", 0.0
        self._over = threading.Event()
        self._keeper: threading.Thread | None = None

    def way(self, index: LookAlikeIndex) -> Way:
        """Where a face would be looked for now."""
        if index.count() <= self._room:
            return Way.MEMORY
        return Way.GRAPH if index.has_graph() else Way.TABLE

    def nearest(self, index: LookAlikeIndex, code: str, *, contract_id: str, rotation_id: str, most: int) -> list[str]:
        """Consents whose codes are nearest to this one, the nearest first."""
        with self._lock:
            parts = self._copy(index)
        if parts is None:
            return index.nearest(code, contract_id=contract_id, rotation_id=rotation_id, most=most)
        numbers = nearest_in(parts, head_of(code))
        return index.nearest_of(numbers, code, contract_id=contract_id, rotation_id=rotation_id, most=most)

    def close(self) -> None:
        """Nothing is held from now on."""
        self._over.set()
        with self._lock:
            self._drop()
        if self._keeper is not None:
            self._keeper.join(10)

    @property
    def held(self) -> int:
        """How many people are in the copy."""
        return sum(len(part) for part in self._parts or ())

    def _copy(self, index: LookAlikeIndex) -> Parts | None:
        """As it is committed now; ``None`` where it does not fit."""
        if self._over.is_set():
            return None
        if time.monotonic() >= self._until:
            self._read(index)
        elif self._parts is not None:
            mark, changed = index.changed_since(self._mark)
            self._take(index, changed)
            self._mark = mark
        return self._parts

    def _read(self, index: LookAlikeIndex) -> None:
        """All of it, or the word for an hour that it is too much."""
        start = time.monotonic()
        self._drop()
        way, until = self.way(index), start + KEPT_S
        if way is not Way.MEMORY:
            self._until = until
            log.info("codes of look-alikes do not fit into memory: %s", way)
            return
        self._mark, _ = index.changed_since(None)
        parts: list[Part] = []
        while not parts or len(parts[-1]) == _AT_ONCE:
            parts.append(Part(*index.heads_after(int(parts[-1].numbers[-1]) if parts else 0, _AT_ONCE)))
        self._parts, self._until = tuple(part for part in parts if len(part)), until
        log.info("codes of %d people read into memory in %.1f s", self.held, time.monotonic() - start)
        self._keeper = threading.Thread(target=self._keep, args=(until,), name="look-alikes", daemon=True)
        self._keeper.start()

    def _take(self, index: LookAlikeIndex, numbers: Numbers) -> None:
        """Read these into the copy, as far as they are not there."""
        if self._parts is None:
            return
        known = np.zeros(len(numbers), np.bool_)
        for part in self._parts:
            known |= part.holds(numbers)
        missing = numbers[~known]
        for first in range(0, len(missing), _AT_ONCE):
            self._parts = with_more(self._parts, Part(*index.heads_of(missing[first : first + _AT_ONCE].tolist())))
        if self.held > self._room:
            self._read(index)  # which says that they are too many

    def _drop(self) -> None:
        self._parts, self._until = None, 0.0

    def _keep(self, until: float) -> None:
        """The thread of one copy: holds it against the table until its hour is over or it is dropped."""
        while not self._over.wait(max(0.0, min(LOOKED_AFTER_S, until - time.monotonic()))):
            try:
                if time.monotonic() < until and self._hold_against_the_table(until):
                    continue
            except Exception as error:
                log.warning("codes of look-alikes are dropped from memory: %s", type(error).__name__)
            with self._lock:
                if self._until == until:
                    self._drop()
            return

    def _hold_against_the_table(self, until: float) -> bool:
        """Take out who is gone, and put in who is missing; false when the copy is another one by now."""
        with self._lock:
            before = self._parts if self._until == until else None
        if before is None:
            return False
        had = numbers_in(before)
        with self._transaction() as store:
            there = store.look_alike_index.numbers()
            gone, missing = had[~_among(had, there)], there[~_among(there, had)]
            with self._lock:
                if self._until != until or self._parts is None:
                    return False
                self._parts = without(self._parts, gone)
                self._take(store.look_alike_index, missing)
        return True


__all__ = ["LookAlikeSearch", "Part", "Parts", "Way", "head_of", "nearest_in", "numbers_in", "with_more", "without"]
