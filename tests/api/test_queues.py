"""Clips in the queue: whose turn it is, how long they may take, who is told how they ended, and what the stream says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from api.auth import Role
from api.capacity import Room
from api.queue import JobKind, Queue, clip_priority
from api.rendering import render_clip
from api.settings import Settings
from api.sweeping import sweep
from api.tables import ClipRow
from tests.api.conftest import World, renderers
from tests.api.receiver import Receiver, receiver
from tests.api.test_clips import content, order, ordered, render, state
from tests.api.test_consents import revoke
from tests.api.test_liveness_sessions import code
from tests.api.test_webhooks import deliver_all, listen, said

pytestmark = pytest.mark.service

ENDS = ["clip.done", "clip.failed", "clip.withdrawn"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, webhook_loopback=True, clip_deadline_s=3600)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as receiving:
        yield receiving


def in_turn(world: World, queue: str = "portrait") -> list[str]:
    """Clips as a worker would take them."""
    with world.service.database.engine.connect() as connection:
        return list(
            connection.scalars(
                text(
                    "SELECT args->>'clip_id' FROM procrastinate_jobs WHERE queue_name = :queue AND status = 'todo' "
                    "ORDER BY priority DESC, id"
                ),
                {"queue": queue},
            )
        )


# --- whose turn it is ------------------------------------------------------------------------------------------------


def test_an_app_that_orders_much_delays_itself(world: World) -> None:
    token = world.token(world.consent(), "portrait")
    low = ordered(world, [token], priority="low")
    many = [ordered(world, [token]) for _ in range(3)]
    world.keys["two"] = world.key(Role.APP, "app-two")

    def by_the_other(**more: Any) -> str:
        body = {"script": "Hi.", "width": 320, "height": 320, "tokens": [token]} | more
        answer = world.call("POST", "/v1/clips", "two", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["clip_id"])

    first, second = by_the_other(), by_the_other()
    assert in_turn(world) == [first, many[0], second, many[1], many[2], low]
    world.call("DELETE", f"/v1/clips/{many[0]}", "app")
    assert render(world, many[1])
    assert code(order(world, [token], priority="high")) == "request_invalid"


def test_low_is_behind_everything_else_however_much_there_is() -> None:
    assert clip_priority(0, low=False) == 0
    assert clip_priority(3, low=False) > clip_priority(4, low=False)
    assert clip_priority(1_000_000, low=False) > clip_priority(0, low=True)


def test_every_kind_has_a_queue_and_people_go_first(world: World) -> None:
    session = world.session()
    world.challenge(session)
    world.capture(session, b"live 200,40,40")
    with world.service.database.transaction() as store:
        for kind in ("portrait", "story", "cameo", "remote"):
            Queue().make(store, f"clp_{kind}", kind)
    with world.service.database.engine.connect() as connection:
        rows = connection.execute(text("SELECT queue_name, task_name, priority FROM procrastinate_jobs ORDER BY id"))
        assert [tuple(row) for row in rows] == [
            ("judge", "judge", 10), ("portrait", "render", 0), ("story", "render", 0), ("cameo", "render", 0),
            ("remote", "remote", 0),
        ]  # fmt: skip
    with pytest.raises(ValueError, match="hologram"):
        JobKind("hologram")


def test_what_needs_more_memory_than_the_worker_has_is_said(world: World) -> None:
    clip_id = ordered(world, [world.token(world.consent(), "portrait")])
    assert not render_clip(world.service, replace(renderers(world.service), room=Room(500_000_000)), clip_id)
    failed = state(world, clip_id)
    assert (failed["state"], failed["code"]) == ("failed", "memory_insufficient")
    (reason,) = failed["reasons"]
    assert reason["need_mb"] > reason["have_mb"] == 500


def test_a_job_that_took_three_workers_with_it_is_given_up(world: World) -> None:
    """Each left the clip as its own; the fourth must still be able to end it."""
    clip_id = ordered(world, [world.token(world.consent(), "portrait")])
    with world.service.database.transaction() as store:
        store.start_run(clip_id, "run_of_the_dead")
    assert not render(world, clip_id, tried=3)
    assert (state(world, clip_id)["state"], state(world, clip_id)["code"]) == ("failed", "internal_error")


# --- how long it may take --------------------------------------------------------------------------------------------


def test_what_nobody_began_in_time_ends(world: World) -> None:
    token = world.token(world.consent(), "portrait")
    soon, usual, made = ordered(world, [token], deadline_s=60), ordered(world, [token]), ordered(world, [token])
    assert state(world, soon)["deadline_at"] < state(world, usual)["deadline_at"]
    assert render(world, made)
    world.clock.move(59)
    sweep(world.service)
    assert state(world, soon)["state"] == "queued"
    world.clock.move(1)
    sweep(world.service)
    assert (state(world, soon)["state"], state(world, soon)["code"]) == ("failed", "deadline")
    assert code(content(world, soon)) == "clip_failed"
    assert not render(world, soon)
    world.clock.move(3600 - 60)
    sweep(world.service)
    assert [state(world, each)["state"] for each in (usual, made)] == ["failed", "done"]


@pytest.mark.parametrize("when", ["before", "during", "swept"])
def test_what_is_begun_too_late_or_takes_too_long_is_not_released(world: World, when: str) -> None:
    consent = world.consent(limits={"max_seconds": 30, "uses": 1})
    token = world.token(consent, "portrait")
    clip_id = ordered(world, [token], deadline_s=60)

    def late(number: int) -> None:
        if number == 12:
            world.clock.move(60)
            if when == "swept":
                sweep(world.service)

    if when == "before":
        world.clock.move(60)
    assert not render(world, clip_id, late)
    assert (state(world, clip_id)["state"], state(world, clip_id)["code"]) == ("failed", "deadline")
    with world.service.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM sealed WHERE kind = 'clip'")) == 0
    assert render(world, ordered(world, [token])), "it did not count as a use"


def test_a_clip_that_the_release_before_took_ends_too(world: World) -> None:
    clip_id = ordered(world, [world.token(world.consent(), "portrait")])
    with world.service.database.engine.begin() as connection:
        connection.execute(text("UPDATE clips SET deadline_at = NULL"))
    world.clock.move(3600)
    sweep(world.service)
    assert state(world, clip_id)["code"] == "deadline"


@pytest.mark.parametrize("seconds", [0, 9, 604_801, "soon"])
def test_deadlines_have_bounds(world: World, seconds: object) -> None:
    assert code(order(world, [], deadline_s=seconds)) == "request_invalid"


def test_a_clip_is_cancelled_in_the_middle_and_after(world: World) -> None:
    token = world.token(world.consent(), "portrait")
    clip_id, done = ordered(world, [token]), ordered(world, [token])

    def cancel(number: int) -> None:
        if number == 12:
            assert world.call("DELETE", f"/v1/clips/{clip_id}", "app").json()["state"] == "cancelled"

    assert not render(world, clip_id, cancel)
    assert render(world, done)
    assert world.call("DELETE", f"/v1/clips/{done}", "app").json()["state"] == "cancelled"
    for each in (clip_id, done):
        assert state(world, each)["state"] == "cancelled"
        assert code(content(world, each)) == "clip_cancelled"
    world.clock.move(7200)
    sweep(world.service)
    assert state(world, clip_id)["state"] == "cancelled", "no deadline comes after it"


# --- who is told -----------------------------------------------------------------------------------------------------


def test_the_app_is_told_how_each_clip_ended_once_and_nothing_else(world: World, hook: Receiver) -> None:
    listen(world, "app", hook.url, ENDS)
    consent = world.consent()
    token = world.token(consent, "portrait")
    done, failed, late = ordered(world, [token]), ordered(world, [token], script="too hard"), ordered(world, [token])
    cancelled = ordered(world, [token])
    world.call("DELETE", f"/v1/clips/{cancelled}", "app")
    assert render(world, done)
    assert not render(world, done)
    assert not render(world, failed)
    world.clock.move(3600)
    sweep(world.service)
    sweep(world.service)
    revoke(world, consent)
    deliver_all(world)
    told = {(message["type"], message["data"]["clip_id"]): message["data"] for message in said(hook)}
    assert len(said(hook)) == len(told)
    assert told == {
        ("clip.done", done): {"clip_id": done, "state": "done"},
        ("clip.failed", failed): {"clip_id": failed, "state": "failed", "code": "script_unspeakable"},
        ("clip.failed", late): {"clip_id": late, "state": "failed", "code": "deadline"},
        ("clip.withdrawn", done): {
            "clip_id": done, "state": "withdrawn", "consent_id": consent["consent_id"], "code": "consent_revoked",
        },
    }  # fmt: skip


def test_another_app_hears_nothing_of_it(world: World, hook: Receiver) -> None:
    world.keys["two"] = world.key(Role.APP, "app-two")
    listen(world, "two", hook.url, ENDS)
    assert render(world, ordered(world, [world.token(world.consent(), "portrait")]))
    deliver_all(world)
    assert said(hook) == []


# --- what the stream says --------------------------------------------------------------------------------------------


def stream(world: World, clip_id: str, last: str | None = None) -> tuple[int, list[dict[str, Any]]]:
    """Status, and the events until it ended."""
    headers = {"Authorization": f"Bearer {world.keys['app']}"} | ({} if last is None else {"Last-Event-ID": last})
    told: list[dict[str, Any]] = []
    with world.client.stream("GET", f"/v1/clips/{clip_id}/events", headers=headers) as answer:
        for block in "\n".join(answer.iter_lines()).split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "data" in fields:
                told.append(fields | {"data": json.loads(fields["data"])})
            else:
                assert set(fields) <= {"retry"}
        return answer.status_code, told


def test_who_comes_back_hears_only_what_is_new_and_is_sent_away_at_the_end(world: World) -> None:
    consent = world.consent()
    clip_id = ordered(world, [world.token(consent, "portrait")])
    assert render(world, clip_id)
    status, told = stream(world, clip_id)
    assert (status, [event["event"] for event in told]) == (200, ["done"])
    seen = told[0]["id"]
    assert stream(world, clip_id, seen) == (204, [])
    assert stream(world, clip_id, "0")[1] == told
    assert stream(world, clip_id, "nonsense")[1] == told
    revoke(world, consent)
    status, after = stream(world, clip_id, seen)
    assert [(event["event"], event["data"]["code"]) for event in after] == [("withdrawn", "consent_revoked")]
    assert int(after[0]["id"]) > int(seen)


def test_what_is_told_never_goes_back_also_when_another_worker_begins_again(world: World) -> None:
    clip_id = ordered(world, [world.token(world.consent(), "portrait")])
    with world.service.database.transaction() as store:
        store.start_run(clip_id, "run_one")
        assert store.set_progress(clip_id, "run_one", 0.6)
    with world.service.database.transaction() as store:
        store.start_run(clip_id, "run_two")
        assert not store.set_progress(clip_id, "run_one", 0.7), "the first is overtaken"
        assert store.set_progress(clip_id, "run_two", 0.1)
    assert (state(world, clip_id)["state"], state(world, clip_id)["progress"]) == ("running", 0.6)


def test_a_stream_says_that_it_lives_until_it_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.routes_clips._LOOK_AGAIN_S", 0.05)
    clip_id = ordered(world, [world.token(world.consent(), "portrait")])
    beats, lines = 0, []

    def cancel() -> None:
        with world.service.database.transaction() as store:
            clip = store.get(ClipRow, clip_id, lock=True)
            assert clip is not None
            clip.state = "cancelled"

    # the client hands over whole answers only: it is ended from another thread
    threading.Timer(1.0, cancel).start()
    with world.client.stream(
        "GET", f"/v1/clips/{clip_id}/events", headers={"Authorization": f"Bearer {world.keys['app']}"}
    ) as answer:
        for line in answer.iter_lines():
            beats += line == ": still here"
            lines += [line] if line.startswith(("event", "retry")) else []
    assert beats >= 2
    assert lines == ["retry: 2000", "event: progress", "event: cancelled"]
