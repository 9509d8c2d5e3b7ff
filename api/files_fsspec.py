"""Sealed files in a storage that fsspec reaches by URL, such as ``s3://bucket/prefix``.

Credentials and address come from the environment as the storage's own library reads them (for S3: ``AWS_ACCESS_KEY_ID``,
``AWS_SECRET_ACCESS_KEY``, ``AWS_ENDPOINT_URL``, ...), never from our settings. An object is written with one call, which S3 and
its like make atomic. Only this file knows fsspec.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.files import FileFound, FileGone, FileTooLarge, StorageUnavailable

_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")  # as the backends call it


@dataclass(frozen=True, slots=True)
class UrlFiles:
    """Below one prefix of one storage."""

    root: str
    _system: Any = field(repr=False)

    def write(self, name: str, content: bytes) -> None:
        with _ours():
            self._system.pipe_file(self._path(name), content)

    def read(self, name: str, *, most: int) -> bytes:
        with _ours():
            try:
                content: bytes = self._system.cat_file(self._path(name), start=0, end=most + 1)
            except FileNotFoundError:
                raise FileGone from None
        if len(content) > most:
            raise FileTooLarge
        return content

    def erase(self, name: str) -> None:
        with _ours():
            try:
                self._system.rm_file(self._path(name))
            except FileNotFoundError:
                return

    def found(self, folder: str = "") -> Iterator[FileFound]:
        with _ours():
            try:
                listed = self._system.find(self._path(folder) if folder else self.root, detail=True)
            except FileNotFoundError:
                listed = {}
        for path, about in listed.items():
            name = path.removeprefix(self.root).lstrip("/")
            yield FileFound(name=name, written_at=_seconds(next((about[t] for t in _TIMES if about.get(t)), None)))

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"


def open_url(url: str) -> UrlFiles:
    """Raises: StorageUnavailable."""
    import fsspec

    scheme = url.partition("://")[0]
    try:
        # no cached listings: other processes write and erase too
        system, root = fsspec.url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        hint = " (pip install 'mien[s3]')" if scheme == "s3" else ""
        raise StorageUnavailable(f"storage of kind {scheme}:// is not installed{hint}") from error
    return UrlFiles(root.rstrip("/"), system)


@contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except FileGone:
        raise
    except Exception as error:  # each storage's library raises its own; what it says may name buckets and keys
        raise StorageUnavailable(f"the storage does not answer ({type(error).__name__})") from error


def _seconds(written: object) -> float | None:
    if isinstance(written, datetime):
        return written.timestamp()
    return float(written) if isinstance(written, int | float) else None
