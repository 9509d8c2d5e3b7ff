"""Kling's newer interface: looks by a list of ids, our ids unique per account, 429 also for an empty purse."""

from __future__ import annotations

import json

from likeness.remote import Callback, FaultCode
from tests.backends.kit import (
    HOOK_SECRET,
    SECRET,
    Asked,
    Job,
    Reply,
    Trouble,
    Vendor,
    said,
    sha256_of_base64,
    standard_webhook,
)

_SETTINGS = {"multi_shot", "audio", "resolution", "aspect_ratio", "duration", "negative_prompt"}
_OPTIONS = {"callback_url", "external_task_id", "watermark_info"}
_MEDIA = {"first_frame", "last_frame", "refer_image"}


def error(code: int, status: int) -> Reply:
    return said({"code": code, "message": "A red square", "request_id": "r"}, status)


TROUBLES = (
    Trouble("signature", error(1002, 401), FaultCode.CREDENTIALS_REFUSED),
    Trouble("authentication", error(1000, 401), FaultCode.CREDENTIALS_REFUSED),
    Trouble("no authentication", error(1001, 401), FaultCode.CREDENTIALS_REFUSED),
    Trouble("not yet valid", error(1003, 401), FaultCode.CREDENTIALS_REFUSED),
    Trouble("no longer valid", error(1004, 401), FaultCode.CREDENTIALS_REFUSED),
    Trouble("account", error(1100, 429), FaultCode.CREDIT_EXHAUSTED),
    Trouble("arrears", error(1101, 429), FaultCode.CREDIT_EXHAUSTED),
    Trouble("request", error(1200, 400), FaultCode.INPUT_INVALID),
    Trouble("method", error(1202, 404), FaultCode.JOB_UNKNOWN),
    Trouble("resource", error(1203, 404), FaultCode.JOB_UNKNOWN),
    Trouble("internal", error(5000, 500), FaultCode.SUBMIT_OUTCOME_UNKNOWN),
    Trouble("maintenance", error(5001, 503), FaultCode.SUBMIT_OUTCOME_UNKNOWN),
    Trouble("timed out inside", error(5002, 504), FaultCode.SUBMIT_OUTCOME_UNKNOWN),
    Trouble("balance", error(1102, 429), FaultCode.CREDIT_EXHAUSTED),
    Trouble("not entitled", error(1103, 403), FaultCode.NOT_ENTITLED),
    Trouble("parameter", error(1201, 400), FaultCode.INPUT_INVALID),
    Trouble("policy", error(1300, 400), FaultCode.INPUT_REFUSED),
    Trouble("content", error(1301, 400), FaultCode.INPUT_REFUSED),
    Trouble("address not allowed", error(1304, 429), FaultCode.NOT_ENTITLED),
    Trouble("rate", error(1302, 429), FaultCode.RATE_LIMITED, again=True),
    Trouble("concurrency", error(1303, 429), FaultCode.RATE_LIMITED, again=True),
)
ENDINGS = (
    ("moderated later", "Failure to pass the risk control system", FaultCode.INPUT_REFUSED),
    ("failed", "Internal error", FaultCode.VENDOR_FAILED),
    ("done without a video", "", FaultCode.OUTPUT_MISSING),
)


class Stub(Vendor):
    name = "kling"
    errors = TROUBLES
    endings = ENDINGS

    def secrets(self) -> dict[str, str]:
        return {"key": SECRET, "callback_secret": HOOK_SECRET}

    def spends(self, asked: Asked) -> bool:
        return asked.method == "POST"

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Bearer {SECRET}":
            return error(1002, 401)
        if asked.method == "POST":
            return self._order(asked)
        if "external_task_ids" in asked.query:
            wanted = [j for j in self.jobs.values() if j.order["options"]["external_task_id"] in asked.query.values()]
        else:
            wanted = [job for job_id in asked.query["task_ids"].split(",") if (job := self.looked(job_id))]
        return said({"code": 0, "message": "ok", "request_id": "r", "data": [self.task(job) for job in wanted]})

    def _order(self, asked: Asked) -> Reply:
        order = asked.json
        if set(order) - {"prompt", "contents", "settings", "options"}:
            return error(1201, 400)
        if set(order["settings"]) - _SETTINGS or set(order["options"]) - _OPTIONS:
            return error(1201, 400)
        if order["settings"].get("multi_shot", True):
            return error(1201, 400)  # on by default: several shots are not what anybody ordered here
        items = order.get("contents", [])
        kinds = [item["type"] for item in items if item["type"] in _MEDIA]
        if asked.path.startswith("/text-to-video/") != (not kinds) or kinds == ["last_frame"]:
            return error(1201, 400)
        if not kinds and "aspect_ratio" not in order["settings"]:
            return error(1201, 400)
        own = order["options"]["external_task_id"]
        if any(job.order["options"]["external_task_id"] == own for job in self.jobs.values()):
            return error(1201, 400)
        media = [sha256_of_base64(item["url"]) for item in items if item["type"] in _MEDIA]
        job = self.take(
            order,
            media,
            sound=order["settings"].get("audio", "off") == "native",
            job_id=f"88888888888888{len(self.jobs):04}",
        )
        return said({"code": 0, "message": "ok", "data": {"id": job.id, "status": "submitted", "external_id": own}})

    def task(self, job: Job) -> dict[str, object]:
        state: dict[str, object] = {"queued": {"status": "submitted"}, "running": {"status": "processing"}}.get(
            job.shown, {"status": "failed", "message": job.ending}
        )
        if job.shown == "ended" and not job.ending:
            made = [] if job.ending == "" else [{"type": "video", "id": "1", "url": self.clip_url, "duration": "5"}]
            state = {"status": "succeeded", "message": "", "outputs": made}
        return {"id": job.id, "create_time": 1, "update_time": 2} | state

    def callback(self, job: Job) -> Callback:
        return standard_webhook(json.dumps(self.task(job)).encode() + b" O")
