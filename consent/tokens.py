"""Consent tokens: what a backend holds to show that someone agreed to one use by that backend.

A token is a JWT (RFC 7519, with the practice of RFC 8725) of its own ``typ``. It names one backend, one purpose and one
consent by pseudonyms, and commits to the face templates of that consent. It is no permit: the gate also looks at the
record as it is now, so that a token lives no longer than the consent, whatever its ``exp``.

A token may be bound to a key of its backend (``cnf.jkt``, RFC 7800 and RFC 9449, 6.1): stolen, it is then worth nothing. And it
names where its consent's status stands (:mod:`consent.status_list`), for those who check without asking us.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from consent.authority import SubjectAssurance
from consent.canonical import Json, Malformed, Members, decode, to_seconds, whole_second
from consent.dpop import is_thumbprint
from consent.errors import ConsentInvalid, SignatureInvalid, TokenInvalid
from consent.keys import KeySet, SigningKey, from_base64url
from consent.record import ConsentRecord
from consent.status_list import StatusRef
from consent.terms import Purpose

TOKEN_TYPE = "consent+jwt"  # noqa: S105 - a media type
ISSUER = "mien"
MAX_TOKEN_CHARS = 8192
LONGEST_TOKEN_LIFE = timedelta(
    days=30
)  # design: a backend asks for a new one at least monthly; the record decides anyway

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}")

UnverifiedToken = NewType("UnverifiedToken", str)
"""Text that claims to be a token. Nothing may be concluded from it before :func:`verify`."""


class TokenCode(StrEnum):
    """Why a token is not valid.

    bad_signature   not signed by us, damaged, or signed in another way.
    wrong_type      signed by us, but no consent token.
    wrong_audience  made for another backend.
    expired         too old.
    not_yet_valid   from the future.
    """

    BAD_SIGNATURE = "bad_signature"
    WRONG_TYPE = "wrong_type"
    WRONG_AUDIENCE = "wrong_audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentToken:
    """A token's content. Valid while ``issued_at <= now < expires_at``; both are whole seconds once signed.

    audience : the one backend it is for.
    jkt : thumbprint of the key that its holder must prove to have; ``None``: whoever has the token may present it.
    status : where the status of its consent stands; ``None`` in tokens of the first release.
    """

    token_id: str = field(repr=False)
    consent_id: str
    subject_id: str
    audience: str
    purpose: Purpose
    assurance: SubjectAssurance
    template_commitment: str
    issued_at: datetime
    expires_at: datetime
    jkt: str | None = None
    status: StatusRef | None = None


@dataclass(frozen=True, slots=True)
class TokenProblem:
    """What stands in the place of a token that was presented and is not valid."""

    code: TokenCode

    @classmethod
    def of(cls, error: TokenInvalid) -> TokenProblem:
        return cls(TokenCode(error.code))


def issue(
    record: ConsentRecord,
    *,
    token_id: str,
    audience: str,
    purpose: Purpose,
    life: timedelta,
    now: datetime,
    jkt: str | None = None,
    status: StatusRef | None = None,
) -> ConsentToken:
    """A token for one backend and one purpose, cut short at the consent's own expiry.

    Raises:
        ConsentInvalid: codes ``consent_revoked``, ``consent_suspended``, ``consent_expired``, ``scope_purpose``,
            ``scope_audience``, ``token_life_invalid`` (not between one second and :data:`LONGEST_TOKEN_LIFE`), ``id_invalid``,
            ``thumbprint_invalid``.
    """
    if jkt is not None and not is_thumbprint(jkt):
        raise ConsentInvalid("a key is named by its SHA-256 thumbprint (RFC 7638)", code="thumbprint_invalid")
    if not _ID.fullmatch(token_id):
        raise ConsentInvalid("a token id is 1 to 200 letters, digits and _.:-", code="id_invalid")
    if record.revoked is not None:
        raise ConsentInvalid("the consent was revoked", code="consent_revoked")
    if record.suspended:
        raise ConsentInvalid("the consent is suspended", code="consent_suspended")
    if not record.state_at(now).allows_use:
        raise ConsentInvalid("the consent does not hold now", code="consent_expired")
    if purpose not in record.purposes:
        raise ConsentInvalid("the consent does not cover this purpose", code="scope_purpose")
    if not record.scope.covers(audience):
        raise ConsentInvalid("the consent does not cover this backend", code="scope_audience")
    if not timedelta(seconds=1) <= life <= LONGEST_TOKEN_LIFE:
        raise ConsentInvalid(f"a token lives between 1 s and {LONGEST_TOKEN_LIFE.days} days", code="token_life_invalid")
    issued_at = whole_second(now)
    expires_at = min(issued_at + life, whole_second(record.expires_at))
    if expires_at <= issued_at:
        raise ConsentInvalid("the consent ends within this second", code="consent_expired")
    return ConsentToken(
        token_id=token_id,
        consent_id=record.consent_id,
        subject_id=record.subject_id,
        audience=audience,
        purpose=Purpose(purpose),
        assurance=record.assurance,
        template_commitment=record.template_commitment,
        issued_at=issued_at,
        expires_at=expires_at,
        jkt=jkt,
        status=status,
    )


def sign(token: ConsentToken, key: SigningKey, *, issuer: str = ISSUER) -> UnverifiedToken:
    """The token as a JWT. Times are rounded down to whole seconds."""
    issued_s = to_seconds(token.issued_at)
    claims: dict[str, Json] = {
        "iss": issuer,
        "aud": token.audience,
        "sub": token.subject_id,
        "jti": token.token_id,
        "iat": issued_s,
        "nbf": issued_s,
        "exp": to_seconds(token.expires_at),
        "cid": token.consent_id,
        "purpose": token.purpose,
        "assurance": token.assurance,
        "tpl": token.template_commitment,
    }
    if token.jkt is not None:
        claims["cnf"] = {"jkt": token.jkt}
    if token.status is not None:
        claims["status"] = {"status_list": {"idx": token.status.index, "uri": token.status.uri}}
    return UnverifiedToken(key.sign(claims, typ=TOKEN_TYPE))


def verify(
    unverified: UnverifiedToken, keys: KeySet, *, audience: str, now: datetime, issuer: str = ISSUER
) -> ConsentToken:
    """The content of a token that is valid for this backend now.

    1. At most :data:`MAX_TOKEN_CHARS`; signed by one of our keys with our algorithm, as a consent token.
    2. Exactly the claims of a consent token, each of its type, from this issuer.
    3. For this backend and no other.
    4. ``iat`` = ``nbf`` <= now < ``exp``, without leeway: issuer and verifier are one service.

    It says nothing about the consent as it is now: :func:`consent.gate.decide` does, with the record.

    Raises:
        TokenInvalid: with a :class:`TokenCode`.
    """
    try:  # 1
        claims = keys.open(unverified, typ=TOKEN_TYPE, max_chars=MAX_TOKEN_CHARS)
    except SignatureInvalid as error:
        raise TokenInvalid("not a token signed by us", code=TokenCode(error.code)) from error
    try:  # 2
        token = _token(claims, issuer)
    except (Malformed, ConsentInvalid, ValueError) as error:
        raise TokenInvalid("not the claims of a consent token", code=TokenCode.WRONG_TYPE) from error
    if token.audience != audience:  # 3
        raise TokenInvalid("for another backend", code=TokenCode.WRONG_AUDIENCE)
    if now < token.issued_at:  # 4
        raise TokenInvalid("not valid yet", code=TokenCode.NOT_YET_VALID)
    if now >= token.expires_at:
        raise TokenInvalid("expired", code=TokenCode.EXPIRED)
    return token


def _token(claims: Members, issuer: str) -> ConsentToken:
    claims.exactly("iss", issuer)
    token = ConsentToken(
        token_id=claims.text("jti"),
        consent_id=claims.text("cid"),
        subject_id=claims.text("sub"),
        audience=claims.text("aud"),
        purpose=Purpose(claims.text("purpose")),
        assurance=SubjectAssurance(claims.text("assurance")),
        template_commitment=claims.sha256("tpl"),
        issued_at=claims.seconds("iat"),
        expires_at=claims.seconds("exp"),
        jkt=read_confirmation(claims),
        status=_status(claims),
    )
    if claims.seconds("nbf") != token.issued_at or not all((token.token_id, token.consent_id, token.subject_id)):
        raise Malformed("nbf differs from iat, or an id is empty")
    claims.end()
    return token


def read_confirmation(claims: Members) -> str | None:
    """The key that ``cnf`` names by its thumbprint and in no other way; ``None`` where there is no ``cnf``. Raises
    :class:`consent.canonical.Malformed`."""
    if not claims.has("cnf"):
        return None
    named = claims.members("cnf")
    jkt = named.text("jkt")
    named.end()
    if not is_thumbprint(jkt):
        raise Malformed("jkt is no thumbprint")
    return jkt


def _status(claims: Members) -> StatusRef | None:
    if not claims.has("status"):
        return None
    status = claims.members("status")
    listed = status.members("status_list")
    found = StatusRef(uri=listed.text("uri"), index=listed.whole("idx"))
    listed.end()
    status.end()
    return found


def claimed_audience(unverified: UnverifiedToken) -> str:
    """The backend that a token says it is for, to :func:`verify` it as that backend would; nothing follows from it alone.

    Raises:
        TokenInvalid: code ``bad_signature``, when it says nothing that can be read.
    """
    try:
        return decode(from_base64url(unverified[:MAX_TOKEN_CHARS].split(".")[1])).text("aud")
    except (Malformed, IndexError) as error:
        raise TokenInvalid("not a token signed by us") from error
