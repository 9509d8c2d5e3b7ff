"""What is allowed now, once more in plain Python: as a reader of the terms and of docs/api.md would work it out from what
people said. It knows nothing of events, records, tokens or tables, and asks nothing of ``consent``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

IDLE = timedelta(days=1095)  # three years without the person
TEN_YEARS = timedelta(days=3652)
A_DAY = timedelta(hours=24)
TO_DELETE = timedelta(hours=48)
EVERYTHING = frozenset({"*"})


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What one person chose. ``{"*"}`` among backends, makers, places: all of them. ``None``: no such limit."""

    purposes: frozenset[str]
    backends: frozenset[str]
    makers: frozenset[str]
    asks_me: bool
    seconds: int
    words: frozenset[str]
    uses: int | None
    not_about: frozenset[str]
    only_about: frozenset[str] | None
    places: frozenset[str]
    until: datetime

    def told(self, body: Mapping[str, Any]) -> Scope:
        """After a call with that body; what it does not name stays."""
        limits = body.get("limits", {})
        names: dict[str, Any] = {
            "purposes": frozenset(body["purposes"]) if "purposes" in body else None,
            "backends": frozenset(body["audience"]) if "audience" in body else None,
            "makers": frozenset(body["makers"]) if "makers" in body else None,
            "asks_me": body["approval"] == "always" if "approval" in body else None,
            "until": datetime.fromisoformat(body["expires_at"]) if "expires_at" in body else None,
            "seconds": limits.get("max_seconds"),
            "words": frozenset(limits["forbidden_words"]) if "forbidden_words" in limits else None,
            "uses": limits.get("uses"),
            "not_about": frozenset(limits["forbidden_categories"]) if "forbidden_categories" in limits else None,
            "only_about": None if (only := limits.get("allowed_categories")) is None else frozenset(only),
            "places": frozenset(limits["territories"]) if "territories" in limits else None,
        }
        return replace(self, **{name: value for name, value in names.items() if value is not None})

    def adds_nothing_to(self, other: Scope) -> bool:
        """But for time."""
        return (
            self.purposes <= other.purposes
            and _among(self.backends, other.backends)
            and _among(self.makers, other.makers)
            and (self.asks_me or not other.asks_me)
            and self.seconds <= other.seconds
            and self.words >= other.words
            and (other.uses is None or (self.uses is not None and self.uses <= other.uses))
            and self.not_about >= other.not_about
            and (other.only_about is None or (self.only_about is not None and self.only_about <= other.only_about))
            and all(in_one_of(place, other.places) for place in self.places)
        )


NOTHING_CHOSEN = Scope(
    purposes=frozenset(),
    backends=frozenset(),
    makers=EVERYTHING,
    asks_me=False,
    seconds=60,
    words=frozenset(),
    uses=None,
    not_about=frozenset(),
    only_about=None,
    places=EVERYTHING,
    until=datetime.max.replace(tzinfo=UTC),
)


def _among(some: frozenset[str], others: frozenset[str]) -> bool:
    return others == EVERYTHING or some <= others


def in_one_of(place: str, places: frozenset[str]) -> bool:
    """A part lies in its country, and all lie in the world."""
    return bool({place, place.split("-")[0], "*"} & places)


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a backend wants to make. ``None``: not stated."""

    backend: str
    purpose: str
    job: str
    seconds: int | None
    script: str | None
    maker: str | None
    about: frozenset[str] | None
    places: frozenset[str] | None


@dataclass(kw_only=True, eq=False)
class Consent:
    """What was said about one consent. ``person``: whose face.

    heard : when the person last had to do with it. stopped : who pauses it. yes : single uses they agreed to, until when.
    changes : how often something was said. gone : forgotten by the service, with what it had.
    destroyed : its term ran out, and the face was erased.
    """

    consent_id: str
    subject_id: str
    person: str
    scope: Scope
    heard: datetime
    stopped: set[str] = field(default_factory=set)
    over: bool = False
    gone: bool = False
    destroyed: bool = False
    changes: int = 0
    used: int = 0
    yes: dict[tuple[str, str, str], datetime] = field(default_factory=dict)

    @property
    def ends(self) -> datetime:
        return min(self.scope.until, self.heard + IDLE)

    def runs(self, now: datetime) -> bool:
        """It can still be changed."""
        return not self.over and not self.gone and now < self.ends

    def stands(self, now: datetime) -> bool:
        return self.runs(now) and not self.stopped

    def covers(self, use: Use, now: datetime) -> bool:
        """All but the person's own yes to this use."""
        scope = self.scope
        maker = "self" if use.maker == self.subject_id else use.maker
        return (
            self.stands(now)
            and use.purpose in scope.purposes
            and _among(frozenset({use.backend}), scope.backends)
            and (scope.makers == EVERYTHING or maker in scope.makers)
            and (use.seconds is None or use.seconds <= scope.seconds)
            and (scope.uses is None or self.used < scope.uses)
            and (not scope.words or (use.script is not None and not any(w in use.script.lower() for w in scope.words)))
            and (not scope.not_about or (use.about is not None and not use.about & scope.not_about))
            and (scope.only_about is None or (use.about is not None and use.about <= scope.only_about))
            and (
                scope.places == EVERYTHING
                or (bool(use.places) and all(in_one_of(p, scope.places) for p in use.places or ()))
            )
        )

    def said_yes(self, use: Use, now: datetime) -> bool:
        return not self.scope.asks_me or now < self.yes.get((use.backend, use.purpose, use.job), now)


@dataclass(kw_only=True)
class Debts:
    """What backends made of people and have not deleted since; and until when they must. By consent and backend."""

    made: set[tuple[str, str]] = field(default_factory=set)
    due: dict[tuple[str, str], datetime] = field(default_factory=dict)
    excused: set[tuple[str, str]] = field(default_factory=set)

    def ask_back(self, consent: Consent, now: datetime) -> None:
        """Something was said: whoever made something under it and is not covered any more must delete it."""
        for key in self.made:
            lost = consent.over or now >= consent.ends or not _among(frozenset({key[1]}), consent.scope.backends)
            if key[0] == consent.consent_id and lost:
                self.due.setdefault(key, now + TO_DELETE)

    def confirm(self, backend: str) -> None:
        for key in [key for key in self.due if key[1] == backend]:
            del self.due[key]
            self.made.discard(key)
            self.excused.discard(key)

    def excuse(self, backend: str, now: datetime) -> None:
        self.excused |= {key for key, at in self.due.items() if at <= now and key[1] == backend}

    def blocked(self, backend: str, now: datetime) -> bool:
        return any(at <= now and key[1] == backend and key not in self.excused for key, at in self.due.items())
