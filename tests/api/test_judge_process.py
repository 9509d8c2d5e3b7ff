"""Judging happens in a process that may be lost: the answer is a documented failure, and the next recording is judged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.examiner import HandedIn, Judged
from api.judge_process import Bounds, Ending, JudgeFailed, JudgePool, JudgeProcess, resident_bytes
from api.settings import Settings
from liveness.challenge import Challenge
from liveness.errors import EngineError, MediaError
from liveness.policy import STRICT
from liveness.verdict import Live
from tests.api.scripted import picture_of
from tests.people import NOW, challenge

HOSTAGE = "tests.api.hostile_examiners:hostage"
ROOT = Path(__file__).resolve().parents[2]
MEMORY = 400_000_000


@contextmanager
def judge(opens: str = HOSTAGE, *, seconds: float = 30.0, start_seconds: float = 60.0) -> Iterator[JudgeProcess]:
    bounds = Bounds(seconds=seconds, start_seconds=start_seconds, memory=MEMORY)
    with JudgeProcess(Settings(), bounds=bounds, opens=opens) as process:
        yield process


def judged(process: JudgeProcess, words: bytes, asked: Challenge | None = None) -> Judged:
    return process.examine(HandedIn(data=words, challenge=asked or challenge(), policy=STRICT, mirrored=False, now=NOW))


def failed(process: JudgeProcess, words: bytes) -> str:
    with pytest.raises(JudgeFailed) as caught:
        judged(process, words)
    return caught.value.code


def gone(pid: int, seconds: float = 20) -> bool:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if resident_bytes(pid) == 0:
            return True
        time.sleep(0.05)
    return False


def test_a_verdict_comes_back_whole() -> None:
    with judge() as process:
        answer = judged(process, b"live 200,40,40")
    assert isinstance(answer.verdict, Live)
    assert answer.verdict.judged_at == NOW
    assert answer.verdict.challenge_id == challenge().challenge_id
    assert len(answer.templates) == 2
    assert answer.templates[0].vector.flags.c_contiguous
    assert answer.portrait is not None
    assert (answer.portrait == picture_of((200, 40, 40))).all()


def test_what_the_examiner_refuses_is_refused_alike() -> None:
    with judge() as process:
        first = process.pid
        with pytest.raises(MediaError, match="no recording"):
            judged(process, b"hello")
        with pytest.raises(EngineError, match="made to fail"):
            judged(process, b"crash")
        assert isinstance(judged(process, b"live 1,2,3").verdict, Live)
        assert process.pid == first, "a refusal costs no process"


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        (b"segfault", Ending.CRASHED),
        (b"exit", Ending.CRASHED),
        (b"eat", Ending.TOO_MUCH_MEMORY),
        (b"hang", Ending.TIMED_OUT),
        (b"hang natively", Ending.TIMED_OUT),
    ],
)
def test_a_lost_judge_is_a_failure_and_the_next_recording_is_judged(words: bytes, ending: Ending) -> None:
    with judge(seconds=3.0) as process:
        process.wait_until_ready()
        first = process.pid
        assert failed(process, words) == ending
        assert process.pid != first
        assert resident_bytes(first) == 0, "nothing is left of it"
        assert isinstance(judged(process, b"live 1,2,3").verdict, Live)


def test_one_that_has_grown_is_replaced_before_it_fails_somebody() -> None:
    bounds = Bounds(memory=2 * MEMORY, idle_memory=200_000_000)
    with JudgeProcess(Settings(), bounds=bounds, opens=HOSTAGE) as process:
        process.wait_until_ready()
        first = process.pid
        judged(process, b"live 1,2,3")
        assert process.pid == first
        with pytest.raises(MediaError):  # the answer is what it was
            judged(process, b"leak")
        assert process.pid != first
        assert isinstance(judged(process, b"live 1,2,3").verdict, Live)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not bound what is allocated")
def test_one_huge_allocation_is_refused_before_it_is_made() -> None:
    with judge() as process, pytest.raises(EngineError, match="MemoryError"):
        judged(process, b"gulp")


def test_a_judge_that_was_taken_over_runs_nothing_in_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    monkeypatch.setenv("HOSTAGE_MARK", str(mark))
    with judge() as process:
        assert failed(process, b"lie") == Ending.CRASHED
        assert not mark.exists()
        assert isinstance(judged(process, b"live 1,2,3").verdict, Live)


def test_what_keeps_it_from_starting_is_said() -> None:
    with judge("tests.api.hostile_examiners:cannot_open") as process:
        with pytest.raises(JudgeFailed, match="the face model is missing") as caught:
            process.wait_until_ready()
        assert caught.value.code == "weights_missing"
    with judge("tests.api.hostile_examiners:never_opens", start_seconds=1.0) as process:
        assert failed(process, b"live 1,2,3") == Ending.TIMED_OUT


def test_closing_ends_it_at_once_even_in_the_middle() -> None:
    with judge() as process:
        process.wait_until_ready()
        pid = process.pid
    assert gone(pid)
    with pytest.raises(JudgeFailed) as caught:
        judged(process, b"live 1,2,3")
    assert caught.value.code == Ending.CLOSED


def test_signals_to_the_whole_group_leave_it_to_the_worker() -> None:
    with judge() as process:
        process.wait_until_ready()
        for sent in (signal.SIGINT, signal.SIGTERM):
            os.kill(process.pid, sent)
        assert isinstance(judged(process, b"live 1,2,3").verdict, Live)


_WORKER = """
import sys, threading
from api.judge_process import Bounds, JudgeProcess
from api.examiner import HandedIn
from api.settings import Settings
from liveness.policy import STRICT
from tests.people import NOW, challenge
process = JudgeProcess(Settings(), bounds=Bounds(seconds=3.0), opens="tests.api.hostile_examiners:hostage")
process.wait_until_ready()
say = lambda: print(process.pid, flush=True)
threading.Timer(1.0, say).start()
if sys.argv[1] == "idle":
    threading.Event().wait()
process.examine(
    HandedIn(data=sys.argv[1].encode(), challenge=challenge(), policy=STRICT, mirrored=False, now=NOW)
)
"""


@pytest.mark.parametrize("doing", ["idle", "hang", "hang natively"])
def test_it_does_not_outlive_a_worker_that_was_killed(doing: str) -> None:
    with subprocess.Popen([sys.executable, "-c", _WORKER, doing], cwd=ROOT, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        assert resident_bytes(pid) > 0
        worker.kill()
    assert gone(pid)


def _environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_it_gets_no_secret_and_dumps_no_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_KEYS_JSON", "very-secret")
    monkeypatch.setenv("MIEN_DATABASE_URL", "postgresql://very-secret")
    with judge() as process:
        process.wait_until_ready()
        assert b"very-secret" not in _environment_of(process.pid)
        assert b"very-secret" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        limits = Path(f"/proc/{process.pid}/limits").read_text(encoding="ascii")
        (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        assert core.split()[4:6] == ["0", "0"]


def test_nothing_that_reaches_the_database_or_the_network_is_loaded_beside_what_was_handed_in() -> None:
    loads = "import sys, api.judge_process, api.engines, liveness.decode; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", loads], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"sqlalchemy", "psycopg", "procrastinate", "fastapi", "httpx", "joserfc"} & set(done.stdout.split())


def test_of_two_judges_one_that_hangs_keeps_nobody_waiting() -> None:
    bounds = Bounds(seconds=30.0, start_seconds=60.0, memory=MEMORY)

    def examined(pool: JudgePool, words: bytes) -> Judged:
        return pool.examine(HandedIn(data=words, challenge=challenge(), policy=STRICT, mirrored=False, now=NOW))

    with JudgePool(Settings(), 2, bounds=bounds, opens=HOSTAGE) as pool, ThreadPoolExecutor(1) as thread:
        pool.wait_until_ready()
        hanging = thread.submit(examined, pool, b"hang")
        for _ in range(3):
            assert isinstance(examined(pool, b"live 1,2,3").verdict, Live)
        assert not hanging.done()
        pool.__exit__()
        with pytest.raises(JudgeFailed):
            hanging.result(20)
