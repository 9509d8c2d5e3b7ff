"""Digits count as said when the recognisers agree on them; less evidence never counts for more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveness.digits import Language
from liveness.evidence import Transcript, Word
from liveness.transcripts import Agreement, agree, better, edit_distance, first_missing

DIGITS = st.text("0123456789", max_size=8)
NEAR = st.text("012", max_size=5)  # few digits: near misses are common
VOUCHED = st.booleans()


def heard(digits: str, *, accepted: bool = True) -> Transcript:
    return Transcript(
        digits=digits,
        words=tuple(Word(text=digit, start_ms=700 * i, end_ms=700 * i + 400) for i, digit in enumerate(digits)),
        engine="test",
        model_version="1",
        language=Language.ENGLISH,
        accepted=accepted,
    )


@pytest.mark.parametrize(
    ("first", "second", "agreement"),
    [
        (heard("480215"), heard("480215"), Agreement.BOTH),
        (heard("480215"), heard("480219"), Agreement.ONE),
        (heard("48015", accepted=False), heard("480215"), Agreement.ONE),
        (heard("480215"), heard("480215", accepted=False), Agreement.ONE),
        (heard("480215"), heard("481219"), Agreement.DISAGREE),
        (heard("480215"), heard(""), Agreement.DISAGREE),
        (heard("480219"), heard("480219"), Agreement.NOT_HEARD),
        (heard("480215", accepted=False), heard("480215", accepted=False), Agreement.NOT_HEARD),
        (heard("480215"), None, Agreement.ALONE),
        (heard("480219"), None, Agreement.NOT_HEARD),
        (heard("480215", accepted=False), None, Agreement.NOT_HEARD),
    ],
)
def test_what_two_hearings_are_worth(first: Transcript, second: Transcript | None, agreement: Agreement) -> None:
    assert agree(first, second, "480215") is agreement


def test_only_agreement_is_accepted() -> None:
    assert {each for each in Agreement if each.accepted} == {Agreement.BOTH, Agreement.ONE, Agreement.ALONE}


def test_nothing_asked_for_is_never_said() -> None:
    assert not agree(heard(""), heard(""), "").accepted


@given(NEAR, NEAR, NEAR, VOUCHED, VOUCHED)
def test_no_string_is_accepted_that_no_recogniser_vouches_for(
    wanted: str, one: str, other: str, sure: bool, sure_too: bool
) -> None:
    first, second = heard(one, accepted=sure), heard(other, accepted=sure_too)
    found = agree(first, second, wanted)
    assert found is agree(second, first, wanted)
    if found.accepted:
        assert (sure and one == wanted) or (sure_too and other == wanted)
        assert edit_distance(one, wanted) <= 1
        assert edit_distance(other, wanted) <= 1


@given(NEAR, NEAR, NEAR, NEAR, VOUCHED, VOUCHED)
def test_worse_evidence_never_turns_refusal_into_acceptance(
    wanted: str, one: str, other: str, worse: str, sure: bool, sure_too: bool
) -> None:
    first, second = heard(one, accepted=sure), heard(other, accepted=sure_too)
    if agree(first, second, wanted).accepted:
        return
    assert not agree(replace(first, accepted=False), second, wanted).accepted
    assert not agree(first, replace(second, accepted=False), wanted).accepted
    if edit_distance(worse, wanted) > edit_distance(other, wanted):
        assert not agree(first, heard(worse, accepted=sure_too), wanted).accepted


@given(NEAR, NEAR, NEAR, VOUCHED, VOUCHED)
def test_word_times_are_of_one_who_heard_it_all(wanted: str, one: str, other: str, sure: bool, sure_too: bool) -> None:
    first, second = heard(one, accepted=sure), heard(other, accepted=sure_too)
    taken = better(first, second, wanted)
    assert taken in (first, second)
    if agree(first, second, wanted).accepted:
        assert taken.accepted
        assert taken.digits == wanted
    assert better(first, None, wanted) is first


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ("480215", None),
        ("48015", 4),
        ("480915", 4),
        ("80215", 1),
        ("48021", 6),
        ("", 1),
        ("4802195", None),  # all were heard, and one besides
        ("999", 1),
    ],
)
def test_the_person_is_told_which_digit_was_not_heard(said: str, place: int | None) -> None:
    assert first_missing(said, "480215") == place


@given(DIGITS, DIGITS)
def test_a_missing_digit_is_one_of_those_asked_for(said: str, wanted: str) -> None:
    place = first_missing(said, wanted)
    assert place is None or 1 <= place <= len(wanted)
    assert first_missing(wanted, wanted) is None
    if len(said) < len(wanted):
        assert place is not None


@given(DIGITS, DIGITS)
def test_edit_distance_is_a_distance(one: str, other: str) -> None:
    assert edit_distance(one, other) == edit_distance(other, one)
    assert (edit_distance(one, other) == 0) == (one == other)
    assert abs(len(one) - len(other)) <= edit_distance(one, other) <= max(len(one), len(other))
