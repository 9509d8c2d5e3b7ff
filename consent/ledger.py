"""A hash chain in which every entry commits to one thing that happened, and holds no personal data.

An entry's ``digest`` is HMAC-SHA256 over the event's bytes, keyed with a salt of the person's own (32 random bytes). Who holds
salt and event can show that this entry is theirs; once the salt is destroyed, the entry says nothing about anyone and the
chain still verifies. Each entry names the hash of the one before, so that nothing can be changed, left out or slipped in
without every later hash changing; a signed head fixes the chain up to there.

A :class:`Receipt` is what the person keeps: the signed record, the salt, the entry, and a signed head that the entry leads
to. It is checked offline, with nothing but the public keys. It shows that the entry was in the chain when the head was
signed; that the operator shows everybody the same chain is for a transparency log with witnesses to show.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from consent.canonical import Json, Malformed, Members, decode, encode, is_sha256, sha256_hex, write_instant
from consent.errors import ConsentInvalid, LedgerBroken, ReceiptInvalid, RecordInvalid, SignatureInvalid
from consent.keys import KeySet, SigningKey, from_base64url, to_base64url
from consent.record import ConsentEvent, ConsentRecord, event_bytes, read_record

LEDGER = "mien-ledger-1"
"""Name of this format; inside everything that is hashed or signed here."""

HEAD_TYPE = "ledger-head+jws"
RECEIPT_SCHEMA = "mien-receipt-1"
BEFORE_THE_FIRST = "0" * 64
"""``previous`` of entry 0, and the hash of an empty chain."""

SALT_BYTES = 32

_MAX_HEAD_CHARS = 4096
_MAX_RECEIPT_BYTES = 2**21
_MAX_PATH = 1000
_KIND = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One link. All hashes are lower-case hex SHA-256.

    kind : what sort of thing happened, e.g. ``consent.granted``; no names, no ids.
    digest : salted commitment, see :func:`commit`.
    previous : ``entry_hash`` of the entry before. entry_hash : over all the other fields.
    """

    index: int
    at: datetime
    kind: str
    digest: str
    previous: str
    entry_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The state of the chain after ``size`` entries; ``entry_hash`` is that of the last one."""

    size: int
    entry_hash: str

    @classmethod
    def of(cls, entry: LedgerEntry) -> Head:
        return cls(size=entry.index + 1, entry_hash=entry.entry_hash)


EMPTY = Head(size=0, entry_hash=BEFORE_THE_FIRST)


def commit(content: bytes, salt: bytes) -> str:
    """HMAC-SHA256 of the format's name and ``content`` under ``salt``, in hex.

    Raises:
        ConsentInvalid: code ``salt_invalid``, when the salt has not :data:`SALT_BYTES` bytes.
    """
    if len(salt) != SALT_BYTES:
        raise ConsentInvalid(f"a salt has {SALT_BYTES} bytes, got {len(salt)}", code="salt_invalid")
    return hmac.new(salt, LEDGER.encode() + b"\0" + content, hashlib.sha256).hexdigest()


def next_entry(last: LedgerEntry | None, *, kind: str, digest: str, at: datetime) -> LedgerEntry:
    """The entry after ``last`` (``None``: the first). Its time is never before that of ``last``, even if a clock was set
    back: appending must not fail for that.

    Raises:
        ConsentInvalid: code ``entry_invalid``, for a digest that is no SHA-256 or a kind of another form.
    """
    if not is_sha256(digest) or not _KIND.fullmatch(kind):
        raise ConsentInvalid("an entry has a kind and a SHA-256 in hex", code="entry_invalid")
    index, previous = (0, BEFORE_THE_FIRST) if last is None else (last.index + 1, last.entry_hash)
    when = at if last is None else max(at, last.at)
    return LedgerEntry(
        index=index,
        at=when,
        kind=kind,
        digest=digest,
        previous=previous,
        entry_hash=_hash(index, when, kind, digest, previous),
    )


def _hash(index: int, at: datetime, kind: str, digest: str, previous: str) -> str:
    return sha256_hex(
        encode(
            {
                "at": write_instant(at),
                "digest": digest,
                "index": index,
                "kind": kind,
                "ledger": LEDGER,
                "previous": previous,
            }
        )
    )


def verify_chain(entries: Iterable[LedgerEntry], *, after: Head = EMPTY) -> Head:
    """The head that these entries lead to from ``after``, each checked once, so that a chain of any length can be streamed.

    For each entry: 1. its index is the next one; 2. it names the hash before it; 3. its own hash is right; 4. its time
    does not go back.

    Raises:
        LedgerBroken: at the first entry that is wrong.
    """
    head, last_at = after, None
    for entry in entries:
        if entry.index != head.size:  # 1
            raise LedgerBroken(head.size, f"missing; {entry.index} stands in its place")
        if entry.previous != head.entry_hash:  # 2
            raise LedgerBroken(entry.index, "does not follow from the entry before")
        try:
            right = _hash(entry.index, entry.at, entry.kind, entry.digest, entry.previous)
        except ValueError as error:
            raise LedgerBroken(entry.index, "cannot be hashed") from error
        if entry.entry_hash != right:  # 3
            raise LedgerBroken(entry.index, "was altered")
        if last_at is not None and entry.at < last_at:  # 4
            raise LedgerBroken(entry.index, "is earlier than the entry before")
        head, last_at = Head.of(entry), entry.at
    return head


def sign_head(head: Head, key: SigningKey, *, at: datetime) -> str:
    """The service's word, as a compact JWS, that the chain stood so at that time. Never sign two heads that do not
    follow from each other."""
    return key.sign(
        {"ledger": LEDGER, "size": head.size, "entry_hash": head.entry_hash, "at": write_instant(at)}, typ=HEAD_TYPE
    )


def verify_head(compact: str, keys: KeySet) -> Head:
    """The head that one of these keys signed.

    Raises:
        SignatureInvalid: when none did, or it is another kind of thing.
    """
    members = keys.open(compact, typ=HEAD_TYPE, max_chars=_MAX_HEAD_CHARS)
    try:
        members.exactly("ledger", LEDGER)
        members.instant("at")
        head = Head(size=members.whole("size"), entry_hash=members.sha256("entry_hash"))
        members.end()
    except Malformed as error:
        raise SignatureInvalid("not a ledger head", code="wrong_type") from error
    return head


# --- receipts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the person keeps.

    record : the signed record (JWS) right after the event. salt : theirs; who has it can recognise their entries.
    entry : the event's entry. path : the entries after it up to the head; empty when the head is at the entry.
    head : signed (JWS).
    """

    record: str = field(repr=False)
    salt: bytes = field(repr=False)
    entry: LedgerEntry
    path: tuple[LedgerEntry, ...]
    head: str

    def to_json(self) -> str:
        return encode(
            {
                "schema_version": RECEIPT_SCHEMA,
                "record": self.record,
                "salt": to_base64url(self.salt),
                "entry": entry_json(self.entry),
                "path": [entry_json(entry) for entry in self.path],
                "head": self.head,
            }
        ).decode("utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedReceipt:
    """What a receipt proves: this event, which made the consent what ``record`` says, is entry number ``entry.index``."""

    record: ConsentRecord
    event: ConsentEvent
    entry: LedgerEntry
    head: Head


def make_receipt(
    *, record: str, salt: bytes, entry: LedgerEntry, head: str, path: Sequence[LedgerEntry] = ()
) -> Receipt:
    """Put a receipt together. ``verify_receipt(receipt.to_json(), keys)`` tells whether it proves anything."""
    return Receipt(record=record, salt=salt, entry=entry, path=tuple(path), head=head)


def verify_receipt(receipt_json: str | bytes, keys: KeySet) -> VerifiedReceipt:
    """Check a receipt with nothing but the service's public keys.

    1. It has the shape of a receipt (spacing and order of members are free: people reformat files).
    2. The record in it is signed and sound.
    3. The salt turns the record's last event into the entry's digest, and the entry is of that event's kind.
    4. The entry's own hash is right, and the path leads from it to the head.
    5. The head is signed.

    Raises:
        ReceiptInvalid: when any of it does not hold.
    """
    receipt = _receipt(receipt_json)  # 1
    try:
        record = read_record(receipt.record, keys)  # 2
    except RecordInvalid as error:
        raise ReceiptInvalid("its record does not hold") from error
    event = record.events[-1]
    try:  # 3
        digest = commit(event_bytes(event), receipt.salt)
    except ConsentInvalid as error:
        raise ReceiptInvalid("its salt has another length") from error
    if not hmac.compare_digest(digest, receipt.entry.digest) or receipt.entry.kind != event.kind:
        raise ReceiptInvalid("its entry is for something else than its record")
    before = Head(size=receipt.entry.index, entry_hash=receipt.entry.previous)
    try:  # 4
        reached = verify_chain((receipt.entry, *receipt.path), after=before)
    except LedgerBroken as error:
        raise ReceiptInvalid("its entries do not follow from each other") from error
    try:  # 5
        head = verify_head(receipt.head, keys)
    except SignatureInvalid as error:
        raise ReceiptInvalid("its head is not signed by these keys") from error
    if head != reached:
        raise ReceiptInvalid("its entries do not lead to its head")
    return VerifiedReceipt(record=record, event=event, entry=receipt.entry, head=head)


def _receipt(receipt_json: str | bytes) -> Receipt:
    content = receipt_json.encode("utf-8", "replace") if isinstance(receipt_json, str) else receipt_json
    if len(content) > _MAX_RECEIPT_BYTES:
        raise ReceiptInvalid("larger than any receipt")
    try:
        members = decode(content, any_spelling=True)
        members.exactly("schema_version", RECEIPT_SCHEMA)
        path = members.items("path")
        if len(path) > _MAX_PATH:
            raise Malformed("path is too long")
        receipt = Receipt(
            record=members.text("record"),
            salt=from_base64url(members.text("salt")),
            entry=entry_from(members.members("entry")),
            path=tuple(entry_from(Members(item)) for item in path),
            head=members.text("head"),
        )
        members.end()
    except Malformed as error:
        raise ReceiptInvalid("not a receipt") from error
    return receipt


def entry_json(entry: LedgerEntry) -> dict[str, Json]:
    """An entry as it is shown in receipts and listings."""
    return {
        "index": entry.index,
        "at": write_instant(entry.at),
        "kind": entry.kind,
        "digest": entry.digest,
        "previous": entry.previous,
        "entry_hash": entry.entry_hash,
    }


def entry_from(members: Members) -> LedgerEntry:
    """The entry that :func:`entry_json` wrote. Raises :class:`consent.canonical.Malformed`."""
    entry = LedgerEntry(
        index=members.whole("index"),
        at=members.instant("at"),
        kind=members.text("kind"),
        digest=members.sha256("digest"),
        previous=members.sha256("previous"),
        entry_hash=members.sha256("entry_hash"),
    )
    members.end()
    return entry
