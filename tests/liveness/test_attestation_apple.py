"""App Attest: a phone's statement holds, and with any one thing changed it does not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import cbor2
import pytest

from liveness.attest_apple import AAGUID, AppAttest
from liveness.attestation import (
    AttestationCode,
    AttestationMisconfigured,
    Attested,
    Environment,
    KnownKey,
    NotAttested,
    binding,
)
from tests.liveness.attestation_world import (
    APP,
    CAPTURE,
    HASH,
    MIDDLE,
    NOW,
    ROOT,
    Authority,
    Phone,
    apple,
    point_of,
)

VERIFIER = apple()
OTHER_RECORDING = binding(nonce="5f" * 16, capture_sha256=bytes(32))
OTHER_NONCE = binding(nonce="60" * 16, capture_sha256=CAPTURE)
OTHER_TEXT = binding(nonce="5f" * 16, capture_sha256=CAPTURE, consent_text="I agree to everything.")
OTHERS = [OTHER_RECORDING, OTHER_NONCE, OTHER_TEXT]


def code(
    statement: bytes, *, known: KnownKey | None = None, verifier: AppAttest = VERIFIER, now: Any = NOW
) -> AttestationCode:
    found = verifier.verify(statement, challenge_hash=HASH, now=now, known=known)
    assert isinstance(found, NotAttested), "the statement was taken"
    return found.code


def registered(phone: Phone, **changed: Any) -> KnownKey:
    found = VERIFIER.verify(phone.attestation(), challenge_hash=HASH, now=NOW, known=None)
    assert isinstance(found, Attested)
    assert found.key is not None
    key = found.key
    values = {name: getattr(key, name) for name in ("key_id", "public_key", "counter", "environment")}
    return KnownKey(**(values | changed))


# --- the first recording of a device ---------------------------------------------------------------------------------


def test_a_phone_that_apple_certified_is_attested_and_its_key_is_kept() -> None:
    phone = Phone()
    found = VERIFIER.verify(phone.attestation(), challenge_hash=HASH, now=NOW, known=None)
    assert isinstance(found, Attested)
    assert found.challenge_hash == HASH
    assert found.key == KnownKey(
        key_id=phone.key_id, public_key=point_of(phone.key), counter=0, environment=Environment.PRODUCTION
    )
    assert phone.key_id.hex() not in repr(found)


def test_one_of_several_apps_may_vouch() -> None:
    verifier = apple(app_ids=("TEAM123456.example.other", APP))
    assert isinstance(verifier.verify(Phone().attestation(), challenge_hash=HASH, now=NOW, known=None), Attested)


_C = AttestationCode


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (lambda: Phone().attestation(OTHER_RECORDING), _C.WRONG_BINDING),
        (lambda: Phone().attestation(OTHER_NONCE), _C.WRONG_BINDING),
        (lambda: Phone().attestation(OTHER_TEXT), _C.WRONG_BINDING),
        (lambda: Phone().attestation(bytes(40)), _C.WRONG_BINDING),
        (lambda: Phone().attestation(nonce=lambda _: None), _C.WRONG_BINDING),
        (lambda: Phone().attestation(nonce=lambda right: right + b"\x00"), _C.WRONG_BINDING),
        (lambda: Phone(app="TEAM123456.example.evil").attestation(), _C.WRONG_APP),
        (lambda: Phone().attestation(counter=1), _C.COUNTER_NOT_RISING),
        (lambda: Phone().attestation(aaguid=AAGUID[Environment.DEVELOPMENT]), _C.WRONG_ENVIRONMENT),
        (lambda: Phone().attestation(aaguid=bytes(16)), _C.WRONG_ENVIRONMENT),
        (lambda: Phone().attestation(key_id=bytes(32)), _C.KEY_MISMATCH),
        (lambda: Phone().attestation(key_id=bytes(31)), _C.STATEMENT_UNREADABLE),
        (lambda: Phone().attestation(until=NOW - timedelta(seconds=1)), _C.CHAIN_UNTRUSTED),
        (lambda: Phone().attestation(ca=True), _C.CHAIN_UNTRUSTED),
        (lambda: Phone().attestation(critical=True), _C.CHAIN_UNTRUSTED),
        (lambda: Phone().attestation(chain=[]), _C.CHAIN_UNTRUSTED),
        (lambda: Phone().attestation(chain=[Authority("Middle")]), _C.CHAIN_UNTRUSTED),
        (lambda: Phone().attestation(chain=[MIDDLE] * 4), _C.STATEMENT_UNREADABLE),
    ],
)  # fmt: skip
def test_an_attestation_with_one_thing_changed_is_refused(made: Callable[[], bytes], wanted: AttestationCode) -> None:
    assert code(made()) is wanted


def test_a_chain_to_another_root_is_refused_also_when_that_root_is_sent_along() -> None:
    root = Authority("Root")  # of the same name
    middle = root.below("Middle")
    for chain in ([middle], [middle, root]):
        assert code(Phone().attestation(issuer=middle, chain=chain)) is AttestationCode.CHAIN_UNTRUSTED


def test_what_stands_between_must_be_an_authority_of_today() -> None:
    for middle in (
        ROOT.below("Middle", ca=False),
        ROOT.below("Middle", certify=False),
        ROOT.below("Middle", until=NOW - timedelta(days=1)),
    ):
        assert code(Phone().attestation(issuer=middle, chain=[middle])) is AttestationCode.CHAIN_UNTRUSTED


def test_a_certified_device_cannot_certify_others() -> None:
    """Whoever has one real phone would else make statements for any number of made-up ones."""
    phone = Phone()
    real = VERIFIER.verify(phone.attestation(), challenge_hash=HASH, now=NOW, known=None)
    assert isinstance(real, Attested)
    own = MIDDLE.below("device key", ca=False)
    assert code(Phone().attestation(issuer=own, chain=[own, MIDDLE])) is AttestationCode.CHAIN_UNTRUSTED


def test_a_chain_is_held_against_the_given_time() -> None:
    statement = Phone().attestation(until=NOW + timedelta(days=3))
    after = NOW + timedelta(days=3, seconds=1)
    assert code(statement, now=after) is AttestationCode.CHAIN_UNTRUSTED
    found = VERIFIER.verify(statement, challenge_hash=HASH, now=NOW + timedelta(days=3), known=None)
    assert isinstance(found, Attested)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(fmt="packed"),
        lambda content: content.update(fmt=7),
        lambda content: content.update(attStmt=[]),
        lambda content: content.update(attStmt={}),
        lambda content: content["attStmt"].update(more=1),
        lambda content: content["attStmt"].update(receipt="text"),
        lambda content: content.update(more=1),
        lambda content: content.pop("fmt"),
        lambda content: content.update(authData="text"),
        lambda content: content.update(authData=content["authData"][:80]),
        lambda content: content["attStmt"].update(x5c=[]),
        lambda content: content["attStmt"].update(x5c=["text"]),
        lambda content: content["attStmt"].update(x5c=[b"no certificate"]),
        lambda content: content["attStmt"].update(x5c=content["attStmt"]["x5c"][0]),
    ],
)
def test_what_is_no_attestation_object_is_unreadable(change: Callable[[dict[str, Any]], object]) -> None:
    assert code(Phone().attestation(change=change)) is AttestationCode.STATEMENT_UNREADABLE


def test_no_tag_of_cbor_is_taken() -> None:
    """Tags make the reader build numbers, patterns and shared references; none of them belongs here."""
    for tag in range(70_000):
        statement = b"\xa1\x63fmt" + b"\xda" + tag.to_bytes(4) + b"\x60"
        assert code(statement) is AttestationCode.STATEMENT_UNREADABLE


@pytest.mark.parametrize(
    "statement",
    [
        b"",
        b"\xa0",
        b"\xbf\x63fmt\x60\xff",  # of indefinite length
        b"\xa2\x63fmt\x60\x63fmt\x60",  # a member twice
        b"\x81" * 5_000 + b"\x00",
        b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",  # says to be longer than any memory
        b"\xba\xff\xff\xff\xff",
    ],
)  # fmt: skip
def test_cbor_that_would_cost_is_unreadable(statement: bytes) -> None:
    assert code(statement) is AttestationCode.STATEMENT_UNREADABLE


# --- later recordings ------------------------------------------------------------------------------------------------


def test_a_registered_phone_signs_each_recording_and_its_counter_rises() -> None:
    phone = Phone()
    known = registered(phone)
    for wanted in (1, 2, 3):
        found = VERIFIER.verify(phone.assertion(), challenge_hash=HASH, now=NOW, known=known)
        assert isinstance(found, Attested)
        assert found.key is not None
        assert found.key.counter == wanted
        known = found.key


@pytest.mark.parametrize("counter", [0, 4, 5])
def test_a_counter_that_does_not_rise_is_refused(counter: int) -> None:
    phone = Phone()
    statement = phone.assertion(counter=counter)
    assert code(statement, known=registered(phone, counter=5)) is AttestationCode.COUNTER_NOT_RISING


@pytest.mark.parametrize("other", OTHERS)
def test_an_assertion_about_something_else_is_refused(other: bytes) -> None:
    phone = Phone()
    assert code(phone.assertion(other), known=registered(phone)) is AttestationCode.SIGNATURE_INVALID


def test_an_assertion_of_another_phone_app_or_environment_is_refused() -> None:
    phone = Phone()
    assert code(Phone().assertion(), known=registered(phone)) is AttestationCode.SIGNATURE_INVALID
    assert code(phone.assertion()) is AttestationCode.KEY_UNKNOWN
    moved = Phone(key=phone.key, app="TEAM123456.example.evil")
    assert code(moved.assertion(), known=registered(phone)) is AttestationCode.WRONG_APP
    built = registered(phone, environment=Environment.DEVELOPMENT)
    assert code(phone.assertion(), known=built) is AttestationCode.WRONG_ENVIRONMENT


def test_an_assertion_with_more_or_other_members_is_unreadable() -> None:
    phone = Phone()
    known = registered(phone)
    assert code(phone.assertion(more=b"\x00"), known=known) is AttestationCode.STATEMENT_UNREADABLE
    for changed in ({"signature": "text"}, {"authenticatorData": 1}, {"fmt": "x"}):
        content = cbor2.loads(phone.assertion()) | changed
        assert code(cbor2.dumps(content), known=known) is AttestationCode.STATEMENT_UNREADABLE


# --- configuration ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [{"app_ids": ()}, {"app_ids": ("",)}, {"root": b"no certificate"}, {"environment": Environment.TEST}],
)
def test_a_configuration_that_cannot_be_used_is_said_at_once(changed: dict[str, Any]) -> None:
    with pytest.raises(AttestationMisconfigured):
        apple(**changed)
