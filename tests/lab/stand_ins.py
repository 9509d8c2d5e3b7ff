"""Stand-ins that processes of their own can import: workers that misbehave, and engines that must not be used."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any, cast

from liveness.examine import Engines


def start_worker() -> Callable[[str], int]:
    """Doubles a number, unless told to hang, crash or raise."""

    def work(task: str) -> int:
        match task:
            case "hang":
                time.sleep(60)
            case "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            case "raise":
                raise RuntimeError("said nowhere")
        return 2 * int(task)

    return work


class _Unused:
    def __getattr__(self, name: str) -> Any:
        if name == "versions":
            return lambda language: {"stand_in": "1"}
        raise AssertionError(f"{name} of the engines was used")


def engines() -> Engines:
    return cast(Engines, _Unused())
