"""Erases what has reached its deadline, watches the gate's books, and has the log signed. Runs in one of the workers every few
seconds; safe to run in several at once."""

from __future__ import annotations

import logging
from datetime import timedelta

from api.authorities import settle_due
from api.balance import watch
from api.clip_endings import end_overdue
from api.consents import expire_consent
from api.judging import FINGERPRINTS_KEPT
from api.ledger import catch_up
from api.look_alikes import keep_house
from api.purges import write_overdue_down
from api.service import Service
from api.shreds import put_together, write_down
from api.tables import ConsentRow, SessionRow
from api.webhooks import KEPT as DELIVERIES_KEPT
from consent.status_list import Status
from liveness import session as life

log = logging.getLogger("mien.worker")

_ORPHANS_LOOKED_FOR = timedelta(minutes=10)


def sweep(service: Service) -> int:
    """One round; gives how many things were erased.

    1. sessions whose time is over without a consent: their key, and with it recording, templates and portrait
    2. handed-in media past its deadline
    3. anything else sealed with a deadline
    4. pictures and templates of consents that are over, or that their person had nothing to do with for three years
    5. answers kept for idempotency longer than a day, tokens and sign-ins that ended, and fingerprints of old takes
    6. files that no row knows, rows whose file is lost, and small files of the shred list
    7. proofs of keys that are too old to come again; and status lists catch up with what an older release revoked
    8. consents whose term ran out: what follows from it, each in a transaction of its own
    9. backends that owe a deletion: that they are now refused is written down
    10. messages that arrived or were given up long ago
    11. attempts left without an outcome are closed, and new permits looked at once more: see :mod:`api.balance`
    12. claims to speak for somebody that are over: what was handed in for them
    13. clips that were not done in time
    14. look-alike alerts: what is over, and who is told now; see :mod:`api.look_alikes`

    It also writes down what was shredded, and wraps again what an older master key wrapped. And it signs a checkpoint when the
    log has new entries: within one round, so that no entry waits for a minute.
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
        for consent_id in sorted(store.consents_due(now)):  # 4; as every other who locks several
            consent = store.get(ConsentRow, consent_id, lock=True)
            if consent is not None and (consent.destroy_by or consent.expires_at) <= now:
                service.vault.destroy_key(store, consent.data_key_id, now=now)
                erased += 1
        store.forget_before(now - timedelta(hours=24), tokens_before=now - timedelta(hours=1))  # 5
        store.forget_sign_ins(now=now, sessions_before=now - timedelta(hours=1))
        store.forget_proofs(now)  # 7
        store.forget_mismatches(now.date() - timedelta(days=1))
        behind = store.statuses_behind()
    for consent_id in behind:
        with service.database.transaction() as store:
            consent = store.get(ConsentRow, consent_id, lock=True)
            if consent is not None and consent.revoked_at is not None:
                store.set_status(consent_id, Status.REVOKED, now=now)
    if now.minute % (_ORPHANS_LOOKED_FOR.seconds // 60) == 0:
        with service.database.transaction() as store:
            erased += service.vault.sweep_orphans(store, now=now)  # 6
        put_together(service.vault.files)
    erased += _end_terms(service)  # 8
    with service.database.transaction() as store:
        for purge in store.overdue_purges(now, noted=False, lock=True):  # 9
            write_overdue_down(store, purge, now=now)
        store.forget_deliveries(now - DELIVERIES_KEPT)  # 10
    watch(service)  # 11
    erased += settle_due(service)  # 12
    erased += end_overdue(service)  # 13
    erased += keep_house(service)  # 14
    catch_up(service)
    while write_down(service.database, service.vault.files):
        pass
    rewrap(service)
    if erased:
        log.info("erased %d things at their deadline", erased)
    return erased


def rewrap(service: Service, *, batches: int = 20) -> int:
    """Wrap again what is not under the newest master key, in short transactions; gives how many. The rest waits."""
    done = 0
    for _ in range(batches):
        with service.database.transaction() as store:
            some = service.vault.rewrap(store)
        done += some
        if some == 0:
            break
    if done:
        log.info("wrapped %d keys and answers again", done)
    return done


def _end_terms(service: Service) -> int:
    now, ended = service.now(), 0
    with service.database.transaction() as store:
        over = store.consents_over(now)
    for consent_id in over:
        with service.database.transaction() as store:
            row = store.get(ConsentRow, consent_id, lock=True)
            ended += row is not None and expire_consent(service, store, row, now=now)
    return ended
