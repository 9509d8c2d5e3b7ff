"""Consents in storage: the record folded from its events, and events appended with their ledger entry in one transaction.

What follows from a change is in that transaction too: who is told, which backends must delete, what is destroyed. So a
consent that is over is over for everything at once, whoever ended it and whichever process hears of it when.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from api import purges
from api.auth import create_person_token
from api.clip_events import CHANNEL as CLIP_CHANNEL
from api.keys import ServiceKeys
from api.ledger import append, receipt
from api.media import Sealed
from api.notices import CONSENT_CHANNEL
from api.schemas import ConsentGiven
from api.service import Service
from api.settings import Settings
from api.shreds import Shredded, consent_shred_id, write_down_soon
from api.storage import Store
from api.tables import ClipRow, ConsentEventRow, ConsentRow, SessionRow
from api.webhooks import Event, publish
from api.withdrawals import Step, note
from consent.canonical import write_instant
from consent.ledger import LedgerEntry, Receipt, commit
from consent.purge import PurgeReason
from consent.record import (
    ConsentEvent,
    ConsentRecord,
    Controller,
    Granted,
    Revoked,
    event_bytes,
    event_from_bytes,
    fold,
    sign_record,
)
from consent.status_list import Status
from consent.terms import Purpose

SHOWS_THE_FACE = frozenset({Purpose.CAMEO, Purpose.DIGITAL_DOUBLE})
"""The purposes that need a portrait."""

_RECORDS_KEPT = 4096  # some 20 kB each with its events

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


@lru_cache(maxsize=_RECORDS_KEPT)
def record_from(events: tuple[bytes, ...]) -> ConsentRecord:
    """The record that these events, read just now, add up to. Reading them again gives the same, so it is kept: by all of their
    bytes, and by nothing else. Whoever adds an event, or changes one, asks for another record.

    Raises: as :func:`consent.record.fold` and :func:`consent.record.event_from_bytes`.
    """
    return fold([event_from_bytes(body) for body in events])


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """Whose face a consent is about, to be sealed under its own key: templates, a picture, and the commitment's salt."""

    templates: bytes = field(repr=False)
    portrait: bytes = field(repr=False)
    salt: bytes = field(repr=False)


def begin_consent(
    service: Service, store: Store, granted: Granted, likeness: Likeness, session: SessionRow, *, now: datetime
) -> ConsentGiven:
    """Write a consent that was just given in that session, which is used up by it: what the session held of a face is
    destroyed. Call it with the session locked."""
    record = fold([granted])
    key = service.vault.new_key(store, owner=granted.consent_id, now=now)
    shows = SHOWS_THE_FACE & set(granted.scope.purposes)
    row = ConsentRow(
        consent_id=granted.consent_id,
        subject_id=granted.subject_id,
        app_key_id=session.app_key_id,
        session_id=session.session_id,
        challenge_id=granted.live.challenge_id,
        salt=likeness.salt,
        data_key_id=key,
        templates_id=service.vault.put(store, likeness.templates, kind=Sealed.TEMPLATES, data_key_id=key, now=now),
        portrait_id=service.vault.put(store, likeness.portrait, kind=Sealed.PORTRAIT, data_key_id=key, now=now)
        if shows
        else None,
        granted_at=now,
        expires_at=record.expires_at,
        destroy_by=record.destroy_by,
    )
    store.add(row)
    written = append_event(store, service.keys, row, [granted], now=now)
    store.give_status(row.consent_id, now=now)
    manage = create_person_token(store, consent_id=row.consent_id, life=granted.scope.expires_at - now, now=now)
    service.vault.destroy_key(store, session.data_key_id, now=now)
    store.after_commit(lambda: write_down_soon(service.database, service.vault.files))
    return ConsentGiven(
        consent_id=row.consent_id,
        record=written.record,
        receipt=json.loads(receipt_of(service, store, row, written, now=now).to_json()),
        manage_token=manage,
    )


def happened(
    service: Service, store: Store, row: ConsentRow, record: ConsentRecord, event: ConsentEvent, *, now: datetime
) -> ConsentRecord:
    """Write an event, and where the consent stands after it. ``row`` is locked. After a revocation call
    :func:`end_consent` too."""
    append_event(store, service.keys, row, [*record.events, event], now=now)
    changed = record_of(store, row.consent_id)
    row.expires_at, row.destroy_by = changed.expires_at, changed.destroy_by
    if now < row.expires_at:  # renewed: its end is carried out again when it comes
        row.expired_at = None
    row.suspended_at = changed.suspended[0].at if changed.suspended else None
    if changed.revoked is None and not record.scope.within(changed.scope):
        store.retire_status(row.consent_id, now=now)
    if bool(changed.suspended) != bool(record.suspended):
        store.set_status(row.consent_id, Status.SUSPENDED if changed.suspended else Status.VALID, now=now)
    if not SHOWS_THE_FACE & set(changed.purposes):
        service.vault.erase(store, row.portrait_id, now=now)
    if changed.revoked is None:  # what follows a revocation reaches more than these
        withdraw_waiting_clips(service, store, row, changed, now=now)
    store.after_commit(lambda: write_down_soon(service.database, service.vault.files))
    return changed


def append_event(
    store: Store, keys: ServiceKeys, row: ConsentRow, events: list[ConsentEvent], *, now: datetime
) -> ConsentEventRow:
    """Write the last of ``events``, all events of this consent: signed record, log entry and event, together, with the
    messages about it and the demands on backends that it no longer covers."""
    event, record = events[-1], fold(events)
    body = event_bytes(event)
    entry = append_entry(store, kind=event.kind, body=body, salt=row.salt, now=now)
    written = ConsentEventRow(
        consent_id=row.consent_id,
        number=event.number,
        body=body,
        record=sign_record(record, keys.active),
        ledger_index=entry.index,
        at=event.at,
    )
    store.add(written)
    if event.kind != _FIRST:
        store.shred(Shredded.CONSENT, consent_shred_id(row.consent_id, event.number), at=event.at)
    _tell(store, row, event.kind, number=event.number, at=event.at, now=now)
    left_out = [
        backend
        for backend in store.backends_that_hold(row.consent_id)
        if record.revoked is not None or not record.scope.covers(backend)
    ]
    reason = PurgeReason.NARROWED if record.revoked is None else PurgeReason.REVOKED
    purges.require(store, row.consent_id, left_out, reason, now=now)
    return written


def append_entry(store: Store, *, kind: str, body: bytes, salt: bytes, now: datetime) -> LedgerEntry:
    """The entry for something that was said, in the log; the log is locked until the transaction ends."""
    return append(store, [(kind, commit(body, salt))], now=now)[0]


def _tell(store: Store, row: ConsentRow, kind: str, *, number: int | None, at: datetime, now: datetime) -> None:
    """The app, and the backends that used this consent; one that only might have hears nothing of the person."""
    if kind not in tuple(Event):
        return
    listening = [row.app_key_id]
    for backend in store.backends_that_used(row.consent_id):
        listening += store.keys_of_backend(backend)
    said = {"consent_id": row.consent_id, "subject_id": row.subject_id, "number": number, "at": write_instant(at)}
    publish(store, Event(kind), said, to=listening, now=now)


def receipt_of(service: Service, store: Store, row: ConsentRow, written: ConsentEventRow, *, now: datetime) -> Receipt:
    """What the person keeps: it shows, offline, that the record right after this event is in the log."""
    return receipt(service, store, record=written.record, salt=row.salt, index=written.ledger_index, now=now)


def end_consent(service: Service, store: Store, row: ConsentRow, event: Revoked, *, now: datetime) -> None:
    """What follows a revocation, in its transaction: status changed, templates and portrait destroyed, clips withdrawn."""
    row.revoked_at = event.at
    store.set_status(row.consent_id, Status.REVOKED, now=now)
    _destroy_templates(service, store, row, reason="revoked", now=now)
    _withdraw_clips(service, store, row, states=("queued", "running", "done"), code="consent_revoked", now=now)


def expire_consent(service: Service, store: Store, row: ConsentRow, *, now: datetime) -> bool:
    """What follows the end of its term; false when there is nothing (left) to do. ``row`` is locked.

    The gate needs none of this: it looks at the time. Clips that were made while it held stay; those under way do not.
    """
    if row.revoked_at is not None or row.expired_at is not None or now < row.expires_at:
        return False
    row.expired_at = now
    note(store, Step.CONSENT_EXPIRED, now=now, consent_id=row.consent_id)
    _tell(store, row, Event.CONSENT_EXPIRED, number=None, at=row.expires_at, now=now)
    holding = store.backends_that_hold(row.consent_id)
    purges.require(store, row.consent_id, holding, PurgeReason.EXPIRED, now=now)
    _withdraw_clips(service, store, row, states=("queued", "running"), code="consent_expired", now=now)
    _destroy_templates(service, store, row, reason="expired", now=now)
    store.notify(CONSENT_CHANNEL, row.consent_id)
    return True


def _destroy_templates(service: Service, store: Store, row: ConsentRow, *, reason: str, now: datetime) -> None:
    """Their purpose is over with the consent: nothing keeps them longer (BIPA, 740 ILCS 14/15(a))."""
    service.vault.destroy_key(store, row.data_key_id, now=now)
    store.forget_look_alike_choice(row.consent_id)
    store.after_commit(lambda: write_down_soon(service.database, service.vault.files))
    note(store, Step.TEMPLATES_DESTROYED, now=now, consent_id=row.consent_id, reason=reason)


def withdraw_waiting_clips(
    service: Service, store: Store, row: ConsentRow, record: ConsentRecord, *, now: datetime
) -> None:
    """Clips in the queue that a suspended or narrowed consent does not cover end now, however long the queue is. One under
    way is stopped by its worker, which asks the gate anyway, as it does before each begins."""
    for clip_id in store.clips_of_consent(row.consent_id, state="queued"):
        clip = store.get(ClipRow, clip_id, lock=True)
        if clip is None or clip.state != "queued":  # it may have begun just now
            continue
        if record.suspended:
            _withdraw(service, store, row, clip, code="consent_suspended", now=now)
        elif clip.purpose not in record.purposes:
            _withdraw(service, store, row, clip, code="scope_purpose", now=now)
        elif not record.scope.covers(clip.backend):
            _withdraw(service, store, row, clip, code="scope_audience", now=now)


def _withdraw_clips(
    service: Service, store: Store, row: ConsentRow, *, states: tuple[str, ...], code: str, now: datetime
) -> None:
    for clip_id in store.clips_of_consent(row.consent_id):
        clip = store.get(ClipRow, clip_id, lock=True)
        if clip is not None and clip.state in states:
            _withdraw(service, store, row, clip, code=code, now=now)


def _withdraw(service: Service, store: Store, row: ConsentRow, clip: ClipRow, *, code: str, now: datetime) -> None:
    clip.state, clip.code, clip.run_id, clip.finished_at = "withdrawn", code, None, now
    service.vault.destroy_key(store, clip.data_key_id, now=now)
    store.notify(CLIP_CHANNEL, clip.clip_id)
    note(store, Step.CLIP_WITHDRAWN, now=now, consent_id=row.consent_id, about=clip.clip_id, reason=code)
    said = {"clip_id": clip.clip_id, "state": clip.state, "consent_id": row.consent_id, "code": code}
    publish(store, Event.CLIP_WITHDRAWN, said, to=[clip.app_key_id], now=now)
