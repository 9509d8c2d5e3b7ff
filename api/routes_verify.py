"""The page on which a person is checked and decides: opened by the app, by a link, or by scanning a code.

The address carries the client token of one session. The page's script takes it out of the address at once and keeps it in
memory only; whoever loads the page again opens the link again and goes on where they were.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from api.auth import Person, authenticate
from api.engines import GENERATORS
from api.errors import Problem
from api.pages import PageRoute, language_of, page, qr
from api.routes_liveness import verify_url
from api.routes_terms import blocks_of
from api.service import TheService
from api.settings import NOT_NAMED
from api.statements import answer_of, check_row
from api.storage import Store, policy_of
from api.tables import SessionRow
from consent import terms as agreed
from consent.record import DEFAULT_TERM, LONGEST_TERM
from consent.terms import Purpose

router = APIRouter(route_class=PageRoute, include_in_schema=False)

AREA = "verify"
_CONSENT_ID = re.compile(r"cns_[0-9a-f]{32}")
After = Literal["double", "sign-in", "renew"]
"""What a passed check is for: the decision about a double, to sign in again, or more time for a consent."""


@router.get("/verify")
def link_needed(request: Request) -> Response:
    """Loaded again after the script took the token out of the address."""
    return page(request, "verify-over.html", area=AREA, kind="again")


@router.get("/verify/code/{consent_id}.svg")
def code(consent_id: str, service: TheService) -> Response:
    """A code that leads to a consent: an address only, which opens nothing by itself."""
    if not _CONSENT_ID.fullmatch(consent_id):
        raise Problem("not_found")
    drawn = qr(f"{service.settings.page_origin}/my#{consent_id}")
    alone = str(drawn).replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)  # as a file it says what it is
    return Response(alone, media_type="image/svg+xml")


@router.get("/verify/{token}")
def verify(
    token: str,
    request: Request,
    service: TheService,
    after: Annotated[After, Query(alias="for")] = "double",
    consent: Annotated[str, Query(pattern=r"^(cns_[0-9a-f]{32})?$")] = "",
) -> Response:
    """The whole flow; its script shows one part at a time."""
    now = service.now()
    with service.database.transaction() as store:
        visit = _visit(store, token, remote=sorted(request.app.state.remotes.backends), now=now)
    if visit is None:
        return page(request, "verify-over.html", area=AREA, status=410, kind="over")
    if visit.answer in ("given", "refused"):
        return page(request, "verify-over.html", area=AREA, kind="answered")
    terms, session = agreed.current(language_of(request)), visit.session
    return page(
        request,
        "verify.html",
        area=AREA,
        session=session,
        after=after,
        consent=consent,
        checked=visit.checked,
        attempts=int(policy_of(session.policy).attempts.value),
        controller="" if service.settings.controller == NOT_NAMED else service.settings.controller,
        terms=terms,
        blocks=blocks_of(terms),
        purposes=[purpose.value for purpose in Purpose],
        generators=visit.generators,
        own_generators=GENERATORS,
        until=(now + DEFAULT_TERM).date().isoformat(),
        earliest=(now + timedelta(days=1)).date().isoformat(),
        latest=(now + LONGEST_TERM - timedelta(days=1)).date().isoformat(),
        phone_url=verify_url(service, token) + ("" if after == "double" else f"?for={after}&consent={consent}"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What the page says of the session that its address names."""

    session: SessionRow
    answer: str | None
    checked: bool
    generators: tuple[str, ...]


def _visit(store: Store, token: str, *, remote: list[str], now: datetime) -> Visit | None:
    """``None`` for a token that opens no session, or none any more."""
    try:
        who = authenticate(store, token, now=now)
    except Problem:
        return None
    session = store.get(SessionRow, who.session_id) if isinstance(who, Person) and who.session_id else None
    if session is None or now >= session.expires_at:
        return None
    return Visit(
        session=session,
        answer=answer_of(store, session.session_id),
        checked=check_row(store, session.session_id) is not None,
        generators=tuple(dict.fromkeys([*GENERATORS, *remote, *sorted(store.backend_names())])),
    )
