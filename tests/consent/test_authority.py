"""Nobody speaks for somebody else without papers, everyone's signature, two reviewers and time to object."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.authority import (
    ADVICE,
    LONGEST_AUTHORITY,
    Act,
    AuthorityBinding,
    AuthorityCode,
    AuthorityType,
    DocumentKind,
    Party,
    QuorumRule,
    Relation,
    Shown,
    SubjectAssurance,
    SubjectState,
    quorum_reached,
)
from consent.authority_case import (
    TRANSITIONS,
    AuthorityCase,
    CaseStage,
    CaseStep,
    Photograph,
    add_document,
    add_photograph,
    authorise,
    case_bytes,
    case_digest,
    case_from_bytes,
    curate,
    dossier_digest,
    latest_end,
    lift,
    may_act,
    missing,
    object_to,
    sign,
    standing,
    withdraw,
)
from consent.canonical import Members, decode, encode
from consent.directive import AdvanceDirective, Wish, direct, directive_bytes, directive_from_bytes
from consent.errors import ConsentInvalid, RecordInvalid
from consent.majority import guardian_until
from consent.terms import Purpose
from liveness.policy import Assurance
from tests.consent.families import (
    APPOINTED,
    FATHER,
    LIKENESS,
    MOTHER,
    SISTER,
    SON,
    SPEAK,
    SUBJECT,
    WIDOW,
    WINDOW,
    approved,
    at,
    codes,
    granted_case,
    of_agent,
    of_child,
    of_ward,
    ok,
    opened,
    paper,
    papers_for,
    photographs,
    ready,
    said,
    shares,
    shown,
    waiting,
    with_papers,
    with_photographs,
    with_signatures,
)
from tests.consent.given import DAY, HOUR, MINUTE, NOW, SAME_PERSON, SECOND, TICK, live, not_live
from tests.people import vector

AFTER = NOW + WINDOW  # when the window of `waiting()` is over


def wanted(case: AuthorityCase, **changes: object) -> object:
    now = changes.pop("now", AFTER if case.window_to else NOW)
    asked: dict[str, object] = {
        "directive": None,
        "by": case.parties[0].party_id,
        "shown": shown("again", at=now),  # type: ignore[arg-type]
        "purposes": (Purpose.DIGITAL_DOUBLE,),
        "every_backend": False,
        "every_maker": False,
        "expires_at": now + 30 * DAY,  # type: ignore[operator]
        "now": now,
    }
    return authorise(case, **(asked | changes))  # type: ignore[arg-type]


# --- who may speak for whom ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (AuthorityType.SELF, "living_adult_decides"),
        (AuthorityType.GUARDIAN, "living_adult_decides"),
        (AuthorityType.HEIR, "living_adult_decides"),
        (AuthorityType.LICENSEE, "living_adult_decides"),
        (AuthorityType.EXECUTOR, "living_adult_decides"),
    ],
)
def test_nobody_speaks_for_a_living_adult(kind: AuthorityType, code: str) -> None:
    assert codes(opened(kind=kind, subject_state=SubjectState.LIVING_ADULT, died=None)) == [code]


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (SubjectState.MINOR, AuthorityType.AGENT),
        (SubjectState.MINOR, AuthorityType.HEIR),
        (SubjectState.INCAPACITATED, AuthorityType.LICENSEE),
        (SubjectState.INCAPACITATED, AuthorityType.SELF),
        (SubjectState.DECEASED, AuthorityType.GUARDIAN),
        (SubjectState.DECEASED, AuthorityType.AGENT),
        (SubjectState.DECEASED, AuthorityType.SELF),
    ],
)
def test_a_role_that_does_not_fit_the_person_is_refused(state: SubjectState, kind: AuthorityType) -> None:
    assert codes(opened(kind=kind, subject_state=state)) == ["type_unsuited"]


def test_an_agent_takes_back_and_never_gives() -> None:
    case = granted_case(of_agent())
    assert case.window_to is None
    for act in (Act.NARROW, Act.SUSPEND, Act.REVOKE):
        assert may_act(case, act, by=APPOINTED.party_id) is None
        assert codes(may_act(case, act, by=WIDOW.party_id)) == ["no_veto"]
    assert codes(may_act(case, Act.GRANT, by=APPOINTED.party_id)) == ["agent_only_takes_back"]
    assert "agent_only_takes_back" in codes(wanted(case))
    assert codes(of_agent(purposes=SPEAK)) == ["agent_only_takes_back"]
    assert codes(standing(case, directive=None, seen_live_at=None, purpose=Purpose.VOICE, now=NOW))[0] == (
        "agent_only_takes_back"
    )


def test_the_person_stops_their_agent() -> None:
    case = ok(object_to(granted_case(of_agent()), by=SUBJECT, now=NOW))
    assert case.stage is CaseStage.SUSPENDED
    assert codes(may_act(case, Act.REVOKE, by=APPOINTED.party_id)) == ["suspended"]
    assert may_act(case, Act.REVOKE, by=SUBJECT) is None


@pytest.mark.parametrize(
    ("case", "code"),
    [
        (opened(rule=QuorumRule.SOLE), "quorum_unsuited"),
        (of_child(rule=QuorumRule.MAJORITY_OF_SHARES), "quorum_unsuited"),
        (of_ward(rule=QuorumRule.ALL_FIRST_RANK), "quorum_unsuited"),
        (opened(parties=()), "family_invalid"),
        (opened(parties=(WIDOW, WIDOW)), "family_invalid"),
        (opened(parties=(WIDOW, replace(SON, party_id=SUBJECT))), "family_invalid"),
        (opened(parties=(WIDOW, APPOINTED)), "family_invalid"),
        (opened(kind=AuthorityType.EXECUTOR, rule=QuorumRule.SOLE, parties=(WIDOW,)), "family_invalid"),
        (opened(kind=AuthorityType.LICENSEE, parties=(APPOINTED,)), "family_invalid"),
        (of_child(parties=(MOTHER, SISTER)), "family_invalid"),
        (of_child(rule=QuorumRule.SOLE, parties=(MOTHER, FATHER)), "family_invalid"),
        (opened(rule=QuorumRule.MAJORITY_OF_SHARES, parties=shares("1/2", "1/3")), "shares_invalid"),
        (opened(rule=QuorumRule.MAJORITY_OF_SHARES, parties=shares("2/3", "1/2")), "shares_invalid"),
        (opened(parties=shares("1/2", "1/2")), "shares_invalid"),
        (opened(died=None), "dates_invalid"),
        (opened(born=date(1950, 1, 1)), "dates_invalid"),
        (opened(died=NOW.date() + timedelta(days=2)), "dates_invalid"),
        (of_child(born=None), "dates_invalid"),
        (of_child(born=date(1700, 1, 1)), "dates_invalid"),
        (of_child(born=date(2008, 11, 21)), "majority_reached"),
        (of_child(jurisdiction="GB-SCT", born=date(2010, 11, 21)), "majority_reached"),
        (of_child(purposes=(Purpose.CAMEO,)), "purpose_not_for_others"),
        (of_child(purposes=(Purpose.VOICE, Purpose.ADVERTISING)), "purpose_not_for_others"),
        (of_child(purposes=(Purpose.TRAINING,)), "purpose_not_for_others"),
        (of_ward(purposes=(Purpose.ADVERTISING,)), "purpose_not_for_others"),
        (of_ward(purposes=(Purpose.TRAINING,)), "purpose_not_for_others"),
        (opened(purposes=()), "purpose_not_for_others"),
        (opened(window_days=13), "window_invalid"),
        (opened(window_days=181), "window_invalid"),
    ],
)
def test_a_case_that_cannot_come_to_anything_is_not_opened(case: object, code: str) -> None:
    assert codes(case) == [code]


def test_cases_that_can_be_opened() -> None:
    for case in (
        opened(),
        opened(parties=(SISTER,)),
        opened(rule=QuorumRule.MAJORITY_OF_SHARES, parties=shares("1/3", "1/3", "1/3")),
        opened(kind=AuthorityType.EXECUTOR, rule=QuorumRule.SOLE, parties=(APPOINTED, WIDOW)),
        opened(kind=AuthorityType.LICENSEE, parties=(APPOINTED, WIDOW)),
        opened(died=NOW.date() + timedelta(days=1)),
        opened(purposes=tuple(Purpose), window_days=180),
        of_child(),
        of_child(born=date(2008, 11, 23)),
        of_child(rule=QuorumRule.SOLE, parties=(APPOINTED,)),
        of_ward(purposes=(Purpose.CAMEO, Purpose.VOICE)),
        of_agent(),
    ):
        assert ok(case).stage is CaseStage.OPENED
    with pytest.raises(ConsentInvalid):
        opened(jurisdiction="Germany")


# --- papers and signatures -------------------------------------------------------------------------------------------


def test_proof_of_death_and_of_everyones_standing_are_needed() -> None:
    case = with_photographs(with_signatures(ok(opened())))
    assert missing(case) == (AuthorityCode.DOCUMENTS_MISSING,)
    papers = papers_for(case)
    assert missing(with_papers(case)) == ()
    for left_out in papers:
        assert missing(with_papers(case, [p for p in papers if p != left_out])) == (AuthorityCode.DOCUMENTS_MISSING,)


def test_a_paper_shows_only_what_it_is() -> None:
    case = with_signatures(ok(opened(parties=(WIDOW,))))
    kinds = {kind for kind in DocumentKind if _suffices(case, kind)}
    assert kinds == {
        DocumentKind.BIRTH_CERTIFICATE,
        DocumentKind.MARRIAGE_CERTIFICATE,
        DocumentKind.FAMILY_REGISTER,
        DocumentKind.CERTIFICATE_OF_INHERITANCE,
        DocumentKind.COURT_ORDER,
    }


def _suffices(case: AuthorityCase, kind: DocumentKind) -> bool:
    papers = [paper(DocumentKind.DEATH_CERTIFICATE), paper(kind, WIDOW.party_id)]
    return AuthorityCode.DOCUMENTS_MISSING not in missing(with_papers(case, papers))


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        (opened(kind=AuthorityType.EXECUTOR, rule=QuorumRule.SOLE, parties=(APPOINTED,)), DocumentKind.WILL),
        (of_ward(), DocumentKind.COURT_ORDER),
        (of_child(rule=QuorumRule.SOLE, parties=(APPOINTED,)), DocumentKind.COURT_ORDER),
        (of_agent(), DocumentKind.POWER_OF_ATTORNEY),
    ],
)
def test_whom_a_document_appoints_shows_that_document(case: object, kind: DocumentKind) -> None:
    signed = with_signatures(ok(case))  # type: ignore[arg-type]
    assert AuthorityCode.DOCUMENTS_MISSING not in missing(with_papers(signed))
    without = [one for one in papers_for(signed) if one.kind != kind]
    other = paper(DocumentKind.FAMILY_REGISTER, APPOINTED.party_id)
    assert AuthorityCode.DOCUMENTS_MISSING in missing(with_papers(signed, [*without, other]))


def test_the_same_paper_twice_and_one_for_a_stranger_are_refused() -> None:
    case = with_papers(ok(opened()))
    assert codes(add_document(case, paper(DocumentKind.DEATH_CERTIFICATE))) == ["document_repeated"]
    assert codes(add_document(case, paper(DocumentKind.WILL, "sub_stranger"))) == ["party_unknown"]


def test_whoever_signs_was_shown_live_just_now_and_is_on_the_list() -> None:
    case = ok(opened())
    assert codes(Shown.by(not_live(), now=NOW)) == ["not_shown_live"]  # type: ignore[arg-type]
    edge = NOW + 14 * MINUTE
    assert isinstance(Shown.by(live(judged_at=NOW - MINUTE), now=edge), Shown)
    assert codes(Shown.by(live(judged_at=NOW - MINUTE), now=edge + TICK)) == ["not_shown_live"]
    assert codes(Shown.by(live(judged_at=NOW + 6 * SECOND), now=NOW)) == ["not_shown_live"]
    stale = Shown.by(live(judged_at=NOW - HOUR), now=NOW)
    assert codes(sign(case, party_id=WIDOW.party_id, shown=stale, now=NOW)) == ["not_shown_live"]
    assert codes(sign(case, party_id="sub_stranger", shown=shown("x"), now=NOW)) == ["party_unknown"]


def test_one_live_check_is_one_signature() -> None:
    case = with_signatures(ok(opened()), WIDOW.party_id)
    assert codes(sign(case, party_id=WIDOW.party_id, shown=shown("new"), now=NOW)) == ["representative_repeated"]
    assert codes(sign(case, party_id=SON.party_id, shown=shown(WIDOW.party_id), now=NOW)) == ["representative_repeated"]


@pytest.mark.parametrize(
    ("parties", "rule", "signed", "reached"),
    [
        ((WIDOW, SON), QuorumRule.ALL_FIRST_RANK, (WIDOW, SON), True),
        ((WIDOW, SON), QuorumRule.ALL_FIRST_RANK, (WIDOW,), False),
        ((WIDOW, SISTER), QuorumRule.ALL_FIRST_RANK, (WIDOW,), True),
        ((WIDOW, SISTER), QuorumRule.ALL_FIRST_RANK, (SISTER,), False),
        ((SISTER,), QuorumRule.ALL_FIRST_RANK, (SISTER,), True),
        ((APPOINTED, WIDOW), QuorumRule.ALL_FIRST_RANK, (WIDOW,), False),
        ((APPOINTED, WIDOW), QuorumRule.ALL_FIRST_RANK, (APPOINTED,), False),
        ((APPOINTED, WIDOW), QuorumRule.SOLE, (APPOINTED,), True),
        ((APPOINTED, WIDOW), QuorumRule.SOLE, (WIDOW,), False),
        ((WIDOW,), QuorumRule.SOLE, (WIDOW,), False),
        ((), QuorumRule.ALL_FIRST_RANK, (), False),
    ],
)
def test_enough_have_signed(
    parties: tuple[Party, ...], rule: QuorumRule, signed: tuple[Party, ...], reached: bool
) -> None:
    assert quorum_reached(parties, rule, frozenset(party.party_id for party in signed)) is reached


def test_half_is_no_majority_and_a_hair_more_is() -> None:
    half = shares("1/2", "1/2")
    assert not quorum_reached(half, QuorumRule.MAJORITY_OF_SHARES, frozenset({half[0].party_id}))
    hair = shares("500000001/1000000000", "499999999/1000000000")
    assert quorum_reached(hair, QuorumRule.MAJORITY_OF_SHARES, frozenset({hair[0].party_id}))
    assert not quorum_reached(hair, QuorumRule.MAJORITY_OF_SHARES, frozenset({hair[1].party_id}))


# --- photographs -----------------------------------------------------------------------------------------------------


def test_a_photograph_has_one_face_and_it_is_that_of_the_others() -> None:
    case, before = with_photographs(ok(opened())), list(photographs().values())

    def handed(*faces: object) -> object:
        picture = Photograph(photograph_id="pic_new", sha256="f" * 64)
        return add_photograph(case, picture, faces, before, same_person=SAME_PERSON)  # type: ignore[arg-type]

    assert len(ok(handed(vector(LIKENESS, seed=50))).photographs) == 4  # type: ignore[arg-type]
    assert codes(handed()) == ["photograph_unclear"]
    assert codes(handed(None)) == ["photograph_unclear"]
    assert codes(handed(vector(LIKENESS), None)) == ["photograph_unclear"]
    assert codes(handed(vector(LIKENESS), vector(LIKENESS, seed=9))) == ["photograph_unclear"]
    assert codes(handed(vector(1))) == ["photographs_differ"]
    other_model = replace(vector(LIKENESS), contract_id="other")
    assert codes(handed(other_model)) == ["photographs_differ"]


def test_a_photograph_is_not_compared_with_fewer_than_there_are() -> None:
    case = with_photographs(ok(opened()))
    picture = Photograph(photograph_id="pic_new", sha256="f" * 64)
    assert codes(add_photograph(case, picture, [vector(1)], [], same_person=SAME_PERSON)) == ["photographs_differ"]
    again = Photograph(photograph_id="pic_new", sha256=case.photographs[0].sha256)
    kept = list(photographs().values())
    assert codes(add_photograph(case, again, [kept[0]], kept, same_person=SAME_PERSON)) == ["document_repeated"]


def test_the_template_is_of_photographs_that_both_approved() -> None:
    case = with_photographs(with_signatures(with_papers(ok(opened()))), 5)
    once = ok(approved(case, photographs=["pic_0", "pic_1", "pic_2", "pic_3"]))
    assert codes(approved(once, "two", photographs=["pic_3", "pic_4", "pic_0"])) == ["photographs_missing"]
    twice = at(ok(approved(once, "two", photographs=["pic_1", "pic_2", "pic_3", "pic_4"])), NOW)
    granted = at(twice, AFTER)
    made = curate(granted, photographs(5), same_person=SAME_PERSON)
    assert not isinstance(made, AuthorityCase)
    assert getattr(made, "photographs", None) == tuple(f"{n:064x}" for n in (1, 2, 3))
    assert SubjectAssurance.CURATED is getattr(made, "assurance", None)


def test_a_template_is_made_only_of_one_person_and_only_once_granted() -> None:
    case = waiting()
    assert codes(curate(case, photographs(), same_person=SAME_PERSON)) == ["not_granted"]
    granted = at(case, AFTER)
    swapped = photographs() | {"pic_1": vector(1)}
    assert codes(curate(granted, swapped, same_person=SAME_PERSON)) == ["photographs_differ"]
    lost = {name: face for name, face in photographs().items() if name != "pic_2"}
    assert codes(curate(granted, lost, same_person=SAME_PERSON)) == ["photographs_missing"]


def test_curated_ranks_between_a_simulated_and_a_real_live_check() -> None:
    order = [SubjectAssurance.of(Assurance.SIMULATED), SubjectAssurance.CURATED, SubjectAssurance.of(Assurance.WEB)]
    order.append(SubjectAssurance.of(Assurance.ATTESTED))
    for number, one in enumerate(order):
        assert [one.satisfies(other) for other in order] == [place <= number for place in range(4)]
    assert {SubjectAssurance.of(one) for one in Assurance} == set(SubjectAssurance) - {SubjectAssurance.CURATED}


# --- two reviewers ---------------------------------------------------------------------------------------------------


def test_two_different_reviewers_neither_of_whom_opened_it() -> None:
    case = ready()
    assert codes(approved(case, reviewer="apk_app")) == ["reviewer_is_requester"]
    assert codes(approved(case, name="app-one")) == ["reviewer_is_requester"]
    once = ok(approved(case))
    assert once.stage is CaseStage.CHECKED_ONCE
    assert codes(approved(once)) == ["reviewer_repeated"]
    assert codes(approved(once, reviewer="apk_second_key_of_one")) == ["reviewer_repeated"]
    assert ok(approved(once, "two")).stage is CaseStage.CHECKED_TWICE


def test_what_lacks_is_not_approved() -> None:
    assert codes(approved(with_signatures(ok(opened())))) == ["documents_missing", "photographs_missing"]
    assert codes(approved(with_photographs(with_papers(ok(opened()))))) == ["quorum_missing"]
    assert codes(approved(ready(), photographs=["pic_0", "pic_1"])) == ["photographs_missing"]
    assert codes(approved(ready(), photographs=["pic_0", "pic_0", "pic_8", "pic_9"])) == ["photographs_missing"]


def test_a_reviewer_approves_what_they_saw() -> None:
    seen = dossier_digest(ready())
    changed = ok(add_document(ready(), paper(DocumentKind.WILL, WIDOW.party_id)))
    assert codes(approved(changed, dossier_sha256=seen)) == ["dossier_changed"]
    once = ok(approved(ready()))
    assert dossier_digest(once) == seen
    assert codes(add_document(once, paper(DocumentKind.WILL, WIDOW.party_id))) == ["not_now"]


def test_either_reviewer_may_refuse_for_good() -> None:
    for case in (ready(), ok(approved(ready()))):
        refused = ok(approved(case, "two", approves=False, reason="the certificate is of another person"))
        assert (refused.stage, refused.ended_at) == (CaseStage.REFUSED, NOW)
        assert codes(approved(refused, "three")) == ["not_now"]
        assert at(refused, AFTER).stage is CaseStage.REFUSED


# --- the window ------------------------------------------------------------------------------------------------------


def test_the_window_runs_to_its_end_and_not_a_tick_less() -> None:
    case = waiting()
    assert (case.stage, case.window_from, case.window_to) == (CaseStage.OBJECTION_WINDOW, NOW, AFTER)
    assert at(case, AFTER - TICK).stage is CaseStage.OBJECTION_WINDOW
    granted = at(case, AFTER)
    assert (granted.stage, granted.granted_at, granted.valid_to) == (
        CaseStage.GRANTED,
        AFTER,
        AFTER + LONGEST_AUTHORITY,
    )


@pytest.mark.parametrize("case", [of_child(), of_ward(), of_agent()])
def test_only_relatives_of_someone_who_died_wait(case: object) -> None:
    assert waiting(case).stage is CaseStage.GRANTED  # type: ignore[arg-type]


@pytest.mark.parametrize("who", [WIDOW, SON])
def test_any_one_nearest_relative_stops_it_in_the_window_and_suspends_it_after(who: Party) -> None:
    vetoed = ok(object_to(waiting(), by=who.party_id, now=AFTER - TICK))
    assert (vetoed.stage, vetoed.ended_at) == (CaseStage.VETOED, AFTER - TICK)
    assert at(vetoed, AFTER).stage is CaseStage.VETOED
    assert codes(lift(vetoed, by=who.party_id, now=AFTER)) == ["not_now"]
    case = granted_case()
    assert standing(case, directive=None, seen_live_at=None, purpose=Purpose.VOICE, now=AFTER) is None
    suspended = ok(object_to(case, by=who.party_id, now=AFTER))
    refusal = standing(suspended, directive=None, seen_live_at=None, purpose=Purpose.VOICE, now=AFTER)
    assert codes(refusal) == ["suspended"]
    assert codes(wanted(suspended)) == ["suspended"]


def test_a_relative_may_object_before_anyone_reviewed() -> None:
    assert ok(object_to(ok(opened()), by=WIDOW.party_id, now=NOW)).stage is CaseStage.VETOED


def test_strangers_and_farther_relatives_have_no_veto() -> None:
    case = waiting(opened(parties=(WIDOW, SISTER)))
    assert codes(object_to(case, by=SISTER.party_id, now=NOW)) == ["no_veto"]
    assert codes(object_to(case, by="sub_stranger", now=NOW)) == ["no_veto"]
    assert codes(object_to(case, by="sub_cousin", unlisted=Relation.SIBLING, now=NOW)) == ["no_veto"]
    assert codes(object_to(case, by="sub_friend", unlisted=Relation.APPOINTED, now=NOW)) == ["no_veto"]
    only_sister = waiting(opened(parties=(SISTER,)))
    assert ok(object_to(only_sister, by=SISTER.party_id, now=NOW)).stage is CaseStage.VETOED


def test_a_child_whom_nobody_listed_counts_all_the_same() -> None:
    case = granted_case(opened(kind=AuthorityType.EXECUTOR, rule=QuorumRule.SOLE, parties=(APPOINTED,)))
    suspended = ok(object_to(case, by="sub_forgotten", unlisted=Relation.CHILD, now=AFTER))
    assert suspended.stage is CaseStage.SUSPENDED
    assert ok(lift(suspended, by="sub_forgotten", now=AFTER)).stage is CaseStage.GRANTED
    heirs = ok(object_to(granted_case(), by="sub_forgotten", unlisted=Relation.CHILD, now=AFTER))
    lifted = ok(lift(heirs, by="sub_forgotten", now=AFTER))
    assert lifted.stage is CaseStage.SUSPENDED, "not all of the first rank have signed any more"


def test_only_whoever_objected_takes_it_back_and_all_must() -> None:
    case = granted_case()
    for who in (WIDOW, SON):
        case = ok(object_to(case, by=who.party_id, now=AFTER))
    assert codes(lift(case, by=APPOINTED.party_id, now=AFTER)) == ["no_veto"]
    case = ok(lift(case, by=WIDOW.party_id, now=AFTER))
    assert case.stage is CaseStage.SUSPENDED
    assert codes(lift(case, by=WIDOW.party_id, now=AFTER)) == ["no_veto"]
    case = ok(lift(case, by=SON.party_id, now=AFTER))
    assert case.stage is CaseStage.GRANTED
    again = ok(object_to(case, by=SON.party_id, now=AFTER + DAY))
    assert again.stage is CaseStage.SUSPENDED
    assert len(again.objections) == 2


def test_objecting_a_thousand_times_leaves_no_gap() -> None:
    case = granted_case()
    for _ in range(1000):
        case = ok(lift(ok(object_to(case, by=SON.party_id, now=AFTER)), by=SON.party_id, now=AFTER))
    assert ok(object_to(case, by=SON.party_id, now=AFTER)).stage is CaseStage.SUSPENDED


def test_objecting_twice_is_objecting_once() -> None:
    once = ok(object_to(granted_case(), by=SON.party_id, now=AFTER))
    assert object_to(once, by=SON.party_id, now=AFTER + DAY) == once


def test_somebody_seen_alive_after_their_death_stops_it() -> None:
    died = NOW.date() - timedelta(days=20)
    case = waiting(opened(died=died))
    same_day = datetime(died.year, died.month, died.day, 23, tzinfo=UTC)
    assert at(case, NOW, alive=same_day).stage is CaseStage.OBJECTION_WINDOW
    assert at(case, NOW, alive=same_day + HOUR).stage is CaseStage.VETOED
    granted = at(case, AFTER)
    assert at(granted, AFTER, alive=AFTER - HOUR).stage is CaseStage.SUSPENDED
    refusal = standing(granted, directive=None, seen_live_at=AFTER, purpose=Purpose.VOICE, now=AFTER)
    assert codes(refusal) == ["suspended"]
    stopped = ok(object_to(granted, by=SUBJECT, now=AFTER))
    lifted = ok(lift(stopped, by=SUBJECT, now=AFTER))
    assert at(lifted, AFTER, alive=AFTER).stage is CaseStage.SUSPENDED


# --- the person's own word -------------------------------------------------------------------------------------------


def test_what_the_person_forbade_no_relative_allows() -> None:
    no = said(Wish.FORBID)
    assert at(ok(opened()), NOW, directive=no).stage is CaseStage.VETOED
    assert at(waiting(), AFTER, directive=no).stage is CaseStage.VETOED, "also when the window is over by then"
    suspended = at(granted_case(), AFTER, directive=no)
    assert suspended.stage is CaseStage.SUSPENDED
    for who in (WIDOW.party_id, "directive"):
        assert codes(lift(suspended, by=who, now=AFTER)) == ["no_veto"]
    assert codes(wanted(granted_case(), directive=no)) == ["directive_forbids"]


def test_forbidden_for_a_time_is_free_after_it() -> None:
    until = AFTER + DAY
    no = said(Wish.FORBID, until=until)
    assert codes(wanted(granted_case(), directive=no, now=until - TICK)) == ["directive_forbids"]
    assert isinstance(wanted(granted_case(), directive=no, now=until), AuthorityBinding)


def test_what_was_allowed_is_all_that_is_allowed() -> None:
    voice = said(Wish.ALLOW, Purpose.VOICE, until=AFTER + 10 * DAY)
    soon = AFTER + 5 * DAY
    case = at(waiting(), AFTER, directive=voice)
    assert case.stage is CaseStage.GRANTED
    assert isinstance(wanted(case, directive=voice, purposes=(Purpose.VOICE,), expires_at=soon), AuthorityBinding)
    assert codes(wanted(case, directive=voice, expires_at=soon)) == ["directive_forbids"]
    assert codes(wanted(case, directive=voice, purposes=(Purpose.VOICE,))) == ["term_too_long"]
    late = standing(case, directive=voice, seen_live_at=None, purpose=Purpose.VOICE, now=AFTER + 10 * DAY)
    assert codes(late) == ["suspended", "directive_forbids"]


def test_one_forbidden_purpose_leaves_the_others() -> None:
    no_voice = said(Wish.FORBID, Purpose.VOICE)
    case = at(waiting(), AFTER, directive=no_voice)
    assert isinstance(wanted(case, directive=no_voice), AuthorityBinding)
    assert codes(wanted(case, directive=no_voice, purposes=SPEAK)) == ["directive_forbids"]


def test_a_guardian_of_somebody_who_cannot_decide_any_more_is_bound_too_and_parents_are_not() -> None:
    no = said(Wish.FORBID)
    assert at(ok(of_ward()), NOW, directive=no).stage is CaseStage.VETOED
    assert at(ok(of_child()), NOW, directive=no).stage is CaseStage.OPENED


def test_a_directive_needs_a_live_check_and_says_something() -> None:
    def given_(**changes: object) -> object:
        asked: dict[str, object] = {
            "subject_id": SUBJECT, "wish": Wish.ALLOW, "purposes": (Purpose.VOICE,), "until": None, "now": NOW,
        }  # fmt: skip
        return direct(changes.pop("shown", shown("self")), **(asked | changes))  # type: ignore[arg-type]

    assert isinstance(given_(), AdvanceDirective)
    assert codes(given_(shown=Shown.by(not_live(), now=NOW))) == ["not_shown_live"]  # type: ignore[arg-type]
    assert codes(given_(purposes=())) == ["directive_unclear"]
    assert codes(given_(until=NOW)) == ["directive_unclear"]
    assert isinstance(given_(wish=Wish.FORBID, purposes=()), AdvanceDirective)


def test_directives_come_back_as_they_were_written() -> None:
    for directive in (said(Wish.FORBID), said(Wish.ALLOW, *SPEAK, until=AFTER)):
        assert directive_from_bytes(directive_bytes(directive)) == directive
    with pytest.raises(RecordInvalid):
        directive_from_bytes(directive_bytes(said(Wish.FORBID)).replace(b"forbid", b"allows"))


# --- what it is good for ---------------------------------------------------------------------------------------------


def test_a_granted_case_binds_a_consent() -> None:
    case = granted_case()
    binding = wanted(case)
    assert isinstance(binding, AuthorityBinding)
    assert binding.case_sha256 == case_digest(case)
    assert (binding.rank, binding.share, binding.representative_id) == (1, None, SON.party_id)
    assert binding.verified_by == ("apk_one", "apk_two")
    assert binding.to_json()["liveness"] == "not_applicable"
    assert AuthorityBinding.read(decode(encode(binding.to_json()))) == binding


def test_a_binding_that_was_changed_does_not_read() -> None:
    binding = wanted(granted_case())
    assert isinstance(binding, AuthorityBinding)
    written = dict(binding.to_json())
    for name, value in {
        "type": "agent",
        "subject_state": "living_adult",
        "quorum_rule": "sole",
        "verified_by": ["apk_one", "apk_one"],
        "valid_to": "2040-01-01T00:00:00.000000Z",
        "basis": [],
        "liveness": "passed",
        "assurance": "web",
        "share": "2/4",
        "rank": 3,
        "case_sha256": "00",
    }.items():
        with pytest.raises((ValueError, ConsentInvalid)):
            AuthorityBinding.read(Members(written | {name: value}))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"by": SISTER.party_id}, "party_unknown"),
        ({"shown": Shown.by(not_live(), now=NOW)}, "not_shown_live"),  # type: ignore[arg-type]
        ({"purposes": (Purpose.CAMEO,)}, "purpose_not_asked"),
        ({"purposes": ()}, "purpose_not_asked"),
        ({"every_backend": True}, "audience_too_wide"),
        ({"expires_at": AFTER + 365 * DAY + TICK}, "term_too_long"),
        ({"expires_at": AFTER}, "term_too_long"),
        ({"now": AFTER + LONGEST_AUTHORITY, "expires_at": AFTER + LONGEST_AUTHORITY}, "authority_over"),
        ({"now": AFTER - TICK}, "not_granted"),
    ],
)
def test_a_consent_on_an_authority_is_refused(changes: dict[str, object], code: str) -> None:
    assert code in codes(wanted(granted_case(), **changes))


def test_a_year_at_most_and_never_past_the_authority() -> None:
    case = granted_case()
    assert isinstance(wanted(case, expires_at=AFTER + 365 * DAY), AuthorityBinding)
    late = AFTER + LONGEST_AUTHORITY - DAY
    assert latest_end(case, directive=None, now=late) == AFTER + LONGEST_AUTHORITY
    assert codes(wanted(case, now=late, expires_at=late + 2 * DAY)) == ["term_too_long"]


@pytest.mark.parametrize("case", [ok(opened()), ready(), ok(approved(ready())), waiting()])
def test_nothing_is_bound_before_the_grant(case: AuthorityCase) -> None:
    assert "not_granted" in codes(wanted(case, now=NOW))


# --- children --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("born", "ends"),
    [
        (date(2009, 3, 10), datetime(2027, 3, 9, 10, tzinfo=UTC)),
        (date(2012, 2, 29), datetime(2030, 2, 27, 10, tzinfo=UTC)),
    ],
)
def test_a_guardian_ends_with_the_eighteenth_birthday_whatever_was_written(born: date, ends: datetime) -> None:
    case = granted_case(of_child(born=born))
    assert case.valid_to == ends == guardian_until(born, "DE")
    assert standing(case, directive=None, seen_live_at=None, purpose=Purpose.VOICE, now=ends - TICK) is None
    forged = replace(case, valid_to=ends + 900 * DAY)
    for one in (case, forged):
        refusal = standing(one, directive=None, seen_live_at=None, purpose=Purpose.VOICE, now=ends)
        assert codes(refusal) == ["authority_over"]
        assert at(one, ends).stage is CaseStage.EXPIRED
        assert latest_end(one, directive=None, now=ends - DAY) == ends


def test_five_years_at_most_for_a_small_child() -> None:
    case = granted_case(of_child(born=date(2024, 1, 1)))
    assert case.valid_to == NOW + LONGEST_AUTHORITY
    assert isinstance(wanted(case, expires_at=NOW + LONGEST_AUTHORITY), AuthorityBinding)
    assert codes(wanted(case, expires_at=NOW + LONGEST_AUTHORITY + TICK)) == ["term_too_long"]


def test_the_birthday_also_ends_what_was_never_decided() -> None:
    case = ready(of_child(born=date(2008, 12, 24)))
    assert at(case, datetime(2026, 12, 23, 10, tzinfo=UTC)).stage is CaseStage.EXPIRED


def test_both_parents_sign_and_either_stops_it() -> None:
    case = with_photographs(with_papers(ok(of_child())))
    assert missing(with_signatures(case, MOTHER.party_id)) == (AuthorityCode.QUORUM_MISSING,)
    granted = granted_case(of_child())
    for who in (MOTHER.party_id, FATHER.party_id, SUBJECT):
        assert ok(object_to(granted, by=who, now=NOW)).stage is CaseStage.SUSPENDED


# --- ends, and nothing moves after them ------------------------------------------------------------------------------


def test_a_case_that_nobody_decides_expires() -> None:
    for case in (ok(opened()), ready(), ok(approved(ready()))):
        assert at(case, NOW + 90 * DAY - TICK).stage is case.stage
        assert at(case, NOW + 90 * DAY).stage is CaseStage.EXPIRED
    assert at(waiting(opened(window_days=180)), NOW + 91 * DAY).stage is CaseStage.OBJECTION_WINDOW


def test_whoever_opened_or_signed_may_withdraw() -> None:
    for by in ("apk_app", WIDOW.party_id):
        assert ok(withdraw(granted_case(), by=by, now=AFTER)).stage is CaseStage.WITHDRAWN
    assert codes(withdraw(granted_case(), by="sub_stranger", now=AFTER)) == ["party_unknown"]


_STAGED = {
    CaseStage.OPENED: ok(opened()),
    CaseStage.DOCUMENTS: ready(),
    CaseStage.CHECKED_ONCE: ok(approved(ready())),
    CaseStage.CHECKED_TWICE: ok(approved(ok(approved(ready())), "two")),
    CaseStage.OBJECTION_WINDOW: waiting(),
    CaseStage.GRANTED: granted_case(),
    CaseStage.SUSPENDED: ok(object_to(granted_case(), by=SON.party_id, now=AFTER)),
    CaseStage.REFUSED: ok(approved(ready(), approves=False)),
    CaseStage.VETOED: ok(object_to(ready(), by=SON.party_id, now=NOW)),
    CaseStage.WITHDRAWN: ok(withdraw(ready(), by="apk_app", now=NOW)),
    CaseStage.EXPIRED: at(ready(), NOW + 90 * DAY),
}


def _tried(case: AuthorityCase, step: CaseStep) -> object:
    match step:
        case CaseStep.ADD:
            return add_document(case, paper(DocumentKind.PASSPORT, WIDOW.party_id))
        case CaseStep.APPROVE:
            return approved(case, "three")
        case CaseStep.REFUSE:
            return approved(case, "three", approves=False)
        case CaseStep.OBJECT:
            return object_to(case, by=WIDOW.party_id, now=AFTER)
        case CaseStep.LIFT:
            return lift(case, by=SON.party_id, now=AFTER)
        case CaseStep.WITHDRAW:
            return withdraw(case, by="apk_app", now=AFTER)
        case _:
            raise AssertionError(step)


@pytest.mark.parametrize("stage", CaseStage)
@pytest.mark.parametrize("step", [step for step in CaseStep if step not in ("open_window", "grant", "expire")])
def test_a_step_that_the_table_has_not_changes_nothing(stage: CaseStage, step: CaseStep) -> None:
    case = _STAGED[stage]
    assert case.stage is stage
    before, result = case_bytes(case), _tried(case, step)
    if (stage, step) not in TRANSITIONS:
        assert codes(result) == ["not_now"]
    elif stage is CaseStage.OPENED and step is CaseStep.REFUSE:
        raise AssertionError("nothing to review yet")
    else:
        assert ok(result).stage is TRANSITIONS[stage, step]  # type: ignore[arg-type]
    assert case_bytes(case) == before


@pytest.mark.parametrize("stage", [stage for stage in CaseStage if stage.is_over])
def test_time_does_not_revive_what_is_over(stage: CaseStage) -> None:
    for now in (NOW - DAY, NOW, AFTER, AFTER + 3000 * DAY):
        assert at(_STAGED[stage], now) == _STAGED[stage]


@pytest.mark.parametrize("stage", CaseStage)
def test_cases_come_back_as_they_were_written(stage: CaseStage) -> None:
    case = _STAGED[stage]
    assert case_from_bytes(case_bytes(case)) == case
    assert "sub_widow" not in repr(case)


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_case_with_a_changed_byte_is_another_or_none(place: int, flip: int) -> None:
    content = bytearray(case_bytes(_STAGED[CaseStage.SUSPENDED]))
    content[place % len(content)] ^= flip
    with suppress(RecordInvalid):
        assert case_digest(case_from_bytes(bytes(content))) != case_digest(_STAGED[CaseStage.SUSPENDED])


def test_every_refusal_says_in_two_languages_what_to_do() -> None:
    assert set(ADVICE) == set(AuthorityCode)
    for advice in ADVICE.values():
        assert advice.en.endswith(".")
        assert advice.zh.endswith("。")


def test_shares_are_exact() -> None:
    thirds = shares("1/3", "1/3", "1/3")
    assert sum(party.share for party in thirds if party.share) == 1
    two = frozenset(party.party_id for party in thirds[:2])
    assert quorum_reached(thirds, QuorumRule.MAJORITY_OF_SHARES, two)
    with pytest.raises(ConsentInvalid):
        Party(party_id="sub_1", relation=Relation.CHILD, share=Fraction(0))
