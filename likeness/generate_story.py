"""The local generator of stories: photographs that become each other, with a moving camera, captions and music.

No network, no GPU, and no face that was not in a photograph. What a rendering goes through:

    (1) length: the shots together, and speech that fits in them; too long is refused here, with the seconds
    (2) the faces in every photograph, and whose they are: each the most similar of the doubles
    (3) pairs: a person's face goes over into the same person's; where each photograph has one face left, into that. Who
        would have to pass somebody else fades
    (4) captions set, music mixed
    (5) each photograph laid out in the frame's shape around its faces (:mod:`likeness.framing`)
    (6) frame by frame, as they are taken: the way between two photographs (:mod:`likeness.morph`), through one camera that
        never stops; so the last picture of a shot is the first of the next

Decided here: the middle of a way between two *different* people shows a face that is partly both. That is short, and both are
people of the permit; whoever checks the output sees it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, combinations, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from likeness import motion
from likeness.caption import Caption, caption
from likeness.double import Double
from likeness.errors import RenderError
from likeness.framing import Affine, Framed, framed
from likeness.generate import Clip, Kind, RenderRequest, Story
from likeness.label import OPENING_S, plates
from likeness.morph import Morph, dissolve, morph
from likeness.soundtrack import mixed
from liveness.capture import RgbImage
from liveness.errors import ContractMismatch
from liveness.evidence import Box, Face, FaceEmbedder, FaceFinder
from liveness.template import FaceTemplate, similarity

_OVERSCAN = 1.12  # photographs are laid out this much larger than the frame, so that the camera may move
_BEYOND = 0.3  # of the shorter side: what is kept around that, for a photograph that moves on its way into the next
_FAR, _NEAR = 0.93, 1.02  # the camera's enlargement of that, from one photograph to the next and back
_DRIFT = 0.6  # of the room that the camera has aside
_WAY_SHARE, _WAY_MOST_S = 0.62, 1.9  # of a shot, and at most: how long one photograph takes to become the next
_FADE_SHARE = 0.55  # of the way: how long colours take between two faces; where none are, all of it
_CAPTION_FADE_S = 0.35
_MOST_SHIFTED = 0.5  # of their distance: how far two people may move against each other
_EVERY = 3  # of the landmarks: enough for a smooth field


class StoryGenerator:
    """``Generator`` on this machine. Opened once; may be called from several threads if finder and embedder may be."""

    name = "story"
    version = "1"
    kind = Kind.STORY
    most_people = 8

    def __init__(self, finder: FaceFinder, embedder: FaceEmbedder, *, fonts: Sequence[Path] = ()) -> None:
        """``embedder``: tells several people apart. ``fonts``: for captions, tried in order before DejaVu Sans."""
        self._finder, self._embedder, self._fonts = finder, embedder, tuple(fonts)

    def render(self, doubles: Sequence[Double], request: RenderRequest) -> Clip:
        """See :class:`likeness.generate.Generator`. Numbers as in the module docstring.

        Raises:
            RenderError: ``story_too_long``, ``sound_too_long``, ``caption_too_long``, ``caption_unwritable``,
                ``unlike_models``, ``too_many_people``; ``nobody_permitted`` when there is a face and no double.
        """
        story = request.content
        if not isinstance(story, Story):
            raise RenderError(f"the story generator makes no {story.kind}", code="kind_mismatch")
        if len(doubles) > self.most_people:
            raise RenderError(f"{len(doubles)} people, at most {self.most_people}", code="too_many_people")
        _check_length(story, request.max_seconds)  # (1)
        people = [self._people(photograph, doubles) for photograph in story.photographs]  # (2)
        if not doubles and any(people):  # the gate found none; two looks at one picture must agree
            raise RenderError("there is a face in a story of nobody", code="nobody_permitted")
        captions = self._captions(story, request)  # (4)
        frame_count = min(round(story.seconds * request.fps), math.floor(request.max_seconds * request.fps))
        return Clip(
            width=request.width,
            height=request.height,
            fps=request.fps,
            frame_count=frame_count,
            frames=_frames(story, people, captions, request, frame_count),
            audio=mixed(speech=story.speech, music=story.music, seconds=frame_count / request.fps),
            generator=f"{self.name}@{self.version}",
        )

    def _people(self, photograph: RgbImage, doubles: Sequence[Double]) -> tuple[_Person, ...]:
        found = self._finder.find_every(photograph)
        return tuple(
            _Person(box=each.box, face=each.face, who=self._whose(photograph, each.face, doubles)) for each in found
        )

    def _whose(self, photograph: RgbImage, face: Face | None, doubles: Sequence[Double]) -> int | None:
        """Which of the doubles this is. That it is one of them is the gate's to say, which has more templates of each."""
        if face is None or not doubles:
            return None
        if len(doubles) == 1:
            return 0
        own = self._embedder.embed(photograph, face.points)
        return max(range(len(doubles)), key=lambda number: _alike(own, doubles[number]))

    def _captions(self, story: Story, request: RenderRequest) -> tuple[Caption | None, ...]:
        size, starts = (request.width, request.height), _starts(story)
        above = plates(*size)[1].top  # the label that opens a clip is there first
        return tuple(
            caption(shot.caption, size, above=above if start < OPENING_S else None, fonts=self._fonts)
            for shot, start in zip(story.shots, starts, strict=False)
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Person:
    """A face in a photograph and whose of the doubles it is; ``None``: it could not be measured."""

    box: Box
    face: Face | None = field(repr=False)
    who: int | None


def _alike(own: FaceTemplate, double: Double) -> float:
    try:
        return similarity(own, double.template)
    except ContractMismatch as error:
        raise RenderError("the doubles' templates are another model's", code="unlike_models") from error


def _check_length(story: Story, max_seconds: float) -> None:
    if story.seconds > max_seconds:
        raise RenderError(
            f"the shots make a clip of {story.seconds:.1f} s, at most {max_seconds:.1f} s", code="story_too_long"
        )
    if story.speech is not None and story.speech.duration_ms > 1000 * story.seconds:
        raise RenderError(
            f"the speech takes {story.speech.duration_ms / 1000:.1f} s, the shots {story.seconds:.1f} s",
            code="sound_too_long",
        )


def _starts(story: Story) -> tuple[float, ...]:
    """When each photograph stands alone, seconds; the first at 0, the last at the end."""
    return tuple(accumulate((shot.seconds for shot in story.shots), initial=0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Canvas:
    """Pixels that photographs are laid out on: ``inner`` is what the camera moves over, ``beyond`` more on each side."""

    inner: tuple[int, int]
    beyond: int

    @classmethod
    def around(cls, size: tuple[int, int]) -> _Canvas:
        return cls(inner=(round(size[0] * _OVERSCAN), round(size[1] * _OVERSCAN)), beyond=round(_BEYOND * min(size)))

    @property
    def size(self) -> tuple[int, int]:
        return self.inner[0] + 2 * self.beyond, self.inner[1] + 2 * self.beyond


def _frames(
    story: Story,
    people: Sequence[Sequence[_Person]],
    captions: Sequence[Caption | None],
    request: RenderRequest,
    frame_count: int,
) -> Iterator[RgbImage]:
    size = (request.width, request.height)
    canvas = _Canvas.around(size)
    starts = _starts(story)
    drift = motion.camera(total_ms=round(1000 * story.seconds), seed=request.seed)
    number, first = 0, _laid_out(story, people, 0, canvas)
    for shot, (begins, ends) in enumerate(pairwise(starts)):
        second = _laid_out(story, people, shot + 1, canvas)
        way = _way((first, people[shot]), (second, people[shot + 1]), canvas)
        while number < frame_count and (number / request.fps < ends or shot == len(story.shots) - 1):
            at_s = number / request.fps
            along, share = _progress(at_s - begins, ends - begins, faces=way.fields is not None)
            camera = _camera(canvas, size, drift, at_s, shot, (at_s - begins) / (ends - begins))
            image = way.seen(first.image, second.image, along=along, share=share, camera=camera, size=size)
            words = captions[shot]
            if words is not None:
                words.lay_on(image, min(1.0, (at_s - begins) / _CAPTION_FADE_S, (ends - at_s) / _CAPTION_FADE_S))
            yield image
            number += 1
        first = second


def _laid_out(story: Story, people: Sequence[Sequence[_Person]], number: int, canvas: _Canvas) -> Framed:  # (5)
    """With room around the faces for what the camera may not see of the canvas."""
    faces = [person.box for person in people[number]]
    return framed(story.photographs[number], faces, canvas.inner, margin=_unseen(), beyond=canvas.beyond)


def _unseen() -> float:
    """Of the canvas, on each side: what the camera may leave out."""
    return (1 - 1 / (_OVERSCAN * _NEAR)) / 2 * (1 + _DRIFT)


def _way(
    first: tuple[Framed, Sequence[_Person]], second: tuple[Framed, Sequence[_Person]], canvas: _Canvas
) -> Morph:  # (3)
    pairs = [
        (_points(first[0].placed, one), _points(second[0].placed, other)) for one, other in _pairs(first[1], second[1])
    ]
    pairs.sort(key=lambda pair: -float(np.ptp(pair[0][:, 0])))
    while pairs:
        way = morph(
            np.concatenate([one for one, _ in pairs]), np.concatenate([other for _, other in pairs]), canvas.size
        )
        if not _crossing(way, pairs):
            return way
        pairs.pop()  # the smaller face fades instead
    return dissolve(canvas.size)


def _crossing(way: Morph, pairs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> bool:
    """Whether people pass each other on the way: what is between them would be folded."""
    spin = way.similarity(1.0)[:, :2]
    middles = [(spin @ one.mean(axis=0), other.mean(axis=0)) for one, other in pairs]
    for (one, one_to), (other, other_to) in combinations(middles, 2):
        apart = other - one
        if np.linalg.norm((other_to - one_to) - apart) > _MOST_SHIFTED * np.linalg.norm(apart):
            return True
    return False


def _pairs(first: Sequence[_Person], second: Sequence[_Person]) -> list[tuple[Face, Face]]:
    """Each person's largest face in both; and if each has just one face left, these."""
    pairs, left, right = [], list(first), list(second)
    for who in sorted({person.who for person in first if person.who is not None}):
        one = next((person for person in left if person.who == who), None)
        other = next((person for person in right if person.who == who), None)
        if one is not None and other is not None and one.face is not None and other.face is not None:
            pairs.append((one.face, other.face))
            left.remove(one)
            right.remove(other)
    if len(left) == len(right) == 1 and left[0].face is not None and right[0].face is not None:
        pairs.append((left[0].face, right[0].face))
    return pairs


def _points(placed: Affine, face: Face) -> NDArray[np.float64]:
    points = np.asarray(face.landmarks[:468:_EVERY, :2], np.float64)
    return np.asarray(points @ placed[:, :2].T + placed[:, 2])


def _progress(at_s: float, seconds: float, *, faces: bool) -> tuple[float, float]:
    """How far along the way, and how much of the second picture's colours, ``at_s`` seconds into the shot."""
    way_s = min(_WAY_SHARE * seconds, _WAY_MOST_S)
    place = (at_s - seconds / 2) / way_s
    return _ease(place + 0.5), _ease(place / (_FADE_SHARE if faces else 1.0) + 0.5)


def _camera(
    canvas: _Canvas, size: tuple[int, int], drift: NDArray[np.float64], at_s: float, shot: int, into: float
) -> Affine:
    """From the canvas to the frame: nearer at every second photograph, and never quite still."""
    near = 0.5 - 0.5 * math.cos(math.pi * into)
    scale = _FAR + (_NEAR - _FAR) * (near if shot % 2 == 0 else 1 - near)
    right, down = (motion.sample(drift[:, axis], 1000 * at_s) for axis in (0, 1))
    middle = [
        whole / 2 + _DRIFT * move * (across - side / scale) / 2
        for whole, across, side, move in zip(canvas.size, canvas.inner, size, (right, down), strict=True)
    ]
    return np.array(
        [[scale, 0.0, size[0] / 2 - scale * middle[0]], [0.0, scale, size[1] / 2 - scale * middle[1]]], np.float64
    )


def _ease(share: float) -> float:
    held = min(max(share, 0.0), 1.0)
    return held**3 * (10 - 15 * held + 6 * held**2)
