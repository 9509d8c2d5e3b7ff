"""What is sent to gateways, whose models each name their inputs otherwise: only fields that the model's card names.

A card's ``extra`` has ``fields`` (ours to theirs), ``fixed`` (theirs, always the same) and ``seconds_as`` (``text``, ``text_s``
or ``number``). Media go as data URIs of the checked bytes. A field of a medium that is not on the card is not sent but refused,
and nothing that somebody outside writes becomes a field.
"""

from __future__ import annotations

from collections.abc import Mapping

from likeness.backends import RemoteModel
from likeness.errors import RemoteError
from likeness.remote import Doc, FaultCode, Json, MediaKind, Mode, Output, RemoteJob, Role

_SUFFIX = {MediaKind.PICTURE: "pictures", MediaKind.VIDEO: "videos", MediaKind.SOUND: "sounds"}


def gateway_input(job: RemoteJob, model: RemoteModel) -> dict[str, Json]:
    """Raises: RemoteError ``mode_unsupported`` for a medium that the card has no field for."""
    fields, fixed = _mapping(model, "fields"), _mapping(model, "fixed")
    said: dict[str, Json] = dict(fixed)
    plain: dict[str, Json] = {
        "prompt": job.prompt,
        "seconds": _seconds(job.seconds, str(model.extra.get("seconds_as", "number"))),
        "ratio": job.ratio,
        "resolution": job.resolution,
        "seed": job.seed,
        "sound": job.sound,
    }
    for name, value in plain.items():
        if name in fields and value is not None:
            said[str(fields[name])] = value
    if job.mode is Mode.KEYFRAMES and "shots" in fields:
        said[str(fields["shots"])] = _shots(job)
    lists: dict[str, list[Json]] = {}
    for media in job.media:
        if media.role in (Role.REFERENCE, Role.KEYFRAME):
            lists.setdefault(_field(fields, f"{media.role.value}_{_SUFFIX[media.kind]}"), []).append(media.data_uri)
        else:
            said[_field(fields, media.role.value)] = media.data_uri
    return {**said, **lists}


def _shots(job: RemoteJob) -> Json:
    """One of whole seconds from each frame to the next, all together as long as the job."""
    count = len(job.media) - 1
    shorter, longer = divmod(job.seconds, count)
    return [{"duration": shorter + (place < longer), "prompt": job.prompt_of(place)} for place in range(count)]


def outputs_of(result: Doc, *, names: tuple[str, ...] = ("video", "videos", "images", "image")) -> tuple[Output, ...]:
    """The files of a result: an object with ``url``, or a list of such; none when there are none."""
    found: list[Output] = []
    for name in names:
        if not result.has(name):
            continue
        kind = MediaKind.VIDEO if name.startswith("video") else MediaKind.PICTURE
        listed = result.docs(name) if name.endswith("s") else [result.doc(name)]
        found += [Output(kind=kind, url=each.text("url")) for each in listed if each.has("url")]
    return tuple(found)


def _field(fields: Mapping[str, Json], name: str) -> str:
    if name not in fields:
        raise RemoteError(f"the model has no field for {name}", code=FaultCode.MODE_UNSUPPORTED)
    return str(fields[name])


def _mapping(model: RemoteModel, name: str) -> Mapping[str, Json]:
    value = model.extra.get(name, {})
    return value if isinstance(value, Mapping) else {}


def _seconds(seconds: int, spelled: str) -> Json:
    match spelled:
        case "text":
            return str(seconds)
        case "text_s":
            return f"{seconds}s"
        case _:
            return seconds
