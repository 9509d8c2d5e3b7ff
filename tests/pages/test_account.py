"""Signing in, the first browser, passkeys and sign-ins, with the virtual authenticator of Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from api.browser_sessions import new_start_code
from tests.api.scripted import BOB
from tests.pages.conftest import FIRST_LOAD_MOST, Held, Site, first_load, looks_right

pytestmark = [pytest.mark.browser, pytest.mark.service]

Visit = Callable[..., Page]


def with_authenticator(page: Page) -> None:
    """A phone that knows its owner, in place of the page's own."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def call(page: Page, path: str, body: dict[str, Any]) -> int:
    """As a script of ours calls the API."""
    asked = "async ([path, body]) => (await fetch(path, {method: 'POST', body: JSON.stringify(body), "
    asked += "headers: {'Content-Type': 'application/json'}})).status"
    return int(page.evaluate(asked, [path, body]))


def as_person(page: Page, site: Site, **more: Any) -> dict[str, Any]:
    consent = site.world.consent(site.world.shown_live(**more)) if more else site.world.consent()
    assert call(page, "/v1/sign-in/with-token", {"token": consent["manage_token"]}) == 200
    return consent


# --- signing in ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_two_doors(visit: Visit, language: str) -> None:
    page = visit("/sign-in", language=language)
    looks_right(page, f"sign-in-{language}")
    page.locator("#with-key > summary").click()
    page.locator("section details").first.locator("summary").click()
    looks_right(page, f"sign-in-open-{language}")


def test_whoever_was_on_the_way_to_work_finds_that_door_first(visit: Visit) -> None:
    page = visit("/sign-in?next=/console&why=role")
    expect(page.get_by_role("heading", level=2).first).to_have_text("I work here")
    expect(page.locator(".notice")).to_contain_text("another role")
    looks_right(page, "sign-in-work-en")


def test_first_load_is_small(visit: Visit, site: Site) -> None:
    page = visit("/sign-in")
    for path in ("/sign-in", "/start"):
        assert 0 < first_load(page, site.url(path)) <= FIRST_LOAD_MOST / 3


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_auditor_comes_with_the_key_makes_a_passkey_and_needs_the_key_no_more(
    visit: Visit, site: Site, language: str
) -> None:
    page = visit("/sign-in?next=/console/search", language=language)
    with_authenticator(page)
    page.locator("#with-key > summary").click()
    page.locator("#key").fill("mien_auditor_" + "A" * 43)
    page.locator("#key").press("Enter")
    expect(page.locator("#status")).to_contain_text({"en": "That key is not known", "zh": "密钥不存在"}[language])
    looks_right(page, f"sign-in-wrong-key-{language}")
    page.locator("#key").fill(site.world.keys["auditor"])
    page.locator("#key").press("Enter")
    expect(page.locator("#make-title")).to_be_focused()
    expect(page.locator("#make-later")).to_be_hidden()
    looks_right(page, f"make-passkey-{language}")
    page.locator("#make-form button").click()
    page.wait_for_url(site.url("/console/search"))
    page.goto(site.url("/account"))
    page.locator("[data-end-here]").click()
    page.wait_for_url(site.url("/sign-in"))
    page.locator("[data-passkey=staff]").click()
    page.wait_for_url(site.url("/console"))
    assert site.world.keys["auditor"] not in page.evaluate(
        "JSON.stringify([localStorage, sessionStorage, document.cookie])"
    )


def test_with_an_apps_key_the_passkey_can_wait(visit: Visit, site: Site) -> None:
    page = visit("/sign-in?next=/studio/people")
    with_authenticator(page)
    page.locator("#with-key > summary").click()
    page.locator("#key").fill(f"  {site.world.keys['app']} ")
    page.locator("#key-form button").click()
    page.get_by_role("link", name="Not now").click()
    page.wait_for_url(site.url("/studio/people"))


def test_a_device_without_a_passkey_is_told_what_to_do(visit: Visit) -> None:
    page = visit("/sign-in")
    with_authenticator(page)
    page.locator("[data-passkey=person]").click()
    expect(page.locator("#status")).to_contain_text("this device has no passkey")
    looks_right(page, "sign-in-none-en")


def test_a_person_comes_back_with_a_touch_to_where_they_were_going(visit: Visit, site: Site) -> None:
    page = visit("/sign-in")
    with_authenticator(page)
    as_person(page, site)
    page.goto(site.url("/account"))
    page.locator("[data-add]").click()
    page.locator("dialog[data-adding] button[value=yes]").click()
    expect(page.locator("[data-passkeys] .status")).to_contain_text("The passkey is there")
    page.locator("[data-end-here]").click()
    page.wait_for_url(site.url("/sign-in"))
    page.goto(site.url("/account?lang=en"))
    assert page.url == site.url("/sign-in?next=%2Faccount%3Flang%3Den")
    page.locator("[data-passkey=staff]").click()  # whose passkey it is, it says itself
    page.wait_for_url(site.url("/my"))
    page.goto(site.url("/account"))
    expect(page.locator(".badge").first).to_have_text("Used here")


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_nobody_is_led_to_another_site(visit: Visit, site: Site, to: str) -> None:
    page = visit("/sign-in")
    with_authenticator(page)
    as_person(page, site)
    page.goto(site.url("/account"))
    page.locator("[data-add]").click()
    page.locator("dialog[data-adding] button[value=yes]").click()
    expect(page.locator("[data-passkeys] .status")).to_contain_text("The passkey is there")
    page.goto(site.url(f"/sign-in?next={to}"))
    page.locator("[data-passkey=person]").click()
    page.wait_for_url(site.url("/my"))
    assert page.url == site.url("/my")


def test_who_comes_by_a_link_from_elsewhere_and_is_signed_in_is_sent_on(visit: Visit, site: Site) -> None:
    page = visit("/sign-in")
    as_person(page, site)
    page.goto(site.url("/sign-in?next=/my"), wait_until="commit")
    page.wait_for_url(site.url("/my"))


# --- the first browser -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_address_of_the_first_start_opens_the_studio_once(visit: Visit, site: Site, language: str) -> None:
    code = new_start_code(site.world.service)
    page = visit(f"/start/{code}", language=language, until="commit")
    page.wait_for_url(site.url("/studio"))
    page.goto(site.url(f"/start/{code}"), wait_until="commit")
    page.wait_for_url(site.url("/studio"))  # the same browser, again
    other = visit(f"/start/{code}", language=language)
    expect(other.locator("#over-title")).to_be_focused()
    assert other.url == site.url("/start"), "the code does not stay in the address"
    looks_right(other, f"start-over-{language}")


# --- passkeys and sign-ins -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_person_looks_after_their_passkeys_and_sign_ins(visit: Visit, site: Site, language: str) -> None:
    page = visit("/sign-in", language=language)
    with_authenticator(page)
    consent = as_person(page, site)
    page.goto(site.url("/account"))
    expect(page.locator("[data-passkeys] .empty")).to_be_visible()
    expect(page.locator("[data-sessions] .entry")).to_have_count(1)
    looks_right(page, f"account-empty-{language}")
    page.locator("[data-add]").click()
    field = page.locator("dialog[data-adding] input")
    assert re.search("Chrom", field.input_value())
    looks_right(page, f"account-adding-{language}")
    field.fill("")
    page.locator("dialog[data-adding] button[value=yes]").click()
    expect(field).to_be_visible()  # a name is needed
    field.fill({"en": "My phone", "zh": "我的手机"}[language])
    page.locator("dialog[data-adding] button[value=yes]").click()
    expect(page.locator("[data-passkeys] .entry-name")).to_have_text({"en": "My phone", "zh": "我的手机"}[language])
    other = visit("/sign-in", language=language, user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Firefox/150.0")
    assert call(other, "/v1/sign-in/with-token", {"token": consent["manage_token"]}) == 200
    page.reload()
    expect(page.locator("[data-passkeys] .entry")).to_have_count(1)
    expect(page.locator("[data-sessions] .entry")).to_have_count(2)
    looks_right(page, f"account-{language}")
    page.locator("[data-sessions] .entry .button").click()
    expect(page.locator("[data-sessions] .entry")).to_have_count(1)
    other.goto(site.url("/account"))
    assert "/sign-in?next=" in other.url
    page.locator("[data-passkeys] .entry .button").click()
    looks_right(page, f"account-removing-{language}")
    page.locator("dialog[data-removing] button[value=no]").click()
    expect(page.locator("[data-passkeys] .entry")).to_have_count(1)
    page.locator("[data-passkeys] .entry .button").click()
    page.locator("dialog[data-removing] button[value=yes]").click()
    expect(page.locator("[data-passkeys] .empty")).to_be_visible()


def test_a_device_that_has_one_already_says_so(visit: Visit, site: Site) -> None:
    page = visit("/sign-in")
    with_authenticator(page)
    as_person(page, site)
    page.goto(site.url("/account"))
    for said in ("The passkey is there", "This device has a passkey for you already"):
        page.locator("[data-add]").click()
        page.locator("dialog[data-adding] input").fill("<b>Phone</b>")
        page.locator("dialog[data-adding] button[value=yes]").click()
        expect(page.locator("[data-passkeys] .status")).to_contain_text(said)
    expect(page.locator("[data-passkeys] .entry-name")).to_have_text("<b>Phone</b>")


def test_lost_network_is_said_and_nothing_is_lost(visit: Visit, site: Site) -> None:
    page = visit("/sign-in")
    with_authenticator(page)
    as_person(page, site)
    page.goto(site.url("/account"))
    expect(page.locator("[data-passkeys] .empty")).to_be_visible()
    page.context.set_offline(True)
    page.locator("[data-add]").click()
    page.locator("dialog[data-adding] button[value=yes]").click()
    expect(page.locator("[data-passkeys] .status")).to_contain_text("No connection")
    page.context.set_offline(False)


def test_a_key_that_is_sent_before_the_scripts_are_there_opens_the_door(visit: Visit, site: Site) -> None:
    page = visit("/healthz")
    scripts = Held(page, "**/sign-in.js*")
    page.goto(site.url("/sign-in?next=/studio"), wait_until="commit")
    page.locator("#with-key > summary").click()
    page.locator("#key").fill(site.world.keys["app"])
    page.locator("#key").press("Enter")
    expect(page.locator("#key-form button")).to_have_attribute("aria-busy", "true")
    scripts.let_go()
    page.get_by_role("link", name="Not now").click()
    page.wait_for_url(site.url("/studio"))


def test_with_the_keyboard_alone(visit: Visit, site: Site) -> None:
    page = visit("/sign-in?next=/studio")
    with_authenticator(page)
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type(site.world.keys["app"])
    page.keyboard.press("Enter")
    expect(page.locator("#make-title")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(site.url("/studio"))
    assert site.world.call("GET", "/v1/passkeys").status_code == 401


def test_two_people_at_one_browser_are_the_one_who_came_last(visit: Visit, site: Site) -> None:
    page = visit("/sign-in")
    as_person(page, site)
    second = as_person(page, site, colour=BOB, subject_ref="user-2")
    here = "fetch('/v1/browser-sessions/here', {headers: {'Mien-Session': 'person'}}).then(a => a.json())"
    assert page.evaluate(here)["consents"] == [second["consent_id"]]
