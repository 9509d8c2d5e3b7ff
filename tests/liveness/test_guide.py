"""Guidance says one thing at a time, the thing that helps, and does not flicker."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from liveness.challenge import Direction
from liveness.evidence import Box, Face
from liveness.guide import (
    GUIDANCE,
    HOLD,
    REPEAT,
    Front,
    Glance,
    GuideCode,
    Hearing,
    Said,
    TurnPhase,
    about_position,
    before_cues,
    during_digits,
    during_nods,
    during_turn,
)
from liveness.policy import STRICT

FRONT = Front(yaw_deg=0, pitch_deg=0)


def face(yaw_deg: float = 0, pitch_deg: float = 0, width: float = 160, x: float = 100, y: float = 200) -> Face:
    return Face(
        box=Box(x=x, y=y, width=width, height=width * 1.3),
        landmarks=np.zeros((478, 3), np.float32),
        yaw_deg=yaw_deg,
        pitch_deg=pitch_deg,
        roll_deg=0,
        jaw_open=0,
        lip_gap=0,
        blink_left=0,
        blink_right=0,
        points=np.zeros((5, 2), np.float32),
    )


def glance(*faces: Face, at_ms: int = 0, brightness: float | None = 120) -> Glance:
    return Glance(at_ms=at_ms, faces=faces, width=360, height=640, brightness=brightness)


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (glance(), GuideCode.NO_FACE),
        (glance(face(), face(x=10, width=60)), GuideCode.SECOND_FACE),
        (glance(face(width=70)), GuideCode.MOVE_CLOSER),
        (glance(face(width=320, x=20, y=20)), GuideCode.MOVE_BACK),
        (glance(face(x=-20)), GuideCode.INTO_PICTURE),
        (glance(face(y=500)), GuideCode.INTO_PICTURE),
        (glance(face(), brightness=40), GuideCode.MORE_LIGHT),
        (glance(face(), brightness=220), GuideCode.LESS_LIGHT),
        (glance(face()), GuideCode.OK),
        (glance(face(), brightness=None), GuideCode.OK),
    ],
)
def test_what_is_wrong_with_the_picture_is_said(seen: Glance, code: GuideCode) -> None:
    assert about_position(seen, policy=STRICT) is code


def test_who_follows_the_advice_is_inside_the_judges_limits() -> None:
    for width in range(40, 360, 5):
        code = about_position(glance(face(width=width, x=0, y=0)), policy=STRICT)
        if code is GuideCode.OK:
            assert STRICT.min_face_width.value < width / 360 < STRICT.max_face_width.value
    for brightness in range(256):
        if about_position(glance(face(), brightness=brightness), policy=STRICT) is GuideCode.OK:
            assert STRICT.darkest.value < brightness < STRICT.brightest.value


def test_before_the_first_cue_the_person_looks_at_the_camera_and_holds_still() -> None:
    assert before_cues(glance(face(yaw_deg=14)), None, policy=STRICT, mirrored=False) is GuideCode.LOOK_STRAIGHT
    moved = before_cues(glance(face(x=150), at_ms=100), glance(face(), at_ms=0), policy=STRICT, mirrored=False)
    assert moved is GuideCode.KEEP_STILL
    still = before_cues(glance(face(x=101), at_ms=100), glance(face(), at_ms=0), policy=STRICT, mirrored=False)
    assert still is GuideCode.OK


def test_a_turn_is_guided_to_its_end() -> None:
    def told(phase: TurnPhase, direction: Direction = Direction.LEFT) -> GuideCode:
        return during_turn(glance(face(yaw_deg=20)), direction, phase, policy=STRICT)

    assert told(TurnPhase.GO) is GuideCode.TURN_FURTHER_LEFT
    assert told(TurnPhase.GO, Direction.RIGHT) is GuideCode.TURN_FURTHER_RIGHT
    assert told(TurnPhase.HOLD) is GuideCode.HOLD
    assert told(TurnPhase.BACK) is GuideCode.COME_BACK
    assert during_turn(glance(), Direction.LEFT, TurnPhase.GO, policy=STRICT) is GuideCode.NO_FACE


def test_who_says_nothing_is_asked_to_speak_up_and_who_speaks_is_not() -> None:
    def told(digits: int, since_ms: int, yaw_deg: float = 0) -> GuideCode:
        heard = Hearing(digits=digits, voiced_ms=200 * digits, quiet_ms=0, heard_ms=since_ms)
        return during_digits(
            glance(face(yaw_deg=yaw_deg)), heard, FRONT, since_ms=since_ms, policy=STRICT, mirrored=False
        )

    assert told(0, 1000) is GuideCode.OK
    assert told(0, 3000) is GuideCode.SPEAK_UP
    assert told(1, 3000) is GuideCode.OK
    assert told(1, 3000, yaw_deg=25) is GuideCode.LOOK_STRAIGHT
    assert during_digits(None, None, FRONT, since_ms=3000, policy=STRICT, mirrored=False) is GuideCode.SPEAK_UP


def test_who_does_not_nod_is_told_how() -> None:
    def told(nodded: int) -> GuideCode:
        return during_nods(glance(face()), FRONT, nodded=nodded, since_ms=4000, policy=STRICT, mirrored=False)

    assert told(0) is GuideCode.NOD_DEEPER
    assert told(1) is GuideCode.OK


def test_a_code_that_flickers_is_never_told_and_one_that_stays_soon_is() -> None:
    said, now = Said().after(GuideCode.OK, 0)
    assert now
    told = []
    for at_ms in range(50, 2000, 50):
        code = GuideCode.NO_FACE if at_ms % 100 else GuideCode.OK
        said, now = said.after(code, at_ms)
        told += [code] if now else []
    assert GuideCode.NO_FACE not in told
    times = []
    for at_ms in range(2000, 4000, 50):
        said, now = said.after(GuideCode.NO_FACE, at_ms)
        times += [at_ms] if now else []
    assert times[0] <= 2000 + 100
    assert all(later - earlier >= REPEAT.value for earlier, later in pairwise(times))


def test_what_was_told_stands_long_enough_to_be_read() -> None:
    said, _ = Said().after(GuideCode.OK, 0)
    changes, last = [0], GuideCode.OK
    for at_ms in range(10, 3000, 10):
        code = (GuideCode.HOLD, GuideCode.COME_BACK)[at_ms // 40 % 2]
        said, _ = said.after(code, at_ms)
        if said.code is not last and said.code is not None:
            changes.append(at_ms)
            last = said.code
    assert len(changes) > 3
    assert all(later - earlier >= HOLD.value for earlier, later in pairwise(changes))


def test_every_code_has_a_text_in_both_languages() -> None:
    assert set(GUIDANCE) == set(GuideCode)
    for advice in GUIDANCE.values():
        assert advice.en.isascii()
        assert not advice.zh.isascii()


def test_mirrored_pictures_do_not_swap_the_persons_sides() -> None:
    turned = glance(face(yaw_deg=9))
    seen = replace(turned, faces=(face(yaw_deg=-9),))
    for each, mirrored in ((turned, False), (seen, True)):
        assert before_cues(each, None, policy=STRICT, mirrored=mirrored) is GuideCode.OK
