"""The log: a Merkle tree in which every entry commits to one thing that happened, and holds no personal data.

An entry's ``digest`` is HMAC-SHA256 over the event's bytes, keyed with a salt of the person's own (32 random bytes). Who holds
salt and event can show that this entry is theirs; once the salt is destroyed, the entry says nothing about anyone and every
proof still holds. Entries are the leaves of a tree (:mod:`consent.merkle`) whose root the service signs as a checkpoint
(:mod:`consent.note`): nothing can then be changed, left out or slipped in without a root that contradicts a signed one, and
witnesses see that everybody is shown the same tree.

A :class:`Receipt` is what the person keeps: the signed record, the salt, the entry, and the proof that leads from it to a
checkpoint. It is checked offline, with nothing but the public keys. It has two spellings: JSON, and a C2SP ``.tlog-proof``.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice

from consent.canonical import Json, Malformed, Members, decode, encode, is_sha256, write_instant
from consent.errors import ConsentInvalid, LedgerBroken, NoteInvalid, ProofInvalid, ReceiptInvalid, RecordInvalid
from consent.keys import KeySet, from_base64url, to_base64url
from consent.merkle import Edge, Node, grow, leaf_hash, verify_inclusion
from consent.note import (
    Checkpoint,
    SignatureType,
    Signed,
    Verifier,
    log_verifiers,
    open_checkpoint,
    read_checkpoint,
    read_note,
    signed_by,
)
from consent.record import ConsentEvent, ConsentRecord, event_bytes, read_record
from consent.tlog_proof import TLOG_PROOF, TlogProof, read_tlog_proof

LEDGER = "mien-ledger-2"
"""Name of this format; inside every leaf."""

RECEIPT_SCHEMA = "mien-receipt-2"
SALT_BYTES = 32

_OUTDATED_RECEIPT = "mien-receipt-1"  # of the hash chain that came before the tree
_COMMITMENT = b"mien-ledger-1\0"  # under which digests were made from the beginning: those of then still hold
_MAX_LEAF_BYTES = 1024
_MAX_RECEIPT_BYTES = 2**21
_KIND = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_AT_ONCE = 4096  # leaves; bounds what verification holds in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One leaf.

    kind : what sort of thing happened, e.g. ``consent.granted``; no names, no ids.
    digest : salted commitment in lower-case hex, see :func:`commit`.
    """

    index: int
    at: datetime
    kind: str
    digest: str


def commit(content: bytes, salt: bytes) -> str:
    """HMAC-SHA256 of the format's name and ``content`` under ``salt``, in hex.

    Raises:
        ConsentInvalid: code ``salt_invalid``, when the salt has not :data:`SALT_BYTES` bytes.
    """
    if len(salt) != SALT_BYTES:
        raise ConsentInvalid(f"a salt has {SALT_BYTES} bytes, got {len(salt)}", code="salt_invalid")
    return hmac.new(salt, _COMMITMENT + content, hashlib.sha256).hexdigest()


def next_entry(last: LedgerEntry | None, *, kind: str, digest: str, at: datetime) -> LedgerEntry:
    """The entry after ``last`` (``None``: the first). Its time is never before that of ``last``, even if a clock was set
    back: appending must not fail for that.

    Raises:
        ConsentInvalid: code ``entry_invalid``, for a digest that is no SHA-256 or a kind of another form.
    """
    if not is_sha256(digest) or not _KIND.fullmatch(kind):
        raise ConsentInvalid("an entry has a kind and a SHA-256 in hex", code="entry_invalid")
    if last is None:
        return LedgerEntry(index=0, at=at, kind=kind, digest=digest)
    return LedgerEntry(index=last.index + 1, at=max(at, last.at), kind=kind, digest=digest)


def leaf_of(entry: LedgerEntry) -> bytes:
    """The bytes that stand in the tree for this entry."""
    return encode(entry_json(entry))


def read_leaf(content: bytes) -> LedgerEntry:
    """The entry that these bytes are the leaf of.

    Raises:
        Malformed: when they are none, or not in the one spelling of it.
    """
    if len(content) > _MAX_LEAF_BYTES:
        raise Malformed("larger than any entry")
    return entry_from(decode(content))


def entry_json(entry: LedgerEntry) -> dict[str, Json]:
    """An entry as it is shown; in canonical form these are the leaf's bytes."""
    return {
        "at": write_instant(entry.at),
        "digest": entry.digest,
        "index": entry.index,
        "kind": entry.kind,
        "ledger": LEDGER,
    }


def entry_from(members: Members) -> LedgerEntry:
    """The entry that :func:`entry_json` wrote. Raises :class:`consent.canonical.Malformed`."""
    members.exactly("ledger", LEDGER)
    entry = LedgerEntry(
        index=members.whole("index"),
        at=members.instant("at"),
        kind=members.text("kind"),
        digest=members.sha256("digest"),
    )
    members.end()
    if entry.index < 0 or not _KIND.fullmatch(entry.kind):
        raise Malformed("not an entry")
    return entry


# --- the whole log ---------------------------------------------------------------------------------------------------

StoredNodes = Callable[[int, int, int], Mapping[int, bytes] | None]
"""``(level, start, stop)`` to the hashes stored for those nodes; ``None`` for a level that is not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheckpoint:
    """A checkpoint as it was kept: what it is filed under, and the signed note."""

    size: int
    root: bytes
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLog:
    """``size`` entries with this root; ``signed_size`` of them stand under a checkpoint."""

    size: int
    root: bytes
    signed_size: int
    checkpoints: int


def verify_log(
    leaves: Iterable[bytes],
    *,
    keys: KeySet,
    origin: str | None = None,
    checkpoints: Iterable[StoredCheckpoint] = (),
    stored: StoredNodes = lambda _level, _start, _stop: None,
    tree_size: int = 0,
) -> VerifiedLog:
    """Recompute the tree from its leaves and hold everything that is kept against it. Streams: memory is bounded.

    For each leaf in order:
    1. It is an entry, in its one spelling, with the next index, and its time does not go back.
    2. Every subtree that it completes has the hash that is stored for it, as far as the tree reaches (``tree_size``).
    3. A checkpoint of that size is signed by one of ``keys`` under the log's name and has that root.
    And at the end: 4. nothing stored or signed goes beyond the last leaf.

    ``checkpoints`` come by rising size. ``origin``: the log's name; ``None``: whatever the first checkpoint says.

    Raises:
        LedgerBroken: at the first entry that is wrong.
    """
    edge, last = Edge(), None
    signed = _Checkpoints(iter(checkpoints), keys, origin)
    stream = iter(leaves)
    while chunk := list(islice(stream, _AT_ONCE)):
        start, made, broken = edge.size, [], None
        for leaf in chunk:
            try:
                last = _next_leaf(leaf, edge.size, last)  # 1
                edge, nodes = grow(edge, [leaf_hash(leaf)])
                made += nodes
                signed.check(edge)  # 3
            except LedgerBroken as error:
                broken = error
                break
        _check_nodes(made, start, edge.size, stored, tree_size)  # 2, first: it knows best which entry it is
        if broken is not None:
            raise broken
    signed.check_end(edge)  # 4
    if tree_size > edge.size:
        raise LedgerBroken(edge.size, f"missing; the tree has {tree_size} entries")
    return VerifiedLog(size=edge.size, root=edge.root(), signed_size=signed.size, checkpoints=signed.count)


def _next_leaf(leaf: bytes, index: int, last: LedgerEntry | None) -> LedgerEntry:
    try:
        entry = read_leaf(leaf)
    except Malformed as error:
        raise LedgerBroken(index, "is not an entry") from error
    if entry.index != index:
        raise LedgerBroken(index, f"missing; {entry.index} stands in its place")
    if last is not None and entry.at < last.at:
        raise LedgerBroken(index, "is earlier than the entry before")
    return entry


def _check_nodes(
    made: Sequence[tuple[Node, bytes]], start: int, stop: int, stored: StoredNodes, tree_size: int
) -> None:
    kept = {level: stored(level, start >> level, stop >> level) for level in range(stop.bit_length())}
    computed = dict(made)

    def agrees(node: Node) -> bool | None:
        """``None``: nothing is stored for it, and nothing should be."""
        there = kept.get(node.level)
        if there is None or node not in computed or (node.number + 1) << node.level > tree_size:
            return None
        return there.get(node.number) == computed[node]

    for node, _ in made:
        if agrees(node) is not False:
            continue
        if node.level == 0 and not agrees(Node(1, node.number >> 1)):
            raise LedgerBroken(node.number, "was altered: it has not the hash that the tree has for it")
        raise LedgerBroken(node.first_leaf, f"the hash stored for node {node.number} of level {node.level} was altered")


class _Checkpoints:
    """Holds the checkpoints against a tree that grows leaf by leaf."""

    def __init__(self, checkpoints: Iterator[StoredCheckpoint], keys: KeySet, origin: str | None) -> None:
        self._left, self._keys, self._origin = checkpoints, keys, origin
        self._next = next(self._left, None)
        self.size, self.count = 0, 0
        self._skip_empty()

    def _skip_empty(self) -> None:
        if self._next is not None and self._next.size == 0:
            self.check(Edge())

    def check(self, edge: Edge) -> None:
        while self._next is not None and self._next.size == edge.size:
            self._one(self._next, edge)
            self._next = next(self._left, None)

    def check_end(self, edge: Edge) -> None:
        if self._next is not None:
            raise LedgerBroken(edge.size, f"missing; a checkpoint of {self._next.size} entries is there")

    def _one(self, kept: StoredCheckpoint, edge: Edge) -> None:
        place = max(0, kept.size - 1)
        try:
            found = read_checkpoint(read_note(kept.note).text)
            self._origin = self._origin or found.origin
            open_checkpoint(kept.note, log_verifiers(self._keys, origin=self._origin))
        except (NoteInvalid, ValueError) as error:
            raise LedgerBroken(place, f"the checkpoint of {kept.size} entries is not signed by this log") from error
        if (found.origin, found.size, found.root) != (self._origin, kept.size, kept.root):
            raise LedgerBroken(
                place, f"the checkpoint of {kept.size} entries says something else than it is filed under"
            )
        if found.root != edge.root():
            raise LedgerBroken(
                self.size, f"or a later one was altered: {kept.size} entries have not the root that was signed"
            )
        self.size, self.count = kept.size, self.count + 1


# --- receipts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the person keeps.

    record : the signed record (JWS) right after the event. salt : theirs; who has it can recognise their entries.
    entry : the event's entry. proof : that it is in the tree of a signed checkpoint.
    """

    record: str = field(repr=False)
    salt: bytes = field(repr=False)
    entry: LedgerEntry
    proof: TlogProof

    def to_json(self) -> str:
        return encode(
            {
                "schema_version": RECEIPT_SCHEMA,
                "record": self.record,
                "salt": to_base64url(self.salt),
                "leaf": entry_json(self.entry),
                "proof": self.proof.to_text(),
            }
        ).decode("utf-8")

    def to_tlog_proof(self) -> str:
        """The same as one ``.tlog-proof``: what is not part of that format goes into its ``extra`` line."""
        extra: dict[str, Json] = {
            "schema_version": RECEIPT_SCHEMA,
            "record": self.record,
            "salt": to_base64url(self.salt),
            "leaf": entry_json(self.entry),
        }
        return replace(self.proof, extra=encode(extra)).to_text()


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessPolicy:
    """``quorum`` of these witnesses must have cosigned."""

    witnesses: tuple[Verifier, ...]
    quorum: int

    def __post_init__(self) -> None:
        if any(witness.kind is not SignatureType.COSIGNATURE for witness in self.witnesses):
            raise ValueError("a witness signs with time")
        if len({witness.public for witness in self.witnesses}) != len(self.witnesses):
            raise ValueError("a witness is there twice")
        if not 1 <= self.quorum <= len(self.witnesses):  # nobody is no quorum
            raise ValueError("a quorum is at least one, and at most all")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedReceipt:
    """What a receipt proves: this event, which made the consent what ``record`` says, is entry number ``entry.index`` of the
    log. ``witnesses``: those of the policy that cosigned, with their times."""

    record: ConsentRecord
    event: ConsentEvent
    entry: LedgerEntry
    checkpoint: Checkpoint
    witnesses: tuple[Signed, ...]


def verify_receipt(
    receipt: str | bytes, keys: KeySet, *, origin: str | None = None, policy: WitnessPolicy | None = None
) -> VerifiedReceipt:
    """Check a receipt with nothing but the service's public keys.

    1. It has the shape of a receipt, as JSON (spacing and order of members are free: people reformat files) or .tlog-proof.
    2. The record in it is signed and sound.
    3. The salt turns the record's last event into the entry's digest, and the entry is of that event's kind.
    4. The checkpoint is signed, by the log called ``origin`` if one is named.
    5. As many witnesses as ``policy`` wants have cosigned it.
    6. The proof leads from the entry to the checkpoint's root.

    Raises:
        ReceiptInvalid: when any of it does not hold.
    """
    found = _receipt(receipt)  # 1
    try:
        record = read_record(found.record, keys)  # 2
    except RecordInvalid as error:
        raise ReceiptInvalid("its record does not hold") from error
    event = record.events[-1]
    try:  # 3
        digest = commit(event_bytes(event), found.salt)
    except ConsentInvalid as error:
        raise ReceiptInvalid("its salt has another length") from error
    if not hmac.compare_digest(digest, found.entry.digest) or found.entry.kind != event.kind:
        raise ReceiptInvalid("its entry is for something else than its record")
    try:  # 4
        note = read_note(found.proof.checkpoint)
        checkpoint = read_checkpoint(note.text)
        signed_by(note, log_verifiers(keys, origin=checkpoint.origin))
    except NoteInvalid as error:
        raise ReceiptInvalid("its checkpoint is not signed by these keys") from error
    if origin is not None and checkpoint.origin != origin:
        raise ReceiptInvalid("its checkpoint is that of another log")
    witnesses: tuple[Signed, ...] = ()
    if policy is not None:  # 5
        try:
            witnesses = signed_by(note, policy.witnesses)
        except NoteInvalid as error:
            raise ReceiptInvalid("no witness that counts has cosigned", code="not_witnessed") from error
        if len(witnesses) < policy.quorum:
            raise ReceiptInvalid(f"{len(witnesses)} of {policy.quorum} witnesses have cosigned", code="not_witnessed")
    try:  # 6
        if found.proof.index != found.entry.index:
            raise ProofInvalid("a proof for another entry")
        verify_inclusion(
            index=found.entry.index,
            size=checkpoint.size,
            leaf=leaf_hash(leaf_of(found.entry)),
            proof=found.proof.hashes,
            root=checkpoint.root,
        )
    except ProofInvalid as error:
        raise ReceiptInvalid("its entry is not in the tree of its checkpoint") from error
    return VerifiedReceipt(record=record, event=event, entry=found.entry, checkpoint=checkpoint, witnesses=witnesses)


def _receipt(receipt: str | bytes) -> Receipt:
    content = receipt.encode("utf-8", "replace") if isinstance(receipt, str) else receipt
    if len(content) > _MAX_RECEIPT_BYTES:
        raise ReceiptInvalid("larger than any receipt")
    try:
        if content.startswith(TLOG_PROOF.encode()):
            proof = read_tlog_proof(content.decode("utf-8"))
            members = decode(proof.extra or b"")
        else:
            members = decode(content, any_spelling=True)
            if members.has("path") and members.text("schema_version") == _OUTDATED_RECEIPT:
                raise ReceiptInvalid(
                    "made before the log was a tree: ask the service for a new one", code="receipt_outdated"
                )
            proof = read_tlog_proof(members.text("proof"))
        members.exactly("schema_version", RECEIPT_SCHEMA)
        found = Receipt(
            record=members.text("record"),
            salt=from_base64url(members.text("salt")),
            entry=entry_from(members.members("leaf")),
            proof=proof,
        )
        members.end()
    except (Malformed, ProofInvalid, UnicodeDecodeError) as error:
        raise ReceiptInvalid("not a receipt") from error
    return found
