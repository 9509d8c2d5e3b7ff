"""Vendors' signatures as the vendors check them, written here once more from their documents."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from urllib.parse import quote

from tests.backends.kit import Asked


def mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def volcengine_signature_holds(asked: Asked, secret: str, *, now: datetime) -> bool:
    """Volcengine: HMAC-SHA256 with the chain secret, date, region, service, ``request``."""
    given = asked.headers.get("authorization", "")
    try:
        fields = dict(part.split("=", 1) for part in given.removeprefix("HMAC-SHA256 ").split(", "))
        _, day, region, service, end = fields["Credential"].split("/")
    except (ValueError, KeyError):
        return False
    at, digest = asked.headers.get("x-date", ""), hashlib.sha256(asked.body).hexdigest()
    if end != "request" or at != now.strftime("%Y%m%dT%H%M%SZ") or asked.headers.get("x-content-sha256") != digest:
        return False
    query = "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted(asked.query.items()))
    names = fields["SignedHeaders"].split(";")
    lines = "".join(f"{name}:{asked.headers[name]}\n" for name in names)
    canonical = f"{asked.method}\n{asked.path}\n{query}\n{lines}\n{';'.join(names)}\n{digest}"
    scope = f"{day}/{region}/{service}/request"
    wanted = f"HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = mac(mac(mac(mac(secret.encode(), day), region), service), "request")
    return hmac.compare_digest(mac(key, wanted).hex(), fields["Signature"])


def tencent_signature_holds(asked: Asked, secret: str, *, now: datetime) -> bool:
    """Tencent Cloud: TC3-HMAC-SHA256."""
    given = asked.headers.get("authorization", "")
    try:
        fields = dict(part.split("=", 1) for part in given.removeprefix("TC3-HMAC-SHA256 ").split(", "))
        _, day, service, end = fields["Credential"].split("/")
    except (ValueError, KeyError):
        return False
    stamp = asked.headers.get("x-tc-timestamp", "")
    if end != "tc3_request" or stamp != str(int(now.timestamp())) or day != now.strftime("%Y-%m-%d"):
        return False
    lines = f"content-type:{asked.headers['content-type']}\nhost:{asked.headers['host']}\n"
    digest = hashlib.sha256(asked.body).hexdigest()
    canonical = f"POST\n{asked.path}\n\n{lines}\ncontent-type;host\n{digest}"
    wanted = f"TC3-HMAC-SHA256\n{stamp}\n{day}/{service}/tc3_request\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = mac(mac(mac(("TC3" + secret).encode(), day), service), "tc3_request")
    return hmac.compare_digest(mac(key, wanted).hex(), fields["Signature"])
