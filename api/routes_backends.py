"""What a generator backend says of itself: the key that it will prove to hold with every question to the gate."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request

from api.auth import Backend
from api.calls import Call
from api.engines import GENERATORS
from api.errors import Problem
from api.proofs import PROOF_PARAMETER, needs_key, proof_with, take_proof
from api.schemas import BackendKey, NewBackendKey
from api.service import TheService
from api.tables import BackendKeyRow
from consent.dpop import DpopProof

log = logging.getLogger("mien.gate")

router = APIRouter(prefix="/v1/backends", tags=["gate"], route_class=Call)

_AS_SHOWN = NewBackendKey()


@router.put("/self/key", openapi_extra=PROOF_PARAMETER)
def register(request: Request, backend: Backend, service: TheService, body: NewBackendKey = _AS_SHOWN) -> BackendKey:
    """Register the key that the ``DPoP`` header proves. From then on tokens for this backend are bound to it, and its
    questions without it are refused. To change it, prove the old key in the header and the new one in ``next_proof``: an
    API key alone must not be enough to take a backend's place."""
    if backend.name in GENERATORS:
        raise Problem("forbidden", "this backend is part of the service and needs no key")
    proof = proof_with(request, service, ())
    with service.database.transaction() as store:
        known = store.backend_jkt(backend.name)
    needs_key(proof, known)
    following = None if body.next_proof is None else take_proof(request, service, body.next_proof)
    if following is not None:
        needs_key(following)
    wanted = proof if following is None else following
    if not isinstance(wanted, DpopProof):
        raise Problem("dpop_missing")
    with service.database.transaction() as store:
        if not store.register_backend(backend.name, wanted.jkt, instead_of=known, now=service.now()):
            raise Problem("key_mismatch", "another key was registered at the same time")
    log.info("backend %s registered the key %s", backend.name, wanted.jkt)
    return registered(backend, service)


@router.get("/self/key")
def registered(backend: Backend, service: TheService) -> BackendKey:
    """The key that this backend registered, by its thumbprint (RFC 7638)."""
    with service.database.transaction() as store:
        row = store.get(BackendKeyRow, backend.name)
    if row is None:
        raise Problem("not_found", "no key is registered")
    return BackendKey(backend=row.backend, jkt=row.jkt, registered_at=row.registered_at)
