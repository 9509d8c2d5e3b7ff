"""The log over HTTP and in the database: what anyone can check of it, and what somebody who holds the database can not hide."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from api.cli import main
from api.database import Database, as_service, downgrade, new_engine, upgrade
from api.ledger import append, catch_up, read_witnesses, verify_stored
from api.log_client import LogClient, LogUnreachable
from api.service import Service
from api.settings import Settings, SettingsInvalid, read_settings
from api.sweeping import sweep
from api.witnessing import WitnessStateInvalid, keep_looking, look_once, open_witness_key, vkey_of
from consent.errors import LedgerBroken
from consent.keys import KeySet, SigningKey
from consent.ledger import WitnessPolicy, read_leaf, verify_receipt
from consent.merkle import bundles_of, leaf_hash, root_of, tiles_of, unbundled, verify_consistency, verify_inclusion
from consent.note import Checkpoint, Note, cosign, log_verifiers, open_checkpoint, read_note, read_vkey, sign_note
from consent.witness import Cosigned, NotCosigned, WitnessCode
from tests.api.conftest import World, fresh_database, owner_of
from tests.api.test_consents import revoke
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service

Run = Callable[..., tuple[int, str, str]]

WITNESS_KEY = SigningKey.from_seed(b"w" * 32)
WITNESS = "witness.example/w1"
_AT = LogClient.at  # a test of the command line puts another in its place


def grown(world: World, count: int) -> None:
    """That many more entries, for which nothing was written down, and a checkpoint."""
    with world.service.database.transaction() as store:
        append(store, [("test.grown", f"{number:064x}") for number in range(count)], now=world.clock())
    catch_up(world.service)


def keys(world: World) -> KeySet:
    return KeySet.from_jwks(world.call("GET", "/.well-known/jwks.json").json())


def checkpoint(world: World) -> Checkpoint:
    origin = world.service.settings.log_origin
    note = world.call("GET", "/v1/log/checkpoint").text
    return open_checkpoint(note, log_verifiers(keys(world), origin=origin))[0]


def by_owner(world: World, *statements: str, **values: object) -> None:
    """What somebody does to the database who owns it."""
    with owner_of(world.service.database).begin() as connection:
        for statement in statements:
            connection.execute(text(statement), values)


@contextmanager
def client(world: World) -> Iterator[LogClient]:
    """The log as others reach it."""

    def answer(request: httpx.Request) -> httpx.Response:
        found = world.client.request(
            request.method, request.url.raw_path.decode(), content=request.content, headers=dict(request.headers)
        )
        plain = {name: value for name, value in found.headers.items() if name.lower() != "content-encoding"}
        return httpx.Response(found.status_code, headers=plain, content=found.content)

    with _AT("http://log.example/v1/log/", transport=httpx.MockTransport(answer)) as client:
        yield client


# --- reading ---------------------------------------------------------------------------------------------------------


def test_an_empty_log_has_a_signed_checkpoint_and_keeps_its_name(world: World) -> None:
    answer = world.call("GET", "/v1/log/checkpoint")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "public, max-age=2"
    assert checkpoint(world) == Checkpoint(origin="127.0.0.1:8000/v1/log", size=0, root=root_of([]))
    moved = replace(world.service, settings=replace(world.service.settings, log_origin="elsewhere.example/log"))
    grown(world, 1)
    with moved.database.transaction() as store:
        append(store, [("consent.revoked", "0" * 64)], now=world.clock())
    catch_up(moved)
    assert checkpoint(world).origin == "127.0.0.1:8000/v1/log"


def test_tiles_and_bundles_give_the_tree_that_was_signed(world: World) -> None:
    grown(world, 700)
    signed = checkpoint(world)
    assert signed.size == 700
    leaves = []
    for bundle in bundles_of(700):
        answer = world.call("GET", f"/v1/log/{bundle.path}")
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert ("immutable" in answer.headers["Cache-Control"]) == bundle.full
        leaves += unbundled(answer.content)
    assert root_of(map(leaf_hash, leaves)) == signed.root
    assert [read_leaf(leaf).index for leaf in leaves] == list(range(700))
    tiles = b"".join(world.call("GET", f"/v1/log/{tile.path}").content for tile in tiles_of(700) if tile.level == 0)
    assert tiles == b"".join(map(leaf_hash, leaves))
    second = world.call("GET", "/v1/log/tile/1/000.p/2").content
    assert second == root_of(map(leaf_hash, leaves[:256])) + root_of(map(leaf_hash, leaves[256:512]))


def test_bundles_travel_compressed_to_who_takes_that(world: World) -> None:
    grown(world, 5)
    plain = world.call("GET", "/v1/log/tile/entries/000.p/5", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    packed = world.client.stream("GET", "/v1/log/tile/entries/000.p/5", headers={"Accept-Encoding": "gzip"})
    with packed as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(b"".join(answer.iter_raw())) == plain.content


@pytest.mark.parametrize(
    "path",
    ["tile/0/000", "tile/0/000.p/6", "tile/1/000.p/1", "tile/entries/001.p/1", "tile/0/0", "tile/entries/../000", "tile/",
     "tile/64/000", "tile/0/000.p/256", "proof/inclusion?index=5", "proof/inclusion?index=0&size=6",
     "proof/consistency?first=6", "proof/consistency?first=0&second=6", "proof/consistency?first=4&second=3"],
)  # fmt: skip
def test_what_no_checkpoint_covers_is_not_there(world: World, path: str) -> None:
    grown(world, 5)
    answer = world.call("GET", f"/v1/log/{path}")
    assert (answer.status_code, code(answer)) == (404, "not_found")


def test_an_entry_shows_only_once_it_stands_under_a_checkpoint(world: World) -> None:
    grown(world, 3)
    with world.service.database.transaction() as store:
        append(store, [("consent.granted", "0" * 64)], now=world.clock())
    assert world.call("GET", "/v1/log/tile/0/000.p/4").status_code == 404
    sweep(world.service)
    assert world.call("GET", "/v1/log/tile/0/000.p/4").status_code == 200
    before = checkpoint(world)
    sweep(world.service)
    assert checkpoint(world) == before


def test_proofs_for_who_cannot_compute_them_from_tiles(world: World) -> None:
    grown(world, 40)
    signed = checkpoint(world)

    def bytes_of(value: str) -> bytes:
        return base64.b64decode(value)

    for index in (0, 17, 39):
        found = world.call("GET", f"/v1/log/proof/inclusion?index={index}").json()
        assert bytes_of(found["root"]) == signed.root
        verify_inclusion(
            index=index,
            size=found["size"],
            leaf=bytes_of(found["leaf_hash"]),
            proof=[bytes_of(step) for step in found["proof"]],
            root=signed.root,
        )
    for first in (0, 1, 23, 40):
        found = world.call("GET", f"/v1/log/proof/consistency?first={first}").json()
        verify_consistency(
            first=first,
            first_root=bytes_of(found["first_root"]),
            second=40,
            second_root=signed.root,
            proof=[bytes_of(step) for step in found["proof"]],
        )
    assert code(world.call("GET", "/v1/log/proof/inclusion?index=-1")) == "request_invalid"


def test_the_log_as_served_is_verified_from_outside(world: World) -> None:
    grown(world, 300)
    with client(world) as log:
        found = log.verify(log.keys(), origin=None)
        assert (found.size, found.root) == (300, checkpoint(world).root)
        with pytest.raises(LedgerBroken):
            log.verify(log.keys(), origin="another.example/log")
        with pytest.raises(LedgerBroken, match="not signed"):
            log.verify(KeySet.of(WITNESS_KEY), origin=None)
        by_owner(world, "UPDATE ledger_entries SET digest = repeat('f', 64) WHERE entry_index IN (17, 290)")
        with pytest.raises(LedgerBroken) as caught:
            log.verify(log.keys(), origin=None)
        assert caught.value.index == 17


def test_what_is_no_log_is_said_in_one_line(world: World) -> None:
    with pytest.raises(LogUnreachable), LogClient.at("file:///etc/passwd"):
        pass
    with client(world) as log, pytest.raises(LogUnreachable, match="404 not_found"):
        log.tile(tiles_of(5)[0])
    for answer in (httpx.Response(200, content=b"\xff"), httpx.Response(200, content=b"a\n"), httpx.Response(500)):
        transport = httpx.MockTransport(lambda _, answer=answer: answer)  # type: ignore[misc]
        with LogClient.at("http://log.example", transport=transport) as log, pytest.raises(LogUnreachable):
            log.verify(keys(world), origin=None)


# --- receipts --------------------------------------------------------------------------------------------------------


def test_a_receipt_holds_and_comes_as_one_tlog_proof_too(world: World) -> None:
    consent = world.consent()
    grown(world, 3)
    path = f"/v1/consents/{consent['consent_id']}"
    answer = world.call("GET", f"{path}/receipt", consent["manage_token"])
    assert answer.text.startswith("c2sp.org/tlog-proof@v1\nextra ")
    assert f"{consent['consent_id']}.tlog-proof" in answer.headers["Content-Disposition"]
    for receipt, size in ((answer.text, 4), (json.dumps(consent["receipt"]), 1)):
        found = verify_receipt(receipt, keys(world), origin="127.0.0.1:8000/v1/log")
        assert (found.entry.index, found.checkpoint.size) == (0, size)
    revoke(world, consent)
    # the manage token still opens it: the person keeps proof of the withdrawal
    last = world.call("GET", f"{path}/receipt", consent["manage_token"]).text
    assert verify_receipt(last, keys(world)).event.kind == "consent.revoked"
    assert code(world.call("GET", f"{path}/receipt", "backend")) in ("forbidden", "not_found")


def test_leaves_say_nothing_about_people_and_stay_provable_when_the_salt_is_gone(world: World) -> None:
    consent = world.consent()
    grown(world, 3)
    leaf = unbundled(world.call("GET", "/v1/log/tile/entries/000.p/4").content)[0]
    shown = json.loads(leaf)
    assert set(shown) == {"at", "digest", "index", "kind", "ledger"}
    for personal in ("user-1", consent["consent_id"].encode().hex(), consent["consent_id"]):
        assert personal not in leaf.decode()
    by_owner(world, "UPDATE consents SET salt = ''")
    assert world.call("GET", "/v1/audit/log", "auditor").json()["valid"] is True
    assert verify_receipt(json.dumps(consent["receipt"]), keys(world)).entry.index == 0


# --- whoever holds the database --------------------------------------------------------------------------------------

CHANGES: list[tuple[str, int, str, list[str]]] = [
    ("an entry changed", 4, "altered", ["UPDATE ledger_entries SET digest = repeat('f', 64) WHERE entry_index = 4"]),
    ("a kind changed", 6, "altered", ["UPDATE ledger_entries SET kind = 'consent.revoked' WHERE entry_index IN (6, 8)"]),
    ("a kind that is none", 2, "not an entry", ["UPDATE ledger_entries SET kind = 'Someone!' WHERE entry_index = 2"]),
    ("a time set back", 3, "earlier", ["UPDATE ledger_entries SET at = at - interval '1 day' WHERE entry_index = 3"]),
    ("an entry dropped", 5, "missing", ["DELETE FROM ledger_entries WHERE entry_index = 5"]),
    ("the last one dropped", 11, "missing", ["DELETE FROM ledger_entries WHERE entry_index = 11"]),
    (
        "the last two dropped with their nodes",
        10,
        "checkpoint of 12",
        [
            "DELETE FROM ledger_entries WHERE entry_index >= 10",
            "DELETE FROM log_nodes WHERE (node_index + 1) * (1 << level) > 10",
        ],
    ),
    (
        "two swapped",
        7,
        "altered",
        ["UPDATE ledger_entries a SET digest = b.digest FROM ledger_entries b WHERE a.entry_index IN (7, 9) "
         "AND b.entry_index = 16 - a.entry_index"],
    ),
    (
        "an entry dropped, the rest moved up",
        1,
        "altered",
        ["DELETE FROM ledger_entries WHERE entry_index = 1",
         "UPDATE ledger_entries SET entry_index = -entry_index WHERE entry_index > 1",
         "UPDATE ledger_entries SET entry_index = -entry_index - 1 WHERE entry_index < 0"],
    ),
    ("a leaf's hash changed", 3, "node 3 of level 0",
     ["UPDATE log_nodes SET hash = '\\x00' WHERE (level, node_index) = (0, 3)"]),
    ("a node changed", 4, "node 1 of level 2", ["UPDATE log_nodes SET hash = sha256('') WHERE (level, node_index) = (2, 1)"]),
    ("a node dropped", 8, "node 4 of level 1", ["DELETE FROM log_nodes WHERE (level, node_index) = (1, 4)"]),
    ("a checkpoint's root changed", 11, "checkpoint of 12", ["UPDATE log_checkpoints SET root = sha256('') WHERE size = 12"]),
    ("a checkpoint's text changed", 4, "not signed", ["UPDATE log_checkpoints SET note = 'x' || note WHERE size = 5"]),
    ("a checkpoint's size changed", 3, "filed under", ["UPDATE log_checkpoints SET size = 4 WHERE size = 5"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("index", "why", "statements"), [change[1:] for change in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_whoever_rewrites_the_database_is_found_out_at_the_first_wrong_entry(
    world: World, index: int, why: str, statements: list[str]
) -> None:
    grown(world, 5)
    grown(world, 7)
    assert world.call("GET", "/v1/audit/log", "auditor").json()["size"] == 12
    by_owner(world, *statements)
    with world.service.database.transaction() as store, pytest.raises(LedgerBroken) as caught:
        verify_stored(store, world.service.keys.public)
    assert (caught.value.index, why in caught.value.why) == (index, True), caught.value
    answer = world.call("GET", "/v1/audit/log", "auditor")
    assert (answer.status_code, code(answer)) == (500, "ledger_broken")


REWRITE = "UPDATE ledger_entries SET digest = repeat('f', 64) WHERE entry_index = 2"


def forget_tree(world: World, *, signed: bool) -> None:
    """Rewrite entry 2, and let the service build the tree again from what is there."""
    tables = ["log_nodes", *(["log_cosignatures", "log_checkpoints"] if signed else [])]
    by_owner(world, REWRITE, *(f"DELETE FROM {table}" for table in tables))  # noqa: S608


def test_the_service_signs_no_tree_that_contradicts_what_it_signed(world: World) -> None:
    grown(world, 5)
    forget_tree(world, signed=False)
    session = world.shown_live()
    with pytest.raises(LedgerBroken):
        grown(world, 1)
    body = {"session_id": session["session_id"], "terms_sha256": "0" * 64, "purposes": ["digital_double"]}
    assert world.call("POST", "/v1/consents", session["client_token"], json=body).status_code >= 400
    assert checkpoint(world).size == 5


# --- witnesses -------------------------------------------------------------------------------------------------------


def heard(world: World, *names: str) -> None:
    """From now on this service hears these witnesses; all have the same key here."""
    known = tuple(read_vkey(vkey_of(WITNESS_KEY, name=name)) for name in names)
    world.client.app.state.service = replace(world.service, witnesses=known)  # type: ignore[attr-defined]


def look(world: World, state: Path, **more: Any) -> Cosigned | NotCosigned:
    asked: dict[str, Any] = {"name": WITNESS, "keys": None, "now": world.clock()} | more
    with client(world) as log:
        return look_once(log, state, WITNESS_KEY, **asked)


def test_a_witness_follows_the_log_and_receipts_carry_its_word(world: World, tmp_path: Path) -> None:
    heard(world, WITNESS)
    consent = world.consent()
    state = tmp_path / "seen.json"
    first = look(world, state)
    assert isinstance(first, Cosigned)
    assert first.checkpoint.size == 1
    assert read_note(world.call("GET", "/v1/log/checkpoint").text).signatures[-1].name == WITNESS
    grown(world, 300)
    assert isinstance(look(world, state), Cosigned)
    assert isinstance(look(world, state), Cosigned)  # nothing new: the same again, with a later time

    policy = WitnessPolicy(witnesses=(read_vkey(vkey_of(WITNESS_KEY, name=WITNESS)),), quorum=1)
    shown = world.call("GET", f"/v1/consents/{consent['consent_id']}", consent["manage_token"]).json()["receipt"]
    found = verify_receipt(json.dumps(shown), keys(world), policy=policy)
    assert (found.checkpoint.size, [one.at for one in found.witnesses]) == (301, [world.clock()])


def test_a_receipt_prefers_a_checkpoint_that_was_cosigned_to_a_later_one_that_was_not(
    world: World, tmp_path: Path
) -> None:
    heard(world, WITNESS)
    consent = world.consent()
    look(world, tmp_path / "seen.json")
    grown(world, 3)
    shown = world.call("GET", f"/v1/consents/{consent['consent_id']}", consent["manage_token"]).json()["receipt"]
    assert verify_receipt(json.dumps(shown), keys(world)).checkpoint.size == 1


def test_a_split_view_is_refused_with_evidence(world: World, tmp_path: Path) -> None:
    heard(world, WITNESS)
    grown(world, 5)
    state = tmp_path / "seen.json"
    seen = look(world, state)
    remembered = state.read_text()
    forget_tree(world, signed=True)
    catch_up(world.service)  # the same key signs another tree of five entries
    assert isinstance(seen, Cosigned)
    assert checkpoint(world).root != seen.checkpoint.root
    assert look(world, state) == NotCosigned(code=WitnessCode.SPLIT_VIEW)
    grown(world, 4)
    assert look(world, state) == NotCosigned(code=WitnessCode.BAD_PROOF)
    assert state.read_text() == remembered
    evidence = json.loads((tmp_path / "seen.json.refused").read_text())
    known = log_verifiers(keys(world), origin="127.0.0.1:8000/v1/log")
    sizes = {name: open_checkpoint(note, known)[0].size for name, note in evidence.items()}
    assert sizes == {"seen": 5, "shown": 9}  # both signed by the log: that is what proves it


def test_a_log_that_lost_entries_is_refused(world: World, tmp_path: Path) -> None:
    heard(world, WITNESS)
    grown(world, 5)
    look(world, tmp_path / "seen.json")
    by_owner(
        world,
        "DELETE FROM ledger_entries WHERE entry_index > 2",
        *(f"DELETE FROM {table}" for table in ("log_cosignatures", "log_checkpoints", "log_nodes")),  # noqa: S608
    )
    catch_up(world.service)
    assert look(world, tmp_path / "seen.json") == NotCosigned(code=WitnessCode.ROLLBACK)


def test_a_witness_that_was_given_the_logs_keys_trusts_no_others(world: World, tmp_path: Path) -> None:
    found = look(world, tmp_path / "seen.json", keys=KeySet.of(WITNESS_KEY))
    assert found == NotCosigned(code=WitnessCode.BAD_SIGNATURE)
    assert not (tmp_path / "seen.json").exists()


def test_only_named_witnesses_and_only_our_checkpoints_are_kept(world: World) -> None:
    grown(world, 2)
    note = read_note(world.call("GET", "/v1/log/checkpoint").text)

    def hand_in(text_: str, by: SigningKey = WITNESS_KEY, name: str = WITNESS) -> Any:
        line = cosign(text_, by, name=name, at=world.clock())
        body = Note(text=text_, signatures=(line,)).to_text().encode()
        return world.call("POST", "/v1/log/cosignatures", content=body)

    assert (hand_in(note.text).status_code, code(hand_in(note.text))) == (403, "note_unsigned")
    heard(world, WITNESS)
    for stranger in (hand_in(note.text, world.service.keys.active), hand_in(note.text, name="witness.example/w2")):
        assert code(stranger) == "note_unsigned"
    for other in (
        Checkpoint(origin="127.0.0.1:8000/v1/log", size=2, root=bytes(32)).text,
        Checkpoint(origin="127.0.0.1:8000/v1/log", size=9, root=bytes(32)).text,
        note.text + "an extension\n",
    ):
        assert (hand_in(other).status_code, code(hand_in(other))) == (409, "checkpoint_unknown")
    assert hand_in(note.text).json() == hand_in(note.text).json() == {"witnesses": [WITNESS]}
    assert world.call("GET", "/v1/log/checkpoint").text.count(WITNESS) == 1
    for body in (b"", b"\xff\xfe", b"a\n\nb\n", note.text.encode()):
        assert (code(world.call("POST", "/v1/log/cosignatures", content=body))) == "note_invalid"
    forged = sign_note(note.text, WITNESS_KEY, name=WITNESS)  # a log's kind of signature, not a witness's
    body = Note(text=note.text, signatures=(forged,)).to_text().encode()
    assert code(world.call("POST", "/v1/log/cosignatures", content=body)) == "note_unsigned"


def test_a_witness_goes_on_when_the_log_is_away_and_stops_when_it_is_refused() -> None:
    rounds: Iterator[Any] = iter(
        [LogUnreachable("away"), LogUnreachable("away"), NotCosigned(code=WitnessCode.ROLLBACK)]
    )
    said: list[str] = []

    def step() -> Cosigned | NotCosigned:
        found = next(rounds)
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[no-any-return]

    waits: list[None] = []
    found = keep_looking(step, say=said.append, wait=lambda: waits.append(None))
    assert (found.code, len(said), len(waits)) == (WitnessCode.ROLLBACK, 2, 2)


@pytest.mark.parametrize("content", ["", "{}", '{"version": 1, "origin": "a", "log": [], "note": null}', "null"])
def test_a_witness_never_forgets_by_itself(world: World, tmp_path: Path, content: str) -> None:
    state = tmp_path / "seen.json"
    state.write_text(content)
    with pytest.raises(WitnessStateInvalid):
        look(world, state)
    assert state.read_text() == content


def test_a_witness_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "witness.pem"
    assert open_witness_key(file).kid == open_witness_key(file).kid
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    with pytest.raises(WitnessStateInvalid, match="chmod 600"):
        open_witness_key(file)
    file.chmod(0o600)
    file.write_text("no key")
    with pytest.raises(WitnessStateInvalid):
        open_witness_key(file)
    with pytest.raises(WitnessStateInvalid, match="no plus"):
        vkey_of(WITNESS_KEY, name="a+b")


def test_the_file_of_witnesses_is_read_or_stops_the_start(tmp_path: Path) -> None:
    vkey = vkey_of(WITNESS_KEY, name=WITNESS)
    file = tmp_path / "witnesses"
    file.write_text(f"# who watches us\n\n{vkey}  # by post, 3 May\n")
    assert [witness.vkey for witness in read_witnesses(file)] == [vkey]
    log_key = log_verifiers(KeySet.of(WITNESS_KEY), origin=WITNESS)[0].vkey
    for content in (vkey[:-2], log_key, f"{vkey} {vkey}"):
        file.write_text(content)
        with pytest.raises(SettingsInvalid, match="line 1"):
            read_witnesses(file)
    file.write_text(f"{vkey}\n{vkey_of(WITNESS_KEY, name='another.name')}\n")  # one key is one witness
    with pytest.raises(SettingsInvalid, match="line 2"):
        read_witnesses(file)
    with pytest.raises(SettingsInvalid):
        read_witnesses(tmp_path / "none")


def test_the_name_of_the_log_is_its_address_unless_it_has_one() -> None:
    assert read_settings({}).log_origin == Settings().log_origin == "127.0.0.1:8000/v1/log"
    assert read_settings({"MIEN_PUBLIC_URL": "https://mien.example/"}).log_origin == "mien.example/v1/log"
    assert read_settings({"MIEN_LOG_ORIGIN": "mien.example/one"}).log_origin == "mien.example/one"
    for bad in ("a b", "a+b", "x" * 300):
        with pytest.raises(SettingsInvalid, match="MIEN_LOG_ORIGIN"):
            read_settings({"MIEN_LOG_ORIGIN": bad})


def test_a_service_that_reads_a_bad_entry_time_keeps_the_order(world: World) -> None:
    """A clock that went back: the entry takes the time of the one before."""
    grown(world, 1)
    with world.service.database.transaction() as store:
        entry = append(store, [("consent.revoked", "0" * 64)], now=world.clock() - timedelta(days=1))[0]
    assert entry.at == world.clock()


# --- from the first release and back ---------------------------------------------------------------------------------


def chained(index: int, at: str, previous: str) -> dict[str, Any]:
    """An entry as the first release made it, by hand."""
    entry: dict[str, Any] = {"at": at, "digest": f"{index:064x}", "index": index, "kind": "consent.granted"}
    content = entry | {"ledger": "mien-ledger-1", "previous": previous}
    text_ = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return entry | {"previous": previous, "entry_hash": hashlib.sha256(text_.encode()).hexdigest()}


INSERT = text(
    "INSERT INTO ledger_entries (entry_index, at, kind, digest, previous, entry_hash) "
    "VALUES (:index, :at, :kind, :digest, :previous, :entry_hash)"
)


def test_what_the_first_release_wrote_comes_into_the_tree_and_goes_back_into_a_chain(
    service: Service, server: str
) -> None:
    with fresh_database(server) as url:
        upgrade(url, target="0004")
        owner = create_engine(url, poolclass=NullPool)
        chain = [chained(0, "2027-01-01T00:00:00.000000Z", "0" * 64)]
        for index in range(1, 4):
            chain.append(chained(index, f"2027-01-0{index}T00:00:00.125000Z", chain[-1]["entry_hash"]))
        with owner.begin() as connection:
            connection.execute(INSERT, chain[:3])
        upgrade(url)
        database = Database(as_service(url), new_engine(as_service(url)), url)
        ours = replace(service, database=database)
        assert catch_up(ours) == 3
        with database.engine.begin() as connection:
            connection.execute(INSERT, chain[3])  # a process of the first release that still runs
        with database.transaction() as store:
            append(store, [("consent.revoked", "f" * 64)], now=ours.now())
        assert catch_up(ours) == 5
        with database.transaction() as store:
            before = verify_stored(store, ours.keys.public)
        assert (before.size, before.checkpoints) == (5, 2)

        downgrade(url, target="0004")
        with owner.connect() as connection:
            rows = connection.execute(
                text("SELECT previous, entry_hash FROM ledger_entries ORDER BY entry_index")
            ).all()
        assert [tuple(row) for row in rows[:4]] == [(entry["previous"], entry["entry_hash"]) for entry in chain]
        assert rows[4][0] == chain[3]["entry_hash"]
        assert len(rows[4][1]) == 64
        with owner.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
            connection.execute(text("DELETE FROM ledger_entries"))

        upgrade(url)
        database.engine.dispose()
        assert catch_up(ours) == 5
        with database.transaction() as store:
            assert verify_stored(store, ours.keys.public).root == before.root
        database.engine.dispose()


def test_with_the_owners_login_alone_connections_step_down(world: World) -> None:
    engine = new_engine(world.service.database.owner_url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT current_user")) == "mien_service"
        with pytest.raises(DBAPIError, match="permission denied"):
            connection.execute(text("DELETE FROM ledger_entries"))
    engine.dispose()


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def mien(world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """The command line on this world's settings, with its service at every address."""
    settings = world.service.settings
    monkeypatch.setenv("MIEN_DATABASE_URL", world.service.database.url)
    monkeypatch.setenv("MIEN_KEYS", str(settings.keys))
    monkeypatch.setattr(LogClient, "at", lambda _url: client(world))

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["ledger", *map(str, arguments)])
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return run


def test_verify_says_whether_the_log_holds_here_and_from_outside(world: World, mien: Run) -> None:
    grown(world, 5)
    for where in (["--database"], [], ["--url", "http://log.example"]):
        status, out, _ = mien("verify", *where)
        found = json.loads(out)
        assert (status, found["valid"], found["entries"], found["signed"]) == (0, True, 5, 5)
    by_owner(world, REWRITE)
    for where in (["--database"], ["--url", "http://log.example"]):
        status, out, _ = mien("verify", *where)
        found = json.loads(out)
        assert (status, found["valid"], found["code"], found["index"]) == (1, False, "ledger_broken", 2)


def test_witness_and_verify_from_the_command_line(world: World, mien: Run, tmp_path: Path) -> None:
    consent = world.consent()
    asked = ["witness", "--url", "http://log.example", "--state", tmp_path / "seen.json", "--key", tmp_path / "w.pem",
             "--name", WITNESS, "--once"]  # fmt: skip
    status, out, err = mien(*asked)
    assert (status, out, "note_unsigned: its operator has yet to add this witness" in err) == (2, "", True)
    vkey = err.splitlines()[0].removeprefix("mien: this witness is ")
    (tmp_path / "witnesses").write_text(vkey)
    witnesses = read_witnesses(tmp_path / "witnesses")
    world.client.app.state.service = replace(world.service, witnesses=witnesses)  # type: ignore[attr-defined]
    status, out, _ = mien(*asked)
    assert (status, json.loads(out)["cosigned"]) == (0, 1)

    receipt = tmp_path / "one.tlog-proof"
    path = f"/v1/consents/{consent['consent_id']}/receipt"
    receipt.write_text(world.call("GET", path, consent["manage_token"]).text)
    proof = ["verify", "--proof", receipt, "--witnesses", tmp_path / "witnesses"]
    status, out, _ = mien(*proof)
    assert (status, json.loads(out)["witnesses"], json.loads(out)["index"]) == (0, [WITNESS], 0)
    assert mien(*proof, "--quorum", 2)[0] == 2
    receipt.write_text(json.dumps(consent["receipt"]))
    status, out, _ = mien(*proof)
    assert (status, json.loads(out)["code"]) == (1, "not_witnessed")

    by_owner(
        world,
        "UPDATE ledger_entries SET digest = repeat('f', 64)",
        *(f"DELETE FROM {table}" for table in ("log_cosignatures", "log_checkpoints", "log_nodes")),  # noqa: S608
    )
    catch_up(world.service)
    status, out, err = mien(*asked)
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].startswith("mien: split_view: the log has the same number of entries as before")
