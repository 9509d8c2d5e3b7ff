"""Erases what has reached its deadline. Runs in the worker every few seconds; safe to run in several at once."""

from __future__ import annotations

import logging
from datetime import timedelta

from api.authorities import settle_due
from api.judging import FINGERPRINTS_KEPT
from api.service import Service
from api.tables import SessionRow
from liveness import session as life

log = logging.getLogger("mien.worker")

_ORPHANS_LOOKED_FOR = timedelta(minutes=10)


def sweep(service: Service) -> int:
    """One round; gives how many things were erased.

    1. sessions whose time is over without a consent: their key, and with it recording, templates and portrait
    2. handed-in media past its deadline
    3. anything else sealed with a deadline
    4. answers kept for idempotency longer than a day, tokens that ended, and fingerprints of old takes
    5. files that no row knows
    6. claims to speak for somebody that are over: what was handed in for them
    """
    now = service.now()
    erased = 0
    with service.database.transaction() as store:
        over = store.sessions_over(now)
    for session_id in over:  # 1
        with service.database.transaction() as store:
            row = store.get(SessionRow, session_id, lock=True)
            if row is None or row.expires_at > now:
                continue
            state = life.SessionState(row.state)
            if (state, life.SessionEvent.EXPIRE) in life.TRANSITIONS:
                row.state = life.advance(state, life.SessionEvent.EXPIRE)
            service.vault.destroy_key(store, row.data_key_id, now=now)
            erased += 1
    with service.database.transaction() as store:
        for media in store.media_over(now):  # 2
            service.vault.destroy_key(store, media.data_key_id, now=now)
            erased += 1
        for sealed_id in store.sealed_due(now):  # 3
            service.vault.erase(store, sealed_id, now=now)
            erased += 1
        store.forget_fingerprints(now - FINGERPRINTS_KEPT)
        store.forget_before(now - timedelta(hours=24), tokens_before=now - timedelta(hours=1))  # 4
    if now.minute % (_ORPHANS_LOOKED_FOR.seconds // 60) == 0:
        with service.database.transaction() as store:
            erased += service.vault.sweep_orphans(store, now=now)  # 5
    erased += settle_due(service)  # 6
    if erased:
        log.info("erased %d things at their deadline", erased)
    return erased
