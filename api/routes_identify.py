"""Whose consent is behind a clip that somebody came across? Open to everybody, bounded, and never says who."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from api.allowances import Allowances
from api.calls import Call
from api.clip_registry import CLIP_MAX_BYTES, Found, Identified, identify, standing_of_permit
from api.errors import Problem
from api.routes_liveness import read_with_digest
from api.schemas import ClipIdentified, ClipMarks, ClipMatch, ClipStanding
from api.service import TheService
from api.settings import Settings

router = APIRouter(prefix="/v1/clips", tags=["clips"], route_class=Call)

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Desk:
    """One clip is looked at at a time, in each process; the rest is told to come again."""

    allowances: Allowances
    busy: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, settings: Settings) -> Desk:
        return cls(Allowances(per_minute=settings.identify_per_minute, clock=time.monotonic))


@router.post(
    "/identify",
    responses={429: {"description": "too often"}, 503: {"description": "another clip is being looked at"}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "a clip or one picture of it, at most 64 MB and 90 seconds",
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in ("video/mp4", "video/webm", "image/jpeg", "image/png", "image/webp")
            },
        }
    },
)
async def ask_about(request: Request, service: TheService) -> ClipIdentified:
    """Hand in a clip, or one picture of it, also cut, cropped or encoded again: was it made here, and does the consent behind
    it still hold? Needs no key. What is handed in is not kept."""
    desk: Desk = request.app.state.identify_desk
    wait_s = desk.allowances.wait_s("" if request.client is None else request.client.host)
    if wait_s is not None:
        raise Problem("too_many_requests", more={"retry_after_s": wait_s})
    data = await read_with_digest(request, CLIP_MAX_BYTES, required=False)
    if not desk.busy.acquire(blocking=False):
        raise Problem("identify_busy", more={"retry_after_s": 5})
    try:
        found = await run_in_threadpool(identify, service, data)
    finally:
        desk.busy.release()
    return _told(found)


@router.get("/status/{permit_sha256}")
def status(permit_sha256: str, service: TheService) -> ClipStanding:
    """Where the consent behind a clip stands now, by what its manifest names as ``permit_sha256``. Needs no key."""
    found = standing_of_permit(service, permit_sha256) if _SHA256.fullmatch(permit_sha256) else None
    if found is None:
        raise Problem("not_found", "no clip was released under that")
    return ClipStanding(**_standing(found))


def _told(found: Identified) -> ClipIdentified:
    return ClipIdentified(
        known=bool(found.matches),
        made_here=found.made_here,
        matches=[ClipMatch(**_standing(match), **_evidence(match)) for match in found.matches],
        marks=ClipMarks(manifest=found.manifest.value, aigc=found.aigc, watermark=found.watermark),
    )


def _evidence(found: Found) -> dict[str, Any]:
    return {"evidence": [each.value for each in found.evidence]}


def _standing(found: Found) -> dict[str, Any]:
    return {
        "consent": found.consent.value,
        "issued_at": found.issued_at,
        "released_at": found.released_at,
        "label": found.label,
        "watermarked": found.watermarked,
    }
