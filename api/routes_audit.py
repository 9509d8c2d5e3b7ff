"""What auditors and admins may look at: live checks with values and limits, consents, attempts, events, and evidence packs.

Looking is by pseudonym, and every look is an event that the people it was about can see. There are no faces, templates or
recordings here, but for openings: those need two admins.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, StringConstraints

from api import openings
from api.audit_events import AuditAction, note
from api.audit_search import SearchKind, attempt_json, search, timeline
from api.auth import Admin, Auditor
from api.balance import balance
from api.books import settle_all
from api.calls import Call
from api.consents import record_of
from api.errors import Problem
from api.evidence import evidence_of
from api.schemas import (
    CheckpointSeen,
    GateBalance,
    Id,
    Listed,
    NewHold,
    NewOpening,
    NewVerification,
    Opening,
    SearchSaved,
    Sha256,
    VerificationShown,
    VerificationStep,
)
from api.service import TheService
from api.storage_audit import Sought
from api.tables import ChallengeRow, ConsentRow, OpeningRow, SessionRow, SubjectRow
from api.verification import Seen, StepOutcome, verify_record
from api.written import verify_books, written_json
from consent.attempts import OutcomeKind
from consent.canonical import write_instant
from consent.ledger import entry_json
from consent.note import from_base64, to_base64
from consent.record import Narrowed, Renewed, Resumed, Revoked, Suspended

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=Call)

Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
BackendName = Annotated[str, StringConstraints(max_length=64)]
Action = Annotated[str, StringConstraints(pattern=r"^[a-z_]+(:[a-z_]+){2}$", max_length=64)]
Cursor = Annotated[str, StringConstraints(max_length=200)]
ViewName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


@router.get("/sessions/{session_id}")
def session(session_id: str, who: Auditor, service: TheService) -> dict[str, Any]:
    """A live check with every verdict: each check's outcome, value, limit and unit."""
    with service.database.transaction() as store:
        row = store.get(SessionRow, session_id)
        if row is None:
            raise Problem("not_found")
        note(
            store, AuditAction.SESSION_READ, by=who, now=service.now(), subject_id=row.subject_id, object_id=session_id
        )
        verdicts = []
        for verdict in store.verdicts_of(session_id):
            challenge = store.get(ChallengeRow, verdict.challenge_id)
            asked = {} if challenge is None else {"steps": challenge.steps, "mirrored": challenge.mirrored}
            verdicts.append(verdict.detail | asked)
    return {
        "session_id": row.session_id,
        "subject_id": row.subject_id,
        "state": row.state,
        "policy": row.policy,
        "language": row.language,
        "attempts": row.attempts,
        "created_at": write_instant(row.created_at),
        "verdicts": verdicts,
    }


@router.get("/consents")
def consents(
    who: Auditor,
    service: TheService,
    subject_id: Id | None = None,
    before: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """Consents, latest first."""
    with service.database.transaction() as store:
        rows = store.consents(subject_id=subject_id, before=before, most=limit)
        note(
            store,
            AuditAction.CONSENTS_LISTED,
            by=who,
            now=service.now(),
            subject_id=subject_id,
            shown={row.subject_id for row in rows},
        )
        shown = [_consent(store_row) for store_row in rows]
    return {"consents": shown}


@router.get("/consents/{consent_id}")
def consent(consent_id: str, who: Auditor, service: TheService) -> dict[str, Any]:
    """A consent: its signed record and what happened to it, each with its entry in the log."""
    now = service.now()
    with service.database.transaction() as store:
        row = store.get(ConsentRow, consent_id)
        if row is None:
            raise Problem("not_found")
        note(store, AuditAction.CONSENT_READ, by=who, now=now, subject_id=row.subject_id, consent_id=consent_id)
        record = record_of(store, consent_id)
        happened = []
        for event, written in zip(record.events, store.consent_events(consent_id), strict=True):
            entry = store.entries(written.ledger_index, 1)[0]
            happened.append(
                {
                    "kind": event.kind,
                    "at": write_instant(event.at),
                    "by": event.by.value if isinstance(event, Suspended | Resumed | Revoked) else "subject",
                    "expires_at": write_instant(event.scope.expires_at)
                    if isinstance(event, Narrowed | Renewed)
                    else None,
                    "entry": entry_json(entry),
                }
            )
        return _consent(row) | {
            "state": record.state_at(now).value,
            "assurance": record.assurance.value,
            "record": store.consent_events(consent_id)[-1].record,
            "events": happened,
            "uses": store.uses_of(consent_id),
        }


@router.post("/consents/{consent_id}/verify")
def verify_now(consent_id: Id, body: NewVerification, who: Auditor, service: TheService) -> VerificationShown:
    """Hold a record against all that vouches for it, now, step by step."""
    now = service.now()
    seen = None if body.seen is None else Seen(size=body.seen.size, root=from_base64(body.seen.root))
    settle_all(service)
    with service.database.transaction() as store:
        found = verify_record(service, store, consent_id, seen=seen, whole_log=body.whole_log, now=now)
        row = store.get(ConsentRow, consent_id)
        note(
            store,
            AuditAction.RECORD_VERIFIED,
            by=who,
            now=now,
            subject_id=None if row is None else row.subject_id,
            consent_id=consent_id,
            reason=next((step.name for step in found.steps if step.outcome is StepOutcome.FAILS), None),
        )
    return VerificationShown(
        consent_id=consent_id,
        at=now,
        holds=found.holds,
        steps=[
            VerificationStep(name=step.name, outcome=step.outcome.value, why=step.why, values=step.values)  # type: ignore[arg-type]
            for step in found.steps
        ],
        now=None if found.now is None else CheckpointSeen(size=found.now.size, root=to_base64(found.now.root)),
    )


@router.get("/attempts")
def attempts(
    who: Auditor,
    service: TheService,
    backend: BackendName | None = None,
    decision: bool | None = None,
    consent_id: Id | None = None,
    before: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """Questions to the gate with their outcomes, latest first. ``/search`` finds them by more, and in pages."""
    with service.database.transaction() as store:
        found = store.attempts(backend=backend, decision=decision, consent_id=consent_id, before=before, most=limit)
        note(
            store,
            AuditAction.ATTEMPTS_LISTED,
            by=who,
            now=service.now(),
            consent_id=consent_id,
            backend=backend,
            shown=store.subjects_of_attempts([attempt.attempt_id for attempt, _ in found]),
        )
    return {"attempts": [attempt_json(attempt, outcome) for attempt, outcome in found]}


@router.get("/search")
def find(
    who: Auditor,
    service: TheService,
    kind: Annotated[list[SearchKind] | None, Query(description="unset: all of them")] = None,
    subject: Id | None = None,
    consent: Id | None = None,
    backend: BackendName | None = None,
    reason: Annotated[str | None, Query(max_length=500, description="a reason code, or an event's reason")] = None,
    output_sha256: Sha256 | None = None,
    state: Annotated[Code | None, Query(description="of a record, or permit, refusal, error of an attempt")] = None,
    authority: Annotated[Code | None, Query(description="who agreed: self")] = None,
    action: Annotated[Action | None, Query(description="an event's name")] = None,
    actor: Id | None = None,
    since: Annotated[AwareDatetime | None, Query(alias="from")] = None,
    until: Annotated[AwareDatetime | None, Query(alias="to")] = None,
    cursor: Cursor | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Listed:
    """Records, attempts and events, latest first. What all the given terms fit; kinds that a term is not about have none."""
    now = service.now()
    sought = Sought(
        subject_id=subject,
        consent_id=consent,
        backend=backend,
        reason=reason,
        output_sha256=output_sha256,
        state=state,
        authority=authority,
        action=action,
        actor_id=actor,
        since=since,
        until=until,
    )
    settle_all(service)  # what was asked a moment ago is found, too
    with service.database.transaction() as store:
        page = search(store, sought, kind or list(SearchKind), now=now, cursor=cursor, most=limit)
        note(
            store,
            AuditAction.SEARCHED,
            by=who,
            now=now,
            subject_id=subject,
            consent_id=consent,
            backend=backend,
            shown=page.subjects(store),
            more={"found": len(page.hits)},
        )
    return Listed(**page.to_json())


@router.get("/subjects/{subject_id}/timeline")
def life(
    subject_id: Id,
    who: Auditor,
    service: TheService,
    cursor: Cursor | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> Listed:
    """All that happened with one person's likeness, latest first."""
    now = service.now()
    settle_all(service)
    with service.database.transaction() as store:
        if store.get(SubjectRow, subject_id) is None:
            raise Problem("not_found")
        page = timeline(store, subject_id, now=now, cursor=cursor, most=limit)
        note(store, AuditAction.TIMELINE_READ, by=who, now=now, subject_id=subject_id)
    return Listed(**page.to_json())


@router.get(
    "/evidence/{consent_id}",
    response_class=Response,
    responses={200: {"content": {"application/json": {}}, "description": "check it with mien evidence verify"}},
)
def evidence(consent_id: Id, who: Auditor, service: TheService) -> Response:
    """One file that proves, offline, what was agreed and what was asked of the gate under it. At most 100 kB."""
    now = service.now()
    with service.database.transaction() as store:
        pack = evidence_of(service, store, consent_id, now=now)
        row = store.get(ConsentRow, consent_id)
        subject_id = None if row is None else row.subject_id
        note(store, AuditAction.EVIDENCE_EXPORTED, by=who, now=now, subject_id=subject_id, consent_id=consent_id)
    named = {"Content-Disposition": f'attachment; filename="evidence-{consent_id}.json"'}
    return Response(pack, media_type="application/json", headers=named)


@router.get("/balance")
def books(who: Auditor, service: TheService, recount: bool = False) -> GateBalance:
    """The gate's books. ``recount``: count row by row as well, which takes long."""
    now = service.now()
    with service.database.transaction() as store:
        found = balance(store, now=now)
        reasons = store.gate_reasons()
        counted = None
        if recount:
            counted = dict(zip(("attempts", "permits", "refusals", "errors"), store.recount(), strict=True))
            note(store, AuditAction.BALANCE_RECOUNTED, by=who, now=now, more=counted)
    return GateBalance(
        attempts=found.books.attempts,
        permits=found.books.permits,
        refusals=found.books.refusals,
        errors=found.books.errors,
        waiting=found.books.waiting,
        overdue=found.books.overdue,
        fail_open=found.fail_open,
        unchecked=found.unchecked,
        unlogged_s=round(found.waits_s, 3),
        holds=found.holds,
        refused_because={reason: number for kind, reason, number in reasons if kind == OutcomeKind.REFUSAL},
        recount=counted,
    )


@router.get("/log")
def log(who: Auditor, service: TheService) -> dict[str, Any]:
    """Verify the whole log and what its entries stand for, now."""
    settle_all(service)
    with service.database.transaction() as store:
        books = verify_books(store, service.keys.public)
        found = books.log
        note(store, AuditAction.LOG_VERIFIED, by=who, now=service.now(), more={"size": found.size})
    log = {"valid": True, "size": found.size, "root": to_base64(found.root), "signed_size": found.signed_size}
    return log | written_json(books.written)


# --- saved searches --------------------------------------------------------------------------------------------------


@router.get("/views")
def views(who: Auditor, service: TheService) -> dict[str, Any]:
    """Searches that this key saved."""
    with service.database.transaction() as store:
        found = store.views(who.key_id)
    return {"views": [{"name": row.name, "query": row.query, "saved_at": write_instant(row.saved_at)} for row in found]}


@router.put("/views/{name}")
def save_view(name: ViewName, body: SearchSaved, who: Auditor, service: TheService) -> SearchSaved:
    """Save a search under a name; one of that name before is replaced."""
    unknown = sorted(set(body.query) - _PARAMETERS)
    if unknown:
        raise Problem("request_invalid", f"a search has no {unknown[0]}")
    with service.database.transaction() as store:
        store.save_view(who.key_id, name, dict(body.query), now=service.now())
    return body


@router.delete("/views/{name}", status_code=204)
def forget_view(name: ViewName, who: Auditor, service: TheService) -> None:
    """Forget a saved search."""
    with service.database.transaction() as store:
        if not store.forget_view(who.key_id, name):
            raise Problem("not_found")


_PARAMETERS = frozenset(
    ("kind", "subject", "consent", "backend", "reason", "output_sha256", "state", "authority", "action", "actor")
) | {"from", "to", "limit"}


# --- opening biometric media: two admins -----------------------------------------------------------------------------


@router.get("/openings")
def openings_asked_for(
    _: Admin, service: TheService, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> dict[str, list[Opening]]:
    """Openings, latest first."""
    now = service.now()
    with service.database.transaction() as store:
        return {"openings": [_opening(row, now) for row in store.openings(before=None, most=limit)]}


@router.post("/openings", status_code=201)
def ask_for_opening(body: NewOpening, who: Admin, service: TheService) -> Opening:
    """Ask to look at one piece of media. The people in it are told that you asked, and why."""
    with service.database.transaction() as store:
        row = openings.request(service, store, who, object_id=body.object, reason=body.reason, ticket=body.ticket)
        return _opening(row, service.now())


@router.post("/openings/{opening_id}/approve")
def approve_opening(opening_id: Id, who: Admin, service: TheService) -> Opening:
    """Give leave, as another admin than the one who asked. It lasts from now, for ``MIEN_OPENING_MINUTES``."""
    with service.database.transaction() as store:
        return _opening(openings.approve(service, store, who, opening_id), service.now())


@router.get(
    "/openings/{opening_id}/content",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "the media"}},
)
def opened(opening_id: Id, who: Admin, service: TheService) -> Response:
    """Look, as the admin who asked, while the leave lasts. Each look is told to the people in it."""
    return Response(openings.view(service, who, opening_id), media_type="application/octet-stream")


@router.post("/openings/{opening_id}/hold")
def hold_notice(opening_id: Id, body: NewHold, who: Admin, service: TheService) -> Opening:
    """Put off telling the people in it, by law and for a time. They are told of the hold when it ends."""
    with service.database.transaction() as store:
        row = openings.hold(service, store, who, opening_id, until=body.until, reason=body.reason, ticket=body.ticket)
        return _opening(row, service.now())


@router.post("/openings/{opening_id}/release")
def release_notice(opening_id: Id, who: Admin, service: TheService) -> Opening:
    """End a legal hold before its time."""
    with service.database.transaction() as store:
        return _opening(openings.release(service, store, who, opening_id), service.now())


def _opening(row: OpeningRow, now: datetime) -> Opening:
    return Opening(**openings.opening_json(row, now=now))


def _consent(row: ConsentRow) -> dict[str, Any]:
    return {
        "consent_id": row.consent_id,
        "subject_id": row.subject_id,
        "session_id": row.session_id,
        "challenge_id": row.challenge_id,
        "granted_at": write_instant(row.granted_at),
        "expires_at": write_instant(row.expires_at),
        "revoked_at": None if row.revoked_at is None else write_instant(row.revoked_at),
    }
