"""Single uses that people are asked about: the question, what they are shown of it, and their answer."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from api.media import Erased, Sealed
from api.service import Service
from api.storage import Store, new_id
from api.tables import ApprovalRow, ConsentRow
from consent.approval import Approval, ApprovalState, answer, request
from consent.gate import Use
from consent.terms import Purpose

_MOST_WAITING = 50  # a person with more questions than that is being flooded, and no further one is put to them


def approval_of(
    store: Store,
    consent_id: str,
    *,
    backend: str,
    purpose: Purpose,
    job_sha256: str,
    own_permit: str | None,
    now: datetime,
) -> Approval | None:
    """The person's answer to this job, unless it was used for another permit."""
    row = store.approval(
        consent_id, backend=backend, purpose=purpose, job_sha256=job_sha256, now=now, own_permit=own_permit
    )
    return None if row is None else approval_from(row)


def approval_from(row: ApprovalRow) -> Approval:
    return Approval(
        consent_id=row.consent_id,
        backend=row.backend,
        purpose=Purpose(row.purpose),
        job_sha256=row.job_sha256,
        state=ApprovalState(row.state),
        expires_at=row.expires_at,
    )


def ask_person(service: Service, store: Store, consent_id: str, use: Use, attempt_id: str) -> str | None:
    """Put the question to the person, once a job; gives its id. ``None``: too many wait for them already.

    What they are shown (the words, too) is sealed with the key of their consent, and gone with it.
    """
    now = service.now()
    consent = store.get(ConsentRow, consent_id)
    waiting = store.approval(consent_id, backend=use.backend, purpose=use.purpose, job_sha256=use.job_sha256, now=now)
    if waiting is not None:
        return waiting.approval_id
    if consent is None or store.approvals_waiting(consent_id, now=now) >= _MOST_WAITING:
        return None
    asked = request(consent_id=consent_id, backend=use.backend, purpose=use.purpose, job_sha256=use.job_sha256, now=now)
    shown = {
        "script": use.script,
        "seconds": use.seconds,
        "maker": use.maker,
        "categories": use.categories,
        "territories": use.territories,
    }
    row = ApprovalRow(
        approval_id=new_id("apr"),
        consent_id=consent_id,
        backend=asked.backend,
        purpose=asked.purpose,
        job_sha256=asked.job_sha256,
        state=asked.state,
        attempt_id=attempt_id,
        details_id=service.vault.put(
            store, json.dumps(shown).encode(), kind=Sealed.ORDER, data_key_id=consent.data_key_id, now=now
        ),
        requested_at=now,
        expires_at=asked.expires_at,
    )
    store.add(row)
    return row.approval_id


def answer_person(store: Store, row: ApprovalRow, *, approved: bool, now: datetime) -> None:
    """Write the person's answer. Raises: ConsentInvalid, as :func:`consent.approval.answer`."""
    answered = answer(approval_from(row), approved=approved, now=now)
    row.state, row.expires_at, row.answered_at = answered.state, answered.expires_at, now


def details_of(service: Service, store: Store, row: ApprovalRow) -> dict[str, Any]:
    """What the person is shown; nothing once their key is gone."""
    try:
        shown: dict[str, Any] = json.loads(service.vault.get(store, row.details_id, owner=row.consent_id))
    except Erased:
        return {}
    return shown


__all__ = ["answer_person", "approval_from", "approval_of", "ask_person", "details_of"]
