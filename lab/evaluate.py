"""Measures this machine's pipeline on a folder of recordings, with exact bounds.

The folder holds any of the following (whatever is missing is left out of the report, and said):

    genuine/, attacks/SPECIES/    whole takes and attacks on them, as the docstring of lab/corpus.py says
    speech/D_SPEAKER_TAKE.wav     one spoken digit each; joined here into six-digit strings
    faces/identities.csv, *.jpg   columns person,file; and pictures of several people named in no row
    video/grid_*.mpg              one person saying a sentence; the fifth letter of the name's word is the digit in it
    video/head_motion_*.mp4, talking_*.mp4   people who move the head less than a turn
    video/many_people.mp4         several people
    pad/image_T*.jpg, image_F*.jpg   a live face, and a face shown on a screen

Nothing here sets a limit: limits stand in ``liveness.policy``, and what is measured is reported as it is. Terms as in
ISO/IEC 30107-3 (APCER, BPCER) and 19795-1 (FMR, FNMR).
"""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from lab.corpus import Recording, is_corpus, read_corpus, simulator_digest
from lab.evaluate_corpus import examine_corpus
from lab.evaluate_real import PARTS, measure_real
from lab.pad_rates import PadFigures, pad_figures
from lab.rates import Rate
from liveness.digits import Language
from liveness.evidence import FaceFinder
from liveness.examine import Engines
from liveness.policy import STRICT, LivenessPolicy

STRICT_TOO = ("render_injection",)
"""Species without the simulator's mark: also judged under ``strict``, where they are what an operator would meet."""

_STRICT_ATTEMPTS = 30  # of each: ``strict`` differs from ``simulated`` in one check, which finds nothing in them


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What it was measured on."""

    cores: int
    python: str
    system: str

    @classmethod
    def here(cls) -> Machine:
        return cls(cores=os.cpu_count() or 1, python=platform.python_version(), system=platform.system())


@dataclass(slots=True, kw_only=True)
class Report:
    """All that was measured. ``notes`` says what was left out and gives figures that are no error rates.

    pad : figures of whole takes. photographs : similarities of pairs of one person, and of different people.
    """

    measured_at: datetime
    policy: str
    models: dict[str, str]
    machine: Machine
    rates: list[Rate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    pad: PadFigures | None = None
    photographs: tuple[list[float], list[float]] | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, object]:
        from lab.pad_report import pad_json

        return {
            "measured_at": self.measured_at.isoformat(timespec="seconds"),
            "policy": self.policy,
            "models": self.models,
            "machine": dataclasses.asdict(self.machine),
            "rates": [rate.as_json() for rate in self.rates],
            "notes": self.notes,
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
            **({} if self.pad is None else {"presentation_attacks": pad_json(self.pad)}),
        }

    def table(self) -> str:
        from lab.pad_report import pad_table

        lines = [] if self.pad is None else [pad_table(self.pad), ""]
        if self.rates:
            lines.append(f"{'measure':<48}{'errors':>8}{'tries':>8}{'rate':>9}{'<= (95 %)':>11}")
        lines += [
            f"{rate.measure:<48}{rate.errors:>8}{rate.tries:>8}{rate.rate:>9.1%}{rate.upper95:>11.1%}"
            for rate in self.rates
        ]
        return "\n".join([*lines, "", *(f"note: {note}" for note in self.notes)])


def evaluate(
    folder: Path,
    *,
    open_engines: Callable[[], Engines],
    open_finder: Callable[[], FaceFinder],
    now: datetime,
    kept: Path,
    policy: LivenessPolicy = STRICT,
    jobs: int = 2,
    seed: int = 1,
    say: Callable[[str], None] = lambda line: None,
    done: Callable[[int, int], None] = lambda ready, of: None,
) -> Report:
    """Measure everything that ``folder`` has recordings for.

    open_engines : picklable, as processes of their own open the models for a corpus. kept : the answer's file, beside which
    what was found in a corpus is kept. say : gets a line as each part begins. done : gets how many takes of how many are
    examined.

    Raises:
        CorpusInvalid: a recording of the corpus has no sheet or a wrong one.
        LabError, LivenessError: models are missing.
    """
    report = Report(measured_at=now, policy=f"{policy.name}@{policy.version}", models={}, machine=Machine.here())
    if is_corpus(folder):
        say("examining the corpus")
        _corpus(folder, report, open_engines=open_engines, kept=kept, policy=policy, jobs=jobs, seed=seed, done=done)
    if any((folder / part).is_dir() for part in PARTS) or not is_corpus(folder):
        engines = open_engines()
        measured = measure_real(folder, engines=engines, finder=open_finder(), policy=policy, seed=seed, say=say)
        report.rates += measured.rates
        report.notes += measured.notes
        report.seconds |= measured.seconds
        report.models |= engines.versions(Language.ENGLISH)
        if measured.same and measured.other:
            report.photographs = measured.same, measured.other
    return report


def _first_of(recordings: Sequence[Recording], species: Sequence[str]) -> list[Recording]:
    found = ([each for each in recordings if each.species == name][:_STRICT_ATTEMPTS] for name in species)
    return [each for attempts in found for each in attempts]


def _corpus(
    folder: Path,
    report: Report,
    *,
    open_engines: Callable[[], Engines],
    kept: Path,
    policy: LivenessPolicy,
    jobs: int,
    seed: int,
    done: Callable[[int, int], None],
) -> None:
    recordings = read_corpus(folder)
    also = [] if policy.name == STRICT.name else _first_of(recordings, STRICT_TOO)
    wanted = [*((each, policy) for each in recordings), *((each, STRICT) for each in also)]
    start = time.perf_counter()
    found = examine_corpus(folder, wanted, open_engines=open_engines, kept=kept, jobs=jobs, done=done)
    report.seconds["corpus"] = time.perf_counter() - start
    if found.reused:
        report.notes.append(f"{found.reused} of {len(wanted)} examinations were kept from an earlier run")
    simulator = simulator_digest()
    old = sum(each.made_by not in (None, simulator) for each in recordings)
    if old:
        report.notes.append(
            f"{old} of {len(recordings)} recordings were made by another version of the simulator; to remake them, delete them"
        )
    report.models |= found.models
    report.pad = pad_figures(
        recordings,
        found,
        policy=policy.name,
        also=[(name, STRICT.name) for name in sorted({each.species for each in also if each.species is not None})],
        same_person=policy.same_person.value,
        seed=seed,
    )
