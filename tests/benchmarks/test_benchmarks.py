"""The benchmarks run, measure what they say, and write what a program can read. How fast it was is not looked at."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.service


@pytest.mark.parametrize(
    ("name", "count", "what"),
    [
        ("log", 400, "evidence pack"),
        ("status_list", 4000, "list of 4,000, 1 % revoked"),
        ("audit_search", 500, "search: a rare reason at a backend"),
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
