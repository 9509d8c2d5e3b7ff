"""PixVerse: HTTP 200 whatever it says, states as numbers, trace ids used once, pictures by number."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from urllib.parse import urlencode

from likeness.remote import Callback, FaultCode
from tests.backends.kit import NOW, SECRET, Asked, Job, Reply, Trouble, Vendor, part_of_form, said

_FIELDS = {
    "model", "prompt", "duration", "quality", "aspect_ratio", "seed", "generate_audio_switch", "img_id",
    "first_frame_img", "last_frame_img", "image_references", "multi_transition",
}  # fmt: skip


def error(code: int) -> Reply:
    return said({"ErrCode": code, "ErrMsg": "A red square", "Resp": None})


def resp(**members: object) -> Reply:
    return said({"ErrCode": 0, "ErrMsg": "success", "Resp": members})


class Stub(Vendor):
    name = "pixverse"
    prefix = "/openapi/v2"
    errors = (
        Trouble("empty parameter", error(400011), FaultCode.INPUT_INVALID),
        Trouble("parameter", error(400017), FaultCode.INPUT_INVALID),
        Trouble("account", error(400012), FaultCode.CREDENTIALS_REFUSED),
        Trouble("moderated", error(500063), FaultCode.INPUT_REFUSED),
        Trouble("something new", error(599999), FaultCode.VENDOR_FAILED),
        Trouble("concurrency", error(500044), FaultCode.RATE_LIMITED, again=True),
    )
    endings = (
        ("deleted", 6, FaultCode.JOB_CANCELLED),
        ("moderated", 7, FaultCode.OUTPUT_REFUSED),
        ("failed", 8, FaultCode.VENDOR_FAILED),
        ("done without a video", "", FaultCode.OUTPUT_MISSING),
    )

    def secrets(self) -> dict[str, str]:
        return {"key": SECRET, "callback_secret": SECRET + "-hook"}

    def callback(self, job: Job) -> Callback:
        """As its guide has it: a line each for time, nonce and the sorted, URL-encoded members."""
        body = {"id": int(job.id), "status": 1, "url": self.clip_url, "size": 1, "has_audio": False, "credits": 4}
        told = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
        stamp, nonce = str(int(NOW.timestamp())), "nonce-1"
        signed = f"{stamp}\n{nonce}\n{urlencode(sorted(told.items()))}"
        signature = hmac.digest((SECRET + "-hook").encode(), signed.encode(), "sha256")
        headers = {
            "webhook-timestamp": stamp,
            "webhook-nonce": nonce,
            "webhook-signature": base64.b64encode(signature).decode(),
        }
        return Callback(method="POST", path="/hook", headers=headers, body=json.dumps(body).encode())

    def __init__(self) -> None:
        super().__init__()
        self.traces: set[str] = set()

    def forget(self) -> None:
        super().forget()
        self.traces.clear()

    def spends(self, asked: Asked) -> bool:
        return asked.path.endswith("/generate")

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("api-key") != SECRET:
            return error(400012)
        trace = asked.headers.get("ai-trace-id", "")
        if not trace or trace in self.traces:
            return error(400017)
        self.traces.add(trace)
        if asked.path.endswith("/image/upload"):
            number = str(1000 + len(self.uploads))
            self.uploads[number] = hashlib.sha256(part_of_form(asked, "image")[0]).hexdigest()
            return resp(img_id=int(number), img_url="")
        if self.spends(asked):
            return self._order(asked)
        job = self.looked(asked.path.rpartition("/")[2])
        if job is None:
            return said({"ErrCode": 400017, "ErrMsg": "no such video", "Resp": None}, 404)
        if job.shown != "ended":
            return resp(id=int(job.id), status=5, url="")
        if isinstance(job.ending, int):
            return resp(id=int(job.id), status=job.ending, url="")
        return resp(id=int(job.id), status=1, url="" if job.ending == "" else self.clip_url)

    def _order(self, asked: Asked) -> Reply:
        order = asked.json
        numbers = [order[name] for name in ("img_id", "first_frame_img", "last_frame_img") if name in order]
        numbers += [each["img_id"] for each in order.get("image_references", [])]
        ways = order.get("multi_transition", [])
        numbers += [each["img_id"] for each in ways]
        if ways and (any(not 1 <= each["duration"] <= 30 for each in ways[:-1]) or ways[-1]["duration"]):
            return error(400017)
        wanted = {"text": (0, 0), "img": (1, 1), "transition": (2, 2), "fusion": (1, 7), "multi_transition": (2, 7)}[
            asked.path.split("/")[4]
        ]
        if set(order) - _FIELDS or not wanted[0] <= len(numbers) <= wanted[1]:
            return error(400017)
        media = [self.uploads[str(number)] for number in numbers]
        job = self.take(order, media, sound=order.get("generate_audio_switch", False), job_id=str(300 + len(self.jobs)))
        return resp(video_id=int(job.id))
