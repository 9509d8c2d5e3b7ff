"""Words laid over a film: set in lines that fit, white with a dark edge, faded in and out.

A letter that none of the fonts has would be drawn as an empty box, so a caption with one is refused instead. DejaVu Sans, which
Matplotlib brings along, covers Latin, Greek and Cyrillic; Chinese needs Noto Sans SC, which is fetched as weights are, or a
font that the operator names.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from likeness.errors import RenderError
from liveness.capture import RgbImage

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_LETTERS = 0.058  # of the short side: the size of the letters, readable on a phone
_LINE = 1.3  # of the size
_MOST_LINES = 3
_WIDTH = 0.86  # of the picture's width
_BOTTOM = 0.955  # of the picture's height: where the last line ends
_EDGE = 0.07  # of the size: how wide the dark edge of a letter is
_NOT_FIRST = frozenset("，。！？；：、）》」』”’…,.!?;:)]}%")  # never alone at the start of a line


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Caption:
    """A caption ready to be laid on pictures of one size.

    colour : ``(h, w, 3) uint8`` RGB. alpha : ``(h, w, 1) float32`` 0..1. top, left : where it goes, pixels.
    """

    colour: NDArray[np.uint8] = field(repr=False)
    alpha: NDArray[np.float32] = field(repr=False)
    top: int
    left: int

    def lay_on(self, image: RgbImage, strength: float) -> None:
        """Blend into ``image`` in place; ``strength`` 0..1 for fading."""
        height, width = self.alpha.shape[:2]
        region = image[self.top : self.top + height, self.left : self.left + width]
        region[:] = np.clip(region + (self.colour - region.astype(np.float32)) * (self.alpha * strength) + 0.5, 0, 255)


def caption(
    text: str, size: tuple[int, int], *, above: int | None = None, fonts: Sequence[Path] = ()
) -> Caption | None:
    """``text`` for pictures of ``size`` (width, height); ``None`` when there is nothing to be seen.

    above : the row it must end above, where something else is shown below. fonts : tried in order before DejaVu Sans.

    Raises:
        RenderError: ``caption_unwritable`` when no font has one of its characters; ``caption_too_long`` when it does not
            fit in three lines.
    """
    from PIL import Image, ImageDraw

    words = " ".join(text.split())
    if not words:
        return None
    letters = round(_LETTERS * min(size))
    paths = (*fonts, _dejavu())
    _check_writable(words, paths)
    lines = _balanced(words, paths, letters, _WIDTH * size[0])
    if len(lines) > _MOST_LINES:
        raise RenderError(f"a caption of {len(lines)} lines, at most {_MOST_LINES} fit", code="caption_too_long")
    edge = max(1, round(_EDGE * letters))
    pad, step = 2 * edge + 2, round(_LINE * letters)
    width = round(max(_length(line, paths, letters) for line in lines)) + 2 * pad
    height = step * len(lines) + 2 * pad
    inside, around = Image.new("L", (width, height)), Image.new("L", (width, height))
    for number, line in enumerate(lines):
        x, base = (width - _length(line, paths, letters)) / 2, pad + step * number + letters
        for run, path in _runs(line, paths):
            font = _font(path, letters)
            ImageDraw.Draw(around).text((x, base), run, font=font, fill=215, anchor="ls", stroke_width=edge)
            ImageDraw.Draw(inside).text((x, base), run, font=font, fill=255, anchor="ls")
            x += font.getlength(run)
    white = np.asarray(inside, np.float32) / np.float32(255)
    alpha = np.maximum(np.asarray(around, np.float32) / np.float32(255), white)
    colour = np.where(alpha > 0, 255 * white / np.maximum(alpha, 1e-6), 0)
    bottom = round(_BOTTOM * size[1]) if above is None else above
    return Caption(
        colour=np.repeat(np.clip(colour, 0, 255).astype(np.uint8)[..., None], 3, axis=2),
        alpha=np.ascontiguousarray(alpha[..., None], np.float32),
        top=max(bottom - height, 0),
        left=(size[0] - width) // 2,
    )


def _check_writable(words: str, paths: Sequence[Path]) -> None:
    missing = sorted({letter for letter in words if letter != " " and _path_with(letter, paths) is None})
    if missing:
        named = ", ".join(f"U+{ord(letter):04X}" for letter in missing[:5])
        raise RenderError(f"no font has {named}", code="caption_unwritable")


def _path_with(letter: str, paths: Sequence[Path]) -> Path | None:
    return next((path for path in paths if ord(letter) in _letters(path)), None)


def _runs(line: str, paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Neighbouring letters that one font has."""
    runs: list[tuple[str, Path]] = []
    for letter in line:
        path = runs[-1][1] if letter == " " and runs else _path_with(letter, paths) or paths[-1]
        if runs and runs[-1][1] == path:
            runs[-1] = (runs[-1][0] + letter, path)
        else:
            runs.append((letter, path))
    return runs


def _length(line: str, paths: Sequence[Path], letters: int) -> float:
    return sum(_font(path, letters).getlength(run) for run, path in _runs(line, paths))


def _balanced(words: str, paths: Sequence[Path], letters: int, most: float) -> list[str]:
    """As few lines as there can be, about equally long."""
    lines = _broken(words, paths, letters, most)
    if not 1 < len(lines) <= _MOST_LINES:
        return lines
    for share in (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95):
        narrower = _broken(words, paths, letters, share * most)
        if len(narrower) == len(lines):
            return narrower
    return lines


def _broken(words: str, paths: Sequence[Path], letters: int, most: float) -> list[str]:
    """Lines no longer than ``most`` pixels: between words, and between any two Chinese characters."""
    lines, line = [], ""
    for piece in _pieces(words):
        if line and _length((line + piece).strip(), paths, letters) > most and piece[0] not in _NOT_FIRST:
            lines.append(line.strip())
            line = ""
        while _length(piece, paths, letters) > most:  # a word that is longer than a line is broken anywhere
            fits = max((n for n in range(1, len(piece)) if _length(piece[:n], paths, letters) <= most), default=1)
            lines.append(piece[:fits])
            piece = piece[fits:]
        line += piece
    return [*lines, line.strip()]


def _pieces(words: str) -> list[str]:
    """What may stand together at the start of a line: a word with the space before it, or one wide character."""
    pieces: list[str] = []
    for letter in words:
        wide = unicodedata.east_asian_width(letter) in "WF"
        if pieces and not wide and letter != " " and unicodedata.east_asian_width(pieces[-1][-1]) not in "WF":
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces


@lru_cache(maxsize=1)
def _dejavu() -> Path:
    return Path(str(files("matplotlib") / "mpl-data" / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"))


@lru_cache(maxsize=16)
def _font(path: Path, letters: int) -> FreeTypeFont:
    from PIL import ImageFont

    try:
        return ImageFont.truetype(str(path), letters)
    except OSError as error:
        raise RenderError("a caption font cannot be read", code="caption_font_unreadable") from error


@lru_cache(maxsize=8)
def _letters(path: Path) -> frozenset[int]:
    """The characters that a font has."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(str(path)).get_charmap())
    except (OSError, RuntimeError) as error:
        raise RenderError("a caption font cannot be read", code="caption_font_unreadable") from error
