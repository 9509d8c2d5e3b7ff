"""Which bursts of sound are somebody's voice, by the Silero detector whose weights are a file of the faster-whisper wheel.

Both recognisers ask it first, so that a knock, a click or rustle is not taken for a digit. It is no proof of speech: a buzzing
tone can pass, a sung note does.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from liveness.errors import EngineError
from liveness.segments import Burst, at_loudness

RATE_HZ: Final = 16_000
"""Sampling rate that the detector takes."""

LEAST_VOICE: Final = 0.5
"""Probability of voice, at its best moment, below which a burst is none. Measured: spoken digits 0.77 and more (360 of three
people), knocks, clicks and bursts of noise 0.18 and less, tones and music mostly below 0.65."""

FRAME: Final = 512
"""Samples in one reading of the detector."""

LEAD: Final = 16 * FRAME
"""Silence put before the sound: the detector misses a voice that begins with the recording."""


class SileroVoice:
    """``VoiceDetector``. Not for several threads at once: its callers hold their own lock around it."""

    def __init__(self) -> None:
        """Raises EngineError (code ``engine_unsuitable``) when the detector cannot be opened."""
        from faster_whisper.vad import get_vad_model

        try:
            self._model: Any = get_vad_model()
        except Exception as error:
            raise EngineError("the voice detector cannot be opened", code="engine_unsuitable") from error

    def voiced(self, samples: NDArray[np.float32], found: tuple[Burst, ...]) -> tuple[Burst, ...]:
        """Those of the bursts found in ``samples`` (``(n,) float32``, 16 kHz) that are a voice.

        Raises EngineError when the library fails.
        """
        if not found:
            return ()
        louder = at_loudness(samples, found)
        try:
            voice = np.ravel(self._model(np.pad(louder, (LEAD, -len(louder) % FRAME))))[LEAD // FRAME :]
        except Exception as error:
            raise EngineError("the voice detector failed on this sound") from error
        per_ms = RATE_HZ / 1000 / FRAME
        return tuple(
            burst
            for burst in found
            if voice[max(0, int(burst.start_ms * per_ms) - 1) : int(burst.end_ms * per_ms) + 2].max() >= LEAST_VOICE
        )
