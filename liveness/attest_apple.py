"""Apple App Attest: a key in the phone's secure enclave that Apple certifies once and that signs each recording after.

Two kinds of statements, told apart by their members, both CBOR (RFC 8949):

    attestation   a WebAuthn attestation object of format ``apple-appattest``. Apple certifies that the key was made by our app
                  on a real device. Sent with a device's first recording; the key is then kept for this person.
    assertion     a signature of that key, with a counter that must rise. Sent with every later recording.

In both, the app hands the binding to the system as ``clientDataHash``. The steps follow Apple's "Validating apps that connect
to your server". Not looked at: the receipt, from which Apple would estimate how many keys a device made. The root certificate
comes with the configuration: none is shipped, so that whoever runs the service chose whom it trusts.
"""

from __future__ import annotations

import hashlib
import hmac
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import verification

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

FORMAT = "apple-appattest"
NONCE_EXTENSION = x509.ObjectIdentifier("1.2.840.113635.100.8.2")
AAGUID = {
    Environment.PRODUCTION: b"appattest".ljust(16, b"\x00"),
    Environment.DEVELOPMENT: b"appattestdevelop",
}

# DER of SEQUENCE { [1] { OCTET STRING of 32 bytes } }, up to the bytes themselves
_NONCE_PREFIX = bytes.fromhex("3024a1220420")

# authenticator data (WebAuthn, 6.1): hash of the app id 32, flags 1, counter 4; an attestation goes on with aaguid 16,
# length of the credential id 2, the id, and the public key in COSE
_COUNTER, _AAGUID, _ID_LENGTH, _ID = slice(33, 37), slice(37, 53), slice(53, 55), slice(55, 87)
_ASSERTION_BYTES = 37
_KEY_ID_BYTES = 32

_MOST_CERTIFICATES = 4  # Apple sends two; a bound on how much is verified
_DEPTH = 4  # object, attStmt, x5c: three, and one to spare
_HANDLED = {  # extensions that may be marked critical, since they are judged: here, or by the chain's verification
    x509.BasicConstraints.oid,
    x509.KeyUsage.oid,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AppleApps:
    """Which apps may vouch. app_ids : ``<team id>.<bundle id>``. root : Apple's App Attest root certificate, PEM."""

    app_ids: tuple[str, ...]
    root: bytes
    environment: Environment = Environment.PRODUCTION


class AppAttest:
    """``AttestationVerifier`` of App Attest."""

    def __init__(self, apps: AppleApps) -> None:
        """Raises: AttestationMisconfigured."""
        if not apps.app_ids or not all(apps.app_ids):
            raise AttestationMisconfigured("App Attest needs at least one app id")
        if apps.environment not in AAGUID:
            raise AttestationMisconfigured("App Attest knows production and development")
        try:
            root = x509.load_pem_x509_certificate(apps.root)
        except ValueError as error:
            raise AttestationMisconfigured("App Attest's root is not a certificate in PEM") from error
        self._app_hashes = frozenset(hashlib.sha256(app.encode()).digest() for app in apps.app_ids)
        self._environment = apps.environment
        self._store = verification.Store([root])

    @property
    def provider(self) -> Provider:
        return Provider.APPLE

    def verify(self, statement: bytes, *, challenge_hash: bytes, now: datetime, known: KnownKey | None) -> Attestation:
        """See :class:`liveness.attestation.AttestationVerifier`. With ``known``, an assertion; without, an attestation."""
        try:
            content = _decoded(statement)
            if content.keys() == {"fmt", "attStmt", "authData"}:
                key = self._certified(content, challenge_hash, now)
            elif content.keys() == {"signature", "authenticatorData"}:
                key = self._asserted(content, challenge_hash, known)
            else:
                raise Refused(AttestationCode.STATEMENT_UNREADABLE)
        except Refused as refused:
            return NotAttested(provider=self.provider, code=refused.code)
        return Attested(provider=self.provider, environment=self._environment, challenge_hash=challenge_hash, key=key)

    def _certified(self, content: dict[str, Any], challenge_hash: bytes, now: datetime) -> KnownKey:
        """The key that Apple certified.

        1. The certificates lead from the key's to the configured root, today.
        2. The key's certificate carries ``SHA-256(authData || clientDataHash)``: it was made for this binding.
        3. The key is the one that the statement names: its id is the hash of the certified key.
        4. Our app asked for it, it has signed nothing yet, and in the environment that we trust.
        """
        statement, data = content["attStmt"], _bytes(content["authData"])
        if content["fmt"] != FORMAT or not isinstance(statement, dict) or statement.keys() != {"x5c", "receipt"}:
            raise Refused(AttestationCode.STATEMENT_UNREADABLE)
        if len(data) < _ID.stop or int.from_bytes(data[_ID_LENGTH]) != _KEY_ID_BYTES:
            raise Refused(AttestationCode.STATEMENT_UNREADABLE)
        _bytes(statement["receipt"])
        leaf = self._trusted_leaf(statement["x5c"], now)  # 1
        wanted = hashlib.sha256(data + challenge_hash).digest()
        if not hmac.compare_digest(_stated_nonce(leaf), wanted):  # 2
            raise Refused(AttestationCode.WRONG_BINDING)
        public = leaf.public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
            raise Refused(AttestationCode.KEY_MISMATCH)
        point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        key_id = hashlib.sha256(point).digest()
        if data[_ID] != key_id:  # 3
            raise Refused(AttestationCode.KEY_MISMATCH)
        self._check_app(data)  # 4
        if data[_COUNTER] != bytes(4):
            raise Refused(AttestationCode.COUNTER_NOT_RISING)
        if data[_AAGUID] != AAGUID[self._environment]:
            raise Refused(AttestationCode.WRONG_ENVIRONMENT)
        return KnownKey(key_id=key_id, public_key=point, counter=0, environment=self._environment)

    def _asserted(self, content: dict[str, Any], challenge_hash: bytes, known: KnownKey | None) -> KnownKey:
        """The known key with its new counter.

        1. This person's device registered the key, in the environment that we trust now.
        2. It signed ``SHA-256(authenticatorData || clientDataHash)``: this binding, or the signature does not hold.
        3. Our app asked for it, and the counter rose.
        """
        signature, data = _bytes(content["signature"]), _bytes(content["authenticatorData"])
        if len(data) != _ASSERTION_BYTES:
            raise Refused(AttestationCode.STATEMENT_UNREADABLE)
        if known is None:  # 1
            raise Refused(AttestationCode.KEY_UNKNOWN)
        if known.environment is not self._environment:
            raise Refused(AttestationCode.WRONG_ENVIRONMENT)
        signed = hashlib.sha256(data + challenge_hash).digest()
        try:  # 2
            key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), known.public_key)
            key.verify(signature, signed, ec.ECDSA(SHA256()))
        except (InvalidSignature, ValueError) as error:
            raise Refused(AttestationCode.SIGNATURE_INVALID) from error
        self._check_app(data)  # 3
        counter = int.from_bytes(data[_COUNTER])
        if counter <= known.counter:
            raise Refused(AttestationCode.COUNTER_NOT_RISING)
        return KnownKey(
            key_id=known.key_id, public_key=known.public_key, counter=counter, environment=known.environment
        )

    def _check_app(self, data: bytes) -> None:
        if data[:32] not in self._app_hashes:
            raise Refused(AttestationCode.WRONG_APP)

    def _trusted_leaf(self, x5c: object, now: datetime) -> x509.Certificate:
        """The key's certificate, once its chain was verified at ``now``."""
        if not isinstance(x5c, list) or not 1 <= len(x5c) <= _MOST_CERTIFICATES:
            raise Refused(AttestationCode.STATEMENT_UNREADABLE)
        leaf, *others = _certificates(x5c)
        verifier = (
            verification.PolicyBuilder()
            .store(self._store)
            .time(now.astimezone(UTC).replace(tzinfo=None))
            .max_chain_depth(_MOST_CERTIFICATES)
            .extension_policies(ca_policy=_AUTHORITY, ee_policy=_KEY)
            .build_client_verifier()
        )
        try:
            verifier.verify(leaf, others)
        except verification.VerificationError as error:
            raise Refused(AttestationCode.CHAIN_UNTRUSTED) from error
        return leaf


def _decoded(statement: bytes) -> dict[str, Any]:
    """A CBOR map of plain, definite-length values and nothing after it.

    Tags are refused: the library would make numbers, patterns and shared references of them at an attacker's wish.
    """
    stream = io.BytesIO(statement)
    try:
        content = cbor2.CBORDecoder(
            stream,
            tag_hook=_no_tags,
            semantic_decoders=dict.fromkeys(_BUILT_IN_TAGS, _no_tags),
            read_size=1,  # no more is taken from the stream than is decoded, so that what follows can be seen
            max_depth=_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        ).decode()
    except (cbor2.CBORError, Refused) as error:
        raise Refused(AttestationCode.STATEMENT_UNREADABLE) from error
    if not isinstance(content, dict) or stream.read(1):
        raise Refused(AttestationCode.STATEMENT_UNREADABLE)
    return content


# every tag that cbor2 gives a meaning of its own; the others come to the hook (a test tries them all)
_BUILT_IN_TAGS = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)


def _no_tags(value: object, immutable: bool) -> object:
    raise Refused(AttestationCode.STATEMENT_UNREADABLE)


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise Refused(AttestationCode.STATEMENT_UNREADABLE)
    return value


def _certificates(x5c: Sequence[object]) -> list[x509.Certificate]:
    """From DER, each with extensions that we understand as far as they are critical."""
    certificates = []
    for content in x5c:
        try:
            certificate = x509.load_der_x509_certificate(_bytes(content))
            unhandled = [each for each in certificate.extensions if each.critical and each.oid not in _HANDLED]
        except Refused:
            raise
        except Exception as error:  # bytes of an attacker in an ASN.1 reader: whatever it raises, it is no certificate
            raise Refused(AttestationCode.STATEMENT_UNREADABLE) from error
        if unhandled:
            raise Refused(AttestationCode.CHAIN_UNTRUSTED)
        certificates.append(certificate)
    return certificates


def _stated_nonce(leaf: x509.Certificate) -> bytes:
    """The 32 bytes in the key's certificate for which Apple made it; empty when there are none."""
    try:
        extension = leaf.extensions.get_extension_for_oid(NONCE_EXTENSION).value
    except x509.ExtensionNotFound:
        return b""
    content = extension.value if isinstance(extension, x509.UnrecognizedExtension) else b""
    return content[len(_NONCE_PREFIX) :] if content.startswith(_NONCE_PREFIX) else b""


def _is_authority(_: verification.Policy, __: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("signed by what is no authority")


def _may_certify(_: verification.Policy, __: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.key_cert_sign:
        raise ValueError("signed by a key that may not certify")


def _is_no_authority(_: verification.Policy, __: x509.Certificate, constraints: x509.BasicConstraints | None) -> None:
    if constraints is not None and constraints.ca:
        raise ValueError("an authority's own key")


# The library's own rules are for servers and clients of the web: names and purposes that a device's key does not have
# (Apple's carry neither a subject alternative name nor an extended key usage). These keep what RFC 5280 asks of any chain.
_AUTHORITY = (
    verification.ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, verification.Criticality.AGNOSTIC, _is_authority)
    .require_present(x509.KeyUsage, verification.Criticality.AGNOSTIC, _may_certify)
)
_KEY = verification.ExtensionPolicy.permit_all().may_be_present(
    x509.BasicConstraints, verification.Criticality.AGNOSTIC, _is_no_authority
)
