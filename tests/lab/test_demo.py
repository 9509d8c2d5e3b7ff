"""The demo ends well, leaves what it promises, and its clip plays in a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.weights, pytest.mark.service]


@pytest.fixture(scope="module")
def told(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The story told once: real models, real PostgreSQL, real HTTP, real processes."""
    out = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "api.cli", "demo", "--out", str(out), "--weights", str(weights)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def content(told: Path, name: str) -> dict[str, object]:
    found = json.loads((told / name).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("name", "code"), [("no-token", "no_token"), ("other-face", "unknown_face"), ("revoked", "revoked")]
)
def test_every_refusal_says_no_and_why_and_gives_no_score(told: Path, name: str, code: str) -> None:
    refusal = content(told, f"refusal-{name}.json")
    assert refusal["decision"] is False
    reasons = refusal["reasons"]
    assert isinstance(reasons, list)
    assert code in {reason["code"] for reason in reasons}
    assert set().union(*reasons) <= {"code", "face", "token", "media_id", "box"}


def test_what_was_agreed_to_is_there_to_keep(told: Path) -> None:
    verdict = content(told, "verdict.json")
    assert (verdict["live"], verdict["assurance"]) == (True, "simulated")
    assert content(told, "permit.json")["decision"] is True
    assert content(told, "manifest.json")["state"] == "Trusted"
    assert content(told, "ledger.json")["log"]["valid"] is True  # type: ignore[index]
    for name in ("capture.mp4", "verdict.png", "record.json", "receipt.json", "clip.mp4", "report.html"):
        assert (told / name).stat().st_size > 500


def test_the_service_logged_no_token_and_no_traceback(told: Path) -> None:
    log = (told / "service.log").read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert "eyJ" not in log
    assert "mien_person_" not in log


@pytest.mark.browser
def test_the_clip_plays_in_a_browser_with_sound(told: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=chromium, args=[*arguments, "--disable-background-networking", "--no-first-run"]
        )
        page = browser.new_page()
        page.goto((told / "report.html").as_uri())
        seen = page.evaluate(
            """async () => {
                const clip = document.querySelector('video[src="clip.mp4"]');
                await clip.play();
                await new Promise(done => setTimeout(done, 1500));
                return {at: clip.currentTime, width: clip.videoWidth, sound: clip.webkitAudioDecodedByteCount};
            }"""
        )
        browser.close()
    assert seen["at"] > 0.5
    assert seen["width"] == 1280
    assert seen["sound"] > 1000
