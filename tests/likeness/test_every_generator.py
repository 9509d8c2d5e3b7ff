"""What every generator must do. A new backend adds its name to ``GENERATORS`` and a case to ``opened``."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from likeness.double import Double
from likeness.errors import RenderError
from likeness.generate import Generator, RenderRequest
from liveness.capture import Audio
from tests.conftest import ROOT
from tests.people import vector

GENERATORS = ("portrait",)


def opened(name: str, weights: Path) -> Generator:
    match name:
        case "portrait":
            from likeness.generate_portrait import PortraitGenerator
            from liveness.faces_mediapipe import MediapipeFaces
            from tests.likeness.test_generate_portrait import EveryLandmarkedFace

            return PortraitGenerator(
                EveryLandmarkedFace(MediapipeFaces(weights / "face_landmarker" / "face_landmarker.task"))
            )
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


def asked(**more: object) -> RenderRequest:
    time_s = np.arange(8_000) / 16_000
    sound = Audio(samples=(0.3 * np.sin(2 * np.pi * 300 * time_s)).astype(np.float32), rate_hz=16_000)
    return RenderRequest(**{"sound": sound, "max_seconds": 5.0, "width": 480, "height": 320} | more)  # type: ignore[arg-type]


@pytest.mark.weights
@pytest.mark.parametrize("size", [(480, 320), (320, 480), (400, 400)])
def test_it_makes_what_it_announces(generator: Generator, person: Double, size: tuple[int, int]) -> None:
    clip = generator.render([person], asked(width=size[0], height=size[1], fps=12))
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
        generator.render([person], asked(max_seconds=0.4))


@pytest.mark.weights
def test_it_refuses_more_people_than_it_says_it_can_show(generator: Generator, person: Double) -> None:
    with pytest.raises(RenderError):
        generator.render([person] * (generator.most_people + 1), asked())


@pytest.mark.weights
def test_it_leaves_the_portrait_as_it_was(generator: Generator, person: Double) -> None:
    before = person.portrait.copy()
    next(generator.render([person], asked()).frames)
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
