"""What the headers of a media file claim, read by code of our own before any library sees the bytes.

FFmpeg repairs a header that lies and plays what is left of a file that was cut off. Untrusted recordings get neither: they
are refused here, before anything is allocated for them. Recognised are the containers that phones and browsers record to;
whatever else the bytes are (a playlist, a text, a list of files to join), FFmpeg is never asked about it.

Pure functions of the bytes; no box, chunk or element is copied.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from enum import StrEnum


class Container(StrEnum):
    """What the bytes are, by their signature. The value is what ``MediaFacts.container`` says."""

    MP4 = "mp4"
    MOV = "mov"
    WEBM = "webm"
    MATROSKA = "matroska"
    AVI = "avi"
    MPEG = "mpeg"
    MPEGTS = "mpegts"
    WAV = "wav"
    OGG = "ogg"
    FLAC = "flac"
    MP3 = "mp3"
    AAC = "aac"

    @property
    def sound_only(self) -> bool:
        return self in _SOUND_ONLY


_SOUND_ONLY = frozenset({Container.WAV, Container.OGG, Container.FLAC, Container.MP3, Container.AAC})
_STILL_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"})
_MAX_PARTS = 100_000  # boxes or elements walked; 30 s with a block every 10 ms are 6,000


class CutOff(ValueError):
    """The bytes end before the recording does, or its structure is broken where it can be read without decoding."""


def recognise(data: bytes) -> Container | None:
    """The container, by its signature; ``None`` for anything else."""
    head = data[:4096]
    if head[4:8] == b"ftyp":
        if head[8:12] in _STILL_BRANDS:
            return None
        return Container.MOV if head[8:12] == b"qt  " else Container.MP4
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip"):  # QuickTime before 2001, and some cameras still
        return Container.MOV
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return Container.WEBM if b"webm" in head[:64] else Container.MATROSKA
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return Container.AVI
    if head[:4] == b"\x00\x00\x01\xba":
        return Container.MPEG
    if len(data) > 376 and data[0] == data[188] == data[376] == 0x47:
        return Container.MPEGTS
    return _recognise_sound(head)


def _recognise_sound(head: bytes) -> Container | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return Container.WAV
    if head[:4] == b"OggS":
        return Container.OGG
    if head[:4] == b"fLaC":
        return Container.FLAC
    if head[:3] == b"ID3":
        return Container.MP3
    if len(head) > 3 and head[0] == 0xFF:
        if head[1] & 0xF6 == 0xF0:
            return Container.AAC
        if head[1] & 0xE0 == 0xE0 and head[1] & 0x06:
            return Container.MP3
    return None


def declared_sides(data: bytes, container: Container) -> list[tuple[int, int]]:
    """Width and height of every picture track as the headers state them, in pixels, not turned.

    Raises CutOff when a part of the file ends beyond the bytes, or nothing in it describes the tracks.
    """
    reader = _SIDES.get(container)
    return list(reader(data)) if reader is not None else []


def _mp4_sides(data: bytes) -> Iterator[tuple[int, int]]:
    """Sides of every picture track of an mp4 or mov, from ``tkhd`` and from each sample entry (ISO/IEC 14496-12)."""
    for start, end in _picture_tracks(data):
        header = _descend(data, start, end, b"tkhd")
        if header is not None and header[1] - header[0] >= 84:
            width, height = struct.unpack_from(">II", data, header[1] - 8)
            yield width >> 16, height >> 16
        table: tuple[int, int] | None = (start, end)
        for kind in (b"mdia", b"minf", b"stbl", b"stsd"):
            table = _descend(data, *table, kind) if table is not None else None
        if table is not None:
            for _, entry, entry_end in _boxes(data, table[0] + 8, table[1]):
                if entry_end - entry >= 28:
                    yield struct.unpack_from(">HH", data, entry + 24)


def picture_track_headers(data: bytes) -> list[tuple[int, int]]:
    """Where the body of the header (``tkhd``) of each picture track of an mp4 or mov begins and ends.

    Raises CutOff as :func:`declared_sides` does.
    """
    headers = (_descend(data, start, end, b"tkhd") for start, end in _picture_tracks(data))
    return [header for header in headers if header is not None and header[1] - header[0] >= 84]


def _picture_tracks(data: bytes) -> Iterator[tuple[int, int]]:
    """Extent of each track of an mp4 or mov whose handler is for pictures. Walks the file to its end."""
    described = False
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind != b"moov":
            continue
        described = True
        for track, track_start, track_end in _boxes(data, start, end):
            media = _descend(data, track_start, track_end, b"mdia") if track == b"trak" else None
            handler = _descend(data, *media, b"hdlr") if media is not None else None
            if handler is not None and data[handler[0] + 8 : handler[0] + 12] == b"vide":
                yield track_start, track_end
    if not described:
        raise CutOff("no part of it describes the tracks")


def _descend(data: bytes, start: int, end: int, kind: bytes) -> tuple[int, int] | None:
    return next(((a, b) for found, a, b in _boxes(data, start, end) if found == kind), None)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind and extent of the body of each box between ``start`` and ``end``."""
    at = start
    for _ in range(_MAX_PARTS):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if size == 1:
            if at + 16 > end:
                raise CutOff("a box has no room for its size")
            (size,) = struct.unpack_from(">Q", data, body)
            body = at + 16
        elif size == 0:
            size = end - at
        if size < body - at or at + size > end:
            raise CutOff(f"a box ends at byte {at + size}, the recording at {end}")
        yield kind, body, at + size
        at += size
    raise CutOff("it has too many boxes")


def _avi_sides(data: bytes) -> Iterator[tuple[int, int]]:
    """Sides from the main header and from each picture track of an AVI."""
    (size,) = struct.unpack_from("<I", data, 4)
    if size == 0 or 8 + size > len(data):
        raise CutOff(f"it says it has {8 + size} bytes and has {len(data)}")
    for kind, start, end in _chunks(data, 12, 8 + size):
        if kind != b"hdrl":
            continue
        for part, part_start, part_end in _chunks(data, start, end):
            if part == b"avih" and part_end - part_start >= 40:
                yield struct.unpack_from("<II", data, part_start + 32)
            elif part == b"strl":
                yield from _avi_track_sides(data, part_start, part_end)
        return
    raise CutOff("no part of it describes the tracks")


def _avi_track_sides(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    picture = False
    for kind, body, body_end in _chunks(data, start, end):
        if kind == b"strh":
            picture = data[body : body + 4] == b"vids"
        elif kind == b"strf" and picture and body_end - body >= 12:
            width, height = struct.unpack_from("<ii", data, body + 4)
            yield abs(width), abs(height)


def _chunks(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind and extent of each RIFF chunk; a LIST gives the kind and the extent of what it lists."""
    at = start
    for _ in range(_MAX_PARTS):
        if at + 8 > end:
            return
        kind, size = struct.unpack_from("<4sI", data, at)
        body = at + 8
        if body + size > end:
            raise CutOff(f"a chunk ends at byte {body + size}, what holds it at {end}")
        if kind == b"LIST" and size >= 4:
            yield data[body : body + 4], body + 4, body + size
        else:
            yield kind, body, body + size
        at = body + size + (size & 1)
    raise CutOff("it has too many chunks")


_SEGMENT, _CLUSTER, _TRACKS, _TRACK, _VIDEO = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE, 0xE0
_PIXEL_WIDTH, _PIXEL_HEIGHT = 0xB0, 0xBA


def _matroska_sides(data: bytes) -> Iterator[tuple[int, int]]:
    """Sides of every picture track of a webm or Matroska (RFC 9559). A recorder that streams leaves the sizes of the
    segment and its clusters open; their children are then walked, so a last block that is cut off is still seen."""
    for kind, start, end in _elements(data, 0, len(data), through=(_SEGMENT, _CLUSTER)):
        if kind != _TRACKS:
            continue
        for _, track, track_end in _of_kind(data, start, end, _TRACK):
            for _, video, video_end in _of_kind(data, track, track_end, _VIDEO):
                sides = {k: int.from_bytes(data[a:b], "big") for k, a, b in _elements(data, video, video_end)}
                yield sides.get(_PIXEL_WIDTH, 0), sides.get(_PIXEL_HEIGHT, 0)


def _of_kind(data: bytes, start: int, end: int, kind: int) -> Iterator[tuple[int, int, int]]:
    return (part for part in _elements(data, start, end) if part[0] == kind)


def _elements(data: bytes, start: int, end: int, through: tuple[int, ...] = ()) -> Iterator[tuple[int, int, int]]:
    """Kind and extent of each EBML element; those named in ``through`` are entered instead of skipped when they are the
    segment or of unknown size."""
    at = start
    for _ in range(_MAX_PARTS):
        if at >= end:
            return
        kind, after_kind = _vint(data, at, end, keep_marker=True)
        size, body = _vint(data, after_kind, end, keep_marker=False)
        unknown = size == (1 << (7 * (body - after_kind))) - 1
        if not unknown and body + size > end:
            raise CutOff(f"an element ends at byte {body + size}, what holds it at {end}")
        if kind in through and (unknown or kind == _SEGMENT):
            at = body
            continue
        if unknown:
            raise CutOff("an element of unknown size where none may be")
        yield kind, body, body + size
        at = body + size
    raise CutOff("it has too many elements")


def _vint(data: bytes, at: int, end: int, *, keep_marker: bool) -> tuple[int, int]:
    """A variable-length number of EBML (RFC 8794 section 4) and where it ends."""
    if at >= end or data[at] == 0:
        raise CutOff(f"no element at byte {at}")
    length = 9 - data[at].bit_length()
    if at + length > end:
        raise CutOff(f"an element begins at byte {at} and does not fit")
    value = int.from_bytes(data[at : at + length], "big")
    return (value if keep_marker else value & ((1 << (7 * length)) - 1)), at + length


def _mpeg_sides(data: bytes) -> Iterator[tuple[int, int]]:
    """Sides from the sequence headers of MPEG-1 and -2 video (ISO/IEC 13818-2, 6.2.2): twelve bits each, and two more
    each in the extension. Up to a thousand are read; a recorder repeats it once or twice a second."""
    at = data.find(b"\x00\x00\x01\xb3")
    for _ in range(1000):
        if at < 0 or at + 7 > len(data):
            return
        sides = int.from_bytes(data[at + 4 : at + 7], "big")
        width, height = sides >> 12, sides & 0xFFF
        extension = data.find(b"\x00\x00\x01\xb5", at, at + 300)
        if extension >= 0 and len(data) > extension + 7 and data[extension + 4] >> 4 == 1:
            high = int.from_bytes(data[extension + 5 : extension + 7], "big")
            width |= (high >> 7 & 3) << 12
            height |= (high >> 5 & 3) << 12
        yield width, height
        at = data.find(b"\x00\x00\x01\xb3", at + 4)


_SIDES: dict[Container, Callable[[bytes], Iterator[tuple[int, int]]]] = {
    Container.MP4: _mp4_sides,
    Container.MOV: _mp4_sides,
    Container.WEBM: _matroska_sides,
    Container.MATROSKA: _matroska_sides,
    Container.AVI: _avi_sides,
    Container.MPEG: _mpeg_sides,
    Container.MPEGTS: _mpeg_sides,
}
