"""Luma's older interface: frames by address and in no other way, states of its own, unsigned callbacks."""

from __future__ import annotations

import json

from likeness.remote import Callback, FaultCode
from tests.backends.kit import SECRET, Asked, Job, Reply, Trouble, Vendor, said

_FIELDS = {"model", "prompt", "aspect_ratio", "duration", "resolution", "loop", "keyframes", "callback_url"}


def error(status: int) -> Reply:
    return said({"detail": "A red square"}, status)


class Stub(Vendor):
    name = "luma_legacy"
    prefix = "/dream-machine/v1"
    errors = (
        Trouble("a field", error(400), FaultCode.INPUT_INVALID),
        Trouble("key", error(401), FaultCode.CREDENTIALS_REFUSED),
        Trouble("money", error(402), FaultCode.CREDIT_EXHAUSTED),
        Trouble("entitlement", error(403), FaultCode.NOT_ENTITLED),
        Trouble("no such path", error(404), FaultCode.JOB_UNKNOWN),
        Trouble("rate", error(429), FaultCode.RATE_LIMITED, again=True),
    )
    endings = (
        ("moderated", "400: prompt not allowed because advanced moderation failed", FaultCode.INPUT_REFUSED),
        ("failed", "Job failed", FaultCode.VENDOR_FAILED),
        ("done without a video", "", FaultCode.OUTPUT_MISSING),
    )

    def spends(self, asked: Asked) -> bool:
        return asked.method == "POST"

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Bearer {SECRET}":
            return error(401)
        if self.spends(asked):
            return self._order(asked)
        job = self.looked(asked.path.rpartition("/")[2])
        return error(404) if job is None else said(self.generation(job))

    def generation(self, job: Job) -> dict[str, object]:
        shown: dict[str, object] = {"queued": {"state": "queued"}, "running": {"state": "dreaming"}}.get(
            job.shown, {"state": "failed", "failure_reason": job.ending}
        )  # type: ignore[assignment]
        if job.shown == "ended" and not job.ending:
            shown = {"state": "completed", "assets": {} if job.ending == "" else {"video": self.clip_url}}
        return {"id": job.id} | shown

    def _order(self, asked: Asked) -> Reply:
        order = asked.json
        frames = order.get("keyframes", {})
        if set(order) - _FIELDS or asked.path != "/dream-machine/v1/generations/video":
            return error(400)
        if set(frames) - {"frame0", "frame1"} or any(each["type"] != "image" for each in frames.values()):
            return error(400)
        media = [self.digest_at(frames[name]["url"]) for name in ("frame0", "frame1") if name in frames]
        return said(self.generation(self.take(order, media)), 201)

    def callback(self, job: Job) -> Callback:
        return Callback(method="POST", path="/hook", headers={}, body=json.dumps(self.generation(job)).encode())
