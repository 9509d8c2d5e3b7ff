"""What an auditor may look at: sessions with values and limits, consents with their events, attempts with their outcomes.

Looking is by pseudonym; there are no faces, templates or recordings here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.auth import Auditor
from api.calls import Call
from api.consents import record_of
from api.errors import Problem
from api.ledger import verify_stored
from api.schemas import Id
from api.service import TheService
from api.tables import ChallengeRow, ConsentRow, SessionRow
from consent.canonical import write_instant
from consent.ledger import entry_json
from consent.note import to_base64
from consent.record import Narrowed, Renewed, Resumed, Revoked, Suspended

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=Call)


@router.get("/sessions/{session_id}")
def session(session_id: str, _: Auditor, service: TheService) -> dict[str, Any]:
    """A live check with every verdict: each check's outcome, value, limit and unit."""
    with service.database.transaction() as store:
        row = store.get(SessionRow, session_id)
        if row is None:
            raise Problem("not_found")
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
    _: Auditor,
    service: TheService,
    subject_id: Id | None = None,
    before: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """Consents, latest first."""
    with service.database.transaction() as store:
        rows = store.consents(subject_id=subject_id, before=before, most=limit)
        shown = [_consent(store_row) for store_row in rows]
    return {"consents": shown}


@router.get("/consents/{consent_id}")
def consent(consent_id: str, _: Auditor, service: TheService) -> dict[str, Any]:
    """A consent: its signed record and what happened to it, each with its entry in the log."""
    now = service.now()
    with service.database.transaction() as store:
        row = store.get(ConsentRow, consent_id)
        if row is None:
            raise Problem("not_found")
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


@router.get("/attempts")
def attempts(
    _: Auditor,
    service: TheService,
    backend: Annotated[str | None, Query(max_length=64)] = None,
    decision: bool | None = None,
    consent_id: Id | None = None,
    before: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """Questions to the gate with their outcomes, latest first."""
    with service.database.transaction() as store:
        found = store.attempts(backend=backend, decision=decision, consent_id=consent_id, before=before, most=limit)
    return {
        "attempts": [
            {
                "attempt_id": attempt.attempt_id,
                "at": write_instant(attempt.at),
                "backend": attempt.backend,
                "stage": attempt.stage,
                "purpose": attempt.purpose,
                "job_sha256": attempt.job_sha256,
                "claimed": attempt.claimed,
                "decision": None if outcome is None else outcome.decision,
                "reasons": [] if outcome is None else outcome.reasons,
                "permit_id": None if outcome is None else outcome.permit_id,
            }
            for attempt, outcome in found
        ]
    }


@router.get("/log")
def log(_: Auditor, service: TheService) -> dict[str, Any]:
    """Verify the whole log, now."""
    with service.database.transaction() as store:
        found = verify_stored(store, service.keys.public)
    return {"valid": True, "size": found.size, "root": to_base64(found.root), "signed_size": found.signed_size}


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
