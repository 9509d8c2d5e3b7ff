"""Tencent's Hunyuan video (``vclm``): a text, perhaps a first frame. Answers are HTTP 200 whatever they say."""

from __future__ import annotations

from likeness.credentials import TencentSignature
from likeness.remote import (
    Again,
    Answer,
    Credential,
    Exchange,
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
    fault_of_status,
    unreadable,
    vendor_word,
)

_VERSION = "2024-05-23"


class Backend(RemoteBackend):
    """Adapter ``tencent``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        body: dict[str, Json] = {"Prompt": job.prompt, "Resolution": job.resolution or "720p", "LogoAdd": 0}
        for media in job.of(Role.FIRST_FRAME):
            body["Image"] = {"Base64": media.base64}
        answer = yield self._action("SubmitHunyuanToVideoJob", body, spends=True)
        return self.handle(job, key, id=answer.doc().doc("Response").text("JobId"))

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        answer = yield self._action("DescribeHunyuanToVideoJob", {"JobId": handle.ids["id"]})
        found = answer.doc().doc("Response")
        match found.text("Status"):
            case "WAIT":
                return Queued()
            case "RUN":
                return Running()
            case "DONE":
                url = found.text_or("ResultVideoUrl")
                return Succeeded(outputs=(Output(kind=MediaKind.VIDEO, url=url),) if url else ())
            case "FAIL":
                code = found.text_or("ErrorCode")
                return ended_by(_named(code) or Fault(code=FaultCode.VENDOR_FAILED, vendor_code=vendor_word(code)))
        raise unreadable("an unknown status")

    def fault(self, exchange: Exchange, answer: Answer) -> Fault | None:
        code = answer.doc_or_empty().doc_or_empty("Response").doc_or_empty("Error").text_or("Code")
        plain = fault_of_status(answer, vendor_code=code)
        if not code:
            return plain
        return _named(code) or plain or Fault(code=FaultCode.VENDOR_FAILED, vendor_code=vendor_word(code))

    def _action(self, action: str, body: dict[str, Json], *, spends: bool = False) -> Exchange:
        said = {"X-TC-Action": action, "X-TC-Version": _VERSION, "X-TC-Region": self.account.options["region"]}
        return call("POST", self.url("/"), auth=self._auth(), body=body, headers=said, spends=spends)

    def _auth(self) -> Credential:
        return TencentSignature(
            secret_id=self.account.secret("secret_id"), secret_key=self.account.secret("secret_key"), service="vclm"
        )


def _named(code: str) -> Fault | None:
    word, first = vendor_word(code), code.partition(".")[0]
    if "Moderation" in code:
        return Fault(code=FaultCode.INPUT_REFUSED, vendor_code=word)
    if first == "RequestLimitExceeded":
        return Fault(code=FaultCode.RATE_LIMITED, again=Again.SAFE, vendor_code=word)
    if first == "AuthFailure":
        return Fault(code=FaultCode.CREDENTIALS_REFUSED, vendor_code=word)
    if first == "ResourceInsufficient":
        return Fault(code=FaultCode.CREDIT_EXHAUSTED, vendor_code=word)
    if first == "ResourceNotFound" or code.endswith("NotExist"):
        return Fault(code=FaultCode.JOB_UNKNOWN, vendor_code=word)
    if first in ("InvalidParameter", "InvalidParameterValue", "MissingParameter"):
        return Fault(code=FaultCode.INPUT_INVALID, vendor_code=word)
    if first == "InternalError":
        return Fault(code=FaultCode.VENDOR_UNAVAILABLE, again=Again.UNSURE, vendor_code=word)
    return None
