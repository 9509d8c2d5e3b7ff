"""What a permit is bound to: both sides hash the same bytes, and nothing that hides a face gets past."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.errors import ConsentInvalid
from consent.job import Hides, Job, hidden_inputs, job_of_request, job_sha256, read_job

PICTURE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def test_the_hash_is_that_of_the_one_spelling() -> None:
    spelled = (
        '{"media":["'
        + PICTURE
        + '"],"parameters":{"guidance":7.5,"ratio":"16:9"},"prompt":"She waves.","schema":"mien-job-1"}'
    )
    job = Job(prompt="She waves.", media=(PICTURE,), parameters={"ratio": "16:9", "guidance": 7.5})
    assert job_sha256(job) == hashlib.sha256(spelled.encode()).hexdigest()


def test_order_and_spelling_of_numbers_make_no_difference() -> None:
    one = read_job(json.loads('{"parameters": {"b": 1.0, "a": [true, null]}, "prompt": "\\u00e9"}'))
    other = read_job(json.loads('{"prompt": "é", "media": [], "parameters": {"a": [true, null], "b": 1}}'))
    assert job_sha256(one) == job_sha256(other)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "She waves!"},
        {"prompt": None},
        {"media": ["00" * 32]},
        {"media": [PICTURE, PICTURE]},
        {"parameters": {"seed": 2}},
        {"parameters": {"seed": "1"}},
    ],
)
def test_whatever_is_changed_is_another_job(change: dict[str, Any]) -> None:
    agreed = {"prompt": "She waves.", "media": [PICTURE], "parameters": {"seed": 1}}
    assert job_sha256(read_job(agreed | change)) != job_sha256(read_job(agreed))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"promt": "x"},
        {"prompt": 1},
        {"media": "x"},
        {"media": ["x"]},
        {"media": [PICTURE] * 65},
        {"parameters": []},
        {"schema": "mien-job-2"},
    ],
)
def test_what_is_no_job_is_refused(value: object) -> None:
    with pytest.raises(ConsentInvalid) as refused:
        read_job(value)
    assert refused.value.code == "job_invalid"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 2**53])
def test_a_number_without_one_spelling_has_no_hash(number: float) -> None:
    with pytest.raises(ConsentInvalid):
        job_sha256(Job(parameters={"seed": number}))


def test_a_job_too_large_or_too_deep_is_refused() -> None:
    with pytest.raises(ConsentInvalid):
        job_sha256(Job(prompt="x" * 300_000))
    deep: Any = "asset://x"
    for _ in range(100):
        deep = [deep]
    with pytest.raises(ConsentInvalid):
        hidden_inputs(Job(parameters={"a": deep}))


@pytest.mark.parametrize(
    ("parameters", "how", "value"),
    [
        ({"content": [{"image_url": {"url": "asset://asset-2026"}}]}, Hides.HANDLE, "asset://asset-2026"),
        ({"image": "runway://abc"}, Hides.HANDLE, "runway://abc"),
        ({"element_id": 17}, Hides.HANDLE, "17"),
        ({"elementId": "e1"}, Hides.HANDLE, "e1"),
        ({"Element-ID": "e1"}, Hides.HANDLE, "e1"),
        ({"element_list": [{"element_id": "e2", "weight": 1}]}, Hides.HANDLE, "e2"),
        ({"element_list": ["e2"]}, Hides.HANDLE, "e2"),
        ({"previous_interaction_id": "int_1"}, Hides.HANDLE, "int_1"),
        ({"keyframes": {"frame0": {"type": "generation", "generation_id": "g1"}}}, Hides.HANDLE, "g1"),
        ({"img_id": 0}, Hides.HANDLE, "0"),
        ({"voice_id": "v"}, Hides.HANDLE, "v"),
        ({"ObjectId": "o"}, Hides.HANDLE, "o"),
        ({"lora": "somebody"}, Hides.HANDLE, "somebody"),
        ({"driving": "motion.PKL "}, Hides.FILE, None),
        ({"image": "https://cdn.example/a.jpg"}, Hides.ADDRESS, None),
        ({"image": "HTTP://cdn.example/a.jpg"}, Hides.ADDRESS, None),
        ({"image": "gs://bucket/a.jpg"}, Hides.ADDRESS, None),
        ({"image": "data:image/png;base64,AAAA"}, Hides.ADDRESS, None),
        ({"image": "iVBORw0KGgo" + "A" * 600}, Hides.FILE, None),
    ],
)
def test_what_names_somebody_without_showing_them_is_found(parameters: Any, how: Hides, value: str | None) -> None:
    (found,) = hidden_inputs(Job(parameters=parameters))
    assert (found.how, found.value) == (how, value)
    assert found.place.startswith("/parameters/")
    assert "e2" not in repr(found), "a handle is in no log line"


def test_a_handle_in_the_prompt_is_found() -> None:
    (found,) = hidden_inputs(Job(prompt="She, asset://asset-1, waves"))
    assert (found.place, found.value) == ("/prompt", "asset://asset-1")


@pytest.mark.parametrize(
    "parameters",
    [
        {"ratio": "16:9", "seed": 7, "guidance": 7.5, "audio": False, "model": "story-2.0", "checkpoint": "base.safetensors"},
        {"negative_prompt": "blurry, https", "camera": {"pan": [1, 2]}, "element_id": None, "voice_id": ""},
    ],
)  # fmt: skip
def test_ordinary_parameters_hide_nobody(parameters: Any) -> None:
    assert hidden_inputs(Job(prompt="A person walks: slowly // then stops.", parameters=parameters)) == ()


def test_a_call_is_its_method_path_and_whole_body() -> None:
    one = job_of_request("post", "/v1/generate", {"prompt": "x"})
    assert job_sha256(one) == job_sha256(job_of_request("POST", "/v1/generate", {"prompt": "x"}))
    for other in (
        ("PUT", "/v1/generate", {"prompt": "x"}),
        ("POST", "/v2", {"prompt": "x"}),
        ("POST", "/v1/generate", {}),
    ):
        assert job_sha256(one) != job_sha256(job_of_request(*other))  # type: ignore[arg-type]


plain_values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**50), 2**50)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
json_values = st.recursive(
    plain_values,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=5))
def test_a_job_survives_the_wire_with_the_same_hash(parameters: Any) -> None:
    try:
        before = job_sha256(Job(parameters=parameters))
    except ConsentInvalid:
        return  # text that is no Unicode
    sent = json.loads(json.dumps(Job(parameters=parameters).to_json()))
    assert job_sha256(read_job(sent)) == before


@pytest.mark.parametrize(
    ("parameters", "how"),
    [
        # addresses as lenient programs read them
        ({"image": "hTTps:\\\\cdn.example\\bob"}, Hides.ADDRESS),
        ({"image": "https:/cdn.example/bob"}, Hides.ADDRESS),
        ({"image": "//cdn.example/bob"}, Hides.ADDRESS),
        ({"image": "ｈｔｔｐｓ：／／cdn.example/bob"}, Hides.ADDRESS),
        ({"image": "ht\u200btps://cdn.example/bob"}, Hides.ADDRESS),
        ({"image": "https%3A%2F%2Fcdn.example%2Fbob"}, Hides.ADDRESS),
        ({"image": "ipfs://bafy"}, Hides.ADDRESS),
        ({"image": "see data:image/svg+xml,%3Csvg"}, Hides.ADDRESS),
        ({"https://cdn.example/bob": 1}, Hides.ADDRESS),
        ({"extra": '{"image": ["https:\\u002f/cdn.example/bob"]}'}, Hides.ADDRESS),
        ({"element_list": [{"element_id": None, "image": "https://cdn.example/bob"}]}, Hides.ADDRESS),
        # names of somebody
        ({"extra": '{"elementId": "e1"}'}, Hides.HANDLE),
        ({"ELEMENTID": "e1"}, Hides.HANDLE),
        ({"element\u200b_id": "e1"}, Hides.HANDLE),
        ({"characters": [{"id": "char_1"}]}, Hides.HANDLE),
        ({"text": "a portrait <lora:bob:0.8>"}, Hides.HANDLE),
        ({"text": "a portrait of embedding:bob"}, Hides.HANDLE),
        ({"text": "<<<bob>>> waves"}, Hides.HANDLE),
        ({"text": "@bob.b waves"}, Hides.HANDLE),
        # stored somewhere
        ({"inputs": {"image": "bob.png"}}, Hides.FILE),
        ({"text": "use bob.safetensors, please"}, Hides.FILE),
        ({"workflow": {"lora_stack": ["bob.safetensors"]}}, Hides.FILE),
        ({"text": "Morph into " + "QUJDREVG" * 60 + " now"}, Hides.FILE),
        ({"text": ("QUJDREVG" * 9 + "\n") * 8}, Hides.FILE),
        ({"pieces": ["QUJDREVG" * 6 for _ in range(30)]}, Hides.FILE),
        ({"hint": [0.25] * 128}, Hides.FILE),
        ({"hint": {"x": [[i / 512 for i in range(512)]]}}, Hides.FILE),
    ],
)
def test_what_is_hidden_in_an_odd_place_or_spelling_is_found(parameters: Any, how: Hides) -> None:
    assert how in {found.how for found in hidden_inputs(Job(parameters=parameters))}


def test_a_name_that_a_prompt_calls_may_be_one_that_the_job_lists() -> None:
    listed = {"references": [{"tag": "hero", "place": 0}]}
    assert hidden_inputs(Job(prompt="@hero meets @image1 and @图2, a@b.example", parameters=listed)) == ()
    (found,) = hidden_inputs(Job(prompt="@hero meets @stranger", parameters=listed))
    assert found.value == "stranger"


@pytest.mark.parametrize(
    "text", ["!" * 200_000, "a." * 100_000, "://" * 60_000, "@" * 200_000, "<" * 200_000, "a:" * 90_000]
)
def test_looking_through_a_hostile_text_ends(text: str) -> None:
    assert isinstance(hidden_inputs(Job(prompt=text)), tuple)
