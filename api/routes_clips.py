"""Clips by our own generators: asked of the gate, queued, watched, fetched, cancelled."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.audit_search import read_cursor, write_cursor
from api.auth import AnyCaller, App, Caller, KeyHolder, Person, Role
from api.calls import Call
from api.clip_events import CHANNEL, ClipEvents
from api.clip_registry import read_marks, standing
from api.engines import GENERATORS
from api.errors import MEDIA_TYPE, Problem
from api.gate import ESTIMATE, Question, ask, reasons_to_json
from api.media import Erased, Sealed
from api.orders import Order, OrderedLine, OrderedShot, job_sha256, order_to_bytes
from api.queue import clip_priority
from api.remote_clips import Remotes
from api.schemas import (
    ClipAccepted,
    ClipCost,
    ClipEstimate,
    ClipManifestShown,
    ClipOfApp,
    ClipPhase,
    ClipsOfApp,
    ClipState,
    Id,
    NewClip,
    RemoteBackends,
    RemoteWish,
)
from api.service import Service, TheService
from api.storage import Store, new_id
from api.tables import ClipConsentRow, ClipRow, ConsentRow, MediaRow
from api.vendor_people import is_ready
from consent.gate import Permit
from likeness.backends import admit, cards
from likeness.cost import cost_of, said_s
from likeness.errors import RemoteError
from likeness.generate import Kind
from likeness.remote import Mode
from likeness.sound_av import decode_film_sound
from likeness.vendor_job import FILM_MODES, PEOPLE_MODES, VOICE_MODES, Wish, bare_job
from liveness.decode import packet_positions
from liveness.errors import LivenessError
from liveness.policy import STRICT

router = APIRouter(prefix="/v1/clips", tags=["clips"], route_class=Call)

_ENDED = frozenset({"done", "failed", "cancelled", "withdrawn"})
_MOST_PORTRAITS = 4
_LONGEST_STORY_S = 60  # what max_seconds may be
_LOOK_AGAIN_S = 5.0
_HEARTBEAT = b": still here\n\n"
_COME_BACK = b"retry: 2000\n\n"  # ms after which a browser comes back to a stream that broke
_ORDER = ("queued", "running", "done", "failed", "cancelled", "withdrawn")  # no clip ever goes back in it
_LONGEST_WATCH_S = 1800
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@router.post("", status_code=202, response_model=ClipAccepted, responses={403: {"description": "the gate refused"}})
def order(body: NewClip, request: Request, app: App, service: TheService) -> Response | ClipAccepted:
    """Ask for a clip. The gate is asked now, at the start of the work and again before the clip is released."""
    _check(body, service, request)
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
    _check_lines(wanted, answer.outcome)
    if wanted.remote is not None:
        _check_people(service, wanted.backend, wanted.remote, answer.outcome)
    return _queue(service, app, wanted, answer.outcome, body)


def _check(body: NewClip, service: Service, request: Request) -> None:
    """Raises Problem."""
    if body.kind == "remote":
        _check_remote(body, service, request.app.state.remotes)
    elif body.backend not in GENERATORS or body.remote is not None:
        raise Problem("backend_unknown", f"local backends: {', '.join(GENERATORS)}")
    else:
        _check_kind(body)


def _check_lines(wanted: Order, permit: Permit) -> None:
    """Whoever is to say something is among those who said yes. Raises Problem."""
    present = {consent_id for consent_id, _ in permit.consents}
    if any(line.consent is not None and line.consent not in present for line in wanted.lines):
        raise Problem("request_invalid", "a line is given to somebody who is not in the picture")


def _check_kind(body: NewClip) -> None:
    """What a kind needs is there, and nothing that only another has. Raises Problem."""
    if body.backend != body.kind:
        raise Problem("request_invalid", f"a {body.kind} is made by the backend {body.kind}")
    if body.kind != "story" and (body.shots or body.music is not None):
        raise Problem("request_invalid", "only a story has shots and music")
    if body.kind != "portrait" and body.lines:
        raise Problem("request_invalid", "only a portrait has lines")
    if (body.kind == "cameo") != (body.face_of is not None):
        raise Problem("request_invalid", "a cameo, and nothing else, says whose face_of it shows")
    match body.kind:
        case "portrait":
            if (body.script is not None) + (body.sound is not None) + bool(body.lines) != 1:
                raise Problem("request_invalid", "give either script, or lines, or sound")
            if len(body.media) > _MOST_PORTRAITS:
                raise Problem("request_invalid", f"a portrait takes at most {_MOST_PORTRAITS} photographs")
            if len(body.tokens) > 1 and len(body.media) != 1:
                raise Problem("request_invalid", "several people are shown in one photograph of all of them")
        case "story":
            if body.script is not None:
                raise Problem("request_invalid", "a story is told in captions; what is heard is handed in as sound")
            if len(body.media) < 2 or len(body.shots) != len(body.media) - 1:
                raise Problem(
                    "request_invalid", "a story takes two photographs or more, and a shot from each to the next"
                )
        case "cameo":
            if body.script is not None or body.sound is not None or len(body.media) != 1:
                raise Problem("request_invalid", "a cameo takes one film in media, and keeps its sound")


def _check_remote(body: NewClip, service: Service, remotes: Remotes) -> None:
    """Whether the vendor makes such a thing at all: before the gate is asked, and long before anything is sent."""
    card = cards().get(body.backend)
    if card is None or body.remote is None:
        raise Problem("backend_unknown", "a clip of kind remote names a vendor's backend and what it is to make")
    mode = body.remote.mode
    if body.script is not None or body.music is not None:
        raise Problem("request_invalid", "what a vendor makes is described by the prompt")
    if mode not in PEOPLE_MODES:
        raise Problem("remote_refused", "nobody who consented would be in it", more={"reason": "mode_unsupported"})
    try:
        model = admit(bare_job(_wish(body.remote)), card, with_media=False)
        if model.real_people == "verified" and not card.verifies:
            raise RemoteError("the vendor takes no real people that come from here", code="person_unverified")
        heard = mode in VOICE_MODES or (mode is Mode.REFERENCE and model.reference_sounds > 0)
        if (mode in VOICE_MODES and body.sound is None) or (body.sound is not None and not heard):
            raise RemoteError("a mode with a voice, and no other, takes a recording", code="input_invalid")
        if model.by_address and not service.settings.public_url.startswith("https://"):
            raise RemoteError("the vendor fetches media over public https", code="no_address")
    except RemoteError as error:
        known = error.code in ("backend_retired", "backend_without_api")
        code = str(error.code)
        raise Problem(code if known else "remote_refused", str(error), more={"reason": code}) from None
    if body.backend in remotes.unready:
        raise Problem(
            "generator_unavailable", "not on this installation", more={"reason": remotes.unready[body.backend]}
        )
    if body.backend not in remotes.backends and body.backend not in remotes.local:
        raise Problem("generator_unavailable", "the operator has no account there")


def _check_people(service: Service, backend: str, wish: Wish, permit: Permit) -> None:
    """Whether the vendor knows everybody in it, where it wants to. Nothing was sent yet, and the permit is not spent.

    Raises Problem.
    """
    if cards()[backend].model(wish.model).real_people != "verified":
        return
    with service.database.transaction() as store:
        if not all(is_ready(store, consent_id, backend) for consent_id, _ in permit.consents):
            raise Problem(
                "remote_refused",
                "the vendor has not verified everybody in it",
                more={"reason": "person_unverified"},
            )


def _wish(wish: RemoteWish) -> Wish:
    return Wish(**{**wish.model_dump(), "prompts": tuple(wish.prompts)})


def _kinds(body: NewClip) -> tuple[str, ...]:
    """What media of a clip are."""
    if body.kind == "cameo":
        return ("video",)
    if body.remote is not None and body.remote.mode in (*FILM_MODES, Mode.REFERENCE):
        return ("picture", "video")
    return ("picture",)


def _order(store: Store, body: NewClip, app: KeyHolder) -> Order:
    digests = []
    asked = [(media_id, _kinds(body)) for media_id in body.media]
    # a vendor gets the bytes as they are: a video handed in as sound would show it pictures that nobody asked for
    recording = ("sound",) if body.kind == "remote" else ("sound", "video")
    asked += [(media_id, recording) for media_id in (body.sound, body.music) if media_id is not None]
    for media_id, wanted in asked:
        row = store.get(MediaRow, media_id)
        if row is None or row.key_id != app.key_id:
            raise Problem("not_found", "no such media of yours")
        if row.kind not in wanted:
            raise Problem("request_invalid", f"a {row.kind} where a {' or a '.join(wanted)} is needed")
        digests.append(row.sha256)
    seconds = math.ceil(sum(shot.seconds for shot in body.shots))
    if seconds > (body.max_seconds or _LONGEST_STORY_S):
        raise Problem("request_invalid", f"the shots take {seconds} s, at most {body.max_seconds or _LONGEST_STORY_S}")
    return Order(
        kind=body.kind,
        backend=body.backend,
        purpose=body.purpose,
        tokens=tuple(body.tokens),
        media=tuple(body.media),
        sound=body.sound,
        script=body.script,
        language=body.language,
        max_seconds=seconds if body.shots else body.max_seconds,
        width=body.width,
        height=body.height,
        owner=app.key_id,
        media_sha256=tuple(digests),
        maker=body.maker,
        categories=None if body.categories is None else tuple(body.categories),
        territories=None if body.territories is None else tuple(body.territories),
        shots=tuple(OrderedShot(seconds=shot.seconds, caption=shot.caption) for shot in body.shots),
        music=body.music,
        face_of=body.face_of,
        remote=None if body.remote is None else _wish(body.remote),
        lines=tuple(OrderedLine(text=line.text, consent=line.consent) for line in body.lines),
        voices=tuple((voice.media_id, voice.token) for voice in body.voices),
    )


def question_of(wanted: Order, *, caller: str, stage: str, own_permit: str | None = None) -> Question:
    """The gate's question for a clip: pictures that were handed in, or the portraits of those who consented; for a cameo both,
    since a face goes into a film with another."""
    return Question(
        caller=caller,
        backend=wanted.backend,
        stage=stage,
        purpose=wanted.purpose,
        job_sha256=job_sha256(wanted),
        seconds=wanted.max_seconds if wanted.remote is None else wanted.remote.seconds,
        # what is said in a recording is not known here; whoever forbade words is then protected by a refusal
        script=wanted.words,
        tokens=wanted.tokens,
        # a recording that goes to a vendor is somebody's likeness too: the gate hears whose
        media=wanted.media if wanted.remote is None or wanted.sound is None else (*wanted.media, wanted.sound),
        voices=wanted.voices,
        media_owner=wanted.owner,
        portraits=not wanted.media or wanted.kind == "cameo",
        # a local story invents nothing: every pixel of it is from the photographs, or a caption's
        only_pictures=wanted.kind == "story" and wanted.remote is None,
        own_permit=own_permit,
        maker=wanted.maker,
        categories=wanted.categories,
        territories=wanted.territories,
    )


def _queue(service: Service, app: KeyHolder, wanted: Order, permit: Permit, body: NewClip) -> ClipAccepted:
    now = service.now()
    lasts = timedelta(seconds=body.deadline_s or service.settings.clip_deadline_s)
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
            deadline_at=now + lasts,
        )
        priority = clip_priority(store.clips_waiting(app.key_id), low=body.priority == "low")
        store.add(clip)
        store.add(*(ClipConsentRow(clip_id=clip.clip_id, consent_id=cid) for cid, _ in permit.consents))
        service.queue.make(store, clip.clip_id, clip.kind, priority=priority)
        cost = _cost(service, store, wanted)
    return ClipAccepted(clip_id=clip.clip_id, state=clip.state, cost=cost)


def _cost(service: Service, store: Store, wanted: Order) -> ClipCost | None:
    """Of a clip that is made here; a vendor's is not known."""
    if wanted.remote is not None:
        return None
    try:
        film_s = _film_s(service, store, wanted)
    except (Erased, LivenessError):
        return None  # what cannot be read fails as soon as the work begins, and says why
    cost = cost_of(
        Kind(wanted.kind),
        film_s=film_s,
        size=(wanted.width, wanted.height),
        pictures=max(len(wanted.media), 1),
        people=max(len(wanted.tokens), 1),
    )
    return ClipCost(film_s=cost.film_s, work_s=round(cost.work_s, 1), memory_mb=-(-cost.memory_bytes // 1_000_000))


def _film_s(service: Service, store: Store, wanted: Order) -> float:
    """How long the film will be, seconds. Raises: Erased, LivenessError."""

    def content(media_id: str) -> bytes:
        row = store.get(MediaRow, media_id)
        if row is None:
            raise Erased
        return service.vault.get(store, row.content_id, owner=media_id)

    match wanted.kind:
        case "story":
            return sum(shot.seconds for shot in wanted.shots)
        case "cameo":
            times = [packet.at_ms for packet in packet_positions(content(wanted.media[0]), policy=STRICT)]
            return max(times, default=0) / 1000 * (len(times) + 1) / max(len(times), 1)
        case _ if wanted.sound is not None:
            return said_s(()) + decode_film_sound(content(wanted.sound)).duration_ms / 1000
        case _:
            return said_s([line.text for line in wanted.lines] or [wanted.script or ""])


@router.post("/estimate", responses={422: {"description": "the order makes no sense"}})
def estimate(body: NewClip, request: Request, app: App, service: TheService) -> ClipEstimate:
    """What a clip would take, and what the gate would say to it. Nothing is made, spent or queued, and nobody is asked for a
    yes; the question is in the books like any other."""
    _check(body, service, request)
    with service.database.transaction() as store:
        wanted = _order(store, body, app)
        cost = _cost(service, store, wanted)
    answer = ask(service, question_of(wanted, caller=app.key_id, stage=ESTIMATE))
    permitted = isinstance(answer.outcome, Permit)
    return ClipEstimate(decision=permitted, reasons=reasons_to_json(answer.outcome), cost=cost)


@router.get("")
def ordered_by_an_app(
    app: App,
    service: TheService,
    state: ClipPhase | None = None,
    consent: Annotated[Id | None, Query(description="only clips under this consent")] = None,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ClipsOfApp:
    """The clips that this app ordered, whatever became of them, latest first."""
    after = None if cursor is None else read_cursor(cursor)
    with service.database.transaction() as store:
        rows = store.clips_of_app(app.key_id, state=state, consent_id=consent, after=after, most=limit + 1)
        more, rows = len(rows) > limit, rows[:limit]
        return ClipsOfApp(
            results=[_of_app(store, row) for row in rows],
            next=write_cursor((rows[-1].created_at, rows[-1].clip_id)) if more else None,
        )


def _of_app(store: Store, clip: ClipRow) -> ClipOfApp:
    return ClipOfApp(
        **state_of(clip).model_dump(),
        purpose=clip.purpose,
        consents=store.consents_of_clip(clip.clip_id),
        created_at=clip.created_at,
        finished_at=clip.finished_at,
    )


@router.get("/backends")
def backends(request: Request, app: App) -> RemoteBackends:
    """Vendors' generators: what they make, which ones can be ordered from here, and why some cannot."""
    remotes: Remotes = request.app.state.remotes
    return RemoteBackends.of(cards(), ready=[*remotes.backends, *remotes.local], unready=remotes.unready)


@router.get("/{clip_id}")
def look(clip_id: str, who: AnyCaller, service: TheService) -> ClipState:
    """Where the clip stands."""
    with service.database.transaction() as store:
        return state_of(_reachable(store, clip_id, who))


@router.get(
    "/{clip_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "progress, then done or failed"},
        204: {"description": "whoever comes back was told how it ended: do not come back again"},
    },
)
async def events(clip_id: str, request: Request, who: AnyCaller, service: TheService) -> Response:
    """Server-sent events: ``progress`` while it is made, then one of ``done``, ``failed``, ``cancelled``, ``withdrawn``.

    Every event has an id. Whoever comes back with the last one (``Last-Event-ID``, as browsers do) hears only what came after.
    """
    first = await run_in_threadpool(_state, service, clip_id, who)
    bell: ClipEvents = request.app.state.clip_events
    heard = _event_number(request.headers.get("Last-Event-ID"))
    if first.state in _ENDED and heard >= _number_of(first):
        return Response(status_code=204)  # which ends a browser's coming back

    async def stream() -> AsyncIterator[bytes]:
        state, told = first, heard
        ends = asyncio.get_running_loop().time() + _LONGEST_WATCH_S
        yield _COME_BACK
        while True:
            number = _number_of(state)
            if number > told:
                told = number
                name = state.state if state.state in _ENDED else "progress"
                yield f"id: {number}\nevent: {name}\ndata: {state.model_dump_json()}\n\n".encode()
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


def _number_of(state: ClipState) -> int:
    """Of a clip's event; it only grows: states have an order, and progress counts within one."""
    return _ORDER.index(state.state) * 1000 + min(999, int(state.progress * 1000))


def _event_number(last: str | None) -> int:
    """What a ``Last-Event-ID`` says was heard; -1 for nothing, or for what is no id of ours."""
    return int(last) if last is not None and last.isascii() and last.isdigit() and len(last) < 6 else -1


@router.get(
    "/{clip_id}/content",
    response_class=Response,
    responses={200: {"content": {"video/mp4": {}}, "description": "the marked clip"}},
)
def content(clip_id: str, request: Request, who: AnyCaller, service: TheService) -> Response:
    """The marked clip, while the consents behind it hold."""
    with service.database.transaction() as store:
        clip, data = _finished(service, store, clip_id, who)
        etag = f'"{clip.sha256}"'
    return _ranged(data, request.headers.get("Range"), etag)


@router.get("/{clip_id}/manifest")
def manifest(clip_id: str, who: AnyCaller, service: TheService) -> ClipManifestShown:
    """What the finished clip says of itself, read from the file: who made it, under which consents, from what, with which
    marks. For the app that ordered it and the people in it."""
    with service.database.transaction() as store:
        clip, data = _finished(service, store, clip_id, who)
        consents = store.consents_of_clip(clip_id)
        rows = [row for one in consents if (row := store.get(ConsentRow, one)) is not None]
        own = None if isinstance(who, KeyHolder) else _own_consent(store, who)
        purpose, backend, sha256 = clip.purpose, clip.backend, clip.sha256 or ""
    read, aigc = read_marks(service, data)
    said = read.consent
    return ClipManifestShown(
        manifest=read.state.value,
        issuer=read.issuer,
        producer=read.generator,
        edited="c2pa.opened" in read.actions,
        people=len(consents),
        consents=consents if isinstance(who, KeyHolder) else [one for one in consents if one == own],
        consent=standing(rows, now=service.now()).value if consents else "nobody",
        purpose=purpose if said is None else said.purpose,
        backend=backend if said is None else said.backend,
        assurance="" if said is None else said.assurance,
        permitted_at=None if said is None else datetime.fromisoformat(said.permitted_at),
        inputs=read.inputs,
        label="" if said is None else said.label,
        watermarked=read.watermark is not None,
        aigc=aigc,
        training_refused=read.training_refused,
        sha256=sha256,
    )


def _own_consent(store: Store, who: Person) -> str | None:
    if who.consent_id is not None or who.session_id is None:
        return who.consent_id
    own = store.consent_of_session(who.session_id)
    return None if own is None else own.consent_id


def _finished(service: Service, store: Store, clip_id: str, who: Caller) -> tuple[ClipRow, bytes]:
    """The clip and its bytes, while the consents behind it hold. Raises Problem."""
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
        return clip, service.vault.get(store, clip.content_id, owner=clip_id)
    except Erased:
        raise Problem("clip_failed") from None


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
    return _own_consent(store, who) in store.consents_of_clip(clip_id)


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
        "deadline_at": clip.deadline_at,
    }
    return ClipState(**values)
