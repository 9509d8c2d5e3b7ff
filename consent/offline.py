"""Does this token hold? Answered with nothing but the token, a status list and the service's public keys.

For backends that check for themselves, and for auditors. It is less than the gate: nothing here looks at faces, at what was
narrowed since, or at how often a consent was used. What it says no to, the gate says no to as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from consent.dpop import CLOCKS_APART
from consent.errors import StatusListInvalid, TokenInvalid
from consent.keys import KeySet
from consent.status_list import Status, read_list
from consent.tokens import ConsentToken, UnverifiedToken, verify


class OfflineCode(StrEnum):
    """Why a token does not hold; the first five are those of :class:`consent.tokens.TokenCode`.

    status_missing   the token names no status, so nobody can know offline.
    status_invalid   the list is not signed by these keys, is another one, or has no such entry.
    status_stale     the list is older than twice its ``ttl``, or from the future: fetch it again.
    revoked          the consent was withdrawn, terminated or invalidated.
    suspended        not now.
    disputed         somebody with standing objects, and that is open.
    """

    BAD_SIGNATURE = "bad_signature"
    WRONG_TYPE = "wrong_type"
    WRONG_AUDIENCE = "wrong_audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    STATUS_MISSING = "status_missing"
    STATUS_INVALID = "status_invalid"
    STATUS_STALE = "status_stale"
    REVOKED = "revoked"
    SUSPENDED = "suspended"
    DISPUTED = "disputed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """Yes, and so until ``until`` at the latest: then the list must be fetched again, or the token is over."""

    token: ConsentToken
    until: datetime


@dataclass(frozen=True, slots=True)
class HoldsNot:
    """No."""

    code: OfflineCode


def check_offline(
    unverified: UnverifiedToken, status_list: str, keys: KeySet, *, audience: str, now: datetime
) -> Holds | HoldsNot:
    """Whether a token holds for this backend now, by a status list that was fetched some time ago. Never raises.

    In the order of the draft's section 8.3: what a token says of itself comes first, the list after.

    1. The token is signed by these keys, for this backend, and in its time.
    2. It names a list and an entry in it.
    3. The list is that one, signed by these keys, and unpacks.
    4. It is not older than twice its ``ttl``, and not from the future.
    5. The entry is there and says valid.
    """
    try:  # 1
        token = verify(unverified, keys, audience=audience, now=now)
    except TokenInvalid as error:
        return HoldsNot(OfflineCode(error.code))
    if token.status is None:  # 2
        return HoldsNot(OfflineCode.STATUS_MISSING)
    try:  # 3
        listed = read_list(status_list, keys, uri=token.status.uri)
        if listed.stale_at(now) or now < listed.issued_at - CLOCKS_APART:  # 4
            return HoldsNot(OfflineCode.STATUS_STALE)
        status = Status(listed.statuses.status_at(token.status.index))  # 5
    except (StatusListInvalid, ValueError):
        return HoldsNot(OfflineCode.STATUS_INVALID)
    match status:
        case Status.VALID:
            return Holds(token=token, until=min(token.expires_at, listed.issued_at + 2 * listed.ttl))
        case Status.REVOKED:
            return HoldsNot(OfflineCode.REVOKED)
        case Status.SUSPENDED:
            return HoldsNot(OfflineCode.SUSPENDED)
        case Status.DISPUTED:
            return HoldsNot(OfflineCode.DISPUTED)
        case _:
            assert_never(status)
