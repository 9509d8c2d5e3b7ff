"""Jimeng on Volcengine's visual interface. Mode and resolution are one ``req_key``, which a look needs as well as the id.

An error may come with any status, and a failed job is an error to the look: ``code`` other than 10000 and no data. No
callback, and ids are forgotten after twelve hours. Frames of a film go as bytes; its pictures (image 4.0) and its digital human
(OmniHuman, by other actions) take addresses only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from likeness.credentials import VolcengineSignature
from likeness.errors import RemoteError
from likeness.remote import (
    Again,
    Answer,
    Credential,
    Exchange,
    Expired,
    Fault,
    FaultCode,
    Json,
    MediaKind,
    Mode,
    Output,
    Queued,
    RemoteBackend,
    RemoteHandle,
    RemoteJob,
    RemoteState,
    Role,
    Running,
    Steps,
    Succeeded,
    call,
    ended_by,
    fault_of_status,
    unreadable,
)

_VERSION = "2022-08-31"
_FPS = 24
_CODES = {
    "50411": FaultCode.INPUT_REFUSED,
    "50412": FaultCode.INPUT_REFUSED,
    "50413": FaultCode.INPUT_REFUSED,
    "50518": FaultCode.INPUT_REFUSED,
    "50519": FaultCode.OUTPUT_REFUSED,
    "50511": FaultCode.OUTPUT_REFUSED,
    "50512": FaultCode.OUTPUT_REFUSED,
    "50516": FaultCode.OUTPUT_REFUSED,
    "50517": FaultCode.OUTPUT_REFUSED,
    "50400": FaultCode.NOT_ENTITLED,
    "50200": FaultCode.INPUT_INVALID,
    "50204": FaultCode.INPUT_INVALID,
    "50215": FaultCode.INPUT_INVALID,
}


class Backend(RemoteBackend):
    """Adapter ``jimeng``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        req_key = self._req_key(job)
        action = "CVSync2AsyncSubmitTask"
        match job.mode:
            case Mode.SPEECH_TO_VIDEO:
                action, body = "CVSubmitTask", self._speech(job)
            case Mode.IMAGE:
                body = self._picture(job)
            case _:
                body = _film(job)
        answer = yield self._action(action, {"req_key": req_key, **body}, spends=True)
        kind = {"get": "CVGetResult"} if action == "CVSubmitTask" else {}
        return self.handle(job, key, id=answer.doc().doc("data").text("task_id"), req_key=req_key, **kind)

    def _speech(self, job: RemoteJob) -> dict[str, Json]:
        longest = self.model(job.model).extra.get("seconds_at")
        most = longest.get(job.resolution or "") if isinstance(longest, Mapping) else None
        if isinstance(most, int) and job.seconds > most:
            raise RemoteError(f"{job.seconds} s, at most {most} s in {job.resolution}", code=FaultCode.INPUT_INVALID)
        return {
            "image_url": job.one(Role.SPEAKER).at,
            "audio_url": job.one(Role.VOICE).at,
            "prompt": job.prompt or None,
            "seed": -1 if job.seed is None else job.seed,
            "output_resolution": 1080 if job.resolution == "1080p" else 720,
        }

    def _picture(self, job: RemoteJob) -> dict[str, Json]:
        pixels = self.model(job.model).extra.get("pixels")
        size = pixels.get(job.ratio or "16:9") if isinstance(pixels, Mapping) else None
        width, height = size if isinstance(size, list) else (None, None)
        return {
            "prompt": job.prompt,
            "image_urls": [each.at for each in job.media] or None,
            "width": width,
            "height": height,
            "force_single": True,
        }

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        body: dict[str, Json] = {
            "req_key": handle.ids["req_key"],
            "task_id": handle.ids["id"],
            "req_json": json.dumps({"return_url": True}),
        }
        said = (yield self._action(handle.ids.get("get", "CVSync2AsyncGetResult"), body)).doc()
        code = said.text("code")
        if code != "10000":  # the job failed: see fault
            return ended_by(_named(code) or Fault(code=FaultCode.VENDOR_FAILED, vendor_code=code))
        data = said.doc("data")
        match data.text("status"):
            case "in_queue":
                return Queued()
            case "generating":
                return Running()
            case "done":
                if handle.mode is Mode.IMAGE:
                    pictures = data.texts("image_urls")
                    return Succeeded(outputs=tuple(Output(kind=MediaKind.PICTURE, url=each) for each in pictures))
                url = data.text_or("video_url")
                return Succeeded(outputs=(Output(kind=MediaKind.VIDEO, url=url),) if url else ())
            case "not_found" | "expired":
                return Expired()
        raise unreadable("an unknown status")

    def fault(self, exchange: Exchange, answer: Answer) -> Fault | None:
        said = answer.doc_or_empty()
        code = said.text_or("code") if said.has("code") else ""
        if code == "10000" and answer.status < 300:
            return None
        if code in ("50429", "50430"):
            return Fault(code=FaultCode.RATE_LIMITED, again=Again.SAFE, vendor_code=code)
        if code in _CODES:
            # to a look this is how the job ended, which look reads
            return _named(code) if exchange.spends else None
        plain = fault_of_status(answer, vendor_code=code)
        if plain is None:
            return Fault(code=FaultCode.VENDOR_UNAVAILABLE, again=Again.UNSURE, vendor_code=code or None)
        return plain

    def _action(self, action: str, body: dict[str, Json], *, spends: bool = False) -> Exchange:
        url = self.url(f"/?Action={action}&Version={_VERSION}")
        return call("POST", url, auth=self._auth(), body=body, spends=spends)

    def _req_key(self, job: RemoteJob) -> str:
        keys = self.model(job.model).extra.get("req_keys")
        name = f"{job.mode.value}.{job.resolution}"
        if not isinstance(keys, Mapping) or name not in keys:
            raise RemoteError(f"no req_key for {name}", code=FaultCode.MODE_UNSUPPORTED)
        return str(keys[name])

    def _auth(self) -> Credential:
        return VolcengineSignature(
            access_key=self.account.secret("access_key"),
            secret_key=self.account.secret("secret_key"),
            region=self.account.options["region"],
            service="cv",
        )


def _film(job: RemoteJob) -> dict[str, Json]:
    return {
        "prompt": job.prompt,
        "binary_data_base64": [each.base64 for each in job.media] or None,
        "seed": -1 if job.seed is None else job.seed,
        "frames": job.seconds * _FPS + 1,
        "aspect_ratio": job.ratio if job.mode is Mode.TEXT_TO_VIDEO else None,
    }


def _named(code: str) -> Fault | None:
    found = _CODES.get(code)
    return None if found is None else Fault(code=found, vendor_code=code)
