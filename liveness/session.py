"""The life of one liveness session, as a table.

Everything that decides which step may follow which lives here. A challenge is spent by its first capture: ``capture``
leads out of ``challenged`` and nothing leads back without a new challenge.
"""

from __future__ import annotations

from enum import StrEnum

from liveness.errors import LivenessError


class SessionState(StrEnum):
    CREATED = "created"
    CHALLENGED = "challenged"
    JUDGING = "judging"
    PASSED = "passed"
    FAILED = "failed"  # of one attempt; a new challenge may follow while attempts are left
    EXPIRED = "expired"


class SessionEvent(StrEnum):
    CHALLENGE = "challenge"  # a fresh challenge was drawn
    CAPTURE = "capture"  # the first recording for it arrived
    BROKEN_OFF = "broken_off"  # a live session ended before there was a recording to judge
    LIVE = "live"
    NOT_LIVE = "not_live"
    EXPIRE = "expire"  # the session's time ran out


class IllegalStep(LivenessError):
    """That event cannot happen in that state; nothing was changed."""

    code = "illegal_step"


_S, _E = SessionState, SessionEvent

TRANSITIONS: dict[tuple[SessionState, SessionEvent], SessionState] = {
    (_S.CREATED, _E.CHALLENGE): _S.CHALLENGED,
    (_S.CHALLENGED, _E.CHALLENGE): _S.CHALLENGED,  # the earlier one is void; it counts as an attempt
    (_S.CHALLENGED, _E.CAPTURE): _S.JUDGING,
    (_S.CHALLENGED, _E.BROKEN_OFF): _S.FAILED,
    (_S.JUDGING, _E.LIVE): _S.PASSED,
    (_S.JUDGING, _E.NOT_LIVE): _S.FAILED,
    (_S.FAILED, _E.CHALLENGE): _S.CHALLENGED,
    (_S.CREATED, _E.EXPIRE): _S.EXPIRED,
    (_S.CHALLENGED, _E.EXPIRE): _S.EXPIRED,
    (_S.FAILED, _E.EXPIRE): _S.EXPIRED,
    # judging and passed do not expire here: a verdict on its way is waited for, a pass ages in consent.record
}


def advance(state: SessionState, event: SessionEvent) -> SessionState:
    """The state after ``event``.

    Raises:
        IllegalStep: when the table has no such step.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalStep(f"{event} cannot follow {state}") from None
