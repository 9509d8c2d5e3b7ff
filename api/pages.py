"""Web pages: rendered here, in the reader's language, with nothing from anywhere else.

A page is a template of ``pages/templates`` filled with words of ``pages/words`` (a table per language, the same keys in each)
and values. Scripts and style sheets are files of ``pages/static``; nothing is inline, so the Content-Security-Policy allows
nothing inline. What a page does it does by calling the API with a script, as an app would.

Passkeys are bound to a host name, which an address of numbers is not: on this machine pages live at ``localhost``, and whoever
comes by 127.0.0.1 is sent there.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import string
import tomllib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import segno
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from api.calls import as_problem
from api.errors import Problem, problem_of
from api.settings import Settings

PageLanguage = Literal["en", "zh"]
LANGUAGES: tuple[PageLanguage, ...] = ("en", "zh")
LANGUAGE_COOKIE = "mien-language"

_CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
}
_STATIC_NAME = re.compile(r"[a-z0-9][a-z0-9-]*\.[a-z0-9]+")
_WORTH_PACKING = 1000  # bytes


def _folder(name: str) -> Traversable:
    return resources.files("api") / "pages" / name


# --- words -----------------------------------------------------------------------------------------------------------


class WordsMissing(AttributeError):
    """A page asks for words that are not written. Found by the first test that opens it. Of this kind, as the template engine
    asks of what it calls whether it has marks of its own."""


class Words:
    """The words of one area in one language: ``t.title`` as it is, ``t("sent", name=...)`` with values in its ``{places}``.

    What the area does not have is looked for among the words of every page (``site.toml``).
    """

    def __init__(self, area: str, language: PageLanguage) -> None:
        self._area = area
        self._words: dict[str, str] = all_words("site")[language] | all_words(area)[language]

    def __call__(self, key: str, **values: object) -> str:
        try:
            return string.Formatter().vformat(self._words[key], (), values)
        except KeyError as error:
            raise WordsMissing(f"{self._area}: {key} ({error.args[0]})") from None

    def __getattr__(self, key: str) -> str:
        if key.startswith(("_", "jinja_")):  # what templates ask of everything before they call it
            raise AttributeError(key)
        return self(key)

    def has(self, key: str) -> bool:
        return key in self._words

    def some(self, prefix: str) -> dict[str, str]:
        """All words whose key starts so, for a script; places stay as they are."""
        return {key: text for key, text in self._words.items() if key.startswith(prefix)}


@cache
def all_words(area: str) -> Mapping[str, dict[str, str]]:
    """Both languages of an area. Raises: WordsMissing when there is no such file, or a key is in one language only."""
    try:
        tables = tomllib.loads((_folder("words") / f"{area}.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WordsMissing(area) from None
    if set(tables) != set(LANGUAGES) or len({frozenset(tables[language]) for language in LANGUAGES}) != 1:
        odd = set(tables.get("en", {})) ^ set(tables.get("zh", {}))
        raise WordsMissing(f"{area}: in one language only: {', '.join(sorted(odd)) or 'a whole language'}")
    return tables


def language_of(request: Request) -> PageLanguage:
    """What the reader chose, or else what their browser prefers, or else English."""
    for chosen in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        for language in LANGUAGES:
            if chosen == language:
                return language
    for wanted in _accepted(request.headers.get("Accept-Language", "")):
        for language in LANGUAGES:
            if wanted == language or wanted.startswith(f"{language}-"):
                return language
    return "en"


def _accepted(header: str) -> list[str]:
    """Languages in the order in which they are preferred (RFC 9110, 12.5.4)."""
    found = []
    for place, part in enumerate(header[:500].split(",")):
        name, _, more = part.strip().partition(";")
        weight = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", more)
        found.append((-(float(weight[1]) if weight else 1.0), place, name.lower()))
    return [name for weight, _, name in sorted(found) if weight < 0]


# --- pages -----------------------------------------------------------------------------------------------------------


def page(request: Request, template: str, *, area: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A template filled with the words of an area and these values, as an answer."""
    language = language_of(request)
    words = Words(area, language)
    content = (
        _templates()
        .get_template(template)
        .render(
            t=words,
            language=language,
            other_language=_other_language(request, language),
            path=request.url.path,
            area=area,
            **values,
        )
    )
    answer = HTMLResponse(content, status, {"Content-Security-Policy": _CSP, "Vary": "Accept-Language, Cookie"})
    if request.query_params.get("lang") == language:
        answer.set_cookie(LANGUAGE_COOKIE, language, max_age=365 * 86400, httponly=True, samesite="lax")
    return answer


def _other_language(request: Request, language: PageLanguage) -> dict[str, str]:
    """The same page in the other language."""
    other = "zh" if language == "en" else "en"
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "lang"]
    return {
        "code": other,
        "tag": "zh-Hans" if other == "zh" else "en",
        "name": "简体中文" if other == "zh" else "English",
        "href": "?" + urlencode([*query, ("lang", other)]),
    }


@cache
def _templates() -> Environment:
    def load(name: str) -> str | None:
        try:
            return (_folder("templates") / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    templates = Environment(
        loader=FunctionLoader(load),
        autoescape=select_autoescape(default_for_string=True, default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(static=static, qr=qr, script_data=script_data)
    return templates


def script_data(name: str, value: object) -> Markup:
    """Values for a script, as JSON that is no script itself; nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    if not re.fullmatch(r"[a-z-]+", name):
        raise ValueError(name)
    return Markup(f'<script type="application/json" id="{name}">{text}</script>')  # noqa: S704 (escaped above)


def qr(content: str) -> Markup:
    """A QR code as SVG that takes its size from the style sheet and its colours from the page: dark on light, always."""
    code = segno.make(content, error="m", micro=False)
    drawn = code.svg_inline(border=0, omitsize=True, dark="#000", light=None, svgclass="qr-code", lineclass=None)
    return Markup(drawn)  # noqa: S704 (made of squares; the content is not in it)


def qr_image(content: str) -> bytes:
    """The same as a picture of its own, for scripts."""
    code = segno.make(content, error="m", micro=False)
    drawn = io.BytesIO()
    code.save(drawn, kind="svg", border=0, dark="#000", light="#fff", xmldecl=False, omitsize=True)
    return drawn.getvalue()


class PageRoute(APIRoute):
    """The route class of every router of pages: what fails is a page, too, and pages have one origin."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            settings: Settings = request.app.state.service.settings
            elsewhere = at_page_origin(request, settings)
            if elsewhere is not None:
                return RedirectResponse(elsewhere, 307)
            try:
                return await handle(request)
            except SeeOther as see:
                return RedirectResponse(see.location, 303)
            except Exception as error:  # whatever it is, the reader gets a page
                as_problem(request, error)  # logged as for every call
                return error_page(request, problem_of(error))

        return answer


class SeeOther(Exception):
    """The reader is to go to another page first, such as the one to sign in at. ``location``: a path of ours."""

    def __init__(self, location: str) -> None:
        super().__init__("see another page")
        self.location = location


def error_page(request: Request, problem: Problem) -> HTMLResponse:
    """What went wrong, for whoever opened a page: no detail, but what to do."""
    kinds = {401: "signed_out", 403: "forbidden", 410: "over", 429: "wait"} | dict.fromkeys((400, 404, 422), "missing")
    kind = kinds.get(problem.status)
    answer = page(request, "error.html", area="site", status=problem.status, kind=kind or "broken")
    answer.headers.update(problem.retry_after)
    return answer


def at_page_origin(request: Request, settings: Settings) -> str | None:
    """Where this page is to be opened instead, if this is not the place."""
    origin = urlsplit(settings.page_origin)
    if origin.hostname != "localhost" or request.url.hostname != "127.0.0.1" or request.method != "GET":
        return None
    port = "" if request.url.port is None else f":{request.url.port}"
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{origin.scheme}://localhost{port}{request.url.path}{query}"


# --- static files ----------------------------------------------------------------------------------------------------

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    packed: bytes | None
    kind: str
    digest: str


def static(name: str) -> str:
    """The address of a static file; another content has another address."""
    return f"/pages/static/{name}?v={_file(name).digest}"


@cache
def _file(name: str) -> _File:
    if not _STATIC_NAME.fullmatch(name) or name.rpartition(".")[2] not in _TYPES:
        raise FileNotFoundError(name)
    content = (_folder("static") / name).read_bytes()
    packed = gzip.compress(content, 9, mtime=0) if len(content) > _WORTH_PACKING else None
    return _File(content, packed, _TYPES[name.rpartition(".")[2]], hashlib.sha256(content).hexdigest()[:16])


@router.get("/pages/static/{name}")
def static_file(name: str, request: Request) -> Response:
    """A style sheet, script or drawing of our pages."""
    try:
        file = _file(name)
    except FileNotFoundError:
        raise Problem("not_found") from None
    lasts = "max-age=31536000, immutable" if request.query_params.get("v") == file.digest else "no-cache"
    headers = {"Cache-Control": lasts, "ETag": f'"{file.digest}"', "Vary": "Accept-Encoding"}
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    if file.packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        return Response(file.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=file.kind)
    return Response(file.content, headers=headers, media_type=file.kind)


__all__ = [
    "LANGUAGES",
    "PageLanguage",
    "PageRoute",
    "SeeOther",
    "Words",
    "all_words",
    "error_page",
    "language_of",
    "page",
    "router",
    "static",
]
