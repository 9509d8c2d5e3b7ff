"""A worker process on stand-in models, for tests that kill it. ``python -m tests.api.worker_process URL VAR KEYS HOLD
[SILENT_S [ACCOUNTS]]``

While the file ``HOLD`` exists, whatever it works on hangs; it writes ``HOLD.begun`` first. With the word ``hostage`` in the
place of ``HOLD``, recordings are judged in a process of its own that does what they say (:mod:`tests.api.hostile_examiners`);
with ``slow``, a clip takes some ten seconds. After ``SILENT_S`` without a word it counts as dead. ``ACCOUNTS`` is the file of
accounts with vendors.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from api.app import open_service
from api.capacity import Machine, capacity_of
from api.database import Database, new_engine
from api.engines import Bounded, FaceEngines
from api.examiner import Examiner, HandedIn, Judged
from api.judge_process import Bounds, JudgeProcess
from api.judging import Judges
from api.remote_clips import open_remotes
from api.service import log_to_stderr
from api.settings import Settings
from api.worker import Rhythm, Workshop, work
from liveness.digits import Language
from tests.api.conftest import ColourFinder, renderers
from tests.api.scripted import ColourEmbedder, ScriptedExaminer

HOSTAGE = "tests.api.hostile_examiners:hostage"
_SLOW_FRAME_S = 0.4


def hang(hold: Path) -> None:
    if hold.exists():
        hold.with_suffix(".begun").touch()
    while hold.exists():
        time.sleep(0.05)


class HangingExaminer(ScriptedExaminer):
    def __init__(self, hold: Path) -> None:
        self._hold = hold

    def examine(self, handed: HandedIn) -> Judged:
        hang(self._hold)
        return super().examine(handed)


def main(url: str, var: str, keys: str, hold: str, silent_s: str = "3", accounts: str = "") -> None:
    log_to_stderr()
    grace_s = 4.0
    faces = FaceEngines(
        finder=ColourFinder(), embedder=ColourEmbedder(), languages=frozenset({Language.ENGLISH}), bound=Bounded(1)
    )
    database = Database(url, new_engine(url), url)
    settings = Settings(database_url=url, var=Path(var), keys=Path(keys), backends=Path(accounts) if accounts else None)
    with ExitStack() as opened:
        service = opened.enter_context(open_service(settings, faces=faces, database=database))
        examiner: Examiner = HangingExaminer(Path(hold))
        if hold == "hostage":
            bounds = Bounds(seconds=5.0, memory=400_000_000)
            examiner = opened.enter_context(JudgeProcess(settings, bounds=bounds, opens=HOSTAGE))

        def on_frame(number: int) -> None:
            if hold == "slow":
                time.sleep(_SLOW_FRAME_S)
            elif number == 12:
                hang(Path(hold))

        workshop = Workshop(
            service=service,
            judges=Judges(examiner=examiner, bound=Bounded(1)),
            renderers=replace(renderers(service, on_frame), remotes=open_remotes(settings)),
        )
        work(
            database,
            workshop,
            capacity=capacity_of(Machine(cores=2, memory=8_000_000_000)),
            rhythm=Rhythm(heartbeat_s=0.5, silent_s=float(silent_s), recover_every_s=0.5, grace_s=grace_s),
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
