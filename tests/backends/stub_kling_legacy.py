"""Kling's older interface: a JWT whose times are checked, ``succeed``, a job at the path that made it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

from likeness.remote import Callback
from tests.backends.kit import (
    HOOK_SECRET,
    NOW,
    SECRET,
    Asked,
    Job,
    Reply,
    Vendor,
    said,
    sha256_of_base64,
    standard_webhook,
)
from tests.backends.stub_kling import ENDINGS, TROUBLES, error

_FIELDS = {
    "model_name", "prompt", "negative_prompt", "image", "image_tail", "duration", "mode", "aspect_ratio", "sound",
    "image_list", "callback_url", "external_task_id", "sound_file",
}  # fmt: skip


def _part(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Stub(Vendor):
    name = "kling_legacy"
    errors = TROUBLES
    endings = ENDINGS

    def secrets(self) -> dict[str, str]:
        return {"access_key": "AK", "secret_key": SECRET, "callback_secret": HOOK_SECRET}

    def spends(self, asked: Asked) -> bool:
        return asked.method == "POST"

    def answer(self, asked: Asked) -> Reply:
        if not self._known(asked):
            return error(1002, 401)
        path = asked.path.removeprefix("/v1/videos/")
        if asked.method == "POST":
            return self._order(asked, path)
        path, _, job_id = path.rpartition("/")
        own = [job.id for job in self.jobs.values() if job.order["external_task_id"] == job_id]
        job = self.jobs.get(own[0]) if own else self.looked(job_id)
        if job is None or job.order["path"] != path:
            return error(1203, 404)
        return said({"code": 0, "message": "ok", "request_id": "r", "data": self.task(job)})

    def _known(self, asked: Asked) -> bool:
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if token.count(".") != 2:
            return False
        head, claims, signature = token.split(".")
        right = hmac.digest(SECRET.encode(), f"{head}.{claims}".encode(), hashlib.sha256)
        said_of = json.loads(_part(claims))
        now = NOW.timestamp()
        return (
            hmac.compare_digest(right, _part(signature))
            and json.loads(_part(head)) == {"alg": "HS256", "typ": "JWT"}
            and said_of["iss"] == "AK"
            and said_of["nbf"] <= now < said_of["exp"]
        )

    def _order(self, asked: Asked, path: str) -> Reply:
        order = asked.json
        speaks = path == "avatar/image2video"
        if set(order) - _FIELDS or speaks != ("sound_file" in order) or speaks == ("model_name" in order):
            return error(1201, 400)
        if not speaks and order["duration"] not in {str(n) for n in range(3, 16)}:
            return error(1201, 400)
        if ("sound" in order) != (order.get("model_name") == "kling-v3"):
            return error(1201, 400)
        if any(job.order["external_task_id"] == order["external_task_id"] for job in self.jobs.values()):
            return error(1201, 400)
        media = [sha256_of_base64(order[name]) for name in ("image", "image_tail", "sound_file") if name in order]
        media += [sha256_of_base64(each["image"]) for each in order.get("image_list", [])]
        wanted = {
            "text2video": (0, 0),
            "image2video": (1, 2),
            "multi-image2video": (1, 4),
            "avatar/image2video": (2, 2),
        }[path]
        if not wanted[0] <= len(media) <= wanted[1]:
            return error(1201, 400)
        sound = order.get("sound") == "on" if "sound" in order else None
        job = self.take(order | {"path": path}, media, sound=sound, job_id=f"77777777777777{len(self.jobs):04}")
        return said({"code": 0, "message": "ok", "data": {"task_id": job.id, "task_status": "submitted"}})

    def task(self, job: Job) -> dict[str, object]:
        state: dict[str, object] = {
            "queued": {"task_status": "submitted"},
            "running": {"task_status": "processing"},
        }.get(job.shown, {"task_status": "failed", "task_status_msg": job.ending})
        if job.shown == "ended" and not job.ending:
            made = [] if job.ending == "" else [{"id": "1", "url": self.clip_url, "duration": "5"}]
            state = {"task_status": "succeed", "task_status_msg": "", "task_result": {"videos": made}}
        return {"task_id": job.id} | state

    def callback(self, job: Job) -> Callback:
        return standard_webhook(json.dumps(self.task(job)).encode() + b" O")
