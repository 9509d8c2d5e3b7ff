"""Gemini Omni: completed with words in place of a video is a refusal, and files want the key."""

from __future__ import annotations

from likeness.remote import FaultCode
from tests.backends.kit import SECRET, Asked, Reply, Trouble, Vendor, said, sha256_of_base64


def error(code: int, status: str, message: str = "A red square") -> Reply:
    return said({"error": {"code": code, "message": message, "status": status}}, code)


class Stub(Vendor):
    name = "omni"
    errors = (
        Trouble("argument", error(400, "INVALID_ARGUMENT"), FaultCode.INPUT_INVALID),
        Trouble("safety", error(400, "INVALID_ARGUMENT", "blocked: SAFETY"), FaultCode.INPUT_REFUSED),
        Trouble("prohibited", error(400, "INVALID_ARGUMENT", "PROHIBITED_CONTENT"), FaultCode.INPUT_REFUSED),
        Trouble("key", error(401, "UNAUTHENTICATED"), FaultCode.CREDENTIALS_REFUSED),
        Trouble("permission", error(403, "PERMISSION_DENIED"), FaultCode.NOT_ENTITLED),
        Trouble("exhausted", error(429, "RESOURCE_EXHAUSTED"), FaultCode.RATE_LIMITED, again=True),
    )
    endings = (
        ("words in place of a video", "words", FaultCode.OUTPUT_REFUSED),
        ("failed", "failed", FaultCode.VENDOR_FAILED),
        ("incomplete", "incomplete", FaultCode.VENDOR_FAILED),
        ("wants something", "requires_action", FaultCode.VENDOR_FAILED),
        ("wants to go on", "requires_continuation", FaultCode.VENDOR_FAILED),
        ("budget", "budget_exceeded", FaultCode.CREDIT_EXHAUSTED),
        ("done without a video", "", FaultCode.OUTPUT_MISSING),
    )

    def spends(self, asked: Asked) -> bool:
        return asked.method == "POST" and asked.path == "/v1beta/interactions"

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("x-goog-api-key") != SECRET:
            return error(401, "UNAUTHENTICATED")
        if asked.path.startswith("/v1beta/files/"):
            return Reply(200, self.clip) if asked.query.get("alt") == "media" else error(400, "INVALID_ARGUMENT")
        if self.spends(asked):
            return self._order(asked)
        job_id = asked.path.split("/")[3]
        if job_id not in self.jobs:
            return error(404, "NOT_FOUND")
        job = self.jobs[job_id]
        if asked.path.endswith("/cancel"):
            job.cancelled = True
            return said({"id": job_id, "status": "cancelled"})
        self.looked(job_id)
        state = {"queued": "queued", "running": "in_progress", "cancelled": "cancelled"}.get(job.shown)
        if state is not None:
            return said({"id": job_id, "status": state})
        if job.ending not in (None, "", "words"):
            return said({"id": job_id, "status": job.ending})
        content: list[dict[str, str]] = []
        if job.ending is None:
            content = [{"type": "video", "uri": f"{self.url}/v1beta/files/1:download", "mime_type": "video/mp4"}]
        if job.ending == "words":
            content = [{"type": "text", "text": "I cannot make this."}]
        steps = [{"type": "thought"}, {"type": "model_output", "content": content}]
        return said({"id": job_id, "status": "completed", "steps": steps})

    def _order(self, asked: Asked) -> Reply:
        order = asked.json
        if order.get("background") is not True or "previous_interaction_id" in order:
            return error(400, "INVALID_ARGUMENT")
        pictures = [each for each in order["input"] if each["type"] == "image"]
        wanted = {"text_to_video": (0, 0), "image_to_video": (1, 1), "reference_to_video": (1, 5)}
        least, most = wanted[order["generation_config"]["video_config"]["task"]]
        if not least <= len(pictures) <= most or not order["response_format"]["duration"].endswith("s"):
            return error(400, "INVALID_ARGUMENT")
        job = self.take(order, [sha256_of_base64(each["data"]) for each in pictures])
        return said({"id": job.id, "status": "queued"})
