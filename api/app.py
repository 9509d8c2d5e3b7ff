"""The HTTP service: built once from what it is given, with every route mounted and every answer framed."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from importlib import resources

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import (
    clip_events,
    routes_audit,
    routes_authorities,
    routes_backends,
    routes_clips,
    routes_consent,
    routes_gate,
    routes_live,
    routes_liveness,
    routes_log,
    routes_media,
    routes_public,
    routes_subject,
)
from api.attestation import read_verifiers
from api.calls import as_problem
from api.clip_events import ClipEvents
from api.database import Database, open_database
from api.engines import FaceEngines, open_face_engines
from api.errors import Problem
from api.files import open_files
from api.keys import KeyRing
from api.ledger import read_witnesses
from api.live_guidance import LiveSessions
from api.media import Vault
from api.notices import Notices
from api.queue import Queue
from api.schemas import ProblemBody
from api.service import Service, wall_clock
from api.settings import Settings
from api.status import StatusLists

_JSON_MAX_BYTES = 512 * 1024
_LARGE_BODIES = (
    (re.compile(r"^/v1/liveness/sessions/[^/]+/capture$"), routes_liveness.CAPTURE_MAX_BYTES),
    (re.compile(r"^/v1/media$"), routes_media.MEDIA_MAX_BYTES),
    (re.compile(r"^/v1/authorities/[^/]+/(documents|photographs)$"), routes_authorities.FILE_MAX_BYTES),
)
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
    "Cache-Control": "no-store",
}


@contextmanager
def open_service(
    settings: Settings,
    *,
    faces: FaceEngines | None = None,
    now: Callable[[], datetime] = wall_clock,
    database: Database | None = None,
) -> Iterator[Service]:
    """Everything behind the routes, opened in order and closed in reverse.

    ``faces``: instead of the installed models, for tests. ``database``: one that is open already.

    Raises: DatabaseUnavailable, KeysInvalid, StorageUnavailable, AttestationMisconfigured, SettingsInvalid, WeightsError,
        EngineError.
    """
    ring = KeyRing(settings, now=now)
    engines = open_face_engines(settings) if faces is None else faces
    vault = Vault(open_files(settings.files), ring)
    attestation = {} if settings.attestation is None else read_verifiers(settings.attestation)
    witnesses = () if settings.witnesses is None else read_witnesses(settings.witnesses)

    def service_on(database: Database) -> Service:
        return Service(
            settings=settings,
            database=database,
            ring=ring,
            vault=vault,
            queue=Queue(),
            faces=engines,
            attestation=attestation,
            witnesses=witnesses,
            now=now,
        )

    if database is not None:
        yield service_on(database)
        return
    with open_database(settings) as opened:
        yield service_on(opened)


def create_app(service: Service) -> FastAPI:
    """The application on an open service."""

    notices = Notices()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.clip_events = events = ClipEvents()
        notices.hear(clip_events.CHANNEL, events.ring)
        async with notices.listening(service.database.conninfo):
            yield
        events.close()

    app = FastAPI(
        title="Mien",
        summary="Lets a real person's face into generated video only with that person's proven, living consent",
        version=_version(),
        lifespan=life,
        docs_url=None,  # its page would load scripts from a third party
        redoc_url=None,
        responses={"4XX": {"model": ProblemBody, "content": {"application/problem+json": {}}}},
    )
    app.state.service = service
    app.state.status_lists = StatusLists()
    app.state.notices = notices
    app.state.live = LiveSessions(service.settings.live_sessions)
    for part in (
        routes_liveness,
        routes_live,
        routes_consent,
        routes_authorities,
        routes_media,
        routes_gate,
        routes_backends,
        routes_clips,
        routes_audit,
        routes_log,
        routes_subject,
        routes_public,
    ):
        app.include_router(part.router)
    for kind in (Problem, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, as_problem)
    app.add_api_route("/", _landing, include_in_schema=False)
    app.add_middleware(Frame)
    return app


def _landing() -> HTMLResponse:
    return HTMLResponse((resources.files("api") / "pages" / "landing.html").read_text(encoding="utf-8"))


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("mien")
    except PackageNotFoundError:
        return "0+unknown"


class Frame:
    """Around every call: bounds the body, names the request, and sets the headers that every answer carries."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get("X-Request-ID", "")
        request_id = asked if _REQUEST_ID.fullmatch(asked) else secrets.token_hex(8)

        async def framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        limit = next((most for path, most in _LARGE_BODIES if path.match(scope["path"])), _JSON_MAX_BYTES)
        stated = Headers(scope=scope).get("Content-Length", "0")
        if not stated.isdigit() or int(stated) > limit:
            await Problem("body_too_large", f"at most {limit} bytes").response()(scope, receive, framed)
            return
        await self._app(scope, _bounded(receive, limit), framed)


def _bounded(receive: Receive, limit: int) -> Receive:
    size = 0

    async def bounded() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise HTTPException(413)
        return message

    return bounded


__all__ = ["create_app", "open_service"]
