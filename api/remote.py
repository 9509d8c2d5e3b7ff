"""Carries out what adapters of vendors' generators say, with the rules that are the same for all of them.

1. what the vendor's card does not allow is refused before anything is sent (:func:`likeness.backends.admit`)
2. each exchange goes to a checked public address, or to this machine where the operator named it; its secret is put in last,
   and only for the hosts that are the vendor's
3. an answer that says "later" is waited for, longer each time and never in step with others
4. an exchange that may make work is sent again only when it certainly did not arrive, or the vendor says that nothing came of
   it; when its answer was lost, the job is looked for, and if it cannot be found the outcome is unknown: never a second order
5. an output is copied out at once, bounded in size, and is what it says it is; without a credential, redirects are followed
   and checked like the first address
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar
from urllib.parse import urljoin, urlsplit

from api.outbound import AddressRefused, AnswerLost, NotSent, Resolver, exchange, system_resolver
from likeness.backends import Callbacks, Finding, admit
from likeness.errors import RemoteError
from likeness.remote import (
    Again,
    Answer,
    Blocked,
    Callback,
    Cancelled,
    Exchange,
    Expired,
    Failed,
    Fault,
    FaultCode,
    MediaKind,
    Output,
    RemoteBackend,
    RemoteHandle,
    RemoteJob,
    RemoteState,
    Steps,
    Succeeded,
    check_key,
)

log = logging.getLogger("mien.remote")

_T = TypeVar("_T")

MOST_OUTPUT_BYTES = 150_000_000  # 30 s of 1080p at 40 Mbit/s
_FETCH_S = 180.0
_MOST_REDIRECTS = 3
_MOST_SENDS = 6  # of one exchange; with the waits below about two minutes
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
_FINDS = 3  # looks for a job whose answer was lost; some vendors list a job seconds after they took it
_GROWS = 1.5  # from one look at a job to the next
_PASSING = frozenset({FaultCode.VENDOR_UNAVAILABLE, FaultCode.RATE_LIMITED})  # while a job is watched


class Carrier(Protocol):
    """Sends one exchange."""

    def carry(self, asked: Exchange, headers: dict[str, str], *, loopback: bool) -> Answer:
        """Raises: AddressRefused, NotSent, AnswerLost."""
        ...


@dataclass(frozen=True, slots=True)
class NetCarrier:
    """Over the network, as :mod:`api.outbound` allows."""

    resolve: Resolver = system_resolver

    def carry(self, asked: Exchange, headers: dict[str, str], *, loopback: bool) -> Answer:
        received = exchange(
            asked.method,
            asked.url,
            headers=headers,
            body=asked.body,
            at_most_bytes=asked.at_most_bytes,
            seconds=asked.seconds,
            loopback=loopback,
            resolve=self.resolve,
        )
        return Answer(status=received.status, headers=received.headers, body=received.body)


class OutcomeUnknown(Exception):
    """An exchange that may have made work got no clear answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRunner:
    """Runs adapters. ``loopback``: the operator's own backend is on this machine.

    now, sleep, chance : the clock, waiting, and a number from 0 to 1.
    """

    carrier: Carrier
    now: Callable[[], datetime]
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = field(default=random.random)
    loopback: bool = False

    def submit(self, backend: RemoteBackend, job: RemoteJob, *, key: str) -> RemoteHandle:
        """Order the job, once.

        Raises: RemoteError; ``submit_outcome_unknown`` when nobody can say whether the vendor has it.
        """
        check_key(key)
        admit(job, backend.card)  # 1
        try:
            return self._run(backend, backend.submit(job, key=key))
        except OutcomeUnknown:
            log.warning("%s: the answer to an order was lost", backend.card.name)
        except RemoteError as error:
            if error.code != FaultCode.ANSWER_UNREADABLE:
                raise
            log.warning("%s: the answer to an order was not understood", backend.card.name)  # it may have been a yes
        return self.found(backend, job, key=key)

    def found(self, backend: RemoteBackend, job: RemoteJob, *, key: str) -> RemoteHandle:
        """The job that an order made whose answer was lost; also after a crash in between. 4.

        Raises: RemoteError ``submit_outcome_unknown``.
        """
        looks = _FINDS if backend.card.finding is not Finding.NONE else 0
        for number in range(looks):
            try:
                handle = self._run(backend, backend.find(job, key=key))
            except (OutcomeUnknown, RemoteError):  # also "unknown", which is no proof: it may not be listed yet
                handle = None
            if handle is not None:
                return handle
            self.sleep(self._wait(number))
        raise RemoteError("nobody can say whether the vendor has the job", code=FaultCode.SUBMIT_OUTCOME_UNKNOWN)

    def look(self, backend: RemoteBackend, handle: RemoteHandle) -> RemoteState:
        """Where the job stands. A vendor that does not know it (any more) has forgotten it. Raises: RemoteError."""
        try:
            return self._run(backend, backend.look(handle))
        except RemoteError as error:
            if error.code in (FaultCode.JOB_UNKNOWN, FaultCode.JOB_EXPIRED):
                return Expired()
            raise

    def cancel(self, backend: RemoteBackend, handle: RemoteHandle) -> bool:
        """Whether the vendor says that it stops; an error is a no. Called also when nobody waits for the answer."""
        try:
            return self._run(backend, backend.cancel(handle))
        except (RemoteError, OutcomeUnknown) as error:
            log.info("%s: not cancelled (%s)", backend.card.name, getattr(error, "code", "unknown"))
            return False

    def forget(self, backend: RemoteBackend, handle: RemoteHandle) -> bool:
        """Whether what the vendor kept of a job is deleted, by its own word; false where it has no call for that.

        Raises: RemoteError; it may be asked again later.
        """
        if not backend.card.forgets:
            return False
        try:
            return self._run(backend, backend.forget(handle))
        except RemoteError as error:
            if error.code in (FaultCode.JOB_UNKNOWN, FaultCode.JOB_EXPIRED):  # nothing is there any more
                return True
            raise

    def hear(self, backend: RemoteBackend, callback: Callback) -> bool:
        """Whether a callback is by the vendor. Whatever it says is then read from the vendor, not from it.

        Raises: RemoteError ``callback_forged``.
        """
        if backend.card.callbacks is Callbacks.NONE:
            raise RemoteError("this vendor sends none", code=FaultCode.CALLBACK_FORGED)
        return self._run(backend, backend.hear(callback, now=self.now()))

    def fetch(self, backend: RemoteBackend, output: Output) -> bytes:
        """The bytes of an output. 5. Raises: RemoteError."""
        content = output.content
        if content is None:
            content = self._download(backend, backend.fetch(output))
        if not content or not _is_what_it_says(content, output.kind):
            raise RemoteError("the output is not what was promised", code=FaultCode.OUTPUT_UNUSABLE)
        return content

    def wait(
        self,
        backend: RemoteBackend,
        handle: RemoteHandle,
        *,
        told: Callable[[RemoteState], None] = lambda _: None,
        deadline_s: float | None = None,
    ) -> Succeeded:
        """Look until it has ended, with growing waits. ``told`` hears every state and may raise to stop the waiting.

        Raises: RemoteError of what it ended with; ``deadline``, after asking that it be cancelled.
        """
        card = backend.card
        longest = card.deadline_s if deadline_s is None else deadline_s
        waited, pause = 0.0, card.poll_s
        while True:
            try:
                state = self.look(backend, handle)
            except RemoteError as error:
                if error.code not in _PASSING:
                    raise
                log.info("%s: no look for now (%s)", backend.card.name, error.code)  # the job goes on meanwhile
            else:
                told(state)
                ended = result_of(state)
                if ended is not None:
                    return ended
            if waited >= longest:
                self.cancel(backend, handle)
                raise RemoteError(f"not done after {longest:.0f} s", code=FaultCode.DEADLINE)
            self.sleep(pause)
            waited += pause
            pause = self.next_pause(backend, pause)

    def next_pause(self, backend: RemoteBackend, pause: float) -> float:
        """Seconds until the look after the next."""
        return min(backend.card.slow_poll_s, pause * (_GROWS + 0.2 * self.chance()))

    def ask(self, backend: RemoteBackend, steps: Steps[_T]) -> _T:
        """Carry out steps that are no job, such as a vendor's own check of a person.

        Raises: RemoteError, OutcomeUnknown.
        """
        return self._run(backend, steps)

    # ---

    def _run(self, backend: RemoteBackend, steps: Steps[_T]) -> _T:
        try:
            asked = next(steps)
            while True:
                asked = steps.send(self._answered(backend, asked))
        except StopIteration as end:
            result: _T = end.value
            return result
        finally:
            steps.close()

    def _answered(self, backend: RemoteBackend, asked: Exchange) -> Answer:
        fault = Fault(code=FaultCode.VENDOR_UNAVAILABLE, again=Again.SAFE)
        for number in range(_MOST_SENDS):
            try:
                answer = self.carrier.carry(asked, self._headers(backend, asked), loopback=self.loopback)  # 2
            except NotSent:
                fault = Fault(code=FaultCode.VENDOR_UNAVAILABLE, again=Again.SAFE)
            except AnswerLost:
                fault = Fault(code=FaultCode.VENDOR_UNAVAILABLE, again=Again.UNSURE)
            except AddressRefused as refused:
                raise RemoteError(f"not an address that we send to: {refused.code}",
                                  code=FaultCode.OUTPUT_UNUSABLE) from None  # fmt: skip
            else:
                found = backend.fault(asked, answer)
                if found is None:
                    return answer
                fault = found
            if fault.again is Again.NO:
                raise fault.error()
            if fault.again is Again.UNSURE and asked.spends:  # 4
                raise OutcomeUnknown
            if number + 1 < _MOST_SENDS:
                self.sleep(max(self._wait(number), min(fault.after_s or 0.0, _LONGEST_WAIT_S)))  # 3
        raise fault.error()

    def _wait(self, number: int) -> float:
        """Seconds: twice as long each time, less up to a half."""
        longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0**number)
        return longest * (0.5 + 0.5 * self.chance())

    def _headers(self, backend: RemoteBackend, asked: Exchange) -> dict[str, str]:
        said = dict(asked.headers)
        if asked.auth is None:
            return said
        host = urlsplit(asked.url).netloc
        own = {urlsplit(address).netloc for address in (backend.account.host, *backend.account.options.values())}
        if host not in own and host not in backend.card.media_hosts:
            raise RemoteError("a credential would leave to another host", code=FaultCode.OUTPUT_UNUSABLE)
        return {**said, **asked.auth.headers(asked, now=self.now())}

    def _download(self, backend: RemoteBackend, first: Exchange) -> bytes:
        asked = first
        for _ in range(_MOST_REDIRECTS + 1):
            bounded = Exchange(
                method="GET",
                url=asked.url,
                headers=asked.headers,
                auth=asked.auth,
                seconds=_FETCH_S,
                at_most_bytes=MOST_OUTPUT_BYTES,
            )
            answer = self._fetched(backend, bounded)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer.body
            # the credential stays behind: where it goes is no longer the vendor's word alone
            asked = Exchange(method="GET", url=urljoin(asked.url, answer.headers.get("location", "")))
        raise RemoteError("the output's address leads on and on", code=FaultCode.OUTPUT_UNUSABLE)

    def _fetched(self, backend: RemoteBackend, asked: Exchange) -> Answer:
        for number in range(_MOST_SENDS):
            try:
                answer = self.carrier.carry(asked, self._headers(backend, asked), loopback=self.loopback)
            except AddressRefused as refused:
                raise RemoteError(f"not an address that we fetch from: {refused.code}",
                                  code=FaultCode.OUTPUT_UNUSABLE) from None  # fmt: skip
            except (NotSent, AnswerLost) as error:
                if error.code == "answer_too_large":
                    raise RemoteError("the output is too large", code=FaultCode.OUTPUT_UNUSABLE) from None
            else:
                if answer.status < 400:
                    return answer
                if answer.status in (403, 404, 410):
                    raise RemoteError("the output is gone", code=FaultCode.JOB_EXPIRED)
                if answer.status < 500 and answer.status != 429:
                    raise RemoteError("the output is not given out", code=FaultCode.OUTPUT_UNUSABLE)
            if number + 1 < _MOST_SENDS:
                self.sleep(self._wait(number))
        raise RemoteError("the output cannot be fetched", code=FaultCode.VENDOR_UNAVAILABLE)


def result_of(state: RemoteState) -> Succeeded | None:
    """What a job ended with; ``None`` while it has not.

    Raises: RemoteError.
    """
    match state:
        case Succeeded():
            return state
        case Failed(fault=fault) | Blocked(fault=fault):
            raise fault.error()
        case Cancelled():
            raise RemoteError("it was cancelled at the vendor's", code=FaultCode.JOB_CANCELLED)
        case Expired():
            raise RemoteError("the vendor has forgotten it", code=FaultCode.JOB_EXPIRED)
        case _:
            return None


def _is_what_it_says(content: bytes, kind: MediaKind) -> bool:
    """By the first bytes: mp4 or mov, webm; png, jpeg, webp. What is inside is for the decoder to judge."""
    if kind is MediaKind.VIDEO:
        return content[4:8] == b"ftyp" or content[:4] == b"\x1a\x45\xdf\xa3"
    if kind is MediaKind.PICTURE:
        return (
            content[:8] == b"\x89PNG\r\n\x1a\n"
            or content[:3] == b"\xff\xd8\xff"
            or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")
        )
    return False
