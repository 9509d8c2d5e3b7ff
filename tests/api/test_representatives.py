"""Consents that somebody gives on another's behalf: whose words and face they stand on, what the gate makes of them, and all
that stops them: an objection, the end of the claim, a birthday, a sign of life, and whoever gave them."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from api.auth import Role
from api.settings import Settings
from api.sweeping import sweep
from api.tables import ConsentRow
from consent.authority import SubjectAssurance
from consent.evidence import verify_evidence
from consent.record import ConsentRecord, ConsentState, Party, RevokedBy, read_record
from consent.status_list import Status
from consent.terms import Reader, current
from tests.api.conftest import World, png
from tests.api.scripted import ALICE, BOB
from tests.api.test_authorities import (
    DAY,
    GONE,
    GREEN,
    begun,
    claim,
    complete,
    granted,
    holds,
    paper,
    phone,
    photograph,
    reasons,
    reviewed,
)
from tests.api.test_clips import content, ordered, render, state
from tests.api.test_gate import redeem
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service

TO_SPEAK = current("en", Reader.REPRESENTATIVE)


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """Of an operator who wants estates, and says so."""
    return replace(settings, minimum_assurance=getattr(request, "param", SubjectAssurance.CURATED))


def asked(**changes: Any) -> dict[str, Any]:
    return {
        "terms_sha256": TO_SPEAK.sha256,
        "purposes": ["digital_double"],
        "audience": ["studio"],
        "limits": {"max_seconds": 30},
        "makers": ["estate-office"],
    } | changes


def give(world: World, path: str, token: str, **changes: Any) -> Any:
    return world.call("POST", f"{path}/consents", token, json=asked(**changes))


def given(
    world: World, path: str, who: str = "widow", colour: tuple[int, int, int] = ALICE, **changes: Any
) -> dict[str, Any]:
    answer = give(world, path, phone(world, who, colour), **changes)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def record_of(world: World, consent: dict[str, Any]) -> ConsentRecord:
    shown = world.call("GET", f"/v1/consents/{consent['consent_id']}", "app").json()
    return read_record(shown["record"], world.service.keys.public)


def asks(world: World, token: str, colour: tuple[int, int, int] = GONE[1], **context: Any) -> dict[str, Any]:
    """A backend asks for a clip of whoever is in the picture."""
    media = world.media(png(colour))["media_id"]
    return world.ask(tokens=[token], media=[media], context={"maker": "estate-office"} | context)


def codes(answer: dict[str, Any]) -> list[str]:
    assert answer["decision"] is False
    return list(dict.fromkeys(reason["code"] for reason in answer["context"]["reasons"]))


def status(world: World, consent: dict[str, Any]) -> Status | None:
    with world.service.database.transaction() as store:
        return store.status_of(consent["consent_id"])


def change(world: World, consent: dict[str, Any], verb: str, who: str, **body: Any) -> Any:
    return world.call("POST", f"/v1/consents/{consent['consent_id']}/{verb}", who, json=body)


def templates_are_gone(world: World, consent: dict[str, Any]) -> bool:
    with world.service.database.engine.connect() as connection:
        wrapped = text(
            "SELECT k.wrapped FROM data_keys k JOIN consents c USING (data_key_id) WHERE c.consent_id = :consent_id"
        )
        return connection.scalar(wrapped, {"consent_id": consent["consent_id"]}) is None


# --- giving ----------------------------------------------------------------------------------------------------------


def test_an_estate_agrees_and_the_gate_permits_that_and_nothing_more(world: World) -> None:
    path = granted(world)
    consent = given(world, path, "son", BOB)
    record = record_of(world, consent)
    basis = record.granted.authority
    assert basis is not None
    shown = world.call("GET", path, "app").json()
    son = next(party["party_id"] for party in shown["parties"] if party["relation"] == "child")
    assert (basis.case_id, basis.representative_id) == (shown["case_id"], son)
    assert record.subject_id not in {party["party_id"] for party in shown["parties"]}
    assert record.assurance is SubjectAssurance.CURATED
    assert basis.to_json()["liveness"] == "not_applicable"
    assert record.granted.terms_sha256 == TO_SPEAK.sha256
    assert record.expires_at == world.clock() + timedelta(days=365)
    token = world.token(consent)
    assert asks(world, token)["decision"] is True
    assert "unknown_face" in codes(asks(world, token, BOB)), "his own face is not agreed to"
    assert codes(asks(world, token, maker="somebody-else"))[0] == "scope_maker"
    assert codes(asks(world, token, purpose="voice"))[0] == "scope_purpose"
    permit = asks(world, token)["context"]["permit"]
    assert redeem(world, permit).status_code == 200
    object.__setattr__(world.service, "settings", replace(world.service.settings, output_check="handed_in"))
    done = {"permit": permit, "output_sha256": "cd" * 32}
    assert world.call("POST", "/v1/permits/complete", "backend", json=done).json()["release"] is True
    assert world.call("GET", f"{path}/events", "app").json()["events"][-1]["step"] == "consent"


@pytest.mark.parametrize("settings", [SubjectAssurance.WEB], indirect=True)
def test_an_operator_who_asks_for_people_shown_live_gets_no_estates(world: World) -> None:
    assert codes(asks(world, world.token(given(world, granted(world)))))[0] == "assurance_too_low"


def test_the_evidence_says_that_the_subject_was_not_shown_live(world: World) -> None:
    consent = given(world, granted(world))
    pack = world.call("GET", f"/v1/audit/evidence/{consent['consent_id']}", "auditor").content
    record = verify_evidence(pack, world.service.keys.public).record
    assert record.granted.authority is not None
    assert record.granted.authority.to_json()["liveness"] == "not_applicable"
    assert b"representative-2026-12" in pack


def test_nobody_agrees_for_another_to_everyone_or_for_longer_than_the_claim_lets(world: World) -> None:
    path = granted(world)
    late = (world.clock() + timedelta(days=366)).isoformat()
    for changes, wanted in (
        ({"makers": ["*"]}, "audience_too_wide"),
        ({"audience": ["*"]}, "audience_too_wide"),
        ({"expires_at": late}, "term_too_long"),
        ({"purposes": ["training"]}, "purpose_not_asked"),
    ):
        assert reasons(give(world, path, phone(world, "widow", ALICE), **changes)) == [wanted]
    consent = given(world, path, makers=None)
    record = record_of(world, consent)
    assert record.granted.authority is not None
    assert record.scope.makers == (record.granted.authority.representative_id,), "unset: only who gives it"


def test_the_words_are_those_for_who_speaks_for_somebody(world: World) -> None:
    path = granted(world)
    shown = world.call("GET", "/v1/terms/zh?for=representative").json()
    assert (shown["reader"], shown["sha256"]) == ("representative", current("zh", Reader.REPRESENTATIVE).sha256)
    assert world.call("GET", "/v1/terms/zh").json()["reader"] == "subject"
    assert code(world.call("GET", "/v1/terms/zh?for=everyone")) == "request_invalid"
    widow = phone(world, "widow", ALICE)
    assert code(give(world, path, widow, terms_sha256=current("en").sha256)) == "terms_unsuited"
    assert code(give(world, path, widow, terms_sha256="0" * 64)) == "terms_unknown"
    own = world.shown_live(ALICE, "widow")
    body = asked(session_id=own["session_id"], terms_sha256=TO_SPEAK.sha256, makers=["*"])
    assert code(world.call("POST", "/v1/consents", own["client_token"], json=body)) == "terms_unsuited"
    assert give(world, path, widow, terms_sha256=shown["sha256"]).status_code == 201, "a refusal used nothing up"


def test_one_live_check_gives_one_consent_for_whomever(world: World) -> None:
    path = granted(world)
    widow = world.shown_live(ALICE, "widow")
    assert give(world, path, widow["client_token"]).status_code == 201
    again = give(world, path, widow["client_token"])
    assert code(again) in ("consent_exists", "session_expired")
    own = asked(session_id=widow["session_id"], terms_sha256=current("en").sha256)
    assert code(world.call("POST", "/v1/consents", widow["client_token"], json=own)) == "consent_exists"
    first = world.shown_live(BOB, "son")
    own = asked(session_id=first["session_id"], terms_sha256=current("en").sha256)
    assert world.call("POST", "/v1/consents", first["client_token"], json=own).status_code == 201
    assert code(give(world, path, first["client_token"])) in ("consent_exists", "session_expired")


def test_only_who_signed_gives_and_only_on_a_claim_that_was_granted(world: World) -> None:
    path = begun(world)
    complete(world, path)
    assert reasons(give(world, path, phone(world, "widow", ALICE))) == ["not_granted"]
    assert reviewed(world, path).status_code == 200
    assert reviewed(world, path, world.key(Role.ADMIN, "admin-two")).status_code == 200
    assert reasons(give(world, path, phone(world, "widow", ALICE))) == ["not_granted"], "still open to objection"
    world.clock.move(14 * DAY)
    assert reasons(give(world, path, phone(world, "widow", GREEN))) == ["another_person"]
    assert code(give(world, path, phone(world, "stranger", GREEN))) == "not_found"
    assert code(give(world, path, "app")) == "forbidden"
    assert code(give(world, path, world.session("widow")["client_token"])) == "not_live"


def test_what_is_kept_of_a_face_is_as_much_as_the_purposes_need(world: World) -> None:
    path = granted(world)
    for purposes, kept in ((["voice"], False), (["digital_double", "voice"], True)):
        consent = given(world, path, purposes=purposes)
        with world.service.database.transaction() as store:
            row = store.get(ConsentRow, consent["consent_id"])
            assert row is not None
            assert (row.portrait_id is not None) is kept
            if row.portrait_id is not None:
                assert world.service.vault.get(store, row.portrait_id, owner=row.consent_id) == png(GONE[0])


# --- what stops it ---------------------------------------------------------------------------------------------------


def test_an_objection_stops_it_at_once_until_it_is_lifted_and_a_withdrawal_for_ever(world: World) -> None:
    path = granted(world)
    consent = given(world, path)
    token = world.token(consent)
    permit = asks(world, token)["context"]["permit"]
    spent = asks(world, token)["context"]["permit"]
    assert redeem(world, spent).status_code == 200
    son = phone(world, "son", BOB)
    assert world.call("POST", f"{path}/objections", son, json={}).status_code == 200
    assert codes(asks(world, token))[0] == "authority_invalid"
    assert code(redeem(world, permit)) == "consent_suspended"
    done = {"permit": spent, "output_sha256": "cd" * 32}
    assert world.call("POST", "/v1/permits/complete", "backend", json=done).json()["release"] is False
    assert status(world, consent) is Status.SUSPENDED
    assert [one["state"] for one in world.call("GET", path, "app").json()["consents"]] == ["suspended"]
    assert [one.by for one in record_of(world, consent).suspended] == [Party.OBJECTION]
    wanted = {"audience": "studio", "purpose": "digital_double", "ttl_s": 60}
    assert code(change(world, consent, "tokens", "app", **wanted)) == "authority_invalid"
    for who in (consent["manage_token"], "app"):
        assert code(change(world, consent, "resume", who)) == "not_suspended"
    assert world.call("POST", f"{path}/objections/lift", son).json()["stage"] == "granted"
    assert status(world, consent) is Status.VALID
    assert asks(world, token)["decision"] is True

    assert world.call("POST", f"{path}/withdraw", son).json()["stage"] == "withdrawn"
    assert codes(asks(world, token))[0] == "revoked"
    assert status(world, consent) is Status.REVOKED
    ended = record_of(world, consent)
    assert ended.revoked is not None
    assert ended.revoked.by is RevokedBy.REPRESENTATIVE
    assert ended.granted.authority is not None
    assert ended.revoked.representative_id not in (None, ended.granted.authority.representative_id), "it was the son"
    assert ended.state_at(world.clock()) is ConsentState.WITHDRAWN
    assert templates_are_gone(world, consent)
    owed = world.call("GET", "/v1/purges", "backend").json()["purges"]
    assert [purge["consent_id"] for purge in owed] == [consent["consent_id"]]
    world.clock.move(60)
    sweep(world.service)
    assert codes(asks(world, token))[0] == "revoked"
    assert reasons(give(world, path, phone(world, "widow", ALICE))) == ["authority_over"]


def test_what_a_representative_paused_stays_paused_when_an_objection_is_lifted(world: World) -> None:
    path = granted(world)
    consent = given(world, path)
    token = world.token(consent)
    assert change(world, consent, "suspend", consent["manage_token"]).json()["suspended_by"] == ["representative"]
    son = phone(world, "son", BOB)
    assert world.call("POST", f"{path}/objections", son, json={}).status_code == 200
    assert world.call("POST", f"{path}/objections/lift", son).status_code == 200
    assert status(world, consent) is Status.SUSPENDED
    assert codes(asks(world, token))[0] == "suspended"
    assert reasons(change(world, consent, "resume", phone(world, "stranger", GREEN))) == ["no_veto"]
    assert code(change(world, consent, "resume", phone(world, "son", BOB))) == "resume_not_allowed"
    assert change(world, consent, "resume", phone(world, "widow", ALICE)).json()["state"] == "given"
    assert asks(world, token)["decision"] is True


def test_the_app_withdraws_what_it_opened_and_the_record_says_so(world: World) -> None:
    path = granted(world)
    consent = given(world, path)
    assert world.call("POST", f"{path}/withdraw", "app").status_code == 200
    ended = record_of(world, consent).revoked
    assert ended is not None
    assert (ended.by, ended.representative_id) == (RevokedBy.APP, None)


def test_another_claim_about_the_same_person_does_not_touch_it(world: World) -> None:
    path = granted(world)
    consent = given(world, path)
    own = world.consent(world.shown_live(BOB, "son"))
    other = begun(world)
    assert world.call("POST", f"{other}/withdraw", "app").status_code == 200
    assert world.call("POST", f"{path}/objections", phone(world, "son", BOB), json={}).status_code == 200
    assert status(world, consent) is Status.SUSPENDED
    assert status(world, own) is Status.VALID, "their own consents are their own"
    assert world.call("POST", f"{path}/withdraw", "app").status_code == 200
    assert status(world, own) is Status.VALID


def test_while_somebody_objects_taking_back_is_possible_and_nothing_else(world: World) -> None:
    path = granted(world)
    consent = given(world, path, approval="always")
    token = world.token(consent)
    waits = asks(world, token)
    assert codes(waits) == ["approval_needed"]
    request = f"requests/{waits['context']['reasons'][0]['request_id']}/approve"
    assert world.call("POST", f"{path}/objections", phone(world, "son", BOB), json={}).status_code == 200
    mine = consent["manage_token"]
    assert code(change(world, consent, request, mine)) == "consent_suspended"
    for who in (mine, "app"):
        wanted = {"audience": "studio", "purpose": "digital_double", "ttl_s": 60}
        assert code(change(world, consent, "tokens", who, **wanted)) == "authority_invalid"
    cases = change(world, consent, "dry-run", mine, purpose="digital_double", backend="studio").json()["cases"]
    assert cases[0]["reasons"] == ["authority_invalid"]
    assert reasons(give(world, path, phone(world, "widow", ALICE))) == ["suspended"]
    assert change(world, consent, "narrow", mine, limits={"max_seconds": 10}).status_code == 200
    assert change(world, consent, "revoke", mine).json()["state"] == "withdrawn"
    assert templates_are_gone(world, consent)


def test_somebody_seen_alive_stops_all_that_was_agreed_on_their_death(world: World) -> None:
    consent = given(world, granted(world))
    token = world.token(consent)
    permit = asks(world, token)["context"]["permit"]
    alive = phone(world, "gone-1", GREEN)
    assert status(world, consent) is Status.SUSPENDED, "without anybody looking at the claim"
    assert codes(asks(world, token))[0] == "authority_invalid"
    assert code(redeem(world, permit)) == "consent_suspended"
    wanted = {"audience": "studio", "purpose": "digital_double", "ttl_s": 60}
    assert code(change(world, consent, "tokens", consent["manage_token"], **wanted)) == "authority_invalid"
    own = world.consent(world.shown_live(GREEN, "gone-1"))
    assert reasons(change(world, own, "revoke", phone(world, "widow", ALICE))) == ["suspended"], "they are not dead"
    assert change(world, consent, "revoke", alive).json()["state"] == "withdrawn"
    ended = record_of(world, consent).revoked
    assert ended is not None
    assert ended.by is RevokedBy.SUBJECT


def test_a_permit_from_before_is_not_spent_when_only_the_claim_knows_of_the_objection(world: World) -> None:
    """The record is not what is trusted: here it was never told."""
    path = granted(world)
    consent = given(world, path)
    token = world.token(consent)
    permit = asks(world, token)["context"]["permit"]
    with world.service.database.transaction() as store:  # a live check that nothing followed from
        from sqlalchemy import select

        from api.tables import SessionRow, VerdictRow

        subject = record_of(world, consent).subject_id
        widow = store._session.scalars(select(VerdictRow).join(
            SessionRow, SessionRow.session_id == VerdictRow.session_id).limit(1)).one()  # fmt: skip
        session = store.get(SessionRow, widow.session_id)
        assert session is not None
        session.subject_id = subject
    assert holds(world, path) != ()
    assert status(world, consent) is Status.VALID
    assert codes(asks(world, token))[0] == "authority_invalid"
    assert code(redeem(world, permit)) == "authority_invalid"
    wanted = {"audience": "studio", "purpose": "digital_double", "ttl_s": 60}
    assert code(change(world, consent, "tokens", consent["manage_token"], **wanted)) == "authority_invalid"


def test_what_the_person_left_out_in_their_lifetime_cannot_be_agreed_to(world: World) -> None:
    said = {"wish": "allow", "purposes": ["voice"]}
    alive = phone(world, "gone-1", GREEN)
    assert world.call("PUT", "/v1/subjects/gone-1/directive", alive, json=said).status_code == 200
    world.clock.move(40 * DAY)
    path = begun(world, died=(world.clock() - timedelta(days=1)).date().isoformat())
    complete(world, path)
    reviewed(world, path)
    reviewed(world, path, world.key(Role.ADMIN, "admin-two"))
    world.clock.move(14 * DAY)
    assert reasons(give(world, path, phone(world, "widow", ALICE))) == ["directive_forbids"]
    assert given(world, path, purposes=["voice"])


def test_a_clip_under_way_stops_when_a_relative_objects(world: World) -> None:
    path = granted(world)
    consent = given(world, path, audience=["portrait"])
    son = phone(world, "son", BOB)

    def object_meanwhile(number: int) -> None:
        if number == 20:
            assert world.call("POST", f"{path}/objections", son, json={}).status_code == 200

    made, stopped = (
        ordered(world, [world.token(consent, audience="portrait")], maker="estate-office", script="Hello.")
        for _ in range(2)
    )
    assert render(world, made)
    assert not render(world, stopped, object_meanwhile)
    assert state(world, stopped)["state"] == "failed"
    assert content(world, stopped).status_code == 410
    assert code(content(world, made)) == "consent_suspended"
    assert world.call("POST", f"{path}/objections/lift", son).status_code == 200
    assert content(world, made).status_code == 200
    assert world.call("POST", f"{path}/withdraw", son).status_code == 200
    assert code(content(world, made)) == "consent_revoked"


# --- children --------------------------------------------------------------------------------------------------------


def of_a_child(world: World, born: str) -> str:
    path = begun(
        world, type="guardian", subject_state="minor", died=None, born=born,
        parties=[{"ref": "widow", "relation": "parent"}, {"ref": "son", "relation": "parent"}],
    )  # fmt: skip
    for taken in (
        paper(world, path, "birth_certificate", "widow", "son"),
        *(photograph(world, path, colour) for colour in GONE),
        world.call("POST", f"{path}/representatives", phone(world, "widow", ALICE)),
        world.call("POST", f"{path}/representatives", phone(world, "son", BOB)),
    ):
        assert taken.status_code == 201, taken.text
    reviewed(world, path)
    assert reviewed(world, path, world.key(Role.ADMIN, "admin-two")).json()["stage"] == "granted"
    return path


def test_on_the_birthday_the_gate_refuses_and_then_everything_is_carried_out(world: World) -> None:
    path = of_a_child(world, "2009-03-20")  # 18 on 20 March 2027, nineteen days from now
    birthday = datetime(2027, 3, 19, 10, tzinfo=UTC)  # where on Earth it is first the 20th
    assert reasons(give(world, path, phone(world, "widow", ALICE), expires_at="2027-04-01T00:00:00Z")) == [
        "term_too_long"
    ]
    consent = given(world, path)
    assert record_of(world, consent).expires_at == birthday
    world.clock.move((birthday - world.clock()).total_seconds() - 1)
    token = world.token(consent)
    assert asks(world, token)["decision"] is True
    permit = asks(world, token)["context"]["permit"]
    world.clock.move(1)
    assert codes(asks(world, token))[0] in ("authority_invalid", "expired")
    assert code(redeem(world, permit)) in ("consent_expired", "permit_expired")
    sweep(world.service)
    assert world.call("GET", path, "app").json()["stage"] == "expired"
    assert templates_are_gone(world, consent)
    assert record_of(world, consent).state_at(world.clock()) is ConsentState.EXPIRED


def test_a_child_takes_back_what_was_agreed_for_them_and_renews_nothing(world: World) -> None:
    consent = given(world, of_a_child(world, "2012-05-05"))
    child = world.shown_live(GONE[1], "gone-1")
    body = {"session_id": child["session_id"], "terms_sha256": current("en").sha256}
    assert code(change(world, consent, "renew", child["client_token"], **body)) == "not_renewable"
    stopped = change(world, consent, "suspend", child["client_token"])
    assert stopped.json()["suspended_by"] == ["subject"]
    assert code(change(world, consent, "resume", consent["manage_token"], of="subject")) == "resume_not_allowed"
    assert change(world, consent, "revoke", phone(world, "gone-1", GONE[1])).json()["state"] == "withdrawn"


# --- agents ----------------------------------------------------------------------------------------------------------


def of_an_agent(world: World) -> str:
    path = begun(
        world, type="agent", subject_state="living_adult", quorum_rule="sole", purposes=[], died=None,
        parties=[{"ref": "agent", "relation": "appointed"}],
    )  # fmt: skip
    assert paper(world, path, "power_of_attorney", "agent").status_code == 201
    assert world.call("POST", f"{path}/representatives", phone(world, "agent", BOB)).status_code == 201
    assert reviewed(world, path).status_code == 200
    assert reviewed(world, path, world.key(Role.ADMIN, "admin-two")).json()["stage"] == "granted"
    return path


def test_an_agent_takes_back_and_has_no_way_to_give(world: World) -> None:
    consent = world.consent(world.shown_live(ALICE, "gone-1"))
    early = phone(world, "agent", BOB)
    assert code(change(world, consent, "revoke", early)) == "not_found", "no claim, no say"
    path = of_an_agent(world)
    agent = world.shown_live(BOB, "agent")
    token = agent["client_token"]
    narrower = {"limits": {"max_seconds": 10}}
    assert change(world, consent, "narrow", token, **narrower).json()["limits"]["max_seconds"] == 10
    assert change(world, consent, "suspend", token).json()["suspended_by"] == ["representative"]
    assert change(world, consent, "resume", token).json()["state"] == "given"
    assert [event.representative_id for event in record_of(world, consent).events[2:]] == [  # type: ignore[union-attr]
        next(party["party_id"] for party in world.call("GET", path, "app").json()["parties"])
    ] * 2
    wanted = {"audience": "studio", "purpose": "digital_double", "ttl_s": 60}
    assert code(change(world, consent, "tokens", token, **wanted)) == "not_found"
    renewal = {"session_id": agent["session_id"], "terms_sha256": current("en").sha256}
    assert code(change(world, consent, "renew", token, **renewal)) == "not_found"
    assert code(world.call("GET", f"/v1/consents/{consent['consent_id']}/requests", token)) == "not_found"
    assert reasons(give(world, path, token))[0] == "agent_only_takes_back"
    assert reasons(change(world, consent, "revoke", phone(world, "stranger", GREEN))) == ["no_veto"]
    assert reasons(change(world, consent, "revoke", phone(world, "agent", GREEN))) == ["another_person"]
    assert code(change(world, consent, "revoke", world.session("agent")["client_token"])) == "not_live"
    ended = change(world, consent, "revoke", token)
    assert ended.json()["state"] == "withdrawn"
    revoked = record_of(world, consent).revoked
    assert revoked is not None
    assert revoked.by is RevokedBy.REPRESENTATIVE


def test_the_person_resumes_what_their_agent_paused_and_stops_the_agent(world: World) -> None:
    consent = world.consent(world.shown_live(ALICE, "gone-1"))
    path = of_an_agent(world)
    mine = consent["manage_token"]
    assert change(world, consent, "suspend", phone(world, "agent", BOB)).status_code == 200
    assert change(world, consent, "resume", mine, of="representative").json()["state"] == "given"
    assert change(world, consent, "suspend", mine).json()["suspended_by"] == ["subject"]
    agent = phone(world, "agent", BOB)
    for body in ({}, {"of": "subject"}):
        assert code(change(world, consent, "resume", agent, **body)) in ("not_suspended", "resume_not_allowed")
    assert world.call("POST", f"{path}/objections", phone(world, "gone-1", ALICE), json={}).status_code == 200
    assert reasons(change(world, consent, "revoke", agent)) == ["suspended"]
    assert record_of(world, consent).suspended[0].by is Party.SUBJECT, "stopping an agent touches no consent"


def test_an_app_reaches_nothing_of_another_apps_person(world: World) -> None:
    consent = given(world, granted(world))
    world.keys["app"] = world.key(Role.APP, "app-two")
    other = world.call("POST", "/v1/authorities", "app", json=claim())
    assert other.status_code == 201
    for who in ("app", phone(world, "widow", ALICE), phone(world, "gone-1", GREEN)):
        assert code(change(world, consent, "revoke", who)) == "not_found"


def test_only_the_persons_own_face_ends_their_own_pause(world: World) -> None:
    """The app says whose live check it is; the app must not be able to end what the person paused."""
    consent = world.consent(world.shown_live(ALICE, "gone-1"))
    of_an_agent(world)
    assert change(world, consent, "suspend", consent["manage_token"]).status_code == 200
    assert reasons(change(world, consent, "resume", phone(world, "gone-1", GREEN))) == ["another_person"]
    assert change(world, consent, "resume", phone(world, "gone-1", ALICE)).json()["state"] == "given"


def test_a_relative_who_did_not_sign_stops_it_and_does_not_set_it_going(world: World) -> None:
    path = granted(world)
    consent = given(world, path)
    daughter = phone(world, "daughter", GREEN)
    assert reasons(change(world, consent, "suspend", daughter)) == ["no_veto"], "nobody has named her yet"
    named = {"ref": "daughter", "relation": "child"}
    assert world.call("POST", f"{path}/objections", "app", json=named).status_code == 200
    assert change(world, consent, "suspend", daughter).json()["suspended_by"] == ["objection", "representative"]
    assert reasons(change(world, consent, "resume", daughter)) == ["signers_only"]
    assert world.call("POST", f"{path}/objections/lift", phone(world, "daughter", ALICE)).status_code == 409
    assert change(world, consent, "revoke", daughter).json()["state"] == "withdrawn"


# --- who can see it ----------------------------------------------------------------------------------------------------------


def test_those_in_a_claim_and_auditors_find_what_was_given_on_it(world: World) -> None:
    path = granted(world)
    consent = given(world, path)
    own = world.consent(world.shown_live(BOB, "son"))
    for who in ("app", "admin", phone(world, "son", BOB)):
        listed = world.call("GET", path, who).json()["consents"]
        assert [(one["consent_id"], one["state"]) for one in listed] == [(consent["consent_id"], "given")]

    def found(authority: str) -> list[str]:
        answer = world.call("GET", f"/v1/audit/search?kind=record&authority={authority}", "auditor")
        return [one["consent_id"] for one in answer.json()["results"]]

    assert found("heir") == [consent["consent_id"]]
    assert found("self") == [own["consent_id"]]
    assert found("guardian") == []


def test_a_person_takes_along_what_was_agreed_for_them_but_not_the_check_of_who_agreed(world: World) -> None:
    for_them = given(world, of_a_child(world, "2012-05-05"))["consent_id"]
    own = world.consent(world.shown_live(GONE[1], "gone-1"))
    answer = world.call("GET", "/v1/subject/export", own["manage_token"])
    names = set(zipfile.ZipFile(io.BytesIO(answer.content)).namelist())
    assert {f"consents/{for_them}/record.jws", f"portraits/{for_them}.png"} <= names
    assert f"consents/{own['consent_id']}/live-check.json" in names
    assert f"consents/{for_them}/live-check.json" not in names


def test_whoever_agreed_sees_what_was_made_of_it_and_not_the_persons_whole_life(world: World) -> None:
    """Else one heir could delete, with everything, the person's own instruction that stands above the heirs."""
    lifetime = world.consent(world.shown_live(GREEN, "gone-1"))
    redeem(
        world,
        world.ask(tokens=[world.token(lifetime)], media=[world.media(png(GREEN))["media_id"]])["context"]["permit"],
    )
    world.clock.move(40 * DAY)
    path = begun(world, died=(world.clock() - timedelta(days=1)).date().isoformat())
    complete(world, path)
    reviewed(world, path)
    reviewed(world, path, world.key(Role.ADMIN, "admin-two"))
    world.clock.move(14 * DAY)
    consent = given(world, path)
    token = world.token(consent)
    assert redeem(world, asks(world, token)["context"]["permit"]).status_code == 200
    assert codes(asks(world, token, purpose="voice"))[0] == "scope_purpose"
    uses, tried = (
        world.call("GET", f"/v1/subject/{what}", consent["manage_token"]).json()["results"]
        for what in ("uses", "attempts")
    )
    assert [one["consent_id"] for one in uses] == [consent["consent_id"]]
    assert sorted(one["outcome"] for one in tried) == ["permit", "refusal"]
    assert {one for each in tried for one in each["consents"]} == {consent["consent_id"]}
    for what in ("admin-views", "export"):
        assert code(world.call("GET", f"/v1/subject/{what}", consent["manage_token"])) == "forbidden"
    assert code(world.call("DELETE", "/v1/subject", consent["manage_token"])) == "forbidden"
