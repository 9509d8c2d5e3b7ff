"""What vendors call. Nothing they say is believed: whoever waits for a job reads it from the vendor. What they may fetch is
exactly what the gate looked at, at addresses that cannot be guessed and end with the work."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from api.calls import PROBLEMS
from api.errors import Problem
from api.handovers import handed_over
from api.remote_clips import Remotes, hear_account, hear_callback
from api.service import TheService
from likeness.errors import RemoteError
from likeness.remote import Callback

router = APIRouter(prefix="/v1/remote", tags=["clips"], responses=PROBLEMS)

_MOST_BYTES = 256 * 1024
_RETURNED = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Mien</title>'
    '<p>Done. You can go back to the app.</p><p lang="zh">已完成，您可以返回应用。</p></html>'
)


@router.post("/callbacks/{clip_id}/{secret}", status_code=200, response_class=Response)
async def callback(clip_id: str, secret: str, request: Request, service: TheService) -> Response:
    """A vendor says that a job changed. Answered with ``ok``, also when it is late or comes twice."""
    message = await _message(request)
    remotes: Remotes = request.app.state.remotes

    def hear() -> bool:
        with service.database.transaction() as store:
            return hear_callback(service, remotes, store, clip_id, secret, message)

    return await _heard(hear)


@router.post("/accounts/{backend}", status_code=200, response_class=Response)
async def account_callback(backend: str, request: Request, service: TheService) -> Response:
    """The same, by a vendor where callbacks are set once for the whole account: always signed, else nothing is heard."""
    message = await _message(request)
    remotes: Remotes = request.app.state.remotes

    def hear() -> bool:
        with service.database.transaction() as store:
            return hear_account(service, remotes, store, backend, message)

    return await _heard(hear)


@router.head("/inputs/{name}", include_in_schema=False)
@router.get(
    "/inputs/{name}",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "a medium, for a vendor to fetch"}},
)
def given_out(name: str, service: TheService) -> Response:
    """A medium that a vendor was told to fetch here. Gone when the work or a consent behind it ends."""
    with service.database.transaction() as store:
        content, media_type = handed_over(service, store, name)
    return Response(content, media_type=media_type, headers={"Cache-Control": "no-store"})


@router.get("/returned", response_class=HTMLResponse)
def returned() -> HTMLResponse:
    """Where a vendor sends a person's browser after its own check of them. What the browser says is not read."""
    return HTMLResponse(_RETURNED)


async def _message(request: Request) -> Callback:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            raise Problem("body_too_large")
    query = f"?{request.url.query}" if request.url.query else ""
    return Callback(
        method=request.method,
        path=request.url.path + query,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=bytes(body),
    )


async def _heard(hear: Callable[[], bool]) -> Response:
    try:
        known = await run_in_threadpool(hear)
    except RemoteError as error:
        raise Problem("callback_forged" if error.code == "callback_forged" else "not_ready") from None
    if not known:
        raise Problem("not_found")
    return Response("ok", media_type="text/plain")
