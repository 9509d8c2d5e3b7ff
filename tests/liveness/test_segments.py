"""Bursts of sound are found where they are, at any loudness, and not where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from liveness.segments import BurstListener, bursts, loudness

RATE_HZ = 16_000


def quiet(seconds: float, *, level: float = 1e-3, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, level, round(seconds * RATE_HZ)).astype(np.float32)


def with_vowels(
    spans_ms: list[tuple[int, int]], *, seconds: float, loud: float = 0.1, noise: float = 1e-3
) -> NDArray[np.float32]:
    """A voice-like tone (140 Hz and its harmonics) in each span, over faint noise."""
    samples = quiet(seconds, level=noise)
    for start, end in spans_ms:
        at = np.arange(start * 16, end * 16)
        tone = sum(np.sin(2 * np.pi * 140 * harmonic * at / RATE_HZ) / harmonic for harmonic in range(1, 12))
        samples[at] += np.float32(loud) * np.asarray(tone, dtype=np.float32)
    return samples


SIX = [(300 + 700 * place, 620 + 700 * place) for place in range(6)]


@pytest.mark.parametrize("loud", [0.5, 0.1, 0.02])
def test_six_sounds_are_six_bursts_with_their_edges(loud: float) -> None:
    found = bursts(with_vowels(SIX, seconds=4.6, loud=loud), RATE_HZ)
    assert len(found) == 6
    for burst, (start, end) in zip(found, SIX, strict=True):
        assert burst.start_ms == pytest.approx(start, abs=20)
        assert burst.end_ms == pytest.approx(end, abs=20)


def test_pauses_of_digital_silence_do_not_matter() -> None:
    assert len(bursts(with_vowels(SIX, seconds=4.6, noise=0.0), RATE_HZ)) == 6


def test_the_stop_inside_a_word_does_not_split_it() -> None:
    found = bursts(with_vowels([(400, 560), (680, 800), (1300, 1600)], seconds=2.2), RATE_HZ)
    assert [(round(burst.start_ms, -2), round(burst.end_ms, -2)) for burst in found] == [(400, 800), (1300, 1600)]


def test_a_pause_of_a_quarter_second_is_kept() -> None:
    assert len(bursts(with_vowels([(400, 700), (950, 1200)], seconds=2.0), RATE_HZ)) == 2


def test_a_click_is_no_burst() -> None:
    samples = quiet(2.0)
    samples[16_000:16_040] = 0.9
    assert bursts(samples, RATE_HZ) == ()


@pytest.mark.parametrize("level", [0.0, 1e-4, 1e-2, 0.2])
def test_even_noise_and_silence_hold_no_burst(level: float) -> None:
    assert bursts(quiet(5.0, level=level), RATE_HZ) == ()


@pytest.mark.parametrize("hertz", [50, 60, 100])
def test_mains_hum_holds_no_burst_and_hides_none(hertz: int) -> None:
    at = np.arange(round(4.6 * RATE_HZ))
    hum = (0.1 * np.sin(2 * np.pi * hertz * at / RATE_HZ)).astype(np.float32)
    assert bursts(hum + quiet(4.6), RATE_HZ) == ()
    assert len(bursts(hum + with_vowels(SIX, seconds=4.6), RATE_HZ)) == 6


def test_too_short_to_measure_is_empty() -> None:
    assert bursts(np.zeros(0, dtype=np.float32), RATE_HZ) == ()
    assert bursts(np.zeros(100, dtype=np.float32), RATE_HZ) == ()


def test_loudness_is_in_decibels_of_full_scale() -> None:
    at = np.arange(RATE_HZ)
    level = loudness((0.1 * np.sin(2 * np.pi * 1000 * at / RATE_HZ)).astype(np.float32), RATE_HZ)
    assert len(level) == 100
    # a sine of 0.1 has a mean power of 0.005
    assert np.median(level) == pytest.approx(10 * np.log10(0.005), abs=0.3)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1, 1, width=32), max_size=6000),
    st.sampled_from([8_000, 16_000, 48_000]),
)
def test_any_sound_gives_ordered_bursts_inside_it(values: list[float], rate_hz: int) -> None:
    samples = np.array(values * 3, dtype=np.float32)
    found = bursts(samples, rate_hz)
    edges = [edge for burst in found for edge in (burst.start_ms, burst.end_ms)]
    assert edges == sorted(edges)
    assert all(0 <= edge <= 1000 * len(samples) / rate_hz for edge in edges)


@pytest.mark.parametrize("piece", [37, 160, 1_600, 16_001])
def test_listening_piece_by_piece_counts_what_is_there_at_once(piece: int) -> None:
    samples = with_vowels(SIX, seconds=4.6)
    listener = BurstListener(RATE_HZ)
    counts = [listener.feed(samples[at : at + piece]) for at in range(0, len(samples), piece)]
    assert counts[-1] == 6
    if piece <= 1_600:
        # each is counted while it sounds or soon after, and none before
        for at, count in enumerate(counts, start=1):
            heard_ms = at * piece / 16
            assert sum(end + 60 <= heard_ms for _, end in SIX) <= count <= sum(start <= heard_ms for start, _ in SIX)


def test_a_listener_hears_nothing_in_silence_and_no_numbers() -> None:
    listener = BurstListener(RATE_HZ)
    assert listener.feed(np.zeros(0, dtype=np.float32)) == 0
    assert listener.feed(quiet(2.0)) == 0
    assert BurstListener(RATE_HZ).feed(np.full(8_000, np.nan, dtype=np.float32)) == 0
