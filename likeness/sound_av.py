"""Sound as films have it, 48 kHz and stereo where it was recorded so, and voices to be told apart; with FFmpeg (PyAV).

What is judged is heard at 16 kHz in one channel (:mod:`liveness.decode`); what people listen to is not. The bytes are opened
through the same door as everything that is handed in.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from likeness.soundtrack import SOUND_RATE_HZ, Sound
from liveness.capture import Audio
from liveness.decode import (
    MAX_SOUND_BYTES,
    MAX_SOUND_MS,
    MediaCode,
    _best_audio,
    _check_headers,
    _only_media_errors,
    _opened,
)
from liveness.errors import MediaError
from liveness.policy import STRICT

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

_GAP_S = Fraction(6, 100)  # recorders jitter by a packet; more is a real gap (as liveness.decode has it)
_BAD_PACKETS = 50


def decode_film_sound(data: bytes, *, origin_ms: int = 0) -> Sound:
    """The sound of a recording, at 48 kHz in one or two channels. Gaps are silence.

    data : untrusted bytes; at most a minute of it. origin_ms : what its container's clock shows when the first picture is seen.

    Raises: MediaError, ``media_no_sound`` when there is none.
    """
    with _only_media_errors():
        kind = _check_headers(data, max_bytes=MAX_SOUND_BYTES, max_side=int(STRICT.max_side.value), sound=True)
        with _opened(data, kind) as container:
            stream = _best_audio(container)
            if stream is None:
                raise MediaError("there is no sound track", code=MediaCode.NO_SOUND)
            heard = _Heard()
            bad = 0
            from av.error import FFmpegError

            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except FFmpegError:
                    bad += 1
                    if bad > _BAD_PACKETS:
                        raise
                    continue
                for frame in frames:
                    heard.feed(frame)
    return heard.sound(origin_ms)


class _Heard:
    """Collects frames; what comes late on the container's clock is put where it belongs."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.float32]] = []
        self._start_s = Fraction(0)
        self._end_s: Fraction | None = None
        self._shape: tuple[str, str, int] | None = None
        self._channels = 1

    def feed(self, frame: AudioFrame) -> None:
        from av.audio.resampler import AudioResampler

        if frame.sample_rate <= 0 or frame.samples <= 0:
            return
        at_s = frame.pts * frame.time_base if frame.pts is not None and frame.time_base else self._end_s or Fraction(0)
        if self._end_s is None:
            self._start_s = self._end_s = at_s
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            self._finish()
            self._resampler, self._shape = AudioResampler(format="fltp", layout="stereo", rate=SOUND_RATE_HZ), shape
        if at_s - self._end_s > _GAP_S:
            self._check(at_s)
            self._finish()
            self._resampler = AudioResampler(format="fltp", layout="stereo", rate=SOUND_RATE_HZ)
            self._parts.append(np.zeros((2, round((at_s - self._end_s) * SOUND_RATE_HZ)), np.float32))
            self._end_s = at_s
        self._channels = max(self._channels, min(len(frame.layout.channels), 2))
        self._end_s += Fraction(frame.samples, frame.sample_rate)
        self._check(self._end_s)
        frame.pts = None
        self._parts += [np.asarray(each.to_ndarray(), np.float32) for each in self._resampler.resample(frame)]

    def sound(self, origin_ms: int) -> Sound:
        self._finish()
        if not self._parts:
            raise MediaError("the sound track is empty", code=MediaCode.NO_SOUND)
        samples = np.clip(np.nan_to_num(np.concatenate(self._parts, axis=1)), -1.0, 1.0).astype(np.float32)
        if self._channels == 1:
            samples = samples.mean(axis=0, keepdims=True)
            samples /= max(float(np.abs(samples).max(initial=0.0)), 1.0)
        return Sound(samples=samples, start_ms=round(1000 * self._start_s) - origin_ms)

    def _finish(self) -> None:
        if self._shape is not None:
            self._parts += [np.asarray(each.to_ndarray(), np.float32) for each in self._resampler.resample(None)]

    def _check(self, end_s: Fraction) -> None:
        if 1000 * (end_s - self._start_s) > MAX_SOUND_MS + 1000:
            raise MediaError(f"more than {MAX_SOUND_MS} ms of sound", code=MediaCode.TOO_LONG)


def pitched(audio: Audio, factor: float) -> Audio:
    """The same speech as by a person with a shorter (above 1) or longer throat: pitch and formants times ``factor``, every
    sound at its time and as long as it was."""
    from av.audio.frame import AudioFrame
    from av.error import BlockingIOError as NothingYet
    from av.error import EOFError as Ended
    from av.filter import Graph

    if factor == 1.0 or not len(audio.samples):
        return audio
    graph = Graph()
    parts = [
        graph.add_abuffer(sample_rate=audio.rate_hz, format="flt", layout="mono", time_base=Fraction(1, audio.rate_hz)),
        graph.add("asetrate", str(round(audio.rate_hz * factor))),
        graph.add("aresample", str(audio.rate_hz)),
        graph.add("atempo", repr(1 / factor)),
        graph.add("abuffersink"),
    ]
    for one, next_one in pairwise(parts):
        one.link_to(next_one)
    graph.configure()
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(audio.samples[None]), format="flt", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = audio.rate_hz, Fraction(1, audio.rate_hz), 0
    graph.push(frame)
    graph.push(None)
    made = []
    while True:
        try:
            made.append(np.asarray(graph.pull().to_ndarray(), np.float32).reshape(-1))
        except (Ended, NothingYet):
            break
    samples = np.zeros(len(audio.samples), np.float32)
    shifted = np.concatenate(made)[: len(samples)]
    samples[: len(shifted)] = np.clip(shifted, -1, 1)
    return replace(audio, samples=samples)
