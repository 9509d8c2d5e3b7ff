"""Who holds the key gets in; who has only read what its holder sent does not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.dpop import (
    CLOCKS_APART,
    KEPT_FOR,
    PROOF_LIFE,
    DpopCode,
    DpopProblem,
    DpopProof,
    key_problem,
    normal_address,
    token_hash,
    verify_proof,
)
from consent.keys import thumbprint_of
from tests.consent.given import NOW, SECOND, TICK
from tests.proofs import Holder

ADDRESS = "https://gate.example/access/v1/evaluation"
ALICE, MALLORY, OKP = Holder.p256(7), Holder.p256(8), Holder.ed25519()


def asked(proof: str, *tokens: str, **changes: Any) -> DpopProof | DpopProblem:
    values: dict[str, Any] = {"method": "POST", "address": ADDRESS, "now": NOW, "tokens": tokens} | changes
    return verify_proof(proof, **values)


def refused(proof: str, *tokens: str, **changes: Any) -> DpopCode:
    found = asked(proof, *tokens, **changes)
    assert isinstance(found, DpopProblem), found
    return found.code


def good(holder: Holder = ALICE, *tokens: str, **changes: Any) -> str:
    values: dict[str, Any] = {"address": ADDRESS, "at": NOW} | changes
    return holder.proof(*tokens, **values)


# --- published examples ----------------------------------------------------------------------------------------------

RFC9449_HEADER = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQy"
    "VVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
)
RFC9449_TOKEN_REQUEST = (  # figures 2 and 5
    f"{RFC9449_HEADER}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rv"
    "a2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
RFC9449_RESOURCE_REQUEST = (  # figure 13
    f"{RFC9449_HEADER}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9w"
    "cm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9."
    "2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
RFC9449_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
RFC9449_JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"  # section 6.1
RFC9449_ATH = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"  # figure 14


def test_the_proof_of_rfc_9449_section_5_holds_at_its_time() -> None:
    at = datetime.fromtimestamp(1562262616, tz=UTC)
    found = verify_proof(RFC9449_TOKEN_REQUEST, method="POST", address="https://server.example.com/token", now=at)
    assert found == DpopProof(jkt=RFC9449_JKT, jti="-BwC3ESc6acc2lTc", issued_at=at)


def test_the_proof_of_rfc_9449_section_7_holds_for_its_token_only() -> None:
    at = datetime.fromtimestamp(1562262618, tz=UTC)
    asked: dict[str, Any] = {"method": "GET", "address": "https://resource.example.org/protectedresource", "now": at}
    found = verify_proof(RFC9449_RESOURCE_REQUEST, **asked, tokens=[RFC9449_TOKEN])
    assert isinstance(found, DpopProof)
    assert found.jkt == RFC9449_JKT
    assert token_hash([RFC9449_TOKEN]) == RFC9449_ATH
    other = verify_proof(RFC9449_RESOURCE_REQUEST, **asked, tokens=[RFC9449_TOKEN + "x"])
    assert other == DpopProblem(DpopCode.DPOP_WRONG_TOKEN)


def test_thumbprints_are_those_of_rfc_7638_and_of_rfc_8037() -> None:
    rsa = {  # RFC 7638, 3.1
        "kty": "RSA",
        "e": "AQAB",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3ok"
        "njhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL"
        "5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    }
    assert thumbprint_of(rsa) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    okp = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}  # RFC 8037, A.3
    assert thumbprint_of(okp) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


# --- what holds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", [ALICE, OKP])
def test_its_holder_is_known_by_the_thumbprint(holder: Holder) -> None:
    found = asked(good(holder))
    assert isinstance(found, DpopProof)
    assert (found.jkt, found.jti, found.issued_at) == (holder.jkt, "jti-1", NOW)
    assert "jti-1" not in repr(found)


def test_several_tokens_are_named_each_once_in_order() -> None:
    proof = good(ALICE, "one", "two")
    for tokens in (("one", "two"), ("one", "two", "one")):
        assert isinstance(asked(proof, *tokens), DpopProof)
    for others in (["two", "one"], ["one"], ["one", "two", "three"], ["onetwo"]):
        assert refused(proof, *others) is DpopCode.DPOP_WRONG_TOKEN
    assert refused(good(), "one") is DpopCode.DPOP_WRONG_TOKEN, "a proof that names no token is for none"


@pytest.mark.parametrize(
    ("now", "holds"),
    [
        (NOW - CLOCKS_APART - TICK, False),
        (NOW - CLOCKS_APART, True),
        (NOW + PROOF_LIFE - TICK, True),
        (NOW + PROOF_LIFE, False),
    ],
)
def test_it_lives_for_a_minute_and_its_clock_may_be_ahead_a_little(now: datetime, holds: bool) -> None:
    found = asked(good(), now=now)
    assert isinstance(found, DpopProof) if holds else found == DpopProblem(DpopCode.DPOP_STALE)


def test_it_is_remembered_for_longer_than_it_is_taken() -> None:
    first, last = NOW - CLOCKS_APART, NOW + PROOF_LIFE - TICK
    assert last - first < KEPT_FOR


@pytest.mark.parametrize(("nonce", "code"), [("n-1", None), ("n-2", "use_dpop_nonce"), (None, "use_dpop_nonce")])
def test_a_nonce_that_was_given_must_come_back(nonce: str | None, code: str | None) -> None:
    proof = good(nonce=nonce) if nonce is not None else good()
    found = asked(proof, nonce="n-1")
    assert isinstance(found, DpopProof) if code is None else found == DpopProblem(DpopCode(code))
    assert isinstance(asked(proof), DpopProof), "nobody asked for one"


@pytest.mark.parametrize(
    ("htu", "same"),
    [
        ("HTTPS://GATE.example:443/access/v1/evaluation", True),
        ("https://gate.example/access/v1/%65valuation", True),
        ("https://gate.example/access/./v1/x/../evaluation", True),
        ("https://gate.example/access/v1/evaluations", False),
        ("https://gate.example/access/v1/evaluation/", False),
        ("https://gate.example:8443/access/v1/evaluation", False),
        ("http://gate.example/access/v1/evaluation", False),
        ("https://gate.example.evil.example/access/v1/evaluation", False),
        ("https://user@gate.example/access/v1/evaluation", False),
        ("https://gate.example/access/v1/evaluation?x=1", False),
        ("https://gate.example/access/v1/evaluation#x", False),
        ("https://gate.example/ACCESS/v1/evaluation", False),
        ("https://gate.example/access%2Fv1/evaluation", False),
        ("https://gate.example:x/access/v1/evaluation", False),
        ("/access/v1/evaluation", False),
        ("", False),
        ("https://gate.example/access/v1/evaluation\u00e9", False),
    ],
)
def test_addresses_are_compared_as_rfc_3986_does(htu: str, same: bool) -> None:
    found = asked(good(address=htu))
    assert isinstance(found, DpopProof) if same else found == DpopProblem(DpopCode.DPOP_WRONG_REQUEST)


def test_an_address_without_a_path_has_the_root() -> None:
    assert normal_address("http://[::1]:80") == "http://[::1]/"


@settings(max_examples=300, deadline=None)
@given(
    text=st.text(max_size=60) | st.from_regex(r"\Ahttps?://[a-zA-Z.]{1,9}(:[0-9]{1,6})?(/[a-z.%0-9A-F]{0,9}){0,4}\Z")
)
def test_comparing_addresses_never_fails_and_settles_at_once(text: str) -> None:
    once = normal_address(text)
    if once is not None:
        assert normal_address(once) == once


# --- what does not ---------------------------------------------------------------------------------------------------


def test_it_is_for_one_method() -> None:
    assert refused(good(), method="PUT") is DpopCode.DPOP_WRONG_REQUEST
    assert refused(good(method="post")) is DpopCode.DPOP_WRONG_REQUEST


@pytest.mark.parametrize(
    ("why", "header"),
    [
        ("another type", {"typ": "JWT"}),
        ("no type", {"typ": None}),
        ("alg none", {"alg": "none"}),
        ("a shared secret", {"alg": "HS256"}),
        ("alg of another kind of key", {"alg": "Ed25519"}),
        ("the older name of the algorithm", {"alg": "EdDSA"}),
        ("alg that nobody takes", {"alg": "RS256"}),
        ("a private key", {"jwk": ALICE.jwk | {"d": "AA"}}),
        ("an empty private key", {"jwk": ALICE.jwk | {"d": ""}}),
        ("a symmetric key", {"jwk": {"kty": "oct", "k": "AA"}}),
        ("a key for encryption", {"jwk": ALICE.jwk | {"use": "enc"}}),
        ("another curve", {"jwk": ALICE.jwk | {"crv": "P-384"}}),
        ("a point that is not on the curve", {"jwk": ALICE.jwk | {"y": ALICE.jwk["x"]}}),
        ("a coordinate cut short", {"jwk": ALICE.jwk | {"x": ALICE.jwk["x"][:-2]}}),
        ("a coordinate with padding", {"jwk": ALICE.jwk | {"x": ALICE.jwk["x"] + "="}}),
        ("another's key", {"jwk": MALLORY.jwk}),
        ("an Ed25519 key", {"jwk": OKP.jwk}),
        ("no key", {"jwk": None}),
        ("a key elsewhere", {"jwk": "https://keys.example/1"}),
        ("a critical extension", {"crit": ["exp"], "exp": 1}),
        ("an unencoded payload", {"b64": False, "crit": ["b64"]}),
        ("b64 without crit", {"b64": False}),
        ("a header beyond bounds", {"x": "x" * 3000}),
    ],
)
def test_a_header_that_is_not_one_of_a_proof(why: str, header: dict[str, Any]) -> None:
    claims = ALICE.claims(address=ADDRESS, at=NOW)
    assert refused(ALICE.sign(ALICE.header(**header), claims)) is DpopCode.DPOP_INVALID, why


def test_members_of_header_and_key_that_libraries_add_change_nothing() -> None:
    jwk = ALICE.jwk | {"use": "sig", "alg": "ES256", "kid": "1", "key_ops": ["verify"], "ext": True}
    proof = ALICE.sign(ALICE.header(jwk=jwk, kid="mine"), ALICE.claims(address=ADDRESS, at=NOW, extra={"a": [1]}))
    found = asked(proof)
    assert isinstance(found, DpopProof)
    assert found.jkt == ALICE.jkt


@pytest.mark.parametrize("missing", ["jti", "htm", "htu", "iat"])
def test_a_claim_that_is_missing_or_of_another_kind(missing: str) -> None:
    claims = ALICE.claims(address=ADDRESS, at=NOW)
    for changed in ({k: v for k, v in claims.items() if k != missing}, claims | {missing: [1]}, claims | {missing: ""}):
        found = refused(ALICE.sign(ALICE.header(), changed))
        assert found in (DpopCode.DPOP_INVALID, DpopCode.DPOP_WRONG_REQUEST)


@pytest.mark.parametrize(
    "claims", [b"[]", b"", b"\xff", b'{"jti":"a","jti":"b","htm":"POST","htu":"x","iat":1}', b'{"iat":1.5}']
)
def test_a_payload_that_is_no_plain_object(claims: bytes) -> None:
    assert refused(ALICE.sign(ALICE.header(), claims)) is DpopCode.DPOP_INVALID


def test_an_id_has_a_length() -> None:
    assert refused(good(jti="x" * 257)) is DpopCode.DPOP_INVALID
    assert refused(good(jti="x" * 9000)) is DpopCode.DPOP_INVALID


@settings(max_examples=300, deadline=None, print_blob=True)
@given(data=st.data(), holder=st.sampled_from([ALICE, OKP]))
def test_any_flipped_bit_is_refused_or_another_spelling_of_the_same(data: st.DataObject, holder: Holder) -> None:
    """ES256 signatures are no MACs: (r, -s) also verifies. Nothing that is signed may change, though."""
    proof = bytearray(good(holder, "token").encode())
    place = data.draw(st.integers(0, len(proof) - 1))
    proof[place] ^= 1 << data.draw(st.integers(0, 7))
    found = asked(proof.decode("latin-1"), "token")
    assert isinstance(found, DpopProblem)


@settings(max_examples=200, deadline=None, print_blob=True)
@given(text=st.text() | st.from_regex(r"\A[A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{0,40}){0,4}\Z"))
def test_any_text_is_refused(text: str) -> None:
    assert refused(text) is DpopCode.DPOP_INVALID


@settings(max_examples=100, deadline=None, print_blob=True)
@given(
    jti=st.text(min_size=1, max_size=200),
    tokens=st.lists(st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1), max_size=4),
    ahead=st.integers(-59, 5),
    seed=st.binary(min_size=32, max_size=32),
)
def test_what_a_holder_signs_holds(jti: str, tokens: list[str], ahead: int, seed: bytes) -> None:
    named, holder = list(dict.fromkeys(tokens)), Holder.ed25519(seed)
    proof = holder.proof(*named, address=ADDRESS, at=NOW + ahead * SECOND, jti=jti)
    if len(proof) > 8192:
        return
    found = asked(proof, *tokens)
    assert isinstance(found, DpopProof)
    assert (found.jkt, found.jti) == (holder.jkt, jti)


# --- whose key -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proof", "wanted", "code"),
    [
        (None, [], None),
        (None, [None, None], None),
        (None, [ALICE.jkt], DpopCode.DPOP_MISSING),
        ("alice", [None], None),
        ("alice", [ALICE.jkt, None], None),
        ("alice", [ALICE.jkt, ALICE.jkt], None),
        ("alice", [MALLORY.jkt], DpopCode.KEY_MISMATCH),
        ("alice", [ALICE.jkt, MALLORY.jkt], DpopCode.KEY_MISMATCH),
        ("broken", [], DpopCode.DPOP_INVALID),
        ("broken", [ALICE.jkt], DpopCode.DPOP_INVALID),
    ],
)
def test_every_key_that_is_wanted_must_be_the_one_that_was_shown(
    proof: str | None, wanted: list[str | None], code: DpopCode | None
) -> None:
    shown = {None: None, "alice": asked(good()), "broken": DpopProblem(DpopCode.DPOP_INVALID)}[proof]
    assert key_problem(shown, *wanted) is code


def test_a_proof_is_remembered_by_key_and_id() -> None:
    ids = set()
    for holder, jti in ((ALICE, "1"), (ALICE, "2"), (MALLORY, "1"), (ALICE, "1")):
        found = asked(good(holder, jti=jti))
        assert isinstance(found, DpopProof)
        ids.add(found.replay_id)
    assert len(ids) == 3
