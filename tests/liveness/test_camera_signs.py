"""What a client says of its camera is written down as a risk, and never more than that."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveness.camera_signs import LONGEST, Risk, read_signs, risks

PHONE = {"label": "Front Camera", "width": 1280, "height": 720, "fps": 30, "delivered_fps": 24, "automated": False}


def named(**changes: object) -> tuple[Risk, ...]:
    return risks(read_signs(json.dumps(PHONE | changes)))


def test_a_phone_held_upright_in_dim_light_has_no_risk() -> None:
    assert named(delivered_width=720, delivered_height=1280, delivered_fps=20) == ()


@pytest.mark.parametrize(
    ("said", "risk"),
    [
        ({"label": "OBS Virtual Camera"}, Risk.VIRTUAL_CAMERA),
        ({"label": "fake_device_0"}, Risk.VIRTUAL_CAMERA),
        ({"label": " "}, Risk.UNNAMED_CAMERA),
        ({"delivered_width": 640, "delivered_height": 480}, Risk.OTHER_SIZE),
        ({"delivered_fps": 12}, Risk.OTHER_PACE),
        ({"automated": True}, Risk.AUTOMATED),
    ],
)
def test_what_stands_out_is_named(said: dict[str, object], risk: Risk) -> None:
    assert named(**said) == (risk,)


def test_who_says_nothing_has_no_risk() -> None:
    assert risks(read_signs("{}")) == ()


@given(
    st.one_of(
        st.text(), st.binary().map(lambda raw: raw.decode("latin-1")), st.just('{"width": NaN}'), st.just("[" * 9000)
    )
)
def test_whatever_a_client_sends_is_read_or_refused(statement: str) -> None:
    try:
        assert len(statement) <= LONGEST
        risks(read_signs(statement))
    except (ValueError, AssertionError):
        pass
