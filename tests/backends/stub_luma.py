"""Luma's agents interface: exactly one way to give a frame, keyframes on a grid and without a last frame."""

from __future__ import annotations

from likeness.remote import FaultCode
from tests.backends.kit import SECRET, Asked, Reply, Trouble, Vendor, said, sha256_of_base64

_VIDEO = {"duration", "resolution", "start_frame", "end_frame", "keyframes", "keyframe_indexes"}


def error(status: int) -> Reply:
    return said({"detail": "A red square"}, status)


class Stub(Vendor):
    name = "luma"
    prefix = "/v1"
    errors = (
        Trouble("a field", error(400), FaultCode.INPUT_INVALID),
        Trouble("key", error(401), FaultCode.CREDENTIALS_REFUSED),
        Trouble("money", error(402), FaultCode.CREDIT_EXHAUSTED),
        Trouble("entitlement", error(403), FaultCode.NOT_ENTITLED),
        Trouble("no such path", error(404), FaultCode.JOB_UNKNOWN),
        Trouble("rate", error(429), FaultCode.RATE_LIMITED, again=True),
    )
    endings = (
        ("moderated", "content_moderated", FaultCode.INPUT_REFUSED),
        ("failed", "generation_failed", FaultCode.VENDOR_FAILED),
        ("budget", "budget_exhausted", FaultCode.CREDIT_EXHAUSTED),
        ("picture", "corrupt_input", FaultCode.INPUT_INVALID),
        ("picture too large", "image_too_large", FaultCode.INPUT_INVALID),
        ("format", "unsupported_format", FaultCode.INPUT_INVALID),
        ("request", "invalid_request", FaultCode.INPUT_INVALID),
        ("rate", "rate_limited", FaultCode.VENDOR_FAILED),
        ("no output", "output_not_found", FaultCode.OUTPUT_MISSING),
        ("done without a video", "", FaultCode.OUTPUT_MISSING),
    )

    def spends(self, asked: Asked) -> bool:
        return asked.method == "POST"

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Bearer {SECRET}":
            return error(401)
        if asked.method == "POST":
            return self._order(asked)
        job = self.looked(asked.path.rpartition("/")[2])
        if job is None:
            return error(404)
        if job.shown == "ended" and not job.ending:
            made = [] if job.ending == "" else [{"type": "video", "url": self.clip_url}]
            return said({"id": job.id, "state": "completed", "output": made})
        shown = {"queued": {"state": "queued"}, "running": {"state": "processing"}}.get(
            job.shown, {"state": "failed", "failure_code": job.ending, "failure_reason": "A red square"}
        )
        return said({"id": job.id} | shown)

    def _order(self, asked: Asked) -> Reply:
        order = asked.json
        video = order["video"]
        frames = [video[name] for name in ("start_frame", "end_frame") if name in video]
        keys = video.get("keyframes", [])
        if set(video) - _VIDEO or (frames and keys) or len(keys) != len(video.get("keyframe_indexes", [])):
            return error(400)
        if len(frames) == 2 and video["duration"] == "10s":
            return error(400)
        if video.get("keyframe_indexes", []) != sorted(set(video.get("keyframe_indexes", []))):
            return error(400)
        if any(set(frame) != {"data", "media_type"} for frame in (*frames, *keys)):
            return error(400)
        media = [sha256_of_base64(frame["data"]) for frame in (*frames, *keys)]
        return said({"id": self.take(order, media).id, "state": "queued"})
