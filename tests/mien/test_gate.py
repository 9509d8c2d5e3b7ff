"""The client says yes only when the gate did, in every part of its answer."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from consent.job import job_of_request, job_sha256
from mien import Gate, GateProblem, Job, Permitted, Refused
from mien.asgi import PermitRequired
from tests.conftest import ROOT

YES = {
    "decision": True,
    "context": {"permit": "e30.eyJqdGkiOiJwcm1fMSJ9.x", "permit_id": "prm_1", "expires_at": "", "obligations": {}},
}
Handler = Callable[[httpx.Request], httpx.Response]


def gate(handler: Handler) -> Gate:
    client = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    return Gate("https://mien.example/", api_key="k", backend="studio", client=client)


def ask(handler: Handler, **more: Any) -> Permitted | Refused:
    async def asked() -> Permitted | Refused:
        async with gate(handler) as open_gate:
            return await open_gate.ask(Job(prompt="x"), purpose="cameo", tokens=["t"], **more)

    return asyncio.run(asked())


def says(status: int, body: Any) -> Handler:
    if isinstance(body, str):
        return lambda _: httpx.Response(status, text=body)
    return lambda _: httpx.Response(status, json=body)


def test_a_permit_is_for_the_job_that_was_asked_about() -> None:
    seen: list[dict[str, Any]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content))
        assert request.headers["Authorization"] == "Bearer k"
        return httpx.Response(200, json=YES)

    answer = ask(handler, seconds=5)
    assert isinstance(answer, Permitted)
    assert answer.job_sha256 == seen[0]["context"]["job_sha256"] == job_sha256(Job(prompt="x"))
    assert seen[0]["context"]["job"]["prompt"] == "x"
    assert seen[0]["subject"] == {"type": "backend", "id": "studio"}
    assert answer.permit not in repr(answer)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "yes"),
        (200, []),
        (200, {"decision": "true", "context": YES["context"]}),
        (200, {"decision": 1, "context": YES["context"]}),
        (200, {"decision": True}),
        (200, {"decision": True, "context": {"permit": None, "permit_id": "prm_1"}}),
        (200, {"context": YES["context"]}),
        (500, YES),
        (302, YES),
        (503, {}),
        (429, YES),
    ],
)
def test_whatever_is_not_plainly_a_yes_is_a_no(status: int, body: Any) -> None:
    answer = ask(says(status, body))
    assert isinstance(answer, Refused)
    assert answer.codes == ("gate_unavailable",)


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError])
def test_a_gate_that_does_not_answer_is_a_no(error: type[httpx.TransportError]) -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        raise error("made to fail")

    assert ask(handler) == Refused(reasons=ask(handler).reasons)  # type: ignore[union-attr]
    assert isinstance(ask(handler), Refused)


def test_reasons_come_through_with_what_they_are_about() -> None:
    reasons = [{"code": "unknown_face", "face": 1}, {"code": "unknown_face", "face": 2}]
    answer = ask(says(200, {"decision": False, "context": {"reasons": reasons, "attempt_id": "att_1"}}))
    assert isinstance(answer, Refused)
    assert (answer.codes, answer.reasons[1].more, answer.attempt_id) == (("unknown_face",), {"face": 2}, "att_1")


def test_a_malformed_question_is_the_callers_to_mend() -> None:
    with pytest.raises(GateProblem) as raised:
        ask(says(400, {"code": "request_invalid"}))
    assert (raised.value.code, raised.value.status) == ("request_invalid", 400)


# --- in front of a generator -------------------------------------------------------------------------------------------

BODY = {"prompt": "x"}
PERMIT = "e30.eyJqdGkiOiJwcm1fMSJ9.x"


def call(
    handler: Handler, *, path: str = "/v1/generate", method: str = "POST", content: bytes = b"", **headers: str
) -> tuple[int, Any, list[Any]]:
    """Status, body, and what the generator behind the filter was given."""
    reached: list[Any] = []

    async def generator(scope: Any, receive: Any, send: Any) -> None:
        body = await receive()
        reached.append((scope.get("mien.permit"), body["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def asked() -> httpx.Response:
        app = PermitRequired(generator, gate=gate(handler), paths=("/v1/",))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://here") as client:
            return await client.request(method, path, content=content or json.dumps(BODY), headers=headers)

    answer = asyncio.run(asked())
    return answer.status_code, answer.json(), reached


def redeems(digest: str) -> Handler:
    """A gate with one permit, for that job."""

    def handler(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content) == {"permit": PERMIT, "job_sha256": digest}:
            return httpx.Response(200, json={"obligations": {"max_seconds": 5}})
        return httpx.Response(403, json={"code": "permit_invalid"})

    return handler


DIGEST = job_sha256(job_of_request("POST", "/v1/generate", BODY))


def test_a_call_with_its_permit_reaches_the_generator_whole() -> None:
    status, _, reached = call(redeems(DIGEST), **{"Mien-Permit": PERMIT})
    assert status == 200
    ((permit, body),) = reached
    assert (permit.permit_id, json.loads(body)) == ("prm_1", BODY)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"headers": {}}, "permit_missing"),
        ({"headers": {"Mien-Permit": "not a permit"}}, "permit_invalid"),
        ({"content": b'{"prompt": "y"}'}, "permit_invalid"),
        ({"content": b'{"prompt": "y", "prompt": "x"}'}, "job_invalid"),
        ({"content": b"prompt=x"}, "job_invalid"),
        ({"content": b'"x"'}, "job_invalid"),
        ({"content": b'{"a": "' + b"x" * 300_000 + b'"}'}, "body_too_large"),
        ({"path": "/v1/generate?seed=2"}, "permit_invalid"),
        ({"path": "/v1/other"}, "permit_invalid"),
        ({"method": "PUT"}, "permit_invalid"),
    ],
)
def test_a_call_without_the_permit_for_it_does_not(more: dict[str, Any], code: str) -> None:
    headers = more.pop("headers", {"Mien-Permit": PERMIT})
    status, body, reached = call(redeems(DIGEST), **more, **headers)
    assert (status, body["code"], reached) == (403, code, [])


def test_with_the_gate_down_nothing_reaches_the_generator() -> None:
    def down(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("made to fail")

    for handler in (down, says(500, {}), says(200, "ok"), says(200, {})):
        status, _, reached = call(handler, **{"Mien-Permit": PERMIT})
        assert (status, reached) == (503, [])


def test_what_makes_nothing_needs_no_permit() -> None:
    for more in ({"method": "GET"}, {"path": "/healthz"}):
        status, _, reached = call(redeems(DIGEST), **more)
        assert (status, len(reached)) == (200, 1)


def test_a_gate_that_says_a_little_again_and_again_is_as_silent_as_one_that_hangs() -> None:
    class Dribbling(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            async def drops() -> AsyncIterator[bytes]:
                while True:
                    await asyncio.sleep(0.05)
                    yield b" "

            return httpx.Response(200, content=drops())

    async def asked() -> Permitted | Refused:
        client = httpx.AsyncClient(transport=Dribbling())
        async with Gate("https://mien.example", api_key="k", backend="studio", client=client, ask_s=0.3) as slow:
            return await slow.ask(Job(prompt="x"), purpose="cameo", tokens=["t"])

    answer = asyncio.run(asked())
    assert isinstance(answer, Refused)
    assert answer.codes == ("gate_unavailable",)


@pytest.mark.parametrize("body", [{}, {"references": "x"}, {"references": [{"consent_id": 1}]}, [], "x"])
def test_an_answer_of_another_form_is_the_one_documented_error(body: Any) -> None:
    permit = Permitted(permit="a.b.c", permit_id="p", job_sha256="00", expires_at="", obligations={})

    async def tried() -> None:
        async with gate(says(200, body)) as open_gate:
            with pytest.raises(GateProblem):
                await open_gate.references(permit)
            with pytest.raises(GateProblem):
                await open_gate.hand_in(b"x")

    asyncio.run(tried())


def test_what_is_not_stated_is_left_out_and_a_misspelt_limit_is_an_error() -> None:
    seen: list[dict[str, Any]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content)["context"])
        return httpx.Response(200, json=YES)

    ask(handler, seconds=5, categories=())
    assert {name for name in seen[0] if name not in ("job", "job_sha256")} == {"purpose", "seconds", "categories"}
    with pytest.raises(TypeError):
        ask(handler, second=5)


def test_the_client_needs_only_an_http_client_and_libraries_for_keys() -> None:
    """As ``pip install --no-deps mien`` and ``pip install httpx cryptography rfc8785 joserfc`` leave it."""
    others = {
        "api",
        "lab",
        "liveness",
        "likeness",
        "numpy",
        "cv2",
        "fastapi",
        "pydantic",
        "sqlalchemy",
        "cedarpy",
        "av",
    }
    others |= {"mediapipe", "grpclib", "google", "PIL"}
    program = "import sys, mien, mien.asgi, mien.conformance; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True, timeout=120
    )
    assert others & set(done.stdout.split()) == set()


def test_the_types_of_the_client_reach_who_uses_it() -> None:
    for package in ("mien", "consent"):
        assert (ROOT / package / "py.typed").is_file()
