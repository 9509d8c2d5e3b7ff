"""What a person allows: for what, through whom, asked by whom, about what, where, how often, how long.

Every part can be compared with another of its kind: :meth:`Scope.within` is the one rule of narrowing. What an empty or a
starred list means is the same everywhere: nobody or nothing, and everybody.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from consent.content import ContentCategory
from consent.errors import ConsentInvalid
from consent.terms import Purpose
from consent.territory import WORLD, holding, is_territory

EVERY_BACKEND = "*"
"""As the only name in an audience: every backend. An empty audience: nobody."""

EVERYONE = "*"
"""As the only name among makers: whoever asks."""

ONLY_ME = "self"
"""Among makers: the person themself."""

_MAX_AUDIENCE = 64
_MAX_MAKERS = 64
_MAX_WORDS = 64
_MAX_WORD_CHARS = 64
_MAX_SECONDS = 3600
_MAX_USES = 1_000_000

_BACKEND = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_MAKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@/+-]{0,99}")


class ApprovalRule(StrEnum):
    """Whether each single use waits for the person's yes."""

    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds the person set.

    max_seconds : longest clip, 1 to 3600 s.
    forbidden_words : words or phrases the double must not say (see :func:`consent.gate.says_forbidden`).
    uses : how many permits may be given altogether; ``None`` for no bound.
    forbidden_categories : what no clip may be about. allowed_categories : what alone it may be about; ``None`` for anything.
    territories : where it may be published; ``("*",)`` for the world.
    """

    max_seconds: int
    forbidden_words: tuple[str, ...] = ()
    uses: int | None = None
    forbidden_categories: tuple[ContentCategory, ...] = ()
    allowed_categories: tuple[ContentCategory, ...] | None = None
    territories: tuple[str, ...] = (WORLD,)

    def __post_init__(self) -> None:
        words = self.forbidden_words
        sound = (
            1 <= self.max_seconds <= _MAX_SECONDS
            and len(words) <= _MAX_WORDS
            and all(plain_words(word) and len(word) <= _MAX_WORD_CHARS for word in words)
            and (self.uses is None or 1 <= self.uses <= _MAX_USES)
        )
        if not sound:
            raise ConsentInvalid(
                f"limits need 1 to {_MAX_SECONDS} s, at most {_MAX_WORDS} words and 1 to {_MAX_USES} uses",
                code="limits_invalid",
            )
        if not self.territories or not all(is_territory(code) for code in self.territories):
            raise ConsentInvalid("a territory is an ISO 3166 code or *", code="territory_invalid")
        allowed = self.allowed_categories
        object.__setattr__(self, "forbidden_words", tuple(sorted({plain_words(word) for word in words})))
        object.__setattr__(self, "forbidden_categories", _categories(self.forbidden_categories))
        object.__setattr__(self, "allowed_categories", None if allowed is None else _categories(allowed))
        territories = set(self.territories)  # what lies in another of them says nothing more
        object.__setattr__(
            self, "territories", tuple(sorted(t for t in territories if not territories & set(holding(t)[1:])))
        )

    def within(self, other: Limits) -> bool:
        return (
            self.max_seconds <= other.max_seconds
            and set(self.forbidden_words) >= set(other.forbidden_words)
            and (other.uses is None or (self.uses is not None and self.uses <= other.uses))
            and set(self.forbidden_categories) >= set(other.forbidden_categories)
            and (
                other.allowed_categories is None
                or (
                    self.allowed_categories is not None
                    and set(self.allowed_categories) <= set(other.allowed_categories)
                )
            )
            and all(set(holding(code)) & set(other.territories) for code in self.territories)
        )


def _categories(given: tuple[ContentCategory, ...]) -> tuple[ContentCategory, ...]:
    try:
        wanted = {ContentCategory(category) for category in given}
    except ValueError as error:
        raise ConsentInvalid(f"categories are {', '.join(ContentCategory)}", code="category_unknown") from error
    return tuple(category for category in ContentCategory if category in wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What may be done, by whom, within which bounds, until when (half-open: no longer at ``expires_at``).

    audience : backends that may do it. makers : who may ask for it: ``("*",)``, or ids and ``self`` for the person.
    approval : whether each use waits for the person's yes.
    """

    purposes: tuple[Purpose, ...]
    audience: tuple[str, ...]
    limits: Limits
    expires_at: datetime
    makers: tuple[str, ...] = (EVERYONE,)
    approval: ApprovalRule = ApprovalRule.NEVER

    def __post_init__(self) -> None:
        if not self.purposes:
            raise ConsentInvalid("a consent needs at least one purpose", code="purposes_empty")
        every = self.audience == (EVERY_BACKEND,)
        named = len(self.audience) <= _MAX_AUDIENCE and all(_BACKEND.fullmatch(name) for name in self.audience)
        if not every and not named:
            raise ConsentInvalid(f"audience is * or at most {_MAX_AUDIENCE} backend names", code="audience_invalid")
        everyone = self.makers == (EVERYONE,)
        if not everyone and (len(self.makers) > _MAX_MAKERS or not all(_MAKER.fullmatch(m) for m in self.makers)):
            raise ConsentInvalid(f"makers are * or at most {_MAX_MAKERS} ids", code="makers_invalid")
        if self.expires_at.tzinfo is None:
            raise ConsentInvalid("expiry needs a zone", code="expiry_out_of_range")
        object.__setattr__(self, "purposes", tuple(purpose for purpose in Purpose if purpose in self.purposes))
        object.__setattr__(self, "audience", tuple(sorted(set(self.audience))))
        object.__setattr__(self, "makers", tuple(sorted(set(self.makers))))
        object.__setattr__(self, "approval", ApprovalRule(self.approval))

    def covers(self, backend: str) -> bool:
        return self.audience == (EVERY_BACKEND,) or backend in self.audience

    def within(self, other: Scope) -> bool:
        """Nothing that ``other`` does not allow as well."""
        return self.within_but_for_time(other) and self.expires_at <= other.expires_at

    def within_but_for_time(self, other: Scope) -> bool:
        return (
            set(self.purposes) <= set(other.purposes)
            and (other.audience == (EVERY_BACKEND,) or set(self.audience) <= set(other.audience))
            and (other.makers == (EVERYONE,) or set(self.makers) <= set(other.makers))
            and (other.approval is ApprovalRule.NEVER or self.approval is ApprovalRule.ALWAYS)
            and self.limits.within(other.limits)
        )


def plain_words(text: str) -> str:
    """Text as words are compared: without differences of width, case, invisible characters, punctuation and spacing.
    Empty when there is nothing else in it."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    shown = (c for c in folded if unicodedata.category(c) != "Cf")  # zero-width joiners and the like
    return " ".join("".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in shown).split())
