"""Untrusted bytes give a capture or a MediaError, within bounds, whatever they are.

Every recording here is made in code, by FFmpeg's own encoders or box by box.
"""

from __future__ import annotations

import io
import math
import os
import random
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from liveness import decode as decode_module
from liveness.capture import Capture, RgbImage
from liveness.decode import MediaCode, decode, decode_picture, decode_sound, sample_pictures, still
from liveness.errors import MediaError
from liveness.policy import STRICT

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 30), (30, 30, 220), (240, 240, 240)


# --------------------------------------------------------------------------------------------------------------------
# Recordings made in code


def quarters(width: int, height: int) -> RgbImage:
    """Red top left, green top right, blue bottom left, white bottom right: which way up it is can be seen."""
    image = np.empty((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = RED, GREEN
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = BLUE, WHITE
    return image


@contextmanager
def as_scheduled() -> Iterator[None]:
    """Run as root, the AV1 encoder makes its caller a real-time process, and so every process that one starts, which then
    starve each other."""
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


@lru_cache(maxsize=64)
@as_scheduled()
def recording(
    container: str = "mp4",
    video: str | None = "libx264",
    audio: str | None = "aac",
    *,
    width: int = 96,
    height: int = 64,
    times_ms: tuple[int, ...] | None = None,
    seconds: float = 3.0,
    fps: int = 25,
    sound_start_ms: int = 0,
    sound_seconds: float | None = None,
    live: bool = False,
    pixels: str = "yuv420p",
    flags: str = "",
    more_sound_tracks: int = 0,
) -> bytes:
    """A recording. ``live``: to something that cannot seek, as a browser's recorder does, so without a duration."""
    if flags == "+faststart":  # FFmpeg reads the file again to move its index, by its name
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "faststart.mp4"
            path.write_bytes(recording(container, video, audio, seconds=seconds))
            with av.open(str(path)) as whole, av.open(f"{folder}/moved.mp4", "w", options={"movflags": flags}) as moved:
                copies = {each.index: moved.add_stream_from_template(each) for each in whole.streams}
                for packet in whole.demux():
                    if packet.dts is not None:
                        packet.stream = copies[packet.stream_index]
                        moved.mux(packet)
            return Path(f"{folder}/moved.mp4").read_bytes()
    file: io.BytesIO = _Stream() if live else io.BytesIO()
    options = {"libx265": {"x265-params": "log-level=none"}, "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"}}
    with av.open(file, "w", format=container, container_options={"movflags": flags} if flags else {}) as out:
        if video is not None:
            stream = out.add_stream(video, rate=fps, options=options.get(video, {"g": "25"}))
            stream.width, stream.height, stream.pix_fmt = width, height, pixels
            if times_ms is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
        sounds = []
        for _ in range(more_sound_tracks + (audio is not None)):
            sound = out.add_stream(audio or "aac", rate=48000)
            sound.layout = "mono"
            sounds.append(sound)
        if video is not None:
            picture = quarters(width, height)
            for index, at_ms in enumerate(times_ms or range(round(seconds * fps))):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = at_ms if times_ms is not None else index
                frame.time_base = Fraction(1, 1000) if times_ms is not None else Fraction(1, fps)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        for sound in sounds:
            samples = tone(seconds if sound_seconds is None else sound_seconds, 48000)
            for start in range(0, len(samples), 960):
                chunk = av.AudioFrame.from_ndarray(samples[None, start : start + 960], format="flt", layout="mono")
                chunk.sample_rate = 48000
                chunk.pts, chunk.time_base = start + sound_start_ms * 48, Fraction(1, 48000)
                out.mux(sound.encode(chunk))
            out.mux(sound.encode(None))
    return file.getvalue()


class _Stream(io.BytesIO):
    """Can be written to and not sought in: what a recorder that streams writes to."""

    def seekable(self) -> bool:
        return False

    seek = None  # type: ignore[assignment]


def tone(seconds: float, rate_hz: int) -> NDArray[np.float32]:
    """440 Hz at 0.4."""
    return (0.4 * np.sin(2 * math.pi * 440 * np.arange(int(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def patched(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def turned(data: bytes, matrix: Sequence[int]) -> bytes:
    """The mp4 with ``a, b, c, d`` of the display matrix of its first track replaced."""
    a, b, c, d = (v << 16 for v in matrix)
    at = data.index(b"tkhd") + 4 + 40
    return patched(data, at, struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30))


def code_of(work: Callable[[], object]) -> str:
    with pytest.raises(MediaError) as caught:
        work()
    return caught.value.code


def judged(data: bytes) -> Capture:
    return decode(data, policy=STRICT)


def refused(data: bytes) -> str:
    return code_of(lambda: judged(data))


def colours(image: RgbImage) -> list[tuple[int, int, int]]:
    """Colours named above that are nearest to the middle of each quarter, in reading order."""
    height, width = image.shape[:2]
    middles = [(height // 4, width // 4), (height // 4, 3 * width // 4)]
    middles += [(3 * height // 4, width // 4), (3 * height // 4, 3 * width // 4)]
    named = (RED, GREEN, BLUE, WHITE)
    return [min(named, key=lambda c: int(np.abs(image[y, x].astype(int) - c).sum())) for y, x in middles]


# --------------------------------------------------------------------------------------------------------------------
# What phones, browsers and cameras record is taken


@pytest.mark.parametrize(
    ("container", "video", "audio", "pixels", "says"),
    [
        ("mp4", "libx264", "aac", "yuv420p", ("mp4", "h264", "aac")),
        ("mov", "libx265", "aac", "yuv420p", ("mov", "hevc", "aac")),
        ("webm", "libvpx-vp9", "libopus", "yuv420p", ("webm", "vp9", "opus")),
        ("webm", "libvpx", None, "yuv420p", ("webm", "vp8", None)),
        ("matroska", "libx264", "flac", "yuv420p", ("matroska", "h264", "flac")),
        ("matroska", "libsvtav1", None, "yuv420p", ("matroska", "av1", None)),
        ("avi", "mjpeg", "pcm_s16le", "yuvj420p", ("avi", "mjpeg", "pcm_s16le")),
        ("avi", "mpeg4", "libmp3lame", "yuv420p", ("avi", "mpeg4", "mp3")),
        ("mpeg", "mpeg1video", "mp2", "yuv420p", ("mpeg", "mpeg1video", "mp2")),
        ("mpegts", "mpeg2video", "mp2", "yuv420p", ("mpegts", "mpeg2video", "mp2")),
    ],
)
def test_every_container_and_codec_we_promise_is_read(
    container: str, video: str, audio: str | None, pixels: str, says: tuple[str, str, str | None]
) -> None:
    capture = judged(recording(container, video, audio, pixels=pixels))

    facts = capture.facts
    assert (facts.container, facts.video_codec, facts.audio_codec) == says
    assert (facts.width, facts.height) == (96, 64)
    assert facts.source_frames in (75, 74)  # mpeg4 in avi swallows one
    assert facts.source_fps == pytest.approx(25, abs=0.5)
    assert facts.duration_ms == pytest.approx(3000, abs=80)
    assert len(facts.frame_intervals_ms) == facts.source_frames - 1
    assert 38 <= facts.longest_gap_ms <= 82
    assert len(capture.frames) == pytest.approx(45, abs=2)
    for frame in capture.frames:
        assert frame.image.shape == (64, 96, 3)
        assert frame.image.dtype == np.uint8
        assert frame.image.flags.c_contiguous
    assert colours(capture.frames[20].image) == [RED, GREEN, BLUE, WHITE]
    if audio is None:
        assert capture.audio is None
        assert facts.audio_duration_ms is None
    else:
        assert capture.audio is not None
        assert capture.audio.rate_hz == 16_000
        assert capture.audio.samples.dtype == np.float32
        assert capture.audio.duration_ms == pytest.approx(3000, abs=120)
        assert abs(capture.audio.start_ms) <= 60
        assert peak_hz(capture.audio.samples) == pytest.approx(440, abs=3)
        loudness = float(np.sqrt(np.mean(capture.audio.samples[8000:40000] ** 2)))
        assert loudness == pytest.approx(0.4 / math.sqrt(2), abs=0.02)


def peak_hz(samples: NDArray[np.float32]) -> float:
    spectrum = np.abs(np.fft.rfft(samples[8000:40000]))
    return float(np.argmax(spectrum)) * 16_000 / 32_000


def test_a_capture_names_the_bytes_it_came_from() -> None:
    import hashlib

    data = recording()
    assert judged(data).sha256 == hashlib.sha256(data).hexdigest()


def test_a_browser_recording_without_duration_is_read() -> None:
    live = recording("webm", "libvpx", "libopus", live=True)
    assert b"\x44\x89" not in live[:400]  # no Duration element
    facts = judged(live).facts
    assert facts.duration_ms == pytest.approx(3000, abs=80)
    assert facts.source_fps == pytest.approx(25, abs=0.5)


def test_a_fragmented_mp4_is_read() -> None:
    data = recording(flags="frag_keyframe+empty_moov+default_base_moof")
    assert judged(data).facts.source_frames == 75


def test_the_container_says_what_wrote_it() -> None:
    assert "Lavf" in judged(recording()).facts.writing_app
    assert len(judged(recording()).facts.writing_app) <= 200


# --------------------------------------------------------------------------------------------------------------------
# Time


def test_frames_carry_the_times_of_a_variable_frame_rate() -> None:
    times = tuple(range(0, 1000, 100)) + tuple(range(1000, 2000, 33)) + (2000, 2400, 2440, 2480, 2520)
    capture = judged(recording("matroska", "libx264", None, times_ms=times))

    assert capture.facts.frame_intervals_ms == tuple(b - a for a, b in pairwise(times))
    assert capture.facts.longest_gap_ms == 400
    kept = [frame.at_ms for frame in capture.frames]
    assert kept == sorted(set(kept))
    assert set(kept) <= set(times)
    assert {0, 100, 900, 2400} <= set(kept)  # nothing is dropped where the source is slower than we look


def test_thinning_keeps_a_regular_pace_and_the_frames_nearest_to_it() -> None:
    capture = judged(recording(fps=60, seconds=3))
    steps = np.diff([frame.at_ms for frame in capture.frames])
    assert len(capture.frames) == pytest.approx(45, abs=1)
    assert steps.min() >= 66
    assert steps.max() <= 68


@pytest.mark.parametrize("container", ["mp4", "webm"])
@pytest.mark.parametrize("late_ms", [0, 480])
def test_sound_that_starts_late_is_put_on_the_clock_of_the_pictures(container: str, late_ms: int) -> None:
    codecs = ("libx264", "aac") if container == "mp4" else ("libvpx", "libopus")
    capture = judged(recording(container, *codecs, sound_start_ms=late_ms, sound_seconds=2.4))
    assert capture.audio is not None
    assert capture.audio.start_ms == pytest.approx(late_ms, abs=30)
    assert capture.facts.audio_start_ms is not None
    assert capture.facts.audio_start_ms - capture.facts.video_start_ms == capture.audio.start_ms


def test_a_hole_in_the_sound_stays_a_hole() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        sound = out.add_stream("pcm_s16le", rate=16000)
        sound.layout = "mono"
        for index in range(30):
            frame = av.VideoFrame.from_ndarray(quarters(64, 64), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        for start_ms in (*range(0, 1000, 100), *range(2000, 3000, 100)):  # nothing between 1 s and 2 s
            samples = np.full((1, 1600), 8000, np.int16)
            chunk = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            chunk.sample_rate, chunk.pts, chunk.time_base = 16000, start_ms * 16, Fraction(1, 16000)
            out.mux(sound.encode(chunk))
        out.mux(sound.encode(None))

    audio = judged(file.getvalue()).audio
    assert audio is not None
    assert audio.duration_ms == pytest.approx(3000, abs=5)
    assert np.abs(audio.samples[17_000:31_000]).max() < 0.01
    assert np.abs(audio.samples[34_000:46_000]).min() > 0.1


# --------------------------------------------------------------------------------------------------------------------
# Pictures come out upright and small


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), [RED, GREEN, BLUE, WHITE]),
        ((0, 1, -1, 0), [BLUE, RED, WHITE, GREEN]),  # a phone held upright: a quarter turn clockwise
        ((-1, 0, 0, -1), [WHITE, BLUE, GREEN, RED]),
        ((0, -1, 1, 0), [GREEN, WHITE, RED, BLUE]),
        ((-1, 0, 0, 1), [GREEN, RED, WHITE, BLUE]),  # mirrored
        ((0, 1, 1, 0), [RED, BLUE, GREEN, WHITE]),
    ],
)
def test_pictures_are_turned_upright(matrix: tuple[int, ...], expected: list[tuple[int, int, int]]) -> None:
    data = turned(recording(), matrix)
    capture = judged(data)
    size = (96, 64) if matrix[0] else (64, 96)
    assert (capture.facts.width, capture.facts.height) == size
    for image in (capture.frames[7].image, still(data, 300)):
        assert image.shape == (size[1], size[0], 3)
        assert image.flags.c_contiguous
        assert colours(image) == expected


@pytest.mark.parametrize(("width", "height"), [(360, 202), (362, 640), (98, 66)])
def test_awkward_widths_come_out_contiguous_and_right(width: int, height: int) -> None:
    image = judged(recording(width=width, height=height, fps=10, audio=None)).frames[3].image
    assert image.shape == (height, width, 3)
    assert image.flags.c_contiguous
    assert colours(image) == [RED, GREEN, BLUE, WHITE]


def test_large_pictures_are_scaled_and_a_still_is_not() -> None:
    data = recording(width=1280, height=720, fps=10, audio=None)
    assert judged(data).frames[0].image.shape == (480, 852, 3)
    assert judged(data).facts.width == 1280
    assert still(data, 1000).shape == (720, 1280, 3)
    assert sample_pictures(data, 1000)[0].image.shape == (720, 1280, 3)


def test_a_very_wide_picture_does_not_make_large_frames() -> None:
    image = judged(recording(width=2048, height=128, fps=10, audio=None)).frames[0].image
    assert image.shape[1] <= 480 * 2.25


def test_sampled_pictures_reach_from_the_first_to_the_last() -> None:
    frames = sample_pictures(recording(), 700)
    assert [frame.at_ms for frame in frames] == [0, 680, 1400, 2080, 2800, 2960]
    with pytest.raises(ValueError, match="at least 200"):
        sample_pictures(recording(), 10)


def test_a_short_video_is_still_sampled() -> None:
    assert len(sample_pictures(recording(seconds=0.4), 500)) == 2


def test_a_still_is_the_nearest_picture() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for index in range(30):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 8 * index, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    data = file.getvalue()
    assert still(data, 1240).mean() == pytest.approx(8 * 12, abs=3)
    assert still(data, 0).mean() == pytest.approx(0, abs=3)
    assert still(data, 3200).mean() == pytest.approx(8 * 29, abs=3)
    assert code_of(lambda: still(data, 5000)) == MediaCode.TOO_SHORT


# --------------------------------------------------------------------------------------------------------------------
# Every bound, just inside and just outside


def test_bytes() -> None:
    limit = int(STRICT.max_bytes.value)
    inside = recording() + struct.pack(">I4s", limit - len(recording()), b"free").ljust(limit - len(recording()), b"\0")
    assert len(inside) == limit
    assert judged(inside).facts.source_frames == 75
    assert refused(inside + b"\0") == MediaCode.TOO_LARGE
    assert refused(b"") == MediaCode.EMPTY


@pytest.mark.parametrize("container", ["mp4", "webm", "mpegts", "avi"])
def test_length(container: str) -> None:
    video = {"webm": "libvpx", "mpegts": "mpeg2video", "avi": "mpeg4"}.get(container, "libx264")

    def lasting(seconds: float) -> bytes:
        return recording(container, video, None, width=32, height=32, seconds=seconds)

    assert judged(lasting(29.9)).facts.duration_ms <= 30_000
    assert refused(lasting(30.2)) == MediaCode.TOO_LONG
    assert refused(lasting(40)) == MediaCode.TOO_LONG
    assert refused(lasting(1.8)) == MediaCode.TOO_SHORT
    assert judged(lasting(2.2)).facts.duration_ms >= 2_000


def test_sound_that_is_longer_than_any_picture_may_be() -> None:
    assert refused(recording("matroska", "mpeg4", "pcm_s16le", sound_seconds=33)) == MediaCode.TOO_LONG


def test_a_header_that_hides_the_length_does_not_help() -> None:
    data = recording("mp4", "libx264", None, width=32, height=32, seconds=40)
    for box, at in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        data = patched(data, data.index(box) + at, struct.pack(">I", 5000))
    assert refused(data) == MediaCode.TOO_LONG


def test_sides() -> None:
    assert judged(recording("avi", "mjpeg", None, width=4096, height=32, fps=10, pixels="yuvj420p")).facts.width == 4096
    too_wide = recording("avi", "mjpeg", None, width=4128, height=32, fps=10, pixels="yuvj420p")
    assert refused(too_wide) == MediaCode.DIMENSIONS


def test_frame_rate() -> None:
    assert judged(recording(fps=120, audio=None)).facts.source_fps == pytest.approx(120, abs=1)
    assert refused(recording(fps=130, audio=None)) == MediaCode.FRAME_RATE


def test_a_burst_of_frames_is_stopped_while_it_decodes() -> None:
    times = (*range(400), 3000)  # a thousand a second, then a rest that makes the average look fine
    assert refused(recording("matroska", "mpeg4", None, width=32, height=32, times_ms=times)) == MediaCode.FRAME_RATE


def test_streams() -> None:
    assert judged(recording("matroska", "mpeg4", "pcm_s16le", more_sound_tracks=6)).facts.source_frames >= 74
    nine = recording("matroska", "mpeg4", "pcm_s16le", more_sound_tracks=7)
    assert refused(nine) == MediaCode.TOO_MANY_STREAMS
    assert code_of(lambda: decode_sound(nine)) == MediaCode.TOO_MANY_STREAMS


def test_codecs_outside_the_list_are_refused() -> None:
    assert refused(recording("matroska", "ffv1", None)) == MediaCode.CODEC
    assert refused(recording("matroska", "mpeg4", "ac3")) == MediaCode.CODEC


# --------------------------------------------------------------------------------------------------------------------
# Headers that lie


def stsd(data: bytes) -> bytes:
    return patched(data, data.index(b"avc1", data.index(b"stsd")) + 28, struct.pack(">HH", 65535, 65535))


def tkhd(data: bytes) -> bytes:
    return patched(data, data.index(b"tkhd") + 80, struct.pack(">II", 65535 << 16, 65535 << 16))


def avih(data: bytes) -> bytes:
    return patched(data, data.index(b"avih") + 40, struct.pack("<II", 65535, 65535))


def strf(data: bytes) -> bytes:
    return patched(data, data.index(b"strf") + 12, struct.pack("<ii", 65535, -65535))


def sequence_header(data: bytes) -> bytes:
    at = data.index(b"\x00\x00\x01\xb5")
    return patched(data, at + 5, bytes((data[at + 5] | 1, data[at + 6] | 0xE0)))


@pytest.mark.parametrize(
    ("lie", "made"),
    [
        (stsd, ("mp4", "libx264", "aac", "yuv420p")),
        (tkhd, ("mp4", "libx264", "aac", "yuv420p")),
        (avih, ("avi", "mjpeg", "pcm_s16le", "yuvj420p")),
        (strf, ("avi", "mjpeg", "pcm_s16le", "yuvj420p")),
        (sequence_header, ("mpeg", "mpeg2video", "mp2", "yuv420p")),
    ],
)
def test_a_header_that_claims_enormous_pictures_is_refused_before_it_is_opened(
    lie: Callable[[bytes], bytes], made: tuple[str, str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    container, video, audio, pixels = made
    data = lie(recording(container, video, audio, pixels=pixels))
    monkeypatch.setattr(decode_module, "_opened", lambda *_: pytest.fail("FFmpeg was asked"))
    assert refused(data) == MediaCode.DIMENSIONS


def test_an_enormous_webm_is_refused_before_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "_opened", lambda *_: pytest.fail("FFmpeg was asked"))
    video = element(b"\xe0", element(b"\xb0", b"\xff\xff") + element(b"\xba", b"\xff\xff"))
    tracks = element(b"\x16\x54\xae\x6b", element(b"\xae", video))
    header = element(b"\x1a\x45\xdf\xa3", element(b"\x42\x82", b"webm"))
    assert refused(header + element(b"\x18\x53\x80\x67", tracks)) == MediaCode.DIMENSIONS
    open_ended = b"\x18\x53\x80\x67\x01" + b"\xff" * 7 + tracks  # a segment of unknown size
    assert refused(header + open_ended) == MediaCode.DIMENSIONS


def element(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) | 0x4000).to_bytes(2, "big") + body


def test_pictures_that_are_larger_than_their_header_says_are_refused() -> None:
    data = recording("avi", "mjpeg", None, width=4128, height=32, fps=10, pixels="yuvj420p")
    for at in (data.index(b"avih") + 40, data.index(b"strf") + 12):
        data = patched(data, at, struct.pack("<II", 320, 32))
    assert refused(data) == MediaCode.DIMENSIONS


def test_pictures_that_change_their_size_are_refused() -> None:
    one, other = (recording("mpegts", "mpeg2video", None, width=w, height=64, seconds=1.5) for w in (96, 64))
    assert refused(one + other) == MediaCode.DIMENSIONS


# --------------------------------------------------------------------------------------------------------------------
# What is no recording


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("clip.mp4", recording())
    return file.getvalue()


def pictured(image_format: str, size: tuple[int, int] = (64, 64)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, RED).save(file, image_format)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"hello, this is text\n" * 40, id="text"),
        pytest.param(b"<!doctype html><video src=file:///etc/passwd></video>", id="html"),
        pytest.param(b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", id="m3u8"),
        pytest.param(b"ffconcat version 1.0\nfile /etc/passwd\n", id="concat"),
        pytest.param(b"<?xml version='1.0'?><MPD><Period/></MPD>", id="dash"),
        pytest.param(b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 1234 RTP/AVP 96\n", id="sdp"),
        pytest.param(b"\0" * 4096, id="zeros"),
        pytest.param(b"\xff", id="one byte"),
        pytest.param(pictured("JPEG"), id="jpeg"),
        pytest.param(pictured("GIF"), id="gif"),
        pytest.param(pictured("WEBP"), id="webp"),
        pytest.param(b"\0\0\0\x1cftypheic" + bytes(200), id="heic"),
        pytest.param(b"RIFF\xff\xff\xff\xffAVI ", id="head of an avi"),
        pytest.param(b"\x1a\x45\xdf\xa3", id="head of a webm"),
        pytest.param(b"\0\0\0\x18ftypisom" + bytes(12), id="mp4 without a moov"),
    ],
)
def test_what_is_no_recording_is_unreadable(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "_opened", lambda *_: pytest.fail("FFmpeg was asked"))
    assert refused(data) == MediaCode.UNREADABLE


def test_an_archive_is_unreadable() -> None:
    assert refused(zipped()) == MediaCode.UNREADABLE


@pytest.mark.parametrize("made", [("mp4", "aac"), ("webm", "libopus"), ("wav", "pcm_s16le"), ("ogg", "libopus")])
def test_sound_alone_is_no_recording_of_a_person(made: tuple[str, str]) -> None:
    assert refused(recording(made[0], None, made[1])) == MediaCode.NO_VIDEO


@pytest.mark.parametrize(
    ("made", "flags", "live"),
    [
        (("mp4", "libx264", "aac"), "", False),
        (("mp4", "libx264", "aac"), "+faststart", False),
        (("mp4", "libx264", "aac"), "frag_keyframe+empty_moov", False),
        (("webm", "libvpx", "libopus"), "", False),
        (("webm", "libvpx", "libopus"), "", True),
        (("avi", "mpeg4", "pcm_s16le"), "", False),
    ],
)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_recording_that_was_cut_off_is_unreadable(
    made: tuple[str, str, str], flags: str, live: bool, share: float
) -> None:
    whole = recording(*made, flags=flags, live=live, seconds=6)
    assert judged(whole).facts.duration_ms > 5500
    assert refused(whole[: int(len(whole) * share)]) == MediaCode.UNREADABLE


# --------------------------------------------------------------------------------------------------------------------
# Chance


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, taken out or put in, mostly where headers are."""
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8, 40))):
        at = chance.randrange(min(len(made), chance.choice((64, 800, len(made)))))
        match chance.randrange(4):
            case 0:
                made[at] = chance.randrange(256)
            case 1:
                made[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
            case 2:
                del made[at : at + chance.randrange(1, 40)]
            case _:
                made[at:at] = chance.randbytes(chance.randrange(1, 40))
        if len(made) < 16:
            break
    return bytes(made)


def test_any_damage_gives_a_capture_or_a_media_error() -> None:
    seed = 20261121
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    whole = [
        recording("mp4", "libx264", "aac"),
        recording("webm", "libvpx-vp9", "libopus"),
        recording("webm", "libvpx", "libopus", live=True),
        recording("avi", "mjpeg", "pcm_s16le", pixels="yuvj420p"),
        recording("mpeg", "mpeg1video", "mp2"),
        recording("mpegts", "mpeg2video", "mp2"),
    ]
    outcomes = set()
    for index in range(400):
        data = mutated(chance.choice(whole), chance)
        started = time.monotonic()
        try:
            capture = judged(data)
        except MediaError as error:
            outcomes.add(error.code)
        else:
            outcomes.add("read")
            assert len(capture.frames) <= 30 * 15 + 2
            assert all(b.at_ms > a.at_ms for a, b in pairwise(capture.frames))
        assert time.monotonic() - started < 5, f"file {index} of seed {seed} took too long"
    assert outcomes <= {"read", *MediaCode}
    assert {"read", "media_unreadable"} <= outcomes


_HEADS = (
    b"",
    b"\0\0\0\x18ftypisom",
    b"\x1a\x45\xdf\xa3",
    b"RIFF\x40\0\0\0AVI LIST",
    b"\0\0\x01\xba",
    b"\0\0\0\x10moov",
)


@settings(max_examples=200, deadline=None)
@given(head=st.sampled_from(_HEADS), rest=st.binary(max_size=600))
def test_any_bytes_give_a_capture_or_a_media_error(head: bytes, rest: bytes) -> None:
    for work in (judged, decode_picture, decode_sound, lambda d: still(d, 0), lambda d: sample_pictures(d, 500)):
        with suppress(MediaError):  # anything else fails the test
            work(head + rest)


# --------------------------------------------------------------------------------------------------------------------
# Sound alone


@pytest.mark.parametrize(
    "made",
    [
        ("wav", "pcm_s16le"),
        ("mp3", "libmp3lame"),
        ("flac", "flac"),
        ("ogg", "libopus"),
        ("mp4", "aac"),
        ("webm", "libopus"),
        ("adts", "aac"),
    ],
)
def test_sound_files_are_read(made: tuple[str, str]) -> None:
    audio = decode_sound(recording(made[0], None, made[1]))
    assert audio.rate_hz == 16_000
    assert audio.duration_ms == pytest.approx(3000, abs=100)
    assert peak_hz(audio.samples) == pytest.approx(440, abs=3)


def test_the_sound_of_a_video_is_read_and_a_silent_one_has_none() -> None:
    assert decode_sound(recording()).duration_ms == pytest.approx(3000, abs=100)
    assert code_of(lambda: decode_sound(recording(audio=None))) == MediaCode.NO_SOUND


def test_sound_is_bounded() -> None:
    assert decode_sound(recording("ogg", None, "libopus", seconds=59.9)).duration_ms == pytest.approx(59_900, abs=100)
    assert code_of(lambda: decode_sound(recording("ogg", None, "libopus", seconds=62))) == MediaCode.TOO_LONG
    assert code_of(lambda: decode_sound(b"")) == MediaCode.EMPTY
    assert code_of(lambda: decode_sound(b"RIFF\x24\0\0\0WAVEfmt ")) == MediaCode.UNREADABLE


def test_stereo_is_mixed() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="wav") as out:
        stream = out.add_stream("pcm_s16le", rate=44100)
        stream.layout = "stereo"
        samples = np.zeros((1, 2 * 44100), np.int16)
        samples[0, ::2] = 16384  # left only
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate = 44100
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    audio = decode_sound(file.getvalue())
    assert audio.samples.ndim == 1
    assert audio.samples[4000:12000].mean() == pytest.approx(0.25, abs=0.02)


# --------------------------------------------------------------------------------------------------------------------
# Pictures alone


def saved(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_pictures_are_read(image_format: str, mode: str) -> None:
    if image_format == "JPEG" and mode in ("P", "RGBA"):
        mode = "CMYK"
    image = decode_picture(saved(Image.fromarray(quarters(120, 90)).convert(mode), image_format))
    assert image.shape == (90, 120, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    if mode != "L":
        assert colours(image) == [RED, GREEN, BLUE, WHITE]


def test_the_orientation_a_phone_notes_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    image = decode_picture(saved(Image.fromarray(quarters(120, 90)), "JPEG", exif=exif))
    assert image.shape == (120, 90, 3)
    assert colours(image) == [BLUE, RED, WHITE, GREEN]


def test_a_picture_that_hides_something_under_transparency_is_refused() -> None:
    picture = Image.fromarray(quarters(64, 64)).convert("RGBA")
    picture.putpixel((5, 5), (220, 30, 30, 200))
    assert code_of(lambda: decode_picture(saved(picture, "PNG"))) == MediaCode.PICTURE_TRANSPARENT
    assert code_of(lambda: decode_picture(saved(picture, "WEBP", lossless=True))) == MediaCode.PICTURE_TRANSPARENT


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_an_animated_picture_is_refused(image_format: str) -> None:
    other = Image.fromarray(quarters(64, 64)[::-1].copy())
    data = saved(Image.fromarray(quarters(64, 64)), image_format, save_all=True, append_images=[other])
    assert code_of(lambda: decode_picture(data)) == MediaCode.PICTURE_ANIMATED


def test_picture_bounds() -> None:
    assert code_of(lambda: decode_picture(b"")) == MediaCode.EMPTY
    assert code_of(lambda: decode_picture(b"\xff\xd8\xff" + bytes(20_000_000))) == MediaCode.TOO_LARGE
    assert decode_picture(saved(Image.new("L", (8000, 5000)), "PNG")).shape == (5000, 8000, 3)
    assert code_of(lambda: decode_picture(saved(Image.new("L", (8000, 5001)), "PNG"))) == MediaCode.PICTURE_DIMENSIONS


def test_a_picture_that_claims_to_be_enormous_is_refused_before_it_is_decoded() -> None:
    small = pictured("PNG")
    huge = patched(small, 16, struct.pack(">II", 60_000, 60_000))
    assert code_of(lambda: decode_picture(huge)) in (MediaCode.PICTURE_DIMENSIONS, MediaCode.PICTURE_UNREADABLE)
    jpeg = pictured("JPEG")
    at = jpeg.index(b"\xff\xc0")
    huge = patched(jpeg, at + 5, struct.pack(">HH", 65_500, 65_500))
    assert code_of(lambda: decode_picture(huge)) == MediaCode.PICTURE_DIMENSIONS
    for webp in (pictured("WEBP"), saved(Image.new("RGB", (64, 64)), "WEBP", lossless=True)):
        at = 26 if webp[12:16] == b"VP8 " else 21
        huge = patched(webp, at, b"\xff\xff\xff\xff")
        assert code_of(partial(decode_picture, huge)) == MediaCode.PICTURE_DIMENSIONS


@pytest.mark.parametrize("data", [b"hello", pictured("GIF"), pictured("BMP"), pictured("JPEG")[:300], recording()])
def test_what_is_no_picture_is_unreadable(data: bytes) -> None:
    assert code_of(lambda: decode_picture(data)) == MediaCode.PICTURE_UNREADABLE
