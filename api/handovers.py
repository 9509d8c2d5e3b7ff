"""Addresses where a vendor may fetch one medium, for vendors that take media in no other way.

An address is unguessable, ends with the work it is for, and gives out exactly the bytes that the gate looked at: they are
compared with the hash that was written down, each time. When a consent behind them ends, so does the address, at once.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import timedelta

from api.errors import Problem
from api.gate import ended
from api.media import Erased, Unsealable
from api.service import Service
from api.storage import Store
from api.tables import HandoverRow
from consent.terms import Purpose

_SECRET_BYTES = 24
_SUFFIX = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """A medium as it lies sealed. ``owner``: whose it is in the vault; ``consents``: of whom it shows or lets hear."""

    sealed_id: str
    owner: str
    content: bytes = field(repr=False)
    media_type: str
    consents: tuple[str, ...]


def reachable(service: Service) -> bool:
    """Whether a vendor could fetch from here at all."""
    return service.settings.public_url.startswith("https://")


def hand_over(
    service: Service, store: Store, medium: Shelved, *, job_id: str, backend: str, purpose: Purpose, keep: timedelta
) -> str | None:
    """The address that this medium has from now on, for ``keep``; ``None`` where the world cannot reach us safely."""
    if not reachable(service):
        return None
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    store.add(
        HandoverRow(
            secret_sha256=hashlib.sha256(secret.encode()).digest(),
            job_id=job_id,
            backend=backend,
            purpose=purpose,
            consents=list(medium.consents),
            sealed_id=medium.sealed_id,
            owner=medium.owner,
            sha256=hashlib.sha256(medium.content).hexdigest(),
            media_type=medium.media_type,
            expires_at=service.now() + keep,
        )
    )
    name = f"{secret}.{_SUFFIX.get(medium.media_type, 'bin')}"
    return f"{service.settings.public_url}/v1/remote/inputs/{name}"


def handed_over(service: Service, store: Store, name: str) -> tuple[bytes, str]:
    """The bytes at an address, and their type.

    Raises: Problem ``not_found``, also where there was something once.
    """
    secret = name.partition(".")[0]
    row = store.get(HandoverRow, hashlib.sha256(secret.encode()).digest())
    if row is None or row.expires_at <= service.now():
        raise Problem("not_found")
    purpose = Purpose(row.purpose)
    if ended(service, store, backend=row.backend, purpose=purpose, consents=row.consents, now=service.now()):
        raise Problem("not_found")
    try:
        content = service.vault.get(store, row.sealed_id, owner=row.owner)
    except (Erased, Unsealable):
        raise Problem("not_found") from None
    if hashlib.sha256(content).hexdigest() != row.sha256:
        raise Problem("not_found")
    return content, row.media_type
