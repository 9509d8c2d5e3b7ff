"""The gate: may this backend make this, with these faces, now?

:func:`decide` is the only maker of a :class:`Permit`, and a permit the only way into ``likeness``. It answers for hostile
values too: whatever comes in, the answer is a permit or a refusal, never an exception, and what fails inside is a refusal.

A refusal says which rule and which face, never how similar a face was: scores let a caller climb towards a match. A face
is compared only with the templates of consents that hold, so that a dead token is no way to ask who somebody is.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from consent.approval import Approval, ApprovalState
from consent.authority import SubjectAssurance
from consent.canonical import Json, Malformed, Members, is_sha256, to_seconds, whole_second
from consent.content import ContentCategory
from consent.dpop import DpopCode, DpopProblem, DpopProof, key_problem
from consent.errors import ConsentInvalid, PermitInvalid, SignatureInvalid
from consent.keys import KeySet, SigningKey
from consent.policy_cedar import Asked, Rule, broken_rules
from consent.record import ConsentRecord, ConsentState
from consent.scope import EVERYONE, ONLY_ME, ApprovalRule, plain_words
from consent.status_list import Status
from consent.terms import Purpose
from consent.territory import is_territory
from consent.tokens import ISSUER, ConsentToken, TokenCode, TokenProblem, read_confirmation
from liveness.errors import ContractMismatch
from liveness.evidence import Box
from liveness.template import FaceTemplate, similarity

log = logging.getLogger("mien.consent")

PERMIT_TYPE = "permit+jwt"
PERMIT_LIFE = timedelta(seconds=300)  # design: start of the work, not its length; a longer one is worth stealing
RETENTION_S = 24 * 3600  # design: as long as we keep media that was handed in
MOST_SECONDS_OF_NOBODY = 60  # design: as long as a clip of our own may be; nobody bounds it
COMMITMENT = b"mien-template-1"

_MAX_PERMIT_CHARS = 8192
_MAX_FACES = 4096  # a clip of 30 s looked at twice a second, with many people
_MAX_TOKENS = 16
_MAX_INPUTS = 256
_UNIT = 1e-3  # how far a template's length may be from 1, as float32 sums of 512 squares are
_SAFE_TEXT = re.compile(r"[A-Za-z0-9_.:@/+*-]{1,200}")


class GateCode(StrEnum):
    """Why a use is refused.

    no_token           no valid token was presented, so this face is covered by nothing.
    bad_signature      a token is not one of ours, or damaged.
    wrong_audience     a token is for another backend.
    expired            a token or the consent behind it is over.
    not_yet_valid      a token or the consent behind it is not in force yet.
    revoked            the consent behind a token was withdrawn, terminated or invalidated.
    suspended          the consent behind a token is suspended; it may be resumed.
    scope_purpose      the consent or its token is for other purposes.
    scope_audience     the consent does not cover this backend (any more).
    scope_maker        the person lets others ask, or nobody; or who asks was not stated.
    scope_limits       too long, a word the person forbade, or used as often as allowed; or not stated, so not checked.
    scope_content      a category of content that the person forbade or did not allow; or not stated.
    scope_territory    published where the person did not allow it; or not stated.
    approval_needed    all else is well, and the person wants to be asked; nobody may go on before they said yes.
    approval_refused   the person was asked about this job and said no.
    authority_invalid  it was given on somebody's behalf, and that authority does not stand (any more).
    assurance_too_low  the live check behind the consent is worth less than the backend asks for.
    unknown_face       this face is nobody's whose consent was presented.
    face_unjudged      a face is there and could not be compared, so it may be anybody.
    no_face            consents were presented or asked for, and there is no face.
    token_unused       a token was presented whose person is not in the picture.
    replay             the same token was presented twice.
    record_missing     there is no record, or no templates, that belong to this token.
    disputed           somebody with standing objects to the consent behind a token, and that is open.
    dpop_missing       a token is bound to a key, or the backend registered one, and no proof of it came.
    dpop_invalid       what came is no proof (RFC 9449).
    dpop_wrong_request the proof is for another method or address.
    dpop_wrong_token   the proof is for other tokens.
    dpop_stale         the proof was made too long ago, or in the future.
    use_dpop_nonce     the proof lacks the nonce that was given.
    dpop_replayed      the proof was used before.
    key_mismatch       the proof is by another key than the token's, or than the backend's.
    backend_blocked    this backend has not confirmed in time that it deleted what an ended consent had let it keep.
    hidden_face        an input names something without showing it, and our records do not say who is in it.
    remote_input       an input is an address, which may hold something else by the time it is fetched.
    input_unseen       the job names bytes that were not handed in, or the question a kind of input that is not known here.
    voice_undeclared   a sound goes in and it was not said whose voice it is, or that it is nobody's.
    mismatch_budget    too many faces that were not this person's were tried today; nothing was looked at.
    gate_error         something failed inside; nothing is permitted by failing.
    """

    NO_TOKEN = "no_token"  # noqa: S105 - a reason code
    BAD_SIGNATURE = "bad_signature"
    WRONG_AUDIENCE = "wrong_audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    REVOKED = "revoked"
    SUSPENDED = "suspended"
    SCOPE_PURPOSE = "scope_purpose"
    SCOPE_AUDIENCE = "scope_audience"
    SCOPE_MAKER = "scope_maker"
    SCOPE_LIMITS = "scope_limits"
    SCOPE_CONTENT = "scope_content"
    SCOPE_TERRITORY = "scope_territory"
    APPROVAL_NEEDED = "approval_needed"
    APPROVAL_REFUSED = "approval_refused"
    AUTHORITY_INVALID = "authority_invalid"
    ASSURANCE_TOO_LOW = "assurance_too_low"
    UNKNOWN_FACE = "unknown_face"
    FACE_UNJUDGED = "face_unjudged"
    NO_FACE = "no_face"
    TOKEN_UNUSED = "token_unused"  # noqa: S105 - a reason code
    REPLAY = "replay"
    RECORD_MISSING = "record_missing"
    DISPUTED = "disputed"
    DPOP_MISSING = "dpop_missing"
    DPOP_INVALID = "dpop_invalid"
    DPOP_WRONG_REQUEST = "dpop_wrong_request"
    DPOP_WRONG_TOKEN = "dpop_wrong_token"  # noqa: S105 - a reason code
    DPOP_STALE = "dpop_stale"
    USE_DPOP_NONCE = "use_dpop_nonce"
    DPOP_REPLAYED = "dpop_replayed"
    KEY_MISMATCH = "key_mismatch"
    BACKEND_BLOCKED = "backend_blocked"
    HIDDEN_FACE = "hidden_face"
    REMOTE_INPUT = "remote_input"
    INPUT_UNSEEN = "input_unseen"
    VOICE_UNDECLARED = "voice_undeclared"
    MISMATCH_BUDGET = "mismatch_budget"
    GATE_ERROR = "gate_error"


# --- what is asked ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaceSeen:
    """A face in what is to be used. ``template=None``: a face is there and could not be measured.

    box : pixels of the picture it was found in.
    """

    index: int
    media_id: str | None
    box: Box | None
    template: FaceTemplate | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSeen:
    """Something that goes into the work and shows no face to look at: a handle, a voice, an address.

    place : where it stands, such as ``handles/0``, ``voices/1`` or a JSON pointer into the job.
    consents : whose likeness it carries, by our own records or as the backend declared; each must be among those presented.
    problem : why it is not known whose; with neither this nor ``consents`` it is taken for a hidden face.
    """

    place: str
    consents: tuple[str, ...] = ()
    problem: GateCode | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Use:
    """What a backend wants to do.

    faces : every face in every picture that goes into the work; all of them, or the answer is worth nothing.
    inputs : everything else that goes in and may carry a likeness; all of it, likewise.
    only_pictures : all that will be seen are pictures that were looked at just now, ``faces`` being all that is in them. Then,
        and only then, no face means that nobody is shown.
    job_sha256 : hash of the job, which the permit is bound to.
    seconds : length of the clip; ``None`` when not known yet (the permit then bounds it).
    script : all words that will be spoken; ``""`` when none are; ``None`` when not known, which is refused where a
        person forbade words.
    proof : what the backend proved of its key with this question; ``None``: nothing.
    backend_jkt : the key that this backend registered; from then on no question of its goes without that key.
    maker : who asks to have it made, by the id under which people name makers; their own pseudonym for the person.
    categories : what it is about; ``()``: none of them. territories : where it will be published, ``("*",)`` for the world.
        ``None`` for any of the three: not stated, which is refused where a person limited it.
    """

    backend: str
    purpose: Purpose
    faces: tuple[FaceSeen, ...]
    job_sha256: str
    seconds: int | None
    minimum_assurance: SubjectAssurance
    script: str | None = field(default=None, repr=False)
    proof: DpopProof | DpopProblem | None = None
    backend_jkt: str | None = None
    maker: str | None = None
    categories: tuple[ContentCategory, ...] | None = None
    territories: tuple[str, ...] | None = None
    inputs: tuple[InputSeen, ...] = ()
    only_pictures: bool = False

    @property
    def shows_nobody(self) -> bool:
        """Everything that will be seen was looked at, and there is no face in it, not even one that could not be judged."""
        return self.only_pictures is True and not self.faces and not self.inputs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Presented:
    """One token that came with the use, and what storage holds about its consent.

    record : folded from all events of the token's consent, read just now; ``None`` when there is none.
    templates : the person's enrolled templates; empty when they were destroyed.
    salt : of the template commitment; without it nobody can tell whose templates these are, so they count as missing.
    uses_so_far : permits given on this consent before; needed where the person bounded them.
    status : its entry in the status list; ``None`` when it never had one (its record alone then counts).
    approval : the person's answer to this very job, if they were asked.
    authority_stands : of a consent on somebody's behalf: that was asked just now, and it does.
    """

    token: ConsentToken | TokenProblem
    record: ConsentRecord | None
    templates: tuple[FaceTemplate, ...] = field(repr=False)
    salt: bytes | None = field(default=None, repr=False)
    uses_so_far: int | None = None
    status: Status | None = None
    approval: Approval | None = None
    authority_stands: bool = False


# --- what is answered ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReason:
    """One reason. A face is named by index, medium and box; a token by its place among those presented; any other input by
    its place in the question."""

    code: GateCode
    face_index: int | None = None
    media_id: str | None = None
    box: Box | None = None
    token_index: int | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """No. ``reasons`` is never empty: first those about the request, then about tokens, then about faces."""

    reasons: tuple[GateReason, ...]

    def __post_init__(self) -> None:
        if not self.reasons:
            raise ValueError("a refusal has a reason")

    @property
    def codes(self) -> tuple[GateCode, ...]:
        """Each code once, in order."""
        return tuple(dict.fromkeys(reason.code for reason in self.reasons))


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligations:
    """What whoever uses the permit must do. ``max_seconds``: the shortest limit of the people involved. ``retention_s``: after
    how many seconds whatever was got under the permit (references, inputs, drafts) must be gone."""

    visible_label: bool = True
    manifest: bool = True
    max_seconds: int
    retention_s: int = RETENTION_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Yes: this backend, this purpose, this job, these people, for a few minutes. Made by :func:`decide` and read back
    by :func:`verify_permit`, nowhere else.

    consents : ``(consent_id, subject_id)`` of everyone shown, sorted; empty where nobody is. assurance : the lowest among them;
        of nobody, the lowest there is.
    issued_at, expires_at : whole seconds, half-open.
    jkt : the key that the backend proved to have; only with it can the permit be used.
    """

    permit_id: str
    backend: str
    purpose: Purpose
    job_sha256: str
    consents: tuple[tuple[str, str], ...]
    assurance: SubjectAssurance
    issued_at: datetime
    expires_at: datetime
    obligations: Obligations
    jkt: str | None = None


def decide(
    use: Use, presented: Sequence[Presented], *, same_person: float, permit_id: str, now: datetime
) -> Permit | Refusal:
    """A permit when every face is covered by a consent that holds, and every token by a face. Else every reason why not.

    ``same_person`` is the least cosine at which two templates are one person's (``LivenessPolicy.same_person``).

    1. The request is one that can be judged: backend, job hash, threshold, time and counts are sound.
    2. No token is there twice.
    3. Each token, alone: it verified; the key it or the backend is bound to was proved; it is for this backend and
       purpose and in force now; the record is its own; the record allows the use (:func:`what_would_be_allowed`) and the
       status list does not say otherwise; its templates are there and the committed.
    4. There is a face, or another input that is known to carry somebody's likeness; or nobody will be seen
       (:attr:`Use.shows_nobody`) and no token was presented: that needs nobody's consent, and the permit names nobody.
    5. Each face, with the tokens that passed 3: it can be compared with all of them, and is its best match's person. Each other
       input: it is known whose it is, and a token of each of them passed 3.
    6. Each token that passed 3 is the best match of some face, or some other input is its person's.
    7. Nothing else is wrong: whoever wants to be asked was asked about this job, and said yes. Last, so that nobody is
       asked about what could not be made anyway, or about somebody else's face.
    8. No reason has come up: a permit, which ends with the first of 300 s, the tokens, the records and the approvals.

    Order of 3 to 6 does not matter for the answer, only for the order of the reasons. Never raises.
    """
    try:
        return _decide(use, tuple(presented), same_person=same_person, permit_id=permit_id, now=now)
    except Exception as error:  # whatever it is, it is not a yes
        log.error("the gate failed on a %s and refused", type(error).__name__)
        return Refusal(reasons=(GateReason(code=GateCode.GATE_ERROR),))


def _decide(
    use: Use, presented: tuple[Presented, ...], *, same_person: float, permit_id: str, now: datetime
) -> Permit | Refusal:
    if not _can_be_judged(use, presented, same_person, permit_id, now):  # 1
        return Refusal(reasons=(GateReason(code=GateCode.GATE_ERROR),))

    reasons: list[GateReason] = []
    holding: list[_Holding] = []
    seen_ids: set[str] = set()
    for number, one in enumerate(presented):
        codes: tuple[GateCode, ...] = ()
        if isinstance(one.token, ConsentToken) and one.token.token_id in seen_ids:  # 2
            codes = (GateCode.REPLAY,)
        else:
            found = _judge_token(use, number, one, now)  # 3
            if isinstance(found, _Holding):
                holding.append(found)
            else:
                codes = found
        if isinstance(one.token, ConsentToken):
            seen_ids.add(one.token.token_id)
        reasons += [GateReason(code=code, token_index=number) for code in codes]

    carried = any(one.consents for one in use.inputs)
    if not use.faces and not carried and (presented or not use.shows_nobody):  # 4
        reasons.append(GateReason(code=GateCode.NO_FACE))
    used: set[int] = set()
    for face in use.faces:  # 5
        match = _whose(face, holding, same_person)
        if isinstance(match, GateCode):
            reasons.append(GateReason(code=match, face_index=face.index, media_id=face.media_id, box=face.box))
        else:
            used.add(match)
    for one_input in use.inputs:
        why, theirs = _whose_input(one_input, holding)
        used |= theirs
        if why is not None:
            reasons.append(GateReason(code=why, place=one_input.place))
    if use.faces or carried:  # 6
        for held in holding:
            if held.number not in used:
                reasons.append(GateReason(code=GateCode.TOKEN_UNUSED, token_index=held.number))

    if not reasons:  # 7
        waits = [(held, held.waits) for held in holding]
        reasons += [GateReason(code=code, token_index=held.number) for held, code in waits if code is not None]
    if reasons:
        return Refusal(reasons=tuple(reasons))
    issued_at = whole_second(now)  # 8
    ends = [issued_at + PERMIT_LIFE]
    ends += [whole_second(end) for held in holding for end in (held.token.expires_at, held.record.expires_at)]
    ends += [whole_second(held.approval.expires_at) for held in holding if held.approval is not None]
    if min(ends) <= issued_at:
        return Refusal(reasons=(GateReason(code=GateCode.EXPIRED),))
    return Permit(
        permit_id=permit_id,
        backend=use.backend,
        purpose=use.purpose,
        job_sha256=use.job_sha256,
        consents=tuple(sorted({(held.record.consent_id, held.record.subject_id) for held in holding})),
        assurance=min(
            (held.record.assurance for held in holding),
            key=tuple(SubjectAssurance).index,
            default=SubjectAssurance.SIMULATED,
        ),
        issued_at=issued_at,
        expires_at=min(ends),
        obligations=Obligations(
            max_seconds=min((held.record.limits.max_seconds for held in holding), default=MOST_SECONDS_OF_NOBODY)
        ),
        jkt=use.proof.jkt if isinstance(use.proof, DpopProof) else None,
    )


def _can_be_judged(
    use: Use, presented: tuple[Presented, ...], same_person: float, permit_id: str, now: datetime
) -> bool:
    return (
        now.tzinfo is not None
        and math.isfinite(same_person)
        and 0 < same_person <= 1
        and _SAFE_TEXT.fullmatch(permit_id) is not None
        and _SAFE_TEXT.fullmatch(use.backend) is not None
        and use.backend != "*"
        and use.purpose in tuple(Purpose)
        and isinstance(use.minimum_assurance, SubjectAssurance)
        and is_sha256(use.job_sha256)
        and (use.seconds is None or (math.isfinite(use.seconds) and use.seconds > 0))
        and _is_stated_well(use)
        and len(use.faces) <= _MAX_FACES
        and len(use.inputs) <= _MAX_INPUTS
        and len(presented) <= _MAX_TOKENS
    )


def _is_stated_well(use: Use) -> bool:
    """What a maker states is of the vocabulary; nobody is called by the words that mean everyone or the person."""
    return (
        (use.maker is None or (_SAFE_TEXT.fullmatch(use.maker) is not None and use.maker not in (EVERYONE, ONLY_ME)))
        and (use.categories is None or all(isinstance(one, ContentCategory) for one in use.categories))
        and (use.territories is None or all(is_territory(code) for code in use.territories))
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Holding:
    """A token that passed step 3; ``number`` is its place among those presented, ``waits`` what step 7 says of it."""

    number: int
    token: ConsentToken
    record: ConsentRecord
    templates: tuple[FaceTemplate, ...]
    approval: Approval | None
    waits: GateCode | None


def _judge_token(use: Use, number: int, one: Presented, now: datetime) -> _Holding | tuple[GateCode, ...]:
    """Step 3 for one token: the first rule it breaks, or all those of its record's scope."""
    token, record = one.token, one.record
    if isinstance(token, TokenProblem):
        return (_CODE_OF_PROBLEM[token.code],)
    unproved = key_problem(use.proof, token.jkt, use.backend_jkt)
    if unproved is not None:  # before anything is said of the consent: a thief learns nothing about it
        return (_CODE_OF_PROOF[unproved],)
    if token.audience != use.backend:
        return (GateCode.WRONG_AUDIENCE,)
    if token.purpose != use.purpose:
        return (GateCode.SCOPE_PURPOSE,)
    if record is None or not _is_of(token, record):
        return (GateCode.RECORD_MISSING,)
    if _lacks_authority(record, one.authority_stands):
        return (GateCode.AUTHORITY_INVALID,)
    codes = _judge_record(use, record, one.uses_so_far, one.approval, now)
    waits = codes[-1] if codes and codes[-1] in _WAITS else None
    broken = codes if waits is None else codes[:-1]
    if GateCode.REVOKED in broken:
        return broken
    if one.status not in (None, Status.VALID):  # two sources that must agree; the stricter one counts
        return (_CODE_OF_STATUS[one.status],)
    if GateCode.SUSPENDED in broken:
        return broken
    if now < token.issued_at:
        return (GateCode.NOT_YET_VALID,)
    if now >= token.expires_at:
        return (GateCode.EXPIRED,)
    if broken:
        return broken
    if not one.templates or not all(_is_sound(template) for template in one.templates):
        return (GateCode.RECORD_MISSING,)
    if one.salt is None or commit_template(one.templates, one.salt) != record.template_commitment:
        return (GateCode.RECORD_MISSING,)
    approval = one.approval if record.scope.approval is ApprovalRule.ALWAYS else None
    return _Holding(number, token, record, one.templates, approval, waits)


_WAITS = frozenset({GateCode.APPROVAL_NEEDED, GateCode.APPROVAL_REFUSED})


def what_would_be_allowed(
    record: ConsentRecord,
    use: Use,
    *,
    uses_so_far: int | None,
    approval: Approval | None = None,
    authority_stands: bool = False,
    now: datetime,
) -> tuple[GateCode, ...]:
    """Why this consent would not allow this use; empty when it would. The rules are those of :func:`decide`, which looks at
    tokens and faces besides. Asks nobody, writes nothing, and never raises.

    1. The request is one that can be judged; where the consent was given on somebody's behalf, that authority stands.
    2. The consent was never revoked, is not suspended, and is in force now.
    3. It covers purpose, backend and who asks; length, words, number of uses, content and territory are within its limits;
       its live check is worth enough.
    4. Whoever wants to be asked was asked, and said yes: ``approval_needed`` or ``approval_refused``, always the last.
    """
    try:
        if not _can_be_judged(use, (), 1.0, "dry-run", now):  # 1
            return (GateCode.GATE_ERROR,)
        if _lacks_authority(record, authority_stands):
            return (GateCode.AUTHORITY_INVALID,)
        return _judge_record(use, record, uses_so_far, approval, now)
    except Exception as error:  # whatever it is, it is not a yes
        log.error("a dry run failed on a %s", type(error).__name__)
        return (GateCode.GATE_ERROR,)


def _lacks_authority(record: ConsentRecord, stands: bool) -> bool:
    """It was given on somebody's behalf, and that does not stand. One that is over is over, whatever became of that."""
    return record.granted.authority is not None and not stands and record.revoked is None


def _judge_record(
    use: Use, record: ConsentRecord, uses_so_far: int | None, approval: Approval | None, now: datetime
) -> tuple[GateCode, ...]:
    """Steps 2 to 4 of :func:`what_would_be_allowed`."""
    if record.revoked is not None:  # 2; whatever ``now`` is: a clock that went back revives nothing
        return (GateCode.REVOKED,)
    if record.suspended:
        return (GateCode.SUSPENDED,)
    if record.state_at(now) is ConsentState.UNKNOWN:
        return (GateCode.NOT_YET_VALID,)
    if now >= record.expires_at or not record.state_at(now).allows_use:
        return (GateCode.EXPIRED,)
    answered = (
        approval is not None
        and now < approval.expires_at
        and approval.is_for(
            consent_id=record.consent_id, backend=use.backend, purpose=use.purpose, job_sha256=use.job_sha256
        )
    )
    asked = Asked(
        backend=use.backend,
        purpose=use.purpose,
        seconds=use.seconds,
        maker=use.maker,
        categories=use.categories,
        territories=use.territories,
        uses_so_far=uses_so_far,
        approved=approval is not None and answered and approval.state is ApprovalState.APPROVED,
    )
    rules = broken_rules(record, asked, now=now)  # 3
    codes = [_CODE_OF_RULE[rule] for rule in rules if rule is not Rule.APPROVAL]
    words = record.limits.forbidden_words
    if words and (use.script is None or says_forbidden(use.script, words)):
        codes.append(GateCode.SCOPE_LIMITS)
    if not record.assurance.satisfies(use.minimum_assurance):
        codes.append(GateCode.ASSURANCE_TOO_LOW)
    if Rule.APPROVAL in rules:  # 4
        refused = approval is not None and answered and approval.state is ApprovalState.REFUSED
        codes.append(GateCode.APPROVAL_REFUSED if refused else GateCode.APPROVAL_NEEDED)
    return tuple(dict.fromkeys(codes))


_CODE_OF_RULE = {
    Rule.PURPOSE: GateCode.SCOPE_PURPOSE,
    Rule.AUDIENCE: GateCode.SCOPE_AUDIENCE,
    Rule.MAKER: GateCode.SCOPE_MAKER,
    Rule.SECONDS: GateCode.SCOPE_LIMITS,
    Rule.USES: GateCode.SCOPE_LIMITS,
    Rule.CATEGORY_FORBIDDEN: GateCode.SCOPE_CONTENT,
    Rule.CATEGORY_NOT_ALLOWED: GateCode.SCOPE_CONTENT,
    Rule.TERRITORY: GateCode.SCOPE_TERRITORY,
}


_CODE_OF_PROBLEM = {
    TokenCode.BAD_SIGNATURE: GateCode.BAD_SIGNATURE,
    TokenCode.WRONG_TYPE: GateCode.BAD_SIGNATURE,
    TokenCode.WRONG_AUDIENCE: GateCode.WRONG_AUDIENCE,
    TokenCode.EXPIRED: GateCode.EXPIRED,
    TokenCode.NOT_YET_VALID: GateCode.NOT_YET_VALID,
}


_CODE_OF_PROOF = {
    DpopCode.DPOP_MISSING: GateCode.DPOP_MISSING,
    DpopCode.DPOP_INVALID: GateCode.DPOP_INVALID,
    DpopCode.DPOP_WRONG_REQUEST: GateCode.DPOP_WRONG_REQUEST,
    DpopCode.DPOP_WRONG_TOKEN: GateCode.DPOP_WRONG_TOKEN,
    DpopCode.DPOP_STALE: GateCode.DPOP_STALE,
    DpopCode.USE_DPOP_NONCE: GateCode.USE_DPOP_NONCE,
    DpopCode.DPOP_REPLAYED: GateCode.DPOP_REPLAYED,
    DpopCode.KEY_MISMATCH: GateCode.KEY_MISMATCH,
}

_CODE_OF_STATUS = {
    Status.REVOKED: GateCode.REVOKED,
    Status.SUSPENDED: GateCode.SUSPENDED,
    Status.DISPUTED: GateCode.DISPUTED,
}


def _is_of(token: ConsentToken, record: ConsentRecord) -> bool:
    """The two speak of the same consent, person, templates and live check."""
    return (token.consent_id, token.subject_id, token.template_commitment, token.assurance) == (
        record.consent_id,
        record.subject_id,
        record.template_commitment,
        record.assurance,
    )


def says_forbidden(script: str, words: Sequence[str]) -> bool:
    """Whether a script has one of these words or phrases, by :func:`consent.scope.plain_words`: whole words where the
    script spaces its words, anywhere in it where a word has letters of scripts that do not.

    It finds what is written, not what is meant: misspellings and other words for the same thing get through.
    """
    spoken = plain_words(script)
    closed_up = spoken.replace(" ", "")
    for word in map(plain_words, words):
        if not word:
            continue
        if f" {word} " in f" {spoken} ":
            return True
        if _UNSPACED.search(word) and word.replace(" ", "") in closed_up:
            return True
    return False


_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, Japanese, Chinese and Korean (which spaces phrases, not words)."""


def _whose(face: FaceSeen, holding: list[_Holding], same_person: float) -> int | GateCode:
    """The number of the token whose person this face is, or why it is nobody's (step 5)."""
    if not holding:
        return GateCode.NO_TOKEN
    if face.template is None or not _is_sound(face.template):
        return GateCode.FACE_UNJUDGED
    best, best_number = -math.inf, None
    for held in holding:
        for template in held.templates:
            try:
                cosine = similarity(face.template, template)
            except ContractMismatch:  # with one of them it cannot be compared: it may be that one's
                return GateCode.FACE_UNJUDGED
            if cosine > best:
                best, best_number = cosine, held.number
    if best_number is None or best < same_person:
        return GateCode.UNKNOWN_FACE
    return best_number


def _whose_input(given: InputSeen, holding: list[_Holding]) -> tuple[GateCode | None, set[int]]:
    """Why an input without a face to look at is not covered, if it is not, and the tokens of those whose it is (step 5)."""
    if given.problem is not None:
        return given.problem, set()
    if not given.consents:
        return GateCode.HIDDEN_FACE, set()
    numbers = {held.record.consent_id: held.number for held in holding}
    missing = [consent_id for consent_id in given.consents if consent_id not in numbers]
    return GateCode.NO_TOKEN if missing else None, {numbers[each] for each in given.consents if each in numbers}


def _is_sound(template: FaceTemplate) -> bool:
    """Finite and of unit length: a longer vector would be similar to everybody."""
    vector = template.vector
    if not isinstance(vector, np.ndarray) or vector.ndim != 1 or vector.dtype != np.float32 or vector.size == 0:
        return False
    length = float(np.sqrt(np.dot(vector, vector)))
    return math.isfinite(length) and abs(length - 1) <= _UNIT


def commit_template(templates: Sequence[FaceTemplate], salt: bytes) -> str:
    """HMAC-SHA256 over contract and vector of each template, in order, under ``salt``, in hex.

    Tokens and records carry it: it binds them to the templates and, without the salt, tells nothing about them. Contract
    and vector go in with their lengths, the vector as little-endian float32, so that no two lists read alike.

    Raises:
        ConsentInvalid: code ``commitment_invalid``, when there is no template or the salt is under 16 bytes.
    """
    if not templates or len(salt) < 16:
        raise ConsentInvalid("a commitment needs templates and a salt of 16 bytes or more", code="commitment_invalid")
    mac = hmac.new(salt, COMMITMENT, hashlib.sha256)
    for template in templates:
        for part in (template.contract_id.encode("utf-8"), template.vector.astype("<f4").tobytes()):
            mac.update(len(part).to_bytes(8, "big") + part)
    return mac.hexdigest()


# --- permits as text -------------------------------------------------------------------------------------------------


def sign_permit(permit: Permit, key: SigningKey, *, issuer: str = ISSUER) -> str:
    """The permit as a JWT for its backend."""
    issued_s = to_seconds(permit.issued_at)
    claims: dict[str, Json] = {
        "iss": issuer,
        "aud": permit.backend,
        "jti": permit.permit_id,
        "iat": issued_s,
        "nbf": issued_s,
        "exp": to_seconds(permit.expires_at),
        "purpose": permit.purpose,
        "job": permit.job_sha256,
        "consents": [{"cid": consent_id, "sub": subject_id} for consent_id, subject_id in permit.consents],
        "assurance": permit.assurance,
        "obligations": {
            "visible_label": permit.obligations.visible_label,
            "manifest": permit.obligations.manifest,
            "max_seconds": permit.obligations.max_seconds,
            "retention_s": permit.obligations.retention_s,
        },
    }
    if permit.jkt is not None:
        claims["cnf"] = {"jkt": permit.jkt}
    return key.sign(claims, typ=PERMIT_TYPE)


def verify_permit(compact: str, keys: KeySet, *, audience: str, now: datetime, issuer: str = ISSUER) -> Permit:
    """The permit in a JWT, valid for this backend now. That it is spent only once, and that no consent behind it was
    revoked since, is for whoever keeps the permits to say.

    Raises:
        PermitInvalid: codes ``permit_expired`` when only its time is over, else ``permit_invalid``.
    """
    try:
        permit = _permit(keys.open(compact, typ=PERMIT_TYPE, max_chars=_MAX_PERMIT_CHARS), issuer)
    except (SignatureInvalid, Malformed, ValueError) as error:
        raise PermitInvalid("not a permit signed by us") from error
    if permit.backend != audience:
        raise PermitInvalid("for another backend")
    if now < permit.issued_at:
        raise PermitInvalid("not valid yet")
    if now >= permit.expires_at:
        raise PermitInvalid("expired", code="permit_expired")
    return permit


def _permit(claims: Members, issuer: str) -> Permit:
    claims.exactly("iss", issuer)
    obliged = claims.members("obligations")
    obligations = Obligations(
        visible_label=obliged.flag("visible_label"),
        manifest=obliged.flag("manifest"),
        max_seconds=obliged.whole("max_seconds"),
        # permits of the release before do not say
        retention_s=obliged.whole("retention_s") if obliged.has("retention_s") else RETENTION_S,
    )
    obliged.end()
    consents: list[tuple[str, str]] = []
    for item in claims.items("consents"):
        pair = Members(item)
        consents.append((pair.text("cid"), pair.text("sub")))
        pair.end()
    permit = Permit(
        permit_id=claims.text("jti"),
        backend=claims.text("aud"),
        purpose=Purpose(claims.text("purpose")),
        job_sha256=claims.sha256("job"),
        consents=tuple(consents),
        assurance=SubjectAssurance(claims.text("assurance")),
        issued_at=claims.seconds("iat"),
        expires_at=claims.seconds("exp"),
        obligations=obligations,
        jkt=read_confirmation(claims),
    )
    if claims.seconds("nbf") != permit.issued_at or not permit.consents:
        raise Malformed("nbf differs from iat, or nobody consented")
    claims.end()
    return permit
