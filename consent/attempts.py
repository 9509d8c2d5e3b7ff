"""The books of the gate: what was asked, the one thing that was answered, and whether a permit was right.

Every question is written down before it is decided, and ends as exactly one of permit, refusal or error, so that
``attempts = permits + refusals + errors``. Both are committed to the log as salted digests of the bytes made here. A
permit is checked again afterwards, by who did not give it: :func:`permit_faults` holds it against the records as they
stood in the log right before it. A permit with a fault means that the gate failed open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from consent.canonical import Json, encode, write_instant
from consent.record import ConsentRecord

ATTEMPT_KIND = "gate.attempt"
OUTCOME_KIND = "gate.outcome"
"""Kinds of entries in the log."""

_ATTEMPT_SCHEMA = "mien-attempt-1"
_OUTCOME_SCHEMA = "mien-outcome-1"
_OF_A_REASON = ("code", "face", "media_id", "token")  # boxes hold fractions of pixels and say nothing of why


class OutcomeKind(StrEnum):
    """How a question to the gate ended. ``error``: the gate could not decide, so it refused."""

    PERMIT = "permit"
    REFUSAL = "refusal"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A question to the gate. ``claimed``: consents (pseudonyms), number of tokens, media ids, number of embeddings."""

    attempt_id: str
    at: datetime
    caller: str
    backend: str
    stage: str
    purpose: str
    job_sha256: str
    claimed: Mapping[str, Json]

    def to_json(self) -> dict[str, Json]:
        return {
            "schema_version": _ATTEMPT_SCHEMA,
            "attempt_id": self.attempt_id,
            "at": write_instant(self.at),
            "caller": self.caller,
            "backend": self.backend,
            "stage": self.stage,
            "purpose": self.purpose,
            "job_sha256": self.job_sha256,
            "claimed": dict(self.claimed),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer to one. ``reasons`` as callers see them; empty for a permit."""

    attempt_id: str
    at: datetime
    kind: OutcomeKind
    reasons: Sequence[Mapping[str, Json]]
    permit_id: str | None

    def to_json(self) -> dict[str, Json]:
        return {
            "schema_version": _OUTCOME_SCHEMA,
            "attempt_id": self.attempt_id,
            "at": write_instant(self.at),
            "kind": self.kind.value,
            "reasons": [{name: reason[name] for name in _OF_A_REASON if name in reason} for reason in self.reasons],
            "permit_id": self.permit_id,
        }


def attempt_bytes(attempt: Attempt) -> bytes:
    """What the log commits to."""
    return encode(attempt.to_json())


def outcome_bytes(outcome: Outcome) -> bytes:
    """What the log commits to."""
    return encode(outcome.to_json())


class FailOpen(StrEnum):
    """Why a permit should not exist.

    no_outcome     its question has no answer in the books.
    other_outcome  the answer in the books is no permit, or another one.
    no_consent     it stands on no consent, or on one that was never given.
    not_in_force   a consent under it did not hold when it was given.
    out_of_scope   a consent under it does not cover the purpose or the backend.
    """

    NO_OUTCOME = "no_outcome"
    OTHER_OUTCOME = "other_outcome"
    NO_CONSENT = "no_consent"
    NOT_IN_FORCE = "not_in_force"
    OUT_OF_SCOPE = "out_of_scope"


def permit_faults(
    *,
    permit_id: str,
    backend: str,
    purpose: str,
    asked_at: datetime,
    outcome: Outcome | None,
    records: Iterable[ConsentRecord | None],
    nobody: bool = False,
) -> tuple[FailOpen, ...]:
    """What is wrong with a permit that was given; empty when nothing is.

    asked_at : the moment the gate decided for. records : of the consents under it, each from the events that stood in the
    log before the outcome; ``None`` where there were none. nobody : the attempt was about pictures without anybody in them
    (:func:`was_about_nobody`), and so they still are.
    """
    if outcome is None:
        return (FailOpen.NO_OUTCOME,)
    found: list[FailOpen] = []
    if outcome.kind != OutcomeKind.PERMIT or outcome.permit_id != permit_id:
        found.append(FailOpen.OTHER_OUTCOME)
    under = list(records)
    if (not under and not nobody) or any(record is None for record in under):
        found.append(FailOpen.NO_CONSENT)
    for record in under:
        if record is None:
            continue
        # a record that ends in a withdrawal is over whatever the clocks of two machines said
        if record.revoked is not None or not record.state_at(asked_at).allows_use:
            found.append(FailOpen.NOT_IN_FORCE)
        if purpose not in record.purposes or not record.scope.covers(backend):
            found.append(FailOpen.OUT_OF_SCOPE)
    return tuple(dict.fromkeys(found))


def was_about_nobody(claimed: Mapping[str, object]) -> bool:
    """Whether a question, by what was written down of it, was about pictures alone and presented no token."""
    return claimed.get("only_pictures") is True and bool(claimed.get("media")) and claimed.get("tokens") == 0
