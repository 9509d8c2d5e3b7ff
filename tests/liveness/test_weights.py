"""A model file is given out only if every byte is the one on its card."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile
from pathlib import Path

import pytest

from liveness.errors import WeightsError
from liveness.weights import (
    FileState,
    ModelCard,
    card,
    check_card,
    licences,
    open_weights,
    parse_cards,
    read_cards,
)

CONTENT = {"model.bin": b"weights " * 500, "conf/model.conf": b"--beam=10.0\n"}


def card_text(
    content: dict[str, bytes] | None = None,
    *,
    card_id: str = "tiny",
    extra: str = "",
    file_extra: str = "",
    **fields: str,
) -> str:
    listed = "".join(
        f'    {{ path = "{path}", sha256 = "{hashlib.sha256(data).hexdigest()}", bytes = {len(data)}{file_extra} }},\n'
        for path, data in (CONTENT if content is None else content).items()
    )
    values = {
        "role": '"speech"',
        "version": '"1"',
        "licence": '"MIT"',
        "non_commercial": "false",
        "default": "true",
        "input": '{ kind = "sound", sample_rate_hz = 16000 }',
        "files": f"[\n{listed}]",
        "sources": '[{ pypi = "tiny-model", version = "1.0", within = "tiny_model/" }]',
    } | fields
    lines = "".join(f"{name} = {value}\n" for name, value in values.items())
    return f'[[card]]\nid = "{card_id}"\n{lines}{extra}'


def one(text: str) -> ModelCard:
    (made,) = parse_cards(text, origin="test")
    return made


def lay(folder: Path, made: ModelCard, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        place = folder / made.id / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def code_of(made: ModelCard, folder: Path, *, accept: bool = False) -> tuple[str, str]:
    with pytest.raises(WeightsError) as caught:
        open_weights(made, folder, accept_noncommercial=accept)
    assert "\n" not in str(caught.value)
    return caught.value.code, str(caught.value)


# Opening


def test_right_bytes_open(tmp_path: Path) -> None:
    made = one(card_text())
    lay(tmp_path, made, CONTENT)
    assert open_weights(made, tmp_path) == tmp_path / "tiny"


def test_nothing_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    code, line = code_of(one(card_text()), tmp_path)
    assert code == "weights_missing"
    assert "tiny: model.bin" in line
    assert "mien weights fetch" in line


@pytest.mark.parametrize("at", [0, 1, 2000, 3999])
def test_one_flipped_bit_is_refused(tmp_path: Path, at: int) -> None:
    made = one(card_text())
    broken = bytearray(CONTENT["model.bin"])
    broken[at] ^= 1
    lay(tmp_path, made, CONTENT | {"model.bin": bytes(broken)})
    assert code_of(made, tmp_path)[0] == "weights_altered"


@pytest.mark.parametrize("data", [b"", CONTENT["model.bin"][:-1], CONTENT["model.bin"] + b"\0"])
def test_cut_or_grown_files_are_refused_with_both_sizes(tmp_path: Path, data: bytes) -> None:
    made = one(card_text())
    lay(tmp_path, made, CONTENT | {"model.bin": data})
    code, line = code_of(made, tmp_path)
    assert code == "weights_altered"
    assert f"{len(data)} bytes, 4000 wanted" in line


def test_the_last_file_counts_as_much_as_the_first(tmp_path: Path) -> None:
    made = one(card_text())
    lay(tmp_path, made, CONTENT | {"conf/model.conf": b"--beam=99.0\n"})
    assert "conf/model.conf" in code_of(made, tmp_path)[1]


def test_a_folder_where_a_file_belongs_is_missing_not_a_crash(tmp_path: Path) -> None:
    made = one(card_text())
    (tmp_path / "tiny" / "model.bin").mkdir(parents=True)
    assert code_of(made, tmp_path)[0] == "weights_missing"


def test_a_file_that_no_card_names_is_refused(tmp_path: Path) -> None:
    """Speech libraries load a rescoring graph if one lies there: an attacker need not change a file, only add one."""
    made = one(card_text())
    lay(tmp_path, made, CONTENT | {"rescore/G.fst": b"other words"})
    code, line = code_of(made, tmp_path)
    assert code == "weights_altered"
    assert "rescore/G.fst" in line


def test_hidden_files_of_the_system_do_not_stop_the_start(tmp_path: Path) -> None:
    made = one(card_text())
    lay(tmp_path, made, CONTENT | {".DS_Store": b"x"})
    assert open_weights(made, tmp_path)


def test_noncommercial_weights_need_a_yes(tmp_path: Path) -> None:
    made = one(card_text(non_commercial="true", default="false", licence='"research only"'))
    lay(tmp_path, made, CONTENT)
    code, line = code_of(made, tmp_path)
    assert code == "weights_licence"
    assert "research only" in line
    assert {found.state for found in check_card(made, tmp_path)} == {FileState.LICENCE_NOT_ACCEPTED}
    assert open_weights(made, tmp_path, accept_noncommercial=True)


# Models in archives


def zipped(members: dict[str, bytes], *, link: str | None = None) -> bytes:
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        if link is not None:
            info = zipfile.ZipInfo(link)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


MEMBERS = {"model-1/am/final.mdl": b"acoustic" * 100, "model-1/README": b"hello"}
UNPACKED = {name.removeprefix("model-1/"): data for name, data in MEMBERS.items()}


def archive_card(data: bytes) -> ModelCard:
    return one(card_text({"model-1.zip": data}, file_extra=', unpack = "model-1/"'))


def test_an_unpacked_archive_opens(tmp_path: Path) -> None:
    made = archive_card(zipped(MEMBERS))
    lay(tmp_path, made, UNPACKED | {"model-1.zip": zipped(MEMBERS)})
    assert open_weights(made, tmp_path) == tmp_path / "tiny"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"am/final.mdl": b"acoustiC" * 100}, "weights_altered"),
        ({"am/final.mdl": b"short"}, "weights_altered"),
        ({"ivector/final.ie": b"added"}, "weights_altered"),
        ({"model-1.zip": zipped(MEMBERS | {"model-1/README": b"HELLO"})}, "weights_altered"),
    ],
)
def test_unpacked_files_are_held_against_the_pinned_archive(
    tmp_path: Path, change: dict[str, bytes], code: str
) -> None:
    made = archive_card(zipped(MEMBERS))
    lay(tmp_path, made, UNPACKED | {"model-1.zip": zipped(MEMBERS)} | change)
    assert code_of(made, tmp_path)[0] == code


def test_an_archive_that_was_not_unpacked_is_missing_its_files(tmp_path: Path) -> None:
    made = archive_card(zipped(MEMBERS))
    lay(tmp_path, made, {"model-1.zip": zipped(MEMBERS)})
    assert code_of(made, tmp_path)[0] == "weights_missing"


@pytest.mark.parametrize(
    "data",
    [
        zipped(MEMBERS | {"model-1/../../x": b"out"}),
        zipped(MEMBERS | {"model-1//etc/x": b"out"}),
        zipped(MEMBERS | {"model-1/C:\\x": b"out"}),
        zipped(MEMBERS | {"model-1/readme": b"same place on some disks"}),
        zipped(MEMBERS, link="model-1/am/link"),
        zipped({"elsewhere/final.mdl": b"x"}),
        b"no archive at all",
    ],
)
def test_archives_that_reach_out_are_refused_even_with_the_right_hash(tmp_path: Path, data: bytes) -> None:
    made = archive_card(data)
    lay(tmp_path, made, UNPACKED | {"model-1.zip": data})
    assert code_of(made, tmp_path)[0] == "weights_altered"


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model-1/zeros", bytes(5_000_000))
    made = archive_card(buffer.getvalue())
    lay(tmp_path, made, {"model-1.zip": buffer.getvalue()})
    assert "times its size" in code_of(made, tmp_path)[1]


# Cards


def refusal(text: str) -> str:
    with pytest.raises(WeightsError) as caught:
        parse_cards(text, origin="mine.toml")
    assert caught.value.code == "weights_card_invalid"
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        card_text(extra="sha265 = 'x'\n"),
        card_text(file_extra=", md5 = 'x'"),
        card_text(input='{ kind = "sound", sample_rate = 16000 }'),
        card_text(sources='[{ pypi = "a", version = "1", within = "a/", index = "b" }]'),
        card_text() + "\n[settings]\nanything = 1\n",
    ],
)
def test_unknown_fields_are_refused(text: str) -> None:
    assert "unknown field" in refusal(text)


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "/etc/x",
        "a//x",
        "./x",
        ".hidden",
        "a/.x",
        "C:x",
        "a\\\\..\\\\x",
        "",
        "a/",
        "x\\u0000",
        "a b",
    ],
)
def test_paths_that_leave_the_folder_are_refused(path: str) -> None:
    refusal(card_text({path: b"x"}))


@pytest.mark.parametrize("folder", ["../", "/", "a/../b/", "a", "a\\\\b/"])
def test_so_are_folders_inside_archives(folder: str) -> None:
    refusal(card_text(sources=f'[{{ pypi = "a", version = "1", within = "{folder}" }}]'))
    refusal(card_text(file_extra=f', unpack = "{folder}"'))


@pytest.mark.parametrize(
    "source",
    [
        '{ pypi = "--index-url=x", version = "1", within = "" }',
        '{ pypi = "a", version = ">=1", within = "" }',
        '{ pypi = "a @ https://x", version = "1", within = "" }',
        '{ npm = "git+https://x", version = "1", within = "" }',
        '{ npm = "a", version = "latest || x", within = "" }',
        '{ npm = "-g", version = "1", within = "" }',
        '{ url = "http://example.org/x/" }',
        '{ url = "file:///etc/" }',
        '{ url = "https://user:secret@example.org/" }',
        '{ url = "https://example.org/model.bin" }',
        '{ archive = "https://example.org/a.zip", within = "" }',
        "{ }",
    ],
)
def test_a_source_is_a_plain_name_or_address(source: str) -> None:
    """Names and versions become arguments of pip and npm; none may be an option, a range or a place to run code from."""
    refusal(card_text(sources=f"[{source}]"))


@pytest.mark.parametrize(
    "fields",
    [
        {"non_commercial": '"false"'},
        {"default": "1"},
        {"role": '"oracle"'},
        {"role": "3"},
        {"input": '{ kind = "sound", std = 0 }'},
        {"input": '{ kind = "picture", colour = "GBR" }'},
        {"input": '{ kind = "picture", shape = [1, 0] }'},
        {"files": "[]"},
        {"files": '"model.bin"'},
        {"files": f'[{{ path = "a", sha256 = "{"0" * 64}", bytes = -1 }}]'},
        {"files": f'[{{ path = "a", sha256 = "{"0" * 64}", bytes = true }}]'},
        {"files": f'[{{ path = "a", sha256 = "{"A" * 64}", bytes = 1 }}]'},
        {"files": '[{ path = "a", bytes = 1 }]'},
        {"non_commercial": "true"},
        {"version": '""'},
        {"licence": '"two\\nlines"'},
    ],
)
def test_wrong_values_are_refused(fields: dict[str, str]) -> None:
    refusal(card_text(**fields))


def test_a_card_names_no_file_twice() -> None:
    refusal(card_text({"model.bin": b"x", "MODEL.BIN": b"y"}))


def test_text_that_is_no_toml_is_refused_in_one_line() -> None:
    refusal("[[card]\nid = ")


def test_an_operator_adds_cards_and_replaces_none(tmp_path: Path) -> None:
    own = tmp_path / "cards.toml"
    own.write_text(card_text(card_id="my_model"))
    assert card("my_model", read_cards("liveness", own=own)).files[0].path == "model.bin"
    own.write_text(card_text(card_id="face_embedder"))
    with pytest.raises(WeightsError, match="two model cards"):
        read_cards("liveness", own=own)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_cards("liveness", own=tmp_path / "none.toml")


def test_the_example_for_operators_is_a_valid_card() -> None:
    import liveness

    lines = (Path(liveness.__file__).parent / "models.toml").read_text(encoding="utf-8").splitlines()
    example = [line.removeprefix("#   ") for line in lines if line.startswith("#   ")]
    assert one("\n".join(example)).files[0].unpack == "my-model/"


# The cards we ship


def test_the_default_set_is_free_to_use_and_needs_no_maker() -> None:
    """A machine with the package registries alone, and without --accept-noncommercial, runs the whole job."""
    for each in read_cards("liveness", "likeness"):
        if each.default:
            assert not each.non_commercial
            assert any(hasattr(source, "registry") for source in each.sources), each.id


def test_insightface_weights_are_marked_noncommercial() -> None:
    for each in read_cards("liveness"):
        assert each.non_commercial == ("deepinsight" in "".join(map(str, each.sources))), each.id


def test_the_embedder_is_fed_as_its_card_says() -> None:
    contract = card("face_embedder").input
    assert (contract.shape, contract.mean, contract.std, contract.colour) == ((1, 3, 112, 112), 127.0, 128.0, "RGB")


def test_the_licence_line_names_each_model_once_and_noncommercial_first() -> None:
    line = licences(read_cards("liveness", "likeness"))
    assert line.startswith("models: NON-COMMERCIAL InsightFace")
    names = re.findall(r"[a-z]+(?:_[a-z]+)+", line)
    assert sorted(names) == sorted(each.id for each in read_cards("liveness", "likeness") if "_" in each.id)


def test_the_version_in_verdicts_follows_every_file() -> None:
    first = one(card_text())
    second = one(card_text(CONTENT | {"conf/model.conf": b"--beam=9.0\n"}))
    assert first.model_version != second.model_version
    assert first.model_version == one(card_text(dict(reversed(CONTENT.items())))).model_version


def test_an_unknown_id_is_answered_with_the_known_ones() -> None:
    with pytest.raises(WeightsError, match="face_embedder") as caught:
        card("face_embeder")
    assert caught.value.code == "weights_unknown"


@pytest.mark.weights
@pytest.mark.parametrize("card_id", [each.id for each in read_cards("liveness", "likeness") if each.default])
def test_the_real_weights_open(weights: Path, card_id: str) -> None:
    made = card(card_id, read_cards("liveness", "likeness"))
    home = open_weights(made, weights)
    assert all(os.access(home / file.path, os.R_OK) for file in made.files)
