"""The gate over HTTP: OpenID AuthZEN Authorization API 1.0, and the permits it hands out.

A refusal is HTTP 200 with ``decision: false`` and reasons; 4xx and 5xx are for questions that could not be asked. A caller
that cannot read an answer as ``decision: true`` must take it for no.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from api import outputs, routes_media
from api.auth import Backend, BackendLately, KeyHolder, backend_lately
from api.calls import Call, Handler, answering, read_body
from api.clip_registry import register, register_others
from api.errors import Problem
from api.gate import Answer, Question, asking, reasons_to_json, redeem, withheld
from api.outputs import OUTPUT_KIND
from api.proofs import HEADER, PROOF_PARAMETER, needs_key, proof_with
from api.schemas import (
    Decision,
    Decisions,
    Evaluation,
    Evaluations,
    GateContext,
    GivenEmbedding,
    PermitRedeemed,
    PermitShown,
    WorkDone,
    WorkNoted,
)
from api.service import Service, TheService
from api.steps import AT_LENGTH, Steps, finish, follow
from api.tables import PermitRow
from consent.canonical import write_instant
from consent.dpop import DpopProblem, DpopProof
from consent.errors import ConsentInvalid
from consent.gate import Obligations, Permit, sign_permit, verify_permit
from consent.job import Job, hidden_inputs, job_sha256, read_job
from liveness.errors import EngineError
from liveness.template import FaceTemplate, template

router = APIRouter(tags=["gate"], route_class=Call)

EVALUATION = "/access/v1/evaluation"
"""The address of the one call that everything waits for."""

_SEMANTICS = ("execute_all", "deny_on_first_deny", "permit_on_first_permit")
_WANTED = {"subject": "backend", "action": "generate", "resource": "likeness"}
_REQUIRED = {"subject": ("type", "id"), "action": ("name",), "resource": ("type", "id")}


async def evaluation(body: Evaluation, backend: BackendLately, service: TheService, request: Request) -> Response:
    """May this backend make this, with these faces, now? A ``DPoP`` header proves its key, for all tokens in the question."""

    answer = await follow(_evaluating(request, service, backend, body), request.app.state.gate_threads)
    return Response(answer, media_type="application/json")


def _evaluating(request: Request, service: Service, backend: KeyHolder, body: Evaluation) -> Steps[str]:
    if HEADER in request.headers:
        yield AT_LENGTH  # a proof is written down, so that it is never taken again
    proof = proof_with(request, service, body.resource.properties.consent_tokens)
    decision = yield from _answering(service, backend, body, proof)
    return decision.model_dump_json(exclude_none=True)


async def _evaluate(request: Request) -> Response:
    """What the framework does for :func:`evaluation`: finding out what it wants, for this call and every other, takes the
    framework longer than the gate takes to decide."""
    backend = await backend_lately(request)
    body = await read_body(request, Evaluation)
    return await evaluation(body, backend, request.app.state.service, request)


evaluate = answering(_evaluate)


class _Evaluated(Call):
    def get_route_handler(self) -> Handler:
        return evaluate


router.add_api_route(
    EVALUATION,
    evaluation,
    methods=["POST"],
    response_model=Decision,
    openapi_extra=PROOF_PARAMETER,
    route_class_override=_Evaluated,
)


@router.post("/access/v1/evaluations", response_model_exclude_none=True, openapi_extra=PROOF_PARAMETER)
def evaluations(body: Evaluations, backend: Backend, service: TheService, request: Request) -> Decisions | Decision:
    """Several questions at once. What is left out of one is taken from the top level. One ``DPoP`` header is for them all.

    A question that cannot be read is answered with no, in its place; the others are answered all the same.
    """
    semantic = (body.options or {}).get("evaluations_semantic", _SEMANTICS[0])
    if semantic not in _SEMANTICS:
        raise Problem("request_invalid", f"evaluations_semantic is one of {', '.join(_SEMANTICS)}")
    common = body.model_dump(include={"subject", "action", "resource", "context"}, exclude_none=True)
    if not body.evaluations:
        try:
            only = Evaluation.model_validate(common)
        except ValidationError as error:
            raise Problem("request_invalid", "see errors", more={"errors": _faults(error)}) from None
        proof = proof_with(request, service, only.resource.properties.consent_tokens)
        return finish(_answering(service, backend, only, proof))
    questions = [_read(_with_defaults(common, one)) for one in body.evaluations]
    read = [question for question in questions if isinstance(question, Evaluation)]
    proof = proof_with(
        request, service, [token for question in read for token in question.resource.properties.consent_tokens]
    )
    answers: list[Decision] = []
    for question in questions:
        answers.append(
            question
            if isinstance(question, Decision)
            else finish(_answering(service, backend, question, proof, batch=True))
        )
        if semantic == "deny_on_first_deny" and not answers[-1].decision:
            break
        if semantic == "permit_on_first_permit" and answers[-1].decision:
            break
    return Decisions(evaluations=answers)


def _with_defaults(common: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
    """A question of a batch with what it leaves out: whole entities, and of one that is there the members that it must have."""
    whole = common | one
    for entity, members in _REQUIRED.items():
        own, default = one.get(entity), common.get(entity)
        if isinstance(own, dict) and isinstance(default, dict):
            whole[entity] = {name: default[name] for name in members if name in default} | own
    return whole


def _read(question: dict[str, Any]) -> Evaluation | Decision:
    try:
        return Evaluation.model_validate(question)
    except ValidationError as error:
        return _unanswerable("request_invalid", 400, "the question cannot be read", errors=_faults(error))


def _faults(error: ValidationError) -> list[dict[str, str]]:
    return [{"where": ".".join(map(str, e["loc"])), "why": e["type"]} for e in error.errors()][:20]


def _unanswerable(code: str, status: int, message: str, **more: Any) -> Decision:
    """No, because it was not asked in a way that the gate could answer. It is no attempt: nobody's likeness was asked for."""
    error = {"status": status, "code": code, "message": message} | more
    return Decision(decision=False, context={"reasons": [{"code": code}], "error": error})


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
    """Hand in what was made: its hash, and the clip itself. May come after the permit's time, not without its redemption.

    ``release`` is whether the output may leave the backend. It may not where the clip shows anybody but the people of
    the permit, or not all of them, or lacks label or manifest or is too long; nor where a consent ended while the work
    ran: the records are read again here. One that was completed by its hash alone may be handed in later: the same
    output, and no other. With ``mark`` it comes without marks and goes back with them. What may leave is written down, so
    that copies of it lead to its consents.
    """
    now = service.now()
    permit = _own_permit(service, body.permit, backend)
    _by_its_holder(request, service, permit, body.permit)
    if body.mark and body.output is None:
        raise Problem("request_invalid", "only a clip that is handed in can be marked")
    with service.database.transaction() as store:
        row = store.get(PermitRow, permit.permit_id)
        if row is None or row.redeemed_at is None:
            raise Problem("permit_not_redeemed")
        if body.mark and row.completed_at is not None:
            raise Problem("permit_spent", "its clip was handed in")
    found = outputs.check(service, permit, backend, media_id=body.output, sha256=body.output_sha256, raw=body.mark)
    marked = None
    if body.mark and body.output is not None and not found.reasons:
        made_by = body.made_by or backend.name
        marked = outputs.with_marks(service, permit, backend, media_id=body.output, made_by=made_by)
    sha256 = body.output_sha256 if marked is None else marked.sha256
    with service.database.transaction() as store:
        row = store.get(PermitRow, permit.permit_id, lock=True)
        if row is None or row.redeemed_at is None:
            raise Problem("permit_not_redeemed")
        if row.completed_at is not None and row.output_sha256 != sha256:
            raise Problem("permit_spent", "another output was handed in")
        if row.completed_at is None:
            row.completed_at, row.output_sha256 = now, sha256
        why = withheld(service, store, permit, now=now)
        reasons = outputs.keep(
            service,
            store,
            permit,
            backend,
            found.reasons,
            sha256=sha256,
            handed_in=body.output is not None,
            handles=tuple(body.handles),
        )
        code = why or (reasons[0]["code"] if reasons else None)
        output = None
        if marked is not None and code is None:
            output = routes_media.keep(service, store, backend, marked.content, routes_media.Seen(OUTPUT_KIND, [], []))
            register(
                store,
                permit_id=permit.permit_id,
                backend=backend.name,
                clip_id=None,
                file_sha256=sha256,
                watermark=marked.watermark,
                looks=marked.looks,
                now=now,
            )
        elif code is None:
            register_others(
                store,
                permit_id=permit.permit_id,
                backend=permit.backend,
                file_sha256=sha256,
                looks=found.looks,
                now=now,
            )
    return WorkNoted(
        permit_id=permit.permit_id,
        completed_at=row.completed_at,
        release=code is None,
        code=code,
        reasons=reasons,
        output=None if output is None else output.media_id,
        output_sha256=sha256,
        registered=code is None,
    )


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


def _answering(
    service: Service,
    backend: KeyHolder,
    body: Evaluation,
    proof: DpopProof | DpopProblem | None,
    *,
    batch: bool = False,
) -> Steps[Decision]:
    """The answer to one question: of the gate, or that it is none that the gate could answer."""
    asked = {"subject": body.subject.type, "action": body.action.name, "resource": body.resource.type}
    if asked != _WANTED:
        return _unanswerable("not_understood", 400, "a backend may ask to generate with a likeness, and nothing else")
    if body.context is None:
        return _unanswerable("not_understood", 400, "the context states purpose and job")
    if body.subject.id != backend.name:
        if batch:
            return _unanswerable("forbidden", 403, "a backend asks for itself only")
        raise Problem("forbidden", "a backend asks for itself only")
    try:
        job, digest = _job(body.context)
    except ConsentInvalid as error:
        if batch:
            return _unanswerable(error.code, 400, str(error))
        raise
    question = _question(service, backend, body, body.context, job, digest, proof)
    return _decision(service, (yield from asking(service, question)))


def _job(context: GateContext) -> tuple[Job | None, str]:
    """The job, if it was shown, and its hash. Raises: ConsentInvalid."""
    if context.job is None:
        if context.job_sha256 is None:
            raise ConsentInvalid("the context has neither job nor job_sha256", code="job_invalid")
        return None, context.job_sha256
    job = read_job(context.job)
    hidden_inputs(job)  # can be looked through; what is in it is for the gate to judge
    digest = job_sha256(job)
    if context.job_sha256 not in (None, digest):
        raise ConsentInvalid("job_sha256 is not the hash of the job", code="job_invalid")
    return job, digest


def _question(
    service: Service,
    backend: KeyHolder,
    body: Evaluation,
    context: GateContext,
    job: Job | None,
    digest: str,
    proof: DpopProof | DpopProblem | None,
) -> Question:
    claim = body.resource.properties
    return Question(
        caller=backend.key_id,
        backend=backend.name,
        stage="evaluation",
        purpose=context.purpose,
        job_sha256=digest,
        seconds=context.seconds,
        script=_words(context.script, job),
        tokens=tuple(claim.consent_tokens),
        media=tuple(claim.media),
        media_owner=backend.key_id,
        embeddings=tuple(_embedding(given, service) for given in claim.embeddings),
        proof=proof,
        maker=context.maker,
        categories=None if context.categories is None else tuple(context.categories),
        territories=None if context.territories is None else tuple(context.territories),
        job=job,
        handles=tuple(claim.handles),
        voices=tuple((voice.media_id, voice.token) for voice in claim.voices),
        by_key=True,
        unread=tuple(sorted(f"properties/{name}" for name in claim.model_extra or ())),
    )


def _words(script: str | None, job: Job | None) -> str | None:
    """All words that will be said or shown: a prompt may put some into a mouth, too. Not stated stays not stated."""
    if script is None or job is None or job.prompt is None:
        return script
    return f"{script}\n{job.prompt}"


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
        "retention_s": obligations.retention_s,
    }
