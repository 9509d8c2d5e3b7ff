"""What a backend owes once a consent it worked under is over: delete what it holds of the person, and say so in time.

    required  ->  confirmed                 within an hour is the aim
    required  ->  overdue  ->  confirmed    48 hours are the limit; from then on the gate refuses the backend
    required  ->  overdue  ->  excused      an admin lifted the block, with a reason; it still has to confirm
    required  ->  retained  ->  lapsed      a vendor that has no call to delete keeps it under its own terms, until it says

Whether a backend is overdue follows from the time alone: no sweep and no message has to come through for it to be refused.
The 48 hours are those of the TAKE IT DOWN Act (removal after notice); the hour is our own aim.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from consent.canonical import Json, Malformed, write_instant
from consent.errors import PurgeInvalid, SignatureInvalid
from consent.keys import KeySet, SigningKey

RECEIPT_TYPE = "purge-receipt+jws"
RECEIPT_SCHEMA = "mien-purge-receipt-1"
TARGET = timedelta(hours=1)
LIMIT = timedelta(hours=48)
MOST_ASSETS = 1_000_000_000
MOST_SIGNATURE_CHARS = 4096
_MAX_RECEIPT_CHARS = 16 * 1024
_CLOCKS_APART = timedelta(minutes=5)  # a backend's clock against ours


class PurgeReason(StrEnum):
    """Why it must delete: the consent ended, its term ran out, or this backend was taken out of it."""

    REVOKED = "revoked"
    EXPIRED = "expired"
    NARROWED = "narrowed"


class PurgeState(StrEnum):
    """Where a demand stands. Only ``overdue`` blocks. ``lapsed``: the time is over for which a vendor says that it keeps it."""

    REQUIRED = "required"
    LATE = "late"
    OVERDUE = "overdue"
    EXCUSED = "excused"
    CONFIRMED = "confirmed"
    RETAINED = "retained"
    LAPSED = "lapsed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """One demand on one backend, for one consent. ``excused_at``: when an admin lifted the block. ``retained_at``: when it was
    found that the vendor does not delete; ``retained_until``: when it will have, by its own word, if it gave one."""

    purge_id: str
    consent_id: str
    backend: str
    reason: PurgeReason
    required_at: datetime
    target_at: datetime
    due_at: datetime
    excused_at: datetime | None = None
    confirmed_at: datetime | None = None
    retained_at: datetime | None = None
    retained_until: datetime | None = None

    def state_at(self, now: datetime) -> PurgeState:
        if self.confirmed_at is not None:
            return PurgeState.CONFIRMED
        if self.retained_at is not None:
            over = self.retained_until is not None and now >= self.retained_until
            return PurgeState.LAPSED if over else PurgeState.RETAINED
        if now < self.target_at:
            return PurgeState.REQUIRED
        if now < self.due_at:
            return PurgeState.LATE
        return PurgeState.OVERDUE if self.excused_at is None else PurgeState.EXCUSED


def demand(*, purge_id: str, consent_id: str, backend: str, reason: PurgeReason, now: datetime) -> Purge:
    """A new demand, its clock running from now."""
    return Purge(
        purge_id=purge_id,
        consent_id=consent_id,
        backend=backend,
        reason=reason,
        required_at=now,
        target_at=now + TARGET,
        due_at=now + LIMIT,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeReceipt:
    """That a backend said it deleted. It proves the statement and when it was made, not the deletion.

    deleted_at : when the backend says it was done. backend_signature : what the backend signed its statement with, as it
    gave it; kept for whoever knows its key, and not checked here.
    """

    purge_id: str
    consent_id: str
    backend: str
    reason: PurgeReason
    required_at: datetime
    confirmed_at: datetime
    deleted_at: datetime
    assets_deleted: int
    backend_signature: str | None = None


def confirm(
    purge: Purge, *, assets_deleted: int, deleted_at: datetime, backend_signature: str | None, now: datetime
) -> PurgeReceipt:
    """What a backend states, held against what was asked of it.

    Raises:
        PurgeInvalid: when it says it deleted before it was asked to, or in the future, or the figures make no sense.
    """
    if not purge.required_at - _CLOCKS_APART <= deleted_at <= now + _CLOCKS_APART:
        raise PurgeInvalid("deletion must lie between the demand and now")
    if not 0 <= assets_deleted <= MOST_ASSETS:
        raise PurgeInvalid("number of assets is out of range")
    if backend_signature is not None and len(backend_signature) > MOST_SIGNATURE_CHARS:
        raise PurgeInvalid(f"a signature has at most {MOST_SIGNATURE_CHARS} characters")
    return PurgeReceipt(
        purge_id=purge.purge_id,
        consent_id=purge.consent_id,
        backend=purge.backend,
        reason=purge.reason,
        required_at=purge.required_at,
        confirmed_at=now,
        deleted_at=deleted_at,
        assets_deleted=assets_deleted,
        backend_signature=backend_signature,
    )


def sign_purge_receipt(receipt: PurgeReceipt, key: SigningKey) -> str:
    """The receipt as a compact JWS."""
    claims: dict[str, Json] = {
        "schema": RECEIPT_SCHEMA,
        "purge_id": receipt.purge_id,
        "consent_id": receipt.consent_id,
        "backend": receipt.backend,
        "reason": receipt.reason,
        "required_at": write_instant(receipt.required_at),
        "confirmed_at": write_instant(receipt.confirmed_at),
        "deleted_at": write_instant(receipt.deleted_at),
        "assets_deleted": receipt.assets_deleted,
    }
    if receipt.backend_signature is not None:
        claims["backend_signature"] = receipt.backend_signature
    return key.sign(claims, typ=RECEIPT_TYPE)


def read_purge_receipt(compact: str, keys: KeySet) -> PurgeReceipt:
    """The receipt in a JWS of ours.

    Raises:
        PurgeInvalid: code ``purge_receipt_invalid``.
    """
    try:
        claims = keys.open(compact, typ=RECEIPT_TYPE, max_chars=_MAX_RECEIPT_CHARS)
        claims.exactly("schema", RECEIPT_SCHEMA)
        receipt = PurgeReceipt(
            purge_id=claims.text("purge_id"),
            consent_id=claims.text("consent_id"),
            backend=claims.text("backend"),
            reason=PurgeReason(claims.text("reason")),
            required_at=claims.instant("required_at"),
            confirmed_at=claims.instant("confirmed_at"),
            deleted_at=claims.instant("deleted_at"),
            assets_deleted=claims.whole("assets_deleted"),
            backend_signature=claims.text("backend_signature") if claims.has("backend_signature") else None,
        )
        claims.end()
    except (SignatureInvalid, Malformed, ValueError) as error:
        raise PurgeInvalid("not a purge receipt signed by us", code="purge_receipt_invalid") from error
    return receipt
