"""How fast a withdrawal reaches everything, with several API and worker processes under load, and that nothing gets past it.

``python -m benchmarks.withdrawal --revocations 200 --json OUT``. The processes are real and listen on loopback; faces and
generators are stand-ins, so that what is measured is the service and its PostgreSQL (the embedded one, which flushes every
commit to the disk). Whoever asks runs in this process, on the same cores: its waiting is in the figures.

For every change a consent of its own is asked about at all processes but one, in tight loops, until each was permitted; the
change is sent to the remaining process; the asking goes on until each process refused. A permit whose question was sent after
the answer to the change had arrived would be a hole: there must be none.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from api.auth import Role
from api.balance import balance, watch
from api.database import Database
from api.ledger import verify_stored
from api.service import Service
from consent.keys import KeySet
from consent.status_list import Status, read_list
from tests.api.conftest import World
from tests.api.processes import Asked, Asker, Running, Shared, own_service, running
from tests.api.scripted import ALICE, colour_template
from tests.api.test_clips import ordered, state
from tests.api.test_status import place
from tests.api.test_worker import WallClock

_GIVE_UP_S = 60.0
_MOST_BEFORE_S = 0.2  # so that the change does not always come when everyone has just been answered
_REFUSALS = 3  # of each asker after the change, before it stops


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Percentiles of what was measured, in seconds unless the name says otherwise."""

    what: str
    count: int
    p50: float
    p99: float
    most: float
    goal: str = ""


def figure(what: str, values: Sequence[float], goal: str = "") -> Figure:
    ranked = sorted(values)
    at = [ranked[min(len(ranked) - 1, int(share * len(ranked)))] for share in (0.5, 0.99)]
    return Figure(what=what, count=len(ranked), p50=at[0], p99=at[1], most=ranked[-1], goal=goal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One withdrawal as those who asked saw it; seconds from when it was sent."""

    kind: str
    answered: float
    last_permit: float
    reached: float
    holes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A consent, and a token of it for the backend ``studio``."""

    consent_id: str
    manage: str
    token: str


KINDS: dict[str, tuple[str, dict[str, Any] | None]] = {
    "revoke": ("revoke", None),
    "narrow": ("narrow", {"audience": ["portrait"]}),
    "suspend": ("suspend", None),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--revocations", type=int, default=200)
    parser.add_argument("--others", type=int, default=50, help="narrowings, and as many suspensions")
    parser.add_argument("--crowded", type=int, default=30, help="revocations of a consent that everybody asks about")
    parser.add_argument("--apis", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--load", type=int, default=1, help="threads a process that ask about other consents all the time"
    )
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=10, help="of asking alone, before anything is withdrawn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments)
    show(result)
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(0 if result["holds"] else 1)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    chance = random.Random(arguments.seed)
    with (
        own_service() as (service, folder),
        running(service, folder, apis=arguments.apis, workers=arguments.workers, hold="slow") as there,
    ):
        client = httpx.Client(base_url=f"http://127.0.0.1:{there.ports[0]}", timeout=60)
        world = Shared(client, service, WallClock())
        names = {Role.APP: "app-one", Role.BACKEND: "studio", Role.AUDITOR: "auditor-one", Role.ADMIN: "admin-one"}
        world.keys = {role.value: world.key(role, name) for role, name in names.items()}
        wanted = [
            kind for kind in KINDS for _ in range(arguments.revocations if kind == "revoke" else arguments.others)
        ]
        chance.shuffle(wanted)
        begun = time.monotonic()
        standing = consents(world, there, 8)
        alone = load_alone(world, there, standing, arguments)
        given = consents(world, there, len(wanted))
        made = time.monotonic() - begun
        load = askers(world, there, [question(world, one) for one in standing], each=max(1, arguments.load), keep=False)
        begun = time.monotonic()
        changes = [
            withdrawn(world, there, one, kind, at=number % arguments.apis, each=1, chance=chance)
            for number, (kind, one) in enumerate(zip(wanted, given, strict=True))
        ]
        took, loaded = time.monotonic() - begun, sum(one.count for one in load)
        for one in load:
            one.stop()
        for one in load:
            one.join(_GIVE_UP_S)
        crowded = [
            withdrawn(world, there, one, "revoke", at=number % arguments.apis, each=4, chance=chance)
            for number, one in enumerate(consents(world, there, arguments.crowded))
        ]
        listed = status_lists(world, there, consents(world, there, 20))
        clips = clips_of(world, there, arguments.clips)
        failed = [one for asker in load for one in asker.failed]
        books = the_books(service)
        errors = there.said().count(" failed: ")
    figures = [
        *alone,
        *(made_of for kind in KINDS for made_of in figures_of([one for one in changes if one.kind == kind], kind)),
        *figures_of(crowded, "revoke, all ask about it"),
        *listed,
        *clips,
    ]
    holes = sum(one.holes for one in (*changes, *crowded))
    return {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "processes": {"api": arguments.apis, "worker": arguments.workers},
        "consents_per_second_made": round((len(given) + len(standing)) / made, 1),
        "questions_per_second_meanwhile": round(loaded / took, 1),
        "permits_after_a_change_was_answered": holes,
        "questions_without_an_answer": len(failed),
        "errors_5xx_in_the_logs": errors,
        "books": books,
        "figures": [asdict(one) for one in figures],
        "holds": holes == 0 and errors == 0 and not failed and books["balance"] and books["log_verifies"],
    }


def consents(world: World, there: Running, count: int) -> list[Given]:
    """So many people give consent, at all processes."""

    def one(number: int) -> Given:
        with httpx.Client(base_url=f"http://127.0.0.1:{there.ports[number % len(there.ports)]}", timeout=60) as client:
            mine = Shared(client, world.service, world.clock, world.keys)
            consent = mine.consent(mine.shown_live(ALICE, f"person-{time.monotonic_ns()}-{number}"))
            return Given(consent_id=consent["consent_id"], manage=consent["manage_token"], token=mine.token(consent))

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, range(count)))


def question(world: World, given: Given) -> dict[str, Any]:
    shown = colour_template(ALICE)
    embedding = {"contract_id": shown.contract_id, "vector": [float(value) for value in shown.vector]}
    return world.evaluation(tokens=[given.token], properties={"embeddings": [embedding]})


def askers(
    world: World,
    there: Running,
    questions: list[dict[str, Any]],
    *,
    each: int,
    but: int | None = None,
    keep: bool = True,
) -> list[Asker]:
    started = [
        Asker(number, port, world.keys["backend"], questions, keep=keep)
        for number, port in enumerate(there.ports)
        if number != but
        for _ in range(each)
    ]
    for asker in started:
        asker.start()
    return started


def load_alone(world: World, there: Running, standing: list[Given], arguments: argparse.Namespace) -> list[Figure]:
    """How many questions are answered a second when nothing else happens."""
    asking = askers(world, there, [question(world, one) for one in standing], each=2)
    time.sleep(arguments.seconds)
    for one in asking:
        one.stop()
    for one in asking:
        one.join(_GIVE_UP_S)
    answers = [answer for one in asking for answer in one.answers]
    span = max(one.answered for one in answers) - min(one.sent for one in answers)
    rate = len(answers) / span
    return [
        figure("questions alone: a second, all processes", [rate]),
        figure("questions alone: seconds for an answer", [one.answered - one.sent for one in answers]),
    ]


def withdrawn(
    world: World, there: Running, given: Given, kind: str, *, at: int, each: int, chance: random.Random
) -> Change:
    """Change one consent at process ``at`` while the others are asked about it."""
    asking = askers(world, there, [question(world, given)], each=each, but=at)
    word, body = KINDS[kind]
    line = there.line(at, given.manage)
    try:
        wait_for(lambda: all(any(one.decision for one in asker.answers) for asker in asking))
        time.sleep(chance.random() * _MOST_BEFORE_S)
        sent = time.monotonic()
        status, said = line.call("POST", f"/v1/consents/{given.consent_id}/{word}", body)
        answered = time.monotonic()
        if status != 200:
            raise RuntimeError(f"{kind} was answered with {status} {said}")
        wait_for(lambda: all(refusals(asker.answers, answered) >= _REFUSALS for asker in asking))
    finally:
        line.close()
        for asker in asking:
            asker.stop()
        for asker in asking:
            asker.join(_GIVE_UP_S)
    answers = [one for asker in asking for one in asker.answers]
    permits = [one for one in answers if one.decision]
    return Change(
        kind=kind,
        answered=answered - sent,
        last_permit=max(0.0, max(one.answered for one in permits) - sent),
        reached=max(min(one.answered for one in asker.answers if not_allowed(one)) for asker in asking) - sent,
        holes=sum(one.sent > answered for one in permits),
    )


def not_allowed(one: Asked) -> bool:
    return one.status == 200 and not one.decision


def refusals(answers: list[Asked], since: float) -> int:
    return sum(not_allowed(one) and one.sent > since for one in list(answers))


def wait_for(what: Callable[[], bool]) -> None:
    ends = time.monotonic() + _GIVE_UP_S
    while not what():
        if time.monotonic() > ends:
            raise TimeoutError("it never happened")
        time.sleep(0.005)


def figures_of(changes: list[Change], kind: str) -> list[Figure]:
    if not changes:
        return []
    return [
        figure(f"{kind}: sent to answered", [one.answered for one in changes]),
        figure(f"{kind}: sent to last permit seen", [one.last_permit for one in changes], "p99 <= 1"),
        figure(f"{kind}: sent to refused everywhere", [one.reached for one in changes], "p99 <= 1"),
    ]


def status_lists(world: World, there: Running, given: list[Given]) -> list[Figure]:
    """From a revocation at one process to the list of another that says so, each asked all the time."""
    keys = KeySet.from_jwks(world.call("GET", "/.well-known/jwks.json").json())
    took = []
    for number, one in enumerate(given):
        path, index = place(one.token)
        line = there.line(number, one.manage)
        sent = time.monotonic()
        line.call("POST", f"/v1/consents/{one.consent_id}/revoke")
        line.close()
        others = [there.line(number + other, "nobody") for other in range(1, len(there.ports))]
        for other in others:
            uri = world.service.settings.public_url + path
            while read_list(other.call("GET", path)[1], keys, uri=uri).statuses.status_at(index) != Status.REVOKED:
                if time.monotonic() > sent + _GIVE_UP_S:
                    raise TimeoutError("a status list never said so")
            other.close()
        took.append(time.monotonic() - sent)
    return [figure("revoke: sent to all status lists", took, "<= 60")]


def clips_of(world: World, there: Running, count: int) -> list[Figure]:
    """A clip under way and two in the queue behind it, when their consents end; and what is left of the person's templates."""
    took: dict[str, list[float]] = {what: [] for what in ("under way", "revoked", "suspended", "shredded", "listed")}
    database = world.service.database
    for _ in range(count):
        given = consents(world, there, len(there.workers) + 2)
        *begun, revoked, suspended = [(one, ordered(world, [token_for_portrait(world, one)])) for one in given]
        wait_for(lambda: state(world, begun[0][1])["state"] == "running")  # noqa: B023
        for (one, clip_id), word, what in (
            (suspended, "suspend", "suspended"),
            (revoked, "revoke", "revoked"),
            (begun[0], "revoke", "under way"),
        ):
            sent = time.monotonic()
            world.call("POST", f"/v1/consents/{one.consent_id}/{word}", one.manage)
            if what == "under way":
                wait_for(lambda: jobs_of(database, clip_id) == 0)  # noqa: B023
            else:
                wait_for(lambda: state(world, clip_id)["state"] == "withdrawn")  # noqa: B023
            took[what].append(time.monotonic() - sent)
            if word == "revoke":
                wait_for(lambda: living_keys(database, one.consent_id) == 0)  # noqa: B023
                took["shredded"].append(time.monotonic() - sent)
                wait_for(lambda: waiting_shreds(database) == 0)
                took["listed"].append(time.monotonic() - sent)
        for one, _ in begun[1:]:
            world.call("POST", f"/v1/consents/{one.consent_id}/revoke", one.manage)
        wait_for(lambda: scalar(database, "SELECT count(*) FROM procrastinate_jobs") == 0)
        if any(state(world, clip_id)["state"] != "withdrawn" for _, clip_id in (*begun, revoked, suspended)):
            raise RuntimeError("a clip got past the withdrawal of its consent")
    return [
        figure("clip in the queue: revoked to withdrawn", took["revoked"], "<= 5"),
        figure("clip in the queue: suspended to withdrawn", took["suspended"], "<= 5"),
        figure("clip under way: to its worker being free", took["under way"], "before release"),
        figure("template key destroyed", took["shredded"], "<= 60"),
        figure("shred list written outside the database", took["listed"], "<= 60"),
    ]


def token_for_portrait(world: World, given: Given) -> str:
    return world.token({"consent_id": given.consent_id}, "portrait")


def jobs_of(database: Database, clip_id: str) -> int:
    return scalar(database, "SELECT count(*) FROM procrastinate_jobs WHERE args->>'clip_id' = :id", id=clip_id)


def living_keys(database: Database, consent_id: str) -> int:
    return scalar(
        database,
        "SELECT count(*) FROM consents JOIN data_keys USING (data_key_id) WHERE consent_id = :id AND wrapped IS NOT NULL",
        id=consent_id,
    )


def waiting_shreds(database: Database) -> int:
    return scalar(database, "SELECT count(*) FROM shreds WHERE kind <> 'log'")


def scalar(database: Database, query: str, **values: object) -> int:
    with database.engine.connect() as connection:
        return int(connection.scalar(text(query), values) or 0)


def the_books(service: Service) -> dict[str, Any]:
    """Whether every question has its one answer, every permit its right, and the log its order."""
    while watch(service):
        pass
    with service.database.transaction() as store:
        found = balance(store, now=service.now())
        verified = verify_stored(store, service.keys.public)
    books = found.books
    return {
        "attempts": books.attempts,
        "permits": books.permits,
        "refusals": books.refusals,
        "errors": books.errors,
        "fail_open": found.fail_open,
        "balance": found.holds and books.attempts == books.permits + books.refusals + books.errors,
        "log_entries": verified.size,
        "log_verifies": True,
    }


def show(result: dict[str, Any]) -> None:
    lines = [f"{key}: {value}" for key, value in result.items() if key != "figures"]
    lines.append(f"{'what':<48}{'n':>7}{'p50':>10}{'p99':>10}{'max':>10}  goal")
    lines += [
        f"{one['what']:<48}{one['count']:>7}{one['p50']:>10.4g}{one['p99']:>10.4g}{one['most']:>10.4g}  {one['goal']}"
        for one in result["figures"]
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
