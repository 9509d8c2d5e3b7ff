"""Measures this machine's pipeline on recordings of real people, with exact bounds.

The folder is laid out so (whatever is missing is left out of the report, and said):

    speech/D_SPEAKER_TAKE.wav     one spoken digit each; joined here into six-digit strings
    faces/identities.csv, *.jpg   columns person,file; and pictures of several people named in no row
    video/grid_*.mpg              one person saying a sentence
    video/head_motion_*.mp4, talking_*.mp4   people who move the head less than a turn
    video/many_people.mp4         several people
    pad/image_T*.jpg, image_F*.jpg   a live face, and a face shown on a screen

Nothing here sets a limit: limits stand in ``liveness.policy``, and what is measured is reported as it is. Terms as in
ISO/IEC 30107-3 (APCER, BPCER) and 19795-1 (FMR, FNMR).
"""

from __future__ import annotations

import csv
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from liveness.capture import Audio, Capture, Frame
from liveness.challenge import draw_digits
from liveness.checks import mouth_range, said
from liveness.decode import decode, decode_picture, decode_sound
from liveness.digits import Language
from liveness.errors import LivenessError
from liveness.evidence import FaceFinder, FaceTrack
from liveness.examine import Engines
from liveness.policy import STRICT, LivenessPolicy
from liveness.template import FaceTemplate, similarity
from liveness.turns import baseline, performed_turns, yaw_over_time

_STRINGS_A_SPEAKER = 25
_WRONG_A_STRING = 6  # one-digit changes that each recording is compared with
_GAP_MS = 300  # between joined digits; they were cut tight
_WINDOW_MS = 600  # of video in which a speaking mouth must move


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Errors among tries, with the exact (Clopper-Pearson) one-sided 95 % upper bound of the error rate."""

    measure: str
    what: str
    errors: int
    tries: int

    @property
    def rate(self) -> float:
        return self.errors / self.tries if self.tries else float("nan")

    @property
    def upper95(self) -> float:
        from scipy.stats import beta

        if self.errors >= self.tries:
            return 1.0
        return float(beta.ppf(0.95, self.errors + 1, self.tries - self.errors))


@dataclass(slots=True, kw_only=True)
class Report:
    """All that was measured. ``notes`` says what was left out and gives figures that are no error rates."""

    policy: str
    models: dict[str, str]
    rates: list[Rate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        return {
            "policy": self.policy,
            "models": self.models,
            "rates": [
                asdict(rate) | {"rate": round(rate.rate, 4) if rate.tries else None, "upper95": round(rate.upper95, 4)}
                for rate in self.rates
            ],
            "notes": self.notes,
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }

    def table(self) -> str:
        lines = [f"{'measure':<44}{'errors':>8}{'tries':>8}{'rate':>9}{'<= (95 %)':>11}"]
        lines += [
            f"{rate.measure:<44}{rate.errors:>8}{rate.tries:>8}{rate.rate:>9.1%}{rate.upper95:>11.1%}"
            for rate in self.rates
        ]
        return "\n".join([*lines, "", *(f"note: {note}" for note in self.notes)])


def evaluate(
    folder: Path,
    *,
    engines: Engines,
    finder: FaceFinder,
    policy: LivenessPolicy = STRICT,
    seed: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Measure everything that ``folder`` has recordings for. ``say`` gets a line as each part begins."""
    report = Report(policy=f"{policy.name}@{policy.version}", models=engines.versions(Language.ENGLISH))
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


def _speech(folder: Path, engines: Engines, report: Report, chance: random.Random) -> None:
    recogniser = engines.recognisers.get(Language.ENGLISH)
    if recogniser is None:
        report.notes.append("no English recogniser: speech not measured")
        return
    takes: dict[str, dict[str, list[Audio]]] = defaultdict(lambda: defaultdict(list))
    for file in sorted(folder.glob("[0-9]_*_*.wav")):
        digit, speaker, _ = file.stem.split("_", 2)
        takes[speaker][digit].append(decode_sound(file.read_bytes()))
    wrong_accepted = wrong_tried = not_exact = tried = digit_errors = digits_tried = 0
    spent: list[float] = []
    for speaker, by_digit in sorted(takes.items()):
        if len(by_digit) < 10:
            report.notes.append(f"speaker {speaker} has not all ten digits: left out")
            continue
        missed = 0
        for _ in range(_STRINGS_A_SPEAKER):
            wanted = draw_digits(6, chance)
            audio = join_digits([chance.choice(by_digit[digit]) for digit in wanted], chance)
            start = time.perf_counter()
            heard = recogniser.transcribe(audio, language=Language.ENGLISH, expecting=6)
            spent.append(time.perf_counter() - start)
            missed += not said(heard, wanted)
            digit_errors += edit_distance(heard.digits, wanted)
            digits_tried += len(wanted)
            for wrong in _one_digit_off(wanted, chance):
                wrong_tried += 1
                wrong_accepted += said(heard, wrong)
        report.rates.append(
            Rate(
                measure=f"digit string not accepted, {speaker}", what="genuine", errors=missed, tries=_STRINGS_A_SPEAKER
            )
        )
        not_exact += missed
        tried += _STRINGS_A_SPEAKER
    report.rates += [
        Rate(measure="digit string not accepted, all speakers", what="genuine", errors=not_exact, tries=tried),
        Rate(measure="digit error", what="genuine", errors=digit_errors, tries=digits_tried),
        Rate(measure="one digit wrong, accepted", what="attack", errors=wrong_accepted, tries=wrong_tried),
    ]
    if spent:
        report.notes.append(
            f"{recogniser.engine}: {np.median(spent):.2f} s a string (median), {max(spent):.2f} s at most"
        )


def _one_digit_off(wanted: str, chance: random.Random) -> Iterator[str]:
    for _ in range(_WRONG_A_STRING):
        place = chance.randrange(len(wanted))
        other = chance.choice([digit for digit in "0123456789" if digit != wanted[place]])
        yield wanted[:place] + other + wanted[place + 1 :]


def edit_distance(one: str, other: str) -> int:
    """Levenshtein: insertions, deletions and substitutions between two strings."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


# --- faces -----------------------------------------------------------------------------------------------------------


def _faces(folder: Path, engines: Engines, finder: FaceFinder, policy: LivenessPolicy, report: Report) -> None:
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
            f"similarity: same person from {min(same):.3f}, different people to {max(other):.3f}, limit {limit:g}"
        )
    crowds = [file for file in sorted(folder.glob("*_people.jpg")) if file.name not in people]
    alone = sum(len(finder.find_every(decode_picture(file.read_bytes()))) < 2 for file in crowds)
    report.rates.append(
        Rate(measure="picture of several people, one seen", what="attack", errors=alone, tries=len(crowds))
    )


# --- video -----------------------------------------------------------------------------------------------------------


def _video(folder: Path, engines: Engines, policy: LivenessPolicy, report: Report) -> None:
    invented = clips = 0
    for file in sorted([*folder.glob("head_motion_*"), *folder.glob("talking_*"), *folder.glob("grid_*")]):
        captured = _capture(file, policy, report)
        if captured is None:
            continue
        clips += 1
        track = engines.tracker.track(captured)
        invented += _turns(track, policy) > 0
    report.rates.append(Rate(measure="clip without turns, a turn seen", what="attack", errors=invented, tries=clips))
    _mouths(sorted(folder.glob("grid_*")), engines, policy, report)
    for file in sorted(folder.glob("many_people*")):
        captured = _capture(file, policy, report)
        if captured is not None:
            sightings = engines.tracker.track(captured).sightings
            several = sum(len(s.faces) > 1 for s in sightings)
            report.notes.append(f"{file.name}: a second face tracked in {several} of {len(sightings)} frames")


def _capture(file: Path, policy: LivenessPolicy, report: Report) -> Capture | None:
    try:
        return decode(file.read_bytes(), policy=policy)
    except LivenessError as error:
        report.notes.append(f"{file.name}: {error.code}")
        return None


def _turns(track: FaceTrack, policy: LivenessPolicy) -> int:
    front = baseline(track, policy=policy, mirrored=False)
    zero = 0.0 if front is None else front.yaw_deg
    return len(performed_turns(yaw_over_time(track, mirrored=False), zero_deg=zero, policy=policy))


def _mouths(files: list[Path], engines: Engines, policy: LivenessPolicy, report: Report) -> None:
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


def _attack_scores(folder: Path, engines: Engines, finder: FaceFinder, policy: LivenessPolicy, report: Report) -> None:
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
