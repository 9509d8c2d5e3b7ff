"""The service's own keys while it runs: added, reloaded, retired, and in the hands of a key management service."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from api.keys import (
    KeyRing,
    KeysInvalid,
    MasterKey,
    Masters,
    MasterUnavailable,
    MasterUnknown,
    Remembering,
    Unsealable,
    add_master_key,
    add_signing_key,
    drop_master_key,
    open_keys,
)
from api.settings import Settings
from tests.api.conftest import Clock

NOW = datetime(2027, 1, 1, tzinfo=UTC)
SECRET = b"d" * 32


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(keys=tmp_path / "keys.json")


def ring_of(settings: Settings, clock: Clock) -> KeyRing:
    return KeyRing(settings, now=clock)


def test_a_new_signing_key_is_published_before_it_signs(settings: Settings, clock: Clock) -> None:
    ring = ring_of(settings, clock)
    old = ring.current().active.kid
    made = add_signing_key(settings, now=clock(), after=timedelta(minutes=10))
    keys = ring.reload()
    assert keys.active.kid == old
    assert set(keys.public.kids) == {old, made}
    clock.move(599)
    assert ring.reload().active.kid == old
    clock.move(1)
    assert ring.reload().active.kid == made
    assert set(ring.reload().public.kids) == {old, made}  # what the old one signed still verifies
    assert open_keys(settings, now=clock()).active.kid == made  # and so after a restart


def test_a_running_process_sees_a_new_key_within_seconds(settings: Settings, clock: Clock) -> None:
    ring = ring_of(settings, clock)
    made = add_signing_key(settings, now=clock(), after=timedelta())
    until = time.monotonic() + 10
    while ring.current().active.kid != made and time.monotonic() < until:
        time.sleep(0.05)
    assert ring.current().active.kid == made


def test_a_new_master_key_opens_at_once_and_wraps_later(settings: Settings, clock: Clock) -> None:
    ring = ring_of(settings, clock)
    old = ring.current().masters.newest
    made = add_master_key(settings, now=clock(), after=timedelta(seconds=5))
    assert ring.reload().masters.newest == old
    assert ring.reload().masters.knows(made)
    clock.move(5)
    assert ring.reload().masters.newest.key_id == made
    wrapped = old.wrap(SECRET, about="x")
    assert ring.unwrap(wrapped, by=old.key_id, about="x") == SECRET


def test_what_another_process_wrapped_a_moment_ago_opens(settings: Settings, clock: Clock) -> None:
    """This one has not looked at the file yet."""
    ring = ring_of(settings, clock)
    made = add_master_key(settings, now=clock(), after=timedelta())
    newest = open_keys(settings, now=clock()).masters.newest
    assert newest.key_id == made
    assert ring.unwrap(newest.wrap(SECRET, about="x"), by=made, about="x") == SECRET
    assert ring.open_answer(newest.wrap(SECRET, about="x"), by=made, about="x") == SECRET


@pytest.mark.parametrize("damage", ["", "{}", '{"version": 3}', "\x00"])
def test_a_file_that_was_damaged_changes_nothing_for_who_runs(
    settings: Settings, clock: Clock, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    ring = ring_of(settings, clock)
    before = ring.current()
    settings.keys.write_text(damage)
    assert ring.reload() == before
    assert "stay as they were" in caplog.text
    settings.keys.unlink()
    assert ring.reload() == before
    assert not settings.keys.exists()


def test_a_file_opened_to_others_is_not_taken(settings: Settings, clock: Clock) -> None:
    ring = ring_of(settings, clock)
    add_signing_key(settings, now=clock(), after=timedelta())
    settings.keys.chmod(0o644)
    assert len(ring.reload().signing) == 1


def test_two_rotations_at_once_lose_no_key(settings: Settings) -> None:
    open_keys(settings, now=NOW)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: add_signing_key(settings, now=NOW), range(16)))
    keys = open_keys(settings, now=NOW)
    assert set(made) < set(keys.public.kids)
    assert len(keys.signing) == 17
    assert settings.keys.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in settings.keys.parent.iterdir()] == ["keys.json"]


def test_the_master_key_in_use_is_not_dropped_nor_one_that_just_was(settings: Settings) -> None:
    first = open_keys(settings, now=NOW).masters.newest.key_id
    with pytest.raises(KeysInvalid, match="wraps"):
        drop_master_key(settings, first, now=NOW)
    second = add_master_key(settings, now=NOW, after=timedelta())
    for now, key_id in ((NOW, first), (NOW + timedelta(seconds=59), first), (NOW + timedelta(hours=1), second)):
        with pytest.raises(KeysInvalid, match="wraps"):
            drop_master_key(settings, key_id, now=now)
    with pytest.raises(KeysInvalid, match="no master key"):
        drop_master_key(settings, "mk_0000000000000000", now=NOW + timedelta(hours=1))
    drop_master_key(settings, first, now=NOW + timedelta(minutes=1))
    keys = open_keys(settings, now=NOW + timedelta(hours=1))
    assert [wrapper.key_id for wrapper in keys.masters.wrappers] == [second]
    with pytest.raises(MasterUnknown):
        keys.masters.unwrap(b"x" * 60, by=first, about="x")


def test_a_key_file_of_the_first_release_is_read_and_keeps_knowing_people(settings: Settings) -> None:
    made = json.loads(_new_file(settings))
    old = {
        "version": 1,
        "signing": [made["signing"][0]["key"]],
        "master": made["masters"][0]["key"],
        "authority": made["authority"],
    }
    settings.keys.write_text(json.dumps(old))
    keys = open_keys(settings, now=NOW)
    raw = base64.b64decode(old["master"])
    assert keys.masters.unwrap(MasterKey(raw).wrap(SECRET, about="x"), by=None, about="x") == SECRET
    known = keys.blind("subject", "user-1")
    add_master_key(settings, now=NOW, after=timedelta())
    assert json.loads(settings.keys.read_text())["version"] == 2
    again = open_keys(settings, now=NOW)
    assert again.blind("subject", "user-1") == known
    assert again.active.kid == keys.active.kid
    assert again.masters.unwrap(MasterKey(raw).wrap(SECRET, about="x"), by=None, about="x") == SECRET


def _new_file(settings: Settings) -> str:
    open_keys(settings, now=NOW)
    return settings.keys.read_text()


def test_keys_of_the_environment_cannot_be_rotated(settings: Settings) -> None:
    given = replace(settings, keys_json=_new_file(settings))
    with pytest.raises(KeysInvalid, match="MIEN_KEYS_JSON"):
        add_signing_key(given, now=NOW)


def test_no_secret_is_in_the_repr_of_keys(settings: Settings, clock: Clock) -> None:
    content = json.loads(_new_file(settings))
    shown = repr(ring_of(settings, clock).current())
    for secret in (content["masters"][0]["key"], content["blinding"], repr(base64.b64decode(content["blinding"]))):
        assert secret not in shown
    assert "PRIVATE" not in shown


@hypothesis_settings(max_examples=200, print_blob=True, deadline=None)
@given(data_key=st.binary(min_size=32, max_size=32), bit=st.integers(0, 60 * 8 - 1), other=st.text(max_size=20))
def test_any_flipped_bit_and_any_other_purpose_is_refused(data_key: bytes, bit: int, other: str) -> None:
    masters = Masters((MasterKey(b"m" * 32), MasterKey(b"n" * 32)))
    by, wrapped = masters.newest.key_id, masters.newest.wrap(data_key, about="data-key|1")
    assert masters.unwrap(wrapped, by=by, about="data-key|1") == data_key
    flipped = bytearray(wrapped)
    flipped[bit // 8] ^= 1 << bit % 8
    for sealed, about in ((bytes(flipped), "data-key|1"), (wrapped, f"data-key|1{other or '|'}")):
        with pytest.raises(Unsealable):
            masters.unwrap(sealed, by=by, about=about)
    with pytest.raises(Unsealable):
        masters.unwrap(wrapped, by=masters.wrappers[1].key_id, about="data-key|1")


# --- key management services -----------------------------------------------------------------------------------------


class Counting:
    """A key far away that counts how often it is asked, and can be cut off."""

    key_id = "far_1"

    def __init__(self) -> None:
        self.asked, self.reachable = 0, True

    def opens(self, key_id: str) -> bool:
        return key_id == self.key_id

    def wrap(self, data_key: bytes, *, about: str) -> bytes:
        return MasterKey(b"f" * 32).wrap(data_key, about=about)

    def unwrap(self, wrapped: bytes, *, about: str) -> bytes:
        self.asked += 1
        if not self.reachable:
            raise MasterUnavailable("cut off")
        return MasterKey(b"f" * 32).unwrap(wrapped, about=about)


def test_a_far_key_is_asked_once_for_each_data_key() -> None:
    far = Counting()
    wrapped = far.wrap(SECRET, about="x")
    near = Remembering(far)
    assert [near.unwrap(wrapped, about="x") for _ in range(5)] == [SECRET] * 5
    assert far.asked == 1
    with pytest.raises(Unsealable):  # what is remembered is bound to its purpose too
        near.unwrap(wrapped, about="y")
    far.reachable = False
    with pytest.raises(MasterUnavailable):
        near.unwrap(far.wrap(SECRET, about="x"), about="x")
    assert "d" * 32 not in repr(near)


def keyset(path: Path) -> None:
    tink = pytest.importorskip("tink", reason="mien[kms] is not installed")
    from tink import aead, json_proto_keyset_format, secret_key_access

    aead.register()
    handle = tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM)
    path.write_text(json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN))
    path.chmod(0o600)


def test_a_tink_keyset_wraps_data_keys_and_the_file_still_opens_its_own(tmp_path: Path, settings: Settings) -> None:
    before = open_keys(settings, now=NOW).masters.newest
    keyset(tmp_path / "keyset.json")
    keys = open_keys(replace(settings, master_key=(f"tink-keyset:{tmp_path / 'keyset.json'}",)), now=NOW)
    newest = keys.masters.newest
    assert newest.key_id.startswith("tink_")
    wrapped = newest.wrap(SECRET, about="data-key|1")
    assert keys.masters.unwrap(wrapped, by=newest.key_id, about="data-key|1") == SECRET
    assert keys.masters.unwrap(before.wrap(SECRET, about="x"), by=before.key_id, about="x") == SECRET
    assert keys.answers.newest == before  # an answer is not worth a call to a service far away
    for place in range(0, len(wrapped), 7):
        flipped = bytearray(wrapped)
        flipped[place] ^= 1
        with pytest.raises(Unsealable):
            keys.masters.unwrap(bytes(flipped), by=newest.key_id, about="data-key|1")
    with pytest.raises(Unsealable):
        keys.masters.unwrap(wrapped, by=newest.key_id, about="data-key|2")


def test_a_rotated_tink_keyset_opens_what_its_older_key_wrapped(tmp_path: Path, settings: Settings) -> None:
    one, two, both = (tmp_path / f"{name}.json" for name in ("one", "two", "both"))
    keyset(one)
    keyset(two)
    old, new = json.loads(one.read_text()), json.loads(two.read_text())
    both.write_text(json.dumps({"primaryKeyId": new["primaryKeyId"], "key": [*old["key"], *new["key"]]}))
    both.chmod(0o600)
    first = open_keys(replace(settings, master_key=(f"tink-keyset:{one}",)), now=NOW).masters.newest
    masters = open_keys(replace(settings, master_key=(f"tink-keyset:{both}",)), now=NOW).masters
    assert masters.newest.key_id != first.key_id
    assert masters.unwrap(first.wrap(SECRET, about="x"), by=first.key_id, about="x") == SECRET


def test_a_key_management_service_wraps_through_tink(settings: Settings, tmp_path: Path) -> None:
    tink = pytest.importorskip("tink", reason="mien[kms] is not installed")
    from tink import aead, proto_keyset_format, secret_key_access
    from tink.testing import fake_kms

    aead.register()
    fake_kms.register_client()
    handle = tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM)
    serialized = proto_keyset_format.serialize(handle, secret_key_access.TOKEN)
    uri = "fake-kms://" + base64.urlsafe_b64encode(serialized).decode().rstrip("=")
    keys = open_keys(replace(settings, master_key=(uri, "file:")), now=NOW)
    newest = keys.masters.newest
    assert newest.key_id.startswith("fake-kms_")
    assert keys.masters.unwrap(newest.wrap(SECRET, about="x"), by=newest.key_id, about="x") == SECRET
    assert uri not in repr(keys)


@pytest.mark.parametrize("uri", ["nobody-kms://key", "aws-kms://not-an-arn", "tink-keyset:/nowhere/keyset.json"])
def test_a_master_key_that_cannot_be_opened_stops_the_start(settings: Settings, uri: str) -> None:
    with pytest.raises(KeysInvalid) as caught:
        open_keys(replace(settings, master_key=(uri,)), now=NOW)
    assert uri.partition(":")[2] not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_keyset_that_others_may_read_stops_the_start(settings: Settings, tmp_path: Path) -> None:
    keyset(tmp_path / "keyset.json")
    (tmp_path / "keyset.json").chmod(0o640)
    with pytest.raises(KeysInvalid, match="chmod 600"):
        open_keys(replace(settings, master_key=(f"tink-keyset:{tmp_path / 'keyset.json'}",)), now=NOW)
