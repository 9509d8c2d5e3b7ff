"""What a person is shown for each step of a challenge, in the language in which they will speak."""

from __future__ import annotations

from liveness.challenge import Direction, SayDigits, Step
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


def prompt(step: Step, language: Language) -> str:
    """The line to show for one step. Sides are the person's own."""
    if isinstance(step, SayDigits):
        return _SAY[language].format(digits=" ".join(step.digits))
    return _TURN[language, step.direction]
