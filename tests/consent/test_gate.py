"""The gate as a backend, a person who changed their mind, and somebody who wants in meet it."""

from __future__ import annotations

import ast
import functools
import math
from dataclasses import fields, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.authority import SubjectAssurance
from consent.dpop import DpopCode, DpopProblem, DpopProof
from consent.errors import ConsentInvalid, PermitInvalid, RecordInvalid
from consent.gate import (
    GateCode,
    GateReason,
    InputSeen,
    Permit,
    Presented,
    Refusal,
    Use,
    commit_template,
    decide,
    says_forbidden,
    sign_permit,
    verify_permit,
)
from consent.record import ConsentRecord, Limits, RevokedBy, fold, narrow, revoke
from consent.status_list import Status
from consent.terms import Purpose
from consent.tokens import TokenCode, TokenProblem, issue
from liveness.policy import SIMULATED, STRICT, Assurance
from liveness.template import FaceTemplate
from tests.consent.given import (
    BACKEND,
    DAY,
    HOUR,
    JOB,
    KEY,
    KEYS,
    MINUTE,
    NOW,
    SALT,
    SAME_PERSON,
    SECOND,
    TICK,
    ask,
    face,
    granted,
    presented,
    presented_with,
    record,
    templates,
    token,
    unmeasured,
    use,
)
from tests.people import vector

ROOT = Path(__file__).resolve().parents[2]


def codes(answer: Permit | Refusal) -> list[str]:
    assert isinstance(answer, Refusal), "a permit was given"
    return [reason.code for reason in answer.reasons]


def of(vector_: object, contract_id: str = "test") -> FaceTemplate:
    return FaceTemplate(vector=vector_, contract_id=contract_id)  # type: ignore[arg-type]


def ended(by: RevokedBy = RevokedBy.SUBJECT, *, at: datetime = NOW + HOUR) -> ConsentRecord:
    return fold([record().granted, revoke(record(), by=by, now=at)])


# --- yes -------------------------------------------------------------------------------------------------------------


def test_one_face_of_a_consenting_person_is_permitted() -> None:
    answer = ask(use(face()), presented(record()))
    assert isinstance(answer, Permit)
    assert (answer.backend, answer.purpose, answer.job_sha256) == (BACKEND, Purpose.CAMEO, JOB)
    assert answer.consents == (("cns_1", "sub_1"),)
    assert (answer.issued_at, answer.expires_at) == (NOW, NOW + 300 * SECOND)
    assert answer.obligations.visible_label
    assert answer.obligations.manifest
    assert answer.obligations.max_seconds == 60


def test_two_people_with_a_token_each() -> None:
    one, two = record(person=1, max_seconds=60), record(person=2, max_seconds=20)
    answer = ask(use(face(2, index=0), face(1, index=1)), presented(one), presented(two, person=2))
    assert isinstance(answer, Permit)
    assert answer.consents == (("cns_1", "sub_1"), ("cns_2", "sub_2"))
    assert answer.obligations.max_seconds == 20


def test_the_same_person_in_many_pictures_needs_one_token() -> None:
    assert isinstance(ask(use(*(face(index=i) for i in range(20))), presented(record())), Permit)


def test_a_permit_is_worth_what_the_weakest_live_check_is() -> None:
    one, two = record(person=1), record(person=2, policy=SIMULATED)
    wanted = use(face(1), face(2, index=1), minimum_assurance=SubjectAssurance.SIMULATED)
    answer = ask(wanted, presented(one), presented(two, person=2))
    assert isinstance(answer, Permit)
    assert answer.assurance is SubjectAssurance.SIMULATED


def test_a_permit_ends_with_the_token_or_the_consent() -> None:
    for_a_minute = presented(record(), token=token(record(), life=MINUTE))
    answer = ask(use(face()), for_a_minute, now=NOW + 30 * SECOND)
    assert isinstance(answer, Permit)
    assert answer.expires_at == NOW + MINUTE

    short = record(expires_at=NOW + 90 * SECOND)
    answer = ask(use(face()), presented(short))
    assert isinstance(answer, Permit)
    assert answer.expires_at == NOW + 90 * SECOND


# --- whose face ------------------------------------------------------------------------------------------------------


def test_without_a_token_every_face_is_named() -> None:
    answer = ask(use(face(index=0), face(2, index=1)))
    assert codes(answer) == ["no_token", "no_token"]
    assert isinstance(answer, Refusal)
    assert [reason.face_index for reason in answer.reasons] == [0, 1]
    assert answer.reasons[1].box == face(index=1).box
    assert answer.reasons[1].media_id == "med_1"


def test_another_persons_face_is_unknown_and_the_token_unused() -> None:
    assert codes(ask(use(face(2)), presented(record()))) == ["unknown_face", "token_unused"]


def test_one_stranger_beside_the_person_refuses_all() -> None:
    answer = ask(use(face(1, index=0), face(2, index=1)), presented(record()))
    assert codes(answer) == ["unknown_face"]
    assert isinstance(answer, Refusal)
    assert answer.reasons[0].face_index == 1


def test_a_token_of_someone_who_is_not_there_is_refused() -> None:
    answer = ask(use(face(1)), presented(record()), presented(record(person=2), person=2))
    assert codes(answer) == ["token_unused"]
    assert isinstance(answer, Refusal)
    assert answer.reasons[0].token_index == 1


def test_no_face_at_all_is_refused() -> None:
    assert codes(ask(use(), presented(record()))) == ["no_face"]
    assert codes(ask(use())) == ["no_face"]


def test_a_face_that_could_not_be_measured_may_be_anybody() -> None:
    answer = ask(use(face(), unmeasured(index=1)), presented(record()))
    assert codes(answer) == ["face_unjudged"]
    assert isinstance(answer, Refusal)
    assert answer.reasons[0].face_index == 1


@pytest.mark.parametrize(
    "bad",
    [
        of(np.full(512, np.nan, np.float32)),
        of(np.full(512, np.inf, np.float32)),
        of(np.zeros(512, np.float32)),
        of(vector(1).vector * 100),  # not of unit length: similar to everyone it points near to
        of(vector(1).vector * np.float32(1.01)),
        of(vector(1).vector.astype(np.float64)),
        of(vector(1).vector.reshape(1, -1)),
        of(np.zeros(0, np.float32)),
        of(list(vector(1).vector)),
        of(None),
    ],
    ids=["nan", "inf", "zero", "long", "a little long", "float64", "two axes", "empty", "list", "nothing"],
)
def test_a_vector_that_is_no_template_matches_nobody(bad: FaceTemplate) -> None:
    assert codes(ask(use(face(template=bad)), presented(record())))[0] == "face_unjudged"
    if isinstance(bad.vector, np.ndarray):
        assert codes(ask(use(face()), presented_with(bad))) == ["record_missing", "no_token"]


@pytest.mark.parametrize(
    "other",
    [of(vector(1).vector, "another-model"), of(np.eye(1, 128, dtype=np.float32)[0])],
    ids=["contract", "length"],
)
def test_templates_of_unlike_contracts_are_never_compared(other: FaceTemplate) -> None:
    assert codes(ask(use(face(template=other)), presented(record())))[0] == "face_unjudged"


def test_a_match_beside_a_person_who_cannot_be_compared_is_no_match() -> None:
    old = tuple(of(one.vector, "older-model") for one in templates(2))
    answer = ask(use(face(1)), presented(record()), presented_with(*old, person=2))
    assert codes(answer)[0] == "face_unjudged"


def test_the_threshold_is_met_or_not() -> None:
    one = templates(1)[0]
    other = vector(7)
    away = other.vector - np.dot(other.vector, one.vector) * one.vector
    away /= np.linalg.norm(away)

    def at(cosine: float) -> FaceTemplate:
        mixed = cosine * one.vector + math.sqrt(1 - cosine**2) * away
        return of(np.ascontiguousarray(mixed, dtype=np.float32))

    enrolled = presented_with(one)
    assert isinstance(ask(use(face(template=at(SAME_PERSON + 1e-4))), enrolled), Permit)
    assert "unknown_face" in codes(ask(use(face(template=at(SAME_PERSON - 1e-4))), enrolled))


def test_a_look_alike_counts_as_the_better_match() -> None:
    """Two people that one face could be: it is one of them, and the other is not in the picture."""
    near = tuple(vector(1, noise=0.3, seed=90 + i) for i in range(3))
    twin = presented_with(*near, person=2)
    assert codes(ask(use(face(1)), presented(record()), twin)) == ["token_unused"]


# --- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (TokenCode.BAD_SIGNATURE, "bad_signature"),
        (TokenCode.WRONG_TYPE, "bad_signature"),
        (TokenCode.WRONG_AUDIENCE, "wrong_audience"),
        (TokenCode.EXPIRED, "expired"),
        (TokenCode.NOT_YET_VALID, "not_yet_valid"),
    ],
)
def test_a_token_that_did_not_verify_gives_its_reason(problem: TokenCode, code: str) -> None:
    shown = presented(record(), token=TokenProblem(problem))
    assert codes(ask(use(face()), shown)) == [code, "no_token"]


def test_the_same_token_twice_is_a_replay() -> None:
    shown = presented(record())
    assert codes(ask(use(face()), shown, shown)) == ["replay"]


def test_two_tokens_of_one_consent_are_one_too_many() -> None:
    again = presented(record(), token=replace(token(record()), token_id="tok_2"))
    assert codes(ask(use(face()), presented(record()), again)) == ["token_unused"]


def test_a_token_for_another_backend() -> None:
    shown = presented(record(), token=replace(token(record()), audience="other"))
    assert codes(ask(use(face()), shown)) == ["wrong_audience", "no_token"]


def test_a_token_for_another_purpose() -> None:
    shown = presented(record(), token=token(record(), purpose=Purpose.DIGITAL_DOUBLE))
    assert codes(ask(use(face()), shown)) == ["scope_purpose", "no_token"]


def test_a_token_without_its_record() -> None:
    assert codes(ask(use(face()), presented(record(), record=None))) == ["record_missing", "no_token"]
    assert codes(ask(use(face()), presented(record(), templates=()))) == ["record_missing", "no_token"]


@pytest.mark.parametrize(
    "change",
    [
        {"consent_id": "cns_9"},
        {"subject_id": "sub_9"},
        {"template_commitment": "0" * 64},
        {"assurance": SubjectAssurance.ATTESTED},
    ],
)
def test_a_token_with_somebody_elses_record(change: dict[str, object]) -> None:
    shown = presented(record(), token=replace(token(record()), **change))  # type: ignore[arg-type]
    assert codes(ask(use(face()), shown)) == ["record_missing", "no_token"]


def test_templates_that_were_swapped_in_storage() -> None:
    assert codes(ask(use(face(2)), presented(record(), templates=templates(2)))) == ["record_missing", "no_token"]
    assert codes(ask(use(face()), presented(record(), salt=b"x" * 32))) == ["record_missing", "no_token"]
    assert codes(ask(use(face()), presented(record(), salt=None))) == ["record_missing", "no_token"]


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (NOW - TICK, "not_yet_valid"),
        (NOW, None),
        (NOW + HOUR - SECOND, None),
        (NOW + HOUR - TICK, None),
        (NOW + HOUR, "expired"),
        (NOW + HOUR + TICK, "expired"),
    ],
)
def test_a_tokens_time(now: datetime, code: str | None) -> None:
    answer = ask(use(face()), presented(record()), now=now)
    if code is None:
        assert isinstance(answer, Permit)
        assert answer.expires_at > now
    else:
        assert codes(answer) == [code, "no_token"]


@pytest.mark.parametrize(("now", "allowed"), [(NOW + DAY - TICK, True), (NOW + DAY, False), (NOW + DAY + TICK, False)])
def test_a_consent_that_was_cut_short_outlasts_no_token(now: datetime, allowed: bool) -> None:
    long_token = token(record(), life=10 * DAY)
    shorter = fold([record().granted, narrow(record(), expires_at=NOW + DAY, now=NOW + HOUR)])
    answer = ask(use(face()), presented(shorter, token=long_token), now=now)
    if allowed:
        assert isinstance(answer, Permit)
        assert answer.expires_at == NOW + DAY
    else:
        assert codes(answer) == ["expired", "no_token"]


def test_less_than_a_second_left_is_too_little_for_a_permit() -> None:
    shown = presented(record(), token=replace(token(record()), expires_at=NOW + TICK))
    assert codes(ask(use(face()), shown)) == ["expired"]


# --- scope -----------------------------------------------------------------------------------------------------------


def test_a_purpose_taken_back_is_gone_at_once() -> None:
    before = record()
    after = fold([*before.events, narrow(before, purposes=[Purpose.DIGITAL_DOUBLE], now=NOW)])
    assert codes(ask(use(face()), presented(after, token=token(before)))) == ["scope_purpose", "no_token"]


def test_a_backend_taken_back_is_gone_at_once() -> None:
    before = record(audience=(BACKEND, "other"))
    after = fold([*before.events, narrow(before, audience=["other"], now=NOW)])
    assert codes(ask(use(face()), presented(after, token=token(before)))) == ["scope_audience", "no_token"]


def test_an_audience_of_nobody_is_nobody() -> None:
    nobody = record(audience=())
    forged = issue(record(), token_id="t", audience=BACKEND, purpose=Purpose.CAMEO, life=HOUR, now=NOW)
    assert codes(ask(use(face()), presented(nobody, token=forged))) == ["scope_audience", "no_token"]


@pytest.mark.parametrize(("asked_s", "allowed"), [(1, True), (60, True), (61, False), (None, True)])
def test_length(asked_s: int | None, allowed: bool) -> None:
    answer = ask(use(face(), seconds=asked_s), presented(record(max_seconds=60)))
    assert isinstance(answer, Permit) is allowed
    if not allowed:
        assert codes(answer) == ["scope_limits", "no_token"]


@pytest.mark.parametrize(
    ("so_far", "allowed"), [(0, True), (2, True), (3, False), (4, False), (None, False), (-1, False)]
)
def test_number_of_uses(so_far: int | None, allowed: bool) -> None:
    answer = ask(use(face()), presented(record(uses=3), uses_so_far=so_far))
    assert isinstance(answer, Permit) is allowed


@pytest.mark.parametrize(
    ("script", "allowed"),
    [
        ("Hello there", True),
        ("", True),
        ("Please vote!", False),
        ("我们要战 争", False),
        (None, False),
        ("devoted", True),
    ],
)
def test_words_the_person_forbade(script: str | None, allowed: bool) -> None:
    answer = ask(use(face(), script=script), presented(record(forbidden_words=("vote", "战争"))))
    assert isinstance(answer, Permit) is allowed
    if not allowed:
        assert codes(answer) == ["scope_limits", "no_token"]


@pytest.mark.parametrize(
    ("script", "word", "said"),
    [
        ("BUY now", "buy", True),
        ("buyer", "buy", False),
        ("ｂｕｙ", "buy", True),
        ("b\u200duy", "buy", True),
        ("buy, now", "buy now", True),
        ("buy it now", "buy now", False),
        ("투표합시다", "투표", True),
        ("買ってください", "買って", True),
        ("ไปเลือกตั้งกัน", "เลือกตั้ง", True),
        ("anything", "?!", False),
    ],
)
def test_which_words_are_said(script: str, word: str, said: bool) -> None:
    assert says_forbidden(script, (word,)) is said


@pytest.mark.parametrize(
    ("policy", "wanted", "allowed"),
    [
        (SIMULATED, SubjectAssurance.SIMULATED, True),
        (SIMULATED, SubjectAssurance.WEB, False),
        (SIMULATED, SubjectAssurance.ATTESTED, False),
        (STRICT, SubjectAssurance.SIMULATED, True),
        (STRICT, SubjectAssurance.WEB, True),
        (STRICT, SubjectAssurance.ATTESTED, False),
    ],
)
def test_a_simulated_person_opens_nothing_real(policy: object, wanted: Assurance, allowed: bool) -> None:
    answer = ask(use(face(), minimum_assurance=wanted), presented(record(policy=policy)))
    assert isinstance(answer, Permit) is allowed
    if not allowed:
        assert codes(answer) == ["assurance_too_low", "no_token"]


# --- revoked ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", RevokedBy)
def test_a_revoked_consent_is_refused(by: RevokedBy) -> None:
    shown = presented(ended(by), token=token(record(), life=DAY))
    assert codes(ask(use(face()), shown, now=NOW + 2 * HOUR)) == ["revoked", "no_token"]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_once_revoked_nothing_gives_a_permit(data: st.DataObject) -> None:
    """Whatever else happened, in whatever order storage hands it out, at whatever time is claimed, with whatever token."""
    stages = [record(audience=("*",), purposes=list(Purpose), max_seconds=3600)]
    for number in range(data.draw(st.integers(0, 3))):
        step = narrow(stages[-1], limits=Limits(max_seconds=3000 - number), now=NOW + number * HOUR)
        stages.append(fold([*stages[-1].events, step]))
    over = fold([*stages[-1].events, revoke(stages[-1], by=data.draw(st.sampled_from(RevokedBy)), now=NOW + DAY)])
    old = token(data.draw(st.sampled_from(stages)), purpose=Purpose.CAMEO, life=20 * DAY)
    extra = data.draw(st.lists(st.sampled_from([*over.events, granted(at=NOW + 2 * DAY)]), max_size=3))
    order = data.draw(st.permutations([*over.events, *extra]))
    now = NOW + data.draw(st.integers(-30, 400)) * DAY + data.draw(st.integers(0, 86_400)) * SECOND
    try:
        known = fold(order)
    except RecordInvalid:
        known = over
    answer = ask(
        use(face(), minimum_assurance=SubjectAssurance.SIMULATED), presented(over, token=old, record=known), now=now
    )
    assert codes(answer)[0] == "revoked"
    with pytest.raises(ConsentInvalid):
        token(known, now=now)


# --- never an exception, never a score -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"job_sha256": "any"},
        {"job_sha256": None},
        {"backend": ""},
        {"backend": "*"},
        {"backend": None},
        {"purpose": "everything"},
        {"purpose": None},
        {"seconds": 0},
        {"seconds": -5},
        {"seconds": math.nan},
        {"seconds": math.inf},
        {"seconds": "ten"},
        {"minimum_assurance": None},
        {"minimum_assurance": "web"},
        {"faces": None},
        {"faces": ("face",)},
        {"faces": tuple(face(index=i) for i in range(5000))},
        {"script": 5},
    ],
)
def test_a_request_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    shown = presented(record(forbidden_words=("vote",)))
    assert codes(ask(use(face(), **change), shown)) == ["gate_error"]


@pytest.mark.parametrize("threshold", [math.nan, math.inf, -math.inf, 0.0, -1.0, 1.0001, None, "0.4"])
def test_a_threshold_that_lets_everybody_in_is_refused(threshold: float) -> None:
    assert codes(ask(use(face()), presented(record()), same_person=threshold)) == ["gate_error"]


@pytest.mark.parametrize("now", [datetime(2026, 11, 21, 12), None, "now"])  # noqa: DTZ001 - no zone is what is tested
def test_a_time_that_is_none_is_refused(now: datetime) -> None:
    assert codes(ask(use(face()), presented(record()), now=now)) == ["gate_error"]


hostile = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.none())


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_hostile_values_never_raise_and_never_pass(data: st.DataObject) -> None:
    """One part of an otherwise good request is something else entirely."""
    wanted, shown = use(face()), presented(record())
    keywords: dict[str, object] = {"same_person": SAME_PERSON, "permit_id": "prm_1", "now": NOW}
    value = data.draw(hostile)
    # where None is a meaning of its own, or any value of a kind is fine, that is no hostile value
    target = data.draw(
        st.sampled_from(["use", "presented", "face", "token", "keyword", "whole use", "whole presented"])
    )
    match target:
        case "use":
            name = data.draw(st.sampled_from(["backend", "purpose", "faces", "job_sha256", "minimum_assurance"]))
            wanted = replace(wanted, **{name: value})  # type: ignore[arg-type]
        case "presented":
            name = data.draw(st.sampled_from(["token", "record", "templates"]))
            shown = replace(shown, **{name: value})  # type: ignore[arg-type]
        case "face":
            wanted = replace(wanted, faces=(replace(face(), template=value),))  # type: ignore[arg-type]
        case "token":
            # every member that the decision is made by: an id is only compared with other ids, a token without a key
            # may be presented by anybody, and what the status list says comes with the record
            named = {f.name for f in fields(token(record()))} - {"token_id", "jkt", "status"}
            name = data.draw(st.sampled_from(sorted(named)))
            shown = replace(shown, token=replace(token(record()), **{name: value}))  # type: ignore[arg-type]
        case "keyword":
            name = data.draw(st.sampled_from(["same_person", "now"]))
            keywords[name] = -1.0 if isinstance(value, float | int) and name == "same_person" else value
        case "whole use":
            assert isinstance(decide(value, (shown,), **keywords), Refusal)  # type: ignore[arg-type]
            return
        case "whole presented":
            assert isinstance(decide(wanted, (value,), **keywords), Refusal)  # type: ignore[arg-type]
            return
    assert isinstance(decide(wanted, (shown,), **keywords), Refusal)  # type: ignore[arg-type]


def test_a_refusal_carries_no_number_that_measures_a_face() -> None:
    assert {f.name for f in fields(GateReason)} == {"code", "face_index", "media_id", "box", "token_index", "place"}
    answer = ask(use(face(2)), presented(record()))
    assert "0." not in repr(replace(answer.reasons[0], box=None)) if isinstance(answer, Refusal) else False


def test_a_refusal_without_a_reason_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="reason"):
        Refusal(reasons=())


def test_dead_tokens_are_no_way_to_ask_who_somebody_is() -> None:
    """With a revoked consent the right face and a wrong one get the same answer."""
    shown = presented(ended(), token=token(record(), life=DAY))
    right, wrong = (ask(use(face(person)), shown, now=NOW + 2 * HOUR) for person in (1, 2))
    assert codes(right) == codes(wrong)


# --- commitments -----------------------------------------------------------------------------------------------------


def test_a_commitment_depends_on_every_part() -> None:
    one = templates(1)
    first = commit_template(one, SALT)
    assert first == commit_template(one, SALT)
    others = [
        commit_template(one, b"x" * 32),
        commit_template(one[:2], SALT),
        commit_template(one[::-1], SALT),
        commit_template([of(one[0].vector, "other"), *one[1:]], SALT),
        commit_template(templates(2), SALT),
    ]
    assert len({first, *others}) == 6


@pytest.mark.parametrize(("salt", "given_templates"), [(b"short", templates(1)), (SALT, ())])
def test_a_commitment_to_nothing_or_without_salt(salt: bytes, given_templates: tuple[FaceTemplate, ...]) -> None:
    with pytest.raises(ConsentInvalid):
        commit_template(given_templates, salt)


# --- keys and status -------------------------------------------------------------------------------------------------

JKT, OTHER_JKT = "A" * 43, "B" * 43
BY_ITS_KEY = DpopProof(jkt=JKT, jti="1", issued_at=NOW)
BY_ANOTHER = DpopProof(jkt=OTHER_JKT, jti="2", issued_at=NOW)


def bound() -> Presented:
    return presented(record(), token=token(record(), jkt=JKT))


def test_a_stolen_token_is_worth_nothing_without_its_key() -> None:
    assert codes(ask(use(face()), bound())) == ["dpop_missing", "no_token"]
    assert codes(ask(use(face(), proof=BY_ANOTHER), bound())) == ["key_mismatch", "no_token"]
    permit = ask(use(face(), proof=BY_ITS_KEY), bound())
    assert isinstance(permit, Permit)
    assert permit.jkt == JKT
    assert verify_permit(sign_permit(permit, KEY), KEYS, audience=BACKEND, now=NOW) == permit


@pytest.mark.parametrize("code", DpopCode)
def test_whatever_is_wrong_with_a_proof_is_said_and_nothing_is_permitted(code: DpopCode) -> None:
    for shown in (bound(), presented(record())):
        assert codes(ask(use(face(), proof=DpopProblem(code)), shown)) == [code.value, "no_token"]


def test_a_thief_learns_nothing_of_the_consent_behind_a_bound_token() -> None:
    ended = fold([record().granted, revoke(record(), by=RevokedBy.SUBJECT, now=NOW)])
    shown = replace(bound(), record=ended, templates=())
    assert codes(ask(use(face()), shown)) == ["dpop_missing", "no_token"]


def test_a_backend_that_registered_a_key_asks_with_it_always() -> None:
    free, by_both = presented(record()), {"proof": BY_ITS_KEY, "backend_jkt": JKT}
    assert codes(ask(use(face(), backend_jkt=JKT), free)) == ["dpop_missing", "no_token"]
    assert codes(ask(use(face(), backend_jkt=JKT, proof=BY_ANOTHER), free)) == ["key_mismatch", "no_token"]
    assert isinstance(ask(use(face(), **by_both), free), Permit)
    assert isinstance(ask(use(face(), **by_both), bound()), Permit)
    # once it has another key, tokens that were bound to the one before are over
    changed = use(face(), backend_jkt=OTHER_JKT, proof=BY_ANOTHER)
    assert codes(ask(changed, bound())) == ["key_mismatch", "no_token"]
    assert codes(ask(replace(changed, proof=BY_ITS_KEY), bound())) == ["key_mismatch", "no_token"]


def test_without_a_key_a_permit_is_for_whoever_is_that_backend() -> None:
    permit = ask(use(face()), presented(record()))
    assert isinstance(permit, Permit)
    assert permit.jkt is None


@pytest.mark.parametrize(
    ("status", "code"),
    [(None, None), (Status.VALID, None), (1, "revoked"), (2, "suspended"), (3, "disputed")],
)
def test_the_stricter_of_record_and_status_list_counts(status: int | None, code: str | None) -> None:
    shown = presented(record(), status=None if status is None else Status(status))
    answer = ask(use(face()), shown)
    assert isinstance(answer, Permit) if code is None else codes(answer) == [code, "no_token"]


# --- permits as text, and where they are made ------------------------------------------------------------------------


def test_a_permit_survives_its_text() -> None:
    answer = ask(use(face()), presented(record()), now=NOW + timedelta(milliseconds=250))
    assert isinstance(answer, Permit)
    text = sign_permit(answer, KEY)
    assert verify_permit(text, KEYS, audience=BACKEND, now=NOW + MINUTE) == answer


@functools.cache
def calls() -> frozenset[tuple[str, str]]:
    """``(name, file)`` for every ``name(...)`` and ``x.name(...)`` in the packages."""
    found = set()
    for package in ("liveness", "consent", "likeness", "lab", "api"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                    called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                    found.add((called, path.relative_to(ROOT).as_posix()))
    return frozenset(found)


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("Permit", "consent/gate.py"),
        ("ConsentRecord", "consent/record.py"),
        ("Granted", "consent/record.py"),
        ("Live", "liveness/verdict.py"),
    ],
)
def test_what_opens_doors_is_made_in_one_place(name: str, home: str) -> None:
    assert {path for called, path in calls() if called == name} == {home}


def test_every_code_is_given_by_something() -> None:
    """The list of codes is what callers program against: none is only on paper."""
    source = (ROOT / "consent" / "gate.py").read_text(encoding="utf-8")
    body = source[source.index("class FaceSeen") :]
    for name in ("gate.py", "inputs.py"):  # what only the books of the service can tell
        body += (ROOT / "api" / name).read_text(encoding="utf-8")
    assert [code for code in GateCode if f"GateCode.{code.name}" not in body] == []


def test_every_presented_token_is_judged_whatever_the_others_are() -> None:
    shown: list[Presented] = [
        presented(record(), token=TokenProblem(TokenCode.BAD_SIGNATURE)),
        presented(record(person=2), person=2, record=None),
        presented(record()),
    ]
    answer = ask(use(face()), *shown)
    assert codes(answer) == ["bad_signature", "record_missing"]
    assert isinstance(answer, Refusal)
    assert [reason.token_index for reason in answer.reasons] == [0, 1]


# --- what shows no face ----------------------------------------------------------------------------------------------


def test_a_handle_of_a_consenting_person_counts_as_showing_them() -> None:
    answer = ask(use(inputs=(InputSeen(place="handles/0", consents=("cns_1",)),)), presented(record()))
    assert isinstance(answer, Permit)
    assert answer.consents == (("cns_1", "sub_1"),)


def test_an_input_that_nobody_can_say_anything_about_is_a_hidden_face() -> None:
    for hidden in (InputSeen(place="handles/0"), InputSeen(place="handles/0", problem=GateCode.HIDDEN_FACE)):
        answer = ask(use(face(), inputs=(hidden,)), presented(record()))
        assert codes(answer) == ["hidden_face"]
        assert isinstance(answer, Refusal)
        assert answer.reasons[0].place == "handles/0"


def test_a_handle_needs_a_token_of_everyone_it_carries() -> None:
    both = InputSeen(place="handles/0", consents=("cns_1", "cns_2"))
    assert codes(ask(use(face(), inputs=(both,)), presented(record()))) == ["no_token"]
    two = presented(record(person=2), person=2)
    assert isinstance(ask(use(face(), inputs=(both,)), presented(record()), two), Permit)


def test_a_handle_made_under_a_consent_that_ended_does_not_come_back() -> None:
    carried = InputSeen(place="handles/0", consents=("cns_1",))
    answer = ask(use(inputs=(carried,)), presented(ended(), token=token(record())), now=NOW + 2 * HOUR)
    assert codes(answer) == ["revoked", "no_token"]


def test_inputs_without_faces_do_not_make_up_for_a_missing_one() -> None:
    nobody = InputSeen(place="voices/0", problem=GateCode.VOICE_UNDECLARED)
    assert codes(ask(use(inputs=(nobody,)), presented(record()))) == ["no_face", "voice_undeclared"]


def test_obligations_of_a_permit_from_before_retention_still_read() -> None:
    answer = ask(use(face()), presented(record()))
    assert isinstance(answer, Permit)
    compact = sign_permit(answer, KEY)
    assert verify_permit(compact, KEYS, audience=BACKEND, now=NOW) == answer
    claims = dict(KEYS.open(compact, typ="permit+jwt", max_chars=8192)._left)
    claims["obligations"] = {n: v for n, v in claims["obligations"].items() if n != "retention_s"}  # type: ignore[union-attr]
    older = KEY.sign(claims, typ="permit+jwt")
    assert verify_permit(older, KEYS, audience=BACKEND, now=NOW).obligations.retention_s == 86_400


# --- pictures with nobody in them -------------------------------------------------------------------------------------


def test_pictures_in_which_nobody_is_need_nobodys_yes() -> None:
    permit = ask(use(only_pictures=True))
    assert isinstance(permit, Permit)
    assert permit.consents == ()
    assert permit.assurance is SubjectAssurance.SIMULATED, "it is worth nothing as proof of a person"
    assert permit.obligations.max_seconds == 60
    assert permit.obligations.visible_label


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (use(), GateCode.NO_FACE),
        (use(face(), only_pictures=True), GateCode.NO_TOKEN),
        (use(unmeasured(), only_pictures=True), GateCode.NO_TOKEN),
        (use(only_pictures=True, inputs=(InputSeen(place="voices/0", problem=GateCode.VOICE_UNDECLARED),)),
         GateCode.VOICE_UNDECLARED),
        (use(only_pictures=True, inputs=(InputSeen(place="handles/0"),)), GateCode.HIDDEN_FACE),
        (use(only_pictures=True, job_sha256="no hash"), GateCode.GATE_ERROR),
    ],
    ids=["not only pictures", "a face", "a face that cannot be judged", "a voice", "a handle", "no job"],
)  # fmt: skip
def test_that_is_no_way_around_anything(wanted: Use, code: GateCode) -> None:
    refused = ask(wanted)
    assert isinstance(refused, Refusal)
    assert code in refused.codes


def test_whoever_claims_somebody_is_in_them_is_told_that_nobody_is() -> None:
    refused = ask(use(only_pictures=True), presented(record()))
    assert isinstance(refused, Refusal)
    assert refused.codes == (GateCode.NO_FACE,)


def test_a_permit_of_nobody_is_never_read_back_from_text() -> None:
    """It is for our own generators, which are handed the value; no backend can bring one."""
    permit = ask(use(only_pictures=True))
    assert isinstance(permit, Permit)
    with pytest.raises(PermitInvalid):
        verify_permit(sign_permit(permit, KEY), KEYS, audience=BACKEND, now=NOW)
