"""The phone flow in a real browser: from the link to the receipt, and every way in which it does not go well."""

from __future__ import annotations

import base64
import json
import os
import random
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from api.app import create_app, open_service
from api.auth import Role
from api.database import Database
from api.service import wall_clock
from api.settings import Settings
from consent.authority import SubjectAssurance
from liveness.challenge import issue
from liveness.digits import Language
from liveness.policy import SIMULATED
from tests.api.conftest import START, Clock, World
from tests.pages.conftest import (
    FIRST_LOAD_MOST,
    SEEN,
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
from tests.pages.person import Film, filmed, stand_before

pytestmark = [pytest.mark.browser, pytest.mark.service]

LOCALES = {"en": "en-GB", "zh": "zh-CN"}


@pytest.fixture
def clock() -> Clock:
    """As in other tests, and near the browser's own: the page compares times with it."""
    clock = Clock()
    clock.move((wall_clock() - START).total_seconds())
    return clock


@pytest.fixture(scope="module")
def phone(playing: Any) -> Iterator[Browser]:
    """A Chromium with its own test picture and tone for camera and microphone. Who is not allowed them is refused at once."""
    with browser_with(playing, "--use-fake-device-for-media-stream", "--deny-permission-prompts") as found:
        yield found


@contextmanager
def opened(
    browser: Browser,
    site: Site,
    path: str,
    *,
    language: str = "en",
    allowed: tuple[str, ...] = ("camera", "microphone"),
) -> Iterator[Page]:
    """A page in a browser of its own; at the end nothing may have gone wrong in it."""
    context = watched(browser.new_context(locale=LOCALES[language], permissions=list(allowed)), site.origin)
    try:
        page = context.new_page()
        page.set_viewport_size({"width": 360, "height": 740})
        page.goto(site.url(path))
        yield page
    finally:
        faults = context.mien_faults  # type: ignore[attr-defined]
        context.close()
    assert not faults, faults


def link_of(session: dict[str, Any]) -> str:
    """The path of the page, as the app got it."""
    return "/verify/" + str(session["verify_url"]).rpartition("/verify/")[2]


def heading(page: Page) -> Any:
    return page.get_by_role("heading", level=1)


def judged(world: World, session: dict[str, Any], words: str) -> None:
    """A recording of the session's challenge came in and was judged to be what it says."""
    challenge = world.challenge(session)
    data = f"{words} {challenge['nonce']}".encode()
    assert world.capture(session, data).status_code == 202
    world.judge(challenge)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_seen_first(phone: Browser, site: Site, language: str) -> None:
    session = site.world.session()
    with opened(phone, site, link_of(session), language=language) as page:
        expect(heading(page)).to_have_text({"en": "Show that it is you", "zh": "确认是您本人"}[language])
        assert page.url == site.url("/verify"), "the token stays in the address"
        assert session["client_token"] not in page.evaluate(
            "JSON.stringify([{...localStorage}, {...sessionStorage}, history.state, document.cookie])"
        )
        looks_right(page, f"verify-start-{language}")


@pytest.mark.parametrize("more_settings", [{}, {"controller": "Mien on this machine"}], indirect=True)
def test_who_asks_is_said(phone: Browser, site: Site, more_settings: dict[str, Any]) -> None:
    with opened(phone, site, link_of(site.world.session())) as page:
        who = more_settings.get("controller", "whoever runs this installation")
        expect(page.get_by_text(f"Asked by {who}", exact=True)).to_be_visible()


def test_the_first_load_is_small(phone: Browser, site: Site) -> None:
    with opened(phone, site, "/verify") as page:
        loaded = first_load(page, site.url(link_of(site.world.session())))
        assert 0 < loaded <= FIRST_LOAD_MOST, loaded


def test_a_link_that_ended_and_a_page_loaded_again_say_what_to_do(phone: Browser, site: Site) -> None:
    session = site.world.session()
    with opened(phone, site, link_of(session)) as page:
        page.reload()
        expect(heading(page)).to_have_text("Open your link once more")
        looks_right(page, "verify-again")
        site.world.clock.move(301)
        page.goto(site.url(link_of(session)))
        expect(heading(page)).to_have_text("This link has ended")


def test_nothing_begins_without_the_first_yes(phone: Browser, site: Site) -> None:
    with opened(phone, site, link_of(site.world.session())) as page:
        page.get_by_role("button", name="Begin").click()
        expect(page.get_by_role("alert").filter(has_text="Tick this first")).to_be_visible()
        page.get_by_role("button", name="The exact words").first.click()
        expect(page.get_by_role("heading", name="Part A: checking your face")).to_be_focused()
        looks_right(page, "verify-terms")


def test_who_leaves_while_the_first_yes_is_on_its_way_is_not_filmed(phone: Browser, site: Site) -> None:
    with opened(phone, site, link_of(site.world.session())) as page:
        slow = Held(page, "**/check-consent")
        page.get_by_role("checkbox", name="Yes, check that it is me").check()
        page.get_by_role("button", name="Begin").click()
        slow.asked()
        page.get_by_role("button", name="I would rather not").click()
        slow.let_go()
        slow.heard()
        expect(page.locator("#end-title")).to_be_visible()
        assert page.evaluate("document.getElementById('preview').srcObject") is None


def test_who_comes_back_from_the_phone_twice_is_not_thrown_back(phone: Browser, site: Site) -> None:
    session = site.world.session()
    with opened(phone, site, link_of(session)) as page:
        page.get_by_role("button", name="On my phone instead").click()
        slow = Held(page, f"**/v1/liveness/sessions/{session['session_id']}")
        back = page.get_by_role("button", name="Use this device after all")
        back.click()
        slow.asked()
        expect(back).to_be_disabled()
        slow.let_go()
        ready(page)


def test_one_answer_is_on_its_way_at_a_time_and_the_other_language_keeps_what_was_ticked(
    phone: Browser, site: Site
) -> None:
    session = site.world.session()
    judged(site.world, session, "live 200,40,40")
    with opened(phone, site, link_of(session), language="zh") as page:
        page.locator("[name=purposes][value=cameo]").check()
        page.locator("[name=audience][value=cameo]").check()
        page.locator("#limits summary").click()
        page.locator("#max-seconds").fill("20")
        page.get_by_role("link", name="English").click()
        expect(heading(page)).to_have_text("It is you. Now you decide")
        expect(page.locator("#sum")).to_contain_text("You allow: Cameo")
        expect(page.locator("#max-seconds")).to_have_value("20")
        slow = Held(page, "**/v1/consents")
        page.get_by_role("button", name="Yes, I agree to this").click()
        slow.asked()
        for other in ("No double", "Not now"):
            expect(page.get_by_role("button", name=other)).to_be_disabled()
        slow.let_go()
        expect(heading(page)).to_have_text("Done. Your yes is recorded")


def test_camera_microphone_and_light_are_looked_at_first(phone: Browser, site: Site) -> None:
    with opened(phone, site, link_of(site.world.session())) as page:
        ready(page)
        expect(page.get_by_role("button", name="Start")).to_be_enabled(timeout=30_000)
        looks_right(page, "verify-ready")


def test_sound_beside_a_recording_that_cannot_be_read_while_it_grows(phone: Browser, site: Site) -> None:
    """As on an iPhone: a worklet brings the microphone to 16 kHz, a tenth of a second at a time."""
    with opened(phone, site, link_of(site.world.session())) as page:
        heard = page.evaluate(
            """async () => {
              const context = new AudioContext();
              await context.audioWorklet.addModule(document.getElementById("sound-worklet").dataset.src);
              const ear = new AudioWorkletNode(context, "mien-ear", { numberOfOutputs: 0 });
              const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
              context.createMediaStreamSource(stream).connect(ear);
              const pieces = [];
              const began = performance.now();
              await new Promise((enough) => { ear.port.onmessage = ({ data }) => pieces.push(data) < 20 || enough(); });
              const loudest = Math.max(...pieces.map((piece) => Math.max(...new Int16Array(piece))));
              return { size: pieces[0].byteLength, seconds: (performance.now() - began) / 1000, loudest };
            }"""
        )
    assert heard["size"] == 3200
    assert 1.5 < heard["seconds"] < 4
    assert heard["loudest"] > 1000, "the test tone is not in it"


def ready(page: Page) -> None:
    page.get_by_role("checkbox", name="Yes, check that it is me").check()
    page.get_by_role("button", name="Begin").click()
    expect(heading(page)).to_have_text("Get ready")


def test_a_denied_camera_says_how_to_allow_it(phone: Browser, site: Site) -> None:
    with opened(phone, site, link_of(site.world.session()), allowed=()) as page:
        ready(page)
        expect(page.get_by_role("alert")).to_contain_text("The camera is not allowed here")
        looks_right(page, "verify-denied")
        page.context.grant_permissions(["camera", "microphone"])
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("button", name="Start")).to_be_enabled(timeout=30_000)


def test_a_desktop_without_a_camera_hands_over_to_the_phone(browser: Browser, phone: Browser, site: Site) -> None:
    session = site.world.session()
    with opened(browser, site, link_of(session)) as desk:
        expect(heading(desk)).to_have_text("Go on with your phone")
        as_elsewhere(desk)
        looks_right(desk, "verify-handover")
        with opened(phone, site, code_seen(desk)) as mobile:
            expect(heading(mobile)).to_have_text("Show that it is you")
            judged(site.world, session, "live 200,40,40")
            expect(desk.locator("#phone-state")).to_contain_text("It is you. Decide on your phone")
            mobile.goto(site.url(link_of(session)))
            expect(heading(mobile)).to_have_text("It is you. Now you decide")
            mobile.get_by_role("button", name="No double").click()
            expect(heading(mobile)).to_have_text("Done. No double of you")
            expect(heading(desk)).to_have_text("Done. No double of you")


def code_seen(page: Page) -> str:
    """What a phone's camera reads from the code on the page."""
    import cv2

    page.wait_for_timeout(100)
    shot = page.locator("#phone-code").screenshot()
    picture = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    found, _, _ = cv2.QRCodeDetector().detectAndDecode(picture)
    assert "/verify/" in found, "the code cannot be read"
    return "/verify/" + str(found).rpartition("/verify/")[2]


def test_a_failed_check_says_why_and_a_second_one_leads_to_the_decision(phone: Browser, site: Site) -> None:
    session = site.world.session()
    judged(site.world, session, "fail turn_missing")
    with opened(phone, site, link_of(session)) as page:
        expect(heading(page)).to_have_text("Not yet")
        expect(page.get_by_text("Turn further to the side")).to_be_visible()
        expect(page.get_by_text("You have two more tries.")).to_be_visible()
        looks_right(page, "verify-failed")
        judged(site.world, session, "fail digits_not_heard")
        judged(site.world, session, "fail digits_not_heard")
        page.goto(site.url(link_of(session)))
        expect(heading(page)).to_have_text("That did not work")
        expect(page.get_by_text("The tries for this check are used up")).to_be_visible()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_decision_and_the_receipt(phone: Browser, site: Site, language: str) -> None:
    session = site.world.session(subject_ref=f"user-{language}")
    judged(site.world, session, "live 200,40,40")
    with opened(phone, site, link_of(session), language=language) as page:
        page.evaluate(
            "window.ReactNativeWebView = {postMessage: (said) => { (window.told ??= []).push(JSON.parse(said)); }}"
        )
        expect(heading(page)).to_contain_text({"en": "Now you decide", "zh": "现在由您决定"}[language])
        assert page.locator("#decide input[type=checkbox]:checked").count() == 0, "something was decided for them"
        looks_right(page, f"verify-double-{language}")
        page.locator("#yes").click()
        expect(page.locator("#purposes .fault")).not_to_be_empty()
        page.locator("[name=purposes][value=digital_double]").check()
        page.locator("[name=audience][value=portrait]").check()
        page.locator("[name=makers][value=named]").check()
        page.locator("#maker-names").fill("studio one")
        page.locator("#yes").click()
        expect(page.locator("#names-fault")).not_to_be_empty()
        page.locator("#maker-names").fill("studio-one\nanna")
        page.locator("#limits summary").click()
        page.locator("#max-seconds").fill("20")
        page.locator("#words-not").fill("lottery")
        with page.expect_request("**/v1/consents") as asked:
            page.locator("#yes").click()
        body = asked.value.post_data_json or {}
        assert (body["purposes"], body["audience"], body["makers"]) == (
            ["digital_double"],
            ["portrait"],
            ["studio-one", "anna"],
        )
        assert body["limits"] == {"max_seconds": 20, "forbidden_words": ["lottery"]}
        expect(heading(page)).to_contain_text({"en": "Your yes is recorded", "zh": "您的同意已记录"}[language])
        looks_right(page, f"verify-receipt-{language}")
        consent_id = page.locator("#consent-id").inner_text()
        assert page.evaluate("window.told") == [{"type": "mien.finished", "state": "given", "consent_id": consent_id}]
        with page.expect_download() as saved:
            page.locator("#save").click()
        receipt = json.loads(saved.value.path().read_text())
        assert receipt["proof"].startswith("c2sp.org/tlog-proof")
        assert receipt["record"].count(".") == 2
        keys = page.context.new_cdp_session(page)
        keys.send("WebAuthn.enable")
        wanted = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
        keys.send(
            "WebAuthn.addVirtualAuthenticator",
            {"options": wanted | {"isUserVerified": True, "automaticPresenceSimulation": True}},
        )
        page.locator("#make-passkey").click()
        expect(page.locator("#passkey-status [data-kind=good]")).to_be_visible()
    state = site.world.call("GET", f"/v1/consents/{consent_id}", "app").json()
    assert state["purposes"] == ["digital_double"]


# --- a whole check, judged by the real models ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def film(weights: Path) -> Film:
    drawn = issue(
        SIMULATED,
        challenge_id="chl",
        nonce="n",
        language=Language.ENGLISH,
        chance=random.Random(SEED),
        now=START,
        interleaved=True,
    )
    return filmed(weights, drawn.steps)


SEED = 7


@pytest.fixture
def real(
    weights: Path, database: Database, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """A service on the real models for simulated people, with a worker. Its challenges are always the one of the film."""
    chance = SimpleNamespace(SystemRandom=lambda: random.Random(SEED), token_hex=secrets.token_hex)
    monkeypatch.setattr("api.routes_liveness.secrets", chance)
    with free_socket() as address:
        origin = f"http://localhost:{address.getsockname()[1]}"
        settings = Settings(
            database_url=database.url,
            var=tmp_path / "var",
            weights=weights,
            keys=key_file,
            public_url=origin,
            policy="simulated",
            minimum_assurance=SubjectAssurance.SIMULATED,
            controller="Mien on this machine",
        )
        with (
            a_worker(settings),
            open_service(settings, database=database) as service,
            serving(create_app(service), address),
            httpx.Client(base_url=origin, timeout=30) as client,
        ):
            world = World(client, service, wall_clock)  # type: ignore[arg-type]
            world.keys = {"app": world.key(Role.APP, "app-one")}
            yield Site(origin, world, settings)


@contextmanager
def a_worker(settings: Settings) -> Iterator[None]:
    """A worker process of its own, as an operator starts one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIEN_")}
    own = {
        "MIEN_DATABASE_URL": settings.database_url,
        "MIEN_VAR": settings.var,
        "MIEN_WEIGHTS": settings.weights,
        "MIEN_KEYS": settings.keys,
        "MIEN_POLICY": settings.policy,
        "MIEN_MINIMUM_ASSURANCE": settings.minimum_assurance.value,
        "MIEN_WORKER_QUEUES": "judge",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "worker", "--no-migrate"], env=kept | {k: str(v) for k, v in own.items()}
    )
    try:
        yield
        assert process.poll() is None, "the worker ended by itself"
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def filmed_at(
    phone: Browser, site: Site, film: Film, session: dict[str, Any], *, language: str = "en"
) -> Iterator[Page]:
    """The page of a session, with the person before its camera."""
    context = watched(phone.new_context(locale=LOCALES[language]), site.origin)
    stand_before(context, film)
    try:
        page = context.new_page()
        page.set_viewport_size({"width": 360, "height": 740})
        page.goto(site.url(link_of(session)))
        yield page
    finally:
        faults = context.mien_faults  # type: ignore[attr-defined]
        context.close()
    assert not faults, faults


def seconds(page: Page) -> float:
    """From "start" until the recording was handed in to be judged."""
    marks = "(name) => performance.getEntriesByName(name).at(-1).startTime"
    return float(page.evaluate(marks, "mien-sent") - page.evaluate(marks, "mien-start")) / 1000


@pytest.mark.weights
@pytest.mark.alone
def test_live_a_failed_try_with_its_reason_then_success_to_the_receipt(phone: Browser, real: Site, film: Film) -> None:
    """In real time, so a busy machine may interrupt a recording, which the page says; a person has another try then, too."""
    session = real.world.session()
    with filmed_at(phone, real, film, session) as page:
        ready(page)
        expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled(timeout=30_000)
        page.evaluate("window.person.idle = true")
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.locator("#cue")).to_have_attribute("data-index", "0", timeout=15_000)
        seen(page, "verify-take")
        expect(heading(page)).to_have_text("Not yet", timeout=30_000)
        expect(page.get_by_text("A step was not done in time")).to_be_visible()
        page.evaluate("window.person.idle = false")
        page.get_by_role("button", name="Try again").click()
        page.get_by_role("button", name="Start", exact=True).click()
        page.locator("#stage[data-turn=right]").wait_for(timeout=30_000)
        arrow, stage = page.locator(".arrow-right").bounding_box(), page.locator("#stage").bounding_box()
        assert arrow is not None
        assert stage is not None
        assert arrow["x"] > stage["x"] + stage["width"] / 2, "as in a mirror, their own right is on the right"
        seen(page, "verify-turn")
        for _ in range(2):
            if verdict(page) != "Not yet":
                break
            expect(page.locator("#advice")).to_contain_text("The recording was interrupted")
            page.get_by_role("button", name="Try again").click()
            page.get_by_role("button", name="Start", exact=True).click()
        expect(heading(page)).to_have_text("It is you. Now you decide", timeout=90_000)
        took = seconds(page)
        (SEEN / "verify-live.txt").write_text(f"{took:.1f} s from start to the hand-in\n")
        agree(page)
        expect(heading(page)).to_have_text("Done. Your yes is recorded")


@pytest.mark.weights
@pytest.mark.alone
def test_recorded_in_chinese_and_the_network_is_lost_in_the_middle(phone: Browser, real: Site, film: Film) -> None:
    session = real.world.session()
    with filmed_at(phone, real, film, session, language="zh") as page:
        page.route_web_socket("**/live", lambda socket: socket.close(code=4503))  # guidance is busy
        page.get_by_role("checkbox", name="同意核验我的面容").check()
        page.get_by_role("button", name="开始", exact=True).click()
        start = page.get_by_role("button", name="开始录制")
        expect(start).to_be_enabled(timeout=30_000)
        cut = Cut(page)
        start.click()
        expect(page.locator("#sending-text")).to_contain_text("网络已断开", timeout=60_000)
        took = seconds(page)
        looks_right(page, "verify-lost-zh")
        cut.mend()
        through(page, "确认是您本人，现在由您决定")
        (SEEN / "verify-recorded.txt").write_text(f"{took:.1f} s from start to the hand-in\n")
        agree(page)
        expect(heading(page)).to_have_text("完成，您的同意已记录")
        assert cut.tries >= 2
        assert len(cut.keys) == 1, "handed in under another key"


def seen(page: Page, name: str) -> None:
    """A picture for whoever wants to look; not kept, as a person is in it. Taken without touching the page."""
    SEEN.mkdir(parents=True, exist_ok=True)
    shot = page.context.new_cdp_session(page).send("Page.captureScreenshot", {"format": "png"})
    (SEEN / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


def through(page: Page, title: str) -> None:
    """Judged, and to be this person."""
    assert verdict(page) == title, page.locator("#advice").inner_text()


def verdict(page: Page) -> str:
    """What is said once a recording was judged."""
    page.locator("#judging-title").wait_for(timeout=90_000)
    page.locator("#judging-title").wait_for(state="hidden", timeout=90_000)
    return str(heading(page).inner_text())


class Cut:
    """The network goes away while the recording is being sent."""

    def __init__(self, page: Page) -> None:
        self._page, self.tries, self.keys, self._whole = page, 0, set[str](), False
        page.route("**/capture?*", self._sent)

    def _sent(self, route: Route) -> None:
        self.tries += 1
        self.keys.add(route.request.headers["idempotency-key"])
        if self._whole:
            route.continue_()
            return
        self._page.context.set_offline(True)
        route.abort("internetdisconnected")

    def mend(self) -> None:
        self._whole = True
        self._page.context.set_offline(False)


def agree(page: Page) -> None:
    page.locator("[name=purposes][value=digital_double]").check()
    page.locator("[name=audience][value=portrait]").check()
    page.locator("#yes").click()


def test_with_the_keyboard_alone(phone: Browser, site: Site) -> None:
    session = site.world.session()
    with opened(phone, site, link_of(session)) as page:
        expect(page.locator("#start-title")).to_be_focused()
        tab_to(page, "input[name=agree]")
        page.keyboard.press("Space")
        tab_to(page, "#agree [type=submit]")
        page.keyboard.press("Enter")
        expect(page.locator("#ready-title")).to_be_focused()
        expect(page.locator("#start")).to_be_enabled(timeout=15_000)
        tab_to(page, "#start")
        page.keyboard.press("Enter")
        expect(page.locator("#take-title")).to_be_focused()
        tab_to(page, "#stop")
        page.keyboard.press("Enter")
        expect(page.locator("#start-title")).to_be_focused()
        expect(page.locator("#status")).to_contain_text("Stopped")
        judged(site.world, session, "live 200,40,40")
        page.goto(site.url(link_of(session)))
        expect(page.locator("#double-title")).to_be_focused()
        for box in ("[name=purposes][value=cameo]", "[name=audience][value=cameo]"):
            tab_to(page, box)
            page.keyboard.press("Space")
        expect(page.locator("#sum")).to_contain_text("You allow: Cameo")
        tab_to(page, "#yes")
        page.keyboard.press("Enter")
        expect(page.locator("#receipt-title")).to_be_focused()


def tab_to(page: Page, selector: str) -> None:
    """As often as it takes, and no more than there can be."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("(wanted) => document.activeElement.matches(wanted)", selector):
            return
    raise AssertionError(f"the keyboard does not reach {selector}")
