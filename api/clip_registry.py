"""Which clips were released, and finding them again from a copy: with marks stripped, encoded again, cropped, cut
shorter.

A copy is held against the registry in four ways, the surest first. By the file's hash; by the permit that its
manifest names, if the manifest is trusted; by the number in its pictures; by what the pictures look like. The last
only where none of the others answered: clips of one portrait look alike, and then each of them is named.

Decided here: the answer is open to everybody, without a key. Whoever is shown a clip must be able to ask, platforms
most of all, and the EU's code of practice wants detection to be free. It never says who. The price is an oracle for
somebody who wants to remove a watermark, so calls are bounded; and that a portrait alone may be recognised as what a
clip was made from.

Decided here: a number that was read says that the pictures carry the mark of a released clip, and it can be pasted
onto others. So ``look`` is told beside ``watermark`` when the pictures agree; where it is missing, a person should
look.

What stays after a person had everything deleted: that a clip was released, its number and its file's hash, under a
pseudonym. What the pictures look like is deleted. A copy is then still known as revoked by its number, its manifest
or its hash, no longer by its look.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal

from api.keys import ServiceKeys
from api.service import Service
from api.storage import Store, new_id
from api.tables import AttemptRow, ConsentRow, PermitRow, ReleasedClipRow
from consent.attempts import was_about_nobody
from likeness.aigc import read_label
from likeness.errors import ProvenanceError
from likeness.label import LABEL_TEXT
from likeness.picture_hash import ALIKE, asked, shots, views
from likeness.provenance import ClipManifest, ManifestState, permit_digest, verify_clip
from likeness.watermark import Reading, read
from liveness.capture import RgbImage
from liveness.decode import decode_picture, sample_pictures
from liveness.policy import STRICT

CLIP_MAX_BYTES = 64_000_000
_LONGEST_MS = 90_000
_EVERY_MS = 1_000  # 91 pictures of the longest clip, 250 MB at 720p
_SHOTS_KEPT = 24
_SHOTS_ASKED = 3  # each is held against every hash that is kept, twice
_CLIPS = replace(
    STRICT,
    max_bytes=replace(STRICT.max_bytes, value=float(CLIP_MAX_BYTES)),
    max_duration=replace(STRICT.max_duration, value=float(_LONGEST_MS)),
)


class Standing(StrEnum):
    """What has become of the consents behind a clip; of several, the worst. ``expired``: ended by itself, and clips that
    were made before stay. ``nobody``: nobody is in it, so no consent was asked for."""

    VALID = "valid"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    NOBODY = "nobody"


class Evidence(StrEnum):
    """How a copy was recognised."""

    FILE = "file"
    MANIFEST = "manifest"
    WATERMARK = "watermark"
    LOOK = "look"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One released clip that this is a copy of. Never who is shown. ``watermarked``: a number was put into it; what another's
    generator made has none."""

    evidence: tuple[Evidence, ...]
    consent: Standing
    issued_at: datetime
    released_at: datetime
    label: str
    watermarked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """What a copy is. ``manifest``: its state; ``aigc``: its metadata key is there; ``watermark``: a number was read."""

    matches: tuple[Found, ...]
    manifest: ManifestState
    aigc: bool
    watermark: bool

    @property
    def made_here(self) -> bool:
        return bool(self.matches) or self.manifest is ManifestState.TRUSTED or self.watermark


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What a clip's pictures say. ``hashes`` are kept, ``asked`` are looked for."""

    hashes: tuple[int, ...] = field(repr=False)
    asked: tuple[int, ...] = field(repr=False)
    mark: Reading | None


def watermark_key(keys: ServiceKeys) -> bytes:
    """The secret of the numbers in pictures. It never changes, or older clips would no longer be read."""
    return keys.blind("clip-watermark", "1")


def look_at(pictures: Sequence[RgbImage], key: bytes) -> Looks:
    """What there is to find the clip again by."""
    kept = [view for image in shots(pictures, _SHOTS_KEPT) for view in views(image)]
    return Looks(hashes=tuple(kept), asked=asked(pictures, _SHOTS_ASKED), mark=read(pictures, key))


def pictures_of(data: bytes) -> tuple[RgbImage, ...]:
    """Pictures of a clip, spread over it, or the one picture. Raises: MediaError."""
    if data[:3] == b"\xff\xd8\xff" or data[:8] == b"\x89PNG\r\n\x1a\n" or data[8:12] == b"WEBP":
        return (decode_picture(data),)
    return tuple(frame.image for frame in sample_pictures(data, _EVERY_MS, policy=_CLIPS))


def register(
    store: Store,
    *,
    permit_id: str,
    backend: str,
    clip_id: str | None,
    file_sha256: str,
    watermark: int | None,
    looks: Looks,
    now: datetime,
) -> ReleasedClipRow:
    """Write down that this file leaves under this permit, in the transaction that releases it.

    clip_id : of a clip of ours; ``None`` for what another's generator made. watermark : the number put into it, if any.
    """
    row = ReleasedClipRow(
        release_id=new_id("rel"),
        permit_id=permit_id,
        permit_sha256=permit_digest(permit_id),
        clip_id=clip_id,
        backend=backend,
        file_sha256=file_sha256,
        watermark=watermark,
        watermark_read=looks.mark is not None and looks.mark.number == watermark,
        label=LABEL_TEXT,
        released_at=now,
    )
    store.add(row)
    store.add_clip_hashes(row.release_id, looks.hashes)
    return row


def look_at_others(pictures: Sequence[RgbImage]) -> Looks:
    """What there is to find a clip again by that another's generator made: it carries no number."""
    return Looks(
        hashes=tuple(view for image in shots(pictures, _SHOTS_KEPT) for view in views(image)), asked=(), mark=None
    )


def register_others(
    store: Store, *, permit_id: str, backend: str, file_sha256: str, looks: Looks | None, now: datetime
) -> None:
    """Write down that a clip made elsewhere may leave, once. ``looks``: ``None`` while only its hash is known."""
    if (before := store.release_of_permit(permit_digest(permit_id))) is None:
        register(
            store,
            permit_id=permit_id,
            backend=backend,
            clip_id=None,
            file_sha256=file_sha256,
            watermark=None,
            looks=looks or Looks(hashes=(), asked=(), mark=None),
            now=now,
        )
    elif looks is not None and not store.has_clip_hashes(before.release_id):
        store.add_clip_hashes(before.release_id, looks.hashes)


def identify(service: Service, data: bytes) -> Identified:
    """What these bytes are a copy of, and where its consents stand now.

    Raises:
        MediaError: they are no picture and no clip that can be read.
    """
    looks = look_at(pictures_of(data), watermark_key(service.keys))
    manifest, permit_sha256 = _manifest(service, data)
    now = service.now()
    with service.database.transaction() as store:
        evidence: dict[str, tuple[ReleasedClipRow, list[Evidence]]] = {}

        def note(row: ReleasedClipRow | None, how: Evidence) -> None:
            if row is not None:
                evidence.setdefault(row.release_id, (row, []))[1].append(how)

        for row in store.releases_of_file(hashlib.sha256(data).hexdigest()):
            note(row, Evidence.FILE)
        note(None if permit_sha256 is None else store.release_of_permit(permit_sha256), Evidence.MANIFEST)
        note(None if looks.mark is None else store.release_of_watermark(looks.mark.number), Evidence.WATERMARK)
        sure = list(evidence)
        for row in store.releases_alike(looks.asked, within=ALIKE, among=sure):
            note(row, Evidence.LOOK)
        matches = tuple(_found(store, row, how, now=now) for row, how in evidence.values())
    return Identified(
        matches=matches, manifest=manifest, aigc=read_label(data) is not None, watermark=looks.mark is not None
    )


def standing_of_permit(service: Service, permit_sha256: str) -> Found | None:
    """Where the consents behind a clip stand now, asked by what its manifest names."""
    with service.database.transaction() as store:
        row = store.release_of_permit(permit_sha256)
        return None if row is None else _found(store, row, [Evidence.MANIFEST], now=service.now())


def standing(consents: Sequence[ConsentRow], *, now: datetime) -> Standing:
    """The worst of them. Nothing on record is as good as revoked."""
    if not consents or any(row.revoked_at is not None for row in consents):
        return Standing.REVOKED
    if any(row.suspended_at is not None for row in consents):
        return Standing.SUSPENDED
    if any(row.expired_at is not None or row.expires_at <= now for row in consents):
        return Standing.EXPIRED
    return Standing.VALID


def standing_of_one(row: ConsentRow, *, now: datetime) -> Literal["valid", "expired", "suspended", "revoked"]:
    """How one consent stands, in one word."""
    match standing([row], now=now):
        case Standing.VALID:
            return "valid"
        case Standing.EXPIRED:
            return "expired"
        case Standing.SUSPENDED:
            return "suspended"
        case _:
            return "revoked"


def _found(store: Store, row: ReleasedClipRow, how: Sequence[Evidence], *, now: datetime) -> Found:
    permit = store.get(PermitRow, row.permit_id)
    attempt = None if permit is None else store.get(AttemptRow, permit.attempt_id)
    consents = store.consents_of_release(row)
    nobody = not consents and attempt is not None and was_about_nobody(attempt.claimed)
    return Found(
        evidence=tuple(how),
        consent=Standing.NOBODY if nobody else standing(consents, now=now),
        issued_at=row.released_at if permit is None else permit.issued_at,
        released_at=row.released_at,
        label=row.label,
        watermarked=row.watermark is not None,
    )


def read_marks(service: Service, data: bytes) -> tuple[ClipManifest, bool]:
    """What an mp4 says of itself: its manifest, and whether it has the metadata key."""
    if data[4:8] != b"ftyp":
        return ClipManifest(state=ManifestState.NONE), False
    place = service.settings.var / "work"
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        file = Path(folder) / "asked.mp4"
        file.write_bytes(data)
        try:
            read_back = verify_clip(file, anchor_pem=service.keys.authority.ca_cert_pem)
        except ProvenanceError:
            read_back = ClipManifest(state=ManifestState.INVALID)
    return read_back, read_label(data) is not None


def _manifest(service: Service, data: bytes) -> tuple[ManifestState, str | None]:
    read_back, _ = read_marks(service, data)
    if read_back.state is not ManifestState.TRUSTED or read_back.consent is None:
        return read_back.state, None
    return read_back.state, read_back.consent.permit_sha256
