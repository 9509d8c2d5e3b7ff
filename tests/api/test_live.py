"""The live session over a real WebSocket: cue by cue to a verdict, and to an end with a reason whatever a client does.

The person here is a colour: how red the picture is says how far the head is turned. Their voice is a tone.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from sqlalchemy import text
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.app import create_app
from api.engines import Bounded, FaceEngines
from api.examiner import HandedIn, Judged, live_timing
from api.judging import Judges, judge_challenge
from api.live_guidance import LiveSessions
from api.routes_live import MESSAGE_MAX_BYTES
from lab.live_client import LivePhone, live_person, new_session, perform_live, served
from likeness.encode import GrowingWebm
from liveness.capture import RgbImage
from liveness.digits import Language
from liveness.evidence import Box, Face
from liveness.live import Patience
from liveness.reasons import Reason
from liveness.verdict import CheckResult, judge
from tests.api.conftest import ColourFinder, World
from tests.api.scripted import ALICE, ColourEmbedder, colour_template, picture_of
from tests.api.test_liveness_sessions import code, status

pytestmark = pytest.mark.service

SIZE = (96, 160)
FPS = 20
NOBODY = (0, 0, 0)


def looking(yaw_deg: float) -> RgbImage:
    """The person's picture."""
    return picture_of((round(128 + 2 * yaw_deg), 120, 120), size=160)[:, : SIZE[0]].copy()


class RedStream:
    """Measures what :func:`looking` shows; nobody in black pictures."""

    def look(self, image: RgbImage, at_ms: int) -> tuple[Face, ...]:
        red = float(image[:, :, 0].mean())
        if red < 30:
            return ()
        width, height = image.shape[1], image.shape[0]
        return (
            Face(
                box=Box(x=width * 0.25, y=height * 0.25, width=width * 0.5, height=height * 0.5),
                landmarks=np.zeros((478, 3), np.float32),
                yaw_deg=(red - 128) / 2,
                pitch_deg=0,
                roll_deg=0,
                jaw_open=0,
                lip_gap=0,
                blink_left=0,
                blink_right=0,
                points=np.zeros((5, 2), np.float32),
            ),
        )

    def close(self) -> None:
        pass


class RedStreams:
    def stream(self) -> RedStream:
        return RedStream()


class BrokenStreams:
    def stream(self) -> RedStream:
        raise RuntimeError("made to fail")


@pytest.fixture
def faces() -> FaceEngines:
    return FaceEngines(
        finder=ColourFinder(),
        embedder=ColourEmbedder(),
        languages=frozenset({Language.ENGLISH}),
        bound=Bounded(1),
        streams=RedStreams(),
    )


class TimedExaminer:
    """Live when the recording came in real time; ``seen`` is what our clock said."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def examine(self, handed: HandedIn) -> Judged:
        own = handed.challenge.limits(handed.policy)
        timing = None if handed.live is None else live_timing(handed.data, handed.live, own)
        self.seen.append(timing)
        in_time = timing is not None and abs(timing.clock_ratio - 1) < 0.25
        result = (
            CheckResult.passed("real_time", 1, 1, "")
            if in_time
            else CheckResult.failed("real_time", Reason.NOT_IN_REAL_TIME, 2, 1, "")
        )
        verdict = judge(
            [result], required=["real_time"], challenge=handed.challenge, capture_sha256="ab" * 32,
            policy=handed.policy, models={}, now=handed.now,
        )  # fmt: skip
        return Judged(verdict=verdict, timing_ms={}, templates=(colour_template(ALICE),), portrait=picture_of(ALICE))


@contextmanager
def listening(world: World, sessions: LiveSessions) -> Iterator[str]:
    """The same service behind a real server on this machine: its address."""
    app = create_app(world.service)
    app.state.live = sessions
    with socket.create_server(("127.0.0.1", 0)) as address:
        config = uvicorn.Config(app, log_level="warning", ws="websockets-sansio", timeout_graceful_shutdown=2)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [address]}, name="server")
        thread.start()
        until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{address.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


SHORT = Patience(opened=1_500, positioning=4_000, stalled=1_500, finishing=1_500, judging=8_000)


@pytest.fixture
def url(world: World) -> Iterator[str]:
    with listening(world, LiveSessions(2, patience=SHORT)) as address:
        yield address


def until(what: Callable[[], object], seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "it never happened"
        time.sleep(0.02)


@contextmanager
def judging(world: World, examiner: Any) -> Iterator[None]:
    """A worker that judges whatever comes."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.05):
            with world.service.database.engine.connect() as connection:
                waiting = connection.execute(
                    text("SELECT challenge_id FROM liveness_sessions WHERE state = 'judging'")
                ).scalars()
                ids = list(waiting)
            for challenge_id in ids:
                judge_challenge(world.service, Judges(examiner=examiner, bound=Bounded(1)), challenge_id)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Camera:
    """Films the colour person in real time and streams what it films."""

    def __init__(self, phone: LivePhone) -> None:
        self.phone = phone
        self.webm = GrowingWebm(width=SIZE[0], height=SIZE[1])
        self.began = time.monotonic()
        self.number = 0

    def films(self, seconds: float, yaw_deg: float | None = 0, *, tone: bool = False) -> None:
        for _ in range(round(seconds * FPS)):
            time.sleep(max(0.0, self.began + self.number / FPS - time.monotonic()))
            image = picture_of(NOBODY, size=160)[:, : SIZE[0]].copy() if yaw_deg is None else looking(yaw_deg)
            self.webm.picture(image, 1000 * self.number // FPS)
            at = np.arange(48_000 // FPS) / 48_000
            hiss = np.random.default_rng(self.number).normal(0, 0.001, len(at))
            self.webm.sound((hiss + (0.3 * np.sin(2 * np.pi * 300 * at) if tone else 0)).astype(np.float32))
            self.number += 1
            if self.number % 4 == 0 and (chunk := self.webm.taken()):
                with suppress(ConnectionClosed):  # the service may close while we film
                    self.phone.send(1, chunk)

    def does(self, cue: dict[str, Any]) -> None:
        if cue["step"] == "say":
            for _ in cue["digits"]:
                self.films(0.3)
                self.films(0.25, tone=True)
        else:
            side = 1 if cue["turn"] == "left" else -1
            for yaw in (10, 20, *(32,) * 14, 20, 10, 0):
                self.films(0.05, side * yaw)

    def ends(self) -> None:
        self.webm.close()
        self.phone.send(1, self.webm.taken())
        self.phone.say(type="done")


def call(world: World, url: str, **start: Any) -> tuple[dict[str, Any], LivePhone]:
    """A new session whose phone has started."""
    session = world.session()
    phone = LivePhone(url, session["session_id"], session["client_token"])
    phone.start(**start)
    phone.until("ready")
    return session, phone


def cue_of(phone: LivePhone, camera: Camera, index: int) -> dict[str, Any]:
    """Film until that cue is shown."""
    for _ in range(200):
        camera.films(0.1)
        while (message := phone.next()) is not None:
            if message["type"] in ("cue", "finishing") and message.get("index", index) == index:
                return message
    raise AssertionError(f"cue {index} never came")


def test_a_person_is_led_cue_by_cue_to_a_pass(world: World, url: str) -> None:
    examiner = TimedExaminer()
    with judging(world, examiner):
        session, phone = call(world, url)
        camera = Camera(phone)
        shown = []
        for index in range(20):
            cue = cue_of(phone, camera, index)
            if cue["type"] == "finishing":
                break
            shown.append(cue)
            camera.does(cue)
        camera.ends()
        phone.until("judging")
        verdict = phone.until("verdict")
        until(lambda: phone.close_code is not None)
    assert (verdict["status"], verdict["reasons"], phone.close_code) == ("passed", [], 1000)
    assert status(world, session)["status"] == "passed"
    assert [cue["index"] for cue in shown] == list(range(shown[0]["of"]))
    assert {cue["step"] for cue in shown} == {"say", "turn"}
    assert phone.outcome().of("guidance")
    # what is said to the phone holds nothing that measures the person
    words = " ".join(json.dumps(each.message) for each in phone.messages)
    assert not any(word in words for word in ("value", "limit", "yaw", "score"))
    (timing,) = examiner.seen
    assert [cue.step for cue in timing.cues] == list(range(len(shown)))
    assert timing.clock_ratio == pytest.approx(1, abs=0.2)


def test_later_digits_are_not_sent_before_their_cue(world: World, url: str) -> None:
    session, phone = call(world, url)
    camera = Camera(phone)
    first = cue_of(phone, camera, 0)
    camera.films(1.0)
    with world.service.database.engine.connect() as connection:
        query = text("SELECT steps, reveal FROM challenges WHERE session_id = :id")
        steps, reveal = connection.execute(query, {"id": session["session_id"]}).one()
    assert reveal == "cue_by_cue"
    said = [step["say"] for step in steps if "say" in step]
    told = set(texts([each.message for each in phone.messages]))
    assert told & set(said) == ({first["digits"]} if first["step"] == "say" else set())
    phone.close()


def texts(message: object) -> Iterator[str]:
    """Every word in a message, however deep: not its numbers, whose digits mean times and sizes."""
    match message:
        case str():
            yield from message.split()
        case list() | tuple():
            for each in message:
                yield from texts(each)
        case dict():
            for each in message.values():
                yield from texts(each)
        case _:
            pass


def failed(phone: LivePhone) -> tuple[str, int | None]:
    """The code of the failure and the close code."""
    message = phone.until("failed", wait_s=20)
    until(lambda: phone.close_code is not None)
    return str(message["code"]), phone.close_code


def spent(world: World, session: dict[str, Any]) -> tuple[str, list[str], bool]:
    """State and reasons of the session, and whether its challenge is spent."""
    state = status(world, session)
    with world.service.database.engine.connect() as connection:
        query = text("SELECT spent_at FROM challenges WHERE session_id = :id ORDER BY issued_at DESC LIMIT 1")
        row = connection.execute(query, {"id": session["session_id"]}).one_or_none()
    return state["status"], state["reasons"], row is not None and row.spent_at is not None


def test_a_silent_client_is_ended(world: World, url: str) -> None:
    session, phone = call(world, url)
    assert failed(phone) == ("media_stalled", 4422)
    assert spent(world, session) == ("failed", ["media_stalled"], True)


def test_a_client_that_never_starts_spends_nothing(world: World, url: str) -> None:
    session = world.session()
    phone = LivePhone(url, session["session_id"], session["client_token"])
    assert phone.until("refused")["code"] == "start_timeout"
    until(lambda: phone.close_code == 4408)
    assert status(world, session)["status"] == "created"


def test_a_client_that_vanishes_has_spent_its_attempt(world: World, url: str) -> None:
    session, phone = call(world, url)
    camera = Camera(phone)
    cue_of(phone, camera, 0)
    phone.vanish()
    until(lambda: spent(world, session) == ("failed", ["connection_lost"], True))
    again = LivePhone(url, session["session_id"], session["client_token"])
    again.start()
    assert again.until("ready")["attempts_left"] == 1, "another attempt may follow, with another challenge"
    again.close()


def test_garbage_is_no_recording(world: World, url: str) -> None:
    session, phone = call(world, url)
    phone.send(1, b"#EXTM3U\nfile:///etc/passwd\n" * 10)
    assert failed(phone) == ("recording_unreadable", 4422)
    assert spent(world, session) == ("failed", ["recording_unreadable"], True)


def test_garbage_after_a_good_beginning_is_no_recording(world: World, url: str) -> None:
    session, phone = call(world, url)
    camera = Camera(phone)
    camera.films(0.4)
    noise = np.random.default_rng(5).integers(0, 256, 50_000, np.uint8).tobytes()
    for _ in range(30):
        phone.send(1, noise)
        time.sleep(0.1)
        if phone.next() is not None and phone.messages[-1].message["type"] == "failed":
            break
    until(lambda: spent(world, session)[2])
    assert spent(world, session)[0] == "failed"


@pytest.mark.parametrize("payload", [b"", b"\x09abc", b"\x01" + bytes(MESSAGE_MAX_BYTES)])
def test_messages_that_are_none_end_it(world: World, url: str, payload: bytes) -> None:
    session, phone = call(world, url)
    phone._socket.send(payload)
    assert failed(phone) == ("recording_unreadable", 4422)
    assert spent(world, session)[0] == "failed"


def test_more_than_the_policy_takes_is_refused_while_it_comes(world: World, url: str) -> None:
    session, phone = call(world, url)
    head = Camera(phone)
    head.films(0.4)
    with suppress(ConnectionClosed):  # the service closes while we still send
        for _ in range(30):
            phone.send(1, bytes(900_000))
    until(lambda: spent(world, session) == ("failed", ["recording_unreadable"], True))


def test_everything_sent_at_once_does_not_become_a_take(world: World, url: str) -> None:
    """A recording made before: somebody looks, turns, speaks; all of it arrives in one second."""
    webm = GrowingWebm(width=SIZE[0], height=SIZE[1])
    for number in range(20 * FPS):
        webm.picture(looking(32 if number // 10 % 4 == 3 else 0), 1000 * number // FPS)
        webm.sound(np.zeros(48_000 // FPS, np.float32))
    webm.close()
    recording = webm.taken()
    session, phone = call(world, url)
    with suppress(ConnectionClosed):  # the service may see enough before all is sent
        for start in range(0, len(recording), 100_000):
            phone.send(1, recording[start : start + 100_000])
        phone.say(type="done")
    reason, _ = failed(phone)
    assert reason == "answered_too_early"
    assert spent(world, session) == ("failed", ["answered_too_early"], True)


def test_a_cue_without_a_response_times_out(world: World, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from liveness import policy

    quick = replace(policy.STRICT, cue_deadline=policy.Limit(1_500, "ms", "a test's"))
    monkeypatch.setitem(policy.POLICIES, "strict", quick)
    session, phone = call(world, url)
    camera = Camera(phone)
    cue_of(phone, camera, 0)
    camera.films(2.5)
    assert failed(phone) == ("cue_timeout", 4422)
    assert spent(world, session) == ("failed", ["cue_timeout"], True)


def test_somebody_who_is_not_there_is_told_and_ends(world: World, url: str) -> None:
    _, phone = call(world, url)
    camera = Camera(phone)
    camera.films(4.6, None)
    assert failed(phone) == ("no_face", 4422)
    codes = [message["code"] for message in phone.outcome().of("guidance")]
    assert codes
    assert set(codes) == {"no_face"}


def test_the_wrong_person_is_let_nowhere(world: World, url: str) -> None:
    mine, other = world.session("user-1"), world.session("user-2")
    for token, expected in (("mien_person_" + "x" * 43, "unauthenticated"), (other["client_token"], "not_found")):
        phone = LivePhone(url, mine["session_id"], token)
        phone.start()
        assert phone.until("refused")["code"] == expected
        until(lambda phone=phone: phone.close_code in (4401, 4404))
    phone = LivePhone(url, mine["session_id"], "none")
    phone.start(token=world.keys["app"])
    assert phone.until("refused")["code"] == "forbidden"
    assert status(world, mine)["status"] == "created"


def test_a_token_may_come_in_the_first_message(world: World, url: str) -> None:
    session = world.session()
    phone = LivePhone(url, session["session_id"], "none")
    phone.start(token=session["client_token"])
    assert phone.until("ready")["attempts_left"] == 2
    phone.close()


def test_a_session_is_live_on_one_connection(world: World, url: str) -> None:
    session, phone = call(world, url)
    second = LivePhone(url, session["session_id"], session["client_token"])
    second.start()
    assert second.until("refused")["code"] == "live_in_progress"
    camera = Camera(phone)
    assert cue_of(phone, camera, 0)["index"] == 0, "the first goes on"
    phone.close()


def test_a_challenge_drawn_beside_it_voids_the_live_one(world: World, url: str) -> None:
    session, phone = call(world, url)
    camera = Camera(phone)
    cue_of(phone, camera, 0)
    world.challenge(session)
    phone.vanish()
    time.sleep(0.5)
    assert status(world, session)["status"] == "challenged", "the newer challenge stands"


def test_its_challenge_takes_no_upload(world: World, url: str) -> None:
    session, phone = call(world, url)
    assert code(world.capture(session, b"live 200,40,40")) == "challenge_missing"
    phone.close()


def test_one_more_than_fits_is_told_to_upload_instead(world: World) -> None:
    with listening(world, LiveSessions(1, patience=SHORT)) as url:
        _, phone = call(world, url)
        session = world.session("user-2")
        with pytest.raises(InvalidStatus) as refused:
            LivePhone(url, session["session_id"], session["client_token"])
        assert refused.value.response.status_code == 503
        assert json.loads(refused.value.response.body or b"")["code"] == "live_busy"
        phone.vanish()
        until(lambda: _fits(url, session))
        world.challenge(session)


def _fits(url: str, session: dict[str, Any]) -> bool:
    try:
        LivePhone(url, session["session_id"], session["client_token"]).close()
    except InvalidStatus:
        return False
    return True


def test_a_judge_that_does_not_answer_is_not_waited_for_for_ever(world: World) -> None:
    with listening(world, LiveSessions(1, patience=replace(SHORT, judging=500))) as url:
        session, phone = call(world, url)
        camera = Camera(phone)
        for index in range(20):
            cue = cue_of(phone, camera, index)
            if cue["type"] == "finishing":
                break
            camera.does(cue)
        camera.ends()
        assert phone.until("later")["code"] == "judging_timeout"
        until(lambda: phone.close_code == 4408)
    assert status(world, session)["status"] == "judging", "the verdict may still come"


def test_models_that_fail_are_not_the_persons_fault(world: World) -> None:
    engines = replace(world.service.faces, streams=BrokenStreams())
    broken = World(world.client, replace(world.service, faces=engines), world.clock, world.keys)
    with listening(broken, LiveSessions(1, patience=SHORT)) as url:
        session, phone = call(world, url)
        assert failed(phone) == ("not_measured", 4422)
    assert spent(world, session) == ("failed", ["not_measured"], True)


def test_pictures_beside_the_recording_guide_before_it_begins(world: World, url: str) -> None:
    import io

    from PIL import Image

    _, phone = call(world, url)
    content = io.BytesIO()
    Image.fromarray(looking(25)).save(content, "JPEG")
    for _ in range(10):
        phone.send(2, content.getvalue())
        time.sleep(0.1)
    codes = {message["code"] for message in phone.outcome().of("guidance")}
    assert codes == {"look_straight"}
    assert not phone.outcome().of("cue"), "nothing is asked before there is a recording"
    phone.close()


def test_nothing_of_the_person_is_logged(world: World, url: str, caplog: pytest.LogCaptureFixture) -> None:
    session, phone = call(world, url)
    camera = Camera(phone)
    cue = cue_of(phone, camera, 0)
    phone.vanish()
    until(lambda: spent(world, session)[2])
    assert session["client_token"] not in caplog.text
    until(lambda: "broke off" in caplog.text)
    logged = texts([record.getMessage() for record in caplog.records if record.name.startswith("mien")])
    assert "digits" not in cue or cue["digits"] not in set(logged)


@pytest.mark.alone
@pytest.mark.weights
def test_a_simulated_person_passes_live_on_real_models(weights: Path) -> None:
    """In real time, so a busy machine may cost an attempt; a person has three too."""
    with served(weights) as (url, app_key, _):
        session_id, token = new_session(url, app_key, "live")
        outcomes = []
        for seed in (3, 4, 5):
            outcomes.append(perform_live(url, session_id, token, live_person(weights, seed=seed)))
            if outcomes[-1].last.get("status") == "passed":
                break
    assert outcomes[-1].last.get("status") == "passed", [outcome.last for outcome in outcomes]
    assert outcomes[-1].close_code == 1000
    cues = outcomes[-1].of("cue")
    assert [cue["index"] for cue in cues] == list(range(cues[0]["of"]))
