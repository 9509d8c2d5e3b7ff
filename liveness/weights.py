"""Model cards, and the only way to a model file: every byte is checked against its card before a path is given out.

A card (``models.toml``) names a model's files with size and SHA-256, its licence, what it takes as input and where its
bytes may come from. Where they did come from does not matter: content is accepted by its hash alone.

    cards = read_cards("liveness")
    folder = open_weights(card("face_embedder", cards), Path("var/weights"))

Nothing here downloads (that is :mod:`api.fetch`) and nothing is read from disk on import. The check happens once, when the
service starts; whoever can write to the weights folder while the service runs is outside of what it protects from.
"""

from __future__ import annotations

import hashlib
import re
import stat
import tomllib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import IO, NoReturn, TypeAlias, TypeVar, assert_never

from liveness.errors import WeightsError

CARDS_FILE = "models.toml"
_MOST_BYTES = 4 * 2**30  # of one file; far above any model that runs on two cores, far below any disk
_MOST_TOML_BYTES = 2**20
_MOST_EXPANSION = 20  # times an archive's size; speech models expand 1.5 to 4 times
_CHUNK = 2**20  # bytes

_ID = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PATH_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")  # never ".", "..", hidden, absolute, a drive or a backslash
_PYPI_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_NPM_NAME = re.compile(r"(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!-]*")  # one exact version, never an option or a range
_URL = re.compile(r"https://[^\s@]+|http://127\.0\.0\.1(:\d+)?/[^\s@]*")  # plain http on this machine only


class Role(StrEnum):
    """What a model is for."""

    FACE_LANDMARKS = "face_landmarks"
    FACE_DETECTION = "face_detection"
    FACE_EMBEDDING = "face_embedding"
    PRESENTATION_ATTACK = "presentation_attack"
    SPEECH = "speech"
    VOICE = "voice"
    FONT = "font"


class InputKind(StrEnum):
    """What a model takes."""

    PICTURE = "picture"
    SOUND = "sound"
    TEXT = "text"


class Colour(StrEnum):
    """Order of the colour channels that a model was trained with."""

    RGB = "RGB"
    BGR = "BGR"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputContract:
    """What a model takes as input. Feeding anything else gives wrong numbers, not an error.

    Attributes:
        kind: picture, sound or text.
        shape: of one input; -1 where the model takes any size. Empty where the library shapes it.
        mean, std: the model takes ``(x - mean) / std`` of pixel values 0..255, or of samples -1..1.
        colour: channel order, for pictures.
        crop_scale: for a model that takes a cut around a face: side of the cut in face boxes.
        sample_rate_hz: of the sound taken; for a voice, of the sound made.
    """

    kind: InputKind
    shape: tuple[int, ...] = ()
    mean: float = 0.0
    std: float = 1.0
    colour: Colour | None = None
    crop_scale: float | None = None
    sample_rate_hz: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFile:
    """One file of a model.

    Attributes:
        path: below the card's folder, with ``/``.
        sha256: of the content, lower-case hexadecimal.
        bytes: exact size.
        unpack: None for a plain file. For a zip archive whose members' hashes nobody published: the folder inside it
            whose content is laid out in the card's folder. The archive itself is kept: its hash is what the unpacked
            files are checked against, each time.
    """

    path: str
    sha256: str
    bytes: int
    unpack: str | None = None

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


class Registry(StrEnum):
    """Where distributions come from, through the user's own client and settings."""

    PYPI = "PyPI"
    NPM = "npm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A registry's archive; the card's file ``path`` is its member ``within + path``."""

    registry: Registry
    name: str
    version: str
    within: str

    def __str__(self) -> str:
        return f"{self.registry} {self.name} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MakerFiles:
    """The maker serves the card's files one by one: ``path`` is at ``url + path``."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class MakerArchive:
    """The maker serves an archive whose own hash is not known; member ``within + path`` is accepted by its own hash."""

    url: str
    within: str
    at_most_bytes: int

    def __str__(self) -> str:
        return self.url


Source: TypeAlias = Distribution | MakerFiles | MakerArchive


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A model: what it is, under which licence, what it takes, and the bytes it consists of."""

    id: str
    role: Role
    version: str
    licence: str
    non_commercial: bool
    default: bool
    language: str | None
    input: InputContract
    files: tuple[CardFile, ...]
    sources: tuple[Source, ...]

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(file.bytes for file in self.files)

    @property
    def sha256(self) -> str:
        """Of the file, for a model of one file; else over the sorted list of paths and hashes."""
        if len(self.files) == 1:
            return self.files[0].sha256
        lines = sorted(f"{file.sha256}  {file.path}\n" for file in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def model_version(self) -> str:
        """For verdicts: which model, which version, which bytes."""
        return f"{self.id} {self.version} {self.sha256[:12]}"

    @property
    def only_file(self) -> CardFile:
        """The file of a model that has just one.

        Raises:
            WeightsError: it has several.
        """
        if len(self.files) != 1:
            raise WeightsError(f"{self.id}: has {len(self.files)} files, not one", code="weights_card_invalid")
        return self.files[0]


class FileState(StrEnum):
    """What was found where a file of a card belongs."""

    OK = "ok"
    MISSING = "missing"
    ALTERED = "altered"
    NOT_ON_CARD = "not_on_card"
    LICENCE_NOT_ACCEPTED = "licence_not_accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck:
    """The state of one file; ``path`` is below the card's folder."""

    card_id: str
    path: str
    state: FileState
    detail: str = ""


# Opening


def open_weights(card: ModelCard, folder: Path, *, accept_noncommercial: bool = False) -> Path:
    """The card's folder below ``folder``, after the size and SHA-256 of every file in it were found right.

    1. A non-commercial licence is accepted, or nothing is opened.
    2. Every file of the card is there with the right bytes; unpacked files equal their archive's members.
    3. Nothing lies there that the card does not name: libraries load optional files by name if they find them.

    Raises:
        WeightsError: codes ``weights_licence``, ``weights_missing``, ``weights_altered``.
    """
    for found in check_card(card, folder, accept_noncommercial=accept_noncommercial):
        where = f"{card.id}: {found.path}"
        match found.state:
            case FileState.OK:
                continue
            case FileState.LICENCE_NOT_ACCEPTED:
                raise WeightsError(
                    f"{card.id}: its licence is non-commercial ({card.licence}) and was not accepted",
                    code="weights_licence",
                )
            case FileState.MISSING:
                raise WeightsError(f"{where} is missing from {folder}; run: mien weights fetch", code="weights_missing")
            case FileState.ALTERED:
                raise WeightsError(
                    f"{where} is not the file of its card ({found.detail}); run: mien weights fetch",
                    code="weights_altered",
                )
            case FileState.NOT_ON_CARD:
                raise WeightsError(
                    f"{where} lies in the model's folder and is not on its card; remove it", code="weights_altered"
                )
            case _ as never:
                assert_never(never)
    return folder / card.id


def check_card(card: ModelCard, folder: Path, *, accept_noncommercial: bool = False) -> Iterator[FileCheck]:
    """One result for each file of the card, then one for each file that should not be there. Lazy: it may be left early."""

    def result(path: str, state: FileState, detail: str = "") -> FileCheck:
        return FileCheck(card_id=card.id, path=path, state=state, detail=detail)

    if card.non_commercial and not accept_noncommercial:
        yield from (result(file.path, FileState.LICENCE_NOT_ACCEPTED) for file in card.files)
        return
    home = folder / card.id
    expected: set[str] = set()
    whole = True
    for file in card.files:
        expected.add(file.path)
        state, detail = _state(home / file.path, file)
        yield result(file.path, state, detail)
        if state is not FileState.OK:
            whole = False
        elif file.unpack is not None:
            try:
                members = archive_members(home / file.path, file)
            except WeightsError as error:
                yield result(file.path, FileState.ALTERED, str(error))
                whole = False
                continue
            for member in members:
                expected.add(member.path)
                yield result(member.path, *_state_of_unpacked(home, file, member))
    if whole:  # the members of an archive that is missing or altered are not known
        yield from (result(path, FileState.NOT_ON_CARD) for path in _strays(home, expected))


def _state(path: Path, file: CardFile) -> tuple[FileState, str]:
    try:
        if not path.is_file():
            return FileState.MISSING, ""
        size = path.stat().st_size
        if size != file.bytes:
            return FileState.ALTERED, f"{size} bytes, {file.bytes} wanted"
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        return FileState.ALTERED, f"cannot be read: {error.strerror}"
    if digest != file.sha256:
        return FileState.ALTERED, f"sha256 {digest[:12]}..., {file.sha256[:12]}... wanted"
    return FileState.OK, ""


def _strays(home: Path, expected: set[str]) -> Iterator[str]:
    """Files in the folder that no card names. Hidden ones are left alone: systems drop them, no model reads them."""
    for path in sorted(home.rglob("*")):
        inside = path.relative_to(home)
        hidden = any(part.startswith(".") for part in inside.parts)
        if not hidden and not path.is_dir() and inside.as_posix() not in expected:
            yield inside.as_posix()


# Archives that are unpacked


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveMember:
    """A file inside an archive: its name there, and its path in the card's folder."""

    name: str
    path: str
    bytes: int


def archive_members(archive: Path, file: CardFile) -> tuple[ArchiveMember, ...]:
    """The files that are unpacked from a zip archive.

    The archive's hash was checked before; the names are checked all the same, since a card's writer pins what a maker
    made and may not have looked inside.

    Raises:
        WeightsError: no zip archive, a member that would leave the folder, a link, an encrypted member, two members for
            one path, far more bytes than the archive has, or nothing below ``file.unpack``. Code ``weights_altered``.
    """
    prefix = file.unpack or ""
    members: dict[str, ArchiveMember] = {}
    try:
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if info.is_dir() or not info.filename.startswith(prefix):
                    continue
                path = info.filename.removeprefix(prefix)
                if not _stays_inside(path):
                    raise _archive_refused(file, f"member {info.filename!r} would leave the folder")
                if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG) or info.flag_bits & 1:
                    raise _archive_refused(file, f"member {info.filename!r} is no plain file")
                if path.lower() in members or path == file.path:
                    raise _archive_refused(file, f"two members for {path!r}")
                members[path.lower()] = ArchiveMember(name=info.filename, path=path, bytes=info.file_size)
    except (OSError, zipfile.BadZipFile) as error:
        raise _archive_refused(file, "is no readable zip archive") from error
    if not members:
        raise _archive_refused(file, f"has no files below {prefix!r}")
    if sum(member.bytes for member in members.values()) > _MOST_EXPANSION * file.bytes:
        raise _archive_refused(file, f"unpacks to more than {_MOST_EXPANSION} times its size")
    return tuple(members.values())


def _archive_refused(file: CardFile, why: str) -> WeightsError:
    return WeightsError(f"{file.path}: {why}", code="weights_altered")


def _stays_inside(path: str) -> bool:
    return all(_PATH_PART.fullmatch(part) for part in path.split("/"))


def _state_of_unpacked(home: Path, file: CardFile, member: ArchiveMember) -> tuple[FileState, str]:
    """Compares the unpacked file with the archive's member, byte for byte: the archive's hash is on the card."""
    path = home / member.path
    try:
        if not path.is_file():
            return FileState.MISSING, ""
        if path.stat().st_size != member.bytes:
            return FileState.ALTERED, f"{path.stat().st_size} bytes, {member.bytes} wanted"
        with zipfile.ZipFile(home / file.path) as archive, archive.open(member.name) as want, path.open("rb") as have:
            same = _same_content(want, have)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        return FileState.ALTERED, f"cannot be compared with {file.path}: {error}"
    return (FileState.OK, "") if same else (FileState.ALTERED, f"differs from {file.path}")


def _same_content(one: IO[bytes], other: IO[bytes]) -> bool:
    while True:
        left, right = one.read(_CHUNK), other.read(_CHUNK)
        if left != right:
            return False
        if not left:
            return True


# Cards


def read_cards(*packages: str, own: Path | None = None) -> tuple[ModelCard, ...]:
    """The cards of the named packages (default: this one), then those of an operator's own file.

    ``own`` is the setting MIEN_MODEL_CARDS: models that we do not ship a card for, with the hash that the operator
    verified. It adds cards; it cannot replace one of ours.

    Raises:
        WeightsError: code ``weights_card_invalid``; the line names the file, the card and what is wrong.
    """
    cards: list[ModelCard] = []
    for package in packages or ("liveness",):
        text = (resources.files(package) / CARDS_FILE).read_text(encoding="utf-8")
        cards += parse_cards(text, origin=f"{package}/{CARDS_FILE}")
    if own is not None:
        try:
            with own.open("rb") as opened:
                text = opened.read(_MOST_TOML_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise WeightsError(f"{own}: model cards cannot be read", code="weights_card_invalid") from error
        cards += parse_cards(text, origin=str(own))
    seen: set[str] = set()
    for each in cards:
        if each.id in seen:
            raise WeightsError(f"two model cards have the id {each.id}", code="weights_card_invalid")
        seen.add(each.id)
    return tuple(cards)


def card(card_id: str, cards: Iterable[ModelCard] | None = None) -> ModelCard:
    """The card of that id among ``cards`` (default: the cards of this package).

    Raises:
        WeightsError: there is none; code ``weights_unknown``.
    """
    among = tuple(read_cards() if cards is None else cards)
    for each in among:
        if each.id == card_id:
            return each
    raise WeightsError(
        f"no model card {card_id!r}; there are {', '.join(each.id for each in among)}", code="weights_unknown"
    )


def licences(cards: Iterable[ModelCard]) -> str:
    """One line: which licences the given models run under, non-commercial ones first."""
    groups: dict[tuple[bool, str], list[str]] = {}
    for each in cards:
        groups.setdefault((not each.non_commercial, each.licence), []).append(each.id)
    return "models: " + "; ".join(
        f"{'' if commercial else 'NON-COMMERCIAL '}{licence}: {', '.join(sorted(ids))}"
        for (commercial, licence), ids in sorted(groups.items())
    )


def parse_cards(text: str, *, origin: str) -> tuple[ModelCard, ...]:
    """Cards from TOML. Unknown fields, wrong types and paths that leave the folder are refused.

    Raises:
        WeightsError: code ``weights_card_invalid``.
    """
    try:
        top = _Table(tomllib.loads(text), origin)
        tables = [_Table(raw, f"{origin}: card {raw.get('id', '?')}") for raw in top.tables("card")]
        top.nothing_left()
        return tuple(_card(table) for table in tables)
    except tomllib.TOMLDecodeError as error:
        raise WeightsError(f"{origin}: {error}", code="weights_card_invalid") from error


def _card(table: _Table) -> ModelCard:
    files = tuple(_file(_Table(raw, table.where)) for raw in table.tables("files"))
    if not files:
        table.refuse("has no files")
    paths = [file.path.lower() for file in files]
    if len(set(paths)) != len(paths):
        table.refuse("names a file twice")
    made = ModelCard(
        id=table.text("id", _ID),
        role=table.member("role", Role),
        version=table.text("version"),
        licence=table.text("licence"),
        non_commercial=table.boolean("non_commercial"),
        default=table.boolean("default"),
        language=table.text("language") if table.has("language") else None,
        input=_input(table.table("input")),
        files=files,
        sources=tuple(_source(_Table(raw, table.where)) for raw in table.tables("sources")),
    )
    if made.default and made.non_commercial:
        table.refuse("is non-commercial and cannot be in the default set")
    table.nothing_left()
    return made


def _file(table: _Table) -> CardFile:
    made = CardFile(
        path=table.path("path"),
        sha256=table.text("sha256", _SHA256),
        bytes=table.size("bytes"),
        unpack=table.folder("unpack") if table.has("unpack") else None,
    )
    table.nothing_left()
    return made


def _input(table: _Table) -> InputContract:
    made = InputContract(
        kind=table.member("kind", InputKind),
        shape=table.shape("shape") if table.has("shape") else (),
        mean=table.number("mean") if table.has("mean") else 0.0,
        std=table.number("std") if table.has("std") else 1.0,
        colour=table.member("colour", Colour) if table.has("colour") else None,
        crop_scale=table.number("crop_scale") if table.has("crop_scale") else None,
        sample_rate_hz=table.size("sample_rate_hz") if table.has("sample_rate_hz") else None,
    )
    if made.std == 0:
        table.refuse("std is 0")
    table.nothing_left()
    return made


def _source(table: _Table) -> Source:
    made: Source
    if table.has("pypi"):
        name, version = table.text("pypi", _PYPI_NAME), table.text("version", _VERSION)
        made = Distribution(registry=Registry.PYPI, name=name, version=version, within=table.folder("within"))
    elif table.has("npm"):
        name, version = table.text("npm", _NPM_NAME), table.text("version", _VERSION)
        made = Distribution(registry=Registry.NPM, name=name, version=version, within=table.folder("within"))
    elif table.has("archive"):
        url, within = table.text("archive", _URL), table.folder("within")
        made = MakerArchive(url=url, within=within, at_most_bytes=table.size("at_most_bytes"))
    else:
        made = MakerFiles(url=table.text("url", _URL))
        if not made.url.endswith("/"):
            table.refuse("url is a folder's, ending in /; the file's path is added to it")
    table.nothing_left()
    return made


_Code = TypeVar("_Code", bound=StrEnum)


class _Table:
    """A TOML table that is read once: each field by its type, then nothing may be left over."""

    def __init__(self, raw: Mapping[str, object], where: str) -> None:
        self._left = dict(raw)
        self.where = where

    def refuse(self, why: str) -> NoReturn:
        raise WeightsError(f"{self.where}: {why}", code="weights_card_invalid")

    def nothing_left(self) -> None:
        if self._left:
            self.refuse(f"unknown field {', '.join(sorted(self._left))}")

    def has(self, field: str) -> bool:
        return field in self._left

    def _take(self, field: str) -> object:
        if field not in self._left:
            self.refuse(f"field {field} is missing")
        return self._left.pop(field)

    def text(self, field: str, pattern: re.Pattern[str] | None = None) -> str:
        value = self._take(field)
        if (
            not isinstance(value, str)
            or not value.isprintable()
            or not (pattern.fullmatch(value) if pattern else value)
        ):
            raise self._wrong(field, value)
        return value

    def path(self, field: str) -> str:
        value = self.text(field)
        if not _stays_inside(value):
            self.refuse(f"{field} {value!r} leaves the model's folder")
        return value

    def folder(self, field: str) -> str:
        """Empty, or a relative path that ends in a slash."""
        value = self._take(field)
        if not isinstance(value, str) or (value and not (value.endswith("/") and _stays_inside(value[:-1]))):
            raise self._wrong(field, value)
        return value

    def boolean(self, field: str) -> bool:
        value = self._take(field)
        if not isinstance(value, bool):
            raise self._wrong(field, value)
        return value

    def size(self, field: str) -> int:
        value = self._take(field)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MOST_BYTES:
            raise self._wrong(field, value)
        return value

    def number(self, field: str) -> float:
        value = self._take(field)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e6:
            raise self._wrong(field, value)
        return float(value)

    def shape(self, field: str) -> tuple[int, ...]:
        value = self._take(field)
        if not isinstance(value, list) or not all(type(side) is int and (side > 0 or side == -1) for side in value):
            raise self._wrong(field, value)
        return tuple(value)

    def member(self, field: str, kind: type[_Code]) -> _Code:
        value = self._take(field)
        try:
            return kind(str(value))
        except ValueError:
            self.refuse(f"{field} is {value!r}, one of {', '.join(kind)} wanted")

    def table(self, field: str) -> _Table:
        value = self._take(field)
        if not isinstance(value, dict):
            raise self._wrong(field, value)
        return _Table(value, self.where)

    def tables(self, field: str) -> list[dict[str, object]]:
        value = self._take(field)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._wrong(field, value)
        return value

    def _wrong(self, field: str, value: object) -> WeightsError:
        return WeightsError(f"{self.where}: {field} cannot be {value!r}", code="weights_card_invalid")
