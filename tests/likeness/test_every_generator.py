"""What every generator must do. A new backend adds its name to ``GENERATORS`` and a case to ``opened``."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import assert_never

import numpy as np
import pytest

from likeness.double import Double
from likeness.errors import RenderError
from likeness.framing import framed
from likeness.generate import Cameo, Content, Generator, Kind, RenderRequest, Shot, Speech, Story
from liveness.capture import Audio, Frame
from liveness.evidence import Box
from tests.conftest import ROOT
from tests.people import vector

GENERATORS = ("cameo", "portrait", "story")


def opened(name: str, weights: Path) -> Generator:
    match name:
        case "portrait":
            from likeness.generate_portrait import PortraitGenerator
            from liveness.faces_mediapipe import MediapipeFaces
            from tests.likeness.test_generate_portrait import EveryLandmarkedFace

            return PortraitGenerator(
                EveryLandmarkedFace(MediapipeFaces(weights / "face_landmarker" / "face_landmarker.task"))
            )
        case "cameo":
            from likeness.generate_cameo import CameoGenerator
            from liveness.faces_mediapipe import MediapipeFaces
            from tests.likeness.test_generate_portrait import EveryLandmarkedFace

            faces = MediapipeFaces(weights / "face_landmarker" / "face_landmarker.task")
            return CameoGenerator(EveryLandmarkedFace(faces), faces)
        case "story":
            from likeness.generate_story import StoryGenerator
            from liveness.faces_mediapipe import MediapipeFaces
            from tests.likeness.test_generate_portrait import EveryLandmarkedFace
            from tests.likeness.test_generate_story import OneTemplate

            finder = EveryLandmarkedFace(MediapipeFaces(weights / "face_landmarker" / "face_landmarker.task"))
            return StoryGenerator(finder, OneTemplate())
        case _:
            raise AssertionError(f"no case for {name}")


@pytest.fixture(scope="module", params=GENERATORS)
def generator(request: pytest.FixtureRequest, weights: Path) -> Generator:
    return opened(request.param, weights)


@pytest.fixture(scope="module")
def person() -> Double:
    data = pytest.importorskip("skimage.data")
    portrait = np.ascontiguousarray(data.astronaut())  # NASA, public domain
    return Double(subject_id="sub", consent_id="con", portrait=portrait, template=vector(1))


def asked(kind: Kind, person: Double, *, width: int = 480, height: int = 320, **more: object) -> RenderRequest:
    wanted = {"content": content(kind, person, (width, height)), "max_seconds": 5.0, "width": width, "height": height}
    return RenderRequest(**wanted | more)  # type: ignore[arg-type]


def content(kind: Kind, person: Double, size: tuple[int, int]) -> Content:
    time_s = np.arange(8_000) / 16_000
    sound = Audio(samples=(0.3 * np.sin(2 * np.pi * 300 * time_s)).astype(np.float32), rate_hz=16_000)
    match kind:
        case Kind.PORTRAIT:
            return Speech(sound=sound)
        case Kind.STORY:
            photographs = (person.portrait, np.ascontiguousarray(person.portrait[:, ::-1]))
            return Story(photographs=photographs, shots=(Shot(seconds=1.0),), speech=sound)
        case Kind.CAMEO:
            shown = framed(person.portrait, [Box(x=150, y=60, width=130, height=170)], size).image
            film = tuple(Frame(at_ms=83 * number, image=shown) for number in range(12))
            return Cameo(film=film, sound=sound, face_of=person.subject_id)
        case _:
            assert_never(kind)


@pytest.mark.weights
@pytest.mark.parametrize("size", [(480, 320), (320, 480), (400, 400)])
def test_it_makes_what_it_announces(generator: Generator, person: Double, size: tuple[int, int]) -> None:
    clip = generator.render([person], asked(generator.kind, person, width=size[0], height=size[1], fps=12))
    frames = list(clip.frames)
    assert len(frames) == clip.frame_count
    assert all(frame.shape == (size[1], size[0], 3) and frame.dtype == np.uint8 for frame in frames)
    assert all(frame.flags["C_CONTIGUOUS"] for frame in frames)
    assert clip.audio.duration_ms <= clip.duration_ms + 1
    assert clip.duration_ms <= 5_000
    assert clip.generator == f"{generator.name}@{generator.version}"


@pytest.mark.weights
def test_it_refuses_what_is_too_long_instead_of_cutting_it(generator: Generator, person: Double) -> None:
    with pytest.raises(RenderError):
        generator.render([person], asked(generator.kind, person, max_seconds=0.4))


@pytest.mark.weights
def test_it_refuses_more_people_than_it_says_it_can_show(generator: Generator, person: Double) -> None:
    with pytest.raises(RenderError):
        generator.render([person] * (generator.most_people + 1), asked(generator.kind, person))


@pytest.mark.weights
def test_it_makes_only_its_own_kind(generator: Generator, person: Double) -> None:
    for kind in Kind:
        if kind is not generator.kind:
            with pytest.raises(RenderError) as other:
                generator.render([person], asked(kind, person))
            assert other.value.code == "kind_mismatch"


@pytest.mark.weights
def test_it_leaves_the_portrait_as_it_was(generator: Generator, person: Double) -> None:
    before = person.portrait.copy()
    next(generator.render([person], asked(generator.kind, person)).frames)
    np.testing.assert_array_equal(person.portrait, before)


def test_every_generator_file_is_listed_here_and_knows_nothing_of_consent() -> None:
    """A generator sees doubles and a request. One that could read a permit could decide for itself."""
    files = sorted(ROOT.glob("likeness/generate_*.py"))
    assert [file.stem.removeprefix("generate_") for file in files] == sorted(GENERATORS)
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else (
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            )  # fmt: skip
            assert not any(name.split(".")[0] in {"consent", "api"} for name in names), file.name
