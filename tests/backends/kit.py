"""A vendor on this machine: an HTTP server that behaves as the vendor documents, and writes down whatever reaches it.

A stub (``stub_<vendor>.py``) subclasses :class:`Vendor`: it takes orders, lets jobs pass through states one look at a time,
signs callbacks, and knows every documented error. Knobs for what goes wrong on the way are here, the same for all.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from likeness.backends import RemoteModel
from likeness.remote import Account, Callback, FaultCode, Media, MediaKind, Mode, RemoteJob, Role

NOW = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)
KEY = "0f0e0d0c-0b0a-4909-8807-060504030201"
SECRET = "a-secret-that-must-stay-inside"
HOOK_SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
CLIP = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 4
"""Enough to be taken for a video; what is inside is not this test's business."""
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
ADDRESS = "https://mien.example/v1/remote/inputs/"
LOST = object()


@dataclass(frozen=True)
class Asked:
    """One request that reached the vendor."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def said(value: object, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"} | headers)


@dataclass
class Job:
    """What the vendor knows of an order. ``looks``: how often it was asked for; ``ending``: how it ends."""

    id: str
    order: Any
    media: list[str]
    sound: bool | None = None
    looks: int = 0
    ending: Any = None
    cancelled: bool = False

    @property
    def shown(self) -> str:
        """What the look just now shows."""
        if self.cancelled:
            return "cancelled"
        return ("queued", "running", "ended")[min(max(self.looks, 1) - 1, 2)]

    @property
    def stage(self) -> str:
        """One look queued, one running, then the end."""
        if self.cancelled:
            return "cancelled"
        return ("queued", "running")[self.looks] if self.looks < 2 else "ended"


@dataclass
class Trouble:
    """A documented error: what the vendor answers to an order, and what we call it. ``again``: it is asked again."""

    name: str
    reply: Reply
    code: FaultCode
    again: bool = False


class Vendor:
    """What all stubs share. ``errors``: to orders; ``endings``: of jobs (what the vendor says, what we call it)."""

    name: str
    prefix = ""
    errors: tuple[Trouble, ...] = ()
    endings: tuple[tuple[str, Any, FaultCode], ...] = ()
    signs_body = True

    def __init__(self) -> None:
        self.url = ""
        self.log: list[Asked] = []
        self.jobs: dict[str, Job] = {}
        self.assets: dict[str, str] = {}
        self.uploads: dict[str, str] = {}
        self.ending: Any = None
        self.clip = CLIP
        self.picture = PICTURE
        self.instead: list[Reply] = []  # to the next requests that would spend
        self.lose_orders = 0  # orders that are taken and not answered
        self.before_answer: Callable[[Job], None] = lambda _: None
        self.fetches: Callable[[str], str] | None = None  # an address to the digest of what is there
        self.fetched: dict[str, str] = {}

    # --- for tests

    @property
    def account(self) -> Account:
        return Account(host=self.url + self.prefix, secrets=self.secrets(), options=self.options())

    def secrets(self) -> dict[str, str]:
        return {"key": SECRET}

    def options(self) -> dict[str, str]:
        return {}

    def orders(self) -> list[Asked]:
        """Requests that would make work."""
        return [asked for asked in self.log if self.spends(asked)]

    def callback(self, job: Job) -> Callback:
        """As the vendor sends it; for one that sends none, what somebody else might."""
        return Callback(method="POST", path="/hook", headers={}, body=b"{}")

    def forget(self) -> None:
        """As if nothing had reached it."""
        self.jobs.clear()
        self.log.clear()
        self.instead.clear()

    # --- for stubs

    def spends(self, asked: Asked) -> bool:
        raise NotImplementedError

    def answer(self, asked: Asked) -> Reply:
        raise NotImplementedError

    def fetch_inputs(self, asked: Asked) -> None:
        """What a vendor does with addresses in an order, where somebody made it able to."""
        if self.fetches is not None:
            for url in re.findall(rb'https://[^" ]+?/v1/remote/inputs/[^" ]+', asked.body):
                self.fetched[url.decode()] = self.fetches(url.decode())

    def digest_at(self, url: str) -> str:
        """Digest of the bytes at an address of ours; in tests of adapters it is the address's own name."""
        assert "/v1/remote/inputs/" in url, "not an address of ours"
        if self.fetches is not None:
            return self.fetched[url]
        return url.rpartition("/")[2].partition(".")[0]

    def take(self, order: Any, media: list[str], *, sound: bool | None = None, job_id: str | None = None) -> Job:
        job = Job(job_id or f"job{len(self.jobs) + 1}", order, media, sound, ending=self.ending)
        self.jobs[job.id] = job
        self.before_answer(job)
        return job

    def looked(self, job_id: str) -> Job | None:
        """The job, a stage further than at the last look."""
        job = self.jobs.get(job_id)
        if job is not None:
            job.looks += 1
        return job

    @property
    def picture_url(self) -> str:
        return f"{self.url}/files/picture.png"

    @property
    def clip_url(self) -> str:
        return f"{self.url}/files/clip.mp4"

    def reply_to(self, asked: Asked) -> Reply | object:
        self.log.append(asked)
        if asked.path == "/files/clip.mp4":
            return Reply(200, self.clip, {"Content-Type": "video/mp4"})
        if asked.path == "/files/picture.png":
            return Reply(200, self.picture, {"Content-Type": "image/png"})
        if self.spends(asked):
            if self.instead:
                return self.instead.pop(0)
            self.fetch_inputs(asked)
            reply = self.answer(asked)
            if self.lose_orders and reply.status < 300:
                self.lose_orders -= 1
                return LOST
            return reply
        return self.answer(asked)


def standard_webhook(body: bytes, *, path: str = "/hook") -> Callback:
    """Signed as Standard Webhooks 1.0 has it, with :data:`HOOK_SECRET`."""
    stamp = str(int(NOW.timestamp()))
    key = base64.b64decode(HOOK_SECRET.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, b".".join((b"msg-1", stamp.encode(), body)), "sha256")).decode()
    headers = {"webhook-id": "msg-1", "webhook-timestamp": stamp, "webhook-signature": f"v1,AAAA v1,{signature}"}
    return Callback(method="POST", path=path, headers=headers, body=body)


def sha256_of_data_uri(uri: str) -> str:
    """Digest of the bytes in a data URI; anything else is not how bytes are handed over, and fails."""
    head, _, content = uri.partition(";base64,")
    assert head.startswith("data:"), "not a data URI"
    return hashlib.sha256(base64.b64decode(content, validate=True)).hexdigest()


def sha256_of_base64(text: str) -> str:
    return hashlib.sha256(base64.b64decode(text, validate=True)).hexdigest()


def part_of_form(asked: Asked, name: str) -> tuple[bytes, str]:
    """Content and file name of one part of a multipart body."""
    boundary = asked.headers["content-type"].partition("boundary=")[2].encode()
    for part in asked.body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.strip(b"\r\n").partition(b"\r\n\r\n")
        if f'name="{name}"'.encode() in head:
            file = head.partition(b'filename="')[2].partition(b'"')[0].decode()
            return content, file
    raise AssertionError(f"no part {name}")


@contextmanager
def open_vendor(vendor: Vendor) -> Iterator[Vendor]:
    """The vendor, at home on a port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = vendor.reply_to(Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body))
            self.close_connection = True
            if not isinstance(reply, Reply):
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def server_bind(self) -> None:
            TCPServer.server_bind(self)  # HTTPServer's looks our name up, which takes seconds where nothing answers
            self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

        def handle_error(self, *_: object) -> None:
            return  # a connection that we break off on purpose

    server = Server(("127.0.0.1", 0), Handler)
    vendor.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield vendor
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# --- jobs ------------------------------------------------------------------------------------------------------------


def medium(
    role: Role,
    kind: MediaKind,
    number: int = 0,
    *,
    asset: str | None = None,
    person: bool = True,
    by_address: bool = False,
) -> Media:
    content, media_type = {
        MediaKind.PICTURE: (b"\x89PNG\r\n\x1a\n" + bytes([number]) * 40, "image/png"),
        MediaKind.VIDEO: (CLIP + bytes([number]), "video/mp4"),
        MediaKind.SOUND: (b"RIFF....WAVE" + bytes([number]) * 40, "audio/wav"),
    }[kind]
    sha256 = hashlib.sha256(content).hexdigest()
    return Media(
        role=role,
        kind=kind,
        media_type=media_type,
        content=content,
        sha256=sha256,
        consents=("con_alice",) if person else (),
        asset=asset,
        address=f"{ADDRESS}{sha256}.bin" if by_address else None,
    )


def job_for(model: RemoteModel, mode: Mode, **more: Any) -> RemoteJob:
    """A job of that mode with as many media as make the mode, of invented people where the vendor verifies real ones."""
    picture, video, sound = MediaKind.PICTURE, MediaKind.VIDEO, MediaKind.SOUND
    wanted: list[tuple[Role, MediaKind]] = {
        Mode.TEXT_TO_VIDEO: [],
        Mode.FIRST_FRAME: [(Role.FIRST_FRAME, picture)],
        Mode.FIRST_LAST_FRAME: [(Role.FIRST_FRAME, picture), (Role.LAST_FRAME, picture)],
        Mode.KEYFRAMES: [(Role.KEYFRAME, picture)] * min(3, model.keyframes),
        Mode.REFERENCE: [
            *[(Role.REFERENCE, picture)] * min(2, model.references),
            *[(Role.REFERENCE, video)] * min(1, model.reference_videos),
            *[(Role.REFERENCE, sound)] * min(1, model.reference_sounds),
        ],
        Mode.SPEECH_TO_VIDEO: [(Role.SPEAKER, picture), (Role.VOICE, sound)],
        Mode.PERFORMANCE: [(Role.SPEAKER, picture), (Role.PERFORMER, video)],
        Mode.EDIT: [(Role.SOURCE, video)],
        Mode.EXTEND: [(Role.SOURCE, video)],
        Mode.IMAGE: [(Role.REFERENCE, picture)] * min(2, model.references),
    }[mode]
    person = model.real_people == "allowed"
    fields: dict[str, Any] = {
        "model": model.name,
        "mode": mode,
        "prompt": "A red square turns into a blue one.",
        "seconds": model.seconds[-1 if mode is Mode.KEYFRAMES else 0],
        "ratio": model.ratios[0] if model.ratios else None,
        "resolution": model.resolutions[0] if model.resolutions else None,
        "seed": 7 if model.seeds else None,
        "sound": model.sound.value == "always",
        "media": tuple(
            medium(role, kind, n, person=person, by_address=model.by_address) for n, (role, kind) in enumerate(wanted)
        ),
    }
    return RemoteJob(**fields | more)
