"""The log as a whole, and receipts: whoever touches either is found out, and the first wrong entry is named."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.errors import ConsentInvalid, LedgerBroken, ReceiptInvalid
from consent.keys import KeySet
from consent.ledger import (
    WitnessPolicy,
    commit,
    leaf_of,
    next_entry,
    read_leaf,
    verify_log,
    verify_receipt,
)
from consent.merkle import Node, root_of
from consent.note import Checkpoint, cosign, log_verifiers, witness_verifier
from consent.record import Limits, RevokedBy, event_bytes, fold, narrow, revoke, sign_record
from tests.consent.given import DAY, HOUR, KEY, KEYS, NOW, OTHER_KEY, SALT, SECOND, record
from tests.consent.logs import ORIGIN, MemoryLog

SIGNED = (2, 5, 9)


def broken(log: MemoryLog) -> LedgerBroken:
    with pytest.raises(LedgerBroken) as caught:
        log.verify()
    return caught.value


def test_a_whole_log_verifies() -> None:
    log = MemoryLog.of(9, signed=SIGNED)
    found = log.verify()
    assert (found.size, found.signed_size, found.checkpoints) == (9, 9, 3)
    assert found.root == log.edge().root()
    assert MemoryLog.of(0, signed=[0]).verify().size == 0


def test_entries_that_are_not_in_the_tree_yet_are_no_fault() -> None:
    log = MemoryLog.of(9, signed=(2, 5))
    log.nodes = {node: content for node, content in log.nodes.items() if (node.number + 1) << node.level <= 6}
    assert log.verify().size == 9


@settings(max_examples=120, deadline=None, print_blob=True)
@given(data=st.data())
def test_the_first_entry_that_was_changed_is_named(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 20))
    log = MemoryLog.of(size, signed=(size,))
    place = data.draw(st.integers(0, size - 1))
    entry = log.entries[place]
    change: dict[str, Any] = data.draw(
        st.sampled_from([{"at": entry.at + SECOND / 2}, {"kind": "consent.revoked"}, {"digest": "0" * 64}])
    )
    log.entries[place] = replace(entry, **change)
    for later in data.draw(st.sets(st.integers(place, size - 1))):
        log.entries[later] = replace(log.entries[later], digest="1" * 64)
    error = broken(log)
    assert error.index == place
    assert "was altered" in error.why


@pytest.mark.parametrize("place", range(9))
def test_a_dropped_entry_is_named(place: int) -> None:
    log = MemoryLog.of(9, signed=SIGNED)
    del log.entries[place]
    assert broken(log).index == place


@pytest.mark.parametrize("place", range(9))
def test_a_dropped_entry_is_named_also_when_the_rest_moved_up(place: int) -> None:
    log = MemoryLog.of(9, signed=SIGNED)
    del log.entries[place]
    log.entries = [replace(entry, index=number) for number, entry in enumerate(log.entries)]
    assert broken(log).index == place


@pytest.mark.parametrize("place", range(8))
def test_swapped_entries_are_named(place: int) -> None:
    log = MemoryLog.of(9, signed=SIGNED)
    one, two = log.entries[place : place + 2]
    log.entries[place : place + 2] = [
        replace(two, index=one.index, at=one.at),
        replace(one, index=two.index, at=two.at),
    ]
    assert broken(log).index == place


def test_a_changed_node_is_named_by_the_first_entry_below_it() -> None:
    for node in MemoryLog.of(9).nodes:
        log = MemoryLog.of(9, signed=SIGNED)
        log.nodes[node] = bytes(32)
        error = broken(log)
        assert error.index == node.first_leaf
        if node != Node(0, 8):  # nothing above the last leaf tells which of the two was changed
            assert f"node {node.number} of level {node.level}" in error.why
        del log.nodes[node]
        if node.level:
            assert broken(log).index == node.first_leaf


def test_entries_rewritten_together_with_the_tree_contradict_the_first_signed_root() -> None:
    for place in range(9):
        log = MemoryLog.of(9, signed=SIGNED)
        log.entries[place] = replace(log.entries[place], digest="0" * 64)
        log.rewrite()
        # the entry stands between the last checkpoint that is right and the first that is not
        assert broken(log).index == max(size for size in (0, *SIGNED) if size <= place)


def test_entries_cut_off_at_the_end_with_their_nodes_are_missed_by_a_checkpoint() -> None:
    log = MemoryLog.of(9, signed=SIGNED)
    del log.entries[7:]
    log.rewrite()
    error = broken(log)
    assert (error.index, "a checkpoint of 9 entries" in error.why) == (7, True)


@pytest.mark.parametrize("number", range(3))
def test_a_changed_checkpoint_is_named(number: int) -> None:
    good = MemoryLog.of(9, signed=SIGNED).checkpoints[number]
    other = MemoryLog.of(9, signed=SIGNED).checkpoints[number - 1]
    forged = MemoryLog(key=OTHER_KEY)
    for entry in MemoryLog.of(good.size).entries:
        forged.append(entry.digest.encode())
    forged.sign()
    for changed in (
        replace(good, note=good.note.replace(ORIGIN, "log.example/two")),
        replace(good, note=good.note.replace(f"\n{good.size}\n", "\n1\n")),
        replace(good, note=good.note[:-9] + "AAAAAAA=\n"),
        replace(good, note=""),
        replace(good, note=other.note),
        replace(good, root=bytes(32)),
        forged.checkpoints[0],
    ):
        log = MemoryLog.of(9, signed=SIGNED)
        log.checkpoints[number] = changed
        error = broken(log)
        assert error.index == good.size - 1
        assert "checkpoint" in error.why


def test_a_log_under_another_name_is_another_log() -> None:
    log = MemoryLog.of(3, signed=(3,))
    known: dict[str, Any] = {"keys": KEYS, "checkpoints": log.checkpoints}
    assert verify_log(map(leaf_of, log.entries), origin=ORIGIN, **known).signed_size == 3
    with pytest.raises(LedgerBroken):
        verify_log(map(leaf_of, log.entries), origin="log.example/two", **known)


def test_a_long_log_is_checked_across_the_parts_in_which_it_is_read() -> None:
    log = MemoryLog()
    last, size = None, 9000
    for number in range(size):
        last = next_entry(last, kind="consent.granted", digest=f"{number:064x}", at=NOW)
        log.entries.append(last)
    log.rewrite()
    log.sign()
    assert log.verify().size == size
    log.entries[8999] = replace(log.entries[8999], digest="f" * 64)
    log.entries[4096] = replace(log.entries[4096], digest="f" * 64)
    assert broken(log).index == 4096


@settings(max_examples=200, deadline=None, print_blob=True)
@given(data=st.data())
def test_any_flipped_bit_of_a_leaf_is_named(data: st.DataObject) -> None:
    log = MemoryLog.of(3, signed=(3,))
    leaves = [leaf_of(entry) for entry in log.entries]
    place = data.draw(st.integers(0, 2))
    bit = data.draw(st.integers(0, 8 * len(leaves[place]) - 1))
    flipped = bytearray(leaves[place])
    flipped[bit // 8] ^= 1 << bit % 8
    leaves[place] = bytes(flipped)
    with pytest.raises(LedgerBroken) as caught:
        verify_log(leaves, keys=KEYS, checkpoints=log.checkpoints, stored=log.stored, tree_size=3)
    assert caught.value.index == place


def test_a_leaf_has_one_spelling() -> None:
    entry = MemoryLog.of(1).entries[0]
    assert read_leaf(leaf_of(entry)) == entry
    for other in (leaf_of(entry).replace(b",", b", ", 1), b"", b"{}", b"[" * 2000, leaf_of(entry) + b" "):
        with pytest.raises(ValueError, match=r"not|larger|missing"):
            read_leaf(other)


def test_a_clock_that_went_back_does_not_stop_the_log_and_a_time_that_went_back_is_named() -> None:
    log = MemoryLog()
    log.append(b"one", at=NOW)
    assert log.append(b"two", at=NOW - DAY).at == NOW
    assert log.verify().size == 2
    log.entries[1] = replace(log.entries[1], at=NOW - DAY)
    log.rewrite()
    error = broken(log)
    assert (error.index, error.why) == (1, "is earlier than the entry before")


@pytest.mark.parametrize(("kind", "digest"), [("Granted!", "0" * 64), ("", "0" * 64), ("consent.granted", "someone")])
def test_an_entry_has_no_room_for_personal_data(kind: str, digest: str) -> None:
    with pytest.raises(ConsentInvalid):
        next_entry(None, kind=kind, digest=digest, at=NOW)


def test_without_the_salt_an_entry_says_nothing() -> None:
    content = event_bytes(record().granted)
    assert commit(content, SALT) != commit(content, b"t" * 32)
    with pytest.raises(ConsentInvalid):
        commit(content, b"short")


# --- receipts --------------------------------------------------------------------------------------------------------


def receipt_json() -> str:
    return MemoryLog.of(3).receipt(record(), later=2).to_json()


def changed(**members: Any) -> str:
    return json.dumps(json.loads(receipt_json()) | members)


def test_a_receipt_proves_its_record_offline_in_either_spelling() -> None:
    receipt = MemoryLog.of(3).receipt(record(), later=2)
    for text in (receipt.to_json(), receipt.to_tlog_proof()):
        found = verify_receipt(text, KEYS, origin=ORIGIN)
        assert found.record == record()
        assert found.entry.index == 3
        assert (found.checkpoint.size, found.witnesses) == (6, ())


def test_narrowing_and_revoking_have_receipts_too() -> None:
    of, log = record(), MemoryLog.of(1)
    narrowed = fold([*of.events, narrow(of, limits=Limits(max_seconds=5), now=NOW + HOUR)])
    ended = fold([*narrowed.events, revoke(narrowed, by=RevokedBy.SUBJECT, now=NOW + DAY)])
    for stage in (of, narrowed, ended):
        assert verify_receipt(log.receipt(stage).to_json(), KEYS).event == stage.events[-1]


def test_a_reformatted_receipt_is_the_same_receipt() -> None:
    assert verify_receipt(json.dumps(json.loads(receipt_json()), indent=2), KEYS).entry.index == 3


def test_another_persons_record_does_not_fit() -> None:
    with pytest.raises(ReceiptInvalid, match="something else"):
        verify_receipt(changed(record=sign_record(record(person=2), KEY)), KEYS)


def test_a_receipt_of_another_service_or_another_log_is_refused() -> None:
    foreign = MemoryLog(key=OTHER_KEY).receipt(record())
    with pytest.raises(ReceiptInvalid):
        verify_receipt(foreign.to_json(), KEYS)
    with pytest.raises(ReceiptInvalid, match="checkpoint is not signed"):
        verify_receipt(replace(foreign, record=sign_record(record(), KEY)).to_json(), KEYS)
    with pytest.raises(ReceiptInvalid, match="another log"):
        verify_receipt(receipt_json(), KEYS, origin="log.example/two")


def test_a_proof_of_another_entry_does_not_fit() -> None:
    one, two = MemoryLog.of(3).receipt(record()), MemoryLog.of(4).receipt(record())
    for receipt in (replace(one, proof=two.proof), replace(one, proof=replace(one.proof, index=2))):
        with pytest.raises(ReceiptInvalid):
            verify_receipt(receipt.to_json(), KEYS)


@settings(max_examples=250, deadline=None, print_blob=True)
@given(data=st.data())
def test_any_changed_character_in_a_receipt_is_refused(data: st.DataObject) -> None:
    receipt = MemoryLog.of(3).receipt(record(), later=2)
    text = data.draw(st.sampled_from([receipt.to_json(), receipt.to_tlog_proof()]))
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda c: c != text[place]))
    with pytest.raises(ReceiptInvalid):
        verify_receipt(text[:place] + other + text[place + 1 :], KEYS)


@pytest.mark.parametrize(
    "text", ["", "{}", "null", "[" * 100_000, "\ud800", "0" * 3_000_000, "c2sp.org/tlog-proof@v1\nindex 0\n\nx"]
)
def test_other_text_is_no_receipt(text: str) -> None:
    with pytest.raises(ReceiptInvalid):
        verify_receipt(text, KEYS)


def test_a_receipt_of_before_the_tree_says_that_there_is_a_newer_one() -> None:
    old = {"schema_version": "mien-receipt-1", "record": "x", "salt": "x", "entry": {}, "path": [], "head": "x"}
    with pytest.raises(ReceiptInvalid) as caught:
        verify_receipt(json.dumps(old), KEYS)
    assert caught.value.code == "receipt_outdated"


# --- witnesses -------------------------------------------------------------------------------------------------------

ONE, TWO = witness_verifier(OTHER_KEY, name="witness.example/1"), witness_verifier(KEY, name="witness.example/2")


def witnessed(*, at: datetime = NOW, spoilt: bool = False) -> str:
    """A receipt that witness ONE has cosigned."""
    log, of = MemoryLog.of(3), record()
    receipt = log.receipt(of)
    checkpoint = Checkpoint(origin=ORIGIN, size=4 + spoilt, root=log.edge().root())
    line = cosign(checkpoint.text, OTHER_KEY, name="witness.example/1", at=at).line
    return replace(receipt, proof=replace(receipt.proof, checkpoint=receipt.proof.checkpoint + line)).to_json()


def test_a_quorum_of_witnesses_can_be_asked_for() -> None:
    policy = WitnessPolicy(witnesses=(ONE, TWO), quorum=1)
    assert [(one.by, one.at) for one in verify_receipt(witnessed(), KEYS, policy=policy).witnesses] == [(ONE, NOW)]
    for text, wanted in ((witnessed(), 2), (receipt_json(), 1), (witnessed(spoilt=True), 1)):
        with pytest.raises(ReceiptInvalid) as caught:
            verify_receipt(text, KEYS, policy=WitnessPolicy(witnesses=(ONE, TWO), quorum=wanted))
        assert caught.value.code == "not_witnessed"
    assert verify_receipt(receipt_json(), KEYS).witnesses == ()


@pytest.mark.parametrize(
    ("witnesses", "quorum"),
    [((), 0), ((ONE,), 0), ((ONE,), 2), ((ONE, ONE), 2), (log_verifiers(KeySet.of(KEY), origin=ORIGIN), 1)],
)
def test_nobody_twice_the_same_and_the_log_itself_are_no_quorum(witnesses: Any, quorum: int) -> None:
    with pytest.raises(ValueError, match=r"quorum|twice|time"):
        WitnessPolicy(witnesses=witnesses, quorum=quorum)


def test_one_key_under_two_names_is_one_witness() -> None:
    again = witness_verifier(OTHER_KEY, name="witness.example/3")
    with pytest.raises(ValueError, match="twice"):
        WitnessPolicy(witnesses=(ONE, again), quorum=2)


def test_an_empty_log_has_the_root_of_an_empty_tree() -> None:
    assert MemoryLog.of(0, signed=[0]).checkpoints[0].root == root_of([])
