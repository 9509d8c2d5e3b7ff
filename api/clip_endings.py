"""How a clip comes to its end, once: done, failed, or not done in time. Whoever waits for it or listens is told in the
transaction that ends it. (Withdrawal follows a consent: :mod:`api.consents`; cancelling is the app's own doing.)"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from api.clip_events import CHANNEL
from api.service import Service
from api.storage import Store
from api.tables import ClipRow
from api.webhooks import Event, publish

log = logging.getLogger("mien.worker")

DEADLINE = "deadline"
"""Code of a clip that was not done in time."""


def is_overdue(service: Service, clip: ClipRow, *, now: datetime) -> bool:
    """Whether it should have been done by now. One that the release before took says no deadline."""
    return now >= (clip.deadline_at or clip.created_at + timedelta(seconds=service.settings.clip_deadline_s))


def tell_done(store: Store, clip: ClipRow, *, now: datetime) -> None:
    """The clip was released just now, in this transaction."""
    publish(store, Event.CLIP_DONE, {"clip_id": clip.clip_id, "state": clip.state}, to=[clip.app_key_id], now=now)
    store.notify(CHANNEL, clip.clip_id)


def fail(
    service: Service, store: Store, clip: ClipRow, code: str, reasons: list[dict[str, object]], *, now: datetime
) -> None:
    """End a clip in hand, which is locked: what was kept for it is gone, and its permit does not count as a use."""
    clip.state, clip.code, clip.reasons, clip.finished_at = "failed", code, reasons, now
    store.give_back(clip.permit_id)
    service.vault.destroy_key(store, clip.data_key_id, now=now)
    said = {"clip_id": clip.clip_id, "state": clip.state, "code": code}
    publish(store, Event.CLIP_FAILED, said, to=[clip.app_key_id], now=now)
    store.notify(CHANNEL, clip.clip_id)


def end_overdue(service: Service) -> int:
    """Clips that nobody began in time, and those whose worker has not noticed; gives how many. A run under way finds that the
    clip is no longer its own, and asks a vendor to stop."""
    now, ended = service.now(), 0
    with service.database.transaction() as store:
        overdue = store.clips_overdue(now, unsaid=now - timedelta(seconds=service.settings.clip_deadline_s))
    for clip_id in overdue:
        with service.database.transaction() as store:
            clip = store.get(ClipRow, clip_id, lock=True)
            if clip is None or clip.state not in ("queued", "running") or not is_overdue(service, clip, now=now):
                continue
            fail(service, store, clip, DEADLINE, [], now=now)
            ended += 1
            log.info("%s was not done in time", clip_id)
    return ended
