"""What looking at a finished clip costs: ``python -m benchmarks.output_check SECONDS``. For each local generator: seconds to
make and encode a clip of simulated people, seconds to look at who is in it, and how alike each face still is to its person.

The weights are those of the settings (``MIEN_WEIGHTS``).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from api.engines import FaceEngines, open_face_engines, open_generator
from api.outputs import LOOKED_AT, OWN_LOOKED_AT, look
from api.settings import read_settings
from benchmarks.report import report, timed
from consent.output import OutputSeen
from lab.bench import Figure
from lab.people import PEOPLE
from lab.portrait import portrait_of
from lab.simulate import faces_of
from likeness.double import Double
from likeness.encode import encode
from likeness.generate import Cameo, Content, RenderRequest, Shot, Speech, Story
from likeness.label import labelled
from liveness.capture import Audio, Frame, RgbImage
from liveness.policy import STRICT
from liveness.template import similarity

_SECONDS = 5
_SIZE, _FPS = (1280, 720), 24
_RATE_HZ = 16_000


def main() -> None:
    report(__doc__, measure, count=_SECONDS, noun="seconds of each clip")


def measure(count: int) -> list[Figure]:
    """Figures of clips that long, of two people whom the embedder tells apart."""
    settings = read_settings(os.environ)
    engines = open_face_engines(settings)
    landmarks, finder = faces_of(settings.weights)
    one, two = (
        portrait_of(PEOPLE[name], landmarks=landmarks, finder=finder, size=_SIZE).image for name in ("p00", "p05")
    )
    doubles = [_double(portrait, number, engines) for number, portrait in enumerate((one, two))]
    shot = (Shot(seconds=float(count)),)
    height, width = one.shape[:2]
    closer = np.ascontiguousarray(one[height // 18 : -height // 18, width // 6 : -width // 6])
    clips: dict[str, tuple[str, Content, list[Double]]] = {
        "portrait": ("portrait", Speech(sound=_babble(count)), doubles[:1]),
        "story of one person": ("story", Story(photographs=(one, closer), shots=shot), doubles[:1]),
        "story of two people": ("story", Story(photographs=(one, two), shots=shot), doubles),
        "cameo": ("cameo", Cameo(film=_film(two, count), face_of="sub-0"), doubles),
    }
    look(_warm(one), engines)  # models are made at their first use
    found: list[Figure] = []
    for name, (kind, content, people) in clips.items():
        found += _figures(name, kind, content, people, engines, count)
    return found


def _figures(
    name: str, kind: str, content: Content, people: Sequence[Double], engines: FaceEngines, seconds: int
) -> list[Figure]:
    generator = open_generator(read_settings(os.environ), kind, engines)
    request = RenderRequest(content=content, width=_SIZE[0], height=_SIZE[1], fps=_FPS, max_seconds=seconds + 2.0)
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as folder:
        out = Path(folder) / "clip.mp4"

        def make() -> None:
            clip = generator.render(people, request)
            shown = labelled(clip.frames, width=clip.width, height=clip.height, fps=clip.fps)
            encode(shown, clip.audio, width=clip.width, height=clip.height, fps=clip.fps, out=out)

        made_s, _ = timed(make)
        data = out.read_bytes()
    own_s, _ = timed(lambda: look(data, engines, policy=OWN_LOOKED_AT))
    often_s, oftener = timed(lambda: look(data, engines, policy=LOOKED_AT))
    alike = _alike(oftener, people)
    return [
        Figure(what=f"{name}, {seconds} s of {_SIZE[1]}p: made and encoded", value=made_s, unit="s"),
        Figure(what="  looked at twice a second, as clips made here are", value=own_s, unit="s"),
        Figure(what="    in parts of making it", value=own_s / made_s, unit="parts"),
        Figure(what="  looked at four times a second, as vendors' clips are", value=often_s, unit="s"),
        Figure(what="  faces seen", value=len(oftener.faces), unit="faces"),
        Figure(
            what="  the face least like its person",
            value=min(alike),
            unit="cosine",
            goal=f">= {STRICT.same_person.value}",
        ),
        Figure(what="  the median", value=float(np.median(alike)), unit="cosine"),
    ]


def _warm(portrait: RgbImage) -> bytes:
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as folder:
        out = Path(folder) / "one.mp4"
        encode(iter([portrait] * 2), None, width=_SIZE[0], height=_SIZE[1], fps=_FPS, out=out)
        return out.read_bytes()


def _alike(seen: OutputSeen, people: Sequence[Double]) -> list[float]:
    """Of each face to whom it is most like; -1 for one that could not be measured."""
    return [
        -1.0 if face.template is None else max(similarity(face.template, double.template) for double in people)
        for face in seen.faces
    ]


def _double(portrait: RgbImage, number: int, engines: FaceEngines) -> Double:
    (found,) = engines.finder.find_every(portrait)
    if found.face is None:
        raise SystemExit("the portrait's face cannot be measured")
    template = engines.embedder.embed(portrait, found.face.points)
    return Double(subject_id=f"sub-{number}", consent_id=f"cns-{number}", portrait=portrait, template=template)


def _film(portrait: RgbImage, seconds: int) -> tuple[Frame, ...]:
    """Somebody who sways."""
    wide, width = np.pad(portrait, ((0, 0), (30, 30), (0, 0)), mode="edge"), portrait.shape[1]
    starts = (30 + round(30 * np.sin(number / 12)) for number in range(seconds * _FPS))
    return tuple(
        Frame(at_ms=round(1000 * number / _FPS), image=np.ascontiguousarray(wide[:, start : start + width]))
        for number, start in enumerate(starts)
    )


def _babble(seconds: int) -> Audio:
    """Four swells a second, as loud as speech."""
    at = np.arange(_RATE_HZ * seconds) / _RATE_HZ
    swell = np.clip(np.sin(2 * np.pi * 4 * at), 0, None)
    return Audio(samples=(0.4 * swell * np.sin(2 * np.pi * 220 * at)).astype(np.float32), rate_hz=_RATE_HZ)


if __name__ == "__main__":
    main()
