"""Claims to speak for somebody, in storage: settled whenever they are read, sealed whole, every step written down.

Two keys a claim: one for the claim itself, which stays as proof, and one for papers, photographs and templates, which is
destroyed when the claim is over. What a directive or a sign of life means is decided in ``consent``; here it is looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from api.auth import Person
from api.consents import end_consent, expire_consent, happened, record_of
from api.errors import Problem
from api.media import Erased, Sealed, templates_from_bytes, templates_to_bytes
from api.service import Service
from api.shreds import Shredded, claim_shred_id, directive_shred_id, write_down_soon
from api.storage import Store, challenge_of, live_of, new_id
from api.tables import (
    AuthorityCaseRow,
    AuthorityEventRow,
    AuthorityFileRow,
    ChallengeRow,
    ConsentRow,
    DirectiveRow,
    SessionRow,
    VerdictRow,
)
from consent.authority import ADVICE, Act, AuthorityBinding, AuthorityCode, AuthorityRefusal, Shown, refused
from consent.authority_case import (
    DECIDED_WITHIN,
    AuthorityCase,
    CaseStage,
    CuratedTemplate,
    alike,
    authorise,
    case_bytes,
    case_digest,
    case_from_bytes,
    curate,
    may_act,
    settle,
    standing,
    withdraw,
)
from consent.directive import AdvanceDirective, directive_bytes, directive_from_bytes
from consent.errors import ConsentInvalid
from consent.record import ConsentRecord, Party, Revoked, RevokedBy, Scope, resume, revoke, suspend
from consent.scope import EVERY_BACKEND, EVERYONE
from consent.terms import Purpose
from liveness.policy import STRICT
from liveness.session import SessionState
from liveness.template import FaceTemplate
from liveness.verdict import Live

PAPER, PHOTOGRAPH, SIGNATURE = "paper", "photograph", "signature"
WITHDRAW, OBJECT = "withdraw", "object"
"""The steps by which somebody takes a claim back, or objects to it."""

SERVICE = "service"
"""The actor where time, a directive or a sign of life moved a claim."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShownPerson:
    """Somebody who passed a live check a moment ago, and their templates."""

    session_id: str
    app_key_id: str
    subject_id: str
    live: Live = field(repr=False)
    shown: Shown | AuthorityRefusal
    templates: tuple[FaceTemplate, ...] = field(repr=False)


def accepted(found: AuthorityCase | AuthorityRefusal, *, language: str = "en") -> AuthorityCase:
    """The case, or the refusal as a problem with what to do next."""
    if isinstance(found, AuthorityCase):
        return found
    raise refusal_problem(found, language=language)


def refusal_problem(refusal: AuthorityRefusal, *, language: str = "en") -> Problem:
    return Problem("authority_refused", more={"reasons": advice_on(refusal.codes, language)})


def advice_on(codes: tuple[AuthorityCode, ...], language: str) -> list[dict[str, str]]:
    return [{"code": code, "text": ADVICE[code].told(chinese=language == "zh", place=None)} for code in codes]


# --- claims ----------------------------------------------------------------------------------------------------------


def keep_new(service: Service, store: Store, case: AuthorityCase, *, now: datetime) -> AuthorityCaseRow:
    """A claim that was just opened."""
    key = service.vault.new_key(store, owner=case.case_id, now=now)
    row = AuthorityCaseRow(
        case_id=case.case_id,
        subject_id=case.subject_id,
        app_key_id=case.requester,
        kind=case.kind,
        subject_state=case.subject_state,
        jurisdiction=case.jurisdiction,
        stage=case.stage,
        data_key_id=key,
        body_id=service.vault.put(store, case_bytes(case), kind=Sealed.CASE, data_key_id=key, now=now),
        files_key_id=service.vault.new_key(store, owner=case.case_id, now=now),
        opened_at=now,
    )
    store.add(row)
    _note(store, case, step="open", actor=case.requester, now=now)
    return row


def case_of(service: Service, store: Store, row: AuthorityCaseRow, *, now: datetime) -> AuthorityCase:
    """The claim as it is now. ``row`` is locked: what time did to it is kept."""
    before = case_from_bytes(service.vault.get(store, row.body_id, owner=row.case_id))
    case = settle(
        before,
        directive=directive_of(store, row.subject_id),
        seen_live_at=store.seen_live_at(row.subject_id),
        now=now,
    )
    if case != before:
        keep(service, store, row, case, step="settle", actor=SERVICE, now=now)
    return case


def keep(
    service: Service, store: Store, row: AuthorityCaseRow, case: AuthorityCase, *, step: str, actor: str, now: datetime
) -> None:
    """The claim after a step, and what follows from it for consents on it, in the same transaction. Where it is over, all that
    was handed in for it is destroyed."""
    old = row.body_id
    row.body_id = service.vault.put(store, case_bytes(case), kind=Sealed.CASE, data_key_id=row.data_key_id, now=now)
    service.vault.erase(store, old, now=now)
    row.stage, row.window_to, row.valid_to = case.stage, case.window_to, case.valid_to
    _note(store, case, step=step, actor=actor, now=now)
    if case.stage.is_over and row.ended_at is None:
        row.ended_at = now
        service.vault.destroy_key(store, row.files_key_id, now=now)
    _follow(service, store, row, case, step=step, actor=actor, now=now)
    store.after_commit(lambda: write_down_soon(service.database, service.vault.files))


def _follow(
    service: Service, store: Store, row: AuthorityCaseRow, case: AuthorityCase, *, step: str, actor: str, now: datetime
) -> None:
    """Consents on a claim go its way: an objection suspends them until it is lifted, and they end with the claim.

    The gate asks the claim itself and waits for none of this. It is for everybody who reads records or status lists. All of
    them are locked before the first is written, so that who writes takes locks in one order.
    """
    ends, stands_still = case.stage.is_over, case.stage is CaseStage.SUSPENDED
    if not (ends or stands_still or case.stage is CaseStage.GRANTED):
        return
    consents = store.consents_of_subject(row.subject_id)
    store.lock_consents(consent.consent_id for consent in consents)
    for consent in consents:
        record = record_of(store, consent.consent_id)
        basis = record.granted.authority
        if basis is None or basis.case_id != case.case_id or record.revoked is not None:
            continue
        if ends and now >= record.expires_at:
            expire_consent(service, store, consent, now=now)
        elif ends:
            event = _revoked(record, row, step=step, actor=actor, now=now)
            happened(service, store, consent, record, event, now=now)
            end_consent(service, store, consent, event, now=now)
        elif now < record.expires_at and stands_still is not (Party.OBJECTION in {one.by for one in record.suspended}):
            _stopped_or_not(service, store, consent, record, stands_still, now=now)


def _revoked(record: ConsentRecord, row: AuthorityCaseRow, *, step: str, actor: str, now: datetime) -> Revoked:
    """By whom it ended: who withdrew the claim, or nobody but the claim's own end."""
    if step != WITHDRAW:
        return revoke(record, by=RevokedBy.AUTHORITY, now=now)
    if actor == row.app_key_id:
        return revoke(record, by=RevokedBy.APP, now=now)
    return revoke(record, by=RevokedBy.REPRESENTATIVE, representative_id=actor, now=now)


def _stopped_or_not(
    service: Service, store: Store, consent: ConsentRow, record: ConsentRecord, stop: bool, *, now: datetime
) -> None:
    try:
        event = (
            suspend(record, by=Party.OBJECTION, now=now)
            if stop
            else resume(record, of=Party.OBJECTION, by=Party.OBJECTION, now=now)
        )
    except ConsentInvalid as error:
        if error.code != "too_many_changes":
            raise
        return  # it stays suspended, and can be given anew
    happened(service, store, consent, record, event, now=now)


def _note(store: Store, case: AuthorityCase, *, step: str, actor: str, now: datetime) -> None:
    number = len(store.authority_events(case.case_id))
    if step == OBJECT or case.stage.is_over or case.stage is CaseStage.SUSPENDED:  # a backup without it allows too much
        store.shred(Shredded.CLAIM, claim_shred_id(case.case_id, number), at=now)
    store.add(
        AuthorityEventRow(
            case_id=case.case_id,
            number=number,
            at=now,
            step=step,
            stage=case.stage,
            actor=actor,
            case_sha256=case_digest(case),
        )
    )


def settle_about(service: Service, subject_id: str) -> None:
    """Claims about a person who was just shown live: one who lives is not dead."""
    now = service.now()
    with service.database.transaction() as store:
        for row in claims_about(store, subject_id):
            case_of(service, store, row, now=now)


def claims_about(store: Store, subject_id: str) -> list[AuthorityCaseRow]:
    """Claims about this person that are not over. All are locked before anything follows from one of them: what follows is
    written into the log, and nobody who holds the log waits for a claim."""
    locked = [store.get(AuthorityCaseRow, case_id, lock=True) for case_id in store.authorities_of(subject_id)]
    return [row for row in locked if row is not None]


def settle_due(service: Service) -> int:
    """Move on every claim whose time came; gives how many were over."""
    now, ended = service.now(), 0
    with service.database.transaction() as store:
        due = store.authorities_due(now, undecided_since=now - DECIDED_WITHIN)
    for case_id in due:
        with service.database.transaction() as store:
            row = store.get(AuthorityCaseRow, case_id, lock=True)
            if row is not None:
                ended += case_of(service, store, row, now=now).stage.is_over
    return ended


def end_again(service: Service, store: Store, case_id: str, *, now: datetime) -> bool:
    """After a restore: what was said against this claim since the backup is lost, so it ends, and what stands on it. Whoever
    it was of may open it anew. False when it is over, or sealed by a key that was destroyed."""
    row = store.get(AuthorityCaseRow, case_id, lock=True)
    if row is None or row.ended_at is not None:
        return False
    try:
        case = case_of(service, store, row, now=now)
    except Erased:
        return False
    if case.stage.is_over:
        return False
    ended = withdraw(case, by=case.requester, now=now)
    if isinstance(ended, AuthorityRefusal):
        raise RuntimeError(f"a claim at {case.stage} could not be ended")
    keep(service, store, row, ended, step="restore", actor=SERVICE, now=now)
    return True


# --- what is handed in -----------------------------------------------------------------------------------------------


def keep_file(
    service: Service,
    store: Store,
    row: AuthorityCaseRow,
    *,
    file_id: str,
    kind: str,
    content: bytes | None,
    templates: tuple[FaceTemplate, ...] = (),
    person: ShownPerson | None = None,
    now: datetime,
) -> None:
    """A paper, a photograph with its template, or the face of somebody who signed."""
    key = row.files_key_id
    store.add(
        AuthorityFileRow(
            file_id=file_id,
            case_id=row.case_id,
            kind=kind,
            party_id=None if person is None else person.subject_id,
            session_id=None if person is None else person.session_id,
            content_id=None
            if content is None
            else service.vault.put(store, content, kind=Sealed.PAPER, data_key_id=key, now=now),
            templates_id=service.vault.put(
                store, templates_to_bytes(templates), kind=Sealed.TEMPLATES, data_key_id=key, now=now
            )
            if templates
            else None,
            added_at=now,
        )
    )


def templates_by_file(service: Service, store: Store, case_id: str, kind: str) -> dict[str, FaceTemplate]:
    """The first template of each file of that kind; what is gone is left out."""
    found: dict[str, FaceTemplate] = {}
    for file in store.authority_files(case_id, kind):
        try:
            kept = templates_from_bytes(service.vault.get(store, file.templates_id, owner=case_id))
        except Erased:
            continue
        if kept and kept[0] is not None:
            found[file.file_id] = kept[0]
    return found


def signed_as_another(service: Service, store: Store, case_id: str, person: ShownPerson) -> bool:
    """Whether this face signed already under another name, or is not the one that signed under this name.

    Twins who look alike to the model cannot both sign; the reviewers' way out is a claim decided by shares.
    """
    for file in store.authority_files(case_id, SIGNATURE):
        try:
            kept = templates_from_bytes(service.vault.get(store, file.templates_id, owner=case_id))
        except Erased:
            return True
        pairs = [(one, other) for one in person.templates for other in kept if other is not None]
        same = bool(pairs) and any(alike(one, other, STRICT.same_person.value) for one, other in pairs)
        if same is not (file.party_id == person.subject_id):
            return True
    return False


# --- who was shown live ----------------------------------------------------------------------------------------------


def shown_person(service: Service, store: Store, person: Person, *, now: datetime) -> ShownPerson:
    """Whose client token this is, if their live check was passed and its time is not over.

    Raises: Problem.
    """
    session = None if person.session_id is None else store.get(SessionRow, person.session_id, lock=True)
    if session is None:
        raise Problem("forbidden", "needs the client token of a live check")
    if session.state != SessionState.PASSED:
        raise Problem("not_live")
    if now >= session.expires_at:
        raise Problem("session_expired")
    verdict = None if session.challenge_id is None else store.get(VerdictRow, session.challenge_id)
    challenge = None if verdict is None else store.get(ChallengeRow, verdict.challenge_id)
    if verdict is None or challenge is None or not verdict.live:
        raise Problem("not_live")
    try:
        kept = templates_from_bytes(service.vault.get(store, session.templates_id, owner=session.session_id))
    except Erased:
        raise Problem("session_expired") from None
    live = live_of(verdict, challenge_of(challenge))
    return ShownPerson(
        session_id=session.session_id,
        app_key_id=session.app_key_id,
        subject_id=session.subject_id,
        live=live,
        shown=Shown.by(live, now=now),
        templates=tuple(one for one in kept if one is not None),
    )


# --- the person's own word -------------------------------------------------------------------------------------------


def directive_of(store: Store, subject_id: str) -> AdvanceDirective | None:
    """What the person said shall hold."""
    row = store.directive(subject_id)
    return None if row is None else directive_from_bytes(row.body)


def keep_directive(service: Service, store: Store, directive: AdvanceDirective, *, session_id: str) -> None:
    """The person's word from now on. Claims about them are settled at once: it may end them, and so may that they live."""
    directive_id = new_id("dir")
    store.shred(Shredded.DIRECTIVE, directive_shred_id(directive.subject_id, directive_id), at=directive.at)
    store.add(
        DirectiveRow(
            directive_id=directive_id,
            subject_id=directive.subject_id,
            session_id=session_id,
            at=directive.at,
            body=directive_bytes(directive),
        )
    )
    for row in claims_about(store, directive.subject_id):
        case_of(service, store, row, now=directive.at)
    store.after_commit(lambda: write_down_soon(service.database, service.vault.files))


# --- what it is good for ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Authorised:
    """What a consent on somebody's behalf is made of: its basis, whose face it is, and a picture of them."""

    case: AuthorityCase
    binding: AuthorityBinding
    likeness: CuratedTemplate
    portrait: bytes = field(repr=False)


def authorised(
    service: Service, store: Store, row: AuthorityCaseRow, person: ShownPerson, scope: Scope, *, now: datetime
) -> Authorised | AuthorityRefusal:
    """A representative, just shown live, gives a consent of that scope. ``row`` is locked.

    1. The rules allow it (:func:`consent.authority_case.authorise`).
    2. The face in this live check is the one that signed.
    3. The photographs that both reviewers approved of give a template.
    """
    case = case_of(service, store, row, now=now)
    binding = authorise(  # 1
        case,
        directive=directive_of(store, row.subject_id),
        by=person.subject_id,
        shown=person.shown,
        purposes=scope.purposes,
        every_backend=EVERY_BACKEND in scope.audience,
        every_maker=EVERYONE in scope.makers,
        expires_at=scope.expires_at,
        now=now,
    )
    if isinstance(binding, AuthorityRefusal):
        return binding
    if signed_as_another(service, store, row.case_id, person):  # 2
        return refused(AuthorityCode.ANOTHER_PERSON)
    faces = templates_by_file(service, store, row.case_id, PHOTOGRAPH)
    likeness = curate(case, faces, same_person=STRICT.same_person.value)  # 3
    if isinstance(likeness, AuthorityRefusal):
        return likeness
    contents: Mapping[str, str | None] = {
        file.file_id: file.content_id for file in store.authority_files(row.case_id, PHOTOGRAPH)
    }
    portrait = service.vault.get(store, contents[case.approved_photographs[0]], owner=row.case_id)
    return Authorised(case=case, binding=binding, likeness=likeness, portrait=portrait)


def acts_for(
    service: Service, store: Store, person: ShownPerson, subject_id: str, act: Act, *, now: datetime
) -> AuthorityRefusal | None:
    """Whether somebody just shown live may do that with this subject's consents, as the subject or on any claim. ``None``:
    they may. Locks the claims: call it before a consent is locked."""
    if isinstance(person.shown, AuthorityRefusal):
        return person.shown
    found = refused(AuthorityCode.NOT_GRANTED)
    for row in claims_about(store, subject_id):
        if row.app_key_id != person.app_key_id:
            continue
        answer = may_act(case_of(service, store, row, now=now), act, by=person.subject_id)
        own = person.subject_id == subject_id
        if answer is None and not own and signed_as_another(service, store, row.case_id, person):
            answer = refused(AuthorityCode.ANOTHER_PERSON)
        if answer is None:
            return None
        found = answer
    return found


def consents_on(store: Store, case: AuthorityCase) -> list[ConsentRecord]:
    """What was given on a claim."""
    records = [record_of(store, row.consent_id) for row in store.consents_of_subject(case.subject_id)]
    return [
        one for one in records if one.granted.authority is not None and one.granted.authority.case_id == case.case_id
    ]


def standing_of(
    service: Service, store: Store, case_id: str, purpose: Purpose, *, now: datetime
) -> AuthorityRefusal | None:
    """For the gate, at every question: whether what stands on this claim holds now. ``None``: it does. Changes nothing, and
    reads the directive and signs of life itself, so that it does not wait for anybody to settle the claim."""
    row = store.get(AuthorityCaseRow, case_id)
    if row is None:
        return refused(AuthorityCode.NOT_GRANTED)
    return standing(
        case_from_bytes(service.vault.get(store, row.body_id, owner=row.case_id)),
        directive=directive_of(store, row.subject_id),
        seen_live_at=store.seen_live_at(row.subject_id),
        purpose=purpose,
        now=now,
    )


def stands(service: Service, store: Store, record: ConsentRecord, purpose: Purpose, *, now: datetime) -> bool:
    """Whether this consent was given on somebody's behalf, and that authority holds for that purpose now."""
    basis = record.granted.authority
    return basis is not None and standing_of(service, store, basis.case_id, purpose, now=now) is None
