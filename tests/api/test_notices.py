"""Notices make a withdrawal felt sooner. Take them away, at any point, and nothing opens."""

from __future__ import annotations

import asyncio
import json
import selectors
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

from api.interruptions import Interruptions
from api.notices import APPLICATION_NAME, CONSENT_CHANNEL, Notices
from api.rendering import Renderers, render_clip
from tests.api.conftest import Clock, World, owner_of, png, renderers
from tests.api.scripted import ALICE
from tests.api.test_clips import content, ordered, state
from tests.api.test_consents import revoke
from tests.api.test_liveness_sessions import code
from tests.api.test_worker import ROOT, WallClock, count, until, worker

pytestmark = pytest.mark.service


@pytest.fixture
def clock() -> Clock:
    """Other processes take part: everyone reads the same clock."""
    return WallClock()


def kill_listeners(world: World) -> int:
    """Break every connection that hears notices, in every process; gives how many there were."""
    with world.service.database.engine.begin() as connection:
        killed = connection.scalars(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = :name AND datname = current_database()"
            ),
            {"name": APPLICATION_NAME},
        )
        return sum(killed)


# --- the listener ----------------------------------------------------------------------------------------------------


def heard_while(conninfo: str, story: Callable[[Callable[[Callable[[], bool]], Any], list[str | None]], Any]) -> None:
    """Runs ``story(until, heard)`` on a loop that listens for consents."""

    async def run() -> None:
        heard: list[str | None] = []
        notices = Notices()
        notices.hear(CONSENT_CHANNEL, _fails)  # one that fails makes the next no deafer
        notices.hear(CONSENT_CHANNEL, heard.append)

        async def eventually(what: Callable[[], bool]) -> None:
            async with asyncio.timeout(30):
                while not what():  # noqa: ASYNC110 - what it waits for is in the database
                    await asyncio.sleep(0.02)

        async with notices.listening(conninfo):
            await story(eventually, heard)
            assert notices.is_listening or not conninfo
        assert not notices.is_listening

    asyncio.run(run())


def _fails(_: str | None) -> None:
    raise RuntimeError("a listener of ours")


def test_every_consent_event_is_heard_whoever_writes_it(world: World) -> None:
    consent = world.consent()

    async def story(eventually: Any, heard: list[str | None]) -> None:
        await eventually(lambda: heard == [None])  # just connected: anything may have changed
        await asyncio.to_thread(revoke, world, consent)
        await eventually(lambda: heard[1:] == [consent["consent_id"]])

    heard_while(world.service.database.conninfo, story)


def test_after_its_connection_broke_it_comes_back_and_says_that_something_may_be_missed(world: World) -> None:
    first, second = world.consent(), world.consent(world.shown_live(ALICE, "user-2"))

    async def story(eventually: Any, heard: list[str | None]) -> None:
        await eventually(lambda: heard == [None])
        assert await asyncio.to_thread(kill_listeners, world) >= 1
        await asyncio.to_thread(revoke, world, first)  # perhaps not heard
        await eventually(lambda: heard.count(None) == 2)
        await asyncio.to_thread(revoke, world, second)
        await eventually(lambda: second["consent_id"] in heard)

    heard_while(world.service.database.conninfo, story)


def test_without_a_database_it_waits_and_holds_nobody_up() -> None:
    async def run() -> None:
        notices = Notices()
        notices.hear(CONSENT_CHANNEL, _fails)
        async with asyncio.timeout(10):
            async with notices.listening("postgresql://nobody@127.0.0.1:1/none"):
                await asyncio.sleep(0.05)
                assert not notices.is_listening

    asyncio.run(run())


def test_a_notice_that_is_forged_opens_and_stops_nothing(world: World) -> None:
    """Anyone on the database may send one. What it leads to is a look at the record."""
    consent = world.consent()
    clip_id = ordered(world, [world.token(consent, "portrait")])
    interruptions = Interruptions()

    def forge(number: int) -> None:
        interruptions.consent_changed(consent["consent_id"])
        interruptions.consent_changed("x" * 10_000)

    assert render_clip(world.service, interrupted(world, interruptions, forge), clip_id)
    assert state(world, clip_id)["state"] == "done"


# --- work under way --------------------------------------------------------------------------------------------------


def interrupted(world: World, interruptions: Interruptions, on_frame: Callable[[int], None]) -> Renderers:
    usual = renderers(world.service, on_frame)
    return Renderers(generators=usual.generators, faces=usual.faces, bound=usual.bound, interruptions=interruptions)


def narrowed(world: World, consent: dict[str, Any]) -> None:
    path = f"/v1/consents/{consent['consent_id']}/narrow"
    assert world.call("POST", path, consent["manage_token"], json={"audience": ["studio"]}).status_code == 200


@pytest.mark.parametrize("deaf", [False, True])
@pytest.mark.parametrize(("change", "ends"), [(revoke, "withdrawn"), (narrowed, "failed")])
def test_a_clip_under_way_is_stopped_and_never_released(
    world: World, change: Callable[[World, dict[str, Any]], Any], ends: str, deaf: bool
) -> None:
    consent = world.consent()
    clip_id = ordered(world, [world.token(consent, "portrait")])
    interruptions, frames = Interruptions(), []

    def on_frame(number: int) -> None:
        frames.append(number)
        if number == 3:
            change(world, consent)
            if not deaf:
                interruptions.consent_changed(consent["consent_id"])

    assert not render_clip(world.service, interrupted(world, interruptions, on_frame), clip_id)
    if not deaf:
        assert frames[-1] <= 4, "it stops at the next picture"
    ended = state(world, clip_id)
    assert ended["state"] == ends
    assert ended["code"] in ("consent_revoked", "scope_audience", "gate_refused")
    assert content(world, clip_id).status_code == 410
    assert count(world, "SELECT count(*) FROM sealed WHERE kind = 'clip'") == 0
    assert count(world, "SELECT count(*) FROM permits WHERE completed_at IS NOT NULL") == 0


@pytest.mark.parametrize("fault", ["none", "listeners", "worker"])
def test_a_worker_in_the_middle_of_a_clip_releases_nothing_after_a_revocation(
    world: World, tmp_path: Path, fault: str
) -> None:
    """Also when its connection for notices is broken in between, and when it is killed and another takes over."""
    hold = tmp_path / "hold"
    hold.touch()
    consent = world.consent()
    clip_id = ordered(world, [world.token(consent, "portrait")])
    with worker(world, hold) as first:
        until(hold.with_suffix(".begun").exists)
        if fault == "listeners":
            assert kill_listeners(world) >= 1
        revoke(world, consent)
        assert state(world, clip_id)["state"] == "withdrawn"
        if fault == "worker":
            first.send_signal(signal.SIGKILL)
            first.wait()
        hold.unlink()
        if fault == "worker":
            with worker(world, hold):
                until(lambda: count(world, "SELECT count(*) FROM procrastinate_jobs") == 0)
        else:
            until(lambda: count(world, "SELECT count(*) FROM procrastinate_jobs") == 0)
    assert state(world, clip_id)["state"] == "withdrawn"
    assert code(content(world, clip_id)) == "consent_revoked"
    assert count(world, "SELECT count(*) FROM sealed WHERE kind = 'clip'") == 0
    assert count(world, "SELECT count(*) FROM permits WHERE completed_at IS NOT NULL") == 0


# --- another process -------------------------------------------------------------------------------------------------


class Other:
    """An API process besides our own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._ready = selectors.DefaultSelector()
        assert process.stdout is not None
        self._ready.register(process.stdout, selectors.EVENT_READ)

    def call(self, path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"method": "POST", "path": path, "key": key, "json": body}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        assert self._ready.select(60), "the other process does not answer"
        return dict(json.loads(self._process.stdout.readline()))


@contextmanager
def other_process(world: World) -> Iterator[Other]:
    settings = world.service.settings
    arguments = [world.service.database.url, str(settings.var), str(settings.keys)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.api.asking_process", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    other = Other(process)
    try:
        yield other
    finally:
        process.kill()
        process.communicate()
        other._ready.close()


@pytest.mark.parametrize("deaf", [False, True])
def test_what_one_process_revokes_another_refuses(world: World, deaf: bool) -> None:
    """The very next question, with its listener alive or dead; and a permit from before is worth nothing there."""
    consent = world.consent()
    photo, token = world.media(png(ALICE))["media_id"], world.token(consent)
    question = world.evaluation(tokens=[token], media=[photo])
    with other_process(world) as other:
        allowed = other.call("/access/v1/evaluation", world.keys["backend"], question)
        assert allowed["body"]["decision"] is True, allowed
        if deaf:
            kill_listeners(world)
        revoke(world, consent)
        asked_at = time.monotonic()
        refused = other.call("/access/v1/evaluation", world.keys["backend"], question)
        assert refused["body"]["decision"] is False
        assert [reason["code"] for reason in refused["body"]["context"]["reasons"]] == ["revoked", "no_token"]
        assert time.monotonic() - asked_at < 30, "a bound on the waiting, not a measurement"
        permit = {"permit": allowed["body"]["context"]["permit"], "job_sha256": "ab" * 32}
        spent = other.call("/v1/permits/redeem", world.keys["backend"], permit)
        assert (spent["status"], spent["body"]["code"]) == (410, "consent_revoked")


def test_half_a_revocation_does_not_exist(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record, the destroyed key and the demands on backends are one transaction: it fails as a whole."""
    consent = world.consent()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr("api.consents.purges.require", broken)
        assert revoke(world, consent).status_code == 500
    assert world.call("GET", f"/v1/consents/{consent['consent_id']}", "app").json()["state"] == "given"
    assert count(world, "SELECT count(*) FROM consents JOIN data_keys USING (data_key_id) WHERE wrapped IS NULL") == 0
    assert revoke(world, consent).json()["state"] == "withdrawn"


@pytest.mark.parametrize("table", ["purges", "consent_events"])
def test_a_gate_that_cannot_read_what_it_must_refuses(world: World, table: str) -> None:
    """The tables behind the rules are out of reach for a moment: no permit, and the books balance."""
    consent = world.consent()
    photo, token = world.media(png(ALICE))["media_id"], world.token(consent)
    with owner_of(world.service.database).begin() as blocker:  # the service's own role may not lock what is append-only
        blocker.exec_driver_sql(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        refused = world.ask(tokens=[token], media=[photo])
        assert [reason["code"] for reason in refused["context"]["reasons"]] == ["gate_error"]
    assert world.ask(tokens=[token], media=[photo])["decision"] is True
    assert count(world, "SELECT count(*) FROM attempts") == count(world, "SELECT count(*) FROM outcomes")
