"""Runway: a version header, THROTTLED for jobs that wait, and deleting as cancelling."""

from __future__ import annotations

from likeness.remote import FaultCode
from tests.backends.kit import SECRET, Asked, Reply, Trouble, Vendor, said, sha256_of_data_uri


def error(status: int) -> Reply:
    return said({"error": "A red square", "issues": []}, status)


class Stub(Vendor):
    name = "runway"
    errors = (
        Trouble("a field", error(400), FaultCode.INPUT_INVALID),
        Trouble("key", error(401), FaultCode.CREDENTIALS_REFUSED),
        Trouble("no such path", error(404), FaultCode.JOB_UNKNOWN),
        Trouble("tier", said({"error": "limit"}, 429), FaultCode.RATE_LIMITED, again=True),
    )
    endings = (
        ("input moderated", "SAFETY.INPUT.IMAGE", FaultCode.INPUT_REFUSED),
        ("output moderated", "SAFETY.OUTPUT.VIDEO", FaultCode.OUTPUT_REFUSED),
        ("bad output", "INTERNAL.BAD_OUTPUT.CODE01", FaultCode.VENDOR_FAILED),
        ("asset", "ASSET.INVALID", FaultCode.INPUT_INVALID),
        ("preprocessing", "INPUT_PREPROCESSING.SAFETY.TEXT", FaultCode.INPUT_INVALID),
        ("done without a video", "", FaultCode.OUTPUT_MISSING),
    )

    def options(self) -> dict[str, str]:
        return {"version": "2024-11-06"}

    def spends(self, asked: Asked) -> bool:
        return asked.method == "POST"

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Bearer {SECRET}":
            return error(401)
        if asked.headers.get("x-runway-version") != "2024-11-06":
            return error(400)
        if asked.method == "POST":
            return self._order(asked)
        job_id = asked.path.rpartition("/")[2]
        if asked.method == "DELETE":
            return Reply(204) if self.jobs.pop(job_id, None) else error(404)
        job = self.looked(job_id)
        if job is None:
            return error(404)
        if job.shown == "ended" and not job.ending:
            return said({"id": job.id, "status": "SUCCEEDED", "output": [] if job.ending == "" else [self.clip_url]})
        shown = {"queued": {"status": "THROTTLED"}, "running": {"status": "RUNNING", "progress": 0.4}}.get(
            job.shown, {"status": "FAILED", "failure": "A red square", "failureCode": job.ending}
        )
        return said({"id": job.id} | shown)

    def _order(self, asked: Asked) -> Reply:
        order = asked.json
        match asked.path:
            case "/v1/image_to_video":
                frames = order["promptImage"]
                if order["model"].startswith("gen4") and [each["position"] for each in frames] != ["first"]:
                    return error(400)
                uris = [each["uri"] for each in frames]
            case "/v1/text_to_video":
                uris = []
            case "/v1/character_performance":
                uris = [order["character"]["uri"], order["reference"]["uri"]]
            case _:
                return error(404)
        if order["model"].startswith("veo") and "seed" in order:
            return error(400)
        if ":" not in order["ratio"] or any(len(uri) > 5_000_000 for uri in uris):
            return error(400)
        job = self.take(order, [sha256_of_data_uri(uri) for uri in uris])
        return said({"id": job.id, "estimatedCost": 5})
