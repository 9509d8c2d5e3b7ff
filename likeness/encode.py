"""Pictures and sound to a file, one picture at a time.

With ``liveness.decode`` and ``likeness.sound_av`` the only file that imports PyAV. Writes what browsers play (H.264 + AAC in
mp4, its index in front) and, for simulated recordings, what phones and browsers record (HEVC in mov, VP9 + Opus in webm).

A file is either whole or not there: it is written under another name beside its place and moved when it is closed.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from likeness.errors import EncodeError
from likeness.soundtrack import SOUND_RATE_HZ, Sound
from liveness.capture import Audio, RgbImage
from liveness.container import picture_track_headers

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.stream import VideoStream

Codec = Literal["h264", "hevc", "vp9"]
Rotation = Literal[0, 90, 180, 270]

_SOUND_BITS = (96_000, 160_000)  # a second, of one channel and of two


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
    audio: Audio | Sound | None,
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
    times_ms: Sequence[float] | None = None,
    fast: bool = False,
    unsigned: bool = False,
    progress: Callable[[int], None] | None = None,
) -> EncodedFile:
    """Write ``frames`` and ``audio`` to ``out`` (``.mp4``, ``.mov`` or ``.webm``), replacing what is there.

    frames : upright ``(height, width, 3) uint8 RGB``, taken one at a time; a generator is closed in any case.
    audio : any rate, one channel or two; moved to its ``start_ms`` on the clock of the pictures. ``None`` gives a silent file
        without a track.
    fps : pictures a second.
    metadata : container tags; any key is kept in mp4 and mov.
    crf, bit_rate : quality, or bits a second in its place.
    rotation : store the pictures turned and say by how many degrees clockwise a player must turn them, as a phone that is
        held upright does (mp4 and mov only). They look the same played.
    times_ms : when each picture is shown, rising from 0, as a camera with an unsteady clock has it; ``None``: every 1/fps.
    fast : spend less time and more bytes (H.264 only).
    unsigned : the file does not name the program that wrote it, as one who injects a recording sees to.
    progress : called with the number of pictures written so far.

    Raises EncodeError; whatever ``frames`` raises goes through. In both cases nothing is left at or beside ``out``.
    """
    container_format = _check(out, codec, width, height, fps, rotation)
    if times_ms is not None and any(later * 90 - earlier * 90 < 1 for earlier, later in pairwise(times_ms)):
        raise EncodeError("the times of the pictures do not rise")
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        count = _write(
            part,
            container_format,
            _Pictures(frames, width=width, height=height, rotation=rotation, progress=progress),
            audio,
            recipe=_recipe(codec, fast),
            times_ms=times_ms,
            fps=Fraction(fps).limit_denominator(1001),
            quality=_quality(_RECIPES[codec], crf, bit_rate),
            metadata=dict(metadata or {}),
            unsigned=unsigned,
        )
        if rotation:
            _say_rotation(part, rotation)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
        if isinstance(frames, Generator):
            frames.close()
    last_ms = 1000 * (count - 1) / fps if times_ms is None else times_ms[count - 1]
    return EncodedFile(path=out, frame_count=count, duration_ms=round(last_ms + 1000 / fps))


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


def _recipe(codec: Codec, fast: bool) -> _Recipe:
    recipe = _RECIPES[codec]
    return replace(recipe, options={**recipe.options, "preset": "ultrafast"}) if fast and codec == "h264" else recipe


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
    audio: Audio | Sound | None,
    *,
    recipe: _Recipe,
    times_ms: Sequence[float] | None,
    fps: Fraction,
    quality: dict[str, str],
    metadata: dict[str, str],
    unsigned: bool,
) -> int:
    """The number of pictures written."""
    import av
    from av.error import FFmpegError

    # faststart: a player may begin before it has all of the file. use_metadata_tags: keys of our own are kept.
    flags = {} if container_format == "webm" else {"movflags": "+faststart+use_metadata_tags"}
    if unsigned:
        flags["fflags"] = "+bitexact"
    try:
        with av.open(str(part), "w", format=container_format, container_options=flags) as container:
            container.metadata.update(metadata)
            video = _video_stream(container, recipe, _Clock(fps, times_ms), pictures.stored_size, quality)
            sound = _SoundTrack(container, recipe, audio) if audio is not None else None
            count = _interleave(container, video, sound, pictures, _Clock(fps, times_ms))
    except FFmpegError as error:
        raise EncodeError(f"could not be written ({type(error).__name__})") from error
    if count == 0:
        raise EncodeError("there was no picture to write")
    return count


def _video_stream(
    container: OutputContainer, recipe: _Recipe, clock: _Clock, size: tuple[int, int], quality: dict[str, str]
) -> VideoStream:
    from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc
    from av.video.stream import VideoStream

    stream = container.add_stream(recipe.encoder, rate=clock.fps, options={**recipe.options, **quality})
    if not isinstance(stream, VideoStream):
        raise EncodeError(f"{recipe.encoder} does not write pictures")
    stream.width, stream.height = size
    if clock.times_ms is not None:
        stream.codec_context.time_base = clock.tick
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.gop_size = max(1, round(2 * clock.fps))  # two seconds: what seeking in a browser waits for at most
    context.color_primaries = int(ColorPrimaries.BT709)
    context.color_trc = int(ColorTrc.BT709)
    context.colorspace = 1  # AVCOL_SPC_BT709
    context.color_range = int(ColorRange.MPEG)
    if recipe.encoder == "libx265":
        context.codec_tag = "hvc1"  # Apple's players know HEVC by this name only
    return stream


@dataclass(frozen=True, slots=True)
class _Clock:
    """When pictures are shown: every 1/fps, or at given times."""

    fps: Fraction
    times_ms: Sequence[float] | None

    @property
    def tick(self) -> Fraction:
        """Seconds."""
        return 1 / self.fps if self.times_ms is None else Fraction(1, 90_000)  # what cameras count time in

    def ticks(self, number: int) -> int:
        """Ticks from the beginning to the picture of this number."""
        if self.times_ms is None:
            return number
        if number < len(self.times_ms):
            return round(self.times_ms[number] * 90)
        raise EncodeError(f"picture {number + 1} has no time, {len(self.times_ms)} have")


def _interleave(
    container: OutputContainer, video: VideoStream, sound: _SoundTrack | None, pictures: _Pictures, clock: _Clock
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
        frame.pts, frame.time_base = clock.ticks(count), clock.tick
        container.mux(video.encode(frame))
        if sound is not None:
            sound.write_until(clock.ticks(count) * clock.tick + 1 / clock.fps)
        count += 1
    if count:
        container.mux(video.encode(None))
        if sound is not None:
            sound.finish()
    return count


class _SoundTrack:
    """The sound of the file, written little by little so that it lies beside the pictures it belongs to."""

    def __init__(self, container: OutputContainer, recipe: _Recipe, audio: Audio | Sound) -> None:
        from av.audio.stream import AudioStream

        self._samples = _on_clock(audio)
        channels = len(self._samples)
        self._layout = "mono" if channels == 1 else "stereo"
        bits = {"b": str(_SOUND_BITS[channels - 1])}
        stream = container.add_stream(recipe.sound, rate=SOUND_RATE_HZ, options=bits)
        if not isinstance(stream, AudioStream):
            raise EncodeError(f"{recipe.sound} does not write sound")
        stream.codec_context.layout = self._layout
        self._container = container
        self._stream: AudioStream = stream
        self._format = "flt" if recipe.sound == "libopus" else "fltp"
        self._done = 0

    def write_until(self, seconds: Fraction) -> None:
        self._write(min(self._samples.shape[1], int(seconds * SOUND_RATE_HZ)))

    def finish(self) -> None:
        self._write(self._samples.shape[1])
        self._container.mux(self._stream.encode(None))

    def _write(self, end: int) -> None:
        from av.audio.frame import AudioFrame

        if end <= self._done:
            return
        part = self._samples[:, self._done : end]
        if self._format == "flt":  # packed: left and right take turns
            part = part.T.reshape(1, -1)
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(part), format=self._format, layout=self._layout)
        frame.sample_rate = SOUND_RATE_HZ
        frame.pts, frame.time_base = self._done, Fraction(1, SOUND_RATE_HZ)
        self._container.mux(self._stream.encode(frame))
        self._done = end


def _on_clock(audio: Audio | Sound) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """``(channels, n)`` at 48 kHz, with silence before or the beginning cut so that the first sample sounds at 0 ms."""
    lead = round(audio.start_ms * SOUND_RATE_HZ / 1000)
    samples = np.clip(audio.samples, -1.0, 1.0) if isinstance(audio, Sound) else _resampled(audio)[None]
    return np.pad(samples, ((0, 0), (lead, 0))) if lead > 0 else samples[:, -lead:]


def _resampled(audio: Audio) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
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
    return samples


_MATRICES: dict[int, tuple[int, int, int, int]] = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def _say_rotation(part: Path, rotation: Rotation) -> None:
    """Write the display matrix (ISO/IEC 14496-12, 8.3.2) into the header of the picture track; PyAV has no way to."""
    a, b, c, d = (v << 16 for v in _MATRICES[rotation])
    data = part.read_bytes()
    with part.open("r+b") as file:
        for _, end in picture_track_headers(data):
            file.seek(end - 44)
            file.write(struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30))


# --- while it is recorded --------------------------------------------------------------------------------------------


class GrowingWebm:
    """A recording as a browser makes it: VP8 and Opus in webm, handed out in chunks while it is made.

    What :meth:`taken` gives, put together, is the file. Pictures and sound are given in the order of their time.
    """

    def __init__(
        self, *, width: int, height: int, bit_rate: int = 1_500_000, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Raises EncodeError."""
        import av
        from av.error import FFmpegError

        self._out = _Chunks()
        try:
            # a cluster is written when the next begins: short ones, or the newest pictures wait in the writer
            options = {"live": "1", "cluster_time_limit": "40", "flush_packets": "1"}
            self._container = av.open(self._out, "w", format="webm", container_options=options)
            self._container.metadata.update(metadata or {})
            # in real time: constrained effort, no frames held back
            effort = {"deadline": "realtime", "cpu-used": "12", "lag-in-frames": "0", "error-resilient": "1"}
            self._video = self._container.add_stream("libvpx", rate=30, options=effort)
            self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
            self._video.bit_rate = bit_rate
            self._video.codec_context.time_base = Fraction(1, 1000)
            self._video.codec_context.gop_size = 100
            self._audio = self._container.add_stream("libopus", rate=SOUND_RATE_HZ, options={"b": "64000"})
            self._audio.codec_context.layout = "mono"
        except FFmpegError as error:
            raise EncodeError(f"could not be begun ({type(error).__name__})") from error
        self._heard = 0
        self._waiting = np.zeros(0, np.float32)

    def picture(self, image: RgbImage, at_ms: int) -> None:
        """The next picture; ``at_ms`` rises."""
        from av.video.frame import VideoFrame

        frame = VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = at_ms, Fraction(1, 1000)
        self._container.mux(self._video.encode(frame))

    def sound(self, samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
        """The next samples, 48 kHz mono."""
        from av.audio.frame import AudioFrame

        self._waiting = np.concatenate([self._waiting, samples])
        while len(self._waiting) >= _OPUS_SAMPLES:
            part, self._waiting = self._waiting[:_OPUS_SAMPLES], self._waiting[_OPUS_SAMPLES:]
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(part[None]), format="flt", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE_HZ, self._heard, Fraction(1, SOUND_RATE_HZ)
            self._heard += _OPUS_SAMPLES
            self._container.mux(self._audio.encode(frame))

    def taken(self) -> bytes:
        """The bytes since this was asked last."""
        return self._out.taken()

    def close(self) -> None:
        """What is still inside goes out."""
        self._container.mux(self._video.encode(None))
        self._container.mux(self._audio.encode(None))
        self._container.close()


_OPUS_SAMPLES = 960  # 20 ms


class _Chunks:
    """A file that can only be written on."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def taken(self) -> bytes:
        taken, self._written = bytes(self._written), bytearray()
        return taken
