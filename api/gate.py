"""Asks the gate, and keeps the books: an attempt is written before anything is decided, its one outcome after.

Whatever fails on the way, the answer is a refusal. Attempts and outcomes must balance: attempts = permits + refusals +
errors. One that a crash left without an outcome is closed as an error by :mod:`api.balance`. Both go into the log, salted,
in the transaction that writes them.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from api.approvals import approval_of, ask_person
from api.authorities import stands
from api.consents import record_of
from api.ledger import append
from api.media import Erased, Unsealable, templates_from_bytes
from api.service import Service
from api.storage import Store, new_id
from api.tables import AttemptEntryRow, AttemptRow, ConsentRow, MediaRow, OutcomeRow, PermitConsentRow, PermitRow
from consent import tokens
from consent.attempts import ATTEMPT_KIND, OUTCOME_KIND, Attempt, Outcome, OutcomeKind, attempt_bytes, outcome_bytes
from consent.canonical import Malformed
from consent.content import ContentCategory
from consent.dpop import DpopProblem, DpopProof
from consent.errors import ConsentError, SignatureInvalid, TokenInvalid
from consent.gate import FaceSeen, GateCode, GateReason, Permit, Presented, Refusal, Use, decide
from consent.ledger import SALT_BYTES, commit
from consent.scope import ApprovalRule
from consent.status_list import Status
from consent.terms import Purpose
from consent.tokens import ConsentToken, TokenProblem, UnverifiedToken
from liveness.evidence import Box
from liveness.policy import STRICT
from liveness.template import FaceTemplate

log = logging.getLogger("mien.gate")

_NO_REQUESTS: Mapping[int, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be done with whose likeness.

    stage : ``evaluation`` (a backend asks), ``clip_request``, ``clip_start``, ``clip_release`` (our own generators).
    media_owner : key id of who handed the media in; others' media is never looked at.
    portraits : the stored portraits of the presented consents will be shown.
    own_permit : a permit that this very work was begun under; it does not count as another use.
    proof : what came with the question to prove the backend's key, read and taken already.
    maker, categories, territories : as in :class:`consent.gate.Use`.
    """

    caller: str
    backend: str
    stage: str
    purpose: Purpose
    job_sha256: str
    seconds: int | None
    script: str | None = field(repr=False)
    tokens: tuple[str, ...] = field(repr=False)
    media: tuple[str, ...] = ()
    media_owner: str
    embeddings: tuple[FaceTemplate | None, ...] = field(default=(), repr=False)
    portraits: bool = False
    own_permit: str | None = None
    proof: DpopProof | DpopProblem | None = None
    maker: str | None = None
    categories: tuple[ContentCategory, ...] | None = None
    territories: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The gate's answer to one attempt. ``requests``: by place of the token, what its person was asked."""

    attempt_id: str
    outcome: Permit | Refusal
    requests: Mapping[int, str] = field(default_factory=dict)


def ask(service: Service, question: Question) -> Answer:
    """Ask and answer.

    1. verify the tokens
    2. write the attempt, and commit it
    3. load records, templates and faces, with the consents locked against change
    4. decide; a backend that owes a deletion is refused whatever it asks; where only a person's own yes is missing, ask them
    5. write outcome and permit in the transaction of 3, and commit; only then is there an answer

    A failure in 3 to 5 is a refusal with ``gate_error``, written as the outcome if that can still be written.
    """
    now = service.now()
    attempt_id = new_id("att")
    requests: dict[int, str] = {}
    held = [_verified(service, token, question.backend) for token in question.tokens]  # 1
    claimed = [_consent_named(service, token) for token in question.tokens]
    with service.database.transaction() as store:  # 2
        write_attempt(
            store,
            AttemptRow(
                attempt_id=attempt_id,
                at=now,
                caller=question.caller,
                backend=question.backend,
                stage=question.stage,
                purpose=question.purpose,
                job_sha256=question.job_sha256,
                claimed={
                    "consents": sorted({consent_id for consent_id in claimed if consent_id is not None}),
                    "tokens": len(held),
                    "media": list(question.media),
                    "embeddings": len(question.embeddings),
                    "key": _key_shown(question.proof),
                    "maker": question.maker,
                    "categories": None if question.categories is None else [c.value for c in question.categories],
                    "territories": None if question.territories is None else list(question.territories),
                },
            ),
        )
    try:
        with service.database.transaction() as store:
            rows = store.consents_shared(token.consent_id for token in held if isinstance(token, ConsentToken))  # 3
            presented = [_presented(service, store, token, question, rows) for token in held]
            use = Use(
                backend=question.backend,
                purpose=question.purpose,
                faces=_faces(service, store, question, presented),
                job_sha256=question.job_sha256,
                seconds=question.seconds,
                minimum_assurance=service.settings.minimum_assurance,
                script=question.script,
                proof=question.proof,
                backend_jkt=store.backend_jkt(question.backend),
                maker=question.maker,
                categories=question.categories,
                territories=question.territories,
            )
            outcome: Permit | Refusal
            if store.backend_blocked(question.backend, now=service.now()):  # 4
                outcome = Refusal(reasons=(GateReason(code=GateCode.BACKEND_BLOCKED),))
            else:
                outcome = decide(use, presented, same_person=STRICT.same_person.value, permit_id=new_id("prm"), now=now)
            if isinstance(outcome, Refusal) and outcome.codes == (GateCode.APPROVAL_NEEDED,):
                requests = _asked_people(service, store, attempt_id, use, presented, outcome)
            _write(service, store, attempt_id, outcome, presented, requests)  # 5
    except Exception as error:  # whatever it is, it is not a yes
        log.error("attempt %s refused: the gate failed on a %s", attempt_id, type(error).__name__)
        outcome, requests = Refusal(reasons=(GateReason(code=GateCode.GATE_ERROR),)), {}
        try:
            with service.database.transaction() as store:
                _write(service, store, attempt_id, outcome, (), requests)
        except Exception as again:
            log.error("attempt %s has no outcome: %s", attempt_id, type(again).__name__)
    return Answer(attempt_id=attempt_id, outcome=outcome, requests=requests)


def _asked_people(
    service: Service, store: Store, attempt_id: str, use: Use, presented: Sequence[Presented], refusal: Refusal
) -> dict[int, str]:
    """Everyone whose yes is all that is missing is asked for it; the requests by place of the token."""
    asked: dict[int, str] = {}
    for reason in refusal.reasons:
        if reason.token_index is None:
            continue
        record = presented[reason.token_index].record
        request_id = None if record is None else ask_person(service, store, record.consent_id, use, attempt_id)
        if request_id is not None:
            asked[reason.token_index] = request_id
    return asked


def _key_shown(proof: DpopProof | DpopProblem | None) -> str | None:
    """For the books: the thumbprint that was proved, or why none was."""
    return proof.jkt if isinstance(proof, DpopProof) else None if proof is None else proof.code.value


def _verified(service: Service, token: str, backend: str) -> ConsentToken | TokenProblem:
    try:
        return tokens.verify(UnverifiedToken(token), service.keys.public, audience=backend, now=service.now())
    except TokenInvalid as error:
        return TokenProblem.of(error)


def _consent_named(service: Service, token: str) -> str | None:
    """The consent of a token that we signed, whether or not it is valid here and now: the person may know who tried."""
    try:
        claims = service.keys.public.open(token, typ=tokens.TOKEN_TYPE, max_chars=tokens.MAX_TOKEN_CHARS)
        return claims.text("cid")
    except (SignatureInvalid, Malformed):
        return None


def _presented(
    service: Service,
    store: Store,
    token: ConsentToken | TokenProblem,
    question: Question,
    rows: Mapping[str, ConsentRow],
) -> Presented:
    if isinstance(token, TokenProblem) or token.consent_id not in rows:
        return Presented(token=token, record=None, templates=())
    row = rows[token.consent_id]
    record = record_of(store, row.consent_id)
    return Presented(
        token=token,
        record=record,
        authority_stands=stands(service, store, record, question.purpose, now=service.now()),
        templates=_templates(service, store, row),
        salt=row.salt,
        uses_so_far=store.uses_of(row.consent_id, but=question.own_permit),
        status=store.status_of(row.consent_id),
        approval=approval_of(
            store,
            row.consent_id,
            backend=question.backend,
            purpose=question.purpose,
            job_sha256=question.job_sha256,
            own_permit=question.own_permit,
            now=service.now(),
        ),
    )


def _templates(service: Service, store: Store, row: ConsentRow) -> tuple[FaceTemplate, ...]:
    try:
        content = service.vault.get(store, row.templates_id, owner=row.consent_id)
    except Erased:
        return ()
    return tuple(template for template in templates_from_bytes(content) if template is not None)


def _faces(service: Service, store: Store, question: Question, presented: Sequence[Presented]) -> tuple[FaceSeen, ...]:
    """Every face that goes into the work; one that cannot be looked at is there and unjudged."""
    faces: list[FaceSeen] = []
    for media_id in question.media:
        faces += _faces_of_media(service, store, media_id, question.media_owner, first=len(faces))
    faces += [
        FaceSeen(index=len(faces) + n, media_id=None, box=None, template=template)
        for n, template in enumerate(question.embeddings)
    ]
    if question.portraits:
        # a portrait is shown for each token; with none at all, nobody's would be shown, which is for the gate to refuse
        shown = [one.templates[0] if one.templates else None for one in presented] or [None]
        faces += [
            FaceSeen(index=len(faces) + n, media_id=None, box=None, template=template)
            for n, template in enumerate(shown)
        ]
    return tuple(faces)


def _faces_of_media(service: Service, store: Store, media_id: str, owner: str, *, first: int) -> list[FaceSeen]:
    row = store.get(MediaRow, media_id)
    unjudged = [FaceSeen(index=first, media_id=media_id, box=None, template=None)]
    if row is None or row.key_id != owner:
        return unjudged
    try:
        templates = templates_from_bytes(service.vault.get(store, row.templates_id, owner=media_id))
    except (Erased, Unsealable):
        return unjudged
    return [
        FaceSeen(index=first + n, media_id=media_id, box=Box(**face["box"]), template=template)
        for n, (face, template) in enumerate(zip(row.faces, templates, strict=True))
    ]


def write_attempt(store: Store, row: AttemptRow) -> None:
    """Write a question down, and into the log. The log is locked first, so that all who write take locks in one order."""
    salt = secrets.token_bytes(SALT_BYTES)
    index = _into_the_log(store, ATTEMPT_KIND, attempt_bytes(attempt_of(row)), salt, row.at)
    store.add(row)
    store.add(AttemptEntryRow(attempt_id=row.attempt_id, at=row.at, salt=salt, attempt_index=index))


def write_outcome(store: Store, row: OutcomeRow) -> None:
    """Write the one answer to a question down, and into the log if the question is in there.

    Raises: a database error when there is an answer already; the transaction is then lost.
    """
    entry = store.attempt_entry(row.attempt_id)
    if entry is not None and entry.salt is not None:
        content = outcome_bytes(outcome_of(row))
        entry.outcome_index = _into_the_log(store, OUTCOME_KIND, content, entry.salt, row.at)
    store.add(row)


def _into_the_log(store: Store, kind: str, content: bytes, salt: bytes, at: datetime) -> int:
    return append(store, [(kind, commit(content, salt))], now=at)[0].index


def attempt_of(row: AttemptRow) -> Attempt:
    return Attempt(
        attempt_id=row.attempt_id,
        at=row.at,
        caller=row.caller,
        backend=row.backend,
        stage=row.stage,
        purpose=row.purpose,
        job_sha256=row.job_sha256,
        claimed=row.claimed,
    )


def outcome_of(row: OutcomeRow) -> Outcome:
    failed = any(reason["code"] == GateCode.GATE_ERROR for reason in row.reasons)
    return Outcome(
        attempt_id=row.attempt_id,
        at=row.at,
        kind=OutcomeKind.PERMIT if row.decision else OutcomeKind.ERROR if failed else OutcomeKind.REFUSAL,
        reasons=row.reasons,
        permit_id=row.permit_id,
    )


def _write(
    service: Service,
    store: Store,
    attempt_id: str,
    outcome: Permit | Refusal,
    presented: Sequence[Presented],
    requests: Mapping[int, str],
) -> None:
    now = service.now()
    permit = outcome if isinstance(outcome, Permit) else None
    write_outcome(
        store,
        OutcomeRow(
            attempt_id=attempt_id,
            at=now,
            decision=permit is not None,
            reasons=[] if permit is not None else reasons_to_json(outcome, requests),
            permit_id=None if permit is None else permit.permit_id,
        ),
    )
    if permit is None:
        return
    store.add(
        PermitRow(
            permit_id=permit.permit_id,
            attempt_id=attempt_id,
            backend=permit.backend,
            purpose=permit.purpose,
            job_sha256=permit.job_sha256,
            issued_at=permit.issued_at,
            expires_at=permit.expires_at,
        )
    )
    seen = {one.record.consent_id: one.record.events[-1].number for one in presented if one.record is not None}
    store.add(
        *(
            PermitConsentRow(permit_id=permit.permit_id, consent_id=cid, event_number=seen[cid])
            for cid, _ in permit.consents
        )
    )


def redeem(service: Service, store: Store, permit: Permit) -> str | None:
    """Spend a permit, if every consent behind it still holds and is as the gate saw it; else a code why not. Call it inside
    a transaction, and undo that when there is a code."""
    now = service.now()
    # locked for change: two permits redeemed at once must not both be the last use
    store.lock_consents(consent_id for consent_id, _ in permit.consents)
    why = withheld(service, store, permit, now=now)
    if why is not None:
        return why
    for consent_id, _ in permit.consents:
        record = record_of(store, consent_id)
        if record.limits.uses is not None and store.uses_of(consent_id) >= record.limits.uses:
            return "scope_limits"
        given = store.get(PermitConsentRow, (permit.permit_id, consent_id))
        if given is None or given.event_number not in (None, record.events[-1].number):
            return "consent_changed"
        if record.scope.approval is ApprovalRule.ALWAYS and not _approved(store, consent_id, permit, now=now):
            return "approval_needed"
    return None if store.redeem(permit.permit_id, now=now) else "permit_spent"


def withheld(service: Service, store: Store, permit: Permit, *, now: datetime) -> str | None:
    """Why what this permit allowed is allowed no longer, by what the records say now; ``None`` when all of them hold.

    Read afresh each time, and never from anything that a notice would have to drop.
    """
    if store.backend_blocked(permit.backend, now=now):
        return "backend_blocked"
    for consent_id, _ in permit.consents:
        try:
            record = record_of(store, consent_id)
        except ConsentError:
            return "permit_invalid"
        if record.revoked is not None:
            return "consent_revoked"
        if record.suspended:
            return "consent_suspended"
        if not record.state_at(now).allows_use:
            return "consent_expired"
        if record.granted.authority is not None and not stands(service, store, record, permit.purpose, now=now):
            return "authority_invalid"
        status = store.status_of(consent_id)
        if status is not None and status is not Status.VALID:
            return f"consent_{status.word}"
        if permit.purpose not in record.purposes:
            return "scope_purpose"
        if not record.scope.covers(permit.backend):
            return "scope_audience"
    return None


def _approved(store: Store, consent_id: str, permit: Permit, *, now: datetime) -> bool:
    """Spend the person's yes to this job on this permit."""
    row = store.approval(
        consent_id, backend=permit.backend, purpose=permit.purpose, job_sha256=permit.job_sha256, now=now
    )
    return row is not None and store.use_approval(row.approval_id, permit.permit_id)


def reasons_to_json(outcome: Permit | Refusal, requests: Mapping[int, str] = _NO_REQUESTS) -> list[dict[str, Any]]:
    """Reasons as callers see them: code, which face or token, and the request that waits for a person; never a score."""
    if isinstance(outcome, Permit):
        return []
    shown = []
    for reason in outcome.reasons:
        request_id = None if reason.token_index is None else requests.get(reason.token_index)
        shown.append(_reason(reason) | ({} if request_id is None else {"request_id": request_id}))
    return shown


def _reason(reason: GateReason) -> dict[str, Any]:
    shown: dict[str, Any] = {"code": reason.code.value}
    if reason.face_index is not None:
        shown["face"] = reason.face_index
    if reason.media_id is not None:
        shown["media_id"] = reason.media_id
    if reason.box is not None:
        box = reason.box
        shown["box"] = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
    if reason.token_index is not None:
        shown["token"] = reason.token_index
    return shown
