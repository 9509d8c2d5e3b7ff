"""A live session, cue by cue, as a state machine that knows no socket and no clock.

Everything that decides when the next cue is shown, and when a take has failed, is in :class:`LiveTake`. Events go in with the
server's own time, actions come out. What is *seen* and *heard* here only guides and paces: the verdict is made afterwards,
from the recording and from the log of this server's own clock (:class:`LiveLog`, :func:`timing_of`).

    positioning --a face looks at the camera--> cued --response seen--> cued ... --last--> finishing --done--> sealed
    any of them --its time is over, the media stops, the client goes, too much is sent--> failed
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import accumulate
from statistics import median
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from liveness.challenge import Challenge, Direction, Nod, SayDigits, Step, Turn
from liveness.evidence import Face, Listener, LiveTiming, ShownCue
from liveness.guide import (
    Front,
    Glance,
    GuideCode,
    Hearing,
    Said,
    TurnPhase,
    before_cues,
    during_digits,
    during_nods,
    during_turn,
    is_frontal,
)
from liveness.policy import LivenessPolicy
from liveness.reasons import Reason
from liveness.segments import bursts
from liveness.turns import own_yaw

# What is waited for beyond the judge's own limits, because fewer pictures are looked at here than by the judge.
_TURN_MARGIN_DEG = 1.5
_BASELINE_MARGIN_MS = 100
_NOD_MARGIN_DEG = 1.0
_QUIET_MS = 400  # after the last digit or nod: nothing more follows
_LONG_QUIET_MS = 1_500  # somebody who ran the digits together has stopped
_VOICED_PER_DIGIT_MS = 150  # the shortest spoken digits last about as long
_RATE_HZ = 16_000
_LEAD = 800 * _RATE_HZ // 1000  # samples before the cue, so that there is a noise floor to rise above
_MOST_KEPT = 30 * _RATE_HZ


class Stage(StrEnum):
    """Where a live take stands."""

    POSITIONING = "positioning"
    CUED = "cued"
    FINISHING = "finishing"
    SEALED = "sealed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long each state may last, ms; a cue's own deadline and the whole challenge's life are the policy's.

    opened : connected, and no start yet. positioning : a face in front of the camera. stalled : no media at all. finishing :
    the last of the recording. judging : the verdict. All by design: a person at a phone sees each as a pause and no more.
    """

    opened: int = 10_000
    positioning: int = 20_000
    stalled: int = 5_000
    finishing: int = 5_000
    judging: int = 60_000


# --- what comes out --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowCue:
    """Show this step, and only this one. index : from 0."""

    index: int
    of: int
    step: Step
    deadline_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Guidance. at_ms : of the picture it is about, on the recording's clock."""

    code: GuideCode
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Everything was asked: the client sends what it still has, then says that it is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The recording is whole: hand it to the judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """The attempt is over."""

    reason: Reason


Action = ShowCue | Tell | Finish | Seal | Fail


# --- the log ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """After this chunk ``size`` bytes of the recording were here, at ``at_ms`` of the server's clock."""

    size: int
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CueSent:
    """Step ``step`` of the challenge was sent at ``at_ms`` of the server's clock."""

    step: int
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLog:
    """What this server saw of a live session with its own clock. Nothing in it is the client's word."""

    cues: tuple[CueSent, ...]
    arrivals: tuple[Arrival, ...] = field(repr=False)

    def to_json(self) -> dict[str, list[list[int]]]:
        return {
            "cues": [[cue.step, cue.at_ms] for cue in self.cues],
            "arrivals": [[arrival.size, arrival.at_ms] for arrival in self.arrivals],
        }

    @classmethod
    def from_json(cls, stored: dict[str, list[list[int]]]) -> LiveLog:
        return cls(
            cues=tuple(CueSent(step=step, at_ms=at_ms) for step, at_ms in stored["cues"]),
            arrivals=tuple(Arrival(size=size, at_ms=at_ms) for size, at_ms in stored["arrivals"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketAt:
    """A packet of the picture track: the byte behind its last one, and when its picture is shown, ms from the first."""

    end: int
    at_ms: int


def timing_of(arrivals: Sequence[Arrival], packets: Sequence[PacketAt], cues: Sequence[CueSent]) -> LiveTiming | None:
    """The cues on the recording's clock, and how the recording's clock ran; ``None`` when nothing of it can be placed.

    A picture cannot arrive before it was taken. Each arrival therefore bounds where the recording's zero lies on the server's
    clock from above: arrival time less the latest picture that was whole by then. The least of these bounds is taken. It is
    late by the quickest transport there was, so a cue is placed that much earlier than it was seen: in the person's favour,
    and by no more than a chunk's length.

    Neither clock comes from the client's word. Pictures that claim a later time than that of their arrival move the zero
    back, and every answer with it to before its cue; pictures that claim an earlier one make the recording's clock slow, which
    ``clock_ratio`` shows.
    """
    by_end = sorted(packets, key=lambda packet: packet.end)
    ends = [packet.end for packet in by_end]
    latest = list(accumulate((packet.at_ms for packet in by_end), max))
    placed = [
        (arrival.at_ms, latest[whole - 1]) for arrival in arrivals if (whole := bisect_right(ends, arrival.size)) > 0
    ]
    if not placed:
        return None
    offset_ms = min(at_ms - media_ms for at_ms, media_ms in placed)
    (first_ms, first_media_ms), (last_ms, last_media_ms) = placed[0], placed[-1]
    return LiveTiming(
        cues=tuple(ShownCue(step=cue.step, at_ms=cue.at_ms - offset_ms) for cue in cues),
        # what arrives in one piece took no time to arrive: a millisecond stands for none
        clock_ratio=max(last_media_ms - first_media_ms, latest[-1] if last_ms == first_ms else 0)
        / max(last_ms - first_ms, 1),
    )


# --- following a response --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSeen:
    """How far an asked turn was seen. since_ms : at the asked angle since then, on the recording's clock."""

    direction: Direction
    phase: TurnPhase = TurnPhase.GO
    since_ms: int = 0

    def after(self, yaw_deg: float, at_ms: int, *, policy: LivenessPolicy) -> TurnSeen:
        """``yaw_deg`` : from the own baseline, own left positive."""
        far = yaw_deg if self.direction is Direction.LEFT else -yaw_deg
        wanted = policy.turn_yaw.value + _TURN_MARGIN_DEG
        match self.phase:
            case TurnPhase.GO:
                return replace(self, phase=TurnPhase.HOLD, since_ms=at_ms) if far >= wanted else self
            case TurnPhase.HOLD:
                if far < policy.turn_yaw.value:
                    return replace(self, phase=TurnPhase.GO)
                held = at_ms - self.since_ms >= policy.turn_hold.value  # seen at both ends: it was held no shorter
                return replace(self, phase=TurnPhase.BACK) if held else self
            case TurnPhase.BACK:
                back = abs(yaw_deg) <= policy.turn_return.value - _TURN_MARGIN_DEG
                return replace(self, phase=TurnPhase.DONE) if back else self
            case TurnPhase.DONE:
                return self
            case _:
                assert_never(self.phase)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodsSeen:
    """How many nods were seen. down : in the middle of one. ended_ms : when the last was over, on the recording's clock."""

    times: int = 0
    down: bool = False
    ended_ms: int = 0

    def after(self, pitch_deg: float, at_ms: int, *, policy: LivenessPolicy) -> NodsSeen:
        """``pitch_deg`` : down from the own baseline."""
        deep = policy.nod_depth.value
        if not self.down and pitch_deg >= deep + _NOD_MARGIN_DEG:
            return replace(self, down=True)
        if self.down and pitch_deg <= deep / 2 - _NOD_MARGIN_DEG:
            return NodsSeen(times=self.times + 1, ended_ms=at_ms)
        return self

    def over(self, times: int, at_ms: int) -> bool:
        return self.times >= times and not self.down and at_ms - self.ended_ms >= _QUIET_MS


class Ear:
    """Counts what is heard since a cue was shown: by a :class:`~liveness.evidence.Listener` where there is one, else by bursts
    of sound. One session, one thread."""

    def __init__(self, listener: Listener | None = None) -> None:
        self._listener = listener
        self._counted = self._counted_before = 0
        self._kept: NDArray[np.float32] = np.zeros(0, np.float32)
        self._lead = 0
        self._counting = False

    def cue_shown(self, *, digits: bool) -> None:
        """Begin to count anew, if ``digits`` are asked; a little of the sound before is kept as the room's floor."""
        self._kept = self._kept[-_LEAD:]
        self._lead = len(self._kept)
        self._counted_before = self._counted
        self._counting = digits

    def feed(self, samples: NDArray[np.float32]) -> Hearing | None:
        """The next samples: ``(n,) float32``, 16 kHz; ``None`` while no digits are asked.

        Raises EngineError when the listener's model fails.
        """
        if not self._counting:
            self._kept = np.concatenate([self._kept, samples])[-_LEAD:]
            return None
        self._kept = np.concatenate([self._kept, samples])[-_MOST_KEPT:]
        if self._listener is not None:
            self._counted = self._listener.feed(samples)
        lead_ms, total_ms = (1000 * count // _RATE_HZ for count in (self._lead, len(self._kept)))
        found = [burst for burst in bursts(self._kept, _RATE_HZ) if burst.start_ms >= lead_ms]
        return Hearing(
            digits=len(found) if self._listener is None else max(0, self._counted - self._counted_before),
            voiced_ms=sum(burst.end_ms - burst.start_ms for burst in found),
            quiet_ms=total_ms - (found[-1].end_ms if found else lead_ms),
            heard_ms=total_ms - lead_ms,
        )


def said(hearing: Hearing, wanted: int) -> bool:
    """As many digits as asked seem to have been said, and nothing follows."""
    if hearing.digits >= wanted and hearing.quiet_ms >= _QUIET_MS:
        return True
    return hearing.quiet_ms >= _LONG_QUIET_MS and hearing.voiced_ms >= wanted * _VOICED_PER_DIGIT_MS


# --- the take --------------------------------------------------------------------------------------------------------


class LiveTake:
    """One attempt: fed with what happens and when, it says what to do. Times are ms of the server's clock, ever rising.

    After :class:`Fail` or :class:`Seal` it takes nothing more and says nothing more.
    """

    def __init__(
        self,
        challenge: Challenge,
        policy: LivenessPolicy,
        *,
        mirrored: bool,
        began_ms: int,
        patience: Patience = Patience(),
    ) -> None:
        """``policy`` : before :meth:`Challenge.limits`."""
        self.challenge = challenge
        self.stage = Stage.POSITIONING
        self._policy = challenge.limits(policy)
        self._mirrored = mirrored
        self._patience = patience
        self._began_ms = began_ms
        self._media_ms = began_ms  # when anything of the camera came last
        self._first_ms: int | None = None
        self._stage_ms = began_ms
        self._size = 0
        self._arrivals: list[Arrival] = []
        self._cues: list[CueSent] = []
        self._facing: list[Glance] = []
        self._front = Front(yaw_deg=0.0, pitch_deg=0.0)
        self._earlier: Glance | None = None
        self._hearing: Hearing | None = None
        self._turn: TurnSeen | None = None
        self._nods = NodsSeen()
        self._said = Said()

    @property
    def log(self) -> LiveLog:
        return LiveLog(cues=tuple(self._cues), arrivals=tuple(self._arrivals))

    @property
    def over(self) -> bool:
        return self.stage in (Stage.SEALED, Stage.FAILED)

    # events

    def arrived(self, size: int, now_ms: int) -> tuple[Action, ...]:
        """A chunk of the recording, ``size`` bytes long."""
        if self.over:
            return ()
        self._size += size
        if self._size > self._policy.max_bytes.value:
            return self._failed(Reason.RECORDING_UNREADABLE)
        self._first_ms = now_ms if self._first_ms is None else self._first_ms
        self._media_ms = now_ms
        self._arrivals.append(Arrival(size=self._size, at_ms=now_ms))
        return ()

    def previewed(self, now_ms: int) -> tuple[Action, ...]:
        """A picture or sound that is for guidance only."""
        self._media_ms = now_ms
        return ()

    def saw(self, glance: Glance, now_ms: int) -> tuple[Action, ...]:
        """A picture was looked at."""
        if self.over or self.stage is Stage.FINISHING:
            return ()
        code = self._code(glance, now_ms)
        told = self._tell(code, glance.at_ms, now_ms)
        if self.stage is Stage.POSITIONING:
            ready = self._ready(glance)
            self._earlier = glance
            return (*told, *self._next(now_ms)) if ready else told
        self._earlier = glance
        return (*told, *self._next(now_ms)) if self._responded(glance) else told

    def heard(self, hearing: Hearing, now_ms: int) -> tuple[Action, ...]:
        """Sound since the cue was shown."""
        step = self._step
        if self.over or not isinstance(step, SayDigits):
            return ()
        self._hearing = hearing
        return self._next(now_ms) if said(hearing, len(step.digits)) else ()

    def done(self, now_ms: int) -> tuple[Action, ...]:
        """The client says that it has sent everything."""
        if self.over:
            return ()
        if self.stage is not Stage.FINISHING:  # somebody who did not wait for what is asked
            return self._failed(Reason.ANSWERED_TOO_EARLY)
        self.stage = Stage.SEALED
        return (Seal(),)

    def lost(self) -> tuple[Action, ...]:
        """The client is gone."""
        return () if self.over else self._failed(Reason.CONNECTION_LOST)

    def spoilt(self) -> tuple[Action, ...]:
        """What was sent is no recording, or more of it than is taken."""
        return () if self.over else self._failed(Reason.RECORDING_UNREADABLE)

    def tick(self, now_ms: int) -> tuple[Action, ...]:
        """Time passes. To be called several times a second."""
        if self.over:
            return ()
        in_stage = now_ms - self._stage_ms
        own = self._policy
        if now_ms - self._began_ms > 1000 * own.challenge_life.value:
            return self._failed(Reason.CHALLENGE_EXPIRED)
        if self.stage is Stage.FINISHING:
            return self._failed(Reason.MEDIA_STALLED) if in_stage > self._patience.finishing else ()
        if now_ms - self._media_ms > self._patience.stalled:
            return self._failed(Reason.MEDIA_STALLED)
        if self._first_ms is not None and now_ms - self._first_ms > own.max_duration.value:
            return self._failed(Reason.CUE_TIMEOUT)
        if self.stage is Stage.CUED:
            return self._failed(Reason.CUE_TIMEOUT) if in_stage > own.cue_deadline.value else ()
        if in_stage > self._patience.positioning:
            return self._failed(Reason.NO_FACE if self._said.code is GuideCode.NO_FACE else Reason.NOT_FRONTAL)
        return ()

    # rules

    @property
    def _step(self) -> Step | None:
        return self.challenge.steps[len(self._cues) - 1] if self.stage is Stage.CUED else None

    def _failed(self, reason: Reason) -> tuple[Action, ...]:
        self.stage = Stage.FAILED
        return (Fail(reason=reason),)

    def _next(self, now_ms: int) -> tuple[Action, ...]:
        """The next cue, or the end."""
        self._stage_ms = now_ms
        index, of = len(self._cues), len(self.challenge.steps)
        if index == of:
            self.stage = Stage.FINISHING
            return (Finish(),)
        step = self.challenge.steps[index]
        self.stage = Stage.CUED
        self._cues.append(CueSent(step=index, at_ms=now_ms))
        self._hearing = None
        self._turn = TurnSeen(direction=step.direction) if isinstance(step, Turn) else None
        self._nods = NodsSeen()
        return (ShowCue(index=index, of=of, step=step, deadline_ms=int(self._policy.cue_deadline.value)),)

    def _ready(self, glance: Glance) -> bool:
        """Whether the person has looked at the camera, in the recording, for as long as the judge wants it at its start.

        Advice on light and distance is given, and waited for by nobody: its limits are tighter than the judge's, and must keep
        no one out.
        """
        face = _only(glance)
        frontal = face is not None and is_frontal(face, policy=self._policy, mirrored=self._mirrored)
        if not frontal or self._first_ms is None:
            self._facing = []
            return False
        self._facing.append(glance)
        if glance.at_ms - self._facing[0].at_ms < self._policy.baseline_hold.value + _BASELINE_MARGIN_MS:
            return False
        faces = [each.faces[0] for each in self._facing]
        self._front = Front(
            yaw_deg=median(own_yaw(face, mirrored=self._mirrored) for face in faces),
            pitch_deg=median(face.pitch_deg for face in faces),
        )
        return True

    def _responded(self, glance: Glance) -> bool:
        """Whether this picture completes what is asked."""
        step, face = self._step, _only(glance)
        if face is None:
            return False
        if isinstance(step, Turn) and self._turn is not None:
            return self._turn.phase is TurnPhase.DONE
        return isinstance(step, Nod) and self._nods.over(step.times, glance.at_ms)

    def _code(self, glance: Glance, now_ms: int) -> GuideCode:
        """What to tell about this picture; follows turn and nods on the way."""
        policy, mirrored, step, face = self._policy, self._mirrored, self._step, _only(glance)
        since_ms = now_ms - self._stage_ms
        match step:
            case None:
                return before_cues(glance, self._earlier, policy=policy, mirrored=mirrored)
            case Turn():
                seen = self._turn or TurnSeen(direction=step.direction)
                if face is not None:
                    yaw = own_yaw(face, mirrored=mirrored) - self._front.yaw_deg
                    seen = self._turn = seen.after(yaw, glance.at_ms, policy=policy)
                return during_turn(glance, step.direction, seen.phase, policy=policy)
            case Nod():
                if face is not None:
                    down = face.pitch_deg - self._front.pitch_deg
                    self._nods = self._nods.after(down, glance.at_ms, policy=policy)
                return during_nods(
                    glance, self._front, nodded=self._nods.times, since_ms=since_ms, policy=policy, mirrored=mirrored
                )
            case SayDigits():
                return during_digits(
                    glance, self._hearing, self._front, since_ms=since_ms, policy=policy, mirrored=mirrored
                )
            case _:
                assert_never(step)

    def _tell(self, code: GuideCode, at_ms: int, now_ms: int) -> tuple[Action, ...]:
        self._said, now = self._said.after(code, now_ms)
        return (Tell(code=code, at_ms=at_ms),) if now else ()


def _only(glance: Glance) -> Face | None:
    return glance.faces[0] if len(glance.faces) == 1 else None
