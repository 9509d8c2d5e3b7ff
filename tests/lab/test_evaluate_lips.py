"""Every picture is paired with every voice, and what could not be measured is said and not counted as right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from lab.evaluate_lips import measure_lips, sentence
from lab.rates import Rate
from likeness.encode import encode
from liveness.capture import Capture
from liveness.evidence import FaceTrack
from liveness.examine import Engines
from liveness.policy import STRICT
from tests.liveness.speakers import Speech, speech

NAMES = ("grid_bbaf2n", "grid_lrwp9a", "grid_pwij3p")
SPEAKERS = (22, 23, 26)
"""Seeds whose rhythms are unlike: here it is the pairing that is tested; how often strangers fit is in ``test_lips``."""


class Mouths:
    """Stands in for the engines: knows by the grey of a picture who is seen, and has no recogniser."""

    model_version = "stand-in"
    recognisers: Mapping[str, tuple[object, ...]] = {}

    def __init__(self, speakers: Mapping[int, Speech]) -> None:
        self.tracker = self
        self._speakers = speakers

    def track(self, capture: Capture) -> FaceTrack:
        grey = float(np.mean(capture.frames[0].image))
        return self._speakers[min(self._speakers, key=lambda one: abs(one - grey))].track()


def clip(said: Speech, grey: int, out: Path) -> None:
    pictures = (np.full((360, 360, 3), grey, np.uint8) for _ in range(len(said.opening) * 15 // 1000))
    made = out.with_suffix(".mp4")
    encode(pictures, said.audio(), width=360, height=360, fps=15, out=made)
    made.rename(out)


def rates(folder: Path, mouths: Mouths) -> tuple[dict[str, Rate], str]:
    found = measure_lips(folder, cast(Engines, mouths), STRICT)
    return {rate.measure: rate for rate in found.rates}, "; ".join(found.notes)


def test_own_voices_pass_and_others_are_counted(tmp_path: Path) -> None:
    speakers = {60 + 60 * place: speech(seed) for place, seed in enumerate(SPEAKERS)}
    for name, (grey, said) in zip(NAMES, speakers.items(), strict=True):
        clip(said, grey, tmp_path / f"{name}.mpg")
    (tmp_path / "grid_sbwe5n.mpg").write_bytes(b"no video")
    found, notes = rates(tmp_path, Mouths(speakers))
    assert (found["own voice refused"].errors, found["own voice refused"].tries) == (0, 3)
    foreign = found["voice of another sentence let through"]
    assert (foreign.errors, foreign.tries) == (0, 6)
    # without a recogniser no digit is placed, and none counts as seen moving
    assert found["digit said, mouth not seen moving"].tries == 0
    assert "grid_sbwe5n.mpg: " in notes
    assert "its digit cannot be placed" in notes


def test_exchanged_voices_are_found(tmp_path: Path) -> None:
    """The mouth of one with the voice of the other, in both files: the own voice is then the foreign one."""
    one, other = (speech(seed) for seed in SPEAKERS[:2])
    for name, grey, said in zip(NAMES, (60, 120), (one, other), strict=False):
        clip(said, grey, tmp_path / f"{name}.mpg")
    found, _ = rates(tmp_path, Mouths({60: other, 120: one}))
    assert found["own voice refused"].errors == 2
    assert found["voice of another sentence let through"].errors == 2


def test_an_empty_folder_measures_nothing(tmp_path: Path) -> None:
    found, _ = rates(tmp_path, Mouths({}))
    assert all(rate.tries == 0 for rate in found.values())


@pytest.mark.parametrize(
    ("name", "spelt"),
    [
        ("grid_bbaf2n", "bin blue at f two now"),
        ("grid_swwwzp", None),
        ("grid_lgbazs", "lay green by a zero soon"),
        ("grid_bbaf", None),
        ("head_motion_a", None),
    ],
)
def test_a_file_name_spells_its_sentence(name: str, spelt: str | None) -> None:
    assert sentence(name) == spelt
