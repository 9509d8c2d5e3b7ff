"""The audit console as auditors and admins use it: in two languages, by two people where it takes two, also by keyboard."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request, Response
from playwright.sync_api import Page, expect

from api import charts
from api.audit_events import AuditAction
from api.auth import Role
from api.browser_sessions import Began, NewSession, begin
from api.evidence import verify_evidence_file
from api.pages import all_words
from consent.authority_case import CaseStage
from consent.gate import GateCode
from tests.api.conftest import World, png
from tests.api.receiver import receiver
from tests.api.scripted import ALICE, BOB
from tests.api.test_authorities import begun, complete
from tests.api.test_consents import revoke
from tests.api.test_gate import permitted, redeem
from tests.api.test_purges import confirm, owed
from tests.api.test_verification import alter
from tests.api.test_webhooks import deliver_all, listen, used
from tests.pages.conftest import FIRST_LOAD_MOST, Held, Site, first_load, looks_right

pytestmark = [pytest.mark.browser, pytest.mark.service]

Visit = Callable[..., Page]


@pytest.fixture
def world(site: Site) -> World:
    """The service with a generator of the name that consents here are for."""
    site.world.keys["backend"] = site.world.key(Role.BACKEND, "studio")
    return site.world


def signed_in(site: Site, secret: str) -> dict[str, Any]:
    """The cookie of a browser at which the holder of this key has signed in with a passkey."""
    service, answer = site.world.service, Response()
    request = Request(
        {
            "type": "http",
            "method": "POST",
            "path": "/",
            "headers": [(b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0.0.0")],
        }
    )
    with service.database.transaction() as store:
        key = store.api_key(hashlib.sha256(secret.encode()).digest())
        begin(service, store, request, answer, NewSession(began=Began.PASSKEY, key=key), now=service.now())
    name, _, rest = answer.headers["set-cookie"].partition("=")
    return {"name": name, "value": rest.partition(";")[0], "url": site.origin, "httpOnly": True, "sameSite": "Strict"}


@pytest.fixture
def staff(site: Site, visit: Visit) -> Callable[..., Page]:
    """``staff(path, who="auditor")`` opens a page of the console as somebody who is signed in; each is another browser."""

    def go(path: str, who: str = "auditor", **more: Any) -> Page:
        page = visit("/healthz", **more)
        page.context.add_cookies([signed_in(site, site.world.keys.get(who, who))])  # type: ignore[list-item]
        page.goto(site.url(path))
        return page

    return go


def busy_day(world: World) -> dict[str, Any]:
    """A consent that was used, questions that were refused for this and that; gives the consent."""
    consent, permit = permitted(world)
    redeem(world, permit)
    world.clock.move(60)
    photo = world.media(png(BOB))
    world.ask(tokens=[world.token(consent)], media=[photo["media_id"]])
    world.ask(tokens=[world.token(consent)], media=[photo["media_id"]])
    world.ask(tokens=[])
    world.clock.move(60)
    return consent


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_overview_shows_the_books_and_why_the_gate_refused(world: World, staff: Any, language: str) -> None:
    busy_day(world)
    page = staff("/console", language=language)
    books = page.locator("#live-books")
    numbers = [int(text.replace(",", "")) for text in books.locator(".sum dd").all_inner_texts()]
    assert numbers == [4, 1, 3, 0]
    assert books.locator(".tiles dd").first.inner_text() == "0"
    bars = page.locator("#live-reasons li")
    assert bars.count() >= 3  # each with its words and its number beside the drawing
    assert all(re.search(r"\S+.*\d", text, re.S) for text in bars.all_inner_texts())
    looks_right(page, f"console-overview-{language}")


def test_there_is_a_way_to_the_account_and_out(world: World, site: Site, staff: Any) -> None:
    page = staff("/console/keys")
    page.get_by_role("link", name="Account", exact=True).click()
    expect(page.get_by_role("heading", name="Your passkeys")).to_be_visible()
    page.get_by_role("link", name="Back").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(site.url("/sign-in"))
    page.goto(site.url("/console"))
    page.wait_for_url(re.compile("/sign-in"))


def test_the_overview_renews_itself_and_stands_still_when_told_to(world: World, site: Site, staff: Any) -> None:
    page = staff("/healthz")
    page.clock.install()
    page.goto(site.url("/console"))
    permits = page.locator(".sum dd").nth(1)
    expect(permits).to_have_text("0")
    permitted(world)
    page.clock.run_for(5_000)
    expect(permits).to_have_text("1")
    on_the_way = Held(page, "**/console")
    page.clock.run_for(5_000)
    on_the_way.asked()
    permitted(world)
    pause = page.get_by_role("button", name="Pause updates")
    pause.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Resume updates")).to_have_attribute("aria-pressed", "true")
    on_the_way.let_go()
    on_the_way.heard()
    page.clock.run_for(20_000)
    expect(permits).to_have_text("1")
    page.get_by_role("button", name="Resume updates").click()
    expect(permits).to_have_text("2")


def measured(errors: int, tries: int, upper: float) -> dict[str, Any]:
    return {"errors": errors, "tries": tries, "rate": errors / tries, "upper95": upper}


def evaluation(policy: str) -> dict[str, Any]:
    """As ``mien evaluate --json`` writes it. Figures of no measurement: they are there to be found again on the page."""
    return {
        "measured_at": "2027-02-20T09:00:00+00:00",
        "policy": policy,
        "presentation_attacks": {
            "policy": policy.partition("@")[0],
            "people": 10,
            "species": [
                {"species": "flat_print", "policy": "strict", "apcer": measured(0, 150, 0.0198)},
                {"species": "screen_replay", "policy": "strict", "apcer": measured(17, 150, 0.1651)},
            ],
            "genuine": {"bpcer": measured(3, 150, 0.0509)},
        },
    }


def test_error_rates_are_those_of_the_file_and_never_invented(world: World, staff: Any, tmp_path: Path) -> None:
    page = staff("/console")
    rates = page.locator("#live-rates")
    assert "No evaluation on record" in rates.inner_text()
    file = tmp_path / "evaluation.json"
    object.__setattr__(world.service.settings, "evaluation", file)
    for content in (
        "",
        "[]",
        '{"presentation_attacks": {}}',
        json.dumps(evaluation("strict@1") | {"measured_at": "x"}),
    ):
        file.write_text(content)
        page.reload()
        assert "holds no evaluation" in rates.inner_text()
    running = re.search(r"strict@\S+", rates.inner_text())
    assert running is not None
    file.write_text(json.dumps(evaluation("strict@1")))
    page.reload()
    assert "not under the policy that runs now" in rates.inner_text()
    file.write_text(json.dumps(evaluation(running[0])))
    page.reload()
    rows = [" ".join(text.split()) for text in rates.locator("li").all_inner_texts()]
    assert rows == [
        "People refused (BPCER) 3 of 150 · 2.0 %, at most 5.1 %",
        "Got in: screen_replay 17 of 150 · 11.3 %, at most 16.5 %",
        "Got in: flat_print 0 of 150 · 0.0 %, at most 2.0 %",
    ]
    looks_right(page, "console-rates-en")


# --- search ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_search_is_asked_for_kept_and_found_again(world: World, staff: Any, language: str) -> None:
    busy_day(world)
    go, save = {"en": ("Search", "Save"), "zh": ("查询", "保存")}[language]
    page = staff("/console/search", language=language)
    looks = "/v1/audit/search?kind=event&action=audit:search:run"
    assert len(world.call("GET", looks, "admin").json()["results"]) == 0  # nothing is read before it is asked for
    looks_right(page, f"console-search-empty-{language}")
    page.locator("#f-kind").select_option("attempt")
    page.locator("#f-state").select_option("refusal")
    page.locator("#f-backend").fill("studio")
    page.keyboard.press("Enter")
    page.wait_for_url("**go=1")
    found = page.locator(".happening")
    expect(found).to_have_count(3)
    page.locator("#view-name").fill("refused-by-studio")
    page.get_by_role("button", name=save, exact=True).click()
    expect(page.locator("#status .notice")).to_be_visible()
    looks_right(page, f"console-search-{language}")
    page.goto(page.url.partition("?")[0])
    page.get_by_role("link", name="refused-by-studio").click()
    expect(found).to_have_count(3)
    assert page.locator("#f-state").input_value() == "refusal"
    page.get_by_role("button", name=re.compile("refused-by-studio")).click()
    expect(page.get_by_role("link", name="refused-by-studio")).to_have_count(0)
    assert page.get_by_role("button", name=go, exact=True).is_enabled()


def test_pages_of_a_search_go_on_and_what_cannot_be_searched_is_said_at_its_field(
    world: World, site: Site, staff: Any
) -> None:
    for _ in range(35):
        world.ask(tokens=[])
    page = staff("/console/search?kind=attempt&go=1")
    expect(page.locator(".happening")).to_have_count(30)
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".happening")).to_have_count(5)
    page.goto(page.url.partition("?")[0] + "?subject=somebody&go=1")
    fault = page.locator("#x-subject")
    expect(fault).to_have_text("An id starts with sub_ and has 32 letters and digits.")
    expect(page.locator("#f-subject")).to_have_attribute("aria-invalid", "true")
    page.goto(page.url.partition("?")[0] + "?go=1&cursor=nonsense")
    expect(page.get_by_role("alert")).to_be_visible()
    page.goto(site.url("/console/people/somebody"))
    expect(page.get_by_text("There is nothing here")).to_be_visible()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_persons_timeline(world: World, staff: Any, language: str) -> None:
    consent = busy_day(world)
    record = staff(f"/console/records/{consent['consent_id']}", language=language)
    record.locator("a[href^='/console/people/']").first.click()
    record.wait_for_url("**/console/people/**")
    assert record.locator(".happening[data-kind=consent_event]").count() == 1
    assert record.locator(".happening[data-kind=verdict]").count() == 1
    looks_right(record, f"console-person-{language}")


# --- one record ------------------------------------------------------------------------------------------------------


def verified(page: Page) -> dict[str, str | None]:
    page.get_by_role("button", name=re.compile("^(Verify now|立即验证)$")).click()
    expect(page.locator("#verdict .notice[data-kind=good], #verdict .notice[data-kind=bad]")).to_be_visible()
    steps = page.locator("[data-step]")
    return {
        str(steps.nth(n).get_attribute("data-step")): steps.nth(n).get_attribute("data-kind")
        for n in range(steps.count())
    }


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_record_is_verified_step_by_step(world: World, staff: Any, language: str) -> None:
    consent = busy_day(world)
    page = staff(f"/console/records/{consent['consent_id']}", "admin", language=language)
    looks_right(page, f"console-record-{language}")
    found = verified(page)
    good = dict.fromkeys(["signature", "entries", "inclusion", "consistency", "status_list"], "good")
    assert found == good | {"log": None, "consistency": "plain"}  # nothing was signed before
    revoke(world, consent)
    assert verified(page) == good | {"log": None}  # against what this browser remembers
    said = page.locator("[data-step=consistency]").inner_text()
    assert {"en": "what this browser saw last", "zh": "此浏览器上次所见"}[language] in said
    page.locator("#verify-all").click()
    expect(page.locator("[data-step=log]")).to_have_attribute("data-kind", "good", timeout=15_000)
    looks_right(page, f"console-verified-{language}")


def test_a_tampered_record_says_which_step_fails(world: World, staff: Any) -> None:
    consent = busy_day(world)
    page = staff(f"/console/records/{consent['consent_id']}")
    verified(page)
    alter(world, "UPDATE ledger_entries SET digest = repeat('0', 64) WHERE kind = 'consent.granted'")
    found = verified(page)
    assert [name for name, kind in found.items() if kind == "bad"] == ["entries", "inclusion"]
    expect(page.locator("#verdict")).to_contain_text("Failed: Entries, Inclusion.")
    looks_right(page, "console-tampered-en")
    alter(world, "UPDATE consent_events SET body = 'x'")
    page.reload()
    expect(page.get_by_role("alert").first).to_contain_text("altered")
    assert verified(page)["signature"] == "bad"


def test_the_evidence_pack_is_taken_from_the_page_and_that_is_told(world: World, staff: Any, tmp_path: Path) -> None:
    consent = busy_day(world)
    page = staff(f"/console/records/{consent['consent_id']}")
    with page.expect_download() as started:
        page.get_by_role("link", name="Evidence pack").click()
    file = tmp_path / "pack.json"
    started.value.save_as(file)
    assert verify_evidence_file(file, keys=None, settings=world.service.settings)["valid"]
    looks = world.call("GET", "/v1/subject/admin-views", consent["manage_token"]).json()["results"]
    assert {"audit:evidence:exported", "audit:consent:read"} <= {one["action"] for one in looks}


def test_of_somebody_who_had_everything_deleted_the_page_says_what_is_left(world: World, staff: Any) -> None:
    consent = busy_day(world)
    assert world.call("DELETE", "/v1/subject", consent["manage_token"]).status_code == 200
    page = staff(f"/console/records/{consent['consent_id']}")
    expect(page.get_by_role("link", name="Evidence pack")).to_have_count(0)
    found = verified(page)
    assert (found["signature"], found["entries"], found["inclusion"]) == ("good", "plain", "good")
    page.locator("a[href^='/console/checks/']").click()
    expect(page.get_by_text("deleted with the person's data")).to_be_visible()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_check_of_a_live_check_stands_in_words_beside_its_drawing(
    world: World, staff: Any, language: str
) -> None:
    session = world.session()
    challenge = world.challenge(session)
    assert world.capture(session, f"fail turn_missing {challenge['nonce']}".encode()).status_code == 202
    assert world.judge(challenge)
    page = staff(f"/console/checks/{session['session_id']}", "admin", language=language)
    row = page.locator(".checks li").first.inner_text()
    assert re.search(r"12\.5.*25 deg", row, re.S)
    assert page.locator("h2.verdict").get_attribute("data-kind") == "bad"
    looks_right(page, f"console-check-{language}")


# --- two people ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_portrait_is_opened_by_two_admins_and_the_person_is_told(world: World, staff: Any, language: str) -> None:
    consent = world.consent()
    second = world.key(Role.ADMIN, "admin-two")
    one = staff(f"/console/records/{consent['consent_id']}", "admin", language=language)
    one.get_by_text({"en": "Ask to see the portrait", "zh": "申请查看肖像"}[language]).click()
    one.get_by_label({"en": "Why you must look", "zh": "查看理由"}[language]).fill("Complaint: this is somebody else")
    one.get_by_label({"en": "Ticket", "zh": "工单号"}[language]).fill("CASE-17")
    one.get_by_role("button", name={"en": "Ask a second admin", "zh": "请另一位管理员批准"}[language]).click()
    expect(one.locator("#status .notice")).to_have_attribute("data-kind", "good")
    one.locator("#status a").click()
    one.wait_for_url("**/console/openings")
    expect(one.get_by_role("button", name=re.compile("^(Approve|批准)$"))).to_have_count(0)  # not by who asked

    two = staff("/console/openings", second, language=language)
    looks_right(two, f"console-openings-{language}")
    two.get_by_role("button", name=re.compile("^(Approve|批准)$")).click()
    expect(two.locator("#status .notice")).to_have_attribute("data-kind", "good")
    expect(two.locator("[data-look]")).to_have_count(0)  # not by who approved

    one.reload()
    expect(one.locator(".countdown")).to_have_text(re.compile(r"^1[45]:\d\d$"))
    one.locator("[data-look]").click()
    expect(one.locator("#media img")).to_have_js_property("naturalWidth", 64)
    looks_right(one, f"console-looking-{language}")
    told = world.call("GET", "/v1/subject/admin-views", consent["manage_token"]).json()["results"]
    steps = ("requested", "approved", "viewed")
    assert {look["action"] for look in told} >= {f"opening:media:{step}" for step in steps}


def test_a_legal_hold_is_put_by_the_other_admin(world: World, staff: Any) -> None:
    consent = world.consent()
    second = world.key(Role.ADMIN, "admin-two")
    body = {"object": consent["consent_id"], "reason": "complaint about a clip", "ticket": "CASE-17"}
    assert world.call("POST", "/v1/audit/openings", "admin", json=body).status_code == 201
    page = staff("/console/openings", second)
    page.get_by_text("Put off telling, by law").click()
    page.get_by_label("Until (UTC)").fill("2027-03-05T12:00")
    page.get_by_label("Law or order").fill("Court order 17 O 3/27")
    page.get_by_label("Ticket").fill("CASE-17")
    page.get_by_role("button", name="Put off telling").click()
    expect(page.locator("#status .notice")).to_have_attribute("data-kind", "good")
    (opening,) = world.call("GET", "/v1/audit/openings", "admin").json()["openings"]
    assert opening["held_until"].startswith("2027-03-05T12:00")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_claim_is_reviewed_by_two(world: World, staff: Any, language: str) -> None:
    path = begun(world)
    complete(world, path)
    second = world.key(Role.ADMIN, "admin-two")
    one = staff("/console", "admin", language=language)
    one.locator("#live-waiting a").first.click()
    one.wait_for_url("**/console/claims?stage=documents")
    looks_right(one, f"console-claims-{language}")
    one.locator(".happening a").first.click()
    one.wait_for_url("**/console/claims/ath_*")
    one.locator("[data-open]").nth(2).click()
    expect(one.locator("#media img")).to_be_visible()
    assert world.call("GET", f"{path}/events", "app").json()["events"][-1]["step"] == "file_opened"
    looks_right(one, f"console-claim-{language}")
    approve = re.compile("^(Approve|批准)$")
    one.get_by_role("button", name=approve).click()  # without saying which photographs show them
    expect(one.locator("#status .notice")).to_have_attribute("data-kind", "bad")
    for page in (one, staff(f"/console/claims/{path.rpartition('/')[2]}", second, language=language)):
        for box in page.get_by_role("checkbox").all():
            box.check()
        page.get_by_role("button", name=approve).click()
        expect(page.locator("#status .notice")).to_have_attribute("data-kind", "good")
        expect(page.get_by_role("button", name=approve)).to_have_count(0)
    assert world.call("GET", path, "app").json()["stage"] == "objection_window"


def test_an_auditor_reads_a_claim_and_decides_nothing(world: World, staff: Any) -> None:
    path = begun(world)
    complete(world, path)
    page = staff(f"/console/claims/{path.rpartition('/')[2]}")
    expect(page.locator("[data-open]")).to_have_count(0)
    expect(page.get_by_text("Only admins review.")).to_be_visible()
    page.goto(page.url.rpartition("/claims/")[0] + "/openings")
    assert "/sign-in?next=%2Fconsole%2Fopenings&why=role" in page.url


# --- generators, keys, people ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_generator_that_owes_a_deletion_is_let_work_again_with_a_reason(
    world: World, staff: Any, language: str
) -> None:
    for colour, name in ((ALICE, "user-1"), (BOB, "user-2")):
        consent = world.consent(world.shown_live(colour, name))
        used(world, consent, colour)
        revoke(world, consent)
    (first, _) = owed(world)
    assert confirm(world, first["purge_id"]).status_code == 200
    world.clock.move(48 * 3600)
    page = staff("/console/backends", "admin", language=language)
    blocked = page.locator("[data-blocked=studio]")
    expect(blocked).to_be_visible()
    looks_right(page, f"console-backends-{language}")
    blocked.locator("summary").click()
    blocked.get_by_role("textbox").fill("Their auditor's letter of today")
    blocked.get_by_role("button").click()
    expect(page.locator("#status .notice")).to_have_attribute("data-kind", "good")
    expect(blocked).to_have_count(0)
    assert [purge["state"] for purge in owed(world)] == ["excused"]


def test_a_message_that_never_arrived_is_sent_again(world: World, staff: Any) -> None:
    object.__setattr__(world.service.settings, "webhook_loopback", True)
    with receiver() as hook:
        listen(world, "app", hook.url, ["consent.granted"])
        hook.answer = 410
        world.consent()
        deliver_all(world)
        page = staff("/console/backends", "admin")
        page.get_by_role("button", name="Send again").click()
        expect(page.locator("#status .notice")).to_have_attribute("data-kind", "good")
    expect(page.get_by_text("Every message arrived, or is on its way")).to_be_visible()


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ["keys", "access", "staff"])
def test_keys_access_and_staff(world: World, staff: Any, name: str, language: str) -> None:
    busy_day(world)
    page = staff(f"/console/{name}", "admin", language=language)
    text = page.content()
    assert not re.search(r"PRIVATE|mien_(app|backend|auditor|admin|person)_", text)
    if name == "access":
        page.locator("#f-action").select_option("audit:search:run")
        page.get_by_role("button", name=re.compile("^(Filter|筛选)$")).click()
        page.wait_for_url("**action=audit*")
        expect(page.locator(".happening")).to_have_count(1)
    looks_right(page, f"console-{name}-{language}")


# --- whoever is quicker than the line ----------------------------------------------------------------------------------


def test_what_is_pressed_before_the_scripts_are_there_is_done(world: World, site: Site, staff: Any) -> None:
    consent = world.consent()
    page = staff("/healthz")
    scripts = Held(page, "**/console-record.js*")
    page.goto(site.url(f"/console/records/{consent['consent_id']}"), wait_until="commit")
    verify = page.get_by_role("button", name="Verify now")
    verify.click()
    expect(verify).to_have_attribute("aria-busy", "true")
    scripts.let_go()
    expect(page.locator("#verdict .notice[data-kind=good]")).to_be_visible()
    expect(verify).to_be_enabled()


def test_a_page_whose_scripts_do_not_come_says_so(world: World, site: Site, staff: Any) -> None:
    page = staff("/healthz")
    page.route("**/console.js*", lambda route: route.abort())
    page.goto(site.url("/console/search"))
    expect(page.get_by_role("alert")).to_have_text(re.compile("could not be loaded to the end"))


def test_what_was_written_stays_when_the_page_is_shown_anew(world: World, staff: Any) -> None:
    body = {"reason": "complaint about a clip", "ticket": "CASE-17"}
    for colour, name in ((ALICE, "user-1"), (BOB, "user-2")):
        shown = world.consent(world.shown_live(colour, name))["consent_id"]
        assert world.call("POST", "/v1/audit/openings", "admin", json=body | {"object": shown}).status_code == 201
    page = staff("/console/openings", world.key(Role.ADMIN, "admin-two"))
    first, second = page.locator(".opening").first, page.locator(".opening").last
    first.get_by_text("Put off telling, by law").click()
    first.get_by_label("Law or order").fill("Court order 17 O 3/27")
    second.get_by_role("button", name="Approve").click()
    expect(page.locator("#status .notice")).to_have_attribute("data-kind", "good")
    expect(page.get_by_role("button", name="Approve")).to_have_count(1)
    expect(page.get_by_label("Law or order").first).to_have_value("Court order 17 O 3/27")


def test_of_two_papers_the_one_opened_last_is_seen(world: World, staff: Any) -> None:
    path = begun(world)
    complete(world, path)
    page = staff(f"/console/claims/{path.rpartition('/')[2]}", "admin")
    photographs = page.locator("[data-open]").filter(visible=True)
    first = photographs.nth(2)
    slow = Held(page, f"**{first.get_attribute('data-open')}")
    first.click()
    slow.asked()
    photographs.nth(3).click()
    last = str(photographs.nth(3).get_attribute("data-name"))
    expect(page.get_by_role("img", name=last)).to_be_visible()
    slow.let_go()
    slow.heard()
    expect(first).to_be_enabled()
    expect(page.get_by_role("img", name=last)).to_be_visible()


# --- for everyone ------------------------------------------------------------------------------------------------------


def test_the_console_is_for_auditors_and_admins(world: World, staff: Any, visit: Visit) -> None:
    paths = ["", "/search", "/openings", "/claims", "/backends", "/keys", "/access", "/staff"]
    paths += [f"/records/cns_{'0' * 32}", f"/people/sub_{'0' * 32}", f"/checks/ses_{'0' * 32}"]
    for path in paths:
        for who in ("app", "backend", "auditor", None):  # a key is for calls; pages are for who signed in at a browser
            assert world.call("GET", f"/console{path}", who).status_code == 303, (path, who)
    page = staff("/console", "app")
    assert "/sign-in?next=%2Fconsole" in page.url


def test_by_keyboard_alone(world: World, staff: Any) -> None:
    consent = world.consent()
    page = staff(f"/console/records/{consent['consent_id']}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(60):
        if page.evaluate("document.activeElement.id") == "verify-now":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#verdict .notice[data-kind=good]")).to_be_visible()


def test_without_a_connection_nothing_is_lost(world: World, staff: Any) -> None:
    consent = world.consent()
    page = staff(f"/console/records/{consent['consent_id']}")
    page.context.set_offline(True)
    page.get_by_role("button", name="Verify now").click()
    expect(page.locator("#verdict .notice")).to_have_attribute("data-kind", "bad")
    page.context.set_offline(False)
    assert verified(page)["signature"] == "good"


def test_first_load_is_small(world: World, site: Site, staff: Any) -> None:
    busy_day(world)
    page = staff("/console/keys")
    assert 0 < first_load(page, site.url("/console")) <= FIRST_LOAD_MOST


def test_a_drawing_stays_within_its_frame() -> None:
    for value, limit in ((0.0, 1.0), (-5.0, 1.0), (99.0, 1.0), (-40.0, -30.0), (3.0, 0.0), (0.0, 0.0)):
        assert 0 <= charts.place(value, limit) <= 1
    assert charts.place(12.5, 25) < 0.5 < charts.place(30, 25)
    assert 'width="0.0"' in charts.bar(0, 10)
    assert "<script" not in charts.strip(None, None, kind="cannot_judge")
    with pytest.raises(ValueError, match="<"):
        charts.bar(1, 2, kind='"><script>')


def test_every_code_that_the_console_shows_has_words() -> None:
    words = all_words("console")["en"]
    for prefix, codes in (("event", AuditAction), ("reason", GateCode), ("state", CaseStage)):
        missing = [code for code in codes if f"{prefix}_{code.value.replace(':', '_')}" not in words]
        assert not missing, prefix
