"""Every limit of this package on one page, with unit and source.

A policy is data with a name and a version. Verdicts carry both, so that an old answer can be explained after the limits
have moved. Change a number: change :data:`VERSION`.

Sources named below:
  design    our own choice, reason beside it
  measured  figures measured for this project on real and simulated recordings (docs/adr/0003-limits.md)
  aws       Amazon Rekognition Face Liveness device floor and retry guidance
  iso       ISO/IEC 30107-3 terms; the number itself is ours
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

VERSION = "2026-11-21"


class Assurance(StrEnum):
    """How much a ``Live`` verdict is worth. Ordered: simulated < web < attested.

    simulated  made under the policy of that name, for trying things out; no claim about a real person.
    web        a recording from a browser or app whose device was not attested.
    attested   the device's maker vouched that the recording came from its camera.
    """

    SIMULATED = "simulated"
    WEB = "web"
    ATTESTED = "attested"

    @property
    def rank(self) -> int:
        return _RANK[self]

    def satisfies(self, wanted: Assurance) -> bool:
        return self.rank >= wanted.rank


_RANK = {Assurance.SIMULATED: 0, Assurance.WEB: 1, Assurance.ATTESTED: 2}


@dataclass(frozen=True, slots=True)
class Limit:
    """A number with what it counts and where it comes from."""

    value: float
    unit: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LivenessPolicy:
    """The limits one verdict is made under."""

    name: str
    version: str
    assurance: Assurance

    # challenge
    digits: Limit = Limit(6, "digits", "design: 590,490 strings without adjacent repeat, 19.2 bit")
    turns: Limit = Limit(3, "turns", "design: six orders that show both sides, 2.6 bit")
    challenge_life: Limit = Limit(120, "s", "design: a person needs 15 to 30 s; longer helps only who prepares a fake")
    session_life: Limit = Limit(300, "s", "aws and others: 3 to 10 minutes")
    attempts: Limit = Limit(3, "attempts", "Azure: three tries a token")

    # media, enforced while decoding
    max_bytes: Limit = Limit(20_000_000, "bytes", "design: 30 s of 720p from a phone is 8 to 15 MB")
    max_duration: Limit = Limit(30_000, "ms", "design: whole take")
    min_duration: Limit = Limit(2_000, "ms", "design: six digits cannot be said faster")
    max_source_fps: Limit = Limit(125, "fps", "design: phones record up to 120; bounds frames before decoding")
    max_side: Limit = Limit(4096, "px", "design: above every phone camera's video, below decompression bombs")
    max_streams: Limit = Limit(8, "streams", "design: phones write up to five (picture, sound, motion, metadata)")
    analysis_fps: Limit = Limit(15, "fps", "design: a turn held 300 ms is then five frames")
    analysis_short_side: Limit = Limit(
        480, "px", "design: a face of 20 % width is then 96 px or more, near the 112 px of a template"
    )

    # media, judged
    min_fps: Limit = Limit(14, "fps", "aws floor of 15, less the jitter of browser recorders")
    max_frame_gap: Limit = Limit(250, "ms", "design: no cut may hide between two frames")
    min_short_side: Limit = Limit(360, "px", "design: a face of 20 % width is then 72 px")
    max_track_difference: Limit = Limit(
        600, "ms", "design: browser recorders open their tracks up to half a second apart"
    )
    min_sound_level: Limit = Limit(
        -40, "dBFS, loudest 5 % of 20 ms windows", "design: the energy floor used before speech recognition"
    )
    simulated_captures: bool = False  # recordings that the simulator wrote and marked as such

    # face
    max_face_gap: Limit = Limit(500, "ms", "design: a swap needs longer")
    max_second_face: Limit = Limit(200, "ms", "design: three frames; a single false detection is no second person")
    min_face_width: Limit = Limit(0.18, "of picture width", "InspireFace sample: 0.18")
    baseline_yaw: Limit = Limit(10, "deg", "design: looks at the camera, either way")
    baseline_pitch: Limit = Limit(20, "deg", "design: phones are held low")
    baseline_hold: Limit = Limit(
        500, "ms", "design: eight frames at 15 fps give a median that one bad frame cannot move"
    )
    baseline_within: Limit = Limit(3_000, "ms", "design: from the first frame; time to settle after pressing record")

    # turns, from the person's own frontal baseline
    turn_yaw: Limit = Limit(25, "deg", "measured: a rotated flat print reads at most 12, a bent one 19")
    turn_hold: Limit = Limit(300, "ms", "design: five frames at 15 fps")
    turn_return: Limit = Limit(10, "deg", "design: back to the camera between turns")

    # speech and mouth
    mouth_range: Limit = Limit(
        0.09, "jawOpen + lip gap, range", "measured: twice what landmark noise moves a still picture (0.045 at most)"
    )
    mouth_moving_digits: Limit = Limit(
        0.8, "of the digits", "design: one digit of six may be spoken with the mouth still"
    )

    # identity and attack score
    same_person: Limit = Limit(0.38, "cosine", "measured: 0.30 to 0.45 separates 300 labelled pairs; near the middle")
    attack_score: Limit = Limit(
        0.5, "live probability, median", "design: the model's own decision, over several frames"
    )


STRICT = LivenessPolicy(name="strict", version=VERSION, assurance=Assurance.WEB)
"""For real people in front of a browser or app."""

SIMULATED = replace(STRICT, name="simulated", assurance=Assurance.SIMULATED, simulated_captures=True)
"""The same checks and limits, for recordings of simulated people. What passes is worth nothing to a backend that asks
for more than ``simulated``."""

POLICIES = {p.name: p for p in (STRICT, SIMULATED)}
