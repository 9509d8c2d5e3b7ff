"""Each way in, against the service itself: the client with a key of its own, the command, and the filter of a proxy."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from api.cli import main
from api.routes_ext_authz import PREFIX
from consent.job import Job, job_of_request, job_sha256
from mien import Gate, GateProblem, Permitted, ProofKey, Refused
from mien.asgi import PermitRequired
from tests.api.conftest import World, png
from tests.api.scripted import ALICE, BOB
from tests.api.test_consents import revoke
from tests.api.test_liveness_sessions import code
from tests.conftest import ROOT

pytestmark = pytest.mark.service

HERE = "http://127.0.0.1:8000"
KEY = ProofKey.generate()


def gate_of(world: World, key: ProofKey | None = KEY) -> Gate:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=world.client.app))  # type: ignore[union-attr]
    return Gate(
        HERE,
        api_key=world.keys["backend"],
        backend="studio",
        proof_key=key,
        client=client,
        clock=lambda: world.clock().timestamp(),
    )


@pytest.fixture
def registered(world: World) -> World:
    proof = KEY.prove("PUT", f"{HERE}/v1/backends/self/key", clock=lambda: world.clock().timestamp())
    assert world.call("PUT", "/v1/backends/self/key", "backend", headers={"DPoP": proof}).status_code == 200
    return world


def test_the_whole_road_with_the_client(registered: World) -> None:
    world, consent = registered, registered.consent()
    token = world.token(consent)

    async def road() -> None:
        async with gate_of(world) as gate:
            photo = await gate.hand_in(png(ALICE))
            assert len(photo.faces) == 1
            assert await gate.content(photo.media_id) == png(ALICE)
            job = Job(prompt="She waves.", media=(photo.sha256,), parameters={"ratio": "16:9"})
            asked: dict[str, Any] = {"purpose": "digital_double", "tokens": [token], "media": [photo.media_id]}
            other = await gate.hand_in(png(BOB))
            wrong = await gate.ask(Job(media=(other.sha256,)), **asked | {"media": [other.media_id]})
            assert isinstance(wrong, Refused)
            assert wrong.codes == ("unknown_face", "token_unused")
            answer = await gate.ask(job, **asked, seconds=5)
            assert isinstance(answer, Permitted), answer
            async with gate.work(answer) as work:
                assert work.obligations["max_seconds"] == 30
                (reference,) = await work.references()
                assert reference.consent_id == consent["consent_id"]
                assert reference.content
                released = await work.complete(b"no clip", handles=["gen-1"])
            assert (released.release, released.code) == (False, "output_unreadable")
            with pytest.raises(GateProblem) as again:
                await gate.redeem(answer)
            assert again.value.code == "permit_spent"
            revoke(world, consent)
            late = await gate.ask(job, **asked, seconds=5)
            assert isinstance(late, Refused)
            assert "revoked" in late.codes or "backend_blocked" in late.codes

    asyncio.run(road())


def of_the_documentation(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_documented_generator_and_its_caller_against_the_service(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_GATE", HERE)
    monkeypatch.setenv("MIEN_GATE_KEY", world.keys["backend"])
    example, caller = of_the_documentation("generator"), of_the_documentation("caller")
    token_of = world.consent()

    async def road() -> None:
        async with gate_of(world) as gate:
            assert await gate.register() == KEY.thumbprint
            monkeypatch.setattr(example, "gate", gate)
            app = PermitRequired(example.behind, gate=gate, paths=("/generate",))
            client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://generator")
            asked: dict[str, Any] = {
                "tokens": [world.token(token_of)],
                "media": [(await gate.hand_in(png(ALICE))).media_id],
            }
            body = {"prompt": "She waves.", "seconds": 1}
            withheld = await caller.order(gate, client, body, **asked)
            assert (withheld.status_code, withheld.json()["code"]) == (451, "person_missing"), "it draws nobody"
            assert (await client.post("/generate", json=body)).status_code == 403
            bobs = [(await gate.hand_in(png(BOB))).media_id]
            refused = await caller.order(gate, client, body, tokens=asked["tokens"], media=bobs)
            assert isinstance(refused, Refused)
            assert refused.codes == ("unknown_face", "token_unused")

    asyncio.run(road())


# --- a filter in front of a generator ------------------------------------------------------------------------------------

BODY: dict[str, Any] = {"prompt": "She waves."}


@pytest.fixture
def permit(world: World) -> str:
    photo = world.media(png(ALICE))
    digest = job_sha256(job_of_request("POST", "/v1/generate?seed=1", BODY))
    answer = world.ask(tokens=[world.token(world.consent())], media=[photo["media_id"]], context={"job_sha256": digest})
    return str(answer["context"]["permit"])


def checked(world: World, permit: str | None, path: str = "/v1/generate?seed=1", body: Any = BODY, **more: Any) -> Any:
    headers = {} if permit is None else {"Mien-Permit": permit}
    return world.call(more.pop("method", "POST"), PREFIX + path, "backend", json=body, headers=headers | more)


def test_the_filter_lets_the_very_call_through_once(world: World, permit: str) -> None:
    answer = checked(world, permit)
    assert answer.status_code == 200
    assert answer.headers["Mien-Permit-Id"].startswith("prm_")
    assert json.loads(answer.headers["Mien-Obligations"])["max_seconds"] == 30
    again = checked(world, permit)
    assert (again.status_code, code(again)) == (409, "permit_spent")


@pytest.mark.parametrize(
    "change",
    [
        {"body": {"prompt": "She sings."}},
        {"path": "/v1/generate"},
        {"path": "/v1/generate?seed=2"},
        {"path": "/v1/other?seed=1"},
        {"method": "PUT"},
        {"body": []},
    ],
)
def test_another_call_does_not_pass_and_the_permit_is_not_spent(world: World, permit: str, change: Any) -> None:
    refused = checked(world, permit, **change)
    assert refused.status_code == 403
    assert checked(world, permit).status_code == 200


def test_without_a_permit_or_a_backends_key_nothing_passes(world: World, permit: str) -> None:
    assert checked(world, None).status_code == 403
    assert checked(world, "e30.e30.e30").status_code == 403
    anonymous = world.call("POST", PREFIX + "/v1/generate?seed=1", json=BODY, headers={"Mien-Permit": permit})
    assert anonymous.status_code == 401


def test_the_example_of_envoy_fails_closed_and_asks_here() -> None:
    text = (ROOT / "docs" / "examples" / "envoy-ext-authz.yaml").read_text(encoding="utf-8")
    assert f"path_prefix: {PREFIX}" in text
    assert "failure_mode_allow: false" in text
    assert "allow_partial_message: false" in text
    for header in ("mien-permit", "dpop"):
        assert f"exact: {header}" in text


# --- from a script -------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(world: World, tmp_path: Path) -> dict[str, Path]:
    found = {name: tmp_path / name for name in ("key", "token", "photo.png", "job.json")}
    found["key"].write_text(world.keys["backend"] + "\n")
    found["token"].write_text(world.token(world.consent()))
    found["photo.png"].write_bytes(png(ALICE))
    found["job.json"].write_text('{"prompt": "She waves."}')
    return found


@pytest.fixture
def near(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command reaches the service in this process."""
    import mien.gate

    client, app = httpx.AsyncClient, world.client.app  # type: ignore[union-attr]

    def local(**options: Any) -> httpx.AsyncClient:
        return client(transport=httpx.ASGITransport(app=app), **options)

    monkeypatch.setattr(mien.gate.httpx, "AsyncClient", local)


def run(files: dict[str, Path], capfd: pytest.CaptureFixture[str], *more: str) -> tuple[int, Any]:
    fixed = ["--url", HERE, "--backend", "studio", "--purpose", "digital_double", "--seconds", "5"]
    named = ["--key-file", files["key"], "--token", files["token"], "--job", files["job.json"]]
    with pytest.raises(SystemExit) as ended:
        main(["gate", "ask", *fixed, *map(str, named), *more])
    printed = capfd.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, json.loads(printed.out) if printed.out else printed.err


@pytest.mark.usefixtures("near")
def test_a_script_asks_and_reads_the_exit_code(files: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    status, answer = run(files, capfd, "--media", str(files["photo.png"]))
    assert (status, answer["decision"]) == (0, True)
    assert answer["permit"]
    status, answer = run(files, capfd)
    assert (status, answer["reasons"]) == (1, [{"code": "no_face"}])
    files["key"].write_text("mien_backend_nobody")
    status, complaint = run(files, capfd)
    assert status == 3
    assert complaint.startswith("mien: unauthenticated: ")
