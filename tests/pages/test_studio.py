"""The studio in a browser: somebody new from the first page to a clip and back, the gate's no on the picture, its yes, and
what became of every clip."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page, Route, expect
from sqlalchemy import text

from api.app import create_app, open_service
from api.auth import Person, Role, authenticate, create_key
from api.database import upgrade
from api.pages import all_words
from api.rendering import render_clip
from api.serve import start_worker
from api.service import wall_clock
from api.settings import Settings
from consent.gate import GateCode
from tests.api.conftest import fresh_database, renderers
from tests.api.scripted import ALICE, BOB
from tests.api.test_consents import revoke
from tests.pages.conftest import (
    FIRST_LOAD_MOST,
    PATIENCE_MS,
    Held,
    Site,
    as_elsewhere,
    browser_with,
    first_load,
    free_socket,
    looks_right,
    serving,
    watched,
)

pytestmark = [pytest.mark.browser, pytest.mark.service]

GREY = (128, 128, 128)  # nobody
ALLOWED: dict[str, Any] = {"audience": ["portrait", "story", "cameo"], "purposes": ["digital_double", "cameo"]}
LOCALES = {"en": "en-GB", "zh": "zh-CN"}
Enter = Callable[..., Page]


@pytest.fixture
def enter(site: Site, browser: Browser, visit: Callable[..., Page]) -> Iterator[Enter]:
    """``enter(path)``: a page of the studio in the browser of a creator, who signed in."""
    opened: list[BrowserContext] = []
    with site.world.service.database.engine.begin() as connection:  # as one does that is there
        connection.execute(
            text("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() + interval '1 hour')")
        )

    def go(path: str = "/studio", *, language: str = "en", **more: Any) -> Page:
        context = watched(browser.new_context(locale=LOCALES[language], **more), site.origin)
        opened.append(context)
        answer = context.request.post(site.url("/v1/sign-in/with-key"), data={"key": site.world.keys["app"]})
        assert answer.ok, answer.text()
        return visit(path, context=context)

    yield go
    for context in opened:
        faults = context.mien_faults  # type: ignore[attr-defined]
        context.close()
        assert not faults, faults


def person(site: Site, ref: str, colour: tuple[int, int, int], **more: Any) -> dict[str, Any]:
    site.world.clock.move(1)
    session = site.world.shown_live(colour, ref)
    return site.world.consent(session, **(ALLOWED | more)) | {"session_id": session["session_id"]}


def named(page: Page, site: Site, **names: dict[str, Any]) -> None:
    """As their creator called them in this browser."""
    known = {
        one["consent_id"]: one["subject_id"] for one in site.world.call("GET", "/v1/consents", "app").json()["results"]
    }
    page.evaluate(
        "names => localStorage.setItem('mien-studio-names', JSON.stringify(names))",
        {known[consent["consent_id"]]: name for name, consent in names.items()},
    )
    page.reload()


def photograph(*colours: tuple[int, int, int]) -> FilePayload:
    """One colour is one face; two halves are two. Drawn, so that a reader of the pictures sees what is meant."""
    image = Image.new("RGB", (480, 360), colours[0])
    draw = ImageDraw.Draw(image)
    width = 480 // len(colours)
    for number, colour in enumerate(colours):
        left, middle = number * width, number * width + width // 2
        if colour not in (ALICE, BOB):
            draw.rectangle((left, 0, left + width, 360), colour)
            continue
        draw.rectangle((left, 0, left + width, 360), tuple(value + (255 - value) * 2 // 3 for value in colour))
        draw.ellipse((middle - 75, 80, middle + 75, 280), colour)
        for side in (-1, 1):
            draw.ellipse((middle + side * 32 - 8, 142, middle + side * 32 + 8, 158), (250, 250, 250))
        draw.arc((middle - 34, 190, middle + 34, 240), 20, 160, (250, 250, 250), 6)
    content = io.BytesIO()
    image.save(content, "PNG")
    return {"name": "photograph.png", "mimeType": "image/png", "buffer": content.getvalue()}


def clip_of(page: Page) -> str:
    page.wait_for_url(re.compile(r"/studio/clips/clp_"))
    return page.url.rpartition("/")[2].partition("?")[0]


def make(site: Site, clip_id: str) -> None:
    assert render_clip(site.world.service, renderers(site.world.service), clip_id)


def order(site: Site, consent: dict[str, Any], script: str = "Hello.") -> str:
    site.world.clock.move(1)
    token = site.world.token(consent, "portrait")
    body = {"tokens": [token], "script": script, "width": 320, "height": 320}
    answer = site.world.call("POST", "/v1/clips", "app", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["clip_id"])


# --- somebody new ----------------------------------------------------------------------------------------------------


def with_phone(site: Site, link: str, colour: tuple[int, int, int], **more: Any) -> None:
    """What the page of the live check does, by its calls: it has tests of its own."""
    token = link.rpartition("/")[2].partition("?")[0]
    with site.world.service.database.transaction() as store:
        who = authenticate(store, token, now=site.world.clock())
    assert isinstance(who, Person)
    session = {"session_id": who.session_id, "client_token": token}
    challenge = site.world.challenge(session)
    data = f"live {','.join(map(str, colour))} {challenge['nonce']}".encode()
    assert site.world.capture(session, data).status_code == 202
    assert site.world.judge(challenge)
    site.world.consent(session, **(ALLOWED | more))


def test_somebody_new_shows_themself_makes_a_clip_and_takes_it_back(site: Site, enter: Enter) -> None:
    page = enter()
    expect(page.get_by_role("heading", name="Three steps to your first clip")).to_be_visible()
    looks_right(page, "studio-first-en")
    with (  # its address as it is asked for: once it is open, it takes the token out
        page.context.expect_event("request", lambda asked: "/verify/" in asked.url) as asked,
        page.expect_popup() as opened,
    ):
        page.get_by_role("button", name="Begin here").click()
    opened.value.close()
    with_phone(site, asked.value.url, ALICE, makers=["self"])  # as the page has it at first
    expect(page.get_by_text("Your consent is on record")).to_be_visible()
    page.get_by_role("link", name="Make my clip").click()
    expect(page.get_by_role("checkbox", name=re.compile("^Me"))).to_be_checked()
    expect(page.get_by_label("Words", exact=True)).to_have_value(re.compile("I said yes to it"))
    page.get_by_role("button", name="Ask the gate").click()
    expect(page.get_by_text("Yes. Everyone in it agreed.")).to_be_visible()
    page.get_by_role("button", name="Make this clip").click()
    clip_id = clip_of(page)
    make(site, clip_id)
    expect(page.get_by_label("The clip", exact=True)).to_be_visible()
    page.get_by_role("link", name="Next: take it back").click()
    page.get_by_role("button", name="Take it back now").click()
    expect(page.get_by_role("heading", name="Take your consent back?")).to_be_visible()
    page.get_by_role("button", name="Take it back", exact=True).click()
    expect(page.get_by_text("Taken back. The clip is withdrawn")).to_be_visible()
    expect(page.locator("#clips .badge")).to_have_text("Taken back")
    looks_right(page, "studio-taken-back-en")


def test_the_steps_in_chinese(enter: Enter) -> None:
    page = enter(language="zh")
    expect(page.get_by_role("heading", level=1)).to_have_text("三步完成您的第一段短片")
    looks_right(page, "studio-first-zh")


# --- the gate's answer -----------------------------------------------------------------------------------------------


def test_an_unknown_face_is_marked_on_the_picture_and_can_be_asked(site: Site, enter: Enter) -> None:
    alice = person(site, "alice", ALICE)
    page = enter("/studio/new")
    named(page, site, Alice=alice)
    expect(page.get_by_role("checkbox", name=re.compile("^Alice"))).to_be_checked()
    page.get_by_label("Add photographs").set_input_files([photograph(ALICE, BOB)])
    expect(page.get_by_text("2 faces in it.")).to_be_visible()
    page.get_by_label("Words", exact=True).fill("We were at the sea.")
    page.get_by_role("button", name="Ask the gate").click()
    expect(page.get_by_text("Not like this.")).to_be_visible()
    expect(page.locator(".mark[data-standing=no]")).to_have_count(1)
    expect(page.locator(".mark[data-standing=yes]")).to_have_count(1)
    left = page.locator(".mark[data-standing=no]").evaluate("mark => parseFloat(mark.style.left)")
    assert left == pytest.approx(50, abs=1), "the face on the right is not Alice's"
    expect(page.get_by_role("button", name=re.compile("Face 2 has not said yes"))).to_be_visible()
    expect(page.get_by_text("Picture 1: This face is nobody's who was chosen.")).to_be_visible()
    expect(page.get_by_role("button", name="Make this clip")).to_be_hidden()
    looks_right(page, "studio-refused-en")

    page.get_by_role("button", name="Face 2: Ask this person").click()
    page.get_by_label("What do you call them?").fill("Bob")
    page.get_by_role("button", name="Make the link").click()
    expect(page.get_by_role("img", name="Let Bob scan this")).to_be_visible()
    expect(page.get_by_text("Waiting for Bob to open it.")).to_be_visible()
    link = page.get_by_role("link", name="Open it here").get_attribute("href")
    assert link is not None
    with_phone(site, link, BOB)
    expect(page.get_by_text("Bob said yes.")).to_be_visible()
    page.locator("#ask").get_by_role("button", name="Close").click()

    expect(page.get_by_role("checkbox", name=re.compile("^Bob"))).to_be_checked()
    page.get_by_role("button", name="Ask the gate").click()
    expect(page.get_by_text("Yes. Everyone in it agreed.")).to_be_visible()
    expect(page.locator(".mark[data-standing=yes]")).to_have_count(2)
    expect(page.get_by_text(re.compile(r"About .* of film, and .* of work"))).to_be_visible()
    looks_right(page, "studio-permitted-en")
    page.get_by_label("Words", exact=True).fill("Something else.")
    expect(page.get_by_text("You changed something since.")).to_be_visible()
    expect(page.get_by_role("button", name="Make this clip")).to_be_hidden()


def test_everything_that_is_missing_is_said_before_the_gate_is_asked(site: Site, enter: Enter) -> None:
    page = enter("/studio/new")
    ask = page.get_by_role("button", name="Ask the gate")
    ask.click()
    expect(page.locator("#gate")).to_have_text("Choose who is in it.")
    page.get_by_role("radio", name=re.compile("^Photo story")).check()
    ask.click()
    expect(page.locator("#gate")).to_have_text("A story needs at least two photographs.")
    notes: FilePayload = {"name": "notes.png", "mimeType": "image/png", "buffer": b"these are words"}
    page.get_by_label("Add photographs").set_input_files([photograph(GREY), notes])
    expect(page.get_by_text("It is no picture, film or recording that can be read here.")).to_be_visible()
    ask.click()
    expect(page.locator("#gate")).to_contain_text("no picture, film or recording")
    page.get_by_role("button", name="Remove Picture 2").click()
    page.get_by_role("radio", name=re.compile("^Another generator")).check()
    expect(page.get_by_label("Generator", exact=True)).to_have_value("")
    page.get_by_text("Not available here, and why").click()
    expect(page.get_by_text("Kling", exact=True)).to_be_visible()
    attempts = site.world.call("GET", "/v1/audit/balance", "auditor").json()["attempts"]
    assert attempts == 0, "nobody was asked anything yet"


def test_a_story_of_nobody_needs_no_one_and_keeps_its_order(site: Site, enter: Enter) -> None:
    page = enter("/studio/new")
    page.get_by_role("radio", name=re.compile("^Photo story")).check()
    page.get_by_label("Add photographs").set_input_files([photograph(GREY), photograph((90, 92, 94))])
    expect(page.get_by_text("No face in it.")).to_have_count(2)
    page.get_by_label("Caption", exact=True).fill("Ten years later")
    page.get_by_role("button", name="Ask the gate").click()
    expect(page.get_by_text("Yes. Nobody is in it.")).to_be_visible()
    page.get_by_role("button", name="Make this clip").click()
    clip_of(page)
    expect(page.get_by_text("Waiting its turn. You can leave this page")).to_be_visible()


def test_whoever_wants_to_be_asked_each_time_is_asked_by_the_order(site: Site, enter: Enter) -> None:
    alice = person(site, "alice", ALICE, approval="always")
    page = enter("/studio/new")
    named(page, site, Alice=alice)
    page.get_by_label("Words", exact=True).fill("Hello.")
    page.get_by_role("button", name="Ask the gate").click()
    expect(page.get_by_text("One thing is missing: their own yes")).to_be_visible()
    page.get_by_role("button", name="Ask for their yes").click()
    expect(page.get_by_text("Alice can answer on their own page now.")).to_be_visible()
    path = f"/v1/consents/{alice['consent_id']}/requests"
    asked = site.world.call("GET", path, alice["manage_token"]).json()["requests"]
    assert [one["state"] for one in asked] == ["requested"]
    answer = site.world.call("POST", f"{path}/{asked[0]['request_id']}/approve", alice["manage_token"])
    assert answer.status_code == 200, answer.text
    page.get_by_role("button", name="Ask for their yes").click()
    clip_of(page)


def test_who_lets_only_some_ask_is_heard(site: Site, enter: Enter) -> None:
    alice, bob = person(site, "alice", ALICE, makers=["self"]), person(site, "bob", BOB, makers=["app-one"])
    page = enter("/studio/new")
    named(page, site, Alice=alice, Bob=bob)
    page.get_by_label("Words", exact=True).fill("Hello.")
    page.get_by_role("checkbox", name=re.compile("^Alice")).check()
    expect(page.get_by_label("Who is asking")).to_have_value("")
    page.get_by_role("button", name="Ask the gate").click()
    expect(page.get_by_text("Alice lets only certain people ask, or only themselves.")).to_be_visible()
    page.get_by_role("checkbox", name=re.compile("^Alice")).uncheck()
    page.get_by_role("checkbox", name=re.compile("^Bob")).check()
    expect(page.get_by_label("Who is asking")).to_have_value("app-one")
    page.get_by_role("button", name="Ask the gate").click()
    expect(page.get_by_text("Yes. Everyone in it agreed.")).to_be_visible()


def test_two_people_talk_in_chinese_pages(site: Site, enter: Enter) -> None:
    alice, bob = person(site, "alice", ALICE), person(site, "bob", BOB)
    page = enter("/studio/new", language="zh")
    named(page, site, 小林=alice, 小周=bob)
    page.get_by_role("checkbox", name=re.compile("^小林")).check()
    page.get_by_role("checkbox", name=re.compile("^小周")).check()
    page.get_by_role("radio", name="对话", exact=True).check()
    page.get_by_label("第 1 句：台词").fill("Have you seen my map?")
    page.get_by_label("第 2 句：台词").fill("No.")
    page.get_by_label("添加照片").set_input_files([photograph(ALICE, BOB)])
    expect(page.get_by_text("其中有 2 张脸。")).to_be_visible()
    page.get_by_role("button", name="询问闸门").click()
    expect(page.get_by_text("可以。其中每个人都已同意。")).to_be_visible()
    looks_right(page, "studio-permitted-zh")


def test_with_the_keyboard_alone(site: Site, enter: Enter) -> None:
    person(site, "alice", ALICE)
    page = enter("/studio/new")
    page.get_by_label("Add photographs").set_input_files([photograph(ALICE, BOB)])
    expect(page.get_by_text("2 faces in it.")).to_be_visible()
    page.get_by_label("Words", exact=True).focus()
    page.keyboard.type("Hello.")
    page.get_by_role("button", name="Ask the gate").press("Enter")
    expect(page.get_by_text("Not like this.")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Face 2")).first.focus()
    expect(page.locator(".mark[data-lit] b")).to_have_text("2")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("What do you call them?")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_photograph_is_taken_with_the_camera(site: Site, playing: Any) -> None:
    person(site, "alice", ALICE)
    with browser_with(playing, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as browser:
        context = watched(browser.new_context(locale="en-GB", permissions=["camera"]), site.origin)
        context.request.post(site.url("/v1/sign-in/with-key"), data={"key": site.world.keys["app"]})
        page = context.new_page()
        page.goto(site.url("/studio/new"))
        page.get_by_role("button", name="Take a photograph").click()
        page.get_by_role("button", name="Take it").click()
        expect(page.get_by_role("heading", name="Picture 1")).to_be_visible()
        expect(page.locator(".medium .about")).to_have_text(re.compile("face"))
        assert not context.mien_faults  # type: ignore[attr-defined]


# --- clips -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_finished_clip_plays_and_says_who_agreed(site: Site, enter: Enter, language: str) -> None:
    alice = person(site, "alice", ALICE)
    clip_id = order(site, alice)
    page = enter(f"/studio/clips/{clip_id}", language=language)
    name = {"en": "Alice", "zh": "小林"}[language]
    named(page, site, **{name: alice})
    expect(page.get_by_text({"en": "Waiting its turn. You", "zh": "正在排队。"}[language])).to_be_visible()
    make(site, clip_id)
    player = page.locator("video")
    expect(player).to_be_visible()
    player.evaluate("video => video.play()")
    expect(player).to_have_js_property("paused", False)
    facts = page.locator("#facts")
    expect(facts).to_contain_text(name)
    expect(facts).to_contain_text({"en": "Whole, unchanged, and signed by Mien", "zh": "完整、未被更改"}[language])
    expect(facts).to_contain_text({"en": "Watermark in the picture", "zh": "画面水印"}[language])
    with page.expect_download() as download:
        page.get_by_role("link", name={"en": "Download", "zh": "下载"}[language]).click()
    content = site.world.call("GET", f"/v1/clips/{clip_id}/content", "app").content
    assert Path(download.value.path()).read_bytes() == content
    player.evaluate("video => { video.pause(); video.currentTime = 0; video.removeAttribute('controls'); }")
    expect(player).to_have_js_property("seeking", False)
    looks_right(page, f"studio-clip-{language}")


def test_a_clip_that_is_taken_back_while_it_is_watched(site: Site, enter: Enter) -> None:
    alice = person(site, "alice", ALICE)
    clip_id = order(site, alice)
    make(site, clip_id)
    page = enter(f"/studio/clips/{clip_id}")
    expect(page.locator("video")).to_be_visible()
    revoke(site.world, alice)
    expect(page.get_by_text("Somebody in it took their consent back")).to_be_visible()
    expect(page.get_by_role("link", name="Download")).to_be_hidden()
    expect(page.locator("video")).to_have_count(0)


def test_work_is_stopped_and_a_clip_is_removed(site: Site, enter: Enter) -> None:
    alice = person(site, "alice", ALICE)
    waiting, done = order(site, alice), order(site, alice)
    make(site, done)
    page = enter(f"/studio/clips/{waiting}")
    page.get_by_role("button", name="Stop making it").click()
    page.get_by_role("button", name="Back").click()
    assert site.world.call("GET", f"/v1/clips/{waiting}", "app").json()["state"] == "queued"
    page.get_by_role("button", name="Stop making it").click()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("You removed this clip.")).to_be_visible()
    page.goto(site.url(f"/studio/clips/{done}"))
    page.get_by_role("button", name="Remove this clip").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("You removed this clip.")).to_be_visible()
    assert site.world.call("GET", f"/v1/clips/{done}/content", "app").status_code == 410


def test_why_a_clip_could_not_be_made(site: Site, enter: Enter) -> None:
    clip_id = order(site, person(site, "alice", ALICE), script="too hard")
    render_clip(site.world.service, renderers(site.world.service), clip_id)
    page = enter(f"/studio/clips/{clip_id}")
    expect(page.get_by_text("The made voice cannot say a word in it.")).to_be_visible()
    looks_right(page, "studio-failed-en")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_history_and_the_people(site: Site, enter: Enter, language: str) -> None:
    alice, bob = person(site, "alice", ALICE), person(site, "bob", BOB, approval="always", purposes=["cameo"])
    clips = [order(site, alice) for _ in range(5)]
    make(site, clips[0])
    page = enter(language=language)
    names = {"en": ("Alice", "Bob"), "zh": ("小林", "小周")}[language]
    named(page, site, **dict(zip(names, (alice, bob), strict=True)))
    expect(page.locator("#clips > li")).to_have_count(5)
    expect(page.locator("#clips")).to_contain_text(names[0])
    looks_right(page, f"studio-history-{language}")
    page.get_by_label({"en": "Show", "zh": "显示"}[language]).select_option("done")
    expect(page.locator("#clips > li")).to_have_count(1)
    page.get_by_label({"en": "Show", "zh": "显示"}[language]).select_option("failed")
    expect(page.get_by_text({"en": "No clip of this kind.", "zh": "没有此类短片。"}[language])).to_be_visible()
    page.get_by_role("link", name={"en": "People", "zh": "人物"}[language]).click()
    expect(page.locator("#people > li:not(.skeleton)")).to_have_count(2)
    looks_right(page, f"studio-people-{language}")


def test_somebody_gets_a_name_and_their_consent_is_ended(site: Site, enter: Enter) -> None:
    person(site, "alice", ALICE)
    page = enter("/studio/people")
    page.get_by_role("button", name="Change the name").click()
    page.get_by_label("Name", exact=True).fill("Alice")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="End this consent").click()
    expect(page.get_by_role("heading", name="End the consent of Alice?")).to_be_visible()
    page.get_by_role("button", name="End it").click()
    expect(page.get_by_text("Ended. Their clips are withdrawn.")).to_be_visible()
    expect(page.get_by_text("Nobody has said yes yet")).to_be_visible()


def test_names_stay_in_the_browser(site: Site, enter: Enter) -> None:
    page = enter("/studio/people")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.url} {request.post_data or ''}"))
    page.get_by_role("button", name="Ask somebody").first.click()
    page.get_by_label("What do you call them?").fill("Rumpelstiltskin")
    page.get_by_role("button", name="Make the link").click()
    expect(page.get_by_role("img", name="Let Rumpelstiltskin scan this")).to_be_visible()
    as_elsewhere(page)
    looks_right(page, "studio-ask-en")
    assert sent
    assert not [one for one in sent if "Rumpelstiltskin" in one]
    assert not [one for one in sent if "mien_person" in one.partition(" ")[0]], "no token in an address"


# --- whoever is quicker than the line --------------------------------------------------------------------------------


def test_whoever_asks_before_anything_is_loaded_is_answered_all_the_same(site: Site, enter: Enter) -> None:
    person(site, "alice", ALICE)
    page = enter("/studio/people")
    script = Held(page, "**/studio-new.js*")
    loads = [Held(page, address) for address in ("**/v1/consents?*", "**/v1/clips/backends")]
    page.goto(site.url("/studio/new"), wait_until="commit")
    page.get_by_label("Words", exact=True).fill("Hello.")
    ask, answer = page.get_by_role("button", name="Ask the gate"), page.locator("#gate")
    before = answer.inner_text()
    ask.click()
    for held in (script, *loads):
        expect(ask).to_have_attribute("aria-busy", "true")
        expect(answer).to_have_text(before)
        held.let_go()
    expect(page.get_by_text("Yes. Everyone in it agreed.")).to_be_visible()


def test_a_press_waits_for_what_is_being_handed_in(site: Site, enter: Enter) -> None:
    page = enter("/studio/new")
    page.get_by_role("radio", name=re.compile("^Photo story")).check()
    slow = Held(page, "**/v1/media")
    page.get_by_label("Add photographs").set_input_files([photograph(GREY), photograph((90, 92, 94))])
    slow.asked()
    page.get_by_role("button", name="Ask the gate").click()
    expect(page.locator("#gate")).to_have_text("Wait until everything is handed in.")
    slow.let_go()
    expect(page.get_by_text("Yes. Nobody is in it.")).to_be_visible()


def test_an_answer_holds_until_what_was_asked_is_another(site: Site, enter: Enter) -> None:
    person(site, "alice", ALICE)
    page = enter("/studio/new")
    words, ask = page.get_by_label("Words", exact=True), page.get_by_role("button", name="Ask the gate")
    words.fill("Hello.")
    slow = Held(page, "**/v1/clips/estimate")
    ask.click()
    slow.asked()
    words.fill("Something else.")
    expect(page.get_by_text("You changed something since. Ask the gate again.")).to_be_visible()
    expect(ask).to_be_enabled()
    ask.click()
    slow.let_go()
    make_it = page.get_by_role("button", name="Make this clip")
    expect(make_it).to_be_visible()
    words.press("End")
    words.press("Space")
    page.get_by_role("radio", name="A recording", exact=True).check()
    expect(make_it).to_be_hidden()
    page.get_by_role("radio", name="Written words", exact=True).check()
    ask.click()
    expect(make_it).to_be_visible()
    words.press("Backspace")
    expect(make_it).to_be_visible()


def test_an_order_whose_answer_was_lost_stays_one_order(site: Site, enter: Enter) -> None:
    person(site, "alice", ALICE)
    page = enter("/studio/new")
    lost: list[int] = []

    def lose(route: Route) -> None:
        if route.request.method != "POST" or lost:
            route.fallback()
        else:
            lost.append(route.fetch().status)
            route.abort()

    page.route("**/v1/clips", lose)
    page.get_by_label("Words", exact=True).fill("Hello.")
    page.get_by_role("button", name="Ask the gate").click()
    page.get_by_role("button", name="Make this clip").click()
    expect(page.locator("#gate")).to_contain_text("No connection.")
    page.get_by_role("button", name="Make this clip").click()
    clip_id = clip_of(page)
    assert lost == [202]
    clips = site.world.call("GET", "/v1/clips", "app").json()["results"]
    assert [one["clip_id"] for one in clips] == [clip_id]


def test_a_link_that_was_asked_for_somebody_else_is_not_shown(site: Site, enter: Enter) -> None:
    page = enter("/studio/people")
    slow = Held(page, "**/v1/liveness/sessions")
    for name in ("Alice", "Bob"):
        page.get_by_role("button", name="Ask somebody").first.click()
        page.get_by_label("What do you call them?").fill(name)
        page.get_by_role("button", name="Make the link").click()
        slow.asked()
        if name == "Alice":
            page.locator("#ask").get_by_role("button", name="Cancel").click()
            expect(page.get_by_role("dialog")).to_be_hidden()
    slow.let_go()
    expect(page.get_by_role("img", name="Let Bob scan this")).to_be_visible()
    expect(page.get_by_text("Waiting for Bob to open it.")).to_be_visible()


def test_of_two_choices_the_last_is_shown_and_a_removed_clip_stays_removed(site: Site, enter: Enter) -> None:
    clip_id = order(site, person(site, "alice", ALICE))
    make(site, clip_id)
    page = enter()
    expect(page.locator("#clips .badge")).to_have_text("Done")
    slow = Held(page, "**/v1/clips?*state=done*")
    page.get_by_label("Show").select_option("done")
    slow.asked()
    page.get_by_label("Show").select_option("failed")
    expect(page.get_by_text("No clip of this kind.")).to_be_visible()
    slow.let_go()
    slow.heard()
    expect(page.get_by_text("No clip of this kind.")).to_be_visible()
    expect(page.locator("#clips > li")).to_have_count(0)

    page.route("**/content", lambda route: route.abort(), times=1)
    page.goto(site.url(f"/studio/clips/{clip_id}"))
    remove = page.get_by_role("button", name="Remove this clip")
    expect(remove).to_be_visible()  # also while the clip itself cannot be had
    slow = Held(page, "**/content")
    slow.asked()
    remove.click()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("You removed this clip.")).to_be_visible()
    slow.let_go()
    slow.heard()
    expect(page.get_by_text("You removed this clip.")).to_be_visible()
    expect(page.locator("video")).to_have_count(0)


def test_what_can_be_done_with_a_clip_does_not_move_under_the_hand(site: Site, enter: Enter) -> None:
    clip_id = order(site, person(site, "alice", ALICE))
    make(site, clip_id)
    page = enter()
    clip, says = Held(page, "**/content"), Held(page, "**/manifest")
    page.goto(site.url(f"/studio/clips/{clip_id}"))
    clip.asked()
    remove = page.get_by_role("button", name="Remove this clip")
    expect(remove).to_be_hidden()  # the clip, which takes room above it, is still to come
    clip.let_go()
    says.asked()
    place = remove.bounding_box()
    assert place is not None
    says.let_go()
    expect(page.locator("#facts dt")).not_to_have_count(0)
    assert remove.bounding_box() == place


# --- with the real thing ---------------------------------------------------------------------------------------------


@pytest.mark.weights
def test_a_real_worker_makes_a_story_while_its_page_is_watched(
    server: str, browser: Browser, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real models look for faces, a worker of its own makes the film, and its progress comes over the stream of events."""
    settings = Settings(var=tmp_path / "var", weights=weights, keys=tmp_path / "keys.json", worker_queues=("story",))
    with fresh_database(server) as url, free_socket() as address:
        upgrade(url)
        origin = f"http://localhost:{address.getsockname()[1]}"
        settings = replace(settings, database_url=url, public_url=origin)
        for name, value in {
            "VAR": settings.var, "WEIGHTS": weights, "KEYS": settings.keys, "PUBLIC_URL": origin, "WORKER_QUEUES": "story",
        }.items():  # fmt: skip
            monkeypatch.setenv(f"MIEN_{name}", str(value))
        with open_service(settings) as service, serving(create_app(service), address):
            with service.database.transaction() as store:
                key = create_key(store, Role.APP, "first-app", now=wall_clock())
            worker = start_worker(url)
            context = watched(browser.new_context(locale="en-GB"), origin)
            try:
                context.set_default_timeout(60_000)
                expect.set_options(timeout=60_000)
                assert context.request.post(f"{origin}/v1/sign-in/with-key", data={"key": key}).ok
                page = context.new_page()
                page.goto(f"{origin}/studio/new")
                page.get_by_role("radio", name=re.compile("^Photo story")).check()
                page.get_by_label("Add photographs").set_input_files([landscape(1), landscape(2)])
                expect(page.get_by_text("No face in it.")).to_have_count(2)
                page.get_by_label("Seconds").fill("1")
                page.get_by_role("radio", name="Square").check()
                page.get_by_role("button", name="Ask the gate").click()
                expect(page.get_by_text("Yes. Nobody is in it.")).to_be_visible()
                page.get_by_role("button", name="Make this clip").click()
                clip_of(page)
                expect(page.locator("video")).to_be_visible()
                expect(page.locator("#facts")).to_contain_text("Whole, unchanged, and signed by Mien")
                expect(page.locator("#facts")).to_contain_text("Nobody is in it, so nobody had to agree")
                page.locator("video").evaluate("video => video.play()")
                assert not context.mien_faults  # type: ignore[attr-defined]
            finally:
                expect.set_options(timeout=PATIENCE_MS)
                context.close()
                worker.terminate()
                worker.wait(30)
                assert worker.stdin is not None
                worker.stdin.close()


def landscape(number: int) -> FilePayload:
    """Hills of nobody."""
    image = Image.new("RGB", (640, 640), (150, 190, 230))
    draw = ImageDraw.Draw(image)
    for place in range(4):
        x = 160 * place + 60 * number
        draw.ellipse((x - 220, 320 + 40 * place, x + 260, 900), (60 + 25 * place, 110 + 15 * number, 70))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=92)
    return {"name": f"hills-{number}.jpg", "mimeType": "image/jpeg", "buffer": content.getvalue()}


# --- who may come in -------------------------------------------------------------------------------------------------


def test_who_is_not_signed_in_signs_in_first(site: Site, visit: Callable[..., Page]) -> None:
    for path in ("/studio", "/studio/new", "/studio/people", f"/studio/clips/clp_{'0' * 32}"):
        answer = site.world.call("GET", path, follow_redirects=False)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in?")


def test_there_is_a_way_to_the_account_and_out(site: Site, enter: Enter) -> None:
    page = enter("/studio/people")
    page.get_by_role("link", name="Account").click()
    expect(page.get_by_role("heading", name="Where you are signed in")).to_be_visible()
    page.get_by_role("link", name="Back").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(site.url("/sign-in?next=/studio"))
    page.goto(site.url("/studio/new"))
    page.wait_for_url(re.compile("/sign-in"))


def test_the_clip_of_another_app_is_not_there(site: Site, enter: Enter) -> None:
    page = enter(f"/studio/clips/clp_{'0' * 32}")
    expect(page.get_by_text("This clip is not there, or it is not yours.")).to_be_visible()
    theirs = order(site, person(site, "alice", ALICE))
    site.world.keys["app"] = site.world.key(Role.APP, "another")
    page = enter(f"/studio/clips/{theirs}")
    expect(page.get_by_text("This clip is not there, or it is not yours.")).to_be_visible()


def test_only_links_of_ours_become_codes(site: Site) -> None:
    for link in ("https://example.com/verify/abc", f"{site.origin}/studio", f"{site.origin}.example.com/verify/x"):
        assert site.world.call("POST", "/studio/qr", "app", json={"link": link}).status_code == 422
    good = {"link": f"{site.origin}/verify/mien_person_abc"}
    assert site.world.call("POST", "/studio/qr", "app", json=good).headers["content-type"] == "image/svg+xml"
    assert site.world.call("POST", "/studio/qr", "backend", json=good).status_code == 403


def test_first_load_is_small(site: Site, enter: Enter) -> None:
    page = enter()
    for path in ("/studio", "/studio/new", "/studio/people"):
        assert 0 < first_load(page, site.url(path)) <= FIRST_LOAD_MOST


def test_every_reason_of_the_gate_has_words() -> None:
    by_key = {code for code in GateCode if code.name.startswith(("DPOP", "USE_DPOP", "KEY_"))}  # other backends only
    for words in all_words("studio").values():
        for code in set(GateCode) - by_key:
            assert f"gate_{code}" in words, code
