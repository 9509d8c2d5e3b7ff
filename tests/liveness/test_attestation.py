"""A statement about one recording says nothing about another, and whatever is sent as one gives an answer."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import warnings
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from liveness.attest_apple import AAGUID
from liveness.attest_software import SoftwareTestKey, sign_with_test_key
from liveness.attestation import (
    MAX_STATEMENT,
    Attestation,
    AttestationCode,
    AttestationMisconfigured,
    AttestationVerifier,
    Attested,
    Environment,
    KnownKey,
    NotAttested,
    Provider,
    attest,
    attestation_json,
    attestation_of,
    binding,
    vouched,
)
from liveness.policy import SIMULATED, STRICT, Assurance, LivenessPolicy
from tests.liveness.attestation_world import CAPTURE, HASH, NOW, Phone, apple, b64url, google, point_of, token, verdict

TEST_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def test_key() -> SoftwareTestKey:
    return SoftwareTestKey(TEST_KEY.public_key().public_bytes_raw())


test_key.__test__ = False  # type: ignore[attr-defined]
PHONE = Phone()
KNOWN = KnownKey(key_id=PHONE.key_id, public_key=point_of(PHONE.key), counter=0, environment=Environment.PRODUCTION)
VERIFIERS: dict[Provider, AttestationVerifier] = {each.provider: each for each in (apple(), google(), test_key())}


def asked(provider: str, statement: bytes, policy: LivenessPolicy = STRICT, **more: Any) -> Attestation:
    given = {"verifiers": VERIFIERS, "challenge_hash": HASH, "known": KNOWN} | more
    return attest(provider=provider, statement=statement, policy=policy, now=NOW, **given)


# --- what is bound ---------------------------------------------------------------------------------------------------


def test_the_binding_is_the_documented_hash() -> None:
    """So that an app in another language can be written from the documents."""
    by_hand = hashlib.sha256(
        b"mien capture attestation v1\x00" + b"ab" * 16 + CAPTURE + hashlib.sha256(b"I agree.").digest()
    ).digest()
    assert binding(nonce="ab" * 16, capture_sha256=CAPTURE, consent_text="I agree.") == by_hand


def test_every_part_of_the_binding_counts() -> None:
    bindings = {
        binding(nonce="n1", capture_sha256=CAPTURE),
        binding(nonce="n2", capture_sha256=CAPTURE),
        binding(nonce="n1", capture_sha256=hashlib.sha256(b"another").digest()),
        binding(nonce="n1", capture_sha256=CAPTURE, consent_text="I agree."),
    }
    assert len(bindings) == 4
    with pytest.raises(ValueError, match="32 bytes"):
        binding(nonce="n1", capture_sha256=b"short")


# --- who is heard ----------------------------------------------------------------------------------------------------


def test_each_provider_vouches_for_the_recording_it_was_asked_about() -> None:
    phone = Phone()
    for provider, statement in (
        (Provider.APPLE, phone.attestation()),
        (Provider.GOOGLE, token(verdict())),
    ):
        found = asked(provider, statement)
        assert isinstance(found, Attested)
        assert (found.provider, found.assurance) == (provider, Assurance.ATTESTED)
        assert vouched(found)


@pytest.mark.parametrize("name", ["", "apple", "Apple_App_Attest", "nobody", "\x00", "software_test_key "])
def test_a_provider_that_nobody_knows_vouches_for_nothing(name: str) -> None:
    found = asked(name, token(verdict()))
    assert found == NotAttested(provider=None, code=AttestationCode.PROVIDER_NOT_CONFIGURED)


def test_a_provider_that_is_not_set_up_vouches_for_nothing() -> None:
    found = asked(Provider.GOOGLE, token(verdict()), verifiers={})
    assert found == NotAttested(provider=Provider.GOOGLE, code=AttestationCode.PROVIDER_NOT_CONFIGURED)


def test_a_statement_of_any_length_beyond_the_bound_is_not_looked_at() -> None:
    most = int(MAX_STATEMENT.value)
    assert asked(Provider.GOOGLE, bytes(most)).code != AttestationCode.STATEMENT_TOO_LARGE  # type: ignore[union-attr]
    found = asked(Provider.GOOGLE, bytes(most + 1))
    assert isinstance(found, NotAttested)
    assert found.code is AttestationCode.STATEMENT_TOO_LARGE


# --- the test key ----------------------------------------------------------------------------------------------------


def test_a_test_key_is_heard_under_the_simulated_policy_only_and_is_never_worth_more() -> None:
    statement = sign_with_test_key(TEST_KEY, HASH)
    found = asked(Provider.SOFTWARE, statement, SIMULATED)
    assert isinstance(found, Attested)
    assert found.assurance is Assurance.SIMULATED
    assert not vouched(found)
    assert attestation_json(found)["provider"] == "software_test_key"
    refused = asked(Provider.SOFTWARE, statement, STRICT)
    assert refused == NotAttested(provider=Provider.SOFTWARE, code=AttestationCode.TEST_NOT_ALLOWED)


def test_a_test_key_vouches_for_one_recording_too() -> None:
    other = binding(nonce="other", capture_sha256=CAPTURE)
    for statement in (sign_with_test_key(TEST_KEY, other), bytes(64), b"", TEST_KEY.sign(HASH)):
        found = asked(Provider.SOFTWARE, statement, SIMULATED)
        assert found == NotAttested(provider=Provider.SOFTWARE, code=AttestationCode.SIGNATURE_INVALID)


def test_whoever_sets_up_a_test_key_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "mien.attestation"):
        test_key()
    assert "proves no device" in caplog.text
    with pytest.raises(AttestationMisconfigured):
        SoftwareTestKey(b"short")


def test_a_developers_build_counts_like_a_test_key() -> None:
    verifiers: dict[Provider, AttestationVerifier] = {Provider.APPLE: apple(environment=Environment.DEVELOPMENT)}
    statement = Phone().attestation(aaguid=AAGUID[Environment.DEVELOPMENT])
    refused = asked(Provider.APPLE, statement, STRICT, verifiers=verifiers)
    assert refused == NotAttested(provider=Provider.APPLE, code=AttestationCode.TEST_NOT_ALLOWED)
    found = asked(Provider.APPLE, statement, SIMULATED, verifiers=verifiers)
    assert isinstance(found, Attested)
    assert not vouched(found)


# --- the record ------------------------------------------------------------------------------------------------------


def test_what_is_written_down_reads_back_without_key_or_statement() -> None:
    phone = Phone()
    found = asked(Provider.APPLE, phone.attestation())
    assert isinstance(found, Attested)
    written = attestation_json(found)
    assert phone.key_id.hex() not in str(written)
    again = attestation_of(written)
    assert isinstance(again, Attested)
    assert (again.provider, again.environment, again.challenge_hash) == (found.provider, found.environment, HASH)
    assert vouched(again)
    for code in AttestationCode:
        refused = NotAttested(provider=Provider.GOOGLE, code=code)
        assert attestation_of(attestation_json(refused)) == refused
        assert not vouched(refused)
    assert not vouched(None)


@pytest.mark.parametrize(
    "damaged",
    [{}, {"outcome": "attested"}, {"outcome": "attested", "provider": "nobody", "environment": "production"}],
)
def test_a_damaged_record_never_reads_as_attested(damaged: dict[str, str | None]) -> None:
    with pytest.raises(ValueError, match="is not a valid"):
        attestation_of(damaged)


# --- anything ---------------------------------------------------------------------------------------------------------


def plain(statement: bytes, provider: Provider) -> Attestation:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a parser may say that a certificate is odd; that is no answer and no fault
        return asked(provider, statement, SIMULATED)


@settings(deadline=None)
@given(st.binary(max_size=600), st.sampled_from(Provider))
def test_any_bytes_give_a_refusal_and_nothing_else(statement: bytes, provider: Provider) -> None:
    assert isinstance(plain(statement, provider), NotAttested)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=90) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(
    st.sampled_from([("fmt", "attStmt", "authData"), ("signature", "authenticatorData")]).flatmap(
        lambda names: st.fixed_dictionaries(dict.fromkeys(names, _VALUES))
    )
)
def test_statements_of_the_right_members_with_any_values_are_refused(content: dict[str, Any]) -> None:
    assert isinstance(plain(cbor2.dumps(content), Provider.APPLE), NotAttested)


@settings(deadline=None)
@given(_VALUES)
def test_any_json_that_google_could_sign_is_refused(content: object) -> None:
    try:
        json.dumps(content)
    except TypeError:
        return
    assert isinstance(plain(token(content), Provider.GOOGLE), NotAttested)


GOOD = {Provider.APPLE: Phone().attestation(), Provider.GOOGLE: token(verdict())}
ASSERTED = PHONE.assertion()


@settings(deadline=None)
@given(st.data())
def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    """Of all that is signed or sealed: the receipt inside an attestation object is neither."""
    provider = data.draw(st.sampled_from([Provider.APPLE, Provider.GOOGLE, None]))
    if provider is Provider.GOOGLE:
        parts = [base64.urlsafe_b64decode(part + b"==") for part in GOOD[provider].split(b".")]
        number = data.draw(st.integers(0, len(parts) - 1))
        parts[number] = flipped(parts[number], data)
        changed = ".".join(b64url(part) for part in parts).encode()
        assert isinstance(plain(changed, provider), NotAttested)
    else:
        good = ASSERTED if provider is None else GOOD[provider]
        changed = flipped(good, data)
        found = plain(changed, Provider.APPLE)
        assert isinstance(found, NotAttested) or signed_parts(changed) == signed_parts(good)


def signed_parts(statement: bytes) -> tuple[object, ...]:
    """Of an attestation object: what certificates and authenticator data say, with the signatures."""
    content = cbor2.loads(statement)
    certificates = [x509.load_der_x509_certificate(each) for each in content["attStmt"]["x5c"]]
    return (*((each.tbs_certificate_bytes, each.signature) for each in certificates), content["authData"])


def flipped(content: bytes, data: st.DataObject) -> bytes:
    where, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
    return content[:where] + bytes([content[where] ^ 1 << bit]) + content[where + 1 :]


@settings(deadline=None)
@given(st.data())
def test_what_ends_early_or_goes_on_is_refused(data: st.DataObject) -> None:
    good = data.draw(st.sampled_from([GOOD[Provider.APPLE], ASSERTED]))
    cut = good[: data.draw(st.integers(0, len(good) - 1))]
    longer = good + data.draw(st.binary(min_size=1, max_size=8))
    for changed in (cut, longer):
        found = plain(changed, Provider.APPLE)
        assert isinstance(found, NotAttested)
        assert found.code is AttestationCode.STATEMENT_UNREADABLE
