"""What a voice gives: sound, and when each word and each speech sound of it is heard.

The times move the mouth of a double. They come from whoever made the sound, so no recogniser has to guess them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from liveness.capture import Audio
from liveness.digits import Language
from liveness.evidence import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """One speech sound.

    symbol : one IPA letter (length and stress marks removed); empty for a pause.
    start_ms, end_ms : milliseconds from the first sample; half-open.
    stressed : carries the word's main stress.
    """

    symbol: str
    start_ms: int
    end_ms: int
    stressed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpokenText:
    """Sound of a text, its words and its speech sounds in order. Phones cover the sound without gaps, pauses included."""

    audio: Audio
    words: tuple[Word, ...] = field(repr=False)
    phones: tuple[Phone, ...] = field(repr=False)


class SpeechSynthesiser(Protocol):
    """Says a text."""

    voice_version: str
    languages: tuple[Language, ...]

    def say(self, text: str, *, language: Language) -> SpokenText:
        """Sound of ``text``.

        Raises:
            VoiceUnavailable: when this voice does not speak ``language``.
            RenderError: code ``script_unspeakable`` when nothing in the text can be said; ``voice_failed`` when the
                model fails.
        """
        ...

    def estimate_ms(self, text: str, *, language: Language) -> int:
        """Rough length of the text when said, milliseconds, without saying it. Raises as :meth:`say`."""
        ...
