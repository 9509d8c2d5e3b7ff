"""Benchmarks: ``make bench``. Prints a table and writes JSON; tests are never timed.

Commands are measured as a user runs them (a process each, models loaded anew), with the peak memory of that process; rules
are measured in this process, many times. Figures depend on the machine, so the number of cores is printed with them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from liveness.template import similarity, template

_DIGITS, _TURNS = "480215", "left,right,left"
_LONG_STEPS = "4802,left,1573,right,left,right"  # about 20 s
_RUNS = 3
_JUDGED = 13
_RULE_RUNS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value. ``goal`` as the project set it, or empty."""

    what: str
    value: float
    unit: str
    goal: str = ""


def main() -> None:
    """Run all benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench.json"))
    out: Path = parser.parse_args().out
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as scratch:
        take = Path(scratch) / "take.mp4"
        figures += _simulation(take)
        figures += _examination(take)
        figures += _judging(Path(scratch) / "long.mp4")
    figures += _live()
    figures += _help()
    figures += _rules()
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    write_json(figures, machine, out)
    print(table(figures, machine))


def write_json(figures: Sequence[Figure], machine: Mapping[str, object], out: Path) -> None:
    """Write machine and figures to ``out``."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": dict(machine), "figures": [asdict(f) for f in figures]}, indent=2) + "\n")


def table(figures: Sequence[Figure], machine: Mapping[str, object]) -> str:
    """The figures for a terminal."""
    lines = [f"{machine['cores']} cores, Python {machine['python']}", f"{'what':<58}{'value':>10} {'unit':<8}goal"]
    lines += [f"{each.what:<58}{each.value:>10.4g} {each.unit:<8}{each.goal}" for each in figures]
    return "\n".join(lines)


def _simulation(take: Path) -> list[Figure]:
    seconds, _, _ = _run("simulate", str(take), "--digits", _DIGITS, "--turns", _TURNS)
    return [Figure(what="simulate a capture of about 13 s, 720p", value=seconds, unit="s")]


def _examination(take: Path) -> list[Figure]:
    runs = []
    for _ in range(_RUNS):
        seconds, megabytes, answer = _run(
            "examine", str(take), "--digits", _DIGITS, "--turns", _TURNS, "--policy", "simulated"
        )
        runs.append((seconds, megabytes, json.loads(answer)["timing_ms"]))
    stages = runs[0][2].keys()
    figures = [
        Figure(
            what="examine a 13 s 720p capture, whole command (median)",
            value=statistics.median(run[0] for run in runs),
            unit="s",
            goal="< 6 for 12 s",
        ),
        Figure(what="  peak memory", value=max(run[1] for run in runs), unit="MB", goal="< 1500"),
    ]
    figures += [
        Figure(what=f"  {stage}", value=statistics.median(run[2][stage] for run in runs) / 1000, unit="s")
        for stage in stages
    ]
    return figures


def _judging(take: Path) -> list[Figure]:
    """A take of 20 s with models loaded before, as a worker judges it."""
    _run("simulate", str(take), "--steps", _LONG_STEPS)
    asked = ("--steps", _LONG_STEPS, "--policy", "simulated", "--repeat", str(_JUDGED))
    _, megabytes, answer = _run("examine", str(take), *asked)
    ranked = sorted(json.loads(answer)["repeated_ms"][1:])  # the first loads what is loaded at first need
    return [
        Figure(
            what="judge a 20 s 720p take, with the portrait, warm (p50)",
            value=statistics.median(ranked) / 1000,
            unit="s",
            goal="<= 4",
        ),
        Figure(what="  p95", value=ranked[round(0.95 * (len(ranked) - 1))] / 1000, unit="s", goal="<= 6"),
        Figure(what="  peak memory", value=megabytes, unit="MB", goal="<= 1000 a worker"),
    ]


def _live() -> list[Figure]:
    from lab.live_client import measure_live

    figures = []
    for each in measure_live(Path(os.environ.get("MIEN_WEIGHTS", "var/weights"))):
        goal = "<= 300" if each.at_once == 1 else ""
        figures.append(
            Figure(what=f"guidance, {each.at_once} live at once (p95)", value=each.p95_ms, unit="ms", goal=goal)
        )
        figures.append(Figure(what="  cores for one of them", value=each.cores, unit=""))
    return figures


def _help() -> list[Figure]:
    seconds = [_run("--help")[0] for _ in range(_RUNS)]
    return [Figure(what="mien --help", value=statistics.median(seconds), unit="s", goal="< 0.5")]


def _rules() -> list[Figure]:
    from consent import tokens
    from consent.authority import SubjectAssurance
    from consent.keys import KeySet, SigningKey
    from consent.terms import Purpose
    from consent.tokens import ConsentToken, UnverifiedToken

    chance = np.random.default_rng(1)
    one, other = (template(chance.normal(size=512).astype(np.float32), contract_id="bench") for _ in range(2))
    key = SigningKey.from_seed(bytes(32))
    now = datetime.now(UTC).replace(microsecond=0)
    token = ConsentToken(
        token_id="tok_" + "0" * 32,
        consent_id="cns_" + "0" * 32,
        subject_id="sub_" + "0" * 32,
        audience="portrait",
        purpose=Purpose.DIGITAL_DOUBLE,
        assurance=SubjectAssurance.WEB,
        template_commitment="0" * 64,
        issued_at=now,
        expires_at=now.replace(year=now.year + 1),
    )
    signed = UnverifiedToken(tokens.sign(token, key))
    keys = KeySet.of(key)
    return [
        _timed("compare two templates (512 floats)", lambda: similarity(one, other)),
        _timed("sign a consent token", lambda: tokens.sign(token, key)),
        _timed("verify a consent token", lambda: tokens.verify(signed, keys, audience="portrait", now=now)),
    ]


def _timed(what: str, work: Callable[[], object]) -> Figure:
    spent = []
    for _ in range(_RULE_RUNS):
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return Figure(what=f"{what} (median)", value=1e6 * statistics.median(spent), unit="us")


def _run(*arguments: str) -> tuple[float, float, str]:
    """Seconds, peak resident megabytes of its largest process, and output of one ``mien`` command."""
    import psutil

    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "api.cli", *arguments], stdout=subprocess.PIPE, text=True)
    peak = [0]

    def watch() -> None:
        observed = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                for each in (observed, *observed.children()):
                    peak[0] = max(peak[0], each.memory_info().rss)
            except psutil.Error:
                continue  # one of them has just ended
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - start
    watcher.join()
    if process.returncode != 0:
        raise SystemExit(f"mien {arguments[0]} ended with {process.returncode}")
    return seconds, peak[0] / 1e6, output


if __name__ == "__main__":
    main()
