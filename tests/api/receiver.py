"""A receiver of webhooks on this machine that does as it is told: answer, hang, drip, redirect, answer without end."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """``answer``: a status; ``hang``, ``drip`` and ``flood`` are misbehaviours. ``location``: sent along."""

    port: int
    received: list[Received] = field(default_factory=list)
    answer: int | str = 204
    location: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            message = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            receiving.received.append(message)
            match receiving.answer:
                case "hang":
                    over.wait(30)
                case "drip":
                    self._drip()
                case "flood":
                    self._flood()
                case status:
                    self.send_response(int(status))
                    if receiving.location is not None:
                        self.send_header("Location", receiving.location)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
            self.close_connection = True

        def _drip(self) -> None:
            """A header byte at a time: each read succeeds, none ends."""
            try:
                while not over.is_set():
                    self.wfile.write(b"H")
                    self.wfile.flush()
                    time.sleep(0.05)
            except OSError:
                return

        def _flood(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(2**40))
            self.end_headers()
            try:
                while not over.is_set():
                    self.wfile.write(bytes(65536))
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            return  # a handshake that the other side breaks off is what some tests are about

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiving = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiving
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
