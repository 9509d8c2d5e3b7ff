"""Passkeys: what an authenticator may say, what an attacker would rather have it say, and who they belong to."""

from __future__ import annotations

from typing import Any

import pytest

from api.browser_sessions import Kind
from api.passkeys import MOST_PASSKEYS
from tests.api.authenticator import Passkey, to_base64url
from tests.api.conftest import World
from tests.api.scripted import BOB
from tests.api.test_browser_sessions import (
    PERSON,
    STAFF,
    as_person,
    as_staff,
    browser,
    here,
    state_of,
    with_passkey,
)
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service


def asked(world: World) -> dict[str, Any]:
    answer = world.call("POST", "/v1/sign-in/options")
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["public_key"])


def signed(world: World, credential: dict[str, Any]) -> Any:
    return world.call("POST", "/v1/sign-in", json={"credential": credential})


def wanted(world: World, who: str | None = None, **headers: str) -> Any:
    return world.call("POST", "/v1/passkeys/options", who, headers=headers)


def made(world: World, credential: dict[str, Any], who: str | None = None, **headers: str) -> Any:
    return world.call("POST", "/v1/passkeys", who, headers=headers, json={"credential": credential, "name": " Phone "})


# --- one is made -----------------------------------------------------------------------------------------------------


def test_with_the_manage_token_a_person_makes_one_and_signs_in_with_it(world: World) -> None:
    consent, passkey = world.consent(), Passkey()
    answer = wanted(world, consent["manage_token"])
    options = answer.json()["public_key"]
    assert options["rp"] == {"name": "Mien", "id": "localhost"}
    assert options["attestation"] == "none"
    assert options["authenticatorSelection"] == {
        "residentKey": "required", "requireResidentKey": True, "userVerification": "required",
    }  # fmt: skip
    assert "user-1" not in answer.text
    assert "Max-Age=300" in answer.headers["Set-Cookie"]
    kept = made(world, passkey.create(options), consent["manage_token"])
    assert kept.status_code == 201, kept.text
    assert (kept.json()["name"], kept.json()["synced"], kept.json()["last_used_at"]) == ("Phone", True, None)

    request = asked(world)
    assert request["userVerification"] == "required"
    assert request.get("allowCredentials", []) == [], "whoever has one is found by it"
    answer = signed(world, passkey.get(request))
    assert answer.status_code == 200, answer.text
    assert (answer.json()["kind"], answer.json()["began"]) == ("person", "passkey")
    assert state_of(world, consent, **PERSON).status_code == 200
    [listed] = world.call("GET", "/v1/passkeys", headers=PERSON).json()["passkeys"]
    assert (listed["here"], listed["passkey_id"]) == (True, kept.json()["passkey_id"])
    assert listed["last_used_at"] is not None


@pytest.mark.parametrize(
    "knobs",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:8000"},
        {"rp_id": "evil.example"},
        {"type": "webauthn.get"},
        {"challenge": to_base64url(b"x" * 32)},
    ],
)
def test_what_was_made_for_somebody_else_is_not_kept(world: World, knobs: dict[str, Any]) -> None:
    token = world.consent()["manage_token"]
    options = wanted(world, token).json()["public_key"]
    assert code(made(world, Passkey().create(options, **knobs), token)) == "passkey_invalid"
    assert code(made(world, Passkey().create(options), token)) == "passkey_expired", "a challenge is for one try"


def test_an_authenticator_that_did_not_check_its_user_is_refused(world: World) -> None:
    token = world.consent()["manage_token"]
    options = wanted(world, token).json()["public_key"]
    assert code(made(world, Passkey(verified=False).create(options), token)) == "passkey_invalid"
    passkey = Passkey()
    options = wanted(world, token).json()["public_key"]
    assert made(world, passkey.create(options), token).status_code == 201
    passkey.verified = False
    assert code(signed(world, passkey.get(asked(world)))) == "passkey_invalid"


@pytest.mark.parametrize(
    "credential",
    [
        {},
        {"id": "x"},
        {"id": 7, "rawId": [], "type": "public-key", "response": {}},
        {"id": "AA", "rawId": "AA", "type": "public-key", "response": {"clientDataJSON": "e30", "attestationObject": "_w"}},
        {
            "id": "AA", "rawId": "AA", "type": "public-key",
            "response": {"clientDataJSON": "e30", "authenticatorData": "AA", "signature": "AA", "userHandle": 5},
        },
    ],
)  # fmt: skip
def test_what_is_no_credential_is_told_so(world: World, credential: dict[str, Any]) -> None:
    token = world.consent()["manage_token"]
    wanted(world, token)
    assert code(made(world, credential, token)) == "passkey_invalid"
    asked(world)
    assert code(signed(world, credential)) == "passkey_invalid"


def test_a_passkey_is_kept_once_and_there_are_only_so_many(world: World) -> None:
    token, passkey = world.consent()["manage_token"], Passkey()
    for number in range(MOST_PASSKEYS):
        options = wanted(world, token).json()["public_key"]
        assert len(options["excludeCredentials"]) == number
        assert made(world, Passkey().create(options) if number else passkey.create(options), token).status_code == 201
        if number == 0:
            again = wanted(world, token).json()["public_key"]
            assert code(made(world, passkey.create(again), token)) == "passkey_known"
    assert code(wanted(world, token)) == "passkeys_full"


def test_a_challenge_is_for_the_one_who_asked_in_the_browser_where_they_did(world: World) -> None:
    alice = world.consent()["manage_token"]
    bob = world.consent(world.shown_live(BOB, "user-2"))["manage_token"]
    options = wanted(world, alice).json()["public_key"]
    with browser(world) as other:
        assert code(made(other, Passkey().create(options), alice)) == "passkey_expired"
    assert code(made(world, Passkey().create(options), bob)) == "passkey_expired"
    options = asked(world)  # for signing in, not for making one
    handle = to_base64url(b"h" * 32)
    assert code(made(world, Passkey().create(options | {"user": {"id": handle}}), alice)) == "passkey_expired"
    options = wanted(world, alice).json()["public_key"]
    passkey = Passkey(user_handle=b"h")
    assert code(signed(world, passkey.get(options))) == "passkey_expired"


def test_a_challenge_lives_five_minutes(world: World) -> None:
    token = world.consent()["manage_token"]
    options = wanted(world, token).json()["public_key"]
    world.clock.move(299.999)
    assert made(world, Passkey().create(options), token).status_code == 201
    options = wanted(world, token).json()["public_key"]
    world.clock.move(300)
    assert code(made(world, Passkey().create(options), token)) == "passkey_expired"


@pytest.mark.parametrize("who", ["app", "backend", "auditor", "admin", "client"])
def test_keys_and_phones_without_a_consent_make_none(world: World, who: str) -> None:
    secret = world.session()["client_token"] if who == "client" else who
    assert code(wanted(world, secret)) == "forbidden"
    assert code(wanted(world)) == "unauthenticated"


# --- somebody signs in -----------------------------------------------------------------------------------------------


@pytest.fixture
def passkey(world: World) -> Passkey:
    """Of a person, who is not signed in."""
    as_person(world, world.consent())
    found = with_passkey(world, PERSON)
    world.call("POST", "/v1/sign-out", headers=PERSON)
    return found


@pytest.mark.parametrize(
    "knobs",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:8001"},
        {"rp_id": "evil.example"},
        {"type": "webauthn.create"},
        {"challenge": to_base64url(b"x" * 32)},
    ],
)
def test_what_was_signed_for_somebody_else_signs_nobody_in(
    world: World, passkey: Passkey, knobs: dict[str, Any]
) -> None:
    options = asked(world)
    assert code(signed(world, passkey.get(options, **knobs))) == "passkey_invalid"
    assert code(signed(world, passkey.get(options))) == "passkey_expired", "the challenge is spent"
    assert code(here(world, PERSON)) == "unauthenticated"


def test_an_answer_is_worth_something_once(world: World, passkey: Passkey) -> None:
    answer = passkey.get(asked(world))
    assert signed(world, answer).status_code == 200
    assert code(signed(world, answer)) == "passkey_expired"
    asked(world)
    assert code(signed(world, answer)) == "passkey_invalid", "it is for another challenge"
    options = asked(world)
    with browser(world) as other:
        assert code(signed(other, passkey.get(options))) == "passkey_expired", "the challenge of another browser"


def test_another_signature_or_another_user_is_refused(world: World, passkey: Passkey) -> None:
    forged = Passkey(credential_id=passkey.credential_id, user_handle=passkey.user_handle)
    assert code(signed(world, forged.get(asked(world)))) == "passkey_invalid"
    assert code(signed(world, passkey.get(asked(world), user_handle=b"x" * 32))) == "passkey_unknown"
    assert code(signed(world, Passkey(user_handle=passkey.user_handle).get(asked(world)))) == "passkey_unknown"


def test_a_counter_that_goes_back_is_a_copy_and_the_person_is_told(world: World) -> None:
    consent, passkey = world.consent(), Passkey(counter=5)
    as_person(world, consent)
    with_passkey(world, PERSON, passkey)
    passkey.counter = 6
    assert signed(world, passkey.get(asked(world))).status_code == 200
    for stale in (6, 5, 0):
        passkey.counter = stale
        assert code(signed(world, passkey.get(asked(world)))) == "passkey_copied"
    forged = Passkey(credential_id=passkey.credential_id, user_handle=passkey.user_handle, counter=1)
    assert code(signed(world, forged.get(asked(world)))) == "passkey_invalid", "a stranger accuses nobody"
    passkey.counter = 7
    assert signed(world, passkey.get(asked(world))).status_code == 200
    looks = world.call("GET", "/v1/subject/admin-views", consent["manage_token"]).json()["results"]
    assert sum(look["action"] == "account:passkey:copied" for look in looks) == 3


def test_one_without_a_counter_is_used_again_and_again(world: World, passkey: Passkey) -> None:
    for _ in range(3):
        assert signed(world, passkey.get(asked(world))).status_code == 200


# --- whose they are --------------------------------------------------------------------------------------------------


def test_a_person_removes_one_and_whoever_signed_in_with_it_is_out(world: World, passkey: Passkey) -> None:
    with browser(world) as lost:
        assert signed(lost, passkey.get(asked(lost))).status_code == 200
        lost_one = here(lost, PERSON).json()["passkey_id"]
        assert signed(world, passkey.get(asked(world))).status_code == 200
        new = with_passkey(world, PERSON)
        left = world.call("DELETE", f"/v1/passkeys/{lost_one}", headers=PERSON)
        assert [one["here"] for one in left.json()["passkeys"]] == [False]
        assert code(here(lost, PERSON)) == "unauthenticated"
        assert code(signed(lost, passkey.get(asked(lost)))) == "passkey_unknown"
    assert here(world, PERSON).status_code == 200, "here they stay"
    assert signed(world, new.get(asked(world))).status_code == 200
    mine = world.call("GET", "/v1/passkeys", headers=PERSON).json()["passkeys"]
    assert world.call("DELETE", f"/v1/passkeys/{mine[0]['passkey_id']}", headers=PERSON).json()["passkeys"] == []


def test_nobody_sees_or_removes_those_of_others(world: World, passkey: Passkey) -> None:
    signed(world, passkey.get(asked(world)))
    [mine] = world.call("GET", "/v1/passkeys", headers=PERSON).json()["passkeys"]
    for subject_ref in ("user-2", "user-1"):  # also whom the app mixed up with them
        with browser(world) as other:
            as_person(other, world.consent(world.shown_live(BOB, subject_ref)))
            assert other.call("GET", "/v1/passkeys", headers=PERSON).json()["passkeys"] == []
            gone = other.call("DELETE", f"/v1/passkeys/{mine['passkey_id']}", headers=PERSON)
            assert code(gone) == "not_found"
    with browser(world) as office:
        as_staff(office, "admin")
        with_passkey(office, STAFF)
        assert code(office.call("DELETE", f"/v1/passkeys/{mine['passkey_id']}", headers=STAFF)) == "not_found"


def test_who_works_here_keeps_at_least_one_and_needs_one_to_remove_any(world: World) -> None:
    as_staff(world, "auditor")
    with_passkey(world, STAFF)
    [only] = world.call("GET", "/v1/passkeys", headers=STAFF).json()["passkeys"]
    path = f"/v1/passkeys/{only['passkey_id']}"
    assert code(world.call("DELETE", path, headers=STAFF)) == "last_passkey"
    with browser(world) as thief:  # has the key, and no passkey
        as_staff(thief, "auditor")
        assert code(thief.call("DELETE", path, headers=STAFF)) == "passkey_needed"
        as_staff(thief, "app")
        assert code(thief.call("DELETE", path, headers=STAFF)) == "passkey_needed"
    with_passkey(world, STAFF)
    assert len(world.call("DELETE", path, headers=STAFF).json()["passkeys"]) == 1


# --- without it ------------------------------------------------------------------------------------------------------


def recovered(world: World, session: dict[str, Any]) -> Any:
    return world.call("POST", "/v1/sign-in/with-live-check", json={"token": session["client_token"]})


def test_who_lost_their_passkey_signs_in_by_a_new_live_check_and_makes_another(world: World, passkey: Passkey) -> None:
    session = world.shown_live()
    answer = recovered(world, session)
    assert (answer.status_code, answer.json()["began"]) == (200, "live_check")
    assert code(recovered(world, session)) == "check_used"
    [lost] = world.call("GET", "/v1/passkeys", headers=PERSON).json()["passkeys"]
    new = with_passkey(world, PERSON)
    assert len(world.call("DELETE", f"/v1/passkeys/{lost['passkey_id']}", headers=PERSON).json()["passkeys"]) == 1
    assert code(signed(world, passkey.get(asked(world)))) == "passkey_unknown"
    assert signed(world, new.get(asked(world))).status_code == 200


def test_a_live_check_of_another_face_or_under_another_name_or_app_signs_nobody_in(world: World) -> None:
    world.consent()
    assert code(recovered(world, world.shown_live(BOB))) == "not_same_person"
    assert code(recovered(world, world.shown_live(subject_ref="user-2"))) == "not_same_person"
    from api.auth import Role

    app, world.keys["app"] = world.keys["app"], world.key(Role.APP, "app-two")
    assert code(recovered(world, world.shown_live())) == "not_same_person"
    world.keys["app"] = app
    assert code(recovered(world, world.session())) == "not_live"
    assert code(here(world, PERSON)) == "unauthenticated"


def test_what_was_taken_back_leaves_nothing_to_compare_with(world: World) -> None:
    consent = world.consent()
    world.call("POST", f"/v1/consents/{consent['consent_id']}/revoke", consent["manage_token"])
    assert code(recovered(world, world.shown_live())) == "not_same_person"


def test_kinds_are_those_of_the_header() -> None:
    assert {kind.value for kind in Kind} == {PERSON["Mien-Session"], STAFF["Mien-Session"]}
