from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.authority import SubjectAssurance
from consent.errors import ConsentInvalid, TokenInvalid
from consent.keys import to_base64url
from consent.record import RevokedBy, fold, revoke
from consent.status_list import StatusRef
from consent.terms import Purpose
from consent.tokens import (
    LONGEST_TOKEN_LIFE,
    ConsentToken,
    TokenCode,
    TokenProblem,
    UnverifiedToken,
    claimed_audience,
    issue,
    sign,
    verify,
)
from liveness.policy import Assurance
from tests.consent.given import BACKEND, DAY, HOUR, KEY, KEYS, NOW, SECOND, TICK, record, token

names = st.text(st.characters(codec="ascii", categories=["L", "Nd"]), min_size=1, max_size=40)
seconds = st.integers(0, 4_000_000_000)

tokens = st.builds(
    ConsentToken,
    token_id=names,
    consent_id=names,
    subject_id=names,
    audience=names,
    purpose=st.sampled_from(Purpose),
    assurance=st.sampled_from(Assurance),
    template_commitment=st.binary(min_size=32, max_size=32).map(bytes.hex),
    issued_at=seconds.map(lambda s: datetime.fromtimestamp(s, tz=NOW.tzinfo)),
    expires_at=seconds.map(lambda s: datetime.fromtimestamp(s + 4_000_000_001, tz=NOW.tzinfo)),
    jkt=st.none() | st.binary(min_size=32, max_size=32).map(to_base64url),
    status=st.none() | st.builds(StatusRef, uri=names, index=st.integers(0, 2**20)),
)


def refused(unverified: str, *, audience: str = BACKEND, now: datetime = NOW) -> str:
    with pytest.raises(TokenInvalid) as caught:
        verify(UnverifiedToken(unverified), KEYS, audience=audience, now=now)
    return caught.value.code


@settings(deadline=None)
@given(content=tokens)
def test_what_is_signed_verifies_to_the_same(content: ConsentToken) -> None:
    assert verify(sign(content, KEY), KEYS, audience=content.audience, now=content.issued_at) == content


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    signed = bytearray(sign(token(record()), KEY).encode())
    place = data.draw(st.integers(0, len(signed) - 1))
    signed[place] ^= 1 << data.draw(st.integers(0, 7))
    assert refused(signed.decode("latin-1")) in ("bad_signature", "wrong_type")


@settings(max_examples=200, deadline=None)
@given(text=st.text() | st.from_regex(r"\A[A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{0,40}){0,4}\Z"))
def test_any_text_is_refused_with_a_code(text: str) -> None:
    assert refused(text) == "bad_signature"


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (NOW - TICK, "not_yet_valid"),
        (NOW, None),
        (NOW + HOUR - TICK, None),
        (NOW + HOUR, "expired"),
        (NOW + HOUR + TICK, "expired"),
    ],
)
def test_times_are_half_open(now: datetime, code: str | None) -> None:
    signed = sign(token(record()), KEY)
    if code is None:
        verify(signed, KEYS, audience=BACKEND, now=now)
    else:
        assert refused(signed, now=now) == code


def test_it_is_for_one_backend() -> None:
    assert refused(sign(token(record()), KEY), audience="other") == "wrong_audience"


def test_even_a_consent_for_everyone_gives_tokens_for_one() -> None:
    assert token(record(audience=("*",))).audience == BACKEND


def test_a_token_ends_with_its_consent() -> None:
    short = record(expires_at=NOW + 10 * SECOND + TICK)
    assert token(short, life=DAY).expires_at == NOW + 10 * SECOND


def test_a_token_says_what_the_live_check_was_worth() -> None:
    assert token(record()).assurance is SubjectAssurance.WEB


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("scope_purpose", {"purpose": Purpose.TRAINING}),
        ("scope_audience", {"audience": "other"}),
        ("scope_audience", {"audience": "*"}),
        ("token_life_invalid", {"life": timedelta(0)}),
        ("token_life_invalid", {"life": LONGEST_TOKEN_LIFE + TICK}),
        ("id_invalid", {"token_id": ""}),
        ("thumbprint_invalid", {"jkt": ""}),
        ("thumbprint_invalid", {"jkt": "A" * 42}),
        ("consent_expired", {"now": NOW + 365 * DAY}),
        ("consent_expired", {"now": NOW - TICK}),
    ],
)
def test_no_token_beyond_the_consent(code: str, changes: dict[str, object]) -> None:
    values: dict[str, object] = {
        "token_id": "tok_1",
        "audience": BACKEND,
        "purpose": Purpose.CAMEO,
        "life": HOUR,
        "now": NOW,
    }
    with pytest.raises(ConsentInvalid) as caught:
        issue(record(), **(values | changes))  # type: ignore[arg-type]
    assert caught.value.code == code


def test_less_than_a_second_left_is_too_little_for_a_token() -> None:
    with pytest.raises(ConsentInvalid) as caught:
        token(record(expires_at=NOW + TICK))
    assert caught.value.code == "consent_expired"


def test_no_token_for_a_revoked_consent_at_any_time() -> None:
    ended = fold([record().granted, revoke(record(), by=RevokedBy.SUBJECT, now=NOW + HOUR)])
    for now in (NOW - DAY, NOW, NOW + HOUR, NOW + DAY):
        with pytest.raises(ConsentInvalid) as caught:
            token(ended, now=now)
        assert caught.value.code == "consent_revoked"


def test_fractions_of_a_second_never_lengthen_a_token() -> None:
    content = replace(token(record()), issued_at=NOW + TICK, expires_at=NOW + HOUR + 999_999 * TICK)
    assert verify(sign(content, KEY), KEYS, audience=BACKEND, now=NOW).expires_at == NOW + HOUR


def test_a_token_does_not_show_its_id() -> None:
    assert "tok_cns_1" not in repr(token(record()))


def test_every_code_can_stand_in_for_a_token() -> None:
    for code in TokenCode:
        assert TokenProblem.of(TokenInvalid("no", code=code)).code is code


def test_a_token_says_for_whom_it_is_before_it_is_believed() -> None:
    assert claimed_audience(sign(token(record()), KEY)) == BACKEND
    for text in ("", "a.b.c", "a.e30.c", sign(token(record()), KEY)[:40]):
        with pytest.raises(TokenInvalid):
            claimed_audience(UnverifiedToken(text))
