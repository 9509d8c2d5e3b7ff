"""Ark's task interface, and the control plane where real people are verified."""

from __future__ import annotations

import hashlib
import json

from likeness.remote import Callback, FaultCode
from tests.backends.kit import NOW, SECRET, Asked, Job, Reply, Trouble, Vendor, said, sha256_of_data_uri
from tests.backends.signatures import volcengine_signature_holds

TASKS = "/api/v3/contents/generations/tasks"
_FIELDS = {
    "model", "content", "duration", "resolution", "ratio", "seed", "watermark", "callback_url", "generate_audio",
    "omni_reference_task_type",
}  # fmt: skip


def error(code: str, status: int = 400) -> Reply:
    return said({"error": {"code": code, "message": "A red square", "param": "", "type": "BadRequest"}}, status)


class Stub(Vendor):
    name = "seedance"
    prefix = "/api/v3"
    errors = (
        Trouble("missing parameter", error("MissingParameter"), FaultCode.INPUT_INVALID),
        Trouble("text moderated", error("InputTextSensitiveContentDetected"), FaultCode.INPUT_REFUSED),
        Trouble("severe", error("SensitiveContentDetected.SevereViolation"), FaultCode.INPUT_REFUSED),
        Trouble("violence", error("SensitiveContentDetected.Violence"), FaultCode.INPUT_REFUSED),
        Trouble("risk", error("InputImageRiskDetection"), FaultCode.INPUT_REFUSED),
        Trouble("risk of the text", error("InputTextRiskDetection"), FaultCode.INPUT_REFUSED),
        Trouble("video moderated", error("InputVideoSensitiveContentDetected"), FaultCode.INPUT_REFUSED),
        Trouble("risk of a picture made", error("OutputImageRiskDetection"), FaultCode.OUTPUT_REFUSED),
        Trouble("tokens", error("RateLimitExceeded.EndpointTPMExceeded", 429), FaultCode.RATE_LIMITED, again=True),
        Trouble("no such model", error("ModelNotOpen", 404), FaultCode.JOB_UNKNOWN),
        Trouble(
            "real person", error("InputImageSensitiveContentDetected.PrivacyInformation"), FaultCode.PERSON_UNVERIFIED
        ),
        Trouble(
            "real person in a video",
            error("InputVideoSensitiveContentDetected.PrivacyInformation"),
            FaultCode.PERSON_UNVERIFIED,
        ),
        Trouble("task type", error("InvalidParameter.TaskTypeConstraint"), FaultCode.INPUT_INVALID),
        Trouble("key", error("AuthenticationError", 401), FaultCode.CREDENTIALS_REFUSED),
        Trouble("not entitled", error("AccessDenied", 403), FaultCode.NOT_ENTITLED),
        Trouble("rate", error("RateLimitExceeded.EndpointRPMExceeded", 429), FaultCode.RATE_LIMITED, again=True),
        Trouble("overloaded", error("ServerOverloaded", 429), FaultCode.RATE_LIMITED, again=True),
    )
    endings = (
        ("output moderated", {"code": "OutputVideoSensitiveContentDetected"}, FaultCode.OUTPUT_REFUSED),
        ("input moderated later", {"code": "InputImageSensitiveContentDetected"}, FaultCode.INPUT_REFUSED),
        ("internal", {"code": "InternalServiceError"}, FaultCode.VENDOR_FAILED),
        ("expired", "expired", FaultCode.JOB_EXPIRED),
        ("done without a video", "empty", FaultCode.OUTPUT_MISSING),
    )

    def __init__(self) -> None:
        super().__init__()
        self.groups: dict[str, str] = {}  # bytedToken: group
        self.people: dict[str, str] = {}  # asset: group
        self.slow = self.strangers = self.deaf = (
            False  # still looking; the picture is of somebody else; does not delete
        )

    def secrets(self) -> dict[str, str]:
        return {"key": SECRET, "access_key": "AKTEST", "secret_key": SECRET + "-2"}

    def options(self) -> dict[str, str]:
        return {"people_host": self.url + "/control", "people_region": "cn-beijing", "project": "default"}

    def spends(self, asked: Asked) -> bool:
        return asked.method == "POST" and asked.path == TASKS

    def answer(self, asked: Asked) -> Reply:
        if asked.path.startswith("/control"):
            return self._control(asked)
        if asked.headers.get("authorization") != f"Bearer {SECRET}":
            return error("AuthenticationError", 401)
        if asked.method == "POST" and asked.path == TASKS:
            return self._order(asked)
        job_id = asked.path.removeprefix(TASKS + "/")
        if asked.method == "DELETE" and job_id in self.jobs:
            if self.jobs[job_id].looks == 2:
                return error("InvalidAction.RunningTaskDeletion", 409)
            if self.jobs[job_id].looks > 2 or self.jobs[job_id].cancelled:
                del self.jobs[job_id]  # the record of one that has ended
                return said({})
            self.jobs[job_id].cancelled = True
            return said({})
        job = self.looked(job_id)
        return error("ResourceNotFound", 404) if job is None else said(self.task(job, looked=True))

    def _order(self, asked: Asked) -> Reply:
        order = asked.json
        if set(order) - _FIELDS or "model" not in order or not order.get("content"):
            return error("InvalidParameter")
        media = []
        for item in order["content"]:
            if item["type"] == "text":
                continue
            url = item[item["type"]]["url"]
            if url.startswith("asset://"):
                media.append(self.assets[url.removeprefix("asset://")])
            else:
                media.append(sha256_of_data_uri(url))
        roles = {item.get("role") for item in order["content"]} - {None}
        if "first_frame" in roles and any(role.startswith("reference") for role in roles):
            return error("InvalidParameter.TaskTypeConstraint")
        locked = "2-5" in order["model"] and roles & {"first_frame", "last_frame"}
        if locked and order.get("ratio") != "adaptive":
            return error("InvalidParameter.TaskTypeConstraint")
        audio = order.get("generate_audio", not any(v in order["model"] for v in ("1-0",)))  # on unless told otherwise
        return said({"id": self.take(order, media, sound=audio, job_id=f"cgt-{len(self.jobs)}").id})

    def task(self, job: Job, *, looked: bool = False) -> dict[str, object]:
        stage = job.stage if not looked or job.cancelled else ("queued", "running", "ended")[min(job.looks - 1, 2)]
        shown: dict[str, object] = {"id": job.id, "model": job.order["model"], "status": stage}
        if stage == "ended":
            match job.ending:
                case None:
                    shown |= {"status": "succeeded", "content": {"video_url": self.clip_url}}
                case "expired":
                    shown |= {"status": "expired"}
                case "empty":
                    shown |= {"status": "succeeded", "content": {}}
                case named:
                    shown |= {"status": "failed", "error": named | {"message": "A red square"}}
        return shown

    def callback(self, job: Job) -> Callback:
        body = json.dumps(self.task(job)).encode()
        return Callback(method="POST", path="/hook", headers={"content-type": "application/json"}, body=body)

    # --- the control plane

    def _control(self, asked: Asked) -> Reply:
        if not volcengine_signature_holds(asked, SECRET + "-2", now=NOW):
            return said({"ResponseMetadata": {"Error": {"Code": "SignatureDoesNotMatch", "Message": ""}}}, 401)
        body = asked.json
        match asked.query["Action"]:
            case "CreateVisualValidateSession":
                token = f"byted-{len(self.groups)}"
                self.groups[token] = ""
                return _result({"BytedToken": token, "H5Link": f"{self.url}/h5/{token}"})
            case "GetVisualValidateResult":
                return _result({"GroupId": self.groups.get(body["BytedToken"], "")})
            case "CreateAsset":
                if body["GroupId"] not in self.groups.values():
                    return said({"ResponseMetadata": {"Error": {"Code": "NotFound.Group", "Message": ""}}}, 404)
                asset = f"asset-{len(self.people)}"
                self.people[asset] = body["GroupId"]
                self.fetch_inputs(asked)
                self.assets[asset] = self.digest_at(body["URL"])
                return _result({"Id": asset})
            case "GetAsset":
                standing = "Processing" if self.slow else "Active" if not self.strangers else "Failed"
                return _result({"Status": standing if body["Id"] in self.people else "Failed"})
            case "DeleteAsset" | "DeleteAssetGroup" if self.deaf:
                return said({"ResponseMetadata": {"Error": {"Code": "InternalError", "Message": ""}}}, 500)
            case "DeleteAsset":
                if body["Id"] not in self.people:
                    return said({"ResponseMetadata": {"Error": {"Code": "NotFound.Asset", "Message": ""}}}, 404)
                self.people.pop(body["Id"])
                self.assets.pop(body["Id"])
                return _result({})
            case "DeleteAssetGroup":
                self.groups = {token: group for token, group in self.groups.items() if group != body["Id"]}
                self.people = {asset: group for asset, group in self.people.items() if group != body["Id"]}
                return _result({})
        return said({"ResponseMetadata": {"Error": {"Code": "InvalidAction", "Message": ""}}}, 400)

    def person_passed(self, token: str) -> None:
        """Somebody did the vendor's live check."""
        self.groups[token] = "group-" + hashlib.sha256(token.encode()).hexdigest()[:8]


def _result(result: dict[str, object]) -> Reply:
    return said({"ResponseMetadata": {"RequestId": "r"}, "Result": result})
