"""A proof of inclusion as one text (C2SP tlog-proof): index, Merkle proof, and the checkpoint with all its signatures."""

from __future__ import annotations

import re
from dataclasses import dataclass

from consent.errors import NoteInvalid, ProofInvalid
from consent.merkle import HASH_BYTES
from consent.note import from_base64, to_base64

TLOG_PROOF = "c2sp.org/tlog-proof@v1"

_MAX_CHARS = 2**21
_MAX_HASHES = 63
_INDEX = re.compile(r"0|[1-9]\d{0,15}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlogProof:
    """Where an entry stands and how its hash leads to the checkpoint's root, sibling of the leaf first. ``extra`` is carried
    along and proves nothing by itself."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    def to_text(self) -> str:
        extra = [] if self.extra is None else [f"extra {to_base64(self.extra)}"]
        lines = [TLOG_PROOF, *extra, f"index {self.index}", *map(to_base64, self.hashes)]
        return "\n".join(lines) + "\n\n" + self.checkpoint


def read_tlog_proof(text: str) -> TlogProof:
    """The proof that :meth:`TlogProof.to_text` or another program wrote; nothing in it is checked yet.

    Raises:
        ProofInvalid: when it is none.
    """
    if len(text) > _MAX_CHARS:
        raise ProofInvalid("larger than any proof")
    head, separator, checkpoint = text.partition("\n\n")
    first, *lines = head.split("\n")
    if first != TLOG_PROOF or not separator or not lines:
        raise ProofInvalid("not a proof")
    try:
        extra = from_base64(lines.pop(0).removeprefix("extra ")) if lines[0].startswith("extra ") else None
        name, _, index = (lines.pop(0) if lines else "").partition(" ")
        hashes = tuple(from_base64(line) for line in lines)
    except NoteInvalid as error:
        raise ProofInvalid("not a proof") from error
    if name != "index" or not _INDEX.fullmatch(index) or len(hashes) > _MAX_HASHES:
        raise ProofInvalid("not a proof")
    if any(len(found) != HASH_BYTES for found in hashes):
        raise ProofInvalid("not a proof")
    return TlogProof(index=int(index), hashes=hashes, checkpoint=checkpoint, extra=extra)
