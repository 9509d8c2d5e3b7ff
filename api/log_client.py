"""A log as others see it, over HTTP: what auditors and witnesses read, and where a witness hands in what it signed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from consent.errors import KeysUnusable, NoteInvalid, ProofInvalid
from consent.keys import KeySet
from consent.ledger import StoredCheckpoint, VerifiedLog, verify_log
from consent.merkle import (
    HASH_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    Tile,
    bundles_of,
    consistency_proof,
    reader_of_tiles,
    unbundled,
)
from consent.note import Checkpoint, read_checkpoint, read_note

_TIMEOUT_S = 20.0
_MOST_BYTES = 20_000_000  # of one answer; a full bundle has at most 256 entries of 64 kB


class LogUnreachable(Exception):
    """The log does not answer, or not as a log does. One line, for the terminal."""

    code = "log_unreachable"


@dataclass(frozen=True, slots=True)
class LogClient:
    """The service at ``base``, such as ``https://mien.example``."""

    base: str
    _http: httpx.Client

    @classmethod
    @contextmanager
    def at(cls, url: str, *, transport: httpx.BaseTransport | None = None) -> Iterator[LogClient]:
        """``url``: of the service, or of its log. ``transport``: for tests."""
        base = url.rstrip("/").removesuffix("/v1/log")
        if not base.startswith(("http://", "https://")):
            raise LogUnreachable("the address of a log starts with http:// or https://")
        with httpx.Client(timeout=_TIMEOUT_S, transport=transport) as http:
            yield cls(base, http)

    def checkpoint(self) -> str:
        """The latest, as a signed note of which nothing is checked yet."""
        try:
            return self._get("/v1/log/checkpoint").decode("utf-8")
        except UnicodeDecodeError as error:
            raise LogUnreachable("the checkpoint is no text") from error

    def keys(self) -> KeySet:
        """Those that the service gives for itself."""
        try:
            return KeySet.from_jwks(json.loads(self._get("/.well-known/jwks.json")))
        except (ValueError, KeysUnusable) as error:
            raise LogUnreachable("the service gives no keys") from error

    def tile(self, tile: Tile) -> bytes:
        return self._get(f"/v1/log/{tile.path}")

    def consistency(self, first: int, second: int) -> tuple[bytes, ...]:
        """The proof between two sizes, computed here from tiles; whether it holds is for the caller to see."""
        try:
            return consistency_proof(first, second, reader_of_tiles(second, self.tile))
        except ProofInvalid as error:
            raise LogUnreachable(f"its tiles are none ({error})") from error

    def hand_in(self, note: str) -> None:
        """A checkpoint with a cosignature on it."""
        self._answer("POST", "/v1/log/cosignatures", note.encode())

    def verify(self, keys: KeySet, *, origin: str | None) -> VerifiedLog:
        """Every entry up to the latest checkpoint, every tile, and that checkpoint.

        Raises:
            LedgerBroken: at the first entry that is wrong.
        """
        note = self.checkpoint()
        try:
            latest = read_checkpoint(read_note(note).text)
        except NoteInvalid as error:
            raise LogUnreachable("there is no checkpoint") from error
        return verify_log(
            self._leaves(latest),
            keys=keys,
            origin=origin,
            checkpoints=[StoredCheckpoint(size=latest.size, root=latest.root, note=note)],
            stored=_Tiles(self, latest.size),
            tree_size=latest.size,
        )

    def _leaves(self, latest: Checkpoint) -> Iterator[bytes]:
        for bundle in bundles_of(latest.size):
            try:
                entries = unbundled(self.tile(bundle))
            except ProofInvalid as error:
                raise LogUnreachable(f"{bundle.path} is no bundle ({error})") from error
            if len(entries) != bundle.width:
                raise LogUnreachable(f"{bundle.path} has {len(entries)} entries, not {bundle.width}")
            yield from entries

    def _get(self, path: str) -> bytes:
        return self._answer("GET", path, None)

    def _answer(self, method: str, path: str, body: bytes | None) -> bytes:
        headers = {} if body is None else {"Content-Type": "text/plain; charset=utf-8"}
        try:
            with self._http.stream(method, self.base + path, content=body, headers=headers) as answer:
                content = b""
                for part in answer.iter_bytes():
                    content += part
                    if len(content) > _MOST_BYTES:
                        raise LogUnreachable(f"{path} answers more than {_MOST_BYTES} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise LogUnreachable(f"{path} does not answer ({type(error).__name__})") from error
        if answer.status_code != 200:
            code = _code(content)
            raise LogUnreachable(f"{path} answers {answer.status_code} {code}".rstrip() + _WHAT_TO_DO.get(code, ""))
        return content


_WHAT_TO_DO = {"note_unsigned": ": its operator has yet to add this witness to the file of MIEN_WITNESSES"}


def _code(content: bytes) -> str:
    """The code of a problem, if it is one of ours."""
    try:
        code = json.loads(content)["code"]
    except (ValueError, TypeError, KeyError):
        return ""
    return code if isinstance(code, str) and code.isascii() and code.replace("_", "").isalnum() else ""


class _Tiles:
    """The nodes that tiles have, as :data:`consent.ledger.StoredNodes`."""

    def __init__(self, client: LogClient, size: int) -> None:
        self._client, self._size = client, size

    def __call__(self, level: int, start: int, stop: int) -> Mapping[int, bytes] | None:
        tile_level, height = divmod(level, TILE_HEIGHT)
        if height:
            return None
        found: dict[int, bytes] = {}
        for index in range(start // TILE_WIDTH, -(-stop // TILE_WIDTH) if stop > start else 0):
            width = min(TILE_WIDTH, (self._size >> level) - index * TILE_WIDTH)
            tile = Tile(level=tile_level, index=index, width=width)
            found |= dict(zip(tile.nodes, _split(self._client.tile(tile)), strict=False))
        return found


def _split(content: bytes) -> Sequence[bytes]:
    return [content[place : place + HASH_BYTES] for place in range(0, len(content), HASH_BYTES)]
