"""Whether the mouth in the picture says what is heard: it moves in words, rests between, and moves when the voice does. Pure.

Loudness against opening of the mouth tells little: sentences share one rhythm, and a voice laid over another person's mouth
correlates nearly as well as his own (0.45 to 0.55 against 0.51 to 0.62 on recorded sentences). Asked instead is *when* the two
fit best:

1. The opening (jaw, lips) and four levels of the sound (vowels, sharp consonants, brightness, voicing) lose what is slower
   than a syllable (:data:`SLOWEST_MS`): the shared rhythm.
2. For each lag, the opening is predicted from the four levels. How a level shows on this person's mouth is learnt from the take
   itself, each moment predicted from all but the 400 ms around it, so a chance fit does not count. (Learning what mouth and
   sound share is the idea of FaceSync, Slaney and Covell 2000; leaving out what is predicted makes it hold on seconds.)
3. Voice and mouth of one take fit best at a lag that recorders have (:data:`EARLIEST_MS` to :data:`LATEST_MS`), strangers
   anywhere. The take is its own yardstick: the best fit within those lags against the best outside.

Who moves the lips to the voice, word by word, passes: this is no test against a rehearsed or a generated mouth.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from liveness.capture import Audio
from liveness.evidence import Face, FaceTrack, VoiceMatch, Word

WORD_MARGIN_MS: Final = 120
"""Word times of recognisers are this far off, and lips part before they are heard."""

GAP_MARGIN_MS: Final = 60
"""Left out of a pause at either side: the mouth closes after the voice and opens before it."""

SHORTEST_GAP_MS: Final = 150
"""Pauses that are shorter, margins taken off, show two frames or fewer at 15 a second."""

RESTING: Final = 0.5
"""A mouth rests in a pause that moves it by less than this share of what the livelier neighbouring word does."""

EARLIEST_MS: Final = -90
LATEST_MS: Final = 185
"""The sound may be this early and this late against the picture: what viewers accept and recorders keep within
(ITU-R BT.1359-1). A headset without wire does not always."""

FARTHEST_MS: Final = 700
"""Lags are tried up to here on either side: about a digit with its pause, beyond which evenly read digits fit again."""

STEP_MS: Final = 20
"""Between lags, and between the moments compared."""

SLOWEST_MS: Final = 800
"""Changes slower than this are taken out (a bell of this length is the local mean): syllables follow each other at 2 to 8 a
second, phrases and digits at one or less."""

SMOOTHED_MS: Final = 70
"""Sound is smoothed over a frame at 15 a second."""

AROUND_WORDS_MS: Final = 500
"""Only moments this near a word count; the mouth of a head that turns is not measured well."""

LEAST_MOMENTS: Final = 75
"""Moments (1.5 s) that a fit needs."""

LEFT_OUT_MS: Final = 400
"""Left out around the moment that is predicted: longer than a syllable, so that no neighbour gives it away."""

RIDGE: Final = 3.0
"""Weight of "no level tells anything" against what was measured: seconds of speech hold some twenty independent moments, few
for four weights. With much more, each level counts by its own correlation alone. 1 and 3 gave the same answers."""

AWAY_MS: Final = 200
"""Frames this far from every word are away from words: beyond the softness of word times and the closing of the mouth."""

FACING_DEG: Final = 12.0
"""Turned further, the mouth's opening is not read well."""

LEAST_FRAMES: Final = 8
"""Half a second of either."""

STILL: Final = 0.004
"""Standard deviation of the opening below which the mouth did not move: landmarks on a still picture reach it."""

_DYNAMIC_DB: Final = 30.0  # below the loudest: echo and breath, as in ``segments.RANGE_DB``


def mouth_opening(face: Face) -> float:
    """Jaw opening (0..1) plus lip gap (of the eye distance): either alone misses some digits."""
    return face.jaw_open + face.lip_gap


def word_motion(track: FaceTrack, words: Sequence[Word]) -> tuple[float | None, ...]:
    """For each word, the range of :func:`mouth_opening` in it; ``None`` where fewer than three frames show a face."""
    return tuple(mouth_range(track, word.start_ms - WORD_MARGIN_MS, word.end_ms + WORD_MARGIN_MS) for word in words)


def mouth_range(track: FaceTrack, start_ms: int, end_ms: int) -> float | None:
    """Range of :func:`mouth_opening` between two times, or ``None`` where fewer than three frames show a face."""
    return _range(_openings(track, start_ms, end_ms), least=3)


def gap_motion(track: FaceTrack, words: Sequence[Word]) -> tuple[float | None, ...]:
    """For each pause between words, the range of :func:`mouth_opening` in it; ``None`` where it is too short to tell."""
    found = []
    for before, after in pairwise(words):
        start_ms, end_ms = before.end_ms + GAP_MARGIN_MS, after.start_ms - GAP_MARGIN_MS
        long_enough = end_ms - start_ms >= SHORTEST_GAP_MS
        found.append(_range(_openings(track, start_ms, end_ms), least=2) if long_enough else None)
    return tuple(found)


def resting_share(track: FaceTrack, words: Sequence[Word]) -> float | None:
    """Share of the pauses in which the mouth is clearly stiller than in the livelier word beside; ``None`` without a pause to
    measure. Who says other words over the digits, or chews, does not rest."""
    inside = word_motion(track, words)
    rested = []
    for gap, beside in zip(gap_motion(track, words), pairwise(inside), strict=True):
        measured = [motion for motion in beside if motion is not None]
        if gap is not None and measured:
            rested.append(gap <= RESTING * max(measured))
    return sum(rested) / len(rested) if rested else None


def opened_with_words(track: FaceTrack, words: Sequence[Word]) -> float | None:
    """How well an open mouth tells that a word is being said: the chance that a frame inside a word shows a wider mouth than
    one well away from all words, over frames that face the camera; 1 for who speaks only the words, 0.5 for who does not.
    ``None`` with too few of either.

    The area under the ROC curve (Mann-Whitney). Somebody who says something else meanwhile opens the mouth elsewhere too.
    """
    inside: list[float] = []
    away: list[float] = []
    for sighting in track.sightings:
        if not sighting.faces or abs(sighting.faces[0].yaw_deg) > FACING_DEG:
            continue
        apart = min((max(w.start_ms - sighting.at_ms, sighting.at_ms - w.end_ms, 0) for w in words), default=AWAY_MS)
        if apart == 0:
            inside.append(mouth_opening(sighting.faces[0]))
        elif apart >= AWAY_MS:
            away.append(mouth_opening(sighting.faces[0]))
    if len(inside) < LEAST_FRAMES or len(away) < LEAST_FRAMES:
        return None
    wider = np.array(inside)[:, None] - np.array(away)[None, :]
    return round(float(((wider > 0) + 0.5 * (wider == 0)).mean()), 6)


def voice_match(track: FaceTrack, audio: Audio, words: Sequence[Word]) -> VoiceMatch | None:
    """How well, and when, the mouth fits the voice around ``words``; ``None`` when there is too little of either to tell.

    ``words`` : when something is said, on the capture's clock; their text does not matter.
    """
    at_ms, opening = _mouth_over_time(track, audio, words)
    if len(at_ms) == 0:
        return None
    counts = _near(at_ms, words)
    opening = opening - _local_mean(opening)
    if counts.sum() < LEAST_MOMENTS or (opening[:, counts].std(axis=1) < STILL).all():
        return None
    levels, level_start_ms = _levels(audio)
    if not levels.any():
        return None
    lags = np.arange(-FARTHEST_MS, FARTHEST_MS + 1, STEP_MS)
    first = (int(at_ms[0]) - level_start_ms) // STEP_MS
    places = first + np.arange(len(at_ms))
    wanted = _standard(opening[:, counts])
    fits = np.array(
        [
            _predicted(levels[:, np.clip(places + lag // STEP_MS, 0, levels.shape[1] - 1)][:, counts], wanted)
            for lag in lags.tolist()
        ]
    )
    within = (lags >= EARLIEST_MS) & (lags <= LATEST_MS)
    best = int(np.argmax(fits))
    return VoiceMatch(
        lag_ms=int(lags[best]),
        fit=round(float(fits[within].max()), 6),
        fit_elsewhere=round(float(fits[~within].max()), 6),
    )


def _openings(track: FaceTrack, start_ms: int, end_ms: int) -> list[float]:
    return [mouth_opening(s.faces[0]) for s in track.sightings if s.faces and start_ms <= s.at_ms < end_ms]


def _range(openings: list[float], *, least: int) -> float | None:
    return max(openings) - min(openings) if len(openings) >= least else None


def _mouth_over_time(
    track: FaceTrack, audio: Audio, words: Sequence[Word]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Moments (ms, every ``STEP_MS``) and jaw opening and lip gap at them, ``(2, n)``; from shortly before the first word to
    shortly after the last. Empty without a face or a word."""
    seen = [s for s in track.sightings if s.faces]
    if len(seen) < 2 or not words:
        return np.zeros(0, np.int64), np.zeros((2, 0))
    low = max(seen[0].at_ms, audio.start_ms, words[0].start_ms - AROUND_WORDS_MS - SLOWEST_MS // 2)
    high = min(seen[-1].at_ms, words[-1].end_ms + AROUND_WORDS_MS + SLOWEST_MS // 2)
    # on the grid of the sound
    low = audio.start_ms + -(-(low - audio.start_ms) // STEP_MS) * STEP_MS
    at_ms = np.arange(low, high + 1, STEP_MS)
    times = [s.at_ms for s in seen]
    jaw = np.interp(at_ms, times, [s.faces[0].jaw_open for s in seen])
    lips = np.interp(at_ms, times, [s.faces[0].lip_gap for s in seen])
    return at_ms, np.stack((jaw, lips))


def _near(at_ms: NDArray[np.int64], words: Sequence[Word]) -> NDArray[np.bool_]:
    near = np.zeros(len(at_ms), bool)
    for word in words:
        near |= (at_ms >= word.start_ms - AROUND_WORDS_MS) & (at_ms < word.end_ms + AROUND_WORDS_MS)
    return near


def _levels(audio: Audio) -> tuple[NDArray[np.float64], int]:
    """Four levels of the sound every ``STEP_MS``, ``(4, n)``, standardised, slow changes taken out; and the time of the first:

    vowels (350 to 2,500 Hz: the first two formants, whose strength grows as the mouth opens), sharp consonants (3 to 7 kHz:
    teeth together), brightness (second formant over the first: lips spread or round) and voicing (120 to 350 Hz: there with
    closed lips too).
    """
    hop = audio.rate_hz * STEP_MS // 1000
    window = audio.rate_hz * 25 // 1000
    around = (hop - window) // 2
    samples = np.asarray(audio.samples, dtype=np.float64)
    count = len(samples) // hop
    if count == 0:
        return np.zeros((4, 1)), audio.start_ms
    frames = np.lib.stride_tricks.sliding_window_view(
        np.pad(samples, (max(-around, 0), window + max(around, 0))), window
    )[max(around, 0) :: hop][:count]
    bell = np.hanning(window)
    power = np.abs(np.fft.rfft(frames * bell, axis=1)) ** 2 / (window * float((bell**2).sum()))
    hz = np.fft.rfftfreq(window, 1 / audio.rate_hz)

    def band(low_hz: float, high_hz: float) -> NDArray[np.float64]:
        inside = (hz >= low_hz) & (hz < high_hz)
        level: NDArray[np.float64] = 10 * np.log10(power[:, inside].sum(axis=1) + 1e-12)
        return level

    def above_floor(level: NDArray[np.float64]) -> NDArray[np.float64]:
        above: NDArray[np.float64] = np.maximum(level - (level.max() - _DYNAMIC_DB), 0.0)
        return above

    first, second = band(350, 1100), band(1100, 2500)
    vowels = above_floor(10 * np.log10(10 ** (first / 10) + 10 ** (second / 10)))
    bright = np.clip(second - first, -25.0, 10.0) * (vowels > 0)
    levels = np.stack((vowels, above_floor(band(3000, 7000)), bright, above_floor(band(120, 350))))
    smooth = _bell(SMOOTHED_MS)
    levels = np.stack([_filtered(level, smooth) for level in levels])
    return _standard(levels - _local_mean(levels)), audio.start_ms


def _predicted(levels: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    """Correlation of ``wanted`` ``(2, n)`` with what ``levels`` ``(4, n)`` predict of it, mean of the two; each moment is
    predicted by weights learnt from all but the ``LEFT_OUT_MS`` around it."""
    count = levels.shape[1]
    at, half = np.arange(count), LEFT_OUT_MS // STEP_MS // 2
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, count)
    own, both = _sums(levels, levels), _sums(levels, wanted)
    kept = count - (high - low)
    gram = own[-1] - (own[high] - own[low]) + RIDGE * kept[:, None, None] * np.eye(len(levels))
    weights = np.linalg.solve(gram, both[-1] - (both[high] - both[low]))
    guess = _standard(np.einsum("nlo,ln->on", weights, levels))
    return float(np.mean(guess * _standard(wanted)))


def _sums(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of products of every row of ``one`` and of ``other`` up to each moment, ``(n + 1, rows, rows)``."""
    products = np.einsum("an,bn->nab", one, other)
    sums: NDArray[np.float64] = np.concatenate((np.zeros((1, *products.shape[1:])), np.cumsum(products, axis=0)))
    return sums


def _standard(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row with mean 0 and standard deviation 1; a row without change becomes 0."""
    spread = rows.std(axis=1, keepdims=True)
    standard: NDArray[np.float64] = (rows - rows.mean(axis=1, keepdims=True)) / np.where(spread > 1e-9, spread, np.inf)
    return standard


def _local_mean(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    bell = _bell(SLOWEST_MS)
    return np.stack([_filtered(row, bell) for row in rows])


def _bell(length_ms: int) -> NDArray[np.float64]:
    """A Hann window of ``length_ms``, an odd number of steps, that sums to 1."""
    bell = np.hanning(length_ms // STEP_MS // 2 * 2 + 3)[1:-1]
    weights: NDArray[np.float64] = bell / bell.sum()
    return weights


def _filtered(row: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    half = len(weights) // 2
    filtered: NDArray[np.float64] = np.convolve(np.pad(row, half, mode="edge"), weights, mode="valid")
    return filtered
