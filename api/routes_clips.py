"""Clips by our own generators: asked of the gate, queued, watched, fetched, cancelled."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.auth import AnyCaller, App, Caller, KeyHolder, Person, Role
from api.calls import Call
from api.clip_events import CHANNEL, ClipEvents
from api.engines import GENERATORS
from api.errors import MEDIA_TYPE, Problem
from api.gate import Question, ask, reasons_to_json
from api.media import Erased, Sealed
from api.orders import Order, job_sha256, order_to_bytes
from api.schemas import ClipAccepted, ClipState, NewClip
from api.service import Service, TheService
from api.storage import Store, new_id
from api.tables import ClipConsentRow, ClipRow, ConsentRow, MediaRow
from consent.gate import Permit

router = APIRouter(prefix="/v1/clips", tags=["clips"], route_class=Call)

_ENDED = frozenset({"done", "failed", "cancelled", "withdrawn"})
_LOOK_AGAIN_S = 5.0
_HEARTBEAT = b": still here\n\n"
_LONGEST_WATCH_S = 1800
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@router.post("", status_code=202, response_model=ClipAccepted, responses={403: {"description": "the gate refused"}})
def order(body: NewClip, app: App, service: TheService) -> Response | ClipAccepted:
    """Ask for a clip. The gate is asked now, at the start of the work and again before the clip is released."""
    if body.backend not in GENERATORS:
        raise Problem("backend_unknown", f"local backends: {', '.join(GENERATORS)}")
    if (body.script is None) == (body.sound is None):
        raise Problem("request_invalid", "give either script or sound")
    with service.database.transaction() as store:
        wanted = _order(store, body, app)
    answer = ask(service, question_of(wanted, caller=app.key_id, stage="clip_request"))
    if not isinstance(answer.outcome, Permit):
        refusal = Problem(
            "gate_refused",
            more={
                "decision": False,
                "reasons": reasons_to_json(answer.outcome, answer.requests),
                "attempt_id": answer.attempt_id,
            },
        )
        return JSONResponse(refusal.body(), refusal.status, media_type=MEDIA_TYPE)
    return _queue(service, app, wanted, answer.outcome)


def _order(store: Store, body: NewClip, app: KeyHolder) -> Order:
    digests = []
    for media_id in (*body.media, *([] if body.sound is None else [body.sound])):
        row = store.get(MediaRow, media_id)
        if row is None or row.key_id != app.key_id:
            raise Problem("not_found", "no such media of yours")
        if media_id == body.sound and row.kind == "picture":
            raise Problem("request_invalid", "sound needs a recording")
        if media_id != body.sound and row.kind != "picture":
            raise Problem("request_invalid", "media needs pictures")
        digests.append(row.sha256)
    return Order(
        kind=body.kind,
        backend=body.backend,
        purpose=body.purpose,
        tokens=tuple(body.tokens),
        media=tuple(body.media),
        sound=body.sound,
        script=body.script,
        language=body.language,
        max_seconds=body.max_seconds,
        width=body.width,
        height=body.height,
        owner=app.key_id,
        media_sha256=tuple(digests),
        maker=body.maker,
        categories=None if body.categories is None else tuple(body.categories),
        territories=None if body.territories is None else tuple(body.territories),
    )


def question_of(wanted: Order, *, caller: str, stage: str, own_permit: str | None = None) -> Question:
    """The gate's question for a clip: photographs that were handed in, or the portraits of those who consented."""
    return Question(
        caller=caller,
        backend=wanted.backend,
        stage=stage,
        purpose=wanted.purpose,
        job_sha256=job_sha256(wanted),
        seconds=wanted.max_seconds,
        # what is said in a recording is not known here; whoever forbade words is then protected by a refusal
        script=wanted.script,
        tokens=wanted.tokens,
        media=wanted.media,
        media_owner=wanted.owner,
        portraits=not wanted.media,
        own_permit=own_permit,
        maker=wanted.maker,
        categories=wanted.categories,
        territories=wanted.territories,
    )


def _queue(service: Service, app: KeyHolder, wanted: Order, permit: Permit) -> ClipAccepted:
    now = service.now()
    with service.database.transaction() as store:
        clip_id = new_id("clp")
        key = service.vault.new_key(store, owner=clip_id, now=now)
        clip = ClipRow(
            clip_id=clip_id,
            app_key_id=app.key_id,
            kind=wanted.kind,
            backend=wanted.backend,
            purpose=wanted.purpose,
            state="queued",
            progress=0.0,
            job_sha256=permit.job_sha256,
            data_key_id=key,
            order_id=service.vault.put(store, order_to_bytes(wanted), kind=Sealed.ORDER, data_key_id=key, now=now),
            reasons=[],
            created_at=now,
        )
        store.add(clip)
        store.add(*(ClipConsentRow(clip_id=clip.clip_id, consent_id=cid) for cid, _ in permit.consents))
        service.queue.render(store, clip.clip_id)
    return ClipAccepted(clip_id=clip.clip_id, state=clip.state)


@router.get("/{clip_id}")
def look(clip_id: str, who: AnyCaller, service: TheService) -> ClipState:
    """Where the clip stands."""
    with service.database.transaction() as store:
        return state_of(_reachable(store, clip_id, who))


@router.get(
    "/{clip_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "progress, then done or failed"}},
)
async def events(clip_id: str, request: Request, who: AnyCaller, service: TheService) -> StreamingResponse:
    """Server-sent events: ``progress`` while it is made, then one of ``done``, ``failed``, ``cancelled``, ``withdrawn``."""
    first = await run_in_threadpool(_state, service, clip_id, who)
    bell: ClipEvents = request.app.state.clip_events

    async def stream() -> AsyncIterator[bytes]:
        state, told = first, ""
        ends = asyncio.get_running_loop().time() + _LONGEST_WATCH_S
        while True:
            now = state.model_dump_json()
            if now != told:
                told = now
                name = state.state if state.state in _ENDED else "progress"
                yield f"event: {name}\ndata: {now}\n\n".encode()
            else:
                yield _HEARTBEAT
            if state.state in _ENDED or bell.closing or asyncio.get_running_loop().time() > ends:
                return
            await bell.wait(clip_id, _LOOK_AGAIN_S)
            try:
                state = await run_in_threadpool(_state, service, clip_id, who)
            except Problem as problem:
                yield f"event: failed\ndata: {json.dumps({'code': problem.code})}\n\n".encode()
                return

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@router.get(
    "/{clip_id}/content",
    response_class=Response,
    responses={200: {"content": {"video/mp4": {}}, "description": "the marked clip"}},
)
def content(clip_id: str, request: Request, who: AnyCaller, service: TheService) -> Response:
    """The marked clip, while the consents behind it hold."""
    with service.database.transaction() as store:
        clip = _reachable(store, clip_id, who)
        match clip.state:
            case "done":
                pass
            case "withdrawn":
                raise Problem(clip.code or "consent_revoked")
            case "cancelled":
                raise Problem("clip_cancelled")
            case "failed":
                raise Problem("clip_failed", more={"reason": clip.code})
            case _:
                raise Problem("clip_not_ready")
        for consent_id in store.consents_of_clip(clip_id):
            consent = store.get(ConsentRow, consent_id)
            if consent is None or consent.revoked_at is not None:
                raise Problem("consent_revoked")
            if consent.suspended_at is not None:
                raise Problem("consent_suspended")
        try:
            data = service.vault.get(store, clip.content_id, owner=clip_id)
        except Erased:
            raise Problem("clip_failed") from None
        etag = f'"{clip.sha256}"'
    return _ranged(data, request.headers.get("Range"), etag)


def _ranged(data: bytes, asked: str | None, etag: str) -> Response:
    """The whole, or one range of it (RFC 9110, 14): browsers seek in a video that way."""
    headers = {"Accept-Ranges": "bytes", "ETag": etag}
    found = None if asked is None else _RANGE.fullmatch(asked.strip())
    if found is None or found.group(0) == "bytes=-":
        return Response(data, media_type="video/mp4", headers=headers)
    first, last = found.groups()
    start = int(first) if first else max(0, len(data) - int(last))
    end = min(int(last), len(data) - 1) if first and last else len(data) - 1
    if start > end:
        raise Problem("range_not_satisfiable", f"there are {len(data)} bytes")
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return Response(data[start : end + 1], 206, media_type="video/mp4", headers=headers)


@router.delete("/{clip_id}")
def cancel(clip_id: str, app: App, service: TheService) -> ClipState:
    """Cancel the work, or erase the finished clip."""
    now = service.now()
    with service.database.transaction() as store:
        _reachable(store, clip_id, app)
        clip = store.get(ClipRow, clip_id, lock=True)
        if clip is None:
            raise Problem("not_found")
        if clip.state in ("queued", "running", "done"):
            clip.state, clip.run_id, clip.finished_at = "cancelled", None, now
            service.vault.destroy_key(store, clip.data_key_id, now=now)
            store.notify(CHANNEL, clip_id)
        return state_of(clip)


def _state(service: Service, clip_id: str, who: Caller) -> ClipState:
    with service.database.transaction() as store:
        return state_of(_reachable(store, clip_id, who))


def _reachable(store: Store, clip_id: str, who: Caller) -> ClipRow:
    """The clip, if it is the app's own, or shows the person who asks."""
    clip = store.get(ClipRow, clip_id)
    match who:
        case KeyHolder(role=Role.APP):
            mine = clip is not None and clip.app_key_id == who.key_id
        case Person():
            mine = clip is not None and _shows(store, clip_id, who)
        case _:
            mine = False
    if clip is None or not mine:
        raise Problem("not_found")
    return clip


def _shows(store: Store, clip_id: str, who: Person) -> bool:
    consents = store.consents_of_clip(clip_id)
    if who.consent_id is not None:
        return who.consent_id in consents
    own = None if who.session_id is None else store.consent_of_session(who.session_id)
    return own is not None and own.consent_id in consents


def state_of(clip: ClipRow) -> ClipState:
    values: dict[str, Any] = {
        "clip_id": clip.clip_id,
        "kind": clip.kind,
        "backend": clip.backend,
        "state": clip.state,
        "progress": round(clip.progress, 3),
        "code": clip.code,
        "reasons": clip.reasons,
        "sha256": clip.sha256,
        "duration_ms": clip.duration_ms,
    }
    return ClipState(**values)
