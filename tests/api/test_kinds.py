"""Stories and cameos over HTTP: every face in them needs its person's yes, and the worker gets what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.balance import check_permits
from api.engines import Bounded
from api.orders import job_sha256, order_from_bytes, order_to_bytes
from api.rendering import Renderers, render_clip
from api.tables import ClipRow, MediaRow
from likeness.double import Double
from likeness.encode import encode
from likeness.generate import Cameo, Clip, Kind, RenderRequest, Speech, Story
from likeness.provenance import ManifestState, verify_clip
from liveness.capture import Audio
from tests.api.conftest import World, png
from tests.api.scripted import ALICE, BOB, picture_of
from tests.api.test_clips import content as clip_content
from tests.api.test_clips import state
from tests.api.test_liveness_sessions import code
from tests.api.test_media import sound

pytestmark = pytest.mark.service

EVERYWHERE = ["portrait", "story", "cameo"]
GREY = (128, 128, 128)  # nobody
BLACK = (0, 0, 0)  # somebody who cannot be measured


class Recorder:
    """A generator of one kind that remembers what it was asked for and makes a second of its people; in a cameo, of the one
    whose face goes in."""

    version, most_people = "1", 8

    def __init__(self, kind: Kind) -> None:
        self.kind, self.name = kind, kind.value
        self.asked: list[tuple[Sequence[Double], RenderRequest]] = []

    def render(self, doubles: Sequence[Double], request: RenderRequest) -> Clip:
        self.asked.append((doubles, request))
        star = request.content.face_of if isinstance(request.content, Cameo) else None
        shown = [double for double in doubles if star in (None, double.subject_id)]
        picture = np.full((request.height, request.width, 3), GREY, np.uint8)
        for number, double in enumerate(shown):
            picture[:, number * request.width // len(shown) :] = double.portrait[0, 0]
        silence = Audio(samples=np.zeros(16_000, np.float32), rate_hz=16_000)
        return Clip(
            width=request.width, height=request.height, fps=request.fps, frame_count=request.fps,
            frames=iter([picture] * request.fps), audio=silence, generator=f"{self.name}@1",
        )  # fmt: skip


def made(world: World, clip_id: str, kind: Kind) -> tuple[Sequence[Double], RenderRequest]:
    generator = Recorder(kind)
    renderers = Renderers(generators={kind.value: generator}, faces=world.service.faces, bound=Bounded(1))
    assert render_clip(world.service, renderers, clip_id), state(world, clip_id)
    assert state(world, clip_id)["state"] == "done"
    return generator.asked[0]


def media(world: World, *contents: bytes) -> list[str]:
    return [world.media(content, who="app")["media_id"] for content in contents]


def story(world: World, tokens: list[str], pictures: list[str], **more: Any) -> Any:
    shots = [{"seconds": 2.0, "caption": f"Part {number}"} for number in range(1, len(pictures))]
    body = {"kind": "story", "backend": "story", "media": pictures, "shots": shots, "tokens": tokens} | more
    return world.call("POST", "/v1/clips", "app", json=body | {"width": 320, "height": 320})


def film(folder: Path, colour: tuple[int, int, int]) -> bytes:
    out = folder / "film.mp4"
    encode(iter([picture_of(colour, size=256)] * 60), None, width=256, height=256, fps=24, out=out)
    return out.read_bytes()


def cameo(world: World, tokens: list[str], content: bytes, **more: Any) -> Any:
    body = {"kind": "cameo", "backend": "cameo", "media": media(world, content), "tokens": tokens} | more
    return world.call("POST", "/v1/clips", "app", json=body | {"width": 320, "height": 320})


def test_a_story_reaches_its_generator_as_it_was_ordered(world: World) -> None:
    token = world.token(world.consent(audience=EVERYWHERE), "story")
    pictures = media(world, png(ALICE), png(GREY), png((201, 41, 41)))
    recordings = media(world, sound(1), sound(2))
    answer = story(world, [token], pictures, sound=recordings[0], music=recordings[1])
    assert answer.status_code == 202, answer.text
    assert answer.json()["cost"]["film_s"] == 4.0
    assert answer.json()["cost"]["work_s"] > 1
    assert 700 < answer.json()["cost"]["memory_mb"] < 2000

    doubles, request = made(world, answer.json()["clip_id"], Kind.STORY)

    assert len(doubles) == 1
    assert isinstance(request.content, Story)
    assert [tuple(int(v) for v in picture[0, 0]) for picture in request.content.photographs] == [
        ALICE, GREY, (201, 41, 41),
    ]  # fmt: skip
    assert [(shot.seconds, shot.caption) for shot in request.content.shots] == [(2.0, "Part 1"), (2.0, "Part 2")]
    assert request.content.speech is not None
    assert request.content.speech.duration_ms == 1000
    assert request.content.music is not None
    assert request.content.music.duration_ms == 2000
    assert request.max_seconds == 4


def test_every_face_in_every_photograph_needs_a_yes(world: World) -> None:
    alice = world.consent(audience=EVERYWHERE)
    pictures = media(world, png(ALICE), png(ALICE, BOB))
    refused = story(world, [world.token(alice, "story")], pictures)
    assert (refused.status_code, code(refused)) == (403, "gate_refused")
    assert [(reason["code"], reason["media_id"]) for reason in refused.json()["reasons"]] == [
        ("unknown_face", pictures[1])
    ]
    bob = world.consent(world.shown_live(BOB, "user-2"), audience=EVERYWHERE)
    both = story(world, [world.token(each, "story") for each in (alice, bob)], pictures)
    assert both.status_code == 202
    assert len(made(world, both.json()["clip_id"], Kind.STORY)[0]) == 2


def test_a_story_without_anybody_needs_no_token_and_is_known_as_one_of_nobody(world: World) -> None:
    """From the order to the copy that somebody asks about; and the books say why a permit stands without a consent."""
    pictures = media(world, png(GREY), png((90, 90, 90)))
    answer = story(world, [], pictures)
    assert answer.status_code == 202, answer.text
    clip_id = answer.json()["clip_id"]
    doubles, request = made(world, clip_id, Kind.STORY)
    assert list(doubles) == []
    assert isinstance(request.content, Story)
    content = world.call("GET", f"/v1/clips/{clip_id}/content", "app")
    assert content.status_code == 200
    found = world.client.post("/v1/clips/identify", content=content.content).json()
    assert [match["consent"] for match in found["matches"]] == ["nobody"]
    assert check_permits(world.service) == 0, "nobody looks at it as at a gate that failed open"


@pytest.mark.parametrize("who", [ALICE, BLACK], ids=["a face", "a face that cannot be measured"])
def test_one_face_in_one_photograph_ends_that(world: World, who: tuple[int, int, int]) -> None:
    pictures = media(world, png(GREY), png(GREY, who))
    refused = story(world, [], pictures)
    assert (refused.status_code, [reason["code"] for reason in refused.json()["reasons"]]) == (403, ["no_token"])


def test_a_permit_of_nobody_for_pictures_with_a_face_is_found_from_outside(world: World) -> None:
    """As if the gate had looked away: the books are compared with what is in the pictures."""
    pictures = media(world, png(GREY), png((90, 90, 90)))
    assert story(world, [], pictures).status_code == 202
    with world.service.database.transaction() as store:
        row = store.get(MediaRow, pictures[1])
        assert row is not None
        row.faces = [{"face_id": "f", "box": {"x": 0, "y": 0, "width": 9, "height": 9}, "quality": None}]
    assert check_permits(world.service) == 1


@pytest.mark.parametrize("kind", ["portrait", "cameo"])
def test_other_kinds_are_of_somebody(world: World, tmp_path: Path, kind: str) -> None:
    if kind == "cameo":
        answer = cameo(world, [], film(tmp_path, GREY), face_of="cns_" + "0" * 32)
    else:
        body = {"kind": "portrait", "backend": "portrait", "media": media(world, png(GREY)), "script": "Hello."}
        answer = world.call("POST", "/v1/clips", "app", json=body | {"tokens": []})
    assert answer.status_code == 403
    assert "no_token" in str(answer.json()["reasons"]) or "no_face" in str(answer.json()["reasons"])


def conversation(world: World, tokens: list[str], lines: list[dict[str, Any]], *people: tuple[int, int, int]) -> Any:
    body = {"media": media(world, png(*people)), "lines": lines, "tokens": tokens, "width": 320, "height": 320}
    return world.call("POST", "/v1/clips", "app", json=body)


def test_several_people_in_one_photograph_say_their_lines(world: World) -> None:
    alice = world.consent()
    bob = world.consent(world.shown_live(BOB, "user-2"))
    tokens = [world.token(each, "portrait") for each in (alice, bob)]
    lines = [
        {"consent": alice["consent_id"], "text": "Hello."}, {"consent": bob["consent_id"], "text": "Hello, you."},
        {"everyone": True, "text": "Goodbye."},
    ]  # fmt: skip
    answer = conversation(world, tokens, lines, ALICE, BOB)
    assert answer.status_code == 202, answer.text
    doubles, request = made(world, answer.json()["clip_id"], Kind.PORTRAIT)
    assert isinstance(request.content, Speech)
    assert request.content.together is not None
    whose = {double.subject_id: double.consent_id for double in doubles}
    said = [(None if line.of is None else whose[line.of], line.text) for line in request.content.lines]
    assert said == [(alice["consent_id"], "Hello."), (bob["consent_id"], "Hello, you."), (None, "Goodbye.")]


def test_nobody_beside_them_goes_without_a_yes_and_nobody_absent_gets_a_line(world: World) -> None:
    alice = world.consent()
    token = world.token(alice, "portrait")
    lines: list[dict[str, Any]] = [{"everyone": True, "text": "Hello."}]
    refused = conversation(world, [token], lines, ALICE, BOB)
    assert {reason["code"] for reason in refused.json()["reasons"]} == {"unknown_face"}
    absent = conversation(world, [token], [{"consent": "cns_" + "0" * 32, "text": "Hello."}], ALICE)
    assert (absent.status_code, code(absent)) == (422, "request_invalid")
    for wrong in ({"text": "Hello."}, {"everyone": True, "consent": alice["consent_id"], "text": "Hello."}):
        assert conversation(world, [token], [wrong], ALICE).status_code == 422


def test_forbidden_words_are_looked_for_in_every_line(world: World) -> None:
    consent = world.consent(limits={"max_seconds": 30, "forbidden_words": ["lottery"]})
    lines = [{"everyone": True, "text": "Hello."}, {"everyone": True, "text": "I won the lottery."}]
    refused = conversation(world, [world.token(consent, "portrait")], lines, ALICE)
    assert refused.json()["reasons"][0]["code"] == "scope_limits"


def test_who_says_a_line_is_part_of_the_job(world: World) -> None:
    """A permit for one conversation is none for another."""
    alice = world.consent()
    token = world.token(alice, "portrait")
    hashes = set()
    for line in ({"everyone": True, "text": "A"}, {"consent": alice["consent_id"], "text": "A"},
                 {"everyone": True, "text": "B"}):  # fmt: skip
        clip_id = conversation(world, [token], [line], ALICE).json()["clip_id"]
        with world.service.database.transaction() as store:
            hashes.add(store.get(ClipRow, clip_id).job_sha256)  # type: ignore[union-attr]
    assert len(hashes) == 3


def estimated(world: World, **body: Any) -> dict[str, Any]:
    answer = world.call("POST", "/v1/clips/estimate", "app", json={"width": 320, "height": 320} | body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_what_a_clip_would_take_is_said_before_it_is_ordered(world: World, tmp_path: Path) -> None:
    """Nothing is queued or spent: a consent for one use still has it, and the answer is the gate's own."""
    consent = world.consent(audience=EVERYWHERE, limits={"max_seconds": 30, "uses": 1})
    token, filmed = world.token(consent, "portrait"), world.token(consent, "cameo")
    said = estimated(world, tokens=[token], script="Hello, I said yes to this clip, and I may take it back.")
    assert said["decision"]
    assert 3 < said["cost"]["film_s"] < 7
    heard = estimated(world, tokens=[token], sound=media(world, sound(2))[0])
    assert heard["cost"]["film_s"] == pytest.approx(3.2, abs=0.1)
    cameo_media = media(world, film(tmp_path, ALICE))
    face_of = consent["consent_id"]
    put_in = estimated(world, kind="cameo", backend="cameo", media=cameo_media, tokens=[filmed], face_of=face_of)
    assert put_in["cost"]["film_s"] == pytest.approx(2.5, abs=0.1)
    assert put_in["cost"]["work_s"] > 1
    refused = estimated(world, tokens=[], script="Hello.")
    assert not refused["decision"]
    assert [reason["code"] for reason in refused["reasons"]] == ["no_token"]
    with world.service.database.transaction() as store:
        assert store.uses_of(consent["consent_id"]) == 0
    assert world.call("POST", "/v1/clips", "app", json={"script": "Hello.", "tokens": [token]}).status_code == 202


def test_nobody_is_asked_for_a_yes_by_an_estimate(world: World) -> None:
    consent = world.consent(audience=EVERYWHERE, approval="always")
    token = world.token(consent, "portrait")
    answer = estimated(world, tokens=[token], script="Hello.")
    assert [reason["code"] for reason in answer["reasons"]] == ["approval_needed"]
    assert "request_id" not in answer["reasons"][0]
    ordered = world.call("POST", "/v1/clips", "app", json={"script": "Hello.", "tokens": [token]})
    assert "request_id" in ordered.json()["reasons"][0], "an order does ask"


def test_words_that_a_person_forbade_are_not_shown_either(world: World) -> None:
    consent = world.consent(audience=EVERYWHERE, limits={"max_seconds": 30, "forbidden_words": ["lottery"]})
    pictures = media(world, png(ALICE), png(ALICE))
    for shots, more in (
        ([{"seconds": 2, "caption": "She won the lottery"}], {}),
        ([{"seconds": 2}], {"music": media(world, sound())[0]}),  # which may say it
    ):
        refused = story(world, [world.token(consent, "story")], pictures, shots=shots, **more)
        assert refused.json()["reasons"][0]["code"] == "scope_limits"
    assert story(world, [world.token(consent, "story")], pictures).status_code == 202


def test_a_story_is_no_longer_than_the_person_allows(world: World) -> None:
    consent = world.consent(audience=EVERYWHERE, limits={"max_seconds": 3})
    pictures = media(world, png(ALICE), png(ALICE), png(ALICE))
    refused = story(world, [world.token(consent, "story")], pictures)
    assert refused.json()["reasons"][0]["code"] == "scope_limits"


@pytest.mark.parametrize(
    "wrong",
    [
        {"backend": "portrait"}, {"script": "Hello."}, {"shots": []}, {"shots": [{"seconds": 2}] * 2}, {"media": []},
        {"face_of": "con_1"}, {"shots": [{"seconds": 0.1}]}, {"kind": "portrait", "backend": "portrait"},
        {"shots": [{"seconds": 20}], "max_seconds": 10},
    ],
)  # fmt: skip
def test_a_story_that_makes_no_sense_is_refused_before_the_gate_is_asked(world: World, wrong: dict[str, Any]) -> None:
    answer = story(world, [], media(world, png(ALICE), png(ALICE)), **wrong)
    assert (answer.status_code, code(answer)) == (422, "request_invalid")


def test_a_cameo_needs_the_yes_of_both(world: World, tmp_path: Path) -> None:
    alice = world.consent(audience=EVERYWHERE)
    bob = world.consent(world.shown_live(BOB, "user-2"), audience=EVERYWHERE)
    content = film(tmp_path, BOB)
    tokens = [world.token(each, "cameo") for each in (alice, bob)]
    alone = cameo(world, tokens[:1], content, face_of=alice["consent_id"])
    assert {reason["code"] for reason in alone.json()["reasons"]} == {"unknown_face"}

    answer = cameo(world, tokens, content, face_of=alice["consent_id"])
    assert answer.status_code == 202, answer.text
    doubles, request = made(world, answer.json()["clip_id"], Kind.CAMEO)

    assert isinstance(request.content, Cameo)
    (star,) = [double for double in doubles if double.subject_id == request.content.face_of]
    assert star.consent_id == alice["consent_id"]
    assert request.content.seconds == pytest.approx(2.5, abs=0.1)
    assert request.content.film[0].image.shape == (256, 256, 3)

    out = tmp_path / "cameo.mp4"
    out.write_bytes(clip_content(world, answer.json()["clip_id"]).content)
    manifest = verify_clip(out, anchor_pem=world.call("GET", "/v1/provenance/anchor").text)
    assert (manifest.state, manifest.actions[:2]) == (ManifestState.TRUSTED, ("c2pa.opened", "c2pa.edited"))
    assert manifest.inputs == 2, "both portraits, by digest; the film is the parent"


@pytest.mark.parametrize("wrong", [{"face_of": None}, {"script": "Hello."}, {"media": []}, {"backend": "story"}])
def test_a_cameo_that_makes_no_sense_is_refused_before_the_gate_is_asked(
    world: World, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    answer = cameo(world, [], film(tmp_path, BOB), **{"face_of": "con_1"} | wrong)
    assert (answer.status_code, code(answer)) == (422, "request_invalid")


def test_a_picture_is_no_film_and_a_film_no_photograph(world: World, tmp_path: Path) -> None:
    assert code(cameo(world, [], png(ALICE), face_of="con_1")) == "request_invalid"
    assert code(story(world, [], media(world, png(ALICE), film(tmp_path, ALICE)))) == "request_invalid"


def test_another_caption_or_order_of_shots_is_another_job(world: World) -> None:
    """A permit is bound to the job's hash, so what it was given for cannot be changed after."""
    token = world.token(world.consent(audience=EVERYWHERE), "story")
    one, two = media(world, png(ALICE), png((201, 41, 41)))
    shots = [{"seconds": 2.0, "caption": "A"}]
    hashes = set()
    for pictures, wanted in (
        ([one, two], shots), ([two, one], shots), ([one, two], [{"seconds": 2.0, "caption": "B"}]),
        ([one, two], [{"seconds": 2.5, "caption": "A"}]),
    ):  # fmt: skip
        clip_id = story(world, [token], pictures, shots=wanted).json()["clip_id"]
        doubles, _ = made(world, clip_id, Kind.STORY)
        assert doubles
        with world.service.database.transaction() as store:
            hashes.add(store.get(ClipRow, clip_id).job_sha256)  # type: ignore[union-attr]
    assert len(hashes) == 4


def test_orders_of_the_last_release_are_still_read_and_hash_as_they_did() -> None:
    old = (
        b'{"kind": "portrait", "backend": "portrait", "purpose": "digital_double", "tokens": [], "media": [], "sound": null,'
        b' "script": "Hello.", "language": "en", "max_seconds": null, "width": 1280, "height": 720, "owner": "key_1",'
        b' "media_sha256": []}'
    )
    order = order_from_bytes(old)
    assert order_from_bytes(order_to_bytes(order)) == order
    assert job_sha256(order) == "3900602abf3d189c1bd971f030255aeb6bf28559d7a323fca07f097c3d23caa4"
