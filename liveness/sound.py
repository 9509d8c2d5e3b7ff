"""What the sound says of the room: whether its floor steps between words, is exactly nothing, or the level clips. Pure.

A splice of single words ("digit library") brings the floor of each recording along, so the spectrum of the room steps from one
word to the next. Browsers bend the floor of genuine takes too, and must not be taken for that:

- automatic gain moves all of the spectrum up and down, some dB from one pause to the next;
- noise suppression takes the floor down after each word, to nothing at the strongest, and lets more through at first;
- a room's echo rings on after each word, with that word's spectrum, and breath fills pauses.

So floors are compared by the shape of their spectrum, its level taken out; only in the last moment before a word, when echo and
suppression have settled; by the quieter readings of it, which breath and clicks leave alone; only where it has settled (it does
not fall as fast as an echo does); and only where either floor can be heard at all. Whoever suppresses the floor of his splice,
or records all of it in one room, is not found here: this is one sign of several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from liveness.capture import Audio
from liveness.evidence import SoundSigns, Word
from liveness.segments import HOP_MS, loudness

BANDS_HZ: Final = (120.0, 250.0, 400.0, 630.0, 1000.0, 1600.0, 2500.0, 4000.0)
"""Edges of the bands whose levels make a floor's shape: two thirds of an octave to an octave each, within what every codec
and telephone-grade microphone passes (``segments.BAND_HZ``)."""

FLOOR_MS: Final = 160
"""The floor before a word is taken from this much of the pause, its end: half of the shortest pause between digits read out one
by one (300 ms)."""

BEFORE_WORD_MS: Final = 40
"""Left out just before a word: its onset, and the length of a reading."""

AFTER_WORD_MS: Final = 60
"""Left out just after a word: half a burst finder's edge."""

LEAST_READINGS: Final = 8
"""Readings that a floor needs: 80 ms. The quieter half of them is used."""

STEEPEST_DB_S: Final = 30.0
"""A level that moves faster is an echo, a gate still closing or a breath, no floor: a room that rings for a whole second, as a
church does, falls by 60 dB in a second, and by half of that where its echo sinks into the floor; automatic gain moves by 6 to
10 dB a second."""

FAINTEST_FLOOR_DBFS: Final = -60.0
"""A floor below this is too faint to compare: it is noise suppression's own residue, or the tail of an echo. A phone in a quiet
room records -60 to -50 dBFS at a speaking distance."""

FAINTEST_BAND_DBFS: Final = -85.0
"""Band levels are not told apart below this: quantisation and codecs shape what is left there."""

EXACTLY_SILENT: Final = 2.0**-17
"""A sample below a quarter of the smallest step of 16-bit sound is zero, whatever decoder it went through."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Floor:
    """What is heard just before ``at_ms`` while nobody speaks: overall level, and level in each of ``BANDS_HZ``, dB."""

    at_ms: int
    level_dbfs: float
    bands_dbfs: NDArray[np.float64] = field(repr=False)


def sound_signs(audio: Audio, words: Sequence[Word]) -> SoundSigns:
    """Everything measured on the sound of one take. words : recognised words in order, on the capture's clock."""
    level = loudness(audio.samples, audio.rate_hz)
    return SoundSigns(
        start_ms=audio.start_ms,
        hop_ms=HOP_MS,
        loudness_dbfs=tuple(round(float(value), 2) for value in level),
        floor_jump_db=floor_jump_db(floors(audio, level, words)),
        digital_silence=_silent_share(audio),
    )


def floors(audio: Audio, level: NDArray[np.float64], words: Sequence[Word]) -> tuple[Floor, ...]:
    """The room's floor before each word and after the last one, in order, where it could be measured.

    level : :func:`segments.loudness` of ``audio``.
    """
    edges = [audio.start_ms]
    found = []
    ends = [*((word.start_ms, word.end_ms) for word in words), (audio.start_ms + audio.duration_ms, 0)]
    for start_ms, end_ms in ends:
        low = max(edges[-1] + AFTER_WORD_MS, start_ms - BEFORE_WORD_MS - FLOOR_MS)
        floor = _floor(audio, level, low, start_ms - BEFORE_WORD_MS)
        if floor is not None:
            found.append(floor)
        edges.append(end_ms)
    return tuple(found) if words else ()


def floor_jump_db(found: Sequence[Floor]) -> float | None:
    """Largest step of the floor's shape from one word to the next, dB (root mean square over bands, the step of the overall
    level taken out); 0 where floors are too faint to be heard, ``None`` for fewer than two floors."""
    if len(found) < 2:
        return None
    steps = [
        _shape_step(one, two)
        for one, two in pairwise(found)
        if min(one.level_dbfs, two.level_dbfs) > FAINTEST_FLOOR_DBFS
    ]
    return max(steps, default=0.0)


def _shape_step(one: Floor, two: Floor) -> float:
    change = np.maximum(two.bands_dbfs, FAINTEST_BAND_DBFS) - np.maximum(one.bands_dbfs, FAINTEST_BAND_DBFS)
    # around the middle band: one band that a fan or a voice next door fills alone does not move the others
    return float(np.sqrt(np.mean(np.square(change - np.median(change)))))


def _floor(audio: Audio, level: NDArray[np.float64], start_ms: int, end_ms: int) -> Floor | None:
    first = max(0, -(-(start_ms - audio.start_ms) // HOP_MS))
    last = min(len(level), (end_ms - audio.start_ms) // HOP_MS)
    if last - first < LEAST_READINGS:
        return None
    readings = level[first:last]
    at_s = np.arange(len(readings)) * HOP_MS / 1000
    fall = float(np.polyfit(at_s, readings, 1)[0])
    if abs(fall) > STEEPEST_DB_S and float(readings.max()) > FAINTEST_FLOOR_DBFS:
        return None
    bands = _band_levels(audio, first, last)
    quiet = np.argsort(readings, kind="stable")[: (len(readings) + 1) // 2]
    return Floor(
        at_ms=end_ms,
        level_dbfs=float(np.mean(readings[quiet])),
        bands_dbfs=10 * np.log10(bands[np.sort(quiet)].mean(axis=0) + 1e-12),
    )


def _band_levels(audio: Audio, first: int, last: int) -> NDArray[np.float64]:
    """Mean power in each of ``BANDS_HZ``, ``(readings, bands)``, windows as in :func:`segments.loudness` but twice as long."""
    hop = audio.rate_hz * HOP_MS // 1000
    window = 5 * hop
    around = (window - hop) // 2
    samples = np.asarray(audio.samples, dtype=np.float64)
    low, high = first * hop - around, (last - 1) * hop - around + window
    piece = np.pad(samples[max(low, 0) : high], (max(-low, 0), max(high - len(samples), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(piece, window)[::hop][: last - first]
    bell = np.hanning(window)
    power = 2 * np.abs(np.fft.rfft(frames * bell, axis=1)) ** 2 / (window * float((bell**2).sum()))
    hz = np.fft.rfftfreq(window, 1 / audio.rate_hz)
    return np.stack(
        [power[:, (hz >= low_hz) & (hz < high_hz)].sum(axis=1) for low_hz, high_hz in pairwise(BANDS_HZ)], axis=1
    )


def _silent_share(audio: Audio) -> float:
    """Share of the hops in which every sample is zero."""
    hop = audio.rate_hz * HOP_MS // 1000
    count = len(audio.samples) // hop
    if count == 0:
        return 0.0
    hops = np.abs(audio.samples[: count * hop]).reshape(count, hop)
    return float(np.mean(hops.max(axis=1) < EXACTLY_SILENT))
