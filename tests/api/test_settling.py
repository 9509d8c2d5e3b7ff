"""How questions and answers get into the log and the counts: a moment after they were written, and in that order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.auth import KNOWN_FOR_S, KeyHolder, KeyHolders, Person, Role
from api.balance import balance as balance_of
from api.books import SETTLED_WITHIN, settle, settle_all
from api.storage import Store
from api.worker import Rhythm
from api.written import verify_books
from consent.errors import LedgerBroken
from tests.api.conftest import World, png
from tests.api.scripted import ALICE
from tests.api.test_books import balance, figures, plant, sql
from tests.api.test_consents import revoke
from tests.api.test_gate import books, codes, permitted
from tests.api.test_worker import until, worker

pytestmark = pytest.mark.service


@pytest.fixture
def unsettled(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """As if the thread in this process that settles were always a moment late."""
    monkeypatch.setattr(Store, "try_lock_ledger", lambda _: False)
    settle_all(world.service)
    return world


def unlogged(world: World) -> int:
    return int(
        sql(world, "SELECT count(*) FROM attempt_entries WHERE attempt_index IS NULL OR outcome_index IS NULL").scalar()
    )


def kinds(world: World) -> list[str]:
    return [kind for (kind,) in sql(world, "SELECT kind FROM ledger_entries ORDER BY entry_index")]


def broken(world: World) -> LedgerBroken:
    with pytest.raises(LedgerBroken) as found, world.service.database.transaction() as store:
        verify_books(store, world.service.keys.public)
    return found.value


def test_what_was_asked_is_in_the_log_soon_without_anybody_looking(world: World) -> None:
    world.ask(tokens=[])
    until(lambda: unlogged(world) == 0)
    assert kinds(world) == ["gate.attempt", "gate.outcome"]


def test_a_worker_settles_what_others_were_asked(unsettled: World, tmp_path: Path) -> None:
    """Within seconds, not only when it sweeps."""
    with worker(unsettled, tmp_path / "hold"):
        unsettled.ask(tokens=[])
        until(lambda: unlogged(unsettled) == 0)  # it is there
        for _ in range(3):
            unsettled.ask(tokens=[])
            until(lambda: unlogged(unsettled) == 0, seconds=Rhythm().sweep_every_s / 4)


def test_what_waits_is_in_the_books_already(unsettled: World) -> None:
    world = unsettled
    permitted(world)
    world.ask(tokens=[])
    assert unlogged(world) == 2
    before = balance(world)
    assert figures(before) == (2, 1, 1, 0, 0, 0)
    assert (before["holds"], before["refused_because"]) == (True, {"no_face": 1})
    assert settle_all(world.service) == 4
    assert balance(world) | {"unlogged_s": 0} == before | {"unlogged_s": 0}
    assert figures(balance(world, recount=True)) == (2, 1, 1, 0, 0, 0)
    assert settle_all(world.service) == 0


def test_a_permit_stands_in_the_log_before_a_withdrawal_that_came_after_it(unsettled: World) -> None:
    """Or else it would look as if the gate had given it in spite of the withdrawal."""
    world = unsettled
    consent, _ = permitted(world)
    revoke(world, consent)
    world.ask(tokens=[])
    settle_all(world.service)
    asked = ["gate.attempt", "gate.outcome"]
    assert kinds(world) == ["consent.granted", *asked, "consent.revoked", *asked]
    assert balance(world)["fail_open"] == 0


def test_a_search_finds_what_was_asked_a_moment_ago(unsettled: World) -> None:
    world = unsettled
    consent, _ = permitted(world)
    found = world.call("GET", f"/v1/audit/search?kind=attempt&consent_id={consent['consent_id']}", "auditor").json()
    assert len(found["results"]) == 1
    permitted(world)
    own = world.call("GET", "/v1/subject/attempts", consent["manage_token"]).json()["results"]
    assert len(own) == 2


def test_deleting_a_person_reaches_questions_that_wait(unsettled: World) -> None:
    world = unsettled
    consent, _ = permitted(world)
    assert unlogged(world) == 1
    assert world.call("DELETE", "/v1/subject", consent["manage_token"]).status_code == 200
    assert sql(world, "SELECT count(*) FROM attempt_entries WHERE salt IS NOT NULL").scalar() == 0
    assert unlogged(world) == 0
    assert world.call("GET", "/v1/audit/log", "auditor").json()["valid"] is True


def test_one_that_waits_is_not_missing_and_one_that_was_dropped_is(unsettled: World) -> None:
    world = unsettled
    world.ask(tokens=[])
    with world.service.database.transaction() as store:
        verify_books(store, world.service.keys.public)
    sql(world, "DELETE FROM gate_waiting WHERE what = 'outcome'")
    assert "has no entry" in broken(world).why
    settle_all(world.service)
    assert kinds(world) == ["gate.attempt"]
    assert "has no entry" in broken(world).why


def test_one_that_waits_too_long_is_told(unsettled: World) -> None:
    world = unsettled
    world.ask(tokens=[])
    sql(world, "UPDATE gate_waiting SET at = at - interval '61 seconds'")
    assert SETTLED_WITHIN.total_seconds() == 60
    found = balance(world)
    assert (found["holds"], found["unlogged_s"] > 60) == (False, True)
    assert "mien_gate_books_hold 0" in world.call("GET", "/metrics").text.splitlines()
    assert "has no entry" in broken(world).why
    settle_all(world.service)
    assert balance(world)["holds"] is True


def test_a_question_sets_a_log_going_that_stands_still(unsettled: World) -> None:
    world = unsettled
    world.ask(tokens=[])
    sql(world, "UPDATE gate_waiting SET at = at - interval '61 seconds'")
    permitted(world)
    assert kinds(world)[:2] == ["gate.attempt", "gate.outcome"]
    assert balance(world)["holds"] is True


def test_nothing_is_permitted_while_nothing_can_be_put_into_the_log(unsettled: World) -> None:
    """A withdrawal could not be written down either."""
    world = unsettled
    consent, _ = permitted(world)
    photo, token = world.media(png(ALICE))["media_id"], world.token(consent)
    assert settle_all(world.service) == 2
    plant(world, "DELETE FROM log_nodes WHERE level = 1")
    assert revoke(world, consent).status_code == 500
    assert world.ask(tokens=[token], media=[photo])["decision"] is True
    sql(world, "UPDATE gate_waiting SET at = at - interval '61 seconds'")
    assert codes(world.ask(tokens=[token], media=[photo])) == ["gate_error"]


def test_one_that_cannot_be_read_holds_up_nobody_and_is_told(unsettled: World) -> None:
    world = unsettled
    damaged = world.ask(tokens=[])["context"]["attempt_id"]
    world.ask(tokens=[])
    sql(world, "UPDATE attempt_entries SET salt = 'short' WHERE attempt_id = :id", id=damaged)
    world.consent()
    assert kinds(world) == ["gate.attempt", "gate.outcome", "consent.granted"]
    assert figures(balance(world)) == (2, 0, 2, 0, 0, 0)
    assert "has no entry" in broken(world).why


def test_two_who_settle_at_once_put_nothing_in_twice(unsettled: World) -> None:
    world = unsettled
    for _ in range(3):
        world.ask(tokens=[])
    with world.service.database.transaction() as store:
        assert settle(store, now=world.clock(), most=4) == 4
    assert settle_all(world.service) == 2
    assert kinds(world) == ["gate.attempt", "gate.outcome"] * 3
    assert figures(balance(world, recount=True)) == (3, 0, 3, 0, 0, 0)
    with world.service.database.transaction() as store:
        assert verify_books(store, world.service.keys.public).written.checked == 6
        assert balance_of(store, now=world.clock()).holds


def test_a_settling_that_fails_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[Any] = []

    def unwell(_: Store) -> bool:
        failed.append(1)
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(Store, "waits_s", unwell)
        assert codes(world.ask(tokens=[])) == ["no_face"]
        until(lambda: len(failed) > 1)
    until(lambda: unlogged(world) == 0)


# --- who asks --------------------------------------------------------------------------------------------------------


def test_a_key_is_known_for_a_second_and_no_longer() -> None:
    now = [10.0]
    known = KeyHolders(clock=lambda: now[0])
    holder = KeyHolder(key_id="apk_1", role=Role.BACKEND, name="studio")
    assert known.of("mien_backend_x") is None
    known.remember("mien_backend_x", holder)
    now[0] += KNOWN_FOR_S - 0.01
    assert known.of("mien_backend_x") is holder
    assert known.of("mien_backend_y") is None
    assert known.of(None) is None
    now[0] += 0.01
    assert known.of("mien_backend_x") is None
    known.remember("mien_person_x", Person(token_id="tok_1", session_id=None, consent_id="cns_1"))
    assert known.of("mien_person_x") is None


def test_a_key_that_was_withdrawn_asks_nothing_though_it_is_known(world: World) -> None:
    assert world.ask(tokens=[])["decision"] is False
    sql(world, "UPDATE api_keys SET revoked_at = now() WHERE role = 'backend'")
    body = world.evaluation(tokens=[])
    for _ in range(2):
        assert world.call("POST", "/access/v1/evaluation", "backend", json=body).status_code == 401
    assert books(world) == (1, 1), "it is no attempt"
