"""Figures are reported with the bounds that statistics asks for, and what was found is kept, not trusted blindly."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lab import evaluate_corpus
from lab.corpus import Recording
from lab.evaluate_corpus import COMPARED, Examined, examine_corpus, judged_again
from lab.processes import CRASHED, FAILED, HUNG, Lost, in_processes
from lab.rates import (
    Rate,
    all_fail,
    bootstrap_interval,
    equal_error,
    mean_all_fail,
    percentile,
    trade,
    upper_bound,
)
from liveness import policy as limits
from liveness.challenge import read_steps
from liveness.checks import CHECKS
from liveness.digits import Language
from liveness.examine import Engines
from liveness.policy import SIMULATED, STRICT, Limit
from liveness.reasons import Reason
from liveness.transcripts import edit_distance
from liveness.verdict import CheckResult, Outcome
from tests import people
from tests.lab import stand_ins


@pytest.mark.parametrize(
    ("errors", "tries", "bound"),
    [(0, 30, 0.095), (0, 59, 0.0495), (0, 150, 0.0198), (0, 300, 0.00994), (1, 150, 0.0312), (3, 150, 0.0510)],
)
def test_upper_bounds_are_exact(errors: int, tries: int, bound: float) -> None:
    """Values of the Clopper-Pearson interval, as printed in tables of zero- and few-error tests."""
    assert Rate(measure="m", what="attack", errors=errors, tries=tries).upper95 == pytest.approx(bound, rel=0.01)


def test_the_bound_of_no_errors_is_the_one_of_the_textbook() -> None:
    """Nobody got in n times: the bound p solves (1 - p)^n = 0.05."""
    for tries in (1, 19, 42, 59, 99, 299, 900):
        assert upper_bound(0, tries) == pytest.approx(1 - 0.05 ** (1 / tries), rel=1e-9)


def test_all_errors_and_no_tries_bound_nothing() -> None:
    assert upper_bound(5, 5) == 1.0
    assert upper_bound(0, 0) == 1.0


def test_more_errors_than_tries_are_no_rate() -> None:
    with pytest.raises(ValueError, match="3 errors in 2 tries"):
        upper_bound(3, 2)


@pytest.mark.parametrize(
    ("heard", "wanted", "distance"), [("", "123", 3), ("123", "123", 0), ("124", "123", 1), ("13", "123", 1)]
)
def test_digit_errors_count_insertions_deletions_and_substitutions(heard: str, wanted: str, distance: int) -> None:
    assert edit_distance(heard, wanted) == distance


def test_three_failures_in_a_row_are_counted_person_by_person() -> None:
    assert all_fail(0, 10) == 0
    assert all_fail(2, 10) == 0  # two failures never make three
    assert all_fail(3, 10) == pytest.approx(1 / 120)
    assert all_fail(2, 2) is None  # two tries say nothing of three
    # one person who always fails among ten is a tenth of the people, however rare failing is
    people = {"never in": (10, 10)} | {f"p{i}": (0, 10) for i in range(9)}
    assert mean_all_fail(people) == pytest.approx(0.1)


def test_people_who_differ_widen_the_interval_and_the_seed_repeats_it() -> None:
    alike = {f"p{i}": (1, 10) for i in range(10)}
    unlike = {"p0": (10, 10)} | {f"p{i}": (0, 10) for i in range(1, 10)}
    assert bootstrap_interval(alike, seed=1) == (pytest.approx(0.1), pytest.approx(0.1))
    low, high = bootstrap_interval(unlike, seed=1) or (0, 0)
    assert low == 0
    assert high > 0.25
    assert bootstrap_interval(unlike, seed=1) == (low, high)
    assert bootstrap_interval({"p0": (1, 10)}, seed=1) is None


def test_the_trade_off_of_scores_that_part_has_a_limit_without_errors() -> None:
    curve = trade([0.6, 0.7, 0.8], [0.1, 0.2, 0.3])
    assert equal_error(curve) == 0
    assert (curve.fmr[0], curve.fnmr[0]) == (1, 0)
    assert (curve.fmr[-1], curve.fnmr[-1]) == (0, 1)


def test_scores_that_overlap_trade_one_error_for_the_other() -> None:
    seed = 3
    chance = np.random.default_rng(seed)
    curve = trade(list(chance.normal(1, 1, 4000)), list(chance.normal(0, 1, 4000)))
    assert equal_error(curve) == pytest.approx(0.3085, abs=0.02), seed  # normal scores one deviation apart
    assert all(np.diff(curve.fmr) <= 0)
    assert all(np.diff(curve.fnmr) >= 0)


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([float(i) for i in range(1, 101)], 95) == 95.0
    assert percentile([], 50) is None


# --- processes -------------------------------------------------------------------------------------------------------


def test_a_task_that_hangs_or_crashes_costs_that_task_only() -> None:
    tasks = ["2", "hang", "3", "crash", "raise", "4"]
    answers = dict(in_processes(tasks, stand_ins.start_worker, jobs=2, patience_s=2))
    assert {answers[0], answers[2], answers[5]} == {4, 6, 8}
    codes = [answer.code for number in (1, 3, 4) if isinstance(answer := answers[number], Lost)]
    assert codes == [HUNG, CRASHED, FAILED]


# --- what is kept ----------------------------------------------------------------------------------------------------


def recording(number: int = 0, species: str | None = None, **changes: object) -> Recording:
    values: dict[str, object] = {
        "file": f"{'genuine' if species is None else f'attacks/{species}'}/{number:04d}.mp4",
        "species": species,
        "person": f"p{number % 3}",
        "voice": f"p{number % 3}",
        "path": limits.Path.STANDARD,
        "language": Language.ENGLISH,
        "mirrored": False,
        "steps": read_steps("480,left,215,right,left"),
    }
    return Recording(**(values | changes))  # type: ignore[arg-type]


def laid_out(folder: Path, *recordings: Recording) -> None:
    for each in recordings:
        file = folder / each.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"no recording " + each.file.encode())


def no_engines(calls: Path) -> Engines:
    """Counts how often models are opened; nothing here gets as far as using them."""
    calls.write_text((calls.read_text() if calls.exists() else "") + "x")
    return stand_ins.engines()


def test_what_cannot_be_read_is_no_response_and_neither_side_of_a_verdict(tmp_path: Path) -> None:
    laid_out(tmp_path, recording())
    found = examine_corpus(
        tmp_path,
        [(recording(), SIMULATED)],
        open_engines=partial(no_engines, tmp_path / "calls"),
        kept=tmp_path / "a.json",
        jobs=1,
    )
    (examined,) = found.found.values()
    assert examined.no_response == "media_unreadable"
    assert not examined.live


def test_a_second_run_examines_only_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate_corpus, "code_digest", lambda: "these checks")
    one, two = recording(1), recording(2)
    laid_out(tmp_path, one, two)
    calls = tmp_path / "calls"

    def run(*wanted: Recording) -> int:
        calls.unlink(missing_ok=True)
        found = examine_corpus(
            tmp_path,
            [(each, SIMULATED) for each in wanted],
            open_engines=partial(no_engines, calls),
            kept=tmp_path / "a.json",
            jobs=1,
        )
        assert len(found.found) == len(wanted)
        return len(wanted) - found.reused

    assert run(one, two) == 2
    assert run(one, two) == 0
    assert not calls.exists()  # not even a model is opened
    (tmp_path / one.file).write_bytes(b"another recording")
    assert run(one, two) == 1
    assert run(one, replace(two, steps=read_steps("480,right,215,right,left"))) == 1  # a corrected sheet
    with (tmp_path / "a.results.jsonl").open("a") as kept:
        kept.write('{"file": "genuine/00')  # stopped while writing
    assert run(one, two) == 0
    monkeypatch.setattr(evaluate_corpus, "code_digest", lambda: "other checks")
    assert run(one, two) == 2


# --- another limit ---------------------------------------------------------------------------------------------------


def examined(**values: float) -> Examined:
    results = tuple(
        CheckResult.passed(name, value, 0.5, "u")
        if value >= 0.5
        else CheckResult.failed(name, Reason.ATTACK_SUSPECTED, value, 0.5, "u")
        for name, value in values.items()
    )
    return Examined(
        file="f", policy="simulated", no_response=None, live=all(r.code is None for r in results), results=results
    )


def test_a_moved_limit_is_judged_anew_on_the_kept_value() -> None:
    before = examined(attack_score=0.6, face_size=0.9)
    assert before.live
    after = judged_again(before, {"attack_score": 0.7})
    assert not after.live
    assert after.missed == {"attack_score"}
    assert judged_again(after, {"attack_score": 0.6}).live  # at the limit passes


def test_a_moved_limit_never_lets_in_who_failed_another_check() -> None:
    seed = 11
    chance = random.Random(seed)
    for _ in range(200):
        before = examined(attack_score=chance.random(), face_size=chance.random(), one_face=chance.choice((0.1, 0.9)))
        after = judged_again(before, {"attack_score": chance.random()})
        if "one_face" in before.missed or "face_size" in before.missed:
            assert not after.live, seed


def test_what_was_refused_for_a_missing_check_stays_refused() -> None:
    incomplete = replace(examined(attack_score=0.9), live=False)
    assert not judged_again(incomplete, {"attack_score": 0.1}).live


@pytest.mark.parametrize("limit", COMPARED)
def test_comparing_a_kept_value_anew_says_what_the_check_itself_would_say(limit: str) -> None:
    name, _ = COMPARED[limit]
    asked_for = people.challenge()
    evidence = people.Person().evidence(asked_for)
    (check,) = [each for each in CHECKS if each.name == name]
    before = check.judge(name, evidence, asked_for, STRICT)
    assert before.value is not None, "the person of the tests gives this check nothing to compare"
    kept = Examined(file="f", policy="strict", no_response=None, live=before.outcome is Outcome.PASS, results=(before,))
    for moved in (before.value - 1, before.value - 0.01, before.value, before.value + 0.01, before.value + 1):
        old: Limit = getattr(STRICT, limit)
        policy = replace(STRICT, **{limit: Limit(moved, old.unit, old.source)})
        itself = check.judge(name, evidence, asked_for, policy)
        again = judged_again(kept, {limit: moved})
        assert again.results[0].outcome == itself.outcome, moved
        assert again.results[0].limit == itself.limit
