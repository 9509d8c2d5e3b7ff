"""A person's yes to being checked: given before the first recording, about nothing but the check, and a record of its own.

It is no consent to a double. It says which words were agreed to, what is worked out from the recording, who answers for it,
and by when recording and templates are gone (BIPA 740 ILCS 14/15(b): told in writing what, why and how long, before
anything is collected). A later :class:`consent.record.Granted` carries its hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from consent.canonical import Json, Malformed, Members, decode, encode, sha256_hex, write_instant
from consent.errors import ConsentInvalid, RecordInvalid, SignatureInvalid
from consent.keys import KeySet, SigningKey
from consent.record import Controller, check_words, controller_from, controller_json
from consent.terms import Terms

CHECK_TYPE = "check-consent+jws"
CHECK_SCHEMA = "mien-check-consent-1"
CHECK_KIND = "check.given"
CHECK_DATA_KEPT = timedelta(hours=24)  # as the terms say: recording and templates, unless a double is agreed to

_MAX_CHARS = 8192
_FIXED: dict[str, Json] = {
    "schema_version": CHECK_SCHEMA,
    "kind": CHECK_KIND,
    "lawful_basis": "explicit_consent",
    "purposes": ["presence_of_a_living_person", "same_person_throughout"],
    "pii_types": ["face_video", "voice", "face_template"],
    "event_state": "given",
    "event_type": "explicitly_expressed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckConsent:
    """``session_id``: the one session it is for. ``destroy_by``: when recording and templates are gone at the latest."""

    session_id: str
    subject_id: str
    controller: Controller
    terms_version: str
    terms_language: str
    terms_sha256: str
    at: datetime
    destroy_by: datetime

    def __post_init__(self) -> None:
        if not self.at < self.destroy_by <= self.at + CHECK_DATA_KEPT:
            raise ConsentInvalid("what is recorded for a check is kept for a day at most", code="retention_invalid")

    @property
    def sha256(self) -> str:
        return sha256_hex(check_bytes(self))


def agree_to_check(
    *, session_id: str, subject_id: str, controller: Controller, terms: Terms, now: datetime
) -> CheckConsent:
    """The person agrees to be checked, after reading these words.

    Raises:
        ConsentInvalid: codes ``terms_unknown``, ``terms_outdated``.
    """
    check_words(terms)
    return CheckConsent(
        session_id=session_id,
        subject_id=subject_id,
        controller=controller,
        terms_version=terms.version,
        terms_language=terms.language,
        terms_sha256=terms.sha256,
        at=now,
        destroy_by=now + CHECK_DATA_KEPT,
    )


def check_bytes(given: CheckConsent) -> bytes:
    """Canonical JSON: what is stored, committed to in the log, and hashed into the consent that may follow."""
    return encode(_json(given))


def check_from_bytes(content: bytes) -> CheckConsent:
    """What :func:`check_bytes` wrote. Raises: RecordInvalid when it did not write this."""
    try:
        return _check(decode(content))
    except (Malformed, ConsentInvalid) as error:
        raise RecordInvalid("not a consent to a check") from error


def sign_check(given: CheckConsent, key: SigningKey) -> str:
    """As a compact JWS, for the person."""
    return key.sign(_json(given), typ=CHECK_TYPE)


def read_check(compact: str, keys: KeySet) -> CheckConsent:
    """The consent in a compact JWS. Raises: RecordInvalid when it is not signed by these keys or is something else."""
    try:
        return _check(keys.open(compact, typ=CHECK_TYPE, max_chars=_MAX_CHARS))
    except (SignatureInvalid, Malformed, ConsentInvalid) as error:
        raise RecordInvalid("not a signed consent to a check") from error


def _json(given: CheckConsent) -> dict[str, Json]:
    return _FIXED | {
        "record_id": given.session_id,
        "pii_principal_id": given.subject_id,
        "pii_controller": controller_json(given.controller),
        "privacy_notice": {
            "version": given.terms_version,
            "language": given.terms_language,
            "sha256": given.terms_sha256,
        },
        "event_time": write_instant(given.at),
        "destroy_by": write_instant(given.destroy_by),
    }


def _check(members: Members) -> CheckConsent:
    notice = members.members("privacy_notice")
    given = CheckConsent(
        session_id=members.text("record_id"),
        subject_id=members.text("pii_principal_id"),
        controller=controller_from(members.members("pii_controller")),
        terms_version=notice.text("version"),
        terms_language=notice.text("language"),
        terms_sha256=notice.sha256("sha256"),
        at=members.instant("event_time"),
        destroy_by=members.instant("destroy_by"),
    )
    notice.end()
    said = {name: members.take(name) for name in _FIXED}
    members.end()
    if said != _FIXED:
        raise Malformed("says something else than a consent to a check")
    return given
