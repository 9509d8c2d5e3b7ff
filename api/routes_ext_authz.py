"""The gate as a filter in front of a generator: Envoy's ``ext_authz`` over HTTP, and whatever else asks before it forwards.

The filter sends the call it holds, with its method, path and body, to this address and the same path. The call brings
its permit in ``Mien-Permit``; it is spent for the job that the call is (:func:`consent.job.job_of_request`). 200 lets
the call through; anything else, and no answer, must not: ``failure_mode_allow: false``. See docs/examples/envoy-ext-authz.yaml.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from api.auth import Backend, KeyHolder
from api.calls import Call
from api.errors import Problem
from api.gate import redeem
from api.proofs import needs_key, proof_with
from api.routes_gate import obligations_to_json
from api.service import Service, TheService
from consent.gate import Permit, verify_permit
from consent.job import job_of_request, job_sha256

PREFIX = "/access/v1/ext-authz"
HEADER = "Mien-Permit"

router = APIRouter(route_class=Call, include_in_schema=False)


@router.api_route(PREFIX + "/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def check(path: str, request: Request, backend: Backend, service: TheService) -> Response:
    """Spend the permit of the call that a filter holds."""
    body = await request.body()
    permit = await run_in_threadpool(_spent, service, backend, request, f"/{path}", body)
    told = {
        "Mien-Permit-Id": permit.permit_id,
        "Mien-Obligations": json.dumps(obligations_to_json(permit.obligations), separators=(",", ":")),
    }
    return Response(status_code=200, headers=told)


def _spent(service: Service, backend: KeyHolder, request: Request, path: str, body: bytes) -> Permit:
    """The permit, redeemed. Raises: Problem, ConsentError."""
    shown = request.headers.getlist(HEADER)
    if len(shown) != 1 or not shown[0]:
        raise Problem("permit_invalid", "one Mien-Permit is wanted")
    try:
        stated = json.loads(body, object_pairs_hook=_without_repeats) if body else {}
    except ValueError:
        raise Problem("job_invalid", "the body is no JSON object", status=403) from None
    if not isinstance(stated, dict):
        raise Problem("job_invalid", "the body is no JSON object", status=403)
    query = request.url.query
    digest = job_sha256(job_of_request(request.method, path + (f"?{query}" if query else ""), stated))
    permit = verify_permit(shown[0], service.keys.public, audience=backend.name, now=service.now())
    if permit.job_sha256 != digest:
        raise Problem("permit_invalid", "it is for another job")
    proof = proof_with(request, service, [shown[0]])
    with service.database.transaction() as store:
        registered = store.backend_jkt(permit.backend)
    needs_key(proof, permit.jkt, registered)
    with service.database.transaction() as store:
        why = redeem(service, store, permit)
        if why is not None:
            raise Problem(why)
    return permit


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A repeated member is read one way by one program and another way by the next."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("repeated member")
    return found
