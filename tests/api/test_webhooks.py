"""Webhooks: signed as the standard says, tried again as it says, and only ever told what the listener may know."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import text

from api.auth import Role
from api.settings import Settings
from api.webhook_signing import OVERLAP, Secrets, rotated, secrets_from_bytes, secrets_to_bytes, signed_headers
from api.webhooks import TRIES, Event, deliver
from tests.api.conftest import World, png
from tests.api.receiver import Received, Receiver, receiver
from tests.api.scripted import ALICE
from tests.api.test_consents import revoke
from tests.api.test_liveness_sessions import code

EVERY = [event.value for event in Event]
NOW = datetime(2027, 1, 1, tzinfo=UTC)

# --- signatures ------------------------------------------------------------------------------------------------------

# from the tests of the standard's own libraries
SPEC_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SPEC_ID, SPEC_BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'
SPEC_AT = datetime.fromtimestamp(1614265330, UTC)
SPEC_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

# RFC 8032, section 7.1, test 1: seed and public key
RFC8032_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC8032_PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def holds(message: Received, secret: str, public_key: str) -> tuple[bool, bool]:
    """As a receiver checks it: whether one of the ``v1``, and one of the ``v1a`` signatures holds."""
    given = [part.split(",", 1) for part in message.headers["webhook-signature"].split(" ")]
    content = b".".join(
        [message.headers["webhook-id"].encode(), message.headers["webhook-timestamp"].encode(), message.body]
    )
    wanted = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), content, hashlib.sha256).digest()
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))

    def verifies(signature: str) -> bool:
        try:
            public.verify(base64.b64decode(signature), content)
        except InvalidSignature:
            return False
        return True

    return (
        any(kind == "v1" and hmac.compare_digest(base64.b64decode(value), wanted) for kind, value in given),
        any(kind == "v1a" and verifies(value) for kind, value in given),
    )


def test_the_standards_own_vector() -> None:
    secret = Secrets(shared=base64.b64decode(SPEC_SECRET.removeprefix("whsec_")), seed=RFC8032_SEED)
    headers = signed_headers(SPEC_ID, SPEC_BODY, [secret], now=SPEC_AT)
    symmetric, asymmetric = headers["webhook-signature"].split(" ")
    assert symmetric == SPEC_SIGNATURE
    assert headers["webhook-timestamp"] == "1614265330"
    assert secret.shared_secret == SPEC_SECRET
    assert secret.public_key == "whpk_" + base64.b64encode(RFC8032_PUBLIC).decode()
    content = f"{SPEC_ID}.1614265330.".encode() + SPEC_BODY
    public = Ed25519PublicKey.from_public_bytes(RFC8032_PUBLIC)
    public.verify(base64.b64decode(asymmetric.removeprefix("v1a,")), content)
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(asymmetric.removeprefix("v1a,")), content + b" ")


def test_while_secrets_change_both_sign_and_then_only_the_new() -> None:
    old = Secrets.generate()
    assert 24 <= len(old.shared) <= 64
    both = secrets_from_bytes(secrets_to_bytes(rotated([old], now=NOW)))
    assert [one.shared for one in both][1] == old.shared

    def signatures(at: datetime) -> list[str]:
        return signed_headers("msg_1", b"{}", both, now=at)["webhook-signature"].split(" ")

    before = signatures(NOW + OVERLAP - timedelta(seconds=1))
    assert [part.split(",")[0] for part in before] == ["v1", "v1a", "v1", "v1a"]
    assert [part.split(",")[0] for part in signatures(NOW + OVERLAP)] == ["v1", "v1a"]
    assert len(rotated(both, now=NOW)) == 2, "a third generation never signs"
    assert "shared" not in repr(both)


@pytest.mark.parametrize("message_id", ["", "msg.1", "msg 1", "msg_1\n", "m" * 101])
def test_a_message_id_cannot_move_what_is_signed(message_id: str) -> None:
    with pytest.raises(ValueError, match="message id"):
        signed_headers(message_id, b"{}", [Secrets.generate()], now=NOW)


# --- over HTTP -------------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, webhook_loopback=True)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as receiving:
        yield receiving


def listen(world: World, who: str, url: str, events: list[str] = EVERY) -> dict[str, Any]:
    answer = world.call("PUT", "/v1/backends/self/webhook", who, json={"url": url, "events": events})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def waiting(world: World) -> list[tuple[str, int, datetime]]:
    """Jobs in the queue, in the order in which they are due: message, tries so far, not before."""
    query = text(
        "SELECT args->>'delivery_id', (args->>'tried')::int, coalesce(scheduled_at, to_timestamp(0)) FROM procrastinate_jobs "
        "WHERE task_name = 'deliver' AND status = 'todo' ORDER BY id"
    )
    with world.service.database.engine.connect() as connection:
        return [(message, tried, at) for message, tried, at in connection.execute(query)]


def deliver_all(world: World) -> list[bool]:
    """What the worker's lane would do, once for each job; jobs are taken off as a worker takes them off."""
    jobs = waiting(world)
    with world.service.database.engine.begin() as connection:
        connection.execute(text("DELETE FROM procrastinate_jobs WHERE task_name = 'deliver'"))
    return [deliver(world.service, message, tried=tried) for message, tried, _ in jobs]


def said(hook: Receiver) -> list[dict[str, Any]]:
    return [json.loads(message.body) for message in hook.received]


def used(world: World, consent: dict[str, Any], colour: tuple[int, int, int] = ALICE) -> str:
    """The backend asks and spends a permit; gives the permit."""
    photo = world.media(png(colour))
    answer = world.ask(tokens=[world.token(consent)], media=[photo["media_id"]])
    assert answer["decision"] is True, answer
    permit = str(answer["context"]["permit"])
    spent = world.call("POST", "/v1/permits/redeem", "backend", json={"permit": permit, "job_sha256": "ab" * 32})
    assert spent.status_code == 200, spent.text
    return permit


@pytest.mark.service
def test_the_app_hears_of_its_consents_signed_and_without_anything_of_the_person(world: World, hook: Receiver) -> None:
    registered = listen(world, "app", hook.url)
    assert registered["secret"].startswith("whsec_")
    assert listen(world, "app", hook.url)["secret"] is None, "a secret is shown once"

    consent = world.consent()
    path = f"/v1/consents/{consent['consent_id']}"
    world.call("POST", f"{path}/narrow", consent["manage_token"], json={"limits": {"max_seconds": 5}})
    revoke(world, consent)
    assert deliver_all(world) == [True, True, True]

    messages = said(hook)
    assert [message["type"] for message in messages] == ["consent.granted", "consent.narrowed", "consent.revoked"]
    assert [message["data"]["number"] for message in messages] == [0, 1, 2]
    for message, received in zip(messages, hook.received, strict=True):
        assert set(message["data"]) == {"consent_id", "subject_id", "number", "at"}
        assert message["data"]["consent_id"] == consent["consent_id"]
        assert b"user-1" not in received.body
        assert received.headers["content-type"] == "application/json"
        assert holds(received, registered["secret"], registered["public_key"]) == (True, True)
        tampered = replace(received, body=received.body + b" ")
        assert holds(tampered, registered["secret"], registered["public_key"]) == (False, False)
    assert len({received.headers["webhook-id"] for received in hook.received}) == 3


@pytest.mark.service
def test_a_backend_hears_only_of_consents_that_it_used(world: World, hook: Receiver) -> None:
    listen(world, "backend", hook.url)
    consent = world.consent()
    assert deliver_all(world) == []
    used(world, consent)
    revoke(world, consent)
    deliver_all(world)
    assert [message["type"] for message in said(hook)] == ["consent.revoked", "asset.purge_required"]
    stranger = world.key(Role.BACKEND, "other-studio")
    with receiver() as other:
        listen(world, stranger, other.url)
        second = world.consent(world.shown_live(ALICE, "user-9"))
        revoke(world, second)
        deliver_all(world)
        assert other.received == []


@pytest.mark.service
def test_only_what_was_asked_for_is_sent(world: World, hook: Receiver) -> None:
    listen(world, "app", hook.url, ["consent.revoked"])
    revoke(world, world.consent())
    deliver_all(world)
    assert [message["type"] for message in said(hook)] == ["consent.revoked"]


@pytest.mark.service
def test_a_message_is_tried_again_as_the_standard_says_and_then_waits_for_an_admin(
    world: World, hook: Receiver
) -> None:
    registered = listen(world, "app", hook.url, ["consent.granted"])
    hook.answer = 500
    world.consent()
    waits = []
    for tried in range(len(TRIES)):
        ((message, known, at),) = waiting(world)
        assert known == tried
        if tried:
            waits.append(at - world.clock())
            world.clock.move((at - world.clock()).total_seconds())
        assert deliver_all(world) == [False]
    assert waits == list(TRIES[1:])
    assert sum(TRIES, timedelta()) == timedelta(hours=75, minutes=35, seconds=5)
    assert waiting(world) == []
    assert len({received.headers["webhook-id"] for received in hook.received}) == 1, "every try is the same message"
    assert len({received.headers["webhook-timestamp"] for received in hook.received}) == len(TRIES)

    (given_up,) = world.call("GET", "/v1/webhooks/dead", "admin").json()["deliveries"]
    assert (given_up["delivery_id"], given_up["state"], given_up["code"]) == (message, "dead", "http_500")
    assert code(world.call("GET", "/v1/webhooks/dead", "app")) == "forbidden"
    assert code(world.call("POST", f"/v1/webhooks/deliveries/{message}/resend", "app")) == "forbidden"

    hook.answer = 204
    assert world.call("POST", f"/v1/webhooks/deliveries/{message}/resend", "admin").status_code == 202
    again = world.call("POST", f"/v1/webhooks/deliveries/{message}/resend", "admin")
    assert (again.status_code, code(again)) == (409, "delivery_not_dead")
    assert deliver_all(world) == [True]
    assert hook.received[-1].headers["webhook-id"] == message
    assert holds(hook.received[-1], registered["secret"], registered["public_key"]) == (True, True)
    assert world.call("GET", "/v1/webhooks/dead", "admin").json()["deliveries"] == []


@pytest.mark.service
@pytest.mark.parametrize("answer", [200, 201, 299])
def test_any_2xx_is_success(world: World, hook: Receiver, answer: int) -> None:
    listen(world, "app", hook.url, ["consent.granted"])
    hook.answer = answer
    world.consent()
    assert deliver_all(world) == [True]
    assert waiting(world) == []


@pytest.mark.service
@pytest.mark.parametrize("answer", [301, 307, 400, 404, 429, 503])
def test_anything_else_is_failure(world: World, hook: Receiver, answer: int) -> None:
    listen(world, "app", hook.url, ["consent.granted"])
    hook.answer, hook.location = answer, "http://127.0.0.1:1/"
    world.consent()
    assert deliver_all(world) == [False]
    (latest,) = world.call("GET", "/v1/backends/self/webhook", "app").json()["latest"]
    assert (latest["state"], latest["tries"], latest["code"]) == ("waiting", 1, f"http_{answer}")


@pytest.mark.service
def test_gone_switches_the_webhook_off_until_it_is_set_again(world: World, hook: Receiver) -> None:
    listen(world, "app", hook.url)
    hook.answer = 410
    world.consent()
    assert deliver_all(world) == [False]
    assert waiting(world) == []
    assert world.call("GET", "/v1/backends/self/webhook", "app").json()["disabled"] == "gone"
    world.consent(world.shown_live(ALICE, "user-2"))
    assert waiting(world) == [], "nothing is written for a webhook that is off"
    hook.answer = 204
    assert listen(world, "app", hook.url)["disabled"] is None
    world.consent(world.shown_live(ALICE, "user-3"))
    assert deliver_all(world) == [True]


@pytest.mark.service
def test_a_second_job_for_the_same_try_does_nothing(world: World, hook: Receiver) -> None:
    listen(world, "app", hook.url, ["consent.granted"])
    world.consent()
    ((message, _, _),) = waiting(world)
    assert deliver(world.service, message, tried=0)
    assert not deliver(world.service, message, tried=0)
    assert not deliver(world.service, message, tried=1)
    assert len(hook.received) == 1


@pytest.mark.service
def test_a_try_that_was_cut_off_is_made_again_under_the_same_id(
    world: World, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker dies after the receiver has the message and before that is written down."""
    listen(world, "app", hook.url, ["consent.granted"])
    world.consent()
    ((message, _, _),) = waiting(world)

    class Killed(BaseException):
        pass

    def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("api.webhooks._write_down", dies)
        with pytest.raises(Killed):
            deliver(world.service, message, tried=0)
    assert deliver(world.service, message, tried=0)
    assert [one.headers["webhook-id"] for one in hook.received] == [message, message]


@pytest.mark.service
def test_a_message_exists_exactly_when_what_it_tells_of_happened(
    world: World, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen(world, "app", hook.url, ["consent.revoked"])
    consent = world.consent()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr("api.routes_consent.end_consent", broken)
        assert revoke(world, consent).status_code == 500
    assert waiting(world) == []
    assert revoke(world, consent).status_code == 200
    assert len(waiting(world)) == 1


@pytest.mark.service
def test_new_secrets_sign_beside_the_old_for_a_day(world: World, hook: Receiver) -> None:
    old = listen(world, "app", hook.url, ["consent.granted"])
    new = world.call("POST", "/v1/backends/self/webhook/rotate", "app").json()
    assert new["secret"] != old["secret"]
    world.consent()
    deliver_all(world)
    world.clock.move(OVERLAP.total_seconds())
    world.consent(world.shown_live(ALICE, "user-2"))
    deliver_all(world)
    during, after = hook.received
    assert holds(during, old["secret"], old["public_key"]) == (True, True)
    assert holds(during, new["secret"], new["public_key"]) == (True, True)
    assert holds(after, old["secret"], old["public_key"]) == (False, False)
    assert holds(after, new["secret"], new["public_key"]) == (True, True)


@pytest.mark.service
def test_another_host_gets_another_secret(world: World, hook: Receiver) -> None:
    first = listen(world, "app", hook.url)
    moved = listen(world, "app", hook.url.replace("127.0.0.1", "localhost"))
    assert moved["secret"] is not None
    assert moved["secret"] != first["secret"]
    assert moved["public_key"] != first["public_key"]


@pytest.mark.service
def test_a_test_message_and_an_end(world: World, hook: Receiver) -> None:
    assert code(world.call("POST", "/v1/backends/self/webhook/test", "backend")) == "not_found"
    registered = listen(world, "backend", hook.url, ["consent.revoked"])
    sent = world.call("POST", "/v1/backends/self/webhook/test", "backend")
    assert sent.status_code == 202
    assert deliver_all(world) == [True]
    assert said(hook)[0]["type"] == "webhook.test"
    assert holds(hook.received[0], registered["secret"], registered["public_key"]) == (True, True)
    assert world.call("GET", "/v1/backends/self/webhook", "backend").json()["latest"][0]["state"] == "delivered"

    world.call("POST", "/v1/backends/self/webhook/test", "backend")
    assert world.call("DELETE", "/v1/backends/self/webhook", "backend").status_code == 204
    assert deliver_all(world) == [False]
    assert len(hook.received) == 1
    with world.service.database.engine.connect() as connection:
        kept = "SELECT count(*) FROM sealed JOIN data_keys USING (data_key_id) WHERE kind = 'webhook_secrets'"
        assert connection.scalar(text(f"{kept} AND wrapped IS NOT NULL")) == 0


@pytest.mark.service
@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"url": "https://10.0.0.1/hook", "events": ["consent.revoked"]}, "webhook_url_refused"),
        ({"url": "https://169.254.169.254/latest/meta-data", "events": ["consent.revoked"]}, "webhook_url_refused"),
        ({"url": "ftp://studio.example/", "events": ["consent.revoked"]}, "webhook_url_refused"),
        ({"url": "https://studio.example/", "events": []}, "request_invalid"),
        ({"url": "https://studio.example/", "events": ["everything"]}, "request_invalid"),
        ({"url": "https://studio.example/", "events": ["consent.revoked"], "secret": "mine"}, "request_invalid"),
    ],
)
def test_a_registration_that_is_refused(world: World, body: dict[str, Any], wanted: str) -> None:
    refused = world.call("PUT", "/v1/backends/self/webhook", "backend", json=body)
    assert (refused.status_code, code(refused)) == (422, wanted)
    assert code(world.call("GET", "/v1/backends/self/webhook", "backend")) == "not_found"


@pytest.mark.service
def test_people_auditors_and_admins_have_no_webhook(world: World) -> None:
    consent = world.consent()
    for who in ("auditor", "admin", consent["manage_token"]):
        body = {"url": "https://studio.example/", "events": EVERY}
        assert code(world.call("PUT", "/v1/backends/self/webhook", who, json=body)) == "forbidden"


@pytest.mark.service
def test_a_key_that_was_revoked_is_told_nothing_more(world: World, hook: Receiver) -> None:
    listen(world, "app", hook.url, ["consent.revoked"])
    consent = world.consent()
    revoke(world, consent)
    with world.service.database.engine.begin() as connection:
        connection.execute(text("UPDATE api_keys SET revoked_at = now() WHERE role = 'app'"))
    assert deliver_all(world) == [False]
    assert hook.received == []


@pytest.mark.service
def test_without_the_development_setting_this_machine_is_out_of_reach(world: World, hook: Receiver) -> None:
    """Registered while it was on, sent while it is off: what is checked is the address at the time of sending."""
    listen(world, "app", hook.url, ["consent.granted"])
    world.consent()
    ((message, _, _),) = waiting(world)
    strict = replace(world.service, settings=replace(world.service.settings, webhook_loopback=False))
    assert not deliver(strict, message, tried=0)
    assert hook.received == []


@pytest.mark.service
def test_no_secret_in_any_log_line(world: World, hook: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    registered = listen(world, "app", hook.url)
    hook.answer = 500
    revoke(world, world.consent())
    deliver_all(world)
    assert "did not arrive" in caplog.text
    assert registered["secret"].removeprefix("whsec_") not in caplog.text
    assert hook.url not in "".join(record.message for record in caplog.records if record.name.startswith("mien"))
