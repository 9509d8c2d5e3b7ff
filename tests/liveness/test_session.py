"""A session goes only where its table says, and a rejected step changes nothing."""

from __future__ import annotations

from itertools import product

import pytest

from liveness.session import TRANSITIONS, IllegalStep, SessionEvent, SessionState, advance


def test_a_challenge_is_spent_by_its_first_capture() -> None:
    state = advance(SessionState.CHALLENGED, SessionEvent.CAPTURE)
    with pytest.raises(IllegalStep):
        advance(state, SessionEvent.CAPTURE)


def test_no_verdict_without_a_capture() -> None:
    for state in (SessionState.CREATED, SessionState.CHALLENGED, SessionState.FAILED):
        with pytest.raises(IllegalStep):
            advance(state, SessionEvent.LIVE)


@pytest.mark.parametrize("state", [SessionState.PASSED, SessionState.EXPIRED])
def test_nothing_leaves_a_final_state(state: SessionState) -> None:
    for event in SessionEvent:
        with pytest.raises(IllegalStep):
            advance(state, event)


def test_every_pair_is_either_in_the_table_or_refused() -> None:
    for state, event in product(SessionState, SessionEvent):
        if (state, event) in TRANSITIONS:
            assert advance(state, event) is TRANSITIONS[state, event]
        else:
            with pytest.raises(IllegalStep):
                advance(state, event)
