"""What ``make bench`` runs exists, and its figures can be read by a program."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

from api.cli import _parser
from lab.bench import Figure, table, write_json
from tests.conftest import ROOT


def test_the_commands_of_the_make_target_are_understood() -> None:
    make = ["make", "--dry-run", "bench", "TAKES=3", "REPORT=docs/pad-report.md"]
    printed = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout.replace("\\\n", " ")
    commands = [words[1:] for line in printed.splitlines() if (words := shlex.split(line))[:1] == [".venv/bin/mien"]]
    corpus, evaluate = (_parser().parse_args(command) for command in commands if command[0] in ("corpus", "evaluate"))
    assert (corpus.genuine, evaluate.report, evaluate.plots) == (3, "docs/pad-report.md", "docs/pad-report")
    assert corpus.folder == evaluate.folder


def test_figures_are_printed_with_unit_and_goal_and_written_as_json(tmp_path: Path) -> None:
    figures = [Figure(what="a thing", value=1.5, unit="s", goal="< 2"), Figure(what="another", value=3, unit="MB")]
    machine = {"cores": 2, "python": "3.11", "system": "here"}
    printed = table(figures, machine)
    assert "2 cores" in printed
    assert re.search(r"a thing\s+1\.5 s\s+< 2", printed)
    write_json(figures, machine, tmp_path / "new" / "bench.json")
    written = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert written["figures"][1] == {"what": "another", "value": 3, "unit": "MB", "goal": ""}
