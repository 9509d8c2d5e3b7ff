"""A log in memory, with knobs for whoever holds its database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from consent.keys import KeySet, SigningKey
from consent.ledger import (
    LedgerEntry,
    Receipt,
    StoredCheckpoint,
    VerifiedLog,
    commit,
    leaf_of,
    next_entry,
    verify_log,
)
from consent.merkle import Edge, Node, edge_of, grow, inclusion_proof, leaf_hash
from consent.note import Checkpoint, Note, NoteSignature, sign_note
from consent.record import ConsentRecord, event_bytes, sign_record
from consent.tlog_proof import TlogProof
from tests.consent.given import KEY, NOW, SALT, SECOND

ORIGIN = "log.example/one"


@dataclass
class MemoryLog:
    key: SigningKey = KEY
    entries: list[LedgerEntry] = field(default_factory=list)
    nodes: dict[Node, bytes] = field(default_factory=dict)
    checkpoints: list[StoredCheckpoint] = field(default_factory=list)

    @classmethod
    def of(cls, count: int, *, signed: Sequence[int] = ()) -> MemoryLog:
        """That many entries; checkpoints at these sizes."""
        made = cls()
        for number in range(count + 1):
            if number in signed:
                made.sign()
            if number < count:
                made.append(f"event {number}".encode(), at=NOW + number * SECOND)
        return made

    def append(self, content: bytes, *, kind: str = "consent.granted", at: datetime = NOW) -> LedgerEntry:
        last = self.entries[-1] if self.entries else None
        entry = next_entry(last, kind=kind, digest=commit(content, SALT), at=at)
        self.nodes |= dict(grow(self.edge(), [leaf_hash(leaf_of(entry))])[1])
        self.entries.append(entry)
        return entry

    def edge(self) -> Edge:
        return edge_of(len(self.entries), self.read)

    def read(self, wanted: Sequence[Node]) -> list[bytes]:
        return [self.nodes[node] for node in wanted]

    def sign(self, *cosignatures: NoteSignature) -> str:
        checkpoint = Checkpoint(origin=ORIGIN, size=len(self.entries), root=self.edge().root())
        signatures = (sign_note(checkpoint.text, self.key, name=ORIGIN), *cosignatures)
        note = Note(text=checkpoint.text, signatures=signatures).to_text()
        self.checkpoints.append(StoredCheckpoint(size=checkpoint.size, root=checkpoint.root, note=note))
        return note

    def receipt(self, of: ConsentRecord, *, later: int = 0, note: str | None = None) -> Receipt:
        """Of this record's last event, appended now; under a checkpoint ``later`` entries on."""
        event = of.events[-1]
        entry = self.append(event_bytes(event), kind=event.kind, at=event.at)
        for _ in range(later):
            self.append(b"something else", at=event.at)
        text = self.sign() if note is None else note
        proof = TlogProof(
            index=entry.index, hashes=inclusion_proof(entry.index, len(self.entries), self.read), checkpoint=text
        )
        return Receipt(record=sign_record(of, self.key), salt=SALT, entry=entry, proof=proof)

    def stored(self, level: int, start: int, stop: int) -> dict[int, bytes]:
        found = {number: self.nodes.get(Node(level, number)) for number in range(start, stop)}
        return {number: content for number, content in found.items() if content is not None}

    def verify(self) -> VerifiedLog:
        leaves = sum(node.level == 0 for node in self.nodes)
        return verify_log(
            map(leaf_of, self.entries),
            keys=KeySet.of(KEY),
            checkpoints=self.checkpoints,
            stored=self.stored,
            tree_size=leaves,
        )

    def rewrite(self) -> None:
        """Make the stored tree right again for the entries as they are now: what somebody does who has the database and
        not the key."""
        self.nodes = dict(grow(Edge(), [leaf_hash(leaf_of(entry)) for entry in self.entries])[1])
