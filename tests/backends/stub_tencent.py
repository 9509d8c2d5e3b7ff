"""Tencent's vclm: a signature, and HTTP 200 with an error inside."""

from __future__ import annotations

from likeness.remote import FaultCode
from tests.backends.kit import NOW, SECRET, Asked, Reply, Trouble, Vendor, said, sha256_of_base64
from tests.backends.signatures import tencent_signature_holds


def error(code: str) -> Reply:
    return said({"Response": {"Error": {"Code": code, "Message": "A red square"}, "RequestId": "r"}})


class Stub(Vendor):
    name = "tencent"
    errors = (
        Trouble("moderated", error("FailedOperation.ModerationFailed"), FaultCode.INPUT_REFUSED),
        Trouble("parameter", error("InvalidParameterValue.ParameterValueError"), FaultCode.INPUT_INVALID),
        Trouble("faces", error("InvalidParameterValue.NoFaceInPhoto"), FaultCode.INPUT_INVALID),
        Trouble("many faces", error("InvalidParameterValue.TooManyFacesInPhoto"), FaultCode.INPUT_INVALID),
        Trouble("sound moderated", error("FailedOperation.ModerationAudioFailed"), FaultCode.INPUT_REFUSED),
        Trouble("signature", error("AuthFailure.SignatureFailure"), FaultCode.CREDENTIALS_REFUSED),
        Trouble("resources", error("ResourceInsufficient"), FaultCode.CREDIT_EXHAUSTED),
        Trouble("something new", error("FailedOperation.SomethingNew"), FaultCode.VENDOR_FAILED),
        Trouble("rate", error("RequestLimitExceeded"), FaultCode.RATE_LIMITED, again=True),
        Trouble("jobs", error("RequestLimitExceeded.JobNumExceed"), FaultCode.RATE_LIMITED, again=True),
    )
    endings = (
        ("moderated", "FailedOperation.ModerationFailed", FaultCode.INPUT_REFUSED),
        ("failed", "FailedOperation.DriverFailed", FaultCode.VENDOR_FAILED),
        ("done without a video", "", FaultCode.OUTPUT_MISSING),
    )

    def secrets(self) -> dict[str, str]:
        return {"secret_id": "ID", "secret_key": SECRET}

    def options(self) -> dict[str, str]:
        return {"region": "ap-guangzhou"}

    def spends(self, asked: Asked) -> bool:
        return asked.headers.get("x-tc-action") == "SubmitHunyuanToVideoJob"

    def answer(self, asked: Asked) -> Reply:
        if not tencent_signature_holds(asked, SECRET, now=NOW):
            return error("AuthFailure.SignatureFailure")
        if asked.headers["x-tc-version"] != "2024-05-23" or asked.headers["x-tc-region"] != "ap-guangzhou":
            return error("InvalidParameter")
        order = asked.json
        if self.spends(asked):
            if set(order) - {"Prompt", "Image", "Resolution", "LogoAdd"} or len(order["Prompt"]) > 200:
                return error("InvalidParameter")
            media = [sha256_of_base64(order["Image"]["Base64"])] if "Image" in order else []
            return said({"Response": {"JobId": self.take(order, media).id, "RequestId": "r"}})
        job = self.looked(order["JobId"])
        if job is None:
            return error("FailedOperation.JobNotExist")
        shown: dict[str, str] = {"queued": {"Status": "WAIT"}, "running": {"Status": "RUN"}}.get(
            job.shown, {"Status": "FAIL", "ErrorCode": job.ending, "ErrorMessage": "A red square"}
        )
        if job.shown == "ended" and not job.ending:
            shown = {"Status": "DONE", "ErrorCode": "", "ResultVideoUrl": "" if job.ending == "" else self.clip_url}
        return said({"Response": {"RequestId": "r"} | shown})
