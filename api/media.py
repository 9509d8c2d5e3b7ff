"""Recordings, templates, portraits and clips at rest: encrypted, with deadlines, erased on revocation.

Each owner (a session, a consent, a media upload, a clip) has a data key of its own, wrapped by the master key. What is
sealed names its key, and its id, kind and key are bound into the encryption, so that a file put in another's place does
not open. Erasing is destroying the key: what backups still hold opens for nobody. Files are unlinked after the commit.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

import numpy as np

from api.keys import MasterKey, Unsealable, seal, unseal
from api.storage import Store, new_id
from api.tables import DataKeyRow, SealedRow
from liveness.template import FaceTemplate, template

_LARGE_BYTES = 64 * 1024  # above: a file; below: in the row
_ORPHAN_AGE_S = (
    3600  # a file without a row this long after it was written belongs to a transaction that never committed
)


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
    CASE = "case"
    PAPER = "paper"


@dataclass(frozen=True, slots=True)
class Vault:
    """What is kept sealed, in rows and in ``folder``."""

    folder: Path
    master: MasterKey

    def new_key(self, store: Store, *, now: datetime) -> str:
        """A fresh data key; gives its id."""
        data_key_id = new_id("key")
        wrapped = self.master.wrap(secrets.token_bytes(32), owner=data_key_id)
        store.add(DataKeyRow(data_key_id=data_key_id, wrapped=wrapped, created_at=now))
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
        closed = seal(self._data_key(store, data_key_id), content, about=_about(sealed_id, kind, data_key_id))
        large = len(content) > _LARGE_BYTES
        if large:
            self._write(sealed_id, closed)
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

    def get(self, store: Store, sealed_id: str | None) -> bytes:
        """The content.

        Raises:
            Erased: it is gone. Unsealable: what lies there was altered.
        """
        row = None if sealed_id is None else store.get(SealedRow, sealed_id)
        if row is None or row.erased_at is not None:
            raise Erased
        closed = row.content
        if row.in_file:
            try:
                closed = self._path(row.sealed_id).read_bytes()
            except FileNotFoundError:
                raise Erased from None
        if closed is None:
            raise Erased
        return unseal(
            self._data_key(store, row.data_key_id), closed, about=_about(row.sealed_id, row.kind, row.data_key_id)
        )

    def erase(self, store: Store, sealed_id: str | None, *, now: datetime) -> None:
        """Erase one thing whose key lives on."""
        row = None if sealed_id is None else store.get(SealedRow, sealed_id)
        if row is None or row.erased_at is not None:
            return
        row.content, row.erased_at = None, now
        if row.in_file:
            path = self._path(row.sealed_id)
            store.after_commit(lambda: path.unlink(missing_ok=True))

    def destroy_key(self, store: Store, data_key_id: str, *, now: datetime) -> None:
        """Destroy a data key and everything it opened."""
        key = store.get(DataKeyRow, data_key_id)
        if key is None:
            return
        for sealed_id in store.sealed_under(data_key_id):
            self.erase(store, sealed_id, now=now)
        if key.destroyed_at is None:
            key.wrapped, key.destroyed_at = None, now

    def sweep_orphans(self, store: Store, *, now: datetime) -> int:
        """Unlink files whose row is gone, erased or was never committed; gives how many."""
        old = [
            path
            for path in self.folder.glob("*/*")
            if path.is_file() and path.stat().st_mtime < now.timestamp() - _ORPHAN_AGE_S
        ]
        known = store.kept_in_files([path.name for path in old])
        orphans = [path for path in old if path.name not in known]
        for path in orphans:
            path.unlink(missing_ok=True)
        return len(orphans)

    def _data_key(self, store: Store, data_key_id: str) -> bytes:
        row = store.get(DataKeyRow, data_key_id)
        if row is None or row.wrapped is None:
            raise Erased
        return self.master.unwrap(row.wrapped, owner=data_key_id)

    def _path(self, sealed_id: str) -> Path:
        return self.folder / sealed_id[-2:] / sealed_id

    def _write(self, sealed_id: str, closed: bytes) -> None:
        path = self._path(sealed_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".part")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(closed)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)


def _about(sealed_id: str, kind: str, data_key_id: str) -> str:
    return f"sealed|{sealed_id}|{kind}|{data_key_id}"


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


__all__ = ["Erased", "Sealed", "Unsealable", "Vault", "templates_from_bytes", "templates_to_bytes"]
