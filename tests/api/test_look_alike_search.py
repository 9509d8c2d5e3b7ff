"""All who want to be told are compared: nobody is passed over, and who is gone is found no more and held no longer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from api import look_alike_search
from api.blinding import CODE_BITS
from api.database import Database, as_service, new_engine, upgrade
from api.look_alike_index import GRAPH, HEAD_BITS, PEOPLE, PERSON_BYTES, Availability, LookAlikeIndex, fitting, prepare
from api.look_alike_search import (
    LookAlikeSearch,
    Part,
    Parts,
    Way,
    head_of,
    nearest_in,
    numbers_in,
    with_more,
    without,
)
from tests.api.conftest import fresh_database

ROOMY = 256
CHANCE = np.random.default_rng(7)


def a_code() -> str:
    return "".join(CHANCE.choice(["0", "1"], CODE_BITS))


def like(code: str, bits: int) -> str:
    """The same but for that many bits, spread over all of it."""
    changed = np.array([each == "1" for each in code])
    places = np.linspace(0, CODE_BITS - 1, bits).astype(int)
    changed[places] = ~changed[places]
    return "".join("1" if each else "0" for each in changed)


def part(numbers: list[int], heads: np.ndarray | None = None) -> Part:
    given = CHANCE.integers(0, 2**63, (HEAD_BITS // 64, len(numbers)), dtype=np.uint64) if heads is None else heads
    return Part(np.array(numbers, np.int64), given)


# --- the copy, as values ---------------------------------------------------------------------------------------------


def test_the_nearest_are_those_that_comparing_bit_by_bit_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_alike_search, "_AT_ONCE", 400)
    monkeypatch.setattr(look_alike_search, "_FARTHEST", 240)
    codes = [a_code() for _ in range(1000)]
    parts: Parts = ()
    for first in range(0, 1000, 300):
        numbers = list(range(first, min(first + 300, 1000)))
        parts = with_more(parts, part(numbers, np.stack([head_of(codes[each]) for each in numbers], axis=1)))
    assert [len(each) for each in parts] == [300, 300, 400]
    face = a_code()
    differing = [sum(a != b for a, b in zip(face[:HEAD_BITS], code[:HEAD_BITS], strict=True)) for code in codes]
    within = {number for number, bits in enumerate(differing) if bits <= 240}
    assert 20 < len(within) < 300
    assert set(nearest_in(parts, head_of(face), 500)) == within
    few = nearest_in(parts, head_of(face), 10)
    assert sorted(differing[each] for each in few) == sorted(differing)[:10]
    assert nearest_in((), head_of(face)) == []


def test_nobody_is_in_the_copy_twice_and_who_is_taken_out_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_alike_search, "_AT_ONCE", 4)
    first = part([2, 5, 9])
    parts = with_more((first,), part([5, 7]))
    assert numbers_in(parts).tolist() == [2, 5, 7, 9]
    [only] = parts
    assert only.numbers.tolist() == [2, 5, 7, 9], "they rise, so that they are found again"
    assert (only.heads[:, [0, 1, 3]] == first.heads).all()
    parts = with_more(parts, part([1, 3, 4, 6, 8, 10]))
    assert [len(each) for each in parts] == [4, 4, 2]
    assert with_more(parts, part([1, 9])) is parts
    left = without(parts, np.array([1, 3, 4, 6, 9, 11]))
    assert [each.numbers.tolist() for each in left] == [[2, 5, 7], [8, 10]]
    assert (left[0].heads[:, 0] == first.heads[:, 0]).all()
    assert without(parts, np.arange(20)) == ()


def test_memory_holds_as_many_as_it_is_said_to() -> None:
    held = part([1, 2, 3])
    assert held.numbers.nbytes + held.heads.nbytes == 3 * PERSON_BYTES
    assert fitting(256) > 3_500_000
    assert fitting(0) == 0


# --- beside the table ------------------------------------------------------------------------------------------------


class Table:
    """The table of codes, with nobody's consents behind it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._engine = create_engine(database.owner_url, poolclass=NullPool)

    @contextmanager
    def writing(self) -> Iterator[LookAlikeIndex]:
        with Session(self._engine) as session, session.begin():
            session.execute(text("SET LOCAL session_replication_role = replica"))  # no choices that they refer to
            yield LookAlikeIndex(session)

    def put(self, people: dict[str, str], contract: str = "c-1", rotation: str = "r-1") -> None:
        with self.writing() as index:
            for consent_id, code in people.items():
                index.put(consent_id, code, contract_id=contract, rotation_id=rotation)

    def run(self, statement: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text(statement))

    def delete(self, consent_id: str) -> None:
        self.run(f"DELETE FROM {PEOPLE} WHERE consent_id = '{consent_id}'")  # noqa: S608

    def search(self, memory_mb: int = ROOMY) -> LookAlikeSearch:
        return LookAlikeSearch(memory_mb, self.database.transaction)

    def nearest(self, search: LookAlikeSearch, code: str, most: int = 5) -> list[str]:
        with self.database.transaction() as store:
            return search.nearest(store.look_alike_index, code, contract_id="c-1", rotation_id="r-1", most=most)

    def way(self, search: LookAlikeSearch) -> Way:
        with self.database.transaction() as store:
            return search.way(store.look_alike_index)


@pytest.fixture
def table(server: str) -> Iterator[Table]:
    with fresh_database(server) as url:
        upgrade(url)
        assert prepare(url, memory_mb=ROOMY) is None
        engine = new_engine(as_service(url))
        yield Table(Database(as_service(url), engine, url))
        engine.dispose()


@pytest.fixture
def search(table: Table) -> Iterator[LookAlikeSearch]:
    search = table.search()
    yield search
    search.close()


def soon(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + 10
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.service
def test_who_was_added_since_is_found_and_who_was_deleted_is_not(table: Table, search: LookAlikeSearch) -> None:
    face = a_code()
    table.put({"far": a_code(), "near": like(face, 600), "nearer": like(face, 400)})
    assert table.nearest(search, face) == ["nearer", "near"], "strangers are no candidates at all"
    assert search.held == 3
    table.put({"nearest": like(face, 100)})
    assert table.nearest(search, face) == ["nearest", "nearer", "near"]
    table.delete("nearer")
    assert table.nearest(search, face) == ["nearest", "near"], "at once, also before memory knows"
    table.put({"nearest": a_code()})
    assert table.nearest(search, face) == ["near"], "who has another code has no longer the old one"
    table.put({"near": like(face, 50)})
    assert table.nearest(search, face, most=1) == ["near"]


@pytest.mark.service
def test_who_was_written_early_and_committed_late_is_found(table: Table, search: LookAlikeSearch) -> None:
    face = a_code()
    with table.writing() as slow:
        slow.put("slow", like(face, 300), contract_id="c-1", rotation_id="r-1")
        table.put({"quick": like(face, 400)})
        assert table.nearest(search, face) == ["quick"]
        table.put({"second": like(face, 500)})
        assert table.nearest(search, face) == ["quick", "second"]
    assert table.nearest(search, face) == ["slow", "quick", "second"]


@pytest.mark.service
def test_codes_of_other_rotations_and_models_are_not_compared(table: Table, search: LookAlikeSearch) -> None:
    face = a_code()
    table.put({"turned": face}, rotation="r-2")
    table.put({"other model": face}, contract="c-2")
    table.put({"ours": like(face, 300)})
    for each in (search, table.search(0)):
        assert table.nearest(each, face) == ["ours"]
    assert table.way(search) is Way.MEMORY


@pytest.mark.service
def test_who_is_deleted_leaves_memory_though_nobody_is_looked_for(
    table: Table, search: LookAlikeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_alike_search, "LOOKED_AFTER_S", 0.05)
    face = a_code()
    table.put({"alice": face, "bob": a_code(), "carol": like(face, 200)})
    assert table.nearest(search, face) == ["alice", "carol"]
    table.delete("alice")
    assert soon(lambda: search.held == 2)
    # as if it had been missed: a mark that is ahead of all, as after a failover to a server that lags
    search._mark = str(2**40)
    table.put({"dora": like(face, 100)})
    assert soon(lambda: search.held == 3)
    assert table.nearest(search, face) == ["dora", "carol"]


@pytest.mark.service
def test_a_copy_that_cannot_be_held_against_the_table_is_dropped(
    table: Table, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(look_alike_search, "LOOKED_AFTER_S", 0.05)

    def broken() -> Iterator[None]:
        raise ConnectionError("no database")

    search = LookAlikeSearch(ROOMY, contextmanager(broken))  # type: ignore[arg-type]
    face = a_code()
    table.put({"alice": face})
    assert table.nearest(search, face) == ["alice"]
    assert soon(lambda: search.held == 0)
    assert "ConnectionError" in caplog.text
    assert table.nearest(search, face) == ["alice"], "read anew"
    search.close()


@pytest.mark.service
def test_nothing_is_held_after_an_hour_or_after_the_end(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_alike_search, "KEPT_S", 0.3)
    face = a_code()
    table.put({"alice": face})
    search = table.search()
    assert table.nearest(search, face) == ["alice"]
    assert soon(lambda: search.held == 0), "though nobody is looked for"
    assert table.nearest(search, face) == ["alice"]
    search.close()
    assert search.held == 0
    assert table.nearest(search, face) == ["alice"], "in the database"
    assert search.held == 0


@pytest.mark.service
@pytest.mark.parametrize(("graph", "way"), [(True, Way.GRAPH), (False, Way.TABLE)])
def test_more_people_than_fit_are_searched_in_the_database(
    table: Table, monkeypatch: pytest.MonkeyPatch, graph: bool, way: Way
) -> None:
    monkeypatch.setattr(look_alike_search, "fitting", lambda _: 3)
    search, face = table.search(), a_code()
    table.put({"near": like(face, 500), "nearer": like(face, 400), "far": a_code()})
    assert table.nearest(search, face) == ["nearer", "near"]
    assert (search.held, table.way(search)) == (3, Way.MEMORY)
    if graph:
        assert prepare(table.database.owner_url, memory_mb=0) is None
    table.put({"one too many": like(face, 300)})
    assert table.nearest(search, face, most=3) == ["one too many", "nearer", "near"]
    assert (search.held, table.way(search)) == (0, way)
    search.close()


# --- making it -------------------------------------------------------------------------------------------------------

_PREVIOUS = f"""
DROP TABLE {PEOPLE};
CREATE TABLE {PEOPLE} (
    consent_id text PRIMARY KEY REFERENCES public.look_alike_choices (consent_id) ON DELETE CASCADE,
    contract_id text NOT NULL,
    rotation_id text NOT NULL,
    code bit({CODE_BITS}) NOT NULL
) WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);
CREATE EXTENSION vector SCHEMA mien_look_alikes;
CREATE INDEX people_code ON {PEOPLE} USING hnsw (code mien_look_alikes.bit_hamming_ops) WITH (m = 24, ef_construction = 80);
GRANT SELECT, INSERT, UPDATE, DELETE ON {PEOPLE} TO mien_service
"""


@pytest.mark.service
def test_a_table_of_the_release_before_is_taken_over_and_that_release_still_writes_into_it(
    table: Table, search: LookAlikeSearch
) -> None:
    table.run(_PREVIOUS)
    with table.database.transaction() as store:
        assert store.look_alike_index.availability() is Availability.NOT_PREPARED
    face = a_code()
    insert = f"INSERT INTO {PEOPLE} (consent_id, contract_id, rotation_id, code) VALUES ('%s', 'c-1', 'r-1', B'%s')"  # noqa: S608
    table.run(insert % ("before", like(face, 300)))
    assert prepare(table.database.owner_url, memory_mb=ROOMY) is None
    assert table.nearest(search, face) == ["before"]
    with table.database.transaction() as store:
        assert store.look_alike_index.availability() is Availability.ON
        assert not store.look_alike_index.has_graph()
    table.run(insert % ("meanwhile", like(face, 200)))
    assert table.nearest(search, face) == ["meanwhile", "before"]


@pytest.mark.service
def test_there_is_a_graph_where_the_people_outgrow_memory_and_only_there(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_graph(room: int) -> bool:
        monkeypatch.setattr("api.look_alike_index.fitting", lambda _: room)
        assert prepare(table.database.owner_url, memory_mb=1) is None
        with table.database.transaction() as store:
            return store.look_alike_index.has_graph()

    table.put({f"person {number}": a_code() for number in range(8)})
    assert [has_graph(room) for room in (11, 10, 8, 0, 15, 16, 17)] == [False, True, True, True, True, True, False]
    assert GRAPH.endswith("people_code")
