"""The rules that are the same for all vendors: what is sent again, what goes where, what is taken as an output."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from api.engines import open_remote
from api.outbound import AddressRefused, AnswerLost, NotSent
from api.remote import NetCarrier, RemoteRunner
from likeness.backends import cards
from likeness.errors import RemoteError
from likeness.remote import (
    Account,
    Answer,
    Exchange,
    FaultCode,
    MediaKind,
    Mode,
    Output,
    RemoteBackend,
    Succeeded,
)
from tests.api.receiver import receiver
from tests.backends.kit import CLIP, KEY, NOW, SECRET, Asked, Reply, Vendor, job_for, open_vendor

Does = Callable[[Exchange, dict[str, str]], Answer]


class Scripted:
    """A network that does as it is told; each step an answer, or an exception. The last one stays."""

    def __init__(self, *steps: Answer | Exception) -> None:
        self.steps, self.sent = list(steps), list[tuple[Exchange, dict[str, str]]]()

    def carry(self, asked: Exchange, headers: dict[str, str], *, loopback: bool) -> Answer:
        self.sent.append((asked, headers))
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return step


def luma() -> RemoteBackend:
    return open_remote("luma", Account(host="https://agents.lumalabs.ai/v1", secrets={"key": SECRET}))


def runner(network: Scripted) -> tuple[RemoteRunner, list[float]]:
    slept: list[float] = []
    return RemoteRunner(carrier=network, now=lambda: NOW, sleep=slept.append, chance=lambda: 0.0), slept


def order(network: Scripted) -> str:
    """Its outcome: ``ok`` or a code."""
    backend = luma()
    try:
        runner(network)[0].submit(backend, job_for(backend.card.models[0], Mode.TEXT_TO_VIDEO), key=KEY)
    except RemoteError as error:
        return str(error.code)
    return "ok"


OK = Answer(status=200, body=b'{"id": "1"}')


@pytest.mark.parametrize(
    ("steps", "outcome", "sends"),
    [
        ([OK], "ok", 1),
        ([NotSent("connection_failed"), OK], "ok", 2),
        ([NotSent("timeout"), Answer(status=429), OK], "ok", 3),
        ([NotSent("name_unknown")], FaultCode.VENDOR_UNAVAILABLE, 6),
        ([Answer(status=429)], FaultCode.RATE_LIMITED, 6),
        ([AnswerLost("timeout"), OK], FaultCode.SUBMIT_OUTCOME_UNKNOWN, 1),
        ([AnswerLost("answer_too_large"), OK], FaultCode.SUBMIT_OUTCOME_UNKNOWN, 1),
        ([Answer(status=500), OK], FaultCode.SUBMIT_OUTCOME_UNKNOWN, 1),
        ([Answer(status=504), OK], FaultCode.SUBMIT_OUTCOME_UNKNOWN, 1),
        ([Answer(status=408), OK], FaultCode.SUBMIT_OUTCOME_UNKNOWN, 1),
        ([Answer(status=302), OK], FaultCode.SUBMIT_OUTCOME_UNKNOWN, 1),
        ([Answer(status=200, body=b"[]"), OK], FaultCode.SUBMIT_OUTCOME_UNKNOWN, 1),
        ([Answer(status=200, body=b'{"id": null}'), OK], FaultCode.SUBMIT_OUTCOME_UNKNOWN, 1),
        ([NotSent("timeout"), AnswerLost("timeout"), OK], FaultCode.SUBMIT_OUTCOME_UNKNOWN, 2),
        ([Answer(status=400), OK], FaultCode.INPUT_INVALID, 1),
        ([AddressRefused("address_refused"), OK], FaultCode.OUTPUT_UNUSABLE, 1),
    ],
)
def test_an_order_is_sent_again_only_when_nothing_came_of_it(
    steps: list[Answer | Exception], outcome: str, sends: int
) -> None:
    network = Scripted(*steps)
    assert order(network) == outcome
    assert len(network.sent) == sends


def test_waits_grow_and_follow_what_the_vendor_says() -> None:
    backend = luma()
    network = Scripted(*[Answer(status=429)] * 3, Answer(status=429, headers={"retry-after": "20"}), OK)
    with_waits, slept = runner(network)
    with_waits.submit(backend, job_for(backend.card.models[0], Mode.TEXT_TO_VIDEO), key=KEY)
    assert slept == [0.5, 1.0, 2.0, 20.0]
    stubborn = Scripted(Answer(status=429, headers={"retry-after": "86400"}), OK)
    with_waits, slept = runner(stubborn)
    with_waits.submit(backend, job_for(backend.card.models[0], Mode.TEXT_TO_VIDEO), key=KEY)
    assert slept == [60.0], "nobody makes us wait for a day"


def test_a_job_that_takes_too_long_is_cancelled_and_said_to_be_that() -> None:
    backend = open_remote("replicate", Account(host=cards()["replicate"].host, secrets={"key": SECRET}))
    network = Scripted(Answer(status=200, body=b'{"id": "1", "status": "processing"}'))
    patient, slept = runner(network)
    handle = backend.handle(job_for(backend.card.models[0], Mode.TEXT_TO_VIDEO), KEY, id="1")
    with pytest.raises(RemoteError) as late:
        patient.wait(backend, handle, deadline_s=60)
    assert late.value.code == FaultCode.DEADLINE
    assert network.sent[-1][0].url.endswith("/predictions/1/cancel")
    assert slept == sorted(slept)
    assert max(slept) <= backend.card.slow_poll_s


def test_a_vendor_that_is_away_for_a_while_does_not_lose_the_job() -> None:
    backend = luma()
    away: list[Answer | Exception] = [NotSent("timeout")] * 20
    done = Answer(status=200, body=b'{"state": "completed", "output": [{"url": "https://files.example/c.mp4"}]}')
    network = Scripted(*away, Answer(status=429), done)
    handle = backend.handle(job_for(backend.card.models[0], Mode.TEXT_TO_VIDEO), KEY, id="1")
    assert runner(network)[0].wait(backend, handle).outputs


# --- what goes where -------------------------------------------------------------------------------------------------


def test_a_credential_goes_to_the_vendors_own_hosts_and_nowhere_else() -> None:
    backend = open_remote("omni", Account(host=cards()["omni"].host, secrets={"key": SECRET}))
    network = Scripted(Answer(status=200, body=CLIP))
    with_network, _ = runner(network)
    elsewhere = Output(kind=MediaKind.VIDEO, url="https://files.other.example/clip", guarded=True)
    with pytest.raises(RemoteError, match="another host"):
        with_network.fetch(backend, elsewhere)
    assert not network.sent
    own = Output(kind=MediaKind.VIDEO, url=f"{cards()['omni'].host}/v1beta/files/1:download", guarded=True)
    assert with_network.fetch(backend, own) == CLIP
    assert network.sent[-1][1]["x-goog-api-key"] == SECRET


def test_a_credential_stays_behind_when_an_output_leads_elsewhere() -> None:
    backend = open_remote("omni", Account(host=cards()["omni"].host, secrets={"key": SECRET}))
    leads = Answer(status=302, headers={"location": "https://files.other.example/clip"})
    network = Scripted(leads, Answer(status=200, body=CLIP))
    with_network, _ = runner(network)
    own = Output(kind=MediaKind.VIDEO, url=f"{cards()['omni'].host}/v1beta/files/1:download", guarded=True)
    assert with_network.fetch(backend, own) == CLIP
    (_, first), (second, headers) = network.sent
    assert "x-goog-api-key" in first
    assert (second.url, headers) == ("https://files.other.example/clip", {})


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([Answer(status=200, body=b"<html>")], FaultCode.OUTPUT_UNUSABLE),
        ([Answer(status=200, body=b"")], FaultCode.OUTPUT_UNUSABLE),
        ([Answer(status=403)], FaultCode.JOB_EXPIRED),
        ([Answer(status=404)], FaultCode.JOB_EXPIRED),
        ([Answer(status=401)], FaultCode.OUTPUT_UNUSABLE),
        ([Answer(status=503)], FaultCode.VENDOR_UNAVAILABLE),
        ([AnswerLost("answer_too_large")], FaultCode.OUTPUT_UNUSABLE),
        ([AddressRefused("address_refused")], FaultCode.OUTPUT_UNUSABLE),
        ([Answer(status=302, headers={"location": "/again"})], FaultCode.OUTPUT_UNUSABLE),
    ],
)
def test_what_is_no_output_is_not_taken_for_one(answers: list[Answer | Exception], code: str) -> None:
    network = Scripted(*answers)
    with pytest.raises(RemoteError) as refused:
        runner(network)[0].fetch(luma(), Output(kind=MediaKind.VIDEO, url="https://files.example/clip.mp4"))
    assert refused.value.code == code
    assert len(network.sent) <= 6


def test_an_output_that_stumbles_is_fetched_all_the_same() -> None:
    network = Scripted(NotSent("timeout"), AnswerLost("timeout"), Answer(status=503), Answer(status=200, body=CLIP))
    assert runner(network)[0].fetch(luma(), Output(kind=MediaKind.VIDEO, url="https://files.example/c.mp4")) == CLIP


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/x", "https://10.0.0.1/x", "http://files.example/x", "file:///etc/passwd"]
)
def test_an_output_is_not_fetched_from_inside(url: str) -> None:
    inside = RemoteRunner(carrier=NetCarrier(resolve=lambda *_: ["10.0.0.7"]), now=lambda: NOW, sleep=lambda _: None)
    with pytest.raises(RemoteError) as refused:
        inside.fetch(luma(), Output(kind=MediaKind.VIDEO, url=url))
    assert refused.value.code == FaultCode.OUTPUT_UNUSABLE


def test_done_with_nothing_is_not_a_success() -> None:
    with pytest.raises(RemoteError) as empty:
        Succeeded(outputs=())
    assert empty.value.code == FaultCode.OUTPUT_MISSING


# --- over the network ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "error"), [("flood", "answer_too_large"), ("drip", "timeout"), ("hang", "timeout")])
def test_no_answer_holds_us_or_fills_us(answer: str, error: str) -> None:
    with receiver() as there:
        there.answer = answer
        asked = Exchange(method="POST", url=there.url, body=b"{}", seconds=0.5, at_most_bytes=100_000)
        with pytest.raises(AnswerLost) as lost:
            NetCarrier().carry(asked, {}, loopback=True)
        assert lost.value.code == error


def test_what_never_went_out_is_told_from_what_was_lost() -> None:
    class Silent(Vendor):
        name = "silent"

        def spends(self, asked: Asked) -> bool:
            return True

        def answer(self, asked: Asked) -> Reply:
            self.take({}, [])
            return Reply(200)

    with open_vendor(Silent()) as vendor:
        gone = vendor.url
        vendor.lose_orders = 1
        with pytest.raises(AnswerLost):
            NetCarrier().carry(Exchange(method="POST", url=f"{gone}/x", body=b"{}"), {}, loopback=True)
        assert len(vendor.jobs) == 1
    with pytest.raises(NotSent):
        NetCarrier().carry(Exchange(method="POST", url=f"{gone}/x", body=b"{}"), {}, loopback=True)
