"""The service's own keys: a file that only its owner may read, or the environment.

    signing     Ed25519 keys for records, ledger heads, tokens and permits; one is active, the others only verify
    master      AES-256 key that wraps the data keys of people, and seals stored answers
    authority   what signs the provenance of clips (CA and leaf), as likeness/provenance.py makes it

The file is made at the first start with mode 0600. Losing it loses every sealed template, recording and clip, and the
means to sign; that is the point of it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from api.settings import Settings
from consent.keys import KeySet, SigningKey
from likeness.provenance import Authority

_VERSION = 1
_NONCE_BYTES = 12


class KeysInvalid(Exception):
    """The key file cannot be used. One line, for the terminal; it never shows what is in the file."""

    code = "keys_invalid"


class Unsealable(Exception):
    """Sealed bytes do not open under this key: altered, moved, or sealed for something else."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """Wraps and seals; the raw key stays inside."""

    raw: bytes = field(repr=False)

    def wrap(self, data_key: bytes, *, owner: str) -> bytes:
        return seal(self.raw, data_key, about=f"data-key|{owner}")

    def unwrap(self, wrapped: bytes, *, owner: str) -> bytes:
        return unseal(self.raw, wrapped, about=f"data-key|{owner}")

    def blind(self, purpose: str, text: str) -> bytes:
        """A keyed digest: equal for equal text, and tells nothing without the key."""
        return hmac.new(self.raw, f"{purpose}|{text}".encode(), hashlib.sha256).digest()


@dataclass(frozen=True, slots=True)
class ServiceKeys:
    """``signing[0]`` is the active key."""

    signing: tuple[SigningKey, ...]
    master: MasterKey
    authority: Authority = field(repr=False)

    @property
    def active(self) -> SigningKey:
        return self.signing[0]

    @property
    def public(self) -> KeySet:
        return KeySet.of(*self.signing)


def seal(key: bytes, content: bytes, *, about: str) -> bytes:
    """AES-256-GCM: 12 bytes nonce, then ciphertext and tag. ``about`` is bound in and must be given again to open."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, about.encode())


def unseal(key: bytes, sealed: bytes, *, about: str) -> bytes:
    """The content.

    Raises:
        Unsealable: when it does not open.
    """
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode())
    except (InvalidTag, ValueError) as error:
        raise Unsealable("sealed bytes do not open") from error


def open_keys(settings: Settings, *, now: datetime) -> ServiceKeys:
    """The keys these settings name; made at the first start.

    Raises:
        KeysInvalid: when file or setting is damaged, or others may read the file.
    """
    if settings.keys_json is not None:
        return _parsed(settings.keys_json, "MIEN_KEYS_JSON")
    if not settings.keys.exists():
        _make(settings.keys, now)
    mode = settings.keys.stat().st_mode & 0o777
    if os.name == "posix" and mode & 0o077:
        raise KeysInvalid(f"{settings.keys} has mode {mode:04o}; it must be readable by its owner only (chmod 600)")
    try:
        text = settings.keys.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KeysInvalid(f"{settings.keys} cannot be read") from error
    return _parsed(text, str(settings.keys))


def _make(path: Path, now: datetime) -> None:
    """Written beside and linked into place, so that two first starts at once agree on one file."""
    from likeness.provenance import new_authority

    authority = new_authority(now)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "version": _VERSION,
        "signing": [SigningKey.generate().to_pem()],
        "master": base64.b64encode(secrets.token_bytes(32)).decode(),
        "authority": asdict(authority),
    }
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)


def _parsed(text: str, where: str) -> ServiceKeys:
    try:
        content = json.loads(text)
        if not isinstance(content, dict) or set(content) != {"version", "signing", "master", "authority"}:
            raise ValueError("unexpected members")
        if content["version"] != _VERSION:
            raise ValueError("unknown version")
        master = base64.b64decode(content["master"], validate=True)
        if len(master) != 32:
            raise ValueError("master key is not 32 bytes")
        signing = tuple(SigningKey.from_pem(pem) for pem in content["signing"])
        if not signing:
            raise ValueError("no signing key")
        authority = Authority(**content["authority"])
    except Exception as error:  # JSON, base64, PEM: all mean the same here, and none may show the content
        raise KeysInvalid(f"{where} is damaged: it does not hold the service's keys") from error
    return ServiceKeys(signing=signing, master=MasterKey(master), authority=authority)
