"""What a phone says about itself beside a recording: the header, the keys kept of it, and the operator's file of apps.

    Mien-Attestation: <provider>:<statement in base64url>[:<key id in base64url>]

The key id goes with statements of a key that the phone registered before (an App Attest assertion); its first statement, an
App Attest attestation, registers it. A statement that does not hold stops nothing: the recording is judged, the verdict is
worth what it would be without, and auditors read why.
"""

from __future__ import annotations

import base64
import binascii
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from api.storage import Store, policy_of
from api.tables import ChallengeRow, DeviceKeyRow, SessionRow
from liveness.attestation import (
    Attestation,
    AttestationCode,
    AttestationMisconfigured,
    AttestationVerifier,
    Attested,
    Environment,
    KnownKey,
    NotAttested,
    Provider,
    attest,
    attestation_json,
    binding,
)

HEADER = "Mien-Attestation"
MAX_HEADER_CHARS = 16_384

Verifiers = Mapping[Provider, AttestationVerifier]


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A header taken apart; nothing of it is proven."""

    provider: str
    statement: bytes = field(repr=False)
    key_id: bytes = field(repr=False)


def hear(
    store: Store,
    verifiers: Verifiers,
    session: SessionRow,
    challenge: ChallengeRow,
    headers: Sequence[str],
    *,
    now: datetime,
) -> None:
    """Hold what was sent against the recording that just spent ``challenge``, and note the outcome there.

    ``headers``: every ``Mien-Attestation`` of the request. In the transaction that spends the challenge, so that a key's
    counter rises exactly when the recording is taken.
    """
    if not headers:
        return
    presented = _taken_apart(headers)
    if isinstance(presented, NotAttested):
        found: Attestation = presented
    else:
        key = (session.subject_id, presented.provider, presented.key_id)
        named = presented.key_id and presented.provider in frozenset(Provider)  # no other text gets to the database
        row = store.get(DeviceKeyRow, key, lock=True) if named else None
        found = attest(
            verifiers,
            presented.provider,
            presented.statement,
            challenge_hash=binding(nonce=challenge.nonce, capture_sha256=bytes.fromhex(challenge.capture_sha256 or "")),
            policy=policy_of(session.policy),
            now=now,
            known=None if row is None else _known(row),
        )
    if isinstance(found, Attested) and found.key is not None:
        _keep(store, session.subject_id, found.provider, found.key, now)
    challenge.attestation = attestation_json(found)


def _taken_apart(headers: Sequence[str]) -> Presented | NotAttested:
    if len(headers) > 1:
        return NotAttested(provider=None, code=AttestationCode.STATEMENT_UNREADABLE)
    if len(headers[0]) > MAX_HEADER_CHARS:
        return NotAttested(provider=None, code=AttestationCode.STATEMENT_TOO_LARGE)
    provider, _, rest = headers[0].partition(":")
    statement, _, key_id = rest.partition(":")
    named = provider.strip()
    try:
        return Presented(provider=named, statement=_from_base64url(statement), key_id=_from_base64url(key_id))
    except ValueError:
        known = Provider(named) if named in frozenset(Provider) else None
        return NotAttested(provider=known, code=AttestationCode.STATEMENT_UNREADABLE)


def _known(row: DeviceKeyRow) -> KnownKey:
    return KnownKey(
        key_id=row.key_id,
        public_key=row.public_key,
        counter=row.counter,
        environment=Environment(row.environment),
    )


def _keep(store: Store, subject_id: str, provider: Provider, key: KnownKey, now: datetime) -> None:
    row = store.get(DeviceKeyRow, (subject_id, provider.value, key.key_id), lock=True)
    if row is None:
        store.add(
            DeviceKeyRow(
                subject_id=subject_id,
                provider=provider.value,
                key_id=key.key_id,
                public_key=key.public_key,
                counter=key.counter,
                environment=key.environment.value,
                registered_at=now,
                used_at=now,
            )
        )
        return
    # a key that is certified once more starts at 0 again: what was seen of it stays seen
    row.counter, row.used_at = max(row.counter, key.counter), now


# --- the operator's file ---------------------------------------------------------------------------------------------


def read_verifiers(path: Path) -> dict[Provider, AttestationVerifier]:
    """Who may vouch, as the operator's file says. See ``docs/api.md`` for an example.

    Raises:
        AttestationMisconfigured: naming section and member, never a value.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AttestationMisconfigured(f"{path} cannot be read as TOML") from error
    unknown = sorted(set(content) - set(Provider))
    if unknown:
        raise AttestationMisconfigured(f"{path} has an unknown section {unknown[0]} (known: {', '.join(Provider)})")
    return {Provider(name): _verifier(Provider(name), _Section(path, name, content[name])) for name in content}


def _verifier(provider: Provider, section: _Section) -> AttestationVerifier:
    verifier: AttestationVerifier
    match provider:
        case Provider.APPLE:
            from liveness.attest_apple import AppAttest, AppleApps

            environment = section.text("environment", "production")
            if environment not in frozenset(Environment):
                raise section.wrong("environment", "production or development")
            verifier = AppAttest(
                AppleApps(
                    app_ids=section.texts("app_ids"),
                    root=section.file("root"),
                    environment=Environment(environment),
                )
            )
        case Provider.GOOGLE:
            from liveness.attest_google import GoogleApps, PlayIntegrity

            section.for_owner_only()
            verifier = PlayIntegrity(
                GoogleApps(
                    package_names=section.texts("package_names"),
                    certificate_sha256=tuple(section.hex_digests("certificate_sha256")),
                    decryption_key=section.base64("decryption_key"),
                    verification_key=section.base64("verification_key"),
                    strong=section.flag("strong"),
                )
            )
        case Provider.SOFTWARE:
            from liveness.attest_software import SoftwareTestKey

            verifier = SoftwareTestKey(section.base64("public_key"))
    section.end()
    return verifier


class _Section:
    """One section of the file; every member is asked for once, and what nobody asked for is a mistake."""

    def __init__(self, path: Path, name: str, content: object) -> None:
        if not isinstance(content, dict):
            raise AttestationMisconfigured(f"{path}: {name} is no section")
        self._path, self._name, self._left = path, name, dict(content)

    def text(self, member: str, default: str | None = None) -> str:
        value = self._left.pop(member, default)
        if not isinstance(value, str):
            raise self.wrong(member, "a text")
        return value

    def texts(self, member: str) -> tuple[str, ...]:
        value: Any = self._left.pop(member, None)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.wrong(member, "a list of texts")
        return tuple(value)

    def flag(self, member: str) -> bool:
        value = self._left.pop(member, False)
        if not isinstance(value, bool):
            raise self.wrong(member, "true or false")
        return value

    def base64(self, member: str) -> bytes:
        try:
            return base64.b64decode(self.text(member), validate=True)
        except (binascii.Error, ValueError) as error:
            raise self.wrong(member, "base64") from error

    def hex_digests(self, member: str) -> list[bytes]:
        try:
            return [bytes.fromhex(each.replace(":", "")) for each in self.texts(member)]
        except ValueError as error:
            raise self.wrong(member, "a list of SHA-256 in hex") from error

    def file(self, member: str) -> bytes:
        """Content of a file, named from the folder of this one."""
        try:
            return (self._path.parent / self.text(member)).read_bytes()
        except OSError as error:
            raise self.wrong(member, "a file that can be read") from error

    def for_owner_only(self) -> None:
        mode = self._path.stat().st_mode & 0o777
        if os.name == "posix" and mode & 0o077:
            raise AttestationMisconfigured(
                f"{self._path} holds a secret key and has mode {mode:04o}; it must be readable by its owner only"
            )

    def end(self) -> None:
        if self._left:
            raise AttestationMisconfigured(f"{self._path}: unknown member {self._name}.{sorted(self._left)[0]}")

    def wrong(self, member: str, wanted: str) -> AttestationMisconfigured:
        return AttestationMisconfigured(f"{self._path}: {self._name}.{member} must be {wanted}")


def _from_base64url(text: str) -> bytes:
    """Raises: ValueError, for anything else."""
    if not text.isascii():
        raise ValueError("not base64url")
    content = text.strip().rstrip("=")
    return base64.b64decode(content + "=" * (-len(content) % 4), altchars=b"-_", validate=True)
