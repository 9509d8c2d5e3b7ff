"""The gate over HTTP: OpenID AuthZEN Authorization API 1.0, and the permits it hands out.

A refusal is HTTP 200 with ``decision: false`` and reasons; 4xx and 5xx are for questions that could not be asked. A caller
that cannot read an answer as ``decision: true`` must take it for no.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from pydantic import ValidationError

from api.auth import Backend, KeyHolder
from api.calls import Call
from api.errors import Problem
from api.gate import Answer, Question, ask, reasons_to_json, redeem, withheld
from api.proofs import PROOF_PARAMETER, needs_key, proof_with
from api.schemas import (
    Decision,
    Decisions,
    Evaluation,
    Evaluations,
    GivenEmbedding,
    PermitRedeemed,
    PermitShown,
    WorkDone,
    WorkNoted,
)
from api.service import Service, TheService
from api.tables import PermitRow
from consent.canonical import write_instant
from consent.dpop import DpopProblem, DpopProof
from consent.gate import Obligations, Permit, sign_permit, verify_permit
from liveness.errors import EngineError
from liveness.template import FaceTemplate, template

router = APIRouter(tags=["gate"], route_class=Call)

_SEMANTICS = ("execute_all", "deny_on_first_deny", "permit_on_first_permit")


@router.post("/access/v1/evaluation", response_model_exclude_none=True, openapi_extra=PROOF_PARAMETER)
def evaluation(body: Evaluation, backend: Backend, service: TheService, request: Request) -> Decision:
    """May this backend make this, with these faces, now? A ``DPoP`` header proves its key, for all tokens in the question."""
    proof = proof_with(request, service, body.resource.properties.consent_tokens)
    return _decision(service, _asked(service, backend, body, proof))


@router.post("/access/v1/evaluations", response_model_exclude_none=True, openapi_extra=PROOF_PARAMETER)
def evaluations(body: Evaluations, backend: Backend, service: TheService, request: Request) -> Decisions:
    """Several questions at once. What is left out of one is taken from the top level. One ``DPoP`` header is for them all."""
    semantic = (body.options or {}).get("evaluations_semantic", _SEMANTICS[0])
    if semantic not in _SEMANTICS:
        raise Problem("request_invalid", f"evaluations_semantic is one of {', '.join(_SEMANTICS)}")
    common = body.model_dump(include={"subject", "action", "resource", "context"}, exclude_none=True)
    try:
        questions = [Evaluation.model_validate(common | one) for one in body.evaluations]
    except ValidationError as error:
        where = [{"where": ".".join(map(str, e["loc"])), "why": e["type"]} for e in error.errors()][:20]
        raise Problem("request_invalid", "see errors", more={"errors": where}) from None
    shown = [token for question in questions for token in question.resource.properties.consent_tokens]
    proof = proof_with(request, service, shown)
    answers: list[Decision] = []
    for question in questions:
        answers.append(_decision(service, _asked(service, backend, question, proof)))
        if semantic == "deny_on_first_deny" and not answers[-1].decision:
            break
        if semantic == "permit_on_first_permit" and answers[-1].decision:
            break
    return Decisions(evaluations=answers)


@router.post("/v1/permits/redeem", openapi_extra=PROOF_PARAMETER)
def spend(body: PermitShown, backend: Backend, service: TheService, request: Request) -> PermitRedeemed:
    """Spend a permit, right before the work. It works once, for the job it was given for."""
    now = service.now()
    permit = verify_permit(body.permit, service.keys.public, audience=backend.name, now=now)
    if permit.job_sha256 != body.job_sha256:
        raise Problem("permit_invalid", "it is for another job")
    _by_its_holder(request, service, permit, body.permit)
    with service.database.transaction() as store:
        why = redeem(service, store, permit)
        if why is not None:
            raise Problem(why)
    return PermitRedeemed(
        permit_id=permit.permit_id, redeemed_at=now, obligations=obligations_to_json(permit.obligations)
    )


@router.post("/v1/permits/complete", openapi_extra=PROOF_PARAMETER)
def complete(body: WorkDone, backend: Backend, service: TheService, request: Request) -> WorkNoted:
    """Say what was made: the hash of the output. May come after the permit's time, not without its redemption.

    ``release`` is whether the output may leave the backend: the records are read again here, and a consent that ended
    while the work ran withholds it. The hash is kept either way.
    """
    now = service.now()
    permit = _own_permit(service, body.permit, backend)
    _by_its_holder(request, service, permit, body.permit)
    with service.database.transaction() as store:
        row = store.get(PermitRow, permit.permit_id, lock=True)
        if row is None or row.redeemed_at is None:
            raise Problem("permit_not_redeemed")
        if row.completed_at is not None and row.output_sha256 != body.output_sha256:
            raise Problem("permit_spent", "another output was handed in")
        if row.completed_at is None:
            row.completed_at, row.output_sha256 = now, body.output_sha256
        why = withheld(service, store, permit, now=now)
    return WorkNoted(permit_id=permit.permit_id, completed_at=row.completed_at, release=why is None, code=why)


def _by_its_holder(request: Request, service: Service, permit: Permit, compact: str) -> None:
    """A permit is used by whoever proved the key it was given for, and a backend with a key of its own proves that one."""
    proof = proof_with(request, service, [compact])
    with service.database.transaction() as store:
        registered = store.backend_jkt(permit.backend)
    needs_key(proof, permit.jkt, registered)


def _own_permit(service: Service, compact: str, backend: KeyHolder) -> Permit:
    """A permit of ours for this backend, also one that has ended: it is read as of when it was issued."""
    with service.database.transaction() as store:
        issued_at = store.permit_issued_at(permit_id_unverified(compact))
    return verify_permit(
        compact, service.keys.public, audience=backend.name, now=service.now() if issued_at is None else issued_at
    )


def permit_id_unverified(compact: str) -> str:
    """The id that this text claims, to look the permit up by; nothing follows from it before it is verified."""
    import base64
    import json

    try:
        part = compact.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return str(claims["jti"])[:200]
    except (IndexError, KeyError, TypeError, ValueError):
        raise Problem("permit_invalid") from None


def _asked(service: Service, backend: KeyHolder, body: Evaluation, proof: DpopProof | DpopProblem | None) -> Answer:
    if body.subject.id != backend.name:
        raise Problem("forbidden", "a backend asks for itself only")
    claim = body.resource.properties
    return ask(
        service,
        Question(
            caller=backend.key_id,
            backend=backend.name,
            stage="evaluation",
            purpose=body.context.purpose,
            job_sha256=body.context.job_sha256,
            seconds=body.context.seconds,
            script=body.context.script,
            tokens=tuple(claim.consent_tokens),
            media=tuple(claim.media),
            media_owner=backend.key_id,
            embeddings=tuple(_embedding(given, service) for given in claim.embeddings),
            proof=proof,
            maker=body.context.maker,
            categories=None if body.context.categories is None else tuple(body.context.categories),
            territories=None if body.context.territories is None else tuple(body.context.territories),
        ),
    )


def _embedding(given: GivenEmbedding, service: Service) -> FaceTemplate | None:
    """``None`` when it is not one of ours: the gate then finds a face that cannot be judged."""
    if given.contract_id != service.faces.embedder.contract_id:
        return None
    try:
        return template(np.array(given.vector, np.float32), contract_id=given.contract_id)
    except EngineError:
        return None


def _decision(service: Service, answer: Answer) -> Decision:
    context: dict[str, Any] = {
        "attempt_id": answer.attempt_id,
        "reasons": reasons_to_json(answer.outcome, answer.requests),
    }
    if isinstance(answer.outcome, Permit):
        context |= permit_to_json(service, answer.outcome)
    return Decision(decision=isinstance(answer.outcome, Permit), context=context)


def permit_to_json(service: Service, permit: Permit) -> dict[str, Any]:
    return {
        "permit": sign_permit(permit, service.keys.active),
        "permit_id": permit.permit_id,
        "expires_at": write_instant(permit.expires_at),
        "obligations": obligations_to_json(permit.obligations),
    }


def obligations_to_json(obligations: Obligations) -> dict[str, Any]:
    return {
        "visible_label": obligations.visible_label,
        "manifest": obligations.manifest,
        "max_seconds": obligations.max_seconds,
    }
