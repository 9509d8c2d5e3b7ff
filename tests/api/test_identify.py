"""A clip that somebody comes across still leads to its consent, whatever was done to it, and never to a person."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from api.allowances import Allowances
from api.audit import verify_clip_file
from api.clip_registry import Standing, standing, watermark_key
from api.rendering import Renderers, render_clip
from api.tables import ConsentRow, ReleasedClipRow
from likeness.double import Double
from likeness.encode import encode
from likeness.generate import Clip, Generator, RenderRequest, Speech
from likeness.watermark import Watermark, watermarked
from liveness.capture import Audio, RgbImage
from liveness.decode import sample_pictures
from tests.api.conftest import START, ColourGenerator, World
from tests.api.scripted import ALICE, BOB
from tests.api.test_clips import content, ordered
from tests.api.test_consents import revoke
from tests.api.test_liveness_sessions import code


def scene(seed: int, side: int = 320) -> RgbImage:
    chance = np.random.default_rng(seed)
    image = cv2.resize(
        chance.integers(30, 226, (7, 7, 3)).astype(np.uint8), (side, side), interpolation=cv2.INTER_CUBIC
    )
    for _ in range(5):
        x, y, a, b = (int(v) for v in chance.integers(20, side - 20, 4))
        colour = tuple(int(c) for c in chance.integers(30, 226, 3))
        cv2.ellipse(image, (x, y), (12 + a // 6, 12 + b // 6), 0, 0, 360, colour, -1)
    return np.clip(image + chance.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


class SceneGenerator(ColourGenerator):
    """Two seconds of a picture with something in it, another one for each colour of a person and each word; the person is the
    band across its middle."""

    def render(self, doubles: Sequence[Double], request: RenderRequest) -> Clip:
        colour = doubles[0].portrait[0, 0]
        script = request.content.script if isinstance(request.content, Speech) else None
        picture, count = scene(int(colour[0]) + len(script or ""), request.height), 2 * request.fps
        picture[request.height // 2 - 10 : request.height // 2 + 10] = colour

        def frames() -> Iterator[RgbImage]:
            for number in range(count):
                yield np.roll(picture, number // 8, axis=1)

        return Clip(
            width=request.width,
            height=request.height,
            fps=request.fps,
            frame_count=count,
            frames=frames(),
            audio=Audio(samples=np.zeros(32_000, np.float32), rate_hz=16_000),
            generator="portrait@scenes-1",
        )


def made(world: World, colour: tuple[int, int, int] = ALICE, **more: Any) -> tuple[dict[str, Any], str, bytes]:
    """A consent, the id of a clip under it, and the clip."""
    consent = world.consent(colour=colour, session=world.shown_live(colour, f"user-{colour[0]}"))
    return consent, *clip_of(world, consent, **more)


def clip_of(world: World, consent: dict[str, Any], **more: Any) -> tuple[str, bytes]:
    from api.engines import Bounded

    clip_id = ordered(world, [world.token(consent, "portrait")], **more)
    generators: dict[str, Generator] = {"portrait": SceneGenerator()}
    rendering = Renderers(generators=generators, faces=world.service.faces, bound=Bounded(1))
    assert render_clip(world.service, rendering, clip_id)
    return clip_id, content(world, clip_id).content


def asked(world: World, data: bytes) -> Any:
    world.client.app.state.identify_desk.allowances._left.clear()  # type: ignore[union-attr]
    return world.call("POST", "/v1/clips/identify", content=data)


def found(world: World, data: bytes) -> dict[str, Any]:
    answer = asked(world, data)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def stripped(
    data: bytes, folder: Path, change: Callable[[RgbImage], RgbImage] = lambda image: image, first: int = 0
) -> bytes:
    """The clip as another platform gives it: no metadata, encoded again, changed, and its beginning cut."""
    pictures = [change(frame.image) for frame in sample_pictures(data, 200)][first:]
    height, width = pictures[0].shape[:2]
    out = folder / "copy.mp4"
    encode(iter(pictures), None, width=width, height=height, fps=10, out=out, crf=24)
    return out.read_bytes()


def jpeg(image: RgbImage) -> bytes:
    written = io.BytesIO()
    Image.fromarray(image).save(written, "JPEG", quality=85)
    return written.getvalue()


pytestmark = pytest.mark.service


def test_a_clip_as_it_left_is_known_in_every_way(world: World) -> None:
    _, _, data = made(world)
    answer = found(world, data)
    assert (answer["known"], answer["made_here"]) == (True, True)
    assert answer["marks"] == {"manifest": "trusted", "aigc": True, "watermark": True}
    (match,) = answer["matches"]
    assert match["evidence"] == ["file", "manifest", "watermark", "look"]
    assert match["consent"] == "valid"
    assert match["released_at"] == START.isoformat().replace("+00:00", "Z")
    assert "AI" in match["label"]


def test_nobody_is_named(world: World) -> None:
    consent, clip_id, data = made(world)
    text = asked(world, data).text
    with world.service.database.transaction() as store:
        row = store.get(ConsentRow, consent["consent_id"])
        assert row is not None
        subject_id = row.subject_id
    for secret in (consent["consent_id"], subject_id, clip_id, "user-", "digital_double"):
        assert secret not in text


@pytest.mark.parametrize(
    ("change", "first"),
    [
        pytest.param(lambda image: image, 0, id="stripped and encoded again"),
        pytest.param(lambda image: image, 4, id="cut shorter"),
        pytest.param(lambda image: np.ascontiguousarray(image[16:304, 16:304]), 0, id="cropped"),
        pytest.param(lambda image: cv2.resize(image, (240, 240), interpolation=cv2.INTER_AREA), 0, id="scaled"),
        pytest.param(lambda image: np.ascontiguousarray(image[:, ::-1]), 0, id="mirrored"),
    ],
)
def test_a_copy_without_marks_beside_it_still_leads_to_its_consent(
    world: World, tmp_path: Path, change: Callable[[RgbImage], RgbImage], first: int
) -> None:
    consent, _, data = made(world)
    copy = stripped(data, tmp_path, change, first)
    answer = found(world, copy)
    assert answer["marks"]["manifest"] == "none"
    assert not answer["marks"]["aigc"]
    (match,) = answer["matches"]
    assert match["consent"] == "valid"
    assert set(match["evidence"]) <= {"watermark", "look"}

    assert revoke(world, consent).status_code == 200
    (match,) = found(world, copy)["matches"]
    assert match["consent"] == "revoked", "the clip is destroyed, what it was is not forgotten"


def test_one_picture_of_it_is_enough(world: World) -> None:
    _, _, data = made(world)
    picture = sample_pictures(data, 500)[1].image
    (match,) = found(world, jpeg(picture))["matches"]
    assert "watermark" in match["evidence"]


def test_the_consent_is_the_one_of_now(world: World) -> None:
    consent, _, data = made(world)
    assert found(world, data)["matches"][0]["consent"] == "valid"
    path = f"/v1/consents/{consent['consent_id']}"
    assert world.call("POST", f"{path}/suspend", "app", json={}).status_code == 200
    assert found(world, data)["matches"][0]["consent"] == "suspended"
    assert world.call("POST", f"{path}/resume", "app", json={}).status_code == 200
    world.clock.move(31 * 86_400)
    assert found(world, data)["matches"][0]["consent"] == "expired"


def test_what_was_never_made_here_is_not_known(world: World, tmp_path: Path) -> None:
    made(world)
    out = tmp_path / "other.mp4"
    encode(iter([scene(900)] * 20), None, width=320, height=320, fps=10, out=out)
    for data in (out.read_bytes(), jpeg(scene(901))):
        answer = found(world, data)
        assert (answer["known"], answer["made_here"], answer["matches"]) == (False, False, [])


def test_a_mark_pasted_onto_other_pictures_is_told_apart(world: World) -> None:
    """Somebody wants a film of their own to pass for one that was consented to."""
    made(world)
    with world.service.database.transaction() as store:
        number = store.connection.execute("SELECT watermark FROM released_clips").fetchone()[0]  # type: ignore[index]
    mark = Watermark(number=number, key=watermark_key(world.service.keys))
    (pasted,) = watermarked(iter([scene(902)]), mark, width=320, height=320)
    (match,) = found(world, jpeg(pasted))["matches"]
    assert match["evidence"] == ["watermark"], "without look: the pictures are others"


def test_a_number_that_was_never_given_out_leads_nowhere(world: World) -> None:
    mark = Watermark(number=7, key=watermark_key(world.service.keys))
    (image,) = watermarked(iter([scene(903)]), mark, width=320, height=320)
    answer = found(world, jpeg(image))
    assert (answer["known"], answer["made_here"]) == (False, True)


def test_two_clips_of_one_look_are_told_apart_by_their_number(world: World, tmp_path: Path) -> None:
    consent, _, first = made(world)
    _, second = clip_of(world, consent)
    for data in (first, second):
        (match,) = found(world, stripped(data, tmp_path))["matches"]
        assert "watermark" in match["evidence"]
    # with the mark washed out, both are named
    washed = stripped(first, tmp_path, lambda image: cv2.GaussianBlur(image, (0, 0), 4))
    answer = found(world, washed)
    assert not answer["marks"]["watermark"]
    assert [match["evidence"] for match in answer["matches"]] == [["look"], ["look"]]


def test_after_a_person_had_everything_deleted_only_the_number_is_left(world: World, tmp_path: Path) -> None:
    consent, _, data = made(world)
    _, _, other = made(world, BOB)
    answer = world.call("DELETE", "/v1/subject", consent["manage_token"])
    assert answer.json()["deleted"]["clip_hashes"] >= 9
    (match,) = found(world, stripped(data, tmp_path))["matches"]
    assert (match["evidence"], match["consent"]) == (["watermark"], "revoked")
    (match,) = found(world, stripped(other, tmp_path))["matches"]
    assert (match["evidence"], match["consent"]) == (["watermark", "look"], "valid"), "of others nothing is deleted"


def test_the_manifest_names_an_address_that_tells_the_standing(world: World, tmp_path: Path) -> None:
    consent, _, data = made(world)
    file = tmp_path / "clip.mp4"
    file.write_bytes(data)
    said = verify_clip_file(world.service.settings, file, None)
    address = said["consent"]["status"]
    assert address.startswith(f"{world.service.settings.public_url}/v1/clips/status/")
    path = address.removeprefix(world.service.settings.public_url)
    answer = world.call("GET", path)
    assert (answer.status_code, answer.json()["consent"]) == (200, "valid")
    assert revoke(world, consent).status_code == 200
    assert world.call("GET", path).json()["consent"] == "revoked"
    for wrong in ("0" * 64, "x", "%00"):
        assert code(world.call("GET", f"/v1/clips/status/{wrong}")) == "not_found"


def test_the_command_line_shows_every_mark(world: World, tmp_path: Path) -> None:
    _, _, data = made(world)
    file = tmp_path / "clip.mp4"
    file.write_bytes(data)
    said = json.loads(json.dumps(verify_clip_file(world.service.settings, file, None)))
    assert said["state"] == "Trusted"
    assert said["aigc"]["label"] == "1"
    assert said["watermark"] == said["watermark_read"]
    assert said["inputs"] == 1
    assert said["training_refused"] is True
    file.write_bytes(data[: len(data) // 2])
    assert verify_clip_file(world.service.settings, file, None)["state"] == "Invalid"


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"\x00" * 5000, b"\xff\xd8\xff" + b"\x00" * 200, b"\x00\x00\x00\x18ftypisom" + b"\x00" * 400],
    ids=["nothing", "a letter", "zeros", "a broken picture", "a broken clip"],
)
def test_hostile_bytes_are_refused_in_words(world: World, data: bytes) -> None:
    answer = asked(world, data)
    assert answer.status_code == 422
    assert answer.json()["code"] != "internal_error"


def test_too_large_bodies_are_refused_before_they_are_read(world: World) -> None:
    answer = world.call("POST", "/v1/clips/identify", content=b"", headers={"Content-Length": "64000001"})
    assert code(answer) == "body_too_large"


def test_an_address_may_not_ask_all_the_time(world: World) -> None:
    codes = [world.call("POST", "/v1/clips/identify", content=jpeg(scene(1, 64))).status_code for _ in range(6)]
    assert codes[:4] == [200] * 4
    refused = world.call("POST", "/v1/clips/identify", content=b"x")
    assert (refused.status_code, code(refused)) == (429, "too_many_requests")
    assert int(refused.headers["Retry-After"]) >= 1


def test_one_clip_is_looked_at_at_a_time(world: World) -> None:
    desk = world.client.app.state.identify_desk  # type: ignore[union-attr]
    with desk.busy:
        refused = asked(world, jpeg(scene(1, 64)))
    assert (refused.status_code, code(refused)) == (503, "identify_busy")
    assert asked(world, jpeg(scene(1, 64))).status_code == 200


def test_a_clip_too_flat_for_a_mark_is_released_and_noted(world: World) -> None:
    """The registry does not claim a watermark that is not there."""
    consent = world.consent(session=world.shown_live(BOB, "user-2"))
    from tests.api.test_clips import render

    clip_id = ordered(world, [world.token(consent, "portrait")])
    assert render(world, clip_id)
    with world.service.database.transaction() as store:
        row = store.release_of_permit(hashlib.sha256(_permit_of(world, clip_id).encode()).hexdigest())
        assert isinstance(row, ReleasedClipRow)
        assert row.clip_id == clip_id
        assert row.watermark is not None


def _permit_of(world: World, clip_id: str) -> str:
    with world.service.database.transaction() as store:
        found = store.connection.execute("SELECT permit_id FROM clips WHERE clip_id = %s", (clip_id,)).fetchone()
    assert found is not None
    return str(found[0])


def test_allowances_come_back_with_time() -> None:
    now = [0.0]
    allowances = Allowances(per_minute=6, clock=lambda: now[0])
    assert [allowances.wait_s("192.0.2.1") for _ in range(5)] == [None] * 4 + [10]
    assert allowances.wait_s("192.0.2.2") is None, "another address has its own"
    now[0] = 9.9
    assert allowances.wait_s("192.0.2.1") == 1
    now[0] = 10.1
    assert allowances.wait_s("192.0.2.1") is None
    assert Allowances(per_minute=0, clock=lambda: 0.0).wait_s("192.0.2.1") is not None


def test_a_household_is_one_address() -> None:
    allowances = Allowances(per_minute=6, clock=lambda: 0.0)
    answers = [allowances.wait_s(f"2001:db8:1:2::{n}") for n in range(5)]
    assert answers[:4] == [None] * 4
    assert answers[4] is not None
    assert allowances.wait_s("2001:db8:1:3::1") is None


def test_the_worst_of_several_consents_counts_and_none_is_no_yes() -> None:
    def row(**more: Any) -> ConsentRow:
        return ConsentRow(
            **({"expires_at": START, "revoked_at": None, "suspended_at": None, "expired_at": None} | more)
        )

    before = START.replace(year=2026)
    assert standing([], now=before) is Standing.REVOKED
    assert standing([row()], now=before) is Standing.VALID
    assert standing([row()], now=START) is Standing.EXPIRED
    assert standing([row(), row(suspended_at=before)], now=START) is Standing.SUSPENDED
    assert standing([row(suspended_at=before), row(revoked_at=before)], now=before) is Standing.REVOKED
