"""Consents: given by a person just shown live, narrowed or revoked at any time, and shown to one backend as a token."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from fastapi import APIRouter

from api.audit_events import AuditAction, note
from api.auth import AnyCaller, Caller, KeyHolder, Person, Role, Subject, create_person_token
from api.calls import Call
from api.consents import append_event, controller_of, end_consent, receipt_of, record_of
from api.errors import Problem
from api.media import Erased, Sealed, templates_from_bytes
from api.schemas import (
    ConsentGiven,
    ConsentState,
    LimitsGiven,
    Narrowing,
    NewConsent,
    NewToken,
    TokenMade,
)
from api.service import Service, TheService
from api.storage import Store, challenge_of, live_of, new_id
from api.tables import ChallengeRow, ConsentEventRow, ConsentRow, SessionRow, VerdictRow
from consent import terms as agreed
from consent import tokens
from consent.gate import commit_template
from consent.ledger import SALT_BYTES
from consent.record import ConsentEvent, ConsentRecord, Limits, RevokedBy, grant, narrow, revoke
from consent.terms import Purpose
from liveness.session import SessionState
from liveness.verdict import Live

router = APIRouter(prefix="/v1/consents", tags=["consent"], route_class=Call)

_SHOWS_THE_FACE = frozenset({Purpose.CAMEO, Purpose.DIGITAL_DOUBLE})  # the purposes that need a portrait


@router.post("", status_code=201)
def give(body: NewConsent, person: Subject, service: TheService) -> ConsentGiven:
    """A person, shown live in this session, agrees to the terms they were shown and to these choices."""
    now = service.now()
    terms = agreed.by_sha256(body.terms_sha256)
    if terms is None:
        raise Problem("terms_unknown")
    with service.database.transaction() as store:
        session = _passed_session(store, body.session_id, person, now=now)
        if store.consent_of_session(session.session_id) is not None:
            raise Problem("consent_exists")
        live = _live(store, session)
        kept = tuple(t for t in templates_from_bytes(service.vault.get(store, session.templates_id)) if t is not None)
        salt = secrets.token_bytes(SALT_BYTES)
        granted = grant(
            live,
            consent_id=new_id("cns"),
            subject_id=session.subject_id,
            controller=controller_of(service.settings),
            terms=terms,
            purposes=body.purposes,
            audience=body.audience,
            limits=_limits(body.limits),
            template_commitment=commit_template(kept, salt),
            expires_at=body.expires_at,
            now=now,
        )
        key = service.vault.new_key(store, now=now)
        row = ConsentRow(
            consent_id=granted.consent_id,
            subject_id=session.subject_id,
            app_key_id=session.app_key_id,
            session_id=session.session_id,
            challenge_id=live.challenge_id,
            salt=salt,
            data_key_id=key,
            templates_id=_moved(service, store, session.templates_id, Sealed.TEMPLATES, key, now),
            portrait_id=_moved(service, store, session.portrait_id, Sealed.PORTRAIT, key, now)
            if _SHOWS_THE_FACE & set(granted.scope.purposes)
            else None,
            granted_at=now,
            expires_at=granted.scope.expires_at,
        )
        store.add(row)
        written = append_event(store, service.keys, row, [granted], now=now)
        manage = create_person_token(store, consent_id=row.consent_id, life=granted.scope.expires_at - now, now=now)
        service.vault.destroy_key(store, session.data_key_id, now=now)
        receipt = receipt_of(store, service.keys, row, written, now=now)
    return ConsentGiven(consent_id=row.consent_id, record=written.record, receipt=receipt, manage_token=manage)


@router.get("/{consent_id}")
def look(consent_id: str, who: AnyCaller, service: TheService) -> ConsentState:
    """What was agreed, and whether it holds."""
    now = service.now()
    with service.database.transaction() as store:
        row = _reachable(store, consent_id, who)
        if isinstance(who, KeyHolder) and who.role is Role.AUDITOR:
            note(store, AuditAction.CONSENT_READ, by=who, now=now, subject_id=row.subject_id, consent_id=consent_id)
        return _shown(store, service, row, record_of(store, consent_id), now=now)


@router.post("/{consent_id}/narrow")
def take_back_part(consent_id: str, body: Narrowing, who: AnyCaller, service: TheService) -> ConsentState:
    """Take part of a consent back. It can only ever become less."""
    now = service.now()
    with service.database.transaction() as store:
        row = _reachable(store, consent_id, who, change=True)
        record = record_of(store, consent_id)
        event = narrow(
            record,
            purposes=body.purposes,
            audience=body.audience,
            limits=None if body.limits is None else _limits(body.limits),
            expires_at=body.expires_at,
            now=now,
        )
        append_event(store, service.keys, row, [*record.events, event], now=now)
        narrowed = record_of(store, consent_id)
        row.expires_at = narrowed.expires_at
        if not _SHOWS_THE_FACE & set(narrowed.purposes):
            service.vault.erase(store, row.portrait_id, now=now)
        return _shown(store, service, row, narrowed, now=now)


@router.post("/{consent_id}/revoke")
def take_back(consent_id: str, who: AnyCaller, service: TheService) -> ConsentState:
    """End a consent, at once: templates and portrait are destroyed, clips withdrawn. Revoking twice changes nothing."""
    now = service.now()
    with service.database.transaction() as store:
        row = _reachable(store, consent_id, who, change=True)
        record = record_of(store, consent_id)
        if record.revoked is None:
            event = revoke(record, by=RevokedBy.SUBJECT if isinstance(who, Person) else RevokedBy.APP, now=now)
            events: list[ConsentEvent] = [*record.events, event]
            append_event(store, service.keys, row, events, now=now)
            end_consent(service, store, row, event, now=now)
            record = record_of(store, consent_id)
        return _shown(store, service, row, record, now=now)


@router.post("/{consent_id}/tokens", status_code=201)
def token(consent_id: str, body: NewToken, who: AnyCaller, service: TheService) -> TokenMade:
    """A token for one backend and one purpose. The gate looks at the record too, whatever the token says."""
    now = service.now()
    with service.database.transaction() as store:
        _reachable(store, consent_id, who, change=True)
        record = record_of(store, consent_id)
    made = tokens.issue(
        record,
        token_id=new_id("tok"),
        audience=body.audience,
        purpose=body.purpose,
        life=timedelta(seconds=body.ttl_s),
        now=now,
    )
    return TokenMade(token=tokens.sign(made, service.keys.active), expires_at=made.expires_at)


def _passed_session(store: Store, session_id: str, person: Person, *, now: datetime) -> SessionRow:
    session = store.get(SessionRow, session_id, lock=True) if person.session_id == session_id else None
    if session is None:
        raise Problem("not_found")
    if session.state != SessionState.PASSED:
        raise Problem("not_live")
    if now >= session.expires_at:
        raise Problem("session_expired")
    return session


def _live(store: Store, session: SessionRow) -> Live:
    verdict = None if session.challenge_id is None else store.get(VerdictRow, session.challenge_id)
    challenge = None if verdict is None else store.get(ChallengeRow, verdict.challenge_id)
    if verdict is None or challenge is None or not verdict.live:
        raise Problem("not_live")
    return live_of(verdict, challenge_of(challenge))


def _moved(service: Service, store: Store, sealed_id: str | None, kind: Sealed, key: str, now: datetime) -> str:
    """The same content under another key."""
    try:
        content = service.vault.get(store, sealed_id)
    except Erased:
        raise Problem("session_expired") from None
    return service.vault.put(store, content, kind=kind, data_key_id=key, now=now)


def _reachable(store: Store, consent_id: str, who: Caller, *, change: bool = False) -> ConsentRow:
    """The consent, if it is the caller's. ``change``: locked, and not for auditors."""
    row = store.get(ConsentRow, consent_id, lock=change)
    if row is None:
        raise Problem("not_found")
    match who:
        case Person():
            mine = who.consent_id == consent_id or who.session_id == row.session_id
        case KeyHolder(role=Role.APP):
            mine = row.app_key_id == who.key_id
        case KeyHolder(role=Role.AUDITOR):
            mine = not change
        case _:
            mine = False
    if not mine:
        raise Problem("not_found")
    return row


def _limits(given: LimitsGiven) -> Limits:
    return Limits(max_seconds=given.max_seconds, forbidden_words=tuple(given.forbidden_words), uses=given.uses)


def _shown(store: Store, service: Service, row: ConsentRow, record: ConsentRecord, *, now: datetime) -> ConsentState:
    last: ConsentEventRow = store.consent_events(row.consent_id)[-1]
    return ConsentState(
        consent_id=row.consent_id,
        state=record.state_at(now).value,
        purposes=[purpose.value for purpose in record.purposes],
        audience=list(record.audience),
        limits=LimitsGiven(
            max_seconds=record.limits.max_seconds,
            forbidden_words=list(record.limits.forbidden_words),
            uses=record.limits.uses,
        ),
        expires_at=record.expires_at,
        assurance=record.assurance.value,
        record=last.record,
        receipt=receipt_of(store, service.keys, row, last, now=now),
    )
