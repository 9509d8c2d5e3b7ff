"""Over HTTP: pausing, renewing, being asked each time, trying out what would be allowed, and saying yes to the check alone."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from api.auth import Role
from api.media import Erased
from api.rendering import render_clip
from api.settings import SettingsInvalid, read_settings
from api.sweeping import sweep
from api.tables import ConsentRow
from consent.check import check_bytes, check_from_bytes, read_check
from consent.errors import RecordInvalid
from consent.keys import KeySet
from consent.ledger import commit, verify_receipt
from consent.record import Kind, read_record
from consent.terms import current
from tests.api.conftest import World, png, renderers
from tests.api.scripted import ALICE, BOB
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service

JOB, OTHER_JOB = "ab" * 32, "cd" * 32


class Told:
    """A consent with its path and its person."""

    def __init__(self, world: World, **more: Any) -> None:
        self.world = world
        self.given = world.consent(**more)
        self.path = f"/v1/consents/{self.given['consent_id']}"
        self.person = self.given["manage_token"]

    def post(self, tail: str, who: str | None = None, **body: Any) -> Any:
        return self.world.call("POST", f"{self.path}/{tail}", who or self.person, json=body)

    def state(self) -> dict[str, Any]:
        return dict(self.world.call("GET", self.path, "app").json())

    def asks(self, token: str, **context: Any) -> dict[str, Any]:
        photo = self.world.media(png(ALICE))
        return self.world.ask(tokens=[token], media=[photo["media_id"]], context=context)


def reasons(answer: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in answer["context"].get("reasons", [])]


def keys_of(world: World) -> KeySet:
    return KeySet.from_jwks(world.call("GET", "/.well-known/jwks.json").json())


# --- pausing ---------------------------------------------------------------------------------------------------------


def test_a_person_pauses_and_only_the_person_resumes(world: World) -> None:
    told = Told(world)
    token = world.token(told.given)
    paused = told.post("suspend").json()
    assert (paused["state"], paused["suspended_by"]) == ("suspended", ["subject"])
    assert reasons(told.asks(token)) == ["suspended", "no_token"]
    body = {"audience": "studio", "purpose": "digital_double", "ttl_s": 60}
    assert code(world.call("POST", f"{told.path}/tokens", "app", json=body)) == "consent_suspended"
    for who, more in (("app", {"of": "subject"}), ("admin", {"of": "subject", "on_behalf_of": "controller"})):
        refused = told.post("resume", who, **more)
        assert (refused.status_code, code(refused)) == (403, "resume_not_allowed")
    assert told.post("resume").json()["state"] == "given"
    assert told.asks(token)["decision"] is True


def test_others_pause_on_their_own_account(world: World) -> None:
    told = Told(world)
    assert told.post("suspend", "admin", on_behalf_of="authority").json()["suspended_by"] == ["authority"]
    assert told.post("suspend", "app").json()["suspended_by"] == ["authority", "app"]
    assert code(told.post("resume")) == "not_suspended"  # the person has paused nothing
    assert told.post("resume", of="app").json()["suspended_by"] == ["authority"]
    assert code(told.post("resume", of="authority")) == "resume_not_allowed"
    assert told.post("resume", "admin", on_behalf_of="authority").json()["state"] == "given"
    assert code(told.post("suspend", "admin")) == "request_invalid"
    assert code(told.post("suspend", on_behalf_of="controller")) == "forbidden"
    assert code(told.post("suspend", "auditor")) == "not_found"
    stranger = world.key(Role.APP, "app-two")
    assert code(told.post("suspend", stranger)) == "not_found"
    kinds = [entry["kind"] for entry in world.call("GET", "/v1/log/entries").json()["entries"]]
    assert kinds == [Kind.GRANTED, Kind.SUSPENDED, Kind.SUSPENDED, Kind.RESUMED, Kind.RESUMED]


def test_a_permit_from_before_a_pause_or_a_narrowing_is_not_redeemed(world: World) -> None:
    told = Told(world)
    token = world.token(told.given)

    def permit() -> dict[str, Any]:
        return {"permit": told.asks(token)["context"]["permit"], "job_sha256": JOB}

    held = permit()
    told.post("suspend")
    assert code(world.call("POST", "/v1/permits/redeem", "backend", json=held)) == "consent_suspended"
    told.post("resume")
    assert code(world.call("POST", "/v1/permits/redeem", "backend", json=held)) == "consent_changed"
    held = permit()
    told.post("narrow", limits={"max_seconds": 5})
    assert code(world.call("POST", "/v1/permits/redeem", "backend", json=held)) == "consent_changed"
    photo = world.media(png(ALICE))
    held = {
        "permit": world.ask(tokens=[token], media=[photo["media_id"]], context={"seconds": 5})["context"]["permit"],
        "job_sha256": JOB,
    }
    assert world.call("POST", "/v1/permits/redeem", "backend", json=held).status_code == 200


@pytest.mark.parametrize(
    ("change", "said", "ends"),
    [
        ("suspend", {}, "consent_suspended"),
        ("narrow", {"audience": ["studio"]}, "scope_audience"),
        ("narrow", {"purposes": ["digital_double"]}, "scope_purpose"),
        ("narrow", {"limits": {"max_seconds": 20}}, None),
    ],
)
def test_a_clip_in_the_queue_ends_at_once_when_its_consent_covers_it_no_longer(
    world: World, change: str, said: dict[str, Any], ends: str | None
) -> None:
    """However long it would have waited for its turn, at which the gate is asked in any case."""
    told = Told(world, purposes=["digital_double", "cameo"])
    token = world.token(told.given, audience="portrait", purpose="cameo")
    body = {"backend": "portrait", "tokens": [token], "script": "Hello.", "purpose": "cameo"}
    clip = world.call("POST", "/v1/clips", "app", json=body).json()["clip_id"]
    assert told.post(change, **said).status_code == 200
    shown = world.call("GET", f"/v1/clips/{clip}", "app").json()
    assert (shown["state"], shown["code"]) == (("queued", None) if ends is None else ("withdrawn", ends))
    if ends is not None:
        assert code(world.call("GET", f"/v1/clips/{clip}/content", "app")) == ends
        assert not render_clip(world.service, renderers(world.service), clip)


def test_a_paused_person_is_not_shown_in_finished_clips_either(world: World) -> None:
    told = Told(world)
    token = world.token(told.given, audience="portrait")
    body = {"backend": "portrait", "tokens": [token], "script": "Hello.", "purpose": "digital_double"}
    clip = world.call("POST", "/v1/clips", "app", json=body).json()["clip_id"]
    late = world.call("POST", "/v1/clips", "app", json=body).json()["clip_id"]
    assert render_clip(world.service, renderers(world.service), clip)
    # paused while the second is being made: it is not released
    paused: list[int] = []

    def pause(_: int) -> None:
        if not paused:
            paused.append(told.post("suspend").status_code)

    assert not render_clip(world.service, renderers(world.service, pause), late)
    assert paused == [200]
    failed = world.call(
        "GET", f"/v1/clips/{late}", "app"
    ).json()  # stopped at its release, or before it where that is slow
    assert failed["code"] == "consent_suspended" or failed["reasons"][0]["code"] == "suspended"
    assert code(world.call("GET", f"/v1/clips/{clip}/content", "app")) == "consent_suspended"
    told.post("resume")
    assert world.call("GET", f"/v1/clips/{clip}/content", "app").status_code == 200


# --- renewing --------------------------------------------------------------------------------------------------------


def renewal(world: World, told: Told, session: dict[str, Any], who: str | None = None, **more: Any) -> Any:
    body = {"session_id": session["session_id"], "terms_sha256": current("en").sha256} | more
    return world.call("POST", f"{told.path}/renew", who or session["client_token"], json=body)


def test_a_new_check_of_the_same_person_gives_a_new_term(world: World) -> None:
    told = Told(world)
    before = told.state()
    world.clock.move(20 * 86_400)
    session = world.shown_live()
    answer = renewal(world, told, session)
    assert answer.status_code == 200, answer.text
    after = told.state()
    assert after["state"] == "renewed"
    assert after["expires_at"].startswith((world.clock() + timedelta(days=365)).strftime("%Y-%m-%d"))
    assert (after["audience"], after["limits"]) == (before["audience"], before["limits"])
    record = read_record(answer.json()["record"], keys_of(world))
    assert record.renewed is not None
    assert verify_receipt(json.dumps(answer.json()["receipt"]), keys_of(world)).event.kind == "consent.renewed"
    assert world.call("GET", told.path, answer.json()["manage_token"]).status_code == 200
    # the check is spent, for renewals and for consents
    again = renewal(world, told, session)
    assert code(again) in ("session_expired", "live_reused")
    grant = {
        "session_id": session["session_id"],
        "terms_sha256": current("en").sha256,
        "purposes": ["cameo"],
        "audience": [],
    }
    assert code(world.call("POST", "/v1/consents", session["client_token"], json=grant)) == "session_expired"


def test_nobody_else_renews(world: World) -> None:
    told = Told(world)
    impostor = world.shown_live(BOB)  # in the name of the same person, with another face
    assert code(renewal(world, told, impostor)) == "not_same_person"
    other = world.shown_live(ALICE, "user-2")
    assert code(renewal(world, told, other)) == "not_found"
    failed = world.session()
    assert code(renewal(world, told, failed)) == "not_live"
    mine, stranger = world.shown_live(), Told(world, session=world.shown_live(BOB, "user-3"), audience=["studio"])
    assert code(renewal(world, told, mine, stranger.person)) == "not_found"
    assert renewal(world, told, mine, told.person).status_code == 200
    assert told.state()["state"] == "renewed"


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"audience": ["portrait", "studio", "third"]}, "not_within"),
        ({"purposes": ["digital_double", "training"]}, "not_within"),
        ({"expires_at": "2047-01-01T00:00:00Z"}, "expiry_out_of_range"),
        ({"terms_sha256": "00" * 32}, "terms_unknown"),
    ],
)
def test_a_renewal_adds_nothing_but_time(world: World, more: dict[str, Any], wanted: str) -> None:
    told = Told(world)
    session = world.shown_live()
    assert code(renewal(world, told, session, **more)) == wanted
    assert renewal(world, told, session, audience=["studio"]).status_code == 200  # nothing was spent, and less is fine
    assert told.state()["audience"] == ["studio"]


def test_what_is_paused_or_over_is_not_renewed(world: World) -> None:
    told = Told(world)
    told.post("suspend")
    session = world.shown_live()
    assert code(renewal(world, told, session)) == "consent_suspended"
    told.post("resume")
    told.post("revoke")
    assert code(renewal(world, told, session)) in ("consent_revoked", "consent_expired")


# --- being asked each time -------------------------------------------------------------------------------------------


def test_each_use_waits_for_a_yes_and_a_yes_is_used_once(world: World) -> None:
    told = Told(world, approval="always")
    token = world.token(told.given)
    said = {"script": "Buy my lemonade.", "maker": "maker-1", "categories": ["satire"], "territories": ["DE"]}

    refused = told.asks(token, **said)
    assert reasons(refused) == ["approval_needed"]
    request_id = refused["context"]["reasons"][0]["request_id"]
    assert told.asks(token, **said)["context"]["reasons"][0]["request_id"] == request_id  # asked once
    waiting = world.call("GET", f"{told.path}/requests", told.person).json()["requests"]
    assert [(one["request_id"], one["state"], one["backend"]) for one in waiting] == [
        (request_id, "requested", "studio")
    ]
    assert waiting[0]["details"] | said == waiting[0]["details"]

    approved = told.post(f"requests/{request_id}/approve").json()
    assert (approved["state"], approved["used"]) == ("approved", False)
    assert reasons(told.asks(token, job_sha256=OTHER_JOB, **said)) == [
        "approval_needed"
    ]  # another job, another question
    permit = told.asks(token, **said)["context"]["permit"]
    spent = world.call("POST", "/v1/permits/redeem", "backend", json={"permit": permit, "job_sha256": JOB})
    assert spent.status_code == 200, spent.text
    assert reasons(told.asks(token, **said)) == ["approval_needed"]
    assert told.asks(token, **said)["context"]["reasons"][0]["request_id"] != request_id


def test_one_yes_is_not_spent_on_two_permits(world: World) -> None:
    told = Told(world, approval="always")
    token = world.token(told.given)
    request_id = told.asks(token)["context"]["reasons"][0]["request_id"]
    told.post(f"requests/{request_id}/approve")
    permits = [told.asks(token)["context"]["permit"] for _ in range(2)]
    spent = [
        world.call("POST", "/v1/permits/redeem", "backend", json={"permit": permit, "job_sha256": JOB})
        for permit in permits
    ]
    assert [answer.status_code for answer in spent] == [200, 409]
    assert code(spent[1]) == "approval_needed"


def test_a_no_stands_and_only_the_person_answers(world: World) -> None:
    told = Told(world, approval="always")
    token = world.token(told.given)
    request_id = told.asks(token)["context"]["reasons"][0]["request_id"]
    assert code(told.post(f"requests/{request_id}/approve", "app")) == "forbidden"
    stranger = Told(world, session=world.shown_live(BOB, "user-2"))
    assert code(world.call("POST", f"{stranger.path}/requests/{request_id}/approve", stranger.person)) == "not_found"
    assert code(told.post(f"requests/{request_id}/approve", stranger.person)) == "not_found"
    assert told.post(f"requests/{request_id}/refuse").json()["state"] == "refused"
    assert reasons(told.asks(token)) == ["approval_refused"]
    assert code(told.post(f"requests/{request_id}/approve")) == "approval_answered"


def test_a_yes_can_be_taken_back_before_the_work_begins(world: World) -> None:
    told = Told(world, approval="always")
    token = world.token(told.given)
    request_id = told.asks(token)["context"]["reasons"][0]["request_id"]
    told.post(f"requests/{request_id}/approve")
    permit = told.asks(token)["context"]["permit"]
    told.post(f"requests/{request_id}/refuse")
    spent = world.call("POST", "/v1/permits/redeem", "backend", json={"permit": permit, "job_sha256": JOB})
    assert code(spent) == "approval_needed"


def test_a_question_nobody_answers_is_a_no(world: World) -> None:
    told = Told(world, approval="always")
    request_id = told.asks(world.token(told.given))["context"]["reasons"][0]["request_id"]
    world.clock.move(7 * 86_400)
    assert code(told.post(f"requests/{request_id}/approve")) == "approval_expired"


def test_nobody_is_asked_about_a_face_that_is_not_theirs(world: World) -> None:
    told = Told(world, approval="always")
    photo = world.media(png(BOB))
    answer = world.ask(tokens=[world.token(told.given)], media=[photo["media_id"]])
    assert "approval_needed" not in reasons(answer)
    assert world.call("GET", f"{told.path}/requests", told.person).json() == {"requests": []}


def test_nobody_is_flooded_with_questions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.approvals._MOST_WAITING", 2)
    told = Told(world, approval="always")
    token = world.token(told.given)
    answers = [told.asks(token, job_sha256=f"{number:064x}") for number in range(3)]
    assert ["request_id" in answer["context"]["reasons"][0] for answer in answers] == [True, True, False]
    assert len(world.call("GET", f"{told.path}/requests", told.person).json()["requests"]) == 2


def test_a_clip_waits_for_a_yes_as_well(world: World) -> None:
    told = Told(world, approval="always")
    token = world.token(told.given, audience="portrait")
    body = {"backend": "portrait", "tokens": [token], "script": "Hello.", "purpose": "digital_double"}
    refused = world.call("POST", "/v1/clips", "app", json=body)
    assert refused.status_code == 403
    request_id = refused.json()["reasons"][0]["request_id"]
    told.post(f"requests/{request_id}/approve")
    accepted = world.call("POST", "/v1/clips", "app", json=body)
    assert accepted.status_code == 202
    assert render_clip(world.service, renderers(world.service), accepted.json()["clip_id"])
    assert world.call("GET", f"{told.path}/requests", told.person).json()["requests"][0]["used"] is True
    assert world.call("POST", "/v1/clips", "app", json=body).status_code == 403


# --- limits, and trying them out -------------------------------------------------------------------------------------


def test_limits_hold_over_http_and_are_narrowed_one_by_one(world: World) -> None:
    limits = {"max_seconds": 30, "forbidden_categories": ["politics"], "territories": ["DE", "AT"]}
    told = Told(world, makers=["maker-1", "self"], limits=limits)
    token = world.token(told.given)
    good = {"maker": "maker-1", "categories": ["satire"], "territories": ["DE"]}
    assert told.asks(token, **good)["decision"] is True
    for change, wanted in (
        ({"maker": "maker-2"}, "scope_maker"),
        ({"categories": ["politics"]}, "scope_content"),
        ({"categories": None}, "scope_content"),
        ({"territories": ["DE", "FR"]}, "scope_territory"),
    ):
        assert reasons(told.asks(token, **(good | change)))[0] == wanted  # type: ignore[arg-type]
    narrowed = told.post("narrow", limits={"territories": ["AT"]}, approval="always").json()
    assert narrowed["limits"]["territories"] == ["AT"]
    assert narrowed["limits"]["forbidden_categories"] == ["politics"]  # what was not named stayed
    assert narrowed["approval"] == "always"
    assert reasons(told.asks(token, **good))[0] == "scope_territory"
    assert code(told.post("narrow", limits={"territories": ["*"]})) == "not_narrower"
    assert code(told.post("narrow", approval="never")) == "not_narrower"


def test_a_dry_run_shows_the_whole_matrix_and_leaves_no_trace(world: World) -> None:
    told = Told(world, limits={"max_seconds": 30, "forbidden_words": ["lottery"]})

    def counts() -> list[int]:
        with world.service.database.engine.connect() as connection:
            return [
                connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0  # noqa: S608 - our own table names
                for table in ("attempts", "outcomes", "permits", "approvals", "ledger_entries")
            ]

    before = counts()
    cases = told.post("dry-run").json()["cases"]
    assert {(case["purpose"], case["backend"]) for case in cases if case["allowed"]} == {
        ("digital_double", "portrait"),
        ("digital_double", "studio"),
    }
    assert {case["backend"] for case in cases} == {"portrait", "story", "cameo", "studio"}
    assert len(cases) == 5 * 4
    reasons = {(case["purpose"], case["backend"]): case["reasons"] for case in cases}
    assert reasons["training", "studio"] == ["scope_purpose"]
    assert reasons["training", "cameo"] == ["scope_purpose", "scope_audience"]
    one = told.post("dry-run", purpose="digital_double", backend="third", seconds=60, script="Lottery!").json()["cases"]
    assert one == [
        {
            "purpose": "digital_double",
            "backend": "third",
            "allowed": False,
            "reasons": ["scope_audience", "scope_limits"],
        }
    ]
    told.post("suspend")
    assert {tuple(case["reasons"]) for case in told.post("dry-run", "app").json()["cases"]} == {("suspended",)}
    assert counts()[:4] == before[:4]
    assert code(told.post("dry-run", "auditor")) == "forbidden"
    assert code(told.post("dry-run", "backend")) == "not_found"


def test_categories_are_named_in_the_person_s_language(world: World) -> None:
    assert world.call("GET", "/v1/content-categories/zh").json()["politics"].startswith("政治")
    assert code(world.call("GET", "/v1/content-categories/xx")) == "not_found"


# --- the check alone -------------------------------------------------------------------------------------------------


def agree(world: World, session: dict[str, Any], sha256: str = current("en").sha256) -> Any:
    path = f"/v1/liveness/sessions/{session['session_id']}/check-consent"
    return world.call("POST", path, session["client_token"], json={"terms_sha256": sha256})


def test_the_yes_to_the_check_is_a_record_of_its_own_and_in_the_log(world: World) -> None:
    session = world.session()
    answer = agree(world, session)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    given = read_check(told["record"], keys_of(world))
    assert (given.session_id, given.terms_sha256) == (session["session_id"], current("en").sha256)
    assert given.destroy_by == world.clock() + timedelta(hours=24)
    assert "user-1" not in told["record"]
    salt = base64.urlsafe_b64decode(told["salt"] + "=")
    assert told["entry"]["kind"] == "check.given"
    assert told["entry"]["digest"] == commit(check_bytes(given), salt)
    assert agree(world, session).json()["record"] == told["record"]  # twice is once
    assert check_from_bytes(check_bytes(given)) == given
    with pytest.raises(RecordInvalid):
        read_check(Told(world).given["record"], keys_of(world))


def test_a_consent_names_the_check_s_own_consent(world: World) -> None:
    session = world.session()
    given = read_check(agree(world, session).json()["record"], keys_of(world))
    challenge = world.challenge(session)
    data = f"live {','.join(map(str, ALICE))} {challenge['nonce']}".encode()
    assert world.capture(session, data).status_code == 202
    assert world.judge(challenge)
    record = read_record(world.consent(session)["record"], keys_of(world))
    assert record.granted.check_sha256 == given.sha256
    assert read_record(world.consent()["record"], keys_of(world)).granted.check_sha256 is None


def test_words_that_are_not_today_s_are_not_agreed_to(world: World) -> None:
    session = world.session()
    assert code(agree(world, session, "00" * 32)) == "terms_unknown"
    from consent.terms import VERSIONS

    assert code(agree(world, session, VERSIONS[0].sha256)) == "terms_outdated"


def test_a_challenge_can_carry_the_yes_and_may_have_to(world: World) -> None:
    session = world.session()
    path = f"/v1/liveness/sessions/{session['session_id']}/challenge"
    carried = world.call("POST", path, session["client_token"], json={"terms_sha256": current("en").sha256})
    assert carried.status_code == 201
    assert [e["kind"] for e in world.call("GET", "/v1/log/entries").json()["entries"]] == ["check.given"]
    strict = replace(world.service, settings=replace(world.service.settings, check_consent="required"))
    world.client.app.state.service = strict  # type: ignore[attr-defined]
    other = world.session("user-2")
    path = f"/v1/liveness/sessions/{other['session_id']}/challenge"
    refused = world.call("POST", path, other["client_token"])
    assert (refused.status_code, code(refused)) == (409, "check_consent_needed")
    assert agree(world, other).status_code == 201
    assert world.call("POST", path, other["client_token"]).json()["attempts_left"] == 2  # none was taken by the refusal
    with pytest.raises(SettingsInvalid, match="MIEN_CHECK_CONSENT"):
        read_settings({"MIEN_CHECK_CONSENT": "optional"})


def test_a_no_to_the_double_is_recorded_and_erases_the_check(world: World) -> None:
    session = world.shown_live()
    path = f"/v1/liveness/sessions/{session['session_id']}/answer"
    put_off = world.call("POST", path, session["client_token"], json={"answer": "deferred"})
    assert put_off.json()["state"] == "deferred"
    assert world.call("POST", path, session["client_token"], json={"answer": "refused"}).status_code == 201
    kinds = [entry["kind"] for entry in world.call("GET", "/v1/log/entries").json()["entries"]]
    assert kinds == [Kind.REQUESTED, Kind.DEFERRED, Kind.REQUESTED, Kind.REFUSED]
    body = {
        "session_id": session["session_id"],
        "terms_sha256": current("en").sha256,
        "purposes": ["cameo"],
        "audience": [],
    }
    assert code(world.call("POST", "/v1/consents", session["client_token"], json=body)) == "consent_refused"
    again = world.call("POST", path, session["client_token"], json={"answer": "deferred"})
    assert code(again) == "consent_refused"
    with world.service.database.engine.connect() as connection:
        left = "SELECT count(*) FROM sealed s JOIN data_keys k USING (data_key_id) WHERE k.wrapped IS NOT NULL"
        assert connection.scalar(text(left)) == 0


def test_who_put_it_off_can_still_agree(world: World) -> None:
    session = world.shown_live()
    path = f"/v1/liveness/sessions/{session['session_id']}/answer"
    world.call("POST", path, session["client_token"], json={"answer": "deferred"})
    assert world.consent(session)["consent_id"]
    assert code(world.call("POST", path, session["client_token"], json={"answer": "refused"})) == "consent_exists"


# --- how long anything is kept ---------------------------------------------------------------------------------------


def test_picture_and_templates_go_when_the_consent_is_over(world: World) -> None:
    told = Told(world)
    with world.service.database.transaction() as store:
        row = store.get(ConsentRow, told.given["consent_id"])
        assert row is not None
        assert row.destroy_by == row.expires_at
    world.clock.move(30 * 86_400 - 1)
    sweep(world.service)
    with world.service.database.transaction() as store:
        assert world.service.vault.get(store, row.templates_id, owner=row.consent_id)
    world.clock.move(1)
    sweep(world.service)
    with world.service.database.transaction() as store:
        for sealed_id in (row.templates_id, row.portrait_id):
            with pytest.raises(Erased):
                world.service.vault.get(store, sealed_id, owner=row.consent_id)
    assert told.state()["state"] == "expired"


def test_the_record_says_how_to_withdraw_and_when_all_is_destroyed(world: World) -> None:
    told = Told(world)
    record = read_record(told.given["record"], keys_of(world))
    route = record.granted.controller.withdrawal
    assert route is not None
    method, _, address = route.partition(" ")
    path = address.removeprefix(world.service.settings.public_url).replace("{record_id}", record.consent_id)
    assert world.call(method, path, told.person).json()["state"] == "withdrawn"  # one step, as one step gave it


# --- a check that the person begins themself -------------------------------------------------------------------------


def test_a_person_begins_a_check_of_their_own_and_renews_with_it(world: World) -> None:
    told = Told(world)
    begun = told.post("check", language="en")
    assert begun.status_code == 201, begun.text
    session = begun.json()
    challenge = world.challenge(session)
    assert world.capture(session, f"live {','.join(map(str, ALICE))} {challenge['nonce']}".encode()).status_code == 202
    assert world.judge(challenge)
    renewed = told.post("renew", session_id=session["session_id"], terms_sha256=current("en").sha256)
    assert renewed.status_code == 200, renewed.text
    assert told.state()["state"] == "renewed"


def test_nobody_begins_a_check_of_somebody_else(world: World) -> None:
    told = Told(world)
    stranger = world.consent(world.shown_live(BOB, "user-2"))
    assert code(told.post("check", stranger["manage_token"], language="en")) == "not_found"
    assert code(told.post("check", "app", language="en")) == "forbidden"
    assert code(told.post("check", language="zh")) == "language_unavailable"
