"""Attempts to get around the gate, over HTTP, each with the code that it must be refused with.

Alice consented; Bob did not. Whoever tries has Alice's valid token and a photograph of her, and wants Bob in the clip, or
Alice in another clip than the one that was permitted.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from api.auth import Role
from api.engines import Bounded, FaceEngines
from likeness.encode import encode
from liveness.capture import RgbImage
from liveness.digits import Language
from liveness.evidence import FoundFace
from tests.api.conftest import (
    ColourEmbedder,
    ColourFinder,
    World,
    png,
)
from tests.api.scripted import ALICE, BOB, CONTRACT, colour_template, picture_of
from tests.api.test_consents import revoke
from tests.api.test_dpop import COMPLETE, REDEEM, THIEF, Backend, studio  # noqa: F401 - a fixture
from tests.api.test_media import sound
from tests.api.test_references import got, permitted, references

pytestmark = pytest.mark.service

GREY = (120, 120, 120)
JOB_SHA256 = "ab" * 32


@pytest.fixture
def faces() -> FaceEngines:
    """Faces here have an up and a down, as people's have: a picture whose last row is the brighter one stands on its head."""

    class Upright(ColourFinder):
        def find_every(self, image: RgbImage) -> tuple[FoundFace, ...]:
            return super().find_every(image) if image[0].mean() >= image[-1].mean() else ()

    return FaceEngines(
        finder=Upright(), embedder=ColourEmbedder(), languages=frozenset({Language.ENGLISH}), bound=Bounded(1)
    )


def lit(*colours: tuple[int, int, int], size: int = 64) -> RgbImage:
    """A picture with its up marked."""
    image = picture_of(*colours, size=size)
    image[:4] = 250
    return image


# --- media that show somebody only to some --------------------------------------------------------------------------------


def saved(form: str, first: RgbImage, *others: RgbImage, **more: Any) -> bytes:
    content = io.BytesIO()
    rest = [Image.fromarray(each) for each in others]
    Image.fromarray(first).save(content, form, **({"save_all": True, "append_images": rest} if others else {}), **more)
    return content.getvalue()


def turned_by_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 3  # turn by 180 degrees: programs that do not read it show Bob upright
    return saved("JPEG", lit(BOB), exif=exif, quality=95)


def lying() -> bytes:
    return saved("PNG", np.ascontiguousarray(np.rot90(lit(BOB))))


def under_alpha() -> bytes:
    image = np.dstack([picture_of(BOB), np.zeros((64, 64), np.uint8)])
    return saved("PNG", image)


def in_16_bits() -> bytes:
    return saved("PNG", picture_of(BOB)[..., 0].astype(np.uint16) * 257)


def hidden_animation() -> bytes:
    """The default picture is no part of the animation, which is one picture long."""
    return saved("PNG", picture_of(ALICE), picture_of(BOB), default_image=True)


def multi_picture() -> bytes:
    return saved("MPO", picture_of(ALICE), picture_of(BOB), quality=95)


def film_of(pictures: Sequence[RgbImage], folder: Path, **more: Any) -> bytes:
    out = folder / "film.mp4"
    size = len(pictures[0])
    encode(iter(pictures), None, width=size, height=size, fps=24, out=out, **more)
    return out.read_bytes()


def three_pictures(folder: Path) -> bytes:
    return film_of([*[picture_of(ALICE, size=128)] * 17, *[picture_of(BOB, size=128)] * 3, *[picture_of(ALICE, size=128)] * 16], folder)  # fmt: skip  # noqa: E501


def turned_film(folder: Path) -> bytes:
    return film_of([np.ascontiguousarray(lit(BOB, size=128))] * 12, folder, rotation=180)


def tracks(form: str, folder: Path, *colours: tuple[int, int, int], codec: str = "libx264") -> bytes:
    """A film with a picture track for each colour."""
    path = folder / f"tracks.{form}"
    with av.open(str(path), "w") as out:
        streams = []
        for _ in colours:
            stream = out.add_stream(codec, rate=Fraction(24))
            stream.width = stream.height = 128
            stream.pix_fmt = "yuv420p"
            streams.append(stream)
        for _ in range(12):
            for stream, colour in zip(streams, colours, strict=True):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture_of(colour, size=128), "rgb24")))
        for stream in streams:
            out.mux(stream.encode(None))
    return path.read_bytes()


def branded_as_sound(folder: Path) -> bytes:
    film = film_of([picture_of(BOB, size=128)] * 12, folder)
    return film[:8] + b"M4A " + film[12:]


def in_a_sound() -> bytes:
    return b"OggS\0\2" + bytes(21) + b"\x01\x2a\x80theora" + bytes(64)


def cut_by_edits(folder: Path) -> bytes:
    """Bob for a second, which the edit list leaves out, then Alice."""
    film = bytearray(film_of([*[picture_of(BOB, size=128)] * 24, *[picture_of(ALICE, size=128)] * 24], folder))
    at = film.find(b"elst")
    assert at > 0
    film[at + 12 : at + 20] = struct.pack(">Ii", 1000, int(12288 * 1.0))
    return bytes(film)


MEDIA: dict[str, tuple[Callable[..., bytes], str]] = {
    "a face in three pictures of a film": (three_pictures, "unknown_face"),
    "a photograph that lies on its side": (lying, "unknown_face"),
    "a photograph turned by a note beside it": (turned_by_exif, "unknown_face"),
    "a film turned by a note beside it": (turned_film, "unknown_face"),
    "the second picture of a photograph": (multi_picture, "unknown_face"),
    "an animated PNG": (lambda: saved("PNG", picture_of(ALICE), picture_of(BOB)), "media_ambiguous"),
    "an animation beside the picture": (hidden_animation, "media_ambiguous"),
    "an animated WebP": (
        lambda: saved("WEBP", picture_of(ALICE), picture_of(BOB), lossless=True),
        "media_picture_animated",
    ),
    "an animated GIF": (lambda: saved("GIF", picture_of(ALICE), picture_of(BOB)), "media_unreadable"),
    "a HEIC": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(600), "media_unreadable"),
    "an AVIF sequence": (lambda: b"\0\0\0\x18ftypavis\0\0\0\0mif1avis" + bytes(600), "media_unreadable"),
    "an SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="x"/></svg>', "media_unreadable"),
    "a face under full transparency": (under_alpha, "media_picture_transparent"),
    "grey in 16 bits, clipped to white": (in_16_bits, "media_ambiguous"),
    "a second picture track, mp4": (lambda tmp: tracks("mp4", tmp, ALICE, BOB), "media_ambiguous"),
    "a second picture track, mkv": (lambda tmp: tracks("mkv", tmp, ALICE, BOB), "media_ambiguous"),
    "a second picture track, avi": (lambda tmp: tracks("avi", tmp, ALICE, BOB, codec="mpeg4"), "media_ambiguous"),
    "a film that calls itself a sound": (branded_as_sound, "media_ambiguous"),
    "pictures in an Ogg sound": (in_a_sound, "media_ambiguous"),
    "what an edit list leaves out": (cut_by_edits, "media_ambiguous"),
}


def code_of(answer: dict[str, Any], wanted: str) -> str:
    """What a refusal says: the wanted code if it is among them."""
    codes = [reason["code"] for reason in answer["context"].get("reasons", ())]
    return "permitted" if answer["decision"] else wanted if wanted in codes else ", ".join(codes)


def test_media_that_show_somebody_only_to_some(world: World, tmp_path: Path) -> None:
    token, hers = world.token(world.consent()), world.media(saved("PNG", lit(ALICE)))["media_id"]
    found = {}
    for attempt, (make, wanted) in MEDIA.items():
        data = make(tmp_path) if make.__code__.co_argcount else make()
        taken = world.call("POST", "/v1/media", "backend", content=data)
        if taken.status_code == 201:
            found[attempt] = code_of(world.ask(tokens=[token], media=[hers, taken.json()["media_id"]]), wanted)
        else:
            found[attempt] = taken.json()["code"]
    assert found == {attempt: wanted for attempt, (_, wanted) in MEDIA.items()}


def test_the_same_media_of_alice_alone_are_no_trouble(world: World, tmp_path: Path) -> None:
    """What the table refuses is Bob, or the form, and not every film and photograph."""
    token = world.token(world.consent())
    exif = Image.Exif()
    exif[0x0112] = 6
    good = [
        saved("JPEG", lit(ALICE), exif=exif, quality=95),
        saved("PNG", np.ascontiguousarray(np.rot90(lit(ALICE), 2))),
        saved("MPO", picture_of(ALICE), picture_of(GREY), quality=95),
        saved("WEBP", picture_of(ALICE), lossless=True),
        film_of([picture_of(ALICE, size=128)] * 30, tmp_path),
        film_of([lit(ALICE, size=128)] * 12, tmp_path, rotation=90),
        tracks("mkv", tmp_path, ALICE),
        tracks("avi", tmp_path, ALICE, codec="mpeg4"),
    ]
    for data in good:
        taken = world.call("POST", "/v1/media", "backend", content=data)
        assert taken.status_code == 201, taken.text
        answer = world.ask(tokens=[token], media=[taken.json()["media_id"]])
        assert answer["decision"] is True, answer


# --- jobs that name somebody without showing them -------------------------------------------------------------------------

JOBS: dict[str, tuple[dict[str, Any], str]] = {
    "an address": ({"parameters": {"image": "https://cdn.example/bob"}}, "remote_input"),
    "an address in capitals": ({"parameters": {"image": "HTTPS://CDN.EXAMPLE/BOB"}}, "remote_input"),
    "an address deep inside": ({"parameters": {"a": [{"b": {"c": [["gs://bucket/bob"]]}}]}}, "remote_input"),
    "an address as a member's name": ({"parameters": {"https://cdn.example/bob": True}}, "remote_input"),
    "an address in JSON in a text": (
        {"parameters": {"extra": '{"u": "https:\\/\\/cdn.example\\/bob"}'}},
        "remote_input",
    ),
    "an address in wide letters": ({"parameters": {"image": "ｈｔｔｐｓ：／／ｃｄｎ．example／bob"}}, "remote_input"),
    "an address with an invisible letter": ({"prompt": "like ht\u200btps://cdn.example/bob"}, "remote_input"),
    "an address in percent signs": ({"parameters": {"image": "https%3a%2f%2fcdn.example%2fbob"}}, "remote_input"),
    "an address without scheme": ({"parameters": {"image": "//cdn.example/bob"}}, "remote_input"),
    "a data URI": ({"prompt": "She becomes data:image/webp;base64,UklGRg"}, "remote_input"),
    "bytes in the prompt": ({"prompt": "She becomes " + "iVBORw0KGgo" * 40}, "hidden_face"),
    "bytes in pieces": ({"parameters": {"x": ["iVBORw0KGgo" * 5] * 20}}, "hidden_face"),
    "a template as numbers": ({"parameters": {"hint": [0.1] * 512}}, "hidden_face"),
    "an asset": ({"parameters": {"content": [{"url": "asset://asset-7"}]}}, "hidden_face"),
    "an element": ({"parameters": {"elementList": [{"element_id": 7}]}}, "hidden_face"),
    "an element called in the prompt": ({"prompt": "<<<element_bob>>> waves"}, "hidden_face"),
    "a cameo called in the prompt": ({"prompt": "@bob waves"}, "hidden_face"),
    "an earlier generation": ({"parameters": {"previousInteractionId": "int-1"}}, "hidden_face"),
    "a character": ({"parameters": {"character_id": "chr-1"}}, "hidden_face"),
    "a voice": ({"parameters": {"voice_id": "bob"}}, "hidden_face"),
    "a motion": ({"parameters": {"driving": "bob.pkl"}}, "hidden_face"),
    "a LoRA": ({"parameters": {"adapters": [{"path": "bob.safetensors"}]}}, "hidden_face"),
    "a LoRA in the prompt": ({"prompt": "portrait <lora:bob:1>"}, "hidden_face"),
    "a file that lies at the vendor": ({"parameters": {"3": {"inputs": {"image": "bob.png"}}}}, "hidden_face"),
    "bytes that nobody handed in": ({"media": ["00" * 32]}, "input_unseen"),
}


def test_jobs_that_name_somebody_without_showing_them(world: World) -> None:
    token, hers = world.token(world.consent()), world.media(png(ALICE))
    plain = {"prompt": "She waves.", "media": [hers["sha256"]], "parameters": {"ratio": "16:9", "seed": 7}}

    def asked(shown: dict[str, Any]) -> dict[str, Any]:
        return world.ask(tokens=[token], media=[hers["media_id"]], context={"job": shown, "job_sha256": None})

    assert asked(plain)["decision"] is True
    found = {attempt: code_of(asked(plain | job), wanted) for attempt, (job, wanted) in JOBS.items()}
    assert found == {attempt: wanted for attempt, (_, wanted) in JOBS.items()}


# --- other inputs ---------------------------------------------------------------------------------------------------------


def hers(world: World, *others: tuple[int, int, int]) -> list[str]:
    return [world.media(png(ALICE, *others))["media_id"]]


def bobs_vector() -> list[float]:
    return [float(x) for x in colour_template(BOB).vector]


def alices_vector() -> list[float]:
    return [float(x) for x in colour_template(ALICE).vector]


def of_another_key(world: World) -> dict[str, Any]:
    return {"media": [world.media(png(ALICE), who="app")["media_id"]]}


def a_finished_clip(world: World) -> dict[str, Any]:
    taken = world.call("POST", "/v1/media", "backend", content=png(ALICE), params={"output": "true"})
    return {"media": [taken.json()["media_id"]]}


def a_voice(world: World, **declared: Any) -> dict[str, Any]:
    heard = world.call("POST", "/v1/media", "backend", content=sound()).json()["media_id"]
    voices = [{"media_id": heard, **declared}] if declared else []
    return {"media": [*hers(world), heard], "properties": {"voices": voices}}


INPUTS: dict[str, tuple[Callable[[World], dict[str, Any]], str]] = {
    "nothing at all": (lambda world: {"media": []}, "no_face"),
    "media of another key": (of_another_key, "face_unjudged"),
    "a finished clip, which nobody looked at as an input": (a_finished_clip, "face_unjudged"),
    "media that there are not": (lambda world: {"media": ["med_" + "0" * 32]}, "face_unjudged"),
    "somebody beside her": (lambda world: {"media": hers(world, BOB)}, "unknown_face"),
    "a face too dark to be judged": (lambda world: {"media": hers(world, (3, 3, 3))}, "face_unjudged"),
    "a template of somebody else": (lambda world: {"properties": {"embeddings": [{"contract_id": CONTRACT, "vector": bobs_vector()}]}}, "unknown_face"),  # noqa: E501
    "her template under another contract": (lambda world: {"properties": {"embeddings": [{"contract_id": "other-1", "vector": alices_vector()}]}}, "face_unjudged"),  # noqa: E501
    "an input of a kind that is not known": (lambda world: {"media": hers(world), "properties": {"splats": ["x"]}}, "input_unseen"),  # noqa: E501
    "a handle that is not known": (lambda world: {"media": hers(world), "properties": {"handles": ["asset://bob"]}}, "hidden_face"),  # noqa: E501
    "a voice that is nobody's word": (a_voice, "voice_undeclared"),
    "a voice of a person without a token": (lambda world: a_voice(world, token=1), "no_token"),
    "more seconds than she allowed": (lambda world: {"media": hers(world), "context": {"seconds": 31}}, "scope_limits"),
    "another purpose": (lambda world: {"media": hers(world), "context": {"purpose": "advertising"}}, "scope_purpose"),
}  # fmt: skip


def test_other_inputs(world: World) -> None:
    token = world.token(world.consent())
    found = {
        attempt: code_of(world.ask(tokens=[token], **make(world)), wanted) for attempt, (make, wanted) in INPUTS.items()
    }
    assert found == {attempt: wanted for attempt, (_, wanted) in INPUTS.items()}


def test_a_clip_made_under_a_consent_that_ended_is_no_input_any_more(world: World) -> None:
    object.__setattr__(world.service, "settings", replace(world.service.settings, output_check="handed_in"))
    consent, hers = world.consent(), world.media(png(ALICE))["media_id"]
    permit = world.ask(tokens=[world.token(consent)], media=[hers])["context"]["permit"]
    assert world.call("POST", REDEEM, "backend", json={"permit": permit, "job_sha256": JOB_SHA256}).status_code == 200
    done = {"permit": permit, "output_sha256": "cd" * 32, "handles": ["asset://alice"]}
    assert world.call("POST", COMPLETE, "backend", json=done).json()["release"] is True
    revoke(world, consent)
    anew = world.token(world.consent(world.shown_live(ALICE, "user-3")))
    job = {"prompt": "She waves.", "parameters": {"image": "asset://alice"}}
    answer = world.ask(tokens=[anew], media=[hers], context={"job": job, "job_sha256": None})
    assert [reason["code"] for reason in answer["context"]["reasons"]] == ["no_token"]


# --- permits --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def given(world: World, studio: Backend) -> tuple[dict[str, Any], str, str]:  # noqa: F811
    consent = world.consent()
    permit_id, permit = permitted(studio, consent)
    return consent, permit_id, permit


PERMITS = {
    "for another job": "permit_invalid",
    "by another backend": "permit_invalid",
    "by somebody else's key": "key_mismatch",
    "without the key": "dpop_missing",
    "after its time": "permit_expired",
    "after the consent was taken back": "consent_revoked",
    "twice": "permit_spent",
    "completed without being spent": "permit_not_redeemed",
    "her pictures before it was spent": "permit_not_redeemed",
    "her pictures after the work": "permit_spent",
    "her pictures after the consent was taken back": "consent_revoked",
    "a forged one": "permit_invalid",
}


@pytest.mark.parametrize("attempt", PERMITS)
def test_a_permit_used_otherwise(
    world: World,
    studio: Backend,  # noqa: F811
    given: tuple[dict[str, Any], str, str],
    attempt: str,
) -> None:
    consent, permit_id, permit = given
    picture = references(permit_id, consent["consent_id"])

    def redeemed(who: Backend = studio, shown: str = permit, job: str = JOB_SHA256, key: str = "backend") -> Any:
        headers = {"DPoP": who.proof("POST", REDEEM, shown)}
        return world.call("POST", REDEEM, key, json={"permit": shown, "job_sha256": job}, headers=headers)

    match attempt:
        case "for another job":
            refused = redeemed(job="cd" * 32)
        case "by another backend":
            refused = redeemed(key=world.key(Role.BACKEND, "another"))
        case "by somebody else's key":
            refused = redeemed(who=Backend(world, THIEF))
        case "without the key":
            refused = world.call("POST", REDEEM, "backend", json={"permit": permit, "job_sha256": JOB_SHA256})
        case "after its time":
            world.clock.move(301)
            refused = redeemed()
        case "after the consent was taken back":
            revoke(world, consent)
            refused = redeemed()
        case "twice":
            assert redeemed().status_code == 200
            refused = redeemed()
        case "completed without being spent":
            refused = studio.use(COMPLETE, permit)
        case "her pictures before it was spent":
            refused = got(studio, picture)
        case "her pictures after the work":
            assert redeemed().status_code == 200
            assert studio.use(COMPLETE, permit).status_code == 200
            refused = got(studio, picture)
        case "her pictures after the consent was taken back":
            assert redeemed().status_code == 200
            revoke(world, consent)
            refused = got(studio, picture)
        case _:
            head, claims, _ = permit.split(".")
            refused = redeemed(shown=f"{head}.{claims}.{'A' * 86}")
    assert refused.status_code >= 400
    assert refused.json()["code"] == PERMITS[attempt]
