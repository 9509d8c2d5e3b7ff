"""Pictures of people that a permit releases. Nothing else gives a generator a person's reference.

Only after the permit was redeemed, by whoever proves the key that it is bound to, within its time, and while every consent
behind it holds. Each picture that leaves is an event that the person sees.
"""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request, Response

from api.audit_events import AuditAction, note
from api.auth import Backend, KeyHolder
from api.calls import Call
from api.errors import Problem
from api.gate import ended
from api.media import Erased
from api.proofs import PROOF_PARAMETER, needs_key, proof_with
from api.schemas import Reference, References
from api.service import Service, TheService
from api.storage import Store
from api.tables import ConsentRow, PermitConsentRow, PermitRow
from consent.gate import RETENTION_S
from consent.terms import Purpose

router = APIRouter(prefix="/v1/permits/{permit_id}/references", tags=["gate"], route_class=Call)


@router.get("", openapi_extra=PROOF_PARAMETER)
def references(permit_id: str, request: Request, backend: Backend, service: TheService) -> References:
    """What this permit releases: a picture of each person of it."""
    _by_its_key(request, service, backend, permit_id)
    with service.database.transaction() as store:
        row = _usable(service, store, permit_id)
        consents = [store.get(ConsentRow, consent_id) for consent_id in store.consents_of_permit(permit_id)]
        return References(
            permit_id=permit_id,
            expires_at=row.expires_at,
            delete_by=row.issued_at + timedelta(seconds=RETENTION_S),
            references=[
                Reference(
                    consent_id=consent.consent_id,
                    subject_id=consent.subject_id,
                    kind="portrait",
                    href=f"{service.settings.public_url}/v1/permits/{permit_id}/references/{consent.consent_id}",
                )
                for consent in consents
                if consent is not None and consent.portrait_id is not None
            ],
        )


@router.get(
    "/{consent_id}",
    openapi_extra=PROOF_PARAMETER,
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}, "image/png": {}}, "description": "the person's portrait"}},
)
def portrait(permit_id: str, consent_id: str, request: Request, backend: Backend, service: TheService) -> Response:
    """The portrait of one person of this permit. That it was given out is in the books before it leaves, and the person
    sees it."""
    now = service.now()
    _by_its_key(request, service, backend, permit_id)
    with service.database.transaction() as store:
        row = _usable(service, store, permit_id)
        consent = store.consent_shared(consent_id)  # a withdrawal comes before this or after it, never between
        if consent is None or store.get(PermitConsentRow, (permit_id, consent_id)) is None:
            raise Problem("not_found")
        why = ended(
            service,
            store,
            backend=row.backend,
            purpose=Purpose(row.purpose),
            consents=store.consents_of_permit(permit_id),
            now=now,
        )
        if why is not None:
            raise Problem(why)
        try:
            content = service.vault.get(store, consent.portrait_id, owner=consent_id)
        except Erased:
            raise Problem("media_erased") from None
        note(
            store,
            AuditAction.REFERENCE_RELEASED,
            by=backend,
            now=now,
            subject_id=consent.subject_id,
            consent_id=consent_id,
            backend=backend.name,
            object_id=permit_id,
        )
    kind = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
    return Response(content, media_type=kind, headers={"Cache-Control": "no-store"})


def _by_its_key(request: Request, service: Service, backend: KeyHolder, permit_id: str) -> None:
    """A permit without a key releases nothing: whoever copied its text would have the face."""
    proof = proof_with(request, service, ())
    with service.database.transaction() as store:
        row = store.get(PermitRow, permit_id)
        registered = store.backend_jkt(backend.name)
    if row is None or row.backend != backend.name:
        raise Problem("not_found")
    if row.jkt is None:
        raise Problem("dpop_missing", "this permit is bound to no key; register one and ask the gate again")
    needs_key(proof, row.jkt, registered)


def _usable(service: Service, store: Store, permit_id: str) -> PermitRow:
    """The permit, redeemed, in its time, and before its work was handed in."""
    row = store.get(PermitRow, permit_id)
    if row is None:
        raise Problem("not_found")
    if row.redeemed_at is None:
        raise Problem("permit_not_redeemed")
    if row.completed_at is not None:
        raise Problem("permit_spent", "its work was handed in")
    if not row.issued_at <= service.now() < row.expires_at:
        raise Problem("permit_expired")
    return row
