"""Google's Veo on Vertex AI. A look is a POST that needs the model as well as the operation.

What its filters withhold is missing from a job that is ``done`` and has no error: no video and a reason is a refusal. An access
token is short-lived; the operator's file holds one that something else keeps fresh.
"""

from __future__ import annotations

import base64
import binascii

from likeness.credentials import bearer
from likeness.remote import (
    Answer,
    Credential,
    Doc,
    Exchange,
    Fault,
    FaultCode,
    Json,
    Media,
    MediaKind,
    Mode,
    Output,
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


class Backend(RemoteBackend):
    """Adapter ``veo``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        model = self.model(job.model)
        instance: dict[str, Json] = {"prompt": job.prompt}
        for media in job.of(Role.FIRST_FRAME):
            instance["image"] = _picture(media)
        for media in job.of(Role.LAST_FRAME):
            instance["lastFrame"] = _picture(media)
        if job.mode is Mode.REFERENCE:
            instance["referenceImages"] = [{"image": _picture(each), "referenceType": "asset"} for each in job.media]
        parameters: dict[str, Json] = {
            "sampleCount": 1,
            "durationSeconds": job.seconds,
            "aspectRatio": job.ratio,
            "resolution": job.resolution,
            "seed": job.seed,
            "generateAudio": job.sound,
            "personGeneration": "allow_adult",
        }
        body: dict[str, Json] = {
            "instances": [instance],
            "parameters": {name: value for name, value in parameters.items() if value is not None},
        }
        answer = yield call(
            "POST", self._method(model.id, "predictLongRunning"), auth=self._auth(), body=body, spends=True
        )
        return self.handle(job, key, id=answer.doc().text("name"), model=model.id)

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        url = self._method(handle.ids["model"], "fetchPredictOperation")
        asked = Exchange(
            method="POST",
            url=url,
            headers={"Content-Type": "application/json"},
            body=call("POST", url, auth=None, body={"operationName": handle.ids["id"]}).body,
            auth=self._auth(),
            seconds=120.0,
            at_most_bytes=200 * 2**20,  # the video itself may be in the answer
        )
        found = (yield asked).doc()
        if not found.flag("done"):
            return Running()
        error = found.doc_or_empty("error")
        if error.has("code"):
            refused = int(error.number("code")) == 3  # INVALID_ARGUMENT: also what a filter says of inputs
            return ended_by(
                Fault(
                    code=FaultCode.INPUT_REFUSED if refused else FaultCode.VENDOR_FAILED, vendor_code=error.text("code")
                )
            )
        response = found.doc_or_empty("response")
        videos = response.docs("videos")
        if not videos and (response.number_or_none("raiMediaFilteredCount") or 0) > 0:
            return ended_by(Fault(code=FaultCode.OUTPUT_REFUSED))
        return Succeeded(outputs=tuple(_output(each) for each in videos))

    def fault(self, exchange: Exchange, answer: Answer) -> Fault | None:
        return fault_of_status(answer, vendor_code=answer.doc_or_empty().doc_or_empty("error").text_or("status"))

    def _method(self, model: str, method: str) -> str:
        project, location = self.account.secret("project"), self.account.options["location"]
        return self.url(f"/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:{method}")

    def _auth(self) -> Credential:
        return bearer(self.account.secret("token"))


def _picture(media: Media) -> Json:
    return {"bytesBase64Encoded": media.base64, "mimeType": media.media_type}


def _output(video: Doc) -> Output:
    """Inline: nothing is written to a bucket, for no bucket is named."""
    try:
        return Output(kind=MediaKind.VIDEO, content=base64.b64decode(video.text("bytesBase64Encoded"), validate=True))
    except binascii.Error:
        raise unreadable("the video is no base64") from None
