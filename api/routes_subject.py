"""A person's rights, with the manage token of a consent: see every use, every attempt and everyone who looked; take
everything along; delete everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import StringConstraints

from api import look_alikes, persons
from api.audit_events import AuditAction, note
from api.auth import Subject
from api.books import settle_all
from api.calls import Call
from api.erasure import KEPT, erase
from api.errors import Problem
from api.export import export
from api.look_alike_lookups import availability
from api.schemas import Erasure, Listed, LookAlikes, LookAlikesAgreed, LookAlikesSaid
from api.service import TheService
from api.storage import Store
from api.tables import StatementRow
from consent import terms as agreed
from consent.keys import to_base64url
from consent.ledger import entry_json

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
    settle_all(service)
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
    settle_all(service)
    with service.database.transaction() as store:
        me = persons.who_asks(store, person)
        archive = export(service, store, me, now=now)
        note(store, AuditAction.DATA_EXPORTED, by=person, now=now, subject_id=me.subject_id)
    named = {"Content-Disposition": f'attachment; filename="mien-{me.subject_id}.zip"'}
    return StreamingResponse(_pieces(archive), media_type="application/zip", headers=named)


@router.get("/look-alikes")
def told_of_look_alikes(
    person: Subject, service: TheService, cursor: Cursor | None = None, limit: Limit = 50
) -> LookAlikes:
    """Whether you want to be told when somebody asks with a face like yours, and what you were told, latest first."""
    with service.database.transaction() as store:
        me = persons.who_asks(store, person)
        said = look_alikes.statement_of(store, me.consent_id)
        return LookAlikes(
            available=availability(service, store),
            agreed=None if said is None else _said(store, said),
            **look_alikes.alerts(store, me, cursor=cursor, most=limit).to_json(),
        )


@router.post("/look-alikes", status_code=201)
def tell_me_of_look_alikes(body: LookAlikesAgreed, person: Subject, service: TheService) -> LookAlikesSaid:
    """You want to be told. It is a yes of its own, to the words of `GET /v1/terms/{language}?for=look_alikes`, and ends with
    this consent. Twice changes nothing."""
    now = service.now()
    terms = agreed.by_sha256(body.terms_sha256)
    if terms is None:
        raise Problem("terms_unknown")
    with service.database.transaction() as store:
        me = persons.who_asks(store, person)
        return _said(store, look_alikes.ask_to_be_told(service, store, me, person, terms, now=now))


@router.delete("/look-alikes")
def tell_me_no_more(person: Subject, service: TheService) -> LookAlikesSaid:
    """You want to be told no more, from now on. The code made from your face is deleted with this call."""
    now = service.now()
    with service.database.transaction() as store:
        me = persons.who_asks(store, person)
        said = look_alikes.ask_no_more(service, store, me, person, now=now)
        if said is None:
            raise Problem("not_found", "you never asked to be told")
        return _said(store, said)


def _said(store: Store, row: StatementRow) -> LookAlikesSaid:
    return LookAlikesSaid(
        said=row.kind,
        at=row.at,
        record=row.record or "",
        entry=dict(entry_json(store.entries(row.ledger_index, 1)[0])),
        salt=None if row.salt is None else to_base64url(row.salt),
    )


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
