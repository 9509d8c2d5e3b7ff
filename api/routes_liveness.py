"""Live checks: a session, a fresh challenge, the first recording for it, and what came of it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from api.auth import AnyCaller, App, Caller, KeyHolder, Person, Role, Subject, create_person_token
from api.calls import Call
from api.errors import Problem
from api.media import Sealed
from api.prompts import prompt
from api.schemas import Advice, CaptureTaken, ChallengeMade, NewSession, Prompt, SessionMade, SessionState
from api.service import Service, TheService
from api.storage import Store, new_id, policy_of, steps_to_json
from api.tables import ChallengeRow, SessionRow, VerdictRow
from liveness import session as life
from liveness.challenge import SayDigits, issue
from liveness.digits import Language
from liveness.policy import POLICIES
from liveness.reasons import ADVICE, Reason

router = APIRouter(prefix="/v1/liveness/sessions", tags=["live checks"], route_class=Call)

CAPTURE_KEPT = timedelta(minutes=15)  # the raw recording goes when it is judged; this bounds it when nobody judges
CAPTURE_MAX_BYTES = int(POLICIES["strict"].max_bytes.value)
_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]{43,44}):\s*(?:,|$)")


@router.post("", status_code=201)
def begin(body: NewSession, app: App, service: TheService) -> SessionMade:
    """Begin a live check of one person. Their phone gets the client token."""
    name = body.policy or service.settings.policy
    policy = POLICIES.get(name)
    if policy is None:
        raise Problem("policy_unknown", f"known: {', '.join(POLICIES)}")
    if body.language not in service.faces.languages:
        known = ", ".join(sorted(service.faces.languages)) or "none"
        raise Problem("language_unavailable", f"recognised here: {known}")
    now, life_s = service.now(), timedelta(seconds=policy.session_life.value)
    with service.database.transaction() as store:
        person = store.subject(app.key_id, service.keys.master.blind("subject", body.subject_ref), now=now)
        row = SessionRow(
            session_id=new_id("ses"),
            app_key_id=app.key_id,
            subject_id=person.subject_id,
            language=body.language,
            purpose=body.purpose,
            policy=f"{policy.name}@{policy.version}",
            state=life.SessionState.CREATED,
            attempts=0,
            data_key_id=service.vault.new_key(store, now=now),
            created_at=now,
            expires_at=now + life_s,
        )
        store.add(row)
        token = create_person_token(store, session_id=row.session_id, life=life_s, now=now)
    return SessionMade(session_id=row.session_id, client_token=token, expires_at=row.expires_at, policy=policy.name)


@router.post("/{session_id}/challenge", status_code=201)
def challenge(session_id: str, person: Subject, service: TheService) -> ChallengeMade:
    """Draw a fresh challenge. It is spent by the first recording sent for it."""
    now = service.now()
    with service.database.transaction() as store:
        row = _own_session(store, session_id, person, now=now)
        policy = policy_of(row.policy)
        if row.attempts >= policy.attempts.value:
            raise Problem("no_attempts_left")
        row.state = _advance(row.state, life.SessionEvent.CHALLENGE)
        row.attempts += 1
        drawn = issue(
            policy,
            challenge_id=new_id("chl"),
            nonce=secrets.token_hex(16),
            language=Language(row.language),
            chance=secrets.SystemRandom(),
            now=now,
        )
        row.challenge_id = drawn.challenge_id
        store.add(
            ChallengeRow(
                challenge_id=drawn.challenge_id,
                session_id=row.session_id,
                nonce=drawn.nonce,
                language=drawn.language,
                steps=steps_to_json(drawn.steps),
                policy=drawn.policy,
                issued_at=drawn.issued_at,
                expires_at=drawn.expires_at,
                reused=False,
            )
        )
        # who was given a challenge in time may use its whole life
        row.expires_at = max(row.expires_at, drawn.expires_at)
        store.extend_person_tokens(row.session_id, row.expires_at)
    return ChallengeMade(
        challenge_id=drawn.challenge_id,
        digits=drawn.digits,
        turns=[turn.value for turn in drawn.turns],
        prompts=[
            Prompt(step="say" if isinstance(step, SayDigits) else "turn", text=prompt(step, drawn.language))
            for step in drawn.steps
        ],
        nonce=drawn.nonce,
        expires_at=drawn.expires_at,
        attempts_left=int(policy.attempts.value) - row.attempts,
    )


@router.put(
    "/{session_id}/capture",
    status_code=202,
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "the recording, at most 20 MB",
            "content": {
                "video/mp4": {"schema": {"type": "string", "format": "binary"}},
                "video/webm": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "parameters": [
            {
                "name": "Content-Digest",
                "in": "header",
                "required": True,
                "description": "RFC 9530, sha-256",
                "schema": {"type": "string"},
                "example": "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
            }
        ],
    },
)
async def capture(
    session_id: str, request: Request, person: Subject, service: TheService, mirrored: bool = False
) -> CaptureTaken:
    """Hand in the recording of the challenge. ``mirrored``: its pictures are mirrored, as some front cameras give them."""
    data = await read_with_digest(request, CAPTURE_MAX_BYTES)
    return await run_in_threadpool(_take, service, session_id, person, data, mirrored)


def _take(service: Service, session_id: str, person: Person, data: bytes, mirrored: bool) -> CaptureTaken:
    now, sha256 = service.now(), hashlib.sha256(data).hexdigest()
    with service.database.transaction() as store:
        row = _own_session(store, session_id, person, now=now)
        given = None if row.challenge_id is None else store.get(ChallengeRow, row.challenge_id, lock=True)
        if given is None:
            raise Problem("challenge_missing")
        if given.spent_at is not None:
            raise Problem("challenge_spent")
        if now >= given.expires_at:
            raise Problem("challenge_expired")
        row.state = _advance(row.state, life.SessionEvent.CAPTURE)
        given.spent_at, given.capture_sha256, given.mirrored = now, sha256, mirrored
        given.reused = not store.see_capture(sha256, given.challenge_id, now=now)
        if not given.reused:
            given.capture_id = service.vault.put(
                store, data, kind=Sealed.CAPTURE, data_key_id=row.data_key_id, now=now, keep=CAPTURE_KEPT
            )
        service.queue.judge(store, given.challenge_id)
    return CaptureTaken(session_id=session_id, status=row.state)


@router.get("/{session_id}")
def look(session_id: str, who: AnyCaller, service: TheService) -> SessionState:
    """Where the live check stands, and what the person can do better."""
    with service.database.transaction() as store:
        row = store.get(SessionRow, session_id)
        if row is None or not _may_look(row, who):
            raise Problem("not_found")
        verdicts = store.verdicts_of(session_id)
    return state_of(
        row, verdicts, now=service.now(), for_auditor=isinstance(who, KeyHolder) and who.role is Role.AUDITOR
    )


def state_of(row: SessionRow, verdicts: list[VerdictRow], *, now: datetime, for_auditor: bool) -> SessionState:
    """What may be said about a session; values and limits to auditors only."""
    last = verdicts[-1] if verdicts and verdicts[-1].challenge_id == row.challenge_id else None
    state = life.SessionState(row.state)
    over = now >= row.expires_at and (state, life.SessionEvent.EXPIRE) in life.TRANSITIONS
    return SessionState(
        session_id=row.session_id,
        status=(life.SessionState.EXPIRED if over else state).value,
        reasons=last.reasons if last else [],
        advice=[_advice(code, row.language) for code in (last.reasons if last else [])],
        attempts_left=0 if over else int(policy_of(row.policy).attempts.value) - row.attempts,
        expires_at=row.expires_at,
        assurance=last.assurance if last else None,
        verdicts=[v.detail for v in verdicts] if for_auditor else None,
    )


def _advice(code: str, language: str) -> Advice:
    advice = ADVICE[Reason(code)]
    return Advice(code=code, text=advice.zh if language == Language.CHINESE else advice.en)


def _may_look(row: SessionRow, who: Caller) -> bool:
    match who:
        case Person():
            return who.session_id == row.session_id
        case KeyHolder(role=Role.AUDITOR):
            return True
        case KeyHolder(role=Role.APP):
            return row.app_key_id == who.key_id
        case _:
            return False


def _own_session(store: Store, session_id: str, person: Person, *, now: datetime) -> SessionRow:
    """The person's session, locked, while its time lasts."""
    if person.session_id != session_id:
        raise Problem("not_found")
    row = store.get(SessionRow, session_id, lock=True)
    if row is None:
        raise Problem("not_found")
    if now >= row.expires_at:
        raise Problem("session_expired")
    return row


def _advance(state: str, event: life.SessionEvent) -> life.SessionState:
    try:
        return life.advance(life.SessionState(state), event)
    except life.IllegalStep as error:
        raise Problem("session_not_ready", f"it is {state}") from error


async def read_with_digest(request: Request, most: int, *, required: bool = True) -> bytes:
    """The body, bounded while it streams, with the digest that ``Content-Digest`` (RFC 9530) states.

    ``required``: without the header the body is refused. A header that is there is held against the body either way.
    """
    header = request.headers.get("Content-Digest")
    wanted = None
    if header is not None or required:
        stated = _DIGEST.search(header or "")
        if stated is None:
            raise Problem("digest_required")
        try:
            wanted = base64.b64decode(stated.group(1), validate=True)
        except (binascii.Error, ValueError):
            raise Problem("digest_required") from None
    found, parts, size = hashlib.sha256(), [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise Problem("body_too_large", f"at most {most} bytes")
        found.update(part)
        parts.append(part)
    if wanted is not None and not hmac.compare_digest(found.digest(), wanted):
        raise Problem("digest_mismatch")
    return b"".join(parts)
