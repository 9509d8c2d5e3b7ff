"""A person at "My likeness": what they see of their consent, and that each thing they do there happens, and is said."""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

import api
from api.auth import Role, create_person_token
from api.database import Database
from api.erasure import KEPT
from api.look_alike_index import prepare
from api.my_likeness import Openness, blocks, narrowing_to
from api.rendering import render_clip
from consent import terms as agreed
from consent.authority import SubjectAssurance
from consent.gate import GateCode
from consent.scope import ApprovalRule, Limits, Scope
from consent.terms import Purpose
from liveness.template import FaceTemplate, template
from tests.api import scripted
from tests.api.conftest import START, png, renderers
from tests.api.scripted import ALICE, BOB
from tests.api.test_authorities import granted
from tests.api.test_representatives import given
from tests.pages.conftest import FIRST_LOAD_MOST, Held, Site, first_load, looks_right

pytestmark = [pytest.mark.browser, pytest.mark.service]

Visit = Callable[..., Page]
AREA = Path(api.__file__).parent / "pages" / "words" / "my.toml"
WORDS: dict[str, dict[str, str]] = tomllib.loads(AREA.read_text(encoding="utf-8"))
LANGUAGES = ["en", "zh"]


class Told:
    """Somebody who said yes, and the page that they see of it."""

    def __init__(self, site: Site, visit: Visit, given: dict[str, Any] | None = None, **more: Any) -> None:
        self.site, self.visit, self.world = site, visit, site.world
        self.world.keys["backend"] = self.world.key(Role.BACKEND, "studio")
        self.given = self.world.consent(**more) if given is None else given
        self.consent_id = str(self.given["consent_id"])

    def at(self, path: str = "/my", language: str = "en") -> Page:
        """Signed in, at that page."""
        page = self.visit("/", language=language)
        answer = page.request.post(self.site.url("/v1/sign-in/with-token"), data={"token": self.given["manage_token"]})
        assert answer.ok, answer.text()
        page.goto(self.site.url(path))
        return page

    def state(self) -> dict[str, Any]:
        return dict(self.world.call("GET", f"/v1/consents/{self.consent_id}", "app").json())

    def asked(self, colour: tuple[int, int, int] = ALICE, **context: Any) -> dict[str, Any]:
        """A generator outside asks with this person's leave."""
        self.world.clock.move(60)
        photo = self.world.media(png(colour))
        return self.world.ask(
            tokens=[self.world.token(self.given)], media=[photo["media_id"]], context={"maker": "maple-films"} | context
        )

    def used(self) -> None:
        """It was allowed to, and began."""
        permit = self.asked()["context"]["permit"]
        redeemed = self.world.call(
            "POST", "/v1/permits/redeem", "backend", json={"permit": permit, "job_sha256": "ab" * 32}
        )
        assert redeemed.status_code == 200, redeemed.text

    def clip(self) -> str:
        """One was made here."""
        self.world.clock.move(60)
        token = self.world.token(self.given, audience="portrait")
        body = {"backend": "portrait", "tokens": [token], "script": "Hello.", "purpose": "digital_double"}
        answer = self.world.call("POST", "/v1/clips", "app", json=body)
        assert answer.status_code == 202, answer.text
        clip_id = str(answer.json()["clip_id"])
        assert render_clip(self.world.service, renderers(self.world.service), clip_id)
        return clip_id

    def shown_live_in(self, session_id: str) -> str:
        """They went through that check, wherever they did it."""
        world = self.world
        with world.service.database.transaction() as store:
            token = create_person_token(store, session_id=session_id, life=timedelta(minutes=5), now=world.clock())
        session = {"session_id": session_id, "client_token": token}
        challenge = world.challenge(session)
        recorded = f"live {','.join(map(str, ALICE))} {challenge['nonce']}".encode()
        assert world.capture(session, recorded).status_code == 202
        assert world.judge(challenge)
        return session_id

    def looked_at(self) -> None:
        self.world.clock.move(60)
        body = {"object": self.consent_id, "reason": "complaint about a clip", "ticket": "CASE-17"}
        assert self.world.call("POST", "/v1/audit/openings", "admin", json=body).status_code == 201


@pytest.fixture
def told(site: Site, visit: Visit) -> Callable[..., Told]:
    return lambda **more: Told(site, visit, **more)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


@contextmanager
def says(page: Page, language: str, what: str) -> Iterator[None]:
    """What is done here leads to a page that says what came of it, and whose address does not go on saying so."""
    with page.expect_navigation():
        yield
    expect(page.get_by_role("status").filter(has_text=WORDS[language][f"said_{what}"])).to_be_visible()
    until(lambda: "said" not in page.url)


def until(holds: Callable[[], Any], seconds: float = 15) -> None:
    """Asked again and again from here: a page's policy lets nobody evaluate strings in it."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it never happened"
        time.sleep(0.05)


# --- what is shown ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_at_a_glance(told: Callable[..., Told], language: str) -> None:
    somebody, words = told(), WORDS[language]
    page = somebody.at(language=language)
    expect(page.get_by_text(words["lately_none_title"])).to_be_visible()
    somebody.used()
    somebody.asked(BOB)  # refused: another face
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text(words["lead_everyone"])
    expect(page.get_by_text(words["try_refused_line"].format(backend="studio"))).to_be_visible()
    expect(page.get_by_role("img", name=words["face_alt"])).to_be_visible()
    assert page.evaluate("document.querySelector('.face').naturalWidth") > 0
    looks_right(page, f"my-{language}")


NAMED = {"controller": "Mien on this machine", "controller_contact": "its owner"}


@pytest.mark.parametrize("more_settings", [NAMED], indirect=True)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_record_is_sentences_and_the_words_are_exact(told: Callable[..., Told], language: str) -> None:
    somebody, words = (
        told(
            limits={
                "max_seconds": 30,
                "forbidden_words": ["lottery"],
                "forbidden_categories": ["politics"],
                "territories": ["DE", "FR"],
            },
            purposes=["cameo", "digital_double"],
        ),
        WORDS[language],
    )
    page = somebody.at("/my/record", language)
    main = page.get_by_role("main")
    expect(main).to_contain_text(words["fact_words"].format(names="lottery"))
    expect(main).to_contain_text({"en": "Germany, France", "zh": "德国、法国"}[language])
    expect(main).to_contain_text(somebody.site.settings.controller)
    terms = agreed.current("en")
    expect(main).to_contain_text(terms.sha256)
    looks_right(page, f"my-record-{language}")
    page.get_by_text(words["words_show"]).click()
    expect(page.locator(".terms")).to_contain_text("Your face, your consent")
    with page.expect_download() as download:
        page.get_by_role("link", name=words["words_file"]).click()
    assert hashlib.sha256(Path(download.value.path()).read_bytes()).hexdigest() == terms.sha256
    with page.expect_download() as download:
        press(page, words["receipt_button"])
    assert Path(download.value.path()).read_text().startswith("c2sp.org/tlog-proof")


def test_a_record_in_which_no_organisation_is_named_says_so(told: Callable[..., Told]) -> None:
    page = told().at("/my/record")
    expect(page.get_by_text(WORDS["en"]["fact_controller_nobody"])).to_be_visible()
    expect(page.get_by_role("main")).not_to_contain_text("not named")


def test_a_clip_is_watched_and_a_withdrawn_one_says_so(told: Callable[..., Told]) -> None:
    somebody, words = told(), WORDS["en"]
    page = somebody.at("/my/clips")
    expect(page.get_by_text(words["clips_none_title"])).to_be_visible()
    somebody.used()
    first = somebody.clip()
    somebody.clip()
    page.reload()
    expect(page.locator(".clip")).to_have_count(3)
    looks_right(page, "my-clips-en")
    page.locator(f"[data-clip={first}]").get_by_role("button", name=words["clip_play"]).click()
    until(lambda: page.evaluate("(document.querySelector('video')?.currentTime ?? 0) > 0.2"))
    assert page.evaluate("document.querySelector('video').src.startsWith('blob:')")
    somebody.world.call("POST", f"/v1/consents/{somebody.consent_id}/revoke", "app")
    press(page, words["clip_play"])  # of the other; the page is older than the withdrawal
    expect(page.get_by_text(words["s_error_consent_revoked"])).to_be_visible()
    page.reload()
    expect(page.get_by_text(words["clip_withdrawn_text"])).to_have_count(2)


def test_who_tried_and_was_refused_and_who_looked_are_shown(told: Callable[..., Told]) -> None:
    somebody = told()
    somebody.asked(BOB)
    page = somebody.at("/my/activity")
    refused = page.locator("[data-outcome=refused]")
    expect(refused).to_contain_text("Somebody tried to use your face through studio, and was refused")
    expect(refused).to_contain_text("There was a face of somebody whose leave was not shown.")
    assert somebody.consent_id not in refused.inner_text()
    page.get_by_role("link", name="Who looked").click()
    expect(page.locator("[data-look]")).to_have_text(re.compile("Somebody signed in as you"))
    somebody.looked_at()
    page.reload()
    look = page.locator("[data-look^=opening]")
    expect(look).to_contain_text("complaint about a clip")
    expect(look).to_contain_text("an administrator")
    looks_right(page, "my-looks-en")


def test_a_long_list_has_pages(told: Callable[..., Told]) -> None:
    somebody = told()
    for _ in range(22):
        somebody.asked(BOB)
    page = somebody.at("/my/activity")
    expect(page.locator(".event")).to_have_count(20)
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".event")).to_have_count(2)
    page.get_by_role("link", name="Back to the latest").click()
    expect(page.locator(".event")).to_have_count(20)


# --- what is done ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_request_is_shown_with_what_was_asked_and_approved_or_refused(
    told: Callable[..., Told], language: str
) -> None:
    somebody, words = told(approval="always"), WORDS[language]
    for number, script in enumerate(("Come to the harbour on Sunday.", "Buy this watch.")):
        answer = somebody.asked(
            script=script, job_sha256=f"{number}a" * 32, categories=["satire"], territories=["DE"], seconds=10
        )
        assert answer["decision"] is False
    page = somebody.at(language=language)
    expect(page.locator("article.request")).to_have_count(2)
    first = page.locator("article.request").filter(has_text="harbour")
    for part in ("maple-films", "studio", {"en": "Germany", "zh": "德国"}[language], words["purpose_digital_double"]):
        expect(first).to_contain_text(part)
    looks_right(page, f"my-requests-{language}")
    with says(page, language, "approved"):
        first.get_by_role("button", name=words["approve"]).click()
    with says(page, language, "refused"):
        page.locator("article.request").get_by_role("button", name=words["refuse"], exact=True).click()
    expect(page.locator("article.request")).to_have_count(0)
    path = f"/v1/consents/{somebody.consent_id}/requests"
    states = {
        one["details"]["script"]: one["state"]
        for one in somebody.world.call("GET", path, somebody.given["manage_token"]).json()["requests"]
    }
    assert states == {"Come to the harbour on Sunday.": "approved", "Buy this watch.": "refused"}
    with says(page, language, "refused"):
        page.get_by_role("button", name=words["answer_withdraw"]).click()


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_may_use_it_becomes_less_with_one_tap_and_more_only_with_a_live_check(
    told: Callable[..., Told], language: str
) -> None:
    somebody, words = told(), WORDS[language]
    page = somebody.at(language=language)
    with says(page, language, "narrowed"):
        page.get_by_role("button", name=words["who_approved"]).click()
    assert (somebody.state()["approval"], somebody.state()["makers"]) == ("always", ["*"])
    expect(page.get_by_role("heading", level=1)).to_have_text(words["lead_approved"])
    expect(page.get_by_role("link", name=words["who_everyone"])).to_contain_text(words["who_widen"])
    with says(page, language, "narrowed"):
        page.get_by_role("button", name=words["who_me"]).click()
    assert somebody.state()["makers"] == ["self"]
    assert page.locator("button.offer").count() == 0, "nothing is left to take away"


def test_all_of_it_with_the_keyboard_alone(told: Callable[..., Told]) -> None:
    somebody = told()
    page = somebody.at()

    def tab_to(name: str, most: int = 40) -> None:
        for _ in range(most):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.innerText.trim()") == name:
                return
        raise AssertionError(f"no way to {name!r} with the keyboard")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    tab_to("Pause everything")
    with says(page, "en", "paused"):
        page.keyboard.press("Enter")
    tab_to("Resume")
    with says(page, "en", "resumed"):
        page.keyboard.press("Space")
    tab_to("Take it back")
    page.keyboard.press("Enter")
    page.wait_for_url("**/my/take-back")
    tab_to("Take it back now")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("It is over")
    assert somebody.state()["state"] == "withdrawn"


@pytest.mark.parametrize("language", LANGUAGES)
def test_pausing_stops_everything_and_resuming_gives_it_back(told: Callable[..., Told], language: str) -> None:
    somebody, words = told(), WORDS[language]
    page = somebody.at(language=language)
    with says(page, language, "paused"):
        press(page, words["pause"])
    expect(page.get_by_role("heading", level=1)).to_have_text(words["lead_paused"])
    assert somebody.state()["suspended_by"] == ["subject"]
    looks_right(page, f"my-paused-{language}")
    with says(page, language, "resumed"):
        press(page, words["resume"])
    assert somebody.state()["state"] == "given"


def test_what_others_paused_is_theirs_to_resume(told: Callable[..., Told]) -> None:
    somebody = told()
    path = f"/v1/consents/{somebody.consent_id}/suspend"
    somebody.world.call("POST", path, "admin", json={"on_behalf_of": "authority"})
    page = somebody.at()
    expect(page.get_by_text("An authority had it paused.")).to_be_visible()
    expect(page.get_by_role("button", name="Resume")).to_have_count(0)
    somebody.world.call("POST", path, "app")
    page.reload()
    with says(page, "en", "resumed"):
        press(page, "Resume")
    assert somebody.state()["suspended_by"] == ["authority"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_taking_it_back_is_one_screen_and_shows_who_must_still_delete(told: Callable[..., Told], language: str) -> None:
    somebody, words = told(), WORDS[language]
    somebody.used()
    clip = somebody.clip()
    page = somebody.at(language=language)
    page.get_by_role("link", name=words["take_back"]).click()
    page.wait_for_url("**/my/take-back*")
    looks_right(page, f"my-take-back-{language}")
    with page.expect_navigation():
        press(page, words["end_button"])
    expect(page.get_by_role("heading", level=1)).to_have_text(words["end_done_title"])
    assert somebody.state()["state"] == "withdrawn"
    assert somebody.world.call("GET", f"/v1/clips/{clip}", "app").json()["state"] == "withdrawn"
    clock = page.locator("[data-purge=required] .clock")
    expect(clock).to_contain_text("47")
    before = clock.inner_text()
    until(lambda: clock.inner_text() != before)
    page.evaluate("document.querySelectorAll('.clock').forEach((e) => e.setAttribute('data-varies', ''))")
    looks_right(page, f"my-taken-back-{language}")
    (purge,) = somebody.world.call("GET", "/v1/purges", "backend").json()["purges"]
    done = {"assets_deleted": 2, "at": somebody.world.clock().isoformat()}
    somebody.world.call("POST", f"/v1/purges/{purge['purge_id']}/confirm", "backend", json=done)
    expect(page.locator("#purges [data-purge=confirmed]")).to_be_visible(timeout=12_000)  # it looks again by itself
    page.goto(somebody.site.url("/my"))
    expect(page.get_by_role("heading", level=1)).to_have_text(words["lead_ended"])
    expect(page.locator(".face")).to_have_count(0)


def test_every_choice_can_be_made_stricter(told: Callable[..., Told]) -> None:
    somebody = told(purposes=["cameo", "digital_double"])
    page = somebody.at("/my/choices")
    looks_right(page, "my-choices-en")
    with says(page, "en", "narrowed"):
        press(page, "Stop this: cameo")
    with says(page, "en", "narrowed"):
        press(page, "Take away: studio")
    press(page, "Make it stricter")
    expect(page.get_by_text("Nothing here is stricter than now.")).to_be_visible()
    page.get_by_label("Longest clip").fill("40")
    press(page, "Make it stricter")
    expect(page.get_by_text("Write a whole number")).to_be_visible()
    page.get_by_label("Longest clip").fill("12")
    page.get_by_label("How many clips in all").fill("5")
    page.get_by_label("Words your double must not say").fill("lottery\nguaranteed")
    page.get_by_label("Where clips may be shown").fill("de, fr")
    page.get_by_label("Last day").fill((START + timedelta(days=10)).strftime("%Y-%m-%d"))
    page.get_by_text("What no clip may be about").first.click()
    page.get_by_label("Politics").check()
    with says(page, "en", "narrowed"):
        press(page, "Make it stricter")
    state = somebody.state()
    assert state["purposes"] == ["digital_double"]
    assert state["audience"] == ["portrait"]
    assert state["limits"] == {
        "max_seconds": 12,
        "uses": 5,
        "forbidden_words": ["guaranteed", "lottery"],
        "forbidden_categories": ["politics"],
        "allowed_categories": None,
        "territories": ["DE", "FR"],
    }
    assert state["expires_at"].startswith((START + timedelta(days=10)).strftime("%Y-%m-%d"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_trying_out_answers_in_words_and_writes_nothing(told: Callable[..., Told], language: str) -> None:
    somebody, words = told(limits={"max_seconds": 30, "forbidden_words": ["lottery"]}), WORDS[language]
    page = somebody.at("/my/choices", language)
    answer = page.locator("#trial-answer")
    page.locator("#trial-purpose").select_option("digital_double")
    page.locator("#trial-backend").select_option("portrait")
    press(page, words["trial_ask"])
    expect(answer).to_contain_text(words["s_yes"])
    page.locator("#trial-script").fill("Win the lottery!")
    press(page, words["trial_ask"])
    expect(answer).to_contain_text(words["s_no"])
    expect(answer).to_contain_text(words["s_why_scope_limits"])
    page.locator("#trial-purpose").select_option("")
    page.locator("#trial-script").fill("")
    press(page, words["trial_ask"])
    expect(answer).to_contain_text(words["s_some"])
    expect(answer).to_contain_text(words["s_why_scope_purpose"])
    looks_right(page, f"my-trial-{language}")
    page.goto(somebody.site.url("/my/activity"))
    expect(page.get_by_text(words["lately_none_title"])).to_be_visible()


def test_everything_is_taken_along(told: Callable[..., Told]) -> None:
    somebody = told()
    somebody.clip()
    page = somebody.at("/my/data")
    with page.expect_download() as download:
        press(page, "Download my archive")
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as archive:
        assert {"README.md", "index.json", "attempts.json"} <= set(archive.namelist())
        assert any(name.startswith("clips/") for name in archive.namelist())
    expect(page.get_by_text("Your archive is downloading.")).to_be_visible()


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_is_deleted_once_the_word_is_typed(told: Callable[..., Told], language: str) -> None:
    somebody, words = told(), WORDS[language]
    page = somebody.at("/my/data", language)
    looks_right(page, f"my-data-{language}")
    press(page, words["delete_button"])
    expect(page.locator("#delete-fault")).to_have_text(words["s_type_word"].format(word=words["delete_word"]))
    assert somebody.state()["state"] == "given"
    page.locator("#delete-word").fill(words["delete_word"])
    press(page, words["delete_button"])
    expect(page.get_by_role("heading", level=1)).to_have_text(words["delete_done_title"])
    expect(page.get_by_text(words["kept_1_what"])).to_be_visible()
    looks_right(page, f"my-deleted-{language}")
    assert somebody.state()["state"] == "withdrawn"
    assert somebody.world.call("GET", "/v1/subject/uses", somebody.given["manage_token"]).status_code == 401


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_renewed_with_a_new_live_check_begun_on_the_page(told: Callable[..., Told], language: str) -> None:
    somebody, words = told(), WORDS[language]
    page = somebody.at("/my/choices", language)
    page.get_by_role("link", name=words["renew_button"]).click()
    page.wait_for_url("**/my/check*")
    with page.expect_navigation():
        press(page, words["check_start"])
    assert "/verify" in page.url
    session = json.loads(page.locator("#visit").inner_text())["session"]
    again = somebody.shown_live_in(session)
    page.goto(somebody.site.url(f"/my/check?for=time&session={again}"))
    expect(page.get_by_role("heading", level=1)).to_have_text(words["check_passed_title"])
    looks_right(page, f"my-renew-{language}")
    press(page, words["check_go_on"])
    expect(page.locator("#renew-fault")).to_have_text(words["s_agree_first"])
    page.get_by_label(words["check_agree"]).check()
    page.locator("#renew-until").fill("2028-06-30")
    with says(page, language, "renewed"):
        press(page, words["check_go_on"])
    assert somebody.state()["expires_at"].startswith("2028-06-30")
    assert somebody.state()["state"] == "renewed"


def test_a_check_of_somebody_else_renews_nothing(told: Callable[..., Told]) -> None:
    somebody = told()
    other = somebody.world.shown_live(BOB, "user-2")
    page = somebody.at(f"/my/check?for=time&session={other['session_id']}")
    expect(page.get_by_text("The check did not succeed, or is too long ago.")).to_be_visible()
    expect(page.locator("#renew-form")).to_have_count(0)


@pytest.fixture
def look_alikes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told of here: templates are as long as models make them, and the index is there."""
    narrow = scripted.colour_template

    def wide(colour: tuple[int, int, int]) -> FaceTemplate:
        short = narrow(colour)
        return template(np.concatenate([short.vector, np.zeros(508, np.float32)]), contract_id=short.contract_id)

    monkeypatch.setattr(scripted, "colour_template", wide)
    assert prepare(database.owner_url, memory_mb=256) is None


@pytest.mark.parametrize("more_settings", [{"look_alikes": True}], indirect=True)
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.usefixtures("look_alikes")
def test_being_told_of_look_alikes_is_switched_on_and_off(told: Callable[..., Told], language: str) -> None:
    somebody, words = told(), WORDS[language]
    page = somebody.at("/my/activity?show=alikes", language)
    expect(page.get_by_role("heading", name=words["alikes_off_title"])).to_be_visible()
    looks_right(page, f"my-alikes-{language}")
    with says(page, language, "alikes_on"):
        press(page, words["alikes_yes"])
    expect(page.get_by_role("heading", name=words["alikes_on_title"])).to_be_visible()
    agreed_now = somebody.world.call("GET", "/v1/subject/look-alikes", somebody.given["manage_token"]).json()
    assert agreed_now["agreed"]["said"] == "look_alikes.given"
    with says(page, language, "alikes_off"):
        press(page, words["alikes_no"])
    expect(page.get_by_role("heading", name=words["alikes_off_title"])).to_be_visible()


def test_where_look_alikes_are_not_told_of_it_says_so(told: Callable[..., Told]) -> None:
    page = told().at("/my/activity?show=alikes")
    expect(page.get_by_text("This service does not offer it at the moment.")).to_be_visible()
    expect(page.get_by_role("button", name="Yes, tell me")).to_have_count(0)


@pytest.mark.parametrize("more_settings", [{"minimum_assurance": SubjectAssurance.CURATED}], indirect=True)
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_was_given_for_another_is_shown_as_such(site: Site, visit: Visit, language: str) -> None:
    words = WORDS[language]
    somebody = Told(site, visit, given=given(site.world, granted(site.world), "son", BOB))
    page = somebody.at(language=language)
    expect(page.get_by_text(words["for_another"])).to_be_visible()
    expect(page.locator(".face")).to_have_count(0)
    looks_right(page, f"my-for-another-{language}")
    page.goto(site.url("/my/record"))
    expect(page.get_by_role("main")).to_contain_text(words["authority_heir"])
    page.goto(site.url("/my/data"))
    expect(page.get_by_role("button", name=words["delete_button"])).to_have_count(0)
    page.goto(site.url("/my/activity?show=looks"))
    expect(page.locator("[data-look]")).to_have_count(0)
    page.goto(site.url("/my"))
    with says(page, language, "paused"):
        press(page, words["pause"])
    assert somebody.state()["suspended_by"] == ["representative"]


def test_who_is_not_signed_in_signs_in_first(visit: Visit) -> None:
    page = visit("/my/clips")
    assert "/sign-in?next=%2Fmy%2Fclips" in page.url


def test_a_lost_connection_is_said_and_nothing_is_lost(told: Callable[..., Told]) -> None:
    somebody = told()
    page = somebody.at()
    page.context.set_offline(True)
    press(page, "Pause everything")
    expect(page.get_by_role("status").filter(has_text="No connection.")).to_be_visible()
    assert somebody.state()["state"] == "given"
    page.context.set_offline(False)
    with says(page, "en", "paused"):
        press(page, "Pause everything")


def test_what_is_pressed_before_the_scripts_are_there_is_done_once(told: Callable[..., Told]) -> None:
    somebody = told()
    page = somebody.at("/my/record")
    page.add_init_script("navigation.onnavigate = () => document.querySelector('[data-path$=suspend]')?.click()")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    scripts = Held(page, "**/my.js*")
    page.goto(somebody.site.url("/my"), wait_until="commit")
    pause = page.get_by_role("button", name="Pause everything")
    pause.click()
    expect(pause).to_have_attribute("aria-busy", "true")
    scripts.let_go()
    expect(page.get_by_role("status").filter(has_text=WORDS["en"]["said_paused"])).to_be_visible()
    assert somebody.state()["suspended_by"] == ["subject"]
    pauses = [url for url in asked if url.endswith("/suspend")]
    assert len(pauses) == 1, "it was pressed again while the next page was on its way"


def test_an_answer_to_what_was_asked_before_is_not_taken_for_one_to_this(told: Callable[..., Told]) -> None:
    somebody, words = told(), WORDS["en"]
    page = somebody.at("/my/choices")
    answer = page.locator("#trial-answer")
    slow = Held(page, "**/dry-run")
    press(page, words["trial_ask"])
    slow.asked()
    expect(answer).to_contain_text(words["s_asking"])
    page.locator("#trial-script").fill("Something else.")
    expect(answer).to_be_empty()
    slow.let_go()
    slow.heard()
    press(page, words["trial_ask"])
    expect(answer.locator(".notice[data-kind=good]")).to_be_visible()
    page.locator("#trial-seconds").fill("11")
    expect(answer).to_be_empty()


def test_the_other_language_keeps_what_was_written(told: Callable[..., Told]) -> None:
    page = told().at("/my/choices")
    page.get_by_label("Longest clip").fill("12")
    page.get_by_label("Words your double must not say").fill("lottery")
    page.get_by_text("What no clip may be about").first.click()
    page.get_by_label("Politics").check()
    page.locator("#trial-maker").select_option("me")
    page.get_by_role("link", name="简体中文").click()
    page.wait_for_url("**lang=zh")
    expect(page.locator("#max-seconds")).to_have_value("12")
    expect(page.locator("#words-not")).to_have_value("lottery")
    expect(page.locator("[name=category][value=politics]")).to_be_checked()
    expect(page.locator("#trial-maker")).to_have_value("me")
    assert page.evaluate("sessionStorage.length") == 0, "kept longer than for this page"


def test_several_consents_are_told_apart(told: Callable[..., Told]) -> None:
    somebody = told()
    somebody.world.clock.move(3600)
    other = somebody.world.consent(purposes=["cameo"])
    page = somebody.at()
    pills = page.get_by_role("navigation", name="Your consents").get_by_role("link")
    expect(pills).to_have_count(2)
    expect(pills.first).to_contain_text("cameo")
    looks_right(page, "my-several-en")
    pills.last.click()
    page.wait_for_url("**consent=*")
    with says(page, "en", "paused"):
        press(page, "Pause everything")
    assert somebody.state()["state"] == "suspended"
    untouched = somebody.world.call("GET", f"/v1/consents/{other['consent_id']}", "app").json()
    assert untouched["state"] == "given"


def test_nobody_sees_another_persons(told: Callable[..., Told]) -> None:
    somebody = told()
    stranger = somebody.world.consent(somebody.world.shown_live(BOB, "user-2"))
    page = somebody.at(f"/my?consent={stranger['consent_id']}")
    expect(page.get_by_role("heading", level=1)).to_have_text("This page cannot be shown")


def test_first_load_is_small(told: Callable[..., Told]) -> None:
    somebody = told()
    page = somebody.at("/my/record")
    for path in ("/my", "/my/record", "/my/choices"):
        loaded = first_load(page, somebody.site.url(path))
        assert 0 < loaded <= FIRST_LOAD_MOST, f"{path}: {loaded} bytes"


# --- without a browser -----------------------------------------------------------------------------------------------


def scope(**more: Any) -> Scope:
    whole: dict[str, Any] = {
        "purposes": (Purpose.CAMEO,),
        "audience": ("*",),
        "limits": Limits(max_seconds=10),
        "expires_at": START,
    }
    return Scope(**whole | more)


@pytest.mark.parametrize(
    ("makers", "approval", "now"),
    [
        (("*",), "never", Openness.EVERYONE),
        (("*",), "always", Openness.APPROVED),
        (("film-house",), "never", Openness.APPROVED),
        (("film-house", "self"), "always", Openness.APPROVED),
        (("self",), "always", Openness.ME),
        ((), "never", Openness.NOBODY),
    ],
)
def test_what_is_offered_with_one_tap_is_less_than_now(makers: tuple[str, ...], approval: str, now: Openness) -> None:
    before = scope(makers=makers, approval=ApprovalRule(approval))
    assert Openness.of(before) is now
    for wanted in Openness:
        change = narrowing_to(wanted, before)
        if change is None:
            continue
        after = scope(
            makers=tuple(change.get("makers", makers)), approval=ApprovalRule(change.get("approval", approval))
        )
        assert after.within(before)
        assert after != before


def test_all_words_of_the_terms_are_on_the_page() -> None:
    for terms in agreed.VERSIONS:
        shown = "".join(line for _, lines in blocks(terms.text) for line in lines)
        assert shown == "".join(
            line.removeprefix("## ").removeprefix("# ").removeprefix("- ") for line in terms.text.splitlines()
        )


def test_what_is_kept_after_deleting_is_said_as_the_api_says_it() -> None:
    for number, told_of in enumerate(KEPT):
        assert tuple(WORDS["en"][f"kept_{number}_{part}"] for part in ("what", "why", "until")) == told_of
        assert all(WORDS["zh"][f"kept_{number}_{part}"] for part in ("what", "why", "until"))
    assert f"kept_{len(KEPT)}_what" not in WORDS["en"]


def test_every_reason_of_a_dry_run_has_words() -> None:
    """Those that :func:`consent.gate.what_would_be_allowed` gives: of the record, and not of tokens, keys or faces."""
    given = {
        *(GateCode.REVOKED, GateCode.SUSPENDED, GateCode.EXPIRED, GateCode.NOT_YET_VALID, GateCode.SCOPE_PURPOSE),
        *(GateCode.SCOPE_AUDIENCE, GateCode.SCOPE_MAKER, GateCode.SCOPE_LIMITS, GateCode.SCOPE_CONTENT),
        *(GateCode.SCOPE_TERRITORY, GateCode.APPROVAL_NEEDED, GateCode.APPROVAL_REFUSED, GateCode.ASSURANCE_TOO_LOW),
        *(GateCode.AUTHORITY_INVALID, GateCode.GATE_ERROR),
    }
    assert [code for code in given if f"s_why_{code.value}" not in WORDS["en"]] == []
