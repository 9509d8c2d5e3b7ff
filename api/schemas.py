"""Bodies of requests and answers. Unknown fields are refused; everything becomes a domain type before anything else sees it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from consent.authority import AuthorityType, QuorumRule, Relation, SubjectState
from consent.directive import Wish
from consent.terms import Purpose
from liveness.digits import Language
from liveness.policy import Path as LivenessPath

Id = Annotated[str, StringConstraints(pattern=r"^[a-z]{3}_[0-9a-f]{32}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Token = Annotated[str, StringConstraints(min_length=1, max_length=4096)]

_EXAMPLE_SESSION = "ses_5f0c2e1d9a7b4c3e8d6f1a2b3c4d5e6f"
_EXAMPLE_CONSENT = "cns_0a1b2c3d4e5f60718293a4b5c6d7e8f9"
_EXAMPLE_MEDIA = "med_1f2e3d4c5b6a79880796a5b4c3d2e1f0"
_EXAMPLE_CLIP = "clp_9e8d7c6b5a49382716f5e4d3c2b1a090"
_EXAMPLE_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_EXAMPLE_TIME = "2027-01-31T12:00:00Z"


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [values]})


class ProblemBody(BaseModel):
    """RFC 9457 problem."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:mien:problem:challenge_spent",
                    "title": "The challenge was spent by an earlier recording",
                    "status": 409,
                    "code": "challenge_spent",
                }
            ]
        }
    )
    type: str
    title: str
    status: int
    code: str
    detail: str | None = None


# --- live checks -----------------------------------------------------------------------------------------------------


class NewSession(Body):
    model_config = _example(subject_ref="user-2041", language="en", purpose="digital_double")
    subject_ref: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="your own name for the person; kept only as a keyed digest"
    )
    language: Language
    purpose: Purpose
    policy: str | None = Field(None, description="strict or simulated; unset: the service's own")
    device_ref: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        None,
        description="your own name for the device; failures are counted per person and per device. Kept as a keyed digest",
    )


class ChallengeWish(Body):
    """What the person chose, before anything is drawn. Nothing is assumed about why."""

    model_config = _example(path="small_turns", extra_time=True)
    path: LivenessPath = Field(
        default=LivenessPath.STANDARD,
        description="standard; small_turns (15 degrees, more digits); no_speech (nods in place of digits)",
    )
    extra_time: bool = Field(default=False, description="twice the time for everything")
    interleaved: bool = Field(
        default=False, description="digits in groups between the turns; always so in a live session"
    )


class SessionMade(Body):
    model_config = _example(
        session_id=_EXAMPLE_SESSION,
        client_token="mien_person_...",  # noqa: S106 - an example
        expires_at=_EXAMPLE_TIME,
        policy="strict",
    )
    session_id: str
    client_token: str = Field(description="for the person's phone; shown this once")
    expires_at: datetime
    policy: str


class Prompt(Body):
    step: Literal["say", "turn", "nod"]
    text: str
    digits: str | None = None
    turn: Literal["left", "right"] | None = None
    nods: int | None = None


class ChallengeMade(Body):
    model_config = _example(
        challenge_id="chl_5f0c2e1d9a7b4c3e8d6f1a2b3c4d5e6f",
        digits="480215",
        turns=["left", "right", "left"],
        prompts=[{"step": "say", "text": "Look at the camera and say, one by one: 4 8 0 2 1 5"}],
        nonce="5f0c2e1d9a7b4c3e8d6f1a2b3c4d5e6f",
        expires_at=_EXAMPLE_TIME,
        attempts_left=2,
    )
    challenge_id: str
    digits: str
    turns: list[Literal["left", "right"]]
    prompts: list[Prompt] = Field(description="in the order in which the steps must be done")
    path: LivenessPath = LivenessPath.STANDARD
    extra_time: bool = False
    nonce: str
    expires_at: datetime
    attempts_left: int


class CaptureTaken(Body):
    model_config = _example(session_id=_EXAMPLE_SESSION, status="judging")
    session_id: str
    status: str


class Advice(Body):
    code: str
    text: str
    place: int | None = Field(
        None, description="which digit, turn or cue, from 1, where the code is about one of several"
    )


class SessionState(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "session_id": _EXAMPLE_SESSION,
                    "status": "failed",
                    "reasons": ["turn_missing"],
                    "advice": [{"code": "turn_missing", "text": "Turn further to the side."}],
                    "attempts_left": 1,
                    "expires_at": _EXAMPLE_TIME,
                }
            ]
        }
    )
    session_id: str
    status: Literal["created", "challenged", "judging", "passed", "failed", "expired"]
    reasons: list[str] = Field(description="codes, in the order of the checks")
    advice: list[Advice] = Field(description="what the person can do about each, in the language of the session")
    attempts_left: int
    expires_at: datetime
    assurance: str | None = Field(None, description="of a passed session")
    path: str | None = Field(None, description="the path of the current challenge")
    locked_until: datetime | None = Field(None, description="after too many failures: when the next attempt may begin")
    verdicts: list[dict[str, Any]] | None = Field(None, description="values and limits; for auditors only")


# --- consent ---------------------------------------------------------------------------------------------------------


class TermsShown(Body):
    version: str
    language: str
    text: str
    sha256: str


class LimitsGiven(Body):
    max_seconds: int = Field(60, ge=1, le=600, description="longest clip, seconds")
    forbidden_words: list[Annotated[str, StringConstraints(min_length=1, max_length=64)]] = Field([], max_length=200)
    uses: int | None = Field(None, ge=1, le=1_000_000, description="how many permits may be redeemed in all")


Audience = Annotated[
    list[Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9][a-z0-9._-]{0,62})$")]],
    Field(min_length=0, max_length=50, description='names of backends; ["*"] for every one'),
]
Purposes = Annotated[list[Purpose], Field(min_length=1, max_length=10)]


class NewConsent(Body):
    model_config = _example(
        session_id=_EXAMPLE_SESSION,
        terms_sha256=_EXAMPLE_SHA256,
        purposes=["digital_double"],
        audience=["portrait"],
        limits={"max_seconds": 30, "forbidden_words": ["lottery"], "uses": 10},
        expires_at=_EXAMPLE_TIME,
    )
    session_id: Id
    terms_sha256: Sha256 = Field(description="of the words that were shown: see /v1/terms/{language}")
    purposes: Purposes
    audience: Audience
    limits: LimitsGiven = LimitsGiven.model_construct(max_seconds=60, forbidden_words=[], uses=None)
    expires_at: AwareDatetime | None = Field(None, description="unset: a year from now")


class Narrowing(Body):
    """What is left out stays as it is."""

    model_config = _example(audience=["portrait"], limits={"max_seconds": 10})
    purposes: Purposes | None = None
    audience: Audience | None = None
    limits: LimitsGiven | None = None
    expires_at: AwareDatetime | None = None


class ConsentGiven(Body):
    model_config = _example(
        consent_id=_EXAMPLE_CONSENT,
        record="eyJhbGciOiJFZERTQSIsInR5cCI6ImNvbnNlbnQtcmVjb3JkK2p3cyJ9...",
        receipt={"entry": {"index": 17}},
        manage_token="mien_person_...",  # noqa: S106 - an example
    )
    consent_id: str
    record: str = Field(description="signed record, compact JWS")
    receipt: dict[str, Any] = Field(description="proves that the record is in the log; checkable offline")
    manage_token: str = Field(description="for the person: to look at, narrow and revoke this consent; shown this once")


class ConsentState(Body):
    model_config = _example(
        consent_id=_EXAMPLE_CONSENT,
        state="given",
        purposes=["digital_double"],
        audience=["portrait"],
        limits={"max_seconds": 30, "forbidden_words": [], "uses": None},
        expires_at=_EXAMPLE_TIME,
        assurance="web",
        record="eyJ...",
        receipt={"entry": {"index": 17}},
    )
    consent_id: str
    state: str
    purposes: list[str]
    audience: list[str]
    limits: LimitsGiven
    expires_at: datetime
    assurance: str
    record: str
    receipt: dict[str, Any]


class NewToken(Body):
    model_config = _example(audience="portrait", purpose="digital_double", ttl_s=600)
    audience: Name
    purpose: Purpose
    ttl_s: int = Field(600, ge=10, le=3600)


class TokenMade(Body):
    model_config = _example(token="eyJ...", expires_at=_EXAMPLE_TIME)  # noqa: S106 - an example
    token: str
    expires_at: datetime


# --- media -----------------------------------------------------------------------------------------------------------


class FaceBox(Body):
    x: float
    y: float
    width: float
    height: float


class FaceFound(Body):
    face_id: str
    box: FaceBox = Field(description="pixels of the upright picture, or of the picture at at_ms")
    at_ms: int | None = Field(None, description="of a video: milliseconds from its first picture")
    quality: Literal["good", "unjudged"] = Field(description="unjudged: a face is there and could not be measured")


class MediaTaken(Body):
    model_config = _example(
        media_id=_EXAMPLE_MEDIA,
        kind="picture",
        sha256=_EXAMPLE_SHA256,
        faces=[
            {"face_id": "0", "box": {"x": 120, "y": 80, "width": 210, "height": 260}, "at_ms": None, "quality": "good"}
        ],
        expires_at=_EXAMPLE_TIME,
    )
    media_id: str
    kind: Literal["picture", "video", "sound"]
    sha256: str
    faces: list[FaceFound]
    expires_at: datetime


# --- the gate (OpenID AuthZEN Authorization API 1.0) -----------------------------------------------------------------


class GateSubject(Body):
    type: Literal["backend"]
    id: Name


class GateAction(Body):
    name: Literal["generate"]


class GivenEmbedding(Body):
    contract_id: Annotated[str, StringConstraints(max_length=200)]
    vector: Annotated[list[float], Field(min_length=1, max_length=4096)]


class LikenessClaim(Body):
    consent_tokens: list[Token] = Field([], max_length=16)
    media: list[Id] = Field([], max_length=16)
    embeddings: list[GivenEmbedding] = Field([], max_length=64)


class GateResource(Body):
    type: Literal["likeness"]
    id: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    properties: LikenessClaim


class GateContext(Body):
    purpose: Purpose
    job_sha256: Sha256
    seconds: int | None = Field(None, ge=1, le=3600)
    script: Annotated[str, StringConstraints(max_length=10_000)] | None = Field(
        None, description="words to be spoken or shown; held against the words that a person forbade, and not kept"
    )


class Evaluation(Body):
    model_config = _example(
        subject={"type": "backend", "id": "studio"},
        action={"name": "generate"},
        resource={
            "type": "likeness",
            "id": "job-1",
            "properties": {"consent_tokens": ["eyJ..."], "media": [_EXAMPLE_MEDIA]},
        },
        context={"purpose": "digital_double", "job_sha256": _EXAMPLE_SHA256, "seconds": 10},
    )
    subject: GateSubject
    action: GateAction
    resource: GateResource
    context: GateContext


class Evaluations(Body):
    """Batch: ``evaluations`` are objects as for a single one; what is left out of one is taken from the top level."""

    model_config = _example(
        subject={"type": "backend", "id": "studio"},
        action={"name": "generate"},
        context={"purpose": "digital_double", "job_sha256": _EXAMPLE_SHA256},
        evaluations=[{"resource": {"type": "likeness", "id": "job-1", "properties": {"consent_tokens": ["eyJ..."]}}}],
        options={"evaluations_semantic": "execute_all"},
    )
    subject: GateSubject | None = None
    action: GateAction | None = None
    resource: GateResource | None = None
    context: GateContext | None = None
    evaluations: list[dict[str, Any]] = Field(min_length=1, max_length=16)
    options: dict[str, str] | None = None


class Decision(Body):
    model_config = _example(
        decision=False, context={"reasons": [{"code": "unknown_face", "face": 1, "media_id": _EXAMPLE_MEDIA}]}
    )
    decision: bool
    context: dict[str, Any]


class Decisions(Body):
    evaluations: list[Decision]


class PermitShown(Body):
    model_config = _example(permit="eyJ...", job_sha256=_EXAMPLE_SHA256)
    permit: Token
    job_sha256: Sha256


class PermitRedeemed(Body):
    permit_id: str
    redeemed_at: datetime
    obligations: dict[str, Any]


class WorkDone(Body):
    model_config = _example(permit="eyJ...", output_sha256=_EXAMPLE_SHA256)
    permit: Token
    output_sha256: Sha256


class WorkNoted(Body):
    permit_id: str
    completed_at: datetime


# --- clips -----------------------------------------------------------------------------------------------------------


class NewClip(Body):
    model_config = _example(
        kind="portrait",
        backend="portrait",
        tokens=["eyJ..."],
        media=[],
        script="Hello. I said yes to this clip.",
        purpose="digital_double",
        width=1280,
        height=720,
    )
    kind: Literal["portrait"] = "portrait"
    backend: Name = "portrait"
    tokens: list[Token] = Field([], max_length=16)
    media: list[Id] = Field([], max_length=4, description="photographs to move; none: the portrait of the live check")
    script: Annotated[str, StringConstraints(min_length=1, max_length=2_000)] | None = None
    sound: Id | None = Field(None, description="media id of a recording to speak with, instead of a script")
    purpose: Purpose = Purpose.DIGITAL_DOUBLE
    language: Language = Language.ENGLISH
    max_seconds: int | None = Field(None, ge=1, le=60, description="unset: as long as the people involved allow")
    width: int = Field(1280, ge=320, le=1920, multiple_of=2)
    height: int = Field(720, ge=320, le=1920, multiple_of=2)


class ClipAccepted(Body):
    model_config = _example(clip_id=_EXAMPLE_CLIP, state="queued")
    clip_id: str
    state: str


class ClipState(Body):
    model_config = _example(
        clip_id=_EXAMPLE_CLIP,
        kind="portrait",
        backend="portrait",
        state="done",
        progress=1.0,
        reasons=[],
        sha256=_EXAMPLE_SHA256,
        duration_ms=8000,
    )
    clip_id: str
    kind: str
    backend: str
    state: Literal["queued", "running", "done", "failed", "cancelled", "withdrawn"]
    progress: float = Field(description="0..1")
    code: str | None = Field(None, description="why it failed")
    reasons: list[dict[str, Any]]
    sha256: str | None = None
    duration_ms: int | None = None


# --- the log ---------------------------------------------------------------------------------------------------------


class LogEntries(Body):
    entries: list[dict[str, Any]]
    next: int | None = Field(description="index to go on from; none at the end")


# --- who speaks for somebody else ------------------------------------------------------------------------------------

Ref = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Share = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,8}/[1-9][0-9]{0,8}$")]
_EXAMPLE_CASE = "ath_7c1b9d0e2f3a4b5c6d7e8f9a0b1c2d3e"


class PartyGiven(Body):
    ref: Ref = Field(description="your own name for them; their own live checks run under it")
    relation: Relation
    share: Share | None = Field(None, description="exact, in lowest terms, where shares decide: 1/3")


class NewAuthority(Body):
    model_config = _example(
        subject_ref="user-2041",
        type="heir",
        subject_state="deceased",
        jurisdiction="DE",
        quorum_rule="all_first_rank",
        purposes=["digital_double"],
        parties=[{"ref": "widow-1", "relation": "spouse"}, {"ref": "son-1", "relation": "child"}],
        died="2026-10-01",
    )
    subject_ref: Ref
    type: AuthorityType
    subject_state: SubjectState
    jurisdiction: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]
    quorum_rule: QuorumRule
    purposes: list[Purpose] = Field([], max_length=10, description="what everybody signs for; none for an agent")
    parties: list[PartyGiven] = Field(min_length=1, max_length=64, description="everyone with a say, signing or not")
    born: date | None = Field(None, description="of a minor")
    died: date | None = Field(None, description="of someone who has died")
    objection_days: int = Field(14, ge=1, le=365, description="14 to 180")
    language: Literal["en", "zh"] = Field("en", description="of the reasons in the answer")


class AuthorityReview(Body):
    model_config = _example(
        approve=True,
        reason="originals seen",
        photographs=["pic_2b3c4d5e6f708192a3b4c5d6e7f80910"],
        dossier_sha256=_EXAMPLE_SHA256,
    )
    approve: bool
    reason: Annotated[str, StringConstraints(max_length=500)] = Field("", description="needed where you refuse")
    photographs: list[Id] = Field([], max_length=24, description="those you approve of")
    dossier_sha256: Sha256 = Field(description="of the dossier you looked at")


class AuthorityObjection(Body):
    """A relative objects with their own token and an empty body; the app for a relative who reached it otherwise."""

    model_config = _example(ref="son-2", relation="child")
    ref: Ref | None = None
    relation: Relation | None = Field(None, description="of somebody who is not on the list")


class AuthorityReason(Body):
    code: str
    text: str


class PartyShown(Body):
    party_id: str
    relation: str
    share: str | None
    signed: bool
    you: bool = Field(False, description="whose token this is")


class AuthorityFileShown(Body):
    file_id: str
    kind: str
    sha256: str
    issuer: str | None = None
    shows: list[str] = []


class AuthorityState(Body):
    model_config = _example(
        case_id=_EXAMPLE_CASE,
        stage="documents",
        type="heir",
        subject_state="deceased",
        jurisdiction="DE",
        quorum_rule="all_first_rank",
        purposes=["digital_double"],
        parties=[],
        documents=[],
        photographs=[],
        approvals=0,
        objections=0,
        missing=[{"code": "quorum_missing", "text": "Not everyone who must agree has signed."}],
        dossier_sha256=_EXAMPLE_SHA256,
        opened_at=_EXAMPLE_TIME,
        liveness="not_applicable",
        assurance="curated",
    )
    case_id: str
    stage: str
    type: str
    subject_state: str
    jurisdiction: str
    quorum_rule: str
    purposes: list[str]
    parties: list[PartyShown]
    documents: list[AuthorityFileShown]
    photographs: list[AuthorityFileShown]
    approvals: int
    objections: int = Field(description="open ones")
    missing: list[AuthorityReason] = Field(description="what a reviewer cannot approve without, and what to do")
    dossier_sha256: str = Field(description="a review names it")
    opened_at: datetime
    window_from: datetime | None = None
    window_to: datetime | None = Field(None, description="until then any nearest relative ends it")
    granted_at: datetime | None = None
    valid_to: datetime | None = None
    consent_until: datetime | None = Field(None, description="the end that no consent given now may outlast")
    liveness: str = Field(description="of the subject: never applicable here")
    assurance: str


class AuthorityStep(Body):
    number: int
    at: datetime
    step: str
    stage: str
    actor: str
    case_sha256: str


class AuthorityCourse(Body):
    events: list[AuthorityStep]


class DirectiveGiven(Body):
    model_config = _example(wish="forbid", purposes=[], until=None)
    wish: Wish
    purposes: list[Purpose] = Field([], max_length=10, description="allow: these and no others; forbid: none means all")
    until: AwareDatetime | None = Field(None, description="unset: for good")
    language: Literal["en", "zh"] = "en"


class DirectiveShown(Body):
    model_config = _example(wish="forbid", purposes=[], until=None, at=_EXAMPLE_TIME)
    wish: str
    purposes: list[str]
    until: datetime | None
    at: datetime
