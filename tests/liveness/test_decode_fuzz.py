"""Thousands of damaged files: each gives a value or a documented ``MediaError``, soon, in little memory, and ends nothing.

Each is read in a process of its own that may be lost. A few hundred by default; ``make fuzz`` reads 10,000 and prints figures.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.liveness.mutants import MOST_MEMORY

ROOT = Path(__file__).resolve().parents[2]
FILES = int(os.environ.get("FUZZ_FILES", "300"))
PROCESSES = 2
LONGEST_S = 30.0  # for one file, on a busy machine


class Hung(Exception):
    pass


def lines(process: subprocess.Popen[bytes]) -> Any:
    """Its lines as values, until it ends. Raises Hung when none comes for too long."""
    assert process.stdout is not None
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(LONGEST_S * 2):
                raise Hung
            came = os.read(process.stdout.fileno(), 65536)
            if not came:
                return
            *whole, pending = (pending + came).split(b"\n")
            yield from map(json.loads, whole)


def read_share(share: int) -> list[dict[str, Any]]:
    """Every ``PROCESSES``-th mutant; a process that is lost is one finding, and another goes on behind it."""
    found: list[dict[str, Any]] = []
    number = share
    while number < FILES:
        count = len(range(number, FILES, PROCESSES))
        command = [sys.executable, "-m", "tests.liveness.mutants", str(number), str(count), str(PROCESSES)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            begun, lost = number - PROCESSES, ""
            try:
                for line in lines(process):
                    if "begins" in line:
                        begun = line["begins"]
                    elif "n" in line:
                        found.append(line)
                        number = line["n"] + PROCESSES
            except Hung:
                lost = "hangs"
                process.kill()
            status = process.wait()
        if number < FILES:  # it went before its last file
            assert begun >= number, f"the reading process does not start ({status})"
            found.append({"n": begun, "kind": "", "outcome": "lost", "wrong": lost or f"ended with {status}"})
            number = begun + PROCESSES
    return found


@pytest.fixture(scope="module")
def readings() -> list[dict[str, Any]]:
    with ThreadPoolExecutor(PROCESSES) as pool:
        return sorted((one for share in pool.map(read_share, range(PROCESSES)) for one in share), key=lambda r: r["n"])


def test_every_damaged_file_gives_a_value_or_a_media_error(readings: list[dict[str, Any]]) -> None:
    assert [reading["n"] for reading in readings] == list(range(FILES))
    wrong = [(reading["n"], reading["kind"], reading["wrong"]) for reading in readings if reading["wrong"]]
    outcomes = Counter(reading["outcome"] for reading in readings)
    longest = max(readings, key=lambda reading: reading.get("seconds", 0.0))
    peak = max(reading.get("peak", 0) for reading in readings)
    print(  # noqa: T201 the figures that ``make fuzz`` is for
        f"\n{FILES} damaged files: {outcomes['taken']} taken; "
        + ", ".join(f"{count} {code}" for code, count in outcomes.most_common() if code != "taken")
        + f"; longest {longest.get('seconds', 0.0):.2f} s (number {longest['n']}, {longest['kind']}); "
        f"most memory {peak / 1e6:.0f} MB"
    )
    assert wrong == []


def test_none_takes_long_or_much_memory(readings: list[dict[str, Any]]) -> None:
    assert [r["n"] for r in readings if r.get("seconds", 0.0) > LONGEST_S] == []
    assert [r["n"] for r in readings if r.get("peak", 0) > MOST_MEMORY] == []


def test_the_damage_is_such_that_much_is_refused_and_some_is_not(readings: list[dict[str, Any]]) -> None:
    """Otherwise it would show nothing."""
    taken = sum(reading["outcome"] == "taken" for reading in readings)
    assert FILES * 0.1 < taken < FILES * 0.9
    assert len({reading["outcome"] for reading in readings}) >= 5
