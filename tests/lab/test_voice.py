"""Voices made from one: measured on sounds whose pitch and length are known."""

from __future__ import annotations

import numpy as np
import pytest

from lab.people import PEOPLE
from lab.voice import Voice, at_tempo
from liveness.capture import Audio

RATE_HZ = 22_050


def vowel(hz: float = 120.0, seconds: float = 0.6) -> Audio:
    """Pulses at ``hz`` through two resonances, at 700 and 1,800 Hz."""
    at = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    harmonics = np.arange(1, int(5000 / hz))
    strength = sum(1 / (1 + ((harmonics * hz - f) / 120) ** 2) for f in (700, 1800))
    sound = (strength[:, None] * np.sin(2 * np.pi * hz * harmonics[:, None] * at)).sum(axis=0)
    return Audio(samples=(0.5 * sound / np.abs(sound).max()).astype(np.float32), rate_hz=RATE_HZ)


def pitch_hz(samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> float:
    part = samples[len(samples) // 3 : len(samples) // 3 + 4096].astype(float)
    again = np.correlate(part, part, "full")[len(part) - 1 :]
    low, high = RATE_HZ // 400, RATE_HZ // 60
    return RATE_HZ / (low + int(np.argmax(again[low:high])))


def loudest_near(samples: np.ndarray[tuple[int], np.dtype[np.float32]], hz: float) -> float:
    """Middle of the resonance near ``hz``."""
    part = samples[len(samples) // 3 : len(samples) // 3 + 4096].astype(float)
    power = np.abs(np.fft.rfft(part * np.hanning(len(part)))) ** 2
    at = np.fft.rfftfreq(len(part), 1 / RATE_HZ)
    near = np.abs(at - hz) < 350
    return float((power * at)[near].sum() / power[near].sum())


@pytest.mark.parametrize("tempo", [0.7, 1.0, 1.5])
def test_tempo_changes_the_length_and_not_the_pitch(tempo: float) -> None:
    sound = vowel()
    changed = at_tempo(sound.samples, tempo, RATE_HZ)
    assert len(changed) == pytest.approx(len(sound.samples) / tempo, rel=0.01)
    assert pitch_hz(changed) == pytest.approx(120, rel=0.03)


@pytest.mark.parametrize("pitch", [0.85, 1.3, 1.7])
def test_pitch_changes_without_the_length(pitch: float) -> None:
    sound = vowel()
    changed = Voice(pitch=pitch).says(sound)
    assert pitch_hz(changed.samples) == pytest.approx(120 * pitch, rel=0.03)
    assert changed.duration_ms == pytest.approx(sound.duration_ms, rel=0.02)


def test_a_shorter_throat_has_higher_resonances_at_the_same_pitch() -> None:
    sound = vowel(100)
    changed = Voice(formants=1.18).says(sound)
    assert pitch_hz(changed.samples) == pytest.approx(100, rel=0.03)
    assert loudest_near(changed.samples, 820) > loudest_near(sound.samples, 700) + 40


def test_the_voice_as_it_is_changes_nothing() -> None:
    sound = vowel()
    assert Voice().says(sound) is sound


def test_no_two_people_share_a_voice() -> None:
    assert len({person.voice for person in PEOPLE.values()}) == len(PEOPLE) >= 10
