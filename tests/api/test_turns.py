"""Who waits for whom: a withdrawal takes its turn before later questions, and waits for nobody who waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from api.gate import Answer, Question, ask
from api.rendering import render_clip
from api.service import Service
from api.tables import ClipRow
from tests.api.conftest import ALICE, BOB, World, png, renderers
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
