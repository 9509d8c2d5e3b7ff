"""The HTTP service: built once from what it is given, with every route mounted and every answer framed."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import (
    clip_events,
    outputs,
    pages,
    routes_account,
    routes_audit,
    routes_authorities,
    routes_backends,
    routes_clips,
    routes_consent,
    routes_console,
    routes_ext_authz,
    routes_gate,
    routes_identify,
    routes_live,
    routes_liveness,
    routes_log,
    routes_media,
    routes_my,
    routes_passkeys,
    routes_public,
    routes_references,
    routes_remote,
    routes_start,
    routes_studio,
    routes_subject,
    routes_terms,
    routes_vendor_people,
    routes_verify,
)
from api.allowances import Allowances
from api.attestation import read_verifiers
from api.auth import KeyHolders
from api.blinding import blinding_of
from api.books import LEFT_TO_WORKERS_S, settling
from api.calls import as_problem
from api.clip_events import ClipEvents
from api.clip_registry import CLIP_MAX_BYTES
from api.database import LINES, Database, open_database
from api.engines import FaceEngines, open_face_engines
from api.errors import Problem
from api.files import open_files
from api.keys import KeyRing
from api.ledger import read_witnesses
from api.live_guidance import LiveSessions
from api.look_alike_search import LookAlikeSearch
from api.media import Vault
from api.notices import Notices
from api.queue import Queue
from api.remote_clips import open_remotes
from api.service import Service, wall_clock
from api.settings import Settings
from api.status import StatusLists
from api.steps import Threads

_JSON_MAX_BYTES = 512 * 1024
_LARGE_BODIES = (
    (re.compile(r"^/v1/liveness/sessions/[^/]+/capture$"), routes_liveness.CAPTURE_MAX_BYTES),
    (re.compile(r"^/v1/clips/identify$"), CLIP_MAX_BYTES),
    (re.compile(r"^/v1/media$"), outputs.OUTPUT_MAX_BYTES),
    (re.compile(r"^/v1/authorities/[^/]+/(documents|photographs)$"), routes_authorities.FILE_MAX_BYTES),
)
_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,256}")
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
    "Cache-Control": "no-store",
}
_OVER_HTTPS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}


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
    if settings.look_alikes:  # takes a second: drawn before anybody waits for it
        blinding_of(ring.current(), settings.look_alikes_rotation)
    attestation = {} if settings.attestation is None else read_verifiers(settings.attestation)
    witnesses = () if settings.witnesses is None else read_witnesses(settings.witnesses)

    @contextmanager
    def service_on(database: Database) -> Iterator[Service]:
        with closing(LookAlikeSearch(settings.look_alikes_memory_mb, database.transaction)) as look_alikes:
            yield Service(
                settings=settings,
                database=database,
                ring=ring,
                vault=vault,
                queue=Queue(),
                faces=engines,
                look_alikes=look_alikes,
                attestation=attestation,
                witnesses=witnesses,
                now=now,
            )

    if database is not None:
        with service_on(database) as service:
            yield service
        return
    with open_database(settings) as opened, service_on(opened) as service:
        yield service


def create_app(service: Service) -> FastAPI:
    """The application on an open service."""

    notices = Notices()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.clip_events = events = ClipEvents()
        notices.hear(clip_events.CHANNEL, events.ring)
        async with notices.listening(service.database.conninfo):
            with settling(service, left_s=LEFT_TO_WORKERS_S):
                yield
        events.close()

    app = Mien(
        https=service.settings.public_url.startswith("https://"),
        title="Mien",
        summary="Lets a real person's face into generated video only with that person's proven, living consent",
        version=_version(),
        lifespan=life,
        docs_url=None,  # its page would load scripts from a third party
        redoc_url=None,
    )
    app.state.service = service
    app.state.key_holders = KeyHolders()
    app.state.gate_threads = Threads.of(LINES, "gate")
    app.state.status_lists = StatusLists()
    app.state.remotes = open_remotes(service.settings)
    app.state.notices = notices
    app.state.identify_desk = routes_identify.Desk.of(service.settings)
    app.state.sign_ins = Allowances(per_minute=60, at_once=30, clock=time.monotonic)
    app.state.live = LiveSessions(service.settings.live_sessions)
    for router in (
        routes_gate.router,  # first: routes are tried in this order, and none is asked as often
        routes_liveness.router,
        routes_live.router,
        routes_consent.router,
        routes_authorities.router,
        routes_media.router,
        routes_ext_authz.router,
        routes_references.router,
        routes_backends.router,
        routes_clips.router,
        routes_identify.router,
        routes_remote.router,
        routes_audit.router,
        routes_log.router,
        routes_subject.router,
        routes_passkeys.router,
        routes_vendor_people.router,
        routes_public.router,
        pages.router,
        routes_console.router,
        routes_start.router,
        routes_terms.router,
        routes_my.router,
        routes_account.router,
        routes_verify.router,
        routes_studio.router,
        routes_studio.calls,
    ):
        app.router.routes.extend(router.routes)  # as they are: included, each is built again for every application
    for kind in (Problem, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, as_problem)
    return app


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("mien")
    except PackageNotFoundError:
        return "0+unknown"


class Mien(FastAPI):
    """The application. Questions to the gate do not go through the layers of the framework, which take longer than all that a
    question takes of this process before it is decided: what is around every call is around them, and no more."""

    def __init__(self, *, https: bool, **how: Any) -> None:
        super().__init__(**how)
        self._evaluate = Frame(_evaluated, https=https)
        self.add_middleware(Frame, https=https)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == routes_gate.EVALUATION and scope["method"] == "POST":
            scope["app"] = self
            await self._evaluate(scope, receive, send)
            return
        await super().__call__(scope, receive, send)


async def _evaluated(scope: Scope, receive: Receive, send: Send) -> None:
    response = await routes_gate.evaluate(Request(scope, receive, send))
    await response(scope, receive, send)


class Frame:
    """Around every call: bounds the body, names the request, and sets the headers that every answer carries."""

    def __init__(self, app: ASGIApp, *, https: bool = False) -> None:
        self._app = app
        headers = _HEADERS | (_OVER_HTTPS if https else {})
        self._headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked, stated = "", "0"
        for name, value in reversed(scope["headers"]):  # the first of a name counts
            if name == b"x-request-id":
                asked = value.decode("latin-1")
            elif name == b"content-length":
                stated = value.decode("latin-1")
        request_id = asked if _REQUEST_ID.fullmatch(asked) else secrets.token_hex(8)

        async def framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [pair for pair in message["headers"] if pair[0] != b"x-request-id"]
                there = {name for name, _ in own}
                ours = [pair for pair in self._headers if pair[0] not in there]
                message["headers"] = [*own, (b"x-request-id", request_id.encode("latin-1")), *ours]
            await send(message)

        limit = next((most for path, most in _LARGE_BODIES if path.match(scope["path"])), _JSON_MAX_BYTES)
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
