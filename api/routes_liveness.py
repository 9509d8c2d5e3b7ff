"""Live checks: a session, a fresh challenge, the first recording for it, and what came of it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, assert_never

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from api import attestation
from api.auth import AnyCaller, App, Caller, KeyHolder, Person, Role, Subject, create_person_token
from api.calls import Call
from api.errors import Problem
from api.media import Sealed
from api.prompts import prompt
from api.schemas import (
    Advice,
    CaptureTaken,
    ChallengeMade,
    ChallengeWish,
    CheckAgreed,
    CheckRecorded,
    DoubleAnswer,
    DoubleAnswered,
    NewSession,
    Prompt,
    SessionMade,
    SessionState,
)
from api.service import Service, TheService
from api.statements import Answer, answer_double, answer_of, check_of, check_row, give_check
from api.storage import Store, challenge_of, new_id, policy_of, steps_to_json
from api.tables import ChallengeRow, SessionRow, StatementRow, VerdictRow
from consent import terms as agreed
from consent.keys import to_base64url
from consent.ledger import entry_json
from liveness import session as life
from liveness.camera_signs import LONGEST, CameraSigns, read_signs, risks
from liveness.challenge import Challenge, Nod, Reveal, SayDigits, Step, Turn, issue
from liveness.digits import Language
from liveness.live import LiveLog
from liveness.lockout import counted_since, locked_until
from liveness.policy import POLICIES, LivenessPolicy, Path
from liveness.reasons import ADVICE, Reason

router = APIRouter(prefix="/v1/liveness/sessions", tags=["live checks"], route_class=Call)

CAMERA_HEADER = "Mien-Camera"
CAPTURE_KEPT = timedelta(minutes=15)  # the raw recording goes when it is judged; this bounds it when nobody judges
CAPTURE_MAX_BYTES = int(POLICIES["strict"].on(Path.STANDARD, extra_time=True).max_bytes.value)
_AS_USUAL = ChallengeWish()
_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]{43,44}):\s*(?:,|$)")


@router.post("", status_code=201)
def begin(body: NewSession, app: App, service: TheService) -> SessionMade:
    """Begin a live check of one person. Their phone gets the client token."""
    now = service.now()
    with service.database.transaction() as store:
        person = store.subject(app.key_id, service.keys.blind("subject", body.subject_ref), now=now)
        device = None if body.device_ref is None else service.keys.blind("device", f"{app.key_id}/{body.device_ref}")
        return begin_for(
            service,
            store,
            app_key_id=app.key_id,
            subject_id=person.subject_id,
            language=body.language,
            purpose=body.purpose,
            policy_name=body.policy,
            device=device,
            now=now,
        )


def begin_for(
    service: Service,
    store: Store,
    *,
    app_key_id: str,
    subject_id: str,
    language: Language,
    purpose: str,
    policy_name: str | None = None,
    device: bytes | None = None,
    now: datetime,
) -> SessionMade:
    """A session of that person, and the token for their phone.

    Raises: Problem ``policy_unknown``, ``language_unavailable``, ``locked_out``.
    """
    policy = POLICIES.get(policy_name or service.settings.policy)
    if policy is None:
        raise Problem("policy_unknown", f"known: {', '.join(POLICIES)}")
    if language not in service.faces.languages:
        known = ", ".join(sorted(service.faces.languages)) or "none"
        raise Problem("language_unavailable", f"recognised here: {known}")
    refuse_locked(store, subject_id, device, policy=policy, now=now)
    session_id, life_s = new_id("ses"), timedelta(seconds=policy.session_life.value)
    row = SessionRow(
        session_id=session_id,
        app_key_id=app_key_id,
        subject_id=subject_id,
        language=language,
        purpose=purpose,
        policy=f"{policy.name}@{policy.version}",
        state=life.SessionState.CREATED,
        attempts=0,
        data_key_id=service.vault.new_key(store, owner=session_id, now=now),
        device=device,
        created_at=now,
        expires_at=now + life_s,
    )
    store.add(row)
    token = create_person_token(store, session_id=row.session_id, life=life_s, now=now)
    return SessionMade(
        session_id=row.session_id,
        client_token=token,
        verify_url=verify_url(service, token),
        expires_at=row.expires_at,
        policy=policy.name,
    )


def verify_url(service: Service, token: str) -> str:
    """The page on which the person of this token is checked and decides."""
    return f"{service.settings.page_origin}/verify/{token}"


@router.post("/{session_id}/check-consent", status_code=201)
def agree(session_id: str, body: CheckAgreed, person: Subject, service: TheService) -> CheckRecorded:
    """The person agrees to be checked, before anything is recorded. It is no consent to a double. Twice changes nothing."""
    now = service.now()
    with service.database.transaction() as store:
        session = _own_session(store, session_id, person, now=now)
        row = _checked(service, store, session, body.terms_sha256, now=now)
        given = check_of(store, session_id)
        if given is None or row.record is None or row.salt is None:
            raise Problem("internal_error")
        return CheckRecorded(
            record=row.record, entry=_entry(store, row), salt=to_base64url(row.salt), destroy_by=given.destroy_by
        )


@router.post("/{session_id}/answer", status_code=201)
def decline(session_id: str, body: DoubleAnswer, person: Subject, service: TheService) -> DoubleAnswered:
    """The person says no to a double, or not now. A no is final for this session, and what it recorded is erased."""
    now = service.now()
    with service.database.transaction() as store:
        session = _own_session(store, session_id, person, now=now)
        if store.consent_of_session(session_id) is not None:
            raise Problem("consent_exists")
        final = body.answer == "refused"
        row = answer_double(service, store, session, final=final, now=now)
        if final:
            service.vault.destroy_key(store, session.data_key_id, now=now)
        return DoubleAnswered(state=body.answer, entry=_entry(store, row))


def _entry(store: Store, row: StatementRow) -> dict[str, Any]:
    return dict(entry_json(store.entries(row.ledger_index, 1)[0]))


def _checked(service: Service, store: Store, session: SessionRow, terms_sha256: str, *, now: datetime) -> StatementRow:
    terms = agreed.by_sha256(terms_sha256)
    if terms is None:
        raise Problem("terms_unknown")
    return give_check(service, store, session, terms, now=now)


@router.post("/{session_id}/challenge", status_code=201)
def challenge(session_id: str, person: Subject, service: TheService, wish: ChallengeWish = _AS_USUAL) -> ChallengeMade:
    """Draw a fresh challenge, on the path the person chose. It is spent by the first recording sent for it."""
    drawn, left = draw(service, session_id, person, wish, reveal=Reveal.AT_ONCE)
    return ChallengeMade(
        challenge_id=drawn.challenge_id,
        digits=drawn.digits,
        turns=[turn.value for turn in drawn.turns],
        prompts=[shown(step, drawn.language) for step in drawn.steps],
        path=drawn.path,
        extra_time=drawn.extra_time,
        nonce=drawn.nonce,
        expires_at=drawn.expires_at,
        attempts_left=left,
    )


def shown(step: Step, language: Language) -> Prompt:
    """One step as the person's phone gets it."""
    text = prompt(step, language)
    match step:
        case SayDigits():
            return Prompt(step="say", text=text, digits=step.digits)
        case Turn():
            return Prompt(step="turn", text=text, turn=step.direction.value)
        case Nod():
            return Prompt(step="nod", text=text, nods=step.times)
        case _:
            assert_never(step)


def draw(
    service: Service, session_id: str, person: Person, wish: ChallengeWish, *, reveal: Reveal
) -> tuple[Challenge, int]:
    """A fresh challenge and how many attempts are left after it; it takes one.

    Raises: Problem when the session is not at that step, has no attempt left, or its person or device must wait.
    """
    now = service.now()
    with service.database.transaction() as store:
        row = _own_session(store, session_id, person, now=now)
        policy = policy_of(row.policy)
        if row.attempts >= policy.attempts.value:
            raise Problem("no_attempts_left")
        refuse_locked(store, row.subject_id, row.device, policy=policy, now=now)
        if wish.terms_sha256 is not None:
            _checked(service, store, row, wish.terms_sha256, now=now)
        elif service.settings.check_consent == "required" and check_row(store, session_id) is None:
            raise Problem("check_consent_needed")
        row.state = _advance(row.state, life.SessionEvent.CHALLENGE)
        row.attempts += 1
        drawn = issue(
            policy,
            challenge_id=new_id("chl"),
            nonce=secrets.token_hex(16),
            language=Language(row.language),
            chance=secrets.SystemRandom(),
            now=now,
            path=wish.path,
            extra_time=wish.extra_time,
            reveal=reveal,
            interleaved=wish.interleaved,
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
                path=drawn.path,
                extra_time=drawn.extra_time,
                reveal=drawn.reveal,
            )
        )
        # who was given a challenge in time may use its whole life
        row.expires_at = max(row.expires_at, drawn.expires_at)
        store.extend_person_tokens(row.session_id, row.expires_at)
        left = int(policy.attempts.value) - row.attempts
    return drawn, left


def refuse_locked(
    store: Store, subject_id: str, device: bytes | None, *, policy: LivenessPolicy, now: datetime
) -> None:
    """Raises: Problem ``locked_out`` while the person or the device must wait."""
    until = locked(store, subject_id, device, policy=policy, now=now)
    if until is not None:
        raise Problem("locked_out", more={"locked_until": until.isoformat().replace("+00:00", "Z")})


def locked(
    store: Store, subject_id: str, device: bytes | None, *, policy: LivenessPolicy, now: datetime
) -> datetime | None:
    """Until when the person or the device must wait, if they must."""
    counted = store.failures(subject_id, device, since=counted_since(policy=policy, now=now))
    return max((until for each in counted if (until := locked_until(each, policy=policy, now=now))), default=None)


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
            },
            {
                "name": CAMERA_HEADER,
                "in": "header",
                "required": False,
                "description": "what the client knows of its camera, as JSON; auditors see what stands out",
                "schema": {"type": "string", "maxLength": LONGEST},
                "example": '{"label": "Front Camera", "width": 1280, "height": 720, "fps": 30, "delivered_fps": 29.6}',
            },
            {
                "name": attestation.HEADER,
                "in": "header",
                "required": False,
                "description": "what the device's maker says of it: provider:statement[:key id], the last two in base64url",
                "schema": {"type": "string", "maxLength": attestation.MAX_HEADER_CHARS},
                "example": "google_play_integrity:ZXlKaGJHY2lPaUpCTWpVMlMxY2lMQ...",
            },
        ],
    },
)
async def capture(
    session_id: str, request: Request, person: Subject, service: TheService, mirrored: bool = False
) -> CaptureTaken:
    """Hand in the recording of the challenge. ``mirrored``: its pictures are mirrored, as some front cameras give them."""
    data = await read_with_digest(request, CAPTURE_MAX_BYTES)
    vouching = request.headers.getlist(attestation.HEADER)
    camera = request.headers.get(CAMERA_HEADER)
    return await run_in_threadpool(take, service, session_id, person, data, mirrored, vouching, camera=camera)


def signs_of(camera: str) -> CameraSigns:
    """What a client says of its camera. Raises: Problem."""
    try:
        return read_signs(camera)
    except ValueError as error:
        raise Problem("camera_statement_invalid", str(error)) from None


def take(
    service: Service,
    session_id: str,
    person: Person,
    data: bytes,
    mirrored: bool,
    vouching: list[str],
    *,
    live: tuple[str, LiveLog] | None = None,
    camera: str | None = None,
) -> CaptureTaken:
    """Spend the challenge on these bytes. ``live``: the challenge they were recorded for in a live session, and its log.
    ``camera``: what the client says of its camera.

    Raises: Problem when there is no such challenge to spend, or the camera's statement cannot be read.
    """
    signs = None if camera is None else signs_of(camera)
    now, sha256 = service.now(), hashlib.sha256(data).hexdigest()
    with service.database.transaction() as store:
        row = _own_session(store, session_id, person, now=now)
        given = None if row.challenge_id is None else store.get(ChallengeRow, row.challenge_id, lock=True)
        if given is None or (live is not None and given.challenge_id != live[0]):
            raise Problem("challenge_missing")
        if given.spent_at is not None:
            raise Problem("challenge_spent")
        if now >= given.expires_at:
            raise Problem("challenge_expired")
        if (given.reveal != Reveal.AT_ONCE) != (live is not None):
            raise Problem("challenge_missing", "it belongs to a live session")
        most = int(challenge_of(given).limits(policy_of(row.policy)).max_bytes.value)
        if len(data) > most:
            raise Problem("body_too_large", f"at most {most} bytes")
        row.state = _advance(row.state, life.SessionEvent.CAPTURE)
        given.spent_at, given.capture_sha256, given.mirrored = now, sha256, mirrored
        given.client_signs = None if signs is None else asdict(signs) | {"risks": [risk.value for risk in risks(signs)]}
        given.live_log = None if live is None else live[1].to_json()
        attestation.hear(store, service.attestation, row, given, vouching, now=now)
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
        drawn = None if row.challenge_id is None else store.get(ChallengeRow, row.challenge_id)
        now = service.now()
        until = locked(store, row.subject_id, row.device, policy=policy_of(row.policy), now=now)
        answer = answer_of(store, session_id)
    return state_of(
        row,
        verdicts,
        now=now,
        for_auditor=isinstance(who, KeyHolder) and who.role is Role.AUDITOR,
        path=None if drawn is None else drawn.path,
        locked_until=until,
        answer=answer,
    )


def state_of(
    row: SessionRow,
    verdicts: list[VerdictRow],
    *,
    now: datetime,
    for_auditor: bool,
    path: str | None = None,
    locked_until: datetime | None = None,
    answer: Answer | None = None,
) -> SessionState:
    """What may be said about a session; values and limits to auditors only."""
    last = verdicts[-1] if verdicts and verdicts[-1].challenge_id == row.challenge_id else None
    state = life.SessionState(row.state)
    over = now >= row.expires_at and (state, life.SessionEvent.EXPIRE) in life.TRANSITIONS
    return SessionState(
        session_id=row.session_id,
        status=(life.SessionState.EXPIRED if over else state).value,
        reasons=last.reasons if last else [],
        advice=advice_of(last, row.language) if last else [],
        attempts_left=0 if over else int(policy_of(row.policy).attempts.value) - row.attempts,
        expires_at=row.expires_at,
        assurance=last.assurance if last else None,
        path=path,
        locked_until=locked_until,
        answer=answer,
        verdicts=[v.detail for v in verdicts] if for_auditor else None,
    )


def advice_of(verdict: VerdictRow, language: str) -> list[Advice]:
    """What the person can do about each reason, in their language."""
    places = {check["code"]: check.get("place") for check in reversed(verdict.detail["checks"])}
    chinese = language == Language.CHINESE
    return [
        Advice(
            code=code, text=ADVICE[Reason(code)].told(chinese=chinese, place=places.get(code)), place=places.get(code)
        )
        for code in verdict.reasons
    ]


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
