"""The command line answers on stdout, complains in one line, and its exit codes mean what the documentation says."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import pytest

from api.cli import _parser, main
from api.settings import SETTINGS
from tests.conftest import ROOT

DIGITS, TURNS = "480215", "left,right,left"


def run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    status = ended.value.code
    assert isinstance(status, int)
    return status, out, err


def verbs(parser: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command with its group, as typed."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return [found for name, sub in action.choices.items() for found in verbs(sub, (*path, name))]
    return [path]


@pytest.mark.parametrize("command", verbs(_parser()), ids=" ".join)
def test_every_command_has_help_with_an_example(command: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capfd, *command, "--help")
    assert status == 0
    assert f"example: mien {' '.join(command)}" in " ".join(out.split())


def test_every_command_that_the_readme_shows_exists() -> None:
    shown = re.findall(r"^mien (.+?)(?:\s{2,}#.*)?$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(shown) > 5
    for line in shown:
        _parser().parse_args(line.split())


def test_the_api_guide_lists_every_setting_as_it_is() -> None:
    guide = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for setting in SETTINGS:
        default = f"`{setting.default}`" if setting.default else "–"
        assert f"| `{setting.name}` | {default} | {setting.help} |" in guide


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "media_empty"),
        (b"no recording", "media_unreadable"),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(9), "media_unreadable"),
    ],
)
def test_what_is_no_recording_is_one_line_and_exit_2(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes, code: str
) -> None:
    file = tmp_path / "take.mp4"
    file.write_bytes(content)
    status, out, err = run(capfd, "examine", file, "--digits", DIGITS, "--turns", TURNS)
    assert (status, out) == (2, "")
    assert err.startswith(f"mien: {code}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("digits", "turns"), [("48o215", TURNS), (DIGITS, "left,up"), ("", TURNS)])
def test_a_malformed_challenge_is_exit_2(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], digits: str, turns: str
) -> None:
    status, _, err = run(capfd, "examine", tmp_path / "none.mp4", "--digits", digits, "--turns", turns)
    assert status == 2
    assert err.startswith("mien: input_invalid: ")


def test_missing_weights_are_said_with_what_to_do(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "one.png"
    picture.write_bytes(b"")
    status, _, err = run(capfd, "compare", picture, picture, "--weights", tmp_path / "nothing")
    assert status == 3
    assert err.startswith("mien: weights_missing: ")
    assert "mien weights fetch" in err


@pytest.fixture(scope="module")
def take(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated person who does as asked, rendered once."""
    out = tmp_path_factory.mktemp("takes") / "take.mp4"
    with pytest.raises(SystemExit) as ended:
        main(["simulate", str(out), "--digits", DIGITS, "--turns", TURNS, "--weights", str(weights)])
    assert ended.value.code == 0
    return out


@pytest.mark.weights
@pytest.mark.parametrize(
    ("digits", "turns", "policy", "status", "reason"),
    [
        (DIGITS, TURNS, "simulated", 0, None),
        (DIGITS, TURNS, "strict", 1, "simulated_capture"),
        ("480216", TURNS, "simulated", 1, "wrong_digits"),
        (DIGITS, "right,left,right", "simulated", 1, "wrong_turn"),
        (DIGITS, "left,right", "simulated", 1, "extra_turn"),
    ],
)
def test_examine_judges_a_take_against_what_was_asked(
    take: Path,
    weights: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    digits: str,
    turns: str,
    policy: str,
    status: int,
    reason: str | None,
) -> None:
    plot = tmp_path / "verdict.png"
    arguments = ["examine", take, "--digits", digits, "--turns", turns, "--policy", policy, "--plot", plot]
    ended, out, _ = run(capfd, *arguments, "--weights", weights)
    verdict = json.loads(out)
    assert ended == status
    assert verdict["live"] is (status == 0)
    assert verdict["assurance"] == ("simulated" if status == 0 else None)
    assert verdict["reasons"] == ([] if reason is None else [reason])
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.weights
def test_mirrored_pictures_are_judged_by_what_the_client_says(
    take: Path, weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["examine", take, "--digits", DIGITS, "--turns", TURNS, "--policy", "simulated", "--mirrored"]
    ended, out, _ = run(capfd, *arguments, "--weights", weights)
    assert ended == 1
    assert "wrong_turn" in json.loads(out)["reasons"]
