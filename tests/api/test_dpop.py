"""A backend with a key of its own: what it can do, and what whoever stole its token, its permit or its API key cannot."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import text

from api.auth import KeyNameInvalid, Role, create_api_key
from api.sweeping import sweep
from tests.api.conftest import World, png
from tests.api.scripted import ALICE
from tests.api.test_gate import codes
from tests.api.test_liveness_sessions import code
from tests.api.test_status import claims_of
from tests.proofs import Holder

pytestmark = pytest.mark.service

HERE = "http://127.0.0.1:8000"
EVALUATION, EVALUATIONS = "/access/v1/evaluation", "/access/v1/evaluations"
REDEEM, COMPLETE, KEY = "/v1/permits/redeem", "/v1/permits/complete", "/v1/backends/self/key"
STUDIO, THIEF = Holder.p256(11), Holder.ed25519(b"t" * 32)


@dataclass
class Backend:
    """A backend that signs a proof with each call."""

    world: World
    holder: Holder = STUDIO
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def proof(self, method: str, path: str, /, *tokens: str, **changes: Any) -> str:
        jti = changes.pop("jti", f"{self.holder.alg}-{next(self.numbers)}")
        return self.holder.proof(
            *tokens, **({"method": method, "address": HERE + path, "at": self.world.clock(), "jti": jti} | changes)
        )

    def register(self, who: str = "backend", **more: Any) -> Any:
        return self.world.call("PUT", KEY, who, headers={"DPoP": self.proof("PUT", KEY)}, **more)

    def ask(self, tokens: list[str], media: list[str], proof: str | None = None) -> dict[str, Any]:
        shown = self.proof("POST", EVALUATION, *tokens) if proof is None else proof
        question = self.world.evaluation(tokens=tokens, media=media)
        answer = self.world.call("POST", EVALUATION, "backend", json=question, headers={"DPoP": shown})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def use(self, path: str, permit: str, proof: str | None = None) -> Any:
        body = {"permit": permit} | ({"job_sha256": "ab" * 32} if path == REDEEM else {"output_sha256": "cd" * 32})
        shown = self.proof("POST", path, permit) if proof is None else proof
        return self.world.call("POST", path, "backend", json=body, headers={"DPoP": shown})


@pytest.fixture
def studio(world: World) -> Backend:
    backend = Backend(world)
    answer = backend.register()
    assert answer.status_code == 200, answer.text
    assert answer.json() | {"registered_at": ""} == {"backend": "studio", "jkt": STUDIO.jkt, "registered_at": ""}
    return backend


def photo_and_token(world: World) -> tuple[str, str]:
    return world.media(png(ALICE))["media_id"], world.token(world.consent())


def bearer(world: World, path: str, permit: str) -> Any:
    body = {"permit": permit} | ({"job_sha256": "ab" * 32} if path == REDEEM else {"output_sha256": "cd" * 32})
    return world.call("POST", path, "backend", json=body)


def test_the_whole_road_with_a_key(world: World, studio: Backend) -> None:
    photo, token = photo_and_token(world)
    assert claims_of(token)["cnf"] == {"jkt": STUDIO.jkt}
    answer = studio.ask([token], [photo])
    assert answer["decision"] is True, answer
    permit = answer["context"]["permit"]
    assert claims_of(permit)["cnf"] == {"jkt": STUDIO.jkt}
    assert studio.use(REDEEM, permit).status_code == 200
    world.clock.move(1000)
    assert studio.use(COMPLETE, permit).status_code == 200


def test_a_stolen_token_is_worth_nothing_even_with_the_api_key(world: World, studio: Backend) -> None:
    photo, token = photo_and_token(world)
    assert codes(world.ask(tokens=[token], media=[photo])) == ["dpop_missing", "no_token"]
    thief = Backend(world, THIEF)
    assert codes(thief.ask([token], [photo])) == ["key_mismatch", "no_token"]
    found = world.call("GET", "/v1/audit/attempts", "auditor").json()["attempts"]
    assert len(found) == 2


def test_a_stolen_permit_is_worth_nothing(world: World, studio: Backend) -> None:
    photo, token = photo_and_token(world)
    permit = studio.ask([token], [photo])["context"]["permit"]
    thief = Backend(world, THIEF)
    for path in (REDEEM, COMPLETE):
        refused = bearer(world, path, permit)
        assert (refused.status_code, code(refused)) == (401, "dpop_missing")
        assert refused.headers["WWW-Authenticate"].startswith("DPoP")
        refused = thief.use(path, permit)
        assert (refused.status_code, code(refused)) == (403, "key_mismatch")
    assert studio.use(REDEEM, permit).status_code == 200
    assert code(bearer(world, COMPLETE, permit)) == "dpop_missing"


def test_a_proof_is_taken_once(world: World, studio: Backend) -> None:
    photo, token = photo_and_token(world)
    proof = studio.proof("POST", EVALUATION, token)
    assert studio.ask([token], [photo], proof)["decision"] is True
    assert codes(studio.ask([token], [photo], proof)) == ["dpop_replayed", "no_token"]
    permit = studio.ask([token], [photo])["context"]["permit"]
    shown = studio.proof("POST", REDEEM, permit)
    assert studio.use(REDEEM, permit, shown).status_code == 200
    assert code(studio.use(REDEEM, permit, shown)) == "dpop_replayed"


def test_of_many_that_send_one_proof_at_once_one_gets_in(world: World, studio: Backend) -> None:
    photo, token = photo_and_token(world)
    proof = studio.proof("POST", EVALUATION, token)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: studio.ask([token], [photo], proof)["decision"], range(4)))
    assert sorted(answers) == [False, False, False, True]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"address": HERE + REDEEM}, "dpop_wrong_request"),
        ({"address": "https://elsewhere.example" + EVALUATION}, "dpop_wrong_request"),
        ({"method": "PUT"}, "dpop_wrong_request"),
        ({"ath": "A" * 43}, "dpop_wrong_token"),
        ({"iat": 1_000_000_000}, "dpop_stale"),
        ({"iat": "now"}, "dpop_invalid"),
    ],
)
def test_a_proof_for_something_else_is_none(
    world: World, studio: Backend, changes: dict[str, Any], wanted: str
) -> None:
    photo, token = photo_and_token(world)
    proof = studio.proof("POST", EVALUATION, token, **changes)
    assert codes(studio.ask([token], [photo], proof)) == [wanted, "no_token"]


def test_a_proof_that_was_seen_on_the_way_is_for_nothing_else(world: World, studio: Backend) -> None:
    photo, token = photo_and_token(world)
    other = world.token(world.consent(world.shown_live(ALICE, "user-2")))
    assert codes(studio.ask([other], [photo], studio.proof("POST", EVALUATION, token))) == [
        "dpop_wrong_token", "no_token",
    ]  # fmt: skip
    permit = studio.ask([token], [photo])["context"]["permit"]
    assert code(studio.use(REDEEM, permit, studio.proof("POST", COMPLETE, permit))) == "dpop_wrong_request"
    assert code(studio.use(REDEEM, permit, studio.proof("POST", REDEEM, token))) == "dpop_wrong_token"


def test_two_proofs_are_none(world: World, studio: Backend) -> None:
    photo, token = photo_and_token(world)
    question = world.evaluation(tokens=[token], media=[photo])
    shown = [("DPoP", studio.proof("POST", EVALUATION, token)) for _ in range(2)]
    headers = [("Authorization", f"Bearer {world.keys['backend']}"), *shown]
    answer = world.client.post(EVALUATION, json=question, headers=headers)
    assert codes(answer.json()) == ["dpop_invalid", "no_token"]


def test_one_proof_is_for_all_questions_of_a_batch(world: World, studio: Backend) -> None:
    photo, token = photo_and_token(world)
    one = world.evaluation(tokens=[token], media=[photo])
    other = world.evaluation(tokens=[], media=[photo])
    body = {"evaluations": [one, other, one]}
    headers = {"DPoP": studio.proof("POST", EVALUATIONS, token)}
    answer = world.call("POST", EVALUATIONS, "backend", json=body, headers=headers)
    assert [one["decision"] for one in answer.json()["evaluations"]] == [True, False, True]
    again = world.call("POST", EVALUATIONS, "backend", json=body, headers=headers)
    assert [one["decision"] for one in again.json()["evaluations"]] == [False, False, False]


def test_tokens_from_before_the_key_was_registered_need_it_too(world: World) -> None:
    photo, token = photo_and_token(world)
    permit = world.ask(tokens=[token], media=[photo])["context"]["permit"]
    assert "cnf" not in claims_of(token)
    assert "cnf" not in claims_of(permit)
    studio = Backend(world)
    studio.register()
    assert codes(world.ask(tokens=[token], media=[photo])) == ["dpop_missing", "no_token"]
    assert studio.ask([token], [photo])["decision"] is True
    assert code(bearer(world, REDEEM, permit)) == "dpop_missing"
    assert studio.use(REDEEM, permit).status_code == 200


def test_without_a_key_a_token_is_still_a_bearer_token(world: World) -> None:
    photo, token = photo_and_token(world)
    permit = world.ask(tokens=[token], media=[photo])["context"]["permit"]
    assert bearer(world, REDEEM, permit).status_code == 200


def test_a_proof_nobody_asked_for_binds_the_permit(world: World) -> None:
    photo, token = photo_and_token(world)
    careful = Backend(world)
    permit = careful.ask([token], [photo])["context"]["permit"]
    assert code(bearer(world, REDEEM, permit)) == "dpop_missing"
    assert careful.use(REDEEM, permit).status_code == 200


# --- registering -----------------------------------------------------------------------------------------------------


def test_an_api_key_alone_does_not_take_a_backends_place(world: World, studio: Backend) -> None:
    thief = Backend(world, THIEF)
    refused = thief.register()
    assert (refused.status_code, code(refused)) == (403, "key_mismatch")
    next_proof = thief.proof("PUT", KEY)
    assert code(thief.register(json={"next_proof": next_proof})) == "key_mismatch"
    assert code(world.call("PUT", KEY, "backend")) == "dpop_missing"
    assert world.call("GET", KEY, "backend").json()["jkt"] == STUDIO.jkt


def test_a_key_is_changed_with_both_and_the_old_tokens_are_over(world: World, studio: Backend) -> None:
    photo, token = photo_and_token(world)
    after = Backend(world, Holder.p256(12))
    changed = studio.register(json={"next_proof": after.proof("PUT", KEY, jti="next")})
    assert (changed.status_code, changed.json()["jkt"]) == (200, after.holder.jkt)
    for holder in (studio, after):
        assert codes(holder.ask([token], [photo])) == ["key_mismatch", "no_token"]
    with_the_new = world.token(world.consent(world.shown_live(ALICE, "user-2")))
    assert claims_of(with_the_new)["cnf"] == {"jkt": after.holder.jkt}
    assert after.ask([with_the_new], [photo])["decision"] is True


def test_registering_again_changes_nothing(world: World, studio: Backend) -> None:
    before = world.call("GET", KEY, "backend").json()
    world.clock.move(5)
    assert studio.register().json() == before


def test_only_backends_have_such_keys_and_only_their_own(world: World, studio: Backend) -> None:
    assert code(Backend(world).register("app")) == "forbidden"
    other = world.key(Role.BACKEND, "other")
    assert code(world.call("GET", KEY, other)) == "not_found"
    assert "cnf" not in claims_of(world.token(world.consent(), "portrait"))


def test_the_services_own_backends_take_none(world: World) -> None:
    """Their name would let whoever holds an API key of it stop every clip."""
    inside = key_of_before(world, "portrait")
    assert code(Backend(world).register(inside)) == "forbidden"


def key_of_before(world: World, name: str) -> str:
    """A key that was made before its name was taken."""
    secret = world.key(Role.BACKEND, "renamed")
    with world.service.database.engine.begin() as connection:
        connection.execute(text("UPDATE api_keys SET name = :name WHERE name = 'renamed'"), {"name": name})
    return secret


@pytest.mark.parametrize("name", ["portrait", "story", "cameo", "kling", "seedance", "comfyui", "sora"])
def test_nobody_takes_the_name_of_a_generator_that_the_service_reaches(world: World, name: str) -> None:
    """A consent to the vendor would be one to whoever calls themselves so."""
    with pytest.raises(KeyNameInvalid, match=name):
        world.key(Role.BACKEND, name)
    world.key(Role.APP, name)
    asked = world.evaluation(tokens=[], backend=name)
    assert code(world.call("POST", "/access/v1/evaluation", key_of_before(world, name), json=asked)) == "forbidden"


def test_old_proofs_are_forgotten_when_they_are_too_old_to_come_again(world: World, studio: Backend) -> None:
    def kept() -> int:
        with world.service.database.engine.connect() as connection:
            return int(connection.scalar(text("SELECT count(*) FROM seen_proofs")) or 0)

    assert kept() == 1
    world.clock.move(60)
    sweep(world.service)
    assert kept() == 1
    world.clock.move(30)
    sweep(world.service)
    assert kept() == 0


def test_an_operator_names_the_key_at_once(world: World) -> None:
    settings = world.service.settings
    create_api_key(settings, role="backend", name="studio", jkt=STUDIO.jkt)
    assert world.call("GET", KEY, "backend").json()["jkt"] == STUDIO.jkt
    create_api_key(settings, role="backend", name="studio", jkt=THIEF.jkt)  # who lost a key needs the operator
    assert world.call("GET", KEY, "backend").json()["jkt"] == THIEF.jkt
    for role, name, jkt in (
        ("backend", "studio", "short"),
        ("app", "studio", STUDIO.jkt),
        ("backend", "portrait", STUDIO.jkt),
        ("backend", "kling", None),
    ):
        with pytest.raises(KeyNameInvalid):
            create_api_key(settings, role=role, name=name, jkt=jkt)


def test_of_two_first_keys_at_once_one_is_it(world: World) -> None:
    holders = [Backend(world, Holder.p256(number)) for number in range(20, 26)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda holder: holder.register(), holders))
    assert sorted(answer.status_code for answer in answers) == [200, 403, 403, 403, 403, 403]
    (winner,) = (answer.json()["jkt"] for answer in answers if answer.status_code == 200)
    assert world.call("GET", KEY, "backend").json()["jkt"] == winner


def test_the_description_of_the_api_names_the_proof(world: World) -> None:
    paths = world.call("GET", "/openapi.json").json()["paths"]
    for method, path in (
        ("post", EVALUATION),
        ("post", EVALUATIONS),
        ("post", REDEEM),
        ("post", COMPLETE),
        ("put", KEY),
    ):
        assert [one["name"] for one in paths[path][method]["parameters"]] == ["DPoP"], path


def test_the_books_say_which_key_asked(world: World, studio: Backend) -> None:
    photo, token = photo_and_token(world)
    studio.ask([token], [photo])
    studio.ask([token], [photo], "no proof")
    with world.service.database.engine.connect() as connection:
        keys = connection.scalars(text("SELECT claimed->>'key' FROM attempts ORDER BY claimed->>'key'")).all()
    assert sorted(keys) == sorted([STUDIO.jkt, "dpop_invalid"])
