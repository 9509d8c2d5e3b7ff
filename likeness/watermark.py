"""A mark in the pictures themselves that nobody sees: a number that still leads to the registry when everything written
beside the pictures is gone.

Context: metadata is stripped by most platforms, a visible label can be cropped. TrustMark (MIT) would be the kept
library; its weights lie on no package registry (17 and 47 MB, one maker's address), it needs 0.1 s and more a picture
without a GPU, and its 256-pixel view loses a mark when a clip is cropped. So this is a classical scheme of spread
spectrum, with nothing to download:

- One square of ``_SIDE`` units (a unit is 1/360 of the picture's short side) is repeated over the picture. Its
  content is a sum of orthonormal patterns, drawn from the key, of middle spatial frequencies: one that is always
  there, to find the square by, and one for each bit of the code, added or subtracted.
- The number (40 bits) and a keyed tag (24 bits) are written with a convolutional code of rate 1/2 and constraint
  length 7, whose end joins its beginning.
- It is stronger where the picture is restless (Weber-like masking), so it is drowned nowhere and shows nowhere.

Reading undoes scale (a fine search), shift (correlation by Fourier transform, which finds any crop), and mirroring,
aligns several pictures each by itself, and decodes with the Viterbi algorithm.

What is not carried: rotation by more than a degree or so, a stretch that changes the ratio of the sides, and crops to
less than about half. Whoever knows the key can remove or forge a mark; whoever has many clips of one key can estimate
it. A mark can be pasted over another clip, so it shows only that *some* released clip was at hand: see
:mod:`likeness.picture_hash` for the rest.

False alarms do not rest on the statistics of pictures: whatever they look like, a wrong number passes the keyed tag
with a probability of 2^-24, and :data:`MOST_TRIALS` numbers at most are tried, so fewer than one in two million.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from liveness.capture import RgbImage
from liveness.picture import luma

NUMBER_BITS = 40
"""As many numbers as there are: a million million."""
MOST_TRIALS = 8
ALGORITHM = "org.mien.watermark.1"
"""How the soft binding in the manifest names this scheme. Anything that changes what is read needs another name."""

_TAG_BITS = 24
_PAYLOAD_BITS = NUMBER_BITS + _TAG_BITS
_RATE = 2
_CODE_BITS = _PAYLOAD_BITS * _RATE
_GENERATORS = (0o133, 0o171)  # the usual code of constraint length 7 (Odenwalder 1970; CCSDS 131.0-B)
_STATES = 64

_SHORT_SIDE = 360  # units
_SIDE = 64  # units; 128 pixels of a 720p picture
_LOWEST, _HIGHEST = (
    1 / 14,
    1 / 3.2,
)  # cycles a unit: coarser shows, finer does not live through 480p and strong compression
_SYNC_SHARE = 0.3  # of the energy

# strength, grey levels (root mean square of the pattern): on a flat ground, more per level of local deviation, at most
_ON_FLAT, _PER_DEVIATION, _AT_MOST = 0.8, 0.14, 3.5

_SCALES = np.exp(np.arange(-70, 71) * 0.0035)  # 0.78 to 1.28: crops of up to 10 % on each side, either way
_CLOSER = np.exp(np.array([-0.0012, 0.0, 0.0012]))
_LEAST_PEAK = 4.5  # deviations; below it there is nothing worth decoding
_MOST_PICTURES = 12
_SEARCHED_ALONE = 2  # pictures beside the mean of all
_CLAMP = 2.5

Float = NDArray[np.float64]
Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """What is written into a clip. ``number`` of 0 .. 2^40 - 1 leads to the registry; ``key`` is secret, 32 bytes."""

    number: int
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.number < 1 << NUMBER_BITS:
            raise ValueError(f"a watermark's number has {NUMBER_BITS} bits")
        _check_key(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A mark that was read. ``peak``: how far it stood out, deviations; ``scale``: size against the original's short side."""

    number: int
    peak: float
    scale: float
    mirrored: bool


def watermarked(frames: Iterator[RgbImage], mark: Watermark, *, width: int, height: int) -> Iterator[RgbImage]:
    """The same pictures, each with the mark in it."""
    pattern = _laid_out(_square(mark), width, height)
    for image in frames:
        change = np.rint(np.multiply(pattern, _strength(luma(image)))).astype(np.int16)
        # the same on all three colours: luma moves, colour does not
        yield np.asarray(cv2.add(np.ascontiguousarray(image), cv2.merge([change] * 3), dtype=cv2.CV_8U), np.uint8)


def read(pictures: Sequence[RgbImage], key: bytes) -> Reading | None:
    """The mark in pictures of one clip, or in a single picture; ``None`` where none is found.

    pictures : ``(H, W, 3) uint8 RGB``, all of one size; a dozen spread over the clip is enough, more are thinned out.

    1. what is not picture: middle frequencies, each place made equally loud
    2. the mean of all and two by themselves are tried at every scale and both ways round
    3. at the best of them every picture is aligned by itself, and what they say of each bit is added up
    4. the code is solved, and the tag must be right
    """
    _check_key(key)
    if not pictures:
        return None
    patterns = _patterns(key)
    step = max(1, -(-len(pictures) // _MOST_PICTURES))
    residuals = [_residual(image) for image in pictures[::step]]  # 1
    mean = np.asarray(np.mean(residuals, axis=0), np.float32)
    alone = residuals[:: max(1, len(residuals) // _SEARCHED_ALONE)][:_SEARCHED_ALONE] if len(residuals) > 1 else []
    found = [_best(each, patterns, _SCALES) for each in (mean, *alone)]  # 2
    trials = 0
    for coarse in sorted(found, key=lambda peak: -peak.height):
        if coarse.height < _LEAST_PEAK or trials + 2 > MOST_TRIALS:
            break
        near = coarse.scale * _CLOSER
        aligned = [_best(each, patterns, near, mirrored=coarse.mirrored) for each in (mean, *residuals)]  # 3
        best = max(aligned, key=lambda peak: peak.height)
        together = sum(
            (_bits(peak, patterns) * max(peak.height - 3.5, 0.0) for peak in aligned), start=np.zeros(_CODE_BITS)
        )
        for soft in (together, _bits(best, patterns)):  # 4
            trials += 1
            number = _opened(_solved(soft), key)
            if number is not None:
                return Reading(number=number, peak=best.height, scale=best.scale, mirrored=best.mirrored)
    return None


# --- the square ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Patterns:
    """``rows, columns, rings``: the frequencies in use, each with its opposite implied. ``codes``: ``(1 + bits, 2 n)``,
    orthonormal; real parts, then negated imaginary parts; the first finds the square."""

    rows: NDArray[np.int_]
    columns: NDArray[np.int_]
    rings: NDArray[np.int_]
    codes: Float

    @property
    def sync(self) -> NDArray[np.complex128]:
        count = len(self.rows)
        return np.asarray(self.codes[0, :count] - 1j * self.codes[0, count:])


@lru_cache(maxsize=4)
def _patterns(key: bytes) -> _Patterns:
    axis = np.fft.fftfreq(_SIDE)
    down, across = np.meshgrid(axis, axis, indexing="ij")
    radius = np.hypot(down, across)
    half = (down > 0) | ((down == 0) & (across > 0))
    rows, columns = np.nonzero((radius >= _LOWEST) & (radius <= _HIGHEST) & half)
    wide = 2 * len(rows)
    count = (1 + _CODE_BITS) * wide
    drawn = np.frombuffer(hashlib.shake_256(b"org.mien.watermark.1|" + key).digest(-(-count // 8)), np.uint8)
    signs = np.unpackbits(drawn)[:count].astype(np.float64).reshape(1 + _CODE_BITS, wide) * 2 - 1
    upper, triangle = np.linalg.qr(signs.T)
    upper *= np.sign(np.diag(triangle))  # else the sign would be the library's own choice
    rings = np.rint(radius[rows, columns] * _SIDE / 2).astype(int)
    return _Patterns(rows, columns, rings - rings.min(), np.ascontiguousarray(upper.T))


@lru_cache(maxsize=4)
def _square(mark: Watermark) -> Plane:
    """``(_SIDE, _SIDE)``, of mean 0 and deviation 1."""
    patterns = _patterns(mark.key)
    signs = 1.0 - 2.0 * _coded(_payload(mark.number, mark.key))
    weights = np.concatenate([[np.sqrt(_SYNC_SHARE)], signs * np.sqrt((1 - _SYNC_SHARE) / _CODE_BITS)])
    values = weights @ patterns.codes
    count = len(patterns.rows)
    spectrum = np.zeros((_SIDE, _SIDE), np.complex128)
    spectrum[patterns.rows, patterns.columns] = values[:count] - 1j * values[count:]
    spectrum[-patterns.rows % _SIDE, -patterns.columns % _SIDE] = values[:count] + 1j * values[count:]
    square = np.fft.ifft2(spectrum).real
    return np.asarray(square / square.std(), np.float32)


@lru_cache(maxsize=4)
def _tiled(square: bytes, down: int, across: int) -> Plane:
    return np.tile(np.frombuffer(square, np.float32).reshape(_SIDE, _SIDE), (down, across))


def _laid_out(square: Plane, width: int, height: int) -> Plane:
    """The square repeated over a picture of this size, ``(height, width)``."""
    pixels = min(width, height) / _SHORT_SIDE
    down, across = (int(np.ceil(side / pixels / _SIDE)) + 2 for side in (height, width))
    shift = _SIDE + 0.5 / pixels - 0.5  # centres of pixels, one square in from the edge
    place = np.array([[1 / pixels, 0, shift], [0, 1 / pixels, shift]], np.float32)
    repeated = _tiled(square.tobytes(), down, across)
    return np.asarray(
        cv2.warpAffine(repeated, place, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP), np.float32
    )


def _strength(grey: NDArray[np.uint8]) -> Plane:
    """How strong the mark may be at each pixel, grey levels."""
    height, width = grey.shape
    pixels = min(width, height) / _SHORT_SIDE
    small = cv2.resize(
        grey, (max(4, round(width / pixels / 2)), max(4, round(height / pixels / 2))), interpolation=cv2.INTER_AREA
    ).astype(np.float32)
    mean = cv2.blur(small, (5, 5))
    deviation = np.sqrt(np.maximum(cv2.blur(small * small, (5, 5)) - mean * mean, 0))
    allowed = np.minimum(_ON_FLAT + _PER_DEVIATION * deviation, _AT_MOST)
    allowed = cv2.erode(allowed, np.ones((3, 3), np.uint8))  # flat ground beside an edge stays flat
    return np.asarray(cv2.resize(allowed, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


# --- finding it ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Peak:
    """Where the square fits best. ``spectrum``: at the frequencies in use, whitened, and moved into place."""

    height: float
    scale: float
    mirrored: bool
    spectrum: NDArray[np.complex128]


def _residual(image: RgbImage) -> Plane:
    grey = luma(image)
    pixels = min(grey.shape) / _SHORT_SIDE
    size = (max(_SIDE, round(grey.shape[1] / pixels)), max(_SIDE, round(grey.shape[0] / pixels)))
    method = cv2.INTER_AREA if pixels > 1 else cv2.INTER_CUBIC
    plane = cv2.resize(grey, size, interpolation=method).astype(np.float32)
    fine = plane - cv2.GaussianBlur(plane, (0, 0), 3.0)
    loudness = np.sqrt(np.maximum(cv2.blur(fine * fine, (9, 9)), 0))  # OpenCV's running sum may end below nothing
    return np.asarray(np.clip(fine / (loudness + 1.0), -_CLAMP, _CLAMP), np.float32)


def _best(residual: Plane, patterns: _Patterns, scales: Float, *, mirrored: bool | None = None) -> _Peak:
    ways = (False, True) if mirrored is None else (mirrored,)
    best: tuple[float, float, bool, int, NDArray[np.complex128]] | None = None
    sync = patterns.sync.conj()
    surface = np.zeros((_SIDE, _SIDE), np.complex128)
    for scale in scales:
        method = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
        sized = cv2.resize(residual, None, fx=1 / scale, fy=1 / scale, interpolation=method)
        folded = _folded(np.asarray(sized, np.float32))
        for flip in ways:
            spectrum = _white(np.fft.fft2(folded[:, ::-1] if flip else folded), patterns)
            surface[patterns.rows, patterns.columns] = spectrum * sync
            correlation = np.fft.ifft2(surface).real
            place = int(correlation.argmax())
            height = float(correlation.flat[place] / (correlation.std() + 1e-12))
            if best is None or height > best[0]:
                best = (height, float(scale), flip, place, spectrum)
    if best is None:
        raise ValueError("there is no scale to try")
    height, chosen, flip, place, spectrum = best
    down, across = divmod(place, _SIDE)
    turn = np.exp(2j * np.pi * (patterns.rows * down + patterns.columns * across) / _SIDE)
    return _Peak(height, chosen, flip, spectrum * turn)


def _folded(plane: Plane) -> Plane:
    """All repetitions laid over each other, ``(_SIDE, _SIDE)``."""
    down, across = (-(-side // _SIDE) for side in plane.shape)
    whole = np.zeros((down * _SIDE, across * _SIDE), np.float32)
    whole[: plane.shape[0], : plane.shape[1]] = plane
    return np.asarray(whole.reshape(down, _SIDE, across, _SIDE).sum(axis=(0, 2)), np.float32)


def _white(spectrum: NDArray[np.complex128], patterns: _Patterns) -> NDArray[np.complex128]:
    """The frequencies in use, each ring of them equally loud: what the picture has most of counts no more than the rest."""
    used = spectrum[patterns.rows, patterns.columns]
    power = np.bincount(patterns.rings, np.abs(used) ** 2) / np.maximum(np.bincount(patterns.rings), 1)
    return np.asarray(used / np.sqrt(power[patterns.rings] + 1e-9))


def _bits(peak: _Peak, patterns: _Patterns) -> Float:
    """What the square says of each bit of the code: positive for 0. Rings count by how well the sync pattern came through."""
    sync = patterns.sync
    heard = np.bincount(patterns.rings, (peak.spectrum * sync.conj()).real)
    sent = np.bincount(patterns.rings, np.abs(sync) ** 2)
    gain = np.maximum(heard / np.maximum(sent, 1e-12), 0.0)
    smooth = np.convolve(np.pad(gain, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    weighed = peak.spectrum * (smooth / (smooth.max() + 1e-12))[patterns.rings]
    return np.asarray(patterns.codes[1:] @ np.concatenate([weighed.real, -weighed.imag]))


# --- the code --------------------------------------------------------------------------------------------------------


def _payload(number: int, key: bytes) -> int:
    return (number << _TAG_BITS) | _tag(number, key)


def _tag(number: int, key: bytes) -> int:
    digest = hmac.new(key, b"watermark|" + number.to_bytes(NUMBER_BITS // 8), hashlib.sha256).digest()
    return int.from_bytes(digest[: _TAG_BITS // 8])


def _opened(payload: int, key: bytes) -> int | None:
    number = payload >> _TAG_BITS
    right = _tag(number, key).to_bytes(_TAG_BITS // 8)
    given = (payload & ((1 << _TAG_BITS) - 1)).to_bytes(_TAG_BITS // 8)
    return number if hmac.compare_digest(right, given) else None


def _coded(payload: int) -> NDArray[np.int_]:
    """The code's bits. The last six bits of the payload are the register's first content: the end joins the beginning."""
    bits = [(payload >> (_PAYLOAD_BITS - 1 - place)) & 1 for place in range(_PAYLOAD_BITS)]
    out = []
    for place in range(_PAYLOAD_BITS):
        register = sum(bits[place - back] << (6 - back) for back in range(7))
        out += [(register & generator).bit_count() & 1 for generator in _GENERATORS]
    return np.array(out)


@lru_cache(maxsize=1)
def _trellis() -> tuple[NDArray[np.int_], Float]:
    """For each state its two predecessors ``(64, 2)``, and what is sent on the way, as ±1 ``(64, 2, rate)``."""
    states, ways = np.arange(_STATES)[:, None], np.arange(2)[None, :]
    before = ((states << 1) & (_STATES - 1)) | ways
    register = ((states >> 5) << 6) | before
    parity = np.array(
        [[[(int(r) & g).bit_count() & 1 for g in _GENERATORS] for r in row] for row in register], np.float64
    )
    return before, 1.0 - 2.0 * parity


def _solved(soft: Float) -> int:
    """The payload whose code fits best. The ring is walked three times, and the middle one counts."""
    before, sent = _trellis()
    gains = sent @ soft.reshape(_PAYLOAD_BITS, _RATE).T  # (64, 2, bits)
    metric = np.zeros(_STATES)
    came_by = np.zeros((3 * _PAYLOAD_BITS, _STATES), np.int_)
    every = np.arange(_STATES)
    for step in range(3 * _PAYLOAD_BITS):
        ways = metric[before] + gains[:, :, step % _PAYLOAD_BITS]
        came_by[step] = ways.argmax(axis=1)
        metric = ways[every, came_by[step]]
        metric -= metric.max()
    state, payload = int(metric.argmax()), 0
    for step in reversed(range(3 * _PAYLOAD_BITS)):
        if _PAYLOAD_BITS <= step < 2 * _PAYLOAD_BITS:
            payload |= (state >> 5) << (2 * _PAYLOAD_BITS - 1 - step)
        state = int(before[state, came_by[step, state]])
    return payload


def _check_key(key: bytes) -> None:
    if len(key) != 32:
        raise ValueError("a watermark's key has 32 bytes")
