"""What a person agreed to: events that happened to one consent, and the record they add up to.

    grant(live, ...)  -> Granted       the only beginning; needs a fresh live check
    narrow(record, ...) -> Narrowed    any number of times; only ever less
    revoke(record, ...) -> Revoked     the end; nothing follows it
    fold(events)      -> ConsentRecord

More than was granted is a new consent with a new live check. Events check themselves when they are built, so that what
comes out of storage or out of a signed record obeys the same rules as what was just made.

Field names of the signed record follow ISO/IEC TS 27560:2023 and its W3C DPV guide where those have one
(``record_id``, ``pii_principal_id``, ``privacy_notice``, ``event_state``, ...).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar, assert_never

from consent.canonical import Json, Malformed, Members, decode, encode, is_sha256, read_instant, write_instant
from consent.errors import ConsentInvalid, RecordInvalid, SignatureInvalid
from consent.keys import KeySet, SigningKey
from consent.terms import Purpose, Terms, by_sha256, current
from liveness.policy import Assurance, Path
from liveness.verdict import CheckResult, Live

RECORD_TYPE = "consent-record+jws"
RECORD_SCHEMA = "mien-consent-record-1"
EVENT_SCHEMA = "mien-consent-event-1"

EVERY_BACKEND = "*"
"""As the only name in an audience: every backend. An empty audience: nobody."""

DEFAULT_TERM = timedelta(days=365)  # as the terms say
LONGEST_TERM = timedelta(days=3652)  # ten calendar years have 3652 or 3653 days; NO FAKES Act text: at most ten years
LIVE_FOR = timedelta(
    minutes=15
)  # reading the terms and choosing takes minutes; longer, and someone else may hold the phone
CLOCKS_APART = timedelta(seconds=5)  # between the machine that judged and the one that grants

_MAX_EVENTS = 64
_MAX_AUDIENCE = 64
_MAX_WORDS = 64
_MAX_WORD_CHARS = 64
_MAX_SECONDS = 3600
_MAX_USES = 1_000_000
_MAX_TEXT_CHARS = 300
_MAX_RECORD_CHARS = 2**20  # of a signed record, base64 and all

_Names = TypeVar("_Names", bound=StrEnum)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@/+-]{0,199}")
_BACKEND = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


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

    subject     the person: withdrawn.
    app         the operator's server on the person's word: withdrawn.
    controller  the organisation of its own accord: terminated.
    review      the live check or the record turned out to be wrong: invalidated.
    """

    SUBJECT = "subject"
    APP = "app"
    CONTROLLER = "controller"
    REVIEW = "review"

    @property
    def state(self) -> ConsentState:
        match self:
            case RevokedBy.SUBJECT | RevokedBy.APP:
                return ConsentState.WITHDRAWN
            case RevokedBy.CONTROLLER:
                return ConsentState.TERMINATED
            case RevokedBy.REVIEW:
                return ConsentState.INVALIDATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """The organisation that answers for the processing.

    contact : how the person reaches it, e.g. a mail address or a page.
    jurisdiction : whose law applies, e.g. ``DE`` or ``US-CA`` (ISO 3166).
    storage_location : where the data lies, same form.
    """

    name: str
    contact: str
    jurisdiction: str
    storage_location: str

    def __post_init__(self) -> None:
        for text in (self.name, self.contact, self.jurisdiction, self.storage_location):
            if not text.strip() or len(text) > _MAX_TEXT_CHARS or not text.isprintable():
                raise ConsentInvalid(
                    "a controller has name, contact, jurisdiction and place", code="controller_invalid"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds the person set.

    max_seconds : longest clip, 1 to 3600 s.
    forbidden_words : words or phrases the double must not say (see :func:`consent.gate.says_forbidden`).
    uses : how many permits may be given altogether; ``None`` for no bound.
    """

    max_seconds: int
    forbidden_words: tuple[str, ...] = ()
    uses: int | None = None

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
        object.__setattr__(self, "forbidden_words", tuple(sorted({plain_words(word) for word in words})))

    def within(self, other: Limits) -> bool:
        return (
            self.max_seconds <= other.max_seconds
            and set(self.forbidden_words) >= set(other.forbidden_words)
            and (other.uses is None or (self.uses is not None and self.uses <= other.uses))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What may be done, by whom, within which bounds, until when (half-open: no longer at ``expires_at``)."""

    purposes: tuple[Purpose, ...]
    audience: tuple[str, ...]
    limits: Limits
    expires_at: datetime

    def __post_init__(self) -> None:
        if not self.purposes:
            raise ConsentInvalid("a consent needs at least one purpose", code="purposes_empty")
        every = self.audience == (EVERY_BACKEND,)
        named = len(self.audience) <= _MAX_AUDIENCE and all(_BACKEND.fullmatch(name) for name in self.audience)
        if not every and not named:
            raise ConsentInvalid(f"audience is * or at most {_MAX_AUDIENCE} backend names", code="audience_invalid")
        if self.expires_at.tzinfo is None:
            raise ConsentInvalid("expiry needs a zone", code="expiry_out_of_range")
        object.__setattr__(self, "purposes", tuple(purpose for purpose in Purpose if purpose in self.purposes))
        object.__setattr__(self, "audience", tuple(sorted(set(self.audience))))

    def covers(self, backend: str) -> bool:
        return self.audience == (EVERY_BACKEND,) or backend in self.audience

    def within(self, other: Scope) -> bool:
        """Nothing that ``other`` does not allow as well."""
        return (
            set(self.purposes) <= set(other.purposes)
            and (other.audience == (EVERY_BACKEND,) or set(self.audience) <= set(other.audience))
            and self.limits.within(other.limits)
            and self.expires_at <= other.expires_at
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
class Granted:
    """A person agreed.

    subject_id : a pseudonym. template_commitment : see :func:`consent.gate.commit_template`.
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
    number: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        for name in (self.consent_id, self.subject_id):
            if not _ID.fullmatch(name):
                raise ConsentInvalid("an id is 1 to 200 letters, digits and _.:@/+-", code="id_invalid")
        if not is_sha256(self.template_commitment):
            raise ConsentInvalid("template commitment is not 64 hex digits", code="commitment_invalid")
        if not self.at - LIVE_FOR <= self.live.judged_at <= self.at + CLOCKS_APART:
            raise ConsentInvalid(f"the live check must be at most {LIVE_FOR} old", code="live_not_fresh")
        if not self.at < self.scope.expires_at <= self.at + LONGEST_TERM:
            raise ConsentInvalid(
                f"expiry must lie within {LONGEST_TERM.days} days from now", code="expiry_out_of_range"
            )

    @property
    def kind(self) -> str:
        return "consent.granted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """The person took part of it back. ``scope`` is all that is left; :func:`fold` checks that it is less."""

    consent_id: str
    number: int
    at: datetime
    scope: Scope

    @property
    def kind(self) -> str:
        return "consent.narrowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """It ended."""

    consent_id: str
    number: int
    at: datetime
    by: RevokedBy

    @property
    def kind(self) -> str:
        return "consent.revoked"


ConsentEvent = Granted | Narrowed | Revoked


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRecord:
    """What all events of one consent add up to. Made by :func:`fold` only."""

    granted: Granted
    scope: Scope
    revoked: Revoked | None
    events: tuple[ConsentEvent, ...]

    @property
    def consent_id(self) -> str:
        return self.granted.consent_id

    @property
    def subject_id(self) -> str:
        return self.granted.subject_id

    @property
    def purposes(self) -> tuple[Purpose, ...]:
        return self.scope.purposes

    @property
    def audience(self) -> tuple[str, ...]:
        return self.scope.audience

    @property
    def limits(self) -> Limits:
        return self.scope.limits

    @property
    def granted_at(self) -> datetime:
        return self.granted.at

    @property
    def expires_at(self) -> datetime:
        return self.scope.expires_at

    @property
    def assurance(self) -> Assurance:
        return self.granted.live.assurance

    @property
    def template_commitment(self) -> str:
        return self.granted.template_commitment

    def state_at(self, now: datetime) -> ConsentState:
        """What held at that time, by what is known today. The gate asks for ``revoked`` first, whatever the time."""
        if now < self.granted.at:
            return ConsentState.UNKNOWN
        if self.revoked is not None and now >= self.revoked.at:
            return self.revoked.by.state
        if now >= self._expired_from(now):
            return ConsentState.EXPIRED
        return ConsentState.GIVEN

    def _expired_from(self, now: datetime) -> datetime:
        """The expiry that was in force at ``now``: an earlier one that was chosen later did not hold yet."""
        scopes = [event.scope for event in self.events if not isinstance(event, Revoked) and event.at <= now]
        return scopes[-1].expires_at


def grant(
    live: Live,
    *,
    consent_id: str,
    subject_id: str,
    controller: Controller,
    terms: Terms,
    purposes: Iterable[Purpose],
    audience: Iterable[str],
    limits: Limits,
    template_commitment: str,
    expires_at: datetime | None,
    now: datetime,
) -> Granted:
    """A person, just shown live, agrees to these words and choices. ``expires_at=None`` means :data:`DEFAULT_TERM`.

    Raises:
        ConsentInvalid: codes ``not_live``, ``live_not_fresh``, ``terms_unknown``, ``terms_outdated``,
            ``purposes_empty``, ``purpose_unknown``, ``audience_invalid``, ``limits_invalid``, ``expiry_out_of_range``,
            ``id_invalid``, ``commitment_invalid``.
    """
    if not isinstance(live, Live):  # a NotLive has the same fields but one; types alone do not stop a caller
        raise ConsentInvalid("a consent needs a Live verdict", code="not_live")
    if by_sha256(terms.sha256) != terms:
        raise ConsentInvalid("these terms were never released", code="terms_unknown")
    if terms != current(terms.language):
        raise ConsentInvalid("these terms were replaced by a newer version", code="terms_outdated")
    return Granted(
        consent_id=consent_id,
        at=now,
        subject_id=subject_id,
        controller=controller,
        terms_version=terms.version,
        terms_language=terms.language,
        terms_sha256=terms.sha256,
        scope=Scope(
            purposes=_purposes(purposes),
            audience=tuple(audience),
            limits=limits,
            expires_at=now + DEFAULT_TERM if expires_at is None else expires_at,
        ),
        template_commitment=template_commitment,
        live=LiveBinding.bind(live),
    )


def narrow(
    record: ConsentRecord,
    *,
    purposes: Iterable[Purpose] | None = None,
    audience: Iterable[str] | None = None,
    limits: Limits | None = None,
    expires_at: datetime | None = None,
    now: datetime,
) -> Narrowed:
    """Take part of a consent back; ``None`` leaves that part as it is.

    Raises:
        ConsentInvalid: codes ``not_narrower`` (anything would be more, or nothing would be less), ``consent_revoked``,
            ``consent_expired``, ``too_many_changes``, and those of a scope as in :func:`grant`.
    """
    if record.revoked is not None:
        raise ConsentInvalid("a revoked consent cannot be narrowed", code="consent_revoked")
    at = _not_before(record, now)
    if at >= record.expires_at:
        raise ConsentInvalid("an expired consent cannot be narrowed", code="consent_expired")
    if len(record.events) >= _MAX_EVENTS - 1:  # the last place is kept for the revocation
        raise ConsentInvalid("changed too often; revoke it instead", code="too_many_changes")
    scope = Scope(
        purposes=record.purposes if purposes is None else _purposes(purposes),
        audience=record.audience if audience is None else tuple(audience),
        limits=record.limits if limits is None else limits,
        expires_at=record.expires_at if expires_at is None else expires_at,
    )
    if scope == record.scope or not scope.within(record.scope):
        raise ConsentInvalid("a narrowing takes something back and adds nothing", code="not_narrower")
    if scope.expires_at <= at:
        raise ConsentInvalid("expiry must be later than now; to end it now, revoke it", code="expiry_out_of_range")
    return Narrowed(consent_id=record.consent_id, number=len(record.events), at=at, scope=scope)


def revoke(record: ConsentRecord, *, by: RevokedBy, now: datetime) -> Revoked:
    """End a consent, also an expired one. Never fails for reasons of time: a clock that went back does not stop it.

    Raises:
        ConsentInvalid: code ``consent_revoked`` when it has ended already.
    """
    if record.revoked is not None:
        raise ConsentInvalid("the consent was revoked already", code="consent_revoked")
    return Revoked(
        consent_id=record.consent_id, number=len(record.events), at=_not_before(record, now), by=RevokedBy(by)
    )


def _not_before(record: ConsentRecord, now: datetime) -> datetime:
    return max(now, record.events[-1].at)


def _purposes(given: Iterable[Purpose]) -> tuple[Purpose, ...]:
    try:
        return tuple(Purpose(purpose) for purpose in given)
    except ValueError as error:
        raise ConsentInvalid(f"purposes are {', '.join(Purpose)}", code="purpose_unknown") from error


def fold(events: Sequence[ConsentEvent]) -> ConsentRecord:
    """The record these events add up to.

    1. The first is ``Granted`` and nothing else is.
    2. All are of one consent, numbered 0, 1, 2 ... without a gap, and time never goes back.
    3. Every narrowing is within what was left, and came before that expired.
    4. ``Revoked`` is the last.

    Raises:
        RecordInvalid: when they are not so.
    """
    if not events or not isinstance(events[0], Granted):  # 1
        raise RecordInvalid("a consent begins with being granted")
    if len(events) > _MAX_EVENTS:
        raise RecordInvalid(f"more than {_MAX_EVENTS} events")
    granted = events[0]
    scope, revoked, last_at = granted.scope, None, granted.at
    for number, event in enumerate(events[1:], start=1):
        if isinstance(event, Granted):  # 1
            raise RecordInvalid(f"event {number} grants again")
        if event.consent_id != granted.consent_id or event.number != number or event.at < last_at:  # 2
            raise RecordInvalid(f"event {number} is not the next event of this consent")
        if revoked is not None:  # 4
            raise RecordInvalid(f"event {number} comes after the revocation")
        last_at = event.at
        if isinstance(event, Revoked):
            revoked = event
            continue
        if event.scope == scope or not event.scope.within(scope):  # 3
            raise RecordInvalid(f"event {number} narrows to something that is not less")
        if not event.at < event.scope.expires_at:
            raise RecordInvalid(f"event {number} is later than the expiry")
        scope = event.scope
    return ConsentRecord(granted=granted, scope=scope, revoked=revoked, events=tuple(events))


# --- as bytes --------------------------------------------------------------------------------------------------------


def event_bytes(event: ConsentEvent) -> bytes:
    """Canonical JSON of an event: what is stored, committed to in the ledger and put into the signed record."""
    return encode(_event_json(event))


def event_from_bytes(content: bytes) -> ConsentEvent:
    """The event that :func:`event_bytes` wrote.

    Raises:
        RecordInvalid: when it did not write this, or the event breaks its own rules.
    """
    try:
        return _event(decode(content))
    except (Malformed, ConsentInvalid) as error:
        raise RecordInvalid("not a consent event") from error


def sign_record(record: ConsentRecord, key: SigningKey) -> str:
    """The record as a compact JWS, for the person and for anyone who must show that there was consent."""
    return key.sign(_record_json(record), typ=RECORD_TYPE)


def read_record(compact: str, keys: KeySet) -> ConsentRecord:
    """The record in a compact JWS.

    1. Signature, type and form (:meth:`consent.keys.KeySet.open`).
    2. The events in it are events and add up to a record.
    3. All that the payload says is what that record says: nothing was signed that the events do not bear out.

    Whether the consent still holds is another question: a later event may exist. Ask whoever keeps the events.

    Raises:
        RecordInvalid: when any of it does not hold.
    """
    try:
        payload = keys.open(compact, typ=RECORD_TYPE, max_chars=_MAX_RECORD_CHARS)  # 1
    except SignatureInvalid as error:
        raise RecordInvalid("the record is not signed by these keys, or is no consent record") from error
    try:
        record = fold([_event(Members(item)) for item in payload.items("events")])  # 2
        said = {name: payload.take(name) for name in _record_json(record) if name != "events"}
        payload.end()
        same = encode(said) == encode({k: v for k, v in _record_json(record).items() if k != "events"})  # 3
    except (Malformed, ConsentInvalid) as error:
        raise RecordInvalid("the record has another shape than its schema") from error
    if not same:
        raise RecordInvalid("the record says other things than its events")
    return record


def _record_json(record: ConsentRecord) -> dict[str, Json]:
    granted = record.granted
    last = record.events[-1]
    return {
        "schema_version": RECORD_SCHEMA,
        "record_id": record.consent_id,
        "pii_principal_id": record.subject_id,
        "privacy_notice": _notice_json(granted),
        "pii_controllers": [_controller_json(granted.controller)],
        "jurisdiction": granted.controller.jurisdiction,
        "storage_locations": [granted.controller.storage_location],
        "lawful_basis": "explicit_consent",
        "collection_method": "live_check",
        "pii_types": ["face_picture", "face_template"],
        "special_category": "biometric",
        "retention_period": "until_expiry_or_withdrawal",
        "withdrawal_method": "one_step_any_time",
        "event_state": last.by.state if isinstance(last, Revoked) else ConsentState.GIVEN,
        "event_time": write_instant(last.at),
        "scope": _scope_json(record.scope),
        "assurance": record.assurance,
        "events": [_event_json(event) for event in record.events],
    }


def _event_json(event: ConsentEvent) -> dict[str, Json]:
    common: dict[str, Json] = {
        "schema_version": EVENT_SCHEMA,
        "kind": event.kind,
        "record_id": event.consent_id,
        "number": event.number,
        "event_time": write_instant(event.at),
    }
    match event:
        case Granted():
            return common | {
                "event_state": ConsentState.GIVEN,
                "event_type": "explicitly_expressed",
                "pii_principal_id": event.subject_id,
                "pii_controller": _controller_json(event.controller),
                "privacy_notice": _notice_json(event),
                "scope": _scope_json(event.scope),
                "template_commitment": event.template_commitment,
                "live_check": _live_json(event.live),
            }
        case Narrowed():
            return common | {"event_state": ConsentState.GIVEN, "scope": _scope_json(event.scope)}
        case Revoked():
            return common | {"event_state": event.by.state, "entity_id": event.by}
        case _:
            assert_never(event)


def _notice_json(granted: Granted) -> dict[str, Json]:
    return {
        "version": granted.terms_version,
        "language": granted.terms_language,
        "sha256": granted.terms_sha256,
    }


def _controller_json(controller: Controller) -> dict[str, Json]:
    return {
        "name": controller.name,
        "contact": controller.contact,
        "jurisdiction": controller.jurisdiction,
        "storage_location": controller.storage_location,
    }


def _scope_json(scope: Scope) -> dict[str, Json]:
    limits: dict[str, Json] = {
        "max_seconds": scope.limits.max_seconds,
        "forbidden_words": list(scope.limits.forbidden_words),
        "uses": scope.limits.uses,
    }
    return {
        "purposes": list(scope.purposes),
        "recipients": list(scope.audience),
        "limits": limits,
        "expires_at": write_instant(scope.expires_at),
    }


def _live_json(live: LiveBinding) -> dict[str, Json]:
    chosen: dict[str, Json] = {
        "path": live.path,
        "extra_time": live.extra_time,
        "least_similarity": live.least_similarity,
        "checks_sha256": live.checks_sha256,
    }
    written: dict[str, Json] = {name: value for name, value in chosen.items() if value is not None}
    return written | {
        "challenge_id": live.challenge_id,
        "nonce": live.nonce,
        "capture_sha256": live.capture_sha256,
        "policy": live.policy,
        "assurance": live.assurance,
        "models": dict(live.models),
        "judged_at": write_instant(live.judged_at),
    }


def _event(members: Members) -> ConsentEvent:
    members.exactly("schema_version", EVENT_SCHEMA)
    kind, consent_id, number = members.text("kind"), members.text("record_id"), members.whole("number")
    at, state = members.instant("event_time"), members.text("event_state")
    event: ConsentEvent
    match kind:
        case "consent.granted":
            members.exactly("event_type", "explicitly_expressed")
            notice = members.members("privacy_notice")
            event = Granted(
                consent_id=consent_id,
                at=at,
                subject_id=members.text("pii_principal_id"),
                controller=_controller(members.members("pii_controller")),
                terms_version=notice.text("version"),
                terms_language=notice.text("language"),
                terms_sha256=notice.sha256("sha256"),
                scope=_scope(members.members("scope")),
                template_commitment=members.text("template_commitment"),
                live=_live(members.members("live_check")),
            )
            notice.end()
        case "consent.narrowed":
            event = Narrowed(consent_id=consent_id, number=number, at=at, scope=_scope(members.members("scope")))
        case "consent.revoked":
            by = _one_of(RevokedBy, members.text("entity_id"))
            event = Revoked(consent_id=consent_id, number=number, at=at, by=by)
        case _:
            raise Malformed("kind is unknown")
    members.end()
    wanted = event.by.state if isinstance(event, Revoked) else ConsentState.GIVEN
    if state != wanted or number != event.number:
        raise Malformed("state or number is not that of the event")
    return event


def _controller(members: Members) -> Controller:
    controller = Controller(
        name=members.text("name"),
        contact=members.text("contact"),
        jurisdiction=members.text("jurisdiction"),
        storage_location=members.text("storage_location"),
    )
    members.end()
    return controller


def _scope(members: Members) -> Scope:
    purposes, audience = members.texts("purposes"), members.texts("recipients")
    of_limits = members.members("limits")
    max_seconds, words = of_limits.whole("max_seconds"), of_limits.texts("forbidden_words")
    uses = of_limits.take("uses")
    if uses is not None and (not isinstance(uses, int) or isinstance(uses, bool)):
        raise Malformed("uses is neither a number nor null")
    of_limits.end()
    scope = Scope(
        purposes=tuple(_one_of(Purpose, purpose) for purpose in purposes),
        audience=audience,
        limits=Limits(max_seconds=max_seconds, forbidden_words=words, uses=uses),
        expires_at=read_instant(members.text("expires_at")),
    )
    members.end()
    if (scope.purposes, scope.audience, scope.limits.forbidden_words) != (purposes, audience, words):
        raise Malformed("a list is not in order")
    return scope


def _live(members: Members) -> LiveBinding:
    models = members.members("models")
    live = LiveBinding(
        challenge_id=members.text("challenge_id"),
        nonce=members.text("nonce"),
        capture_sha256=members.text("capture_sha256"),
        policy=members.text("policy"),
        assurance=_one_of(Assurance, members.text("assurance")),
        models={role: models.text(role) for role in models.names()},
        judged_at=members.instant("judged_at"),
        path=_one_of(Path, members.text("path")) if members.has("path") else None,
        extra_time=members.flag("extra_time") if members.has("extra_time") else None,
        least_similarity=members.whole("least_similarity") if members.has("least_similarity") else None,
        checks_sha256=members.sha256("checks_sha256") if members.has("checks_sha256") else None,
    )
    members.end()
    return live


def _one_of(names: type[_Names], text: str) -> _Names:
    try:
        return names(text)
    except ValueError as error:
        raise Malformed(f"not a {names.__name__}") from error


def plain_words(text: str) -> str:
    """Text as words are compared: without differences of width, case, invisible characters, punctuation and spacing.
    Empty when there is nothing else in it."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    shown = (c for c in folded if unicodedata.category(c) != "Cf")  # zero-width joiners and the like
    return " ".join("".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in shown).split())
