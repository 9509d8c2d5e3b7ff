"""What the documents say is so: links lead somewhere, commands and codes exist, times of retention are those of the code."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from api.browser_sessions import LIFE as SIGNED_IN_FOR
from api.calls import KEPT as ANSWERS_KEPT
from api.cli import _parser
from api.errors import PROBLEMS
from api.judging import FINGERPRINTS_KEPT
from api.outputs import OUTPUT_MAX_BYTES
from api.remote_clips import _FETCHED_WITHIN, _PARTS_KEPT
from api.routes_authorities import FILE_MAX_BYTES
from api.routes_liveness import CAPTURE_KEPT, CAPTURE_MAX_BYTES
from api.routes_media import MEDIA_KEPT
from api.webhooks import KEPT as MESSAGES_KEPT
from consent.approval import APPROVED_FOR, ASKED_FOR
from consent.authority_case import DECIDED_WITHIN
from consent.events import IDLE, LIVE_FOR
from consent.gate import RETENTION_S
from consent.look_alikes import LIMITS
from consent.purge import LIMIT
from tests.conftest import ROOT

DOCUMENTS = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", *(ROOT / "docs" / "examples").rglob("*.md")])


def text(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def anchors(document: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#{1,6} (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if target.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if file.is_relative_to(ROOT / "docs" / "tour") and file.suffix == ".png":
            continue  # pictures of pages: kept by the tests that make them
        assert file.exists(), target
        assert not anchor or file.suffix != ".md" or anchor in anchors(file), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_is_shown_exists(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = re.findall(r"^mien (.+?)(?:\s{2,}#.*|[ ]*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    for line in shown:
        if "..." in line or "$" in line:
            continue
        try:
            _parser().parse_args(line.split())
        except SystemExit:
            pytest.fail(f"mien {line}: {capsys.readouterr().err}")


def test_every_document_is_in_the_index() -> None:
    index = text("README.md")
    for document in (ROOT / "docs").glob("*.md"):
        assert document.name == "README.md" or f"({document.name})" in index, document.name


def test_the_codes_of_the_mobile_guide_have_the_statuses_that_it_says() -> None:
    table = text("mobile.md").partition("## Codes to be ready for")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+`) \| ([\d, ]+) \|", table, re.MULTILINE)
    assert len(rows) > 10
    for codes, statuses in rows:
        named = re.findall(r"`(\w+)`", codes)
        said = [int(status) for status in statuses.split(",")]
        found = [PROBLEMS[code].status for code in named]
        assert found == said or {*found} == {*said}, codes


def test_the_metrics_of_the_alarms_are_there() -> None:
    source = (ROOT / "api" / "routes_public.py").read_text(encoding="utf-8")
    guide = text("operations.md")
    for name in set(re.findall(r"\bmien_((?:gate_)?[a-z_]+)(?:\{|`| [>=])", guide)):
        stem = name.removeprefix("gate_").removesuffix("_total")
        assert f'"{name}"' in source or f"mien_{name}" in source or f'("{stem}"' in source, name


HOURS_24, MINUTES_15 = timedelta(hours=24), timedelta(minutes=15)


@pytest.mark.parametrize(
    ("says", "value", "wanted"),
    [
        ("until it is judged; 15 minutes at most", CAPTURE_KEPT, MINUTES_15),
        ("15 minutes, to decide; a consent takes them over", LIVE_FOR, MINUTES_15),
        ("or three years without the person", IDLE, timedelta(days=3 * 365)),
        ("media handed in, and templates of its faces | 24 hours", MEDIA_KEPT, HOURS_24),
        ("on its way back | 2 hours; 24 hours", (_FETCHED_WITHIN, _PARTS_KEPT), (timedelta(hours=2), HOURS_24)),
        ("24 hours by the permit (`retention_s`)", timedelta(seconds=RETENTION_S), HOURS_24),
        ("gone within 48 hours of a consent's end", LIMIT, timedelta(hours=48)),
        ("until it is looked up; an hour at most", LIMITS.face_kept.value, 3600),
        ("until the claim is over; undecided, 90 days", DECIDED_WITHIN, timedelta(days=90)),
        ("90 days, or until the person deletes", FINGERPRINTS_KEPT, timedelta(days=90)),
        ("a week to answer; a day to use", (ASKED_FOR, APPROVED_FOR), (timedelta(days=7), HOURS_24)),
        ("24 hours, sealed", ANSWERS_KEPT, HOURS_24),
        ("12 hours at most, and an hour beyond", SIGNED_IN_FOR, timedelta(hours=12)),
        ("30 days after they arrived or were given up", MESSAGES_KEPT, timedelta(days=30)),
        (
            "a clip handed in has up to 100, a recording 20 (40 with extra time), a paper 20",
            (OUTPUT_MAX_BYTES, CAPTURE_MAX_BYTES, FILE_MAX_BYTES),
            (100_000_000, 40_000_000, 20_000_000),
        ),
    ],
)
def test_operators_read_times_and_sizes_that_the_code_has(says: str, value: object, wanted: object) -> None:
    assert says in " ".join(text("operations.md").split())
    assert value == wanted


def pictures(name: str) -> list[str]:
    return re.findall(r'<img src="tour/([\w-]+)\.png"', text(name))


def test_both_tours_stop_at_the_same_screens() -> None:
    english, chinese = pictures("tour.md"), pictures("tour.zh.md")
    assert [name.replace("-en-", "-zh-") for name in english] == [name.replace("-en-", "-zh-") for name in chinese]
    kept = {file.stem for file in (ROOT / "docs" / "tour").glob("*.png")}
    assert not [name for name in chinese if "-en-" in name and name.replace("-en-", "-zh-") in kept]
    levels = [re.findall(r"^(#+) ", text(name), re.MULTILINE) for name in ("tour.md", "tour.zh.md")]
    assert levels[0] == levels[1]


def test_the_pictures_of_the_tours_are_those_that_the_tests_of_pages_keep() -> None:
    kept = {file.stem for file in (ROOT / "docs" / "tour").glob("*.png")}
    assert {*pictures("tour.md"), *pictures("tour.zh.md")} - kept == set()
