"""The log in the database: entries appended and put into the tree, checkpoints signed, and what is read out of it.

One writer at a time: whoever appends or signs holds the database's advisory lock until its transaction ends. Readers need
none: entries, nodes and checkpoints never change once they are there.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

from api.books import settle_what_is_there
from api.errors import Problem
from api.service import Service
from api.settings import SettingsInvalid
from api.shreds import write_down_soon
from api.storage import Store
from api.tables import LogCheckpointRow, LogCosignatureRow
from api.tree import add_entries
from consent.errors import LedgerBroken, NoteInvalid
from consent.keys import KeySet
from consent.ledger import LedgerEntry, Receipt, StoredCheckpoint, VerifiedLog, leaf_of, verify_log
from consent.merkle import Tile, bundled, edge_of, grow, inclusion_proof, leaf_hash
from consent.note import (
    Checkpoint,
    Note,
    SignatureType,
    Verifier,
    read_checkpoint,
    read_note,
    read_vkey,
    sign_note,
    signed_by,
)
from consent.tlog_proof import TlogProof

log = logging.getLogger("mien.log")

_AT_ONCE = 10_000  # entries that one transaction puts into the tree


# --- appending -------------------------------------------------------------------------------------------------------


def append(store: Store, happened: Sequence[tuple[str, str]], *, now: datetime) -> list[LedgerEntry]:
    """Append entries of these kinds and digests, in order, after all that the gate wrote down before, and put them into the
    tree. Nobody else appends until the transaction ends, so the log never forks.

    What the gate wrote goes first, so that the order of the log stays the order in which transactions came through: a permit
    stands before a withdrawal that came after it, and behind one that came before.
    """
    settle_what_is_there(store, now=now)
    return add_entries(store, happened, now=now)


def _put_into_tree(store: Store, size: int, entries: Sequence[LedgerEntry]) -> None:
    _, made = grow(edge_of(size, store.nodes), [leaf_hash(leaf_of(entry)) for entry in entries])
    store.add_nodes(made)


def catch_up(service: Service) -> int:
    """Put what is not in the tree yet into it and sign, if there is anything new; gives the size. For the worker's sweep."""
    while True:
        with service.database.transaction() as store:
            last, kept = store.last_entry(), store.last_checkpoint()
            count = 0 if last is None else last.index + 1
            if kept is not None and kept.size == count and not store.is_waiting():
                return count
            store.lock_ledger()
            size = store.tree_size()
            if pending := store.entries(size, _AT_ONCE):
                _put_into_tree(store, size, pending)
            if len(pending) < _AT_ONCE:
                return _signed(service, store, now=service.now()).size


# --- signing ---------------------------------------------------------------------------------------------------------


def _signed(service: Service, store: Store, *, now: datetime) -> LogCheckpointRow:
    """A checkpoint of the tree as it is, with all that waited to be put into it. Never one that contradicts the one before:
    what is stored for that one must still have its root. Every key of the service signs, so that who knows only an older one
    can follow. What it covers goes outside the database before anybody is shown it: a log restored from a backup must not be
    shorter, or another.

    Raises:
        LedgerBroken: when the stored tree is not that which was signed.
    """
    store.lock_ledger()
    settle_what_is_there(store, now=now)
    kept, size = store.last_checkpoint(), store.tree_size()
    if kept is not None and (kept.size > size or edge_of(kept.size, store.nodes).root() != kept.root):
        raise LedgerBroken(size, "the stored tree is not the one that was signed; nothing is signed any more")
    if kept is not None and kept.size == size:
        return kept
    origin = service.settings.log_origin if kept is None else read_checkpoint(read_note(kept.note).text).origin
    checkpoint = Checkpoint(origin=origin, size=size, root=edge_of(size, store.nodes).root())
    signatures = tuple(sign_note(checkpoint.text, key, name=origin) for key in service.keys.signing)
    note = Note(text=checkpoint.text, signatures=signatures).to_text()
    row = LogCheckpointRow(size=size, root=checkpoint.root, note=note, at=now)
    store.add(row)
    store.after_commit(lambda: write_down_soon(service.database, service.vault.files))
    return row


def checkpoint_of(service: Service, store: Store, *, now: datetime) -> LogCheckpointRow:
    """The latest checkpoint; the first one is made when somebody asks for it."""
    return store.last_checkpoint() or _signed(service, store, now=now)


def checkpoint_now(service: Service, store: Store, *, now: datetime) -> LogCheckpointRow:
    """A checkpoint of all that is in the log, signed now unless the latest is one."""
    return _signed(service, store, now=now)


def note_of(store: Store, row: LogCheckpointRow) -> str:
    """A checkpoint with the cosignatures that it has so far."""
    return row.note + "".join(cosignature.line for cosignature in store.cosignatures(row.size))


# --- reading ---------------------------------------------------------------------------------------------------------


def receipt(service: Service, store: Store, *, record: str, salt: bytes, index: int, now: datetime) -> Receipt:
    """What shows, offline, that this record is entry ``index``. Under the checkpoint that most witnesses cosigned lately, if
    they did since the entry; else under the latest, signed now if there is none with the entry yet."""
    kept = store.best_cosigned(index) or store.last_checkpoint()
    if kept is None or kept.size <= index:
        kept = _signed(service, store, now=now)
    proof = TlogProof(
        index=index, hashes=inclusion_proof(index, kept.size, store.nodes), checkpoint=note_of(store, kept)
    )
    return Receipt(record=record, salt=salt, entry=store.entries(index, 1)[0], proof=proof)


def tile_content(store: Store, tile: Tile) -> bytes | None:
    """A tile or bundle; ``None`` unless a checkpoint covers all of it."""
    kept = store.last_checkpoint()
    stop = tile.nodes.stop << tile.node_level
    if kept is None or stop > kept.size:
        return None
    if tile.level is None:
        return bundled(leaf_of(entry) for entry in store.entries(tile.nodes.start, tile.width))
    return b"".join(store.node_range(tile.node_level, tile.nodes.start, tile.nodes.stop).values())


def verify_stored(store: Store, keys: KeySet) -> VerifiedLog:
    """Recompute the tree and hold all that is stored against it.

    What may still grow is read in this order, so that what comes in meanwhile is not taken for a fault.

    Raises:
        LedgerBroken: at the first entry that is wrong.
    """
    tree_size, stray = store.tree_size(), store.stray_node()
    with closing(_leaves(store)) as leaves, closing(_checkpoints(store)) as checkpoints:
        found = verify_log(leaves, keys=keys, checkpoints=checkpoints, stored=store.node_range, tree_size=tree_size)
    if stray is not None:
        raise LedgerBroken(stray, "a hash is stored for a subtree that is not complete")
    with closing(store.every_cosignature()) as cosignatures:
        for size, note, witness, line in cosignatures:
            try:
                signed_by(read_note(note + line), (read_vkey(witness),))
            except NoteInvalid as error:
                raise LedgerBroken(max(0, size - 1), f"a cosignature of {size} entries does not hold") from error
    return found


def _leaves(store: Store) -> Generator[bytes, None, None]:
    with closing(store.every_entry()) as entries:
        for entry in entries:
            try:
                yield leaf_of(entry)
            except ValueError:  # a row that no entry can have
                yield b""


def _checkpoints(store: Store) -> Generator[StoredCheckpoint, None, None]:
    with closing(store.checkpoints()) as rows:
        for size, root, note in rows:
            yield StoredCheckpoint(size=size, root=root, note=note)


# --- witnesses -------------------------------------------------------------------------------------------------------


def read_witnesses(file: Path) -> tuple[Verifier, ...]:
    """The witnesses that are heard: a vkey a line; empty lines and what follows ``#`` are for people.

    Raises:
        SettingsInvalid: in one line.
    """
    try:
        lines = [line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid("the file of MIEN_WITNESSES cannot be read") from error
    found: list[Verifier] = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            witness = read_vkey(line)
        except NoteInvalid as error:
            raise SettingsInvalid(f"line {number} of MIEN_WITNESSES is no verifier key ({error})") from error
        if witness.kind is not SignatureType.COSIGNATURE:
            raise SettingsInvalid(f"line {number} of MIEN_WITNESSES is no key of a witness")
        if any(other.public == witness.public for other in found):
            raise SettingsInvalid(f"line {number} of MIEN_WITNESSES has a key that another line has")
        found.append(witness)
    return tuple(found)


def take_cosignatures(service: Service, store: Store, content: str, *, now: datetime) -> list[str]:
    """Keep what known witnesses signed of one of our checkpoints; gives their names.

    Raises:
        NoteInvalid: when it is no note, or no known witness signed it.
        Problem: ``checkpoint_unknown`` when we never signed that.
    """
    note = read_note(content)
    signed = signed_by(note, service.witnesses)
    checkpoint = read_checkpoint(note.text)
    row = store.get(LogCheckpointRow, checkpoint.size)
    if row is None or read_note(row.note).text != note.text:
        log.warning("a witness handed in a checkpoint of %d entries that is not ours", checkpoint.size)
        raise Problem("checkpoint_unknown")
    for one in signed:
        store.add_cosignature(
            LogCosignatureRow(
                size=row.size, witness=one.by.vkey, line=one.signature.line, stated_at=one.at or now, at=now
            )
        )
    return [one.by.name for one in signed]
