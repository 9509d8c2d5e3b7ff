"""The TypeScript client: as new as the service's OpenAPI document, strictly typed, and tried on a running service."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from api.app import create_app
from api.service import Service
from api.settings import Settings
from clients.generate import typescript
from consent.authority import SubjectAssurance
from mien import ProofKey
from mien.proof import ProofKey as Key
from tests.api.conftest import World, png
from tests.api.scripted import ALICE
from tests.conftest import ROOT

pytestmark = pytest.mark.service

CLIENT = ROOT / "clients" / "typescript"


class WallClock:
    """Proofs are made with the clock of the machine."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture
def clock() -> WallClock:
    return WallClock()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as address:
        address.bind(("127.0.0.1", 0))
        address.listen(64)
        yield address


@pytest.fixture
def settings(tmp_path: Path, database: Any, key_file: Path, listening: socket.socket) -> Settings:
    return Settings(
        database_url=database.url,
        var=tmp_path / "var",
        weights=tmp_path / "weights",
        keys=key_file,
        policy="strict",
        minimum_assurance=SubjectAssurance.WEB,
        public_url=f"http://127.0.0.1:{listening.getsockname()[1]}",
    )


@contextmanager
def serving(service: Service, listening: socket.socket) -> Iterator[str]:
    running = uvicorn.Server(uvicorn.Config(create_app(service), log_level="error", access_log=False))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield service.settings.public_url
    running.should_exit = True
    thread.join(20)


SCRIPTS = Path(sys.executable).parent
"""Where the environment of the tests has ``node`` and ``npm``."""


def program(name: str) -> str:
    found = shutil.which(name, path=f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}")
    assert found is not None, f"there is no {name}: run `make setup`"
    return found


def ran(*command: str, folder: Path, **environment: str) -> str:
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    surroundings = os.environ | {"PATH": path} | environment
    done = subprocess.run(
        command, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client compiled in a folder of its own, strictly."""
    folder = tmp_path_factory.mktemp("client") / "typescript"
    shutil.copytree(CLIENT, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    ran(program("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts", folder=folder)
    ran(program("npm"), "run", "build", folder=folder)
    return folder


def test_the_client_is_as_new_as_the_service(world: World) -> None:
    document = world.call("GET", "/openapi.json").json()
    written = (CLIENT / "src" / "api.ts").read_text(encoding="utf-8")
    assert written == typescript(document), "an older client: run `make client` and commit what it writes"


def test_a_shape_that_is_not_known_stops_the_generator() -> None:
    document = {"components": {"schemas": {"Odd": {"not": {"type": "string"}}}}, "paths": {}}
    with pytest.raises(ValueError, match="unknown shape"):
        typescript(document)


def test_the_lock_names_no_address_and_only_the_compiler() -> None:
    lock = json.loads((CLIENT / "package-lock.json").read_text(encoding="utf-8"))
    assert set(lock["packages"]) == {"", "node_modules/typescript"}
    assert "://" not in (CLIENT / "package-lock.json").read_text(encoding="utf-8")
    assert "dependencies" not in lock["packages"][""], "nothing is installed where the client is used"


def test_its_own_rules_hold(built: Path) -> None:
    assert "# fail 0" in ran(
        program("node"), "--test", "--test-reporter=tap", "test/rules.test.mjs", folder=built, NODE_OPTIONS=""
    )


def test_it_goes_the_whole_road_with_a_running_service(
    built: Path, world: World, service: Service, listening: socket.socket, tmp_path: Path
) -> None:
    key = ProofKey.generate()
    proof = key.prove("PUT", service.settings.public_url + "/v1/backends/self/key")
    registered = world.call("PUT", "/v1/backends/self/key", "backend", headers={"DPoP": proof})
    assert registered.status_code == 200, registered.text
    consent = world.consent()
    told = {
        "url": service.settings.public_url,
        "backend_key": world.keys["backend"],
        "app_key": world.keys["app"],
        "proof_key": _jwk(key),
        "photo": base64.b64encode(png(ALICE)).decode(),
        "token": world.token(consent),
        "consent_id": consent["consent_id"],
    }
    file = tmp_path / "world.json"
    file.write_text(json.dumps(told), encoding="utf-8")
    with serving(service, listening):
        said = ran(
            program("node"),
            "--test",
            "--test-reporter=tap",
            "test/service.test.mjs",
            folder=built,
            MIEN_CLIENT_TEST=str(file),
            NODE_OPTIONS="",
        )
    assert "# fail 0" in said
    assert "# pass 3" in said


def _jwk(key: Key) -> dict[str, str]:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    def spelled(number: int) -> str:
        return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()

    secret = load_pem_private_key(key.to_pem().encode(), password=None)
    assert isinstance(secret, EllipticCurvePrivateKey)
    point = secret.public_key().public_numbers()
    d = secret.private_numbers().private_value
    return {"kty": "EC", "crv": "P-256", "x": spelled(point.x), "y": spelled(point.y), "d": spelled(d)}
