from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.canonical import Malformed, Members, decode, encode, read_instant, to_seconds, whole_second, write_instant
from consent.keys import from_base64url, to_base64url
from tests.consent.given import NOW, SECOND, TICK

texts = st.text(st.characters(codec="utf-8"), max_size=8)
leaves = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts
inner = st.recursive(
    leaves,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(texts, part, max_size=3),
    max_leaves=6,
)
values = st.dictionaries(texts, inner, max_size=4)
instants = st.datetimes(timezones=st.just(UTC))


@settings(max_examples=60, deadline=None)
@given(value=values)
def test_what_is_written_reads_back_and_writes_the_same(value: dict[str, object]) -> None:
    content = encode(value)  # type: ignore[arg-type]
    read = decode(content)
    assert {name: read.take(name) for name in read.names()} == value


class Word(StrEnum):
    ONE = "one"


odd = (
    st.floats()
    | st.integers()
    | st.sampled_from([Word.ONE, "\ud800", "\x7f", "\u2028", b"bytes", {1: 2}, {None: 1}, {True: 1}])
)
anything = st.recursive(
    leaves | st.text(st.characters(max_codepoint=0x7F), max_size=8) | odd,
    lambda part: (
        st.lists(part, max_size=3)
        | st.tuples(part, part)
        | st.dictionaries(texts | st.just(Word.ONE), part, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(value=anything)
def test_the_quick_way_to_write_gives_what_rfc_8785_does_or_is_not_taken(value: object) -> None:
    try:
        wanted = rfc8785.dumps(value)  # type: ignore[arg-type]
    except rfc8785.CanonicalizationError:
        with pytest.raises(Malformed):
            encode(value)  # type: ignore[arg-type]
    else:
        assert encode(value) == wanted  # type: ignore[arg-type]


def test_what_is_too_deep_or_holds_itself_is_not_written() -> None:
    ring: list[object] = []
    ring.append(ring)
    for value in (ring, {"a": ring}):
        with pytest.raises(Malformed):
            encode(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"1",
        b'"text"',
        b'[{"a":1}]',
        b'{"a":1} ',
        b'{ "a":1}',
        b'{"b":1,"a":1}',
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":1.0}',
        b'{"a":1e3}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":9007199254740992}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\ud800"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\xff"}',
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
    ],
)
def test_only_the_one_spelling_of_an_object_is_read(content: bytes) -> None:
    with pytest.raises(Malformed):
        decode(content)


@pytest.mark.parametrize("content", [b'{"a":1,"a":1}', b'{"a":1.0}', b"[]", b"1"])
def test_free_spelling_is_still_strict_about_meaning(content: bytes) -> None:
    assert decode(b'{ "b":1, "a":"\\u0041" }', any_spelling=True).text("a") == "A"
    with pytest.raises(Malformed):
        decode(content, any_spelling=True)


@pytest.mark.parametrize(
    "method", ["text", "sha256", "whole", "flag", "instant", "seconds", "items", "texts", "members"]
)
@pytest.mark.parametrize("value", [None, "x", 1.5, {"a": 1}.keys(), ["a", 1]])
def test_a_member_of_another_type_is_malformed(method: str, value: object) -> None:
    if (method, value) in (("text", "x"), ("items", ["a", 1])):
        return
    with pytest.raises(Malformed):
        getattr(Members({"a": value}), method)("a")  # type: ignore[dict-item]


def test_true_is_no_number_and_one_is_no_truth() -> None:
    with pytest.raises(Malformed):
        Members({"a": True}).whole("a")
    with pytest.raises(Malformed):
        Members({"a": 1}).flag("a")


def test_missing_and_left_over_members_are_malformed() -> None:
    with pytest.raises(Malformed):
        Members({}).text("a")
    with pytest.raises(Malformed):
        Members({"a": 1}).end()
    with pytest.raises(Malformed):
        Members([])


@settings(deadline=None)
@given(one=instants, other=instants)
def test_instants_read_back_and_sort_as_text(one: datetime, other: datetime) -> None:
    assert read_instant(write_instant(one)) == one
    assert (one < other) == (write_instant(one) < write_instant(other))


def test_an_instant_is_the_same_in_every_zone() -> None:
    assert write_instant(NOW.astimezone(timezone(timedelta(hours=8)))) == write_instant(NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-21",
        "2026-11-21T12:00:00Z",
        "2026-11-21T12:00:00.000Z",
        "2026-11-21T12:00:00.000000+00:00",
        "2026-11-21T12:00:00.000000z",
        "2026-11-21T12:00:00.000000Z\n",
        "2026-13-21T12:00:00.000000Z",
        "2026-11-21T24:00:01.000000Z",
        "２０２６-11-21T12:00:00.000000Z",
    ],
)
def test_other_spellings_of_time_are_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        read_instant(text)


def test_a_time_without_a_zone_is_a_mistake_of_ours() -> None:
    local = datetime(2026, 11, 21, 12)  # noqa: DTZ001 - no zone is what is tested
    for function in (write_instant, to_seconds, whole_second):
        with pytest.raises(ValueError, match="zone"):
            function(local)


def test_seconds_are_rounded_down() -> None:
    assert whole_second(NOW + SECOND - TICK) == NOW
    assert whole_second(NOW - TICK) == NOW - SECOND


@settings(deadline=None)
@given(content=st.binary())
def test_base64url_has_one_spelling(content: bytes) -> None:
    assert from_base64url(to_base64url(content)) == content


@pytest.mark.parametrize("text", ["A", "AA==", "AB", "AAB", "A+A", "AA/A", "AA A", "AAAA\n", "é"])
def test_other_base64_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        from_base64url(text)
