"""The shred list: what was destroyed or taken back, written down outside the database, so that no backup revives it.

Whoever destroys a data key, takes back a consent, objects to a claim or deletes a person writes a row into ``shreds`` in the
same transaction.
Those rows go, within seconds, into small files below ``shreds/`` in the storage of sealed files, which are only ever added to
(small ones are put together). An entry is an id, what it is an id of, and when: it tells nothing about anybody. Restoring a
backup applies the list before anything is served (see :mod:`api.backup`). Entries of the log are in it as well: a log that
forgot some, and then wrote others in their places, would contradict the receipts that people hold.

The list has an id of its own, which backups name: an empty new storage does not pass for an empty list.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.database import Database
from api.files import FileGone, Files, StorageUnavailable
from api.tables import ShredRow
from consent.canonical import read_instant, write_instant

log = logging.getLogger("mien.vault")

FOLDER = "shreds"
_ID = f"{FOLDER}/id"
_AT_ONCE = 1000
_SMALL_BYTES, _MOST_SMALL = 1 << 20, 64
_MANY = "-many.jsonl"
_MOST_BYTES = 64 << 20


class Shredded(StrEnum):
    """What an entry is an id of."""

    KEY = "key"  # a data key, destroyed
    LOG = "log"  # an entry of the log: its index, kind and digest; not shredded, but it must not be lost either
    CONSENT = "consent"  # an event that took a consent back, in part or whole: the consent's id and the event's number
    PERSON = "person"  # somebody had everything deleted: their pseudonym, which nobody has any more
    STATUS = "status"  # a place in a status list that was taken, by a consent or a decoy: tokens may name it
    CLAIM = "claim"  # a step that stopped or ended a claim to speak for somebody: the claim's id and the step's number
    LOOK_ALIKES = (
        "look_alikes"  # somebody wants to be told of look-alikes no more: their consent and the statement's number
    )
    DIRECTIVE = (
        "directive"  # somebody said what shall hold when they cannot be asked: their pseudonym and the directive's id
    )
    PASSKEY = "passkey"  # a passkey that was removed: its id


class ShredListMissing(Exception):
    """The storage does not hold the list that a backup names, or not all of it."""

    code = "shred_list_missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shred:
    number: int
    kind: Shredded
    shredded_id: str
    at: datetime

    def line(self) -> str:
        return json.dumps([self.number, self.kind.value, self.shredded_id, write_instant(self.at)])

    @classmethod
    def of(cls, line: str) -> Shred:
        number, kind, shredded_id, at = json.loads(line)
        return cls(number=number, kind=Shredded(kind), shredded_id=shredded_id, at=read_instant(at))


def log_shred_id(index: int, kind: str, digest: str) -> str:
    return f"{index}/{kind}/{digest}"


def log_entry(shredded_id: str) -> tuple[int, str, str]:
    """Index, kind and digest."""
    index, kind, digest = shredded_id.split("/")
    return int(index), kind, digest


def consent_shred_id(consent_id: str, number: int) -> str:
    return f"{consent_id}/{number}"


def consent_event(shredded_id: str) -> tuple[str, int]:
    """Consent and event number of an entry. A backup with fewer events of that consent is behind."""
    return _numbered(shredded_id)


def claim_shred_id(case_id: str, number: int) -> str:
    return f"{case_id}/{number}"


def claim_step(shredded_id: str) -> tuple[str, int]:
    """Claim and number of the step. A backup with fewer steps of that claim is behind."""
    return _numbered(shredded_id)


def look_alike_shred_id(consent_id: str, number: int) -> str:
    return f"{consent_id}/{number}"


def look_alike_choice(shredded_id: str) -> tuple[str, int]:
    """Consent and number of the statement that took it back. A backup with an earlier yes is behind."""
    return _numbered(shredded_id)


def status_place(shredded_id: str) -> tuple[str, int]:
    """List and index."""
    return _numbered(shredded_id)


def directive_shred_id(subject_id: str, directive_id: str) -> str:
    return f"{subject_id}/{directive_id}"


def directive_said(shredded_id: str) -> tuple[str, str]:
    """Whose directive, and which."""
    subject_id, _, directive_id = shredded_id.rpartition("/")
    return subject_id, directive_id


def shred_list_id(files: Files) -> str | None:
    """``None`` where no list was begun. Raises: StorageUnavailable."""
    try:
        return files.read(_ID, most=64).decode("ascii")
    except FileGone:
        return None


def begin_shred_list(files: Files) -> str:
    """The id of the list, which is begun where there is none. Raises: StorageUnavailable."""
    known = shred_list_id(files)
    if known is None:
        files.write(_ID, f"lst_{secrets.token_hex(16)}".encode())
    return known or shred_list_id(files) or ""


def write_down(database: Database, files: Files) -> int:
    """Move waiting entries into the list; gives how many. The file is written first: an entry may stand there twice, never not.

    Raises:
        StorageUnavailable: they wait on.
    """
    with database.transaction() as store:
        rows = store.shreds_waiting(_AT_ONCE)
        if not rows:
            return 0
        begin_shred_list(files)
        lines = [_shred(row).line() for row in rows]
        name = f"{FOLDER}/{rows[0].number:012d}-{secrets.token_hex(8)}.jsonl"
        files.write(name, ("\n".join(lines) + "\n").encode())
        store.forget_shreds([row.number for row in rows])
    return len(lines)


def write_down_soon(database: Database, files: Files) -> None:
    """After a commit, so that a revocation is outside the database at once; when it fails, the sweep does it."""
    try:
        while write_down(database, files) == _AT_ONCE:
            pass
    except Exception as error:
        log.warning("the shred list was not written and will be tried again: %s", type(error).__name__)


def read_shreds(files: Files) -> Iterator[Shred]:
    """Every entry, some perhaps twice, in no order.

    Raises:
        StorageUnavailable. ShredListMissing: when a file of it cannot be read.
    """
    seen: set[str] = set()
    moved = True
    while moved:  # what was put together with others while we read lies in a file that we have not listed yet
        moved = False
        for name in set(_listed(files)) - seen:
            seen.add(name)
            try:
                text = files.read(name, most=_MOST_BYTES).decode()
                entries = [Shred.of(line) for line in text.splitlines()]
            except FileGone:
                moved = True
                continue
            except StorageUnavailable:
                raise
            except Exception as error:
                raise ShredListMissing("a file of the shred list cannot be read") from error
            yield from entries


def put_together(files: Files) -> int:
    """Make one file of many small ones, and of many of those; gives how many went into it. Raises: StorageUnavailable."""
    listed = sorted(_listed(files))
    single = [name for name in listed if not name.endswith(_MANY)]
    some = single if len(single) > _MOST_SMALL else [name for name in listed if name.endswith(_MANY)]
    parts: dict[str, bytes] = {}
    for name in some[: 4 * _MOST_SMALL] if len(some) > _MOST_SMALL else []:
        with suppress(FileGone):
            content = files.read(name, most=_MOST_BYTES)
            if len(content) < _SMALL_BYTES:
                parts[name] = content
    if len(parts) < 2:
        return 0
    first = min(parts).rpartition("/")[2].partition("-")[0]
    files.write(f"{FOLDER}/{first}-{secrets.token_hex(8)}{_MANY}", b"".join(parts.values()))
    for name in parts:
        files.erase(name)
    return len(parts)


def _numbered(shredded_id: str) -> tuple[str, int]:
    of_id, _, number = shredded_id.rpartition("/")
    return of_id, int(number)


def _listed(files: Files) -> list[str]:
    return [found.name for found in files.found(FOLDER) if found.name.endswith(".jsonl")]


def _shred(row: ShredRow) -> Shred:
    return Shred(number=row.number, kind=Shredded(row.kind), shredded_id=row.shredded_id, at=row.at)
