"""Replicate: many makers' models behind one key. Inputs as :mod:`likeness.gateway_input` has them; nothing free-form.

Why a prediction failed is said in a sentence only. Inputs and outputs are gone an hour after the end.
"""

from __future__ import annotations

from datetime import datetime

from likeness.callbacks import check_standard_webhook
from likeness.credentials import bearer
from likeness.gateway_input import gateway_input
from likeness.remote import (
    Callback,
    Cancelled,
    Credential,
    Doc,
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
    Running,
    Steps,
    Succeeded,
    call,
    ended_by,
    unreadable,
)

_MODERATED = ("sensitive", "flagged", "moderat", "nsfw", "policy", "(e005)")


class Backend(RemoteBackend):
    """Adapter ``replicate``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        model = self.model(job.model)
        body: dict[str, Json] = {"input": gateway_input(job, model)}
        if job.callback is not None:
            body |= {"webhook": job.callback, "webhook_events_filter": ["completed"]}
        url = self.url(f"/models/{model.id}/predictions")
        answer = yield call("POST", url, auth=self._auth(), body=body, spends=True)
        return self.handle(job, key, id=answer.doc().text("id"))

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        found = (yield call("GET", self.url(f"/predictions/{handle.ids['id']}"), auth=self._auth())).doc()
        match found.text("status"):
            case "starting":
                return Queued()
            case "processing":
                return Running()
            case "succeeded":
                return Succeeded(outputs=_outputs(found))
            case "failed":
                refused = any(word in found.text_or("error").lower() for word in _MODERATED)
                return ended_by(Fault(code=FaultCode.INPUT_REFUSED if refused else FaultCode.VENDOR_FAILED))
            case "canceled" | "aborted":
                return Cancelled()
        raise unreadable("an unknown status")

    def cancel(self, handle: RemoteHandle) -> Steps[bool]:
        yield call("POST", self.url(f"/predictions/{handle.ids['id']}/cancel"), auth=self._auth(), body={})
        return True

    def hear(self, callback: Callback, *, now: datetime) -> Steps[bool]:
        check_standard_webhook(callback, self.account.secret("callback_secret"), now=now)
        yield from ()
        return True

    def _auth(self) -> Credential:
        return bearer(self.account.secret("key"))


def _outputs(found: Doc) -> tuple[Output, ...]:
    return tuple(Output(kind=MediaKind.VIDEO, url=url) for url in found.texts("output"))
