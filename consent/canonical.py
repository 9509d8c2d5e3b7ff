"""JSON in one spelling, so that equal values are equal bytes, and bytes that we sign or hash can be read in one way only.

Writing follows RFC 8785 (JCS). Reading takes nothing but what writing gives: no repeated member, no fraction, no number
beyond 2^53, no other order, spacing or escape. Only this file knows the library.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import rfc8785

Json = None | bool | int | str | Sequence["Json"] | Mapping[str, "Json"]

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z")
_SHA256 = re.compile(r"[0-9a-f]{64}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST = 2**53 - 1
_LATEST_S = 253_402_300_799  # 9999-12-31T23:59:59Z, the last second a datetime can hold


class Malformed(ValueError):
    """Bytes or a value of another shape than wanted. Stays inside this package; callers raise their own error from it."""


def encode(value: Json) -> bytes:
    """The one spelling of a value (RFC 8785).

    Raises:
        Malformed: for a number beyond 2^53 or text that is no Unicode.
    """
    try:
        return _in_ascii(value) if _is_plain(value) else rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise Malformed("not representable as canonical JSON") from error


def decode(content: bytes, *, any_spelling: bool = False) -> Members:
    """The object that these bytes spell. ``any_spelling`` is for what is neither signed nor hashed as a whole: order,
    spacing and escapes are then free.

    Raises:
        Malformed: when they are no JSON object, or not in the one spelling of it.
    """
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_int=_whole,
            parse_float=_refused,
            parse_constant=_refused,
        )
    except (ValueError, RecursionError) as error:
        raise Malformed("not JSON") from error
    if not isinstance(value, dict):
        raise Malformed("not a JSON object")
    if not any_spelling and not (content.isascii() and _in_ascii(value) == content) and encode(value) != content:
        raise Malformed("not in canonical form")
    return Members(value)


def _in_ascii(value: Json) -> bytes:
    """What :func:`encode` gives for whole numbers and text of ASCII alone, in a tenth of the time: there the order of members
    by UTF-16 is that of Python, and both have the same escapes. Of other text it gives what is no ASCII."""
    return _write(value).encode("utf-8", "surrogatepass")


_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def _is_plain(value: Json) -> bool:
    """Of values that :func:`_in_ascii` spells as RFC 8785 does: types that JSON has, text of ASCII, numbers that it holds."""
    if isinstance(value, str):
        return value.isascii()
    if type(value) is dict:
        for name, one in value.items():  # noqa: SIM110 - half the time of a generator, and the log is written with it
            if type(name) is not str or not name.isascii() or not _is_plain(one):
                return False
        return True
    if value is None or isinstance(value, bool):
        return True
    if type(value) is int:
        return -_LARGEST <= value <= _LARGEST
    if type(value) is list or type(value) is tuple:
        return all(map(_is_plain, value))
    return False


def _without_repeats(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("repeated member")
    return found


def _whole(text: str) -> int:
    number = int(text)
    if abs(number) > _LARGEST:
        raise Malformed("a number beyond 2^53")
    return number


def _refused(_: str) -> Json:
    raise Malformed("number is not whole")


class Members:
    """The members of a JSON object, taken one by one with their type. What is left at :meth:`end` was not expected.

    Every method raises :class:`Malformed`, which names the member and never its value.
    """

    def __init__(self, value: Json) -> None:
        if not isinstance(value, dict):
            raise Malformed("not a JSON object")
        self._left: dict[str, Json] = dict(value)

    def has(self, name: str) -> bool:
        return name in self._left

    def names(self) -> tuple[str, ...]:
        return tuple(self._left)

    def take(self, name: str) -> Json:
        try:
            return self._left.pop(name)
        except KeyError:
            raise Malformed(f"{name} is missing") from None

    def text(self, name: str) -> str:
        value = self._left.pop(name) if name in self._left else self.take(name)
        if not isinstance(value, str):
            raise Malformed(f"{name} is not text")
        return value

    def exactly(self, name: str, wanted: str) -> None:
        if self.text(name) != wanted:
            raise Malformed(f"{name} is not {wanted}")

    def sha256(self, name: str) -> str:
        value = self.text(name)
        if not is_sha256(value):
            raise Malformed(f"{name} is not a SHA-256 in hex")
        return value

    def whole(self, name: str) -> int:
        value = self.take(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise Malformed(f"{name} is not a whole number")
        return value

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if not isinstance(value, bool):
            raise Malformed(f"{name} is neither true nor false")
        return value

    def instant(self, name: str) -> datetime:
        return read_instant(self.text(name))

    def seconds(self, name: str) -> datetime:
        """A NumericDate of RFC 7519, whole seconds."""
        return from_seconds(self.whole(name))

    def items(self, name: str) -> list[Json]:
        value = self.take(name)
        if not isinstance(value, list):
            raise Malformed(f"{name} is not a list")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        items = self.items(name)
        found = tuple(item for item in items if isinstance(item, str))
        if len(found) != len(items):
            raise Malformed(f"{name} is not a list of texts")
        return found

    def texts_or_none(self, name: str) -> tuple[str, ...] | None:
        if self._left.get(name, ()) is None:
            self.take(name)
            return None
        return self.texts(name)

    def members(self, name: str) -> Members:
        return Members(self.take(name))

    def end(self) -> None:
        if self._left:
            raise Malformed("members that were not expected")


def is_sha256(value: str) -> bool:
    """64 lower-case hex digits."""
    return _SHA256.fullmatch(value) is not None


def sha256_hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_instant(at: datetime) -> str:
    """RFC 3339, UTC, always six decimals, so that texts sort as times do.

    Raises:
        ValueError: for a datetime without a zone; it would mean another instant on another machine.
    """
    if at.tzinfo is None:
        raise ValueError("times need a zone")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def read_instant(text: str) -> datetime:
    """The instant that :func:`write_instant` wrote.

    Raises:
        Malformed: when it did not write this.
    """
    if not _INSTANT.fullmatch(text) or not text.isascii():
        raise Malformed("not an instant")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise Malformed("not an instant") from error


def to_seconds(at: datetime) -> int:
    """Whole seconds since 1970, rounded down: never later than ``at``."""
    if at.tzinfo is None:
        raise ValueError("times need a zone")
    return (at - EPOCH) // timedelta(seconds=1)


def from_seconds(seconds: int) -> datetime:
    """The instant that many seconds after 1970.

    Raises:
        Malformed: when no calendar has it.
    """
    if not 0 <= seconds <= _LATEST_S:
        raise Malformed("not a time")
    return EPOCH + timedelta(seconds=seconds)


def whole_second(at: datetime) -> datetime:
    """``at`` rounded down to a whole second, in UTC."""
    return EPOCH + timedelta(seconds=to_seconds(at))
