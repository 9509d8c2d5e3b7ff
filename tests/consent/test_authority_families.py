"""Random families, in any order of papers, signatures, reviews, objections, directives and time: never a grant too early.

What must be true of a granted case is worked out here from what was done to it, not from the case.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from consent.authority import (
    AuthorityBinding,
    AuthorityRefusal,
    AuthorityType,
    Party,
    QuorumRule,
    Relation,
    SubjectState,
)
from consent.authority_case import (
    AuthorityCase,
    CaseStage,
    Photograph,
    add_document,
    add_photograph,
    authorise,
    case_bytes,
    case_from_bytes,
    dossier_digest,
    lift,
    object_to,
    open_case,
    review,
    settle,
    sign,
    standing,
    withdraw,
)
from consent.directive import AdvanceDirective, Wish
from consent.terms import Purpose
from tests.consent.families import LIKENESS, SUBJECT, papers_for, said, shown
from tests.consent.given import DAY, NOW, SAME_PERSON
from tests.people import vector

APP = ("apk_app", "app-one")
REVIEWERS = (APP, ("apk_1", "ann"), ("apk_2", "ann"), ("apk_3", "bea"), ("apk_app", "cyd"), ("apk_4", "app-one"))
KIN = [relation for relation in Relation if relation is not Relation.APPOINTED]


@st.composite
def _families(draw: st.DrawFn) -> dict[str, object]:
    state = draw(st.sampled_from([SubjectState.DECEASED, SubjectState.MINOR, SubjectState.INCAPACITATED]))
    kind = draw(st.sampled_from([AuthorityType.HEIR, AuthorityType.EXECUTOR, AuthorityType.LICENSEE]))
    kind = kind if state is SubjectState.DECEASED else AuthorityType.GUARDIAN
    decided = draw(st.sampled_from(QuorumRule))
    kin = [Relation.PARENT] if state is SubjectState.MINOR else KIN
    relations = draw(st.lists(st.sampled_from(kin), max_size=4))
    parties = [Party(party_id=f"sub_{number}", relation=relation) for number, relation in enumerate(relations)]
    if decided is QuorumRule.MAJORITY_OF_SHARES and parties:
        weights = draw(st.lists(st.integers(1, 9), min_size=len(parties), max_size=len(parties)))
        parties = [
            replace(party, share=Fraction(weight, sum(weights))) for party, weight in zip(parties, weights, strict=True)
        ]
    if kind in (AuthorityType.EXECUTOR, AuthorityType.LICENSEE) or decided is QuorumRule.SOLE:
        parties.append(Party(party_id="sub_appointed", relation=Relation.APPOINTED))
    return {
        "kind": kind,
        "subject_state": state,
        "rule": decided,
        "parties": tuple(parties),
        "born": date(2009, 2, 28) if state is SubjectState.MINOR else None,
        "died": date(2026, 10, 1) if state is SubjectState.DECEASED else None,
        "purposes": (Purpose.VOICE, Purpose.DIGITAL_DOUBLE),
    }


class Families(RuleBasedStateMachine):
    done = Bundle("done")

    def __init__(self) -> None:
        super().__init__()
        self.case: AuthorityCase | None = None
        self.now = NOW
        self.directive: AdvanceDirective | None = None
        self.alive: datetime | None = None
        self.signed: set[str] = set()
        self.approvals: list[tuple[str, str, datetime]] = []
        self.objecting: set[str] = set()
        self.ended = False

    @initialize(family=_families())
    def begin(self, family: dict[str, object]) -> None:
        opened = open_case(
            case_id="ath_1", subject_id=SUBJECT, requester=APP[0], requester_name=APP[1], jurisdiction="US-MS",
            now=NOW, **family,
        )  # type: ignore[arg-type]  # fmt: skip
        self.case = opened if isinstance(opened, AuthorityCase) else None

    def _take(self, found: AuthorityCase | AuthorityRefusal) -> bool:
        assert self.case is not None
        if isinstance(found, AuthorityRefusal):
            return False
        self.case = case_from_bytes(case_bytes(found))
        return True

    def _settle(self) -> AuthorityCase | None:
        if self.case is not None:
            self.case = settle(self.case, directive=self.directive, seen_live_at=self.alive, now=self.now)
        return self.case

    @rule(lost=st.integers(0, 12))
    def hand_in_everything_but_one(self, lost: int) -> None:
        case = self._settle()
        for number, paper in enumerate([] if case is None else papers_for(case)):
            if number != lost and self.case is not None:
                self._take(add_document(self.case, paper))
        for number in range(3):
            if number + 10 != lost and self.case is not None:
                picture = Photograph(photograph_id=f"pic_{number}", sha256=f"{number:064x}")
                before = [vector(LIKENESS, seed=int(p.photograph_id[4:])) for p in self.case.photographs]
                face = vector(LIKENESS, seed=number)
                self._take(add_photograph(self.case, picture, [face], before, same_person=SAME_PERSON))

    @rule(who=st.integers(0, 5))
    def somebody_signs(self, who: int) -> None:
        case = self._settle()
        if case is not None:
            party_id = ([party.party_id for party in case.parties] + ["sub_stranger"])[who % (len(case.parties) + 1)]
            if self._take(sign(case, party_id=party_id, shown=shown(party_id, at=self.now), now=self.now)):
                self.signed.add(party_id)

    @rule(who=st.sampled_from(REVIEWERS), approves=st.sampled_from([True, True, True, True, False]))
    def somebody_reviews(self, who: tuple[str, str], approves: bool) -> None:
        case = self._settle()
        if case is None:
            return
        found = review(
            case, reviewer=who[0], name=who[1], approves=approves, reason="", now=self.now,
            photographs=[p.photograph_id for p in case.photographs], dossier_sha256=dossier_digest(case),
        )  # fmt: skip
        if self._take(found):
            self.ended |= not approves
            self.approvals += [(*who, self.now)] if approves else []

    @rule(who=st.integers(0, 7), unlisted=st.sampled_from([None, Relation.CHILD, Relation.SIBLING]))
    def somebody_objects(self, who: int, unlisted: Relation | None) -> None:
        case = self._settle()
        if case is None:
            return
        people = [*(party.party_id for party in case.parties), SUBJECT, "sub_stranger", "sub_forgotten"]
        by = people[who % len(people)]
        before = case.stage
        if self._take(object_to(case, by=by, now=self.now, unlisted=unlisted)):
            self.objecting.add(by)
            self.ended |= before not in (CaseStage.GRANTED, CaseStage.SUSPENDED)

    @rule(who=st.integers(0, 7))
    def somebody_takes_it_back(self, who: int) -> None:
        case = self._settle()
        if case is not None and self.objecting:
            by = sorted(self.objecting)[who % len(self.objecting)]
            if self._take(lift(case, by=by, now=self.now)):
                self.objecting.discard(by)

    @rule(wish=st.sampled_from(Wish), days=st.none() | st.integers(1, 60))
    def a_directive_is_found(self, wish: Wish, days: int | None) -> None:
        until = None if days is None else self.now + timedelta(days=days)
        self.directive = said(wish, Purpose.VOICE, until=until)

    @rule()
    def everything_was_forbidden(self) -> None:
        self.directive = said(Wish.FORBID)

    @rule(days=st.sampled_from([0.0, 0.5, 13.99, 14, 30, 89, 100, 1000]))
    def time_passes(self, days: float) -> None:
        self.now += timedelta(days=days)

    @rule()
    def the_subject_shows_up(self) -> None:
        self.alive = self.now

    @rule()
    def the_app_withdraws(self) -> None:
        case = self._settle()
        if case is not None and case.granted_at is not None and self._take(withdraw(case, by=APP[0], now=self.now)):
            self.ended = True

    @rule()
    def everything_goes_well_for_once(self) -> None:
        """Else long runs hardly ever reach a grant."""
        self.hand_in_everything_but_one(99)
        for who in range(len(self.case.parties) if self.case else 0):
            self.somebody_signs(who)
        self.somebody_reviews(("apk_1", "ann"), True)
        self.somebody_reviews(("apk_3", "bea"), True)

    @invariant()
    def nothing_stands_that_must_not(self) -> None:
        case = self.case
        if case is None:
            return
        for purpose in Purpose:
            held = standing(case, directive=self.directive, seen_live_at=self.alive, purpose=purpose, now=self.now)
            if held is None:
                self._must_stand(case, purpose)
        for party in case.parties:
            given = authorise(
                settle(case, directive=self.directive, seen_live_at=self.alive, now=self.now),
                directive=self.directive, by=party.party_id, shown=shown("x", at=self.now), purposes=(Purpose.VOICE,),
                every_backend=False, every_maker=False, expires_at=self.now + 200 * DAY, now=self.now,
            )  # fmt: skip
            if isinstance(given, AuthorityBinding):
                self._must_stand(case, Purpose.VOICE)
                assert party.party_id in self.signed
                assert case.born is None or (self.now + 200 * DAY).date() <= date(2027, 2, 28)

    def _must_stand(self, case: AuthorityCase, purpose: Purpose) -> None:
        assert not self.ended
        # quorum
        kin = {p.party_id: p.relation.rank for p in case.parties if p.relation.rank is not None}
        match case.rule:
            case QuorumRule.ALL_FIRST_RANK:
                assert kin
                assert {who for who, rank in kin.items() if rank == min(kin.values())} <= self.signed  # type: ignore[type-var]
            case QuorumRule.MAJORITY_OF_SHARES:
                shares = {p.party_id: p.share for p in case.parties if p.share is not None}
                assert sum(share for who, share in shares.items() if who in self.signed) * 2 > sum(shares.values())
            case QuorumRule.SOLE:
                assert "sub_appointed" in self.signed
        if any(p.relation is Relation.APPOINTED for p in case.parties):
            assert "sub_appointed" in self.signed
        # both reviewers
        assert len(self.approvals) == 2
        (one, one_name, _), (two, two_name, when) = self.approvals
        assert len({one, two, APP[0]}) == 3
        assert len({one_name, two_name, APP[1]}) == 3
        # window, objections, signs of life, birthday
        assert not self.objecting
        if case.subject_state is SubjectState.DECEASED:
            assert self.now >= when + timedelta(days=14)
            assert self.alive is None
        if case.subject_state is SubjectState.MINOR:
            assert self.now < datetime(2027, 2, 28, tzinfo=NOW.tzinfo)
        # the person's own word
        assert purpose in (Purpose.VOICE, Purpose.DIGITAL_DOUBLE)
        directive = self.directive
        if directive is not None and case.subject_state is not SubjectState.MINOR:
            ended = directive.until is not None and self.now >= directive.until
            if directive.wish is Wish.ALLOW:
                assert purpose in directive.purposes
                assert not ended
            else:
                assert ended or (directive.purposes and purpose not in directive.purposes)


TestFamilies = Families.TestCase
TestFamilies.settings = settings(max_examples=150, stateful_step_count=25, deadline=None, print_blob=True)


def test_the_machine_reaches_grants_at_all() -> None:
    """Else the properties above would hold of nothing."""
    machine = Families()
    machine.begin({
        "kind": AuthorityType.HEIR, "subject_state": SubjectState.DECEASED, "rule": QuorumRule.ALL_FIRST_RANK,
        "parties": (Party(party_id="sub_0", relation=Relation.CHILD),), "born": None, "died": date(2026, 10, 1),
        "purposes": (Purpose.VOICE,),
    })  # fmt: skip
    machine.everything_goes_well_for_once()
    machine.time_passes(0)
    assert machine._settle() is not None
    machine.time_passes(14)
    case = machine._settle()
    assert case is not None
    assert case.stage is CaseStage.GRANTED
    machine.nothing_stands_that_must_not()
