"""The implicit label of GB 45438-2025 stands where the practice guide has it, lives through a remux, and breaks on nothing."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from likeness.aigc import AigcLabel, read_label
from likeness.encode import encode

LABEL = AigcLabel(producer="Mien", produce_id="a" * 64)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clips") / "clip.mp4"
    frames = iter([np.full((64, 64, 3), level, np.uint8) for level in range(12)])
    encode(frames, None, width=64, height=64, fps=12, out=out, metadata=LABEL.to_metadata())
    return out


def test_the_label_has_the_seven_fields_of_the_standard(file: Path) -> None:
    with av.open(str(file)) as container:
        fields = json.loads(container.metadata["AIGC"])
    assert list(fields) == [
        "Label", "ContentProducer", "ProduceID", "ReservedCode1", "ContentPropagator", "PropagateID", "ReservedCode2",
    ]  # fmt: skip
    assert (fields["Label"], fields["ContentProducer"], fields["ProduceID"]) == ("1", "Mien", "a" * 64)
    assert read_label(file.read_bytes()) == LABEL


def test_it_lives_through_a_plain_remux(file: Path, tmp_path: Path) -> None:
    """As ``ffmpeg -c copy`` does it: streams and tags copied, with no option for keys of one's own."""
    out = tmp_path / "copied.mp4"
    with av.open(str(file)) as source, av.open(str(out), "w", format="mp4") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        target.metadata.update(source.metadata)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    with av.open(str(out)) as container:
        assert "AIGC" not in container.metadata
    assert read_label(out.read_bytes()) == LABEL


@pytest.mark.parametrize(
    "text",
    [
        '{"Label":"1"}',
        '{"Label":1,"ContentProducer":"x","ProduceID":"y"}',
        '{"AIGC":[]}',
        "[" * 5000,
        "AIGC",
        "\x00\xff",
    ],
)
def test_what_only_looks_like_a_label_is_none(tmp_path: Path, text: str) -> None:
    out = tmp_path / "clip.mp4"
    frames = iter([np.zeros((64, 64, 3), np.uint8)])
    encode(frames, None, width=64, height=64, fps=12, out=out, metadata={"AIGC": text.replace("\x00", "")})
    assert read_label(out.read_bytes()) is None


@given(st.binary(max_size=400))
def test_any_bytes_are_read_without_breaking(data: bytes) -> None:
    assert read_label(data) is None


@given(st.integers(0, 10**9), st.integers(0, 255))
@settings(max_examples=200)
def test_a_damaged_file_is_read_without_breaking(file: Path, place: int, value: int) -> None:
    data = bytearray(file.read_bytes())
    data[place % len(data)] = value
    found = read_label(bytes(data))
    assert found is None or isinstance(found, AigcLabel)
    assert read_label(bytes(data[: place % len(data)])) in (None, LABEL)
