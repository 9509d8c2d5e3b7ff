"""Tencent's VOD, which has models of several makers: ``CreateAigcVideoTask`` with the maker's name and version.

Answers are HTTP 200 whatever they say, and a task that is ``FINISH`` has succeeded only if it names no error. ``SessionId``
keeps an order from being taken twice: a repeat is refused, and says nothing of the first. Files kept there (``FileId``) and
subjects (``ObjectId``) name people without bytes and are never sent; pictures go by address.
"""

from __future__ import annotations

from likeness.credentials import TencentSignature
from likeness.errors import RemoteError
from likeness.remote import (
    Again,
    Answer,
    Credential,
    Exchange,
    Fault,
    FaultCode,
    Json,
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
    vendor_word,
)

_VERSION = "2018-07-17"


class Backend(RemoteBackend):
    """Adapter ``tencent_vod``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        maker, _, version = self.model(job.model).id.partition("/")
        files: list[Json] = [
            {
                "Type": "Url",
                "Category": "Image",
                "Url": each.at,
                "Usage": "Reference" if each.role is Role.REFERENCE else "FirstFrame",
            }
            for each in job.of(Role.FIRST_FRAME, Role.REFERENCE)
        ]
        wanted: dict[str, Json] = {
            "StorageMode": "Temporary",  # nothing of theirs stays
            "Duration": job.seconds,
            "Resolution": None if job.resolution is None else job.resolution.upper(),
            "AspectRatio": None if job.mode is Mode.FIRST_LAST_FRAME else job.ratio,
            "AudioGeneration": "Enabled" if job.sound else "Disabled",
            "PersonGeneration": "AllowAdult",
            "InputComplianceCheck": "Enabled",
            "OutputComplianceCheck": "Enabled",
            "LogoAdd": 0,
        }
        last = job.of(Role.LAST_FRAME)
        body: dict[str, Json] = {
            "SubAppId": self._application(),
            "ModelName": maker,
            "ModelVersion": version,
            "FileInfos": files or None,
            "LastFrameUrl": last[0].at if last else None,
            "Prompt": job.prompt,
            "EnhancePrompt": "Disabled",  # what was permitted is what was asked
            "OutputConfig": {name: value for name, value in wanted.items() if value is not None},
            "Seed": job.seed,
            "SessionId": key,
        }
        answer = yield self._action("CreateAigcVideoTask", body, spends=True)
        return self.handle(job, key, id=answer.doc().doc("Response").text("TaskId"))

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        answer = yield self._action("DescribeTaskDetail", {"SubAppId": self._application(), "TaskId": handle.ids["id"]})
        task = answer.doc().doc("Response").doc("AigcVideoTask")
        match task.text("Status"):
            case "PROCESSING":
                return Running()
            case "FINISH":
                code = task.text_or("ErrCodeExt")
                if code:
                    return ended_by(_named(code) or Fault(code=FaultCode.VENDOR_FAILED, vendor_code=vendor_word(code)))
                files = task.doc_or_empty("Output").docs("FileInfos")
                return Succeeded(
                    outputs=tuple(Output(kind=MediaKind.VIDEO, url=each.text("FileUrl")) for each in files)
                )
        raise unreadable("an unknown status")

    def fault(self, exchange: Exchange, answer: Answer) -> Fault | None:
        code = answer.doc_or_empty().doc_or_empty("Response").doc_or_empty("Error").text_or("Code")
        plain = fault_of_status(answer, vendor_code=code)
        if not code:
            return plain
        return _named(code) or plain or Fault(code=FaultCode.VENDOR_FAILED, vendor_code=vendor_word(code))

    def _application(self) -> int:
        number = self.account.options["sub_app_id"]
        if not number.isdecimal():
            raise RemoteError("sub_app_id is no number", code=FaultCode.CREDENTIALS_MISSING)
        return int(number)

    def _action(self, action: str, body: dict[str, Json], *, spends: bool = False) -> Exchange:
        said = {"X-TC-Action": action, "X-TC-Version": _VERSION}
        return call("POST", self.url("/"), auth=self._auth(), body=body, headers=said, spends=spends)

    def _auth(self) -> Credential:
        return TencentSignature(
            secret_id=self.account.secret("secret_id"), secret_key=self.account.secret("secret_key"), service="vod"
        )


def _named(code: str) -> Fault | None:
    word, first = vendor_word(code), code.partition(".")[0]
    if "Moderation" in code or "VoilationContent" in code or "Violation" in code:  # the first spelling is theirs
        return Fault(code=FaultCode.INPUT_REFUSED, vendor_code=word)
    if first in ("RequestLimitExceeded", "LimitExceeded"):
        return Fault(code=FaultCode.RATE_LIMITED, again=Again.SAFE, vendor_code=word)
    if first == "AuthFailure":
        return Fault(code=FaultCode.CREDENTIALS_REFUSED, vendor_code=word)
    if first == "UnauthorizedOperation":
        return Fault(code=FaultCode.NOT_ENTITLED, vendor_code=word)
    if first == "ResourceInsufficient":
        return Fault(code=FaultCode.CREDIT_EXHAUSTED, vendor_code=word)
    if first == "ResourceNotFound":
        return Fault(code=FaultCode.JOB_UNKNOWN, vendor_code=word)
    if first in ("InvalidParameter", "InvalidParameterValue", "MissingParameter"):
        return Fault(code=FaultCode.INPUT_INVALID, vendor_code=word)
    if first == "InternalError":
        return Fault(code=FaultCode.VENDOR_UNAVAILABLE, again=Again.UNSURE, vendor_code=word)
    return None
