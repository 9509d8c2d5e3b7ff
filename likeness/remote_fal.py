"""fal.ai's queue: many makers' models behind one key, Pika's among them.

Inputs are free-form there, so each model's card names the field of each thing that we send, and nothing else is sent. The
addresses of the answer are used, not built: a job lives at another path than its model. ``COMPLETED`` is not success:
what was made, or the error, is at ``response_url``. Callbacks are signed (Ed25519); the keys are read from the card's host.
"""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote, urlsplit

from likeness.callbacks import check_fal
from likeness.credentials import bearer
from likeness.errors import RemoteError
from likeness.gateway_input import gateway_input, outputs_of
from likeness.remote import (
    Again,
    Answer,
    Callback,
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
    vendor_word,
)


class Backend(RemoteBackend):
    """Adapter ``fal``."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        model = self.model(job.model)
        query = "" if job.callback is None else f"?fal_webhook={quote(job.callback, safe='')}"
        answer = yield call(
            "POST",
            self.url(f"/{model.id}{query}"),
            auth=self._auth(),
            body=gateway_input(job, model),
            headers={"X-Fal-Object-Lifecycle-Preference": '{"expiration_duration_seconds": 3600}'},
            spends=True,
        )
        said = answer.doc()
        addresses = {name: said.text(f"{name}_url") for name in ("status", "response", "cancel")}
        own = urlsplit(self.account.host).netloc
        if any(urlsplit(address).netloc != own for address in addresses.values()):
            raise unreadable("an address of the job is not the vendor's")  # the key would go there
        return self.handle(job, key, id=said.text("request_id"), **addresses)

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        status = (yield call("GET", handle.ids["status"], auth=self._auth())).doc()
        match status.text("status"):
            case "IN_QUEUE":
                return Queued()
            case "IN_PROGRESS":
                return Running()
            case "COMPLETED":
                pass
            case "CANCELLED":
                return Cancelled()
            case _:
                raise unreadable("an unknown status")
        if status.has("error"):
            return ended_by(_of_type(status.text_or("error_type")))
        answer = yield call("GET", handle.ids["response"], auth=self._auth())
        if answer.status >= 400:
            return ended_by(_of_result(answer))
        return Succeeded(outputs=outputs_of(answer.doc()))

    def cancel(self, handle: RemoteHandle) -> Steps[bool]:
        answer = yield call("PUT", handle.ids["cancel"], auth=self._auth())
        return answer.status == 202

    def forget(self, handle: RemoteHandle) -> Steps[bool]:
        """Payloads and output files. A file of the output that could not be deleted is told in the answer."""
        platform = self.account.options["platform"].rstrip("/")
        answer = yield call("DELETE", f"{platform}/models/requests/{handle.ids['id']}/payloads", auth=self._auth())
        if any(each.has("exception") for each in answer.doc().docs("cdn_delete_results")):
            raise RemoteError("an output file was not deleted", code=FaultCode.VENDOR_FAILED)
        return True

    def hear(self, callback: Callback, *, now: datetime) -> Steps[bool]:
        keys = (yield Exchange(method="GET", url=self.account.options["keys"])).doc()
        check_fal(callback, keys, now=now)
        return True

    def fault(self, exchange: Exchange, answer: Answer) -> Fault | None:
        if exchange.method == "GET" and answer.status in (400, 422) and exchange.auth is not None:
            return None  # the result of a job that failed: for look to read
        if exchange.method == "PUT" and answer.status == 400:
            return None  # completed already
        plain = fault_of_status(answer, vendor_code=answer.headers.get("x-fal-error-type", ""))
        if plain is None or answer.status not in (400, 422):
            return plain
        return _of_result(answer)

    def _auth(self) -> Credential:
        return bearer(self.account.secret("key"), scheme="Key")


def _of_result(answer: Answer) -> Fault:
    """``detail`` is a list of what is wrong, or a sentence."""
    said = answer.doc_or_empty()
    try:
        kinds = [each.text_or("type") for each in said.docs("detail")]
    except RemoteError:
        kinds = []
    if "content_policy_violation" in kinds:
        return _of_type("content_policy_violation")
    return _of_type(kinds[0] if kinds else answer.headers.get("x-fal-error-type", ""), invalid=answer.status == 422)


def _of_type(kind: str, *, invalid: bool = False) -> Fault:
    word = vendor_word(kind)
    if kind == "content_policy_violation":
        return Fault(code=FaultCode.INPUT_REFUSED, vendor_code=word)
    if kind in ("request_timeout", "startup_timeout", "runner_scheduling_failure", "runner_connection_timeout"):
        return Fault(code=FaultCode.VENDOR_FAILED, again=Again.NO, vendor_code=word)
    return Fault(code=FaultCode.INPUT_INVALID if invalid else FaultCode.VENDOR_FAILED, vendor_code=word)
