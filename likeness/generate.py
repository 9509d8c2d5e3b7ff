"""From a permit, doubles and a request to a clip. The one door through which a generator is reached.

A generator sees doubles and a request, never consent. Whether it may be asked at all is decided here, from the permit:

    (1) the permit is in force now
    (2) it covers exactly the people of the doubles: nobody is shown without one, nobody is permitted and left out. Only a story
        may be of nobody at all: it shows its photographs and nothing else, and the gate has found no face in them
    (3) the request is of the kind that the generator makes, for no more people than it can show
    (4) the generator is asked, for no longer than the permit allows
    (5) what it answers is what was asked for

Decided here: what kinds of clip have in common (size, rate, length, chance) is :class:`RenderRequest`; what they differ in is
its ``content``, one of a closed union with a class for each kind. So no field of one kind stands empty in another, and what
makes no sense is refused when it is made. Every face in a story's photographs and in a cameo's film is there because the gate
was asked about exactly these pictures; the doubles say who that is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import ClassVar, Protocol

from consent.gate import Permit
from likeness.double import Double
from likeness.errors import PermitMismatch, RenderError
from likeness.soundtrack import Sound
from liveness.capture import Audio, Frame, RgbImage
from liveness.digits import Language

_SIDES = range(240, 2161)  # pixels; even only, as video codecs want
_FPS = range(10, 61)


MOST_PHOTOGRAPHS = 10  # design: what systems that chain first and last frames take at most
SHOT_SECONDS = (0.5, 20.0)
"""Least and most from one photograph of a story to the next."""
MOST_LINES = 40  # design: a minute of short exchanges
LONGEST_CAPTION = 200  # characters; what does not fit into the picture is refused when it is drawn


class Kind(StrEnum):
    """What a clip is made from."""

    PORTRAIT = "portrait"
    STORY = "story"
    CAMEO = "cameo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something that is said, after what was said before. ``of``: ``subject_id`` of who says it; ``None``: all together."""

    text: str = field(repr=False)
    of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Speech:
    """A person who says something, or several in one picture.

    script : words to say, in ``language``; or sound : speech to show the person saying; or lines : what is said in turn. One of
        the three. Several people say a script together, and sound is shown as said by all of them.
    together : one photograph that shows all of the doubles, ``(H, W, 3) uint8 RGB``; ``None``: the portrait of the only one.
    """

    kind: ClassVar[Kind] = Kind.PORTRAIT
    script: str | None = field(default=None, repr=False)
    sound: Audio | Sound | None = field(default=None, repr=False)
    lines: tuple[Line, ...] = ()
    language: Language = Language.ENGLISH
    together: RgbImage | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.script is not None) + (self.sound is not None) + bool(self.lines) != 1:
            raise RenderError("give either a script, or lines, or sound", code="request_invalid")
        if len(self.lines) > MOST_LINES:
            raise RenderError(f"{len(self.lines)} lines, at most {MOST_LINES}", code="request_invalid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """The way from one photograph of a story to the next. ``caption``: shown meanwhile; empty for none."""

    seconds: float
    caption: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Story:
    """Photographs that become each other, with or without people in them.

    photographs : in order, ``(H, W, 3) uint8 RGB`` of any size. shots : one from each photograph to the next.
    speech : heard from the first picture on. music : under it, repeated or faded out to the length of the film.
    """

    kind: ClassVar[Kind] = Kind.STORY
    photographs: tuple[RgbImage, ...] = field(repr=False)
    shots: tuple[Shot, ...]
    speech: Audio | Sound | None = field(default=None, repr=False)
    music: Audio | Sound | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 2 <= len(self.photographs) <= MOST_PHOTOGRAPHS:
            raise RenderError(
                f"{len(self.photographs)} photographs, wanted 2 to {MOST_PHOTOGRAPHS}", code="request_invalid"
            )
        if len(self.shots) != len(self.photographs) - 1:
            raise RenderError(
                f"{len(self.shots)} shots for {len(self.photographs)} photographs, wanted one from each to the next",
                code="request_invalid",
            )
        least, most = SHOT_SECONDS
        for shot in self.shots:
            if not least <= shot.seconds <= most:  # no number is within either
                raise RenderError(f"a shot of {shot.seconds} s, wanted {least} to {most}", code="request_invalid")
            if len(shot.caption) > LONGEST_CAPTION:
                raise RenderError(
                    f"a caption of {len(shot.caption)} characters, at most {LONGEST_CAPTION}", code="caption_too_long"
                )

    @property
    def seconds(self) -> float:
        return sum(shot.seconds for shot in self.shots)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cameo:
    """A person's face in a film of somebody else, or of themselves.

    film : pictures of one size, in the order of their time. sound : kept as it is. face_of : ``subject_id`` of the double
        whose face goes in; the person in the film is another of the doubles, or the same.
    """

    kind: ClassVar[Kind] = Kind.CAMEO
    film: tuple[Frame, ...] = field(repr=False)
    sound: Audio | Sound | None = field(default=None, repr=False)
    face_of: str

    def __post_init__(self) -> None:
        if len(self.film) < 2:
            raise RenderError(f"a film of {len(self.film)} pictures, wanted 2 or more", code="request_invalid")
        if any(later.at_ms <= earlier.at_ms for earlier, later in pairwise(self.film)):
            raise RenderError("the film's times do not rise", code="request_invalid")
        if len({(frame.width, frame.height) for frame in self.film}) > 1:
            raise RenderError("the film's pictures are of several sizes", code="request_invalid")

    @property
    def seconds(self) -> float:
        """With the last picture shown as long as the others."""
        span_ms = self.film[-1].at_ms - self.film[0].at_ms
        return span_ms / 1000 * len(self.film) / (len(self.film) - 1)


Content = Speech | Story | Cameo


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RenderRequest:
    """What is to be made.

    width, height : pixels, even, 240 to 2160. fps : frames a second, 10 to 60.
    max_seconds : the clip is no longer; what would be longer is refused, never cut.
    seed : of the chance in it; the same request and seed make the same clip.
    """

    content: Content
    width: int = 1280
    height: int = 720
    fps: int = 24
    max_seconds: float
    seed: int = 0

    def __post_init__(self) -> None:
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
    audio: Audio | Sound
    generator: str

    @property
    def duration_ms(self) -> int:
        return round(1000 * self.frame_count / self.fps)


class Generator(Protocol):
    """Makes clips of doubles. Knows nothing of consent; reached through :func:`generate` only.

    name, version : of the program and its models, for the record. kind : of the clips it makes.
    most_people : how many doubles one clip can show.
    """

    name: str
    version: str
    kind: Kind
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
    if not shown and request.content.kind is not Kind.STORY:
        raise PermitMismatch("there is nobody to show")
    if shown != sorted(permit.consents):
        raise PermitMismatch(f"the permit is for {len(permit.consents)} consents, not for exactly these {len(shown)}")
    # (3)
    if request.content.kind is not generator.kind:
        raise RenderError(
            f"{generator.name} makes a {generator.kind}, asked was a {request.content.kind}", code="kind_mismatch"
        )
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
