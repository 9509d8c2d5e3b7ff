"""How vendors sign their callbacks. A callback that proves true still only leads to reading the job again.

Every check holds the time that is signed against ours: five minutes either way, as the vendors document.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from likeness.errors import RemoteError
from likeness.remote import Callback, Doc, FaultCode

CLOCKS_DIFFER_S = 300


def check_standard_webhook(callback: Callback, secret: str, *, now: datetime) -> None:
    """Standard Webhooks 1.0, ``v1`` (Kling, Replicate): HMAC-SHA256 of id, time and body.

    Raises: RemoteError ``callback_forged``.
    """
    message_id, stamp = _header(callback, "webhook-id"), _header(callback, "webhook-timestamp")
    _check_time(stamp, now)
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise RemoteError("the callback secret is not base64", code=FaultCode.CREDENTIALS_MISSING) from None
    signed = b".".join((message_id.encode(), stamp.encode(), callback.body))
    right = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = [
        each.partition(",")[2] for each in _header(callback, "webhook-signature").split(" ") if each.startswith("v1,")
    ]
    if not any(hmac.compare_digest(right.encode(), each.encode()) for each in given):
        raise _forged()


def check_fal(callback: Callback, keys: Doc, *, now: datetime) -> None:
    """fal: Ed25519 over request id, user id, time and digest, by any key of its JWKS.

    Raises: RemoteError ``callback_forged``.
    """
    names = ("request-id", "user-id", "timestamp")
    said = [_header(callback, f"x-fal-webhook-{name}") for name in names]
    _check_time(said[2], now)
    message = "\n".join((*said, hashlib.sha256(callback.body).hexdigest())).encode()
    try:
        signature = bytes.fromhex(_header(callback, "x-fal-webhook-signature"))
    except ValueError:
        raise _forged() from None
    for key in keys.docs("keys"):
        if _signed_by(key.text_or("x"), signature, message):
            return
    raise _forged()


def check_vidu(callback: Callback, token: str, *, now: datetime) -> None:
    """Vidu: HMAC-SHA256 over method, path, query, access key, date and the named headers, a line each.

    Raises: RemoteError ``callback_forged``.
    """
    date = _header(callback, "date")
    try:
        at = parsedate_to_datetime(date)
    except ValueError:
        raise _forged() from None
    _check_time(str(int(at.timestamp())), now)
    if _header(callback, "x-hmac-algorithm") != "hmac-sha256" or _header(callback, "x-hmac-access-key") != "vidu":
        raise _forged()
    path, _, query = callback.path.partition("?")
    named = [name for name in _header(callback, "x-hmac-signed-headers").split(";") if name]
    if "x-request-nonce" not in [name.lower() for name in named]:
        raise _forged()
    lines = [callback.method, path, query, "vidu", date]
    lines += [f"{name}:{_header(callback, name.lower())}" for name in named]
    signed = "".join(line + "\n" for line in lines)
    right = base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha256).digest()).decode()
    if not hmac.compare_digest(right.encode(), _header(callback, "x-hmac-signature").encode()):
        raise _forged()


def check_pixverse(callback: Callback, secret: str, *, now: datetime) -> None:
    """PixVerse: HMAC-SHA256 over time, nonce and the members of the body, sorted and URL-encoded, a line each.

    How it spells members that are no text is not documented; here as JSON does. What is spelled otherwise is refused, which
    costs a look and nothing more.

    Raises: RemoteError ``callback_forged``.
    """
    stamp, nonce = _header(callback, "webhook-timestamp"), _header(callback, "webhook-nonce")
    _check_time(stamp, now)
    try:
        body = json.loads(callback.body)
    except (ValueError, RecursionError):
        raise _forged() from None
    if not isinstance(body, dict):
        raise _forged()
    members = sorted((name, value if isinstance(value, str) else json.dumps(value)) for name, value in body.items())
    signed = f"{stamp}\n{nonce}\n{urlencode(members)}"
    right = base64.b64encode(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()).decode()
    if not hmac.compare_digest(right.encode(), _header(callback, "webhook-signature").encode()):
        raise _forged()


def _signed_by(x: str, signature: bytes, message: bytes) -> bool:
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(x + "=" * (-len(x) % 4)))
        public.verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _header(callback: Callback, name: str) -> str:
    value = callback.headers.get(name, "")
    if not value or not value.isascii():
        raise _forged()
    return value


def _check_time(stamp: str, now: datetime) -> None:
    if not stamp.isdecimal() or len(stamp) > 12 or abs(int(stamp) - now.timestamp()) > CLOCKS_DIFFER_S:
        raise _forged()


def _forged() -> RemoteError:
    return RemoteError("the callback is not by the vendor", code=FaultCode.CALLBACK_FORGED)
