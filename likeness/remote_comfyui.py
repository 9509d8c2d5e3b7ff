"""ComfyUI on a machine of the operator's own.

A graph is code: nodes read files and call paid clouds. So only graphs that stand on the card are sent, each with the places
that are filled in (``slots``), and only of node classes that the card allows; nobody sends a graph to us. Pictures are uploaded
under the name of their hash; the server may answer with another name, and that one is used. Our key is the job's id there,
so that a lost answer leaves nothing unknown.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from urllib.parse import urlencode

from likeness.backends import RemoteModel
from likeness.errors import RemoteError
from likeness.remote import (
    Answer,
    Doc,
    Exchange,
    Expired,
    Failed,
    Fault,
    FaultCode,
    Json,
    Media,
    MediaKind,
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
    fault_of_status,
    form,
    unreadable,
)

_SIDES = {"16:9": (16, 9), "9:16": (9, 16), "1:1": (1, 1)}
_VIDEO = (".mp4", ".webm", ".mov", ".mkv")
_SUFFIX = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "video/mp4": "mp4", "audio/wav": "wav"}


class Backend(RemoteBackend):
    """Adapter ``comfyui``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        model = self.model(job.model)
        names: dict[str, str] = {}
        for number, media in enumerate(job.media):
            names[f"{media.role.value}_{number}"] = yield from self._upload(media)
        graph = _filled(model, job, list(names.values()))
        body: dict[str, Json] = {"prompt": graph, "prompt_id": key, "client_id": key}
        answer = yield call("POST", self.url("/prompt"), auth=None, body=body, spends=True)
        if answer.doc().text("prompt_id") != key:
            raise unreadable("the server chose an id of its own")
        return self.handle(job, key)

    def _upload(self, media: Media) -> Steps[str]:
        name = f"{media.sha256}.{_SUFFIX.get(media.media_type, 'bin')}"
        body, headers = form({"type": "input", "overwrite": "true"}, file_field="image", name=name, media=media)
        answer = yield Exchange(method="POST", url=self.url("/upload/image"), headers=headers, body=body)
        said = answer.doc()
        folder = said.text_or("subfolder")
        return f"{folder}/{said.text('name')}" if folder else said.text("name")

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        history = (yield call("GET", self.url(f"/history/{handle.key}"), auth=None)).doc()
        if history.has(handle.key):
            return _ended(history.doc(handle.key), self)
        queue = (yield call("GET", self.url("/queue"), auth=None)).doc()
        if _listed(queue, "queue_running", handle.key):
            return Running()
        if _listed(queue, "queue_pending", handle.key):
            return Queued()
        # between the two looks it may have ended
        history = (yield call("GET", self.url(f"/history/{handle.key}"), auth=None)).doc()
        return _ended(history.doc(handle.key), self) if history.has(handle.key) else Expired()

    def cancel(self, handle: RemoteHandle) -> Steps[bool]:
        yield call("POST", self.url("/queue"), auth=None, body={"delete": [handle.key]})
        yield call("POST", self.url("/interrupt"), auth=None, body={"prompt_id": handle.key})
        return True

    def find(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle | None]:
        handle = self.handle(job, key)
        state = yield from self.look(handle)
        return None if isinstance(state, Expired) else handle

    def fault(self, exchange: Exchange, answer: Answer) -> Fault | None:
        kind = answer.doc_or_empty().doc_or_empty("error").text_or("type") if answer.status == 400 else ""
        return fault_of_status(answer, vendor_code=kind)


def _ended(entry: Doc, backend: Backend) -> RemoteState:
    status = entry.doc("status")
    if status.text("status_str") != "success":
        return Failed(fault=Fault(code=FaultCode.VENDOR_FAILED, vendor_code="execution_error"))
    outputs, nodes = [], entry.doc("outputs")
    for node in nodes.names():
        for group in ("videos", "gifs", "images"):
            for file in nodes.doc(node).docs(group):
                if file.text_or("type", "output") == "output":
                    outputs.append(_output(file, backend))
    videos = [each for each in outputs if each.kind is MediaKind.VIDEO]
    return Succeeded(outputs=tuple(videos or outputs))


def _output(file: Doc, backend: Backend) -> Output:
    name = file.text("filename")
    query = urlencode({"filename": name, "subfolder": file.text_or("subfolder"), "type": "output"})
    kind = MediaKind.VIDEO if name.lower().endswith(_VIDEO) else MediaKind.PICTURE
    return Output(kind=kind, url=backend.url(f"/view?{query}"), guarded=True)


def _listed(queue: Doc, name: str, key: str) -> bool:
    """Entries are lists: number, id, graph and more."""
    return any(key in entry for entry in queue.rows(name))


def _filled(model: RemoteModel, job: RemoteJob, files: list[str]) -> Json:
    """The card's graph with its slots filled: ``node.input`` to what goes there."""
    graph = copy.deepcopy(json.loads(str(model.extra["graph"])))
    allowed = model.extra.get("nodes")
    slots = model.extra.get("slots")
    if not isinstance(allowed, list) or not isinstance(slots, Mapping):
        raise RemoteError("the card's graph lacks nodes or slots", code=FaultCode.MODE_UNSUPPORTED)
    if any(node["class_type"] not in allowed for node in graph.values()):
        raise RemoteError("the graph has a node that the card does not allow", code=FaultCode.HIDDEN_FACE)
    width, height = _pixels(job)
    values: dict[str, Json] = {
        "prompt": job.prompt,
        "seed": job.seed if job.seed is not None else 0,
        "width": width,
        "height": height,
        "frames": job.seconds * 16 + 1,  # Wan: 16 a second, one more than a multiple of four
        **{f"media_{number}": name for number, name in enumerate(files)},
    }
    missing = [name for name in values if name.startswith("media_") and name not in slots]
    if missing:
        raise RemoteError(f"the graph has no place for {missing[0]}", code=FaultCode.MODE_UNSUPPORTED)
    for name, place in slots.items():
        node, _, field = str(place).partition(".")
        graph[node]["inputs"][field] = values[name]
    return graph  # type: ignore[no-any-return]


def _pixels(job: RemoteJob) -> tuple[int, int]:
    across, down = _SIDES[job.ratio or "16:9"]
    short = int((job.resolution or "480p").rstrip("p"))
    unit = short / min(across, down)
    return round(across * unit / 16) * 16, round(down * unit / 16) * 16
