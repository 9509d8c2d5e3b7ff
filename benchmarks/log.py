"""The log: ``python -m benchmarks.log ENTRIES``. Appending, signing, verifying, proofs, receipts, and an evidence pack.

Entries are appended one a transaction, as consents make them, by several processes at once; each is on the disk before the
next begins, since the log has one writer at a time. The rest of ENTRIES goes in by batches. Then all of it is verified.
"""

from __future__ import annotations

import multiprocessing
import random
import secrets
import time
from datetime import datetime, timedelta

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from api.consents import append_event, controller_of
from api.database import Database, new_engine
from api.evidence import evidence_of
from api.ledger import append, catch_up, receipt
from api.line import Wanted
from api.service import Service, wall_clock
from api.steps import finish
from api.storage import new_id
from api.tables import ConsentRow
from api.written import verify_books
from benchmarks.report import fresh_service, p95, report, timed
from consent.attempts import Attempt
from consent.canonical import Json
from consent.evidence import verify_evidence
from consent.ledger import SALT_BYTES, verify_receipt
from consent.merkle import inclusion_proof
from consent.record import Limits, grant
from consent.terms import Purpose, current
from lab.bench import Figure
from liveness.challenge import Reveal
from liveness.policy import STRICT, Path
from liveness.verdict import CheckResult, Live

_ENTRIES = 100_000
_SINGLE = 10_000  # of them one a transaction
_ALONE = 500
_BATCH = 1000
_PROOFS = 300
_QUESTIONS = 100
_KIND = "bench.entry"  # nothing is written down for it
_ROLES = "session_replication_role=replica"


def main() -> None:
    report(__doc__, measure, count=_ENTRIES, noun="entries in the log")


def measure(count: int) -> list[Figure]:
    """All figures of a log of that many entries."""
    with fresh_service() as service:
        figures = [_alone(service, min(_ALONE, count // 8))]
        single = min(_SINGLE, count // 4)
        figures += [_at_once(service, single // 2, processes) for processes in (2, 4)]
        consent = _consent(service)
        _questions(service, consent, figures)
        _batches(service, count, figures)
        seconds, size = timed(lambda: catch_up(service))
        figures.append(Figure(what="sign a checkpoint of all", value=1000 * seconds, unit="ms"))
        seconds, found = timed(lambda: _verify(service))
        if found != size:
            raise SystemExit(f"{found} entries were verified of {size}")
        figures.append(
            Figure(what=f"verify {size:,} entries, as mien ledger verify", value=seconds, unit="s", goal="<= 60")
        )
        figures += _proofs(service, size)
        figures += _papers(service, consent)
    return figures


# --- appending -------------------------------------------------------------------------------------------------------


def _append_singly(database: Database, number: int) -> list[float]:
    """Seconds that each took."""
    took = []
    for _ in range(number):
        start = time.perf_counter()
        with database.transaction() as store:
            append(store, [(_KIND, secrets.token_hex(32))], now=wall_clock())
        took.append(time.perf_counter() - start)
    return took


def _alone(service: Service, number: int) -> Figure:
    _append_singly(service.database, 50)  # statements are prepared, pages are warm
    seconds, _ = timed(lambda: _append_singly(service.database, number))
    return Figure(what="append, an entry a transaction, 1 connection", value=number / seconds, unit="/s")


def _worker(url: str, number: int, ready: multiprocessing.Queue[int], go: object, took: object) -> None:
    database = Database(url, new_engine(url), url)
    _append_singly(database, 20)
    ready.put(1)
    go.wait()  # type: ignore[attr-defined]
    took.put(_append_singly(database, number))  # type: ignore[attr-defined]
    database.engine.dispose()


def _at_once(service: Service, number: int, processes: int) -> Figure:
    """Processes of their own, as the service has them."""
    context = multiprocessing.get_context("spawn")
    ready, took, go = context.Queue(), context.Queue(), context.Event()
    each = number // processes
    workers = [
        context.Process(target=_worker, args=(service.database.url, each, ready, go, took)) for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.get()
    start = time.perf_counter()
    go.set()
    for _ in workers:
        took.get()
    seconds = time.perf_counter() - start
    for worker in workers:
        worker.join()
    return Figure(
        what=f"append, an entry a transaction, {processes} processes",
        value=processes * each / seconds,
        unit="/s",
        goal=">= 500",
    )


def _batches(service: Service, count: int, figures: list[Figure]) -> None:
    with service.database.transaction() as store:
        there = store.tree_size()
    left = max(_BATCH, count - there)

    def run() -> None:
        for start in range(0, left, _BATCH):
            with service.database.transaction() as store:
                happened = [(_KIND, secrets.token_hex(32)) for _ in range(min(_BATCH, left - start))]
                append(store, happened, now=wall_clock())

    seconds, _ = timed(run)
    figures.append(
        Figure(what=f"append, {_BATCH} a transaction, up to {count:,}", value=left / seconds, unit="/s", goal=">= 500")
    )


# --- a consent and its questions -------------------------------------------------------------------------------------


def _consent(service: Service) -> str:
    """A consent as a grant writes it. The rows of the live check before it are not there, so the owner puts its own in."""
    now = wall_clock()
    consent_id, subject_id, challenge_id = new_id("cns"), new_id("sub"), new_id("chl")
    salt = secrets.token_bytes(SALT_BYTES)
    live = Live(
        challenge_id=challenge_id,
        nonce="0f" * 16,
        capture_sha256="cd" * 32,
        policy=f"{STRICT.name}@{STRICT.version}",
        path=Path.STANDARD,
        extra_time=False,
        reveal=Reveal.AT_ONCE,
        models={"face_embedding": "bench@1"},
        judged_at=now,
        results=(CheckResult.passed("same_person", 0.81, 0.38, "cosine"),),
        assurance=STRICT.assurance,
    )
    event = grant(
        live,
        consent_id=consent_id,
        subject_id=subject_id,
        controller=controller_of(service.settings),
        terms=current("en"),
        purposes=[Purpose.CAMEO],
        audience=["portrait"],
        limits=Limits(max_seconds=60),
        template_commitment="ab" * 32,
        expires_at=now + timedelta(days=365),
        now=now,
    )
    owner = create_engine(service.database.owner_url, poolclass=NullPool, connect_args={"options": f"-c {_ROLES}"})
    with owner.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO consents (consent_id, subject_id, app_key_id, session_id, challenge_id, salt, data_key_id, "
                "granted_at, expires_at) VALUES (:c, :s, 'apk', :c, :l, :salt, 'dky', :now, :ends)"
            ),
            {
                "c": consent_id,
                "s": subject_id,
                "l": challenge_id,
                "salt": salt,
                "now": now,
                "ends": event.scope.expires_at,
            },
        )
    with service.database.transaction() as store:
        row = store.get(ConsentRow, consent_id)
        if row is None:
            raise SystemExit("the consent was not written")
        append_event(store, service.keys, row, [event], now=now)
    return consent_id


def _questions(service: Service, consent_id: str, figures: list[Figure]) -> None:
    """Questions to the gate and their answers in the books, a transaction each, as the gate writes them."""

    def attempt(now: datetime) -> Attempt:
        claimed: dict[str, Json] = {
            "consents": [consent_id],
            "tokens": 1,
            "media": [new_id("med")],
            "embeddings": 0,
            "key": None,
        }
        return Attempt(
            attempt_id=new_id("att"), at=now, caller="apk", backend="studio", stage="evaluation", purpose="cameo",
            job_sha256=secrets.token_hex(32), claimed=claimed,
        )  # fmt: skip

    took = []
    for _ in range(_QUESTIONS):
        asked, start = attempt(wall_clock()), time.perf_counter()
        with service.database.line() as line:
            wanted = Wanted(
                consent_ids=[consent_id], backend="studio", asker="backend:studio", day=asked.at.date(), now=asked.at
            )
            finish(line.ask(asked, salt=secrets.token_bytes(SALT_BYTES), wanted=wanted))
            line.hold()
            reasons = [{"code": "unknown_face", "face": 0}]
            finish(line.refuse(asked.attempt_id, reasons, at=wall_clock()))
        took.append(1000 * (time.perf_counter() - start))
    figures.append(Figure(what="question and answer into books and log (p95)", value=p95(took), unit="ms"))


# --- reading ---------------------------------------------------------------------------------------------------------


def _verify(service: Service) -> int:
    with service.database.transaction() as store:
        return verify_books(store, service.keys.public).log.size


def _proofs(service: Service, size: int) -> list[Figure]:
    chance = random.Random(1)
    took, steps = [], 0
    with service.database.transaction() as store:
        for _ in range(_PROOFS):
            index, start = chance.randrange(size), time.perf_counter()
            steps = max(steps, len(inclusion_proof(index, size, store.nodes)))
            took.append(1000 * (time.perf_counter() - start))
    return [
        Figure(what=f"inclusion proof of {steps} hashes (p95)", value=p95(took), unit="ms"),
        Figure(what="  how many", value=1000 * len(took) / sum(took), unit="/s"),
    ]


def _papers(service: Service, consent_id: str) -> list[Figure]:
    now = wall_clock()
    with service.database.transaction() as store:
        row, event = store.get(ConsentRow, consent_id), store.consent_events(consent_id)[-1]
        if row is None:
            raise SystemExit("the consent is gone")
        kept = receipt(service, store, record=event.record, salt=row.salt, index=event.ledger_index, now=now).to_json()
        seconds, pack = timed(lambda: evidence_of(service, store, consent_id, now=now))
    verify_receipt(kept, service.keys.public)
    checking, proven = timed(lambda: verify_evidence(pack, service.keys.public))
    return [
        Figure(what="receipt", value=len(kept) / 1000, unit="kB"),
        Figure(
            what=f"evidence pack, {proven.questions} questions of {proven.questions + proven.left_out}",
            value=len(pack) / 1000,
            unit="kB",
            goal="<= 100",
        ),
        Figure(what="  make it", value=1000 * seconds, unit="ms"),
        Figure(what="  check it offline", value=1000 * checking, unit="ms"),
    ]


if __name__ == "__main__":
    main()
