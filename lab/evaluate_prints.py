"""Photographs of real people made into prints, flat and bent, turned before the real tracker: none may pass for a head.

Everything but the paper is real: the photograph, the landmark model, the turn rule and the measure of depth on pixels. The
print is at an arm's length, turned to one side, back, and to the other, as a challenge of two turns asks.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import cv2
import numpy as np

from lab.person import eased
from lab.prints import Held, Sheet, backdrop, bent, laid
from lab.rates import Rate
from liveness import flow
from liveness import policy as limits
from liveness.capture import Capture, Frame, MediaFacts, RgbImage
from liveness.challenge import Challenge, Direction, Turn, of_steps
from liveness.checks import bend, depth, turns_as_asked
from liveness.digits import Language
from liveness.evidence import Evidence, FaceFinder, FaceTrack
from liveness.examine import Engines
from liveness.policy import LivenessPolicy
from liveness.turns import baseline, performed_turns, yaw_over_time
from liveness.verdict import Outcome

FLAT_DEG = (30.0, 40.0, 50.0)
BENT = tuple((radius, turned) for radius in (0.6, 1.0, 2.0) for turned in (30.0, 40.0))
"""Radius of the cylinder in face widths, and how far it is turned
(0.6 to 2.0 and 20 to 40 are usual)."""

_SIZE = (480, 640)
_FACE_WIDTH = 0.42  # of the picture's width
_FRAME_MS = 66
_TIMES_MS = (
    (800, 0.0),
    (300, 1.0),
    (450, 1.0),
    (300, 0.0),
    (300, 0.0),
    (300, -1.0),
    (450, -1.0),
    (300, 0.0),
    (300, 0.0),
)
"""How long each piece takes, and the share of the turn at its end."""
_ASKED = (Turn(direction=Direction.LEFT), Turn(direction=Direction.RIGHT))


@dataclass(slots=True, kw_only=True)
class _Count:
    tries: int = 0
    turned: int = 0
    accepted: int = 0


def measure_prints(
    photographs: Sequence[RgbImage], *, engines: Engines, finder: FaceFinder, policy: LivenessPolicy
) -> tuple[list[Rate], list[str]]:
    """Prints of every photograph accepted by turn rule and depth, by kind and path; and what else is worth a note."""
    counts = {
        (kind, path): _Count() for path in (limits.Path.STANDARD, limits.Path.SMALL_TURNS) for kind in ("flat", "bent")
    }
    sheets = [sheet for sheet in (_sheet(each, finder) for each in photographs) if sheet is not None]
    behind = backdrop(_SIZE, random.Random("prints"))
    untracked = 0
    for sheet in sheets:
        for kind, radius, turned in [("flat", 0.0, deg) for deg in FLAT_DEG] + [("bent", *each) for each in BENT]:
            capture = _capture(list(_pictures(sheet, radius, turned, behind)))
            track = engines.tracker.track(capture)
            untracked += all(not sighting.faces for sighting in track.sightings)
            for path in (limits.Path.STANDARD, limits.Path.SMALL_TURNS):
                count = counts[kind, path]
                count.tries += 1
                turns, deep = _judged(capture, track, policy, path)
                count.turned += turns
                count.accepted += turns and deep
    rates = [
        Rate(
            measure=f"{kind} print turned, accepted ({policy.on(path, extra_time=False).turn_yaw.value:g} deg)",
            what="attack",
            errors=count.accepted,
            tries=count.tries,
        )
        for (kind, path), count in counts.items()
    ]
    notes = [
        f"prints: {len(sheets)} photographs; turn rule alone passed "
        + ", ".join(f"{c.turned} of {c.tries} {kind} ({path.value})" for (kind, path), c in counts.items())
        + f"; no face found in {untracked}"
    ]
    return (rates, notes) if sheets else ([], ["prints: no photograph shows a face"])


def _sheet(photograph: RgbImage, finder: FaceFinder) -> Sheet | None:
    found = finder.find_every(photograph)
    if not found:
        return None
    box = found[0].box
    scale = _FACE_WIDTH * _SIZE[0] / box.width
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=how)
    centre = (scale * (box.x + box.width / 2), scale * (box.y + box.height / 2))
    return Sheet(image=np.ascontiguousarray(image, np.uint8), centre=centre, face_width=scale * box.width)


def _pictures(sheet: Sheet, radius: float, turned_deg: float, behind: RgbImage) -> Iterator[RgbImage]:
    """The print over time; ``radius`` in face widths, 0 for a flat one. A sensor's noise comes on top."""
    noise = np.random.default_rng(1)
    middle = (_SIZE[0] / 2, 0.46 * _SIZE[1])
    for share in _shares():
        held = Held(yaw_deg=turned_deg * share, pitch_deg=0.0, roll_deg=1.5 * share, shift=(0.0, 0.0), scale=1.0)
        if radius:
            picture = bent(sheet, radius * sheet.face_width, _followed(held, radius * sheet.face_width), middle, behind)
        else:
            picture = laid(sheet.image, held.homography(sheet, middle), behind, held)
        grain = noise.normal(0, 2.0, picture.shape[:2])[..., None]
        yield np.ascontiguousarray(np.clip(picture + grain, 0, 255).astype(np.uint8))


def _followed(held: Held, radius: float) -> Held:
    """The hand keeps the face in the picture while the cylinder turns about its axis."""
    aside = radius * math.sin(math.radians(held.yaw_deg))
    return Held(
        yaw_deg=held.yaw_deg,
        pitch_deg=held.pitch_deg,
        roll_deg=held.roll_deg,
        shift=(-aside, 0.0),
        scale=held.scale,
    )


def _shares() -> list[float]:
    total = sum(long_ms for long_ms, _ in _TIMES_MS)
    shares = []
    for at_ms in range(0, total, _FRAME_MS):
        start_ms, before = 0, 0.0
        for long_ms, after in _TIMES_MS:
            if at_ms < start_ms + long_ms:
                shares.append(before + (after - before) * eased((at_ms - start_ms) / long_ms))
                break
            start_ms, before = start_ms + long_ms, after
    return shares


def _judged(capture: Capture, track: FaceTrack, policy: LivenessPolicy, path: limits.Path) -> tuple[bool, bool]:
    """Whether the turn rule passes, and whether depth does, on ``path``."""
    challenge: Challenge = of_steps(
        _ASKED, language=Language.ENGLISH, policy=policy, now=datetime(2000, 1, 1, tzinfo=UTC), path=path
    )
    own = challenge.limits(policy)
    front = baseline(track, policy=own, mirrored=False)
    if front is None:
        return False, False
    turns = performed_turns(yaw_over_time(track, mirrored=False), zero_deg=front.yaw_deg, policy=own)
    frames = {frame.at_ms: frame for frame in capture.frames}
    evidence = Evidence(
        facts=capture.facts,
        mirrored=False,
        sound_level_dbfs=None,
        track=track,
        transcript=None,
        templates=(),
        spoof=(),
        parallax=flow.parallax(frames, track, front, turns, mirrored=False),
    )
    turned = turns_as_asked("turns_as_asked", evidence, challenge, own).outcome is Outcome.PASS
    in_relief = (check(check.__name__, evidence, challenge, own) for check in (depth, bend))
    return turned, all(found.outcome is Outcome.PASS for found in in_relief)


def _capture(pictures: Sequence[RgbImage]) -> Capture:
    """``pictures`` as a recording, made in memory."""
    long_ms = len(pictures) * _FRAME_MS
    facts = MediaFacts(
        container="none",
        video_codec="none",
        audio_codec=None,
        width=_SIZE[0],
        height=_SIZE[1],
        duration_ms=long_ms,
        audio_duration_ms=None,
        source_frames=len(pictures),
        source_fps=1000 / _FRAME_MS,
        longest_gap_ms=_FRAME_MS,
        frame_intervals_ms=(_FRAME_MS,) * (len(pictures) - 1),
        video_start_ms=0,
        audio_start_ms=None,
        writing_app="",
    )
    frames = tuple(Frame(at_ms=number * _FRAME_MS, image=picture) for number, picture in enumerate(pictures))
    return Capture(sha256="0" * 64, frames=frames, audio=None, facts=facts)
