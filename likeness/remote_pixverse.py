"""PixVerse: pictures are uploaded first, and orders carry their numbers. Every answer is HTTP 200 with a code inside.

Each sending has a fresh ``Ai-trace-id``, for a repeated one may be answered with an old result; the order's is our key. What is
uploaded is what the gate looked at; a number that somebody else names is never sent. Callbacks are set once for the account:
their signature proves the vendor, and the number in them says which job.
"""

from __future__ import annotations

from datetime import datetime

from likeness.callbacks import check_pixverse
from likeness.credentials import TracedKey
from likeness.errors import RemoteError
from likeness.remote import (
    Again,
    Answer,
    Callback,
    Cancelled,
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
    form,
    unreadable,
)

_PATHS = {
    Mode.TEXT_TO_VIDEO: "text",
    Mode.FIRST_FRAME: "img",
    Mode.FIRST_LAST_FRAME: "transition",
    Mode.REFERENCE: "fusion",
    Mode.KEYFRAMES: "multi_transition",
}
_CODES = {
    "400011": Fault(code=FaultCode.INPUT_INVALID),
    "400012": Fault(code=FaultCode.CREDENTIALS_REFUSED),
    "400017": Fault(code=FaultCode.INPUT_INVALID),
    "500044": Fault(code=FaultCode.RATE_LIMITED, again=Again.SAFE),
    "500063": Fault(code=FaultCode.INPUT_REFUSED),
}
_SUFFIX = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


class Backend(RemoteBackend):
    """Adapter ``pixverse``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        numbers = []
        for media in job.media:
            numbers.append((yield from self._upload(media)))
        body: dict[str, Json] = {
            "model": self.model(job.model).id,
            "prompt": job.prompt,
            "duration": job.seconds,
            "quality": job.resolution,
            "seed": job.seed,
            "generate_audio_switch": job.sound if job.mode is not Mode.KEYFRAMES else None,
            "aspect_ratio": job.ratio if job.mode in (Mode.TEXT_TO_VIDEO, Mode.REFERENCE) else None,
        }
        match job.mode:
            case Mode.FIRST_FRAME:
                body["img_id"] = numbers[0]
            case Mode.FIRST_LAST_FRAME:
                first = [media.role for media in job.media].index(Role.FIRST_FRAME)
                body |= {"first_frame_img": numbers[first], "last_frame_img": numbers[1 - first]}
            case Mode.REFERENCE:
                body["image_references"] = [
                    {"type": "subject", "img_id": number, "ref_name": f"pic{place}"}
                    for place, number in enumerate(numbers, start=1)
                ]
            case Mode.KEYFRAMES:
                body = {
                    "model": body["model"],
                    "quality": job.resolution,
                    "multi_transition": _transitions(job, numbers),
                }
        url = self.url(f"/video/{_PATHS[job.mode]}/generate")
        answer = yield call("POST", url, auth=self._auth(), body=body, headers={"Ai-trace-id": key}, spends=True)
        return self.handle(job, key, id=_resp(answer).text("video_id"))

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        answer = yield call("GET", self.url(f"/video/result/{handle.ids['id']}"), auth=self._auth())
        found = _resp(answer)
        match int(found.number("status")):
            case 1:
                url = found.text_or("url")
                return Succeeded(outputs=(Output(kind=MediaKind.VIDEO, url=url),) if url else ())
            case 5:
                return Running()
            case 6:
                return Cancelled()
            case 7:
                return ended_by(Fault(code=FaultCode.OUTPUT_REFUSED, vendor_code="7"))
            case 8:
                return ended_by(Fault(code=FaultCode.VENDOR_FAILED, vendor_code="8"))
        raise unreadable("an unknown status")

    def hear(self, callback: Callback, *, now: datetime) -> Steps[bool]:
        check_pixverse(callback, self.account.secret("callback_secret"), now=now)
        yield from ()
        return True

    def named(self, callback: Callback) -> str | None:
        try:
            return Answer(status=200, body=callback.body).doc().text_or("id") or None
        except RemoteError:
            return None

    def fault(self, exchange: Exchange, answer: Answer) -> Fault | None:
        said = answer.doc_or_empty()
        code = said.text_or("ErrCode") if said.has("ErrCode") else ""
        if code == "400017" and exchange.method == "GET":  # of a look the only parameter is the id
            return Fault(code=FaultCode.JOB_UNKNOWN, vendor_code=code)
        if code in _CODES:
            known = _CODES[code]
            return Fault(code=known.code, again=known.again, vendor_code=code)
        plain = fault_of_status(answer, vendor_code=code)
        if plain is None and code not in ("", "0"):
            return Fault(code=FaultCode.VENDOR_FAILED, vendor_code=code)
        return plain

    def _upload(self, media: Media) -> Steps[int]:
        name = f"{media.sha256}.{_SUFFIX[media.media_type]}"
        body, headers = form({}, file_field="image", name=name, media=media)
        answer = yield Exchange(
            method="POST", url=self.url("/image/upload"), headers=headers, body=body, auth=self._auth()
        )
        return int(_resp(answer).number("img_id"))

    def _auth(self) -> TracedKey:
        return TracedKey(self.account.secret("key"))


def _transitions(job: RemoteJob, numbers: list[int]) -> list[Json]:
    """A way of whole seconds from each frame to the next; the last frame has none."""
    count = len(numbers) - 1
    shorter, longer = divmod(job.seconds, count)
    if not shorter:
        raise RemoteError(f"{job.seconds} s for {count} shots", code=FaultCode.INPUT_INVALID)
    ways: list[Json] = [
        {"img_id": number, "duration": shorter + (place < longer), "prompt": job.prompt_of(place)}
        for place, number in enumerate(numbers[:-1])
    ]
    return [*ways, {"img_id": numbers[-1], "duration": 0}]


def _resp(answer: Answer) -> Doc:
    return answer.doc().doc("Resp")
