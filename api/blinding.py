"""Face templates turned by a secret rotation, and the codes that are searched.

A template is multiplied by orthogonal matrices that are drawn from a key of the service. Turned by the first of them it is a
*blinded* template: it compares with others that were turned likewise, and with no other. Of all of them only the signs are
kept as a *code*: two people's codes differ in as many bits as their faces differ in angle (each bit differs with the
probability angle / pi: Charikar 2002), so the database can find near ones without holding any template.

What that is worth: whoever takes the codes and not the key cannot hold them against photographs or against embeddings from
elsewhere, though the model is public. It is no encryption: near stays near, so codes of one person are linked, and
a few hundred people whose photographs and codes somebody has (who else is in the table does not matter) give the
rotation away, since it is linear. With the key a code gives back a coarse template. So the codes are biometric data, and die
as templates do.

The rotation is named by an id. After another ``MIEN_LOOK_ALIKES_ROTATION`` it is another one; codes of the old one are never
compared with the new, and are made again from the sealed templates.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray

from api.keys import ServiceKeys
from liveness.template import FaceTemplate, template

DIMENSION = 512
"""Of the templates that can be blinded: those of ArcFace models."""
ROTATIONS = 4
CODE_BITS = DIMENSION * ROTATIONS
"""How many signs: chance alone moves a similarity measured with them by 0.035 (half of pi by the root of 2,048)."""


class CannotBlind(Exception):
    """A template has another length than the rotation."""

    code = "dimension_unsupported"


@dataclass(frozen=True, slots=True)
class Blinding:
    """One rotation. ``rotation_id`` names it and tells nothing about it.

    matrices : ``(2048, 512) float32``, four orthogonal matrices one below the other; secret.
    """

    rotation_id: str
    matrices: NDArray[np.float32] = field(repr=False)

    def blind(self, face: FaceTemplate) -> FaceTemplate:
        """The face turned. Its contract names the rotation, so that it never compares with one that is not turned.

        Raises: CannotBlind.
        """
        return template(self.matrices[:DIMENSION] @ _fitting(face), contract_id=self._contract(face.contract_id))

    def unblind(self, turned: FaceTemplate) -> FaceTemplate:
        """What :meth:`blind` turned. Raises: CannotBlind, also for what another rotation turned."""
        contract_id, _, rotation_id = turned.contract_id.rpartition("~")
        if rotation_id != self.rotation_id:
            raise CannotBlind("turned by another rotation")
        return template(self.matrices[:DIMENSION].T @ _fitting(turned), contract_id=contract_id)

    def code(self, face: FaceTemplate) -> str:
        """2,048 signs as ``0`` and ``1``. Raises: CannotBlind."""
        return "".join("1" if each else "0" for each in self.matrices @ _fitting(face) > 0)

    def codes(self, vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Of many, ``(n, 512)`` to ``(n, 256)``, eight signs a byte: for filling a table at once."""
        return np.packbits(vectors @ self.matrices.T > 0, axis=1)

    def _contract(self, contract_id: str) -> str:
        return f"{contract_id}~{self.rotation_id}"


def blinding_of(keys: ServiceKeys, rotation: int) -> Blinding:
    """The rotation of that number, from the service's blinding key."""
    return _drawn(keys.blind("look-alikes", str(rotation)))


@lru_cache(maxsize=4)
def _drawn(seed: bytes) -> Blinding:
    """Uniformly distributed orthogonal matrices from a seed of 32 bytes (QR of normal numbers with the signs of R put right:
    Mezzadri 2007, arXiv math-ph/0609050). The numbers are from ChaCha20 and the same on every machine; what a
    machine's arithmetic rounds otherwise moves them by one in a million, and a sign now and then."""
    matrices = []
    for normal in _normal_numbers(seed, ROTATIONS * DIMENSION * DIMENSION).reshape(ROTATIONS, DIMENSION, DIMENSION):
        q, r = np.linalg.qr(normal)
        matrices.append(q * np.sign(np.diag(r)))
    named = hashlib.sha256(b"mien look-alike rotation id|" + seed).hexdigest()[:16]
    joined = np.ascontiguousarray(np.concatenate(matrices), dtype=np.float32)
    joined.setflags(write=False)
    return Blinding(rotation_id=f"rot_{named}", matrices=joined)


def _normal_numbers(seed: bytes, count: int) -> NDArray[np.float64]:
    """Standard normal, by Box and Muller; ``count`` is even."""
    stream = Cipher(algorithms.ChaCha20(seed, bytes(16)), mode=None).encryptor()
    drawn = np.frombuffer(stream.update(bytes(8 * count)), dtype="<u8")
    uniform = ((drawn >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53  # never 0
    radius = np.sqrt(-2 * np.log(uniform[: count // 2]))
    angle = 2 * np.pi * uniform[count // 2 :]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])


def _fitting(face: FaceTemplate) -> NDArray[np.float32]:
    if face.vector.shape != (DIMENSION,):
        raise CannotBlind(f"a template has {face.vector.size} numbers, wanted {DIMENSION}")
    return face.vector
