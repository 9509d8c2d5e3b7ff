"""The kit passes an integration that does right, and catches each way of doing wrong."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from api.cli import main
from mien import Gate, GateProblem, Job, Permitted, Released
from mien.conformance import API_KEY, CASES, Case, Seen, StubGate, judge, run

QUICK = [case for case in CASES if case.name != "gate_silent"]
RIGHT = "right"
MARKED = "has_it_marked"
WRONGS = {
    "asks_nobody": {case.name for case in CASES},
    "ignores_the_answer": {"no_consent", "look_alike", "gate_down", "gate_broken", "no_json", "truthy", "no_permit"},
    "ignores_redeem": {"replay", "token_swap", "expired_permit", "redeem_down"},
    "ignores_release": {"stale_status", "other_face"},
    "fails_open": {
        "gate_down",
        "gate_broken",
        "no_json",
        "truthy",
        "no_permit",
        "redeem_down",
        "complete_down",
    },
    "takes_truthy": {"truthy"},
    "skips_complete": {"consented", "stale_status", "other_face", "complete_down"},
    "another_job": {"consented"},
}


class Integration:
    """A small generator. ``manner``: what it does wrong."""

    def __init__(self, gate_url: str, manner: str) -> None:
        self.gate_url, self.manner = gate_url, manner

    async def generate(self) -> int:
        """The status of its answer."""
        if self.manner == "asks_nobody":
            return 200
        async with Gate(self.gate_url, api_key=API_KEY, backend="studio", ask_s=2.0) as gate:
            try:
                answer = await gate.ask(Job(prompt="x"), purpose="cameo", tokens=["t"])
                if self.manner == "takes_truthy" and not isinstance(answer, Permitted):
                    async with httpx.AsyncClient() as client:
                        raw = await client.post(self.gate_url + "/access/v1/evaluation", json={})
                    if raw.status_code == 200 and raw.text.startswith("{") and raw.json()["decision"]:
                        return 200 if "permit" in raw.json()["context"] else 403
                if self.manner == "fails_open" and "gate_unavailable" in getattr(answer, "codes", ()):
                    raise GateProblem("gate_unavailable")
                if not isinstance(answer, Permitted):
                    return 200 if self.manner == "ignores_the_answer" else 403
                if self.manner == "another_job":
                    answer = Permitted(
                        permit=answer.permit,
                        permit_id=answer.permit_id,
                        job_sha256="00" * 32,
                        expires_at="",
                        obligations={},
                    )
                return await self._work(gate, answer)
            except GateProblem as problem:
                if self.manner == "fails_open" and problem.code == "gate_unavailable":
                    return 200
                return 503

    async def _work(self, gate: Gate, answer: Permitted) -> int:
        try:
            await gate.redeem(answer)
        except GateProblem:
            if self.manner != "ignores_redeem":
                raise
        if self.manner == "skips_complete":
            return 200
        released: Released = await gate.complete(answer, b"a clip", mark=self.manner == MARKED)
        if self.manner == MARKED and released.release and released.clip != b"a clip":
            return 500
        return 200 if released.release or self.manner == "ignores_release" else 451


@contextmanager
def serving(integration: Integration) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(asyncio.run(integration.generate()))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/generate"
    server.shutdown()
    server.server_close()
    thread.join()


def failed(manner: str, cases: Sequence[Case] = QUICK) -> dict[str, str]:
    with StubGate.serving() as gate, serving(Integration(gate.url, manner)) as url:
        found = run(url, gate=gate, body=b"{}", cases=cases)
    return {verdict.case: verdict.why for verdict in found if not verdict.passed}


@pytest.mark.parametrize("manner", [RIGHT, MARKED])
def test_an_integration_that_does_right_passes_every_case(manner: str) -> None:
    assert failed(manner) == {}


@pytest.mark.parametrize("manner", WRONGS)
def test_each_way_of_doing_wrong_is_caught(manner: str) -> None:
    wanted = WRONGS[manner] & {case.name for case in QUICK}
    others = [name for name in ("consented", "replay") if name not in wanted]
    assert set(failed(manner, [case for case in QUICK if case.name in wanted or case.name in others])) == wanted


def test_a_gate_that_says_nothing_is_waited_for_and_is_a_no() -> None:
    silent = [case for case in CASES if case.name == "gate_silent"]
    with StubGate.serving() as gate, serving(Integration(gate.url, RIGHT)) as url:
        (verdict,) = run(url, gate=gate, body=b"{}", cases=silent)
    assert verdict.passed, verdict


def test_a_permitted_job_is_asked_spent_and_handed_in_once_and_in_order() -> None:
    consented = CASES[0]
    good = [
        Seen(call="evaluation", job_sha256="ab"),
        Seen(call="redeem", job_sha256="ab"),
        Seen(call="media"),
        Seen(call="complete", with_clip=True),
    ]
    assert judge(consented, 202, good).passed
    assert not judge(consented, 403, good).passed
    assert not judge(consented, 200, good[::-1]).passed
    assert not judge(consented, 200, [*good, good[1]]).passed
    assert not judge(consented, 200, [*good[:3], Seen(call="complete")]).passed


def test_an_integration_that_never_asks_fails_also_where_it_gives_out_nothing() -> None:
    assert not judge(Case(name="x", what="", stops_before="redeem"), 403, []).passed


def test_the_command_says_so_line_by_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with StubGate.serving() as free:
        port = int(free.url.rpartition(":")[2])
    out = tmp_path / "verdicts.json"
    with serving(Integration(f"http://127.0.0.1:{port}", "ignores_release")) as url:
        arguments = ["conformance", url, "--gate-port", str(port), "--json", str(out)]
        arguments += [word for name in ("consented", "stale_status") for word in ("--case", name)]
        with pytest.raises(SystemExit) as ended:
            main(arguments)
    assert ended.value.code == 1
    printed = capfd.readouterr().out
    assert "pass  consented" in printed
    assert "FAIL  stale_status" in printed
    assert [case["passed"] for case in json.loads(out.read_text())["cases"]] == [True, False]
    with pytest.raises(SystemExit) as ended:
        main(["conformance", "http://127.0.0.1:1", "--case", "nothing"])
    assert ended.value.code == 2
