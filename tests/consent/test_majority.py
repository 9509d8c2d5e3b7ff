"""A guardian's say ends to the day, and never runs into the birthday anywhere on Earth."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.majority import AGES, adult_from, age_of_majority, guardian_until

KIRIBATI, BAKER_ISLAND = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))


def test_it_ends_when_the_eighteenth_birthday_begins_where_days_begin_first() -> None:
    assert guardian_until(date(2010, 6, 15), "DE") == datetime(2028, 6, 15, tzinfo=KIRIBATI)
    assert adult_from(date(2010, 6, 15), "DE") == datetime(2028, 6, 15, tzinfo=BAKER_ISLAND)


@pytest.mark.parametrize("born", [date(2008, 2, 29), date(2012, 2, 29)])
def test_born_on_a_leap_day_it_ends_on_the_28th_and_the_persons_own_say_begins_in_march(born: date) -> None:
    assert guardian_until(born, "GB") == datetime(born.year + 18, 2, 28, tzinfo=KIRIBATI)
    assert adult_from(born, "GB") == datetime(born.year + 18, 3, 1, tzinfo=BAKER_ISLAND)


def test_a_leap_day_that_the_year_has_is_the_birthday() -> None:
    assert guardian_until(date(2008, 2, 29), "GB-SCT") == datetime(2024, 2, 29, tzinfo=KIRIBATI)
    assert adult_from(date(2008, 2, 29), "NZ") == datetime(2028, 2, 29, tzinfo=BAKER_ISLAND)


@pytest.mark.parametrize(
    ("place", "years"),
    [("DE", 18), ("US", 18), ("US-CA", 18), ("US-MS", 21), ("KR", 19), ("KR-11", 19), ("GB-SCT", 16)],
)
def test_the_age_is_that_of_the_part_then_of_the_country_then_the_default(place: str, years: int) -> None:
    assert age_of_majority(place).years == years


@pytest.mark.parametrize("place", ["US-MS", "NZ", "SG", "KR"])
def test_where_majority_comes_later_the_guardian_still_ends_at_eighteen(place: str) -> None:
    assert guardian_until(date(2010, 6, 15), place) == guardian_until(date(2010, 6, 15), "DE")
    assert adult_from(date(2010, 6, 15), place) > adult_from(date(2010, 6, 15), "DE")


def test_where_majority_comes_earlier_the_guardian_ends_with_it() -> None:
    assert guardian_until(date(2010, 6, 15), "GB-SCT").year == 2026


def test_every_age_names_its_law() -> None:
    assert all(age.source and 15 <= age.years <= 21 for age in AGES.values())


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.sampled_from(["DE", "US-MS", "GB-SCT", "NZ"]))
def test_nobody_is_spoken_for_and_of_age_at_once(born: date, place: str) -> None:
    ends = guardian_until(born, place)
    assert ends < adult_from(born, place)
    years = min(18, age_of_majority(place).years)
    last_sure_day = date(born.year + years, born.month, min(born.day, 28)) - timedelta(days=4)
    assert ends >= datetime(last_sure_day.year, last_sure_day.month, last_sure_day.day, tzinfo=UTC)
    assert ends.astimezone(KIRIBATI).date() <= date(born.year + years, born.month, 1) + timedelta(days=born.day - 1)
