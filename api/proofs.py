"""Proofs of keys (DPoP, RFC 9449) as they come with a call: read, and taken once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import Request

from api.errors import Problem
from api.service import Service
from consent.dpop import KEPT_FOR, DpopCode, DpopProblem, DpopProof, key_problem, verify_proof

HEADER = "DPoP"
PROOF_PARAMETER: dict[str, Any] = {
    "parameters": [
        {
            "name": HEADER,
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": "proof of the backend's key (RFC 9449); needed once it registered one",
        }
    ]
}
"""For the description of calls that take a proof; it is read here and not by the framework, which would take one of several."""


def proof_with(request: Request, service: Service, tokens: Iterable[str]) -> DpopProof | DpopProblem | None:
    """What the call proves of its caller's key, for these tokens; ``None`` when it brings no proof.

    The address it must be for is made from ``MIEN_PUBLIC_URL``, not from the ``Host`` that the caller states.
    """
    shown = request.headers.getlist(HEADER)
    if not shown:
        return None
    if len(shown) > 1:  # RFC 9449, 4.3, 1
        return DpopProblem(DpopCode.DPOP_INVALID)
    return take_proof(request, service, shown[0], tokens)


def take_proof(request: Request, service: Service, compact: str, tokens: Iterable[str] = ()) -> DpopProof | DpopProblem:
    """The proof in this text for this call, remembered so that it is never taken again; or why it is none."""
    found = verify_proof(
        compact,
        method=request.method,
        address=service.settings.public_url + request.url.path,
        now=service.now(),
        tokens=tokens,
    )
    if isinstance(found, DpopProof):
        with service.database.transaction() as store:
            if not store.see_proof(found.replay_id, forget_after=found.issued_at + KEPT_FOR):
                return DpopProblem(DpopCode.DPOP_REPLAYED)
    return found


def needs_key(proof: DpopProof | DpopProblem | None, *wanted: str | None) -> None:
    """Raises the problem that says why the call is not by the holder of these keys; nothing when it is."""
    code = key_problem(proof, *wanted)
    if code is not None:
        raise Problem(code.value)
