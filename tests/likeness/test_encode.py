"""Pictures and sound become a file that browsers play, or no file at all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest

from likeness.encode import encode
from likeness.errors import EncodeError
from liveness.capture import Audio, RgbImage
from liveness.decode import decode, still
from liveness.policy import STRICT

COLOURS = ((220, 30, 30), (30, 200, 30), (30, 30, 220), (240, 240, 240))


def quarters(width: int, height: int) -> RgbImage:
    """Red, green, blue, white in reading order."""
    image = np.empty((height, width, 3), np.uint8)
    halves = ((slice(None, height // 2), slice(height // 2, None)), (slice(None, width // 2), slice(width // 2, None)))
    for index, colour in enumerate(COLOURS):
        image[halves[0][index // 2], halves[1][index % 2]] = colour
    return image


def frames(count: int, width: int = 96, height: int = 64) -> Iterator[RgbImage]:
    for _ in range(count):
        yield quarters(width, height)


def tone(seconds: float, rate_hz: int = 22_050, start_ms: int = 0) -> Audio:
    samples = 0.4 * np.sin(2 * math.pi * 440 * np.arange(int(seconds * rate_hz)) / rate_hz)
    return Audio(samples=samples.astype(np.float32), rate_hz=rate_hz, start_ms=start_ms)


@pytest.mark.parametrize(
    ("name", "codec", "says"),
    [
        ("clip.mp4", "h264", ("mp4", "h264", "aac")),
        ("phone.mov", "hevc", ("mov", "hevc", "aac")),
        ("browser.webm", "vp9", ("webm", "vp9", "opus")),
    ],
)
def test_what_is_written_is_what_was_given(
    tmp_path: Path, name: str, codec: Literal["h264", "hevc", "vp9"], says: tuple[str, str, str]
) -> None:
    done: list[int] = []
    file = encode(
        frames(72), tone(3), width=96, height=64, fps=24, out=tmp_path / name, codec=codec, progress=done.append
    )

    assert (file.path, file.frame_count, file.duration_ms) == (tmp_path / name, 72, 3000)
    assert done == list(range(1, 73))
    capture = decode((tmp_path / name).read_bytes(), policy=STRICT)
    facts = capture.facts
    assert (facts.container, facts.video_codec, facts.audio_codec) == says
    assert (facts.width, facts.height, facts.source_frames) == (96, 64, 72)
    assert facts.source_fps == pytest.approx(24, abs=0.2)
    assert capture.audio is not None
    assert capture.audio.duration_ms == pytest.approx(3000, abs=60)
    spectrum = np.abs(np.fft.rfft(capture.audio.samples[8000:40000]))
    assert np.argmax(spectrum) / 2 == pytest.approx(440, abs=3)
    image = still((tmp_path / name).read_bytes(), 1000)
    for colour, (y, x) in zip(COLOURS, ((16, 24), (16, 72), (48, 24), (48, 72)), strict=True):
        assert np.abs(image[y - 4 : y + 4, x - 4 : x + 4].mean((0, 1)) - colour).max() < 8
    assert list(tmp_path.iterdir()) == [tmp_path / name]


@pytest.mark.parametrize(("name", "codec"), [("clip.mp4", "h264"), ("clip.webm", "vp9")])
def test_pictures_are_shown_when_they_were_taken(tmp_path: Path, name: str, codec: Literal["h264", "vp9"]) -> None:
    times = [0, 30, 71, 99, 140, 166, 201, 260]
    file = encode(frames(8), tone(0.3), width=96, height=64, fps=30, out=tmp_path / name, codec=codec, times_ms=times)
    assert file.duration_ms == 293
    with av.open(str(file.path)) as container:
        shown = [round(1000 * float(frame.time)) for frame in container.decode(video=0)]
    assert shown == pytest.approx(times, abs=1)


@pytest.mark.parametrize(("times", "says"), [([0, 30, 30], "rise"), ([0, 30, 20], "rise"), ([0, 30], "no time")])
def test_pictures_without_a_time_of_their_own_are_refused(tmp_path: Path, times: list[float], says: str) -> None:
    with pytest.raises(EncodeError, match=says):
        encode(frames(3), None, width=96, height=64, fps=30, out=tmp_path / "clip.mp4", times_ms=times)
    assert list(tmp_path.iterdir()) == []


def test_a_file_made_in_haste_shows_the_same(tmp_path: Path) -> None:
    out = encode(frames(24), None, width=96, height=64, fps=24, out=tmp_path / "clip.mp4", fast=True).path
    image = still(out.read_bytes(), 500)
    assert np.abs(image[12:20, 20:28].mean((0, 1)) - COLOURS[0]).max() < 8


def test_the_file_suits_browsers(tmp_path: Path) -> None:
    out = encode(frames(48), tone(2), width=96, height=64, fps=24, out=tmp_path / "clip.mp4").path
    data = out.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(out)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert video.codec_context.pix_fmt == "yuv420p"
        assert video.codec_context.profile == "High"
        assert (video.codec_context.color_primaries, video.codec_context.color_trc) == (1, 1)
        assert (video.codec_context.colorspace, video.codec_context.color_range) == (1, 1)
        assert (sound.codec_context.name, sound.codec_context.sample_rate) == ("aac", 48_000)


def test_metadata_of_our_own_is_kept(tmp_path: Path) -> None:
    metadata = {"comment": "made for a test", "AIGC": '{"Label":"1"}'}
    out = tmp_path / "clip.mp4"
    encode(frames(24), None, width=96, height=64, fps=24, out=out, metadata=metadata)
    with av.open(str(out)) as container:
        assert metadata.items() <= container.metadata.items()
        assert len(container.streams) == 1


@pytest.mark.parametrize("start_ms", [-300, 0, 700])
def test_sound_is_put_where_it_belongs(tmp_path: Path, start_ms: int) -> None:
    out = tmp_path / "clip.mp4"
    encode(frames(72), tone(2, start_ms=start_ms), width=96, height=64, fps=24, out=out)
    audio = decode(out.read_bytes(), policy=STRICT).audio
    assert audio is not None
    heard_ms = np.flatnonzero(np.abs(audio.samples) > 0.05)[[0, -1]] / 16 + audio.start_ms
    assert heard_ms[0] == pytest.approx(max(0, start_ms), abs=30)
    assert heard_ms[1] == pytest.approx(2000 + start_ms, abs=40)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_recording_of_a_turned_phone_plays_upright(tmp_path: Path, rotation: Literal[90, 180, 270]) -> None:
    out = tmp_path / "phone.mp4"
    encode(frames(48, 64, 96), None, width=64, height=96, fps=24, out=out, rotation=rotation)
    with av.open(str(out)) as container:
        stored = container.streams.video[0].codec_context
        assert (stored.width, stored.height) == ((64, 96) if rotation == 180 else (96, 64))
    image = still(out.read_bytes(), 1000)
    assert image.shape == (96, 64, 3)
    assert np.abs(image.astype(int) - quarters(64, 96)).mean() < 6


def test_frames_are_taken_one_at_a_time(tmp_path: Path) -> None:
    alive: list[int] = []

    def counted() -> Iterator[RgbImage]:
        for index in range(40):
            alive.append(index)
            yield quarters(96, 64)

    seen: list[int] = []
    out = tmp_path / "clip.mp4"
    encode(counted(), None, width=96, height=64, fps=24, out=out, progress=lambda n: seen.append(len(alive) - n))
    assert set(seen) == {0}


class GeneratorBroke(Exception):
    pass


def breaking(after: int, closed: list[bool]) -> Iterator[RgbImage]:
    try:
        yield from frames(after)
        raise GeneratorBroke
    finally:
        closed.append(True)


@pytest.mark.parametrize("after", [0, 1, 30])
def test_a_generator_that_breaks_leaves_nothing(tmp_path: Path, after: int) -> None:
    closed: list[bool] = []
    with pytest.raises(GeneratorBroke):
        encode(breaking(after, closed), tone(1), width=96, height=64, fps=24, out=tmp_path / "clip.mp4")
    assert closed == [True]
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    encode(frames(24), None, width=96, height=64, fps=24, out=out)
    before = out.read_bytes()
    with pytest.raises(GeneratorBroke):
        encode(breaking(5, []), None, width=96, height=64, fps=24, out=out)
    assert out.read_bytes() == before


def test_stopping_from_the_progress_call_closes_the_generator(tmp_path: Path) -> None:
    closed: list[bool] = []

    def stop(count: int) -> None:
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(breaking(30, closed), None, width=96, height=64, fps=24, out=tmp_path / "clip.mp4", progress=stop)
    assert closed == [True]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("width", "height", "fps", "name", "codec", "image"),
    [
        (95, 64, 24, "clip.mp4", "h264", (64, 95, 3)),
        (96, 0, 24, "clip.mp4", "h264", (0, 96, 3)),
        (96, 64, 0, "clip.mp4", "h264", (64, 96, 3)),
        (96, 64, 24, "clip.webm", "h264", (64, 96, 3)),
        (96, 64, 24, "clip.mp4", "vp9", (64, 96, 3)),
        (96, 64, 24, "clip", "h264", (64, 96, 3)),
        (96, 64, 24, "clip.mp4", "h264", (96, 64, 3)),
        (96, 64, 24, "clip.mp4", "h264", (64, 96)),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path,
    width: int,
    height: int,
    fps: float,
    name: str,
    codec: Literal["h264", "hevc", "vp9"],
    image: tuple[int, ...],
) -> None:
    with pytest.raises(EncodeError):
        encode(
            iter([np.zeros(image, np.uint8)]),
            None,
            width=width,
            height=height,
            fps=fps,
            out=tmp_path / name,
            codec=codec,
        )
    assert list(tmp_path.iterdir()) == []


def test_no_pictures_make_no_file(tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match="no picture"):
        encode(iter(()), tone(1), width=96, height=64, fps=24, out=tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []
