"""A finished clip is looked at before it may leave. People here are colours; the marks are real."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
from sqlalchemy import text

from consent.gate import Permit, verify_permit
from likeness.encode import encode
from likeness.generate import Clip
from likeness.label import labelled
from likeness.provenance import ManifestSigner, ManifestState, mark, new_authority, verify_clip
from liveness.capture import Audio, RgbImage
from tests.api.conftest import World, content_digest, png
from tests.api.scripted import ALICE, BOB, picture_of
from tests.api.test_consents import revoke
from tests.api.test_gate import redeem
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service

SIDE, FPS, PICTURES = 256, 8, 12
CAROL, GREY, DARK = (40, 200, 40), (120, 120, 120), (0, 0, 0)
Colours = tuple[tuple[int, int, int], ...]


def film(*scenes: Colours) -> list[RgbImage]:
    """A second and a half; each scene as long as the others."""
    each = -(-PICTURES // len(scenes))
    pictures = [picture_of(*scene, size=SIDE) for scene in scenes for _ in range(each)]
    return pictures[:PICTURES]


def clip_of(pictures: Iterable[RgbImage]) -> Clip:
    shown = list(pictures)
    return Clip(
        width=SIDE,
        height=SIDE,
        fps=FPS,
        frame_count=len(shown),
        frames=iter(shown),
        audio=Audio(samples=np.zeros(len(shown) * 16_000 // FPS, np.float32), rate_hz=16_000),
        generator="studio@1",
    )


@dataclass
class Studio:
    """A backend that makes clips and marks them as the service would."""

    world: World
    folder: Path
    consents: list[dict[str, Any]]

    def permit(self, *people: int, seconds: int = 10) -> tuple[str, Permit]:
        shown = people or (0,)
        tokens = [self.world.token(self.consents[person]) for person in shown]
        photo = self.world.media(png(*((ALICE, BOB)[person] for person in shown)))
        answer = self.world.ask(tokens=tokens, media=[photo["media_id"]], context={"seconds": seconds})
        compact = answer["context"]["permit"]
        assert redeem(self.world, compact).status_code == 200
        service = self.world.service
        return compact, verify_permit(compact, service.keys.public, audience="studio", now=self.world.clock())

    def marked(self, pictures: Iterable[RgbImage], permit: Permit) -> bytes:
        out = self.folder / "clip.mp4"
        mark(clip_of(pictures), permit, ManifestSigner(self.world.service.keys.authority), out)
        return out.read_bytes()

    def hand_in(self, compact: str, content: bytes, **more: Any) -> Any:
        taken = self.world.call(
            "POST", "/v1/media?output=true", "backend", content=content, headers=content_digest(content)
        )
        assert taken.status_code == 201, taken.text
        assert taken.json()["kind"] == "output"
        done = {
            "permit": compact,
            "output_sha256": hashlib.sha256(content).hexdigest(),
            "output": taken.json()["media_id"],
        }
        return self.world.call("POST", "/v1/permits/complete", "backend", json=done | more)

    def make(self, *scenes: Colours, people: tuple[int, ...] = (0,)) -> dict[str, Any]:
        compact, permit = self.permit(*people)
        answer = self.hand_in(compact, self.marked(film(*scenes), permit))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture
def studio(world: World, tmp_path: Path) -> Studio:
    return Studio(world, tmp_path, [world.consent(), world.consent(world.shown_live(BOB, "user-2"))])


def found(answer: dict[str, Any]) -> set[str]:
    assert answer["release"] is False, answer
    assert answer["code"] == answer["reasons"][0]["code"]
    return {reason["code"] for reason in answer["reasons"]}


def test_a_clip_that_is_what_was_permitted_may_leave(studio: Studio) -> None:
    assert studio.make((ALICE,)) | {"permit_id": "", "completed_at": ""} == {
        "permit_id": "", "completed_at": "", "release": True, "code": None, "reasons": [], "registered": True,
        "output": None, "output_sha256": ANY,
    }  # fmt: skip
    assert studio.make((ALICE, BOB), people=(0, 1))["release"] is True


def wrong_clips() -> Iterator[tuple[str, tuple[Colours, ...], tuple[int, ...]]]:
    """Fifty: somebody else, somebody besides, or somebody missing, at different moments and beside different people."""
    others = [BOB, CAROL, (40, 200, 200), (20, 120, 220), (10, 220, 120)]  # none of them like Alice
    for other, at in itertools.product(others, range(4)):  # 20: another face, in a quarter of the clip
        scenes: list[Colours] = [(ALICE,)] * 4
        scenes[at] = (other,)
        yield "wrong", tuple(scenes), (0,)
    for other, left in itertools.product(others, (True, False)):  # 10: somebody beside her, throughout
        yield "extra", ((other, ALICE) if left else (ALICE, other),), (0,)
    for other, at in itertools.product(others, range(2)):  # 10: somebody comes in for a while
        scenes = [(ALICE,)] * 3
        scenes[at] = (ALICE, other)
        yield "extra", tuple(scenes), (0,)
    for other in others:  # 5: only somebody else
        yield "missing", ((other,),), (0,)
    yield "missing", ((GREY,),), (0,)
    yield "missing", ((ALICE,),), (0, 1)
    yield "missing", ((BOB,),), (0, 1)
    yield "missing", ((ALICE,), (GREY,)), (0, 1)
    yield "unjudged", ((ALICE,), (ALICE, DARK)), (0,)


def test_fifty_clips_with_a_wrong_extra_or_missing_face_are_all_withheld(studio: Studio) -> None:
    made = [(kind, found(studio.make(*scenes, people=people))) for kind, scenes, people in wrong_clips()]
    assert len(made) == 50
    for kind, codes in made:
        wanted = {
            "wrong": "other_face",
            "extra": "other_face",
            "missing": "person_missing",
            "unjudged": "face_unjudged",
        }
        assert wanted[kind] in codes


def test_every_person_of_the_permit_sees_that_a_clip_was_held_back(studio: Studio) -> None:
    studio.make((ALICE, CAROL), people=(0, 1))
    for consent in studio.consents:
        seen = studio.world.call("GET", "/v1/subject/admin-views", consent["manage_token"]).json()["results"]
        (event,) = [one for one in seen if one["action"] == "output:clip:withheld"]
        assert event["reason"] == "other_face"
        assert event["zh"]


def test_a_face_is_named_by_moment_and_box_and_never_scored(studio: Studio) -> None:
    answer = studio.make((ALICE,), (BOB,))
    first = answer["reasons"][0]
    assert set(first) == {"code", "at_ms", "box"}
    assert first["at_ms"] >= 500
    assert "score" not in str(answer)


def encoded(folder: Path, pictures: list[RgbImage], *, label: bool) -> bytes:
    out = folder / "plain.mp4"
    shown = labelled(iter(pictures), width=SIDE, height=SIDE, fps=FPS) if label else iter(pictures)
    encode(shown, None, width=SIDE, height=SIDE, fps=FPS, out=out)
    return out.read_bytes()


def test_obligations_are_verified_on_the_clip(studio: Studio) -> None:
    compact, _ = studio.permit()
    assert found(studio.hand_in(compact, encoded(studio.folder, film((ALICE,)), label=False)).json()) == {
        "label_missing", "manifest_missing",
    }  # fmt: skip
    compact, _ = studio.permit()
    assert found(studio.hand_in(compact, encoded(studio.folder, film((ALICE,)), label=True)).json()) == {
        "manifest_missing"
    }
    compact, permit = studio.permit()
    content = bytearray(studio.marked(film((ALICE,)), permit))
    content[-2000] ^= 1
    assert found(studio.hand_in(compact, bytes(content)).json()) == {"manifest_untrusted"}


def test_the_manifest_of_another_permit_or_signer_is_none(studio: Studio) -> None:
    _, other = studio.permit()
    compact, permit = studio.permit()
    assert found(studio.hand_in(compact, studio.marked(film((ALICE,)), other)).json()) == {"manifest_other"}
    compact, permit = studio.permit()
    from api.service import wall_clock

    out = studio.folder / "forged.mp4"
    mark(clip_of(film((ALICE,))), permit, ManifestSigner(new_authority(wall_clock())), out)
    assert found(studio.hand_in(compact, out.read_bytes()).json()) == {"manifest_untrusted"}


def test_a_clip_longer_than_agreed_is_withheld(studio: Studio, world: World) -> None:
    studio.consents[0] = world.consent(world.shown_live(ALICE, "user-3"), limits={"max_seconds": 1})
    compact, permit = studio.permit(seconds=1)
    longer = replace(permit, obligations=replace(permit.obligations, max_seconds=30))
    content = studio.marked(film((ALICE,)) + film((ALICE,)), longer)
    assert found(studio.hand_in(compact, content).json()) == {"too_long"}


def test_the_hash_is_of_the_clip_that_was_handed_in(studio: Studio) -> None:
    compact, permit = studio.permit()
    answer = studio.hand_in(compact, studio.marked(film((ALICE,)), permit), output_sha256="cd" * 32)
    assert found(answer.json()) == {"output_other"}


def known(world: World, content: bytes) -> list[dict[str, Any]]:
    world.client.app.state.identify_desk.allowances._left.clear()  # type: ignore[union-attr]
    answer = world.call("POST", "/v1/clips/identify", content=content)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["matches"])


def test_a_clip_made_elsewhere_leads_to_its_consent_once_it_may_leave(studio: Studio, tmp_path: Path) -> None:
    compact, permit = studio.permit()
    content = studio.marked(film((ALICE,)), permit)
    assert known(studio.world, content) == []
    done = {"permit": compact, "output_sha256": hashlib.sha256(content).hexdigest()}
    unseen = studio.world.call("POST", "/v1/permits/complete", "backend", json=done).json()
    assert (unseen["release"], unseen["registered"]) == (False, False)
    assert known(studio.world, content) == [], "nobody looked at it"

    assert studio.hand_in(compact, content).json()["registered"] is True
    assert studio.hand_in(compact, content).json()["registered"] is True, "and once"
    (match,) = known(studio.world, content)
    assert match["evidence"][:2] == ["file", "manifest"]
    assert (match["consent"], match["watermarked"]) == ("valid", False)

    revoke(studio.world, studio.consents[0])
    (match,) = known(studio.world, content)
    assert match["consent"] == "revoked"


def test_a_stripped_copy_of_a_clip_made_elsewhere_is_known_by_its_look(studio: Studio) -> None:
    compact, permit = studio.permit()
    seen = film((ALICE,))
    for number, picture in enumerate(seen):  # flat pictures look like all other flat pictures
        picture[200:240, 20 + 8 * number : 60 + 8 * number] = GREY
        picture[16:64, 16:240:24] = GREY
    assert studio.hand_in(compact, studio.marked(seen, permit)).json()["release"] is True
    (match,) = known(studio.world, encoded(studio.folder, seen, label=True))
    assert match["evidence"] == ["look"]


def test_by_its_hash_alone_a_clip_is_known_where_that_suffices(studio: Studio) -> None:
    settings = replace(studio.world.service.settings, output_check="handed_in")
    object.__setattr__(studio.world.service, "settings", settings)
    compact, permit = studio.permit()
    content = studio.marked(film((ALICE,)), permit)
    done = {"permit": compact, "output_sha256": hashlib.sha256(content).hexdigest()}
    assert studio.world.call("POST", "/v1/permits/complete", "backend", json=done).json()["registered"] is True
    assert "look" not in known(studio.world, content)[0]["evidence"]
    assert studio.hand_in(compact, content).json()["registered"] is True
    with studio.world.service.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM clip_hashes")) > 0, "now its pictures are known, too"


@pytest.mark.parametrize("content", [b"not a clip", png(ALICE), b"\x00\x00\x00\x18ftypmp42" + bytes(100)])
def test_what_is_no_clip_is_withheld(studio: Studio, content: bytes) -> None:
    compact, _ = studio.permit()
    assert found(studio.hand_in(compact, content).json()) == {"output_unreadable"}


def test_by_its_hash_alone_no_clip_leaves_and_it_can_be_handed_in_later(studio: Studio) -> None:
    compact, permit = studio.permit()
    content = studio.marked(film((ALICE,)), permit)
    done = {"permit": compact, "output_sha256": hashlib.sha256(content).hexdigest()}
    answer = studio.world.call("POST", "/v1/permits/complete", "backend", json=done)
    assert found(answer.json()) == {"output_unchecked"}
    assert studio.hand_in(compact, content).json()["release"] is True
    another = studio.hand_in(compact, studio.marked(film((ALICE,), (ALICE,)), permit) + b"\0")
    assert (another.status_code, code(another)) == (409, "permit_spent")


@pytest.mark.parametrize("setting", ["required", "handed_in"])
def test_what_was_found_stands_when_only_the_hash_comes_again(studio: Studio, setting: str) -> None:
    settings = replace(studio.world.service.settings, output_check=setting)
    object.__setattr__(studio.world.service, "settings", settings)
    for scenes, released in ((((ALICE,),), True), (((BOB,),), False)):
        compact, permit = studio.permit()
        content = studio.marked(film(*scenes), permit)
        first = studio.hand_in(compact, content).json()
        done = {"permit": compact, "output_sha256": hashlib.sha256(content).hexdigest()}
        again = studio.world.call("POST", "/v1/permits/complete", "backend", json=done).json()
        assert (first["release"], again["release"]) == (released, released)
        assert {one["code"] for one in first["reasons"]} == {one["code"] for one in again["reasons"]}


def test_a_clip_of_others_is_not_taken(studio: Studio) -> None:
    compact, permit = studio.permit()
    content = studio.marked(film((ALICE,)), permit)
    taken = studio.world.call("POST", "/v1/media?output=true", "app", content=content, headers=content_digest(content))
    photo = studio.world.media(png(ALICE))
    for media_id in (taken.json()["media_id"], photo["media_id"], "med_" + "0" * 32):
        done = {"permit": compact, "output_sha256": hashlib.sha256(content).hexdigest(), "output": media_id}
        assert code(studio.world.call("POST", "/v1/permits/complete", "backend", json=done)) == "not_found"


def test_a_finished_clip_is_no_input(studio: Studio) -> None:
    """It was not looked at when it was handed in, so nobody knows who is in it."""
    content = encoded(studio.folder, film((BOB,)), label=False)
    taken = studio.world.call(
        "POST", "/v1/media?output=true", "backend", content=content, headers=content_digest(content)
    )
    answer = studio.world.ask(tokens=[studio.world.token(studio.consents[0])], media=[taken.json()["media_id"]])
    assert [reason["code"] for reason in answer["context"]["reasons"]] == ["face_unjudged", "token_unused"]


def test_a_raw_clip_goes_back_with_every_mark(studio: Studio) -> None:
    """Nobody but the service can sign for its permits, so this is how another's generator fulfils its obligations."""
    compact, _ = studio.permit()
    raw = encoded(studio.folder, film((ALICE,)), label=False)
    assert found(studio.hand_in(compact, raw).json()) == {"label_missing", "manifest_missing"}
    compact, _ = studio.permit()
    answer = studio.hand_in(compact, raw, mark=True, made_by="dream@2.1").json()
    assert (answer["release"], answer["code"], answer["reasons"]) == (True, None, [])
    given = studio.world.call("GET", f"/v1/media/{answer['output']}/content", "backend").content
    assert hashlib.sha256(given).hexdigest() == answer["output_sha256"] != hashlib.sha256(raw).hexdigest()
    file = studio.folder / "given.mp4"
    file.write_bytes(given)
    manifest = verify_clip(file, anchor_pem=studio.world.service.keys.authority.ca_cert_pem)
    assert (manifest.state, manifest.generator) == (ManifestState.TRUSTED, "dream 2.1")
    assert manifest.watermark is not None
    assert found_by(studio, given) == [["file", "manifest"]]
    assert studio.world.call("GET", f"/v1/media/{answer['output']}/content", "app").status_code == 404
    assert code(studio.hand_in(compact, raw, mark=True)) == "permit_spent", "once, also with the same clip"


def test_what_may_not_leave_gets_no_marks(studio: Studio) -> None:
    compact, _ = studio.permit()
    answer = studio.hand_in(compact, encoded(studio.folder, film((ALICE, BOB)), label=False), mark=True).json()
    assert found(answer) == {"other_face"}
    assert answer["output"] is None
    compact, _ = studio.permit()
    revoke(studio.world, studio.consents[0])
    answer = studio.hand_in(compact, encoded(studio.folder, film((ALICE,)), label=False), mark=True).json()
    assert (answer["release"], answer["code"], answer["output"]) == (False, "consent_revoked", None)
    done = {"permit": compact, "output_sha256": "ab" * 32, "mark": True}
    assert code(studio.world.call("POST", "/v1/permits/complete", "backend", json=done)) == "request_invalid"


def found_by(studio: Studio, content: bytes) -> list[list[str]]:
    answer = studio.world.call("POST", "/v1/clips/identify", content=content, headers={"Content-Type": "video/mp4"})
    assert answer.status_code == 200, answer.text
    return [match["evidence"][:2] for match in answer.json()["matches"]]


def test_a_consent_that_ended_withholds_whatever_the_clip_shows(studio: Studio) -> None:
    compact, permit = studio.permit()
    content = studio.marked(film((ALICE,)), permit)
    revoke(studio.world, studio.consents[0])
    answer = studio.hand_in(compact, content).json()
    assert (answer["release"], answer["code"]) == (False, "consent_revoked")
