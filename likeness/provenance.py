"""Marks a clip, so that anyone can see and any program can check that it was generated, and under which consent.

Nothing else writes a clip. Four marks, in this order:

1. the visible label (:mod:`likeness.label`), burnt into every picture;
2. the metadata key ``AIGC`` of GB 45438-2025, appendix E, in the container;
3. a C2PA manifest signed by the service: what made the clip, that training on it is not allowed, and
   ``org.mien.consent``, which ties it to a permit and its consents without naming anyone;
4. the proof: the finished file is read back and must be ``Trusted`` under the service's own anchor, or it is destroyed.

Decided here: ``digitalSourceType`` is ``trainedAlgorithmicMedia`` for every generator, also for the local one that moves a
portrait with trained models. ``compositeSynthetic`` would be defensible for it, but nobody was filmed saying or doing what
the clip shows; the stronger word is the honest one, and the one that platforms act upon.

Decided here: the leaf certificate lives for ten years. There is no time-stamping authority that could be asked offline,
and without a time stamp a manifest is only as good as its certificate is at the moment of reading.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from likeness.encode import encode
from likeness.errors import PermitMismatch, ProvenanceError, RenderError
from likeness.label import CORNER_HEIGHT, LABEL_TEXT, OPENING_S, labelled
from liveness.capture import RgbImage

if TYPE_CHECKING:
    from c2pa import Context
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder, KeyUsage, Name

    from consent.gate import Permit
    from likeness.generate import Clip

CONSENT_LABEL = "org.mien.consent"
"""Our own assertion. Its fields are those of :class:`ConsentAssertion`."""

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

LEAF_LIFE = timedelta(days=3650)
AUTHORITY_LIFE = timedelta(days=7300)
_CLOCKS_DIFFER = timedelta(minutes=5)

_STANDARD_LABELS = frozenset({"c2pa.actions.v2", "cawg.training-mining"})
_CREATED_LABELS = ["c2pa.actions", "cawg.training-mining", CONSENT_LABEL]  # the library names them without version
_OWN_LABEL = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]*(\.[a-zA-Z0-9][a-zA-Z0-9_-]*){2,}")
_RESERVED = ("c2pa.", "cawg.", "stds.")


# --------------------------------------------------------------------------------------------------------------------
# The service's authority


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Certificates and keys that the service signs manifests with, all PEM.

    ca_cert_pem : what verifiers take as anchor. Public.
    leaf_chain_pem : the certificate that signs. Public, it is in every clip.
    ca_key_pem : issues the next leaf; may be kept elsewhere (``None``) until then.
    """

    ca_cert_pem: str
    leaf_chain_pem: str
    leaf_key_pem: str = field(repr=False)
    ca_key_pem: str | None = field(repr=False, default=None)

    def without_ca_key(self) -> Authority:
        """The same without the key that could issue more: what a signing machine needs."""
        return replace(self, ca_key_pem=None)


def new_authority(now: datetime, *, organisation: str = "Mien") -> Authority:
    """An own certificate authority and the leaf that signs (P-256). Fresh keys: two calls give two authorities."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(organisation, f"{organisation} provenance root")
    builder = _certificate(name, name, key, now, AUTHORITY_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(issues=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    certificate = _signed(builder, key)
    leaf_chain, leaf_key = _leaf(certificate, key, now, organisation)
    return Authority(
        ca_cert_pem=_pem(certificate), ca_key_pem=_key_pem(key), leaf_chain_pem=leaf_chain, leaf_key_pem=leaf_key
    )


def renewed(authority: Authority, now: datetime, *, organisation: str = "Mien") -> Authority:
    """The same authority with a fresh leaf, valid from ``now``. Clips that were signed before stay trusted.

    Raises ProvenanceError when the authority came without its key.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if authority.ca_key_pem is None:
        raise ProvenanceError("the key of the authority is needed to issue another leaf", code="authority_key_missing")
    certificate = x509.load_pem_x509_certificate(authority.ca_cert_pem.encode())
    key = load_pem_private_key(authority.ca_key_pem.encode(), password=None)
    if not isinstance(key, EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ProvenanceError("the key is not that of the authority's certificate", code="authority_key_missing")
    leaf_chain, leaf_key = _leaf(certificate, key, now, organisation)
    return replace(authority, leaf_chain_pem=leaf_chain, leaf_key_pem=leaf_key)


def _leaf(
    issuer: Certificate, issuer_key: EllipticCurvePrivateKey, now: datetime, organisation: str
) -> tuple[str, str]:
    """What C2PA asks of a signing certificate: an end entity, digitalSignature only, an accepted purpose, and the
    identifier of its issuer's key. The purpose is emailProtection: every validator accepts it without being told to."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    issuer_identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = _certificate(_name(organisation, f"{organisation} clips"), issuer.subject, key, now, LEAF_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(issues=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_identifier), critical=False
    )
    return _pem(_signed(builder, issuer_key)) + _pem(issuer), _key_pem(key)


def _certificate(
    subject: Name, issuer: Name, key: EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> CertificateBuilder:
    from cryptography import x509

    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - _CLOCKS_DIFFER).not_valid_after(now + life)


def _signed(builder: CertificateBuilder, key: EllipticCurvePrivateKey) -> Certificate:
    from cryptography.hazmat.primitives.hashes import SHA256

    return builder.sign(key, SHA256())


def _name(organisation: str, common_name: str) -> Name:
    from cryptography.x509 import Name, NameAttribute
    from cryptography.x509.oid import NameOID

    return Name(
        [NameAttribute(NameOID.ORGANIZATION_NAME, organisation), NameAttribute(NameOID.COMMON_NAME, common_name)]
    )


def _key_usage(*, issues: bool) -> KeyUsage:
    from cryptography.x509 import KeyUsage

    return KeyUsage(
        digital_signature=not issues,
        key_cert_sign=issues,
        crl_sign=issues,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: Certificate) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM).decode()


def _key_pem(key: EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


# --------------------------------------------------------------------------------------------------------------------
# The manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentAssertion:
    """What a clip says about the consents it was made under. No name, face, script, score or account is in it.

    permit_sha256 : of the permit's id; who holds the permit can show that this clip is its clip.
    consents : ids of the consents, pseudonyms that only the service can resolve. In the order of the permit.
    purpose, backend, assurance : as the permit says.
    permitted_at : when the gate issued the permit, RFC 3339.
    label : what the visible label says; ``label_height`` of the short side, throughout; ``opening_s`` seconds larger.
    """

    permit_sha256: str
    consents: tuple[str, ...]
    purpose: str
    backend: str
    assurance: str
    permitted_at: str
    label: str = LABEL_TEXT
    label_height: str = str(CORNER_HEIGHT)
    opening_s: str = str(OPENING_S)

    def to_data(self) -> dict[str, str | list[str]]:
        return {
            "permit_sha256": self.permit_sha256,
            "consents": list(self.consents),
            "purpose": self.purpose,
            "backend": self.backend,
            "assurance": self.assurance,
            "permitted_at": self.permitted_at,
            "label": self.label,
            "label_height": self.label_height,
            "opening_s": self.opening_s,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, object]) -> ConsentAssertion:
        """Raises ValueError unless ``data`` has exactly our fields, of our types."""
        consents = data.get("consents")
        if set(data) != set(cls.__slots__) or not isinstance(consents, list):
            raise ValueError("other fields than those of the consent assertion")
        if not all(isinstance(value, str) for key, value in data.items() if key != "consents"):
            raise ValueError("a field of the consent assertion is no text")
        texts = {key: str(value) for key, value in data.items() if key != "consents"}
        return cls(consents=tuple(str(consent) for consent in consents), **texts)


def consent_assertion(permit: Permit) -> ConsentAssertion:
    """What a clip made under ``permit`` may say about it in public. The ids of subjects stay out."""
    return ConsentAssertion(
        permit_sha256=hashlib.sha256(str(permit.permit_id).encode()).hexdigest(),
        consents=tuple(str(consent_id) for consent_id, _ in permit.consents),
        purpose=str(permit.purpose),
        backend=permit.backend,
        assurance=str(permit.assurance),
        permitted_at=permit.issued_at.isoformat(),
    )


def check_label(label: str) -> None:
    """An assertion label is either one of the standard ones we use or begins with a reversed domain (C2PA 2.2, 6.2).
    The library signs any label, so this is ours to hold.

    Raises ProvenanceError.
    """
    if label in _STANDARD_LABELS:
        return
    if label.startswith(_RESERVED) or _OWN_LABEL.fullmatch(label) is None:
        raise ProvenanceError(f"{label!r} is no assertion label of ours", code="assertion_label")


def manifest_definition(generator: str, consent: ConsentAssertion) -> dict[str, object]:
    """The manifest of a generated clip, as the library takes it.

    generator : ``name@version`` of what made the pictures.
    """
    name, _, release = generator.partition("@")
    created = {
        "action": "c2pa.created",
        "digitalSourceType": DIGITAL_SOURCE_TYPE,
        "softwareAgent": {"name": name, "version": release or "0"},
    }
    assertions: list[dict[str, object]] = [
        {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
        {"label": "cawg.training-mining", "data": {"entries": {use: {"use": "notAllowed"} for use in _TRAINING}}},
        {"label": CONSENT_LABEL, "data": consent.to_data()},
    ]
    for assertion in assertions:
        check_label(str(assertion["label"]))
    return {
        "claim_generator_info": [{"name": "Mien", "version": _own_version()}],
        "title": "AI-generated clip",
        "format": "video/mp4",
        "assertions": assertions,
    }


_TRAINING = ("cawg.ai_inference", "cawg.ai_generative_training", "cawg.ai_training", "cawg.data_mining")


def _own_version() -> str:
    try:
        return version("mien")
    except PackageNotFoundError:  # run from a source tree
        return "0"


def aigc_metadata(consent: ConsentAssertion) -> dict[str, str]:
    """The implicit label of GB 45438-2025: one metadata key with seven fields. ``Label`` 1: it is generated."""
    fields = {
        "Label": "1",
        "ContentProducer": "Mien",
        "ProduceID": consent.permit_sha256,
        "ReservedCode1": "",
        "ContentPropagator": "",
        "PropagateID": "",
        "ReservedCode2": "",
    }
    return {"AIGC": json.dumps(fields, separators=(",", ":"))}


class ManifestSigner:
    """Signs manifests with the service's leaf (ES256). Keeps nothing open between two clips; may be shared by threads."""

    def __init__(self, authority: Authority) -> None:
        self._chain_pem = authority.leaf_chain_pem.encode()
        self._key_pem = authority.leaf_key_pem.encode()
        self.anchor_pem = authority.ca_cert_pem

    def sign(self, source: Path, destination: Path, definition: Mapping[str, object]) -> None:
        """A copy of the mp4 ``source`` with the manifest in it. Raises ProvenanceError."""
        from c2pa import Builder, C2paError, C2paSignerInfo, C2paSigningAlg, Signer

        info = C2paSignerInfo(
            alg=C2paSigningAlg.ES256, sign_cert=self._chain_pem, private_key=self._key_pem, ta_url=None
        )
        try:
            with (
                _context(self.anchor_pem) as context,
                Builder(dict(definition), context=context) as builder,
                Signer.from_info(info) as signer,
                source.open("rb") as read,
                destination.open("w+b") as written,
            ):
                builder.sign(signer, "video/mp4", read, written)
        except C2paError as error:
            raise ProvenanceError(f"the manifest could not be signed ({type(error).__name__})") from error


def _context(anchor_pem: str) -> Context:
    from c2pa import Context

    return Context.from_dict(
        {
            "version": 1,
            "trust": {"trust_anchors": anchor_pem},
            "verify": {"verify_trust": True, "verify_after_sign": False},
            # A thumbnail would put the person's face into every copy of the manifest.
            # Created assertions are those the signer itself stands for; others would count as hearsay.
            "builder": {
                "thumbnail": {"enabled": False},
                "created_assertion_labels": _CREATED_LABELS,
            },
        }
    )


# --------------------------------------------------------------------------------------------------------------------
# Reading a clip's marks


class ManifestState(StrEnum):
    """What a reader may believe.

    trusted  whole, unchanged, and signed under the anchor given.
    valid    whole and unchanged, but signed by somebody else.
    invalid  the clip or its manifest was changed after signing.
    none     there is no manifest.
    """

    TRUSTED = "trusted"
    VALID = "valid"
    INVALID = "invalid"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipManifest:
    """What the manifest of a file says, and how far to believe it. Nothing of it counts unless ``state`` is trusted.

    issuer : organisation named in the signing certificate.
    generator : ``name version`` of what made the pictures.
    actions : labels of the actions, in order.
    consent : our assertion; ``None`` if there is none or it is not of our form.
    thumbnails : how many pictures the manifest carries.
    problems : codes of what failed, as C2PA names them.
    """

    state: ManifestState
    issuer: str = ""
    generator: str = ""
    actions: tuple[str, ...] = ()
    digital_source_type: str = ""
    consent: ConsentAssertion | None = None
    thumbnails: int = 0
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """For people and programs that read the answer of ``mien clip verify``."""
        return {
            "state": self.state.value,
            "issuer": self.issuer,
            "generator": self.generator,
            "actions": list(self.actions),
            "digital_source_type": self.digital_source_type,
            "consent": self.consent.to_data() if self.consent is not None else None,
            "problems": list(self.problems),
        }


def verify_clip(path: Path, *, anchor_pem: str) -> ClipManifest:
    """Read the manifest of an mp4 and check it against ``anchor_pem`` (one or more certificates). Needs no network.

    Raises ProvenanceError when the file is no mp4 or cannot be read, or the anchor is no certificate; a missing or broken
    manifest is an answer.
    """
    from c2pa import C2paError, Reader

    _check_anchor(anchor_pem)
    try:
        with path.open("rb") as file:
            if file.read(12)[4:8] != b"ftyp":
                raise ProvenanceError("this is no mp4", code="clip_unreadable")
            file.seek(0)
            with _context(anchor_pem) as context, Reader("video/mp4", file, context=context) as reader:
                report = json.loads(reader.json())
                state = str(reader.get_validation_state())
    except C2paError.ManifestNotFound:
        return ClipManifest(state=ManifestState.NONE)
    except C2paError as error:
        return ClipManifest(state=ManifestState.INVALID, problems=(str(error).partition(":")[0],))
    except OSError as error:
        raise ProvenanceError(f"the clip could not be read ({type(error).__name__})", code="clip_unreadable") from error
    return _manifest(report, state)


def _check_anchor(anchor_pem: str) -> None:
    """The library takes any text for an anchor and then trusts nobody, which would look like a stranger's clip."""
    from cryptography.x509 import load_pem_x509_certificates

    try:
        load_pem_x509_certificates(anchor_pem.encode())
    except ValueError as error:
        raise ProvenanceError("the anchor is no certificate in PEM form", code="anchor_invalid") from error


def _manifest(report: Mapping[str, object], state: str) -> ClipManifest:
    """Ours from the library's report. What a stranger's manifest says may be anything: wrong forms read as missing."""
    active = _mapping(_mapping(report.get("manifests")).get(str(report.get("active_manifest"))))
    assertions = {str(a.get("label")): _mapping(a.get("data")) for a in _mappings(active.get("assertions"))}
    actions = _mappings(next((d for k, d in assertions.items() if k.startswith("c2pa.actions")), {}).get("actions"))
    created = actions[0] if actions else {}
    agent = _mapping(created.get("softwareAgent"))
    failures = _mapping(_mapping(report.get("validation_results")).get("activeManifest")).get("failure")
    try:
        consent = ConsentAssertion.from_data(assertions[CONSENT_LABEL]) if CONSENT_LABEL in assertions else None
    except ValueError:
        consent = None
    return ClipManifest(
        state=_STATES.get(state, ManifestState.INVALID),
        issuer=str(_mapping(active.get("signature_info")).get("issuer", "")),
        generator=f"{agent.get('name', '')} {agent.get('version', '')}".strip(),
        actions=tuple(str(action.get("action")) for action in actions),
        digital_source_type=str(created.get("digitalSourceType", "")),
        consent=consent,
        thumbnails=_thumbnails(report),
        problems=tuple(dict.fromkeys(str(failure.get("code")) for failure in _mappings(failures))),
    )


_STATES = {"Trusted": ManifestState.TRUSTED, "Valid": ManifestState.VALID, "Invalid": ManifestState.INVALID}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> list[Mapping[str, object]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _thumbnails(value: object) -> int:
    """How many thumbnails are named anywhere in the report: of the clip, or of something it was made from."""
    if isinstance(value, dict):
        return sum((key == "thumbnail") + _thumbnails(inner) for key, inner in value.items())
    if isinstance(value, list):
        return sum(_thumbnails(inner) for inner in value)
    return int(isinstance(value, str) and value.startswith("c2pa.thumbnail"))


# --------------------------------------------------------------------------------------------------------------------
# Marking


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedClip:
    """A clip that may leave: labelled, signed, and read back as trusted.

    sha256 : of the file's bytes, hex. This is what the service stores and a completed permit names.
    """

    path: Path
    sha256: str
    bytes: int
    frame_count: int
    duration_ms: int
    manifest: ClipManifest


def mark(
    clip: Clip,
    permit: Permit,
    signer: ManifestSigner,
    out: Path,
    *,
    progress: Callable[[int], None] | None = None,
) -> MarkedClip:
    """Write ``clip`` to ``out`` (``.mp4``) with all its marks. The only way a clip becomes a file.

    progress : called with the number of pictures written so far.

    Raises PermitMismatch when the clip is longer than the permit allows, RenderError when it is not as long as it says,
    EncodeError, ProvenanceError, and whatever the clip's own pictures raise. Then nothing is left at ``out`` or beside
    it: no unmarked clip ever has the name of one.
    """
    out.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        encoded, signed = Path(folder) / "encoded.mp4", Path(folder) / "signed.mp4"
        consent = consent_assertion(permit)
        # 1. No longer than was permitted; asked again below, for a generator may not know what it will make.
        _check_length(clip.frame_count, clip, permit)
        # 2. Visible label and metadata key, while encoding.
        file = encode(
            labelled(_counted(clip, permit), width=clip.width, height=clip.height, fps=clip.fps),
            clip.audio,
            width=clip.width,
            height=clip.height,
            fps=clip.fps,
            out=encoded,
            metadata=aigc_metadata(consent),
            progress=progress,
        )
        if file.frame_count != clip.frame_count:
            raise RenderError(f"{file.frame_count} pictures came, {clip.frame_count} were promised")
        # 3. Manifest.
        signer.sign(encoded, signed, manifest_definition(clip.generator, consent))
        # 4. Proof, by reading what will leave.
        manifest = verify_clip(signed, anchor_pem=signer.anchor_pem)
        _check_marked(manifest, consent)
        # 5. Only now does it get its name.
        digest, size = _digest(signed)
        signed.replace(out)
    return MarkedClip(
        path=out,
        sha256=digest,
        bytes=size,
        frame_count=file.frame_count,
        duration_ms=file.duration_ms,
        manifest=manifest,
    )


def _check_length(frames: int, clip: Clip, permit: Permit) -> None:
    most = permit.obligations.max_seconds
    if frames > most * clip.fps:
        raise PermitMismatch(f"{frames / clip.fps:.1f} s, at most {most} s permitted")


def _counted(clip: Clip, permit: Permit) -> Iterator[RgbImage]:
    for count, image in enumerate(clip.frames, start=1):
        _check_length(count, clip, permit)
        yield image


def _check_marked(manifest: ClipManifest, consent: ConsentAssertion) -> None:
    wrong = [
        name
        for name, right in (
            ("state", manifest.state is ManifestState.TRUSTED),
            ("consent", manifest.consent == consent),
            ("source type", manifest.digital_source_type == DIGITAL_SOURCE_TYPE),
            ("thumbnails", manifest.thumbnails == 0),
        )
        if not right
    ]
    if wrong:
        raise ProvenanceError(f"the marks do not verify: {', '.join(wrong)}; state {manifest.state}")


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
