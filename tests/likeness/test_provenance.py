"""Every clip says what it is, to people and to programs, and nothing unmarked leaves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from numpy.typing import NDArray

from consent.gate import Permit
from likeness import provenance
from likeness.errors import EncodeError, PermitMismatch, ProvenanceError, RenderError
from likeness.generate import Clip
from likeness.label import LEAST_CHARACTER_HEIGHT, LEAST_OPENING_S, labelled, plates
from likeness.provenance import (
    CONSENT_LABEL,
    Authority,
    ConsentAssertion,
    ManifestSigner,
    ManifestState,
    MarkedClip,
    Published,
    check_label,
    mark,
    new_authority,
    renewed,
    salted,
    verify_clip,
)
from likeness.watermark import Watermark, read
from liveness.capture import Audio, RgbImage
from liveness.decode import decode, sample_pictures
from liveness.policy import STRICT
from tests.consent.given import ask, face, presented, record, use

NOW = datetime.now(UTC)  # the library judges certificates by the machine's own clock
WIDTH, HEIGHT, FPS = 320, 240, 12


@cache
def authority() -> Authority:
    return new_authority(NOW)


@cache
def permit() -> Permit:
    made = ask(use(face()), presented(record()))
    assert isinstance(made, Permit)
    return made


def grey(count: int, level: int = 128) -> Iterator[RgbImage]:
    for _ in range(count):
        yield np.full((HEIGHT, WIDTH, 3), level, np.uint8)


def clip(frames: Iterator[RgbImage], count: int) -> Clip:
    return Clip(
        width=WIDTH,
        height=HEIGHT,
        fps=FPS,
        frame_count=count,
        frames=frames,
        audio=Audio(samples=np.zeros(count * 16_000 // FPS, np.float32), rate_hz=16_000),
        generator="portrait@1",
    )


def marked(out: Path, seconds: int = 5) -> MarkedClip:
    return mark(clip(grey(seconds * FPS), seconds * FPS), permit(), ManifestSigner(authority()), out)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MarkedClip:
    return marked(tmp_path_factory.mktemp("clips") / "clip.mp4")


def verified(path: Path, by: Authority | None = None) -> provenance.ClipManifest:
    return verify_clip(path, anchor_pem=(by or authority()).ca_cert_pem)


# --------------------------------------------------------------------------------------------------------------------
# The manifest


def test_a_marked_clip_is_trusted_under_its_own_anchor(made: MarkedClip) -> None:
    manifest = verified(made.path)
    assert manifest == made.manifest
    assert manifest.state is ManifestState.TRUSTED
    assert manifest.problems == ()
    assert manifest.issuer == "Mien"
    assert manifest.generator == "portrait 1"
    assert manifest.actions == ("c2pa.created",)
    assert manifest.digital_source_type.endswith("/trainedAlgorithmicMedia")


def test_it_names_the_consents_and_nobody(made: MarkedClip) -> None:
    consent = made.manifest.consent
    assert consent is not None
    ((consent_id, subject_id),) = permit().consents
    assert consent.consents == (salted(permit(), str(consent_id).encode()),)
    assert (consent.purpose, consent.backend, consent.assurance) == ("cameo", "portrait", "web")
    data = made.path.read_bytes()
    assert permit().permit_id.encode() not in data
    assert subject_id.encode() not in data
    assert str(consent_id).encode() not in data


def test_two_clips_of_one_person_have_nothing_in_common(made: MarkedClip, tmp_path: Path) -> None:
    """Whoever collects clips must not be able to tell which show the same consent or come from the same portrait."""
    portrait = b"the same portrait"
    other = replace(permit(), permit_id=type(permit().permit_id)("prm_" + "7" * 32))
    first, second = (
        mark(clip(grey(24), 24), each, ManifestSigner(authority()), tmp_path / f"{n}.mp4", made_from=[portrait])
        for n, each in enumerate((permit(), other))
    )
    said = [each.manifest.consent for each in (first, second)]
    assert said[0] is not None
    assert said[1] is not None
    assert not set(said[0].consents) & set(said[1].consents)
    assert said[0].permit_sha256 != said[1].permit_sha256
    ids = [{i["instance_id"] for i in raw_manifest(each.path)["ingredients"]} for each in (first, second)]
    assert not ids[0] & ids[1]
    assert hashlib.sha256(portrait).hexdigest().encode() not in first.path.read_bytes()


def test_what_it_was_made_from_is_named_by_digest_alone(tmp_path: Path) -> None:
    portrait = b"\x89PNG a portrait"
    made = mark(
        clip(grey(24), 24), permit(), ManifestSigner(authority()), tmp_path / "clip.mp4", made_from=[portrait, b"voice"]
    )
    assert made.manifest.inputs == 2
    raw = raw_manifest(made.path)
    assert [i["relationship"] for i in raw["ingredients"]] == ["inputTo", "inputTo"]
    assert raw["ingredients"][0]["instance_id"] == f"urn:mien:{salted(permit(), portrait)}"
    actions = next(a["data"]["actions"] for a in raw["assertions"] if a["label"] == "c2pa.actions.v2")
    assert len(actions[0]["parameters"]["ingredients"]) == 2, "the action says what was used"
    assert made.manifest.thumbnails == 0
    assert portrait not in made.path.read_bytes()


def test_a_clip_made_in_another_says_so_and_keeps_its_history(made: MarkedClip, tmp_path: Path) -> None:
    edited = mark(clip(grey(24), 24), permit(), ManifestSigner(authority()), tmp_path / "clip.mp4", original=made.path)
    assert edited.manifest.state is ManifestState.TRUSTED
    assert edited.manifest.actions == ("c2pa.opened", "c2pa.edited")
    assert edited.manifest.digital_source_type.endswith("/compositeWithTrainedAlgorithmicMedia")
    (parent,) = raw_manifest(edited.path)["ingredients"]
    assert parent["relationship"] == "parentOf"
    assert "active_manifest" in parent, "the original's own manifest is inside"
    assert edited.manifest.thumbnails == 0


def filmed(path: Path, codec: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for image in grey(6):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_clip_made_in_a_film_says_so_whatever_the_film_comes_in(tmp_path: Path) -> None:
    signer, out = ManifestSigner(authority()), tmp_path / "clip.mp4"
    mov = filmed(tmp_path / "film.mov", "h264")
    in_mov = mark(clip(grey(24), 24), permit(), signer, out, original=mov, made_from=[b"portrait"])
    assert in_mov.manifest.actions == ("c2pa.opened", "c2pa.edited")
    assert in_mov.manifest.inputs == 1
    parent = next(each for each in raw_manifest(out)["ingredients"] if each["relationship"] == "parentOf")
    assert parent["format"] == "video/quicktime"

    webm = filmed(tmp_path / "film.webm", "libvpx-vp9")
    in_webm = mark(clip(grey(24), 24), permit(), signer, out, original=webm, made_from=[b"portrait"])
    assert in_webm.manifest.state is ManifestState.TRUSTED
    assert in_webm.manifest.actions == ("c2pa.created",)
    assert in_webm.manifest.digital_source_type.endswith("/compositeWithTrainedAlgorithmicMedia")
    named = [each["instance_id"] for each in raw_manifest(out)["ingredients"]]
    assert named[1] == f"urn:mien:{salted(permit(), webm.read_bytes())}"


def test_a_film_whose_own_manifest_was_tampered_with_does_not_spoil_the_clips(made: MarkedClip, tmp_path: Path) -> None:
    broken = bytearray(made.path.read_bytes())
    broken[-3000] ^= 1
    (tmp_path / "film.mp4").write_bytes(bytes(broken))
    edited = mark(
        clip(grey(24), 24), permit(), ManifestSigner(authority()), tmp_path / "clip.mp4", original=tmp_path / "film.mp4"
    )
    assert edited.manifest.state is ManifestState.TRUSTED


def test_the_watermark_is_in_the_pictures_and_bound_by_the_manifest(tmp_path: Path) -> None:
    chance = np.random.default_rng(5)
    ground = np.asarray(np.kron(chance.integers(40, 215, (12, 16, 3)), np.ones((20, 20, 1))), np.uint8)
    key = bytes(range(32))
    made = mark(
        clip(iter([ground] * 24), 24),
        permit(),
        ManifestSigner(authority()),
        tmp_path / "clip.mp4",
        watermark=Watermark(number=0x0102030405, key=key),
    )
    assert made.manifest.watermark == 0x0102030405
    assert made.manifest.actions == ("c2pa.created", "c2pa.watermarked.bound")
    reading = read([frame.image for frame in sample_pictures(made.path.read_bytes(), 400)], key)
    assert reading is not None
    assert reading.number == 0x0102030405


def test_it_says_where_to_ask_about_it(tmp_path: Path) -> None:
    told = Published(status="https://mien.example/v1/clips/status", log="mien.example/v1/log")
    made = mark(clip(grey(24), 24), permit(), ManifestSigner(authority()), tmp_path / "clip.mp4", published=told)
    consent = made.manifest.consent
    assert consent is not None
    assert consent.status == f"https://mien.example/v1/clips/status/{consent.permit_sha256}"
    assert consent.log == "mien.example/v1/log"


def test_what_older_clips_say_is_still_read(made: MarkedClip) -> None:
    assert made.manifest.consent is not None
    data: dict[str, object] = dict(made.manifest.consent.to_data())
    older = {key: value for key, value in data.items() if key not in ("status", "log")}
    assert ConsentAssertion.from_data(older).status == ""
    for wrong in (data | {"name": "Ann"}, {k: v for k, v in older.items() if k != "purpose"}, data | {"consents": "x"}):
        with pytest.raises(ValueError, match="consent assertion"):
            ConsentAssertion.from_data(wrong)


def test_training_on_it_is_not_allowed(made: MarkedClip) -> None:
    assertions = {each["label"]: each["data"] for each in raw_manifest(made.path)["assertions"]}
    uses = assertions["cawg.training-mining"]["entries"]
    assert {"cawg.ai_training", "cawg.ai_generative_training", "cawg.data_mining"} <= set(uses)
    assert all(entry == {"use": "notAllowed"} for entry in uses.values())


def raw_manifest(path: Path) -> dict[str, Any]:
    import c2pa

    with (
        c2pa.Context.from_dict({"version": 1}) as context,
        path.open("rb") as file,
        c2pa.Reader("video/mp4", file, context=context) as reader,
    ):
        report = json.loads(reader.json())
    active: dict[str, Any] = report["manifests"][report["active_manifest"]]
    return active


def test_no_picture_is_in_the_manifest(made: MarkedClip) -> None:
    assert made.manifest.thumbnails == 0
    data = made.path.read_bytes()
    start = data.index(b"c2pa")
    manifest = data[start : start + 12_000]
    assert b"thumbnail" not in data
    assert b"\xff\xd8\xff" not in manifest
    assert b"\x89PNG" not in manifest


def test_another_service_does_not_trust_it(made: MarkedClip) -> None:
    manifest = verified(made.path, new_authority(NOW))
    assert manifest.state is ManifestState.VALID
    assert manifest.problems == ("signingCredential.untrusted",)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_one_changed_byte_is_noticed(made: MarkedClip, tmp_path: Path, share: float) -> None:
    data = bytearray(made.path.read_bytes())
    body = data.index(b"mdat") + 8
    data[body + int((len(data) - body) * share)] ^= 1
    (tmp_path / "changed.mp4").write_bytes(data)
    manifest = verified(tmp_path / "changed.mp4")
    assert manifest.state is ManifestState.INVALID
    assert "assertion.bmffHash.mismatch" in manifest.problems


def test_a_changed_claim_is_noticed(made: MarkedClip, tmp_path: Path) -> None:
    data = made.path.read_bytes()
    assert data.count(b"notAllowed") == 4
    (tmp_path / "changed.mp4").write_bytes(data.replace(b"notAllowed", b"do.allowed"))
    assert verified(tmp_path / "changed.mp4").state is ManifestState.INVALID
    (tmp_path / "changed.mp4").write_bytes(data.replace(b"cameo", b"voice"))
    assert verified(tmp_path / "changed.mp4").state is ManifestState.INVALID


def test_a_stripped_manifest_is_reported_as_none(made: MarkedClip, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped.mp4"
    with av.open(str(made.path)) as source, av.open(str(stripped), "w") as copy:
        streams = {each.index: copy.add_stream_from_template(each) for each in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                copy.mux(packet)
    assert verified(stripped).state is ManifestState.NONE
    assert verified(stripped).consent is None


def test_what_is_no_clip_is_an_error(made: MarkedClip, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no clip")
    for path in (tmp_path / "text.mp4", tmp_path / "missing.mp4", tmp_path):
        with pytest.raises(ProvenanceError) as caught:
            verified(path)
        assert caught.value.code == "clip_unreadable"
    for anchor in ("", "no certificate", authority().ca_cert_pem[:200]):
        with pytest.raises(ProvenanceError) as caught:
            verify_clip(made.path, anchor_pem=anchor)
        assert caught.value.code == "anchor_invalid"


def test_half_a_clip_is_not_trusted(made: MarkedClip, tmp_path: Path) -> None:
    data = made.path.read_bytes()
    for share in (0.1, 0.5, 0.99):
        (tmp_path / "half.mp4").write_bytes(data[: int(len(data) * share)])
        assert verified(tmp_path / "half.mp4").state in (ManifestState.INVALID, ManifestState.NONE)


@pytest.mark.parametrize("label", ["c2pa.actions.v2", "cawg.training-mining", CONSENT_LABEL, "org.mien.consent.v2"])
def test_labels_of_ours_pass(label: str) -> None:
    check_label(label)


@pytest.mark.parametrize(
    "label",
    ["consent", "c2pa.consent", "mien.consent", "org.mien.", "org..consent", "org.mien.con sent", "", "cawg.consent.x"],
)
def test_labels_that_the_library_would_sign_are_refused(label: str) -> None:
    with pytest.raises(ProvenanceError) as caught:
        check_label(label)
    assert caught.value.code == "assertion_label"


# --------------------------------------------------------------------------------------------------------------------
# The metadata key and the file


def test_the_file_carries_the_metadata_key_of_the_chinese_standard(made: MarkedClip) -> None:
    with av.open(str(made.path)) as container:
        fields = json.loads(container.metadata["AIGC"])
    assert list(fields) == [
        *("Label", "ContentProducer", "ProduceID", "ReservedCode1", "ContentPropagator", "PropagateID", "ReservedCode2")
    ]
    assert fields["Label"] == "1"
    assert fields["ProduceID"]


def test_the_marked_file_plays_and_is_the_one_that_was_hashed(made: MarkedClip) -> None:
    data = made.path.read_bytes()
    assert (made.sha256, made.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    facts = decode(data, policy=STRICT).facts
    assert (facts.width, facts.height, facts.source_frames) == (WIDTH, HEIGHT, made.frame_count)
    assert facts.audio_codec == "aac"
    assert made.duration_ms == 5000
    assert list(made.path.parent.iterdir()) == [made.path]


# --------------------------------------------------------------------------------------------------------------------
# The visible label


def text_rows(image: RgbImage, top: int, bottom: int) -> NDArray[np.intp]:
    """Rows between ``top`` and ``bottom`` where something white is on something dark."""
    part = image[top:bottom].astype(int).mean(axis=2)
    return top + np.flatnonzero(((part > 215).sum(axis=1) > 2) & ((part < 80).sum(axis=1) > 8))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_the_label_is_seen_in_the_file_on_any_ground(tmp_path: Path, level: int) -> None:
    mark(clip(grey(4 * FPS, level), 4 * FPS), permit(), ManifestSigner(authority()), tmp_path / "clip.mp4")
    pictures = sample_pictures((tmp_path / "clip.mp4").read_bytes(), 250)
    least = LEAST_CHARACTER_HEIGHT * min(WIDTH, HEIGHT)
    for picture in pictures:
        corner = text_rows(picture.image, 0, HEIGHT // 2)
        assert corner.max() - corner.min() + 1 >= least
        opening = text_rows(picture.image, HEIGHT // 2, HEIGHT)
        if picture.at_ms <= 1000 * LEAST_OPENING_S:
            assert opening.max() - opening.min() + 1 >= 1.3 * least
    assert not len(text_rows(pictures[-1].image, HEIGHT // 2, HEIGHT))
    assert pictures[-1].at_ms > 3500


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (720, 1280), (854, 480), (480, 480), (256, 1024)])
def test_characters_are_high_enough_and_labels_inside_the_picture(width: int, height: int) -> None:
    for plate in plates(width, height):
        assert plate.character_height >= LEAST_CHARACTER_HEIGHT * min(width, height)
        plate_height, plate_width = plate.alpha.shape[:2]
        assert plate.top >= 0
        assert plate.left >= 0
        assert plate.top + plate_height <= height
        assert plate.left + plate_width <= width


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (720, 1280)])
def test_the_two_labels_do_not_cover_each_other(width: int, height: int) -> None:
    corner, opening = plates(width, height)
    assert corner.top + corner.alpha.shape[0] < opening.top


def test_the_rest_of_the_picture_is_untouched_and_the_source_too() -> None:
    source = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    before = source.copy()
    picture = next(labelled(iter([source]), width=WIDTH, height=HEIGHT, fps=FPS))
    assert np.array_equal(source, before)
    touched = np.zeros((HEIGHT, WIDTH), bool)
    for plate in plates(WIDTH, HEIGHT):
        plate_height, plate_width = plate.alpha.shape[:2]
        touched[plate.top : plate.top + plate_height, plate.left : plate.left + plate_width] = True
    assert np.array_equal(picture[~touched], source[~touched])
    assert (picture[touched] != source[touched]).mean() > 0.8


# --------------------------------------------------------------------------------------------------------------------
# Nothing unmarked leaves


class GeneratorBroke(Exception):
    pass


def breaking(after: int) -> Iterator[RgbImage]:
    yield from grey(after)
    raise GeneratorBroke


def test_a_generator_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(GeneratorBroke):
        mark(clip(breaking(20), 60), permit(), ManifestSigner(authority()), tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_clip_of_another_length_than_promised_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RenderError):
        mark(clip(grey(20), 60), permit(), ManifestSigner(authority()), tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("promised", [12, 10_000])
def test_a_clip_longer_than_permitted_leaves_nothing(tmp_path: Path, promised: int) -> None:
    short = replace(permit(), obligations=replace(permit().obligations, max_seconds=2))
    taken: list[int] = []

    def endless() -> Iterator[RgbImage]:
        while True:
            taken.append(1)
            yield from grey(1)

    with pytest.raises(PermitMismatch):
        mark(clip(endless(), promised), short, ManifestSigner(authority()), tmp_path / "clip.mp4")
    assert len(taken) <= 2 * FPS + 1
    assert list(tmp_path.iterdir()) == []


def test_a_clip_that_is_not_trusted_afterwards_is_destroyed(tmp_path: Path) -> None:
    signer = ManifestSigner(replace(authority(), ca_cert_pem=new_authority(NOW).ca_cert_pem))
    out = tmp_path / "clip.mp4"
    out.write_bytes(b"an older clip")
    with pytest.raises(ProvenanceError, match="state"):
        mark(clip(grey(24), 24), permit(), signer, out)
    assert list(tmp_path.iterdir()) == []


def test_a_clip_that_cannot_be_signed_is_destroyed(tmp_path: Path) -> None:
    signer = ManifestSigner(replace(authority(), leaf_key_pem=new_authority(NOW).leaf_key_pem))
    with pytest.raises(ProvenanceError):
        mark(clip(grey(24), 24), permit(), signer, tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []


def test_an_expired_leaf_signs_nothing(tmp_path: Path) -> None:
    old = new_authority(NOW - timedelta(days=4000))
    with pytest.raises(ProvenanceError):
        mark(clip(grey(24), 24), permit(), ManifestSigner(old), tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_no_codec_takes_leaves_nothing(tmp_path: Path) -> None:
    wide = replace(clip(grey(24), 24), width=WIDTH + 1)
    with pytest.raises(EncodeError):
        mark(wide, permit(), ManifestSigner(authority()), tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------------------------------------------
# Certificates


@lru_cache
def certificates() -> tuple[x509.Certificate, x509.Certificate]:
    leaf, root = x509.load_pem_x509_certificates(authority().leaf_chain_pem.encode())
    return leaf, root


def test_the_leaf_is_what_c2pa_asks_for() -> None:
    leaf, root = certificates()
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign) == (True, False)
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.EMAIL_PROTECTION]
    leaf.verify_directly_issued_by(root)
    assert leaf.not_valid_before_utc <= NOW < leaf.not_valid_after_utc


def test_a_renewed_leaf_is_trusted_and_old_clips_stay_so(made: MarkedClip, tmp_path: Path) -> None:
    later = renewed(authority(), NOW)
    assert later.leaf_chain_pem != authority().leaf_chain_pem
    mark(clip(grey(24), 24), permit(), ManifestSigner(later), tmp_path / "clip.mp4")
    for path in (tmp_path / "clip.mp4", made.path):
        assert verified(path, later).state is ManifestState.TRUSTED


def test_without_its_key_an_authority_issues_nothing() -> None:
    bare = authority().without_ca_key()
    for broken in (bare, replace(bare, ca_key_pem=new_authority(NOW).ca_key_pem)):
        with pytest.raises(ProvenanceError) as caught:
            renewed(broken, NOW)
        assert caught.value.code == "authority_key_missing"


def test_keys_do_not_show() -> None:
    assert "PRIVATE KEY" not in repr(authority())
    assert "PRIVATE KEY" in authority().leaf_key_pem
