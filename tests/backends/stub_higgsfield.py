"""Higgsfield: an idempotency key that answers with the first job, and a full account as 400."""

from __future__ import annotations

import json

from likeness.remote import Callback, FaultCode
from tests.backends.kit import SECRET, Asked, Job, Reply, Trouble, Vendor, said, sha256_of_data_uri


def error(status: int, detail: str = "A red square") -> Reply:
    return said({"detail": detail}, status)


class Stub(Vendor):
    name = "higgsfield"
    errors = (
        Trouble("input", error(422), FaultCode.INPUT_INVALID),
        Trouble("a field", error(400), FaultCode.INPUT_INVALID),
        Trouble("key", error(401), FaultCode.CREDENTIALS_REFUSED),
        Trouble("credits", error(402), FaultCode.CREDIT_EXHAUSTED),
        Trouble("full", error(400, "Maximum concurrent requests reached"), FaultCode.RATE_LIMITED, again=True),
    )
    endings = (
        ("moderated", "nsfw", FaultCode.OUTPUT_REFUSED),
        ("failed", "failed", FaultCode.VENDOR_FAILED),
        ("done without a video", "", FaultCode.OUTPUT_MISSING),
    )

    def secrets(self) -> dict[str, str]:
        return {"key_id": "id", "key": SECRET}

    def spends(self, asked: Asked) -> bool:
        return asked.method == "POST" and not asked.path.startswith("/requests/")

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Key id:{SECRET}":
            return error(401)
        if self.spends(asked):
            return self._order(asked)
        _, _, job_id, *rest = asked.path.split("/")
        if asked.method == "DELETE" and not rest:
            return Reply(204) if self.jobs.pop(job_id, None) is not None else error(404)
        (what,) = rest
        if job_id not in self.jobs:
            return error(404)
        job = self.jobs[job_id]
        if what == "cancel":
            if job.looks > 1:
                return error(400, "Already running")
            job.cancelled = True
            return said({}, 202)
        self.looked(job_id)
        return said(self.shown(job))

    def _order(self, asked: Asked) -> Reply:
        order, key = asked.json, asked.headers["idempotency-key"]
        again = [job for job in self.jobs.values() if job.order["key"] == key]
        if again:
            same = again[0].order["body"] == order
            return said(self.accepted(again[0])) if same else error(422, "Idempotency-Key was used with another body")
        if set(order) - {"prompt", "duration", "seed", "image_url"}:
            return error(422)
        job = self.take({"key": key, "body": order}, [sha256_of_data_uri(order["image_url"])])
        return said(self.accepted(job))

    def accepted(self, job: Job) -> dict[str, str]:
        base = f"{self.url}/requests/{job.id}"
        return {
            "status": "queued",
            "request_id": job.id,
            "status_url": f"{base}/status",
            "cancel_url": f"{base}/cancel",
        }

    def shown(self, job: Job) -> dict[str, object]:
        state = {"queued": "queued", "running": "in_progress", "cancelled": "canceled"}.get(job.shown)
        if state is not None:
            return {"request_id": job.id, "status": state}
        if job.ending:
            return {"request_id": job.id, "status": job.ending}
        video = {} if job.ending == "" else {"video": {"url": self.clip_url}}
        return {"request_id": job.id, "status": "completed"} | video

    def callback(self, job: Job) -> Callback:
        return Callback(method="POST", path="/hook", headers={}, body=json.dumps(self.shown(job)).encode())
