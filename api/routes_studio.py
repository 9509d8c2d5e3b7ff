"""The studio: pages where creators make clips of people who said yes. What they do goes through the same calls as an app's."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from api.auth import App, KeyHolder, Role
from api.browser_sessions import StaffHere
from api.calls import Call
from api.errors import Problem
from api.pages import PageRoute, page, qr_image
from api.schemas import LinkToShow
from api.service import TheService

router = APIRouter(prefix="/studio", route_class=PageRoute, include_in_schema=False)
calls = APIRouter(prefix="/studio", route_class=Call, include_in_schema=False)

_CLIP = re.compile(r"clp_[0-9a-f]{32}")
Creator = Annotated[KeyHolder, StaffHere(Role.APP)]


@router.get("")
def overview(request: Request, who: Creator) -> Response:
    return _page(request, who, "studio.html", "home_title", "clips", "studio-home.js")


@router.get("/new")
def new(request: Request, who: Creator) -> Response:
    return _page(request, who, "studio-new.html", "new_title", "new", "studio-new.js")


@router.get("/people")
def people(request: Request, who: Creator) -> Response:
    return _page(request, who, "studio-people.html", "people_title", "people", "studio-people.js")


@router.get("/clips")
def clips() -> Response:
    return RedirectResponse("/studio", 303)


@router.get("/clips/{clip_id}")
def clip(clip_id: str, request: Request, who: Creator) -> Response:
    """Whose clip it is, its calls find out."""
    if not _CLIP.fullmatch(clip_id):
        raise Problem("not_found")
    return _page(request, who, "studio-clip.html", "clip_title", "clips", "studio-clip.js", clip_id=clip_id)


@calls.post("/qr")
def code(body: LinkToShow, _: App, service: TheService) -> Response:
    """A link of ours to a live check as a QR code. It is in the body, for addresses are written down on the way."""
    if not body.link.startswith(f"{service.settings.page_origin}/verify/"):
        raise Problem("request_invalid", "only links to a live check here")
    return Response(qr_image(body.link), media_type="image/svg+xml")


def _page(
    request: Request, who: KeyHolder, template: str, heading: str, here: str, script: str, **values: Any
) -> Response:
    """``account``: the name under which people may say that this creator may ask."""
    return page(request, template, area="studio", account=who.name, heading=heading, here=here, script=script, **values)
