"""Sealed files in a folder, in memory and on an S3 server: one behaviour."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.files import FileGone, Files, FileTooLarge, FolderFiles, StorageUnavailable, open_files
from api.shreds import begin_shred_list, put_together, read_shreds, shred_list_id
from tests.api.s3 import s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as bucket:
        yield bucket


@pytest.fixture(params=["folder", "memory", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    if request.param == "folder":
        return open_files(str(tmp_path / "media"))
    if request.param == "memory":
        return open_files(f"memory://{tmp_path.name}")
    return open_files(f"{request.getfixturevalue('s3')}/{tmp_path.name}")


def test_a_file_comes_back_as_it_was_written(files: Files) -> None:
    files.write("ab/sld_1", b"one" * 50_000)
    files.write("ab/sld_1", b"two" * 50_000)  # in place of what was there
    files.write("cd/sld_2", b"x")
    assert files.read("ab/sld_1", most=150_000) == b"two" * 50_000
    assert files.read("cd/sld_2", most=10) == b"x"


def test_what_is_not_there_is_gone_and_erasing_it_is_no_fault(files: Files) -> None:
    files.write("ab/sld_1", b"x")
    files.erase("ab/sld_1")
    files.erase("ab/sld_1")
    for name in ("ab/sld_1", "zz/sld_9"):
        with pytest.raises(FileGone):
            files.read(name, most=10)


def test_reading_is_bounded(files: Files) -> None:
    files.write("ab/sld_1", b"x" * 11)
    assert len(files.read("ab/sld_1", most=11)) == 11
    with pytest.raises(FileTooLarge):
        files.read("ab/sld_1", most=10)


def test_every_file_is_found_with_its_age(files: Files) -> None:
    assert list(files.found()) == []
    for name in ("ab/sld_1", "cd/sld_2", "shreds/1.jsonl"):
        files.write(name, b"x")
    found = {each.name: each.written_at for each in files.found()}
    assert set(found) == {"ab/sld_1", "cd/sld_2", "shreds/1.jsonl"}
    assert all(at is not None and abs(at - time.time()) < 3600 for at in found.values())
    assert [each.name for each in files.found("shreds")] == ["shreds/1.jsonl"]


def test_the_shred_list_keeps_its_id_and_loses_no_entry_when_put_together(files: Files) -> None:
    assert shred_list_id(files) is None
    known = begin_shred_list(files)
    assert begin_shred_list(files) == known == shred_list_id(files)
    for number in range(70):
        files.write(f"shreds/{number:012d}-a.jsonl", _line(number))
    assert put_together(files) == 70
    assert put_together(files) == 0
    assert {shred.number for shred in read_shreds(files)} == set(range(70))
    assert len(list(files.found("shreds"))) == 2
    assert shred_list_id(files) == known


def _line(number: int) -> bytes:
    return f'[{number}, "key", "key_{number}", "2027-01-01T00:00:00.000000Z"]\n'.encode()


def test_a_folder_is_for_its_owner_and_leaves_no_draft(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path / "media")
    files.write("ab/sld_1", b"x")
    assert [path.name for path in (tmp_path / "media" / "ab").iterdir()] == ["sld_1"]
    assert (tmp_path / "media" / "ab" / "sld_1").stat().st_mode & 0o777 == 0o600


def test_an_erased_file_is_overwritten_first(tmp_path: Path) -> None:
    """Another name of the same blocks shows what was left in them."""
    files = FolderFiles(tmp_path / "media")
    files.write("ab/sld_1", b"secret" * 300_000)
    other = tmp_path / "other"
    other.hardlink_to(tmp_path / "media" / "ab" / "sld_1")
    files.erase("ab/sld_1")
    assert other.read_bytes() == bytes(1_800_000)


def test_a_storage_that_does_not_answer_is_said_without_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "media").write_text("not a folder")
    with pytest.raises(StorageUnavailable):
        FolderFiles(tmp_path / "media").write("ab/sld_1", b"x")
    with pytest.raises(StorageUnavailable, match="not installed"):
        open_files("nosuch://bucket")
    with s3_server() as bucket:
        files = open_files(f"{bucket}/x")
        missing = open_files("s3://another-bucket/x")
        with pytest.raises(StorageUnavailable) as caught:
            missing.write("ab/sld_1", b"x")
        assert "another-bucket" not in str(caught.value)
        files.write("ab/sld_1", b"x")
    with pytest.raises(StorageUnavailable):
        files.write("ab/sld_1", b"x")
