"""Asks the gate, and keeps the books: an attempt is written before anything is decided, its one outcome after.

Whatever fails on the way, the answer is a refusal. Attempts and outcomes must balance: attempts = permits + refusals +
errors. One that a crash left without an outcome is closed as an error by :mod:`api.balance`. Both go into the log, salted,
in the transaction that writes them.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.consents import record_of
from api.media import Erased, Unsealable, templates_from_bytes
from api.service import Service
from api.storage import Store, new_id
from api.tables import AttemptEntryRow, AttemptRow, ConsentRow, MediaRow, OutcomeRow, PermitConsentRow, PermitRow
from consent import tokens
from consent.attempts import ATTEMPT_KIND, OUTCOME_KIND, Attempt, Outcome, OutcomeKind, attempt_bytes, outcome_bytes
from consent.canonical import Malformed
from consent.errors import ConsentError, SignatureInvalid, TokenInvalid
from consent.gate import FaceSeen, GateCode, GateReason, Permit, Presented, Refusal, Use, decide
from consent.ledger import SALT_BYTES, commit, next_entry
from consent.terms import Purpose
from consent.tokens import ConsentToken, TokenProblem, UnverifiedToken
from liveness.evidence import Box
from liveness.policy import STRICT
from liveness.template import FaceTemplate

log = logging.getLogger("mien.gate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be done with whose likeness.

    stage : ``evaluation`` (a backend asks), ``clip_request``, ``clip_start``, ``clip_release`` (our own generators).
    media_owner : key id of who handed the media in; others' media is never looked at.
    portraits : the stored portraits of the presented consents will be shown.
    own_permit : a permit that this very work was begun under; it does not count as another use.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The gate's answer to one attempt."""

    attempt_id: str
    outcome: Permit | Refusal


def ask(service: Service, question: Question) -> Answer:
    """Ask and answer.

    1. verify the tokens
    2. write the attempt, and commit it
    3. load records, templates and faces, with the consents locked against change
    4. decide
    5. write outcome and permit in the transaction of 3, and commit; only then is there an answer

    A failure in 3 to 5 is a refusal with ``gate_error``, written as the outcome if that can still be written.
    """
    now = service.now()
    attempt_id = new_id("att")
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
                },
            ),
        )
    try:
        with service.database.transaction() as store:
            presented = [_presented(service, store, token, question) for token in held]  # 3
            use = Use(
                backend=question.backend,
                purpose=question.purpose,
                faces=_faces(service, store, question, presented),
                job_sha256=question.job_sha256,
                seconds=question.seconds,
                minimum_assurance=service.settings.minimum_assurance,
                script=question.script,
            )
            outcome = decide(  # 4
                use, presented, same_person=STRICT.same_person.value, permit_id=new_id("prm"), now=now
            )
            _write(service, store, attempt_id, outcome)  # 5
    except Exception as error:  # whatever it is, it is not a yes
        log.error("attempt %s refused: the gate failed on a %s", attempt_id, type(error).__name__)
        outcome = Refusal(reasons=(GateReason(code=GateCode.GATE_ERROR),))
        try:
            with service.database.transaction() as store:
                _write(service, store, attempt_id, outcome)
        except Exception as again:
            log.error("attempt %s has no outcome: %s", attempt_id, type(again).__name__)
    return Answer(attempt_id=attempt_id, outcome=outcome)


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


def _presented(service: Service, store: Store, token: ConsentToken | TokenProblem, question: Question) -> Presented:
    if isinstance(token, TokenProblem):
        return Presented(token=token, record=None, templates=())
    row = store.consent_shared(token.consent_id)
    if row is None:
        return Presented(token=token, record=None, templates=())
    return Presented(
        token=token,
        record=record_of(store, row.consent_id),
        templates=_templates(service, store, row),
        salt=row.salt,
        uses_so_far=store.uses_of(row.consent_id, but=question.own_permit),
    )


def _templates(service: Service, store: Store, row: ConsentRow) -> tuple[FaceTemplate, ...]:
    try:
        content = service.vault.get(store, row.templates_id)
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
        templates = templates_from_bytes(service.vault.get(store, row.templates_id))
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
    entry = next_entry(store.lock_ledger(), kind=kind, digest=commit(content, salt), at=at)
    store.append(entry)
    return entry.index


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


def _write(service: Service, store: Store, attempt_id: str, outcome: Permit | Refusal) -> None:
    now = service.now()
    permit = outcome if isinstance(outcome, Permit) else None
    write_outcome(
        store,
        OutcomeRow(
            attempt_id=attempt_id,
            at=now,
            decision=permit is not None,
            reasons=[] if permit is not None else reasons_to_json(outcome),
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
    store.add(*(PermitConsentRow(permit_id=permit.permit_id, consent_id=cid) for cid, _ in permit.consents))


def redeem(service: Service, store: Store, permit: Permit) -> str | None:
    """Spend a permit, if every consent behind it still holds; else a code why not. Call it inside a transaction."""
    now = service.now()
    for consent_id, _ in permit.consents:
        # locked for change: two permits redeemed at once must not both be the last use
        row = store.get(ConsentRow, consent_id, lock=True)
        if row is None:
            return "permit_invalid"
        try:
            record = record_of(store, consent_id)
        except ConsentError:
            return "permit_invalid"
        if record.revoked is not None:
            return "consent_revoked"
        if not record.state_at(now).allows_use:
            return "consent_expired"
        if record.limits.uses is not None and store.uses_of(consent_id) >= record.limits.uses:
            return "scope_limits"
    return None if store.redeem(permit.permit_id, now=now) else "permit_spent"


def reasons_to_json(outcome: Permit | Refusal) -> list[dict[str, Any]]:
    """Reasons as callers see them: code, and which face or token; never a score."""
    if isinstance(outcome, Permit):
        return []
    return [_reason(reason) for reason in outcome.reasons]


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
