"""Entries of the log put into its tree."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from api.shreds import Shredded, log_shred_id
from api.storage import Store
from consent.ledger import LedgerEntry, leaf_of, next_entry
from consent.merkle import grow, leaf_hash


def add_entries(store: Store, happened: Sequence[tuple[str, str]], *, now: datetime) -> list[LedgerEntry]:
    """Append entries of these kinds and digests, in order, and put them into the tree. Nobody else appends until the
    transaction ends, so the log never forks. What waits to be put in is not looked at: see :func:`api.ledger.append`."""
    store.lock_ledger()
    head, entries = store.log_head(), list[LedgerEntry]()
    last = head.last
    for kind, digest in happened:
        last = next_entry(last, kind=kind, digest=digest, at=now)
        entries.append(last)
    if entries:
        waiting = _entries_between(store, head.edge.size, entries[0].index)
        _, made = grow(head.edge, [leaf_hash(leaf_of(entry)) for entry in (*waiting, *entries)])
        # outside the database too: a restored log goes on where it stood
        shreds = [log_shred_id(entry.index, entry.kind, entry.digest) for entry in entries]
        store.add_to_log(entries, made, shreds=shreds, shred_kind=Shredded.LOG)
    return entries


def _entries_between(store: Store, size: int, stop: int) -> list[LedgerEntry]:
    """Entries that are there and not in the tree: those of before the log was a tree, or of a process that knows no tree."""
    return store.entries(size, stop - size) if stop > size else []
