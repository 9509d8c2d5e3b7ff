"""A family with a claim to speak for one of theirs, in values, with knobs: each test changes the one thing it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from fractions import Fraction

from consent.authority import (
    AuthorityRefusal,
    AuthorityType,
    BasisDocument,
    DocumentKind,
    Party,
    QuorumRule,
    Relation,
    Shown,
    SubjectState,
)
from consent.authority_case import (
    AuthorityCase,
    CaseStage,
    Photograph,
    add_document,
    add_photograph,
    dossier_digest,
    open_case,
    review,
    settle,
    sign,
)
from consent.canonical import sha256_hex
from consent.directive import AdvanceDirective, Wish, direct
from consent.terms import Purpose
from liveness.template import FaceTemplate
from tests.consent.given import MINUTE, NOW, SAME_PERSON, live
from tests.people import vector

SUBJECT = "sub_gone"
WIDOW = Party(party_id="sub_widow", relation=Relation.SPOUSE)
SON = Party(party_id="sub_son", relation=Relation.CHILD)
SISTER = Party(party_id="sub_sister", relation=Relation.SIBLING)
MOTHER = Party(party_id="sub_mother", relation=Relation.PARENT)
FATHER = Party(party_id="sub_father", relation=Relation.PARENT)
APPOINTED = Party(party_id="sub_appointed", relation=Relation.APPOINTED)
LIKENESS = 7  # person number of whose face it is
SPEAK = (Purpose.DIGITAL_DOUBLE, Purpose.VOICE)
WINDOW = timedelta(days=14)


def shares(*parts: str) -> tuple[Party, ...]:
    return tuple(
        Party(party_id=f"sub_{number}", relation=Relation.CHILD, share=Fraction(part))
        for number, part in enumerate(parts)
    )


def opened(**changes: object) -> AuthorityCase | AuthorityRefusal:
    asked: dict[str, object] = {
        "case_id": "ath_1",
        "subject_id": SUBJECT,
        "requester": "apk_app",
        "requester_name": "app-one",
        "kind": AuthorityType.HEIR,
        "subject_state": SubjectState.DECEASED,
        "jurisdiction": "DE",
        "rule": QuorumRule.ALL_FIRST_RANK,
        "purposes": SPEAK,
        "parties": (WIDOW, SON),
        "died": date(2026, 10, 1),
        "now": NOW,
    }
    return open_case(**(asked | changes))  # type: ignore[arg-type]


def of_child(**changes: object) -> AuthorityCase | AuthorityRefusal:
    asked: dict[str, object] = {
        "kind": AuthorityType.GUARDIAN,
        "subject_state": SubjectState.MINOR,
        "parties": (MOTHER, FATHER),
        "born": date(2015, 5, 5),
        "died": None,
    }
    return opened(**(asked | changes))


def of_ward(**changes: object) -> AuthorityCase | AuthorityRefusal:
    asked: dict[str, object] = {
        "kind": AuthorityType.GUARDIAN,
        "subject_state": SubjectState.INCAPACITATED,
        "rule": QuorumRule.SOLE,
        "parties": (APPOINTED,),
        "died": None,
    }
    return opened(**(asked | changes))


def of_agent(**changes: object) -> AuthorityCase | AuthorityRefusal:
    asked: dict[str, object] = {
        "kind": AuthorityType.AGENT,
        "subject_state": SubjectState.LIVING_ADULT,
        "rule": QuorumRule.SOLE,
        "parties": (APPOINTED,),
        "purposes": (),
        "died": None,
    }
    return opened(**(asked | changes))


def ok(case: AuthorityCase | AuthorityRefusal) -> AuthorityCase:
    assert isinstance(case, AuthorityCase), case
    return case


def codes(refusal: object) -> list[str]:
    assert isinstance(refusal, AuthorityRefusal), refusal
    return [code.value for code in refusal.codes]


def shown(who: str, *, at: datetime = NOW) -> Shown | AuthorityRefusal:
    found = Shown.by(live(judged_at=at - MINUTE), now=at)
    assert isinstance(found, Shown)
    return replace(found, capture_sha256=sha256_hex(who.encode()))


def paper(kind: DocumentKind, *shows: str) -> BasisDocument:
    name = f"{kind.value}-{'-'.join(shows)}"
    return BasisDocument(
        document_id=f"doc_{name}"[:100],
        kind=kind,
        sha256=sha256_hex(name.encode()),
        issuer="Registry office",
        shows=shows,
    )


def papers_for(case: AuthorityCase) -> list[BasisDocument]:
    """All that such a case needs."""
    about = {SubjectState.DECEASED: DocumentKind.DEATH_CERTIFICATE, SubjectState.MINOR: DocumentKind.BIRTH_CERTIFICATE}
    appointed = {
        AuthorityType.EXECUTOR: DocumentKind.WILL,
        AuthorityType.LICENSEE: DocumentKind.LICENCE,
        AuthorityType.GUARDIAN: DocumentKind.COURT_ORDER,
        AuthorityType.AGENT: DocumentKind.POWER_OF_ATTORNEY,
    }
    found = [paper(about[case.subject_state])] if case.subject_state in about else []
    for party in case.parties:
        kin = party.relation is not Relation.APPOINTED
        found.append(paper(DocumentKind.FAMILY_REGISTER if kin else appointed[case.kind], party.party_id))
    return found


def with_papers(case: AuthorityCase, papers: Sequence[BasisDocument] | None = None) -> AuthorityCase:
    for one in papers_for(case) if papers is None else papers:
        case = ok(add_document(case, one))
    return case


def with_signatures(case: AuthorityCase, *who: str) -> AuthorityCase:
    for party_id in who or tuple(party.party_id for party in case.parties):
        case = ok(sign(case, party_id=party_id, shown=shown(party_id), now=NOW))
    return case


def photographs(count: int = 3) -> dict[str, FaceTemplate]:
    return {f"pic_{number}": vector(LIKENESS, seed=number) for number in range(count)}


def with_photographs(case: AuthorityCase, count: int = 3) -> AuthorityCase:
    before: list[FaceTemplate] = []
    for number, (name, face) in enumerate(photographs(count).items()):
        picture = Photograph(photograph_id=name, sha256=f"{number:064x}")
        case = ok(add_photograph(case, picture, [face], before, same_person=SAME_PERSON))
        before.append(face)
    return case


def ready(case: AuthorityCase | AuthorityRefusal | None = None) -> AuthorityCase:
    """Everything is in; no one looked at it yet."""
    case = with_signatures(with_papers(ok(opened() if case is None else case)))
    return with_photographs(case) if case.needs_photographs else case


def approved(case: AuthorityCase, who: str = "one", **changes: object) -> AuthorityCase | AuthorityRefusal:
    asked: dict[str, object] = {
        "reviewer": f"apk_{who}",
        "name": f"reviewer-{who}",
        "approves": True,
        "reason": "",
        "photographs": [picture.photograph_id for picture in case.photographs],
        "dossier_sha256": dossier_digest(case),
        "now": NOW,
    }
    return review(case, **(asked | changes))  # type: ignore[arg-type]


def at(
    case: AuthorityCase, now: datetime, *, directive: AdvanceDirective | None = None, alive: datetime | None = None
) -> AuthorityCase:
    return settle(case, directive=directive, seen_live_at=alive, now=now)


def waiting(case: AuthorityCase | AuthorityRefusal | None = None) -> AuthorityCase:
    """Both reviewers approved, at NOW."""
    return at(ok(approved(ok(approved(ready(case))), "two")), NOW)


def granted_case(case: AuthorityCase | AuthorityRefusal | None = None) -> AuthorityCase:
    """Granted at NOW + 14 days where there is a window, at NOW where there is none."""
    found = waiting(case)
    found = found if found.window_to is None else at(found, found.window_to)
    assert found.stage is CaseStage.GRANTED
    return found


def said(
    wish: Wish, *purposes: Purpose, until: datetime | None = None, when: datetime | None = None
) -> AdvanceDirective:
    """What the person said in their lifetime."""
    when = datetime(2026, 9, 1, tzinfo=NOW.tzinfo) if when is None else when
    found = direct(shown("self", at=when), subject_id=SUBJECT, wish=wish, purposes=purposes, until=until, now=when)
    assert isinstance(found, AdvanceDirective), found
    return found
