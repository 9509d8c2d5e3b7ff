"""The benchmarks run, measure what they say, and write what a program can read. How fast it was is not looked at."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from benchmarks import output_check
from liveness.policy import STRICT

pytestmark = pytest.mark.service


@pytest.mark.parametrize(
    ("name", "count", "what"),
    [
        ("log", 400, "evidence pack"),
        ("status_list", 4000, "list of 4,000, 1 % revoked"),
        ("audit_search", 500, "search: a rare reason at a backend"),
        ("workers", 4, "clips of one colour, 1 worker"),
        ("look_alikes", 300, "found first"),
        ("gate", 40, "gate over HTTP, one process, 200 questions/s (p99)"),
    ],
)
def test_a_benchmark_runs_small(
    name: str,
    count: int,
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", [name, str(count), "--json", str(out)])
    importlib.import_module(f"benchmarks.{name}").main()
    figures = json.loads(out.read_text())["figures"]
    assert any(figure["what"].startswith(what) for figure in figures), figures
    assert all(figure["value"] > 0 and figure["unit"] for figure in figures)
    assert what in capsys.readouterr().out


@pytest.mark.weights
def test_looking_at_finished_clips_is_measured_on_every_local_generator(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none of their faces is taken for somebody else's."""
    monkeypatch.setenv("MIEN_WEIGHTS", str(weights))
    monkeypatch.setattr(output_check, "_SIZE", (640, 360))
    figures = output_check.measure(1)
    assert sum("made and encoded" in figure.what for figure in figures) == 4
    assert min(figure.value for figure in figures if "least like" in figure.what) > STRICT.same_person.value


@pytest.mark.weights
def test_wrong_clips_are_withheld_and_the_benchmark_says_how_many(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import outputs

    monkeypatch.setenv("MIEN_WEIGHTS", str(weights))
    monkeypatch.setenv("MIEN_VAR", str(tmp_path))
    figures = {figure.what: figure for figure in outputs.measure(5)}
    assert figures["wrong clips withheld"].value == 5, "one of each kind"
    assert figures["right clips released"].value <= 5
    assert figures["right clips released, heads at rest"].unit == "of 3"
