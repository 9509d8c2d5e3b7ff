"""For backends and apps: the key that they prove to hold, where they hear of changes, what they must delete, and what an
admin does when they do not."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request

from api import purges, webhooks
from api.auth import Admin, AnyCaller, AppOrBackend, Backend, KeyHolder, Person, Role
from api.calls import Call
from api.errors import Problem
from api.outbound import AddressRefused
from api.proofs import PROOF_PARAMETER, needs_key, proof_with, take_proof
from api.schemas import (
    BackendKey,
    BlockedBackends,
    Deliveries,
    DeliveryState,
    Excuse,
    Excused,
    Name,
    NewBackendKey,
    PurgeAsked,
    PurgeConfirmed,
    Purges,
    PurgeState,
    PurgeStatement,
    WebhookState,
    WebhookWanted,
)
from api.service import TheService
from api.storage import Store
from api.tables import BackendKeyRow, ConsentRow, DeliveryRow, PurgeRow, WebhookRow
from consent.dpop import DpopProof

log = logging.getLogger("mien.gate")

router = APIRouter(route_class=Call)

_LATEST = 20  # deliveries shown with a webhook
_MOST = 200

_AS_SHOWN = NewBackendKey()

Most = Annotated[int, Query(ge=1, le=_MOST)]


# --- the key -----------------------------------------------------------------------------------------------------------


@router.put("/v1/backends/self/key", tags=["gate"], openapi_extra=PROOF_PARAMETER)
def register(request: Request, backend: Backend, service: TheService, body: NewBackendKey = _AS_SHOWN) -> BackendKey:
    """Register the key that the ``DPoP`` header proves. From then on tokens for this backend are bound to it, and its
    questions without it are refused. To change it, prove the old key in the header and the new one in ``next_proof``: an
    API key alone must not be enough to take a backend's place."""
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


@router.get("/v1/backends/self/key", tags=["gate"])
def registered(backend: Backend, service: TheService) -> BackendKey:
    """The key that this backend registered, by its thumbprint (RFC 7638)."""
    with service.database.transaction() as store:
        row = store.get(BackendKeyRow, backend.name)
    if row is None:
        raise Problem("not_found", "no key is registered")
    return BackendKey(backend=row.backend, jkt=row.jkt, registered_at=row.registered_at)


# --- webhooks --------------------------------------------------------------------------------------------------------


@router.put("/v1/backends/self/webhook", tags=["webhooks"])
def listen(body: WebhookWanted, who: AppOrBackend, service: TheService) -> WebhookState:
    """Hear of changes at an address of yours. The secret is in the answer when it was made just now, and never again."""
    with service.database.transaction() as store:
        try:
            registered = webhooks.register(service, store, who.key_id, body.url, body.events, now=service.now())
        except AddressRefused as error:
            raise Problem("webhook_url_refused", more={"reason": error.code}) from None
        return _webhook(store, registered)


@router.get("/v1/backends/self/webhook", tags=["webhooks"])
def listening(who: AppOrBackend, service: TheService) -> WebhookState:
    """Your webhook and what was last sent to it."""
    with service.database.transaction() as store:
        return _webhook(store, webhooks.looked_up(service, store, _own_webhook(store, who)))


@router.post("/v1/backends/self/webhook/rotate", tags=["webhooks"])
def rotate(who: AppOrBackend, service: TheService) -> WebhookState:
    """New secrets. The old ones sign along for 24 hours."""
    with service.database.transaction() as store:
        return _webhook(store, webhooks.rotate(service, store, _own_webhook(store, who), now=service.now()))


@router.post("/v1/backends/self/webhook/test", status_code=202, tags=["webhooks"])
def try_out(who: AppOrBackend, service: TheService) -> DeliveryState:
    """Send yourself ``webhook.test``. Look at your webhook to see what became of it."""
    with service.database.transaction() as store:
        row = _own_webhook(store, who)
        return _delivery(webhooks.send_test(store, row, now=service.now()))


@router.delete("/v1/backends/self/webhook", status_code=204, tags=["webhooks"])
def listen_no_more(who: AppOrBackend, service: TheService) -> None:
    """Hear nothing any more. Deadlines for deletions run on: see ``GET /v1/purges``."""
    with service.database.transaction() as store:
        webhooks.remove(service, store, _own_webhook(store, who), now=service.now())


@router.get("/v1/webhooks/dead", tags=["webhooks"])
def dead(_: Admin, service: TheService, limit: Most = 50) -> Deliveries:
    """Messages that were given up, latest first."""
    with service.database.transaction() as store:
        return Deliveries(deliveries=[_delivery(row) for row in store.deliveries(dead=True, most=limit)])


@router.post("/v1/webhooks/deliveries/{delivery_id}/resend", status_code=202, tags=["webhooks"])
def send_again(delivery_id: str, admin: Admin, service: TheService) -> DeliveryState:
    """Begin a message that was given up again, with all its tries."""
    with service.database.transaction() as store:
        row = store.get(DeliveryRow, delivery_id, lock=True)
        if row is None:
            raise Problem("not_found")
        if row.dead_at is None:
            raise Problem("delivery_not_dead")
        webhooks.resend(store, row, actor=admin.key_id, now=service.now())
        return _delivery(row)


def _own_webhook(store: Store, who: KeyHolder) -> WebhookRow:
    row = store.webhook_of(who.key_id)
    if row is None:
        raise Problem("not_found")
    return row


def _webhook(store: Store, registered: webhooks.Registered) -> WebhookState:
    row = registered.row
    return WebhookState(
        webhook_id=row.webhook_id,
        url=row.url,
        events=[webhooks.Event(event) for event in row.events],
        public_key=registered.secrets.public_key,
        secret=registered.secrets.shared_secret if registered.fresh else None,
        disabled=row.disabled_code,
        latest=[_delivery(one) for one in store.deliveries(webhook_id=row.webhook_id, most=_LATEST)],
    )


def _delivery(row: DeliveryRow) -> DeliveryState:
    return DeliveryState(
        delivery_id=row.delivery_id,
        event=row.event,
        state="delivered" if row.delivered_at is not None else "dead" if row.dead_at is not None else "waiting",
        tries=row.tries,
        code=row.last_code,
        created_at=row.created_at,
        next_at=row.next_at,
    )


# --- purges ----------------------------------------------------------------------------------------------------------


@router.get("/v1/purges", tags=["purges"])
def owed(backend: Backend, service: TheService, confirmed: bool = False, limit: Most = 50) -> Purges:
    """What this backend still has to delete, the nearest deadline first; or what it confirmed."""
    with service.database.transaction() as store:
        rows = store.purges(backend=backend.name, confirmed=confirmed, most=limit)
        return Purges(purges=[_purge(row, service.now()) for row in rows])


@router.get("/v1/purges/{purge_id}", tags=["purges"])
def asked(purge_id: str, backend: Backend, service: TheService) -> PurgeAsked:
    """One demand, with every permit that the backend spent under the consent."""
    with service.database.transaction() as store:
        row = _own_purge(store, purge_id, backend)
        return PurgeAsked(purge=_purge(row, service.now()), permits=store.permits_under(row.consent_id, row.backend))


@router.post("/v1/purges/{purge_id}/confirm", tags=["purges"])
def confirm(purge_id: str, body: PurgeStatement, backend: Backend, service: TheService) -> PurgeConfirmed:
    """Say that everything of this consent is deleted. The answer is the signed receipt; a block for it ends at once."""
    now = service.now()
    with service.database.transaction() as store:
        row = _own_purge(store, purge_id, backend, lock=True)
        receipt = purges.confirm_purge(
            service,
            store,
            row,
            assets_deleted=body.assets_deleted,
            deleted_at=body.at,
            backend_signature=body.signature,
            actor=backend.key_id,
            now=now,
        )
        return PurgeConfirmed(purge_id=row.purge_id, confirmed_at=row.confirmed_at or now, receipt=receipt)


@router.get("/v1/consents/{consent_id}/purges", tags=["purges"])
def countdown(consent_id: str, who: AnyCaller, service: TheService) -> Purges:
    """Who was asked to delete, who did, and how long the others have: for the person, the app and auditors."""
    with service.database.transaction() as store:
        row = store.get(ConsentRow, consent_id)
        match who:
            case Person():
                mine = row is not None and (who.consent_id == consent_id or who.session_id == row.session_id)
            case KeyHolder(role=Role.APP):
                mine = row is not None and row.app_key_id == who.key_id
            case KeyHolder(role=Role.AUDITOR | Role.ADMIN):
                mine = row is not None
            case _:
                mine = False
        if not mine:
            raise Problem("not_found")
        rows = store.purges(consent_id=consent_id, most=_MOST)
        return Purges(purges=[_purge(one, service.now()) for one in rows])


@router.get("/v1/backends/blocked", tags=["purges"])
def blocked(who: AnyCaller, service: TheService) -> BlockedBackends:
    """Demands for which a backend is refused now, for admins and auditors."""
    if not isinstance(who, KeyHolder) or who.role not in (Role.ADMIN, Role.AUDITOR):
        raise Problem("forbidden", "needs a key of role admin or auditor")
    now = service.now()
    with service.database.transaction() as store:
        rows = [row for row in store.overdue_purges(now) if row.excused_at is None]
        return BlockedBackends(blocked=[_purge(row, now) for row in rows])


@router.post("/v1/backends/{name}/unblock", tags=["purges"])
def unblock(name: Name, body: Excuse, admin: Admin, service: TheService) -> Excused:
    """Let a backend work again that did not confirm in time, for a reason that is written down."""
    with service.database.transaction() as store:
        excused = purges.excuse(store, name, actor=admin.key_id, reason=body.reason, now=service.now())
        if not excused:
            raise Problem("not_found", "this backend is not blocked")
        return Excused(backend=name, excused=excused)


def _own_purge(store: Store, purge_id: str, backend: KeyHolder, *, lock: bool = False) -> PurgeRow:
    row = store.get(PurgeRow, purge_id, lock=lock)
    if row is None or row.backend != backend.name:
        raise Problem("not_found")
    return row


def _purge(row: PurgeRow, now: datetime) -> PurgeState:
    return PurgeState.model_validate(purges.purge_to_json(row, now=now))
