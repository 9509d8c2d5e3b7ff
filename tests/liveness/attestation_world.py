"""A maker of devices in code: its certificate authority, phones that sign recordings, and tokens as a store seals them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from joserfc import jwe, jws
from joserfc.jwk import ECKey, OctKey

from liveness.attest_apple import AAGUID, FORMAT, NONCE_EXTENSION, AppAttest, AppleApps
from liveness.attest_google import GoogleApps, PlayIntegrity
from liveness.attestation import Environment, binding

NOW = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)
YEAR = timedelta(days=365)
APP = "TEAM123456.example.camera"
PACKAGE = "example.camera"
CAPTURE = hashlib.sha256(b"a recording").digest()
HASH = binding(nonce="5f" * 16, capture_sha256=CAPTURE)


def b64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def point_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


# --- App Attest ------------------------------------------------------------------------------------------------------


@dataclass
class Authority:
    """A certificate and its key. ``issued`` makes one below it."""

    name: str
    until: datetime = NOW + 10 * YEAR
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP384R1()))
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        self.certificate = self._made(self, self.name, self.key.public_key(), until=self.until, ca=True)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def below(self, name: str, *, ca: bool = True, certify: bool = True, until: datetime = NOW + YEAR) -> Authority:
        made = Authority(name)
        made.certificate = self._made(self, name, made.key.public_key(), until=until, ca=ca, certify=certify)
        return made

    def leaf(
        self,
        key: ec.EllipticCurvePrivateKey,
        nonce: bytes | None,
        *,
        until: datetime = NOW + timedelta(days=3),
        ca: bool = False,
        critical: bool = False,
    ) -> bytes:
        extensions: list[tuple[x509.ExtensionType, bool]] = []
        if nonce is not None:
            content = bytes.fromhex("3024a1220420") + nonce
            extensions.append((x509.UnrecognizedExtension(NONCE_EXTENSION, content), critical))
        made = self._made(self, "device key", key.public_key(), until=until, ca=ca, certify=ca, more=extensions)
        return made.public_bytes(Encoding.DER)

    @staticmethod
    def _made(
        issuer: Authority,
        name: str,
        public: ec.EllipticCurvePublicKey,
        *,
        until: datetime,
        ca: bool,
        certify: bool = True,
        more: list[tuple[x509.ExtensionType, bool]] | None = None,
    ) -> x509.Certificate:
        usage = dict.fromkeys(
            (
                "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign",
                "encipher_only", "decipher_only",
            ),
            False,
        )  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer.name)]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - YEAR)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=ca and certify, **usage), critical=True)
        )
        for extension, critical in more or []:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(issuer.key, SHA384())


ROOT = Authority("Root")
MIDDLE = ROOT.below("Middle")


def apple(**changed: Any) -> AppAttest:
    return AppAttest(AppleApps(**({"app_ids": (APP,), "root": ROOT.pem} | changed)))


@dataclass
class Phone:
    """Makes statements as a phone does. What is not given is as it should be."""

    app: str = APP
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    counter: int = 0

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(point_of(self.key)).digest()

    def attestation(
        self,
        challenge_hash: bytes = HASH,
        *,
        issuer: Authority = MIDDLE,
        chain: list[Authority] | None = None,
        counter: int = 0,
        aaguid: bytes = AAGUID[Environment.PRODUCTION],
        key_id: bytes | None = None,
        nonce: Callable[[bytes], bytes | None] = lambda right: right,
        change: Callable[[dict[str, Any]], object] = lambda _: None,
        **leaf: Any,
    ) -> bytes:
        named = self.key_id if key_id is None else key_id
        data = hashlib.sha256(self.app.encode()).digest() + b"\x40" + counter.to_bytes(4)
        data += aaguid + len(named).to_bytes(2) + named + cbor2.dumps({1: 2, 3: -7})
        leaf_der = issuer.leaf(self.key, nonce(hashlib.sha256(data + challenge_hash).digest()), **leaf)
        others = [each.certificate.public_bytes(Encoding.DER) for each in ([MIDDLE] if chain is None else chain)]
        content = {"fmt": FORMAT, "attStmt": {"x5c": [leaf_der, *others], "receipt": bytes(3000)}, "authData": data}
        change(content)
        return cbor2.dumps(content)

    def assertion(self, challenge_hash: bytes = HASH, *, counter: int | None = None, more: bytes = b"") -> bytes:
        self.counter += 1
        stated = self.counter if counter is None else counter
        data = hashlib.sha256(self.app.encode()).digest() + b"\x40" + stated.to_bytes(4) + more
        signature = self.key.sign(hashlib.sha256(data + challenge_hash).digest(), ec.ECDSA(SHA256()))
        return cbor2.dumps({"signature": signature, "authenticatorData": data})


# --- Play Integrity --------------------------------------------------------------------------------------------------

AES_KEY = hashlib.sha256(b"of the console").digest()
STORE_KEY = ec.generate_private_key(ec.SECP256R1())
SIGNER = hashlib.sha256(b"our signing certificate").digest()


def google(**changed: Any) -> PlayIntegrity:
    public = STORE_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    apps = {
        "package_names": (PACKAGE,),
        "certificate_sha256": (SIGNER,),
        "decryption_key": AES_KEY,
        "verification_key": public,
    } | changed
    return PlayIntegrity(GoogleApps(**apps))


def verdict(challenge_hash: bytes = HASH, now: datetime = NOW) -> dict[str, Any]:
    """A good answer, as Google's documents show one."""
    return {
        "requestDetails": {
            "requestPackageName": PACKAGE,
            "timestampMillis": str(int(now.timestamp() * 1000) - 4_000),
            "nonce": b64url(challenge_hash),
        },
        "appIntegrity": {
            "appRecognitionVerdict": "PLAY_RECOGNIZED",
            "packageName": PACKAGE,
            "certificateSha256Digest": [b64url(SIGNER)],
            "versionCode": "42",
        },
        "deviceIntegrity": {"deviceRecognitionVerdict": ["MEETS_BASIC_INTEGRITY", "MEETS_DEVICE_INTEGRITY"]},
        "accountDetails": {"appLicensingVerdict": "LICENSED"},
    }


def token(
    content: object,
    *,
    aes_key: bytes = AES_KEY,
    key: ec.EllipticCurvePrivateKey = STORE_KEY,
    algorithms: tuple[str, str] = ("A256KW", "A256GCM"),
) -> bytes:
    inner = jws.serialize_compact({"alg": "ES256"}, json.dumps(content).encode(), ECKey.import_key(key))
    header = {"alg": algorithms[0], "enc": algorithms[1]}
    return jwe.encrypt_compact(header, inner.encode(), OctKey.import_key(aes_key), algorithms=[*algorithms]).encode()
