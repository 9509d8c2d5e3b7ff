"""Vidu: its own authorization scheme, exactly two frames for start and end, callbacks signed without their body."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from email.utils import format_datetime

from likeness.remote import Callback, FaultCode
from tests.backends.kit import NOW, SECRET, Asked, Job, Reply, Trouble, Vendor, said, sha256_of_data_uri

_FIELDS = {
    "model", "prompt", "images", "duration", "seed", "resolution", "aspect_ratio", "audio", "watermark", "payload",
    "callback_url", "subjects",
}  # fmt: skip
_IMAGES = {"text2video": (0, 0), "img2video": (1, 1), "start-end2video": (2, 2), "reference2video": (1, 7)}


def error(code: str, status: int = 400) -> Reply:
    return said({"code": status, "reason": code, "message": "A red square", "metadata": {}}, status)


class Stub(Vendor):
    name = "vidu"
    prefix = "/ent/v2"
    signs_body = False
    errors = (
        Trouble("prompt", error("TaskPromptPolicyViolation"), FaultCode.INPUT_REFUSED),
        Trouble("audit", error("AuditSubmitIllegal"), FaultCode.INPUT_REFUSED),
        Trouble("face", error("ImageCheckFaceFailed"), FaultCode.INPUT_REFUSED),
        Trouble("field", error("FieldUnwanted"), FaultCode.INPUT_INVALID),
        Trouble("a field less", error("FieldLacking"), FaultCode.INPUT_INVALID),
        Trouble("a field's value", error("FieldInvalid"), FaultCode.INPUT_INVALID),
        Trouble("request", error("BadRequest"), FaultCode.INPUT_INVALID),
        Trouble("download", error("ImageDownloadFailure"), FaultCode.INPUT_INVALID),
        Trouble("model", error("ModelUnavailable"), FaultCode.INPUT_INVALID),
        Trouble("no task", error("TaskNotFound", 404), FaultCode.JOB_UNKNOWN),
        Trouble("too many", error("TooManyRequests", 429), FaultCode.RATE_LIMITED, again=True),
        Trouble("internal", error("InternalServiceFailure", 500), FaultCode.SUBMIT_OUTCOME_UNKNOWN),
        Trouble("picture", error("ImageFormatInvalid"), FaultCode.INPUT_INVALID),
        Trouble("credit", error("CreditInsufficient", 403), FaultCode.CREDIT_EXHAUSTED),
        Trouble("key", error("Unauthorized", 401), FaultCode.CREDENTIALS_REFUSED),
        Trouble("forbidden", error("Forbidden", 403), FaultCode.NOT_ENTITLED),
        Trouble("quota", error("QuotaExceeded", 429), FaultCode.RATE_LIMITED, again=True),
        Trouble("throttled", error("SystemThrottling", 429), FaultCode.RATE_LIMITED, again=True),
    )
    endings = (
        ("output moderated", "CreationPolicyViolation", FaultCode.OUTPUT_REFUSED),
        ("input moderated later", "TaskPromptPolicyViolation", FaultCode.INPUT_REFUSED),
        ("face", "ImageCheckFaceFailed", FaultCode.INPUT_REFUSED),
        ("failed", "SomethingNew", FaultCode.VENDOR_FAILED),
        ("done without a video", "", FaultCode.OUTPUT_MISSING),
    )

    def options(self) -> dict[str, str]:
        return {"scheme": "Token"}

    def spends(self, asked: Asked) -> bool:
        return asked.method == "POST" and not asked.path.endswith("/cancel")

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Token {SECRET}":
            return error("Unauthorized", 401)
        path = asked.path.removeprefix("/ent/v2/")
        if asked.method == "POST" and path in _IMAGES:
            return self._order(asked, path)
        job_id = path.split("/")[1]
        if job_id not in self.jobs:
            return error("TaskNotFound", 404)
        if path.endswith("/cancel"):
            self.jobs.pop(job_id)
            return said({})
        self.looked(job_id)
        return said(self.task(self.jobs[job_id]))

    def _order(self, asked: Asked, path: str) -> Reply:
        order = asked.json
        if set(order) - _FIELDS:
            return error("FieldUnwanted")
        subjects = order.get("subjects", [])
        if subjects and (path != "reference2video" or "images" in order):
            return error("FieldUnwanted")
        ids = [each["id"] for each in subjects]
        if len(set(ids)) != len(ids) or len(ids) > 7 or any(len(each["images"]) > 3 for each in subjects):
            return error("FieldInvalid")
        uris = [*order.get("images", []), *(uri for each in subjects for uri in each["images"])]
        media = [sha256_of_data_uri(uri) for uri in uris]
        least, most = _IMAGES[path]
        if not least <= len(media) <= most:
            return error("FieldInvalid")
        sound = order.get("audio", "q3" in order["model"])  # on unless told otherwise
        job = self.take(order, media, sound=sound)
        return said({"task_id": job.id, "state": "created", "model": order["model"], "credits": 4})

    def task(self, job: Job) -> dict[str, object]:
        states = {"queued": {"state": "queueing"}, "running": {"state": "processing", "progress": 40}}
        shown: dict[str, object] = dict(states.get(job.shown, {"state": "failed", "err_code": job.ending}))
        if job.shown == "ended" and not job.ending:
            made = [] if job.ending == "" else [{"id": "1", "url": self.clip_url, "cover_url": self.clip_url}]
            shown = {"state": "success", "err_code": "", "creations": made}
        return {"id": job.id, "payload": job.order.get("payload", "")} | shown

    def callback(self, job: Job) -> Callback:
        date, nonce = format_datetime(NOW, usegmt=True), "123e4567-e89b-12d3-a456-426614174000"
        signed = f"POST\n/hook\na=1\nvidu\n{date}\nDate:{date}\nx-request-nonce:{nonce}\n"
        signature = base64.b64encode(hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256)).decode()
        headers = {
            "date": date,
            "x-request-nonce": nonce,
            "x-hmac-signed-headers": "Date;x-request-nonce",
            "x-hmac-signature": signature,
            "x-hmac-algorithm": "hmac-sha256",
            "x-hmac-access-key": "vidu",
        }
        return Callback(method="POST", path="/hook?a=1", headers=headers, body=json.dumps(self.task(job)).encode())
