"""The sound of a film without a camera: music under speech, quieter while somebody speaks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from liveness.capture import Audio

SOUND_RATE_HZ = 48_000
"""Of what is mixed: what clips are written at."""

_MUSIC_ALONE_DBFS = -20.0  # loudness (RMS) that music is brought to: some 4 dB below speech
_SOFT_DBFS = -30.0  # speech softer than this is raised by at most as much as music is
_MUSIC_MOST_GAIN_DB = 12.0  # a very quiet recording is not blown up to its noise
_DUCK_DB = -12.0  # music under speech: understood without effort (design; BBC and Netflix mix at 7 to 15 dB)
_HEARD_DBFS = -45.0  # speech louder than this counts as somebody speaking
_ATTACK_MS, _HOLD_MS, _RELEASE_MS = 120, 350, 700
_STEP_MS = 10
_FADE_IN_MS, _FADE_OUT_MS = 400, 1500
_JOIN_MS = 800  # music that is too short is repeated, one end over the other beginning
_CEILING = 0.98

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sound:
    """Sound as a film has it, at 48 kHz.

    samples : ``(channels, n) float32`` in -1..1; one channel, or left and right. start_ms : when the first sample sounds, on
        the clock of the pictures; may be negative.
    """

    samples: Samples = field(repr=False)
    start_ms: int = 0

    def __post_init__(self) -> None:
        if self.samples.ndim != 2 or self.samples.shape[0] not in (1, 2):
            raise ValueError(f"sound of shape {self.samples.shape}, wanted one or two channels")

    @property
    def rate_hz(self) -> int:
        return SOUND_RATE_HZ

    @property
    def duration_ms(self) -> int:
        return round(1000 * int(self.samples.shape[1]) / SOUND_RATE_HZ)

    def mono(self) -> Audio:
        """The mean of its channels."""
        return Audio(samples=self.samples.mean(axis=0), rate_hz=SOUND_RATE_HZ, start_ms=self.start_ms)


def sound_of(audio: Audio | Sound) -> Sound:
    """The same at 48 kHz."""
    if isinstance(audio, Sound):
        return audio
    return Sound(samples=_at_rate(audio)[None], start_ms=audio.start_ms)


def placed(audio: Audio | Sound, *, at_s: float, seconds: float) -> Sound:
    """``seconds`` of sound in which ``audio`` begins at ``at_s`` (its own start does not count); what is beyond is left out."""
    sound = sound_of(audio)
    samples = np.zeros((sound.samples.shape[0], math.floor(seconds * SOUND_RATE_HZ)), np.float32)
    lead = round(at_s * SOUND_RATE_HZ)
    own = sound.samples[:, max(-lead, 0) :]
    start = min(max(lead, 0), samples.shape[1])
    kept = own[:, : samples.shape[1] - start]
    samples[:, start : start + kept.shape[1]] = kept
    return Sound(samples=samples)


def mixed(*, speech: Audio | Sound | None, music: Audio | Sound | None, seconds: float) -> Sound:
    """Both from the first picture on, ``seconds`` long; silence where there is neither. Stereo when one of them is.

    Music is repeated to that length, ducked by 12 dB where speech is heard, and faded out at the end. Speech that was recorded
    very softly is raised.
    """
    count = math.floor(seconds * SOUND_RATE_HZ)
    said = np.zeros((1, count), np.float32)
    if speech is not None and sound_of(speech).samples.size:
        said = _raised(placed(speech, at_s=0.0, seconds=seconds).samples)
    under = np.zeros((1, count), np.float32)
    if music is not None and sound_of(music).samples.size:
        own = _levelled(_as_long(sound_of(music).samples, count), most_db=_MUSIC_MOST_GAIN_DB)
        under = own * _ducking(said.mean(axis=0)) * _fades(count)
    both = np.asarray(said + under, np.float32)
    loudest = float(np.abs(both).max(initial=0.0))
    if loudest > _CEILING:
        both *= np.float32(_CEILING / loudest)
    return Sound(samples=both)


def _raised(said: Samples) -> Samples:
    """Speech below -30 dBFS is brought to where music would be; else it stays as it was."""
    return _levelled(said, most_db=_MUSIC_MOST_GAIN_DB) if _level_db(said) < _SOFT_DBFS else said


def _at_rate(audio: Audio) -> Samples:
    from scipy.signal import resample_poly  # type: ignore[import-untyped, unused-ignore]

    samples = np.asarray(audio.samples, np.float32)
    if audio.rate_hz == SOUND_RATE_HZ or not len(samples):
        return samples
    shared = math.gcd(SOUND_RATE_HZ, audio.rate_hz)
    return np.asarray(resample_poly(samples, SOUND_RATE_HZ // shared, audio.rate_hz // shared), np.float32)


def _as_long(music: Samples, count: int) -> Samples:
    """The music cut to ``count`` samples, or repeated with its end fading into its beginning."""
    join = min(_JOIN_MS * SOUND_RATE_HZ // 1000, music.shape[1] // 4)
    made = music
    rise = np.sqrt(np.linspace(0, 1, join, dtype=np.float32))
    while made.shape[1] < count:
        length = made.shape[1] - join
        over = made[:, length:] * rise[::-1] + music[:, :join] * rise
        made = np.concatenate([made[:, :length], over, music[:, join:]], axis=1)
    return made[:, :count].copy()


def _level_db(samples: Samples) -> float:
    """RMS of all channels where it is not silent, dBFS."""
    power = np.square(samples.astype(np.float64))
    heard = power > 1e-7
    return 10 * math.log10(float(power[heard].mean())) if heard.any() else -math.inf


def _levelled(samples: Samples, *, most_db: float) -> Samples:
    """At the same loudness whoever recorded it, measured where it is not silent."""
    level_db = _level_db(samples)
    if level_db == -math.inf:
        return samples
    return np.asarray(samples * 10 ** (min(_MUSIC_ALONE_DBFS - level_db, most_db) / 20), np.float32)


def _ducking(said: Samples) -> Samples:
    """The gain of the music: 1, and -12 dB from a little before somebody speaks until a little after."""
    hop = SOUND_RATE_HZ * _STEP_MS // 1000
    steps = len(said) // hop + 1
    power = np.square(np.pad(said, (0, steps * hop - len(said))).reshape(steps, hop)).mean(axis=1)
    heard = np.flatnonzero(power > 10 ** (_HEARD_DBFS / 10))
    ducked = np.zeros(steps)
    for step in heard.tolist():
        ducked[max(step - _ATTACK_MS // _STEP_MS, 0) : step + _HOLD_MS // _STEP_MS] = 1.0
    fall, rise = _STEP_MS / _ATTACK_MS, _STEP_MS / _RELEASE_MS
    amount, held = np.empty(steps), 0.0
    for step in range(steps):
        held = min(held + fall, ducked[step]) if ducked[step] >= held else max(held - rise, ducked[step])
        amount[step] = held
    gain = 10 ** (_DUCK_DB * amount / 20)
    return np.asarray(np.interp(np.arange(len(said)) / hop, np.arange(steps), gain), np.float32)


def _fades(count: int) -> Samples:
    at_ms = np.arange(count, dtype=np.float32) * np.float32(1000 / SOUND_RATE_HZ)
    ends_ms = count * 1000 / SOUND_RATE_HZ
    out_ms = min(_FADE_OUT_MS, ends_ms / 2)
    return np.asarray(np.clip(np.minimum(at_ms / _FADE_IN_MS, (ends_ms - at_ms) / out_ms), 0, 1), np.float32)
