"""How often the output check is wrong: clips of simulated people that are as permitted, and clips with a wrong, an extra or a
missing face, looked at with the real models; and how long a clip of five seconds takes.

    python -m benchmarks.outputs 50 --json out/bench-outputs.json

People are those of :mod:`lab.people`; in half of the clips they turn their heads by up to 25 degrees. The wrong clips are
as many of each kind: somebody else, somebody else for half a second, somebody more, somebody missing, nobody. Label and
manifest are left out: they do not err by chance.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np

from api.engines import Bounded, FaceEngines, open_faces
from api.outputs import look
from api.settings import read_settings
from benchmarks.report import report
from consent.gate import Obligations, Permit
from consent.output import Marked, OutputReason, check_output
from lab.bench import Figure
from lab.footage import Actor
from lab.people import PEOPLE
from lab.portrait import portrait_of
from lab.simulate import faces_of
from likeness.encode import encode
from likeness.mesh import Pose
from liveness.capture import RgbImage
from liveness.policy import STRICT
from liveness.template import FaceTemplate

_SIZE = (480, 640)  # of one person, width and height; two stand side by side
_FPS, _SECONDS = 8, 2
_TURN_DEG = 25.0
_WRONG = ("other", "other for half a second", "extra", "missing", "nobody")
"""Stands for what is wrong with a clip; each is made as often as the next."""


def measure(count: int) -> list[Figure]:
    """``count`` clips of each sort."""
    settings = read_settings(os.environ)
    finder, embedder = open_faces(settings)
    engines = FaceEngines(finder=finder, embedder=embedder, languages=frozenset(), bound=Bounded(1))
    landmarks, all_faces = faces_of(settings.weights)
    actors = {
        name: Actor.of(portrait_of(person, landmarks=landmarks, finder=all_faces, size=_SIZE), landmarks)
        for name, person in PEOPLE.items()
    }
    templates = {name: _enrolled(actor, engines) for name, actor in actors.items()}
    known = [name for name in actors if templates[name]]
    released, withheld = 0, 0
    still, turning = [0, 0], [0, 0]
    for number in range(count):
        pair = [known[number % len(known)], known[(number + 1 + number // len(known)) % len(known)]]
        people = pair[: 1 + number % 2]
        found = _why(_clip(actors, [people], number), people, templates, engines)
        tally = turning if _turns(number) else still
        tally[0], tally[1] = tally[0] + (not found), tally[1] + 1
        released += not found
        withheld += bool(_why(*_made_wrong(actors, known, pair, number), templates, engines))
    seconds = _five_seconds(actors, known, engines)
    of, goal = f"of {count}", str(count)
    return [
        Figure(what="wrong clips withheld", value=withheld, unit=of, goal=goal),
        Figure(what="right clips released", value=released, unit=of, goal=goal),
        Figure(what="right clips released, heads at rest", value=still[0], unit=f"of {still[1]}"),
        Figure(what="right clips released, heads turning 25 degrees", value=turning[0], unit=f"of {turning[1]}"),
        Figure(what="a 5 s clip of 720p with one person looked at", value=seconds, unit="s"),
    ]


def _turns(number: int) -> bool:
    return number // 2 % 2 == 1


def _enrolled(actor: Actor, engines: FaceEngines) -> tuple[FaceTemplate, ...]:
    """Two looks, as a live check leaves them."""
    found = []
    for yaw in (0.0, 6.0):
        image = actor.seen(Pose(yaw_deg=yaw))
        faces = engines.finder.find_every(image)
        if faces and faces[0].face is not None:
            found.append(engines.embedder.embed(image, faces[0].face.points))
    return tuple(found)


def _made_wrong(
    actors: Mapping[str, Actor], known: Sequence[str], pair: Sequence[str], number: int
) -> tuple[bytes, list[str]]:
    """A clip, and who was permitted."""
    stranger = next(name for name in (*known[number % len(known) :], *known) if name not in pair)
    match _WRONG[number % len(_WRONG)]:
        case "other":
            return _clip(actors, [[stranger]], number), [pair[0]]
        case "other for half a second":
            half = _FPS // 2
            shown = [[pair[0]]] * half + [[stranger]] * half + [[pair[0]]] * (_FPS * _SECONDS - 2 * half)
            return _clip(actors, shown, number), [pair[0]]
        case "extra":
            return _clip(actors, [[pair[0], stranger]], number), [pair[0]]
        case "missing":
            return _clip(actors, [[pair[0]]], number), list(pair)
        case _:
            return _clip(actors, [[]], number), [pair[0]]


def _clip(actors: Mapping[str, Actor], shown: Sequence[Sequence[str]], number: int) -> bytes:
    """``shown``: who is in each picture; the same in all when there is one entry."""
    count, most = _FPS * _SECONDS, max(len(people) for people in shown)
    width = _SIZE[0] * max(1, most)

    def pictures() -> Iterator[RgbImage]:
        for at in range(count):
            picture = np.full((_SIZE[1], width, 3), 96, np.uint8)
            for place, name in enumerate(shown[at if len(shown) > 1 else 0]):
                picture[:, place * _SIZE[0] : (place + 1) * _SIZE[0]] = actors[name].seen(_pose(at / count, number))
            yield picture

    return _encoded(pictures(), width=width, height=_SIZE[1], fps=_FPS)


def _pose(share: float, number: int) -> Pose:
    """Where a head is after this share of a clip."""
    swing = math.sin(2 * math.pi * share + number)
    yaw = _TURN_DEG * swing if _turns(number) else 4 * swing
    return Pose(yaw_deg=yaw, roll_deg=3 * swing, jaw_open=0.3 * abs(swing), shift_x=0.05 * swing)


def _encoded(pictures: Iterator[RgbImage], *, width: int, height: int, fps: int) -> bytes:
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as folder:
        out = Path(folder) / "clip.mp4"
        encode(pictures, None, width=width, height=height, fps=fps, out=out)
        return out.read_bytes()


def _why(
    clip: bytes, people: Sequence[str], templates: Mapping[str, Sequence[FaceTemplate]], engines: FaceEngines
) -> tuple[OutputReason, ...]:
    """The reasons that are about faces."""
    seen = replace(look(clip, engines), labelled=True, manifest=Marked.OURS)
    # of a permit only this is read; a whole one is made nowhere but by the gate
    permit = SimpleNamespace(consents=tuple((name, name) for name in people), obligations=Obligations(max_seconds=10))
    theirs = {name: templates[name] for name in people}
    return check_output(cast("Permit", permit), seen, theirs, same_person=STRICT.same_person.value)


def _five_seconds(actors: Mapping[str, Actor], known: Sequence[str], engines: FaceEngines) -> float:
    def pictures() -> Iterator[RgbImage]:
        for at in range(5 * 24):
            picture = np.full((720, 1280, 3), 96, np.uint8)
            seen = actors[known[0]].seen(_pose(at / 120, 0))
            picture[40 : 40 + seen.shape[0], 400 : 400 + seen.shape[1]] = seen
            yield picture

    clip = _encoded(pictures(), width=1280, height=720, fps=24)
    look(clip, engines)
    start = time.perf_counter()
    look(clip, engines)
    return time.perf_counter() - start


if __name__ == "__main__":
    report(__doc__, measure, count=50, noun="clips of each sort")
