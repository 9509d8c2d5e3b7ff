"""Backups that can be restored, and that revive nothing.

A backup is a folder: ``manifest.json`` with the hash of everything, signed in ``manifest.jws``; ``tables/``, each as COPY
writes it; ``files/``, sealed as they lie in the storage. All of it is one moment: a repeatable-read snapshot, and the files
that its rows name. It holds no master key and no signing key: people's data in it opens only with the service's key file, or
its key management service. What it does tell in the open is what the database tells: who consented when.

Restoring, in this order:

1. the manifest is ours, of this schema, and every byte is as it says
2. the storage holds the shred list that the backup names, with nothing missing that it had then
3. the database is empty
4. in one transaction: all rows; then the entries of the log since, as they were; then every data key that was destroyed since
   is destroyed, and every consent that was taken back since, in part or whole, ends, with its clips; so does one with a limited
   number of uses: uses since are not known; and a claim to speak for somebody that was stopped since, with the consents on it;
   permits count as spent; places in status lists that were given since are revoked: whoever checks offline does not see what
   became of them; and who had everything deleted since is deleted again
5. the files of keys that live go back to the storage, before that transaction commits

When the list is lost with the storage, nobody can say what was revoked since: then all consents end, or nothing is restored.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

import psycopg
from psycopg import sql

from api.app import open_service
from api.authorities import end_again
from api.books import settle_what_is_there
from api.consents import append_event, end_consent, record_of
from api.database import bring_up, open_database
from api.engines import Bounded, FaceEngines, WhenNeeded
from api.erasure import erase_again
from api.files import FileGone, Files, open_files
from api.keys import KeyRing
from api.ledger import checkpoint_now
from api.media import file_of
from api.remote_clips import goes_on
from api.service import Service, wall_clock
from api.settings import Settings
from api.shreds import (
    Shred,
    Shredded,
    ShredListMissing,
    begin_shred_list,
    claim_step,
    consent_event,
    directive_said,
    log_entry,
    look_alike_choice,
    read_shreds,
    shred_list_id,
    status_place,
    write_down,
)
from api.storage import Store
from api.tables import AuthorityCaseRow, Base, ClipRow, ConsentRow, DataKeyRow, DirectiveRow, RemoteJobRow
from api.tree import add_entries
from consent.canonical import write_instant
from consent.errors import SignatureInvalid
from consent.keys import KeySet
from consent.record import RevokedBy, revoke
from consent.written import RESTORED, restored_digest
from likeness.remote import FaultCode
from liveness.errors import EngineError
from liveness.evidence import FaceEmbedder, FaceFinder

_VERSION = 1
_TYP = "mien-backup+jws"
# answers of a day that carry tokens; what the shred list holds; who was signed in: everybody signs in anew
_LEFT_OUT = frozenset({"idempotency", "shreds", "browser_sessions", "passkey_challenges", "start_codes"})
_COUNTED_AGAIN = frozenset({"gate_counts", "attempt_terms", "gate_waiting"})  # made of attempts and outcomes
_STATUS = frozenset({"status_lists", "status_entries", "status_changes"})
"""Left out where nobody knows which places were given since: who checks offline finds no list, and takes no token."""
_FIND_AGAIN = (  # what is not made when questions and answers are counted
    "INSERT INTO attempt_terms (term, at, attempt_id) "
    "SELECT 'output:' || p.output_sha256, a.at, a.attempt_id FROM permits p JOIN attempts a USING (attempt_id) "
    "WHERE p.output_sha256 IS NOT NULL ON CONFLICT DO NOTHING",
)
_CHUNK, _AT_ONCE = 1 << 20, 1000

Progress = Callable[[int, int], None]
"""Told how many of how many are done."""


class BackupInvalid(Exception):
    """A folder is no backup of this service, or not as it was written."""

    code = "backup_invalid"


class DatabaseNotEmpty(Exception):
    """Restoring only ever fills an empty database."""

    code = "database_not_empty"


# --- making one ------------------------------------------------------------------------------------------------------


def back_up(settings: Settings, out: Path, *, done: Progress = lambda _done, _of: None) -> dict[str, Any]:
    """Write a backup into the folder ``out``, which must not exist; gives what is in it.

    Raises: BackupInvalid, DatabaseUnavailable, KeysInvalid, StorageUnavailable.
    """
    if out.exists():
        raise BackupInvalid(f"{out} is there already")
    now = wall_clock()
    keys = KeyRing(settings, now=wall_clock).current()
    files = open_files(settings.files)
    draft = out.with_name(out.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    (draft / "tables").mkdir(parents=True, mode=0o700)
    draft.chmod(0o700)
    with open_database(settings) as database:
        with database.transaction() as store:  # few are then without an entry
            settle_what_is_there(store, now=now)
        while write_down(database, files):
            pass
        list_id = begin_shred_list(files)
        with psycopg.connect(database.conninfo) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            connection.execute("SET LOCAL statement_timeout = 0")
            try:
                manifest = _tables(connection, draft)
            except psycopg.errors.UndefinedTable as error:
                raise BackupInvalid(
                    "the database is not of this release; bring it up to date with: mien migrate"
                ) from error
            manifest |= _files(connection, files, draft, done)
    manifest |= {
        "version": _VERSION,
        "made_at": write_instant(now),
        "shred_list": {"id": list_id, "entries": len({shred.shredded_id for shred in read_shreds(files)})},
    }
    content = (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()
    _write(draft / "manifest.json", content)
    signed = keys.active.sign({"manifest_sha256": hashlib.sha256(content).hexdigest()}, typ=_TYP)
    _write(draft / "manifest.jws", signed.encode())
    draft.replace(out)
    return _figures(manifest)


def _tables(connection: psycopg.Connection[Any], out: Path) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for name, columns in _our_tables():
        digest, size = hashlib.sha256(), 0
        path = out / "tables" / f"{name}.copy"
        copying = sql.SQL("COPY {} ({}) TO STDOUT").format(_name(name), sql.SQL(", ").join(map(_name, columns)))
        with _new_file(path) as file, connection.cursor() as cursor:
            with cursor.copy(copying) as copy:
                for block in copy:
                    file.write(block)
                    digest.update(block)
                    size += len(block)
            rows = cursor.rowcount
        tables[name] = {"columns": columns, "rows": rows, "bytes": size, "sha256": digest.hexdigest()}
    schema = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    used = "SELECT DISTINCT wrapped_by FROM data_keys WHERE wrapped IS NOT NULL AND wrapped_by IS NOT NULL"
    masters = sorted(by for (by,) in connection.execute(used).fetchall())
    return {"schema": None if schema is None else schema[0], "tables": tables, "masters": masters}


def _files(connection: psycopg.Connection[Any], files: Files, out: Path, done: Progress) -> dict[str, Any]:
    """Every file that the snapshot's rows name. One that was erased meanwhile is left out; one that was lost is counted too."""
    named = connection.execute("SELECT sealed_id, size FROM sealed WHERE in_file AND erased_at IS NULL").fetchall()
    kept: dict[str, Any] = {}
    missing = 0
    done(0, len(named))
    for number, (sealed_id, size) in enumerate(named, start=1):
        try:
            content = files.read(file_of(sealed_id), most=size + 1024)
        except FileGone:
            missing += 1
            continue
        path = out / "files" / file_of(sealed_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, content)
        kept[sealed_id] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        done(number, len(named))
    return {"files": kept, "files_missing": missing}


# --- restoring one ---------------------------------------------------------------------------------------------------


def restore(
    settings: Settings,
    source: Path,
    *,
    end_all_consents: bool = False,
    now: Callable[[], datetime] = wall_clock,
    done: Progress = lambda _done, _of: None,
) -> dict[str, Any]:
    """Fill an empty database and the storage from a backup; gives what came back and what did not.

    ``end_all_consents``: the shred list is lost, and so nothing that it might name comes back.

    Raises: BackupInvalid, ShredListMissing, DatabaseNotEmpty, DatabaseUnavailable, KeysInvalid, StorageUnavailable.
    """
    if settings.keys_json is None and not settings.keys.is_file():
        raise BackupInvalid("the service's key file is not there; without it nothing in a backup opens")
    ring = KeyRing(settings, now=now)
    files = open_files(settings.files)
    manifest = _checked(source, ring.current().public)  # 1
    unknown = [by for by in manifest["masters"] if not ring.current().masters.knows(by)]
    if unknown:
        raise BackupInvalid(f"its data keys need the master key {unknown[0]}, which is not among ours")
    shreds = _shreds_since(files, manifest, lost=end_all_consents)  # 2
    with open_database(settings) as database:
        bring_up(settings, database.owner_url)
        with open_service(settings, faces=_no_faces(), now=now, database=database) as service:
            with database.transaction() as store:
                store.connection.execute("SET LOCAL statement_timeout = 0")
                _refuse_other_schema(store, manifest)
                _refuse_rows(store)  # 3
                _load(store, source, manifest, but=_STATUS if end_all_consents else frozenset())  # 4
                logged = _log_again(store, shreds, now=service.now())
                store.spend_permits(
                    now=service.now()
                )  # some may have been spent since: who had them is asked to delete
                ended = _apply(service, store, shreds, end_all=end_all_consents)
                _queue_again(service, store)
                checkpoint_now(service, store, now=service.now())  # or the log looks shorter than it was shown
                put_back = _put_back(store, files, source, manifest, done)  # 5
            begin_shred_list(files)
            while write_down(database, files):
                pass
    return _figures(manifest) | ended | {"log_entries_added": logged, "files_put_back": put_back}


def _checked(source: Path, public: KeySet) -> dict[str, Any]:
    """The manifest, with every hash in it compared. Raises: BackupInvalid."""
    try:
        content = (source / "manifest.json").read_bytes()
        signed = (source / "manifest.jws").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise BackupInvalid(f"{source} holds no manifest") from error
    try:
        members = public.open(signed, typ=_TYP, max_chars=2000)
        stated = members.text("manifest_sha256")
    except SignatureInvalid as error:
        raise BackupInvalid("its manifest was not signed by this service") from error
    if stated != hashlib.sha256(content).hexdigest():
        raise BackupInvalid("its manifest was changed after it was signed")
    manifest: dict[str, Any] = json.loads(content)
    if manifest["version"] != _VERSION:
        raise BackupInvalid("it was made by another version")
    for name, about in manifest["tables"].items():
        _compare(source / "tables" / f"{name}.copy", about)
    for sealed_id, about in manifest["files"].items():
        _compare(source / "files" / file_of(sealed_id), about)
    return manifest


def _compare(path: Path, about: dict[str, Any]) -> None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_CHUNK):
                digest.update(block)
    except OSError as error:
        raise BackupInvalid(f"{path.name} is missing") from error
    if digest.hexdigest() != about["sha256"]:
        raise BackupInvalid(f"{path.name} is not as it was written")


def _shreds_since(files: Files, manifest: dict[str, Any], *, lost: bool) -> list[Shred]:
    named = manifest["shred_list"]
    if lost:
        return list(read_shreds(files)) if shred_list_id(files) == named["id"] else []
    if shred_list_id(files) != named["id"]:
        raise ShredListMissing(
            "the storage does not hold the shred list that this backup names; without it, restore with --end-all-consents"
        )
    shreds = list(read_shreds(files))
    if len({shred.shredded_id for shred in shreds}) < named["entries"]:
        raise ShredListMissing("the shred list lost entries; without them, restore with --end-all-consents")
    return shreds


def _refuse_other_schema(store: Store, manifest: dict[str, Any]) -> None:
    schema = store.connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if schema is None or schema[0] != manifest["schema"]:
        raise BackupInvalid(
            f"it has schema {manifest['schema']}; restore it with the release that made it, then migrate"
        )


def _refuse_rows(store: Store) -> None:
    for name, _ in _our_tables():
        if store.connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(_name(name))).fetchone():
            raise DatabaseNotEmpty(f"the table {name} has rows; restore into an empty database")


def _load(store: Store, source: Path, manifest: dict[str, Any], *, but: frozenset[str]) -> None:
    known = dict(_our_tables())
    if not set(manifest["tables"]) <= set(known):
        raise BackupInvalid("it holds tables that are not ours")
    with store.connection.cursor() as cursor:
        for name in known:  # what others refer to comes first
            about = manifest["tables"].get(name)
            if about is None or name in but:
                continue
            loaded = sql.SQL(", ").join(_name(column) for column in about["columns"])
            with (
                (source / "tables" / f"{name}.copy").open("rb") as file,
                cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(_name(name), loaded)) as copy,
            ):
                while block := file.read(_CHUNK):
                    copy.write(block)
        for statement in _FIND_AGAIN:
            cursor.execute(statement)
        for name, columns in known.items():
            for column in columns:
                _count_on(cursor, name, column)


def _count_on(cursor: psycopg.Cursor[Any], name: str, column: str) -> None:
    """A column that counts by itself goes on after what was loaded. Counted up, since setting it takes a right more."""
    counting = cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", (name, column)).fetchone()
    if counting is not None and counting[0] is not None:
        counted = sql.SQL("SELECT coalesce(max({}), 0) FROM {}").format(_name(column), _name(name))
        up = sql.SQL("SELECT count(nextval(%s::regclass)) FROM generate_series(1, ({}))").format(counted)
        cursor.execute(up, (counting[0],))


def _log_again(store: Store, shreds: list[Shred], *, now: datetime) -> int:
    """Entries of the log since the backup, as they were: what was published about the log goes on to hold. Gives how many.

    It stops where one is missing. What follows that is lost, and whoever has seen it will see that the log changed.
    """
    listed: dict[int, set[tuple[str, str, datetime]]] = {}
    for shred in shreds:
        if shred.kind is Shredded.LOG:
            index, kind, digest = log_entry(shred.shredded_id)
            listed.setdefault(index, set()).add((kind, digest, shred.at))
    store.lock_ledger()
    last, added = store.last_entry(), 0
    first = 0 if last is None else last.index + 1
    while len(each := listed.get(0 if last is None else last.index + 1, set())) == 1:
        [(kind, digest, at)] = each
        [last] = add_entries(store, [(kind, digest)], now=at)
        added += 1
    if added:  # what these entries stand for was not in the backup; whoever verifies the log is told so by an entry
        add_entries(store, [(RESTORED, restored_digest(first, first + added))], now=now)
    settle_what_is_there(store, now=now)  # questions and answers are counted, and those that had no entry yet get one
    return added


def _apply(service: Service, store: Store, shreds: list[Shred], *, end_all: bool) -> dict[str, Any]:
    """What was destroyed or taken back since the backup is so again."""
    now, keys = service.now(), service.keys
    places = (status_place(shred.shredded_id) for shred in shreds if shred.kind is Shredded.STATUS)
    store.revoke_places(places, now=now)  # before any of them can be given again
    listed = sorted({shred.shredded_id for shred in shreds if shred.kind is Shredded.KEY})
    destroyed = 0
    for first in range(0, len(listed), _AT_ONCE):
        for data_key_id in store.keys_living(listed[first : first + _AT_ONCE]):
            service.vault.destroy_key(store, data_key_id, now=now)
            destroyed += 1
    people = sorted({shred.shredded_id for shred in shreds if shred.kind is Shredded.PERSON})
    deleted = erase_again(service, store, people, now=now)  # first, so that their records say that it was them
    standing = len(store.consents_standing())
    claims = _end_claims(service, store, shreds, end_all=end_all)
    _forget_look_alikes(store, shreds, end_all=end_all)
    removed = {shred.shredded_id for shred in shreds if shred.kind is Shredded.PASSKEY}
    store.remove_passkeys(None if end_all else removed)
    reached = _reached(consent_event(shred.shredded_id) for shred in shreds if shred.kind is Shredded.CONSENT)
    for consent_id in store.consents_standing():
        # not locked: nobody else sees these rows before the commit, and the server has no room for so many locks
        row, record = store.get(ConsentRow, consent_id), record_of(store, consent_id)
        if row is None or record.revoked is not None:
            continue
        key = store.get(DataKeyRow, row.data_key_id)
        stale = reached.get(consent_id, 0) >= len(record.events) or key is None or key.wrapped is None
        if stale or end_all or record.limits.uses is not None:
            event = revoke(record, by=RevokedBy.CONTROLLER, now=now)
            append_event(store, keys, row, [*record.events, event], now=now)
            end_consent(service, store, row, event, now=now)
    return {
        "keys_destroyed": destroyed,
        "claims_ended": claims,
        "consents_ended": standing - len(store.consents_standing()),
        "people_deleted": deleted,
    }


def _end_claims(service: Service, store: Store, shreds: list[Shred], *, end_all: bool) -> int:
    """Claims to speak for somebody end, with the consents on them, when somebody stopped them since, or the person they are
    about said since what shall hold: who it was and what they said is lost. Gives how many."""
    reached = _reached(claim_step(shred.shredded_id) for shred in shreds if shred.kind is Shredded.CLAIM)
    said = (directive_said(shred.shredded_id) for shred in shreds if shred.kind is Shredded.DIRECTIVE)
    unheard = {subject_id for subject_id, directive_id in said if store.get(DirectiveRow, directive_id) is None}
    ended = 0
    for case_id in store.authorities_running():
        row = store.get(AuthorityCaseRow, case_id)
        stale = reached.get(case_id, -1) >= len(store.authority_events(case_id))
        if stale or end_all or (row is not None and row.subject_id in unheard):
            ended += end_again(service, store, case_id, now=service.now())
    return ended


def _forget_look_alikes(store: Store, shreds: list[Shred], *, end_all: bool) -> None:
    """Whoever took back since that they want to be told of look-alikes is told no more. Choices of consents that end go with
    them, and codes are in no backup."""
    listed = (look_alike_choice(shred.shredded_id) for shred in shreds if shred.kind is Shredded.LOOK_ALIKES)
    reached = _reached(listed)
    for choice in store.look_alike_choices():
        if end_all or reached.get(choice.consent_id, -1) > choice.number:
            store.forget_look_alike_choice(choice.consent_id)


def _reached(numbers: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The highest number of each."""
    found: dict[str, int] = {}
    for of_id, number in numbers:
        found[of_id] = max(number, found.get(of_id, number))
    return found


def _queue_again(service: Service, store: Store) -> None:
    """Jobs are not in a backup. The gate is asked again when a clip's work begins, as always. A clip that a vendor was to make,
    and of whose order nothing was written down yet, may have been ordered since: it is not ordered again. Nor is a story of
    several jobs, of which any may have been ordered since."""
    for clip_id, kind in store.clips_in_hand():
        clip = store.get(ClipRow, clip_id, lock=True)
        if clip is None or kind != "remote" or goes_on(clip.backend, store.get(RemoteJobRow, clip_id)):
            service.queue.make(store, clip_id, kind)
        else:
            clip.state, clip.code, clip.finished_at = "failed", FaultCode.SUBMIT_OUTCOME_UNKNOWN.value, service.now()
            service.vault.destroy_key(store, clip.data_key_id, now=service.now())
    for challenge_id in store.challenges_in_hand():
        service.queue.judge(store, challenge_id)
    for delivery in store.deliveries_waiting():
        service.queue.deliver(store, delivery.delivery_id, tried=delivery.tries, at=delivery.next_at)


def _put_back(store: Store, files: Files, source: Path, manifest: dict[str, Any], done: Progress) -> int:
    """Files whose rows still stand."""
    named = sorted(manifest["files"])
    standing: set[str] = set()
    for first in range(0, len(named), _AT_ONCE):
        standing |= store.kept_in_files(named[first : first + _AT_ONCE])
    done(0, len(standing))
    for number, sealed_id in enumerate(sorted(standing), start=1):
        files.write(file_of(sealed_id), (source / "files" / file_of(sealed_id)).read_bytes())
        done(number, len(standing))
    return len(standing)


# --- what both share -------------------------------------------------------------------------------------------------


def _our_tables() -> list[tuple[str, list[str]]]:
    """Those of the schema, each after what it refers to, with their columns."""
    return [
        (table.name, [column.name for column in table.columns if column.computed is None])
        for table in Base.metadata.sorted_tables
        if table.name not in _LEFT_OUT | _COUNTED_AGAIN
    ]


def _name(name: str) -> sql.Identifier:
    return sql.Identifier(name)


def _new_file(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _write(path: Path, content: bytes) -> None:
    with _new_file(path) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _figures(manifest: dict[str, Any]) -> dict[str, Any]:
    return {
        "made_at": manifest["made_at"],
        "schema": manifest["schema"],
        "rows": sum(about["rows"] for about in manifest["tables"].values()),
        "files": len(manifest["files"]),
        "files_missing": manifest["files_missing"],
        "bytes": sum(about["bytes"] for part in ("tables", "files") for about in manifest[part].values()),
        "masters": manifest["masters"],
    }


def _no_faces() -> FaceEngines:
    """Restoring looks at no picture."""

    def none() -> object:
        raise EngineError("restoring opens no model")

    return FaceEngines(
        finder=cast("FaceFinder", WhenNeeded(none)),
        embedder=cast("FaceEmbedder", WhenNeeded(none)),
        languages=frozenset(),
        bound=Bounded(1),
    )
