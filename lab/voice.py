"""One voice made into many: higher or lower, from a longer or shorter throat, slower or faster.

Pitch: the sound is drawn out without changing its pitch (overlap and add at the best fit) and played faster by as much.
Throat: the envelope of each short spectrum is moved along the frequencies, and the fine structure left where it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liveness.capture import Audio

Sound = NDArray[np.float32]

_FRAME_MS = 32
_SEEK_MS = 8  # how far the best fit is looked for: a period of the lowest voice
_SPECTRUM = 512  # samples: 23 ms at 22,050 Hz
_LIFTER_S = 0.0012  # of the cepstrum: below are throat and lips, above the vocal cords


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """How a voice differs from the one it is made of; factors.

    pitch : of the vocal cords. formants : of the throat's resonances; 1.15 is about a woman for a man's voice.
    pace : of speaking.
    """

    pitch: float = 1.0
    formants: float = 1.0
    pace: float = 1.0

    def says(self, sound: Audio) -> Audio:
        """``sound`` in this voice."""
        if self == Voice():
            return sound
        drawn_out = at_tempo(sound.samples, self.pace / self.pitch, sound.rate_hz)
        higher = _faster(drawn_out, self.pitch)
        spoken = _formants_moved(higher, self.formants / self.pitch, sound.rate_hz)
        loudest = max(float(np.abs(spoken).max(initial=0.0)), 1e-9)
        level = float(np.abs(sound.samples).max(initial=0.0))
        return Audio(samples=np.asarray(spoken * (level / loudest), np.float32), rate_hz=sound.rate_hz)


def at_tempo(samples: Sound, tempo: float, rate_hz: int) -> Sound:
    """The sound ``tempo`` times as fast at the same pitch (WSOLA, Verhelst and Roelands 1993)."""
    frame = rate_hz * _FRAME_MS // 1000 // 2 * 2
    half, seek = frame // 2, rate_hz * _SEEK_MS // 1000
    window = np.hanning(frame + 1)[:-1]
    wanted = max(int(len(samples) / tempo), 1)
    padded = np.concatenate([np.zeros(half), samples, np.zeros(frame + seek + half)])
    out = np.zeros(wanted + 2 * frame)
    at = 0
    natural = padded[:frame]  # what would follow the frame before
    for start in range(0, wanted + half, half):
        aim = min(int(start * tempo), len(padded) - frame)
        low, high = max(aim - seek, 0), min(aim + seek, len(padded) - frame)
        if start:
            fit = np.correlate(padded[low : high + frame], natural, mode="valid")
            aim = low + int(np.argmax(fit))
        out[at : at + frame] += window * padded[aim : aim + frame]
        natural = padded[aim + half : aim + half + frame]
        if len(natural) < frame:
            natural = np.concatenate([natural, np.zeros(frame - len(natural))])
        at += half
    return np.asarray(out[half : half + wanted], np.float32)


def _faster(samples: Sound, factor: float) -> Sound:
    """Played ``factor`` times as fast, and as high; what would fold back is taken out before."""
    if factor > 1:
        spectrum = np.fft.rfft(samples)
        spectrum[int(len(spectrum) / factor) :] = 0
        samples = np.fft.irfft(spectrum, len(samples)).astype(np.float32)
    at = np.arange(0, len(samples) - 1, factor)
    return np.asarray(np.interp(at, np.arange(len(samples)), samples), np.float32)


def _formants_moved(samples: Sound, factor: float, rate_hz: int) -> Sound:
    """Envelopes of short spectra stretched ``factor`` times along the frequencies."""
    size, hop = _SPECTRUM, _SPECTRUM // 4
    window = np.hanning(size + 1)[:-1]
    padded = np.concatenate([np.zeros(size), samples, np.zeros(2 * size)])
    starts = range(0, len(padded) - size, hop)
    spectra = np.fft.rfft(np.stack([padded[s : s + size] * window for s in starts]), axis=1)
    cepstra = np.fft.irfft(np.log(np.abs(spectra) + 1e-6), axis=1)
    keep = int(_LIFTER_S * rate_hz)
    cepstra[:, keep + 1 : -keep] = 0
    envelope = np.fft.rfft(cepstra, axis=1).real
    bins = np.arange(envelope.shape[1])
    moved = np.stack([np.interp(bins / factor, bins, row) for row in envelope])
    spectra *= np.exp(np.clip(moved - envelope, -5, 3))
    out, weight = np.zeros(len(padded)), np.full(len(padded), 1e-9)
    for start, frame in zip(starts, np.fft.irfft(spectra, size, axis=1), strict=True):
        out[start : start + size] += frame * window
        weight[start : start + size] += window**2
    return np.asarray((out / np.maximum(weight, 0.1))[size : size + len(samples)], np.float32)
