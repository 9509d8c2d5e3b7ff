"""Measures the pipeline on recordings and photographs of real people that were not made for it, part by part.

Each part adds its rates to a list and what it left out to the notes. Nothing here sets a limit: limits stand in
``liveness.policy``, and what is measured is reported as it is.
"""

from __future__ import annotations

import csv
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lab.evaluate_lips import measure_lips
from lab.evaluate_prints import measure_prints
from lab.rates import Rate
from liveness import policy as limits
from liveness.capture import Audio, Capture, Frame
from liveness.challenge import draw_digits
from liveness.decode import decode, decode_picture, decode_sound
from liveness.digits import Language
from liveness.errors import LivenessError
from liveness.evidence import FaceFinder, FaceTrack
from liveness.examine import Engines
from liveness.lips import mouth_range
from liveness.policy import LivenessPolicy
from liveness.template import FaceTemplate, similarity
from liveness.transcripts import agree, edit_distance
from liveness.turns import baseline, performed_turns, yaw_over_time

PARTS = ("speech", "faces", "video", "pad")
"""Folders that are looked for."""

_STRINGS_A_SPEAKER = 25
_WRONG_A_STRING = 6  # one-digit changes that each recording is compared with
_GAP_MS = 300  # between joined digits; they were cut tight
_WINDOW_MS = 600  # of video in which a speaking mouth must move


@dataclass(slots=True, kw_only=True)
class RealFigures:
    """``notes`` says what was left out and gives figures that are no error rates. same, other : similarities of photographs."""

    rates: list[Rate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    same: list[float] = field(default_factory=list, repr=False)
    other: list[float] = field(default_factory=list, repr=False)


def measure_real(
    folder: Path,
    *,
    engines: Engines,
    finder: FaceFinder,
    policy: LivenessPolicy,
    seed: int,
    say: Callable[[str], None],
) -> RealFigures:
    """Measure every part that ``folder`` has. ``say`` gets a line as each part begins."""
    report = RealFigures()
    parts: dict[str, Callable[[], None]] = {
        "speech": lambda: _speech(folder / "speech", engines, report, random.Random(seed)),
        "faces": lambda: _faces(folder / "faces", engines, finder, policy, report),
        "video": lambda: _video(folder / "video", engines, policy, report),
        "pad": lambda: _attack_scores(folder / "pad", engines, finder, policy, report),
    }
    for name, part in parts.items():
        if not (folder / name).is_dir():
            report.notes.append(f"{name}/ is not there: not measured")
            continue
        say(f"measuring {name}")
        start = time.perf_counter()
        part()
        report.seconds[name] = time.perf_counter() - start
    return report


# --- speech ----------------------------------------------------------------------------------------------------------


def join_digits(takes: list[Audio], chance: random.Random, *, gap_ms: int = _GAP_MS) -> Audio:
    """One recording of several digits, ``gap_ms`` of faint noise around each; 16 kHz."""
    rate = takes[0].rate_hz
    noise = np.random.default_rng(chance.randrange(2**32))
    gap = rate * gap_ms // 1000
    pieces: list[NDArray[np.float32]] = [np.zeros(gap, np.float32)]
    for take in takes:
        pieces += [take.samples, np.zeros(gap, np.float32)]
    joined = np.concatenate(pieces)
    return Audio(samples=(joined + noise.normal(0, 0.0005, len(joined))).astype(np.float32), rate_hz=rate)


@dataclass(slots=True, kw_only=True)
class _Heard:
    """Counts of one recogniser, or of both together."""

    not_exact: int = 0
    digit_errors: int = 0


def _speech(folder: Path, engines: Engines, report: RealFigures, chance: random.Random) -> None:
    """Strings of one speaker's digits, heard by every recogniser there is and judged by all of them together."""
    recognisers = engines.recognisers.get(Language.ENGLISH, ())
    if not recognisers:
        report.notes.append("no English recogniser: speech not measured")
        return
    takes: dict[str, dict[str, list[Audio]]] = defaultdict(lambda: defaultdict(list))
    for file in sorted(folder.glob("[0-9]_*_*.wav")):
        digit, speaker, _ = file.stem.split("_", 2)
        takes[speaker][digit].append(decode_sound(file.read_bytes()))
    wrong_accepted = wrong_tried = refused = tried = 0
    engine_counts: dict[str, _Heard] = defaultdict(_Heard)
    spent: dict[str, list[float]] = defaultdict(list)
    for speaker, by_digit in sorted(takes.items()):
        if len(by_digit) < 10:
            report.notes.append(f"speaker {speaker} has not all ten digits: left out")
            continue
        speaker_refused = 0
        for _ in range(_STRINGS_A_SPEAKER):
            wanted = draw_digits(6, chance)
            audio = join_digits([chance.choice(by_digit[digit]) for digit in wanted], chance)
            heard = []
            for recogniser in recognisers:
                start = time.perf_counter()
                heard.append(recogniser.transcribe(audio, language=Language.ENGLISH, expecting=6))
                spent[recogniser.engine].append(time.perf_counter() - start)
                counts = engine_counts[recogniser.engine]
                counts.not_exact += not (heard[-1].accepted and heard[-1].digits == wanted)
                counts.digit_errors += edit_distance(heard[-1].digits, wanted)
            second = heard[1] if len(heard) > 1 else None
            speaker_refused += not agree(heard[0], second, wanted).accepted
            for wrong in _one_digit_off(wanted, chance):
                wrong_tried += 1
                wrong_accepted += agree(heard[0], second, wrong).accepted
        report.rates.append(
            Rate(
                measure=f"digit string not accepted, {speaker}",
                what="genuine",
                errors=speaker_refused,
                tries=_STRINGS_A_SPEAKER,
            )
        )
        refused += speaker_refused
        tried += _STRINGS_A_SPEAKER
    report.rates.append(
        Rate(measure="digit string not accepted, all speakers", what="genuine", errors=refused, tries=tried)
    )
    for engine, counts in engine_counts.items():
        report.rates += [
            Rate(measure=f"  {engine} alone, not exact", what="genuine", errors=counts.not_exact, tries=tried),
            Rate(measure=f"  {engine} alone, digit error", what="genuine", errors=counts.digit_errors, tries=6 * tried),
        ]
        seconds = spent[engine]
        report.notes.append(f"{engine}: {np.median(seconds):.2f} s a string (median), {max(seconds):.2f} s at most")
    report.rates.append(
        Rate(measure="one digit wrong, accepted", what="attack", errors=wrong_accepted, tries=wrong_tried)
    )


def _one_digit_off(wanted: str, chance: random.Random) -> Iterator[str]:
    for _ in range(_WRONG_A_STRING):
        place = chance.randrange(len(wanted))
        other = chance.choice([digit for digit in "0123456789" if digit != wanted[place]])
        yield wanted[:place] + other + wanted[place + 1 :]


# --- faces -----------------------------------------------------------------------------------------------------------


def _faces(folder: Path, engines: Engines, finder: FaceFinder, policy: LivenessPolicy, report: RealFigures) -> None:
    with (folder / "identities.csv").open(newline="", encoding="utf-8") as rows:
        people = {row["file"]: row["person"] for row in csv.DictReader(rows)}
    templates: dict[str, FaceTemplate] = {}
    for name in people:
        image = decode_picture((folder / name).read_bytes())
        faces = [found.face for found in finder.find_every(image) if found.face is not None]
        if faces:
            templates[name] = engines.embedder.embed(image, faces[0].points)
    same: list[float] = []
    other: list[float] = []
    for one, two in combinations(templates, 2):
        (same if people[one] == people[two] else other).append(similarity(templates[one], templates[two]))
    report.same, report.other = same, other
    limit = policy.same_person.value
    report.rates += [
        Rate(
            measure="photograph without a template",
            what="genuine",
            errors=len(people) - len(templates),
            tries=len(people),
        ),
        Rate(
            measure="FNMR, same person told apart", what="genuine", errors=sum(s < limit for s in same), tries=len(same)
        ),
        Rate(
            measure="FMR, different people matched",
            what="attack",
            errors=sum(s >= limit for s in other),
            tries=len(other),
        ),
    ]
    if same and other:
        report.notes.append(
            f"similarity of photographs: same person from {min(same):.3f}, different people to {max(other):.3f}, "
            f"limit {limit:g}"
        )
    photographs = [decode_picture((folder / name).read_bytes()) for name in people]
    rates, notes = measure_prints(photographs, engines=engines, finder=finder, policy=policy)
    report.rates += rates
    report.notes += notes
    crowds = [file for file in sorted(folder.glob("*_people.jpg")) if file.name not in people]
    alone = sum(len(finder.find_every(decode_picture(file.read_bytes()))) < 2 for file in crowds)
    report.rates.append(
        Rate(measure="picture of several people, one seen", what="attack", errors=alone, tries=len(crowds))
    )


# --- video -----------------------------------------------------------------------------------------------------------


def _video(folder: Path, engines: Engines, policy: LivenessPolicy, report: RealFigures) -> None:
    small = policy.on(limits.Path.SMALL_TURNS, extra_time=False)
    invented = invented_small = clips = 0
    for file in sorted([*folder.glob("head_motion_*"), *folder.glob("talking_*"), *folder.glob("grid_*")]):
        captured = _capture(file, policy, report)
        if captured is None:
            continue
        clips += 1
        track = engines.tracker.track(captured)
        invented += _turns(track, policy) > 0
        invented_small += _turns(track, small) > 0
    report.rates += [
        Rate(
            measure=f"clip without turns, a turn seen ({own.turn_yaw.value:g} deg)",
            what="attack",
            errors=e,
            tries=clips,
        )
        for own, e in ((policy, invented), (small, invented_small))
    ]
    _mouths(sorted(folder.glob("grid_*")), engines, policy, report)
    lips = measure_lips(folder, engines, policy)
    report.rates += lips.rates
    report.notes += lips.notes
    for file in sorted(folder.glob("many_people*")):
        captured = _capture(file, policy, report)
        if captured is not None:
            sightings = engines.tracker.track(captured).sightings
            several = sum(len(s.faces) > 1 for s in sightings)
            report.notes.append(f"{file.name}: a second face tracked in {several} of {len(sightings)} frames")


def _capture(file: Path, policy: LivenessPolicy, report: RealFigures) -> Capture | None:
    try:
        return decode(file.read_bytes(), policy=policy)
    except LivenessError as error:
        report.notes.append(f"{file.name}: {error.code}")
        return None


def _turns(track: FaceTrack, policy: LivenessPolicy) -> int:
    front = baseline(track, policy=policy, mirrored=False)
    zero = 0.0 if front is None else front.yaw_deg
    return len(performed_turns(yaw_over_time(track, mirrored=False), zero_deg=zero, policy=policy))


def _mouths(files: list[Path], engines: Engines, policy: LivenessPolicy, report: RealFigures) -> None:
    """Windows in which somebody speaks: the mouth must be seen moving; in a still picture of them it must not."""
    still_mouths = moving_stills = windows = 0
    for file in files:
        captured = _capture(file, policy, report)
        if captured is None:
            continue
        spoken = list(_speech_windows(captured))
        windows += len(spoken)
        live = engines.tracker.track(captured)
        still_mouths += sum(not _moves(live, start, policy) for start in spoken)
        frozen = engines.tracker.track(_frozen(captured))
        moving_stills += sum(_moves(frozen, start, policy) for start in spoken)
    report.rates += [
        Rate(measure="speaking, mouth not seen moving", what="genuine", errors=still_mouths, tries=windows),
        Rate(measure="still photo with voice, mouth seen moving", what="attack", errors=moving_stills, tries=windows),
    ]


def _speech_windows(captured: Capture) -> Iterator[int]:
    """Starts (ms) of windows whose level is within 20 dB of the loudest: somebody speaks there."""
    if captured.audio is None:
        return
    audio = captured.audio
    size = audio.rate_hz * _WINDOW_MS // 1000
    starts = range(0, len(audio.samples) - size + 1, size)
    level = [float(np.sqrt(np.mean(np.square(audio.samples[at : at + size], dtype=np.float64)))) for at in starts]
    for at, loudness in zip(starts, level, strict=True):
        if loudness > max(level) / 10:
            yield audio.start_ms + 1000 * at // audio.rate_hz


def _moves(track: FaceTrack, start_ms: int, policy: LivenessPolicy) -> bool:
    seen = mouth_range(track, start_ms, start_ms + _WINDOW_MS)
    return seen is not None and seen >= policy.mouth_range.value


def _frozen(captured: Capture) -> Capture:
    """The first picture of a capture all the way, with fresh sensor noise on each frame."""
    noise = np.random.default_rng(1)
    first = captured.frames[0].image.astype(np.int16)
    frames = tuple(
        Frame(at_ms=frame.at_ms, image=np.clip(first + noise.integers(-4, 5, first.shape), 0, 255).astype(np.uint8))
        for frame in captured.frames
    )
    return replace(captured, frames=frames)


# --- attack score ----------------------------------------------------------------------------------------------------


def _attack_scores(
    folder: Path, engines: Engines, finder: FaceFinder, policy: LivenessPolicy, report: RealFigures
) -> None:
    for kind, measure, what in (
        ("T", "live photograph, called an attack", "genuine"),
        ("F", "screen, called live", "attack"),
    ):
        errors = tries = 0
        for file in sorted(folder.glob(f"image_{kind}*.jpg")):
            image = decode_picture(file.read_bytes())
            found = finder.find_every(image)
            if not found:
                report.notes.append(f"{file.name}: no face found")
                continue
            tries += 1
            live = engines.spoof.score(image, found[0].box) >= policy.attack_score.value
            errors += live is (kind == "F")
        report.rates.append(Rate(measure=measure, what=what, errors=errors, tries=tries))
