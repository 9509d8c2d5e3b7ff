"""Who waits for whom: a withdrawal takes its turn before later questions, and waits for nobody who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from api.database import LINES
from api.gate import Answer, Question, ask, asking
from api.rendering import render_clip
from api.service import Service
from api.steps import Threads, follow
from api.tables import ClipRow
from consent.terms import Purpose
from tests.api.conftest import World, png, renderers
from tests.api.scripted import ALICE, BOB, CONTRACT, colour_template
from tests.api.test_clips import ordered, state
from tests.api.test_consents import revoke
from tests.api.test_worker import count, until

pytestmark = pytest.mark.service

_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def waiting(world: World) -> int:
    """How many transactions wait for a lock."""
    return count(world, _WAITING)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@contextmanager
def read_by_somebody(world: World, consent: dict[str, Any]) -> Iterator[None]:
    """As a question that is being answered holds it."""
    with world.service.database.transaction() as store:
        assert store.consent_shared(consent["consent_id"]) is not None
        yield


def test_who_asks_after_a_withdrawal_was_sent_does_not_pass_it(world: World, pool: ThreadPoolExecutor) -> None:
    """Or else whoever asks all the time puts the withdrawal off for as long as they like."""
    consent = world.consent()
    photo, token = world.media(png(ALICE))["media_id"], world.token(consent)
    with read_by_somebody(world, consent):
        taken_back: Future[Any] = pool.submit(revoke, world, consent)
        until(lambda: waiting(world) == 1)
        asked = pool.submit(world.ask, tokens=[token], media=[photo])
        until(lambda: waiting(world) == 2)
        assert not asked.done()
    assert taken_back.result(30).status_code == 200
    assert [reason["code"] for reason in asked.result(30)["context"]["reasons"]] == ["revoked", "no_token"]


def test_questions_about_the_same_person_do_not_wait_for_each_other(world: World) -> None:
    consent = world.consent()
    photo, token = world.media(png(ALICE))["media_id"], world.token(consent)
    with read_by_somebody(world, consent):
        assert world.ask(tokens=[token], media=[photo])["decision"] is True


@pytest.mark.parametrize("stage", ["clip_start", "clip_release"])
def test_a_clip_waits_for_a_withdrawal_without_being_in_its_way(
    world: World, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """A withdrawal holds the consent and then takes its clips. Who held a clip and waited for the consent would be waited for
    in turn, and the database would break one of the two off: perhaps the withdrawal."""
    consent = world.consent()
    clip_id = ordered(world, [world.token(consent, "portrait")])
    held = world.service.database.transaction()

    def asked(service: Service, question: Question) -> Answer:
        answer = ask(service, question)
        if question.stage == stage:  # it was permitted, and now a withdrawal begins
            held.__enter__().lock_consents([consent["consent_id"]])
        return answer

    monkeypatch.setattr("api.rendering.ask", asked)
    made = pool.submit(render_clip, world.service, renderers(world.service), clip_id)
    until(lambda: waiting(world) == 1)
    with world.service.database.transaction() as other:
        assert other.get(ClipRow, clip_id, lock=True) is not None, "at once: nobody holds it"
    held.__exit__(None, None, None)
    assert made.result(30) is True
    assert state(world, clip_id)["state"] == "done"


def test_two_permits_for_the_same_two_people_do_not_wait_for_each_other(world: World, pool: ThreadPoolExecutor) -> None:
    """Whatever the order in which their tokens were shown."""
    alice, bob = world.consent(), world.consent(world.shown_live(BOB, "user-2"))
    photo, tokens = world.media(png(ALICE, BOB))["media_id"], [world.token(alice), world.token(bob)]
    permits = [
        world.ask(tokens=order, media=[photo])["context"]["permit"]
        for order in (tokens, tokens[::-1])
        for _ in range(6)
    ]

    def spend(permit: str) -> int:
        body = {"permit": permit, "job_sha256": "ab" * 32}
        return int(world.call("POST", "/v1/permits/redeem", "backend", json=body).status_code)

    assert list(pool.map(spend, permits)) == [200] * len(permits)


def face(colour: tuple[int, int, int]) -> dict[str, Any]:
    """A question that shows this face and nothing else."""
    return {"embeddings": [{"contract_id": CONTRACT, "vector": colour_template(colour).vector.tolist()}]}


def test_who_waits_for_somebodys_turn_holds_up_no_question_about_others(world: World, pool: ThreadPoolExecutor) -> None:
    alice, bob = world.consent(), world.consent(world.shown_live(BOB, "user-2"))
    about_alice = {"tokens": [world.token(alice)], "properties": face(ALICE)}
    about_bob = {"tokens": [world.token(bob)], "properties": face(BOB)}
    for _ in range(3):  # from the second on, questions are answered on the event loop
        both = [pool.submit(world.ask, **about) for about in (about_alice, about_bob)]
        assert all(each.result(30)["decision"] for each in both)
    with world.service.database.transaction() as store:  # as somebody who changes it
        store.lock_consents([alice["consent_id"]])
        waits = pool.submit(world.ask, **about_alice)
        until(lambda: waiting(world) == 1)
        assert [world.ask(**about_bob)["decision"] for _ in range(5)] == [True] * 5
        assert not waits.done()
    assert waits.result(30)["decision"] is True


def test_a_question_that_nobody_waits_for_any_more_holds_nothing(world: World, pool: ThreadPoolExecutor) -> None:
    """As when the server goes down around it: it has no answer, and the sweep says so; nobody else waits for it."""
    consent = world.consent()
    about = {"tokens": [world.token(consent)], "properties": face(ALICE)}
    assert world.ask(**about)["decision"] is True
    question = Question(
        caller="apk_1", backend="studio", stage="evaluation", purpose=Purpose.DIGITAL_DOUBLE, job_sha256="ab" * 32,
        seconds=10, script=None, tokens=tuple(about["tokens"]), media_owner="apk_1",
        embeddings=(colour_template(ALICE),),
    )  # fmt: skip

    async def given_up() -> None:
        asked = asyncio.create_task(follow(asking(world.service, question), Threads.of(1, "test")))
        await asyncio.to_thread(until, lambda: waiting(world) == 1)
        asked.cancel()
        await asked

    with world.service.database.transaction() as store:
        store.lock_consents([consent["consent_id"]])
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(given_up())
    until(lambda: waiting(world) == 0)
    assert [world.ask(**about)["decision"] for _ in range(3)] == [True] * 3
    assert pool.submit(revoke, world, consent).result(30).status_code == 200
    assert count(world, "SELECT count(*) FROM attempts WHERE attempt_id NOT IN (SELECT attempt_id FROM outcomes)") == 1


def test_more_refusals_at_once_than_the_gate_has_connections_are_all_answers(world: World) -> None:
    """A no is written in a thread, while others wait in threads for the connection that it holds."""
    token = world.token(world.consent())
    assert world.ask(tokens=[token], properties=face(ALICE))["decision"] is True
    wrong = {"tokens": [token], "properties": face(BOB)}
    with ThreadPoolExecutor(3 * LINES) as many:
        answers = list(many.map(lambda _: world.ask(**wrong), range(6 * LINES)))
    assert {reason["code"] for answer in answers for reason in answer["context"]["reasons"]} <= _TO_A_WRONG_FACE


_TO_A_WRONG_FACE = {"unknown_face", "token_unused", "mismatch_budget"}


def test_the_gate_looks_rows_up_however_few_there_were_when_it_began(world: World) -> None:
    """What is planned once while a table is empty would be read row by row when it is full."""
    assert world.ask(tokens=[world.token(world.consent())], properties=face(ALICE))["decision"] is True
    with world.service.database.line() as line:
        plan = line._raw.execute(
            b"EXPLAIN EXECUTE gate_hold (ARRAY['cns_1'], 'studio', 'backend:studio', '2026-01-01', '2026-01-01', 60, 'att_1')"
        ).fetchall()
    assert not [row for row in plan if "Seq Scan" in row[0]]
