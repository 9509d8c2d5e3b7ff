"""An evidence pack: all that is needed to check one consent and the questions asked under it, offline, in one file.

It holds the signed record, the salt, a proof from the log for every event, the words agreed to, the checks of the live
check (values and limits, no picture and no template), the questions to the gate with their answers and proofs, and the
service's public keys. The whole is signed, in one spelling: no byte of it can change unnoticed. The keys inside are for
convenience; who checks it brings keys of their own.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from consent.attempts import ATTEMPT_KIND, OUTCOME_KIND, Attempt, Outcome
from consent.canonical import Json, Malformed, Members, decode, encode, sha256_hex, write_instant
from consent.errors import (
    ConsentInvalid,
    EvidenceInvalid,
    KeysUnusable,
    NoteInvalid,
    ProofInvalid,
    RecordInvalid,
    SignatureInvalid,
)
from consent.keys import KeySet, SigningKey, from_base64url, to_base64url
from consent.ledger import LedgerEntry, commit, entry_from, entry_json, leaf_of
from consent.merkle import leaf_hash, verify_inclusion
from consent.note import Checkpoint, log_verifiers, read_checkpoint, read_note, signed_by
from consent.record import ConsentRecord, checks_digest, event_bytes, read_record
from consent.terms import Terms
from liveness.reasons import Reason
from liveness.verdict import CheckResult
from liveness.verdict import Outcome as CheckOutcome

EVIDENCE_SCHEMA = "mien-evidence-1"
EVIDENCE_TYPE = "evidence+jws"
MOST_BYTES = 100_000
"""No pack is larger: whoever makes one leaves out the oldest questions and says how many."""

_MAX_READ_BYTES = 2**20
_MAX_SIGNATURE_CHARS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That an entry is in the log: the entry, and the hashes that lead from it to the root of the pack's checkpoint."""

    entry: LedgerEntry
    path: tuple[bytes, ...]

    def to_json(self) -> dict[str, Json]:
        return {"entry": entry_json(self.entry), "path": [to_base64url(step) for step in self.path]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question to the gate as it goes into a pack. ``outcome`` is ``None`` while it is being answered."""

    attempt: Attempt
    salt: bytes = field(repr=False)
    proof: Proof
    outcome: Outcome | None
    outcome_proof: Proof | None

    def to_json(self) -> dict[str, Json]:
        return {
            "attempt": self.attempt.to_json(),
            "salt": to_base64url(self.salt),
            "proof": self.proof.to_json(),
            "outcome": None if self.outcome is None else self.outcome.to_json(),
            "outcome_proof": None if self.outcome_proof is None else self.outcome_proof.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedEvidence:
    """What a pack proves: these events of this consent, and this many questions with their answers, are in the log.

    left_out : questions that the pack says exist and does not hold.
    """

    record: ConsentRecord
    made_at: datetime
    questions: int
    left_out: int
    live_checks: int


def make_evidence(
    *,
    record: str,
    salt: bytes,
    checkpoint: str,
    proofs: Sequence[Proof],
    terms: Terms | None,
    checks: Sequence[CheckResult],
    questions: Sequence[Question],
    questions_in_all: int,
    permits: Sequence[dict[str, Json]],
    keys: KeySet,
    key: SigningKey,
    consent_id: str,
    now: datetime,
) -> bytes:
    """The pack. ``questions``, the latest first, are cut at :data:`MOST_BYTES`; the newest are kept.

    checkpoint : the signed note of the tree that all proofs lead to. proofs : one for each event of the record, in order.
    """
    shown = [question.to_json() for question in questions]
    while True:
        content: dict[str, Json] = {
            "schema_version": EVIDENCE_SCHEMA,
            "made_at": write_instant(now),
            "consent_id": consent_id,
            "record": record,
            "salt": to_base64url(salt),
            "checkpoint": checkpoint,
            "proofs": [proof.to_json() for proof in proofs],
            "terms": None
            if terms is None
            else {"version": terms.version, "language": terms.language, "sha256": terms.sha256, "text": terms.text},
            "checks": [_check_json(check) for check in checks],
            "questions": shown,
            "questions_left_out": questions_in_all - len(shown),
            "permits": list(permits),
            "keys": keys.to_jwks(),
        }
        digest = sha256_hex(encode(content))
        signature = key.sign(
            {"schema_version": EVIDENCE_SCHEMA, "consent_id": consent_id, "sha256": digest}, typ=EVIDENCE_TYPE
        )
        pack = encode({"evidence": content, "signature": signature})
        if len(pack) <= MOST_BYTES or not shown:
            return pack
        # the spare bytes tell how many to drop at least; at least one, so that this ends
        each = max(1, len(encode(shown)) // len(shown))
        del shown[-max(1, (len(pack) - MOST_BYTES) // each) :]


def verify_evidence(pack: bytes, keys: KeySet) -> VerifiedEvidence:
    """Check a pack with nothing but the service's public keys.

    1. It is in its one spelling, and its content is what the service signed.
    2. The record in it is signed and sound.
    3. The checkpoint is signed. Each event of the record, with the salt, gives the digest of its entry; the entry is in the
       tree of that checkpoint.
    4. The words are those that the record names by hash; the checks are those that it names by digest.
    5. Each question and its answer, with their salt, give the digests of their entries; those are in the log, and the
       answer is to that question and comes after it.

    Raises:
        EvidenceInvalid: when any of it does not hold.
    """
    if len(pack) > _MAX_READ_BYTES:
        raise EvidenceInvalid("larger than any evidence pack")
    try:
        outer = decode(pack)  # 1
        content, signature = outer.take("evidence"), outer.text("signature")
        digest = sha256_hex(encode(content))
        outer.end()
        signed = keys.open(signature, typ=EVIDENCE_TYPE, max_chars=_MAX_SIGNATURE_CHARS)
        signed.exactly("schema_version", EVIDENCE_SCHEMA)
        consent_id = signed.text("consent_id")
        if signed.sha256("sha256") != digest:
            raise EvidenceInvalid("its content is not what was signed")
        signed.end()
        return _content(Members(content), consent_id, keys)
    except Malformed as error:
        raise EvidenceInvalid("not an evidence pack") from error
    except SignatureInvalid as error:
        raise EvidenceInvalid("it is not signed by these keys") from error
    except KeysUnusable as error:
        raise EvidenceInvalid("the keys in it are none") from error


def _content(members: Members, consent_id: str, keys: KeySet) -> VerifiedEvidence:
    members.exactly("schema_version", EVIDENCE_SCHEMA)
    made_at = members.instant("made_at")
    members.exactly("consent_id", consent_id)
    try:  # 2
        record = read_record(members.text("record"), keys)
    except RecordInvalid as error:
        raise EvidenceInvalid("its record does not hold") from error
    if record.consent_id != consent_id:
        raise EvidenceInvalid("its record is of another consent")
    checkpoint = _checkpoint(members.text("checkpoint"), keys)  # 3
    salt, proofs = from_base64url(members.text("salt")), members.items("proofs")
    if len(proofs) != len(record.events):
        raise EvidenceInvalid("its record has other events than it proves")
    last = -1
    for event, proof in zip(record.events, proofs, strict=True):
        last = _in_the_log(Members(proof), event_bytes(event), salt, event.kind, checkpoint, after=last)
    _words(members.take("terms"), record)  # 4
    checks = tuple(_check(Members(check)) for check in members.items("checks"))
    if checks and checks_digest(checks) != record.granted.live.checks_sha256:
        raise EvidenceInvalid("its checks are not those of the record")
    questions = members.items("questions")  # 5
    for question in questions:
        _question(Members(question), checkpoint)
    left_out = members.whole("questions_left_out")
    members.items("permits")
    KeySet.from_jwks(members.take("keys"))
    members.end()
    return VerifiedEvidence(
        record=record, made_at=made_at, questions=len(questions), left_out=left_out, live_checks=len(checks)
    )


def _question(members: Members, checkpoint: Checkpoint) -> None:
    attempt, salt = members.take("attempt"), from_base64url(members.text("salt"))
    asked = _in_the_log(members.members("proof"), encode(attempt), salt, ATTEMPT_KIND, checkpoint)
    outcome, proof = members.take("outcome"), members.take("outcome_proof")
    members.end()
    if (outcome is None) != (proof is None):
        raise EvidenceInvalid("an answer and its proof come together")
    if outcome is None:
        return
    if Members(outcome).text("attempt_id") != Members(attempt).text("attempt_id"):
        raise EvidenceInvalid("an answer is to another question")
    _in_the_log(Members(proof), encode(outcome), salt, OUTCOME_KIND, checkpoint, after=asked)


def _checkpoint(text: str, keys: KeySet) -> Checkpoint:
    try:
        note = read_note(text)
        checkpoint = read_checkpoint(note.text)
        signed_by(note, log_verifiers(keys, origin=checkpoint.origin))
    except NoteInvalid as error:
        raise EvidenceInvalid("its checkpoint is not signed by these keys") from error
    return checkpoint


def _in_the_log(
    proof: Members, content: bytes, salt: bytes, kind: str, checkpoint: Checkpoint, *, after: int = -1
) -> int:
    """The index of the entry that stands for this content."""
    entry = entry_from(proof.members("entry"))
    path = [from_base64url(step) for step in proof.texts("path")]
    proof.end()
    try:
        digest = commit(content, salt)
    except ConsentInvalid as error:
        raise EvidenceInvalid("a salt has another length") from error
    if not hmac.compare_digest(digest, entry.digest) or entry.kind != kind:
        raise EvidenceInvalid("an entry is for something else")
    try:
        verify_inclusion(
            index=entry.index, size=checkpoint.size, leaf=leaf_hash(leaf_of(entry)), proof=path, root=checkpoint.root
        )
    except ProofInvalid as error:
        raise EvidenceInvalid("an entry is not in the tree of the checkpoint") from error
    if entry.index <= after:
        raise EvidenceInvalid("entries are out of order")
    return entry.index


def _words(terms: Json, record: ConsentRecord) -> None:
    if terms is None:
        return
    members = Members(terms)
    text, sha256 = members.text("text"), members.sha256("sha256")
    members.text("version")
    members.text("language")
    members.end()
    if sha256_hex(text.encode("utf-8")) != sha256 or sha256 != record.granted.terms_sha256:
        raise EvidenceInvalid("its words are not those that were agreed to")


def _check_json(check: CheckResult) -> dict[str, Json]:
    """Numbers as text: what is signed here holds whole numbers only."""
    return {
        "name": check.name,
        "outcome": check.outcome.value,
        "value": None if check.value is None else repr(float(check.value)),
        "limit": None if check.limit is None else repr(float(check.limit)),
        "unit": check.unit,
        "code": None if check.code is None else check.code.value,
    }


def _check(members: Members) -> CheckResult:
    value, limit, code = members.take("value"), members.take("limit"), members.take("code")
    try:
        check = CheckResult(
            name=members.text("name"),
            outcome=CheckOutcome(members.text("outcome")),
            value=None if value is None else float(str(value)),
            limit=None if limit is None else float(str(limit)),
            unit=members.text("unit"),
            code=None if code is None else Reason(str(code)),
        )
    except ValueError as error:
        raise Malformed("not a check") from error
    members.end()
    return check
