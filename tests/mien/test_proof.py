"""Proofs that a generator makes are those that the gate takes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from consent.dpop import DpopCode, DpopProblem, DpopProof, verify_proof
from mien.proof import ProofKey
from tests.consent.given import NOW

ADDRESS = "https://mien.example/v1/permits/redeem"


def pem(key: object) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()  # type: ignore[attr-defined]


@pytest.mark.parametrize("key", [ProofKey.generate(), ProofKey.from_pem(pem(Ed25519PrivateKey.generate()))])
def test_the_gate_takes_its_proofs(key: ProofKey) -> None:
    made = key.prove("post", ADDRESS + "?x=1", ["a", "b"], clock=NOW.timestamp)
    found = verify_proof(made, method="POST", address=ADDRESS, now=NOW, tokens=["a", "b"])
    assert isinstance(found, DpopProof)
    assert found.jkt == key.thumbprint
    again = verify_proof(key.prove("POST", ADDRESS, clock=NOW.timestamp), method="POST", address=ADDRESS, now=NOW)
    assert isinstance(again, DpopProof)
    assert again.replay_id != found.replay_id


def test_a_proof_is_for_one_call_and_a_minute() -> None:
    key = ProofKey.generate()
    made = key.prove("POST", ADDRESS, ["a"], clock=NOW.timestamp)
    for change in ({"tokens": ["b"]}, {"method": "GET"}, {"now": NOW + timedelta(seconds=61)}):
        asked = {"method": "POST", "address": ADDRESS, "now": NOW, "tokens": ["a"]} | change
        assert isinstance(verify_proof(made, **asked), DpopProblem)  # type: ignore[arg-type]
    assert verify_proof(made, method="POST", address=ADDRESS, now=NOW, tokens=["b"]) == DpopProblem(
        DpopCode.DPOP_WRONG_TOKEN
    )


def test_a_key_is_kept_as_pem_and_shown_nowhere() -> None:
    key = ProofKey.generate()
    assert ProofKey.from_pem(key.to_pem()).thumbprint == key.thumbprint
    assert repr(key) == "ProofKey()"
    with pytest.raises(ValueError, match="P-256 or Ed25519"):
        ProofKey.from_pem(pem(generate_private_key(SECP384R1())))
