"""A story at a vendor that only knows a first and a last frame: several jobs that become one clip.

    1. pictures that are wanted as frames and do not exist yet are made, each from the same references
    2. a shot leads from each frame to the next; the last frame of one shot is the first of the following
    3. the shots are put one after the other (:func:`likeness.vendor_clip.clip_of_parts`)

Each part is a job of its own, with its own key, so that none is ordered twice. What a part of the first kind gives is looked at
before it becomes a frame, like everything else that goes to a vendor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from likeness.backends import BackendCard, RemoteModel
from likeness.errors import RemoteError
from likeness.remote import FaultCode, Media, MediaKind, Mode, RemoteJob, Role
from likeness.vendor_job import CheckedPicture, media_type_of

MOST_FRAMES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """pictures : jobs that make the frames; ``()``: the frames are handed in. shot_model, shot_s : of each shot."""

    pictures: tuple[RemoteJob, ...]
    frames: int
    shot_model: str
    shot_s: int

    @property
    def parts(self) -> int:
        return len(self.pictures) + self.frames - 1


def plan_of(job: RemoteJob, card: BackendCard) -> Plan:
    """What is to be ordered, before anything is.

    Raises: RemoteError ``input_invalid``.
    """
    model = card.model(job.model)
    made = job.mode is Mode.REFERENCE
    frames = len(job.prompts) if made else len(job.media)
    if not 2 <= frames <= MOST_FRAMES:
        raise RemoteError(f"{frames} frames, wanted 2 to {MOST_FRAMES}", code=FaultCode.INPUT_INVALID)
    shot_model = card.model(_named(model, "shots"))
    shot_s, left = divmod(job.seconds, frames - 1)
    if left or shot_s not in shot_model.seconds:
        wanted = " or ".join(str(each * (frames - 1)) for each in shot_model.seconds)
        raise RemoteError(f"{job.seconds} s for {frames} frames, wanted {wanted}", code=FaultCode.INPUT_INVALID)
    pictures = (
        tuple(
            replace(
                job,
                model=_named(model, "pictures"),
                mode=Mode.IMAGE,
                prompt=job.prompt_of(place),
                prompts=(),
                sound=False,
                resolution=None,
            )
            for place in range(frames)
        )
        if made
        else ()
    )
    return Plan(pictures=pictures, frames=frames, shot_model=shot_model.name, shot_s=shot_s)


def shots_of(job: RemoteJob, plan: Plan, made: Sequence[CheckedPicture]) -> tuple[RemoteJob, ...]:
    """The jobs from each frame to the next. ``made``: the frames that the pictures of the plan became, looked at."""
    frames = (
        [
            (each, media_type_of(each.content, MediaKind.PICTURE), hashlib.sha256(each.content).hexdigest())
            for each in made
        ]
        if plan.pictures
        else [
            (CheckedPicture(content=each.content, consents=each.consents), each.media_type, each.sha256)
            for each in job.media
        ]
    )
    if len(frames) != plan.frames:
        raise RemoteError(f"{len(frames)} frames, {plan.frames} planned", code=FaultCode.INPUT_INVALID)
    return tuple(
        replace(
            job,
            model=plan.shot_model,
            mode=Mode.FIRST_LAST_FRAME,
            prompt=job.prompt if plan.pictures else job.prompt_of(place),
            prompts=(),
            seconds=plan.shot_s,
            ratio=None,
            media=tuple(
                Media(
                    role=role,
                    kind=MediaKind.PICTURE,
                    media_type=media_type,
                    content=picture.content,
                    sha256=sha256,
                    consents=picture.consents,
                )
                for role, (picture, media_type, sha256) in zip((Role.FIRST_FRAME, Role.LAST_FRAME), pair, strict=True)
            ),
        )
        for place, pair in enumerate(pairwise(frames))
    )


def _named(model: RemoteModel, what: str) -> str:
    return str(model.extra[what])
