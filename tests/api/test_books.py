"""The gate's books: every question ends as exactly one of permit, refusal or error, and no permit stands without a right."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import api.books
import api.gate
from api.balance import ANSWERED_WITHIN, check_permits, close_abandoned, watch
from api.books import attempt_of, settle_all
from api.gate import Question, ask
from api.line import Wanted
from api.steps import finish
from api.storage import Store
from api.sweeping import sweep
from api.tables import AttemptRow, OutcomeRow
from consent.attempts import Attempt
from consent.terms import Purpose
from tests.api.conftest import World, owner_of, png
from tests.api.scripted import ALICE
from tests.api.test_consents import revoke
from tests.api.test_gate import books, codes, permitted

pytestmark = pytest.mark.service

ROOT = Path(__file__).resolve().parents[2]


def balance(world: World, **more: Any) -> dict[str, Any]:
    answer = world.call("GET", "/v1/audit/balance", "auditor", params=more)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def figures(found: dict[str, Any]) -> tuple[int, ...]:
    return tuple(found[name] for name in ("attempts", "permits", "refusals", "errors", "waiting", "overdue"))


def sql(world: World, statement: str, **values: Any) -> Any:
    with world.service.database.engine.begin() as connection:
        return connection.execute(text(statement), values)


def plant(world: World, statement: str, **values: Any) -> None:
    """As somebody who rules the database: triggers and foreign keys do not hold them."""
    with owner_of(world.service.database).begin() as connection:
        connection.execute(text(statement), values)


def test_attempts_are_permits_and_refusals_and_errors(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert figures(balance(world)) == (0, 0, 0, 0, 0, 0)
    permitted(world)
    world.ask(tokens=[])

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(api.gate, "decide", broken)
        assert codes(world.ask(tokens=[])) == ["gate_error"]
    found = balance(world, recount=True)
    assert figures(found) == (3, 1, 1, 1, 0, 0)
    assert found["holds"] is True
    assert found["refused_because"] == {"no_face": 1}
    assert found["recount"] == {"attempts": 3, "permits": 1, "refusals": 1, "errors": 1}
    shown = world.call("GET", "/metrics").text
    for line in (
        "mien_gate_attempts_total 3",
        "mien_gate_permits_total 1",
        'mien_gate_refusals_total{reason=""} 1',
        'mien_gate_refusals_total{reason="no_face"} 1',
        "mien_gate_errors_total 1",
        "mien_gate_fail_open_total 0",
        "mien_gate_books_hold 1",
    ):
        assert line in shown.splitlines()


def test_an_attempt_that_nobody_answered_is_closed_as_an_error_and_only_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(api.gate, "_writing", broken)
        world.ask(tokens=[])
    assert figures(balance(world)) == (1, 0, 0, 0, 1, 0)
    assert balance(world)["holds"] is True, "it may still be answered"
    world.clock.move(ANSWERED_WITHIN.total_seconds())
    assert close_abandoned(world.service) == 0, "not yet: the bound is not over"
    world.clock.move(0.001)
    assert figures(balance(world)) == (1, 0, 0, 0, 1, 1)
    assert balance(world)["holds"] is False
    sweep(world.service)
    assert figures(balance(world)) == (1, 0, 0, 1, 0, 0)
    assert balance(world)["holds"] is True
    assert close_abandoned(world.service) == 0
    shown = world.call("GET", "/v1/audit/search?kind=attempt&state=error", "auditor").json()["results"]
    assert [one["reasons"] for one in shown] == [[{"code": "gate_error"}]]
    closed = world.call("GET", "/v1/audit/search?action=gate:attempt:closed", "auditor").json()["results"]
    assert [one["object_id"] for one in closed] == [shown[0]["attempt_id"]]


def test_what_an_older_release_left_open_is_found_too(world: World) -> None:
    """It writes no entry in the log; counts are made by the database."""
    row = "INSERT INTO attempts VALUES (:id, :at, 'apk_1', 'studio', 'evaluation', 'cameo', :job, CAST(:claimed AS jsonb))"
    claimed = '{"consents": [], "tokens": 0, "media": [], "embeddings": 0}'
    values = {"id": "att_" + "0" * 32, "job": "ab" * 32, "claimed": claimed}
    sql(world, row, at=world.clock() - timedelta(days=3), **values)
    assert figures(balance(world)) == (1, 0, 0, 0, 1, 1)
    assert close_abandoned(world.service) == 1
    assert figures(balance(world)) == (1, 0, 0, 1, 0, 0)


def test_an_answer_after_the_attempt_was_closed_does_not_count(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate that hangs for a minute and then says yes says it to nobody."""
    token, photo = world.token(world.consent()), world.media(png(ALICE))
    right = api.gate.decide

    def slow(*given: Any, **more: Any) -> Any:
        outcome = right(*given, **more)
        world.clock.move(61)
        assert close_abandoned(world.service) == 1
        return outcome

    with monkeypatch.context() as patched:
        patched.setattr(api.gate, "decide", slow)
        assert codes(world.ask(tokens=[token], media=[photo["media_id"]])) == ["gate_error"]
    assert figures(balance(world, recount=True)) == (1, 0, 0, 1, 0, 0)
    assert sql(world, "SELECT count(*) FROM permits").scalar() == 0


CRASH = """
import sys
from pathlib import Path
import api.gate
from api.app import open_service
from api.database import Database, new_engine
from api.engines import Bounded, FaceEngines
from api.gate import Question, ask
from api.settings import Settings
from consent.terms import Purpose
from liveness.digits import Language
from tests.api.conftest import ColourFinder
from tests.api.scripted import ColourEmbedder

url, var, keys = sys.argv[1:]
faces = FaceEngines(
    finder=ColourFinder(), embedder=ColourEmbedder(), languages=frozenset({Language.ENGLISH}), bound=Bounded(1)
)

def hang(*_, **__):
    print("deciding", flush=True)
    sys.stdin.read()

api.gate.decide = hang
settings = Settings(database_url=url, var=Path(var), keys=Path(keys))
with open_service(settings, faces=faces, database=Database(url, new_engine(url), url)) as service:
    ask(service, Question(
        caller="apk_1", backend="studio", stage="evaluation", purpose=Purpose.CAMEO, job_sha256="ab" * 32,
        seconds=1, script="", tokens=(), media_owner="apk_1",
    ))
"""


def test_a_process_that_is_killed_while_deciding_leaves_an_error_and_no_permit(world: World) -> None:
    settings = world.service.settings
    run = [sys.executable, "-c", CRASH, world.service.database.url, str(settings.var), str(settings.keys)]
    with subprocess.Popen(run, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        assert asking.stdout.readline() == "deciding\n"
        os.kill(asking.pid, signal.SIGKILL)
        asking.wait(20)
    assert books(world) == (1, 0)
    # the killed process lived by the wall clock; ours stands in another year
    ends = time.monotonic() + 20
    while sql(world, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted").scalar():
        assert time.monotonic() < ends, "its transaction is rolled back"
        time.sleep(0.05)
    assert close_abandoned(world.service) == 1
    assert figures(balance(world, recount=True)) == (1, 0, 0, 1, 0, 0)
    assert balance(world)["holds"] is True


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO outcomes (attempt_id, at, decision, reasons) "
        'SELECT attempt_id, at, false, \'[{"code": "no_token"}]\' FROM attempts',
        "INSERT INTO outcomes (attempt_id, at, decision, reasons, permit_id) "
        "SELECT 'att_none', at, true, '[]', 'prm_1' FROM attempts",
        "INSERT INTO permits (permit_id, attempt_id, backend, purpose, job_sha256, issued_at, expires_at) "
        "SELECT 'prm_1', attempt_id, backend, purpose, job_sha256, at, at FROM attempts",
    ],
    ids=["a second answer", "an answer without a question", "a permit without its answer"],
)
def test_the_database_itself_takes_no_other_books(world: World, statement: str) -> None:
    world.ask(tokens=[])
    with pytest.raises(DBAPIError):
        sql(world, statement)
    assert figures(balance(world, recount=True)) == (1, 0, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("table", "written"), [("purges", True), ("consents", True), ("attempt_entries", False)], ids=lambda each: str(each)
)
def test_what_cannot_be_read_is_a_no_in_the_books_and_what_cannot_be_written_was_not_asked(
    world: World, table: str, written: bool
) -> None:
    world.ask(tokens=[])  # its connection has prepared everything
    plant(world, f"ALTER TABLE {table} RENAME TO away")
    try:
        answer = world.call("POST", "/access/v1/evaluation", "backend", json=world.evaluation(tokens=[]))
    finally:
        plant(world, f"ALTER TABLE away RENAME TO {table}")
    if written:
        assert codes(answer.json()) == ["gate_error"]
    else:
        assert answer.status_code == 500
        assert answer.json()["code"] == "internal_error"
    in_the_books = (2, 0, 1, 1, 0, 0) if written else (1, 0, 1, 0, 0, 0)
    assert figures(balance(world, recount=True)) == in_the_books
    assert codes(world.ask(tokens=[])) == ["no_face"]


@pytest.mark.parametrize(
    "text", ["'", "\\", "\\'; DROP TABLE attempts; --", "$1", "%s %(a)s", "{}", "\u2028'\U0001f600", "E'\\x41'"]
)
def test_what_a_backend_states_is_in_the_books_as_it_was_stated(world: World, text: str) -> None:
    claimed = {"consents": [], "tokens": 0, "stated": text, text: [text]}
    asked = Attempt(
        attempt_id=f"att_{text}", at=world.clock(), caller=text, backend="studio", stage=text, purpose=text,
        job_sha256=text, claimed=claimed,
    )  # fmt: skip
    wanted = Wanted(consent_ids=[text], backend=text, asker=text, day=asked.at.date(), now=asked.at)
    with world.service.database.line() as line:
        assert finish(line.ask(asked, salt=b"\x00'\\", wanted=wanted))
        assert line.hold().consents == {}
        finish(line.refuse(asked.attempt_id, [{"code": text}], at=asked.at))
    with world.service.database.transaction() as store:
        row, outcome = store.get(AttemptRow, f"att_{text}"), store.get(OutcomeRow, f"att_{text}")
        assert row is not None
        assert outcome is not None
        assert attempt_of(row) == asked
        assert outcome.reasons == [{"code": text}]
        assert bytes(sql(world, "SELECT salt FROM attempt_entries").scalar_one()) == b"\x00'\\"


def test_text_that_the_database_cannot_hold_is_not_cut_short(world: World) -> None:
    asked = Attempt(
        attempt_id="att_1", at=world.clock(), caller="a\0b", backend="studio", stage="evaluation", purpose="cameo",
        job_sha256="ab", claimed={},
    )  # fmt: skip
    wanted = Wanted(consent_ids=[], backend="studio", asker="backend:studio", day=asked.at.date(), now=asked.at)
    for each in (asked, replace(asked, caller="\ud800")):
        with world.service.database.line() as line, pytest.raises(psycopg.DataError):
            finish(line.ask(each, salt=b"", wanted=wanted))
    assert books(world) == (0, 0)


@pytest.mark.parametrize(
    ("decision", "reasons", "permit"),
    [("true", "[]", "NULL"), ("false", '[{"code": "no_token"}]', "'prm_1'"), ("false", "[]", "NULL")],
)
def test_an_answer_is_either_a_permit_or_has_reasons(world: World, decision: str, reasons: str, permit: str) -> None:
    row = "INSERT INTO attempts VALUES ('att_1', now(), 'apk_1', 'studio', 'evaluation', 'cameo', 'ab', '{\"consents\": []}')"
    sql(world, row)
    with pytest.raises(DBAPIError, match="ck_outcomes"):
        sql(
            world,
            "INSERT INTO outcomes (attempt_id, at, decision, reasons, permit_id) "  # noqa: S608 - our own words
            f"VALUES ('att_1', now(), {decision}, '{reasons}', {permit})",
        )


def fail_open(world: World) -> list[dict[str, Any]]:
    found = world.call("GET", "/v1/audit/search?action=gate:permit:fail_open", "auditor").json()["results"]
    return [{"permit": one["object_id"], "faults": one["more"]["faults"]} for one in found]


def test_permits_that_were_rightly_given_are_looked_at_once_and_found_right(world: World) -> None:
    consent, _ = permitted(world)
    assert balance(world)["unchecked"] == 1
    revoke(world, consent)  # afterwards: the permit was right when it was given
    assert watch(world.service) == 0
    assert balance(world)["unchecked"] == 0
    assert fail_open(world) == []


def test_a_permit_that_was_slipped_in_is_found(world: World) -> None:
    permitted(world)
    plant(
        world,
        "INSERT INTO permits (permit_id, attempt_id, backend, purpose, job_sha256, issued_at, expires_at) "
        "VALUES ('prm_planted', 'att_none', 'studio', 'cameo', 'ab', '2020-01-01', '2020-01-02')",
    )
    assert check_permits(world.service) == 1
    assert fail_open(world) == [{"permit": "prm_planted", "faults": ["no_outcome"]}]
    found = balance(world)
    assert (found["fail_open"], found["holds"]) == (1, False)
    assert "mien_gate_fail_open_total 1" in world.call("GET", "/metrics").text.splitlines()
    assert check_permits(world.service) == 0, "each is counted once"


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ("UPDATE permit_consents SET consent_id = 'cns_none'", ["no_consent"]),
        ("DELETE FROM permit_consents", ["no_consent"]),
        ("UPDATE permits SET purpose = 'advertising'", ["out_of_scope"]),
        ("UPDATE permits SET backend = 'elsewhere'", ["out_of_scope"]),
        ("UPDATE attempts SET at = at + interval '40 days'", ["not_in_force"]),
        (
            'UPDATE outcomes SET decision = false, permit_id = NULL, reasons = \'[{"code": "no_token"}]\'',
            ["other_outcome"],
        ),
    ],
)
def test_a_permit_that_the_records_do_not_bear_out_is_found(world: World, change: str, faults: list[str]) -> None:
    permitted(world)
    plant(world, change)
    assert check_permits(world.service) == 1
    assert fail_open(world)[0]["faults"] == faults


def test_a_permit_after_the_withdrawal_is_found_even_if_clocks_were_apart(world: World) -> None:
    """The order of the log counts: a gate that did not see a withdrawal that came through before it failed open."""
    consent, _ = permitted(world)
    revoke(world, consent)
    plant(world, "UPDATE consent_events SET ledger_index = ledger_index - 100 WHERE number = 1")
    assert check_permits(world.service) == 1
    assert fail_open(world)[0]["faults"] == ["not_in_force"]


def test_questions_and_answers_are_in_the_log_without_a_word_about_anyone(world: World) -> None:
    consent, _ = permitted(world)
    world.ask(tokens=[])
    settle_all(world.service)
    entries = world.call("GET", "/v1/log/entries").json()["entries"]
    asked = ["gate.attempt", "gate.outcome"]
    assert [entry["kind"] for entry in entries] == ["consent.granted", *asked, *asked]
    assert consent["consent_id"] not in str(entries)
    assert world.call("GET", "/v1/audit/log", "auditor").json()["valid"] is True


def test_a_withdrawal_does_not_wait_for_what_is_asked_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It puts into the log what was answered before it; were it to take what comes in as well, it would never end."""
    consent, _ = permitted(world)
    right, rounds = api.books.settle, list[int]()

    def settle_while_somebody_asks(store: Store, *, now: datetime, **more: Any) -> int:
        rounds.append(right(store, now=now, **more))
        if len(rounds) < 30:
            nobody = Question(
                caller="apk", backend="studio", stage="evaluation", purpose=Purpose.CAMEO, job_sha256="ab" * 32,
                seconds=5, script=None, tokens=(), media_owner="apk",
            )  # fmt: skip
            ask(world.service, nobody)
        return rounds[-1]

    monkeypatch.setattr(api.books, "settle", settle_while_somebody_asks)
    assert revoke(world, consent).status_code == 200
    assert len(rounds) < 30
    monkeypatch.undo()
    assert world.call("GET", "/v1/audit/log", "auditor").json()["valid"] is True


def test_a_token_that_is_not_valid_still_tells_its_person_that_somebody_tried(world: World) -> None:
    consent = world.consent()
    stolen = world.token(consent, audience="portrait")
    assert codes(world.ask(tokens=[stolen])) == ["wrong_audience", "no_face"]
    forged = stolen[:-4] + ("AAAA" if not stolen.endswith("AAAA") else "BBBB")
    world.ask(tokens=[forged])
    shown = world.call("GET", "/v1/subject/attempts", consent["manage_token"]).json()["results"]
    assert [[reason["code"] for reason in one["reasons"]] for one in shown] == [["wrong_audience", "no_face"]]
    assert "another generator" in shown[0]["reasons"][0]["en"]
