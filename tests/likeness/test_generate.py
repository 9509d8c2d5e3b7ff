"""The door to the generators: what a permit does not cover is not made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache

import numpy as np
import pytest

from consent.gate import Permit
from likeness.double import Double
from likeness.errors import PermitMismatch, RenderError
from likeness.generate import Clip, Kind, RenderRequest, Shot, Speech, Story, generate
from liveness.capture import Audio, RgbImage
from tests.consent.given import ask, face, presented, record, use
from tests.people import vector

SILENCE = Audio(samples=np.zeros(16_000, np.float32), rate_hz=16_000)


@cache
def permit() -> Permit:
    made = ask(use(face()), presented(record()))
    assert isinstance(made, Permit)
    return made


def doubles(*pairs: tuple[str, str]) -> list[Double]:
    return [
        Double(subject_id=subject, consent_id=consent, portrait=np.zeros((8, 8, 3), np.uint8), template=vector(1))
        for consent, subject in pairs or permit().consents
    ]


class Recorder:
    """A generator that makes grey pictures and remembers what it was asked for; ``spoil`` changes its clip."""

    name, version, kind, most_people = "recorder", "1", Kind.PORTRAIT, 2

    def __init__(self, spoil: Callable[[Clip], Clip] = lambda clip: clip, made: int | None = None) -> None:
        self.asked: list[RenderRequest] = []
        self.taken = 0
        self._spoil, self._made = spoil, made

    def render(self, doubles: Sequence[Double], request: RenderRequest) -> Clip:
        self.asked.append(request)
        clip = Clip(
            width=request.width, height=request.height, fps=request.fps, frame_count=12,
            frames=self._frames(request), audio=SILENCE, generator="recorder@1",
        )  # fmt: skip
        return self._spoil(clip)

    def _frames(self, request: RenderRequest) -> Iterator[RgbImage]:
        for _ in range(12 if self._made is None else self._made):
            self.taken += 1
            yield np.full((request.height, request.width, 3), 90, np.uint8)


def request(**more: object) -> RenderRequest:
    speech = Speech(script="Hello.")
    return RenderRequest(**{"content": speech, "max_seconds": 5.0, "width": 320, "height": 240} | more)  # type: ignore[arg-type]


def story(count: int = 2, *seconds: float, caption: str = "") -> Story:
    photograph = np.zeros((8, 8, 3), np.uint8)
    shots = tuple(Shot(seconds=each, caption=caption) for each in seconds or [1.0] * (count - 1))
    return Story(photographs=(photograph,) * count, shots=shots)


def start() -> datetime:
    return permit().issued_at


def test_a_covered_request_gives_a_clip_made_as_it_is_taken() -> None:
    generator = Recorder()
    clip = generate(permit(), doubles(), request(), generator, now=start())
    assert generator.taken == 0, "nothing is drawn before it is asked for"
    next(clip.frames)
    assert generator.taken == 1
    assert len(list(clip.frames)) == 11
    assert clip.duration_ms == 500


@pytest.mark.parametrize(
    "who",
    [
        [],
        [("con-other", "sub-other")],
        [(permit().consents[0][0], "sub-other")],
        [("con-other", permit().consents[0][1])],
        [*permit().consents, ("con-2", "sub-2")],
        [*permit().consents, *permit().consents],
    ],
    ids=["nobody", "other", "other person", "other consent", "one more", "twice"],
)
def test_a_permit_for_other_people_is_refused(who: list[tuple[str, str]]) -> None:
    generator = Recorder()
    with pytest.raises(PermitMismatch):
        generate(permit(), doubles(*who) if who else [], request(), generator, now=start())
    assert generator.asked == []


def test_all_the_people_of_a_permit_must_be_shown() -> None:
    two = replace(permit(), consents=(*permit().consents, ("zz-con", "zz-sub")))
    generator = Recorder()
    with pytest.raises(PermitMismatch):
        generate(two, doubles(), request(), generator, now=start())
    assert generator.asked == []


def test_only_a_story_may_be_of_nobody() -> None:
    """It shows the photographs that the gate has looked at; a portrait of nobody would be somebody invented."""
    nobody = ask(use(only_pictures=True))
    assert isinstance(nobody, Permit)
    storyteller = Recorder()
    storyteller.kind = Kind.STORY
    assert generate(nobody, [], request(content=story()), storyteller, now=nobody.issued_at).frame_count == 12
    for permitted, who, content, generator in (
        (nobody, [], None, Recorder()),
        (nobody, doubles(), story(), storyteller),
        (permit(), [], story(), storyteller),
    ):
        more = {} if content is None else {"content": content}
        with pytest.raises(PermitMismatch):
            generate(permitted, who, request(**more), generator, now=nobody.issued_at)
    assert len(storyteller.asked) == 1


@pytest.mark.parametrize(
    ("moved", "allowed"), [(-1, False), (0, True), (None, False)], ids=["too early", "first moment", "at its end"]
)
def test_a_permit_holds_from_its_first_second_until_its_end(moved: int | None, allowed: bool) -> None:
    now = permit().expires_at if moved is None else start() + timedelta(seconds=moved)
    if allowed:
        generate(permit(), doubles(), request(), Recorder(), now=now)
    else:
        with pytest.raises(PermitMismatch) as over:
            generate(permit(), doubles(), request(), Recorder(), now=now)
        assert over.value.code == "permit_expired"
    generate(permit(), doubles(), request(), Recorder(), now=permit().expires_at - timedelta(seconds=1))


def test_a_time_without_a_zone_is_no_time() -> None:
    with pytest.raises(PermitMismatch):
        generate(permit(), doubles(), request(), Recorder(), now=start().replace(tzinfo=None))


def test_the_generator_hears_the_shorter_of_both_limits() -> None:
    short = replace(permit(), obligations=replace(permit().obligations, max_seconds=3))
    generator = Recorder()
    generate(short, doubles(), request(max_seconds=60.0), generator, now=start())
    generate(short, doubles(), request(max_seconds=2.0), generator, now=start())
    assert [asked.max_seconds for asked in generator.asked] == [3, 2]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda clip: replace(clip, width=clip.width + 2),
        lambda clip: replace(clip, fps=60),
        lambda clip: replace(clip, frame_count=0),
        lambda clip: replace(clip, frame_count=10_000),
    ],
    ids=["size", "rate", "empty", "too long"],
)
def test_a_clip_other_than_asked_is_refused(spoil: Callable[[Clip], Clip]) -> None:
    with pytest.raises(RenderError) as other:
        generate(permit(), doubles(), request(), Recorder(spoil), now=start())
    assert other.value.code == "not_as_asked"


@pytest.mark.parametrize("made", [0, 11, 13])
def test_more_or_fewer_pictures_than_announced_are_an_error(made: int) -> None:
    clip = generate(permit(), doubles(), request(), Recorder(made=made), now=start())
    with pytest.raises(RenderError):
        list(clip.frames)


def test_more_people_than_a_generator_can_show() -> None:
    pairs = (("a", "1"), ("b", "2"), ("c", "3"))
    with pytest.raises(RenderError) as many:
        generate(replace(permit(), consents=pairs), doubles(*pairs), request(), Recorder(), now=start())
    assert many.value.code == "too_many_people"


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 321}, {"width": 100}, {"height": 4000}, {"fps": 0}, {"fps": 200},
        {"max_seconds": 0.0}, {"max_seconds": float("nan")}, {"max_seconds": float("inf")},
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense_is_refused_when_it_is_made(wrong: dict[str, object]) -> None:
    with pytest.raises(RenderError) as senseless:
        request(**wrong)
    assert senseless.value.code == "request_invalid"


@pytest.mark.parametrize("wrong", [{}, {"script": "Hello.", "sound": SILENCE}], ids=["nothing", "both"])
def test_one_thing_is_said(wrong: dict[str, object]) -> None:
    with pytest.raises(RenderError) as senseless:
        Speech(**wrong)  # type: ignore[arg-type]
    assert senseless.value.code == "request_invalid"


@pytest.mark.parametrize(
    ("count", "seconds"),
    [(1, ()), (11, ()), (2, (1.0, 1.0)), (3, (1.0,)), (2, (0.4,)), (2, (20.1,)), (2, (float("nan"),))],
    ids=["one photograph", "eleven", "a shot too many", "a shot missing", "a flash", "endless", "no number"],
)
def test_a_story_that_makes_no_sense_is_refused_when_it_is_made(count: int, seconds: tuple[float, ...]) -> None:
    with pytest.raises(RenderError) as senseless:
        story(count, *seconds)
    assert senseless.value.code == "request_invalid"


def test_a_caption_that_nobody_could_read_is_refused() -> None:
    with pytest.raises(RenderError) as long:
        story(2, 3.0, caption="words " * 40)
    assert long.value.code == "caption_too_long"


def test_a_generator_of_another_kind_is_not_asked() -> None:
    generator = Recorder()
    with pytest.raises(RenderError) as other:
        generate(permit(), doubles(), request(content=story()), generator, now=start())
    assert other.value.code == "kind_mismatch"
    assert generator.asked == []


def test_what_is_to_be_said_or_shown_is_not_printed() -> None:
    assert "Hello" not in repr(request())
    assert "Hello" not in repr(request(content=story(caption="Hello.")))
