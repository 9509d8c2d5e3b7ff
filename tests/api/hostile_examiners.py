"""Examiners for the judge's process that do what a broken decoder or model does. ``tests.api.hostile_examiners:<name>``"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from api.examiner import HandedIn, Judged
from api.settings import Settings
from tests.api.scripted import ScriptedExaminer

_KEPT: list[bytes] = []


class Hostage(ScriptedExaminer):
    """Does what the recording says: ``hang``, ``hang natively``, ``eat``, ``gulp``, ``leak``, ``segfault``, ``exit``,
    ``lie``; else as scripted."""

    def examine(self, handed: HandedIn) -> Judged:
        match handed.data.decode("utf-8", "replace"):
            case "hang":
                time.sleep(3600)
            case "hang natively":  # holds the interpreter's lock, so no thread of ours can run
                pow(3, 10**9, 10**400_000)
            case "eat":
                eaten = []
                while True:
                    eaten.append(b"x" * 10_000_000)
                    time.sleep(0.001)
            case "gulp":
                bytearray(100_000_000_000)
            case "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
                time.sleep(3600)
            case "exit":
                os._exit(0)
            case "leak":
                _KEPT.append(b"x" * 200_000_000)
            case "lie":
                return _Command()  # type: ignore[return-value]
            case _:
                pass
        return super().examine(handed)


class _Command:
    """What a judge that was taken over would answer: unpickled, it runs a command in the worker."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(Path(os.environ["HOSTAGE_MARK"])),)


def hostage(_: Settings) -> Hostage:
    return Hostage()


def never_opens(_: Settings) -> Hostage:
    time.sleep(3600)
    raise AssertionError


def cannot_open(_: Settings) -> Hostage:
    from liveness.errors import WeightsError

    raise WeightsError("the face model is missing", code="weights_missing")
