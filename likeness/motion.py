"""How a speaking person moves, in numbers: mouth, head and eyes over time, from what is said and a seed.

No picture and no model here. Times are on the sound's clock; curves are arrays with one value for each `STEP_MS`.

The mouth follows the speech sounds where their times are known, else the sound's own loudness and colour. The head drifts
slowly (band-limited chance) and nods a little on stressed words; people blink every few seconds, and breathe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likeness.voice import Phone
from liveness.capture import Audio

Curve = NDArray[np.float64]

STEP_MS = 10
LEAD_MS = 20  # the mouth is a little ahead of its sound: sound before picture is noticed first (ITU-R BT.1359)

# What the mouth does for a sound: jaw 0..1, width -1 (rounded) .. 1 (wide), lips closed 0..1.
_OPEN = (0.34, 0.05, 0.1)
_SHAPES: dict[str, tuple[float, float, float]] = {
    **dict.fromkeys("aɑ", (0.47, 0.05, 0.0)), **dict.fromkeys("æɛɐ", (0.38, 0.35, 0.0)),
    **dict.fromkeys("ʌɜəɚ", (0.28, 0.0, 0.1)), **dict.fromkeys("eiɪᵻ", (0.20, 0.55, 0.1)),
    **dict.fromkeys("ɔɒ", (0.40, -0.45, 0.0)), "o": (0.31, -0.70, 0.05), **dict.fromkeys("uʊ", (0.18, -0.85, 0.25)),
    "w": (0.12, -0.95, 0.45), **dict.fromkeys("bmp", (0.0, 0.0, 1.0)), **dict.fromkeys("fv", (0.03, 0.15, 0.85)),
    **dict.fromkeys("ʃʒ", (0.12, -0.50, 0.35)), **dict.fromkeys("ɹ", (0.15, -0.35, 0.3)),
    **dict.fromkeys("sz", (0.06, 0.35, 0.45)), **dict.fromkeys("tdnɾ", (0.12, 0.15, 0.4)),
    **dict.fromkeys("θð", (0.15, 0.15, 0.25)), **dict.fromkeys("lj", (0.16, 0.2, 0.2)),
    **dict.fromkeys("kɡŋhx", (0.17, 0.05, 0.25)),
}  # fmt: skip
"""By IPA letter; others are half-open. Grouped as viseme sets are (MPEG-4, ISO/IEC 14496-2). The amounts keep the
gap between the lips within what three real speakers show (95 % of the time below 0.17, 0.31 and 0.57 eye distances)."""
_REST = (0.0, 0.0, 1.0)
_VOWELS = set("aɑæɛɐʌɜəɚeiɪᵻɔɒouʊ")

_JAW_MS, _LIPS_MS = 32.0, 17.0  # smoothing (standard deviation): the jaw is heavy, lips are quick
_FLOOR_DB = -34.0  # below the loudest moments: silence
_BANDS_HZ = ((150, 900), (900, 2600), (2600, 7500))  # low and front vowels, hiss
_WINDOW_MS = 30

_MOST_YAW, _MOST_PITCH, _MOST_ROLL = 8.0, 4.0, 3.0
_NOD_MS = 110.0
_ATTENDING_MS = 260.0  # standard deviation: heads follow who speaks within half a second
_BLINK_SHUT_MS, _BLINK_OPEN_MS = 75.0, 145.0
_BREATH_HZ = 0.26


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mouth:
    """Curves: ``jaw`` 0..1, ``wide`` -1..1, ``closed`` 0..1 (lips meet)."""

    jaw: Curve
    wide: Curve
    closed: Curve


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """Curves: angles in degrees as :class:`likeness.mesh.Pose` has them, shifts in face widths, blink 0..1."""

    yaw_deg: Curve
    pitch_deg: Curve
    roll_deg: Curve
    shift_x: Curve
    shift_y: Curve
    blink: Curve


def mouth_from_phones(phones: Sequence[Phone], audio: Audio, *, lead_in_ms: int, total_ms: int) -> Mouth:
    """The mouth that says ``phones``, which begin ``lead_in_ms`` into the clip. Loud sounds open it further."""
    count = _steps(total_ms)
    jaw, wide, closed = (np.full(count, value) for value in _REST)
    loud = _fit(_loudness(audio), lead_in_ms - LEAD_MS, count)
    for phone in phones:
        start, end = (_at(ms + lead_in_ms - LEAD_MS, count) for ms in (phone.start_ms, phone.end_ms))
        if end <= start:
            continue
        shape = _SHAPES.get(phone.symbol, _OPEN) if phone.symbol else _REST
        opening = shape[0] * (1.12 if phone.stressed and phone.symbol in _VOWELS else 0.92)
        if phone.symbol in _VOWELS:
            opening *= 0.72 + 0.4 * float(loud[start:end].mean())
        jaw[start:end], wide[start:end], closed[start:end] = opening, shape[1], shape[2]
    return _together(jaw, wide, closed)


def mouth_from_sound(audio: Audio, *, lead_in_ms: int, total_ms: int) -> Mouth:
    """A mouth for speech whose words are not known: it opens with loudness, closes in silence, narrows for hisses, and is
    wide or round by where the vowel's energy lies."""
    count = _steps(total_ms)
    bands = _bands(audio)
    voiced, front, hiss = bands
    all_of_it = bands.sum(axis=0) + 1e-12
    level = _decibels(voiced + front)
    loud = np.clip((level - _FLOOR_DB) / -_FLOOR_DB, 0, 1)
    hissing = np.clip((hiss / all_of_it - 0.35) / 0.4, 0, 1)
    jaw = 0.52 * loud**1.6 * (1 - 0.8 * hissing)
    width = np.clip(1.6 * (front / (voiced + front + 1e-12)) ** 0.5 - 0.55, -0.7, 0.6) * (loud > 0.2)
    closed = np.clip(1 - 3.2 * np.maximum(loud - 0.12, 0.6 * hissing), 0, 1)
    shift = lead_in_ms - LEAD_MS
    return _together(_fit(jaw, shift, count), _fit(width, shift, count), _fit(closed, shift, count, outside=1.0))


def head(
    stresses_ms: Sequence[int],
    *,
    speaking: Sequence[tuple[int, int]],
    total_ms: int,
    seed: int,
    liveliness: float = 1.0,
    attending_deg: Curve | None = None,
) -> Head:
    """Head and eyes of someone who talks from the first to the second of each of ``speaking`` and else listens; nods on
    ``stresses_ms`` (clip's clock). ``attending_deg``: where those who are listened to are, degrees of yaw, one value a step.

    Within 8 degrees of yaw, 4 of pitch, 3 of roll; still at the first frame, so that a clip starts as the portrait.
    """
    chance = np.random.default_rng((seed, 7))
    count = _steps(total_ms)
    time_s = np.arange(count) * STEP_MS / 1000
    said = [(time_s * 1000 >= start) & (time_s * 1000 < end) for start, end in speaking]
    talking = _smooth(np.any(said, axis=0).astype(float) if said else np.zeros(count), 300)
    energy = (0.45 + 0.55 * talking) * np.clip(time_s / 0.6, 0, 1) * liveliness
    yaw = _drift(chance, time_s, (0.10, 0.42)) * 4.6 * energy
    if attending_deg is not None:
        yaw = 0.6 * yaw + _smooth(attending_deg, _ATTENDING_MS) * np.clip(time_s / 0.6, 0, 1)
    pitch = _drift(chance, time_s, (0.12, 0.55)) * 1.7 * energy
    roll = (_drift(chance, time_s, (0.08, 0.36)) * 1.2 + 0.12 * yaw) * energy
    last = -10_000.0
    for at_ms in stresses_ms:
        if at_ms - last < 420 or chance.random() > 0.55:
            continue
        last = float(at_ms)
        strength = float(chance.uniform(0.8, 1.9)) * liveliness
        nod = np.exp(-0.5 * ((time_s * 1000 - at_ms - 40) / _NOD_MS) ** 2)
        back = np.exp(-0.5 * ((time_s * 1000 - at_ms - 330) / (1.5 * _NOD_MS)) ** 2)
        pitch += strength * (nod - 0.35 * back)
        yaw += float(chance.normal(0, 0.5)) * nod
    breath = np.sin(2 * math.pi * _BREATH_HZ * time_s + float(chance.uniform(0, 2 * math.pi)))
    breath -= breath[0] * np.clip(1 - time_s / 0.8, 0, 1)
    return Head(
        yaw_deg=_held(yaw, _MOST_YAW),
        pitch_deg=_held(pitch, _MOST_PITCH),
        roll_deg=_held(roll, _MOST_ROLL),
        shift_x=_drift(chance, time_s, (0.06, 0.22)) * 0.010 * energy + 0.0022 * yaw,
        shift_y=_drift(chance, time_s, (0.06, 0.25)) * 0.006 * energy + 0.0035 * breath + 0.002 * pitch,
        blink=_blinks(chance, time_s),
    )


def camera(*, total_ms: int, seed: int) -> NDArray[np.float64]:
    """Slow drift of the camera, ``(steps, 3)``: right and down -1..1 of its play, and how near 0..1."""
    chance = np.random.default_rng((seed, 11))
    time_s = np.arange(_steps(total_ms)) * STEP_MS / 1000
    right, down = (_held(0.5 * _drift(chance, time_s, (0.03, 0.11)), 1.0) for _ in range(2))
    near = _ease(np.clip(time_s / max(time_s[-1], 6.0), 0, 1))
    return np.stack([right, down, near], axis=1)


def stresses(phones: Sequence[Phone], lead_in_ms: int) -> tuple[int, ...]:
    """When stressed vowels begin, on the clip's clock."""
    starts: list[int] = []
    for before, phone in zip([None, *phones[:-1]], phones, strict=True):
        fresh = before is None or not before.stressed or before.symbol not in _VOWELS
        if phone.stressed and phone.symbol in _VOWELS and fresh:
            starts.append(phone.start_ms + lead_in_ms)
    return tuple(starts)


def stresses_of_sound(audio: Audio, lead_in_ms: int) -> tuple[int, ...]:
    """When speech of unknown words swells, on the clip's clock."""
    loud = _smooth(_loudness(audio), 60)
    rising = np.diff(loud, prepend=0.0)
    peaks = [
        place for place in range(1, len(loud) - 1)
        if rising[place] > 0.02 and rising[place] >= rising[place - 1] and rising[place] > rising[place + 1]
    ]  # fmt: skip
    return tuple(place * STEP_MS + lead_in_ms for place in peaks)


def sample(curve: Curve, at_ms: float) -> float:
    """The curve's value at a time, between its steps in a straight line."""
    place = at_ms / STEP_MS
    low = min(max(int(place), 0), len(curve) - 1)
    high = min(low + 1, len(curve) - 1)
    share = min(max(place - low, 0.0), 1.0)
    return float(curve[low] * (1 - share) + curve[high] * share)


def _together(jaw: Curve, wide: Curve, closed: Curve) -> Mouth:
    """Neighbouring sounds flow into each other; where lips meet, the jaw is held."""
    lips = _smooth(closed, _LIPS_MS)
    # A closure between two vowels is short: without this, smoothing would leave it half open.
    pressed = np.clip((lips - 0.15) / 0.6, 0, 1)
    opened = _smooth(jaw, _JAW_MS) * (1 - pressed)
    return Mouth(jaw=np.clip(opened, 0, 1), wide=_smooth(wide, _JAW_MS), closed=np.clip(lips * 1.15, 0, 1))


def _blinks(chance: np.random.Generator, time_s: Curve) -> Curve:
    """Every 1.5 to 6 s, now and then twice (Bentivoglio et al. 1997: 17 a minute at rest, 26 in conversation)."""
    made = np.zeros_like(time_s)
    at = float(chance.uniform(0.9, 2.2))
    while at < time_s[-1]:
        shut, opened = _BLINK_SHUT_MS / 1000, _BLINK_OPEN_MS / 1000
        rise = np.clip((time_s - at) / shut, 0, 1)
        fall = np.clip((time_s - at - shut - 0.04) / opened, 0, 1)
        made = np.maximum(made, _ease(rise) * (1 - _ease(fall)))
        pause = 0.38 if chance.random() < 0.1 else float(np.clip(chance.lognormal(1.05, 0.4), 1.5, 6.0))
        at += pause
    return made


def _drift(chance: np.random.Generator, time_s: Curve, band_hz: tuple[float, float]) -> Curve:
    """Smooth chance of about unit size within a band: a sum of six sines."""
    hz = np.geomspace(*band_hz, 6) * chance.uniform(0.85, 1.18, 6)
    phase = chance.uniform(0, 2 * math.pi, 6)
    weight = hz**-0.5
    waves = np.sin(2 * math.pi * hz[:, None] * time_s + phase[:, None])
    return np.asarray((weight[:, None] * waves).sum(axis=0) / np.sqrt((weight**2).sum() / 2) * 0.7)


def _held(curve: Curve, most: float) -> Curve:
    """Within ``most`` either way, without a corner."""
    return np.asarray(most * np.tanh(curve / most))


def _ease(amount: Curve) -> Curve:
    return np.asarray(amount * amount * (3 - 2 * amount))


def _steps(total_ms: int) -> int:
    return total_ms // STEP_MS + 2


def _at(ms: float, count: int) -> int:
    return min(max(round(ms / STEP_MS), 0), count)


def _smooth(curve: Curve, deviation_ms: float) -> Curve:
    """Gaussian, ends held."""
    reach = max(1, round(3 * deviation_ms / STEP_MS))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) * STEP_MS / deviation_ms) ** 2)
    return np.asarray(np.convolve(np.pad(curve, reach, mode="edge"), weights / weights.sum(), mode="valid"))


def _fit(curve: Curve, from_ms: int, count: int, outside: float = 0.0) -> Curve:
    """``curve`` beginning at ``from_ms`` of a clip of ``count`` steps."""
    at = np.arange(count) - from_ms / STEP_MS
    return np.asarray(np.interp(at, np.arange(len(curve)), curve, left=outside, right=outside))


def _bands(audio: Audio) -> Curve:
    """Energy of each of `_BANDS_HZ` over time, ``(3, steps)``."""
    size, hop = audio.rate_hz * _WINDOW_MS // 1000, audio.rate_hz * STEP_MS // 1000
    padded = np.pad(audio.samples.astype(np.float64), (size // 2, size))
    count = max(len(audio.samples) // hop, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][:count]
    power = np.abs(np.fft.rfft(windows * np.hanning(size), axis=1)) ** 2
    hz = np.fft.rfftfreq(size, 1 / audio.rate_hz)
    return np.stack([power[:, (hz >= low) & (hz < high)].sum(axis=1) for low, high in _BANDS_HZ])


def _decibels(power: Curve) -> Curve:
    """Relative to the loud moments (95th percentile); silence throughout is far below any floor."""
    loud = float(np.percentile(power, 95))
    return np.asarray(10 * np.log10((power + 1e-12) / (loud + 1e-9)))


def _loudness(audio: Audio) -> Curve:
    """0 in silence, 1 at loud moments."""
    return np.asarray(np.clip((_decibels(_bands(audio).sum(axis=0)) - _FLOOR_DB) / -_FLOOR_DB, 0, 1))
