"""The worker as a process: what it is killed in the middle of is finished once by the next."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from api.app import create_app, open_service
from api.database import Database
from api.engines import FaceEngines
from api.service import wall_clock
from api.settings import Settings
from api.sweeping import sweep
from api.tables import IdempotencyRow
from tests.api.conftest import Clock, World
from tests.api.test_clips import ordered, state
from tests.api.test_liveness_sessions import status

pytestmark = pytest.mark.service

ROOT = Path(__file__).resolve().parents[2]


class WallClock(Clock):
    def __call__(self) -> Any:
        return wall_clock()


@pytest.fixture
def clock() -> Clock:
    """Other processes take part: everyone reads the same clock."""
    return WallClock()


@contextmanager
def worker(world: World, hold: Path) -> Iterator[subprocess.Popen[bytes]]:
    settings = world.service.settings
    arguments = [world.service.database.url, str(settings.var), str(settings.keys), str(hold)]
    arguments += [] if settings.backends is None else ["3", str(settings.backends)]
    process = subprocess.Popen([sys.executable, "-m", "tests.api.worker_process", *arguments], cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(what: Callable[[], bool], seconds: float = 45) -> None:
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "it never happened"
        time.sleep(0.1)


def count(world: World, query: str) -> int:
    with world.service.database.engine.connect() as connection:
        return int(connection.scalar(text(query)) or 0)


def test_what_a_killed_worker_left_is_finished_once(world: World, tmp_path: Path) -> None:
    """kill -9 in the middle of judging, then in the middle of making a clip."""
    hold = tmp_path / "hold"
    hold.touch()
    begun = hold.with_suffix(".begun")
    session = world.session()
    world.challenge(session)
    world.capture(session, b"live 200,40,40")

    with worker(world, hold) as first:
        until(begun.exists)
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert status(world, session)["status"] == "judging"
    hold.unlink()
    begun.unlink()

    with worker(world, hold) as second:
        until(lambda: status(world, session)["status"] == "passed")
        assert count(world, "SELECT count(*) FROM verdicts") == 1

        consent = world.consent(session, limits={"max_seconds": 30, "uses": 1})
        hold.touch()
        clip_id = ordered(world, [world.token(consent, "portrait")])
        until(begun.exists)
        second.send_signal(signal.SIGKILL)
        second.wait()
    assert state(world, clip_id)["state"] == "running"
    hold.unlink()

    with worker(world, hold) as third:
        until(lambda: state(world, clip_id)["state"] == "done")
        assert count(world, "SELECT count(*) FROM sealed WHERE kind = 'clip'") == 1
        assert count(world, "SELECT count(*) FROM permits WHERE redeemed_at IS NOT NULL") == 1
        until(lambda: count(world, "SELECT count(*) FROM procrastinate_jobs") == 0)
        third.send_signal(signal.SIGTERM)
        assert third.wait(15) == 0
    attempts, outcomes = (count(world, f"SELECT count(*) FROM {table}") for table in ("attempts", "outcomes"))  # noqa: S608
    assert attempts == outcomes


def test_a_worker_told_to_stop_leaves_its_job_to_the_next(world: World, tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    session = world.session()
    world.challenge(session)
    world.capture(session, b"live 200,40,40")
    with worker(world, hold) as first:
        until(hold.with_suffix(".begun").exists)
        first.send_signal(signal.SIGINT)
        assert first.wait(15) == 0
    hold.unlink()
    with worker(world, hold):
        until(lambda: status(world, session)["status"] == "passed")
    assert count(world, "SELECT count(*) FROM verdicts") == 1


@pytest.mark.parametrize("words", [b"segfault", b"eat", b"hang natively"])
def test_a_recording_that_kills_its_judge_is_given_up_and_the_next_is_judged(world: World, words: bytes) -> None:
    """A crash in a decoder, a bomb and a hang: that attempt was not measured; the same worker goes on."""
    lost, next_one = world.session(), world.session("user-2")
    world.challenge(lost)
    world.capture(lost, words)
    with worker(world, Path("hostage")) as only:
        until(lambda: status(world, lost)["status"] != "judging", seconds=90)
        assert status(world, lost)["reasons"] == ["not_measured"]
        world.challenge(next_one)
        world.capture(next_one, b"live 200,40,40")
        until(lambda: status(world, next_one)["status"] == "passed")
        assert only.poll() is None
        only.send_signal(signal.SIGTERM)
        assert only.wait(15) == 0
    assert count(world, "SELECT count(*) FROM verdicts") == 2


def test_a_job_exists_exactly_when_its_row_does(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    session = world.session()
    world.challenge(session)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr("api.routes_liveness.CaptureTaken", broken)
        patched.setattr("api.storage.Store.after_commit", broken)
        patched.setattr(type(world.service.vault), "put", broken)
        assert world.capture(session, b"live 200,40,40").status_code == 500
    assert count(world, "SELECT count(*) FROM procrastinate_jobs") == 0
    assert world.capture(session, b"live 200,40,40").status_code == 202
    assert count(world, "SELECT count(*) FROM procrastinate_jobs") == 1


def test_kept_answers_are_swept(settings: Settings, database: Database, faces: FaceEngines) -> None:
    clock = Clock()
    with open_service(settings, faces=faces, now=clock, database=database) as service:
        create_app(service)
        with service.database.transaction() as store:
            store.add(IdempotencyRow(caller="a", key="k", request_sha256=b"", created_at=clock()))
        clock.move(24 * 3600 + 1)
        sweep(service)
        with service.database.transaction() as store:
            assert store.get(IdempotencyRow, ("a", "k")) is None
