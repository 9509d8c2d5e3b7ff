"""A witness of somebody's log, for the command line: fetches the checkpoint, checks that the log still has all that was seen
before, cosigns, and hands the cosignature in.

What was last seen is kept in a file, and written before the cosignature is handed out. At the first contact the log's name and
keys are taken from ``--keys``, or as the log itself gives them, and stay. A refusal that speaks against the log leaves both
notes beside the file as evidence.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from api.log_client import LogClient, LogUnreachable
from consent.errors import KeysUnusable, NoteInvalid
from consent.keys import KeySet, SigningKey
from consent.note import (
    Checkpoint,
    Note,
    Verifier,
    log_verifiers,
    read_checkpoint,
    read_note,
    read_vkey,
    witness_verifier,
)
from consent.witness import Cosigned, NotCosigned, WitnessCode, witness

_VERSION = 1
_EVIDENCE = (WitnessCode.ROLLBACK, WitnessCode.SPLIT_VIEW, WitnessCode.BAD_PROOF)


class WitnessStateInvalid(Exception):
    """The file of what was seen, or the key, cannot be used. One line, for the terminal."""

    code = "witness_state_invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a witness knows of a log. ``note``: the last checkpoint that it cosigned; ``None`` before the first."""

    origin: str
    log: tuple[Verifier, ...]
    note: str | None

    @property
    def seen(self) -> Checkpoint | None:
        return None if self.note is None else read_checkpoint(read_note(self.note).text)


def open_witness_key(file: Path) -> SigningKey:
    """The witness's own key (PEM); made at the first start, mode 0600.

    Raises:
        WitnessStateInvalid: when the file holds none, or others may read it.
    """
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as made:
            made.write(SigningKey.generate().to_pem())
    except FileExistsError:
        pass
    try:
        if os.name == "posix" and file.stat().st_mode & 0o077:
            raise WitnessStateInvalid(f"{file} must be readable by its owner only (chmod 600)")
        return SigningKey.from_pem(file.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError, KeysUnusable) as error:
        raise WitnessStateInvalid(f"{file} holds no key of a witness") from error


def look_once(
    client: LogClient, state: Path, key: SigningKey, *, name: str, keys: KeySet | None, now: datetime
) -> Cosigned | NotCosigned:
    """One round: fetch, check, remember, hand in.

    Raises:
        LogUnreachable: when the log does not answer; nothing was signed then, or it was not handed in and will be next time.
        WitnessStateInvalid: when the state cannot be read, or another process works with it.
    """
    with _alone(state):
        note = client.checkpoint()
        memory = _read(state) if state.exists() else _first(client, note, keys)
        found = _judged(client, memory, note, key, name=name, now=now)
        match found:
            case NotCosigned():
                if found.code in _EVIDENCE:
                    _write(state.with_name(f"{state.name}.refused"), {"seen": memory.note, "shown": note})
            case Cosigned():
                parsed = read_note(note)
                _write(state, _as_json(replace(memory, note=note)))
                client.hand_in(Note(text=parsed.text, signatures=(found.signature,)).to_text())
    return found


def _judged(
    client: LogClient, memory: Memory, note: str, key: SigningKey, *, name: str, now: datetime
) -> Cosigned | NotCosigned:
    def judge(proof: tuple[bytes, ...]) -> Cosigned | NotCosigned:
        return witness(seen, note, proof, origin=memory.origin, log=memory.log, key=key, name=name, now=now)

    seen = memory.seen
    found = judge(())
    if not isinstance(found, NotCosigned) or found.code is not WitnessCode.BAD_PROOF or seen is None:
        return found
    # signed, and larger than what was seen: only now are the log's tiles asked for
    return judge(client.consistency(seen.size, read_checkpoint(read_note(note).text).size))


def keep_looking(
    look: Callable[[], Cosigned | NotCosigned],
    *,
    say: Callable[[str], None],
    wait: Callable[[], object],
) -> NotCosigned:
    """Round after round until the log is refused; a log that does not answer is tried again."""
    while True:
        try:
            found = look()
        except LogUnreachable as error:
            say(f"{error.code}: {error}; trying again")
        else:
            if isinstance(found, NotCosigned):
                return found
            say(f"cosigned {found.checkpoint.size} entries of {found.checkpoint.origin}")
        wait()


def vkey_of(key: SigningKey, *, name: str) -> str:
    """What the operator of a log puts into the file of ``MIEN_WITNESSES``.

    Raises:
        WitnessStateInvalid: for a name with spaces or a plus.
    """
    try:
        return witness_verifier(key, name=name).vkey
    except ValueError as error:
        raise WitnessStateInvalid("a witness's name has no spaces and no plus") from error


# --- what is kept ----------------------------------------------------------------------------------------------------


def _first(client: LogClient, note: str, keys: KeySet | None) -> Memory:
    try:
        origin = read_checkpoint(read_note(note).text).origin
    except NoteInvalid as error:
        raise LogUnreachable("there is no checkpoint") from error
    known = client.keys() if keys is None else keys
    return Memory(origin=origin, log=log_verifiers(known, origin=origin), note=None)


def _as_json(memory: Memory) -> dict[str, object]:
    return {
        "version": _VERSION,
        "origin": memory.origin,
        "log": [verifier.vkey for verifier in memory.log],
        "note": memory.note,
    }


def _read(state: Path) -> Memory:
    try:
        content = json.loads(state.read_text(encoding="utf-8"))
        if content["version"] != _VERSION:
            raise ValueError("another version")
        memory = Memory(
            origin=content["origin"], log=tuple(read_vkey(vkey) for vkey in content["log"]), note=content["note"]
        )
        if memory.note is None or memory.seen is None or not memory.log:
            raise ValueError("nothing was seen")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, NoteInvalid) as error:
        # never started afresh by itself: who damages the file must not make the witness forget
        raise WitnessStateInvalid(f"{state} cannot be read; what was seen of the log is in it") from error
    return memory


def _write(file: Path, content: dict[str, object]) -> None:
    """In place at once and on the disk, or not at all."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        with draft.open("w", encoding="utf-8") as written:
            json.dump(content, written, indent=1)
            written.flush()
            os.fsync(written.fileno())
        draft.replace(file)
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Two processes with one memory could sign two trees."""
    with state.with_name(f".{state.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise WitnessStateInvalid(f"another witness works with {state}") from error
        yield
