"""Media that a backend or an app wants to work from: every face in it is found, so that the gate can ask about each.

Kept encrypted for a day and no longer. A face that could not be measured is reported as ``unjudged``; the gate refuses it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from api.auth import AppOrBackend, KeyHolder
from api.calls import Call
from api.engines import FaceEngines
from api.errors import Problem
from api.media import Sealed, templates_to_bytes
from api.routes_liveness import read_with_digest
from api.schemas import FaceBox, FaceFound, MediaTaken
from api.service import Service, TheService
from api.storage import new_id
from api.tables import MediaRow
from liveness.capture import RgbImage
from liveness.decode import decode_picture, decode_sound, sample_pictures
from liveness.errors import EngineError
from liveness.evidence import FoundFace
from liveness.template import FaceTemplate

router = APIRouter(prefix="/v1/media", tags=["media"], route_class=Call)

MEDIA_MAX_BYTES = 20_000_000
MEDIA_KEPT = timedelta(hours=24)
_VIDEO_EVERY_MS = (
    500  # a face shown for less than half a second may be missed; so videos are not what clips are made of
)
_MOST_FACES = 200


@dataclass(frozen=True, slots=True)
class Seen:
    """Faces of one upload, with a template each or ``None`` where none could be made."""

    kind: Literal["picture", "video", "sound"]
    faces: list[FaceFound]
    templates: list[FaceTemplate | None]


@router.post(
    "",
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "a picture, video or sound, at most 20 MB",
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in ("image/jpeg", "image/png", "image/webp", "video/mp4", "audio/wav")
            },
        }
    },
)
async def hand_in(request: Request, who: AppOrBackend, service: TheService) -> MediaTaken:
    """Hand in media; gives every face in it. A ``Content-Digest`` that is given must be right."""
    data = await read_with_digest(request, MEDIA_MAX_BYTES, required=False)
    return await run_in_threadpool(_take, service, who, data)


def _take(service: Service, who: KeyHolder, data: bytes) -> MediaTaken:
    with service.faces.bound.place():
        seen = look_at(data, service.faces)
    if len(seen.faces) > _MOST_FACES:
        raise Problem("media_unreadable", f"more than {_MOST_FACES} faces")
    now, sha256 = service.now(), hashlib.sha256(data).hexdigest()
    with service.database.transaction() as store:
        media_id = new_id("med")
        key = service.vault.new_key(store, owner=media_id, now=now)
        row = MediaRow(
            media_id=media_id,
            key_id=who.key_id,
            kind=seen.kind,
            sha256=sha256,
            size=len(data),
            faces=[face.model_dump() for face in seen.faces],
            data_key_id=key,
            content_id=service.vault.put(store, data, kind=Sealed.MEDIA, data_key_id=key, now=now, keep=MEDIA_KEPT),
            templates_id=service.vault.put(
                store,
                templates_to_bytes(seen.templates),
                kind=Sealed.TEMPLATES,
                data_key_id=key,
                now=now,
                keep=MEDIA_KEPT,
            ),
            created_at=now,
            expires_at=now + MEDIA_KEPT,
        )
        store.add(row)
    return MediaTaken(media_id=row.media_id, kind=seen.kind, sha256=sha256, faces=seen.faces, expires_at=row.expires_at)


def look_at(data: bytes, engines: FaceEngines) -> Seen:
    """What these bytes are, and who is in them.

    Raises:
        MediaError: they are neither a picture, a video nor a sound that we read. EngineError: a model failed.
    """
    match kind_of(data):
        case "picture":
            return _seen("picture", [(None, decode_picture(data))], engines)
        case "sound":
            decode_sound(data)
            return Seen("sound", [], [])
        case _:
            frames = sample_pictures(data, _VIDEO_EVERY_MS)
            return _seen("video", [(frame.at_ms, frame.image) for frame in frames], engines)


def kind_of(data: bytes) -> str:
    """From the first bytes; a container that may hold either is taken for a video, whose decoder tells."""
    head = data[:16]
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "picture"
    is_wave = head[:4] == b"RIFF" and head[8:12] == b"WAVE"
    if is_wave or head.startswith((b"ID3", b"fLaC", b"OggS", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")):
        return "sound"
    if head[4:12] in (b"ftypM4A ", b"ftypM4B "):
        return "sound"
    return "video"


def _seen(kind: Literal["picture", "video"], pictures: list[tuple[int | None, RgbImage]], engines: FaceEngines) -> Seen:
    faces: list[FaceFound] = []
    templates: list[FaceTemplate | None] = []
    for at_ms, image in pictures:
        for found in engines.finder.find_every(image):
            template = _template(image, found, engines)
            box = found.box
            faces.append(
                FaceFound(
                    face_id=str(len(faces)),
                    box=FaceBox(
                        x=round(box.x, 1), y=round(box.y, 1), width=round(box.width, 1), height=round(box.height, 1)
                    ),
                    at_ms=at_ms,
                    quality="unjudged" if template is None else "good",
                )
            )
            templates.append(template)
    return Seen(kind, faces, templates)


def _template(image: RgbImage, found: FoundFace, engines: FaceEngines) -> FaceTemplate | None:
    if found.face is None:
        return None
    try:
        return engines.embedder.embed(image, found.face.points)
    except EngineError:
        return None  # a face is there and cannot be judged: the gate refuses it
