"""Headers, cookies and files of pages, as OWASP ASVS 5.0 level 2 asks in V3 (web frontend security) and V7 (sessions)."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import api
from api.app import create_app, open_service
from api.auth import Role
from api.database import Database, new_engine
from api.engines import FaceEngines
from api.pages import PageRoute, all_words
from api.settings import Settings
from tests.api.conftest import (  # noqa: F401 - fixtures
    Clock,
    World,
    clock,
    database,
    faces,
    key_file,
    server,
    settings,
    shared_database,
)

pytestmark = pytest.mark.service
PAGES = Path(api.__file__).parent / "pages"
ORIGIN = "https://mien.example"


@pytest.fixture
def world(
    settings: Settings,  # noqa: F811
    database: Database,  # noqa: F811
    faces: FaceEngines,  # noqa: F811
    clock: Clock,  # noqa: F811
) -> Iterator[World]:
    """A service that the world reaches over https."""
    over_https = replace(settings, public_url=ORIGIN)
    with (
        open_service(over_https, faces=faces, now=clock, database=database) as service,
        TestClient(create_app(service), base_url=ORIGIN, follow_redirects=False) as client,
    ):
        world = World(client, service, clock)
        world.keys = {role.value: world.key(role, f"{role.value}-one") for role in Role}
        yield world


def addresses() -> list[str]:
    """Of every page; what is named in it does not exist."""
    names = [module.name for module in pkgutil.iter_modules(api.__path__) if module.name.startswith("routes_")]
    routes = [route for name in names for route in import_module(f"api.{name}").router.routes]
    pages = {re.sub(r"\{[^}]+\}", "nothing", route.path) for route in routes if isinstance(route, PageRoute)}
    assert pages
    return sorted(pages)


def test_every_page_says_what_it_may_do(world: World) -> None:
    """3.4.1 to 3.4.6, 3.4.8: HSTS, no CORS, a policy that names what is allowed, no sniffing, no referrer, no frames."""
    for path in [*addresses(), "/nowhere"]:
        answer = world.call("GET", path, headers={"Origin": "https://elsewhere.example"})
        headers = answer.headers
        assert answer.status_code < 500, path
        assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
        assert not [name for name in headers if name.startswith("access-control-")]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert "Server" not in headers
        policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        for directive, sources in policy.items():
            assert "unsafe" not in sources, path
            assert "http" not in sources, path
            assert "*" not in sources, path
            assert directive not in ("script-src", "style-src", "connect-src") or sources == "'self'"
        if headers.get("Content-Type", "").startswith("text/html"):  # who is sent to another page gets none
            assert headers["Content-Type"] == "text/html; charset=utf-8"
            assert policy["default-src"] == policy["form-action"] == "'none'"
            assert policy["require-trusted-types-for"] == "'script'"


def test_no_page_shows_anything_to_who_is_not_signed_in(world: World) -> None:
    open_to_all = ("/", "/sign-in", "/start", "/terms", "/verify")
    for path in addresses():
        if not path.startswith(open_to_all[1:]) and path != "/":
            answer, at = world.call("GET", path), path
            while answer.status_code == 303 and not at.startswith("/sign-in"):
                at = answer.headers["Location"]
                assert at.startswith("/"), f"{path} leads to {at}"
                answer = world.call("GET", at)
            assert at.startswith("/sign-in") or answer.status_code in (401, 403, 404), f"{path}: {answer.status_code}"


def test_over_plain_http_nobody_is_told_to_come_by_https(world: World) -> None:
    service = replace(world.service, settings=replace(world.service.settings, public_url="http://127.0.0.1:8000"))
    with TestClient(create_app(service)) as client:
        assert "Strict-Transport-Security" not in client.get("/").headers


def test_while_the_database_is_away_everybody_hears_when_to_come_back(
    settings: Settings,  # noqa: F811
    faces: FaceEngines,  # noqa: F811
    clock: Clock,  # noqa: F811
) -> None:
    nowhere = "postgresql+psycopg://mien@127.0.0.1:1/mien"
    away = Database(nowhere, new_engine(nowhere), nowhere)
    with open_service(replace(settings, public_url=ORIGIN), faces=faces, now=clock, database=away) as service:
        client = TestClient(create_app(service), base_url=ORIGIN, follow_redirects=False)
        for path, kind in (("/my", "person"), ("/studio", "staff"), ("/console", "staff"), ("/account", "person")):
            answer = client.get(path, headers={"Cookie": f"__Host-mien-{kind}=somebody"})
            assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True), path
            assert all_words("site")["en"]["error_broken"] in answer.text
        called = client.get("/v1/consents", headers={"Authorization": f"Bearer mien_app_{'A' * 43}"})
        assert (called.status_code, called.json()["code"]) == (503, "database_unavailable")
        assert int(called.headers["Retry-After"]) > 0
    away.engine.dispose()


def test_cookies_of_sessions(world: World) -> None:
    """3.3.1 to 3.3.5: Secure, ``__Host-``, SameSite, HttpOnly, small."""
    answer = world.call("POST", "/v1/sign-in/with-key", json={"key": world.keys["app"]})
    assert answer.status_code < 300, answer.text
    (cookie,) = [value for name, value in answer.headers.multi_items() if name == "set-cookie"]
    name, *attributes = [part.strip() for part in cookie.split(";")]
    assert name.startswith("__Host-mien-staff=")
    assert {"Secure", "HttpOnly", "Path=/"} <= set(attributes)
    assert any(attribute.lower() == "samesite=strict" for attribute in attributes)
    assert not any(attribute.lower().startswith("domain") for attribute in attributes)
    assert len(cookie) < 4096
    assert world.keys["app"] not in answer.text + str(answer.headers)


def test_the_cookie_alone_writes_nothing(world: World) -> None:
    """3.5.1 to 3.5.3: what changes something needs a header that no other site can send, and never is a GET."""
    assert world.call("POST", "/v1/sign-in/with-key", json={"key": world.keys["app"]}).status_code < 300
    body = {"subject_ref": "user-1", "language": "en", "purpose": "digital_double"}
    for headers in (
        {},
        {"Mien-Session": "person"},
        {"Mien-Session": "staff", "Sec-Fetch-Site": "cross-site"},
        {"Mien-Session": "staff", "Sec-Fetch-Site": "same-site"},
        {"Mien-Session": "staff", "Origin": "https://elsewhere.example"},
    ):
        answer = world.call("POST", "/v1/liveness/sessions", json=body, headers=headers)
        assert answer.status_code in (401, 403), headers
    ours = {"Mien-Session": "staff", "Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}
    assert world.call("POST", "/v1/liveness/sessions", json=body, headers=ours).status_code == 201


def test_nothing_in_pages_is_inline_or_from_elsewhere() -> None:
    for template in sorted((PAGES / "templates").glob("*.html")):
        text = template.read_text(encoding="utf-8")
        assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", text), template.name
        assert not re.search(r"<[^>{%]*\son[a-z]+\s*=", text), f"{template.name}: a handler in an attribute"
        assert not re.search(r"<style|\sstyle\s*=", text), f"{template.name}: a style in the page"
        assert not re.search(r"\|\s*safe\b", text), f"{template.name}: words that are not escaped"
        assert not re.search(r"https?://", text), f"{template.name}: an address elsewhere"
    for script in sorted((PAGES / "static").glob("*.js")):
        text = script.read_text(encoding="utf-8")
        risky = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\.cssText"
        assert not re.search(risky, text), script.name
        assert script.name == "studio.js" or "localStorage" not in text  # names that creators give are theirs alone
        assert not re.search(r"https?://", text), f"{script.name}: an address elsewhere"
        assert text.startswith("// @ts-check\n"), f"{script.name} is not typed"
    for sheet in sorted((PAGES / "static").glob("*.css")):
        assert not re.search(r"@import|url\(", sheet.read_text(encoding="utf-8")), sheet.name


def test_static_files_are_what_their_address_says(world: World) -> None:
    page = world.call("GET", "/").text
    (address,) = re.findall(r'href="(/pages/static/mien\.css\?v=\w+)"', page)
    answer = world.call("GET", address, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Cache-Control"] == "max-age=31536000, immutable"
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.text == (PAGES / "static" / "mien.css").read_text(encoding="utf-8")
    again = world.call("GET", address, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = world.call("GET", address[:-2], headers={"Accept-Encoding": "identity"})
    assert other.headers["Cache-Control"] == "no-cache"
    assert "Content-Encoding" not in other.headers
