"""What an app may list of its own, and what a finished clip says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from api.auth import Role
from tests.api.conftest import World, png
from tests.api.scripted import ALICE, BOB
from tests.api.test_clips import ordered, render
from tests.api.test_consents import revoke
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service


def listed(world: World, path: str, who: str = "app", **query: Any) -> dict[str, Any]:
    answer = world.call("GET", path, who, params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ids(page: dict[str, Any], name: str = "consent_id") -> list[str]:
    return [one[name] for one in page["results"]]


def given(world: World, ref: str, colour: tuple[int, int, int] = ALICE, **more: Any) -> dict[str, Any]:
    world.clock.move(1)
    session = world.shown_live(colour, ref)
    return world.consent(session, **more) | {"session_id": session["session_id"]}


def test_an_app_finds_its_consents_by_person_and_by_how_they_stand(world: World) -> None:
    alice, bob = given(world, "alice"), given(world, "bob", BOB, purposes=["cameo"], makers=["self"])
    assert ids(listed(world, "/v1/consents")) == [bob["consent_id"], alice["consent_id"]]

    found = listed(world, "/v1/consents", subject_ref="bob")["results"]
    assert [one["consent_id"] for one in found] == [bob["consent_id"]]
    assert (found[0]["purposes"], found[0]["makers"], found[0]["state"]) == (["cameo"], ["self"], "valid")
    assert found[0]["session_id"] == bob["session_id"]
    assert listed(world, "/v1/consents", subject_ref="nobody we know") == {"results": [], "next": None}

    path = f"/v1/consents/{alice['consent_id']}"
    assert world.call("POST", f"{path}/suspend", alice["manage_token"]).status_code == 200
    assert ids(listed(world, "/v1/consents", state="suspended")) == [alice["consent_id"]]
    assert world.call("POST", f"{path}/resume", alice["manage_token"]).status_code == 200
    revoke(world, alice)
    assert ids(listed(world, "/v1/consents", state="revoked")) == [alice["consent_id"]]
    assert ids(listed(world, "/v1/consents", state="valid")) == [bob["consent_id"]]

    world.clock.move(31 * 86_400)
    assert ids(listed(world, "/v1/consents", state="expired")) == [bob["consent_id"]]
    assert ids(listed(world, "/v1/consents", state="valid")) == []
    assert listed(world, "/v1/consents", state="expired")["results"][0]["state"] == "expired"


def test_pages_leave_nothing_out_and_show_nothing_twice(world: World) -> None:
    wanted = [given(world, f"user-{number}")["consent_id"] for number in range(5)][::-1]
    seen, cursor = [], None
    while True:
        page = listed(world, "/v1/consents", limit=2, **({} if cursor is None else {"cursor": cursor}))
        seen += ids(page)
        if (cursor := page["next"]) is None:
            break
    assert seen == wanted
    assert code(world.call("GET", "/v1/consents", "app", params={"cursor": "nonsense"})) == "cursor_invalid"


def test_a_list_has_no_picture_template_record_or_words_of_the_check(world: World) -> None:
    given(world, "alice")
    shown = listed(world, "/v1/consents")["results"][0]
    assert set(shown) == {
        "consent_id", "subject_id", "session_id", "state", "purposes", "audience", "limits", "makers", "approval",
        "for_another", "granted_at", "expires_at", "assurance",
    }  # fmt: skip


def test_nobody_lists_what_is_anothers(world: World) -> None:
    consent = given(world, "alice")
    clip_id = ordered(world, [world.token(consent, "portrait")])
    other = world.key(Role.APP, "app-two")
    assert listed(world, "/v1/consents", other)["results"] == []
    assert listed(world, "/v1/consents", other, subject_ref="alice")["results"] == []
    assert listed(world, "/v1/clips", other)["results"] == []
    assert code(world.call("GET", f"/v1/clips/{clip_id}/manifest", other)) == "not_found"
    for who in ("backend", "auditor", "admin", consent["manage_token"]):
        for path in ("/v1/consents", "/v1/clips"):
            assert code(world.call("GET", path, who)) == "forbidden", (who, path)


def test_an_app_finds_its_clips_by_state_and_by_person(world: World) -> None:
    alice, bob = given(world, "alice"), given(world, "bob", BOB)
    first = ordered(world, [world.token(alice, "portrait")])
    world.clock.move(1)
    second = ordered(world, [world.token(bob, "portrait")])
    assert render(world, first)
    assert ids(listed(world, "/v1/clips"), "clip_id") == [second, first]
    assert ids(listed(world, "/v1/clips", limit=1), "clip_id") == [second]
    after = listed(world, "/v1/clips", limit=1)["next"]
    assert ids(listed(world, "/v1/clips", limit=1, cursor=after), "clip_id") == [first]
    done = listed(world, "/v1/clips", state="done")["results"]
    assert [(one["clip_id"], one["consents"]) for one in done] == [(first, [alice["consent_id"]])]
    assert ids(listed(world, "/v1/clips", consent=bob["consent_id"]), "clip_id") == [second]
    assert world.call("GET", "/v1/clips", "app", params={"state": "lost"}).status_code == 422


def test_a_clip_says_under_whose_consent_it_was_made_while_that_holds(world: World) -> None:
    consent = given(world, "alice")
    clip_id = ordered(world, [world.token(consent, "portrait")])
    assert code(world.call("GET", f"/v1/clips/{clip_id}/manifest", "app")) == "clip_not_ready"
    assert render(world, clip_id)
    said = listed(world, f"/v1/clips/{clip_id}/manifest")
    assert (said["manifest"], said["people"], said["consents"]) == ("trusted", 1, [consent["consent_id"]])
    assert (said["producer"], said["edited"], said["consent"]) == ("portrait colours-1", False, "valid")
    assert (said["watermarked"], said["aigc"], said["training_refused"]) == (True, True, True)
    assert said["sha256"] == listed(world, f"/v1/clips/{clip_id}")["sha256"]
    assert listed(world, f"/v1/clips/{clip_id}/manifest", consent["manage_token"]) == said
    revoke(world, consent)
    assert code(world.call("GET", f"/v1/clips/{clip_id}/manifest", "app")) == "consent_revoked"


def test_of_a_clip_of_two_each_sees_their_own_consent_only(world: World) -> None:
    alice, bob = given(world, "alice"), given(world, "bob", BOB)
    media = world.media(png(ALICE, BOB), who="app")
    tokens = [world.token(alice, "portrait"), world.token(bob, "portrait")]
    clip_id = ordered(world, tokens, media=[media["media_id"]])
    assert render(world, clip_id)
    assert sorted(listed(world, f"/v1/clips/{clip_id}/manifest")["consents"]) == sorted(
        [alice["consent_id"], bob["consent_id"]]
    )
    mine = listed(world, f"/v1/clips/{clip_id}/manifest", alice["manage_token"])
    assert (mine["people"], mine["consents"]) == (2, [alice["consent_id"]])
