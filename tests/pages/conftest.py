"""Pages in a real browser, on a real server with a real PostgreSQL.

The server runs in a thread of the test on stand-in models (``World`` of tests/api makes people and clips in a moment), the
browser is a Chromium of this machine. ``looks_right(page, name)`` is asked at every state worth seeing: it holds the page
against the rules that all pages keep, and against the picture of it in ``docs/tour``. ``KEEP_PICTURES=1`` makes these anew.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import pytest
import uvicorn
from axe_playwright_python.base import AXE_SCRIPT
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from api.app import create_app, open_service
from api.auth import Role
from api.database import Database
from api.engines import FaceEngines
from api.serve import server_config
from api.settings import Settings
from consent.authority import SubjectAssurance
from tests.api.conftest import (  # noqa: F401 - fixtures
    Clock,
    World,
    clock,
    database,
    faces,
    key_file,
    server,
    shared_database,
)

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "tour"
SEEN = ROOT / "out" / "pages"
SIZES = {"phone": {"width": 360, "height": 740}, "desk": {"width": 1440, "height": 900}}
PATIENCE_MS = 15_000  # a machine may have much else to do
FIRST_LOAD_MOST = 150_000  # bytes that come over the wire, with their headers
_DIFFERENT, _MOST_DIFFERENT = 40, 0.03  # of 255, and the part of the picture: fonts differ a little between machines
_BAND, _MOVED = 10, 24  # rows of a picture at a quarter of its size


@dataclass
class Site:
    """The service at an address of this machine, and what it knows."""

    origin: str
    world: World
    settings: Settings
    pages: list[Page] = field(default_factory=list)

    def url(self, path: str) -> str:
        return self.origin + path


@contextmanager
def serving(app: Any, address: socket.socket) -> Iterator[None]:
    """The app on that socket, in a thread."""
    running = uvicorn.Server(server_config(app))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [address]}, daemon=True)
    thread.start()
    try:
        until = time.monotonic() + 20
        while not running.started:
            assert thread.is_alive(), "the server ended at once"
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.02)
        yield
    finally:
        running.should_exit = True
        thread.join(15)


def free_socket() -> socket.socket:
    address = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    address.bind(("127.0.0.1", 0))
    address.listen(64)
    return address


@pytest.fixture
def more_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a test wants otherwise, parametrized indirectly."""
    return dict(getattr(request, "param", {}))


@pytest.fixture
def site(
    more_settings: dict[str, Any],
    database: Database,  # noqa: F811
    key_file: Path,  # noqa: F811
    faces: FaceEngines,  # noqa: F811
    clock: Clock,  # noqa: F811
    tmp_path: Path,
) -> Iterator[Site]:
    """A service on stand-in models, with a key for an app, an auditor and an admin."""
    with free_socket() as address:
        origin = f"http://localhost:{address.getsockname()[1]}"
        settings = replace(
            Settings(
                database_url=database.url,
                var=tmp_path / "var",
                weights=tmp_path / "weights",
                keys=key_file,
                public_url=origin,
                minimum_assurance=SubjectAssurance.WEB,
            ),
            **more_settings,
        )
        with (
            open_service(settings, faces=faces, now=clock, database=database) as service,
            serving(create_app(service), address),
            httpx.Client(base_url=origin, timeout=30) as client,
        ):
            world = World(client, service, clock)
            world.keys = {role.value: world.key(role, f"{role.value}-one") for role in Role}
            yield Site(origin, world, settings)


# --- the browser -----------------------------------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--font-render-hinting=none",
    "--force-color-profile=srgb",
    "--autoplay-policy=no-user-gesture-required",
)


@pytest.fixture(scope="module")
def playing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Playwright, until a file of tests ends: its loop runs in this thread, and other tests have loops of their own.

    Chinese is drawn with the font of the weights, which a bare machine lacks.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    fonts = Path(os.environ.get("MIEN_WEIGHTS") or ROOT / "var" / "weights") / "font_zh"
    folder = tmp_path_factory.mktemp("fonts")
    (folder / "fonts.conf").write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        f"<dir>{fonts}</dir><dir>/usr/share/fonts</dir><cachedir>{folder}</cachedir>"
        + "".join(
            f'<alias binding="strong"><family>{asked}</family><prefer><family>{given}</family>'
            "<family>Noto Sans SC</family></prefer></alias>"
            for asked, given in (
                ("system-ui", "DejaVu Sans"),
                ("sans-serif", "DejaVu Sans"),
                ("monospace", "DejaVu Sans Mono"),
            )
        )
        + "</fontconfig>"
    )
    os.environ["FONTCONFIG_FILE"] = str(folder / "fonts.conf")  # what browsers are started with
    expect.set_options(timeout=PATIENCE_MS)
    try:
        with sync_playwright() as play:
            yield play
    finally:
        del os.environ["FONTCONFIG_FILE"]


@contextmanager
def browser_with(playing: Any, *more: str) -> Iterator[Browser]:
    """A Chromium with these arguments besides the usual ones, such as those that name a fake camera."""
    browser = playing.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *more])
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture(scope="module")
def browser(playing: Any) -> Iterator[Browser]:
    with browser_with(playing) as found:
        yield found


@pytest.fixture
def visit(site: Site, browser: Browser) -> Iterator[Callable[..., Page]]:
    """``visit(path, language="en", context=None)`` opens a page; each call without a context is another person's browser.

    ``until="commit"`` waits for no more than its beginning, where its own script leads on at once."""
    opened: list[BrowserContext] = []

    def go(
        path: str,
        *,
        language: str = "en",
        context: BrowserContext | None = None,
        until: Literal["commit", "load"] = "load",
        **more: Any,
    ) -> Page:
        if context is None:
            context = watched(browser.new_context(locale={"en": "en-GB", "zh": "zh-CN"}[language], **more), site.origin)
            opened.append(context)
        page = context.new_page()
        page.set_viewport_size(SIZES["phone"])  # type: ignore[arg-type]
        page.goto(site.url(path), wait_until=until)
        return page

    yield go
    for context in opened:
        faults = context.mien_faults  # type: ignore[attr-defined]
        context.close()
        assert not faults, faults


def watched(context: BrowserContext, origin: str) -> BrowserContext:
    """What no page may do is noted: ask elsewhere, break, or be refused something by its own policy."""
    faults: list[str] = []
    context.mien_faults = faults  # type: ignore[attr-defined]
    context.mien_measured = False  # type: ignore[attr-defined]
    context.set_default_timeout(PATIENCE_MS)

    def asked(request: Any) -> None:
        ours = (origin, origin.replace("http", "ws", 1), origin.replace("localhost", "127.0.0.1"), "blob:", "data:")
        if not request.url.startswith(ours):
            faults.append(f"asked elsewhere: {request.url}")

    def said(message: Any) -> None:
        refused = re.search(r"status of (4\d\d)|ERR_INTERNET_DISCONNECTED|ERR_FAILED", message.text)
        if message.type == "error" and not refused and not context.mien_measured:  # type: ignore[attr-defined]
            faults.append(f"console: {message.text}")

    context.on("request", asked)
    context.on("console", said)
    context.on("weberror", lambda error: faults.append(f"broke: {error.error}"))
    return context


class Held:
    """What a page asks for at these addresses does not arrive until it is let go: a line that is as slow as it takes."""

    def __init__(self, page: Page, address: str | re.Pattern[str], method: str | None = None) -> None:
        self._page, self._method, self._open = page, method, False
        self._routes: list[Route] = []
        page.context.route(address, self._asked)

    def _asked(self, route: Route) -> None:
        if self._open or self._method not in (None, route.request.method):
            route.fallback()
        else:
            self._routes.append(route)

    def asked(self) -> None:
        """Until something is held."""
        until = time.monotonic() + PATIENCE_MS / 1000
        while not self._routes:
            assert time.monotonic() < until, "nothing was asked for"
            self._page.wait_for_timeout(20)  # lets the browser speak

    def let_go(self) -> None:
        """It goes on, and so does all that comes after it."""
        self._open = True
        for route in self._routes:
            route.continue_()

    def heard(self) -> None:
        """Until the page has had the answers, whatever it makes of them."""
        for route in self._routes:
            route.request.response()
        self._page.evaluate("() => fetch('/healthz').then((answer) => answer.text())")


# --- how a page looks ------------------------------------------------------------------------------------------------

_HIDE_WHAT_VARIES = """(hidden) => {
    for (const part of document.querySelectorAll('[data-varies]')) part.style.visibility = hidden ? 'hidden' : '';
    document.documentElement.style.caretColor = hidden ? 'transparent' : '';
}"""  # property by property: a style sheet of a test is refused by the page's own policy


def looks_right(page: Page, name: str, *, whole: bool = True) -> None:
    """Holds what is shown now against what every page keeps, on a phone and on a desk, in light and dark.

    Nothing is cut off at the side, targets are large enough, axe finds nothing serious; and it looks like its kept picture.
    whole : the picture is of the whole page, or only of its first screen.
    """
    before = page.viewport_size
    page.context.mien_measured = True  # type: ignore[attr-defined]  # what measures puts styles in, and is refused some
    for where, size in SIZES.items():
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.wait_for_timeout(50)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{name} on a {where} is {wide} px too wide"
        _accessible(page, f"{name} on a {where}")
        _like_its_picture(page, f"{name}-{where}", whole=whole)
    page.emulate_media(color_scheme="dark")
    _accessible(page, f"{name} in the dark", only=["color-contrast"])  # nothing else is different there
    page.emulate_media(color_scheme="light")
    small = page.evaluate(_SMALL_TARGETS)
    assert not small, f"{name}: targets smaller than 44 px: {small}"
    if before is not None:
        page.set_viewport_size(before)
    page.wait_for_timeout(20)
    page.context.mien_measured = False  # type: ignore[attr-defined]


def as_elsewhere(page: Page) -> None:
    """Without the hint that a phone cannot open this machine's own address: as where people are asked from."""
    hint = page.get_by_text("a phone cannot open it").filter(visible=True)
    expect(hint).to_have_count(1)
    hint.evaluate("hint => hint.remove()")


_SMALL_TARGETS = """() => [...document.querySelectorAll(
        'button, a.button, select, input:not([type=checkbox]):not([type=radio]), summary')]
    .filter(e => e.checkVisibility() && !e.closest('.visually-hidden') && !e.matches('.visually-hidden'))
    .map(e => [e, e.getBoundingClientRect()])
    .filter(([e, box]) => box.height < 43.5 || box.width < 43.5)
    .map(([e, box]) => `${e.tagName} ${e.textContent.trim().slice(0, 30)} ${box.width.toFixed(0)}x${box.height.toFixed(0)}`)"""


def _accessible(page: Page, what: str, *, only: Sequence[str] = ()) -> None:
    rules = {"runOnly": {"type": "rule", "values": list(only)}} if only else {}
    if page.evaluate("typeof axe === 'undefined'"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate(
        "options => axe.run(options).then(found => found.violations)", {"resultTypes": ["violations"]} | rules
    )
    grave = [
        f"{one['id']} ({one['impact']}): {one['help']}: {[node['html'][:120] for node in one['nodes']][:3]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert not grave, f"{what}: {grave}"


def _like_its_picture(page: Page, name: str, *, whole: bool) -> None:
    page.evaluate(_HIDE_WHAT_VARIES, True)
    shot = page.screenshot(full_page=whole, animations="disabled", caret="initial")
    page.evaluate(_HIDE_WHAT_VARIES, False)
    SEEN.mkdir(parents=True, exist_ok=True)
    (SEEN / f"{name}.png").write_bytes(shot)
    seen = Image.open(io.BytesIO(shot)).convert("RGB")
    kept = PICTURES / f"{name}.png"
    if os.environ.get("KEEP_PICTURES") == "1":
        PICTURES.mkdir(parents=True, exist_ok=True)
        seen.quantize(64, dither=Image.Dither.NONE).save(kept, optimize=True)
        return
    assert kept.is_file(), f"no picture {name}: make it with KEEP_PICTURES=1"
    part = how_different(seen, Image.open(kept).convert("RGB"))
    assert part <= _MOST_DIFFERENT, f"{name} looks different from its picture ({part:.1%}); see out/pages/{name}.png"


def how_different(one: Image.Image, kept: Image.Image) -> float:
    """The part of a kept picture that is not found again, at a quarter of its size: each band of it is looked for where it was
    and a little above and below, since a word more in one place moves all that follows."""
    if one.width != kept.width or abs(one.height - kept.height) > 0.12 * kept.height:
        return 1.0
    width = kept.width // 4
    now, then = (
        np.asarray(image.convert("L").resize((width, image.height // 4), Image.Resampling.BOX), np.int16)
        for image in (one, kept)
    )
    now = np.pad(now, ((_MOVED, _MOVED + max(0, len(then) - len(now))), (0, 0)), mode="edge")
    lost = 0.0
    for top in range(0, len(then), _BAND):
        band = then[top : top + _BAND]
        places = (now[at : at + len(band)] for at in range(top, min(top + 2 * _MOVED, len(now) - len(band)) + 1))
        lost += min(float((np.abs(place - band) > _DIFFERENT).sum()) for place in places)
    return lost / then.size


def first_load(page: Page, url: str) -> int:
    """Bytes over the wire until a page is there, in a browser that knows nothing of it yet."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    loaded: list[float] = []
    session.on("Network.loadingFinished", lambda event: loaded.append(event["encodedDataLength"]))
    page.goto(url)
    page.wait_for_load_state("networkidle")
    session.detach()
    return int(sum(loaded))
