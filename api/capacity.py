"""What a worker may take at once: places by kind of job, and memory that clips share.

Defaults come from the machine: its cores, and its memory or what the container may have of it (cgroup). Judging has places and
memory set aside, so a person who waits in front of a camera never waits for a clip.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from api.orders import Order
from api.queue import MADE_HERE, OLD_RENDER_QUEUE, JobKind
from likeness.cost import cost_of
from likeness.generate import Kind

_SHARE = 0.8  # of the machine's memory: the rest is the system's, and the database's where it is on the same machine
_WORKER_BYTES = 300_000_000  # before any clip; measured 0.25 GB
JUDGE_BYTES = 1_350_000_000  # one judge; measured 0.93 GB for 20 s of 720p, and 0.4 with the largest speech model
_MODELS_BYTES = 700_000_000  # of a clip: face, voice and drawing
_CANVASES = 12  # pictures of the film's size in memory at once
_FILM_S, _FILM_FPS = 30, 24  # the longest film of a cameo, which is kept whole, at 720 lines
_FILM_PIXELS = 1280 * 720
_AT_ONCE = {
    JobKind.REMOTE: 8,  # a vendor works for minutes; here only the waiting is
    JobKind.DELIVER: 8,  # a receiver that hangs holds a place for 15 s
    JobKind.HOUSEKEEPING: 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What this process may use. ``cores``: whole ones, at least 1. ``memory``: bytes."""

    cores: int
    memory: int


def this_machine(root: Path = Path("/")) -> Machine:
    """Read from ``/proc`` and the cgroups that this process is in, version 2 or 1; the tightest bound holds."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    memory = _installed(root)
    for group in _groups(root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            bound = _words(group / name)
            if bound and bound[0].isdecimal():
                memory = min(memory, int(bound[0]))
        quota = _words(group / "cpu.max")
        if len(quota) == 2 and quota[0].isdecimal():
            cores = min(cores, int(quota[0]) / int(quota[1]))
    return Machine(cores=max(1, int(cores)), memory=memory)


def _installed(root: Path) -> int:
    """Bytes of main memory; 4 GB where nobody says."""
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 4_000_000_000


def _groups(root: Path) -> Iterator[Path]:
    """Folders of the cgroups that bound this process, from its own up."""
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers not in ("", "memory"):
            continue
        top = root / "sys/fs/cgroup" / controllers
        own = top / path.strip("/")
        yield from (each for each in (own, *own.parents) if each == top or top in each.parents)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def _words(file: Path) -> list[str]:
    lines = _lines(file)
    return lines[0].split() if lines else []


# --- places ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Queues that share places: ``at_once`` jobs of them run at a time in this worker."""

    name: str
    queues: tuple[str, ...]
    at_once: int

    @property
    def makes_clips(self) -> bool:
        """Whether its jobs take a core and memory of this machine for long."""
        return any(queue in (*MADE_HERE, OLD_RENDER_QUEUE) for queue in self.queues)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What one worker takes. ``memory``: bytes that clips made here share; 0 when there are none."""

    lanes: tuple[Lane, ...]
    memory: int

    def at_once(self, kind: JobKind) -> int:
        """Places for that kind; 0 when this worker does not take it."""
        return next((lane.at_once for lane in self.lanes if kind.value in lane.queues), 0)

    @property
    def clips_at_once(self) -> int:
        """Clips that are made here at the same time, at most."""
        return sum(lane.at_once for lane in self.lanes if lane.makes_clips)


def capacity_of(
    machine: Machine,
    *,
    kinds: Sequence[JobKind] = (),
    at_once: Mapping[JobKind, int] | None = None,
    memory_mb: int | None = None,
) -> Capacity:
    """What a worker on that machine takes.

    kinds : those it takes; none named means all. at_once : places for kinds that are to have places of their own; portrait,
    story and cameo share half the cores otherwise. memory_mb : all that this worker may use, instead of what the machine has.
    """
    whole = int(machine.memory * _SHARE) if memory_mb is None else memory_mb * 1_000_000
    usual = _AT_ONCE | {JobKind.JUDGE: max(1, min(machine.cores // 4, whole // 3 // JUDGE_BYTES))}
    taken = [kind for kind in JobKind if not kinds or kind in kinds]
    own = {**usual, **(at_once or {})}
    lanes = [Lane(name=kind.value, queues=(kind.value,), at_once=own[kind]) for kind in taken if kind in own]
    shared = tuple(kind.value for kind in taken if kind not in own)
    if set(taken) & set(MADE_HERE):
        places = max(1, machine.cores // 2) if shared else 1
        lanes.append(Lane(name="clips", queues=(*shared, OLD_RENDER_QUEUE), at_once=places))
    judges = next((lane.at_once for lane in lanes if lane.name == JobKind.JUDGE), 0)
    rest = max(0, whole - _WORKER_BYTES - judges * JUDGE_BYTES)
    return Capacity(lanes=tuple(lanes), memory=rest)


# --- memory ----------------------------------------------------------------------------------------------------------


def memory_of(order: Order) -> int:
    """Bytes that making this clip takes at most. What a vendor makes is only marked here, one picture after the other."""
    canvases = 3 * order.width * order.height * _CANVASES
    if order.remote is not None:
        return 0
    match order.kind:
        case "story":
            seconds = sum(shot.seconds for shot in order.shots)
            size = (order.width, order.height)
            return cost_of(Kind.STORY, film_s=seconds, size=size, pictures=len(order.media)).memory_bytes
        case "cameo":
            return _MODELS_BYTES + canvases + 3 * _FILM_PIXELS * _FILM_S * _FILM_FPS
        case _:
            return _MODELS_BYTES + canvases


class DoesNotFit(Exception):
    """More memory than this worker has for all its clips together."""

    def __init__(self, need: int, whole: int) -> None:
        super().__init__(f"needs {need} bytes of {whole}")
        self.need_mb, self.whole_mb = ceil(need / 1e6), whole // 1_000_000


class Room:
    """Memory that jobs share. Whoever comes first is served first, so a large one is not passed by small ones for ever."""

    def __init__(self, whole: int) -> None:
        self._whole = self._free = whole
        self._changed = threading.Condition()
        self._line: deque[object] = deque()

    @contextmanager
    def taken(self, need: int) -> Iterator[None]:
        """Wait until there are ``need`` bytes, and hold them. Raises: DoesNotFit."""
        if need > self._whole:
            raise DoesNotFit(need, self._whole)
        turn = object()
        with self._changed:
            self._line.append(turn)
            try:
                self._changed.wait_for(lambda: self._line[0] is turn and self._free >= need)
                self._free -= need
            finally:
                self._line.remove(turn)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += need
                self._changed.notify_all()
