"""What all tests share: sockets shut but for this machine, and the folder of real weights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pytest_socket import socket_allow_hosts

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _sockets_stay_here() -> None:
    """Nothing may reach out: only loopback and Unix sockets are open."""
    socket_allow_hosts(["127.0.0.1", "localhost", "::1"], allow_unix_socket=True)


@pytest.fixture(scope="session")
def weights() -> Path:
    """The folder of real weights. Skips when they are not there; ``make test`` fails on that skip."""
    folder = Path(os.environ.get("MIEN_WEIGHTS") or ROOT / "var" / "weights")
    if not (folder / "face_landmarker" / "face_landmarker.task").is_file():
        pytest.skip("weights are not fetched: run `make setup` or `mien weights fetch`")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with models or browsers come first: they take longest, and at the end no core should wait for another."""
    long = {item.path for item in items if {"weights", "browser"} & set(item.keywords)}
    items.sort(key=lambda item: item.path not in long)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """With TESTS_MUST_RUN=1 (as in ``make test``) a skipped weights or service test fails the run."""
    if os.environ.get("TESTS_MUST_RUN") == "1" and _unwanted_skips(terminalreporter):
        terminalreporter.write_line("FAILED: tests were skipped that must run (see above)", red=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    must_run = os.environ.get("TESTS_MUST_RUN") == "1"
    if must_run and reporter is not None and exitstatus == 0 and _unwanted_skips(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _unwanted_skips(reporter: pytest.TerminalReporter) -> list[str]:
    skipped = reporter.stats.get("skipped", [])
    return [
        report.nodeid
        for report in skipped
        if {"weights", "service"} & set(report.keywords) and "browser" not in report.keywords
    ]
