"""ComfyUI's server: uploads are renamed, ids may be chosen, an empty history means "not done", origins are checked."""

from __future__ import annotations

import hashlib
import re

from likeness.remote import FaultCode
from tests.backends.kit import Asked, Reply, Trouble, Vendor, part_of_form, said

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def invalid(kind: str) -> Reply:
    return said(
        {"error": {"type": kind, "message": "A red square", "details": "", "extra_info": {}}, "node_errors": {}}, 400
    )


class Stub(Vendor):
    name = "comfyui"
    errors = (
        Trouble("a graph that does not hold", invalid("prompt_outputs_failed_validation"), FaultCode.INPUT_INVALID),
        Trouble("an id that is none", invalid("invalid_prompt_id"), FaultCode.INPUT_INVALID),
        Trouble("origin", Reply(403), FaultCode.NOT_ENTITLED),
    )
    endings = (
        ("a node failed", "error", FaultCode.VENDOR_FAILED),
        ("done without a video", "empty", FaultCode.OUTPUT_MISSING),
    )

    def secrets(self) -> dict[str, str]:
        return {}

    def spends(self, asked: Asked) -> bool:
        return asked.method == "POST" and asked.path == "/prompt"

    def answer(self, asked: Asked) -> Reply:
        if "origin" in asked.headers:
            return Reply(403)
        match asked.method, asked.path.split("/")[1]:
            case "POST", "upload":
                content, name = part_of_form(asked, "image")
                stored = f"renamed-{len(self.uploads)}-{name}"
                self.uploads[stored] = hashlib.sha256(content).hexdigest()
                return said({"name": stored, "subfolder": "", "type": "input"})
            case "POST", "prompt":
                return self._order(asked)
            case "GET", "history":
                return self._history(asked.path.rpartition("/")[2])
            case "GET", "queue":
                return self._queue()
            case "POST", "queue":
                for job_id in asked.json["delete"]:
                    if job_id in self.jobs and self.jobs[job_id].stage == "queued":
                        self.jobs[job_id].cancelled = True
                return Reply(200)
            case "POST", "interrupt":
                job = self.jobs.get(asked.json["prompt_id"])
                if job is not None and job.stage == "running":
                    job.cancelled = True
                return Reply(200)
            case "GET", "view":
                return Reply(200, self.clip) if asked.query["filename"] == "clip_00001_.mp4" else Reply(404)
        return Reply(404)

    def _order(self, asked: Asked) -> Reply:
        order = asked.json
        if not _UUID.fullmatch(order["prompt_id"]):
            return invalid("invalid_prompt_id")
        loaders = [node for node in order["prompt"].values() if node["class_type"] == "LoadImage"]
        media = [self.uploads.get(node["inputs"]["image"], "not an upload") for node in loaders]
        job = self.take(order, media, job_id=order["prompt_id"])
        return said({"prompt_id": job.id, "number": 1, "node_errors": {}})

    def _history(self, job_id: str) -> Reply:
        job = self.jobs.get(job_id)
        if job is None or job.cancelled or job.stage != "ended":
            return said({})
        status = {"status_str": "success", "completed": True, "messages": []}
        file = {"filename": "clip_00001_.mp4", "subfolder": "mien", "type": "output"}
        preview = {"filename": "preview.png", "subfolder": "", "type": "temp"}
        outputs: dict[str, object] = {"15": {"images": [preview, file], "animated": [True]}}
        if job.ending == "error":
            status, outputs = {"status_str": "error", "completed": False, "messages": []}, {}
        if job.ending == "empty":
            outputs = {}
        return said({job_id: {"prompt": [], "outputs": outputs, "status": status}})

    def _queue(self) -> Reply:
        """Being asked is what lets jobs go on."""
        lists: dict[str, list[list[object]]] = {"queue_running": [], "queue_pending": []}
        for job in self.jobs.values():
            if job.stage in ("queued", "running"):
                lists["queue_pending" if job.stage == "queued" else "queue_running"].append([1, job.id, {}, {}, []])
            job.looks += 1
        return said(lists)
