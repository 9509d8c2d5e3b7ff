"""Vidu: text, one picture, start and end, up to seven reference pictures.

Where each reference shows one person at most, people are told apart: the pictures of one person are one subject, ``person1``
and so on in the order in which they come, things are ``thing1`` and so on, and a prompt may name them (``@person1 greets
@person2``). A picture of several people cannot be one subject, so then all go as mere pictures.

Sound is on by default for its third generation and is always said. Callbacks are signed with the key that made the job; the
signature does not cover the body, which is one more reason to read the job and not the callback.
"""

from __future__ import annotations

import re
from datetime import datetime

from likeness.backends import Sound
from likeness.callbacks import check_vidu
from likeness.credentials import bearer
from likeness.errors import RemoteError
from likeness.remote import (
    Again,
    Answer,
    Callback,
    Credential,
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

_PATHS = {
    Mode.TEXT_TO_VIDEO: "text2video",
    Mode.FIRST_FRAME: "img2video",
    Mode.FIRST_LAST_FRAME: "start-end2video",
    Mode.REFERENCE: "reference2video",
}
_MOST_OF_ONE = 3
_CODES = {
    "TaskPromptPolicyViolation": Fault(code=FaultCode.INPUT_REFUSED),
    "AuditSubmitIllegal": Fault(code=FaultCode.INPUT_REFUSED),
    "ImageCheckFaceFailed": Fault(code=FaultCode.INPUT_REFUSED),
    "CreationPolicyViolation": Fault(code=FaultCode.OUTPUT_REFUSED),
    "BadRequest": Fault(code=FaultCode.INPUT_INVALID),
    "FieldLacking": Fault(code=FaultCode.INPUT_INVALID),
    "FieldUnwanted": Fault(code=FaultCode.INPUT_INVALID),
    "FieldInvalid": Fault(code=FaultCode.INPUT_INVALID),
    "ImageDownloadFailure": Fault(code=FaultCode.INPUT_INVALID),
    "ImageFormatInvalid": Fault(code=FaultCode.INPUT_INVALID),
    "CreditInsufficient": Fault(code=FaultCode.CREDIT_EXHAUSTED),
    "QuotaExceeded": Fault(code=FaultCode.RATE_LIMITED, again=Again.SAFE),
    "TooManyRequests": Fault(code=FaultCode.RATE_LIMITED, again=Again.SAFE),
    "SystemThrottling": Fault(code=FaultCode.RATE_LIMITED, again=Again.SAFE),
    "Unauthorized": Fault(code=FaultCode.CREDENTIALS_REFUSED),
    "Forbidden": Fault(code=FaultCode.NOT_ENTITLED),
    "TaskNotFound": Fault(code=FaultCode.JOB_UNKNOWN),
    "ModelUnavailable": Fault(code=FaultCode.INPUT_INVALID),
    "InternalServiceFailure": Fault(code=FaultCode.VENDOR_UNAVAILABLE, again=Again.UNSURE),
}


class Backend(RemoteBackend):
    """Adapter ``vidu``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        model = self.model(job.model)
        subjects = _subjects(job)
        images: list[Json] = [] if subjects else [each.data_uri for each in job.media]
        framed = job.mode in (Mode.FIRST_FRAME, Mode.FIRST_LAST_FRAME)
        body: dict[str, Json] = {
            "model": model.id,
            "prompt": job.prompt,
            "images": images or None,
            "subjects": subjects or None,
            "duration": job.seconds,
            "resolution": job.resolution,
            "aspect_ratio": None if framed else job.ratio,
            "seed": job.seed,
            "audio": job.sound if model.sound is Sound.CHOICE else None,
            "watermark": False,
            "payload": key,
            "callback_url": job.callback,
        }
        answer = yield call("POST", self.url(f"/{_PATHS[job.mode]}"), auth=self._auth(), body=body, spends=True)
        return self.handle(job, key, id=answer.doc().text("task_id"))

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        task = (yield call("GET", self.url(f"/tasks/{handle.ids['id']}/creations"), auth=self._auth())).doc()
        match task.text("state"):
            case "created" | "queueing":
                return Queued()
            case "processing":
                progress = task.number_or_none("progress")
                return Running(progress=None if progress is None else progress / 100)
            case "success":
                made = task.docs("creations")
                return Succeeded(outputs=tuple(Output(kind=MediaKind.VIDEO, url=each.text("url")) for each in made))
            case "failed":
                return ended_by(_named(task.text_or("err_code")) or Fault(code=FaultCode.VENDOR_FAILED))
        raise unreadable("an unknown state")

    def cancel(self, handle: RemoteHandle) -> Steps[bool]:
        yield call(
            "POST", self.url(f"/tasks/{handle.ids['id']}/cancel"), auth=self._auth(), body={"id": handle.ids["id"]}
        )
        return True

    def hear(self, callback: Callback, *, now: datetime) -> Steps[bool]:
        check_vidu(callback, self.account.secret("key"), now=now)
        yield from ()
        return True

    def fault(self, exchange: Exchange, answer: Answer) -> Fault | None:
        plain = fault_of_status(answer)
        if plain is None:
            return None
        said = answer.doc_or_empty()
        code = said.text_or("err_code") or said.text_or("reason")
        return _named(code) or fault_of_status(answer, vendor_code=code)

    def _auth(self) -> Credential:
        return bearer(self.account.secret("key"), scheme=self.account.options["scheme"])


def _subjects(job: RemoteJob) -> list[Json]:
    """People and things of the references; ``[]`` where they cannot be told apart.

    Raises: RemoteError ``input_invalid`` for a name in the prompt that is none of theirs.
    """
    if job.mode is not Mode.REFERENCE or any(len(each.consents) > 1 for each in job.media):
        return []
    people: dict[str, list[Json]] = {}
    things: list[Json] = []
    for each in job.media:
        if each.consents:
            people.setdefault(each.consents[0], []).append(each.data_uri)
        else:
            things.append(each.data_uri)
    if any(len(pictures) > _MOST_OF_ONE for pictures in people.values()):
        return []
    named: dict[str, list[Json]] = {f"person{n}": pictures for n, pictures in enumerate(people.values(), start=1)}
    named |= {f"thing{n}": [picture] for n, picture in enumerate(things, start=1)}
    unknown = [name for name in re.findall(r"@([A-Za-z]+\d+)", job.prompt) if name not in named]
    if unknown:
        raise RemoteError(f"nobody in the pictures is @{unknown[0]}", code=FaultCode.INPUT_INVALID)
    return [{"id": name, "images": pictures} for name, pictures in named.items()]


def _named(code: str) -> Fault | None:
    found = _CODES.get(code)
    return None if found is None else Fault(code=found.code, again=found.again, vendor_code=code)
