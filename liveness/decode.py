"""Untrusted bytes to a :class:`~liveness.capture.Capture`, a picture or a sound, within bounds.

The only reader of media, and with ``likeness.encode`` the only file that imports PyAV. Whatever the bytes are, what comes
out is a value of :mod:`liveness.capture` or a :class:`~liveness.errors.MediaError`; nothing else leaves.

Decided here: the container is recognised from the bytes, and FFmpeg is told which single demuxer to use. It never guesses,
so a playlist, a text or a list of files to join is refused before FFmpeg sees it; there is no protocol it could follow, for
it gets the bytes in memory. What the headers claim is read first by code of our own (:mod:`liveness.container`): FFmpeg repairs
a header that lies, we refuse it. Headers may still be wrong about what follows, so the same limits are held again while
frames come out.

Codes of :class:`MediaError`, see :class:`MediaCode`.
"""

from __future__ import annotations

import hashlib
import io
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from liveness.capture import Audio, Capture, Frame, MediaFacts, RgbImage
from liveness.container import Container, CutOff, declared_sides, recognise
from liveness.errors import MediaError
from liveness.live import PacketAt
from liveness.policy import STRICT, LivenessPolicy

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler
    from av.audio.stream import AudioStream
    from av.codec.context import CodecContext
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream
    from PIL.ImageFile import ImageFile


class MediaCode(StrEnum):
    """Why bytes were not accepted."""

    EMPTY = "media_empty"
    TOO_LARGE = "media_too_large"
    UNREADABLE = "media_unreadable"  # not a recording, cut off, or broken inside
    NO_VIDEO = "media_no_video"
    NO_SOUND = "media_no_sound"  # only where sound alone was asked for; a silent recording is judged, not refused
    TOO_LONG = "media_too_long"
    TOO_SHORT = "media_too_short"
    DIMENSIONS = "media_dimensions"
    TOO_MANY_STREAMS = "media_too_many_streams"
    CODEC = "media_codec"
    FRAME_RATE = "media_frame_rate"
    PICTURE_UNREADABLE = "media_picture_unreadable"
    PICTURE_DIMENSIONS = "media_picture_dimensions"
    PICTURE_TRANSPARENT = "media_picture_transparent"  # viewers and generators may see different things in it
    PICTURE_ANIMATED = "media_picture_animated"  # only one of its pictures would be looked at


SOUND_RATE_HZ = 16_000
"""Every ``Audio`` of this module has this rate: what the recognisers were trained on."""

MAX_PICTURE_BYTES = 20_000_000
MAX_PICTURE_PIXELS = 40_000_000  # above the 12 to 24 million of phones; 120 MB as RGB
MAX_SOUND_BYTES = 20_000_000
MAX_SOUND_MS = 60_000

_VIDEO_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mpeg1video", "mpeg2video", "mpeg4", "mjpeg"})
_AUDIO_CODECS = frozenset({"aac", "opus", "vorbis", "mp3", "mp2", "flac"})  # and every pcm_*
_DECODERS = ",".join(
    (
        *("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg1video", "mpeg2video", "mpeg4", "mjpeg"),
        *("aac", "opus", "libopus", "vorbis", "libvorbis", "mp3", "mp3float", "mp2", "mp2float", "flac"),
        *("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_u8", "pcm_s8"),
        *("pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_alaw", "pcm_mulaw"),
    )
)
_MPEG_DECODERS = "mpeg1video,mpeg2video,mp2,mp2float,mp3,mp3float"

_MAX_NESTED_STREAMS = 64  # FFmpeg stops adding tracks here; our own, lower limit then names the reason
_MAX_PIXELS_DECODED = 10_000_000_000  # 30 s of 4K at 30 a second are 7.5e9; bounds the time of one decode
_MAX_BAD_PACKETS = 30  # a recorder's own file has none; a few survive a bad start
_LEAST_READABLE_MS = 1_000  # a recording that breaks off before this was never one
_WIDEST = 2.25  # long side : short side of a scaled frame; phones go to 2.22. Bounds memory, not what is accepted
_MAX_THREADS = 4
_STALL_S = 10.0


# --------------------------------------------------------------------------------------------------------------------
# What the service asks for


def decode(data: bytes, *, policy: LivenessPolicy) -> Capture:
    """A recording, ready to be judged.

    data : the bytes as received; mp4, mov, webm, matroska, avi or mpeg.
    policy : its media limits hold before and during decoding.

    Frames are upright, at most ``policy.analysis_fps`` a second and at most ``policy.analysis_short_side`` on the short
    side. Sound is mono 16 kHz, or ``None``: that is for the checks to judge.

    Raises MediaError.
    """
    with open_recording(data, policy=policy) as recording:
        frames = tuple(picture.frame for picture in recording.pictures())
        return recording.capture(frames)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A frame to be judged, and the decoded one in full size that it was made of; who keeps the latter keeps its memory."""

    frame: Frame
    _source: VideoFrame = field(repr=False)

    def full_size(self) -> RgbImage:
        """Upright, as large as it was recorded. Raises MediaError."""
        with _only_media_errors():
            return _Scaler(short_side=None)(self._source)


class Recording:
    """A recording that is being read: its sound is there at once, its pictures come one by one. One thread at a time.

    Bytes are read twice, for the sound and for the pictures, so that hearing can begin before the first picture is looked
    at; reading them costs a hundredth of decoding them.
    """

    def __init__(self, data: bytes, policy: LivenessPolicy, within: ExitStack) -> None:
        # 1. Size, container, completeness and declared sides, from the bytes alone.
        self._kind = _check_headers(data, max_bytes=int(policy.max_bytes.value), max_side=int(policy.max_side.value))
        self._policy = policy
        self.sha256 = hashlib.sha256(data).hexdigest()
        # 2. Tracks, codecs, declared duration and frame count, from FFmpeg's reading of the headers.
        self._container = within.enter_context(_opened(data, self._kind))
        video, self._audio_stream = _tracks(self._container, policy)
        _check_declared_length(self._kind, video, policy)
        # 3. The first picture, by whose time everything is counted; the whole sound.
        self._film = _Film(self._container, video, policy=policy)
        self._shots = self._film.shots()
        self._first = next(self._shots, None)
        self._sound = None if self._audio_stream is None else _sound_track(data, self._kind, policy)
        self.audio = None if self._sound is None else self._sound.audio(self._film.start_ms)
        """Mono 16 kHz, or ``None``: that is for the checks to judge."""

    def pictures(self) -> Iterator[Picture]:
        """Each frame to be judged, once. Every limit is held again; only the thinned ones are scaled. Raises MediaError."""
        with _only_media_errors():
            scale = _Scaler(short_side=int(self._policy.analysis_short_side.value))
            step_ms = 1000 / self._policy.analysis_fps.value
            shots = self._shots if self._first is None else chain((self._first,), self._shots)
            self._first = None
            for shot in _nearest_to_grid(shots, step_ms):
                frame = Frame(at_ms=shot.at_ms, image=scale.planes(shot.frame))
                yield Picture(frame=frame, _source=shot.frame)

    def capture(self, frames: tuple[Frame, ...]) -> Capture:
        """What was read, after the last picture. ``frames`` : of all the pictures. Raises MediaError."""
        with _only_media_errors():
            # 4. What is known only at the end.
            facts = _facts(self._kind, self._container, self._film, self._sound, self._audio_stream)
            _check_found_length(self._film, facts, self._policy)
            return Capture(sha256=self.sha256, frames=frames, audio=self.audio, facts=facts)


@contextmanager
def open_recording(data: bytes, *, policy: LivenessPolicy) -> Iterator[Recording]:
    """See :func:`decode`, which reads it all; here the reader takes the pictures one by one.

    Raises MediaError.
    """
    with ExitStack() as within:
        with _only_media_errors():
            recording = Recording(data, policy, within)
        yield recording


def still(data: bytes, at_ms: int, *, policy: LivenessPolicy = STRICT) -> RgbImage:
    """The picture of a recording nearest to ``at_ms``, upright and in full resolution.

    Raises MediaError, also when the recording ends more than a second before ``at_ms``.
    """
    with _only_media_errors():
        kind = _check_headers(data, max_bytes=int(policy.max_bytes.value), max_side=int(policy.max_side.value))
        with _opened(data, kind) as container:
            video, _ = _tracks(container, policy)
            nearest: _Shot | None = None
            for shot in _Film(container, video, policy=policy).shots():
                if nearest is None or abs(shot.at_ms - at_ms) < abs(nearest.at_ms - at_ms):
                    nearest = shot
                if shot.at_ms >= at_ms:
                    break
            if nearest is None or abs(nearest.at_ms - at_ms) > 1000:
                raise MediaError(f"the recording has no picture near {at_ms} ms", code=MediaCode.TOO_SHORT)
            return _Scaler(short_side=None)(nearest.frame)


def sample_pictures(data: bytes, every_ms: int, *, policy: LivenessPolicy = STRICT) -> tuple[Frame, ...]:
    """Pictures of a video, one about every ``every_ms`` (at least 200), for whoever must know which faces are in it.

    Short side at most 720 pixels: faces in the background count too. The first and the last picture are among them.

    Raises MediaError.
    """
    if every_ms < 200:
        raise ValueError(f"every_ms is {every_ms}, at least 200 wanted: 30 s would not fit in memory")
    with _only_media_errors():
        kind = _check_headers(data, max_bytes=int(policy.max_bytes.value), max_side=int(policy.max_side.value))
        with _opened(data, kind) as container:
            video, _ = _tracks(container, policy)
            _check_declared_length(kind, video, policy)
            film = _Film(container, video, policy=policy)
            scale = _Scaler(short_side=720)
            shots = _nearest_to_grid(film.shots(), every_ms, keep_last=True)
            frames = tuple(Frame(at_ms=shot.at_ms, image=scale(shot.frame)) for shot in shots)
        if not frames:
            raise MediaError("the recording has no picture in it", code=MediaCode.UNREADABLE)
    return frames


def decode_sound(data: bytes) -> Audio:
    """Sound alone: wav, mp3, flac, ogg, m4a, webm, or the sound of a video. Mono 16 kHz, at most 60 s.

    Raises MediaError, ``media_no_sound`` when there is no sound track.
    """
    with _only_media_errors():
        kind = _check_headers(data, max_bytes=MAX_SOUND_BYTES, max_side=int(STRICT.max_side.value), sound=True)
        with _opened(data, kind) as container:
            _check_stream_count(container, STRICT)
            audio = _best_audio(container)
            if audio is None:
                raise MediaError("there is no sound track", code=MediaCode.NO_SOUND)
            sound = _Sound(audio, max_ms=MAX_SOUND_MS)
            sound.play(container)
            sound.finish()
        found = sound.audio(round(1000 * sound.start_s) if sound.start_s is not None else 0)
    if found is None:
        raise MediaError("the sound track is empty", code=MediaCode.NO_SOUND)
    return found


def decode_picture(data: bytes) -> RgbImage:
    """A JPEG, PNG or WebP picture, upright as its EXIF orientation says, at most 40 million pixels.

    Refused are pictures that are not the same to everyone who opens them: transparent ones (one program flattens, another
    drops the transparency and shows what was under it) and animated ones.

    Raises MediaError.
    """
    if not data:
        raise MediaError("the picture is empty", code=MediaCode.EMPTY)
    if len(data) > MAX_PICTURE_BYTES:
        raise MediaError(f"{len(data)} bytes, at most {MAX_PICTURE_BYTES} taken", code=MediaCode.TOO_LARGE)
    with _only_media_errors(MediaCode.PICTURE_UNREADABLE):
        from PIL import ImageOps

        with _picture_file(data) as picture:
            if getattr(picture, "is_animated", False) and picture.format != "MPO":  # MPO: a phone's picture + gain map
                raise MediaError("the picture is animated", code=MediaCode.PICTURE_ANIMATED)
            picture.load()
            if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                raise MediaError("the picture has transparent parts", code=MediaCode.PICTURE_TRANSPARENT)
            upright = ImageOps.exif_transpose(picture)
            return np.array(upright.convert("RGB"), dtype=np.uint8)


# --------------------------------------------------------------------------------------------------------------------
# Errors


@contextmanager
def _only_media_errors(code: MediaCode = MediaCode.UNREADABLE) -> Iterator[None]:
    """Nothing but MediaError leaves. PyAV, NumPy and Pillow raise a dozen kinds on hostile bytes (also OverflowError,
    UnicodeDecodeError and MemoryError for sizes that a header made up), and no list of them stays complete."""
    try:
        yield
    except MediaError:
        raise
    except Exception as error:
        raise MediaError(f"could not be read ({type(error).__name__})", code=code) from error


def _count_bad(bad: int, error: Exception) -> int:
    if bad >= _MAX_BAD_PACKETS:
        raise MediaError("too much of it does not decode", code=MediaCode.UNREADABLE) from error
    return bad + 1


# --------------------------------------------------------------------------------------------------------------------
# Headers and tracks


def _check_headers(data: bytes, *, max_bytes: int, max_side: int, sound: bool = False) -> Container:
    """Size, container, whether it is whole, and the sides it declares, all before anything is allocated for it."""
    if not data:
        raise MediaError("there are no bytes", code=MediaCode.EMPTY)
    if len(data) > max_bytes:
        raise MediaError(f"{len(data)} bytes, at most {max_bytes} taken", code=MediaCode.TOO_LARGE)
    container = recognise(data)
    if container is None:
        raise MediaError("this is not a recording in a container we take", code=MediaCode.UNREADABLE)
    if container.sound_only and not sound:
        raise MediaError(f"{container} holds sound only", code=MediaCode.NO_VIDEO)
    try:
        sides = declared_sides(data, container)
    except CutOff as error:
        raise MediaError(f"the recording is cut off: {error}", code=MediaCode.UNREADABLE) from error
    for width, height in sides:
        if max(width, height) > max_side:
            raise MediaError(
                f"{width}x{height} pixels declared, at most {max_side} a side taken", code=MediaCode.DIMENSIONS
            )
    return container


_DEMUXERS = {
    Container.MP4: "mov",
    Container.MOV: "mov",
    Container.WEBM: "matroska",
    Container.MATROSKA: "matroska",
}


@contextmanager
def _opened(data: bytes, container: Container) -> Iterator[InputContainer]:
    """FFmpeg's view of the bytes: one demuxer, listed decoders, no file or address it could open besides."""
    import av

    decoders = _MPEG_DECODERS if container in (Container.MPEG, Container.MPEGTS) else _DECODERS
    demuxer = _DEMUXERS.get(container, container.value)
    with av.open(
        io.BytesIO(data),
        "r",
        format=demuxer,
        options=_decoder_options() | {"codec_whitelist": decoders},
        container_options={"protocol_whitelist": "", "max_streams": str(_MAX_NESTED_STREAMS)},
        metadata_errors="replace",
        timeout=_STALL_S,
        io_open=_open_nothing,
    ) as opened:
        yield opened


def _decoder_options() -> dict[str, str]:
    side = int(STRICT.max_side.value)
    return {"max_pixels": str(side * side)}


def _open_nothing(*_: object) -> None:
    raise PermissionError("a recording may not refer to other files")


def _check_stream_count(container: InputContainer, policy: LivenessPolicy) -> None:
    count, limit = len(container.streams), int(policy.max_streams.value)
    if count > limit:
        raise MediaError(f"{count} streams, at most {limit} taken", code=MediaCode.TOO_MANY_STREAMS)


def _tracks(container: InputContainer, policy: LivenessPolicy) -> tuple[VideoStream, AudioStream | None]:
    """The picture track and the sound track to use, within limits. Cover pictures are no picture track."""
    from av.stream import Disposition

    _check_stream_count(container, policy)
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        raise MediaError("there is no picture track", code=MediaCode.NO_VIDEO)
    video = moving[0]
    codec = _codec_name(video)
    if codec not in _VIDEO_CODECS:
        raise MediaError(f"pictures as {codec or 'an unknown codec'} are not taken", code=MediaCode.CODEC)
    _check_sides(video.codec_context.width, video.codec_context.height, policy)
    video.codec_context.options = _decoder_options()
    video.codec_context.thread_type = "AUTO"
    video.codec_context.thread_count = _MAX_THREADS
    return video, _best_audio(container)


def _sound_track(data: bytes, kind: Container, policy: LivenessPolicy) -> _Sound | None:
    """The sound of a recording whose tracks were checked."""
    from av.error import FFmpegError

    with _opened(data, kind) as container:
        audio = _best_audio(container)
        if audio is None:
            return None
        sound = _Sound(audio, max_ms=int(policy.max_duration.value))
        with suppress(FFmpegError):  # of the container; the pictures break off at the same place, and decide
            sound.play(container)
        sound.finish()
    return sound


def _best_audio(container: InputContainer) -> AudioStream | None:
    if not container.streams.audio:
        return None
    audio = container.streams.audio[0]
    codec = _codec_name(audio)
    if codec not in _AUDIO_CODECS and not codec.startswith("pcm_"):
        raise MediaError(f"sound as {codec or 'an unknown codec'} is not taken", code=MediaCode.CODEC)
    return audio


def _codec_name(stream: Stream) -> str:
    """``h264``, ``av1``...: of the codec, not of the library that decodes it; empty if FFmpeg knows none."""
    context: CodecContext | None = stream.codec_context  # None where FFmpeg has no decoder, whatever PyAV's types say
    return str(context.codec.canonical_name) if context is not None else ""


def _check_sides(width: int, height: int, policy: LivenessPolicy) -> None:
    limit = int(policy.max_side.value)
    if not (0 < width <= limit and 0 < height <= limit):
        raise MediaError(f"{width}x{height} pixels, 1 to {limit} a side taken", code=MediaCode.DIMENSIONS)


def _check_declared_length(container: Container, video: VideoStream, policy: LivenessPolicy) -> None:
    """Only where the header states it; elsewhere FFmpeg estimates, and an estimate refuses nobody."""
    if container not in (Container.MP4, Container.MOV, Container.AVI):
        return
    limit_ms = policy.max_duration.value
    if video.duration is not None and video.time_base is not None:
        declared_ms = float(1000 * video.duration * video.time_base)
        if declared_ms > limit_ms + 1000:
            raise MediaError(f"{declared_ms:.0f} ms declared, at most {limit_ms:.0f} taken", code=MediaCode.TOO_LONG)
    most = int(policy.max_source_fps.value * (limit_ms / 1000 + 1))
    if video.frames > most:
        raise MediaError(f"{video.frames} frames declared, at most {most} taken", code=MediaCode.FRAME_RATE)


# --------------------------------------------------------------------------------------------------------------------
# Frames


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shot:
    """A decoded frame in full size, held only until it is scaled or dropped."""

    at_ms: int
    frame: VideoFrame


@dataclass(slots=True, eq=False)
class _Film:
    """Plays a recording once, frame after frame, holding its limits and counting what the facts will say."""

    container: InputContainer
    video: VideoStream
    policy: LivenessPolicy = field(kw_only=True)
    count: int = 0
    width: int = 0
    height: int = 0
    sideways: bool = False
    intervals_ms: list[int] = field(default_factory=list)
    first_s: Fraction | None = None
    last_s: Fraction = Fraction(0)
    pixels: int = 0
    bad: int = 0

    @property
    def span_ms(self) -> int:
        """From the first frame to the last."""
        return round(1000 * (self.last_s - self.first_s)) if self.first_s is not None else 0

    @property
    def start_ms(self) -> int:
        """Of the first frame, on the container's clock."""
        return round(1000 * self.first_s) if self.first_s is not None else 0

    def shots(self) -> Iterator[_Shot]:
        """Each frame that moves time forward. Raises MediaError at the first limit passed."""
        from av.error import FFmpegError

        try:
            for frame in self._frames():
                shot = self._place(frame)
                if shot is not None:
                    yield shot
        except FFmpegError as error:
            if self.span_ms < _LEAST_READABLE_MS:
                raise MediaError("the recording breaks off at its beginning", code=MediaCode.UNREADABLE) from error

    def _frames(self) -> Iterator[VideoFrame]:
        from av.error import FFmpegError
        from av.video.frame import VideoFrame

        for packet in self.container.demux(self.video):
            try:
                frames = packet.decode()
            except FFmpegError as error:  # one packet that does not decode; the next may
                self.bad = _count_bad(self.bad, error)
                continue
            yield from (frame for frame in frames if isinstance(frame, VideoFrame))

    def _place(self, frame: VideoFrame) -> _Shot | None:
        """Holds every limit against the frame before anything is made of it; ``None`` if it does not move time on."""
        if self.count == 0:
            _check_sides(frame.width, frame.height, self.policy)
            self.width, self.height = frame.width, frame.height
            self.sideways = _orientation(frame)[0]
        elif (frame.width, frame.height) != (self.width, self.height):
            raise MediaError("the size of the picture changes within the recording", code=MediaCode.DIMENSIONS)
        at_s = self._time_of(frame)
        self.count += 1
        self.pixels += frame.width * frame.height
        if self.first_s is None:
            self.first_s = self.last_s = at_s
            return _Shot(at_ms=0, frame=frame)
        at_ms, last_ms = round(1000 * (at_s - self.first_s)), self.span_ms
        self.intervals_ms.append(max(0, at_ms - last_ms))
        self._check_pace(max(at_ms, last_ms))
        if at_ms <= last_ms:
            return None
        self.last_s = at_s
        return _Shot(at_ms=at_ms, frame=frame)

    def _time_of(self, frame: VideoFrame) -> Fraction:
        if frame.pts is not None and frame.time_base:
            return frame.pts * frame.time_base
        if self.first_s is None:
            return Fraction(0)
        rate = self.video.guessed_rate
        return self.last_s + (1 / rate if rate else Fraction(1, 30))

    def _check_pace(self, at_ms: int) -> None:
        limit_ms, fps = self.policy.max_duration.value, self.policy.max_source_fps.value
        if at_ms > limit_ms:
            raise MediaError(f"a frame at {at_ms} ms, at most {limit_ms:.0f} taken", code=MediaCode.TOO_LONG)
        if self.count > fps * (at_ms / 1000 + 1):
            raise MediaError(
                f"{self.count} frames in {at_ms} ms, at most {fps:.0f} a second taken", code=MediaCode.FRAME_RATE
            )
        if self.pixels > _MAX_PIXELS_DECODED:
            raise MediaError("too many pixels in all", code=MediaCode.DIMENSIONS)


def _nearest_to_grid(shots: Iterator[_Shot], step_ms: float, *, keep_last: bool = False) -> Iterator[_Shot]:
    """The shot nearest to each point of a regular grid, each once, in order; at most two are held at a time."""
    previous: _Shot | None = None
    kept: _Shot | None = None
    points = 0
    for shot in shots:
        while shot.at_ms >= points * step_ms:
            point = points * step_ms
            nearer = previous if previous is not None and point - previous.at_ms <= shot.at_ms - point else shot
            if nearer is not kept and (kept is None or nearer.at_ms > kept.at_ms):
                yield nearer
                kept = nearer
            points += 1
        previous = shot
    if previous is not None and previous is not kept:
        last = kept.at_ms if kept is not None else -step_ms
        if keep_last or previous.at_ms - last >= step_ms:
            yield previous


@dataclass(frozen=True, slots=True, eq=False)
class _Planes:
    """``PackedImage``: ``(3 H / 2, W) uint8``, luma and then both chroma planes of half the width and height, BT.601 16..235,
    as OpenCV's ``I420``. Half the memory of RGB, and what cameras and codecs make anyway. H and W are even."""

    stacked: NDArray[np.uint8] = field(repr=False)

    @property
    def image(self) -> RgbImage:
        import cv2

        return np.asarray(cv2.cvtColor(self.stacked, cv2.COLOR_YUV2RGB_I420), np.uint8)

    @property
    def width(self) -> int:
        return int(self.stacked.shape[1])

    @property
    def height(self) -> int:
        return int(self.stacked.shape[0]) * 2 // 3


class _Scaler:
    """A decoded frame to an upright picture whose short side is at most ``short_side`` (``None``: as it is)."""

    def __init__(self, *, short_side: int | None) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter: VideoReformatter = VideoReformatter()
        self._short_side = short_side
        self._orientation: tuple[bool, bool, bool] | None = None

    def planes(self, frame: VideoFrame) -> _Planes:
        """As ``Frame`` keeps it. The sides must come out even, so ``short_side`` is not ``None``."""
        from av.video.reformatter import ColorRange, Colorspace

        width, height = self._size(frame.width, frame.height)
        scaled = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            interpolation="AREA",
            threads=2,
        )
        stacked = np.asarray(scaled.to_ndarray(), np.uint8)  # luma, then both chromas, row upon row
        orientation = self._upright(frame)
        if not any(orientation):
            return _Planes(np.ascontiguousarray(stacked))
        chroma = stacked[height:].reshape(2, height // 2, width // 2)
        turned = [np.ascontiguousarray(_turn(plane, orientation)) for plane in (stacked[:height], *chroma)]
        upright_width = turned[0].shape[1]
        return _Planes(np.concatenate([turned[0], *(plane.reshape(-1, upright_width) for plane in turned[1:])]))

    def __call__(self, frame: VideoFrame) -> RgbImage:
        """RGB."""
        width, height = self._size(frame.width, frame.height)
        scaled = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation="AREA", threads=2
        )
        # PyAV pads rows: the array is a view that is not contiguous for a width of 360, say, and the landmarker then
        # finds no face and says nothing. ascontiguousarray also lets go of the padding.
        return np.ascontiguousarray(_turn(np.asarray(scaled.to_ndarray(), dtype=np.uint8), self._upright(frame)))

    def _upright(self, frame: VideoFrame) -> tuple[bool, bool, bool]:
        """That of the first frame for all: a recording does not turn over in its middle, and to ask a frame ties it into a
        circle of references, so that hundreds would wait in memory for the collector."""
        if self._orientation is None:
            self._orientation = _orientation(frame)
        return self._orientation

    def _size(self, width: int, height: int) -> tuple[int, int]:
        if self._short_side is None:
            return width, height
        short, long = sorted((width, height))
        factor = min(1.0, self._short_side / short, self._short_side * _WIDEST / long)
        return _even(width * factor), _even(height * factor)


def _even(length: float) -> int:
    return max(2, int(length) // 2 * 2)


def _orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """How the container's display matrix turns the picture: whether rows and columns change places, and then whether
    left and right, and top and bottom, change places. The nearest of the eight upright ones if it is none of them."""
    try:
        beside = cast("Mapping[str, bytes]", frame.side_data)  # buffers by name; PyAV's types know one name only
        matrix = np.frombuffer(bytes(beside["DISPLAYMATRIX"]), "<i4")
    except KeyError:  # none: the picture is upright
        return False, False, False
    except ValueError:  # some other side data is of a kind that PyAV cannot name; it still tells the angle
        return _ORIENTATION_BY_ANGLE[round(frame.rotation / 90) % 4]
    # Source (x, y) is shown at (a x + c y, b x + d y), ISO/IEC 14496-12, 8.3.2.
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


_ORIENTATION_BY_ANGLE = {  # quarter turns, counterclockwise
    0: (False, False, False),
    1: (True, False, True),
    2: (False, True, True),
    3: (True, True, False),
}


def _turn(image: NDArray[np.uint8], orientation: tuple[bool, bool, bool]) -> NDArray[np.uint8]:
    transposed, mirrored, upside_down = orientation
    turned = image.swapaxes(0, 1) if transposed else image
    if mirrored:
        turned = turned[:, ::-1]
    return turned[::-1] if upside_down else turned


# --------------------------------------------------------------------------------------------------------------------
# Sound


class _Sound:
    """Collects decoded sound as mono 16 kHz; silence is put where the container says that nothing was recorded."""

    _GAP_S = 0.06  # recorders jitter by a packet (20 to 23 ms); more is a real gap

    def __init__(self, stream: AudioStream, *, max_ms: int) -> None:
        self.stream = stream
        self.start_s: Fraction | None = None
        self._max_ms = max_ms
        self._fed_s = Fraction(0)
        self._chunks: list[NDArray[np.float32]] = []
        self._count = 0
        self._resampler: AudioResampler | None = None
        self._shape: tuple[str, str, int] | None = None

    @property
    def duration_ms(self) -> int:
        return round(1000 * self._count / SOUND_RATE_HZ)

    def play(self, container: InputContainer) -> None:
        """Feed the whole track."""
        from av.error import FFmpegError

        bad = 0
        for packet in container.demux(self.stream):
            try:
                frames = packet.decode()
            except FFmpegError as error:  # one packet that does not decode; the next may
                bad = _count_bad(bad, error)
                continue
            for frame in frames:
                self.feed(frame)

    def feed(self, frame: AudioFrame) -> None:
        if frame.sample_rate <= 0 or frame.samples <= 0:
            return
        at_s = frame.pts * frame.time_base if frame.pts is not None and frame.time_base else None
        if self.start_s is None:
            self.start_s = at_s if at_s is not None else Fraction(0)
        gap_s = at_s - self.start_s - self._fed_s if at_s is not None else Fraction(0)
        if gap_s > self._GAP_S:
            self._check(1000 * (self._fed_s + gap_s))
            self._flush()
            self._keep(np.zeros(round(gap_s * SOUND_RATE_HZ), np.float32))
            self._fed_s += gap_s
        self._fed_s += Fraction(frame.samples, frame.sample_rate)
        self._check(1000 * self._fed_s)
        self._resample(frame)

    def finish(self) -> None:
        self._flush()

    def audio(self, origin_ms: int) -> Audio | None:
        """What was collected, with its start counted from ``origin_ms`` of the container's clock."""
        if not self._count or self.start_s is None:
            return None
        samples = np.clip(np.nan_to_num(np.concatenate(self._chunks)), -1.0, 1.0).astype(np.float32)
        return Audio(samples=samples, rate_hz=SOUND_RATE_HZ, start_ms=round(1000 * self.start_s) - origin_ms)

    def _check(self, length_ms: Fraction) -> None:
        if length_ms > self._max_ms + 1000:  # sound may outlast the picture by a little
            raise MediaError(f"more than {self._max_ms} ms of sound", code=MediaCode.TOO_LONG)

    def _resample(self, frame: AudioFrame) -> None:
        from av.audio.resampler import AudioResampler

        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or shape != self._shape:
            self._flush()
            self._resampler, self._shape = AudioResampler(format="fltp", rate=SOUND_RATE_HZ), shape
        frame.pts = None  # time is kept here; a wild value must not make the resampler fill a gap
        for out in self._resampler.resample(frame):
            self._append(out)

    def _flush(self) -> None:
        if self._resampler is not None:
            for out in self._resampler.resample(None):
                self._append(out)
        self._resampler = None

    def _append(self, frame: AudioFrame) -> None:
        # The plain mean of the channels: FFmpeg's own mix to one channel is louder and may clip a voice.
        self._keep(frame.to_ndarray().astype(np.float32).mean(axis=0, dtype=np.float32))

    def _keep(self, samples: NDArray[np.float32]) -> None:
        self._chunks.append(samples)
        self._count += len(samples)


# --------------------------------------------------------------------------------------------------------------------
# Facts


def _facts(
    kind: Container, container: InputContainer, film: _Film, sound: _Sound | None, audio: AudioStream | None
) -> MediaFacts:
    if film.count == 0 or film.first_s is None:
        raise MediaError("no frame of it decodes", code=MediaCode.UNREADABLE)
    usual_ms = int(np.median(film.intervals_ms)) if film.intervals_ms else 0
    duration_ms = film.span_ms + usual_ms
    width, height = (film.height, film.width) if film.sideways else (film.width, film.height)
    return MediaFacts(
        container=kind.value,
        video_codec=_codec_name(film.video),
        audio_codec=_codec_name(audio) if audio is not None else None,
        width=width,
        height=height,
        duration_ms=duration_ms,
        audio_duration_ms=sound.duration_ms if sound is not None else None,
        source_frames=film.count,
        source_fps=1000 * film.count / duration_ms if duration_ms else 0.0,
        longest_gap_ms=max(film.intervals_ms, default=0),
        frame_intervals_ms=tuple(film.intervals_ms),
        video_start_ms=film.start_ms,
        audio_start_ms=round(1000 * sound.start_s) if sound is not None and sound.start_s is not None else None,
        writing_app=_writing_app(container, film.video, audio),
    )


_WRITER_KEYS = ("encoder", "software", "writing_app", "comment", "make", "model", "handler_name", "major_brand")


def _writing_app(container: InputContainer, video: VideoStream, audio: AudioStream | None) -> str:
    """Every tag that names a program or device, once each, printable, at most 200 characters. Anyone can write these."""
    tags = [container.metadata, video.metadata, audio.metadata if audio is not None else {}]
    found = [
        "".join(c for c in value if c.isprintable()).strip()
        for metadata in tags
        for key, value in metadata.items()
        if key.lower().rsplit(".", 1)[-1] in _WRITER_KEYS
    ]
    return "; ".join(dict.fromkeys(tag for tag in found if tag))[:200]


def _check_found_length(film: _Film, facts: MediaFacts, policy: LivenessPolicy) -> None:
    shortest, longest, fps = policy.min_duration.value, policy.max_duration.value, policy.max_source_fps.value
    if facts.duration_ms < shortest:
        raise MediaError(f"{facts.duration_ms} ms long, at least {shortest:.0f} wanted", code=MediaCode.TOO_SHORT)
    if facts.duration_ms > longest:
        raise MediaError(f"{facts.duration_ms} ms long, at most {longest:.0f} taken", code=MediaCode.TOO_LONG)
    if facts.source_fps > fps:
        raise MediaError(f"{facts.source_fps:.0f} frames a second, at most {fps:.0f} taken", code=MediaCode.FRAME_RATE)


# --------------------------------------------------------------------------------------------------------------------
# Pictures


@contextmanager
def _picture_file(data: bytes) -> Iterator[ImageFile]:
    """The one Pillow plugin that the signature names, opened, its sides checked before a pixel is decoded."""
    from PIL.JpegImagePlugin import jpeg_factory
    from PIL.PngImagePlugin import PngImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    file = io.BytesIO(data)
    if data[:3] == b"\xff\xd8\xff":
        picture: ImageFile = jpeg_factory(file)
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        picture = PngImageFile(file)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        _check_picture_sides(*_webp_sides(data))  # the plugin allocates a canvas when it opens
        picture = WebPImageFile(file)
    else:
        raise MediaError("neither JPEG nor PNG nor WebP", code=MediaCode.PICTURE_UNREADABLE)
    with picture:
        _check_picture_sides(*picture.size)
        yield picture


def _webp_sides(data: bytes) -> tuple[int, int]:
    """Sides of the canvas from the first chunk (RFC 9649, sections 2.5 to 2.7)."""
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _check_picture_sides(width: int, height: int) -> None:
    if not (0 < width * height <= MAX_PICTURE_PIXELS) or max(width, height) > 16_384:
        raise MediaError(
            f"{width}x{height} pixels, at most {MAX_PICTURE_PIXELS} in all and 16384 a side taken",
            code=MediaCode.PICTURE_DIMENSIONS,
        )


# --------------------------------------------------------------------------------------------------------------------
# A recording that is still being made


def packet_positions(data: bytes, *, policy: LivenessPolicy) -> tuple[PacketAt, ...]:
    """Where in the bytes each packet of the picture track ends, and when its picture is shown: ms from the first picture, as
    ``Frame.at_ms``. Empty for containers that do not tell.

    Raises MediaError.
    """
    with _only_media_errors():
        kind = _check_headers(data, max_bytes=int(policy.max_bytes.value), max_side=int(policy.max_side.value))
        with _opened(data, kind) as container:
            video, _ = _tracks(container, policy)
            found = []
            for packet in container.demux(video):
                if packet.pos is None or packet.pos < 0 or packet.pts is None or not packet.time_base:
                    continue
                found.append((packet.pos + packet.size, packet.pts * packet.time_base))
    first_s = min((at_s for _, at_s in found), default=Fraction(0))
    return tuple(PacketAt(end=end, at_ms=round(1000 * (at_s - first_s))) for end, at_s in found)


PREVIEW_MAX_BYTES = 300_000
_PREVIEW_MAX_SIDE = 1280


def decode_preview(data: bytes) -> RgbImage:
    """A small JPEG from a running camera, shown for guidance only; at most 1280 pixels a side.

    Raises MediaError.
    """
    if not data or len(data) > PREVIEW_MAX_BYTES:
        raise MediaError(f"{len(data)} bytes, 1 to {PREVIEW_MAX_BYTES} taken", code=MediaCode.TOO_LARGE)
    with _only_media_errors(MediaCode.PICTURE_UNREADABLE), _picture_file(data) as picture:
        if max(picture.size) > _PREVIEW_MAX_SIDE:
            raise MediaError(f"at most {_PREVIEW_MAX_SIDE} pixels a side taken", code=MediaCode.PICTURE_DIMENSIONS)
        return np.array(picture.convert("RGB"), dtype=np.uint8)


class GrowingRecording:
    """Plays a recording while it comes in, to guide the person; what is judged is decoded anew when it is whole.

    One thread feeds, one plays (:meth:`play`), one asks for pictures. All of it is bounded: bytes that were not read
    yet by ``policy.max_bytes``, pictures to the newest few, sound to a few seconds. Only webm and fragmented mp4 can be
    read as they grow; of others nothing comes out.
    """

    def __init__(self, *, policy: LivenessPolicy, short_side: int = 360) -> None:
        self._policy = policy
        self._short_side = short_side
        self._changed = threading.Condition()
        self._waiting = bytearray()
        self._whole = False
        self._ended = False
        self._shots: list[_Shot] = []  # not looked at yet
        self._kept_ms = -_LEAST_APART_MS
        self._sound: list[NDArray[np.float32]] = []
        self._scale: _Scaler | None = None

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        with self._changed:
            if not self._ended and len(self._waiting) + len(data) <= self._policy.max_bytes.value:
                self._waiting += data
                self._changed.notify_all()

    def close(self) -> None:
        """No more bytes come; whoever waits is let go. May be called twice."""
        with self._changed:
            self._whole = True
            self._changed.notify_all()

    def read(self, most: int) -> bytes:
        """For the demuxer: waits until there is something, gives nothing at the end."""
        with self._changed:
            while not self._waiting and not self._whole:
                self._changed.wait()
            taken = bytes(self._waiting[:most])
            del self._waiting[:most]
            return taken

    def next(self, wait_s: float) -> Frame | None:
        """The next picture, upright RGB, waiting so long for one. Some 15 to 20 a second are given; those that are older than
        the newest by :data:`_OLDEST_MS` are skipped."""
        with self._changed:
            if not self._shots and not self._ended:
                self._changed.wait(wait_s)
            if not self._shots:
                return None
            shot = self._shots.pop(0)
        if self._scale is None:
            self._scale = _Scaler(short_side=self._short_side)
        with _only_media_errors():
            return Frame(at_ms=shot.at_ms, image=self._scale(shot.frame))

    def sound(self) -> NDArray[np.float32] | None:
        """What was heard since this was asked last: mono 16 kHz; ``None`` for nothing."""
        with self._changed:
            taken, self._sound = self._sound, []
        return np.concatenate(taken) if taken else None

    @property
    def ended(self) -> bool:
        return self._ended

    def play(self) -> None:
        """Read until the end. Raises MediaError for what cannot be read as it grows."""
        try:
            with _only_media_errors():
                self._play()
        finally:
            with self._changed:
                self._ended = True
                self._waiting.clear()
                self._changed.notify_all()

    def _play(self) -> None:
        import av
        from av.audio.frame import AudioFrame
        from av.error import FFmpegError
        from av.video.frame import VideoFrame

        head = self._head()
        kind = recognise(head)
        demuxer = _DEMUXERS.get(kind) if kind is not None else None
        if demuxer is None:
            raise MediaError("this cannot be read while it grows", code=MediaCode.UNREADABLE)
        bad = pixels = 0
        first_s: Fraction | None = None
        began_s = time.monotonic()
        with av.open(
            _Pipe(self, head),
            "r",
            format=demuxer,
            options=_decoder_options() | {"codec_whitelist": _DECODERS},
            # little is read ahead: the first picture must not wait for the second second
            container_options={
                "protocol_whitelist": "",
                "max_streams": str(_MAX_NESTED_STREAMS),
                "probesize": str(_PROBED_BYTES),
                "analyzeduration": "0",
            },
            metadata_errors="replace",
            io_open=_open_nothing,
        ) as container:
            video, audio = _tracks(container, self._policy)
            video.codec_context.thread_count = 1  # threads over frames would each hold one back
            mono = _Mono()
            streams = (video,) if audio is None else (video, audio)
            for packet in container.demux(streams):
                try:
                    frames = packet.decode()
                except FFmpegError as error:
                    bad = _count_bad(bad, error)
                    continue
                for frame in frames:
                    if isinstance(frame, VideoFrame):
                        pixels += frame.width * frame.height
                        if pixels > _MOST_LIVE_PIXELS * (time.monotonic() - began_s + _LIVE_HEAD_START_S):
                            raise MediaError("more pictures than can be looked at live", code=MediaCode.FRAME_RATE)
                        at_s = frame.pts * frame.time_base if frame.pts is not None and frame.time_base else Fraction(0)
                        first_s = at_s if first_s is None else first_s
                        shot = _Shot(at_ms=round(1000 * (at_s - first_s)), frame=frame)
                        self._keep(shot)
                    elif isinstance(frame, AudioFrame):
                        samples = mono(frame)
                        with self._changed:
                            self._sound = [*self._sound, samples][-_MOST_SOUND_PARTS:]

    def _keep(self, shot: _Shot) -> None:
        if 0 <= shot.at_ms - self._kept_ms < _LEAST_APART_MS:
            return
        self._kept_ms = shot.at_ms
        with self._changed:
            recent = [each for each in self._shots if shot.at_ms - each.at_ms <= _OLDEST_MS]
            self._shots = [*recent, shot][-_MOST_SHOTS:]
            self._changed.notify_all()

    def _head(self) -> bytes:
        """Enough of the beginning to tell the container."""
        head = b""
        while len(head) < _HEAD_BYTES and (more := self.read(4096)):
            head += more
        return head


_PROBED_BYTES = 32_768
_HEAD_BYTES = 64
_LEAST_APART_MS = 45  # a turn held for 300 ms is still seen several times
_OLDEST_MS = 200
_MOST_SHOTS = 6
_MOST_LIVE_PIXELS = 1920 * 1080 * 32  # a second of the server's clock: 1080p at 30; a live session needs less
_LIVE_HEAD_START_S = 3.0
_MOST_SOUND_PARTS = 500  # 10 s in packets of 20 ms; whoever guides asks several times a second


class _Pipe:
    """A file for the demuxer that can be read once, forwards."""

    def __init__(self, recording: GrowingRecording, head: bytes) -> None:
        self._recording, self._head = recording, head

    def read(self, most: int) -> bytes:
        if self._head:
            taken, self._head = self._head[:most], self._head[most:]
            return taken
        return self._recording.read(most)


class _Mono:
    """Sound frames to mono 16 kHz."""

    def __init__(self) -> None:
        self._resampler: AudioResampler | None = None

    def __call__(self, frame: AudioFrame) -> NDArray[np.float32]:
        from av.audio.resampler import AudioResampler

        if self._resampler is None:
            self._resampler = AudioResampler(format="flt", layout="mono", rate=SOUND_RATE_HZ)
        parts = [part.to_ndarray().reshape(-1) for part in self._resampler.resample(frame)]
        return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)
