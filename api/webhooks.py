"""Tells backends and apps what became of consents and of clips: Standard Webhooks 1.0, from an outbox.

A message is written in the transaction of what it tells of, together with the job that delivers it, so it exists exactly
when that happened. It is sent at least once: a receiver knows a second copy by its ``webhook-id``, and the order of a
consent's events by their ``number``. Nothing that must hold depends on a message arriving: the gate reads the record.

Payloads hold ids and pseudonyms. Only an answer of 2xx counts; 410 switches the endpoint off; after the last try a message
is dead and waits for an admin to send it again.
"""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from api.media import Erased, Sealed, Unsealable
from api.outbound import AddressRefused, NotSent, Resolver, destination, post, system_resolver
from api.queue import Queue
from api.service import Service
from api.storage import Store, new_id
from api.tables import ApiKeyRow, DeliveryRow, WebhookRow
from api.webhook_signing import Secrets, rotated, secrets_from_bytes, secrets_to_bytes, signed_headers
from api.withdrawals import Step, note
from consent.canonical import write_instant

log = logging.getLogger("mien.webhooks")

TRIES = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""Wait before each try (Standard Webhooks 1.0, section on reliability): 75 h 35 min 5 s altogether."""

KEPT = timedelta(days=30)
"""How long a message is kept after it arrived or was given up."""

_QUEUE = Queue()


class Event(StrEnum):
    """What can be listened for."""

    CONSENT_GRANTED = "consent.granted"
    CONSENT_NARROWED = "consent.narrowed"
    CONSENT_SUSPENDED = "consent.suspended"
    CONSENT_RESUMED = "consent.resumed"
    CONSENT_RENEWED = "consent.renewed"
    CONSENT_REVOKED = "consent.revoked"
    CONSENT_EXPIRED = "consent.expired"
    PURGE_REQUIRED = "asset.purge_required"
    PURGE_CONFIRMED = "purge.confirmed"
    CLIP_WITHDRAWN = "clip.withdrawn"
    CLIP_DONE = "clip.done"
    CLIP_FAILED = "clip.failed"
    LOOK_ALIKE_NOTICED = "look_alike.noticed"


TEST = "webhook.test"
"""Sent on request only, whatever is listened for."""


# --- registration ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A webhook and its current secrets; ``fresh`` when they were made just now and may be shown, this once."""

    row: WebhookRow
    secrets: Secrets = field(repr=False)
    fresh: bool


def register(
    service: Service, store: Store, key_id: str, url: str, events: Collection[Event], *, now: datetime
) -> Registered:
    """Listen at ``url`` for ``events``, instead of whatever this key listened at before; a disabled one is enabled.

    Secrets stay as they are unless there were none, or the messages go to another host: whoever runs that one must not be
    able to sign for the old.

    Raises:
        AddressRefused: for a URL that nothing is ever sent to.
    """
    host = destination(url, loopback=service.settings.webhook_loopback).host
    wanted = [event.value for event in Event if event in events]
    row = store.webhook_of(key_id)
    if row is not None and destination(row.url, loopback=True).host != host:
        remove(service, store, row, now=now)
        row = None
    if row is not None:
        row.url, row.events, row.disabled_at, row.disabled_code = url, wanted, None, None
        note(store, Step.WEBHOOK_SET, now=now, actor=key_id, about=row.webhook_id)
        return Registered(row=row, secrets=_secrets(service, store, row)[0], fresh=False)
    made = Secrets.generate()
    webhook_id = new_id("whk")
    data_key_id = service.vault.new_key(store, owner=webhook_id, now=now)
    row = WebhookRow(
        webhook_id=webhook_id,
        key_id=key_id,
        url=url,
        events=wanted,
        data_key_id=data_key_id,
        secrets_id=_seal(service, store, (made,), data_key_id, now=now),
        created_at=now,
    )
    store.add(row)
    note(store, Step.WEBHOOK_SET, now=now, actor=key_id, about=row.webhook_id)
    return Registered(row=row, secrets=made, fresh=True)


def rotate(service: Service, store: Store, row: WebhookRow, *, now: datetime) -> Registered:
    """New secrets; the old ones sign along for a day."""
    generations = rotated(_secrets(service, store, row), now=now)
    service.vault.erase(store, row.secrets_id, now=now)
    row.secrets_id = _seal(service, store, generations, row.data_key_id, now=now)
    note(store, Step.WEBHOOK_ROTATED, now=now, actor=row.key_id, about=row.webhook_id)
    return Registered(row=row, secrets=generations[0], fresh=True)


def remove(service: Service, store: Store, row: WebhookRow, *, now: datetime) -> None:
    """Listen no more. Messages under way go with it."""
    note(store, Step.WEBHOOK_REMOVED, now=now, actor=row.key_id, about=row.webhook_id)
    service.vault.destroy_key(store, row.data_key_id, now=now)
    store.remove(row)


def looked_up(service: Service, store: Store, row: WebhookRow) -> Registered:
    """As registered."""
    return Registered(row=row, secrets=_secrets(service, store, row)[0], fresh=False)


def _secrets(service: Service, store: Store, row: WebhookRow) -> tuple[Secrets, ...]:
    return secrets_from_bytes(service.vault.get(store, row.secrets_id, owner=row.webhook_id))


def _seal(service: Service, store: Store, generations: tuple[Secrets, ...], data_key_id: str, *, now: datetime) -> str:
    content = secrets_to_bytes(generations)
    return service.vault.put(store, content, kind=Sealed.WEBHOOK_SECRETS, data_key_id=data_key_id, now=now)


# --- the outbox ------------------------------------------------------------------------------------------------------


def publish(store: Store, event: Event, data: dict[str, Any], *, to: Collection[str], now: datetime) -> None:
    """Tell those of the keys ``to`` that listen for it. Call it inside the transaction of what happened."""
    for webhook in store.webhooks_hearing(to, event):
        _queue(store, webhook, event, data, now=now)


def send_test(store: Store, webhook: WebhookRow, *, now: datetime) -> DeliveryRow:
    """A message that says nothing, to see it arrive."""
    return _queue(store, webhook, TEST, {"webhook_id": webhook.webhook_id}, now=now)


def resend(store: Store, row: DeliveryRow, *, actor: str, now: datetime) -> None:
    """Begin a dead message again, with all its tries."""
    row.tries, row.dead_at, row.next_at = 0, None, now
    _QUEUE.deliver(store, row.delivery_id, tried=0, at=None)
    note(store, Step.DELIVERY_RESENT, now=now, actor=actor, about=row.delivery_id)


def _queue(store: Store, webhook: WebhookRow, event: str, data: dict[str, Any], *, now: datetime) -> DeliveryRow:
    said = {"type": event, "timestamp": write_instant(now), "data": data}
    row = DeliveryRow(
        delivery_id=new_id("msg"),
        webhook_id=webhook.webhook_id,
        event=event,
        body=json.dumps(said, separators=(",", ":")).encode(),
        created_at=now,
        tries=0,
        next_at=now,
    )
    store.add(row)
    _QUEUE.deliver(store, row.delivery_id, tried=0, at=None)
    return row


# --- delivery --------------------------------------------------------------------------------------------------------


def deliver(
    service: Service,
    delivery_id: str,
    *,
    tried: int,
    resolve: Resolver = system_resolver,
    tls: ssl.SSLContext | None = None,
) -> bool:
    """One try of a message; false when it did not arrive, or there was nothing to do.

    ``tried``: tries that the job knows of. A job that is behind the row was overtaken: it does nothing.
    """
    found = _outgoing(service, delivery_id, tried)
    if found is None:
        return False
    url, headers, body = found
    code: str | None
    try:
        status = post(
            url, headers=headers, body=body, loopback=service.settings.webhook_loopback, resolve=resolve, tls=tls
        )
        code = None if 200 <= status < 300 else f"http_{status}"
    except (AddressRefused, NotSent) as error:
        code = error.code
    _write_down(service, delivery_id, tried, code)
    return code is None


def _outgoing(service: Service, delivery_id: str, tried: int) -> tuple[str, dict[str, str], bytes] | None:
    now = service.now()
    with service.database.transaction() as store:
        row = store.get(DeliveryRow, delivery_id, lock=True)
        if row is None or row.delivered_at is not None or row.dead_at is not None or row.tries != tried:
            return None
        webhook = store.get(WebhookRow, row.webhook_id)
        holder = None if webhook is None else store.get(ApiKeyRow, webhook.key_id)
        if webhook is None or webhook.disabled_at is not None or holder is None or holder.revoked_at is not None:
            _give_up(store, row, "webhook_disabled", now=now)
            return None
        try:
            generations = _secrets(service, store, webhook)
        except (Erased, Unsealable):
            _give_up(store, row, "secrets_missing", now=now)
            return None
        headers = signed_headers(row.delivery_id, row.body, generations, now=now)
        return webhook.url, headers | {"Content-Type": "application/json", "User-Agent": "Mien-Webhooks/1"}, row.body


def _write_down(service: Service, delivery_id: str, tried: int, code: str | None) -> None:
    now = service.now()
    with service.database.transaction() as store:
        row = store.get(DeliveryRow, delivery_id, lock=True)
        if row is None or row.delivered_at is not None or row.dead_at is not None or row.tries != tried:
            return
        row.tries, row.last_code = tried + 1, code
        if code is None:
            row.delivered_at, row.next_at = now, None
            return
        log.info("%s did not arrive at try %d: %s", delivery_id, row.tries, code)
        if code == "http_410":
            webhook = store.get(WebhookRow, row.webhook_id, lock=True)
            if webhook is not None and webhook.disabled_at is None:
                webhook.disabled_at, webhook.disabled_code = now, "gone"
                note(store, Step.WEBHOOK_DISABLED, now=now, about=webhook.webhook_id, reason="gone")
        if code == "http_410" or row.tries >= len(TRIES):
            _give_up(store, row, code, now=now)
            return
        row.next_at = now + TRIES[row.tries]
        _QUEUE.deliver(store, delivery_id, tried=row.tries, at=row.next_at)


def _give_up(store: Store, row: DeliveryRow, code: str, *, now: datetime) -> None:
    row.dead_at, row.last_code, row.next_at = now, code, None
    note(store, Step.DELIVERY_DEAD, now=now, about=row.delivery_id, reason=code)
