from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.errors import ProofInvalid
from consent.tlog_proof import TlogProof, read_tlog_proof

HASH = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
CHECKPOINT = "example.com/log\n2\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u2014 example.com/log AAAAAAAA\n"


def test_a_proof_reads_as_the_specification_writes_it() -> None:
    text = f"c2sp.org/tlog-proof@v1\nextra c29tZXRoaW5n\nindex 73894\n{HASH}\n{HASH}\n\n{CHECKPOINT}"
    found = read_tlog_proof(text)
    assert found == TlogProof(index=73894, hashes=(bytes(32),) * 2, checkpoint=CHECKPOINT, extra=b"something")
    assert found.to_text() == text


@given(
    index=st.integers(0, 2**40),
    hashes=st.lists(st.binary(min_size=32, max_size=32), max_size=63),
    extra=st.none() | st.binary(max_size=99),
)
def test_a_proof_survives_its_text(index: int, hashes: list[bytes], extra: bytes | None) -> None:
    proof = TlogProof(index=index, hashes=tuple(hashes), checkpoint=CHECKPOINT, extra=extra)
    assert read_tlog_proof(proof.to_text()) == proof


@settings(max_examples=200)
@given(st.text(alphabet="index extra0AB=+\n", max_size=60))
def test_any_text_is_a_proof_or_an_error_of_ours(text: str) -> None:
    for begun in (text, f"c2sp.org/tlog-proof@v1\n{text}"):
        try:
            found = read_tlog_proof(begun)
        except ProofInvalid:
            continue
        assert found.to_text() == begun


@pytest.mark.parametrize(
    "text",
    ["", "c2sp.org/tlog-proof@v2\nindex 0\n\nx", "c2sp.org/tlog-proof@v1\n\nx", "c2sp.org/tlog-proof@v1\nindex 0\n",
     "c2sp.org/tlog-proof@v1\nindex 00\n\nx", "c2sp.org/tlog-proof@v1\nindex -1\n\nx",
     "c2sp.org/tlog-proof@v1\nextra AA==\n\nx",
     f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH[:-4]}\n\nx", "c2sp.org/tlog-proof@v1\nindex 0\n" + f"{HASH}\n" * 64 + "\nx",
     f"c2sp.org/tlog-proof@v1\n{HASH}\nindex 0\n\nx", "x" * 3_000_000],
)  # fmt: skip
def test_other_text_is_no_proof(text: str) -> None:
    with pytest.raises(ProofInvalid):
        read_tlog_proof(text)
