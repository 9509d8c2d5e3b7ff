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
from typing import assert_never

VERSION = "2026-11-21.3"


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


class Path(StrEnum):
    """What a person chose to be asked for, before the challenge is drawn. The record says which.

    standard     digits aloud and turns of 25 degrees.
    small_turns  turns of 15 degrees and two more digits, for a stiff neck.
    no_speech    nods in place of digits: nothing is said or heard.
    """

    STANDARD = "standard"
    SMALL_TURNS = "small_turns"
    NO_SPEECH = "no_speech"


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
    digit_groups: Limit = Limit(2, "groups", "design: three digits are read at a glance")
    turns: Limit = Limit(3, "turns", "design: six orders that show both sides, 2.6 bit")
    nods: Limit = Limit(0, "groups of nods", "design: only where nothing is said")
    most_nods: Limit = Limit(4, "nods a group", "design: what a person counts without thinking")
    challenge_life: Limit = Limit(120, "s", "design: a person needs 15 to 30 s; longer helps only who prepares a fake")
    session_life: Limit = Limit(300, "s", "aws and others: 3 to 10 minutes")
    attempts: Limit = Limit(3, "attempts", "Azure: three tries a token")
    lockout_failures: Limit = Limit(5, "failed attempts", "aws: five failed checks in three minutes a device")
    lockout_window: Limit = Limit(180, "s", "aws: five failed checks in three minutes a device")
    lockout_time: Limit = Limit(1_800, "s", "aws: 30 to 60 minutes")

    # cue by cue: on the server's clock
    earliest_response: Limit = Limit(
        250, "ms after the cue", "design: a simple human reaction is 0.2 to 0.3 s; who is quicker knew the cue"
    )
    latest_response: Limit = Limit(
        4_000, "ms after the cue", "design: reading and reacting takes 1 to 2 s; later leaves time to make the answer"
    )
    cue_deadline: Limit = Limit(
        12_000, "ms", "design: reaction, then three digits or a turn with its return, twice over"
    )
    clock_drift: Limit = Limit(
        0.08,
        "of real time",
        "design: chunks arrive up to 0.5 s late on a take of 10 s; a take sped up shows 0.2 or more",
    )

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
    max_face_width: Limit = Limit(0.85, "of picture width", "design: beyond, turns leave the picture")
    cut_off: Limit = Limit(0.2, "of the frames", "design: a head that sways out for a moment still can be judged")
    baseline_yaw: Limit = Limit(10, "deg", "design: looks at the camera, either way")
    baseline_pitch: Limit = Limit(20, "deg", "design: phones are held low")
    baseline_hold: Limit = Limit(
        500, "ms", "design: eight frames at 15 fps give a median that one bad frame cannot move"
    )
    baseline_within: Limit = Limit(3_000, "ms", "design: from the first frame; time to settle after pressing record")

    # light and focus
    darkest: Limit = Limit(
        35,
        "luma of the face, 0..255",
        "design: dark skin in room light stays above 50; below 35 noise outweighs detail",
    )
    brightest: Limit = Limit(225, "luma of the face, 0..255", "design: skin washes out; aws users fail in sunlight")
    blurred: Limit = Limit(0.08, "detail at 96 px", "measured: faces in focus 0.15 to 0.22; half of the least")

    # one uncut take
    worst_cut: Limit = Limit(
        2.5, "times the usual change", "measured: uncut takes to 1.9; cross-fades from 3.2, cuts from 7"
    )
    repeated_frames: Limit = Limit(0.3, "of the frames", "design: webcams repeat 5 %; a still picture half and more")
    frozen: Limit = Limit(400, "ms", "measured: real takes to 134, simulated to 252, poorly coded to 400")
    camera_noise: Limit = Limit(
        0.05,
        "grey levels",
        "measured: cameras 0.1 to 2.6, re-encoded 0.0; counts only where frames come perfectly evenly",
    )
    floor_jump: Limit = Limit(
        8, "dB", "measured: takes in one room to 6.8, also with gain control; pieces from unlike rooms from 8.4"
    )
    digital_silence: Limit = Limit(
        0.9,
        "of the take",
        "measured: voice isolation leaves 0.46 to 0.7 between digits; beyond, there is hardly a voice",
    )
    same_take: Limit = Limit(
        0.22, "fingerprint distance", "measured: copies to 0.19, other takes of one person from 0.28"
    )

    # turns, from the person's own frontal baseline
    turn_yaw: Limit = Limit(
        25, "deg", "measured: a flat print reads at most 12; strongly bent ones up to 36, which depth tells"
    )
    turn_hold: Limit = Limit(300, "ms", "design: five frames at 15 fps")
    turn_return: Limit = Limit(10, "deg", "design: back to the camera between turns")

    parallax: Limit = Limit(
        0.010,
        "of the eye distance, median residual, every turn",
        "measured: real heads at 12 to 16 deg p5 0.013; flat sheets to 0.009; bent ones are told by the next",
    )

    sheet: Limit = Limit(
        0.018,
        "of the eye distance, upper quartile, every turn",
        "measured: bent prints that turn far enough to 0.018 once of two turns; heads p5 0.022 at 16 to 20 deg",
    )

    # nods
    nod_depth: Limit = Limit(8, "deg down", "design: speaking moves the head by 3 to 5")
    nod_longest: Limit = Limit(1_800, "ms", "design: a slow nod; longer is looking down")
    nod_pause: Limit = Limit(1_500, "ms", "design: longer, and a new group of nods begins")

    # speech and mouth
    mouth_range: Limit = Limit(
        0.09, "jawOpen + lip gap, range", "measured: twice what landmark noise moves a still picture (0.045 at most)"
    )
    mouth_moving_digits: Limit = Limit(
        0.8, "of the digits", "design: one digit of six may be spoken with the mouth still"
    )

    mouth_rests: Limit = Limit(0.5, "of the pauses", "design: half of them, as some people pre-shape the next word")

    voice_lead: Limit = Limit(
        0.1,
        "correlation",
        "design: a third of what simulated takes have at least (0.30); real ones of 3 s have 0.03 to 0.41",
    )
    opened_with_words: Limit = Limit(
        0.8, "area under ROC", "design: four times in five; simulated takes have 0.99, foreign voices 0.75 to 0.97"
    )

    # alive
    natural_motion: Limit = Limit(
        0.006,
        "of the eye distance",
        "measured: still pictures wander to 0.004, simulated takes from 0.010; a blink counts as well",
    )

    # identity and attack score
    same_person: Limit = Limit(0.38, "cosine", "measured: 0.30 to 0.45 separates 300 labelled pairs; near the middle")
    same_person_turned: Limit = Limit(
        0.3,
        "cosine",
        "measured: one simulated person aside from 0.51, others to 0.24; faces back in front are held to more",
    )
    looks_with_others: Limit = Limit(1, "looks", "design: a detector's single slip is no second person")
    tracked_apart: Limit = Limit(
        0.35, "of the eye distance", "design: tracking smooths a quick head by a quarter; another face is elsewhere"
    )
    attack_score: Limit = Limit(
        0.4,
        "live probability, median",
        "design: below the model's own 0.5, as simulated takes read down to 0.54; also a weak sign",
    )
    weak_signs: Limit = Limit(1, "weak signs", "design: any one is found on real takes")
    weak_attack_score: Limit = Limit(
        0.75, "live probability, median", "measured: three in four simulated takes above 0.8"
    )
    weak_moire: Limit = Limit(1.9, "log10 of peak over floor", "measured: takes to 1.6")
    weak_border: Limit = Limit(0.15, "share of the edge that moves with the face", "measured: takes to 0.13")
    weak_flicker: Limit = Limit(0.4, "% of brightness in rolling bands", "measured: takes to 0.15, screens from 0.11")
    moire: Limit = Limit(
        2.3, "log10 of peak over floor", "measured: takes to 1.6, a simulated screen 3.0; sharp screens have none"
    )
    border: Limit = Limit(
        0.2,
        "share of the edge that moves with the face",
        "measured: takes to 0.04; prints and bezels to 0.14: a large one only",
    )
    flicker: Limit = Limit(
        3,
        "% of brightness in rolling bands",
        "design: mains light through a rolling shutter gives 1 to 2; a slow screen more",
    )

    def on(self, path: Path, *, extra_time: bool) -> LivenessPolicy:
        """The same policy for somebody who chose ``path``, or more time.

        A reduced turn is weaker alone, so it comes with more digits; without speech the order of nods and turns must carry what
        the digits do, so there are more of both. Twice the time doubles what is timed, and the recording.
        """
        changed = self
        match path:
            case Path.STANDARD:
                pass
            case Path.SMALL_TURNS:
                changed = replace(
                    changed,
                    digits=Limit(8, "digits", "design: 25.4 bit; 6.3 more than six digits, for what the turns lose"),
                    turn_yaw=Limit(
                        15,
                        "deg",
                        "design: what a stiff neck still does; strongly bent prints read more, which depth tells",
                    ),
                    turn_return=Limit(7, "deg", "design: half the turn"),
                )
            case Path.NO_SPEECH:
                changed = replace(
                    changed,
                    digits=Limit(0, "digits", "design: nothing is said"),
                    digit_groups=Limit(0, "groups", "design: nothing is said"),
                    turns=Limit(4, "turns", "design: 14 orders that show both sides, 3.8 bit"),
                    nods=Limit(
                        4,
                        "groups of nods",
                        "design: 256 counts of 1 to 4, 8 bit; 14.1 bit with turns and order",
                    ),
                )
            case _:
                assert_never(path)
        if extra_time:
            changed = replace(
                changed,
                challenge_life=_doubled(changed.challenge_life),
                session_life=_doubled(changed.session_life),
                latest_response=_doubled(changed.latest_response),
                cue_deadline=_doubled(changed.cue_deadline),
                baseline_within=_doubled(changed.baseline_within),
                max_duration=_doubled(changed.max_duration),
                max_bytes=_doubled(changed.max_bytes),
            )
        return changed


def _doubled(limit: Limit) -> Limit:
    return Limit(2 * limit.value, limit.unit, f"twice, for who asked for more time; {limit.source}")


STRICT = LivenessPolicy(name="strict", version=VERSION, assurance=Assurance.WEB)
"""For real people in front of a browser or app."""

SIMULATED = replace(STRICT, name="simulated", assurance=Assurance.SIMULATED, simulated_captures=True)
"""The same checks and limits, for recordings of simulated people. What passes is worth nothing to a backend that asks
for more than ``simulated``."""

POLICIES = {p.name: p for p in (STRICT, SIMULATED)}
