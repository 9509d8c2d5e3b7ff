"""Pictures and sound to a file, one picture at a time.

With ``liveness.decode`` the only file that imports PyAV. Writes what browsers play (H.264 + AAC in mp4, its index in front)
and, for simulated recordings, what phones and browsers record (HEVC in mov, VP9 + Opus in webm).

A file is either whole or not there: it is written under another name beside its place and moved when it is closed.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from likeness.errors import EncodeError
from liveness.capture import Audio, RgbImage
from liveness.container import picture_track_headers

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.stream import VideoStream

Codec = Literal["h264", "hevc", "vp9"]
Rotation = Literal[0, 90, 180, 270]

SOUND_RATE_HZ = 48_000
"""What AAC and Opus are written at."""


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How a codec is driven. ``crf`` is its quality where the caller names none: about what a phone or a web clip has."""

    encoder: str
    sound: str
    crf: int
    options: Mapping[str, str]


_RECIPES: dict[Codec, _Recipe] = {
    # high profile 4.x, yuv420p: every browser and phone. veryfast: x264's next step costs twice the time for a tenth less.
    "h264": _Recipe("libx264", "aac", 20, {"preset": "veryfast", "profile": "high"}),
    "hevc": _Recipe("libx265", "aac", 24, {"preset": "ultrafast", "x265-params": "log-level=none"}),
    "vp9": _Recipe("libvpx-vp9", "libopus", 32, {"deadline": "realtime", "cpu-used": "8", "row-mt": "1"}),
}
_FORMATS: dict[str, tuple[str, frozenset[Codec]]] = {
    ".mp4": ("mp4", frozenset({"h264", "hevc"})),
    ".mov": ("mov", frozenset({"h264", "hevc"})),
    ".webm": ("webm", frozenset({"vp9"})),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedFile:
    """What was written. ``duration_ms`` is that of the pictures."""

    path: Path
    frame_count: int
    duration_ms: int


def encode(
    frames: Iterator[RgbImage],
    audio: Audio | None,
    *,
    width: int,
    height: int,
    fps: float,
    out: Path,
    codec: Codec = "h264",
    metadata: Mapping[str, str] | None = None,
    crf: int | None = None,
    bit_rate: int | None = None,
    rotation: Rotation = 0,
    progress: Callable[[int], None] | None = None,
) -> EncodedFile:
    """Write ``frames`` and ``audio`` to ``out`` (``.mp4``, ``.mov`` or ``.webm``), replacing what is there.

    frames : upright ``(height, width, 3) uint8 RGB``, taken one at a time; a generator is closed in any case.
    audio : any rate; moved to its ``start_ms`` on the clock of the pictures. ``None`` gives a silent file without a track.
    fps : pictures a second.
    metadata : container tags; any key is kept in mp4 and mov.
    crf, bit_rate : quality, or bits a second in its place.
    rotation : store the pictures turned and say by how many degrees clockwise a player must turn them, as a phone that is
        held upright does (mp4 and mov only). They look the same played.
    progress : called with the number of pictures written so far.

    Raises EncodeError; whatever ``frames`` raises goes through. In both cases nothing is left at or beside ``out``.
    """
    container_format = _check(out, codec, width, height, fps, rotation)
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        count = _write(
            part,
            container_format,
            _Pictures(frames, width=width, height=height, rotation=rotation, progress=progress),
            audio,
            recipe=_RECIPES[codec],
            fps=Fraction(fps).limit_denominator(1001),
            quality=_quality(_RECIPES[codec], crf, bit_rate),
            metadata=dict(metadata or {}),
        )
        if rotation:
            _say_rotation(part, rotation)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
        if isinstance(frames, Generator):
            frames.close()
    return EncodedFile(path=out, frame_count=count, duration_ms=round(1000 * count / fps))


def _check(out: Path, codec: Codec, width: int, height: int, fps: float, rotation: Rotation) -> str:
    container_format, codecs = _FORMATS.get(out.suffix.lower(), ("", frozenset[Codec]()))
    if codec not in codecs:
        raise EncodeError(f"{codec} does not go into a {out.suffix or 'nameless'} file")
    if width < 16 or height < 16 or width % 2 or height % 2:
        raise EncodeError(f"{width}x{height} pixels, even sides from 16 wanted")
    if not 1 <= fps <= 120:
        raise EncodeError(f"{fps} pictures a second, 1 to 120 wanted")
    if rotation and container_format == "webm":
        raise EncodeError("a webm cannot say how it is turned")
    return container_format


def _quality(recipe: _Recipe, crf: int | None, bit_rate: int | None) -> dict[str, str]:
    if bit_rate is not None:
        return {"b": str(bit_rate)}
    return {"crf": str(recipe.crf if crf is None else crf)}


@dataclass(slots=True)
class _Pictures:
    """The pictures in the order they go to the file, each checked and turned as it will be stored."""

    frames: Iterator[RgbImage]
    width: int
    height: int
    rotation: Rotation
    progress: Callable[[int], None] | None

    @property
    def stored_size(self) -> tuple[int, int]:
        return (self.height, self.width) if self.rotation in (90, 270) else (self.width, self.height)

    def __iter__(self) -> Iterator[RgbImage]:
        for count, image in enumerate(self.frames, start=1):
            if image.shape != (self.height, self.width, 3) or image.dtype != np.uint8:
                raise EncodeError(
                    f"picture {count} is {image.dtype} {image.shape}, uint8 ({self.height}, {self.width}, 3) wanted"
                )
            yield np.ascontiguousarray(np.rot90(image, self.rotation // 90))
            if self.progress is not None:
                self.progress(count)


def _write(
    part: Path,
    container_format: str,
    pictures: _Pictures,
    audio: Audio | None,
    *,
    recipe: _Recipe,
    fps: Fraction,
    quality: dict[str, str],
    metadata: dict[str, str],
) -> int:
    """The number of pictures written."""
    import av
    from av.error import FFmpegError

    # faststart: a player may begin before it has all of the file. use_metadata_tags: keys of our own are kept.
    flags = {} if container_format == "webm" else {"movflags": "+faststart+use_metadata_tags"}
    try:
        with av.open(str(part), "w", format=container_format, container_options=flags) as container:
            container.metadata.update(metadata)
            video = _video_stream(container, recipe, fps, pictures.stored_size, quality)
            sound = _SoundTrack(container, recipe, audio) if audio is not None else None
            count = _interleave(container, video, sound, pictures, fps)
    except FFmpegError as error:
        raise EncodeError(f"could not be written ({type(error).__name__})") from error
    if count == 0:
        raise EncodeError("there was no picture to write")
    return count


def _video_stream(
    container: OutputContainer, recipe: _Recipe, fps: Fraction, size: tuple[int, int], quality: dict[str, str]
) -> VideoStream:
    from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc
    from av.video.stream import VideoStream

    stream = container.add_stream(recipe.encoder, rate=fps, options={**recipe.options, **quality})
    if not isinstance(stream, VideoStream):
        raise EncodeError(f"{recipe.encoder} does not write pictures")
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.gop_size = max(1, round(2 * fps))  # two seconds: what seeking in a browser waits for at most
    context.color_primaries = int(ColorPrimaries.BT709)
    context.color_trc = int(ColorTrc.BT709)
    context.colorspace = 1  # AVCOL_SPC_BT709
    context.color_range = int(ColorRange.MPEG)
    if recipe.encoder == "libx265":
        context.codec_tag = "hvc1"  # Apple's players know HEVC by this name only
    return stream


def _interleave(
    container: OutputContainer, video: VideoStream, sound: _SoundTrack | None, pictures: _Pictures, fps: Fraction
) -> int:
    from av.video.frame import VideoFrame
    from av.video.reformatter import Colorspace, VideoReformatter

    reformatter = VideoReformatter()
    count = 0
    for image in pictures:
        frame = reformatter.reformat(
            VideoFrame.from_ndarray(image, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range="MPEG",
            interpolation="BILINEAR",
            threads=2,
        )
        frame.pts, frame.time_base = count, 1 / fps
        container.mux(video.encode(frame))
        count += 1
        if sound is not None:
            sound.write_until(count / fps)
    if count:
        container.mux(video.encode(None))
        if sound is not None:
            sound.finish()
    return count


class _SoundTrack:
    """The sound of the file, written little by little so that it lies beside the pictures it belongs to."""

    def __init__(self, container: OutputContainer, recipe: _Recipe, audio: Audio) -> None:
        from av.audio.stream import AudioStream

        stream = container.add_stream(recipe.sound, rate=SOUND_RATE_HZ, options={"b": "96000"})
        if not isinstance(stream, AudioStream):
            raise EncodeError(f"{recipe.sound} does not write sound")
        stream.codec_context.layout = "mono"
        self._container = container
        self._stream: AudioStream = stream
        self._samples = _on_clock(audio)
        self._format = "flt" if recipe.sound == "libopus" else "fltp"
        self._done = 0

    def write_until(self, seconds: Fraction) -> None:
        self._write(min(len(self._samples), int(seconds * SOUND_RATE_HZ)))

    def finish(self) -> None:
        self._write(len(self._samples))
        self._container.mux(self._stream.encode(None))

    def _write(self, end: int) -> None:
        from av.audio.frame import AudioFrame

        if end <= self._done:
            return
        frame = AudioFrame.from_ndarray(self._samples[None, self._done : end], format=self._format, layout="mono")
        frame.sample_rate = SOUND_RATE_HZ
        frame.pts, frame.time_base = self._done, Fraction(1, SOUND_RATE_HZ)
        self._container.mux(self._stream.encode(frame))
        self._done = end


def _on_clock(audio: Audio) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """The samples at 48 kHz, with silence before or the beginning cut so that the first one sounds at 0 ms."""
    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler

    if audio.rate_hz <= 0 or audio.samples.ndim != 1:
        raise EncodeError(f"sound of shape {audio.samples.shape} at {audio.rate_hz} Hz, one channel wanted")
    samples = np.clip(audio.samples, -1.0, 1.0).astype(np.float32)
    if audio.rate_hz != SOUND_RATE_HZ and len(samples):
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="flt", layout="mono")
        frame.sample_rate, frame.time_base = audio.rate_hz, Fraction(1, audio.rate_hz)
        resampler = AudioResampler(format="flt", layout="mono", rate=SOUND_RATE_HZ)
        parts = [*resampler.resample(frame), *resampler.resample(None)]
        samples = np.concatenate([part.to_ndarray().reshape(-1) for part in parts]).astype(np.float32)
    lead = round(audio.start_ms * SOUND_RATE_HZ / 1000)
    return np.concatenate([np.zeros(lead, np.float32), samples]) if lead > 0 else samples[-lead:]


_MATRICES: dict[int, tuple[int, int, int, int]] = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def _say_rotation(part: Path, rotation: Rotation) -> None:
    """Write the display matrix (ISO/IEC 14496-12, 8.3.2) into the header of the picture track; PyAV has no way to."""
    a, b, c, d = (v << 16 for v in _MATRICES[rotation])
    data = part.read_bytes()
    with part.open("r+b") as file:
        for _, end in picture_track_headers(data):
            file.seek(end - 44)
            file.write(struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30))
