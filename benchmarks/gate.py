"""How long the gate takes, over HTTP and in process: ``python -m benchmarks.gate PEOPLE``.

Every question shows one person's token and a fresh look at their face (512 floats), for people in turn, so that nobody is
asked about twice in a row. The server is a process of its own, as ``mien serve`` runs it, with another that settles the books
as its worker does; then as many servers as there are cores, which share an address as those of ``mien serve --api-only`` do;
on the embedded PostgreSQL as it is installed: every question is on the disk before it is decided, and every answer before it
is given. The questions come from another process, at a steady rate, whether or not earlier ones are answered; time counts from
when one was due. In the same run: an empty route of a bare FastAPI application, and what one commit costs, since two are in
every answer.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

from sqlalchemy import text

from api.balance import balance, watch
from api.gate import Question, ask
from api.ledger import catch_up
from api.service import Service
from api.written import verify_books
from benchmarks.gate_process import bench_faces
from benchmarks.people import BACKEND, CONTRACT, Someone, consenting
from benchmarks.report import fresh_service, report, timed
from consent.gate import Permit, Presented, Refusal, Use, decide
from consent.terms import Purpose
from lab.bench import Figure
from tests.api.test_serve import free_port

ROOT = Path(__file__).resolve().parents[1]
RATE = 200.0
_PEOPLE = 10_000
_LINES = 32
_STEADY_S, _FLAT_OUT_S, _WARM_S = 30.0, 10.0, 4.0
_IN_PROCESS = 2000
_ANSWERED_WITHIN_S = 60.0
_QUIET_AFTER = 1000  # people; with fewer it is a trial run, and short


def main() -> None:
    report(__doc__, measure, count=_PEOPLE, noun="people with a consent")


def measure(count: int) -> list[Figure]:
    """All figures, with that many people."""
    scale = 1.0 if count >= _QUIET_AFTER else 0.02
    with fresh_service() as made:
        service = replace(made, faces=bench_faces())
        seconds, (key, people) = timed(lambda: consenting(service, count))
        figures = [Figure(what=f"{count:,} people with a consent, made", value=count / seconds, unit="/s")]
        figures.append(_commit(service, max(20, int(300 * scale))))
        figures += _in_process(service, people, max(40, int(_IN_PROCESS * scale)))
        requests = [_request("/access/v1/evaluation", key, _question(one)) for one in people]
        empty = [_request("/empty", key, {"vector": [float(v) for v in people[0].face.vector]})]
        asked = list[Asked]()
        for processes in sorted({1, os.cpu_count() or 1}) if scale == 1.0 else [1]:
            with _server(service, processes) as port:
                found, more = _over_http(port, requests, empty, scale, processes=processes)
            asked += found
            figures += more
        figures += _books(service, asked=asked)
    return figures


# --- in process ------------------------------------------------------------------------------------------------------


def _commit(service: Service, number: int) -> Figure:
    """One row and its commit, over and over: what the disk under the database takes."""
    took = []
    connection = service.database.engine.raw_connection()
    try:
        run = connection.cursor().execute
        run("CREATE TEMPORARY TABLE flushed (number bigint) ON COMMIT PRESERVE ROWS")
        for n in range(number):
            start = time.perf_counter()
            run(f"SELECT pg_logical_emit_message(true, 'bench', '{n}')")
            connection.commit()
            took.append(1000 * (time.perf_counter() - start))
    finally:
        connection.close()
    return Figure(what="one commit on this disk (p50)", value=sorted(took)[len(took) // 2], unit="ms")


def _in_process(service: Service, people: Sequence[Someone], number: int) -> list[Figure]:
    """``decide`` alone, with all that it needs in hand; and the whole of ``ask``, with both commits."""
    deciding: list[float] = []
    asking: list[float] = []

    def timed_decide(
        use: Use, presented: Sequence[Presented], *, same_person: float, permit_id: str, now: datetime
    ) -> Permit | Refusal:
        start = time.perf_counter()
        try:
            return decide(use, presented, same_person=same_person, permit_id=permit_id, now=now)
        finally:
            deciding.append(1000 * (time.perf_counter() - start))

    chance = random.Random(1)
    with patch("api.gate.decide", timed_decide):
        for _ in range(number):
            one = chance.choice(people)
            question = Question(
                caller="apk_bench", backend=BACKEND, stage="evaluation", purpose=Purpose.CAMEO, job_sha256="ab" * 32,
                seconds=10, script=None, tokens=(one.token,), media_owner="apk_bench", embeddings=(one.face,),
            )  # fmt: skip
            start = time.perf_counter()
            answer = ask(service, question)
            asking.append(1000 * (time.perf_counter() - start))
            if not isinstance(answer.outcome, Permit):
                raise SystemExit(f"a question was refused: {answer.outcome.codes}")
    return [
        Figure(what=f"decide, in process ({name})", value=_of(deciding, share), unit="ms", goal=goal)
        for name, share, goal in (("p50", 0.5, "<= 1"), ("p99", 0.99, ""))
    ] + [
        Figure(what=f"ask, in process, with its commits ({name})", value=_of(asking, share), unit="ms")
        for name, share in (("p50", 0.5), ("p99", 0.99))
    ]


# --- over HTTP -------------------------------------------------------------------------------------------------------


def _over_http(
    port: int, questions: Sequence[bytes], empty: Sequence[bytes], scale: float, *, processes: int
) -> tuple[list[Asked], list[Figure]]:
    """What was asked of the gate, and how long it took, at a steady rate and flat out."""
    by = "one process" if processes == 1 else f"{processes} processes"
    for requests in (empty, questions):
        _asked(port, requests, rate=RATE, seconds=_WARM_S * scale)
    nothing = _asked(port, empty, rate=RATE, seconds=_STEADY_S * scale / 3)
    found = _asked(port, questions, rate=RATE, seconds=_STEADY_S * scale)
    figures = _latencies(f"empty route, {by}, {RATE:.0f} questions/s", nothing)
    figures += _latencies(f"gate over HTTP, {by}, {RATE:.0f} questions/s", found, goals=("<= 5", "", "<= 25"))
    figures.append(_ratio("  p50 to the empty route's", _at(found, 0.5), _at(nothing, 0.5)))
    most_empty = _asked(port, empty, rate=0, seconds=_FLAT_OUT_S * scale, lines=8)
    most = _asked(port, questions, rate=0, seconds=_FLAT_OUT_S * scale, lines=8)
    figures.append(Figure(what=f"empty route, {by}, flat out, 8 lines", value=_rate(most_empty), unit="/s"))
    figures.append(Figure(what=f"gate over HTTP, {by}, flat out, 8 lines", value=_rate(most), unit="/s"))
    figures.append(_ratio("  the empty route's to it", _rate(most_empty), _rate(most)))
    return [found, most], figures


def _question(one: Someone) -> dict[str, object]:
    return {
        "subject": {"type": "backend", "id": BACKEND},
        "action": {"name": "generate"},
        "resource": {
            "type": "likeness",
            "id": "job-1",
            "properties": {
                "consent_tokens": [one.token],
                "embeddings": [{"contract_id": CONTRACT, "vector": [float(value) for value in one.face.vector]}],
            },
        },
        "context": {"purpose": Purpose.CAMEO.value, "job_sha256": "ab" * 32, "seconds": 10},
    }


def _request(path: str, key: str, body: dict[str, object]) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


@contextmanager
def _server(service: Service, processes: int) -> Iterator[int]:
    """So many API processes behind one port, and a worker that settles the books."""
    port, settings = free_port(), service.settings
    command = [sys.executable, "-m", "benchmarks.gate_process"]
    command += [service.database.url, str(settings.var), str(settings.keys)]
    with ExitStack() as ending:

        def started(*more: str) -> subprocess.Popen[bytes]:
            process = ending.enter_context(
                subprocess.Popen([*command, *more], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            ending.callback(process.terminate)
            return process

        started()
        for _ in range(processes):
            process = started(str(port))
            if process.stdout is None or process.stdout.readline() != b"listening\n":
                raise SystemExit("the server did not start")
            _until_it_answers(port, process)
        yield port


def _until_it_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > ends:
                raise SystemExit("the server did not start") from None
            time.sleep(0.05)


Asked = dict[str, object]


def _asked(port: int, requests: Sequence[bytes], *, rate: float, seconds: float, lines: int = _LINES) -> Asked:
    """What the other process found; see :mod:`benchmarks.asking`."""
    order = list(requests)
    random.Random(int(1000 * seconds)).shuffle(order)
    given = b"".join(b"%08x" % len(one) + one for one in order)
    command = [sys.executable, "-m", "benchmarks.asking", str(port), str(rate), str(seconds), str(lines)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, input=given, capture_output=True, check=True, timeout=seconds + _ANSWERED_WITHIN_S
        )
    except subprocess.TimeoutExpired:
        raise SystemExit("some questions were never answered") from None
    found: Asked = json.loads(done.stdout)
    if found["failed"] or found["no"]:
        raise SystemExit(f"{found['failed']} questions were not answered, and {found['no']} refused")
    return found


def _of(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _at(found: Asked, share: float) -> float:
    """Milliseconds."""
    took = found["took"]
    assert isinstance(took, list)  # noqa: S101 - for the types
    return 1000 * _of(took, share)


def _rate(found: Asked) -> float:
    return float(str(found["yes"])) / float(str(found["span"]))


def _latencies(what: str, found: Asked, goals: tuple[str, str, str] = ("", "", "")) -> list[Figure]:
    return [
        Figure(what=f"{what} ({name})", value=_at(found, share), unit="ms", goal=goal)
        for (name, share), goal in zip((("p50", 0.5), ("p95", 0.95), ("p99", 0.99)), goals, strict=True)
    ]


def _ratio(what: str, one: float, other: float) -> Figure:
    return Figure(what=what, value=one / other, unit="x")


def _books(service: Service, *, asked: Sequence[Asked]) -> list[Figure]:
    """Everything that was asked is in the books and in the log, and both hold."""
    seconds, size = timed(lambda: catch_up(service))
    watch(service)
    with service.database.transaction() as store:
        found = balance(store, now=service.now())
        whole = verify_books(store, service.keys.public)
    with service.database.engine.connect() as connection:
        attempts = int(connection.scalar(text("SELECT count(*) FROM attempts")) or 0)
    told = sum(int(str(one["yes"])) for one in asked)
    if not found.holds or found.books.attempts != attempts or attempts < told or whole.log.size != size:
        raise SystemExit(f"the books do not hold: {found}")
    return [
        Figure(what="questions in the books and in the log, which verify", value=attempts, unit="questions"),
        Figure(what="  the last of them into the log, and a checkpoint", value=1000 * seconds, unit="ms"),
    ]


if __name__ == "__main__":
    main()
