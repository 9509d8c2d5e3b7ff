"""The whole service in one command: PostgreSQL, migrations, first keys, a worker, and the HTTP server.

This process owns the embedded PostgreSQL and the worker. The worker is a child in a session of its own, so that Ctrl-C in a
terminal reaches only us; it is started again when it dies, with growing pauses, and ends when we go, however we go.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext

import uvicorn
from starlette.types import ASGIApp

from api.app import create_app, open_service
from api.auth import Role, create_key
from api.browser_sessions import new_start_code
from api.clip_events import ClipEvents
from api.database import Database, bring_up, open_database, require_schema
from api.engines import licence_line, open_face_engines
from api.routes_live import MESSAGE_MAX_BYTES
from api.service import Service, log_to_stderr, wall_clock
from api.settings import NOT_NAMED, Settings

log = logging.getLogger("mien.serve")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
_STEADY_S = 60.0  # a worker that lived so long was fine; the next pause is short again
_WORKER_GRACE_S = 6.0  # to leave, beyond what its running jobs get


class AddressTaken(Exception):
    """Nothing can listen where we were told to. One line, for the terminal."""

    code = "address_taken"


def serve(settings: Settings, *, api_only: bool = False) -> int:
    """Serve until SIGINT or SIGTERM; gives the exit code.

    ``api_only``: workers, migrations and keys are somebody else's, as where several processes serve; those on one machine may
    share an address.

    Raises: AddressTaken, DatabaseUnavailable, SchemaOutdated, KeysInvalid, WeightsError, EngineError, before anything is
        answered.
    """
    log_to_stderr()
    with _signals_end_us() as ending, _address(settings, shared=api_only) as address:
        faces = open_face_engines(settings)  # before the database: missing weights are said at once
        with open_database(settings) as database:
            if api_only:
                require_schema(database)
            else:
                bring_up(settings, database.owner_url)
            with open_service(settings, faces=faces, database=database) as service:
                keys = [] if api_only else _first_keys(service)
                _say(settings, keys, None if api_only else new_start_code(service))
                if not ending.is_set():
                    with nullcontext() if api_only else _worker(settings, database):
                        _listen(address, service, ending)
    return 0


class _Server(uvicorn.Server):
    """Leaves signals to us, and lets waiting event streams go before it waits for connections."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server_config(app: ASGIApp) -> uvicorn.Config:
    """How the HTTP server runs."""
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # addresses carry ids; what matters is in the audit tables
        server_header=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=15,
        ws="websockets-sansio",
        ws_max_size=MESSAGE_MAX_BYTES + 1024,  # a message and its frame
        ws_per_message_deflate=False,  # media is compressed already
    )


def keep_pauses_short() -> None:
    """What is there at the start stays till the end: garbage is not looked for among it again and again, which takes
    25 ms each time, of whoever asks just then. And a thread that works gives way to those that wait after a millisecond, not
    after five, which is longer than an answer of the gate takes: a fifth more answers in the same time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    sys.setswitchinterval(0.001)


def _listen(address: socket.socket, service: Service, ending: threading.Event) -> None:
    app = create_app(service)
    keep_pauses_short()
    server = _Server(server_config(app))

    def stop() -> None:
        ending.wait()
        events: ClipEvents | None = getattr(app.state, "clip_events", None)
        if events is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                events.close_soon()
        server.should_exit = True

    threading.Thread(target=stop, name="stop", daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        server.run(sockets=[address])
    ending.set()


@contextmanager
def _address(settings: Settings, *, shared: bool) -> Iterator[socket.socket]:
    """The socket we will listen on, taken first: a second service on the same address is told so at once. ``shared``: others
    that share it too may listen there, and the system gives each new connection to one of them."""
    with ExitStack() as opened:
        try:
            family, kind, protocol, _, where = socket.getaddrinfo(
                settings.host, settings.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
            )[0]
            # the protocol is named, or asyncio leaves Nagle's algorithm on and every answer takes 40 ms longer
            address = opened.enter_context(socket.socket(family, kind, protocol))
            address.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                address.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            address.bind(where)
            address.listen(256)
        except OSError as error:
            raise AddressTaken(f"cannot listen on {settings.host}:{settings.port} ({error.strerror})") from error
        yield address


@contextmanager
def _signals_end_us() -> Iterator[threading.Event]:
    """SIGINT and SIGTERM ask for the end, from here until everything is closed; asking again changes nothing."""
    ending = threading.Event()
    before = {
        name: signal.signal(name, lambda _number, _frame: ending.set()) for name in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield ending
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


# --- the worker ------------------------------------------------------------------------------------------------------


@contextmanager
def _worker(settings: Settings, database: Database) -> Iterator[None]:
    """A worker that is started again when it dies, and ended with us."""
    stopping = threading.Event()
    keeper = threading.Thread(target=_keep_worker, args=(settings, database, stopping), name="worker", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stopping.set()
        keeper.join(settings.worker_grace_s + _WORKER_GRACE_S + 5)


def _keep_worker(settings: Settings, database: Database, stopping: threading.Event) -> None:
    pause = _FIRST_PAUSE_S
    while not stopping.is_set():
        began = time.monotonic()
        child = start_worker(database.url)
        while child.poll() is None and not stopping.wait(0.2):
            pass
        if stopping.is_set():
            _end(child, settings.worker_grace_s + _WORKER_GRACE_S)
            return
        pause = _FIRST_PAUSE_S if time.monotonic() - began > _STEADY_S else min(2 * pause, _LONGEST_PAUSE_S)
        log.warning("the worker ended with %s; another starts in %.0f s", child.returncode, pause)
        stopping.wait(pause)


def start_worker(database_url: str) -> subprocess.Popen[bytes]:
    """A worker process on that database. It ends when its standard input closes, so it never outlives us."""
    environment = os.environ | {"MIEN_DATABASE_URL": database_url}
    return subprocess.Popen(
        [sys.executable, "-m", "api.worker"],
        env=environment,
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def _end(child: subprocess.Popen[bytes], patience_s: float) -> None:
    child.terminate()
    try:
        child.wait(patience_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdin is not None:
        child.stdin.close()


# --- what the terminal shows -----------------------------------------------------------------------------------------


def _first_keys(service: Service) -> list[tuple[Role, str]]:
    """One key of each role, at the very first start."""
    with service.database.transaction() as store:
        if store.has_api_keys():
            return []
        return [(role, create_key(store, role, _FIRST_NAMES[role], now=wall_clock())) for role in Role]


_FIRST_NAMES = {Role.APP: "first-app", Role.BACKEND: "studio", Role.AUDITOR: "first-auditor", Role.ADMIN: "first-admin"}


def _say(settings: Settings, keys: list[tuple[Role, str]], start_code: str | None) -> None:
    lines = [licence_line(settings)]
    if keys:
        lines.append("first API keys, shown this once (only their hashes are kept; make more with: mien keys create):")
        lines += [f"  {role:8} {_FIRST_NAMES[role]:14} {key}" for role, key in keys]
    if settings.controller == NOT_NAMED:
        lines.append("MIEN_CONTROLLER is not set: records name no organisation. Set it before real people consent.")
    if settings.policy == "simulated" or settings.minimum_assurance == "simulated":
        lines.append("WARNING: simulated captures count here; this installation proves nothing about real people.")
    lines.append(f"serving at {settings.public_url}")
    if start_code is not None:
        lines.append(f"open this to begin (once, within 30 minutes): {settings.page_origin}/start/{start_code}")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
