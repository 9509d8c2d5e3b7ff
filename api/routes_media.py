"""Media that a backend or an app wants to work from: every face in it is found, so that the gate can ask about each.

Kept encrypted for a day and no longer. A face that could not be measured is reported as ``unjudged``; the gate refuses it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api.auth import AppOrBackend, KeyHolder
from api.calls import Call
from api.engines import FaceEngines
from api.errors import Problem
from api.faces import LOOKED_INTO, Found, faces_from_all_sides, faces_in, worth_a_look
from api.media import Erased, Sealed, templates_to_bytes
from api.outbound import AddressRefused, NotFetched, NotSent, fetch
from api.outputs import OUTPUT_KIND, OUTPUT_MAX_BYTES
from api.routes_liveness import read_with_digest
from api.schemas import FaceBox, FaceFound, MediaAddress, MediaTaken
from api.service import Service, TheService
from api.storage import Store, new_id
from api.tables import MediaRow
from api.views import check_one_view, further_pictures
from liveness.decode import decode_picture, decode_sound, open_recording
from liveness.errors import MediaError
from liveness.template import FaceTemplate

router = APIRouter(prefix="/v1/media", tags=["media"], route_class=Call)

MEDIA_MAX_BYTES = 20_000_000
MEDIA_KEPT = timedelta(hours=24)
_MOST_FACES = 200
_FETCHED_TYPES = ("image/", "video/", "audio/", "application/octet-stream", "binary/octet-stream")


@dataclass(frozen=True, slots=True)
class Seen:
    """Faces of one upload, with a template each or ``None`` where none could be made."""

    kind: Literal["picture", "video", "sound", "output"]
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
async def hand_in(
    request: Request,
    who: AppOrBackend,
    service: TheService,
    output: Annotated[bool, Query(description="a finished clip, for permits/complete; never an input")] = False,
) -> MediaTaken:
    """Hand in media; gives every face in it. A ``Content-Digest`` that is given must be right. ``output``: a finished
    clip of at most 100 MB, which is looked at when its permit is completed."""
    data = await read_with_digest(request, OUTPUT_MAX_BYTES if output else MEDIA_MAX_BYTES, required=False)
    return await run_in_threadpool(_take, service, who, data, output=output)


@router.post("/from-address", status_code=201)
def hand_in_address(body: MediaAddress, who: AppOrBackend, service: TheService) -> MediaTaken:
    """Have media fetched from a public address. What came is kept and looked at: work with these very bytes (``GET
    .../content``), not with the address, which may give something else the next time."""
    try:
        data = fetch(body.url, most=MEDIA_MAX_BYTES, types=_FETCHED_TYPES, loopback=service.settings.fetch_loopback)
    except AddressRefused as error:
        raise Problem("media_url_refused", more={"reason": error.code}) from None
    except (NotSent, NotFetched) as error:
        raise Problem("media_not_fetched", more={"reason": error.code}) from None
    if body.sha256 is not None and hashlib.sha256(data).hexdigest() != body.sha256:
        raise Problem("digest_mismatch")
    return _take(service, who, data)


@router.get(
    "/{media_id}/content",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "the bytes that were looked at"}},
)
def content(media_id: str, who: AppOrBackend, service: TheService) -> Response:
    """The very bytes that were looked at, for whoever handed them in or had them fetched."""
    with service.database.transaction() as store:
        row = store.get(MediaRow, media_id)
        if row is None or row.key_id != who.key_id:
            raise Problem("not_found")
        try:
            data = service.vault.get(store, row.content_id, owner=media_id)
        except Erased:
            raise Problem("media_expired") from None
    digest = base64.b64encode(bytes.fromhex(row.sha256)).decode()
    return Response(data, headers={"Content-Digest": f"sha-256=:{digest}:"}, media_type="application/octet-stream")


def _take(service: Service, who: KeyHolder, data: bytes, *, output: bool = False) -> MediaTaken:
    if output:
        seen = Seen(OUTPUT_KIND, [], [])
    else:
        with service.faces.bound.place():
            seen = look_at(data, service.faces)
    if len(seen.faces) > _MOST_FACES:
        raise Problem("media_unreadable", f"more than {_MOST_FACES} faces")
    with service.database.transaction() as store:
        row = keep(service, store, who, data, seen)
    return MediaTaken(
        media_id=row.media_id, kind=seen.kind, sha256=row.sha256, faces=seen.faces, expires_at=row.expires_at
    )


def keep(service: Service, store: Store, who: KeyHolder, data: bytes, seen: Seen) -> MediaRow:
    """Seal the bytes and the templates of who was seen in them, for a day, for nobody but ``who``."""
    now, media_id = service.now(), new_id("med")
    key = service.vault.new_key(store, owner=media_id, now=now)
    row = MediaRow(
        media_id=media_id,
        key_id=who.key_id,
        kind=seen.kind,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        faces=[face.model_dump() for face in seen.faces],
        data_key_id=key,
        content_id=service.vault.put(store, data, kind=Sealed.MEDIA, data_key_id=key, now=now, keep=MEDIA_KEPT),
        templates_id=service.vault.put(
            store, templates_to_bytes(seen.templates), kind=Sealed.TEMPLATES, data_key_id=key, now=now, keep=MEDIA_KEPT
        ),
        created_at=now,
        expires_at=now + MEDIA_KEPT,
    )
    store.add(row)
    return row


def look_at(data: bytes, engines: FaceEngines) -> Seen:
    """What these bytes are, and who is in them.

    Raises:
        MediaError: they are neither a picture, a video nor a sound that we read. EngineError: a model failed.
        Problem: ``media_ambiguous``, when other programs would see something else in them.
    """
    kind = kind_of(data)
    check_one_view(data, kind)
    match kind:
        case "picture":
            found = faces_from_all_sides(decode_picture(data), engines)
            for further in further_pictures(data):
                found += faces_from_all_sides(further, engines)
            return _seen("picture", [(None, one) for one in found])
        case "sound":
            decode_sound(data)
            return Seen("sound", [], [])
        case _:
            return _seen("video", list(_in_film(data, engines)))


def _in_film(data: bytes, engines: FaceEngines) -> Iterator[tuple[int, Found]]:
    """Every face of every picture that is looked at, with its moment in ms. Raises: MediaError, EngineError."""
    looked = False
    with open_recording(data, policy=LOOKED_INTO) as recording:
        for look in worth_a_look(picture.frame for picture in recording.pictures()):
            looked, image = True, look.frame.image
            for found in faces_from_all_sides(image, engines) if look.turned else faces_in(image, engines):
                yield look.frame.at_ms, found
    if not looked:
        raise MediaError("the recording has no picture in it")


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


def _seen(kind: Literal["picture", "video"], found: list[tuple[int | None, Found]]) -> Seen:
    faces = [
        FaceFound(
            face_id=str(number),
            box=FaceBox(x=round(box.x, 1), y=round(box.y, 1), width=round(box.width, 1), height=round(box.height, 1)),
            at_ms=at_ms,
            quality="unjudged" if template is None else "good",
        )
        for number, (at_ms, (one, template)) in enumerate(found)
        for box in (one.box,)
    ]
    return Seen(kind, faces, [template for _, (_, template) in found])
