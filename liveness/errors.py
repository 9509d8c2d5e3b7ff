"""What can go wrong while judging a recording.

    LivenessError
    ├── MediaError          the bytes are not a recording we can judge
    ├── WeightsError        a model file is missing, altered or not allowed
    ├── EngineError         a model was there and failed
    └── ContractMismatch    two templates of unlike embedding contracts were compared

A person who does not pass is no error: that is a :class:`liveness.verdict.NotLive`.
"""

from __future__ import annotations


class LivenessError(Exception):
    """Base of this package. ``code`` is stable and may be shown to callers; the message names no person."""

    code: str = "liveness_error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class MediaError(LivenessError):
    """The bytes are not a recording or picture within our bounds (see :mod:`liveness.decode` for the codes)."""

    code = "media_unreadable"


class WeightsError(LivenessError):
    """A model file is missing, has other bytes than its card says, or its licence was not accepted."""

    code = "weights_missing"


class EngineError(LivenessError):
    """A model failed on input that was within bounds. The capture was not judged; nobody was found not live."""

    code = "engine_failed"


class ContractMismatch(LivenessError):
    """Templates made by different models or preprocessing do not compare."""

    code = "embedding_contract_mismatch"
