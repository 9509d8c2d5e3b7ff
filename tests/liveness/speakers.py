"""Made-up speakers: a voice of syllables with formants, the mouth that says it, rooms and recorders around them. All seeded."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from liveness.capture import Audio
from liveness.evidence import FaceTrack, Sighting, Word
from tests.people import face

RATE_HZ = 16_000
PER_MS = RATE_HZ // 1000
FRAME_MS = 66

FAN = (0, 0, -3, -6, -12, -18, -24)
STREET = (6, 0, -10, -12, -25, -30, -40)
HISS = (-20, -10, 0, 0, -3, -5, -10)
"""Floors: level in dB at 0, 150, 400, 1,000, 2,500, 5,000 and 8,000 Hz."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Speech:
    """words : when each is said. voice : ``(n,) float64``, dry. opening : 0..1 for each ms, how open the mouth is."""

    words: tuple[Word, ...]
    voice: NDArray[np.float64] = field(repr=False)
    opening: NDArray[np.float64] = field(repr=False)

    def audio(self, *, late_ms: int = 0, floor_db: float = -60.0, seed: int = 0) -> Audio:
        """As a phone records it, the sound ``late_ms`` behind the picture."""
        heard = np.roll(self.voice, late_ms * PER_MS) + floor(len(self.voice), FAN, floor_db, seed=seed)
        return recorded(heard)

    def track(self, *, seed: int = 0, moves: float = 1.0) -> FaceTrack:
        """The mouth as a landmark model sees it at 15 frames a second, with its noise."""
        chance = np.random.default_rng([seed, 2])
        seen = [
            Sighting(at_ms=at, faces=(face(mouth=max(0.0, moves * 0.6 * self.opening[at] + chance.normal(0, 0.02))),))
            for at in range(0, len(self.opening), FRAME_MS)
        ]
        return FaceTrack(sightings=tuple(seen), width=640, height=480)


@lru_cache(maxsize=64)
def speech(seed: int, *, count: int = 6, pause_ms: tuple[int, int] = (250, 550), start_ms: int = 900) -> Speech:
    """``count`` words of one or two syllables, each with sizes, vowels and pauses of its own."""
    chance = np.random.default_rng([seed, 1])
    pitch = chance.uniform(95, 220)
    words: list[Word] = []
    pieces: list[tuple[int, NDArray[np.float64], NDArray[np.float64]]] = []
    at = start_ms + int(chance.integers(0, 300))
    for _ in range(count):
        begin = at
        for _ in range(int(chance.integers(1, 3))):
            length = int(chance.integers(140, 320))
            openness = chance.uniform(0.4, 1.0)
            pieces.append((at, _syllable(chance, length, pitch, openness), openness * np.hanning(length + 80)))
            at += length + int(chance.integers(0, 60))
        words.append(Word(text=str(chance.integers(10)), start_ms=begin, end_ms=at))
        at += int(chance.integers(*pause_ms))
    total = at + 800
    voice, opening = np.zeros(total * PER_MS), np.zeros(total)
    for start, sound, opened in pieces:
        voice[start * PER_MS : start * PER_MS + len(sound)] += sound
        early = start - 60  # the mouth opens before it is heard
        opening[early : early + len(opened)] = np.maximum(opening[early : early + len(opened)], opened)
    return Speech(words=tuple(words), voice=voice, opening=opening)


def _syllable(chance: np.random.Generator, length_ms: int, pitch: float, openness: float) -> NDArray[np.float64]:
    at = np.arange(length_ms * PER_MS) / RATE_HZ
    first, second = 250 + 550 * openness, chance.uniform(900, 2300)
    sound = np.zeros(len(at))
    for harmonic in range(1, int(4000 / pitch)):
        hertz = harmonic * pitch
        strength = np.exp(-(((hertz - first) / 150) ** 2)) + 0.5 * np.exp(-(((hertz - second) / 250) ** 2)) + 0.03
        sound += strength / harmonic * np.sin(2 * np.pi * hertz * at + harmonic)
    shaped: NDArray[np.float64] = openness * 0.4 * sound / np.abs(sound).max() * np.hanning(len(at)) ** 0.5
    return shaped


def floor(length: int, shape: tuple[int, ...], level_db: float, *, seed: int) -> NDArray[np.float64]:
    """Steady noise of ``length`` samples with that spectrum and level, dB of full scale."""
    noise = np.random.default_rng([seed, 3]).normal(size=length + 64)
    spectrum = np.fft.rfft(noise)
    gain = np.interp(np.fft.rfftfreq(len(noise), 1 / RATE_HZ), (0, 150, 400, 1000, 2500, 5000, 8000), shape)
    shaped = np.fft.irfft(spectrum * 10 ** (gain / 20), len(noise))[:length]
    level: NDArray[np.float64] = shaped / shaped.std() * 10 ** (level_db / 20)
    return level


def in_room(dry: NDArray[np.float64], *, rings_s: float, seed: int) -> NDArray[np.float64]:
    """With the echo of a room whose sound falls by 60 dB in ``rings_s``."""
    length = int(rings_s * RATE_HZ)
    echo = np.random.default_rng([seed, 4]).normal(size=length) * 10 ** (-3 * np.arange(length) / length)
    echo *= 0.15 / np.linalg.norm(echo)
    echo[0] += 1
    size = 1 << (len(dry) + length).bit_length()
    wet: NDArray[np.float64] = np.fft.irfft(np.fft.rfft(dry, size) * np.fft.rfft(echo, size), size)[: len(dry)]
    return wet


def gain_controlled(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    """As browsers do by default: the level brought near a target, up by 6 dB a second, down three times as fast."""
    level = np.sqrt(np.convolve(sound**2, np.ones(800) / 800, "same"))
    gain, out = 0.0, np.zeros(len(sound))
    for at in range(0, len(sound), 160):
        wanted = float(np.clip(-18 - 20 * np.log10(level[at] + 1e-6), -10, 15))
        gain += float(np.clip(wanted - gain, -0.18, 0.06))
        out[at : at + 160] = sound[at : at + 160] * 10 ** (gain / 20)
    return out


def suppressed(sound: NDArray[np.float64], *, depth_db: float) -> NDArray[np.float64]:
    """As browsers do by default: the noise learnt in the first second, then taken down by up to ``depth_db`` in each band."""
    size, hop = 512, 128
    bell = np.hanning(size)
    padded = np.pad(sound, size)
    spectra = np.array([np.fft.rfft(padded[at : at + size] * bell) for at in range(0, len(padded) - size, hop)])
    power = np.abs(spectra) ** 2
    noise, gain = power[8] + 1e-12, np.ones(power.shape[1])
    out = np.zeros(len(padded))
    for number, (spectrum, now) in enumerate(zip(spectra, power, strict=True)):
        noise = np.where(now > 4 * noise, 1.01 * noise, 0.9 * noise + 0.1 * now)
        wanted = np.maximum(1 - 1.5 * noise / np.maximum(now, 1e-15), 10 ** (-depth_db / 20))
        gain = 0.6 * gain + 0.4 * (wanted if number * hop > RATE_HZ else 1.0)
        out[number * hop : number * hop + size] += np.fft.irfft(spectrum * gain, size) * bell
    return out[size : size + len(sound)] / 1.5


def gated(sound: NDArray[np.float64], words: tuple[Word, ...]) -> NDArray[np.float64]:
    """Exactly nothing but around the words, as voice isolation leaves it."""
    opened = np.zeros(len(sound))
    for word in words:
        opened[(word.start_ms - 50) * PER_MS : (word.end_ms + 150) * PER_MS] = 1
    ramp = np.hanning(400)
    passed: NDArray[np.float64] = sound * np.clip(np.convolve(opened, ramp / ramp.sum(), "same"), 0, 1)
    return passed


def spliced(
    seed: int, floors: tuple[tuple[int, ...], ...], *, level_db: float = -50.0, fade_ms: int = 0
) -> tuple[Audio, tuple[Word, ...]]:
    """One recording cut together from one for each word, each with a floor of its own; joined in the pauses."""
    out, words = np.zeros(0), []
    for place, shape in enumerate(floors):
        one = speech(100 * seed + place, count=1, start_ms=250)
        said = one.words[0]
        cut = (said.start_ms - 200) * PER_MS, (said.end_ms + 200) * PER_MS
        piece = in_room(one.voice, rings_s=0.3, seed=seed) + floor(
            len(one.voice), shape, level_db, seed=7 * seed + place
        )
        piece = piece[cut[0] : cut[1]]
        fade = min(fade_ms * PER_MS, len(out))
        up = np.linspace(0, 1, fade)
        joined = out[len(out) - fade :] * (1 - up) + piece[:fade] * up
        begin_ms = (len(out) - fade) // PER_MS
        out = np.concatenate((out[: len(out) - fade], joined, piece[fade:]))
        words.append(Word(text="1", start_ms=begin_ms + 200, end_ms=begin_ms + 200 + said.end_ms - said.start_ms))
    return recorded(out), tuple(words)


def recorded(sound: NDArray[np.float64]) -> Audio:
    """As 16-bit sound."""
    return Audio(samples=(np.round(np.clip(sound, -1, 1) * 32767) / 32768).astype(np.float32), rate_hz=RATE_HZ)
