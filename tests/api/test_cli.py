"""The command line answers on stdout, complains in one line, and its exit codes mean what the documentation says."""

from __future__ import annotations

import argparse
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from api.cli import _parser, main
from api.service import wall_clock
from api.settings import SETTINGS
from consent.gate import GateCode
from lab.simulate import simulate
from liveness.challenge import asked
from liveness.digits import Language
from liveness.policy import SIMULATED
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


def test_the_api_guide_names_every_reason_of_the_gate() -> None:
    guide = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [code for code in GateCode if f"`{code}`" not in guide] == []


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
    """A simulated person who does as asked, rendered once, at half the size: the command's own is what the demo films."""
    steps = asked(DIGITS, TURNS, language=Language.ENGLISH, policy=SIMULATED, now=wall_clock())
    out = tmp_path_factory.mktemp("takes") / "take.mp4"
    simulate(
        out,
        digits=DIGITS,
        turns=steps.turns,
        language=Language.ENGLISH,
        portrait=None,
        attack=None,
        seed=1,
        weights=weights,
        size=(360, 640),
    )
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


# --- consent tokens, checked without the gate ------------------------------------------------------------------------


@pytest.fixture
def checked(tmp_path: Path) -> Any:
    """A token, keys and a status list in files, as a backend keeps them; ``state`` is what the list says."""
    from consent.status_list import StatusList, StatusRef, sign_list
    from consent.tokens import sign
    from tests.consent.given import HOUR, KEY, KEYS, record, token

    now, uri = wall_clock(), "https://gate.example/v1/status/stl_1"

    def files(state: int = 0, *, age_s: int = 0) -> list[object]:
        held = token(record(at=now - HOUR), now=now, status=StatusRef(uri=uri, index=3))
        listed = StatusList.of({3: state}, size=8)
        at = now - timedelta(seconds=age_s)
        contents = {
            "token.jwt": sign(held, KEY) + "\n",
            "jwks.json": json.dumps(KEYS.to_jwks()),
            "status.jwt": sign_list(listed, uri=uri, at=at, key=KEY),
        }
        for name, content in contents.items():
            (tmp_path / name).write_text(content, encoding="utf-8")
        return [tmp_path / "token.jwt", "--keys", tmp_path / "jwks.json", "--status", tmp_path / "status.jwt"]

    return files


@pytest.mark.parametrize(
    ("state", "age_s", "more", "status", "code"),
    [
        (0, 0, [], 0, None),
        (0, 0, ["--audience", "portrait"], 0, None),
        (0, 0, ["--audience", "other"], 1, "wrong_audience"),
        (1, 0, [], 1, "revoked"),
        (2, 0, [], 1, "suspended"),
        (0, 121, [], 1, "status_stale"),
    ],
)
def test_a_token_is_checked_against_a_status_list(
    checked: Any,
    capfd: pytest.CaptureFixture[str],
    state: int,
    age_s: int,
    more: list[str],
    status: int,
    code: str | None,
) -> None:
    ended, out, _ = run(capfd, "token", "verify", *checked(state, age_s=age_s), *more)
    answer = json.loads(out)
    assert ended == status
    assert (answer["holds"], answer.get("code")) == (status == 0, code)
    if status == 0:
        assert (answer["audience"], answer["purpose"], answer["key"]) == ("portrait", "cameo", None)


def test_what_is_no_token_does_not_hold_and_what_is_missing_is_said(
    checked: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = checked()
    (tmp_path / "token.jwt").write_text("no token")
    ended, out, _ = run(capfd, "token", "verify", *arguments)
    assert (ended, json.loads(out)) == (1, {"holds": False, "code": "bad_signature"})
    checked()
    for gone, code, status in (("status.jwt", "status_unavailable", 2), ("jwks.json", "keys_unusable", 3)):
        (tmp_path / gone).unlink()
        ended, _, err = run(capfd, "token", "verify", *arguments)
        assert (ended, err.count("\n")) == (status, 1)
        assert err.startswith(f"mien: {code}: ")


def test_a_status_list_is_fetched_within_bounds(
    checked: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import httpx

    arguments = checked()[:-1]
    answers = {
        "https://gate.example/good": httpx.Response(200, content=(tmp_path / "status.jwt").read_bytes()),
        "https://gate.example/none": httpx.Response(404),
        "https://gate.example/elsewhere": httpx.Response(302, headers={"Location": "https://gate.example/good"}),
        "https://gate.example/endless": httpx.Response(200, content=bytes(2**20 + 1)),
    }
    transport = httpx.MockTransport(lambda request: answers[str(request.url)])
    with httpx.Client(transport=transport) as client:
        monkeypatch.setattr(httpx, "stream", client.stream)
        assert run(capfd, "token", "verify", *arguments, "https://gate.example/good")[0] == 0
        for bad in ("none", "elsewhere", "endless"):
            ended, _, err = run(capfd, "token", "verify", *arguments, f"https://gate.example/{bad}")
            assert (ended, err[:25]) == (2, "mien: status_unavailable:")
