"""Who is calling: API keys by role, and the short-lived tokens of a person's phone.

Keys read ``mien_<role>_<random>`` and tokens ``mien_person_<random>``, 256 bit each. Only their SHA-256 is kept: with that
much chance inside, a slow hash would protect nothing more. They are looked up by hash, so no comparison takes longer the
more of a guess is right.

A person's token is bound to one session (while the session lives) or to one consent (to look at it, narrow it, revoke it,
for as long as it lasts), and reaches nothing else.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.errors import Problem
from api.settings import Settings
from api.storage import Store, new_id
from api.tables import ApiKeyRow, PersonTokenRow
from consent.dpop import is_thumbprint

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SECRET_BYTES = 32
_PERSON = "person"


class Role(StrEnum):
    """Who may hold an API key."""

    APP = "app"
    BACKEND = "backend"
    AUDITOR = "auditor"
    ADMIN = "admin"


class KeyNameInvalid(ValueError):
    """A key's name is shown in logs and is a backend's id, so it is kept plain."""

    code = "key_name_invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHolder:
    """The operator's server, a backend, an auditor or an admin. ``name`` of a backend is its id at the gate."""

    key_id: str
    role: Role
    name: str

    @property
    def id(self) -> str:
        return self.key_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """The phone: bound to one session or to one consent, never both."""

    token_id: str
    session_id: str | None
    consent_id: str | None

    @property
    def id(self) -> str:
        return self.token_id


Caller = KeyHolder | Person


def create_key(store: Store, role: Role, name: str, *, now: datetime) -> str:
    """A new API key. It is shown this once.

    Raises:
        KeyNameInvalid: when the name is not 1 to 63 of a-z, 0-9, dot, dash, underscore.
    """
    if not _NAME.fullmatch(name):
        raise KeyNameInvalid(
            "a key's name is 1 to 63 of a-z, 0-9, dot, dash and underscore, starting with a letter or digit"
        )
    secret = f"mien_{role}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    store.add(ApiKeyRow(key_id=new_id("apk"), role=role, name=name, secret_sha256=_digest(secret), created_at=now))
    return secret


def create_api_key(settings: Settings, *, role: str, name: str, jkt: str | None = None) -> str:
    """A new API key in the database of these settings, for the command line. ``jkt``: the key that the backend of this name
    must prove to hold from now on, in place of any that it registered.

    Raises:
        KeyNameInvalid: for a name or a thumbprint that is none, or a thumbprint for another role.
    """
    from api.engines import GENERATORS

    if jkt is not None and (role != Role.BACKEND or name in GENERATORS or not is_thumbprint(jkt)):
        raise KeyNameInvalid("only another's backend has a key, named by its SHA-256 thumbprint (RFC 7638)")
    from api.database import open_database, upgrade
    from api.service import wall_clock

    with open_database(settings) as database:
        upgrade(database.owner_url)
        with database.transaction() as store:
            secret = create_key(store, Role(role), name, now=wall_clock())
            if jkt is not None:
                store.register_backend(name, jkt, instead_of=store.backend_jkt(name), now=wall_clock())
            return secret


def create_person_token(
    store: Store, *, session_id: str | None = None, consent_id: str | None = None, life: timedelta, now: datetime
) -> str:
    """A new token for a phone. It is shown this once."""
    secret = f"mien_{_PERSON}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    store.add(
        PersonTokenRow(
            secret_sha256=_digest(secret),
            session_id=session_id,
            consent_id=consent_id,
            created_at=now,
            expires_at=now + life,
        )
    )
    return secret


def authenticate(store: Store, presented: str | None, *, now: datetime) -> Caller:
    """Who holds that secret.

    Raises:
        Problem: unauthenticated, without saying what was wrong with it.
    """
    kind = _kind(presented)
    if presented is None or kind is None:
        raise Problem("unauthenticated")
    if kind == _PERSON:
        token = store.get(PersonTokenRow, _digest(presented))
        if token is None or not token.created_at <= now < token.expires_at:
            raise Problem("unauthenticated")
        return Person(
            token_id=f"tok_{token.secret_sha256[:16].hex()}", session_id=token.session_id, consent_id=token.consent_id
        )
    key = store.api_key(_digest(presented))
    if key is None or key.revoked_at is not None or key.role != kind:
        raise Problem("unauthenticated")
    return KeyHolder(key_id=key.key_id, role=Role(key.role), name=key.name)


def _kind(presented: str | None) -> str | None:
    if presented is None or len(presented) > 128 or not presented.isascii():
        return None
    parts = presented.split("_", 2)
    if len(parts) != 3 or parts[0] != "mien" or parts[1] not in (*Role, _PERSON):
        return None
    return parts[1]


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


# --- for routes ------------------------------------------------------------------------------------------------------

_bearer = HTTPBearer(auto_error=False, scheme_name="key or token", description="API key, or a person's client token")


def caller(request: Request, held: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Caller:
    """Whoever calls, once a request."""
    known: Caller | None = getattr(request.state, "caller", None)
    if known is None:
        service = request.app.state.service
        with service.database.transaction() as store:
            known = authenticate(store, None if held is None else held.credentials, now=service.now())
        request.state.caller = known
    return known


def _holder(*roles: Role) -> Callable[[Caller], KeyHolder]:
    def holder(who: Annotated[Caller, Depends(caller)]) -> KeyHolder:
        if not isinstance(who, KeyHolder) or who.role not in roles:
            raise Problem("forbidden", f"needs a key of role {' or '.join(roles)}")
        return who

    return holder


def _person(who: Annotated[Caller, Depends(caller)]) -> Person:
    if not isinstance(who, Person):
        raise Problem("forbidden", "needs a person's own token")
    return who


AnyCaller = Annotated[Caller, Depends(caller)]
Subject = Annotated[Person, Depends(_person)]
App = Annotated[KeyHolder, Depends(_holder(Role.APP))]
Backend = Annotated[KeyHolder, Depends(_holder(Role.BACKEND))]
Auditor = Annotated[KeyHolder, Depends(_holder(Role.AUDITOR, Role.ADMIN))]
Admin = Annotated[KeyHolder, Depends(_holder(Role.ADMIN))]
AppOrBackend = Annotated[KeyHolder, Depends(_holder(Role.APP, Role.BACKEND))]
