"""Clips over HTTP: refused without consent, marked when made, gone when consent goes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from api.auth import Role
from api.rendering import render_clip
from likeness.double import Double
from likeness.generate import Clip, RenderRequest
from likeness.provenance import ManifestState, verify_clip
from tests.api.conftest import ColourGenerator, World, png, renderers
from tests.api.scripted import ALICE, BOB, picture_of
from tests.api.test_consents import revoke
from tests.api.test_liveness_sessions import code
from tests.api.test_media import sound

pytestmark = pytest.mark.service

WANTED = {"script": "Hello.", "width": 320, "height": 320}


def order(world: World, tokens: list[str], **more: Any) -> Any:
    return world.call("POST", "/v1/clips", "app", json=WANTED | {"tokens": tokens} | more)


def ordered(world: World, tokens: list[str], **more: Any) -> str:
    answer = order(world, tokens, **more)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["clip_id"])


def render(world: World, clip_id: str, on_frame: Callable[[int], None] = lambda _: None, tried: int = 0) -> bool:
    return render_clip(world.service, renderers(world.service, on_frame), clip_id, tried=tried)


def state(world: World, clip_id: str, who: str = "app") -> dict[str, Any]:
    answer = world.call("GET", f"/v1/clips/{clip_id}", who)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def content(world: World, clip_id: str, who: str = "app", **headers: str) -> Any:
    return world.call("GET", f"/v1/clips/{clip_id}/content", who, headers=headers)


def stages(world: World) -> list[tuple[str, bool]]:
    with world.service.database.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT stage, decision FROM attempts JOIN outcomes USING (attempt_id) ORDER BY attempts.at, stage")
        )
        return [(stage, decision) for stage, decision in rows]


def test_a_consented_clip_is_made_marked_and_fetched(world: World, tmp_path: Path) -> None:
    consent = world.consent()
    clip_id = ordered(world, [world.token(consent, "portrait")])
    assert state(world, clip_id)["state"] == "queued"
    assert code(content(world, clip_id)) == "clip_not_ready"

    assert render(world, clip_id)

    done = state(world, clip_id)
    assert (done["state"], done["progress"], done["duration_ms"]) == ("done", 1.0, 1000)
    answer = content(world, clip_id)
    assert answer.headers["content-type"] == "video/mp4"
    file = tmp_path / "clip.mp4"
    file.write_bytes(answer.content)
    anchor = world.call("GET", "/v1/provenance/anchor").text
    manifest = verify_clip(file, anchor_pem=anchor)
    assert manifest.state is ManifestState.TRUSTED
    assert manifest.consent is not None
    assert len(manifest.consent.consents) == 1
    assert consent["consent_id"].encode() not in answer.content, "a stranger cannot tell whose clips belong together"
    assert [(stage, decision) for stage, decision in stages(world)] == [
        ("clip_release", True), ("clip_request", True), ("clip_start", True),
    ]  # fmt: skip
    assert not render(world, clip_id), "a finished clip is not made again"
    assert not list((world.service.settings.var / "work").iterdir())


def test_players_may_ask_for_a_part(world: World) -> None:
    clip_id = ordered(world, [world.token(world.consent(), "portrait")])
    render(world, clip_id)
    whole = content(world, clip_id).content
    for asked, start, end in (
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, len(whole)),
        ("bytes=-50", len(whole) - 50, len(whole)),
    ):
        part = content(world, clip_id, Range=asked)
        assert (part.status_code, part.content) == (206, whole[start:end])
        assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(whole)}"
    assert content(world, clip_id, Range=f"bytes={len(whole)}-").status_code == 416
    assert content(world, clip_id, Range="lines=1-2").status_code == 200


def test_no_clip_without_a_token(world: World) -> None:
    for media in ([], [world.media(png(ALICE), who="app")["media_id"]]):
        refused = order(world, [], media=media)
        assert (refused.status_code, code(refused)) == (403, "gate_refused")
        assert refused.json()["decision"] is False
        assert [reason["code"] for reason in refused.json()["reasons"]] == ["no_token"]
    assert stages(world) == [("clip_request", False), ("clip_request", False)]


def test_no_clip_of_another_face(world: World) -> None:
    token = world.token(world.consent(), "portrait")
    photo = world.media(png(BOB), who="app")
    refused = order(world, [token], media=[photo["media_id"]])
    assert {reason["code"] for reason in refused.json()["reasons"]} == {"unknown_face", "token_unused"}


def test_a_photograph_of_the_consenting_person_is_moved(world: World) -> None:
    token = world.token(world.consent(), "portrait")
    photo = world.media(png((201, 41, 41)), who="app")
    clip_id = ordered(world, [token], media=[photo["media_id"]])
    assert render(world, clip_id)


def test_a_recording_may_be_spoken_with_unless_words_were_forbidden(world: World) -> None:
    """What a recording says is not known, so it may say the forbidden word."""
    recording = world.media(sound(), who="app")["media_id"]
    assert render(world, ordered(world, [world.token(world.consent(), "portrait")], script=None, sound=recording))
    strict = world.consent(world.shown_live(BOB, "user-2"), limits={"max_seconds": 30, "forbidden_words": ["lottery"]})
    refused = order(world, [world.token(strict, "portrait")], script=None, sound=recording)
    assert refused.json()["reasons"][0]["code"] == "scope_limits"


def test_two_people_in_one_clip_both_consented(world: World) -> None:
    tokens = [world.token(world.consent(), "portrait")]
    tokens.append(world.token(world.consent(world.shown_live(BOB, "user-2")), "portrait"))
    photograph = world.media(png(ALICE, BOB), who="app")["media_id"]
    assert render(world, ordered(world, tokens, media=[photograph]))
    for media in ([], [photograph] * 2):
        refused = order(world, tokens, media=media)
        assert (refused.status_code, code(refused)) == (422, "request_invalid")


def test_nothing_is_made_after_a_revocation(world: World) -> None:
    consent = world.consent()
    token = world.token(consent, "portrait")
    queued, done = ordered(world, [token]), ordered(world, [token])
    render(world, done)
    revoke(world, consent)
    assert not render(world, queued)
    assert state(world, queued)["state"] == "withdrawn"
    gone = content(world, done)
    assert (gone.status_code, code(gone)) == (410, "consent_revoked")
    refused = order(world, [token])
    assert [reason["code"] for reason in refused.json()["reasons"]] == ["revoked", "no_token"]
    assert not list((world.service.settings.var / "media").glob("*/sld_*"))


def test_a_revocation_while_it_is_made_stops_it_before_release(world: World) -> None:
    consent = world.consent()
    clip_id = ordered(world, [world.token(consent, "portrait")])

    def revoke_at_the_last_frame(number: int) -> None:
        if number == 23:
            revoke(world, consent)

    assert not render(world, clip_id, revoke_at_the_last_frame)
    assert state(world, clip_id)["state"] == "withdrawn"
    assert code(content(world, clip_id)) == "consent_revoked"


def test_an_expired_token_in_the_queue_is_refused_at_the_start(world: World) -> None:
    clip_id = ordered(world, [world.token(world.consent(), "portrait", ttl_s=60)])
    world.clock.move(60)
    assert not render(world, clip_id)
    failed = state(world, clip_id)
    assert (failed["state"], failed["code"]) == ("failed", "gate_refused")
    assert failed["reasons"][0]["code"] == "expired"
    assert code(content(world, clip_id)) == "clip_failed"


def test_a_generator_that_cannot_make_it_says_why_and_does_not_use_the_consent_up(world: World) -> None:
    consent = world.consent(limits={"max_seconds": 30, "uses": 1})
    token = world.token(consent, "portrait")
    failed = ordered(world, [token], script="too hard")
    assert not render(world, failed)
    assert state(world, failed)["code"] == "script_unspeakable"
    assert render(world, ordered(world, [token]))
    refused = order(world, [token])
    assert refused.json()["reasons"][0]["code"] == "scope_limits"


def test_a_crash_is_tried_again_and_in_the_end_given_up(world: World) -> None:
    clip_id = ordered(world, [world.token(world.consent(), "portrait")], script="crash")
    for tried in range(2):
        with pytest.raises(RuntimeError):
            render(world, clip_id, tried=tried)
    assert not render(world, clip_id, tried=2)
    assert (state(world, clip_id)["state"], state(world, clip_id)["code"]) == ("failed", "internal_error")


def test_an_overtaken_run_releases_nothing_and_the_last_use_is_still_one(world: World) -> None:
    """A worker that was taken for dead and was not: its clip is thrown away, the other's is kept."""
    consent = world.consent(limits={"max_seconds": 30, "uses": 1})
    clip_id = ordered(world, [world.token(consent, "portrait")])

    def another_run(number: int) -> None:
        if number == 12:
            assert render(world, clip_id)

    assert not render(world, clip_id, another_run)
    assert state(world, clip_id)["state"] == "done"
    with world.service.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM sealed WHERE kind = 'clip'")) == 1


def test_a_cancelled_clip_stops_and_is_gone(world: World) -> None:
    clip_id = ordered(world, [world.token(world.consent(), "portrait")])
    cancelled = world.call("DELETE", f"/v1/clips/{clip_id}", "app")
    assert cancelled.json()["state"] == "cancelled"
    assert not render(world, clip_id)
    assert code(content(world, clip_id)) == "clip_cancelled"


def test_only_the_app_and_the_person_shown_see_a_clip(world: World) -> None:
    consent = world.consent()
    other = world.consent(world.shown_live(BOB, "user-2"))
    clip_id = ordered(world, [world.token(consent, "portrait")])
    assert state(world, clip_id, consent["manage_token"])["state"] == "queued"
    for who in (other["manage_token"], "backend", "auditor", world.key(Role.APP, "app-two")):
        assert code(world.call("GET", f"/v1/clips/{clip_id}", who)) == "not_found"
        assert code(world.call("GET", f"/v1/clips/{clip_id}/events", who)) == "not_found"
        assert code(content(world, clip_id, who)) == "not_found"


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"backend": "elsewhere"}, "backend_unknown"),
        ({"script": None}, "request_invalid"),
        ({"sound": "med_" + "0" * 32}, "request_invalid"),
        ({"script": None, "sound": "med_" + "0" * 32}, "not_found"),
        ({"media": ["med_" + "0" * 32]}, "not_found"),
        ({"width": 321}, "request_invalid"),
        ({"max_seconds": 61}, "request_invalid"),
    ],
)
def test_an_order_that_makes_no_sense_is_not_taken(world: World, change: dict[str, Any], wanted: str) -> None:
    assert code(order(world, [], **change)) == wanted


def test_progress_is_told_as_it_happens(world: World) -> None:
    consent = world.consent()
    clip_id = ordered(world, [world.token(consent, "portrait")])
    go_on = threading.Event()

    def slowly(number: int) -> None:
        if number == 0:
            go_on.wait(5)

    worker = threading.Thread(target=render, args=(world, clip_id, slowly))
    told: list[tuple[str, dict[str, Any]]] = []
    with world.client.stream(
        "GET", f"/v1/clips/{clip_id}/events", headers={"Authorization": f"Bearer {world.keys['app']}"}
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        worker.start()
        go_on.set()
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                told.append((name, json.loads(line.removeprefix("data: "))))
    worker.join()
    assert told[-1][0] == "done"
    assert told[-1][1]["state"] == "done"
    assert {name for name, _ in told[:-1]} <= {"progress"}


def test_an_order_is_sealed_while_it_waits_and_erased_when_done(world: World) -> None:
    clip_id = ordered(world, [world.token(world.consent(), "portrait")], script="a very private script")
    for path in (world.service.settings.var / "media").glob("*/*"):
        assert b"private" not in path.read_bytes()
    with world.service.database.engine.connect() as connection:
        kept = connection.execute(text("SELECT content FROM sealed WHERE kind = 'order'")).scalars().all()
        assert len(kept) == 1
        assert b"private" not in bytes(kept[0])
    assert render(world, clip_id)
    with world.service.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT content FROM sealed WHERE kind = 'order'")) is None


class Confused(ColourGenerator):
    """Shows somebody else than it was asked to."""

    def render(self, doubles: Sequence[Double], request: RenderRequest) -> Clip:
        other = [replace(double, portrait=picture_of(BOB)) for double in doubles]
        return super().render(other, request)


def test_a_clip_made_here_of_somebody_else_is_withheld(world: World) -> None:
    consent = world.consent()
    clip_id = ordered(world, [world.token(consent, "portrait")])
    confused = replace(renderers(world.service), generators={"portrait": Confused()})
    assert not render_clip(world.service, confused, clip_id)
    ended = state(world, clip_id)
    assert (ended["state"], ended["code"]) == ("failed", "other_face")
    assert code(content(world, clip_id)) == "clip_failed"
    seen = world.call("GET", "/v1/subject/admin-views", consent["manage_token"]).json()["results"]
    assert [one["reason"] for one in seen if one["action"] == "output:clip:withheld"] == ["other_face"]
