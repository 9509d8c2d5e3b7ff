"""When a child is of age, by place: where a guardian's say ends and the person's own begins.

Only days are known, not where on Earth somebody is, so both ends are taken on the safe side: a guardian's say ends at the
first moment at which it is that birthday anywhere (UTC+14), the person's own begins once it is that birthday everywhere
(UTC-12). Born on 29 February: in a common year the guardian's ends on the 28th, the person's own begins on 1 March.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

GUARDIAN_ENDS_AT = 18
"""Years, wherever it is: CRC art. 1 (a child is below 18), NO FAKES Act text (a minor's licence ends at 18)."""

_FIRST_TO_SEE_A_DAY = timedelta(hours=14)
_LAST_TO_SEE_A_DAY = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class AgeOfMajority:
    """Years, and the law that says so."""

    years: int
    source: str


DEFAULT = AgeOfMajority(18, "Convention on the Rights of the Child (1989) art. 1")

AGES: dict[str, AgeOfMajority] = {
    "CA-BC": AgeOfMajority(19, "Age of Majority Act, RSBC 1996 c 7, s 1"),
    "CA-NB": AgeOfMajority(19, "Age of Majority Act, RSNB 2011 c 103, s 1"),
    "CA-NL": AgeOfMajority(19, "Age of Majority Act, SNL 1995 c A-4.2, s 2"),
    "CA-NS": AgeOfMajority(19, "Age of Majority Act, RSNS 1989 c 4, s 2"),
    "CA-NT": AgeOfMajority(19, "Age of Majority Act, RSNWT 1988 c A-2, s 2"),
    "CA-NU": AgeOfMajority(19, "Age of Majority Act, RSNWT (Nu) 1988 c A-2, s 2"),
    "CA-YT": AgeOfMajority(19, "Age of Majority Act, RSY 2002 c 2, s 1"),
    "GB-SCT": AgeOfMajority(16, "Age of Legal Capacity (Scotland) Act 1991 s 1"),
    "KR": AgeOfMajority(19, "Civil Act art. 4"),
    "NZ": AgeOfMajority(20, "Age of Majority Act 1970 s 4"),
    "SG": AgeOfMajority(21, "common law; Civil Law Act 1909 s 35 for contracts from 18"),
    "TH": AgeOfMajority(20, "Civil and Commercial Code s 19"),
    "US-AL": AgeOfMajority(19, "Code of Alabama 26-1-1"),
    "US-MS": AgeOfMajority(21, "Mississippi Code 1-3-27"),
    "US-NE": AgeOfMajority(19, "Nebraska Revised Statutes 43-2101"),
}
"""By ISO 3166, where it is not the default. Written from knowledge of these laws in 2026 and not legal advice: an operator
has them checked. A place that is missing is taken as the default, and no age here lengthens a guardian's say past 18."""


def age_of_majority(jurisdiction: str) -> AgeOfMajority:
    """Of the part of a country if that has its own, else of the country, else the default."""
    return AGES.get(jurisdiction) or AGES.get(jurisdiction.partition("-")[0]) or DEFAULT


def guardian_until(born: date, jurisdiction: str) -> datetime:
    """The moment from which no guardian speaks for them: the earlier of the 18th birthday and majority."""
    day = _birthday(born, min(GUARDIAN_ENDS_AT, age_of_majority(jurisdiction).years), leap_day_moves_to=(2, 28))
    return datetime.combine(day, time(), UTC) - _FIRST_TO_SEE_A_DAY


def adult_from(born: date, jurisdiction: str) -> datetime:
    """The moment from which they decide for themselves, wherever on Earth they are."""
    day = _birthday(born, age_of_majority(jurisdiction).years, leap_day_moves_to=(3, 1))
    return datetime.combine(day, time(), UTC) + _LAST_TO_SEE_A_DAY


def _birthday(born: date, years: int, *, leap_day_moves_to: tuple[int, int]) -> date:
    try:
        return born.replace(year=born.year + years)
    except ValueError:  # born on 29 February, and that year has none
        return date(born.year + years, *leap_day_moves_to)
