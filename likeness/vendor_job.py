"""From a permit, media and a wish to a vendor's job: the one door through which people's likenesses get into one.

(1) the permit is in force now
(2) the media show and let hear exactly its people: nobody without one, nobody permitted and left out
(3) it is no longer than the permit bounds, and recordings and films are no longer than it
(4) each medium gets the place that the mode has for it
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from likeness.errors import PermitMismatch, RemoteError
from likeness.remote import FaultCode, Media, MediaKind, Mode, RemoteJob, Role
from liveness.template import FaceTemplate, similarity

if TYPE_CHECKING:
    from consent.gate import Permit

_ROLES: dict[Mode, dict[MediaKind, tuple[Role, ...]]] = {
    Mode.FIRST_FRAME: {MediaKind.PICTURE: (Role.FIRST_FRAME,)},
    Mode.FIRST_LAST_FRAME: {MediaKind.PICTURE: (Role.FIRST_FRAME, Role.LAST_FRAME)},
    Mode.SPEECH_TO_VIDEO: {MediaKind.PICTURE: (Role.SPEAKER,), MediaKind.SOUND: (Role.VOICE,)},
    Mode.PERFORMANCE: {MediaKind.PICTURE: (Role.SPEAKER,), MediaKind.VIDEO: (Role.PERFORMER,)},
    Mode.EDIT: {MediaKind.VIDEO: (Role.SOURCE,)},
    Mode.EXTEND: {MediaKind.VIDEO: (Role.SOURCE,)},
}
_EVERY: dict[Mode, Role] = {Mode.KEYFRAMES: Role.KEYFRAME, Mode.REFERENCE: Role.REFERENCE}
PEOPLE_MODES = frozenset({*_ROLES, *_EVERY})
"""Modes that a clip of people can be ordered in."""
VOICE_MODES = frozenset({Mode.SPEECH_TO_VIDEO})
"""Modes that want a recording of somebody's voice."""
FILM_MODES = frozenset({Mode.PERFORMANCE, Mode.EDIT, Mode.EXTEND})
"""Modes that want a film."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is wanted, but for the media. Fields as of :class:`likeness.remote.RemoteJob`."""

    model: str
    mode: Mode
    prompt: str = field(repr=False)
    seconds: int
    ratio: str | None = None
    resolution: str | None = None
    seed: int | None = None
    sound: bool = False
    prompts: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CheckedPicture:
    """Bytes that the gate looked at. consents : of the people in it; ``()``: nobody. asset, address : as of ``Media``."""

    content: bytes = field(repr=False)
    consents: tuple[str, ...]
    asset: str | None = None
    address: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CheckedSound:
    """A recording whose voice was declared to the gate. consents : whose voice it is; ``()``: no person's.

    seconds : how long it is.
    """

    content: bytes = field(repr=False)
    consents: tuple[str, ...]
    seconds: float
    address: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CheckedFilm:
    """A film whose pictures the gate looked at. consents : of everybody in any of them. seconds : how long it is."""

    content: bytes = field(repr=False)
    consents: tuple[str, ...]
    seconds: float
    address: str | None = field(default=None, repr=False)


Checked: TypeAlias = CheckedPicture | CheckedSound | CheckedFilm


def bare_job(wish: Wish) -> RemoteJob:
    """The job without its media: to see whether a backend makes such a thing at all."""
    return RemoteJob(
        model=wish.model,
        mode=wish.mode,
        prompt=wish.prompt,
        seconds=wish.seconds,
        ratio=wish.ratio,
        resolution=wish.resolution,
        seed=wish.seed,
        sound=wish.sound,
        prompts=wish.prompts,
    )


def job_of(permit: Permit, wish: Wish, checked: Sequence[Checked], *, callback: str | None, now: datetime) -> RemoteJob:
    """Numbers as in the module docstring. ``checked``: in the order in which they were handed in.

    Raises:
        PermitMismatch; RemoteError ``mode_unsupported``, ``input_invalid``.
    """
    if now.tzinfo is None or not permit.issued_at <= now < permit.expires_at:  # (1)
        raise PermitMismatch("the permit is not in force now", code="permit_expired")
    shown = {consent_id for each in checked for consent_id in each.consents}
    if shown != {consent_id for consent_id, _ in permit.consents} or not shown:  # (2)
        raise PermitMismatch(f"the permit is for {len(permit.consents)} consents, not for exactly these {len(shown)}")
    if wish.seconds > permit.obligations.max_seconds:  # (3)
        raise PermitMismatch(f"{wish.seconds} s, at most {permit.obligations.max_seconds} s permitted")
    for each in checked:
        if not isinstance(each, CheckedPicture) and not 0 < each.seconds <= wish.seconds:
            raise RemoteError(
                f"a recording of {each.seconds:.1f} s for a clip of {wish.seconds} s", code=FaultCode.INPUT_INVALID
            )
    bare = bare_job(wish)
    return RemoteJob(
        model=bare.model,
        mode=bare.mode,
        prompt=bare.prompt,
        seconds=bare.seconds,
        ratio=bare.ratio,
        resolution=bare.resolution,
        seed=bare.seed,
        sound=bare.sound,
        media=_placed(wish.mode, checked),
        callback=callback,
        prompts=bare.prompts,
    )


def _placed(mode: Mode, checked: Sequence[Checked]) -> tuple[Media, ...]:
    """(4)"""
    if mode in _EVERY:
        return tuple(_medium(each, _EVERY[mode]) for each in checked)
    if mode not in _ROLES:
        raise RemoteError(f"{mode.value} shows nobody who consented", code=FaultCode.MODE_UNSUPPORTED)
    left = {kind: list(roles) for kind, roles in _ROLES[mode].items()}
    placed = []
    for each in checked:
        roles = left.get(_kind(each), [])
        if not roles:
            raise RemoteError(f"one {_kind(each).value} too many for {mode.value}", code=FaultCode.INPUT_INVALID)
        placed.append(_medium(each, roles.pop(0)))
    missing = [role.value for roles in left.values() for role in roles]
    if missing:
        raise RemoteError(f"{mode.value} wants {', '.join(missing)} as well", code=FaultCode.INPUT_INVALID)
    return tuple(placed)


def promised(mode: Mode, checked: Sequence[Checked]) -> frozenset[str]:
    """The consents whose faces the clip must show: not of who only lends a voice, nor of who only moves for another."""
    silent = (CheckedSound, CheckedFilm) if mode is Mode.PERFORMANCE else CheckedSound
    return frozenset(each for one in checked if not isinstance(one, silent) for each in one.consents)


def who_is_shown(
    faces: Sequence[FaceTemplate | None], known: Mapping[str, Sequence[FaceTemplate]], *, same_person: float
) -> tuple[str, ...] | None:
    """Whose faces these are, of the people of a permit, in the order of the faces: each is the person's whose template is the
    most similar, as the gate has it. ``None`` when one cannot be told.

    known : templates by consent, all of one contract. same_person : least cosine.
    """
    shown: list[str] = []
    for face in faces:
        if face is None:
            return None
        best = max(
            ((similarity(face, template), consent_id) for consent_id, many in known.items() for template in many),
            default=(-1.0, ""),
        )
        if not best[0] >= same_person:
            return None
        shown.append(best[1])
    return tuple(dict.fromkeys(shown))


def _kind(checked: Checked) -> MediaKind:
    match checked:
        case CheckedPicture():
            return MediaKind.PICTURE
        case CheckedSound():
            return MediaKind.SOUND
        case CheckedFilm():
            return MediaKind.VIDEO


def _medium(checked: Checked, role: Role) -> Media:
    kind = _kind(checked)
    return Media(
        role=role,
        kind=kind,
        media_type=media_type_of(checked.content, kind),
        content=checked.content,
        sha256=hashlib.sha256(checked.content).hexdigest(),
        consents=checked.consents,
        asset=checked.asset if isinstance(checked, CheckedPicture) else None,
        address=checked.address,
    )


def media_type_of(content: bytes, kind: MediaKind) -> str:
    """By the first bytes. Raises: RemoteError ``input_invalid`` for what no vendor takes."""
    found = {MediaKind.PICTURE: _picture_type, MediaKind.SOUND: _sound_type, MediaKind.VIDEO: _video_type}[kind](
        content
    )
    if found is None:
        raise RemoteError(f"a {kind.value} is of a kind that no vendor takes", code=FaultCode.INPUT_INVALID)
    return found


def _picture_type(content: bytes) -> str | None:
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        return "image/png"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return "image/jpeg" if content[:3] == b"\xff\xd8\xff" else None


def _sound_type(content: bytes) -> str | None:
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return "audio/wav"
    if content[4:8] == b"ftyp":
        return "audio/mp4"
    if content[:4] in (b"fLaC", b"OggS"):
        return "audio/flac" if content[:1] == b"f" else "audio/ogg"
    is_mpeg = content[:3] == b"ID3" or content[:2] in (b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")
    return "audio/mpeg" if is_mpeg else None


def _video_type(content: bytes) -> str | None:
    if content[4:8] == b"ftyp":
        return "video/quicktime" if content[8:12] == b"qt  " else "video/mp4"
    return "video/webm" if content[:4] == b"\x1a\x45\xdf\xa3" else None
