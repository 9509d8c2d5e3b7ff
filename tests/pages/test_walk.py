"""From the one address that ``mien serve`` prints to a clip that was made and taken back: by somebody who read nothing else,
with the real service, its worker, its database and its models, in a real browser. Only the person is simulated.

How long each part took goes to ``out/walk.json``, and what they saw on their way to ``out/walk``. Filming the person is no part
of their time: their answer to the challenge is filmed while the page waits for the challenge, and that wait is told apart.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from lab.live_client import step_of
from tests.api.conftest import postgres_folder
from tests.api.test_serve import free_port, served, until
from tests.pages.conftest import PATIENCE_MS, ROOT, SIZES, watched
from tests.pages.person import filmed, filmed_anew, stand_before

pytestmark = [pytest.mark.browser, pytest.mark.service, pytest.mark.weights, pytest.mark.walk]

SEEN = ROOT / "out" / "walk"
REAL_WORK_MS = 120_000  # a bound on the waiting, not a measurement
PLAYED = """video => new Promise((seen) => {
    video.ontimeupdate = () => video.currentTime > 0.5 && seen();
    video.play();
})"""
SIMULATED = {"MIEN_POLICY": "simulated", "MIEN_MINIMUM_ASSURANCE": "simulated"}


class Walk:
    """A clock, and pictures on the way."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self.filming = 0.0
        SEEN.mkdir(parents=True, exist_ok=True)
        for picture in SEEN.glob("*.png"):
            picture.unlink()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began, filming = time.monotonic(), self.filming
        yield
        self.parts[name] = time.monotonic() - began - (self.filming - filming)

    def saw(self, page: Page, name: str) -> None:
        """Taken without touching the page."""
        shot = page.context.new_cdp_session(page).send("Page.captureScreenshot", {"format": "png"})
        (SEEN / f"{len(list(SEEN.glob('*.png'))):02}-{name}.png").write_bytes(base64.b64decode(shot["data"]))

    def told(self) -> dict[str, float]:
        told = self.parts | {"whole": sum(self.parts.values()), "filming": self.filming}
        return {f"{name}_s": round(seconds, 1) for name, seconds in told.items()}


@pytest.fixture
def walk() -> Iterator[Walk]:
    expect.set_options(timeout=REAL_WORK_MS)
    yield Walk()
    expect.set_options(timeout=PATIENCE_MS)


def test_from_the_printed_address_to_a_clip_that_was_taken_back(walk: Walk, browser: Browser, weights: Path) -> None:
    waiting = filmed(weights, [])
    with postgres_folder() as folder:
        (folder / "var").mkdir()
        with served(folder / "var", weights, free_port(), **SIMULATED) as service:
            until(lambda: service.ready() and "/start/" in service.log.read_text())
            (address,) = re.findall(r"open this to begin \([^)]*\): (\S+)", service.log.read_text())
            origin = address.partition("/start/")[0]
            context = watched(browser.new_context(locale="en-GB", viewport=SIZES["phone"]), origin)  # type: ignore[arg-type]
            context.set_default_timeout(REAL_WORK_MS)
            hand_in = stand_before(context, waiting)

            def as_asked(route: Route) -> None:
                """The person hears what to do, and is filmed doing it; nobody knew before."""
                answer, began = route.fetch(), time.monotonic()
                page = route.request.frame.page
                walk.saw(page, "about-to-be-asked")
                hand_in(filmed_anew(weights, [step_of(step) for step in answer.json()["prompts"]]))
                page.evaluate("window.person.load()")
                walk.filming += time.monotonic() - began
                route.fulfill(response=answer)

            context.route_web_socket(
                "**/live", lambda socket: socket.close(code=4503)
            )  # recorded: all is asked at once
            context.route("**/v1/liveness/sessions/*/challenge", as_asked)
            try:
                page = context.new_page()
                with walk.part("verify"):
                    page.goto(address)
                    page.wait_for_url(f"{origin}/studio")
                    expect(page.get_by_role("heading", name="Three steps to your first clip")).to_be_visible()
                    walk.saw(page, "studio")
                    with page.expect_popup() as opened:
                        page.get_by_role("button", name="Begin here").click()
                    shown_live_and_agreed(walk, opened.value)
                with walk.part("gate"):
                    expect(page.get_by_text("Your consent is on record")).to_be_visible()
                    walk.saw(page, "on-record")
                    page.get_by_role("link", name="Make my clip").click()
                    expect(page.get_by_role("checkbox", name=re.compile("^Me"))).to_be_checked()
                    walk.saw(page, "new-clip")
                    page.get_by_role("button", name="Ask the gate").click()
                    expect(page.get_by_text("Yes. Everyone in it agreed.")).to_be_visible()
                    walk.saw(page, "permitted")
                with walk.part("making"):
                    page.get_by_role("button", name="Make this clip").click()
                    page.wait_for_url(re.compile(r"/studio/clips/clp_"))
                    clip_id = page.url.rpartition("/")[2].partition("?")[0]
                    expect(page.locator("progress")).to_be_visible()
                    walk.saw(page, "being-made")
                    player = page.get_by_label("The clip", exact=True)
                    player.evaluate(PLAYED)
                    assert player.evaluate("video => video.readyState >= 2 && video.videoWidth > 0")
                    walk.saw(page, "the-clip")
                expect(page.locator("#facts")).to_contain_text("Whole, unchanged, and signed by Mien")
                expect(page.locator("#facts")).to_contain_text("Watermark in the picture")
                assert content_of(page, clip_id) == (200, "")
                with walk.part("withdrawing"):
                    page.get_by_role("link", name="Next: take it back").click()
                    page.get_by_role("button", name="Take it back now").click()
                    walk.saw(page, "sure")
                    page.get_by_role("button", name="Take it back", exact=True).click()
                    expect(page.get_by_text("Taken back. The clip is withdrawn")).to_be_visible()
                    expect(page.locator("#clips .badge")).to_have_text("Taken back")
                    walk.saw(page, "taken-back")
                assert content_of(page, clip_id) == (410, "consent_revoked")
                page.goto(f"{origin}/studio/clips/{clip_id}")
                expect(page.get_by_text("Somebody in it took their consent back")).to_be_visible()
                walk.saw(page, "clip-taken-back")
                assert not context.mien_faults  # type: ignore[attr-defined]
            finally:
                context.close()
    (SEEN.parent / "walk.json").write_text(json.dumps(walk.told(), indent=2) + "\n")
    sys.stdout.write(f"{walk.told()}\n")


def shown_live_and_agreed(walk: Walk, page: Page) -> None:
    """In the tab of the live check: to the receipt, by what its pages say."""
    expect(page.get_by_role("heading", level=1)).to_have_text("Show that it is you")
    walk.saw(page, "what-happens")
    page.get_by_role("checkbox", name="Yes, check that it is me").check()
    page.get_by_role("button", name="Begin").click()
    start = page.get_by_role("button", name="Start", exact=True)
    expect(start).to_be_enabled()
    walk.saw(page, "ready")
    start.click()
    page.locator("#cue[data-index='0']").wait_for()
    walk.saw(page, "first-step")
    page.locator("#judging-title").wait_for()
    walk.saw(page, "judging")
    page.locator("#judging-title").wait_for(state="hidden")
    walk.saw(page, "judged")
    title = page.get_by_role("heading", level=1)
    assert title.inner_text() == "It is you. Now you decide", page.locator("main").inner_text()
    page.get_by_role("checkbox", name=re.compile("^Digital double")).check()
    page.get_by_role("checkbox", name=re.compile("^Portrait")).check()
    page.get_by_role("button", name="Yes, I agree to this").click()
    expect(title).to_have_text("Done. Your yes is recorded")
    walk.saw(page, "receipt")
    with page.expect_event("close"):
        page.get_by_role("button", name="Close this tab and go on").click()


def content_of(page: Page, clip_id: str) -> tuple[int, str]:
    """What this browser gets at the clip's own address: status, and code of the problem."""
    ask = "async (path) => { const answer = await fetch(path, {headers: {'Mien-Session': 'staff'}}); "
    ask += "return [answer.status, answer.ok ? '' : (await answer.json()).code]; }"
    status, code = page.evaluate(ask, f"/v1/clips/{clip_id}/content")
    return status, code
