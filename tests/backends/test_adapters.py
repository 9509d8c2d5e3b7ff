"""What is particular to one vendor, and what no card lets through."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

from api.engines import open_remote
from api.remote import NetCarrier, RemoteRunner
from likeness import ark_people
from likeness.backends import BackendCard, CardInvalid, admit, cards, read_cards
from likeness.callbacks import check_standard_webhook
from likeness.credentials import KlingToken, TencentSignature, TracedKey, VolcengineSignature, bearer
from likeness.errors import RemoteError
from likeness.remote import (
    Account,
    Answer,
    Callback,
    Exchange,
    FaultCode,
    Media,
    MediaKind,
    Mode,
    RemoteBackend,
    RemoteJob,
    Role,
    Steps,
)
from tests.backends.kit import ADDRESS, KEY, NOW, SECRET, job_for, medium, open_vendor
from tests.backends.stub_fal import Stub as Fal
from tests.backends.stub_seedance import Stub as Seedance

_T = TypeVar("_T")


def job(**more: Any) -> RemoteJob:
    fields: dict[str, Any] = {
        "model": "seedance-2.0",
        "mode": Mode.REFERENCE,
        "prompt": "Image 1 walks.",
        "seconds": 5,
        "media": (medium(Role.REFERENCE, MediaKind.PICTURE, person=False),),
    }
    return RemoteJob(**fields | more)


def refusal(card: BackendCard, wanted: RemoteJob) -> str:
    with pytest.raises(RemoteError) as refused:
        admit(wanted, card)
    return str(refused.value.code)


def first_exchange(name: str, wanted: RemoteJob, account: Account | None = None) -> Exchange:
    secrets = dict.fromkeys(cards()[name].secrets, SECRET)
    host = cards()[name].host
    backend = open_remote(name, account or Account(host=host, secrets=secrets, options=cards()[name].options))
    steps = backend.submit(wanted, key=KEY)
    try:
        return next(steps)
    finally:
        steps.close()


# --- what no card lets through ---------------------------------------------------------------------------------------


def test_what_is_outside_of_the_card_is_refused_before_anything_is_sent() -> None:
    card = cards()["seedance"]
    picture, video = MediaKind.PICTURE, MediaKind.VIDEO
    admit(job(), card)
    references = tuple(medium(Role.REFERENCE, picture, n, person=False) for n in range(10))
    for more, code in (
        ({"model": "seedance-9"}, FaultCode.MODE_UNSUPPORTED),
        ({"mode": Mode.EDIT}, FaultCode.MODE_UNSUPPORTED),
        ({"seconds": 3}, FaultCode.INPUT_INVALID),
        ({"seconds": 16}, FaultCode.INPUT_INVALID),
        ({"ratio": "2:1"}, FaultCode.INPUT_INVALID),
        ({"resolution": "8k"}, FaultCode.INPUT_INVALID),
        ({"seed": -1}, FaultCode.INPUT_INVALID),
        ({"prompt": "x" * 2001}, FaultCode.INPUT_INVALID),
        ({"media": ()}, FaultCode.INPUT_INVALID),
        ({"media": references}, FaultCode.INPUT_INVALID),
        ({"media": (medium(Role.FIRST_FRAME, picture, person=False),)}, FaultCode.INPUT_INVALID),
        ({"media": (*job().media, medium(Role.SOURCE, video, person=False))}, FaultCode.INPUT_INVALID),
        ({"mode": Mode.FIRST_LAST_FRAME, "media": (medium(Role.LAST_FRAME, picture, person=False),)},
         FaultCode.INPUT_INVALID),
        ({"mode": Mode.TEXT_TO_VIDEO, "media": (), "prompt": " "}, FaultCode.INPUT_INVALID),
        ({"prompt": "the man of Asset://asset-1"}, FaultCode.HIDDEN_FACE),
        ({"prompt": "<<<element_1>>> walks"}, FaultCode.HIDDEN_FACE),
        ({"prompt": "@somebody walks"}, FaultCode.HIDDEN_FACE),
        ({"prompt": "like ht\u200btps://cdn.example/x"}, FaultCode.HIDDEN_FACE),
        ({"prompt": "<lora:somebody:1> walks"}, FaultCode.HIDDEN_FACE),
        ({"media": (medium(Role.REFERENCE, picture),)}, FaultCode.PERSON_UNVERIFIED),
    ):  # fmt: skip
        assert refusal(card, job(**more)) == code, more
    admit(job(media=(medium(Role.REFERENCE, picture, asset="asset-1"),)), card)


def test_bytes_that_are_not_those_that_were_checked_do_not_become_media() -> None:
    good = medium(Role.REFERENCE, MediaKind.PICTURE)
    with pytest.raises(RemoteError, match="not those that were checked"):
        replace(good, content=good.content + b"!")
    assert "PNG" not in repr(good)


def test_a_file_of_cards_with_anything_unknown_in_it_is_refused() -> None:
    plain = '[backend.x]\ntitle="X"\nadapter="x"\nhosts={a="https://x.example"}\n'
    model = '[[backend.x.model]]\nname="m"\nid="m"\nmodes=["first_frame"]\nseconds="5"\n'
    assert read_cards(plain + model)["x"].model("m").seconds == (5,)
    for wrong in (
        "[", "[other]\n", plain, plain + 'colour="red"\n' + model, plain + 'standing="maybe"\n' + model,
        plain + model + 'real_people="sometimes"\n', plain + model + 'modes2=["x"]\n', plain + model + model,
        plain + model.replace("first_frame", "any_frame"), plain + model.replace('"5"', '"five"'),
    ):  # fmt: skip
        with pytest.raises(CardInvalid):
            read_cards(wrong)


def test_every_card_says_where_and_when_and_sends_only_over_https() -> None:
    for name, card in cards().items():
        assert card.checked, name
        for host in card.hosts.values():
            assert host.startswith("https://") or name == "comfyui"
        for model in card.models:
            for mode in model.modes:
                job_for(model, mode)  # something that the model makes


# --- what is particular ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", ["a beach --rs 1080p", "--dur 30 a beach", "a beach -dur 30", "x --seed 1"])
def test_a_prompt_with_flags_that_override_checked_fields_is_refused(prompt: str) -> None:
    wanted = job(model="seedance-1.0-pro", mode=Mode.TEXT_TO_VIDEO, media=(), prompt=prompt)
    with pytest.raises(RemoteError, match="flag"):
        first_exchange("seedance", wanted)
    first_exchange("seedance", replace(wanted, prompt="a well-known beach - at dawn -"))


def test_a_graph_that_is_not_the_cards_own_is_not_sent() -> None:
    """Whoever changes a card must say which nodes may be in it: others read files or call paid clouds."""
    card = cards()["comfyui"]
    model = card.models[0]
    backend = open_remote("comfyui", Account(host="http://127.0.0.1:1"))
    fewer = replace(model, extra={**model.extra, "nodes": ["LoadImage"]})
    backend.card = replace(card, models=(fewer,))
    steps = backend.submit(job_for(model, Mode.FIRST_LAST_FRAME), key=KEY)
    next(steps)
    upload = Answer(status=200, body=b'{"name": "a.png"}')
    steps.send(upload)
    with pytest.raises(RemoteError) as refused:
        steps.send(upload)
    assert refused.value.code == FaultCode.HIDDEN_FACE


def test_an_answer_that_sends_the_key_elsewhere_is_not_followed() -> None:
    with open_vendor(Fal()) as vendor:
        backend = open_remote("fal", vendor.account)
        elsewhere = dict.fromkeys(("status_url", "response_url", "cancel_url"), "https://other.example/x")
        vendor.answer = lambda asked: _said({"request_id": "r"} | elsewhere)  # type: ignore[method-assign]
        with pytest.raises(RemoteError) as refused:
            runner().submit(backend, job_for(backend.model("seedance-2.5-text"), Mode.TEXT_TO_VIDEO), key=KEY)
        assert refused.value.code == FaultCode.SUBMIT_OUTCOME_UNKNOWN, "it may have been taken"
        assert len(vendor.log) == 1


def _said(value: object) -> Any:
    from tests.backends.kit import said

    return said(value)


def runner() -> RemoteRunner:
    return RemoteRunner(carrier=NetCarrier(), now=lambda: NOW, sleep=lambda _: None, chance=lambda: 0.5, loopback=True)


def test_a_gateway_gets_no_field_that_is_not_on_the_card() -> None:
    model = cards()["fal"].model("pika-2.2-image")
    sent = json.loads(first_exchange("fal", job_for(model, Mode.FIRST_FRAME)).body)
    fields = model.extra["fields"]
    assert isinstance(fields, dict)
    assert set(sent) <= set(fields.values())
    with pytest.raises(RemoteError) as refused:
        first_exchange(
            "fal", replace(job_for(model, Mode.FIRST_FRAME), media=(medium(Role.LAST_FRAME, MediaKind.PICTURE),))
        )
    assert refused.value.code == FaultCode.MODE_UNSUPPORTED


# --- real people at Ark ----------------------------------------------------------------------------------------------


@pytest.fixture
def ark() -> Iterator[Seedance]:
    with open_vendor(Seedance()) as vendor:
        assert isinstance(vendor, Seedance)
        yield vendor


class ArkPeople(RemoteBackend):
    """The control plane, as the runner takes it."""

    fault = staticmethod(ark_people.fault)  # type: ignore[assignment]


def done(vendor: Seedance, steps: Steps[_T]) -> _T:
    backend = ArkPeople(cards()["seedance"], vendor.account)
    return runner()._run(backend, steps)


def test_a_person_verified_at_the_vendor_is_shown_by_the_name_of_an_asset(ark: Seedance) -> None:
    account = ark.account
    invitation = done(ark, ark_people.begin(account, back_to="https://mien.example/back"))
    assert invitation.token not in repr(invitation)
    with pytest.raises(RemoteError) as unverified:
        done(ark, ark_people.finish(account, token=invitation.token))
    assert unverified.value.code == FaultCode.PERSON_UNVERIFIED

    ark.person_passed(invitation.token)
    group = done(ark, ark_people.finish(account, token=invitation.token))
    portrait = medium(Role.REFERENCE, MediaKind.PICTURE)
    address = f"{ADDRESS}{portrait.sha256}.png"
    asset = done(ark, ark_people.keep(account, group=group, address=address, name=portrait.sha256))
    assert done(ark, ark_people.standing_of(account, asset=asset)) is ark_people.AssetState.ACTIVE

    backend = open_remote("seedance", account)
    wanted = job(media=(replace(portrait, asset=asset),))
    handle = runner().submit(backend, wanted, key=KEY)
    (order,) = ark.orders()
    assert f"asset://{asset}".encode() in order.body
    assert portrait.base64.encode() not in order.body, "the bytes are there already"
    assert runner().wait(backend, handle).outputs

    done(ark, ark_people.forget(account, asset=asset))
    assert done(ark, ark_people.standing_of(account, asset=asset)) is ark_people.AssetState.FAILED
    done(ark, ark_people.forget_person(account, group=group))


def test_nobody_is_added_to_a_group_that_is_not_theirs(ark: Seedance) -> None:
    with pytest.raises(RemoteError):
        done(ark, ark_people.keep(ark.account, group="group-other", address="https://mien.example/x", name="x"))
    wrong = replace(ark.account, secrets=ark.account.secrets | {"secret_key": "wrong"})
    with pytest.raises(RemoteError) as refused:
        done(ark, ark_people.begin(wrong, back_to="https://mien.example/back"))
    assert refused.value.code == FaultCode.CREDENTIALS_REFUSED
    assert ark_people.passed("10000")
    assert not ark_people.passed("10001")


# --- signatures ------------------------------------------------------------------------------------------------------


def test_the_vector_of_klings_callbacks_holds() -> None:
    """From the vendor's document."""
    body = (
        b'{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}'
    )
    callback = Callback(
        method="POST",
        path="/",
        headers={
            "webhook-id": "9876543210",
            "webhook-timestamp": "1781080794",
            "webhook-signature": "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4=",
        },
        body=body,
    )
    secret = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
    at = datetime.fromtimestamp(1781080794, UTC)
    check_standard_webhook(callback, secret, now=at)
    for seconds, holds in ((300, True), (301, False), (-300, True), (-301, False)):
        now = datetime.fromtimestamp(1781080794 + seconds, UTC)
        if holds:
            check_standard_webhook(callback, secret, now=now)
        else:
            with pytest.raises(RemoteError):
                check_standard_webhook(callback, secret, now=now)


def test_no_credential_shows_its_secret() -> None:
    exchange = Exchange(method="POST", url="https://x.example/?Action=A&Version=1", body=b"{}")
    for credential in (
        bearer(SECRET),
        TracedKey(SECRET),
        KlingToken(access_key="AK", secret_key=SECRET),
        TencentSignature(secret_id="ID", secret_key=SECRET, service="vclm"),
        VolcengineSignature(access_key="AK", secret_key=SECRET, region="cn-north-1", service="cv"),
    ):
        assert SECRET not in repr(credential)
        said = credential.headers(exchange, now=NOW)
        later = credential.headers(exchange, now=NOW.replace(minute=9))
        if not isinstance(credential, type(bearer(""))):
            assert said != later, "a request that is sent again is signed again"


def test_a_medium_knows_its_bytes() -> None:
    content = b"\x89PNG\r\n\x1a\nx"
    made = Media(
        role=Role.REFERENCE, kind=MediaKind.PICTURE, media_type="image/png", content=content,
        sha256=hashlib.sha256(content).hexdigest(), consents=(),
    )  # fmt: skip
    assert made.data_uri == f"data:image/png;base64,{made.base64}"
