"""Judges a recording once: loads it, examines it, writes the one verdict, and lets the raw recording go.

Safe to run twice at once or again after a crash: the verdict is inserted under its challenge's id, and only the run that
inserted it moves the session on.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from datetime import timedelta

from api.authorities import settle_about
from api.engines import Bounded
from api.examiner import Examiner, HandedIn, Judged
from api.media import Erased, Sealed, templates_to_bytes
from api.queue import MOST_TRIES
from api.service import Service
from api.storage import challenge_of, policy_of
from api.tables import ChallengeRow, FingerprintRow, SessionRow, VerdictRow
from consent.record import LIVE_FOR
from liveness import session as life
from liveness.attestation import attestation_json, attestation_of
from liveness.capture import RgbImage
from liveness.errors import MediaError
from liveness.examine import verdict_json
from liveness.fingerprint import from_bytes, to_bytes
from liveness.live import LiveLog
from liveness.reasons import Reason
from liveness.verdict import CheckResult, Live, judge

log = logging.getLogger("mien.worker")

FINGERPRINTS_KEPT = timedelta(days=90)  # a copied take is handed in soon, or its challenge is long forgotten
CONSENT_WINDOW = LIVE_FOR  # after a pass: to read the terms and decide; then everything is erased


@dataclass(frozen=True, slots=True, kw_only=True)
class Judges:
    """Who judges, and how many judgements run at once."""

    examiner: Examiner
    bound: Bounded


def judge_challenge(service: Service, judges: Judges, challenge_id: str, *, tried: int = 0) -> bool:
    """Judge what was handed in for this challenge; false when it was judged before, or is not to be judged.

    ``tried``: how often that was begun before. When a model fails for the last time, and when every try so far took the
    worker down with it, the answer is that nothing could be measured.

    Raises:
        EngineError: a model failed and there is another try.
    """
    with service.database.transaction() as store:
        row = store.get(ChallengeRow, challenge_id)
        session = None if row is None else store.get(SessionRow, row.session_id)
        if row is None or session is None or session.challenge_id != challenge_id:
            return False
        if session.state != life.SessionState.JUDGING or store.get(VerdictRow, challenge_id) is not None:
            return False
        now, reused, sha256 = service.now(), row.reused, row.capture_sha256 or ""
        try:
            data = b"" if reused else service.vault.get(store, row.capture_id, owner=session.session_id)
        except Erased:
            data = b""
        earlier = store.fingerprints(session.subject_id, but=challenge_id, since=now - FINGERPRINTS_KEPT)
        handed = HandedIn(
            data=data,
            challenge=challenge_of(row),
            policy=policy_of(session.policy),
            mirrored=bool(row.mirrored),
            now=now,
            attestation=None if row.attestation is None else attestation_of(row.attestation),
            camera_risks=None if row.client_signs is None else tuple(row.client_signs["risks"]),
            live=None if row.live_log is None else LiveLog.from_json(row.live_log),
            earlier=tuple(from_bytes(each) for each in earlier),
        )
    if tried >= MOST_TRIES:
        judged = _refused(handed, sha256, Reason.NOT_MEASURED, media_code="engine_failed")
    elif reused:
        judged = _refused(handed, sha256, Reason.CAPTURE_REUSED)
    else:
        judged = _judged(judges, handed, sha256, last_try=tried == MOST_TRIES - 1)
    return _write(service, session.session_id, handed, judged)


def _judged(judges: Judges, handed: HandedIn, sha256: str, *, last_try: bool) -> Judged:
    with judges.bound.place():
        try:
            judged = judges.examiner.examine(handed)
        except MediaError as error:
            return _refused(handed, sha256, Reason.RECORDING_UNREADABLE, media_code=str(error.code))
        except Exception:  # whatever a model raises: another try, and in the end nobody is found live
            if not last_try:
                raise
            log.error("judging %s failed for the last time", handed.challenge.challenge_id)
            return _refused(handed, sha256, Reason.NOT_MEASURED, media_code="engine_failed")
    if isinstance(judged.verdict, Live) and (judged.portrait is None or not judged.templates):
        return _refused(handed, sha256, Reason.NOT_MEASURED, media_code="no_portrait")
    return judged


def _refused(handed: HandedIn, sha256: str, reason: Reason, *, media_code: str | None = None) -> Judged:
    """Not live before any check could run."""
    result = CheckResult.unjudged("recording_usable", reason)
    verdict = judge(
        [result],
        required=[result.name],
        challenge=handed.challenge,
        capture_sha256=sha256,
        policy=handed.policy,
        models={},
        now=handed.now,
    )
    return Judged(verdict=verdict, timing_ms={}, media_code=media_code)


def _write(service: Service, session_id: str, handed: HandedIn, judged: Judged) -> bool:
    now, challenge_id, attestation = service.now(), handed.challenge.challenge_id, handed.attestation
    verdict = judged.verdict
    live = isinstance(verdict, Live)
    detail = verdict_json(verdict, judged.timing_ms) | {
        "media_code": judged.media_code,
        "attestation": None if attestation is None else attestation_json(attestation),
        "camera_risks": None if handed.camera_risks is None else list(handed.camera_risks),
    }
    with service.database.transaction() as store:
        session = store.get(SessionRow, session_id, lock=True)
        if session is None or session.state != life.SessionState.JUDGING or session.challenge_id != challenge_id:
            return False
        written = store.add_verdict(
            VerdictRow(
                challenge_id=challenge_id,
                session_id=session_id,
                live=live,
                assurance=verdict.assurance.value if isinstance(verdict, Live) else None,
                reasons=[] if isinstance(verdict, Live) else [reason.value for reason in verdict.reasons],
                detail=detail,
                judged_at=now,
            )
        )
        if not written:
            return False
        event = life.SessionEvent.LIVE if live else life.SessionEvent.NOT_LIVE
        session.state = life.advance(life.SessionState(session.state), event)
        if live and judged.portrait is not None:
            key = session.data_key_id
            session.templates_id = service.vault.put(
                store, templates_to_bytes(judged.templates), kind=Sealed.TEMPLATES, data_key_id=key, now=now
            )
            session.portrait_id = service.vault.put(
                store, picture_to_bytes(judged.portrait), kind=Sealed.PORTRAIT, data_key_id=key, now=now
            )
            session.expires_at = now + CONSENT_WINDOW
        else:
            # waiting for the judge must not eat the time of the next attempt
            session.expires_at = max(session.expires_at, now + timedelta(seconds=60))
        store.extend_person_tokens(session_id, session.expires_at)
        if judged.fingerprint is not None:
            store.add(
                FingerprintRow(
                    challenge_id=challenge_id,
                    subject_id=session.subject_id,
                    fingerprint=to_bytes(judged.fingerprint),
                    seen_at=now,
                )
            )
        row = store.get(ChallengeRow, challenge_id)
        service.vault.erase(store, None if row is None else row.capture_id, now=now)
        subject_id = session.subject_id
    if live:
        settle_about(service, subject_id)
    log.info("judged %s: %s", challenge_id, "live" if live else "not live")
    return True


def picture_to_bytes(image: RgbImage) -> bytes:
    """PNG."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG", compress_level=1)
    return content.getvalue()
