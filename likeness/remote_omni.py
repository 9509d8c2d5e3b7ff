"""Google's Gemini Omni by the Interactions interface, in the background.

A refusal may be ``completed`` with a text and without a video. Files are fetched with the key, from the vendor's own host only.
Sound is always on. ``previous_interaction_id`` carries earlier faces and is never sent.
"""

from __future__ import annotations

import base64
import binascii

from likeness.credentials import HeaderKey
from likeness.remote import (
    Answer,
    Cancelled,
    Doc,
    Exchange,
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
    Running,
    Steps,
    Succeeded,
    call,
    ended_by,
    fault_of_status,
    unreadable,
)

_TASKS = {
    Mode.TEXT_TO_VIDEO: "text_to_video",
    Mode.FIRST_FRAME: "image_to_video",
    Mode.REFERENCE: "reference_to_video",
}


class Backend(RemoteBackend):
    """Adapter ``omni``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        pictures: list[Json] = [
            {"type": "image", "data": each.base64, "mime_type": each.media_type} for each in job.media
        ]
        wanted: dict[str, Json] = {
            "type": "video",
            "delivery": "uri",
            "aspect_ratio": job.ratio,
            "resolution": job.resolution,
            "duration": f"{job.seconds}s",
        }
        body: dict[str, Json] = {
            "model": self.model(job.model).id,
            "input": [{"type": "text", "text": job.prompt}, *pictures],
            "background": True,
            "store": True,  # else a background job cannot be asked for
            "response_format": {name: value for name, value in wanted.items() if value is not None},
            "generation_config": {"video_config": {"task": _TASKS[job.mode]}},
        }
        answer = yield call("POST", self.url("/v1beta/interactions"), auth=self._auth(), body=body, spends=True)
        return self.handle(job, key, id=answer.doc().text("id"))

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        found = (yield call("GET", self._interaction(handle), auth=self._auth())).doc()
        match found.text("status"):
            case "queued":
                return Queued()
            case "in_progress":
                return Running()
            case "completed":
                outputs, spoke = _outputs(found)
                if not outputs and spoke:
                    return ended_by(Fault(code=FaultCode.OUTPUT_REFUSED))
                return Succeeded(outputs=outputs)
            case "cancelled":
                return Cancelled()
            case "budget_exceeded":
                return ended_by(Fault(code=FaultCode.CREDIT_EXHAUSTED))
            case "failed" | "incomplete" | "requires_action" | "requires_continuation" as status:
                return ended_by(Fault(code=FaultCode.VENDOR_FAILED, vendor_code=status))
        raise unreadable("an unknown status")

    def cancel(self, handle: RemoteHandle) -> Steps[bool]:
        yield call("POST", f"{self._interaction(handle)}/cancel", auth=self._auth(), body={})
        return True

    def fetch(self, output: Output) -> Exchange:
        plain = super().fetch(output)
        if not output.guarded:
            return plain
        mark = "&" if "?" in plain.url else "?"
        return Exchange(method="GET", url=f"{plain.url}{mark}alt=media", auth=self._auth())

    def fault(self, exchange: Exchange, answer: Answer) -> Fault | None:
        error = answer.doc_or_empty().doc_or_empty("error")
        status, message = error.text_or("status"), error.text_or("message")
        if answer.status == 400 and any(word in message for word in ("SAFETY", "PROHIBITED_CONTENT")):
            return Fault(code=FaultCode.INPUT_REFUSED, vendor_code="SAFETY")
        return fault_of_status(answer, vendor_code=status)

    def _interaction(self, handle: RemoteHandle) -> str:
        return self.url(f"/v1beta/interactions/{handle.ids['id']}")

    def _auth(self) -> HeaderKey:
        return HeaderKey("x-goog-api-key", self.account.secret("key"))


def _outputs(found: Doc) -> tuple[tuple[Output, ...], bool]:
    """The videos, and whether something was said instead."""
    outputs, spoke = [], False
    for step in found.docs("steps"):
        if step.text_or("type") != "model_output":
            continue
        for part in step.docs("content"):
            spoke = spoke or part.text_or("type") == "text"
            if part.text_or("type") == "video":
                outputs.append(_output(part))
    return tuple(outputs), spoke


def _output(part: Doc) -> Output:
    if part.has("uri"):
        return Output(kind=MediaKind.VIDEO, url=part.text("uri"), guarded=True)
    try:
        return Output(kind=MediaKind.VIDEO, content=base64.b64decode(part.text("data"), validate=True))
    except binascii.Error:
        raise unreadable("the video is no base64") from None
