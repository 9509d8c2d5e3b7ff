"""What a device's maker can say about a recording, as values. Who says it and how it is proven: ``attest_*``.

A statement vouches for one recording of one challenge: what is signed is the :func:`binding`, a hash over the challenge's
nonce, the recording's bytes and the words consented to. A refusal is a value (:class:`NotAttested`), since a statement that
does not hold is an answer and no fault; exceptions are for a configuration that cannot be used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from liveness.errors import LivenessError
from liveness.policy import Assurance, Limit, LivenessPolicy

MAX_STATEMENT = Limit(
    12_288,
    "bytes",
    "design: 16 kB of header in base64; App Attest objects have about 6 kB, Play Integrity tokens 2 to 4",
)

_LABEL = b"mien capture attestation v1\x00"


class AttestationMisconfigured(LivenessError):
    """The operator's file of apps and keys cannot be used. The message shows no key."""

    code = "attestation_misconfigured"


class Refused(Exception):
    """Ends a verification inside an adapter, which gives it out as :class:`NotAttested`."""

    def __init__(self, code: AttestationCode) -> None:
        super().__init__(code)
        self.code = code


class Provider(StrEnum):
    """Who vouches, as every output names it."""

    APPLE = "apple_app_attest"
    GOOGLE = "google_play_integrity"
    SOFTWARE = "software_test_key"


class Environment(StrEnum):
    """What kind of app asked for the statement.

    production   as its maker distributes it.
    development  a developer's build on a real device, which a debugger may feed with any picture.
    test         no device at all: a key in a file.
    """

    PRODUCTION = "production"
    DEVELOPMENT = "development"
    TEST = "test"


class AttestationCode(StrEnum):
    """Why a statement does not hold. For auditors only; stable.

    provider_not_configured  nobody set this provider up here, or there is none of that name.
    test_not_allowed         of a test key or a developer's build, under a policy for real people.
    statement_too_large      longer than ``MAX_STATEMENT``; was not looked at.
    statement_unreadable     not what this provider sends.
    signature_invalid        not signed, or sealed, with the key it had to be.
    chain_untrusted          certificates do not lead to the configured root, or not at this time.
    wrong_binding            made for another recording, challenge or consent text.
    wrong_app                made by an app that is not ours, or signed by somebody else.
    wrong_environment        a developer's build where a distributed one is wanted, or the reverse.
    key_mismatch             the certified key is not the one that the statement names.
    key_unknown              this person's device did not register that key.
    counter_not_rising       a count that was seen before: a copied key or a repeated statement.
    app_not_recognised       changed, or not installed from where the maker distributes it.
    device_not_trusted       an emulator, or a device whose system was changed.
    too_old, from_the_future outside the time in which it can have been made for this challenge.
    """

    PROVIDER_NOT_CONFIGURED = "provider_not_configured"
    TEST_NOT_ALLOWED = "test_not_allowed"
    STATEMENT_TOO_LARGE = "statement_too_large"
    STATEMENT_UNREADABLE = "statement_unreadable"
    SIGNATURE_INVALID = "signature_invalid"
    CHAIN_UNTRUSTED = "chain_untrusted"
    WRONG_BINDING = "wrong_binding"
    WRONG_APP = "wrong_app"
    WRONG_ENVIRONMENT = "wrong_environment"
    KEY_MISMATCH = "key_mismatch"
    KEY_UNKNOWN = "key_unknown"
    COUNTER_NOT_RISING = "counter_not_rising"
    APP_NOT_RECOGNISED = "app_not_recognised"
    DEVICE_NOT_TRUSTED = "device_not_trusted"
    TOO_OLD = "too_old"
    FROM_THE_FUTURE = "from_the_future"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKey:
    """A device's key that an earlier statement certified.

    key_id : SHA-256 of ``public_key``. public_key : uncompressed P-256 point, 65 bytes (X9.62). counter : the last one seen.
    """

    key_id: bytes = field(repr=False)
    public_key: bytes = field(repr=False)
    counter: int
    environment: Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """The provider vouched for this recording of this challenge.

    challenge_hash : the binding that was vouched for. key : to be kept for this person, with its counter; ``None`` where the
    provider signs anew each time.
    """

    provider: Provider
    environment: Environment
    challenge_hash: bytes
    key: KnownKey | None = None

    @property
    def assurance(self) -> Assurance:
        """What it can make a verdict worth: nothing for real people unless a distributed app on a real device asked."""
        real = self.provider is not Provider.SOFTWARE and self.environment is Environment.PRODUCTION
        return Assurance.ATTESTED if real else Assurance.SIMULATED


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAttested:
    """The statement does not hold. ``provider`` is ``None`` when it names none that we know."""

    provider: Provider | None
    code: AttestationCode


Attestation = Attested | NotAttested


class AttestationVerifier(Protocol):
    """Holds a provider's statements against the binding. Same arguments, same answer: no clock, no network, no state."""

    @property
    def provider(self) -> Provider: ...

    def verify(self, statement: bytes, *, challenge_hash: bytes, now: datetime, known: KnownKey | None) -> Attestation:
        """Any bytes give an answer; nothing is raised.

        challenge_hash : the :func:`binding`, 32 bytes. known : the key that the statement claims to be signed with, when
        this person's device registered it before.
        """
        ...


def binding(*, nonce: str, capture_sha256: bytes, consent_text: str = "") -> bytes:
    """What a statement must vouch for, 32 bytes: ``SHA-256(label || nonce || SHA-256(capture) || SHA-256(consent text))``.

    nonce : of the challenge, as it was sent. capture_sha256 : 32 bytes. consent_text : that the take agrees to, in UTF-8,
    empty when there is none. Label and both hashes have fixed lengths, so that no two inputs give the same bytes to hash.
    """
    if len(capture_sha256) != hashlib.sha256().digest_size:
        raise ValueError(f"a SHA-256 has 32 bytes, got {len(capture_sha256)}")
    consent = hashlib.sha256(consent_text.encode()).digest()
    return hashlib.sha256(_LABEL + nonce.encode() + capture_sha256 + consent).digest()


def attest(
    verifiers: Mapping[Provider, AttestationVerifier],
    provider: str,
    statement: bytes,
    *,
    challenge_hash: bytes,
    policy: LivenessPolicy,
    now: datetime,
    known: KnownKey | None,
) -> Attestation:
    """Hold a statement against the binding, by whoever of ``verifiers`` it names.

    1. The provider is one of ours, and set up.
    2. Its test key speaks only under a policy for simulated people.
    3. The statement is of a length that can be one.
    4. The provider's own checks.
    5. A developer's build counts like a test key.
    """
    named = Provider(provider) if provider in frozenset(Provider) else None
    verifier = None if named is None else verifiers.get(named)
    if verifier is None:  # 1
        return NotAttested(provider=named, code=AttestationCode.PROVIDER_NOT_CONFIGURED)
    if named is Provider.SOFTWARE and not policy.simulated_captures:  # 2
        return NotAttested(provider=named, code=AttestationCode.TEST_NOT_ALLOWED)
    if len(statement) > MAX_STATEMENT.value:  # 3
        return NotAttested(provider=named, code=AttestationCode.STATEMENT_TOO_LARGE)
    found = verifier.verify(statement, challenge_hash=challenge_hash, now=now, known=known)  # 4
    if isinstance(found, Attested) and found.assurance is Assurance.SIMULATED and not policy.simulated_captures:  # 5
        return NotAttested(provider=named, code=AttestationCode.TEST_NOT_ALLOWED)
    return found


def vouched(attestation: Attestation | None) -> bool:
    """Whether it makes a ``web`` verdict ``attested``: ``judge(..., attested=vouched(...))``.

    Says no without a statement, for one that does not hold, and for one that only a test key or a developer's build made.
    """
    return isinstance(attestation, Attested) and attestation.assurance is Assurance.ATTESTED


def attestation_json(attestation: Attestation) -> dict[str, str | None]:
    """For the record and the auditor: who, what came of it, and why not. No key and no statement."""
    match attestation:
        case Attested():
            return {
                "provider": attestation.provider,
                "outcome": "attested",
                "environment": attestation.environment,
                "assurance": attestation.assurance,
                "challenge_hash": attestation.challenge_hash.hex(),
                "code": None,
            }
        case NotAttested():
            return {"provider": attestation.provider, "outcome": "not_attested", "code": attestation.code}


def attestation_of(stored: Mapping[str, str | None]) -> Attestation:
    """The value that :func:`attestation_json` wrote, without its key.

    Raises:
        ValueError: when it is none.
    """
    provider, code = stored.get("provider"), stored.get("code")
    if stored.get("outcome") == "attested":
        return Attested(
            provider=Provider(provider or ""),
            environment=Environment(stored.get("environment") or ""),
            challenge_hash=bytes.fromhex(stored.get("challenge_hash") or ""),
        )
    return NotAttested(provider=None if provider is None else Provider(provider), code=AttestationCode(code or ""))
