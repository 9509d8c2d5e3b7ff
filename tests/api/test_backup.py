"""Backups come back whole, for this service only, and revive nothing that was destroyed or taken back since."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api.app import create_app, open_service
from api.audit import verify_ledger
from api.authorities import keep_directive
from api.backup import BackupInvalid, DatabaseNotEmpty, back_up, restore
from api.clip_registry import Looks, register
from api.database import Database, as_service, new_engine
from api.engines import FaceEngines
from api.files import open_files
from api.keys import add_master_key, open_keys
from api.media import Erased, Sealed
from api.settings import Settings
from api.shreds import ShredListMissing
from api.sweeping import sweep
from api.tables import AuthorityCaseRow, ConsentRow, DataKeyRow, StatusEntryRow
from consent.authority import Shown, SubjectAssurance
from consent.directive import AdvanceDirective, Wish
from consent.ledger import SALT_BYTES
from consent.merkle import edge_of
from consent.note import read_checkpoint, read_note
from consent.offline import Holds, HoldsNot, OfflineCode, check_offline
from consent.terms import Purpose
from consent.tlog_proof import read_tlog_proof
from consent.tokens import UnverifiedToken
from liveness.policy import Assurance
from tests.api.conftest import Clock, World, fresh_database, png
from tests.api.s3 import s3_server
from tests.api.scripted import ALICE, BOB
from tests.api.test_authorities import GONE, granted, phone, reasons
from tests.api.test_browser_sessions import PERSON, as_person, here, with_passkey
from tests.api.test_clips import ordered
from tests.api.test_representatives import asks, give, given
from tests.api.test_status import keys, place

pytestmark = pytest.mark.service

Restored = Callable[..., Any]


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """With a key file of its own: it changes here."""
    least = getattr(request, "param", settings.minimum_assurance)
    return replace(settings, keys=settings.var / "keys.json", minimum_assurance=least)


@pytest.fixture
def backup(world: World, tmp_path: Path) -> Callable[[], Path]:
    def make() -> Path:
        out = tmp_path / "backup"
        back_up(world.service.settings, out)
        return out

    return make


@pytest.fixture
def restored(world: World, server: str, faces: FaceEngines, clock: Clock) -> Restored:
    """A context of the world on another database, filled from a backup. The callers' keys are those of before."""

    @contextmanager
    def again(source: Path, **more: Any) -> Iterator[tuple[World, dict[str, Any]]]:
        with fresh_database(server) as url:
            settings = replace(world.service.settings, database_url=url, **more.pop("settings", {}))
            figures = restore(settings, source, now=clock, **more)
            engine = new_engine(as_service(url))
            with (
                open_service(
                    settings, faces=faces, now=clock, database=Database(as_service(url), engine, url)
                ) as service,
                TestClient(create_app(service)) as client,
            ):
                yield World(client, service, clock, world.keys), figures
            engine.dispose()

    return again


def revoke(world: World, consent: dict[str, Any]) -> None:
    path = f"/v1/consents/{consent['consent_id']}/revoke"
    assert world.call("POST", path, consent["manage_token"]).status_code == 200


def state(world: World, consent: dict[str, Any]) -> str:
    return str(world.call("GET", f"/v1/consents/{consent['consent_id']}", consent["manage_token"]).json()["state"])


def large_file(world: World) -> tuple[str, str]:
    """Key and sealed id of something that lies in a file."""
    with world.service.database.transaction() as store:
        key = world.service.vault.new_key(store, owner="clp_1", now=world.clock())
        return key, world.service.vault.put(store, b"x" * 200_000, kind=Sealed.CLIP, data_key_id=key, now=world.clock())


def test_everything_comes_back_and_goes_on(world: World, backup: Callable[[], Path], restored: Restored) -> None:
    consent = world.consent()
    token, photo = world.token(consent), world.media(png(ALICE))
    _, sealed_id = large_file(world)
    out = backup()
    shutil.rmtree(world.service.settings.var / "media" / sealed_id[-2:])
    with restored(out) as (again, figures):
        assert figures["files_put_back"] == 1
        assert (figures["keys_destroyed"], figures["consents_ended"]) == (0, 0)
        assert state(again, consent) == state(world, consent)
        assert again.ask(tokens=[token], media=[photo["media_id"]])["decision"]
        with again.service.database.transaction() as store:
            assert again.service.vault.get(store, sealed_id, owner="clp_1") == b"x" * 200_000
        again.consent(again.shown_live(ALICE, "user-2"))  # the log and all counters go on
        checked = verify_ledger(again.service.settings)
        assert (checked["valid"], checked["entries"]) == (True, 4)  # a grant, a question and its answer, a grant


def test_a_consent_revoked_after_the_backup_stays_revoked(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    gone, kept = world.consent(), world.consent(world.shown_live((40, 200, 40), "user-2"))
    token, photo = world.token(gone), world.media(png(ALICE))
    out = backup()
    revoke(world, gone)
    with restored(out) as (again, figures):
        assert figures["consents_ended"] == 1
        refused = again.ask(tokens=[token], media=[photo["media_id"]])
        assert refused["decision"] is False
        assert "revoked" in {reason["code"] for reason in refused["context"]["reasons"]}
        with again.service.database.transaction() as store:
            row = store.get(ConsentRow, gone["consent_id"])
            assert row is not None
            key = store.get(DataKeyRow, row.data_key_id)
            assert key is not None
            assert key.wrapped is None
            with pytest.raises(Erased):
                again.service.vault.get(store, row.templates_id, owner=row.consent_id)
        assert verify_ledger(again.service.settings)["valid"]
        assert state(again, gone) != state(again, kept)


def test_a_consent_narrowed_after_the_backup_ends_rather_than_widens(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    consent = world.consent()
    token, photo = world.token(consent), world.media(png(ALICE))
    out = backup()
    path = f"/v1/consents/{consent['consent_id']}/narrow"
    assert world.call("POST", path, consent["manage_token"], json={"audience": ["portrait"]}).status_code == 200
    with restored(out) as (again, figures):
        assert figures["consents_ended"] == 1
        assert again.ask(tokens=[token], media=[photo["media_id"]])["decision"] is False


def test_a_passkey_removed_after_the_backup_stays_removed_and_everybody_signs_in_anew(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    as_person(world, world.consent())
    lost = with_passkey(world, PERSON)
    world.clock.move(1)
    kept = with_passkey(world, PERSON)
    out = backup()
    [first, _] = world.call("GET", "/v1/passkeys", headers=PERSON).json()["passkeys"]
    assert world.call("DELETE", f"/v1/passkeys/{first['passkey_id']}", headers=PERSON).status_code == 200
    cookie = world.client.cookies["mien-person"]
    with restored(out) as (again, _):
        again.client.cookies.set("mien-person", cookie)
        assert here(again, PERSON).status_code == 401
        for passkey, status in ((lost, 401), (kept, 200)):
            options = again.call("POST", "/v1/sign-in/options").json()["public_key"]
            answer = again.call("POST", "/v1/sign-in", json={"credential": passkey.get(options)})
            assert answer.status_code == status


def test_a_narrowing_before_the_backup_ends_nothing(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    consent = world.consent()
    path = f"/v1/consents/{consent['consent_id']}/narrow"
    assert world.call("POST", path, consent["manage_token"], json={"audience": ["studio"]}).status_code == 200
    with restored(backup()) as (again, figures):
        assert figures["consents_ended"] == 0
        assert again.ask(tokens=[again.token(consent)], media=[again.media(png(ALICE))["media_id"]])["decision"]


def test_a_consent_for_so_many_uses_ends_since_nobody_knows_the_uses(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    consent = world.consent(limits={"max_seconds": 30, "uses": 3})
    with restored(backup()) as (again, figures):
        assert figures["consents_ended"] == 1
        assert state(again, consent) != state(world, consent)


def test_data_whose_key_was_destroyed_after_the_backup_is_unreadable_and_its_file_not_put_back(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    key, sealed_id = large_file(world)
    out = backup()
    with world.service.database.transaction() as store:
        world.service.vault.destroy_key(store, key, now=world.clock())
    sweep(world.service)
    with restored(out) as (again, figures):
        assert (figures["keys_destroyed"], figures["files_put_back"]) == (1, 0)
        with again.service.database.transaction() as store, pytest.raises(Erased):
            again.service.vault.get(store, sealed_id, owner="clp_1")
        assert not list((again.service.settings.var / "media").rglob(sealed_id))


def test_who_had_everything_deleted_after_the_backup_is_deleted_again(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    """Also what no data key closes: the salts that link them to the log, their tokens, and the app's name for them."""
    gone, kept = world.consent(), world.consent(world.shown_live(BOB, "user-2"))
    token = world.token(gone)
    world.ask(tokens=[token])
    out = backup()
    assert world.call("DELETE", "/v1/subject", gone["manage_token"]).status_code == 200
    with restored(out) as (again, figures):
        assert figures["people_deleted"] == 1
        with again.service.database.engine.connect() as connection:
            salt = text("SELECT salt FROM consents WHERE consent_id = :id")
            assert connection.scalar(salt, {"id": gone["consent_id"]}) == b""
            assert len(connection.scalar(salt, {"id": kept["consent_id"]})) == SALT_BYTES
            named = text("SELECT count(*) FROM attempt_entries WHERE salt IS NOT NULL")
            assert connection.scalar(named) == 0
        assert again.call("GET", "/v1/subject/uses", gone["manage_token"]).status_code == 401
        assert again.call("GET", "/v1/subject/uses", kept["manage_token"]).status_code == 200
        assert state(again, kept) == "given"
        once = again.shown_live(ALICE, "user-1")
        assert again.consent(once)["consent_id"] != gone["consent_id"]
        assert verify_ledger(again.service.settings)["valid"]


def test_what_the_clips_of_a_deleted_person_look_like_does_not_come_back(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    looks = text("SELECT count(*) FROM clip_hashes")
    gone = world.consent()
    asked = world.ask(tokens=[world.token(gone)], media=[world.media(png(ALICE))["media_id"]])
    with world.service.database.transaction() as store:
        register(
            store,
            permit_id=asked["context"]["permit_id"],
            backend="studio",
            clip_id=None,
            file_sha256="ab" * 32,
            watermark=7,
            looks=Looks(hashes=(1, 2, 3), asked=(), mark=None),
            now=world.clock(),
        )
    out = backup()
    with world.service.database.engine.connect() as connection:
        assert connection.scalar(looks) == 3
    assert world.call("DELETE", "/v1/subject", gone["manage_token"]).status_code == 200
    with restored(out) as (again, figures), again.service.database.engine.connect() as connection:
        assert figures["people_deleted"] == 1
        assert connection.scalar(looks) == 0
        assert connection.scalar(text("SELECT count(*) FROM released_clips")) == 1, (
            "copies go on being known as withdrawn"
        )


def test_who_was_deleted_before_the_backup_is_not_deleted_twice(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    assert world.call("DELETE", "/v1/subject", world.consent()["manage_token"]).status_code == 200
    with restored(backup()) as (again, figures):
        assert figures["people_deleted"] == 0
        assert verify_ledger(again.service.settings)["entries"] == 2  # granted and revoked, and no more


def test_without_the_shred_list_nothing_comes_back_or_every_consent_ends(
    world: World, backup: Callable[[], Path], restored: Restored, tmp_path: Path
) -> None:
    consent = world.consent()
    out = backup()
    elsewhere = {"storage": str(tmp_path / "new-storage")}
    with pytest.raises(ShredListMissing), restored(out, settings=elsewhere):
        pass
    open_files(elsewhere["storage"]).write("shreds/id", b"lst_another")  # an empty list of another storage
    with pytest.raises(ShredListMissing), restored(out, settings=elsewhere):
        pass
    with restored(out, settings=elsewhere, end_all_consents=True) as (again, figures):
        assert figures["consents_ended"] == 1
        assert again.ask(tokens=[world.token(consent)])["decision"] is False


def test_the_log_keeps_the_entries_since_the_backup_where_they_were(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    """Whoever holds a receipt made since, or saw the log, finds it as it was."""
    first = world.consent()
    out = backup()
    second = world.consent(world.shown_live(BOB, "user-2"))
    revoke(world, first)
    with world.service.database.transaction() as store:
        before = store.entries(0, 3)
    with restored(out) as (again, figures):
        assert figures["log_entries_added"] == 2
        assert verify_ledger(again.service.settings)["valid"]
        with again.service.database.transaction() as store:
            assert store.entries(0, 3) == before
        assert again.call("GET", f"/v1/consents/{second['consent_id']}", "app").status_code == 404
        assert state(again, first) == "terminated"


def test_the_log_is_not_shown_shorter_than_it_was(world: World, backup: Callable[[], Path], restored: Restored) -> None:
    """A witness that saw the log before takes a shorter one for a rollback."""

    def size(world: World) -> int:
        return int(world.call("GET", "/v1/log/checkpoint").text.splitlines()[1])

    consent = world.consent()
    out = backup()
    revoke(world, consent)
    shown = size(world)
    with restored(out) as (again, _):
        assert size(again) >= shown


def test_what_a_checkpoint_covers_is_not_lost_with_the_database(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    """Questions to the gate that no sweep has seen yet, under a checkpoint that somebody asked for."""
    consent = world.consent()
    out = backup()
    assert world.call("DELETE", "/v1/subject", consent["manage_token"]).status_code == 200
    world.ask(tokens=[])
    shown = world.call("GET", f"/v1/consents/{consent['consent_id']}", "app").json()["receipt"]
    checkpoint = read_checkpoint(read_note(read_tlog_proof(shown["proof"]).checkpoint).text)
    assert checkpoint.size == 4  # granted, revoked, a question and its answer
    with restored(out) as (again, _), again.service.database.transaction() as store:
        assert edge_of(checkpoint.size, store.nodes).root() == checkpoint.root


def test_a_shred_list_that_lost_entries_is_not_taken(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    revoke(world, world.consent())
    out = backup()
    for file in (world.service.settings.var / "media" / "shreds").glob("*.jsonl"):
        file.unlink()
    with pytest.raises(ShredListMissing, match="lost entries"), restored(out):
        pass


@pytest.mark.parametrize("what", ["tables/consents.copy", "manifest.json", "manifest.jws", "files"])
def test_a_backup_with_one_byte_changed_is_refused_before_anything_is_written(
    world: World, backup: Callable[[], Path], restored: Restored, what: str
) -> None:
    world.consent()
    large_file(world)
    out = backup()
    file = next(path for path in (out / what).rglob("*") if path.is_file()) if what == "files" else out / what
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(BackupInvalid), restored(out):
        pass


def test_a_backup_of_another_service_is_refused(
    world: World, backup: Callable[[], Path], restored: Restored, tmp_path: Path, clock: Clock
) -> None:
    out = backup()
    open_keys(Settings(keys=tmp_path / "other.json"), now=clock())
    for name, why in (("other.json", "not signed by this service"), ("none.json", "key file")):
        with pytest.raises(BackupInvalid, match=why), restored(out, settings={"keys": tmp_path / name}):
            pass


def test_a_backup_holds_no_key_that_opens_anything_and_is_for_its_owner(
    world: World, backup: Callable[[], Path]
) -> None:
    world.consent()
    out = backup()
    content = json.loads(world.service.settings.keys.read_text())
    secrets = [content["masters"][0]["key"], content["signing"][0]["key"], content["blinding"]]
    for path in out.rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o077 == 0
            assert not any(secret.encode() in path.read_bytes() for secret in secrets)
    assert not (out / "tables" / "idempotency.copy").exists()
    with pytest.raises(BackupInvalid, match="there already"):
        back_up(world.service.settings, out)


def test_only_an_empty_database_is_filled(world: World, backup: Callable[[], Path]) -> None:
    world.consent()
    out = backup()
    with pytest.raises(DatabaseNotEmpty):
        restore(world.service.settings, out, now=world.clock)


def test_a_backup_from_before_a_rotation_restores_while_the_older_key_is_kept(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    consent = world.consent()
    out = backup()
    add_master_key(world.service.settings, now=world.clock())
    with restored(out) as (again, _):
        assert again.ask(tokens=[again.token(consent)], media=[again.media(png(ALICE))["media_id"]])["decision"]


def test_a_permit_that_was_not_spent_at_the_backup_is_void(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    """It may have been spent since."""
    answer = world.ask(tokens=[world.token(world.consent())], media=[world.media(png(ALICE))["media_id"]])
    body = {"permit": answer["context"]["permit"], "job_sha256": "ab" * 32}
    out = backup()
    with restored(out) as (again, _):
        assert again.call("POST", "/v1/permits/redeem", "backend", json=body).json()["code"] == "permit_spent"


def test_a_yes_to_one_use_that_was_not_used_at_the_backup_is_void(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    """It may have been used, or taken back, since."""
    consent = world.consent(approval="always")
    asked = {"tokens": [world.token(consent)], "media": [world.media(png(ALICE))["media_id"]]}
    [reason] = world.ask(**asked)["context"]["reasons"]
    path = f"/v1/consents/{consent['consent_id']}/requests/{reason['request_id']}"
    assert world.call("POST", f"{path}/approve", consent["manage_token"]).status_code == 200
    out = backup()
    assert world.call("POST", f"{path}/refuse", consent["manage_token"]).status_code == 200
    with restored(out) as (again, _):
        assert again.ask(**asked)["context"]["reasons"][0]["code"] == "approval_needed"


def test_a_token_of_a_consent_given_after_the_backup_does_not_hold_offline(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    """It was taken back, and the database forgot both. Whoever checks offline must not take silence for a yes."""
    kept = world.token(world.consent())
    out = backup()
    since = world.consent(world.shown_live(BOB, "user-2"))
    token = world.token(since)
    revoke(world, since)
    path, index = place(token)
    assert place(kept)[0] == path
    with restored(out) as (again, _):
        listed = again.call("GET", path).text
        found = [
            check_offline(UnverifiedToken(one), listed, keys(again), audience="studio", now=again.clock())
            for one in (kept, token)
        ]
        assert isinstance(found[0], Holds)
        assert found[1] == HoldsNot(OfflineCode.REVOKED)
        with again.service.database.transaction() as store:
            assert store.get(StatusEntryRow, (path.rpartition("/")[2], index)), "nobody else is given that place"


def test_no_token_holds_offline_when_the_shred_list_is_lost(
    world: World, backup: Callable[[], Path], restored: Restored, tmp_path: Path
) -> None:
    kept = world.token(world.consent())
    out = backup()
    tokens = [kept, world.token(world.consent(world.shown_live(BOB, "user-2")))]
    elsewhere = {"storage": str(tmp_path / "new-storage")}
    with restored(out, settings=elsewhere, end_all_consents=True) as (again, _):
        listed = again.call("GET", place(kept)[0])
        assert listed.status_code == 404
        for token in tokens:
            found = check_offline(
                UnverifiedToken(token), listed.text, keys(again), audience="studio", now=again.clock()
            )
            assert found == HoldsNot(OfflineCode.STATUS_INVALID)
        again.token(again.consent(again.shown_live(BOB, "user-3")))  # a list of its own is begun


def test_a_backend_that_may_have_used_a_face_since_the_backup_is_asked_to_delete(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    consent = world.consent()
    answer = world.ask(tokens=[world.token(consent)], media=[world.media(png(ALICE))["media_id"]])
    out = backup()
    body = {"permit": answer["context"]["permit"], "job_sha256": "ab" * 32}
    assert world.call("POST", "/v1/permits/redeem", "backend", json=body).status_code == 200
    revoke(world, consent)
    with restored(out) as (again, _):
        [purge] = again.call("GET", "/v1/purges", "backend").json()["purges"]
        assert (purge["consent_id"], purge["reason"]) == (consent["consent_id"], "revoked")


@pytest.mark.parametrize("settings", [SubjectAssurance.CURATED], indirect=True)
@pytest.mark.parametrize("since", ["objection", "withdrawal", "directive", "sign of life", "nothing"])
def test_what_was_said_against_a_claim_after_the_backup_ends_it_and_what_stands_on_it(
    world: World, backup: Callable[[], Path], restored: Restored, since: str
) -> None:
    path = granted(world)
    answer = given(world, path)
    token = world.token(answer)
    assert asks(world, token)["decision"] is True
    out = backup()
    if since == "objection":
        assert world.call("POST", f"{path}/objections", phone(world, "son", BOB), json={}).status_code == 200
    elif since == "withdrawal":
        assert world.call("POST", f"{path}/withdraw", "app").status_code == 200
    elif since == "directive":  # it takes some of it away, and stops nothing by itself
        with world.service.database.transaction() as store:
            row = store.get(AuthorityCaseRow, path.rpartition("/")[2])
            assert row is not None
            shown = Shown(
                challenge_id="chl_1",
                nonce="n" * 16,
                capture_sha256="ab" * 32,
                policy="strict",
                assurance=Assurance.WEB,
                judged_at=world.clock(),
            )
            said = AdvanceDirective(
                subject_id=row.subject_id,
                at=world.clock(),
                wish=Wish.FORBID,
                purposes=(Purpose.VOICE,),
                until=None,
                shown=shown,
            )
            keep_directive(world.service, store, said, session_id="lvs_1")
    elif since == "sign of life":
        phone(world, "gone-1", GONE[1])
    with restored(out) as (again, figures):
        stage = again.call("GET", path, "app").json()["stage"]
        if since == "nothing":
            assert (figures["claims_ended"], figures["consents_ended"], stage) == (0, 0, "granted")
            assert asks(again, token)["decision"] is True
            return
        assert (figures["claims_ended"], figures["consents_ended"], stage) == (1, 1, "withdrawn")
        assert asks(again, token)["decision"] is False
        assert reasons(give(again, path, phone(again, "widow", ALICE))) == ["authority_over"]
        assert again.call("GET", f"{path}/events", "app").json()["events"][-1]["step"] == "restore"
        assert verify_ledger(again.service.settings)["valid"]


def test_the_queue_goes_on_after_a_restore(world: World, backup: Callable[[], Path], restored: Restored) -> None:
    ordered(world, [world.token(world.consent(), "portrait")])
    session = world.session("user-3")
    challenge = world.challenge(session)
    assert world.capture(session, f"live 200,40,40 {challenge['nonce']}".encode()).status_code == 202
    with restored(backup()) as (again, _):
        with again.service.database.engine.connect() as connection:
            jobs = connection.execute(text("SELECT task_name, queue_name FROM procrastinate_jobs ORDER BY 1"))
            assert [tuple(job) for job in jobs] == [("judge", "judge"), ("render", "portrait")]
        assert again.judge(challenge)


def test_a_vendors_clip_that_may_have_been_ordered_since_is_not_ordered_again(
    world: World, backup: Callable[[], Path], restored: Restored
) -> None:
    clips = [ordered(world, [world.token(world.consent(), "portrait")]) for _ in range(3)]
    with (
        world.service.database.engine.begin() as connection
    ):  # two of them by a vendor; of one the order is written down
        connection.execute(
            text("UPDATE clips SET kind = 'remote', backend = 'kling' WHERE clip_id <> :own"), {"own": clips[0]}
        )
        connection.execute(
            text(
                "INSERT INTO remote_jobs (clip_id, backend, model, job_key, callback_secret, state, ordered_at) "
                "VALUES (:clip, 'kling', 'kling-3.0', 'key', 'secret', 'ordering', now())"
            ),
            {"clip": clips[1]},
        )
    with restored(backup()) as (again, _):
        with again.service.database.engine.connect() as connection:
            queued = text("SELECT task_name FROM procrastinate_jobs ORDER BY 1")
            assert connection.execute(queued).scalars().all() == ["remote", "render"]
        lost = again.call("GET", f"/v1/clips/{clips[2]}", "app").json()
        assert (lost["state"], lost["code"]) == ("failed", "submit_outcome_unknown")


def test_backup_and_restore_with_files_on_s3(
    world: World, restored: Restored, tmp_path: Path, faces: FaceEngines, clock: Clock
) -> None:
    with s3_server() as bucket:
        settings = replace(world.service.settings, storage=f"{bucket}/{tmp_path.name}")
        with open_service(settings, faces=faces, now=clock, database=world.service.database) as service:
            with service.database.transaction() as store:
                kept, gone = (service.vault.new_key(store, owner="clp_1", now=clock()) for _ in range(2))
                one, two = (
                    service.vault.put(store, b"x" * 200_000, kind=Sealed.CLIP, data_key_id=key, now=clock())
                    for key in (kept, gone)
                )
            back_up(settings, tmp_path / "s3-backup")
            with service.database.transaction() as store:
                service.vault.destroy_key(store, gone, now=clock())
            sweep(service)
            service.vault.files.erase(f"{one[-2:]}/{one}")
            with restored(tmp_path / "s3-backup", settings={"storage": settings.storage}) as (again, figures):
                assert (figures["keys_destroyed"], figures["files_put_back"]) == (1, 1)
                with again.service.database.transaction() as store:
                    assert again.service.vault.get(store, one, owner="clp_1") == b"x" * 200_000
                    with pytest.raises(Erased):
                        again.service.vault.get(store, two, owner="clp_1")
