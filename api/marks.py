"""Puts every mark on a clip, whoever made it: our own generators, a vendor's, or a backend that asked the gate.

Only this service can sign for its permits, so a clip of somebody else's generator gets its label, its number and its
manifest here, once it was looked at (:mod:`api.outputs`), and what may leave is what comes back.
"""

from __future__ import annotations

import logging
import secrets
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from api.clip_registry import Looks, look_at, pictures_of, watermark_key
from api.service import Service
from api.settings import Settings
from consent.gate import Permit
from likeness.generate import Clip
from likeness.provenance import ManifestSigner, MarkedClip, Published, mark
from likeness.watermark import NUMBER_BITS, Watermark

log = logging.getLogger("mien.marks")


def put_marks(
    service: Service,
    permit: Permit,
    clip: Clip,
    out: Path,
    *,
    made_from: Sequence[bytes] = (),
    original: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> MarkedClip:
    """The clip as a file with all its marks; see :func:`likeness.provenance.mark`, also for what it raises."""
    return mark(
        clip,
        permit,
        ManifestSigner(service.keys.authority),
        out,
        watermark=Watermark(number=secrets.randbits(NUMBER_BITS), key=watermark_key(service.keys)),
        published=published(service.settings),
        made_from=made_from,
        original=original,
        progress=progress,
    )


def published(settings: Settings) -> Published:
    """What a clip's manifest says of where to ask about it."""
    return Published(status=f"{settings.public_url}/v1/clips/status", log=settings.log_origin)


def looks_of(service: Service, marked: MarkedClip) -> Looks:
    """What the finished file is found again by, read from the file itself."""
    looks = look_at(pictures_of(marked.path.read_bytes()), watermark_key(service.keys))
    if looks.mark is None:
        log.warning("no watermark can be read from a clip; its pictures are too flat to carry one")
    return looks


def workplace(settings: Settings) -> tempfile.TemporaryDirectory[str]:
    """Where a clip lies in the open until it is sealed; empty again afterwards."""
    place = settings.var / "work"
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    return tempfile.TemporaryDirectory(dir=place)
