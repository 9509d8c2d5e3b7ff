"""The visible label is found where it is, after encoding, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from likeness.encode import encode
from likeness.label import labelled, plates
from likeness.label_check import carries_label
from liveness.capture import RgbImage
from liveness.decode import still

GROUNDS = ("noise", "white", "black", "gradient")


def ground(kind: str, width: int, height: int) -> RgbImage:
    image = np.zeros((height, width, 3), np.uint8)
    if kind == "noise":
        image[:] = np.random.default_rng(1).integers(0, 256, image.shape, dtype=np.uint8)
    elif kind == "white":
        image[:] = 250
    elif kind == "gradient":
        image[:] = np.linspace(0, 255, width).astype(np.uint8)[None, :, None]
    return image


def filmed(image: RgbImage, out: Path, *, label: bool) -> RgbImage:
    height, width = image.shape[:2]
    pictures = iter([image] * 12)
    shown = labelled(pictures, width=width, height=height, fps=12) if label else pictures
    encode(shown, None, width=width, height=height, fps=12, out=out)
    return still(out.read_bytes(), 500)


@pytest.mark.parametrize("kind", GROUNDS)
@pytest.mark.parametrize(("width", "height"), [(256, 256), (640, 360), (360, 640)])
def test_a_labelled_clip_is_recognised_after_encoding(tmp_path: Path, kind: str, width: int, height: int) -> None:
    image = ground(kind, width, height)
    assert carries_label(filmed(image, tmp_path / "with.mp4", label=True))
    assert not carries_label(filmed(image, tmp_path / "without.mp4", label=False))


def test_a_label_that_was_covered_washed_out_or_moved_is_none(tmp_path: Path) -> None:
    good = filmed(ground("gradient", 640, 360), tmp_path / "clip.mp4", label=True)
    plate, _ = plates(640, 360)
    height, width = plate.alpha.shape[:2]
    covered, washed, moved = good.copy(), good.copy(), good.copy()
    covered[plate.top : plate.top + height, plate.left : plate.left + width // 2] = 90
    washed[:] = 128 + (good.astype(int) - 128) // 10
    moved[:] = np.roll(good, 40, axis=1)
    assert [carries_label(image) for image in (good, covered, washed, moved)] == [True, False, False, False]
