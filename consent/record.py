"""What a person agreed to: the record that the events of one consent add up to, and how each event is made.

    ask -> Requested, defer -> Deferred, refuse -> Refused    before anything is given
    grant(live, ...)     -> Granted      the only beginning of a consent; needs a fresh live check
    narrow(record, ...)  -> Narrowed     any number of times; only ever less
    renew(record, live)  -> Renewed      a new term, never more than stands; needs a fresh live check of the same person
    suspend, resume      -> Suspended, Resumed    nothing passes meanwhile; who suspended decides who may resume
    revoke(record, ...)  -> Revoked      the end; nothing follows it
    fold(events)         -> ConsentRecord

An event that is not allowed is not made, and changes nothing. More than was granted is a new consent with a new live check.

Field names of the signed record follow ISO/IEC TS 27560:2023 and its W3C DPV guide where those have one (``record_id``,
``pii_principal_id``, ``privacy_notice``, ``event_state``, ...). Records of schema 1, of the first release, still read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar, assert_never

from consent.authority import AuthorityBinding, AuthorityType, SubjectAssurance
from consent.canonical import Json, Malformed, Members, decode, encode, read_instant, write_instant
from consent.content import ContentCategory
from consent.errors import ConsentInvalid, RecordInvalid, SignatureInvalid
from consent.events import (
    CLOCKS_APART,
    EVENT_SCHEMAS,
    IDLE,
    LIVE_FOR,
    LONGEST_TERM,
    MAY_RESUME,
    TRANSITIONS,
    BeforeConsent,
    ConsentEvent,
    ConsentState,
    Controller,
    Deferred,
    Granted,
    Kind,
    LiveBinding,
    Narrowed,
    Party,
    Refused,
    Renewed,
    Requested,
    Resumed,
    Revoked,
    RevokedBy,
    Standing,
    Suspended,
    advance,
    checks_digest,
    ends,
    known_purposes,
    last_interaction,
    state_of,
)
from consent.keys import KeySet, SigningKey
from consent.scope import EVERYONE, ApprovalRule, Limits, Scope
from consent.terms import Purpose, Reader, Terms, by_sha256, current
from consent.territory import WORLD
from liveness.errors import ContractMismatch
from liveness.policy import Assurance, Path
from liveness.template import FaceTemplate, similarity
from liveness.verdict import Live

__all__ = [
    "CLOCKS_APART",
    "DEFAULT_TERM",
    "EVENT_SCHEMAS",
    "IDLE",
    "LIVE_FOR",
    "LONGEST_TERM",
    "MAY_RESUME",
    "RECORD_SCHEMAS",
    "RECORD_TYPE",
    "TRANSITIONS",
    "BeforeConsent",
    "ConsentEvent",
    "ConsentRecord",
    "ConsentState",
    "Controller",
    "Deferred",
    "Granted",
    "Kind",
    "Limits",
    "LiveBinding",
    "Narrowed",
    "Party",
    "Refused",
    "Renewed",
    "Requested",
    "Resumed",
    "Revoked",
    "RevokedBy",
    "Scope",
    "Standing",
    "Suspended",
    "advance",
    "ask",
    "check_words",
    "checks_digest",
    "controller_from",
    "controller_json",
    "defer",
    "event_bytes",
    "event_from_bytes",
    "fold",
    "grant",
    "narrow",
    "read_record",
    "refuse",
    "renew",
    "resume",
    "revoke",
    "sign_record",
    "state_of",
    "suspend",
]

RECORD_TYPE = "consent-record+jws"
RECORD_SCHEMAS = MappingProxyType({1: "mien-consent-record-1", 2: "mien-consent-record-2"})

DEFAULT_TERM = timedelta(days=365)  # as the terms say

_MAX_EVENTS = 128
_KEPT_FOR_STOPPING = len(Party) + 1  # places at the end for a suspension by each party and the revocation
_MAX_RECORD_CHARS = 2**20  # of a signed record, base64 and all

_Names = TypeVar("_Names", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRecord:
    """What all events of one consent add up to. Made by :func:`fold` only.

    renewed : the last renewal. suspended : the suspensions that nobody resumed yet, one a party at most.
    """

    granted: Granted
    scope: Scope
    renewed: Renewed | None
    suspended: tuple[Suspended, ...]
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
    def last_interaction(self) -> datetime:
        """When the person last had to do with it: the retention clock runs from there."""
        return last_interaction(self.events)

    @property
    def expires_at(self) -> datetime:
        """When it ends by itself: at the end of its term, or three years after the person last had to do with it."""
        return ends(self.events)

    @property
    def destroy_by(self) -> datetime:
        """When picture and templates must be gone: at its end, whichever came first."""
        return self.expires_at if self.revoked is None else min(self.revoked.at, self.expires_at)

    @property
    def assurance(self) -> SubjectAssurance:
        """Of the weakest live check it stands on: a stronger check later does not make the enrolment stronger. On somebody
        else's authority there was no live check of the subject, whoever signed."""
        if self.granted.authority is not None:
            return self.granted.authority.assurance
        lives = [self.granted.live] if self.renewed is None else [self.granted.live, self.renewed.live]
        return SubjectAssurance.of(min((live.assurance for live in lives), key=lambda assurance: assurance.rank))

    @property
    def template_commitment(self) -> str:
        return self.granted.template_commitment

    def state_at(self, now: datetime) -> ConsentState:
        """What held at that time, by what is known today. The gate asks for ``revoked`` and ``suspended`` first, whatever
        the time."""
        return state_of(self.events, now)

    def standing_at(self, now: datetime) -> Standing:
        """Where it stands now, as far as it decides what may follow."""
        if self.revoked is not None:
            return Standing.ENDED
        if now >= self.expires_at:
            return Standing.EXPIRED
        return Standing.SUSPENDED if self.suspended else Standing.IN_FORCE


# --- what people do --------------------------------------------------------------------------------------------------


def ask(
    *,
    consent_id: str,
    subject_id: str,
    controller: Controller,
    purposes: Iterable[Purpose],
    now: datetime,
    after: Sequence[BeforeConsent] = (),
) -> Requested:
    """Somebody is asked whether they agree; ``after`` they put it off before, under the same id.

    Raises:
        ConsentInvalid: codes ``id_invalid``, ``purpose_unknown``, ``consent_refused``, ``consent_missing`` (asked already).
    """
    number, at = _next_before(after, Kind.REQUESTED, now)
    return Requested(
        consent_id=consent_id,
        number=number,
        at=at,
        subject_id=subject_id,
        controller=controller,
        purposes=tuple(purposes),
    )


def defer(asked: Sequence[BeforeConsent], *, now: datetime) -> Deferred:
    """Not now. Raises: ConsentInvalid, code ``consent_refused``, or ``consent_missing`` when nobody asked."""
    number, at = _next_before(asked, Kind.DEFERRED, now)
    return Deferred(consent_id=asked[0].consent_id, number=number, at=at)


def refuse(asked: Sequence[BeforeConsent], *, now: datetime) -> Refused:
    """No. Raises: ConsentInvalid, code ``consent_refused``, or ``consent_missing`` when nobody asked."""
    number, at = _next_before(asked, Kind.REFUSED, now)
    return Refused(consent_id=asked[0].consent_id, number=number, at=at)


def _next_before(asked: Sequence[BeforeConsent], kind: Kind, now: datetime) -> tuple[int, datetime]:
    standing = Standing.NOTHING
    for event in asked:
        standing = advance(standing, event.kind)
    advance(standing, kind)
    return len(asked), max(now, asked[-1].at) if asked else now


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
    makers: Iterable[str] = (EVERYONE,),
    approval: ApprovalRule = ApprovalRule.NEVER,
    check_sha256: str | None = None,
    authority: AuthorityBinding | None = None,
) -> Granted:
    """A person, just shown live, agrees to these words and choices. ``expires_at=None`` means :data:`DEFAULT_TERM`.

    ``authority``: of a consent on somebody's behalf (:func:`consent.authority_case.authorise`). ``live`` is then the
    representative's own check, the words are those for representatives, the templates those of photographs.

    Raises:
        ConsentInvalid: codes ``not_live``, ``live_not_fresh``, ``terms_unknown``, ``terms_unsuited``, ``terms_outdated``,
            ``purposes_empty``, ``purpose_unknown``, ``audience_invalid``, ``makers_invalid``, ``limits_invalid``,
            ``territory_invalid``, ``category_unknown``, ``expiry_out_of_range``, ``id_invalid``, ``commitment_invalid``,
            ``authority_invalid``.
    """
    _check_live(live)
    check_words(terms, Reader.SUBJECT if authority is None else Reader.REPRESENTATIVE)
    return Granted(
        consent_id=consent_id,
        at=now,
        subject_id=subject_id,
        controller=controller,
        terms_version=terms.version,
        terms_language=terms.language,
        terms_sha256=terms.sha256,
        scope=Scope(
            purposes=known_purposes(purposes),
            audience=tuple(audience),
            limits=limits,
            expires_at=now + DEFAULT_TERM if expires_at is None else expires_at,
            makers=tuple(makers),
            approval=approval,
        ),
        template_commitment=template_commitment,
        live=LiveBinding.bind(live),
        authority=authority,
        check_sha256=check_sha256,
    )


def _check_live(live: Live) -> None:
    if not isinstance(live, Live):  # a NotLive has the same fields but one; types alone do not stop a caller
        raise ConsentInvalid("a consent needs a Live verdict", code="not_live")


def check_words(terms: Terms, reader: Reader = Reader.SUBJECT) -> None:
    """Raises: ConsentInvalid when these words were never released (``terms_unknown``), are for others than this reader
    (``terms_unsuited``) or are today's no more (``terms_outdated``)."""
    if by_sha256(terms.sha256) != terms:
        raise ConsentInvalid("these terms were never released", code="terms_unknown")
    if terms.reader is not reader:
        raise ConsentInvalid(
            f"these words are for a {terms.reader}, wanted those for a {reader}", code="terms_unsuited"
        )
    if terms != current(terms.language, reader):
        raise ConsentInvalid("these terms were replaced by a newer version", code="terms_outdated")


def narrow(
    record: ConsentRecord,
    *,
    purposes: Iterable[Purpose] | None = None,
    audience: Iterable[str] | None = None,
    limits: Limits | None = None,
    expires_at: datetime | None = None,
    makers: Iterable[str] | None = None,
    approval: ApprovalRule | None = None,
    now: datetime,
) -> Narrowed:
    """Take part of a consent back; ``None`` leaves that part as it is.

    Raises:
        ConsentInvalid: codes ``not_narrower`` (anything would be more, or nothing would be less), ``consent_revoked``,
            ``consent_expired``, ``too_many_changes``, and those of a scope as in :func:`grant`.
    """
    at = _may(record, Kind.NARROWED, now)
    scope = _changed(record.scope, purposes, audience, limits, expires_at, makers, approval)
    if scope == record.scope or not scope.within(record.scope):
        raise ConsentInvalid("a narrowing takes something back and adds nothing", code="not_narrower")
    if scope.expires_at <= at:
        raise ConsentInvalid("expiry must be later than now; to end it now, revoke it", code="expiry_out_of_range")
    return Narrowed(consent_id=record.consent_id, number=len(record.events), at=at, scope=scope)


def renew(
    record: ConsentRecord,
    live: Live,
    *,
    terms: Terms,
    enrolled: Sequence[FaceTemplate],
    shown: Sequence[FaceTemplate],
    same_person: float,
    purposes: Iterable[Purpose] | None = None,
    audience: Iterable[str] | None = None,
    limits: Limits | None = None,
    expires_at: datetime | None = None,
    makers: Iterable[str] | None = None,
    approval: ApprovalRule | None = None,
    now: datetime,
) -> Renewed:
    """A new term for what still stands, or for part of it. ``expires_at=None`` means :data:`DEFAULT_TERM` from now.

    ``enrolled``: the templates of this consent. ``shown``: those of the new live check. ``same_person``: least cosine.

    1. It stands: not suspended, expired or ended; and the person gave it themself. Nobody renews on another's behalf: while a
       claim stands, its representatives agree anew.
    2. The check is live and fresh, was used for nothing in this record before, and the words are today's.
    3. Everyone shown in the new check is the person who enrolled.
    4. Nothing but the term is more than what stands.

    Raises:
        ConsentInvalid: codes ``not_same_person``, ``live_reused``, ``not_within``, ``not_renewable``, ``consent_revoked``,
            ``consent_expired``, ``consent_suspended``, ``too_many_changes``, and those of :func:`grant`.
    """
    at = _may(record, Kind.RENEWED, now)  # 1
    if record.granted.authority is not None:
        raise ConsentInvalid("what was given on somebody's behalf is given anew, not renewed", code="not_renewable")
    _check_live(live)  # 2
    check_words(terms)
    if live.challenge_id in _challenges(record.events):
        raise ConsentInvalid("a renewal needs a live check of its own", code="live_reused")
    if not _all_of(shown, enrolled, same_person):  # 3
        raise ConsentInvalid("the new check does not show who enrolled", code="not_same_person")
    end = at + DEFAULT_TERM if expires_at is None else expires_at
    scope = _changed(record.scope, purposes, audience, limits, end, makers, approval)
    if not scope.within_but_for_time(record.scope):  # 4
        raise ConsentInvalid("a renewal adds nothing but time; more is a new consent", code="not_within")
    return Renewed(
        consent_id=record.consent_id,
        number=len(record.events),
        at=at,
        scope=scope,
        terms_version=terms.version,
        terms_language=terms.language,
        terms_sha256=terms.sha256,
        live=LiveBinding.bind(live),
    )


def _all_of(shown: Sequence[FaceTemplate], enrolled: Sequence[FaceTemplate], same_person: float) -> bool:
    """Every shown template is like some enrolled one. None shown or enrolled: no."""
    try:
        return bool(shown and enrolled) and all(
            max(similarity(one, other) for other in enrolled) >= same_person for one in shown
        )
    except ContractMismatch:  # made by another model: it cannot be told
        return False


def _challenges(events: Sequence[ConsentEvent]) -> set[str]:
    return {event.live.challenge_id for event in events if isinstance(event, Granted | Renewed)}


def suspend(record: ConsentRecord, *, by: Party, representative_id: str | None = None, now: datetime) -> Suspended:
    """Nothing passes from now on, until this is resumed. The person can always do this while the consent stands.
    ``representative_id``: who it is, of a representative.

    Raises:
        ConsentInvalid: codes ``already_suspended`` (by the same party), ``consent_revoked``, ``consent_expired``.
    """
    at = _may(record, Kind.SUSPENDED, now)
    if by in {suspension.by for suspension in record.suspended}:
        raise ConsentInvalid(f"suspended by {by} already", code="already_suspended")
    return Suspended(
        consent_id=record.consent_id,
        number=len(record.events),
        at=at,
        by=Party(by),
        representative_id=representative_id,
    )


def resume(
    record: ConsentRecord, *, of: Party, by: Party, representative_id: str | None = None, now: datetime
) -> Resumed:
    """End the suspension that ``of`` had made. A representative ends their own only, not another representative's.

    Raises:
        ConsentInvalid: codes ``resume_not_allowed``, ``not_suspended`` (by that party), ``consent_revoked``,
            ``consent_expired``, ``consent_in_force``, ``too_many_changes``.
    """
    at = _may(record, Kind.RESUMED, now)
    if of not in {suspension.by for suspension in record.suspended}:
        raise ConsentInvalid(f"not suspended by {of}", code="not_suspended")
    event = Resumed(
        consent_id=record.consent_id,
        number=len(record.events),
        at=at,
        of=Party(of),
        by=Party(by),
        representative_id=representative_id,
    )
    if _is_of_another_representative(record, event):
        raise ConsentInvalid("another representative suspended it", code="resume_not_allowed")
    return event


def _is_of_another_representative(record: ConsentRecord, event: Resumed) -> bool:
    return event.by is event.of is Party.REPRESENTATIVE and not any(
        (suspension.by, suspension.representative_id) == (event.of, event.representative_id)
        for suspension in record.suspended
    )


def revoke(record: ConsentRecord, *, by: RevokedBy, representative_id: str | None = None, now: datetime) -> Revoked:
    """End a consent, also an expired one. Never fails for reasons of time: a clock that went back does not stop it.

    Raises:
        ConsentInvalid: code ``consent_revoked`` when it has ended already.
    """
    at = _may(record, Kind.REVOKED, now)
    return Revoked(
        consent_id=record.consent_id,
        number=len(record.events),
        at=at,
        by=RevokedBy(by),
        representative_id=representative_id,
    )


def _may(record: ConsentRecord, kind: Kind, now: datetime) -> datetime:
    """The event's time, if it may happen now. The last places are kept for what stops a consent."""
    at = max(now, record.events[-1].at)
    advance(record.standing_at(at), kind)
    stops = kind in (Kind.SUSPENDED, Kind.REVOKED)
    if len(record.events) >= _MAX_EVENTS - (0 if stops else _KEPT_FOR_STOPPING):
        raise ConsentInvalid("changed too often; revoke it instead", code="too_many_changes")
    return at


def _changed(
    scope: Scope,
    purposes: Iterable[Purpose] | None,
    audience: Iterable[str] | None,
    limits: Limits | None,
    expires_at: datetime | None,
    makers: Iterable[str] | None,
    approval: ApprovalRule | None,
) -> Scope:
    return Scope(
        purposes=scope.purposes if purposes is None else known_purposes(purposes),
        audience=scope.audience if audience is None else tuple(audience),
        limits=scope.limits if limits is None else limits,
        expires_at=scope.expires_at if expires_at is None else expires_at,
        makers=scope.makers if makers is None else tuple(makers),
        approval=scope.approval if approval is None else approval,
    )


def fold(events: Sequence[ConsentEvent]) -> ConsentRecord:
    """The record these events add up to.

    1. All are of one consent, numbered 0, 1, 2 ... without a gap, and time never goes back.
    2. Each may follow what was before it (:data:`TRANSITIONS`), with expiry by the times of the events.
    3. Every narrowing is less than what was left; every renewal is not more, but for its term, and has its own live check.
    4. Nobody suspends twice, and what is resumed was suspended; by the same one, of representatives.
    5. It was granted.

    Raises:
        RecordInvalid: when they are not so.
    """
    if len(events) > _MAX_EVENTS:
        raise RecordInvalid(f"more than {_MAX_EVENTS} events")
    folded: ConsentRecord | None = None
    standing, last_at = Standing.NOTHING, None
    for number, event in enumerate(events):
        first = events[0]
        if event.consent_id != first.consent_id or event.number != number or (last_at and event.at < last_at):  # 1
            raise RecordInvalid(f"event {number} is not the next event of this consent")
        last_at = event.at
        if folded is not None:
            standing = folded.standing_at(event.at)
        try:
            standing = advance(standing, event.kind)  # 2
        except ConsentInvalid as error:
            raise RecordInvalid(f"event {number}: {error}") from error
        if isinstance(event, Requested | Deferred | Refused):
            continue
        folded = _applied(folded, event, tuple(events[: number + 1]))  # 3, 4
    if folded is None:  # 5
        raise RecordInvalid("nothing was granted")
    return folded


def _applied(record: ConsentRecord | None, event: ConsentEvent, events: tuple[ConsentEvent, ...]) -> ConsentRecord:
    """The record after one more event that may follow."""
    if record is None:
        if not isinstance(event, Granted):
            raise RecordInvalid("a consent begins with being granted")
        return ConsentRecord(granted=event, scope=event.scope, renewed=None, suspended=(), revoked=None, events=events)
    wrong: str | None = None
    changed = replace(record, events=events)
    match event:
        case Narrowed():
            if event.scope == record.scope or not event.scope.within(record.scope):
                wrong = "narrows to something that is not less"
            elif not event.at < event.scope.expires_at:
                wrong = "is later than the expiry"
            changed = replace(changed, scope=event.scope)
        case Renewed():
            if not event.scope.within_but_for_time(record.scope):
                wrong = "renews more than what stood"
            elif event.live.challenge_id in _challenges(record.events):
                wrong = "stands on a live check that was used before"
            elif record.granted.authority is not None:
                wrong = "renews what was given on somebody's behalf"
            changed = replace(changed, scope=event.scope, renewed=event)
        case Suspended():
            if event.by in {suspension.by for suspension in record.suspended}:
                wrong = "suspends twice"
            changed = replace(changed, suspended=(*record.suspended, event))
        case Resumed():
            left = tuple(suspension for suspension in record.suspended if suspension.by != event.of)
            if left == record.suspended:
                wrong = "resumes what was not suspended"
            elif _is_of_another_representative(record, event):
                wrong = "resumes what another representative suspended"
            changed = replace(changed, suspended=left)
        case Revoked():
            changed = replace(changed, revoked=event)
        case Requested() | Deferred() | Refused() | Granted():  # the table lets none of them follow a grant
            wrong = "comes before a consent"
        case _:
            assert_never(event)
    if wrong is not None:
        raise RecordInvalid(f"event {event.number} {wrong}")
    return changed


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
        schema = _schema(RECORD_SCHEMAS, payload.text("schema_version"))
        record = fold([_event(Members(item)) for item in payload.items("events")])  # 2
        wanted = _record_json(record) if schema == 2 else _record_json_1(record)
        del wanted["schema_version"], wanted["events"]
        same = encode({name: payload.take(name) for name in wanted}) == encode(wanted)  # 3
        payload.end()
    except (Malformed, ConsentInvalid) as error:
        raise RecordInvalid("the record has another shape than its schema") from error
    if not same:
        raise RecordInvalid("the record says other things than its events")
    return record


def _record_json(record: ConsentRecord) -> dict[str, Json]:
    """Schema 2."""
    granted = record.granted
    last = record.events[-1]
    idle = granted.schema != 1
    return {
        "schema_version": RECORD_SCHEMAS[2],
        "record_id": record.consent_id,
        "pii_principal_id": record.subject_id,
        "privacy_notice": _notice_json(record.renewed or granted),
        "pii_controllers": [controller_json(granted.controller, 2)],
        "authority_party": _authority_json(granted.authority),
        "jurisdiction": granted.controller.jurisdiction,
        "storage_locations": [granted.controller.storage_location],
        "processing_locations": [granted.controller.storage_location],
        "lawful_basis": "explicit_consent",
        "collection_method": "live_check" if granted.authority is None else "curated_photographs",
        "processing_methods": ["compare_with_request", "generate_likeness"],
        "pii_types": ["face_picture", "face_template"],
        "special_category": "biometric",
        "recipient_third_parties": list(record.audience),
        "geographic_restriction": list(record.limits.territories),
        "retention_period": {
            "rule": "end_of_purpose_or_three_years_idle" if idle else "until_expiry_or_withdrawal",
            "last_interaction": write_instant(record.last_interaction),
            "destroy_by": write_instant(record.destroy_by),
            "purposes_ended": None if record.revoked is None else write_instant(record.revoked.at),
        },
        "withdrawal_method": {"steps": 1, "when": "any_time", "route": granted.controller.withdrawal},
        "privacy_rights": ["access", "rectification", "erasure", "portability", "withdrawal", "complaint"],
        "event_state": state_of(record.events, last.at),
        "event_time": write_instant(last.at),
        "suspended_by": [suspension.by for suspension in record.suspended],
        "scope": _scope_json(record.scope, 2),
        "assurance": record.assurance,
        "events": [_event_json(event) for event in record.events],
    }


def _record_json_1(record: ConsentRecord) -> dict[str, Json]:
    """Schema 1, as the first release signed it.

    Raises:
        Malformed: when an event is in it that schema 1 did not have.
    """
    granted, last = record.granted, record.events[-1]
    if not all(isinstance(e, Granted | Narrowed | Revoked) and e.schema == 1 for e in record.events):
        raise Malformed("an event of a later schema")
    return {
        "schema_version": RECORD_SCHEMAS[1],
        "record_id": record.consent_id,
        "pii_principal_id": record.subject_id,
        "privacy_notice": _notice_json(granted),
        "pii_controllers": [controller_json(granted.controller, 1)],
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
        "scope": _scope_json(record.scope, 1),
        "assurance": record.assurance,
        "events": [_event_json(event) for event in record.events],
    }


def _event_json(event: ConsentEvent) -> dict[str, Json]:
    schema = event.schema if isinstance(event, Granted | Narrowed | Revoked) else 2
    common: dict[str, Json] = {
        "schema_version": EVENT_SCHEMAS[schema],
        "kind": event.kind,
        "record_id": event.consent_id,
        "number": event.number,
        "event_time": write_instant(event.at),
        "event_state": _event_state(event),
    }
    match event:
        case Requested():
            return common | {
                "pii_principal_id": event.subject_id,
                "pii_controller": controller_json(event.controller, 2),
                "purposes": list(event.purposes),
            }
        case Deferred() | Refused():
            return common
        case Granted():
            newer: dict[str, Json] = {
                "authority_party": _authority_json(event.authority),
                "check_sha256": event.check_sha256,
            }
            return (
                common
                | {
                    "event_type": "explicitly_expressed",
                    "pii_principal_id": event.subject_id,
                    "pii_controller": controller_json(event.controller, schema),
                    "privacy_notice": _notice_json(event),
                    "scope": _scope_json(event.scope, schema),
                    "template_commitment": event.template_commitment,
                    "live_check": _live_json(event.live),
                }
                | (newer if schema == 2 else {})
            )
        case Narrowed():
            return common | {"scope": _scope_json(event.scope, schema)}
        case Renewed():
            return common | {
                "event_type": "explicitly_expressed",
                "privacy_notice": _notice_json(event),
                "scope": _scope_json(event.scope, 2),
                "live_check": _live_json(event.live),
            }
        case Suspended() | Revoked():
            return common | {"entity_id": event.by} | _representative_json(event.representative_id)
        case Resumed():
            return common | {"entity_id": event.by, "of": event.of} | _representative_json(event.representative_id)
        case _:
            assert_never(event)


def _representative_json(representative_id: str | None) -> dict[str, Json]:
    return {} if representative_id is None else {"representative_id": representative_id}


def _event_state(event: ConsentEvent) -> ConsentState:
    """What the event says by itself. A resumption says ``given``: whether others still suspend is for the record to say."""
    match event:
        case Requested():
            return ConsentState.REQUESTED
        case Deferred():
            return ConsentState.DEFERRED
        case Refused():
            return ConsentState.REFUSED
        case Granted() | Narrowed() | Resumed():
            return ConsentState.GIVEN
        case Renewed():
            return ConsentState.RENEWED
        case Suspended():
            return ConsentState.UNKNOWN
        case Revoked():
            return event.by.state
        case _:
            assert_never(event)


def _notice_json(agreed: Granted | Renewed) -> dict[str, Json]:
    return {
        "version": agreed.terms_version,
        "language": agreed.terms_language,
        "sha256": agreed.terms_sha256,
    }


def controller_json(controller: Controller, schema: int = 2) -> dict[str, Json]:
    """As it is written in records."""
    newer: dict[str, Json] = {"withdrawal": controller.withdrawal}
    return {
        "name": controller.name,
        "contact": controller.contact,
        "jurisdiction": controller.jurisdiction,
        "storage_location": controller.storage_location,
    } | (newer if schema == 2 else {})


def _scope_json(scope: Scope, schema: int) -> dict[str, Json]:
    limits: dict[str, Json] = {
        "max_seconds": scope.limits.max_seconds,
        "forbidden_words": list(scope.limits.forbidden_words),
        "uses": scope.limits.uses,
    }
    shown: dict[str, Json] = {
        "purposes": list(scope.purposes),
        "recipients": list(scope.audience),
        "expires_at": write_instant(scope.expires_at),
    }
    if schema == 1:
        return shown | {"limits": limits}
    allowed = scope.limits.allowed_categories
    limits |= {
        "forbidden_categories": list(scope.limits.forbidden_categories),
        "allowed_categories": None if allowed is None else list(allowed),
        "territories": list(scope.limits.territories),
    }
    return shown | {"limits": limits, "makers": list(scope.makers), "approval": scope.approval}


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


def _schema(known: Mapping[int, str], text: str) -> int:
    for number, name in known.items():
        if name == text:
            return number
    raise Malformed("schema_version is unknown")


def _event(members: Members) -> ConsentEvent:
    schema = _schema(EVENT_SCHEMAS, members.text("schema_version"))
    kind, consent_id, number = (
        _one_of(Kind, members.text("kind")),
        members.text("record_id"),
        members.whole("number"),
    )
    at, state = members.instant("event_time"), members.text("event_state")
    if schema == 1 and kind not in (Kind.GRANTED, Kind.NARROWED, Kind.REVOKED):
        raise Malformed("kind is of a later schema")
    event: ConsentEvent
    match kind:
        case Kind.REQUESTED:
            event = Requested(
                consent_id=consent_id,
                number=number,
                at=at,
                subject_id=members.text("pii_principal_id"),
                controller=controller_from(members.members("pii_controller"), 2),
                purposes=tuple(_one_of(Purpose, purpose) for purpose in members.texts("purposes")),
            )
        case Kind.DEFERRED:
            event = Deferred(consent_id=consent_id, number=number, at=at)
        case Kind.REFUSED:
            event = Refused(consent_id=consent_id, number=number, at=at)
        case Kind.GRANTED:
            members.exactly("event_type", "explicitly_expressed")
            version, language, sha256 = _notice(members.members("privacy_notice"))
            event = Granted(
                consent_id=consent_id,
                number=number,
                at=at,
                subject_id=members.text("pii_principal_id"),
                controller=controller_from(members.members("pii_controller"), schema),
                terms_version=version,
                terms_language=language,
                terms_sha256=sha256,
                scope=_scope(members.members("scope"), schema),
                template_commitment=members.text("template_commitment"),
                live=_live(members.members("live_check")),
                authority=None if schema == 1 else _authority(members.members("authority_party")),
                check_sha256=None if schema == 1 else _text_or_none(members, "check_sha256"),
                schema=schema,
            )
        case Kind.NARROWED:
            scope = _scope(members.members("scope"), schema)
            event = Narrowed(consent_id=consent_id, number=number, at=at, scope=scope, schema=schema)
        case Kind.RENEWED:
            members.exactly("event_type", "explicitly_expressed")
            version, language, sha256 = _notice(members.members("privacy_notice"))
            event = Renewed(
                consent_id=consent_id,
                number=number,
                at=at,
                scope=_scope(members.members("scope"), 2),
                terms_version=version,
                terms_language=language,
                terms_sha256=sha256,
                live=_live(members.members("live_check")),
            )
        case Kind.SUSPENDED:
            event = Suspended(
                consent_id=consent_id,
                number=number,
                at=at,
                by=_party(members, "entity_id"),
                representative_id=_representative(members),
            )
        case Kind.RESUMED:
            of, by = _party(members, "of"), _party(members, "entity_id")
            event = Resumed(
                consent_id=consent_id, number=number, at=at, of=of, by=by, representative_id=_representative(members)
            )
        case Kind.REVOKED:
            ended_by = _one_of(RevokedBy, members.text("entity_id"))
            event = Revoked(
                consent_id=consent_id,
                number=number,
                at=at,
                by=ended_by,
                representative_id=_representative(members),
                schema=schema,
            )
        case _:
            assert_never(kind)
    members.end()
    if state != _event_state(event):
        raise Malformed("state is not that of the event")
    return event


def _party(members: Members, name: str) -> Party:
    return _one_of(Party, members.text(name))


def _representative(members: Members) -> str | None:
    return members.text("representative_id") if members.has("representative_id") else None


def _text_or_none(members: Members, name: str) -> str | None:
    value = members.take(name)
    if value is not None and not isinstance(value, str):
        raise Malformed(f"{name} is neither text nor null")
    return value


def _authority_json(authority: AuthorityBinding | None) -> dict[str, Json]:
    return {"type": AuthorityType.SELF} if authority is None else authority.to_json()


def _authority(members: Members) -> AuthorityBinding | None:
    if members.names() != ("type",):
        return AuthorityBinding.read(members)
    members.exactly("type", AuthorityType.SELF)
    return None


def _notice(members: Members) -> tuple[str, str, str]:
    notice = members.text("version"), members.text("language"), members.sha256("sha256")
    members.end()
    return notice


def controller_from(members: Members, schema: int = 2) -> Controller:
    """What :func:`controller_json` wrote. Raises :class:`consent.canonical.Malformed` and ConsentInvalid."""
    controller = Controller(
        name=members.text("name"),
        contact=members.text("contact"),
        jurisdiction=members.text("jurisdiction"),
        storage_location=members.text("storage_location"),
        withdrawal=None if schema == 1 else _text_or_none(members, "withdrawal"),
    )
    members.end()
    return controller


def _scope(members: Members, schema: int) -> Scope:
    written = members.texts("purposes"), members.texts("recipients")
    limits, of_limits = _limits(members.members("limits"), schema)
    makers = (EVERYONE,) if schema == 1 else members.texts("makers")
    scope = Scope(
        purposes=tuple(_one_of(Purpose, purpose) for purpose in written[0]),
        audience=written[1],
        limits=limits,
        expires_at=read_instant(members.text("expires_at")),
        makers=makers,
        approval=ApprovalRule.NEVER if schema == 1 else _one_of(ApprovalRule, members.text("approval")),
    )
    members.end()
    if (scope.purposes, scope.audience, scope.makers) != (*written, makers) or not of_limits:
        raise Malformed("a list is not in order")
    return scope


def _limits(members: Members, schema: int) -> tuple[Limits, bool]:
    """The limits, and whether their lists were written in order."""
    max_seconds, words = members.whole("max_seconds"), members.texts("forbidden_words")
    uses = members.take("uses")
    if uses is not None and (not isinstance(uses, int) or isinstance(uses, bool)):
        raise Malformed("uses is neither a number nor null")
    forbidden: tuple[str, ...] = ()
    allowed: tuple[str, ...] | None = None
    territories: tuple[str, ...] = (WORLD,)
    if schema == 2:
        forbidden, territories = members.texts("forbidden_categories"), members.texts("territories")
        allowed = members.texts_or_none("allowed_categories")
    members.end()
    limits = Limits(
        max_seconds=max_seconds,
        forbidden_words=words,
        uses=uses,
        forbidden_categories=tuple(_one_of(ContentCategory, name) for name in forbidden),
        allowed_categories=None if allowed is None else tuple(_one_of(ContentCategory, name) for name in allowed),
        territories=territories,
    )
    lists = (limits.forbidden_words, limits.forbidden_categories, limits.allowed_categories, limits.territories)
    return limits, lists == (words, forbidden, allowed, territories)


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
