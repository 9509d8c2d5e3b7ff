"""ByteDance Seedance on Volcengine Ark and BytePlus ModelArk.

Order and look: ``/contents/generations/tasks`` with a bearer key of one region. Callbacks are unsigned: a hint. Models 2.x take
a real person only as an asset that their own check of that person verified (:mod:`likeness.ark_people`).

Older models read flags in the prompt (``--rs 1080p``) that override checked fields: a prompt with such a flag is refused.
"""

from __future__ import annotations

import re

from likeness.credentials import bearer
from likeness.errors import RemoteError
from likeness.remote import (
    Again,
    Answer,
    Cancelled,
    Credential,
    Exchange,
    Expired,
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
    fault_of_status,
    unreadable,
    vendor_word,
)

_TASKS = "/contents/generations/tasks"
_FLAG = re.compile(r"(^|\s)--?[a-z_]{1,20}\b", re.IGNORECASE)
_ROLES = {Role.FIRST_FRAME: "first_frame", Role.LAST_FRAME: "last_frame"}
_WORDS = {MediaKind.PICTURE: "image", MediaKind.VIDEO: "video", MediaKind.SOUND: "audio"}


class Backend(RemoteBackend):
    """Adapter ``seedance``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        model = self.model(job.model)
        if _FLAG.search(job.prompt):
            raise RemoteError("the prompt carries a flag", code=FaultCode.INPUT_INVALID)
        text: list[Json] = [{"type": "text", "text": job.prompt}] if job.prompt.strip() else []
        locked = job.mode is not Mode.TEXT_TO_VIDEO and bool(model.extra.get("locked_adaptive"))
        body: dict[str, Json] = {
            "model": model.id,
            "content": [*text, *(_item(each) for each in job.media)],
            "duration": -1 if job.mode is Mode.EDIT else job.seconds,
            "resolution": job.resolution,
            "ratio": "adaptive" if locked and job.mode is not Mode.REFERENCE else job.ratio,
            "seed": job.seed,
            "watermark": False,  # ours is put on in any case
            "callback_url": job.callback,
        }
        if model.extra.get("generate_audio"):
            body["generate_audio"] = job.sound  # theirs is on by default
        if model.extra.get("task_type"):
            body["omni_reference_task_type"] = {
                Mode.EDIT: "edit",
                Mode.EXTEND: "extend",
                Mode.REFERENCE: "reference",
            }.get(job.mode, "auto")
        answer = yield call("POST", self.url(_TASKS), auth=self._auth(), body=body, spends=True)
        return self.handle(job, key, id=answer.doc().text("id"))

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        answer = yield call("GET", self._task(handle), auth=self._auth())
        task = answer.doc()
        match task.text("status"):
            case "queued":
                return Queued()
            case "running":
                return Running()
            case "succeeded":
                url = task.doc("content").text_or("video_url")
                return Succeeded(outputs=(Output(kind=MediaKind.VIDEO, url=url),) if url else ())
            case "failed":
                return ended_by(
                    _named(task.doc_or_empty("error").text_or("code")) or Fault(code=FaultCode.VENDOR_FAILED)
                )
            case "cancelled":
                return Cancelled()
            case "expired":
                return Expired()
        raise unreadable("an unknown status")

    def cancel(self, handle: RemoteHandle) -> Steps[bool]:
        """Only what is still queued; the same call would delete the record of a finished one."""
        state = yield from self.look(handle)
        if not isinstance(state, Queued):
            return False
        yield call("DELETE", self._task(handle), auth=self._auth())
        return True

    def forget(self, handle: RemoteHandle) -> Steps[bool]:
        """The record of one that has ended; one that runs is refused."""
        yield call("DELETE", self._task(handle), auth=self._auth())
        return True

    def fault(self, exchange: Exchange, answer: Answer) -> Fault | None:
        plain = fault_of_status(answer)
        if plain is None:
            return None
        code = answer.doc_or_empty().doc_or_empty("error").text_or("code")
        return _named(code) or fault_of_status(answer, vendor_code=code)

    def _auth(self) -> Credential:
        return bearer(self.account.secret("key"))

    def _task(self, handle: RemoteHandle) -> str:
        return self.url(f"{_TASKS}/{handle.ids['id']}")


def _item(media: Media) -> Json:
    word = _WORDS[media.kind]
    role = _ROLES.get(media.role, f"reference_{word}")
    url = media.data_uri if media.asset is None else f"asset://{media.asset}"
    return {"type": f"{word}_url", f"{word}_url": {"url": url}, "role": role}


def _named(code: str) -> Fault | None:
    """The vendor's own code, where it says more than the status."""
    word = vendor_word(code)
    first = code.partition(".")[0]
    if code.endswith(".PrivacyInformation"):
        return Fault(code=FaultCode.PERSON_UNVERIFIED, vendor_code=word)
    if first == "OutputVideoSensitiveContentDetected" or first == "OutputImageRiskDetection":
        return Fault(code=FaultCode.OUTPUT_REFUSED, vendor_code=word)
    if first.endswith(("SensitiveContentDetected", "RiskDetection")):
        return Fault(code=FaultCode.INPUT_REFUSED, vendor_code=word)
    if first in ("RateLimitExceeded", "ServerOverloaded", "QuotaExceeded"):
        return Fault(code=FaultCode.RATE_LIMITED, again=Again.SAFE, vendor_code=word)
    if first in ("AccountOverdueError", "InsufficientBalance"):
        return Fault(code=FaultCode.CREDIT_EXHAUSTED, vendor_code=word)
    return None
