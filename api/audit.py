"""Checks the log, a receipt and a clip, for the command line. Receipts and clips are checked offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from api.clip_registry import pictures_of, watermark_key
from api.database import open_database
from api.keys import open_keys
from api.ledger import read_witnesses
from api.log_client import LogClient
from api.service import wall_clock
from api.settings import Settings, SettingsInvalid
from api.written import verify_books, written_json
from consent.errors import KeysUnusable, LedgerBroken, ReceiptInvalid
from consent.keys import KeySet
from consent.ledger import VerifiedLog, WitnessPolicy, verify_receipt
from consent.note import to_base64
from likeness.aigc import read_label
from likeness.provenance import verify_clip
from likeness.watermark import read
from liveness.errors import MediaError


def verify_ledger(settings: Settings) -> dict[str, Any]:
    """Everything that the database of these settings keeps of the log (entries, subtrees, checkpoints), and of what its
    entries stand for (records, statements, questions and answers)."""
    keys = published_keys(None, settings)
    with open_database(settings) as database, database.transaction() as store:
        try:
            found = verify_books(store, keys)
        except LedgerBroken as error:
            return _broken(error)
    return _whole(found.log) | written_json(found.written)


def verify_served(url: str, *, keys: Path | None, origin: str | None) -> dict[str, Any]:
    """A log as it is served at that address: every entry, every tile, and the latest checkpoint. Without ``keys`` the keys are
    those that the same address gives, and only the log's agreement with itself is shown.

    Raises:
        LogUnreachable: when it does not answer, or not as a log does.
    """
    with LogClient.at(url) as client:
        public = client.keys() if keys is None else published_keys(keys, None)
        try:
            found = client.verify(public, origin=origin)
        except LedgerBroken as error:
            return _broken(error)
    return _whole(found)


def _whole(found: VerifiedLog) -> dict[str, Any]:
    return {
        "valid": True,
        "entries": found.size,
        "root": to_base64(found.root),
        "signed": found.signed_size,
        "checkpoints": found.checkpoints,
    }


def _broken(error: LedgerBroken) -> dict[str, Any]:
    return {"valid": False, "code": error.code, "index": error.index, "why": error.why}


def published_keys(keys: Path | None, settings: Settings | None) -> KeySet:
    """The JWK Set in the file ``keys``, or else the service's own keys.

    Raises:
        KeysUnusable: when there are no keys to check with.
    """
    if keys is not None:
        return KeySet.from_jwks(json.loads(keys.read_text(encoding="utf-8")))
    if settings is not None and (settings.keys_json is not None or settings.keys.is_file()):
        return open_keys(settings, now=wall_clock()).public
    raise KeysUnusable("give the service's published keys with --keys FILE (from /.well-known/jwks.json)")


def verify_proof(
    file: Path,
    *,
    keys: Path | None,
    settings: Settings | None = None,
    origin: str | None = None,
    witnesses: Path | None = None,
    quorum: int = 1,
) -> dict[str, Any]:
    """A receipt, as JSON or .tlog-proof; with ``witnesses``, a file of their keys, ``quorum`` of them must have cosigned.

    Raises:
        KeysUnusable: when there are no keys to check with.
        SettingsInvalid: when the file names no witnesses, or fewer than the quorum.
    """
    public = published_keys(keys, settings)
    policy = None if witnesses is None else _policy(witnesses, quorum)
    try:
        proven = verify_receipt(file.read_bytes(), public, origin=origin, policy=policy)
    except ReceiptInvalid as error:
        return {"valid": False, "code": error.code, "why": str(error)}
    return {
        "valid": True,
        "consent_id": proven.record.consent_id,
        "event": proven.event.kind,
        "index": proven.entry.index,
        "size": proven.checkpoint.size,
        "log": proven.checkpoint.origin,
        "witnesses": [signed.by.name for signed in proven.witnesses],
    }


def _policy(file: Path, quorum: int) -> WitnessPolicy:
    try:
        return WitnessPolicy(witnesses=read_witnesses(file), quorum=quorum)
    except ValueError as error:
        raise SettingsInvalid(f"with these witnesses there is no such quorum ({error})") from error


def verify_clip_file(settings: Settings, file: Path, anchor: Path | None) -> dict[str, Any]:
    """All marks of a clip: its manifest, against an anchor certificate or else the service's own; the metadata key; and the
    number in its pictures, where this service's keys are at hand (``watermark_read``: ``null`` where they are not)."""
    ours = anchor is None or settings.keys_json is not None or settings.keys.is_file()
    keys = open_keys(settings, now=wall_clock()) if ours else None
    given = None if anchor is None else anchor.read_text(encoding="utf-8")
    manifest = verify_clip(file, anchor_pem=given or ("" if keys is None else keys.authority.ca_cert_pem))
    data = file.read_bytes()
    label = read_label(data)
    answer = manifest.to_json() | {
        "state": manifest.state.value.capitalize(),
        "aigc": None if label is None else {"label": label.label, "producer": label.producer, "id": label.produce_id},
        "watermark_read": None,
    }
    if keys is not None:
        answer["watermark_read"] = _number_in(data, watermark_key(keys)) or False
    return answer


def _number_in(data: bytes, key: bytes) -> str | None:
    try:
        mark = read(pictures_of(data), key)
    except MediaError:  # damaged: the manifest's state says so
        return None
    return None if mark is None else f"{mark.number:010x}"
