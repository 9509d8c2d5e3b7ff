"""What a client says of its camera, and which risks that names. A hint for auditors; it decides nothing.

A client can say what it likes: whoever renames a virtual camera is not seen here, and a strange name proves nothing. Requested
against delivered size and pace told virtual cameras apart with an AUC above 0.9 in arXiv 2512.10653, yet at 10 % APCER one real
person in seven would be turned away, so no limit stands on it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

LONGEST = 2_000
"""Characters of the statement that are read."""

_NAMES = (
    *(
        "virtual",
        "obs",
        "manycam",
        "xsplit",
        "snap camera",
        "snapcam",
        "droidcam",
        "iriun",
        "epoccam",
        "vcam",
        "v4l2loopback",
    ),
    *(
        "dummy",
        "fake",
        "mmhmm",
        "avatarify",
        "deepfacelive",
        "nvidia broadcast",
        "splitcam",
        "e2esoft",
        "ivcam",
        "unity video",
    ),
)


class Risk(StrEnum):
    """Stable names of what stood out."""

    VIRTUAL_CAMERA = "virtual_camera"  # the camera's name is one that programs use
    UNNAMED_CAMERA = "unnamed_camera"  # a granted camera has a name
    OTHER_SIZE = "other_size"  # another size was delivered than the camera said it would
    OTHER_PACE = "other_pace"
    AUTOMATED = "automated"  # the browser says that a program drives it


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSigns:
    """What was said; ``None`` where nothing was. Sizes in pixels, paces in pictures a second."""

    label: str | None = None
    width: float | None = None
    height: float | None = None
    fps: float | None = None
    delivered_width: float | None = None
    delivered_height: float | None = None
    delivered_fps: float | None = None
    automated: bool | None = None


def read_signs(statement: str) -> CameraSigns:
    """A JSON object with the members of :class:`CameraSigns`; others are not kept.

    Raises:
        ValueError: for anything else.
    """
    if len(statement) > LONGEST:
        raise ValueError(f"at most {LONGEST} characters are read")
    try:
        said = json.loads(statement)
    except (ValueError, RecursionError) as error:
        raise ValueError("not JSON") from error
    if not isinstance(said, dict):
        raise ValueError("not an object")
    label, automated = said.get("label"), said.get("automated")
    if not isinstance(label, str | None) or not isinstance(automated, bool | None):
        raise ValueError("label is text, automated true or false")
    return CameraSigns(
        label=label,
        automated=automated,
        **{name: _number(said.get(name)) for name in _NUMBERS},
    )


_NUMBERS = ("width", "height", "fps", "delivered_width", "delivered_height", "delivered_fps")


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100_000:
        raise ValueError("sizes and paces are numbers from 0 to 100000")
    return float(value)


def risks(signs: CameraSigns) -> tuple[Risk, ...]:
    """What stands out, in a fixed order."""
    found = []
    name = (signs.label or "").casefold()
    if any(mark in name for mark in _NAMES):
        found.append(Risk.VIRTUAL_CAMERA)
    if signs.label is not None and not name.strip():
        found.append(Risk.UNNAMED_CAMERA)
    if _differ(signs.width, signs.delivered_width, 0) or _differ(signs.height, signs.delivered_height, 0):
        turned = (signs.width, signs.height) == (signs.delivered_height, signs.delivered_width)  # a phone held upright
        found += [] if turned else [Risk.OTHER_SIZE]
    if _differ(signs.fps, signs.delivered_fps, 0.35):  # light slows real cameras down by a third
        found.append(Risk.OTHER_PACE)
    if signs.automated:
        found.append(Risk.AUTOMATED)
    return tuple(found)


def _differ(one: float | None, other: float | None, share: float) -> bool:
    return one is not None and other is not None and abs(one - other) > share * max(one, 1.0)
