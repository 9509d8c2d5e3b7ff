"""Captions: readable, whole, and never a row of empty boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from likeness.caption import caption
from likeness.errors import RenderError
from liveness.weights import card, open_weights, read_cards

SIZES = [(1280, 720), (720, 1280), (1080, 1080), (320, 240)]


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A font whose every Chinese character is a square; built here, so that none needs to be at hand."""
    fonts = pytest.importorskip("fontTools.fontBuilder")
    pens = pytest.importorskip("fontTools.pens.ttGlyphPen")
    pen = pens.TTGlyphPen(None)
    pen.moveTo((80, 0))
    for corner in ((80, 800), (920, 800), (920, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder = fonts.FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(letter): "square" for letter in "春天来了，我们出发去看海的那一边。"})
    builder.setupGlyf({".notdef": pens.TTGlyphPen(None).glyph(), "square": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 80)})
    builder.setupHorizontalHeader(ascent=880, descent=-120)
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=880)
    builder.setupPost()
    path = tmp_path_factory.mktemp("font") / "squares.ttf"
    builder.save(str(path))
    return path


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("background", [0, 128, 255])
def test_it_can_be_read_on_any_ground(size: tuple[int, int], background: int) -> None:
    words = caption("The sea, at last.", size)
    assert words is not None
    picture = np.full((size[1], size[0], 3), background, np.uint8)
    words.lay_on(picture, 1.0)
    part = picture[words.top : words.top + words.alpha.shape[0], words.left : words.left + words.alpha.shape[1]]
    assert part.max() > 240
    assert part.min() < 60
    untouched = picture.copy()
    untouched[words.top : words.top + words.alpha.shape[0]] = background
    assert (untouched == background).all(), "nothing is drawn elsewhere"


@pytest.mark.parametrize("size", SIZES)
def test_long_words_are_broken_into_lines_inside_the_picture(size: tuple[int, int]) -> None:
    words = caption("That summer we drove as far as the road would go", size)
    assert words is not None
    height, width = words.alpha.shape[:2]
    assert words.left >= 0
    assert words.left + width <= size[0]
    assert words.top + height <= size[1]


def test_lines_are_about_equally_long() -> None:
    words = caption("One day she looked to the other side, and smiled", (640, 360))
    assert words is not None
    inked = words.alpha[..., 0] > 0.5
    half = inked.shape[0] // 2
    lengths = [np.ptp(np.nonzero(part.any(axis=0))[0]) for part in (inked[:half], inked[half:])]
    assert min(lengths) > 0.6 * max(lengths)


def test_chinese_is_broken_between_characters_but_not_before_a_comma(chinese: Path) -> None:
    words = caption("春天来了，我们出发去看海的那一边。", (480, 854), fonts=[chinese])
    assert words is not None
    assert words.alpha.shape[1] <= 480
    assert words.alpha.shape[0] > 60, "more than one line"


def test_both_writings_stand_in_one_line(chinese: Path) -> None:
    mixed = caption("春天 Spring", (1280, 720), fonts=[chinese])
    latin = caption("Spring", (1280, 720))
    assert mixed is not None
    assert latin is not None
    assert mixed.alpha.shape[1] > latin.alpha.shape[1] + 60


def test_what_no_font_can_write_is_refused_with_its_character() -> None:
    with pytest.raises(RenderError, match=r"U\+6625") as unwritable:
        caption("春天", (1280, 720))
    assert unwritable.value.code == "caption_unwritable"


def test_what_does_not_fit_is_refused_instead_of_cut() -> None:
    with pytest.raises(RenderError) as long:
        caption("far too many words " * 10, (240, 426))
    assert long.value.code == "caption_too_long"


def test_a_font_that_is_none_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "no.ttf").write_bytes(b"no font")
    with pytest.raises(RenderError) as unreadable:
        caption("Hello", (640, 360), fonts=[tmp_path / "no.ttf"])
    assert unreadable.value.code == "caption_font_unreadable"


@pytest.mark.parametrize("text", ["", "  \n "])
def test_no_words_no_caption(text: str) -> None:
    assert caption(text, (640, 360)) is None


def test_it_stays_above_what_is_below_it() -> None:
    words = caption("Hello", (640, 360), above=250)
    assert words is not None
    assert words.top + words.alpha.shape[0] <= 250


@pytest.mark.weights
def test_chinese_is_written_with_the_font_that_is_fetched(weights: Path) -> None:
    its_card = card("font_zh", read_cards("likeness"))
    font = open_weights(its_card, weights) / its_card.only_file.path
    words = caption("这是她第一次看见大海 — the sea.", (1280, 720), fonts=(font,))
    assert words is not None
    assert words.alpha.max() == 1.0
    with pytest.raises(RenderError):
        caption("这是", (1280, 720))
