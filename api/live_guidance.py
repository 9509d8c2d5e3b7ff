"""Looks at and listens to a recording while it is made: two threads a session, and a bound on how many there are at once.

What comes out guides a person and paces the cues; it decides nothing. Pictures are skipped when there is no time for them,
bytes of the recording never are.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from api.errors import Problem
from liveness.capture import Frame, RgbImage
from liveness.decode import GrowingRecording, decode_preview
from liveness.errors import MediaError
from liveness.evidence import Face, Listener
from liveness.guide import FaceStream, FaceStreams, Glance, Hearing
from liveness.live import Ear, Patience
from liveness.policy import LivenessPolicy

log = logging.getLogger("mien.api")

PER_CORE = 2
"""Live sessions a core carries with guidance within 300 ms (``make bench`` measures it)."""

PATIENCE = Patience()
_LEAST_SOUND_MS = 100  # so much is listened to at a time
_MOST_WAITING = 50  # pieces of sound
_WAIT_S = 0.05
_RATE_HZ = 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Blind:
    """Nothing more will be seen. ``ours``: because a model failed, not for what was sent."""

    ours: bool


Found = Glance | Hearing | Blind


class LiveSessions:
    """Which live sessions run in this process, and how many may."""

    def __init__(self, at_once: int | None = None, *, patience: Patience = PATIENCE) -> None:
        """at_once : ``None`` for :data:`PER_CORE` times the cores."""
        self.at_once = at_once if at_once is not None else PER_CORE * (os.cpu_count() or 1)
        self.patience = patience
        self._running: set[str] = set()
        self._opened = 0

    @property
    def full(self) -> bool:
        return len(self._running) >= self.at_once

    @contextmanager
    def connection(self) -> Iterator[None]:
        """A connection that has not said yet who it is. Raises: Problem ``live_busy``."""
        if self.full or self._opened >= 4 * self.at_once + 8:
            raise Problem("live_busy")
        self._opened += 1
        try:
            yield
        finally:
            self._opened -= 1

    @contextmanager
    def place(self, session_id: str) -> Iterator[None]:
        """One of the places. Raises: Problem ``live_busy``, or ``live_in_progress`` when that session has one."""
        if session_id in self._running:
            raise Problem("live_in_progress")
        if self.full:
            raise Problem("live_busy")
        self._running.add(session_id)
        try:
            yield
        finally:
            self._running.discard(session_id)


class Guidance:
    """The eyes and the ear of one live session.

    ``tell`` is called from threads of this class. Everything else may be called from any thread and does not wait.
    """

    def __init__(
        self,
        streams: FaceStreams,
        listener: Listener | None,
        *,
        policy: LivenessPolicy,
        tell: Callable[[Found], None],
    ) -> None:
        self._recording = GrowingRecording(policy=policy)
        self._streams = streams
        self._ear = Ear(listener)
        self._tell = tell
        self._lock = threading.Lock()
        self._shown: list[bool] = []
        self._preview: bytes | None = None
        self._pcm: list[NDArray[np.float32]] = []
        self._began = time.monotonic()
        self._growing = self._audible = False  # pictures, and sound, come out of the recording itself
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._play, name="live recording", daemon=True),
            threading.Thread(target=self._look, name="live guidance", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the recording."""
        self._recording.feed(chunk)

    def preview(self, jpeg: bytes) -> None:
        """A picture beside the recording; only the newest counts, and none once the recording itself shows pictures."""
        with self._lock:
            self._preview = jpeg

    def listen(self, samples: NDArray[np.float32]) -> None:
        """Sound beside the recording."""
        with self._lock:
            if not self._audible:
                self._pcm = [*self._pcm, samples][-_MOST_WAITING:]

    def cue_shown(self, *, digits: bool) -> None:
        """A cue is on its way; digits are to be said, or not."""
        with self._lock:
            self._shown.append(digits)

    def close(self) -> None:
        """Let everything go. Does not wait for the threads: they end by themselves."""
        self._closed.set()
        self._recording.close()

    def _play(self) -> None:
        try:
            self._recording.play()
        except MediaError:
            if not self._closed.is_set():
                self._tell(Blind(ours=False))

    def _look(self) -> None:
        stream: FaceStream | None = None
        try:
            stream = self._streams.stream()
            while not self._closed.is_set():
                frame = self._next()
                if frame is not None:
                    self._tell(glance_of(stream.look(frame.image, frame.at_ms), frame))
                hearing = self._hear()
                if hearing is not None:
                    self._tell(hearing)
        except Exception as error:  # whatever a model raises: the session must end, and say so
            log.error("live guidance failed: %s", type(error).__name__)
            if not self._closed.is_set():
                self._tell(Blind(ours=True))
        finally:
            if stream is not None:
                stream.close()

    def _next(self) -> Frame | None:
        """The next picture, from the recording or beside it."""
        try:
            frame = self._recording.next(_WAIT_S)
        except MediaError:
            frame = None
        with self._lock:
            jpeg, self._preview = self._preview, None
        if frame is not None:
            self._growing = True
            return frame
        if self._recording.ended and jpeg is None:
            self._closed.wait(_WAIT_S)
        if jpeg is None or self._growing:
            return None
        try:
            image = decode_preview(jpeg)
        except MediaError:
            return None
        return Frame(at_ms=round(1000 * (time.monotonic() - self._began)), image=image)

    def _hear(self) -> Hearing | None:
        with self._lock:
            shown, self._shown = self._shown, []
        for digits in shown:
            self._ear.cue_shown(digits=digits)
        sound = self._recording.sound()
        with self._lock:
            if sound is not None:
                self._pcm = [*self._pcm, sound] if self._audible else [sound]
                self._audible = True
            enough = sum(map(len, self._pcm)) >= _LEAST_SOUND_MS * _RATE_HZ // 1000
            samples, self._pcm = (self._pcm, []) if enough else ([], self._pcm)
        return self._ear.feed(np.concatenate(samples)) if samples else None


def glance_of(faces: tuple[Face, ...], frame: Frame) -> Glance:
    """What guidance needs of a picture in which these faces were found."""
    image = frame.image
    return Glance(
        at_ms=frame.at_ms,
        faces=faces,
        width=image.shape[1],
        height=image.shape[0],
        brightness=_brightness(image, faces[0]) if faces else None,
    )


def _brightness(image: RgbImage, face: Face) -> float | None:
    """Mean luma (ITU-R BT.601) of every fourth pixel of the face's box, 0..255."""
    box = face.box
    left, top = max(0, int(box.x)), max(0, int(box.y))
    part = image[top : int(box.y + box.height) : 4, left : int(box.x + box.width) : 4].reshape(-1, 3)
    if len(part) == 0:
        return None
    return float(part.mean(axis=0) @ np.array([0.299, 0.587, 0.114]))
