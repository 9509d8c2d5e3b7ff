"""What callers are told when something cannot be done: RFC 9457 problems with stable codes.

One table, :data:`PROBLEMS`, from code to status and title. A problem says what was wrong and what was wanted; it never
repeats a token, a name, a score or what a caller sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import exc as sql
from starlette.exceptions import HTTPException as StarletteHTTPException

from api.files import StorageUnavailable
from api.keys import MasterUnavailable
from consent.errors import ConsentError
from likeness.errors import LikenessError
from liveness.errors import EngineError, LivenessError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:mien:problem:"


@dataclass(frozen=True, slots=True)
class Kind:
    """Status and title of a code."""

    status: int
    title: str


PROBLEMS: dict[str, Kind] = {
    # who calls
    "unauthenticated": Kind(401, "No valid key or token was presented"),
    "forbidden": Kind(403, "This key or token may not do that"),
    "passkey_needed": Kind(403, "At a browser this needs a passkey; make one first"),
    "cross_site": Kind(403, "The call comes from a page that is not ours"),
    "https_needed": Kind(409, "Nobody signs in over plain http, except on this machine"),
    "passkey_invalid": Kind(422, "This is not what was asked of the passkey"),
    "passkey_unknown": Kind(401, "This passkey is not known here"),
    "passkey_copied": Kind(403, "This passkey has been used elsewhere since; there may be a copy of it"),
    "passkey_known": Kind(409, "This passkey is there already"),
    "passkey_expired": Kind(410, "The time to use the passkey ran out; begin again"),
    "passkeys_full": Kind(409, "There are as many passkeys as there may be; remove one first"),
    "passkeys_unavailable": Kind(409, "Passkeys need an address with a name"),
    "last_passkey": Kind(409, "This is the only passkey; make another first"),
    "check_used": Kind(409, "This live check has signed somebody in already"),
    "start_code_invalid": Kind(410, "This start address was used, or its time is over"),
    "not_found": Kind(404, "There is nothing here, or it is not yours"),
    "method_not_allowed": Kind(405, "This address does not take that method"),
    # the request
    "request_invalid": Kind(422, "The request does not have the expected shape"),
    "body_too_large": Kind(413, "The body is larger than this call takes"),
    "digest_required": Kind(400, "Content-Digest with sha-256 is required"),
    "digest_mismatch": Kind(400, "The body does not have the digest that Content-Digest states"),
    "range_not_satisfiable": Kind(416, "The asked range lies outside the content"),
    "idempotency_key_invalid": Kind(400, "Idempotency-Key must be 1 to 255 visible characters"),
    "idempotency_key_reused": Kind(422, "This Idempotency-Key was used for another request"),
    "request_in_progress": Kind(409, "The request with this Idempotency-Key is still being worked on"),
    # live checks
    "language_unavailable": Kind(422, "Digits spoken in this language cannot be recognised here"),
    "policy_unknown": Kind(422, "There is no liveness policy of that name"),
    "session_expired": Kind(410, "The session's time ran out"),
    "session_not_ready": Kind(409, "The session is not at that step"),
    "camera_statement_invalid": Kind(400, "What was said of the camera cannot be read"),
    "locked_out": Kind(429, "Too many attempts failed; the person or device must wait"),
    "no_attempts_left": Kind(409, "All attempts of this session are used"),
    "challenge_missing": Kind(409, "No challenge was issued for this recording"),
    "challenge_expired": Kind(410, "The challenge's time ran out"),
    "challenge_spent": Kind(409, "The challenge was spent by an earlier recording"),
    # consent
    "not_live": Kind(409, "The person was not shown live in this session"),
    "consent_exists": Kind(409, "This live check was already used for a consent"),
    "terms_unknown": Kind(422, "There are no terms with that hash"),
    "consent_revoked": Kind(410, "The consent was revoked"),
    "consent_expired": Kind(410, "The consent has expired"),
    "consent_refused": Kind(409, "The person said no to a double in this session"),
    "consent_suspended": Kind(409, "The consent is suspended"),
    "consent_in_force": Kind(409, "The consent is not suspended"),
    "consent_changed": Kind(409, "The consent changed after the permit was given; ask again"),
    "already_suspended": Kind(409, "The consent was suspended by the same party already"),
    "not_suspended": Kind(409, "The consent was not suspended by that party"),
    "resume_not_allowed": Kind(403, "Only who suspended the consent may resume it"),
    "not_same_person": Kind(409, "The new live check does not show the person who enrolled"),
    "check_consent_needed": Kind(409, "The person has not agreed to be checked yet"),
    "approval_needed": Kind(409, "The person has not approved this use"),
    "approval_expired": Kind(410, "Nobody waits for this answer any more"),
    "approval_answered": Kind(409, "The person has answered already"),
    "scope_purpose": Kind(409, "The consent does not cover this purpose"),
    "scope_audience": Kind(409, "The consent does not cover this backend"),
    "scope_limits": Kind(409, "The consent was used as often as it allows"),
    "consent_disputed": Kind(409, "The consent is disputed"),
    # who speaks for somebody else
    "authority_invalid": Kind(409, "The authority that the consent was given on does not stand"),
    "not_renewable": Kind(409, "What was given on somebody's behalf is given anew, not renewed"),
    "terms_unsuited": Kind(422, "These terms are for somebody else: the person, or who speaks for them"),
    "authority_refused": Kind(409, "The rules for speaking for somebody else do not allow this; see reasons"),
    # media
    "media_unreadable": Kind(422, "The media cannot be read"),
    "media_ambiguous": Kind(422, "These bytes show something else to another program"),
    "media_expired": Kind(410, "The media was erased at its deadline"),
    "media_url_refused": Kind(422, "Media is not fetched from this address"),
    "media_not_fetched": Kind(422, "The address did not give media"),
    # gate and clips
    "gate_refused": Kind(403, "The gate refused: not every face is covered by a valid consent"),
    "backend_unknown": Kind(422, "There is no local backend of that name"),
    "generator_unavailable": Kind(503, "The backend is not ready on this installation"),
    "remote_refused": Kind(422, "The vendor's generator does not make such a clip; see reason"),
    "backend_retired": Kind(410, "The vendor has ended this backend"),
    "backend_without_api": Kind(422, "The vendor offers no interface that one may use"),
    "callback_forged": Kind(403, "The callback is not by the vendor"),
    "vendor_failed": Kind(502, "The vendor did not do what it was asked for; see reason"),
    "vendor_person_known": Kind(409, "The vendor has verified this person already"),
    "vendor_person_unknown": Kind(422, "This vendor verifies nobody, or cannot be asked to from here"),
    "vendor_person_unverified": Kind(409, "The vendor has not verified this person yet"),
    "permit_invalid": Kind(403, "The permit is not valid"),
    "permit_expired": Kind(410, "The permit has expired"),
    "permit_spent": Kind(409, "The permit was already redeemed"),
    "permit_not_redeemed": Kind(409, "The permit was not redeemed before the work"),
    "job_invalid": Kind(422, "This is not a job as permits are bound to"),
    "handle_taken": Kind(409, "A handle stands for another permit already"),
    "dpop_missing": Kind(401, "A proof of the key is needed with this call (DPoP, RFC 9449)"),
    "dpop_invalid": Kind(401, "What came as a proof of the key is none"),
    "dpop_wrong_request": Kind(401, "The proof of the key is for another method or address"),
    "dpop_wrong_token": Kind(401, "The proof of the key is for another token or permit"),
    "dpop_stale": Kind(401, "The proof of the key was made too long ago, or in the future"),
    "dpop_replayed": Kind(401, "The proof of the key was used before"),
    "key_mismatch": Kind(403, "The proof is by another key"),
    "backend_blocked": Kind(403, "This backend has not confirmed in time that it deleted what it must"),
    "webhook_url_refused": Kind(422, "Messages are not sent to this address"),
    "delivery_not_dead": Kind(409, "Only a message that was given up can be sent again"),
    "purge_statement_invalid": Kind(422, "What was stated of the deletion cannot be right"),
    "clip_not_ready": Kind(409, "The clip is not finished"),
    "clip_failed": Kind(410, "The clip could not be made"),
    "clip_cancelled": Kind(410, "The clip was cancelled"),
    # clips that are found again
    "look_alikes_unavailable": Kind(503, "This service tells nobody of look-alikes; see reason"),
    "not_for_another": Kind(403, "Only the person can ask for that"),
    "too_many_requests": Kind(429, "This address has asked as often as it may for now"),
    "identify_busy": Kind(503, "As many clips as this server looks at once are being looked at"),
    # the log
    "note_invalid": Kind(400, "This is not a signed checkpoint"),
    "note_unsigned": Kind(403, "No witness that is known here has signed this"),
    "checkpoint_unknown": Kind(409, "This log never signed that checkpoint"),
    "ledger_broken": Kind(500, "The log does not hold"),
    # audit
    "cursor_invalid": Kind(400, "The cursor is not one that a page of this search gave"),
    "evidence_erased": Kind(410, "The salt was erased at the person's wish; nothing links the log to this consent"),
    "second_person_needed": Kind(403, "Another admin than the one who asked must do this"),
    "opening_not_approved": Kind(409, "Nobody has approved this opening"),
    "opening_ended": Kind(410, "The time of this opening is over"),
    "media_erased": Kind(410, "The media is no longer there"),
    # the service
    "live_busy": Kind(503, "As many live sessions as this server carries are running; record and upload instead"),
    "live_unavailable": Kind(503, "This server guides no live sessions; record and upload instead"),
    "live_in_progress": Kind(409, "This session is live on another connection"),
    "start_timeout": Kind(408, "Nothing was started in time"),
    "judging_timeout": Kind(408, "The verdict takes longer than usual; ask for the session's state"),
    "live_failed": Kind(422, "The live session failed"),
    "database_unavailable": Kind(503, "The database does not answer"),
    "storage_unavailable": Kind(503, "The storage of sealed files does not answer"),
    "master_unavailable": Kind(503, "The key management service does not answer"),
    "engine_failed": Kind(503, "A model failed; nothing was judged"),
    "not_ready": Kind(503, "The service is not ready"),
    "internal_error": Kind(500, "Something failed on our side"),
}


_BACK_SOON_S = 5  # a database that is started anew
_ASKS_FOR_A_PROOF = 'DPoP realm="mien", error="invalid_dpop_proof", algs="ES256 Ed25519"'  # RFC 9449, 7.1


class Problem(Exception):
    """Ends a request with a problem. ``more`` are extension members and must hold no values of people."""

    def __init__(
        self, code: str, detail: str = "", *, status: int | None = None, more: dict[str, Any] | None = None
    ) -> None:
        kind = PROBLEMS.get(code, PROBLEMS["request_invalid"])
        super().__init__(code)
        self.code, self.title = code, kind.title
        self.status = status if status is not None else kind.status
        self.detail, self.more = detail, more or {}

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "type": TYPE_PREFIX + self.code,
            "title": self.title,
            "status": self.status,
            "code": self.code,
        }
        if self.detail:
            body["detail"] = self.detail
        return body | self.more

    @property
    def retry_after(self) -> dict[str, str]:
        """The header that says when to come back, where that is known."""
        return {"Retry-After": str(self.more["retry_after_s"])} if "retry_after_s" in self.more else {}

    def response(self) -> JSONResponse:
        asks = _ASKS_FOR_A_PROOF if self.code.startswith("dpop_") else 'Bearer realm="mien"'
        headers = {"WWW-Authenticate": asks} if self.status == HTTPStatus.UNAUTHORIZED else {}
        return JSONResponse(self.body(), self.status, headers | self.retry_after, media_type=MEDIA_TYPE)


def problem_of(error: Exception) -> Problem:
    """The problem that stands for an exception; ``internal_error`` for everything that was not foreseen."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            where = [{"where": ".".join(map(str, e["loc"])), "why": e["type"]} for e in error.errors()][:20]
            return Problem("request_invalid", "see errors", more={"errors": where})
        case StarletteHTTPException():
            return _of_http(error)
        case EngineError():
            return Problem("engine_failed")
        case StorageUnavailable() | MasterUnavailable():
            return Problem(error.code)
        case sql.OperationalError() | sql.InterfaceError() | sql.TimeoutError() | psycopg.OperationalError():
            return Problem("database_unavailable", more={"retry_after_s": _BACK_SOON_S})
        case LivenessError() | ConsentError() | LikenessError():
            status = PROBLEMS[error.code].status if error.code in PROBLEMS else 422
            problem = Problem(error.code, str(error), status=status)
            if error.code not in PROBLEMS:
                problem.title = error.code.replace("_", " ").capitalize()
            return problem
        case _:
            return Problem("internal_error")


def _of_http(error: StarletteHTTPException) -> Problem:
    match error.status_code:
        case 404:
            return Problem("not_found")
        case 405:
            return Problem("method_not_allowed")
        case 413:
            return Problem("body_too_large")
        case status:
            return Problem("request_invalid", status=status)
