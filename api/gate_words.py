"""The gate's reasons in plain words, for the person whose likeness was asked for. English and Simplified Chinese."""

from __future__ import annotations

from consent.gate import GateCode

_WORDS: dict[GateCode, tuple[str, str]] = {
    GateCode.NO_TOKEN: ("No valid leave of yours was shown for this face.", "没有就这张脸出示您的有效许可。"),
    GateCode.BAD_SIGNATURE: ("A leave was shown that we never gave.", "对方出示了并非由我们签发的许可。"),
    GateCode.WRONG_AUDIENCE: ("Your leave was for another generator.", "您的许可是给另一个生成程序的。"),
    GateCode.EXPIRED: ("Your leave had run out.", "您的许可已经到期。"),
    GateCode.NOT_YET_VALID: ("Your leave had not begun yet.", "您的许可尚未开始生效。"),
    GateCode.REVOKED: ("You had withdrawn your consent.", "您已经撤回了同意。"),
    GateCode.SCOPE_PURPOSE: ("It was for a purpose you did not allow.", "其用途不在您允许的范围内。"),
    GateCode.SCOPE_AUDIENCE: ("That generator is not one you allowed.", "该生成程序不在您允许的范围内。"),
    GateCode.SCOPE_LIMITS: ("It went beyond a limit you set.", "其内容超出了您设定的限制。"),
    GateCode.ASSURANCE_TOO_LOW: (
        "The check of your face was not strong enough for this.",
        "您面容核实的可信程度不足以用于此处。",
    ),
    GateCode.UNKNOWN_FACE: (
        "There was a face of somebody whose leave was not shown.",
        "其中有一张脸，其本人的许可没有出示。",
    ),
    GateCode.FACE_UNJUDGED: ("There was a face that could not be recognised.", "其中有一张无法辨认的脸。"),
    GateCode.NO_FACE: ("There was no face in what was handed in.", "提交的内容中没有人脸。"),
    GateCode.TOKEN_UNUSED: ("Your leave was shown, but you were not in it.", "出示了您的许可，但其中没有您。"),
    GateCode.REPLAY: ("The same leave was shown twice.", "同一份许可被出示了两次。"),
    GateCode.RECORD_MISSING: ("What your leave stands on is no longer there.", "您的许可所依据的内容已不存在。"),
    GateCode.SUSPENDED: ("Your consent was suspended.", "您的同意已被暂停。"),
    GateCode.DISPUTED: (
        "Somebody objects to this consent, and that is being looked at.",
        "有人对这份同意提出异议，正在处理中。",
    ),
    GateCode.SCOPE_MAKER: ("You did not allow whoever asked to do so.", "您没有允许该请求者提出请求。"),
    GateCode.SCOPE_CONTENT: ("It was about something you did not allow.", "其内容类别不在您允许的范围内。"),
    GateCode.SCOPE_TERRITORY: ("It was for a place you did not allow.", "其发布地区不在您允许的范围内。"),
    GateCode.APPROVAL_NEEDED: (
        "You want to be asked each time, and had not said yes.",
        "您要求逐次征求同意，而您尚未同意。",
    ),
    GateCode.APPROVAL_REFUSED: ("You were asked about this and said no.", "已就此征求您的意见，您拒绝了。"),
    GateCode.DPOP_MISSING: ("The generator did not show the key it must have.", "该生成程序没有出示它必须持有的密钥。"),
    GateCode.DPOP_INVALID: ("The generator's proof of its key was none.", "该生成程序提交的密钥证明无效。"),
    GateCode.DPOP_WRONG_REQUEST: ("The proof of the key was for another call.", "该密钥证明是给另一次请求的。"),
    GateCode.DPOP_WRONG_TOKEN: ("The proof of the key was for another leave.", "该密钥证明是给另一份许可的。"),
    GateCode.DPOP_STALE: ("The proof of the key was too old.", "该密钥证明已经过时。"),
    GateCode.USE_DPOP_NONCE: ("The proof of the key lacked what we had asked for.", "该密钥证明缺少我们要求的内容。"),
    GateCode.DPOP_REPLAYED: ("The proof of the key had been used before.", "该密钥证明此前已被使用过。"),
    GateCode.KEY_MISMATCH: (
        "Whoever asked does not hold the key of this leave.",
        "请求者并不持有这份许可所绑定的密钥。",
    ),
    GateCode.BACKEND_BLOCKED: (
        "This generator has not confirmed in time that it deleted what it must.",
        "该生成程序没有按时确认已删除应当删除的内容。",
    ),
    GateCode.AUTHORITY_INVALID: (
        "It was given on your behalf, and whoever gave it may not speak for you now.",
        "该同意由他人代您作出，而其目前无权代表您。",
    ),
    GateCode.HIDDEN_FACE: (
        "Something was to be used in which nobody could see who is shown.",
        "其中要使用一项无法看出是谁的内容。",
    ),
    GateCode.REMOTE_INPUT: (
        "Something was to be used from an address, and not as it was looked at.",
        "其中要使用某个网址上的内容，而不是已检查过的内容。",
    ),
    GateCode.INPUT_UNSEEN: ("Something was to be used that was not handed in.", "其中要使用一项未提交检查的内容。"),
    GateCode.VOICE_UNDECLARED: ("It was not said whose voice was to be used.", "没有说明要使用的是谁的声音。"),
    GateCode.MISMATCH_BUDGET: (
        "Too many faces that were not yours had been tried, so it was refused without looking.",
        "此前尝试了太多不是您的面孔，因此未经查看即予以拒绝。",
    ),
    GateCode.GATE_ERROR: ("Something failed on our side, so it was refused.", "我们这边出了故障，因此予以拒绝。"),
}


def in_words(code: str) -> dict[str, str]:
    """A reason as a person reads it: its code, and a sentence in each language."""
    try:
        english, chinese = _WORDS[GateCode(code)]
    except (KeyError, ValueError):  # of another release than this one
        english, chinese = "It was outside what was allowed.", "超出了允许的范围。"
    return {"code": code, "en": english, "zh": chinese}


def explained(code: GateCode) -> bool:
    """Whether there are words for it."""
    return code in _WORDS
