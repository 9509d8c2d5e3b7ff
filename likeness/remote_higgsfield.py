"""Higgsfield: its own and resold models. The same order with the same ``Idempotency-Key`` is answered with the first job.

A full account answers 400 with a sentence, without saying when to come back. Callbacks are unsigned: a hint.
"""

from __future__ import annotations

from urllib.parse import quote

from likeness.credentials import bearer
from likeness.gateway_input import gateway_input, outputs_of
from likeness.remote import (
    Again,
    Answer,
    Cancelled,
    Credential,
    Exchange,
    Fault,
    FaultCode,
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
    fault_of_status,
    unreadable,
)

_FULL = ("concurren", "too many", "limit")


class Backend(RemoteBackend):
    """Adapter ``higgsfield``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        model = self.model(job.model)
        query = "" if job.callback is None else f"?hf_webhook={quote(job.callback, safe='')}"
        answer = yield call(
            "POST",
            self.url(f"/{model.id}{query}"),
            auth=self._auth(),
            body=gateway_input(job, model),
            headers={"Idempotency-Key": key},
            spends=True,
        )
        return self.handle(job, key, id=answer.doc().text("request_id"))

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        found = (yield call("GET", self._request(handle, "status"), auth=self._auth())).doc()
        match found.text("status"):
            case "queued":
                return Queued()
            case "in_progress":
                return Running()
            case "completed":
                return Succeeded(outputs=outputs_of(found))
            case "nsfw":
                return ended_by(Fault(code=FaultCode.OUTPUT_REFUSED, vendor_code="nsfw"))
            case "failed":
                return ended_by(Fault(code=FaultCode.VENDOR_FAILED))
            case "canceled":
                return Cancelled()
        raise unreadable("an unknown status")

    def cancel(self, handle: RemoteHandle) -> Steps[bool]:
        answer = yield call("POST", self._request(handle, "cancel"), auth=self._auth(), body={})
        return answer.status < 300

    def forget(self, handle: RemoteHandle) -> Steps[bool]:
        yield call("DELETE", self.url(f"/requests/{handle.ids['id']}"), auth=self._auth())
        return True

    def find(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle | None]:
        """The same order once more, which makes nothing new."""
        return (yield from self.submit(job, key=key))

    def fault(self, exchange: Exchange, answer: Answer) -> Fault | None:
        if answer.status == 400 and exchange.url.endswith("/cancel"):
            return None  # it runs already
        if answer.status == 400 and exchange.spends:
            said = answer.doc_or_empty()
            sentence = (said.text_or("detail") or said.text_or("message")).lower()
            if any(word in sentence for word in _FULL):
                return Fault(code=FaultCode.RATE_LIMITED, again=Again.SAFE)
        return fault_of_status(answer)

    def _request(self, handle: RemoteHandle, what: str) -> str:
        return self.url(f"/requests/{handle.ids['id']}/{what}")

    def _auth(self) -> Credential:
        key = f"{self.account.secret('key_id')}:{self.account.secret('key')}"
        return bearer(key, scheme="Key")
