"""A service on a real PostgreSQL, with small stand-ins for the models.

People here are colours: a picture of one colour has one face, whose template points where the colour points. Nobody is
depicted. Time is a clock that tests move.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from api.app import create_app, open_service
from api.auth import Role, create_key
from api.database import Database, as_service, create_database, embedded_server, new_engine, upgrade
from api.engines import Bounded, FaceEngines
from api.judging import Judges, judge_challenge
from api.keys import open_keys
from api.rendering import Renderers
from api.service import Service, wall_clock
from api.settings import Settings
from consent.authority import SubjectAssurance
from consent.terms import current
from likeness.double import Double
from likeness.errors import RenderError
from likeness.generate import Clip, Generator, Kind, RenderRequest, Speech
from liveness.capture import Audio, RgbImage
from liveness.digits import Language
from liveness.evidence import Box, Face, FoundFace
from tests.api.scripted import ALICE, ColourEmbedder, ScriptedExaminer, picture_of

START = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self._now = START
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            return self._now

    def move(self, seconds: float) -> None:
        with self._lock:
            self._now += timedelta(seconds=seconds)


class ColourFinder:
    """One face a picture; none in grey ones, also tinged by a codec; one that cannot be measured in black ones; two where
    halves differ."""

    model_version = "colours 1"

    def find_every(self, image: RgbImage) -> tuple[FoundFace, ...]:
        height, width = image.shape[:2]
        halves = [(0, width // 2), (width // 2, width)]
        colours = [tuple(int(c) for c in image[height // 2, (left + right) // 2]) for left, right in halves]
        if colours[0] == colours[1]:
            halves, colours = [(0, width)], colours[:1]
        return tuple(
            FoundFace(
                box=Box(x=left, y=0, width=right - left, height=height),
                face=None if max(colour) < 10 else _face(left, right, height),
            )
            for (left, right), colour in zip(halves, colours, strict=True)
            if not (max(colour) - min(colour) < 10 <= max(colour))
        )


def _face(left: int, right: int, height: int) -> Face:
    middle = np.array([(left + right) / 2, height / 2], np.float32)
    return Face(
        box=Box(x=left, y=0, width=right - left, height=height),
        landmarks=np.zeros((478, 3), np.float32),
        yaw_deg=0,
        pitch_deg=0,
        roll_deg=0,
        jaw_open=0,
        lip_gap=0,
        blink_left=0,
        blink_right=0,
        points=np.repeat(middle[None], 5, axis=0),
    )


def png(*colours: tuple[int, int, int]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture_of(*colours)).save(content, "PNG")
    return content.getvalue()


def content_digest(data: bytes) -> dict[str, str]:
    return {"Content-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"}


# --- a database a test -----------------------------------------------------------------------------------------------


@contextmanager
def postgres_folder() -> Iterator[Path]:
    """Not below pytest's own temporary folder: run as root, PostgreSQL is another user, and pytest shuts others out."""
    with tempfile.TemporaryDirectory(prefix="mien-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """One embedded PostgreSQL for all tests: the URL of its maintenance database."""
    with postgres_folder() as folder, embedded_server(folder / "data") as url:
        maintenance = create_engine(url, isolation_level="AUTOCOMMIT")
        with maintenance.connect() as connection:  # nothing here must survive a power cut
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
            connection.execute(text("SELECT pg_reload_conf()"))
        maintenance.dispose()
        yield url


@pytest.fixture(scope="session")
def shared_database(server: str) -> Iterator[Database]:
    """A migrated database that tests use one after another."""
    with fresh_database(server) as url:
        upgrade(url)
        engine = new_engine(as_service(url))
        yield Database(as_service(url), engine, url)
        engine.dispose()


@cache
def owner_of(database: Database) -> Engine:
    """What somebody can do who has the database itself: all of it, with the triggers off."""
    return create_engine(
        database.owner_url, poolclass=NullPool, connect_args={"options": "-c session_replication_role=replica"}
    )


_copies = iter(range(10_000))


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """The URL of a database of its own, dropped afterwards."""
    name = f"mien_test_{next(_copies)}"
    maintenance = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        yield create_database(make_url(server), name)
    finally:
        with maintenance.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        maintenance.dispose()


@pytest.fixture
def database(shared_database: Database) -> Iterator[Database]:
    """Empty again after each test."""
    yield shared_database
    empty(shared_database)


def empty(database: Database) -> None:
    """As superuser in replica mode, since append-only tables refuse even that. Row by row: a test leaves few, and to truncate
    nearly seventy tables takes ten times as long. What hangs on them elsewhere has a graph, where deleted rows would stay."""
    with owner_of(database).begin() as connection:
        connection.execute(text(_EMPTY))


_EMPTY = """
DO $$
DECLARE
    each record;
BEGIN
    FOR each IN SELECT schemaname AS place, tablename AS name FROM pg_tables
                 WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND tablename <> 'alembic_version' LOOP
        EXECUTE format(CASE each.place WHEN 'public' THEN 'DELETE FROM %I.%I' ELSE 'TRUNCATE %I.%I' END, each.place, each.name);
    END LOOP;
END $$
"""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def faces() -> FaceEngines:
    return FaceEngines(
        finder=ColourFinder(), embedder=ColourEmbedder(), languages=frozenset({Language.ENGLISH}), bound=Bounded(1)
    )


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One key file for all tests. Its certificates are of today: what checks them reads the wall clock."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    open_keys(Settings(keys=path), now=wall_clock())
    return path


@pytest.fixture
def settings(tmp_path: Path, database: Database, key_file: Path) -> Settings:
    return Settings(
        database_url=database.url,
        var=tmp_path / "var",
        weights=tmp_path / "weights",
        keys=key_file,
        policy="strict",
        minimum_assurance=SubjectAssurance.WEB,
    )


@pytest.fixture
def service(settings: Settings, database: Database, faces: FaceEngines, clock: Clock) -> Iterator[Service]:
    with open_service(settings, faces=faces, now=clock, database=database) as service:
        yield service


# --- callers ---------------------------------------------------------------------------------------------------------


@dataclass
class World:
    """A running service, its callers, and what a story needs again and again."""

    client: TestClient | httpx.Client
    service: Service
    clock: Clock
    keys: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, who: str | None = None, **more: Any) -> Any:
        """``who``: a role, a secret, or nobody."""
        headers = dict(more.pop("headers", {}))
        if who is not None:
            headers["Authorization"] = f"Bearer {self.keys.get(who, who)}"
        return self.client.request(method, path, headers=headers, **more)

    def key(self, role: Role, name: str) -> str:
        with self.service.database.transaction() as store:
            return create_key(store, role, name, now=self.clock())

    def session(self, subject_ref: str = "user-1", **more: Any) -> dict[str, Any]:
        body = {"subject_ref": subject_ref, "language": "en", "purpose": "digital_double"} | more
        answer = self.call("POST", "/v1/liveness/sessions", "app", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def challenge(self, session: dict[str, Any]) -> dict[str, Any]:
        answer = self.call("POST", f"/v1/liveness/sessions/{session['session_id']}/challenge", session["client_token"])
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def capture(self, session: dict[str, Any], data: bytes, **more: Any) -> Any:
        headers = {"Content-Type": "video/mp4"} | content_digest(data) | more.pop("headers", {})
        path = f"/v1/liveness/sessions/{session['session_id']}/capture"
        return self.call("PUT", path, session["client_token"], content=data, headers=headers, **more)

    def judge(self, challenge: dict[str, Any], tried: int = 0) -> bool:
        judges = Judges(examiner=ScriptedExaminer(), bound=Bounded(1))
        return judge_challenge(self.service, judges, challenge["challenge_id"], tried=tried)

    def shown_live(
        self, colour: tuple[int, int, int] = ALICE, subject_ref: str = "user-1", **more: Any
    ) -> dict[str, Any]:
        session = self.session(subject_ref, **more)
        challenge = self.challenge(session)
        data = f"live {','.join(map(str, colour))} {challenge['nonce']}".encode()
        assert self.capture(session, data).status_code == 202
        assert self.judge(challenge)
        return session

    def consent(
        self, session: dict[str, Any] | None = None, colour: tuple[int, int, int] = ALICE, **more: Any
    ) -> dict[str, Any]:
        session = self.shown_live(colour) if session is None else session
        body = {
            "session_id": session["session_id"],
            "terms_sha256": current("en").sha256,
            "purposes": ["digital_double"],
            "audience": ["portrait", "studio"],
            "limits": {"max_seconds": 30},
            "expires_at": (self.clock() + timedelta(days=30)).isoformat(),
        } | more
        answer = self.call("POST", "/v1/consents", session["client_token"], json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def token(self, consent: dict[str, Any], audience: str = "studio", **more: Any) -> str:
        body = {"audience": audience, "purpose": "digital_double", "ttl_s": 600} | more
        answer = self.call("POST", f"/v1/consents/{consent['consent_id']}/tokens", "app", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def media(self, data: bytes, who: str = "backend") -> dict[str, Any]:
        answer = self.call(
            "POST", "/v1/media", who, content=data, headers={"Content-Type": "image/png"} | content_digest(data)
        )
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def evaluation(self, *, tokens: list[str], media: list[str] = [], **more: Any) -> dict[str, Any]:  # noqa: B006
        properties = {"consent_tokens": tokens, "media": media} | more.pop("properties", {})
        context = {"purpose": "digital_double", "job_sha256": "ab" * 32, "seconds": 10} | more.pop("context", {})
        return {
            "subject": {"type": "backend", "id": more.pop("backend", "studio")},
            "action": {"name": "generate"},
            "resource": {"type": "likeness", "id": "job-1", "properties": properties},
            "context": context,
        }

    def ask(self, **more: Any) -> dict[str, Any]:
        answer = self.call("POST", "/access/v1/evaluation", "backend", json=self.evaluation(**more))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture
def world(service: Service, clock: Clock) -> Iterator[World]:
    with TestClient(create_app(service)) as client:
        world = World(client, service, clock)
        names = {Role.APP: "app-one", Role.BACKEND: "studio", Role.AUDITOR: "auditor-one", Role.ADMIN: "admin-one"}
        world.keys = {role.value: world.key(role, name) for role, name in names.items()}
        yield world


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


# --- clips -----------------------------------------------------------------------------------------------------------


class ColourGenerator:
    """A second of the portraits side by side, still. ``on_frame`` is called before each picture."""

    name = "portrait"
    version = "colours-1"
    kind = Kind.PORTRAIT
    most_people = 2

    def __init__(self, on_frame: Callable[[int], None] = lambda _: None) -> None:
        self.on_frame = on_frame

    def render(self, doubles: Sequence[Double], request: RenderRequest) -> Clip:
        script = request.content.script if isinstance(request.content, Speech) else None
        if script == "too hard":
            raise RenderError("made to fail", code="script_unspeakable")
        if script == "crash":
            raise RuntimeError("made to crash")
        picture = np.zeros((request.height, request.width, 3), np.uint8)
        for number, double in enumerate(doubles):
            picture[:, number * request.width // len(doubles) :] = double.portrait[0, 0]
        count = request.fps

        def frames() -> Iterator[RgbImage]:
            for number in range(count):
                self.on_frame(number)
                yield picture

        return Clip(
            width=request.width,
            height=request.height,
            fps=request.fps,
            frame_count=count,
            frames=frames(),
            audio=Audio(samples=np.zeros(16_000, np.float32), rate_hz=16_000),
            generator="portrait@colours-1",
        )


def renderers(service: Service, on_frame: Callable[[int], None] = lambda _: None) -> Renderers:
    generators: dict[str, Generator] = {"portrait": ColourGenerator(on_frame)}
    return Renderers(generators=generators, faces=service.faces, bound=Bounded(1))
