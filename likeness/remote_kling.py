"""Kling's newer interface: contents, settings and options; a bearer key.

Our key goes along as ``external_task_id``, so that an order whose answer was lost can be looked up. ``multi_shot`` is on by
default there and sound is off; both are always said. Callbacks are signed (Standard Webhooks).
"""

from __future__ import annotations

from datetime import datetime

from likeness.callbacks import check_standard_webhook
from likeness.credentials import bearer
from likeness.kling_codes import fault_of_code, fault_of_message
from likeness.remote import (
    Answer,
    Callback,
    Credential,
    Doc,
    Exchange,
    Expired,
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
    Mode.TEXT_TO_VIDEO: "text-to-video",
    Mode.FIRST_FRAME: "image-to-video",
    Mode.FIRST_LAST_FRAME: "image-to-video",
    Mode.REFERENCE: "omni-video",
}
_TYPES = {Role.FIRST_FRAME: "first_frame", Role.LAST_FRAME: "last_frame", Role.REFERENCE: "refer_image"}


class Backend(RemoteBackend):
    """Adapter ``kling``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        model = self.model(job.model)
        body: dict[str, Json] = {
            "settings": {
                "multi_shot": False,
                "audio": "native" if job.sound else "off",
                "resolution": job.resolution or "720p",
                "duration": job.seconds,
                **({"aspect_ratio": job.ratio} if job.ratio and job.mode is not Mode.FIRST_LAST_FRAME else {}),
            },
            "options": {
                "external_task_id": key,
                "watermark_info": {"enabled": False},
                **({"callback_url": job.callback} if job.callback else {}),
            },
        }
        if job.mode is Mode.TEXT_TO_VIDEO:
            body["prompt"] = job.prompt
        else:
            media: list[Json] = [
                {"type": _TYPES[each.role], "url": each.base64, "id": f"image_{number}"}
                for number, each in enumerate(job.media, start=1)
            ]
            body["contents"] = [{"type": "prompt", "text": job.prompt}, *media]
        url = self.url(f"/{_PATHS[job.mode]}/{model.id}")
        answer = yield call("POST", url, auth=self._auth(), body=body, spends=True)
        return self.handle(job, key, id=answer.doc().doc("data").text("id"))

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        tasks = yield from self._tasks(f"task_ids={handle.ids['id']}")
        if not tasks:
            return Expired()
        task = tasks[0]
        match task.text("status"):
            case "submitted":
                return Queued()
            case "processing":
                return Running()
            case "succeeded":
                made = [each for each in task.docs("outputs") if each.text_or("type") == "video" and each.has("url")]
                return Succeeded(outputs=tuple(Output(kind=MediaKind.VIDEO, url=each.text("url")) for each in made))
            case "failed":
                return ended_by(fault_of_message(task.text_or("message")))
        raise unreadable("an unknown status")

    def find(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle | None]:
        tasks = yield from self._tasks(f"external_task_ids={key}")
        return self.handle(job, key, id=tasks[0].text("id")) if tasks else None

    def hear(self, callback: Callback, *, now: datetime) -> Steps[bool]:
        check_standard_webhook(callback, self.account.secret("callback_secret"), now=now)
        yield from ()
        return True

    def fault(self, exchange: Exchange, answer: Answer) -> Fault | None:
        return fault_of_code(answer)

    def _tasks(self, query: str) -> Steps[list[Doc]]:
        answer = yield call("GET", self.url(f"/tasks?{query}"), auth=self._auth())
        return answer.doc().docs("data")

    def _auth(self) -> Credential:
        return bearer(self.account.secret("key"))
