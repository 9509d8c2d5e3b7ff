"""Claims to speak for somebody who cannot speak for themself, and what people say for that day while they can.

The app opens a claim and hands in papers and photographs; everyone with a say signs on their own phone; two admins review;
relatives object with their own token. Papers and photographs are opened by reviewers only, and each time is written down.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from fractions import Fraction
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api.auth import Admin, AnyCaller, App, Caller, KeyHolder, Person, Role, Subject
from api.authorities import (
    OBJECT,
    PAPER,
    PHOTOGRAPH,
    SIGNATURE,
    WITHDRAW,
    ShownPerson,
    accepted,
    advice_on,
    authorised,
    case_of,
    consents_on,
    directive_of,
    keep,
    keep_directive,
    keep_file,
    keep_new,
    refusal_problem,
    shown_person,
    signed_as_another,
    templates_by_file,
)
from api.calls import Call
from api.consents import Likeness, begin_consent, controller_of
from api.errors import Problem
from api.media import Erased, templates_to_bytes
from api.routes_liveness import read_with_digest
from api.routes_media import look_at
from api.schemas import (
    AuthorityCourse,
    AuthorityFileShown,
    AuthorityObjection,
    AuthorityReason,
    AuthorityReview,
    AuthorityState,
    AuthorityStep,
    ConsentGiven,
    ConsentOnClaim,
    DirectiveGiven,
    DirectiveShown,
    NewAuthority,
    NewConsentForAnother,
    PartyShown,
    limits_of,
)
from api.service import Service, TheService
from api.statements import check_of, must_be_unused
from api.storage import Store, new_id
from api.tables import AuthorityCaseRow, AuthorityFileRow, SessionRow, SubjectRow
from consent import terms as agreed
from consent.authority import (
    LIVENESS_NOT_APPLICABLE,
    AuthorityCode,
    AuthorityRefusal,
    BasisDocument,
    DocumentKind,
    Party,
    Relation,
    SubjectAssurance,
    read_share,
    refused,
    write_share,
)
from consent.authority_case import (
    AuthorityCase,
    CaseStage,
    Photograph,
    add_document,
    add_photograph,
    dossier_digest,
    latest_end,
    lift,
    missing,
    object_to,
    open_case,
    review,
    sign,
    withdraw,
)
from consent.canonical import Malformed
from consent.directive import AdvanceDirective, direct
from consent.gate import commit_template
from consent.ledger import SALT_BYTES
from consent.record import DEFAULT_TERM, Scope, Standing, grant
from liveness.policy import STRICT
from liveness.session import SessionState

router = APIRouter(prefix="/v1", tags=["authority"], route_class=Call)

FILE_MAX_BYTES = 20_000_000
Tongue = Annotated[Literal["en", "zh"], Query(description="of the reasons in the answer")]


@router.post("/authorities", status_code=201)
def begin(body: NewAuthority, app: App, service: TheService) -> AuthorityState:
    """Open a claim to speak for somebody. Everyone with a say is named, whether they will sign or not."""
    now = service.now()
    with service.database.transaction() as store:
        case = accepted(
            open_case(
                case_id=new_id("ath"),
                subject_id=_person(service, store, app.key_id, body.subject_ref, now=now),
                requester=app.key_id,
                requester_name=app.name,
                kind=body.type,
                subject_state=body.subject_state,
                jurisdiction=body.jurisdiction,
                rule=body.quorum_rule,
                purposes=body.purposes,
                parties=[
                    Party(
                        party_id=_person(service, store, app.key_id, party.ref, now=now),
                        relation=party.relation,
                        share=_share(party.share),
                    )
                    for party in body.parties
                ],
                born=body.born,
                died=body.died,
                window_days=body.objection_days,
                now=now,
            ),
            language=body.language,
        )
        row = keep_new(service, store, case, now=now)
        return _shown(store, row, case_of(service, store, row, now=now), app, body.language, now=now)


@router.get("/authorities/{case_id}")
def look(case_id: str, who: AnyCaller, service: TheService, language: Tongue = "en") -> AuthorityState:
    """How far a claim is, and what it lacks. For the app, reviewers, auditors, and everyone in it with their own token."""
    now = service.now()
    with service.database.transaction() as store:
        row, case = _reachable(service, store, case_id, who, now=now)
        return _shown(store, row, case, who, language, now=now)


@router.get("/authorities/{case_id}/events")
def course(case_id: str, who: AnyCaller, service: TheService) -> AuthorityCourse:
    """All that happened to a claim, who opened its papers included. ``actor`` is a key id, a pseudonym or ``service``."""
    now = service.now()
    with service.database.transaction() as store:
        _reachable(service, store, case_id, who, now=now)
        return AuthorityCourse(
            events=[
                AuthorityStep(
                    number=event.number,
                    at=event.at,
                    step=event.step,
                    stage=event.stage,
                    actor=event.actor,
                    case_sha256=event.case_sha256,
                )
                for event in store.authority_events(case_id)
            ]
        )


_ANY_FILE = {
    "requestBody": {
        "required": True,
        "description": "the file, at most 20 MB",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post("/authorities/{case_id}/documents", status_code=201, openapi_extra=_ANY_FILE)
async def hand_in_document(
    case_id: str,
    request: Request,
    app: App,
    service: TheService,
    kind: DocumentKind,
    issuer: Annotated[str, Query(min_length=1, max_length=200)],
    shows: Annotated[
        list[str] | None, Query(max_length=64, description="refs of those whose standing it shows")
    ] = None,
    language: Tongue = "en",
) -> AuthorityState:
    """Hand in a document. It is kept sealed, and its hash in the claim."""
    data = await read_with_digest(request, FILE_MAX_BYTES, required=False)
    return await run_in_threadpool(_take_document, service, case_id, app, data, kind, issuer, shows or [], language)


def _take_document(
    service: Service,
    case_id: str,
    app: KeyHolder,
    data: bytes,
    kind: DocumentKind,
    issuer: str,
    shows: list[str],
    language: str,
) -> AuthorityState:
    if not data:
        raise Problem("media_unreadable", "the file is empty")
    now = service.now()
    with service.database.transaction() as store:
        row, case = _reachable(service, store, case_id, app, now=now)
        document = BasisDocument(
            document_id=new_id("doc"),
            kind=kind,
            sha256=hashlib.sha256(data).hexdigest(),
            issuer=issuer,
            shows=tuple(_person(service, store, app.key_id, ref, now=now) for ref in shows),
        )
        case = accepted(add_document(case, document), language=language)
        keep_file(service, store, row, file_id=document.document_id, kind=PAPER, content=data, now=now)
        keep(service, store, row, case, step="document", actor=app.key_id, now=now)
        return _shown(store, row, case, app, language, now=now)


@router.post("/authorities/{case_id}/representatives", status_code=201)
def put_name_to_it(case_id: str, person: Subject, service: TheService, language: Tongue = "en") -> AuthorityState:
    """Sign, with the client token of a live check that you just passed yourself: for what it is for, and to speak in it."""
    now = service.now()
    with service.database.transaction() as store:
        signer = shown_person(service, store, person, now=now)
        row, case = _of_person(service, store, case_id, signer, now=now)
        if store.signed_with(signer.session_id):
            raise refusal_problem(refused(AuthorityCode.REPRESENTATIVE_REPEATED), language=language)
        case = accepted(sign(case, party_id=signer.subject_id, shown=signer.shown, now=now), language=language)
        if signed_as_another(service, store, case_id, signer):
            raise refusal_problem(refused(AuthorityCode.ANOTHER_PERSON), language=language)
        keep_file(
            service,
            store,
            row,
            file_id=new_id("sig"),
            kind=SIGNATURE,
            content=None,
            templates=signer.templates,
            person=signer,
            now=now,
        )
        keep(service, store, row, case, step="sign", actor=signer.subject_id, now=now)
        return _shown(store, row, case, person, language, now=now, you=signer.subject_id)


@router.post("/authorities/{case_id}/photographs", status_code=201, openapi_extra=_ANY_FILE)
async def hand_in_photograph(
    case_id: str, request: Request, app: App, service: TheService, language: Tongue = "en"
) -> AuthorityState:
    """Hand in a photograph of the subject, alone in it. All of them must show one person."""
    data = await read_with_digest(request, FILE_MAX_BYTES, required=False)
    return await run_in_threadpool(_take_photograph, service, case_id, app, data, language)


def _take_photograph(service: Service, case_id: str, app: KeyHolder, data: bytes, language: str) -> AuthorityState:
    with service.faces.bound.place():
        seen = look_at(data, service.faces)
    if seen.kind != "picture":
        raise Problem("media_unreadable", "a photograph is a JPEG, PNG or WebP picture")
    now = service.now()
    with service.database.transaction() as store:
        row, case = _reachable(service, store, case_id, app, now=now)
        before = templates_by_file(service, store, case_id, PHOTOGRAPH)
        picture = Photograph(photograph_id=new_id("pic"), sha256=hashlib.sha256(data).hexdigest())
        case = accepted(
            add_photograph(case, picture, seen.templates, list(before.values()), same_person=STRICT.same_person.value),
            language=language,
        )
        kept = tuple(one for one in seen.templates if one is not None)
        keep_file(
            service,
            store,
            row,
            file_id=picture.photograph_id,
            kind=PHOTOGRAPH,
            content=data,
            templates=kept,
            now=now,
        )
        keep(service, store, row, case, step="photograph", actor=app.key_id, now=now)
        return _shown(store, row, case, app, language, now=now)


@router.get(
    "/authorities/{case_id}/files/{file_id}",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
def open_file(case_id: str, file_id: str, admin: Admin, service: TheService) -> Response:
    """A paper or photograph, for a reviewer. That it was opened is an event that the people in the claim can see."""
    now = service.now()
    with service.database.transaction() as store:
        row, case = _reachable(service, store, case_id, admin, now=now)
        file = store.get(AuthorityFileRow, file_id)
        if file is None or file.case_id != case_id or file.content_id is None:
            raise Problem("not_found")
        try:
            content = service.vault.get(store, file.content_id, owner=case_id)
        except Erased:
            raise Problem("media_expired") from None
        keep(service, store, row, case, step="file_opened", actor=admin.key_id, now=now)
    headers = {"Content-Disposition": f'attachment; filename="{file_id}"'}
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.post("/authorities/{case_id}/review")
def judge(
    case_id: str, body: AuthorityReview, admin: Admin, service: TheService, language: Tongue = "en"
) -> AuthorityState:
    """Approve or refuse what you saw. It takes two, neither of whom opened the claim; one is enough to refuse."""
    if not body.approve and not body.reason.strip():
        raise Problem("request_invalid", "a refusal says why")
    now = service.now()
    with service.database.transaction() as store:
        row, case = _reachable(service, store, case_id, admin, now=now)
        case = accepted(
            review(
                case,
                reviewer=admin.key_id,
                name=admin.name,
                approves=body.approve,
                reason=body.reason,
                photographs=body.photographs,
                dossier_sha256=body.dossier_sha256,
                now=now,
            ),
            language=language,
        )
        step = "approve" if body.approve else "refuse"
        keep(service, store, row, case, step=step, actor=admin.key_id, now=now)
        return _shown(store, row, case_of(service, store, row, now=now), admin, language, now=now)


@router.post("/authorities/{case_id}/consents", status_code=201)
def give_for_another(
    case_id: str, body: NewConsentForAnother, person: Subject, service: TheService, language: Tongue = "en"
) -> ConsentGiven:
    """Agree on the subject's behalf, on a granted claim that you signed, with the client token of a live check that you just
    passed yourself. The face is that of the photographs which both reviewers approved."""
    now = service.now()
    terms = agreed.by_sha256(body.terms_sha256)
    if terms is None:
        raise Problem("terms_unknown")
    with service.database.transaction() as store:
        giver = shown_person(service, store, person, now=now)
        row, case = _of_person(service, store, case_id, giver, now=now)
        must_be_unused(store, giver.session_id)
        scope = Scope(
            purposes=tuple(body.purposes),
            audience=tuple(body.audience),
            limits=limits_of(body.limits),
            expires_at=body.expires_at or _in_a_year(case, directive_of(store, row.subject_id), now=now),
            makers=(giver.subject_id,) if body.makers is None else tuple(body.makers),
            approval=body.approval,
        )
        made = authorised(service, store, row, giver, scope, now=now)
        if isinstance(made, AuthorityRefusal):
            raise refusal_problem(made, language=language)
        checked = check_of(store, giver.session_id)
        salt = secrets.token_bytes(SALT_BYTES)
        granted = grant(
            giver.live,
            consent_id=new_id("cns"),
            subject_id=row.subject_id,
            controller=controller_of(service.settings),
            terms=terms,
            purposes=scope.purposes,
            audience=scope.audience,
            limits=scope.limits,
            template_commitment=commit_template(made.likeness.templates, salt),
            expires_at=scope.expires_at,
            now=now,
            makers=scope.makers,
            approval=scope.approval,
            check_sha256=None if checked is None else checked.sha256,
            authority=made.binding,
        )
        session = store.get(SessionRow, giver.session_id, lock=True)
        if session is None:
            raise Problem("not_found")
        templates = templates_to_bytes(made.likeness.templates)
        likeness = Likeness(templates=templates, portrait=made.portrait, salt=salt)
        keep(service, store, row, case, step="consent", actor=giver.subject_id, now=now)  # before the log is locked
        return begin_consent(service, store, granted, likeness, session, now=now)


def _in_a_year(case: AuthorityCase, directive: AdvanceDirective | None, *, now: datetime) -> datetime:
    """The end of a consent that names none: as for one's own, or earlier where the claim is."""
    latest = latest_end(case, directive=directive, now=now)
    return now + DEFAULT_TERM if latest is None else min(now + DEFAULT_TERM, latest)


@router.post("/authorities/{case_id}/objections")
def say_no(
    case_id: str, body: AuthorityObjection, who: AnyCaller, service: TheService, language: Tongue = "en"
) -> AuthorityState:
    """Object: as the subject or a nearest relative just shown live, or as the app for one who reached it otherwise. Before
    the window is over that ends the claim; after it everything that stands on it stops at once."""
    now = service.now()
    unlisted: Relation | None = None
    with service.database.transaction() as store:
        if isinstance(who, Person):
            person = shown_person(service, store, who, now=now)
            row, case = _of_person(service, store, case_id, person, now=now)
            by = person.subject_id
        else:
            row, case = _reachable(service, store, case_id, _app(who), now=now)
            if body.ref is None:
                raise Problem("request_invalid", "ref: who objects")
            by, unlisted = _person(service, store, who.key_id, body.ref, now=now), body.relation
        case = accepted(object_to(case, by=by, now=now, unlisted=unlisted), language=language)
        keep(service, store, row, case, step=OBJECT, actor=who.id if isinstance(who, KeyHolder) else by, now=now)
        return _shown(store, row, case, who, language, now=now)


@router.post("/authorities/{case_id}/objections/lift")
def no_longer_say_no(case_id: str, person: Subject, service: TheService, language: Tongue = "en") -> AuthorityState:
    """Take your own objection back, just shown live. What stood still goes on once nobody objects."""
    now = service.now()
    with service.database.transaction() as store:
        objector = shown_person(service, store, person, now=now)
        row, case = _of_person(service, store, case_id, objector, now=now)
        if signed_as_another(service, store, case_id, objector):
            raise refusal_problem(refused(AuthorityCode.ANOTHER_PERSON), language=language)
        case = accepted(lift(case, by=objector.subject_id, now=now), language=language)
        keep(service, store, row, case, step="lift", actor=objector.subject_id, now=now)
        return _shown(
            store, row, case_of(service, store, row, now=now), person, language, now=now, you=objector.subject_id
        )


@router.post("/authorities/{case_id}/withdraw")
def give_up(case_id: str, who: AnyCaller, service: TheService, language: Tongue = "en") -> AuthorityState:
    """Take the claim back for good: the app that opened it, or anyone who signed. Papers and photographs are destroyed."""
    now = service.now()
    with service.database.transaction() as store:
        if isinstance(who, Person):
            person = shown_person(service, store, who, now=now)
            row, case = _of_person(service, store, case_id, person, now=now)
            by = person.subject_id
        else:
            row, case = _reachable(service, store, case_id, _app(who), now=now)
            by = who.key_id
        case = accepted(withdraw(case, by=by, now=now), language=language)
        keep(service, store, row, case, step=WITHDRAW, actor=by, now=now)
        return _shown(store, row, case, who, language, now=now)


# --- the person's own word -------------------------------------------------------------------------------------------


@router.put("/subjects/{ref}/directive")
def say_for_later(ref: str, body: DirectiveGiven, person: Subject, service: TheService) -> DirectiveShown:
    """Say, just shown live, what shall hold about your likeness when you cannot be asked. It stands above everyone else."""
    now = service.now()
    with service.database.transaction() as store:
        subject = shown_person(service, store, person, now=now)
        _same_person(service, store, ref, subject.app_key_id, subject.subject_id)
        if store.directive_of_session(subject.session_id) is not None:
            raise refusal_problem(refused(AuthorityCode.NOT_SHOWN_LIVE), language=body.language)
        directive = direct(
            subject.shown,
            subject_id=subject.subject_id,
            wish=body.wish,
            purposes=body.purposes,
            until=body.until,
            now=now,
        )
        if isinstance(directive, AuthorityRefusal):
            raise refusal_problem(directive, language=body.language)
        keep_directive(service, store, directive, session_id=subject.session_id)
        return _said(directive)


@router.get("/subjects/{ref}/directive")
def said_for_later(ref: str, who: AnyCaller, service: TheService) -> DirectiveShown:
    """What you said, as the subject just shown live, or as their app."""
    now = service.now()
    with service.database.transaction() as store:
        if isinstance(who, Person):
            subject = shown_person(service, store, who, now=now)
            subject_id = _same_person(service, store, ref, subject.app_key_id, subject.subject_id)
        else:
            subject_id = _person(service, store, _app(who).key_id, ref, now=now)
        directive = directive_of(store, subject_id)
        if directive is None:
            raise Problem("not_found")
        return _said(directive)


def _said(directive: AdvanceDirective) -> DirectiveShown:
    return DirectiveShown(
        wish=directive.wish,
        purposes=[purpose.value for purpose in directive.purposes],
        until=directive.until,
        at=directive.at,
    )


# --- who may reach what ----------------------------------------------------------------------------------------------


def _person(service: Service, store: Store, app_key_id: str, ref: str, *, now: datetime) -> str:
    """The pseudonym of whom this app calls so."""
    return store.subject(app_key_id, service.keys.blind("subject", ref), now=now).subject_id


def _same_person(service: Service, store: Store, ref: str, app_key_id: str, subject_id: str) -> str:
    row = store.get(SubjectRow, subject_id)
    wanted = service.keys.blind("subject", ref)
    if row is None or (row.app_key_id, row.reference) != (app_key_id, wanted):
        raise Problem("not_found")
    return subject_id


def _share(written: str | None) -> Fraction | None:
    try:
        return read_share(written)
    except Malformed:
        raise Problem("request_invalid", "a share is a fraction in lowest terms, such as 1/3") from None


def _app(who: Caller) -> KeyHolder:
    if not isinstance(who, KeyHolder) or who.role is not Role.APP:
        raise Problem("forbidden", "needs a key of role app, or a person's own token")
    return who


def _row(store: Store, case_id: str) -> AuthorityCaseRow:
    row = store.get(AuthorityCaseRow, case_id, lock=True)
    if row is None:
        raise Problem("not_found")
    return row


def _reachable(
    service: Service, store: Store, case_id: str, who: Caller, *, now: datetime
) -> tuple[AuthorityCaseRow, AuthorityCase]:
    """The claim as it is now, locked, if it is the caller's to see."""
    row = _row(store, case_id)
    match who:
        case KeyHolder(role=Role.APP):
            mine = row.app_key_id == who.key_id
        case KeyHolder(role=Role.ADMIN | Role.AUDITOR):
            mine = True
        case Person():
            return _of_person(service, store, case_id, shown_person(service, store, who, now=now), now=now)
        case _:
            mine = False
    if not mine:
        raise Problem("not_found")
    return row, case_of(service, store, row, now=now)


def _of_person(
    service: Service, store: Store, case_id: str, person: ShownPerson, *, now: datetime
) -> tuple[AuthorityCaseRow, AuthorityCase]:
    """The claim, if this person is its subject or one of those with a say."""
    row = _row(store, case_id)
    case = case_of(service, store, row, now=now)
    people = {row.subject_id, *(party.party_id for party in case.parties)}
    if row.app_key_id != person.app_key_id or person.subject_id not in people:
        raise Problem("not_found")
    return row, case


def _shown(
    store: Store,
    row: AuthorityCaseRow,
    case: AuthorityCase,
    who: Caller,
    language: str,
    *,
    now: datetime,
    you: str | None = None,
) -> AuthorityState:
    if you is None and isinstance(who, Person) and who.session_id is not None:
        session = store.get(SessionRow, who.session_id)
        you = session.subject_id if session is not None and session.state == SessionState.PASSED else None
    undecided = case.stage in (CaseStage.OPENED, CaseStage.DOCUMENTS, CaseStage.CHECKED_ONCE)
    lacking = missing(case) if undecided else ()
    return AuthorityState(
        case_id=case.case_id,
        stage=case.stage,
        type=case.kind,
        subject_state=case.subject_state,
        jurisdiction=case.jurisdiction,
        quorum_rule=case.rule,
        purposes=[purpose.value for purpose in case.purposes],
        parties=[
            PartyShown(
                party_id=party.party_id,
                relation=party.relation,
                share=None if party.share is None else write_share(party.share),
                signed=party.party_id in case.signed,
                you=party.party_id == you,
            )
            for party in case.parties
        ],
        documents=[
            AuthorityFileShown(
                file_id=one.document_id, kind=one.kind, sha256=one.sha256, issuer=one.issuer, shows=list(one.shows)
            )
            for one in case.documents
        ],
        photographs=[
            AuthorityFileShown(file_id=one.photograph_id, kind=PHOTOGRAPH, sha256=one.sha256)
            for one in case.photographs
        ],
        approvals=sum(said.approves for said in case.reviews),
        objections=len(case.open_objections),
        missing=[AuthorityReason(**reason) for reason in advice_on(lacking, language)],
        dossier_sha256=dossier_digest(case),
        opened_at=case.opened_at,
        window_from=case.window_from,
        window_to=case.window_to,
        granted_at=case.granted_at,
        valid_to=case.valid_to,
        consent_until=latest_end(case, directive=directive_of(store, row.subject_id), now=now)
        if case.stage is CaseStage.GRANTED and case.needs_photographs
        else None,
        consents=[
            ConsentOnClaim(
                consent_id=record.consent_id,
                given_by=record.granted.authority.representative_id,
                state="suspended" if record.standing_at(now) is Standing.SUSPENDED else record.state_at(now).value,
                purposes=list(record.purposes),
                audience=list(record.audience),
                expires_at=record.expires_at,
            )
            for record in consents_on(store, case)
            if record.granted.authority is not None
        ],
        liveness=LIVENESS_NOT_APPLICABLE,
        assurance=SubjectAssurance.CURATED,
    )
