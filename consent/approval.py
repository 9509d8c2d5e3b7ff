"""A person's answer to one single use, where they asked to be asked each time.

An approval is for one consent, one backend, one purpose and one job (by hash): the same clip, and no other. Who asked again
for something else asks again for a yes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from consent.errors import ConsentInvalid
from consent.terms import Purpose

ASKED_FOR = timedelta(days=7)  # design: a week to answer; then it was not approved
APPROVED_FOR = timedelta(hours=24)  # design: what was approved is made within a day, or asked for again


class ApprovalState(StrEnum):
    """requested: waits for the person. approved, refused: their answer."""

    REQUESTED = "requested"
    APPROVED = "approved"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Valid while ``now < expires_at``; then it is as if nobody had asked."""

    consent_id: str
    backend: str
    purpose: Purpose
    job_sha256: str
    state: ApprovalState
    expires_at: datetime

    def is_for(self, *, consent_id: str, backend: str, purpose: Purpose, job_sha256: str) -> bool:
        return (self.consent_id, self.backend, self.purpose, self.job_sha256) == (
            consent_id,
            backend,
            purpose,
            job_sha256,
        )


def request(*, consent_id: str, backend: str, purpose: Purpose, job_sha256: str, now: datetime) -> Approval:
    """A question that waits for the person."""
    return Approval(
        consent_id=consent_id,
        backend=backend,
        purpose=purpose,
        job_sha256=job_sha256,
        state=ApprovalState.REQUESTED,
        expires_at=now + ASKED_FOR,
    )


def answer(asked: Approval, *, approved: bool, now: datetime) -> Approval:
    """The person's answer. A yes can be taken back while it is not used; a no stands.

    Raises:
        ConsentInvalid: codes ``approval_expired``, ``approval_answered``.
    """
    if now >= asked.expires_at:
        raise ConsentInvalid("nobody waits for this answer any more", code="approval_expired")
    if asked.state is ApprovalState.REFUSED or (asked.state is ApprovalState.APPROVED and approved):
        raise ConsentInvalid("this was answered already", code="approval_answered")
    if not approved:
        return replace(asked, state=ApprovalState.REFUSED)
    return replace(asked, state=ApprovalState.APPROVED, expires_at=now + APPROVED_FOR)
