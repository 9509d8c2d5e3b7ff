"""Where sealed files lie: a folder, or what a URL names (see :mod:`api.files_fsspec`).

A file is whole or not there: writing is atomic. Nothing here knows what is inside; all of it is sealed before it comes, but
for the shred list, which holds ids only. Names are relative, with ``/``, made by ourselves and never by a caller.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_DRAFT = ".part"
_ERASED_AT_ONCE = 1 << 20


class FileGone(Exception):
    """There is no file of that name."""


class FileTooLarge(Exception):
    """The file is larger than what was written can be."""


class StorageUnavailable(Exception):
    """The storage does not answer, or refuses. One line; it names no bucket, key or file."""

    code = "storage_unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFound:
    """``written_at``: seconds since 1970, or ``None`` where the storage does not tell."""

    name: str
    written_at: float | None


class Files(Protocol):
    """Raises StorageUnavailable, whatever the storage's own errors are."""

    def write(self, name: str, content: bytes) -> None:
        """In place of what was there."""
        ...

    def read(self, name: str, *, most: int) -> bytes:
        """Never more than ``most`` bytes. Raises: FileGone, FileTooLarge."""
        ...

    def erase(self, name: str) -> None:
        """Also what is not there."""
        ...

    def found(self, folder: str = "") -> Iterator[FileFound]:
        """Every file below ``folder``; a draft that was never finished counts as one."""
        ...


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """In a folder of this machine, for its owner only."""

    folder: Path

    def write(self, name: str, content: bytes) -> None:
        """Written beside, then moved into place."""
        path = self.folder / name
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_DRAFT}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise StorageUnavailable(f"the storage folder cannot be written ({error.strerror})") from error

    def read(self, name: str, *, most: int) -> bytes:
        try:
            with (self.folder / name).open("rb") as file:
                content = file.read(most + 1)
        except FileNotFoundError:
            raise FileGone from None
        except OSError as error:
            raise StorageUnavailable(f"the storage folder cannot be read ({error.strerror})") from error
        if len(content) > most:
            raise FileTooLarge
        return content

    def erase(self, name: str) -> None:
        """Overwritten before it is unlinked. A disk that keeps old blocks keeps ciphertext whose key is destroyed."""
        path = self.folder / name
        try:
            with path.open("r+b", buffering=0) as file:
                left = os.fstat(file.fileno()).st_size
                while left > 0:
                    left -= file.write(bytes(min(left, _ERASED_AT_ONCE)))
                os.fsync(file.fileno())
            path.unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageUnavailable(f"the storage folder cannot be written ({error.strerror})") from error

    def found(self, folder: str = "") -> Iterator[FileFound]:
        for path in (self.folder / folder).rglob("*"):
            with suppress(FileNotFoundError):  # erased meanwhile
                if path.is_file():
                    written = path.stat().st_mtime
                    yield FileFound(name=path.relative_to(self.folder).as_posix(), written_at=written)


def open_files(where: str) -> Files:
    """The storage of ``MIEN_STORAGE``: a folder, or a URL.

    Raises:
        StorageUnavailable: when the library for that kind of URL is missing.
    """
    scheme, separator, rest = where.partition("://")
    if not separator:
        return FolderFiles(Path(where))
    if scheme == "file":
        return FolderFiles(Path(rest))
    from api.files_fsspec import open_url

    return open_url(where)
