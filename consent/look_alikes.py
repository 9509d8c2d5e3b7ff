"""A person's yes to being told of faces like theirs in refused requests; and which faces count as like theirs.

It is apart from the consent to a double, off until it is said, and ends with that consent or by one word. Both the yes and
its end are records of their own, in the log like everything a person says.

Who is compared with N people at once is mistaken for one of them N times as often as with one person, so the limit here is
far above ``LivenessPolicy.same_person``, which is for one to one; see :data:`LIMITS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from consent.canonical import Json, Malformed, Members, decode, encode, write_instant
from consent.errors import ConsentInvalid, RecordInvalid, SignatureInvalid
from consent.keys import KeySet, SigningKey
from consent.record import ConsentRecord, Controller, check_words, controller_from, controller_json
from consent.terms import Reader, Terms
from liveness.policy import Limit
from liveness.template import FaceTemplate, similarity

CHOICE_TYPE = "look-alikes+jws"
CHOICE_SCHEMA = "mien-look-alikes-1"

_MAX_CHARS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAlikeLimits:
    """The limits of telling people. ``alike`` and the three ``_a_`` bound what is told, the others when."""

    version: str
    alike: Limit
    faces_a_question: Limit
    questions_a_day: Limit
    told_a_day: Limit
    told_after: Limit
    told_within: Limit
    face_kept: Limit


LIMITS = LookAlikeLimits(
    version="2026-11-21.1",
    alike=Limit(
        0.60,
        "cosine",
        "design: strangers measured -0.3 to 0.38, spread 0.11 (452 pairs of 19 people), one person mostly 0.57 and more; "
        "at five and a half spreads a million strangers give one false alarm in fifty lookups if the tail is normal",
    ),
    faces_a_question=Limit(8, "unlike faces", "design: a group photograph; a film of a crowd is cut off"),
    questions_a_day=Limit(
        200, "lookups an asker", "design: a generator's honest mistakes; not a search of everybody's pictures"
    ),
    told_a_day=Limit(3, "alerts a person", "design: more say nothing new, and could be made on purpose"),
    told_after=Limit(3_600, "s", "design: at least; whoever tries faces sees nothing follow"),
    told_within=Limit(86_400, "s", "design: drawn at random up to here, as the words promise"),
    face_kept=Limit(3_600, "s", "design: as the words promise; a lookup waits seconds"),
)
"""Change a number: change ``version``."""


class Choice(StrEnum):
    """What a person said; also the kinds of the entries in the log."""

    GIVEN = "look_alikes.given"
    WITHDRAWN = "look_alikes.withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAlikeChoice:
    """``consent_id``: the consent whose enrolled face it is about, and with which it ends."""

    choice: Choice
    consent_id: str
    subject_id: str
    controller: Controller
    terms_version: str
    terms_language: str
    terms_sha256: str
    at: datetime


def agree(record: ConsentRecord, *, controller: Controller, terms: Terms, now: datetime) -> LookAlikeChoice:
    """The person agrees to be told, after reading these words.

    Raises:
        ConsentInvalid: codes ``terms_unknown``, ``terms_unsuited``, ``terms_outdated``; ``consent_revoked``,
            ``consent_expired`` when the consent that it is about is over; ``not_for_another`` when that was given on
            somebody's behalf: nobody else may have a person looked for.
    """
    check_words(terms, Reader.LOOK_ALIKES)
    if record.granted.authority is not None:
        raise ConsentInvalid("only the person can ask for that", code="not_for_another")
    if record.revoked is not None:
        raise ConsentInvalid("the consent was revoked", code="consent_revoked")
    if now >= record.expires_at:
        raise ConsentInvalid("the consent has expired", code="consent_expired")
    return LookAlikeChoice(
        choice=Choice.GIVEN,
        consent_id=record.consent_id,
        subject_id=record.subject_id,
        controller=controller,
        terms_version=terms.version,
        terms_language=terms.language,
        terms_sha256=terms.sha256,
        at=now,
    )


def take_back(given: LookAlikeChoice, *, now: datetime) -> LookAlikeChoice:
    """The person wants to be told no more. Always possible."""
    return LookAlikeChoice(
        choice=Choice.WITHDRAWN,
        consent_id=given.consent_id,
        subject_id=given.subject_id,
        controller=given.controller,
        terms_version=given.terms_version,
        terms_language=given.terms_language,
        terms_sha256=given.terms_sha256,
        at=now,
    )


# --- which faces are alike -------------------------------------------------------------------------------------------


def alike(face: FaceTemplate, enrolled: Iterable[FaceTemplate], limits: LookAlikeLimits = LIMITS) -> bool:
    """Whether a face is like one of a person's templates. Templates of another contract are like nobody's."""
    return any(
        similarity(face, each) >= limits.alike.value
        for each in enrolled
        if each.contract_id == face.contract_id and each.vector.shape == face.vector.shape
    )


def unlike_each_other(faces: Sequence[FaceTemplate], limits: LookAlikeLimits = LIMITS) -> tuple[FaceTemplate, ...]:
    """One of each group of faces that are alike, in order, and no more than are looked up: a film shows one face often."""
    found: list[FaceTemplate] = []
    for face in faces:
        if len(found) >= limits.faces_a_question.value:
            break
        if not alike(face, found, limits):
            found.append(face)
    return tuple(found)


# --- as bytes, and signed --------------------------------------------------------------------------------------------


def choice_bytes(said: LookAlikeChoice) -> bytes:
    """Canonical JSON: what is stored and committed to in the log."""
    return encode(_json(said))


def choice_from_bytes(content: bytes) -> LookAlikeChoice:
    """What :func:`choice_bytes` wrote. Raises: RecordInvalid when it did not write this."""
    try:
        return _choice(decode(content))
    except (Malformed, ConsentInvalid) as error:
        raise RecordInvalid("not a choice about look-alikes") from error


def sign_choice(said: LookAlikeChoice, key: SigningKey) -> str:
    """As a compact JWS, for the person."""
    return key.sign(_json(said), typ=CHOICE_TYPE)


def read_choice(compact: str, keys: KeySet) -> LookAlikeChoice:
    """The choice in a compact JWS. Raises: RecordInvalid when it is not signed by these keys or is something else."""
    try:
        return _choice(keys.open(compact, typ=CHOICE_TYPE, max_chars=_MAX_CHARS))
    except (SignatureInvalid, Malformed, ConsentInvalid) as error:
        raise RecordInvalid("not a signed choice about look-alikes") from error


_FIXED: dict[str, Json] = {
    "schema_version": CHOICE_SCHEMA,
    "lawful_basis": "explicit_consent",
    "purposes": ["told_of_look_alikes_in_refused_requests"],
    "pii_types": ["face_template"],
    "event_type": "explicitly_expressed",
}
_STATES = {Choice.GIVEN: "given", Choice.WITHDRAWN: "withdrawn"}


def _json(said: LookAlikeChoice) -> dict[str, Json]:
    return _FIXED | {
        "kind": said.choice.value,
        "event_state": _STATES[said.choice],
        "consent_id": said.consent_id,
        "pii_principal_id": said.subject_id,
        "pii_controller": controller_json(said.controller),
        "privacy_notice": {
            "version": said.terms_version,
            "language": said.terms_language,
            "sha256": said.terms_sha256,
        },
        "event_time": write_instant(said.at),
    }


def _choice(members: Members) -> LookAlikeChoice:
    notice = members.members("privacy_notice")
    kind, state = members.text("kind"), members.text("event_state")
    if kind not in tuple(Choice) or state != _STATES[Choice(kind)]:
        raise Malformed("says neither yes nor no to look-alikes")
    said = LookAlikeChoice(
        choice=Choice(kind),
        consent_id=members.text("consent_id"),
        subject_id=members.text("pii_principal_id"),
        controller=controller_from(members.members("pii_controller")),
        terms_version=notice.text("version"),
        terms_language=notice.text("language"),
        terms_sha256=notice.sha256("sha256"),
        at=members.instant("event_time"),
    )
    notice.end()
    fixed = {name: members.take(name) for name in _FIXED}
    members.end()
    if fixed != _FIXED:
        raise Malformed("says something else than a choice about look-alikes")
    return said
