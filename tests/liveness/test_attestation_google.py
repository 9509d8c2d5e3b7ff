"""Play Integrity: Google's answer about this request holds, and with any one thing changed it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwe, jws
from joserfc.jwk import OctKey

from liveness.attest_google import CLOCK_AHEAD, MAX_AGE, PlayIntegrity
from liveness.attestation import (
    AttestationCode,
    AttestationMisconfigured,
    Attested,
    Environment,
    NotAttested,
    binding,
)
from tests.liveness.attestation_world import AES_KEY, CAPTURE, HASH, NOW, SIGNER, b64url, google, token, verdict

VERIFIER = google()


def code(content: object, verifier: PlayIntegrity = VERIFIER, **sealed: Any) -> AttestationCode:
    statement = content if isinstance(content, bytes) else token(content, **sealed)
    found = verifier.verify(statement, challenge_hash=HASH, now=NOW, known=None)
    assert isinstance(found, NotAttested), "the statement was taken"
    return found.code


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    content = verdict()
    change(content)
    return content


def at(age_s: float) -> dict[str, Any]:
    stamp = str(round((NOW.timestamp() - age_s) * 1000))
    return changed(lambda c: c["requestDetails"].update(timestampMillis=stamp))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: None,
        lambda c: c["requestDetails"].update(nonce=b64url(HASH) + "="),  # padded, as some of its libraries write it
        lambda c: c["requestDetails"].update(requestHash=c["requestDetails"].pop("nonce")),
        lambda c: c["requestDetails"].update(timestampMillis=int(c["requestDetails"]["timestampMillis"])),
        lambda c: c["deviceIntegrity"]["deviceRecognitionVerdict"].append("MEETS_STRONG_INTEGRITY"),
        lambda c: c.update(testingDetails={"isTestingResponse": False}),
        lambda c: c.update(environmentDetails={"playProtectVerdict": "NO_ISSUES"}),
    ],
)
def test_a_real_device_with_our_app_is_attested(change: Callable[[dict[str, Any]], object]) -> None:
    found = VERIFIER.verify(token(changed(change)), challenge_hash=HASH, now=NOW, known=None)
    assert found == Attested(provider=VERIFIER.provider, environment=Environment.PRODUCTION, challenge_hash=HASH)


_C = AttestationCode
_OTHERS = [
    binding(nonce="60" * 16, capture_sha256=CAPTURE),
    binding(nonce="5f" * 16, capture_sha256=bytes(32)),
    binding(nonce="5f" * 16, capture_sha256=CAPTURE, consent_text="I agree to everything."),
    bytes(40),  # a plugin is known to have sent these instead of what it was given
]


@pytest.mark.parametrize("other", _OTHERS)
@pytest.mark.parametrize("member", ["nonce", "requestHash"])
def test_an_answer_about_another_request_is_refused(other: bytes, member: str) -> None:
    content = changed(lambda c: c["requestDetails"].update({member: b64url(other)}))
    assert code(content) is AttestationCode.WRONG_BINDING


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda c: c["requestDetails"].pop("nonce"), _C.WRONG_BINDING),
        (lambda c: c["requestDetails"].update(nonce=7), _C.WRONG_BINDING),
        (lambda c: c["requestDetails"].update(nonce="\ud800"), _C.WRONG_BINDING),
        (lambda c: c["requestDetails"].update(requestPackageName="example.evil"), _C.WRONG_APP),
        (lambda c: c["requestDetails"].pop("requestPackageName"), _C.WRONG_APP),
        (lambda c: c["requestDetails"].pop("timestampMillis"), _C.STATEMENT_UNREADABLE),
        (lambda c: c["requestDetails"].update(timestampMillis="soon"), _C.STATEMENT_UNREADABLE),
        (lambda c: c["requestDetails"].update(timestampMillis="9" * 400), _C.STATEMENT_UNREADABLE),
        (lambda c: c["requestDetails"].update(timestampMillis=True), _C.STATEMENT_UNREADABLE),
        (lambda c: c.pop("requestDetails"), _C.STATEMENT_UNREADABLE),
        (lambda c: c.update(testingDetails={"isTestingResponse": True}), _C.TEST_NOT_ALLOWED),
        (lambda c: c.update(testingDetails={"isTestingResponse": "false"}), _C.TEST_NOT_ALLOWED),
        (lambda c: c["appIntegrity"].update(packageName="example.evil"), _C.WRONG_APP),
        (lambda c: c["appIntegrity"].pop("packageName"), _C.WRONG_APP),
        (lambda c: c["appIntegrity"].update(certificateSha256Digest=[b64url(bytes(32))]), _C.WRONG_APP),
        (lambda c: c["appIntegrity"]["certificateSha256Digest"].append(b64url(bytes(32))), _C.WRONG_APP),
        (lambda c: c["appIntegrity"].update(certificateSha256Digest=[]), _C.WRONG_APP),
        (lambda c: c["appIntegrity"].pop("certificateSha256Digest"), _C.STATEMENT_UNREADABLE),
        (lambda c: c["appIntegrity"].update(appRecognitionVerdict="UNRECOGNIZED_VERSION"), _C.APP_NOT_RECOGNISED),
        (lambda c: c.update(appIntegrity={"appRecognitionVerdict": "UNEVALUATED"}), _C.APP_NOT_RECOGNISED),
        (lambda c: c.pop("appIntegrity"), _C.STATEMENT_UNREADABLE),
        (lambda c: c.pop("deviceIntegrity"), _C.DEVICE_NOT_TRUSTED),
        (lambda c: c.update(deviceIntegrity={}), _C.DEVICE_NOT_TRUSTED),
        (lambda c: c["deviceIntegrity"].update(deviceRecognitionVerdict=[]), _C.DEVICE_NOT_TRUSTED),
        (lambda c: c["deviceIntegrity"].update(deviceRecognitionVerdict=["MEETS_BASIC_INTEGRITY"]),
         _C.DEVICE_NOT_TRUSTED),
        (lambda c: c["deviceIntegrity"].update(deviceRecognitionVerdict=["MEETS_VIRTUAL_INTEGRITY"]),
         _C.DEVICE_NOT_TRUSTED),
        (lambda c: c["deviceIntegrity"].update(deviceRecognitionVerdict="MEETS_DEVICE_INTEGRITY"),
         _C.STATEMENT_UNREADABLE),
    ],
)  # fmt: skip
def test_an_answer_with_one_thing_changed_is_refused(
    change: Callable[[dict[str, Any]], object], wanted: AttestationCode
) -> None:
    assert code(changed(change)) is wanted


def test_another_request_is_told_before_anything_else_is_looked_at() -> None:
    content = changed(lambda c: c["requestDetails"].update(nonce=b64url(bytes(32)), requestPackageName="example.evil"))
    del content["appIntegrity"], content["deviceIntegrity"]
    assert code(content) is AttestationCode.WRONG_BINDING


def test_an_answer_holds_for_the_time_in_which_it_can_have_been_made() -> None:
    oldest, youngest = MAX_AGE.value, -CLOCK_AHEAD.value
    for age in (oldest, 0.0, youngest):
        found = VERIFIER.verify(token(at(age)), challenge_hash=HASH, now=NOW, known=None)
        assert isinstance(found, Attested), age
    assert code(at(oldest + 0.001)) is AttestationCode.TOO_OLD
    assert code(at(youngest - 0.001)) is AttestationCode.FROM_THE_FUTURE
    assert code(at(timedelta(days=400).total_seconds())) is AttestationCode.TOO_OLD


def test_a_strong_device_may_be_asked_for() -> None:
    strict = google(strong=True)
    assert code(verdict(), strict) is AttestationCode.DEVICE_NOT_TRUSTED
    content = changed(lambda c: c["deviceIntegrity"]["deviceRecognitionVerdict"].append("MEETS_STRONG_INTEGRITY"))
    assert isinstance(strict.verify(token(content), challenge_hash=HASH, now=NOW, known=None), Attested)


def test_only_googles_key_and_ours_open_a_token() -> None:
    assert code(verdict(), aes_key=bytes(32)) is AttestationCode.SIGNATURE_INVALID
    assert code(verdict(), key=ec.generate_private_key(ec.SECP256R1())) is AttestationCode.SIGNATURE_INVALID


def test_no_weaker_way_of_sealing_or_signing_is_taken() -> None:
    key = OctKey.import_key(AES_KEY)
    for algorithms in (("dir", "A256GCM"), ("A256GCMKW", "A256GCM")):
        assert code(verdict(), algorithms=algorithms) is AttestationCode.SIGNATURE_INVALID
    payload = json.dumps(verdict()).encode()
    inner = [
        b64url(b'{"alg":"none"}') + "." + b64url(payload) + ".",
        jws.serialize_compact({"alg": "HS256"}, payload, key),
    ]
    for each in inner:
        sealed = jwe.encrypt_compact({"alg": "A256KW", "enc": "A256GCM"}, each.encode(), key)
        assert code(sealed.encode()) is AttestationCode.SIGNATURE_INVALID
    # signed by Google, but never sealed with our key
    plain = jws.serialize_compact({"alg": "HS256"}, payload, key)
    assert code(plain.encode()) is AttestationCode.SIGNATURE_INVALID


@pytest.mark.parametrize("content", [None, [], "text", 7, {}])
def test_what_is_no_verdict_is_unreadable(content: object) -> None:
    assert code(content) is AttestationCode.STATEMENT_UNREADABLE


@pytest.mark.parametrize(
    "wrong",
    [
        {"package_names": ()},
        {"package_names": ("",)},
        {"certificate_sha256": ()},
        {"certificate_sha256": (SIGNER[:31],)},
        {"decryption_key": AES_KEY[:16]},
        {"verification_key": b"no key"},
        {
            "verification_key": ec.generate_private_key(ec.SECP384R1())
            .public_key()
            .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        },
    ],
)
def test_a_configuration_that_cannot_be_used_is_said_at_once_and_shows_no_key(wrong: dict[str, Any]) -> None:
    with pytest.raises(AttestationMisconfigured) as caught:
        google(**wrong)
    assert AES_KEY.hex() not in str(caught.value)
    assert repr(AES_KEY) not in repr(caught.value)
