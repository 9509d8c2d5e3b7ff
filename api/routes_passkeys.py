"""Signing in at a browser, the passkeys and sessions of whoever is signed in, and signing out."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from api import passkeys
from api.auth import Caller, KeyHolder, Person, Role, authenticate, who_calls
from api.authorities import shown_person
from api.browser_sessions import (
    AtBrowser,
    AtBrowserOrWeak,
    Began,
    NewSession,
    SignedIn,
    at_browser,
    begin,
    cookie_name,
    end,
    must_be_ours,
    on_behalf,
    own_consents,
    set_cookie,
    spend_start_code,
)
from api.calls import Call
from api.errors import Problem
from api.media import Erased, Unsealable, templates_from_bytes
from api.passkeys import CHALLENGE_LIFE, Account
from api.schemas import (
    BrowserSessions,
    BrowserSessionShown,
    PasskeyMade,
    PasskeyOptions,
    PasskeyShown,
    PasskeysShown,
    PasskeyUsed,
    PasskeyWish,
    SignInShown,
    SignInWithCode,
    SignInWithKey,
    SignInWithToken,
)
from api.service import Service, TheService
from api.storage import Store
from api.tables import ApiKeyRow, BrowserSessionRow, ConsentRow, PasskeyRow
from consent.authority_case import alike
from liveness.policy import STRICT
from liveness.template import FaceTemplate

router = APIRouter(prefix="/v1", tags=["signing in at a browser"], route_class=Call)

_CEREMONY = "passkey"
_ANY = PasskeyWish()


def _counted(request: Request, service: TheService) -> None:
    """Of calls by which somebody signs in: from a page of ours, and only so often from one address."""
    must_be_ours(service.settings, request)
    wait_s = request.app.state.sign_ins.wait_s("" if request.client is None else request.client.host)
    if wait_s is not None:
        raise Problem("too_many_requests", more={"retry_after_s": wait_s})


def _account(request: Request, service: TheService) -> Account:
    """Whose passkeys: of who is signed in, also with an API key alone, or of the person whose manage token it is."""
    if "Authorization" not in request.headers:
        return _account_of(service, at_browser(service, request))
    scheme, _, secret = request.headers["Authorization"].partition(" ")
    who: Caller = who_calls(request, secret if scheme.lower() == "bearer" else None)
    if not isinstance(who, Person) or who.consent_id is None:
        raise Problem("forbidden", "for the person with the manage token of a consent, or signed in at a browser")
    with service.database.transaction() as store:
        return _account_of_consent(service, store, who, who.consent_id)


Someone = Annotated[Account, Depends(_account)]


def _account_of(service: Service, signed_in: SignedIn) -> Account:
    with service.database.transaction() as store:
        if isinstance(signed_in.who, KeyHolder):
            key = store.get(ApiKeyRow, signed_in.who.key_id)
            if key is None:
                raise Problem("unauthenticated")
            return Account(by=signed_in.who, key=key)
        consent = store.get(ConsentRow, signed_in.consents[0])
        if consent is None:
            raise Problem("unauthenticated")
        return Account(by=signed_in.who, consent=consent, consents=signed_in.consents)


def _account_of_consent(service: Service, store: Store, who: Person, consent_id: str) -> Account:
    consent = store.get(ConsentRow, consent_id)
    if consent is None:
        raise Problem("unauthenticated")
    return Account(by=who, consent=consent, consents=own_consents(service, store, consent_id))


# --- passkeys --------------------------------------------------------------------------------------------------------


@router.post("/passkeys/options")
def passkey_options(
    account: Someone, request: Request, response: Response, service: TheService, body: PasskeyWish = _ANY
) -> PasskeyOptions:
    """What `navigator.credentials.create` is asked, for a new passkey of whoever is signed in, or whose manage token it is.
    Good for five minutes, once, in this browser."""
    must_be_ours(service.settings, request)
    now = service.now()
    with service.database.transaction() as store:
        options, secret = passkeys.creation_options(service, store, account, language=body.language, now=now)
    set_cookie(service.settings, response, _CEREMONY, secret, CHALLENGE_LIFE)
    return PasskeyOptions(public_key=options)


@router.post("/passkeys", status_code=201)
def make_passkey(
    body: PasskeyMade, account: Someone, request: Request, response: Response, service: TheService
) -> PasskeyShown:
    """Keep the passkey that was made. Who came with an API key alone is then signed in with it."""
    must_be_ours(service.settings, request)
    now = service.now()
    challenge = passkeys.take(service, _ceremony(service, request), now=now)
    set_cookie(service.settings, response, _CEREMONY, "", timedelta())
    row = passkeys.make(service, account, challenge, body.credential, name=body.name, now=now)
    signed_in: SignedIn | None = getattr(request.state, "signed_in", None)
    if signed_in is not None and signed_in.weak:
        new = NewSession(began=Began.PASSKEY, key=account.key, passkey_id=row.passkey_id)
        with service.database.transaction() as store:
            begin(service, store, request, response, new, now=now)
    return _passkey(row, None)


@router.get("/passkeys")
def list_passkeys(account: Someone, request: Request, service: TheService) -> PasskeysShown:
    """Yours. `here`: this browser was signed in with it."""
    signed_in: SignedIn | None = getattr(request.state, "signed_in", None)
    here = None if signed_in is None else signed_in.passkey_id
    with service.database.transaction() as store:
        return PasskeysShown(passkeys=[_passkey(row, here) for row in account.passkeys(store)])


@router.delete("/passkeys/{passkey_id}")
def remove_passkey(passkey_id: str, who: AtBrowser, service: TheService) -> PasskeysShown:
    """It signs nobody in any more, and browsers that it signed in are signed out, but for this one. The only passkey of who
    works here stays: 409 `last_passkey`."""
    if who.weak:
        raise Problem("passkey_needed")
    account, now = _account_of(service, who), service.now()
    with service.database.transaction() as store:
        passkeys.remove(service, store, account, passkey_id, here=who.session_id, now=now)
        return PasskeysShown(passkeys=[_passkey(row, who.passkey_id) for row in account.passkeys(store)])


def _passkey(row: PasskeyRow, here: str | None) -> PasskeyShown:
    return PasskeyShown(
        passkey_id=row.passkey_id,
        name=row.name,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        synced=row.synced,
        here=row.passkey_id == here,
    )


# --- signing in ------------------------------------------------------------------------------------------------------


@router.post("/sign-in/options", dependencies=[Depends(_counted)])
def sign_in_options(response: Response, service: TheService) -> PasskeyOptions:
    """What `navigator.credentials.get` is asked, to sign in with a passkey. Good for five minutes, once, in this browser."""
    with service.database.transaction() as store:
        options, secret = passkeys.request_options(service, store, now=service.now())
    set_cookie(service.settings, response, _CEREMONY, secret, CHALLENGE_LIFE)
    return PasskeyOptions(public_key=options)


@router.post("/sign-in", dependencies=[Depends(_counted)])
def sign_in(body: PasskeyUsed, request: Request, response: Response, service: TheService) -> SignInShown:
    """Sign in with a passkey. Whose it is says whether as a person or as somebody who works here."""
    now = service.now()
    challenge = passkeys.take(service, _ceremony(service, request), now=now)
    set_cookie(service.settings, response, _CEREMONY, "", timedelta())
    with service.database.transaction() as store:
        new = passkeys.use(service, store, challenge, body.credential, now=now)
        signed_in = None if new is None else begin(service, store, request, response, new, now=now)
    if signed_in is None:
        raise Problem("passkey_copied")
    return _shown(signed_in)


@router.post("/sign-in/with-token", dependencies=[Depends(_counted)])
def sign_in_with_token(body: SignInWithToken, request: Request, response: Response, service: TheService) -> SignInShown:
    """Sign in with the manage token of a consent, as right after it was given."""
    now = service.now()
    with service.database.transaction() as store:
        who = authenticate(store, body.token, now=now)
        consent = (
            store.get(ConsentRow, who.consent_id) if isinstance(who, Person) and who.consent_id is not None else None
        )
        if consent is None:
            raise Problem("forbidden", "needs the manage token of a consent")
        consents = own_consents(service, store, consent.consent_id)
        new = NewSession(began=Began.TOKEN, consent=consent, consents=consents)
        return _shown(begin(service, store, request, response, new, now=now))


@router.post("/sign-in/with-live-check", dependencies=[Depends(_counted)])
def sign_in_with_live_check(
    body: SignInWithToken, request: Request, response: Response, service: TheService
) -> SignInShown:
    """Sign in without a passkey: with the client token of a live check just passed, under the same name at the same app,
    where the face is that of an earlier consent. Compared one to one with the person's own; a check signs in once."""
    now = service.now()
    with service.database.transaction() as store:
        who = authenticate(store, body.token, now=now)
        if not isinstance(who, Person):
            raise Problem("forbidden", "needs the client token of a live check")
        shown = shown_person(service, store, who, now=now)
        rows = sorted(store.consents_of_subject(shown.subject_id), key=lambda row: (row.granted_at, row.consent_id))
        mine = [
            row for row in rows if not on_behalf(store, row.consent_id) and _shows(service, store, row, shown.templates)
        ]
        if not mine:
            raise Problem("not_same_person", "or what it could be compared with is gone")
        new = NewSession(
            began=Began.LIVE_CHECK,
            began_with=shown.session_id,
            consent=mine[-1],
            consents=tuple(row.consent_id for row in mine),
        )
        return _shown(begin(service, store, request, response, new, now=now))


def _shows(service: Service, store: Store, row: ConsentRow, shown: tuple[FaceTemplate, ...]) -> bool:
    """Whether a live check shows whom the consent is about; by the same rule as to resume one."""
    try:
        kept = templates_from_bytes(service.vault.get(store, row.templates_id, owner=row.consent_id))
    except (Erased, Unsealable):
        return False
    enrolled = [one for one in kept if one is not None]
    least = STRICT.same_person.value
    return bool(shown) and all(any(alike(one, other, least) for other in enrolled) for one in shown)


@router.post("/sign-in/with-key", dependencies=[Depends(_counted)])
def sign_in_with_key(body: SignInWithKey, request: Request, response: Response, service: TheService) -> SignInShown:
    """Sign in with an API key, to make a passkey. Until it is made, an app's key works in the studio, and others nowhere."""
    now = service.now()
    with service.database.transaction() as store:
        who = authenticate(store, body.key, now=now)
        if not isinstance(who, KeyHolder) or who.role is Role.BACKEND:
            raise Problem("forbidden", "needs a key of role app, auditor or admin")
        return _staff(service, store, request, response, Began.KEY, store.get(ApiKeyRow, who.key_id))


@router.post("/sign-in/with-code", dependencies=[Depends(_counted)])
def sign_in_with_code(body: SignInWithCode, request: Request, response: Response, service: TheService) -> SignInShown:
    """Sign the first browser in, with the code that the terminal showed at the service's start. Once, within 30 minutes."""
    with service.database.transaction() as store:
        key = spend_start_code(store, body.code, now=service.now())
        return _staff(service, store, request, response, Began.START_CODE, key)


def _staff(
    service: Service, store: Store, request: Request, response: Response, began: Began, key: ApiKeyRow | None
) -> SignInShown:
    if key is None:
        raise Problem("unauthenticated")
    new = NewSession(began=began, key=key)
    return _shown(begin(service, store, request, response, new, now=service.now()))


def _shown(who: SignedIn) -> SignInShown:
    holder = who.who if isinstance(who.who, KeyHolder) else None
    return SignInShown(
        session_id=who.session_id,
        kind=who.kind.value,
        began=who.began.value,
        weak=who.weak,
        role=None if holder is None else holder.role.value,
        name=None if holder is None else holder.name,
        consents=list(who.consents),
        passkey_id=who.passkey_id,
        expires_at=who.expires_at,
    )


def _ceremony(service: Service, request: Request) -> str:
    return request.cookies.get(cookie_name(service.settings, _CEREMONY), "")


# --- sessions --------------------------------------------------------------------------------------------------------


@router.post("/sign-out")
def sign_out(who: AtBrowserOrWeak, response: Response, service: TheService) -> SignInShown:
    """Sign out at this browser."""
    with service.database.transaction() as store:
        row = store.get(BrowserSessionRow, who.session_id, lock=True)
        if row is not None and row.ended_at is None:
            end(store, row, by=who.who, now=service.now(), reason="signed_out")
    set_cookie(service.settings, response, who.kind, "", timedelta())
    return _shown(who)


@router.get("/browser-sessions/here")
def who_is_here(who: AtBrowserOrWeak, service: TheService) -> SignInShown:
    """Who is signed in at this browser, as `Mien-Session` says: `person` or `staff`."""
    return _shown(who)


@router.get("/browser-sessions")
def list_sessions(who: AtBrowserOrWeak, service: TheService) -> BrowserSessions:
    """Where you are signed in, the latest first."""
    with service.database.transaction() as store:
        return _sessions(service, store, who)


@router.delete("/browser-sessions/{session_id}")
def end_session(session_id: str, who: AtBrowser, service: TheService) -> BrowserSessions:
    """Sign out elsewhere; or here, with the id of this one."""
    with service.database.transaction() as store:
        row = next((one for one in _rows(service, store, who) if one.session_id == session_id), None)
        if row is None:
            raise Problem("not_found")
        end(store, row, by=who.who, now=service.now(), reason="signed_out")
        return _sessions(service, store, who)


@router.delete("/browser-sessions")
def end_sessions(
    who: AtBrowser, service: TheService, others: Annotated[bool, Query(description="all but this one")] = False
) -> BrowserSessions:
    """Sign out everywhere."""
    with service.database.transaction() as store:
        for row in _rows(service, store, who):
            if not others or row.session_id != who.session_id:
                end(store, row, by=who.who, now=service.now(), reason="signed_out")
        return _sessions(service, store, who)


def _rows(service: Service, store: Store, who: SignedIn) -> list[BrowserSessionRow]:
    key_id = who.who.key_id if isinstance(who.who, KeyHolder) else None
    now = service.now()
    found = store.browser_sessions(key_id=key_id, consents=who.consents, now=now)
    return [row for row in found if now - row.last_seen_at < who.kind.idle]


def _sessions(service: Service, store: Store, who: SignedIn) -> BrowserSessions:
    return BrowserSessions(
        sessions=[
            BrowserSessionShown(
                session_id=row.session_id,
                browser=row.browser,
                system=row.system,
                began=row.began,
                created_at=row.created_at,
                last_seen_at=row.last_seen_at,
                expires_at=row.expires_at,
                here=row.session_id == who.session_id,
            )
            for row in _rows(service, store, who)
        ]
    )
