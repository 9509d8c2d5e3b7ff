"""Pages of "My likeness": what a person agreed to, what was done with it, and everything they can do about it.

A page shows; what a person does there goes to the API by a script, as an app would call it. Which of several consents a page
is about stands in its address (``?consent=``), and is looked for among the person's own.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response

from api import look_alikes, persons
from api.audit_search import Page
from api.auth import Person
from api.books import settle_all
from api.browser_sessions import PersonHere, SignedIn
from api.erasure import KEPT
from api.errors import Problem
from api.look_alike_lookups import availability
from api.my_likeness import (
    OFFERED,
    Asked,
    Mine,
    asked_of,
    backends_to_try,
    blocks,
    mine,
    portrait_of,
    said_for_later,
)
from api.pages import PageRoute, language_of, page
from api.persons import Self
from api.purges import purge_to_json
from api.service import Service, TheService
from api.settings import NOT_NAMED
from api.storage import Store
from api.tables import SessionRow
from consent import terms as agreed
from consent.content import NAMES, ContentCategory
from consent.record import LONGEST_TERM
from consent.terms import Purpose, Reader
from consent.territory import WORLD
from liveness.session import SessionState

router = APIRouter(prefix="/my", route_class=PageRoute, include_in_schema=False)

Consent = Annotated[str | None, Query(max_length=100)]
Cursor = Annotated[str | None, Query(max_length=200)]
Said = Annotated[str, Query(max_length=20)]
_PLAIN = re.compile(r"[a-z_]{0,20}")
_A_PAGE, _LATELY, _MOST_PURGES = 20, 3, 200
_PICTURES = ((b"\x89PNG", "image/png"), (b"RIFF", "image/webp"), (b"\xff\xd8", "image/jpeg"))


@router.get("")
def overview(
    request: Request, who: PersonHere, service: TheService, consent: Consent = None, said: Said = ""
) -> Response:
    """How it stands, what waits for an answer, who may use it, and what happened lately."""
    settle_all(service)
    with service.database.transaction() as store:
        seen = _Seen(request, service, store, who, consent)
        waiting: list[Asked] = []
        over: list[Asked] = []
        for one in seen.all:
            asked, answered = asked_of(service, store, one.consent_id, now=seen.now)
            waiting, over = waiting + (asked if one.stands else []), over + answered
        lately = persons.attempts(store, seen.me, cursor=None, most=_LATELY)
        face = portrait_of(service, store, seen.one.row) is not None and not seen.one.for_another
        return seen.page("my.html", "home", said=said, waiting=waiting, over=over[:5], lately=lately.hits, face=face)


@router.get("/face")
def face(request: Request, who: PersonHere, service: TheService, consent: Consent = None) -> Response:
    """The picture that is kept of this person, for themself."""
    with service.database.transaction() as store:
        seen = _Seen(request, service, store, who, consent)
        picture = None if seen.one.for_another else portrait_of(service, store, seen.one.row)
    if picture is None:
        raise Problem("not_found")
    kind = next((kind for start, kind in _PICTURES if picture.startswith(start)), "application/octet-stream")
    return Response(picture, media_type=kind)


@router.get("/clips")
def clips(
    request: Request, who: PersonHere, service: TheService, consent: Consent = None, cursor: Cursor = None
) -> Response:
    """Everything that was made, to watch where it is there."""
    with service.database.transaction() as store:
        seen = _Seen(request, service, store, who, consent)
        found = persons.uses(store, seen.me, cursor=cursor, most=_A_PAGE)
        shown = []
        for hit in found.hits:
            if hit.kind == "use" and hit.body["clip_id"] is not None:
                continue  # its clip is in the list itself
            under = [] if hit.kind == "use" else store.consents_of_clip(hit.body["clip_id"])
            own = next((one.consent_id for one in seen.all if one.consent_id in under), None)
            shown.append({"kind": hit.kind, "by_consent": own} | hit.body)
        return seen.page("my-clips.html", "clips", clips=shown, next=found.next, first=cursor is None)


@router.get("/activity")
def activity(
    request: Request,
    who: PersonHere,
    service: TheService,
    consent: Consent = None,
    cursor: Cursor = None,
    show: Annotated[str, Query(pattern="^(tries|looks|alikes)$")] = "tries",
    said: Said = "",
) -> Response:
    """Who asked, also who was refused; who looked; and what was told of faces like theirs."""
    settle_all(service)
    with service.database.transaction() as store:
        seen = _Seen(request, service, store, who, consent)
        shows = "tries" if seen.one.for_another else show
        values: dict[str, Any] = {}
        match shows:
            case "tries":
                found: Page = persons.attempts(store, seen.me, cursor=cursor, most=_A_PAGE)
            case "looks":
                found = persons.looks(store, seen.me, now=seen.now, cursor=cursor, most=_A_PAGE)
            case _:
                found = look_alikes.alerts(store, seen.me, cursor=cursor, most=_A_PAGE)
                said_yes = look_alikes.statement_of(store, seen.me.consent_id)
                words = agreed.current(seen.language, Reader.LOOK_ALIKES)
                values = {
                    "available": availability(service, store).value == "on",
                    "told_since": None if said_yes is None else said_yes.at,
                    "words": words,
                    "blocks": blocks(words.text),
                }
        return seen.page(
            "my-activity.html",
            "activity",
            show=shows,
            hits=found.hits,
            next=found.next,
            first=cursor is None,
            said=said,
            **values,
        )


@router.get("/choices")
def choices(
    request: Request, who: PersonHere, service: TheService, consent: Consent = None, said: Said = ""
) -> Response:
    """All that is allowed, each part to be made less; and a dry run."""
    with service.database.transaction() as store:
        seen = _Seen(request, service, store, who, consent)
        tried = backends_to_try(store, seen.one.record)
        return seen.page("my-choices.html", "choices", said=said, to_try=tried, every_purpose=list(Purpose))


@router.get("/record")
def record(request: Request, who: PersonHere, service: TheService, consent: Consent = None) -> Response:
    """What was agreed to, a sentence for each fact."""
    with service.database.transaction() as store:
        seen = _Seen(request, service, store, who, consent)
        words = seen.one.words
        later = None if seen.one.for_another else said_for_later(store, seen.me.subject_id)
        return seen.page(
            "my-record.html", "record", words=words, blocks=[] if words is None else blocks(words.text), later=later
        )


@router.get("/words/{sha256}.txt")
def exact_words(sha256: str, who: PersonHere) -> Response:
    """Words that were ever agreed to, byte for byte: their SHA-256 is the one in the record."""
    words = agreed.by_sha256(sha256)
    if words is None:
        raise Problem("not_found")
    headers = {"Content-Disposition": f'attachment; filename="words-{words.version}-{words.language}.txt"'}
    return Response(words.text.encode(), media_type="text/plain; charset=utf-8", headers=headers)


@router.get("/check")
def check(
    request: Request,
    who: PersonHere,
    service: TheService,
    consent: Consent = None,
    wanted: Annotated[str, Query(alias="for", pattern="^(time|more)$")] = "time",
    session: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """A new live check, for more time or for more; after one for more time, until when."""
    with service.database.transaction() as store:
        seen = _Seen(request, service, store, who, consent)
        if seen.one.for_another:
            raise Problem("not_found")
        found = None if session is None else store.get(SessionRow, session)
        theirs = found is not None and found.subject_id == seen.me.subject_id
        passed = theirs and found is not None and found.state == SessionState.PASSED and seen.now < found.expires_at
        words = agreed.current(seen.language)
        spoken = (
            seen.language if seen.language in service.faces.languages else min(service.faces.languages, default="en")
        )
        return seen.page(
            "my-check.html",
            "choices",
            wanted=wanted,
            session=session if passed else None,
            late=session is not None and not passed,
            words=words,
            blocks=blocks(words.text),
            spoken=spoken,
            latest=seen.now + LONGEST_TERM - timedelta(days=1),
        )


@router.get("/take-back")
def take_back(request: Request, who: PersonHere, service: TheService, consent: Consent = None) -> Response:
    """One screen and one button; afterwards, who still has to delete what, and how long they have."""
    with service.database.transaction() as store:
        seen = _Seen(request, service, store, who, consent)
        rows = store.purges(consent_id=seen.one.consent_id, most=_MOST_PURGES)
        owed = [purge_to_json(row, now=seen.now) for row in rows]
        return seen.page("my-end.html", "end", purges=owed)


@router.get("/data")
def data(request: Request, who: PersonHere, service: TheService, consent: Consent = None) -> Response:
    """Take everything along, or have it deleted."""
    with service.database.transaction() as store:
        return _Seen(request, service, store, who, consent).page("my-data.html", "data", kept=len(KEPT))


class _Seen:
    """Who is at the page, all consents of theirs, and the one that the page is about."""

    def __init__(self, request: Request, service: Service, store: Store, who: Person, consent_id: str | None) -> None:
        self.request, self.service, self.now = request, service, service.now()
        self.language = language_of(request)
        me, signed_in = persons.who_asks(store, who, or_for_them=True), cast(SignedIn, request.state.signed_in)
        found = [mine(store, one, now=self.now) for one in signed_in.consents]
        self.all: list[Mine] = [one for one in found if one is not None]
        named = consent_id if consent_id is not None else _default(self.all, me.consent_id)
        chosen = next((one for one in self.all if one.consent_id == named), None)
        if chosen is None:
            raise Problem("not_found")
        self.one = chosen
        self.me = Self(consent_id=chosen.consent_id, subject_id=me.subject_id, for_another=chosen.for_another)

    def page(self, template: str, here: str, *, said: str = "", **values: Any) -> Response:
        several = len(self.all) > 1
        return page(
            self.request,
            template,
            area="my",
            here=here,
            said=said if _PLAIN.fullmatch(said) else "",
            one=self.one,
            record=self.one.record,
            consents=self.all,
            several=several,
            query=f"?consent={self.one.consent_id}" if several else "",
            offered=OFFERED,
            categories=NAMES[self.language],
            every_category=list(ContentCategory),
            world=WORLD,
            now=self.now,
            not_named=NOT_NAMED,
            **values,
        )


def _default(found: list[Mine], asked_with: str) -> str:
    """The latest that still stands, or else the one that they came with."""
    return next((one.consent_id for one in found if one.stands), asked_with)
