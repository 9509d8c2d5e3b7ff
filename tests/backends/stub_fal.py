"""fal's queue: jobs live at another path than their model, COMPLETED is not success, callbacks are signed with Ed25519."""

from __future__ import annotations

import base64
import hashlib
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from likeness.remote import Callback, FaultCode
from tests.backends.kit import NOW, SECRET, Asked, Job, Reply, Trouble, Vendor, said, sha256_of_data_uri

_KEY = Ed25519PrivateKey.from_private_bytes(b"7" * 32)
_MEDIA = ("image_url", "end_image_url", "image_urls", "audio_url")
_FIELDS = {"prompt", "duration", "aspect_ratio", "resolution", "seed", "generate_audio", "transitions", *_MEDIA}


def detail(kind: str, status: int = 422) -> Reply:
    entry = {"loc": ["body", "prompt"], "msg": "A red square", "type": kind, "url": "https://docs.fal.ai"}
    return said({"detail": [entry]}, status, **{"X-Fal-Error-Type": kind})


class Stub(Vendor):
    name = "fal"
    errors = (
        Trouble("moderated", detail("content_policy_violation"), FaultCode.INPUT_REFUSED),
        Trouble("a field", detail("value_error.missing"), FaultCode.INPUT_INVALID),
        Trouble("key", said({"detail": "Authentication is required"}, 401), FaultCode.CREDENTIALS_REFUSED),
        Trouble("credit", said({"detail": "Exhausted balance"}, 402), FaultCode.CREDIT_EXHAUSTED),
        Trouble("rate", said({"detail": "Too many"}, 429, **{"Retry-After": "2"}), FaultCode.RATE_LIMITED, again=True),
    )
    endings = (
        ("moderated", detail("content_policy_violation"), FaultCode.INPUT_REFUSED),
        ("a field", detail("image_too_small"), FaultCode.INPUT_INVALID),
        ("timed out", {"error": "took too long", "error_type": "request_timeout"}, FaultCode.VENDOR_FAILED),
        ("never started", {"error": "x", "error_type": "startup_timeout"}, FaultCode.VENDOR_FAILED),
        ("no room", {"error": "x", "error_type": "runner_scheduling_failure"}, FaultCode.VENDOR_FAILED),
        ("no runner", {"error": "x", "error_type": "runner_connection_timeout"}, FaultCode.VENDOR_FAILED),
        ("done without a video", said({"seed": 7}), FaultCode.OUTPUT_MISSING),
    )

    def options(self) -> dict[str, str]:
        return {"keys": self.url + "/.well-known/jwks.json", "platform": self.url + "/platform/v1"}

    def spends(self, asked: Asked) -> bool:
        return asked.method == "POST"

    def answer(self, asked: Asked) -> Reply:
        if asked.path == "/.well-known/jwks.json":
            public = _KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            x = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
            return said(
                {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}, {"kty": "OKP", "crv": "Ed25519", "x": x}]}
            )
        if asked.headers.get("authorization") != f"Key {SECRET}":
            return said({"detail": "Authentication is required"}, 401)
        if asked.method == "POST":
            return self._order(asked)
        if asked.method == "DELETE":
            job_id = asked.path.removeprefix("/platform/v1/models/requests/").removesuffix("/payloads")
            if self.jobs.pop(job_id, None) is None:
                return said({"error": {"type": "not_found", "message": "Request not found"}}, 404)
            return said({"cdn_delete_results": [{"link": self.clip_url, "exception": None}]})
        owner_alias, _, rest = asked.path.partition("/requests/")
        if owner_alias.count("/") != 2 or not rest:
            return said({"detail": "Path not found"}, 404)  # the sub-path of the model is not where jobs live
        job_id, _, what = rest.partition("/")
        if asked.method == "PUT" and what == "cancel":
            if job_id not in self.jobs:
                return said({"status": "NOT_FOUND"}, 404)
            if self.jobs[job_id].stage == "ended":
                return said({"status": "ALREADY_COMPLETED"}, 400)
            self.jobs[job_id].cancelled = True
            return said({"status": "CANCELLATION_REQUESTED"}, 202)
        if what == "status":
            return self._status(job_id)
        return self._result(self.jobs[job_id])

    def _order(self, asked: Asked) -> Reply:
        order = asked.json
        if set(order) - _FIELDS:
            return detail("extra_forbidden")
        ways = order.get("transitions", [])
        if ways and (len(ways) != len(order["image_urls"]) - 1 or sum(each["duration"] for each in ways) > 25):
            return detail("value_error")
        media: list[str] = []
        for name in _MEDIA:
            if name in order:
                listed = order[name] if isinstance(order[name], list) else [order[name]]
                media += [sha256_of_data_uri(each) for each in listed]
        job = self.take(order, media, sound=order.get("generate_audio"), job_id=f"req-{len(self.jobs)}")
        base = f"{self.url}/{'/'.join(asked.path.split('/')[1:3])}/requests/{job.id}"
        return said({
            "request_id": job.id, "response_url": base, "status_url": f"{base}/status", "cancel_url": f"{base}/cancel",
            "queue_position": 0,
        })  # fmt: skip

    def _status(self, job_id: str) -> Reply:
        job = self.looked(job_id)
        if job is None:
            return said({"detail": "Request not found"}, 404)
        if job.cancelled:
            return said({"status": "CANCELLED"})
        match job.looks:
            case 1:
                return said({"status": "IN_QUEUE", "queue_position": 1})
            case 2:
                return said({"status": "IN_PROGRESS", "logs": []})
        failed = job.ending if isinstance(job.ending, dict) else {}
        return said({"status": "COMPLETED"} | failed)

    def _result(self, job: Job) -> Reply:
        if isinstance(job.ending, Reply):
            return job.ending
        return said({"video": {"url": self.clip_url, "content_type": "video/mp4"}, "seed": 7})

    def callback(self, job: Job) -> Callback:
        body = json.dumps({"request_id": job.id, "gateway_request_id": job.id, "status": "OK", "payload": {}}).encode()
        parts = (job.id, "user-1", str(int(NOW.timestamp())))
        message = "\n".join((*parts, hashlib.sha256(body).hexdigest())).encode()
        names = ("request-id", "user-id", "timestamp")
        headers = {f"x-fal-webhook-{name}": part for name, part in zip(names, parts, strict=True)}
        headers["x-fal-webhook-signature"] = _KEY.sign(message).hex()
        return Callback(method="POST", path="/hook", headers=headers, body=body)
