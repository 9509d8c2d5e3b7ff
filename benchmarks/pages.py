"""Pages: ``python -m benchmarks.pages [TIMES]``. What a browser that knows nothing yet loads, and when it can be used.

Chromium on this machine, over loopback, one browser context a load. *Interactive*: the page is parsed and its scripts have run,
from the moment that the address was entered (``domContentLoadedEventEnd``). *Load*: bytes on the wire, headers included.
"""

from __future__ import annotations

import hashlib
import shutil
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import uvicorn
from fastapi import Request, Response

from api.app import create_app
from api.auth import Role, create_key, create_person_token
from api.browser_sessions import Began, NewSession, begin
from api.serve import server_config
from api.service import Service
from benchmarks.people import consenting
from benchmarks.report import fresh_service, p95, report
from lab.bench import Figure
from liveness.digits import Language

_MOST_KB, _MOST_MS = 150, 1000


def main() -> None:
    report(__doc__, measure, count=10, noun="loads of each page")


def measure(count: int) -> list[Figure]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium on this machine")
    figures = []
    with fresh_service() as service, _served(service) as (origin, service), sync_playwright() as play:
        pages = _pages(service, origin)
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for path, cookie in pages.items():
            loads = [_load(browser, origin, path, cookie) for _ in range(count + 1)][1:]
            took, size = [ms for ms, _ in loads], max(kb for _, kb in loads)
            name = "/verify/…" if path.startswith("/verify/") else path
            figures += [
                Figure(what=f"{name}: first load", value=size, unit="kB", goal=f"<= {_MOST_KB}"),
                Figure(what=f"{name}: interactive (p50)", value=statistics.median(took), unit="ms"),
                Figure(what=f"{name}: interactive (p95)", value=p95(took), unit="ms", goal=f"<= {_MOST_MS}"),
            ]
        browser.close()
    return figures


@contextmanager
def _served(service: Service) -> Iterator[tuple[str, Service]]:
    """The service at an address of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as address:
        address.bind(("127.0.0.1", 0))
        address.listen(64)
        origin = f"http://localhost:{address.getsockname()[1]}"
        service = replace(
            service,
            settings=replace(service.settings, public_url=origin),
            faces=replace(service.faces, languages=frozenset({Language.ENGLISH})),
        )
        running = uvicorn.Server(server_config(create_app(service)))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [address]}, daemon=True)
        thread.start()
        while not running.started and thread.is_alive():
            time.sleep(0.02)
        try:
            yield origin, service
        finally:
            running.should_exit = True
            thread.join(15)


def _pages(service: Service, origin: str) -> dict[str, dict[str, Any] | None]:
    """Pages, each with the cookie of who sees it."""
    now = service.now()
    _, (somebody,) = consenting(service, 1)
    with service.database.transaction() as store:
        keys = {role: create_key(store, role, f"{role.value}-of-pages", now=now) for role in (Role.APP, Role.AUDITOR)}
        person = create_person_token(store, consent_id=somebody.consent_id, life=timedelta(hours=1), now=now)
    with httpx.Client(base_url=origin) as client:
        app = {"Authorization": f"Bearer {keys[Role.APP]}"}
        wanted = {"subject_ref": "pages", "language": "en", "purpose": "digital_double"}
        session = client.post("/v1/liveness/sessions", json=wanted, headers=app).raise_for_status().json()
        me = client.post("/v1/sign-in/with-token", json={"token": person}).raise_for_status()
        own = _cookie(me.headers["set-cookie"], origin)
    creator, auditor = (_staff(service, keys[role], origin) for role in (Role.APP, Role.AUDITOR))
    return {
        "/": None,
        "/sign-in": None,
        f"/verify/{session['client_token']}": None,
        "/my": own,
        "/my/record": own,
        "/studio": creator,
        "/studio/new": creator,
        "/console": auditor,
        "/console/search": auditor,
    }


def _staff(service: Service, secret: str, origin: str) -> dict[str, Any]:
    """The cookie of a browser at which the holder of this key signed in with a passkey."""
    answer = Response()
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": []})
    with service.database.transaction() as store:
        key = store.api_key(hashlib.sha256(secret.encode()).digest())
        begin(service, store, request, answer, NewSession(began=Began.PASSKEY, key=key), now=service.now())
    return _cookie(answer.headers["set-cookie"], origin)


def _cookie(header: str, origin: str) -> dict[str, Any]:
    name, _, rest = header.partition("=")
    return {"name": name, "value": rest.partition(";")[0], "url": origin, "httpOnly": True, "sameSite": "Strict"}


def _load(browser: Any, origin: str, path: str, cookie: dict[str, Any] | None) -> tuple[float, float]:
    """Milliseconds until it can be used, and kilobytes, of one load in a new browser context."""
    context = browser.new_context(viewport={"width": 360, "height": 740})
    if cookie is not None:
        context.add_cookies([cookie])
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    loaded: list[float] = []
    session.on("Network.loadingFinished", lambda event: loaded.append(event["encodedDataLength"]))
    answer = page.goto(origin + path, wait_until="networkidle")
    if answer is None or not answer.ok or (page.url.partition("?")[0] != origin + path and "/verify/" not in path):
        raise SystemExit(f"{path.rpartition('/')[0] or path} was not shown")
    interactive = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    context.close()
    return float(interactive), sum(loaded) / 1000


if __name__ == "__main__":
    main()
