"""What follows from a withdrawal: backends that must delete, clips and templates that go, and a clock that everyone sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from api.auth import Role
from api.settings import Settings
from api.sweeping import sweep
from consent.keys import KeySet
from consent.purge import LIMIT, TARGET, read_purge_receipt
from tests.api.conftest import World, png
from tests.api.receiver import Receiver, receiver
from tests.api.scripted import ALICE, BOB
from tests.api.test_clips import content, ordered, render, state
from tests.api.test_consents import revoke
from tests.api.test_gate import codes
from tests.api.test_liveness_sessions import code
from tests.api.test_webhooks import deliver_all, listen, said, used

pytestmark = pytest.mark.service

HOUR = 3600.0


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, webhook_loopback=True)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as receiving:
        yield receiving


def owed(world: World, **query: Any) -> list[dict[str, Any]]:
    return list(world.call("GET", "/v1/purges", "backend", params=query).json()["purges"])


def confirm(world: World, purge_id: str, who: str = "backend", **more: Any) -> Any:
    body = {"assets_deleted": 2, "at": world.clock().isoformat()} | more
    return world.call("POST", f"/v1/purges/{purge_id}/confirm", who, json=body)


def asks(world: World, colour: tuple[int, int, int] = BOB, name: str = "bob") -> dict[str, Any]:
    """The backend asks for somebody whose consent holds."""
    consent = world.consent(world.shown_live(colour, name))
    return world.ask(tokens=[world.token(consent)], media=[world.media(png(colour))["media_id"]])


def steps(world: World) -> list[str]:
    with world.service.database.engine.connect() as connection:
        return list(connection.scalars(text("SELECT kind FROM withdrawal_events ORDER BY at, kind")))


def test_a_backend_that_worked_under_a_revoked_consent_must_delete_and_say_so(world: World, hook: Receiver) -> None:
    listen(world, "backend", hook.url, ["asset.purge_required"])
    listen_app = listen(world, "app", hook.url, ["purge.confirmed"])
    assert listen_app["secret"] is not None
    consent = world.consent()
    used(world, consent)
    revoke(world, consent)

    (purge,) = owed(world)
    assert (purge["reason"], purge["state"], purge["seconds_left"]) == ("revoked", "required", 48 * 3600)
    deliver_all(world)
    (message,) = said(hook)
    assert message["data"]["purge_id"] == purge["purge_id"]
    assert (
        message["data"]["permits"] == world.call("GET", f"/v1/purges/{purge['purge_id']}", "backend").json()["permits"]
    )
    assert message["data"]["permits_count"] == 1

    world.clock.move(600)
    answer = confirm(world, purge["purge_id"], signature="studio-signed")
    assert answer.status_code == 200, answer.text
    keys = KeySet.from_jwks(world.call("GET", "/.well-known/jwks.json").json())
    receipt = read_purge_receipt(answer.json()["receipt"], keys)
    assert (receipt.assets_deleted, receipt.backend, receipt.backend_signature) == (2, "studio", "studio-signed")
    assert receipt.consent_id == consent["consent_id"]
    assert owed(world) == []
    assert [one["state"] for one in owed(world, confirmed=True)] == ["confirmed"]
    again = confirm(world, purge["purge_id"], assets_deleted=99)
    assert again.json()["receipt"] == answer.json()["receipt"], "the first statement stands"
    deliver_all(world)
    assert [one["type"] for one in said(hook)] == ["asset.purge_required", "purge.confirmed"]


def test_the_person_sees_the_countdown(world: World) -> None:
    consent = world.consent()
    used(world, consent)
    path = f"/v1/consents/{consent['consent_id']}/purges"
    assert world.call("GET", path, consent["manage_token"]).json() == {"purges": []}
    revoke(world, consent)
    world.clock.move(HOUR)
    for who in (consent["manage_token"], "app", "auditor"):
        (purge,) = world.call("GET", path, who).json()["purges"]
        assert (purge["backend"], purge["state"], purge["seconds_left"]) == ("studio", "late", 47 * 3600)
    stranger = world.consent(world.shown_live(BOB, "user-2"))
    for who in (stranger["manage_token"], "backend", world.key(Role.APP, "app-two")):
        assert code(world.call("GET", path, who)) == "not_found"
    confirm(world, purge["purge_id"])
    (done,) = world.call("GET", path, consent["manage_token"]).json()["purges"]
    assert (done["state"], done["seconds_left"]) == ("confirmed", 0)
    assert done["receipt"]


def test_a_backend_that_never_used_it_owes_nothing(world: World) -> None:
    consent = world.consent()
    photo = world.media(png(ALICE))
    permit = world.ask(tokens=[world.token(consent)], media=[photo["media_id"]])["context"]["permit"]
    revoke(world, consent)
    assert owed(world) == []
    late = world.call("POST", "/v1/permits/redeem", "backend", json={"permit": permit, "job_sha256": "ab" * 32})
    assert (late.status_code, code(late)) == (410, "consent_revoked")


def test_a_backend_that_does_not_confirm_is_refused_from_the_48th_hour_without_any_sweep(world: World) -> None:
    consent = world.consent()
    used(world, consent)
    revoke(world, consent)
    (purge,) = owed(world)
    world.clock.move(LIMIT.total_seconds() - 1)
    before = asks(world)
    assert before["decision"] is True
    world.clock.move(1)
    bob = world.consent(world.shown_live(BOB, "bob-2"))
    photo, token = world.media(png(BOB))["media_id"], world.token(bob)
    assert codes(world.ask(tokens=[token], media=[photo])) == ["backend_blocked"]
    unspent = before["context"]["permit"]
    spent = world.call("POST", "/v1/permits/redeem", "backend", json={"permit": unspent, "job_sha256": "ab" * 32})
    assert (spent.status_code, code(spent)) == (403, "backend_blocked")

    assert confirm(world, purge["purge_id"]).status_code == 200
    assert world.ask(tokens=[token], media=[photo])["decision"] is True
    assert steps(world)[-2:] == ["backend.unblocked", "purge.confirmed"]


def test_the_sweep_writes_a_block_down_once_and_reminds(world: World, hook: Receiver) -> None:
    listen(world, "backend", hook.url, ["asset.purge_required"])
    consent = world.consent()
    used(world, consent)
    revoke(world, consent)
    deliver_all(world)
    world.clock.move(LIMIT.total_seconds() - 1)
    sweep(world.service)
    assert "backend.blocked" not in steps(world)
    world.clock.move(1)
    sweep(world.service)
    sweep(world.service)
    assert steps(world).count("backend.blocked") == 1
    deliver_all(world)
    assert [message["data"]["state"] for message in said(hook)] == ["required", "overdue"]
    (blocked,) = world.call("GET", "/v1/backends/blocked", "auditor").json()["blocked"]
    assert blocked["backend"] == "studio"
    figures = world.call("GET", "/metrics").text
    assert 'mien_purges{state="overdue"} 1' in figures
    assert 'mien_webhook_deliveries{state="delivered"} 2' in figures


def test_an_admin_lifts_a_block_with_a_reason_and_the_debt_stays(world: World) -> None:
    consent = world.consent()
    used(world, consent)
    revoke(world, consent)
    none = world.call("POST", "/v1/backends/studio/unblock", "admin", json={"reason": "nothing is blocked yet"})
    assert code(none) == "not_found"
    world.clock.move(LIMIT.total_seconds())
    for who in ("backend", "app", "auditor", consent["manage_token"]):
        refused = world.call("POST", "/v1/backends/studio/unblock", who, json={"reason": "let us in, please"})
        assert code(refused) == "forbidden"
    empty = world.call("POST", "/v1/backends/studio/unblock", "admin", json={"reason": "          "})
    assert code(empty) == "request_invalid"
    lifted = world.call("POST", "/v1/backends/studio/unblock", "admin", json={"reason": "their auditor's letter"})
    assert lifted.json() == {"backend": "studio", "excused": 1}
    assert asks(world)["decision"] is True
    assert [purge["state"] for purge in owed(world)] == ["excused"]
    assert world.call("GET", "/v1/backends/blocked", "admin").json() == {"blocked": []}
    with world.service.database.engine.connect() as connection:
        written = connection.execute(
            text("SELECT actor, reason FROM withdrawal_events WHERE kind = 'backend.unblocked'")
        ).one()
    assert written[0].startswith("apk_")
    assert written[1] == "their auditor's letter"


def test_nobody_confirms_for_another(world: World) -> None:
    consent = world.consent()
    used(world, consent)
    revoke(world, consent)
    (purge,) = owed(world)
    assert code(confirm(world, purge["purge_id"], world.key(Role.BACKEND, "other-studio"))) == "not_found"
    for who in ("app", "admin", "auditor", consent["manage_token"]):
        assert code(confirm(world, purge["purge_id"], who)) == "forbidden"
    second_key = world.key(Role.BACKEND, "studio")
    assert confirm(world, purge["purge_id"], second_key).status_code == 200


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"at": "2027-02-01T00:00:00Z"}, "purge_statement_invalid"),
        ({"at": "2028-03-01T00:00:00Z"}, "purge_statement_invalid"),
        ({"assets_deleted": -1}, "request_invalid"),
        ({"at": "2027-03-01T12:00:00"}, "request_invalid"),
        ({"receipt": "mine"}, "request_invalid"),
    ],
)
def test_a_statement_that_cannot_be_right_confirms_nothing(world: World, change: dict[str, Any], wanted: str) -> None:
    consent = world.consent()
    used(world, consent)
    revoke(world, consent)
    (purge,) = owed(world)
    refused = confirm(world, purge["purge_id"], **change)
    assert (refused.status_code, code(refused)) == (422, wanted)
    assert [one["purge_id"] for one in owed(world)] == [purge["purge_id"]]


def test_being_taken_out_of_the_audience_is_a_withdrawal_for_that_backend(world: World) -> None:
    consent = world.consent()
    used(world, consent)
    path = f"/v1/consents/{consent['consent_id']}/narrow"
    world.call("POST", path, consent["manage_token"], json={"limits": {"max_seconds": 5}})
    assert owed(world) == []
    world.call("POST", path, consent["manage_token"], json={"audience": ["portrait"]})
    (purge,) = owed(world)
    assert purge["reason"] == "narrowed"
    revoke(world, consent)
    assert [one["purge_id"] for one in owed(world)] == [purge["purge_id"]], "the clock is not set back"
    confirm(world, purge["purge_id"])
    assert owed(world) == []


def test_a_permit_from_before_a_narrowing_cannot_be_spent_after_it(world: World) -> None:
    consent = world.consent()
    photo = world.media(png(ALICE))
    permit = world.ask(tokens=[world.token(consent)], media=[photo["media_id"]])["context"]["permit"]
    path = f"/v1/consents/{consent['consent_id']}/narrow"
    world.call("POST", path, consent["manage_token"], json={"audience": ["portrait"]})
    spent = world.call("POST", "/v1/permits/redeem", "backend", json={"permit": permit, "job_sha256": "ab" * 32})
    assert (spent.status_code, code(spent)) == (409, "scope_audience")


def test_what_was_made_while_the_consent_ended_may_not_leave(world: World) -> None:
    consent = world.consent()
    permit = used(world, consent)
    done = {"permit": permit, "output_sha256": "cd" * 32}
    kept = world.call("POST", "/v1/permits/complete", "backend", json=done).json()
    assert kept["code"] == "output_unchecked", "only the clip itself is missing"
    second = used(world, world.consent(world.shown_live(BOB, "user-2")), BOB)
    revoke(world, consent)
    assert world.call("POST", "/v1/permits/complete", "backend", json=done).json()["code"] == "consent_revoked"
    other = world.call("POST", "/v1/permits/complete", "backend", json=done | {"permit": second}).json()
    assert other["code"] == "output_unchecked"


def test_our_own_generators_owe_nothing_their_things_are_destroyed_at_once(world: World, hook: Receiver) -> None:
    listen(world, "app", hook.url, ["clip.withdrawn"])
    consent = world.consent()
    clip_id, queued = (ordered(world, [world.token(consent, "portrait")]) for _ in range(2))
    assert render(world, clip_id)
    assert content(world, clip_id).status_code == 200
    revoke(world, consent)
    for each in (clip_id, queued):
        assert (state(world, each)["state"], state(world, each)["code"]) == ("withdrawn", "consent_revoked")
        gone = content(world, each)
        assert (gone.status_code, code(gone)) == (410, "consent_revoked")
    assert not render(world, queued), "a queued job of a withdrawn clip has nothing to do"
    deliver_all(world)
    assert sorted(message["data"]["clip_id"] for message in said(hook)) == sorted([clip_id, queued])
    with world.service.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM purges")) == 0
        assert connection.scalar(text("SELECT count(*) FROM data_keys WHERE wrapped IS NOT NULL")) == 1  # the webhook's


# --- the end of a term -----------------------------------------------------------------------------------------------


def test_expiry_is_carried_out_once_and_means_what_it_says(world: World, hook: Receiver) -> None:
    listen(world, "app", hook.url, ["consent.expired", "clip.withdrawn", "consent.revoked"])
    ends = world.clock() + timedelta(hours=2)
    consent = world.consent(expires_at=ends.isoformat())
    used(world, consent)
    done, queued = (ordered(world, [world.token(consent, "portrait")]) for _ in range(2))
    assert render(world, done)
    world.clock.move(2 * HOUR - 1)
    sweep(world.service)
    assert steps(world) == ["webhook.set"]
    world.clock.move(1)
    sweep(world.service)
    sweep(world.service)

    assert [step for step in steps(world) if step != "webhook.set"] == [
        "clip.withdrawn", "consent.expired", "purge.required", "templates.destroyed",
    ]  # fmt: skip
    (purge,) = owed(world)
    assert purge["reason"] == "expired"
    assert state(world, done)["state"] == "done", "what was made while it held stays"
    assert content(world, done).status_code == 200
    assert (state(world, queued)["state"], state(world, queued)["code"]) == ("withdrawn", "consent_expired")
    assert code(content(world, queued)) == "consent_expired"
    assert world.call("GET", f"/v1/consents/{consent['consent_id']}", "app").json()["state"] == "expired"
    deliver_all(world)
    told = {message["type"]: message["data"] for message in said(hook)}
    assert set(told) == {"consent.expired", "clip.withdrawn"}
    assert told["consent.expired"]["at"].startswith(ends.isoformat()[:19])
    with world.service.database.engine.connect() as connection:
        kept = "SELECT count(*) FROM consents JOIN data_keys USING (data_key_id) WHERE wrapped IS NOT NULL"
        assert connection.scalar(text(kept)) == 0


def test_a_consent_revoked_before_its_end_does_not_expire(world: World) -> None:
    consent = world.consent(expires_at=(world.clock() + timedelta(hours=2)).isoformat())
    revoke(world, consent)
    world.clock.move(3 * HOUR)
    sweep(world.service)
    assert "consent.expired" not in steps(world)


def test_two_workers_that_sweep_at_once_end_a_term_once(world: World) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for number in range(4):
        world.consent(
            world.shown_live(ALICE, f"user-{number}"), expires_at=(world.clock() + timedelta(hours=1)).isoformat()
        )
    world.clock.move(HOUR)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: sweep(world.service), range(4)))
    assert steps(world).count("consent.expired") == 4
    assert steps(world).count("templates.destroyed") == 4


def test_withdrawing_takes_no_more_steps_than_granting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    plain = world.client.request

    def counted(method: str, path: str, **more: Any) -> Any:
        if "mien_person_" in more.get("headers", {}).get("Authorization", ""):
            calls.append(f"{method} {path.split('?')[0]}")
        return plain(method, path, **more)

    monkeypatch.setattr(world.client, "request", counted)
    consent = world.consent()
    granting = len(calls)
    assert revoke(world, consent).json()["state"] == "withdrawn"
    withdrawing = len(calls) - granting
    assert withdrawing == 1, "one call, with what the person holds, and no confirmation to click away"
    assert granting >= withdrawing


def test_the_aim_is_an_hour(world: World) -> None:
    consent = world.consent()
    used(world, consent)
    revoke(world, consent)
    (purge,) = owed(world)
    assert purge["target_at"] < purge["due_at"]
    assert timedelta(hours=1) == TARGET
