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
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    BLURRED = "blurred"
    FACE_TOO_NEAR = "face_too_near"
    FACE_CUT_OFF = "face_cut_off"
    DIGIT_MISSED = "digit_missed"  # which one: CheckResult.place
    DIGITS_UNCLEAR = "digits_unclear"  # two recognisers heard different things
    MOUTH_OUT_OF_STEP = "mouth_out_of_step"
    NODS_NOT_AS_ASKED = "nods_not_as_asked"
    NO_DEPTH = "no_depth"
    NO_NATURAL_MOTION = "no_natural_motion"
    PICTURE_FROZEN = "picture_frozen"
    NO_CAMERA_NOISE = "no_camera_noise"
    EDITED_RECORDING = "edited_recording"
    SOUND_JOINED = "sound_joined"
    SCREEN_SEEN = "screen_seen"
    ANSWERED_TOO_EARLY = "answered_too_early"
    ANSWERED_TOO_LATE = "answered_too_late"
    NOT_IN_REAL_TIME = "not_in_real_time"
    CUE_TIMEOUT = "cue_timeout"
    MEDIA_STALLED = "media_stalled"
    CONNECTION_LOST = "connection_lost"
    TOO_MANY_ATTEMPTS = "too_many_attempts"


@dataclass(frozen=True, slots=True)
class Advice:
    """What happened and what to do next, in both languages of the pages. ``{place}`` stands for which one, from 1."""

    en: str
    zh: str

    def told(self, *, chinese: bool, place: int | None) -> str:
        """The text for a person."""
        return (self.zh if chinese else self.en).replace("{place}", "" if place is None else str(place))


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
    Reason.TOO_DARK: Advice(
        "It is too dark to see your face. Turn on a light, or face a window.",
        "光线太暗，看不清面部。请开灯或面向窗户。",
    ),
    Reason.TOO_BRIGHT: Advice(
        "Your face is too bright. Move out of direct sun or away from the lamp.", "面部过亮。请避开直射阳光或灯光。"
    ),
    Reason.BLURRED: Advice(
        "The picture is blurred. Wipe the lens, hold the phone still, and record again.",
        "画面模糊。请擦拭镜头、拿稳手机后重新录制。",
    ),
    Reason.FACE_TOO_NEAR: Advice("Move a little away from the camera.", "请离摄像头稍远一些。"),
    Reason.FACE_CUT_OFF: Advice(
        "Part of your face was outside the picture. Keep all of it inside the oval.",
        "面部有一部分在画面之外。请让整张脸保持在椭圆框内。",
    ),
    Reason.DIGIT_MISSED: Advice(
        "We did not hear digit {place}. Say each digit clearly, with a short pause between.",
        "没有听清第 {place} 个数字。请逐个清楚地读出，中间稍作停顿。",
    ),
    Reason.DIGITS_UNCLEAR: Advice(
        "The digits were not clear enough. Move to a quieter place and say them one by one.",
        "数字读得不够清楚。请换到安静的地方，逐个读出。",
    ),
    Reason.MOUTH_OUT_OF_STEP: Advice(
        "Mouth and voice did not go together. Only you should speak, and only the digits shown.",
        "口型与声音不一致。请仅由本人朗读显示的数字。",
    ),
    Reason.NODS_NOT_AS_ASKED: Advice(
        "The nods were not as asked. Nod clearly, as often as shown, then look at the camera.",
        "点头次数与要求不符。请按显示的次数清楚点头，然后正视摄像头。",
    ),
    Reason.NO_DEPTH: Advice(
        "The turns did not show a face in the round. Record your own face, in even light, and turn the head, not the phone.",
        "转头时未能显示立体的面部。请在均匀光线下录制本人，转动头部而不是手机。",
    ),
    Reason.NO_NATURAL_MOTION: Advice(
        "The face hardly moved by itself. Record yourself directly; do not hold up a picture.",
        "面部几乎没有自然动作。请直接录制本人，不要使用照片。",
    ),
    Reason.PICTURE_FROZEN: Advice(
        "The picture stood still at times. Close other apps and record again in one go.",
        "画面有停顿。请关闭其他应用后重新一次录完。",
    ),
    Reason.NO_CAMERA_NOISE: Advice(
        "This does not look like a camera's picture. Turn off filters and virtual cameras, and record again.",
        "画面不像由摄像头直接拍摄。请关闭滤镜和虚拟摄像头后重新录制。",
    ),
    Reason.EDITED_RECORDING: Advice(
        "The recording went through an editor. Send it just as the camera made it.",
        "录像经过编辑。请直接提交摄像头录制的原始内容。",
    ),
    Reason.SOUND_JOINED: Advice(
        "The sound was put together from pieces. Say all digits in one go.", "声音由多段拼接而成。请一次读完所有数字。"
    ),
    Reason.SCREEN_SEEN: Advice(
        "The picture seems to be filmed from a screen or print. Record your own face directly.",
        "画面似乎翻拍自屏幕或照片。请直接录制本人面部。",
    ),
    Reason.ANSWERED_TOO_EARLY: Advice(
        "You answered before the step was shown. Wait for each step, then do it.",
        "在提示出现之前就已作答。请等提示出现后再做。",
    ),
    Reason.ANSWERED_TOO_LATE: Advice(
        "There was a long wait after a step. Do each step soon after it is shown; you can ask for more time.",
        "提示出现后等待过久。请尽快完成每一步；也可以选择延长时间。",
    ),
    Reason.NOT_IN_REAL_TIME: Advice(
        "The recording did not arrive as it was made. Check your connection and start again.",
        "录像并非实时传送。请检查网络连接后重新开始。",
    ),
    Reason.CUE_TIMEOUT: Advice(
        "A step was not done in time. Start again; you can ask for more time.",
        "有一步未能按时完成。请重新开始；也可以选择延长时间。",
    ),
    Reason.MEDIA_STALLED: Advice(
        "The camera's picture stopped coming. Check your connection and start again.",
        "没有收到摄像头画面。请检查网络连接后重新开始。",
    ),
    Reason.CONNECTION_LOST: Advice(
        "The connection was lost. Start again, or record first and send it afterwards.",
        "连接已断开。请重新开始，或先录制再提交。",
    ),
    Reason.TOO_MANY_ATTEMPTS: Advice(
        "Too many attempts failed. Wait half an hour, then try again in good light and a quiet place.",
        "失败次数过多。请半小时后在光线充足、安静的地方重试。",
    ),
}
