"""How much a released clip may be damaged before its watermark cannot be read: measured, as a table and a plot for ``docs/``.

    python -m lab.watermark_survival --out docs/watermark

The clips are photographs that scikit-image ships (NASA's astronaut and others in the public domain), moved by an unsteady
camera: hard for a mark that stands still, because the encoder drags it along with the picture. ``--recordings`` measures on
the mp4 files of a folder in their place.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from likeness.encode import encode
from likeness.watermark import Watermark, read, watermarked
from liveness.capture import RgbImage
from liveness.decode import sample_pictures

WIDTH, HEIGHT, FPS, FRAMES = 1280, 720, 30, 45
KEY = bytes(range(32))
CONTENT = ("astronaut", "coffee", "chelsea", "rocket")
_READ_FROM = 12  # pictures

Film = list[RgbImage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Something done to a released clip. ``crf`` of the encoding after it; ``fps`` afterwards."""

    name: str
    change: Callable[[RgbImage], RgbImage]
    crf: int = 26
    fps: int = FPS


def _same(image: RgbImage) -> RgbImage:
    return image


def _sized(width: int, height: int) -> Callable[[RgbImage], RgbImage]:
    return lambda image: np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _short(side: int) -> Callable[[RgbImage], RgbImage]:
    def scaled(image: RgbImage) -> RgbImage:
        height, width = image.shape[:2]
        share = side / min(width, height)
        return _sized(round(width * share / 2) * 2, round(height * share / 2) * 2)(image)

    return scaled


def _cropped(left: float, top: float, right: float, bottom: float, *, back: bool) -> Callable[[RgbImage], RgbImage]:
    def crop(image: RgbImage) -> RgbImage:
        height, width = image.shape[:2]
        part = image[int(height * top) : int(height * (1 - bottom)), int(width * left) : int(width * (1 - right))]
        size = (width, height) if back else (part.shape[1] // 2 * 2, part.shape[0] // 2 * 2)
        return _sized(*size)(part)

    return crop


def _light(gain: float, offset: float) -> Callable[[RgbImage], RgbImage]:
    return lambda image: np.clip(image.astype(np.float32) * gain + offset, 0, 255).astype(np.uint8)


def _mirrored(image: RgbImage) -> RgbImage:
    return np.ascontiguousarray(image[:, ::-1])


DAMAGES = (
    Damage(name="as released", change=_same, crf=0),
    Damage(name="H.264 crf 23", change=_same, crf=23),
    Damage(name="H.264 crf 28", change=_same, crf=28),
    Damage(name="H.264 crf 33", change=_same, crf=33),
    Damage(name="480p and back", change=lambda image: _sized(image.shape[1], image.shape[0])(_short(480)(image))),
    Damage(name="480p", change=_short(480), crf=28),
    Damage(name="360p", change=_short(360), crf=28),
    Damage(name="crop 5 % a side", change=_cropped(0.05, 0.05, 0.05, 0.05, back=False)),
    Damage(name="crop 10 % a side, back to size", change=_cropped(0.1, 0.1, 0.1, 0.1, back=True)),
    Damage(name="crop 8 % of one side", change=_cropped(0.08, 0, 0, 0, back=False)),
    Damage(name="30 to 24 pictures a second", change=_same, fps=24),
    Damage(name="brighter, more contrast", change=_light(1.25, 12)),
    Damage(name="darker, less contrast", change=_light(0.7, 10)),
    Damage(name="mirrored", change=_mirrored),
)


def content(name: str) -> Iterator[RgbImage]:
    """The clip before it is marked."""
    from skimage import data

    photograph = np.asarray(getattr(data, name)())[..., :3]
    times = max((WIDTH + 80) / photograph.shape[1], (HEIGHT + 80) / photograph.shape[0])
    large = cv2.resize(photograph, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    for number in range(FRAMES):
        right, down = -40 - 10 * math.sin(number / 11), -40 - 6 * math.cos(number / 8)
        place = np.array([[1, 0, right], [0, 1, down]], np.float32)
        yield np.asarray(cv2.warpAffine(large, place, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR), np.uint8)


def encoded(film: Sequence[RgbImage], folder: Path, *, crf: int, fps: int) -> bytes:
    """H.264 of a film, as a file's bytes."""
    height, width = film[0].shape[:2]
    out = folder / "clip.mp4"
    encode(iter(film), None, width=width, height=height, fps=fps, out=out, crf=crf)
    return out.read_bytes()


def decoded(data: bytes, every_ms: int = 200) -> Film:
    """Pictures of it, spread."""
    return [frame.image for frame in sample_pictures(data, every_ms)]


def measured(name: str, plain: Film, number: int, folder: Path) -> dict[str, object]:
    """One clip: how it looks, and which damages its mark lives through, in a clip and in one picture of it."""
    from skimage.metrics import structural_similarity

    mark = Watermark(number=number, key=KEY)
    height, width = plain[0].shape[:2]
    marked = list(watermarked(iter(plain), mark, width=width, height=height))
    middle = len(plain) // 2
    error = float(np.mean((plain[middle].astype(np.float64) - marked[middle]) ** 2))
    alike = structural_similarity(plain[middle], marked[middle], channel_axis=2)  # type: ignore[no-untyped-call]
    before, released = (encoded(film, folder, crf=20, fps=FPS) for film in (plain, marked))
    row: dict[str, object] = {
        "content": name,
        "psnr_db": round(10 * math.log10(255**2 / error), 1),
        "ssim": round(float(alike), 4),
        "bytes_more": round(len(released) / len(before) - 1, 2),
        "size": f"{width}x{height}",
        "false_alarm": read(decoded(before)[:_READ_FROM], KEY) is not None,
    }
    (folder / "released.mp4").write_bytes(released)
    film = _whole(released)
    lived: dict[str, dict[str, bool]] = {}
    for damage in DAMAGES:
        if damage.crf == 0:
            data = released
        else:
            places = range(len(film)) if damage.fps == FPS else _indexes(damage.fps)
            kept = [film[round(place * FPS / damage.fps)] for place in places]
            data = encoded([damage.change(image) for image in kept], folder, crf=damage.crf, fps=damage.fps)
        pictures = decoded(data)
        spread = pictures[:: max(1, len(pictures) // _READ_FROM)]
        found = {"clip": _right(spread, number), "one picture": _right([pictures[len(pictures) // 2]], number)}
        lived[damage.name] = found
        print(name, damage.name, found, flush=True)  # noqa: T201
    return row | {"lived": lived}


def _whole(data: bytes) -> Film:
    """Every picture of it."""
    from liveness.decode import open_recording
    from liveness.policy import SIMULATED

    every = replace(SIMULATED, analysis_fps=replace(SIMULATED.analysis_fps, value=float(FPS)))
    with open_recording(data, policy=every) as recording:
        return [picture.full_size() for picture in recording.pictures()]


def _indexes(fps: int) -> range:
    return range(int((FRAMES - 1) * fps / FPS))


def _right(pictures: Sequence[RgbImage], number: int) -> bool:
    reading = read(pictures, KEY)
    return reading is not None and reading.number == number


def plot(rows: Sequence[dict[str, object]], out: Path) -> None:
    """Share of clips whose mark was read, per damage."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.2), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(DAMAGES))
    for offset, kind, colour in ((-0.2, "clip", "#1f6f8b"), (0.2, "one picture", "#e0a458")):
        axes.barh(places + offset, _shares(rows, kind), height=0.36, label=kind, color=colour)
    axes.set_yticks(places, [damage.name for damage in DAMAGES])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"% of {len(rows)} clips whose watermark was read")
    axes.legend(loc="lower left")
    figure.savefig(out, dpi=110)


def _shares(rows: Sequence[dict[str, object]], kind: str) -> list[float]:
    shares = []
    for damage in DAMAGES:
        lived = [row["lived"] for row in rows]
        hits = sum(bool(each[damage.name][kind]) for each in lived if isinstance(each, dict))
        shares.append(100 * hits / len(rows))
    return shares


def table(rows: Sequence[dict[str, object]]) -> str:
    """The same as Markdown."""
    lines = ["| damage | clip | one picture of it |", "| --- | --- | --- |"]
    counts = zip(DAMAGES, _shares(rows, "clip"), _shares(rows, "one picture"), strict=True)
    for damage, clip, single in counts:
        of = len(rows)
        lines.append(f"| {damage.name} | {round(clip * of / 100)} of {of} | {round(single * of / 100)} of {of} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and write ``survival.json``, ``survival.png`` and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recordings", type=Path, help="a folder with mp4 files to measure on")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found = [] if options.recordings is None else sorted(options.recordings.glob("*.mp4"))
    films: dict[str, Callable[[], Film]] = {
        file.stem: partial(lambda file: _whole(file.read_bytes())[:FRAMES], file) for file in found
    } or {name: partial(lambda name: list(content(name)), name) for name in CONTENT}
    rows = []
    for at, (name, film) in enumerate(films.items()):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measured(name, film(), 0x9A00000000 + 977 * at, Path(folder)))
        (options.out / "survival.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    plot(rows, options.out / "survival.png")
    print(table(rows))  # noqa: T201


if __name__ == "__main__":
    main()
