"""Gathers what goes into an evidence pack; :mod:`consent.evidence` makes and checks it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from api.audit_search import use_json
from api.books import attempt_of, outcome_of
from api.errors import Problem
from api.keys import open_keys
from api.ledger import checkpoint_now, note_of
from api.service import Service, wall_clock
from api.settings import Settings
from api.storage import Store, checks_of
from api.storage_audit import Sought
from api.tables import ConsentRow, VerdictRow
from consent import terms as agreed
from consent.canonical import write_instant
from consent.errors import EvidenceInvalid, KeysUnusable
from consent.evidence import Proof, Question, make_evidence, verify_evidence
from consent.keys import KeySet
from consent.ledger import SALT_BYTES
from consent.merkle import inclusion_proof
from consent.record import read_record

_MOST_QUESTIONS = 100  # of which as many are kept as fit


def evidence_of(service: Service, store: Store, consent_id: str, *, now: datetime) -> bytes:
    """The pack of one consent. Raises: Problem ``not_found``, ``evidence_erased``."""
    row = store.get(ConsentRow, consent_id)
    if row is None:
        raise Problem("not_found")
    if len(row.salt) != SALT_BYTES:
        raise Problem("evidence_erased")
    store.lock_ledger()  # the tree stays as the checkpoint has it
    keys, checkpoint = service.keys, checkpoint_now(service, store, now=now)
    size = checkpoint.size
    events = store.consent_events(consent_id)
    record = read_record(events[-1].record, keys.public)
    verdict = store.get(VerdictRow, row.challenge_id)
    questions = _questions(store, consent_id, size)
    return make_evidence(
        record=events[-1].record,
        salt=row.salt,
        checkpoint=note_of(store, checkpoint),
        proofs=[proof_of(store, event.ledger_index, size) for event in events],
        terms=agreed.by_sha256(record.granted.terms_sha256),
        checks=[] if verdict is None else checks_of(verdict),
        questions=questions,
        questions_in_all=store.attempts_about(consent_id),
        permits=[
            use_json(permit) | {"issued_at": write_instant(permit.issued_at), "attempt_id": permit.attempt_id}
            for permit in store.permits_of_attempts([question.attempt.attempt_id for question in questions]).values()
        ],
        keys=keys.public,
        key=keys.active,
        consent_id=consent_id,
        now=now,
    )


def _questions(store: Store, consent_id: str, size: int) -> list[Question]:
    """Questions that presented this consent, the latest first; not those whose salt was erased for somebody else in it."""
    found = []
    for attempt, outcome in store.search_attempts(Sought(consent_id=consent_id), after=None, most=_MOST_QUESTIONS):
        entry = store.attempt_entry(attempt.attempt_id)
        if entry is None or entry.salt is None or entry.attempt_index is None:
            continue
        closed = outcome is not None and entry.outcome_index is not None
        found.append(
            Question(
                attempt=attempt_of(attempt),
                salt=entry.salt,
                proof=proof_of(store, entry.attempt_index, size),
                outcome=outcome_of(outcome) if outcome is not None and closed else None,
                outcome_proof=proof_of(store, entry.outcome_index, size)
                if closed and entry.outcome_index is not None
                else None,
            )
        )
    return found


def proof_of(store: Store, index: int, size: int) -> Proof:
    """That entry ``index`` is in the tree of that size."""
    return Proof(entry=store.entries(index, 1)[0], path=inclusion_proof(index, size, store.nodes))


def verify_evidence_file(file: Path, *, keys: Path | None, settings: Settings) -> dict[str, Any]:
    """An evidence pack, against a JWK Set in the file ``keys``, or else the service's own keys.

    Raises:
        KeysUnusable: when there are no keys to check with.
    """
    if keys is not None:
        public = KeySet.from_jwks(json.loads(keys.read_text(encoding="utf-8")))
    elif settings.keys_json is not None or settings.keys.is_file():
        public = open_keys(settings, now=wall_clock()).public
    else:
        raise KeysUnusable("give the service's published keys with --keys FILE (from /.well-known/jwks.json)")
    try:
        proven = verify_evidence(file.read_bytes(), public)
    except EvidenceInvalid as error:
        return {"valid": False, "code": error.code, "why": str(error)}
    return {
        "valid": True,
        "consent_id": proven.record.consent_id,
        "state": proven.record.state_at(proven.made_at).value,
        "events": len(proven.record.events),
        "questions": proven.questions,
        "questions_left_out": proven.left_out,
        "live_checks": proven.live_checks,
        "made_at": write_instant(proven.made_at),
    }
