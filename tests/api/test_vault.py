"""People's data at rest: one owner's key for one owner's data, and master keys that change under running readers."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from api.app import open_service
from api.engines import FaceEngines
from api.files import FolderFiles, StorageUnavailable
from api.keys import KeyRing, Unsealable, add_master_key, add_signing_key, drop_master_key
from api.media import Erased, Sealed
from api.rotation import KeyInUse, list_keys, retire_master
from api.settings import Settings
from api.shreds import Shredded, consent_event, read_shreds, write_down
from api.sweeping import rewrap, sweep
from api.tables import ConsentRow, DataKeyRow, SealedRow
from tests.api.conftest import Clock, World, png
from tests.api.scripted import ALICE, BOB
from tests.api.test_database import rolled_back

pytestmark = pytest.mark.service


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a key file of its own: it changes here."""
    return replace(settings, keys=settings.var / "keys.json")


def row_of(world: World, consent: dict[str, object]) -> ConsentRow:
    with world.service.database.transaction() as store:
        row = store.get(ConsentRow, consent["consent_id"])
        assert row is not None
        return row


def sql(world: World, statement: str, **values: object) -> None:
    with world.service.database.engine.begin() as connection:
        connection.execute(text(statement), values)


# --- one owner's key for one owner's data ----------------------------------------------------------------------------


def test_every_sealed_thing_of_a_story_is_under_its_owners_key(world: World) -> None:
    consent = world.consent()
    world.media(png(BOB))
    with world.service.database.engine.connect() as connection:
        found = connection.execute(text("SELECT kind, k.owner FROM sealed JOIN data_keys k USING (data_key_id)"))
        owners = {row.kind: row.owner for row in found}
        row = row_of(world, consent)
        under = connection.execute(
            text("SELECT kind FROM sealed WHERE data_key_id = :key ORDER BY kind"), {"key": row.data_key_id}
        )
        assert under.scalars().all() == ["portrait", "templates"]
        unnamed = "SELECT count(*) FROM data_keys WHERE owner IS NULL OR (wrapped IS NULL) <> (wrapped_by IS NULL)"
        assert connection.scalar(text(unnamed)) == 0
    assert owners["media"].startswith("med_")


@pytest.mark.parametrize("what", ["templates_id", "portrait_id"])
def test_anothers_face_put_under_a_consent_does_not_open(world: World, what: str) -> None:
    """By someone who may write to the database: whole rows, with the key that goes with them."""
    alice, bob = world.consent(), world.consent(world.shown_live(BOB, "user-2"))
    statement = (
        f"UPDATE consents SET {what} = (SELECT {what} FROM consents WHERE consent_id = :bob) WHERE consent_id = :a"  # noqa: S608
    )
    sql(world, statement, bob=bob["consent_id"], a=alice["consent_id"])
    with world.service.database.transaction() as store:
        row = store.get(ConsentRow, alice["consent_id"])
        assert row is not None
        with pytest.raises(Unsealable):
            world.service.vault.get(store, getattr(row, what), owner=row.consent_id)
    token = world.token(alice)
    assert world.ask(tokens=[token], media=[world.media(png(BOB))["media_id"]])["decision"] is False


@pytest.mark.parametrize("owner", ["cns_other", None])
def test_a_data_key_does_not_open_for_an_owner_written_over_its_own(world: World, owner: str | None) -> None:
    row = row_of(world, world.consent())
    sql(world, "UPDATE data_keys SET owner = :owner WHERE data_key_id = :key", owner=owner, key=row.data_key_id)
    with world.service.database.transaction() as store, pytest.raises(Unsealable):
        world.service.vault.get(store, row.templates_id, owner=owner or row.consent_id)


@pytest.mark.parametrize("column", ["sealed_id", "kind", "data_key_id"])
def test_a_sealed_row_opens_only_as_what_it_is(world: World, column: str) -> None:
    vault, now = world.service.vault, world.clock()
    with world.service.database.transaction() as store:
        key, other = (vault.new_key(store, owner="cns_1", now=now) for _ in range(2))
        sealed_id = vault.put(store, b"a face", kind=Sealed.PORTRAIT, data_key_id=key, now=now)
    value = {"sealed_id": "sld_other", "kind": "templates", "data_key_id": other}[column]
    sql(world, f"UPDATE sealed SET {column} = :value WHERE sealed_id = :id", value=value, id=sealed_id)  # noqa: S608
    with world.service.database.transaction() as store, pytest.raises(Unsealable):
        vault.get(store, "sld_other" if column == "sealed_id" else sealed_id, owner="cns_1")


def test_a_file_that_grew_is_not_read_to_its_end(world: World) -> None:
    vault, now = world.service.vault, world.clock()
    with world.service.database.transaction() as store:
        key = vault.new_key(store, owner="cns_1", now=now)
        sealed_id = vault.put(store, b"x" * 100_000, kind=Sealed.CLIP, data_key_id=key, now=now)
    assert isinstance(vault.files, FolderFiles)
    file = next(vault.files.folder.glob("*/sld_*"))
    with file.open("ab") as grown:
        grown.write(b"more")
    with world.service.database.transaction() as store, pytest.raises(Unsealable):
        vault.get(store, sealed_id, owner="cns_1")


def test_data_keys_of_the_first_release_open_and_are_wrapped_again(world: World) -> None:
    vault, consent = world.service.vault, world.consent()
    row = row_of(world, consent)
    master = world.service.keys.masters.newest
    with world.service.database.transaction() as store:
        key = store.get(DataKeyRow, row.data_key_id)
        assert key is not None
        data_key = vault._data_key(store, row.data_key_id, owner=None)
        key.wrapped = master.wrap(data_key, about=f"data-key|{row.data_key_id}")
        key.owner = key.wrapped_by = None
    token, photo = world.token(consent), world.media(png(ALICE))
    assert world.ask(tokens=[token], media=[photo["media_id"]])["decision"]
    assert rewrap(world.service) == 1
    assert world.ask(tokens=[token], media=[photo["media_id"]])["decision"]
    with world.service.database.transaction() as store:
        assert store.under_masters().get(None, 0) == 0


# --- master keys change ----------------------------------------------------------------------------------------------


def rotate(world: World) -> tuple[str, str]:
    """Ids of the older and of the newer master key, which is in use."""
    settings, now = world.service.settings, world.clock()
    older = world.service.keys.masters.newest.key_id
    newer = add_master_key(settings, now=now, after=timedelta())
    assert world.service.ring.reload().masters.newest.key_id == newer
    return older, newer


def test_rotation_moves_every_key_and_answer_and_leaves_the_data_alone(world: World) -> None:
    headers = {"Idempotency-Key": "once"}
    body = {"subject_ref": "user-9", "language": "en", "purpose": "digital_double"}
    first = world.call("POST", "/v1/liveness/sessions", "app", json=body, headers=headers)
    consent, token = (made := world.consent()), world.token(made)
    photo = world.media(png(ALICE))
    with world.service.database.transaction() as store:
        row = store.get(ConsentRow, consent["consent_id"])
        assert row is not None
        sealed = store.get(SealedRow, row.templates_id)
        assert sealed is not None
        before = sealed.content
    older, newer = rotate(world)
    assert world.ask(tokens=[token], media=[photo["media_id"]])["decision"]  # nothing is moved yet
    sweep(world.service)
    with world.service.database.transaction() as store:
        assert set(store.under_masters()) == {newer}
        after = store.get(SealedRow, row.templates_id)
        assert after is not None
        assert after.content == before
    drop_master_key(world.service.settings, older, now=world.clock() + timedelta(hours=1))
    world.service.ring.reload()
    assert world.ask(tokens=[token], media=[photo["media_id"]])["decision"]
    again = world.call("POST", "/v1/liveness/sessions", "app", json=body, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()


def test_a_master_key_is_retired_only_when_nothing_is_under_it(world: World) -> None:
    world.consent()
    settings = world.service.settings
    older, newer = rotate(world)
    with pytest.raises(KeyInUse):
        retire_master(settings, older)
    shown = {each["id"]: each for each in list_keys(settings) if each["kind"] == "master"}
    assert shown[older]["wrapped"] > 0
    rewrap(world.service)
    with world.service.database.transaction() as store:
        assert older not in store.under_masters()
    drop_master_key(settings, older, now=world.clock() + timedelta(hours=1))
    assert [each["id"] for each in list_keys(settings) if each["kind"] == "master"] == [newer]


def test_reading_goes_on_while_master_keys_change_and_keys_are_wrapped_again(world: World) -> None:
    """No read fails while two sweeps move the keys of forty owners three times."""
    service, now = world.service, world.clock()
    with service.database.transaction() as store:
        kept = []
        for number in range(40):
            key = service.vault.new_key(store, owner=f"cns_{number}", now=now)
            kept.append(service.vault.put(store, b"%d" % number, kind=Sealed.PORTRAIT, data_key_id=key, now=now))
    stop, faults = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            for number, sealed_id in enumerate(kept):
                try:
                    with service.database.transaction() as store:
                        if service.vault.get(store, sealed_id, owner=f"cns_{number}") != b"%d" % number:
                            faults.append("other content")
                except Exception as error:
                    faults.append(repr(error))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(3):
            _, newer = rotate(world)
            sweeps = [threading.Thread(target=rewrap, args=(service,)) for _ in range(2)]
            for each in sweeps:
                each.start()
            for each in sweeps:
                each.join()
            rewrap(service)  # what one sweep had in hand, the other passed over
            with service.database.transaction() as store:
                assert set(store.under_masters()) == {newer}
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert faults == []


def test_a_key_destroyed_during_a_sweep_stays_destroyed(world: World) -> None:
    service, now = world.service, world.clock()
    with service.database.transaction() as store:
        key = service.vault.new_key(store, owner="cns_1", now=now)
        sealed_id = service.vault.put(store, b"x", kind=Sealed.PORTRAIT, data_key_id=key, now=now)
    rotate(world)
    with service.database.transaction() as store:
        service.vault.destroy_key(store, key, now=now)
        store.sealed_under(key)  # what was changed is sent, and the row is locked
        assert rewrap(service) == 0
    assert rewrap(service) == 0
    with service.database.transaction() as store, pytest.raises(Erased):
        service.vault.get(store, sealed_id, owner="cns_1")


def test_tokens_of_the_older_signing_key_are_taken_after_a_new_one_signs(world: World) -> None:
    consent, settings = world.consent(), world.service.settings
    token, photo = world.token(consent), world.media(png(ALICE))
    made = add_signing_key(settings, now=world.clock(), after=timedelta(minutes=5))
    world.service.ring.reload()
    published = world.call("GET", "/.well-known/jwks.json").json()["keys"]
    assert made in [key["kid"] for key in published]
    assert len(published) == 2
    world.clock.move(301)
    world.service.ring.reload()
    assert world.service.keys.active.kid == made
    assert world.ask(tokens=[token], media=[photo["media_id"]])["decision"]
    assert world.ask(tokens=[world.token(consent)], media=[photo["media_id"]])["decision"]


# --- files and rows --------------------------------------------------------------------------------------------------


def test_a_row_whose_file_is_lost_is_given_up_after_an_hour(world: World) -> None:
    service, now = world.service, world.clock()
    with service.database.transaction() as store:
        key = service.vault.new_key(store, owner="clp_1", now=now)
        kept, lost = (
            service.vault.put(store, b"x" * 100_000, kind=Sealed.CLIP, data_key_id=key, now=now) for _ in range(2)
        )
    service.vault.files.erase(f"{lost[-2:]}/{lost}")
    with service.database.transaction() as store:
        assert service.vault.sweep_orphans(store, now=now) == 0
        assert service.vault.sweep_orphans(store, now=now + timedelta(hours=2)) == 1
    with service.database.transaction() as store:
        assert service.vault.get(store, kept, owner="clp_1") == b"x" * 100_000
        with pytest.raises(Erased):
            service.vault.get(store, lost, owner="clp_1")


def test_nothing_is_given_up_when_the_whole_storage_is_another(world: World, caplog: pytest.LogCaptureFixture) -> None:
    service, now = world.service, world.clock()
    with service.database.transaction() as store:
        key = service.vault.new_key(store, owner="clp_1", now=now)
        kept = service.vault.put(store, b"x" * 100_000, kind=Sealed.CLIP, data_key_id=key, now=now)
    assert isinstance(service.vault.files, FolderFiles)
    away = service.vault.files.folder.rename(service.vault.files.folder.with_name("unmounted"))
    with service.database.transaction() as store:
        assert service.vault.sweep_orphans(store, now=now + timedelta(hours=2)) == 0
    assert "is it the right one" in caplog.text
    away.rename(service.vault.files.folder)
    with service.database.transaction() as store:
        assert service.vault.get(store, kept, owner="clp_1") == b"x" * 100_000


def test_a_storage_that_fails_refuses_and_never_permits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> bytes:
        raise StorageUnavailable("made to fail")

    consent = world.consent()
    monkeypatch.setattr(FolderFiles, "write", fails)
    monkeypatch.setattr(FolderFiles, "erase", fails)
    large = png(ALICE) + bytes(100_000)
    refused = world.call("POST", "/v1/media", "backend", content=large)
    assert (refused.status_code, refused.json()["code"]) == (503, "storage_unavailable")
    # taking a consent back does not wait for the storage
    revoked = world.call("POST", f"/v1/consents/{consent['consent_id']}/revoke", consent["manage_token"])
    assert revoked.status_code == 200
    monkeypatch.undo()
    sweep(world.service)
    listed = {shred.shredded_id for shred in read_shreds(world.service.vault.files)}
    assert row_of(world, consent).data_key_id in listed


# --- the shred list --------------------------------------------------------------------------------------------------


def test_what_is_taken_back_is_outside_the_database_when_the_answer_comes(world: World) -> None:
    consent = world.consent()
    world.call("POST", f"/v1/consents/{consent['consent_id']}/revoke", consent["manage_token"])
    listed = list(read_shreds(world.service.vault.files))
    assert row_of(world, consent).data_key_id in {s.shredded_id for s in listed if s.kind is Shredded.KEY}
    assert {consent_event(s.shredded_id) for s in listed if s.kind is Shredded.CONSENT} == {(consent["consent_id"], 1)}


def test_an_entry_waits_when_it_cannot_be_written_and_rolls_back_with_what_it_tells_of(world: World) -> None:
    service, now = world.service, world.clock()
    with rolled_back(service) as store:
        service.vault.destroy_key(store, service.vault.new_key(store, owner="cns_1", now=now), now=now)
    assert write_down(service.database, service.vault.files) == 0
    with service.database.transaction() as store:
        service.vault.destroy_key(store, service.vault.new_key(store, owner="cns_1", now=now), now=now)
    assert write_down(service.database, service.vault.files) == 1
    assert write_down(service.database, service.vault.files) == 0


def test_a_service_on_the_same_key_file_reads_what_another_sealed(
    world: World, settings: Settings, faces: FaceEngines, clock: Clock
) -> None:
    row = row_of(world, world.consent())
    with open_service(settings, faces=faces, now=clock, database=world.service.database) as other:
        assert isinstance(other.ring, KeyRing)
        with other.database.transaction() as store:
            assert other.vault.get(store, row.templates_id, owner=row.consent_id)
    assert os.environ.get("MIEN_KEYS_JSON") is None
