"""A phone in code that performs a live session: it films a simulated person, streams what it films, and shows them each cue.

The person is rendered while they are filmed: nobody knows the steps before the service sends them. With :func:`measure_live`
the same phone, many times over, measures how soon guidance comes back.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from lab.camera import Sensor
from lab.errors import LabError
from lab.footage import Actor
from lab.person import TURN_DEG, Performance, Sway, perform
from lab.portrait import composed, default_picture
from lab.room import in_a_room
from lab.voice_piper import spoken_digits
from likeness.encode import GrowingWebm
from likeness.soundtrack import SOUND_RATE_HZ
from liveness.capture import Audio, RgbImage
from liveness.challenge import Direction, Nod, SayDigits, Step, Turn
from liveness.checks import SIMULATOR_MARK
from liveness.decode import packet_positions
from liveness.digits import Language
from liveness.errors import MediaError
from liveness.policy import SIMULATED
from liveness.weights import card, open_weights, read_cards

SIZE: Final = (360, 640)
FPS: Final = 20
CHUNK_MS: Final = 200
"""What a browser's recorder is asked to give at a time."""

MEDIA: Final = "video/webm;codecs=vp8,opus"
PROTOCOL: Final = "mien.live.v1"
_TOKEN: Final = "mien.token."  # noqa: S105 - the prefix under which a token is offered
_PATIENCE_S: Final = 90.0
_MOST_LATE_S: Final = 2.0


# --- who is filmed ---------------------------------------------------------------------------------------------------


class LivePerson:
    """Somebody who looks at the camera until told what to do, then does that. Times are ms from the first picture."""

    def __init__(
        self, actor: Actor, spoken: dict[str, Audio], *, seed: int, turn_deg: tuple[float, float] = TURN_DEG
    ) -> None:
        self._actor, self._spoken, self._seed, self._turn_deg = actor, spoken, seed, turn_deg
        self._resting = perform((), spoken, random.Random(f"live {seed}"))
        self._doing: tuple[int, Performance] = (0, self._resting)
        self._sensor = Sensor.of((actor.mesh.width, actor.mesh.height), f"live {seed}")
        self._asked = 0
        self._room = np.random.default_rng(seed)
        self._said: list[tuple[int, NDArray[np.float32]]] = []
        self._hiss = in_a_room(np.zeros(4 * SOUND_RATE_HZ, np.float32), SOUND_RATE_HZ, self._room).samples

    def asked(self, step: Step, at_ms: int) -> None:
        """Told to do this; they react, then do it."""
        self._asked += 1
        chance = random.Random(f"live {self._seed} {self._asked}")
        done = perform((step,), self._spoken, chance, turn_deg=self._turn_deg)
        sways = {name: _later(sway, at_ms) for name, sway in self._resting.sways.items()}
        self._doing = (at_ms, replace(done, sways=sways))
        if done.words:
            voice = in_a_room(done.voice, done.rate_hz, self._room, hiss_db=-120.0)
            self._said.append((at_ms, _resampled(voice)))

    def picture(self, number: int, at_ms: int) -> RgbImage:
        """What the camera sees."""
        began_ms, doing = self._doing
        return self._sensor.sees(self._actor.seen(doing.pose_at(at_ms - began_ms)), number, at_ms)

    def sound(self, start_ms: int, end_ms: int) -> NDArray[np.float32]:
        """What the microphone hears, 48 kHz mono."""
        per_ms = SOUND_RATE_HZ // 1000
        start, count = start_ms * per_ms, (end_ms - start_ms) * per_ms
        heard = np.take(self._hiss, np.arange(start, start + count), mode="wrap").astype(np.float32)
        for began_ms, voice in self._said:
            offset = start - began_ms * per_ms
            part = voice[max(0, offset) : max(0, offset + count)]
            at = max(0, -offset)
            heard[at : at + len(part)] += part
        return np.clip(heard, -1, 1).astype(np.float32)


def live_person(
    weights: Path, *, seed: int, size: tuple[int, int] = SIZE, turn_deg: tuple[float, float] = TURN_DEG
) -> LivePerson:
    """The default portrait with the default voice. Raises: LabError, WeightsError."""
    from liveness.detect_onnx import RfbDetector
    from liveness.faces_mediapipe import MediapipeFaces
    from liveness.find import EveryFace

    marks, detector = card("face_landmarker"), card("face_detector")
    landmarks = MediapipeFaces(open_weights(marks, weights) / marks.only_file.path)
    boxes = RfbDetector(open_weights(detector, weights) / detector.only_file.path, detector.sha256)
    framed = composed(default_picture(), landmarks=landmarks, finder=EveryFace(boxes, landmarks), size=size)
    spoken = spoken_digits(open_weights(card("voice_en", read_cards("likeness")), weights), Language.ENGLISH)
    return LivePerson(Actor.of(framed, landmarks), dict(spoken), seed=seed, turn_deg=turn_deg)


def _later(sway: Sway, by_ms: int) -> Sway:
    """The same wander for a clock that begins ``by_ms`` later."""
    return Sway(waves=tuple((size, period, phase + 2 * math.pi * by_ms / period) for size, period, phase in sway.waves))


def _resampled(audio: Audio) -> NDArray[np.float32]:
    """At 48 kHz."""
    count = round(len(audio.samples) * SOUND_RATE_HZ / audio.rate_hz)
    at = np.arange(count) * audio.rate_hz / SOUND_RATE_HZ
    return np.interp(at, np.arange(len(audio.samples)), audio.samples).astype(np.float32)


# --- the phone -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message of the service, and when it was here: seconds of the phone's clock."""

    message: dict[str, Any] = field(repr=False)
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOutcome:
    """How a live session went.

    messages : all that the service said. close_code : ``None`` when the phone left first. latencies_ms : of each guidance,
    from sending the chunk with the picture that it is about to having it. recording : as streamed.
    """

    messages: tuple[dict[str, Any], ...] = field(repr=False)
    close_code: int | None
    latencies_ms: tuple[float, ...] = field(repr=False)
    recording: bytes = field(repr=False)

    @property
    def last(self) -> dict[str, Any]:
        return self.messages[-1] if self.messages else {}

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The messages of that type, in order."""
        return [message for message in self.messages if message["type"] == kind]


class LivePhone:
    """One connection. Messages are taken as they come, by a thread of its own."""

    def __init__(self, url: str, session_id: str, token: str) -> None:
        """``url`` : of the service, http or https. Raises: what ``websockets`` raises when it is refused."""
        address = f"{url.replace('http', 'ws', 1)}/v1/liveness/sessions/{session_id}/live"
        self._opened = contextlib.ExitStack()
        self._socket: ClientConnection = self._opened.enter_context(
            connect(
                address,
                subprotocols=[PROTOCOL, f"{_TOKEN}{token}"],  # type: ignore[list-item]
                compression=None,
                proxy=None,
                open_timeout=10,
            )
        )
        self._received: queue.Queue[Received | None] = queue.Queue()
        self.messages: list[Received] = []
        self.close_code: int | None = None
        self.sent: list[tuple[int, float]] = []  # bytes of the recording so far, and when
        self.recording = bytearray()
        threading.Thread(target=self._take, name="phone", daemon=True).start()

    def start(self, **more: Any) -> None:
        """The first message."""
        self.say(type="start", media=MEDIA, **more)

    def say(self, **message: Any) -> None:
        self._socket.send(json.dumps(message))

    def send(self, kind: int, payload: bytes) -> None:
        """A binary message: 1 for a chunk of the recording, 2 for a JPEG, 3 for sound."""
        if kind == 1:
            self.recording += payload
            self.sent.append((len(self.recording), time.monotonic()))
        self._socket.send(bytes([kind]) + payload)

    def next(self, wait_s: float = 0.0) -> dict[str, Any] | None:
        """The next message, waiting so long; ``None`` when there is none. Raises: EOFError when it is closed."""
        try:
            received = self._received.get(timeout=wait_s) if wait_s > 0 else self._received.get_nowait()
        except queue.Empty:
            return None
        if received is None:
            self._received.put(None)
            raise EOFError
        self.messages.append(received)
        return received.message

    def until(self, *kinds: str, wait_s: float = _PATIENCE_S) -> dict[str, Any]:
        """The next message of one of these types. Raises: LabError when it does not come, EOFError when it cannot."""
        ends = time.monotonic() + wait_s
        while time.monotonic() < ends:
            message = self.next(0.1)
            if message is not None and message["type"] in kinds:
                return message
        raise LabError(f"no {' or '.join(kinds)} came within {wait_s:.0f} s", code="live_silent")

    def vanish(self) -> None:
        """Gone without a word."""
        self._socket.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(ConnectionClosed, OSError):
            self._opened.close()

    def outcome(self) -> LiveOutcome:
        """Everything so far."""
        while True:
            try:
                if self.next() is None:
                    break
            except EOFError:
                break
        return LiveOutcome(
            messages=tuple(received.message for received in self.messages),
            close_code=self.close_code,
            latencies_ms=_latencies_ms(self.messages, self.sent, bytes(self.recording)),
            recording=bytes(self.recording),
        )

    def _take(self) -> None:
        try:
            while True:
                text = self._socket.recv()
                self._received.put(Received(message=json.loads(text), at_s=time.monotonic()))
        except ConnectionClosed as closed:
            self.close_code = None if closed.rcvd is None else closed.rcvd.code
        finally:
            self._received.put(None)


def _latencies_ms(
    received: Sequence[Received], sent: Sequence[tuple[int, float]], recording: bytes
) -> tuple[float, ...]:
    told = [each for each in received if each.message["type"] == "guidance"]
    if not told:
        return ()
    try:
        ends = {packet.at_ms: packet.end for packet in packet_positions(recording, policy=SIMULATED)}
    except MediaError:  # a phone that sent rubbish has no pictures to place
        return ()
    found = []
    for each in told:
        end = ends.get(each.message["at_ms"])
        left = next((at_s for size, at_s in sent if end is not None and size >= end), None)
        if left is not None:
            found.append(1000 * (each.at_s - left))
    return tuple(found)


def step_of(cue: dict[str, Any]) -> Step:
    """What a cue message asks."""
    match cue["step"]:
        case "say":
            return SayDigits(digits=cue["digits"])
        case "turn":
            return Turn(direction=Direction(cue["turn"]))
        case _:
            return Nod(times=cue["nods"])


def perform_live(
    url: str,
    session_id: str,
    token: str,
    person: LivePerson,
    *,
    size: tuple[int, int] = SIZE,
    fps: int = FPS,
    leave_after_cues: int | None = None,
    **start: Any,
) -> LiveOutcome:
    """A whole live session in real time: film, stream, do as asked, wait for the verdict.

    start : more of the first message (``path``, ``extra_time``, ``mirrored``). leave_after_cues : vanish then.
    """
    phone = LivePhone(url, session_id, token)
    try:
        phone.start(**start)
        phone.until("ready")
        webm = GrowingWebm(width=size[0], height=size[1], metadata={"comment": SIMULATOR_MARK})
        began = time.monotonic()
        number, last_ms, heard_ms, chunk_ms = 0, -1, 0, CHUNK_MS
        cues, finishing = 0, False
        while not finishing:
            time.sleep(max(0.0, began + number / fps - time.monotonic()))
            late_s = time.monotonic() - began - number / fps
            now_ms = round(1000 * (time.monotonic() - began))
            while (message := phone.next()) is not None:
                finishing = finishing or message["type"] == "finishing"
                if message["type"] == "cue":
                    cues += 1
                    person.asked(step_of(message), now_ms)
            taken_ms = max(last_ms + 1, round(1000 * number / fps))  # a busy phone writes what it filmed a little later
            webm.picture(person.picture(number, taken_ms), taken_ms)
            webm.sound(person.sound(heard_ms, taken_ms))
            last_ms = heard_ms = taken_ms
            number += 1 if late_s < _MOST_LATE_S else math.ceil(late_s * fps)  # and at last it skips pictures
            if taken_ms >= chunk_ms:
                chunk_ms = taken_ms + CHUNK_MS
                if chunk := webm.taken():
                    phone.send(1, chunk)
            if leave_after_cues is not None and cues > leave_after_cues:
                phone.vanish()
                return phone.outcome()
        webm.close()
        phone.send(1, webm.taken())
        phone.say(type="done")
        phone.until("verdict", "failed", "later", "refused")
        with contextlib.suppress(EOFError):
            phone.until("nothing more", wait_s=2)
    except (EOFError, ConnectionClosed, LabError):
        pass
    finally:
        outcome = phone.outcome()
        phone.close()
    return outcome


# --- how soon guidance comes -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFigures:
    """Of ``at_once`` live sessions on this machine. p50_ms, p95_ms : of guidance, from sending a picture to being told.
    cores : that the serving process kept busy for one session; unlike the times, about the same on a busy machine."""

    at_once: int
    guided: int
    p50_ms: float
    p95_ms: float
    cores: float


def measure_live(weights: Path, *, at_once: Sequence[int] = (1, 2, 4), seconds: float = 10.0) -> list[LiveFigures]:
    """Starts the service, streams recorded people to it in real time, and measures. The phones run in this process."""
    chunks = _filmed(live_person(weights, seed=1), seconds=seconds)
    figures = []
    with served(weights, MIEN_LIVE_SESSIONS=str(max(at_once))) as (url, app_key, pid):
        for count in at_once:
            spent_s, began_s = _spent_s(pid), time.monotonic()
            latencies: list[float] = []
            phones = [
                threading.Thread(target=_stream, args=(url, *new_session(url, app_key, f"live-{count}-{n}"), chunks, latencies))
                for n in range(count)
            ]  # fmt: skip
            for phone in phones:
                phone.start()
                time.sleep(CHUNK_MS / 1000 / count)
            for phone in phones:
                phone.join()
            ranked = sorted(latencies)
            figures.append(
                LiveFigures(
                    at_once=count,
                    guided=len(ranked),
                    p50_ms=statistics.median(ranked) if ranked else math.inf,
                    p95_ms=ranked[int(0.95 * (len(ranked) - 1))] if ranked else math.inf,
                    cores=(_spent_s(pid) - spent_s) / (time.monotonic() - began_s) / count,
                )
            )
    return figures


def _spent_s(pid: int) -> float:
    """Seconds of processor time that a process used so far, without its children."""
    import psutil

    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _filmed(person: LivePerson, *, seconds: float) -> list[tuple[int, bytes]]:
    """Chunks of somebody who turns now and then, with the time at which a phone would send each."""
    webm = GrowingWebm(width=SIZE[0], height=SIZE[1], metadata={"comment": SIMULATOR_MARK})
    chunks, heard_ms = [], 0
    for number in range(int(seconds * FPS)):
        at_ms = 1000 * number // FPS
        if at_ms % 3000 == 0 and at_ms:
            person.asked(Turn(direction=Direction.LEFT if at_ms % 6000 else Direction.RIGHT), at_ms)
        webm.picture(person.picture(number, at_ms), at_ms)
        webm.sound(person.sound(heard_ms, at_ms))
        heard_ms = at_ms
        if at_ms and at_ms % CHUNK_MS == 0:
            chunks.append((at_ms, webm.taken()))
    return chunks


def _stream(url: str, session_id: str, token: str, chunks: list[tuple[int, bytes]], latencies: list[float]) -> None:
    phone = LivePhone(url, session_id, token)
    try:
        phone.start()
        phone.until("ready")
        began = time.monotonic()
        for at_ms, chunk in chunks:
            time.sleep(max(0.0, began + at_ms / 1000 - time.monotonic()))
            phone.send(1, chunk)
    except (ConnectionClosed, EOFError, LabError):
        pass
    time.sleep(0.5)
    latencies += phone.outcome().latencies_ms
    phone.close()


def new_session(url: str, app_key: str, who: str) -> tuple[str, str]:
    """A session of a new person: its id and the phone's token."""
    answer = httpx.post(
        f"{url}/v1/liveness/sessions",
        json={"subject_ref": who, "language": "en", "purpose": "digital_double", "policy": "simulated"},
        headers={"Authorization": f"Bearer {app_key}"},
        timeout=30,
    )
    answer.raise_for_status()
    body = answer.json()
    return str(body["session_id"]), str(body["client_token"])


@contextmanager
def served(weights: Path, **environment: str) -> Iterator[tuple[str, str, int]]:
    """``mien serve`` in a folder of its own: its address, a key of an app, and its process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="mien-live-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user when we are root
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MIEN_")}
        settings = {
            "MIEN_VAR": folder,
            "MIEN_WEIGHTS": str(weights.resolve()),
            "MIEN_PORT": str(port),
            "MIEN_POLICY": "simulated",
            "MIEN_MINIMUM_ASSURANCE": "simulated",
        }
        url = f"http://127.0.0.1:{port}"
        log = Path(folder) / "log.txt"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "api.cli", "serve"], env=kept | settings | environment, stdout=out, stderr=out
            )
        try:
            _wait(lambda: _ready(url), process)
            found = [word for word in log.read_text().split() if word.startswith("mien_app_")]
            yield url, found[0], process.pid
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/readyz", timeout=5).json().get("worker") == "there")
    except (httpx.HTTPError, ValueError):
        return False


def _wait(ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + _PATIENCE_S
    while not ready():
        if process.poll() is not None or time.monotonic() > ends:
            raise LabError("the service did not come up", code="service_missing")
        time.sleep(0.3)
