"""Runway: its own models by text or first frame, and act-two, where a picture of one person moves as another does.

``THROTTLED`` is a job that waits for an earlier one of ours, not an error. Inputs that its moderation refuses cost money and,
repeated, the account: they are never sent again.
"""

from __future__ import annotations

from likeness.credentials import bearer
from likeness.remote import (
    Cancelled,
    Credential,
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
    unreadable,
    vendor_word,
)


class Backend(RemoteBackend):
    """Adapter ``runway``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        model = self.model(job.model)
        body: dict[str, Json] = {
            "model": model.id,
            "ratio": self._ratio(job),
            "seed": job.seed,
            "contentModeration": {"publicFigureThreshold": "auto"},
        }
        match job.mode:
            case Mode.PERFORMANCE:
                path = "character_performance"
                body["character"] = {"type": "image", "uri": job.one(Role.SPEAKER).data_uri}
                body["reference"] = {"type": "video", "uri": job.one(Role.PERFORMER).data_uri}
            case Mode.TEXT_TO_VIDEO:
                path = "text_to_video"
                body |= {"promptText": job.prompt, "duration": job.seconds}
            case _:
                path = "image_to_video"
                frames: list[Json] = [
                    {"uri": each.data_uri, "position": "first" if each.role is Role.FIRST_FRAME else "last"}
                    for each in job.media
                ]
                body |= {"promptText": job.prompt, "duration": job.seconds, "promptImage": frames}
        answer = yield call(
            "POST", self.url(f"/v1/{path}"), auth=self._auth(), headers=self._version(), body=body, spends=True
        )
        return self.handle(job, key, id=answer.doc().text("id"))

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        task = (yield call("GET", self._task(handle), auth=self._auth(), headers=self._version())).doc()
        match task.text("status"):
            case "PENDING" | "THROTTLED":
                return Queued()
            case "RUNNING":
                return Running(progress=task.number_or_none("progress"))
            case "SUCCEEDED":
                return Succeeded(outputs=tuple(Output(kind=MediaKind.VIDEO, url=url) for url in task.texts("output")))
            case "FAILED":
                return ended_by(_named(task.text_or("failureCode")))
            case "CANCELLED":
                return Cancelled()
        raise unreadable("an unknown status")

    def cancel(self, handle: RemoteHandle) -> Steps[bool]:
        """The same call deletes a finished one; afterwards it is unknown."""
        yield call("DELETE", self._task(handle), auth=self._auth(), headers=self._version())
        return True

    def forget(self, handle: RemoteHandle) -> Steps[bool]:
        return (yield from self.cancel(handle))

    def _ratio(self, job: RemoteJob) -> Json:
        """Pixels, by the model's own list."""
        known = self.model(job.model).extra.get("pixels")
        return known.get(job.ratio or "16:9") if isinstance(known, dict) else None

    def _task(self, handle: RemoteHandle) -> str:
        return self.url(f"/v1/tasks/{handle.ids['id']}")

    def _auth(self) -> Credential:
        return bearer(self.account.secret("key"))

    def _version(self) -> dict[str, str]:
        return {"X-Runway-Version": self.account.options["version"]}


def _named(code: str) -> Fault:
    word = vendor_word(code)
    if code.startswith("SAFETY.INPUT"):
        return Fault(code=FaultCode.INPUT_REFUSED, vendor_code=word)
    if code.startswith("SAFETY.OUTPUT"):
        return Fault(code=FaultCode.OUTPUT_REFUSED, vendor_code=word)
    if code.startswith(("ASSET.", "INPUT_PREPROCESSING")):
        return Fault(code=FaultCode.INPUT_INVALID, vendor_code=word)
    return Fault(code=FaultCode.VENDOR_FAILED, vendor_code=word)
