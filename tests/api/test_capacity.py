"""What a worker takes at once, from what its machine or container may use."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from api.capacity import JUDGE_BYTES, Capacity, DoesNotFit, Machine, Room, capacity_of, memory_of, this_machine
from api.orders import Order, OrderedShot
from api.queue import JobKind
from api.settings import Settings, SettingsInvalid, read_settings
from api.worker import capacity_here
from consent.terms import Purpose
from likeness.remote import Mode
from likeness.vendor_job import Wish
from liveness.digits import Language

GB = 1_000_000_000
ORDER = Order(
    kind="portrait", backend="portrait", purpose=Purpose.DIGITAL_DOUBLE, tokens=(), media=(), sound=None, script="Hi.",
    language=Language.ENGLISH, max_seconds=None, width=1280, height=720, owner="key", media_sha256=(),
)  # fmt: skip


def machine_of(root: Path, **files: str) -> Machine:
    for name, content in files.items():
        file = root / name.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return this_machine(root)


MEMINFO = {"proc__meminfo": "MemTotal:       16000000 kB\nMemFree: 1 kB\n"}


def test_memory_is_what_the_machine_has_or_the_container_may_have(tmp_path: Path) -> None:
    assert machine_of(tmp_path / "bare", **MEMINFO).memory == 16_000_000 * 1024
    inner = MEMINFO | {"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__memory_dot_max": "2000000000\n"}
    assert machine_of(tmp_path / "container", **inner).memory == 2 * GB
    above = MEMINFO | {
        "proc__self__cgroup": "0::/pods/one\n",
        "sys__fs__cgroup__pods__one__memory_dot_max": "max\n",
        "sys__fs__cgroup__pods__memory_dot_max": "3000000000\n",
        "sys__fs__cgroup__pods__one__cpu_dot_max": "50000 100000\n",
    }
    assert machine_of(tmp_path / "pod", **above) == Machine(cores=1, memory=3 * GB)
    old = MEMINFO | {
        "proc__self__cgroup": "3:cpu:/\n2:memory:/box\n",
        "sys__fs__cgroup__memory__box__memory.limit_in_bytes": "4000000000\n",
    }
    assert machine_of(tmp_path / "old", **old).memory == 4 * GB
    assert this_machine(tmp_path / "nothing").memory == 4 * GB
    assert this_machine().cores >= 1


def places(capacity: Capacity) -> dict[str, int]:
    return {queue: lane.at_once for lane in capacity.lanes for queue in lane.queues}


def test_by_itself_a_worker_takes_everything_and_clips_share_half_the_cores() -> None:
    two = capacity_of(Machine(cores=2, memory=8 * GB))
    assert {lane.name: lane.at_once for lane in two.lanes} == {
        "judge": 1, "remote": 8, "deliver": 8, "housekeeping": 1, "clips": 1,
    }  # fmt: skip
    assert set(places(two)) == {*JobKind, "render"}
    assert two.clips_at_once == 1
    assert two.memory == int(0.8 * 8 * GB) - 300_000_000 - JUDGE_BYTES
    many = capacity_of(Machine(cores=16, memory=64 * GB))
    assert (many.at_once(JobKind.JUDGE), many.at_once(JobKind.CAMEO)) == (4, 8)
    narrow = capacity_of(Machine(cores=16, memory=6 * GB))
    assert narrow.at_once(JobKind.JUDGE) == 1, "judges leave memory for clips"
    assert narrow.memory > 2 * GB


def test_a_worker_can_be_told_what_to_take() -> None:
    some = capacity_of(
        Machine(cores=4, memory=8 * GB),
        kinds=[JobKind.PORTRAIT, JobKind.STORY, JobKind.REMOTE],
        at_once={JobKind.PORTRAIT: 3, JobKind.REMOTE: 32},
        memory_mb=3000,
    )
    assert places(some) == {"portrait": 3, "remote": 32, "story": 2, "render": 2}
    assert some.at_once(JobKind.JUDGE) == 0
    assert some.memory == 2_700_000_000
    assert places(capacity_of(Machine(cores=4, memory=8 * GB), kinds=[JobKind.DELIVER])) == {"deliver": 8}


def test_kinds_that_do_not_exist_or_are_not_taken_stop_the_start() -> None:
    settings = read_settings({"MIEN_WORKER_QUEUES": "portrait, story", "MIEN_WORKER_CONCURRENCY": "portrait=2"})
    assert capacity_here(settings).at_once(JobKind.PORTRAIT) == 2
    assert capacity_here(Settings()).at_once(JobKind.JUDGE) >= 1
    for wrong in (
        replace(settings, worker_queues=("portraits",)),
        replace(settings, worker_concurrency=(("films", 1),)),
        replace(settings, worker_concurrency=(("cameo", 1),)),
    ):
        with pytest.raises(SettingsInvalid):
            capacity_here(wrong)
    for name, value in (
        ("MIEN_WORKER_CONCURRENCY", "portrait"),
        ("MIEN_WORKER_CONCURRENCY", "portrait=0"),
        ("MIEN_WORKER_CONCURRENCY", "portrait=1000"),
        ("MIEN_WORKER_MEMORY_MB", "12"),
        ("MIEN_CLIP_DEADLINE_S", "soon"),
    ):
        with pytest.raises(SettingsInvalid, match=name):
            read_settings({name: value})


def test_what_a_clip_needs_depends_on_what_it_is() -> None:
    story = replace(
        ORDER, kind="story", media=("a",) * 10, script=None, shots=(OrderedShot(seconds=2, caption="x"),) * 9
    )
    wish = Wish(model="m", mode=Mode.FIRST_FRAME, prompt="p", seconds=5)
    needs = {
        "portrait": memory_of(ORDER),
        "larger": memory_of(replace(ORDER, width=1920, height=1920)),
        "story": memory_of(story),
        "cameo": memory_of(replace(ORDER, kind="cameo")),
        "remote": memory_of(replace(ORDER, kind="remote", remote=wish)),
    }
    assert sorted(needs, key=needs.__getitem__) == ["remote", "portrait", "larger", "story", "cameo"]
    assert needs["remote"] == 0
    assert needs["cameo"] < capacity_of(Machine(cores=2, memory=8 * GB)).memory


def test_who_does_not_fit_waits_and_is_not_passed_by_smaller_ones() -> None:
    room = Room(10)
    order: list[str] = []
    first_is_in, go_on = threading.Event(), threading.Event()

    def take(name: str, need: int) -> None:
        with room.taken(need):
            order.append(name)
            if name == "first":
                first_is_in.set()
                go_on.wait(5)

    def started(name: str, need: int) -> threading.Thread:
        thread = threading.Thread(target=take, args=(name, need))
        thread.start()
        return thread

    first = started("first", 6)
    assert first_is_in.wait(5)
    large = started("large", 8)
    while not room._line:
        pass
    small = started("small", 1)
    assert order == ["first"]
    go_on.set()
    for thread in (first, large, small):
        thread.join(5)
    assert order == ["first", "large", "small"]
    with pytest.raises(DoesNotFit), room.taken(11):
        pass
    with room.taken(10):
        pass
