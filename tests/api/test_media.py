"""Media over HTTP: what it is, who is in it, and that it does not stay."""

from __future__ import annotations

import io
import wave
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from api.media import Erased, templates_from_bytes, templates_to_bytes
from api.routes_media import MEDIA_MAX_BYTES, kind_of
from api.sweeping import sweep
from api.tables import MediaRow
from likeness.encode import encode
from liveness.template import similarity
from tests.api.conftest import World, content_digest, png
from tests.api.scripted import ALICE, BOB, colour_template, picture_of
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service


def sound(seconds: float = 1) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.zeros(int(16_000 * seconds), np.int16).tobytes())
    return content.getvalue()


def video(folder: Path) -> bytes:
    """Two seconds: Alice, then Bob."""
    pictures = [picture_of(ALICE, size=256)] * 24 + [picture_of(BOB, size=256)] * 24
    out = folder / "film.mp4"
    encode(iter(pictures), None, width=256, height=256, fps=24, out=out)
    return out.read_bytes()


def test_a_picture_names_every_face(world: World) -> None:
    taken = world.media(png(ALICE, BOB))
    assert taken["kind"] == "picture"
    assert [face["face_id"] for face in taken["faces"]] == ["0", "1"]
    assert taken["faces"][1]["box"] == {"x": 32, "y": 0, "width": 32, "height": 64}
    assert "score" not in str(taken)
    assert "vector" not in str(taken)


def test_a_face_that_comes_late_in_a_video_is_found(world: World, tmp_path: Path) -> None:
    taken = world.media(video(tmp_path))
    assert taken["kind"] == "video"
    assert min(face["at_ms"] for face in taken["faces"]) == 0
    assert len({face["at_ms"] for face in taken["faces"]}) >= 4
    answer = world.ask(tokens=[world.token(world.consent())], media=[taken["media_id"]])
    assert {reason["code"] for reason in answer["context"]["reasons"]} == {"unknown_face"}


def test_sound_has_no_faces(world: World) -> None:
    taken = world.media(sound())
    assert (taken["kind"], taken["faces"]) == ("sound", [])


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\nbroken", b"\xff\xd8\xff", b"plain text", b"RIFF....WAVEjunk", b"\x00" * 100]
)
def test_what_cannot_be_read_is_refused(world: World, data: bytes) -> None:
    refused = world.call("POST", "/v1/media", "backend", content=data, headers=content_digest(data))
    assert refused.status_code == 422
    assert code(refused)


def test_media_that_is_too_large_or_of_another_digest_is_refused(world: World) -> None:
    data = b"x" * (MEDIA_MAX_BYTES + 1)
    assert code(world.call("POST", "/v1/media", "app", content=data, headers=content_digest(data))) == "body_too_large"
    assert code(world.call("POST", "/v1/media", "app", content=png(ALICE), headers=content_digest(b"other"))) == (
        "digest_mismatch"
    )
    assert world.call("POST", "/v1/media", "app", content=png(ALICE)).status_code == 201
    assert code(world.call("POST", "/v1/media", "auditor", content=png(ALICE))) == "forbidden"


def test_media_goes_after_a_day(world: World) -> None:
    taken = world.media(png(ALICE))
    with world.service.database.transaction() as store:
        row = store.get(MediaRow, taken["media_id"])
        assert row is not None
        assert row.expires_at == world.clock() + timedelta(hours=24)
        assert world.service.vault.get(store, row.content_id, owner=row.media_id) == png(ALICE)
    world.clock.move(24 * 3600)
    sweep(world.service)
    with world.service.database.transaction() as store, pytest.raises(Erased):
        world.service.vault.get(store, row.content_id, owner=row.media_id)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "picture"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "picture"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "sound"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "video"),
        (b"\x00\x00\x00\x20ftypM4A \x00", "sound"),
        (b"\x00\x00\x00\x20ftypisom", "video"),
        (b"\x1aE\xdf\xa3", "video"),
        (b"", "video"),
    ],
)
def test_kinds_are_told_by_their_first_bytes(head: bytes, kind: str) -> None:
    assert kind_of(head) == kind


def test_templates_come_back_as_they_were_kept() -> None:
    kept = [colour_template(ALICE), None, colour_template(BOB)]
    back = templates_from_bytes(templates_to_bytes(kept))
    assert back[1] is None
    assert back[0] is not None
    assert kept[0] is not None
    assert similarity(back[0], kept[0]) == pytest.approx(1, abs=1e-6)
    assert back[0].contract_id == kept[0].contract_id
