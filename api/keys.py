"""The service's own keys: a file that only its owner may read, or the environment.

    signing     Ed25519 keys for records, ledger heads, tokens and permits; one is active, the others only verify
    masters     AES-256 keys that wrap the data keys of people and seal stored answers; the newest wraps, all unwrap
    blinding    for keyed digests of the names that apps give people; it never changes, or nobody would be known again
    authority   what signs the provenance of clips (CA and leaf), as likeness/provenance.py makes it

The file is made at the first start with mode 0600. Losing it loses every sealed template, recording and clip, and the
means to sign; that is the point of it. ``MIEN_MASTER_KEY`` may put a key management service in the masters' place for data
keys (see :mod:`api.keys_tink`); stored answers, which live for a day, stay under the file's.

A key that is added says from when it is used, so that every process (and every reader of the published keys) knows it before
it meets it. Processes look at the file every second; a file that is damaged then changes nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from api.settings import Settings
from consent.keys import KeySet, SigningKey
from likeness.provenance import Authority

log = logging.getLogger("mien.keys")

SIGNING_OVERLAP = timedelta(minutes=10)
"""A new signing key is published this long before it signs: twice the five minutes that readers may keep the JWKS."""
MASTER_OVERLAP = timedelta(seconds=5)  # processes look at the file every second
_STEADY = timedelta(minutes=1)
"""So long a new master key has wrapped before an older one may go: by then no process wraps with that any more."""

_VERSION = 2
_NONCE_BYTES = 12
_LOOKED_AT_EVERY_S = 1.0
_REMEMBERED, _REMEMBERED_S = 4096, 300.0  # data keys that a key management service opened: how many, how long
_FILE = "file:"


class KeysInvalid(Exception):
    """The key file cannot be used. One line, for the terminal; it never shows what is in the file."""

    code = "keys_invalid"


class Unsealable(Exception):
    """Sealed bytes do not open under this key: altered, moved, or sealed for something else."""


class MasterUnknown(Exception):
    """The master key that wrapped this is not among ours."""

    code = "master_unknown"


class MasterUnavailable(Exception):
    """The key management service does not answer. Nothing opens meanwhile."""

    code = "master_unavailable"


class KeyWrapper(Protocol):
    """Wraps data keys. The key that does it may be here or far away."""

    @property
    def key_id(self) -> str:
        """Names the key in storage; tells nothing about it."""
        ...

    def opens(self, key_id: str) -> bool:
        """Whether what the key of that id wrapped opens here: its own, and those of older keys that it holds."""
        ...

    def wrap(self, data_key: bytes, *, about: str) -> bytes: ...

    def unwrap(self, wrapped: bytes, *, about: str) -> bytes:
        """Raises: Unsealable, MasterUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A master key of the key file; the raw key stays inside."""

    raw: bytes = field(repr=False)
    key_id: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(b"mien master key id|" + self.raw).hexdigest()
        object.__setattr__(self, "key_id", f"mk_{digest[:16]}")

    def opens(self, key_id: str) -> bool:
        return key_id == self.key_id

    def wrap(self, data_key: bytes, *, about: str) -> bytes:
        return seal(self.raw, data_key, about=about)

    def unwrap(self, wrapped: bytes, *, about: str) -> bytes:
        return unseal(self.raw, wrapped, about=about)


@dataclass(frozen=True, slots=True)
class Masters:
    """Several at once: the first wraps, all unwrap."""

    wrappers: tuple[KeyWrapper, ...]

    @property
    def newest(self) -> KeyWrapper:
        return self.wrappers[0]

    def knows(self, key_id: str | None) -> bool:
        return key_id is None or any(wrapper.opens(key_id) for wrapper in self.wrappers)

    def unwrap(self, wrapped: bytes, *, by: str | None, about: str) -> bytes:
        """``by``: id of the key that wrapped it; ``None`` for what the first release wrote, which had one key in the file.

        Raises:
            Unsealable, MasterUnknown, MasterUnavailable.
        """
        if by is None:
            for wrapper in self.wrappers:
                if isinstance(wrapper, MasterKey):
                    try:
                        return wrapper.unwrap(wrapped, about=about)
                    except Unsealable:
                        continue
            raise Unsealable("sealed bytes do not open under any master key")
        for wrapper in self.wrappers:
            if wrapper.opens(by):
                return wrapper.unwrap(wrapped, about=about)
        raise MasterUnknown(f"no master key {by}")


@dataclass(frozen=True, slots=True)
class ServiceKeys:
    """``signing[0]`` is the active key. ``masters`` wraps data keys, ``answers`` seals stored answers."""

    signing: tuple[SigningKey, ...]
    masters: Masters
    answers: Masters
    blinding: bytes = field(repr=False)
    authority: Authority = field(repr=False)
    public: KeySet = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "public", KeySet.of(*self.signing))

    @property
    def active(self) -> SigningKey:
        return self.signing[0]

    def blind(self, purpose: str, text: str) -> bytes:
        """A keyed digest: equal for equal text, and tells nothing without the key."""
        return hmac.new(self.blinding, f"{purpose}|{text}".encode(), hashlib.sha256).digest()


def seal(key: bytes, content: bytes, *, about: str) -> bytes:
    """AES-256-GCM: 12 bytes nonce, then ciphertext and tag. ``about`` is bound in and must be given again to open."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, about.encode())


def unseal(key: bytes, sealed: bytes, *, about: str) -> bytes:
    """The content.

    Raises:
        Unsealable: when it does not open.
    """
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode())
    except (InvalidTag, ValueError) as error:
        raise Unsealable("sealed bytes do not open") from error


# --- the keys of a running process -----------------------------------------------------------------------------------


class KeyRing:
    """The keys as they are now. Thread-safe; a key file that changed is read again, a damaged one is not taken."""

    def __init__(self, settings: Settings, *, now: Callable[[], datetime]) -> None:
        """Raises: KeysInvalid."""
        self._settings, self._now = settings, now
        self._lock = threading.Lock()
        self._outside = open_wrappers(settings)
        if settings.keys_json is None and not settings.keys.exists():
            _make(settings.keys, now())
        self._seen = self._mark()
        self._file = _read(settings)
        self._looked = time.monotonic()
        self._keys = self._built()

    def current(self) -> ServiceKeys:
        if time.monotonic() - self._looked >= _LOOKED_AT_EVERY_S:
            self.reload()
        return self._keys

    def reload(self) -> ServiceKeys:
        """Look at the file now."""
        with self._lock:
            self._looked = time.monotonic()
            mark = self._mark()
            if mark != self._seen:
                self._seen = mark
                try:
                    self._file = _read(self._settings)
                except KeysInvalid as error:
                    log.error("the key file changed and cannot be used; the keys stay as they were: %s", error)
            if self._file.order(self._now()) != self._order:
                self._keys = self._built()
            return self._keys

    def since(self) -> dict[str, datetime | None]:
        """When each key of the file came, or comes, into use; ``None``: from the beginning."""
        with self._lock:
            file = self._file
        found = {file.signer(kept.secret).kid: kept.since for kept in file.signing}
        return found | {MasterKey(base64.b64decode(kept.secret)).key_id: kept.since for kept in file.masters}

    def unwrap(self, wrapped: bytes, *, by: str | None, about: str) -> bytes:
        """With the master key ``by``, also one that was added a moment ago. Raises: as :meth:`Masters.unwrap`."""
        keys = self.current()
        return (keys if keys.masters.knows(by) else self.reload()).masters.unwrap(wrapped, by=by, about=about)

    def asks_outside(self, by: str | None) -> bool:
        """Whether what the master key ``by`` wrapped opens under a key that is not in the key file."""
        return by is not None and any(wrapper.opens(by) for wrapper in self._outside)

    def open_answer(self, sealed: bytes, *, by: str | None, about: str) -> bytes:
        """Raises: as :meth:`Masters.unwrap`."""
        keys = self.current()
        return (keys if keys.answers.knows(by) else self.reload()).answers.unwrap(sealed, by=by, about=about)

    def _built(self) -> ServiceKeys:
        self._order = self._file.order(self._now())
        signing, masters = self._order
        inside: tuple[KeyWrapper, ...] = tuple(MasterKey(raw) for raw in masters)
        return ServiceKeys(
            signing=tuple(self._file.signer(pem) for pem in signing),
            masters=Masters((*self._outside, *inside)),
            answers=Masters(inside),
            blinding=self._file.blinding,
            authority=self._file.authority,
        )

    def _mark(self) -> tuple[int, ...]:
        """Tells one state of the file from another; every change is an atomic replacement, so a new inode."""
        if self._settings.keys_json is not None:
            return ()
        try:
            state = self._settings.keys.stat()
        except OSError:
            return ()
        return state.st_mtime_ns, state.st_size, state.st_ino, state.st_mode


def open_keys(settings: Settings, *, now: datetime) -> ServiceKeys:
    """The keys these settings name, as they are at ``now``; made at the first start.

    Raises:
        KeysInvalid: when file or setting is damaged, or others may read the file.
    """
    return KeyRing(settings, now=lambda: now).current()


def open_wrappers(settings: Settings) -> tuple[KeyWrapper, ...]:
    """Those of ``MIEN_MASTER_KEY`` that are not in the key file; the first of them wraps.

    Raises:
        KeysInvalid: when one cannot be opened.
    """
    named = [each for each in settings.master_key if each != _FILE]
    if not named:
        return ()
    from api.keys_tink import open_wrapper

    return tuple(Remembering(open_wrapper(each)) for each in named)


class Remembering:
    """Asks a key far away once, and then knows for a few minutes what it opened: the gate answers in milliseconds.

    What a destroyed data key opened stays closed, since its wrapped form, which is asked by, is gone from the database.
    """

    def __init__(self, wrapper: KeyWrapper) -> None:
        self._wrapper = wrapper
        self._lock = threading.Lock()
        self._opened: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()

    @property
    def key_id(self) -> str:
        return self._wrapper.key_id

    def opens(self, key_id: str) -> bool:
        return self._wrapper.opens(key_id)

    def wrap(self, data_key: bytes, *, about: str) -> bytes:
        wrapped = self._wrapper.wrap(data_key, about=about)
        self._remember(_asked(wrapped, about), data_key)
        return wrapped

    def unwrap(self, wrapped: bytes, *, about: str) -> bytes:
        asked = _asked(wrapped, about)
        with self._lock:
            known = self._opened.get(asked)
        if known is not None and time.monotonic() - known[0] < _REMEMBERED_S:
            return known[1]
        data_key = self._wrapper.unwrap(wrapped, about=about)
        self._remember(asked, data_key)
        return data_key

    def _remember(self, asked: bytes, data_key: bytes) -> None:
        with self._lock:
            self._opened[asked] = (time.monotonic(), data_key)
            self._opened.move_to_end(asked)
            while len(self._opened) > _REMEMBERED:
                self._opened.popitem(last=False)


def _asked(wrapped: bytes, about: str) -> bytes:
    return hashlib.sha256(len(wrapped).to_bytes(4, "big") + wrapped + about.encode()).digest()


# --- the file --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Kept:
    """A key in the file. ``since``: when it comes into use; ``None``: from the beginning."""

    secret: str = field(repr=False)
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What the file holds, newest first."""

    signing: tuple[_Kept, ...]
    masters: tuple[_Kept, ...]
    blinding: bytes = field(repr=False)
    authority: Authority = field(repr=False)

    def order(self, now: datetime) -> tuple[tuple[str, ...], tuple[bytes, ...]]:
        """Signing and master keys: the one in use, then the others, also those whose time has not come."""
        masters = tuple(base64.b64decode(secret) for secret in _in_use_first(self.masters, now))
        return _in_use_first(self.signing, now), masters

    @staticmethod
    def signer(pem: str) -> SigningKey:
        return SigningKey.from_pem(pem)

    def text(self) -> str:
        content = {
            "version": _VERSION,
            "signing": [_kept_json(key) for key in self.signing],
            "masters": [_kept_json(key) for key in self.masters],
            "blinding": base64.b64encode(self.blinding).decode(),
            "authority": asdict(self.authority),
        }
        return json.dumps(content, indent=1)


def _in_use_first(keys: Iterable[_Kept], now: datetime) -> tuple[str, ...]:
    """Of those whose time has come the newest, then all others; when it has come for none, as they stand."""
    kept = tuple(keys)
    used = next((key for key in kept if key.since is None or key.since <= now), kept[0])
    return (used.secret, *(key.secret for key in kept if key is not used))


def _kept_json(key: _Kept) -> dict[str, str | None]:
    return {"key": key.secret, "since": None if key.since is None else key.since.isoformat()}


def _kept_of(stored: dict[str, Any]) -> _Kept:
    if set(stored) != {"key", "since"} or not isinstance(stored["key"], str):
        raise ValueError("unexpected members")
    since = None if stored["since"] is None else datetime.fromisoformat(stored["since"])
    if since is not None and since.tzinfo is None:
        raise ValueError("a time without a zone")
    return _Kept(stored["key"], since)


def _read(settings: Settings) -> KeyFile:
    """Raises: KeysInvalid."""
    if settings.keys_json is not None:
        return _parsed(settings.keys_json, "MIEN_KEYS_JSON")
    try:
        mode = settings.keys.stat().st_mode & 0o777
        if os.name == "posix" and mode & 0o077:
            raise KeysInvalid(f"{settings.keys} has mode {mode:04o}; it must be readable by its owner only (chmod 600)")
        text = settings.keys.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KeysInvalid(f"{settings.keys} cannot be read") from error
    return _parsed(text, str(settings.keys))


def _parsed(text: str, where: str) -> KeyFile:
    try:
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("no object")
        file = _of_first_release(content) if content.get("version") == 1 else _of_this_release(content)
        for kept in file.masters:
            if len(base64.b64decode(kept.secret, validate=True)) != 32:
                raise ValueError("a master key is not 32 bytes")
        for kept in file.signing:
            file.signer(kept.secret)
        if not file.signing or not file.masters or len(file.blinding) != 32:
            raise ValueError("a key is missing")
    except Exception as error:  # JSON, base64, PEM: all mean the same here, and none may show the content
        raise KeysInvalid(f"{where} is damaged: it does not hold the service's keys") from error
    return file


def _of_this_release(content: dict[str, Any]) -> KeyFile:
    if set(content) != {"version", "signing", "masters", "blinding", "authority"} or content["version"] != _VERSION:
        raise ValueError("unexpected members")
    return KeyFile(
        signing=tuple(_kept_of(key) for key in content["signing"]),
        masters=tuple(_kept_of(key) for key in content["masters"]),
        blinding=base64.b64decode(content["blinding"], validate=True),
        authority=Authority(**content["authority"]),
    )


def _of_first_release(content: dict[str, Any]) -> KeyFile:
    """One master key, which also blinded: it goes on blinding, or nobody who is known would be known again."""
    if set(content) != {"version", "signing", "master", "authority"}:
        raise ValueError("unexpected members")
    return KeyFile(
        signing=tuple(_Kept(pem) for pem in content["signing"]),
        masters=(_Kept(content["master"]),),
        blinding=base64.b64decode(content["master"], validate=True),
        authority=Authority(**content["authority"]),
    )


def _make(path: Path, now: datetime) -> None:
    """Written beside and linked into place, so that two first starts at once agree on one file."""
    from likeness.provenance import new_authority

    made = KeyFile(
        signing=(_Kept(SigningKey.generate().to_pem()),),
        masters=(_Kept(_new_master()),),
        blinding=secrets.token_bytes(32),
        authority=new_authority(now),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with _draft(path, made.text()) as draft:
        try:
            os.link(draft, path)
        except FileExistsError:
            return


@contextmanager
def _draft(path: Path, text: str) -> Iterator[Path]:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _new_master() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


# --- rotation --------------------------------------------------------------------------------------------------------


def add_signing_key(settings: Settings, *, now: datetime, after: timedelta = SIGNING_OVERLAP) -> str:
    """Add the next signing key: published at once, signs from ``now + after``. Gives its id.

    Raises:
        KeysInvalid: when there is no file that can be changed.
    """
    made = SigningKey.generate()
    with _changing(settings) as (file, write):
        write(replace(file, signing=(_Kept(made.to_pem(), now + after), *file.signing)))
    return made.kid


def add_master_key(settings: Settings, *, now: datetime, after: timedelta = MASTER_OVERLAP) -> str:
    """Add the next master key: opens at once, wraps from ``now + after``. Gives its id. Raises: KeysInvalid."""
    secret = _new_master()
    with _changing(settings) as (file, write):
        write(replace(file, masters=(_Kept(secret, now + after), *file.masters)))
    return MasterKey(base64.b64decode(secret)).key_id


def drop_master_key(settings: Settings, key_id: str, *, now: datetime) -> None:
    """Take a master key out of the file, for good. The caller has made sure that nothing is wrapped with it.

    Raises:
        KeysInvalid: when it is the one in use, or not there.
    """
    with _changing(settings) as (file, write):
        ids = [MasterKey(raw).key_id for raw in file.order(now)[1]]
        if key_id not in ids:
            raise KeysInvalid(f"the key file has no master key {key_id}")
        if key_id == ids[0] or file.order(now - _STEADY)[1][0] != file.order(now)[1][0]:
            raise KeysInvalid(f"{key_id} wraps, or did a moment ago; mien keys rotate --master adds the next one")
        write(replace(file, masters=tuple(key for key in file.masters if _master_id(key) != key_id)))


def _master_id(key: _Kept) -> str:
    return MasterKey(base64.b64decode(key.secret)).key_id


@contextmanager
def _changing(settings: Settings) -> Iterator[tuple[KeyFile, Callable[[KeyFile], None]]]:
    """The file, and how to replace it. One change at a time: a lock on its folder, or one of two new keys would be lost."""
    import fcntl

    if settings.keys_json is not None:
        raise KeysInvalid("the keys are in MIEN_KEYS_JSON; only a key file can be changed here")
    try:
        folder = os.open(settings.keys.parent, os.O_RDONLY)
    except OSError as error:
        raise KeysInvalid(f"{settings.keys} is not there") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)

        def write(file: KeyFile) -> None:
            with _draft(settings.keys, file.text()) as draft:
                draft.replace(settings.keys)
            os.fsync(folder)

        yield _read(settings), write
    finally:
        os.close(folder)
