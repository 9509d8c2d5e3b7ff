"""One claim to speak for somebody, from the day it is opened: a table of steps, and a function for each.

    opened -> documents -> checked_once -> checked_twice -> objection_window -> granted <-> suspended
    and from any of them the ends: refused, vetoed, withdrawn, expired

A step that the table or a rule does not allow gives an :class:`AuthorityRefusal` and changes nothing: cases are values.
:func:`settle` does what time, an advance directive or a sign of life does by itself; whoever reads a case settles it first.

What reviewers approve is a dossier with a digest. Once one of them has approved, nothing can be added to it. Reviewers are
told apart by key and by name, so that one person with two keys is one person as long as the keys bear that person's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from consent.authority import (
    LEAST_PHOTOGRAPHS,
    LONGEST_AUTHORITY,
    LONGEST_CONSENT,
    LONGEST_WINDOW,
    MAY_STAND,
    NEEDS_NOBODY_ELSE,
    OBJECTION_WINDOW,
    QUORUMS,
    WITHHELD,
    Act,
    AuthorityBinding,
    AuthorityCode,
    AuthorityRefusal,
    AuthorityType,
    BasisDocument,
    DocumentKind,
    Party,
    QuorumRule,
    Relation,
    Shown,
    SubjectAssurance,
    SubjectState,
    documents_suffice,
    family_problem,
    jurisdiction_is_sound,
    may_veto,
    maybe_instant,
    nearest_rank,
    one_of,
    quorum_reached,
    read_share,
    refused,
    write_share,
)
from consent.canonical import Json, Malformed, Members, decode, encode, is_sha256, sha256_hex, write_instant
from consent.directive import AdvanceDirective
from consent.errors import ConsentInvalid, RecordInvalid
from consent.majority import guardian_until
from consent.terms import Purpose
from liveness.errors import ContractMismatch
from liveness.template import FaceTemplate, similarity

CASE_SCHEMA = "mien-authority-case-1"
DECIDED_WITHIN = timedelta(days=90)  # design: papers of a case that nobody brings to its window grow old
DIRECTIVE = "directive"
"""In place of a party, where an advance directive objects."""

_MAX_PARTIES = 64
_MAX_DOCUMENTS = 64
_MAX_PHOTOGRAPHS = 24
_MAX_REASON_CHARS = 500


class CaseStage(StrEnum):
    """How far a case is."""

    OPENED = "opened"
    DOCUMENTS = "documents"
    CHECKED_ONCE = "checked_once"
    CHECKED_TWICE = "checked_twice"
    OBJECTION_WINDOW = "objection_window"
    GRANTED = "granted"
    SUSPENDED = "suspended"
    REFUSED = "refused"
    VETOED = "vetoed"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"

    @property
    def is_over(self) -> bool:
        return self in _ENDS


class CaseStep(StrEnum):
    """What can happen to a case."""

    ADD = "add"
    APPROVE = "approve"
    REFUSE = "refuse"
    OPEN_WINDOW = "open_window"
    GRANT = "grant"
    OBJECT = "object"
    LIFT = "lift"
    WITHDRAW = "withdraw"
    EXPIRE = "expire"


_ENDS = frozenset({CaseStage.REFUSED, CaseStage.VETOED, CaseStage.WITHDRAWN, CaseStage.EXPIRED})
_UNDECIDED = (
    CaseStage.OPENED,
    CaseStage.DOCUMENTS,
    CaseStage.CHECKED_ONCE,
    CaseStage.CHECKED_TWICE,
    CaseStage.OBJECTION_WINDOW,
)
_RUNNING = (*_UNDECIDED, CaseStage.GRANTED, CaseStage.SUSPENDED)

TRANSITIONS: Mapping[tuple[CaseStage, CaseStep], CaseStage] = {
    (CaseStage.OPENED, CaseStep.ADD): CaseStage.DOCUMENTS,
    (CaseStage.DOCUMENTS, CaseStep.ADD): CaseStage.DOCUMENTS,
    (CaseStage.DOCUMENTS, CaseStep.APPROVE): CaseStage.CHECKED_ONCE,
    (CaseStage.CHECKED_ONCE, CaseStep.APPROVE): CaseStage.CHECKED_TWICE,
    (CaseStage.DOCUMENTS, CaseStep.REFUSE): CaseStage.REFUSED,
    (CaseStage.CHECKED_ONCE, CaseStep.REFUSE): CaseStage.REFUSED,
    (CaseStage.CHECKED_TWICE, CaseStep.OPEN_WINDOW): CaseStage.OBJECTION_WINDOW,
    (CaseStage.CHECKED_TWICE, CaseStep.GRANT): CaseStage.GRANTED,
    (CaseStage.OBJECTION_WINDOW, CaseStep.GRANT): CaseStage.GRANTED,
    **{(stage, CaseStep.OBJECT): CaseStage.VETOED for stage in _UNDECIDED},
    (CaseStage.GRANTED, CaseStep.OBJECT): CaseStage.SUSPENDED,
    (CaseStage.SUSPENDED, CaseStep.OBJECT): CaseStage.SUSPENDED,
    (CaseStage.SUSPENDED, CaseStep.LIFT): CaseStage.GRANTED,
    **{(stage, CaseStep.WITHDRAW): CaseStage.WITHDRAWN for stage in _RUNNING},
    **{(stage, CaseStep.EXPIRE): CaseStage.EXPIRED for stage in _RUNNING},
}
"""Everything that moves a case. What is not here is refused with ``not_now``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Representative:
    """A party who signed, and the live check of their own that they signed on."""

    party_id: str
    shown: Shown
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """A photograph with one face that can be measured; its template is kept beside the case, not in it."""

    photograph_id: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What one of the two reviewers said. ``photographs``: those they approve of, of an approval."""

    reviewer: str
    name: str
    approves: bool
    reason: str
    photographs: tuple[str, ...]
    dossier_sha256: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Who objects: a party, the subject, or :data:`DIRECTIVE`. Open until the same one lifts it."""

    by: str
    at: datetime
    lifted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityCase:
    """A claim, whole. Made by :func:`open_case` and moved by the functions below only.

    requester : key id and name of who opened it. purposes : what everybody signs for; a consent may ask for less.
    window_days : how long relatives may object. window_from, window_to : half-open, once it was opened.
    """

    case_id: str
    subject_id: str
    requester: str
    requester_name: str
    kind: AuthorityType
    subject_state: SubjectState
    jurisdiction: str
    rule: QuorumRule
    purposes: tuple[Purpose, ...]
    parties: tuple[Party, ...] = field(repr=False)
    born: date | None = field(repr=False)
    died: date | None = field(repr=False)
    window_days: int
    opened_at: datetime
    stage: CaseStage = CaseStage.OPENED
    documents: tuple[BasisDocument, ...] = field(default=(), repr=False)
    representatives: tuple[Representative, ...] = field(default=(), repr=False)
    photographs: tuple[Photograph, ...] = field(default=(), repr=False)
    reviews: tuple[Review, ...] = field(default=(), repr=False)
    objections: tuple[Objection, ...] = field(default=(), repr=False)
    window_from: datetime | None = None
    window_to: datetime | None = None
    granted_at: datetime | None = None
    valid_to: datetime | None = None
    ended_at: datetime | None = None

    @property
    def signed(self) -> frozenset[str]:
        return frozenset(representative.party_id for representative in self.representatives)

    @property
    def needs_photographs(self) -> bool:
        return self.kind not in NEEDS_NOBODY_ELSE

    @property
    def approved_photographs(self) -> tuple[str, ...]:
        """Those that every approving reviewer approved of, in the order in which they came."""
        approving = [set(review.photographs) for review in self.reviews if review.approves]
        return tuple(
            p.photograph_id
            for p in self.photographs
            if approving and all(p.photograph_id in approved for approved in approving)
        )

    @property
    def open_objections(self) -> tuple[Objection, ...]:
        return tuple(objection for objection in self.objections if objection.lifted_at is None)

    @property
    def stops_at(self) -> datetime | None:
        """A minor's birthday: nothing holds from there on, whatever else is written."""
        if self.subject_state is SubjectState.MINOR and self.born is not None:
            return guardian_until(self.born, self.jurisdiction)
        return None


# --- steps -----------------------------------------------------------------------------------------------------------


def open_case(
    *,
    case_id: str,
    subject_id: str,
    requester: str,
    requester_name: str,
    kind: AuthorityType,
    subject_state: SubjectState,
    jurisdiction: str,
    rule: QuorumRule,
    purposes: Iterable[Purpose],
    parties: Sequence[Party],
    born: date | None = None,
    died: date | None = None,
    window_days: int = OBJECTION_WINDOW.days,
    now: datetime,
) -> AuthorityCase | AuthorityRefusal:
    """A claim begins.

    1. Somebody in that state can be spoken for at all, and as that.
    2. That kind of claim may be decided so.
    3. The people are all there, once each, and shares add up.
    4. The dates that the state needs are there and not in the future; a minor still is one.
    5. What it is for may be allowed on that person's behalf; the window is long enough.

    Raises:
        ConsentInvalid: code ``authority_invalid`` for a place that is no ISO 3166 code.
    """
    if not jurisdiction_is_sound(jurisdiction):
        raise ConsentInvalid("a jurisdiction is an ISO 3166 code such as DE or US-CA", code="authority_invalid")
    asked = frozenset(purposes)
    if subject_state is SubjectState.LIVING_ADULT and kind is not AuthorityType.AGENT:  # 1
        return refused(AuthorityCode.LIVING_ADULT_DECIDES)
    if kind not in MAY_STAND[subject_state]:
        return refused(AuthorityCode.TYPE_UNSUITED)
    if rule not in QUORUMS[subject_state, kind]:  # 2
        return refused(AuthorityCode.QUORUM_UNSUITED)
    if len(parties) > _MAX_PARTIES:
        return refused(AuthorityCode.TOO_MANY)
    family = family_problem(parties, kind=kind, rule=rule, subject_id=subject_id)  # 3
    if family is not None:
        return refused(family)
    wanted = (subject_state is SubjectState.MINOR, subject_state is SubjectState.DECEASED)  # 4
    latest = now.date() + timedelta(days=1)  # it may be tomorrow already where they live
    past = all(day is None or (day.year >= 1800 and day <= latest) for day in (born, died))
    if (born is not None, died is not None) != wanted or not past:
        return refused(AuthorityCode.DATES_INVALID)
    if born is not None and now >= guardian_until(born, jurisdiction):
        return refused(AuthorityCode.MAJORITY_REACHED)
    if kind in NEEDS_NOBODY_ELSE:  # 5
        if asked:
            return refused(AuthorityCode.AGENT_ONLY_TAKES_BACK)
    elif not asked or asked & WITHHELD[subject_state]:
        return refused(AuthorityCode.PURPOSE_NOT_FOR_OTHERS)
    if not OBJECTION_WINDOW.days <= window_days <= LONGEST_WINDOW.days:
        return refused(AuthorityCode.WINDOW_INVALID)
    return AuthorityCase(
        case_id=case_id,
        subject_id=subject_id,
        requester=requester,
        requester_name=requester_name,
        kind=kind,
        subject_state=subject_state,
        jurisdiction=jurisdiction,
        rule=rule,
        purposes=tuple(purpose for purpose in Purpose if purpose in asked),
        parties=tuple(sorted(parties, key=lambda party: party.party_id)),
        born=born,
        died=died,
        window_days=window_days,
        opened_at=now,
    )


def add_document(case: AuthorityCase, document: BasisDocument) -> AuthorityCase | AuthorityRefusal:
    """Papers come in. The same bytes twice are one paper: a birth certificate is no proof of death."""
    if not set(document.shows) <= {party.party_id for party in case.parties}:
        return refused(AuthorityCode.PARTY_UNKNOWN)
    if any(document.sha256 == kept.sha256 for kept in case.documents):
        return refused(AuthorityCode.DOCUMENT_REPEATED)
    if len(case.documents) >= _MAX_DOCUMENTS:
        return refused(AuthorityCode.TOO_MANY)
    return _stepped(case, CaseStep.ADD, documents=(*case.documents, document))


def sign(
    case: AuthorityCase, *, party_id: str, shown: Shown | AuthorityRefusal, now: datetime
) -> AuthorityCase | AuthorityRefusal:
    """A party, just shown live, agrees to the case: to what it is for, and to speak for the subject in it."""
    if isinstance(shown, AuthorityRefusal):
        return shown
    if party_id not in {party.party_id for party in case.parties}:
        return refused(AuthorityCode.PARTY_UNKNOWN)
    known = {representative.shown.capture_sha256 for representative in case.representatives}
    if party_id in case.signed or shown.capture_sha256 in known:
        return refused(AuthorityCode.REPRESENTATIVE_REPEATED)
    signature = Representative(party_id=party_id, shown=shown, at=now)
    return _stepped(case, CaseStep.ADD, representatives=(*case.representatives, signature))


def add_photograph(
    case: AuthorityCase,
    photograph: Photograph,
    templates: Sequence[FaceTemplate | None],
    others: Sequence[FaceTemplate],
    *,
    same_person: float,
) -> AuthorityCase | AuthorityRefusal:
    """A photograph of the subject. ``templates``: of every face in it; ``others``: of the photographs before it."""
    if not is_sha256(photograph.sha256):
        raise ConsentInvalid("a photograph has a SHA-256", code="authority_invalid")
    if any(photograph.sha256 == kept.sha256 for kept in case.photographs):
        return refused(AuthorityCode.DOCUMENT_REPEATED)
    if len(case.photographs) >= _MAX_PHOTOGRAPHS:
        return refused(AuthorityCode.TOO_MANY)
    found = [one for one in templates if one is not None]
    if len(templates) != 1 or len(found) != 1:
        return refused(AuthorityCode.PHOTOGRAPH_UNCLEAR)
    if len(others) != len(case.photographs) or not all(alike(found[0], other, same_person) for other in others):
        return refused(AuthorityCode.PHOTOGRAPHS_DIFFER)
    return _stepped(case, CaseStep.ADD, photographs=(*case.photographs, photograph))


def review(
    case: AuthorityCase,
    *,
    reviewer: str,
    name: str,
    approves: bool,
    reason: str,
    photographs: Iterable[str] = (),
    dossier_sha256: str,
    now: datetime,
) -> AuthorityCase | AuthorityRefusal:
    """One of the two looks at the dossier with that digest and approves or refuses.

    1. The case is at that stage.
    2. The reviewer did not open it, and did not review it before.
    3. The dossier is the one they saw.
    4. To approve: documents, signatures and photographs are enough, counting only photographs that all approved of.
    """
    step = CaseStep.APPROVE if approves else CaseStep.REFUSE
    if (case.stage, step) not in TRANSITIONS:  # 1
        return refused(AuthorityCode.NOT_NOW)
    if reviewer == case.requester or name == case.requester_name:  # 2
        return refused(AuthorityCode.REVIEWER_IS_REQUESTER)
    if any(reviewer == before.reviewer or name == before.name for before in case.reviews):
        return refused(AuthorityCode.REVIEWER_REPEATED)
    if dossier_sha256 != dossier_digest(case):  # 3
        return refused(AuthorityCode.DOSSIER_CHANGED)
    said = Review(
        reviewer=reviewer,
        name=name,
        approves=approves,
        reason=reason[:_MAX_REASON_CHARS],
        photographs=tuple(sorted(set(photographs))) if approves else (),
        dossier_sha256=dossier_sha256,
        at=now,
    )
    reviewed = replace(case, reviews=(*case.reviews, said))
    lacking = missing(reviewed) if approves else ()
    if lacking:  # 4
        return AuthorityRefusal(codes=lacking)
    return _stepped(reviewed, step, ended_at=None if approves else now)


def missing(case: AuthorityCase) -> tuple[AuthorityCode, ...]:
    """What a reviewer cannot approve without. Photographs count once approved, or before any review all of them."""
    codes: list[AuthorityCode] = []
    if not quorum_reached(case.parties, case.rule, case.signed):
        codes.append(AuthorityCode.QUORUM_MISSING)
    papers = documents_suffice(
        case.documents, kind=case.kind, state=case.subject_state, parties=case.parties, signed=case.signed
    )
    if not case.documents or not papers:
        codes.append(AuthorityCode.DOCUMENTS_MISSING)
    photographs = len(case.approved_photographs) if case.reviews else len(case.photographs)
    if case.needs_photographs and photographs < LEAST_PHOTOGRAPHS:
        codes.append(AuthorityCode.PHOTOGRAPHS_MISSING)
    return tuple(codes)


def object_to(
    case: AuthorityCase, *, by: str, now: datetime, unlisted: Relation | None = None
) -> AuthorityCase | AuthorityRefusal:
    """Somebody entitled objects: before the end of the window that is the end, after it everything stands still at once.

    ``unlisted``: what somebody is to the subject who is not on the list; a relative as near as those on it counts all the same.
    """
    if case.stage.is_over:
        return refused(AuthorityCode.NOT_NOW)
    parties = case.parties
    if unlisted is not None and by not in {party.party_id for party in parties} and by != case.subject_id:
        nearest = nearest_rank(parties)
        if unlisted.rank is not None and (nearest is None or unlisted.rank <= nearest):
            parties = (*parties, Party(party_id=by, relation=unlisted))
    if by != case.subject_id and not may_veto(parties, by):
        return refused(AuthorityCode.NO_VETO)
    if any(objection.by == by for objection in case.open_objections):
        return case
    return _objected(replace(case, parties=parties), by, now)


def lift(case: AuthorityCase, *, by: str, now: datetime) -> AuthorityCase | AuthorityRefusal:
    """Whoever objected takes it back. The authority stands again once nobody objects and all who must agree have."""
    if (case.stage, CaseStep.LIFT) not in TRANSITIONS:
        return refused(AuthorityCode.NOT_NOW)
    if by == DIRECTIVE or not any(objection.by == by for objection in case.open_objections):
        return refused(AuthorityCode.NO_VETO)
    lifted = replace(
        case,
        objections=tuple(
            replace(one, lifted_at=now) if one.by == by and one.lifted_at is None else one for one in case.objections
        ),
    )
    if lifted.open_objections or not quorum_reached(lifted.parties, lifted.rule, lifted.signed):
        return lifted
    return _stepped(lifted, CaseStep.LIFT)


def withdraw(case: AuthorityCase, *, by: str, now: datetime) -> AuthorityCase | AuthorityRefusal:
    """Whoever opened it, or anyone who signed, takes it back; for good."""
    if by != case.requester and by not in case.signed:
        return refused(AuthorityCode.PARTY_UNKNOWN)
    return _stepped(case, CaseStep.WITHDRAW, ended_at=now)


def settle(
    case: AuthorityCase, *, directive: AdvanceDirective | None, seen_live_at: datetime | None, now: datetime
) -> AuthorityCase:
    """What happens without anybody doing anything, by now. ``seen_live_at``: when the subject last passed a live check.

    1. A case whose time is over expires: nobody decided it, its years are up, or a minor's birthday came.
    2. A subject who was seen alive after the stated day objects. So does a directive that leaves nothing to allow.
    3. After the second approval relatives of a deceased get their window; where there is none, it is granted.
    4. A window that is over without an objection is followed by the grant.
    """
    if case.stage.is_over:
        return case
    if _is_over(case, now):  # 1
        return _moved(case, CaseStep.EXPIRE, ended_at=now)
    alive = case.died is not None and seen_live_at is not None and seen_live_at.date() > case.died  # 2
    if alive and not any(objection.by == case.subject_id for objection in case.open_objections):
        case = _objected(case, case.subject_id, now)
    forbids = directive is not None and _bound_by_directive(case) and directive.stops_everything(now)
    if forbids and not any(objection.by == DIRECTIVE for objection in case.open_objections) and not case.stage.is_over:
        case = _objected(case, DIRECTIVE, now)
    if case.stage is CaseStage.CHECKED_TWICE:  # 3
        if case.subject_state is SubjectState.DECEASED:
            until = now + timedelta(days=case.window_days)
            case = _moved(case, CaseStep.OPEN_WINDOW, window_from=now, window_to=until)
        else:
            case = _granted(case, now)
    if case.stage is CaseStage.OBJECTION_WINDOW and case.window_to is not None and now >= case.window_to:  # 4
        case = _granted(case, now)
    return case


def _is_over(case: AuthorityCase, now: datetime) -> bool:
    if case.stops_at is not None and now >= case.stops_at:
        return True
    if case.stage in (CaseStage.GRANTED, CaseStage.SUSPENDED):
        return case.valid_to is None or now >= case.valid_to
    return case.window_to is None and now >= case.opened_at + DECIDED_WITHIN


def _granted(case: AuthorityCase, now: datetime) -> AuthorityCase:
    ends = [now + LONGEST_AUTHORITY, *([] if case.stops_at is None else [case.stops_at])]
    return _moved(case, CaseStep.GRANT, granted_at=now, valid_to=min(ends))


def _objected(case: AuthorityCase, by: str, now: datetime) -> AuthorityCase:
    others = tuple(
        one for one in case.objections if one.by != by
    )  # of each only the last, so that no list can be filled up
    stopped = _moved(case, CaseStep.OBJECT, objections=(*others, Objection(by=by, at=now)))
    return replace(stopped, ended_at=now) if stopped.stage.is_over else stopped


def _stepped(case: AuthorityCase, step: CaseStep, **changes: object) -> AuthorityCase | AuthorityRefusal:
    if (case.stage, step) not in TRANSITIONS:
        return refused(AuthorityCode.NOT_NOW)
    return _moved(case, step, **changes)


def _moved(case: AuthorityCase, step: CaseStep, **changes: object) -> AuthorityCase:
    return replace(case, stage=TRANSITIONS[case.stage, step], **changes)  # type: ignore[arg-type]


def _bound_by_directive(case: AuthorityCase) -> bool:
    return case.subject_state in (SubjectState.DECEASED, SubjectState.INCAPACITATED)


# --- what it is good for ---------------------------------------------------------------------------------------------


def authorise(
    case: AuthorityCase,
    *,
    directive: AdvanceDirective | None,
    by: str,
    shown: Shown | AuthorityRefusal,
    purposes: Iterable[Purpose],
    every_backend: bool,
    every_maker: bool,
    expires_at: datetime,
    now: datetime,
) -> AuthorityBinding | AuthorityRefusal:
    """A representative, just shown live, wants to give a consent on this authority. ``case`` is settled at ``now``.

    1. The authority stands now.
    2. They are one of those who signed, and were shown live.
    3. Each purpose is one that everybody signed for, that may be allowed for such a person, and that the directive leaves.
    4. Somebody in particular may use it and ask for it, not everyone.
    5. It ends in time: see :func:`latest_end`.
    """
    asked = frozenset(purposes)
    codes = list(_not_standing(case, directive, asked, now))  # 1, 3
    if isinstance(shown, AuthorityRefusal):  # 2
        codes.extend(shown.codes)
    if by not in case.signed:
        codes.append(AuthorityCode.PARTY_UNKNOWN)
    if every_backend or every_maker:  # 4
        codes.append(AuthorityCode.AUDIENCE_TOO_WIDE)
    latest = latest_end(case, directive=directive, now=now)
    if latest is not None and not now < expires_at <= latest:  # 5
        codes.append(AuthorityCode.TERM_TOO_LONG)
    approving = [said for said in case.reviews if said.approves]
    if codes or case.granted_at is None or case.valid_to is None or len(approving) != 2:
        return AuthorityRefusal(codes=tuple(codes) or (AuthorityCode.NOT_GRANTED,))
    party = next(party for party in case.parties if party.party_id == by)
    return AuthorityBinding(
        case_id=case.case_id,
        case_sha256=case_digest(case),
        type=case.kind,
        subject_state=case.subject_state,
        representative_id=by,
        basis=tuple((document.kind, document.sha256, document.issuer) for document in case.documents),
        share=party.share,
        rank=party.relation.rank,
        quorum_rule=case.rule,
        jurisdiction=case.jurisdiction,
        valid_from=case.granted_at,
        valid_to=case.valid_to,
        verified_by=(approving[0].reviewer, approving[1].reviewer),
    )


def latest_end(case: AuthorityCase, *, directive: AdvanceDirective | None, now: datetime) -> datetime | None:
    """The end that no consent given now may outlast; ``None`` while nothing is granted."""
    if case.valid_to is None:
        return None
    ends = [now + LONGEST_CONSENT[case.subject_state], case.valid_to]
    if case.stops_at is not None:
        ends.append(case.stops_at)
    if directive is not None and _bound_by_directive(case) and directive.ends_consents_at is not None:
        ends.append(directive.ends_consents_at)
    return min(ends)


def standing(
    case: AuthorityCase,
    *,
    directive: AdvanceDirective | None,
    seen_live_at: datetime | None,
    purpose: Purpose,
    now: datetime,
) -> AuthorityRefusal | None:
    """Whether a consent on this authority holds for that purpose now: for the gate, at every question. ``None``: it does."""
    settled = settle(case, directive=directive, seen_live_at=seen_live_at, now=now)
    codes = _not_standing(settled, directive, frozenset({purpose}), now)
    return AuthorityRefusal(codes=codes) if codes else None


def _not_standing(
    case: AuthorityCase, directive: AdvanceDirective | None, purposes: frozenset[Purpose], now: datetime
) -> tuple[AuthorityCode, ...]:
    codes: list[AuthorityCode] = []
    if case.kind in NEEDS_NOBODY_ELSE:
        codes.append(AuthorityCode.AGENT_ONLY_TAKES_BACK)
    match case.stage:
        case CaseStage.GRANTED:
            if case.granted_at is None or now < case.granted_at:  # a clock that went back grants nothing
                codes.append(AuthorityCode.NOT_GRANTED)
            elif _is_over(case, now):
                codes.append(AuthorityCode.AUTHORITY_OVER)
        case CaseStage.SUSPENDED:
            codes.append(AuthorityCode.SUSPENDED)
        case CaseStage.EXPIRED | CaseStage.WITHDRAWN:
            codes.append(AuthorityCode.AUTHORITY_OVER)
        case _:
            codes.append(AuthorityCode.NOT_GRANTED)
    if not purposes or not purposes <= frozenset(case.purposes):
        codes.append(AuthorityCode.PURPOSE_NOT_ASKED)
    if purposes & WITHHELD[case.subject_state]:
        codes.append(AuthorityCode.PURPOSE_NOT_FOR_OTHERS)
    if directive is not None and _bound_by_directive(case) and not purposes <= directive.allowed(now):
        codes.append(AuthorityCode.DIRECTIVE_FORBIDS)
    return tuple(codes)


def may_act(case: AuthorityCase, act: Act, *, by: str) -> AuthorityRefusal | None:
    """Who may take back what stands on this case or, where it is an agent's, what the person gave. ``None``: they may.
    Taking back never waits for a quorum; giving is for :func:`authorise`."""
    if act is Act.GRANT:
        agent = case.kind in NEEDS_NOBODY_ELSE
        return refused(AuthorityCode.AGENT_ONLY_TAKES_BACK if agent else AuthorityCode.NOT_GRANTED)
    if by == case.subject_id:
        return None
    if case.stage not in (CaseStage.GRANTED, CaseStage.SUSPENDED):
        return refused(AuthorityCode.NOT_GRANTED)
    if any(objection.by == case.subject_id for objection in case.open_objections):  # the person is there to decide
        return refused(AuthorityCode.SUSPENDED)
    if by not in case.signed and not may_veto(case.parties, by):
        return refused(AuthorityCode.NO_VETO)
    if act is Act.RESUME and by not in case.signed:
        return refused(AuthorityCode.SIGNERS_ONLY)
    return None


# --- whose face ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CuratedTemplate:
    """Whose face it is, from photographs that both reviewers approved of; nobody was seen alive.

    templates : one of each photograph, in order. photographs : their SHA-256. subject_state : why no live check applies.
    """

    templates: tuple[FaceTemplate, ...] = field(repr=False)
    photographs: tuple[str, ...]
    subject_state: SubjectState

    @property
    def assurance(self) -> SubjectAssurance:
        return SubjectAssurance.CURATED


def curate(
    case: AuthorityCase, templates: Mapping[str, FaceTemplate], *, same_person: float
) -> CuratedTemplate | AuthorityRefusal:
    """The template of a granted case. ``templates``: by photograph. Every two of those approved must be one person's."""
    if case.stage is not CaseStage.GRANTED:
        return refused(AuthorityCode.NOT_GRANTED)
    approved = [p for p in case.photographs if p.photograph_id in case.approved_photographs]
    found = [templates[p.photograph_id] for p in approved if p.photograph_id in templates]
    if len(found) != len(approved) or len(found) < LEAST_PHOTOGRAPHS or not case.needs_photographs:
        return refused(AuthorityCode.PHOTOGRAPHS_MISSING)
    pairs = ((one, other) for number, one in enumerate(found) for other in found[:number])
    if not all(alike(one, other, same_person) for one, other in pairs):
        return refused(AuthorityCode.PHOTOGRAPHS_DIFFER)
    return CuratedTemplate(
        templates=tuple(found), photographs=tuple(p.sha256 for p in approved), subject_state=case.subject_state
    )


def alike(one: FaceTemplate, other: FaceTemplate, same_person: float) -> bool:
    """One person's, at a cosine of ``same_person`` or more. Templates that cannot be compared are not."""
    try:
        return similarity(one, other) >= same_person
    except ContractMismatch:
        return False


# --- as bytes --------------------------------------------------------------------------------------------------------


def case_bytes(case: AuthorityCase) -> bytes:
    """Canonical JSON of all of it: what is stored, sealed, and committed to by a consent that stands on it."""
    return encode(_dossier_json(case) | _course_json(case))


def case_digest(case: AuthorityCase) -> str:
    return sha256_hex(case_bytes(case))


def dossier_digest(case: AuthorityCase) -> str:
    """Of what reviewers look at: everything but what happened to it since."""
    return sha256_hex(encode(_dossier_json(case)))


def _dossier_json(case: AuthorityCase) -> dict[str, Json]:
    return {
        "schema_version": CASE_SCHEMA,
        "case_id": case.case_id,
        "subject_id": case.subject_id,
        "requester": case.requester,
        "requester_name": case.requester_name,
        "type": case.kind,
        "subject_state": case.subject_state,
        "jurisdiction": case.jurisdiction,
        "quorum_rule": case.rule,
        "purposes": list(case.purposes),
        "parties": [
            {
                "party_id": party.party_id,
                "relation": party.relation,
                "share": None if party.share is None else write_share(party.share),
            }
            for party in case.parties
        ],
        "born": None if case.born is None else case.born.isoformat(),
        "died": None if case.died is None else case.died.isoformat(),
        "window_days": case.window_days,
        "opened_at": write_instant(case.opened_at),
        "documents": [
            {
                "document_id": document.document_id,
                "kind": document.kind,
                "sha256": document.sha256,
                "issuer": document.issuer,
                "shows": list(document.shows),
            }
            for document in case.documents
        ],
        "representatives": [
            {"party_id": one.party_id, "live_check": one.shown.to_json(), "at": write_instant(one.at)}
            for one in case.representatives
        ],
        "photographs": [{"photograph_id": one.photograph_id, "sha256": one.sha256} for one in case.photographs],
    }


def _course_json(case: AuthorityCase) -> dict[str, Json]:
    return {
        "stage": case.stage,
        "reviews": [
            {
                "reviewer": said.reviewer,
                "name": said.name,
                "approves": said.approves,
                "reason": said.reason,
                "photographs": list(said.photographs),
                "dossier_sha256": said.dossier_sha256,
                "at": write_instant(said.at),
            }
            for said in case.reviews
        ],
        "objections": [
            {"by": one.by, "at": write_instant(one.at), "lifted_at": _maybe(one.lifted_at)} for one in case.objections
        ],
        "window_from": _maybe(case.window_from),
        "window_to": _maybe(case.window_to),
        "granted_at": _maybe(case.granted_at),
        "valid_to": _maybe(case.valid_to),
        "ended_at": _maybe(case.ended_at),
    }


def _maybe(at: datetime | None) -> str | None:
    return None if at is None else write_instant(at)


def case_from_bytes(content: bytes) -> AuthorityCase:
    """The case that :func:`case_bytes` wrote.

    Raises:
        RecordInvalid: when it did not write this.
    """
    try:
        case = _case(decode(content))
    except (Malformed, ConsentInvalid, ValueError) as error:
        raise RecordInvalid("not an authority case") from error
    return case


def _case(members: Members) -> AuthorityCase:
    members.exactly("schema_version", CASE_SCHEMA)
    case = AuthorityCase(
        case_id=members.text("case_id"),
        subject_id=members.text("subject_id"),
        requester=members.text("requester"),
        requester_name=members.text("requester_name"),
        kind=one_of(AuthorityType, members.text("type")),
        subject_state=one_of(SubjectState, members.text("subject_state")),
        jurisdiction=members.text("jurisdiction"),
        rule=one_of(QuorumRule, members.text("quorum_rule")),
        purposes=tuple(one_of(Purpose, purpose) for purpose in members.texts("purposes")),
        parties=tuple(_party(Members(item)) for item in members.items("parties")),
        born=_day(members, "born"),
        died=_day(members, "died"),
        window_days=members.whole("window_days"),
        opened_at=members.instant("opened_at"),
        documents=tuple(_document(Members(item)) for item in members.items("documents")),
        representatives=tuple(_representative(Members(item)) for item in members.items("representatives")),
        photographs=tuple(_photograph(Members(item)) for item in members.items("photographs")),
        stage=one_of(CaseStage, members.text("stage")),
        reviews=tuple(_review(Members(item)) for item in members.items("reviews")),
        objections=tuple(_objection(Members(item)) for item in members.items("objections")),
        window_from=maybe_instant(members, "window_from"),
        window_to=maybe_instant(members, "window_to"),
        granted_at=maybe_instant(members, "granted_at"),
        valid_to=maybe_instant(members, "valid_to"),
        ended_at=maybe_instant(members, "ended_at"),
    )
    members.end()
    return case


def _day(members: Members, name: str) -> date | None:
    written = members.take(name)
    if written is None:
        return None
    day = date.fromisoformat(written) if isinstance(written, str) else None
    if day is None or day.isoformat() != written:
        raise Malformed(f"{name} is no day")
    return day


def _party(members: Members) -> Party:
    party = Party(
        party_id=members.text("party_id"),
        relation=one_of(Relation, members.text("relation")),
        share=read_share(members.take("share")),
    )
    members.end()
    return party


def _document(members: Members) -> BasisDocument:
    document = BasisDocument(
        document_id=members.text("document_id"),
        kind=one_of(DocumentKind, members.text("kind")),
        sha256=members.sha256("sha256"),
        issuer=members.text("issuer"),
        shows=members.texts("shows"),
    )
    members.end()
    return document


def _representative(members: Members) -> Representative:
    representative = Representative(
        party_id=members.text("party_id"),
        shown=Shown.read(members.members("live_check")),
        at=members.instant("at"),
    )
    members.end()
    return representative


def _photograph(members: Members) -> Photograph:
    photograph = Photograph(photograph_id=members.text("photograph_id"), sha256=members.sha256("sha256"))
    members.end()
    return photograph


def _review(members: Members) -> Review:
    said = Review(
        reviewer=members.text("reviewer"),
        name=members.text("name"),
        approves=members.flag("approves"),
        reason=members.text("reason"),
        photographs=members.texts("photographs"),
        dossier_sha256=members.sha256("dossier_sha256"),
        at=members.instant("at"),
    )
    members.end()
    return said


def _objection(members: Members) -> Objection:
    objection = Objection(
        by=members.text("by"), at=members.instant("at"), lifted_at=maybe_instant(members, "lifted_at")
    )
    members.end()
    return objection
