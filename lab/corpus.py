"""A corpus of recordings, genuine ones and attacks, each with what was asked of it; and one made of simulated people.

The layout, the same for simulated recordings and for an operator's own:

    genuine/NAME.mp4             a person doing as asked; any recording the service takes (mp4, mov, webm, mkv, avi)
    genuine/NAME.json            what was asked, beside each recording
    attacks/SPECIES/NAME.mp4     one attempt with the attack of that name
    attacks/SPECIES/NAME.json    what was asked of the person attacked

A JSON file holds one object:

    person     who was asked, any name; error rates are split by it
    steps      what was asked, in order, as the command line writes it: "480,left,215,nod2,right";
               or instead "digits": "480215" and "turns": "left,right,left"
    path       standard, small_turns or no_speech                          (default standard)
    language   of the digits: en, zh or ko                                 (default en)
    mirrored   the pictures are mirrored                                   (default false)
    voice      whose voice, where it is not the person's                   (default the person)
    species    the folder's name again                                     (optional; must agree)
    seed       what made it, for simulated recordings                      (optional)
    made_by    which version of the simulator made it                      (optional)
    timing     {"cues_ms": [...], "clock_ratio": 1.0} of a live session    (optional): when each step was shown, on the
               recording's clock, and the recording's seconds per second in which it arrived
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import lab
import likeness
from lab.attacks import SPED_UP, Scene
from lab.errors import LabError
from lab.person import SMALL_TURN_DEG, TURN_DEG, Performance
from lab.processes import Lost, in_processes
from liveness import policy as limits
from liveness.challenge import Challenge, Direction, Reveal, SayDigits, Step, Turn, issue, of_steps, read_steps, written
from liveness.digits import Language
from liveness.evidence import LiveTiming, ShownCue
from liveness.policy import SIMULATED, LivenessPolicy

GENUINE, ATTACKS_FOLDER = "genuine", "attacks"
MEDIA = (".mp4", ".mov", ".webm", ".mkv", ".avi")
SPOKEN_ONLY = frozenset({"wrong_digits", "silent", "earlier_recording", "voice_over", "prompted"})
"""Species whose only fault is in what is said: on the path without speech they would be genuine takes."""

_SIZE = (
    360,
    640,
)  # small pictures: a corpus has thousands of takes, and each check has to hold at the least size allowed
_FPS = 20
_PATIENCE_S = 180
_JUDGING = ("evaluate", "pad_", "rates", "processes", "corpus", "bench", "report", "demo")  # sources that film nothing
_IN_TIME = LiveTiming(cues=(), clock_ratio=1.0)  # its cues are known once it is filmed
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)  # a challenge for judging a file has no clock


class CorpusInvalid(LabError):
    """A recording of the corpus has no sheet, or one that cannot be read."""

    code = "corpus_invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recording and what was asked.

    file : relative to the corpus, with ``/``. species : ``None`` for a genuine one.
    """

    file: str
    species: str | None
    person: str
    voice: str
    path: limits.Path
    language: Language
    mirrored: bool
    steps: tuple[Step, ...]
    seed: int | None = None
    timing: LiveTiming | None = None
    made_by: str | None = None

    @property
    def way(self) -> str:
        """The path, and whether in a live session: error rates are told apart by it."""
        return self.path.value if self.timing is None else f"{self.path.value} live"

    def challenge(self, policy: LivenessPolicy) -> Challenge:
        """What was asked, as the runner judges it."""
        return of_steps(
            self.steps,
            language=self.language,
            policy=policy,
            now=_LONG_AGO,
            path=self.path,
            reveal=Reveal.AT_ONCE if self.timing is None else Reveal.CUE_BY_CUE,
        )

    def sheet(self) -> dict[str, object]:
        """The JSON beside the recording."""
        return {
            "person": self.person,
            "voice": self.voice,
            "path": self.path.value,
            "language": self.language.value,
            "mirrored": self.mirrored,
            "digits": "".join(step.digits for step in self.steps if isinstance(step, SayDigits)),
            "turns": ",".join(step.direction.value for step in self.steps if isinstance(step, Turn)),
            "steps": written(self.steps),
            "species": self.species,
            "seed": self.seed,
            "made_by": self.made_by,
            "timing": None
            if self.timing is None
            else {"cues_ms": [cue.at_ms for cue in self.timing.cues], "clock_ratio": self.timing.clock_ratio},
        }


# --- reading ---------------------------------------------------------------------------------------------------------


def is_corpus(folder: Path) -> bool:
    return (folder / GENUINE).is_dir() or (folder / ATTACKS_FOLDER).is_dir()


def read_corpus(folder: Path) -> tuple[Recording, ...]:
    """Every recording below ``folder``, genuine ones first, by name.

    Raises:
        CorpusInvalid: naming the first recording whose sheet is missing or wrong.
    """
    places: list[tuple[Path, str | None]] = [(folder / GENUINE, None)]
    if (folder / ATTACKS_FOLDER).is_dir():
        places += [(place, place.name) for place in sorted((folder / ATTACKS_FOLDER).iterdir()) if place.is_dir()]
    found = []
    for place, species in places:
        for file in sorted(place.glob("[!.]*")):
            if file.suffix.lower() in MEDIA:
                found.append(_recording(folder, file, species))
    return tuple(found)


def _recording(folder: Path, file: Path, species: str | None) -> Recording:
    name = file.relative_to(folder).as_posix()
    try:
        sheet: dict[str, Any] = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        if not isinstance(sheet, dict):
            raise TypeError("no object")
        if sheet.get("species") not in (None, species):
            raise ValueError("species is not the folder's name")
        return Recording(
            file=name,
            species=species,
            person=_word(sheet, "person"),
            voice=_word(sheet, "voice", _word(sheet, "person")),
            path=limits.Path(_word(sheet, "path", "standard")),
            language=Language(_word(sheet, "language", "en")),
            mirrored=_flag(sheet, "mirrored"),
            steps=_steps(sheet),
            seed=sheet.get("seed"),
            timing=_timing(sheet),
            made_by=sheet.get("made_by"),
        )
    except OSError as error:
        raise CorpusInvalid(f"{name}: its JSON cannot be opened ({type(error).__name__})") from error
    except (ValueError, TypeError, KeyError) as error:
        raise CorpusInvalid(f"{name}: its JSON is wrong: {error}") from error


def _word(sheet: dict[str, Any], name: str, otherwise: str | None = None) -> str:
    value = sheet.get(name, otherwise)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a text")
    return value


def _flag(sheet: dict[str, Any], name: str) -> bool:
    value = sheet.get(name, False)
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be true or false")
    return value


def _steps(sheet: dict[str, Any]) -> tuple[Step, ...]:
    if "steps" in sheet:
        return read_steps(_word(sheet, "steps"))
    turns = tuple(Turn(direction=Direction(side.strip())) for side in _word(sheet, "turns").split(","))
    return (*read_steps(_word(sheet, "digits")), *turns)


def _timing(sheet: dict[str, Any]) -> LiveTiming | None:
    given = sheet.get("timing")
    if given is None:
        return None
    cues = tuple(ShownCue(step=step, at_ms=int(at_ms)) for step, at_ms in enumerate(given["cues_ms"]))
    return LiveTiming(cues=cues, clock_ratio=float(given["clock_ratio"]))


# --- making ----------------------------------------------------------------------------------------------------------


def plan(
    *,
    people: Sequence[str],
    species: Sequence[str],
    paths: Sequence[limits.Path],
    genuine: int,
    attempts: int,
    seed: int,
    live: bool = False,
) -> tuple[Recording, ...]:
    """What to film: ``genuine`` takes, and ``attempts`` of each species, spread evenly over people and paths.

    Species of :data:`SPOKEN_ONLY` are left out of the path on which nothing is said. In rounds, so that a run that is stopped
    leaves some of everything. live : as in a live session, in which each step is shown when its turn comes.
    """
    planned: list[tuple[int, Recording]] = []
    for name in (None, *species):
        ways = [path for path in paths if name is None or path is not limits.Path.NO_SPEECH or name not in SPOKEN_ONLY]
        count = genuine if name is None else attempts
        for number in range(count if ways else 0):
            person = people[number % len(people)]
            path = ways[number // len(people) % len(ways)]
            planned.append((number, _planned(name, person, path, number, seed, live)))
    return tuple(recording for _, recording in sorted(planned, key=lambda each: each[0]))


def _planned(species: str | None, person: str, path: limits.Path, number: int, seed: int, live: bool) -> Recording:
    own = int.from_bytes(hashlib.sha256(f"{seed} {species} {number}".encode()).digest()[:4], "big") >> 1
    asked = issue(
        SIMULATED,
        challenge_id="corpus",
        nonce="0" * 32,
        language=Language.ENGLISH,
        chance=random.Random(f"challenge {own}"),
        now=_LONG_AGO,
        path=path,
        interleaved=True,
    )
    folder = GENUINE if species is None else f"{ATTACKS_FOLDER}/{species}"
    return Recording(
        file=f"{folder}/{number:04d}_{person}_{path.value}{'_live' if live else ''}.mp4",
        species=species,
        person=person,
        voice=person,
        path=path,
        language=Language.ENGLISH,
        mirrored=False,
        steps=asked.steps,
        seed=own,
        timing=_IN_TIME if live else None,
    )


def make_corpus(
    folder: Path,
    recordings: Sequence[Recording],
    *,
    weights: Path,
    jobs: int,
    done: Callable[[int, int], None] = lambda made, of: None,
) -> list[str]:
    """Film what is not there yet, ``jobs`` at a time; gives a line for each recording that could not be made.

    A recording counts as there when its sheet is: the sheet is written last. done : gets how many are ready, and of how many.
    """
    missing = [each for each in recordings if not (folder / each.file).with_suffix(".json").is_file()]
    for place in {(folder / each.file).parent for each in missing}:
        place.mkdir(parents=True, exist_ok=True)
    ready, failed = len(recordings) - len(missing), []
    done(ready, len(recordings))
    for number, answer in in_processes(missing, partial(_camera, folder, weights), jobs=jobs, patience_s=_PATIENCE_S):
        if isinstance(answer, Lost):
            failed.append(f"{missing[number].file}: {answer.code} ({answer.detail})")
        elif answer is not None:
            failed.append(f"{missing[number].file}: {answer}")
        ready += 1
        done(ready, len(recordings))
    return sorted(failed)


def _camera(folder: Path, weights: Path) -> Callable[[Recording], str | None]:
    """What films one recording in a process of its own; gives what went wrong, or ``None``."""
    import cv2

    from lab.simulate import simulate

    made_by = simulator_digest()
    cv2.setNumThreads(1)

    def film(recording: Recording) -> str | None:
        out = folder / recording.file
        part = out.with_name(f".part-{out.name}")
        try:
            made = simulate(
                part,
                steps=recording.steps,
                language=recording.language,
                portrait=None,
                person=recording.person,
                attack=recording.species,
                seed=recording.seed or 0,
                weights=weights,
                turn_deg=SMALL_TURN_DEG if recording.path is limits.Path.SMALL_TURNS else TURN_DEG,
                size=_SIZE,
                fps=_FPS,
                fast=True,
            )
        except LabError as error:
            part.unlink(missing_ok=True)
            return error.code
        os.replace(part, out)
        sheet = replace(_shown(recording, made), made_by=made_by).sheet()
        out.with_suffix(".json").write_text(json.dumps(sheet, indent=1) + "\n", encoding="utf-8")
        return None

    return film


def simulator_digest() -> str:
    """Which version of the simulator this is: the start of the SHA-256 over its sources."""
    digest = hashlib.sha256()
    sources = [file for package in (lab, likeness) for file in sorted(Path(package.__path__[0]).glob("*.py"))]
    for file in sources:
        if not file.name.startswith(_JUDGING):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _shown(recording: Recording, made: Performance) -> Recording:
    """With the times at which the steps were shown, which are those at which the person could begin.

    An attack that does other steps than those asked has no such times: it is shown the next step each time one is due. One that
    is sped up must have been performed at its own pace while the steps were shown: it arrives in more time than it lasts.
    """
    if recording.timing is None:
        return recording
    due = [step.cue_ms for step in made.steps]
    cues = tuple(ShownCue(step=number, at_ms=at_ms) for number, at_ms in enumerate(due[: len(recording.steps)]))
    ratio = 1 / SPED_UP if recording.species == Scene.TIME_COMPRESSED else 1.0
    return replace(recording, timing=LiveTiming(cues=cues, clock_ratio=ratio))
