"""Music under speech, as a listener hears it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from likeness.encode import encode
from likeness.sound_av import decode_film_sound, pitched
from likeness.soundtrack import SOUND_RATE_HZ, Sound, mixed
from liveness.capture import Audio
from liveness.errors import MediaError


def tone(
    hz: float, seconds: float, *, level: float = 0.3, rate_hz: int = 16_000, silent: tuple[float, float] = (0, 0)
) -> Audio:
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    samples = level * np.sin(2 * np.pi * hz * time_s) * ~((time_s >= silent[0]) & (time_s < silent[1]))
    return Audio(samples=samples.astype(np.float32), rate_hz=rate_hz)


def level_db(sound: Audio | Sound, hz: float, begin_s: float, end_s: float) -> float:
    audio = sound.mono() if isinstance(sound, Sound) else sound
    part = audio.samples[round(begin_s * audio.rate_hz) : round(end_s * audio.rate_hz)].astype(np.float64)
    time_s = np.arange(len(part)) / audio.rate_hz
    return float(20 * np.log10(2 * abs(np.mean(part * np.exp(-2j * np.pi * hz * time_s))) + 1e-9))


def test_music_gives_way_to_speech_and_comes_back() -> None:
    speech = tone(300, 6, silent=(2, 6))
    film = mixed(speech=speech, music=tone(1000, 12), seconds=10.0)
    under, alone = level_db(film, 1000, 0.8, 1.8), level_db(film, 1000, 4.0, 8.0)
    assert alone - under == pytest.approx(12, abs=1)
    assert level_db(film, 300, 0.5, 1.5) == pytest.approx(20 * np.log10(0.3), abs=1), "what is said stays as it was"
    steps = np.abs(np.diff([level_db(film, 1000, at, at + 0.05) for at in np.arange(0.5, 8, 0.05)]))
    assert steps.max() < 3, "no jump in loudness"


@pytest.mark.parametrize("level", [0.004, 0.05, 0.9])
def test_music_is_about_as_loud_whoever_recorded_it(level: float) -> None:
    film = mixed(speech=None, music=tone(1000, 5, level=level), seconds=5.0)
    heard = level_db(film, 1000, 1, 3)
    if level < 0.01:
        assert heard < -30, "noise is not blown up"
    else:
        assert heard == pytest.approx(-17, abs=1)


def test_short_music_is_repeated_without_a_gap_and_fades_out() -> None:
    film = mixed(speech=None, music=tone(1000, 2.5), seconds=9.0)
    assert film.samples.shape == (1, 9 * SOUND_RATE_HZ)
    blocks = np.sqrt(np.square(film.samples[0, : 7 * SOUND_RATE_HZ]).reshape(-1, SOUND_RATE_HZ // 10).mean(axis=1))
    assert blocks[5:].min() > 0.04
    assert np.abs(film.samples[:, -200:]).max() < 0.002


def test_a_film_without_sound_is_silent_and_as_long() -> None:
    film = mixed(speech=None, music=None, seconds=2.5)
    assert film.duration_ms == 2500
    assert not film.samples.any()


def test_loud_speech_over_loud_music_is_not_clipped() -> None:
    film = mixed(speech=tone(300, 3, level=0.99), music=tone(1000, 3, level=0.99), seconds=3.0)
    assert np.abs(film.samples).max() <= 0.98 + 1e-6


@pytest.mark.parametrize("samples", [0, 1, 5])
def test_hardly_any_music_is_no_error(samples: int) -> None:
    almost_none = Audio(samples=np.full(samples, 0.1, np.float32), rate_hz=48_000)
    assert mixed(speech=None, music=almost_none, seconds=0.02).samples.shape == (1, 960)


def test_what_was_recorded_in_stereo_stays_so_and_speech_is_heard_on_both_sides() -> None:
    left, right = (tone(hz, 4, rate_hz=SOUND_RATE_HZ).samples for hz in (1000, 2000))
    film = mixed(speech=tone(300, 4), music=Sound(samples=np.stack([left, right])), seconds=4.0)
    assert film.samples.shape == (2, 4 * SOUND_RATE_HZ)
    heard = [Audio(samples=channel, rate_hz=SOUND_RATE_HZ) for channel in film.samples]
    for own, other, channel in ((1000, 2000, heard[0]), (2000, 1000, heard[1])):
        assert level_db(channel, own, 1, 2) > level_db(channel, other, 1, 2) + 40
        assert level_db(channel, 300, 1, 2) == pytest.approx(20 * np.log10(0.3), abs=1)


def test_speech_that_was_recorded_softly_is_raised() -> None:
    film = mixed(speech=tone(300, 3, level=0.01), music=None, seconds=3.0)
    assert level_db(film, 300, 0.5, 2.5) == pytest.approx(20 * np.log10(0.01) + 12, abs=1)


# --- with FFmpeg -----------------------------------------------------------------------------------------------------


def recorded(folder: Path, sound: Sound, *, name: str = "film.mp4") -> bytes:
    """A film with that sound, as somebody would hand it in."""
    grey = np.full((64, 64, 3), 120, np.uint8)
    out = folder / name
    encode(iter([grey] * 48), sound, width=64, height=64, fps=24, out=out)
    return out.read_bytes()


def test_a_film_keeps_its_stereo_sound_at_its_time(tmp_path: Path) -> None:
    """Written, read and in sync: what begins at 700 ms is heard then, on its side."""
    time_s = np.arange(2 * SOUND_RATE_HZ) / SOUND_RATE_HZ
    beep = (0.5 * np.sin(2 * np.pi * 9000 * time_s) * ((time_s >= 0.7) & (time_s < 1.0))).astype(np.float32)
    content = recorded(tmp_path, Sound(samples=np.stack([beep, np.zeros_like(beep)])))
    heard = decode_film_sound(content)
    left, right = np.abs(heard.samples)
    begins = heard.start_ms + 1000 * int(np.argmax(left > 0.1)) / SOUND_RATE_HZ
    assert begins == pytest.approx(700, abs=8)
    assert left.max() > 0.3, "9 kHz is above what a recogniser hears"
    assert right.max() < 0.05
    assert heard.duration_ms == pytest.approx(2000, abs=60)


def test_sound_in_one_channel_stays_in_one(tmp_path: Path) -> None:
    heard = decode_film_sound(recorded(tmp_path, Sound(samples=tone(440, 2, rate_hz=SOUND_RATE_HZ).samples[None])))
    assert heard.samples.shape[0] == 1
    assert np.abs(heard.samples).max() == pytest.approx(0.3, abs=0.05), "as loud as it was"


def test_what_has_no_sound_or_is_no_recording_is_said() -> None:
    for content in (b"", b"RIFF....WAVE", b"no recording"):
        with pytest.raises(MediaError):
            decode_film_sound(content)


@pytest.mark.parametrize("factor", [0.9, 1.17, 1.28])
def test_another_voice_says_the_same_at_the_same_time(factor: float) -> None:
    """Mouths move by the times of the sounds, so these must not move."""
    speech = tone(200, 3, rate_hz=22_050, silent=(1.0, 1.5))
    other = pitched(speech, factor)
    assert len(other.samples) == len(speech.samples)
    assert level_db(other, 200 * factor, 0.2, 0.9) > level_db(other, 200, 0.2, 0.9) + 15
    envelope = np.abs(other.samples).reshape(-1, 50).max(axis=1)
    silent_ms = 1000 * np.flatnonzero(envelope < 0.05) * 50 / 22_050
    middle = silent_ms[(silent_ms > 800) & (silent_ms < 1700)]
    assert middle.min() == pytest.approx(1000, abs=45)
    assert middle.max() == pytest.approx(1500, abs=45)
