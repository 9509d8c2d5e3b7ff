"""What a recording is, in shapes and units.

A :class:`Capture` is made by :mod:`liveness.decode` from untrusted bytes and carries their hash, so that every later
value can be traced to the bytes it came from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

RgbImage = NDArray[np.uint8]
"""``(H, W, 3) uint8``, RGB, C-contiguous, upright (rotation of the container already applied)."""


class PackedImage(Protocol):
    """A picture kept in less memory than RGB takes. Making ``image`` costs a little, every time."""

    @property
    def image(self) -> RgbImage: ...

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, init=False)
class Frame:
    """One picture of a recording, kept as RGB or packed.

    at_ms : presentation time, milliseconds from the first frame of the picture track; strictly increasing in a capture.
    """

    at_ms: int
    _kept: RgbImage | PackedImage = field(repr=False)

    def __init__(self, *, at_ms: int, image: RgbImage | PackedImage) -> None:
        object.__setattr__(self, "at_ms", at_ms)
        object.__setattr__(self, "_kept", image)

    @property
    def image(self) -> RgbImage:
        """RGB picture, see :data:`RgbImage`. A packed one is unpacked anew each time (0.2 ms for 480x852)."""
        return self._kept if isinstance(self._kept, np.ndarray) else self._kept.image

    @property
    def width(self) -> int:
        return int(self._kept.shape[1]) if isinstance(self._kept, np.ndarray) else self._kept.width

    @property
    def height(self) -> int:
        return int(self._kept.shape[0]) if isinstance(self._kept, np.ndarray) else self._kept.height


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Audio:
    """Sound of a recording, mixed to one channel.

    samples : ``(n,) float32`` in -1..1.
    rate_hz : sampling rate; decode always gives 16,000.
    start_ms : when the first sample sounds, on the clock of ``Frame.at_ms`` (may be negative).
    """

    samples: NDArray[np.float32] = field(repr=False)
    rate_hz: int
    start_ms: int = 0

    @property
    def duration_ms(self) -> int:
        return round(1000 * len(self.samples) / self.rate_hz)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFacts:
    """What the container said and what decoding found, before any model looked at it.

    width, height : pixels of the upright source picture (frames in the capture may be smaller, see ``Capture``).
    source_fps : frames per second as decoded (frames counted / duration), not as declared.
    longest_gap_ms : largest distance between neighbouring source frames.
    frame_intervals_ms : all distances between neighbouring source frames.
    video_start_ms, audio_start_ms : start of either track on the container's clock; ``None`` without that track.
    writing_app : what the container says wrote it (encoder tags and comment joined), at most 200 characters.
    """

    container: str
    video_codec: str
    audio_codec: str | None
    width: int
    height: int
    duration_ms: int
    audio_duration_ms: int | None
    source_frames: int
    source_fps: float
    longest_gap_ms: int
    frame_intervals_ms: tuple[int, ...] = field(repr=False)
    video_start_ms: int
    audio_start_ms: int | None
    writing_app: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Capture:
    """A decoded recording: frames for judging (thinned to at most the policy's analysis rate and scaled so that the
    short side is at most the policy's analysis size), sound, and where both came from.

    sha256 : hex digest of the bytes as received.
    """

    sha256: str
    frames: tuple[Frame, ...] = field(repr=False)
    audio: Audio | None
    facts: MediaFacts
