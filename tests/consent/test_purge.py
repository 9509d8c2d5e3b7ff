"""Deletion that is owed: by when, what a backend may state, and a receipt that cannot be bent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.errors import PurgeInvalid
from consent.keys import KeySet, SigningKey
from consent.purge import (
    LIMIT,
    MOST_ASSETS,
    TARGET,
    Purge,
    PurgeReason,
    PurgeState,
    confirm,
    demand,
    read_purge_receipt,
    sign_purge_receipt,
)

NOW = datetime(2027, 1, 1, tzinfo=UTC)
KEY = SigningKey.from_seed(bytes(32))
MOMENT = timedelta(microseconds=1)


def asked() -> Purge:
    return demand(purge_id="prg_1", consent_id="cns_1", backend="studio", reason=PurgeReason.REVOKED, now=NOW)


@pytest.mark.parametrize(
    ("after", "state"),
    [
        (timedelta(0), PurgeState.REQUIRED),
        (TARGET - MOMENT, PurgeState.REQUIRED),
        (TARGET, PurgeState.LATE),
        (LIMIT - MOMENT, PurgeState.LATE),
        (LIMIT, PurgeState.OVERDUE),
        (timedelta(days=4000), PurgeState.OVERDUE),
    ],
)
def test_a_demand_grows_old(after: timedelta, state: PurgeState) -> None:
    assert asked().state_at(NOW + after) is state
    assert replace(asked(), confirmed_at=NOW).state_at(NOW + after) is PurgeState.CONFIRMED
    excused = replace(asked(), excused_at=NOW + LIMIT).state_at(NOW + after)
    assert excused is (PurgeState.EXCUSED if state is PurgeState.OVERDUE else state)


@pytest.mark.parametrize("until", [None, NOW + timedelta(days=30)])
def test_what_a_vendor_keeps_under_its_own_terms_blocks_nobody(until: datetime | None) -> None:
    kept = replace(asked(), retained_at=NOW, retained_until=until)
    assert kept.state_at(NOW + LIMIT) is PurgeState.RETAINED
    later = kept.state_at(NOW + timedelta(days=30))
    assert later is (PurgeState.RETAINED if until is None else PurgeState.LAPSED)
    assert replace(kept, confirmed_at=NOW).state_at(NOW + LIMIT) is PurgeState.CONFIRMED


def test_the_limits_are_an_hour_and_two_days() -> None:
    assert (asked().target_at, asked().due_at) == (NOW + timedelta(hours=1), NOW + timedelta(hours=48))


@pytest.mark.parametrize(
    ("assets", "deleted_at", "signature"),
    [
        (1, NOW - timedelta(hours=1), None),  # before it was asked
        (1, NOW + timedelta(hours=2), None),  # in the future
        (-1, NOW, None),
        (MOST_ASSETS + 1, NOW, None),
        (1, NOW, "s" * 4097),
    ],
)
def test_a_statement_that_cannot_be_right_is_no_receipt(
    assets: int, deleted_at: datetime, signature: str | None
) -> None:
    with pytest.raises(PurgeInvalid) as refused:
        confirm(asked(), assets_deleted=assets, deleted_at=deleted_at, backend_signature=signature, now=NOW + TARGET)
    assert refused.value.code == "purge_statement_invalid"


@given(st.integers(0, MOST_ASSETS), st.one_of(st.none(), st.text(min_size=1, max_size=50)))
def test_a_receipt_says_what_was_stated(assets: int, signature: str | None) -> None:
    try:
        receipt = confirm(asked(), assets_deleted=assets, deleted_at=NOW, backend_signature=signature, now=NOW)
        compact = sign_purge_receipt(receipt, KEY)
    except ValueError:  # text that is no Unicode cannot be signed
        assert signature is not None
        assert not signature.isprintable()
        return
    assert read_purge_receipt(compact, KeySet.of(KEY)) == receipt


def test_a_bent_receipt_does_not_hold() -> None:
    compact = sign_purge_receipt(
        confirm(asked(), assets_deleted=3, deleted_at=NOW, backend_signature=None, now=NOW), KEY
    )
    for place in range(0, len(compact), 7):
        flipped = compact[:place] + ("A" if compact[place] != "A" else "B") + compact[place + 1 :]
        with pytest.raises(PurgeInvalid) as refused:
            read_purge_receipt(flipped, KeySet.of(KEY))
        assert refused.value.code == "purge_receipt_invalid"
    with pytest.raises(PurgeInvalid):
        read_purge_receipt(compact, KeySet.of(SigningKey.generate()))
    with pytest.raises(PurgeInvalid):
        read_purge_receipt(KEY.sign({"schema": "mien-purge-receipt-1"}, typ="purge-receipt+jws"), KeySet.of(KEY))
