"""The gate for a proxy that speaks gRPC: ``envoy.service.auth.v3.Authorization/Check``, beside the generator.

``mien gate envoy`` runs it. The proxy sends each call that it holds, with its body; the permit in ``Mien-Permit`` is redeemed
at the gate, with this generator's own key, for the job that the call is; only then the proxy may forward. Whatever else
happens, also a body that the proxy did not send along, is a no. See docs/examples/envoy-ext-authz-grpc.yaml.

The messages are the part of Envoy's and Google's published ones that is used here, by their field numbers: the packages with
all of them bring a thousand modules. Others' fields are skipped, as protobuf has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpclib.const import Cardinality, Handler
from grpclib.server import Server, Stream

from mien.call import permit_of_call, refusal
from mien.gate import GATE_UNAVAILABLE, Gate, GateProblem

METHOD = "/envoy.service.auth.v3.Authorization/Check"
HEADER = "mien-permit"
_OK, _PERMISSION_DENIED, _UNAVAILABLE = 0, 7, 14  # google.rpc.Code
_OVERWRITE = 2  # HeaderValueOption.HeaderAppendAction: what a caller wrote there itself is gone

_MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    # field: number and type; the names in capitals are messages of this table
    "CheckRequest": {"attributes": (1, "Attributes")},
    "Attributes": {"request": (4, "Request")},
    "Request": {"http": (2, "Http")},
    "Http": {
        "method": (2, "text"),
        "headers": (3, "Header*"),  # a map is a repeated pair on the wire
        "path": (4, "text"),
        "body": (11, "text"),
        "raw_body": (12, "bytes"),
    },
    "Header": {"key": (1, "text"), "value": (2, "text")},
    "CheckResponse": {"status": (1, "Status"), "denied_response": (2, "Denied"), "ok_response": (3, "Allowed")},
    "Status": {"code": (1, "int32"), "message": (2, "text")},
    "Denied": {"status": (1, "HttpStatus"), "headers": (2, "Option*"), "body": (3, "text")},
    "HttpStatus": {"code": (1, "int32")},
    "Allowed": {"headers": (2, "Option*")},
    "Option": {"header": (1, "Header"), "append_action": (3, "int32")},
}
_TYPES = {
    "text": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
}


def _message_types() -> dict[str, Any]:
    """In a pool of their own, so that they do not meet the whole ones where somebody has those."""
    file = descriptor_pb2.FileDescriptorProto(name="mien/envoy.proto", package="mien.envoy", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            base = kind.rstrip("*")
            added = message.field.add(name=field, number=number)
            added.label = added.LABEL_REPEATED if kind.endswith("*") else added.LABEL_OPTIONAL
            added.type = _TYPES.get(base, added.TYPE_MESSAGE)
            if base not in _TYPES:
                added.type_name = f".mien.envoy.{base}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"mien.envoy.{name}")) for name in _MESSAGES
    }


TYPES = _message_types()
CheckRequest, CheckResponse = TYPES["CheckRequest"], TYPES["CheckResponse"]


class Authorization:
    """The gRPC service. Which paths need no permit is for the proxy's routes to say."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def check(self, stream: Stream[Any, Any]) -> None:
        asked = await stream.recv_message()
        await stream.send_message(await self.answer(asked))

    async def answer(self, asked: Any) -> Any:
        """A ``CheckResponse`` to a ``CheckRequest``; never an exception, which a proxy could be set to take for a yes."""
        try:
            http = asked.attributes.request.http
            if http.method in ("GET", "HEAD", "OPTIONS"):  # as mien.asgi
                return CheckResponse(status={"code": _OK}, ok_response={"headers": []})
            permit = permit_of_call(http.method, _decoded(http.path), *_permits_and_body(http))
            obligations = await self._gate.redeem(permit)
        except GateProblem as problem:
            unavailable = problem.code == GATE_UNAVAILABLE or problem.status >= 500
            return _denied(problem.code, 503 if unavailable else 403)
        except Exception:
            return _denied(GATE_UNAVAILABLE, 503)
        told = {"mien-permit-id": permit.permit_id, "mien-obligations": json.dumps(obligations, separators=(",", ":"))}
        return CheckResponse(status={"code": _OK}, ok_response={"headers": _options(told)})

    def __mapping__(self) -> dict[str, Handler]:
        return {METHOD: Handler(self.check, Cardinality.UNARY_UNARY, CheckRequest, CheckResponse)}


async def serve(gate: Gate, *, host: str, port: int, ready: Callable[[], None] = lambda: None) -> None:
    """Until it is cancelled. ``ready``: called once it listens."""
    server = Server([Authorization(gate)])
    await server.start(host, port)
    try:
        ready()
        await server.wait_closed()
    finally:
        server.close()
        await server.wait_closed()


def _permits_and_body(http: Any) -> tuple[list[str], bytes]:
    """Every permit that was shown, and the whole body, which a proxy sends along only when it is told to.

    Raises: GateProblem ``body_unseen``: what would be forwarded is not what was looked at.
    """
    headers: dict[str, list[str]] = {}
    for one in http.headers:
        headers.setdefault(one.key.lower(), []).append(one.value)
    body = http.raw_body or http.body.encode("utf-8", "surrogatepass")
    length = headers.get("content-length", [""])[0]
    partial = headers.get("x-envoy-auth-partial-body", [""])[0] == "true"
    unknown = not body and length != "0"  # in pieces, or not sent along
    if partial or unknown or (length and length != str(len(body))):
        raise GateProblem("body_unseen", status=403)
    return headers.get(HEADER, []), body


def _decoded(path: str) -> str:
    """As the generator's framework will see it: without percent signs, the query as it came."""
    before, mark, query = path.partition("?")
    return unquote(before) + mark + query


def _denied(code: str, status: int) -> Any:
    return CheckResponse(
        status={"code": _UNAVAILABLE if status == 503 else _PERMISSION_DENIED, "message": code},
        denied_response={
            "status": {"code": status},
            "headers": _options({"content-type": "application/problem+json", "cache-control": "no-store"}),
            "body": refusal(code, status).decode(),
        },
    )


def _options(headers: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"header": {"key": k, "value": v}, "append_action": _OVERWRITE} for k, v in headers.items()]
