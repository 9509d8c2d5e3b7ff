"""A simulated person in front of a browser's camera.

They are filmed beforehand (:mod:`lab.live_client`), doing the steps of one challenge at a pace that fits both ways of the page:
each step begins some two seconds after the one before is over, when the page has long shown it. The film begins when the page
begins to record; nothing in it comes twice, for the judge would see that.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import BrowserContext, Route

from lab.live_client import live_person
from likeness.soundtrack import SOUND_RATE_HZ
from liveness.challenge import SayDigits, Step

SIZE, FPS = (360, 480), 20
_ROOT = Path(__file__).resolve().parents[2]
_BEHAVIOUR = Path(__file__).with_name("person.js")
_FIRST_MS, _TURN_MS, _DIGIT_MS, _WORDS_MS = 1500, 3500, 780, 1350
_END_MS = 1500


@dataclass(frozen=True)
class Film:
    """pictures : JPEGs, ``FPS`` a second. sound : float32 samples, 48 kHz mono."""

    pictures: tuple[bytes, ...]
    sound: bytes

    def to_json(self) -> str:
        sizes = [len(picture) for picture in self.pictures]
        return json.dumps({"fps": FPS, "width": SIZE[0], "height": SIZE[1], "rate": SOUND_RATE_HZ, "sizes": sizes})


def filmed(weights: Path, steps: Sequence[Step], *, seed: int = 5) -> Film:
    """The default portrait with the default voice, doing these steps. Kept under ``out``: it takes a quarter of a minute."""
    script = f"{steps} {seed}".encode() + Path(__file__).read_bytes()
    kept = _ROOT / "out" / "films" / hashlib.sha256(script).hexdigest()[:16]
    if not kept.is_dir():
        film, folder = filmed_anew(weights, steps, seed=seed), kept.with_suffix(f".{os.getpid()}")
        folder.mkdir(parents=True)
        (folder / "sizes").write_text(json.dumps([len(picture) for picture in film.pictures]))
        (folder / "pictures").write_bytes(b"".join(film.pictures))
        (folder / "sound").write_bytes(film.sound)
        folder.rename(kept)
    sizes, pictures = json.loads((kept / "sizes").read_text()), io.BytesIO((kept / "pictures").read_bytes())
    return Film(tuple(pictures.read(size) for size in sizes), (kept / "sound").read_bytes())


def filmed_anew(weights: Path, steps: Sequence[Step], *, seed: int = 5) -> Film:
    """The same for steps that were drawn a moment ago and will not be drawn again: nothing of it is kept."""
    person = live_person(
        weights, seed=seed, size=SIZE, turn_deg=(34.0, 36.0)
    )  # well round: the encoder takes its share
    asked, at_ms = {}, _FIRST_MS
    for step in steps:
        asked[at_ms * FPS // 1000] = step
        at_ms += _WORDS_MS + _DIGIT_MS * len(step.digits) if isinstance(step, SayDigits) else _TURN_MS
    pictures, sounds = [], []
    for number in range((at_ms + _END_MS) * FPS // 1000):
        now_ms = 1000 * number // FPS
        if number in asked:
            person.asked(asked[number], now_ms)
        shot = io.BytesIO()
        Image.fromarray(person.picture(number, now_ms)).save(shot, "JPEG", quality=92)
        pictures.append(shot.getvalue())
        sounds.append(person.sound(now_ms, now_ms + 1000 // FPS))
    return Film(tuple(pictures), np.concatenate(sounds).tobytes())


def stand_before(context: BrowserContext, film: Film) -> Callable[[Film], None]:
    """From now on this person is what cameras and microphones of the context see and hear. Gives a function that hands in
    another film; a page with an open camera shows it once it was told to: ``window.person.load()``."""
    parts: dict[str, Any] = {}

    def hand_in(film: Film) -> None:
        parts.update({"film.json": film.to_json(), "pictures": b"".join(film.pictures), "sound": film.sound})

    def give(route: Route) -> None:
        route.fulfill(body=parts[route.request.url.rpartition("/")[2]])

    context.route("**/filmed-person/*", give)
    hand_in(film)
    context.add_init_script(path=_BEHAVIOUR)
    return hand_in
