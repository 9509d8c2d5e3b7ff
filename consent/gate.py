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

from consent.canonical import Json, Malformed, Members, is_sha256, to_seconds, whole_second
from consent.errors import ConsentInvalid, PermitInvalid, SignatureInvalid
from consent.keys import KeySet, SigningKey
from consent.record import ConsentRecord, ConsentState, Limits, plain_words
from consent.terms import Purpose
from consent.tokens import ISSUER, ConsentToken, TokenCode, TokenProblem
from liveness.errors import ContractMismatch
from liveness.evidence import Box
from liveness.policy import Assurance
from liveness.template import FaceTemplate, similarity

log = logging.getLogger("mien.consent")

PERMIT_TYPE = "permit+jwt"
PERMIT_LIFE = timedelta(seconds=300)  # design: start of the work, not its length; a longer one is worth stealing
COMMITMENT = b"mien-template-1"

_MAX_PERMIT_CHARS = 8192
_MAX_FACES = 4096  # a clip of 30 s looked at twice a second, with many people
_MAX_TOKENS = 16
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
    scope_purpose      the consent or its token is for other purposes.
    scope_audience     the consent does not cover this backend (any more).
    scope_limits       too long, a word the person forbade, or used as often as allowed; or not stated, so not checked.
    assurance_too_low  the live check behind the consent is worth less than the backend asks for.
    unknown_face       this face is nobody's whose consent was presented.
    face_unjudged      a face is there and could not be compared, so it may be anybody.
    no_face            consents were presented or asked for, and there is no face.
    token_unused       a token was presented whose person is not in the picture.
    replay             the same token was presented twice.
    record_missing     there is no record, or no templates, that belong to this token.
    backend_blocked    this backend has not confirmed in time that it deleted what an ended consent had let it keep.
    gate_error         something failed inside; nothing is permitted by failing.
    """

    NO_TOKEN = "no_token"  # noqa: S105 - a reason code
    BAD_SIGNATURE = "bad_signature"
    WRONG_AUDIENCE = "wrong_audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    REVOKED = "revoked"
    SCOPE_PURPOSE = "scope_purpose"
    SCOPE_AUDIENCE = "scope_audience"
    SCOPE_LIMITS = "scope_limits"
    ASSURANCE_TOO_LOW = "assurance_too_low"
    UNKNOWN_FACE = "unknown_face"
    FACE_UNJUDGED = "face_unjudged"
    NO_FACE = "no_face"
    TOKEN_UNUSED = "token_unused"  # noqa: S105 - a reason code
    REPLAY = "replay"
    RECORD_MISSING = "record_missing"
    BACKEND_BLOCKED = "backend_blocked"
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Use:
    """What a backend wants to do.

    faces : every face in every picture that goes into the work; all of them, or the answer is worth nothing.
    job_sha256 : hash of the job, which the permit is bound to.
    seconds : length of the clip; ``None`` when not known yet (the permit then bounds it).
    script : all words that will be spoken; ``""`` when none are; ``None`` when not known, which is refused where a
        person forbade words.
    """

    backend: str
    purpose: Purpose
    faces: tuple[FaceSeen, ...]
    job_sha256: str
    seconds: int | None
    minimum_assurance: Assurance
    script: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Presented:
    """One token that came with the use, and what storage holds about its consent.

    record : folded from all events of the token's consent, read just now; ``None`` when there is none.
    templates : the person's enrolled templates; empty when they were destroyed.
    salt : of the template commitment; without it nobody can tell whose templates these are, so they count as missing.
    uses_so_far : permits given on this consent before; needed where the person bounded them.
    """

    token: ConsentToken | TokenProblem
    record: ConsentRecord | None
    templates: tuple[FaceTemplate, ...] = field(repr=False)
    salt: bytes | None = field(default=None, repr=False)
    uses_so_far: int | None = None


# --- what is answered ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReason:
    """One reason. A face is named by index, medium and box; a token by its place among those presented."""

    code: GateCode
    face_index: int | None = None
    media_id: str | None = None
    box: Box | None = None
    token_index: int | None = None


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
    """What whoever uses the permit must do. ``max_seconds``: the shortest limit of the people involved."""

    visible_label: bool = True
    manifest: bool = True
    max_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Yes: this backend, this purpose, this job, these people, for a few minutes. Made by :func:`decide` and read back
    by :func:`verify_permit`, nowhere else.

    consents : ``(consent_id, subject_id)`` of everyone shown, sorted. assurance : the lowest among them.
    issued_at, expires_at : whole seconds, half-open.
    """

    permit_id: str
    backend: str
    purpose: Purpose
    job_sha256: str
    consents: tuple[tuple[str, str], ...]
    assurance: Assurance
    issued_at: datetime
    expires_at: datetime
    obligations: Obligations


def decide(
    use: Use, presented: Sequence[Presented], *, same_person: float, permit_id: str, now: datetime
) -> Permit | Refusal:
    """A permit when every face is covered by a consent that holds, and every token by a face. Else every reason why not.

    ``same_person`` is the least cosine at which two templates are one person's (``LivenessPolicy.same_person``).

    1. The request is one that can be judged: backend, job hash, threshold, time and counts are sound.
    2. No token is there twice.
    3. Each token, alone: it verified; it is for this backend and purpose and in force now; the record is its own; the
       consent was never revoked and is in force now; the record still covers purpose and backend; length, words and
       number of uses are within its limits; its live check is worth enough; its templates are there and the committed.
    4. There is a face.
    5. Each face, with the tokens that passed 3: it can be compared with all of them, and is its best match's person.
    6. Each token that passed 3 is the best match of some face.
    7. No reason has come up: a permit, which ends with the first of 300 s, the tokens and the records.

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
        code: GateCode | None = None
        if isinstance(one.token, ConsentToken) and one.token.token_id in seen_ids:  # 2
            code = GateCode.REPLAY
        else:
            found = _judge_token(use, number, one, now)  # 3
            if isinstance(found, _Holding):
                holding.append(found)
            else:
                code = found
        if isinstance(one.token, ConsentToken):
            seen_ids.add(one.token.token_id)
        if code is not None:
            reasons.append(GateReason(code=code, token_index=number))

    if not use.faces:  # 4
        reasons.append(GateReason(code=GateCode.NO_FACE))
    used: set[int] = set()
    for face in use.faces:  # 5
        match = _whose(face, holding, same_person)
        if isinstance(match, GateCode):
            reasons.append(GateReason(code=match, face_index=face.index, media_id=face.media_id, box=face.box))
        else:
            used.add(match)
    if use.faces:  # 6
        for held in holding:
            if held.number not in used:
                reasons.append(GateReason(code=GateCode.TOKEN_UNUSED, token_index=held.number))

    if reasons:
        return Refusal(reasons=tuple(reasons))
    issued_at = whole_second(now)  # 7
    ends = [issued_at + PERMIT_LIFE]
    ends += [whole_second(end) for held in holding for end in (held.token.expires_at, held.record.expires_at)]
    if min(ends) <= issued_at:
        return Refusal(reasons=(GateReason(code=GateCode.EXPIRED),))
    return Permit(
        permit_id=permit_id,
        backend=use.backend,
        purpose=use.purpose,
        job_sha256=use.job_sha256,
        consents=tuple(sorted({(held.record.consent_id, held.record.subject_id) for held in holding})),
        assurance=min((held.record.assurance for held in holding), key=lambda assurance: assurance.rank),
        issued_at=issued_at,
        expires_at=min(ends),
        obligations=Obligations(max_seconds=min(held.record.limits.max_seconds for held in holding)),
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
        and isinstance(use.minimum_assurance, Assurance)
        and is_sha256(use.job_sha256)
        and (use.seconds is None or (math.isfinite(use.seconds) and use.seconds > 0))
        and len(use.faces) <= _MAX_FACES
        and len(presented) <= _MAX_TOKENS
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Holding:
    """A token that passed step 3; ``number`` is its place among those presented."""

    number: int
    token: ConsentToken
    record: ConsentRecord
    templates: tuple[FaceTemplate, ...]


def _judge_token(use: Use, number: int, one: Presented, now: datetime) -> _Holding | GateCode:
    """Step 3 for one token: the first rule it breaks."""
    token, record = one.token, one.record
    if isinstance(token, TokenProblem):
        return _CODE_OF_PROBLEM[token.code]
    if token.audience != use.backend:
        return GateCode.WRONG_AUDIENCE
    if token.purpose != use.purpose:
        return GateCode.SCOPE_PURPOSE
    if record is None or not _is_of(token, record):
        return GateCode.RECORD_MISSING
    if record.revoked is not None:  # whatever ``now`` is: a clock that went back revives nothing
        return GateCode.REVOKED
    if now < token.issued_at or record.state_at(now) is ConsentState.UNKNOWN:
        return GateCode.NOT_YET_VALID
    if now >= token.expires_at or now >= record.expires_at or not record.state_at(now).allows_use:
        return GateCode.EXPIRED
    if use.purpose not in record.purposes:
        return GateCode.SCOPE_PURPOSE
    if not record.scope.covers(use.backend):
        return GateCode.SCOPE_AUDIENCE
    if not _within_limits(use, record.limits, one.uses_so_far):
        return GateCode.SCOPE_LIMITS
    if not record.assurance.satisfies(use.minimum_assurance):
        return GateCode.ASSURANCE_TOO_LOW
    if not one.templates or not all(_is_sound(template) for template in one.templates):
        return GateCode.RECORD_MISSING
    if one.salt is None or commit_template(one.templates, one.salt) != record.template_commitment:
        return GateCode.RECORD_MISSING
    return _Holding(number, token, record, one.templates)


_CODE_OF_PROBLEM = {
    TokenCode.BAD_SIGNATURE: GateCode.BAD_SIGNATURE,
    TokenCode.WRONG_TYPE: GateCode.BAD_SIGNATURE,
    TokenCode.WRONG_AUDIENCE: GateCode.WRONG_AUDIENCE,
    TokenCode.EXPIRED: GateCode.EXPIRED,
    TokenCode.NOT_YET_VALID: GateCode.NOT_YET_VALID,
}


def _is_of(token: ConsentToken, record: ConsentRecord) -> bool:
    """The two speak of the same consent, person, templates and live check."""
    return (token.consent_id, token.subject_id, token.template_commitment, token.assurance) == (
        record.consent_id,
        record.subject_id,
        record.template_commitment,
        record.assurance,
    )


def _within_limits(use: Use, limits: Limits, uses_so_far: int | None) -> bool:
    if use.seconds is not None and use.seconds > limits.max_seconds:
        return False
    if limits.forbidden_words and (use.script is None or says_forbidden(use.script, limits.forbidden_words)):
        return False
    return limits.uses is None or (uses_so_far is not None and 0 <= uses_so_far < limits.uses)


def says_forbidden(script: str, words: Sequence[str]) -> bool:
    """Whether a script has one of these words or phrases, by :func:`consent.record.plain_words`: whole words where the
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
        },
    }
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
        assurance=Assurance(claims.text("assurance")),
        issued_at=claims.seconds("iat"),
        expires_at=claims.seconds("exp"),
        obligations=obligations,
    )
    if claims.seconds("nbf") != permit.issued_at or not permit.consents:
        raise Malformed("nbf differs from iat, or nobody consented")
    claims.end()
    return permit
