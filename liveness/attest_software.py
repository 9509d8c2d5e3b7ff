"""A provider that is no device: an Ed25519 key in a file, so that tests and the demo can take the whole path.

What it vouches for is worth nothing: every output names it a test key, :func:`liveness.attestation.attest` hears it only
under a policy for simulated people, and building one is said in the log.
"""

from __future__ import annotations

import logging
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from liveness.attestation import (
    Attestation,
    AttestationCode,
    AttestationMisconfigured,
    Attested,
    Environment,
    KnownKey,
    NotAttested,
    Provider,
)

log = logging.getLogger("mien.attestation")

_LABEL = b"mien software test key v1\x00"


class SoftwareTestKey:
    """``AttestationVerifier`` of one Ed25519 key. ``public_key``: its 32 bytes (RFC 8032)."""

    def __init__(self, public_key: bytes) -> None:
        """Raises: AttestationMisconfigured, when these are no public key."""
        try:
            self._key = Ed25519PublicKey.from_public_bytes(public_key)
        except ValueError as error:
            raise AttestationMisconfigured("the software test key is not an Ed25519 public key") from error
        log.warning("a software test key may vouch for recordings of simulated people; it proves no device")

    @property
    def provider(self) -> Provider:
        return Provider.SOFTWARE

    def verify(self, statement: bytes, *, challenge_hash: bytes, now: datetime, known: KnownKey | None) -> Attestation:
        """See :class:`liveness.attestation.AttestationVerifier`."""
        try:
            self._key.verify(statement, _LABEL + challenge_hash)
        except InvalidSignature:
            return NotAttested(provider=self.provider, code=AttestationCode.SIGNATURE_INVALID)
        return Attested(provider=self.provider, environment=Environment.TEST, challenge_hash=challenge_hash)


def sign_with_test_key(key: Ed25519PrivateKey, challenge_hash: bytes) -> bytes:
    """A statement of the test key, 64 bytes."""
    return key.sign(_LABEL + challenge_hash)
