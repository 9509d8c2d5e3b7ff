"""Looks at one recording: what was handed in, and what was found in it. Runs where the judge does (:mod:`api.judge_process`),
so nothing here knows of keys, of the database or of whoever asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from likeness.double import PORTRAIT, Double, PortraitPolicy, Still, enrol
from liveness.attestation import Attestation
from liveness.capture import RgbImage
from liveness.challenge import Challenge
from liveness.checks import phases_of
from liveness.decode import packet_positions
from liveness.evidence import FaceEmbedder, FaceFinder, Fingerprint, LiveTiming
from liveness.examine import Engines, Examination, examine_recording
from liveness.live import LiveLog, timing_of
from liveness.policy import Limit, LivenessPolicy
from liveness.template import FaceTemplate
from liveness.verdict import Verdict

ANY_PORTRAIT = replace(
    PORTRAIT,
    face_width=Limit(40, "px", "design: a face can still be told apart; clips of it are soft"),
    yaw=Limit(25, "deg either way", "design: a person who held the phone aside is still to be shown"),
    pitch=Limit(35, "deg either way", "design"),
    roll=Limit(35, "deg either way", "design"),
    mouth=Limit(1, "mouth opening", "design: an open mouth is better than no double"),
    blink=Limit(1, "blendshape", "design"),
    sharpness=Limit(0, "of the grey range", "design"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A verdict, and of a live person what a double can be made of: templates and a portrait."""

    verdict: Verdict
    timing_ms: dict[str, int]
    media_code: str | None = None
    templates: tuple[FaceTemplate, ...] = field(default=(), repr=False)
    portrait: RgbImage | None = field(default=None, repr=False)
    fingerprint: Fingerprint | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HandedIn:
    """A recording as it was handed in for a challenge, with all that the service knows of it.

    attestation : what a device's maker said of it. camera_risks : names of what stood out in what the client said of its
    camera; ``None`` when it said nothing. live : the log of its live session. earlier : fingerprints of the same person's
    other recordings.
    """

    data: bytes = field(repr=False)
    challenge: Challenge
    policy: LivenessPolicy
    mirrored: bool
    now: datetime
    attestation: Attestation | None = None
    camera_risks: tuple[str, ...] | None = None
    live: LiveLog | None = None
    earlier: tuple[Fingerprint, ...] = field(default=(), repr=False)


class Examiner(Protocol):
    """Looks at one recording. Tests put another in the place of the models."""

    def examine(self, handed: HandedIn) -> Judged:
        """Raises: MediaError for what is no recording; EngineError when a model failed and nothing was judged."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelExaminer:
    """``Examiner`` on real models. ``finder`` measures the portrait in full size."""

    engines: Engines
    finder: FaceFinder

    def examine(self, handed: HandedIn) -> Judged:
        challenge, policy = handed.challenge, handed.policy
        own = challenge.limits(policy)
        found = examine_recording(
            handed.data,
            challenge,
            policy=policy,
            engines=self.engines,
            mirrored=handed.mirrored,
            now=handed.now,
            earlier=handed.earlier,
            attestation=handed.attestation,
            timing=None if handed.live is None else live_timing(handed.data, handed.live, own),
        )
        facing = phases_of(challenge)
        return Judged(
            verdict=found.verdict,
            timing_ms=found.timing_ms,
            # a face aside is less alike to anybody: the double is known by those that face the camera
            templates=tuple(each.template for each in found.evidence.templates if each.phase in facing),
            portrait=self._portrait(found, challenge.challenge_id, policy) if found.live else None,
            fingerprint=found.evidence.fingerprint,
        )

    def _portrait(self, found: Examination, pending: str, policy: LivenessPolicy) -> RgbImage | None:
        """A good picture of the person in full size, in which nobody else is; a soft or turned one if there is no other.

        The examination puts the best first, so it usually ends with the first one measured.
        """
        stills: list[Still] = []
        for image in found.portraits:
            stills.append(still_of(image, self.finder, self.engines.embedder))
            if (good := _enrolled(stills[-1:], found, pending, policy, PORTRAIT)) is not None:
                return good
        return _enrolled(stills, found, pending, policy, ANY_PORTRAIT)


def _enrolled(
    stills: Sequence[Still], found: Examination, pending: str, policy: LivenessPolicy, limits: PortraitPolicy
) -> RgbImage | None:
    best = enrol(
        stills,
        subject_id=pending,
        consent_id=pending,  # there is no consent yet, only a person to whom the picture belongs
        live_templates=[each.template for each in found.evidence.templates],
        same_person=policy.same_person.value,
        policy=limits,
    )
    return best.portrait if isinstance(best, Double) else None


def live_timing(data: bytes, live: LiveLog, policy: LivenessPolicy) -> LiveTiming | None:
    """What our own clock says about the recording of a live session. Raises: MediaError."""
    return timing_of(live.arrivals, packet_positions(data, policy=policy), live.cues)


def still_of(image: RgbImage, finder: FaceFinder, embedder: FaceEmbedder) -> Still:
    """A picture with everyone in it, and the template of its only face."""
    found = finder.find_every(image)
    face = found[0].face if len(found) == 1 else None
    template = None if face is None else embedder.embed(image, face.points)
    return Still(image=image, faces=tuple(each.face for each in found), template=template)
