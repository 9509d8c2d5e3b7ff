"""What a person is shown for each step of a challenge, in the language in which they will speak."""

from __future__ import annotations

from typing import assert_never

from liveness.challenge import Direction, Nod, SayDigits, Step, Turn
from liveness.digits import Language

_SAY = {
    Language.ENGLISH: "Look at the camera and say, one by one: {digits}",
    Language.CHINESE: "请正视摄像头，逐个读出：{digits}",
    Language.KOREAN: "카메라를 보고 하나씩 읽어 주세요: {digits}",
}
_TURN = {
    (Language.ENGLISH, Direction.LEFT): "Turn your head to your left, hold a moment, and come back",
    (Language.ENGLISH, Direction.RIGHT): "Turn your head to your right, hold a moment, and come back",
    (Language.CHINESE, Direction.LEFT): "请向您的左侧转头，停一下，再转回来",
    (Language.CHINESE, Direction.RIGHT): "请向您的右侧转头，停一下，再转回来",
    (Language.KOREAN, Direction.LEFT): "고개를 왼쪽으로 돌렸다가 잠시 멈춘 뒤 돌아와 주세요",
    (Language.KOREAN, Direction.RIGHT): "고개를 오른쪽으로 돌렸다가 잠시 멈춘 뒤 돌아와 주세요",
}


_NOD = {
    Language.ENGLISH: ("Nod once", "Nod {times} times"),
    Language.CHINESE: ("请点头 1 次", "请点头 {times} 次"),
    Language.KOREAN: ("고개를 한 번 끄덕여 주세요", "고개를 {times}번 끄덕여 주세요"),
}


def prompt(step: Step, language: Language) -> str:
    """The line to show for one step. Sides are the person's own."""
    match step:
        case SayDigits():
            return _SAY[language].format(digits=" ".join(step.digits))
        case Turn():
            return _TURN[language, step.direction]
        case Nod():
            once, often = _NOD[language]
            return once if step.times == 1 else often.format(times=step.times)
        case _:
            assert_never(step)
