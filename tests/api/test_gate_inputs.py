"""What goes into a job and shows no face: handles, voices, addresses, and whatever a job names without bytes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from api.service import Service
from api.settings import Settings
from tests.api.conftest import World, content_digest, png
from tests.api.scripted import ALICE, BOB, CONTRACT, colour_template
from tests.api.test_consents import revoke
from tests.api.test_gate import codes
from tests.api.test_liveness_sessions import code
from tests.api.test_media import sound

pytestmark = pytest.mark.service


def job(world: World, photo: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"job": {"prompt": "She waves.", "media": [photo["sha256"]], "parameters": {}} | more, "job_sha256": None}


def ask(world: World, token: str, media: list[str], context: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return world.ask(tokens=[token], media=media, context=context, properties=properties)


# --- the job -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"media": ["00" * 32]}, "input_unseen"),
        ({"prompt": "like asset://asset-1"}, "hidden_face"),
        ({"parameters": {"element_id": "e1"}}, "hidden_face"),
        ({"parameters": {"motion": "smile.pkl"}}, "hidden_face"),
        ({"parameters": {"last_frame": "https://cdn.example/b.jpg"}}, "remote_input"),
    ],
)
def test_a_job_that_names_what_the_gate_did_not_see_is_refused(world: World, change: Any, wanted: str) -> None:
    token, photo = world.token(world.consent()), world.media(png(ALICE))
    assert ask(world, token, [photo["media_id"]], job(world, photo))["decision"] is True
    answer = ask(world, token, [photo["media_id"]], job(world, photo, **change))
    assert codes(answer) == [wanted]
    assert answer["context"]["reasons"][0]["place"].startswith("job/")
    assert "asset" not in str(answer["context"]["reasons"][0]["place"]), "a place, never what stands there"


def test_words_that_a_person_forbade_are_looked_for_in_the_prompt_too(world: World) -> None:
    consent = world.consent(limits={"max_seconds": 30, "forbidden_words": ["lottery"]})
    token, photo = world.token(consent), world.media(png(ALICE))
    context = job(world, photo, prompt="She holds a LOTTERY ticket.") | {"script": "Hello."}
    assert "scope_limits" in codes(ask(world, token, [photo["media_id"]], context))


# --- handles -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def unchecked(world: World) -> World:
    """A service that releases by the hash alone, so that these tests need no clip."""
    settings = replace(world.service.settings, output_check="handed_in")
    object.__setattr__(world.service, "settings", settings)
    return world


def made(world: World, consent: dict[str, Any], *handles: str, **complete: Any) -> Any:
    """A clip made under this consent, and what its backend calls it."""
    photo = world.media(png(ALICE))
    answer = world.ask(tokens=[world.token(consent)], media=[photo["media_id"]])
    permit = answer["context"]["permit"]
    spent = world.call("POST", "/v1/permits/redeem", "backend", json={"permit": permit, "job_sha256": "ab" * 32})
    assert spent.status_code == 200, spent.text
    done = {"permit": permit, "output_sha256": "cd" * 32, "handles": list(handles)} | complete
    return world.call("POST", "/v1/permits/complete", "backend", json=done)


def test_a_handle_is_known_once_it_was_handed_in_with_a_clip(unchecked: World) -> None:
    world, consent = unchecked, unchecked.consent()
    token = world.token(consent)
    assert codes(world.ask(tokens=[token], properties={"handles": ["asset://asset-1"]})) == ["no_face", "hidden_face"]
    assert made(world, consent, "asset://asset-1", "gen-7").json()["release"] is True
    for handle in ("asset://asset-1", " gen-7 "):
        assert world.ask(tokens=[token], properties={"handles": [handle]})["decision"] is True
    context = {"job_sha256": None, "job": {"parameters": {"generation_id": "gen-7"}}}
    assert world.ask(tokens=[token], context=context)["decision"] is True
    assert "hidden_face" in codes(world.ask(tokens=[token], properties={"handles": ["gen-8"]}))


def test_a_handle_needs_the_token_of_whom_it_shows(unchecked: World) -> None:
    world = unchecked
    made(world, world.consent(), "gen-7")
    bob = world.token(world.consent(world.shown_live(BOB, "user-2")))
    answer = world.ask(tokens=[bob], media=[world.media(png(BOB))["media_id"]], properties={"handles": ["gen-7"]})
    assert codes(answer) == ["no_token"]
    assert answer["context"]["reasons"][0]["place"] == "handles/0"


def test_what_was_made_under_a_consent_that_ended_does_not_come_back(unchecked: World) -> None:
    world, consent = unchecked, unchecked.consent()
    token = world.token(consent)
    made(world, consent, "gen-7")
    revoke(world, consent)
    assert codes(world.ask(tokens=[token], properties={"handles": ["gen-7"]})) == ["revoked", "no_token"]
    anew = world.token(world.consent(world.shown_live(ALICE, "user-1")))
    assert codes(world.ask(tokens=[anew], properties={"handles": ["gen-7"]})) == ["no_token", "token_unused"]


def test_a_handle_of_another_backend_says_nothing(unchecked: World) -> None:
    world, consent = unchecked, unchecked.consent(audience=["studio", "other"])
    made(world, consent, "gen-7")
    from api.auth import Role

    other = world.key(Role.BACKEND, "other")
    question = world.evaluation(
        tokens=[world.token(consent, audience="other")], backend="other", properties={"handles": ["gen-7"]}
    )
    answer = world.call("POST", "/access/v1/evaluation", other, json=question).json()
    assert "hidden_face" in codes(answer)


def test_a_handle_stands_for_one_permit(unchecked: World) -> None:
    world, alice = unchecked, unchecked.consent()
    made(world, alice, "gen-7")
    taken = made(world, alice, "gen-7")
    assert (taken.status_code, code(taken)) == (409, "handle_taken")


def test_a_clip_that_is_withheld_carries_nobody_into_later_jobs(world: World) -> None:
    consent = world.consent()
    kept = made(world, consent, "gen-7").json()
    assert (kept["release"], kept["code"]) == (False, "output_unchecked")
    assert "hidden_face" in codes(world.ask(tokens=[world.token(consent)], properties={"handles": ["gen-7"]}))


# --- voices ------------------------------------------------------------------------------------------------------------


def heard(world: World) -> str:
    data = sound()
    taken = world.call("POST", "/v1/media", "backend", content=data, headers=content_digest(data))
    return str(taken.json()["media_id"])


def test_a_sound_is_declared_as_somebodys_or_nobodys(world: World) -> None:
    token, photo, voice = world.token(world.consent()), world.media(png(ALICE))["media_id"], heard(world)
    assert codes(world.ask(tokens=[token], media=[photo, voice])) == ["voice_undeclared"]
    for whose in (0, None):
        voices = [{"media_id": voice, "token": whose}]
        assert world.ask(tokens=[token], media=[photo, voice], properties={"voices": voices})["decision"] is True
    answer = world.ask(tokens=[token], media=[photo, voice], properties={"voices": [{"media_id": voice, "token": 3}]})
    assert codes(answer) == ["no_token"]


def test_a_declared_voice_alone_needs_its_persons_consent(world: World) -> None:
    consent = world.consent(purposes=["voice"])
    token, voice = world.token(consent, purpose="voice"), heard(world)
    voices = {"voices": [{"media_id": voice, "token": 0}]}
    asked = {"tokens": [token], "media": [voice], "properties": voices, "context": {"purpose": "voice"}}
    assert world.ask(**asked)["decision"] is True
    revoke(world, consent)
    assert codes(world.ask(**asked)) == ["revoked", "no_token"]


def test_a_voice_that_was_not_handed_in_is_unseen(world: World) -> None:
    token, photo = world.token(world.consent()), world.media(png(ALICE))["media_id"]
    voices = [{"media_id": "med_" + "0" * 32, "token": 0}]
    assert codes(world.ask(tokens=[token], media=[photo], properties={"voices": voices})) == ["input_unseen"]


# --- addresses ---------------------------------------------------------------------------------------------------------


class Shop(BaseHTTPRequestHandler):
    """Another's web server, with a picture and some traps."""

    def do_GET(self) -> None:
        content, kind, status, more = {
            "/alice.png": (png(ALICE), "image/png", 200, {}),
            "/page": (b"<html>", "text/html", 200, {}),
            "/liar.png": (b"not a picture", "image/png", 200, {}),
            "/moved.png": (b"", "image/png", 302, {"Location": "/alice.png"}),
            "/huge.png": (b"", "image/png", 200, {"Content-Length": str(10**9)}),
            "/packed.png": (png(ALICE), "image/png", 200, {"Content-Encoding": "gzip"}),
        }.get(self.path, (b"", "image/png", 404, {}))
        self.send_response(status)
        for name, value in ({"Content-Type": kind, "Content-Length": str(len(content))} | more).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def shop() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def fetched(world: World, url: str, **more: Any) -> Any:
    return world.call("POST", "/v1/media/from-address", "backend", json={"url": url} | more)


@pytest.fixture
def near(world: World) -> World:
    object.__setattr__(world.service, "settings", replace(world.service.settings, fetch_loopback=True))
    return world


def test_an_address_is_fetched_once_and_its_bytes_are_what_counts(near: World, shop: str) -> None:
    taken = fetched(near, f"{shop}/alice.png")
    assert taken.status_code == 201, taken.text
    assert taken.json()["sha256"] == hashlib.sha256(png(ALICE)).hexdigest()
    path = f"/v1/media/{taken.json()['media_id']}/content"
    assert near.call("GET", path, "backend").content == png(ALICE)
    assert code(near.call("GET", path, "app")) == "not_found"
    token = near.token(near.consent())
    assert near.ask(tokens=[token], media=[taken.json()["media_id"]])["decision"] is True


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/page", "type_refused"),
        ("/moved.png", "status_refused"),
        ("/missing.png", "status_refused"),
        ("/huge.png", "too_large"),
        ("/packed.png", "type_refused"),
    ],
)
def test_what_is_not_plain_media_is_not_taken(near: World, shop: str, path: str, wanted: str) -> None:
    refused = fetched(near, shop + path)
    assert (refused.status_code, code(refused), refused.json()["reason"]) == (422, "media_not_fetched", wanted)


def test_what_only_says_that_it_is_a_picture_is_not_taken(near: World, shop: str) -> None:
    assert fetched(near, f"{shop}/liar.png").status_code == 422
    assert code(fetched(near, f"{shop}/alice.png", sha256="00" * 32)) == "digest_mismatch"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/x.png",
        "https://127.0.0.1/x.png",
        "https://[::1]/x.png",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/x.png",
        "https://user@example.com/x.png",
        "file:///etc/passwd",
        "ftp://example.com/x.png",
    ],
)
def test_the_gate_fetches_from_nowhere_inside(world: World, url: str) -> None:
    refused = fetched(world, url)
    assert (refused.status_code, code(refused)) == (422, "media_url_refused")


# --- how many wrong faces ------------------------------------------------------------------------------------------------


def tried(world: World, token: str, times: int) -> list[str]:
    vector = {"contract_id": CONTRACT, "vector": colour_template(BOB).vector.tolist()}
    properties = {"embeddings": [vector] * times}
    return codes(world.ask(tokens=[token], properties=properties))


@pytest.fixture
def stingy(service: Service) -> Service:
    object.__setattr__(service, "settings", replace(service.settings, mismatches_a_day=4))
    return service


def test_after_too_many_wrong_faces_the_gate_refuses_without_looking(stingy: Service, world: World) -> None:
    consent = world.consent()
    token, photo = world.token(consent), world.media(png(ALICE))["media_id"]
    assert tried(world, token, 3) == ["unknown_face"] * 3 + ["token_unused"]
    assert world.ask(tokens=[token], media=[photo])["decision"] is True, "one is left"
    assert "unknown_face" in tried(world, token, 2)
    assert codes(world.ask(tokens=[token], media=[photo])) == ["mismatch_budget"], "the right face too: nothing is told"
    assert tried(world, token, 1) == ["mismatch_budget"]
    again = world.token(consent)
    assert codes(world.ask(tokens=[again], media=[photo])) == ["mismatch_budget"], "another token does not help"
    from api.auth import Role

    second = world.key(Role.BACKEND, "studio")
    question = world.evaluation(tokens=[token], media=[])
    answer = world.call("POST", "/access/v1/evaluation", second, json=question).json()
    assert codes(answer) == ["mismatch_budget"], "nor does another key of the same backend"
    world.clock.move(24 * 3600)
    token, photo = world.token(consent), world.media(png(ALICE))["media_id"]
    assert world.ask(tokens=[token], media=[photo])["decision"] is True, "tomorrow is another day"


def test_the_person_sees_who_tried_too_often(stingy: Service, world: World) -> None:
    consent = world.consent()
    tried(world, world.token(consent), 5)
    tried(world, world.token(consent), 1)
    seen = world.call("GET", "/v1/subject/admin-views", consent["manage_token"]).json()["results"]
    (event,) = [one for one in seen if one["action"] == "gate:budget:spent"]
    assert event["en"]
    assert event["zh"]
    attempts = world.call("GET", "/v1/subject/attempts", consent["manage_token"]).json()["results"]
    assert "mismatch_budget" in {reason["code"] for attempt in attempts for reason in attempt["reasons"]}


def test_a_token_that_was_refused_by_itself_costs_its_person_nothing(stingy: Service, world: World) -> None:
    consent = world.consent()
    token, photo = world.token(consent), world.media(png(ALICE))["media_id"]
    for _ in range(6):
        vector = {"contract_id": CONTRACT, "vector": colour_template(BOB).vector.tolist()}
        refused = world.ask(tokens=[token], properties={"embeddings": [vector]}, context={"seconds": 999})
        assert "scope_limits" in codes(refused)
    assert world.ask(tokens=[token], media=[photo])["decision"] is True


def test_two_people_are_counted_apart(stingy: Service, world: World) -> None:
    alice = world.token(world.consent())
    bob = world.token(world.consent(world.shown_live(BOB, "user-2")))
    tried(world, alice, 5)
    assert world.ask(tokens=[bob], media=[world.media(png(BOB))["media_id"]])["decision"] is True
    both = world.media(png(ALICE, BOB))["media_id"]
    answer = world.ask(tokens=[alice, bob], media=[both])
    assert codes(answer) == ["mismatch_budget"]
    assert answer["context"]["reasons"][0]["token"] == 0


def test_the_limit_is_a_setting(settings: Settings) -> None:
    assert settings.mismatches_a_day == 50
