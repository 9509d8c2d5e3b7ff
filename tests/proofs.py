"""A backend with a key, as it would sign its proofs (RFC 9449) with a library of its own: none of the code under test."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def as_json(content: dict[str, Any] | bytes) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()


@dataclass(frozen=True)
class Holder:
    """Who holds a key: P-256 from a number, or Ed25519 from a seed."""

    key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey

    @classmethod
    def p256(cls, number: int = 1) -> Holder:
        return cls(ec.derive_private_key(number, ec.SECP256R1()))

    @classmethod
    def ed25519(cls, seed: bytes = b"e" * 32) -> Holder:
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def alg(self) -> str:
        return "Ed25519" if isinstance(self.key, Ed25519PrivateKey) else "ES256"

    @property
    def jwk(self) -> dict[str, str]:
        if isinstance(self.key, Ed25519PrivateKey):
            raw = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
        point = self.key.public_key().public_numbers()
        return {
            "kty": "EC",
            "crv": "P-256",
            "x": b64(point.x.to_bytes(32, "big")),
            "y": b64(point.y.to_bytes(32, "big")),
        }

    @property
    def jkt(self) -> str:
        """RFC 7638."""
        required = json.dumps(self.jwk, sort_keys=True, separators=(",", ":"))
        return b64(hashlib.sha256(required.encode()).digest())

    def sign(self, header: dict[str, Any] | bytes, claims: dict[str, Any] | bytes) -> str:
        """A compact JWS over exactly these."""
        signed = f"{b64(as_json(header))}.{b64(as_json(claims))}".encode()
        if isinstance(self.key, Ed25519PrivateKey):
            signature = self.key.sign(signed)
        else:
            made = self.key.sign(signed, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
            signature = b"".join(part.to_bytes(32, "big") for part in decode_dss_signature(made))
        return f"{signed.decode()}.{b64(signature)}"

    def header(self, **changes: Any) -> dict[str, Any]:
        return {"typ": "dpop+jwt", "alg": self.alg, "jwk": self.jwk} | changes

    def claims(
        self, *tokens: str, method: str = "POST", address: str, at: datetime, jti: str = "jti-1", **changes: Any
    ) -> dict[str, Any]:
        claims: dict[str, Any] = {"jti": jti, "htm": method, "htu": address, "iat": int(at.timestamp())}
        if tokens:
            claims["ath"] = b64(hashlib.sha256(" ".join(tokens).encode()).digest())
        return claims | changes

    def proof(
        self, *tokens: str, method: str = "POST", address: str, at: datetime, jti: str = "jti-1", **changes: Any
    ) -> str:
        return self.sign(self.header(), self.claims(*tokens, method=method, address=address, at=at, jti=jti, **changes))
