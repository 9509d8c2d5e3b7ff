"""Checks the log, a receipt and a clip, for the command line. Receipts and clips are checked offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from api.database import open_database
from api.keys import open_keys
from api.service import wall_clock
from api.settings import Settings
from consent.errors import KeysUnusable, LedgerBroken, ReceiptInvalid
from consent.keys import KeySet
from consent.ledger import verify_chain, verify_receipt
from likeness.provenance import verify_clip


def verify_ledger(settings: Settings) -> dict[str, Any]:
    """Every entry of the log in the database of these settings."""
    with open_database(settings) as database, database.transaction() as store:
        entries = store.entries(0, None)
    try:
        head = verify_chain(entries)
    except LedgerBroken as error:
        return {"valid": False, "code": error.code, "index": error.index, "why": error.why}
    return {"valid": True, "entries": head.size, "entry_hash": head.entry_hash}


def verify_proof(file: Path, *, keys: Path | None, settings: Settings | None = None) -> dict[str, Any]:
    """A receipt, against a JWK Set in the file ``keys``, or else the service's own keys.

    Raises:
        KeysUnusable: when there are no keys to check with.
    """
    if keys is not None:
        public = KeySet.from_jwks(json.loads(keys.read_text(encoding="utf-8")))
    elif settings is not None and (settings.keys_json is not None or settings.keys.is_file()):
        public = open_keys(settings, now=wall_clock()).public
    else:
        raise KeysUnusable("give the service's published keys with --keys FILE (from /.well-known/jwks.json)")
    try:
        proven = verify_receipt(file.read_bytes(), public)
    except ReceiptInvalid as error:
        return {"valid": False, "code": error.code, "why": str(error)}
    return {
        "valid": True,
        "consent_id": proven.record.consent_id,
        "event": proven.event.kind,
        "index": proven.entry.index,
        "size": proven.head.size,
    }


def verify_clip_file(settings: Settings, file: Path, anchor: Path | None) -> dict[str, Any]:
    """A clip's manifest, against an anchor certificate, or else the service's own."""
    pem = (
        anchor.read_text(encoding="utf-8")
        if anchor is not None
        else open_keys(settings, now=wall_clock()).authority.ca_cert_pem
    )
    manifest = verify_clip(file, anchor_pem=pem)
    return manifest.to_json() | {"state": manifest.state.value.capitalize()}
