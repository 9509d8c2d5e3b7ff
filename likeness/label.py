"""The visible label that every clip carries, in Chinese and English, drawn without any font of the system.

Letters come from DejaVu Sans, which Matplotlib brings along; the two Chinese characters are drawn from strokes of our own,
so that no font with thousands of characters is needed for two. White on a translucent dark plate, with an outline: it can
be read on any picture.

Sizes follow GB 45438-2025, 5.4: characters at least 5 % of the shortest side, from the first frame, for at least two
seconds. Ours stays in the corner for the whole clip, and a larger one opens it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from liveness.capture import RgbImage

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

LABEL_TEXT = "AI 生成 · AI-generated"
LEAST_CHARACTER_HEIGHT = 0.05
"""Of the short side. GB 45438-2025, 5.4."""
LEAST_OPENING_S = 2.0
"""Same source."""

CORNER_HEIGHT = 0.055
OPENING_HEIGHT = 0.075
OPENING_S = 3.0

_PARTS = ("AI 生成", "AI-generated")  # where the line is broken when it does not fit
_DRAWN_AT = 4  # strokes are drawn this much larger and scaled down, for smooth edges

# Each stroke a line through points of a square of 100 by 100, x to the right, y down.
_STROKES: dict[str, tuple[tuple[tuple[int, int], ...], ...]] = {
    "生": (
        ((32, 6), (24, 26), (12, 44)),
        ((25, 29), (88, 29)),
        ((22, 57), (84, 57)),
        ((53, 4), (53, 91)),
        ((6, 91), (96, 91)),
    ),
    "成": (
        ((17, 25), (92, 25)),
        ((17, 25), (17, 52), (14, 74), (5, 93)),
        ((18, 48), (45, 48), (44, 66), (41, 79), (29, 77)),
        ((54, 5), (57, 34), (66, 62), (80, 86), (89, 91), (95, 72)),
        ((84, 39), (74, 58), (59, 76), (40, 91)),
        ((71, 6), (83, 17)),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plate:
    """A label ready to be laid on pictures of one size.

    colour : ``(h, w, 3) uint8`` RGB; alpha : ``(h, w, 1) uint16`` in 0..256.
    top, left : where it goes, pixels.
    character_height : of capital letters and Chinese characters, pixels.
    """

    colour: NDArray[np.uint8] = field(repr=False)
    alpha: NDArray[np.uint16] = field(repr=False)
    top: int
    left: int
    character_height: int

    def lay_on(self, image: RgbImage) -> None:
        """Blend into ``image`` in place."""
        height, width = self.alpha.shape[:2]
        region = image[self.top : self.top + height, self.left : self.left + width]
        blended = region * (256 - self.alpha) + self.colour * self.alpha
        region[:] = (blended >> 8).astype(np.uint8)


def labelled(frames: Iterator[RgbImage], *, width: int, height: int, fps: float) -> Iterator[RgbImage]:
    """The same pictures with the label in the upper left corner throughout, and a larger one on the opening frames."""
    corner, opening = plates(width, height)
    opening_frames = round(OPENING_S * fps)
    for index, image in enumerate(frames):
        marked = np.array(image, dtype=np.uint8)
        corner.lay_on(marked)
        if index < opening_frames:
            opening.lay_on(marked)
        yield marked


@lru_cache(maxsize=8)
def plates(width: int, height: int) -> tuple[Plate, Plate]:
    """The label of the corner and that of the opening for pictures of this size."""
    short = min(width, height)
    corner = _plate(width, character_height=-int(-short * CORNER_HEIGHT // 1))
    opening = _plate(width, character_height=-int(-short * OPENING_HEIGHT // 1))
    margin = max(2, round(short * 0.025))
    opening_height, opening_width = opening.alpha.shape[:2]
    top = height - opening_height - round(height * 0.1)
    return _moved(corner, top=margin, left=margin), _moved(opening, top=top, left=(width - opening_width) // 2)


def _moved(plate: Plate, *, top: int, left: int) -> Plate:
    return Plate(colour=plate.colour, alpha=plate.alpha, top=top, left=left, character_height=plate.character_height)


def _plate(width: int, *, character_height: int) -> Plate:
    """One line if it fits into nine tenths of the width, else two."""
    lines = [_line(LABEL_TEXT, character_height)]
    padding = round(0.45 * character_height)
    if lines[0].width + 2 * padding > 0.9 * width:
        lines = [_line(part, character_height) for part in _PARTS]
    return _composed(lines, padding, character_height)


def _composed(lines: list[Image], padding: int, character_height: int) -> Plate:
    from PIL import Image, ImageChops, ImageDraw, ImageFilter

    gap = round(0.3 * character_height)
    size = (
        max(line.width for line in lines) + 2 * padding,
        sum(line.height for line in lines) + gap * (len(lines) - 1) + 2 * padding,
    )
    text = Image.new("L", size)
    top = padding
    for line in lines:
        text.paste(line, (padding, top))
        top += line.height + gap
    ground = Image.new("L", size)
    ImageDraw.Draw(ground).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius=padding, fill=160)
    outline = text.filter(ImageFilter.MaxFilter(2 * max(1, character_height // 16) + 1))
    alpha = np.asarray(ImageChops.lighter(ground, outline), dtype=np.uint16)
    return Plate(
        colour=np.repeat(np.asarray(text, dtype=np.uint8)[..., None], 3, axis=2),
        alpha=(alpha + (alpha >> 7))[..., None],
        top=0,
        left=0,
        character_height=character_height,
    )


def _line(text: str, character_height: int) -> Image:
    """One line of text, white on black. Chinese characters stand a tenth of a capital letter over and under it, as set
    type has them."""
    from PIL import Image, ImageDraw

    font = _font(character_height)
    side = round(1.2 * character_height)
    base = round(1.1 * character_height)
    pieces = list(_split(text))
    width = sum(side if piece in _STROKES else round(font.getlength(piece)) for piece in pieces)
    line = Image.new("L", (width, base + round(0.25 * character_height)))
    draw = ImageDraw.Draw(line)
    left = 0
    for piece in pieces:
        if piece in _STROKES:
            line.paste(_character(piece, side), (left, 0))
            left += side
        else:
            draw.text((left, base), piece, font=font, fill=255, anchor="ls")
            left += round(font.getlength(piece))
    return line


def _split(text: str) -> Iterator[str]:
    """Runs of letters, and each drawn character by itself."""
    run = ""
    for character in text:
        if character in _STROKES:
            if run:
                yield run
            yield character
            run = ""
        else:
            run += character
    if run:
        yield run


def _character(character: str, side: int) -> Image:
    from PIL import Image, ImageDraw

    drawn = side * _DRAWN_AT
    pen = round(drawn * 0.105)
    large = Image.new("L", (drawn, drawn))
    draw = ImageDraw.Draw(large)
    scale = 0.94 * (drawn - pen) / 100  # a little air to its neighbours
    for stroke in _STROKES[character]:
        points = [(x * scale + pen / 2 + 0.03 * drawn, y * scale + pen / 2 + 0.03 * drawn) for x, y in stroke]
        draw.line(points, fill=255, width=pen, joint="curve")
        for x, y in (points[0], points[-1]):
            draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=255)
    return large.resize((side, side), Image.Resampling.LANCZOS)


def _font(capital_height: int) -> FreeTypeFont:
    """DejaVu Sans Bold at the size whose capital letters are ``capital_height`` pixels high."""
    from importlib.resources import files

    from PIL import ImageFont

    path = str(files("matplotlib") / "mpl-data" / "fonts" / "ttf" / "DejaVuSans-Bold.ttf")
    size = capital_height
    while True:
        font = ImageFont.truetype(path, size)
        if font.getbbox("I", anchor="ls")[1] <= -capital_height:
            return font
        size += 1
