"""What can go wrong while making a clip of a consenting person.

    LikenessError
    ├── PermitMismatch     the permit does not cover this double or this request, or is over
    ├── RenderError        a generator failed
    ├── VoiceUnavailable   the clip needs a voice that is not installed
    ├── EncodeError        pictures and sound could not be written as a file
    ├── ProvenanceError    the clip could not be marked, so it was destroyed
    └── RemoteError        a vendor's generator refused, failed, or was not understood

A refusal by the gate is no error: that is a :class:`consent.gate.Refusal`.
"""

from __future__ import annotations


class LikenessError(Exception):
    """Base of this package. ``code`` is stable and may be shown to callers; the message names no person."""

    code: str = "likeness_error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class PermitMismatch(LikenessError):
    """The permit is for other people, another use or another time than the work it came with."""

    code = "permit_mismatch"


class RenderError(LikenessError):
    """A generator failed, or what it made is not what was asked for."""

    code = "render_failed"


class VoiceUnavailable(LikenessError):
    """The request has words to say and no voice is installed that says them."""

    code = "voice_unavailable"


class EncodeError(LikenessError):
    """Pictures and sound could not be written as a file. No part of a file is left behind."""

    code = "encode_failed"


class ProvenanceError(LikenessError):
    """The clip could not be marked or its marks do not verify. No unmarked clip is left behind."""

    code = "provenance_failed"


class RemoteError(LikenessError):
    """A vendor's generator did not make the clip. ``code`` is a :class:`likeness.remote.FaultCode`; ``vendor_code`` is the
    vendor's own word for it, if it has one. What a vendor writes in sentences is not kept: it repeats prompts."""

    code = "vendor_failed"

    def __init__(self, message: str, *, code: str | None = None, vendor_code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.vendor_code = vendor_code
