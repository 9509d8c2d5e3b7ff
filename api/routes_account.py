"""Pages of who is at a browser: where somebody signs in, where the first browser starts, and one's passkeys and sign-ins."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from api.auth import KeyHolder
from api.browser_sessions import Kind, SignedIn, device_of, local_path, look_up, sign_in_first
from api.pages import PageRoute, Words, language_of, page
from api.service import TheService

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_HOMES = {"person": "/my", "app": "/studio", "auditor": "/console", "admin": "/console"}


def account_words(request: Request) -> Words:
    """For the macros of ``account.html``, which pages of any area include: ``account=account_words(request)``."""
    return Words("account", language_of(request))


def device_name(request: Request, words: Words) -> str:
    """What the reader may call a passkey that is made in this browser."""
    browser, system = device_of(request.headers.get("User-Agent", ""))
    if browser and system:
        return words("device_both", browser=browser, system=system)
    return browser or system or words("device_none")


@router.get("/sign-in")
def sign_in(request: Request, next: str | None = None, why: str | None = None) -> Response:
    """Two doors. ``next``: where the reader was going, ``why``: what was missing there; ``role`` or ``passkey``."""
    words, to = account_words(request), local_path(next)
    first = Kind.PERSON if to is None or to.startswith("/my") else Kind.STAFF
    values: dict[str, Any] = {
        "first": first.value,
        "why": why if why in ("role", "passkey") else None,
        "device": device_name(request, words),
        "where": {"next": to, "kind": first.value, "why": why, "homes": _HOMES},
    }
    return page(request, "sign-in.html", area="account", **values)


@router.get("/start")
@router.get("/start/{code}")
def start(request: Request, code: str = "") -> Response:
    """What ``mien serve`` prints. The page's script spends the code, so that no program that only looks at the address does."""
    return page(request, "start-here.html", area="account", code=code[:100], home=_HOMES["app"])


@router.get("/account")
def account(request: Request, service: TheService) -> Response:
    """One's passkeys, and where one is signed in; as a person, as who works here, or both."""
    found = [one for kind in Kind if (one := look_up(service, request, kind)) is not None]
    if not found:
        raise sign_in_first(request)
    words = account_words(request)
    return page(
        request,
        "account-page.html",
        area="account",
        account=words,
        device=device_name(request, words),
        here=[{"kind": one.kind.value, "who": _called(one), "home": _home(one)} for one in found],
    )


def _called(one: SignedIn) -> str | None:
    return one.who.name if isinstance(one.who, KeyHolder) else None


def _home(one: SignedIn) -> str:
    return _HOMES[one.who.role.value if isinstance(one.who, KeyHolder) else "person"]
