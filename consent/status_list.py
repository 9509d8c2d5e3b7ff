"""What became of consents, as one compressed list that anyone may read: draft-ietf-oauth-status-list-20.

A token names a list and an index in it. Whoever holds the token can look the index up without asking us about that token, and
so without telling us when and where it is used. Two bits an entry; whoever does not hold a token learns nothing from an index.

Indexes are drawn at random and never in order. Some entries belong to nobody (decoys): a list begins with some, and each
change is accompanied by a few that do the same, so that neither what stands in a list nor a change of it tells how many
consents there are or were withdrawn, or which entry moved.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum

from consent.canonical import Json, Malformed, to_seconds, whole_second
from consent.errors import ConsentInvalid, SignatureInvalid, StatusListInvalid
from consent.keys import KeySet, SigningKey, from_base64url, to_base64url

STATUS_LIST_TYPE = "statuslist+jwt"
MEDIA_TYPE = f"application/{STATUS_LIST_TYPE}"
BITS = 2
LIST_SIZE = 2**20
"""Entries of a list of ours. A large one hides each of its entries among more of them, at about 16 kB for 1 % revoked."""

MOST_USED = LIST_SIZE // 2
"""Entries that may be taken before the next list is begun: half of it free, an index is found at the second try."""

TTL = timedelta(seconds=60)  # goal: a withdrawal reaches who checks offline within it
STALE_AFTER = 2 * TTL  # design: one fetch may fail; a list older than this is no answer

_MAX_CHARS = 2**20  # of a signed list: the list above with every entry at random has 470,000
_MAX_BYTES = 2**20  # uncompressed: 4 million entries of 2 bits
_MAX_URI_CHARS = 2048
_SIZES = (1, 2, 4, 8)

Draw = Callable[[int], int]
"""A whole number from 0 to below the given one, each as likely: :func:`secrets.randbelow`, or a seeded one in tests."""


class Status(IntEnum):
    """State of an entry. 0 to 2 are those of the draft, section 7.1; 3 is its first application-specific one.

    valid      the consent stands; whether it covers a use is another question.
    revoked    over, for good.
    suspended  not now.
    disputed   somebody with standing says it should not be; not while that is open.
    """

    VALID = 0
    REVOKED = 1
    SUSPENDED = 2
    DISPUTED = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRef:
    """Where a token's status stands: ``status.status_list`` of the draft, section 6.2."""

    uri: str
    index: int

    def __post_init__(self) -> None:
        if not 0 < len(self.uri) <= _MAX_URI_CHARS or not 0 <= self.index < 8 * _MAX_BYTES:
            raise ConsentInvalid("a status has an address and an index", code="status_invalid")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusList:
    """Entries of ``bits`` each, packed from the least significant bit of the first byte on (draft, section 4.1)."""

    bits: int
    packed: bytes = field(repr=False)

    @classmethod
    def of(cls, states: Mapping[int, int], *, size: int = LIST_SIZE, bits: int = BITS) -> StatusList:
        """A list of ``size`` entries; those not named are 0.

        Raises:
            StatusListInvalid: for an index or a state that does not fit.
        """
        if bits not in _SIZES or not 0 < size * bits <= 8 * _MAX_BYTES:
            raise StatusListInvalid(f"a list has entries of 1, 2, 4 or 8 bits and at most {_MAX_BYTES} bytes")
        packed = bytearray(-(-size * bits // 8))
        for index, state in states.items():
            if not 0 <= index < size or not 0 <= state < 1 << bits:
                raise StatusListInvalid("an index or a state does not fit the list")
            at = index * bits
            packed[at >> 3] |= state << (at & 7)
        return cls(bits=bits, packed=bytes(packed))

    @property
    def size(self) -> int:
        """Entries, with those that fill the last byte."""
        return len(self.packed) * 8 // self.bits

    def status_at(self, index: int) -> int:
        """The state of an entry.

        Raises:
            StatusListInvalid: when the list is not that long.
        """
        if not 0 <= index < self.size:
            raise StatusListInvalid(f"the list has {self.size} entries")
        at = index * self.bits
        return self.packed[at >> 3] >> (at & 7) & ((1 << self.bits) - 1)

    def to_lst(self) -> str:
        """``lst``: compressed with DEFLATE at its best in the ZLIB format, as base64url."""
        return to_base64url(zlib.compress(self.packed, level=9))

    @classmethod
    def from_lst(cls, lst: str, *, bits: int) -> StatusList:
        """The list that is compressed so.

        Raises:
            StatusListInvalid: for anything else, and for more than a list may have, before it is unpacked in memory.
        """
        if bits not in _SIZES:
            raise StatusListInvalid("entries have 1, 2, 4 or 8 bits")
        unpacker = zlib.decompressobj()
        try:
            packed = unpacker.decompress(from_base64url(lst), _MAX_BYTES + 1)
        except (Malformed, zlib.error) as error:
            raise StatusListInvalid("not a compressed list") from error
        if len(packed) > _MAX_BYTES:
            raise StatusListInvalid(f"larger than {_MAX_BYTES} bytes")
        if not unpacker.eof or unpacker.unused_data or not packed:
            raise StatusListInvalid("cut off, empty, or followed by something else")
        return cls(bits=bits, packed=packed)


# --- signed ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedStatusList:
    """A list as its issuer signed it: so it stood at ``issued_at``, and so it may be taken to stand for ``ttl``."""

    uri: str
    statuses: StatusList
    issued_at: datetime
    expires_at: datetime
    ttl: timedelta

    def stale_at(self, now: datetime) -> bool:
        """Older than twice its ``ttl``, or past its own end: no answer any more."""
        return now >= min(self.expires_at, self.issued_at + 2 * self.ttl)


def sign_list(statuses: StatusList, *, uri: str, at: datetime, key: SigningKey, until: datetime | None = None) -> str:
    """The list as it stands at ``at``, as a JWT (draft, section 5.1) for those who read it at ``uri``. ``until``: of one that
    stood so in the past, when it no longer did (draft, section 8.4)."""
    issued_s = to_seconds(at)
    expires_s = to_seconds(at + STALE_AFTER if until is None else until)
    claims: dict[str, Json] = {
        "sub": uri,
        "iat": issued_s,
        "exp": max(expires_s, issued_s + 1),
        "ttl": TTL // timedelta(seconds=1),
        "status_list": {"bits": statuses.bits, "lst": statuses.to_lst()},
    }
    return key.sign(claims, typ=STATUS_LIST_TYPE)


def read_list(compact: str, keys: KeySet, *, uri: str) -> SignedStatusList:
    """The list in a JWT that one of these keys signed for ``uri``. How old it is, is for the reader to judge.

    1. Signature, type and form; 2. the claims; 3. it is the list of that address; 4. it unpacks within bounds.

    Raises:
        StatusListInvalid: when any of it does not hold.
    """
    try:
        claims = keys.open(compact, typ=STATUS_LIST_TYPE, max_chars=_MAX_CHARS)  # 1
        found, issued_at, expires_at = claims.text("sub"), claims.seconds("iat"), claims.seconds("exp")  # 2
        ttl_s, listed = claims.whole("ttl"), claims.members("status_list")
        bits, lst = listed.whole("bits"), listed.text("lst")
        listed.end()
        claims.end()
    except (SignatureInvalid, Malformed) as error:
        raise StatusListInvalid("not a status list signed by these keys") from error
    if found != uri:  # 3
        raise StatusListInvalid("the list of another address")
    if not 0 < ttl_s <= _LONGEST_TTL_S or expires_at <= issued_at:
        raise StatusListInvalid("its times contradict each other")
    return SignedStatusList(
        uri=found,
        statuses=StatusList.from_lst(lst, bits=bits),  # 4
        issued_at=whole_second(issued_at),
        expires_at=expires_at,
        ttl=timedelta(seconds=ttl_s),
    )


_LONGEST_TTL_S = 86_400


# --- who stands where ------------------------------------------------------------------------------------------------


def free_index(*, size: int, taken: Callable[[int], bool], draw: Draw) -> int:
    """An index that is not taken, each as likely as the other: nothing about when or after how many it was drawn.

    Raises:
        ConsentInvalid: code ``status_list_full``, when so many are taken that none is found.
    """
    for _ in range(_MOST_DRAWS):
        index = draw(size)
        if not taken(index):
            return index
    raise ConsentInvalid("no free entry was found; begin another list", code="status_list_full")


_MOST_DRAWS = 128  # with half of the list free, all of them taken: once in 2^128


def first_decoys(*, size: int, draw: Draw) -> dict[int, Status]:
    """Entries that a new list begins with and that nobody will ever hold: 32 to 255 of them, nine in ten revoked."""
    found: dict[int, Status] = {}
    for _ in range(32 + draw(224)):
        which = draw(20)
        found[draw(size)] = Status.SUSPENDED if which == 0 else Status.DISPUTED if which == 1 else Status.REVOKED
    return found


def companions(*, draw: Draw) -> int:
    """How many decoys do what an entry does, at the same moment: none to three."""
    return draw(4)
