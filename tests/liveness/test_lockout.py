"""Who fails too often waits; who fails now and then does not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from liveness.lockout import counted_since, locked_until
from liveness.policy import STRICT
from tests.people import NOW


def failures(*seconds_ago: float) -> list:  # type: ignore[type-arg]
    return [NOW - timedelta(seconds=s) for s in seconds_ago]


def test_five_failures_within_three_minutes_lock_for_half_an_hour_from_the_last() -> None:
    last = NOW - timedelta(seconds=10)
    assert locked_until(failures(170, 120, 60, 30, 10), policy=STRICT, now=NOW) == last + timedelta(minutes=30)


def test_four_failures_do_not_lock() -> None:
    assert locked_until(failures(100, 60, 30, 10), policy=STRICT, now=NOW) is None


@pytest.mark.parametrize(("first", "locked"), [(189.999, True), (190.0, False)])
def test_the_window_is_three_minutes(first: float, locked: bool) -> None:
    assert (locked_until(failures(first, 120, 60, 30, 10), policy=STRICT, now=NOW) is not None) is locked


@pytest.mark.parametrize(("later", "locked"), [(1789, True), (1790, False)])
def test_the_wait_ends(later: float, locked: bool) -> None:
    counted = failures(170, 120, 60, 30, 10)
    assert (locked_until(counted, policy=STRICT, now=NOW + timedelta(seconds=later)) is not None) is locked


def test_order_does_not_matter_and_the_future_does_not_count() -> None:
    assert locked_until(failures(30, 170, 10, 120, 60), policy=STRICT, now=NOW) is not None
    assert locked_until(failures(30, 170, -10, 120, 60), policy=STRICT, now=NOW) is None


def test_what_is_forgotten_cannot_matter() -> None:
    since = counted_since(policy=STRICT, now=NOW)
    oldest = [since - timedelta(seconds=1)] * 5
    assert locked_until(oldest, policy=STRICT, now=NOW) is None
