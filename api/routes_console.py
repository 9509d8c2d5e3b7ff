"""The audit console: pages for auditors and admins. What they show comes from the functions behind the API, so that every look
that is an event there is one here; what they change, their scripts change by calling the API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from api import charts, routes_audit, routes_authorities, routes_backends
from api.audit_events import AuditAction, note
from api.audit_search import SearchKind, read_cursor, write_cursor
from api.auth import KeyHolder, Role
from api.browser_sessions import Kind, SignedIn, StaffHere
from api.consents import record_of
from api.errors import Problem
from api.overview import overview
from api.pages import PageRoute, Words, language_of, page
from api.purges import purge_to_json
from api.rotation import keys_listed
from api.schemas import Id, Name, Sha256
from api.service import Service, TheService
from api.tables import ConsentRow
from consent.attempts import OutcomeKind
from consent.authority_case import CaseStage
from consent.canonical import write_instant
from consent.errors import ConsentError
from consent.events import ConsentState
from consent.ledger import SALT_BYTES
from liveness.reasons import ADVICE, Reason

router = APIRouter(prefix="/console", route_class=PageRoute, include_in_schema=False)

Reader = Annotated[KeyHolder, StaffHere(Role.AUDITOR, Role.ADMIN)]
Chief = Annotated[KeyHolder, StaffHere(Role.ADMIN)]
"""Who may read the console, and who may also decide."""

_PAGE_LENGTH = 30
_MOST = 200
_AREA = "console"
_NAVIGATION = ("overview", "search", "openings", "claims", "backends", "keys", "access", "staff")
_ADMINS_ONLY = frozenset({"openings", "staff"})


def _page(
    request: Request, template: str, who: KeyHolder, here: str, *, status: int = 200, **values: Any
) -> HTMLResponse:
    words = Words(_AREA, language_of(request))
    items = [
        ("/console" if name == "overview" else f"/console/{name}", words(f"nav_{name}"), name)
        for name in _NAVIGATION
        if who.role is Role.ADMIN or name not in _ADMINS_ONLY
    ]
    return page(
        request,
        f"console_{template}.html",
        area=_AREA,
        status=status,
        who=who,
        is_admin=who.role is Role.ADMIN,
        items=items,
        here=here,
        charts=charts,
        instant=_instant,
        span=lambda seconds: _span(words, seconds),
        **values,
    )


def _instant(at: datetime | str | None) -> str:
    """As auditors compare times: in UTC, to the second."""
    if at is None:
        return ""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(words: Words, seconds: float) -> str:
    """A length of time in one unit, rounded down: nothing is shown younger than it is."""
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= length * (2 if unit != "minutes" else 1):
            return words(f"span_{unit}", n=int(seconds // length))
    return words("span_seconds", n=max(0, int(seconds)))


# --- overview --------------------------------------------------------------------------------------------------------


@router.get("")
def first(request: Request, who: Reader, service: TheService) -> Response:
    """How the gate stands now."""
    with service.database.transaction() as store:
        found = overview(service, store)
    return _page(request, "overview", who, "overview", view=found)


# --- search ----------------------------------------------------------------------------------------------------------


Short = Annotated[str, StringConstraints(max_length=64)]


class Terms(BaseModel):
    """The fields of the search form. Empty ones are not sought."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: SearchKind | None = None
    subject: Id | None = None
    consent: Id | None = None
    backend: Name | None = None
    reason: Short | None = None
    output_sha256: Sha256 | None = None
    state: Short | None = None
    authority: Short | None = None
    action: AuditAction | None = None
    actor: Id | None = None


_TERMS = TypeAdapter(Terms)
_TIMES = ("from", "to")
_STATES = (*OutcomeKind, *(state for state in ConsentState if state not in ("unknown", "requested", "deferred")))


@router.get("/search")
def find(request: Request, who: Reader, service: TheService) -> Response:
    """Records, attempts and events. Nothing is looked up before something is asked for: every look is told to people."""
    asked, faults, found = _asked(request), [], None
    terms: Terms | None = None
    times: dict[str, datetime] = {}
    try:
        terms = _TERMS.validate_python({name: value for name, value in asked.items() if name not in _TIMES})
    except ValidationError as error:
        faults += sorted({str(each["loc"][0]) for each in error.errors()})
    for name in _TIMES:
        if name in asked:
            try:
                times[name] = _utc(asked[name])
            except ValueError:
                faults.append(name)
    wanted = "go" in request.query_params or bool(asked) or "cursor" in request.query_params
    if wanted and not faults and terms is not None:
        try:
            found = routes_audit.find(
                who,
                service,
                kind=None if terms.kind is None else [terms.kind],
                subject=terms.subject,
                consent=terms.consent,
                backend=terms.backend,
                reason=terms.reason,
                output_sha256=terms.output_sha256,
                state=terms.state,
                authority=terms.authority,
                action=None if terms.action is None else terms.action.value,
                actor=terms.actor,
                since=times.get("from"),
                until=times.get("to"),
                cursor=request.query_params.get("cursor"),
                limit=_PAGE_LENGTH,
            )
        except Problem as problem:
            if problem.code != "cursor_invalid":
                raise
            faults.append("cursor")
    saved = routes_audit.views(who, service)["views"]
    return _page(
        request,
        "search",
        who,
        "search",
        asked=asked,
        faults=faults,
        found=found,
        older=_older(asked, found),
        saved=[view | {"href": "?" + urlencode({"go": "1"} | view["query"])} for view in saved],
        kinds=list(SearchKind),
        states=_STATES,
        actions=list(AuditAction),
        names=_names(service),
    )


def _asked(request: Request) -> dict[str, str]:
    names = {*Terms.model_fields, *_TIMES}
    return {name: value.strip() for name, value in request.query_params.items() if name in names and value.strip()}


def _older(asked: Mapping[str, str], found: Any) -> str | None:
    following = None if found is None else found.next
    return None if following is None else "?" + urlencode({"go": "1"} | dict(asked) | {"cursor": following})


def _utc(written: str) -> datetime:
    """A time from a form, which has no zone: it is meant as UTC, as all times here."""
    at = datetime.fromisoformat(written)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _names(service: Service) -> dict[str, str]:
    """Of everyone who holds a key, by its id."""
    with service.database.transaction() as store:
        return {row.key_id: row.name for row in store.api_keys()}


# --- one person, one record, one live check ----------------------------------------------------------------------------


@router.get("/people/{subject_id}")
def person(subject_id: Id, request: Request, who: Reader, service: TheService, cursor: str | None = None) -> Response:
    """All that happened with one person's likeness."""
    found = routes_audit.life(subject_id, who, service, cursor=cursor, limit=_PAGE_LENGTH)
    older = None if found.next is None else "?" + urlencode({"cursor": found.next})
    return _page(
        request, "person", who, "search", subject_id=subject_id, found=found, older=older, names=_names(service)
    )


@router.get("/records/{consent_id}")
def record(consent_id: Id, request: Request, who: Reader, service: TheService) -> Response:
    """One consent: what was agreed, what happened to it, who owes a deletion, and whether all of that can be shown."""
    try:
        shown = routes_audit.consent(consent_id, who, service)
        with service.database.transaction() as store:
            agreed = record_of(store, consent_id)
    except ConsentError:  # somebody altered it: the page is there to say so
        shown, agreed = _torn(service, who, consent_id), None
    owed = routes_backends.countdown(consent_id, who, service).purges
    with service.database.transaction() as store:
        row = store.get(ConsentRow, consent_id)
        provable = row is not None and len(row.salt) == SALT_BYTES
    return _page(
        request,
        "record",
        who,
        "search",
        shown=shown,
        agreed=agreed,
        owed=owed,
        provable=provable,
        names=_names(service),
    )


def _torn(service: Service, who: KeyHolder, consent_id: str) -> dict[str, Any]:
    """What is left to show of a record whose events cannot be read."""
    with service.database.transaction() as store:
        row = store.get(ConsentRow, consent_id)
        if row is None:
            raise Problem("not_found")
        note(
            store,
            AuditAction.CONSENT_READ,
            by=who,
            now=service.now(),
            subject_id=row.subject_id,
            consent_id=consent_id,
        )
        return {
            "consent_id": consent_id,
            "subject_id": row.subject_id,
            "session_id": row.session_id,
            "granted_at": write_instant(row.granted_at),
            "expires_at": write_instant(row.expires_at),
        }


@router.get("/records/{consent_id}/evidence")
def evidence(consent_id: Id, who: Reader, service: TheService) -> Response:
    """The evidence pack, to keep."""
    return routes_audit.evidence(consent_id, who, service)


@router.get("/checks/{session_id}")
def check(session_id: Id, request: Request, who: Reader, service: TheService) -> Response:
    """One live check: what was asked, and every check of every verdict against its limit."""
    shown = routes_audit.session(session_id, who, service)
    chinese = language_of(request) == "zh"
    verdicts = []
    for verdict in reversed(shown["verdicts"]):
        checks = sorted(verdict.get("checks", []), key=lambda one: _FIRST.get(one["outcome"], 0))
        verdicts.append(
            verdict
            | {
                "checks": checks,
                "advice": [_advice(code, chinese=chinese) for code in verdict.get("reasons", [])],
                "failed": sum(one["outcome"] != "pass" for one in checks),
            }
        )
    return _page(request, "check", who, "search", shown=shown, verdicts=verdicts)


_FIRST = {"fail": 0, "cannot_judge": 1, "pass": 2}


def _advice(code: str, *, chinese: bool) -> tuple[str, str]:
    try:
        said = ADVICE[Reason(code)]
    except (KeyError, ValueError):
        return code, ""
    return code, said.zh if chinese else said.en


# --- what needs two people ---------------------------------------------------------------------------------------------


@router.get("/openings")
def openings(request: Request, who: Chief, service: TheService) -> Response:
    """Leave to look at biometric media: asked for, given, over."""
    found = routes_audit.openings_asked_for(who, service, limit=50)["openings"]
    return _page(
        request,
        "openings",
        who,
        "openings",
        found=found,
        wanted=request.query_params.get("object", ""),
        minutes=service.settings.opening_minutes,
        names=_names(service),
        now=service.now(),
    )


@router.get("/claims")
def claims(request: Request, who: Reader, service: TheService) -> Response:
    """Claims to speak for somebody, those that wait for a reviewer first to be chosen."""
    stage = request.query_params.get("stage") or None
    cursor = request.query_params.get("cursor")
    if stage is not None and stage not in tuple(CaseStage):
        raise Problem("not_found")
    with service.database.transaction() as store:
        after = None if cursor is None else read_cursor(cursor)
        rows = store.claims(stage=stage, after=after, most=_PAGE_LENGTH + 1)
        shown, more = rows[:_PAGE_LENGTH], len(rows) > _PAGE_LENGTH
        note(
            store,
            AuditAction.CLAIMS_LISTED,
            by=who,
            now=service.now(),
            shown={row.subject_id for row in shown},
            more={"found": len(shown)},
        )
        found = [
            {"case_id": row.case_id, "kind": row.kind, "subject_state": row.subject_state, "stage": row.stage}
            | {"jurisdiction": row.jurisdiction, "opened_at": row.opened_at, "subject_id": row.subject_id}
            for row in shown
        ]
    following = {"cursor": write_cursor((shown[-1].opened_at, shown[-1].case_id))} if more else None
    older = None if following is None else "?" + urlencode(following | ({} if stage is None else {"stage": stage}))
    return _page(request, "claims", who, "claims", found=found, stage=stage, older=older, stages=list(CaseStage))


@router.get("/claims/{case_id}")
def claim(case_id: Id, request: Request, who: Reader, service: TheService) -> Response:
    """One claim: its papers, its photographs, who signed, and the review."""
    language = language_of(request)
    shown = routes_authorities.look(case_id, who, service, language=language)
    course = routes_authorities.course(case_id, who, service)
    mine = [event for event in course.events if event.actor == who.key_id and event.step in ("approve", "refuse")]
    return _page(
        request,
        "claim",
        who,
        "claims",
        claim=shown,
        course=list(reversed(course.events)),
        reviewable=shown.stage in (CaseStage.DOCUMENTS, CaseStage.CHECKED_ONCE),
        reviewed=bool(mine),
        names=_names(service),
    )


# --- generators, keys, people ------------------------------------------------------------------------------------------


@router.get("/backends")
def backends(request: Request, who: Reader, service: TheService) -> Response:
    """Who owes a deletion, who confirmed one, who is refused for it, and which messages never arrived."""
    now = service.now()
    blocked = routes_backends.blocked(who, service).blocked
    dead = routes_backends.dead(who, service, limit=50).deliveries if who.role is Role.ADMIN else None
    with service.database.transaction() as store:
        owed = [purge_to_json(row, now=now) for row in store.purges(confirmed=False, most=_MOST)]
        confirmed = [purge_to_json(row, now=now) for row in store.purges(confirmed=True, most=_MOST)]
        registered = [(row.backend, row.jkt, row.registered_at) for row in store.backend_keys()]
        named = sorted({*store.backend_names()})
    by_name: dict[str, list[Any]] = {}
    for one in blocked:
        by_name.setdefault(one.backend, []).append(one)
    return _page(
        request,
        "backends",
        who,
        "backends",
        blocked=by_name,
        dead=dead,
        owed=owed,
        confirmed=confirmed[::-1],
        registered=registered,
        named=named,
        now=now,
    )


@router.get("/keys")
def keys(request: Request, who: Reader, service: TheService) -> Response:
    """Which keys there are, what each does, and since when. No secret is on this page."""
    now = service.now()
    with service.database.transaction() as store:
        under = store.under_masters()
    since = service.ring.since()
    listed = [key | {"since": since.get(key["id"])} for key in keys_listed(service.keys, under)]
    return _page(request, "keys", who, "keys", listed=listed, now=now)


@router.get("/access")
def access(request: Request, who: Reader, service: TheService) -> Response:
    """Who looked at what, latest first."""
    asked = {name: value for name in ("actor", "action") if (value := request.query_params.get(name, "").strip())}
    try:
        terms = _TERMS.validate_python(asked)
    except ValidationError:  # nobody's form sends that
        raise Problem("not_found") from None
    found = routes_audit.find(
        who,
        service,
        kind=[SearchKind.EVENT],
        action=None if terms.action is None else terms.action.value,
        actor=terms.actor,
        cursor=request.query_params.get("cursor"),
        limit=_PAGE_LENGTH,
    )
    return _page(
        request,
        "access",
        who,
        "access",
        asked=asked,
        found=found,
        older=None if found.next is None else "?" + urlencode(asked | {"cursor": found.next}),
        actions=list(AuditAction),
        names=_names(service),
        staff=_staff(service),
    )


@router.get("/staff")
def staff(request: Request, who: Chief, service: TheService) -> Response:
    """Who holds a key, what it lets them do, and where they are signed in."""
    now = service.now()
    with service.database.transaction() as store:
        rows = store.api_keys()
        people = [
            {"key_id": row.key_id, "name": row.name, "role": row.role, "since": row.created_at, "ended": row.revoked_at}
            | {
                "passkeys": store.passkeys(key_id=row.key_id, consents=()),
                "sessions": [
                    one
                    for one in store.browser_sessions(key_id=row.key_id, consents=(), now=now)
                    if now - one.last_seen_at < Kind.STAFF.idle
                ],
            }
            for row in rows
        ]
        signed_in: SignedIn = request.state.signed_in
        return _page(request, "staff", who, "staff", people=people, session_here=signed_in.session_id, now=now)


def _staff(service: Service) -> list[tuple[str, str]]:
    """Auditors and admins, by id and name."""
    with service.database.transaction() as store:
        return [(row.key_id, row.name) for row in store.api_keys() if row.role in (Role.AUDITOR, Role.ADMIN)]
