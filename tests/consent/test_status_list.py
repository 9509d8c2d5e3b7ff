"""A list tells a token's holder what became of the consent, and nobody else anything."""

from __future__ import annotations

import itertools
import random
import tracemalloc
import zlib
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.canonical import Json
from consent.errors import ConsentInvalid, StatusListInvalid
from consent.keys import to_base64url
from consent.status_list import (
    BITS,
    LIST_SIZE,
    STALE_AFTER,
    STATUS_LIST_TYPE,
    TTL,
    Status,
    StatusList,
    companions,
    first_decoys,
    free_index,
    read_list,
    sign_list,
)
from tests.consent.given import KEY, KEYS, NOW, OTHER_KEY, SECOND, TICK

URI = "https://gate.example/v1/status/stl_1"

# draft-ietf-oauth-status-list-20, sections 4.1 and 4.2: examples with every entry
ONE_BIT = (1, "eNrbuRgAAhcBXQ", [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1])
TWO_BITS = (2, "eNo76fITAAPfAgc", [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3])

# appendix C: 2^20 entries, all others 0
APPENDIX_C1 = (
    1,
    "eNrt3AENwCAMAEGogklACtKQPg9LugC9k_ACvreiogEAAKkeCQAAAAAAAAAAAAAAAAAAAIBylgQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAXG9IAAAAAAAAAPwsJAAAAAAAAAAAAAAAvhsSAAAAAAAAAAAA7KpLAAAAAAAAAAAAAAAAAAAAAJsLCQAAAAAAAAAAADjelAAAAAAAAAAAKjDMAQAA"
    "AACAZC8L2AEb",
    dict.fromkeys(
        (0, 1993, 25460, 159495, 495669, 554353, 645645, 723232, 854545, 934534, 1000345),
        1,
    ),
)
APPENDIX_C2 = (
    2,
    "eNrt2zENACEQAEEuoaBABP5VIO01fCjIHTMStt9ovGVIAAAAAABAbiEBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEB5WwIAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAID0ugQAAAAA"
    "AAAAAAAAAAAAQG12SgAAAAAAAAAAAAAAAAAAAAAAAAAAAOCSIQEAAAAAAAAAAAAAAAAAAAAAAAD8ExIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAwJEuAQAAAAAAAAAAAAAAAAAAAAAAAMB9SwIAAAAAAAAAAAAAAAAAAACoYUoAAAAAAAAAAAAAAEBqH81gAQw",
    {0: 1, 1993: 2, 25460: 1, 159495: 3, 495669: 1, 554353: 1, 645645: 2, 723232: 1, 854545: 1, 934534: 2, 1000345: 3},
)


@pytest.mark.parametrize(("bits", "lst", "states"), [ONE_BIT, TWO_BITS])
def test_the_small_examples_of_the_draft(bits: int, lst: str, states: list[int]) -> None:
    listed = StatusList.from_lst(lst, bits=bits)
    assert [listed.status_at(index) for index in range(len(states))] == states
    assert StatusList.of(dict(enumerate(states)), size=len(states), bits=bits) == listed
    assert listed.to_lst() == lst


@pytest.mark.parametrize(("bits", "lst", "states"), [APPENDIX_C1, APPENDIX_C2])
def test_the_large_vectors_of_the_draft(bits: int, lst: str, states: dict[int, int]) -> None:
    listed = StatusList.from_lst(lst, bits=bits)
    assert listed.size == 2**20
    assert {index: listed.status_at(index) for index in range(listed.size) if listed.status_at(index)} == states
    assert StatusList.of(states, size=2**20, bits=bits) == listed
    assert listed.to_lst() == lst


def test_a_million_entries_with_one_in_a_hundred_revoked_are_16_kb() -> None:
    chance = random.Random(1)
    listed = StatusList.of(dict.fromkeys(chance.sample(range(1_000_000), 10_000), Status.REVOKED), size=1_000_000)
    assert len(zlib.compress(listed.packed, 9)) <= 16_000
    assert StatusList.from_lst(listed.to_lst(), bits=BITS) == listed


@settings(max_examples=200, deadline=None, print_blob=True)
@given(data=st.data(), bits=st.sampled_from([1, 2, 4, 8]), size=st.integers(1, 3000))
def test_what_is_packed_reads_back(data: st.DataObject, bits: int, size: int) -> None:
    states = data.draw(st.dictionaries(st.integers(0, size - 1), st.integers(0, 2**bits - 1), max_size=50))
    listed = StatusList.from_lst(StatusList.of(states, size=size, bits=bits).to_lst(), bits=bits)
    assert {index: listed.status_at(index) for index in range(size)} == dict.fromkeys(range(size), 0) | states
    assert all(listed.status_at(index) == 0 for index in range(size, listed.size))


@pytest.mark.parametrize(
    ("states", "size", "bits"),
    [({16: 1}, 16, 1), ({-1: 1}, 16, 1), ({0: 4}, 16, 2), ({0: -1}, 16, 2), ({}, 0, 2), ({}, 16, 3), ({}, 2**40, 2)],
)
def test_what_does_not_fit_is_refused(states: dict[int, int], size: int, bits: int) -> None:
    with pytest.raises(StatusListInvalid):
        StatusList.of(states, size=size, bits=bits)


@pytest.mark.parametrize("index", [-1, 16, 10**9])
def test_an_entry_that_is_not_there_has_no_state(index: int) -> None:
    with pytest.raises(StatusListInvalid):
        StatusList.from_lst(ONE_BIT[1], bits=1).status_at(index)


# --- hostile lists ---------------------------------------------------------------------------------------------------


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    bomb = to_base64url(zlib.compress(bytes(300_000_000), 9))
    tracemalloc.start()
    with pytest.raises(StatusListInvalid, match="larger"):
        StatusList.from_lst(bomb, bits=BITS)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8_000_000


def compressed(content: bytes = b"\x01\x02") -> bytes:
    return zlib.compress(content, 9)


@pytest.mark.parametrize(
    "lst",
    [
        "",
        "=",
        "no list",
        to_base64url(b"no zlib"),
        to_base64url(compressed()[:-1]),
        to_base64url(compressed()[:-1] + b"\0"),
        to_base64url(compressed() + b"x"),
        to_base64url(compressed() * 2),
        to_base64url(compressed(b"")),
        to_base64url(compressed()) + "=",
        to_base64url(zlib.compress(b"\1", wbits=-15)),
        to_base64url(zlib.compress(b"\1", wbits=31)),
    ],
)
def test_what_is_no_list_is_refused(lst: str) -> None:
    with pytest.raises(StatusListInvalid):
        StatusList.from_lst(lst, bits=BITS)


@settings(max_examples=200, deadline=None, print_blob=True)
@given(content=st.binary(max_size=200), bits=st.integers(-1, 9))
def test_any_bytes_are_a_list_or_refused(content: bytes, bits: int) -> None:
    for lst in (to_base64url(content), to_base64url(zlib.compress(content))):
        try:
            listed = StatusList.from_lst(lst, bits=bits)
        except StatusListInvalid:
            continue
        assert listed.size >= 1


# --- signed ----------------------------------------------------------------------------------------------------------


def signed(states: dict[int, int] | None = None) -> str:
    return sign_list(StatusList.of(states or {7: 1}, size=64), uri=URI, at=NOW, key=KEY)


def test_a_signed_list_says_what_when_and_for_how_long() -> None:
    listed = read_list(signed(), KEYS, uri=URI)
    assert (listed.uri, listed.issued_at, listed.ttl) == (URI, NOW, TTL)
    assert listed.expires_at == NOW + STALE_AFTER
    assert [listed.statuses.status_at(index) for index in (6, 7, 8)] == [0, 1, 0]
    assert not listed.stale_at(NOW + STALE_AFTER - TICK)
    assert listed.stale_at(NOW + STALE_AFTER)


def test_it_is_the_list_of_one_address_and_of_these_keys() -> None:
    for text, uri in (
        (signed(), URI + "2"),
        (sign_list(StatusList.of({}, size=8), uri=URI, at=NOW, key=OTHER_KEY), URI),
        (KEY.sign({"sub": URI}, typ=STATUS_LIST_TYPE), URI),
        (KEY.sign({"sub": URI}, typ="consent+jwt"), URI),
        ("", URI),
    ):
        with pytest.raises(StatusListInvalid):
            read_list(text, KEYS, uri=uri)


@settings(max_examples=200, deadline=None, print_blob=True)
@given(data=st.data())
def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    text = bytearray(signed().encode())
    text[data.draw(st.integers(0, len(text) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(StatusListInvalid):
        read_list(text.decode("latin-1"), KEYS, uri=URI)


# --- indexes and decoys ----------------------------------------------------------------------------------------------


def test_indexes_tell_neither_order_nor_number() -> None:
    chance, taken = random.Random(5), set[int]()
    for _ in range(500):
        taken.add(free_index(size=LIST_SIZE, taken=taken.__contains__, draw=chance.randrange))
    assert len(taken) == 500
    drawn = [free_index(size=LIST_SIZE, taken=taken.__contains__, draw=chance.randrange) for _ in range(400)]
    assert sum(first < second for first, second in itertools.pairwise(drawn)) in range(150, 250)
    assert min(drawn) < LIST_SIZE // 20
    assert max(drawn) > LIST_SIZE - LIST_SIZE // 20


def test_the_last_free_entries_are_found_and_a_full_list_is_said() -> None:
    chance = random.Random(6)
    half = set(range(0, 64, 2))
    assert free_index(size=64, taken=half.__contains__, draw=chance.randrange) % 2 == 1
    with pytest.raises(ConsentInvalid) as caught:
        free_index(size=64, taken=lambda _: True, draw=chance.randrange)
    assert caught.value.code == "status_list_full"


@given(seed=st.integers(0, 10_000))
def test_a_new_list_looks_used(seed: int) -> None:
    decoys = first_decoys(size=LIST_SIZE, draw=random.Random(seed).randrange)
    assert 20 <= len(decoys) <= 255
    assert all(0 <= index < LIST_SIZE for index in decoys)
    assert Status.VALID not in decoys.values()


def test_changes_have_company_and_not_always_as_much() -> None:
    chance = random.Random(7)
    assert {companions(draw=chance.randrange) for _ in range(100)} == {0, 1, 2, 3}


def test_a_list_is_stale_after_its_own_end_even_within_its_ttl() -> None:
    claims: dict[str, Json] = {
        "sub": URI,
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 5,
        "ttl": 3600,
        "status_list": {"bits": 2, "lst": TWO_BITS[1]},
    }
    listed = read_list(KEY.sign(claims, typ=STATUS_LIST_TYPE), KEYS, uri=URI)
    assert not listed.stale_at(NOW + 4 * SECOND)
    assert listed.stale_at(NOW + timedelta(seconds=5))
