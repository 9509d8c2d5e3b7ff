"""Google Play Integrity: a token in which Google says which app, on what device, asked for it over our binding.

Classic tokens, opened here and not at Google: a JWE (RFC 7516; ``A256KW``, ``A256GCM``) around a JWS (RFC 7515; ``ES256``),
with the two keys that the Play Console gives out. The app hands the binding in base64url as ``nonce``. Steps and members
follow Google's "Integrity verdicts", which asks to look at ``requestDetails`` before anything else: a verdict about another
request says nothing about this one.
"""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from joserfc import jwe, jws
from joserfc.jwk import ECKey, OctKey

from liveness.attestation import (
    Attestation,
    AttestationCode,
    AttestationMisconfigured,
    Attested,
    Environment,
    KnownKey,
    NotAttested,
    Provider,
    Refused,
)
from liveness.policy import Limit

MAX_AGE = Limit(
    180, "s", "design: asked for after the challenge was drawn, which lives 120 s, and a minute of clock difference"
)
CLOCK_AHEAD = Limit(60, "s", "design: Google's clock and ours differ by seconds; a minute forgives ours")

_KEY_WRAP, _CONTENT, _SIGNATURE = "A256KW", "A256GCM", "ES256"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleApps:
    """Which apps may vouch, and the keys of the Play Console ("manage and download my response encryption keys").

    package_names : of the apps. certificate_sha256 : 32 bytes each, of the certificates that sign them.
    decryption_key : AES, 32 bytes. verification_key : P-256 public key in DER (SubjectPublicKeyInfo).
    strong : wants a device whose keys lie in hardware and whose system got a security update within a year.
    """

    package_names: tuple[str, ...]
    certificate_sha256: tuple[bytes, ...]
    decryption_key: bytes = field(repr=False)
    verification_key: bytes
    strong: bool = False


class PlayIntegrity:
    """``AttestationVerifier`` of Play Integrity."""

    def __init__(self, apps: GoogleApps) -> None:
        """Raises: AttestationMisconfigured."""
        if not apps.package_names or not all(apps.package_names):
            raise AttestationMisconfigured("Play Integrity needs at least one package name")
        if not apps.certificate_sha256 or any(len(each) != 32 for each in apps.certificate_sha256):
            raise AttestationMisconfigured("Play Integrity needs the SHA-256 of at least one signing certificate")
        if len(apps.decryption_key) != 32:
            raise AttestationMisconfigured("Play Integrity's decryption key is not 32 bytes")
        try:
            public = load_der_public_key(apps.verification_key)
        except ValueError as error:
            raise AttestationMisconfigured("Play Integrity's verification key is not a public key in DER") from error
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
            raise AttestationMisconfigured("Play Integrity's verification key is not on P-256")
        self._packages = frozenset(apps.package_names)
        self._certificates = frozenset(_base64url(each) for each in apps.certificate_sha256)
        self._device = "MEETS_STRONG_INTEGRITY" if apps.strong else "MEETS_DEVICE_INTEGRITY"
        self._decryption, self._verification = OctKey.import_key(apps.decryption_key), ECKey.import_key(public)

    @property
    def provider(self) -> Provider:
        return Provider.GOOGLE

    def verify(self, statement: bytes, *, challenge_hash: bytes, now: datetime, known: KnownKey | None) -> Attestation:
        """See :class:`liveness.attestation.AttestationVerifier`.

        1. Sealed with our key and signed with Google's.
        2. About this request: the binding, then the package and the time.
        3. No answer that a tester chose in the Play Console.
        4. Our app, signed by us, as Google distributes it.
        5. A real device with its maker's system.
        """
        try:
            content = self._opened(statement)  # 1
            request = _object(content.get("requestDetails"))  # 2
            _check_binding(request, challenge_hash)
            if request.get("requestPackageName") not in self._packages:
                raise Refused(AttestationCode.WRONG_APP)
            _check_time(request.get("timestampMillis"), now)
            if _object(content.get("testingDetails", {})).get("isTestingResponse", False) is not False:  # 3
                raise Refused(AttestationCode.TEST_NOT_ALLOWED)
            self._check_app(_object(content.get("appIntegrity")))  # 4
            device = _object(
                content.get("deviceIntegrity", {})
            )  # 5; a device without any label comes as an empty object
            if self._device not in _texts(device.get("deviceRecognitionVerdict", [])):
                raise Refused(AttestationCode.DEVICE_NOT_TRUSTED)
        except Refused as refused:
            return NotAttested(provider=self.provider, code=refused.code)
        return Attested(provider=self.provider, environment=Environment.PRODUCTION, challenge_hash=challenge_hash)

    def _opened(self, statement: bytes) -> dict[str, Any]:
        try:
            sealed = jwe.decrypt_compact(statement, self._decryption, algorithms=[_KEY_WRAP, _CONTENT])
            signed = jws.deserialize_compact(sealed.plaintext or b"", self._verification, algorithms=[_SIGNATURE])
        except Exception as error:  # bytes of an attacker in a parser: whatever it raises, nobody vouched
            raise Refused(AttestationCode.SIGNATURE_INVALID) from error
        try:
            return _object(json.loads(signed.payload))
        except (ValueError, RecursionError) as error:
            raise Refused(AttestationCode.STATEMENT_UNREADABLE) from error

    def _check_app(self, app: dict[str, Any]) -> None:
        if app.get("appRecognitionVerdict") != "PLAY_RECOGNIZED":  # without it the other members are not there either
            raise Refused(AttestationCode.APP_NOT_RECOGNISED)
        signers = {each.rstrip("=") for each in _texts(app.get("certificateSha256Digest"))}
        if app.get("packageName") not in self._packages or not signers or not signers <= self._certificates:
            raise Refused(AttestationCode.WRONG_APP)


def _check_binding(request: dict[str, Any], challenge_hash: bytes) -> None:
    """``nonce`` of a classic request, ``requestHash`` of a standard one; whichever is there is the binding."""
    stated = [request[name] for name in ("nonce", "requestHash") if name in request]
    wanted = _base64url(challenge_hash).encode()
    if not stated or not all(
        isinstance(each, str) and hmac.compare_digest(each.rstrip("=").encode(errors="replace"), wanted)
        for each in stated
    ):
        raise Refused(AttestationCode.WRONG_BINDING)


def _check_time(stated: object, now: datetime) -> None:
    """``timestampMillis`` is a number, written as text in JSON."""
    text = str(stated) if isinstance(stated, str | int) and not isinstance(stated, bool) else ""
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise Refused(AttestationCode.STATEMENT_UNREADABLE)
    age_s = now.timestamp() - int(text) / 1000
    if age_s > MAX_AGE.value:
        raise Refused(AttestationCode.TOO_OLD)
    if age_s < -CLOCK_AHEAD.value:
        raise Refused(AttestationCode.FROM_THE_FUTURE)


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refused(AttestationCode.STATEMENT_UNREADABLE)
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Refused(AttestationCode.STATEMENT_UNREADABLE)
    return value


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
