"""What a person said, while they could, about their likeness afterwards. It stands above relatives, estates and guardians.

A directive allows within a scope or forbids, for a time or for good. It gives nobody anything by itself: relatives still
need their quorum and window, and may go no further than it. The latest one counts; earlier ones are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from consent.authority import AuthorityCode, AuthorityRefusal, Shown, maybe_instant, one_of, refused
from consent.canonical import Json, Malformed, decode, encode, write_instant
from consent.errors import RecordInvalid
from consent.terms import Purpose

DIRECTIVE_SCHEMA = "mien-advance-directive-1"


class Wish(StrEnum):
    """allow : these purposes and no others, until then if an end is set and never after it.
    forbid : these purposes, or all if none is named, until then if an end is set and else for good."""

    ALLOW = "allow"
    FORBID = "forbid"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvanceDirective:
    """One instruction. ``shown`` is the subject's own live check."""

    subject_id: str
    at: datetime
    wish: Wish
    purposes: tuple[Purpose, ...]
    until: datetime | None
    shown: Shown

    def stops_everything(self, now: datetime) -> bool:
        return not self.allowed(now)

    def allowed(self, now: datetime) -> frozenset[Purpose]:
        """What others may at most allow, now."""
        ended = self.until is not None and now >= self.until
        match self.wish:
            case Wish.ALLOW:
                return frozenset() if ended else frozenset(self.purposes)
            case Wish.FORBID:
                return frozenset(Purpose) if ended else frozenset(Purpose) - frozenset(self.purposes or Purpose)

    @property
    def ends_consents_at(self) -> datetime | None:
        """An end that no consent may outlast."""
        return self.until if self.wish is Wish.ALLOW else None


def direct(
    shown: Shown | AuthorityRefusal,
    *,
    subject_id: str,
    wish: Wish,
    purposes: Iterable[Purpose],
    until: datetime | None,
    now: datetime,
) -> AdvanceDirective | AuthorityRefusal:
    """A person just shown live says what shall hold when they cannot be asked."""
    named = frozenset(purposes)
    if isinstance(shown, AuthorityRefusal):
        return shown
    if (wish is Wish.ALLOW and not named) or (until is not None and until <= now):
        return refused(AuthorityCode.DIRECTIVE_UNCLEAR)
    ordered = tuple(purpose for purpose in Purpose if purpose in named)
    return AdvanceDirective(subject_id=subject_id, at=now, wish=wish, purposes=ordered, until=until, shown=shown)


def directive_bytes(directive: AdvanceDirective) -> bytes:
    """Canonical JSON."""
    written: dict[str, Json] = {
        "schema_version": DIRECTIVE_SCHEMA,
        "pii_principal_id": directive.subject_id,
        "event_time": write_instant(directive.at),
        "wish": directive.wish,
        "purposes": list(directive.purposes),
        "until": None if directive.until is None else write_instant(directive.until),
        "live_check": directive.shown.to_json(),
    }
    return encode(written)


def directive_from_bytes(content: bytes) -> AdvanceDirective:
    """The directive that :func:`directive_bytes` wrote.

    Raises:
        RecordInvalid: when it did not write this.
    """
    try:
        members = decode(content)
        members.exactly("schema_version", DIRECTIVE_SCHEMA)
        directive = AdvanceDirective(
            subject_id=members.text("pii_principal_id"),
            at=members.instant("event_time"),
            wish=one_of(Wish, members.text("wish")),
            purposes=tuple(one_of(Purpose, purpose) for purpose in members.texts("purposes")),
            until=maybe_instant(members, "until"),
            shown=Shown.read(members.members("live_check")),
        )
        members.end()
    except Malformed as error:
        raise RecordInvalid("not an advance directive") from error
    return directive
