"""One record held against everything that vouches for it, step by step, with the values that were compared.

The rules are those of ``mien ledger verify`` and of whoever checks a receipt: :mod:`consent.written`, :mod:`consent.merkle`,
:mod:`consent.status_list`. A step that fails does not hide the others: an auditor wants to know how much is wrong.

1. signature    the record is signed by the service, and says what its events say
2. entries      each event, with the salt, gives the digest of its entry in the log
3. inclusion    each entry leads to the root of a checkpoint that the service signed
4. consistency  the log as it was when this reader last looked is the beginning of the log now
5. status_list  the signed status list says of the consent what its record says
6. log          every entry of the log, and what each stands for (only when asked for: it reads everything)
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.errors import Problem
from api.ledger import checkpoint_now
from api.service import Service
from api.status import StatusLists, status_uri
from api.storage import Store
from api.tables import ConsentEventRow, ConsentRow
from api.written import verify_books
from consent.canonical import sha256_hex, write_instant
from consent.errors import ConsentError, LedgerBroken
from consent.keys import KeySet, from_base64url
from consent.ledger import SALT_BYTES, LedgerEntry, commit, leaf_of
from consent.merkle import consistency_proof, inclusion_proof, leaf_hash, verify_consistency, verify_inclusion
from consent.note import Checkpoint, log_verifiers, read_checkpoint, read_note, signed_by, to_base64
from consent.record import ConsentRecord, event_from_bytes, fold, read_record
from consent.status_list import Status, read_list
from consent.written import event_flaw


class StepOutcome(StrEnum):
    """``not_possible``: nothing is wrong, and nothing is shown either."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_POSSIBLE = "not_possible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What was checked. ``why`` of one that does not hold; ``values`` in the order to show them."""

    name: str
    outcome: StepOutcome
    why: str | None = None
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A checkpoint as a reader remembers it."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """``now``: the checkpoint that all of this is under, for the reader to remember; ``None`` when none can be shown."""

    steps: tuple[Step, ...]
    now: Seen | None

    @property
    def holds(self) -> bool:
        return all(step.outcome is not StepOutcome.FAILS for step in self.steps)


class _NotPossible(Exception):
    """A step has nothing to compare with."""


class _Wrong(Exception):
    """A step found something wrong; the text says what."""


def verify_record(
    service: Service,
    store: Store,
    consent_id: str,
    *,
    seen: Seen | None,
    whole_log: bool,
    now: datetime,
) -> Verification:
    """Every step on one consent. ``seen``: what the reader remembers of the log; ``None``: the checkpoint before this one.

    Raises:
        Problem: ``not_found``.
    """
    row = store.get(ConsentRow, consent_id)
    if row is None:
        raise Problem("not_found")
    keys, events = service.keys.public, store.consent_events(consent_id)
    entries = {event.ledger_index: next(iter(store.entries(event.ledger_index, 1)), None) for event in events}
    record = _record(events)
    checkpoint, unsigned = _checkpoint(service, store, keys, max(entries, default=-1), now=now)

    def signature(values: dict[str, Any]) -> None:  # 1
        if not events:
            raise _Wrong("the record has no events")
        values["key_id"], values["algorithm"] = _kid(events[-1].record), "Ed25519"
        values["record_sha256"] = sha256_hex(events[-1].record.encode())
        for place, event in enumerate(events):
            flaw = event_flaw(
                consent_id=event.consent_id,
                number=event.number,
                place=place,
                at=event.at,
                body=event.body,
                record=event.record,
                keys=keys,
            )
            if flaw is not None:
                raise _Wrong(f"event {event.number}: {flaw}")
        signed = read_record(events[-1].record, keys)
        values |= {"events": len(signed.events), "state": signed.state_at(now).value}

    def written(values: dict[str, Any]) -> None:  # 2
        if len(row.salt) != SALT_BYTES:
            raise _NotPossible("the salt was destroyed with the rest of the person's data")
        values["entries"] = []
        for event in events:
            entry = entries[event.ledger_index]
            if entry is None:
                raise _Wrong(f"the log has no entry {event.ledger_index}")
            values["entries"].append(f"{entry.index} {entry.kind} {entry.digest}")
            if not hmac.compare_digest(commit(event.body, row.salt), entry.digest):
                raise _Wrong(f"event {event.number} does not give the digest of entry {entry.index}")
            if entry.kind != event_from_bytes(event.body).kind:
                raise _Wrong(f"entry {entry.index} is of another kind than event {event.number}")

    def included(values: dict[str, Any]) -> None:  # 3
        if checkpoint is None:
            raise _Wrong(unsigned)
        values |= {"log": checkpoint.origin, "size": checkpoint.size, "root": to_base64(checkpoint.root)}
        values["hashes"] = sum(_in_tree(store, entry, checkpoint) for entry in entries.values() if entry is not None)

    def consistent(values: dict[str, Any]) -> None:  # 4
        if checkpoint is None:
            raise _Wrong(unsigned)
        first = seen if seen is not None else _before(store, checkpoint)
        if first is None:
            raise _NotPossible("there is no earlier checkpoint yet; this one is remembered for the next time")
        values |= {
            "remembered_by": "log" if seen is None else "you",
            "first_size": first.size,
            "first_root": to_base64(first.root),
            "size": checkpoint.size,
            "root": to_base64(checkpoint.root),
        }
        if first.size > checkpoint.size:
            raise _Wrong(f"the log had {first.size} entries and now has {checkpoint.size}")
        proof = consistency_proof(first.size, checkpoint.size, store.nodes)
        verify_consistency(
            first=first.size,
            first_root=first.root,
            second=checkpoint.size,
            second_root=checkpoint.root,
            proof=proof,
        )
        values["hashes"] = len(proof)

    def listed(values: dict[str, Any]) -> None:  # 5
        place = store.status_place(consent_id)
        if place is None:
            raise _NotPossible("no token was made from it, so no status list names it")
        if record is None:
            raise _Wrong("its events cannot be read")
        list_id, index = place
        uri = status_uri(service.settings, list_id)
        served = StatusLists().current(service, list_id)  # made anew: what is kept in memory would hide a change
        if served is None:
            raise _Wrong("the list that it stands in is not there")
        signed = read_list(served.jwt, keys, uri=uri)
        says, should = Status(signed.statuses.status_at(index)), _status_of(record)
        values |= {
            "list": uri,
            "index": index,
            "says": says.word,
            "record_says": should.word,
            "signed_at": write_instant(signed.issued_at),
        }
        if says is not should:
            raise _Wrong(f"the list says {says.word}, the record says {should.word}")

    def whole(values: dict[str, Any]) -> None:  # 6
        books = verify_books(store, keys)
        values |= {
            "size": books.log.size,
            "root": to_base64(books.log.root),
            "checkpoints": books.log.checkpoints,
            "records": books.written.checked,
            "unlinkable": books.written.unlinkable,
        }

    steps = [
        _tried("signature", signature),
        _tried("entries", written),
        _tried("inclusion", included),
        _tried("consistency", consistent),
        _tried("status_list", listed),
    ]
    if whole_log:
        steps.append(_tried("log", whole))
    kept = None if checkpoint is None else Seen(size=checkpoint.size, root=checkpoint.root)
    return Verification(steps=tuple(steps), now=kept)


def _tried(name: str, check: Callable[[dict[str, Any]], None]) -> Step:
    outcome, why, values = StepOutcome.HOLDS, None, dict[str, Any]()
    try:
        check(values)
    except _NotPossible as error:
        outcome, why = StepOutcome.NOT_POSSIBLE, str(error)
    except LedgerBroken as error:
        outcome, why = StepOutcome.FAILS, f"entry {error.index}: {error.why}"
    except (_Wrong, ConsentError) as error:
        outcome, why = StepOutcome.FAILS, str(error)
    return Step(name=name, outcome=outcome, why=why, values=values)


def _kid(compact: str) -> str:
    """Of the key that a record says signed it."""
    try:
        header = json.loads(from_base64url(compact.partition(".")[0]))
        return str(header["kid"])
    except (ValueError, TypeError, KeyError):
        return ""


def _record(events: list[ConsentEventRow]) -> ConsentRecord | None:
    try:
        return fold([event_from_bytes(event.body) for event in events])
    except ConsentError:
        return None


def _status_of(record: ConsentRecord) -> Status:
    if record.revoked is not None:
        return Status.REVOKED
    return Status.SUSPENDED if record.suspended else Status.VALID


def _checkpoint(
    service: Service, store: Store, keys: KeySet, index: int, *, now: datetime
) -> tuple[Checkpoint | None, str]:
    """A checkpoint with entry ``index`` in it, read back as a stranger would; else why there is none."""
    try:
        kept = store.last_checkpoint()
        row = kept if kept is not None and kept.size > index else checkpoint_now(service, store, now=now)
        note = read_note(row.note)
        checkpoint = read_checkpoint(note.text)
        signed_by(note, log_verifiers(keys, origin=checkpoint.origin))
    except LedgerBroken as error:
        return None, f"entry {error.index}: {error.why}"
    except ConsentError as error:
        return None, f"the checkpoint of the log does not hold: {error}"
    if checkpoint.size != row.size or checkpoint.root != row.root:
        return None, "the checkpoint of the log is filed as another one"
    return checkpoint, ""


def _in_tree(store: Store, entry: LedgerEntry, checkpoint: Checkpoint) -> int:
    """How many hashes lead from the entry to the root."""
    path = inclusion_proof(entry.index, checkpoint.size, store.nodes)
    try:
        verify_inclusion(
            index=entry.index,
            size=checkpoint.size,
            leaf=leaf_hash(leaf_of(entry)),
            proof=path,
            root=checkpoint.root,
        )
    except ConsentError as error:
        raise _Wrong(f"entry {entry.index}: {error}") from error
    return len(path)


def _before(store: Store, checkpoint: Checkpoint) -> Seen | None:
    row = store.checkpoint_before(checkpoint.size)
    return None if row is None else Seen(size=row.size, root=row.root)
