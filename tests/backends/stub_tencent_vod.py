"""Tencent's VOD: HTTP 200 with an error inside, tasks that finish with an error, sessions that are not taken twice."""

from __future__ import annotations

from likeness.remote import FaultCode
from tests.backends.kit import NOW, SECRET, Asked, Reply, Trouble, Vendor, said
from tests.backends.signatures import tencent_signature_holds

_FIELDS = {
    "SubAppId", "ModelName", "ModelVersion", "FileInfos", "LastFrameUrl", "Prompt", "EnhancePrompt", "OutputConfig",
    "Seed", "SessionId",
}  # fmt: skip
_OUTPUT = {
    "StorageMode", "Duration", "Resolution", "AspectRatio", "AudioGeneration", "PersonGeneration",
    "InputComplianceCheck", "OutputComplianceCheck", "LogoAdd",
}  # fmt: skip
_PICTURES = {"Hunyuan": 1, "Kling": 1, "Vidu": 7, "GV": 3}


def error(code: str) -> Reply:
    return said({"Response": {"Error": {"Code": code, "Message": "A red square"}, "RequestId": "r"}})


class Stub(Vendor):
    name = "tencent_vod"
    errors = (
        Trouble("content", error("InvalidParameter.VoilationContent"), FaultCode.INPUT_REFUSED),
        Trouble("parameter", error("InvalidParameter"), FaultCode.INPUT_INVALID),
        Trouble("value", error("InvalidParameterValue"), FaultCode.INPUT_INVALID),
        Trouble("session taken", error("InvalidParameterValue.SessionId"), FaultCode.INPUT_INVALID),
        Trouble("signature", error("AuthFailure.SignatureFailure"), FaultCode.CREDENTIALS_REFUSED),
        Trouble("not entitled", error("UnauthorizedOperation"), FaultCode.NOT_ENTITLED),
        Trouble("resources", error("ResourceInsufficient"), FaultCode.CREDIT_EXHAUSTED),
        Trouble("no such thing", error("ResourceNotFound"), FaultCode.JOB_UNKNOWN),
        Trouble("failed at once", error("FailedOperation"), FaultCode.VENDOR_FAILED),
        Trouble("internal", error("InternalError"), FaultCode.SUBMIT_OUTCOME_UNKNOWN),
        Trouble("limit", error("LimitExceeded"), FaultCode.RATE_LIMITED, again=True),
        Trouble("rate", error("RequestLimitExceeded"), FaultCode.RATE_LIMITED, again=True),
    )
    endings = (
        ("moderated", "FailedOperation.ModerationFailed", FaultCode.INPUT_REFUSED),
        ("failed", "InternalFault.Model", FaultCode.VENDOR_FAILED),
        ("done without a video", "", FaultCode.OUTPUT_MISSING),
    )

    def secrets(self) -> dict[str, str]:
        return {"secret_id": "ID", "secret_key": SECRET}

    def options(self) -> dict[str, str]:
        return {"sub_app_id": "251007502"}

    def spends(self, asked: Asked) -> bool:
        return asked.headers.get("x-tc-action") == "CreateAigcVideoTask"

    def answer(self, asked: Asked) -> Reply:
        if not tencent_signature_holds(asked, SECRET, now=NOW):
            return error("AuthFailure.SignatureFailure")
        if asked.headers["x-tc-version"] != "2018-07-17" or asked.json["SubAppId"] != 251007502:
            return error("InvalidParameter")
        if self.spends(asked):
            return self._order(asked)
        job = self.looked(asked.json["TaskId"])
        if job is None:
            return error("ResourceNotFound")
        task: dict[str, object] = {"TaskId": job.id, "Status": "PROCESSING" if job.shown != "ended" else "FINISH"}
        if job.shown == "ended" and job.ending:
            task |= {"ErrCodeExt": job.ending, "Message": "A red square"}
        elif job.shown == "ended":
            files = [] if job.ending == "" else [{"FileType": "mp4", "FileUrl": self.clip_url}]
            task |= {"ErrCodeExt": "", "Output": {"FileInfos": files}}
        return said({"Response": {"TaskType": "AigcVideoTask", "AigcVideoTask": task, "RequestId": "r"}})

    def _order(self, asked: Asked) -> Reply:
        order = asked.json
        files, wanted = order.get("FileInfos", []), order["OutputConfig"]
        if set(order) - _FIELDS or set(wanted) - _OUTPUT or len(files) > _PICTURES[order["ModelName"]]:
            return error("InvalidParameterValue")
        if "LastFrameUrl" in order and (order["ModelName"] == "GV" or len(files) != 1):
            return error("InvalidParameterValue")
        if any(job.order["SessionId"] == order["SessionId"] for job in self.jobs.values()):
            return error("InvalidParameterValue.SessionId")
        urls = [each["Url"] for each in files] + ([order["LastFrameUrl"]] if "LastFrameUrl" in order else [])
        sound = wanted["AudioGeneration"] == "Enabled"
        job = self.take(order, [self.digest_at(url) for url in urls], sound=sound)
        return said({"Response": {"TaskId": job.id, "RequestId": "r"}})
