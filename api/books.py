"""The gate's books: questions and answers as rows, counted and put into the log by whoever comes first.

A question is written down before it is decided, and its answer before it is given, each in a transaction of its own that
waits for nobody: no row in it is one that others want, too. What the log and the counts need is done for many at once, in the
order in which they were written (:func:`settle`): by a thread in each worker, by one in each API process where no worker
does, by the worker's sweep, and at once by whoever appends to the log, signs it, or looks for questions. See ADR 0018.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from api.storage import Store
from api.storage_gate import SETTLED_WITHIN, Answered, Waiting
from api.tables import AttemptRow, OutcomeRow
from api.tree import add_entries
from consent.attempts import ATTEMPT_KIND, OUTCOME_KIND, Attempt, Outcome, OutcomeKind, attempt_bytes, outcome_bytes
from consent.errors import ConsentError
from consent.gate import GateCode
from consent.ledger import commit

if TYPE_CHECKING:
    from api.service import Service

log = logging.getLogger("mien.gate")

SETTLED_EVERY_S = 0.2
LEFT_TO_WORKERS_S = 1.0
"""What has waited for longer is settled by those who answer, too: no worker is there, or none keeps up."""
_AT_ONCE, _AFTER_A_FAILURE_S = 5000, 1.0


def attempt_of(row: AttemptRow) -> Attempt:
    return Attempt(
        attempt_id=row.attempt_id,
        at=row.at,
        caller=row.caller,
        backend=row.backend,
        stage=row.stage,
        purpose=row.purpose,
        job_sha256=row.job_sha256,
        claimed=row.claimed,
    )


def outcome_of(row: OutcomeRow | Answered) -> Outcome:
    failed = any(reason["code"] == GateCode.GATE_ERROR for reason in row.reasons)
    return Outcome(
        attempt_id=row.attempt_id,
        at=row.at,
        kind=OutcomeKind.PERMIT if row.decision else OutcomeKind.ERROR if failed else OutcomeKind.REFUSAL,
        reasons=row.reasons,
        permit_id=row.permit_id,
    )


# --- counted and put into the log ------------------------------------------------------------------------------------


def settle(store: Store, *, now: datetime, most: int = _AT_ONCE, last: int | None = None) -> int:
    """Count what waits to be counted, and put it into the log; gives how many. Nobody else does until the transaction ends.

    1. take what was written down first, in order, up to number ``last``
    2. count it, and write down what it is found by
    3. put the salted digest of each that has a salt into the log, unless it is there
    4. note where it stands

    One that cannot be read gets no entry: whoever verifies the log is told that it is missing, and the others are not held up.
    """
    store.lock_ledger()
    store.plan_by_index()
    waiting = store.take_waiting(most, last=last)  # 1
    if not waiting:
        return 0
    store.count_waiting(waiting)  # 2
    logged = [(one, digest) for one in waiting if (digest := _digest(one)) is not None]  # 3
    kinds = {True: ATTEMPT_KIND, False: OUTCOME_KIND}
    entries = add_entries(store, [(kinds[one.asked], digest) for one, digest in logged], now=now)
    store.set_indexes([(one, entry.index) for (one, _), entry in zip(logged, entries, strict=True)])  # 4
    return len(waiting)


def settle_what_is_there(store: Store, *, now: datetime) -> int:
    """Count and log all that was written down before this moment, in this transaction. Not what comes in meanwhile: somebody
    who takes a consent back would wait for as long as anybody asks."""
    store.lock_ledger()
    last, done = store.last_waiting(), 0
    while some := settle(store, now=now, last=last):
        done += some
    return done


def _digest(one: Waiting) -> str | None:
    if one.salt is None or one.row is None or one.logged:
        return None
    try:
        content = attempt_bytes(one.row) if isinstance(one.row, Attempt) else outcome_bytes(outcome_of(one.row))
        return commit(content, one.salt)
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        ConsentError,
    ) as error:  # a row that the service never writes
        log.error(
            "%s of %s cannot go into the log: %s",
            "question" if one.asked else "answer",
            one.attempt_id,
            type(error).__name__,
        )
        return None


def settle_all(service: Service) -> int:
    """Count and log all that waits, in transactions of their own; gives how many."""
    done = 0
    while True:
        with service.database.transaction() as store:
            some = settle(store, now=service.now()) if store.is_waiting() else 0
        done += some
        if some < _AT_ONCE:
            return done


@contextmanager
def settling(service: Service, *, left_s: float = 0.0) -> Iterator[None]:
    """A thread that settles every :data:`SETTLED_EVERY_S`, or only when something has waited for longer than ``left_s``. Where
    somebody else has the log, it leaves it to them."""
    over = threading.Event()

    def run() -> None:
        pause = every = max(SETTLED_EVERY_S, left_s)
        while not over.wait(pause):
            pause = every
            try:
                with service.database.transaction() as store:
                    if store.waits_s() > left_s and store.try_lock_ledger():
                        settle(store, now=service.now())
            except Exception as error:  # tried again, here and by others; what it waits is seen in the balance
                log.error("the gate's books were not settled: %s", type(error).__name__)
                pause = max(pause, _AFTER_A_FAILURE_S)

    thread = threading.Thread(target=run, name="settling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


__all__ = [
    "LEFT_TO_WORKERS_S",
    "SETTLED_EVERY_S",
    "SETTLED_WITHIN",
    "attempt_of",
    "outcome_of",
    "settle",
    "settle_all",
    "settle_what_is_there",
    "settling",
]
