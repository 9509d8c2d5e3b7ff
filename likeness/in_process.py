"""Generators that run on this machine, where the operator installed torch and their weights: no vendor, and the same gate.

Nothing of them is in this distribution. What the operator names is a folder and a list of the SHA-256 of every file in it, as
``sha256sum`` writes it; before anything is loaded, each file is compared, and a file that is not on the list stops it.
Formats that run code when they are opened are not loaded at all (:data:`UNSAFE`), unless the generator is a program of the
operator's own.

A maker sees checked media and a wish, never consent. It makes its clips one at a time.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Protocol

from likeness.errors import RemoteError
from likeness.generate import Clip
from likeness.remote import Account, RemoteJob

UNSAFE = frozenset({".bin", ".ckpt", ".npy", ".pickle", ".pkl", ".pt", ".pth", ".py", ".pyc", ".so"})
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_READ_AT_ONCE = 1 << 20


class Unready(StrEnum):
    """Why a generator is not offered.

    not_configured      the operator named no folder.
    library_missing     torch, or what else it needs, is not installed beside this program.
    weights_missing     the folder, the list or a file on it is not there.
    weights_unpinned    a file in the folder is not on the list.
    weights_altered     a file is not the one on the list.
    weights_unsafe      a file is of a format that runs code when it is opened.
    licence_unaccepted  its weights are for non-commercial use only, and the operator did not say that this is one.
    """

    NOT_CONFIGURED = "not_configured"
    LIBRARY_MISSING = "library_missing"
    WEIGHTS_MISSING = "weights_missing"
    WEIGHTS_UNPINNED = "weights_unpinned"
    WEIGHTS_ALTERED = "weights_altered"
    WEIGHTS_UNSAFE = "weights_unsafe"
    LICENCE_UNACCEPTED = "licence_unaccepted"


class Maker(Protocol):
    """Makes clips here. ``needs``: modules that must be installed; ``runs_code``: its folder is a program, which may hold what
    would be unsafe among weights; ``noncommercial``: what in it is for non-commercial use only."""

    needs: ClassVar[tuple[str, ...]]
    runs_code: ClassVar[bool]
    noncommercial: ClassVar[str | None]

    def __init__(self, account: Account) -> None: ...

    def make(self, job: RemoteJob, *, tell: Callable[[float], None]) -> Clip:
        """``tell`` hears how far it is, 0 to 1, and raises when the work must stop.

        Raises: RemoteError, whatever ``tell`` raises.
        """
        ...


def why_not(account: Account | None, maker: type[Maker]) -> Unready | None:
    """Why it cannot be offered, by what can be told without reading gigabytes; ``None``: it can."""
    if account is None or not account.options.get("folder") or not account.options.get("pins"):
        return Unready.NOT_CONFIGURED
    if any(importlib.util.find_spec(name) is None for name in maker.needs):
        return Unready.LIBRARY_MISSING
    if maker.noncommercial is not None and account.options.get("accept_noncommercial") != "yes":
        return Unready.LICENCE_UNACCEPTED
    folder, pins = Path(account.options["folder"]), Path(account.options["pins"])
    if not folder.is_dir() or not pins.is_file():
        return Unready.WEIGHTS_MISSING
    try:
        listed = read_pins(pins.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return Unready.WEIGHTS_MISSING
    return _names(folder, listed, runs_code=maker.runs_code)


def check_folder(folder: Path, pins: str, *, runs_code: bool) -> None:
    """Read every file and compare it with the list. Raises: RemoteError with a code of :class:`Unready`."""
    try:
        listed = read_pins(pins)
    except ValueError:
        raise _unready(Unready.WEIGHTS_MISSING) from None
    why = _names(folder, listed, runs_code=runs_code)
    if why is not None:
        raise _unready(why)
    for name, sha256 in listed.items():
        if _sha256(folder / name) != sha256:
            raise _unready(Unready.WEIGHTS_ALTERED)


def read_pins(text: str) -> dict[str, str]:
    """Digests by path below the folder, from lines as ``sha256sum`` writes them. Raises: ValueError."""
    listed: dict[str, str] = {}
    for line in filter(None, (each.strip() for each in text.splitlines())):
        found = _LINE.fullmatch(line)
        name = "" if found is None else found.group(2).removeprefix("./")
        if found is None or name.startswith("/") or ".." in Path(name).parts or name in listed:
            raise ValueError("not a list of digests")
        listed[name] = found.group(1)
    if not listed:
        raise ValueError("an empty list")
    return listed


def _names(folder: Path, listed: dict[str, str], *, runs_code: bool) -> Unready | None:
    there = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    if set(listed) - set(there):
        return Unready.WEIGHTS_MISSING
    if set(there) - set(listed) or any(path.is_symlink() for path in there.values()):
        return Unready.WEIGHTS_UNPINNED
    if not runs_code and any(path.suffix.lower() in UNSAFE for path in there.values()):
        return Unready.WEIGHTS_UNSAFE
    return None


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_READ_AT_ONCE):
            digest.update(part)
    return digest.hexdigest()


def _unready(why: Unready) -> RemoteError:
    return RemoteError(f"the generator is not ready: {why.value}", code=why)
