"""Where in a recording somebody makes a sound: stretches whose energy stands out over the noise floor.

This knows loudness only. It cannot tell a voice from a cough; whoever uses it must ask a model what was said. It gives
recognised words their edges (a model's word times are soft by 100 to 200 ms) and tells silence from something to listen to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

HOP_MS: Final = 10
"""Distance between energy readings, ms."""

WINDOW_MS: Final = 25
"""Length of one energy reading, ms: two periods of a low voice (80 Hz)."""

BAND_HZ: Final = (120.0, 4000.0)
"""Energy is taken in this band: mains hum with its first harmonic lies below, most of speech inside (telephone speech
is 300 to 3,400 Hz; 120 keeps the voicing of soft vowels)."""

SILENCE_DBFS: Final = -70.0
"""Nothing below this is a sound: quantisation noise of 16-bit audio with a little dither is near -90 dBFS, the quietest
recordings of real speech that we measured peak at -35 and mean -50 dBFS in the vowels."""

RISE_DB: Final = 8.0
"""A burst must rise this far over the noise floor. Readings of 25 ms of white noise in the band spread by about +-2.5 dB
(5th to 95th percentile), so chance stays below."""

RANGE_DB: Final = 30.0
"""Sounds more than this below the loudest are not looked for: room echo and breath."""

JOIN_MS: Final = 180
"""Gaps shorter than this lie inside a word (the closure in "six" and "eight" lasts 50 to 120 ms, longer where the release is
faint)."""

SHORTEST_MS: Final = 70
"""Shorter bursts are clicks; the shortest spoken digits that we measured last 140 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """One stretch of sound, half-open, milliseconds from the first sample. peak_dbfs : its loudest reading."""

    start_ms: int
    end_ms: int
    peak_dbfs: float


def loudness(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float64]:
    """Energy in :data:`BAND_HZ` every :data:`HOP_MS`, dB of full scale, ``(n,) float64``; reading ``i`` is centred on
    ``i * HOP_MS + HOP_MS / 2``."""
    hop, window, around = _reading(rate_hz)
    count = len(samples) // hop
    if count == 0:
        return np.zeros(0)
    padded = np.pad(np.asarray(samples, dtype=np.float64), (around, window))
    return _readings(padded, rate_hz)[:count]


def _reading(rate_hz: int) -> tuple[int, int, int]:
    """In samples: from one reading to the next, the length of one, and how far one reaches to before its own hop."""
    hop, window = rate_hz * HOP_MS // 1000, rate_hz * WINDOW_MS // 1000
    return hop, window, (window - hop) // 2


def _readings(padded: NDArray[np.float64], rate_hz: int) -> NDArray[np.float64]:
    """The reading of every whole window in ``padded``, one a hop, dB of full scale."""
    hop, window, _ = _reading(rate_hz)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    # a bell over each reading, else the edges of a loud hum leak into the band
    bell = np.hanning(window)
    spectrum = np.abs(np.fft.rfft(frames * bell, axis=1)) ** 2
    hz = np.fft.rfftfreq(window, 1 / rate_hz)
    inside = (hz >= BAND_HZ[0]) & (hz <= BAND_HZ[1])
    power = 2 * spectrum[:, inside].sum(axis=1) / (window * float((bell**2).sum()))
    decibels: NDArray[np.float64] = 10 * np.log10(power + 1e-12)
    return decibels


def bursts(samples: NDArray[np.float32], rate_hz: int) -> tuple[Burst, ...]:
    """The stretches of sound in ``samples`` (``(n,) float32`` in -1..1), in order; empty when nothing stands out.

    The noise floor is the 15th percentile of the readings: a spoken challenge pauses between digits, so more than that
    share of it is pause. A sound that never pauses (hum, music, a crowd) has itself as floor and gives few or no bursts.
    """
    return bursts_in(loudness(samples, rate_hz))


def bursts_in(level: NDArray[np.float64]) -> tuple[Burst, ...]:
    """:func:`bursts` for who has the :func:`loudness` already."""
    if len(level) == 0:
        return ()
    floor = float(np.percentile(level, 15))
    threshold = max(floor + RISE_DB, float(level.max()) - RANGE_DB, SILENCE_DBFS)
    loud = np.concatenate(([False], level >= threshold, [False]))
    starts = np.flatnonzero(loud[1:] & ~loud[:-1])
    ends = np.flatnonzero(~loud[1:] & loud[:-1])
    joined: list[tuple[int, int]] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if joined and (start - joined[-1][1]) * HOP_MS < JOIN_MS:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(
        Burst(start_ms=start * HOP_MS, end_ms=end * HOP_MS, peak_dbfs=float(level[start:end].max()))
        for start, end in joined
        if (end - start) * HOP_MS >= SHORTEST_MS
    )


LOUDNESS_DBFS: Final = -20.0
MOST_GAIN_DB: Final = 40.0
"""The loudest burst is brought to the first, by no more than the second: models miss quiet voices."""


def at_loudness(samples: NDArray[np.float32], found: tuple[Burst, ...]) -> NDArray[np.float32]:
    """The samples with their loudest burst at :data:`LOUDNESS_DBFS`, if it was below."""
    gain_db = min(max(LOUDNESS_DBFS - max(burst.peak_dbfs for burst in found), 0.0), MOST_GAIN_DB)
    louder: NDArray[np.float32] = np.clip(samples * np.float32(10 ** (gain_db / 20)), -1.0, 1.0)
    return louder


class VoiceDetector(Protocol):
    """Tells which bursts are somebody's voice. Not for several threads at once: its callers hold their own lock around it."""

    def voiced(self, samples: NDArray[np.float32], found: tuple[Burst, ...]) -> tuple[Burst, ...]:
        """Those of the bursts found in ``samples`` (``(n,) float32``, 16 kHz) that are a voice.

        Raises EngineError when the model fails.
        """
        ...


class BurstListener:
    """`Listener` without a model: every burst of sound counts as a digit. For languages that no incremental model hears.

    Coughs count too. It hears the same bursts as :func:`bursts` does in what was fed so far, one that still sounds included
    once it is longer than a click.
    """

    def __init__(self, rate_hz: int = 16_000) -> None:
        """rate_hz : of the samples that will be fed."""
        self._rate_hz = rate_hz
        hop, window, around = _reading(rate_hz)
        self._hop, self._window = hop, window
        self._level = np.zeros(0)
        self._pending = np.zeros(around)

    def feed(self, samples: NDArray[np.float32]) -> int:
        """The next samples (``(n,) float32`` in -1..1; what is no number is silence) in, how many bursts so far out."""
        heard = np.nan_to_num(np.asarray(samples, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        self._pending = np.concatenate((self._pending, np.clip(heard, -1.0, 1.0)))
        if len(self._pending) >= self._window:
            new = _readings(self._pending, self._rate_hz)
            self._level = np.concatenate((self._level, new))
            self._pending = self._pending[len(new) * self._hop :]
        return len(bursts_in(self._level))
