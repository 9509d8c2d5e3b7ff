"""What a witness does: it signs a log's checkpoint only if the log still has everything that it saw before.

A witness remembers the last checkpoint that it cosigned, of each log, and nothing else (C2SP tlog-witness). Whoever asks a
quorum of witnesses knows that the log shows everybody the same entries: a log that shows two trees finds no witness that has
signed one and will sign the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from consent.errors import NoteInvalid, ProofInvalid
from consent.keys import SigningKey
from consent.merkle import EMPTY_ROOT, verify_consistency
from consent.note import (
    Checkpoint,
    NoteSignature,
    SignatureType,
    Verifier,
    cosign,
    read_checkpoint,
    read_note,
    signed_by,
)


class WitnessCode(StrEnum):
    """Why a witness does not sign. The last three are evidence against the log."""

    BAD_SIGNATURE = "bad_signature"
    WRONG_ORIGIN = "wrong_origin"
    ROLLBACK = "rollback"
    SPLIT_VIEW = "split_view"
    BAD_PROOF = "bad_proof"

    @property
    def meaning(self) -> str:
        """One line for a person."""
        match self:
            case WitnessCode.BAD_SIGNATURE:
                return "the checkpoint is not signed by the keys of this log"
            case WitnessCode.WRONG_ORIGIN:
                return "the checkpoint is that of another log"
            case WitnessCode.ROLLBACK:
                return "the log has fewer entries than it had"
            case WitnessCode.SPLIT_VIEW:
                return "the log has the same number of entries as before, and other ones"
            case WitnessCode.BAD_PROOF:
                return "the log is not shown to still have the entries that it had"
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """``checkpoint`` is what the witness must remember before it hands out ``signature``."""

    checkpoint: Checkpoint
    signature: NoteSignature


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCosigned:
    code: WitnessCode


def witness(
    seen: Checkpoint | None,
    note: str,
    proof: Sequence[bytes],
    *,
    origin: str,
    log: Sequence[Verifier],
    key: SigningKey,
    name: str,
    now: datetime,
) -> Cosigned | NotCosigned:
    """Cosign the checkpoint in ``note``, or say why not.

    1. One of the log's keys signed it, under the log's name.
    2. It has at least as many entries as the last one that was ``seen`` (``None``: this is the first).
    3. With as many entries the root is the same; with more, ``proof`` leads from the one root to the other.
    """
    if any(one.kind is not SignatureType.ED25519 or one.name != origin for one in log):
        raise ValueError("the keys of a log sign under its name")
    try:  # 1
        parsed = read_note(note)
        checkpoint = read_checkpoint(parsed.text)
        if checkpoint.origin != origin:
            return NotCosigned(code=WitnessCode.WRONG_ORIGIN)
        signed_by(parsed, log)
    except NoteInvalid:
        return NotCosigned(code=WitnessCode.BAD_SIGNATURE)
    if seen is not None and seen.origin != origin:
        raise ValueError("what was seen is of another log")
    size, root = (0, EMPTY_ROOT) if seen is None else (seen.size, seen.root)
    if checkpoint.size < size:  # 2
        return NotCosigned(code=WitnessCode.ROLLBACK)
    if checkpoint.size == size and checkpoint.root != root:  # 3
        return NotCosigned(code=WitnessCode.SPLIT_VIEW)
    try:
        verify_consistency(
            first=size, first_root=root, second=checkpoint.size, second_root=checkpoint.root, proof=proof
        )
    except ProofInvalid:
        return NotCosigned(code=WitnessCode.BAD_PROOF)
    return Cosigned(checkpoint=checkpoint, signature=cosign(parsed.text, key, name=name, at=now))
