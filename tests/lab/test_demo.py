"""The demo ends well, and leaves what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.weights
@pytest.mark.service
def test_the_whole_story_over_real_http(weights: Path, tmp_path: Path) -> None:
    """Real models, real PostgreSQL, real HTTP, real processes."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "api.cli", "demo", "--out", str(out), "--weights", str(weights)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name, code in (("no-token", "no_token"), ("other-face", "unknown_face"), ("revoked", "revoked")):
        refusal = json.loads((out / f"refusal-{name}.json").read_text(encoding="utf-8"))
        assert refusal["decision"] is False
        assert code in {reason["code"] for reason in refusal["reasons"]}
        assert "similarity" not in json.dumps(refusal)
    verdict = json.loads((out / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["live"] is True
    assert verdict["assurance"] == "simulated"
    assert json.loads((out / "permit.json").read_text(encoding="utf-8"))["decision"] is True
    assert json.loads((out / "manifest.json").read_text(encoding="utf-8"))["state"] == "Trusted"
    assert json.loads((out / "ledger.json").read_text(encoding="utf-8"))["log"]["valid"] is True
    for name in ("capture.mp4", "verdict.png", "record.json", "receipt.json", "clip.mp4", "report.html"):
        assert (out / name).stat().st_size > 500
    log = (out / "service.log").read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert "eyJ" not in log, "a token reached the log"
