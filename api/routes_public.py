"""What anyone may read: the terms and the keys; and what the operator watches."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from api.balance import Balance, balance
from api.calls import Call
from api.errors import Problem
from api.look_alike_index import Availability
from api.look_alike_lookups import availability
from api.look_alike_search import Way
from api.schemas import TermsShown
from api.service import TheService
from api.status import StatusLists
from consent import terms as agreed
from consent.attempts import OutcomeKind
from consent.content import NAMES
from consent.status_list import MEDIA_TYPE
from consent.terms import Reader

router = APIRouter(route_class=Call)

_LIST_ID = re.compile(r"stl_[0-9a-f]{32}")
_LATEST_S = 253_402_300_799  # the last second of the year 9999


@router.get("/v1/terms/{language}", tags=["consent"])
def terms(
    language: str, reader: Annotated[Reader, Query(alias="for", description="whom the words are for")] = Reader.SUBJECT
) -> TermsShown:
    """The exact words, their version and their hash. A consent names the hash of what was shown. `?for=representative`: the
    words for somebody who agrees on another's behalf; `?for=look_alikes`: those about being told of look-alikes."""
    if language not in agreed.languages():
        raise Problem("not_found", f"written in {', '.join(agreed.languages())}")
    shown = agreed.current(language, reader)
    return TermsShown(
        version=shown.version, language=shown.language, reader=shown.reader, text=shown.text, sha256=shown.sha256
    )


@router.get("/v1/content-categories/{language}", tags=["consent"])
def content_categories(language: str) -> dict[str, str]:
    """What clips may be about, as limits and statements name it, and what each is called."""
    if language not in NAMES:
        raise Problem("not_found", f"named in {', '.join(NAMES)}")
    return {category.value: name for category, name in NAMES[language].items()}


@router.get("/.well-known/jwks.json", tags=["keys and log"])
def jwks(service: TheService) -> JSONResponse:
    """Public keys of records, checkpoints, tokens and permits."""
    return JSONResponse(
        service.keys.public.to_jwks(), media_type="application/jwk-set+json", headers={"Cache-Control": "max-age=300"}
    )


@router.get("/v1/provenance/anchor", tags=["keys and log"])
def anchor(service: TheService) -> PlainTextResponse:
    """The certificate (PEM) that the manifests of our clips are trusted under."""
    return PlainTextResponse(service.keys.authority.ca_cert_pem, media_type="application/x-pem-file")


@router.get("/.well-known/authzen-configuration", tags=["gate"])
def authzen(service: TheService) -> JSONResponse:
    """Where the gate is (OpenID AuthZEN Authorization API 1.0, metadata). There is no search: nobody may ask who would
    be allowed what."""
    here = service.settings.public_url
    return JSONResponse(
        {
            "policy_decision_point": here,
            "access_evaluation_endpoint": f"{here}/access/v1/evaluation",
            "access_evaluations_endpoint": f"{here}/access/v1/evaluations",
        },
        headers={"Cache-Control": "max-age=300"},
    )


@router.get(
    "/v1/status/{list_id}",
    tags=["keys and log"],
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {}}}},
)
def status_list(
    list_id: str,
    request: Request,
    service: TheService,
    time: Annotated[
        int | None, Query(ge=0, le=_LATEST_S, description="UNIX seconds: the list as it stood then")
    ] = None,
) -> Response:
    """What became of consents, as their tokens name it (draft-ietf-oauth-status-list): a signed list of two bits each, which
    tells nothing to who holds no token."""
    if not _LIST_ID.fullmatch(list_id):
        raise Problem("not_found")
    lists: StatusLists = request.app.state.status_lists
    at = None if time is None else datetime.fromtimestamp(time, UTC)
    found = lists.current(service, list_id) if at is None else lists.past(service, list_id, at)
    if found is None:
        raise Problem("not_found", "no such list, or not at that time")
    kept_s = max(1, found.fresh_for // timedelta(seconds=1))
    return Response(
        found.jwt,
        media_type=MEDIA_TYPE,
        headers={
            "Cache-Control": f"public, max-age={kept_s}",
            "Access-Control-Allow-Origin": "*",  # wallets and pages of others check tokens too (draft, 8.1)
            "Cross-Origin-Resource-Policy": "cross-origin",
        },
    )


@router.get("/healthz", tags=["operation"])
def healthz() -> dict[str, str]:
    """This process answers."""
    return {"status": "ok"}


@router.get("/readyz", tags=["operation"])
def readyz(service: TheService) -> dict[str, Any]:
    """Everything that a request needs is there."""
    try:
        with service.database.transaction() as store:
            alive = store.alive()
            workers = store.workers_heard(seconds=15)
            alerts = availability(service, store)
    except Exception as error:
        raise Problem("not_ready", "the database does not answer") from error
    if not alive:
        raise Problem("not_ready", "the database does not answer")
    return {
        "status": "ready",
        "languages": sorted(service.faces.languages),
        "worker": "there" if workers else "not heard of",
        "look_alikes": alerts.value,
        "policy": service.settings.policy,
        "minimum_assurance": service.settings.minimum_assurance.value,
    }


@router.get("/metrics", tags=["operation"])
def metrics(request: Request, service: TheService) -> PlainTextResponse:
    """Counts in the Prometheus text format (0.0.4). No names, no ids."""
    with service.database.transaction() as store:
        counts = store.counts()
        books = balance(store, now=service.now())
        reasons = store.gate_reasons()
        on = availability(service, store) is Availability.ON
        searched = service.look_alikes.way(store.look_alike_index) if on else None
    lines = []
    for name, (labels, text) in _METRICS.items():
        lines += [f"# HELP mien_{name} {text}", f"# TYPE mien_{name} gauge"]
        for values, number in counts[name]:
            pairs = ",".join(f"{label}={json.dumps(value)}" for label, value in zip(labels, values, strict=True))
            lines.append(f"mien_{name}{{{pairs}}} {number}")
    lines += [
        "# HELP mien_look_alikes_searched_in where faces are looked up now, if anywhere",
        "# TYPE mien_look_alikes_searched_in gauge",
        *(f'mien_look_alikes_searched_in{{place="{way.value}"}} {int(way is searched)}' for way in Way),
        "# HELP mien_attempts_without_outcome questions to the gate that were never answered; anything but 0 is a fault",
        "# TYPE mien_attempts_without_outcome gauge",
        f"mien_attempts_without_outcome {books.books.overdue}",
        "# HELP mien_notices_heard whether this process hears of changes at once; if not, it still reads them",
        "# TYPE mien_notices_heard gauge",
        f"mien_notices_heard {int(request.app.state.notices.is_listening)}",
    ]
    lines += _gate_lines(books, reasons)
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def _gate_lines(found: Balance, reasons: list[tuple[str, str, int]]) -> list[str]:
    """The gate's books: attempts = permits + refusals + errors, and nothing may ever have failed open."""
    totals = (
        ("attempts", "questions to the gate", found.books.attempts),
        ("permits", "of them answered with a permit", found.books.permits),
        ("errors", "of them that the gate could not decide, and refused", found.books.errors),
        ("fail_open", "permits that should not exist; anything but 0 is a fault", found.fail_open),
    )
    lines = []
    for name, text, number in totals:
        lines += [f"# HELP mien_gate_{name}_total {text}", f"# TYPE mien_gate_{name}_total counter"]
        lines.append(f"mien_gate_{name}_total {number}")
    lines += ["# HELP mien_gate_refusals_total refused; without a reason: all of them, each once"]
    lines += [
        "# TYPE mien_gate_refusals_total counter",
        f'mien_gate_refusals_total{{reason=""}} {found.books.refusals}',
    ]
    lines += [
        f"mien_gate_refusals_total{{reason={json.dumps(reason)}}} {number}"
        for kind, reason, number in reasons
        if kind == OutcomeKind.REFUSAL
    ]
    return [
        *lines,
        "# HELP mien_gate_unlogged_seconds how long the oldest question or answer waits for the log; over 60 is a fault",
        "# TYPE mien_gate_unlogged_seconds gauge",
        f"mien_gate_unlogged_seconds {found.waits_s:.3f}",
        "# HELP mien_gate_books_hold 1 while every attempt has one outcome or is being answered, and gets into the log",
        "# TYPE mien_gate_books_hold gauge",
        f"mien_gate_books_hold {int(found.books.holds and found.settled)}",
    ]


_METRICS = {
    "sessions": (("state",), "live checks by state"),
    "verdicts": (("outcome", "assurance"), "verdicts by outcome"),
    "verdict_reasons": (("code",), "reasons of verdicts that were not live"),
    "consents": (("state",), "consents granted and revoked"),
    "decisions": (("decision",), "answers of the gate"),
    "refusals": (("code",), "reasons of refusals"),
    "clips": (("state",), "clips by state"),
    "jobs": (("task", "queue", "status"), "jobs by queue; those with the status todo wait"),
    "webhook_deliveries": (("state",), "messages to backends and apps; dead ones wait for an admin"),
    "look_alikes": (
        ("what",),
        "people who want to be told of look-alikes, lookups that wait, and alerts that were told",
    ),
    "purges": (("state",), "deletions asked of backends; overdue ones are refused at the gate"),
}
