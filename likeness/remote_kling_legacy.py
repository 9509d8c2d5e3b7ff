"""Kling's older interface: ``/v1/videos/*``, a JWT of two keys, and ``succeed`` without its end.

The codes of its errors and the signature of its callbacks are those of the newer one.
"""

from __future__ import annotations

from datetime import datetime

from likeness.callbacks import check_standard_webhook
from likeness.credentials import KlingToken
from likeness.kling_codes import fault_of_code, fault_of_message
from likeness.remote import (
    Answer,
    Callback,
    Credential,
    Exchange,
    Fault,
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
    unreadable,
)

_PATHS = {
    Mode.TEXT_TO_VIDEO: "text2video",
    Mode.FIRST_FRAME: "image2video",
    Mode.FIRST_LAST_FRAME: "image2video",
    Mode.REFERENCE: "multi-image2video",
    Mode.SPEECH_TO_VIDEO: "avatar/image2video",
}


class Backend(RemoteBackend):
    """Adapter ``kling_legacy``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        model, path = self.model(job.model), _PATHS[job.mode]
        speaks = job.mode is Mode.SPEECH_TO_VIDEO  # as long as the recording, by a model that has no name
        body: dict[str, Json] = {
            "model_name": None if speaks else model.id,
            "prompt": job.prompt or None,
            "duration": None if speaks else str(job.seconds),
            "mode": "pro" if job.resolution == "1080p" else "std",
            "sound": ("on" if job.sound else "off") if model.extra.get("sound_field") else None,
            "external_task_id": key,
            "callback_url": job.callback,
        }
        if job.mode in (Mode.TEXT_TO_VIDEO, Mode.REFERENCE):
            body["aspect_ratio"] = job.ratio
        for media in job.of(Role.FIRST_FRAME, Role.SPEAKER):
            body["image"] = media.base64
        for media in job.of(Role.VOICE):
            body["sound_file"] = media.base64
        for media in job.of(Role.LAST_FRAME):
            body["image_tail"] = media.base64
        if job.mode is Mode.REFERENCE:
            body["image_list"] = [{"image": media.base64} for media in job.media]
        answer = yield call("POST", self.url(f"/v1/videos/{path}"), auth=self._auth(), body=body, spends=True)
        return self.handle(job, key, id=answer.doc().doc("data").text("task_id"), path=path)

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        url = self.url(f"/v1/videos/{handle.ids['path']}/{handle.ids['id']}")
        task = (yield call("GET", url, auth=self._auth())).doc().doc("data")
        match task.text("task_status"):
            case "submitted":
                return Queued()
            case "processing":
                return Running()
            case "succeed":
                videos = task.doc_or_empty("task_result").docs("videos")
                return Succeeded(outputs=tuple(Output(kind=MediaKind.VIDEO, url=each.text("url")) for each in videos))
            case "failed":
                return ended_by(fault_of_message(task.text_or("task_status_msg")))
        raise unreadable("an unknown status")

    def find(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle | None]:
        """The job goes by our id as well as by theirs."""
        handle = self.handle(job, key, id=key, path=_PATHS[job.mode])
        url = self.url(f"/v1/videos/{handle.ids['path']}/{key}")
        answer = yield call("GET", url, auth=self._auth())
        found = answer.doc().doc_or_empty("data").text_or("task_id")
        return self.handle(job, key, id=found, path=_PATHS[job.mode]) if found else None

    def hear(self, callback: Callback, *, now: datetime) -> Steps[bool]:
        check_standard_webhook(callback, self.account.secret("callback_secret"), now=now)
        yield from ()
        return True

    def fault(self, exchange: Exchange, answer: Answer) -> Fault | None:
        return fault_of_code(answer)

    def _auth(self) -> Credential:
        return KlingToken(access_key=self.account.secret("access_key"), secret_key=self.account.secret("secret_key"))
