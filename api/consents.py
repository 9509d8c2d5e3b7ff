"""Consents in storage: the record folded from its events, and events appended with their ledger entry in one transaction."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from api.keys import ServiceKeys
from api.service import Service
from api.settings import Settings
from api.shreds import Shredded, consent_shred_id, log_shred_id, write_down_soon
from api.storage import Store
from api.tables import ClipRow, ConsentEventRow, ConsentRow
from consent.ledger import (
    EMPTY,
    Head,
    LedgerEntry,
    commit,
    make_receipt,
    next_entry,
    sign_head,
)
from consent.record import (
    ConsentEvent,
    ConsentRecord,
    Controller,
    Revoked,
    event_bytes,
    event_from_bytes,
    fold,
    sign_record,
)

_FIRST = "consent.granted"
"""The one event whose lack in an older backup allows less. Lacking any other, even a renewal, it could allow too much."""


def controller_of(settings: Settings) -> Controller:
    """Who answers for the processing, as the operator set it."""
    return Controller(
        name=settings.controller,
        contact=settings.controller_contact,
        jurisdiction=settings.jurisdiction,
        storage_location=settings.storage_location,
    )


def record_of(store: Store, consent_id: str) -> ConsentRecord:
    """The record, from all its events."""
    return fold([event_from_bytes(row.body) for row in store.consent_events(consent_id)])


def append_event(
    store: Store, keys: ServiceKeys, row: ConsentRow, events: list[ConsentEvent], *, now: datetime
) -> ConsentEventRow:
    """Write the last of ``events``, all events of this consent: signed record, ledger entry and event, together.

    The ledger is locked until the transaction ends, so entries never fork.
    """
    event = events[-1]
    body = event_bytes(event)
    last = store.lock_ledger()
    entry = next_entry(last, kind=event.kind, digest=commit(body, row.salt), at=now)
    store.append(entry)
    store.shred(Shredded.LOG, log_shred_id(entry.index, entry.kind, entry.digest), at=entry.at)
    written = ConsentEventRow(
        consent_id=row.consent_id,
        number=event.number,
        body=body,
        record=sign_record(fold(events), keys.active),
        ledger_index=entry.index,
        at=event.at,
    )
    store.add(written)
    if event.kind != _FIRST:
        store.shred(Shredded.CONSENT, consent_shred_id(row.consent_id, event.number), at=event.at)
    return written


def receipt_of(
    store: Store, keys: ServiceKeys, row: ConsentRow, written: ConsentEventRow, *, now: datetime
) -> dict[str, Any]:
    """What the person keeps: it shows, offline, that the record right after this event is in the log."""
    entry = store.entries(written.ledger_index, 1)[0]
    head = sign_head(Head.of(entry), keys.active, at=now)
    receipt = make_receipt(record=written.record, salt=row.salt, entry=entry, head=head)
    shown: dict[str, Any] = json.loads(receipt.to_json())
    return shown


def end_consent(service: Service, store: Store, row: ConsentRow, event: Revoked, *, now: datetime) -> None:
    """What follows a revocation, in its transaction: templates and portrait destroyed, clips withdrawn."""
    row.revoked_at = event.at
    service.vault.destroy_key(store, row.data_key_id, now=now)
    store.after_commit(lambda: write_down_soon(service.database, service.vault.files))
    for clip_id in store.clips_of_consent(row.consent_id):
        clip = store.get(ClipRow, clip_id, lock=True)
        if clip is None or clip.state in ("failed", "cancelled", "withdrawn"):
            continue
        clip.state, clip.code, clip.run_id, clip.finished_at = "withdrawn", "consent_revoked", None, now
        service.vault.destroy_key(store, clip.data_key_id, now=now)
        store.notify("mien_clip", clip_id)


def signed_head(keys: ServiceKeys, last: LedgerEntry | None, *, now: datetime) -> str:
    """The log's head, signed now."""
    return sign_head(EMPTY if last is None else Head.of(last), keys.active, at=now)
