"""Standard Webhooks 1.0: how a message is signed, and how its secrets are written.

Signed is ``<id>.<timestamp>.<body>``. Each generation of secrets signs twice: ``v1`` (HMAC-SHA256) for whoever holds the
shared secret (``whsec_``), ``v1a`` (Ed25519) for whoever holds only the public key (``whpk_``). While secrets are being
changed, the old generation signs along. Every endpoint has secrets of its own.

The ``standardwebhooks`` package signs ``v1`` with one secret only, so it is done here; its test vector holds here too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from consent.canonical import read_instant, to_seconds, write_instant

OVERLAP = timedelta(hours=24)  # as long as a receiver has to take the new secret over
_SHARED_BYTES = 32  # the specification: 24 to 64
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_]{1,100}")  # a full stop in it could move the parts that are signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """One generation. ``until``: when it stops signing; ``None`` for the current one."""

    shared: bytes = field(repr=False)
    seed: bytes = field(repr=False)
    until: datetime | None = None

    @classmethod
    def generate(cls) -> Secrets:
        return cls(shared=secrets.token_bytes(_SHARED_BYTES), seed=secrets.token_bytes(32))

    @property
    def shared_secret(self) -> str:
        return "whsec_" + base64.b64encode(self.shared).decode()

    @property
    def public_key(self) -> str:
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        return "whpk_" + base64.b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()

    def sign(self, content: bytes) -> str:
        symmetric = hmac.new(self.shared, content, hashlib.sha256).digest()
        asymmetric = Ed25519PrivateKey.from_private_bytes(self.seed).sign(content)
        return f"v1,{base64.b64encode(symmetric).decode()} v1a,{base64.b64encode(asymmetric).decode()}"


def signed_headers(message_id: str, body: bytes, generations: Sequence[Secrets], *, now: datetime) -> dict[str, str]:
    """The three headers of a message. The id stays the same over all tries of a message; the time is that of this try."""
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ValueError("a message id is letters, digits and underscores")
    timestamp = str(to_seconds(now))
    content = f"{message_id}.{timestamp}.".encode() + body
    signing = [one for one in generations if one.until is None or now < one.until]
    if not signing:
        raise ValueError("no secret signs any more")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(one.sign(content) for one in signing),
    }


def rotated(generations: Sequence[Secrets], *, now: datetime) -> tuple[Secrets, ...]:
    """A new generation first; the last one signs along for :data:`OVERLAP`, older ones no more."""
    last = generations[0]
    return (Secrets.generate(), Secrets(shared=last.shared, seed=last.seed, until=now + OVERLAP))


def secrets_to_bytes(generations: Sequence[Secrets]) -> bytes:
    return json.dumps(
        [
            {
                "shared": one.shared.hex(),
                "seed": one.seed.hex(),
                "until": None if one.until is None else write_instant(one.until),
            }
            for one in generations
        ]
    ).encode()


def secrets_from_bytes(content: bytes) -> tuple[Secrets, ...]:
    return tuple(
        Secrets(
            shared=bytes.fromhex(one["shared"]),
            seed=bytes.fromhex(one["seed"]),
            until=None if one["until"] is None else read_instant(one["until"]),
        )
        for one in json.loads(content)
    )
