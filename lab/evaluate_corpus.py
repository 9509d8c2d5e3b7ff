"""Examines every recording of a corpus with the real pipeline, in processes of their own, and keeps what each check found.

What was found is written line by line, so that a run that was stopped goes on where it was, and a run after a change of
limits examines again only what must be: a limit that does nothing but stand against a check's value (:data:`COMPARED`) is
compared anew with the kept values.

Two files stand beside the answer. ``NAME.results.jsonl`` holds check values, no face and no words. ``NAME.templates.jsonl``
holds one face template for each genuine take, as biometric data as the recordings themselves: it is readable by its owner
only, and is to be deleted with them.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import liveness
from lab.corpus import Recording
from lab.errors import LabError
from lab.processes import Lost, in_processes
from liveness.errors import LivenessError
from liveness.evidence import Transcript
from liveness.examine import Engines, Examination, examine_recording
from liveness.policy import Limit, LivenessPolicy
from liveness.reasons import Reason
from liveness.template import FaceTemplate, template
from liveness.transcripts import edit_distance
from liveness.verdict import CheckResult, Live, Outcome

_PATIENCE_S = 180  # of one recording; the service allows less
_RULES_ELSEWHERE = {
    "policy.py",
    "reasons.py",
    "plot.py",
}  # limits are compared by value; texts and pictures judge nothing


class Sense(StrEnum):
    """Which side of its limit passes."""

    AT_LEAST = "at_least"
    AT_MOST = "at_most"


COMPARED: Mapping[str, tuple[str, Sense]] = {
    "min_short_side": ("resolution", Sense.AT_LEAST),
    "max_frame_gap": ("continuity", Sense.AT_MOST),
    "max_track_difference": ("tracks_together", Sense.AT_MOST),
    "max_second_face": ("no_second_face", Sense.AT_MOST),
    "min_face_width": ("face_size", Sense.AT_LEAST),
    "blurred": ("focus", Sense.AT_LEAST),
    "worst_cut": ("no_cuts", Sense.AT_MOST),
    "mouth_moving_digits": ("mouth_moves", Sense.AT_LEAST),
    "mouth_rests": ("mouth_rests", Sense.AT_LEAST),
    "attack_score": ("attack_score", Sense.AT_LEAST),
    "parallax": ("depth", Sense.AT_LEAST),
    "sheet": ("bend", Sense.AT_LEAST),
    "moire": ("no_moire", Sense.AT_MOST),
    "border": ("no_border", Sense.AT_MOST),
    "flicker": ("no_flicker", Sense.AT_MOST),
    "frozen": ("not_frozen", Sense.AT_MOST),
    "repeated_frames": ("not_repeated", Sense.AT_MOST),
    "floor_jump": ("one_room", Sense.AT_MOST),
    "digital_silence": ("room_heard", Sense.AT_MOST),
    "opened_with_words": ("mouth_with_words", Sense.AT_LEAST),
    "looks_with_others": ("nobody_else", Sense.AT_MOST),
    "weak_signs": ("few_attack_signs", Sense.AT_MOST),
    "voice_lead": ("voice_fits", Sense.AT_LEAST),
    "tracked_apart": ("tracking_holds", Sense.AT_MOST),
}
"""Limits whose change needs no new examination: limit to its check, and which side passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How one recogniser heard the digits; not what it heard. errors : edit distance to what was asked."""

    engine: str
    exact: bool
    errors: int
    digits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """One recording under one policy. ``no_response``: the code why there is no verdict, else ``None``."""

    file: str
    policy: str
    no_response: str | None
    live: bool = False
    results: tuple[CheckResult, ...] = ()
    heard: tuple[Heard, ...] = ()
    take_ms: int = 0
    verdict_ms: int = 0

    @property
    def missed(self) -> frozenset[str]:
        """Names of the checks that did not pass."""
        return frozenset(result.name for result in self.results if result.outcome is not Outcome.PASS)

    def without(self, checks: frozenset[str]) -> bool:
        """Whether it would have passed had these checks not been there."""
        return self.no_response is None and (self.live or (bool(self.missed) and self.missed <= checks))


@dataclass(slots=True, kw_only=True)
class Examinations:
    """All that was found: by policy name and file; ``templates``: of genuine takes, by file."""

    found: dict[tuple[str, str], Examined] = field(default_factory=dict)
    templates: dict[str, FaceTemplate] = field(default_factory=dict, repr=False)
    models: dict[str, str] = field(default_factory=dict)
    reused: int = 0

    def of(self, recordings: Sequence[Recording], policy: str) -> list[Examined]:
        return [self.found[policy, each.file] for each in recordings if (policy, each.file) in self.found]


def examine_corpus(
    folder: Path,
    wanted: Sequence[tuple[Recording, LivenessPolicy]],
    *,
    open_engines: Callable[[], Engines],
    kept: Path,
    jobs: int,
    done: Callable[[int, int], None] = lambda ready, of: None,
) -> Examinations:
    """Examine each recording under its policy, but for what ``kept`` already knows.

    open_engines : picklable; called once in each process. kept : path of the answer, whose name the two files beside it bear.

    Raises:
        LabError: when no process can start, as when weights are missing.
    """
    book = _Book(kept)
    everything = Examinations(models=book.models)
    tasks: list[_Task] = []
    for recording, policy in wanted:
        task = _Task(
            file=folder / recording.file, recording=recording, policy=policy, sha256=_sha256(folder / recording.file)
        )
        known = book.known(task)
        if known is None:
            tasks.append(task)
        else:
            everything.found[policy.name, recording.file] = known
    everything.reused = len(everything.found)
    total = len(wanted)
    done(everything.reused, total)
    for number, answer in in_processes(tasks, partial(_examiner, open_engines), jobs=jobs, patience_s=_PATIENCE_S):
        task = tasks[number]
        if isinstance(answer, Lost):
            # not kept: the next run tries again
            examined = Examined(file=task.recording.file, policy=task.policy.name, no_response=answer.code)
        else:
            examined = answer.examined
            book.write(task, answer)
            everything.models.update(answer.models)
        everything.found[task.policy.name, task.recording.file] = examined
        done(len(everything.found), total)
    genuine = {recording.file for recording, _ in wanted if recording.species is None}
    everything.templates = {file: made for file, made in book.templates.items() if file in genuine}
    return everything


# --- one recording ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    file: Path
    recording: Recording
    policy: LivenessPolicy
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    examined: Examined
    template: FaceTemplate | None = field(repr=False)
    models: dict[str, str]


def _examiner(open_engines: Callable[[], Engines]) -> Callable[[_Task], _Answer]:
    import cv2

    cv2.setNumThreads(1)
    engines = open_engines()

    def work(task: _Task) -> _Answer:
        return _examined(task, engines)

    return work


def _examined(task: _Task, engines: Engines) -> _Answer:
    recording, challenge = task.recording, task.recording.challenge(task.policy)
    models = engines.versions(recording.language)
    start = time.perf_counter()
    try:
        examination = examine_recording(
            task.file.read_bytes(),
            challenge,
            policy=task.policy,
            engines=engines,
            mirrored=recording.mirrored,
            now=datetime(2000, 1, 1, tzinfo=UTC),
            timing=recording.timing,
        )
    except LivenessError as error:
        lost = Examined(file=recording.file, policy=task.policy.name, no_response=error.code)
        return _Answer(examined=lost, template=None, models=models)
    examined = Examined(
        file=recording.file,
        policy=task.policy.name,
        no_response=None,
        live=isinstance(examination.verdict, Live),
        results=examination.verdict.results,
        heard=_heard(examination),
        take_ms=examination.evidence.facts.duration_ms,
        verdict_ms=round(1000 * (time.perf_counter() - start)),
    )
    first = next((each.template for each in examination.evidence.templates if each.phase == "start"), None)
    return _Answer(examined=examined, template=first if recording.species is None else None, models=models)


def _heard(examination: Examination) -> tuple[Heard, ...]:
    wanted, evidence = examination.challenge.digits, examination.evidence
    if not wanted:
        return ()
    heard: list[Transcript] = [each for each in (evidence.transcript, evidence.second_opinion) if each is not None]
    return tuple(
        Heard(
            engine=each.engine,
            exact=each.accepted and each.digits == wanted,
            errors=edit_distance(each.digits, wanted),
            digits=len(wanted),
        )
        for each in heard
    )


# --- what is kept ----------------------------------------------------------------------------------------------------


class _Book:
    """The two files of what was found. A line that cannot be read is left out: that recording is examined again."""

    def __init__(self, answer: Path) -> None:
        self._results = answer.with_suffix(".results.jsonl")
        self._templates = answer.with_suffix(".templates.jsonl")
        self._code = code_digest()
        self._limits: dict[str, dict[str, list[Any]]] = {}
        self._rows: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.models: dict[str, str] = {}
        self.templates: dict[str, FaceTemplate] = {}
        for row in _lines(self._results):
            if "limits" in row:
                self._limits[row["under"]] = row["limits"]
            elif "file" in row:
                self._rows[row["file"], row["policy"], row["asked"]] = row
            elif "models" in row:
                self.models = row["models"]
        for row in _lines(self._templates):
            vector = np.frombuffer(base64.b64decode(row["vector"]), np.float16).astype(np.float32)
            self.templates[row["file"]] = template(vector, contract_id=row["contract"])

    def known(self, task: _Task) -> Examined | None:
        row = self._rows.get((task.recording.file, task.policy.name, _asked(task)))
        if row is None or row["sha256"] != task.sha256 or row["code"] != self._code:
            return None
        changed = _changed(self._limits.get(row["under"], {}), _limits_of(task))
        if changed is None:
            return None
        try:
            return judged_again(_from_row(row), changed)
        except (KeyError, ValueError, TypeError):
            return None

    def write(self, task: _Task, answer: _Answer) -> None:
        limits = _limits_of(task)
        under = hashlib.sha256(json.dumps(limits, sort_keys=True).encode()).hexdigest()[:16]
        self._results.parent.mkdir(parents=True, exist_ok=True)
        with self._results.open("a", encoding="utf-8") as out:
            if under not in self._limits:
                self._limits[under] = limits
                out.write(json.dumps({"under": under, "limits": limits}) + "\n")
            if answer.models != self.models:
                self.models = dict(answer.models)
                out.write(json.dumps({"models": self.models}) + "\n")
            row = _to_row(answer.examined)
            row |= {"asked": _asked(task), "sha256": task.sha256, "code": self._code, "under": under}
            out.write(json.dumps(row) + "\n")
        if answer.template is not None:
            self.templates[task.recording.file] = answer.template
            vector = base64.b64encode(answer.template.vector.astype(np.float16).tobytes()).decode()
            row = {"file": task.recording.file, "contract": answer.template.contract_id, "vector": vector}
            with open(self._templates, "a", encoding="utf-8", opener=_owner_only) as out:
                out.write(json.dumps(row) + "\n")


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _lines(file: Path) -> list[dict[str, Any]]:
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:  # the last line of a run that was stopped while writing
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def code_digest() -> str:
    """SHA-256 over every source of ``liveness`` that can change what a check finds."""
    digest = hashlib.sha256()
    for file in sorted(Path(liveness.__path__[0]).glob("*.*")):
        if file.suffix in (".py", ".toml") and file.name not in _RULES_ELSEWHERE:
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def judged_again(examined: Examined, changed: Mapping[str, float]) -> Examined:
    """The same values against other limits. ``changed``: limit of :data:`COMPARED` to its new value.

    A check that had no value (it could not judge, or refused for want of one) stays as it was.
    """
    if not changed or examined.no_response is not None:
        return examined
    by_check = {COMPARED[name][0]: (value, COMPARED[name][1]) for name, value in changed.items()}
    results = tuple(
        _compared(result, *by_check[result.name])
        if result.name in by_check and result.value is not None and result.outcome is not Outcome.CANNOT_JUDGE
        else result
        for result in examined.results
    )
    had_passed = all(result.outcome is Outcome.PASS for result in examined.results)
    live = all(result.outcome is Outcome.PASS for result in results) and (examined.live or not had_passed)
    return dataclasses.replace(examined, results=results, live=live)


def _compared(result: CheckResult, limit: float, sense: Sense) -> CheckResult:
    assert result.value is not None  # noqa: S101 - the caller's condition, for the type checker
    passes = result.value >= limit if sense is Sense.AT_LEAST else result.value <= limit
    if passes:
        return CheckResult.passed(result.name, result.value, limit, result.unit)
    return CheckResult.failed(result.name, result.code or Reason.NOT_MEASURED, result.value, limit, result.unit)


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, float] | None:
    """Limits that moved, by name; ``None`` when one moved that needs a new examination."""
    moved = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
    if not moved <= COMPARED.keys() or not moved <= now.keys():
        return None
    return {name: float(now[name][0]) for name in moved}


def _limits_of(task: _Task) -> dict[str, list[Any]]:
    policy = task.recording.challenge(task.policy).limits(task.policy)
    found: dict[str, list[Any]] = {"simulated_captures": [policy.simulated_captures, ""]}
    for each in dataclasses.fields(policy):
        limit = getattr(policy, each.name)
        if isinstance(limit, Limit):
            found[each.name] = [limit.value, limit.unit]
    return found


def _asked(task: _Task) -> str:
    """What was asked, hashed: a corrected sheet means a new examination."""
    said = json.dumps([task.recording.sheet()[name] for name in ("steps", "path", "language", "mirrored", "timing")])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _to_row(examined: Examined) -> dict[str, Any]:
    row = dataclasses.asdict(examined)
    row["results"] = [
        [r.name, r.outcome.value, r.value, r.limit, r.unit, None if r.code is None else r.code.value]
        for r in examined.results
    ]
    return row


def _from_row(row: Mapping[str, Any]) -> Examined:
    return Examined(
        file=row["file"],
        policy=row["policy"],
        no_response=row["no_response"],
        live=row["live"],
        results=tuple(
            CheckResult(
                name=name,
                outcome=Outcome(outcome),
                value=value,
                limit=limit,
                unit=unit,
                code=None if code is None else Reason(code),
            )
            for name, outcome, value, limit, unit, code in row["results"]
        ),
        heard=tuple(Heard(**each) for each in row["heard"]),
        take_ms=row["take_ms"],
        verdict_ms=row["verdict_ms"],
    )


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise LabError(f"{file.name} cannot be opened ({type(error).__name__})", code="corpus_invalid") from error
