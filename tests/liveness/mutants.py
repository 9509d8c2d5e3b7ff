"""Media files made in code and damaged in seeded ways, and a process that reads them. ``python -m tests.liveness.mutants FIRST
COUNT STEP`` reads mutants FIRST, FIRST + STEP ... and writes a line of JSON for each."""

from __future__ import annotations

import json
import random
import resource
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from liveness.decode import MediaCode, decode, decode_picture, decode_sound, packet_positions, sample_pictures, still
from liveness.errors import MediaError
from liveness.policy import STRICT
from tests.liveness.test_decode import pictured, recording

MOST_MEMORY = 1_000_000_000
LARGEST = 4_000_000  # bytes of a mutant


@dataclass(frozen=True, kw_only=True)
class Seed:
    """An undamaged file and what reads it."""

    kind: str
    data: bytes
    readers: tuple[Callable[[bytes], object], ...]


@cache
def seeds() -> tuple[Seed, ...]:
    film = partial(recording, seconds=3.0, fps=10)
    films = {
        "mp4 h264 aac": film("mp4"),
        "mp4 fragmented": film("mp4", flags="frag_keyframe+empty_moov"),
        "mov hevc aac": film("mov", "libx265", "aac"),
        "webm vp8 opus": film("webm", "libvpx", "libopus"),
        "webm vp9 opus": film("webm", "libvpx-vp9", "libopus"),
        "webm streamed": film("webm", "libvpx", "libopus", live=True),
        "matroska h264 flac": film("matroska", "libx264", "flac"),
        "matroska av1": film("matroska", "libsvtav1", None),
        "avi mjpeg pcm": film("avi", "mjpeg", "pcm_s16le", pixels="yuvj420p"),
        "avi mpeg4 mp3": film("avi", "mpeg4", "libmp3lame"),
        "mpeg1 mp2": recording("mpeg", "mpeg1video", "mp2"),
        "mpegts mpeg2 mp2": recording("mpegts", "mpeg2video", "mp2"),
    }
    look = partial(still, at_ms=500)
    sample = partial(sample_pictures, every_ms=500)
    judge = partial(decode, policy=STRICT)
    place = partial(packet_positions, policy=STRICT)
    made = [Seed(kind=kind, data=data, readers=(judge, look, sample, place)) for kind, data in films.items()]
    sounds = (("wav", "pcm_s16le"), ("mp3", "libmp3lame"), ("flac", "flac"), ("ogg", "libopus"), ("adts", "aac"))
    for container, codec in sounds:
        data = recording(container, None, codec)
        made.append(Seed(kind=f"sound {container}", data=data, readers=(decode_sound, judge)))
    for form in ("JPEG", "PNG", "WEBP"):
        made.append(Seed(kind=f"picture {form}", data=pictured(form), readers=(decode_picture,)))
    return tuple(made)


_TAGS = (
    *(b"ftyp", b"moov", b"mvhd", b"trak", b"tkhd", b"mdia", b"mdhd", b"hdlr", b"stsd", b"stts", b"stsz", b"stco", b"stsc"),
    *(b"ctts", b"elst", b"avc1", b"avcC", b"hvc1", b"mp4a", b"esds", b"moof", b"traf", b"trun", b"tfhd", b"mdat", b"udta"),
    *(b"RIFF", b"LIST", b"avih", b"strh", b"strf", b"idx1", b"movi", b"00dc", b"01wb", b"fmt ", b"data", b"fLaC", b"OggS"),
    *(b"IHDR", b"IDAT", b"VP8 ", b"VP8L", b"VP8X", b"\xff\xc0", b"\xff\xda", b"\xff\xe1"),
    *(b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3"),
    *(b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\x1f\x43\xb6\x75", b"\xae", b"\xe0", b"\xa3", b"\xb0"),
)  # fmt: skip
"""Where sizes and counts are near: box types, chunk names, markers and EBML ids."""

_LIES = (
    0,
    1,
    2,
    7,
    8,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    0xFFFFFFFFFFFFFFFF,
)


def _flip(data: bytearray, chance: random.Random, _: bytes) -> None:
    for _bit in range(chance.choice((1, 2, 8, 64, 512))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _truncate(data: bytearray, chance: random.Random, _: bytes) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.choice((1, 4, 100, 10_000, len(data)))]


def _splice(data: bytearray, chance: random.Random, other: bytes) -> None:
    start = chance.randrange(len(other))
    piece = other[start : start + chance.choice((4, 64, 4_096, 100_000))]
    at = chance.randrange(len(data))
    data[at : at + chance.choice((0, len(piece)))] = piece


def _fill(data: bytearray, chance: random.Random, _: bytes) -> None:
    at, length = chance.randrange(len(data)), chance.choice((4, 16, 256, 4_096))
    data[at : at + length] = bytes([chance.choice((0, 255, 65))]) * length


def _repeat(data: bytearray, chance: random.Random, _: bytes) -> None:
    at = chance.randrange(len(data))
    piece = bytes(data[at : at + chance.choice((8, 200, 5_000))])
    data[at:at] = piece * chance.choice((1, 3, 50, 400))


def _lie(data: bytearray, chance: random.Random, _: bytes) -> None:
    """A size or count near a tag says something else."""
    places = [at for tag in _TAGS for at in _all(data, tag)]
    at = chance.choice(places) if places else chance.randrange(len(data))
    at = max(0, at + chance.choice((-8, -4, *range(1, 9), *range(4, 64, 4))))
    value, form = chance.choice(_LIES), chance.choice((">I", "<I", ">Q", "<Q", ">H", "<H", "B"))
    size = struct.calcsize(form)
    data[at : at + size] = struct.pack(form, value & (1 << 8 * size) - 1)


def _ebml_lie(data: bytearray, chance: random.Random, _: bytes) -> None:
    """An EBML size: the length marker stays, so that it is read as a size; or it becomes *unknown*."""
    at = chance.randrange(len(data))
    data[at : at + 8] = chance.choice(
        (b"\x01" + b"\xff" * 7, b"\x01" + bytes(6) + b"\x10", b"\x08\x7f\xff\xff\xff\x00\x00\x00", b"\xff" * 8)
    )


def _all(data: bytearray, tag: bytes) -> list[int]:
    found, at = [], data.find(tag)
    while at >= 0 and len(found) < 50:
        found.append(at)
        at = data.find(tag, at + 1)
    return found


_WAYS = (_flip, _truncate, _splice, _fill, _repeat, _lie, _lie, _lie, _ebml_lie)


def mutant(number: int) -> tuple[Seed, bytes]:
    """The mutant of that number, and the seed whose readers it is for; the same on every run."""
    chance = random.Random(number)
    seed = seeds()[number % len(seeds())]
    other = chance.choice(seeds()).data
    data = bytearray(seed.data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        if data:
            chance.choice(_WAYS)(data, chance, other)
    return seed, bytes(data[:LARGEST])


def read(number: int) -> dict[str, object]:
    """What came of it: the code, or ``taken``; anything else says so under ``wrong``."""
    seed, data = mutant(number)
    outcome, wrong = "taken", ""
    start = time.perf_counter()
    reader = seed.readers[0] if number // len(seeds()) % 3 else seed.readers[number // 60 % len(seed.readers)]
    try:
        reader(data)
    except MediaError as error:
        outcome = str(error.code)
        if outcome not in frozenset(MediaCode):
            wrong = f"code {outcome}"
    except BaseException as error:
        outcome, wrong = "wrong", f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - start
    peak = most_memory()
    return {"n": number, "kind": seed.kind, "outcome": outcome, "wrong": wrong, "seconds": seconds, "peak": peak}


def most_memory() -> int:
    """Bytes this process had at most. ``ru_maxrss`` would count what its parent had before it became this program."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def main(first: int, count: int, step: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (2 * MOST_MEMORY, 2 * MOST_MEMORY))
    seeds()
    print(json.dumps({"ready": True}), flush=True)  # noqa: T201 the parent reads it
    for number in range(first, first + count * step, step):
        print(json.dumps({"begins": number}), flush=True)  # noqa: T201
        print(json.dumps(read(number)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
