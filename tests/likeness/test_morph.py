"""One picture becomes another: what belongs together meets, and both ends are the pictures themselves."""

from __future__ import annotations

import numpy as np
import pytest

from likeness.morph import Morph, dissolve, morph

SIZE = (320, 240)
STILL = np.array([[1.0, 0, 0], [0, 1, 0]])


def dots(
    points: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    glow = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / 18) for px, py in points)
    return np.repeat(np.clip(40 + 210 * np.asarray(glow), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def somewhere(
    seed: int, middle: tuple[float, float], spread: float
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    angles = np.linspace(0, 2 * np.pi, 9)[:-1]
    return (
        np.column_stack([np.cos(angles), np.sin(angles)]) * spread
        + middle
        + np.random.default_rng(seed).normal(0, 4, (8, 2))
    )


def at(way: Morph, first: np.ndarray, second: np.ndarray, along: float, share: float) -> np.ndarray:  # type: ignore[type-arg]
    return way.seen(first, second, along=along, share=share, camera=STILL, size=SIZE)


@pytest.mark.parametrize("shift", [0.0, 40.0])
def test_it_begins_and_ends_with_the_pictures(shift: float) -> None:
    here, there = somewhere(1, (130, 110), 40), somewhere(2, (130 + shift, 120), 50)
    first, second = dots(here), dots(there)
    way = morph(here, there, SIZE)
    np.testing.assert_array_equal(at(way, first, second, 0.0, 0.0), first)
    np.testing.assert_array_equal(at(way, first, second, 1.0, 1.0), second)


@pytest.mark.parametrize("along", [0.25, 0.4, 0.5, 0.75])
def test_what_belongs_together_lies_on_each_other_on_the_way(along: float) -> None:
    here, there = somewhere(1, (130, 110), 40), somewhere(2, (165, 125), 55)
    way = morph(here, there, SIZE)
    ones, others = at(way, dots(here), dots(there), along, 0.0), at(way, dots(here), dots(there), along, 1.0)
    spread = np.abs(ones.astype(float) - others)[..., 0]
    apart = np.abs(dots(here).astype(float) - dots(there))[..., 0]
    assert spread.mean() < 0.45 * apart.mean()


def test_away_from_the_points_the_picture_keeps_its_form() -> None:
    """Points that only change places among themselves, as a face's do when it smiles."""
    here = somewhere(1, (160, 120), 30)
    away = (here - here.mean(axis=0)) / np.linalg.norm(here - here.mean(axis=0), axis=1)[:, None]
    there = here + 5 * away * np.array([1, -1] * 4)[:, None]
    picture = dots(np.array([[20.0, 20.0], [300.0, 220.0]]))
    seen = at(morph(here, there, SIZE), picture, picture, 0.5, 0.0)
    assert np.abs(seen[:40, :40].astype(int) - picture[:40, :40]).max() < 30


def test_a_dissolve_moves_nothing() -> None:
    first, second = dots(somewhere(1, (130, 110), 40)), dots(somewhere(2, (150, 120), 50))
    half = at(dissolve(SIZE), first, second, 0.5, 0.5)
    np.testing.assert_allclose(half, (first.astype(float) + second) / 2, atol=1)


def test_a_head_upside_down_is_not_spun_round() -> None:
    here = somewhere(1, (160, 120), 40)
    way = morph(here, 2 * here.mean(axis=0) - here, SIZE)
    assert abs(np.degrees(way.turn)) <= 14.1


def test_a_speck_is_not_blown_up_without_bounds() -> None:
    here = somewhere(1, (160, 120), 40)
    assert morph(here, 0.05 * (here - 160) + 160, SIZE).scale >= 0.5
