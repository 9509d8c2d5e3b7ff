"""Veo on Vertex: a look is a POST with the model, no queue to see, filtered means done without a video, videos come inline."""

from __future__ import annotations

import base64

from likeness.remote import FaultCode
from tests.backends.kit import SECRET, Asked, Reply, Trouble, Vendor, said, sha256_of_base64

_PARAMETERS = {
    "sampleCount", "durationSeconds", "aspectRatio", "resolution", "seed", "generateAudio", "personGeneration",
}  # fmt: skip


def error(code: int, status: str) -> Reply:
    return said({"error": {"code": code, "message": "A red square", "status": status}}, code)


class Stub(Vendor):
    name = "veo"
    errors = (
        Trouble("argument", error(400, "INVALID_ARGUMENT"), FaultCode.INPUT_INVALID),
        Trouble("token", error(401, "UNAUTHENTICATED"), FaultCode.CREDENTIALS_REFUSED),
        Trouble("permission", error(403, "PERMISSION_DENIED"), FaultCode.NOT_ENTITLED),
        Trouble("exhausted", error(429, "RESOURCE_EXHAUSTED"), FaultCode.RATE_LIMITED, again=True),
    )
    endings = (
        ("filtered", "raiMediaFilteredCount", FaultCode.OUTPUT_REFUSED),
        ("input filtered", {"code": 3, "message": "A red square"}, FaultCode.INPUT_REFUSED),
        ("failed", {"code": 13, "message": "A red square"}, FaultCode.VENDOR_FAILED),
        ("done without a video", "", FaultCode.OUTPUT_MISSING),
    )

    def secrets(self) -> dict[str, str]:
        return {"token": SECRET, "project": "project-1"}

    def options(self) -> dict[str, str]:
        return {"location": "us-central1"}

    def spends(self, asked: Asked) -> bool:
        return asked.path.endswith(":predictLongRunning")

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Bearer {SECRET}":
            return error(401, "UNAUTHENTICATED")
        model = asked.path.rpartition("/")[2].partition(":")[0]
        if self.spends(asked):
            return self._order(asked, model)
        job = self.looked(asked.json["operationName"])
        if job is None or not job.id.startswith(f"models/{model}/"):
            return error(404, "NOT_FOUND")
        if job.shown != "ended":
            return said({"name": job.id})
        if isinstance(job.ending, dict):
            return said({"name": job.id, "done": True, "error": job.ending})
        response: dict[str, object] = {}
        if job.ending is None:
            clip = {"bytesBase64Encoded": base64.b64encode(self.clip).decode(), "mimeType": "video/mp4"}
            response = {"videos": [clip]}
        if job.ending == "raiMediaFilteredCount":
            response = {"raiMediaFilteredCount": 1, "raiMediaFilteredReasons": ["Support codes: 29310472"]}
        return said({"name": job.id, "done": True, "response": response})

    def _order(self, asked: Asked, model: str) -> Reply:
        order = asked.json
        (instance,) = order["instances"]
        if set(order["parameters"]) - _PARAMETERS or ("referenceImages" in instance and "image" in instance):
            return error(400, "INVALID_ARGUMENT")
        pictures = [instance[name] for name in ("image", "lastFrame") if name in instance]
        pictures += [each["image"] for each in instance.get("referenceImages", [])]
        media = [sha256_of_base64(each["bytesBase64Encoded"]) for each in pictures]
        sound = order["parameters"].get("generateAudio", True)
        job = self.take(order, media, sound=sound, job_id=f"models/{model}/operations/{len(self.jobs)}")
        return said({"name": job.id})
