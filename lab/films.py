"""How good the clips of the local generators are, in numbers and pictures of meshes: ``python -m lab.films``.

Films of simulated people, 720p at 24 pictures a second, seen by the same models that judge recordings:

identity      similarity of the faces in the film to the template of whose double it is
jitter        how far landmarks go aside and back from one picture to the next; for a cameo beside the film it was put into
lips          how far the mouth is open at p, b, m and in open vowels
speed         seconds for the film with its marks and file, beside writing the same pictures as they are

    python -m lab.films --seconds 5 --out out/films.json --plots docs/films
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.people import PEOPLE
from lab.portrait import portrait_of
from likeness import motion
from likeness.double import Double
from likeness.encode import encode
from likeness.generate import SHOT_SECONDS, Cameo, Clip, Content, Generator, Line, RenderRequest, Shot, Speech, Story
from likeness.generate_cameo import CameoGenerator
from likeness.generate_portrait import PortraitGenerator
from likeness.generate_story import StoryGenerator
from likeness.label import labelled
from likeness.soundtrack import Sound
from likeness.voice_vits import VitsVoice
from likeness.watermark import Watermark, watermarked
from liveness.capture import Frame, RgbImage
from liveness.detect_onnx import RfbDetector
from liveness.digits import Language
from liveness.embed_insightface import ArcFaceEmbedder
from liveness.evidence import Face
from liveness.faces_mediapipe import MediapipeFaces
from liveness.find import EveryFace
from liveness.lips import mouth_opening
from liveness.template import FaceTemplate, similarity
from liveness.weights import card, open_weights, read_cards

SIZE, FPS = (1280, 720), 24
WHO = ("p01", "p04")
_EVERY = 3  # pictures: identity
_STILL = (1, 4, 5, 6, 33, 133, 263, 362, 168, 10, 151, 9, 98, 327, 50, 280)  # landmarks that no expression moves
_VOWELS, _LIPS = frozenset("ɑaæɔʌ"), frozenset("bmp")
_LEAD_IN_MS = 600
_SCRIPT = "Papa bought a big map. My mother may open it, a mile from the harbour."
_LINES = ("Have you brought my big map?", "Nobody may borrow it.", "Maybe tomorrow.")
_PHOTOGRAPH = (960, 720)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one film. Medians where not said. ``None``: does not apply.

    identity, identity_low : cosine to the template, median and 5th percentile. jitter : thousandths of the eye distance.
    jitter_before : of the film that a cameo was put into. mouth_vowels, mouth_lips : ``liveness.lips.mouth_opening``.
    begin_s : until the first picture can be taken; whole_s : that, drawing, marking and writing; on a clock. cpu_s : the same
        in seconds of one core; write_cpu_s : of writing the same pictures alone.
    """

    name: str
    frames: int
    identity: float | None
    identity_low: float | None
    jitter: float | None
    jitter_before: float | None
    mouth_vowels: float | None
    mouth_lips: float | None
    begin_s: float
    whole_s: float
    cpu_s: float
    write_cpu_s: float

    @property
    def ratio(self) -> float:
        """To writing alone, of work."""
        return self.cpu_s / self.write_cpu_s


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """A film, and the faces in each of its pictures, from left to right."""

    name: str
    frames: list[RgbImage] = field(repr=False)
    faces: list[tuple[Face, ...]] = field(repr=False)


class Studio:
    """Models, two people and what is filmed of them."""

    def __init__(self, weights: Path, seconds: float, *, size: tuple[int, int] = SIZE) -> None:
        cards = {each.id: each for each in read_cards("liveness", "likeness")}

        def folder(name: str) -> Path:
            return open_weights(cards[name], weights)

        landmarker = card("face_landmarker")
        detector = card("face_detector")
        self.seconds, self.size = seconds, size
        self.landmarks = MediapipeFaces(folder("face_landmarker") / landmarker.only_file.path)
        self.finder = EveryFace(
            RfbDetector(folder("face_detector") / detector.only_file.path, detector.only_file.sha256), self.landmarks
        )
        embedder = card("face_embedder").only_file
        self.embedder = ArcFaceEmbedder(folder("face_embedder") / embedder.path, embedder.sha256)
        self.voice = VitsVoice(folder("voice_en"), folder("words_en"), voice_version=cards["voice_en"].model_version)
        self.portraits = tuple(
            portrait_of(PEOPLE[name], landmarks=self.landmarks, finder=self.finder, size=_PHOTOGRAPH).image
            for name in WHO
        )
        self.doubles = tuple(
            Double(subject_id=name, consent_id=name, portrait=portrait, template=self.template(portrait))
            for name, portrait in zip(WHO, self.portraits, strict=True)
        )
        third = _PHOTOGRAPH[0] // 6
        self.together = np.ascontiguousarray(np.concatenate([one[:, third:-third] for one in self.portraits], axis=1))

    def template(self, picture: RgbImage) -> FaceTemplate:
        (found,) = (each.face for each in self.finder.find_every(picture) if each.face is not None)
        return self.embedder.embed(picture, found.points)

    def look(self, name: str, frames: list[RgbImage]) -> Seen:
        every = [tuple(sorted(self.landmarks.find(image), key=lambda face: face.box.x)) for image in frames]
        return Seen(name=name, frames=frames, faces=every)

    def identity(self, seen: Seen, doubles: Sequence[Double]) -> list[float]:
        """Of every face of each third picture, to whose of the doubles it is most alike."""
        found = []
        for image, faces in itertools.islice(zip(seen.frames, seen.faces, strict=True), 0, None, _EVERY):
            for face in faces:
                own = self.embedder.embed(image, face.points)
                found.append(max(similarity(own, double.template) for double in doubles))
        return found


def landscape(seed: int) -> RgbImage:
    """Hills under a sky, nobody there: ``(720, 960, 3) uint8 RGB``."""
    chance = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(_PHOTOGRAPH[0]), np.arange(_PHOTOGRAPH[1]))
    image = np.empty((_PHOTOGRAPH[1], _PHOTOGRAPH[0], 3))
    image[:] = chance.integers(150, 235, 3)
    image += (y / 12)[..., None]
    for depth in range(4):
        hills = (
            300
            + 110 * depth
            + sum(chance.uniform(10, 45) * np.sin(x / chance.uniform(30, 190) + chance.uniform(0, 6)) for _ in range(4))
        )
        image[y > hills] = chance.integers(30, 150, 3) * (0.6 + 0.15 * depth)
    image += chance.normal(0, 5, image.shape[:2])[..., None]
    return np.ascontiguousarray(np.clip(image, 0, 255), np.uint8)


def jitter(seen: Seen) -> float | None:
    """How far landmarks that no expression moves go aside and back within three pictures: median over time of their RMS second
    difference, in thousandths of the distance between the eyes. A head that moves evenly has none."""
    found = []
    for three in zip(seen.faces, seen.faces[1:], seen.faces[2:], strict=False):
        if len({len(faces) for faces in three}) > 1:
            continue
        for before, now, after in zip(*three, strict=True):
            points = [np.asarray(face.landmarks[list(_STILL), :2], np.float64) for face in (before, now, after)]
            eyes = float(np.linalg.norm(now.points[1] - now.points[0]))
            off = points[0] - 2 * points[1] + points[2]
            found.append(1000 * float(np.sqrt(np.square(off).sum(axis=1).mean())) / eyes)
    return float(np.median(found)) if found else None


def main() -> None:
    """Film, measure, draw, print."""
    parser = argparse.ArgumentParser(prog="python -m lab.films", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each film")
    parser.add_argument("--weights", type=Path, default=Path(os.environ.get("MIEN_WEIGHTS", "var/weights")))
    parser.add_argument("--out", type=Path, default=Path("out/films.json"))
    parser.add_argument("--plots", type=Path, help="folder for the pictures")
    parser.add_argument("--films", type=Path, help="folder to keep the films in")
    given = parser.parse_args()
    figures, drawn = measure(Studio(given.weights, given.seconds), keep=given.films)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({"cores": os.cpu_count(), "films": [asdict(each) for each in figures]}, indent=2))
    if given.plots is not None:
        drawn.draw(given.plots, figures)
    print(table(figures))  # noqa: T201 - a program's output


def table(figures: Sequence[Figures]) -> str:
    """For a terminal and for ``docs/films.md``."""

    def shown(value: float | None, digits: int) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    rows = [
        "| film | identity median | 5th percentile | jitter | of the film before | p b m | vowels | seconds | processor "
        "| times writing alone |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in figures:
        rows.append(
            f"| {each.name} | {shown(each.identity, 2)} | {shown(each.identity_low, 2)} | {shown(each.jitter, 1)} "
            f"| {shown(each.jitter_before, 1)} | {shown(each.mouth_lips, 2)} | {shown(each.mouth_vowels, 2)} "
            f"| {each.whole_s:.1f} | {each.cpu_s:.1f} | {each.ratio:.1f} |"
        )
    return "\n".join(rows)


def measure(studio: Studio, *, keep: Path | None = None) -> tuple[list[Figures], Drawn]:
    """Every kind of film once."""
    one, two = studio.doubles
    figures, drawn = [], Drawn()
    speaker = PortraitGenerator(studio.finder, studio.voice, studio.embedder)
    story = StoryGenerator(studio.finder, studio.embedder)
    said = Speech(script=_SCRIPT)

    def film(name: str, generator: Generator, doubles: Sequence[Double], content: Content) -> tuple[Seen, Figures]:
        seen, taken = _filmed(studio, name, generator, doubles, content, keep)
        alike = studio.identity(seen, doubles) if doubles else []
        drawn.identity[name] = alike
        return seen, replace(
            taken,
            identity=float(np.median(alike)) if alike else None,
            identity_low=float(np.percentile(alike, 5)) if alike else None,
            jitter=jitter(seen) if name != "story" else None,  # in a story faces become others
        )

    seen, row = film("portrait", speaker, [one], said)
    vowels, lips = _lips(studio, seen, drawn)
    figures.append(replace(row, mouth_vowels=vowels, mouth_lips=lips))
    lines = tuple(
        Line(text=text, of=who) for text, who in zip(_LINES, (one.subject_id, two.subject_id, None), strict=True)
    )
    seen, row = film("two people", speaker, [one, two], Speech(lines=lines, together=studio.together))
    figures.append(row)
    drawn.meshes = _telling([faces for faces in seen.faces if len(faces) == len(WHO)])
    photographs = (studio.portraits[0], landscape(1), studio.together, studio.portraits[1])
    shots = (Shot(seconds=max(studio.seconds / 3, SHOT_SECONDS[0]), caption="Ten years later"),) * 3
    _, row = film("story", story, [one, two], Story(photographs=photographs, shots=shots, music=_music(studio.seconds)))
    figures.append(row)
    views = tuple(landscape(seed) for seed in (1, 2, 3, 4))
    _, row = film("story of nobody", story, [], Story(photographs=views, shots=shots, music=_music(studio.seconds)))
    figures.append(row)
    acted, _ = _filmed(studio, "the film of a cameo", speaker, [two], said, keep)
    frames = tuple(Frame(at_ms=round(1000 * number / FPS), image=image) for number, image in enumerate(acted.frames))
    cameo = CameoGenerator(studio.finder, studio.landmarks)
    _, row = film("cameo", cameo, [one, two], Cameo(film=frames, face_of=one.subject_id))
    figures.append(replace(row, jitter_before=jitter(acted)))
    return figures, drawn


def _telling(pictures: Sequence[tuple[Face, ...]]) -> list[tuple[Face, ...]]:
    """The first, and those in which the left, the right and both are the furthest open."""
    if not pictures:
        return []
    opened = np.array([[mouth_opening(face) for face in faces] for faces in pictures])
    most = (opened[:, 0] - opened[:, 1], opened[:, 1] - opened[:, 0], opened.min(axis=1))
    return [pictures[0], *(pictures[int(each.argmax())] for each in most)]


def _filmed(
    studio: Studio, name: str, generator: Generator, doubles: Sequence[Double], content: Content, keep: Path | None
) -> tuple[Seen, Figures]:
    """The film, and how long it took: drawn, marked and written as the worker does; then the same pictures written alone."""
    width, height = studio.size
    request = RenderRequest(content=content, width=width, height=height, fps=FPS, max_seconds=60.0)
    with tempfile.TemporaryDirectory() as folder:
        begun, begun_cpu = time.perf_counter(), time.process_time()
        clip = replace_frames(generator.render(doubles, request), round(studio.seconds * FPS))
        ready = time.perf_counter()
        frames: list[RgbImage] = []
        out = (keep or Path(folder)) / f"{name.replace(' ', '-')}.mp4"
        out.parent.mkdir(parents=True, exist_ok=True)
        _write(clip, _marked(_kept(clip.frames, frames), clip), out)
        ended, ended_cpu = time.perf_counter(), time.process_time()
        _write(clip, iter(frames), Path(folder) / "alone.mp4")
        written_cpu = time.process_time()
    timed = Figures(
        name=name,
        frames=len(frames),
        identity=None,
        identity_low=None,
        jitter=None,
        jitter_before=None,
        mouth_vowels=None,
        mouth_lips=None,
        begin_s=ready - begun,
        whole_s=ended - begun,
        cpu_s=ended_cpu - begun_cpu,
        write_cpu_s=written_cpu - ended_cpu,
    )
    return studio.look(name, frames), timed


def replace_frames(clip: Clip, most: int) -> Clip:
    """The first ``most`` pictures of it, and their sound."""
    count = min(clip.frame_count, most)
    return replace(clip, frame_count=count, frames=itertools.islice(clip.frames, count))


def _kept(frames: Iterator[RgbImage], into: list[RgbImage]) -> Iterator[RgbImage]:
    for image in frames:
        into.append(image)
        yield image.copy()


def _marked(frames: Iterator[RgbImage], clip: Clip) -> Iterator[RgbImage]:
    pictures = labelled(frames, width=clip.width, height=clip.height, fps=clip.fps)
    return watermarked(pictures, Watermark(number=1, key=bytes(range(32))), width=clip.width, height=clip.height)


def _write(clip: Clip, frames: Iterator[RgbImage], out: Path) -> None:
    encode(frames, clip.audio, width=clip.width, height=clip.height, fps=clip.fps, out=out)


def _music(seconds: float) -> Sound:
    """A chord that swells, left and right apart."""
    time_s = np.arange(round(seconds * 48_000)) / 48_000
    left, right = (
        sum(np.sin(2 * np.pi * hz * time_s) for hz in chord) * 0.1 * (1 + np.sin(2 * np.pi * 0.3 * time_s + phase)) / 2
        for chord, phase in (((220, 277, 330), 0.0), ((220, 330, 440), 1.0))
    )
    return Sound(samples=np.stack([left, right]).astype(np.float32))


def _lips(studio: Studio, seen: Seen, drawn: Drawn) -> tuple[float, float]:
    """How far the mouth is open in the middle of open vowels and of p, b, m."""
    spoken = studio.voice.say(_SCRIPT, language=Language.ENGLISH)
    openings = np.array([mouth_opening(faces[0]) if faces else np.nan for faces in seen.faces])
    at_ms = np.arange(len(openings)) * 1000 / FPS - _LEAD_IN_MS + motion.LEAD_MS

    def within(symbols: frozenset[str], margin_ms: int) -> float:
        inside = np.zeros(len(at_ms), bool)
        for phone in spoken.phones:
            if phone.symbol in symbols:
                inside |= (at_ms >= phone.start_ms + margin_ms) & (at_ms < phone.end_ms - margin_ms)
        return float(np.nanmedian(openings[inside])) if inside.any() else float("nan")

    drawn.mouth = openings
    drawn.closures_s = [
        ((phone.start_ms + _LEAD_IN_MS) / 1000, (phone.end_ms + _LEAD_IN_MS) / 1000)
        for phone in spoken.phones
        if phone.symbol in _LIPS
    ]
    return within(_VOWELS, 25), within(_LIPS, 15)


@dataclass(slots=True, eq=False)
class Drawn:
    """What the pictures are drawn from."""

    identity: dict[str, list[float]] = field(default_factory=dict)
    mouth: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    closures_s: list[tuple[float, float]] = field(default_factory=list)
    meshes: list[tuple[Face, ...]] = field(default_factory=list)

    def draw(self, folder: Path, figures: Sequence[Figures]) -> None:
        """``identity.png``, ``mouth.png``, ``meshes.png``, ``speed.png``."""
        from matplotlib import pyplot as plt

        folder.mkdir(parents=True, exist_ok=True)
        for name, size, paint in (
            ("identity", (7.5, 3.2), self._identity),
            ("mouth", (7.5, 2.8), self._mouth),
            ("meshes", (11.0, 1.9), self._meshes),
            ("speed", (7.5, 2.8), lambda axes: _speed(axes, figures)),
        ):
            figure, axes = plt.subplots(figsize=size, layout="constrained")
            paint(axes)
            figure.savefig(folder / f"{name}.png", dpi=110)
            plt.close(figure)

    def _identity(self, axes: Any) -> None:
        shown = {name: values for name, values in self.identity.items() if values}
        for row, values in enumerate(shown.values()):
            spread = np.random.default_rng(row).uniform(-0.18, 0.18, len(values))
            axes.scatter(values, row + spread, s=9, color=_BLUE, alpha=0.5, linewidths=0)
            axes.plot([float(np.median(values))] * 2, [row - 0.32, row + 0.32], color=_INK, linewidth=2)
        axes.axvline(0.6, color=_GREEN, linewidth=1, label="goal for the median")
        axes.axvline(0.38, color=_RED, linewidth=1, label="the gate's limit")
        axes.set(yticks=range(len(shown)), yticklabels=list(shown), xlim=(0, 1.02), xlabel="similarity to the template")
        axes.invert_yaxis()
        axes.legend(frameon=False, loc="lower left")

    def _mouth(self, axes: Any) -> None:
        for start, end in self.closures_s:
            axes.axvspan(start, end, color=_FAINT, linewidth=0)
        axes.plot(np.arange(len(self.mouth)) / FPS, self.mouth, color=_BLUE, linewidth=1.4)
        axes.set(
            xlabel="seconds (grey: p, b, m)", ylabel="mouth opening", xlim=(0, len(self.mouth) / FPS), ylim=(0, None)
        )

    def _meshes(self, axes: Any) -> None:
        """Both people of a picture, four times, as the wires of their landmarks."""
        from scipy.spatial import Delaunay  # type: ignore[import-untyped, unused-ignore]

        for number, faces in enumerate(self.meshes):
            start = min(float(face.landmarks[:, 0].min()) for face in faces)
            across = 1.3 * (max(float(face.landmarks[:, 0].max()) for face in self.meshes[0]) - start)
            for face in faces:
                points = np.asarray(face.landmarks[:468, :2], np.float64)
                points[:, 0] += number * across - start
                axes.triplot(points[:, 0], points[:, 1], Delaunay(points).simplices, color=_INK, linewidth=0.25)
        axes.set_aspect("equal")
        axes.invert_yaxis()
        axes.axis("off")


_INK, _FAINT, _GREEN, _RED, _BLUE = "#1d2433", "#dfe4ee", "#1f8a5b", "#c2403a", "#2f5fd0"


def _speed(axes: Any, figures: Sequence[Figures]) -> None:
    rows = range(len(figures))
    axes.barh(rows, [each.cpu_s for each in figures], color=_BLUE, height=0.55)
    axes.barh(rows, [each.write_cpu_s for each in figures], color=_INK, height=0.2)
    axes.set(
        yticks=rows,
        yticklabels=[each.name for each in figures],
        xlabel="seconds of one core (dark: writing the pictures alone)",
    )
    axes.invert_yaxis()


if __name__ == "__main__":
    main()
