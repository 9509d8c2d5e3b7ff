"""Stands in front of a generator that speaks ASGI: nothing reaches it without a permit for this very call.

    app = PermitRequired(app, gate=gate, paths=("/v1/generate",))

The permit comes in the header ``Mien-Permit``. It is spent here, for the job that the call is
(:func:`consent.job.job_of_request`: method, path and the whole JSON body), before the generator sees a byte: a body that was
changed after the gate was asked, a permit of somebody else, a second use, or a gate that does not answer end here with
403 or 503. The generator finds the permit in ``scope["mien.permit"]`` and must hand its clip in with
:meth:`mien.gate.Gate.complete`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from mien.call import MOST_BODY_BYTES, permit_of_call, refusal
from mien.gate import GATE_UNAVAILABLE, Gate, GateProblem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADER = b"mien-permit"


class PermitRequired:
    """ASGI middleware. ``paths``: prefixes of what makes something, with every method but GET, HEAD and OPTIONS."""

    def __init__(self, app: App, *, gate: Gate, paths: Sequence[str] = ("/",)) -> None:
        self._app, self._gate, self._paths = app, gate, tuple(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and self._guards(scope["path"]):
            await send({"type": "websocket.close", "code": 4403})  # a stream has no one job that a permit could be for
            return
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS") or not self._guards(scope["path"]):
            await self._app(scope, receive, send)
            return
        body = await _whole_body(receive)
        try:
            query = scope.get("query_string", b"").decode("latin-1")
            path = scope["path"] + (f"?{query}" if query else "")
            shown = [value.decode("latin-1") for name, value in scope["headers"] if name == HEADER]
            permit = permit_of_call(scope["method"], path, shown, body)
            obligations = await self._gate.redeem(permit)
        except GateProblem as problem:
            unavailable = problem.code == GATE_UNAVAILABLE or problem.status >= 500
            await _refuse(send, problem.code, 503 if unavailable else 403)
            return
        scope["mien.permit"], scope["mien.obligations"] = permit, obligations
        await self._app(scope, _again(body or b"", receive), send)

    def _guards(self, path: str) -> bool:
        return any(path.startswith(prefix) for prefix in self._paths)


async def _whole_body(receive: Receive) -> bytes | None:
    """``None``: larger than a job is."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    told = False

    async def replay() -> MutableMapping[str, Any]:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _refuse(send: Send, code: str, status: int) -> None:
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": refusal(code, status)})
