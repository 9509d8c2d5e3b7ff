"""Luma's older interface, Dream Machine (Ray 2): text, or one or two frames, which it fetches by address.

Frames that are earlier generations (``type: generation``) name pictures that nobody here has seen; they are not sent. Callbacks
are unsigned: a hint. A clip has no sound until another call adds some, which is not made.
"""

from __future__ import annotations

from likeness.credentials import bearer
from likeness.remote import (
    Credential,
    Fault,
    FaultCode,
    Json,
    MediaKind,
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

_MODERATED = ("moderat", "sensitive", "policy", "not allowed", "blocked")


class Backend(RemoteBackend):
    """Adapter ``luma_legacy``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        places = {Role.FIRST_FRAME: "frame0", Role.LAST_FRAME: "frame1"}
        frames: dict[str, Json] = {places[each.role]: {"type": "image", "url": each.at} for each in job.media}
        body: dict[str, Json] = {
            "model": self.model(job.model).id,
            "prompt": job.prompt,
            "aspect_ratio": job.ratio,
            "duration": f"{job.seconds}s",
            "resolution": job.resolution,
            "keyframes": frames or None,
            "callback_url": job.callback,
        }
        answer = yield call("POST", self.url("/generations/video"), auth=self._auth(), body=body, spends=True)
        return self.handle(job, key, id=answer.doc().text("id"))

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        found = (yield call("GET", self.url(f"/generations/{handle.ids['id']}"), auth=self._auth())).doc()
        match found.text("state"):
            case "queued":
                return Queued()
            case "dreaming":
                return Running()
            case "completed":
                url = found.doc_or_empty("assets").text_or("video")
                return Succeeded(outputs=(Output(kind=MediaKind.VIDEO, url=url),) if url else ())
            case "failed":  # why, it says in a sentence only, which is not kept
                refused = any(word in found.text_or("failure_reason").lower() for word in _MODERATED)
                return ended_by(Fault(code=FaultCode.INPUT_REFUSED if refused else FaultCode.VENDOR_FAILED))
        raise unreadable("an unknown state")

    def _auth(self) -> Credential:
        return bearer(self.account.secret("key"))
