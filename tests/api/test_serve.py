"""``mien serve`` as a process on real weights: it comes up, keeps its worker, and goes cleanly."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.api.conftest import postgres_folder

pytestmark = [pytest.mark.service, pytest.mark.weights]

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Served:
    process: subprocess.Popen[bytes]
    address: str
    log: Path

    def ready(self) -> dict[str, object]:
        try:
            answer = httpx.get(f"{self.address}/readyz", timeout=5)
        except httpx.TransportError:
            return {}
        return dict(answer.json()) if answer.status_code == 200 else {}

    def children(self, word: str) -> list[psutil.Process]:
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.Error):  # it may be going
                if word in " ".join(child.cmdline()):
                    found.append(child)
        return found


def until(what: Callable[[], object], seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "it never happened"
        time.sleep(0.2)


@contextmanager
def served(var: Path, weights: Path, port: int, *options: str, **environment: str) -> Iterator[Served]:
    """In a process group of its own, as in a terminal."""
    log = var / f"log-{time.monotonic_ns()}.txt"
    settings = {"MIEN_VAR": str(var), "MIEN_WEIGHTS": str(weights), "MIEN_PORT": str(port)} | environment
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIEN_")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.cli", "serve", *options],
            cwd=ROOT, env=kept | settings, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield Served(process, f"http://127.0.0.1:{port}", log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_the_service_comes_up_keeps_its_worker_and_goes_on_ctrl_c(weights: Path) -> None:
    port = free_port()
    with postgres_folder() as folder:
        var = folder / "var"
        var.mkdir()
        with served(var, weights, port) as service:
            until(lambda: service.ready().get("worker") == "there")
            said = service.log.read_text()
            keys = re.findall(r"mien_(app|backend|auditor|admin)_[\w-]{43}", said)
            assert sorted(keys) == ["admin", "app", "auditor", "backend"]
            assert "models: " in said
            assert f"serving at http://127.0.0.1:{port}" in said
            assert re.search(rf"http://localhost:{port}/start/[\w-]{{43}}\b", said)

            (worker,) = service.children("api.worker")
            worker.kill()
            until(lambda: [w.pid for w in service.children("api.worker")] not in ([], [worker.pid]))

            os.killpg(service.process.pid, signal.SIGINT)  # what Ctrl-C does: the whole foreground group
            assert service.process.wait(30) == 0
            assert "Traceback" not in service.log.read_text()
        assert not (var / "postgres" / "postmaster.pid").exists()
        until(lambda: not list(_processes_in(folder)), 5)

        with served(var, weights, port) as again:
            until(again.ready)
            assert "mien_app_" not in again.log.read_text(), "keys are shown once"
            assert "/start/" in again.log.read_text(), "until somebody who works here has a passkey"
            with served(var, weights, port) as second:
                assert second.process.wait(30) == 3
                lines = second.log.read_text().splitlines()
                assert any(line.startswith("mien: address_taken: ") for line in lines)
                assert "Traceback" not in second.log.read_text()
            _several_share_an_address(var, weights)


def _several_share_an_address(var: Path, weights: Path) -> None:
    port = free_port()
    with served(var, weights, port, "--api-only") as one, served(var, weights, port, "--api-only") as other:
        both = [one.process.pid, other.process.pid]
        until(lambda: {_listener(port, both) for _ in range(20)} == set(both))
        with served(var, weights, port) as whole:
            assert whole.process.wait(60) == 3, "it would migrate and bring a worker: it does not share"
        other.process.send_signal(signal.SIGTERM)
        assert other.process.wait(30) == 0
        assert {_listener(port, both) for _ in range(20)} == {one.process.pid}


def _listener(port: int, processes: list[int]) -> int | None:
    """Which of the processes a new connection is given to; ``None``: it does not answer."""
    with socket.socket() as caller, suppress(OSError):
        caller.connect(("127.0.0.1", port))
        caller.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if not caller.recv(100).startswith(b"HTTP/1.1 200"):
            return None
        own = caller.getsockname()
        for process in processes:
            with suppress(psutil.Error):
                for line in psutil.Process(process).net_connections("tcp"):
                    if line.laddr == ("127.0.0.1", port) and line.raddr == own:
                        return process
    return None


def _processes_in(folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get("MIEN_VAR", "").startswith(str(folder)):
            yield process


def test_missing_weights_are_said_in_one_line_before_anything_starts(tmp_path: Path) -> None:
    with served(tmp_path, tmp_path / "none", free_port()) as service:
        assert service.process.wait(30) == 3
        said = service.log.read_text()
    assert "mien: weights_missing: " in said
    assert "Traceback" not in said
    assert not (tmp_path / "postgres").exists()
