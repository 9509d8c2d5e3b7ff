"""Error rates and how sure of them one may be: pure functions of counts and scores.

Terms as in ISO/IEC 30107-3 (attack and genuine presentations) and ISO/IEC 19795-1 (FMR, FNMR). Bounds of proportions are
exact (Clopper and Pearson 1934); tries of one person are alike, so intervals over people are bootstrapped by person.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Errors among tries. ``what``: ``genuine`` or ``attack``, whose error it is."""

    measure: str
    what: str
    errors: int
    tries: int

    @property
    def rate(self) -> float:
        return self.errors / self.tries if self.tries else float("nan")

    @property
    def upper95(self) -> float:
        return upper_bound(self.errors, self.tries)

    def as_json(self) -> dict[str, object]:
        return {
            "measure": self.measure,
            "what": self.what,
            "errors": self.errors,
            "tries": self.tries,
            "rate": round(self.rate, 4) if self.tries else None,
            "upper95": round(self.upper95, 4),
        }


def upper_bound(errors: int, tries: int, confidence: float = CONFIDENCE) -> float:
    """The exact one-sided upper bound of a proportion (Clopper-Pearson); 1 when nothing was tried.

    Raises:
        ValueError: when there are more errors than tries, or fewer than none.
    """
    if not 0 <= errors <= tries:
        raise ValueError(f"{errors} errors in {tries} tries")
    if errors == tries:
        return 1.0
    from scipy.stats import beta

    return float(beta.ppf(confidence, errors + 1, tries - errors))


def all_fail(failures: int, tries: int, in_a_row: int = 3) -> float | None:
    """Chance that ``in_a_row`` tries drawn from one person's, none twice, all failed; ``None`` with fewer tries than that.

    C(failures, k) / C(tries, k): the unbiased estimate of p^k for a person whose every try fails with chance p.
    """
    if tries < in_a_row:
        return None
    return math.comb(failures, in_a_row) / math.comb(tries, in_a_row)


def mean_all_fail(people: Mapping[str, tuple[int, int]], in_a_row: int = 3) -> float | None:
    """:func:`all_fail` averaged over people, each weighing the same. ``people``: person to (failures, tries)."""
    chances = [chance for each in people.values() if (chance := all_fail(*each, in_a_row)) is not None]
    return sum(chances) / len(chances) if chances else None


def bootstrap_interval(people: Mapping[str, tuple[int, int]], *, seed: int) -> tuple[float, float] | None:
    """Two-sided 95 % interval of the pooled rate, people drawn with replacement (Efron's percentiles); ``None`` with under two.

    people : person to (failures, tries). Holds what differs between people; says nothing beyond the people there were.
    """
    counts = np.array([people[name] for name in sorted(people)], dtype=np.float64)
    if len(counts) < 2:
        return None
    chance = np.random.default_rng(seed)
    drawn = counts[chance.integers(0, len(counts), (_RESAMPLES, len(counts)))].sum(axis=1)
    rates = drawn[:, 0] / np.maximum(drawn[:, 1], 1)
    low, high = np.percentile(rates, (2.5, 97.5))
    return float(low), float(high)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trade:
    """False match and false non-match rates at each limit, ``(n,) float64`` each, limits rising (a DET curve)."""

    limits: NDArray[np.float64]
    fmr: NDArray[np.float64]
    fnmr: NDArray[np.float64]


def trade(same: Sequence[float], other: Sequence[float]) -> Trade:
    """Rates at every limit that changes one of them; a pair matches when it is at least the limit.

    Raises:
        ValueError: without pairs of both kinds.
    """
    if not same or not other:
        raise ValueError("a trade-off needs pairs of one person and of different people")
    mated, foreign = np.sort(np.asarray(same, float)), np.sort(np.asarray(other, float))
    limits = np.unique(np.concatenate([mated, foreign, [np.nextafter(max(mated[-1], foreign[-1]), np.inf)]]))
    return Trade(
        limits=limits,
        fmr=1 - np.searchsorted(foreign, limits, side="left") / len(foreign),
        fnmr=np.searchsorted(mated, limits, side="left") / len(mated),
    )


def equal_error(curve: Trade) -> float:
    """The rate at which both errors are alike: the mean of both where they are nearest."""
    nearest = int(np.argmin(np.abs(curve.fmr - curve.fnmr)))
    return float((curve.fmr[nearest] + curve.fnmr[nearest]) / 2)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least ``share`` percent of the values do not pass (nearest rank); ``None`` for no values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)]
