"""What holds for every call: who may call, problems, idempotency, bounds, headers, and silence in the logs."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api.auth import KeyNameInvalid, Role, create_key
from api.errors import PROBLEMS
from api.tables import ApiKeyRow, IdempotencyRow
from tests.api.conftest import World, content_digest, png
from tests.api.scripted import ALICE
from tests.api.test_consents import body as consent_body
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service

SESSIONS = "/v1/liveness/sessions"
NEW = {"subject_ref": "user-1", "language": "en", "purpose": "digital_double"}
ANYONE = {
    "/v1/terms/{language}", "/.well-known/jwks.json", "/.well-known/authzen-configuration", "/v1/log/checkpoint",
    "/v1/log/entries", "/v1/log/tile/{path}", "/v1/log/proof/inclusion", "/v1/log/proof/consistency",
    "/v1/log/cosignatures", "/v1/status/{list_id}", "/v1/provenance/anchor", "/healthz", "/readyz", "/metrics",
    "/v1/content-categories/{language}", "/v1/clips/identify", "/v1/clips/status/{permit_sha256}",
    "/v1/remote/callbacks/{clip_id}/{secret}", "/v1/remote/accounts/{backend}", "/v1/remote/inputs/{name}",
    "/v1/remote/returned", "/v1/sign-in", "/v1/sign-in/options", "/v1/sign-in/with-token", "/v1/sign-in/with-live-check",
    "/v1/sign-in/with-key", "/v1/sign-in/with-code",
}  # fmt: skip


def operations(world: World) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in world.call("GET", "/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_call_but_the_public_ones_needs_a_key(world: World) -> None:
    seen = 0
    for method, path, _ in operations(world):
        if path in ANYONE:
            continue
        asked = re.sub(r"\{[^}]+\}", "ses_" + "0" * 32, path)
        for secret in (None, "nonsense", "mien_app_" + "A" * 43, "mien_person_" + "A" * 43):
            answer = world.call(method, asked, secret, json={})
            assert (answer.status_code, code(answer)) == (401, "unauthenticated"), (method, path, secret)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        seen += 1
    assert seen > 20


def test_every_body_has_an_example_and_every_example_is_a_body(world: World) -> None:
    shapes = world.call("GET", "/openapi.json").json()["components"]["schemas"]
    for method, path, operation in operations(world):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is not None:
            name = content["schema"]["$ref"].rsplit("/", 1)[1]
            assert shapes[name].get("examples"), (method, path)


def test_a_key_reaches_what_its_role_may_do_and_no_more(world: World) -> None:
    for who in ("backend", "auditor", "admin"):
        assert code(world.call("POST", SESSIONS, who, json=NEW)) == "forbidden"
    for who in ("app", "auditor", "admin"):
        question = world.evaluation(tokens=[])
        assert code(world.call("POST", "/access/v1/evaluation", who, json=question)) == "forbidden"
    session = world.session()
    assert code(world.call("POST", SESSIONS, session["client_token"], json=NEW)) == "forbidden"
    assert code(world.call("POST", f"{SESSIONS}/{session['session_id']}/challenge", "app")) == "forbidden"


def test_a_revoked_key_is_no_key(world: World) -> None:
    with world.service.database.transaction() as store:
        secret = create_key(store, Role.APP, "short-lived", now=world.clock())
    assert world.call("POST", SESSIONS, secret, json=NEW).status_code == 201
    with world.service.database.transaction() as store:
        import hashlib

        row = store.api_key(hashlib.sha256(secret.encode()).digest())
        assert row is not None
        row.revoked_at = world.clock()
    assert code(world.call("POST", SESSIONS, secret, json=NEW)) == "unauthenticated"


def test_a_key_of_one_role_cannot_be_called_another(world: World) -> None:
    forged = world.keys["backend"].replace("mien_backend_", "mien_app_")
    assert code(world.call("POST", SESSIONS, forged, json=NEW)) == "unauthenticated"


def test_keys_are_kept_as_hashes_only(world: World) -> None:
    from sqlalchemy import text

    with world.service.database.engine.connect() as connection:
        rows = str(connection.execute(text("SELECT * FROM api_keys")).all())
    for secret in world.keys.values():
        assert secret.split("_", 2)[2] not in rows
    assert ApiKeyRow.__table__.c.secret_sha256.unique


@pytest.mark.parametrize("name", ["", "Has Space", "UPPER", "*", "a" * 64, "tab\t"])
def test_a_key_has_a_plain_name(world: World, name: str) -> None:
    with world.service.database.transaction() as store, pytest.raises(KeyNameInvalid):
        create_key(store, Role.BACKEND, name, now=world.clock())


# --- problems --------------------------------------------------------------------------------------------------------


def test_a_bad_body_is_told_where_and_never_what(world: World) -> None:
    answer = world.call("POST", SESSIONS, "app", json=NEW | {"language": "hunter2", "extra": "hunter3"})
    assert (answer.status_code, code(answer)) == (422, "request_invalid")
    assert {error["where"] for error in answer.json()["errors"]} == {"body.language", "body.extra"}
    assert "hunter" not in answer.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"subject_ref": NaN}'])
def test_what_is_no_json_is_a_problem(world: World, content: bytes) -> None:
    answer = world.call("POST", SESSIONS, "app", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert code(answer) == "request_invalid"


def test_unknown_addresses_and_methods_are_problems(world: World) -> None:
    assert code(world.call("GET", "/nowhere")) == "not_found"
    assert code(world.call("PATCH", SESSIONS)) == "method_not_allowed"


def test_what_was_not_foreseen_is_a_problem_without_details(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import api.routes_liveness

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(api.routes_liveness, "new_id", broken)
    answer = world.call("POST", SESSIONS, "app", json=NEW)
    assert (answer.status_code, code(answer)) == (500, "internal_error")
    assert "hunter2" not in answer.text
    assert "RuntimeError" in caplog.text
    assert "hunter2" not in caplog.text


def test_every_problem_has_a_status_and_a_title() -> None:
    for name, kind in PROBLEMS.items():
        assert re.fullmatch(r"[a-z][a-z_]+", name)
        assert 400 <= kind.status < 600
        assert kind.title


@pytest.mark.parametrize("stated", [True, False])
def test_a_body_that_is_too_large_is_refused(world: World, stated: bool) -> None:
    data = json.dumps(NEW | {"subject_ref": "x" * 600_000}).encode()
    content = data if stated else iter([data[:300_000], data[300_000:]])
    answer = world.call("POST", SESSIONS, "app", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, code(answer)) == (413, "body_too_large")


def test_every_answer_carries_the_headers_that_protect_it(world: World) -> None:
    for path in ("/", "/nowhere", "/healthz", "/pages/static/mien.css"):
        headers = world.call("GET", path).headers
        assert headers["Content-Security-Policy"].startswith(("default-src 'self'", "default-src 'none'"))
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Request-ID"]


def test_the_page_loads_nothing_from_elsewhere(world: World) -> None:
    page = world.call("GET", "/").text
    assert not re.findall(r"https?://", page)
    for link in re.findall(r'(?:href|src)="([^"#]+)"', page):
        assert world.call("GET", link).status_code == 200, link
    assert "真实人物" in world.call("GET", "/", headers={"Accept-Language": "fr, zh-CN;q=0.9, en;q=0.5"}).text
    for name in ("..%2fpages.py", "..%2f..%2fapp.py", "mien.py", ".css"):
        assert code(world.call("GET", f"/pages/static/{name}")) == "not_found"
    assert code(world.call("GET", "/docs")) == "not_found"


# --- idempotency -----------------------------------------------------------------------------------------------------


def begin(world: World, key: str, who: str = "app", **more: Any) -> Any:
    return world.call("POST", SESSIONS, who, json=NEW | more, headers={"Idempotency-Key": key})


def test_the_same_write_twice_is_done_once(world: World) -> None:
    first, second = begin(world, "k1"), begin(world, "k1")
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert begin(world, "k2").json()["session_id"] != first.json()["session_id"]


def test_a_key_used_for_another_request_is_refused(world: World) -> None:
    begin(world, "k1")
    other = begin(world, "k1", purpose="cameo")
    assert (other.status_code, code(other)) == (422, "idempotency_key_reused")


def test_keys_of_one_caller_mean_nothing_to_another(world: World) -> None:
    first = begin(world, "k1").json()
    assert begin(world, "k1", who=world.key(Role.APP, "app-two")).json()["session_id"] != first["session_id"]


def test_a_refusal_is_kept_like_any_answer(world: World) -> None:
    first = begin(world, "k1", policy="lenient")
    assert code(first) == "policy_unknown"
    again = begin(world, "k1", policy="lenient")
    assert code(again) == "policy_unknown"
    assert again.headers["Idempotency-Replayed"] == "true"


def test_a_fault_of_ours_may_be_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import api.routes_liveness

    with monkeypatch.context() as patched:
        patched.delattr(api.routes_liveness, "new_id")
        assert begin(world, "k1").status_code == 500
    assert begin(world, "k1").status_code == 201


def test_the_second_of_two_at_once_waits_its_turn(world: World) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: begin(world, "k1"), range(8)))
    made = {answer.json()["session_id"] for answer in answers if answer.status_code == 201}
    assert len(made) == 1
    assert {code(a) for a in answers if a.status_code != 201} <= {"request_in_progress"}


def test_who_died_in_the_middle_does_not_block_for_ever(world: World) -> None:
    first = begin(world, "k1").json()
    with world.service.database.transaction() as store:
        from sqlalchemy import update

        store._session.execute(update(IdempotencyRow).values(status=None, sealed_answer=None))
    assert code(begin(world, "k1")) == "request_in_progress"
    world.clock.move(120)
    assert begin(world, "k1").json()["session_id"] != first["session_id"]


def test_a_key_is_forgotten_after_a_day(world: World) -> None:
    first = begin(world, "k1").json()
    world.clock.move(24 * 3600)
    assert begin(world, "k1").json()["session_id"] != first["session_id"]


def test_uploads_are_idempotent_by_their_digest(world: World) -> None:
    session = world.session()
    world.challenge(session)
    key = {"Idempotency-Key": "upload"}
    assert world.capture(session, b"live 200,40,40", headers=key).status_code == 202
    again = world.capture(session, b"live 200,40,40", headers=key)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    assert code(world.capture(session, b"live 40,40,200", headers=key)) == "idempotency_key_reused"


def test_kept_answers_are_sealed(world: World) -> None:
    from sqlalchemy import text

    token = begin(world, "k1").json()["client_token"]
    with world.service.database.engine.connect() as connection:
        kept = connection.scalar(text("SELECT sealed_answer FROM idempotency"))
    assert token.encode() not in bytes(kept)


def test_a_key_must_be_visible_text(world: World) -> None:
    assert code(begin(world, "x" * 256)) == "idempotency_key_invalid"


# --- silence ---------------------------------------------------------------------------------------------------------


def test_no_secret_and_no_person_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("sqlalchemy.engine").setLevel(logging.NOTSET)
    session = world.shown_live(subject_ref="jane@example.org")
    consent = world.call("POST", "/v1/consents", session["client_token"], json=consent_body(world, session)).json()
    token = world.token(consent)
    photo = world.media(png(ALICE))
    world.ask(tokens=[token], media=[photo["media_id"]], context={"script": "a secret script"})
    refused = world.call("PUT", f"{SESSIONS}/x/capture", session["client_token"], headers=content_digest(b"a"))
    assert refused.status_code in (400, 404)
    secrets = [*world.keys.values(), session["client_token"], consent["manage_token"], token, consent["record"]]
    for secret in [*secrets, "jane@example.org", "a secret script"]:
        assert secret not in caplog.text
