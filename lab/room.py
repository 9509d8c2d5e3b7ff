"""The room a voice is heard in: walls, hiss, a loudspeaker where somebody plays it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from liveness.capture import Audio

Sound = NDArray[np.float32]

HISS_DB = -58.0
"""Relative to full scale: a quiet room."""

_VOICE_PEAK = 0.5  # of full scale
_ECHO = 0.12  # of the voice: how much of it comes back from the walls
_ECHO_S = 0.25
_SPEAKER_HZ = (260.0, 7200.0)  # what a phone's or tablet's loudspeaker passes


def in_a_room(
    voice: Sound,
    rate_hz: int,
    chance: np.random.Generator,
    *,
    hiss_db: float = HISS_DB,
    echo: float = _ECHO,
    peak: float = _VOICE_PEAK,
) -> Audio:
    """The voice as a phone hears it: at a speaking level, with some of it back from the walls, over a room's hiss."""
    loudest = float(np.abs(voice).max(initial=0.0))
    level = voice * np.float32(peak / loudest) if loudest > 0 else voice
    length = int(_ECHO_S * rate_hz)
    tail = chance.normal(0, 1, length) * np.exp(-6.9 * np.arange(length) / length)
    tail[: rate_hz * 8 // 1000] = 0  # the nearest wall is over a metre away
    tail *= echo / np.linalg.norm(tail)
    size = 1 << (len(level) + length - 1).bit_length()
    back = np.fft.irfft(np.fft.rfft(level, size) * np.fft.rfft(tail, size), size)[: len(level)]
    hiss = np.convolve(chance.normal(0, 1, len(level) + 15), np.hanning(18)[1:-1], mode="valid")[: len(level)]
    hiss *= 10 ** (hiss_db / 20) / max(float(hiss.std()), 1e-9)
    return Audio(samples=np.clip(level + back + hiss, -1, 1).astype(np.float32), rate_hz=rate_hz)


def through_a_speaker(voice: Sound, rate_hz: int) -> Sound:
    """The voice as a small loudspeaker gives it: without its lows and highest highs, and a little distorted."""
    spectrum = np.fft.rfft(voice)
    hz = np.fft.rfftfreq(len(voice), 1 / rate_hz)
    low, high = _SPEAKER_HZ
    passed = 1 / np.sqrt((1 + (low / np.maximum(hz, 1.0)) ** 6) * (1 + (hz / high) ** 6))
    played = np.fft.irfft(spectrum * passed, len(voice))
    return np.asarray(np.tanh(1.6 * played) / 1.6, np.float32)
