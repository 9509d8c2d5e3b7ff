"""What can go wrong while simulating a person.

LabError
├── PortraitUnusable    the picture shows no face that can be turned
├── VoiceMissing        no voice says the digits of this language, or the voice failed
└── UnknownAttack       there is no attack of this name
"""

from __future__ import annotations


class LabError(Exception):
    """Base of this package. ``code`` is stable; the message is one line for a person at a command line."""

    code: str = "lab_error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class PortraitUnusable(LabError):
    """The picture cannot be read or shows no face large and frontal enough."""

    code = "portrait_unusable"


class VoiceMissing(LabError):
    """There is no voice for this language, its program is not installed, or it failed."""

    code = "voice_missing"


class UnknownAttack(LabError):
    """There is no attack of this name; the message lists those there are."""

    code = "unknown_attack"
