"""How every call is answered: errors as problems, and writes at most once a key.

``Idempotency-Key`` (after draft-ietf-httpapi-idempotency-key-header-07): the answer to a write is kept for 24 h, sealed, and
given again to the same caller for the same request. The same key with another request is refused; while the first is
still being worked on, the second is told to wait. Answers of 500 and above are not kept: they may be tried again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from email.message import Message
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.concurrency import run_in_threadpool

from api.auth import Caller, who_calls
from api.errors import Problem, problem_of
from api.keys import MasterUnknown, Unsealable
from api.schemas import ProblemBody
from api.service import Service
from api.tables import IdempotencyRow

log = logging.getLogger("mien.api")

KEPT = timedelta(hours=24)
_ABANDONED = timedelta(minutes=2)  # longer than any write takes: the process that worked on it is gone
_WRITES = frozenset({"POST", "PUT", "DELETE"})

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ProblemBody, "content": {"application/problem+json": {}}}
}  # what a call may be answered with besides what it is for

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Body = TypeVar("Body", bound=BaseModel)


class _Read(Request):
    """Reads JSON with the parser of the library that checks it: a template of 512 numbers in a tenth of the time."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            content = await self.body()
            try:
                self._json = from_json(content)
            except ValueError as error:
                raise json.JSONDecodeError("no JSON", "", 0) from error
        return self._json


class Call(APIRoute):
    """The route class of every router here."""

    def __init__(self, *args: Any, responses: Mapping[int | str, dict[str, Any]] | None = None, **how: Any) -> None:
        super().__init__(*args, responses=PROBLEMS | dict(responses or {}), **how)

    def get_route_handler(self) -> Handler:
        return answering(super().get_route_handler())


def answering(handle: Handler) -> Handler:
    """What is around the handling of every call."""

    async def answer(request: Request) -> Response:
        request = _Read(request.scope, request.receive)
        try:
            key = request.headers.get("Idempotency-Key")
            if key is None or request.method not in _WRITES:
                return await handle(request)
            return await _once(request, handle, key)
        except Exception as error:  # whatever it is, it leaves as a problem
            return as_problem(request, error)

    return answer


async def read_body(request: Request, kind: type[Body]) -> Body:
    """The body of a call as JSON of this kind, as the framework reads it, and with the same words where it cannot be read: in
    one go, without the values between text and object that somebody checks again.

    Raises: RequestValidationError.
    """
    content = await request.body()
    try:
        if content and not _says_json(request.headers.get("Content-Type", "")):
            return kind.model_validate(content)
        return kind.model_validate_json(content)
    except ValidationError as error:
        faults: Sequence[Any] = error.errors(include_url=False)
    if not content:
        faults = [{"type": "missing", "loc": ("body",)}]
    elif faults[0]["type"] == "json_invalid":
        faults = [{"type": "json_invalid", "loc": ("body", 0)}]
    else:
        faults = [fault | {"loc": ("body", *fault["loc"])} for fault in faults]
    raise RequestValidationError(faults)


def _says_json(content_type: str) -> bool:
    if content_type == "application/json":
        return True
    message = Message()
    message["Content-Type"] = content_type
    kind = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (kind == "json" or kind.endswith("+json"))


def as_problem(request: Request, error: Exception) -> Response:
    """The answer that stands for an exception; what was not foreseen is logged by place, never by value."""
    problem = problem_of(error)
    if problem.status == 422 and request.url.path.startswith("/access/"):
        problem.status = 400  # OpenID AuthZEN 1.0: what cannot be read is a bad request, and nothing else is used
    if problem.status >= 500:
        frames = traceback.extract_tb(error.__traceback__)[-4:]
        place = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
        log.error("%s failed: %s (%s) at %s", request.method, problem.code, type(error).__name__, place)
    return problem.response()


async def _once(request: Request, handle: Handler, key: str) -> Response:
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise Problem("idempotency_key_invalid")
    service: Service = request.app.state.service
    caller = await run_in_threadpool(_who, request)
    digest = await _request_digest(request)
    kept = await run_in_threadpool(_reserve, service, caller.id, key, digest)
    if kept is not None:
        return kept
    try:
        response = await handle(request)
    except Exception as error:
        response = as_problem(request, error)
    await run_in_threadpool(_keep, service, caller.id, key, response)
    return response


def _who(request: Request) -> Caller:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return who_calls(request, secret if scheme.lower() == "bearer" else None)


async def _request_digest(request: Request) -> bytes:
    """Of method, address and content. A recording is streamed, so its stated digest stands for it; the route checks it."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip() == "application/json":
        content = hashlib.sha256(await request.body()).digest()
    else:
        content = request.headers.get("Content-Digest", "").encode()
    about = json.dumps([request.method, request.url.path, request.url.query])
    return hashlib.sha256(about.encode() + b"\0" + content).digest()


def _reserve(service: Service, caller: str, key: str, digest: bytes) -> Response | None:
    """The kept answer, or ``None`` when this request is now the one that works on it."""
    now = service.now()
    with service.database.transaction() as store:
        if store.reserve(caller, key, digest, now=now):
            return None
        row = store.get(IdempotencyRow, (caller, key), lock=True)
        if row is None:
            raise Problem("request_in_progress")
        over = now - row.created_at >= (KEPT if row.status is not None else _ABANDONED)
        if over:
            row.request_sha256, row.status, row.sealed_answer, row.created_at = digest, None, None, now
            return None
        if row.request_sha256 != digest:
            raise Problem("idempotency_key_reused")
        return _opened(service, row)


def _opened(service: Service, row: IdempotencyRow) -> Response:
    if row.sealed_answer is None or row.status is None:
        raise Problem("request_in_progress")
    try:
        answer = json.loads(
            service.ring.open_answer(row.sealed_answer, by=row.sealed_by, about=about_answer(row.caller, row.key))
        )
    except (Unsealable, MasterUnknown) as error:
        raise Problem("internal_error") from error
    return Response(
        base64.b64decode(answer["body"]),
        row.status,
        {"Idempotency-Replayed": "true"},
        media_type=answer["media_type"],
    )


def _keep(service: Service, caller: str, key: str, response: Response) -> None:
    with service.database.transaction() as store:
        row = store.get(IdempotencyRow, (caller, key), lock=True)
        if row is None:
            return
        if response.status_code >= 500 or not isinstance(response.body, bytes):
            store.release(caller, key)
            return
        answer = {
            "body": base64.b64encode(response.body).decode(),
            "media_type": response.headers.get("Content-Type", "application/json"),
        }
        row.status = response.status_code
        sealing = service.keys.answers.newest
        row.sealed_answer = sealing.wrap(json.dumps(answer).encode(), about=about_answer(caller, key))
        row.sealed_by = sealing.key_id


def about_answer(caller: str, key: str) -> str:
    return f"answer|{caller}|{key}"
