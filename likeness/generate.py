"""From a permit, doubles and a request to a clip. The one door through which a generator is reached.

A generator sees doubles and a request, never consent. Whether it may be asked at all is decided here, from the permit:

    (1) the permit is in force now
    (2) it covers exactly the people of the doubles: nobody is shown without one, nobody is permitted and left out
    (3) the request is one thing to say, and within the length that the permit bounds
    (4) the generator is asked
    (5) what it answers is what was asked for
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from consent.gate import Permit
from likeness.double import Double
from likeness.errors import PermitMismatch, RenderError
from liveness.capture import Audio, RgbImage
from liveness.digits import Language

_SIDES = range(240, 2161)  # pixels; even only, as video codecs want
_FPS = range(10, 61)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RenderRequest:
    """What is to be made.

    script : words to say, in ``language``; or sound : speech to show the person saying. One of the two.
    width, height : pixels, even, 240 to 2160. fps : frames a second, 10 to 60.
    max_seconds : the clip is no longer; what would be longer is refused, never cut.
    seed : of the chance in it; the same request and seed make the same clip.
    """

    script: str | None = field(default=None, repr=False)
    sound: Audio | None = field(default=None, repr=False)
    language: Language = Language.ENGLISH
    width: int = 1280
    height: int = 720
    fps: int = 24
    max_seconds: float
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.script is None) == (self.sound is None):
            raise RenderError("give either a script or sound", code="request_invalid")
        if self.width not in _SIDES or self.height not in _SIDES or self.width % 2 or self.height % 2:
            raise RenderError(
                f"{self.width}x{self.height}, wanted even sides of {_SIDES.start} to {_SIDES.stop - 1}",
                code="request_invalid",
            )
        if self.fps not in _FPS:
            raise RenderError(f"{self.fps} fps, wanted {_FPS.start} to {_FPS.stop - 1}", code="request_invalid")
        if not (math.isfinite(self.max_seconds) and self.max_seconds > 0):
            raise RenderError(f"at most {self.max_seconds} s, wanted more than 0", code="request_invalid")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """Pictures and sound, not yet written or marked.

    frames : ``frame_count`` pictures ``(height, width, 3) uint8 RGB``, made one by one as they are taken; once only. May
        raise RenderError while being taken. Whoever takes them counts them for progress.
    audio : from the first frame on, no longer than the frames.
    generator : ``name@version``.
    """

    width: int
    height: int
    fps: int
    frame_count: int
    frames: Iterator[RgbImage] = field(repr=False)
    audio: Audio
    generator: str

    @property
    def duration_ms(self) -> int:
        return round(1000 * self.frame_count / self.fps)


class Generator(Protocol):
    """Makes clips of doubles. Knows nothing of consent; reached through :func:`generate` only.

    name, version : of the program and its models, for the record. most_people : how many doubles one clip can show.
    """

    name: str
    version: str
    most_people: int

    def render(self, doubles: Sequence[Double], request: RenderRequest) -> Clip:
        """Everything that can be refused is refused here, before the first frame is taken.

        Raises:
            RenderError: code ``script_too_long`` with the seconds it would take; ``script_unspeakable``; others.
            VoiceUnavailable: there are words to say and no voice for their language.
        """
        ...


def generate(
    permit: Permit, doubles: Sequence[Double], request: RenderRequest, generator: Generator, *, now: datetime
) -> Clip:
    """Ask ``generator`` for the clip, if ``permit`` allows exactly that.

    The clip's pictures are made while they are taken, by then the permit may be over: whoever releases the clip asks the
    gate again. Numbers as in the module docstring.

    Raises:
        PermitMismatch: the permit is over, not yet valid, or for other people.
        RenderError: what the generator cannot make, or made otherwise than asked; never a shorter or cut clip instead.
        VoiceUnavailable: there are words to say and no voice for them.
    """
    # (1)
    if now.tzinfo is None:
        raise PermitMismatch("the time to judge the permit by has no zone")
    if not permit.issued_at <= now < permit.expires_at:
        raise PermitMismatch("the permit is not in force now", code="permit_expired")
    # (2)
    shown = sorted((double.consent_id, double.subject_id) for double in doubles)
    if not shown:
        raise PermitMismatch("there is nobody to show")
    if shown != sorted(permit.consents):
        raise PermitMismatch(f"the permit is for {len(permit.consents)} consents, not for exactly these {len(shown)}")
    # (3)
    if len(doubles) > generator.most_people:
        raise RenderError(f"{len(doubles)} people, {generator.name} shows at most {generator.most_people}",
                          code="too_many_people")  # fmt: skip
    permitted = min(request.max_seconds, permit.obligations.max_seconds)
    # (4)
    clip = generator.render(doubles, replace(request, max_seconds=permitted))
    # (5)
    if (clip.width, clip.height, clip.fps) != (request.width, request.height, request.fps):
        raise RenderError(f"{generator.name} made {clip.width}x{clip.height} at {clip.fps} fps", code="not_as_asked")
    if not 0 < clip.frame_count <= permitted * clip.fps:
        raise RenderError(f"{generator.name} made {clip.frame_count} frames, at most {permitted} s permitted",
                          code="not_as_asked")  # fmt: skip
    return replace(clip, frames=_checked(clip))


def _checked(clip: Clip) -> Iterator[RgbImage]:
    """The clip's frames, as many and as large as it says, or an error instead of the first that is not."""
    count = 0
    for count, image in enumerate(clip.frames, start=1):
        if count > clip.frame_count or image.shape != (clip.height, clip.width, 3) or image.dtype != "uint8":
            raise RenderError(f"frame {count} is not what {clip.generator} announced", code="not_as_asked")
        yield image
    if count != clip.frame_count:
        raise RenderError(f"{count} of {clip.frame_count} frames came from {clip.generator}", code="not_as_asked")
