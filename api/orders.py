"""What a clip is asked for with: kept sealed until the worker takes it, and hashed into what permits are bound to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from consent.canonical import encode, sha256_hex
from consent.content import ContentCategory
from consent.terms import Purpose
from liveness.digits import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A clip that was asked for. ``owner``: key id of the app; ``media_sha256``: of its media and sound, in order."""

    kind: str
    backend: str
    purpose: Purpose
    tokens: tuple[str, ...] = field(repr=False)
    media: tuple[str, ...]
    sound: str | None
    script: str | None = field(repr=False)
    language: Language
    max_seconds: int | None
    width: int
    height: int
    owner: str
    media_sha256: tuple[str, ...]
    maker: str | None = None
    categories: tuple[ContentCategory, ...] | None = None
    territories: tuple[str, ...] | None = None


def job_sha256(order: Order) -> str:
    """Hash of everything that decides what the clip will show and say, and of nothing else."""
    return sha256_hex(
        encode(
            {
                "kind": order.kind,
                "backend": order.backend,
                "purpose": order.purpose.value,
                "script": order.script,
                "language": order.language.value,
                "media_sha256": list(order.media_sha256),
                "max_seconds": order.max_seconds,
                "width": order.width,
                "height": order.height,
            }
        )
    )


def order_to_bytes(order: Order) -> bytes:
    return json.dumps(asdict(order)).encode()


def order_from_bytes(content: bytes) -> Order:
    """The order; one of an earlier release states neither maker nor content nor territory."""
    found = json.loads(content)
    categories, territories = found.get("categories"), found.get("territories")
    return Order(
        kind=found["kind"],
        backend=found["backend"],
        purpose=Purpose(found["purpose"]),
        tokens=tuple(found["tokens"]),
        media=tuple(found["media"]),
        sound=found["sound"],
        script=found["script"],
        language=Language(found["language"]),
        max_seconds=found["max_seconds"],
        width=found["width"],
        height=found["height"],
        owner=found["owner"],
        media_sha256=tuple(found["media_sha256"]),
        maker=found.get("maker"),
        categories=None if categories is None else tuple(ContentCategory(name) for name in categories),
        territories=None if territories is None else tuple(territories),
    )
