"""The book of how withdrawals were carried out: each step, when, by whom, about what. Append-only, without personal data."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from api.storage import Store, new_id
from api.tables import WithdrawalEventRow

OURSELVES = "service"
"""As the actor: nobody asked for it, a rule did."""


class Step(StrEnum):
    """What was done."""

    CONSENT_EXPIRED = "consent.expired"
    TEMPLATES_DESTROYED = "templates.destroyed"
    CLIP_WITHDRAWN = "clip.withdrawn"
    PURGE_REQUIRED = "purge.required"
    PURGE_CONFIRMED = "purge.confirmed"
    PURGE_RETAINED = "purge.retained"
    BACKEND_BLOCKED = "backend.blocked"
    BACKEND_UNBLOCKED = "backend.unblocked"
    WEBHOOK_SET = "webhook.set"
    WEBHOOK_ROTATED = "webhook.rotated"
    WEBHOOK_REMOVED = "webhook.removed"
    WEBHOOK_DISABLED = "webhook.disabled"
    DELIVERY_DEAD = "delivery.dead"
    DELIVERY_RESENT = "delivery.resent"
    VENDOR_FORGOT = "vendor.forgot"


def note(
    store: Store,
    step: Step,
    *,
    now: datetime,
    actor: str = OURSELVES,
    consent_id: str | None = None,
    backend: str | None = None,
    about: str | None = None,
    reason: str | None = None,
) -> None:
    """Write a step down, in the transaction that takes it. ``about``: the id of the purge, clip, webhook or message."""
    store.add(
        WithdrawalEventRow(
            event_id=new_id("wev"),
            at=now,
            kind=step,
            actor=actor,
            consent_id=consent_id,
            backend=backend,
            about=about,
            reason=reason,
        )
    )
