"""The transparency log, for anyone: checkpoints, tiles and bundles as C2SP tlog-tiles has them, proofs for who cannot
compute them from tiles, and where witnesses hand in their cosignatures."""

from __future__ import annotations

import gzip
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.concurrency import run_in_threadpool

from api.calls import Call
from api.errors import Problem
from api.ledger import checkpoint_of, note_of, take_cosignatures, tile_content
from api.schemas import ConsistencyShown, CosignaturesTaken, InclusionShown, LogEntries
from api.service import Service, TheService
from api.storage import Store
from consent.ledger import entry_json
from consent.merkle import Node, consistency_proof, edge_of, inclusion_proof, tile_at
from consent.note import to_base64

router = APIRouter(prefix="/v1/log", tags=["keys and log"], route_class=Call)

_MOST_ENTRIES = 500
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_FOR_NOW = {"Cache-Control": "public, max-age=86400"}  # a part may go once the whole tile is there


@router.get("/checkpoint", response_class=PlainTextResponse)
def checkpoint(service: TheService) -> PlainTextResponse:
    """Name, size and root of the log, signed by it and by witnesses (C2SP tlog-checkpoint)."""
    with service.database.transaction() as store:
        note = note_of(store, checkpoint_of(service, store, now=service.now()))
    return PlainTextResponse(note, headers={"Cache-Control": "public, max-age=2"})


@router.get("/tile/{path:path}", responses={200: {"content": {"application/octet-stream": {}}}})
def tile(path: str, request: Request, service: TheService) -> Response:
    """Hashes `<level>/<index>[.p/<width>]`, or entries `entries/<index>[.p/<width>]` (C2SP tlog-tiles)."""
    asked = tile_at(path)
    if asked is None:
        raise Problem("not_found", "no tile has that address")
    with service.database.transaction() as store:
        content = tile_content(store, asked)
    if content is None:
        raise Problem("not_found", "no checkpoint covers that tile yet")
    headers = dict(_FOR_EVER if asked.full else _FOR_NOW)
    if asked.level is None:
        headers["Vary"] = "Accept-Encoding"
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            content, headers["Content-Encoding"] = gzip.compress(content, mtime=0), "gzip"
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.get("/proof/inclusion")
def inclusion(
    service: TheService, index: Annotated[int, Query(ge=0)], size: Annotated[int | None, Query(ge=1)] = None
) -> InclusionShown:
    """That an entry is in the tree of that size (the latest checkpoint's, if none is named); RFC 9162, 2.1.3."""
    with service.database.transaction() as store:
        size = _covered(service, store, size)
        if index >= size:
            raise Problem("not_found", "there is no such entry in a tree of that size")
        return InclusionShown(
            index=index,
            size=size,
            leaf_hash=to_base64(store.nodes([Node(0, index)])[0]),
            root=to_base64(edge_of(size, store.nodes).root()),
            proof=[to_base64(step) for step in inclusion_proof(index, size, store.nodes)],
        )


@router.get("/proof/consistency")
def consistency(
    service: TheService, first: Annotated[int, Query(ge=0)], second: Annotated[int | None, Query(ge=0)] = None
) -> ConsistencyShown:
    """That the tree of the first size begins that of the second (the latest checkpoint's, if none is named); RFC 9162,
    2.1.4."""
    with service.database.transaction() as store:
        second = _covered(service, store, second)
        if first > second:
            raise Problem("not_found", "a tree leads only to a later one")
        return ConsistencyShown(
            first=first,
            second=second,
            first_root=to_base64(edge_of(first, store.nodes).root()),
            second_root=to_base64(edge_of(second, store.nodes).root()),
            proof=[to_base64(step) for step in consistency_proof(first, second, store.nodes)],
        )


@router.get("/entries")
def entries(
    service: TheService,
    start: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=_MOST_ENTRIES)] = 100,
) -> LogEntries:
    """Entries of the log in order; digests only, nothing about people."""
    with service.database.transaction() as store:
        found = store.entries(start, limit + 1)
    more = found[limit].index if len(found) > limit else None
    return LogEntries(entries=[dict(entry_json(entry)) for entry in found[:limit]], next=more)


@router.post(
    "/cosignatures",
    openapi_extra={"requestBody": {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def cosignatures(request: Request, service: TheService) -> CosignaturesTaken:
    """A witness hands in a checkpoint of ours with its cosignature on it (C2SP tlog-cosignature). Only witnesses that the
    operator has named are heard; others get 403 `note_unsigned`."""
    body = await request.body()
    return await run_in_threadpool(_take, service, body)


def _take(service: Service, body: bytes) -> CosignaturesTaken:
    with service.database.transaction() as store:
        # what is no UTF-8 becomes text that no witness signed
        taken = take_cosignatures(service, store, body.decode("utf-8", "replace"), now=service.now())
    return CosignaturesTaken(witnesses=taken)


def _covered(service: Service, store: Store, size: int | None) -> int:
    """That size, if a checkpoint covers it; the latest checkpoint's for ``None``."""
    latest = checkpoint_of(service, store, now=service.now()).size
    if size is not None and size > latest:
        raise Problem("not_found", "no checkpoint covers a tree of that size yet")
    return latest if size is None else size
