"""A witness signs what follows from what it saw, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.keys import KeySet
from consent.merkle import Edge, Node, consistency_proof, grow, leaf_hash, root_of
from consent.note import Checkpoint, Note, log_verifiers, open_checkpoint, sign_note, witness_verifier
from consent.witness import Cosigned, NotCosigned, WitnessCode, witness
from tests.consent.given import KEY, NOW, OTHER_KEY

ORIGIN, NAME = "log.example/one", "witness.example/w1"
LOG = log_verifiers(KeySet.of(KEY), origin=ORIGIN)
HASHES = [leaf_hash(bytes([number])) for number in range(40)]
FORK = [*HASHES[:9], leaf_hash(b"another"), *HASHES[10:]]


def checkpoint(size: int, hashes: Sequence[bytes] = HASHES) -> Checkpoint:
    return Checkpoint(origin=ORIGIN, size=size, root=root_of(hashes[:size]))


def note(of: Checkpoint, *, key: object = KEY, name: str = ORIGIN) -> str:
    return Note(text=of.text, signatures=(sign_note(of.text, key, name=name),)).to_text()  # type: ignore[arg-type]


def proof(first: int, second: int, hashes: Sequence[bytes] = HASHES) -> tuple[bytes, ...]:
    nodes = dict(grow(Edge(), hashes)[1])

    def read(wanted: Sequence[Node]) -> list[bytes]:
        return [nodes[node] for node in wanted]

    return consistency_proof(first, second, read)


def shown(seen: Checkpoint | None, text: str, steps: Sequence[bytes] = ()) -> Cosigned | NotCosigned:
    return witness(seen, text, steps, origin=ORIGIN, log=LOG, key=OTHER_KEY, name=NAME, now=NOW)


def code(found: Cosigned | NotCosigned) -> WitnessCode:
    assert isinstance(found, NotCosigned)
    return found.code


def test_it_cosigns_the_first_checkpoint_and_each_that_follows_from_the_last() -> None:
    seen = None
    for size in (0, 0, 3, 3, 10, 40):
        found = shown(seen, note(checkpoint(size)), proof(seen.size if seen else 0, size))
        assert isinstance(found, Cosigned)
        text = note(checkpoint(size)) + found.signature.line
        known = [*LOG, witness_verifier(OTHER_KEY, name=NAME)]
        assert [one.by for one in open_checkpoint(text, known)[1]] == known
        seen = found.checkpoint


def test_it_refuses_a_log_that_shows_two_trees_of_one_size() -> None:
    assert code(shown(checkpoint(10), note(checkpoint(10, FORK)))) is WitnessCode.SPLIT_VIEW


def test_it_refuses_a_log_that_rewrote_what_was_seen_whatever_proof_comes_with_it() -> None:
    text = note(checkpoint(20, FORK))
    for steps in (proof(10, 20), proof(10, 20, FORK), (), (HASHES[0],)):
        assert code(shown(checkpoint(10), text, steps)) is WitnessCode.BAD_PROOF


def test_what_was_rewritten_only_after_what_was_seen_is_not_noticed_by_it() -> None:
    """A witness vouches for what it saw; it cannot know what others saw later."""
    assert isinstance(shown(checkpoint(9), note(checkpoint(20, FORK)), proof(9, 20, FORK)), Cosigned)


def test_it_refuses_a_log_that_lost_entries() -> None:
    assert code(shown(checkpoint(10), note(checkpoint(9)))) is WitnessCode.ROLLBACK


def test_it_refuses_another_log_and_what_the_log_did_not_sign() -> None:
    other = Checkpoint(origin="log.example/two", size=1, root=HASHES[0])
    assert code(shown(None, note(other, name="log.example/two"))) is WitnessCode.WRONG_ORIGIN
    assert code(shown(None, note(checkpoint(1), key=OTHER_KEY))) is WitnessCode.BAD_SIGNATURE
    assert code(shown(None, "no note")) is WitnessCode.BAD_SIGNATURE


@settings(max_examples=150, deadline=None, print_blob=True)
@given(data=st.data())
def test_any_flipped_bit_of_a_proof_is_refused(data: st.DataObject) -> None:
    second = data.draw(st.integers(2, 40))
    first = data.draw(st.integers(1, second - 1))
    steps = list(proof(first, second))
    place, bit = data.draw(st.integers(0, len(steps) - 1)), data.draw(st.integers(0, 255))
    steps[place] = (int.from_bytes(steps[place]) ^ (1 << bit)).to_bytes(32)
    assert code(shown(checkpoint(first), note(checkpoint(second)), steps)) is WitnessCode.BAD_PROOF


def test_keys_under_another_name_and_memories_of_another_log_are_mistakes() -> None:
    with pytest.raises(ValueError, match="sign under its name"):
        witness(None, note(checkpoint(1)), (), origin="x", log=LOG, key=OTHER_KEY, name=NAME, now=NOW)
    other = Checkpoint(origin="log.example/two", size=1, root=HASHES[0])
    with pytest.raises(ValueError, match="another log"):
        shown(other, note(checkpoint(1)))


def test_every_code_has_a_line_for_people() -> None:
    assert len({code.meaning for code in WitnessCode}) == len(WitnessCode)
