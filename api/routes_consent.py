"""Consents: given by a person just shown live, narrowed or revoked at any time, and shown to one backend as a token."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse

from api.approvals import answer_person, approval_from, approval_of, details_of
from api.audit_events import AuditAction, note
from api.audit_search import read_cursor, write_cursor
from api.auth import AnyCaller, App, Caller, KeyHolder, Person, Role, Subject, create_person_token
from api.authorities import ShownPerson, acts_for, refusal_problem, shown_person, stands
from api.calls import Call
from api.clip_registry import standing_of_one
from api.consents import (
    Likeness,
    begin_consent,
    controller_of,
    end_consent,
    happened,
    receipt_of,
    record_of,
)
from api.engines import GENERATORS
from api.errors import Problem
from api.media import Erased, templates_from_bytes
from api.routes_liveness import begin_for
from api.schemas import (
    ConsentGiven,
    ConsentOfApp,
    ConsentsOfApp,
    ConsentStanding,
    ConsentState,
    DryRun,
    DryRunCase,
    DryRunResult,
    LimitsGiven,
    Narrowing,
    NewCheck,
    NewConsent,
    NewToken,
    Renewal,
    Resumption,
    SessionMade,
    Stop,
    TokenMade,
    UseRequest,
    UseRequests,
    limits_of,
)
from api.service import Service, TheService
from api.statements import check_of, must_be_unused
from api.status import status_ref
from api.storage import Store, challenge_of, live_of, new_id
from api.tables import ApprovalRow, ChallengeRow, ConsentEventRow, ConsentRow, SessionRow, VerdictRow
from consent import terms as agreed
from consent import tokens
from consent.authority import Act, AuthorityCode, refused
from consent.authority_case import alike
from consent.gate import Use, commit_template, what_would_be_allowed
from consent.ledger import SALT_BYTES
from consent.record import (
    ConsentRecord,
    Party,
    RevokedBy,
    Standing,
    grant,
    narrow,
    renew,
    resume,
    revoke,
    suspend,
)
from consent.scope import EVERY_BACKEND
from consent.terms import Purpose
from liveness.policy import STRICT
from liveness.session import SessionState
from liveness.template import FaceTemplate
from liveness.verdict import Live

router = APIRouter(prefix="/v1/consents", tags=["consent"], route_class=Call)

_NO_JOB = "0" * 64
_OWN, _OWN_AGAIN = Stop(), Resumption()


@router.post("", status_code=201)
def give(body: NewConsent, person: Subject, service: TheService) -> ConsentGiven:
    """A person, shown live in this session, agrees to the terms they were shown and to these choices."""
    now = service.now()
    terms = agreed.by_sha256(body.terms_sha256)
    if terms is None:
        raise Problem("terms_unknown")
    with service.database.transaction() as store:
        session = _passed_session(store, body.session_id, person, now=now)
        must_be_unused(store, session.session_id)
        live = _live(store, session)
        templates = _content(service, store, session, session.templates_id)
        checked = check_of(store, session.session_id)
        salt = secrets.token_bytes(SALT_BYTES)
        granted = grant(
            live,
            consent_id=new_id("cns"),
            subject_id=session.subject_id,
            controller=controller_of(service.settings),
            terms=terms,
            purposes=body.purposes,
            audience=body.audience,
            limits=limits_of(body.limits),
            template_commitment=commit_template([t for t in templates_from_bytes(templates) if t is not None], salt),
            expires_at=body.expires_at,
            now=now,
            makers=body.makers,
            approval=body.approval,
            check_sha256=None if checked is None else checked.sha256,
        )
        portrait = _content(service, store, session, session.portrait_id)
        likeness = Likeness(templates=templates, portrait=portrait, salt=salt)
        return begin_consent(service, store, granted, likeness, session, now=now)


@router.get("")
def given_to_an_app(
    app: App,
    service: TheService,
    subject_ref: Annotated[
        str | None, Query(min_length=1, max_length=200, description="your own name for the person")
    ] = None,
    state: ConsentStanding | None = None,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ConsentsOfApp:
    """The consents that people gave through this app, also ended ones, latest first. Never a picture of anybody."""
    now, after = service.now(), None if cursor is None else read_cursor(cursor)
    with service.database.transaction() as store:
        subject_id = None
        if subject_ref is not None:
            subject_id = store.subject_known_as(app.key_id, service.keys.blind("subject", subject_ref))
            if subject_id is None:
                return ConsentsOfApp(results=[], next=None)
        rows = store.consents_of_app(
            app.key_id, subject_id=subject_id, state=state, now=now, after=after, most=limit + 1
        )
        more, rows = len(rows) > limit, rows[:limit]
        return ConsentsOfApp(
            results=[_of_app(store, row, now=now) for row in rows],
            next=write_cursor((rows[-1].granted_at, rows[-1].consent_id)) if more else None,
        )


def _of_app(store: Store, row: ConsentRow, *, now: datetime) -> ConsentOfApp:
    record = record_of(store, row.consent_id)
    return ConsentOfApp(
        consent_id=row.consent_id,
        subject_id=row.subject_id,
        session_id=row.session_id,
        state=standing_of_one(row, now=now),
        purposes=[purpose.value for purpose in record.purposes],
        audience=list(record.audience),
        limits=_limits(record),
        makers=list(record.scope.makers),
        approval=record.scope.approval,
        for_another=record.granted.authority is not None,
        granted_at=row.granted_at,
        expires_at=row.expires_at,
        assurance=record.assurance.value,
    )


@router.get("/{consent_id}")
def look(consent_id: str, who: AnyCaller, service: TheService) -> ConsentState:
    """What was agreed, and whether it holds."""
    now = service.now()
    with service.database.transaction() as store:
        row = _reachable(store, consent_id, who)
        if isinstance(who, KeyHolder) and who.role is Role.AUDITOR:
            note(store, AuditAction.CONSENT_READ, by=who, now=now, subject_id=row.subject_id, consent_id=consent_id)
        return _shown(store, service, row, record_of(store, consent_id), now=now)


@router.get("/{consent_id}/receipt", response_class=PlainTextResponse)
def latest_receipt(consent_id: str, who: AnyCaller, service: TheService) -> PlainTextResponse:
    """The receipt of the latest event as one `.tlog-proof` (C2SP tlog-proof). Asked for again later, it carries what
    witnesses have signed by then."""
    with service.database.transaction() as store:
        row = _reachable(store, consent_id, who)
        last = store.consent_events(consent_id)[-1]
        text = receipt_of(service, store, row, last, now=service.now()).to_tlog_proof()
    name = f'attachment; filename="{consent_id}.tlog-proof"'
    return PlainTextResponse(text, headers={"Content-Disposition": name})


@router.post("/{consent_id}/narrow")
def take_back_part(consent_id: str, body: Narrowing, who: AnyCaller, service: TheService) -> ConsentState:
    """Take part of a consent back. It can only ever become less."""
    now = service.now()
    with service.database.transaction() as store:
        row, record, _ = _to_change(service, store, consent_id, who, Act.NARROW, now=now)
        event = narrow(
            record,
            purposes=body.purposes,
            audience=body.audience,
            limits=None if body.limits is None else limits_of(body.limits, record.limits),
            makers=body.makers,
            approval=body.approval,
            expires_at=body.expires_at,
            now=now,
        )
        changed = happened(service, store, row, record, event, now=now)
        return _shown(store, service, row, changed, now=now)


@router.post("/{consent_id}/check", status_code=201)
def check_again(consent_id: str, body: NewCheck, person: Subject, service: TheService) -> SessionMade:
    """The person begins a new live check of themself, in the app where they agreed: to renew this consent, or to agree to more
    in a new one. What somebody gave on another's behalf is not renewed."""
    now = service.now()
    with service.database.transaction() as store:
        row = _reachable(store, consent_id, person)
        record = record_of(store, consent_id)
        if record.granted.authority is not None:
            raise Problem("not_renewable")
        return begin_for(
            service,
            store,
            app_key_id=row.app_key_id,
            subject_id=row.subject_id,
            language=body.language,
            purpose=record.purposes[0],
            now=now,
        )


@router.post("/{consent_id}/renew")
def go_on(consent_id: str, body: Renewal, person: Subject, service: TheService) -> ConsentGiven:
    """A new term for what still stands, after a new live check of the same person. It adds nothing but time.

    Called with the token of the new check's session or with the consent's manage token; gives a new manage token.
    """
    now = service.now()
    terms = agreed.by_sha256(body.terms_sha256)
    if terms is None:
        raise Problem("terms_unknown")
    with service.database.transaction() as store:
        row = store.get(ConsentRow, consent_id, lock=True)
        session = store.get(SessionRow, body.session_id, lock=True)
        if row is None or session is None or session.subject_id != row.subject_id:
            raise Problem("not_found")
        if person.consent_id != consent_id and person.session_id != body.session_id:
            raise Problem("not_found")
        _must_have_passed(session, now=now)
        record = record_of(store, consent_id)
        _must_hold(record, now=now)
        event = renew(
            record,
            _live(store, session),
            terms=terms,
            enrolled=_opened(service, store, row.templates_id, "consent_expired", owner=consent_id),
            shown=_opened(service, store, session.templates_id, "session_expired", owner=session.session_id),
            same_person=STRICT.same_person.value,
            purposes=body.purposes,
            audience=body.audience,
            limits=None if body.limits is None else limits_of(body.limits, record.limits),
            makers=body.makers,
            approval=body.approval,
            expires_at=body.expires_at,
            now=now,
        )
        happened(service, store, row, record, event, now=now)
        written = store.consent_events(consent_id)[-1]
        manage = create_person_token(store, consent_id=consent_id, life=event.scope.expires_at - now, now=now)
        service.vault.destroy_key(store, session.data_key_id, now=now)  # compared, and of no further use
        receipt = receipt_of(service, store, row, written, now=now)
    return ConsentGiven(
        consent_id=consent_id,
        record=written.record,
        receipt=json.loads(receipt.to_json()),
        manage_token=manage,
    )


@router.post("/{consent_id}/suspend")
def pause(consent_id: str, who: AnyCaller, service: TheService, body: Stop = _OWN) -> ConsentState:
    """Nothing is permitted from now on, until who suspended it resumes it. For the person, who speaks for them, the app, or an
    admin."""
    now = service.now()
    with service.database.transaction() as store:
        row, record, actor = _to_change(service, store, consent_id, who, Act.SUSPEND, body=body, now=now)
        event = suspend(record, by=actor.party, representative_id=actor.representative_id, now=now)
        changed = happened(service, store, row, record, event, now=now)
        return _shown(store, service, row, changed, now=now)


@router.post("/{consent_id}/resume")
def go_on_after_pause(
    consent_id: str, who: AnyCaller, service: TheService, body: Resumption = _OWN_AGAIN
) -> ConsentState:
    """End a suspension. What the person suspended, nobody else resumes."""
    now = service.now()
    with service.database.transaction() as store:
        row, record, actor = _to_change(service, store, consent_id, who, Act.RESUME, body=body, now=now)
        of = actor.party if body.of is None else Party(body.of)
        event = resume(record, of=of, by=actor.party, representative_id=actor.representative_id, now=now)
        changed = happened(service, store, row, record, event, now=now)
        return _shown(store, service, row, changed, now=now)


@router.post("/{consent_id}/revoke")
def take_back(consent_id: str, who: AnyCaller, service: TheService) -> ConsentState:
    """End a consent, at once: templates and portrait are destroyed, clips withdrawn. Revoking twice changes nothing."""
    now = service.now()
    with service.database.transaction() as store:
        row, record, actor = _to_change(service, store, consent_id, who, Act.REVOKE, now=now)
        if record.revoked is None:
            event = revoke(record, by=actor.ends_as, representative_id=actor.representative_id, now=now)
            record = happened(service, store, row, record, event, now=now)
            end_consent(service, store, row, event, now=now)
        return _shown(store, service, row, record, now=now)


@router.post("/{consent_id}/dry-run")
def dry_run(consent_id: str, body: DryRun, who: AnyCaller, service: TheService) -> DryRunResult:
    """What the gate would allow of this consent, and which rule stops the rest. Asks nobody, writes and permits nothing."""
    now = service.now()
    with service.database.transaction() as store:
        row = _reachable(store, consent_id, who)
        if isinstance(who, KeyHolder) and who.role is not Role.APP:
            raise Problem("forbidden", "for the person and their app")
        record = record_of(store, consent_id)
        uses, named = store.uses_of(row.consent_id), {*GENERATORS, *store.backend_names()}
        backends = [body.backend] if body.backend is not None else sorted({*record.audience, *named} - {EVERY_BACKEND})
        cases = []
        for purpose in Purpose if body.purpose is None else [body.purpose]:
            for backend in backends:
                use = _tried(service, body, purpose, backend)
                approval = approval_of(
                    store,
                    consent_id,
                    backend=backend,
                    purpose=purpose,
                    job_sha256=use.job_sha256,
                    own_permit=None,
                    now=now,
                )
                codes = what_would_be_allowed(
                    record,
                    use,
                    uses_so_far=uses,
                    approval=approval,
                    authority_stands=stands(service, store, record, purpose, now=now),
                    now=now,
                )
                cases.append(DryRunCase(purpose=purpose, backend=backend, allowed=not codes, reasons=list(codes)))
    return DryRunResult(cases=cases)


def _tried(service: Service, body: DryRun, purpose: Purpose, backend: str) -> Use:
    return Use(
        backend=backend,
        purpose=purpose,
        faces=(),
        job_sha256=body.job_sha256 or _NO_JOB,
        seconds=body.seconds,
        minimum_assurance=service.settings.minimum_assurance,
        script=body.script,
        maker=body.maker,
        categories=None if body.categories is None else tuple(body.categories),
        territories=None if body.territories is None else tuple(body.territories),
    )


@router.get("/{consent_id}/requests")
def requests(consent_id: str, person: Subject, service: TheService) -> UseRequests:
    """Uses that wait for the person's own yes, and those that they answered; latest first."""
    with service.database.transaction() as store:
        row = _reachable(store, consent_id, person)
        return UseRequests(requests=[_request(service, store, asked) for asked in store.approvals(row.consent_id)])


@router.post("/{consent_id}/requests/{request_id}/approve")
def approve(consent_id: str, request_id: str, person: Subject, service: TheService) -> UseRequest:
    """Yes to this one job, once, within a day. Only the person says it."""
    return _answered(service, person, consent_id, request_id, approved=True)


@router.post("/{consent_id}/requests/{request_id}/refuse")
def refuse(consent_id: str, request_id: str, person: Subject, service: TheService) -> UseRequest:
    """No to this job; also to one that was approved and not begun."""
    return _answered(service, person, consent_id, request_id, approved=False)


def _answered(service: Service, person: Person, consent_id: str, request_id: str, *, approved: bool) -> UseRequest:
    now = service.now()
    with service.database.transaction() as store:
        _reachable(store, consent_id, person, change=True)
        asked = store.get(ApprovalRow, request_id, lock=True)
        if asked is None or asked.consent_id != consent_id:
            raise Problem("not_found")
        if approved:
            record = record_of(store, consent_id)
            _must_hold(record, now=now)
            _authority_must_stand(service, store, record, Purpose(asked.purpose), now=now)
        answer_person(store, asked, approved=approved, now=now)
        return _request(service, store, asked)


def _must_hold(record: ConsentRecord, *, now: datetime) -> None:
    if record.revoked is not None:
        raise Problem("consent_revoked")
    if record.suspended:
        raise Problem("consent_suspended")
    if not record.state_at(now).allows_use:
        raise Problem("consent_expired")


def _authority_must_stand(
    service: Service, store: Store, record: ConsentRecord, purpose: Purpose, *, now: datetime
) -> None:
    """Of a consent on somebody's behalf: asked now, not read from what the record says of it."""
    if record.granted.authority is not None and not stands(service, store, record, purpose, now=now):
        raise Problem("authority_invalid")


def _request(service: Service, store: Store, row: ApprovalRow) -> UseRequest:
    asked = approval_from(row)
    return UseRequest(
        request_id=row.approval_id,
        state=asked.state.value,
        backend=asked.backend,
        purpose=asked.purpose,
        job_sha256=asked.job_sha256,
        requested_at=row.requested_at,
        expires_at=asked.expires_at,
        used=row.permit_id is not None,
        details=details_of(service, store, row),
    )


@router.post("/{consent_id}/tokens", status_code=201)
def token(consent_id: str, body: NewToken, who: AnyCaller, service: TheService) -> TokenMade:
    """A token for one backend and one purpose, bound to the key that the backend registered, if it did. The gate looks at
    the record too, whatever the token says."""
    now = service.now()
    with service.database.transaction() as store:
        _reachable(store, consent_id, who, change=True)
        record = record_of(store, consent_id)
        _authority_must_stand(service, store, record, body.purpose, now=now)
        status = status_ref(store, service.settings, consent_id, now=now)
        jkt = store.backend_jkt(body.audience)
    made = tokens.issue(
        record,
        token_id=new_id("tok"),
        audience=body.audience,
        purpose=body.purpose,
        life=timedelta(seconds=body.ttl_s),
        now=now,
        jkt=jkt,
        status=status,
    )
    return TokenMade(token=tokens.sign(made, service.keys.active), expires_at=made.expires_at)


def _passed_session(store: Store, session_id: str, person: Person, *, now: datetime) -> SessionRow:
    session = store.get(SessionRow, session_id, lock=True) if person.session_id == session_id else None
    if session is None:
        raise Problem("not_found")
    _must_have_passed(session, now=now)
    return session


def _must_have_passed(session: SessionRow, *, now: datetime) -> None:
    if session.state != SessionState.PASSED:
        raise Problem("not_live")
    if now >= session.expires_at:
        raise Problem("session_expired")


def _opened(
    service: Service, store: Store, sealed_id: str | None, code: str, *, owner: str
) -> tuple[FaceTemplate, ...]:
    """Templates that are still there; a problem of that code when they are not."""
    try:
        content = service.vault.get(store, sealed_id, owner=owner)
    except Erased:
        raise Problem(code) from None
    return tuple(template for template in templates_from_bytes(content) if template is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Actor:
    """As whom somebody changes a consent. ``representative_id``: which one, where it is a representative."""

    party: Party
    representative_id: str | None = None

    @property
    def ends_as(self) -> RevokedBy:
        match self.party:
            case Party.SUBJECT:
                return RevokedBy.SUBJECT
            case Party.REPRESENTATIVE:
                return RevokedBy.REPRESENTATIVE
            case _:
                return RevokedBy.APP


def _to_change(
    service: Service,
    store: Store,
    consent_id: str,
    who: Caller,
    act: Act,
    *,
    body: Stop = _OWN,
    now: datetime,
) -> tuple[ConsentRow, ConsentRecord, _Actor]:
    """The consent, locked, and as whom the caller does that to it: with its own token, as its app, for a suspension as an
    admin; or just shown live, as the person or as somebody who speaks for them. Nobody gives anything in this way."""
    row = store.get(ConsentRow, consent_id)
    if row is not None and isinstance(who, Person) and who.session_id not in (None, row.session_id):
        if not store.authorities_of(row.subject_id):
            raise Problem("not_found")
        person = shown_person(service, store, who, now=now)
        if person.app_key_id != row.app_key_id:
            raise Problem("not_found")
        refusal = acts_for(service, store, person, row.subject_id, act, now=now)  # locks claims, so before the consent
        if refusal is not None:
            raise refusal_problem(refusal)
        row = store.get(ConsentRow, consent_id, lock=True) or row
        if person.subject_id != row.subject_id:
            return row, record_of(store, consent_id), _representative(person.subject_id)
        if act is Act.RESUME and not _has_the_face(service, store, row, person):
            raise refusal_problem(refused(AuthorityCode.ANOTHER_PERSON))
        return row, record_of(store, consent_id), _Actor(party=Party.SUBJECT)
    row = _reachable(store, consent_id, who, change=True, admin=act in (Act.SUSPEND, Act.RESUME))
    record = record_of(store, consent_id)
    return row, record, _holder(who, body, record)


def _has_the_face(service: Service, store: Store, row: ConsentRow, person: ShownPerson) -> bool:
    """Whether this live check shows whom the consent is about. Taking back does not wait for it; going on does: the app names
    whose check it is, and what the person suspended is not for the app to resume."""
    enrolled = _opened(service, store, row.templates_id, "consent_expired", owner=row.consent_id)
    least = STRICT.same_person.value
    return bool(person.templates) and all(any(alike(one, e, least) for e in enrolled) for one in person.templates)


def _holder(who: Caller, body: Stop, record: ConsentRecord) -> _Actor:
    """The person or whoever gave it for them, their app, or an admin on behalf of somebody."""
    if isinstance(who, KeyHolder) and who.role is Role.ADMIN:
        if body.on_behalf_of is None:
            raise Problem("request_invalid", "an admin says on whose behalf")
        return _Actor(party=Party(body.on_behalf_of))
    if body.on_behalf_of is not None:
        raise Problem("forbidden", "only an admin acts on behalf of others")
    if isinstance(who, KeyHolder):
        return _Actor(party=Party.APP)
    basis = record.granted.authority
    return _Actor(party=Party.SUBJECT) if basis is None else _representative(basis.representative_id)


def _representative(representative_id: str) -> _Actor:
    return _Actor(party=Party.REPRESENTATIVE, representative_id=representative_id)


def _live(store: Store, session: SessionRow) -> Live:
    verdict = None if session.challenge_id is None else store.get(VerdictRow, session.challenge_id)
    challenge = None if verdict is None else store.get(ChallengeRow, verdict.challenge_id)
    if verdict is None or challenge is None or not verdict.live:
        raise Problem("not_live")
    return live_of(verdict, challenge_of(challenge))


def _content(service: Service, store: Store, session: SessionRow, sealed_id: str | None) -> bytes:
    try:
        return service.vault.get(store, sealed_id, owner=session.session_id)
    except Erased:
        raise Problem("session_expired") from None


def _reachable(store: Store, consent_id: str, who: Caller, *, change: bool = False, admin: bool = False) -> ConsentRow:
    """The consent, if it is the caller's. ``change``: locked, and not for auditors. ``admin``: for admins too."""
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
        case KeyHolder(role=Role.ADMIN):
            mine = admin
        case _:
            mine = False
    if not mine:
        raise Problem("not_found")
    return row


def _shown(store: Store, service: Service, row: ConsentRow, record: ConsentRecord, *, now: datetime) -> ConsentState:
    last: ConsentEventRow = store.consent_events(row.consent_id)[-1]
    return ConsentState(
        consent_id=row.consent_id,
        state="suspended" if record.standing_at(now) is Standing.SUSPENDED else record.state_at(now).value,
        purposes=[purpose.value for purpose in record.purposes],
        audience=list(record.audience),
        limits=_limits(record),
        makers=list(record.scope.makers),
        approval=record.scope.approval,
        expires_at=record.expires_at,
        destroy_by=record.destroy_by,
        suspended_by=[suspension.by.value for suspension in record.suspended],
        assurance=record.assurance.value,
        record=last.record,
        receipt=json.loads(receipt_of(service, store, row, last, now=now).to_json()),
    )


def _limits(record: ConsentRecord) -> LimitsGiven:
    limits = record.limits
    return LimitsGiven(
        max_seconds=limits.max_seconds,
        forbidden_words=list(limits.forbidden_words),
        uses=limits.uses,
        forbidden_categories=list(limits.forbidden_categories),
        allowed_categories=None if limits.allowed_categories is None else list(limits.allowed_categories),
        territories=list(limits.territories),
    )
