"""What vendors still have of a person whose consent is over: deleted where they have a call for it, said where they have none.

A vendor owes a deletion like any backend (:mod:`api.purges`): the same clock, the same receipt, and refused when it is late.
But nobody there confirms; we have it deleted, and its answer is what the receipt states. Where there is no call, or nobody can
say whether an order arrived, the person is told that it is kept, and until when by the vendor's own documents.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from api import purges
from api.remote_clips import Remotes
from api.service import Service
from api.tables import PurgeRow, RemoteJobRow
from api.withdrawals import OURSELVES
from likeness.backends import BackendCard, cards
from likeness.errors import RemoteError
from likeness.remote import FaultCode, RemoteHandle

log = logging.getLogger("mien.remote")

_ORDER_MAY_TAKE = timedelta(minutes=10)
"""So long an order that a withdrawal met on its way may still come to a handle: its waits together are shorter."""
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=20), timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A job of a demand, as it stands. ``due``: the vendor may be asked again. ``kept``: nothing more can be done about it."""

    clip_id: str
    handle: RemoteHandle | None
    forgotten: bool
    ordered_at: datetime
    due: bool
    kept: bool = False


def forget_at_vendors(service: Service, remotes: Remotes) -> int:
    """One round over what vendors owe; gives how many demands came to an end. Safe to run in several places at once."""
    with service.database.transaction() as store:
        open_now = [(row.purge_id, row.consent_id, row.backend) for row in store.vendor_purges(list(cards()))]
    return sum(_settle(service, remotes, *each) for each in open_now)


def _settle(service: Service, remotes: Remotes, purge_id: str, consent_id: str, vendor: str) -> bool:
    """
    1. each job that the vendor still has is deleted there, outside of any transaction
    2. when all are gone: the receipt; when the rest stays for good: that is written down; else later
    """
    now, card = service.now(), cards()[vendor]
    with service.database.transaction() as store:
        jobs = [_asked(row, now=now) for row in store.vendor_jobs(consent_id, vendor)]
    if not jobs:  # owed by somebody of that name who asked the gate before the name was taken: theirs to confirm
        return False
    after = [job if job.forgotten or not job.due else _forget(service, remotes, card, job) for job in jobs]  # 1
    with service.database.transaction() as store:  # 2
        row = store.get(PurgeRow, purge_id, lock=True)
        if row is None or row.confirmed_at is not None or row.retained_at is not None:
            return False
        if all(job.forgotten for job in after):
            purges.confirm_purge(
                service,
                store,
                row,
                assets_deleted=len(after),
                deleted_at=now,
                backend_signature=None,
                actor=OURSELVES,
                now=now,
            )
            return True
        if all(job.forgotten or job.kept for job in after):
            purges.write_retained_down(store, row, until=_kept_until(card, after), now=now)
            log.info("%s: %s keeps what it has under its own terms", purge_id, vendor)
            return True
    return False


def _asked(row: RemoteJobRow, *, now: datetime) -> _Asked:
    return _Asked(
        clip_id=row.clip_id,
        handle=None if row.handle is None else RemoteHandle.from_json(row.handle),
        forgotten=row.forgotten_at is not None,
        ordered_at=row.ordered_at,
        due=row.forget_after is None or row.forget_after <= now,
    )


def _forget(service: Service, remotes: Remotes, card: BackendCard, job: _Asked) -> _Asked:
    """The job after it was tried to have it deleted."""
    now, backend = service.now(), remotes.backends.get(card.name)
    if job.handle is None:  # nobody knows whether the order arrived; perhaps it is still on its way
        return replace(job, kept=now - job.ordered_at >= _ORDER_MAY_TAKE)
    if not card.forgets:
        return replace(job, kept=True)
    gone = False
    try:
        if backend is None:
            raise RemoteError("the operator has no account there any more", code=FaultCode.CREDENTIALS_MISSING)
        gone = remotes.runner(service, backend, _not_now).forget(backend, job.handle)
    except RemoteError as error:
        log.warning("%s: not deleted at %s yet (%s)", job.clip_id, card.name, error.code)
    with service.database.transaction() as store:
        row = store.get(RemoteJobRow, job.clip_id, lock=True)
        if row is None:
            return job
        if gone:
            row.forgotten_at = now
            return replace(job, forgotten=True)
        waited = _FIRST_WAIT if row.forget_after is None else max(_FIRST_WAIT, (now - row.ordered_at) / 4)
        row.forget_after = now + min(waited, _LONGEST_WAIT)
    return job


def _kept_until(card: BackendCard, jobs: Sequence[_Asked]) -> datetime | None:
    """By the vendor's documents, counted from the end of its longest work; ``None``: they do not say."""
    if card.retains_s is None:
        return None
    longest = timedelta(seconds=card.retains_s + card.deadline_s)
    return max(job.ordered_at for job in jobs if job.kept) + longest


def _not_now(_: float) -> None:
    raise RemoteError("the vendor wants to be asked later", code=FaultCode.VENDOR_UNAVAILABLE)
