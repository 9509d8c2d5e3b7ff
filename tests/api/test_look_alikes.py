"""People who want to know are told that somebody asked with a face like theirs; nobody else is told or looked for.

Templates have 512 numbers here, as the models' have: those of the colours, and zeros.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic import command
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from api.app import create_app, open_service
from api.audit_events import AuditAction
from api.auth import Role
from api.backup import back_up, restore
from api.database import Database, alembic_config, as_service, downgrade, new_engine, upgrade
from api.engines import FaceEngines
from api.ledger import catch_up
from api.look_alike_index import PEOPLE, NoGraph, prepare
from api.look_alike_lookups import look_up
from api.settings import Settings
from api.sweeping import sweep
from api.tables import LookAlikeChoiceRow, LookAlikeLookupRow
from api.written import verify_books
from consent.errors import LedgerBroken
from consent.look_alikes import LIMITS, Choice, read_choice
from consent.terms import Reader, current
from liveness.policy import Limit
from liveness.template import FaceTemplate, template
from tests.api import scripted
from tests.api.conftest import Clock, World, fresh_database, owner_of, png
from tests.api.receiver import receiver
from tests.api.scripted import ALICE, BOB
from tests.api.test_consents import revoke
from tests.api.test_liveness_sessions import code
from tests.api.test_subject import archive_of, listed

pytestmark = pytest.mark.service

WORDS = current("en", Reader.LOOK_ALIKES)
LIKE_ALICE = (190, 50, 50)
DAY = 86_400.0
ROOMY = 256


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Switched on, with a key file of its own where keys change; media older than a day are of no use here."""
    return replace(settings, look_alikes=True)


@pytest.fixture(autouse=True)
def _templates_as_models_make_them(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = scripted.colour_template

    def wide(colour: tuple[int, int, int]) -> FaceTemplate:
        short = narrow(colour)
        return template(np.concatenate([short.vector, np.zeros(508, np.float32)]), contract_id=short.contract_id)

    monkeypatch.setattr(scripted, "colour_template", wide)
    assert prepare(database.owner_url, memory_mb=ROOMY) is None


def wants(world: World, consent: dict[str, Any], words: str = WORDS.sha256) -> Any:
    return world.call("POST", "/v1/subject/look-alikes", consent["manage_token"], json={"terms_sha256": words})


def enrolled(world: World, colour: tuple[int, int, int] = ALICE, ref: str = "user-1") -> dict[str, Any]:
    """Somebody who consented and wants to be told."""
    consent = world.consent(world.shown_live(colour, ref))
    answer = wants(world, consent)
    assert answer.status_code == 201, answer.text
    return consent


def no_more(world: World, consent: dict[str, Any]) -> Any:
    return world.call("DELETE", "/v1/subject/look-alikes", consent["manage_token"])


def asked(world: World, colour: tuple[int, int, int] = LIKE_ALICE, tokens: list[str] | None = None) -> dict[str, Any]:
    """A backend asks with a face, and is refused."""
    answer = world.ask(tokens=tokens or [], media=[world.media(png(colour))["media_id"]])
    assert answer["decision"] is False
    return answer


def queued(world: World) -> list[str]:
    """Questions that wait to be looked up."""
    with world.service.database.engine.connect() as connection:
        waiting = "SELECT args->>'attempt_id' FROM procrastinate_jobs WHERE task_name = 'look_up' ORDER BY id"
        return list(connection.scalars(text(waiting)))


def looked_up(world: World) -> int:
    return sum(look_up(world.service, attempt_id, chance=lambda most: most - 1) for attempt_id in queued(world))


def told(world: World, consent: dict[str, Any]) -> list[dict[str, Any]]:
    return listed(world, consent, "look-alikes")


def codes(world: World) -> int:
    with world.service.database.engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {PEOPLE}")) or 0)  # noqa: S608


def test_who_wants_to_know_is_told_and_nobody_else(world: World) -> None:
    alice, bob = enrolled(world), enrolled(world, BOB, "user-2")
    silent = world.consent(world.shown_live(ALICE, "user-3"))  # the same face, and never asked to be told
    asked(world)
    assert looked_up(world) == 1
    world.clock.move(DAY - 60)
    sweep(world.service)
    assert told(world, alice) == [], "not before the moment that was drawn"
    world.clock.move(61)
    sweep(world.service)
    [alert] = told(world, alice)
    assert (alert["backend"], alert["purpose"], alert["asked_at"][14:19]) == ("studio", "digital_double", "00:00")
    assert alert["en"]
    assert alert["zh"]
    assert "att_" not in json.dumps(alert), "nothing says which question it was"
    assert told(world, bob) == told(world, silent) == []
    files = archive_of(world, alice)
    assert json.loads(files["look-alikes.json"])[0]["alert_id"] == alert["alert_id"]
    assert read_choice(files["look-alikes.jws"].decode(), world.service.keys.public).choice is Choice.GIVEN
    assert "look_alike:person:told" in {look["action"] for look in listed(world, alice, "admin-views")}


def test_the_asker_is_answered_the_same_whether_or_not_somebody_is_like_it(world: World) -> None:
    photo = world.media(png(LIKE_ALICE))["media_id"]

    def answer() -> tuple[Any, int]:
        world.clock.move(1)
        said = world.ask(tokens=[], media=[photo])
        assert said["context"].pop("attempt_id")
        return said, len(queued(world))

    before, waiting = answer()
    world.clock.move(1)
    enrolled(world)
    after, more = answer()
    assert before == after
    assert (waiting, more) == (1, 2), "what is put aside does not depend on who wants to be told"
    assert looked_up(world) == 1, "what was asked before she wanted to be told is not for her"


def test_a_permitted_face_and_one_shown_with_its_own_leave_are_not_looked_up(world: World) -> None:
    alice = enrolled(world)
    token, photo = world.token(alice), world.media(png(ALICE))["media_id"]
    assert world.ask(tokens=[token], media=[photo])["decision"] is True
    assert queued(world) == []
    asked(world, BOB, [token])
    assert looked_up(world) == 0
    revoke(world, alice)
    asked(world, ALICE, [token])
    assert looked_up(world) == 0, "her consent is over, and she sees that question among her own"


def test_the_faces_are_destroyed_when_they_were_looked_up_or_after_an_hour(world: World) -> None:
    enrolled(world)
    asked(world)
    [attempt_id] = queued(world)

    def opens() -> bool:
        with world.service.database.engine.connect() as connection:
            live = "SELECT count(*) FROM data_keys WHERE owner = :id AND wrapped IS NOT NULL"
            return bool(connection.scalar(text(live), {"id": attempt_id}))

    assert opens()
    world.clock.move(LIMITS.face_kept.value + 1)
    sweep(world.service)
    assert not opens()
    assert looked_up(world) == 0
    asked(world)
    attempt_id = queued(world)[-1]
    assert look_up(world.service, attempt_id) == 1
    assert not opens()
    assert look_up(world.service, attempt_id) == 0, "a job may come twice"


def test_taking_it_back_deletes_the_code_at_once_and_what_was_to_be_told(world: World) -> None:
    alice = enrolled(world)
    asked(world)
    assert looked_up(world) == 1
    assert codes(world) == 1
    answer = no_more(world, alice)
    assert answer.status_code == 200, answer.text
    assert read_choice(answer.json()["record"], world.service.keys.public).choice is Choice.WITHDRAWN
    assert codes(world) == 0
    asked(world)
    assert look_up(world.service, queued(world)[-1]) == 0
    world.clock.move(DAY + 1)
    sweep(world.service)
    assert told(world, alice) == []
    assert code(no_more(world, alice)) == "not_found"
    state = world.call("GET", "/v1/subject/look-alikes", alice["manage_token"]).json()
    assert (state["available"], state["agreed"]) == ("on", None)
    assert wants(world, alice).status_code == 201, "and asked for again"
    assert codes(world) == 1


@pytest.mark.parametrize("how", ["revoked", "expired", "erased"])
def test_the_code_goes_with_the_consent_and_with_the_person(world: World, how: str) -> None:
    alice, bob = enrolled(world), enrolled(world, BOB, "user-2")
    if how == "revoked":
        revoke(world, alice)
    elif how == "erased":
        deleted = world.call("DELETE", "/v1/subject", alice["manage_token"]).json()["deleted"]
        assert deleted["look_alike_choices"] == 0, "it went with the consent, which is withdrawn first"
    else:
        path = f"/v1/consents/{alice['consent_id']}/narrow"
        soon = world.clock().replace(hour=23).isoformat()
        world.call("POST", path, alice["manage_token"], json={"expires_at": soon})
        world.clock.move(DAY)
        sweep(world.service)
    with world.service.database.engine.connect() as connection:
        assert list(connection.scalars(text(f"SELECT consent_id FROM {PEOPLE}"))) == [bob["consent_id"]]  # noqa: S608


def test_what_an_older_release_ended_is_forgotten_by_the_sweep(world: World) -> None:
    alice = enrolled(world)
    with owner_of(world.service.database).begin() as connection:
        ended = "UPDATE consents SET revoked_at = now() WHERE consent_id = :id"
        connection.execute(text(ended), {"id": alice["consent_id"]})
    sweep(world.service)
    assert codes(world) == 0


def test_a_person_who_had_everything_deleted_is_told_nothing_and_nothing_is_left(world: World) -> None:
    alice = enrolled(world)
    asked(world)
    looked_up(world)
    world.clock.move(DAY + 1)
    sweep(world.service)
    assert len(told(world, alice)) == 1
    deleted = world.call("DELETE", "/v1/subject", alice["manage_token"]).json()["deleted"]
    assert deleted["look_alike_alerts"] == 1
    with world.service.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM look_alike_alerts")) == 0


def test_words_for_one_thing_are_no_yes_to_the_other(world: World) -> None:
    alice = world.consent()
    assert code(wants(world, alice, current("en").sha256)) == "terms_unsuited"
    assert code(wants(world, alice, "0" * 64)) == "terms_unknown"
    session = world.shown_live(BOB, "user-2")
    body = {"session_id": session["session_id"], "terms_sha256": WORDS.sha256, "purposes": ["cameo"], "audience": ["*"]}
    assert code(world.call("POST", "/v1/consents", session["client_token"], json=body)) == "terms_unsuited"
    assert codes(world) == 0
    assert (
        code(world.call("POST", "/v1/subject/look-alikes", "app", json={"terms_sha256": WORDS.sha256})) == "forbidden"
    )


def test_yes_and_no_are_in_the_log_and_cannot_be_changed_unnoticed(world: World) -> None:
    alice = enrolled(world)
    assert wants(world, alice).json()["entry"] == wants(world, alice).json()["entry"], "twice changes nothing"
    no_more(world, alice)
    catch_up(world.service)
    with world.service.database.transaction() as store:
        assert verify_books(store, world.service.keys.public).written.checked == 3  # the consent, yes, no
    with owner_of(world.service.database).begin() as connection:
        connection.execute(text("UPDATE statements SET kind = 'look_alikes.given' WHERE number = 1"))
    with world.service.database.transaction() as store, pytest.raises(LedgerBroken):
        verify_books(store, world.service.keys.public)


def test_nobody_is_told_more_than_three_times_a_day_and_no_asker_looked_up_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(LIMITS, questions_a_day=Limit(5, "", ""))
    monkeypatch.setattr("api.look_alike_lookups.LIMITS", few)
    alice = enrolled(world)
    for _ in range(7):
        asked(world)
    assert len(queued(world)) == 5
    assert looked_up(world) == LIMITS.told_a_day.value == 3
    world.clock.move(DAY + 1)
    sweep(world.service)
    assert len(told(world, alice)) == 3
    asked(world)
    assert len(queued(world)) == 6, "another day"


def test_the_app_hears_that_there_is_something_and_not_when_it_asked_itself(world: World) -> None:
    with receiver() as hook:
        body = {"url": hook.url, "events": ["look_alike.noticed"]}
        world = World(world.client, replace(world.service, settings=world.service.settings), world.clock, world.keys)
        world.client.app.state.service = replace(  # type: ignore[union-attr]
            world.service, settings=replace(world.service.settings, webhook_loopback=True)
        )
        assert world.call("PUT", "/v1/backends/self/webhook", "app", json=body).status_code in (200, 201)
        alice = enrolled(world)
        asked(world)
        order = {"kind": "portrait", "backend": "portrait", "purpose": "digital_double", "tokens": [], "script": "Hello.",
                 "media": [world.media(png(LIKE_ALICE), who="app")["media_id"]]}  # fmt: skip
        assert world.call("POST", "/v1/clips", "app", json=order).status_code == 403
        assert len(queued(world)) == 2
        assert looked_up(world) == 2
        world.clock.move(DAY + 1)
        sweep(world.service)
        assert len(told(world, alice)) == 2
        with world.service.database.engine.connect() as connection:
            sent = [json.loads(body) for body in connection.scalars(text("SELECT body FROM webhook_deliveries"))]
        assert [message["type"] for message in sent] == ["look_alike.noticed"]
        assert set(sent[0]["data"]) == {"consent_id", "subject_id", "at"}


def test_auditors_see_that_it_was_looked_up_and_told_and_not_who_was_like_which_face(world: World) -> None:
    alice = enrolled(world)
    asked(world)
    looked_up(world)
    world.clock.move(DAY + 1)
    sweep(world.service)

    def events(action: AuditAction) -> list[dict[str, Any]]:
        found = world.call("GET", f"/v1/audit/search?kind=event&action={action.value}", "auditor").json()["results"]
        return list(found)

    [looked], [said] = events(AuditAction.LOOKED_UP), events(AuditAction.LOOK_ALIKE_TOLD)
    assert looked["subject_id"] is None
    assert alice["consent_id"] not in json.dumps(looked)
    assert said["object_id"] is None
    assert said["backend"] is None
    metrics = world.call("GET", "/metrics").text
    assert 'mien_look_alikes{what="people"} 1' in metrics
    assert 'mien_look_alikes{what="alerts_told"} 1' in metrics


def test_another_rotation_makes_all_codes_anew_and_compares_none_with_the_old(world: World, service: Any) -> None:
    enrolled(world)
    asked(world)
    turned = replace(service, settings=replace(service.settings, look_alikes_rotation=2))
    assert look_up(turned, queued(world)[0]) == 0, "put aside under the old rotation"
    sweep(turned)
    with world.service.database.engine.connect() as connection:
        assert connection.scalar(text(f"SELECT count(DISTINCT rotation_id) FROM {PEOPLE}")) == 1  # noqa: S608
    asked(World(world.client, turned, world.clock, world.keys))
    assert look_up(service, queued(world)[-1]) == 0
    world.client.app.state.service = turned  # type: ignore[union-attr]
    asked(world)
    assert look_up(turned, queued(world)[-1]) == 1


# --- backups ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def restored(world: World, server: str, faces: FaceEngines, clock: Clock, tmp_path: Path) -> Callable[[], Any]:
    from contextlib import contextmanager

    @contextmanager
    def again() -> Iterator[World]:
        with fresh_database(server) as url:
            settings = replace(world.service.settings, database_url=url)
            restore(settings, tmp_path / "backup", now=clock)
            engine = new_engine(as_service(url))
            database = Database(as_service(url), engine, url)
            with (
                open_service(settings, faces=faces, now=clock, database=database) as service,
                TestClient(create_app(service)) as client,
            ):
                yield World(client, service, clock, world.keys)
            engine.dispose()

    return again


def test_a_restored_backup_brings_back_no_code_of_who_took_it_back(
    world: World, tmp_path: Path, restored: Callable[[], Any]
) -> None:
    alice, bob, carol = enrolled(world), enrolled(world, BOB, "user-2"), enrolled(world, (40, 200, 40), "user-3")
    back_up(world.service.settings, tmp_path / "backup")
    copied = b"".join(path.read_bytes() for path in (tmp_path / "backup").rglob("*") if path.is_file())
    with world.service.database.engine.connect() as connection:
        for stored in connection.scalars(text(f"SELECT code::text FROM {PEOPLE}")):  # noqa: S608
            assert stored.encode() not in copied
    no_more(world, alice)
    revoke(world, carol)
    with restored() as again:
        sweep(again.service)
        with again.service.database.transaction() as store:
            assert [row.consent_id for row in store.look_alike_choices()] == [bob["consent_id"]]
        assert codes(again) == 1, "made again of the sealed templates"
        asked(again, BOB)
        assert look_up(again.service, queued(again)[-1]) == 1
        asked(again, ALICE)
        assert look_up(again.service, queued(again)[-1]) == 0


# --- where it does not work ------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(
    server: str, settings: Settings, faces: FaceEngines, clock: Clock
) -> Iterator[Callable[[Settings], World]]:
    """The same service on a database that was only migrated."""
    with fresh_database(server) as url:
        upgrade(url)
        engine = new_engine(as_service(url))
        database = Database(as_service(url), engine, url)

        def opened(settings: Settings) -> World:
            with open_service(settings, faces=faces, now=clock, database=database) as service:
                client = TestClient(create_app(service))
                world = World(client, service, clock)
                names = {"app": "app-one", "backend": "studio"}
                world.keys = {role: world.key(Role(role), name) for role, name in names.items()}
                return world

        yield opened
        engine.dispose()


@pytest.mark.parametrize(("switched_on", "reason"), [(True, "not_prepared"), (False, "off")])
def test_where_it_does_not_work_it_says_so_and_nothing_else_breaks(
    elsewhere: Callable[[Settings], World], settings: Settings, switched_on: bool, reason: str
) -> None:
    world = elsewhere(replace(settings, look_alikes=switched_on))
    assert world.call("GET", "/readyz").json()["look_alikes"] == reason
    alice = world.consent()
    refused = wants(world, alice)
    assert (refused.status_code, code(refused), refused.json()["reason"]) == (503, "look_alikes_unavailable", reason)
    asked(world)
    assert len(queued(world)) == (1 if switched_on else 0)
    assert looked_up(world) == 0
    sweep(world.service)
    assert told(world, alice) == []
    assert world.call("DELETE", "/v1/subject", alice["manage_token"]).status_code == 200


def test_an_owner_who_may_not_install_the_extension_gets_a_table_and_is_told_that_it_has_no_graph(server: str) -> None:
    with fresh_database(server) as url:
        upgrade(url)
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("CREATE ROLE plain_owner LOGIN"))
            connection.execute(text(f'GRANT CREATE ON DATABASE "{make_url(url).database}" TO plain_owner'))
            connection.execute(text("GRANT REFERENCES ON look_alike_choices TO plain_owner"))
            try:
                plain = make_url(url).set(username="plain_owner").render_as_string(hide_password=False)
                assert prepare(plain, memory_mb=ROOMY) is None
                assert prepare(plain, memory_mb=0) is NoGraph.NOT_ALLOWED
                connection.execute(text("CREATE EXTENSION vector"))  # its administrator does, wherever that is
                assert prepare(plain, memory_mb=0) is None
                assert prepare(plain, memory_mb=0) is None
            finally:
                connection.execute(text("DROP OWNED BY plain_owner CASCADE"))
                connection.execute(text("DROP ROLE plain_owner"))
        engine.dispose()


@pytest.mark.parametrize(("memory_mb", "place"), [(ROOMY, "memory"), (0, "table")])
def test_alerts_work_on_a_server_without_pgvector(
    server: str, settings: Settings, faces: FaceEngines, clock: Clock, monkeypatch: pytest.MonkeyPatch, memory_mb: int,
    place: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("api.look_alike_index._OFFERED", "SELECT 0")
    with fresh_database(server) as url:
        upgrade(url)
        assert prepare(url, memory_mb=memory_mb) is (None if memory_mb else NoGraph.NO_EXTENSION)
        engine = new_engine(as_service(url))
        database, searched = Database(as_service(url), engine, url), replace(settings, look_alikes_memory_mb=memory_mb)
        with (
            open_service(searched, faces=faces, now=clock, database=database) as service,
            TestClient(create_app(service)) as client,
        ):
            world = World(client, service, clock)
            names = {"app": "app-one", "backend": "studio", "admin": "operator"}
            world.keys = {role: world.key(Role(role), name) for role, name in names.items()}
            assert client.get("/readyz").json()["look_alikes"] == "on"
            alice, bob = enrolled(world), enrolled(world, BOB, "user-2")
            asked(world)
            assert looked_up(world) == 1
            world.clock.move(DAY + 1)
            sweep(service)
            assert [len(told(world, each)) for each in (alice, bob)] == [1, 0]
            assert f'mien_look_alikes_searched_in{{place="{place}"}} 1' in world.call("GET", "/metrics").text
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM pg_extension WHERE extname = 'vector'")) == 0
        engine.dispose()


def test_migrations_go_down_and_up_around_it(server: str) -> None:
    with fresh_database(server) as url:
        upgrade(url)
        assert prepare(url, memory_mb=0) is None
        command.check(alembic_config(url))
        downgrade(url, target="-1")
        upgrade(url)
        command.check(alembic_config(url))
        assert prepare(url, memory_mb=0) is None


def test_templates_of_another_length_are_not_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    short = template(np.array([1.0, 2.0, 3.0], np.float32), contract_id="small-1")
    monkeypatch.setattr(scripted, "colour_template", lambda _: short)
    alice = world.consent()
    refused = wants(world, alice)
    assert (refused.status_code, refused.json()["reason"]) == (503, "other_dimension")
    with world.service.database.transaction() as store:
        assert store.get(LookAlikeChoiceRow, alice["consent_id"]) is None
    asked(world)
    with world.service.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM look_alike_lookups")) == 0


def test_faces_of_another_model_are_like_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    enrolled(world)
    wide = scripted.colour_template
    monkeypatch.setattr(
        scripted, "colour_template", lambda colour: replace(wide(colour), contract_id="another-model-1")
    )
    asked(world, ALICE)
    with world.service.database.transaction() as store:
        assert store.get(LookAlikeLookupRow, queued(world)[0]) is not None
    assert looked_up(world) == 0
