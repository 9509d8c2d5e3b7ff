"""Recordings, templates, portraits and clips at rest: encrypted, with deadlines, erased on revocation.

Each owner (a session, a consent, a media upload, a clip) has a data key of its own, wrapped by a master key together with
the owner's id. What is sealed names its key; its id, kind and key are bound into the encryption, and whoever reads says whose
it must be: a file or a row put in another's place does not open. Erasing is destroying the key, which goes into the shred list
too, so that restoring a backup does not revive it. Files are overwritten and unlinked after the commit.
"""

from __future__ import annotations

import base64
import json
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from api import shreds
from api.files import FileGone, Files, FileTooLarge, StorageUnavailable
from api.keys import KeyRing, MasterUnknown, Unsealable
from api.keys import seal as close
from api.keys import unseal as open_
from api.shreds import Shredded
from api.storage import Store, new_id
from api.storage_gate import SealedThing
from api.tables import DataKeyRow, SealedRow
from liveness.template import FaceTemplate, template

log = logging.getLogger("mien.vault")

_LARGE_BYTES = 64 * 1024  # above: a file; below: in the row
_SEALING_BYTES = 28  # nonce and tag
# a file without a row this long after it was written belongs to a transaction that never committed; a row without a file
# this long after it was made lost it
_ORPHAN_AGE = timedelta(hours=1)


class Erased(Exception):
    """It was there and is gone: its deadline passed, or its key was destroyed."""


class Sealed(StrEnum):
    """Kinds of things at rest."""

    CAPTURE = "capture"
    TEMPLATES = "templates"
    PORTRAIT = "portrait"
    MEDIA = "media"
    ORDER = "order"
    CLIP = "clip"
    WEBHOOK_SECRETS = "webhook_secrets"
    CASE = "case"
    PAPER = "paper"
    VENDOR_NAME = "vendor_name"
    PART = "part"


@dataclass(frozen=True, slots=True)
class Vault:
    """What is kept sealed, in rows and in ``files``."""

    files: Files
    ring: KeyRing

    def new_key(self, store: Store, *, owner: str, now: datetime) -> str:
        """A fresh data key of ``owner``, an id; gives the key's own id."""
        data_key_id, master = new_id("key"), self.ring.current().masters.newest
        wrapped = master.wrap(secrets.token_bytes(32), about=_about_key(data_key_id, owner))
        store.add(
            DataKeyRow(data_key_id=data_key_id, owner=owner, wrapped=wrapped, wrapped_by=master.key_id, created_at=now)
        )
        return data_key_id

    def put(
        self,
        store: Store,
        content: bytes,
        *,
        kind: Sealed,
        data_key_id: str,
        now: datetime,
        keep: timedelta | None = None,
    ) -> str:
        """Seal ``content``; gives its id. ``keep``: erased this long after now; ``None``: with its key."""
        sealed_id = new_id("sld")
        closed = close(
            self._data_key(store, data_key_id, owner=None), content, about=_about(sealed_id, kind, data_key_id)
        )
        large = len(content) > _LARGE_BYTES
        if large:
            self.files.write(file_of(sealed_id), closed)
        store.add(
            SealedRow(
                sealed_id=sealed_id,
                data_key_id=data_key_id,
                kind=kind,
                content=None if large else closed,
                in_file=large,
                size=len(content),
                made_at=now,
                erase_after=None if keep is None else now + keep,
            )
        )
        return sealed_id

    def get(self, store: Store, sealed_id: str | None, *, owner: str) -> bytes:
        """The content, which must be ``owner``'s.

        Raises:
            Erased: it is gone. Unsealable: what lies there was altered, or is another's.
            StorageUnavailable, MasterUnavailable, MasterUnknown.
        """
        row = None if sealed_id is None else store.get(SealedRow, sealed_id)
        if row is None or row.erased_at is not None:
            raise Erased
        key = store.get(DataKeyRow, row.data_key_id)
        thing = SealedThing(
            sealed_id=row.sealed_id,
            kind=row.kind,
            content=row.content,
            in_file=row.in_file,
            size=row.size,
            data_key_id=row.data_key_id,
            erased=False,
            owner=None if key is None else key.owner,
            wrapped=None if key is None else key.wrapped,
            wrapped_by=None if key is None else key.wrapped_by,
        )
        return self.open(thing, owner=owner)

    def open(self, thing: SealedThing | None, *, owner: str) -> bytes:
        """The content of what was read with its key just now; as :meth:`get`."""
        if thing is None or thing.erased:
            raise Erased
        closed = thing.content
        if thing.in_file:
            try:
                closed = self.files.read(file_of(thing.sealed_id), most=thing.size + _SEALING_BYTES)
            except FileGone:
                raise Erased from None
            except FileTooLarge:
                raise Unsealable("a sealed file is longer than what was sealed") from None
        if closed is None:
            raise Erased
        key = self._unwrapped(thing.data_key_id, thing.owner, thing.wrapped, thing.wrapped_by, owner=owner)
        return open_(key, closed, about=_about(thing.sealed_id, thing.kind, thing.data_key_id))

    def is_at_hand(self, thing: SealedThing | None) -> bool:
        """Whether :meth:`open` neither reads a file nor asks somebody else for its key."""
        return thing is None or not (thing.in_file or self.ring.asks_outside(thing.wrapped_by))

    def erase(self, store: Store, sealed_id: str | None, *, now: datetime) -> None:
        """Erase one thing whose key lives on."""
        row = None if sealed_id is None else store.get(SealedRow, sealed_id)
        if row is None or row.erased_at is not None:
            return
        row.content, row.erased_at = None, now
        if row.in_file:
            name = file_of(row.sealed_id)
            store.after_commit(lambda: self._unlink(name))

    def destroy_key(self, store: Store, data_key_id: str, *, now: datetime) -> None:
        """Destroy a data key and everything it opened, in this transaction."""
        key = store.get(DataKeyRow, data_key_id)
        if key is None:
            return
        for sealed_id in store.sealed_under(data_key_id):
            self.erase(store, sealed_id, now=now)
        if key.destroyed_at is None:
            key.wrapped, key.wrapped_by, key.destroyed_at = None, None, now
            store.shred(Shredded.KEY, data_key_id, at=now)

    def rewrap(self, store: Store, *, most: int = 200) -> int:
        """Wrap data keys again that are not under the newest master key, and stored answers; gives how many.

        What the data keys seal stays as it is. Rows that another process has in hand are passed over.
        """
        keys = self.ring.current()
        newest, done = keys.masters.newest, 0
        for row in store.wrapped_by_others(newest.key_id, most=most):
            about = _about_key(row.data_key_id, row.owner)
            try:
                data_key = self.ring.unwrap(row.wrapped or b"", by=row.wrapped_by, about=about)
            except (Unsealable, MasterUnknown):
                log.error("a data key does not open under the master key that its row names")
                continue
            row.wrapped, row.wrapped_by = newest.wrap(data_key, about=about), newest.key_id
            done += 1
        return done + self._seal_answers_again(store, most=most)

    def _seal_answers_again(self, store: Store, *, most: int) -> int:
        from api.calls import about_answer

        newest, done = self.ring.current().answers.newest, 0
        for row in store.answers_sealed_by_others(newest.key_id, most=most):
            about = about_answer(row.caller, row.key)
            try:
                answer = self.ring.open_answer(row.sealed_answer or b"", by=row.sealed_by, about=about)
            except (Unsealable, MasterUnknown):
                continue  # it goes after a day
            row.sealed_answer, row.sealed_by = newest.wrap(answer, about=about), newest.key_id
            done += 1
        return done

    def sweep_orphans(self, store: Store, *, now: datetime) -> int:
        """Unlink files whose row is gone, erased or was never committed, and give up rows whose file is lost; how many."""
        before = now - _ORPHAN_AGE
        old: list[str] = []
        there: set[str] = set()
        for found in self.files.found():
            sealed_id = found.name.rpartition("/")[2]
            if found.name.startswith(f"{shreds.FOLDER}/"):
                continue
            there.add(sealed_id)
            if found.written_at is not None and found.written_at < before.timestamp():
                old.append(found.name)
        orphans = 0
        for some in _chunks(old):
            known = store.kept_in_files([name.rpartition("/")[2] for name in some])
            for name in some:
                if name.rpartition("/")[2] not in known:
                    self._unlink(name)
                    orphans += 1
        return orphans + self._give_up_lost(store, there, before=before, now=now)

    def _give_up_lost(self, store: Store, there: set[str], *, before: datetime, now: datetime) -> int:
        """Only few of many: a storage that holds none or half of them is more likely the wrong one, or not mounted."""
        kept = store.kept_files_made(before)
        lost = [sealed_id for sealed_id in kept if sealed_id not in there]
        if not lost:
            return 0
        if not there or len(lost) > max(10, len(kept) // 2):
            log.error("%d of %d sealed files are not in the storage; is it the right one?", len(lost), len(kept))
            return 0
        log.error("%d sealed files are lost; what was in them is gone", len(lost))
        for sealed_id in lost:
            self.erase(store, sealed_id, now=now)
        return len(lost)

    def _unlink(self, name: str) -> None:
        """What cannot be unlinked now is an orphan, which the sweep finds; its key or its row is gone already."""
        try:
            self.files.erase(name)
        except StorageUnavailable as error:
            log.warning("a sealed file was not unlinked and will be swept: %s", error)

    def _data_key(self, store: Store, data_key_id: str, *, owner: str | None) -> bytes:
        """Raises: Erased, Unsealable (also when it is not the ``owner``'s)."""
        row = store.get(DataKeyRow, data_key_id)
        if row is None:
            raise Erased
        return self._unwrapped(data_key_id, row.owner, row.wrapped, row.wrapped_by, owner=owner)

    def _unwrapped(
        self, data_key_id: str, owned_by: str | None, wrapped: bytes | None, by: str | None, *, owner: str | None
    ) -> bytes:
        if wrapped is None:
            raise Erased
        if owner is not None and owned_by is not None and owned_by != owner:
            raise Unsealable("sealed for another owner")
        return self.ring.unwrap(wrapped, by=by, about=_about_key(data_key_id, owned_by))


def file_of(sealed_id: str) -> str:
    """Name of its file in the storage."""
    return f"{sealed_id[-2:]}/{sealed_id}"


def _about(sealed_id: str, kind: str, data_key_id: str) -> str:
    return f"sealed|{sealed_id}|{kind}|{data_key_id}"


def _about_key(data_key_id: str, owner: str | None) -> str:
    """``None``: as the first release wrapped them; a row that lost its owner does not open as one of those."""
    return f"data-key|{data_key_id}" if owner is None else f"data-key|{data_key_id}|{owner}"


def _chunks(names: Sequence[str], most: int = 1000) -> list[Sequence[str]]:
    return [names[first : first + most] for first in range(0, len(names), most)]


# --- templates as bytes ----------------------------------------------------------------------------------------------


def templates_to_bytes(templates: Sequence[FaceTemplate | None]) -> bytes:
    """JSON list; ``null`` for a face that gave no template."""
    return json.dumps(
        [
            None
            if t is None
            else {"contract_id": t.contract_id, "vector": base64.b64encode(t.vector.tobytes()).decode()}
            for t in templates
        ]
    ).encode()


def templates_from_bytes(content: bytes) -> tuple[FaceTemplate | None, ...]:
    return tuple(
        None
        if entry is None
        else template(
            np.frombuffer(base64.b64decode(entry["vector"]), dtype=np.float32), contract_id=entry["contract_id"]
        )
        for entry in json.loads(content)
    )


__all__ = ["Erased", "Sealed", "Unsealable", "Vault", "file_of", "templates_from_bytes", "templates_to_bytes"]
