"""What to tell a person while they are being recorded: rules from one look at the picture, the sound, and what is asked.

Pure, and advice only: nothing here decides anything. The verdict is made afterwards from the recording itself. Codes are
stable; texts are for the person.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from liveness.capture import RgbImage
from liveness.challenge import Direction
from liveness.evidence import Face
from liveness.policy import Limit, LivenessPolicy
from liveness.reasons import Advice
from liveness.turns import own_yaw


class GuideCode(StrEnum):
    """Stable codes of what a person is told while recording."""

    OK = "ok"
    NO_FACE = "no_face"
    SECOND_FACE = "second_face"
    MOVE_CLOSER = "move_closer"
    MOVE_BACK = "move_back"
    INTO_PICTURE = "into_picture"
    MORE_LIGHT = "more_light"
    LESS_LIGHT = "less_light"
    LOOK_STRAIGHT = "look_straight"
    KEEP_STILL = "keep_still"
    TURN_FURTHER_LEFT = "turn_further_left"
    TURN_FURTHER_RIGHT = "turn_further_right"
    HOLD = "hold"
    COME_BACK = "come_back"
    NOD_DEEPER = "nod_deeper"
    SPEAK_UP = "speak_up"


GUIDANCE: dict[GuideCode, Advice] = {
    GuideCode.OK: Advice("Good.", "很好。"),
    GuideCode.NO_FACE: Advice(
        "Hold the phone at eye level, so that we see your face.", "请将手机举到与眼睛同高，露出面部。"
    ),
    GuideCode.SECOND_FACE: Advice("Someone else is in the picture.", "画面中还有其他人。"),
    GuideCode.MOVE_CLOSER: Advice("Come a little closer.", "请靠近一些。"),
    GuideCode.MOVE_BACK: Advice("Move back a little.", "请离远一些。"),
    GuideCode.INTO_PICTURE: Advice("Keep all of your face in the picture.", "请让整张脸都在画面内。"),
    GuideCode.MORE_LIGHT: Advice("More light on your face, please.", "请增加面部光线。"),
    GuideCode.LESS_LIGHT: Advice(
        "Too bright: move out of the sun or away from the lamp.", "光线太强，请避开阳光或灯光。"
    ),
    GuideCode.LOOK_STRAIGHT: Advice("Look straight at the camera.", "请正视摄像头。"),
    GuideCode.KEEP_STILL: Advice("Keep the phone still.", "请拿稳手机。"),
    GuideCode.TURN_FURTHER_LEFT: Advice("Further to your left.", "请再向左转一些。"),
    GuideCode.TURN_FURTHER_RIGHT: Advice("Further to your right.", "请再向右转一些。"),
    GuideCode.HOLD: Advice("Hold it there.", "请保持不动。"),
    GuideCode.COME_BACK: Advice("And back to the camera.", "请转回正面。"),
    GuideCode.NOD_DEEPER: Advice("Nod more clearly: chin down, then up.", "请更明显地点头：下巴向下，再抬起。"),
    GuideCode.SPEAK_UP: Advice("Speak up, one digit after the other.", "请大声一些，逐个读出数字。"),
}


# Where guidance begins. Tighter than the judge's limits where both exist, so that who follows it is well inside.
FACE_MARGIN = Limit(1.2, "of the judge's least face width", "design: a step closer while it still counts")
NEAR = Limit(0.9, "of the judge's largest face width", "design: a step back while it still counts")
LIGHT_MARGIN = Limit(12, "luma", "design: a quarter of the way from the judge's darkest to an ordinary room")
STRAIGHT = Limit(15, "deg from the own baseline", "design: half a turn; who reads the screen stays well below")
STILL = Limit(0.6, "face widths a second", "design: faster smears a frame of 1/30 s by 2 % of the face")
QUIET_AFTER = Limit(2_500, "ms", "design: reading three digits begins within 1 to 2 s")
NOD_AFTER = Limit(3_000, "ms", "design: reaction and a first nod")
HOLD = Limit(300, "ms", "design: texts that change faster cannot be read")
REPEAT = Limit(500, "ms", "design: so often the same is said again; a client hears that we are there")


class FaceStream(Protocol):
    """Measures the faces of one running recording, picture after picture, and keeps what it knows of it. One thread."""

    def look(self, image: RgbImage, at_ms: int) -> tuple[Face, ...]:
        """Largest first. ``at_ms`` rises from call to call. Raises EngineError."""
        ...

    def close(self) -> None: ...


class FaceStreams(Protocol):
    """Opens a :class:`FaceStream` for each recording: two people never share what one of them left behind."""

    def stream(self) -> FaceStream:
        """Raises EngineError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """One picture of a running recording.

    at_ms : on the recording's clock. width, height : of the picture, px. brightness : mean luma of the largest face, 0..255.
    """

    at_ms: int
    faces: tuple[Face, ...]
    width: int
    height: int
    brightness: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """What was heard since a cue was shown; provisional. quiet_ms : since the last sound. heard_ms : how much sound there is to
    go by, voice or not. voiced_ms : how long anything sounded."""

    digits: int
    voiced_ms: int
    quiet_ms: int
    heard_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """How this person looks at the camera: degrees, own left positive."""

    yaw_deg: float
    pitch_deg: float


class TurnPhase(StrEnum):
    """How far a turn is."""

    GO = "go"
    HOLD = "hold"
    BACK = "back"
    DONE = "done"


def about_position(glance: Glance, *, policy: LivenessPolicy) -> GuideCode:
    """Whether a face can be judged as it is now, whatever is asked."""
    if not glance.faces:
        return GuideCode.NO_FACE
    if len(glance.faces) > 1:
        return GuideCode.SECOND_FACE
    box = glance.faces[0].box
    width = box.width / max(glance.width, 1)
    if width < policy.min_face_width.value * FACE_MARGIN.value:
        return GuideCode.MOVE_CLOSER
    if width > policy.max_face_width.value * NEAR.value:
        return GuideCode.MOVE_BACK
    inside_x = box.x >= 0 and box.x + box.width <= glance.width
    if not inside_x or box.y < 0 or box.y + box.height > glance.height:
        return GuideCode.INTO_PICTURE
    if glance.brightness is not None:
        if glance.brightness < policy.darkest.value + LIGHT_MARGIN.value:
            return GuideCode.MORE_LIGHT
        if glance.brightness > policy.brightest.value - LIGHT_MARGIN.value:
            return GuideCode.LESS_LIGHT
    return GuideCode.OK


def is_frontal(face: Face, *, policy: LivenessPolicy, mirrored: bool) -> bool:
    """Looks at the camera well enough for a baseline."""
    yaw = own_yaw(face, mirrored=mirrored)
    return abs(yaw) <= policy.baseline_yaw.value and abs(face.pitch_deg) <= policy.baseline_pitch.value


def before_cues(glance: Glance, earlier: Glance | None, *, policy: LivenessPolicy, mirrored: bool) -> GuideCode:
    """What to tell somebody who is getting ready."""
    code = about_position(glance, policy=policy)
    if code is not GuideCode.OK:
        return code
    if not is_frontal(glance.faces[0], policy=policy, mirrored=mirrored):
        return GuideCode.LOOK_STRAIGHT
    return GuideCode.KEEP_STILL if speed(glance, earlier) > STILL.value else GuideCode.OK


def speed(glance: Glance, earlier: Glance | None) -> float:
    """Face widths a second that the face moved in the picture; 0 without an earlier picture of it."""
    if earlier is None or not earlier.faces or not glance.faces or glance.at_ms <= earlier.at_ms:
        return 0.0
    now, then = glance.faces[0].box, earlier.faces[0].box
    moved = abs(now.x + now.width / 2 - then.x - then.width / 2) + abs(
        now.y + now.height / 2 - then.y - then.height / 2
    )
    return 1000 * moved / max(now.width, 1.0) / (glance.at_ms - earlier.at_ms)


def during_turn(glance: Glance, direction: Direction, phase: TurnPhase, *, policy: LivenessPolicy) -> GuideCode:
    """What to tell somebody who is asked to turn. A turned face is narrower and nearer the edge: no word about its place."""
    if not glance.faces:
        return GuideCode.COME_BACK if phase is TurnPhase.HOLD else GuideCode.NO_FACE
    if len(glance.faces) > 1:
        return GuideCode.SECOND_FACE
    if phase is TurnPhase.GO:
        return GuideCode.TURN_FURTHER_LEFT if direction is Direction.LEFT else GuideCode.TURN_FURTHER_RIGHT
    if phase is TurnPhase.HOLD:
        return GuideCode.HOLD
    if phase is TurnPhase.BACK:
        return GuideCode.COME_BACK
    return about_position(glance, policy=policy)


def during_digits(
    glance: Glance | None,
    hearing: Hearing | None,
    front: Front,
    *,
    since_ms: int,
    policy: LivenessPolicy,
    mirrored: bool,
) -> GuideCode:
    """What to tell somebody who is asked to speak ``since_ms`` ago."""
    if glance is not None:
        code = _facing(glance, front, policy=policy, mirrored=mirrored)
        if code is not GuideCode.OK:
            return code
    if since_ms >= QUIET_AFTER.value and (hearing is None or hearing.digits == 0):
        return GuideCode.SPEAK_UP
    return GuideCode.OK


def during_nods(
    glance: Glance,
    front: Front,
    *,
    nodded: int,
    since_ms: int,
    policy: LivenessPolicy,
    mirrored: bool,
) -> GuideCode:
    """What to tell somebody who is asked to nod ``since_ms`` ago."""
    code = _facing(glance, front, policy=policy, mirrored=mirrored)
    if code is GuideCode.OK and nodded == 0 and since_ms >= NOD_AFTER.value:
        return GuideCode.NOD_DEEPER
    return code


def _facing(glance: Glance, front: Front, *, policy: LivenessPolicy, mirrored: bool) -> GuideCode:
    code = about_position(glance, policy=policy)
    if code is not GuideCode.OK:
        return code
    aside = abs(own_yaw(glance.faces[0], mirrored=mirrored) - front.yaw_deg) > STRAIGHT.value
    return GuideCode.LOOK_STRAIGHT if aside else GuideCode.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What was told last and since when, so that texts do not flicker. ``rival``: what would replace it, seen once so far."""

    code: GuideCode | None = None
    since_ms: int = 0
    told_ms: int = 0
    rival: GuideCode | None = None

    def after(self, code: GuideCode, now_ms: int) -> tuple[Said, bool]:
        """The state after ``code`` was found at ``now_ms``, and whether something is to be told now.

        A new code is told when it was found twice running and what it replaces has stood for :data:`HOLD`; the
        first one at once. An unchanged one is told again every :data:`REPEAT`.
        """
        if code is self.code:
            if now_ms - self.told_ms >= REPEAT.value:
                return replace(self, told_ms=now_ms, rival=None), True
            return replace(self, rival=None), False
        stood = self.code is None or now_ms - self.since_ms >= HOLD.value
        if self.code is None or (stood and self.rival is code):
            return Said(code=code, since_ms=now_ms, told_ms=now_ms), True
        return replace(self, rival=code), False
