"""A call to a generator that a filter holds back: which permit came with it, and for which job it must be."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from consent.errors import ConsentInvalid
from consent.job import job_of_request, job_sha256
from mien.gate import GateProblem, Permitted

MOST_BODY_BYTES = 256 * 1024  # a job; media go to the gate by themselves


def permit_of_call(method: str, path: str, shown: Sequence[str], body: bytes | None) -> Permitted:
    """The permit that came with the call, for the job that the call is (:func:`consent.job.job_of_request`).

    path : decoded, with ``?query`` as it came. shown : every ``Mien-Permit``. body : ``None`` where it was too large.
    Nothing is verified here: that is for the gate, when the permit is redeemed.

    Raises:
        GateProblem: ``permit_missing``, ``body_too_large``, ``job_invalid``, ``permit_invalid``, each with status 403.
    """
    if len(shown) != 1 or not shown[0]:
        raise GateProblem("permit_missing", status=403)
    if body is None or len(body) > MOST_BODY_BYTES:
        raise GateProblem("body_too_large", status=403)
    try:
        stated = json.loads(body, object_pairs_hook=_without_repeats) if body else {}
        if not isinstance(stated, dict):
            raise ValueError
        digest = job_sha256(job_of_request(method, path, stated))
    except (ValueError, RecursionError, ConsentInvalid):
        raise GateProblem("job_invalid", status=403) from None
    permit = shown[0]
    return Permitted(permit=permit, permit_id=_id_in(permit), job_sha256=digest, expires_at="", obligations={})


def refusal(code: str, status: int) -> bytes:
    """What whoever called is told: RFC 9457, as ``application/problem+json``."""
    told = {"type": f"urn:mien:problem:{code}", "title": "No permit for this call", "status": status, "code": code}
    return json.dumps(told).encode()


def _id_in(permit: str) -> str:
    """The id that the text claims; the gate has verified it by the time anything follows from it."""
    try:
        _, part, _ = permit.split(".")  # two of them in one header are none
        return str(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["jti"])
    except (IndexError, KeyError, TypeError, ValueError):
        raise GateProblem("permit_invalid", status=403) from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A repeated member is read one way by one program and another way by the next."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("repeated member")
    return found
