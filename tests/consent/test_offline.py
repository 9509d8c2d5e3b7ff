"""A backend without a line to us: what it may believe, and for how long."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.dpop import CLOCKS_APART
from consent.keys import KeySet
from consent.offline import Holds, HoldsNot, OfflineCode, check_offline
from consent.status_list import STALE_AFTER, StatusList, StatusRef, sign_list
from consent.tokens import TokenCode, UnverifiedToken, sign
from tests.consent.given import BACKEND, HOUR, KEY, KEYS, MINUTE, NOW, OTHER_KEY, SECOND, TICK, record, token

URI = "https://gate.example/v1/status/stl_1"
TOKEN = sign(token(record(), status=StatusRef(uri=URI, index=41)), KEY)


def listed(state: int = 0, *, age: timedelta = timedelta(0), uri: str = URI, size: int = 64, bits: int = 2) -> str:
    statuses = StatusList.of({41: state} if state else {}, size=size, bits=bits)
    return sign_list(statuses, uri=uri, at=NOW + MINUTE - age, key=KEY)


def answer(text: str = TOKEN, status: str | None = None, *, audience: str = BACKEND) -> Holds | HoldsNot:
    shown = listed() if status is None else status
    return check_offline(UnverifiedToken(text), shown, KEYS, audience=audience, now=NOW + MINUTE)


def test_it_holds_until_the_list_is_stale_or_the_token_over() -> None:
    found = answer()
    assert isinstance(found, Holds)
    assert (found.token.consent_id, found.until) == ("cns_1", NOW + MINUTE + STALE_AFTER)
    short = sign(token(record(), life=90 * SECOND, status=StatusRef(uri=URI, index=41)), KEY)
    ends = answer(short)
    assert isinstance(ends, Holds)
    assert ends.until == NOW + 90 * SECOND


@pytest.mark.parametrize(("state", "code"), [(1, "revoked"), (2, "suspended"), (3, "disputed")])
def test_what_the_list_says_counts(state: int, code: str) -> None:
    assert answer(status=listed(state)) == HoldsNot(OfflineCode(code))


@pytest.mark.parametrize(
    ("age", "holds"),
    [(STALE_AFTER - SECOND, True), (STALE_AFTER, False), (HOUR, False), (-CLOCKS_APART, True), (-MINUTE, False)],
)
def test_an_old_list_is_no_answer(age: timedelta, holds: bool) -> None:
    found = answer(status=listed(age=age))
    assert isinstance(found, Holds) if holds else found == HoldsNot(OfflineCode.STATUS_STALE)


def test_the_token_is_looked_at_first() -> None:
    revoked = listed(1)
    assert answer("x", revoked) == HoldsNot(OfflineCode.BAD_SIGNATURE)
    assert answer(audience="other", status=revoked) == HoldsNot(OfflineCode.WRONG_AUDIENCE)
    over = check_offline(TOKEN, revoked, KEYS, audience=BACKEND, now=NOW + HOUR)
    assert over == HoldsNot(OfflineCode.EXPIRED)
    early = check_offline(TOKEN, revoked, KEYS, audience=BACKEND, now=NOW - TICK)
    assert early == HoldsNot(OfflineCode.NOT_YET_VALID)
    assert answer(revoked) == HoldsNot(OfflineCode.WRONG_TYPE)
    others = check_offline(TOKEN, listed(), KeySet.of(OTHER_KEY), audience=BACKEND, now=NOW + MINUTE)
    assert others == HoldsNot(OfflineCode.BAD_SIGNATURE)


@pytest.mark.parametrize(
    "status",
    [
        "",
        listed(uri=URI + "2"),
        listed(size=16),
        sign_list(StatusList.of({41: 9}, size=64, bits=4), uri=URI, at=NOW + MINUTE, key=KEY),
        sign_list(StatusList.of({}, size=64), uri=URI, at=NOW + MINUTE, key=OTHER_KEY),
        TOKEN,
    ],
    ids=["nothing", "another list", "too short", "a state that nobody knows", "another service's", "a token"],
)
def test_a_list_that_is_no_answer_is_a_no(status: str) -> None:
    assert answer(status=status) == HoldsNot(OfflineCode.STATUS_INVALID)


def test_a_token_without_a_status_cannot_be_checked_offline() -> None:
    assert answer(sign(token(record()), KEY)) == HoldsNot(OfflineCode.STATUS_MISSING)


@settings(max_examples=200, deadline=None, print_blob=True)
@given(text=st.text() | st.just(TOKEN), status=st.text())
def test_it_never_raises(text: str, status: str) -> None:
    assert isinstance(answer(text, status), HoldsNot)


def test_every_code_of_a_token_is_one_of_these() -> None:
    assert {code.value for code in TokenCode} < {code.value for code in OfflineCode}
