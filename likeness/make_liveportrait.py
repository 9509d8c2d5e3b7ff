"""LivePortrait on this machine: a picture of one person moves as another does in a film. A program of the operator's own, run
as a process of its own.

Its code is MIT; the InsightFace models that it finds faces with are for non-commercial research only, so it is offered only
where the operator says that this is such a use. Motion templates (``.pkl``), which hide the performer, are never given to it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import ClassVar

from likeness.errors import RemoteError
from likeness.generate import Clip
from likeness.in_process import check_folder
from likeness.remote import Account, FaultCode, RemoteJob, Role
from likeness.vendor_clip import clip_of

_PROGRAM = "inference.py"
_LOOK_EVERY_S = 0.5
_LONGEST_S = 3600.0
_MOST_BYTES = 150_000_000
_SUFFIX = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "video/mp4": "mp4", "video/quicktime": "mov"}


class LivePortrait:
    """Maker ``liveportrait``."""

    needs: ClassVar[tuple[str, ...]] = ("torch",)
    runs_code: ClassVar[bool] = True
    noncommercial: ClassVar[str | None] = (
        "the InsightFace models that it finds faces with are for non-commercial research only"
    )

    def __init__(self, account: Account) -> None:
        self._account = account
        self._checked = False
        self._one_at_a_time = Lock()

    def make(self, job: RemoteJob, *, tell: Callable[[float], None]) -> Clip:
        with self._one_at_a_time, tempfile.TemporaryDirectory() as place:
            tell(0.0)
            folder = Path(self._account.options["folder"])
            if not self._checked:
                pins = Path(self._account.options["pins"]).read_text(encoding="utf-8")
                check_folder(folder, pins, runs_code=self.runs_code)
                self._checked = True
            out = Path(place) / "out"
            out.mkdir()
            paths = []
            for media in (job.one(Role.SPEAKER), job.one(Role.PERFORMER)):
                path = Path(place) / f"{media.role.value}.{_SUFFIX.get(media.media_type, 'bin')}"
                path.write_bytes(media.content)
                paths.append(path)
            self._run(folder, paths[0], paths[1], out, tell)
            made = [path for path in sorted(out.glob("*.mp4")) if "concat" not in path.stem]  # both people side by side
            if len(made) != 1 or made[0].stat().st_size > _MOST_BYTES:
                raise RemoteError("the program made no film", code=FaultCode.OUTPUT_MISSING)
            return clip_of(made[0].read_bytes(), generator=f"liveportrait@{job.model}", sound=False)

    def _run(self, folder: Path, source: Path, driving: Path, out: Path, tell: Callable[[float], None]) -> None:
        """With nothing of our environment but where programs and libraries are; what it prints is not kept."""
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
        command = [sys.executable, _PROGRAM, "-s", str(source), "-d", str(driving), "-o", str(out)]
        began = time.monotonic()
        with subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            try:
                while True:
                    try:
                        status = process.wait(_LOOK_EVERY_S)
                        break
                    except subprocess.TimeoutExpired:
                        tell(0.5)  # it does not say how far it is
                        if time.monotonic() - began > _LONGEST_S:
                            raise RemoteError("the program took too long", code=FaultCode.DEADLINE) from None
            except BaseException:
                process.kill()
                raise
        if status != 0:
            raise RemoteError("the program failed", code=FaultCode.VENDOR_FAILED)
