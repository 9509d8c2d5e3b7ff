"""Why a check did not pass, and what a person can do about it.

The code is stable and may be shown to callers; it says nothing that helps an attacker measure progress (no values, no
limits). Texts are for the person in front of the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Stable reason codes of this package."""

    NOT_MEASURED = "not_measured"
    SIMULATED_CAPTURE = "simulated_capture"
    LOW_FRAME_RATE = "low_frame_rate"
    LOW_RESOLUTION = "low_resolution"
    CUT_IN_RECORDING = "cut_in_recording"
    SOUND_PICTURE_MISMATCH = "sound_picture_mismatch"
    NO_SOUND = "no_sound"
    SOUND_TOO_QUIET = "sound_too_quiet"
    NO_FACE = "no_face"
    FACE_LOST = "face_lost"
    SECOND_FACE = "second_face"
    FACE_TOO_SMALL = "face_too_small"
    NOT_FRONTAL = "not_frontal"
    DIGITS_NOT_HEARD = "digits_not_heard"
    WRONG_DIGITS = "wrong_digits"
    MOUTH_NOT_MOVING = "mouth_not_moving"
    TURN_MISSING = "turn_missing"
    WRONG_TURN = "wrong_turn"
    EXTRA_TURN = "extra_turn"
    WRONG_ORDER = "wrong_order"
    PERSON_CHANGED = "person_changed"
    ATTACK_SUSPECTED = "attack_suspected"
    CHALLENGE_EXPIRED = "challenge_expired"
    CHALLENGE_SPENT = "challenge_spent"
    CAPTURE_REUSED = "capture_reused"
    RECORDING_UNREADABLE = "recording_unreadable"


@dataclass(frozen=True, slots=True)
class Advice:
    """What happened and what to do next, in both languages of the pages."""

    en: str
    zh: str


ADVICE: dict[Reason, Advice] = {
    Reason.NOT_MEASURED: Advice(
        "We could not check everything. Please record again in a bright, quiet place.",
        "有一项检查未能完成。请在明亮、安静的地方重新录制。",
    ),
    Reason.SIMULATED_CAPTURE: Advice(
        "This recording was made by a simulator. Please record yourself with the camera.",
        "这段录像由模拟器生成。请用摄像头录制本人。",
    ),
    Reason.LOW_FRAME_RATE: Advice(
        "The video was not smooth enough. Close other apps, add light, and record again.",
        "画面不够流畅。请关闭其他应用、增加光线后重新录制。",
    ),
    Reason.LOW_RESOLUTION: Advice(
        "The picture is too small. Use the phone's front camera at its normal setting.",
        "画面分辨率过低。请使用手机前置摄像头的正常设置。",
    ),
    Reason.CUT_IN_RECORDING: Advice(
        "The recording was interrupted. Please record everything in one go.",
        "录像有中断。请一次连续录完。",
    ),
    Reason.SOUND_PICTURE_MISMATCH: Advice(
        "Sound and picture do not belong together. Please record again, in one go, on one device.",
        "声音与画面不匹配。请用同一台设备一次录完。",
    ),
    Reason.NO_SOUND: Advice(
        "There is no sound. Allow the microphone and record again.", "没有声音。请允许使用麦克风后重新录制。"
    ),
    Reason.SOUND_TOO_QUIET: Advice(
        "We could hardly hear you. Speak up, or move to a quieter place.",
        "声音太小。请大声一些，或换到安静的地方。",
    ),
    Reason.NO_FACE: Advice(
        "We saw no face. Hold the phone at eye level, with light on your face.",
        "没有看到人脸。请将手机举到与眼睛同高，并让光线照到脸上。",
    ),
    Reason.FACE_LOST: Advice(
        "Your face left the picture. Keep it inside the oval the whole time.",
        "人脸离开了画面。请全程保持在椭圆框内。",
    ),
    Reason.SECOND_FACE: Advice(
        "Someone else is in the picture. Please record alone.", "画面中还有其他人。请独自录制。"
    ),
    Reason.FACE_TOO_SMALL: Advice("Move a little closer to the camera.", "请靠近摄像头一些。"),
    Reason.NOT_FRONTAL: Advice("Look straight at the camera first, then begin.", "请先正视摄像头，再开始。"),
    Reason.DIGITS_NOT_HEARD: Advice(
        "We could not make out the digits. Say them one by one, clearly, with a short pause between.",
        "没有听清数字。请逐个清楚地读出，中间稍作停顿。",
    ),
    Reason.WRONG_DIGITS: Advice(
        "Other digits were heard than those shown. Read exactly the digits on the screen.",
        "听到的数字与显示的不同。请按屏幕上的数字朗读。",
    ),
    Reason.MOUTH_NOT_MOVING: Advice(
        "Your mouth hardly moved while the digits were heard. Keep your mouth uncovered and speak yourself.",
        "读数字时嘴部几乎没有动作。请不要遮挡嘴部，并由本人朗读。",
    ),
    Reason.TURN_MISSING: Advice(
        "A turn was missing or too small. Turn further to the side, hold a moment, and come back.",
        "缺少一次转头或幅度不够。请再多转一些，停一下，再转回来。",
    ),
    Reason.WRONG_TURN: Advice("You turned to the other side. Follow the arrows.", "转头方向不对。请按箭头方向转头。"),
    Reason.EXTRA_TURN: Advice(
        "There were more turns than asked. Turn only as the arrows show.", "转头次数过多。请只按箭头转头。"
    ),
    Reason.WRONG_ORDER: Advice(
        "The steps were done in another order. Follow them as they are shown.",
        "步骤顺序不对。请按显示的顺序完成。",
    ),
    Reason.PERSON_CHANGED: Advice(
        "It must be one and the same person from start to end. Please record alone, in even light.",
        "从头到尾必须是同一个人。请在均匀光线下独自录制。",
    ),
    Reason.ATTACK_SUSPECTED: Advice(
        "The picture looks like a screen or a print. Record your own face directly, without filters.",
        "画面像是屏幕或照片。请直接录制本人面部，不要使用滤镜。",
    ),
    Reason.CHALLENGE_EXPIRED: Advice(
        "Time ran out. Start again; you will get new digits.", "已超时。请重新开始，系统会给出新的数字。"
    ),
    Reason.CHALLENGE_SPENT: Advice(
        "These digits were used already. Start again; you will get new ones.",
        "这组数字已使用过。请重新开始。",
    ),
    Reason.CAPTURE_REUSED: Advice(
        "This recording was sent before. Please record a new one.", "这段录像以前提交过。请重新录制。"
    ),
    Reason.RECORDING_UNREADABLE: Advice(
        "The recording could not be read, or is shorter or longer than allowed. Record again, 10 to 25 seconds, in one go.",
        "录像无法读取，或时长不符合要求。请重新一次录完，时长 10 至 25 秒。",
    ),
}
