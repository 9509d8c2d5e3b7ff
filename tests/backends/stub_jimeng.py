"""Volcengine's visual interface: a signature, codes in the body whatever the status, jobs known by id and ``req_key``."""

from __future__ import annotations

import json

from likeness.remote import FaultCode
from tests.backends.kit import NOW, SECRET, Asked, Reply, Trouble, Vendor, said, sha256_of_base64
from tests.backends.signatures import volcengine_signature_holds

_FIELDS = {"req_key", "prompt", "binary_data_base64", "image_urls", "seed", "frames", "aspect_ratio"}
_PICTURE = {"req_key", "prompt", "image_urls", "width", "height", "force_single"}
_SPEECH = {"req_key", "image_url", "audio_url", "prompt", "seed", "output_resolution"}
_SUBMITS = {"CVSync2AsyncSubmitTask": "CVSync2AsyncGetResult", "CVSubmitTask": "CVGetResult"}


def error(code: int, status: int = 400) -> Reply:
    return said(
        {"code": code, "data": None, "message": "A red square", "request_id": "r", "time_elapsed": "1ms"}, status
    )


class Stub(Vendor):
    name = "jimeng"
    errors = (
        Trouble("picture", error(50411), FaultCode.INPUT_REFUSED),
        Trouble("text", error(50412), FaultCode.INPUT_REFUSED),
        Trouble("text, with 200", error(50413, 200), FaultCode.INPUT_REFUSED),
        Trouble("copyright", error(50518), FaultCode.INPUT_REFUSED),
        Trouble("copyright of the output", error(50519), FaultCode.OUTPUT_REFUSED),
        Trouble("output picture", error(50511), FaultCode.OUTPUT_REFUSED),
        Trouble("output text", error(50512), FaultCode.OUTPUT_REFUSED),
        Trouble("output sound", error(50517), FaultCode.OUTPUT_REFUSED),
        Trouble("audit away", error(50520, 500), FaultCode.SUBMIT_OUTCOME_UNKNOWN),
        Trouble("text audit away", error(50521, 500), FaultCode.SUBMIT_OUTCOME_UNKNOWN),
        Trouble("copyright audit away", error(50522, 500), FaultCode.SUBMIT_OUTCOME_UNKNOWN),
        Trouble("internal", error(50500, 500), FaultCode.SUBMIT_OUTCOME_UNKNOWN),
        Trouble("internal, of the model", error(50501, 500), FaultCode.SUBMIT_OUTCOME_UNKNOWN),
        Trouble("not enabled", error(50400), FaultCode.NOT_ENTITLED),
        Trouble("req_key", error(50200), FaultCode.INPUT_INVALID),
        Trouble("rate", error(50429, 429), FaultCode.RATE_LIMITED, again=True),
        Trouble("concurrency", error(50430, 429), FaultCode.RATE_LIMITED, again=True),
    )
    endings = (
        ("output moderated", 50516, FaultCode.OUTPUT_REFUSED),
        ("input moderated later", 50411, FaultCode.INPUT_REFUSED),
        ("expired", "expired", FaultCode.JOB_EXPIRED),
        ("done without a video", "", FaultCode.OUTPUT_MISSING),
    )

    def secrets(self) -> dict[str, str]:
        return {"access_key": "AK", "secret_key": SECRET}

    def options(self) -> dict[str, str]:
        return {"region": "cn-north-1"}

    def spends(self, asked: Asked) -> bool:
        return asked.query.get("Action") in _SUBMITS

    def answer(self, asked: Asked) -> Reply:
        if not volcengine_signature_holds(asked, SECRET, now=NOW):
            return said({"ResponseMetadata": {"Error": {"Code": "SignatureDoesNotMatch"}}}, 401)
        if self.spends(asked):
            return self._order(asked)
        body = asked.json
        job = self.looked(body["task_id"])
        if job is None or job.order["req_key"] != body["req_key"] or job.order["get"] != asked.query["Action"]:
            return self._data({"status": "not_found"})
        match job.shown:
            case "queued":
                return self._data({"status": "in_queue"})
            case "running":
                return self._data({"status": "generating"})
        if isinstance(job.ending, int):
            return error(job.ending)
        if job.ending == "expired":
            return self._data({"status": "expired"})
        assert json.loads(body["req_json"])["return_url"] is True
        if "t2i" in body["req_key"]:
            return self._data({"status": "done", "image_urls": [] if job.ending == "" else [self.picture_url]})
        return self._data({"status": "done", "video_url": "" if job.ending == "" else self.clip_url})

    def _data(self, data: dict[str, object]) -> Reply:
        return said({"code": 10000, "data": data, "message": "Success", "request_id": "r", "time_elapsed": "1ms"})

    def _order(self, asked: Asked) -> Reply:
        order = asked.json
        taken = order | {"get": _SUBMITS[asked.query["Action"]]}
        if ("omni" in order["req_key"]) != (asked.query["Action"] == "CVSubmitTask"):
            return error(50200)
        if "omni" in order["req_key"]:
            if set(order) - _SPEECH or order["output_resolution"] not in (720, 1080):
                return error(50200)
            media = [self.digest_at(order[name]) for name in ("image_url", "audio_url")]
            return self._data({"task_id": self.take(taken, media).id})
        if "t2i" in order["req_key"]:
            if set(order) - _PICTURE or len(order.get("image_urls", [])) > 10 or not order["width"]:
                return error(50200)
            media = [self.digest_at(url) for url in order.get("image_urls", [])]
            return self._data({"task_id": self.take(taken, media).id})
        media = [sha256_of_base64(each) for each in order.get("binary_data_base64", [])]
        wanted = 2 if "first_tail" in order["req_key"] else 1 if "first" in order["req_key"] else 0
        if set(order) - _FIELDS or order["frames"] not in (121, 241) or len(media) != wanted:
            return error(50200)
        return self._data({"task_id": self.take(taken, media).id})
