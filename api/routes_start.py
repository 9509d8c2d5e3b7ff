"""The page at the service's address: what this is, and the doors to everything else."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.pages import PageRoute, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/")
def start(request: Request) -> Response:
    return page(request, "start.html", area="start")
