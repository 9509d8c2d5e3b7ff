"""Several API and worker processes on stand-in models over one database, and threads that ask them all the time."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from api.app import open_service
from api.database import Database, as_service, create_database, embedded_server, new_engine, upgrade
from api.engines import Bounded, FaceEngines
from api.service import Service
from api.settings import Settings
from liveness.digits import Language
from tests.api.conftest import ColourFinder, World, postgres_folder
from tests.api.scripted import ColourEmbedder
from tests.api.test_serve import free_port, until

ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 40  # longer than any statement and any wait for a connection of a process may take


class Shared(World):
    """A world with workers about, who may judge a recording first."""

    def judge(self, challenge: dict[str, Any], tried: int = 0) -> bool:
        super().judge(challenge, tried)
        return True


class Child:
    """A process of ours. What it says goes to ``log``; its connections to the database, but the listener's, have its name."""

    def __init__(self, module: str, arguments: list[str], log: Path, *, name: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self.log, self.name = log, name
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as out:
            return subprocess.Popen(
                self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=out
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()

    def start_again(self) -> None:
        self.kill()
        self.process = self._started()


@contextmanager
def own_service() -> Iterator[tuple[Service, Path]]:
    """A service on an embedded PostgreSQL of its own, with its usual settings; and its folder, with the server in ``data``."""
    faces = FaceEngines(
        finder=ColourFinder(), embedder=ColourEmbedder(), languages=frozenset({Language.ENGLISH}), bound=Bounded(1)
    )
    with (
        postgres_folder() as folder,
        tempfile.TemporaryDirectory() as place,
        embedded_server(folder / "data") as server,
    ):
        owner, scratch = create_database(make_url(server), "mien"), Path(place)
        upgrade(owner)
        url = as_service(owner)
        settings = Settings(database_url=url, var=scratch / "var", keys=scratch / "keys.json")
        database = Database(url, new_engine(url), owner)
        with open_service(settings, faces=faces, database=database) as service:
            yield service, folder
        database.engine.dispose()


class Line:
    """One kept connection to an API process. Not for two threads."""

    def __init__(self, port: int, key: str) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and body.

        Raises:
            OSError, http.client.HTTPException: nobody answered.
        """
        content = None if body is None else json.dumps(body).encode()
        try:
            self._http.request(method, path, content, self._headers)
            answer = self._http.getresponse()
            said = answer.read()
        except BaseException:
            self._http.close()  # the next call opens it anew
            raise
        is_json = "json" in (answer.headers.get("Content-Type") or "")
        return answer.status, json.loads(said) if is_json else said.decode("utf-8", "replace")

    def close(self) -> None:
        self._http.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question to the gate as whoever asked saw it; times as of ``time.monotonic``. ``status`` 0: nobody answered."""

    process: int
    sent: float
    answered: float
    status: int
    decision: bool = False
    codes: tuple[str, ...] = ()
    attempt_id: str | None = None


class Asker(threading.Thread):
    """Asks one process the same questions in turn, one after the other, until told to stop."""

    def __init__(
        self, process: int, port: int, key: str, questions: list[dict[str, Any]], *, keep: bool = True
    ) -> None:
        super().__init__(daemon=True)
        self._process, self._port, self._key, self._questions, self._keep = process, port, key, questions, keep
        self._stop_asking = threading.Event()
        self.answers: list[Asked] = []
        self.count = 0
        self.failed: list[Asked] = []

    def run(self) -> None:
        line = Line(self._port, self._key)
        while not self._stop_asking.is_set():
            one = ask(line, self._process, self._questions[self.count % len(self._questions)])
            self.count += 1
            if self._keep:
                self.answers.append(one)
            if one.status != 200:
                self.failed.append(one)
                self._stop_asking.wait(0.05)  # nobody is there: not a thousand times a second
        line.close()

    def stop(self) -> None:
        self._stop_asking.set()


def ask(line: Line, process: int, question: dict[str, Any]) -> Asked:
    sent = time.monotonic()
    try:
        status, body = line.call("POST", "/access/v1/evaluation", question)
    except (OSError, http.client.HTTPException):
        return Asked(process=process, sent=sent, answered=time.monotonic(), status=0)
    answered = time.monotonic()
    if status != 200:
        return Asked(process=process, sent=sent, answered=answered, status=status, codes=(str(body.get("code")),))
    return Asked(
        process=process,
        sent=sent,
        answered=answered,
        status=status,
        decision=body["decision"] is True,
        codes=tuple(reason["code"] for reason in body["context"]["reasons"]),
        attempt_id=body["context"]["attempt_id"],
    )


@dataclass
class Running:
    """What runs: ``ports`` of the API processes, in order."""

    apis: list[Child]
    workers: list[Child]
    ports: list[int] = field(default_factory=list)

    def start_again(self) -> None:
        """Whoever ended, as a supervisor does (``mien serve`` for its worker)."""
        for child in (*self.apis, *self.workers):
            if child.process.poll() is not None:
                child.start_again()

    def line(self, number: int, key: str) -> Line:
        return Line(self.ports[number % len(self.ports)], key)

    def ready(self, number: int) -> bool:
        line = Line(self.ports[number], "nobody")
        try:
            return line.call("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            line.close()

    def said(self) -> str:
        """What all of them said until now."""
        return "".join(child.log.read_text("utf-8", "replace") for child in (*self.apis, *self.workers))


@contextmanager
def running(
    service: Service, logs: Path, *, apis: int, workers: int = 0, hold: str = "none", silent_s: float = 3
) -> Iterator[Running]:
    """That many processes on the database, files and keys of ``service``; ``hold``: see :mod:`tests.api.worker_process`."""
    settings = service.settings
    with ExitStack() as opened:

        def child(module: str, *more: str, name: str) -> Child:
            url = make_url(service.database.url).update_query_dict({"application_name": name})
            common = [url.render_as_string(hide_password=False), str(settings.var), str(settings.keys)]
            made = Child(module, [*common, *more], logs / f"{name}.log", name=name)
            opened.callback(made.kill)
            return made

        ports = [free_port() for _ in range(apis)]
        there = Running(
            apis=[child("tests.api.serving_process", str(port), name=f"api-{port}") for port in ports],
            workers=[
                child("tests.api.worker_process", hold, str(silent_s), name=f"worker-{number}")
                for number in range(workers)
            ],
            ports=ports,
        )
        until(lambda: all(there.ready(number) for number in range(apis)))
        yield there
