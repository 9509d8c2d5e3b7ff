"""Every face in a picture or a film, each with a template or with none where it cannot be measured.

Generators turn pictures that the models here see upside down, and ignore turns that are written beside a picture; so a
picture that goes into a job is looked at from all four sides. A film is looked at every half second, and wherever it changes at
once: somebody who is in it for three pictures is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from api.engines import FaceEngines
from liveness.capture import Frame, RgbImage
from liveness.errors import EngineError, MediaError
from liveness.evidence import Box, FoundFace
from liveness.policy import STRICT, Limit, LivenessPolicy
from liveness.template import FaceTemplate

Found = tuple[FoundFace, FaceTemplate | None]

LOOK_EVERY_MS = 500
TURNED_EVERY_MS = (
    1000  # three more looks each; who lies on the side for less is seen when the picture changes to it, or not
)
LOOKED_INTO: LivenessPolicy = replace(
    STRICT,
    min_duration=Limit(0, "ms", "design: a film may be as short as one likes"),
    analysis_fps=Limit(240, "fps", "design: every picture, so that none is between two looks"),
    analysis_short_side=Limit(720, "px", "design: faces in the background count too"),
)
"""How a film that goes into a job is read."""
_MOST_LOOKS = 600  # 30 s that change with every other picture; a minute of work on one core
_SAME_PLACE = 0.3  # of the smaller box; as in liveness/find.py
_ROWS, _COLUMNS = 18, 32
_CHANGED = 25.0
"""Of 255: how far the mean of one cell may move before a picture is another one. Design: a face as wide as a cell or wider
moves some cell by more, also where it takes another face's place; coding noise moves none by 5. Somebody who talks is looked at
about three times a second with it, a walk with the camera at every other picture."""


def faces_in(image: RgbImage, engines: FaceEngines) -> Iterator[Found]:
    """Largest first; small and turned ones too. ``None``: somebody is there, and it may be anybody.

    Raises:
        EngineError: when faces could not be looked for at all.
    """
    for found in engines.finder.find_every(image):
        yield found, _template(image, found, engines)


def faces_from_all_sides(image: RgbImage, engines: FaceEngines) -> list[Found]:
    """As :func:`faces_in`, and whoever is measured only when the picture is turned by 90, 180 or 270 degrees.

    A face that was there and could not be measured is that of a turned look where one sees it. Boxes are of ``image`` as it is;
    a face's landmarks are of the turned one. Raises: EngineError.
    """
    seen = list(faces_in(image, engines))
    for quarters in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(image, quarters))
        for found, template in faces_in(turned, engines):
            if template is None:  # the detector alone sees faces in many things that lie on their side
                continue
            box = _turned_back(found.box, quarters, height=image.shape[0], width=image.shape[1])
            over = [n for n, (other, _) in enumerate(seen) if _same_place(box, other.box)]
            if not over:
                seen.append((replace(found, box=box), template))
            elif len(over) == 1 and seen[over[0]][1] is None:
                seen[over[0]] = (replace(found, box=box), template)
    return seen


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """A picture of a film to be looked at. ``turned``: from all four sides."""

    frame: Frame
    turned: bool


def worth_a_look(frames: Iterable[Frame]) -> Iterator[Look]:
    """Of all pictures of a film in order: the first, the last, one every :data:`LOOK_EVERY_MS`, and each that is not as
    the one looked at last.

    Raises:
        MediaError: when it changes so often that not everything could be looked at.
    """
    looks, next_ms, next_turned_ms = 0, 0, 0
    shown: NDArray[np.float32] | None = None
    skipped: Frame | None = None
    for frame in frames:
        cells = _cells(frame.image)
        due = frame.at_ms >= next_ms
        if not due and shown is not None and float(np.abs(cells - shown).max()) < _CHANGED:
            skipped = frame
            continue
        looks += 1
        if looks > _MOST_LOOKS:
            raise MediaError(f"more than {_MOST_LOOKS} of its pictures are unlike the ones before")
        turned = frame.at_ms >= next_turned_ms
        yield Look(frame=frame, turned=turned)
        shown, skipped = cells, None
        if due:
            next_ms = (frame.at_ms // LOOK_EVERY_MS + 1) * LOOK_EVERY_MS
        if turned:
            next_turned_ms = (frame.at_ms // TURNED_EVERY_MS + 1) * TURNED_EVERY_MS
    if skipped is not None:
        yield Look(frame=skipped, turned=False)


def _cells(image: RgbImage) -> NDArray[np.float32]:
    """``(18, 32, 3) float32``, 0 to 255: the mean of each cell."""
    import cv2

    return np.asarray(cv2.resize(image, (_COLUMNS, _ROWS), interpolation=cv2.INTER_AREA), np.float32)


def _template(image: RgbImage, found: FoundFace, engines: FaceEngines) -> FaceTemplate | None:
    if found.face is None:
        return None
    try:
        return engines.embedder.embed(image, found.face.points)
    except EngineError:
        return None  # a face is there and cannot be judged: the gate refuses it


def _turned_back(box: Box, quarters: int, *, height: int, width: int) -> Box:
    """The place in a picture of ``height`` by ``width`` of what is at ``box`` after ``np.rot90(picture, quarters)``."""
    match quarters:
        case 1:  # counter-clockwise: what was on the right is at the top
            return Box(x=width - box.y - box.height, y=box.x, width=box.height, height=box.width)
        case 2:
            return Box(x=width - box.x - box.width, y=height - box.y - box.height, width=box.width, height=box.height)
        case _:
            return Box(x=box.y, y=height - box.x - box.width, width=box.height, height=box.width)


def _same_place(one: Box, other: Box) -> bool:
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    if across <= 0 or down <= 0:
        return False
    return across * down / min(one.width * one.height, other.width * other.height) > _SAME_PLACE
