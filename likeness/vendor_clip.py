"""From a vendor's file to a clip that can be marked: decoded as untrusted, one picture at a time, on an even clock.

A vendor's file is opened with the same care as a recording that somebody handed in. Its marks, if any, do not survive; ours are
put on when the clip is written (:mod:`likeness.provenance`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from likeness.errors import RemoteError
from likeness.generate import Clip
from likeness.remote import FaultCode
from likeness.sound_av import decode_film_sound
from likeness.soundtrack import SOUND_RATE_HZ, Sound, placed
from liveness.capture import Audio, RgbImage
from liveness.decode import open_recording
from liveness.errors import MediaError
from liveness.policy import STRICT, Limit

_FILM = replace(
    STRICT,
    name="vendor_clip",
    max_bytes=Limit(150_000_000, "bytes", "design: 30 s of 1080p at 40 Mbit/s"),
    min_duration=Limit(0, "ms", "design: a clip may be as short as one likes"),
    max_duration=Limit(61_000, "ms", "design: the longest clip that any vendor makes is half of it"),
    analysis_fps=Limit(125, "fps", "design: every picture, as fast as any is taken"),
    analysis_short_side=Limit(120, "px", "design: only the full-size pictures are used"),
)
_SOUND_HZ = 16_000
_FPS = (10, 60)


@dataclass(frozen=True, slots=True)
class _Film:
    """What a first reading found. ``times_ms``: of each picture."""

    times_ms: tuple[int, ...]
    width: int
    height: int
    audio: Sound | None


def clip_of(content: bytes, *, generator: str, sound: bool) -> Clip:
    """``sound``: whether it was ordered with sound; what comes unasked is left out.

    Raises: RemoteError ``output_unusable``.
    """
    film = _read(content)
    gaps = np.diff(film.times_ms) if len(film.times_ms) > 1 else np.array([40])
    fps = int(np.clip(round(1000 / float(np.median(gaps))), *_FPS))
    count = max(1, round((film.times_ms[-1] + 1000 / fps) * fps / 1000))
    silence = Audio(samples=np.zeros(_SOUND_HZ * count // fps, np.float32), rate_hz=_SOUND_HZ)
    return Clip(
        width=film.width,
        height=film.height,
        fps=fps,
        frame_count=count,
        frames=_frames(content, film, fps=fps, count=count),
        audio=silence if film.audio is None or not sound else _laid(film.audio, count / fps),
        generator=generator,
    )


def clip_of_parts(contents: Sequence[bytes], *, generator: str, sound: bool) -> Clip:
    """Shots of one story, one after the other: in the size and at the rate of the first. The first picture of each further one
    is left out: it is the last of the one before.

    Raises: RemoteError ``output_unusable``.
    """
    clips = [clip_of(content, generator=generator, sound=sound) for content in contents]
    first = clips[0]
    films = [_read(content) for content in contents]
    counts = [max(1, round((film.times_ms[-1] + 1000 / first.fps) * first.fps / 1000)) for film in films]
    shown = [count - (number > 0 and count > 1) for number, count in enumerate(counts)]

    def frames() -> Iterator[RgbImage]:
        for content, film, count, kept in zip(contents, films, counts, shown, strict=True):
            made = _frames(content, film, fps=first.fps, count=count)
            for image in itertools.islice(made, count - kept, None):
                yield covering(image, (first.width, first.height))

    audio = np.zeros((2, SOUND_RATE_HZ * sum(shown) // first.fps), np.float32)
    begins = 0
    for clip, kept in zip(clips, shown, strict=True):
        if isinstance(clip.audio, Sound):
            at = SOUND_RATE_HZ * begins // first.fps
            some = clip.audio.samples[:, : max(0, audio.shape[1] - at)]
            audio[:, at : at + some.shape[1]] = some
        begins += kept
    return Clip(
        width=first.width,
        height=first.height,
        fps=first.fps,
        frame_count=sum(shown),
        frames=frames(),
        audio=Sound(samples=audio),
        generator=generator,
    )


def covering(image: RgbImage, size: tuple[int, int]) -> RgbImage:
    """The picture scaled until it covers ``(width, height)`` pixels, and cut about its middle."""
    width, height = size
    if image.shape[:2] == (height, width):
        return image
    scale = max(width / image.shape[1], height / image.shape[0])
    wide, high = max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale))
    scaled = cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (wide - width) // 2, (high - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width].astype(np.uint8))


def _read(content: bytes) -> _Film:
    try:
        with open_recording(content, policy=_FILM) as recording:
            times: list[int] = []
            size = (0, 0)
            for picture in recording.pictures():
                if not times:
                    height, width = picture.full_size().shape[:2]
                    size = (width // 2 * 2, height // 2 * 2)
                times.append(picture.frame.at_ms)
            if not times:
                raise RemoteError("the vendor's clip has no picture", code=FaultCode.OUTPUT_UNUSABLE)
            heard = recording.audio is not None
            starts_ms = recording.capture(()).facts.video_start_ms
        audio = decode_film_sound(content, origin_ms=starts_ms) if heard else None
        return _Film(tuple(times), size[0], size[1], audio)
    except MediaError as error:
        raise RemoteError(f"the vendor's clip cannot be read: {error.code}", code=FaultCode.OUTPUT_UNUSABLE) from error


def _frames(content: bytes, film: _Film, *, fps: int, count: int) -> Iterator[RgbImage]:
    """``count`` pictures, each the one that is shown at its time."""
    made, half_ms = 0, 500 / fps
    held = None
    try:
        with open_recording(content, policy=_FILM) as recording:
            for picture in recording.pictures():
                while held is not None and made < count and made * 1000 / fps + half_ms < picture.frame.at_ms:
                    yield _cropped(held.full_size(), film)
                    made += 1
                held = picture
            while held is not None and made < count:
                yield _cropped(held.full_size(), film)
                made += 1
    except MediaError as error:
        raise RemoteError(f"the vendor's clip breaks off: {error.code}", code=FaultCode.OUTPUT_UNUSABLE) from error


def _cropped(image: RgbImage, film: _Film) -> RgbImage:
    """Even sides, as codecs want."""
    return np.ascontiguousarray(image[: film.height, : film.width])


def _laid(sound: Sound, seconds: float) -> Sound:
    return placed(sound, at_s=sound.start_ms / 1000, seconds=seconds)
