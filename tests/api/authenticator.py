"""An authenticator in software, as a browser and a phone are one together; with knobs for what an attacker would send."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

ORIGIN, RP_ID = "http://localhost:8000", "localhost"
_PRESENT, _VERIFIED, _ELIGIBLE, _SYNCED, _ATTESTED = 0x01, 0x04, 0x08, 0x10, 0x40


def to_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Passkey:
    """One discoverable credential, ES256."""

    origin: str = ORIGIN
    rp_id: str = RP_ID
    verified: bool = True
    counter: int = 0
    user_handle: bytes = b""
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def create(self, options: dict[str, Any], **knobs: Any) -> dict[str, Any]:
        """What ``navigator.credentials.create(...).toJSON()`` gives."""
        self.user_handle = from_base64url(options["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cbor2.dumps(cose)
        data = self._data(_ATTESTED, knobs.get("rp_id", self.rp_id)) + attested
        made = {"fmt": "none", "attStmt": {}, "authData": data}
        client = self._client("webauthn.create", options["challenge"], knobs)
        return self._credential(
            clientDataJSON=to_base64url(client),
            attestationObject=to_base64url(cbor2.dumps(made)),
            transports=["internal", "hybrid", "smoke-signals"],
        )

    def get(self, options: dict[str, Any], **knobs: Any) -> dict[str, Any]:
        """What ``navigator.credentials.get(...).toJSON()`` gives."""
        data = self._data(0, knobs.get("rp_id", self.rp_id))
        client = self._client("webauthn.get", options["challenge"], knobs)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        return self._credential(
            clientDataJSON=to_base64url(client),
            authenticatorData=to_base64url(data),
            signature=to_base64url(signature),
            userHandle=to_base64url(knobs.get("user_handle", self.user_handle)),
        )

    def _data(self, more: int, rp_id: str) -> bytes:
        flags = _PRESENT | _ELIGIBLE | _SYNCED | more | (_VERIFIED if self.verified else 0)
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + self.counter.to_bytes(4, "big")

    def _client(self, kind: str, challenge: str, knobs: dict[str, Any]) -> bytes:
        said = {
            "type": knobs.get("type", kind),
            "challenge": knobs.get("challenge", challenge),
            "origin": knobs.get("origin", self.origin),
            "crossOrigin": False,
        }
        return json.dumps(said).encode()

    def _credential(self, **response: Any) -> dict[str, Any]:
        named = to_base64url(self.credential_id)
        return {
            "id": named,
            "rawId": named,
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": response,
        }
