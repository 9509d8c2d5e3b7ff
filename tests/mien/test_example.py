"""The documented generator passes the kit that the documentation tells to run; one that forgets something does not."""

from __future__ import annotations

import importlib.util
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request, Response

from api.cli import main
from mien import Released
from mien.conformance import API_KEY, WITH_PERMIT, StubGate, run
from tests.conftest import ROOT

BODY = b'{"prompt": "She waves.", "seconds": 1}'
QUICK = [case for case in WITH_PERMIT if case.name != "redeem_silent"]


def example(monkeypatch: pytest.MonkeyPatch, gate_url: str) -> ModuleType:
    monkeypatch.setenv("MIEN_GATE", gate_url)
    monkeypatch.setenv("MIEN_GATE_KEY", API_KEY)
    spec = importlib.util.spec_from_file_location("generator", ROOT / "docs" / "examples" / "generator.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def serving(app: Any) -> Iterator[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as address:
        address.bind(("127.0.0.1", 0))
        address.listen(16)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", loop="asyncio")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [address]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{address.getsockname()[1]}/generate"
        server.should_exit = True
        thread.join(20)


def test_the_documented_generator_passes_every_case(monkeypatch: pytest.MonkeyPatch) -> None:
    with StubGate.serving() as gate, serving(example(monkeypatch, gate.url).app) as url:
        found = run(url, gate=gate, body=BODY, cases=WITH_PERMIT, with_permit=True)
    assert [(verdict.case, verdict.why) for verdict in found if not verdict.passed] == []
    assert len(found) == len(WITH_PERMIT)


def test_the_faults_of_a_generator_that_forgets_are_named() -> None:
    """It redeems nothing, hands in nothing, and goes on when the gate is down."""
    careless = FastAPI()

    @careless.post("/generate")
    async def generate(request: Request) -> Response:
        return Response(await request.body(), media_type="video/mp4")

    with StubGate.serving() as gate, serving(careless) as url:
        found = {verdict.case: verdict.why for verdict in run(url, gate=gate, body=BODY, cases=QUICK, with_permit=True)}
    assert set(found) == {case.name for case in QUICK}
    assert found.pop("no_permit") == "it gave something out"
    assert set(found.values()) == {"the permit was never redeemed"}


def test_the_faults_of_one_that_goes_on_without_the_gate_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The documented one, whose author catches what the gate could not do and gives the clip out all the same."""
    with StubGate.serving() as gate:
        module = example(monkeypatch, gate.url)

        async def complete(*_: Any, **__: Any) -> Released:
            return Released(release=True, code=None, reasons=(), clip=b"unseen")

        monkeypatch.setattr(module.gate, "complete", complete)
        with serving(module.app) as url:
            verdicts = run(url, gate=gate, body=BODY, cases=QUICK, with_permit=True)
    failed = {verdict.case: verdict.why for verdict in verdicts if not verdict.passed}
    assert failed == {
        "consented": "the calls were not redeem, complete, once each and in this order",
        "stale_status": "it gave something out",
        "other_face": "it gave something out",
        "complete_down": "it gave something out",
    }


def test_the_command_knows_these_cases(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    with StubGate.serving() as free:
        port = int(free.url.rpartition(":")[2])
    with serving(example(monkeypatch, f"http://127.0.0.1:{port}").app) as url:
        arguments = ["conformance", url, "--gate-port", str(port), "--with-permit"]
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--case", "consented", "--case", "no_permit"])
    assert ended.value.code == 0
    assert capfd.readouterr().out.count("pass  ") == 2
