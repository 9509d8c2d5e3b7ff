"""A corpus is laid out so that an operator can lay out one of their own, and filming it can be stopped at any time."""

from __future__ import annotations

import json
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from api.cli import main
from lab import evaluate_corpus
from lab.attacks import ATTACKS
from lab.corpus import SPOKEN_ONLY, CorpusInvalid, Recording, make_corpus, plan, read_corpus
from lab.people import PEOPLE
from liveness import policy as limits
from liveness.challenge import written
from liveness.policy import SIMULATED

PATHS = tuple(limits.Path)


def planned(**changes: Any) -> tuple[Recording, ...]:
    values: dict[str, Any] = {
        "people": ["p00", "p01", "p02"],
        "species": ["photo", "wrong_digits"],
        "paths": [limits.Path.STANDARD],
        "genuine": 12,
        "attempts": 6,
        "seed": 1,
    }
    return plan(**(values | changes))


def test_takes_are_spread_evenly_over_people_and_paths() -> None:
    takes = [each for each in planned(paths=PATHS, genuine=18) if each.species is None]
    assert set(Counter(each.person for each in takes).values()) == {6}
    assert set(Counter((each.person, each.path) for each in takes).values()) == {2}


def test_each_recording_has_a_name_a_seed_and_a_challenge_of_its_own() -> None:
    recordings = planned()
    assert len({each.file for each in recordings}) == len(recordings) == 12 + 2 * 6
    assert len({each.seed for each in recordings}) == len(recordings)
    genuine = [written(each.steps) for each in recordings if each.species is None]
    assert len(set(genuine)) == len(genuine)


def test_the_same_seed_plans_the_same_and_a_larger_corpus_keeps_the_smaller_one() -> None:
    assert planned() == planned()
    assert planned() != planned(seed=2)
    assert set(planned()) <= set(planned(genuine=20, attempts=9))


def test_where_nothing_is_said_attacks_on_what_is_said_are_not_tried() -> None:
    tried = {each.species for each in planned(paths=[limits.Path.NO_SPEECH])}
    assert tried == {None, "photo"}
    assert set(ATTACKS) >= SPOKEN_ONLY


def test_a_run_that_is_stopped_leaves_some_of_everything() -> None:
    assert {each.species for each in planned()[:3]} == {None, "photo", "wrong_digits"}


def laid_out(folder: Path, name: str, sheet: object) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")
    file.with_suffix(".json").write_text(sheet if isinstance(sheet, str) else json.dumps(sheet), encoding="utf-8")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    for each in planned(paths=PATHS):
        laid_out(tmp_path, each.file, each.sheet())
    assert set(read_corpus(tmp_path)) == set(planned(paths=PATHS))


def test_an_operators_own_sheet_needs_little(tmp_path: Path) -> None:
    laid_out(tmp_path, "genuine/ada.mov", {"person": "ada", "digits": "480215", "turns": "left,right,left"})
    laid_out(
        tmp_path, "attacks/latex_mask/1.webm", {"person": "ada", "steps": "480,left,215,right,left", "mirrored": True}
    )
    genuine, attack = read_corpus(tmp_path)
    assert written(genuine.steps) == "480215,left,right,left"
    assert (genuine.species, genuine.voice, genuine.path) == (None, "ada", limits.Path.STANDARD)
    assert (attack.species, attack.mirrored) == ("latex_mask", True)
    assert genuine.challenge(SIMULATED).digits == "480215"


@pytest.mark.parametrize(
    "sheet",
    [
        "no json",
        "[]",
        {},
        {"person": "ada"},
        {"person": "ada", "steps": "480,up"},
        {"person": "ada", "steps": "480,left", "mirrored": "false"},
        {"person": "ada", "steps": "480,left", "path": "scenic"},
        {"person": "ada", "steps": "480,left", "species": "photo"},
        {"person": 7, "steps": "480,left"},
    ],
)
def test_a_wrong_sheet_is_named_not_guessed(sheet: object, tmp_path: Path) -> None:
    laid_out(tmp_path, "genuine/a.mp4", sheet)
    with pytest.raises(CorpusInvalid, match=r"genuine/a\.mp4"):
        read_corpus(tmp_path)


def test_a_recording_without_a_sheet_is_named(tmp_path: Path) -> None:
    (tmp_path / "genuine").mkdir()
    (tmp_path / "genuine" / "a.mp4").write_bytes(b"")
    with pytest.raises(CorpusInvalid, match=r"genuine/a\.mp4"):
        read_corpus(tmp_path)


def test_what_is_there_is_not_filmed_again(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    for each in planned(species=[], genuine=3):
        laid_out(tmp_path, each.file, each.sheet())
    failed = make_corpus(
        tmp_path,
        planned(species=[], genuine=3),
        weights=tmp_path / "no weights here",
        jobs=1,
        done=lambda ready, of: seen.append((ready, of)),
    )
    assert failed == []
    assert seen == [(3, 3)]


@pytest.mark.weights
def test_the_whole_way_from_people_to_report(
    weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Films a tiny corpus, examines it, and writes every kind of answer."""
    monkeypatch.setattr(evaluate_corpus, "code_digest", lambda: "these checks")
    people = ",".join(list(PEOPLE)[:2])
    run = [
        "corpus",
        str(tmp_path / "c"),
        "--genuine",
        "2",
        "--attempts",
        "1",
        "--species",
        "wrong_digits",
        "--people",
        people,
    ]
    assert status(*run, "--weights", str(weights)) == 0
    live = ["--live", "--genuine", "0", "--attempts", "1", "--species", "time_compressed", "--people", people]
    assert status("corpus", str(tmp_path / "c"), *live, "--weights", str(weights)) == 0
    answer = tmp_path / "o" / "pad.json"
    run = ["evaluate", str(tmp_path / "c"), "--policy", "simulated", "--json", str(answer), "--weights", str(weights)]
    assert status(*run, "--plots", str(tmp_path / "o" / "pad"), "--report", str(tmp_path / "o" / "pad.md")) == 0
    figures = json.loads(answer.read_text())["presentation_attacks"]
    quick, wrong = figures["species"]
    assert (wrong["attempts"], wrong["accepted"]) == (1, 0)
    assert "digits_said" in wrong["caught_by"]
    # our own clock tells in a live session
    assert quick["by_way"]["standard live"]["errors"] == 0
    assert "real_time" in quick["caught_by"]
    assert figures["genuine"]["takes"] == 2
    assert figures["faces"]["fmr"]["tries"] == 1
    page = (tmp_path / "o" / "pad.md").read_text()
    for picture in ("apcer", "ablation", "scores"):
        assert f"(pad/{picture}.png)" in page
        assert (tmp_path / "o" / "pad" / f"{picture}.png").stat().st_size > 10_000
    asked = json.loads(next((tmp_path / "c" / "genuine").glob("*.json")).read_text())
    kept = (tmp_path / "o" / "pad.results.jsonl").read_text()
    assert asked["steps"] not in kept
    assert stat.S_IMODE((tmp_path / "o" / "pad.templates.jsonl").stat().st_mode) == 0o600
    capfd.readouterr()
    assert status("evaluate", str(tmp_path / "c"), "--policy", "simulated", "--json", str(answer)) == 0
    assert "4 of 4 examinations were kept" in capfd.readouterr().out


def status(*arguments: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code
