"""Who is signed in at a browser, for how long, and what a cookie alone moves: nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from api.auth import KeyHolder, Role
from api.browser_sessions import PersonHere, StaffHere, device_of, local_path, new_start_code
from api.pages import PageRoute
from api.service import Service
from api.sweeping import sweep
from api.tables import ApiKeyRow, BrowserSessionRow, PasskeyChallengeRow
from tests.api.authenticator import Passkey
from tests.api.conftest import World
from tests.api.scripted import BOB
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service

PERSON, STAFF = {"Mien-Session": "person"}, {"Mien-Session": "staff"}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"


@contextmanager
def browser(world: World, **headers: str) -> Iterator[World]:
    """Another browser: cookies of its own."""
    app: FastAPI = world.client.app  # type: ignore[union-attr, assignment]
    client = TestClient(app, headers=headers)  # not entered: the application runs already
    yield World(client, world.service, world.clock, world.keys)


def as_person(world: World, consent: dict[str, Any]) -> Any:
    return world.call("POST", "/v1/sign-in/with-token", json={"token": consent["manage_token"]})


def as_staff(world: World, role: str = "app") -> Any:
    return world.call("POST", "/v1/sign-in/with-key", json={"key": world.keys[role]})


def with_passkey(world: World, kind: dict[str, str], passkey: Passkey | None = None) -> Passkey:
    """Whoever is signed in makes one."""
    passkey = passkey or Passkey()
    options = world.call("POST", "/v1/passkeys/options", headers=kind).json()["public_key"]
    made = {"credential": passkey.create(options), "name": "Phone"}
    assert world.call("POST", "/v1/passkeys", headers=kind, json=made).status_code == 201
    return passkey


def here(world: World, kind: dict[str, str], **more: str) -> Any:
    return world.call("GET", "/v1/browser-sessions/here", headers=kind | more)


def state_of(world: World, consent: dict[str, Any], **headers: str) -> Any:
    return world.call("GET", f"/v1/consents/{consent['consent_id']}", headers=headers)


# --- a session -------------------------------------------------------------------------------------------------------


def test_a_person_signs_in_with_the_manage_token_and_does_what_they_could_with_it(world: World) -> None:
    consent = world.consent()
    answer = as_person(world, consent)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["kind"], answer.json()["began"]) == ("person", "token")
    assert consent["manage_token"] not in answer.text
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("mien-person=")
    for attribute in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"):
        assert attribute in cookie
    assert "Domain" not in cookie
    assert state_of(world, consent, **PERSON).json()["state"] == "given"
    narrowed = world.call(
        "POST", f"/v1/consents/{consent['consent_id']}/narrow", headers=PERSON, json={"audience": ["studio"]}
    )
    assert narrowed.json()["audience"] == ["studio"]
    assert world.call("GET", "/v1/subject/uses", headers=PERSON).status_code == 200


def test_the_cookie_without_the_header_is_nobody(world: World) -> None:
    consent = world.consent()
    as_person(world, consent)
    assert code(state_of(world, consent)) == "unauthenticated"
    assert code(state_of(world, consent, **STAFF)) == "unauthenticated"
    assert code(state_of(world, consent, **{"Mien-Session": "both"})) == "unauthenticated"


def test_a_key_in_the_call_is_heard_in_place_of_the_cookie(world: World) -> None:
    consent = world.consent()
    as_person(world, consent)
    asked = world.call("GET", f"/v1/consents/{consent['consent_id']}", "backend", headers=PERSON)
    assert code(asked) == "not_found"
    wrong = world.call("GET", f"/v1/consents/{consent['consent_id']}", "mien_app_" + "A" * 43, headers=PERSON)
    assert code(wrong) == "unauthenticated"


@pytest.mark.parametrize(
    ("headers", "reached"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        (
            {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
            True,
        ),  # the browser says it; Origin is its own
        ({"Origin": "http://localhost:8000"}, True),
        ({"Origin": "http://127.0.0.1:8000"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://localhost:8001"}, False),
    ],
)
def test_a_call_from_a_page_of_somebody_else_is_refused(world: World, headers: dict[str, str], reached: bool) -> None:
    consent = world.consent()
    as_person(world, consent)
    paused = world.call("POST", f"/v1/consents/{consent['consent_id']}/suspend", headers=PERSON | headers)
    assert (paused.status_code == 200) is reached
    assert reached or code(paused) == "cross_site"
    again = world.call(
        "POST", "/v1/sign-in/with-token", json={"token": consent["manage_token"]}, headers=headers
    )  # nobody is signed in as somebody else from elsewhere either
    assert (again.status_code == 200) is reached


@pytest.mark.parametrize(("kind", "idle_s"), [("person", 3600), ("staff", 1800)])
def test_a_session_ends_when_nobody_is_there_and_after_twelve_hours(world: World, kind: str, idle_s: int) -> None:
    header = {"Mien-Session": kind}
    consent = world.consent()

    def begin() -> None:
        assert (as_person(world, consent) if kind == "person" else as_staff(world)).status_code == 200

    begin()
    world.clock.move(idle_s - 1)
    assert here(world, header).status_code == 200
    world.clock.move(idle_s)
    assert code(here(world, header)) == "unauthenticated"
    begin()
    for _ in range(12 * 3600 // 900 - 1):
        world.clock.move(900)
        assert here(world, header).status_code == 200
    world.clock.move(899)
    assert here(world, header).status_code == 200
    world.clock.move(1)
    assert code(here(world, header)) == "unauthenticated"


def test_each_sign_in_has_a_new_secret_and_ends_the_one_before(world: World) -> None:
    consent = world.consent()
    as_person(world, consent)
    before = world.client.cookies["mien-person"]
    as_person(world, consent)
    after = world.client.cookies["mien-person"]
    assert before != after
    with browser(world) as thief:
        thief.client.cookies.set("mien-person", before)
        assert code(here(thief, PERSON)) == "unauthenticated"
    assert here(world, PERSON).status_code == 200


def test_a_person_sees_where_they_are_signed_in_and_ends_it(world: World) -> None:
    consent = world.consent()
    with browser(world, **{"User-Agent": FIREFOX}) as phone:
        as_person(phone, consent)
        world.clock.move(60)
        as_person(world, consent)
        listed = world.call("GET", "/v1/browser-sessions", headers=PERSON).json()["sessions"]
        assert [(one["browser"], one["system"], one["here"]) for one in listed] == [
            ("", "", True),
            ("Firefox", "Linux", False),
        ]
        other = f"/v1/browser-sessions/{listed[1]['session_id']}"
        left = world.call("DELETE", other, headers=PERSON).json()["sessions"]
        assert [one["here"] for one in left] == [True]
        assert code(world.call("DELETE", other, headers=PERSON)) == "not_found"
        assert code(here(phone, PERSON)) == "unauthenticated"
        as_person(phone, consent)
        assert len(world.call("DELETE", "/v1/browser-sessions?others=true", headers=PERSON).json()["sessions"]) == 1
        assert code(here(phone, PERSON)) == "unauthenticated"
    world.call("DELETE", "/v1/browser-sessions", headers=PERSON)
    assert code(here(world, PERSON)) == "unauthenticated"


def test_signing_out_ends_it_on_both_sides(world: World) -> None:
    as_person(world, world.consent())
    secret = world.client.cookies["mien-person"]
    answer = world.call("POST", "/v1/sign-out", headers=PERSON)
    assert answer.status_code == 200
    assert "mien-person" not in world.client.cookies
    world.client.cookies.set("mien-person", secret)
    assert code(here(world, PERSON)) == "unauthenticated"


def test_nobody_ends_sessions_of_somebody_else(world: World) -> None:
    alice, bob = world.consent(), world.consent(world.shown_live(BOB, "user-2"))
    as_person(world, alice)
    session = here(world, PERSON).json()["session_id"]
    with browser(world) as other:
        as_person(other, bob)
        assert code(other.call("DELETE", f"/v1/browser-sessions/{session}", headers=PERSON)) == "not_found"
        assert code(state_of(other, alice, **PERSON)) == "not_found"
        as_staff(other)
        assert code(other.call("DELETE", f"/v1/browser-sessions/{session}", headers=STAFF)) == "not_found"
    assert here(world, PERSON).status_code == 200


# --- as which consent ------------------------------------------------------------------------------------------------


def test_one_sign_in_reaches_every_own_consent_with_the_same_face_and_no_other(world: World) -> None:
    first = world.consent()
    world.clock.move(10)
    second = world.consent(world.shown_live())
    mixed_up = world.consent(world.shown_live(BOB))  # the app gave another person the same name
    answer = as_person(world, first).json()
    assert answer["consents"] == [second["consent_id"], first["consent_id"]]
    assert state_of(world, second, **PERSON).status_code == 200
    assert code(state_of(world, first, **PERSON)) == "not_found", "of several, the latest, unless one is named"
    named = PERSON | {"Mien-Consent": first["consent_id"]}
    assert state_of(world, first, **named).status_code == 200
    foreign = PERSON | {"Mien-Consent": mixed_up["consent_id"]}
    assert code(state_of(world, mixed_up, **foreign)) == "not_found"


def test_what_was_seen_to_be_one_face_stays_so_when_one_of_them_is_taken_back(world: World) -> None:
    first = world.consent()
    world.clock.move(10)
    second = world.consent(world.shown_live())
    as_person(world, first)
    passkey = with_passkey(world, PERSON)
    named = PERSON | {"Mien-Consent": first["consent_id"]}
    assert world.call("POST", f"/v1/consents/{first['consent_id']}/revoke", headers=named).status_code == 200
    assert state_of(world, second, **PERSON).status_code == 200
    options = world.call("POST", "/v1/sign-in/options").json()["public_key"]
    answer = world.call("POST", "/v1/sign-in", json={"credential": passkey.get(options)}).json()
    assert answer["consents"] == [second["consent_id"], first["consent_id"]]


def test_whoever_has_everything_deleted_is_signed_out_everywhere_and_has_no_passkey(world: World) -> None:
    consent = world.consent()
    as_person(world, consent)
    passkey = with_passkey(world, PERSON)
    with browser(world) as phone:
        as_person(phone, consent)
        told = world.call("DELETE", "/v1/subject", headers=PERSON).json()
        assert (told["deleted"]["passkeys"], told["deleted"]["sign_ins"]) == (1, 2)
        assert code(here(phone, PERSON)) == "unauthenticated"
    assert code(here(world, PERSON)) == "unauthenticated"
    options = world.call("POST", "/v1/sign-in/options").json()["public_key"]
    assert code(world.call("POST", "/v1/sign-in", json={"credential": passkey.get(options)})) == "passkey_unknown"


# --- who works here --------------------------------------------------------------------------------------------------


def test_an_app_key_alone_works_in_the_studio_and_gets_the_same_answers_as_the_key(world: World) -> None:
    assert as_staff(world).json()["weak"] is True
    body = {"subject_ref": "user-1", "language": "en", "purpose": "digital_double"}
    once = {"Idempotency-Key": "k1"}
    begun = world.call("POST", "/v1/liveness/sessions", headers=STAFF | once, json=body)
    assert begun.status_code == 201
    again = world.call("POST", "/v1/liveness/sessions", "app", headers=once, json=body)
    assert again.json() == begun.json(), "one caller, however they come"


@pytest.mark.parametrize(("role", "path"), [("auditor", "/v1/audit/balance"), ("admin", "/v1/audit/balance")])
def test_auditors_and_admins_need_a_passkey(world: World, role: str, path: str) -> None:
    as_staff(world, role)
    assert code(world.call("GET", path, headers=STAFF)) == "passkey_needed"
    once = STAFF | {"Idempotency-Key": "k1"}
    assert code(world.call("POST", "/v1/liveness/sessions", headers=once, json={})) == "passkey_needed"
    before = world.client.cookies["mien-staff"]
    passkey = with_passkey(world, STAFF)
    assert world.client.cookies["mien-staff"] != before, "more may be done, so under a new secret"
    assert world.call("GET", path, headers=STAFF).status_code == 200
    world.call("POST", "/v1/sign-out", headers=STAFF)
    options = world.call("POST", "/v1/sign-in/options").json()["public_key"]
    answer = world.call("POST", "/v1/sign-in", json={"credential": passkey.get(options)}).json()
    assert (answer["kind"], answer["role"], answer["weak"]) == ("staff", role, False)
    assert world.call("GET", path, headers=STAFF).status_code == 200


def test_generators_do_not_sign_in(world: World) -> None:
    assert code(as_staff(world, "backend")) == "forbidden"
    assert code(world.call("POST", "/v1/sign-in/with-key", json={"key": "mien_admin_" + "A" * 43})) == "unauthenticated"
    token = world.consent()["manage_token"]
    assert code(world.call("POST", "/v1/sign-in/with-key", json={"key": token})) == "forbidden"
    assert code(world.call("POST", "/v1/sign-in/with-token", json={"token": world.keys["admin"]})) == "forbidden"


def test_a_revoked_key_ends_its_sessions_and_its_passkeys(world: World) -> None:
    as_staff(world, "auditor")
    passkey = with_passkey(world, STAFF)
    key_id = world.call("GET", "/v1/browser-sessions/here", headers=STAFF).json()["name"]
    with world.service.database.transaction() as store:
        from sqlalchemy import select

        row = store._session.scalars(select(ApiKeyRow).where(ApiKeyRow.name == key_id)).one()
        row.revoked_at = world.clock()
    assert code(here(world, STAFF)) == "unauthenticated"
    options = world.call("POST", "/v1/sign-in/options").json()["public_key"]
    assert code(world.call("POST", "/v1/sign-in", json={"credential": passkey.get(options)})) == "passkey_unknown"


# --- the first browser -----------------------------------------------------------------------------------------------


def test_the_start_code_signs_one_browser_in_once(world: World) -> None:
    first = new_start_code(world.service)
    second = new_start_code(world.service)
    assert first is not None
    assert second is not None
    assert code(world.call("POST", "/v1/sign-in/with-code", json={"code": first})) == "start_code_invalid"
    answer = world.call("POST", "/v1/sign-in/with-code", json={"code": second}).json()
    assert (answer["role"], answer["name"], answer["began"]) == ("app", "app-one", "start_code")
    assert code(world.call("POST", "/v1/sign-in/with-code", json={"code": second})) == "start_code_invalid"
    assert here(world, STAFF).json()["session_id"] == answer["session_id"]


def test_a_start_code_lasts_half_an_hour_and_there_is_none_once_somebody_has_a_passkey(world: World) -> None:
    late, last = new_start_code(world.service), 0.001
    world.clock.move(1800 - last)
    world.clock.move(last)
    assert code(world.call("POST", "/v1/sign-in/with-code", json={"code": late})) == "start_code_invalid"
    as_staff(world)
    with_passkey(world, STAFF)
    assert new_start_code(world.service) is None


# --- pages -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pages(service: Service, world: World) -> Iterator[World]:
    """Two pages as others write them."""
    router = APIRouter(route_class=PageRoute)

    @router.get("/mine")
    def mine(person: PersonHere) -> str:
        return str(person.consent_id)

    @router.get("/books")
    def console(holder: Annotated[KeyHolder, StaffHere(Role.AUDITOR, Role.ADMIN)]) -> str:
        return holder.name

    @router.get("/work")
    def work(holder: Annotated[KeyHolder, StaffHere(Role.APP)]) -> str:
        return holder.name

    app = create_app(service)
    app.include_router(router)
    with TestClient(app, follow_redirects=False) as client:
        yield World(client, service, world.clock, world.keys)


def test_pages_lead_to_the_sign_in_and_back(pages: World) -> None:
    away = pages.call("GET", "/mine?lang=zh")
    assert (away.status_code, away.headers["Location"]) == (303, "/sign-in?next=%2Fmine%3Flang%3Dzh")
    consent = pages.consent()
    as_person(pages, consent)
    assert pages.call("GET", "/mine").json() == consent["consent_id"]
    assert pages.call("GET", "/books").headers["Location"] == "/sign-in?next=%2Fbooks"
    as_staff(pages)
    assert pages.call("GET", "/work").json() == "app-one"
    assert pages.call("GET", "/books").headers["Location"] == "/sign-in?next=%2Fbooks&why=role"
    as_staff(pages, "auditor")
    assert pages.call("GET", "/books").headers["Location"] == "/sign-in?next=%2Fbooks&why=passkey"
    with_passkey(pages, STAFF)
    assert pages.call("GET", "/books").json() == "auditor-one"


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("/my", True),
        ("/my?lang=zh", True),
        ("//evil.example", False),
        ("/\\evil.example", False),
        ("https://evil.example", False),
        ("my", False),
        ("", False),
        ("/a\nb", False),
        ("/" + "a" * 500, False),
        (None, False),
    ],
)
def test_nobody_is_led_elsewhere_after_the_sign_in(value: str | None, kept: bool) -> None:
    assert local_path(value) == (value if kept else None)


# --- where pages are, and what is known of a browser -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("public_url", "origin"),
    [
        ("http://127.0.0.1:8000", "http://localhost:8000"),
        ("http://0.0.0.0:8000", "http://localhost:8000"),
        ("http://[::1]:8000", "http://localhost:8000"),
        ("https://mien.example", "https://mien.example"),
        ("https://mien.example:443", "https://mien.example"),
        ("https://mien.example:8443", "https://mien.example:8443"),
    ],
)
def test_pages_of_this_machine_are_at_localhost(world: World, public_url: str, origin: str) -> None:
    assert replace(world.service.settings, public_url=public_url).page_origin == origin


def test_over_https_the_cookie_is_bound_to_the_host_and_over_plain_http_there_is_none(world: World) -> None:
    consent = world.consent()
    for public_url, expected in (("https://mien.example", True), ("http://mien.example", False)):
        service = replace(world.service, settings=replace(world.service.settings, public_url=public_url))
        with TestClient(create_app(service), base_url="https://mien.example") as client:
            elsewhere = World(client, service, world.clock, world.keys)
            answer = as_person(elsewhere, consent)
            if expected:
                cookie = answer.headers["Set-Cookie"]
                assert cookie.startswith("__Host-mien-person=")
                assert "Secure" in cookie
                assert "Path=/" in cookie
                assert here(elsewhere, PERSON).status_code == 200
            else:
                assert code(answer) == "https_needed"


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        (FIREFOX, ("Firefox", "Linux")),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 "
            "Mobile/15E148 Safari/604.1",
            ("Safari", "iPhone"),
        ),
        (
            "Mozilla/5.0 (Linux; Android 15; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile "
            "Safari/537.36",
            ("Chrome", "Android"),
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
            "Safari/537.36 Edg/140.0.0.0",
            ("Edge", "Windows"),
        ),
        ("curl/8", ("", "")),
        ("", ("", "")),
    ],
)
def test_of_a_browser_only_its_kind_is_kept(user_agent: str, device: tuple[str, str]) -> None:
    assert device_of(user_agent) == device


def test_secrets_are_kept_as_hashes_and_swept_when_over(world: World) -> None:
    from sqlalchemy import text

    as_person(world, world.consent())
    world.call("POST", "/v1/sign-in/options")
    secrets = [world.client.cookies["mien-person"], world.client.cookies["mien-passkey"]]
    with world.service.database.engine.connect() as connection:
        rows = str(connection.execute(text("SELECT * FROM browser_sessions")).all())
        rows += str(connection.execute(text("SELECT * FROM passkey_challenges")).all())
    for secret in secrets:
        assert secret not in rows
    world.clock.move(13 * 3600 + 1)
    sweep(world.service)
    with world.service.database.engine.connect() as connection:
        for table in (BrowserSessionRow, PasskeyChallengeRow):
            assert connection.execute(text(f"SELECT count(*) FROM {table.__tablename__}")).scalar() == 0  # noqa: S608


def test_every_step_is_written_down_and_shown_to_the_person(world: World) -> None:
    consent = world.consent()
    as_person(world, consent)
    with_passkey(world, PERSON)
    world.call("POST", "/v1/sign-out", headers=PERSON)
    looks = world.call("GET", "/v1/subject/admin-views", consent["manage_token"]).json()["results"]
    assert sorted(look["action"] for look in looks) == [
        "account:passkey:made",
        "account:session:began",
        "account:session:ended",
    ]
    assert all(look["en"] and look["zh"] for look in looks)


def test_signing_in_is_bounded_for_each_address(world: World) -> None:
    answers = [world.call("POST", "/v1/sign-in/with-code", json={"code": "x"}) for _ in range(40)]
    assert {code(answer) for answer in answers} == {"start_code_invalid", "too_many_requests"}
    refused = next(answer for answer in answers if code(answer) == "too_many_requests")
    assert int(refused.headers["Retry-After"]) >= 1
