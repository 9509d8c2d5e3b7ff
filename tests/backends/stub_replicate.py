"""Replicate: predictions of a model, output as one address or a list, failures as sentences, signed webhooks."""

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
    sha256_of_data_uri,
    standard_webhook,
)

_MEDIA = ("image", "last_frame_image", "reference_images", "reference_videos", "reference_audios", "audio")
_INPUT = {"prompt", "duration", "resolution", "aspect_ratio", "generate_audio", "seed", *_MEDIA}


def error(status: int) -> Reply:
    return said({"type": "about:blank", "title": "x", "status": status, "detail": "A red square"}, status)


class Stub(Vendor):
    name = "replicate"
    prefix = "/v1"
    errors = (
        Trouble("input", error(422), FaultCode.INPUT_INVALID),
        Trouble("key", error(401), FaultCode.CREDENTIALS_REFUSED),
        Trouble("credit", error(402), FaultCode.CREDIT_EXHAUSTED),
        Trouble("no such model", error(404), FaultCode.JOB_UNKNOWN),
        Trouble("rate", error(429), FaultCode.RATE_LIMITED, again=True),
    )
    endings = (
        ("moderated", "The input or output was flagged as sensitive. (E005)", FaultCode.INPUT_REFUSED),
        ("failed", "Director: unexpected error", FaultCode.VENDOR_FAILED),
        ("done without a video", "", FaultCode.OUTPUT_MISSING),
    )

    def secrets(self) -> dict[str, str]:
        return {"key": SECRET, "callback_secret": HOOK_SECRET}

    def spends(self, asked: Asked) -> bool:
        return asked.method == "POST" and asked.path.startswith("/v1/models/")

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Bearer {SECRET}":
            return error(401)
        if self.spends(asked):
            return self._order(asked)
        job_id = asked.path.split("/")[3]
        job = self.jobs.get(job_id)
        if job is None:
            return error(404)
        if asked.path.endswith("/cancel"):
            job.cancelled = True
        else:
            self.looked(job_id)
        return said(self.prediction(job))

    def _order(self, asked: Asked) -> Reply:
        given = asked.json["input"]
        framed = {"image", "last_frame_image"} & set(given)
        if set(given) - _INPUT or (framed and "reference_images" in given):
            return error(422)
        media: list[str] = []
        for name in _MEDIA:
            if name in given:
                listed = given[name] if isinstance(given[name], list) else [given[name]]
                media += [sha256_of_data_uri(each) for each in listed]
        job = self.take(asked.json, media, sound=given.get("generate_audio", True))  # on unless told otherwise
        return said(self.prediction(job), 201)

    def prediction(self, job: Job) -> dict[str, object]:
        match job.shown:
            case "queued":
                shown: dict[str, object] = {"status": "starting"}
            case "running":
                shown = {"status": "processing"}
            case "cancelled":
                shown = {"status": "canceled"}
            case _ if job.ending:
                shown = {"status": "failed", "error": job.ending}
            case _:
                shown = {"status": "succeeded", "output": None if job.ending == "" else self.clip_url}
        return {"id": job.id, "urls": {}} | shown

    def callback(self, job: Job) -> Callback:
        return standard_webhook(json.dumps(self.prediction(job)).encode() + b" O")
