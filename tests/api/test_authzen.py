"""OpenID AuthZEN 1.0 as its certification scenario tests it: what is accepted, what is refused how, and what is echoed."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from consent.job import Job, job_sha256
from tests.api.conftest import World, png
from tests.api.scripted import ALICE
from tests.api.test_gate import books, codes
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service

ONE, MANY = "/access/v1/evaluation", "/access/v1/evaluations"


def asked(world: World, body: dict[str, Any], path: str = ONE, **more: Any) -> Any:
    return world.call("POST", path, "backend", json=body, **more)


def good(world: World) -> dict[str, Any]:
    return world.evaluation(tokens=[world.token(world.consent())], media=[world.media(png(ALICE))["media_id"]])


def without(body: dict[str, Any], entity: str, member: str | None = None) -> dict[str, Any]:
    if member is None:
        return {name: value for name, value in body.items() if name != entity}
    return body | {entity: {name: value for name, value in body[entity].items() if name != member}}


def test_discovery_names_the_endpoints_that_there_are(world: World) -> None:
    answer = world.call("GET", "/.well-known/authzen-configuration")
    told = answer.json()
    assert answer.headers["Content-Type"] == "application/json"
    assert "max-age" in answer.headers["Cache-Control"]
    assert told["policy_decision_point"] == world.service.settings.public_url
    assert told == {
        "policy_decision_point": told["policy_decision_point"],
        "access_evaluation_endpoint": told["policy_decision_point"] + ONE,
        "access_evaluations_endpoint": told["policy_decision_point"] + MANY,
    }, "no search: nobody may ask who would be allowed what"


def test_members_that_are_not_known_are_ignored_where_they_cannot_hide_anything(world: World) -> None:
    body = good(world) | {"foo": "bar", "futureField": {"nested": True}}
    body["subject"] = body["subject"] | {"properties": {"department": "Sales"}, "more": 1}
    body["action"] = body["action"] | {"properties": {"method": "GET"}}
    body["context"] = body["context"] | {"ip": "192.0.2.1"}
    assert asked(world, body).json()["decision"] is True


def test_a_kind_of_input_that_is_not_known_is_not_ignored(world: World) -> None:
    body = good(world)
    body["resource"]["properties"]["point_clouds"] = ["med_" + "0" * 32]
    answer = asked(world, body)
    assert answer.status_code == 200
    assert codes(answer.json()) == ["input_unseen"]
    assert answer.json()["context"]["reasons"][0]["place"] == "properties/point_clouds"


@pytest.mark.parametrize(
    ("entity", "member"),
    [
        ("subject", None), ("action", None), ("resource", None),
        ("subject", "type"), ("subject", "id"), ("action", "name"), ("resource", "type"), ("resource", "id"),
    ],
)  # fmt: skip
def test_what_lacks_a_required_member_is_a_bad_request(world: World, entity: str, member: str | None) -> None:
    refused = asked(world, without(world.evaluation(tokens=[]), entity, member))
    assert (refused.status_code, code(refused), refused.json()["status"]) == (400, "request_invalid", 400)
    assert books(world) == (0, 0)


@pytest.mark.parametrize("wrong", [{"subject": "studio"}, {"action": {"name": 123}}, {"evaluations": "x"}])
def test_wrong_types_are_bad_requests(world: World, wrong: dict[str, Any]) -> None:
    path = MANY if "evaluations" in wrong else ONE
    assert asked(world, world.evaluation(tokens=[]) | wrong, path).status_code == 400


@pytest.mark.parametrize(
    ("content", "kind"), [(b"", "application/json"), (b"{", "application/json"), (b"subject=1", "text/plain")]
)
def test_what_is_no_json_is_a_bad_request(world: World, content: bytes, kind: str) -> None:
    for path in (ONE, MANY):
        refused = world.call("POST", path, "backend", content=content, headers={"Content-Type": kind})
        assert refused.status_code == 400


def test_a_well_formed_question_about_something_else_is_answered_with_no(world: World) -> None:
    for change in (
        {"subject": {"type": "user", "id": "alice"}},
        {"action": {"name": "read"}},
        {"resource": {"type": "record", "id": "record-1"}},
    ):
        answer = asked(world, world.evaluation(tokens=[]) | change)
        assert answer.status_code == 200
        assert codes(answer.json()) == ["not_understood"]
    assert codes(asked(world, without(world.evaluation(tokens=[]), "context")).json()) == ["not_understood"]
    assert books(world) == (0, 0), "nobody's likeness was asked for"


def test_without_a_key_it_is_401_and_for_another_backend_403(world: World) -> None:
    body = world.evaluation(tokens=[])
    assert world.call("POST", ONE, json=body).status_code == 401
    assert asked(world, world.evaluation(tokens=[], backend="portrait")).status_code == 403


@pytest.mark.parametrize("given", ["r-17", "bfe9eb29-ab87-4ca3-be83-a1d5d8305716", "with spaces (and) more"])
def test_the_request_id_comes_back_also_with_an_error(world: World, given: str) -> None:
    for body in (world.evaluation(tokens=[]), {}):
        assert asked(world, body, headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


def test_a_batch_without_questions_is_one_question(world: World) -> None:
    body = good(world)
    for more in ({}, {"evaluations": []}):
        answer = asked(world, body | more, MANY)
        assert (answer.status_code, answer.json()["decision"]) == (200, True)
        assert "evaluations" not in answer.json()
    assert asked(world, without(body, "resource"), MANY).status_code == 400


def test_defaults_are_taken_entity_by_entity_and_required_members_fall_back(world: World) -> None:
    body = good(world)
    common = body | {"resource": {"type": "likeness", "id": "all", "properties": {"consent_tokens": []}}}
    own = {"id": "job-2", "properties": body["resource"]["properties"]}
    answer = asked(world, common | {"evaluations": [{"resource": own}, {}]}, MANY).json()["evaluations"]
    assert [one["decision"] for one in answer] == [True, False]
    assert [reason["code"] for reason in answer[1]["context"]["reasons"]] == ["no_face"]
    other = {"context": {"purpose": "advertising", "job_sha256": "ab" * 32}, "resource": own}
    (overridden,) = asked(world, common | {"evaluations": [other]}, MANY).json()["evaluations"]
    assert overridden["decision"] is False, "a context of its own replaces the common one whole"


def test_a_question_of_a_batch_that_cannot_be_read_is_a_no_in_its_place(world: World) -> None:
    body = good(world)
    common = without(body, "resource")
    questions = [
        {"resource": body["resource"]},
        {},
        {"resource": body["resource"], "subject": {"type": "backend", "id": "portrait"}},
        {"resource": body["resource"], "context": {"purpose": "digital_double"}},
        {"resource": body["resource"], "context": "none"},
    ]
    answer = asked(world, common | {"evaluations": questions}, MANY)
    assert answer.status_code == 200
    found = answer.json()["evaluations"]
    assert [one["decision"] for one in found] == [True, False, False, False, False]
    errors = [one["context"]["error"]["code"] for one in found[1:]]
    assert errors == ["request_invalid", "forbidden", "job_invalid", "request_invalid"]
    stopped = asked(
        world, common | {"evaluations": questions, "options": {"evaluations_semantic": "deny_on_first_deny"}}, MANY
    )
    assert len(stopped.json()["evaluations"]) == 2
    wrong = asked(world, common | {"evaluations": questions, "options": {"evaluations_semantic": "any"}}, MANY)
    assert wrong.status_code == 400


def test_options_that_are_not_known_are_ignored(world: World) -> None:
    body = good(world) | {"evaluations": [{}], "options": {"another_option": {"deep": 1}}}
    assert asked(world, body, MANY).json()["evaluations"][0]["decision"] is True


def test_the_gate_hashes_the_job_that_it_is_shown(world: World) -> None:
    photo = world.media(png(ALICE))
    job = {"prompt": "She waves.", "media": [photo["sha256"]], "parameters": {"guidance": 7.50, "ratio": "16:9"}}
    digest = job_sha256(
        Job(prompt="She waves.", media=(photo["sha256"],), parameters={"ratio": "16:9", "guidance": 7.5})
    )
    token = world.token(world.consent())

    def answer(context: dict[str, Any]) -> Any:
        body = world.evaluation(tokens=[token], media=[photo["media_id"]])
        body["context"] = {"purpose": "digital_double", "seconds": 5} | context
        return asked(world, body)

    given = answer({"job": job}).json()
    assert given["decision"] is True, given
    spent = world.call(
        "POST", "/v1/permits/redeem", "backend", json={"permit": given["context"]["permit"], "job_sha256": digest}
    )
    assert spent.status_code == 200, "both sides came to the same hash"
    assert answer({"job": job, "job_sha256": digest}).json()["decision"] is True
    for wrong in (
        {"job": job, "job_sha256": "00" * 32},
        {},
        {"job": {"promt": "x"}},
        {"job": {"parameters": {"n": 1e400}}},
    ):
        try:
            refused = answer(wrong)
        except ValueError:
            continue  # httpx writes no infinity
        assert refused.status_code == 400
        assert code(refused) == "job_invalid"


# --- past the framework ----------------------------------------------------------------------------------------------


def test_a_question_is_answered_alike_past_the_framework_and_through_it(world: World) -> None:
    good = world.evaluation(tokens=[])
    assert isinstance(world.client, TestClient)
    app, key = world.client.app, {"Authorization": f"Bearer {world.keys['backend']}"}
    asked_ways: list[dict[str, Any]] = [
        {"json": good},
        {"json": good, "headers": {"X-Request-ID": "mine", "Content-Type": "application/authzen+json"}},
        {"json": good, "headers": {"Authorization": "Bearer mien_backend_nobody"}},
        {"json": good, "headers": {"Authorization": "Basic abc"}},
        {"json": good, "headers": {"Authorization": f"Bearer {world.keys['app']}"}},
        {"json": good | {"subject": {"type": "backend", "id": "other"}}},
        {"json": good | {"action": {}}},
        {"json": [good]},
        {"content": b"[[[", "headers": {"Content-Type": "application/json"}},
        {"content": b"\xff", "headers": {"Content-Type": "application/json"}},
        {"content": b""},
        {"content": b"{}", "headers": {"Content-Type": "text/plain"}},
        {"content": b"x" * 600_000, "headers": {"Content-Type": "application/json"}},
        {"parts": lambda: iter([b"x" * 300_000] * 2), "headers": {"Content-Type": "application/json"}},
        {"json": good, "headers": {"Idempotency-Key": "k\x7f"}},
    ]

    async def framework(scope: Scope, receive: Receive, send: Send) -> None:
        assert isinstance(app, FastAPI)
        await FastAPI.__call__(app, scope, receive, send)

    def through(way: ASGIApp) -> list[tuple[int, list[str], object]]:
        found, client = [], TestClient(way)
        for how in asked_ways:
            body = {"content": how["parts"]()} if "parts" in how else {n: how[n] for n in how if n != "headers"}
            answer = client.post(ONE, headers=key | how.get("headers", {}), **body)
            said = answer.json()
            said.get("context", {}).pop("attempt_id", None)
            found.append((answer.status_code, sorted(answer.headers), said))
        return found

    directly = through(app)
    assert directly == through(framework)
    wanted = [200, 200, 401, 401, 403, 403, 400, 400, 400, 400, 400, 400, 413, 413, 400]
    assert [status for status, _, _ in directly] == wanted


def test_the_same_question_with_the_same_key_is_asked_once(world: World) -> None:
    headers = {"Idempotency-Key": "once"}
    first, again = (
        world.call("POST", ONE, "backend", json=world.evaluation(tokens=[]), headers=headers) for _ in range(2)
    )
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert books(world) == (1, 1)
