"""A generator's own key, and the proofs of it that go with each call (DPoP, RFC 9449)."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from consent.dpop import PROOF_TYPE, token_hash


@dataclass(frozen=True, slots=True)
class ProofKey:
    """A private key, P-256 or Ed25519. Keep it where the generator runs; the gate only ever learns its public half."""

    _key: EllipticCurvePrivateKey | Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> ProofKey:
        """A new P-256 key."""
        return cls(generate_private_key(SECP256R1()))

    @classmethod
    def from_pem(cls, pem: str) -> ProofKey:
        """Raises: ValueError, when it is no private key of these two kinds."""
        key = load_pem_private_key(pem.encode("ascii"), password=None)
        if isinstance(key, Ed25519PrivateKey) or (
            isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)
        ):
            return cls(key)
        raise ValueError("a P-256 or Ed25519 key is wanted")

    def to_pem(self) -> str:
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")

    @property
    def thumbprint(self) -> str:
        """RFC 7638: what the operator registers, and permits are bound to."""
        spelled = json.dumps(self._jwk(), sort_keys=True, separators=(",", ":"))
        return _b64(hashlib.sha256(spelled.encode()).digest())

    def prove(
        self,
        method: str,
        address: str,
        tokens: Sequence[str] = (),
        *,
        clock: Callable[[], float] = time.time,
    ) -> str:
        """A proof for one call, good once and for a minute. ``address`` without query; ``tokens``: those that go with it."""
        claims: dict[str, str | int] = {
            "jti": secrets.token_urlsafe(24),
            "htm": method.upper(),
            "htu": address.partition("?")[0],
            "iat": int(clock()),
        }
        if tokens:
            claims["ath"] = token_hash(tokens)
        algorithm = "Ed25519" if isinstance(self._key, Ed25519PrivateKey) else "ES256"
        header = {"typ": PROOF_TYPE, "alg": algorithm, "jwk": self._jwk()}
        signed = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
        return f"{signed}.{_b64(self._sign(signed.encode()))}"

    def _sign(self, content: bytes) -> bytes:
        if isinstance(self._key, Ed25519PrivateKey):
            return self._key.sign(content)
        r, s = decode_dss_signature(self._key.sign(content, ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def _jwk(self) -> dict[str, str]:
        if isinstance(self._key, Ed25519PrivateKey):
            raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            return {"kty": "OKP", "crv": "Ed25519", "x": _b64(raw)}
        point = self._key.public_key().public_numbers()
        return {
            "kty": "EC",
            "crv": "P-256",
            "x": _b64(point.x.to_bytes(32, "big")),
            "y": _b64(point.y.to_bytes(32, "big")),
        }


def _b64(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
