"""Every clip says what it is, to people and to programs, and nothing unmarked leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path

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
    ManifestSigner,
    ManifestState,
    MarkedClip,
    check_label,
    mark,
    new_authority,
    renewed,
    verify_clip,
)
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
    assert consent.consents == (consent_id,)
    assert (consent.purpose, consent.backend, consent.assurance) == ("cameo", "portrait", "web")
    data = made.path.read_bytes()
    assert permit().permit_id.encode() not in data
    assert subject_id.encode() not in data


def test_training_on_it_is_not_allowed(made: MarkedClip) -> None:
    assertions = {each["label"]: each["data"] for each in raw_manifest(made.path)["assertions"]}
    uses = assertions["cawg.training-mining"]["entries"]
    assert {"cawg.ai_training", "cawg.ai_generative_training", "cawg.data_mining"} <= set(uses)
    assert all(entry == {"use": "notAllowed"} for entry in uses.values())


def raw_manifest(path: Path) -> dict[str, list[dict[str, dict[str, dict[str, str]]]]]:
    import c2pa

    with (
        c2pa.Context.from_dict({"version": 1}) as context,
        path.open("rb") as file,
        c2pa.Reader("video/mp4", file, context=context) as reader,
    ):
        report = json.loads(reader.json())
    active: dict[str, list[dict[str, dict[str, dict[str, str]]]]] = report["manifests"][report["active_manifest"]]
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
    import hashlib

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
