"""A voice that says digits: Piper, run as a program of its own.

Piper is GPL-3.0. It is never imported: the command ``python -m piper`` reads ten lines on its standard input and leaves ten
sound files, and this module reads those. Its two sources of chance are turned off, so the same words always sound the
same; variety comes from :mod:`lab.person`, by seed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import wave
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lab.errors import VoiceMissing
from liveness.capture import Audio
from liveness.digits import SPOKEN, Language

LANGUAGES = (Language.ENGLISH,)
"""Languages there is a voice for."""

_MODEL = "en_US-joe-medium.onnx"
_LENGTH = 1.12  # of the voice's own pace: digits are read out one by one, not rattled off
_PATIENCE_S = 180  # ten words take three seconds; a loaded machine needs longer
_QUIET = 0.02  # of the loudest sample: below, a word has not begun or is over
_KEEP_MS = 30  # of near silence left around a word, so that no soft consonant is cut


def spoken_digits(folder: Path, language: Language) -> Mapping[str, Audio]:
    """The digits ``0`` to ``9``, each said alone, trimmed to the word. ``folder`` holds the voice's two files.

    Kept for the life of this process, as saying them starts another.

    Raises:
        VoiceMissing: when there is no voice for ``language``, Piper is not installed, or it failed.
    """
    if language not in LANGUAGES:
        known = ", ".join(LANGUAGES)
        raise VoiceMissing(f"no voice says digits in {language.value}; simulated people speak: {known}")
    return _say_all(folder, language)


@lru_cache(maxsize=4)
def _say_all(folder: Path, language: Language) -> Mapping[str, Audio]:
    digits = "0123456789"
    if find_spec("piper") is None:
        raise VoiceMissing("the voice is not installed: pip install 'mien[simulate]'")
    with tempfile.TemporaryDirectory(prefix="mien-voice-") as out:
        command = [
            *(sys.executable, "-m", "piper", "--model", str(folder / _MODEL), "--output-dir", out),
            *("--noise-scale", "0", "--noise-w-scale", "0", "--length-scale", str(_LENGTH)),
        ]
        lines = "".join(f"{SPOKEN[language][digit][0]}.\n" for digit in digits)
        try:
            subprocess.run(command, input=lines, text=True, capture_output=True, check=True, timeout=_PATIENCE_S)
        except (OSError, subprocess.SubprocessError) as error:
            raise VoiceMissing(f"the voice failed ({type(error).__name__})") from error
        files = sorted(Path(out).glob("*.wav"), key=lambda file: int(file.stem))  # named by a rising clock
        if len(files) != len(digits):
            raise VoiceMissing(f"the voice said {len(files)} words, {len(digits)} wanted")
        return {digit: _word(file) for digit, file in zip(digits, files, strict=True)}


def _word(file: Path) -> Audio:
    with wave.open(str(file)) as sound:
        if sound.getsampwidth() != 2 or sound.getnchannels() != 1:
            raise VoiceMissing(f"the voice gave {sound.getnchannels()} channels, one of 16 bit wanted")
        rate_hz = sound.getframerate()
        samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(np.float32) / np.float32(32768)
    return Audio(samples=_trimmed(samples, rate_hz), rate_hz=rate_hz)


def _trimmed(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    loud = np.nonzero(np.abs(samples) > _QUIET * float(np.abs(samples).max(initial=0)))[0]
    if len(loud) == 0:
        raise VoiceMissing("the voice said nothing")
    keep = rate_hz * _KEEP_MS // 1000
    return np.ascontiguousarray(samples[max(0, loud[0] - keep) : loud[-1] + keep])
