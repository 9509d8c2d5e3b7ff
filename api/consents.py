"""Consents in storage: the record folded from its events, and events appended with their ledger entry in one transaction."""

from __future__ import annotations

from datetime import datetime

from api.keys import ServiceKeys
from api.ledger import append, receipt
from api.service import Service
from api.settings import Settings
from api.shreds import Shredded, consent_shred_id, write_down_soon
from api.storage import Store
from api.tables import ClipRow, ConsentEventRow, ConsentRow
from consent.ledger import LedgerEntry, Receipt, commit
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
from consent.status_list import Status

_FIRST = "consent.granted"
"""The one event whose lack in an older backup allows less. Lacking any other, even a renewal, it could allow too much."""


def controller_of(settings: Settings) -> Controller:
    """Who answers for the processing, as the operator set it."""
    return Controller(
        name=settings.controller,
        contact=settings.controller_contact,
        jurisdiction=settings.jurisdiction,
        storage_location=settings.storage_location,
        withdrawal=f"POST {settings.public_url}/v1/consents/{{record_id}}/revoke",
    )


def record_of(store: Store, consent_id: str) -> ConsentRecord:
    """The record, from all its events."""
    return fold([event_from_bytes(row.body) for row in store.consent_events(consent_id)])


def append_event(
    store: Store, keys: ServiceKeys, row: ConsentRow, events: list[ConsentEvent], *, now: datetime
) -> ConsentEventRow:
    """Write the last of ``events``, all events of this consent: signed record, log entry and event, together."""
    event = events[-1]
    body = event_bytes(event)
    entry = append_entry(store, kind=event.kind, body=body, salt=row.salt, now=now)
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


def append_entry(store: Store, *, kind: str, body: bytes, salt: bytes, now: datetime) -> LedgerEntry:
    """The entry for something that was said, in the log; the log is locked until the transaction ends."""
    return append(store, [(kind, commit(body, salt))], now=now)[0]


def receipt_of(service: Service, store: Store, row: ConsentRow, written: ConsentEventRow, *, now: datetime) -> Receipt:
    """What the person keeps: it shows, offline, that the record right after this event is in the log."""
    return receipt(service, store, record=written.record, salt=row.salt, index=written.ledger_index, now=now)


def end_consent(service: Service, store: Store, row: ConsentRow, event: Revoked, *, now: datetime) -> None:
    """What follows a revocation, in its transaction: status changed, templates and portrait destroyed, clips withdrawn."""
    row.revoked_at = event.at
    store.set_status(row.consent_id, Status.REVOKED, now=now)
    service.vault.destroy_key(store, row.data_key_id, now=now)
    store.after_commit(lambda: write_down_soon(service.database, service.vault.files))
    for clip_id in store.clips_of_consent(row.consent_id):
        clip = store.get(ClipRow, clip_id, lock=True)
        if clip is None or clip.state in ("failed", "cancelled", "withdrawn"):
            continue
        clip.state, clip.code, clip.run_id, clip.finished_at = "withdrawn", "consent_revoked", None, now
        service.vault.destroy_key(store, clip.data_key_id, now=now)
        store.notify("mien_clip", clip_id)
