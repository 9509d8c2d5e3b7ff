from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.errors import ConsentInvalid, LedgerBroken, ReceiptInvalid, SignatureInvalid
from consent.ledger import (
    EMPTY,
    Head,
    LedgerEntry,
    commit,
    make_receipt,
    next_entry,
    sign_head,
    verify_chain,
    verify_head,
    verify_receipt,
)
from consent.record import ConsentRecord, Limits, RevokedBy, event_bytes, fold, narrow, revoke, sign_record
from tests.consent.given import DAY, HOUR, KEY, KEYS, NOW, OTHER_KEY, SALT, SECOND, record


def chain(length: int) -> list[LedgerEntry]:
    entries: list[LedgerEntry] = []
    for number in range(length):
        digest = commit(f"event {number}".encode(), SALT)
        last = entries[-1] if entries else None
        entries.append(next_entry(last, kind="consent.granted", digest=digest, at=NOW + number * SECOND))
    return entries


def appended(before: list[LedgerEntry], of: ConsentRecord) -> LedgerEntry:
    event = of.events[-1]
    return next_entry(
        before[-1] if before else None, kind=event.kind, digest=commit(event_bytes(event), SALT), at=event.at
    )


def test_a_chain_leads_to_its_head() -> None:
    entries = chain(5)
    assert verify_chain(entries) == Head(size=5, entry_hash=entries[-1].entry_hash)
    assert verify_chain([]) == EMPTY


def test_a_chain_can_be_checked_in_parts() -> None:
    entries = chain(6)
    middle = verify_chain(entries[:3])
    assert verify_chain(iter(entries[3:]), after=middle) == verify_chain(entries)


@settings(max_examples=80, deadline=None)
@given(length=st.integers(1, 8), data=st.data())
def test_the_first_wrong_entry_is_named(length: int, data: st.DataObject) -> None:
    entries = chain(length)
    place = data.draw(st.integers(0, length - 1))
    field = data.draw(st.sampled_from(["at", "kind", "digest", "previous", "entry_hash"]))
    changed = {
        "at": entries[place].at + HOUR,
        "kind": "consent.revoked",
        "digest": "0" * 64,
        "previous": "1" * 64,
        "entry_hash": "2" * 64,
    }[field]
    entries[place] = replace(entries[place], **{field: changed})  # type: ignore[arg-type]
    with pytest.raises(LedgerBroken) as caught:
        verify_chain(entries)
    assert caught.value.index == place


@pytest.mark.parametrize("left_out", [0, 1, 2, 3])
def test_a_missing_entry_is_named(left_out: int) -> None:
    entries = chain(5)
    with pytest.raises(LedgerBroken) as caught:
        verify_chain(entries[:left_out] + entries[left_out + 1 :])
    assert caught.value.index == left_out


def test_swapped_entries_are_noticed() -> None:
    entries = chain(4)
    with pytest.raises(LedgerBroken) as caught:
        verify_chain([entries[0], entries[2], entries[1], entries[3]])
    assert caught.value.index == 1


def test_an_entry_slipped_in_is_noticed_even_with_right_hashes() -> None:
    entries = chain(4)
    forged = next_entry(entries[1], kind="consent.revoked", digest="0" * 64, at=NOW + HOUR)
    with pytest.raises(LedgerBroken) as caught:
        verify_chain([*entries[:2], forged, *entries[3:]])
    assert caught.value.index == 3


def test_a_rewritten_end_does_not_match_a_head_that_was_signed() -> None:
    entries = chain(3)
    signed = sign_head(Head.of(entries[-1]), KEY, at=NOW)
    rewritten = [*entries[:2], next_entry(entries[1], kind="consent.granted", digest="0" * 64, at=NOW + HOUR)]
    assert verify_chain(rewritten) != verify_head(signed, KEYS)


def test_a_clock_that_went_back_does_not_stop_the_ledger() -> None:
    first = next_entry(None, kind="consent.granted", digest="0" * 64, at=NOW)
    second = next_entry(first, kind="consent.revoked", digest="1" * 64, at=NOW - DAY)
    assert second.at == NOW
    assert verify_chain([first, second]).size == 2


@pytest.mark.parametrize(("kind", "digest"), [("Granted!", "0" * 64), ("", "0" * 64), ("consent.granted", "someone")])
def test_an_entry_has_no_room_for_personal_data(kind: str, digest: str) -> None:
    with pytest.raises(ConsentInvalid):
        next_entry(None, kind=kind, digest=digest, at=NOW)


def test_without_the_salt_an_entry_says_nothing() -> None:
    content = event_bytes(record().granted)
    assert commit(content, SALT) != commit(content, b"t" * 32)
    with pytest.raises(ConsentInvalid):
        commit(content, b"short")


@pytest.mark.parametrize("typ", ["consent+jwt", "permit+jwt"])
def test_another_signed_thing_is_no_head(typ: str) -> None:
    with pytest.raises(SignatureInvalid):
        verify_head(KEY.sign({"ledger": "mien-ledger-1", "size": 1, "entry_hash": "0" * 64, "at": "x"}, typ=typ), KEYS)


# --- receipts --------------------------------------------------------------------------------------------------------


def receipt_json() -> str:
    before = chain(3)
    of = record()
    entry = appended(before, of)
    head = sign_head(Head.of(entry), KEY, at=NOW)
    return make_receipt(record=sign_record(of, KEY), salt=SALT, entry=entry, head=head).to_json()


def test_a_receipt_proves_its_record_offline() -> None:
    found = verify_receipt(receipt_json(), KEYS)
    assert found.record == record()
    assert found.entry.index == 3
    assert found.head.size == 4


def test_a_receipt_may_lead_to_a_later_head() -> None:
    of = record()
    entry = appended([], of)
    later = [entry]
    for _ in range(3):
        later.append(next_entry(later[-1], kind="consent.granted", digest="0" * 64, at=NOW))
    head = sign_head(Head.of(later[-1]), KEY, at=NOW)
    text = make_receipt(record=sign_record(of, KEY), salt=SALT, entry=entry, head=head, path=later[1:]).to_json()
    assert verify_receipt(text, KEYS).head.size == 4


def test_narrowing_and_revoking_have_receipts_too() -> None:
    of = record()
    narrowed = fold([*of.events, narrow(of, limits=Limits(max_seconds=5), now=NOW + HOUR)])
    ended = fold([*narrowed.events, revoke(narrowed, by=RevokedBy.SUBJECT, now=NOW + DAY)])
    entries: list[LedgerEntry] = []
    for stage in (of, narrowed, ended):
        entries.append(appended(entries, stage))
        head = sign_head(Head.of(entries[-1]), KEY, at=NOW)
        text = make_receipt(record=sign_record(stage, KEY), salt=SALT, entry=entries[-1], head=head).to_json()
        assert verify_receipt(text, KEYS).event == stage.events[-1]


def test_a_reformatted_receipt_is_the_same_receipt() -> None:
    assert verify_receipt(json.dumps(json.loads(receipt_json()), indent=2), KEYS).entry.index == 3


def test_another_persons_record_does_not_fit() -> None:
    content = json.loads(receipt_json())
    content["record"] = sign_record(record(person=2), KEY)
    with pytest.raises(ReceiptInvalid):
        verify_receipt(json.dumps(content), KEYS)


def test_a_receipt_of_another_service_is_refused() -> None:
    content = json.loads(receipt_json())
    entry = verify_receipt(receipt_json(), KEYS).entry
    content["head"] = sign_head(Head.of(entry), OTHER_KEY, at=NOW)
    with pytest.raises(ReceiptInvalid):
        verify_receipt(json.dumps(content), KEYS)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_changed_character_in_a_receipt_is_refused(data: st.DataObject) -> None:
    text = receipt_json()
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda c: c != text[place]))
    with pytest.raises(ReceiptInvalid):
        verify_receipt(text[:place] + other + text[place + 1 :], KEYS)


def test_a_receipt_that_is_a_whole_ledger_is_refused() -> None:
    content = json.loads(receipt_json())
    content["path"] = [content["entry"]] * 1001
    with pytest.raises(ReceiptInvalid, match="not a receipt"):
        verify_receipt(json.dumps(content), KEYS)


@pytest.mark.parametrize("text", ["", "{}", "null", "[" * 100_000, "\ud800", "0" * 3_000_000])
def test_other_text_is_no_receipt(text: str) -> None:
    with pytest.raises(ReceiptInvalid):
        verify_receipt(text, KEYS)
