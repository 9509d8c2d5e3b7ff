"""An ONNX model on the CPU, for the adapters of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from liveness.errors import EngineError

_THREADS = 1  # the models are small, and what runs beside them needs the other cores: two threads gained nothing
_ERRORS_ONLY = 3  # ONNX Runtime's log severity


def open_model(file: Path, what: str) -> Any:
    """The file's inference session; ``what`` names the model in the error.

    Raises:
        EngineError: when the file does not load.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _THREADS
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library raises several unrelated types
        raise EngineError(f"{what} does not load") from error
