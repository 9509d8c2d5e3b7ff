"""What every adapter must do, on every model and mode of its card. A new one adds its stub to ``STUBS``.

Each runs against a stub of its vendor over HTTP on this machine: documented states, errors and quirks, and what happens to
messages on their way. Nobody waits here: sleeping is counted.
"""

from __future__ import annotations

import importlib
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from api.engines import open_remote
from api.remote import NetCarrier, RemoteRunner
from likeness.backends import Callbacks, Finding, cards
from likeness.errors import RemoteError
from likeness.remote import (
    Account,
    Callback,
    Cancelled,
    Expired,
    FaultCode,
    Mode,
    Queued,
    RemoteBackend,
    RemoteHandle,
    RemoteJob,
    RemoteState,
    Running,
    Succeeded,
)
from tests.backends.kit import CLIP, KEY, NOW, PICTURE, SECRET, Reply, Vendor, job_for, open_vendor

STUBS = (
    "seedance", "jimeng", "kling", "kling_legacy", "vidu", "veo", "omni", "runway", "luma", "luma_legacy", "pixverse",
    "higgsfield", "tencent", "tencent_vod", "wan", "fal", "replicate", "comfyui",
)  # fmt: skip
NEVER_SENT = ("sora", "midjourney", "pika")
IN_PROCESS = ("diffusers", "liveportrait")  # on this machine: see tests/likeness/test_in_process.py

EVERY_MODE = [
    pytest.param(name, model.name, mode, id=f"{name}-{model.name}-{mode.value}")
    for name in STUBS
    for model in cards()[name].models
    if not model.chains  # several jobs of other models: see test_chain.py
    for mode in sorted(model.modes)
]


def stub_class(name: str) -> type[Vendor]:
    found = importlib.import_module(f"tests.backends.stub_{name}").Stub
    assert issubclass(found, Vendor)
    return found


EVERY_ERROR = [
    pytest.param(name, number, id=f"{name}-{trouble.name}")
    for name in STUBS
    for number, trouble in enumerate(stub_class(name).errors)
]
EVERY_ENDING = [
    pytest.param(name, number, id=f"{name}-{ending[0]}")
    for name in STUBS
    for number, ending in enumerate(stub_class(name).endings)
]


class Bench:
    """A vendor, its adapter, and a runner whose sleeps are counted."""

    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor
        self.backend: RemoteBackend = open_remote(vendor.name, vendor.account)
        self.slept: list[float] = []
        self.runner = RemoteRunner(
            carrier=NetCarrier(), now=lambda: NOW, sleep=self.slept.append, chance=lambda: 0.5, loopback=True
        )

    def job(self, **more: object) -> RemoteJob:
        model = self.backend.card.models[0]
        return job_for(model, sorted(model.modes)[0], **more)

    def every_job(self) -> Iterator[RemoteJob]:
        """One of every model and mode of the card."""
        for model in self.backend.card.models:
            if not model.chains:
                yield from (job_for(model, mode) for mode in sorted(model.modes))

    def forget(self) -> None:
        """As if nothing had been ordered."""
        self.vendor.forget()
        self.slept.clear()

    def submit(self, job: RemoteJob | None = None) -> RemoteHandle:
        handle = self.runner.submit(self.backend, job or self.job(), key=KEY)
        return RemoteHandle.from_json(json.loads(json.dumps(handle.to_json())))  # as another process gets it

    def refused(self, job: RemoteJob | None = None) -> str:
        with pytest.raises(RemoteError) as refused:
            self.submit(job)
        return str(refused.value.code)

    def wait(self, handle: RemoteHandle) -> tuple[list[RemoteState], Succeeded]:
        seen: list[RemoteState] = []
        return seen, self.runner.wait(self.backend, handle, told=seen.append)


@pytest.fixture(params=STUBS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with open_vendor(stub_class(request.param)()) as vendor:
        yield Bench(vendor)


@pytest.fixture
def name() -> str:
    raise AssertionError("a test that names its backend says so in its parameters")


@pytest.fixture
def bench_of(name: str) -> Iterator[Bench]:
    with open_vendor(stub_class(name)()) as vendor:
        yield Bench(vendor)


@pytest.mark.parametrize(("name", "model", "mode"), EVERY_MODE)
def test_a_job_is_ordered_once_watched_and_fetched(bench_of: Bench, model: str, mode: Mode) -> None:
    bench = bench_of
    job = job_for(bench.backend.model(model), mode)
    handle = bench.submit(job)
    seen, done = bench.wait(handle)
    kinds = [type(state) for state in seen]
    assert kinds == sorted(kinds, key=[Queued, Running, Succeeded].index)
    assert Running in kinds
    assert bench.runner.fetch(bench.backend, done.outputs[0]) == (PICTURE if mode is Mode.IMAGE else CLIP)
    assert len(bench.vendor.orders()) == 1
    (taken,) = bench.vendor.jobs.values()
    assert taken.media == [each.sha256 for each in job.media], "the vendor has the bytes that were checked, in order"
    if bench.backend.model(model).sound.value == "choice":
        assert taken.sound is job.sound, "silence is asked for, not hoped for"


@pytest.mark.parametrize(("name", "number"), EVERY_ERROR)
def test_every_documented_error_of_an_order_has_a_code(bench_of: Bench, number: int) -> None:
    bench = bench_of
    trouble = bench.vendor.errors[number]
    for job in bench.every_job():
        bench.forget()
        if trouble.again:
            bench.vendor.instead = [trouble.reply, trouble.reply]
            bench.submit(job)
            assert len(bench.vendor.orders()) == 3
            assert len(bench.vendor.jobs) == 1
            assert len(bench.slept) == 2
            assert 0 < bench.slept[0] < bench.slept[1] or bench.slept[0] >= 2
            bench.vendor.instead = [trouble.reply] * 100
            assert bench.refused(job) == trouble.code
            continue
        unclear = trouble.code is FaultCode.SUBMIT_OUTCOME_UNKNOWN
        bench.vendor.instead = [trouble.reply] * (10 if bench.backend.card.finding is Finding.REPEAT else 1)
        assert bench.refused(job) == trouble.code
        assert len(bench.vendor.orders()) == 1, "a refusal is not argued with, and who may have it is not asked again"
        assert bool(bench.slept) is (unclear and bench.backend.card.finding is not Finding.NONE)


@pytest.mark.parametrize(("name", "number"), EVERY_ENDING)
def test_every_documented_end_of_a_job_has_a_code(bench_of: Bench, number: int) -> None:
    bench = bench_of
    _, bench.vendor.ending, code = bench.vendor.endings[number]
    for job in bench.every_job():
        bench.forget()
        handle = bench.submit(job)
        with pytest.raises(RemoteError) as ended:
            bench.wait(handle)
        assert ended.value.code == code
        assert len(bench.vendor.orders()) == 1, "a job that failed is not ordered again"


@pytest.mark.parametrize(("name", "model", "mode"), EVERY_MODE)
def test_a_lost_answer_never_makes_two_jobs(bench_of: Bench, model: str, mode: Mode) -> None:
    bench = bench_of
    job = job_for(bench.backend.model(model), mode)
    bench.vendor.lose_orders = 1
    if bench.backend.card.finding is Finding.NONE:
        assert bench.refused(job) == FaultCode.SUBMIT_OUTCOME_UNKNOWN
        assert len(bench.vendor.orders()) == 1
    else:
        _, done = bench.wait(bench.submit(job))
        assert bench.runner.fetch(bench.backend, done.outputs[0]) == CLIP
    assert len(bench.vendor.jobs) == 1


def test_an_answer_that_says_nothing_clear_never_makes_two_jobs(bench: Bench) -> None:
    """A gateway's 502, or a page where JSON was wanted: the vendor behind it may have the order."""
    for reply in (Reply(502, b"<html>"), Reply(200, b"<html>")):
        bench.vendor.log.clear()
        bench.vendor.instead = [reply] * 10
        assert bench.refused() == FaultCode.SUBMIT_OUTCOME_UNKNOWN
        if bench.backend.card.finding is not Finding.REPEAT:
            assert len(bench.vendor.orders()) == 1


def test_a_vendor_that_stumbles_while_it_is_watched_is_asked_again(bench: Bench) -> None:
    handle = bench.submit()
    stumbles = [Reply(503), Reply(502, b"<html>")]
    answer = bench.vendor.answer
    bench.vendor.answer = lambda asked: stumbles.pop() if stumbles else answer(asked)  # type: ignore[method-assign]
    _, done = bench.wait(handle)
    assert done.outputs
    assert not stumbles


@pytest.mark.parametrize(("name", "model", "mode"), EVERY_MODE)
def test_a_job_is_cancelled_where_the_vendor_can(bench_of: Bench, model: str, mode: Mode) -> None:
    bench = bench_of
    handle = bench.submit(job_for(bench.backend.model(model), mode))
    assert bench.runner.cancel(bench.backend, handle) is bench.backend.card.cancels
    state = bench.runner.look(bench.backend, handle)
    assert isinstance(state, Cancelled | Expired) is bench.backend.card.cancels
    assert bench.runner.cancel(bench.backend, replace(handle, ids={k: v + "0" for k, v in handle.ids.items()})) in (
        True,
        False,
    )


def test_what_a_vendor_keeps_of_a_job_is_deleted_where_it_has_a_call_for_that(bench: Bench) -> None:
    handle = bench.submit()
    bench.wait(handle)
    asked = len(bench.vendor.log)
    assert bench.runner.forget(bench.backend, handle) is bench.backend.card.forgets
    if not bench.backend.card.forgets:
        assert len(bench.vendor.log) == asked, "nothing is sent"
        return
    assert isinstance(bench.runner.look(bench.backend, handle), Expired)
    assert bench.runner.forget(bench.backend, handle), "and again: it is not there"
    assert len(bench.vendor.orders()) == 1


def test_the_running_job_of_a_vendor_that_does_not_delete_those_is_deleted_later(seedance: Bench) -> None:
    handle = seedance.submit()
    for _ in range(2):
        seedance.runner.look(seedance.backend, handle)
    with pytest.raises(RemoteError):
        seedance.runner.forget(seedance.backend, handle)
    seedance.wait(handle)
    assert seedance.runner.forget(seedance.backend, handle)


@pytest.fixture
def seedance() -> Iterator[Bench]:
    with open_vendor(stub_class("seedance")()) as vendor:
        yield Bench(vendor)


def test_a_job_that_the_vendor_does_not_know_has_expired(bench: Bench) -> None:
    handle = bench.submit()
    bench.vendor.jobs.clear()
    assert isinstance(bench.runner.look(bench.backend, handle), Expired)


@pytest.mark.parametrize("bench", [name for name in STUBS if cards()[name].secrets], indirect=True)
def test_a_wrong_key_is_said_at_once(bench: Bench) -> None:
    account = bench.vendor.account
    wrong = Account(host=account.host, secrets=dict.fromkeys(account.secrets, "wrong"), options=account.options)
    bench.backend = open_remote(bench.vendor.name, wrong)
    assert bench.refused() == FaultCode.CREDENTIALS_REFUSED
    assert not bench.vendor.jobs
    bench.backend = open_remote(bench.vendor.name, Account(host=account.host, options=account.options))
    before = len(bench.vendor.log)
    assert bench.refused() == FaultCode.CREDENTIALS_MISSING
    assert len(bench.vendor.log) == before


def test_no_secret_and_no_prompt_is_in_what_may_be_written_down(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    job = bench.job()
    bench.vendor.instead = [bench.vendor.errors[0].reply]
    with pytest.raises(RemoteError) as lost:
        bench.submit(job)
    handle = bench.submit(job)
    steps = bench.backend.submit(job, key=KEY)
    shown = [repr(bench.backend), repr(bench.backend.account), repr(job), repr(handle), repr(lost.value), caplog.text]
    shown += [repr(next(steps))]
    steps.close()
    for text in shown:
        assert SECRET not in text
        assert "red square" not in text


# --- callbacks -------------------------------------------------------------------------------------------------------


def changed(callback: Callback, **headers: str) -> Callback:
    return replace(callback, headers={**callback.headers, **headers})


@pytest.mark.parametrize(("name", "model", "mode"), EVERY_MODE)
def test_a_callback_proves_itself_or_is_a_hint_and_only_leads_to_a_look(
    bench_of: Bench, model: str, mode: Mode
) -> None:
    bench = bench_of
    early: list[Callback] = []
    bench.vendor.before_answer = lambda job: early.append(bench.vendor.callback(job))
    handle = bench.submit(job_for(bench.backend.model(model), mode, callback="https://mien.example/hook"))
    kind = bench.backend.card.callbacks
    if kind is Callbacks.NONE:
        with pytest.raises(RemoteError, match="sends none"):
            bench.runner.hear(bench.backend, early[0])
        return
    # one that came before the order was answered, again, and once more when all is over
    for _ in range(2):
        assert bench.runner.hear(bench.backend, early[0]) is (kind is Callbacks.SIGNED)
    bench.wait(handle)
    late = bench.vendor.callback(next(iter(bench.vendor.jobs.values())))
    assert bench.runner.hear(bench.backend, late) is (kind is Callbacks.SIGNED)
    if bench.backend.card.told_by == "account":
        assert bench.backend.named(late) == handle.ids["id"]
    assert isinstance(bench.runner.look(bench.backend, handle), Succeeded)
    assert len(bench.vendor.orders()) == 1


@pytest.mark.parametrize(
    "bench", [name for name in STUBS if cards()[name].callbacks is Callbacks.SIGNED], indirect=True
)
def test_a_forged_callback_is_refused(bench: Bench) -> None:
    bench.submit()
    (job,) = bench.vendor.jobs.values()
    true = bench.vendor.callback(job)
    runner = bench.runner
    late = replace(runner, now=lambda: NOW.replace(hour=13))
    forged = [
        (runner, replace(true, headers={})),
        (late, true),
        *((runner, changed(true, **{name: "AAAA"})) for name in true.headers if "signature" in name),
        *((runner, changed(true, **{name: value[:-2] + "00"})) for name, value in true.headers.items() if "id" in name),
        *((runner, replace(true, headers={k: v for k, v in true.headers.items() if k != name})) for name in true.headers
          if name != "content-type"),
    ]  # fmt: skip
    if bench.vendor.signs_body:
        forged.append(
            (runner, replace(true, body=true.body.replace(b"O", b"0").replace(b'"status": 1', b'"status": 7') + b" "))
        )
    for with_runner, callback in forged:
        with pytest.raises(RemoteError) as refused:
            with_runner.hear(bench.backend, callback)
        assert refused.value.code == FaultCode.CALLBACK_FORGED


# --- vendors to whom nothing is sent ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NEVER_SENT)
def test_a_vendor_that_is_gone_or_has_no_interface_is_refused_with_the_reason(name: str) -> None:
    class NoCarrier:
        def carry(self, *_: object, **__: object) -> object:
            raise AssertionError("something was sent")

    backend = open_remote(name, Account(host=""))
    runner = RemoteRunner(carrier=NoCarrier(), now=lambda: NOW)  # type: ignore[arg-type]
    job = RemoteJob(model="any", mode=Mode.TEXT_TO_VIDEO, prompt="A red square.", seconds=5)
    with pytest.raises(RemoteError) as refused:
        runner.submit(backend, job, key=KEY)
    assert refused.value.code in (FaultCode.BACKEND_RETIRED, FaultCode.BACKEND_WITHOUT_API)
    assert backend.card.why in str(refused.value)


def test_every_code_that_a_card_declares_has_a_case() -> None:
    """Whoever reads a vendor's documents writes its codes on the card; then the stub says each, or this fails."""
    for name in STUBS:
        stub, card = stub_class(name), cards()[name]
        assert card.errors, name
        said = [f"{each.reply.status} {dict(each.reply.headers)} {each.reply.body!r}" for each in stub.errors]
        said += [repr(ending) for _, ending, _ in stub.endings]
        said += [each.reply.body.decode() for each in stub.errors]
        for code in card.errors:
            assert any(re.search(rf"(?<![A-Za-z0-9.]){re.escape(code)}", text) for text in said), (name, code)


def test_every_mode_that_a_card_declares_has_a_case() -> None:
    tried = {(param.values[0], param.values[1], param.values[2]) for param in EVERY_MODE}
    for name, card in cards().items():
        for model in card.models:
            for mode in model.modes:
                planned = model.chains and {"shots"} <= set(model.extra)
                assert planned or name in IN_PROCESS or (name, model.name, mode) in tried


def test_every_live_card_is_in_the_matrix() -> None:
    live = {name for name, card in cards().items() if card.standing.value == "live"}
    assert live == set(STUBS)
    assert set(cards()) == {*STUBS, *NEVER_SENT, *IN_PROCESS}
