"""A number in the pictures: what it lives through, what it looks like, and that nobody sees one where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from likeness import watermark
from likeness.encode import encode
from likeness.watermark import MOST_TRIALS, NUMBER_BITS, Watermark, read, watermarked
from liveness.capture import RgbImage
from liveness.decode import sample_pictures

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
NUMBER = 0xA5_0F17_C3E1
WIDTH, HEIGHT, FPS = 640, 360, 12


def scene(count: int = 24) -> Iterator[RgbImage]:
    """Made in code: patches, edges, fine texture and a face-like oval that moves, with a little noise."""
    chance = np.random.default_rng(7)
    coarse = chance.integers(20, 235, (12, 20, 3)).astype(np.uint8)
    ground = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    ground[: HEIGHT // 2, : WIDTH // 3] = (180, 175, 168)  # a wall
    texture = chance.normal(0, 12, (HEIGHT // 2, WIDTH // 2, 1))
    ground[HEIGHT // 2 :, WIDTH // 2 :] = np.clip(ground[HEIGHT // 2 :, WIDTH // 2 :] + texture, 0, 255)
    for number in range(count):
        image = ground.copy()
        centre = (WIDTH // 2 + round(12 * np.sin(number / 4)), HEIGHT // 2)
        cv2.ellipse(image, centre, (70, 95), 0, 0, 360, (214, 168, 142), -1)
        cv2.ellipse(image, (centre[0], centre[1] + 45), (24, 4 + number % 5), 0, 0, 360, (120, 40, 44), -1)
        yield np.clip(image + chance.normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)


@cache
def marked() -> tuple[RgbImage, ...]:
    return tuple(watermarked(scene(), Watermark(number=NUMBER, key=KEY), width=WIDTH, height=HEIGHT))


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> list[RgbImage]:
    """As a viewer gets it."""
    return film(list(marked()), tmp_path_factory.mktemp("clips"), crf=20)


def film(pictures: list[RgbImage], folder: Path, *, crf: int) -> list[RgbImage]:
    height, width = pictures[0].shape[:2]
    out = folder / "clip.mp4"
    encode(iter(pictures), None, width=width, height=height, fps=FPS, out=out, crf=crf)
    return [frame.image for frame in sample_pictures(out.read_bytes(), 200)]


def number_in(pictures: list[RgbImage]) -> int | None:
    reading = read(pictures, KEY)
    return None if reading is None else reading.number


def sized(width: int, height: int) -> Callable[[RgbImage], RgbImage]:
    return lambda image: np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def cropped(image: RgbImage) -> RgbImage:
    return np.ascontiguousarray(image[18:342, 32:608])


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda image: image, id="encoded again"),
        pytest.param(sized(428, 240), id="scaled down"),
        pytest.param(cropped, id="cropped by 5 %"),
        pytest.param(lambda image: sized(640, 360)(np.ascontiguousarray(image[36:324, 64:576])), id="cropped by 10 %"),
        pytest.param(lambda image: np.ascontiguousarray(image[:, ::-1]), id="mirrored"),
        pytest.param(lambda image: np.clip(image * 1.2 + 10.0, 0, 255).astype(np.uint8), id="brighter"),
    ],
)
def test_the_number_lives_through(
    released: list[RgbImage], tmp_path: Path, damage: Callable[[RgbImage], RgbImage]
) -> None:
    assert number_in(film([damage(image) for image in released], tmp_path, crf=24)) == NUMBER


def test_one_picture_of_a_clip_is_enough(released: list[RgbImage]) -> None:
    _, data = cv2.imencode(".jpg", released[5], [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert number_in([np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)]) == NUMBER


def test_how_it_lies_is_said(released: list[RgbImage]) -> None:
    reading = read([np.ascontiguousarray(released[3][:, ::-1])], KEY)
    assert reading is not None
    assert reading.mirrored
    assert reading.scale == pytest.approx(1.0, abs=0.01)


def test_nobody_sees_it() -> None:
    for plain, image in zip(scene(3), marked(), strict=False):
        change = image.astype(int) - plain
        assert np.abs(change).max() <= 14
        assert 10 * np.log10(255**2 / np.mean(change.astype(float) ** 2)) > 40
        assert np.abs(change[20:150, 20:180]).max() <= 4, "on a bare wall it stays below what shows"
        assert np.ptp(change[20:150, 20:180], axis=2).max() == 0, "colours stay"


def test_there_is_none_where_none_was_put() -> None:
    plain = list(scene(4))
    assert read(plain, KEY) is None
    assert read(plain[:1], KEY) is None
    assert read([], KEY) is None


def test_another_service_reads_nothing(released: list[RgbImage]) -> None:
    assert read(released, OTHER_KEY) is None


@pytest.mark.parametrize("value", [0, 128, 255])
def test_pictures_with_nothing_in_them(value: int) -> None:
    assert read([np.full((90, 160, 3), value, np.uint8)], KEY) is None


def test_pictures_that_repeat_raise_no_alarm() -> None:
    """Tiles of the mark's own size are what a search for repetition would fall for."""
    chance = np.random.default_rng(3)
    for side in (32, 64, 128):
        tile = chance.integers(0, 255, (side, side, 3)).astype(np.uint8)
        assert read([np.tile(tile, (360 // side + 1, 640 // side + 1, 1))[:360, :640]], KEY) is None


def test_false_alarms_are_bounded_whatever_the_picture() -> None:
    """The bound needs no statistics of pictures: so many tries against so many bits of a keyed tag."""
    assert MOST_TRIALS * 2.0**-24 < 1e-6


def test_no_more_is_tried_than_is_promised(monkeypatch: pytest.MonkeyPatch, released: list[RgbImage]) -> None:
    tries = 0

    def wrong(payload: int, key: bytes) -> None:
        nonlocal tries
        tries += 1

    monkeypatch.setattr(watermark, "_opened", wrong)
    assert read(released, KEY) is None
    assert 0 < tries <= MOST_TRIALS


@given(number=st.integers(0, (1 << NUMBER_BITS) - 1), flips=st.sets(st.integers(0, 127), max_size=12))
@settings(max_examples=25, deadline=None)
def test_the_code_mends_a_tenth_of_wrong_bits(number: int, flips: set[int]) -> None:
    payload = watermark._payload(number, KEY)
    soft = 1.0 - 2.0 * watermark._coded(payload)
    spread = {(flip * 11) % 128 for flip in flips if flip % 3 == 0}  # bursts are spread by the patterns
    for place in spread:
        soft[place] *= -0.5
    assert watermark._opened(watermark._solved(soft), KEY) == number


@given(number=st.integers(0, (1 << NUMBER_BITS) - 1), flip=st.integers(0, 63))
@settings(max_examples=50, deadline=None)
def test_a_number_without_its_tag_is_none(number: int, flip: int) -> None:
    assert watermark._opened(watermark._payload(number, KEY) ^ (1 << flip), KEY) is None


def test_numbers_and_keys_have_their_size() -> None:
    with pytest.raises(ValueError, match="40 bits"):
        Watermark(number=1 << NUMBER_BITS, key=KEY)
    with pytest.raises(ValueError, match="32 bytes"):
        Watermark(number=1, key=b"short")
    assert KEY.hex() not in repr(Watermark(number=1, key=KEY))
    assert repr(KEY) not in repr(Watermark(number=1, key=KEY))


def test_pictures_with_flat_parts_are_read_without_a_warning() -> None:
    """A mosaic: within its tiles there is nothing, and rounding must not make less of it."""
    chance = np.random.default_rng(11)
    for _ in range(3):
        mosaic = np.kron(chance.integers(0, 256, (9, 16, 3)), np.ones((80, 80, 1))).astype(np.uint8)
        assert read([mosaic], KEY) is None
