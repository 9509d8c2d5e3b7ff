"""Who is calling: API keys by role, and the short-lived tokens of a person's phone.

Keys read ``mien_<role>_<random>`` and tokens ``mien_person_<random>``, 256 bit each. Only their SHA-256 is kept: with that
much chance inside, a slow hash would protect nothing more. They are looked up by hash, so no comparison takes longer the
more of a guess is right.

A person's token is bound to one session (while the session lives) or to one consent (to look at it, narrow it, revoke it,
for as long as it lasts), and reaches nothing else.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from api.errors import Problem
from api.settings import Settings
from api.storage import Store, new_id
from api.tables import ApiKeyRow, PersonTokenRow
from consent.dpop import is_thumbprint

if TYPE_CHECKING:
    from api.service import Service

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SECRET_BYTES = 32
_PERSON = "person"
_LONGEST = 128


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
    """The phone, or the person at a browser: bound to one session or to one consent, never both."""

    token_id: str
    session_id: str | None
    consent_id: str | None

    @property
    def id(self) -> str:
        return self.token_id


Caller = KeyHolder | Person


@cache
def reserved_names() -> frozenset[str]:
    """Names of generators that the service itself reaches: the local ones, and vendors', ready or not.

    Consents, tokens and demands to delete name backends. With two of one name, a consent to the one would be one to the other.
    """
    from api.engines import GENERATORS
    from likeness.backends import cards

    return frozenset({*GENERATORS, *cards()})


def create_key(store: Store, role: Role, name: str, *, now: datetime) -> str:
    """A new API key. It is shown this once.

    Raises:
        KeyNameInvalid: when the name is not 1 to 63 of a-z, 0-9, dot, dash, underscore, or a backend's is taken.
    """
    if role is Role.BACKEND and name in reserved_names():
        raise KeyNameInvalid(f"the name {name} is that of a generator which the service itself reaches")
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
    if jkt is not None and (role != Role.BACKEND or not is_thumbprint(jkt)):
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
    if presented is None or len(presented) > _LONGEST or not presented.isascii():
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
    return who_calls(request, None if held is None else held.credentials) if known is None else known


def who_calls(request: Request, presented: str | None) -> Caller:
    """Who holds that secret; of a call that carries none, who is signed in at the browser."""
    service: Service = request.app.state.service
    if "Mien-Session" in request.headers and "Authorization" not in request.headers:
        from api.browser_sessions import at_browser

        known = at_browser(service, request).acting()
    else:
        known = _looked_up(service, presented)
    request.state.caller = known
    return known


def _looked_up(service: Service, presented: str | None) -> Caller:
    with service.database.transaction() as store:
        return authenticate(store, presented, now=service.now())


class KeyHolders:
    """Holders of API keys that were looked up less than :data:`KNOWN_FOR_S` ago, by the hash of the key. For calls that look
    the key up again with what they write: a question to the gate does."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[bytes, tuple[float, KeyHolder]] = {}

    def of(self, presented: str | None) -> KeyHolder | None:
        if presented is None or len(presented) > _LONGEST:
            return None
        since, holder = self._known.get(_digest(presented), (-math.inf, None))
        return holder if self._clock() - since < KNOWN_FOR_S else None

    def remember(self, presented: str | None, who: Caller) -> None:
        if presented is None or not isinstance(who, KeyHolder):
            return
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[_digest(presented)] = (self._clock(), who)


async def backend_lately(request: Request) -> KeyHolder:
    """Whose key comes with a call, if it is a backend's; looked up now or less than :data:`KNOWN_FOR_S` ago.

    Raises: Problem.
    """
    scheme, _, presented = request.headers.get("Authorization", "").partition(" ")
    held = presented.strip() if scheme.lower() == "bearer" else ""
    lately: KeyHolders = request.app.state.key_holders
    who: Caller | None = getattr(request.state, "caller", None) or lately.of(held)
    if who is None:
        who = await run_in_threadpool(_looked_up, request.app.state.service, held or None)
        lately.remember(held, who)
    return _of_role(who, Role.BACKEND)


async def _backend_lately(
    request: Request, _held: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> KeyHolder:
    return await backend_lately(request)


KNOWN_FOR_S = 1.0
_MOST_KNOWN = 1000


def _holder(*roles: Role) -> Callable[[Caller], Coroutine[Any, Any, KeyHolder]]:
    async def holder(who: Annotated[Caller, Depends(caller)]) -> KeyHolder:
        return _of_role(who, *roles)

    return holder


def _of_role(who: Caller, *roles: Role) -> KeyHolder:
    if not isinstance(who, KeyHolder) or who.role not in roles:
        raise Problem("forbidden", f"needs a key of role {' or '.join(roles)}")
    if who.role is Role.BACKEND and who.name in reserved_names():  # made before the name was taken
        raise Problem("forbidden", "the key has the name of a generator of the service; have one made under another")
    return who


async def _person(who: Annotated[Caller, Depends(caller)]) -> Person:
    if not isinstance(who, Person):
        raise Problem("forbidden", "needs a person's own token")
    return who


AnyCaller = Annotated[Caller, Depends(caller)]
Subject = Annotated[Person, Depends(_person)]
App = Annotated[KeyHolder, Depends(_holder(Role.APP))]
Backend = Annotated[KeyHolder, Depends(_holder(Role.BACKEND))]
BackendLately = Annotated[KeyHolder, Depends(_backend_lately)]
Auditor = Annotated[KeyHolder, Depends(_holder(Role.AUDITOR, Role.ADMIN))]
Admin = Annotated[KeyHolder, Depends(_holder(Role.ADMIN))]
AppOrBackend = Annotated[KeyHolder, Depends(_holder(Role.APP, Role.BACKEND))]
