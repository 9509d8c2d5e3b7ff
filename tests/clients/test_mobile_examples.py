"""The examples of ``docs/mobile.md``: run against a running service to a receipt, and held against what it offers.

Python and TypeScript run in every test run; Kotlin where a compiler is (``kotlinc`` on the path, and in ``KOTLIN_LIBS`` the
class path of kotlinx-coroutines-core and kotlinx-serialization-json). Swift is not run: what it calls, sends and
reads is compared.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from api.app import create_app
from api.cli import main as mien
from api.errors import PROBLEMS
from api.service import Service
from clients.generate import own_document
from liveness.attestation import Provider, binding
from liveness.reasons import ADVICE, Reason
from tests.api.conftest import World, postgres_folder
from tests.api.test_serve import free_port, served, until
from tests.clients.test_typescript import (  # noqa: F401 - fixtures, too
    built,
    clock,
    listening,
    program,
    ran,
    settings,
)
from tests.conftest import ROOT

MOBILE = ROOT / "docs" / "examples" / "mobile"
SOURCES = {
    "python": MOBILE / "python" / "flow.py",
    "typescript": MOBILE / "typescript" / "flow.ts",
    "swift": MOBILE / "swift" / "MienFlow.swift",
    "kotlin": MOBILE / "kotlin" / "MienFlow.kt",
}
CAMERA = """
import pathlib, sys, uuid
out, taken = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
said = "live 200,40,40" if taken.exists() else "fail turn_missing"
taken.touch()
out.write_text(f"{said} {uuid.uuid4()}")
"""
Play = Callable[..., str]


class AnswerLost:
    """As a proxy that loses the answer to the first recording: the service has taken it, and the phone hears of a 502."""

    def __init__(self, app: Any) -> None:
        self.app, self.lost = app, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.lost or scope["type"] != "http" or scope["method"] != "PUT":
            await self.app(scope, receive, send)
            return
        self.lost += 1
        kept: list[dict[str, Any]] = []

        async def keep(message: dict[str, Any]) -> None:
            kept.append(message)

        await self.app(scope, receive, keep)
        assert kept[0]["status"] == 202
        await send({"type": "http.response.start", "status": 502, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"<h1>Bad gateway</h1>"})


@contextmanager
def serving(app: Any, listening: socket.socket) -> Iterator[None]:  # noqa: F811
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, lifespan="on"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield
    running.should_exit = True
    thread.join(20)


@contextmanager
def judging(world: World) -> Iterator[None]:
    """What a worker does, on the examiner that reads its verdict from the recording."""
    over = threading.Event()

    def judge() -> None:
        while not over.wait(0.1):
            with world.service.database.transaction() as store:
                waiting = store.challenges_in_hand()
            for challenge_id in waiting:
                world.judge({"challenge_id": challenge_id})

    thread = threading.Thread(target=judge, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join(20)


def play_python(folder: Path, url: str, app_key: str, *camera: str) -> str:
    command = " ".join(f"'{word}'" for word in camera)
    return ran(sys.executable, str(SOURCES["python"]), url, "--record", command, folder=folder, APP_KEY=app_key)


def play_typescript(folder: Path, url: str, app_key: str, *camera: str) -> str:
    run = str(MOBILE / "typescript" / "run.mjs")
    return ran(program("node"), run, url, *camera, folder=folder, APP_KEY=app_key, NODE_OPTIONS="")


def play_kotlin(folder: Path, url: str, app_key: str, *camera: str) -> str:
    libraries = os.environ["KOTLIN_LIBS"]
    sources = [str(file) for file in sorted((MOBILE / "kotlin").glob("*.kt"))]
    ran("kotlinc", "-Werror", "-cp", libraries, "-d", str(folder / "classes"), *sources, folder=folder)
    classes = f"{folder / 'classes'}{os.pathsep}{libraries}"
    return ran("java", "-cp", classes, "org.mien.example.RunKt", url, *camera, folder=folder, APP_KEY=app_key)


PLAYS: dict[str, Play] = {"python": play_python, "typescript": play_typescript, "kotlin": play_kotlin}


def told_to_the_receipt(said: str, folder: Path, *, assurance: str) -> str:
    """The consent's id, of a story that went to its end."""
    assert "Agreed to the check." in said
    assert f"Shown live, assurance {assurance}." in said
    assert "Narrowed to 10 seconds." in said
    assert "Taken back: withdrawn with 0 deletions to confirm." in said
    assert (folder / "receipt.json").is_file()
    found = re.search(r"Consent (cns_[0-9a-f]{32})", said)
    assert found is not None
    return found[1]


@pytest.fixture
def kotlin() -> None:
    if shutil.which("kotlinc") is None or "KOTLIN_LIBS" not in os.environ:
        pytest.skip("there is no kotlinc on this machine, or KOTLIN_LIBS is not set")


@pytest.mark.service
@pytest.mark.parametrize("language", ["python", "typescript"])
def test_it_goes_from_a_failed_attempt_and_a_lost_answer_to_a_receipt(
    language: str,
    world: World,
    service: Service,
    listening: socket.socket,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _whole_story(language, world, service, listening, tmp_path, capsys)


def test_the_kotlin_example_does_so_too(
    kotlin: None,
    world: World,
    service: Service,
    listening: socket.socket,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _whole_story("kotlin", world, service, listening, tmp_path, capsys)


def _whole_story(
    language: str,
    world: World,
    service: Service,
    listening: socket.socket,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "camera.py").write_text(CAMERA, encoding="utf-8")
    camera = [sys.executable, str(tmp_path / "camera.py"), "{out}", str(tmp_path / "taken")]
    app = AnswerLost(create_app(service))
    with serving(app, listening), judging(world):
        said = PLAYS[language](tmp_path, service.settings.public_url, world.keys["app"], *camera)
    consent = told_to_the_receipt(said, tmp_path, assurance="web")
    assert app.lost == 1
    assert ADVICE[Reason.TURN_MISSING].en in said, "the person is told why, and what to change"
    assert said.count("Look at the camera and say") == 2, "the lost answer cost no attempt"
    assert world.call("GET", f"/v1/consents/{consent}", "app").json()["state"] == "withdrawn"

    (tmp_path / "jwks.json").write_text(json.dumps(service.keys.public.to_jwks()), encoding="utf-8")
    proof = ["ledger", "verify", "--proof", str(tmp_path / "receipt.json"), "--keys", str(tmp_path / "jwks.json")]
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        mien(proof)
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["valid"] is True


@pytest.mark.service
@pytest.mark.weights
def test_simulated_people_get_there_as_the_guide_tells_to_try_it(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``mien serve`` with its models, as an operator starts it, and recordings by ``mien simulate``."""
    with ExitStack() as stack:
        var = stack.enter_context(postgres_folder()) / "var"
        var.mkdir()
        simulated = {"MIEN_POLICY": "simulated", "MIEN_MINIMUM_ASSURANCE": "simulated"}
        service = stack.enter_context(served(var, weights, free_port(), **simulated))
        until(lambda: service.ready().get("worker") == "there")
        key = re.search(r"mien_app_[\w-]{43}", service.log.read_text())
        assert key is not None
        camera = [sys.executable, "-m", "api.cli", "simulate", "{out}", "--digits", "{digits}", "--turns", "{turns}"]
        monkeypatch.setenv("MIEN_WEIGHTS", str(weights))
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        for language in ("python",):
            folder = tmp_path / language
            folder.mkdir()
            told_to_the_receipt(
                PLAYS[language](folder, service.address, key[0], *camera), folder, assurance="simulated"
            )


@pytest.mark.service
def test_the_typescript_example_is_strictly_typed(built: Path, tmp_path: Path) -> None:  # noqa: F811
    tsc = built / "node_modules" / ".bin" / "tsc"
    strict = [
        "--strict",
        "--noUncheckedIndexedAccess",
        "--exactOptionalPropertyTypes",
        "--erasableSyntaxOnly",
        "--noEmit",
    ]
    kinds = ["--target", "ES2022", "--lib", "ES2022,DOM,DOM.Iterable", "--module", "NodeNext"]
    ran(str(tsc), *strict, *kinds, str(SOURCES["typescript"]), folder=tmp_path)


# --- against what the service offers ---------------------------------------------------------------------------------

NEEDED = {
    ("POST", "/v1/liveness/sessions"),
    ("POST", "/v1/liveness/sessions/{}/check-consent"),
    ("POST", "/v1/liveness/sessions/{}/challenge"),
    ("PUT", "/v1/liveness/sessions/{}/capture"),
    ("GET", "/v1/liveness/sessions/{}"),
    ("GET", "/v1/terms/{}"),
    ("POST", "/v1/consents"),
    ("GET", "/v1/consents/{}"),
    ("POST", "/v1/consents/{}/narrow"),
    ("POST", "/v1/consents/{}/revoke"),
    ("GET", "/v1/consents/{}/purges"),
}
HEADERS = ("Authorization", "Idempotency-Key", "Content-Digest", "Content-Type", "Mien-Attestation")
_OURS = {"no_answer", "answer_unreadable"}  # the examples' own words for what is no answer of the service
_CALL = re.compile(
    r"\.(?:call|send)(?:<[^(]*>)?\(\s*\"?\.?(GET|POST|PUT|get|post|put)\"?,\s*(f?[\"`][^\"`]*[\"`]|[\w.]+)"
)


def calls(source: str) -> set[tuple[str, str]]:
    """Method and path of each call, with ``{}`` for what is filled in."""
    found = set()
    for method, spelled in _CALL.findall(source):
        path = spelled.lstrip("f").strip('"`')
        if not spelled.lstrip("f").startswith(('"', "`")):  # only the session's or the consent's own address
            path = "{own}"
        path = re.sub(r"\$\{[^}]*\}|\{[^}]*\}|\$\w+|\\\([^)]*\)", "{}", path).partition("?")[0]
        found.add((method.upper(), path))
    return found


def spelled_out(source: str) -> set[tuple[str, str]]:
    """The same with the addresses written out that a class has as its ``path``."""
    whole = set()
    for method, path in calls(source):
        if not path.startswith("{}"):
            whole.add((method, path))
            continue
        for base in ("/v1/liveness/sessions/{}", "/v1/consents/{}"):
            whole.add((method, base + path.removeprefix("{}")))
    return whole


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return dict(own_document())


@pytest.mark.parametrize("language", SOURCES)
def test_an_example_calls_what_the_service_has_and_all_that_the_flow_needs(
    language: str, document: dict[str, Any]
) -> None:
    offered = {
        (method.upper(), re.sub(r"\{[^}]*\}", "{}", path))
        for path, operations in document["paths"].items()
        for method in operations
    }
    made = spelled_out(SOURCES[language].read_text(encoding="utf-8"))
    assert NEEDED - made == set()
    unknown = {path for _, path in calls(SOURCES[language].read_text(encoding="utf-8")) if not path.startswith("{}")}
    assert unknown <= {path for _, path in offered}
    assert offered >= NEEDED


@pytest.mark.parametrize("language", SOURCES)
def test_an_example_names_only_fields_values_codes_and_headers_that_there_are(
    language: str, document: dict[str, Any]
) -> None:
    source = SOURCES[language].read_text(encoding="utf-8")
    known = names_in(document) | set(PROBLEMS) | set(Reason) | {provider.value for provider in Provider} | _OURS
    spelled = set(re.findall(r"[\"']([a-z][a-z0-9]*(?:_[a-z0-9]+)+)[\"':]", source))
    if language == "typescript":
        for name, members in re.findall(r"interface (\w+) \{\n(.*?)\n\}", source, re.DOTALL):
            spelled |= set() if name == "Asked" else set(re.findall(r"^  (\w+)\??: ", members, re.MULTILINE))
    assert spelled - known == set()
    for header in HEADERS:
        if (language, header) != ("python", "Content-Type"):
            assert f'"{header}"' in source or f"{header}:" in source, header


SHAPES = {
    "Prompt": "Prompt",
    "Challenge": "ChallengeMade",
    "Advice": "Advice",
    "SessionState": "SessionState",
    "Session": "SessionMade",
    "Terms": "TermsShown",
    "Given": "ConsentGiven",
    "Limits": "LimitsGiven",
    "ConsentState": "ConsentState",
    "Purge": "PurgeState",
    "Purges": "Purges",
    "NewSession": "NewSession",
    "CheckAgreed": "CheckAgreed",
    "ChallengeWish": "ChallengeWish",
    "NewConsent": "NewConsent",
    "Narrowing": "Narrowing",
}
"""Of the Swift example, to the service's name for it. ``ProblemBody`` has members of its own kind (RFC 9457)."""


def test_the_shapes_of_the_swift_example_are_those_of_the_service(document: dict[str, Any]) -> None:
    source = SOURCES["swift"].read_text(encoding="utf-8")
    found = dict(re.findall(r"struct (\w+): (?:Decodable|Encodable|Codable) \{\n((?:    .*\n)*)\}", source))
    assert set(found) == set(SHAPES) | {"ProblemBody"}
    for name, wanted in SHAPES.items():
        schema = document["components"]["schemas"][wanted]
        for member, optional in re.findall(r"let (\w+): [^?\n]*(\?)?$", found[name], re.MULTILINE):
            field = re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), member)
            assert field in schema["properties"], f"{name}.{member}"
            offered = schema["properties"][field]
            may_be_null = any(kind.get("type") == "null" for kind in offered.get("anyOf", []))
            assert bool(optional) or not may_be_null, f"{name}.{member} may be null"


def test_the_binding_that_devices_vouch_for_is_spelled_as_the_service_reads_it() -> None:
    said = binding.__doc__ or ""
    assert "label || nonce || SHA-256(capture) || SHA-256(consent text)" in said
    for language, zero in (("swift", r"\0"), ("kotlin", r"\u0000")):
        source = SOURCES[language].read_text(encoding="utf-8")
        assert f'"mien capture attestation v1{zero}"' in source
        for provider in (Provider.APPLE,) if language == "swift" else (Provider.GOOGLE,):
            assert f'"{provider.value}:' in source


def test_what_the_guide_shows_of_the_examples_is_in_them() -> None:
    guide = (ROOT / "docs" / "mobile.md").read_text(encoding="utf-8")
    shown = re.findall(r"```(python|ts|swift|kotlin)\n(.*?)```", guide, re.DOTALL)
    assert {kind for kind, _ in shown} == {"python", "ts", "swift", "kotlin"}
    whole = {"python": "python", "ts": "typescript", "swift": "swift", "kotlin": "kotlin"}
    for kind, excerpt in shown:
        lines = [line.strip() for line in SOURCES[whole[kind]].read_text(encoding="utf-8").splitlines()]
        for line in excerpt.splitlines():
            assert line.strip() in {*lines, "", "..."}, f"{kind}: {line}"


def names_in(value: Any) -> set[str]:
    """Every member name, and every word that is a value, of the document."""
    match value:
        case dict():
            return set(value) | {name for inner in value.values() for name in names_in(inner)}
        case list():
            return {name for inner in value for name in names_in(inner)}
        case str():
            return {value}
        case _:
            return set()
