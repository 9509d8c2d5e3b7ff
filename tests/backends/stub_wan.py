"""DashScope: no order without the header for asynchronous work, resolutions with a capital P, tasks that end with a code."""

from __future__ import annotations

from likeness.remote import FaultCode
from tests.backends.kit import SECRET, Asked, Reply, Trouble, Vendor, said, sha256_of_data_uri

_PARAMETERS = {"resolution", "ratio", "duration", "seed", "prompt_extend", "watermark", "audio"}
_REFERENCES = {"reference_image", "reference_video", "reference_audio"}
_TYPES = {
    "wan2.7-i2v": {"first_frame", "last_frame", "driving_audio"},
    "wan2.7-r2v": {"reference_image"},
    "wan3.0-video": {"first_frame", "last_frame", *_REFERENCES},
}
_OLDER = {"wan2.2-s2v": ("image_url", "audio_url"), "wan2.2-animate-move": ("image_url", "video_url")}


def error(code: str, status: int = 400) -> Reply:
    return said({"code": code, "message": "A red square", "request_id": "r"}, status)


class Stub(Vendor):
    name = "wan"
    errors = (
        Trouble("content", error("DataInspectionFailed"), FaultCode.INPUT_REFUSED),
        Trouble("parameter", error("InvalidParameter"), FaultCode.INPUT_INVALID),
        Trouble("model", error("ModelNotFound", 404), FaultCode.INPUT_INVALID),
        Trouble("key", error("InvalidApiKey", 401), FaultCode.CREDENTIALS_REFUSED),
        Trouble("not bought", error("AccessDenied.Unpurchased", 403), FaultCode.NOT_ENTITLED),
        Trouble("arrears", error("Arrearage", 403), FaultCode.CREDIT_EXHAUSTED),
        Trouble("denied", error("AccessDenied", 403), FaultCode.NOT_ENTITLED),
        Trouble("internal", error("InternalError", 500), FaultCode.SUBMIT_OUTCOME_UNKNOWN),
        Trouble("throttled", error("Throttling", 429), FaultCode.RATE_LIMITED, again=True),
        Trouble("rate", error("Throttling.RateQuota", 429), FaultCode.RATE_LIMITED, again=True),
        Trouble("allocation", error("Throttling.AllocationQuota", 429), FaultCode.RATE_LIMITED, again=True),
    )
    endings = (
        ("content", "DataInspectionFailed", FaultCode.INPUT_REFUSED),
        ("internal", "InternalError.Algo", FaultCode.VENDOR_FAILED),
        ("forgotten", "UNKNOWN", FaultCode.JOB_EXPIRED),
        ("done without a video", "", FaultCode.OUTPUT_MISSING),
    )

    def spends(self, asked: Asked) -> bool:
        return asked.path.endswith("/video-synthesis")

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Bearer {SECRET}":
            return error("InvalidApiKey", 401)
        if self.spends(asked):
            return self._order(asked)
        job_id = asked.path.split("/")[4]
        if job_id not in self.jobs:
            return said({"request_id": "r", "output": {"task_id": job_id, "task_status": "UNKNOWN"}})
        job = self.jobs[job_id]
        if asked.path.endswith("/cancel"):
            if job.looks > 1:
                return error("UnsupportedOperation")
            job.cancelled = True
            return said({"request_id": "r"})
        self.looked(job_id)
        shown: dict[str, str] = {
            "queued": {"task_status": "PENDING"},
            "running": {"task_status": "RUNNING"},
            "cancelled": {"task_status": "CANCELED"},
        }.get(job.shown, {"task_status": "FAILED", "code": job.ending, "message": "A red square"})
        if job.shown == "ended" and job.ending == "UNKNOWN":
            shown = {"task_status": "UNKNOWN"}
        if job.shown == "ended" and not job.ending:
            made = {} if job.ending == "" else {"video_url": self.clip_url}
            if job.order["model"] in _OLDER:
                return said({"request_id": "r", "output": {"task_status": "SUCCEEDED", "results": made}})
            shown = {"task_status": "SUCCEEDED"} | made
        return said({"request_id": "r", "output": {"task_id": job_id} | shown})

    def _order(self, asked: Asked) -> Reply:
        order = asked.json
        if asked.headers.get("x-dashscope-async") != "enable":
            return error("AccessDenied", 403)
        model, given, parameters = order["model"], order["input"], order["parameters"]
        if model in _OLDER:
            own = {"resolution", "style"} if model == "wan2.2-s2v" else {"mode"}
            if "image2video" not in asked.path or set(given) != set(_OLDER[model]) or set(parameters) != own:
                return error("InvalidParameter")
            job = self.take(order, [self.digest_at(given[name]) for name in _OLDER[model]])
            return said({"request_id": "r", "output": {"task_id": job.id, "task_status": "PENDING"}})
        if set(parameters) - _PARAMETERS or parameters.get("prompt_extend", True):
            return error("InvalidParameter")
        if not parameters["resolution"].endswith("P"):
            return error("InvalidParameter")
        if ("image2video" in asked.path) != ("kf2v" in model):
            return error("InvalidParameter")
        if "kf2v" in model:
            uris = [given["first_frame_url"], given["last_frame_url"]]
        else:
            items = given.get("media", [])
            if {each["type"] for each in items} - _TYPES.get(model, set()):
                return error("InvalidParameter")
            uris = [each["url"] for each in items]
        fetched = [self.digest_at(uri) if uri.startswith("https:") else sha256_of_data_uri(uri) for uri in uris]
        job = self.take(order, fetched)
        return said({"request_id": "r", "output": {"task_id": job.id, "task_status": "PENDING"}})
