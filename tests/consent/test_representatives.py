"""Consents given on somebody's behalf, as values: which words, which scope, who may end what, and what is never renewed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.authority import Act, AuthorityBinding, SubjectAssurance
from consent.authority_case import AuthorityCase, authorise, may_act, object_to
from consent.errors import ConsentInvalid, RecordInvalid
from consent.gate import GateCode, Permit, commit_template, what_would_be_allowed
from consent.record import (
    ConsentRecord,
    ConsentState,
    Granted,
    Limits,
    Party,
    Renewed,
    RevokedBy,
    event_bytes,
    event_from_bytes,
    fold,
    grant,
    read_record,
    renew,
    resume,
    revoke,
    sign_record,
    suspend,
)
from consent.terms import Purpose, Reader, Terms, current
from tests.consent.families import SISTER, SON, SUBJECT, WIDOW, codes, granted_case, of_child, ok, shown
from tests.consent.given import (
    BACKEND,
    CONTROLLER,
    DAY,
    HOUR,
    KEY,
    KEYS,
    NOW,
    SALT,
    SAME_PERSON,
    ask,
    face,
    live,
    presented,
    templates,
    token,
    use,
)

GIVEN = NOW + 15 * DAY  # a day after the window of `granted_case()`
WORDS = current("en", Reader.REPRESENTATIVE)


def binding(case: AuthorityCase | None = None) -> AuthorityBinding:
    case = granted_case() if case is None else case
    found = authorise(
        case, directive=None, by=case.parties[0].party_id, shown=shown("again", at=GIVEN),
        purposes=(Purpose.DIGITAL_DOUBLE,), every_backend=False, every_maker=False, expires_at=GIVEN + 30 * DAY, now=GIVEN,
    )  # fmt: skip
    assert isinstance(found, AuthorityBinding), found
    return found


def on_behalf(**changes: object) -> Granted:
    asked: dict[str, object] = {
        "consent_id": "cns_1",
        "subject_id": SUBJECT,
        "controller": CONTROLLER,
        "terms": WORDS,
        "purposes": (Purpose.DIGITAL_DOUBLE,),
        "audience": (BACKEND,),
        "limits": Limits(max_seconds=30),
        "template_commitment": commit_template(templates(), SALT),
        "expires_at": GIVEN + 30 * DAY,
        "now": GIVEN,
        "makers": ("estate-office",),
        "authority": binding(),
    }
    return grant(live(judged_at=GIVEN), **(asked | changes))  # type: ignore[arg-type]


def record(**changes: object) -> ConsentRecord:
    return fold([on_behalf(**changes)])


def code_of(do: object) -> str:
    with pytest.raises(ConsentInvalid) as caught:
        do()  # type: ignore[operator]
    return caught.value.code


# --- giving ----------------------------------------------------------------------------------------------------------


def test_the_signed_record_says_whose_word_it_is_and_that_nobody_saw_the_subject() -> None:
    text = sign_record(record(), KEY)
    again = read_record(text, KEYS)
    assert again == record()
    assert again.granted.authority is not None
    assert again.granted.authority.representative_id == SON.party_id
    assert again.assurance is SubjectAssurance.CURATED
    payload = KEYS.open(text, typ="consent-record+jws", max_chars=2**20)
    assert payload.text("collection_method") == "curated_photographs"
    assert payload.members("authority_party").text("liveness") == "not_applicable"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_reader_agrees_to_their_own_words(language: str) -> None:
    own = current(language)
    assert code_of(lambda: on_behalf(terms=own)) == "terms_unsuited"
    words = current(language, Reader.REPRESENTATIVE)
    assert record(terms=words).granted.terms_sha256 == words.sha256
    assert code_of(lambda: on_behalf(terms=words, authority=None)) == "terms_unsuited"


def test_words_that_only_claim_to_be_for_representatives_are_not() -> None:
    forged = Terms(version="x", language="en", text="x", sha256="0" * 64, reader=Reader.REPRESENTATIVE)
    assert code_of(lambda: on_behalf(terms=forged)) == "terms_unknown"
    relabelled = replace(current("en"), reader=Reader.REPRESENTATIVE)
    assert code_of(lambda: on_behalf(terms=relabelled)) == "terms_unknown"


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": ("*",)},
        {"makers": ("*",)},
        {"expires_at": GIVEN + 5 * 365 * DAY},
        {"now": NOW, "expires_at": NOW + DAY},
    ],
)
def test_no_record_says_more_than_an_authority_can_give(changes: dict[str, object]) -> None:
    at = changes.get("now", GIVEN)
    with pytest.raises(ConsentInvalid) as caught:
        grant(
            live(judged_at=at), consent_id="cns_1", subject_id=SUBJECT, controller=CONTROLLER, terms=WORDS,
            template_commitment="ab" * 32, authority=binding(), limits=Limits(max_seconds=30),
            **({"purposes": (Purpose.VOICE,), "audience": (BACKEND,), "makers": ("x",), "expires_at": GIVEN + DAY,
                "now": GIVEN} | changes),
        )  # type: ignore[arg-type]  # fmt: skip
    assert caught.value.code == "authority_invalid"


@pytest.mark.parametrize("purpose", [Purpose.CAMEO, Purpose.ADVERTISING, Purpose.TRAINING])
def test_no_record_has_what_nobody_may_allow_for_a_child(purpose: Purpose) -> None:
    for_child = binding(granted_case(of_child()))
    assert code_of(lambda: on_behalf(authority=for_child, purposes=(purpose,))) == "authority_invalid"
    assert record(authority=for_child).granted.authority == for_child


# --- going on --------------------------------------------------------------------------------------------------------


def test_it_is_given_anew_and_never_renewed() -> None:
    before, later = record(), GIVEN + HOUR
    check = replace(live(judged_at=later), challenge_id="chl_2")
    for words in (WORDS, current("en")):
        assert (
            code_of(
                lambda words=words: renew(  # type: ignore[misc]
                    before,
                    check,
                    terms=words,
                    enrolled=templates(),
                    shown=templates(),
                    same_person=SAME_PERSON,
                    now=later,
                )
            )
            == "not_renewable"
        )
    own = fold([replace(before.granted, authority=None)])
    renewed = renew(
        own, check, terms=current("en"), enrolled=templates(), shown=templates(), same_person=SAME_PERSON, now=later
    )
    assert isinstance(renewed, Renewed)
    with pytest.raises(RecordInvalid, match="on somebody's behalf"):
        fold([*before.events, renewed])


def test_the_gate_and_the_dry_run_ask_for_the_authority() -> None:
    before = record()
    shown_token = token(before, purpose=Purpose.DIGITAL_DOUBLE, now=GIVEN)
    wanted = use(
        face(), purpose=Purpose.DIGITAL_DOUBLE, maker="estate-office", minimum_assurance=SubjectAssurance.CURATED
    )
    for stands, codes_ in ((True, ()), (False, (GateCode.AUTHORITY_INVALID,))):
        one = presented(before, token=shown_token, authority_stands=stands)
        answer = ask(wanted, one, now=GIVEN)
        assert isinstance(answer, Permit) is stands
        tried = what_would_be_allowed(before, wanted, uses_so_far=0, authority_stands=stands, now=GIVEN)
        assert tried == codes_
    assert what_would_be_allowed(before, wanted, uses_so_far=0, now=GIVEN) == (GateCode.AUTHORITY_INVALID,)
    ended = fold([*before.events, revoke(before, by=RevokedBy.AUTHORITY, now=GIVEN)])
    answer = ask(wanted, presented(ended, token=shown_token), now=GIVEN)
    assert not isinstance(answer, Permit)
    assert answer.codes[0] is GateCode.REVOKED, "over is over, whatever became of the authority"
    web = ask(replace(wanted, minimum_assurance=SubjectAssurance.WEB),
              presented(before, token=shown_token, authority_stands=True), now=GIVEN)  # fmt: skip
    assert not isinstance(web, Permit)
    assert web.codes[0] is GateCode.ASSURANCE_TOO_LOW


# --- who ends what ---------------------------------------------------------------------------------------------------


def test_events_name_the_representative_and_nobody_else_does() -> None:
    before = record()
    paused = suspend(before, by=Party.REPRESENTATIVE, representative_id=SON.party_id, now=GIVEN)
    ended = revoke(before, by=RevokedBy.REPRESENTATIVE, representative_id=WIDOW.party_id, now=GIVEN)
    for event in (paused, ended, revoke(before, by=RevokedBy.AUTHORITY, now=GIVEN)):
        assert event_from_bytes(event_bytes(event)) == event
        after = fold([*before.events, event])
        assert read_record(sign_record(after, KEY), KEYS) == after
    assert fold([*before.events, ended]).state_at(GIVEN) is ConsentState.WITHDRAWN
    assert code_of(lambda: suspend(before, by=Party.SUBJECT, representative_id=SON.party_id, now=GIVEN)) == "id_invalid"
    assert code_of(lambda: revoke(before, by=RevokedBy.APP, representative_id=SON.party_id, now=GIVEN)) == "id_invalid"


def test_a_representative_resumes_their_own_pause_only() -> None:
    before = record()
    paused = fold([*before.events, suspend(before, by=Party.REPRESENTATIVE, representative_id=SON.party_id, now=GIVEN)])

    def resumed(by: Party, who: str | None) -> object:
        return resume(paused, of=Party.REPRESENTATIVE, by=by, representative_id=who, now=GIVEN)

    for who in (WIDOW.party_id, None):
        assert code_of(lambda who=who: resumed(Party.REPRESENTATIVE, who)) == "resume_not_allowed"  # type: ignore[misc]
    for by in set(Party) - {Party.REPRESENTATIVE, Party.SUBJECT}:
        assert code_of(lambda by=by: resumed(by, None)) == "resume_not_allowed"  # type: ignore[misc]
    forged = replace(resumed(Party.REPRESENTATIVE, SON.party_id), representative_id=WIDOW.party_id)  # type: ignore[type-var]
    with pytest.raises(RecordInvalid, match="another representative"):
        fold([*paused.events, forged])  # type: ignore[list-item]
    for by, named in ((Party.REPRESENTATIVE, SON.party_id), (Party.SUBJECT, None)):
        assert not fold([*paused.events, resumed(by, named)]).suspended  # type: ignore[list-item]


def test_only_who_signed_resumes_and_anyone_near_stops() -> None:
    case = granted_case()
    assert may_act(case, Act.RESUME, by=SON.party_id) is None
    assert codes(may_act(case, Act.RESUME, by=SISTER.party_id)) == ["no_veto"]
    late = ok(object_to(case, by="sub_daughter", now=GIVEN, unlisted=SON.relation))
    assert may_act(late, Act.REVOKE, by="sub_daughter") is None
    assert codes(may_act(late, Act.RESUME, by="sub_daughter")) == ["signers_only"]


def test_nobody_acts_for_a_person_who_is_there_and_objects() -> None:
    case = granted_case()
    by_the_widow = ok(object_to(case, by=WIDOW.party_id, now=GIVEN))
    assert may_act(by_the_widow, Act.REVOKE, by=SON.party_id) is None
    alive = ok(object_to(case, by=SUBJECT, now=GIVEN))
    for act in (Act.NARROW, Act.SUSPEND, Act.RESUME, Act.REVOKE):
        assert codes(may_act(alive, act, by=SON.party_id)) == ["suspended"]
        assert may_act(alive, act, by=SUBJECT) is None


_PEOPLE = st.sampled_from(
    [
        *((party, None) for party in Party if party is not Party.REPRESENTATIVE),
        *((Party.REPRESENTATIVE, who) for who in ("sub_1", "sub_2")),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.booleans(), _PEOPLE, _PEOPLE), max_size=40))
def test_in_no_order_does_anybody_end_a_pause_that_is_not_theirs(
    steps: list[tuple[bool, tuple[Party, str | None], tuple[Party, str | None]]],
) -> None:
    current_, model = record(), dict[Party, str | None]()
    for pauses, (by, who), (of, _) in steps:
        try:
            event = (
                suspend(current_, by=by, representative_id=who, now=GIVEN)
                if pauses
                else resume(current_, of=of, by=by, representative_id=who, now=GIVEN)
            )
        except ConsentInvalid:
            continue
        if pauses:
            assert by not in model
            model[by] = who
        else:
            assert model[of] == who if by is of else by is Party.SUBJECT and of in (Party.REPRESENTATIVE, Party.APP)
            del model[of]
        current_ = fold([*current_.events, event])
        assert {one.by: one.representative_id for one in current_.suspended} == model
        assert (current_.state_at(GIVEN) is ConsentState.GIVEN) is (not model)
