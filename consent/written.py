"""Holds what was written down against the log: each entry stands for one thing, and that thing is still what it was.

The tree shows that no entry changed. It does not show that the records which the entries commit to are still there, and the
same: whoever holds the database could take out a withdrawal and leave its entry. So each entry of a kind that we write has
exactly one thing written down for it, with the bytes that its digest was made of.

Two things cannot be held against their entry any more. Where a salt was destroyed with the rest of a person's data, only the
signed record is left to check. And after a restore, entries since the backup stand without what they were for; one entry of
the kind :data:`RESTORED` says which.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from consent.attempts import ATTEMPT_KIND, OUTCOME_KIND
from consent.canonical import encode
from consent.check import CHECK_KIND, check_bytes, read_check
from consent.errors import LedgerBroken, RecordInvalid
from consent.keys import KeySet
from consent.ledger import SALT_BYTES, LedgerEntry, commit
from consent.look_alikes import Choice, choice_bytes, read_choice
from consent.record import Kind, event_bytes, event_from_bytes, read_record

RESTORED = "log.restored"
"""Kind of an entry that says: those right before it came from outside the database, and what they were for is lost."""

_OF_OURS = frozenset({*(kind.value for kind in (*Kind, *Choice)), CHECK_KIND, ATTEMPT_KIND, OUTCOME_KIND})
_NO_SALT = bytes(SALT_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One thing that was written down, and the entry that is to stand for it.

    content : what the log committed to; ``None`` when the row it was in is gone. salt : ``None`` when it was destroyed.
    flaw : what the row says against itself, e.g. a signature that does not hold.
    """

    index: int
    kind: str
    content: bytes | None = field(repr=False)
    salt: bytes | None = field(repr=False)
    flaw: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedWritten:
    """``checked`` things are what their entries commit to; of ``unlinkable`` ones the salt was destroyed; ``lost`` ones did
    not come back with a restore."""

    checked: int
    unlinkable: int
    lost: int


def verify_written(entries: Iterable[LedgerEntry], written: Iterable[Written]) -> VerifiedWritten:
    """Hold each entry against what was written down for it. Both come by rising index. Streams: memory is bounded. What was
    written down for an entry that is not there is for the caller to find.

    For each entry in order:
    1. Nothing is missing, unless a later entry :data:`RESTORED` accounts for it.
    2. It stands for one thing, of its kind, which says nothing against itself.
    3. The thing, with its salt, gives the entry's digest.

    Raises:
        LedgerBroken: at the first entry that is wrong.
    """
    checked = unlinkable = lost = 0
    gap: int | None = None  # the first entry of a run of which nothing is there
    found = _by_index(written)
    here = next(found, None)
    for entry in entries:
        while here is not None and here[0].index < entry.index:  # before the first entry
            here = next(found, None)
        things = here if here is not None and here[0].index == entry.index else []
        if entry.kind == RESTORED and not things:
            if gap is not None and accounts_for(entry, gap):
                lost, gap = lost + entry.index - gap, None
            continue
        if not things:
            gap = entry.index if gap is None and entry.kind in _OF_OURS else gap
            continue
        if gap is not None:  # 1
            raise _missing(gap)
        if len(things) > 1:  # 2
            raise LedgerBroken(entry.index, "more than one thing was written down for it")
        if _holds(entry, things[0]):
            checked += 1
        else:
            unlinkable += 1
    if gap is not None:
        raise _missing(gap)
    return VerifiedWritten(checked=checked, unlinkable=unlinkable, lost=lost)


def _missing(index: int) -> LedgerBroken:
    return LedgerBroken(index, "what it stands for is missing")


def _by_index(written: Iterable[Written]) -> Iterator[list[Written]]:
    same: list[Written] = []
    for one in written:
        if same and one.index != same[0].index:
            yield same
            same = []
        same.append(one)
    if same:
        yield same


def _holds(entry: LedgerEntry, one: Written) -> bool:
    """True when the digest shows it; false when the salt is gone."""
    if one.content is None:
        raise _missing(entry.index)
    if one.flaw is not None:
        raise LedgerBroken(entry.index, f"what it stands for was altered: {one.flaw}")
    if one.kind != entry.kind:
        raise LedgerBroken(entry.index, "what it stands for was altered: it is of another kind")
    if one.salt is None:
        return False
    if len(one.salt) != SALT_BYTES or not hmac.compare_digest(commit(one.content, one.salt), entry.digest):
        raise LedgerBroken(entry.index, "what it stands for was altered: it does not give the entry's digest")
    return True


# --- after a restore -------------------------------------------------------------------------------------------------


def restored_digest(first: int, stop: int) -> str:
    """Of the entry number ``stop`` that accounts for those from ``first`` on. The salt is no secret: nobody is in it."""
    return commit(encode({"first": first, "stop": stop}), _NO_SALT)


def accounts_for(entry: LedgerEntry, gap: int) -> bool:
    """Whether this entry says that those from ``gap`` or earlier, up to itself, lost what they were for. Earlier: when a log
    was restored twice, the first of these entries lies among what the second accounts for."""
    return any(hmac.compare_digest(entry.digest, restored_digest(first, entry.index)) for first in range(gap, -1, -1))


# --- what a row says against itself ----------------------------------------------------------------------------------


def event_flaw(
    *, consent_id: str, number: int, place: int, at: datetime, body: bytes, record: str, keys: KeySet
) -> str | None:
    """What is wrong with the row of a consent event; ``place``: how many events of that consent the log has before it."""
    try:
        event = event_from_bytes(body)
        signed = read_record(record, keys)
    except RecordInvalid as error:
        return str(error)
    if number != place:
        return f"event {number} stands where event {place} should"
    if (event.consent_id, event.number, event.at) != (consent_id, number, at):
        return "the event is filed as another one"
    if signed.consent_id != consent_id or event_bytes(signed.events[-1]) != body:
        return "the signed record is not that of this event"
    return None


def check_flaw(*, session_id: str, subject_id: str, body: bytes, record: str, keys: KeySet) -> str | None:
    """What is wrong with the row of a consent to a check."""
    try:
        signed = read_check(record, keys)
    except RecordInvalid as error:
        return str(error)
    if (signed.session_id, signed.subject_id) != (session_id, subject_id):
        return "the consent to a check is filed under another session"
    if check_bytes(signed) != body:
        return "the signed consent to a check says something else"
    return None


def choice_flaw(*, subject_id: str, kind: str, body: bytes, record: str, keys: KeySet) -> str | None:
    """What is wrong with the row of a choice about look-alikes."""
    try:
        signed = read_choice(record, keys)
    except RecordInvalid as error:
        return str(error)
    if (signed.subject_id, signed.choice) != (subject_id, kind):
        return "the choice about look-alikes is filed as another's, or as another one"
    if choice_bytes(signed) != body:
        return "the signed choice about look-alikes says something else"
    return None
