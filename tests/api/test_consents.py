"""Consent over HTTP: given once by who was shown live, only ever less, and over at once when revoked."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from api.auth import Role
from api.media import Erased
from api.tables import APPEND_ONLY, Base, ConsentRow
from consent.keys import KeySet
from consent.ledger import verify_receipt
from consent.record import read_record
from consent.terms import current
from tests.api.conftest import World, png
from tests.api.scripted import ALICE, BOB
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service


def revoke(world: World, consent: dict[str, Any]) -> Any:
    return world.call("POST", f"/v1/consents/{consent['consent_id']}/revoke", consent["manage_token"])


def body(world: World, session: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "session_id": session["session_id"],
        "terms_sha256": current("en").sha256,
        "purposes": ["digital_double"],
        "audience": ["studio"],
        "limits": {"max_seconds": 30},
        "expires_at": (world.clock() + timedelta(days=30)).isoformat(),
    } | more


def test_the_road_from_a_live_check_to_a_permit_and_back(world: World) -> None:
    consent = world.consent()
    photo = world.media(png(ALICE))
    token = world.token(consent)

    answer = world.ask(tokens=[token], media=[photo["media_id"]])
    assert answer["decision"] is True, answer
    assert answer["context"]["obligations"]["max_seconds"] == 30

    assert revoke(world, consent).json()["state"] == "withdrawn"
    refused = world.ask(tokens=[token], media=[photo["media_id"]])
    assert refused["decision"] is False
    assert [reason["code"] for reason in refused["context"]["reasons"]] == ["revoked", "no_token"]


def test_the_person_gets_a_record_and_a_receipt_that_hold_without_us(world: World) -> None:
    consent = world.consent()
    keys = KeySet.from_jwks(world.call("GET", "/.well-known/jwks.json").json())
    record = read_record(consent["record"], keys)
    assert record.consent_id == consent["consent_id"]
    assert record.audience == ("portrait", "studio")
    proven = verify_receipt(json.dumps(consent["receipt"]), keys)
    assert (proven.entry.index, proven.event.kind) == (0, "consent.granted")
    assert "user-1" not in consent["record"]


def test_nobody_consents_who_was_not_shown_live(world: World) -> None:
    session = world.session()
    refused = world.call("POST", "/v1/consents", session["client_token"], json=body(world, session))
    assert (refused.status_code, code(refused)) == (409, "not_live")
    challenge = world.challenge(session)
    world.capture(session, b"fail no_face")
    world.judge(challenge)
    refused = world.call("POST", "/v1/consents", session["client_token"], json=body(world, session))
    assert code(refused) == "not_live"


def test_one_live_check_gives_one_consent(world: World) -> None:
    session = world.shown_live()
    world.consent(session)
    again = world.call("POST", "/v1/consents", session["client_token"], json=body(world, session))
    assert (again.status_code, code(again)) == (409, "consent_exists")


def test_only_the_person_consents_and_only_for_themselves(world: World) -> None:
    alice, bob = world.shown_live(), world.shown_live(BOB, "user-2")
    assert code(world.call("POST", "/v1/consents", "app", json=body(world, alice))) == "forbidden"
    assert code(world.call("POST", "/v1/consents", bob["client_token"], json=body(world, alice))) == "not_found"


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"terms_sha256": "00" * 32}, "terms_unknown"),
        ({"purposes": []}, "request_invalid"),
        ({"purposes": ["anything"]}, "request_invalid"),
        ({"audience": ["*", "studio"]}, "audience_invalid"),
        ({"limits": {"max_seconds": 0}}, "request_invalid"),
        ({"expires_at": "2027-01-01T00:00:00Z"}, "expiry_out_of_range"),
        ({"expires_at": "2047-01-01T00:00:00Z"}, "expiry_out_of_range"),
        ({"expires_at": "2027-06-01T00:00:00"}, "request_invalid"),
        ({"is_admin": True}, "request_invalid"),
    ],
)
def test_a_consent_that_says_something_else_is_not_made(world: World, change: dict[str, Any], wanted: str) -> None:
    session = world.shown_live()
    refused = world.call("POST", "/v1/consents", session["client_token"], json=body(world, session, **change))
    assert (refused.status_code, code(refused)) == (422, wanted)
    world.consent(session)  # nothing was spent by the attempt


def test_a_live_check_grows_old(world: World) -> None:
    session = world.shown_live()
    world.clock.move(15 * 60)
    assert (
        code(world.call("POST", "/v1/consents", session["client_token"], json=body(world, session)))
        == "unauthenticated"
    )


def test_narrowing_takes_away_and_never_adds(world: World) -> None:
    consent = world.consent()
    path = f"/v1/consents/{consent['consent_id']}"
    less = world.call("POST", f"{path}/narrow", consent["manage_token"], json={"audience": ["portrait"]})
    assert (less.status_code, less.json()["audience"]) == (200, ["portrait"])
    more = world.call("POST", f"{path}/narrow", consent["manage_token"], json={"audience": ["portrait", "studio"]})
    assert (more.status_code, code(more)) == (422, "not_narrower")
    refused = world.call(
        "POST", f"{path}/tokens", "app", json={"audience": "studio", "purpose": "digital_double", "ttl_s": 60}
    )
    assert (refused.status_code, code(refused)) == (409, "scope_audience")


def test_a_token_from_before_a_narrowing_is_worth_what_is_left(world: World) -> None:
    consent = world.consent()
    photo, token = world.media(png(ALICE)), world.token(consent)
    path = f"/v1/consents/{consent['consent_id']}/narrow"
    world.call("POST", path, consent["manage_token"], json={"audience": ["portrait"]})
    refused = world.ask(tokens=[token], media=[photo["media_id"]])
    assert refused["context"]["reasons"][0]["code"] == "scope_audience"


def test_revoking_destroys_templates_and_portrait_at_once(world: World) -> None:
    consent = world.consent()
    with world.service.database.transaction() as store:
        row = store.get(ConsentRow, consent["consent_id"])
        assert row is not None
        assert world.service.vault.get(store, row.templates_id, owner=row.consent_id)
        assert world.service.vault.get(store, row.portrait_id, owner=row.consent_id)
    revoke(world, consent)
    with world.service.database.transaction() as store:
        for sealed_id in (row.templates_id, row.portrait_id):
            with pytest.raises(Erased):
                world.service.vault.get(store, sealed_id, owner=row.consent_id)
    with world.service.database.engine.connect() as connection:
        left = "SELECT count(*) FROM sealed s JOIN data_keys k USING (data_key_id) WHERE k.wrapped IS NOT NULL"
        assert connection.scalar(text(left)) == 0
    assert not list((world.service.settings.var / "media").glob("*/sld_*"))


def test_revoking_twice_changes_nothing_and_nothing_follows_it(world: World) -> None:
    consent = world.consent()
    first, second = revoke(world, consent).json(), revoke(world, consent).json()
    assert first["record"] == second["record"]
    path = f"/v1/consents/{consent['consent_id']}"
    narrowed = world.call("POST", f"{path}/narrow", consent["manage_token"], json={"audience": []})
    assert (narrowed.status_code, code(narrowed)) == (410, "consent_revoked")
    token = {"audience": "studio", "purpose": "digital_double", "ttl_s": 60}
    assert code(world.call("POST", f"{path}/tokens", "app", json=token)) == "consent_revoked"
    entries = world.call("GET", "/v1/log/entries").json()["entries"]
    assert [entry["kind"] for entry in entries] == ["consent.granted", "consent.revoked"]


def test_an_expired_consent_gives_no_token(world: World) -> None:
    soon = (world.clock() + timedelta(minutes=2)).isoformat()
    consent = world.consent(expires_at=soon)
    world.clock.move(120)
    body = {"audience": "studio", "purpose": "digital_double", "ttl_s": 60}
    refused = world.call("POST", f"/v1/consents/{consent['consent_id']}/tokens", "app", json=body)
    assert (refused.status_code, code(refused)) == (410, "consent_expired")
    assert (
        code(world.call("GET", f"/v1/consents/{consent['consent_id']}", consent["manage_token"])) == "unauthenticated"
    )
    assert world.call("GET", f"/v1/consents/{consent['consent_id']}", "app").json()["state"] == "expired"


def test_a_purpose_without_a_face_keeps_no_portrait(world: World) -> None:
    consent = world.consent(purposes=["voice"])
    with world.service.database.transaction() as store:
        row = store.get(ConsentRow, consent["consent_id"])
        assert row is not None
        assert row.portrait_id is None


def test_a_manage_token_reaches_its_own_consent_only(world: World) -> None:
    alice = world.consent()
    bob = world.consent(world.shown_live(BOB, "user-2"))
    for method, tail in (("GET", ""), ("POST", "/revoke")):
        answer = world.call(method, f"/v1/consents/{bob['consent_id']}{tail}", alice["manage_token"])
        assert code(answer) == "not_found"
    stranger = world.key(Role.APP, "app-two")
    assert code(world.call("POST", f"/v1/consents/{bob['consent_id']}/revoke", stranger)) == "not_found"
    assert code(world.call("POST", f"/v1/consents/{bob['consent_id']}/revoke", "auditor")) == "not_found"
    assert world.call("GET", f"/v1/consents/{bob['consent_id']}", "auditor").status_code == 200


def test_what_is_append_only_can_be_rewritten_neither_by_the_service_nor_with_the_triggers_on(world: World) -> None:
    """The service's role may not; the owner's own mistakes meet a trigger, which the role cannot switch off."""
    consent = world.consent()
    world.ask(tokens=[world.token(consent)])
    world.call("GET", f"/v1/audit/consents/{consent['consent_id']}", "auditor")
    revoke(world, consent)
    database = world.service.database
    owner = create_engine(database.owner_url, poolclass=NullPool)
    for table in APPEND_ONLY:
        column = Base.metadata.tables[table].primary_key.columns[0].name
        for attack in (
            f"UPDATE {table} SET {column} = {column}",  # noqa: S608 - our own table names
            f"DELETE FROM {table}",  # noqa: S608
            f"TRUNCATE {table} CASCADE",
        ):
            with database.engine.connect() as connection, pytest.raises(DBAPIError, match="permission denied"):
                connection.execute(text(attack))
            if table != "log_cosignatures" or attack.startswith("TRUNCATE"):  # no rows there: nothing to refuse
                with owner.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
                    connection.execute(text(attack))
        for attack in (
            f"ALTER TABLE {table} DISABLE TRIGGER ALL",
            f"DROP TABLE {table} CASCADE",
            "SET session_replication_role = replica",
            "SET ROLE postgres",
            f"GRANT ALL ON {table} TO mien_service",
        ):
            with database.engine.connect() as connection:
                with suppress(DBAPIError):  # GRANT of what one has not only warns
                    connection.execute(text("RESET ROLE"))
                    connection.execute(text(attack))
                    connection.commit()
                connection.rollback()
                with pytest.raises(DBAPIError, match="permission denied"):
                    connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608
    assert world.call("GET", "/v1/audit/log", "auditor").json()["size"] == 4  # grant, question, answer, revocation


def test_the_log_is_one_tree_however_many_write_at_once(world: World) -> None:
    from concurrent.futures import ThreadPoolExecutor

    sessions = [world.shown_live(BOB, f"user-{n}") for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        consents = list(pool.map(world.consent, sessions))
        list(pool.map(lambda consent: revoke(world, consent), consents))
    found = world.call("GET", "/v1/audit/log", "auditor").json()
    assert (found["valid"], found["size"], found["signed_size"]) == (True, 12, 12)
    page = world.call("GET", "/v1/log/entries?start=5&limit=4").json()
    assert [entry["index"] for entry in page["entries"]] == [5, 6, 7, 8]
    assert page["next"] == 9
