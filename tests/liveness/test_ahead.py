"""Work that runs ahead gives the same items in the same order, is bounded, and leaves no thread behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from liveness.ahead import ahead


def counted(made: list[int], until: int = 1000) -> Iterator[int]:
    for number in range(until):
        made.append(number)
        yield number


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "ahead"]


def test_the_same_items_in_the_same_order() -> None:
    with ahead(range(500), depth=3) as items:
        assert list(items) == list(range(500))
    assert threads() == []


def test_it_does_not_run_far_ahead() -> None:
    made: list[int] = []
    with ahead(counted(made), depth=4) as items:
        for item in items:
            # those that wait, the one that is being handed over, and the one being made
            assert len(made) <= item + 1 + 4 + 2


def test_an_error_comes_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise RuntimeError("made to fail")

    got = []
    with ahead(broken(), depth=4) as items:
        got.append(next(items))
        with pytest.raises(RuntimeError, match="made to fail"):
            next(items)
    assert got == [1]
    assert threads() == []


@pytest.mark.parametrize("taken", [0, 1, 7])
def test_a_reader_that_leaves_early_ends_it(taken: int) -> None:
    made: list[int] = []
    with ahead(counted(made, 10**9), depth=2) as items:
        for _ in range(taken):
            next(items)
    assert threads() == []
    assert len(made) <= taken + 5


def test_a_reader_that_fails_ends_it() -> None:
    def failing() -> None:
        with ahead(counted([], 10**9), depth=2) as items:
            next(items)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert threads() == []
