"""Who is at a browser: somebody in a video, or somebody who works here, for twelve hours and not while nobody is there.

A cookie alone moves nothing. A script of ours names with ``Mien-Session`` which of the two cookies it means, which a page of
somebody else cannot send, and the browser must say that the call comes from our origin. Pages read the cookie without that
header, and only show. A bearer key or token in the same call is heard instead, as everywhere.

A person's session stands for the consent that it began with, and acts under any of the person's own whose enrolled face is the
same: one to one, among one pseudonym. A consent that somebody gave on another's behalf stands for itself alone. That two
consents are of one face is remembered as ids, since the templates of a consent that was taken back are gone.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request, Response

from api.audit_events import AuditAction, note
from api.auth import AnyCaller, Caller, KeyHolder, Person, Role
from api.consents import record_of
from api.errors import Problem
from api.pages import SeeOther
from api.persons import Self, consents_with_this_face
from api.service import Service, TheService
from api.settings import Settings
from api.storage import Store, new_id
from api.tables import ApiKeyRow, BrowserSessionRow, ConsentRow, PasskeyRow, StartCodeRow

LIFE = timedelta(hours=12)  # ASVS 5, 7.3.2: signs in anew at the latest then
PERSON_IDLE = timedelta(hours=1)  # ASVS 5, 7.3.1
STAFF_IDLE = timedelta(minutes=30)
START_CODE_LIFE = timedelta(minutes=30)
SESSION_HEADER, CONSENT_HEADER = "Mien-Session", "Mien-Consent"

_SEEN_EVERY = timedelta(minutes=1)
_SECRET_BYTES = 32
_LONGEST_COOKIE = 100
_LONGEST_PATH = 500


class Kind(StrEnum):
    """As whom somebody is signed in."""

    PERSON = "person"
    STAFF = "staff"

    @property
    def idle(self) -> timedelta:
        return PERSON_IDLE if self is Kind.PERSON else STAFF_IDLE


class Began(StrEnum):
    """How somebody signed in."""

    PASSKEY = "passkey"
    TOKEN = "token"  # noqa: S105 - the name of a way
    LIVE_CHECK = "live_check"
    KEY = "key"
    START_CODE = "start_code"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """Who is at this browser. ``consents``: a person's own, the latest first. ``weak``: without a passkey."""

    session_id: str
    kind: Kind
    began: Began
    weak: bool
    passkey_id: str | None
    expires_at: datetime
    who: Caller
    consents: tuple[str, ...] = ()
    subject_id: str | None = None

    def acting(self) -> Caller:
        """Who calls. Raises: Problem ``passkey_needed`` where an API key alone is not enough at a browser."""
        if self.weak and isinstance(self.who, KeyHolder) and self.who.role is not Role.APP:
            raise Problem("passkey_needed")
        return self.who


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """Who signs in, and how."""

    began: Began
    key: ApiKeyRow | None = None
    consent: ConsentRow | None = None
    consents: tuple[str, ...] = ()
    passkey_id: str | None = None
    began_with: str | None = None

    @property
    def kind(self) -> Kind:
        return Kind.PERSON if self.consent is not None else Kind.STAFF


# --- where pages are -------------------------------------------------------------------------------------------------


def page_host(settings: Settings) -> str:
    return urlsplit(settings.page_origin).hostname or ""


def cookie_name(settings: Settings, name: str) -> str:
    """``__Host-`` binds it to this host alone, and browsers take it over https only; this machine has no https."""
    return f"__Host-mien-{name}" if settings.public_url.startswith("https://") else f"mien-{name}"


def set_cookie(settings: Settings, response: Response, name: str, secret: str, life: timedelta) -> None:
    """For ``life``; nothing for an empty secret.

    Raises: Problem ``https_needed`` where others on the way could read it.
    """
    safe = settings.public_url.startswith("https://")
    if not safe and page_host(settings) != "localhost":
        raise Problem("https_needed")
    response.set_cookie(
        cookie_name(settings, name),
        secret,
        max_age=int(life.total_seconds()) if secret else 0,
        path="/",
        secure=safe,
        httponly=True,
        samesite="strict",
    )


def must_be_ours(settings: Settings, request: Request) -> None:
    """The call comes from a page of ours, as far as browsers say; who is no browser says nothing.

    Raises: Problem ``cross_site``.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        ours = site == "same-origin"
    else:
        ours = origin is None or origin in (settings.page_origin, settings.public_url)
    if not ours:
        raise Problem("cross_site")


def local_path(value: str | None) -> str | None:
    """That address, if it is one of ours."""
    if value is None or not 1 <= len(value) <= _LONGEST_PATH or not value.isascii() or not value.isprintable():
        return None
    parts = urlsplit(value)
    here = value.startswith("/") and not value.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return value if here and "\\" not in value else None


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def new_secret() -> str:
    return secrets.token_urlsafe(_SECRET_BYTES)


# --- a session begins and ends ---------------------------------------------------------------------------------------


def begin(
    service: Service, store: Store, request: Request, response: Response, new: NewSession, *, now: datetime
) -> SignedIn:
    """Somebody signs in: a new secret each time, and whoever was signed in at this browser before is not any more.

    Raises: Problem ``check_used`` for a live check that has signed somebody in already.
    """
    before = _held(service, store, request, new.kind, lock=True)
    if before is not None and before.ended_at is None:
        end(store, before, by=_who(store, before), now=now, reason="replaced")
    if new.began_with is not None and store.signed_in_by(new.began_with):
        raise Problem("check_used")
    secret, (browser, system) = new_secret(), device_of(request.headers.get("User-Agent", ""))
    row = BrowserSessionRow(
        session_id=new_id("bse"),
        secret_sha256=digest(secret),
        kind=new.kind,
        began=new.began,
        began_with=new.began_with,
        passkey_id=new.passkey_id,
        key_id=None if new.key is None else new.key.key_id,
        consent_id=None if new.consent is None else new.consent.consent_id,
        subject_id=None if new.consent is None else new.consent.subject_id,
        consents=sorted(new.consents),
        weak=new.kind is Kind.STAFF and new.began is not Began.PASSKEY,
        browser=browser,
        system=system,
        created_at=now,
        last_seen_at=now,
        expires_at=now + LIFE,
    )
    store.add(row)
    set_cookie(service.settings, response, new.kind, secret, LIFE)
    found = _signed_in(service, store, row, None)
    note(
        store,
        AuditAction.SIGNED_IN,
        by=found.who,
        now=now,
        subject_id=row.subject_id,
        consent_id=row.consent_id,
        object_id=row.session_id,
        more={"began": row.began} | ({} if row.passkey_id is None else {"passkey_id": row.passkey_id}),
    )
    return found


def end(store: Store, row: BrowserSessionRow, *, by: Caller, now: datetime, reason: str) -> None:
    """It signs nobody in any more."""
    row.ended_at = now
    note(
        store,
        AuditAction.SIGNED_OUT,
        by=by,
        now=now,
        subject_id=row.subject_id,
        consent_id=row.consent_id,
        object_id=row.session_id,
        reason=reason,
    )


def _who(store: Store, row: BrowserSessionRow) -> Caller:
    key = None if row.key_id is None else store.get(ApiKeyRow, row.key_id)
    if key is not None:
        return KeyHolder(key_id=key.key_id, role=Role(key.role), name=key.name)
    return Person(token_id=row.session_id, session_id=None, consent_id=row.consent_id)


# --- who is signed in ------------------------------------------------------------------------------------------------


def at_browser(service: Service, request: Request) -> SignedIn:
    """Who calls from a script of ours, looked up once a request.

    Raises: Problem ``unauthenticated`` or ``cross_site``.
    """
    known: SignedIn | None = getattr(request.state, "signed_in", None)
    if known is not None:
        return known
    named = request.headers.get(SESSION_HEADER)
    if named is None or named not in (*Kind,):
        raise Problem("unauthenticated")
    must_be_ours(service.settings, request)
    found = look_up(service, request, Kind(named))
    if found is None:
        raise Problem("unauthenticated")
    request.state.signed_in = found
    return found


def look_up(service: Service, request: Request, kind: Kind) -> SignedIn | None:
    """Who is signed in so, by the cookie alone."""
    now = service.now()
    with service.database.transaction() as store:
        row = _held(service, store, request, kind)
        if row is None or not _holds(store, row, now=now):
            return None
        if now - row.last_seen_at >= _SEEN_EVERY:
            store.seen(row.session_id, now=now)
        return _signed_in(service, store, row, request.headers.get(CONSENT_HEADER))


def _held(
    service: Service, store: Store, request: Request, kind: Kind, *, lock: bool = False
) -> BrowserSessionRow | None:
    secret = request.cookies.get(cookie_name(service.settings, kind), "")
    if not secret or len(secret) > _LONGEST_COOKIE or not secret.isascii():
        return None
    row = store.browser_session(digest(secret), lock=lock)
    return row if row is not None and row.kind == kind else None


def _holds(store: Store, row: BrowserSessionRow, *, now: datetime) -> bool:
    if row.ended_at is not None or not row.created_at <= now < row.expires_at:
        return False
    if now - row.last_seen_at >= Kind(row.kind).idle:
        return False
    if row.key_id is not None:
        key = store.get(ApiKeyRow, row.key_id)
        return key is not None and key.revoked_at is None
    return row.consent_id is not None


def _signed_in(service: Service, store: Store, row: BrowserSessionRow, named: str | None) -> SignedIn:
    consents: tuple[str, ...] = ()
    who = _who(store, row)
    if isinstance(who, Person) and row.consent_id is not None:
        consents = own_consents(service, store, row.consent_id, row.consents)
        _remember(store, row, consents)
        acting = named if named in consents else consents[0]
        who = Person(token_id=row.session_id, session_id=None, consent_id=acting)
    return SignedIn(
        session_id=row.session_id,
        kind=Kind(row.kind),
        began=Began(row.began),
        weak=row.weak,
        passkey_id=row.passkey_id,
        expires_at=row.expires_at,
        who=who,
        consents=consents,
        subject_id=row.subject_id,
    )


def own_consents(service: Service, store: Store, consent_id: str, known: Collection[str] = ()) -> tuple[str, ...]:
    """The person's own consents with the face of this one, the latest first; of one on another's behalf, that one.

    known : found to be so before. Only what is not known is compared.
    """
    origin = store.get(ConsentRow, consent_id)
    if origin is None:
        raise Problem("unauthenticated")
    if on_behalf(store, consent_id):
        return (consent_id,)
    rows = sorted(store.consents_of_subject(origin.subject_id), key=lambda row: (row.granted_at, row.consent_id))
    same = {consent_id, *known}
    if not same.issuperset(row.consent_id for row in rows):
        me = Self(consent_id=consent_id, subject_id=origin.subject_id)
        same |= {one for one in consents_with_this_face(service, store, me) if one in same or not on_behalf(store, one)}
    return tuple(row.consent_id for row in reversed(rows) if row.consent_id in same)


def on_behalf(store: Store, consent_id: str) -> bool:
    """Whether somebody gave it for the person."""
    return record_of(store, consent_id).granted.authority is not None


def _remember(store: Store, row: BrowserSessionRow, consents: Collection[str]) -> None:
    if set(consents) <= set(row.consents):
        return
    row.consents = sorted(consents)
    passkey = None if row.passkey_id is None else store.get(PasskeyRow, row.passkey_id, lock=True)
    if passkey is not None:
        passkey.consents = sorted({*passkey.consents, *consents})


# --- for routes ------------------------------------------------------------------------------------------------------


def _at_browser(request: Request, who: AnyCaller, service: TheService) -> SignedIn:
    found: SignedIn | None = getattr(request.state, "signed_in", None)
    if found is None:
        raise Problem("forbidden", "for whoever is signed in at a browser")
    return found


def _at_browser_weak(request: Request, service: TheService) -> SignedIn:
    if "Authorization" in request.headers:
        raise Problem("unauthenticated")
    return at_browser(service, request)


AtBrowser = Annotated[SignedIn, Depends(_at_browser)]
AtBrowserOrWeak = Annotated[SignedIn, Depends(_at_browser_weak)]
"""Also who came with an API key and has no passkey yet."""


def sign_in_first(request: Request, why: str | None = None) -> SeeOther:
    """Of a page that this browser may not see: to where somebody signs in, and back. ``why``: role or passkey."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    to = quote(local_path(asked) or "/", safe="")
    return SeeOther(f"/sign-in?next={to}" + ("" if why is None else f"&why={why}"))


def _person_here(request: Request, service: TheService) -> Person:
    found = look_up(service, request, Kind.PERSON)
    if found is None or not isinstance(found.who, Person):
        raise sign_in_first(request)
    request.state.signed_in = found
    return found.who


PersonHere = Annotated[Person, Depends(_person_here)]
"""Of a page: the person at this browser, or they sign in first."""


def StaffHere(*roles: Role) -> Any:
    """Of a page, in ``Annotated[KeyHolder, StaffHere(Role.AUDITOR, Role.ADMIN)]``: who works here, in one of these roles, with
    a passkey (in the studio also with the key alone), or they sign in first."""

    def staff_here(request: Request, service: TheService) -> KeyHolder:
        found = look_up(service, request, Kind.STAFF)
        if found is None or not isinstance(found.who, KeyHolder):
            raise sign_in_first(request)
        if found.who.role not in roles:
            raise sign_in_first(request, "role")
        if found.weak and found.who.role is not Role.APP:
            raise sign_in_first(request, "passkey")
        request.state.signed_in = found
        return found.who

    check: Callable[..., KeyHolder] = staff_here
    return Depends(check)


# --- the first browser -----------------------------------------------------------------------------------------------


def new_start_code(service: Service) -> str | None:
    """A code that signs one browser in as the first app's key, within half an hour, in place of any earlier one; ``None`` once
    somebody who works here has a passkey, or where no app has a key."""
    now = service.now()
    with service.database.transaction() as store:
        store.forget_start_codes()
        key = None if store.has_staff_passkeys() else store.first_app_key()
        if key is None:
            return None
        code = new_secret()
        store.add(
            StartCodeRow(code_sha256=digest(code), key_id=key.key_id, created_at=now, expires_at=now + START_CODE_LIFE)
        )
        return code


def spend_start_code(store: Store, code: str, *, now: datetime) -> ApiKeyRow:
    """Whose browser it signs in.

    Raises: Problem ``start_code_invalid``.
    """
    row = store.get(StartCodeRow, digest(code), lock=True)
    key = None if row is None else store.get(ApiKeyRow, row.key_id)
    if row is None or key is None or key.revoked_at is not None or row.used_at is not None or now >= row.expires_at:
        raise Problem("start_code_invalid")
    row.used_at = now
    return key


# --- what kind of browser it is --------------------------------------------------------------------------------------

_BROWSERS = (  # the first that is in the user agent: most name others too
    ("MicroMessenger", "WeChat"),
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("HarmonyOS", "HarmonyOS"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def device_of(user_agent: str) -> tuple[str, str]:
    """Browser and system, so that somebody knows their own again, and nothing more; empty where it is not known."""

    def first(known: tuple[tuple[str, str], ...]) -> str:
        return next((name for part, name in known if part in user_agent[:500]), "")

    return first(_BROWSERS), first(_SYSTEMS)


__all__ = ["AtBrowser", "AtBrowserOrWeak", "PersonHere", "SignedIn", "StaffHere", "at_browser", "begin", "end"]
