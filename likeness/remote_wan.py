"""Alibaba's Wan on DashScope / Model Studio. Pictures go as data URIs, recordings and films by address; orders need the header
for asynchronous work.

``prompt_extend`` rewrites prompts and is on by default; it is switched off: what was permitted is what was asked. A task may
end with a code although every answer was 200.
"""

from __future__ import annotations

from likeness.backends import Sound
from likeness.credentials import bearer
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

_TYPES = {
    (Role.FIRST_FRAME, MediaKind.PICTURE): "first_frame",
    (Role.LAST_FRAME, MediaKind.PICTURE): "last_frame",
    (Role.REFERENCE, MediaKind.PICTURE): "reference_image",
    (Role.REFERENCE, MediaKind.VIDEO): "reference_video",
    (Role.REFERENCE, MediaKind.SOUND): "reference_audio",
    (Role.SPEAKER, MediaKind.PICTURE): "first_frame",
    (Role.VOICE, MediaKind.SOUND): "driving_audio",
}
_FIELDS = {Role.SPEAKER: "image_url", Role.VOICE: "audio_url", Role.PERFORMER: "video_url"}


class Backend(RemoteBackend):
    """Adapter ``wan``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        model = self.model(job.model)
        given: dict[str, Json] = {"prompt": job.prompt}
        if model.extra.get("path") == "image2video" and job.mode in (Mode.SPEECH_TO_VIDEO, Mode.PERFORMANCE):
            given = {_FIELDS[each.role]: each.at for each in job.media}
        elif model.extra.get("frames_as") == "fields":
            given |= {
                "first_frame_url": job.one(Role.FIRST_FRAME).data_uri,
                "last_frame_url": job.one(Role.LAST_FRAME).data_uri,
            }
        elif job.media:
            given["media"] = [
                {"type": _TYPES[each.role, each.kind], "url": each.at if model.by_address else each.data_uri}
                for each in job.media
            ]
        parameters: dict[str, Json] = {
            "resolution": None if job.resolution is None else job.resolution.upper(),
            "ratio": job.ratio if job.mode in (Mode.TEXT_TO_VIDEO, Mode.REFERENCE) else None,
            "duration": job.seconds,
            "seed": job.seed,
            "prompt_extend": False,
            "watermark": False,
            "audio": job.sound if model.sound is Sound.CHOICE else None,
        }
        if model.extra.get("path") == "image2video":
            match job.mode:
                case Mode.SPEECH_TO_VIDEO:  # as long as the recording
                    parameters = {"resolution": parameters["resolution"], "style": "speech"}
                case Mode.PERFORMANCE:  # as long as the film
                    parameters = {"mode": str(model.extra["service"])}
        body: dict[str, Json] = {
            "model": model.id,
            "input": given,
            "parameters": {name: value for name, value in parameters.items() if value is not None},
        }
        path = "image2video" if model.extra.get("path") == "image2video" else "video-generation"
        answer = yield call(
            "POST",
            self.url(f"/api/v1/services/aigc/{path}/video-synthesis"),
            auth=self._auth(),
            body=body,
            headers={"X-DashScope-Async": "enable"},
            spends=True,
        )
        return self.handle(job, key, id=answer.doc().doc("output").text("task_id"))

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        answer = yield call("GET", self.url(f"/api/v1/tasks/{handle.ids['id']}"), auth=self._auth())
        task = answer.doc().doc("output")
        match task.text("task_status"):
            case "PENDING" | "SUSPENDED":
                return Queued()
            case "RUNNING":
                return Running()
            case "SUCCEEDED":
                url = task.text_or("video_url") or task.doc_or_empty("results").text_or("video_url")
                return Succeeded(outputs=(Output(kind=MediaKind.VIDEO, url=url),) if url else ())
            case "FAILED":
                code = task.text_or("code")
                return ended_by(_named(code) or Fault(code=FaultCode.VENDOR_FAILED, vendor_code=vendor_word(code)))
            case "CANCELED":
                return Cancelled()
            case "UNKNOWN":
                return Expired()
        raise unreadable("an unknown status")

    def cancel(self, handle: RemoteHandle) -> Steps[bool]:
        """Only what waits still."""
        yield call("POST", self.url(f"/api/v1/tasks/{handle.ids['id']}/cancel"), auth=self._auth(), body={})
        return True

    def fault(self, exchange: Exchange, answer: Answer) -> Fault | None:
        plain = fault_of_status(answer)
        if plain is None:
            return None
        code = answer.doc_or_empty().text_or("code")
        return _named(code) or fault_of_status(answer, vendor_code=code)

    def _auth(self) -> Credential:
        return bearer(self.account.secret("key"))


def _named(code: str) -> Fault | None:
    word = vendor_word(code)
    match code.partition(".")[0]:
        case "DataInspectionFailed":
            return Fault(code=FaultCode.INPUT_REFUSED, vendor_code=word)
        case "Throttling":
            return Fault(code=FaultCode.RATE_LIMITED, again=Again.SAFE, vendor_code=word)
        case "Arrearage":
            return Fault(code=FaultCode.CREDIT_EXHAUSTED, vendor_code=word)
        case "InvalidApiKey":
            return Fault(code=FaultCode.CREDENTIALS_REFUSED, vendor_code=word)
        case "InvalidParameter" | "ModelNotFound":
            return Fault(code=FaultCode.INPUT_INVALID, vendor_code=word)
    return None
