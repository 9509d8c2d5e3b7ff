"""What a simulated person does over time, without any model."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest

from lab.person import SMALL_TURN_DEG, Performance, least_jerk, perform
from liveness.capture import Audio
from liveness.challenge import Direction, Nod, SayDigits, Step, Turn

RATE_HZ = 16_000
LEFT, RIGHT = Turn(direction=Direction.LEFT), Turn(direction=Direction.RIGHT)
STEPS: tuple[Step, ...] = (SayDigits(digits="480215"), LEFT, RIGHT, LEFT)


def spoken() -> dict[str, Audio]:
    """Each digit a swelling tone of its own length."""
    sounds = {}
    for number in range(10):
        at = np.arange(RATE_HZ * (300 + 20 * number) // 1000)
        swell = np.sin(np.pi * at / len(at))
        sounds[str(number)] = Audio(samples=(0.4 * swell * np.sin(at * 0.2)).astype(np.float32), rate_hz=RATE_HZ)
    return sounds


def done(seed: int = 1, steps: tuple[Step, ...] = STEPS) -> Performance:
    return perform(steps, spoken(), random.Random(seed))


@pytest.mark.parametrize("seed", range(5))
def test_digits_then_turns_each_after_the_other(seed: int) -> None:
    performance = done(seed)
    assert "".join(word.text for word in performance.words) == "480215"
    assert [turn.direction for turn in performance.turns] == [Direction.LEFT, Direction.RIGHT, Direction.LEFT]
    assert performance.words[0].start_ms >= 900  # looks at the camera first: half a second is the policy's baseline
    assert all(before.end_ms + 250 <= after.start_ms for before, after in pairwise(performance.words))
    assert performance.words[-1].end_ms + 300 <= performance.turns[0].start_ms
    assert all(before.end_ms + 300 <= after.start_ms for before, after in pairwise(performance.turns))
    assert performance.turns[-1].end_ms + 400 <= performance.duration_ms < 15_000


@pytest.mark.parametrize("seed", range(5))
def test_turns_are_far_held_and_to_the_own_left_when_left(seed: int) -> None:
    performance = done(seed)
    for turn in performance.turns:
        side = 1 if turn.direction is Direction.LEFT else -1
        held = [performance.pose_at(at_ms).yaw_deg * side for at_ms in range(turn.reached_ms, turn.left_ms, 20)]
        assert turn.left_ms - turn.reached_ms >= 500
        assert min(held) > 28
        assert max(held) < 36
        assert abs(performance.pose_at(turn.end_ms).yaw_deg) < 3


@pytest.mark.parametrize("seed", range(5))
def test_the_head_faces_the_camera_while_digits_are_said(seed: int) -> None:
    performance = done(seed)
    for at_ms in range(0, performance.words[-1].end_ms, 20):
        pose = performance.pose_at(at_ms)
        assert max(abs(pose.yaw_deg), abs(pose.pitch_deg), abs(pose.roll_deg)) < 3


def test_the_mouth_opens_in_words_and_is_shut_between() -> None:
    performance = done()
    for word in performance.words:
        assert max(performance.pose_at(at_ms).jaw_open for at_ms in range(word.start_ms, word.end_ms, 10)) > 0.2
    for before, after in pairwise(performance.words):
        middle = performance.pose_at((before.end_ms + after.start_ms) / 2)
        assert middle.jaw_open < 0.01
        assert middle.lips_closed > 0.8
    assert performance.pose_at(100).jaw_open == 0


def test_the_voice_is_where_the_words_are() -> None:
    performance = done()
    inside = np.zeros(len(performance.voice), bool)
    for word in performance.words:
        inside[word.start_ms * RATE_HZ // 1000 : word.end_ms * RATE_HZ // 1000 + RATE_HZ // 200] = True
    assert np.abs(performance.voice[inside]).max() > 0.2
    assert np.abs(performance.voice[~inside]).max() == 0


def test_a_person_is_never_quite_still_and_blinks() -> None:
    performance = done()
    still = [performance.pose_at(at_ms) for at_ms in range(0, 900, 100)]
    assert np.std([pose.yaw_deg for pose in still]) > 0.02
    assert len({pose.shift_y for pose in still}) == len(still)
    assert performance.blinks
    assert max(performance.pose_at(performance.blinks[0] + at_ms).blink for at_ms in range(200)) > 0.95


def test_motion_has_no_jumps() -> None:
    performance = done()
    poses = [performance.pose_at(at_ms) for at_ms in range(0, performance.duration_ms, 10)]
    fastest = max(abs(after.yaw_deg - before.yaw_deg) for before, after in pairwise(poses))
    assert fastest < 2.0  # degrees in 10 ms: people turn the head at up to 200 degrees a second


def test_a_seed_is_a_take() -> None:
    one, same, other = done(3), done(3), done(4)
    assert one.words == same.words
    assert one.turns == same.turns
    assert np.array_equal(one.voice, same.voice)
    assert all(one.pose_at(at_ms) == same.pose_at(at_ms) for at_ms in range(0, 9000, 500))
    assert one.turns != other.turns


def test_steps_are_done_in_the_order_given() -> None:
    performance = done(steps=(LEFT, SayDigits(digits="12"), RIGHT, SayDigits(digits="9")))
    said = {word.text: word.start_ms for word in performance.words}
    assert performance.turns[0].end_ms < said["1"] < said["2"] < performance.turns[1].start_ms < said["9"]


def test_least_jerk_starts_and_ends_at_rest() -> None:
    assert (least_jerk(-1), least_jerk(0), least_jerk(0.5), least_jerk(1), least_jerk(2)) == (0, 0, 0.5, 1, 1)
    assert least_jerk(0.05) < 0.002


@pytest.mark.parametrize("seed", range(5))
def test_steps_are_told_with_the_times_at_which_they_were_done(seed: int) -> None:
    performance = done(seed, (SayDigits(digits="48"), LEFT, Nod(times=2), SayDigits(digits="1")))
    assert [d.step for d in performance.steps] == [SayDigits(digits="48"), LEFT, Nod(times=2), SayDigits(digits="1")]
    assert all(d.cue_ms + 250 <= d.start_ms < d.end_ms for d in performance.steps)  # nobody reacts sooner
    assert all(before.end_ms <= after.cue_ms for before, after in pairwise(performance.steps))
    assert performance.steps[0].start_ms == performance.words[0].start_ms
    assert performance.steps[1].end_ms == performance.turns[0].end_ms
    assert performance.steps[3].end_ms == performance.words[2].end_ms


@pytest.mark.parametrize("seed", range(5))
def test_a_nod_brings_the_chin_down_and_back_without_a_turn(seed: int) -> None:
    performance = done(seed, (Nod(times=3), LEFT))
    assert len(performance.nods) == 3
    for nod in performance.nods:
        assert performance.pose_at(nod.lowest_ms).pitch_deg > 12
        assert abs(performance.pose_at(nod.end_ms).pitch_deg) < 3
        assert 400 <= nod.end_ms - nod.start_ms <= 600
    assert all(
        abs(performance.pose_at(at_ms).yaw_deg) < 3
        for at_ms in range(performance.nods[0].start_ms, performance.nods[-1].end_ms, 20)
    )
    assert performance.nods[-1].end_ms < performance.turns[0].start_ms
    assert np.abs(performance.voice).max() == 0


def test_turns_go_as_far_as_asked() -> None:
    small = perform(STEPS, spoken(), random.Random(1), turn_deg=SMALL_TURN_DEG)
    assert all(19 <= turn.yaw_deg <= 22 for turn in small.turns)


def test_a_slow_take_is_as_much_longer() -> None:
    usual, slow = done(2, (LEFT, RIGHT)), perform((LEFT, RIGHT), spoken(), random.Random(2), tempo=0.5)
    assert slow.duration_ms == pytest.approx(2 * usual.duration_ms, rel=0.02)
