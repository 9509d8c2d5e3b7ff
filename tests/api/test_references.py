"""A permit releases the pictures of its people: after it was spent, to the holder of its key, for a few minutes, seen
by them."""

from __future__ import annotations

from typing import Any

import pytest

from api.auth import Role
from tests.api.conftest import World, png
from tests.api.scripted import ALICE, BOB
from tests.api.test_consents import revoke
from tests.api.test_dpop import REDEEM, THIEF, Backend, bearer, studio  # noqa: F401 - a fixture
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service


def references(permit_id: str, consent_id: str = "") -> str:
    return f"/v1/permits/{permit_id}/references" + (f"/{consent_id}" if consent_id else "")


def got(backend: Backend, path: str, who: str = "backend") -> Any:
    return backend.world.call("GET", path, who, headers={"DPoP": backend.proof("GET", path)})


def permitted(backend: Backend, *consents: dict[str, Any], colours: tuple[Any, ...] = (ALICE,)) -> tuple[str, str]:
    world = backend.world
    photo = world.media(png(*colours))["media_id"]
    answer = backend.ask([world.token(consent) for consent in consents], [photo])
    assert answer["decision"] is True, answer
    return answer["context"]["permit_id"], answer["context"]["permit"]


def views(world: World, consent: dict[str, Any]) -> list[dict[str, Any]]:
    seen = world.call("GET", "/v1/subject/admin-views", consent["manage_token"]).json()["results"]
    return [one for one in seen if one["action"] == "reference:portrait:released"]


def test_a_redeemed_permit_releases_its_peoples_pictures_and_each_sees_it(world: World, studio: Backend) -> None:  # noqa: F811
    alice, bob = world.consent(), world.consent(world.shown_live(BOB, "user-2"))
    permit_id, permit = permitted(studio, alice, bob, colours=(ALICE, BOB))
    assert studio.use(REDEEM, permit).status_code == 200
    listed = got(studio, references(permit_id)).json()
    assert {one["consent_id"] for one in listed["references"]} == {alice["consent_id"], bob["consent_id"]}
    assert listed["delete_by"] > listed["expires_at"]
    for consent in (alice, bob):
        assert views(world, consent) == []
        picture = got(studio, references(permit_id, consent["consent_id"]))
        assert picture.status_code == 200
        assert picture.headers["Content-Type"].startswith("image/")
        assert picture.headers["Cache-Control"] == "no-store"
        (event,) = views(world, consent)
        assert event["object"] == permit_id
        assert event["by"]["role"] == "backend"
    got(studio, references(permit_id, alice["consent_id"]))
    assert len(views(world, alice)) == 2, "each download is one"


def test_before_the_permit_is_spent_there_is_nothing_to_generate_from(world: World, studio: Backend) -> None:  # noqa: F811
    consent = world.consent()
    permit_id, _ = permitted(studio, consent)
    for path in (references(permit_id), references(permit_id, consent["consent_id"])):
        refused = got(studio, path)
        assert (refused.status_code, code(refused)) == (409, "permit_not_redeemed")
    assert views(world, consent) == []


def test_nobody_but_the_holder_of_the_key_gets_them(world: World, studio: Backend) -> None:  # noqa: F811
    consent = world.consent()
    permit_id, permit = permitted(studio, consent)
    studio.use(REDEEM, permit)
    path = references(permit_id, consent["consent_id"])
    assert code(world.call("GET", path, "backend")) == "dpop_missing"
    assert code(got(Backend(world, THIEF), path)) == "key_mismatch"
    assert code(got(studio, path, world.key(Role.BACKEND, "another"))) == "not_found"
    assert code(got(studio, path, "app")) == "forbidden"
    proof = studio.proof("GET", path)
    assert world.call("GET", path, "backend", headers={"DPoP": proof}).status_code == 200
    assert code(world.call("GET", path, "backend", headers={"DPoP": proof})) == "dpop_replayed"
    assert len(views(world, consent)) == 1


def test_a_permit_without_a_key_releases_nothing(world: World) -> None:
    consent = world.consent()
    answer = world.ask(tokens=[world.token(consent)], media=[world.media(png(ALICE))["media_id"]])
    assert bearer(world, REDEEM, answer["context"]["permit"]).status_code == 200
    path = references(answer["context"]["permit_id"], consent["consent_id"])
    assert code(world.call("GET", path, "backend")) == "dpop_missing"
    assert code(got(Backend(world), path)) == "dpop_missing"


def test_they_are_there_for_the_permits_time_and_until_its_work_is_handed_in(world: World, studio: Backend) -> None:  # noqa: F811
    consent = world.consent()
    permit_id, permit = permitted(studio, consent)
    studio.use(REDEEM, permit)
    path = references(permit_id, consent["consent_id"])
    world.clock.move(299)
    assert got(studio, path).status_code == 200
    world.clock.move(1)
    assert code(got(studio, path)) == "permit_expired"
    second_id, second = permitted(studio, consent)
    studio.use(REDEEM, second)
    studio.use("/v1/permits/complete", second)
    assert code(got(studio, references(second_id, consent["consent_id"]))) == "permit_spent"


def test_a_withdrawal_shuts_them_at_once(world: World, studio: Backend) -> None:  # noqa: F811
    consent = world.consent()
    permit_id, permit = permitted(studio, consent)
    studio.use(REDEEM, permit)
    revoke(world, consent)
    refused = got(studio, references(permit_id, consent["consent_id"]))
    assert refused.status_code in (409, 410)
    assert code(refused) in ("consent_revoked", "backend_blocked")
    assert views(world, consent) == []


def test_a_permit_releases_its_own_people_only(world: World, studio: Backend) -> None:  # noqa: F811
    alice, bob = world.consent(), world.consent(world.shown_live(BOB, "user-2"))
    permit_id, permit = permitted(studio, alice)
    studio.use(REDEEM, permit)
    assert code(got(studio, references(permit_id, bob["consent_id"]))) == "not_found"
    assert code(got(studio, references("prm_" + "0" * 32))) == "not_found"
