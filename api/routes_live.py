"""The live session: one WebSocket from the first cue to the verdict.

    (1) the client says who it is and starts; a challenge is drawn and an attempt is taken
    (2) chunks of the recording come in; what is seen in them guides the person
    (3) one step at a time is shown, the next when the last was seen to be done
    (4) the client sends the rest; the recording is sealed and handed to the same judge as any other
    (5) the verdict is pushed

Every state has a deadline (:class:`liveness.live.Patience` and the policy) and a code. Whatever ends a session after its
challenge was drawn, the attempt is spent and the session says why: also when the client is simply gone.

A close code is 4000 plus the HTTP status of the problem in the last message; 1000 after a verdict.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, assert_never

import numpy as np
from fastapi import APIRouter, WebSocket
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocketDisconnect, WebSocketState

from api.auth import Person, authenticate
from api.errors import Problem
from api.live_guidance import Blind, Found, Guidance, LiveSessions
from api.routes_liveness import advice_of, draw, shown, signs_of, take
from api.schemas import Body, ChallengeWish
from api.service import Service
from api.storage import policy_of
from api.tables import ChallengeRow, SessionRow, VerdictRow
from liveness import session as life
from liveness.camera_signs import LONGEST
from liveness.challenge import Challenge, Reveal, SayDigits
from liveness.container import Container, recognise
from liveness.digits import Language
from liveness.errors import EngineError
from liveness.examine import verdict_json
from liveness.guide import GUIDANCE, Glance, Hearing
from liveness.live import Action, Fail, Finish, LiveTake, Seal, ShowCue, Tell
from liveness.policy import LivenessPolicy, Path
from liveness.reasons import ADVICE, Reason
from liveness.verdict import CheckResult, judge

log = logging.getLogger("mien.api")
router = APIRouter(prefix="/v1/liveness/sessions", tags=["live checks"])

PROTOCOL = "mien.live.v1"
_TOKEN = "mien.token."  # noqa: S105 - the prefix under which a token is offered as a subprotocol
MESSAGE_MAX_BYTES = 1_000_000  # a chunk of 200 ms is 25 to 100 kB
MOST_MESSAGES = 60  # a second, over the whole session
_QUEUE = 64
_TICK_S = 0.1
_SEND_S = 5.0
_LOOK_AGAIN_S = 0.2
_KINDS = (Container.WEBM, Container.MATROSKA, Container.MP4, Container.MOV)
_CLOSED_NORMALLY = 1000


class LiveStart(Body):
    """The first message."""

    type: Literal["start"]
    token: str | None = None
    media: Annotated[str, StringConstraints(pattern=r"^video/[\x20-\x7e]{1,120}$")]
    mirrored: bool = False
    path: Path = Path.STANDARD
    extra_time: bool = False
    camera: Annotated[str, StringConstraints(max_length=LONGEST)] | None = Field(
        None, description="as the header Mien-Camera of an upload"
    )


class LiveDone(Body):
    """Everything was sent. attestation : what the device vouches for, each as a ``Mien-Attestation`` header would say it."""

    type: Literal["done"]
    attestation: tuple[Annotated[str, StringConstraints(max_length=65_536)], ...] = Field(default=(), max_length=4)


_STARTED: TypeAdapter[LiveStart] = TypeAdapter(LiveStart)
_LATER: TypeAdapter[LiveDone] = TypeAdapter(LiveDone)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    """What the client sent, and when it was here; ``content`` is ``None`` when it is gone."""

    content: str | bytes | None = field(repr=False)
    at_ms: int


@router.websocket("/{session_id}/live")
async def live(websocket: WebSocket, session_id: str) -> None:
    """A live session of the person to whom the token belongs."""
    service: Service = websocket.app.state.service
    sessions: LiveSessions = websocket.app.state.live
    try:
        with sessions.connection():
            offered = [name.strip() for name in websocket.headers.get("Sec-WebSocket-Protocol", "").split(",")]
            await websocket.accept(PROTOCOL if PROTOCOL in offered else None)
            token = next((name.removeprefix(_TOKEN) for name in offered if name.startswith(_TOKEN)), None)
            start, person = await _opened(websocket, service, sessions, session_id, token)
    except Problem as problem:
        await _refuse(websocket, problem)
        return
    except WebSocketDisconnect:
        return
    try:
        with sessions.place(session_id):
            await _Session(websocket, service, sessions, session_id, person, start).run()
    except Problem as problem:
        await _refuse(websocket, problem)


async def _opened(
    websocket: WebSocket, service: Service, sessions: LiveSessions, session_id: str, token: str | None
) -> tuple[LiveStart, Person]:
    """The first message and who it is from. Raises: Problem, WebSocketDisconnect."""
    if service.faces.streams is None:
        raise Problem("live_unavailable")
    try:
        message = await asyncio.wait_for(websocket.receive(), sessions.patience.opened / 1000)
    except TimeoutError:
        raise Problem("start_timeout") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    try:
        start = _STARTED.validate_json(message.get("text") or "")
    except ValidationError:
        raise Problem("request_invalid", "the first message is start") from None

    if start.camera is not None:
        signs_of(start.camera)  # what cannot be read is refused before anything is spent

    def who() -> Person:
        with service.database.transaction() as store:
            caller = authenticate(store, start.token or token, now=service.now())
        if not isinstance(caller, Person):
            raise Problem("forbidden", "needs a person's own token")
        if caller.session_id != session_id:
            raise Problem("not_found")
        return caller

    return start, await run_in_threadpool(who)


async def _refuse(websocket: WebSocket, problem: Problem) -> None:
    """Say why nothing was begun, and close. Nothing was spent."""
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        if websocket.application_state is WebSocketState.CONNECTING:
            await websocket.send_denial_response(problem.response())
            return
        await websocket.send_json({"type": "refused", "code": problem.code, "text": problem.title} | problem.more)
        await websocket.close(4000 + problem.status)


class _Session:
    """One live session from its start to its end."""

    def __init__(
        self,
        websocket: WebSocket,
        service: Service,
        sessions: LiveSessions,
        session_id: str,
        person: Person,
        start: LiveStart,
    ) -> None:
        self._socket, self._service, self._sessions = websocket, service, sessions
        self._session_id, self._person, self._start = session_id, person, start
        self._queue: asyncio.Queue[_Message | Found] = asyncio.Queue(_QUEUE)
        self._loop = asyncio.get_running_loop()
        self._began = time.monotonic()
        self._chunks: list[bytes] = []
        self._messages = 0
        self._previewed_ms = -(10**9)
        self._attempts_left = 0
        self._vouching: list[str] = []
        self._language = Language.ENGLISH

    async def run(self) -> None:
        """Raises: Problem when the challenge cannot be drawn; nothing was spent then."""
        wish = ChallengeWish(path=self._start.path, extra_time=self._start.extra_time)
        (challenge, self._attempts_left), policy = await run_in_threadpool(self._draw, wish)
        self._language = challenge.language
        settled = False
        take_ = LiveTake(
            challenge, policy, mirrored=self._start.mirrored, began_ms=self._now_ms(), patience=self._sessions.patience
        )
        try:
            async with self._guided(challenge, policy) as guidance:
                await self._send(
                    type="ready",
                    challenge_id=challenge.challenge_id,
                    nonce=challenge.nonce,
                    of=len(challenge.steps),
                    expires_at=challenge.expires_at.isoformat().replace("+00:00", "Z"),
                    attempts_left=self._attempts_left,
                )
                end = await self._conversation(take_, guidance)
            if isinstance(end, Fail):
                await self._fail(challenge, policy, end.reason)
                settled = True
                await self._say_failed(end.reason)
            else:
                sealed = await self._seal(challenge, take_)
                settled = True
                if sealed:
                    await self._verdict()
        except (WebSocketDisconnect, RuntimeError, TimeoutError):
            pass  # gone, or does not read what we send: the same
        finally:
            if not settled:
                with contextlib.suppress(Problem):
                    await asyncio.shield(self._fail(challenge, policy, Reason.CONNECTION_LOST))

    def _draw(self, wish: ChallengeWish) -> tuple[tuple[Challenge, int], LivenessPolicy]:
        drawn = draw(self._service, self._session_id, self._person, wish, reveal=Reveal.CUE_BY_CUE)
        return drawn, policy_of(drawn[0].policy)

    def _now_ms(self) -> int:
        return round(1000 * (time.monotonic() - self._began))

    @asynccontextmanager
    async def _guided(self, challenge: Challenge, policy: LivenessPolicy) -> AsyncIterator[Guidance]:
        faces = self._service.faces
        if faces.streams is None:
            raise Problem("live_unavailable")
        listener = None
        if faces.listen is not None:
            with contextlib.suppress(EngineError):  # bursts of sound are counted instead
                listener = await run_in_threadpool(faces.listen, challenge.language)
        guidance = Guidance(faces.streams, listener, policy=challenge.limits(policy), tell=self._told)
        receiver = asyncio.create_task(self._receive(), name="live receiver")
        try:
            yield guidance
        finally:
            receiver.cancel()
            guidance.close()

    def _told(self, found: Found) -> None:
        """From a thread of the guidance. When there is no room, what was seen is skipped."""

        def put() -> None:
            with contextlib.suppress(asyncio.QueueFull):
                self._queue.put_nowait(found)

        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(put)

    async def _receive(self) -> None:
        """Messages into the queue, with the time at which they were here. A full queue lets the client wait."""
        while True:
            try:
                message = await self._socket.receive()
            except RuntimeError:
                message = {"type": "websocket.disconnect"}
            at_ms = self._now_ms()
            gone = message["type"] == "websocket.disconnect"
            content = None if gone else message.get("bytes") or message.get("text") or ""
            await self._queue.put(_Message(content=content, at_ms=at_ms))
            if gone:
                return

    async def _conversation(self, take_: LiveTake, guidance: Guidance) -> Fail | Seal:
        """Everything from the start to the last chunk."""
        while True:
            try:
                event = await asyncio.wait_for(self._queue.get(), _TICK_S)
            except TimeoutError:
                actions: tuple[Action, ...] = ()
            else:
                actions = self._on(event, take_, guidance)
            for action in (*actions, *take_.tick(self._now_ms())):
                if isinstance(action, Fail | Seal):
                    return action
                await self._do(action, guidance)

    def _on(self, event: _Message | Found, take_: LiveTake, guidance: Guidance) -> tuple[Action, ...]:
        now_ms = self._now_ms()
        match event:
            case _Message():
                return self._on_message(event, take_, guidance)
            case Glance():
                return take_.saw(event, now_ms)
            case Hearing():
                return take_.heard(event, now_ms)
            case Blind():
                if event.ours:
                    return (Fail(reason=Reason.NOT_MEASURED),)
                # a container that cannot be read as it grows, and pictures beside it; or no recording at all
                return () if now_ms - self._previewed_ms < self._sessions.patience.stalled else take_.spoilt()
            case _:
                assert_never(event)

    def _on_message(self, message: _Message, take_: LiveTake, guidance: Guidance) -> tuple[Action, ...]:
        content = message.content
        self._messages += 1
        if content is None:
            return take_.lost()
        if self._messages > MOST_MESSAGES * (message.at_ms / 1000 + 2) or len(content) > MESSAGE_MAX_BYTES:
            return take_.spoilt()
        if isinstance(content, str):
            try:
                self._vouching = list(_LATER.validate_json(content).attestation)
            except ValidationError:
                return take_.spoilt()
            return take_.done(message.at_ms)
        kind, payload = content[:1], content[1:]
        match kind:
            case b"\x01" if payload:
                if not self._chunks and len(payload) >= 16 and recognise(payload) not in _KINDS:
                    return take_.spoilt()
                self._chunks.append(payload)
                guidance.feed(payload)
                return take_.arrived(len(payload), message.at_ms)
            case b"\x02":
                self._previewed_ms = message.at_ms
                guidance.preview(payload)
                return take_.previewed(message.at_ms)
            case b"\x03":
                guidance.listen(
                    np.frombuffer(payload[: len(payload) & ~1], "<i2").astype(np.float32) / np.float32(32768)
                )
                return take_.previewed(message.at_ms)
            case _:
                return take_.spoilt()

    async def _do(self, action: ShowCue | Tell | Finish, guidance: Guidance) -> None:
        match action:
            case ShowCue():
                guidance.cue_shown(digits=isinstance(action.step, SayDigits))
                step = shown(action.step, self._language).model_dump(exclude_none=True)
                await self._send(type="cue", index=action.index, of=action.of, deadline_ms=action.deadline_ms, **step)
            case Tell():
                told = GUIDANCE[action.code].told(chinese=self._language is Language.CHINESE, place=None)
                await self._send(type="guidance", code=action.code.value, text=told, at_ms=action.at_ms)
            case Finish():
                await self._send(type="finishing")
            case _:
                assert_never(action)

    async def _send(self, **message: Any) -> None:
        """Raises: TimeoutError when the client does not read; WebSocketDisconnect or RuntimeError when it is gone."""
        await asyncio.wait_for(self._socket.send_json(message), _SEND_S)

    # the end

    async def _seal(self, challenge: Challenge, take_: LiveTake) -> bool:
        data = b"".join(self._chunks)
        self._chunks = []

        def seal() -> None:
            take(
                self._service, self._session_id, self._person, data, self._start.mirrored, self._vouching,
                live=(challenge.challenge_id, take_.log), camera=self._start.camera,
            )  # fmt: skip

        try:
            await run_in_threadpool(seal)
        except Problem as problem:  # another challenge was drawn meanwhile, or the session's time is over
            await _refuse(self._socket, problem)
            return False
        await self._send(type="judging")
        return True

    async def _verdict(self) -> None:
        """Push what came of it when it is there, and no later than that."""
        until = self._now_ms() + self._sessions.patience.judging
        while (found := await run_in_threadpool(self._found)) is None:
            if self._now_ms() > until:
                problem = Problem("judging_timeout")
                await self._send(type="later", code=problem.code, text=problem.title)
                await self._socket.close(4000 + problem.status)
                return
            await asyncio.sleep(_LOOK_AGAIN_S)
        await self._send(type="verdict", attempts_left=self._attempts_left, **found)
        await self._socket.close(_CLOSED_NORMALLY)

    def _found(self) -> dict[str, Any] | None:
        with self._service.database.transaction() as store:
            row = store.get(SessionRow, self._session_id)
            if row is None or row.state == life.SessionState.JUDGING or row.challenge_id is None:
                return None
            verdict = store.get(VerdictRow, row.challenge_id)
            if verdict is None:
                return {"status": row.state, "reasons": [], "advice": []}
            advice = [each.model_dump(exclude_none=True) for each in advice_of(verdict, row.language)]
            return {"status": row.state, "reasons": list(verdict.reasons), "advice": advice}

    async def _fail(self, challenge: Challenge, policy: LivenessPolicy, reason: Reason) -> None:
        await run_in_threadpool(break_off, self._service, self._session_id, challenge, policy, reason)

    async def _say_failed(self, reason: Reason) -> None:
        text = ADVICE[reason].told(chinese=self._language is Language.CHINESE, place=None)
        problem = Problem("live_failed")
        await self._send(type="failed", code=reason.value, text=text, attempts_left=self._attempts_left)
        await self._socket.close(4000 + problem.status)


def break_off(service: Service, session_id: str, challenge: Challenge, policy: LivenessPolicy, reason: Reason) -> None:
    """The attempt ended without a recording to judge: its challenge is spent, and the session says why."""
    now = service.now()
    verdict = judge(
        [CheckResult.unjudged("live_session", reason)],
        required=["live_session"],
        challenge=challenge,
        capture_sha256="",
        policy=policy,
        models={},
        now=now,
    )
    ours = "engine_failed" if reason is Reason.NOT_MEASURED else None
    with service.database.transaction() as store:
        session = store.get(SessionRow, session_id, lock=True)
        given = store.get(ChallengeRow, challenge.challenge_id, lock=True)
        if given is None or given.spent_at is not None:
            return
        given.spent_at = now
        if session is None or session.challenge_id != challenge.challenge_id:
            return  # another challenge was drawn meanwhile
        if session.state != life.SessionState.CHALLENGED:
            return
        store.add_verdict(
            VerdictRow(
                challenge_id=challenge.challenge_id,
                session_id=session_id,
                live=False,
                assurance=None,
                reasons=[reason.value],
                detail=verdict_json(verdict) | {"media_code": ours},
                judged_at=now,
            )
        )
        session.state = life.advance(life.SessionState.CHALLENGED, life.SessionEvent.BROKEN_OFF)
    log.info("live session broke off: %s", reason.value)
