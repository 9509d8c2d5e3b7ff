"""What one or two recognisers' transcripts are worth against the digits that were asked for. Pure.

Two recognisers of different make (a grammar, and free decoding) fail in different places. Both are asked, and one may stumble
over one digit where the other is exact; anything worse is no proof that the digits were said, nor that they were not: the
person is asked to try again, not accused.
"""

from __future__ import annotations

from enum import StrEnum

from liveness.evidence import Transcript

MOST_APART = 1
"""Edits by which the other recogniser may miss when one is exact: one digit wrong, left out or made up. A second recogniser
that is right in 98 of 100 digits is then near enough in more than 99 of 100 strings of six; one that heard another string
of six is near enough in fewer than 1 of 10,000 (of the 590,490 strings whose neighbours differ, 49 at most are no more
than one digit from a given one)."""


class Agreement(StrEnum):
    """How the transcripts stand to what was asked for."""

    BOTH = "both"  # two recognisers heard exactly that
    ONE = "one"  # one heard exactly that, the other all but one digit of it
    ALONE = "alone"  # the only recogniser there is heard exactly that
    DISAGREE = "disagree"  # one heard exactly that, the other something else: try again
    NOT_HEARD = "not_heard"  # none heard exactly that

    @property
    def accepted(self) -> bool:
        """Whether the digits count as said."""
        return self in (Agreement.BOTH, Agreement.ONE, Agreement.ALONE)


def agree(first: Transcript, second: Transcript | None, wanted: str) -> Agreement:
    """What the transcripts say of ``wanted`` (digits 0-9). Which recogniser is the first makes no difference.

    second : ``None`` where there is no second recogniser. One that is there and gave nothing is no ``None``: the caller has
    then not measured, and must not pass.
    """
    exact_first = heard_exactly(first, wanted)
    if second is None:
        return Agreement.ALONE if exact_first else Agreement.NOT_HEARD
    exact_second = heard_exactly(second, wanted)
    if exact_first and exact_second:
        return Agreement.BOTH
    if not exact_first and not exact_second:
        return Agreement.NOT_HEARD
    other = second if exact_first else first
    # not ``accepted`` too: a recogniser does not vouch for a string of another length than it was told to expect
    return Agreement.ONE if edit_distance(other.digits, wanted) <= MOST_APART else Agreement.DISAGREE


def better(first: Transcript, second: Transcript | None, wanted: str) -> Transcript:
    """The transcript to take word times from: the first, unless only the second heard ``wanted`` exactly."""
    if second is not None and heard_exactly(second, wanted) and not heard_exactly(first, wanted):
        return second
    return first


def heard_exactly(heard: Transcript, wanted: str) -> bool:
    """What counts as having said it for one recogniser: it vouches for it, and it is exactly that."""
    return heard.accepted and bool(wanted) and heard.digits == wanted


def edit_distance(one: str, other: str) -> int:
    """Levenshtein: insertions, deletions and substitutions between two strings."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def first_missing(heard: str, wanted: str) -> int | None:
    """Which digit of ``wanted`` was the first that was not heard, counted from 1; ``None`` when all were (others may have been
    heard besides).

    Of the alignments with the fewest edits, the one that keeps the digits together from the front: a person is told of
    the place where the recording first goes astray.
    """
    rest = _distances_from(heard, wanted)
    i = j = 0
    while j < len(wanted):
        if i < len(heard) and heard[i] == wanted[j] and rest[i][j] == rest[i + 1][j + 1]:
            i, j = i + 1, j + 1
        elif i < len(heard) and rest[i][j] == rest[i + 1][j] + 1:
            i += 1  # heard besides
        else:
            return j + 1
    return None


def _distances_from(one: str, other: str) -> list[list[int]]:
    """Edit distance between every end of ``one`` and every end of ``other``: row and column say where the ends begin."""
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i in range(len(one), -1, -1):
        for j in range(len(other), -1, -1):
            if i == len(one) or j == len(other):
                table[i][j] = len(one) - i + len(other) - j
            else:
                table[i][j] = min(table[i + 1][j] + 1, table[i][j + 1] + 1, table[i + 1][j + 1] + (one[i] != other[j]))
    return table
