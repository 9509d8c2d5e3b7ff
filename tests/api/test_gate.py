"""The gate over HTTP: what backends may not do, and the books that are kept of it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

import api.gate
from api.auth import Role
from tests.api.conftest import World, png
from tests.api.scripted import ALICE, BOB, CONTRACT, colour_template
from tests.api.test_consents import revoke
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service


def codes(answer: dict[str, Any]) -> list[str]:
    assert answer["decision"] is False
    assert "permit" not in answer["context"]
    return [reason["code"] for reason in answer["context"]["reasons"]]


def books(world: World) -> tuple[int, int]:
    with world.service.database.engine.connect() as connection:
        attempts = connection.scalar(text("SELECT count(*) FROM attempts"))
        outcomes = connection.scalar(text("SELECT count(*) FROM outcomes"))
    return int(attempts or 0), int(outcomes or 0)


def test_no_token_no_permit(world: World) -> None:
    photo = world.media(png(ALICE))
    answer = world.ask(tokens=[], media=[photo["media_id"]])
    assert codes(answer) == ["no_token"]
    assert answer["context"]["reasons"][0]["media_id"] == photo["media_id"]
    assert books(world) == (1, 1)


def test_another_persons_face_is_named_by_its_box_and_never_scored(world: World) -> None:
    token = world.token(world.consent())
    photo = world.media(png(ALICE, BOB))
    assert [face["quality"] for face in photo["faces"]] == ["good", "good"]
    answer = world.ask(tokens=[token], media=[photo["media_id"]])
    assert codes(answer) == ["unknown_face"]
    reason = answer["context"]["reasons"][0]
    assert (reason["face"], reason["box"]["x"]) == (1, 32)
    assert set(reason) == {"code", "face", "media_id", "box"}


def test_two_people_need_two_consents(world: World) -> None:
    alice = world.token(world.consent())
    bob = world.token(world.consent(world.shown_live(BOB, "user-2")))
    photo = world.media(png(ALICE, BOB))
    assert world.ask(tokens=[alice, bob], media=[photo["media_id"]])["decision"] is True
    only = world.media(png(ALICE))
    assert codes(world.ask(tokens=[alice, bob], media=[only["media_id"]])) == ["token_unused"]


def test_a_face_that_cannot_be_measured_is_somebody(world: World) -> None:
    token = world.token(world.consent())
    dark = world.media(png((2, 2, 2)))
    assert dark["faces"][0]["quality"] == "unjudged"
    assert "face_unjudged" in codes(world.ask(tokens=[token], media=[dark["media_id"]]))


def test_media_without_a_face_is_no_way_around(world: World) -> None:
    token = world.token(world.consent())
    grey = world.media(png((120, 120, 120)))
    assert grey["faces"] == []
    assert codes(world.ask(tokens=[token], media=[grey["media_id"]])) == ["no_face"]


def test_media_of_others_or_none_is_not_looked_at(world: World) -> None:
    token = world.token(world.consent())
    apps = world.media(png(ALICE), who="app")
    for media_id in (apps["media_id"], "med_" + "0" * 32):
        assert "face_unjudged" in codes(world.ask(tokens=[token], media=[media_id]))


def test_media_is_gone_after_a_day(world: World) -> None:
    from api.sweeping import sweep

    consent = world.consent()
    photo = world.media(png(ALICE))
    world.clock.move(24 * 3600)
    sweep(world.service)
    token = world.token(consent)
    assert "face_unjudged" in codes(world.ask(tokens=[token], media=[photo["media_id"]]))


@pytest.mark.parametrize(
    ("vector", "contract", "decision"),
    [
        (colour_template(ALICE).vector.tolist(), CONTRACT, True),
        (colour_template(BOB).vector.tolist(), CONTRACT, False),
        (colour_template(ALICE).vector.tolist(), "another-model", False),
        ([1.0, 2.0], CONTRACT, False),
        ([0.0, 0.0, 0.0, 0.0], CONTRACT, False),
        ((colour_template(ALICE).vector * 1e6).tolist(), CONTRACT, True),
    ],
)
def test_raw_embeddings_count_only_under_our_own_contract(
    world: World, vector: list[float], contract: str, decision: bool
) -> None:
    token = world.token(world.consent())
    properties = {"embeddings": [{"contract_id": contract, "vector": vector}]}
    assert world.ask(tokens=[token], properties=properties)["decision"] is decision


def test_a_backend_asks_for_itself_only(world: World) -> None:
    question = world.evaluation(tokens=[], backend="portrait")
    refused = world.call("POST", "/access/v1/evaluation", "backend", json=question)
    assert (refused.status_code, code(refused)) == (403, "forbidden")


def test_a_token_made_for_another_backend_is_refused(world: World) -> None:
    consent, photo = world.consent(), world.media(png(ALICE))
    token = world.token(consent, audience="portrait")
    assert codes(world.ask(tokens=[token], media=[photo["media_id"]])) == ["wrong_audience", "no_token"]


@pytest.mark.parametrize(
    ("context", "wanted"),
    [
        ({"purpose": "advertising"}, "scope_purpose"),
        ({"seconds": 31}, "scope_limits"),
    ],
)
def test_other_uses_than_agreed_are_refused(world: World, context: dict[str, Any], wanted: str) -> None:
    token, photo = world.token(world.consent()), world.media(png(ALICE))
    assert wanted in codes(world.ask(tokens=[token], media=[photo["media_id"]], context=context))


def test_forbidden_words_are_held_against_the_script(world: World) -> None:
    consent = world.consent(limits={"max_seconds": 30, "forbidden_words": ["lottery"]})
    token, photo = world.token(consent), world.media(png(ALICE))
    asked = {"tokens": [token], "media": [photo["media_id"]]}
    assert "scope_limits" in codes(world.ask(**asked, context={"script": "Win the LOTTERY!"}))
    assert "scope_limits" in codes(world.ask(**asked)), "an unknown script may say anything"
    assert world.ask(**asked, context={"script": "Hello."})["decision"] is True


def test_a_simulated_consent_is_worth_nothing_to_real_backends(world: World) -> None:
    consent = world.consent(world.shown_live(policy="simulated"))
    token, photo = world.token(consent), world.media(png(ALICE))
    assert "assurance_too_low" in codes(world.ask(tokens=[token], media=[photo["media_id"]]))


def permitted(world: World, **more: Any) -> tuple[dict[str, Any], str]:
    consent = world.consent(**more)
    token, photo = world.token(consent), world.media(png(ALICE))
    answer = world.ask(tokens=[token], media=[photo["media_id"]])
    assert answer["decision"] is True
    return consent, answer["context"]["permit"]


def redeem(world: World, permit: str, job: str = "ab" * 32, who: str = "backend") -> Any:
    return world.call("POST", "/v1/permits/redeem", who, json={"permit": permit, "job_sha256": job})


def test_a_permit_is_spent_once_and_ends_with_its_output(world: World) -> None:
    _, permit = permitted(world)
    done = {"permit": permit, "output_sha256": "cd" * 32}
    assert code(world.call("POST", "/v1/permits/complete", "backend", json=done)) == "permit_not_redeemed"
    assert redeem(world, permit).status_code == 200
    again = redeem(world, permit)
    assert (again.status_code, code(again)) == (409, "permit_spent")
    world.clock.move(600)  # the work takes longer than the permit lives
    assert world.call("POST", "/v1/permits/complete", "backend", json=done).status_code == 200
    other = done | {"output_sha256": "ef" * 32}
    assert code(world.call("POST", "/v1/permits/complete", "backend", json=other)) == "permit_spent"


def test_a_permit_is_for_one_job_one_backend_and_five_minutes(world: World) -> None:
    _, permit = permitted(world)
    assert code(redeem(world, permit, job="12" * 32)) == "permit_invalid"
    assert code(redeem(world, permit, who=world.key(Role.BACKEND, "another"))) == "permit_invalid"
    assert code(redeem(world, permit[:-4] + "AAAA")) == "permit_invalid"
    assert code(redeem(world, "not a permit")) == "permit_invalid"
    world.clock.move(300)
    late = redeem(world, permit)
    assert (late.status_code, code(late)) == (410, "permit_expired")


def test_a_permit_dies_with_the_consent(world: World) -> None:
    consent, permit = permitted(world)
    revoke(world, consent)
    refused = redeem(world, permit)
    assert (refused.status_code, code(refused)) == (410, "consent_revoked")


def test_two_permits_do_not_make_one_use_two(world: World) -> None:
    consent, first = permitted(world, limits={"max_seconds": 30, "uses": 1})
    token, photo = world.token(consent), world.media(png(ALICE))
    second = world.ask(tokens=[token], media=[photo["media_id"]])["context"]["permit"]
    assert redeem(world, first).status_code == 200
    assert code(redeem(world, second)) == "scope_limits"
    assert "scope_limits" in codes(world.ask(tokens=[token], media=[photo["media_id"]]))


def test_whatever_breaks_inside_is_a_no_and_is_in_the_books(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token, photo = world.token(world.consent()), world.media(png(ALICE))

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    for part in ("_presented", "decide", "_faces"):
        with monkeypatch.context() as patched:
            patched.setattr(api.gate, part, broken)
            assert codes(world.ask(tokens=[token], media=[photo["media_id"]])) == ["gate_error"]
    assert books(world) == (3, 3)


def test_an_attempt_without_an_outcome_shows_as_a_fault(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(api.gate, "_writing", broken)
        assert codes(world.ask(tokens=[])) == ["gate_error"]
    assert books(world) == (1, 0)
    world.clock.move(61)
    assert "mien_attempts_without_outcome 1" in world.call("GET", "/metrics").text


def test_several_questions_at_once(world: World) -> None:
    token, photo = world.token(world.consent()), world.media(png(ALICE))
    good = world.evaluation(tokens=[token], media=[photo["media_id"]])
    bad = world.evaluation(tokens=[], media=[photo["media_id"]])
    common = {key: good.pop(key) for key in ("subject", "action", "context")}
    for key in common:
        bad.pop(key)

    def ask(semantic: str) -> list[bool]:
        body = common | {"evaluations": [good, bad, good], "options": {"evaluations_semantic": semantic}}
        answer = world.call("POST", "/access/v1/evaluations", "backend", json=body)
        assert answer.status_code == 200, answer.text
        return [one["decision"] for one in answer.json()["evaluations"]]

    assert ask("execute_all") == [True, False, True]
    assert ask("deny_on_first_deny") == [True, False]
    assert ask("permit_on_first_permit") == [True]
    missing = world.call("POST", "/access/v1/evaluations", "backend", json={"evaluations": [good]})
    assert missing.json()["evaluations"][0]["context"]["error"]["code"] == "request_invalid"


def test_the_gate_says_where_it_is_and_echoes_the_request_id(world: World) -> None:
    told = world.call("GET", "/.well-known/authzen-configuration").json()
    assert told["access_evaluation_endpoint"].endswith("/access/v1/evaluation")
    question = world.evaluation(tokens=[])
    answer = world.call("POST", "/access/v1/evaluation", "backend", json=question, headers={"X-Request-ID": "r-17"})
    assert answer.headers["X-Request-ID"] == "r-17"


def test_an_auditor_finds_attempts_by_what_they_were(world: World) -> None:
    consent, _ = permitted(world)
    world.clock.move(1)
    world.ask(tokens=[])
    found = world.call("GET", "/v1/audit/attempts", "auditor").json()["attempts"]
    assert [attempt["decision"] for attempt in found] == [False, True]
    path = f"/v1/audit/attempts?decision=true&consent_id={consent['consent_id']}"
    assert len(world.call("GET", path, "auditor").json()["attempts"]) == 1
    shown = world.call("GET", f"/v1/audit/consents/{consent['consent_id']}", "auditor").json()
    assert (shown["state"], [event["kind"] for event in shown["events"]]) == ("given", ["consent.granted"])
    assert code(world.call("GET", "/v1/audit/attempts", "app")) == "forbidden"
