"""Checks a consent token for the command line, with published keys and a status list from a file or an address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from api.service import wall_clock
from consent.canonical import write_instant
from consent.errors import KeysUnusable, TokenInvalid
from consent.keys import KeySet
from consent.offline import Holds, HoldsNot, OfflineCode, check_offline
from consent.status_list import MEDIA_TYPE
from consent.tokens import UnverifiedToken, claimed_audience

_MOST_BYTES = 2**20
_TIMEOUT_S = 10.0


class StatusUnavailable(Exception):
    """The status list cannot be had. One line, for the terminal."""

    code = "status_unavailable"


def verify_token_file(file: Path, *, keys: Path, status: str, audience: str | None = None) -> dict[str, Any]:
    """Whether the token in a file holds, and until when. ``audience``: the backend that must be meant; the one that the token
    names, where it is not given.

    Raises:
        KeysUnusable: when the file ``keys`` is no JWK Set.
        StatusUnavailable: when there is no status list in that file or at that address.
    """
    try:
        public = KeySet.from_jwks(json.loads(keys.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise KeysUnusable(f"{keys} is no JWK Set") from error
    token = UnverifiedToken(file.read_text(encoding="utf-8", errors="replace").strip())
    try:
        meant = claimed_audience(token) if audience is None else audience
    except TokenInvalid:
        return {"holds": False, "code": OfflineCode.BAD_SIGNATURE.value}
    found = check_offline(token, _status_list(status), public, audience=meant, now=wall_clock())
    if isinstance(found, HoldsNot):
        return {"holds": False, "code": found.code.value}
    return _shown(found)


def _shown(found: Holds) -> dict[str, Any]:
    token = found.token
    return {
        "holds": True,
        "until": write_instant(found.until),
        "consent_id": token.consent_id,
        "audience": token.audience,
        "purpose": token.purpose.value,
        "assurance": token.assurance.value,
        "key": token.jkt,
        "expires_at": write_instant(token.expires_at),
    }


def _status_list(where: str) -> str:
    """The text of a status list; bounded, and without following the address elsewhere."""
    if not where.startswith(("https://", "http://")):
        try:
            with open(where, "rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise StatusUnavailable(f"{where} cannot be read") from error
    else:
        content = _fetched(where)
    if len(content) > _MOST_BYTES:
        raise StatusUnavailable(f"{where} is larger than {_MOST_BYTES} bytes")
    return content.decode("utf-8", "replace").strip()


def _fetched(address: str) -> bytes:
    content = b""
    try:
        with httpx.stream("GET", address, headers={"Accept": MEDIA_TYPE}, timeout=_TIMEOUT_S) as answer:
            if answer.status_code != httpx.codes.OK:
                raise StatusUnavailable(f"{address} answers {answer.status_code}")
            for part in answer.iter_bytes():
                content += part
                if len(content) > _MOST_BYTES:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StatusUnavailable(f"{address} does not answer") from error
    return content
