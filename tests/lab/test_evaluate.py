"""Figures are reported with the bounds that statistics asks for."""

from __future__ import annotations

import pytest

from lab.evaluate import Rate, edit_distance


@pytest.mark.parametrize(
    ("errors", "tries", "bound"),
    [(0, 30, 0.095), (0, 150, 0.0198), (0, 300, 0.00994), (1, 150, 0.0312), (3, 150, 0.0510)],
)
def test_upper_bounds_are_exact(errors: int, tries: int, bound: float) -> None:
    """Values of the Clopper-Pearson interval, as printed in tables of zero- and few-error tests."""
    assert Rate(measure="m", what="attack", errors=errors, tries=tries).upper95 == pytest.approx(bound, rel=0.01)


def test_all_errors_bound_nothing() -> None:
    assert Rate(measure="m", what="attack", errors=5, tries=5).upper95 == 1.0


@pytest.mark.parametrize(
    ("heard", "wanted", "distance"), [("", "123", 3), ("123", "123", 0), ("124", "123", 1), ("13", "123", 1)]
)
def test_digit_errors_count_insertions_deletions_and_substitutions(heard: str, wanted: str, distance: int) -> None:
    assert edit_distance(heard, wanted) == distance
