"""What a person limited, one limit at a time and all at once: Cedar, plain rules and the dry run say the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from cedarpy import validate_policies
from hypothesis import given, settings
from hypothesis import strategies as st

from consent import policy_cedar
from consent.approval import ASKED_FOR, Approval, ApprovalState, answer, request
from consent.content import NAMES, ContentCategory
from consent.errors import ConsentInvalid, PolicyFailed
from consent.gate import GateCode, Permit, Refusal, Use, what_would_be_allowed
from consent.record import ConsentRecord, Party, fold, grant, suspend
from consent.scope import ApprovalRule, Limits
from consent.terms import Purpose, current, languages
from consent.territory import COUNTRIES, holding, is_territory
from tests.consent.given import (
    BACKEND,
    CONTROLLER,
    DAY,
    HOUR,
    JOB,
    NOW,
    SALT,
    TICK,
    ask,
    commit_template,
    face,
    live,
    presented,
    templates,
    use,
)
from tests.consent.plain_rules import plain_codes

ROOT = Path(__file__).resolve().parents[2]
C = ContentCategory


def allowing(**choices: object) -> ConsentRecord:
    """A consent with these limits, makers and approval."""
    apart = {name: choices.pop(name) for name in ("makers", "approval", "audience", "purposes") if name in choices}
    values: dict[str, object] = {"purposes": [Purpose.CAMEO], "audience": [BACKEND]} | apart
    return fold(
        [
            grant(
                live(),
                consent_id="cns_1",
                subject_id="sub_1",
                controller=CONTROLLER,
                terms=current("en"),
                limits=Limits(**({"max_seconds": 60} | choices)),  # type: ignore[arg-type]
                template_commitment=commit_template(templates(), SALT),
                expires_at=None,
                now=NOW,
                **values,  # type: ignore[arg-type]
            )
        ]
    )


def codes(record: ConsentRecord, wanted: Use, *, approval: Approval | None = None, uses: int | None = 0) -> list[str]:
    """What the gate says, faces and tokens being in order; the dry run must say the same."""
    tried = what_would_be_allowed(record, replace(wanted, faces=()), uses_so_far=uses, approval=approval, now=NOW)
    full = ask(replace(wanted, faces=(face(),)), presented(record, uses_so_far=uses, approval=approval))
    said = [] if isinstance(full, Permit) else [code for code in full.codes if code is not GateCode.NO_TOKEN]
    # while anything else stops it, nobody is asked, and the gate does not speak of approval
    expected = [code for code in tried if len(tried) == 1 or code not in ("approval_needed", "approval_refused")]
    assert said == expected
    return [str(code) for code in tried]


# --- one limit at a time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("makers", "asks", "allowed"),
    [
        (["*"], None, True),
        (["*"], "anybody", True),
        (["self"], "sub_1", True),
        (["self"], "maker-1", False),
        (["self"], None, False),
        (["maker-1", "maker-2"], "maker-2", True),
        (["maker-1", "maker-2"], "maker-3", False),
        (["maker-1"], "sub_1", False),
        ([], "sub_1", False),
        ([], None, False),
    ],
)
def test_who_may_ask(makers: list[str], asks: str | None, allowed: bool) -> None:
    assert codes(allowing(makers=makers), use(maker=asks)) == ([] if allowed else ["scope_maker"])


@pytest.mark.parametrize("asks", ["self", "*", "", "a b", "x" * 300])
def test_nobody_is_called_by_the_words_for_everyone_and_for_the_person(asks: str) -> None:
    assert codes(allowing(makers=["self"]), use(maker=asks)) == ["gate_error"]


@pytest.mark.parametrize(
    ("limits", "about", "allowed"),
    [
        ({"forbidden_categories": (C.POLITICS, C.ADULT)}, (), True),
        ({"forbidden_categories": (C.POLITICS, C.ADULT)}, (C.SATIRE,), True),
        ({"forbidden_categories": (C.POLITICS, C.ADULT)}, (C.SATIRE, C.POLITICS), False),
        ({"forbidden_categories": (C.POLITICS,)}, None, False),
        ({"allowed_categories": (C.SATIRE,)}, (C.SATIRE,), True),
        ({"allowed_categories": (C.SATIRE,)}, (), True),
        ({"allowed_categories": (C.SATIRE,)}, (C.SATIRE, C.NEWS), False),
        ({"allowed_categories": (C.SATIRE,)}, None, False),
        ({"allowed_categories": ()}, (C.SATIRE,), False),
        ({"allowed_categories": ()}, (), True),
        ({"allowed_categories": (C.SATIRE,), "forbidden_categories": (C.SATIRE,)}, (C.SATIRE,), False),
        ({}, None, True),
    ],
)
def test_content(limits: dict[str, object], about: tuple[C, ...] | None, allowed: bool) -> None:
    assert codes(allowing(**limits), use(categories=about)) == ([] if allowed else ["scope_content"])


@pytest.mark.parametrize(
    ("where", "published", "allowed"),
    [
        (("*",), None, True),
        (("*",), ("*",), True),
        (("DE",), ("DE",), True),
        (("DE",), ("DE-BY",), True),
        (("DE", "AT"), ("DE", "AT"), True),
        (("DE",), ("DE", "AT"), False),
        (("DE",), ("*",), False),
        (("DE",), None, False),
        (("DE",), (), False),
        (("US-CA",), ("US-CA",), True),
        (("US-CA",), ("US",), False),
        (("US-CA",), ("US-NY",), False),
    ],
)
def test_territory(where: tuple[str, ...], published: tuple[str, ...] | None, allowed: bool) -> None:
    assert codes(allowing(territories=where), use(territories=published)) == ([] if allowed else ["scope_territory"])


@pytest.mark.parametrize("unknown", [("UK",), ("XX",), ("de",), ("DE-",), ("Europe",), ("",)])
def test_a_place_that_is_none(unknown: tuple[str, ...]) -> None:
    assert codes(allowing(), use(territories=unknown)) == ["gate_error"]
    with pytest.raises(ConsentInvalid) as caught:
        Limits(max_seconds=1, territories=unknown)
    assert caught.value.code == "territory_invalid"


def test_what_lies_in_another_territory_says_nothing_more() -> None:
    assert Limits(max_seconds=1, territories=("US-CA", "US")).territories == ("US",)
    assert Limits(max_seconds=1, territories=("US", "*", "DE")).territories == ("*",)
    assert len(COUNTRIES) == 249
    assert is_territory("US-CA")
    assert holding("US-CA") == ("US-CA", "US", "*")


@pytest.mark.parametrize(("uses", "so_far", "allowed"), [(3, 2, True), (3, 3, False), (3, None, False), (3, -1, False)])
def test_number_of_uses(uses: int, so_far: int | None, allowed: bool) -> None:
    assert codes(allowing(uses=uses), use(), uses=so_far) == ([] if allowed else ["scope_limits"])


def test_every_rule_that_is_broken_is_named() -> None:
    strict = allowing(
        makers=["self"], forbidden_categories=(C.HATE,), territories=("DE",), approval=ApprovalRule.ALWAYS
    )
    assert codes(strict, use(seconds=61)) == [
        "scope_maker", "scope_limits", "scope_content", "scope_territory", "approval_needed",
    ]  # fmt: skip


# --- a yes to each use -----------------------------------------------------------------------------------------------


def approval(state: ApprovalState = ApprovalState.APPROVED, **changes: object) -> Approval:
    asked = request(consent_id="cns_1", backend=BACKEND, purpose=Purpose.CAMEO, job_sha256=JOB, now=NOW)
    return replace(asked, state=state, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given_answer", "code"),
    [
        (None, "approval_needed"),
        (approval(ApprovalState.REQUESTED), "approval_needed"),
        (approval(), None),
        (approval(ApprovalState.REFUSED), "approval_refused"),
        (approval(job_sha256="cd" * 32), "approval_needed"),
        (approval(backend="other"), "approval_needed"),
        (approval(purpose=Purpose.VOICE), "approval_needed"),
        (approval(consent_id="cns_2"), "approval_needed"),
        (approval(expires_at=NOW), "approval_needed"),
        (approval(expires_at=NOW + 2 * HOUR), None),
        (approval(ApprovalState.REFUSED, expires_at=NOW), "approval_needed"),
    ],
)
def test_who_wants_to_be_asked_is_asked(given_answer: Approval | None, code: str | None) -> None:
    asks = allowing(approval=ApprovalRule.ALWAYS)
    assert codes(asks, use(), approval=given_answer) == ([] if code is None else [code])
    assert codes(allowing(), use(), approval=given_answer) == []


def test_nobody_is_asked_about_what_could_not_be_made_anyway() -> None:
    asks = allowing(approval=ApprovalRule.ALWAYS)
    strangers = ask(use(face(2)), presented(asks))
    assert isinstance(strangers, Refusal)
    assert "approval_needed" not in strangers.codes
    too_long = ask(use(face(), seconds=61), presented(asks))
    assert isinstance(too_long, Refusal)
    assert too_long.codes == ("scope_limits", "no_token")


def test_a_permit_ends_with_the_approval() -> None:
    answer = ask(
        use(face()), presented(allowing(approval=ApprovalRule.ALWAYS), approval=approval(expires_at=NOW + HOUR / 60))
    )
    assert isinstance(answer, Permit)
    assert answer.expires_at == NOW + HOUR / 60


def test_a_question_is_answered_once_and_not_for_ever() -> None:
    asked = request(consent_id="cns_1", backend=BACKEND, purpose=Purpose.CAMEO, job_sha256=JOB, now=NOW)
    yes = answer(asked, approved=True, now=NOW + HOUR)
    assert (yes.state, yes.expires_at) == (ApprovalState.APPROVED, NOW + HOUR + DAY)
    no = answer(yes, approved=False, now=NOW + HOUR)  # a yes can be taken back
    assert no.state is ApprovalState.REFUSED
    for late, approved in ((yes, True), (no, True), (no, False)):
        with pytest.raises(ConsentInvalid) as caught:
            answer(late, approved=approved, now=NOW + HOUR)
        assert caught.value.code == "approval_answered"
    with pytest.raises(ConsentInvalid) as caught:
        answer(asked, approved=True, now=NOW + ASKED_FOR)
    assert caught.value.code == "approval_expired"


# --- Cedar -----------------------------------------------------------------------------------------------------------


def test_the_policies_fit_their_schema() -> None:
    checked = validate_policies(policy_cedar.POLICIES, policy_cedar.SCHEMA)
    assert checked.validation_passed, [str(error) for error in checked.errors]


def test_every_forbidding_policy_is_a_rule_and_every_rule_a_policy() -> None:
    named = {part.split('"')[0] for part in policy_cedar.POLICIES.split('@id("')[1:]}
    assert named == {"given", *policy_cedar.Rule}
    assert policy_cedar.POLICIES.count("permit (") == 1


@pytest.mark.parametrize(
    "broken",
    [
        policy_cedar.POLICIES.replace("context has maker && ", ""),  # an error inside a forbid: Cedar skips it
        policy_cedar.POLICIES.replace("permit (", "forbid ("),  # nothing permits
        "permit (principal, action",  # no policy at all
    ],
)
def test_an_engine_that_errs_refuses(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """A forbid that fails to evaluate would be passed over; here it is a no."""
    monkeypatch.setattr(policy_cedar, "POLICIES", broken)
    policy_cedar._engine.cache_clear()
    try:
        assert codes(allowing(makers=["maker-1"]), use()) == ["gate_error"]
    finally:
        policy_cedar._engine.cache_clear()


def test_a_no_without_a_rule_is_a_no() -> None:
    over = allowing()
    asked = policy_cedar.Asked(
        backend=BACKEND, purpose=Purpose.CAMEO, seconds=None, maker=None, categories=None, territories=None,
        uses_so_far=0, approved=False,
    )  # fmt: skip
    assert policy_cedar.broken_rules(over, asked, now=over.expires_at - TICK) == ()
    with pytest.raises(PolicyFailed):
        policy_cedar.broken_rules(over, asked, now=over.expires_at)
    with pytest.raises(PolicyFailed):
        policy_cedar.broken_rules(over, replace(asked, uses_so_far=2**70), now=NOW)


def test_nothing_that_was_typed_is_read_as_policy() -> None:
    """Quotes, comments and whole policies as names are names."""
    for text in ('"', 'x"); permit(principal, action, resource); //', "//", "\\u{0}", "é"):
        asked = policy_cedar.Asked(
            backend=text, purpose=Purpose.CAMEO, seconds=None, maker=text, categories=None, territories=None,
            uses_so_far=0, approved=False,
        )  # fmt: skip
        broken = policy_cedar.broken_rules(allowing(makers=["maker-1"]), asked, now=NOW)
        assert broken == (policy_cedar.Rule.AUDIENCE, policy_cedar.Rule.MAKER)


categories = st.lists(st.sampled_from([C.POLITICS, C.ADULT, C.SATIRE, C.NEWS]), unique=True, max_size=3).map(tuple)
places = st.sampled_from(["*", "DE", "DE-BY", "US", "US-CA", "US-NY", "FR"])
makers = st.just(["*"]) | st.lists(st.sampled_from(["self", "maker-1", "maker-2"]), unique=True)
records = st.builds(
    allowing,
    purposes=st.lists(st.sampled_from(list(Purpose)), min_size=1, unique=True),
    audience=st.just(["*"]) | st.lists(st.sampled_from([BACKEND, "other"]), unique=True),
    makers=makers,
    approval=st.sampled_from(list(ApprovalRule)),
    max_seconds=st.integers(1, 30),
    uses=st.none() | st.integers(1, 3),
    forbidden_categories=categories,
    allowed_categories=st.none() | categories,
    territories=st.lists(places, min_size=1, unique=True).map(tuple),
)
uses_ = st.builds(
    use,
    backend=st.sampled_from([BACKEND, "other", "third"]),
    purpose=st.sampled_from(list(Purpose)),
    seconds=st.none() | st.integers(1, 40),
    maker=st.sampled_from([None, "sub_1", "maker-1", "maker-2", "maker-3"]),
    categories=st.none() | categories,
    territories=st.none() | st.lists(places, unique=True).map(tuple),
)
answers = st.none() | st.sampled_from([approval(), approval(ApprovalState.REFUSED), approval(backend="other")])


@settings(max_examples=300, deadline=None)
@given(record=records, wanted=uses_, so_far=st.none() | st.integers(-1, 4), answered=answers)
def test_cedar_says_what_the_plain_rules_say(
    record: ConsentRecord, wanted: Use, so_far: int | None, answered: Approval | None
) -> None:
    said = what_would_be_allowed(record, wanted, uses_so_far=so_far, approval=answered, now=NOW)
    mine = answered is not None and (answered.backend, answered.purpose) == (wanted.backend, wanted.purpose)
    approved = mine and answered is not None and answered.state is ApprovalState.APPROVED
    plain = plain_codes(record, wanted, uses_so_far=so_far, approved=approved)
    assert {"approval_needed" if code == "approval_refused" else str(code) for code in said} == plain


@settings(max_examples=200, deadline=None)
@given(record=records, wanted=uses_, so_far=st.none() | st.integers(-1, 4), answered=answers)
def test_a_dry_run_says_what_the_gate_says(
    record: ConsentRecord, wanted: Use, so_far: int | None, answered: Approval | None
) -> None:
    """For a token that is in order for exactly that backend and purpose, and the right face."""
    from tests.consent.given import token

    said = what_would_be_allowed(record, wanted, uses_so_far=so_far, approval=answered, now=NOW)
    base = allowing(purposes=list(Purpose), audience=["*"])
    mine = replace(token(base, purpose=wanted.purpose), audience=wanted.backend)
    shown = presented(record, token=mine, uses_so_far=so_far, approval=answered)
    full = ask(replace(wanted, faces=(face(),)), shown)
    assert isinstance(full, Permit) is (said == ())
    if isinstance(full, Refusal):
        others = [code for code in said if not code.startswith("approval")]
        assert full.codes == ((*others, GateCode.NO_TOKEN) if others else said)


def test_a_dry_run_never_raises_and_never_allows_by_failing() -> None:
    for record, wanted, now in ((None, use(), NOW), (allowing(), None, NOW), (allowing(), use(), None)):
        assert what_would_be_allowed(record, wanted, uses_so_far=0, now=now) == ("gate_error",)  # type: ignore[arg-type]
    stopped = allowing()
    stopped = fold([*stopped.events, suspend(stopped, by=Party.SUBJECT, now=NOW)])
    assert what_would_be_allowed(stopped, use(), uses_so_far=0, now=NOW) == ("suspended",)
    assert what_would_be_allowed(allowing(), use(), uses_so_far=0, now=datetime(2026, 1, 1, tzinfo=NOW.tzinfo)) == (
        "not_yet_valid",
    )


# --- the vocabulary --------------------------------------------------------------------------------------------------


def test_every_category_has_a_name_in_every_language_of_the_terms() -> None:
    assert tuple(NAMES) == languages()
    for names in NAMES.values():
        assert set(names) == set(ContentCategory)
        assert len(set(names.values())) == len(names)


@pytest.mark.parametrize(
    ("code", "limits"),
    [("category_unknown", {"forbidden_categories": ("fun",)}), ("territory_invalid", {"territories": ()})],
)
def test_a_limit_that_nobody_knows_is_no_limit(code: str, limits: dict[str, object]) -> None:
    with pytest.raises(ConsentInvalid) as caught:
        Limits(max_seconds=1, **limits)  # type: ignore[arg-type]
    assert caught.value.code == code


@settings(max_examples=200, deadline=None)
@given(record=records, other=records, kept=st.sets(st.integers(0, 3)), wanted=uses_)
def test_what_is_within_allows_nothing_more(
    record: ConsentRecord, other: ConsentRecord, kept: set[int], wanted: Use
) -> None:
    """The meaning of ``within``: whatever passes the lesser passes the greater."""
    parts = ("purposes", "audience", "makers", "approval")
    changed = {name: getattr(other.scope, name) for number, name in enumerate(parts) if number not in kept}
    lesser = fold([replace(record.granted, scope=replace(record.scope, **changed))])
    if lesser.scope.within(record.scope):
        less, more = (what_would_be_allowed(r, wanted, uses_so_far=0, now=NOW) for r in (lesser, record))
        assert less or not more
