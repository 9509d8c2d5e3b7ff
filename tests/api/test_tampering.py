"""Whoever owns the database changes, drops, doubles or reorders anything in it: verification names the first wrong entry.

One story is told, then each change is made in a transaction that is rolled back, with the triggers off.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from api.ledger import catch_up
from api.storage import Store
from api.written import verify_books
from consent.attempts import ATTEMPT_KIND, OUTCOME_KIND
from consent.errors import EvidenceInvalid, LedgerBroken
from consent.evidence import verify_evidence
from consent.ledger import verify_receipt
from consent.witness import NotCosigned, WitnessCode
from consent.written import RESTORED, restored_digest
from tests.api.conftest import World, owner_of, png
from tests.api.scripted import ALICE, BOB
from tests.api.test_audit import pack_of
from tests.api.test_consent_life import agree
from tests.api.test_consents import revoke
from tests.api.test_log import Run, by_owner, checkpoint, heard, look
from tests.api.test_log import mien as mien  # a fixture

pytestmark = pytest.mark.service

ROUNDS = 80


@dataclass(frozen=True, kw_only=True)
class Story:
    world: World
    alice: dict[str, Any]
    size: int


@pytest.fixture
def story(world: World, tmp_path: Path) -> Story:
    """Two consents, one narrowed, paused, resumed and revoked; a yes to a check and a no to a double; questions of each
    outcome; a witness's word. Checkpoints on the way."""
    heard(world, "witness.example/w1")
    session = world.session("user-3")
    assert agree(world, session).status_code == 201
    answer = {"answer": "refused"}
    path = f"/v1/liveness/sessions/{session['session_id']}/answer"
    assert world.call("POST", path, session["client_token"], json=answer).status_code == 201
    alice = world.consent()
    world.clock.move(1)
    bob = world.consent(world.shown_live(BOB, "user-2"))
    photo = world.media(png(ALICE))
    assert world.ask(tokens=[world.token(alice)], media=[photo["media_id"]])["decision"]
    look(world, tmp_path / "seen.json")
    for tail, body in (("narrow", {"limits": {"max_seconds": 5}}), ("suspend", {}), ("resume", {})):
        world.clock.move(1)
        path = f"/v1/consents/{alice['consent_id']}/{tail}"
        changed = world.call("POST", path, alice["manage_token"], json=body)
        assert changed.status_code == 200, changed.text
    assert not world.ask(tokens=[world.token(bob)], media=[photo["media_id"]])["decision"]
    assert not world.ask(tokens=[])["decision"]
    world.clock.move(1)
    assert revoke(world, alice).status_code == 200
    return Story(world=world, alice=alice, size=catch_up(world.service))


@contextmanager
def changing(world: World) -> Iterator[Connection]:
    with owner_of(world.service.database).connect() as connection:
        yield connection
        connection.rollback()


def found_out(world: World, connection: Connection) -> LedgerBroken | None:
    with Session(connection, join_transaction_mode="rollback_only") as session:
        try:
            verify_books(Store(session), world.service.keys.public)
        except LedgerBroken as error:
            return error
    return None


def test_a_log_that_nobody_touched_holds_with_all_that_was_written_down(story: Story) -> None:
    assert story.size == 15
    found = story.world.call("GET", "/v1/audit/log", "auditor").json()
    assert (found["valid"], found["records"], found["records_unlinkable"], found["records_lost_in_restore"]) == (
        True,
        story.size,
        0,
        0,
    )


# --- one value changed -----------------------------------------------------------------------------------------------

OF_AN_ATTEMPT = ("attempt_id", "at", "caller", "backend", "stage", "purpose", "job_sha256", "claimed")
ASKED = "(SELECT attempt_index FROM attempt_entries e WHERE e.attempt_id = t.attempt_id)"
ANSWERED = "(SELECT outcome_index FROM attempt_entries e WHERE e.attempt_id = t.attempt_id)"
WHERE_IT_SHOWS: dict[str, tuple[str, tuple[str, ...]]] = {  # of each table: the entry that is wrong; what it says
    "ledger_entries": ("entry_index", ("entry_index", "at", "kind", "digest")),
    "log_nodes": ("node_index << level", ("level", "node_index", "hash")),
    "log_checkpoints": ("greatest(size - 1, 0)", ("size", "root", "note")),
    "log_cosignatures": ("greatest(size - 1, 0)", ("size", "witness", "line")),
    "consent_events": ("ledger_index", ("consent_id", "number", "body", "record", "ledger_index", "at")),
    "statements": ("ledger_index", ("kind", "body", "record", "salt", "ledger_index")),
    "attempts": (ASKED, OF_AN_ATTEMPT),
    "outcomes": (ANSWERED, ("attempt_id", "at", "decision", "reasons", "permit_id")),
    "attempt_entries": ("attempt_index", ("attempt_id", "salt", "attempt_index")),
}
NOT_THE_ENTRY_ITSELF = ("log_nodes", "log_checkpoints", "log_cosignatures")  # they name the first entry they stand over


def changed(value: Any, chance: random.Random) -> Any:
    """The same with one bit, digit or word of it changed."""
    match value:
        case bool():
            return not value
        case int():
            return value ^ (1 << chance.randrange(12))
        case bytes():
            place = chance.randrange(len(value))
            return value[:place] + bytes([value[place] ^ (1 << chance.randrange(8))]) + value[place + 1 :]
        case str():
            place = chance.randrange(len(value))
            other = chance.choice([letter for letter in "0aA_-.\n é" if letter != value[place]])
            return value[:place] + other + value[place + 1 :]
        case datetime():
            return value + chance.choice([-1, 1]) * timedelta(microseconds=1 << chance.randrange(40))
        case dict():
            name = chance.choice(sorted(value.keys() - {"box"}))  # fractions of pixels, which no entry commits to
            return value | {name: changed(value[name], chance)}
        case list() if value:
            place = chance.randrange(len(value))
            return [*value[:place], changed(value[place], chance), *value[place + 1 :]]
        case _:
            return "something"


@pytest.mark.parametrize("table", WHERE_IT_SHOWS)
def test_any_value_changed_is_found_at_its_entry(story: Story, table: str) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    index, columns = WHERE_IT_SHOWS[table]
    with changing(story.world) as connection:
        rows = connection.execute(text(f"SELECT ctid::text, {index}, {', '.join(columns)} FROM {table} t")).all()  # noqa: S608
        assert rows
        for _ in range(ROUNDS):
            place, expected, *values = chance.choice(rows)
            which = chance.randrange(len(columns))
            was, column = values[which], columns[which]
            now = changed(was, chance)
            shown = f"seed {seed}: {column} of {table} at {expected}: {was!r} -> {now!r}"
            value: Any = json.dumps(now) if isinstance(was, dict | list) else now
            try:
                cast = "CAST(:value AS jsonb)" if isinstance(was, dict | list) else ":value"
                statement = f"UPDATE {table} SET {column} = {cast} WHERE ctid = CAST(:place AS tid)"  # noqa: S608
                connection.execute(text(statement), {"value": value, "place": place})
            except DBAPIError:  # another row is there, or a constraint says no
                connection.rollback()
                continue
            error = found_out(story.world, connection)
            connection.rollback()
            assert error is not None, shown
            if table not in NOT_THE_ENTRY_ITSELF:
                moved = now if column in ("entry_index", "ledger_index", "attempt_index") else expected
                assert error.index in (expected, max(0, min(expected, moved))), f"{shown}: {error}"


@pytest.mark.parametrize("at", ["infinity", "-infinity", "20000-01-01", "0044-03-15 BC"])
def test_a_time_that_no_calendar_of_ours_has_is_named_and_stops_nothing(story: Story, at: str) -> None:
    for statement, index in (
        ("UPDATE ledger_entries SET at = CAST(:at AS timestamptz) WHERE entry_index = 5", 5),
        ("UPDATE consent_events SET at = CAST(:at AS timestamptz) WHERE ledger_index = 3", 3),
        (f"UPDATE attempts t SET at = CAST(:at AS timestamptz) WHERE {ASKED} = 5", 5),  # noqa: S608
        (f"UPDATE outcomes t SET at = CAST(:at AS timestamptz) WHERE {ANSWERED} = 6", 6),  # noqa: S608
    ):
        with changing(story.world) as connection:
            connection.execute(text(statement), {"at": at})
            error = found_out(story.world, connection)
            assert error is not None
            assert error.index == index


# --- rows dropped, doubled, put in another's place -------------------------------------------------------------------

EVENTS = "SELECT ledger_index FROM consent_events ORDER BY 1"


def sql(connection: Connection, statement: str, **values: Any) -> None:
    connection.execute(text(statement), values)


@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize(
    "what", ["consent_events", "statements", "attempts", "outcomes", "attempt_entries", "consents"]
)
def test_a_dropped_record_is_missed_by_its_entry(story: Story, what: str, place: str) -> None:
    """Also the last one, a withdrawal: what is left would be a consent in force."""
    queries = {
        "consent_events": (EVENTS, "DELETE FROM consent_events WHERE ledger_index = :i"),
        "consents": (
            "SELECT min(ledger_index) FROM consent_events GROUP BY consent_id ORDER BY 1",
            "DELETE FROM consents WHERE consent_id = (SELECT consent_id FROM consent_events WHERE ledger_index = :i)",
        ),
        "statements": (
            "SELECT ledger_index FROM statements ORDER BY 1",
            "DELETE FROM statements WHERE ledger_index = :i",
        ),
        "attempts": (
            "SELECT attempt_index FROM attempt_entries ORDER BY 1",
            f"DELETE FROM attempts t WHERE {ASKED} = :i",  # noqa: S608
        ),
        "outcomes": (
            "SELECT outcome_index FROM attempt_entries ORDER BY 1",
            f"DELETE FROM outcomes t WHERE {ANSWERED} = :i",  # noqa: S608
        ),
        "attempt_entries": (
            "SELECT attempt_index FROM attempt_entries ORDER BY 1",
            "DELETE FROM attempt_entries WHERE attempt_index = :i",
        ),
    }
    listed, drop = queries[what]
    with changing(story.world) as connection:
        there = list(connection.scalars(text(listed)))
        index = there[{"first": 0, "middle": len(there) // 2, "last": -1}[place]]
        sql(connection, drop, i=index)
        error = found_out(story.world, connection)
    assert error is not None
    assert (error.index, "missing" in error.why) == (index, True), error


def swap(table: str, columns: str, key: str, one: int, other: int) -> list[str]:
    """Statements that put what two rows say in each other's place."""
    sets = ", ".join(f"{column} = b.{column}" for column in columns.split())
    pairs = f"(({one}, {other}), ({other}, {one}))"
    return [f"UPDATE {table} a SET {sets} FROM {table} b WHERE (a.{key}, b.{key}) IN {pairs}"]  # noqa: S608


MOVES: list[tuple[str, int, list[str]]] = [
    ("two records of two people swapped", 3, swap("consent_events", "body record at", "ledger_index", 3, 4)),
    ("two records of one person swapped", 7, swap("consent_events", "body record at", "ledger_index", 7, 8)),
    ("only the signed records swapped", 7, swap("consent_events", "record", "ledger_index", 7, 9)),
    ("two entries swapped", 3, swap("ledger_entries", "at kind digest", "entry_index", 3, 4)),
    ("two entries of one kind swapped", 5, swap("ledger_entries", "digest", "entry_index", 5, 10)),
    ("two questions swapped", 5, swap("attempt_entries", "salt", "attempt_index", 5, 10)),
    (
        "places of two records swapped",
        7,
        ["UPDATE consent_events SET ledger_index = -1 WHERE ledger_index = 7",
         "UPDATE consent_events SET ledger_index = 7 WHERE ledger_index = 9",
         "UPDATE consent_events SET ledger_index = 9 WHERE ledger_index = -1"],
    ),
    (
        "a record given to somebody else",
        14,
        ["UPDATE consent_events SET number = 1, consent_id = (SELECT consent_id FROM consent_events WHERE ledger_index = 4) "
         "WHERE ledger_index = 14"],
    ),
    (
        "a record doubled under a number of its own",
        99,
        ["INSERT INTO consent_events SELECT consent_id, 9, body, record, 99, at FROM consent_events WHERE ledger_index = 9"],
    ),
    (
        "a record doubled in the place of a question",
        5,
        ["INSERT INTO consent_events SELECT consent_id, 9, body, record, 5, at FROM consent_events WHERE ledger_index = 9"],
    ),
    (
        "a record from before the log",
        -1,
        ["INSERT INTO consent_events SELECT consent_id, 9, body, record, -1, at FROM consent_events WHERE ledger_index = 9"],
    ),
    ("the first entry dropped", 0, ["DELETE FROM ledger_entries WHERE entry_index = 0"]),
    ("an entry in the middle dropped", 8, ["DELETE FROM ledger_entries WHERE entry_index = 8"]),
    ("the last entry dropped", 14, ["DELETE FROM ledger_entries WHERE entry_index = 14"]),
    (
        "an entry dropped and the rest moved up",
        6,
        ["DELETE FROM ledger_entries WHERE entry_index = 6",
         "UPDATE ledger_entries SET entry_index = -entry_index WHERE entry_index > 6",
         "UPDATE ledger_entries SET entry_index = -entry_index - 1 WHERE entry_index < 0"],
    ),
    (
        "an entry doubled at the end",
        15,
        ["INSERT INTO ledger_entries SELECT 15, at, kind, digest FROM ledger_entries WHERE entry_index = 14"],
    ),
    ("a subtree stored that is not complete", 12, ["INSERT INTO log_nodes VALUES (2, 3, sha256(''))"]),
    (
        "a record wrong before an entry that is",
        3,
        ["UPDATE ledger_entries SET digest = repeat('f', 64) WHERE entry_index = 9",
         "UPDATE consent_events SET number = 7 WHERE ledger_index = 3"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("index", "statements"), [move[1:] for move in MOVES], ids=[move[0] for move in MOVES])
def test_what_was_moved_doubled_or_dropped_is_named(story: Story, index: int, statements: list[str]) -> None:
    with changing(story.world) as connection:
        for statement in statements:
            sql(connection, statement)
        error = found_out(story.world, connection)
    assert error is not None
    assert error.index == index, error


def test_the_command_line_names_the_entry_of_a_dropped_withdrawal_and_fails(story: Story, mien: Run) -> None:
    status, out, _ = mien("verify")
    assert (status, json.loads(out)["records"]) == (0, story.size)
    by_owner(story.world, "DELETE FROM consent_events WHERE ledger_index = 14")
    status, out, _ = mien("verify")
    found = json.loads(out)
    assert (status, found["valid"], found["code"], found["index"]) == (1, False, "ledger_broken", 14)
    answer = story.world.call("GET", "/v1/audit/log", "auditor")
    assert (answer.status_code, answer.json()["code"]) == (500, "ledger_broken")


CUT = (
    "DELETE FROM log_cosignatures WHERE size > 14",
    "DELETE FROM log_checkpoints WHERE size > 14",
    "DELETE FROM ledger_entries WHERE entry_index > 13",
    "DELETE FROM log_nodes WHERE (node_index + 1) << level > 14",
    "DELETE FROM consent_events WHERE ledger_index > 13",
    "UPDATE consents SET revoked_at = NULL",
)


def test_an_end_cut_off_with_all_that_stood_there_contradicts_who_saw_it(story: Story, tmp_path: Path) -> None:
    """Nothing in the database tells then. The person's receipt of the withdrawal and any witness do."""
    world = story.world
    shown = world.call("GET", f"/v1/consents/{story.alice['consent_id']}", story.alice["manage_token"]).json()
    receipt, state = shown["receipt"], tmp_path / "seen.json"
    look(world, state)
    by_owner(world, *CUT)
    assert world.call("GET", "/v1/audit/log", "auditor").json()["valid"] is True
    kept = verify_receipt(json.dumps(receipt), world.service.keys.public)
    assert kept.event.kind == "consent.revoked"
    assert kept.checkpoint.size > checkpoint(world).size
    leads = world.call("GET", f"/v1/log/proof/consistency?first={kept.checkpoint.size}")
    assert leads.status_code == 404, "the log leads no more to what it signed"
    assert look(world, state) == NotCosigned(code=WitnessCode.ROLLBACK)


# --- what is rightly not there ---------------------------------------------------------------------------------------


def test_a_destroyed_salt_leaves_the_signature_to_check(story: Story) -> None:
    with changing(story.world) as connection:
        sql(connection, "UPDATE consents SET salt = ''")
        sql(connection, "UPDATE attempt_entries SET salt = NULL")
        assert found_out(story.world, connection) is None
        sql(connection, "UPDATE consent_events SET record = replace(record, '.', '.A') WHERE ledger_index = 7")
        error = found_out(story.world, connection)
    assert error is not None
    assert error.index == 7


def restored(first: int) -> Callable[[Connection], None]:
    """Rows since entry 10 are gone, as after a restore, and an entry accounts for those from ``first`` on."""

    def change(connection: Connection) -> None:
        for statement in (
            "DELETE FROM consent_events WHERE ledger_index >= 10",
            "DELETE FROM attempt_entries WHERE attempt_index >= 10",
        ):
            sql(connection, statement)
        digest = restored_digest(first, 15)
        add = "INSERT INTO ledger_entries SELECT 15, at, :kind, :digest FROM ledger_entries WHERE entry_index = 14"
        sql(connection, add, kind=RESTORED, digest=digest)

    return change


@pytest.mark.parametrize(("first", "index"), [(10, None), (3, None), (11, 10), (14, 10)])
def test_what_a_restore_lost_is_accounted_for_and_nothing_else(story: Story, first: int, index: int | None) -> None:
    with changing(story.world) as connection:
        restored(first)(connection)
        error = found_out(story.world, connection)
    assert (None if error is None else error.index) == index


def test_kinds_of_a_later_release_are_left_alone(story: Story) -> None:
    with changing(story.world) as connection:
        sql(
            connection,
            "INSERT INTO ledger_entries SELECT 15, at, 'consent.rethought', digest FROM ledger_entries WHERE entry_index = 14",
        )
        assert found_out(story.world, connection) is None
        sql(
            connection,
            "INSERT INTO ledger_entries SELECT 16, at, :kind, digest FROM ledger_entries WHERE entry_index = 14",
            kind=random.choice([ATTEMPT_KIND, OUTCOME_KIND, "consent.revoked", "check.given"]),
        )
        error = found_out(story.world, connection)
    assert error is not None
    assert error.index == 16


# --- evidence --------------------------------------------------------------------------------------------------------


def test_any_byte_of_an_evidence_pack_changed_is_refused_or_says_the_same(story: Story) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    pack, keys = pack_of(story.world, story.alice), story.world.service.keys.public
    said = verify_evidence(pack, keys)
    for _ in range(2000):
        place = chance.randrange(len(pack))
        kind = chance.choice(["flip", "drop", "double"])
        other = {
            "flip": bytes([pack[place] ^ (1 << chance.randrange(8))]),
            "drop": b"",
            "double": pack[place : place + 1] * 2,
        }[kind]
        try:
            again = verify_evidence(pack[:place] + other + pack[place + 1 :], keys)
        except EvidenceInvalid:
            continue
        assert replace(again) == said, f"seed {seed}: {kind} at {place}"
