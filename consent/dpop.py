"""Proofs that whoever calls holds a key: DPoP, RFC 9449.

A token that names the thumbprint of a key (``cnf.jkt``, RFC 7800 and RFC 9449, 6.1) is worth nothing to who does not hold
that key: with every call its holder sends a proof, signed for this method, this address, this moment and these tokens.

RFC 9449 speaks of one access token in the ``Authorization`` header. Here several consent tokens may stand in one question, so
``ath`` is the hash of all of them, each once, in order, with one space between: for one token that is what the RFC says.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from consent.canonical import Malformed, sha256_hex
from consent.errors import SignatureInvalid
from consent.keys import open_with_own_key, to_base64url

PROOF_TYPE = "dpop+jwt"
PROOF_LIFE = timedelta(seconds=60)  # RFC 9449, 11.1: "on the order of seconds or minutes"; one made for each call
CLOCKS_APART = timedelta(seconds=5)  # RFC 9449, 11.1: a clock may be ahead of ours; as between our own machines
KEPT_FOR = PROOF_LIFE + 2 * CLOCKS_APART
"""How long from its ``iat`` a proof must be remembered, so that it cannot come again while it is still taken."""

MAX_PROOF_CHARS = 8192

_MAX_ID_CHARS = 256
_JKT = re.compile(r"[A-Za-z0-9_-]{43}")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class DpopCode(StrEnum):
    """Why possession of a key was not shown.

    dpop_missing        no proof came with the call, and one is needed.
    dpop_invalid        more than one, or no proof at all: form, type, algorithm, key, signature or claims.
    dpop_wrong_request  made for another method or address.
    dpop_wrong_token    made for other tokens.
    dpop_stale          made too long ago, or in the future.
    use_dpop_nonce      does not carry the nonce that we gave.
    dpop_replayed       this very proof was used before.
    key_mismatch        a good proof, by another key.
    """

    DPOP_MISSING = "dpop_missing"
    DPOP_INVALID = "dpop_invalid"
    DPOP_WRONG_REQUEST = "dpop_wrong_request"
    DPOP_WRONG_TOKEN = "dpop_wrong_token"  # noqa: S105 - a reason code
    DPOP_STALE = "dpop_stale"
    USE_DPOP_NONCE = "use_dpop_nonce"
    DPOP_REPLAYED = "dpop_replayed"
    KEY_MISMATCH = "key_mismatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class DpopProof:
    """The caller holds the key of thumbprint ``jkt``, now, for this call. That the proof was not used before is for
    whoever keeps :attr:`replay_id` to say."""

    jkt: str
    jti: str = field(repr=False)
    issued_at: datetime

    @property
    def replay_id(self) -> str:
        """What to remember for :data:`KEPT_FOR`; equal for the same ``jti`` of the same key, in hex."""
        return sha256_hex(f"{self.jkt}.{self.jti}".encode())


@dataclass(frozen=True, slots=True)
class DpopProblem:
    """What stands in the place of a proof that does not hold."""

    code: DpopCode


def verify_proof(
    compact: str, *, method: str, address: str, now: datetime, tokens: Iterable[str] = (), nonce: str | None = None
) -> DpopProof | DpopProblem:
    """The proof, or why it is none; the numbers are those of RFC 9449, 4.3. Never raises.

    2 to 7. a bounded compact JWS with the required claims, of the right type and algorithm, signed by the public key it brings
    8, 9. for this method, and this address without query and fragment
    10. with the nonce that was given, if one was
    11. made within :data:`PROOF_LIFE`, by a clock at most :data:`CLOCKS_APART` ahead
    12. for exactly these tokens

    1 is for whoever reads the headers, 12's comparison of keys for whoever knows the key that is wanted.
    """
    try:  # 2 to 7
        jkt, claims = open_with_own_key(compact, typ=PROOF_TYPE, max_chars=MAX_PROOF_CHARS)
        jti, htm, htu, issued_at = claims.text("jti"), claims.text("htm"), claims.text("htu"), claims.seconds("iat")
        found_nonce = claims.text("nonce") if claims.has("nonce") else None
        found_ath = claims.text("ath") if claims.has("ath") else None
    except (SignatureInvalid, Malformed):
        return DpopProblem(DpopCode.DPOP_INVALID)
    if not 1 <= len(jti) <= _MAX_ID_CHARS:
        return DpopProblem(DpopCode.DPOP_INVALID)
    wanted = normal_address(address)
    if htm != method or wanted is None or normal_address(htu) != wanted:  # 8, 9
        return DpopProblem(DpopCode.DPOP_WRONG_REQUEST)
    if nonce is not None and (found_nonce is None or not _same(found_nonce, nonce)):  # 10
        return DpopProblem(DpopCode.USE_DPOP_NONCE)
    if not issued_at - CLOCKS_APART <= now < issued_at + PROOF_LIFE:  # 11
        return DpopProblem(DpopCode.DPOP_STALE)
    named = tuple(dict.fromkeys(tokens))
    if named and (found_ath is None or not _same(found_ath, token_hash(named))):  # 12
        return DpopProblem(DpopCode.DPOP_WRONG_TOKEN)
    return DpopProof(jkt=jkt, jti=jti, issued_at=issued_at)


def key_problem(proof: DpopProof | DpopProblem | None, *wanted: str | None) -> DpopCode | None:
    """Why a call is not by the holder of the keys of these thumbprints; ``None`` when it is. Where no key is wanted, a
    call without a proof passes, and one with a proof that does not hold does not (RFC 9449, 7.2)."""
    keys = {jkt for jkt in wanted if jkt is not None}
    if isinstance(proof, DpopProblem):
        return proof.code
    if proof is None:
        return DpopCode.DPOP_MISSING if keys else None
    return DpopCode.KEY_MISMATCH if keys - {proof.jkt} else None


def token_hash(tokens: Iterable[str]) -> str:
    """``ath``: base64url of SHA-256 over the tokens, each once, in order, one space between."""
    joined = " ".join(dict.fromkeys(tokens))
    return to_base64url(bytes.fromhex(sha256_hex(joined.encode("utf-8", "replace"))))


def is_thumbprint(text: str) -> bool:
    """43 characters of base64url, as SHA-256 thumbprints have."""
    return _JKT.fullmatch(text) is not None


def normal_address(address: str) -> str | None:
    """An ``http`` or ``https`` address as RFC 3986, 6.2.2 and 6.2.3 compare them; ``None`` for what is none, or has a
    query, a fragment or a user in it: a proof names none of these (RFC 9449, 4.2)."""
    if len(address) > _MAX_ADDRESS_CHARS or not address.isascii() or not address.isprintable() or " " in address:
        return None
    if any(mark in address for mark in "?#@\\"):
        return None
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS or not host:
        return None
    shown_host = f"[{host}]" if ":" in host else host
    where = shown_host if port in (None, _DEFAULT_PORTS[scheme]) else f"{shown_host}:{port}"
    return f"{scheme}://{where}{_without_dots(_ESCAPE.sub(_unescaped, parts.path)) or '/'}"


_MAX_ADDRESS_CHARS = 2048
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")


def _unescaped(escape: re.Match[str]) -> str:
    letter = chr(int(escape[1], 16))
    return letter if letter in _UNRESERVED else escape[0].upper()


def _without_dots(path: str) -> str:
    """RFC 3986, 5.2.4."""
    kept: list[str] = []
    parts = path.split("/")[1:]
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
            continue
        if last:
            kept.append("")
    return "".join(f"/{part}" for part in kept)


def _same(found: str, wanted: str) -> bool:
    return hmac.compare_digest(found.encode("utf-8", "replace"), wanted.encode("utf-8", "replace"))
