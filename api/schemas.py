"""Bodies of requests and answers. Unknown fields are refused; everything becomes a domain type before anything else sees it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api.settings import LONGEST_DEADLINE_S
from api.webhooks import Event
from consent.authority import AuthorityType, QuorumRule, Relation, SubjectState
from consent.content import ContentCategory
from consent.directive import Wish
from consent.purge import MOST_ASSETS, MOST_SIGNATURE_CHARS
from consent.scope import ApprovalRule, Limits
from consent.terms import Purpose, Reader
from likeness.ark_people import PersonState
from likeness.backends import BackendCard
from likeness.remote import Mode
from liveness.digits import Language
from liveness.policy import Path as LivenessPath

Id = Annotated[str, StringConstraints(pattern=r"^[a-z]{3}_[0-9a-f]{32}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Token = Annotated[str, StringConstraints(min_length=1, max_length=4096)]

Territory = Annotated[str, StringConstraints(pattern=r"^(\*|[A-Z]{2}(-[A-Z0-9]{1,3})?)$")]
Maker = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@/+-]{0,99}$")]

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
    terms_sha256: Sha256 | None = Field(
        default=None, description="of the words that were shown: records the person's yes to being checked with it"
    )
    interleaved: bool = Field(
        default=False, description="digits in groups between the turns; always so in a live session"
    )


class CheckAgreed(Body):
    model_config = _example(terms_sha256=_EXAMPLE_SHA256)
    terms_sha256: Sha256 = Field(description="of the words that were shown: see /v1/terms/{language}")


class CheckRecorded(Body):
    model_config = _example(record="eyJ...", entry={"index": 16}, salt="c2FsdA", destroy_by=_EXAMPLE_TIME)
    record: str = Field(description="signed consent to the check, compact JWS; no consent to a double")
    entry: dict[str, Any] = Field(
        description="its entry in the log: HMAC-SHA256 of what was agreed, keyed with the salt"
    )
    salt: str
    destroy_by: datetime = Field(description="when recording and templates are gone, unless a double is agreed to")


class DoubleAnswer(Body):
    model_config = _example(answer="refused")
    answer: Literal["deferred", "refused"] = Field(
        description="refused: final for this session, and its data is erased"
    )


class DoubleAnswered(Body):
    state: Literal["deferred", "refused"]
    entry: dict[str, Any]


class SessionMade(Body):
    model_config = _example(
        session_id=_EXAMPLE_SESSION,
        client_token="mien_person_...",  # noqa: S106 - an example
        verify_url="https://mien.example/verify/mien_person_...",
        expires_at=_EXAMPLE_TIME,
        policy="strict",
    )
    session_id: str
    client_token: str = Field(description="for the person's phone; shown this once")
    verify_url: str = Field(
        description="the page that does all of it with the person; it holds the token: show it to nobody else"
    )
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
    answer: Literal["given", "refused", "deferred"] | None = Field(
        None, description="what the person said to a double, if they did"
    )
    locked_until: datetime | None = Field(None, description="after too many failures: when the next attempt may begin")
    verdicts: list[dict[str, Any]] | None = Field(None, description="values and limits; for auditors only")


ConsentStanding = Literal["valid", "expired", "suspended", "revoked"]
"""How a consent stands, in one word."""


# --- consent ---------------------------------------------------------------------------------------------------------


class TermsShown(Body):
    version: str
    language: str
    reader: Reader = Field(description="whom these words are for")
    text: str
    sha256: str


class LimitsGiven(Body):
    max_seconds: int = Field(60, ge=1, le=600, description="longest clip, seconds")
    forbidden_words: list[Annotated[str, StringConstraints(min_length=1, max_length=64)]] = Field([], max_length=200)
    uses: int | None = Field(None, ge=1, le=1_000_000, description="how many permits may be redeemed in all")
    forbidden_categories: list[ContentCategory] = Field([], max_length=64, description="what no clip may be about")
    allowed_categories: list[ContentCategory] | None = Field(
        None, max_length=64, description="what alone clips may be about; unset: anything"
    )
    territories: list[Territory] = Field(
        ["*"],
        min_length=1,
        max_length=300,
        description='ISO 3166 codes of where clips may be published; ["*"]: the world',
    )


def limits_of(given: LimitsGiven, before: Limits | None = None) -> Limits:
    """What was given; what was not stays as it was ``before``."""
    allowed = given.allowed_categories
    wanted = Limits(
        max_seconds=given.max_seconds,
        forbidden_words=tuple(given.forbidden_words),
        uses=given.uses,
        forbidden_categories=tuple(given.forbidden_categories),
        allowed_categories=None if allowed is None else tuple(allowed),
        territories=tuple(given.territories),
    )
    if before is None:
        return wanted
    return replace(before, **{name: getattr(wanted, name) for name in given.model_fields_set})


Audience = Annotated[
    list[Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9][a-z0-9._-]{0,62})$")]],
    Field(min_length=0, max_length=50, description='names of backends; ["*"] for every one'),
]
Makers = Annotated[
    list[Annotated[str, StringConstraints(pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9_.:@/+-]{0,99})$")]],
    Field(max_length=50, description='who may ask: ["*"] for everyone, or ids; "self" for the person'),
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
    limits: LimitsGiven = LimitsGiven.model_validate({})
    makers: Makers = ["*"]
    approval: ApprovalRule = Field(ApprovalRule.NEVER, description="always: each use waits for the person's yes")
    expires_at: AwareDatetime | None = Field(None, description="unset: a year from now")


class Narrowing(Body):
    """What is left out stays as it is, also within ``limits``."""

    model_config = _example(audience=["portrait"], limits={"max_seconds": 10})
    purposes: Purposes | None = None
    audience: Audience | None = None
    limits: LimitsGiven | None = None
    makers: Makers | None = None
    approval: ApprovalRule | None = None
    expires_at: AwareDatetime | None = None


class Renewal(Narrowing):
    """A new live check of the same person, and what of the consent goes on; ``expires_at`` unset: a year from now."""

    model_config = _example(session_id=_EXAMPLE_SESSION, terms_sha256=_EXAMPLE_SHA256)
    session_id: Id = Field(description="of the new live check")
    terms_sha256: Sha256


class NewCheck(Body):
    """A live check that the person begins themself."""

    model_config = _example(language="en")
    language: Language = Field(description="in which the digits are spoken")


class Stop(Body):
    """Nothing for the person and the app; an admin says on whose behalf."""

    model_config = _example(on_behalf_of="authority")
    on_behalf_of: Literal["controller", "authority", "review"] | None = None


class Resumption(Stop):
    """``of``: whose suspension ends; unset: one's own."""

    model_config = _example(of="app")
    of: Literal["subject", "representative", "app", "controller", "authority", "review"] | None = None


class DryRun(Body):
    """A use to try. ``purpose`` or ``backend`` unset: each of them. What is left out of the rest is not stated."""

    model_config = _example(purpose="cameo", seconds=10, script="Hello.", categories=["satire"], territories=["DE"])
    purpose: Purpose | None = None
    backend: Name | None = None
    seconds: int | None = Field(None, ge=1, le=3600)
    script: Annotated[str, StringConstraints(max_length=10_000)] | None = ""
    maker: Maker | None = Field(None, description="who asks; the person's own pseudonym for the person")
    categories: list[ContentCategory] | None = Field([], max_length=64)
    territories: list[Territory] | None = Field(None, max_length=300)
    job_sha256: Sha256 | None = Field(None, description="of a job that was approved or refused before")


class DryRunCase(Body):
    purpose: Purpose
    backend: str
    allowed: bool
    reasons: list[str] = Field(
        description="codes, as the gate gives them; approval_needed alone: the person is asked first"
    )


class DryRunResult(Body):
    model_config = _example(cases=[{"purpose": "cameo", "backend": "portrait", "allowed": True, "reasons": []}])
    cases: list[DryRunCase]


class UseRequest(Body):
    """A use that waits, or waited, for the person's own yes."""

    model_config = _example(
        request_id="apr_5f0c2e1d9a7b4c3e8d6f1a2b3c4d5e6f",
        state="requested",
        backend="studio",
        purpose="cameo",
        job_sha256=_EXAMPLE_SHA256,
        requested_at=_EXAMPLE_TIME,
        expires_at=_EXAMPLE_TIME,
        used=False,
        details={"script": "Hello.", "seconds": 10},
    )
    request_id: str
    state: Literal["requested", "approved", "refused"]
    backend: str
    purpose: Purpose
    job_sha256: str
    requested_at: datetime
    expires_at: datetime
    used: bool
    details: dict[str, Any] = Field(description="what it would say, how long, about what, where, for whom")


class UseRequests(Body):
    requests: list[UseRequest]


class ConsentGiven(Body):
    model_config = _example(
        consent_id=_EXAMPLE_CONSENT,
        record="eyJhbGciOiJFZERTQSIsInR5cCI6ImNvbnNlbnQtcmVjb3JkK2p3cyJ9...",
        receipt={"leaf": {"index": 17}},
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
    makers: list[str] = ["*"]
    approval: ApprovalRule = ApprovalRule.NEVER
    expires_at: datetime
    destroy_by: datetime | None = Field(None, description="when picture and templates are gone at the latest")
    suspended_by: list[str] = []
    assurance: str
    record: str
    receipt: dict[str, Any]


class ConsentOfApp(Body):
    """A consent as the app that it was given through finds it again. Its own address says all of it."""

    model_config = _example(
        consent_id=_EXAMPLE_CONSENT,
        subject_id="sub_2c1f0b7a1c2e4f60a1b2c3d4e5f60718",
        session_id=_EXAMPLE_SESSION,
        state="valid",
        purposes=["digital_double"],
        audience=["portrait"],
        limits={"max_seconds": 30},
        granted_at=_EXAMPLE_TIME,
        expires_at=_EXAMPLE_TIME,
        assurance="web",
    )
    consent_id: str
    subject_id: str = Field(description="the person's pseudonym with you, as in webhooks; a maker's id where they ask")
    session_id: str = Field(description="of the live check that it stands on")
    state: ConsentStanding = Field(description="as it stands now; only valid allows a use")
    purposes: list[str]
    audience: list[str]
    limits: LimitsGiven
    makers: list[str] = ["*"]
    approval: ApprovalRule = ApprovalRule.NEVER
    for_another: bool = Field(False, description="given on the person's behalf")
    granted_at: datetime
    expires_at: datetime
    assurance: str


class ConsentsOfApp(Body):
    """A page, latest first. ``next``: pass it as ``cursor`` for the page after."""

    results: list[ConsentOfApp]
    next: str | None


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
    kind: Literal["picture", "video", "sound", "output"]
    sha256: str
    faces: list[FaceFound]
    expires_at: datetime


# --- the gate (OpenID AuthZEN Authorization API 1.0) -----------------------------------------------------------------


class Loose(BaseModel):
    """A body of a standard that may grow: what it has besides is ignored (OpenID AuthZEN 1.0)."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _loose_example(**values: Any) -> ConfigDict:
    return ConfigDict(extra="ignore", frozen=True, json_schema_extra={"examples": [values]})


EntityText = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Handle = Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]


class GateSubject(Loose):
    type: EntityText = Field(description="backend")
    id: EntityText = Field(description="the backend's own name")
    properties: dict[str, Any] = {}


class GateAction(Loose):
    name: EntityText = Field(description="generate")
    properties: dict[str, Any] = {}


class GivenEmbedding(Body):
    contract_id: Annotated[str, StringConstraints(max_length=200)]
    vector: Annotated[list[float], Field(min_length=1, max_length=4096)]


class DeclaredVoice(Body):
    """Whose voice a sound is: of the person of the token at this place, or nobody's."""

    media_id: Id
    token: int | None = Field(
        None, ge=0, le=15, description="place among consent_tokens; null: music, noise, or a voice that is no person's"
    )


class LikenessClaim(BaseModel):
    """What goes into the work. A member that is not known here may be an input that nobody looked at: it is refused, with
    ``input_unseen``."""

    model_config = ConfigDict(extra="allow", frozen=True)
    consent_tokens: list[Token] = Field([], max_length=16)
    media: list[Id] = Field([], max_length=16, description="handed in with POST /v1/media; every face counts")
    embeddings: list[GivenEmbedding] = Field([], max_length=64)
    handles: list[Handle] = Field(
        [], max_length=32, description="assets, elements, earlier generations: known if handed in with an earlier clip"
    )
    voices: list[DeclaredVoice] = Field([], max_length=16, description="one for each sound among media")


class GateResource(Loose):
    type: EntityText = Field(description="likeness")
    id: EntityText
    properties: LikenessClaim = LikenessClaim.model_validate({})


class GateContext(Loose):
    purpose: Purpose
    job: dict[str, Any] | None = Field(
        None, description="{prompt, media, parameters}: what is to be made; the gate looks into it, and hashes it"
    )
    job_sha256: Sha256 | None = Field(
        None, description="its hash (RFC 8785, SHA-256), where the job itself is not shown"
    )
    seconds: int | None = Field(None, ge=1, le=3600)
    script: Annotated[str, StringConstraints(max_length=10_000)] | None = Field(
        None, description="words to be spoken or shown; held against the words that a person forbade, and not kept"
    )
    maker: Maker | None = Field(None, description="who asks for the clip; answerable for what is stated here")
    categories: list[ContentCategory] | None = Field(
        None, max_length=64, description="what it is about; []: none of them"
    )
    territories: list[Territory] | None = Field(None, max_length=300, description="where it will be published")


class Evaluation(Loose):
    model_config = _loose_example(
        subject={"type": "backend", "id": "studio"},
        action={"name": "generate"},
        resource={
            "type": "likeness",
            "id": "job-1",
            "properties": {"consent_tokens": ["eyJ..."], "media": [_EXAMPLE_MEDIA]},
        },
        context={
            "purpose": "digital_double",
            "job": {"prompt": "She waves.", "media": [_EXAMPLE_SHA256], "parameters": {"ratio": "16:9"}},
            "seconds": 10,
        },
    )
    subject: GateSubject
    action: GateAction
    resource: GateResource
    context: GateContext | None = None


class Evaluations(Loose):
    """Batch: ``evaluations`` are objects as for a single one; what is left out of one is taken from the top level. Without any,
    the top level is the one question, and is answered as such."""

    model_config = _loose_example(
        subject={"type": "backend", "id": "studio"},
        action={"name": "generate"},
        context={"purpose": "digital_double", "job_sha256": _EXAMPLE_SHA256},
        evaluations=[{"resource": {"type": "likeness", "id": "job-1", "properties": {"consent_tokens": ["eyJ..."]}}}],
        options={"evaluations_semantic": "execute_all"},
    )
    subject: dict[str, Any] | None = None
    action: dict[str, Any] | None = None
    resource: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    evaluations: list[dict[str, Any]] = Field([], max_length=16)
    options: dict[str, Any] | None = None


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


class Reference(Body):
    """A picture of somebody that this permit releases. Not there, when it was destroyed."""

    consent_id: str
    subject_id: str
    kind: Literal["portrait"]
    href: str = Field(description="GET it with a proof of the permit's key")


class References(Body):
    permit_id: str
    expires_at: datetime = Field(description="until then they can be fetched")
    delete_by: datetime = Field(description="by then they must be gone from the backend")
    references: list[Reference]


class WorkDone(Body):
    model_config = _example(permit="eyJ...", output_sha256=_EXAMPLE_SHA256, output=_EXAMPLE_MEDIA)
    permit: Token
    output_sha256: Sha256
    output: Id | None = Field(None, description="the clip itself, handed in with POST /v1/media?output=true")
    handles: list[Handle] = Field(
        [], max_length=32, description="what you call this clip, or what came of it, in later jobs of yours"
    )
    mark: bool = Field(
        False,
        description="the clip is raw: it gets label, watermark and manifest here, and what may leave is what comes back",
    )
    made_by: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 ._+-]{1,64}(@[A-Za-z0-9 ._+-]{1,32})?$")] | None = (
        Field(None, description="`name@version` of the generator, for the manifest; unset: the backend's name")
    )


class WorkNoted(Body):
    permit_id: str
    completed_at: datetime
    release: bool = Field(description="whether the output may leave the backend")
    code: str | None = Field(None, description="why it may not: that a consent ended, or the first of reasons")
    reasons: list[dict[str, Any]] = Field([], description="what the check of the output found")
    output: str | None = Field(None, description="with mark: the marked clip, at `GET /v1/media/{output}/content`")
    output_sha256: str = Field(description="of the file that may leave")
    registered: bool = Field(
        False,
        description="copies of it are known at POST /v1/clips/identify; without a watermark, unless it was marked here",
    )


class MediaAddress(Body):
    model_config = _example(url="https://cdn.example/portrait.jpg")
    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    sha256: Sha256 | None = Field(None, description="what must come; unset: whatever comes")


class NewBackendKey(Body):
    """The key of the ``DPoP`` header is registered; to change one that is registered already, prove the new one here."""

    model_config = _example(next_proof="eyJ0eXAiOiJkcG9wK2p3dCIs...")
    next_proof: Annotated[str, StringConstraints(min_length=1, max_length=8192)] | None = Field(
        default=None, description="a proof for this same call, by the new key"
    )


class BackendKey(Body):
    backend: str
    jkt: str = Field(description="RFC 7638 thumbprint of the key; tokens for this backend name it in cnf")
    registered_at: datetime


# --- clips -----------------------------------------------------------------------------------------------------------


class NewShot(Body):
    """The way from one photograph of a story to the next."""

    model_config = _example(seconds=4.0, caption="That summer we drove north.")
    seconds: float = Field(ge=0.5, le=20)
    caption: Annotated[str, StringConstraints(max_length=200)] = ""


class RemoteWish(Body):
    """How a vendor's generator is to make it."""

    model_config = _example(
        model="kling-3.0", mode="first_frame", prompt="She walks along a beach at dawn.", seconds=5, ratio="16:9"
    )
    model: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")] = Field(
        description="by the name of `GET /v1/clips/backends`"
    )
    mode: Mode
    prompt: Annotated[str, StringConstraints(max_length=5_000)] = ""
    seconds: int = Field(ge=1, le=60)
    ratio: Annotated[str, StringConstraints(pattern=r"^\d{1,2}:\d{1,2}$")] | None = None
    resolution: Annotated[str, StringConstraints(pattern=r"^(\d{3,4}p|4k)$")] | None = None
    seed: int | None = Field(None, ge=0, le=2**31 - 1)
    sound: bool = False
    prompts: list[Annotated[str, StringConstraints(max_length=2_000)]] = Field(
        [],
        max_length=64,
        description="keyframes: of each way from a frame to the next; a story: of each frame to be made",
    )


class VendorPerson(Body):
    """Where a person stands at a vendor that verifies people for itself."""

    model_config = _example(backend="seedance", state="invited", invited_at="2027-01-31T12:00:00Z")
    backend: str
    state: PersonState = Field(
        description="ready: orders may show them; refused: the picture is not of whom the vendor saw"
    )
    invited_at: datetime
    link: str | None = Field(None, description="to the vendor's live check, for the person alone; only once")
    link_expires_at: datetime | None = None
    forgotten_at: datetime | None = Field(None, description="when the vendor had deleted everything of theirs")


class VendorPeople(Body):
    people: list[VendorPerson]


class RemoteModelShown(Body):
    """What one model of a vendor makes."""

    name: str
    modes: list[Mode]
    seconds: list[int]
    ratios: list[str]
    resolutions: list[str]
    references: int
    sound: str
    real_people: str = Field(description="verified: the vendor takes real people only after its own check of them")


class RemoteBackendShown(Body):
    """A vendor's generator. ``ready``: the operator has an account there."""

    backend: str
    title: str
    standing: str = Field(
        description="live, local (made on this machine), retired, or no_api: the vendor offers no interface that one may use"
    )
    why: str = Field(description="why it cannot be ordered from; of a local one what it lacks here")
    ready: bool
    checked: str = Field(description="month in which the vendor's documents were last read")
    models: list[RemoteModelShown]


class RemoteBackends(Body):
    backends: list[RemoteBackendShown]

    @classmethod
    def of(
        cls, cards: Mapping[str, BackendCard], *, ready: Collection[str], unready: Mapping[str, str]
    ) -> RemoteBackends:
        """Models with a mode for pictures of people."""
        return cls(
            backends=[
                RemoteBackendShown(
                    backend=name,
                    title=card.title,
                    standing=card.standing.value,
                    why=card.why or str(unready.get(name, "")),
                    ready=name in ready,
                    checked=card.checked,
                    models=[
                        RemoteModelShown(
                            name=model.name,
                            modes=sorted(model.modes),
                            seconds=list(model.seconds),
                            ratios=list(model.ratios),
                            resolutions=list(model.resolutions),
                            references=model.references,
                            sound=model.sound.value,
                            real_people=model.real_people,
                        )
                        for model in card.models
                    ],
                )
                for name, card in cards.items()
            ]
        )


class LinkToShow(Body):
    """A link to a live check, to be shown as a QR code."""

    link: Annotated[str, StringConstraints(min_length=10, max_length=500)]


class NewLine(Body):
    model_config = _example(consent="cns_8d5f0b7a1c2e4f60a1b2c3d4e5f60718", text="Have you seen my map?")
    text: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    consent: Id | None = Field(None, description="of the person who says it")
    everyone: bool = Field(False, description="all together; instead of consent")

    @model_validator(mode="after")
    def _one_of_them(self) -> NewLine:
        if (self.consent is None) != self.everyone:
            raise ValueError("a line is said by the person of one consent, or by everyone")
        return self


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
    kind: Literal["portrait", "story", "cameo", "remote"] = "portrait"
    backend: Name = Field(
        "portrait", description="the local generator of that kind, by the same name; remote: a vendor's"
    )
    remote: RemoteWish | None = Field(None, description="for kind remote, and only for it")
    tokens: list[Token] = Field([], max_length=16)
    media: list[Id] = Field(
        [],
        max_length=10,
        description="portrait: photographs to move, or none for the portrait of the live check; of several people, one that "
        "shows all of them; story: 2 to 10 photographs, in order; cameo: one film; remote: what the mode takes, or none for "
        "portraits",
    )
    shots: list[NewShot] = Field([], max_length=9, description="story: one from each photograph to the next")
    music: Id | None = Field(None, description="story: media id of a recording to play under it")
    face_of: Id | None = Field(None, description="cameo: the consent of the person whose face goes into the film")
    script: Annotated[str, StringConstraints(min_length=1, max_length=2_000)] | None = None
    lines: list[NewLine] = Field(
        [],
        max_length=40,
        description="portrait: what is said in turn, instead of a script; several people say a script together",
    )
    sound: Id | None = Field(
        None, description="media id of a recording to speak with, instead of a script; story: to hear"
    )
    voices: list[DeclaredVoice] = Field([], max_length=4, description="remote: whose voice the recording in sound is")
    purpose: Purpose = Purpose.DIGITAL_DOUBLE
    language: Language = Language.ENGLISH
    max_seconds: int | None = Field(None, ge=1, le=60, description="unset: as long as the people involved allow")
    maker: Maker | None = Field(None, description="who asks for the clip")
    categories: list[ContentCategory] | None = Field(
        None, max_length=64, description="what it is about; []: none of them"
    )
    territories: list[Territory] | None = Field(None, max_length=300, description="where it will be published")
    width: int = Field(1280, ge=320, le=1920, multiple_of=2)
    height: int = Field(720, ge=320, le=1920, multiple_of=2)
    priority: Literal["low", "normal"] = Field("normal", description="low: when nothing else waits")
    deadline_s: int | None = Field(
        None,
        ge=10,
        le=LONGEST_DEADLINE_S,
        description="seconds from now after which it is of no use: what is not done ends with the code deadline; "
        "unset: as the operator chose",
    )


class ClipCost(Body):
    """What a clip will take, before it is begun."""

    model_config = _example(film_s=12.0, work_s=12.5, memory_mb=1100)
    film_s: float
    work_s: float = Field(description="of one processor core; measured on a small machine, so rather too much")
    memory_mb: int = Field(description="at most, in the worker")


class ClipAccepted(Body):
    model_config = _example(clip_id=_EXAMPLE_CLIP, state="queued")
    clip_id: str
    state: str
    cost: ClipCost | None = Field(None, description="of a clip that is made here; how long a script takes is estimated")


class ClipEstimate(Body):
    """What an order would meet and take. Asking changes nothing and holds nothing."""

    model_config = _example(decision=True, reasons=[], cost={"film_s": 12.0, "work_s": 12.5, "memory_mb": 1100})
    decision: bool = Field(description="what the gate says now; it is asked again when a clip is ordered")
    reasons: list[dict[str, Any]]
    cost: ClipCost | None = Field(description="null: made by a vendor, or what was handed in cannot be read")


ClipPhase = Literal["queued", "running", "done", "failed", "cancelled", "withdrawn"]


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
    state: ClipPhase
    progress: float = Field(description="0..1")
    code: str | None = Field(None, description="why it failed")
    reasons: list[dict[str, Any]]
    sha256: str | None = None
    duration_ms: int | None = None
    deadline_at: datetime | None = Field(None, description="when it ends as failed if it is not done")


class ClipOfApp(ClipState):
    """A clip in the list of the app that ordered it."""

    purpose: str
    consents: list[str] = Field(description="of the people in it")
    created_at: datetime
    finished_at: datetime | None


class ClipsOfApp(Body):
    """A page, latest first. ``next``: pass it as ``cursor`` for the page after."""

    results: list[ClipOfApp]
    next: str | None


class ClipManifestShown(Body):
    """What the manifest in a finished clip says, read from the file itself, and what became of the consents since."""

    model_config = _example(
        manifest="trusted",
        issuer="Mien",
        producer="portrait 1",
        edited=False,
        people=1,
        consents=[_EXAMPLE_CONSENT],
        consent="valid",
        purpose="digital_double",
        backend="portrait",
        assurance="web",
        permitted_at=_EXAMPLE_TIME,
        inputs=1,
        label="AI 生成 · AI-generated",
        watermarked=True,
        aigc=True,
        training_refused=True,
        sha256=_EXAMPLE_SHA256,
    )
    manifest: Literal["trusted", "valid", "invalid", "none"] = Field(
        description="trusted: whole, unchanged and signed by this service"
    )
    issuer: str = Field(description="organisation named in the signing certificate")
    producer: str = Field(description="name and version of what made the pictures")
    edited: bool = Field(description="made in a film that was there before, which the manifest names")
    people: int = Field(description="how many people's consents it was made under")
    consents: list[str] = Field(description="which; of a person who asks, their own only")
    consent: ConsentStanding | Literal["nobody"] = Field(description="how they stand now, the worst of them")
    purpose: str
    backend: str
    assurance: str
    permitted_at: datetime | None = Field(description="when the gate permitted it")
    inputs: int = Field(description="pictures and recordings of people that it was made from; named by digest only")
    label: str = Field(description="what the visible label says")
    watermarked: bool
    aigc: bool = Field(description="the metadata key of GB 45438-2025 is in the file")
    training_refused: bool = Field(description="it says that nothing may be trained on it")
    sha256: str


# --- clips that are found again --------------------------------------------------------------------------------------


class ClipStanding(Body):
    """What has become of the consent behind a clip."""

    model_config = _example(
        consent="revoked",
        issued_at="2027-01-31T12:00:00Z",
        released_at="2027-01-31T12:00:20Z",
        label="AI 生成 · AI-generated",
        watermarked=True,
    )
    consent: Literal["valid", "expired", "suspended", "revoked", "nobody"] = Field(
        description="the worst of all people shown; expired: the term ended by itself, clips made before it stay; "
        "nobody: nobody is in it"
    )
    issued_at: datetime = Field(description="when the gate permitted the clip")
    released_at: datetime
    label: str = Field(description="what the visible label says")
    watermarked: bool = Field(
        description="a number was put into its pictures; what another's generator made has none, and is known by its file, "
        "its manifest and its look"
    )


class ClipMatch(ClipStanding):
    model_config = _example(
        evidence=["watermark", "look"],
        consent="valid",
        issued_at="2027-01-31T12:00:00Z",
        released_at="2027-01-31T12:00:20Z",
        label="AI 生成 · AI-generated",
        watermarked=True,
    )
    evidence: list[Literal["file", "manifest", "watermark", "look"]] = Field(
        description="how it was recognised; watermark without look: the mark may have been pasted onto other pictures"
    )


class ClipMarks(Body):
    """The marks that the copy itself still carries."""

    model_config = _example(manifest="none", aigc=False, watermark=True)
    manifest: Literal["trusted", "valid", "invalid", "none"]
    aigc: bool = Field(description="the metadata key of GB 45438-2025")
    watermark: bool


class ClipIdentified(Body):
    model_config = _example(
        known=True,
        made_here=True,
        matches=[
            {
                "evidence": ["watermark", "look"],
                "consent": "valid",
                "issued_at": "2027-01-31T12:00:00Z",
                "released_at": "2027-01-31T12:00:20Z",
                "label": "AI 生成 · AI-generated",
                "watermarked": True,
            }
        ],
        marks={"manifest": "none", "aigc": False, "watermark": True},
    )
    known: bool = Field(description="a released clip was found that this is a copy of")
    made_here: bool = Field(description="known, or a manifest or a watermark of this service is on it")
    matches: list[ClipMatch] = Field(description="more than one where clips look alike and nothing surer is left")
    marks: ClipMarks


# --- the log ---------------------------------------------------------------------------------------------------------


class InclusionShown(Body):
    """Hashes in base64, as in checkpoints; the proof from the leaf's sibling upwards."""

    index: int
    size: int
    leaf_hash: str
    root: str
    proof: list[str]


class ConsistencyShown(Body):
    """Hashes in base64, as in checkpoints."""

    first: int
    second: int
    first_root: str
    second_root: str
    proof: list[str]


class CosignaturesTaken(Body):
    witnesses: list[str] = Field(description="names of the witnesses whose cosignatures are kept")


class LogEntries(Body):
    entries: list[dict[str, Any]]
    next: int | None = Field(description="index to go on from; none at the end")


# --- webhooks and purges ---------------------------------------------------------------------------------------------

_EXAMPLE_PURGE = "prg_4d3c2b1a09f8e7d6c5b4a39281706f5e"


class WebhookWanted(Body):
    model_config = _example(url="https://studio.example/mien", events=["consent.revoked", "asset.purge_required"])
    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    events: Annotated[list[Event], Field(min_length=1, max_length=len(Event))]


class DeliveryState(Body):
    delivery_id: str = Field(description="the webhook-id of the message")
    event: str
    state: Literal["waiting", "delivered", "dead"]
    tries: int
    code: str | None = Field(None, description="why the last try failed")
    created_at: datetime
    next_at: datetime | None = None


class WebhookState(Body):
    webhook_id: str
    url: str
    events: list[Event]
    public_key: str = Field(description="whpk_: verifies the v1a signatures")
    secret: str | None = Field(None, description="whsec_: verifies the v1 signatures; shown once, when it is made")
    disabled: str | None = Field(None, description="why nothing is sent any more")
    latest: list[DeliveryState] = []


class Deliveries(Body):
    deliveries: list[DeliveryState]


class PurgeState(Body):
    model_config = _example(
        purge_id=_EXAMPLE_PURGE,
        consent_id=_EXAMPLE_CONSENT,
        backend="studio",
        reason="revoked",
        state="required",
        required_at=_EXAMPLE_TIME,
        target_at="2027-01-31T13:00:00Z",
        due_at="2027-02-02T12:00:00Z",
        seconds_left=172800,
    )
    purge_id: str
    consent_id: str
    backend: str
    reason: Literal["revoked", "expired", "narrowed"]
    state: Literal["required", "late", "overdue", "excused", "confirmed", "retained", "lapsed"] = Field(
        description="retained: a vendor that has no call to delete keeps it under its own terms; "
        "lapsed: and the time is over that it says it does"
    )
    required_at: datetime
    target_at: datetime = Field(description="aim: confirmed by then")
    due_at: datetime = Field(description="limit: the backend is refused from then on")
    seconds_left: int = Field(description="until the limit; 0 once confirmed or retained")
    confirmed_at: datetime | None = None
    retained_until: datetime | None = Field(
        None, description="until when a vendor keeps it by its own documents; unset: they do not say"
    )
    receipt: str | None = Field(None, description="JWS: what the backend stated")


class Purges(Body):
    purges: list[PurgeState]


class PurgeAsked(Body):
    purge: PurgeState
    permits: list[str] = Field(description="what the backend worked under, latest first")


class PurgeStatement(Body):
    model_config = _example(assets_deleted=3, at="2027-01-31T12:20:00Z")
    assets_deleted: Annotated[int, Field(ge=0, le=MOST_ASSETS)]
    at: AwareDatetime
    signature: Annotated[str, StringConstraints(min_length=1, max_length=MOST_SIGNATURE_CHARS)] | None = None


class PurgeConfirmed(Body):
    purge_id: str
    confirmed_at: datetime
    receipt: str = Field(description="JWS")


class Excuse(Body):
    model_config = _example(reason="Deletion is shown by their auditor's letter of today.")
    reason: Annotated[str, StringConstraints(min_length=10, max_length=500, strip_whitespace=True)]


class Excused(Body):
    backend: str
    excused: int = Field(description="overdue demands that no longer block; they still have to be confirmed")


class BlockedBackends(Body):
    blocked: list[PurgeState]


# --- audit -----------------------------------------------------------------------------------------------------------

_EXAMPLE_OPENING = "opn_7c6b5a4938271605f4e3d2c1b0a99887"
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=8, max_length=500)]
Ticket = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,200}$")]
ObjectId = Annotated[str, StringConstraints(pattern=r"^(cns|ses|clp|med)_[0-9a-f]{32}$")]


class NewOpening(Body):
    """Who asks, and why, is shown to the people in the media."""

    model_config = _example(object=_EXAMPLE_CONSENT, reason="Complaint: the clip shows somebody else", ticket="CASE-17")
    object: ObjectId = Field(
        description="a consent (its portrait), live check (its recording), clip, or handed-in media"
    )
    reason: Words
    ticket: Ticket = Field(description="where this is asked for outside of the service")


class NewHold(Body):
    model_config = _example(until=_EXAMPLE_TIME, reason="Court order 17 O 3/27", ticket="CASE-17")
    until: AwareDatetime
    reason: Words
    ticket: Ticket


class Opening(Body):
    model_config = _example(
        opening_id=_EXAMPLE_OPENING,
        object=_EXAMPLE_CONSENT,
        state="open",
        reason="Complaint: the clip shows somebody else",
        ticket="CASE-17",
        requested_by="apk_1",
        requested_at=_EXAMPLE_TIME,
        approved_by="apk_2",
        approved_at=_EXAMPLE_TIME,
        ends_at=_EXAMPLE_TIME,
        views=0,
        held_until=None,
    )
    opening_id: str
    object: str
    state: Literal["requested", "open", "ended"]
    reason: str
    ticket: str
    requested_by: str
    requested_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    ends_at: datetime | None
    views: int
    held_until: datetime | None


class SearchSaved(Body):
    """A search under a name: the parameters of ``GET /v1/audit/search``."""

    model_config = _example(query={"kind": "attempt", "state": "refusal", "backend": "studio"})
    query: dict[Name, Annotated[str, StringConstraints(min_length=1, max_length=200)]] = Field(max_length=16)


class CheckpointSeen(Body):
    """A checkpoint of the log as a reader remembers it."""

    size: int = Field(ge=0, le=2**53)
    root: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$")] = Field(description="base64")


class NewVerification(Body):
    model_config = _example(seen={"size": 12, "root": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}, whole_log=False)
    seen: CheckpointSeen | None = Field(None, description="what you remember of the log; unset: its checkpoint before")
    whole_log: bool = Field(False, description="read every entry as well, which takes long where there are many")


class VerificationStep(Body):
    name: Literal["signature", "entries", "inclusion", "consistency", "status_list", "log"]
    outcome: Literal["holds", "fails", "not_possible"]
    why: str | None
    values: dict[str, Any] = Field(description="what was compared")


class VerificationShown(Body):
    model_config = _example(
        consent_id=_EXAMPLE_CONSENT,
        at=_EXAMPLE_TIME,
        holds=True,
        steps=[{"name": "signature", "outcome": "holds", "why": None, "values": {"algorithm": "Ed25519", "events": 1}}],
        now={"size": 14, "root": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
    )
    consent_id: str
    at: datetime
    holds: bool = Field(description="no step fails")
    steps: list[VerificationStep]
    now: CheckpointSeen | None = Field(description="remember it, and send it as ``seen`` the next time")


class GateBalance(Body):
    """``attempts = permits + refusals + errors``, but for the ``waiting`` ones that are being answered right now."""

    attempts: int
    permits: int
    refusals: int
    errors: int
    waiting: int
    overdue: int = Field(
        description="without an outcome for longer than any answer takes; closed as errors by the worker"
    )
    fail_open: int = Field(description="permits that should not exist")
    unchecked: int = Field(description="permits that were not looked at again yet")
    unlogged_s: float = Field(
        description="seconds that the oldest of what was asked or answered waits to be put into the log; over 60 is a fault"
    )
    holds: bool
    refused_because: dict[str, int]
    recount: dict[str, int] | None = Field(None, description="row by row, when asked for; it must equal the above")


# --- what a person may see of themselves -----------------------------------------------------------------------------


class Listed(Body):
    """A page, latest first. ``next``: pass it as ``cursor`` for the page after."""

    results: list[dict[str, Any]]
    next: str | None


class LookAlikesAgreed(Body):
    model_config = _example(terms_sha256=_EXAMPLE_SHA256)
    terms_sha256: Sha256 = Field(description="of the words that were shown: /v1/terms/{language}?for=look_alikes")


class LookAlikesSaid(Body):
    """What the person said of look-alikes: a signed record, for them to keep, and its entry in the log."""

    said: str = Field(description="look_alikes.given or look_alikes.withdrawn")
    at: datetime
    record: str = Field(description="compact JWS")
    entry: dict[str, Any]
    salt: str | None = Field(description="with it, the entry's digest can be made of the record")


class LookAlikes(Body):
    """``available``: whether people can be told here, or why not. ``agreed``: the yes that holds now. ``results``: what the
    person was told; ``next``: pass it as ``cursor`` for the page after."""

    available: str = Field(description="on, off, not_prepared or other_dimension")
    agreed: LookAlikesSaid | None
    results: list[dict[str, Any]]
    next: str | None


class Erasure(Body):
    """What was deleted, and what was kept, why, and until when."""

    deleted: dict[str, int]
    kept: list[dict[str, str]]


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


class NewConsentForAnother(Body):
    model_config = _example(
        terms_sha256=_EXAMPLE_SHA256,
        purposes=["digital_double"],
        audience=["portrait"],
        limits={"max_seconds": 30, "uses": 10},
        makers=["estate-office"],
        expires_at=_EXAMPLE_TIME,
    )
    terms_sha256: Sha256 = Field(
        description="of the words that were shown: see /v1/terms/{language}?for=representative"
    )
    purposes: Purposes
    audience: Audience
    limits: LimitsGiven = LimitsGiven.model_validate({})
    makers: Makers | None = Field(None, description="unset: only who gives it, by their own pseudonym")
    approval: ApprovalRule = Field(ApprovalRule.NEVER, description="always: each use waits for a yes")
    expires_at: AwareDatetime | None = Field(None, description="unset: a year from now, or when the claim lets it end")


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


class ConsentOnClaim(Body):
    consent_id: str
    given_by: str = Field(description="the representative, by their pseudonym")
    state: str
    purposes: list[str]
    audience: list[str]
    expires_at: datetime


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
    consents: list[ConsentOnClaim] = Field([], description="given on this claim")
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


# --- signing in at a browser -----------------------------------------------------------------------------------------

_EXAMPLE_PASSKEY = "psk_3c4d5e6f708192a3b4c5d6e7f8091a2b"
_EXAMPLE_SIGN_IN = "bse_7a8b9c0d1e2f30415263748596a7b8c9"
PasskeyName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)]


class PasskeyWish(Body):
    model_config = _example(language="zh")
    language: Literal["en", "zh"] = Field(
        default="en", description="of the name that the person's device shows beside it"
    )


class PasskeyOptions(Body):
    model_config = _example(public_key={"challenge": "...", "rpId": "example.org"})
    public_key: dict[str, Any] = Field(description="as `PublicKeyCredential.parse...OptionsFromJSON` takes it")


class PasskeyMade(Body):
    model_config = _example(credential={"id": "...", "type": "public-key", "response": {}}, name="Phone")
    credential: dict[str, Any] = Field(description="as `PublicKeyCredential.toJSON` gives it")
    name: PasskeyName = Field(description="your own name for it")


class PasskeyUsed(Body):
    model_config = _example(credential={"id": "...", "type": "public-key", "response": {}})
    credential: dict[str, Any] = Field(description="as `PublicKeyCredential.toJSON` gives it")


class PasskeyShown(Body):
    model_config = _example(
        passkey_id=_EXAMPLE_PASSKEY, name="Phone", created_at=_EXAMPLE_TIME, last_used_at=None, synced=True, here=False
    )
    passkey_id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None
    synced: bool = Field(description="kept by the maker of the device, so that it is on the person's other devices too")
    here: bool = Field(description="this browser was signed in with it")


class PasskeysShown(Body):
    passkeys: list[PasskeyShown]


class SignInWithToken(Body):
    model_config = _example(token="mien_person_...")  # noqa: S106 - an example
    token: Token


class SignInWithKey(Body):
    model_config = _example(key="mien_admin_...")
    key: Token


class SignInWithCode(Body):
    model_config = _example(code="...")
    code: Annotated[str, StringConstraints(min_length=1, max_length=100)]


class SignInShown(Body):
    model_config = _example(
        session_id=_EXAMPLE_SIGN_IN, kind="person", began="passkey", weak=False, role=None, name=None,
        consents=[_EXAMPLE_CONSENT], passkey_id=_EXAMPLE_PASSKEY, expires_at=_EXAMPLE_TIME,
    )  # fmt: skip
    session_id: str
    kind: Literal["person", "staff"]
    began: Literal["passkey", "token", "live_check", "key", "start_code"]
    weak: bool = Field(description="of who works here: without a passkey, which only an app's key gets anywhere with")
    role: str | None = Field(description="of the API key, for who works here")
    name: str | None = Field(description="of the API key")
    consents: list[str] = Field(description="a person's own, the latest first; `Mien-Consent` names one of them")
    passkey_id: str | None
    expires_at: datetime


class BrowserSessionShown(Body):
    session_id: str
    browser: str = Field(description="such as Firefox; empty where it is not known")
    system: str = Field(description="such as Android; empty where it is not known")
    began: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    here: bool


class BrowserSessions(Body):
    model_config = _example(
        sessions=[
            {
                "session_id": _EXAMPLE_SIGN_IN, "browser": "Firefox", "system": "Android", "began": "passkey",
                "created_at": _EXAMPLE_TIME, "last_seen_at": _EXAMPLE_TIME, "expires_at": _EXAMPLE_TIME, "here": True,
            }
        ]
    )  # fmt: skip
    sessions: list[BrowserSessionShown]
