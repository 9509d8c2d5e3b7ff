"""The terms as pages: what somebody agrees to, for whoever wants to read it before, after, or without a live check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from api.errors import Problem
from api.pages import PageRoute, language_of, page
from consent import terms as agreed
from consent.terms import Reader, Terms

router = APIRouter(prefix="/terms", route_class=PageRoute, include_in_schema=False)


@router.get("")
def current(request: Request, reader: Annotated[Reader, Query(alias="for")] = Reader.SUBJECT) -> Response:
    """The words of today, in the reader's language."""
    return _page(request, agreed.current(language_of(request), reader))


@router.get("/{sha256}")
def by_fingerprint(sha256: str, request: Request) -> Response:
    """The words that a record names, also when there are newer ones."""
    found = agreed.by_sha256(sha256)
    if found is None:
        raise Problem("not_found")
    return _page(request, found)


def _page(request: Request, terms: Terms) -> Response:
    language = language_of(request)
    return page(
        request,
        "terms.html",
        area="terms",
        terms=terms,
        blocks=blocks_of(terms),
        heading=_heading(terms),
        others=[(each, _heading(agreed.current(language, each))) for each in Reader if each is not terms.reader],
        outdated=terms != agreed.current(terms.language, terms.reader),
    )


def _heading(terms: Terms) -> str:
    return blocks_of(terms)[0].lines[0]


# --- as they are set -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Block:
    """A heading, a paragraph or a list of the terms. ``place``: what a link that leads here is called, if any."""

    kind: Literal["title", "heading", "text", "list"]
    lines: tuple[str, ...]
    place: str | None = None


_PLACES = {"Part A": "terms-check", "第一部分": "terms-check", "Part B": "terms-double", "第二部分": "terms-double"}


def blocks_of(terms: Terms) -> list[Block]:
    """The whole text, in order; nothing is left out or changed but the marks of headings and lists."""
    found: list[Block] = []
    for piece in terms.text.split("\n\n"):
        lines = [line for line in piece.strip().split("\n") if line]
        if lines and lines[0].startswith("#"):
            kind: Literal["title", "heading"] = "heading" if lines[0].startswith("## ") else "title"
            heading = lines.pop(0).lstrip("#").strip()
            place = next((place for start, place in _PLACES.items() if heading.startswith(start)), None)
            found.append(Block(kind, (heading,), place))
        points = tuple(line[2:] for line in lines if line.startswith("- "))
        text = tuple(line for line in lines if not line.startswith("- "))
        found += [Block("text", text)] if text else []
        found += [Block("list", points)] if points else []
    return found
