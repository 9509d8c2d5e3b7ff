"""What a permit is bound to: the job, in one spelling, so that a gate and a generator that never met hash the same bytes.

A job is everything that decides what the clip will show and say: the prompt, the digests of all media that go in, and the
generator's parameters. Its hash is SHA-256 over ``{"schema", "prompt", "media", "parameters"}`` in RFC 8785 (JCS), so
that order, spacing, escapes and ``1.0`` or ``1`` make no difference. What says nothing about the picture (where to call
back, an account) stays out of it.

A job must not carry a face that the gate cannot see. :func:`hidden_inputs` finds what names one without bytes: assets,
elements, earlier generations, voices and motion kept by a vendor, templates in a file, and addresses, whose content may
be another one by the time it is fetched. What such names look like, vendor by vendor: the documentation of Ark, Kling,
Vidu, Omni, Luma, PixVerse, Runway, Tencent VOD and LivePortrait, as of November 2026. It is a list of what is known,
not a proof that nothing else is hidden.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote

import rfc8785

from consent.canonical import is_sha256, sha256_hex
from consent.errors import ConsentInvalid

JOB_SCHEMA = "mien-job-1"
MOST_JOB_BYTES = 256 * 1024
_MOST_MEDIA = 64
_MOST_DEPTH = 32
_MOST_PLACE = 120

JobJson = None | bool | int | float | str | Sequence["JobJson"] | Mapping[str, "JobJson"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be made. ``media``: SHA-256 in hex of each input's bytes, in the order in which the generator takes them."""

    prompt: str | None = field(default=None, repr=False)
    media: tuple[str, ...] = ()
    parameters: Mapping[str, JobJson] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, JobJson]:
        return {
            "schema": JOB_SCHEMA,
            "prompt": self.prompt,
            "media": list(self.media),
            "parameters": dict(self.parameters),
        }


def job_sha256(job: Job) -> str:
    """The hash that permits are bound to, in hex.

    Raises:
        ConsentInvalid: code ``job_invalid``, when it cannot be spelled, or is too large.
    """
    try:
        spelled = rfc8785.dumps(job.to_json())
    except (rfc8785.CanonicalizationError, RecursionError, TypeError, ValueError) as error:
        raise ConsentInvalid("the job has no one spelling as JSON (RFC 8785)", code="job_invalid") from error
    if len(spelled) > MOST_JOB_BYTES:
        raise ConsentInvalid(f"{len(spelled)} bytes, at most {MOST_JOB_BYTES} taken", code="job_invalid")
    return sha256_hex(spelled)


def read_job(value: object) -> Job:
    """A job as it came over a wire; ``schema`` may be left out.

    Raises:
        ConsentInvalid: code ``job_invalid``, for anything else than a job.
    """
    if not isinstance(value, Mapping) or not set(value) <= {"schema", "prompt", "media", "parameters"}:
        raise _invalid("a job has prompt, media and parameters, and nothing else")
    prompt, media, parameters = value.get("prompt"), value.get("media", []), value.get("parameters", {})
    if value.get("schema", JOB_SCHEMA) != JOB_SCHEMA:
        raise _invalid("another kind of job")
    if prompt is not None and not isinstance(prompt, str):
        raise _invalid("the prompt is no text")
    if not isinstance(media, list) or len(media) > _MOST_MEDIA or not all(is_sha256(each) for each in media):
        raise _invalid(f"media are at most {_MOST_MEDIA} SHA-256 in hex")
    if not isinstance(parameters, dict):
        raise _invalid("the parameters are no object")
    return Job(prompt=prompt, media=tuple(media), parameters=parameters)


def job_of_request(method: str, path: str, body: Mapping[str, JobJson]) -> Job:
    """The job that an HTTP call to a generator is, where a filter in front of it holds the call against a permit.

    The whole body counts: whatever is changed in it after the gate was asked is another job.
    """
    return Job(parameters={"method": method.upper(), "path": path, "body": body})


def _invalid(why: str) -> ConsentInvalid:
    return ConsentInvalid(why, code="job_invalid")


# --- what a job may hide ---------------------------------------------------------------------------------------------


class Hides(StrEnum):
    """In what way an input shows nobody's face to the gate.

    handle   a name for something that a vendor keeps; known to us if it was handed in with an earlier clip.
    address  a URL; hand the address in as media, and name the bytes.
    file     a stored template or motion (pickle, array), or bytes written as text: no face can be found in it here.
    """

    HANDLE = "handle"
    ADDRESS = "address"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """An input without bytes. ``place``: where in the job it stands, as a JSON pointer (RFC 6901), cut short.

    value : the handle itself, of :attr:`Hides.HANDLE` only; for a member that names one, the member's value.
    """

    place: str
    how: Hides
    value: str | None = field(default=None, repr=False)


_SCHEMES = frozenset({"asset", "runway", "element", "draft", "character", "avatar"})
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{1,20}):[/\\]{1,4}([^\s\"'<>,;()\[\]{}]{1,400})", re.IGNORECASE)
_ADDRESS = re.compile(
    r"\bdata:[^\s,]{0,100},|\bblob:|(?:^|[\s\"'(=,])(?://|\\\\)[\w-]{1,63}[.:]\w|\bwww\.[\w-]", re.IGNORECASE
)
_PICTURED = (
    "jpe?g|jfif|png|apng|webp|gif|bmp|tiff?|hei[cf]|avif|jxl|svg|psd|dng|mp4|m4v|mov|webm|mkv|avi|mpe?g|wav|mp3|m4a|aac|flac|"
    "ogg|opus"
)
_STORED = r"pkl|pickle|npy|npz|pt|pth|emb|joblib|dill|h5|lora|lycoris"
_FILE = re.compile(rf"[^\s.]\.(?:{_STORED}|{_PICTURED})(?!\w)", re.IGNORECASE)
_MODEL_FILE = re.compile(r"\.(?:safetensors|ckpt|gguf|onnx|bin)(?!\w)", re.IGNORECASE)
_MODEL_MEMBERS = frozenset({"checkpoint", "ckpt_name", "model", "model_name", "unet_name", "vae_name", "clip_name"})
_CALLED_IN = re.compile(
    r"<(?:lora|lyco|lycoris|hypernet|ti|embedding):[^>]{1,200}>|\bembedding:\S{1,200}", re.IGNORECASE
)
_LISTED = re.compile(r"<<<\s*([^<>]{1,100}?)\s*>>>")
_AT = re.compile(r"(?<![\w@./-])@([^\W_][\w.-]{0,60})")
_NUMBERED = re.compile(
    r"(?:image|img|pic|picture|photo|video|audio|element|frame|图|图片|视频|音频|主体)?_?\d+", re.IGNORECASE
)
_WORD_OF_BYTES = re.compile(
    r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{40,}={0,2}"
)  # base64 or hex, also in lines of 64 or 76
_MOST_LETTERS_OF_BYTES = 256  # no prompt has so many in words of forty and more
_MOST_NUMBERS = 64  # a row of more is a picture, a template or a motion
_MOST_NESTED_TEXT = 65_536
_NAMING = frozenset(
    {
        # Seedance, Ark
        "asset_id", "asset_ids", "draft_task", "draft_task_id", "group_id",
        # Kling
        "element_id", "element_ids", "element_list", "voice_id", "voice_list", "avatar_id",
        # Vidu, Omni, Luma, PixVerse, Sora, Runway, Higgsfield
        "server_id", "previous_interaction_id", "generation_id", "file_id", "file_ids", "img_id", "video_id", "media_id",
        "source_video_id", "original_video_id", "character_id", "character_ids", "cameo", "cameos", "custom_reference_id",
        "soul_id", "reference_id", "reference_ids", "remix_id", "extend_from", "previous_task_id", "origin_task_id",
        # Tencent VOD, Alibaba
        "object_id", "objectid", "fileid", "subject_id", "speaker_id",
        # local generators: what a person was trained or baked into
        "lora", "loras", "lora_name", "lora_id", "embedding", "embeddings", "ip_adapter_embeds", "motion_template",
        "template_file", "person_id", "face_id", "actor_id", "portrait_id",
        "identity_id", "image_id", "image_ids", "upload_id", "source_task_id", "parent_id", "style_id", "motion_id",
    }
)  # fmt: skip
"""Members whose value names somebody without showing them, written small and with underscores."""
_NAMING_RUN_TOGETHER = frozenset(name.replace("_", "") for name in _NAMING)


def hidden_inputs(job: Job) -> tuple[Hidden, ...]:
    """Everything in the prompt and the parameters that may carry a face which the gate cannot see, in order.

    Raises:
        ConsentInvalid: code ``job_invalid``, when it is nested too deeply to be looked through.
    """
    listed = frozenset(_texts(job.parameters, 0))
    found = list(_in_text(job.prompt, "/prompt", listed)) if job.prompt else []
    found += _in_value(job.parameters, "/parameters", 0, listed)
    return tuple(found)


def _in_value(
    value: JobJson, place: str, depth: int, listed: frozenset[str], *, model: bool = False
) -> Iterator[Hidden]:
    """``model``: it is the value of a member that says which model is used, whose file may be named."""
    if depth > _MOST_DEPTH:
        raise _invalid(f"nested deeper than {_MOST_DEPTH}")
    if isinstance(value, str):
        yield from _in_text(value, place, listed, model=model)
        inside = _as_json(value)
        if inside is not None:  # some vendors take their parameters as JSON in a text
            yield from _in_value(inside, place, depth + 1, listed)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            where, plain = _under(place, name), _plain(str(name))
            yield from _in_text(str(name), where, listed)
            if (
                isinstance(inner, str) and inner and plain in ("id", "uuid") and depth > 0
            ):  # of something that is not here
                yield Hidden(place=where[:_MOST_PLACE], how=Hides.HANDLE, value=inner)
            elif _names_somebody(plain) and not _is_nothing(inner):
                yield from _named(inner, where, depth + 1, listed)
            else:
                yield from _in_value(inner, where, depth + 1, listed, model=plain in _MODEL_MEMBERS)
    elif isinstance(value, Sequence):
        if _is_row_of_bytes(value):
            yield Hidden(place=place[:_MOST_PLACE], how=Hides.FILE)
        for number, inner in enumerate(value):
            yield from _in_value(inner, f"{place}/{number}", depth + 1, listed, model=model)


def _named(value: JobJson, place: str, depth: int, listed: frozenset[str]) -> Iterator[Hidden]:
    """The value of a member that names somebody: each text or number in it is a handle, whatever it looks like; of an object
    its ids, if it has any, and what else it holds is looked through like anything."""
    if depth > _MOST_DEPTH:
        raise _invalid(f"nested deeper than {_MOST_DEPTH}")
    if isinstance(value, str | int | float):
        yield Hidden(place=place[:_MOST_PLACE], how=Hides.HANDLE, value=str(value))
    elif isinstance(value, Mapping):
        ids = [name for name in value if _names_somebody(_plain(str(name))) or _plain(str(name)) == "id"]
        for name, inner in value.items():
            if not ids or name in ids:
                yield from _named(inner, _under(place, name), depth + 1, listed)
            else:
                yield from _in_value({name: inner}, place, depth + 1, listed)
    elif isinstance(value, Sequence):
        if _is_row_of_bytes(value):
            yield Hidden(place=place[:_MOST_PLACE], how=Hides.FILE)
            return
        for number, inner in enumerate(value):
            yield from _named(inner, f"{place}/{number}", depth + 1, listed)


def _in_text(text: str, place: str, listed: frozenset[str], *, model: bool = False) -> Iterator[Hidden]:
    """``listed``: all texts among the parameters; a name that a prompt calls (``@hero``) may be one of those."""
    plain, place = _as_read(text), place[:_MOST_PLACE]
    away = False
    for scheme, rest in _SCHEME.findall(plain):
        if scheme.lower() in _SCHEMES:
            yield Hidden(place=place, how=Hides.HANDLE, value=f"{scheme}://{rest.lstrip('/')}")
        else:
            away = True
    for called in _CALLED_IN.findall(plain):
        yield Hidden(place=place, how=Hides.HANDLE, value=called)
    for name in (*_LISTED.findall(plain), *_AT.findall(plain)):
        if name not in listed and name.rstrip(".-") not in listed and not _NUMBERED.fullmatch(name.rstrip(".-")):
            yield Hidden(place=place, how=Hides.HANDLE, value=name)
    if away or _ADDRESS.search(plain):
        yield Hidden(place=place, how=Hides.ADDRESS)
    elif _FILE.search(plain) or _holds_bytes(plain) or (_MODEL_FILE.search(plain) and not model):
        yield Hidden(place=place, how=Hides.FILE)


def _as_read(text: str) -> str:
    """As a lenient program would read it: one form of each letter (NFKC), no invisible ones, percent signs undone."""
    once = unquote(unicodedata.normalize("NFKC", text))
    return "".join(c for c in once if unicodedata.category(c) not in ("Cf", "Cc") or c in "\n\r\t")


def _as_json(text: str) -> JobJson:
    """What a text says as JSON, when it is an object or a list."""
    stripped = text.strip()
    if not stripped.startswith(("{", "[")) or len(stripped) > _MOST_NESTED_TEXT:
        return None
    try:
        inside: JobJson = json.loads(stripped)
    except (ValueError, RecursionError):
        return None
    return inside


def _holds_bytes(text: str) -> bool:
    return sum(map(len, _WORD_OF_BYTES.findall(text))) >= _MOST_LETTERS_OF_BYTES


def _is_row_of_bytes(values: Sequence[JobJson]) -> bool:
    """A row of numbers, or of pieces of text that are bytes together."""
    if sum(isinstance(each, int | float) and not isinstance(each, bool) for each in values) > _MOST_NUMBERS:
        return True
    pieces = [each for each in values if isinstance(each, str)]
    return len(pieces) > 1 and _holds_bytes("".join(pieces)) and not any(_holds_bytes(piece) for piece in pieces)


def _texts(value: JobJson, depth: int) -> Iterator[str]:
    if depth > _MOST_DEPTH:
        raise _invalid(f"nested deeper than {_MOST_DEPTH}")
    if isinstance(value, str):
        yield value.lstrip("@")
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner, depth + 1)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner, depth + 1)


def _under(place: str, name: str) -> str:
    return f"{place}/{str(name).replace('~', '~0').replace('/', '~1')}"


def _names_somebody(plain: str) -> bool:
    return plain in _NAMING or plain.replace("_", "") in _NAMING_RUN_TOGETHER


def _is_nothing(value: JobJson) -> bool:
    return value is None or value is False or value == "" or (isinstance(value, Mapping | list) and not value)


def _plain(name: str) -> str:
    """``elementId`` and ``Element-ID`` as ``element_id``."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", _as_read(name))
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")
