"""What an auditor sees first: whether the books of the gate hold, why it refuses, how well the live check was shown to work,
how old what others rely on is, and what waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from api.balance import Balance, balance
from api.evaluations import Evaluation, EvaluationUnreadable, read_evaluation, running
from api.service import Service
from api.storage import Store
from api.storage_audit import QueueState, StatusListState
from consent.attempts import OutcomeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointState:
    """The latest signed state of the log. behind: entries that no checkpoint covers yet."""

    size: int
    at: datetime
    behind: int
    witnesses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """evaluation : ``None`` with ``evaluation_missing`` why: ``unset`` or ``unreadable``."""

    at: datetime
    balance: Balance
    refused_because: tuple[tuple[str, int], ...]
    failed_because: tuple[tuple[str, int], ...]
    policy: str
    evaluation: Evaluation | None
    evaluation_missing: str | None
    status_lists: tuple[StatusListState, ...]
    checkpoint: CheckpointState | None
    queues: tuple[QueueState, ...]
    workers: int
    claims_waiting: int
    openings_waiting: int
    backends_blocked: int


def overview(service: Service, store: Store) -> Overview:
    """All of it at one moment. Nothing in it is about one person, so looking at it is no event."""
    now = service.now()
    reasons = store.gate_reasons()
    evaluation, missing = _evaluation(service)
    return Overview(
        at=now,
        balance=balance(store, now=now),
        refused_because=_most_first(reasons, OutcomeKind.REFUSAL),
        failed_because=_most_first(reasons, OutcomeKind.ERROR),
        policy=running(service.settings.policy),
        evaluation=evaluation,
        evaluation_missing=missing,
        status_lists=tuple(store.status_list_states()),
        checkpoint=_checkpoint(store),
        queues=tuple(store.queue_states()),
        workers=store.workers_alive(),
        claims_waiting=store.count_claims(("documents", "checked_once")),
        openings_waiting=store.count_openings_waiting(now=now),
        backends_blocked=len({row.backend for row in store.overdue_purges(now) if row.excused_at is None}),
    )


def _most_first(reasons: list[tuple[str, str, int]], kind: OutcomeKind) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(((reason, n) for of, reason, n in reasons if of == kind), key=lambda one: (-one[1], one[0])))


def _evaluation(service: Service) -> tuple[Evaluation | None, str | None]:
    file = service.settings.evaluation
    if file is None:
        return None, "unset"
    try:
        return read_evaluation(file), None
    except EvaluationUnreadable:
        return None, "unreadable"


def _checkpoint(store: Store) -> CheckpointState | None:
    row = store.last_checkpoint()
    if row is None:
        return None
    last = store.last_entry()
    return CheckpointState(
        size=row.size,
        at=row.at,
        behind=0 if last is None else last.index + 1 - row.size,
        witnesses=len(store.cosignatures(row.size)),
    )
