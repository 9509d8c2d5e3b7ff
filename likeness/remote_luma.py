"""Luma's current interface (Ray 3.2): text, two frames, or up to 64 keyframes on a grid of 24 pictures a second.

No callback, no sound, no seed. ``generation_id`` and ``file_id`` name pictures that nobody here has seen; they are not sent.
"""

from __future__ import annotations

from likeness.credentials import bearer
from likeness.remote import (
    Credential,
    Fault,
    FaultCode,
    Json,
    Media,
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

_CODES = {
    "content_moderated": FaultCode.INPUT_REFUSED,
    "budget_exhausted": FaultCode.CREDIT_EXHAUSTED,
    "image_too_large": FaultCode.INPUT_INVALID,
    "unsupported_format": FaultCode.INPUT_INVALID,
    "corrupt_input": FaultCode.INPUT_INVALID,
    "invalid_request": FaultCode.INPUT_INVALID,
    "output_not_found": FaultCode.OUTPUT_MISSING,
}
_GRID_FPS = 24


class Backend(RemoteBackend):
    """Adapter ``luma``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        video: dict[str, Json] = {"duration": f"{job.seconds}s", "resolution": job.resolution}
        for media in job.of(Role.FIRST_FRAME):
            video["start_frame"] = _frame(media)
        for media in job.of(Role.LAST_FRAME):
            video["end_frame"] = _frame(media)
        if job.mode is Mode.KEYFRAMES:
            last = job.seconds * _GRID_FPS - 1
            video["keyframes"] = [_frame(media) for media in job.media]
            video["keyframe_indexes"] = [round(n * last / (len(job.media) - 1)) for n in range(len(job.media))]
        body: dict[str, Json] = {
            "model": self.model(job.model).id,
            "type": "video",
            "prompt": job.prompt,
            "aspect_ratio": job.ratio,
            "video": {name: value for name, value in video.items() if value is not None},
        }
        answer = yield call("POST", self.url("/generations"), auth=self._auth(), body=body, spends=True)
        return self.handle(job, key, id=answer.doc().text("id"))

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        found = (yield call("GET", self.url(f"/generations/{handle.ids['id']}"), auth=self._auth())).doc()
        match found.text("state"):
            case "queued":
                return Queued()
            case "processing":
                return Running()
            case "completed":
                made = found.docs("output")
                return Succeeded(outputs=tuple(Output(kind=MediaKind.VIDEO, url=each.text("url")) for each in made))
            case "failed":
                code = found.text_or("failure_code")
                return ended_by(Fault(code=_CODES.get(code, FaultCode.VENDOR_FAILED), vendor_code=vendor_word(code)))
        raise unreadable("an unknown state")

    def _auth(self) -> Credential:
        return bearer(self.account.secret("key"))


def _frame(media: Media) -> Json:
    return {"data": media.base64, "media_type": media.media_type}
