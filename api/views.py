"""Whether media show the same to every program. What the gate looks at and what a generator works with must not differ.

The decoder here takes the first picture track, keeps to edit lists, and opens the first of several pictures; a generator
may not. So what has another side is refused (``media_ambiguous``), and the further pictures of a photograph are looked at like
the first.

1. A film has one picture track, and its edit list leaves nothing out. MPEG transport streams are not taken: their
   programmes come and go.
2. A sound has no picture track. (Cover pictures are no track: no generator animates them.)
3. A PNG has no animation, not even one of one picture, and is not grey in 16 bits, which some programs clip to white.
4. A JPEG may carry further pictures (a phone's gain map, or anything else): they are given out to be looked at.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np

from api.errors import Problem
from liveness.capture import RgbImage
from liveness.container import Container, CutOff, declared_sides, picture_track_headers, recognise
from liveness.decode import MAX_PICTURE_PIXELS

_LEFT_OUT_S = 0.5  # design: recorders leave out less, to begin with a picture that is shown at zero
_MOST_PICTURES = 8
_PICTURES_IN_OGG = (b"\x80theora", b"OVP80", b"BBCD\0", b"\x01video")  # first bytes of a picture track's first packet
_MP4 = (Container.MP4, Container.MOV)


def check_one_view(data: bytes, kind: str) -> None:
    """Raises: Problem ``media_ambiguous``. ``kind``: picture, video or sound, as it will be read."""
    why = _WAYS[kind](data)
    if why is not None:
        raise Problem("media_ambiguous", why)


def further_pictures(data: bytes) -> Iterator[RgbImage]:
    """The pictures in a JPEG after its first, not turned. Raises: Problem ``media_ambiguous`` when they cannot be read."""
    if not data.startswith(b"\xff\xd8\xff") or b"MPF\0" not in data:
        return
    from PIL.JpegImagePlugin import jpeg_factory

    try:
        with jpeg_factory(io.BytesIO(data)) as picture:
            count = getattr(picture, "n_frames", 1)
            if count > _MOST_PICTURES:
                raise ValueError(f"{count} pictures")
            for number in range(1, count):
                picture.seek(number)
                if picture.width * picture.height > MAX_PICTURE_PIXELS:
                    raise ValueError("too large")
                yield np.array(picture.convert("RGB"), dtype=np.uint8)
    except Exception as error:  # Pillow raises a dozen kinds on hostile bytes
        raise Problem("media_ambiguous", "it has further pictures that cannot be read") from error


def _of_picture(data: bytes) -> str | None:
    if not data.startswith(b"\x89PNG"):
        return None
    if data[24:26] == b"\x10\x00":
        return "grey in 16 bits, which is white to some programs; hand it in with 8"
    animation = data.find(b"acTL")
    return "an animation" if 0 <= animation < data.find(b"IDAT") else None


def _of_sound(data: bytes) -> str | None:
    container = recognise(data)
    if container in _MP4:
        return "a sound with a picture track" if _tracks(data) else None
    if container is Container.OGG and any(mark in data for mark in _PICTURES_IN_OGG):
        return "a sound with a picture track"
    return None


def _of_video(data: bytes) -> str | None:
    container = recognise(data)
    if container is Container.MPEGTS:
        return "a transport stream; hand it in as mp4 or webm"
    try:
        match container:
            case Container.MP4 | Container.MOV:
                several, left_out = len(_tracks(data)) > 1, _left_out_s(data)
            case Container.WEBM | Container.MATROSKA:
                several, left_out = len(declared_sides(data, container)) > 1, 0.0
            case Container.AVI:
                several, left_out = (
                    len(declared_sides(data, container)) > 2,
                    0.0,
                )  # the main header states them once more
            case Container.MPEG:
                several, left_out = (
                    len({code for code in range(0xE0, 0xF0) if b"\0\0\1" + bytes([code]) in data}) > 1,
                    0.0,
                )
            case _:
                return None  # the decoder says what it is not
    except (CutOff, struct.error):
        return None  # likewise
    if several:
        return "more than one picture track"
    return "an edit list that leaves pictures out" if left_out > _LEFT_OUT_S else None


_WAYS = {"picture": _of_picture, "sound": _of_sound, "video": _of_video}


def _tracks(data: bytes) -> list[tuple[int, int]]:
    try:
        return picture_track_headers(data)
    except CutOff:
        return []


def _left_out_s(data: bytes) -> float:
    """Seconds of an mp4's longest-cut picture track that its edit list does not show (ISO/IEC 14496-12, 8.6.6)."""
    longest = 0.0
    for start, end in _of_kind(data, 0, len(data), b"moov"):
        movie_scale = next((_scale(data, a) for a, _ in _of_kind(data, start, end, b"mvhd")), 0)
        for track, track_end in _of_kind(data, start, end, b"trak"):
            for media, media_end in _of_kind(data, track, track_end, b"mdia"):
                pictures = any(data[a + 8 : a + 12] == b"vide" for a, _ in _of_kind(data, media, media_end, b"hdlr"))
                lasts = next((_seconds(data, a) for a, _ in _of_kind(data, media, media_end, b"mdhd")), 0.0)
                shown = _shown_s(data, track, track_end, movie_scale)
                if pictures and shown is not None:
                    longest = max(longest, lasts - shown)
    return longest


def _shown_s(data: bytes, start: int, end: int, movie_scale: int) -> float | None:
    """``None``: no list, or one that shows all."""
    total = None
    for edits, edits_end in _of_kind(data, start, end, b"edts"):
        for at, _ in _of_kind(data, edits, edits_end, b"elst"):
            wide, (count,) = data[at] == 1, struct.unpack_from(">I", data, at + 4)
            total = 0.0 if total is None else total
            for number in range(min(count, 10_000)):
                form, size = (">Qq", 20) if wide else (">Ii", 12)
                length, begins = struct.unpack_from(form, data, at + 8 + number * size)
                if begins >= 0 and length == 0:
                    return None  # to the end
                total += length / movie_scale if begins >= 0 and movie_scale else 0.0
    return total


def _scale(data: bytes, at: int) -> int:
    (scale,) = struct.unpack_from(">I", data, at + (20 if data[at] == 1 else 12))
    return int(scale)


def _seconds(data: bytes, at: int) -> float:
    wide, scale = data[at] == 1, _scale(data, at)
    (length,) = struct.unpack_from(">Q" if wide else ">I", data, at + (24 if wide else 16))
    return length / scale if scale else 0.0


def _of_kind(data: bytes, start: int, end: int, kind: bytes) -> Iterator[tuple[int, int]]:
    """Extent of the body of each box of this kind between ``start`` and ``end``; the boxes were walked before."""
    at = start
    while at + 8 <= end:
        size, found = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        size = size or end - at
        if size < body - at or at + size > end:
            raise CutOff("a box ends beyond what holds it")
        if found == kind:
            yield body, at + size
        at += size
