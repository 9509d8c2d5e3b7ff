"""Signed notes (C2SP signed-note), the checkpoints written as notes (C2SP tlog-checkpoint), and cosignatures on them (C2SP
tlog-cosignature). Ed25519 only.

A note is text that ends in a line end, an empty line, and lines ``— <key name> <base64 of key id and signature>``. A name and
an id together say which key and which kind of signature; lines of others are passed over, a line of a known key must hold.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from consent.canonical import Malformed, from_seconds, to_seconds
from consent.errors import NoteInvalid
from consent.keys import KeySet, SigningKey, holds
from consent.merkle import HASH_BYTES

_MAX_NOTE_CHARS = 64 * 1024
_MAX_SIGNATURES = 64  # the specification asks for 16 at least
_SIGNATURE_BYTES = 64
_SIZE = re.compile(r"0|[1-9]\d{0,15}", re.ASCII)
_NAME = re.compile(r"[^\s+]{1,255}")
_KEY_ID = re.compile(r"[0-9a-f]{8}")
_NO_NOTE = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")  # control characters, and what is no Unicode text
_DASH = "\u2014 "


class SignatureType(IntEnum):
    """How a key signs. The log signs the text; a witness signs the text with the time at which it was the latest."""

    ED25519 = 0x01
    COSIGNATURE = 0x04


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Who may have signed: a name, a kind of signature and the 32 bytes of an Ed25519 key."""

    name: str
    kind: SignatureType
    public: bytes

    def __post_init__(self) -> None:
        if not _is_name(self.name) or len(self.public) != 32:
            raise ValueError("a key has a name without spaces and plus, and 32 bytes")

    @property
    def key_id(self) -> bytes:
        about = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return hashlib.sha256(about).digest()[:4]

    @property
    def vkey(self) -> str:
        """As verifiers are written down: ``name+id+base64(kind || key)``."""
        return f"{self.name}+{self.key_id.hex()}+{to_base64(bytes([self.kind]) + self.public)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One line. ``value`` is 64 bytes, after 8 bytes of time when it is a cosignature."""

    name: str
    key_id: bytes
    value: bytes

    @property
    def line(self) -> str:
        return f"{_DASH}{self.name} {to_base64(self.key_id + self.value)}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Text with signatures, of which nothing is known yet."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def to_text(self) -> str:
        return self.text + "\n" + "".join(signature.line for signature in self.signatures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Who of those that we know signed; ``at`` is what a cosignature states, else ``None``."""

    by: Verifier
    signature: NoteSignature
    at: datetime | None


def read_vkey(text: str) -> Verifier:
    """The key that a vkey names.

    Raises:
        NoteInvalid: when it is no vkey of a kind that we know, or its id is not that of its key.
    """
    name, _, rest = text.partition("+")
    key_id, _, key = rest.partition("+")
    content = from_base64(key)
    try:
        found = Verifier(name=name, kind=SignatureType(content[0]), public=content[1:])
    except (ValueError, IndexError) as error:
        raise NoteInvalid("not an Ed25519 verifier key") from error
    if not _KEY_ID.fullmatch(key_id) or bytes.fromhex(key_id) != found.key_id:
        raise NoteInvalid("a verifier key's id is not that of its key")
    return found


def read_note(content: str) -> Note:
    """Split a note into text and signatures, of which nothing is checked yet.

    Raises:
        NoteInvalid: when it is none, or larger than any.
    """
    if len(content) > _MAX_NOTE_CHARS or _NO_NOTE.search(content):
        raise NoteInvalid("not a note")
    text, separator, lines = content.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise NoteInvalid("not a note")
    signatures = tuple(_signature(line) for line in lines[:-1].split("\n"))
    if len(signatures) > _MAX_SIGNATURES:
        raise NoteInvalid(f"more than {_MAX_SIGNATURES} signatures")
    return Note(text=text + "\n", signatures=signatures)


def _signature(line: str) -> NoteSignature:
    name, separator, value = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not separator or not _is_name(name):
        raise NoteInvalid("not a signature line")
    content = from_base64(value)
    if len(content) < 5:
        raise NoteInvalid("a signature without a signature")
    return NoteSignature(name=name, key_id=content[:4], value=content[4:])


def signed_by(note: Note, known: Sequence[Verifier]) -> tuple[Signed, ...]:
    """Which of these keys signed, in the order of the lines; each key once.

    Raises:
        NoteInvalid: code ``bad_signature`` when a line of one of them does not hold, ``note_unsigned`` when there is none.
    """
    keys = {(key.name, key.key_id): key for key in known}
    found: dict[Verifier, Signed] = {}
    for signature in note.signatures:
        key = keys.get((signature.name, signature.key_id))
        if key is not None:
            found.setdefault(key, Signed(by=key, signature=signature, at=_checked(note.text, signature, key)))
    if not found:
        raise NoteInvalid("not signed by a known key", code="note_unsigned")
    return tuple(found.values())


def _checked(text: str, signature: NoteSignature, key: Verifier) -> datetime | None:
    value, message, at = signature.value, text.encode(), None
    if key.kind is SignatureType.COSIGNATURE:
        seconds, value = int.from_bytes(value[:8], "big"), value[8:]
        message = _cosigned_text(text, seconds)
        try:
            at = from_seconds(seconds)
        except Malformed as error:
            raise NoteInvalid("a cosignature's time is none", code="bad_signature") from error
    if len(value) != _SIGNATURE_BYTES or not holds(key.public, value, message):
        raise NoteInvalid("the signature of a known key does not hold", code="bad_signature")
    return at


def sign_note(text: str, key: SigningKey, *, name: str) -> NoteSignature:
    """This key's signature on that text, under that name."""
    by = Verifier(name=name, kind=SignatureType.ED25519, public=key.public_bytes)
    return NoteSignature(name=name, key_id=by.key_id, value=key.sign_note_text(text.encode()))


def cosign(text: str, key: SigningKey, *, name: str, at: datetime) -> NoteSignature:
    """A witness's statement that at that time this checkpoint was the largest it had seen of its log, and that it follows
    from all that it saw before."""
    by, seconds = witness_verifier(key, name=name), to_seconds(at)
    value = seconds.to_bytes(8, "big") + key.sign_note_text(_cosigned_text(text, seconds))
    return NoteSignature(name=name, key_id=by.key_id, value=value)


def witness_verifier(key: SigningKey, *, name: str) -> Verifier:
    """What others need to check the cosignatures of this key."""
    return Verifier(name=name, kind=SignatureType.COSIGNATURE, public=key.public_bytes)


def log_verifiers(keys: KeySet, *, origin: str) -> tuple[Verifier, ...]:
    """The keys of a service as they sign the checkpoints of the log of that name."""
    return tuple(Verifier(name=origin, kind=SignatureType.ED25519, public=public) for public in keys.public_bytes)


def _cosigned_text(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


# --- checkpoints -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log says of itself: its name, how many entries it has, and the root over them."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not _is_name(self.origin) or self.size < 0 or len(self.root) != HASH_BYTES:
            raise ValueError("a checkpoint has a name, a size and a root")

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n"


def read_checkpoint(text: str) -> Checkpoint:
    """The checkpoint that a note's text states. Extension lines are allowed and mean nothing here.

    Raises:
        NoteInvalid: when it states none.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines.index("") != len(lines) - 1 or not _SIZE.fullmatch(lines[1]):
        raise NoteInvalid("not a checkpoint")
    try:
        return Checkpoint(origin=lines[0], size=int(lines[1]), root=from_base64(lines[2]))
    except ValueError as error:
        raise NoteInvalid("not a checkpoint") from error


def open_checkpoint(content: str, known: Sequence[Verifier]) -> tuple[Checkpoint, tuple[Signed, ...]]:
    """The checkpoint in this note, and who of ``known`` signed it.

    Raises:
        NoteInvalid: see :func:`read_note`, :func:`signed_by` and :func:`read_checkpoint`.
    """
    note = read_note(content)
    signed = signed_by(note, known)
    return read_checkpoint(note.text), signed


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def to_base64(content: bytes) -> str:
    """As these formats write bytes (RFC 4648, section 4)."""
    return base64.b64encode(content).decode("ascii")


def from_base64(text: str) -> bytes:
    """Bytes of their one spelling.

    Raises:
        NoteInvalid: for any other.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteInvalid("not base64") from error
    if to_base64(content) != text:
        raise NoteInvalid("not base64 in its one spelling")
    return content
