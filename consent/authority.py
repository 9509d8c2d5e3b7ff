"""Who may speak for someone who cannot speak for themself, and how far.

    living adult      nobody but that person. An agent may take back (narrow, suspend, revoke), never give.
    minor             their guardians, until the 18th birthday whatever a record says.
    incapacitated     a guardian whom a court appointed.
    deceased          executor, heirs or a licensee, when the relatives agree and nobody objects.

Above all of them stands what the person said while they could (:mod:`consent.directive`). How a claim is proved, checked by
two people and left open to objection is :mod:`consent.authority_case`; this file has the vocabulary and the rules on which
that stands. Whoever speaks for another passes a live check of their own; the record says that the subject did not.

The texts in :data:`ADVICE` are for the people involved, in both languages of the pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import TypeVar

from consent.canonical import Json, Malformed, Members, is_sha256, read_instant, write_instant
from consent.errors import ConsentInvalid
from consent.terms import Purpose
from liveness.policy import Assurance
from liveness.reasons import Advice
from liveness.verdict import Live

OBJECTION_WINDOW = timedelta(days=14)  # design: two weekly papers, or a letter abroad and its answer
LONGEST_WINDOW = timedelta(days=180)
LONGEST_AUTHORITY = timedelta(
    days=5 * 365
)  # NO FAKES Act text: a minor's licence, and a renewal after death, at most 5 years
SHOWN_FOR = timedelta(minutes=15)  # as for a consent of one's own: longer, and someone else may hold the phone
CLOCKS_APART = timedelta(seconds=5)
LEAST_PHOTOGRAPHS = 3  # design: of two that differ nobody can say which one is wrong

_MAX_TEXT_CHARS = 200
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@/+-]{0,199}")
_JURISDICTION = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")  # ISO 3166-1 or -2
_Names = TypeVar("_Names", bound=StrEnum)


class AuthorityType(StrEnum):
    """As whom somebody speaks."""

    SELF = "self"
    GUARDIAN = "guardian"
    EXECUTOR = "executor"
    HEIR = "heir"
    LICENSEE = "licensee"
    AGENT = "agent"


class SubjectState(StrEnum):
    """How it is with the person whose likeness it is."""

    LIVING_ADULT = "living_adult"
    MINOR = "minor"
    INCAPACITATED = "incapacitated"
    DECEASED = "deceased"


class QuorumRule(StrEnum):
    """How many must have signed.

    all_first_rank       every known relative of the nearest rank that there is.
    majority_of_shares   holders of more than half; all shares must be known and add up to one.
    sole                 the one executor, guardian or agent that the documents name.
    """

    ALL_FIRST_RANK = "all_first_rank"
    MAJORITY_OF_SHARES = "majority_of_shares"
    SOLE = "sole"


class Relation(StrEnum):
    """What a party is to the subject. Ranks of relatives as in art. 1127 of China's Civil Code, which PIPL art. 49 and
    California Civ. 3344.1 come close to: spouse, children, parents; then siblings, grandparents, grandchildren."""

    SPOUSE = "spouse"
    CHILD = "child"
    PARENT = "parent"
    SIBLING = "sibling"
    GRANDPARENT = "grandparent"
    GRANDCHILD = "grandchild"
    APPOINTED = "appointed"  # executor, court-appointed guardian, licensee or agent: named by a document, not by birth

    @property
    def rank(self) -> int | None:
        return _RANKS.get(self)


_RANKS = {
    Relation.SPOUSE: 1,
    Relation.CHILD: 1,
    Relation.PARENT: 1,
    Relation.SIBLING: 2,
    Relation.GRANDPARENT: 2,
    Relation.GRANDCHILD: 2,
}


class DocumentKind(StrEnum):
    """What a claim is shown with."""

    DEATH_CERTIFICATE = "death_certificate"
    DECLARATION_OF_DEATH = "declaration_of_death"
    BIRTH_CERTIFICATE = "birth_certificate"
    MARRIAGE_CERTIFICATE = "marriage_certificate"
    FAMILY_REGISTER = "family_register"
    CERTIFICATE_OF_INHERITANCE = "certificate_of_inheritance"
    WILL = "will"
    LETTERS_OF_ADMINISTRATION = "letters_of_administration"
    LICENCE = "licence"
    COURT_ORDER = "court_order"
    POWER_OF_ATTORNEY = "power_of_attorney"
    PASSPORT = "passport"


class Act(StrEnum):
    """What may be done with a consent."""

    GRANT = "grant"
    NARROW = "narrow"
    SUSPEND = "suspend"
    RESUME = "resume"  # what the same one suspended; it lets something happen again, so it needs a face that is known
    REVOKE = "revoke"


class SubjectAssurance(StrEnum):
    """What a record's likeness stands on, lowest first: ``liveness.policy.Assurance``, and ``curated`` between a simulated
    and a real live check. Photographs that two reviewers approved show whose face it is, not that the person was there."""

    SIMULATED = "simulated"
    CURATED = "curated"
    WEB = "web"
    ATTESTED = "attested"

    @classmethod
    def of(cls, assurance: Assurance) -> SubjectAssurance:
        return cls(assurance.value)

    def satisfies(self, wanted: SubjectAssurance) -> bool:
        order = tuple(SubjectAssurance)
        return order.index(self) >= order.index(wanted)


# --- refusals --------------------------------------------------------------------------------------------------------


class AuthorityCode(StrEnum):
    """Why it cannot be done. What to do next stands in :data:`ADVICE`."""

    LIVING_ADULT_DECIDES = "living_adult_decides"
    AGENT_ONLY_TAKES_BACK = "agent_only_takes_back"
    TYPE_UNSUITED = "type_unsuited"
    QUORUM_UNSUITED = "quorum_unsuited"
    FAMILY_INVALID = "family_invalid"
    SHARES_INVALID = "shares_invalid"
    DATES_INVALID = "dates_invalid"
    WINDOW_INVALID = "window_invalid"
    MAJORITY_REACHED = "majority_reached"
    NOT_NOW = "not_now"
    TOO_MANY = "too_many"
    DOCUMENTS_MISSING = "documents_missing"
    DOCUMENT_REPEATED = "document_repeated"
    PARTY_UNKNOWN = "party_unknown"
    NOT_SHOWN_LIVE = "not_shown_live"
    REPRESENTATIVE_REPEATED = "representative_repeated"
    ANOTHER_PERSON = "another_person"
    QUORUM_MISSING = "quorum_missing"
    PHOTOGRAPHS_MISSING = "photographs_missing"
    PHOTOGRAPH_UNCLEAR = "photograph_unclear"
    PHOTOGRAPHS_DIFFER = "photographs_differ"
    REVIEWER_IS_REQUESTER = "reviewer_is_requester"
    REVIEWER_REPEATED = "reviewer_repeated"
    DOSSIER_CHANGED = "dossier_changed"
    NO_VETO = "no_veto"
    SIGNERS_ONLY = "signers_only"
    SUBJECT_SEEN_ALIVE = "subject_seen_alive"
    DIRECTIVE_FORBIDS = "directive_forbids"
    DIRECTIVE_UNCLEAR = "directive_unclear"
    NOT_GRANTED = "not_granted"
    SUSPENDED = "suspended"
    AUTHORITY_OVER = "authority_over"
    PURPOSE_NOT_FOR_OTHERS = "purpose_not_for_others"
    PURPOSE_NOT_ASKED = "purpose_not_asked"
    AUDIENCE_TOO_WIDE = "audience_too_wide"
    TERM_TOO_LONG = "term_too_long"


ADVICE: dict[AuthorityCode, Advice] = {
    AuthorityCode.LIVING_ADULT_DECIDES: Advice(
        "Only this person can agree. Ask them to do a live check themselves.",
        "只有本人可以同意。请由本人完成真人核验。",
    ),
    AuthorityCode.AGENT_ONLY_TAKES_BACK: Advice(
        "An agent may limit, pause or withdraw a consent, but cannot give one. Ask the person themself.",
        "代理人可以缩小、暂停或撤回同意，但不能代为同意。请由本人办理。",
    ),
    AuthorityCode.TYPE_UNSUITED: Advice(
        "This role cannot speak for a person in this situation. Choose guardian for a child or someone under a court's "
        "care; executor, heir or licensee for someone who has died.",
        "此身份不能在这种情况下代表该人。未成年人或经法院指定监护者请选“监护人”；已故者请选“遗嘱执行人”“继承人”或“被许可人”。",
    ),
    AuthorityCode.QUORUM_UNSUITED: Advice(
        "This way of deciding does not fit the role. See the table of roles in the guide.",
        "这种决定方式不适用于该身份。请参阅说明中的身份表。",
    ),
    AuthorityCode.FAMILY_INVALID: Advice(
        "The list of people is incomplete or names someone twice. List every spouse, child and parent, and the executor, "
        "guardian or agent, once each.",
        "人员名单不完整或有重复。请逐一列出配偶、子女、父母，以及遗嘱执行人、监护人或代理人，每人一次。",
    ),
    AuthorityCode.SHARES_INVALID: Advice(
        "The shares must be known for every holder and add up to exactly one, for example 1/2, 1/4, 1/4.",
        "每位权利人的份额都须写明，且合计恰好为一，例如 1/2、1/4、1/4。",
    ),
    AuthorityCode.DATES_INVALID: Advice(
        "A date of birth is needed for a child and a date of death for someone who has died; neither may lie in the future.",
        "未成年人须填写出生日期，已故者须填写去世日期，且均不得晚于今天。",
    ),
    AuthorityCode.WINDOW_INVALID: Advice("The time for objections is 14 to 180 days.", "异议期为 14 至 180 天。"),
    AuthorityCode.MAJORITY_REACHED: Advice(
        "This person is of age, or will be before this begins. They decide for themselves.",
        "该人已成年或即将成年，由其本人决定。",
    ),
    AuthorityCode.NOT_NOW: Advice(
        "This step is not possible at this stage. Look at the state of the case.",
        "当前阶段不能进行这一步。请查看案件状态。",
    ),
    AuthorityCode.TOO_MANY: Advice(
        "There are too many already. Withdraw this case and open one with what is needed.",
        "数量已达上限。请撤回本案，只带必要的材料重新提出。",
    ),
    AuthorityCode.DOCUMENTS_MISSING: Advice(
        "A document is missing: proof of death where someone has died, and for each person who signs one that shows their "
        "standing.",
        "缺少文件：已故者须有死亡证明；每位签署人须有证明其身份的文件。",
    ),
    AuthorityCode.DOCUMENT_REPEATED: Advice("This file was handed in already.", "这份文件已经提交过。"),
    AuthorityCode.PARTY_UNKNOWN: Advice(
        "This person is not on the list of people in this case.", "此人不在本案的人员名单中。"
    ),
    AuthorityCode.NOT_SHOWN_LIVE: Advice(
        "Do the live check yourself, just now, and then sign. It holds for fifteen minutes.",
        "请本人现在完成真人核验后再签署，核验在十五分钟内有效。",
    ),
    AuthorityCode.REPRESENTATIVE_REPEATED: Advice("This person has signed already.", "此人已经签署。"),
    AuthorityCode.ANOTHER_PERSON: Advice(
        "The face in this live check is not that of the person who must act here, or it is that of someone who signed as "
        "someone else. Each person does their own live check.",
        "这次真人核验的面容与应当办理的人不符，或与另一位已签署者相同。请各自本人核验。",
    ),
    AuthorityCode.QUORUM_MISSING: Advice(
        "Not everyone who must agree has signed. Each of them does a live check and signs.",
        "尚有必须同意的人未签署。请他们各自完成真人核验并签署。",
    ),
    AuthorityCode.PHOTOGRAPHS_MISSING: Advice(
        "At least three photographs that both reviewers approved are needed.", "至少需要三张经两位审核人认可的照片。"
    ),
    AuthorityCode.PHOTOGRAPH_UNCLEAR: Advice(
        "The photograph must show exactly one face, clearly and from the front.", "照片中须只有一张清晰的正面人脸。"
    ),
    AuthorityCode.PHOTOGRAPHS_DIFFER: Advice(
        "This photograph does not show the same person as the others. Take it out, or begin again with the right ones.",
        "这张照片与其他照片不是同一人。请移除，或用正确的照片重新开始。",
    ),
    AuthorityCode.REVIEWER_IS_REQUESTER: Advice(
        "Whoever opened the case cannot review it. Ask someone else.", "提出案件的人不能审核。请由他人审核。"
    ),
    AuthorityCode.REVIEWER_REPEATED: Advice(
        "The second review must be by another person.", "第二次审核须由另一人进行。"
    ),
    AuthorityCode.DOSSIER_CHANGED: Advice(
        "The case is not as you saw it. Look again, then decide.", "案件内容与您看到的不同。请重新查看后再决定。"
    ),
    AuthorityCode.NO_VETO: Advice(
        "Only the person themself and the nearest relatives can object here. Write to the controller with other concerns.",
        "只有本人和最近顺位的亲属可以在此提出异议。其他意见请写信给控制者。",
    ),
    AuthorityCode.SIGNERS_ONLY: Advice(
        "Only someone who signed this case can do this. You can object instead, and take that back.",
        "只有签署过本案的人可以办理。您可以改为提出异议，并可撤回异议。",
    ),
    AuthorityCode.SUBJECT_SEEN_ALIVE: Advice(
        "This person was seen alive after the stated day. The case is stopped; tell the controller.",
        "该人在所述日期之后仍被证实健在。案件已停止，请告知控制者。",
    ),
    AuthorityCode.DIRECTIVE_FORBIDS: Advice(
        "The person said in their lifetime that this must not be. That stands above everyone else's wish.",
        "本人生前已表示不允许。其意愿高于其他任何人的意愿。",
    ),
    AuthorityCode.DIRECTIVE_UNCLEAR: Advice(
        "Say what is allowed, purpose by purpose, or forbid it; an end must lie in the future.",
        "请逐项写明允许的用途，或表示禁止；如设期限，须晚于现在。",
    ),
    AuthorityCode.NOT_GRANTED: Advice(
        "The case is not decided, or was decided otherwise. Look at its state.",
        "案件尚未核准，或未获核准。请查看案件状态。",
    ),
    AuthorityCode.SUSPENDED: Advice(
        "Someone entitled to objects. Nothing can be made until they take it back.",
        "有权者提出了异议。在其撤回之前，不得制作任何内容。",
    ),
    AuthorityCode.AUTHORITY_OVER: Advice(
        "This authority has ended. Open a new case to go on.", "该代表权已终止。如需继续，请提出新的案件。"
    ),
    AuthorityCode.PURPOSE_NOT_FOR_OTHERS: Advice(
        "This use cannot be allowed on behalf of this person. Leave it out.", "不能代该人允许这项用途。请去掉该用途。"
    ),
    AuthorityCode.PURPOSE_NOT_ASKED: Advice(
        "The people who signed did not sign for this use. Open a case that names it.",
        "签署人并未就这项用途签署。请另行提出写明该用途的案件。",
    ),
    AuthorityCode.AUDIENCE_TOO_WIDE: Advice(
        "Name who may use it and who may ask for it. Everyone is not possible on behalf of another.",
        "请写明可以使用者和可以提出请求的人。代他人同意时不能选择“所有人”。",
    ),
    AuthorityCode.TERM_TOO_LONG: Advice("Choose an earlier end.", "请选择更早的到期日。"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityRefusal:
    """No. ``codes`` is never empty; each once, in the order of the rules."""

    codes: tuple[AuthorityCode, ...]

    def __post_init__(self) -> None:
        if not self.codes:
            raise ValueError("a refusal has a reason")
        object.__setattr__(self, "codes", tuple(dict.fromkeys(self.codes)))


def refused(*codes: AuthorityCode) -> AuthorityRefusal:
    return AuthorityRefusal(codes=codes)


# --- people and papers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Someone with a say. ``party_id`` is their own pseudonym; ``share`` exact, ``None`` where nobody holds shares."""

    party_id: str
    relation: Relation
    share: Fraction | None = None

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.party_id) or not (self.share is None or 0 < self.share <= 1):
            raise ConsentInvalid("a party has an id, and a share above 0 and up to 1", code="authority_invalid")


@dataclass(frozen=True, slots=True, kw_only=True)
class BasisDocument:
    """A document as it was handed in. ``issuer`` is an office, court or notary. ``shows`` : whose standing it shows."""

    document_id: str
    kind: DocumentKind
    sha256: str
    issuer: str
    shows: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sound = (
            _ID.fullmatch(self.document_id)
            and is_sha256(self.sha256)
            and 0 < len(self.issuer.strip()) <= _MAX_TEXT_CHARS
            and self.issuer.isprintable()
        )
        if not sound:
            raise ConsentInvalid("a document has an id, a SHA-256 and an issuer", code="authority_invalid")
        object.__setattr__(self, "shows", tuple(sorted(set(self.shows))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Which live check somebody passed before they signed. Never the subject's, unless it says so."""

    challenge_id: str
    nonce: str
    capture_sha256: str
    policy: str
    assurance: Assurance
    judged_at: datetime

    @classmethod
    def by(cls, live: Live, *, now: datetime) -> Shown | AuthorityRefusal:
        """Of a fresh live check. A ``NotLive`` has nearly the same fields, so types alone do not stop a caller."""
        if not isinstance(live, Live) or not now - SHOWN_FOR <= live.judged_at <= now + CLOCKS_APART:
            return refused(AuthorityCode.NOT_SHOWN_LIVE)
        return cls(
            challenge_id=live.challenge_id,
            nonce=live.nonce,
            capture_sha256=live.capture_sha256,
            policy=live.policy,
            assurance=live.assurance,
            judged_at=live.judged_at,
        )

    def to_json(self) -> dict[str, Json]:
        return {
            "challenge_id": self.challenge_id,
            "nonce": self.nonce,
            "capture_sha256": self.capture_sha256,
            "policy": self.policy,
            "assurance": self.assurance,
            "judged_at": write_instant(self.judged_at),
        }

    @classmethod
    def read(cls, members: Members) -> Shown:
        shown = cls(
            challenge_id=members.text("challenge_id"),
            nonce=members.text("nonce"),
            capture_sha256=members.sha256("capture_sha256"),
            policy=members.text("policy"),
            assurance=one_of(Assurance, members.text("assurance")),
            judged_at=members.instant("judged_at"),
        )
        members.end()
        return shown


# --- the rules, as tables --------------------------------------------------------------------------------------------

MAY_STAND: Mapping[SubjectState, frozenset[AuthorityType]] = {
    SubjectState.LIVING_ADULT: frozenset({AuthorityType.SELF, AuthorityType.AGENT}),
    SubjectState.MINOR: frozenset({AuthorityType.GUARDIAN}),
    SubjectState.INCAPACITATED: frozenset({AuthorityType.GUARDIAN}),
    SubjectState.DECEASED: frozenset({AuthorityType.EXECUTOR, AuthorityType.HEIR, AuthorityType.LICENSEE}),
}
"""As whom anybody may speak for a person in that state."""

QUORUMS: Mapping[tuple[SubjectState, AuthorityType], frozenset[QuorumRule]] = {
    (SubjectState.LIVING_ADULT, AuthorityType.AGENT): frozenset({QuorumRule.SOLE}),
    (SubjectState.MINOR, AuthorityType.GUARDIAN): frozenset({QuorumRule.ALL_FIRST_RANK, QuorumRule.SOLE}),
    (SubjectState.INCAPACITATED, AuthorityType.GUARDIAN): frozenset({QuorumRule.SOLE}),
    (SubjectState.DECEASED, AuthorityType.EXECUTOR): frozenset(QuorumRule),
    (SubjectState.DECEASED, AuthorityType.HEIR): frozenset({QuorumRule.ALL_FIRST_RANK, QuorumRule.MAJORITY_OF_SHARES}),
    (SubjectState.DECEASED, AuthorityType.LICENSEE): frozenset(
        {QuorumRule.ALL_FIRST_RANK, QuorumRule.MAJORITY_OF_SHARES}
    ),
}
"""How each may decide. Both parents of a minor, or one guardian whom a court appointed. A licensee never without the heirs."""

PROOF_ABOUT_SUBJECT: Mapping[SubjectState, frozenset[DocumentKind]] = {
    SubjectState.MINOR: frozenset(
        {DocumentKind.BIRTH_CERTIFICATE, DocumentKind.FAMILY_REGISTER, DocumentKind.PASSPORT}
    ),
    SubjectState.DECEASED: frozenset({DocumentKind.DEATH_CERTIFICATE, DocumentKind.DECLARATION_OF_DEATH}),
}
"""One of these is needed whoever claims."""

_KINSHIP = frozenset(
    {
        DocumentKind.BIRTH_CERTIFICATE,
        DocumentKind.MARRIAGE_CERTIFICATE,
        DocumentKind.FAMILY_REGISTER,
        DocumentKind.CERTIFICATE_OF_INHERITANCE,
        DocumentKind.COURT_ORDER,
    }
)
_APPOINTED: Mapping[AuthorityType, frozenset[DocumentKind]] = {
    AuthorityType.EXECUTOR: frozenset({DocumentKind.WILL, DocumentKind.LETTERS_OF_ADMINISTRATION}),
    AuthorityType.LICENSEE: frozenset({DocumentKind.LICENCE}),
    AuthorityType.GUARDIAN: frozenset({DocumentKind.COURT_ORDER}),
    AuthorityType.AGENT: frozenset({DocumentKind.POWER_OF_ATTORNEY}),
}

WITHHELD: Mapping[SubjectState, frozenset[Purpose]] = {
    SubjectState.LIVING_ADULT: frozenset(Purpose),
    SubjectState.MINOR: frozenset({Purpose.CAMEO, Purpose.ADVERTISING, Purpose.TRAINING}),
    SubjectState.INCAPACITATED: frozenset({Purpose.ADVERTISING, Purpose.TRAINING}),
    SubjectState.DECEASED: frozenset(),
}
"""What nobody may allow on that person's behalf."""

LONGEST_CONSENT: Mapping[SubjectState, timedelta] = {
    SubjectState.LIVING_ADULT: timedelta(0),
    SubjectState.MINOR: LONGEST_AUTHORITY,
    SubjectState.INCAPACITATED: timedelta(days=365),
    SubjectState.DECEASED: timedelta(days=365),
}
"""Of one consent under an authority. It is not renewed: while the authority stands, another is given."""

NEEDS_NOBODY_ELSE = frozenset({AuthorityType.AGENT})
"""Acts for somebody who can act: no photographs, no window."""


def nearest_rank(parties: Iterable[Party]) -> int | None:
    """Of the relatives that there are: second ones count only where there is none of the first."""
    return min((p.relation.rank for p in parties if p.relation.rank is not None), default=None)


def deciding(parties: Sequence[Party], rule: QuorumRule) -> tuple[Party, ...]:
    """Whose signatures the rule counts."""
    match rule:
        case QuorumRule.ALL_FIRST_RANK:
            nearest = nearest_rank(parties)
            return tuple(p for p in parties if p.relation.rank is not None and p.relation.rank == nearest)
        case QuorumRule.MAJORITY_OF_SHARES:
            return tuple(p for p in parties if p.share is not None)
        case QuorumRule.SOLE:
            return tuple(p for p in parties if p.relation is Relation.APPOINTED)


def quorum_reached(parties: Sequence[Party], rule: QuorumRule, signed: frozenset[str]) -> bool:
    """Whether those who signed are enough. Whom a document appoints must always have signed: it is they who act."""
    counted = deciding(parties, rule)
    if not counted or any(p.relation is Relation.APPOINTED and p.party_id not in signed for p in parties):
        return False
    if rule is QuorumRule.MAJORITY_OF_SHARES:
        held = sum((p.share for p in counted if p.share is not None and p.party_id in signed), Fraction(0))
        return held > Fraction(1, 2)
    return all(p.party_id in signed for p in counted)


def family_problem(
    parties: Sequence[Party], *, kind: AuthorityType, rule: QuorumRule, subject_id: str
) -> AuthorityCode | None:
    """Why these cannot be the people of such a case: somebody twice or missing, or shares that do not add up."""
    ids = [p.party_id for p in parties]
    appointed = sum(p.relation is Relation.APPOINTED for p in parties)
    wanted = 1 if kind in (AuthorityType.EXECUTOR, AuthorityType.LICENSEE) or rule is QuorumRule.SOLE else 0
    if len(set(ids)) != len(ids) or subject_id in ids or appointed != wanted or not deciding(parties, rule):
        return AuthorityCode.FAMILY_INVALID
    of_parents = kind is AuthorityType.GUARDIAN and rule is QuorumRule.ALL_FIRST_RANK
    if of_parents and any(p.relation is not Relation.PARENT for p in parties):  # a child's siblings have no say
        return AuthorityCode.FAMILY_INVALID
    if rule is QuorumRule.MAJORITY_OF_SHARES:
        if sum((p.share for p in parties if p.share is not None), Fraction(0)) != 1:
            return AuthorityCode.SHARES_INVALID
    elif any(p.share is not None for p in parties):
        return AuthorityCode.SHARES_INVALID
    return None


def documents_suffice(
    documents: Sequence[BasisDocument],
    *,
    kind: AuthorityType,
    state: SubjectState,
    parties: Sequence[Party],
    signed: frozenset[str],
) -> bool:
    """Whether the subject's state is proved, and the standing of everyone who signed."""
    about = PROOF_ABOUT_SUBJECT.get(state)
    if about is not None and not any(document.kind in about for document in documents):
        return False
    return all(
        any(
            party.party_id in document.shows
            and document.kind in (_APPOINTED[kind] if party.relation is Relation.APPOINTED else _KINSHIP)
            for document in documents
        )
        for party in parties
        if party.party_id in signed
    )


def may_veto(parties: Sequence[Party], party_id: str) -> bool:
    """A relative of the nearest rank that there is; with shares also whoever holds one."""
    nearest = nearest_rank(parties)
    return any(
        p.party_id == party_id and (p.share is not None or (p.relation.rank is not None and p.relation.rank == nearest))
        for p in parties
    )


# --- what a consent carries ------------------------------------------------------------------------------------------

LIVENESS_NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityBinding:
    """On whose authority a consent stands, for the signed record. The live check beside it is the representative's.

    case_sha256 : of the whole case as it was when the consent was given (:func:`consent.authority_case.case_digest`).
    share, rank : the representative's own. verified_by : the two reviewers' key ids.
    ``liveness`` of the subject is always ``not_applicable``, for the reason in ``subject_state``.
    """

    case_id: str
    case_sha256: str
    type: AuthorityType
    subject_state: SubjectState
    representative_id: str
    basis: tuple[tuple[DocumentKind, str, str], ...] = field(repr=False)
    share: Fraction | None
    rank: int | None
    quorum_rule: QuorumRule
    jurisdiction: str
    valid_from: datetime
    valid_to: datetime
    verified_by: tuple[str, str]

    def __post_init__(self) -> None:
        sound = (
            _ID.fullmatch(self.case_id)
            and _ID.fullmatch(self.representative_id)
            and is_sha256(self.case_sha256)
            and self.type in MAY_STAND[self.subject_state] - {AuthorityType.SELF} - NEEDS_NOBODY_ELSE
            and self.quorum_rule in QUORUMS[self.subject_state, self.type]
            and self.basis
            and jurisdiction_is_sound(self.jurisdiction)
            and self.valid_from < self.valid_to <= self.valid_from + LONGEST_AUTHORITY
            and len(set(self.verified_by)) == 2
        )
        if not sound:
            raise ConsentInvalid("an authority contradicts its own rules", code="authority_invalid")

    @property
    def assurance(self) -> SubjectAssurance:
        return SubjectAssurance.CURATED

    def to_json(self) -> dict[str, Json]:
        return {
            "case_id": self.case_id,
            "case_sha256": self.case_sha256,
            "type": self.type,
            "subject_state": self.subject_state,
            "representative_id": self.representative_id,
            "basis": [{"kind": kind, "sha256": sha256, "issuer": issuer} for kind, sha256, issuer in self.basis],
            "share": None if self.share is None else write_share(self.share),
            "rank": self.rank,
            "quorum_rule": self.quorum_rule,
            "jurisdiction": self.jurisdiction,
            "valid_from": write_instant(self.valid_from),
            "valid_to": write_instant(self.valid_to),
            "verified_by": list(self.verified_by),
            "liveness": LIVENESS_NOT_APPLICABLE,
            "assurance": self.assurance,
        }

    @classmethod
    def read(cls, members: Members) -> AuthorityBinding:
        """The binding that :meth:`to_json` wrote.

        Raises:
            Malformed: when it did not write this. ConsentInvalid: when it breaks its own rules.
        """
        basis: list[tuple[DocumentKind, str, str]] = []
        for item in members.items("basis"):
            one = Members(item)
            basis.append((one_of(DocumentKind, one.text("kind")), one.sha256("sha256"), one.text("issuer")))
            one.end()
        rank, verified_by = members.take("rank"), members.texts("verified_by")
        if not (rank is None or rank in (1, 2)) or isinstance(rank, bool) or len(verified_by) != 2:
            raise Malformed("rank is not 1 or 2, or there are not two reviewers")
        members.exactly("liveness", LIVENESS_NOT_APPLICABLE)
        members.exactly("assurance", SubjectAssurance.CURATED)
        binding = cls(
            case_id=members.text("case_id"),
            case_sha256=members.sha256("case_sha256"),
            type=one_of(AuthorityType, members.text("type")),
            subject_state=one_of(SubjectState, members.text("subject_state")),
            representative_id=members.text("representative_id"),
            basis=tuple(basis),
            share=read_share(members.take("share")),
            rank=rank if isinstance(rank, int) else None,
            quorum_rule=one_of(QuorumRule, members.text("quorum_rule")),
            jurisdiction=members.text("jurisdiction"),
            valid_from=members.instant("valid_from"),
            valid_to=members.instant("valid_to"),
            verified_by=(verified_by[0], verified_by[1]),
        )
        members.end()
        return binding


def jurisdiction_is_sound(text: str) -> bool:
    return _JURISDICTION.fullmatch(text) is not None


def write_share(share: Fraction) -> str:
    """``numerator/denominator`` in lowest terms."""
    return f"{share.numerator}/{share.denominator}"


def read_share(written: Json) -> Fraction | None:
    """The share that :func:`write_share` wrote, and nothing that reads the same.

    Raises:
        Malformed: when it did not write this.
    """
    if written is None:
        return None
    if isinstance(written, str) and re.fullmatch(r"[1-9][0-9]{0,8}/[1-9][0-9]{0,8}", written):
        share = Fraction(written)
        if write_share(share) == written:
            return share
    raise Malformed("not a share in lowest terms")


def maybe_instant(members: Members, name: str) -> datetime | None:
    written = members.take(name)
    if written is None:
        return None
    if not isinstance(written, str):
        raise Malformed(f"{name} is neither an instant nor null")
    return read_instant(written)


def one_of(names: type[_Names], text: str) -> _Names:
    try:
        return names(text)
    except ValueError as error:
        raise Malformed(f"not a {names.__name__}") from error
