"""A vendor's file becomes a clip on an even clock, or nothing; a permit, pictures and a wish become a job, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from consent.gate import Permit
from likeness.encode import encode
from likeness.errors import PermitMismatch, RemoteError
from likeness.remote import FaultCode, Mode, Role
from likeness.soundtrack import SOUND_RATE_HZ, Sound
from likeness.vendor_clip import clip_of, clip_of_parts
from likeness.vendor_job import CheckedPicture, Wish, job_of
from liveness.capture import Audio, RgbImage
from tests.consent.given import ask, face, presented, record, use

PNG = b"\x89PNG\r\n\x1a\n"


def film(
    path: Path, *, count: int = 24, fps: float = 24, times_ms: list[float] | None = None, sound: bool = False
) -> bytes:
    """Each picture is a grey of its own number."""

    def frames() -> Iterator[RgbImage]:
        for number in range(count):
            yield np.full((96, 128, 3), 20 + 8 * number % 200, np.uint8)

    tone = (0.3 * np.sin(2 * np.pi * 300 * np.arange(32_000) / 16_000)).astype(np.float32)
    audio = Audio(samples=tone, rate_hz=16_000) if sound else None
    encode(frames(), audio, width=128, height=96, fps=fps, out=path, times_ms=times_ms)
    return path.read_bytes()


@pytest.mark.parametrize("fps", [16, 24, 25, 30])
def test_every_picture_comes_once_and_in_order(tmp_path: Path, fps: int) -> None:
    clip = clip_of(film(tmp_path / "a.mp4", count=fps, fps=fps), generator="vendor@model", sound=False)
    assert (clip.width, clip.height, clip.fps, clip.frame_count, clip.duration_ms) == (128, 96, fps, fps, 1000)
    greys = [float(frame.mean()) for frame in clip.frames]
    assert len(greys) == fps
    wanted = [20 + 8 * number % 200 for number in range(fps)]
    assert np.abs(np.array(greys) - wanted).max() < 4


def test_an_uneven_clock_is_made_even(tmp_path: Path) -> None:
    """A picture that is shown for half a second is shown for half a second."""
    times = [0.0, 40, 80, 120, 620, 660, 700, 740]
    clip = clip_of(film(tmp_path / "a.mp4", count=8, times_ms=times), generator="v@m", sound=False)
    frames = list(clip.frames)
    assert len(frames) == clip.frame_count
    assert clip.fps == 25
    assert clip.duration_ms == pytest.approx(780, abs=45)
    greys = np.array([float(frame.mean()) for frame in frames])
    assert 11 <= int((np.abs(greys - (20 + 8 * 3)) < 3).sum()) <= 14


def test_sound_that_was_not_ordered_is_left_out(tmp_path: Path) -> None:
    content = film(tmp_path / "a.mp4", sound=True)
    silent, heard = (clip_of(content, generator="v@m", sound=wanted) for wanted in (False, True))
    assert not silent.audio.samples.any()
    assert np.abs(heard.audio.samples).max() > 0.1
    assert heard.audio.duration_ms <= heard.duration_ms + 1, "two seconds of sound came with one of pictures"


def test_sound_keeps_its_channels_and_what_a_telephone_would_cut(tmp_path: Path) -> None:
    """What people listen to is not what a recogniser needs: a tone of 12 kHz on the left alone comes out so."""
    times = np.arange(2 * SOUND_RATE_HZ) / SOUND_RATE_HZ
    left = (0.5 * np.sin(2 * np.pi * 12_000 * times)).astype(np.float32)
    out = tmp_path / "a.mp4"
    pictures = (np.full((96, 128, 3), 20 + number, np.uint8) for number in range(48))
    encode(pictures, Sound(samples=np.stack([left, np.zeros_like(left)])), width=128, height=96, fps=24, out=out)
    for clip in (
        clip_of(out.read_bytes(), generator="v@m", sound=True),
        clip_of_parts([out.read_bytes()] * 2, generator="v@m", sound=True),
    ):
        assert isinstance(clip.audio, Sound)
        middle = clip.audio.samples[:, SOUND_RATE_HZ // 2 : SOUND_RATE_HZ]
        loud = np.abs(np.fft.rfft(middle, axis=1))
        assert int(loud[0].argmax()) == pytest.approx(12_000 * middle.shape[1] / SOUND_RATE_HZ, abs=5)
        assert np.abs(middle[0]).max() > 0.2 > 10 * np.abs(middle[1]).max()


@pytest.mark.parametrize("cut", [0.0, 0.1, 0.5])
def test_a_file_that_is_none_makes_no_clip(tmp_path: Path, cut: float) -> None:
    content = film(tmp_path / "a.mp4")
    for broken in (content[: int(len(content) * cut)], b"\0" * 200, content[:200] + b"\xff" * 2000):
        with pytest.raises(RemoteError) as refused:
            list(clip_of(broken, generator="v@m", sound=False).frames)
        assert refused.value.code == FaultCode.OUTPUT_UNUSABLE


# --- jobs ------------------------------------------------------------------------------------------------------------


def given_permit() -> Permit:
    permit = ask(use(face()), presented(record()))
    assert isinstance(permit, Permit)
    return permit


def pictures(*consents: tuple[str, ...]) -> list[CheckedPicture]:
    return [CheckedPicture(content=PNG + bytes([n]), consents=who) for n, who in enumerate(consents)]


WISH = Wish(model="m", mode=Mode.FIRST_FRAME, prompt="walks", seconds=5)


def test_a_job_shows_exactly_the_people_of_its_permit() -> None:
    permit = given_permit()
    (who,) = (consent_id for consent_id, _ in permit.consents)
    now = permit.issued_at
    made = job_of(permit, WISH, pictures((who,)), callback=None, now=now)
    assert [(media.role, media.consents) for media in made.media] == [(Role.FIRST_FRAME, (who,))]
    both = replace(WISH, mode=Mode.FIRST_LAST_FRAME)
    made = job_of(permit, both, pictures((who,), ()), callback=None, now=now)
    assert [media.role for media in made.media] == [Role.FIRST_FRAME, Role.LAST_FRAME], "a beach may be the last frame"
    for shown in ([("other",)], [()], [], [(who, "other")]):
        with pytest.raises(PermitMismatch):
            job_of(permit, WISH, pictures(*shown), callback=None, now=now)


def test_a_job_stays_within_its_permit() -> None:
    permit = given_permit()
    (who,) = (consent_id for consent_id, _ in permit.consents)
    one = pictures((who,))
    for now in (permit.issued_at - timedelta(seconds=1), permit.expires_at, datetime(2020, 1, 1)):  # noqa: DTZ001
        with pytest.raises(PermitMismatch):
            job_of(permit, WISH, one, callback=None, now=now)
    longer = replace(WISH, seconds=permit.obligations.max_seconds + 1)
    with pytest.raises(PermitMismatch):
        job_of(permit, longer, one, callback=None, now=permit.issued_at)
    for wish, shown in (
        (replace(WISH, mode=Mode.TEXT_TO_VIDEO), one),
        (replace(WISH, mode=Mode.FIRST_LAST_FRAME), one),
        (WISH, pictures((who,), ())),
        (WISH, [CheckedPicture(content=b"GIF89a", consents=(who,))]),
    ):
        with pytest.raises(RemoteError):
            job_of(permit, wish, shown, callback=None, now=permit.issued_at)
