"""Films of several people, and the figures about films, on real models and simulated people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lab.films import Seen, Studio, jitter, measure, table
from likeness.double import Double
from likeness.errors import RenderError
from likeness.generate import Clip, Line, RenderRequest, Speech
from likeness.generate_portrait import PortraitGenerator
from likeness.soundtrack import Sound
from liveness.lips import mouth_opening
from liveness.template import similarity
from tests.people import face

LEFT, RIGHT = "p01", "p04"
FIRST, SECOND, LAST = "Papa, look!", "Oh, my map!", "Bravo!"

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def studio(weights: Path) -> Studio:
    return Studio(weights, 0.5, size=(480, 270))


def filmed(studio: Studio, doubles: Sequence[Double], *lines: Line, seconds: float = 12.0) -> Clip:
    generator = PortraitGenerator(studio.finder, studio.voice, studio.embedder)
    speech = Speech(lines=lines, together=studio.together)
    request = RenderRequest(content=speech, width=640, height=360, fps=12, max_seconds=seconds)
    return generator.render(doubles, request)


@pytest.fixture(scope="module")
def conversation(studio: Studio) -> tuple[Clip, Seen]:
    """The doubles come in the other order than they stand in the picture."""
    lines = Line(text=FIRST, of=LEFT), Line(text=SECOND, of=RIGHT), Line(text=LAST)
    clip = filmed(studio, studio.doubles[::-1], *lines)
    return clip, studio.look("conversation", list(clip.frames))


def openings(seen: Seen) -> np.ndarray:
    return np.array([[mouth_opening(each) for each in faces] for faces in seen.faces])


def test_only_who_speaks_moves_the_mouth_and_at_the_end_both_do(
    studio: Studio, conversation: tuple[Clip, Seen]
) -> None:
    clip, seen = conversation
    assert all(len(faces) == 2 for faces in seen.faces), "both are in every picture"
    said_s = [studio.voice.say(text, language=Speech(script="").language).audio.duration_ms / 1000
              for text in (FIRST, SECOND, LAST)]  # fmt: skip
    starts = np.cumsum([0.6, said_s[0] + 0.32, said_s[1] + 0.32])
    open_by = openings(seen)
    spans = [open_by[round(start * clip.fps) : round((start + long) * clip.fps)]
             for start, long in zip(starts, said_s, strict=True)]  # fmt: skip
    (left, right), (left_then, right_then), (left_last, right_last) = (np.ptp(span, axis=0) for span in spans)
    assert left > 0.3
    assert right < 0.12
    assert right_then > 0.2
    assert left_then < 0.15
    assert min(left_last, right_last) > 0.1


def test_each_stays_themselves_and_nobody_stands_like_a_photograph(
    studio: Studio, conversation: tuple[Clip, Seen]
) -> None:
    _, seen = conversation
    for place, double in enumerate(studio.doubles):
        alike = [
            similarity(double.template, studio.embedder.embed(image, faces[place].points))
            for image, faces in list(zip(seen.frames, seen.faces, strict=True))[::6]
        ]
        assert np.median(alike) >= 0.6
        assert min(alike) >= 0.38
        yaw = [faces[place].yaw_deg for faces in seen.faces]
        assert np.ptp(yaw) > 1


def test_voices_differ_and_the_sound_is_as_long_as_the_pictures(conversation: tuple[Clip, Seen]) -> None:
    clip, _ = conversation
    assert clip.audio.duration_ms == pytest.approx(clip.duration_ms, abs=2)
    assert isinstance(clip.audio, Sound)
    assert np.abs(clip.audio.samples).max() > 0.3


def test_who_is_missing_or_one_too_many_is_refused_before_anything_is_drawn(studio: Studio) -> None:
    one, two = studio.doubles
    for doubles, lines, code in (
        ([one], [Line(text="Hello.")], "portrait_unfit"),
        ([one, two, one], [Line(text="Hello.")], "portrait_unfit"),
        ([one, two] * 3, [Line(text="Hello.")], "too_many_people"),
        ([one, two], [Line(text="Hello.", of="somebody")], "nobody_named"),
        ([one, two], [Line(text=FIRST), Line(text=SECOND)] * 9, "script_too_long"),
    ):
        with pytest.raises(RenderError) as refused:
            filmed(studio, doubles, *lines, seconds=6.0)
        assert refused.value.code == code


def test_a_face_that_trembles_is_told_from_one_that_moves_evenly() -> None:
    def seen(places: list[float]) -> Seen:
        return Seen(name="", frames=[], faces=[(face(x=place),) for place in places])

    assert jitter(seen([200 + 3.0 * number for number in range(9)])) == pytest.approx(0, abs=0.01)
    assert (jitter(seen([200 + 3.0 * (number % 2) for number in range(9)])) or 0) > 20
    assert jitter(Seen(name="", frames=[], faces=[()] * 5)) is None


def test_the_figures_are_of_the_films_and_the_pictures_are_drawn(studio: Studio, tmp_path: Path) -> None:
    figures, drawn = measure(studio)
    by_name = {each.name: each for each in figures}
    assert list(by_name) == ["portrait", "two people", "story", "story of nobody", "cameo"]
    for each in figures:
        assert each.frames == 12
        assert each.cpu_s > each.write_cpu_s > 0
        assert (each.identity is None) == (each.name == "story of nobody")
        assert each.identity is None or each.identity >= 0.6
    assert by_name["cameo"].jitter_before is not None
    drawn.draw(tmp_path, figures)
    assert {path.name for path in tmp_path.iterdir()} == {"identity.png", "mouth.png", "meshes.png", "speed.png"}
    assert table(figures).count("\n") == 1 + len(figures)
