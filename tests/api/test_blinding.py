"""The secret rotation: near stays near, and without the key nothing matches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from api.blinding import CODE_BITS, DIMENSION, CannotBlind, blinding_of
from api.keys import ServiceKeys, open_keys
from api.service import wall_clock
from api.settings import Settings
from liveness.errors import ContractMismatch
from liveness.template import FaceTemplate, similarity, template


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> ServiceKeys:
    return open_keys(Settings(keys=tmp_path_factory.mktemp("keys") / "keys.json"), now=wall_clock())


def faces(cosine: float) -> tuple[FaceTemplate, FaceTemplate]:
    chance = np.random.default_rng(5)
    one, other = (template(chance.standard_normal(DIMENSION), contract_id="c-1") for _ in range(2))
    away = other.vector - (other.vector @ one.vector) * one.vector
    near = cosine * one.vector + np.sqrt(1 - cosine**2) * away / np.linalg.norm(away)
    return one, template(near, contract_id="c-1")


def differing(one: str, other: str) -> float:
    return sum(a != b for a, b in zip(one, other, strict=True)) / CODE_BITS


@pytest.mark.parametrize("cosine", [0.0, 0.45, 0.6, 0.8, 0.99])
def test_codes_differ_as_the_faces_do(keys: ServiceKeys, cosine: float) -> None:
    blinding = blinding_of(keys, 1)
    one, near = faces(cosine)
    assert differing(blinding.code(one), blinding.code(near)) == pytest.approx(np.arccos(cosine) / np.pi, abs=0.04)
    assert similarity(blinding.blind(one), blinding.blind(near)) == pytest.approx(cosine, abs=1e-4)


def test_with_another_key_or_rotation_one_face_is_as_far_as_a_stranger(keys: ServiceKeys) -> None:
    one, _ = faces(0.5)
    ours = blinding_of(keys, 1)
    for other in (blinding_of(keys, 2), blinding_of(replace(keys, blinding=b"x" * 32), 1)):
        assert differing(ours.code(one), other.code(one)) == pytest.approx(0.5, abs=0.05)
        assert other.rotation_id != ours.rotation_id
        with pytest.raises(ContractMismatch):
            similarity(ours.blind(one), other.blind(one))
        with pytest.raises(CannotBlind):
            other.unblind(ours.blind(one))
    with pytest.raises(ContractMismatch):
        similarity(ours.blind(one), one)


def test_it_is_the_same_rotation_each_time_and_can_be_turned_back(keys: ServiceKeys) -> None:
    one, _ = faces(0.5)
    blinding = blinding_of(keys, 1)
    assert similarity(blinding.unblind(blinding.blind(one)), one) == pytest.approx(1, abs=1e-5)
    for part in np.split(blinding.matrices, CODE_BITS // DIMENSION):
        assert np.abs(part @ part.T - np.eye(DIMENSION)).max() < 1e-5
    assert "".join(f"{byte:08b}" for byte in blinding.codes(one.vector[None])[0]) == blinding.code(one)
    assert "matri" not in repr(blinding)


def test_a_seed_gives_the_rotation_that_it_always_gave(keys: ServiceKeys) -> None:
    """Codes are kept for years: another way of drawing would make strangers of everybody."""
    known = replace(keys, blinding=bytes(32))
    assert blinding_of(known, 1).rotation_id == "rot_4376c48c82f7af21"
    assert blinding_of(known, 1).matrices[0, :3] == pytest.approx([-0.06979926, -0.01192909, -0.01746643], abs=1e-5)


@pytest.mark.parametrize("size", [4, 128, 511, 1024])
def test_templates_of_another_length_are_refused(keys: ServiceKeys, size: int) -> None:
    short = template(np.ones(size, np.float32), contract_id="c-1")
    for turn in (blinding_of(keys, 1).code, blinding_of(keys, 1).blind):
        with pytest.raises(CannotBlind):
            turn(short)
