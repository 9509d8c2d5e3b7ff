"""A person who agreed, in values, with knobs: each test changes the one thing it is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from consent.authority import SubjectAssurance
from consent.gate import FaceSeen, Permit, Presented, Refusal, Use, commit_template, decide
from consent.keys import KeySet, SigningKey
from consent.record import ConsentRecord, Controller, Granted, Limits, fold, grant
from consent.status_list import StatusRef
from consent.terms import Purpose, current
from consent.tokens import ConsentToken, issue
from liveness.challenge import Reveal
from liveness.evidence import Box
from liveness.policy import STRICT, LivenessPolicy, Path
from liveness.template import FaceTemplate
from liveness.verdict import CheckResult, Live, NotLive
from tests.people import vector

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SECOND, TICK = timedelta(seconds=1), timedelta(microseconds=1)

KEY = SigningKey.from_seed(bytes(range(32)))
OTHER_KEY = SigningKey.from_seed(bytes(range(1, 33)))
KEYS = KeySet.of(KEY)

SALT = b"s" * 32
JOB = "ab" * 32
BACKEND = "portrait"
CONTROLLER = Controller(
    name="Example Studio", contact="https://studio.example/privacy", jurisdiction="DE", storage_location="DE"
)
SAME_PERSON = STRICT.same_person.value


def live(*, policy: LivenessPolicy = STRICT, judged_at: datetime = NOW - MINUTE) -> Live:
    return Live(
        challenge_id="chl_1",
        nonce="0f" * 16,
        capture_sha256="cd" * 32,
        policy=f"{policy.name}@{policy.version}",
        path=Path.STANDARD,
        extra_time=False,
        reveal=Reveal.AT_ONCE,
        models={"tracker": "face_landmarker@1", "embedder": "fr_feature@1"},
        judged_at=judged_at,
        results=(
            CheckResult.passed("one_face", 1, 1, "faces"),
            CheckResult.passed("same_person", 0.8126, 0.38, "cosine"),
        ),
        assurance=policy.assurance,
    )


def not_live() -> NotLive:
    return NotLive(
        challenge_id="chl_1",
        nonce="0f" * 16,
        capture_sha256="cd" * 32,
        policy="strict@1",
        path=Path.STANDARD,
        extra_time=False,
        reveal=Reveal.AT_ONCE,
        models={},
        judged_at=NOW,
        results=(),
        reasons=(),
    )


def templates(person: int = 1) -> tuple[FaceTemplate, ...]:
    """What was enrolled of person number ``person``."""
    return tuple(vector(person, seed=10 * person + i) for i in range(3))


def granted(
    *,
    person: int = 1,
    at: datetime = NOW,
    policy: LivenessPolicy = STRICT,
    purposes: Iterable[Purpose] = (Purpose.CAMEO, Purpose.DIGITAL_DOUBLE),
    audience: Iterable[str] = (BACKEND,),
    max_seconds: int = 60,
    forbidden_words: tuple[str, ...] = (),
    uses: int | None = None,
    expires_at: datetime | None = None,
    enrolled: tuple[FaceTemplate, ...] | None = None,
) -> Granted:
    return grant(
        live(policy=policy, judged_at=at - MINUTE),
        consent_id=f"cns_{person}",
        subject_id=f"sub_{person}",
        controller=CONTROLLER,
        terms=current("en"),
        purposes=purposes,
        audience=audience,
        limits=Limits(max_seconds=max_seconds, forbidden_words=forbidden_words, uses=uses),
        template_commitment=commit_template(enrolled or templates(person), SALT),
        expires_at=expires_at,
        now=at,
    )


def record(**changes: object) -> ConsentRecord:
    return fold([granted(**changes)])  # type: ignore[arg-type]


def token(
    of: ConsentRecord,
    *,
    purpose: Purpose = Purpose.CAMEO,
    now: datetime = NOW,
    life: timedelta = HOUR,
    jkt: str | None = None,
    status: StatusRef | None = None,
) -> ConsentToken:
    return issue(
        of,
        token_id=f"tok_{of.consent_id}",
        audience=BACKEND,
        purpose=purpose,
        life=life,
        now=now,
        jkt=jkt,
        status=status,
    )


def presented(of: ConsentRecord, *, person: int = 1, **changes: object) -> Presented:
    shown = changes.pop("token", None) or token(of)
    one = Presented(token=shown, record=of, templates=templates(person), salt=SALT)  # type: ignore[arg-type]
    return replace(one, **changes)  # type: ignore[arg-type]


def presented_with(*enrolled: FaceTemplate, person: int = 1) -> Presented:
    """A person who was enrolled with exactly these templates."""
    return presented(record(person=person, enrolled=enrolled), person=person, templates=enrolled)


def face(person: int = 1, *, index: int = 0, template: FaceTemplate | None = None) -> FaceSeen:
    return FaceSeen(
        index=index,
        media_id="med_1",
        box=Box(x=10.0 * index, y=5.0, width=80.0, height=100.0),
        template=vector(person, seed=500 + index) if template is None else template,
    )


def unmeasured(index: int = 0) -> FaceSeen:
    return FaceSeen(index=index, media_id="med_1", box=None, template=None)


def use(*faces: FaceSeen, **changes: object) -> Use:
    asked = Use(
        backend=BACKEND,
        purpose=Purpose.CAMEO,
        faces=faces,
        job_sha256=JOB,
        seconds=10,
        minimum_assurance=SubjectAssurance.WEB,
    )
    return replace(asked, **changes)  # type: ignore[arg-type]


def ask(wanted: Use, *shown: Presented, now: datetime = NOW, same_person: float = SAME_PERSON) -> Permit | Refusal:
    return decide(wanted, shown, same_person=same_person, permit_id="prm_1", now=now)
