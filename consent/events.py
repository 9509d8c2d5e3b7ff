"""What can happen to one consent: its states, which event may follow which, and the events themselves.

Everything that decides what may follow is in :data:`TRANSITIONS` and nowhere else; that a consent expires is computed from
time and is no event. Events check themselves when they are built, so that what comes out of storage or out of a signed
record obeys the same rules as what was just made. Who makes them, and what they add up to, is in :mod:`consent.record`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import assert_never

from consent.authority import WITHHELD, AuthorityBinding
from consent.canonical import is_sha256
from consent.errors import ConsentInvalid
from consent.scope import EVERY_BACKEND, EVERYONE, ApprovalRule, Limits, Scope
from consent.terms import Purpose
from liveness.policy import Assurance, Path
from liveness.verdict import CheckResult, Live

EVENT_SCHEMAS = MappingProxyType({1: "mien-consent-event-1", 2: "mien-consent-event-2"})

LONGEST_TERM = timedelta(days=3652)  # ten calendar years have 3652 or 3653 days; NO FAKES Act text: at most ten years
IDLE = timedelta(days=1095)  # BIPA 740 ILCS 14/15(a): destroyed within three years of the last interaction
LIVE_FOR = timedelta(
    minutes=15
)  # reading the terms and choosing takes minutes; longer, and someone else may hold the phone
CLOCKS_APART = timedelta(seconds=5)  # between the machine that judged and the one that grants

_MAX_TEXT_CHARS = 300
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@/+-]{0,199}")


class ConsentState(StrEnum):
    """The ten event states of ISO/IEC TS 27560. Only ``given`` and ``renewed`` allow a use."""

    UNKNOWN = "unknown"
    REQUESTED = "requested"
    DEFERRED = "deferred"
    REFUSED = "refused"
    GIVEN = "given"
    RENEWED = "renewed"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    TERMINATED = "terminated"
    INVALIDATED = "invalidated"

    @property
    def allows_use(self) -> bool:
        return self in (ConsentState.GIVEN, ConsentState.RENEWED)


class RevokedBy(StrEnum):
    """Who ended it, and so which state it ends in.

    subject         the person: withdrawn.
    representative  somebody who speaks for the person, on a claim or as their agent: withdrawn.
    app             the operator's server on the person's word: withdrawn.
    controller      the organisation of its own accord: terminated.
    authority       the claim it was given on is over: terminated.
    review          the live check or the record turned out to be wrong: invalidated.
    """

    SUBJECT = "subject"
    REPRESENTATIVE = "representative"
    APP = "app"
    CONTROLLER = "controller"
    AUTHORITY = "authority"
    REVIEW = "review"

    @property
    def state(self) -> ConsentState:
        match self:
            case RevokedBy.SUBJECT | RevokedBy.REPRESENTATIVE | RevokedBy.APP:
                return ConsentState.WITHDRAWN
            case RevokedBy.CONTROLLER | RevokedBy.AUTHORITY:
                return ConsentState.TERMINATED
            case RevokedBy.REVIEW:
                return ConsentState.INVALIDATED


class Party(StrEnum):
    """Who suspends or resumes.

    subject         the person.
    representative  somebody who speaks for the person, on a claim or as their agent.
    app             the operator's server on the person's word.
    controller      the organisation of its own accord.
    authority       a court or another authority, through the controller.
    review          somebody doubts the live check or the record.
    objection       somebody entitled objects to the claim it was given on.
    """

    SUBJECT = "subject"
    REPRESENTATIVE = "representative"
    APP = "app"
    CONTROLLER = "controller"
    AUTHORITY = "authority"
    REVIEW = "review"
    OBJECTION = "objection"


MAY_RESUME: Mapping[Party, frozenset[Party]] = MappingProxyType(
    {
        Party.SUBJECT: frozenset({Party.SUBJECT}),
        Party.REPRESENTATIVE: frozenset({Party.REPRESENTATIVE, Party.SUBJECT}),
        Party.APP: frozenset({Party.APP, Party.SUBJECT}),
        Party.CONTROLLER: frozenset({Party.CONTROLLER}),
        Party.AUTHORITY: frozenset({Party.AUTHORITY}),
        Party.REVIEW: frozenset({Party.REVIEW}),
        Party.OBJECTION: frozenset({Party.OBJECTION}),
    }
)
"""Whose suspension may be ended by whom. What the person suspended, nobody else resumes. Of several representatives only the
one who suspended resumes (:func:`consent.record.resume`)."""


# --- which event may follow which ------------------------------------------------------------------------------------


class Kind(StrEnum):
    """What can happen to a consent; also the kind of its entry in the log."""

    REQUESTED = "consent.requested"
    DEFERRED = "consent.deferred"
    REFUSED = "consent.refused"
    GRANTED = "consent.granted"
    NARROWED = "consent.narrowed"
    RENEWED = "consent.renewed"
    SUSPENDED = "consent.suspended"
    RESUMED = "consent.resumed"
    REVOKED = "consent.revoked"


class Standing(StrEnum):
    """Where a consent stands, as far as it decides what may follow. ``expired`` comes from time alone."""

    NOTHING = "nothing"
    REQUESTED = "requested"
    DEFERRED = "deferred"
    REFUSED = "refused"
    IN_FORCE = "in_force"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    ENDED = "ended"


TRANSITIONS: Mapping[tuple[Standing, Kind], Standing] = MappingProxyType(
    {
        (Standing.NOTHING, Kind.REQUESTED): Standing.REQUESTED,
        (Standing.NOTHING, Kind.GRANTED): Standing.IN_FORCE,
        (Standing.REQUESTED, Kind.DEFERRED): Standing.DEFERRED,
        (Standing.REQUESTED, Kind.REFUSED): Standing.REFUSED,
        (Standing.REQUESTED, Kind.GRANTED): Standing.IN_FORCE,
        (Standing.DEFERRED, Kind.REQUESTED): Standing.REQUESTED,
        (Standing.DEFERRED, Kind.REFUSED): Standing.REFUSED,
        (Standing.DEFERRED, Kind.GRANTED): Standing.IN_FORCE,
        (Standing.IN_FORCE, Kind.NARROWED): Standing.IN_FORCE,
        (Standing.IN_FORCE, Kind.RENEWED): Standing.IN_FORCE,
        (Standing.IN_FORCE, Kind.SUSPENDED): Standing.SUSPENDED,
        (Standing.IN_FORCE, Kind.REVOKED): Standing.ENDED,
        (Standing.SUSPENDED, Kind.NARROWED): Standing.SUSPENDED,
        (Standing.SUSPENDED, Kind.SUSPENDED): Standing.SUSPENDED,  # by another party too
        (Standing.SUSPENDED, Kind.RESUMED): Standing.IN_FORCE,  # or still suspended, by another party
        (Standing.SUSPENDED, Kind.REVOKED): Standing.ENDED,
        (Standing.EXPIRED, Kind.REVOKED): Standing.ENDED,
    }
)
"""What is not here is not allowed. A refusal is final: whoever asks again asks under a new id. What has expired is not
renewed, since what it was about is destroyed then."""

_WHY_NOT: Mapping[Standing, str] = MappingProxyType(
    {
        Standing.NOTHING: "consent_missing",
        Standing.REQUESTED: "consent_missing",
        Standing.DEFERRED: "consent_missing",
        Standing.REFUSED: "consent_refused",
        Standing.IN_FORCE: "consent_in_force",
        Standing.SUSPENDED: "consent_suspended",
        Standing.EXPIRED: "consent_expired",
        Standing.ENDED: "consent_revoked",
    }
)


def advance(standing: Standing, kind: Kind) -> Standing:
    """Where a consent stands after that event.

    Raises:
        ConsentInvalid: the event may not follow; the code says where the consent stands: ``consent_missing``,
            ``consent_refused``, ``consent_in_force``, ``consent_suspended``, ``consent_expired``, ``consent_revoked``.
    """
    try:
        return TRANSITIONS[standing, kind]
    except KeyError:
        raise ConsentInvalid(f"{kind} may not follow: the consent is {standing}", code=_WHY_NOT[standing]) from None


# --- values ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """The organisation that answers for the processing.

    contact : how the person reaches it, e.g. a mail address or a page.
    jurisdiction : whose law applies, e.g. ``DE`` or ``US-CA`` (ISO 3166).
    storage_location : where the data lies, same form.
    withdrawal : how the person withdraws without asking anyone, e.g. an address; ``None`` in records of schema 1.
    """

    name: str
    contact: str
    jurisdiction: str
    storage_location: str
    withdrawal: str | None = None

    def __post_init__(self) -> None:
        texts = (self.name, self.contact, self.jurisdiction, self.storage_location)
        for text in texts if self.withdrawal is None else (*texts, self.withdrawal):
            if not text.strip() or len(text) > _MAX_TEXT_CHARS or not text.isprintable():
                raise ConsentInvalid(
                    "a controller has name, contact, jurisdiction and place", code="controller_invalid"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveBinding:
    """Which live check a consent stands on. ``policy`` is ``name@version``; ``models`` role to model version.

    path, extra_time : what the person chose to be asked for; ``None`` in records from before there was a choice.
    least_similarity : of the person to the start of the recording, over all phases, in thousandths of the cosine; ``None`` when
    the verdict does not have it. checks_sha256 : digest of every check's name, outcome, value, limit and unit, so that a
    verdict handed over later can be held against this record.
    """

    challenge_id: str
    nonce: str
    capture_sha256: str
    policy: str
    assurance: Assurance
    models: dict[str, str]
    judged_at: datetime
    path: Path | None = None
    extra_time: bool | None = None
    least_similarity: int | None = None
    checks_sha256: str | None = None

    def __post_init__(self) -> None:
        if not is_sha256(self.capture_sha256):
            raise ConsentInvalid("capture hash is not a SHA-256 in hex", code="not_live")

    @classmethod
    def bind(cls, live: Live) -> LiveBinding:
        return cls(
            challenge_id=live.challenge_id,
            nonce=live.nonce,
            capture_sha256=live.capture_sha256,
            policy=live.policy,
            assurance=live.assurance,
            models=dict(sorted(live.models.items())),
            judged_at=live.judged_at,
            path=live.path,
            extra_time=live.extra_time,
            least_similarity=_least_similarity(live),
            checks_sha256=checks_digest(live.results),
        )


def _least_similarity(live: Live) -> int | None:
    found = [r.value for r in live.results if r.name == "same_person" and r.value is not None]
    return round(1000 * found[0]) if found else None


def checks_digest(results: Sequence[CheckResult]) -> str:
    """SHA-256 in hex of the checks, in their order: one line each with name, outcome, value, limit and unit, separated by tabs.
    Numbers as Python's ``repr`` of a float writes them: the shortest text that reads back the same."""
    lines = ("\t".join((r.name, r.outcome, _number(r.value), _number(r.limit), r.unit)) for r in results)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _number(value: float | None) -> str:
    return "" if value is None else repr(float(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """Somebody was asked. ``purposes``: what for."""

    consent_id: str
    at: datetime
    subject_id: str
    controller: Controller
    purposes: tuple[Purpose, ...]
    number: int = 0

    def __post_init__(self) -> None:
        _check_ids(self.consent_id, self.subject_id)
        object.__setattr__(self, "purposes", known_purposes(self.purposes))

    @property
    def kind(self) -> Kind:
        return Kind.REQUESTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """The person did not want to decide yet."""

    consent_id: str
    number: int
    at: datetime

    @property
    def kind(self) -> Kind:
        return Kind.DEFERRED


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The person said no."""

    consent_id: str
    number: int
    at: datetime

    @property
    def kind(self) -> Kind:
        return Kind.REFUSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A person agreed, or somebody on their behalf: then ``authority`` says on what basis, ``live`` is the representative's
    own check, and the templates are of photographs.

    subject_id : a pseudonym. template_commitment : see :func:`consent.gate.commit_template`.
    check_sha256 : hash of the consent to the live check that came before it, where that was given as an act of its own.
    schema : 1 for what the first release wrote, which has none of the newer choices.
    """

    consent_id: str
    at: datetime
    subject_id: str
    controller: Controller
    terms_version: str
    terms_language: str
    terms_sha256: str
    scope: Scope
    template_commitment: str
    live: LiveBinding
    authority: AuthorityBinding | None = None
    check_sha256: str | None = None
    number: int = 0
    schema: int = 2

    def __post_init__(self) -> None:
        _check_ids(self.consent_id, self.subject_id)
        if not is_sha256(self.template_commitment):
            raise ConsentInvalid("template commitment is not 64 hex digits", code="commitment_invalid")
        if self.check_sha256 is not None and not is_sha256(self.check_sha256):
            raise ConsentInvalid("hash of the check's consent is not a SHA-256 in hex", code="commitment_invalid")
        _check_term(self.at, self.scope, self.live)
        if self.authority is not None and not (
            self.authority.valid_from <= self.at and self.scope.expires_at <= self.authority.valid_to
        ):
            raise ConsentInvalid("a consent lasts no longer than the authority it stands on", code="authority_invalid")
        if self.authority is not None and (
            EVERY_BACKEND in self.scope.audience
            or EVERYONE in self.scope.makers
            or WITHHELD[self.authority.subject_state] & set(self.scope.purposes)
        ):
            raise ConsentInvalid("nobody may allow that on another's behalf", code="authority_invalid")
        if self.schema == 1 and (self.controller.withdrawal or self.check_sha256 or self.number or self.authority):
            raise ConsentInvalid("schema 1 has no such members", code="schema_invalid")
        _check_schema(self.schema, self.scope)

    @property
    def kind(self) -> Kind:
        return Kind.GRANTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """The person took part of it back. ``scope`` is all that is left; :func:`fold` checks that it is less."""

    consent_id: str
    number: int
    at: datetime
    scope: Scope
    schema: int = 2

    def __post_init__(self) -> None:
        _check_schema(self.schema, self.scope)

    @property
    def kind(self) -> Kind:
        return Kind.NARROWED


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """The person, shown live again, agreed to a new term. :func:`fold` checks that ``scope`` is not more."""

    consent_id: str
    number: int
    at: datetime
    scope: Scope
    terms_version: str
    terms_language: str
    terms_sha256: str
    live: LiveBinding

    def __post_init__(self) -> None:
        _check_term(self.at, self.scope, self.live)

    @property
    def kind(self) -> Kind:
        return Kind.RENEWED


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """Nothing passes until whoever may resume it does. ``representative_id``: which one, where a representative did it."""

    consent_id: str
    number: int
    at: datetime
    by: Party
    representative_id: str | None = None

    def __post_init__(self) -> None:
        _check_representative(self.representative_id, self.by is Party.REPRESENTATIVE)

    @property
    def kind(self) -> Kind:
        return Kind.SUSPENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """The suspension that party ``of`` had made is over. Those of other parties go on."""

    consent_id: str
    number: int
    at: datetime
    of: Party
    by: Party
    representative_id: str | None = None

    def __post_init__(self) -> None:
        _check_representative(self.representative_id, self.by is Party.REPRESENTATIVE)
        if self.by not in MAY_RESUME[self.of]:
            raise ConsentInvalid(f"what {self.of} suspended is not for {self.by} to resume", code="resume_not_allowed")

    @property
    def kind(self) -> Kind:
        return Kind.RESUMED


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """It ended. ``representative_id``: which one, where a representative did it."""

    consent_id: str
    number: int
    at: datetime
    by: RevokedBy
    representative_id: str | None = None
    schema: int = 2

    def __post_init__(self) -> None:
        _check_representative(self.representative_id, self.by is RevokedBy.REPRESENTATIVE)
        _check_schema(self.schema, None)
        if self.schema == 1 and self.by in (RevokedBy.REPRESENTATIVE, RevokedBy.AUTHORITY):
            raise ConsentInvalid("schema 1 has no such members", code="schema_invalid")

    @property
    def kind(self) -> Kind:
        return Kind.REVOKED


BeforeConsent = Requested | Deferred | Refused
ConsentEvent = Requested | Deferred | Refused | Granted | Narrowed | Renewed | Suspended | Resumed | Revoked


def _check_ids(*names: str) -> None:
    if not all(_ID.fullmatch(name) for name in names):
        raise ConsentInvalid("an id is 1 to 200 letters, digits and _.:@/+-", code="id_invalid")


def _check_representative(representative_id: str | None, by_one: bool) -> None:
    if representative_id is not None:
        _check_ids(representative_id)
        if not by_one:
            raise ConsentInvalid("only what a representative did names one", code="id_invalid")


def _check_term(at: datetime, scope: Scope, live: LiveBinding) -> None:
    if not at - LIVE_FOR <= live.judged_at <= at + CLOCKS_APART:
        raise ConsentInvalid(f"the live check must be at most {LIVE_FOR} old", code="live_not_fresh")
    if not at < scope.expires_at <= at + LONGEST_TERM:
        raise ConsentInvalid(f"expiry must lie within {LONGEST_TERM.days} days from now", code="expiry_out_of_range")


def _check_schema(schema: int, scope: Scope | None) -> None:
    """Nothing may be lost by writing it: schema 1 knows neither the newer limits nor makers and approval."""
    if schema not in EVENT_SCHEMAS:
        raise ConsentInvalid("unknown schema", code="schema_invalid")
    if schema != 1 or scope is None:
        return
    old = Limits(
        max_seconds=scope.limits.max_seconds, forbidden_words=scope.limits.forbidden_words, uses=scope.limits.uses
    )
    if (scope.limits, scope.makers, scope.approval) != (old, (EVERYONE,), ApprovalRule.NEVER):
        raise ConsentInvalid("schema 1 has no such members", code="schema_invalid")


def state_of(events: Sequence[ConsentEvent], now: datetime) -> ConsentState:
    """The state of ISO/IEC TS 27560 at that time, by these events of one consent, in order. The standard has none for
    suspended: whether the consent holds is then ``unknown``, which allows nothing."""
    past = [event for event in events if event.at <= now]
    state, stopped = ConsentState.UNKNOWN, set[Party]()
    for event in past:
        match event:
            case Requested():
                state = ConsentState.REQUESTED
            case Deferred():
                state = ConsentState.DEFERRED
            case Refused():
                state = ConsentState.REFUSED
            case Granted():
                state = ConsentState.GIVEN
            case Renewed():
                state = ConsentState.RENEWED
            case Suspended():
                stopped.add(event.by)
            case Resumed():
                stopped.discard(event.of)
            case Revoked():
                return event.by.state
            case Narrowed():
                pass
            case _:
                assert_never(event)
    if not state.allows_use:
        return state
    if now >= ends(past):
        return ConsentState.EXPIRED
    return ConsentState.UNKNOWN if stopped else state


def ends(events: Sequence[ConsentEvent]) -> datetime:
    """When a consent with these events ends by itself. Schema 1 promised the whole term."""
    scopes = [event.scope for event in events if isinstance(event, Granted | Narrowed | Renewed)]
    old = any(isinstance(event, Granted) and event.schema == 1 for event in events)
    return scopes[-1].expires_at if old else min(scopes[-1].expires_at, last_interaction(events) + IDLE)


def last_interaction(events: Sequence[ConsentEvent]) -> datetime:
    return max(
        event.at
        for event in events
        if isinstance(event, Granted | Narrowed | Renewed)
        or (isinstance(event, Suspended | Resumed) and event.by in (Party.SUBJECT, Party.APP))
    )


def known_purposes(given: Iterable[Purpose]) -> tuple[Purpose, ...]:
    try:
        return tuple(Purpose(purpose) for purpose in given)
    except ValueError as error:
        raise ConsentInvalid(f"purposes are {', '.join(Purpose)}", code="purpose_unknown") from error
