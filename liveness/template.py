"""Face templates, and when two of them are the same person.

Here and not in ``consent``, because *one person throughout a capture* is liveness evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from liveness.errors import ContractMismatch, EngineError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaceTemplate:
    """An embedding and the contract it was made under.

    vector : ``(n,) float32``, unit length.
    contract_id : model and preprocessing, e.g. ``arcface-87aacdfe-112-rgb``; unlike contracts never compare.
    """

    vector: NDArray[np.float32] = field(repr=False)
    contract_id: str


def template(vector: NDArray[np.float32], *, contract_id: str) -> FaceTemplate:
    """Normalise a raw embedding.

    Raises:
        EngineError: when it is not a finite vector of non-zero length.
    """
    flat = np.asarray(vector, dtype=np.float32).reshape(-1)
    length = float(np.linalg.norm(flat))
    if flat.size == 0 or not np.isfinite(flat).all() or length < 1e-6:
        raise EngineError("embedding is not a finite, non-zero vector", code="embedding_invalid")
    return FaceTemplate(vector=np.ascontiguousarray(flat / np.float32(length)), contract_id=contract_id)


def similarity(one: FaceTemplate, other: FaceTemplate) -> float:
    """Cosine, -1..1.

    Raises:
        ContractMismatch: when the templates come from different models or preprocessing.
    """
    if one.contract_id != other.contract_id or one.vector.shape != other.vector.shape:
        raise ContractMismatch(f"cannot compare {one.contract_id} with {other.contract_id}")
    return float(np.dot(one.vector, other.vector))
