"""How a request proves to a vendor who asks: keys in headers, and the signatures of Volcengine, Tencent and Kling.

Each is asked for its headers at the moment of sending, so that a request that is sent again is signed again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

from likeness.remote import Exchange


@dataclass(frozen=True, slots=True)
class HeaderKey:
    """A secret in a header, as it is. ``name``: of the header; ``before``: what stands before the secret in it."""

    name: str
    secret: str = field(repr=False)
    before: str = ""

    def headers(self, exchange: Exchange, *, now: datetime) -> Mapping[str, str]:
        return {self.name: self.before + self.secret}


@dataclass(frozen=True, slots=True)
class TracedKey:
    """PixVerse: a key, and with each sending a trace id that was never used, unless the request has one of its own."""

    secret: str = field(repr=False)

    def headers(self, exchange: Exchange, *, now: datetime) -> Mapping[str, str]:
        traced = {} if "Ai-trace-id" in exchange.headers else {"Ai-trace-id": str(uuid.uuid4())}
        return {"API-KEY": self.secret, **traced}


def bearer(secret: str, *, scheme: str = "Bearer") -> HeaderKey:
    """``Authorization: Bearer ...`` (RFC 6750), or a vendor's own word in its place."""
    return HeaderKey("Authorization", secret, f"{scheme} ")


@dataclass(frozen=True, slots=True, kw_only=True)
class VolcengineSignature:
    """Volcengine's signature V4: like AWS's, with ``HMAC-SHA256``, nothing before the secret, and ``request`` at the end."""

    access_key: str
    secret_key: str = field(repr=False)
    region: str
    service: str

    def headers(self, exchange: Exchange, *, now: datetime) -> Mapping[str, str]:
        parts = urlsplit(exchange.url)
        at = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        body = hashlib.sha256(exchange.body).hexdigest()
        signed = {
            "content-type": exchange.headers.get("Content-Type", "application/json"),
            "host": parts.netloc,
            "x-content-sha256": body,
            "x-date": at,
        }
        query = "&".join(f"{_escaped(k)}={_escaped(v)}" for k, v in sorted(parse_qsl(parts.query, True)))
        lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
        names = ";".join(signed)
        canonical = "\n".join((exchange.method, parts.path or "/", query, lines, names, body))
        scope = f"{at[:8]}/{self.region}/{self.service}/request"
        wanted = "\n".join(("HMAC-SHA256", at, scope, hashlib.sha256(canonical.encode()).hexdigest()))
        key = self.secret_key.encode()
        for part in scope.split("/"):
            key = _mac(key, part)
        signature = _mac(key, wanted).hex()
        return {
            "X-Date": at,
            "X-Content-Sha256": body,
            "Authorization": f"HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={names}, "
            f"Signature={signature}",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TencentSignature:
    """Tencent Cloud's signature v3 (TC3-HMAC-SHA256) over ``content-type`` and ``host``."""

    secret_id: str
    secret_key: str = field(repr=False)
    service: str

    def headers(self, exchange: Exchange, *, now: datetime) -> Mapping[str, str]:
        parts = urlsplit(exchange.url)
        stamp, day = str(int(now.timestamp())), now.astimezone(UTC).strftime("%Y-%m-%d")
        kind = exchange.headers.get("Content-Type", "application/json")
        lines = f"content-type:{kind}\nhost:{parts.netloc}\n"
        body = hashlib.sha256(exchange.body).hexdigest()
        canonical = "\n".join((exchange.method, parts.path or "/", parts.query, lines, "content-type;host", body))
        scope = f"{day}/{self.service}/tc3_request"
        wanted = "\n".join(("TC3-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
        key = ("TC3" + self.secret_key).encode()
        for part in scope.split("/"):
            key = _mac(key, part)
        return {
            "X-TC-Timestamp": stamp,
            "Authorization": f"TC3-HMAC-SHA256 Credential={self.secret_id}/{scope}, "
            f"SignedHeaders=content-type;host, Signature={_mac(key, wanted).hex()}",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class KlingToken:
    """Kling's older interface: a JWT (HS256) of the access key, good for half an hour."""

    access_key: str
    secret_key: str = field(repr=False)

    def headers(self, exchange: Exchange, *, now: datetime) -> Mapping[str, str]:
        at = int(now.timestamp())
        claims = {"iss": self.access_key, "exp": at + 1800, "nbf": at - 5}
        parts = (_b64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        said = ".".join(parts)
        return {"Authorization": f"Bearer {said}.{_b64url(_mac(self.secret_key.encode(), said))}"}


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _escaped(text: str) -> str:
    return quote(text, safe="-_.~")


def _b64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
