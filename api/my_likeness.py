"""What a person is shown of one consent of theirs, as values that the pages of "My likeness" put into words.

Nothing is decided here: who may use it, what stops whom, and what is left to take away are read off the record, so that a
page offers what the API will do and nothing else. No template, score, token or transcript is among the values.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.approvals import details_of
from api.consents import record_of
from api.engines import GENERATORS
from api.media import Erased, Unsealable
from api.service import Service
from api.storage import Store
from api.tables import ApprovalRow, ConsentRow
from consent import terms as agreed
from consent.approval import ApprovalState
from consent.directive import AdvanceDirective, directive_from_bytes
from consent.events import MAY_RESUME, Suspended
from consent.record import ConsentRecord, Party, Standing
from consent.scope import EVERY_BACKEND, EVERYONE, ONLY_ME, ApprovalRule, Scope
from consent.terms import Terms


class Openness(StrEnum):
    """Who may use it, from the least to the most."""

    NOBODY = "nobody"
    ME = "me"
    APPROVED = "approved"
    EVERYONE = "everyone"

    @classmethod
    def of(cls, scope: Scope) -> Openness:
        if not scope.makers:
            return cls.NOBODY
        if scope.makers == (ONLY_ME,):
            return cls.ME
        if scope.makers == (EVERYONE,) and scope.approval is ApprovalRule.NEVER:
            return cls.EVERYONE
        return cls.APPROVED


OFFERED = (Openness.ME, Openness.APPROVED, Openness.EVERYONE)
_ORDER = tuple(Openness)


def narrowing_to(wanted: Openness, scope: Scope) -> dict[str, Any] | None:
    """What to send to ``narrow`` to get there; ``None`` when that would not be less than now."""
    if _ORDER.index(wanted) >= _ORDER.index(Openness.of(scope)):
        return None
    if wanted is Openness.APPROVED:
        return {"approval": ApprovalRule.ALWAYS.value}
    may_be_me = wanted is Openness.ME and (ONLY_ME in scope.makers or scope.makers == (EVERYONE,))
    return {"makers": [ONLY_ME] if may_be_me else []}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mine:
    """One consent as its person sees it. ``state``: given, paused, expired or ended."""

    row: ConsentRow
    record: ConsentRecord
    now: datetime
    used: int
    waiting: int

    @property
    def consent_id(self) -> str:
        return self.row.consent_id

    @property
    def for_another(self) -> bool:
        return self.record.granted.authority is not None

    @property
    def state(self) -> str:
        match self.record.standing_at(self.now):
            case Standing.ENDED:
                return "ended"
            case Standing.EXPIRED:
                return "expired"
            case Standing.SUSPENDED:
                return "paused"
            case _:
                return "given"

    @property
    def stands(self) -> bool:
        return self.state in ("given", "paused")

    @property
    def ended_at(self) -> datetime:
        return self.record.destroy_by

    @property
    def openness(self) -> Openness:
        return Openness.of(self.record.scope)

    @property
    def names(self) -> tuple[str, ...]:
        """Those who alone may ask, where they were named."""
        makers = self.record.scope.makers
        return () if makers == (EVERYONE,) else tuple(maker for maker in makers if maker != ONLY_ME)

    @property
    def asked_each_time(self) -> bool:
        return self.record.scope.approval is ApprovalRule.ALWAYS

    @property
    def every_backend(self) -> bool:
        return self.record.audience == (EVERY_BACKEND,)

    def narrowing(self, wanted: Openness) -> dict[str, Any] | None:
        return narrowing_to(wanted, self.record.scope)

    @property
    def party(self) -> Party:
        """As whom the person at the page acts."""
        return Party.REPRESENTATIVE if self.for_another else Party.SUBJECT

    @property
    def paused_by_me(self) -> bool:
        return self.party in {suspension.by for suspension in self.record.suspended}

    def resumption(self, suspension: Suspended) -> dict[str, Any] | None:
        """What to send to ``resume``; ``None`` where that is not for this person to end."""
        if suspension.by is self.party:
            return {}
        return {"of": suspension.by.value} if self.party in MAY_RESUME[suspension.by] else None

    @property
    def words(self) -> Terms | None:
        """The exact words that it stands on: those of the last renewal, if there was one."""
        last = self.record.granted if self.record.renewed is None else self.record.renewed
        return agreed.by_sha256(last.terms_sha256)


def mine(store: Store, consent_id: str, *, now: datetime) -> Mine | None:
    row = store.get(ConsentRow, consent_id)
    if row is None:
        return None
    return Mine(
        row=row,
        record=record_of(store, consent_id),
        now=now,
        used=store.uses_of(consent_id),
        waiting=store.approvals_waiting(consent_id, now=now),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A use that the person is or was asked about. ``state``: requested, approved, refused or lapsed."""

    row: ApprovalRow
    details: dict[str, Any]
    state: str


def asked_of(service: Service, store: Store, consent_id: str, *, now: datetime) -> tuple[list[Asked], list[Asked]]:
    """Those that wait, the nearest end first, and those that are over, the latest first."""
    waiting: list[Asked] = []
    over: list[Asked] = []
    for row in store.approvals(consent_id):
        lapsed = row.state == ApprovalState.REQUESTED and now >= row.expires_at
        one = Asked(row=row, details=details_of(service, store, row), state="lapsed" if lapsed else row.state)
        (waiting if one.state == ApprovalState.REQUESTED else over).append(one)
    return sorted(waiting, key=lambda one: one.row.expires_at), over


def backends_to_try(store: Store, record: ConsentRecord) -> list[str]:
    """Generators that a person may ask about: those they named, ours, and those with a key here."""
    return sorted({*record.audience, *GENERATORS, *store.backend_names()} - {EVERY_BACKEND})


def said_for_later(store: Store, subject_id: str) -> AdvanceDirective | None:
    row = store.directive(subject_id)
    return None if row is None else directive_from_bytes(row.body)


def portrait_of(service: Service, store: Store, row: ConsentRow) -> bytes | None:
    """The picture that is kept with a consent, while there is one."""
    if row.portrait_id is None:
        return None
    try:
        return service.vault.get(store, row.portrait_id, owner=row.consent_id)
    except (Erased, Unsealable):
        return None


def blocks(text: str) -> list[tuple[str, list[str]]]:
    """Words as they are set on a page: ``h2``, ``h3``, ``p`` and ``ul``, in order. No character of them is left out but the
    signs that say which is which."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("## "):
            found.append(("h3", [line[3:]]))
        elif line.startswith("# "):
            found.append(("h2", [line[2:]]))
        elif line.startswith("- "):
            if found and found[-1][0] == "ul":
                found[-1][1].append(line[2:])
            else:
                found.append(("ul", [line[2:]]))
        elif line:
            found.append(("p", [line]))
    return found


__all__ = [
    "OFFERED",
    "Asked",
    "Mine",
    "Openness",
    "asked_of",
    "backends_to_try",
    "blocks",
    "mine",
    "narrowing_to",
    "portrait_of",
    "said_for_later",
]
