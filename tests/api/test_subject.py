"""A person's rights: they see what was done with their likeness, take everything along, and delete everything."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

import pytest
from sqlalchemy import text

from api.export import FORMAT
from api.gate_words import explained
from consent.gate import GateCode
from consent.keys import KeySet
from consent.ledger import verify_receipt
from consent.record import read_record
from tests.api.conftest import World, png
from tests.api.scripted import ALICE, BOB
from tests.api.test_consents import revoke
from tests.api.test_gate import codes, permitted, redeem
from tests.api.test_liveness_sessions import code


def listed(world: World, consent: dict[str, Any], what: str) -> list[dict[str, Any]]:
    answer = world.call("GET", f"/v1/subject/{what}", consent["manage_token"])
    assert answer.status_code == 200, answer.text
    return list(answer.json()["results"])


def archive_of(world: World, consent: dict[str, Any]) -> dict[str, bytes]:
    answer = world.call("GET", "/v1/subject/export", consent["manage_token"])
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as zipped:
        assert zipped.testzip() is None
        return {name: zipped.read(name) for name in zipped.namelist()}


def test_every_reason_has_words_for_a_person() -> None:
    assert [each for each in GateCode if not explained(each)] == []


@pytest.mark.service
def test_a_person_sees_uses_and_attempts_also_refused_ones(world: World) -> None:
    consent, permit = permitted(world)
    redeem(world, permit)
    world.clock.move(1)
    token, photo = world.token(consent), world.media(png(BOB))
    codes(world.ask(tokens=[token], media=[photo["media_id"]]))
    world.ask(tokens=[])  # nobody's leave was shown: nobody is looked up
    assert [use["backend"] for use in listed(world, consent, "uses")] == ["studio"]
    assert [one["outcome"] for one in listed(world, consent, "attempts")] == ["refusal", "permit"]
    assert all(reason["en"] and reason["zh"] for reason in listed(world, consent, "attempts")[0]["reasons"])


@pytest.mark.service
def test_nobody_sees_what_is_anothers(world: World) -> None:
    alice, _ = permitted(world)
    bob = world.consent(world.shown_live(BOB, "user-2"))
    both = world.media(png(ALICE, BOB))
    world.ask(tokens=[world.token(alice), world.token(bob)], media=[both["media_id"]])
    assert len(listed(world, bob, "attempts")) == 1
    assert alice["consent_id"] not in json.dumps(listed(world, bob, "attempts"))
    for what in ("uses", "attempts", "admin-views", "export"):
        assert code(world.call("GET", f"/v1/subject/{what}", "app")) == "forbidden"
    early = world.session("user-1")
    assert code(world.call("GET", "/v1/subject/uses", early["client_token"])) == "forbidden", "not shown live yet"


@pytest.mark.service
def test_the_archive_is_whole_and_holds_without_us(world: World) -> None:
    consent, permit = permitted(world)
    redeem(world, permit)
    other = world.consent(world.shown_live(BOB, "user-2"))
    files = archive_of(world, consent)
    index = json.loads(files["index.json"])
    assert index["format"] == FORMAT
    assert {entry["path"] for entry in index["files"]} == set(files) - {"index.json"}
    for entry in index["files"]:
        assert hashlib.sha256(files[entry["path"]]).hexdigest() == entry["sha256"]
    folder = f"consents/{consent['consent_id']}"
    keys = KeySet.from_jwks(json.loads(files["keys.json"]))
    assert read_record(files[f"{folder}/record.jws"].decode(), keys).consent_id == consent["consent_id"]
    assert verify_receipt(files[f"{folder}/receipt.json"], keys).event.kind == "consent.granted"
    assert files[f"portraits/{consent['consent_id']}.png"].startswith(b"\x89PNG")
    readme = files["README.md"].decode()
    assert "Your data" in readme
    assert "您的数据" in readme
    whole = b"".join(files.values())
    for foreign in (other["consent_id"], "user-2", "user-1", consent["manage_token"]):
        assert foreign.encode() not in whole


@pytest.mark.service
def test_an_app_that_mixed_two_people_up_shows_neither_face_to_the_other(world: World) -> None:
    alice = world.consent(world.shown_live(ALICE, "shared"))
    bob = world.consent(world.shown_live(BOB, "shared"), colour=BOB)
    files = archive_of(world, alice)
    assert f"portraits/{alice['consent_id']}.png" in files
    assert f"portraits/{bob['consent_id']}.png" not in files
    assert bob["consent_id"] in files["not-included.json"].decode()


@pytest.mark.service
def test_deleting_leaves_nothing_that_opens_and_says_what_stays(world: World) -> None:
    consent, _ = permitted(world)
    other = world.consent(world.shown_live(BOB, "user-2"))
    token, photo = world.token(consent), world.media(png(ALICE))
    answer = world.call("DELETE", "/v1/subject", consent["manage_token"])
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["deleted"]["consents_withdrawn"] == 1
    assert all(one["what"] and one["why"] and one["until"] for one in told["kept"])
    with world.service.database.engine.connect() as connection:

        def count(statement: str) -> int:
            return int(connection.scalar(text(statement), {"id": consent["consent_id"]}) or 0)

        alive = (
            "SELECT count(*) FROM consents c JOIN liveness_sessions s USING (subject_id) JOIN data_keys k "
            "ON k.data_key_id IN (c.data_key_id, s.data_key_id) WHERE c.consent_id = :id AND k.wrapped IS NOT NULL"
        )
        assert count(alive) == 0
        assert count("SELECT count(*) FROM consents WHERE consent_id = :id AND salt <> ''") == 0
        assert count("SELECT count(*) FROM person_tokens WHERE consent_id = :id") == 0
        salted = (
            "SELECT count(*) FROM attempt_entries e JOIN attempt_terms t USING (attempt_id) "
            "WHERE t.term = 'consent:' || :id AND e.salt IS NOT NULL"
        )
        assert count(salted) == 0
    assert code(world.call("GET", "/v1/subject/uses", consent["manage_token"])) == "unauthenticated"
    assert codes(world.ask(tokens=[token], media=[photo["media_id"]]))[0] == "revoked"
    assert world.call("GET", "/v1/audit/log", "auditor").json()["valid"] is True
    gone = world.call("GET", f"/v1/audit/evidence/{consent['consent_id']}", "auditor")
    assert (gone.status_code, code(gone)) == (410, "evidence_erased")
    # the other one lost nothing
    assert world.call("GET", f"/v1/consents/{other['consent_id']}", other["manage_token"]).json()["state"] == "given"


@pytest.mark.service
def test_who_was_deleted_comes_back_as_somebody_new(world: World) -> None:
    consent = world.consent()
    revoke(world, consent)
    world.call("DELETE", "/v1/subject", consent["manage_token"])
    again = world.consent()
    assert listed(world, again, "attempts") == []
    assert consent["consent_id"] not in archive_of(world, again)["index.json"].decode()
