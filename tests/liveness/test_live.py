"""A live take shows one cue at a time, ends whatever the client does, and places cues by this server's clock alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveness.challenge import Challenge, Direction, Nod, Reveal, SayDigits, Turn, of_steps
from liveness.digits import Language
from liveness.guide import GuideCode, Hearing
from liveness.live import (
    Action,
    Arrival,
    CueSent,
    Ear,
    Fail,
    Finish,
    LiveLog,
    LiveTake,
    PacketAt,
    Seal,
    ShowCue,
    Stage,
    Tell,
    timing_of,
)
from liveness.policy import STRICT
from liveness.reasons import Reason
from tests.liveness.test_guide import face, glance

STEPS = (SayDigits(digits="480"), Turn(direction=Direction.LEFT), Nod(times=2))
NOW = datetime(2027, 3, 1, tzinfo=UTC)


def challenge(*, extra_time: bool = False) -> Challenge:
    return of_steps(
        STEPS, language=Language.ENGLISH, policy=STRICT, now=NOW, extra_time=extra_time, reveal=Reveal.CUE_BY_CUE
    )


def heard(digits: int, quiet_ms: int) -> Hearing:
    return Hearing(digits=digits, voiced_ms=250 * digits, quiet_ms=quiet_ms, heard_ms=2000)


class Story:
    """A take and a clock that moves 50 ms a picture."""

    def __init__(self, *, extra_time: bool = False, mirrored: bool = False) -> None:
        self.take = LiveTake(challenge(extra_time=extra_time), STRICT, mirrored=mirrored, began_ms=0)
        self.mirrored = mirrored
        self.now_ms = 0
        self.actions: list[Action] = []

    def sees(self, *yaws: float, pitch: float = 0) -> None:
        for yaw in yaws:
            self.now_ms += 50
            self.actions += self.take.arrived(1000, self.now_ms)
            seen = glance(face(yaw_deg=-yaw if self.mirrored else yaw, pitch_deg=pitch), at_ms=self.now_ms)
            self.actions += self.take.saw(seen, self.now_ms)
            self.actions += self.take.tick(self.now_ms)

    def hears(self, digits: int, quiet_ms: int = 500) -> None:
        self.actions += self.take.heard(heard(digits, quiet_ms), self.now_ms)

    def waits(self, ms: int, *, media: bool = True) -> None:
        for _ in range(ms // 100):
            self.now_ms += 100
            if media:
                self.actions += self.take.arrived(100, self.now_ms)
            self.actions += self.take.tick(self.now_ms)

    @property
    def cues(self) -> list[int]:
        return [action.index for action in self.actions if isinstance(action, ShowCue)]

    @property
    def failed(self) -> list[Reason]:
        return [action.reason for action in self.actions if isinstance(action, Fail)]

    @property
    def told(self) -> list[GuideCode]:
        return [action.code for action in self.actions if isinstance(action, Tell)]


SETTLED = (0.0,) * 14
TURNED = (*range(0, 32, 4), *(30,) * 10, *range(30, 0, -5), 0, 0)


def nod(story: Story, times: int) -> None:
    for _ in range(times):
        for pitch in (0, 6, 12, 12, 6, 0):
            story.sees(0, pitch=pitch)
    story.sees(*(0,) * 10)


@pytest.mark.parametrize("mirrored", [False, True])
def test_who_does_each_step_as_it_is_shown_is_led_to_the_end(mirrored: bool) -> None:
    story = Story(mirrored=mirrored)
    story.sees(*SETTLED)
    assert story.cues == [0]
    story.hears(2)
    assert story.cues == [0], "two of three digits are not all"
    story.hears(3, quiet_ms=200)
    assert story.cues == [0], "somebody who still speaks is not cut off"
    story.hears(3)
    assert story.cues == [0, 1]
    story.sees(*TURNED)
    assert story.cues == [0, 1, 2]
    assert [code for code in story.told if code is not GuideCode.OK][:3] == [
        GuideCode.TURN_FURTHER_LEFT, GuideCode.HOLD, GuideCode.COME_BACK,
    ]  # fmt: skip
    nod(story, 2)
    assert isinstance(story.actions[-1], Finish)
    story.actions += story.take.done(story.now_ms)
    assert isinstance(story.actions[-1], Seal)
    assert not story.failed
    assert [cue.step for cue in story.take.log.cues] == [0, 1, 2]


def test_a_turn_to_the_other_side_moves_nothing_on() -> None:
    story = Story()
    story.sees(*SETTLED)
    story.hears(3)
    story.sees(*(-yaw for yaw in TURNED))
    assert story.cues == [0, 1]


@pytest.mark.parametrize("peak", [10, 20, 24])
def test_a_turn_that_the_judge_would_not_count_moves_nothing_on(peak: int) -> None:
    story = Story()
    story.sees(*SETTLED)
    story.hears(3)
    story.sees(*(min(yaw, peak) for yaw in TURNED))
    assert story.cues == [0, 1]


def test_one_nod_of_two_moves_nothing_on() -> None:
    story = Story()
    story.sees(*SETTLED)
    story.hears(3)
    story.sees(*TURNED)
    nod(story, 1)
    assert story.cues == [0, 1, 2]
    nod(story, 1)
    assert isinstance(story.actions[-1], Finish)


def test_no_cue_is_shown_before_a_face_looks_at_the_camera_in_the_recording() -> None:
    story = Story()
    story.sees(*(20.0,) * 30)
    assert story.cues == []
    take = LiveTake(challenge(), STRICT, mirrored=False, began_ms=0)
    for at_ms in range(0, 2000, 50):  # seen well, but nothing is being recorded
        take.previewed(at_ms)
        assert not any(isinstance(action, ShowCue) for action in take.saw(glance(face(), at_ms=at_ms), at_ms))


@pytest.mark.parametrize(("brightness", "width"), [(STRICT.darkest.value + 3, 160), (120.0, 70)])
def test_advice_on_light_and_distance_keeps_nobody_out(brightness: float, width: float) -> None:
    take = LiveTake(challenge(), STRICT, mirrored=False, began_ms=0)
    actions: list[Action] = []
    for at_ms in range(0, 2000, 50):
        actions += take.arrived(1000, at_ms)
        actions += take.saw(glance(face(width=width), at_ms=at_ms, brightness=brightness), at_ms)
    assert any(isinstance(action, ShowCue) for action in actions)
    assert {GuideCode.MORE_LIGHT, GuideCode.MOVE_CLOSER} & {a.code for a in actions if isinstance(a, Tell)}


def test_every_state_comes_to_an_end_by_itself() -> None:
    silent = Story()
    silent.waits(6_000, media=False)
    assert silent.failed == [Reason.MEDIA_STALLED]

    nobody = Story()
    nobody.waits(21_000)
    assert nobody.failed == [Reason.NOT_FRONTAL]

    idle = Story()
    idle.sees(*SETTLED)
    idle.waits(13_000)
    assert idle.failed == [Reason.CUE_TIMEOUT]

    unfinished = Story()
    unfinished.sees(*SETTLED)
    unfinished.hears(3)
    unfinished.sees(*TURNED)
    nod(unfinished, 2)
    unfinished.waits(6_000)
    assert unfinished.failed == [Reason.MEDIA_STALLED]


def test_a_cue_waits_twice_as_long_for_who_asked_for_more_time() -> None:
    for extra_time, failed in ((False, [Reason.CUE_TIMEOUT]), (True, [])):
        story = Story(extra_time=extra_time)
        story.sees(*SETTLED)
        story.waits(int(STRICT.cue_deadline.value) + 500)
        assert story.failed == failed


def test_who_says_done_before_everything_was_asked_has_answered_too_early() -> None:
    story = Story()
    story.sees(*SETTLED)
    story.actions += story.take.done(story.now_ms)
    assert story.failed == [Reason.ANSWERED_TOO_EARLY]


def test_more_bytes_than_the_policy_takes_end_it() -> None:
    take = LiveTake(challenge(), STRICT, mirrored=False, began_ms=0)
    sent = 0
    while not take.over:
        sent += 1_000_000
        actions = take.arrived(1_000_000, 10)
    assert actions == (Fail(reason=Reason.RECORDING_UNREADABLE),)
    assert STRICT.max_bytes.value < sent <= STRICT.max_bytes.value + 1_000_000


def test_after_its_end_a_take_changes_and_says_nothing() -> None:
    story = Story()
    story.sees(*SETTLED)
    assert story.take.lost() == (Fail(reason=Reason.CONNECTION_LOST),)
    log = story.take.log
    before = len(story.actions)
    story.sees(*TURNED)
    story.hears(3)
    story.waits(60_000)
    assert story.actions[before:] == []
    assert (*story.take.done(10**6), *story.take.lost(), *story.take.spoilt()) == ()
    assert story.take.stage is Stage.FAILED
    assert story.take.log == log


@given(st.lists(st.sampled_from(["see", "turn", "hear", "chunk", "tick", "wait", "preview"]), max_size=120))
def test_whatever_happens_no_cue_comes_before_the_one_before_it(events: list[str]) -> None:
    take = LiveTake(challenge(), STRICT, mirrored=False, began_ms=0)
    now_ms = 0
    shown: list[int] = []
    for event in events:
        now_ms += 4000 if event == "wait" else 60
        match event:
            case "see":
                actions = take.saw(glance(face(), at_ms=now_ms), now_ms)
            case "turn":
                actions = take.saw(glance(face(yaw_deg=30), at_ms=now_ms), now_ms)
            case "hear":
                actions = take.heard(heard(3, 500), now_ms)
            case "chunk":
                actions = take.arrived(1000, now_ms)
            case "preview":
                actions = take.previewed(now_ms)
            case _:
                actions = take.tick(now_ms)
        shown += [action.index for action in actions if isinstance(action, ShowCue)]
        assert sum(isinstance(action, ShowCue) for action in actions) <= 1
    assert shown == list(range(len(shown)))


# --- hearing ---------------------------------------------------------------------------------------------------------


def spoken(*bursts_ms: tuple[int, int], total_ms: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """A buzz over hiss at these times."""
    chance = np.random.default_rng(7)
    sound = chance.normal(0, 0.001, total_ms * 16).astype(np.float32)
    for start_ms, end_ms in bursts_ms:
        at = np.arange((end_ms - start_ms) * 16) / 16_000
        sound[start_ms * 16 : end_ms * 16] += (0.3 * np.sin(2 * np.pi * 300 * at)).astype(np.float32)
    return sound


def pieces(
    sound: np.ndarray[tuple[int], np.dtype[np.float32]], ms: int = 100
) -> Iterator[np.ndarray[tuple[int], np.dtype[np.float32]]]:
    for start in range(0, len(sound), ms * 16):
        yield sound[start : start + ms * 16]


def test_sounds_are_counted_from_the_cue_on() -> None:
    ear = Ear()
    for piece in pieces(spoken((200, 500), total_ms=900)):
        assert ear.feed(piece) is None, "nothing is asked yet"
    ear.cue_shown(digits=True)
    hearing = None
    for piece in pieces(spoken((700, 950), (1300, 1550), (1900, 2150), total_ms=2700)):
        hearing = ear.feed(piece)
    assert hearing is not None
    assert hearing.digits == 3
    assert 450 <= hearing.quiet_ms <= 650
    ear.cue_shown(digits=True)
    assert ear.feed(spoken(total_ms=500)) == Hearing(digits=0, voiced_ms=0, quiet_ms=500, heard_ms=500)


def test_a_listener_that_knows_digits_is_believed_over_bursts() -> None:
    class Counting:
        total = 5

        def feed(self, samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> int:
            self.total += 1
            return self.total

    ear = Ear(Counting())
    ear.cue_shown(digits=True)
    first = ear.feed(spoken(total_ms=100))
    ear.cue_shown(digits=True)
    second = ear.feed(spoken(total_ms=100))
    assert first is not None
    assert second is not None
    assert second.digits == 1, "what was counted for an earlier cue is not counted again"


# --- the recording's clock -------------------------------------------------------------------------------------------


def packets(count: int = 300, every_ms: int = 33, size: int = 1000) -> tuple[PacketAt, ...]:
    return tuple(PacketAt(end=(n + 1) * size, at_ms=n * every_ms) for n in range(count))


def live_arrivals(offset_ms: int = 1500, late_ms: tuple[int, ...] = (0,)) -> list[Arrival]:
    """Chunks of six pictures, each when the last picture in it was taken, and a little later."""
    return [
        Arrival(size=(n + 1) * 6000, at_ms=offset_ms + ((n + 1) * 6 - 1) * 33 + late_ms[n % len(late_ms)])
        for n in range(50)
    ]


def test_a_cue_is_placed_where_the_recording_was_when_it_was_sent() -> None:
    chance = random.Random(11)
    late_ms = (40, *(40 + chance.randrange(400) for _ in range(6)))
    timing = timing_of(live_arrivals(late_ms=late_ms), packets(), [CueSent(step=0, at_ms=5000)])
    assert timing is not None
    (cue,) = timing.cues
    assert 5000 - 1500 - 40 - 33 <= cue.at_ms <= 5000 - 1500, "late by the quickest transport at most"
    assert timing.clock_ratio == pytest.approx(1, abs=0.05)


def test_a_recording_made_before_does_not_pass_for_one_in_real_time() -> None:
    at_once = timing_of([Arrival(size=300_000, at_ms=2000)], packets(), [CueSent(step=0, at_ms=1500)])
    assert at_once is not None
    assert at_once.clock_ratio > 100
    hurried = [Arrival(size=a.size, at_ms=round(a.at_ms / 1.5)) for a in live_arrivals(0)]
    sped_up = timing_of(hurried, packets(), [])
    assert sped_up is not None
    assert sped_up.clock_ratio == pytest.approx(1.5, rel=0.05)


def test_sending_everything_early_puts_the_cue_after_its_answer() -> None:
    """All of the recording was here before the cue was sent: the cue lies behind its last picture."""
    timing = timing_of([Arrival(size=300_000, at_ms=1000)], packets(), [CueSent(step=0, at_ms=5000)])
    assert timing is not None
    assert timing.cues[0].at_ms > packets()[-1].at_ms


def test_claiming_later_times_moves_every_answer_before_its_cue() -> None:
    honest = timing_of(live_arrivals(), packets(), [CueSent(step=0, at_ms=5000)])
    shifted = [PacketAt(end=p.end, at_ms=p.at_ms + (3000 if p.at_ms > 1000 else 0)) for p in packets()]
    lying = timing_of(live_arrivals(), shifted, [CueSent(step=0, at_ms=5000)])
    assert honest is not None
    assert lying is not None
    assert lying.cues[0].at_ms >= honest.cues[0].at_ms + 2900


def test_a_clock_that_pauses_while_an_answer_is_made_is_not_real_time() -> None:
    paused = [Arrival(size=a.size, at_ms=a.at_ms + (4000 if n >= 20 else 0)) for n, a in enumerate(live_arrivals())]
    timing = timing_of(paused, packets(), [])
    assert timing is not None
    assert abs(timing.clock_ratio - 1) > STRICT.clock_drift.value


@pytest.mark.parametrize(
    ("arrivals", "found"), [([], packets()), ([Arrival(size=10, at_ms=0)], packets()), (live_arrivals(), ())]
)
def test_what_cannot_be_placed_is_not_placed(arrivals: list[Arrival], found: tuple[PacketAt, ...]) -> None:
    assert timing_of(arrivals, found, [CueSent(step=0, at_ms=100)]) is None


def test_a_log_is_the_same_after_the_database() -> None:
    log = LiveLog(cues=(CueSent(step=0, at_ms=10),), arrivals=tuple(live_arrivals()))
    assert LiveLog.from_json(log.to_json()) == log
