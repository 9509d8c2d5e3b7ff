"""What a clip is asked for with: kept sealed until the worker takes it, and hashed into what permits are bound to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from consent.canonical import Json, encode, sha256_hex
from consent.content import ContentCategory
from consent.terms import Purpose
from likeness.remote import Mode
from likeness.vendor_job import Wish
from liveness.digits import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedShot:
    """The way from one photograph of a story to the next."""

    seconds: float
    caption: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedLine:
    """Something that is said in turn. ``consent``: of who says it; ``None``: all together."""

    text: str = field(repr=False)
    consent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A clip that was asked for. ``owner``: key id of the app; ``media_sha256``: of its media, sound and music, in order.

    lines : of a portrait, instead of a script. shots, music : of a story. face_of : of a cameo, the consent whose face goes
    into the film. voices : whose voice a recording is that goes to a vendor, by medium: a place among ``tokens``, or nobody's.
    """

    kind: str
    backend: str
    purpose: Purpose
    tokens: tuple[str, ...] = field(repr=False)
    media: tuple[str, ...]
    sound: str | None
    script: str | None = field(repr=False)
    language: Language
    max_seconds: int | None
    width: int
    height: int
    owner: str
    media_sha256: tuple[str, ...]
    maker: str | None = None
    categories: tuple[ContentCategory, ...] | None = None
    territories: tuple[str, ...] | None = None
    shots: tuple[OrderedShot, ...] = ()
    music: str | None = None
    face_of: str | None = None
    remote: Wish | None = None
    lines: tuple[OrderedLine, ...] = ()
    voices: tuple[tuple[str, int | None], ...] = ()

    @property
    def words(self) -> str | None:
        """All words that the clip says or shows; ``None``: what is said in a recording is not known here."""
        if self.remote is not None:
            said = " ".join(each for each in (self.remote.prompt, *self.remote.prompts) if each)
            return None if self.remote.sound or self.sound is not None else said
        if self.kind == "portrait":
            return " ".join(line.text for line in self.lines) if self.lines else self.script
        if self.kind == "story" and self.sound is None and self.music is None:
            return " ".join(shot.caption for shot in self.shots)
        return None


def job_sha256(order: Order) -> str:
    """Hash of everything that decides what the clip will show and say, and of nothing else."""
    own: dict[str, Json] = {}  # what a kind adds, so that portraits hash as they always did
    if order.kind == "story":
        own = {
            "shots": [{"milliseconds": round(1000 * shot.seconds), "caption": shot.caption} for shot in order.shots],
            "music": order.music is not None,
            "sound": order.sound is not None,
        }
    elif order.kind == "cameo":
        own = {"face_of": order.face_of}
    elif order.lines:
        own = {"lines": [{"consent": line.consent, "text": line.text} for line in order.lines]}
    elif order.remote is not None and order.sound is not None:
        own = {"voices": [voice for _, voice in order.voices]}
    return sha256_hex(
        encode(
            {
                "kind": order.kind,
                "backend": order.backend,
                "purpose": order.purpose.value,
                "script": order.script,
                "language": order.language.value,
                "media_sha256": list(order.media_sha256),
                "max_seconds": order.max_seconds,
                "width": order.width,
                "height": order.height,
                **own,
            }
            | ({} if order.remote is None else {"remote": _wish(order.remote)})
        )
    )


def _wish(wish: Wish) -> dict[str, Json]:
    said: dict[str, Json] = {**asdict(wish), "mode": wish.mode.value, "prompts": list(wish.prompts)}
    if not wish.prompts:  # as it always hashed
        del said["prompts"]
    return said


def order_to_bytes(order: Order) -> bytes:
    return json.dumps(asdict(order)).encode()


def order_from_bytes(content: bytes) -> Order:
    """The order; one of an earlier release states neither maker nor content nor territory, and is a portrait's."""
    found = json.loads(content)
    categories, territories = found.get("categories"), found.get("territories")
    remote = found.get("remote")
    return Order(
        kind=found["kind"],
        backend=found["backend"],
        purpose=Purpose(found["purpose"]),
        tokens=tuple(found["tokens"]),
        media=tuple(found["media"]),
        sound=found["sound"],
        script=found["script"],
        language=Language(found["language"]),
        max_seconds=found["max_seconds"],
        width=found["width"],
        height=found["height"],
        owner=found["owner"],
        media_sha256=tuple(found["media_sha256"]),
        maker=found.get("maker"),
        categories=None if categories is None else tuple(ContentCategory(name) for name in categories),
        territories=None if territories is None else tuple(territories),
        shots=tuple(OrderedShot(**shot) for shot in found.get("shots", ())),
        music=found.get("music"),
        face_of=found.get("face_of"),
        lines=tuple(OrderedLine(**line) for line in found.get("lines", ())),
        remote=None
        if remote is None
        else Wish(**{**remote, "mode": Mode(remote["mode"]), "prompts": tuple(remote.get("prompts", ()))}),
        voices=tuple((media_id, voice) for media_id, voice in found.get("voices", ())),
    )
