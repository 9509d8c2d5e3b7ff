"""A person's rights, with the manage token of a consent: see every use, every attempt and everyone who looked; take
everything along; delete everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import StringConstraints

from api import persons
from api.audit_events import AuditAction, note
from api.auth import Subject
from api.calls import Call
from api.erasure import KEPT, erase
from api.export import export
from api.schemas import Erasure, Listed
from api.service import TheService

router = APIRouter(prefix="/v1/subject", tags=["a person's rights"], route_class=Call)

Cursor = Annotated[str, StringConstraints(max_length=200)]
Limit = Annotated[int, Query(ge=1, le=200)]
_CHUNK = 1 << 16


@router.get("/uses")
def uses(person: Subject, service: TheService, cursor: Cursor | None = None, limit: Limit = 50) -> Listed:
    """Every use of your likeness and every clip, latest first; for whoever agreed for somebody, those under that consent."""
    with service.database.transaction() as store:
        me = persons.who_asks(store, person, or_for_them=True)
        return Listed(**persons.uses(store, me, cursor=cursor, most=limit).to_json())


@router.get("/attempts")
def attempts(person: Subject, service: TheService, cursor: Cursor | None = None, limit: Limit = 50) -> Listed:
    """Everyone who asked to use your face with a leave of yours, valid or not, and what they were told. Latest first. For
    whoever agreed for somebody, those with that consent."""
    with service.database.transaction() as store:
        me = persons.who_asks(store, person, or_for_them=True)
        return Listed(**persons.attempts(store, me, cursor=cursor, most=limit).to_json())


@router.get("/admin-views")
def admin_views(person: Subject, service: TheService, cursor: Cursor | None = None, limit: Limit = 50) -> Listed:
    """Everyone who looked at your data, and why, latest first."""
    with service.database.transaction() as store:
        me = persons.who_asks(store, person)
        return Listed(**persons.looks(store, me, now=service.now(), cursor=cursor, most=limit).to_json())


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}, "description": "everything that is yours, in one archive"}},
)
def take_along(person: Subject, service: TheService) -> StreamingResponse:
    """Everything about you in one archive, with a list for programs and a page for people, in English and Chinese."""
    now = service.now()
    with service.database.transaction() as store:
        me = persons.who_asks(store, person)
        archive = export(service, store, me, now=now)
        note(store, AuditAction.DATA_EXPORTED, by=person, now=now, subject_id=me.subject_id)
    named = {"Content-Disposition": f'attachment; filename="mien-{me.subject_id}.zip"'}
    return StreamingResponse(_pieces(archive), media_type="application/zip", headers=named)


@router.delete("")
def delete(person: Subject, service: TheService) -> Erasure:
    """Delete everything about you that can be deleted, at once. The answer says what was kept, why, and until when."""
    now = service.now()
    with service.database.transaction() as store:
        me = persons.who_asks(store, person)
        deleted = erase(service, store, me.subject_id, person, now=now)
    return Erasure(deleted=deleted, kept=[{"what": what, "why": why, "until": until} for what, why, until in KEPT])


def _pieces(archive: IO[bytes]) -> Iterator[bytes]:
    with archive:
        while piece := archive.read(_CHUNK):
            yield piece
