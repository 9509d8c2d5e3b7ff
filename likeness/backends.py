"""What vendors' generators can do, read from ``backends.toml``, and whether a job is within it.

Hosts, model ids and limits move monthly: they are there, with the date they were read, and never in code. An operator's own
file can override hosts (:mod:`api.remote_accounts`), not limits.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib import resources

from consent.job import Job, hidden_inputs
from likeness.errors import RemoteError
from likeness.remote import FaultCode, Json, MediaKind, Mode, RemoteJob, Role

FILE = "backends.toml"


class CardInvalid(ValueError):
    """The file of cards has something that is not understood. One line, naming the card."""


class Standing(StrEnum):
    """live: jobs go there. local: made on this machine, where the operator installed it. retired: the vendor ended it.
    no_api: the vendor offers no interface that one may use."""

    LIVE = "live"
    LOCAL = "local"
    RETIRED = "retired"
    NO_API = "no_api"


class Callbacks(StrEnum):
    """none; hint: anybody could have sent it; signed: verified before the job is read again. Some are set per account."""

    NONE = "none"
    HINT = "hint"
    SIGNED = "signed"


class Finding(StrEnum):
    """Whether a job whose order's answer was lost can be found again.

    none     it cannot.
    look_up  by a handle of ours.
    repeat   the same order with the same handle is answered with the first job.
    """

    NONE = "none"
    LOOK_UP = "look_up"
    REPEAT = "repeat"


class Sound(StrEnum):
    """Whether clips have sound: never, always, or as asked."""

    NONE = "none"
    ALWAYS = "always"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteModel:
    """One model of a backend.

    name : ours, what orders say; id : the vendor's. seconds : lengths it makes. ratios, resolutions : ``()``: it takes none.
    references, reference_videos, reference_sounds : most of each in mode ``reference``.
    seeds : takes a seed. real_people : ``verified``: takes a real face only after the vendor's own check of that person.
    by_address : fetches media from an address of ours, and takes them in no other way. chains : a film of keyframes is
        several jobs here, from each frame to the next, joined afterwards. sound_types, sound_bytes : of a recording.
    extra : for the adapter; fields and graphs of gateways.
    """

    name: str
    id: str
    modes: frozenset[Mode]
    seconds: tuple[int, ...]
    ratios: tuple[str, ...] = ()
    resolutions: tuple[str, ...] = ()
    references: int = 0
    reference_videos: int = 0
    reference_sounds: int = 0
    keyframes: int = 0
    sound: Sound = Sound.NONE
    seeds: bool = True
    prompt_chars: int = 2000
    real_people: str = "allowed"
    by_address: bool = False
    chains: bool = False
    sound_types: tuple[str, ...] = ("audio/mpeg", "audio/wav")
    sound_bytes: int = 5_000_000
    extra: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendCard:
    """One backend.

    adapter : which ``remote_<adapter>.py`` speaks to it. hosts : by region, the first is the default.
    secrets, options : what the operator must or may name; options with their defaults.
    media_hosts : where outputs may be fetched with the vendor's credential.
    forgets : it has a call that deletes what it keeps of a job. retains_s : how long it says that it keeps a job's inputs and
        outputs; ``None``: its documents do not say.
    keeps_s : how long an output's address works. poll_s, slow_poll_s : first and longest wait between two looks.
    deadline_s : longest that a job may take. hides : fields by which this vendor's requests name people without bytes; no
        adapter sends them.
    verifies : the vendor can verify a real person, and this service can have it done. errors : every code by which its
        documents say that something went wrong, spelled as there; the tests have a case for each.
    told_by : callbacks are set for each ``job``, or once for the ``account``.
    """

    name: str
    title: str
    adapter: str
    standing: Standing
    why: str = ""
    hosts: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    media_hosts: tuple[str, ...] = ()
    callbacks: Callbacks = Callbacks.NONE
    cancels: bool = False
    forgets: bool = False
    retains_s: int | None = None
    finding: Finding = Finding.NONE
    keeps_s: int = 3600
    poll_s: float = 5.0
    slow_poll_s: float = 30.0
    deadline_s: float = 3600.0
    picture_bytes: int = 10_000_000
    video_bytes: int = 30_000_000
    verifies: bool = False
    told_by: str = "job"
    errors: tuple[str, ...] = ()
    hides: tuple[str, ...] = ()
    checked: str = ""
    models: tuple[RemoteModel, ...] = ()

    def model(self, name: str) -> RemoteModel:
        """Raises: RemoteError ``mode_unsupported``."""
        for each in self.models:
            if each.name == name:
                return each
        raise RemoteError(f"{self.name} has no model of that name", code=FaultCode.MODE_UNSUPPORTED)

    @property
    def host(self) -> str:
        return next(iter(self.hosts.values()), "")


# --- reading ---------------------------------------------------------------------------------------------------------


@cache
def cards() -> Mapping[str, BackendCard]:
    """Every card of ours, by name."""
    return read_cards(resources.files("likeness").joinpath(FILE).read_text(encoding="utf-8"))


def read_cards(text: str) -> Mapping[str, BackendCard]:
    """Raises: CardInvalid."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CardInvalid(f"not TOML: {error}") from None
    backends = found.pop("backend", {})
    if found or not isinstance(backends, dict):
        raise CardInvalid("only [backend.NAME] tables are known")
    read = {}
    for name, fields in backends.items():
        try:
            read[name] = _card(name, dict(fields))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CardInvalid(f"{name}: {error}") from None
    return read


def _card(name: str, fields: dict[str, object]) -> BackendCard:
    models = [_model(dict(each)) for each in _tables(fields.pop("model", []))]
    taken: dict[str, object] = {
        "standing": Standing(str(fields.pop("standing", "live"))),
        "callbacks": Callbacks(str(fields.pop("callbacks", "none"))),
        "finding": Finding(str(fields.pop("finding", "none"))),
        **{key: _texts(fields.pop(key)) for key in ("secrets", "media_hosts", "hides", "errors") if key in fields},
    }
    card = BackendCard(name=name, models=tuple(models), **fields, **taken)  # type: ignore[arg-type]
    if len({each.name for each in models}) != len(models):
        raise ValueError("two models have one name")
    if card.standing is Standing.LIVE and not (card.models and card.hosts):
        raise ValueError("a live backend has hosts and models")
    if card.told_by not in ("job", "account"):
        raise ValueError("told_by")
    return card


def _model(fields: dict[str, object]) -> RemoteModel:
    taken: dict[str, object] = {
        "modes": frozenset(Mode(each) for each in _texts(fields.pop("modes"))),
        "seconds": _seconds(str(fields.pop("seconds", "0"))),
        "sound": Sound(str(fields.pop("sound", "none"))),
        **{key: _texts(fields.pop(key)) for key in ("ratios", "resolutions", "sound_types") if key in fields},
    }
    model = RemoteModel(**fields, **taken)  # type: ignore[arg-type]
    if not model.modes or model.real_people not in ("allowed", "verified"):
        raise ValueError(f"{model.name}: modes or real_people")
    return model


def _tables(value: object) -> list[Mapping[str, object]]:
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise TypeError("model wants tables")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError("a list of texts was wanted")
    return tuple(value)


def _seconds(text: str) -> tuple[int, ...]:
    """``4-15``, or ``5, 10``."""
    first, dash, last = text.partition("-")
    if dash:
        return tuple(range(int(first), int(last) + 1))
    return tuple(int(each) for each in text.split(","))


# --- whether a job is within a card ----------------------------------------------------------------------------------

_WANTED: dict[Mode, tuple[tuple[Role, MediaKind, int, int | None], ...]] = {
    # role, kind, fewest, most (None: by the card)
    Mode.TEXT_TO_VIDEO: (),
    Mode.FIRST_FRAME: ((Role.FIRST_FRAME, MediaKind.PICTURE, 1, 1),),
    Mode.FIRST_LAST_FRAME: (
        (Role.FIRST_FRAME, MediaKind.PICTURE, 1, 1),
        (Role.LAST_FRAME, MediaKind.PICTURE, 1, 1),
    ),
    Mode.KEYFRAMES: ((Role.KEYFRAME, MediaKind.PICTURE, 2, None),),
    Mode.REFERENCE: (
        (Role.REFERENCE, MediaKind.PICTURE, 0, None),
        (Role.REFERENCE, MediaKind.VIDEO, 0, None),
        (Role.REFERENCE, MediaKind.SOUND, 0, None),
    ),
    Mode.SPEECH_TO_VIDEO: ((Role.SPEAKER, MediaKind.PICTURE, 1, 1), (Role.VOICE, MediaKind.SOUND, 1, 1)),
    Mode.PERFORMANCE: ((Role.SPEAKER, MediaKind.PICTURE, 1, 1), (Role.PERFORMER, MediaKind.VIDEO, 1, 1)),
    Mode.EDIT: ((Role.SOURCE, MediaKind.VIDEO, 1, 1),),
    Mode.EXTEND: ((Role.SOURCE, MediaKind.VIDEO, 1, 1),),
    Mode.IMAGE: ((Role.REFERENCE, MediaKind.PICTURE, 0, None),),
}
_NAMES_UNSEEN = ("asset://", "runway://", "<<<", "data:", "file://")


_OURS = re.compile(r"@((?:person|thing)(\d{1,2}))\b")
"""Names that adapters give to media, by which a prompt may call them."""


def admit(job: RemoteJob, card: BackendCard, *, with_media: bool = True) -> RemoteModel:
    """The job's model, if the card says that it makes such clips. Asked before anything is sent. Without its media: asked
    when the job is only wished for.

    Raises: RemoteError ``backend_retired``, ``backend_without_api``, ``mode_unsupported``, ``input_invalid``,
    ``hidden_face``, ``person_unverified``.
    """
    if card.standing not in (Standing.LIVE, Standing.LOCAL):
        retired = card.standing is Standing.RETIRED
        raise RemoteError(
            f"{card.title}: {card.why}",
            code=FaultCode.BACKEND_RETIRED if retired else FaultCode.BACKEND_WITHOUT_API,
        )
    model = card.model(job.model)
    if job.mode not in model.modes:
        raise RemoteError(f"{model.name} does not do {job.mode.value}", code=FaultCode.MODE_UNSUPPORTED)
    if job.mode is not Mode.IMAGE and job.seconds not in model.seconds:
        raise _outside(model, f"{job.seconds} s", f"{model.seconds[0]} to {model.seconds[-1]}")
    for name, value, known in (
        ("ratio", job.ratio, model.ratios),
        ("resolution", job.resolution, model.resolutions),
    ):
        if value is not None and value not in known:
            raise _outside(model, f"{name} {value}", ", ".join(known) or "none")
    if job.seed is not None and not (model.seeds and 0 <= job.seed < 2**31):
        raise _outside(model, "a seed", "0 to 2147483647" if model.seeds else "none")
    if job.sound and model.sound is Sound.NONE:
        raise _outside(model, "sound", "none")
    if not job.sound and model.sound is Sound.ALWAYS:
        raise _outside(model, "silence", "sound always")
    longest = max((len(job.prompt_of(place)) for place in range(len(job.prompts))), default=len(job.prompt))
    if longest > model.prompt_chars or (not job.prompt.strip() and job.mode is Mode.TEXT_TO_VIDEO):
        raise _outside(model, f"a prompt of {longest} characters", f"1 to {model.prompt_chars}")
    if job.prompts and job.mode is not Mode.KEYFRAMES and not model.chains:
        raise _outside(model, "a prompt for each shot", "one prompt")
    said = (job.prompt, *job.prompts)
    lowered = " ".join(said).lower()
    most = model.references if job.mode is Mode.REFERENCE else 0
    ours = [name for name, number in _OURS.findall(lowered) if 1 <= int(number) <= most]
    if any(mark in lowered for mark in _NAMES_UNSEEN) or any(
        hidden_inputs(Job(prompt=each, parameters={"names": ours})) for each in said
    ):
        raise RemoteError("the prompt names something by a handle", code=FaultCode.HIDDEN_FACE)
    if with_media:
        _check_media(job, model, card)
    return model


def _check_media(job: RemoteJob, model: RemoteModel, card: BackendCard) -> None:
    left = list(job.media)
    for role, kind, fewest, most in _WANTED[job.mode]:
        found = [each for each in left if each.role is role and each.kind is kind]
        limit = _most(model, role, kind) if most is None else most
        if not fewest <= len(found) <= limit:
            raise _outside(model, f"{len(found)} of {role.value} ({kind.value})", f"{fewest} to {limit}")
        left = [each for each in left if each not in found]
    if left:
        raise _outside(model, f"{left[0].role.value} in {job.mode.value}", "none")
    if job.mode is Mode.REFERENCE and not job.media:
        raise _outside(model, "no reference", "1 at least")
    if job.prompts and job.mode is Mode.KEYFRAMES and len(job.prompts) != len(job.media) - 1:
        raise _outside(model, f"{len(job.prompts)} prompts for {len(job.media)} keyframes", "one less than keyframes")
    most_bytes = {
        MediaKind.PICTURE: card.picture_bytes,
        MediaKind.VIDEO: card.video_bytes,
        MediaKind.SOUND: model.sound_bytes,
    }
    for each in job.media:
        if len(each.content) > most_bytes[each.kind]:
            raise _outside(model, f"{len(each.content)} bytes", f"at most {most_bytes[each.kind]}")
        if each.kind is MediaKind.SOUND and each.media_type not in model.sound_types:
            raise _outside(model, each.media_type, ", ".join(model.sound_types))
        if model.by_address and each.address is None:
            raise RemoteError(f"{model.name} takes media by address only", code=FaultCode.NO_ADDRESS)
        if (
            model.real_people == "verified"
            and each.consents
            and each.kind is not MediaKind.SOUND
            and each.asset is None
        ):
            raise RemoteError(
                f"{card.title} takes real people only after its own check of them", code=FaultCode.PERSON_UNVERIFIED
            )


def _most(model: RemoteModel, role: Role, kind: MediaKind) -> int:
    if role is Role.KEYFRAME:
        return model.keyframes
    return {
        MediaKind.PICTURE: model.references,
        MediaKind.VIDEO: model.reference_videos,
        MediaKind.SOUND: model.reference_sounds,
    }[kind]


def _outside(model: RemoteModel, found: str, wanted: str) -> RemoteError:
    return RemoteError(f"{model.name}: {found}, wanted {wanted}", code=FaultCode.INPUT_INVALID)
