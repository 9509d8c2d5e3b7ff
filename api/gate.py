"""Asks the gate, and keeps the books: an attempt is written before anything is decided, its one outcome after.

Whatever fails on the way, the answer is a refusal. Attempts and outcomes must balance: attempts = permits + refusals +
errors. One that a crash left without an outcome is closed as an error by :mod:`api.balance`. Both are counted and go into the
log, salted, a moment after the transaction that writes them: see :mod:`api.books`.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from api import mismatches
from api.approvals import approval_of, ask_person
from api.authorities import stands
from api.books import settle_all
from api.consents import record_from, record_of
from api.errors import Problem
from api.inputs import inputs_of
from api.line import Held, HeldConsent, Line, Wanted
from api.look_alike_lookups import look_later
from api.media import Erased, Unsealable, templates_from_bytes
from api.outputs import OUTPUT_KIND
from api.service import Service
from api.steps import AT_LENGTH, Steps, finish
from api.storage import Store, new_id
from api.tables import MediaRow, PermitConsentRow
from consent import tokens
from consent.attempts import Attempt
from consent.canonical import Json, Malformed
from consent.content import ContentCategory
from consent.dpop import DpopProblem, DpopProof
from consent.errors import ConsentError, RecordInvalid, SignatureInvalid, TokenInvalid
from consent.gate import FaceSeen, GateCode, GateReason, Permit, Presented, Refusal, Use, decide
from consent.job import Job
from consent.ledger import SALT_BYTES
from consent.record import ConsentRecord
from consent.scope import ApprovalRule
from consent.status_list import Status
from consent.terms import Purpose
from consent.tokens import ConsentToken, TokenProblem, UnverifiedToken
from liveness.evidence import Box
from liveness.policy import STRICT
from liveness.template import FaceTemplate

log = logging.getLogger("mien.gate")

ESTIMATE = "clip_estimate"
"""The stage of a question after which nothing follows: it is in the books, and nobody is asked for a yes."""

_AT_ONCE = 16  # faces that are held against somebody's templates, beside other work
_NO_REQUESTS: Mapping[int, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be done with whose likeness.

    stage : ``evaluation`` (a backend asks), ``clip_request``, ``clip_start``, ``clip_release`` (our own generators),
        ``clip_estimate`` (somebody wants to know; see :data:`ESTIMATE`).
    media_owner : key id of who handed the media in; others' media is never looked at.
    portraits : the stored portraits of the presented consents will be shown.
    only_pictures : nothing is seen in the clip but ``media``, which are pictures.
    own_permit : a permit that this very work was begun under; it does not count as another use.
    proof : what came with the question to prove the backend's key, read and taken already.
    maker, categories, territories : as in :class:`consent.gate.Use`.
    job : the job itself, where it was shown; its hash is then ``job_sha256``.
    handles, voices : inputs that show no face: a backend's own names, and whose voice each sound is (a place among ``tokens``).
    unread : names of inputs of kinds that are not known here.
    by_key : the caller's API key was looked up a moment ago, and must still hold.
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
    only_pictures: bool = False
    own_permit: str | None = None
    proof: DpopProof | DpopProblem | None = None
    maker: str | None = None
    categories: tuple[ContentCategory, ...] | None = None
    territories: tuple[str, ...] | None = None
    job: Job | None = field(default=None, repr=False)
    handles: tuple[str, ...] = field(default=(), repr=False)
    voices: tuple[tuple[str, int | None], ...] = ()
    unread: tuple[str, ...] = ()
    by_key: bool = False


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
    3. load records, templates and faces, with the consents locked against change; where the log stands still, set it going
    4. decide; a backend that owes a deletion is refused whatever it asks, and one that tried too many wrong faces on somebody
       without looking at any; where only a person's own yes is missing, ask them
    5. write outcome and permit in the transaction of 3, and commit; only then is there an answer
    6. faces that were nobody's are put aside for people who want to be told of look-alikes, whether or not there are any

    A failure in 3 to 5 is a refusal with ``gate_error``, written as the outcome if that can still be written.

    Raises: Problem ``unauthenticated`` when the caller's key was withdrawn; then nothing was asked.
    """
    return finish(asking(service, question))


def asking(service: Service, question: Question) -> Steps[Answer]:
    """As :func:`ask`, in steps. A yes by faces and tokens that came with the question takes some milliseconds; whatever needs
    more is at length."""
    ready = None if _is_large(question) else service.database.ready_line()
    if ready is None:
        yield AT_LENGTH
    with service.database.line(ready) as line:
        return (yield from _asking(service, line, question))


def _is_large(question: Question) -> bool:
    """Whether anything has to be looked up for it, or much is to be computed."""
    elsewhere = question.media or question.handles or question.voices or question.job is not None
    return bool(elsewhere) or len(question.tokens) * max(1, len(question.embeddings)) > _AT_ONCE


def _asking(service: Service, line: Line, question: Question) -> Steps[Answer]:
    now = service.now()
    attempt_id = new_id("att")
    requests: dict[int, str] = {}
    faces: tuple[FaceSeen, ...] = ()
    held = [_verified(service, token, question.backend) for token in question.tokens]  # 1
    claimed = [
        one.consent_id if isinstance(one, ConsentToken) else consent_named(service, token)
        for one, token in zip(held, question.tokens, strict=True)
    ]
    stated: dict[str, Json] = {
        "consents": sorted({consent_id for consent_id in claimed if consent_id is not None}),
        "tokens": len(held),
        "media": list(question.media),
        "embeddings": len(question.embeddings),
        "handles": len(question.handles),
        "job": "hash" if question.job is None else "shown",
        "key": _key_shown(question.proof),
        "maker": question.maker,
        "categories": None if question.categories is None else [c.value for c in question.categories],
        "territories": None if question.territories is None else list(question.territories),
    }
    if question.only_pictures:
        stated["only_pictures"] = True
    written = yield from line.ask(  # 2
        Attempt(
            attempt_id=attempt_id,
            at=now,
            caller=question.caller,
            backend=question.backend,
            stage=question.stage,
            purpose=question.purpose,
            job_sha256=question.job_sha256,
            claimed=stated,
        ),
        salt=secrets.token_bytes(SALT_BYTES),
        wanted=Wanted(
            consent_ids=[token.consent_id for token in held if isinstance(token, ConsentToken)],
            backend=question.backend,
            asker=mismatches.asker(question),
            day=now.date(),
            now=now,
        ),
        by_key=question.by_key,
    )
    if not written:
        raise Problem("unauthenticated")
    try:
        found = line.hold()  # 3
        if found.stands_still:  # nobody could take a consent back either: nothing is permitted before it goes on
            yield AT_LENGTH
            settle_all(service)
        records = {consent_id: record_from(one.events) for consent_id, one in found.consents.items()}
        if any(_needs_more(service, records[each], one) for each, one in found.consents.items()):
            yield AT_LENGTH
        presented = [_presented(service, line, token, question, found, records) for token in held]
        spent = mismatches.spent(service, presented, found)
        faces = () if spent else _faces(service, line, question, presented)
        use = Use(
            backend=question.backend,
            purpose=question.purpose,
            faces=faces,
            inputs=inputs_of(line, question, held),
            job_sha256=question.job_sha256,
            seconds=question.seconds,
            minimum_assurance=service.settings.minimum_assurance,
            script=question.script,
            proof=question.proof,
            backend_jkt=found.jkt,
            maker=question.maker,
            categories=question.categories,
            territories=question.territories,
            only_pictures=question.only_pictures and bool(question.media),
        )
        outcome: Permit | Refusal
        if found.blocked:  # 4
            outcome = Refusal(reasons=(GateReason(code=GateCode.BACKEND_BLOCKED),))
        elif spent:
            reasons = [GateReason(code=GateCode.MISMATCH_BUDGET, token_index=number) for number in spent]
            outcome = Refusal(reasons=tuple(reasons))
        else:
            outcome = decide(use, presented, same_person=STRICT.same_person.value, permit_id=new_id("prm"), now=now)
        if isinstance(outcome, Refusal):
            yield AT_LENGTH  # what is counted, asked for and put aside, and the answer no
            mismatches.count(service, line, question, use, presented, outcome)
            if outcome.codes == (GateCode.APPROVAL_NEEDED,) and question.stage != ESTIMATE:
                requests = _asked_people(service, line.store, attempt_id, use, presented, outcome)
        yield from _writing(service, line, attempt_id, outcome, presented, requests)  # 5
    except Exception as error:  # whatever it is, it is not a yes
        yield AT_LENGTH
        line.close()  # nobody waits for what it held
        log.error("attempt %s refused: the gate failed on a %s", attempt_id, type(error).__name__)
        outcome, requests = Refusal(reasons=(GateReason(code=GateCode.GATE_ERROR),)), {}
        try:
            with service.database.line() as another:  # the first may be what failed
                yield from _writing(service, another, attempt_id, outcome, (), requests)
        except Exception as again:
            log.error("attempt %s has no outcome: %s", attempt_id, type(again).__name__)
    look_later(service, question, attempt_id, faces, outcome)  # 6
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


def consent_named(service: Service, token: str) -> str | None:
    """The consent of a token that we signed, whether or not it is valid here and now: the person may know who tried."""
    try:
        claims = service.keys.public.open(token, typ=tokens.TOKEN_TYPE, max_chars=tokens.MAX_TOKEN_CHARS)
        return claims.text("cid")
    except (SignatureInvalid, Malformed):
        return None


def _needs_more(service: Service, record: ConsentRecord, held: HeldConsent) -> bool:
    """Whether a consent is not all there is to look at: somebody else's authority, uses so far, a yes to this very job; or its
    templates are elsewhere."""
    asked = record.granted.authority is not None or record.limits.uses is not None
    return asked or record.scope.approval is ApprovalRule.ALWAYS or not service.vault.is_at_hand(held.templates)


def _presented(
    service: Service,
    line: Line,
    token: ConsentToken | TokenProblem,
    question: Question,
    found: Held,
    records: Mapping[str, ConsentRecord],
) -> Presented:
    if isinstance(token, TokenProblem) or token.consent_id not in found.consents:
        return Presented(token=token, record=None, templates=())
    held, record = found.consents[token.consent_id], records[token.consent_id]
    if record.subject_id != held.subject_id:  # then the count of wrong faces is somebody else's
        raise RecordInvalid("a consent is filed under another person")
    asked = record.scope.approval is ApprovalRule.ALWAYS
    return Presented(
        token=token,
        record=record,
        authority_stands=record.granted.authority is not None
        and stands(service, line.store, record, question.purpose, now=service.now()),
        templates=_templates(service, held),
        salt=held.salt,
        # counting takes the longer the more there are, so only where it matters
        uses_so_far=None
        if record.limits.uses is None
        else line.store.uses_of(record.consent_id, but=question.own_permit),
        status=held.status,
        approval=None
        if not asked
        else approval_of(
            line.store,
            record.consent_id,
            backend=question.backend,
            purpose=question.purpose,
            job_sha256=question.job_sha256,
            own_permit=question.own_permit,
            now=service.now(),
        ),
    )


def _templates(service: Service, held: HeldConsent) -> tuple[FaceTemplate, ...]:
    """Opened each time anew: what was destroyed is gone for the next question."""
    try:
        content = service.vault.open(held.templates, owner=held.consent_id)
    except Erased:
        return ()
    return tuple(template for template in templates_from_bytes(content) if template is not None)


def _faces(service: Service, line: Line, question: Question, presented: Sequence[Presented]) -> tuple[FaceSeen, ...]:
    """Every face that goes into the work; one that cannot be looked at is there and unjudged."""
    faces: list[FaceSeen] = []
    for media_id in question.media:
        faces += _faces_of_media(service, line.store, media_id, question.media_owner, first=len(faces))
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
    if row is None or row.key_id != owner or row.kind == OUTPUT_KIND:  # a finished clip was not looked at as an input
        return unjudged
    try:
        templates = templates_from_bytes(service.vault.get(store, row.templates_id, owner=media_id))
    except (Erased, Unsealable):
        return unjudged
    return [
        FaceSeen(index=first + n, media_id=media_id, box=Box(**face["box"]), template=template)
        for n, (face, template) in enumerate(zip(row.faces, templates, strict=True))
    ]


def _writing(
    service: Service,
    line: Line,
    attempt_id: str,
    outcome: Permit | Refusal,
    presented: Sequence[Presented],
    requests: Mapping[int, str],
) -> Steps[None]:
    now = service.now()
    if not isinstance(outcome, Permit):
        yield from line.refuse(attempt_id, reasons_to_json(outcome, requests), at=now)
        return
    seen = {one.record.consent_id: one.record.events[-1].number for one in presented if one.record is not None}
    yield from line.permit(attempt_id, outcome, seen, at=now)


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
    consents = [consent_id for consent_id, _ in permit.consents]
    return ended(service, store, backend=permit.backend, purpose=permit.purpose, consents=consents, now=now)


def ended(
    service: Service, store: Store, *, backend: str, purpose: Purpose, consents: Sequence[str], now: datetime
) -> str | None:
    """As :func:`withheld`, for a permit of which only the row is there."""
    if store.backend_blocked(backend, now=now):
        return "backend_blocked"
    for consent_id in consents:
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
        if record.granted.authority is not None and not stands(service, store, record, purpose, now=now):
            return "authority_invalid"
        status = store.status_of(consent_id)
        if status is not None and status is not Status.VALID:
            return f"consent_{status.word}"
        if purpose not in record.purposes:
            return "scope_purpose"
        if not record.scope.covers(backend):
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
    if reason.place is not None:
        shown["place"] = reason.place
    return shown
